/* The virtual platform repeats from its seed; the kernel's moves on; stamps at the edges. */
#include "base/base_plat.h"

#include "base/base_testing.h"

static void virtual_clock_moves_only_when_told(void **state)
{
    (void)state;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 1);
    const svi_plat *p = &v.plat;
    char to[32];
    assert_int_equal(p->mono_us(p->ctx), 0);
    assert_int_equal(p->mono_us(p->ctx), 0);
    assert_text(svi_plat_stamp(p->wall_us(p->ctx), to), "2026-01-01T00:00:00Z");
    svi_plat_virtual_advance(&v, 1500000);
    svi_plat_virtual_advance(&v, 0);
    assert_int_equal(p->mono_us(p->ctx), 1500000);
    assert_text(svi_plat_stamp(p->wall_us(p->ctx), to), "2026-01-01T00:00:01Z");
}

static void go_back(void *v)
{
    svi_plat_virtual_advance(v, -1);
}

static void virtual_clock_never_goes_back(void **state)
{
    (void)state;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 1);
    assert_true(aborts(go_back, &v));
    assert_int_equal(v.plat.mono_us(v.plat.ctx), 0);
}

static void draw(uint64_t seed, unsigned char to[64])
{
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, seed);
    for (size_t i = 0; i < 64; i += 16) v.plat.random(v.plat.ctx, to + i, 16);
}

static void seeds_repeat_and_differ(void **state)
{
    (void)state;
    unsigned char a[64], b[64], c[64], zero[64];
    draw(7, a);
    draw(7, b);
    draw(8, c);
    draw(0, zero);
    assert_memory_equal(a, b, 64);
    assert_memory_not_equal(a, c, 64);
    assert_memory_not_equal(a, a + 32, 32);
    assert_memory_not_equal(zero, (unsigned char[64]){0}, 64);
}

static void random_writes_what_was_asked(void **state)
{
    (void)state;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 3);
    const svi_plat *both[] = {&v.plat, svi_plat_kernel()};
    for (size_t p = 0; p < 2; p++) {
        for (size_t n = 0; n < 40; n++) {
            unsigned char to[48];
            memset(to, 0xaa, sizeof to);
            both[p]->random(both[p]->ctx, to, n);
            for (size_t i = n; i < sizeof to; i++) assert_int_equal(to[i], 0xaa);
        }
    }
}

static void random_fills_every_byte(void **state)
{
    (void)state;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 4);
    const svi_plat *both[] = {&v.plat, svi_plat_kernel()};
    for (size_t p = 0; p < 2; p++) {
        unsigned char any[21] = {0}, to[21];
        for (int round = 0; round < 64; round++) {
            memset(to, 0, sizeof to);
            both[p]->random(both[p]->ctx, to, sizeof to);
            for (size_t i = 0; i < sizeof to; i++) any[i] |= to[i];
        }
        for (size_t i = 0; i < sizeof any; i++) assert_int_equal(any[i], 0xff);
    }
}

static void kernel_clocks(void **state)
{
    (void)state;
    const svi_plat *p = svi_plat_kernel();
    int64_t before = p->mono_us(p->ctx);
    for (int i = 0; i < 10000; i++) {
        const int64_t now = p->mono_us(p->ctx);
        assert_true(now >= before);
        before = now;
    }
    assert_true(p->wall_us(p->ctx) > INT64_C(1700000000000000)); /* after 2023, in microseconds */
    assert_true(p->wall_us(p->ctx) < INT64_C(7000000000000000));
}

static void stamps(void **state)
{
    (void)state;
    char to[32];
    assert_text(svi_plat_stamp(0, to), "1970-01-01T00:00:00Z");
    assert_text(svi_plat_stamp(999999, to), "1970-01-01T00:00:00Z");
    assert_text(svi_plat_stamp(-1, to), "1969-12-31T23:59:59Z");
    assert_text(svi_plat_stamp(INT64_C(951782400000000), to), "2000-02-29T00:00:00Z");
    assert_text(svi_plat_stamp(INT64_C(4107542399000000), to), "2100-02-28T23:59:59Z");
    assert_text(svi_plat_stamp(INT64_MAX, to), "9999-12-31T23:59:59Z");
    assert_text(svi_plat_stamp(INT64_MIN, to), "0001-01-01T00:00:00Z");
    assert_int_equal(to[20], 0);
    assert_text(svi_plat_stamp_ms(0, to), "1970-01-01T00:00:00Z");
    assert_text(svi_plat_stamp_ms(7, to), "1970-01-01T00:00:00.007Z");
    assert_text(svi_plat_stamp_ms(-1, to), "1969-12-31T23:59:59.999Z");
    assert_text(svi_plat_stamp_ms(INT64_C(951782400250), to), "2000-02-29T00:00:00.250Z");
    assert_text(svi_plat_stamp_ms(INT64_MAX, to), "9999-12-31T23:59:59.775Z");
    assert_text(svi_plat_stamp_ms(INT64_MIN, to), "0001-01-01T00:00:00.225Z");
    assert_int_equal(to[24], 0);
}

static void here_is_who_entered(void **state)
{
    (void)state;
    assert_ptr_equal(svi_plat_here(), svi_plat_kernel());
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 1);
    svi_plat_enter(&v.plat);
    assert_ptr_equal(svi_plat_here(), &v.plat);
    svi_plat_enter(NULL);
    assert_ptr_equal(svi_plat_here(), svi_plat_kernel());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_clock_moves_only_when_told),
        cmocka_unit_test(virtual_clock_never_goes_back),
        cmocka_unit_test(seeds_repeat_and_differ),
        cmocka_unit_test(random_writes_what_was_asked),
        cmocka_unit_test(random_fills_every_byte),
        cmocka_unit_test(kernel_clocks),
        cmocka_unit_test(stamps),
        cmocka_unit_test(here_is_who_entered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
