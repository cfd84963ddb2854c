/* Pool: reuse, slabs that go back, misuse that is caught. */
#include "base/base_asan.h"
#include "base/base_mem.h"
#include "base/base_testing.h"

enum { MANY = 5000 };

static svi_acct acct = {.name = "test"};
static unsigned char *out[MANY];

static int nothing_left(void **state)
{
    (void)state;
    return acct.live_count == 0 && acct.live_bytes == 0 ? 0 : -1;
}

static void take_all(svi_pool *pool, size_t bytes)
{
    for (int i = 0; i < MANY; i++) {
        out[i] = svi_pool_get(pool);
        assert_int_equal((uintptr_t)out[i] % 16, 0);
        for (size_t k = 0; k < bytes; k++) assert_int_equal(out[i][k], 0);
        memset(out[i], i & 0xff, bytes);
    }
}

static void objects_are_apart_and_zeroed(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 60; bytes += 13) {
        svi_pool *pool = svi_pool_new(&acct, bytes);
        take_all(pool, bytes);
        for (int i = 0; i < MANY; i++)
            for (size_t k = 0; k < bytes; k++) assert_int_equal(out[i][k], i & 0xff);
        for (int i = 0; i < MANY; i += 2) svi_pool_put(pool, out[i]);
        assert_int_equal(svi_pool_live(pool), MANY / 2);
        for (int i = 0; i < MANY; i += 2) out[i] = svi_pool_get(pool);
        for (int i = 1; i < MANY; i += 2) assert_int_equal(out[i][0], i & 0xff);
        for (int i = 0; i < MANY; i++) svi_pool_put(pool, out[i]);
        svi_pool_free(&pool);
        assert_null(pool);
        assert_int_equal(acct.live_count, 0);
    }
}

static void empty_slabs_go_back(void **state)
{
    (void)state;
    svi_pool *pool = svi_pool_new(&acct, 100);
    take_all(pool, 100);
    const int64_t full = acct.live_bytes;
    for (int i = 0; i < MANY; i++) svi_pool_put(pool, out[i]);
    assert_true(full > MANY * 100);
    assert_true(acct.live_bytes <= 40000); /* the one that is kept warm */
    svi_pool_free(&pool);
}

static void objects_larger_than_a_slab(void **state)
{
    (void)state;
    svi_pool *pool = svi_pool_new(&acct, 100000);
    char *a = svi_pool_get(pool), *b = svi_pool_get(pool);
    memset(a, 1, 100000);
    assert_int_equal(b[0], 0);
    svi_pool_put(pool, a);
    svi_pool_put(pool, b);
    svi_pool_free(&pool);
}

static void freed_object_is_used_again(void **state)
{
    (void)state;
    if (SVI_ASAN) return; /* there each object is an allocation of its own */
    svi_pool *pool = svi_pool_new(&acct, 48);
    void *a = svi_pool_get(pool), *b = svi_pool_get(pool);
    svi_pool_put(pool, a);
    assert_ptr_equal(svi_pool_get(pool), a);
    svi_pool_put(pool, a);
    svi_pool_put(pool, b);
    svi_pool_free(&pool);
}

static void use_past_the_end_is_seen(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    svi_pool *pool = svi_pool_new(&acct, 21);
    char *p = svi_pool_get(pool);
    assert_false(__asan_address_is_poisoned(p + 20));
    assert_true(__asan_address_is_poisoned(p + 21));
    svi_pool_put(pool, p);
    assert_true(__asan_address_is_poisoned(p));
    svi_pool_free(&pool);
#endif
}

static void free_it(void *pool)
{
    svi_pool_free(&(svi_pool *){pool});
}

static void pool_with_objects_out_is_not_freed(void **state)
{
    (void)state;
    svi_pool *pool = svi_pool_new(&acct, 8);
    void *p = svi_pool_get(pool);
    assert_true(aborts(free_it, pool));
    svi_pool_put(pool, p);
    svi_pool_free(&pool);
}

static svi_pool *giving_back_to;

static void put_it(void *object)
{
    svi_pool_put(giving_back_to, object);
}

static void giving_back_twice_is_refused(void **state)
{
    (void)state;
    if (SVI_ASAN) return; /* ASan reports it by itself */
    giving_back_to = svi_pool_new(&acct, 8);
    void *a = svi_pool_get(giving_back_to), *b = svi_pool_get(giving_back_to);
    svi_pool_put(giving_back_to, a);
    assert_true(aborts(put_it, a));
    svi_pool_put(giving_back_to, b);
    svi_pool_free(&giving_back_to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(objects_are_apart_and_zeroed, nothing_left),
        cmocka_unit_test_teardown(empty_slabs_go_back, nothing_left),
        cmocka_unit_test_teardown(objects_larger_than_a_slab, nothing_left),
        cmocka_unit_test_teardown(freed_object_is_used_again, nothing_left),
        cmocka_unit_test_teardown(use_past_the_end_is_seen, nothing_left),
        cmocka_unit_test_teardown(pool_with_objects_out_is_not_freed, nothing_left),
        cmocka_unit_test_teardown(giving_back_twice_is_refused, nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
