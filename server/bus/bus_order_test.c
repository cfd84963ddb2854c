/* Random lanes, verdicts and commits against a model: what is released when (the rule in bus.h),
 * for every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/bus.h"

enum { EVENTS = 160, LANES = 4, RUNS = 400, NO_LANE = -1 };

/* What the model knows of one event. */
typedef struct item {
    struct world *w;
    int lane;
    bool writes, emits, is_early, says_later;
    bool arrived, passed; /* passed: its handler ran and it is not waiting */
    uint64_t commit;      /* 0: none */
    bool emitted, released;
    sv_event *held;
} item;

typedef struct world {
    svi_acct acct;
    svi_plat_virtual plat;
    svi_timers *timers;
    svi_ledger *ledger;
    svi_bus *bus;
    svi_hooks *hooks;
    uint64_t submitted, committed;
    item items[EVENTS];
    size_t count;
    uint64_t random;
    int nesting; /* handlers and emissions that arrive() more themselves */
} world;

static uint32_t roll(world *w, uint32_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

/* --- a store that counts
 * -------------------------------------------------------------------------------- */

static void *unit_new(void *ctx)
{
    return svi_alloc(&((world *)ctx)->acct, sizeof(item *));
}

static bool unit_is_empty(void *ctx, void *unit)
{
    (void)ctx;
    return *(item **)unit == NULL;
}

static uint64_t submit(void *ctx, void *take_unit)
{
    world *w = ctx;
    item *it = *(item **)take_unit;
    svi_free(take_unit);
    return it->commit = ++w->submitted;
}

static void discard(void *ctx, void *take_unit)
{
    (void)ctx;
    svi_free(take_unit);
}

static uint64_t committed(void *ctx)
{
    return ((world *)ctx)->committed;
}

/* --- one handler
 * ---------------------------------------------------------------------------------------- */

/* Has everything of the lane before `it` gone out, and is its own write durable? */
static bool may_go(const world *w, const item *it)
{
    if (!it->passed || it->commit > w->committed) return false;
    if (it->lane == NO_LANE) return true;
    for (const item *before = w->items; before < it; before++)
        if (before->lane == it->lane && !before->released) return false;
    return true;
}

static void arrive(world *w);

/* Now and then a handler or an emission brings the next stanza itself. */
static void arrive_nested(world *w)
{
    if (w->count >= EVENTS || roll(w, 6) > 0) return;
    w->nesting++;
    arrive(w);
    w->nesting--;
}

/* Have all before it in its lane that emit done so? */
static bool is_emitted_before(const item *it)
{
    for (const item *before = it->w->items; before < it; before++)
        if (it->lane != NO_LANE && before->lane == it->lane && before->emits && !before->emitted)
            return false;
    return true;
}

static void emission(void *ctx)
{
    item *it = ctx;
    assert_false(it->emitted);
    assert_true(is_emitted_before(it)); /* always in the lane's order */
    it->emitted = true;
    if (!it->is_early) assert_true(may_go(it->w, it)); /* never before its commit */
    arrive_nested(it->w);
}

static sv_verdict handle(sv_event *ev, void *self)
{
    (void)self;
    item *it = svi_event_x(ev);
    world *w = it->w;
    for (const item *before = w->items; before < it; before++) /* one at a time, in order */
        assert_true(it->lane == NO_LANE || before->lane != it->lane || before->passed);
    if (it->writes) *(item **)svi_event_unit(ev) = it;
    if (it->is_early) {
        const bool may_now = w->nesting == 0 && is_emitted_before(it);
        svi_event_emit_early(ev, emission, NULL, it);
        if (may_now) assert_true(it->emitted);
    } else if (it->emits) {
        svi_event_emit(ev, emission, NULL, it);
    }
    svi_event_dispose(ev, SVI_HANDED_OVER, NULL);
    if (it->says_later) {
        it->held = svi_event_hold(ev);
        return SV_LATER;
    }
    arrive_nested(w);
    it->passed = true;
    return SV_DONE;
}

static void undisposed(sv_event *ev, const char *module)
{
    (void)ev;
    fail_msg("%s did not dispose", module);
}

static void released(sv_event *ev)
{
    item *it = svi_event_x(ev);
    assert_false(it->released);
    assert_int_equal(it->emitted, it->emits);
    assert_true(may_go(it->w, it));
    it->released = true;
}

/* --- steps
 * ---------------------------------------------------------------------------------------------- */

static void arrive(world *w)
{
    static const svi_event_ops rules = {.undisposed = undisposed, .released = released};
    item *it = &w->items[w->count++];
    const uint32_t lane = roll(w, LANES + 1);
    *it = (item){.w = w,
                 .lane = lane == LANES ? NO_LANE : (int)lane,
                 .writes = roll(w, 3) == 0,
                 .emits = roll(w, 3) > 0,
                 .is_early = roll(w, 3) == 0,
                 .says_later = roll(w, 4) == 0,
                 .arrived = true};
    it->is_early = it->is_early && it->emits;
    const svi_event_config config = {.ops = &rules,
                                     .hooks = w->hooks,
                                     .point = SVI_POINT_STANZA_INBOUND,
                                     .entry = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL),
                                     .x = it};
    char key[] = "romeo@a.example/x0";
    key[sizeof key - 2] = (char)('0' + lane);
    svi_event_run(svi_event_new(w->bus, &config),
                  it->lane == NO_LANE ? SV_STR_NONE : sv_str_of(key));
    memset(key, 'x', sizeof key - 1); /* the bus keeps its own */
}

