/* The trail: what is noted is read, the oldest goes first, names outlive who had them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/bus_trail.h"

typedef struct world {
    svi_acct acct;
    svi_plat_virtual clock;
    svi_trail *trail;
    svi_trail_record now; /* read last */
} world;

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "trail-test";
    svi_plat_virtual_init(&w->clock, 1);
    svi_plat_virtual_advance(&w->clock, 5000000);
    w->trail = svi_trail_new(&w->acct, &w->clock.plat);
    svi_trail_resize(w->trail, 1 << 16);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    svi_trail_free(&w->trail);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

static const svi_trail_record *next(world *w, uint64_t *pos, svi_trail_kind kind)
{
    assert_true(svi_trail_next(w->trail, pos, &w->now));
    assert_int_equal(w->now.kind, kind);
    return &w->now;
}

static void test_each_kind_is_read(void **state)
{
    world *w = *state;
    uint64_t pos = 0;
    const sv_str texts[] = {SV_STR("message"), SV_STR_NONE, SV_STR("romeo@one.example")};
    svi_exec_now()->module = "push";
    svi_exec_now()->hook = "message/out";
    svi_trail_opened(w->trail, 7, 2, 5);
    svi_exec_now()->module = svi_exec_now()->hook = NULL;
    svi_trail_text(w->trail, 7, 3, texts, 3);
    svi_trail_point(w->trail, 7, 40, true);
    svi_trail_asked(w->trail, 7, "offline", "message/account", NULL, 2, false, 4000);
    svi_trail_asked(w->trail, 7, "roster", "message/account", NULL, 0, true, 0);
    svi_plat_virtual_advance(&w->clock, 1234567);
    svi_trail_note(w->trail, 7, SVI_TRAIL_GOES_ON, SVI_TRAIL_TIMEOUT);
    svi_trail_replaced(w->trail, 7, "marks", "message/account");
    svi_trail_writes(w->trail, 7, UINT64_C(1) << 60);
    svi_trail_released(w->trail, 7);
    svi_trail_closed(w->trail, 7, 6, false, "queue-full");
    svi_trail_closed(w->trail, 8, 0, true, NULL);
    const svi_trail_record *r = next(w, &pos, SVI_TRAIL_OPENED);
    assert_int_equal(r->entry, 7);
    assert_int_equal(r->what, 2);
    assert_int_equal(r->parent, 5);
    assert_int_equal(r->at_us, 5000000);
    assert_string_equal(r->name.module, "push");
    assert_string_equal(r->name.hook, "message/out");
    r = next(w, &pos, SVI_TRAIL_TEXT);
    assert_int_equal(r->what, 3);
    assert_int_equal(r->text_count, 3);
    for (size_t i = 0; i < 3; i++) assert_true(sv_str_eq(r->texts[i], texts[i]));
    r = next(w, &pos, SVI_TRAIL_POINT);
    assert_true(r->what == 40 && r->is_inside);
    r = next(w, &pos, SVI_TRAIL_ASKED);
    assert_string_equal(r->name.module, "offline");
    assert_true(r->what == 2 && r->took_us == 4000 && !r->is_skipped && r->at_us == -1);
    r = next(w, &pos, SVI_TRAIL_ASKED);
    assert_string_equal(r->name.module, "roster");
    assert_true(r->what == 0 && r->is_skipped);
    r = next(w, &pos, SVI_TRAIL_GOES_ON);
    assert_true(r->what == SVI_TRAIL_TIMEOUT && r->at_us == 6234567);
    r = next(w, &pos, SVI_TRAIL_REPLACED);
    assert_string_equal(r->name.module, "marks");
    r = next(w, &pos, SVI_TRAIL_WRITES);
    assert_true(r->number == UINT64_C(1) << 60);
    next(w, &pos, SVI_TRAIL_RELEASED);
    r = next(w, &pos, SVI_TRAIL_CLOSED);
    assert_true(r->what == 6 && !r->is_acked);
    assert_string_equal(r->rule, "queue-full");
    r = next(w, &pos, SVI_TRAIL_CLOSED);
    assert_true(r->entry == 8 && r->is_acked && r->rule == NULL);
    assert_false(svi_trail_next(w->trail, &pos, &w->now));
}

