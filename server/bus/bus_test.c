/* The bus as its rules see it: verdicts, points, answers, LATER, faults, lanes, commits. A store
 * that only counts stands behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base_asan.h"
#include "base/base_log.h"
#include "bus/bus.h"

enum { POOLS_ALLOCATE = SVI_ASAN };
enum { HANDLERS = 12, NOTES = 4096, LATER_US = 60000000, SLOW_US = 100000 };

/* What one handler is to do when called; `said` notes its name. */
typedef struct plan {
    struct world *w;
    const char *said;
    sv_verdict verdict;
    bool disposes, twice, writes, emits, emits_early, replaces, holds;
    int64_t takes_us;
    void (*extra)(sv_event *ev, struct plan *plan);
} plan;

typedef struct world {
    svi_acct acct;
    svi_plat_virtual plat;
    svi_timers *timers;
    svi_ledger *ledger;
    svi_bus *bus;
    svi_atoms *atoms;
    svi_hooks *hooks, *next_hooks;
    sv_stanza *stanza, *other;
    uint64_t submitted, committed, discarded;
    bool commits_at_once;
    plan plans[HANDLERS];
    svi_handler handlers[HANDLERS];
    svi_hook_stats stats[HANDLERS];
    size_t count;
    sv_event *held;
    char notes[NOTES];
    char log[NOTES];
} world;

static void note(world *w, const char *text)
{
    const size_t n = strlen(w->notes);
    assert_true(n + strlen(text) + 2 < NOTES);
    snprintf(w->notes + n, NOTES - n, "%s%s", n > 0 ? " " : "", text);
}

static void saw(world *w, const char *expected)
{
    assert_string_equal(w->notes, expected);
    w->notes[0] = '\0';
}

static bool logged(world *w, const char *text)
{
    const bool found = strstr(w->log, text) != NULL;
    w->log[0] = '\0';
    return found;
}

static void sink(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    world *w = ctx;
    const size_t n = strlen(w->log);
    if (n + line.n < NOTES) snprintf(w->log + n, NOTES - n, "%.*s", (int)line.n, line.p);
}

/* --- the store that counts: a unit is an allocated count of writes
 * -------------------------------------- */

static void *unit_new(void *ctx)
{
    world *w = ctx;
    return svi_alloc(&w->acct, sizeof(int));
}

static bool unit_is_empty(void *ctx, void *unit)
{
    (void)ctx;
    return *(int *)unit == 0;
}

static uint64_t submit(void *ctx, void *take_unit)
{
    world *w = ctx;
    svi_free(take_unit);
    w->submitted++;
    if (w->commits_at_once) w->committed = w->submitted;
    return w->submitted;
}

static void discard(void *ctx, void *take_unit)
{
    world *w = ctx;
    svi_free(take_unit);
    w->discarded++;
}

static uint64_t committed(void *ctx)
{
    world *w = ctx;
    return w->committed;
}

static void commit(world *w, uint64_t number)
{
    w->committed = number;
    svi_bus_release(w->bus, number);
}

/* --- the rules
 * ------------------------------------------------------------------------------------------ */

static world *world_of(sv_event *ev)
{
    return svi_event_x(ev);
}

static bool rule_next(sv_event *ev)
{
    world *w = world_of(ev);
    if (svi_event_point_now(ev) != SVI_POINT_MESSAGE_OUT) return false;
    note(w, "next");
    svi_event_point(ev, SVI_POINT_MESSAGE_ACCOUNT, w->next_hooks ? w->next_hooks : w->hooks,
                    "other.example");
    return true;
}

static void rule_unclaimed(sv_event *ev)
{
    note(world_of(ev), "unclaimed");
    svi_event_dispose(ev, SVI_REFUSED, NULL);
}

static void rule_timeout(sv_event *ev)
{
    note(world_of(ev), "timeout");
    svi_event_dispose(ev, SVI_BOUNCED, NULL);
}

