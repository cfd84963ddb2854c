/* Dict: order, walks that delete and put, 100,000 keys, bounded holes, a random run against a plain array. */
#include "base/base_dict.h"

#include <stdio.h>

#include "base/base_plat.h"
#include "base/base_testing.h"

enum { MANY = 100000 };

static svi_acct acct = {.name = "test"};
static svi_dict *dict;
static char values[MANY]; /* addresses serve as values */

static int begin(void **state)
{
    (void)state;
    dict = svi_dict_new(&acct);
    return 0;
}

static int end(void **state)
{
    (void)state;
    svi_dict_free(&dict);
    svi_dict_free(&dict);
    return dict == NULL && acct.live_count == 0 && acct.live_bytes == 0 ? 0 : -1;
}

static sv_str key_of(int number)
{
    static char text[32];
    return (sv_str){text, (size_t)snprintf(text, sizeof text, "key-%d", number)};
}

static void fill(int count)
{
    for (int i = 0; i < count; i++) assert_null(svi_dict_put(dict, key_of(i), &values[i]));
    assert_int_equal(svi_dict_count(dict), count);
}

static void put_get_replace_delete(void **state)
{
    (void)state;
    assert_null(svi_dict_get(dict, SV_STR("a")));
    assert_null(svi_dict_del(dict, SV_STR("a")));
    assert_null(svi_dict_put(dict, SV_STR("a"), &values[1]));
    assert_ptr_equal(svi_dict_put(dict, SV_STR("a"), &values[2]), &values[1]);
    assert_int_equal(svi_dict_count(dict), 1);
    assert_ptr_equal(svi_dict_get(dict, SV_STR("a")), &values[2]);
    assert_ptr_equal(svi_dict_del(dict, SV_STR("a")), &values[2]);
    assert_null(svi_dict_get(dict, SV_STR("a")));
    assert_int_equal(svi_dict_count(dict), 0);
}

static void keys_are_bytes_and_copied(void **state)
{
    (void)state;
    char key[] = "name";
    svi_dict_put(dict, (sv_str){key, 4}, &values[1]);
    key[0] = 'x';
    assert_ptr_equal(svi_dict_get(dict, SV_STR("name")), &values[1]);
    svi_dict_put(dict, SV_STR_NONE, &values[2]);
    assert_ptr_equal(svi_dict_get(dict, SV_STR("")), &values[2]);
    svi_dict_put(dict, (sv_str){"a\0b", 3}, &values[3]);
    assert_null(svi_dict_get(dict, SV_STR("a")));
    assert_null(svi_dict_get(dict, (sv_str){"a\0c", 3}));
    assert_ptr_equal(svi_dict_get(dict, (sv_str){"a\0b", 3}), &values[3]);
}

static void walks_in_order_of_insertion(void **state)
{
    (void)state;
    fill(1000);
    for (int i = 0; i < 1000; i += 3) svi_dict_del(dict, key_of(i));
    svi_dict_put(dict, key_of(1), &values[1]); /* replaced: keeps its place */
    svi_dict_put(dict, key_of(0), &values[0]); /* removed and put again: goes to the end */
    size_t pos = 0;
    sv_str key;
    void *value;
    for (int i = 0; i < 1000; i++) {
        if (i % 3 == 0) continue;
        assert_true(svi_dict_next(dict, &pos, &key, &value));
        assert_ptr_equal(value, &values[i]);
        assert_true(sv_str_eq(key, key_of(i)));
    }
    assert_true(svi_dict_next(dict, &pos, &key, &value));
    assert_ptr_equal(value, &values[0]);
    assert_false(svi_dict_next(dict, &pos, &key, &value));
    assert_false(svi_dict_next(dict, &pos, &key, &value));
}

static void deleting_the_current_in_a_walk(void **state)
{
    (void)state;
    fill(MANY);
    size_t pos = 0, seen = 0;
    sv_str key;
    void *value;
    while (svi_dict_next(dict, &pos, &key, &value)) {
        assert_ptr_equal(value, &values[seen]); /* none left out, none twice */
        if (seen++ % 10 != 0) assert_ptr_equal(svi_dict_del(dict, key), value);
    }
    assert_int_equal(seen, MANY);
    assert_int_equal(svi_dict_count(dict), MANY / 10);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(svi_dict_get(dict, key_of(i)), i % 10 == 0 ? &values[i] : NULL);
}

