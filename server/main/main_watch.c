/* The watch over the router: counts its turns from a thread of its own, and ends the worker when one does not end. */
#include "main/main_watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/base_assert.h"
#include "base/base_plat.h"
#include "base/base_log.h"
#include "main/main_crash.h"
#include "main/main_stall.h"

#define MAGIC 0x57415443u
#define LOOK_MS 50
#define ANSWER_MS 5 /* what was asked is soon said */
#define PAUSE_US ((int64_t)1000000) /* between two looks: the process was stopped */
#define STALL_US ((int64_t)100000)
#define STACK_BYTES 700
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
static bool rest(svi_watch *watch, int ms)
{
    const int64_t until_us = mono_us() + ms * 1000;
    const struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                   .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_mutex_lock(&watch->lock);
    if (!watch->is_ended) (void)pthread_cond_timedwait(&watch->ended, &watch->lock, &until);
    const bool is_ended = watch->is_ended;
    (void)pthread_mutex_unlock(&watch->lock);
    return is_ended;
}

/* What is seen to go on: since when, by two clocks. */
typedef struct going {
    uint64_t turn, number; /* the loop's; beats or calls of the bus */
    int64_t wall_us, cpu_us;
} going;

/* True if it is still what it was at the last look, and no rest. */
static bool goes_on(const svi_watch *watch, going *g, uint64_t number, int64_t since_us)
{
    const uint64_t turn = atomic_load_explicit(&watch->turns, memory_order_relaxed);
    if (turn == g->turn && number == g->number && (turn & 1) != 0) {
        g->wall_us += since_us;
        return true;
    }
    *g = (going){.turn = turn, .number = number, .cpu_us = router_cpu_us(watch)};
    return false;
}

/* True if the worker was told to end. */
static bool look_for_hang(const svi_watch *watch, going *g, int64_t since_us)
{
    if (!goes_on(watch, g, svi_bus_beats(watch->bus), since_us)) return false;
    const int64_t cpu_us = router_cpu_us(watch) - g->cpu_us;
    if (cpu_us < CPU_MAX_US && g->wall_us < WALL_MAX_US) return false;
    char why[100];
    (void)snprintf(why, sizeof why, "stall: %lld ms without end, of them %lld ms running",
                   (long long)g->wall_us / 1000, (long long)cpu_us / 1000);
    svi_crash_thread(watch->router, why);
    return true;
}

/* In the context of whom it blames. */
static void tell_stall(const svi_watch *watch, const going *g, const svi_stall *stall)
{
    char stack[STACK_BYTES];
    svi_stall_text(stall, stack, sizeof stack);
    svi_exec *now = svi_exec_now();
    *now = (svi_exec){.module = stall->module, .host = stall->host[0] ? stall->host : NULL, .stanza = stall->stanza};
    SV_LOG(SV_WARN, "handler-stalls", LF_TXT("hook", stall->hook), LF_INT("ms", g->wall_us / 1000),
           LF_INT("cpu_ms", (router_cpu_us(watch) - g->cpu_us) / 1000), LF_TXT("stack", stack));
    *now = (svi_exec){.module = NULL};
}

/* Once for each; true while an answer is waited for. */
static bool look_for_stall(const svi_watch *watch, going *g, uint64_t *asked, int64_t since_us)
{
    svi_stall stall;
    const uint64_t calls = svi_bus_calls(watch->bus);
    if (*asked == g->number && svi_stall_take(&stall)) tell_stall(watch, g, &stall);
    if (!goes_on(watch, g, calls, since_us) || g->wall_us < STALL_US) return false;
    if (*asked == calls) return false;
    *asked = calls;
    svi_stall_ask(watch->router, watch->bus, calls);
    return true;
}

static void *run(void *ctx)
{
    const svi_watch *watch = ctx;
    going hang = {.turn = 0}, stall = {.turn = 0};
    uint64_t asked = 0;
    int64_t looked_us = mono_us();
    bool is_asked = false;
    while (!rest(ctx, is_asked ? ANSWER_MS : LOOK_MS)) {
        /* a process that was stopped as a whole, by a debugger perhaps, did not stall meanwhile */
        int64_t since_us = mono_us() - looked_us;
        looked_us += since_us;
        if (since_us > PAUSE_US) since_us = LOOK_MS * 1000;
        is_asked = look_for_stall(watch, &stall, &asked, since_us);
        if (look_for_hang(watch, &hang, since_us)) break;
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