static void resume_some(world *w)
{
    const size_t from = roll(w, (uint32_t)w->count);
    for (size_t i = 0; i < w->count; i++) {
        item *it = &w->items[(from + i) % w->count];
        if (it->held == NULL || it->passed) continue;
        it->passed = true;
        assert_true(svi_event_resume(it->held, SV_DONE));
        svi_event_let_go(&it->held);
        return;
    }
}

static void commit_some(world *w)
{
    const uint64_t ahead = w->submitted - w->committed;
    if (ahead == 0) return;
    w->committed += 1 + roll(w, (uint32_t)ahead);
    svi_bus_release(w->bus, w->committed);
}

/* Nothing waits that need not. */
static void check_all(const world *w)
{
    for (const item *it = w->items; it < w->items + w->count; it++)
        if (may_go(w, it)) assert_true(it->released);
}

static void check_empty(const world *w)
{
    svi_bus_stats stats;
    svi_bus_stats_get(w->bus, &stats);
    assert_int_equal(stats.lanes, 0);
    assert_int_equal(stats.releasing, 0);
    assert_int_equal(stats.waiting, 0);
    for (const item *it = w->items; it < w->items + w->count; it++) assert_true(it->released);
    assert_true(svi_ledger_balances(w->ledger));
}

static void one_run(world *w)
{
    w->count = 0;
    while (w->count < EVENTS) {
        const uint32_t what = roll(w, 10);
        if (what < 6)
            arrive(w);
        else if (what < 8 && w->count > 0)
            resume_some(w);
        else
            commit_some(w);
        check_all(w);
    }
    for (;;) {
        bool waits = false;
        for (size_t i = 0; i < w->count; i++) waits |= !w->items[i].released;
        if (!waits) break;
        resume_some(w);
        check_all(w);
        commit_some(w);
        check_all(w);
    }
    check_empty(w);
}

static void test_random_order(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    w->acct.name = "order-test";
    svi_plat_virtual_init(&w->plat, 1);
    w->timers = svi_timers_new(&w->acct, &w->plat.plat);
    w->ledger = svi_ledger_new(&w->acct);
    const svi_handler handler = {
        .point = SVI_POINT_STANZA_INBOUND, .call = handle, .module = "m", .text = "stanza/inbound"};
    assert_int_equal(svi_hooks_build(&w->acct, &handler, 1, &w->hooks, NULL), SV_OK);
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
                                   .later_us = 1000000,
                                   .slow_us = 100000};
    w->bus = svi_bus_new(&config);
    const char *given = getenv("SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20260101;
    print_message("seed %llu\n", (unsigned long long)seed);
    w->random = seed;
    for (int i = 0; i < RUNS; i++) one_run(w);
    svi_bus_free(&w->bus);
    svi_hooks_unref(&w->hooks);
    svi_ledger_free(&w->ledger);
    svi_timers_free(&w->timers);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
