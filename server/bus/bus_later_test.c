/* LATER and its deadline; lanes and the order they keep. */
#include "bus/bus_test_world.h"

/* --- LATER
 * ------------------------------------------------------------------------------------------------ */

static void test_later_resumed(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = p->writes = p->emits = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "then", SV_DONE)->disposes = true;
    table(w);
    run(w, "r/x j");
    saw(w, "ask");
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.waiting, 1);
    assert_true(svi_event_is_open(w->held));
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "then"); /* the write of `ask` is in the same unit */
    assert_int_equal(w->submitted, 1);
    assert_false(svi_event_is_open(w->held));
    assert_false(svi_event_resume(w->held, SV_DONE));
    commit(w, 1);
    saw(w, "emit: ask released");
    assert_false(svi_event_is_open(w->held)); /* memory is there as long as it is held */
    svi_event_let_go(&w->held);
    assert_int_equal(svi_timers_run(w->timers), 0);
}

static void advance(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->plat, us);
    svi_timers_run(w->timers);
}

static void test_later_times_out(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = p->writes = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "never", SV_DONE);
    add(w, SVI_POINT_MESSAGE_OUT, SV_MONITOR, "watch", SV_PASS)->extra = look;
    table(w);
    run(w, "r/x j");
    advance(w, LATER_US - 1);
    saw(w, "ask");
    advance(w, 1);
    saw(w, "timeout watch sees-done");
    assert_non_null(strstr(w->log, "event-timeout"));
    assert_false(svi_event_resume(w->held, SV_DONE));
    svi_event_let_go(&w->held);
    commit(w, 1); /* what was written is kept: memory and disk may not differ */
    saw(w, "released");
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.lanes, 0);
}

static void come_back(void *ctx)
{
    plan *p = ctx;
    note(p->w, "back");
    assert_string_equal(svi_exec_now()->module, "ask");
    assert_int_equal(svi_exec_now()->stanza, svi_event_entry(p->w->held));
    svi_event_emit(p->w->held, emit_run, emit_drop, p);
    svi_event_dispose(p->w->held, SVI_ANSWERED, NULL);
    svi_plat_virtual_advance(&p->w->plat, SLOW_US + 1);
    assert_true(svi_event_resume(p->w->held, SV_DONE));
    assert_string_equal(svi_exec_now()->module, "ask");
}

/* What an operation does when it comes back is blamed on who waited. */
static void test_operation_comes_back(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = true;
    table(w);
    run(w, "r/x j");
    svi_event_call(w->held, NULL, come_back, p);
    saw(w, "ask back emit: ask released");
    assert_null(svi_exec_now()->module);
    assert_true(logged(w, "handler-slow"));
    svi_event_let_go(&w->held);
}

static void come_back_twice(void *ctx)
{
    plan *p = ctx;
    sv_event *ev = p->w->held;
    assert_true(svi_event_dispose(ev, SVI_ANSWERED, NULL));
    assert_true(svi_event_resume(ev, SV_DONE));
    assert_true(svi_event_is_open(ev)); /* whole until the callback returns */
    assert_false(svi_event_dispose(ev, SVI_REFUSED, NULL));
    assert_true(svi_event_resume(ev, SV_DONE));
    assert_true(svi_event_resume(ev, SV_PASS));
    note(p->w, "back");
}

/* Who says twice in a callback what becomes of an event is told so; the first word counts. */
static void test_callback_says_it_twice(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "then", SV_DONE)->disposes = true;
    table(w);
    run(w, "r/x j");
    svi_event_call(w->held, NULL, come_back_twice, p);
    saw(w, "ask back released");
    assert_false(svi_event_is_open(w->held));
    assert_non_null(strstr(w->log, "once"));
    assert_non_null(strstr(w->log, "who disposes of a stanza says DONE"));
    svi_event_let_go(&w->held);
}

