/* Breaks rules, uses memory and time when it is told to, and has a hook of each policy, so that tests see what becomes of it. */
#include <stave/module.h>

#define NS "urn:stave:unruly"

typedef struct unruly {
    sv_mod *mod;
    void *memory; /* the newest block */
    sv_str kept;
    int64_t ticks, bound, ready, watched;
} unruly;

static bool says(sv_event *ev, const char *what)
{
    const sv_node *body = sv->find(sv->root(ev), SV_STR("body"), SV_STR_NONE);
    return body != NULL && sv_str_eq(sv->text(ev, body), sv_str_of(what));
}

/* A message's text is what to do. */
static sv_verdict on_message(sv_event *ev, void *self)
{
    unruly *me = self;
    if (says(ev, "done")) return SV_DONE; /* without disposal */
    if (says(ev, "never")) return SV_LATER;
    if (says(ev, "twice")) {
        (void)sv->drop(ev, "unruly");
        return sv->drop(ev, "unruly");
    }
    if (says(ev, "grow")) me->memory = sv->alloc(me->mod, 64 * 1024);
    if (says(ev, "remember")) (void)sv->session_data(me->mod, sv->session(ev), 200 * 1024);
    if (says(ev, "shrink")) sv->free(me->mod, &me->memory);
    if (says(ev, "slow")) {
        const int64_t until_ms = sv->now_ms() + 1100; /* of which it may run but a few on a busy machine */
        while (sv->now_ms() < until_ms) continue;
    }
    return SV_PASS;
}

static sv_verdict on_asked(sv_event *ev, void *self)
{
    (void)self;
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict on_state(sv_event *ev, void *self)
{
    const unruly *me = self;
    sv_draft *out = sv->reply(ev, SV_STR("state"), SV_STR(NS));
    sv->set_int(out, SV_STR("ticks"), me->ticks);
    sv->set_int(out, SV_STR("bound"), me->bound);
    sv->set_int(out, SV_STR("ready"), me->ready);
    sv->set_int(out, SV_STR("watched"), me->watched);
    return sv->send(ev);
}

/* Resizes, copies, gives back: what it says is what it found. */
static sv_verdict on_memory(sv_event *ev, void *self)
{
    unruly *me = self;
    unsigned char *block = sv->alloc(me->mod, 100);
    bool fine = true;
    for (size_t i = 0; i < 100; i++) fine = fine && block[i] == 0;
    block[99] = 7;
    block = sv->alloc_resize(me->mod, block, 5000);
    fine = fine && block[99] == 7;
    for (size_t i = 100; i < 5000; i++) fine = fine && block[i] == 0;
    void *none = NULL;
    sv->free(me->mod, &none);
    sv->str_free(me->mod, &me->kept);
    me->kept = sv->str_dup(me->mod, SV_STR("kept")); /* goes with the module */
    fine = fine && sv_str_eq(me->kept, SV_STR("kept")) && me->kept.p[4] == '\0';
    sv->free(me->mod, &block);
    fine = fine && block == NULL;
    sv_draft *out = sv->reply(ev, SV_STR("memory"), SV_STR(NS));
    sv->set(out, SV_STR("is"), fine ? SV_STR("fine") : SV_STR("wrong"));
    return sv->send(ev);
}

static sv_verdict on_wrong_free(sv_event *ev, void *self)
{
    unruly *me = self;
    _Alignas(16) static char other[256];
    void *wrong = other + 128;
    sv->free(me->mod, &wrong);
    return sv->drop(ev, "unruly");
}

static sv_verdict on_bound(sv_event *ev, void *self)
{
    (void)ev;
    ((unruly *)self)->bound++;
    return SV_PASS;
}

static sv_verdict on_ready(sv_event *ev, void *self)
{
    (void)ev;
    ((unruly *)self)->ready++;
    return SV_PASS;
}

static sv_verdict on_watched(sv_event *ev, void *self)
{
    (void)ev;
    ((unruly *)self)->watched++;
    return SV_PASS;
}

static void tick(void *self)
{
    ((unruly *)self)->ticks++;
}

static sv_status start(sv_mod *mod, void *self)
{
    ((unruly *)self)->mod = mod;
    return sv->every(mod, 10000, tick);
}

static const sv_hook hooks[] = {
    {.on = "message/out", .call = on_message},
    {.on = "message/out", .call = on_watched, .band = SV_MONITOR},
    {.on = "iq-get/host {" NS "}bounce", .call = on_asked},
    {.on = "iq-get/host {" NS "}guard", .call = on_asked, .flags = SV_HOOK_GUARD},
    {.on = "iq-get/host {" NS "}open", .call = on_asked, .flags = SV_HOOK_OPEN},
    {.on = "iq-get/host {" NS "}state", .call = on_state},
    {.on = "iq-get/host {" NS "}memory", .call = on_memory},
    {.on = "iq-get/host {" NS "}wrong", .call = on_wrong_free},
    {.on = "iq-result/host", .call = on_watched},
    {.on = "session/bound", .call = on_bound},
    {.on = "host/ready", .call = on_ready},
    {.on = NULL}};

static sv_verdict on_command(sv_event *ev, void *self)
{
    (void)self;
    return sv->answer(ev);
}

static const sv_command commands[] = {
    {.name = "unruly", .summary = "does nothing", .run = on_command}, {.name = NULL}};

SV_MODULE(.name = "unruly", .summary = "Breaks rules when told to", .self_size = sizeof(unruly), .hooks = hooks,
          .commands = commands, .start = start)
