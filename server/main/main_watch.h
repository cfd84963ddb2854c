/* The watch over the router: a handler that holds it is reported while it runs; a worker whose router no longer turns its
 * loop is ended with a report that names the module and hook it hangs in (architecture 4). */
#ifndef SVI_MAIN_WATCH_H
#define SVI_MAIN_WATCH_H

#include <uv.h>

#include "bus/bus.h"

typedef struct svi_watch svi_watch;

/* How it looks: 20 times a second at two counters. A handler, timer or question to a back end that has run for 100 ms is
 * logged once (`handler-stalls`) with module, hook, host and stack, which the router's own thread says (main_stall.h). */

/* Starts a thread that watches the calling one, which runs `loop` and the bus. Between two turns of the loop, or two events of the
 * bus, it may take 2 s of its own processor time, so that a busy machine ends nobody, or 30 s by the clock. After that the thread
 * gets SIGABRT, whose report (main_crash.h) says so. Fails only if no thread can be had: SV_EIO. */
sv_status svi_watch_start(svi_acct *acct, uv_loop_t *loop, const svi_bus *bus,
                          svi_watch **watch_out, sv_err *err);

/* Ends the watch; what follows may take its time. On the watched thread, while the loop still runs. */
void svi_watch_stop(svi_watch **watch);

#endif
