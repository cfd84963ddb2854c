/* The bus as its rules see it: verdicts, points, answers, faults, nesting, accounting, memory. */
#include "bus/bus_test_world.h"

static void rule_undisposed_lazy(sv_event *ev, const char *module)
{
    (void)module;
    note(world_of(ev), "lazy");
}

static const svi_event_ops lazy_rules = {.undisposed = rule_undisposed_lazy};

/* --- verdicts and commits
 * ---------------------------------------------------------------------------------------------- */

static void test_first_done_ends(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "one", SV_PASS);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "two", SV_DONE)->disposes = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "three", SV_PASS);
    table(w);
    run(w, "r/x j");
    saw(w, "one two released");
    assert_int_equal(svi_ledger_total(w->ledger)->disposal[SVI_HANDED_OVER], 1);
    assert_int_equal(w->stats[0].passed, 1);
    assert_int_equal(w->stats[1].done, 1);
    assert_int_equal(w->stats[2].calls, 0);
}

/* Release at commit: durability.md D1. */
static void test_release_at_commit(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "one", SV_DONE);
    p->writes = p->emits = p->disposes = true;
    table(w);
    run(w, "r/x j");
    saw(w, "one");
    svi_bus_release(w->bus, 0);
    saw(w, "");
    commit(w, 1);
    saw(w, "emit: one released");
}

/* --- verdicts and points
 * -------------------------------------------------------------------------------- */

static void test_nobody_claims(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "out", SV_PASS);
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_NORMAL, "in", SV_PASS);
    table(w);
    run(w, "r/x j");
    saw(w, "out next in unclaimed released");
    assert_int_equal(svi_ledger_total(w->ledger)->disposal[SVI_REFUSED], 1);
}

static void test_monitor_sees_verdict(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_MONITOR, "watch", SV_PASS)->extra = look;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "out", SV_PASS);
    plan *in = add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_NORMAL, "in", SV_DONE);
    in->disposes = true;
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_MONITOR, "watch2", SV_PASS)->extra = look;
    table(w);
    run(w, "");
    saw(w, "out watch sees-pass next in watch2 sees-done released");
}

static void test_monitor_cannot_change(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    plan *watch = add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_MONITOR, "watch", SV_DONE);
    watch->disposes = watch->emits = watch->replaces = true;
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_MONITOR, "watch2", SV_LATER);
    table(w);
    run(w, "");
    saw(w, "next watch drop: watch watch2 unclaimed released");
    assert_true(logged(w, "handler-fault"));
}

static void test_replaced_stanza(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_EARLY, "edit", SV_PASS)->replaces = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "body", SV_PASS);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "a", SV_DONE)->disposes = true;
    w->handlers[1].ns = svi_atoms_find(w->atoms, SV_STR("jabber:client"));
    w->handlers[1].name = svi_atoms_find(w->atoms, SV_STR("body"));
    w->handlers[2].ns = svi_atoms_find(w->atoms, SV_STR("urn:a"));
    w->handlers[2].name = svi_atoms_find(w->atoms, SV_STR("a"));
    add(w, SVI_POINT_MESSAGE_OUT, SV_FIRST, "body-before", SV_PASS);
    w->handlers[3].ns = w->handlers[1].ns;
    w->handlers[3].name = w->handlers[1].name;
    table(w);
    run(w, "");
    saw(w, "body-before edit a released"); /* not "body": only the first stanza had one */
    assert_true(logged(w, "stanza-replaced"));
}

/* --- faults of handlers, made good
 * ------------------------------------------------------------------------ */

static void test_done_without_disposal(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "lazy", SV_DONE);
    table(w);
    run(w, "");
    saw(w, "lazy undisposed-by lazy released");
    assert_true(logged(w, "handler-fault"));
}

static void test_disposal_without_done(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "sly", SV_PASS)->disposes = true;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "next", SV_DONE)->disposes = true;
    table(w);
    run(w, "");
    saw(w, "sly released");
    assert_true(logged(w, "who disposes of a stanza says DONE"));
}

static void test_one_answer(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "eager", SV_DONE);
    p->disposes = p->twice = true;
    table(w);
    run(w, "");
    saw(w, "eager released");
    assert_true(logged(w, "disposed of once"));
    assert_int_equal(svi_ledger_total(w->ledger)->disposal[SVI_HANDED_OVER], 1);
}

