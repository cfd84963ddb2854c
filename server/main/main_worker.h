/* The worker: the process that serves. Started by the supervisor with the listening sockets. */
#ifndef SVI_MAIN_WORKER_H
#define SVI_MAIN_WORKER_H

#include "main/main_cli.h"

/* Serves until TERM or the command `stop`; HUP reloads. Returns the process's exit status: 0 after
 * an ordered end, SVI_EXIT_STORE, SVI_EXIT_REFUSED when it could not start (the reasons are
 * logged). */
int svi_worker_main(const svi_cli *cli);

#endif
