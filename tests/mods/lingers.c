/* Says LATER at the end of each session, and goes on when a read comes back. */
#include <stave/module.h>

typedef struct lingers {
    sv_store *store;
} lingers;

static void read_back(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)status;
    (void)value;
    (void)self;
    sv->pass(ev);
}

static sv_verdict on_gone(sv_event *ev, void *self)
{
    const lingers *me = self;
    sv->get(ev, me->store, sv->from(ev)->node, SV_STR("k"), read_back);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    lingers *me = self;
    return sv->store_open(mod, NULL, "nothing", 1, &me->store);
}

static const sv_hook hooks[] = {{.on = "session/gone", .call = on_gone}, {0}};

SV_MODULE(.name = "lingers", .summary = "Waits when a session ends (for tests)", .self_size = sizeof(lingers), .hooks = hooks,
          .start = start)
