/* The meter: which turns are timed, whose the time is, what measuring costs; on the virtual clock. */
#include "bus/bus_test_world.h"

/* Every turn is timed, so that what was measured is exact. */
static int setup_all(void **state)
{
    return setup_sampled(state, 1);
}

static int setup_never(void **state)
{
    return setup_sampled(state, SVI_SAMPLE_NEVER);
}

#define EACH_TURN(f) cmocka_unit_test_setup_teardown(f, setup_all, teardown)

static svi_meter_stats meter(const world *w)
{
    svi_meter_stats stats;
    svi_bus_meter_stats(w->bus, &stats);
    return stats;
}

static plan *taking(world *w, sv_band band, const char *said, sv_verdict verdict, int64_t us)
{
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, band, said, verdict);
    p->disposes = verdict == SV_DONE;
    p->takes_us = us;
    return p;
}

static void run_many(world *w, int count)
{
    for (int i = 0; i < count; i++) {
        run(w, "");
        w->notes[0] = '\0';
    }
}

/* --- what is counted ---------------------------------------------------------------------------- */

static void test_verdicts_are_counted(void **state)
{
    world *w = *state;
    taking(w, SV_EARLY, "first", SV_PASS, 0);
    plan *p = taking(w, SV_NORMAL, "second", SV_LATER, 0);
    taking(w, SV_MONITOR, "monitor", SV_PASS, 0);
    table(w);
    p->holds = true;
    run(w, "");
    p->holds = false;
    assert_true(svi_event_resume(w->held, SV_PASS));
    svi_event_let_go(&w->held);
    p->verdict = SV_DONE;
    p->disposes = true;
    run(w, "");
    const svi_hook_stats *first = &w->stats[0], *second = &w->stats[1], *seen = &w->stats[2];
    assert_int_equal(first->calls, 2);
    assert_int_equal(first->passed, 2);
    assert_int_equal(second->calls, 2);
    assert_int_equal(second->passed, 0);
    assert_int_equal(second->done, 1);
    assert_int_equal(second->later, 1);
    assert_int_equal(seen->calls, 2);
    assert_int_equal(seen->passed, 2);
}

static void test_faults_are_counted_on_who_made_them(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    taking(w, SV_EARLY, "good", SV_PASS, 0);
    plan *p = taking(w, SV_NORMAL, "bad", SV_DONE, 0);
    taking(w, SV_MONITOR, "monitor", SV_PASS, 0);
    table(w);
    run(w, "");
    assert_int_equal(w->stats[1].faults, 0);
    p->twice = true;
    run(w, ""); /* two disposals */
    assert_int_equal(w->stats[1].faults, 1);
    p->twice = p->disposes = false;
    run(w, ""); /* DONE without disposal: seen when the monitor has run */
    assert_int_equal(w->stats[1].faults, 2);
    p->verdict = (sv_verdict)7;
    run(w, "");
    assert_int_equal(w->stats[1].faults, 3);
    p->verdict = SV_DONE;
    p->disposes = true;
    p->takes_us = SLOW_US + 1;
    run(w, "");
    assert_int_equal(w->stats[1].faults, 4);
    assert_int_equal(w->stats[0].faults + w->stats[2].faults, 0);
}

/* --- whose time it is --------------------------------------------------------------------------- */

static void test_each_handler_has_its_time(void **state)
{
    world *w = *state;
    taking(w, SV_EARLY, "first", SV_PASS, 5);
    taking(w, SV_NORMAL, "second", SV_DONE, 70);
    taking(w, SV_MONITOR, "monitor", SV_PASS, 900);
    table(w);
    run_many(w, 3);
    assert_int_equal(w->stats[0].cpu_ns, 3 * 5000);
    assert_int_equal(w->stats[1].cpu_ns, 3 * 70000);
    assert_int_equal(w->stats[2].cpu_ns, 3 * 900000);
}

static void fire_within(sv_event *ev, plan *p)
{
    static const svi_event_ops rules_within = {.next = NULL};
    const svi_event_config config = {.ops = &rules_within,
                                     .hooks = p->w->hooks,
                                     .point = SVI_POINT_SESSION_PRESENCE,
                                     .x = p->w};
    svi_event_fire(ev, &config);
    svi_plat_virtual_advance(&p->w->plat, 11);
}

/* Who fires an occasion is charged for its own time, before and behind it, and not for the others'. */
static void test_time_inside_is_not_counted_twice(void **state)
{
    world *w = *state;
    taking(w, SV_NORMAL, "fires", SV_DONE, 100)->extra = fire_within;
    add(w, SVI_POINT_SESSION_PRESENCE, SV_NORMAL, "hears", SV_PASS)->takes_us = 3000;
    table(w);
    run_many(w, 2);
    assert_int_equal(w->stats[1].calls, 2);
    assert_int_equal(w->stats[1].cpu_ns, 2 * 3000 * 1000);
    assert_int_equal(w->stats[0].cpu_ns, 2 * 111 * 1000);
}

static void slow_core(void *ctx)
{
    svi_plat_virtual_advance(&((world *)ctx)->plat, 5000);
}

static void come_back(void *ctx)
{
    world *w = ctx;
    svi_plat_virtual_advance(&w->plat, 40);
    svi_event_emit(w->held, slow_core, NULL, w);
    svi_event_dispose(w->held, SVI_ANSWERED, NULL);
    assert_true(svi_event_resume(w->held, SV_DONE));
    svi_plat_virtual_advance(&w->plat, 2);
}

