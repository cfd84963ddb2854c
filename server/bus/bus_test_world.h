/* The bus with a counting store, a virtual clock and handlers that do what a plan says: for the tests
 * of this folder. */
#ifndef SVI_BUS_TEST_WORLD_H
#define SVI_BUS_TEST_WORLD_H

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
    svi_hooks *hooks;
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

static inline void note(world *w, const char *text)
{
    const size_t n = strlen(w->notes);
    assert_true(n + strlen(text) + 2 < NOTES);
    snprintf(w->notes + n, NOTES - n, "%s%s", n > 0 ? " " : "", text);
}

static inline void saw(world *w, const char *expected)
{
    assert_string_equal(w->notes, expected);
    w->notes[0] = '\0';
}

static inline bool logged(world *w, const char *text)
{
    const bool found = strstr(w->log, text) != NULL;
    w->log[0] = '\0';
    return found;
}

static inline void sink(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    world *w = ctx;
    const size_t n = strlen(w->log);
    if (n + line.n < NOTES) snprintf(w->log + n, NOTES - n, "%.*s", (int)line.n, line.p);
}

/* --- the store that counts: a unit is an allocated count of writes
 * -------------------------------------- */

static inline void *unit_new(void *ctx)
{
    world *w = ctx;
    return svi_alloc(&w->acct, sizeof(int));
}

static inline bool unit_is_empty(void *ctx, void *unit)
{
    (void)ctx;
    return *(int *)unit == 0;
}

static inline uint64_t submit(void *ctx, void *take_unit)
{
    world *w = ctx;
    svi_free(take_unit);
    w->submitted++;
    if (w->commits_at_once) w->committed = w->submitted;
    return w->submitted;
}

static inline void discard(void *ctx, void *take_unit)
{
    world *w = ctx;
    svi_free(take_unit);
    w->discarded++;
}

static inline uint64_t committed(void *ctx)
{
    world *w = ctx;
    return w->committed;
}

static inline void commit(world *w, uint64_t number)
{
    w->committed = number;
    svi_bus_release(w->bus, number);
}

/* --- the rules
 * ------------------------------------------------------------------------------------------ */

static inline world *world_of(sv_event *ev)
{
    return svi_event_x(ev);
}

static inline bool rule_next(sv_event *ev)
{
    world *w = world_of(ev);
    if (svi_event_point_now(ev) != SVI_POINT_MESSAGE_OUT) return false;
    note(w, "next");
    svi_event_point(ev, SVI_POINT_MESSAGE_ACCOUNT, w->hooks, "other.example");
    return true;
}

static inline void rule_unclaimed(sv_event *ev)
{
    note(world_of(ev), "unclaimed");
    svi_event_dispose(ev, SVI_REFUSED, NULL);
}

static inline void rule_timeout(sv_event *ev)
{
    note(world_of(ev), "timeout");
    svi_event_dispose(ev, SVI_BOUNCED, NULL);
}

static inline void rule_undisposed(sv_event *ev, const char *module)
{
    note(world_of(ev), "undisposed-by");
    note(world_of(ev), module);
    svi_event_dispose(ev, SVI_DROPPED, "fault");
}

static inline void rule_released(sv_event *ev)
{
    assert_false(svi_event_is_open(ev));
    note(world_of(ev), "released");
}

static inline void rule_canceled(sv_event *ev)
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

/* --- handlers
 * ------------------------------------------------------------------------------------------- */

static inline void emit_run(void *ctx)
{
    const plan *p = ctx;
    note(p->w, "emit:");
    note(p->w, p->said);
    assert_string_equal(svi_exec_now()->module, p->said); /* blamed on who emitted */
    assert_non_null(svi_exec_now()->hook);
}

static inline void emit_drop(void *ctx)
{
    const plan *p = ctx;
    note(p->w, "drop:");
    note(p->w, p->said);
}

static inline sv_verdict handle(sv_event *ev, void *self)
{
    plan *p = self;
    note(p->w, p->said);
    const svi_exec *now = svi_exec_now();
    assert_string_equal(now->module, p->said);
    assert_non_null(now->hook);
    if (svi_event_entry(ev) != 0) assert_int_equal(now->stanza, svi_event_entry(ev));
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
static inline plan *add(world *w, svi_point point, sv_band band, const char *said,
                        sv_verdict verdict)
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

static inline void table(world *w)
{
    svi_hooks_unref(&w->hooks);
    assert_int_equal(svi_hooks_build(&w->acct, w->handlers, w->count, &w->hooks, NULL), SV_OK);
}

static inline sv_event *event_with(world *w, const svi_event_ops *ops)
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
static inline void run(world *w, const char *lane)
{
    svi_event_run(event_with(w, &rules), sv_str_of(lane));
    assert_null(svi_exec_now()->module);
    assert_int_equal(svi_exec_now()->stanza, 0);
}

static inline sv_stanza *parse(world *w, const char *xml)
{
    sv_stanza *stanza = NULL;
    sv_err err;
    if (svi_stanza_parse(&w->acct, w->atoms, sv_str_of(xml), SV_STR(SVI_NS_CLIENT), &stanza, &err))
        fail_msg("%s", err.text);
    return stanza;
}

static inline int setup_sampled(void **state, uint32_t every)
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
                                   .slow_us = SLOW_US,
                                   .sample_every = every};
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

static inline int setup(void **state)
{
    return setup_sampled(state, 0);
}

static inline int teardown(void **state)
{
    world *w = *state;
    svi_bus_free(&w->bus);
    assert_true(svi_ledger_balances(w->ledger));
    svi_ledger_free(&w->ledger);
    svi_timers_free(&w->timers);
    svi_hooks_unref(&w->hooks);
    svi_stanza_unref(&w->stanza);
    svi_stanza_unref(&w->other);
    svi_atoms_free(&w->atoms);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

static inline void look(sv_event *ev, plan *p)
{
    note(p->w, svi_event_verdict(ev) == SV_DONE ? "sees-done" : "sees-pass");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
