/* What happens to handlers of a module in quarantine; who is blamed for what. */
#include "bus/bus_test_world.h"

typedef struct told {
    int count;
    char by[64], rule[80];
} told;

static void on_fault(void *ctx, const svi_handler *handler, const char *rule)
{
    told *t = ctx;
    t->count++;
    snprintf(t->by, sizeof t->by, "%s", handler->module);
    snprintf(t->rule, sizeof t->rule, "%s", rule);
}

static void rule_quarantined(sv_event *ev)
{
    note(world_of(ev), "quarantined");
    svi_event_dispose(ev, SVI_BOUNCED, NULL);
}

static svi_event_ops with_quarantine(void)
{
    svi_event_ops ops = rules;
    ops.quarantined = rule_quarantined;
    return ops;
}

static svi_handler *last(world *w)
{
    return &w->handlers[w->count - 1];
}

static void with_policies(void **state)
{
    world *w = *state;
    svi_ward out = {.is_closed = true};
    const svi_event_ops ops = with_quarantine();
    add(w, SVI_POINT_MESSAGE_OUT, SV_FIRST, "open", SV_PASS);
    last(w)->policy = SVI_POLICY_OPEN;
    last(w)->ward = &out;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "bounce", SV_PASS);
    last(w)->ward = &out;
    add(w, SVI_POINT_MESSAGE_OUT, SV_LATE, "behind", SV_PASS);
    add(w, SVI_POINT_MESSAGE_OUT, SV_MONITOR, "looks", SV_PASS);
    last(w)->ward = &out;
    add(w, SVI_POINT_MESSAGE_OUT, SV_MONITOR, "sees", SV_PASS);
    table(w);
    svi_event_run(event_with(w, &ops), SV_STR(""));
    saw(w, "quarantined sees released");
    assert_int_equal(out.refused, 1);
    assert_int_equal(out.skipped, 2);
    svi_event_run(event_with(w, &rules), SV_STR("")); /* rules without a word for it */
    saw(w, "undisposed-by bounce sees released");
    out.is_closed = false;
    svi_event_run(event_with(w, &ops), SV_STR(""));
    saw(w, "open bounce behind looks sees next unclaimed released");
    assert_int_equal(w->stats[1].calls, 1); /* what is not called is not counted */
}

static void fire_occasion(world *w)
{
    static const svi_event_ops none = {.released = NULL};
    const svi_event_config config = {
        .ops = &none, .hooks = w->hooks, .point = SVI_POINT_SESSION_BOUND, .host = "a.example", .x = w};
    svi_bus_fire(svi_event_new(w->bus, &config));
}

/* Without a stanza only a guard ends it. */
static void occasions(void **state)
{
    world *w = *state;
    svi_ward out = {.is_closed = true};
    add(w, SVI_POINT_SESSION_BOUND, SV_FIRST, "bounce", SV_PASS);
    last(w)->ward = &out;
    add(w, SVI_POINT_SESSION_BOUND, SV_NORMAL, "guard", SV_PASS);
    last(w)->ward = &out;
    add(w, SVI_POINT_SESSION_BOUND, SV_LATE, "behind", SV_PASS);
    table(w);
    assert_false(svi_hooks_are_closed(w->hooks, SVI_POINT_SESSION_BOUND));
    fire_occasion(w);
    saw(w, "behind");
    w->handlers[1].policy = SVI_POLICY_CLOSED;
    table(w);
    assert_true(svi_hooks_are_closed(w->hooks, SVI_POINT_SESSION_BOUND));
    assert_false(svi_hooks_are_closed(w->hooks, SVI_POINT_MESSAGE_OUT));
    fire_occasion(w);
    saw(w, "");
    out.is_closed = false;
    assert_false(svi_hooks_are_closed(w->hooks, SVI_POINT_SESSION_BOUND));
    fire_occasion(w);
    saw(w, "bounce guard behind");
}

/* It goes on where it waited, through the module's own operations. */
static void what_waits_goes_on(void **state)
{
    world *w = *state;
    svi_ward out = {.is_closed = false};
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = true;
    last(w)->ward = &out;
    add(w, SVI_POINT_MESSAGE_OUT, SV_LATE, "then", SV_DONE)->disposes = true;
    table(w);
    run(w, "");
    out.is_closed = true;
    assert_true(svi_event_resume(w->held, SV_PASS));
    saw(w, "ask then released");
    svi_event_let_go(&w->held);
}

static void who_is_told(void **state)
{
    world *w = *state;
    told t = {.count = 0};
    svi_ledger_set_strict(w->ledger, false);
    svi_bus_on_fault(w->bus, on_fault, &t);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "good", SV_PASS);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "bad", SV_DONE);
    table(w);
    run(w, "");
    assert_int_equal(t.count, 1);
    assert_string_equal(t.by, "bad");
    assert_string_equal(t.rule, "who says DONE disposes of the stanza");
    p->disposes = true;
    p->takes_us = SLOW_US + 1;
    run(w, "");
    assert_int_equal(t.count, 2);
    assert_string_equal(t.by, "bad");
    assert_string_equal(t.rule, SVI_RULE_SLOW);
    w->notes[0] = '\0';
}

static void fire_inside(sv_event *ev, plan *p)
{
    (void)ev;
    fire_occasion(p->w);
}

/* Whoever fires something slow is not slow. */
static void slow_inside(void **state)
{
    world *w = *state;
    told t = {.count = 0};
    svi_bus_on_fault(w->bus, on_fault, &t);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "fires", SV_DONE);
    p->disposes = true;
    p->extra = fire_inside;
    add(w, SVI_POINT_SESSION_BOUND, SV_NORMAL, "slow", SV_PASS)->takes_us = SLOW_US + 1;
    table(w);
    run(w, "");
    assert_int_equal(t.count, 1);
    assert_string_equal(t.by, "slow");
    w->notes[0] = '\0';
}

static int64_t half_as_much(void *ctx)
{
    return ((svi_plat_virtual *)ctx)->now_us / 3;
}

/* The thread ran for less than half of it: somebody else had the processor. */
static void busy_machine(void **state)
{
    world *w = *state;
    told t = {.count = 0};
    svi_bus_on_fault(w->bus, on_fault, &t);
    w->plat.plat.cpu_us = half_as_much;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "slow", SV_DONE);
    p->disposes = true;
    p->takes_us = SLOW_US * 5 / 4;
    table(w);
    run(w, "");
    assert_int_equal(t.count, 0);
    assert_true(logged(w, "handler-slow"));
    p->takes_us = SLOW_US * 5 / 2; /* a third of it is more than 50 ms */
    run(w, "");
    assert_int_equal(t.count, 1);
    w->plat.plat.cpu_us = NULL;
    w->notes[0] = '\0';
}

static void advance(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->plat, us);
    svi_timers_run(w->timers);
}

/* An operation that is still under way is not its fault. */
static void never_answers(void **state)
{
    world *w = *state;
    told t = {.count = 0};
    svi_bus_on_fault(w->bus, on_fault, &t);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ask", SV_LATER);
    p->holds = true;
    table(w);
    run(w, "");
    advance(w, LATER_US);
    assert_int_equal(t.count, 0);
    svi_event_let_go(&w->held);
    p->holds = false;
    run(w, "");
    advance(w, LATER_US);
    assert_int_equal(t.count, 1);
    assert_string_equal(t.by, "ask");
    assert_string_equal(t.rule, SVI_RULE_NEVER);
    w->notes[0] = '\0';
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_policies), TEST(occasions),   TEST(what_waits_goes_on),
        TEST(who_is_told),   TEST(slow_inside), TEST(never_answers),
        TEST(busy_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