static void rule_undisposed(sv_event *ev, const char *module)
{
    note(world_of(ev), "undisposed-by");
    note(world_of(ev), module);
    svi_event_dispose(ev, SVI_DROPPED, "fault");
}

static void rule_undisposed_lazy(sv_event *ev, const char *module)
{
    (void)module;
    note(world_of(ev), "lazy");
}

static void rule_released(sv_event *ev)
{
    assert_false(svi_event_is_open(ev));
    note(world_of(ev), "released");
}

static void rule_canceled(sv_event *ev)
{
    assert_false(svi_event_is_open(ev));
    note(world_of(ev), "canceled");
}

static const svi_event_ops rules = {.next = rule_next,
                                    .unclaimed = rule_unclaimed,
                                    .timeout = rule_timeout,
                                    .undisposed = rule_undisposed,
                                    .released = rule_released,
                                    .canceled = rule_canceled};
static const svi_event_ops lazy_rules = {.undisposed = rule_undisposed_lazy};

/* --- handlers
 * ------------------------------------------------------------------------------------------- */

static void emit_run(void *ctx)
{
    const plan *p = ctx;
    note(p->w, "emit:");
    note(p->w, p->said);
    assert_string_equal(svi_exec_now()->module, p->said); /* blamed on who emitted */
    assert_non_null(svi_exec_now()->hook);
}

static void emit_drop(void *ctx)
{
    const plan *p = ctx;
    note(p->w, "drop:");
    note(p->w, p->said);
}

static sv_verdict handle(sv_event *ev, void *self)
{
    plan *p = self;
    note(p->w, p->said);
    const svi_exec *now = svi_exec_now();
    assert_string_equal(now->module, p->said);
    assert_non_null(now->hook);
    assert_int_equal(now->stanza, svi_event_entry(ev));
    if (p->writes) (*(int *)svi_event_unit(ev))++;
    if (p->emits) svi_event_emit(ev, emit_run, emit_drop, p);
    if (p->emits_early) svi_event_emit_early(ev, emit_run, emit_drop, p);
    if (p->replaces) svi_event_replace(ev, p->w->other);
    if (p->disposes) svi_event_dispose(ev, SVI_HANDED_OVER, NULL);
    if (p->twice) assert_false(svi_event_dispose(ev, SVI_HANDED_OVER, NULL));
    if (p->holds) p->w->held = svi_event_hold(ev);
    if (p->takes_us > 0) svi_plat_virtual_advance(&p->w->plat, p->takes_us);
    if (p->extra != NULL) p->extra(ev, p);
    return p->verdict;
}

/* Adds a handler named after what it notes; returns its plan. */
static plan *add(world *w, svi_point point, sv_band band, const char *said, sv_verdict verdict)
{
    assert_true(w->count < HANDLERS);
    plan *p = &w->plans[w->count];
    *p = (plan){.w = w, .said = said, .verdict = verdict};
    w->handlers[w->count] = (svi_handler){.point = point,
                                          .band = band,
                                          .order = (uint32_t)w->count,
                                          .call = handle,
                                          .self = p,
                                          .module = said,
                                          .text = "message/out",
                                          .stats = &w->stats[w->count]};
    w->count++;
    return p;
}

static void table(world *w)
{
    svi_hooks_unref(&w->hooks);
    assert_int_equal(svi_hooks_build(&w->acct, w->handlers, w->count, &w->hooks, NULL), SV_OK);
}

static sv_event *event_with(world *w, const svi_event_ops *ops)
{
    const svi_event_config config = {.ops = ops,
                                     .hooks = w->hooks,
                                     .point = SVI_POINT_MESSAGE_OUT,
                                     .stanza = w->stanza,
                                     .entry = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL),
                                     .host = "a.example",
                                     .x = w};
    return svi_event_new(w->bus, &config);
}

