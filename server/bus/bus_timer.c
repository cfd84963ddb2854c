/* Timers: a binary heap by time, then by start. Each timer knows its place, so that a cancel is
 * O(log n). */
#include "bus/bus_timer.h"

#include "base/base_assert.h"

enum { TIMERS_MAGIC = 0x54494d53, TIMER_MAGIC = 0x54494d45, LEAST_CAP = 16 };

struct svi_timer {
    uint32_t magic;
    size_t place; /* in the heap */
    svi_timers *timers;
    int64_t due_us;
    uint64_t serial;
    void (*fire)(void *ctx);
    void *ctx;
};

struct svi_timers {
    uint32_t magic;
    svi_acct *acct;
    const svi_plat *plat;
    svi_pool *pool;
    svi_timer **heap;
    size_t count, cap;
    svi_timers_stats stats;
    uint64_t next_serial;
};

svi_timers *svi_timers_new(svi_acct *acct, const svi_plat *plat)
{
    svi_timers *timers = svi_alloc(acct, sizeof(svi_timers));
    *timers = (svi_timers){.magic = TIMERS_MAGIC,
                           .acct = acct,
                           .plat = plat,
                           .pool = svi_pool_new(acct, sizeof(svi_timer))};
    return timers;
}

void svi_timers_free(svi_timers **timers)
{
    svi_timers *t = *timers;
    *timers = NULL;
    if (t == NULL) return;
    SV_CHECK(t, TIMERS_MAGIC);
    for (size_t i = 0; i < t->count; i++) svi_pool_put(t->pool, t->heap[i]);
    svi_pool_free(&t->pool);
    svi_free(t->heap);
    t->magic = 0;
    svi_free(t);
}

static bool is_before(const svi_timer *a, const svi_timer *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->serial < b->serial;
}

static void put_at(svi_timers *timers, size_t place, svi_timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void sift_up(svi_timers *timers, svi_timer *timer)
{
    size_t place = timer->place;
    while (place > 0) {
        const size_t parent = (place - 1) / 2;
        if (!is_before(timer, timers->heap[parent])) break;
        put_at(timers, place, timers->heap[parent]);
        place = parent;
    }
    put_at(timers, place, timer);
}

static void sift_down(svi_timers *timers, svi_timer *timer)
{
    size_t place = timer->place;
    for (;;) {
        size_t child = place * 2 + 1;
        if (child >= timers->count) break;
        if (child + 1 < timers->count && is_before(timers->heap[child + 1], timers->heap[child]))
            child++;
        if (!is_before(timers->heap[child], timer)) break;
        put_at(timers, place, timers->heap[child]);
        place = child;
    }
    put_at(timers, place, timer);
}

static void take_out(svi_timers *timers, svi_timer *timer)
{
    SV_ASSERT(timer->place < timers->count && timers->heap[timer->place] == timer);
    svi_timer *last = timers->heap[--timers->count];
    if (last != timer) {
        put_at(timers, timer->place, last);
        sift_up(timers, last);
        sift_down(timers, last);
    }
    timer->magic = 0;
    svi_pool_put(timers->pool, timer);
}

svi_timer *svi_timer_start(svi_timers *timers, int64_t in_us, void (*fire)(void *ctx), void *ctx)
{
    SV_CHECK(timers, TIMERS_MAGIC);
    SV_ASSERT(fire != NULL);
    if (timers->count == timers->cap) {
        timers->cap = timers->cap == 0 ? LEAST_CAP : timers->cap * 2;
        timers->heap = svi_realloc(timers->acct, timers->heap, timers->cap * sizeof(svi_timer *));
    }
    const int64_t now_us = timers->plat->mono_us(timers->plat->ctx);
    const int64_t wait_us = in_us < 0 ? 0 : in_us;
    svi_timer *timer = svi_pool_get(timers->pool);
    *timer = (svi_timer){.magic = TIMER_MAGIC,
                         .place = timers->count,
                         .timers = timers,
                         .due_us = wait_us > INT64_MAX - now_us ? INT64_MAX : now_us + wait_us,
                         .serial = timers->next_serial++,
                         .fire = fire,
                         .ctx = ctx};
    timers->heap[timers->count++] = timer;
    sift_up(timers, timer);
    return timer;
}

void svi_timer_cancel(svi_timer **timer)
{
    svi_timer *t = *timer;
    *timer = NULL;
    if (t == NULL) return;
    SV_CHECK(t, TIMER_MAGIC);
    take_out(t->timers, t);
}

size_t svi_timers_run(svi_timers *timers)
{
    SV_CHECK(timers, TIMERS_MAGIC);
    const int64_t now_us = timers->plat->mono_us(timers->plat->ctx);
    const uint64_t older_than = timers->next_serial; /* a timer that restarts itself waits a turn */
    size_t fired = 0;
    while (timers->count > 0) {
        svi_timer *first = timers->heap[0];
        if (first->due_us > now_us || first->serial >= older_than) break;
        void (*const fire)(void *) = first->fire;
        void *const ctx = first->ctx;
        timers->stats.fired++;
        timers->stats.late_us += now_us - first->due_us;
        take_out(timers, first);
        fire(ctx);
        fired++;
    }
    return fired;
}

void svi_timers_stats_get(const svi_timers *timers, svi_timers_stats *stats_out)
{
    SV_CHECK(timers, TIMERS_MAGIC);
    *stats_out = timers->stats;
}

int64_t svi_timers_due_us(const svi_timers *timers)
{
    SV_CHECK(timers, TIMERS_MAGIC);
    return timers->count == 0 ? INT64_MAX : timers->heap[0]->due_us;
}
