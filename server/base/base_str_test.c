/* Strings: empty and NULL edges, number bounds, forbidden UTF-8, distances, SipHash vectors. */
#include "base/base_str.h"

#include "base/base_testing.h"

static sv_str of(const char *z)
{
    return sv_str_of(z);
}

static void comparing(void **state)
{
    (void)state;
    assert_true(svi_str_eq_fold(of("HeLLo-1"), of("hEllO-1")));
    assert_false(svi_str_eq_fold(of("a"), of("ab")));
    assert_false(svi_str_eq_fold(of("["), of("{")));               /* 0x5b, 0x7b: not letters */
    assert_false(svi_str_eq_fold(of("\xc3\x84"), of("\xc3\xa4"))); /* ASCII only */
    assert_true(svi_str_eq_fold(SV_STR_NONE, SV_STR("")));
    assert_int_equal(svi_str_cmp(of("abc"), of("abc")), 0);
    assert_true(svi_str_cmp(of("ab"), of("abc")) < 0);
    assert_true(svi_str_cmp(of("abc"), of("ab")) > 0);
    assert_true(svi_str_cmp(of("\xff"), of("a")) > 0); /* bytes are unsigned */
    assert_true(svi_str_cmp(SV_STR_NONE, of("a")) < 0);
    assert_int_equal(svi_str_cmp(SV_STR_NONE, SV_STR("")), 0);
    assert_true(svi_str_eq_secret(of("secret"), of("secret")));
    assert_false(svi_str_eq_secret(of("secret"), of("secreT")));
    assert_false(svi_str_eq_secret(of("Secret"), of("secret")));
    assert_false(svi_str_eq_secret(of("secret"), of("secre")));
    assert_true(svi_str_eq_secret(SV_STR_NONE, SV_STR("")));
}

static void parts(void **state)
{
    (void)state;
    const sv_str s = of("juliet");
    assert_true(svi_str_starts(s, of("jul")) && svi_str_starts(s, SV_STR_NONE));
    assert_false(svi_str_starts(s, of("julietta")));
    assert_true(svi_str_ends(s, of("iet")) && svi_str_ends(s, s) && svi_str_ends(s, of("")));
    assert_false(svi_str_ends(s, of("xjuliet")));
    assert_int_equal(svi_str_find(s, 'l'), 2);
    assert_int_equal(svi_str_find(s, 'x'), 6);
    assert_int_equal(svi_str_find(SV_STR_NONE, 'x'), 0);
    assert_int_equal(svi_str_find((sv_str){"a\0b", 3}, 'b'), 2);
    assert_text(svi_str_sub(s, 2, 2), "li");
    assert_text(svi_str_sub(s, 4, SIZE_MAX), "et");
    assert_text(svi_str_sub(s, 6, 1), "");
    assert_text(svi_str_sub(s, SIZE_MAX, SIZE_MAX), "");
    assert_text(svi_str_sub(SV_STR_NONE, 1, 1), "");
    assert_text(svi_str_trim(of(" \t\r\na b\n ")), "a b");
    assert_text(svi_str_trim(of(" \t ")), "");
    assert_text(svi_str_trim(SV_STR_NONE), "");
}

static void splitting(void **state)
{
    (void)state;
    sv_str rest = SV_STR("a,,b"), word = SV_STR_NONE;
    assert_true(svi_str_split(&rest, ',', &word));
    assert_text(word, "a");
    assert_true(svi_str_split(&rest, ',', &word));
    assert_text(word, "");
    assert_true(svi_str_split(&rest, ',', &word));
    assert_text(word, "b");
    assert_false(svi_str_split(&rest, ',', &word));
    rest = SV_STR("x,");
    assert_true(svi_str_split(&rest, ',', &word));
    assert_text(word, "x");
    assert_false(svi_str_split(&rest, ',', &word));
    rest = SV_STR_NONE;
    assert_false(svi_str_split(&rest, ',', &word));
}

static void check_int(const char *text, int64_t min, int64_t max, sv_status want, int64_t value)
{
    int64_t seen = -77;
    assert_int_equal(svi_str_int(of(text), min, max, &seen), want);
    assert_int_equal(seen, want == SV_OK ? value : -77);
}

static void numbers(void **state)
{
    (void)state;
    check_int("0", INT64_MIN, INT64_MAX, SV_OK, 0);
    check_int("-0", INT64_MIN, INT64_MAX, SV_OK, 0);
    check_int("007", 0, 10, SV_OK, 7);
    check_int("9223372036854775807", INT64_MIN, INT64_MAX, SV_OK, INT64_MAX);
    check_int("-9223372036854775808", INT64_MIN, INT64_MAX, SV_OK, INT64_MIN);
    check_int("9223372036854775808", INT64_MIN, INT64_MAX, SV_ELIMIT, 0);
    check_int("-9223372036854775809", INT64_MIN, INT64_MAX, SV_ELIMIT, 0);
    check_int("99999999999999999999999999", INT64_MIN, INT64_MAX, SV_ELIMIT, 0);
    check_int("99999999999999999999999999x", INT64_MIN, INT64_MAX, SV_EINVAL, 0);
    check_int("11", 0, 10, SV_ELIMIT, 0);
    check_int("-1", 0, 10, SV_ELIMIT, 0);
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "0x1", "1.0", "--1", "1-", "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_int(bad[i], INT64_MIN, INT64_MAX, SV_EINVAL, 0);
    int64_t value;
    assert_int_equal(svi_str_int((sv_str){"1\0", 2}, 0, 9, &value), SV_EINVAL);
    assert_int_equal(svi_str_int((sv_str){"123", 2}, 0, 99, &value), SV_OK);
    assert_int_equal(value, 12); /* not a byte past the length is read */
}