/* Records of many sizes, many times around: what is read is exactly the newest, in order, however the ring's end falls. */
static void test_oldest_goes_first(void **state)
{
    enum { ROUNDS = 50000, BYTES = 4096 };
    world *w = *state;
    char text[SVI_TRAIL_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    svi_trail_resize(w->trail, BYTES);
    uint32_t random = 3;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        sv_str texts[SVI_TRAIL_TEXTS];
        const size_t count = (random >> 8) % (SVI_TRAIL_TEXTS + 1);
        for (size_t k = 0; k < count; k++) texts[k] = (sv_str){text, (random >> (3 * k)) % sizeof text};
        if (random % 3 == 0)
            svi_trail_note(w->trail, i, SVI_TRAIL_WAITS, 0);
        else
            svi_trail_text(w->trail, i, (unsigned)count, texts, count);
        if (i % 97 != 0) continue;
        uint64_t pos = 0, seen = 0;
        for (uint64_t last = 0; svi_trail_next(w->trail, &pos, &w->now); last = w->now.entry, seen++) {
            assert_true(last == 0 || w->now.entry == last + 1);
            if (w->now.kind == SVI_TRAIL_TEXT) assert_int_equal(w->now.text_count, w->now.what);
        }
        assert_int_equal(w->now.entry, i);
        assert_true(seen >= 2);
    }
    svi_trail_stats stats;
    svi_trail_stats_get(w->trail, &stats);
    assert_true(stats.used <= BYTES && stats.used > BYTES / 4);
    assert_int_equal(stats.records, ROUNDS);
}

static void test_long_texts_are_cut_whole(void **state)
{
    world *w = *state;
    char text[2 * SVI_TRAIL_TEXT_BYTES];
    uint64_t pos = 0;
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    memmove(text + 1, text, sizeof text - 1);
    text[0] = 'x'; /* a character now lies across the bound */
    svi_trail_text(w->trail, 1, 0, &(sv_str){text, sizeof text - 1}, 1);
    assert_int_equal(next(w, &pos, SVI_TRAIL_TEXT)->texts[0].n, SVI_TRAIL_TEXT_BYTES - 1);
}

/* The same address has another module's text later: names are kept, and told apart. */
static void test_names_outlive_modules(void **state)
{
    world *w = *state;
    char module[] = "first", hook[] = "message/out";
    svi_hook_stats stats = {.calls = 0}, other = {.calls = 0};
    uint64_t pos = 0;
    svi_trail_asked(w->trail, 1, module, hook, &stats, 0, false, 0);
    memcpy(module, "later", 5);
    svi_trail_asked(w->trail, 1, module, hook, &other, 0, false, 0);
    memcpy(module, "xxxxx", 5);
    svi_trail_asked(w->trail, 1, NULL, NULL, &stats, 0, false, 0); /* known by its number */
    assert_true(stats.name != other.name);
    assert_string_equal(next(w, &pos, SVI_TRAIL_ASKED)->name.module, "first");
    assert_string_equal(next(w, &pos, SVI_TRAIL_ASKED)->name.module, "later");
    assert_string_equal(next(w, &pos, SVI_TRAIL_ASKED)->name.module, "first");
    svi_trail_resize(w->trail, 1 << 12); /* numbers stay good */
    svi_trail_asked(w->trail, 1, NULL, NULL, &stats, 0, false, 0);
    pos = 0;
    assert_string_equal(next(w, &pos, SVI_TRAIL_ASKED)->name.module, "first");
}

static void test_names_are_bounded(void **state)
{
    enum { NAMES = 5000 };
    world *w = *state;
    char rule[32];
    uint64_t pos = 0;
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(rule, sizeof rule, "made-up-%d", i);
        svi_trail_closed(w->trail, 1, 6, false, rule);
    }
    svi_trail_stats stats;
    svi_trail_stats_get(w->trail, &stats);
    assert_true(stats.names < 4000);
    const int64_t bytes = w->acct.live_bytes;
    svi_trail_closed(w->trail, 1, 6, false, "one more");
    assert_int_equal(w->acct.live_bytes, bytes);
    while (svi_trail_next(w->trail, &pos, &w->now)) continue;
    assert_string_equal(w->now.rule, "...");
}

static void test_nothing_is_kept_when_off(void **state)
{
    world *w = *state;
    uint64_t pos = 0;
    svi_trail_note(w->trail, 1, SVI_TRAIL_WAITS, 0);
    svi_trail_resize(w->trail, 0);
    svi_trail_note(w->trail, 1, SVI_TRAIL_WAITS, 0);
    svi_trail_note(NULL, 1, SVI_TRAIL_WAITS, 0);
    assert_false(svi_trail_next(w->trail, &pos, &w->now));
    assert_int_equal(svi_trail_size(w->trail), 0);
    svi_trail_resize(w->trail, 100000);
    assert_int_equal(svi_trail_size(w->trail), 65536);
    svi_trail_note(w->trail, 0, SVI_TRAIL_WAITS, 0); /* no entry */
    assert_false(svi_trail_next(w->trail, &pos, &w->now));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_kind_is_read),       TEST(test_oldest_goes_first), TEST(test_long_texts_are_cut_whole),
        TEST(test_names_outlive_modules),   TEST(test_names_are_bounded), TEST(test_nothing_is_kept_when_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
