/* Hooks a point that does not exist. */
#include <stave/module.h>

static sv_verdict on_it(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

static const sv_hook hooks[] = {{.on = "mesage/account", .call = on_it}, {0}};

SV_MODULE(.name = "bad_point", .summary = "Misspells a hook point", .hooks = hooks)
