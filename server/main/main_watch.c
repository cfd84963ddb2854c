/* The watch over the router: counts its turns from a thread of its own, and ends the worker when one does not end. */
#include "main/main_watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/base_assert.h"
#include "base/base_plat.h"
#include "main/main_crash.h"

#define MAGIC 0x57415443u
#define LOOK_MS 250
#define CPU_MAX_US ((int64_t)2000000)
#define WALL_MAX_US ((int64_t)30000000)

struct svi_watch {
    uint32_t magic;
    const svi_bus *bus;
    pthread_t router, thread;
    clockid_t router_cpu;
    atomic_uint_fast64_t turns; /* odd while the router works, even while it waits for events */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_ended; /* under the lock */
    unsigned open; /* handles; the memory goes with the last */
    uv_check_t works;
    uv_prepare_t waits;
};

/* --- on the router ---------------------------------------------------------------------------- */

static void on_works(uv_check_t *check)
{
    svi_watch *watch = check->data;
    const uint_fast64_t now = atomic_load_explicit(&watch->turns, memory_order_relaxed);
    atomic_store_explicit(&watch->turns, (now | 1) + 2, memory_order_relaxed);
}

static void on_waits(uv_prepare_t *prepare)
{
    svi_watch *watch = prepare->data;
    const uint_fast64_t now = atomic_load_explicit(&watch->turns, memory_order_relaxed);
    atomic_store_explicit(&watch->turns, (now | 1) + 1, memory_order_relaxed);
}

/* --- on the watching thread ------------------------------------------------------------------- */

static int64_t us_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t router_cpu_us(const svi_watch *watch)
{
    struct timespec now = {.tv_sec = 0};
    /* lint: allow clock_gettime (another thread's processor time, which decides nothing else) */
    (void)clock_gettime(watch->router_cpu, &now);
    return us_of(now);
}

static int64_t mono_us(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx);
}

/* True if it is over; else some time has passed. */
static bool rest(svi_watch *watch)
{
    const int64_t until_us = mono_us() + LOOK_MS * 1000;
    const struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                   .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_mutex_lock(&watch->lock);
    if (!watch->is_ended) (void)pthread_cond_timedwait(&watch->ended, &watch->lock, &until);
    const bool is_ended = watch->is_ended;
    (void)pthread_mutex_unlock(&watch->lock);
    return is_ended;
}

static void *run(void *ctx)
{
    svi_watch *watch = ctx;
    uint64_t seen = 0, beats = 0; /* what was going on at the last look */
    int64_t cpu_us = 0, wall_us = 0, looked_us = mono_us();
    while (!rest(watch)) {
        /* a process that was stopped as a whole, by a debugger perhaps, did not stall meanwhile */
        const int64_t since_us = mono_us() - looked_us;
        wall_us += since_us < 4 * LOOK_MS * 1000 ? since_us : LOOK_MS * 1000;
        looked_us += since_us;
        const uint64_t turn = atomic_load_explicit(&watch->turns, memory_order_relaxed);
        const uint64_t beat = svi_bus_beats(watch->bus);
        if (turn != seen || beat != beats || (turn & 1) == 0) {
            seen = turn;
            beats = beat;
            cpu_us = router_cpu_us(watch);
            wall_us = 0;
            continue;
        }
        const int64_t cpu = router_cpu_us(watch) - cpu_us;
        if (cpu < CPU_MAX_US && wall_us < WALL_MAX_US) continue;
        char why[100];
        (void)snprintf(why, sizeof why, "stall: %lld ms without end, of them %lld ms running",
                       (long long)wall_us / 1000, (long long)cpu / 1000);
        svi_crash_thread(watch->router, why);
        break;
    }
    return NULL;
}

/* --- start and end ---------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    svi_watch *watch = handle->data;
    if (--watch->open > 0) return;
    watch->magic = 0;
    svi_free(watch);
}

/* What is started last is called first: the check before all other work, the prepare behind it. */
static void count_turns(svi_watch *watch, uv_loop_t *loop)
{
    (void)uv_check_init(loop, &watch->works);
    (void)uv_prepare_init(loop, &watch->waits);
    watch->works.data = watch->waits.data = watch;
    watch->open = 2;
    (void)uv_check_start(&watch->works, on_works);
    (void)uv_prepare_start(&watch->waits, on_waits);
    uv_unref((uv_handle_t *)&watch->works);
    uv_unref((uv_handle_t *)&watch->waits);
}

/* Signals are the router's. */
static int start_thread(svi_watch *watch)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    const int failed = pthread_create(&watch->thread, NULL, run, watch);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!failed) (void)pthread_setname_np(watch->thread, "watch");
    return failed;
}

sv_status svi_watch_start(svi_acct *acct, uv_loop_t *loop, const svi_bus *bus,
                          svi_watch **watch_out, sv_err *err)
{
    svi_watch *watch = svi_alloc(acct, sizeof *watch);
    *watch = (svi_watch){.magic = MAGIC, .bus = bus, .router = pthread_self()};
    pthread_condattr_t attr;
    SV_ASSERT(pthread_condattr_init(&attr) == 0);
    SV_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SV_ASSERT(pthread_cond_init(&watch->ended, &attr) == 0);
    SV_ASSERT(pthread_mutex_init(&watch->lock, NULL) == 0);
    (void)pthread_condattr_destroy(&attr);
    SV_ASSERT(pthread_getcpuclockid(watch->router, &watch->router_cpu) == 0);
    const int failed = start_thread(watch);
    if (failed) {
        svi_free(watch);
        return svi_err(err, SV_EIO, "the watching thread: %s", strerror(failed));
    }
    count_turns(watch, loop);
    *watch_out = watch;
    return SV_OK;
}

void svi_watch_stop(svi_watch **watch)
{
    svi_watch *w = *watch;
    *watch = NULL;
    if (!w) return;
    SV_CHECK(w, MAGIC);
    (void)pthread_mutex_lock(&w->lock);
    w->is_ended = true;
    (void)pthread_cond_signal(&w->ended);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_cond_destroy(&w->ended);
    (void)pthread_mutex_destroy(&w->lock);
    uv_close((uv_handle_t *)&w->works, on_closed);
    uv_close((uv_handle_t *)&w->waits, on_closed);
}
