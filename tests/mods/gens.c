/* Generations of a module: built several times from this text, each with another GENS. Its requests wait, write, or
 * both, so that tests see what a reload makes of them. */
#include <stave/module.h>

#include <string.h>

#ifndef GENS
#define GENS 1 /* 2: another table, new options and hooks; 3: a table that it can't take over; 4: does not start; 5: nor on one.example */
#endif
#define NS "urn:stave:gens"

typedef struct gens {
    sv_mod *mod;
    sv_store *notes;
    sv_table *seen;
    int64_t asked;   /* by this generation */
    int64_t inherited; /* by those before */
    int64_t fat;     /* option: bytes that it saves besides */
    int64_t more;    /* option, from 2 on */
    sv_str text;     /* what the one before saved */
    char texts[64];
    sv_event *other; /* that waits; for one that writes where it may not */
    int64_t rounds;
} gens;

/* A record of the table: who has asked. */
typedef struct seen {
    int64_t times;
#if GENS == 2
    int64_t doubled;
#endif
} seen;

/* What it keeps on a session: in version 2 more. */
typedef struct kept {
    int64_t times[GENS == 2 ? 2 : 1];
} kept;

/* What all hosts share. */
typedef struct together {
    int64_t asked;
} together;

/* How often all have asked, in the order in which they came first. */
static sv_str list_of(sv_event *ev, const gens *me)
{
    sv_str list = SV_STR(""), name;
    size_t pos = 0;
    for (const seen *s; (s = sv->table_next(me->seen, &pos, &name)) != NULL;)
        if (sv->table_get(me->seen, name) == s)
            list = sv->format(ev, "%.*s%.*s:%lld;", (int)list.n, list.p, (int)name.n, name.p, (long long)s->times);
    return list;
}

static void answer(sv_event *ev, gens *me, const char *how)
{
    sv_draft *out = sv->reply(ev, SV_STR("gens"), SV_STR(NS));
    together *all = sv->shared(me->mod);
    me->asked++;
    all->asked++;
    sv->set_int(out, SV_STR("code"), GENS);
    sv->set(out, SV_STR("how"), sv_str_of(how));
    sv->set_int(out, SV_STR("asked"), me->asked);
    sv->set_int(out, SV_STR("inherited"), me->inherited);
    sv->set_int(out, SV_STR("together"), all->asked);
    sv->set_int(out, SV_STR("rounds"), me->rounds);
    seen *record = sv->table_put(me->seen, sv->from(ev)->node);
    if (record) sv->set_int(out, SV_STR("seen"), ++record->times);
    sv->set_int(out, SV_STR("names"), (int64_t)sv->table_count(me->seen));
    sv->set(out, SV_STR("list"), list_of(ev, me));
    const bool is_home = sv_str_eq(sv->from(ev)->domain, sv->host(me->mod));
    kept *here = is_home && sv->session(ev) ? sv->session_data(me->mod, sv->session(ev), sizeof(kept)) : NULL;
    if (here) sv->set_int(out, SV_STR("session"), ++here->times[0]);
#if GENS == 2
    if (record) sv->set_int(out, SV_STR("doubled"), record->doubled);
#endif
    sv->set(out, SV_STR("text"), me->text.p ? me->text : SV_STR(""));
#if GENS >= 2
    sv->set_int(out, SV_STR("more"), me->more);
#endif
    (void)sv->send(ev);
}

static sv_verdict on_who(sv_event *ev, void *self)
{
    answer(ev, self, "at-once");
    return SV_DONE;
}

/* --- what waits ------------------------------------------------------------------------------------- */

static void waited(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows;
    answer(ev, self, "waited");
}

static sv_verdict on_wait(sv_event *ev, void *self)
{
    gens *me = self;
    me->other = ev;
    sv->log(me->mod, SV_INFO, "gens-wait", "code", GENS == 1 ? "1" : "2", NULL);
    (void)sv->reply(ev, SV_STR("half"), SV_STR(NS));
    sv->rows_load(ev, me->notes, sv->from(ev)->node, waited);
    return SV_LATER;
}

static void wrote(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const gens *me = self;
    (void)status, (void)rows;
    if (sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("second"), SV_STR("b")) != SV_OK)
        (void)sv->refuse(ev, SV_NOT_ALLOWED);
    else
        answer(ev, self, "wrote");
}

static sv_verdict on_write(sv_event *ev, void *self)
{
    const gens *me = self;
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("first"), SV_STR("a"));
    sv->rows_load(ev, me->notes, SV_STR("/other"), wrote);
    return SV_LATER;
}

/* Writes in somebody else's event, which waits too. */
static void meddled(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    gens *me = self;
    (void)status, (void)rows;
    const sv_status denied = sv->put(me->other, me->notes, SV_STR("romeo"), SV_STR("meddled"), SV_STR("x"));
    answer(ev, self, denied == SV_EDENIED ? "denied" : "meddled");
}

static sv_verdict on_meddle(sv_event *ev, void *self)
{
    const gens *me = self;
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("first"), SV_STR("a"));
    sv->rows_load(ev, me->notes, SV_STR("/third"), meddled);
    return SV_LATER;
}

static void passed(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows, (void)self;
    sv->pass(ev);
}

/* Waits, writes, and passes it on to the next handler. */
static sv_verdict on_pass(sv_event *ev, void *self)
{
    const gens *me = self;
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("passed"), SV_STR("p"));
    sv->rows_load(ev, me->notes, SV_STR("/passed"), passed);
    return SV_LATER;
}