static void test_deadlines_in_order(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER)->holds = true;
    table(w);
    run(w, "one");
    sv_event *first = w->held;
    advance(w, 10);
    run(w, "two");
    sv_event *second = w->held;
    advance(w, LATER_US - 20);
    saw(w, "ask ask");
    assert_true(svi_event_resume(first, SV_DONE)); /* the timer is armed for it still */
    saw(w, "undisposed-by ask released");
    advance(w, 10);
    assert_true(svi_event_is_open(second));
    advance(w, 10);
    saw(w, "timeout released");
    assert_int_equal(svi_timers_due_us(w->timers), INT64_MAX);
    svi_event_let_go(&first);
    svi_event_let_go(&second);
}

typedef struct told {
    char text[100];
    sv_event *ev;
} told;

static void note_later(void *ctx, const svi_handler *handler, sv_event *ev)
{
    told *t = ctx;
    const size_t n = strlen(t->text);
    (void)snprintf(t->text + n, sizeof t->text - n, "%s ", handler->module);
    t->ev = ev;
}

static void test_later_is_told(void **state)
{
    world *w = *state;
    told t = {.text = ""};
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "passes", SV_PASS);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "waits", SV_LATER);
    p->holds = true;
    table(w);
    svi_bus_on_later(w->bus, note_later, &t);
    run(w, "r/x j");
    saw(w, "passes waits");
    assert_string_equal(t.text, "waits ");
    assert_ptr_equal(t.ev, w->held);
    assert_true(svi_event_resume(w->held, SV_PASS));
    svi_event_let_go(&w->held);
    svi_bus_on_later(w->bus, NULL, NULL);
    run(w, "r/y j");
    assert_string_equal(t.text, "waits ");
    assert_true(svi_event_resume(w->held, SV_PASS));
    svi_event_let_go(&w->held);
    w->notes[0] = '\0';
}

/* --- lanes
 * ------------------------------------------------------------------------------------------------ */

static void test_lane_waits_behind_later(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_LATER);
    p->holds = p->disposes = true;
    table(w);
    run(w, "r/x j");
    p->verdict = SV_DONE;
    p->holds = false;
    saw(w, "h");
    run(w, "r/x j");
    run(w, "r/x j");
    saw(w, ""); /* wait */
    run(w, "r/x other");
    saw(w, "h released"); /* other lanes go on */
    run(w, "");
    saw(w, "h released"); /* IQ results and errors never wait */
    assert_true(svi_event_resume(w->held, SV_DONE));
    saw(w, "released h released h released");
    svi_event_let_go(&w->held);
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.lanes, 0);
}

static void run_same_lane(sv_event *ev, plan *p)
{
    (void)ev;
    p->extra = NULL;
    note(p->w, "(");
    svi_event_run(event_with(p->w, &rules), SV_STR("r/x j"));
    note(p->w, ")");
}

/* A handler that sends in the lane it is in: behind it, not inside it. */
static void test_lane_of_running_event(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = true;
    p->extra = run_same_lane;
    table(w);
    run(w, "r/x j");
    saw(w, "h ( ) released h released");
    p->extra = run_same_lane;
    p->writes = true;
    run(w, "r/x j");
    saw(w, "h ( ) h");
    commit(w, 2);
    saw(w, "released released");
}

static void test_early_keeps_lane_order(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = p->writes = p->emits_early = true;
    table(w);
    run(w, "r/x j");
    saw(w, "h emit: h"); /* before the commit */
    p->emits_early = false;
    p->emits = true;
    run(w, "r/x j");
    p->emits_early = true;
    p->emits = false;
    run(w, "r/x j");
    saw(w, "h h"); /* the third one's must not overtake the second's */
    run(w, "r/x other");
    saw(w, "h emit: h");
    commit(w, 2);
    saw(w, "released emit: h released");
    commit(w, 4);
    saw(w, "emit: h released released");
}

static void test_store_that_commits_at_once(void **state)
{
    world *w = *state;
    w->commits_at_once = true;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = p->writes = p->emits = true;
    p->extra = run_same_lane;
    table(w);
    run(w, "r/x j");
    saw(w, "h ( ) emit: h released h emit: h released");
}

