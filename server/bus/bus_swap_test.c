/* Another generation of handlers under events that are on their way. */
#include "bus/bus_test_world.h"

static char old_one, new_one, other; /* generations */

/* The handler that was added last is of that generation. */
static plan *of(world *w, plan *p, void *generation)
{
    w->handlers[w->count - 1].generation = generation;
    return p;
}

static plan *handler(world *w, const char *said, sv_verdict verdict, void *generation)
{
    plan *p = of(w, add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, said, verdict), generation);
    p->disposes = verdict == SV_DONE;
    return p;
}

/* Builds a table of the handlers from `from` on, in the place of the one before. */
static svi_swap swap_to(world *w, size_t from)
{
    svi_hooks *before = w->hooks;
    svi_swap swap;
    w->hooks = NULL;
    assert_int_equal(svi_hooks_build(&w->acct, w->handlers + from, w->count - from, &w->hooks, NULL), SV_OK);
    svi_hooks_succeed(before, w->hooks);
    svi_bus_swap(w->bus, &swap);
    svi_hooks_succeed(before, NULL);
    svi_hooks_unref(&before);
    return swap;
}

static void new_note(sv_event *ev, plan *p)
{
    (void)ev;
    note(p->w, "(new)");
}

static void advance(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->plat, us);
    svi_timers_run(w->timers);
}

static void test_restarts(void **state)
{
    world *w = *state;
    handler(w, "first", SV_PASS, &other);
    handler(w, "ask", SV_LATER, &old_one)->holds = true;
    handler(w, "then", SV_DONE, &other);
    table(w);
    run(w, "r/x j");
    saw(w, "first ask");
    const size_t from = w->count;
    handler(w, "first", SV_PASS, &other)->extra = new_note;
    handler(w, "ask", SV_PASS, &new_one)->extra = new_note;
    handler(w, "then", SV_DONE, &other)->extra = new_note;
    const svi_swap swap = swap_to(w, from);
    assert_int_equal(swap.waiting, 1);
    assert_int_equal(swap.restarted, 1);
    saw(w, "");
    const uint32_t turn = svi_event_turn(w->held);
    svi_bus_restart(w->bus, NULL);
    saw(w, "ask (new) then (new) released");
    assert_int_not_equal(svi_event_turn(w->held), turn);
    assert_false(svi_event_is_open(w->held));
    svi_event_let_go(&w->held);
    svi_bus_restart(w->bus, NULL); /* once */
    saw(w, "");
}

/* What was done may not be done twice. */
static void test_finishes(void **state)
{
    world *w = *state;
    plan *p = handler(w, "ask", SV_LATER, &old_one);
    p->holds = p->writes = p->emits = true;
    handler(w, "then", SV_DONE, &other);
    table(w);
    run(w, "r/x j");
    saw(w, "ask");
    const size_t from = w->count;
    handler(w, "ask", SV_PASS, &new_one)->extra = new_note;
    handler(w, "more", SV_PASS, &new_one)->extra = new_note;
    handler(w, "then", SV_DONE, &other)->extra = new_note;
    assert_int_equal(swap_to(w, from).finishing, 1);
    svi_bus_restart(w->bus, NULL);
    saw(w, "");
    svi_bus_use use;
    svi_bus_users(w->bus, &old_one, true, &use);
    assert_int_equal(use.waiting, 1);
    assert_string_equal(use.hook, "message/out");
    svi_bus_users(w->bus, &new_one, true, &use);
    assert_int_equal(use.waiting, 0);
    assert_int_equal(use.elsewhere, 1); /* it stands in the new table */
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "more (new) then (new)");
    svi_event_let_go(&w->held);
    svi_bus_users(w->bus, &old_one, true, &use);
    assert_int_equal(use.releasing, 1); /* it is to blame for what is sent at the commit */
    commit(w, 1);
    saw(w, "emit: ask released");
    svi_bus_users(w->bus, &old_one, true, &use);
    assert_int_equal(use.waiting + use.elsewhere + use.releasing, 0);
}

static void test_says_so(void **state)
{
    world *w = *state;
    handler(w, "ask", SV_LATER, &old_one)->holds = true;
    w->handlers[w->count - 1].finishes = true;
    table(w);
    run(w, "r/x j");
    const size_t from = w->count;
    handler(w, "ask", SV_DONE, &new_one); /* the new one does not say so */
    assert_int_equal(swap_to(w, from).finishing, 1);
    assert_int_equal(swap_to(w, from).finishing, 1);
    svi_bus_restart(w->bus, NULL);
    saw(w, "ask");
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "next unclaimed released");
    svi_event_let_go(&w->held);
}

/* In a handler that is the same, also if others come and go around it. */
static void test_others_go_on(void **state)
{
    world *w = *state;
    handler(w, "old", SV_PASS, &old_one);
    handler(w, "ask", SV_LATER, &other)->holds = true;
    handler(w, "old", SV_DONE, &old_one);
    table(w);
    run(w, "r/x j");
    saw(w, "old ask");
    const size_t from = w->count;
    handler(w, "new", SV_PASS, &new_one);
    handler(w, "another", SV_PASS, &new_one);
    handler(w, "ask", SV_LATER, &other);
    handler(w, "third", SV_PASS, &new_one);
    const svi_swap swap = swap_to(w, from);
    assert_int_equal(swap.waiting, 1);
    assert_int_equal(swap.restarted + swap.finishing + swap.skipped, 0);
    svi_bus_restart(w->bus, NULL);
    saw(w, "");
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "third next unclaimed released");
    svi_event_let_go(&w->held);
}