/* What comes back is the time of who waited; what the core does then to end the event is not. */
static void test_callback_of_a_later_is_counted(void **state)
{
    world *w = *state;
    taking(w, SV_NORMAL, "asks", SV_LATER, 7)->holds = true;
    table(w);
    run(w, "r/x j");
    svi_plat_virtual_advance(&w->plat, 1000000);
    svi_event_call(w->held, &w->stats[0], come_back, w);
    assert_int_equal(w->stats[0].calls, 1);
    assert_int_equal(w->stats[0].callbacks, 1);
    assert_int_equal(w->stats[0].cpu_ns, (7 + 40 + 2) * 1000);
    svi_event_let_go(&w->held);
}

static void test_callback_lets_others_go_on(void **state)
{
    world *w = *state;
    taking(w, SV_NORMAL, "asks", SV_LATER, 7)->holds = true;
    taking(w, SV_LATE, "next", SV_DONE, 60);
    w->plans[1].disposes = true;
    table(w);
    run(w, "");
    svi_hook_stats *const outer = svi_bus_enter(w->bus, &w->stats[0]);
    svi_plat_virtual_advance(&w->plat, 1);
    assert_true(svi_event_resume(w->held, SV_PASS));
    svi_plat_virtual_advance(&w->plat, 1);
    svi_bus_leave(w->bus, outer);
    assert_int_equal(w->stats[0].cpu_ns, (7 + 2) * 1000);
    assert_int_equal(w->stats[1].cpu_ns, 60 * 1000);
    svi_event_let_go(&w->held);
}

/* --- which turns are timed, and what it costs ---------------------------------------------------- */

/* A pattern of period two: each kind takes another time, and both are met. */
static void test_no_pattern_is_in_step(void **state)
{
    world *w = *state;
    plan *p = taking(w, SV_NORMAL, "h", SV_DONE, 0);
    table(w);
    const int blocks = 1000;
    for (int i = 0; i < blocks * 64; i++) {
        p->takes_us = i % 2 ? 100 : 10;
        run_many(w, 1);
    }
    const int64_t exact = (int64_t)blocks * 32 * (100 + 10) * 1000;
    assert_in_range(w->stats[0].cpu_ns, exact * 9 / 10, exact * 11 / 10);
    assert_int_equal(meter(w).turns, blocks * 64);
    assert_int_equal(meter(w).timed, blocks);
}

/* One stamp between handlers, one before them; of 64 events one is stamped. */
static void test_clock_reads_per_64_events(void **state)
{
    world *w = *state;
    taking(w, SV_EARLY, "a", SV_PASS, 1);
    taking(w, SV_NORMAL, "b", SV_PASS, 1);
    taking(w, SV_NORMAL, "c", SV_DONE, 1);
    table(w);
    run_many(w, 64);
    assert_int_equal(meter(w).reads, 4);
    assert_int_equal(meter(w).looks, 64 * 4);
    run_many(w, 64 * 9);
    assert_int_equal(meter(w).reads, 40);
}

/* Without a handler no clock is read. */
static void test_nobody_asked_costs_nothing(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_SESSION_BOUND, SV_NORMAL, "elsewhere", SV_PASS);
    table(w);
    run_many(w, 640);
    assert_int_equal(meter(w).reads, 0);
    assert_int_equal(meter(w).looks, 0);
    assert_int_equal(meter(w).timed, 10);
}

static void test_never_is_never(void **state)
{
    world *w = *state;
    taking(w, SV_NORMAL, "h", SV_DONE, 50);
    table(w);
    run_many(w, 1000);
    assert_int_equal(w->stats[0].calls, 1000);
    assert_int_equal(w->stats[0].cpu_ns, 0);
    assert_int_equal(meter(w).reads, 0);
}

/* What is rare is always timed, and counts once, as does what it brings about. */
static void test_rare_turns_are_all_timed(void **state)
{
    world *w = *state;
    svi_hook_stats timer = {.calls = 0};
    taking(w, SV_NORMAL, "h", SV_DONE, 50);
    table(w);
    for (int i = 0; i < 10; i++) {
        svi_hook_stats *const outer = svi_bus_enter_timed(w->bus, &timer);
        assert_null(outer);
        svi_plat_virtual_advance(&w->plat, 20);
        run_many(w, 1);
        svi_plat_virtual_advance(&w->plat, 3);
        svi_bus_leave(w->bus, outer);
    }
    assert_int_equal(timer.cpu_ns, 10 * 23 * 1000);
    assert_int_equal(w->stats[0].cpu_ns, 10 * 50 * 1000);
}

static void test_sum(void **state)
{
    (void)state;
    const svi_hook_stats one = {.calls = 1,
                                .passed = 2,
                                .done = 3,
                                .later = 4,
                                .callbacks = 5,
                                .faults = UINT32_MAX,
                                .cpu_ns = INT64_MAX / 2};
    svi_hook_stats sum = one;
    svi_hook_stats_add(&sum, &one);
    assert_int_equal(sum.calls, 2);
    assert_int_equal(sum.passed, 4);
    assert_int_equal(sum.done, 6);
    assert_int_equal(sum.later, 8);
    assert_int_equal(sum.callbacks, 10);
    assert_true(sum.faults == 2 * (uint64_t)UINT32_MAX); /* 64 bit */
    assert_true(sum.cpu_ns == INT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_TURN(test_verdicts_are_counted),
        EACH_TURN(test_faults_are_counted_on_who_made_them),
        EACH_TURN(test_each_handler_has_its_time),
        EACH_TURN(test_time_inside_is_not_counted_twice),
        EACH_TURN(test_callback_of_a_later_is_counted),
        EACH_TURN(test_callback_lets_others_go_on),
        TEST(test_no_pattern_is_in_step),
        TEST(test_clock_reads_per_64_events),
        TEST(test_nobody_asked_costs_nothing),
        cmocka_unit_test_setup_teardown(test_never_is_never, setup_never, teardown),
        TEST(test_rare_turns_are_all_timed),
        cmocka_unit_test(test_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
