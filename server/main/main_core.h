/* The server's own commands: one declaration each, and what it does. */
#ifndef SVI_MAIN_CORE_H
#define SVI_MAIN_CORE_H

#include "mods/mods_command.h"

typedef struct svi_commands svi_commands;
typedef struct svi_tool svi_tool;

#define SVI_CORE_NO_CONFIG 1u /* takes no --config */
#define SVI_CORE_NO_JSON 2u   /* takes no --json */
#define SVI_CORE_HIDDEN 4u    /* for programs: not told by `help` */

#define SVI_CORE_MANY 8u      /* its one argument by its place may be given several times: an array in the request */

/* A command of the server. It has `run`, or `here`, or both: then that is what `stave` calls. */
typedef struct svi_core_command {
    sv_command what; /* its own `run` is not used */
    unsigned flags;  /* SVI_CORE_... */
    /* In the server, or without one if it is SV_COMMAND_OFFLINE: ends the request, at once or later.
     * Router thread. */
    void (*run)(svi_commands *commands, svi_request *request);
    /* In the process of `stave` itself: the exit status. */
    int (*here)(svi_tool *tool);
    /* Prints an answer to `run` that is not made of records; NULL: by the columns. */
    void (*print)(const json_t *answer);
} svi_core_command;

/* Number `i` of them; NULL past the end. */
const svi_core_command *svi_core_at(size_t i);

/* The one of that name; NULL if there is none. */
const svi_core_command *svi_core_find(sv_str name);

/* The one because of which a command of a module with this name would never be reached; NULL. */
const svi_core_command *svi_core_shadows(const char *name);

#endif