static void test_leak_is_closed(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "leaky", SV_DONE);
    table(w);
    svi_event_run(event_with(w, &lazy_rules), SV_STR_NONE);
    saw(w, "leaky lazy");
    assert_non_null(strstr(w->log, "ledger-leak"));
    assert_true(logged(w, "leaky"));
    size_t pos = 0;
    const char *rule;
    uint64_t times;
    assert_true(svi_ledger_rules(w->ledger, &pos, &rule, &times));
    assert_string_equal(rule, "leaked");
    assert_int_equal(times, 1);
}

static sv_verdict odd(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    const int verdict = 7;
    return (sv_verdict)verdict;
}

static void test_unknown_verdict(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    add(w, SVI_POINT_MESSAGE_ACCOUNT, SV_NORMAL, "odd", SV_PASS);
    w->handlers[0].call = odd;
    table(w);
    run(w, "");
    saw(w, "next unclaimed released");
    assert_true(logged(w, "PASS, DONE or LATER"));
}

static void head_is(const char *want)
{
    char head[96];
    svi_exec_head(svi_exec_now(), head, sizeof head);
    assert_string_equal(head, want);
}

static void sees_first(sv_event *ev, plan *p)
{
    (void)ev;
    (void)p;
    head_is("message chat from=r@a.example/x to=j@a.example");
}

static void sees_other(sv_event *ev, plan *p)
{
    (void)ev;
    (void)p;
    head_is("message to=j@a.example");
}

/* Architecture 11: reports show element and addresses of the stanza as it is now, never a body, and
 * nothing of one that is gone. */
static void test_head_for_reports(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "one", SV_PASS)->extra = sees_first;
    plan *two = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "two", SV_PASS);
    two->replaces = true;
    two->extra = sees_other;
    table(w);
    run(w, "");
    saw(w, "one two next unclaimed released");
    head_is("");
}

static void expect_rule(const char *expression, const char *file, int line)
{
    (void)file;
    (void)line;
    const svi_exec *now = svi_exec_now();
    const bool blamed = now->module != NULL && strcmp(now->module, "guilty") == 0;
    _exit(strstr(expression, "dispose") != NULL && blamed ? 77 : 1);
}

/* Runs a stanza in a process of its own, which must end by the assertion and blame module
 * "guilty". */
static void dies(world *w, const svi_event_ops *ops)
{
    table(w);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svi_ledger_set_strict(w->ledger, true);
        svi_assert_set_hook(expect_rule);
        svi_event_run(event_with(w, ops), SV_STR_NONE);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 77);
}

static void test_strict_leak_ends_worker(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "guilty", SV_DONE);
    dies(w, &lazy_rules);
}

/* Also when the rules would have made it good: it is the handler's leak. */
static void test_strict_undisposed_ends_worker(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "guilty", SV_DONE);
    dies(w, &rules);
}

static void test_strict_double_disposal_ends_worker(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "guilty", SV_DONE);
    p->disposes = p->twice = true;
    dies(w, &rules);
}

/* --- nesting, tables, the end
 * --------------------------------------------------------------------------- */

static void fire_again(sv_event *ev, plan *p)
{
    (void)ev;
    svi_bus_fire(event_with(p->w, &rules));
}

static void test_depth_is_limited(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = true;
    p->extra = fire_again;
    table(w);
    run(w, "");
    assert_int_equal(w->stats[0].calls, 16);
    assert_non_null(strstr(w->notes, "undisposed-by h"));
    assert_true(logged(w, "handler-nesting"));
    assert_int_equal(svi_ledger_in_flight(w->ledger), 0);
}

static void swap_table(sv_event *ev, plan *p)
{
    (void)ev;
    p->w->handlers[1].module = p->w->plans[1].said = "newer";
    svi_hooks_unref(&p->w->hooks);
    assert_int_equal(svi_hooks_build(&p->w->acct, p->w->handlers, 1, &p->w->hooks, NULL), SV_OK);
    p->extra = NULL;
    p->w->handlers[1].module = p->w->plans[1].said = "two";
}

static void test_pass_keeps_its_table(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "one", SV_PASS)->extra = swap_table;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "two", SV_DONE)->disposes = true;
    table(w);
    run(w, "");
    saw(w, "one two released"); /* the table has gone for others */
    run(w, "");
    saw(w, "one next unclaimed released");
}