static void touch_unit(sv_event *ev, plan *p)
{
    (void)p;
    assert_non_null(svi_event_unit(ev));
}

static void commit_two(void *ctx)
{
    note(ctx, "commit");
    commit(ctx, 2);
}

static void emit_commit_two(sv_event *ev, plan *p)
{
    svi_event_emit(ev, commit_two, NULL, p->w);
    p->extra = NULL;
}

/* What a release calls may report the next commit: the loop further out goes on with it. */
static void test_commit_within_a_release(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = p->writes = true;
    p->extra = emit_commit_two;
    table(w);
    run(w, "");
    run(w, "");
    run(w, "");
    saw(w, "h h h");
    commit(w, 1);
    saw(w, "commit released released");
    commit(w, 3);
    saw(w, "released");
}

static void test_empty_unit_writes_nothing(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = p->emits = true;
    p->extra = touch_unit;
    table(w);
    run(w, "r/x j");
    saw(w, "h emit: h released");
    assert_int_equal(w->submitted, 0);
    assert_int_equal(w->discarded, 1);
}

/* --- what an event borrowed
 * ------------------------------------------------------------------------------- */

static void first_back(void *ctx)
{
    note(ctx, "first-back");
}

static void second_back(void *ctx)
{
    note(ctx, "second-back");
}

static void tell_platform(sv_event *ev, plan *p)
{
    (void)ev;
    note(p->w, svi_plat_here() == &p->w->plat.plat ? "at-home" : "abroad");
}

static void test_platform_of_the_turn(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = true;
    p->extra = tell_platform;
    table(w);
    svi_plat_enter(NULL); /* another server's turn went before */
    run(w, "");
    saw(w, "h at-home released");
    svi_bus_free(&w->bus);
    assert_ptr_equal(svi_plat_here(), svi_plat_kernel());
}

static void borrow(sv_event *ev, plan *p)
{
    svi_event_at_end(ev, first_back, p->w);
    svi_event_at_end(ev, second_back, p->w);
}

static void test_given_back_at_the_end(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_PASS);
    p->writes = p->emits = p->holds = true;
    p->extra = borrow;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "then", SV_DONE)->disposes = true;
    table(w);
    run(w, "r/x j");
    saw(w, "h then");
    commit(w, 1);
    saw(w, "emit: h released"); /* whoever holds it may still look at what it borrowed */
    svi_event_let_go(&w->held);
    saw(w, "second-back first-back");
    svi_event_let_go(&w->held);
    saw(w, "");
}

static void test_given_back_when_stopped(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_LATER);
    p->extra = borrow;
    table(w);
    run(w, "r/x j");
    saw(w, "h");
    svi_bus_free(&w->bus);
    assert_non_null(strstr(w->notes, "second-back first-back"));
    w->notes[0] = '\0';
}

/* --- what passes at once, and is released in a lane ------------------------------------------------------- */

/* The end of a session may write, too; its successor of the same name comes behind it. */
static void test_lane_goes_on_behind_what_was_fired(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "gone", SV_DONE);
    p->disposes = p->writes = p->emits = true;
    table(w);
    svi_bus_fire_behind(event_with(w, &rules), SV_STR("r/x j"));
    saw(w, "gone");
    p->writes = false;
    run(w, "r/x j");
    saw(w, "gone"); /* waits for the other's commit */
    run(w, "r/x other");
    saw(w, "gone emit: gone released");
    commit(w, 1);
    saw(w, "emit: gone released emit: gone released");
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.lanes, 0);
}