/* --- life ------------------------------------------------------------------------------------------- */

static void tick(void *self)
{
    gens *me = self;
    me->rounds++;
    if (GENS == 5) sv->log(me->mod, SV_INFO, "gens-tick", NULL);
}

static void inherit(gens *me)
{
    uint32_t version;
    sv_str text = SV_STR_NONE;
    int64_t number;
    if (sv->saved_int(me->mod, "asked", &version, &number) && version == 1) me->inherited = number;
    if (sv->saved_int(me->mod, "text", &version, &number)) me->inherited = -1; /* it is none */
    if (!sv->saved_bytes(me->mod, "text", &version, &text) || text.n > sizeof me->texts) return;
    for (size_t i = 0; i < text.n; i++) me->texts[i] = text.p[i];
    me->text = (sv_str){me->texts, text.n};
}

#if GENS == 2
static bool turn(sv_str key, const void *old, uint32_t old_version, size_t old_bytes, void *record_out)
{
    int64_t times;
    if (old_version != 1 || old_bytes != sizeof times || sv_str_eq(key, SV_STR("odd"))) return false;
    memcpy(&times, old, sizeof times);
    *(seen *)record_out = (seen){.times = times, .doubled = 2 * times};
    return true;
}
#endif

/* What a start that is refused has done must be undone. */
static void disturb(gens *me)
{
    seen *record = sv->table_put(me->seen, SV_STR("romeo"));
    if (record) record->times = 1000;
    (void)sv->table_del(me->seen, SV_STR("juliet"));
    (void)sv->table_put(me->seen, SV_STR("tybalt"));
    if ((record = sv->table_put(me->seen, SV_STR("juliet"))) != NULL) record->times = 1;
    (void)sv->table_del(me->seen, SV_STR("nurse"));
}

static bool open_table(gens *me)
{
    const sv_table_desc desc = {.size = sizeof desc,
                                .name = "seen",
                                .version = GENS >= 4 ? 1 : GENS,
                                .record_bytes = sizeof(seen),
                                .max_records = 4,
#if GENS == 2
                                .convert = turn
#endif
    };
    me->seen = sv->table(me->mod, &desc);
    if (me->seen && GENS >= 4) disturb(me);
    return me->seen != NULL;
}

/* What was asked for in a start that is refused comes back to nobody. */
static void listed(sv_status status, const sv_str *names, size_t count, bool more, void *self)
{
    (void)status, (void)names, (void)count, (void)more;
    sv->log(((gens *)self)->mod, SV_INFO, "gens-listed", NULL);
}

static sv_status start(sv_mod *mod, void *self)
{
    gens *me = self;
    me->mod = mod;
    if (GENS == 5) sv->accounts(mod, SV_STR_NONE, 10, listed);
    inherit(me);
    const sv_status status = sv->every(mod, 1000, tick);
    if (status != SV_OK) return status;
    if (sv->store_open(mod, NULL, "notes", 1, &me->notes) != SV_OK) return SV_EIO;
    if (!open_table(me)) return SV_EVERSION;
    return GENS == 4 || (GENS == 5 && sv_str_eq(sv->host(mod), SV_STR("one.example"))) ? SV_EINVAL : SV_OK;
}

static char much[1 << 20];

static void save(sv_blob *blob, void *self)
{
    const gens *me = self;
    (void)sv->save_int(blob, "asked", 1, me->asked + me->inherited);
    (void)sv->save_bytes(blob, "text", 1, SV_STR("first"));
    (void)sv->save_bytes(blob, "text", 1, SV_STR("last"));
    if (me->fat > 0) (void)sv->save_bytes(blob, "fat", 1, (sv_str){much, (size_t)me->fat});
}

static sv_status start_shared(void *shared)
{
    ((together *)shared)->asked = 100;
    return SV_OK;
}

static void stop(void *self)
{
    sv->log(((gens *)self)->mod, SV_INFO, "gens-stop", "code", GENS == 1 ? "1" : "2", NULL);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS "}who", .call = on_who},
    {.on = "iq-get/host {" NS "}wait", .call = on_wait},
    {.on = "iq-set/host {" NS "}write", .call = on_write, .flags = SV_HOOK_STORES},
    {.on = "iq-set/host {" NS "}meddle", .call = on_meddle, .flags = SV_HOOK_STORES},
    {.on = "iq-get/host {" NS "}stay", .call = on_wait, .flags = SV_HOOK_FINISHES},
    {.on = "iq-set/host {" NS "}pass", .call = on_pass, .band = SV_EARLY},
    {.on = "iq-set/host {" NS "}pass", .call = on_who, .band = SV_LATE},
#if GENS == 1
    {.on = "iq-get/host {" NS "}gone", .call = on_wait},
#endif
    {0}};

static const sv_option options[] = {
    SV_OPT_INT(gens, fat, "gens_fat", "0", "0", "1048576", "How many bytes it saves."),
#if GENS >= 2
    SV_OPT_INT(gens, more, "gens_more", "42", "0", "100", "Something new."),
#endif
    {0}};

SV_MODULE(.name = "gens", .summary = "Generations", .self_size = sizeof(gens), .hooks = hooks,
          .features = GENS == 1 ? "urn:stave:gens:1" : "urn:stave:gens:2",
          .options = options, .start = start, .save = save, .stop = stop,
          .shared_size = sizeof(together), .start_shared = start_shared)
