/* The platform table: clock and randomness, handed in (architecture 5). Sockets are handed in by
 * net_link.h, commits by store_engine.h.
 *
 * The daemon gives the kernel's, the stage a virtual clock and a seeded generator. */
#ifndef SVI_BASE_PLAT_H
#define SVI_BASE_PLAT_H

#include <stave/types.h>

typedef struct svi_plat {
    void *ctx;
    int64_t (*mono_us)(void *ctx);   /* for timers and durations; never goes back */
    int64_t (*wall_us)(void *ctx);   /* for display and stamps: us since 1970, UTC */
    int64_t (*coarse_us)(void *ctx); /* as mono_us, some ms behind, a few ns a call; NULL: none */
    int64_t (*cpu_us)(void *ctx);    /* what the calling thread ran so far; NULL: as long as time passes */
    void (*random)(void *ctx, void *to, size_t n); /* unguessable bytes; never fails */
} svi_plat;

/* The kernel's clocks and getrandom(). Static. */
const svi_plat *svi_plat_kernel(void);

/* A clock that moves only when told and a generator that repeats from its seed. */
typedef struct svi_plat_virtual {
    svi_plat plat;
    int64_t now_us; /* monotonic; wall clock is this plus wall_base_us */
    int64_t wall_base_us;
    uint64_t seed[4];
} svi_plat_virtual;

/* Starts at now_us = 0, wall clock 2026-01-01T00:00:00Z. Fills `v`; `v->plat` is the table. */
void svi_plat_virtual_init(svi_plat_virtual *v, uint64_t seed);
void svi_plat_virtual_advance(svi_plat_virtual *v, int64_t us);

/* XEP-0082 UTC stamp "2026-01-01T00:00:00Z" into `to` (at least 21 bytes). */
sv_str svi_plat_stamp(int64_t wall_us, char to[32]);

/* The same for ms since 1970, with milliseconds if there are any: "2026-01-01T00:00:00.250Z". */
sv_str svi_plat_stamp_ms(int64_t wall_ms, char to[32]);

/* The platform of the server whose turn it is on this thread: for calls that carry no context, such
 * as a module's clock. Whoever takes a turn enters it; NULL leaves. The kernel's if nobody entered
 * one. */
void svi_plat_enter(const svi_plat *plat);
const svi_plat *svi_plat_here(void);

#endif
