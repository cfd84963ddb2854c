/* What the bus costs a stanza: a chat message through 30 C handlers, with all accounting, from
 * event to release.
 *
 * Twice: one that writes nothing, and one that writes (a lane, a unit, a commit each). CPU time,
 * the median of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bus/bus.h"

enum { HANDLERS = 30, MATCHING = 10, EVENTS = 200000, ROUNDS = 7, HOLD_NS = 1000 };

typedef struct world {
    svi_acct acct;
    svi_timers *timers;
    svi_ledger *ledger;
    svi_bus *bus;
    svi_hooks *hooks;
    sv_stanza *stanza;
    svi_hook_stats stats[HANDLERS];
    uint64_t submitted, seen, emitted, released;
    bool writes;
    int unit; /* one at a time: the store's cost is not the bus's */
} world;

static void *unit_new(void *ctx)
{
    return &((world *)ctx)->unit;
}

static bool unit_is_empty(void *ctx, void *unit)
{
    (void)ctx;
    (void)unit;
    return false;
}

static uint64_t submit(void *ctx, void *take_unit)
{
    (void)take_unit;
    return ++((world *)ctx)->submitted;
}

static void discard(void *ctx, void *take_unit)
{
    (void)ctx;
    (void)take_unit;
}

static uint64_t committed(void *ctx)
{
    (void)ctx;
    return 0; /* by svi_bus_release only, as with a store that syncs */
}

static void undisposed(sv_event *ev, const char *module)
{
    (void)module;
    svi_event_dispose(ev, SVI_DROPPED, "fault");
}

static void released(sv_event *ev)
{
    ((world *)svi_event_x(ev))->released++;
}

static sv_verdict pass(sv_event *ev, void *self)
{
    world *w = self;
    w->seen += svi_event_entry(ev) & 1;
    return SV_PASS;
}

static void emission(void *ctx)
{
    ((world *)ctx)->emitted++;
}

static sv_verdict deliver(sv_event *ev, void *self)
{
    world *w = self;
    if (w->writes) svi_event_unit(ev);
    svi_event_emit(ev, emission, NULL, w);
    svi_event_dispose(ev, SVI_HANDED_OVER, NULL);
    return SV_DONE;
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* 20 handlers ask for extensions that the stanza lacks, 10 for ones that it has; the last
 * delivers. */
static void hooks_build(world *w, svi_atoms **atoms_out)
{
    static char ns[HANDLERS][32];
    static const char *const has[] = {"body",   "urn:xmpp:receipts", "urn:xmpp:sid:0",
                                      "active", "urn:xmpp:hints",    "thread"};
    static const char *const in[] = {SVI_NS_CLIENT, "request",
                                     "origin-id",   "http://jabber.org/protocol/chatstates",
                                     "store",       SVI_NS_CLIENT};
    static const sv_str own[] = {SV_STR_INIT("body"),
                                 SV_STR_INIT("thread"),
                                 SV_STR_INIT(SVI_NS_CLIENT),
                                 SV_STR_INIT("x"),
                                 SV_STR_INIT("active"),
                                 SV_STR_INIT("http://jabber.org/protocol/chatstates"),
                                 SV_STR_INIT("request"),
                                 SV_STR_INIT("store"),
                                 SV_STR_INIT("urn:xmpp:receipts"),
                                 SV_STR_INIT("origin-id"),
                                 SV_STR_INIT("urn:xmpp:hints"),
                                 SV_STR_INIT("urn:xmpp:sid:0")};
    svi_atoms *atoms = svi_atoms_extend(&w->acct, NULL, own, sizeof own / sizeof own[0]);
    svi_handler handlers[HANDLERS];
    for (uint32_t i = 0; i < HANDLERS; i++) {
        const bool matches = i % 3 == 2;
        const sv_str other = {ns[i], (size_t)snprintf(ns[i], sizeof ns[i], "urn:xmpp:other:%u", i)};
        atoms = svi_atoms_extend(&w->acct, atoms, &other, 1);
        const uint32_t k = i / 3 % 6;
        const bool is_swapped = k == 1 || k == 2 || k == 4; /* there `has` is the namespace */
        const sv_str a = sv_str_of(has[k]), b = sv_str_of(in[k]);
        handlers[i] = (svi_handler){.point = SVI_POINT_MESSAGE_OUT,
                                    .order = i,
                                    .ns = svi_atoms_find(atoms, !matches     ? other
                                                                : is_swapped ? a
                                                                             : b),
                                    .name = svi_atoms_find(atoms, !matches     ? SV_STR("x")
                                                                  : is_swapped ? b
                                                                               : a),
                                    .call = i == HANDLERS - 1 ? deliver : pass,
                                    .self = w,
                                    .module = "bench",
                                    .text = "message/out",
                                    .stats = &w->stats[i]};
    }
    if (svi_hooks_build(&w->acct, handlers, HANDLERS, &w->hooks, NULL) != SV_OK) abort();
    *atoms_out = atoms;
}

static void one_event(world *w)
{
    static const svi_event_ops rules = {.undisposed = undisposed, .released = released};
    const svi_event_config config = {.ops = &rules,
                                     .hooks = w->hooks,
                                     .point = SVI_POINT_MESSAGE_OUT,
                                     .stanza = w->stanza,
                                     .entry = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL),
                                     .host = "example.org",
                                     .x = w};
    svi_event_run(svi_event_new(w->bus, &config),
                  SV_STR("romeo@montague.example/orchard\0juliet@capulet.example"));
    if (w->writes) svi_bus_release(w->bus, w->submitted);
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Median ns per stanza; allocations per stanza after the first round. */
static int64_t measure(world *w, bool writes, double *allocations_out)
{
    int64_t took[ROUNDS];
    int64_t allocations = 0;
    w->writes = writes;
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 1) allocations = w->acct.total_count;
        const int64_t from = cpu_ns();
        for (int i = 0; i < EVENTS; i++) one_event(w);
        took[round] = (cpu_ns() - from) / EVENTS;
    }
    *allocations_out =
        (double)(w->acct.total_count - allocations) / ((double)EVENTS * (ROUNDS - 1));
    qsort(took, ROUNDS, sizeof took[0], by_value);
    return took[ROUNDS / 2];
}

