/* Timers of the router thread on the platform's clock: a heap; the daemon arms one loop timer
 * for the nearest. */
#ifndef SVI_BUS_TIMER_H
#define SVI_BUS_TIMER_H

#include "base/base_mem.h"
#include "base/base_plat.h"

typedef struct svi_timers svi_timers;
typedef struct svi_timer svi_timer;

/* An empty set of timers on the platform's monotonic clock. */
svi_timers *svi_timers_new(svi_acct *acct, const svi_plat *plat);
/* Frees all timers that are left. */
void svi_timers_free(svi_timers **timers);

/* Calls `fire(ctx)` once, `in_us` from now (at least 0), from svi_timers_run. Freed after it
 * fired, or by cancel. */
svi_timer *svi_timer_start(svi_timers *timers, int64_t in_us, void (*fire)(void *ctx), void *ctx);
/* Stops and clears; NULL is no error. Inside its own `fire` the pointer is already invalid. */
void svi_timer_cancel(svi_timer **timer);

/* Fires what is due, in order of time then of start; returns how many. */
size_t svi_timers_run(svi_timers *timers);
/* How late timers are: a sign of a router that has too much to do. */
typedef struct svi_timers_stats {
    uint64_t fired;  /* ever */
    int64_t late_us; /* behind their time, all together */
} svi_timers_stats;
/* Fills in the figures as they are now. */
void svi_timers_stats_get(const svi_timers *timers, svi_timers_stats *stats_out);

/* When the next is due (monotonic us), INT64_MAX if none. */
int64_t svi_timers_due_us(const svi_timers *timers);

#endif