/* A stanza comes in; lane "" is none. */
static void run(world *w, const char *lane)
{
    svi_event_run(event_with(w, &rules), sv_str_of(lane));
    assert_null(svi_exec_now()->module);
    assert_int_equal(svi_exec_now()->stanza, 0);
}

static sv_stanza *parse(world *w, const char *xml)
{
    sv_stanza *stanza = NULL;
    sv_err err;
    if (svi_stanza_parse(&w->acct, w->atoms, sv_str_of(xml), SV_STR(SVI_NS_CLIENT), &stanza, &err))
        fail_msg("%s", err.text);
    return stanza;
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "bus-test";
    svi_plat_virtual_init(&w->plat, 1);
    svi_log_setup(SV_DEBUG, SVI_LOG_TEXT, sink, w, w->plat.plat.wall_us, w->plat.plat.ctx);
    w->timers = svi_timers_new(&w->acct, &w->plat.plat);
    w->ledger = svi_ledger_new(&w->acct);
    const svi_bus_config config = {.acct = &w->acct,
                                   .plat = &w->plat.plat,
                                   .timers = w->timers,
                                   .ledger = w->ledger,
                                   .commit = {.unit_new = unit_new,
                                              .unit_is_empty = unit_is_empty,
                                              .submit = submit,
                                              .discard = discard,
                                              .committed = committed,
                                              .ctx = w},
                                   .later_us = LATER_US,
                                   .slow_us = SLOW_US};
    w->bus = svi_bus_new(&config);
    const sv_str names[] = {SV_STR_INIT("jabber:client"), SV_STR_INIT("body"), SV_STR_INIT("urn:a"),
                            SV_STR_INIT("a"), SV_STR_INIT("b")};
    w->atoms = svi_atoms_extend(&w->acct, NULL, names, 5);
    w->stanza = parse(w, "<message type='chat' from='r@a.example/x' to='j@a.example'>"
                         "<body>hi</body></message>");
    w->other = parse(w, "<message to='j@a.example'><a xmlns='urn:a'/></message>");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    svi_bus_free(&w->bus);
    assert_true(svi_ledger_balances(w->ledger));
    svi_ledger_free(&w->ledger);
    svi_timers_free(&w->timers);
    svi_hooks_unref(&w->hooks);
    svi_hooks_unref(&w->next_hooks);
    svi_stanza_unref(&w->stanza);
    svi_stanza_unref(&w->other);
    svi_atoms_free(&w->atoms);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

/* --- tests
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

static void look(sv_event *ev, plan *p)
{
    note(p->w, svi_event_verdict(ev) == SV_DONE ? "sees-done" : "sees-pass");
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

static void expect_rule(const char *expression, const char *file, int line)
{
    (void)file;
    (void)line;
    const svi_exec *now = svi_exec_now();
    const bool blamed = now->module != NULL && strcmp(now->module, "guilty") == 0;
    _exit(strstr(expression, "disposed of") != NULL && blamed ? 77 : 1);
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

static void test_strict_double_disposal_ends_worker(void **state)
{
    world *w = *state;
    plan *p = add(w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "guilty", SV_DONE);
    p->disposes = p->twice = true;
    dies(w, &rules);
}

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

static void test_deadlines_in_order(void **state)
{
    world *w = *state;
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
        TEST(test_strict_leak_ends_worker),
        TEST(test_strict_double_disposal_ends_worker),
        TEST(test_later_resumed),
        TEST(test_later_times_out),
        TEST(test_deadlines_in_order),
        TEST(test_lane_waits_behind_later),
        TEST(test_lane_of_running_event),
        TEST(test_early_keeps_lane_order),
        TEST(test_store_that_commits_at_once),
        TEST(test_empty_unit_writes_nothing),
        TEST(test_depth_is_limited),
        TEST(test_pass_keeps_its_table),
        TEST(test_stop_cancels),
        TEST(test_slow_handler_is_named),
        TEST(test_cpu_is_sampled),
        TEST(test_arena_of_handlers),
        TEST(test_fire_within),
        TEST(test_steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