static void test_stop_cancels(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_LATER);
    p->holds = p->writes = p->emits = true;
    table(w);
    run(w, "r/x j");
    run(w, "r/x j");
    p->verdict = SV_DONE;
    p->disposes = true;
    p->holds = false;
    run(w, "other");
    saw(w, "h h");
    svi_bus_free(&w->bus);
    saw(w, "drop: h canceled canceled drop: h canceled");
    assert_int_equal(w->discarded, 1);
    assert_int_equal(w->submitted, 1);
    assert_false(svi_event_is_open(w->held));
    assert_false(svi_event_resume(w->held, SV_DONE));
    svi_event_let_go(&w->held);
    assert_int_equal(svi_ledger_total(w->ledger)->disposal[SVI_DROPPED], 2);
}

static void test_slow_handler_is_named(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "quick", SV_PASS)->takes_us = SLOW_US;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "slow", SV_DONE);
    p->disposes = true;
    p->takes_us = SLOW_US + 1;
    table(w);
    run(w, "");
    assert_null(strstr(w->log, "quick"));
    assert_non_null(strstr(w->log, "handler-slow"));
    assert_true(logged(w, "slow"));
}

/* One event in 64 is timed and counts 64 times. */
static void test_cpu_is_sampled(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = true;
    p->takes_us = 3;
    table(w);
    for (int i = 0; i < 128; i++) {
        run(w, "");
        w->notes[0] = '\0';
    }
    assert_int_equal(w->stats[0].calls, 128);
    assert_int_equal(w->stats[0].cpu_ns, 128 * 3000);
}

/* --- arena
 * ------------------------------------------------------------------------------------------------ */

static void use_arena(sv_event *ev, plan *p)
{
    if (p->said[0] == 'k') {
        svi_arena *arena = svi_event_arena(ev);
        p->w->stats[HANDLERS - 1].cpu_ns = (int64_t)svi_arena_mark(arena).used;
        svi_arena_get(arena, 512);
    } else {
        svi_arena_get(svi_event_temp(ev), 512);
        svi_arena_get(svi_event_temp(ev), 512);
    }
}

static void rule_inner_over(sv_event *ev)
{
    note(world_of(ev), "inner-over");
}

static void fire_within(sv_event *ev, plan *p)
{
    static const svi_event_ops inner_rules = {.released = rule_inner_over};
    const svi_event_config config = {
        .ops = &inner_rules, .hooks = p->w->hooks, .point = SVI_POINT_SESSION_PRESENCE, .x = p->w};
    svi_event_fire(ev, &config);
}

static void fire_beside(sv_event *ev, bool is_apart)
{
    static const svi_event_ops inner_rules = {.released = rule_inner_over};
    world *w = world_of(ev);
    const svi_event_config config = {
        .ops = &inner_rules, .hooks = w->hooks, .point = SVI_POINT_SESSION_PRESENCE, .is_apart = is_apart, .x = w};
    svi_bus_fire(svi_event_new(w->bus, &config));
}

static void fire_occasion(sv_event *ev, plan *p)
{
    (void)p;
    fire_beside(ev, false);
}

static void fire_apart(sv_event *ev, plan *p)
{
    (void)p;
    fire_beside(ev, true);
}

/* How often a module was asked, by the trail of the stanza with that number. */
static size_t asked(const svi_trail *trail, uint64_t entry, const char *module)
{
    size_t count = 0;
    svi_trail_record r;
    for (uint64_t pos = 0; svi_trail_next(trail, &pos, &r);)
        count += r.kind == SVI_TRAIL_ASKED && r.entry == entry && strcmp(r.name.module, module) == 0;
    return count;
}

