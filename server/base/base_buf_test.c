/* Buffers: growth, front removal, strict base64 by the vectors of RFC 4648 10. */
#include "base/base_str.h"
#include "base/base_testing.h"

static svi_acct acct = {.name = "test"};
static svi_buf buf;

static int begin(void **state)
{
    (void)state;
    svi_buf_init(&buf, &acct);
    return 0;
}

static int end(void **state)
{
    (void)state;
    svi_buf_free(&buf);
    svi_buf_free(&buf);
    return acct.live_count == 0 ? 0 : -1;
}

static void an_empty_one_has_no_memory(void **state)
{
    (void)state;
    assert_text(svi_buf_str(&buf), "");
    svi_buf_put(&buf, SV_STR_NONE);
    svi_buf_consume(&buf, 0);
    assert_null(buf.data);
    assert_non_null(svi_buf_space(&buf, 0));
}

static void grows_and_keeps(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) svi_buf_putc(&buf, (char)('a' + i % 26));
    assert_int_equal(buf.len, 100000);
    for (int i = 0; i < 100000; i++) assert_int_equal(buf.data[i], 'a' + i % 26);
    assert_true(acct.total_count < 40); /* doubles */
    const size_t cap = buf.cap;
    svi_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, cap);
    char *space = svi_buf_space(&buf, 3 * cap);
    memset(space, 'x', 3 * cap);
    assert_int_equal(buf.len, 0);
}

static void formats(void **state)
{
    (void)state;
    svi_buf_int(&buf, INT64_MIN);
    svi_buf_putc(&buf, ' ');
    svi_buf_int(&buf, 0);
    svi_buf_printf(&buf, " %s", "x");
    assert_text(svi_buf_str(&buf), "-9223372036854775808 0 x");
    svi_buf_clear(&buf);
    for (int width = 60; width < 140; width++) { /* across the point where it must grow */
        const size_t before = buf.len;
        svi_buf_printf(&buf, "%*d", width, 7);
        assert_int_equal(buf.len - before, width);
        assert_int_equal(buf.data[buf.len - 1], '7');
    }
}

static void consumes_the_front(void **state)
{
    (void)state;
    svi_buf_put(&buf, SV_STR("abcdef"));
    svi_buf_consume(&buf, 2);
    assert_text(svi_buf_str(&buf), "cdef");
    svi_buf_put(&buf, SV_STR("gh"));
    svi_buf_consume(&buf, 0);
    assert_text(svi_buf_str(&buf), "cdefgh");
    svi_buf_consume(&buf, 6);
    assert_text(svi_buf_str(&buf), "");
}

static void consume_too_much(void *arg)
{
    svi_buf_consume(arg, 4);
}

static void put_itself(void *arg)
{
    svi_buf *b = arg;
    svi_buf_put(b, svi_buf_str(b));
}

static void ask_absurd(void *arg)
{
    svi_buf_space(arg, SIZE_MAX - 10);
}

static void misuse_is_caught(void **state)
{
    (void)state;
    svi_buf_put(&buf, SV_STR("abc"));
    assert_true(aborts(consume_too_much, &buf));
    assert_true(aborts(put_itself, &buf));
    assert_true(aborts(ask_absurd, &buf));
    assert_text(svi_buf_str(&buf), "abc");
}

static void check_pair(const char *raw, const char *text)
{
    svi_buf_clear(&buf);
    svi_base64_put(&buf, sv_str_of(raw));
    assert_int_equal(buf.len, strlen(text));
    if (buf.len > 0) assert_memory_equal(buf.data, text, buf.len);
    svi_buf_clear(&buf);
    assert_int_equal(svi_base64_get(&buf, sv_str_of(text)), SV_OK);
    assert_int_equal(buf.len, strlen(raw));
    if (buf.len > 0) assert_memory_equal(buf.data, raw, buf.len);
}

static void base64_vectors(void **state)
{
    (void)state;
    check_pair("", "");
    check_pair("f", "Zg==");
    check_pair("fo", "Zm8=");
    check_pair("foo", "Zm9v");
    check_pair("foob", "Zm9vYg==");
    check_pair("fooba", "Zm9vYmE=");
    check_pair("foobar", "Zm9vYmFy");
    check_pair("\xfb\xff\xbf", "+/+/");
    assert_int_equal(svi_base64_get(&buf, SV_STR_NONE), SV_OK);
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",        "Zg",       "Zg=",      "Zm9vYg",   "Zm9vYg=",  /* padding missing */
        "Zh==",     "Zm9=",     "/+==",                             /* stray bits: RFC 4648 3.5 */
        "Zg== ",    " Zg==",    "Zm9v\n",   "Zm 9vYg=",             /* white space */
        "Zg==Zg==", "=Zg=",     "Z=g=",     "====",     "=",        /* padding inside */
        "Z===",     "Zm9v====", "Zm9vY===", "Zm-_",     "Zm9\x80"}; /* foreign alphabet */
    svi_buf_put(&buf, SV_STR("before"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(svi_base64_get(&buf, sv_str_of(bad[i])), SV_EINVAL);
        assert_text(svi_buf_str(&buf), "before"); /* an error has done nothing */
    }
    assert_int_equal(svi_base64_get(&buf, (sv_str){"Zm9\0", 4}), SV_EINVAL);
    assert_int_equal(svi_base64_get(&buf, SV_STR("Zg==")), SV_OK);
    assert_text(svi_buf_str(&buf), "beforef");
}

static void base64_all_bytes_and_lengths(void **state)
{
    (void)state;
    char raw[256];
    for (int i = 0; i < 256; i++) raw[i] = (char)(i * 7);
    for (size_t n = 0; n <= 256; n++) {
        svi_buf text;
        svi_buf_init(&text, &acct);
        svi_base64_put(&text, (sv_str){raw, n});
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        svi_buf_clear(&buf);
        assert_int_equal(svi_base64_get(&buf, svi_buf_str(&text)), SV_OK);
        assert_int_equal(buf.len, n);
        if (n > 0) assert_memory_equal(buf.data, raw, n);
        /* the same, where just so much room is */
        char *there = svi_alloc_raw(&acct, svi_base64_bytes(n));
        svi_base64_write(there, (sv_str){raw, n});
        assert_memory_equal(there, text.data, text.len);
        svi_free(there);
        svi_buf_free(&text);
    }
}

static void hex(void **state)
{
    (void)state;
    svi_hex_put(&buf, SV_STR_NONE);
    assert_text(svi_buf_str(&buf), "");
    svi_hex_put(&buf, (sv_str){"\x00\x0f\xa9\xff", 4});
    assert_text(svi_buf_str(&buf), "000fa9ff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_one_has_no_memory, begin, end),
        cmocka_unit_test_setup_teardown(grows_and_keeps, begin, end),
        cmocka_unit_test_setup_teardown(formats, begin, end),
        cmocka_unit_test_setup_teardown(consumes_the_front, begin, end),
        cmocka_unit_test_setup_teardown(misuse_is_caught, begin, end),
        cmocka_unit_test_setup_teardown(base64_vectors, begin, end),
        cmocka_unit_test_setup_teardown(base64_is_strict, begin, end),
        cmocka_unit_test_setup_teardown(base64_all_bytes_and_lengths, begin, end),
        cmocka_unit_test_setup_teardown(hex, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
