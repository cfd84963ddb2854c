/* Does wrong in each way that a module can while it runs: one request, one misdeed. tests/suites/48-zoo says what becomes of it. */
#include <stave/module.h>
#include <stdlib.h>

#define NS "urn:stave:zoo"

typedef struct zoo {
    sv_mod *mod;
    sv_store *own;
    sv_event *kept_event;         /* kept, and used by a timer, though it is over */
    const sv_stanza *kept_stanza; /* the same, without a reference */
    bool uses_event, uses_stanza;
    int64_t depth;
} zoo;

static bool says(sv_event *ev, const char *what)
{
    return sv_str_eq(sv->attr(sv->payload(ev), SV_STR("what")), sv_str_of(what));
}

static sv_verdict done(sv_event *ev, int64_t value)
{
    sv_draft *out = sv->reply(ev, SV_STR("done"), SV_STR(NS));
    if (out != NULL) sv->set_int(out, SV_STR("value"), value);
    return sv->send(ev);
}

/* Both callbacks of an event that asked twice come here. */
static void answer(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)status;
    (void)value;
    (void)self;
    (void)done(ev, 1);
}

/* Answers, asks who it was and for more, and answers again. */
static void answer_again(sv_event *ev, sv_status status, sv_str value, void *self)
{
    const zoo *me = self;
    (void)status;
    (void)value;
    (void)done(ev, 1);
    (void)sv->from(ev);
    sv->get(ev, me->own, SV_STR("/x"), SV_STR("k"), answer);
    (void)done(ev, 2);
    sv->pass(ev);
}

static sv_verdict ask_twice(sv_event *ev, zoo *me)
{
    sv->get(ev, me->own, SV_STR("/x"), SV_STR("k"), answer);
    sv->get(ev, me->own, SV_STR("/x"), SV_STR("k"), answer);
    return SV_LATER;
}

/* A DONE that a handler can't take back, and a pass behind it. */
static sv_verdict pass_too(sv_event *ev)
{
    (void)done(ev, 1);
    sv->pass(ev);
    return SV_PASS;
}

/* Holds on to memory that it never gives back. */
static sv_verdict leak(sv_event *ev, zoo *me)
{
    for (int i = 0; i < 64; i++) (void)sv->alloc(me->mod, 16384);
    return done(ev, 64);
}

/* Another's rows, which it has no business with. */
static sv_verdict write_elsewhere(sv_event *ev, zoo *me)
{
    sv_store *roster = NULL;
    const sv_status status = sv->store_open(me->mod, "roster", "items", 1, &roster);
    if (status == SV_OK) (void)sv->put(ev, roster, SV_STR("user000000"), SV_STR("x"), SV_STR("y"));
    return done(ev, status);
}

static sv_verdict keep(sv_event *ev, zoo *me, bool uses_event)
{
    me->kept_event = ev;
    me->kept_stanza = sv->stanza(ev);
    me->uses_event = uses_event;
    me->uses_stanza = !uses_event;
    return done(ev, 0);
}

static void tick(void *self)
{
    const zoo *me = self;
    if (me->uses_event) (void)sv->send(me->kept_event);
    if (me->uses_stanza) (void)sv->name(sv->stanza_root(me->kept_stanza));
}

static sv_verdict on_do(sv_event *ev, void *self)
{
    zoo *me = self;
    volatile bool is_forever = true;
    if (says(ev, "answer-twice")) {
        (void)done(ev, 1);
        return done(ev, 2);
    }
    if (says(ev, "refuse-too")) {
        (void)done(ev, 1);
        return sv->refuse(ev, SV_FORBIDDEN);
    }
    if (says(ev, "done-without-answer")) return SV_DONE;
    if (says(ev, "later-twice")) return ask_twice(ev, me);
    if (says(ev, "answer-twice-behind")) {
        sv->get(ev, me->own, SV_STR("/x"), SV_STR("k"), answer_again);
        return SV_LATER;
    }
    if (says(ev, "never")) return SV_LATER;
    if (says(ev, "pass-too")) return pass_too(ev);
    if (says(ev, "leak")) return leak(ev, me);
    if (says(ev, "write-elsewhere")) return write_elsewhere(ev, me);
    if (says(ev, "keep-event")) return keep(ev, me, true);
    if (says(ev, "keep-stanza")) return keep(ev, me, false);
    if (says(ev, "fire")) {
        me->depth = 0;
        sv->fire(ev, "roster/changed", sv->from(ev), SV_STR("zoo@localhost"));
        return done(ev, me->depth);
    }
    if (says(ev, "crash")) abort();
    while (says(ev, "loop") && is_forever) continue;
    return done(ev, 0);
}

/* Without end, if the server lets it. */
static sv_verdict on_fired(sv_event *ev, void *self)
{
    zoo *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR("zoo@localhost"))) return SV_PASS;
    me->depth++;
    sv->fire(ev, "roster/changed", sv->from(ev), SV_STR("zoo@localhost"));
    return SV_PASS;
}

/* A MONITOR that acts. */
static sv_verdict on_seen(sv_event *ev, void *self)
{
    (void)self;
    if (says(ev, "monitor-acts")) (void)sv->drop(ev, "zoo");
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    zoo *me = self;
    me->mod = mod;
    if (sv->every(mod, 200, tick) != SV_OK) return SV_EINVAL;
    return sv->store_open(mod, NULL, "own", 1, &me->own);
}

static const sv_hook hooks[] = {
    {.on = "iq-set/host {" NS "}do", .call = on_do},
    {.on = "iq-set/host {" NS "}do", .call = on_seen, .band = SV_MONITOR},
    {.on = "roster/changed", .call = on_fired},
    {0},
};

SV_MODULE(.name = "zoo", .summary = "Does wrong when told to", .self_size = sizeof(zoo), .hooks = hooks,
          .start = start)
