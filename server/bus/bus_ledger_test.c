/* The ledger: the equation, per host, module and rule; leaks and double disposals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base_log.h"
#include "bus/bus_ledger.h"

enum { MANY = 3000, LOG_BYTES = 4096 };

typedef struct world {
    svi_acct acct;
    svi_ledger *ledger;
    char log[LOG_BYTES];
} world;

static int64_t no_clock(void *ctx)
{
    (void)ctx;
    return 0;
}

static void sink(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    world *w = ctx;
    const size_t n = strlen(w->log);
    if (n + line.n < LOG_BYTES) snprintf(w->log + n, LOG_BYTES - n, "%.*s", (int)line.n, line.p);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "ledger-test";
    svi_log_setup(SV_DEBUG, SVI_LOG_TEXT, sink, w, no_clock, NULL);
    w->ledger = svi_ledger_new(&w->acct);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    svi_ledger_free(&w->ledger);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

static uint64_t sum(const uint64_t *counts, size_t n)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) all += counts[i];
    return all;
}

/* Opens and closes at random with a bounded number open, checked against an array. */
static void test_balances_at_random(void **state)
{
    world *w = *state;
    static uint64_t open[MANY];
    size_t count = 0;
    svi_ledger_counts host = {0};
    uint64_t random = 5;
    for (int i = 0; i < 40000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const uint32_t r = (uint32_t)(random >> 33);
        if (count < MANY && (count == 0 || r % 100 < 52)) {
            open[count++] = svi_ledger_open(w->ledger, (svi_origin)(r % SVI_ORIGINS), &host);
        } else {
            const size_t which = r % count;
            const uint64_t number = open[which];
            open[which] = open[--count];
            assert_true(svi_ledger_is_open(w->ledger, number));
            svi_ledger_close(w->ledger, number, (svi_disposal)(r % SVI_DISPOSALS), "rule");
            assert_false(svi_ledger_is_open(w->ledger, number));
        }
        assert_int_equal(svi_ledger_in_flight(w->ledger), count);
        assert_true(svi_ledger_balances(w->ledger));
    }
    assert_true(count > 300);
    for (size_t i = 0; i < count; i++) {
        assert_true(svi_ledger_is_open(w->ledger, open[i]));
        svi_ledger_close(w->ledger, open[i], SVI_STORED, NULL);
    }
    assert_int_equal(sum(host.origin, SVI_ORIGINS), sum(host.disposal, SVI_DISPOSALS));
    assert_true(svi_ledger_counts_balance(&host, false));
    assert_memory_equal(&host, svi_ledger_total(w->ledger), offsetof(svi_ledger_counts, in_flight));
    svi_ledger_forget_host(w->ledger, &host);
    assert_null(host.rules);
}

static void test_modules_and_rules(void **state)
{
    world *w = *state;
    svi_exec *now = svi_exec_now();
    char name[] = "roster";
    now->module = name;
    const uint64_t a = svi_ledger_open(w->ledger, SVI_MADE_PUSH, NULL);
    memcpy(name, "mailer", 6); /* the same address is another module's name now */
    svi_ledger_close(w->ledger, a, SVI_DROPPED, "queue-full");
    now->module = NULL;
    svi_ledger_close(w->ledger, svi_ledger_open(w->ledger, SVI_RECEIVED, NULL), SVI_DROPPED,
                     "queue-full");
    const char *module, *rule;
    const svi_ledger_counts *counts;
    uint64_t opened = 0, closed = 0, times = 0;
    for (size_t pos = 0; svi_ledger_modules(w->ledger, &pos, &module, &counts);) {
        if (strcmp(module, "roster") == 0) opened = counts->origin[SVI_MADE_PUSH];
        if (strcmp(module, "mailer") == 0) closed = counts->disposal[SVI_DROPPED];
        if (strcmp(module, "core") == 0) assert_int_equal(counts->origin[SVI_RECEIVED], 1);
    }
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 1);
    size_t pos = 0;
    assert_true(svi_ledger_rules(w->ledger, &pos, &rule, &times));
    assert_string_equal(rule, "queue-full");
    assert_int_equal(times, 2);
    assert_false(svi_ledger_rules(w->ledger, &pos, &rule, &times));
}

static void test_host_may_go_first(void **state)
{
    world *w = *state;
    svi_ledger_counts *host = calloc(1, sizeof *host);
    const uint64_t number = svi_ledger_open(w->ledger, SVI_RECEIVED, host);
    svi_ledger_forget_host(w->ledger, host);
    free(host);
    svi_ledger_close(w->ledger, number, SVI_ANSWERED, NULL);
    assert_true(svi_ledger_balances(w->ledger));
}

