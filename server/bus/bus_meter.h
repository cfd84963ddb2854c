/* The meter: to whom the router's time goes (architecture 6).
 *
 * A turn is what the router's thread begins by itself: an event that is run, a callback of one that
 * waits, a timer of a module. One of SVI_SAMPLE_EVERY turns is timed, at a random place among them, so that no
 * pattern of stanzas is in step with it; what is measured then counts that many times. Turns of
 * their own kind (svi_bus_enter_timed) are all timed and count once. In a timed turn the time between two stamps
 * belongs to whoever ran last: a handler that fires others is not charged for theirs. Time is that of the
 * platform's monotonic clock: a handler is charged for as long as it holds the router. Router thread only. */
#ifndef SVI_BUS_METER_H
#define SVI_BUS_METER_H

#include <stddef.h>
#include <stdint.h>

typedef struct svi_bus svi_bus;

enum { SVI_SAMPLE_EVERY = 64 /* turns per timed one */ };
#define SVI_SAMPLE_NEVER UINT32_MAX

/* Counts of one hook of a module on a host, or of another place where its code is run ("timer", "start"). The
 * bus writes them; they outlive every table and event that knows them. */
typedef struct svi_hook_stats {
    uint64_t calls; /* of the handler */
    uint64_t passed, done, later;
    uint64_t callbacks; /* of functions that are no handlers: what it waited for has come, timers, start */
    uint64_t faults;    /* what svi_bus_on_fault tells of it */
    int64_t cpu_ns;     /* of calls and callbacks; scaled, see above */
    uint16_t name;      /* the trail's number of it (bus_trail.h); 0: none yet */
} svi_hook_stats;

/* Adds the counts of `more`. */
void svi_hook_stats_add(svi_hook_stats *sum, const svi_hook_stats *more);

/* What measuring itself costs: how often each clock was read for it since the start. */
typedef struct svi_meter_stats {
    uint64_t turns, timed; /* begun; of them timed */
    uint64_t reads;        /* of the fine clock (mono_us) */
    uint64_t looks;        /* of the coarse one (coarse_us), which sees handlers that are slow */
} svi_meter_stats;

/* Fills in the figures as they are now. */
void svi_bus_meter_stats(const svi_bus *bus, svi_meter_stats *stats_out);

/* From now on the time is `whose` (may be NULL: the core's), within the turn that goes on, or in one of its
 * own, of which one in SVI_SAMPLE_EVERY is timed. Returns whose it was, for svi_bus_leave; each is left
 * before what is around it. */
svi_hook_stats *svi_bus_enter(svi_bus *bus, svi_hook_stats *whose);
/* The same; if it is a turn of its own it is timed: for what is rare. */
svi_hook_stats *svi_bus_enter_timed(svi_bus *bus, svi_hook_stats *whose);
/* The time is `outer`'s again. */
void svi_bus_leave(svi_bus *bus, svi_hook_stats *outer);

#endif