static void tell(const char *what, int64_t ns, double allocations)
{
    printf("%-36s %6lld ns/stanza %6.3f allocations/stanza   hold: hooks < %d ns %s\n", what,
           (long long)ns, allocations, HOLD_NS, ns < HOLD_NS ? "MET" : "MISSED");
}

int main(void)
{
    static const char message[] =
        "<message from='romeo@montague.example/orchard' to='juliet@capulet.example' type='chat' "
        "id='ktx72v49'><body>Art thou not Romeo, and a Montague? Neither, fair saint, if either "
        "thee "
        "dislike.</body><thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread>"
        "<active xmlns='http://jabber.org/protocol/chatstates'/><request "
        "xmlns='urn:xmpp:receipts'/>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='de305d54'/><store "
        "xmlns='urn:xmpp:hints'/></message>";
    static world w = {.acct = {.name = "bench"}};
    svi_atoms *atoms;
    hooks_build(&w, &atoms);
    if (svi_stanza_parse(&w.acct, atoms, sv_str_of(message), SV_STR(SVI_NS_CLIENT), &w.stanza,
                         NULL))
        return 2;
    w.timers = svi_timers_new(&w.acct, svi_plat_kernel());
    w.ledger = svi_ledger_new(&w.acct);
    const svi_bus_config config = {.acct = &w.acct,
                                   .plat = svi_plat_kernel(),
                                   .timers = w.timers,
                                   .ledger = w.ledger,
                                   .commit = {.unit_new = unit_new,
                                              .unit_is_empty = unit_is_empty,
                                              .submit = submit,
                                              .discard = discard,
                                              .committed = committed,
                                              .ctx = &w},
                                   .later_us = 60000000,
                                   .slow_us = 100000};
    w.bus = svi_bus_new(&config);
    double plain_allocations, write_allocations;
    const int64_t plain = measure(&w, false, &plain_allocations);
    const int64_t written = measure(&w, true, &write_allocations);
    tell("hooks: 30 handlers, 10 called", plain, plain_allocations);
    tell("hooks: the same, written, committed", written, write_allocations);
    const uint64_t events = 2ull * EVENTS * ROUNDS;
    uint64_t calls = 0;
    for (size_t i = 0; i < HANDLERS; i++) calls += w.stats[i].calls;
    const bool is_right = w.released == events && w.emitted == events &&
                          calls == events * MATCHING && svi_ledger_balances(w.ledger) &&
                          svi_ledger_in_flight(w.ledger) == 0 &&
                          svi_ledger_total(w.ledger)->disposal[SVI_HANDED_OVER] == events;
    printf("ledger: %llu stanzas, %llu calls: %s\n", (unsigned long long)events,
           (unsigned long long)calls, is_right ? "equal" : "NOT EQUAL, the figures are void");
    svi_bus_free(&w.bus);
    svi_ledger_free(&w.ledger);
    svi_timers_free(&w.timers);
    svi_hooks_unref(&w.hooks);
    svi_stanza_unref(&w.stanza);
    svi_atoms_free(&atoms);
    return is_right ? 0 : 1;
}
