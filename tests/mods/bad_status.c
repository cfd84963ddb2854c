/* A command whose name is one of the server's. */
#include <stave/module.h>

static sv_verdict run(sv_event *ev, void *self)
{
    (void)self;
    return sv->answer(ev);
}

static const sv_column columns[] = {{.name = "text", .kind = SV_COLUMN_TEXT}, {0}};
static const sv_command commands[] = {{.name = "status", .summary = "its own", .columns = columns, .run = run}, {0}};

SV_MODULE(.name = "bad_status", .summary = "Hides a command of the server", .commands = commands)