/* What one module opens another disposes of: each has what it opened, ended or in flight. */
static void test_in_flight_of_each(void **state)
{
    world *w = *state;
    svi_ledger_counts one = {0}, two = {0};
    svi_exec_now()->module = "opens";
    const uint64_t a = svi_ledger_open(w->ledger, SVI_MADE_PUSH, &one);
    const uint64_t b = svi_ledger_open(w->ledger, SVI_MADE_PUSH, &two);
    svi_exec_now()->module = "closes";
    assert_true(svi_ledger_close_acked(w->ledger, a));
    assert_int_equal(one.in_flight, 0);
    assert_int_equal(one.acked, 1);
    assert_int_equal(one.disposal[SVI_HANDED_OVER], 1);
    assert_int_equal(two.in_flight, 1);
    assert_true(svi_ledger_counts_balance(&one, false) && svi_ledger_counts_balance(&two, false));
    const char *module;
    const svi_ledger_counts *counts;
    for (size_t pos = 0; svi_ledger_modules(w->ledger, &pos, &module, &counts);) {
        const bool opens = strcmp(module, "opens") == 0;
        assert_int_equal(counts->in_flight, opens ? 1 : 0);
        assert_int_equal(counts->ended, opens ? 1 : 0);
        assert_int_equal(counts->disposal[SVI_HANDED_OVER], opens ? 0 : 1);
        assert_true(svi_ledger_counts_balance(counts, true));
    }
    svi_exec_now()->module = NULL;
    assert_true(svi_ledger_close(w->ledger, b, SVI_STORED, NULL));
    assert_int_equal(svi_ledger_total(w->ledger)->acked, 1);
    two.in_flight++; /* what is not accounted for is seen */
    assert_false(svi_ledger_counts_balance(&two, false));
}

static const svi_ledger_counts *peer(const world *w, const char *name)
{
    const char *at;
    const svi_ledger_counts *counts;
    for (size_t pos = 0; svi_ledger_peers(w->ledger, &pos, &at, &counts);)
        if (strcmp(at, name) == 0) return counts;
    return NULL;
}

static void test_peers(void **state)
{
    world *w = *state;
    const uint64_t a = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL), b = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
    assert_int_equal(peer(w, "(local)")->in_flight, 2);
    svi_ledger_set_peer(w->ledger, a, SV_STR("first.example"));
    svi_ledger_set_peer(w->ledger, a, SV_STR("far.example")); /* a handler has changed where it goes */
    assert_null(peer(w, "first.example"));
    assert_int_equal(peer(w, "(local)")->origin[SVI_RECEIVED], 1);
    assert_int_equal(peer(w, "far.example")->origin[SVI_RECEIVED], 1);
    svi_ledger_close(w->ledger, a, SVI_BOUNCED, NULL);
    svi_ledger_close(w->ledger, b, SVI_DROPPED, "rule");
    svi_ledger_set_peer(w->ledger, a, SV_STR("else.example")); /* it has ended */
    assert_null(peer(w, "else.example"));
    assert_int_equal(peer(w, "far.example")->disposal[SVI_BOUNCED], 1);
    assert_int_equal(peer(w, "(local)")->disposal[SVI_DROPPED], 1);
    assert_true(svi_ledger_balances(w->ledger));
}

/* More domains than have room: the one that was used longest ago gives way, unless something of it is in flight. */
static void test_peers_are_bounded(void **state)
{
    enum { DOMAINS = 3000, ROOM = 1000 };
    world *w = *state;
    char name[32];
    const uint64_t kept = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
    svi_ledger_set_peer(w->ledger, kept, SV_STR("kept.example"));
    for (int i = 0; i < DOMAINS; i++) {
        const uint64_t number = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
        snprintf(name, sizeof name, "d%d.example", i);
        svi_ledger_set_peer(w->ledger, number, sv_str_of(i % 7 == 0 ? "often.example" : name));
        svi_ledger_close(w->ledger, number, SVI_BOUNCED, NULL);
        assert_true(svi_ledger_balances(w->ledger));
    }
    size_t count = 0;
    const char *at;
    const svi_ledger_counts *counts;
    for (size_t pos = 0; svi_ledger_peers(w->ledger, &pos, &at, &counts);) count++;
    assert_int_equal(count, ROOM + 1); /* "(others)"; nothing is local */
    assert_int_equal(peer(w, "kept.example")->in_flight, 1);
    assert_int_equal(peer(w, "often.example")->origin[SVI_RECEIVED], (DOMAINS + 6) / 7);
    assert_null(peer(w, "d1.example"));
    assert_non_null(peer(w, "d2999.example"));
    assert_int_equal(peer(w, "(others)")->disposal[SVI_BOUNCED], DOMAINS - (DOMAINS + 6) / 7 - (ROOM - 2));
    svi_ledger_close(w->ledger, kept, SVI_BOUNCED, NULL);
}