/* What an event fires is told of its stanza, within it or beside it; what is apart of none. */
static void test_trail_of_occasions(void **state)
{
    world *w = *state;
    svi_trail *trail = svi_trail_new(&w->acct, &w->plat.plat);
    svi_trail_resize(trail, 1 << 16);
    svi_bus_set_trail(w->bus, trail);
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "within", SV_PASS)->extra = fire_within;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "beside", SV_PASS)->extra = fire_occasion;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "apart", SV_PASS)->extra = fire_apart;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "ends", SV_DONE)->disposes = true;
    add(w, SVI_POINT_SESSION_PRESENCE, SV_NORMAL, "inner", SV_PASS);
    table(w);
    run(w, "");
    saw(w, "within inner inner-over beside inner inner-over apart inner inner-over ends released");
    assert_int_equal(asked(trail, 1, "beside"), 1);
    assert_int_equal(asked(trail, 1, "inner"), 2);
    svi_bus_set_trail(w->bus, NULL);
    svi_trail_free(&trail);
}

static void check_arena(sv_event *ev, plan *p)
{
    const size_t before = (size_t)p->w->stats[HANDLERS - 1].cpu_ns;
    const size_t now = svi_arena_mark(svi_event_arena(ev)).used;
    assert_in_range(now, before + 512, before + 512 + 64); /* once, not three times */
}

static void test_arena_of_handlers(void **state)
{
    world *w = *state;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "keeps", SV_PASS)->extra = use_arena;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "passes", SV_PASS)->extra = use_arena;
    add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "fires", SV_PASS)->extra = fire_within;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "checks", SV_DONE);
    p->extra = check_arena;
    p->disposes = true;
    add(w, SVI_POINT_SESSION_PRESENCE, SV_NORMAL, "temp", SV_PASS)->extra = use_arena;
    table(w);
    run(w, "");
    saw(w, "keeps passes fires temp inner-over checks released");
}

/* An occasion inside an event: one unit, one line of emissions, memory until the outer one ends. */
static void test_fire_within(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    plan *outer = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "outer", SV_PASS);
    outer->emits = outer->writes = true;
    outer->extra = fire_within;
    plan *inner = add(w, SVI_POINT_SESSION_PRESENCE, SV_NORMAL, "inner", SV_LATER);
    inner->emits = inner->writes = true;
    add(w, SVI_POINT_SESSION_PRESENCE, SV_NORMAL, "inner2", SV_DONE)->emits = true;
    plan *last = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "last", SV_DONE);
    last->emits = last->disposes = true;
    table(w);
    run(w, "r/x j");
    saw(w, "outer inner inner2 inner-over last");
    assert_true(logged(w, "cannot wait"));
    assert_int_equal(w->submitted, 1);
    commit(w, 1);
    saw(w, "emit: outer emit: inner emit: inner2 emit: last released");
}

/* A stanza in a lane, written, emitted, committed: no allocation once warm. Under ASan pools
 * allocate each object: the event's own lane and unit are left. */
static void test_steady_state_allocates_nothing(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "h", SV_DONE);
    p->disposes = p->emits = true;
    table(w);
    run(w, "r/x j");
    const int64_t before = w->acct.total_count;
    for (int i = 0; i < 100; i++) run(w, "r/x j");
    assert_int_equal(w->acct.total_count - before, 0);
    p->writes = true;
    run(w, "r/x j");
    commit(w, w->submitted);
    const int64_t warm = w->acct.total_count;
    for (int i = 0; i < 10; i++) {
        run(w, "r/x j");
        commit(w, w->submitted);
    }
    const int64_t units = 10,
                  lanes = POOLS_ALLOCATE ? 10 : 0; /* the test's unit is an allocation */
    assert_int_equal(w->acct.total_count - warm, units + lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_done_ends),
        TEST(test_release_at_commit),
        TEST(test_nobody_claims),
        TEST(test_monitor_sees_verdict),
        TEST(test_monitor_cannot_change),
        TEST(test_replaced_stanza),
        TEST(test_done_without_disposal),
        TEST(test_disposal_without_done),
        TEST(test_one_answer),
        TEST(test_leak_is_closed),
        TEST(test_unknown_verdict),
        TEST(test_head_for_reports),
        TEST(test_strict_leak_ends_worker),
        TEST(test_strict_undisposed_ends_worker),
        TEST(test_strict_double_disposal_ends_worker),
        TEST(test_depth_is_limited),
        TEST(test_pass_keeps_its_table),
        TEST(test_stop_cancels),
        TEST(test_slow_handler_is_named),
        TEST(test_cpu_is_sampled),
        TEST(test_trail_of_occasions), TEST(test_arena_of_handlers),
        TEST(test_fire_within),
        TEST(test_steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