/* One of the lane waits: that goes on, and what was fired is released when it is committed. */
static void test_fired_behind_one_that_waits(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = true;
    table(w);
    run(w, "r/x j");
    p->said = "gone";
    w->handlers[0].module = "gone";
    p->verdict = SV_DONE;
    p->holds = false;
    p->disposes = p->writes = p->emits = true;
    table(w);
    svi_bus_fire_behind(event_with(w, &rules), SV_STR("r/x j"));
    commit(w, 1);
    saw(w, "ask gone emit: gone released");
    assert_true(svi_event_resume(w->held, SV_PASS));
    svi_event_let_go(&w->held);
    saw(w, "next unclaimed released");
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.lanes, 0);
}

/* --- what is looked at again behind a wait ---------------------------------------------------------------- */

static void look_again(sv_event *ev, void *ctx)
{
    const plan *p = ctx;
    note(p->w, "again:");
    note(p->w, p->said);
    assert_true(svi_event_is_open(ev) && svi_event_is_disposed(ev));
    assert_string_equal(svi_exec_now()->module, p->said);
    assert_string_equal(svi_exec_now()->host, "a.example");
    assert_int_equal(p->w->submitted, 0); /* in the event's own unit */
    (*(int *)svi_event_unit(ev))++;
    svi_event_emit(ev, emit_run, emit_drop, ctx);
}

static void ask_for_it(sv_event *ev, plan *p)
{
    svi_event_after_wait(ev, NULL, look_again, p);
}

/* One that writes, one that may wait, one behind it. */
static void add_writers(world *w, sv_verdict between)
{
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "first", SV_PASS);
    p->writes = true;
    p->extra = ask_for_it;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "second", SV_PASS)->extra = ask_for_it;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "between", between)->holds = between == SV_LATER;
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_NORMAL, "behind", SV_PASS)->extra = ask_for_it;
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_LATE, "end", SV_DONE)->disposes = true;
    table(w);
}

static void test_looks_again_if_it_waited(void **state)
{
    world *w = *state;
    add_writers(w, SV_LATER);
    run(w, "r/x j");
    saw(w, "first second between");
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "next behind end again: first again: second"); /* of `behind` nothing has changed */
    assert_int_equal(w->submitted, 1);
    svi_event_let_go(&w->held);
    commit(w, 1);
    saw(w, "emit: first emit: second released");
}

static void test_looks_not_again_if_it_did_not_wait(void **state)
{
    world *w = *state;
    add_writers(w, SV_PASS);
    run(w, "r/x j");
    saw(w, "first second between next behind end");
    commit(w, 1);
    saw(w, "released");
}

/* What was written is handed in all the same. */
static void test_looks_again_at_the_deadline(void **state)
{
    world *w = *state;
    add_writers(w, SV_LATER);
    run(w, "r/x j");
    svi_event_let_go(&w->held);
    advance(w, LATER_US);
    saw(w, "first second between timeout again: first again: second");
    assert_int_equal(w->submitted, 1);
    commit(w, 1);
    saw(w, "emit: first emit: second released");
}

static void test_looks_not_again_when_stopped(void **state)
{
    world *w = *state;
    add_writers(w, SV_LATER);
    run(w, "r/x j");
    svi_bus_free(&w->bus);
    svi_event_let_go(&w->held);
    saw(w, "first second between canceled");
    assert_int_equal(w->discarded, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lane_goes_on_behind_what_was_fired), TEST(test_fired_behind_one_that_waits),
        TEST(test_looks_again_if_it_waited), TEST(test_looks_not_again_if_it_did_not_wait),
        TEST(test_looks_again_at_the_deadline), TEST(test_looks_not_again_when_stopped),
        TEST(test_later_resumed),           TEST(test_later_times_out),
        TEST(test_operation_comes_back),    TEST(test_callback_says_it_twice), TEST(test_deadlines_in_order),
        TEST(test_lane_waits_behind_later), TEST(test_lane_of_running_event),
        TEST(test_early_keeps_lane_order),  TEST(test_store_that_commits_at_once),
        TEST(test_commit_within_a_release), TEST(test_empty_unit_writes_nothing),
        TEST(test_platform_of_the_turn),    TEST(test_given_back_at_the_end),
        TEST(test_given_back_when_stopped), TEST(test_later_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
