/* Declares a command that cannot be called. */
#include <stave/module.h>

static const sv_command commands[] = {{.name = "bad command", .summary = "runs nothing"}, {0}};

SV_MODULE(.name = "bad_command", .summary = "Misdeclares a command", .commands = commands)
