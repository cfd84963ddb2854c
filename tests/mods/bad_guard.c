/* Guards where nothing can be refused. */
#include <stave/module.h>

static sv_verdict on_it(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

static const sv_hook hooks[] = {{.on = "session/gone", .call = on_it, .flags = SV_HOOK_GUARD}, {0}};

SV_MODULE(.name = "bad_guard", .summary = "Guards where nothing can be refused", .hooks = hooks)
