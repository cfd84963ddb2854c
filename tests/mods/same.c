/* Declares a command, in the place of a module without any; same_too.c the same one in the place of another. */
#include <stave/module.h>

#ifndef SAME
#define SAME "gens"
#endif

static sv_verdict on_it(sv_event *ev, void *self)
{
    (void)self;
    return sv->answer(ev);
}

static const sv_command commands[] = {{.name = "same thing", .summary = "do the same", .run = on_it}, {0}};

SV_MODULE(.name = SAME, .summary = "Has a command now", .commands = commands)