/* Without such a hook the next that there still is has its turn. */
static void test_gone(void **state)
{
    world *w = *state;
    handler(w, "ask", SV_LATER, &old_one);
    handler(w, "also", SV_PASS, &old_one);
    handler(w, "then", SV_DONE, &other);
    table(w);
    run(w, "r/x j");
    const size_t from = w->count;
    handler(w, "before", SV_DONE, &other);
    handler(w, "then", SV_DONE, &other)->extra = new_note;
    assert_int_equal(swap_to(w, from).skipped, 1);
    svi_bus_restart(w->bus, NULL);
    saw(w, "ask then (new) released");
}

/* Of several with the same text each has its own successor. */
static void test_twins(void **state)
{
    world *w = *state;
    handler(w, "twin", SV_PASS, &old_one);
    handler(w, "twin", SV_LATER, &old_one);
    table(w);
    run(w, "r/x j");
    saw(w, "twin twin");
    const size_t from = w->count;
    handler(w, "twin", SV_DONE, &new_one);
    handler(w, "twin", SV_DONE, &new_one)->extra = new_note;
    assert_int_equal(swap_to(w, from).restarted, 1);
    svi_bus_restart(w->bus, NULL);
    saw(w, "twin (new) released");
}

/* A handler that stood behind, a guard perhaps, and stands in front now has its turn, once, whatever becomes of the event. */
static void test_order_changes(void **state)
{
    world *w = *state;
    for (int finishes = 0; finishes < 2; finishes++) {
        handler(w, "first", SV_PASS, &other);
        plan *p = handler(w, "ask", SV_LATER, &old_one);
        p->holds = true;
        p->writes = finishes;
        handler(w, "guard", SV_PASS, &other);
        table(w);
        run(w, "r/x j");
        saw(w, "first ask");
        size_t from = w->count;
        handler(w, "guard", SV_PASS, &other)->extra = new_note;
        handler(w, "first", SV_PASS, &other);
        handler(w, "ask", finishes ? SV_PASS : SV_LATER, &new_one);
        (void)swap_to(w, from);
        svi_bus_restart(w->bus, NULL);
        saw(w, finishes ? "" : "guard (new) ask");
        from = w->count; /* and again, from an order of its own */
        handler(w, "first", SV_PASS, &other);
        handler(w, "ask", SV_PASS, &new_one);
        handler(w, "guard", SV_PASS, &other)->extra = new_note;
        (void)swap_to(w, from);
        svi_bus_restart(w->bus, NULL);
        assert_true(svi_event_resume(w->held, SV_PASS));
        saw(w, finishes ? "guard (new) next unclaimed" : "next unclaimed released");
        svi_event_let_go(&w->held);
        commit(w, w->submitted);
        saw(w, finishes ? "released" : "");
        svi_hooks_unref(&w->hooks);
        w->count = 0;
    }
}

/* Those behind it in its lane begin in the new table. */
static void test_lane(void **state)
{
    world *w = *state;
    handler(w, "ask", SV_LATER, &old_one)->writes = true;
    w->plans[0].holds = true;
    table(w);
    run(w, "r/x j");
    run(w, "r/x j");
    saw(w, "ask");
    const size_t from = w->count;
    handler(w, "early", SV_PASS, &new_one);
    handler(w, "ask", SV_DONE, &new_one)->extra = new_note;
    assert_int_equal(swap_to(w, from).waiting, 1);
    svi_bus_restart(w->bus, NULL);
    saw(w, "");
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "next unclaimed early ask (new)");
    svi_event_let_go(&w->held);
    commit(w, w->submitted);
    saw(w, "released released");
}

/* The deadline of each stays, and so does their order. */
static void test_deadlines(void **state)
{
    world *w = *state;
    handler(w, "ask", SV_LATER, &old_one);
    table(w);
    run(w, "a");
    advance(w, LATER_US / 2);
    run(w, "b");
    const size_t from = w->count;
    handler(w, "ask", SV_LATER, &new_one);
    assert_int_equal(swap_to(w, from).restarted, 2);
    svi_bus_restart(w->bus, NULL);
    saw(w, "ask ask ask ask");
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.waiting, 2);
    advance(w, LATER_US / 2);
    saw(w, "timeout released");
    advance(w, LATER_US / 2 - 1);
    saw(w, "");
    advance(w, 1);
    saw(w, "timeout released");
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.waiting, 0);
}

static void is_busy(sv_event *ev, plan *p)
{
    (void)ev;
    note(p->w, svi_bus_is_idle(p->w->bus) ? "idle" : "busy");
}

static void test_never_inside(void **state)
{
    world *w = *state;
    handler(w, "look", SV_DONE, &other)->extra = is_busy;
    table(w);
    assert_true(svi_bus_is_idle(w->bus));
    run(w, "");
    saw(w, "look busy released");
    assert_true(svi_bus_is_idle(w->bus));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_restarts), TEST(test_finishes), TEST(test_says_so), TEST(test_others_go_on), TEST(test_gone),
        TEST(test_order_changes),
        TEST(test_twins),    TEST(test_lane),     TEST(test_deadlines), TEST(test_never_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
