/* Accounts balance, sizes at the edge, and exhaustion ends in an assertion. */
#include "base/base_mem.h"

#include "base/base_testing.h"

static void counts_live_peak_and_total(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    char *a = svi_alloc(&acct, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(a[i], 0);
    void *b = svi_alloc_raw(&acct, 50);
    assert_int_equal(acct.live_bytes, 150);
    assert_int_equal(acct.live_count, 2);
    svi_free(a);
    assert_int_equal(acct.live_bytes, 50);
    assert_int_equal(acct.peak_bytes, 150);
    svi_free(b);
    svi_free(NULL);
    assert_int_equal(acct.live_bytes, 0);
    assert_int_equal(acct.live_count, 0);
    assert_int_equal(acct.peak_bytes, 150);
    assert_int_equal(acct.peak_count, 2);
    assert_int_equal(acct.total_count, 2);
}

/* What an account is a part of has all of it, and its own peak. */
static void whole_has_the_sum(void **state)
{
    (void)state;
    svi_acct whole = {.name = "whole"};
    svi_acct one = {.name = "one", .whole = &whole}, two = {.name = "two", .whole = &whole};
    void *a = svi_alloc(&one, 100), *b = svi_alloc(&two, 30);
    assert_int_equal(whole.live_bytes, 130);
    assert_int_equal(whole.live_count, 2);
    a = svi_realloc(&one, a, 150);
    assert_int_equal(one.peak_bytes, 150); /* never both the old and the new place */
    assert_int_equal(whole.live_bytes, 180);
    svi_free(a);
    b = svi_realloc(&two, b, 60);
    assert_int_equal(whole.live_bytes, 60);
    assert_int_equal(whole.peak_bytes, 180); /* less than the sum of the peaks */
    assert_int_equal(two.peak_bytes, 60);
    svi_free(b);
    assert_int_equal(whole.live_bytes, 0);
    assert_int_equal(whole.live_count, 0);
    assert_int_equal(whole.peak_bytes, 180);
}

static void zero_bytes_are_a_block(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    void *a = svi_alloc(&acct, 0), *b = svi_alloc(&acct, 0);
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    assert_int_equal(acct.live_count, 2);
    assert_int_equal(acct.live_bytes, 0);
    svi_free(a);
    svi_free(b);
}

static void blocks_are_aligned(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    for (size_t n = 1; n < 40; n++) {
        void *p = svi_alloc(&acct, n);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        svi_free(p);
    }
}

static void realloc_keeps_bytes_and_recharges(void **state)
{
    (void)state;
    svi_acct one = {.name = "one"}, two = {.name = "two"};
    char *p = svi_realloc(&one, NULL, 4);
    memcpy(p, "abcd", 4);
    p = svi_realloc(&one, p, 100000);
    assert_memory_equal(p, "abcd", 4);
    assert_int_equal(one.live_bytes, 100000);
    p = svi_realloc(&two, p, 2);
    assert_memory_equal(p, "ab", 2);
    assert_int_equal(one.live_bytes, 0);
    assert_int_equal(one.live_count, 0);
    assert_int_equal(two.live_bytes, 2);
    svi_free(p);
    assert_int_equal(two.live_count, 0);
}

static void str_dup_ends_in_nul(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    sv_str s = svi_str_dup(&acct, (sv_str){"a\0b", 3});
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b\0", 4);
    svi_str_free(&s);
    assert_null(s.p);
    svi_str_free(&s);
    s = svi_str_dup(&acct, SV_STR_NONE);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.p[0], 0);
    svi_str_free(&s);
    assert_int_equal(acct.live_count, 0);
}

static void alloc_some(void *acct)
{
    svi_free(svi_alloc(acct, 10));
}

static void alloc_raw_some(void *acct)
{
    svi_free(svi_alloc_raw(acct, 10));
}

static void *kept; /* grown by grow(): it must survive a failed realloc */

static void grow(void *acct)
{
    kept = svi_realloc(acct, kept, 1000);
}

static void exhaustion_aborts_at_the_nth(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    svi_mem_fail_after(3);
    assert_false(aborts(alloc_some, &acct));
    assert_false(aborts(alloc_raw_some, &acct));
    assert_true(aborts(alloc_some, &acct));
    assert_string_equal(testing_expression, "memory is exhausted");
    assert_false(aborts(alloc_some, &acct));
    svi_mem_fail_after(1);
    assert_true(aborts(alloc_raw_some, &acct));
    svi_mem_fail_after(1);
    svi_mem_fail_after(0);
    assert_false(aborts(alloc_some, &acct));
    assert_int_equal(acct.live_count, 0);
}

static void failed_realloc_leaves_the_block(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    kept = svi_alloc(&acct, 10);
    svi_mem_fail_after(1);
    assert_true(aborts(grow, &acct));
    assert_int_equal(acct.live_bytes, 10);
    svi_free(kept);
}

static void alloc_absurd(void *acct)
{
    svi_free(svi_alloc(acct, SIZE_MAX - 4));
}

static void absurd_sizes_do_not_wrap(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    assert_true(aborts(alloc_absurd, &acct));
    assert_int_equal(acct.total_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_live_peak_and_total),
        cmocka_unit_test(whole_has_the_sum),
        cmocka_unit_test(zero_bytes_are_a_block),
        cmocka_unit_test(blocks_are_aligned),
        cmocka_unit_test(realloc_keeps_bytes_and_recharges),
        cmocka_unit_test(str_dup_ends_in_nul),
        cmocka_unit_test(exhaustion_aborts_at_the_nth),
        cmocka_unit_test(failed_realloc_leaves_the_block),
        cmocka_unit_test(absurd_sizes_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
