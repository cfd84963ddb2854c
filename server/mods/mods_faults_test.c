/* The window of faults: what counts, when it no longer does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mods/mods_faults.h"

static svi_acct acct = {.name = "test"};

static void too_many_within(void **state)
{
    (void)state;
    svi_faults f;
    svi_faults_init(&f, &acct, 3, 10);
    assert_false(svi_faults_add(&f, 100));
    assert_false(svi_faults_add(&f, 105));
    assert_int_equal(svi_faults_count(&f, 109), 2);
    assert_int_equal(svi_faults_count(&f, 110), 1); /* the first is no longer in it */
    assert_false(svi_faults_add(&f, 110));
    assert_int_equal(svi_faults_count(&f, 110), 2);
    assert_true(svi_faults_add(&f, 114)); /* 105, 110 and 114 */
    assert_true(svi_faults_add(&f, 114)); /* still */
    assert_false(svi_faults_add(&f, 124)); /* 114 is ten ago */
    assert_int_equal(f.total, 6);
    svi_faults_free(&f);
    assert_int_equal(f.total, 6);
}

static void cleared(void **state)
{
    (void)state;
    svi_faults f;
    svi_faults_init(&f, &acct, 2, 1000);
    assert_false(svi_faults_add(&f, 1));
    svi_faults_clear(&f);
    assert_int_equal(svi_faults_count(&f, 1), 0);
    assert_false(svi_faults_add(&f, 2));
    assert_true(svi_faults_add(&f, 3));
    svi_faults_free(&f);
}

static void one_is_enough_none_never(void **state)
{
    (void)state;
    svi_faults f;
    svi_faults_init(&f, &acct, 1, 1);
    assert_true(svi_faults_add(&f, 5));
    svi_faults_free(&f);
    svi_faults_init(&f, &acct, 0, 1000);
    for (int i = 0; i < 100; i++) assert_false(svi_faults_add(&f, i));
    assert_int_equal(svi_faults_count(&f, 99), 0);
    svi_faults_free(&f);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(too_many_within), cmocka_unit_test(cleared),
                                       cmocka_unit_test(one_is_enough_none_never)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
