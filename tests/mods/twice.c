/* Disposes of a stanza twice: debug builds end the worker and name this module and its hook. */
#include <stave/module.h>

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)self;
    (void)sv->consume(ev);
    return sv->drop(ev, "twice-again");
}

static const sv_hook hooks[] = {{.on = "message/host", .call = on_message}, {0}};

SV_MODULE(.name = "twice", .summary = "Disposes twice", .hooks = hooks)
