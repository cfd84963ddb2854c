/* Says DONE and disposes of nothing: the ledger must name this module and its hook. */
#include <stave/module.h>

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_DONE;
}

static const sv_hook hooks[] = {{.on = "message/host", .call = on_message}, {0}};

SV_MODULE(.name = "leak", .summary = "Leaks every message", .hooks = hooks)
