/* Rows put aside: what is seen of them, in which order, and which go when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/base_str.h"
#include "mods/mods_aside.h"

static svi_acct acct = {.name = "test"};
static const char places[2]; /* maps are told apart by their addresses */
static const svi_map *const map_a = (const svi_map *)(const void *)&places[0], *const map_b = (const svi_map *)(const void *)&places[1];

#define S(text) SV_STR(text)

static void assert_row(const svi_aside *aside, const svi_map *map, const char *owner, const char *key, const char *want)
{
    sv_str value = SV_STR_NONE;
    const svi_aside_state state = svi_aside_get(aside, map, sv_str_of(owner), sv_str_of(key), &value);
    assert_int_equal(state, SVI_ASIDE_VALUE);
    if (!sv_str_eq(value, sv_str_of(want))) fail_msg("%s/%s is \"%.*s\"", owner, key, (int)value.n, value.p);
}

static svi_aside_state state_of(const svi_aside *aside, const svi_map *map, const char *owner, const char *key)
{
    sv_str value;
    return svi_aside_get(aside, map, sv_str_of(owner), sv_str_of(key), &value);
}

static void assert_empty_again(svi_aside **aside)
{
    svi_aside_free(aside);
    assert_null(*aside);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

static void what_was_written_is_seen(void **state)
{
    (void)state;
    svi_aside *aside = svi_aside_new(&acct, 1 << 20);
    assert_int_equal(state_of(aside, map_a, "o", "k"), SVI_ASIDE_NOTHING);
    svi_aside_put(aside, map_a, S("o"), S("k"), S("1"));
    svi_aside_put(aside, map_a, S("o"), S("k"), S("2"));
    assert_row(aside, map_a, "o", "k", "2");
    assert_int_equal(state_of(aside, map_b, "o", "k"), SVI_ASIDE_NOTHING); /* another map */
    assert_int_equal(state_of(aside, map_a, "p", "k"), SVI_ASIDE_NOTHING); /* another owner */
    svi_aside_del(aside, map_a, S("o"), S("k"));
    assert_int_equal(state_of(aside, map_a, "o", "k"), SVI_ASIDE_GONE);
    svi_aside_put(aside, map_a, S("o"), S(""), S(""));
    assert_row(aside, map_a, "o", "", "");
    assert_empty_again(&aside);
}

static void all_of_an_owner_goes(void **state)
{
    (void)state;
    svi_aside *aside = svi_aside_new(&acct, 1 << 20);
    svi_aside_put(aside, map_a, S("o"), S("k"), S("1"));
    svi_aside_del_owner(aside, map_a, S("o"));
    assert_int_equal(state_of(aside, map_a, "o", "k"), SVI_ASIDE_GONE);
    assert_int_equal(state_of(aside, map_a, "o", "never written"), SVI_ASIDE_GONE);
    svi_aside_put(aside, map_a, S("o"), S("l"), S("2"));
    assert_row(aside, map_a, "o", "l", "2");
    assert_int_equal(state_of(aside, map_a, "o", "k"), SVI_ASIDE_GONE);
    assert_empty_again(&aside);
}

static void rows_come_in_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"m", "a", "z", "c", "b"};
    svi_aside *aside = svi_aside_new(&acct, 1 << 20);
    for (size_t i = 0; i < 5; i++) svi_aside_put(aside, map_a, S("o"), sv_str_of(keys[i]), sv_str_of(keys[i]));
    svi_aside_del(aside, map_a, S("o"), S("c"));
    sv_str key = SV_STR_NONE, value;
    char seen[16] = "";
    size_t n = 0;
    while (svi_aside_next(aside, map_a, S("o"), &key, &value)) {
        assert_true(sv_str_eq(key, value));
        seen[n++] = key.p[0];
    }
    assert_string_equal(seen, "abmz");
    key = S("aa"); /* one that is not there */
    assert_true(svi_aside_next(aside, map_a, S("o"), &key, &value));
    assert_true(sv_str_eq(key, S("b")));
    key = SV_STR_NONE;
    assert_false(svi_aside_next(aside, map_b, S("o"), &key, &value));
    assert_empty_again(&aside);
}

/* It never holds more than its bound, and the newest are those that stay. */
static void the_oldest_goes(void **state)
{
    (void)state;
    enum { MAX = 20000, MANY = 5000 };
    svi_aside *aside = svi_aside_new(&acct, MAX);
    char text[32];
    svi_aside_del_owner(aside, map_a, S("cleared"));
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%d", i);
        svi_aside_put(aside, map_a, sv_str_of(text + strlen(text) - 1), sv_str_of(text), sv_str_of(text));
        assert_in_range(svi_aside_bytes(aside), 1, MAX);
    }
    assert_in_range(atomic_load(&acct.live_bytes), 1, 2 * MAX);
    assert_row(aside, map_a, "9", "4999", "4999");
    assert_int_equal(state_of(aside, map_a, "0", "0"), SVI_ASIDE_NOTHING);
    assert_int_equal(state_of(aside, map_a, "cleared", "k"), SVI_ASIDE_NOTHING);
    static char large[MAX];
    svi_aside_put(aside, map_a, S("o"), S("k"), (sv_str){large, MAX});
    assert_int_equal(state_of(aside, map_a, "o", "k"), SVI_ASIDE_NOTHING); /* too large for it alone */
    assert_int_equal(svi_aside_bytes(aside), 0);
    assert_empty_again(&aside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_seen),
        cmocka_unit_test(all_of_an_owner_goes),
        cmocka_unit_test(rows_come_in_order),
        cmocka_unit_test(the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