static void putting_in_a_walk_loses_no_entry(void **state)
{
    (void)state;
    fill(100);
    for (int i = 0; i < 40; i++) svi_dict_del(dict, key_of(i)); /* holes that a rebuild closes */
    size_t pos = 0;
    sv_str key;
    void *value;
    for (int i = 40; i < 100; i++) {
        assert_true(svi_dict_next(dict, &pos, &key, &value));
        assert_ptr_equal(value, &values[i]);
        for (int k = 0; k < 10; k++) svi_dict_put(dict, key_of(i * 1000 + k), &values[k]);
    }
    assert_int_equal(svi_dict_count(dict), 660);
}

static void emptied_by_its_front_quickly_and_small_again(void **state)
{
    (void)state;
    fill(MANY);
    const int64_t full = acct.live_bytes;
    for (int i = 0; i < MANY; i++) { /* quadratic if holes at the front were walked each time */
        size_t pos = 0;
        sv_str key;
        void *value;
        assert_true(svi_dict_next(dict, &pos, &key, &value));
        assert_ptr_equal(value, &values[i]);
        svi_dict_del(dict, key);
    }
    assert_int_equal(svi_dict_count(dict), 0);
    assert_true(full > MANY * 40);
    assert_true(acct.live_bytes < 4096);
}

static void holes_are_bounded(void **state)
{
    (void)state;
    fill(100);
    const int64_t before = acct.live_bytes;
    for (int i = 0; i < MANY; i++) { /* a queue: put one, delete the oldest */
        svi_dict_put(dict, key_of(i + 100), &values[i]);
        svi_dict_del(dict, key_of(i));
    }
    assert_int_equal(svi_dict_count(dict), 100);
    assert_true(acct.live_bytes < before * 4);
}

static void shrinks_when_few_are_left(void **state)
{
    (void)state;
    fill(10000);
    const int64_t full = acct.live_bytes;
    for (int i = 9999; i >= 10; i--) svi_dict_del(dict, key_of(i)); /* from the back */
    assert_int_equal(svi_dict_count(dict), 10);
    assert_true(acct.live_bytes < full / 50);
    for (int i = 0; i < 10; i++) assert_ptr_equal(svi_dict_get(dict, key_of(i)), &values[i]);
}

static void random_run_agrees_with_an_array(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    void *model[KEYS] = {NULL};
    size_t live = 0;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 42);
    for (int step = 0; step < 60000; step++) {
        uint32_t r[2];
        v.plat.random(v.plat.ctx, r, sizeof r);
        const uint32_t k = r[0] % KEYS;
        const bool puts = r[1] % 8 < (step / 5000 % 2 == 0 ? 6u : 2u); /* fills, then drains */
        void *value = puts ? &values[r[1] % MANY] : NULL;
        void *before =
            puts ? svi_dict_put(dict, key_of((int)k), value) : svi_dict_del(dict, key_of((int)k));
        assert_ptr_equal(before, model[k]);
        live = live + (value != NULL) - (model[k] != NULL);
        model[k] = value;
        assert_int_equal(svi_dict_count(dict), live);
    }
    for (int k = 0; k < KEYS; k++) assert_ptr_equal(svi_dict_get(dict, key_of(k)), model[k]);
}

static void put_null(void *arg)
{
    svi_dict_put(arg, SV_STR("k"), NULL);
}

static void null_is_no_value(void **state)
{
    (void)state;
    assert_true(aborts(put_null, dict));
    assert_int_equal(svi_dict_count(dict), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(put_get_replace_delete, begin, end),
        cmocka_unit_test_setup_teardown(keys_are_bytes_and_copied, begin, end),
        cmocka_unit_test_setup_teardown(walks_in_order_of_insertion, begin, end),
        cmocka_unit_test_setup_teardown(deleting_the_current_in_a_walk, begin, end),
        cmocka_unit_test_setup_teardown(putting_in_a_walk_loses_no_entry, begin, end),
        cmocka_unit_test_setup_teardown(emptied_by_its_front_quickly_and_small_again, begin, end),
        cmocka_unit_test_setup_teardown(holes_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(shrinks_when_few_are_left, begin, end),
        cmocka_unit_test_setup_teardown(random_run_agrees_with_an_array, begin, end),
        cmocka_unit_test_setup_teardown(null_is_no_value, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
