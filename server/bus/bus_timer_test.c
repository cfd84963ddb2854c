/* Timers: order, cancel anywhere in the heap, timers that start and cancel others while firing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/bus_timer.h"

enum { MANY = 500, SPAN_US = 100 };

typedef struct world {
    svi_acct acct;
    svi_plat_virtual plat;
    svi_timers *timers;
    struct shot *last;
    size_t fired;
    uint64_t random;
} world;

typedef struct shot {
    world *w;
    int64_t due_us;
    size_t serial;
    svi_timer *timer;
    struct shot *cancels, *starts;
    bool has_fired, is_canceled;
} shot;

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "timer-test";
    w->random = 7;
    svi_plat_virtual_init(&w->plat, 1);
    w->timers = svi_timers_new(&w->acct, &w->plat.plat);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    svi_timers_free(&w->timers);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

static uint32_t roll(world *w, uint32_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

static void start(world *w, shot *s, int64_t in_us);

static void fire(void *ctx)
{
    shot *s = ctx;
    world *w = s->w;
    assert_false(s->has_fired || s->is_canceled);
    assert_true(s->due_us <= w->plat.now_us);
    if (w->last != NULL) { /* by time, then by start */
        assert_true(w->last->due_us <= s->due_us);
        if (w->last->due_us == s->due_us) assert_true(w->last->serial < s->serial);
    }
    w->last = s;
    w->fired++;
    s->has_fired = true;
    s->timer = NULL;
    if (s->cancels != NULL) {
        s->cancels->is_canceled = true;
        svi_timer_cancel(&s->cancels->timer);
    }
    if (s->starts != NULL) start(w, s->starts, 0);
}

static void start(world *w, shot *s, int64_t in_us)
{
    static size_t serial; /* of the whole test program */
    s->w = w;
    s->due_us = w->plat.now_us + in_us;
    s->serial = serial++;
    s->has_fired = false;
    s->timer = svi_timer_start(w->timers, in_us, fire, s);
}

static void test_order_and_cancel_at_random(void **state)
{
    world *w = *state;
    static shot shots[MANY];
    memset(shots, 0, sizeof shots);
    for (int i = 0; i < MANY; i++) start(w, &shots[i], roll(w, SPAN_US));
    size_t canceled = 0;
    for (int i = 0; i < MANY / 2; i++) {
        shot *s = &shots[roll(w, MANY)];
        canceled += s->timer != NULL;
        s->is_canceled = true;
        svi_timer_cancel(&s->timer);
        assert_null(s->timer);
    }
    assert_true(canceled > 100);
    size_t returned = 0;
    while (svi_timers_due_us(w->timers) != INT64_MAX) {
        w->plat.now_us = svi_timers_due_us(w->timers);
        const size_t n = svi_timers_run(w->timers);
        assert_true(n > 0);
        returned += n;
    }
    assert_int_equal(w->fired, MANY - canceled);
    assert_int_equal(returned, w->fired);
}

static void test_fires_when_due_only(void **state)
{
    world *w = *state;
    shot s = {0};
    start(w, &s, 10);
    assert_int_equal(svi_timers_due_us(w->timers), 10);
    w->plat.now_us = 9;
    assert_int_equal(svi_timers_run(w->timers), 0);
    w->plat.now_us = 10;
    assert_int_equal(svi_timers_run(w->timers), 1);
    assert_int_equal(svi_timers_run(w->timers), 0);
}

static void test_fire_cancels_and_starts(void **state)
{
    world *w = *state;
    shot victim = {0}, child = {0}, first = {.cancels = &victim, .starts = &child};
    start(w, &first, 5);
    start(w, &victim, 5);
    w->plat.now_us = 5;
    assert_int_equal(svi_timers_run(w->timers), 1);
    assert_false(victim.has_fired);
    assert_false(
        child.has_fired); /* at the next turn: one that restarts itself must not hold the loop */
    assert_int_equal(svi_timers_due_us(w->timers), 5);
    assert_int_equal(svi_timers_run(w->timers), 1);
    assert_true(child.has_fired);
}

static void test_odd_times(void **state)
{
    world *w = *state;
    shot past = {0}, never = {0};
    w->plat.now_us = 50;
    never.w = past.w = w;
    never.timer = svi_timer_start(w->timers, INT64_MAX, fire, &never);
    assert_int_equal(svi_timers_due_us(w->timers), INT64_MAX);
    past.due_us = 50;
    past.timer = svi_timer_start(w->timers, -20, fire, &past);
    assert_int_equal(svi_timers_run(w->timers), 1);
    assert_true(past.has_fired);
    svi_timer *none = NULL;
    svi_timer_cancel(&none);
} /* `never` goes with its timers */

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void nothing(void *ctx)
{
    (void)ctx;
}

static void test_lateness_is_summed(void **state)
{
    world *w = *state;
    svi_timers_stats stats;
    for (int64_t in_us = 10; in_us <= 30; in_us += 10) svi_timer_start(w->timers, in_us, nothing, w);
    svi_plat_virtual_advance(&w->plat, 25);
    assert_int_equal(svi_timers_run(w->timers), 2);
    svi_timers_stats_get(w->timers, &stats);
    assert_int_equal(stats.fired, 2);
    assert_int_equal(stats.late_us, 15 + 5);
    svi_plat_virtual_advance(&w->plat, 5);
    assert_int_equal(svi_timers_run(w->timers), 1);
    svi_timers_stats_get(w->timers, &stats);
    assert_int_equal(stats.fired, 3);
    assert_int_equal(stats.late_us, 20); /* that one was in time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_cancel_at_random),
        TEST(test_fires_when_due_only),
        TEST(test_fire_cancels_and_starts),
        TEST(test_odd_times),
        TEST(test_lateness_is_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
