/* Declares a command that another module has. */
#include <stave/module.h>

static sv_verdict on_it(sv_event *ev, void *self)
{
    (void)self;
    return sv->answer(ev);
}

static const sv_command commands[] = {{.name = "asks count", .summary = "count as well", .run = on_it}, {0}};

SV_MODULE(.name = "asks_too", .summary = "Has another's command", .commands = commands)
