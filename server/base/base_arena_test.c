/* Arena: growth, marks, and that memory past a reset is poisoned where ASan can see it. */
#include "base/base_asan.h"
#include "base/base_mem.h"
#include "base/base_testing.h"

static svi_acct acct = {.name = "test"};

static int nothing_left(void **state)
{
    (void)state;
    return acct.live_count == 0 && acct.live_bytes == 0 ? 0 : -1;
}

static void gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 64);
    for (size_t n = 0; n < 300; n++) {
        char *p = svi_arena_get(arena, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    svi_arena_free(&arena);
    assert_null(arena);
    svi_arena_free(&arena);
}

static void pieces_do_not_overlap_even_if_empty(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 0);
    void *a = svi_arena_get(arena, 0), *b = svi_arena_get(arena, 0);
    assert_ptr_not_equal(a, b);
    svi_arena_free(&arena);
}

static void big_piece_gets_a_block(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 0);
    const size_t before = svi_arena_bytes(arena);
    char *p = svi_arena_get(arena, 1000000);
    p[999999] = 1;
    assert_true(svi_arena_bytes(arena) >= before + 1000000);
    assert_true(acct.live_bytes >= (int64_t)svi_arena_bytes(arena));
    svi_arena_clear(arena);
    assert_int_equal(svi_arena_bytes(arena), before);
    svi_arena_free(&arena);
}

static void reset_gives_the_same_place_again(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 256);
    char *kept = svi_arena_get(arena, 10);
    memcpy(kept, "keep this", 10);
    const svi_mark mark = svi_arena_mark(arena);
    char *a = svi_arena_get(arena, 20);
    memset(a, 7, 20);
    for (int i = 0; i < 100; i++) svi_arena_get(arena, 100);
    svi_arena_reset(arena, mark);
    char *b = svi_arena_get(arena, 20);
    assert_ptr_equal(a, b);
    assert_int_equal(b[0], 0);
    assert_string_equal(kept, "keep this");
    svi_arena_free(&arena);
}

static void marks_nest(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 64);
    const svi_mark outer = svi_arena_mark(arena);
    void *first = svi_arena_get(arena, 48);
    const svi_mark inner = svi_arena_mark(arena);
    svi_arena_get(arena, 5000);
    svi_arena_reset(arena, inner);
    svi_arena_reset(arena, inner);
    svi_arena_reset(arena, outer);
    assert_ptr_equal(svi_arena_get(arena, 48), first);
    svi_arena_free(&arena);
}

static void reset_poisons(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    svi_arena *arena = svi_arena_new(&acct, 256);
    const svi_mark mark = svi_arena_mark(arena);
    char *p = svi_arena_get(arena, 21);
    assert_false(__asan_address_is_poisoned(p + 20));
    assert_true(__asan_address_is_poisoned(p + 21));
    svi_arena_reset(arena, mark);
    assert_true(__asan_address_is_poisoned(p));
    assert_true(__asan_address_is_poisoned(p + 20));
    p = svi_arena_get(arena, 8);
    svi_arena_clear(arena);
    assert_true(__asan_address_is_poisoned(p));
    svi_arena_free(&arena);
#else
    assert_int_equal(SVI_ASAN, 0);
#endif
}

static void text_and_printf(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 64);
    const sv_str s = svi_arena_str(arena, SV_STR("romeo"));
    assert_text(s, "romeo");
    assert_int_equal(s.p[5], 0);
    assert_text(svi_arena_str(arena, SV_STR_NONE), "");
    assert_text(svi_arena_printf(arena, "%s/%d", "x", 42), "x/42");
    assert_text(svi_arena_printf(arena, "%s", ""), "");
    const sv_str wide = svi_arena_printf(arena, "%5000d", 7);
    assert_int_equal(wide.n, 5000);
    assert_int_equal(wide.p[4999], '7');
    svi_arena_free(&arena);
}

typedef struct misuse {
    svi_arena *arena;
    svi_mark mark;
} misuse;

static void reset_to_mark(void *arg)
{
    const misuse *m = arg;
    svi_arena_reset(m->arena, m->mark);
}

static void foreign_marks_are_refused(void **state)
{
    (void)state;
    svi_arena *one = svi_arena_new(&acct, 64), *two = svi_arena_new(&acct, 64);
    assert_true(aborts(reset_to_mark, &(misuse){one, svi_arena_mark(two)}));
    const svi_mark before = svi_arena_mark(one);
    svi_arena_get(one, 16);
    const svi_mark later = svi_arena_mark(one);
    svi_arena_reset(one, before);
    assert_true(aborts(reset_to_mark, &(misuse){one, later}));
    svi_arena_free(&one);
    svi_arena_free(&two);
}

static void get_absurd(void *arena)
{
    svi_arena_get(arena, SIZE_MAX - 8);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&acct, 64);
    assert_true(aborts(get_absurd, arena));
    svi_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(gives_zeroed_aligned_memory, nothing_left),
        cmocka_unit_test_teardown(pieces_do_not_overlap_even_if_empty, nothing_left),
        cmocka_unit_test_teardown(big_piece_gets_a_block, nothing_left),
        cmocka_unit_test_teardown(reset_gives_the_same_place_again, nothing_left),
        cmocka_unit_test_teardown(marks_nest, nothing_left),
        cmocka_unit_test_teardown(reset_poisons, nothing_left),
        cmocka_unit_test_teardown(text_and_printf, nothing_left),
        cmocka_unit_test_teardown(foreign_marks_are_refused, nothing_left),
        cmocka_unit_test_teardown(absurd_sizes_are_refused, nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
