/* The supervisor: keeps listeners and lock, starts the worker, starts it again when it dies
 * (house-style C.5). */
#ifndef SVI_MAIN_SUPERVISOR_H
#define SVI_MAIN_SUPERVISOR_H

#include "main/main_cli.h"

typedef struct svi_supervisor_config {
    const svi_cli *cli;
    const char *config;       /* path of the configuration, for the workers */
    void (*ready)(void *ctx); /* the first worker serves; may be NULL */
    void *ctx;
    const char *binary; /* path of the one that `stave upgrade` executes; NULL: none does */
    bool hangup_stops; /* HUP ends (a closed terminal) instead of reloading */
} svi_supervisor_config;

/* Serves until it is stopped (TERM, INT, the command `stop`). TERM is passed on to the worker,
 * which gets 10 s to end; a second TERM ends at once; HUP reloads. Returns the exit status of
 * `stave serve`; what went wrong was logged, or told on standard error before logging began. */
int svi_supervise(const svi_supervisor_config *config);

#endif
