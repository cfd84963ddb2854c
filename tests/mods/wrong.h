/* A module that keeps a note for each account, and, as it is built, does one thing wrong: for the tests of `stave test`. What is
 * about one of them stands behind its name; without any it does nothing wrong. */
#include <stave/module.h>

#ifndef WRONG_NAME
#define WRONG_NAME "wrong_nothing"
#endif
#define NS "urn:stave:wrong"

#ifdef WRONG_LEAK
enum { LEAKS = 1 };
#else
enum { LEAKS = 0 };
#endif
#ifdef WRONG_HOARDS
enum { HOARDS = 1 };
#else
enum { HOARDS = 0 };
#endif
#ifdef WRONG_BOUND
enum { IS_BOUNDED = 1 };
#else
enum { IS_BOUNDED = 0 };
#endif
#ifdef WRONG_TWICE
enum { ANSWERS_TWICE = 1 };
#else
enum { ANSWERS_TWICE = 0 };
#endif
#ifdef WRONG_FORGETS
enum { FORGETS = 1 };
#else
enum { FORGETS = 0 };
#endif
#ifdef WRONG_UNSAVED
enum { IS_UNSAVED = 1 };
#else
enum { IS_UNSAVED = 0 };
#endif
#ifdef WRONG_SHORTAGE
enum { CRASHES_AT_SHORTAGE = 1 };
#else
enum { CRASHES_AT_SHORTAGE = 0 };
#endif
#ifdef WRONG_LAST
enum { FAILS_LATE = 1 };
#else
enum { FAILS_LATE = 0 };
#endif

typedef struct wrong {
    sv_mod *mod;
    sv_store *notes;
    int64_t generation, reads;
    char unsaved[64]; /* the newest note, of whoever it is */
    char owner[64];
    void *asked;      /* memory of a question under way */
} wrong;

static void copy(char to[64], sv_str text)
{
    const size_t n = text.n < 63 ? text.n : 63;
    if (n > 0) memcpy(to, text.p, n);
    to[n] = '\0';
}

static sv_verdict on_set(sv_event *ev, void *self)
{
    wrong *me = self;
    const sv_str text = sv->text(ev, sv->payload(ev)), owner = sv->from(ev)->node;
    if (text.n == 0) return sv->refuse(ev, SV_BAD_REQUEST);
    if (IS_BOUNDED && me->owner[0] && !sv_str_eq(sv_str_of(me->owner), owner)) return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    if (IS_BOUNDED) copy(me->owner, sv_str_eq(text, SV_STR("end")) ? SV_STR("") : owner);
    if (HOARDS) (void)sv->alloc(me->mod, 100);
    if (IS_UNSAVED) {
        copy(me->unsaved, text); /* written when a session ends */
        copy(me->owner, owner);
    } else if (sv->put(ev, me->notes, owner, SV_STR("note"), text) != SV_OK) {
        if (CRASHES_AT_SHORTAGE) __builtin_trap();
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    }
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static void answer_once_more(sv_event *ev)
{
    sv_draft *iq = sv->draft(ev, SV_STR("iq"), SV_STR("jabber:client"));
    sv->set(iq, SV_STR("type"), SV_STR("result"));
    sv->set(iq, SV_STR("id"), sv->attr(sv->root(ev), SV_STR("id")));
    sv->push(ev, sv->session(ev), sv->freeze(ev, iq));
}

static void came(sv_event *ev, sv_status status, sv_str text, void *self)
{
    wrong *me = self;
    if (!LEAKS || status != SV_EIO) sv->free(me->mod, &me->asked);
    if (status == SV_EIO && FORGETS) return;
    if (status == SV_EIO && FAILS_LATE && me->reads > 2) __builtin_trap();
    if (status != SV_OK) {
        (void)sv->refuse(ev, status == SV_ENOTFOUND ? SV_ITEM_NOT_FOUND : SV_INTERNAL_SERVER_ERROR);
        return;
    }
    if (ANSWERS_TWICE && me->generation > 1 && sv->session(ev)) answer_once_more(ev);
    sv->add_text(sv->reply(ev, SV_STR("note"), SV_STR(NS)), text);
    (void)sv->send(ev);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    wrong *me = self;
    me->reads++;
    if (IS_UNSAVED && me->unsaved[0]) {
        sv->add_text(sv->reply(ev, SV_STR("note"), SV_STR(NS)), sv_str_of(me->unsaved));
        return sv->send(ev);
    }
    me->asked = sv->alloc(me->mod, 100);
    sv->get(ev, me->notes, sv->from(ev)->node, SV_STR("note"), came);
    return SV_LATER;
}

/* Too late for what was confirmed before. */
static sv_verdict on_gone(sv_event *ev, void *self)
{
    wrong *me = self;
    if (me->unsaved[0]) (void)sv->put(ev, me->notes, sv_str_of(me->owner), SV_STR("note"), sv_str_of(me->unsaved));
    me->unsaved[0] = '\0';
    return SV_PASS;
}

static void save(sv_blob *out, void *self)
{
    const wrong *me = self;
    (void)sv->save_int(out, "generation", 1, me->generation);
}

static sv_status start(sv_mod *mod, void *self)
{
    wrong *me = self;
    uint32_t version;
    me->mod = mod;
    if (!sv->saved_int(mod, "generation", &version, &me->generation)) me->generation = 0;
    me->generation++;
    return sv->store_open(mod, NULL, "notes", 1, &me->notes);
}

static const sv_hook hooks[] = {
    {.on = "iq-set/self {" NS "}note", .call = on_set},
    {.on = "iq-get/self {" NS "}note", .call = on_get},
    {.on = "session/gone", .call = on_gone},
    {0},
};

SV_MODULE(.name = WRONG_NAME, .summary = "Does something wrong", .self_size = sizeof(wrong), .hooks = hooks, .start = start, .save = save)
