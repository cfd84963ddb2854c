/* Stands at one point in each band: what a message to the host carries tells who was asked, in which order; one of them waits. */
#include <stave/module.h>

#define NS "urn:stave:kept-order"

typedef struct order {
    sv_mod *mod;
    sv_store *store;
} order;

/* Adds a step to the stanza that the later handlers see. */
static void step(sv_event *ev, const char *name)
{
    sv_draft *done = sv->draft(ev, SV_STR("step"), SV_STR(NS));
    sv->set(done, SV_STR("name"), sv_str_of(name));
    sv->replace(ev, sv->with_child(ev, sv->stanza(ev), done));
}

static sv_verdict on_first(sv_event *ev, void *self)
{
    (void)self;
    step(ev, "first");
    return SV_PASS;
}

static void came(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)value;
    (void)self;
    step(ev, status == SV_ENOTFOUND ? "waited" : "wrong");
    sv->pass(ev);
}

static sv_verdict on_early(sv_event *ev, void *self)
{
    const order *me = self;
    sv->get(ev, me->store, SV_STR("/"), SV_STR("none"), came);
    return SV_LATER;
}

static sv_verdict on_normal(sv_event *ev, void *self)
{
    (void)self;
    step(ev, "normal");
    return SV_PASS;
}

static sv_verdict on_late(sv_event *ev, void *self)
{
    (void)self;
    sv_str steps = SV_STR_NONE;
    const sv_node *root = sv->root(ev);
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child)) {
        const sv_str name = sv->attr(child, SV_STR("name"));
        if (sv->is(child, SV_STR("step"), SV_STR(NS)))
            steps = sv->format(ev, "%.*s %.*s", (int)steps.n, steps.p ? steps.p : "", (int)name.n, name.p);
    }
    sv_draft *told = sv->draft(ev, SV_STR("message"), SV_STR("jabber:client"));
    sv->add_text(sv->child(told, SV_STR("body"), SV_STR_NONE), steps);
    sv->push(ev, sv->session(ev), sv->freeze(ev, told));
    return sv->consume(ev);
}

static sv_verdict on_monitor(sv_event *ev, void *self)
{
    const order *me = self;
    sv->log(me->mod, SV_INFO, "kept-monitor", "host", sv->format(ev, "%.*s", (int)sv->host(me->mod).n, sv->host(me->mod).p).p, NULL);
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    order *me = self;
    me->mod = mod;
    return sv->store_open(mod, NULL, "nothing", 1, &me->store);
}

#define MINE "message/host {" NS "}order"
static const sv_hook hooks[] = {
    {.on = MINE, .call = on_monitor, .band = SV_MONITOR},
    {.on = MINE, .call = on_late, .band = SV_LATE},
    {.on = MINE, .call = on_normal},
    {.on = MINE, .call = on_early, .band = SV_EARLY},
    {.on = MINE, .call = on_first, .band = SV_FIRST},
    {0},
};

SV_MODULE(.name = "kept_order", .summary = "Tells in which order it was asked", .self_size = sizeof(order), .hooks = hooks,
          .start = start)