static void test_rules_of_hosts(void **state)
{
    enum { MADE_UP = 1500, RULES = 1000 };
    world *w = *state;
    svi_ledger_counts one = {0}, two = {0};
    char name[32];
    const char *rule;
    uint64_t times, all = 0;
    for (int i = 0; i < 3; i++)
        svi_ledger_close(w->ledger, svi_ledger_open(w->ledger, SVI_RECEIVED, &one), SVI_DROPPED, i ? "b" : "a");
    svi_ledger_close(w->ledger, svi_ledger_open(w->ledger, SVI_RECEIVED, &two), SVI_DROPPED, "a");
    size_t pos = 0;
    assert_true(svi_ledger_host_rules(&one, &pos, &rule, &times));
    assert_string_equal(rule, "b");
    assert_int_equal(times, 2);
    assert_true(svi_ledger_host_rules(&one, &pos, &rule, &times));
    assert_string_equal(rule, "a");
    assert_int_equal(times, 1);
    assert_false(svi_ledger_host_rules(&one, &pos, &rule, &times));
    for (int i = 0; i < MADE_UP; i++) {
        snprintf(name, sizeof name, "made-up-%d", i);
        svi_ledger_close(w->ledger, svi_ledger_open(w->ledger, SVI_RECEIVED, &two), SVI_DROPPED, name);
    }
    size_t count = 0;
    for (pos = 0; svi_ledger_rules(w->ledger, &pos, &rule, &times); count++) all += times;
    assert_int_equal(count, RULES + 1);
    assert_int_equal(all, MADE_UP + 4);
    svi_ledger_forget_host(w->ledger, &one);
    svi_ledger_forget_host(w->ledger, &two);
}

static void test_double_disposal(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    const uint64_t number = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
    assert_true(svi_ledger_close(w->ledger, number, SVI_ANSWERED, NULL));
    assert_false(svi_ledger_close(w->ledger, number, SVI_ANSWERED, NULL));
    assert_false(svi_ledger_close(w->ledger, 0, SVI_ANSWERED, NULL));
    assert_true(svi_ledger_balances(w->ledger));
    assert_int_equal(svi_ledger_total(w->ledger)->disposal[SVI_ANSWERED], 1);
    assert_non_null(strstr(w->log, "ledger-double"));
}

static void test_leak_is_named(void **state)
{
    world *w = *state;
    svi_ledger_set_strict(w->ledger, false);
    svi_exec_now()->module = "leaky";
    svi_exec_now()->hook = "message/out";
    svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
    svi_exec_now()->module = svi_exec_now()->hook = NULL;
    svi_ledger_free(&w->ledger);
    assert_non_null(strstr(w->log, "ledger-leak"));
    assert_non_null(strstr(w->log, "leaky"));
#ifdef SVI_DEBUG
    assert_non_null(strstr(w->log, "message/out"));
#endif
}

static void leave(const char *expression, const char *file, int line)
{
    (void)line;
    _exit(strstr(expression, "strict") != NULL && strstr(file, "bus_ledger.c") != NULL ? 77 : 1);
}

/* The status of a process that opens an entry, closes it `closes` times and frees the ledger,
 * strictly. */
static int strict_status(world *w, int closes)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        svi_ledger_set_strict(w->ledger, true);
        svi_assert_set_hook(leave);
        const uint64_t number = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
        for (int i = 0; i < closes; i++) svi_ledger_close(w->ledger, number, SVI_ANSWERED, NULL);
        svi_ledger_free(&w->ledger);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_strict(void **state)
{
    world *w = *state;
    assert_int_equal(strict_status(w, 0), 77); /* a leak */
    assert_int_equal(strict_status(w, 1), 0);
    assert_int_equal(strict_status(w, 2), 77);
}

/* Closing takes as long with many open ones as with few: in steps that grow with their number this would take minutes. */
static void test_many_open(void **state)
{
    enum { OPEN = 300000 };
    world *w = *state;
    uint64_t first = 0;
    for (int i = 0; i < OPEN; i++) {
        const uint64_t number = svi_ledger_open(w->ledger, SVI_RECEIVED, NULL);
        if (first == 0) first = number;
    }
    assert_int_equal(svi_ledger_in_flight(w->ledger), OPEN);
    for (uint64_t i = 0; i < OPEN; i += 2) /* oldest first, then those between */
        assert_true(svi_ledger_close(w->ledger, first + i, SVI_HANDED_OVER, NULL));
    for (uint64_t i = 1; i < OPEN; i += 2)
        assert_true(svi_ledger_close(w->ledger, first + i, SVI_HANDED_OVER, NULL));
    assert_int_equal(svi_ledger_in_flight(w->ledger), 0);
    assert_true(svi_ledger_balances(w->ledger));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(svi_origin_name(SVI_MADE_RECOVERED), "made-recovered");
    assert_string_equal(svi_disposal_name(SVI_DROPPED), "dropped");
    for (int i = 0; i < SVI_DISPOSALS; i++) assert_non_null(svi_disposal_name((svi_disposal)i));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_balances_at_random), TEST(test_modules_and_rules),
        TEST(test_host_may_go_first),  TEST(test_double_disposal),
        TEST(test_in_flight_of_each),  TEST(test_peers),
        TEST(test_peers_are_bounded),  TEST(test_rules_of_hosts),
        TEST(test_leak_is_named),      TEST(test_strict),
        TEST(test_many_open),          TEST(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