static void utf8_good(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "plain ascii, longer than eight bytes",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 and more ascii"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(svi_utf8_valid(of(good[i])));
    assert_true(svi_utf8_valid((sv_str){"\0", 1}));
    assert_true(svi_utf8_valid(SV_STR_NONE));
}

static void utf8_forbidden(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf", /* over-long 2 */
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf", /* over-long 3 */
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf", /* over-long 4 */
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf", /* surrogates */
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xfe",
                                      "\xff", /* too high */
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98", /* cut off */
                                      "\xc3(",
                                      "\xe2(\xa1",
                                      "\xe2\x82(",
                                      "\xf0\x9f\x98(",
                                      "12345678\x80",
                                      "1234567\x80",
                                      "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(svi_utf8_valid(of(bad[i])));
    /* a sequence may not take its end from beyond the length */
    assert_false(svi_utf8_valid((sv_str){"\xe2\x82\xac", 2}));
}

/* Every code point against an encoder of our own, and every pair of bytes against the table. */
static void utf8_all_code_points(void **state)
{
    (void)state;
    for (uint32_t code = 0x80; code <= 0x110000; code += code < 0x900 ? 1 : 17) {
        char to[4];
        const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        uint32_t left = code;
        for (size_t i = n - 1; i > 0; i--, left >>= 6) to[i] = (char)(0x80 | (left & 0x3f));
        to[0] = (char)((0xf00u >> n & 0xf0u) | left);
        uint32_t seen = 0;
        const bool allowed = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        assert_int_equal(svi_utf8_step((sv_str){to, n}, &seen), allowed ? n : 0);
        if (allowed) assert_int_equal(seen, code);
    }
    uint32_t seen;
    assert_int_equal(svi_utf8_step(SV_STR_NONE, &seen), 0);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(svi_str_distance(of("kitten"), of("mittens"), 10), 2);
    assert_int_equal(svi_str_distance(of("mittens"), of("kitten"), 10), 2);
    assert_int_equal(svi_str_distance(of("saturday"), of("sunday"), 10), 3);
    assert_int_equal(svi_str_distance(of(""), of("abc"), 10), 3);
    assert_int_equal(svi_str_distance(SV_STR_NONE, SV_STR_NONE, 10), 0);
    assert_int_equal(svi_str_distance(of("modules_enable"), of("modules_enabled"), 3), 1);
    assert_int_equal(svi_str_distance(of("abcdef"), of("uvwxyz"), 3), 3);
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(svi_str_distance((sv_str){longest, 64}, (sv_str){longest, 64}, 3), 0);
    assert_int_equal(svi_str_distance((sv_str){longest, 65}, (sv_str){longest, 65}, 3), 3);
}

/* Vectors of the SipHash authors' reference program (key 00..0f, input 00..n-1). */
static void siphash_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash;
    } vectors[] = {{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
                   {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572}};
    uint8_t key[16];
    char input[64];
    for (size_t i = 0; i < 16; i++) key[i] = (uint8_t)i;
    for (size_t i = 0; i < 64; i++) input[i] = (char)i;
    svi_hash_seed(key);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_true(svi_hash((sv_str){input, vectors[i].n}) == vectors[i].hash);
    assert_true(svi_hash(SV_STR_NONE) == vectors[0].hash);
    key[15] = 0;
    svi_hash_seed(key);
    assert_false(svi_hash((sv_str){input, 8}) == vectors[3].hash);
}

static void errors_as_text(void **state)
{
    (void)state;
    sv_err err;
    assert_int_equal(svi_err(&err, SV_EIO, "file %s: line %d", "x", 3), SV_EIO);
    assert_int_equal(err.code, SV_EIO);
    assert_string_equal(err.text, "file x: line 3");
    assert_int_equal(svi_err(&err, SV_ELIMIT, "%500d", 1), SV_ELIMIT);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(svi_err(NULL, SV_EBUSY, "nobody reads it"), SV_EBUSY);
    assert_string_equal(svi_status_name(SV_OK), "ok");
    assert_string_equal(svi_status_name(SV_ENOTFOUND), "not-found");
    for (int code = -1; code >= SV_EAGAIN; code--)
        assert_string_not_equal(svi_status_name((sv_status)code), "unknown");
    assert_string_equal(svi_status_name((sv_status)(SV_EAGAIN - 1)), "unknown");
    assert_string_equal(svi_status_name((sv_status)1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing),
        cmocka_unit_test(parts),
        cmocka_unit_test(splitting),
        cmocka_unit_test(numbers),
        cmocka_unit_test(utf8_good),
        cmocka_unit_test(utf8_forbidden),
        cmocka_unit_test(utf8_all_code_points),
        cmocka_unit_test(distances),
        cmocka_unit_test(siphash_vectors),
        cmocka_unit_test(errors_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
