/* Limits of the parser: threats X6 to X9, exactly at the edge, whole and in pieces; and what unfinished tokens
 * cost. */
#include <malloc.h>
#include <time.h>

#include "base/base_asan.h"
#include "xml/xml_test_util.h"

#if SVI_ASAN
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc ships no header that declares it */
#endif

static svi_xml_limits small(void)
{
    return (svi_xml_limits){.stanza_bytes = 2000,
                            .token_bytes = 1000,
                            .header_bytes = 400,
                            .depth = 5,
                            .elements = 40,
                            .attrs = 4,
                            .ns_decls = 3};
}

/* Whether the bytes pass (no fault) under these limits, the same for all piece sizes. */
static bool passes(const svi_xml_limits *limits, sv_str bytes)
{
    size_t faults = 0;
    const size_t count = sizeof test_steps / sizeof *test_steps;
    for (size_t i = 0; i < count; i++) {
        test_log log;
        test_log_open(&log, limits);
        test_feed(&log, bytes, test_steps[i]);
        const sv_str got = svi_buf_str(&log.text);
        const size_t at = svi_str_find(got, 'F');
        if (at < got.n) {
            if (got.p[at + 1] != '4') /* policy-violation */
                fail_msg("%.*s", (int)got.n, got.p);
            faults++;
        }
        test_log_close(&log);
    }
    assert_true(faults == 0 || faults == count);
    return faults == 0;
}

static void x6_limits_are_exact(void **state)
{
    (void)state;
    svi_xml_limits limits = small();
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    const size_t header = sizeof TEST_HEADER - 1;
    limits.header_bytes = header;
    assert_true(passes(&limits, SV_STR(TEST_HEADER)));
    limits.header_bytes = header - 1;
    assert_false(passes(&limits, SV_STR(TEST_HEADER)));
    limits = small();
    /* one start tag: <a b='...'/> */
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<a b='", "x", 1000 - 9, "'/>")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a b='", "x", 1001 - 9, "'/>")));
    /* one name */
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<", "x", 1000 - 3, "/>")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<", "x", 1001 - 3, "/>")));
    /* text is no token: the stanza bounds it */
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "x", 1500, "</a>")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "x", 2000, "</a>")));
    /* elements, the first itself included */
    limits.elements = 11;
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "<b/>", 40, "</a><a/>")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "<b/>", 44, "</a>")));
    limits.elements = 40;
    /* wire size of one stanza: CDATA brackets cost on the wire only */
    const sv_str cdata = test_filled(&buf, TEST_HEADER "<ab>", "<![CDATA[]]>", 1200, "</ab>");
    limits.stanza_bytes = 1200 + 9;
    assert_true(passes(&limits, cdata));
    limits.stanza_bytes--;
    assert_false(passes(&limits, cdata));
    svi_buf_free(&buf);
}

static void x6_endless(void **state)
{
    (void)state;
    const svi_xml_limits limits = small();
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "x", 3000, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a b='", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a ", " ", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>&", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a><!--", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<?p", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a></", "x", 1500, "")));
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "<b/>", 4000, "")));
    assert_false(passes(&limits, test_filled(&buf, "", " ", 1000, "")));
    assert_false(passes(&limits, test_filled(&buf, "<", "x", 1000, "")));
    assert_false(passes(&limits, test_filled(&buf, "<?xml version='1.0'?>", "\n", 1000, "")));
    assert_false(passes(&limits, test_filled(&buf, "<a b='", "x", 1000, "")));
    assert_false(passes(&limits, test_filled(&buf, "<!DOCTYPE ", "x", 1000, "")));
    /* keepalives take no memory, so there may be any number of them */
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER, " \n", 5000, "<a/>")));
    svi_buf_free(&buf);
}

static void x7_depth(void **state)
{
    (void)state;
    const svi_xml_limits limits = small();
    test_expect_with(&limits, SV_STR(TEST_HEADER "<a><a><a><a><a/></a></a></a></a>"),
                     "HS<a><a><a><a><a/></a></a></a></a>");
    test_expect_with(&limits, SV_STR(TEST_HEADER "<a><a><a><a><a><a/></a></a></a></a></a>"),
                     "H" TOO_BIG);
    const svi_xml_limits user = svi_xml_limits_user();
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    test_expect_with(&user, test_filled(&buf, TEST_HEADER, "<a>", 300000, ""), "H" TOO_BIG);
    svi_buf_free(&buf);
}

static void x8_attributes(void **state)
{
    (void)state;
    const svi_xml_limits limits = small();
    assert_true(passes(&limits, SV_STR(TEST_HEADER "<a b='' c='' d='' e=''/>")));
    assert_false(passes(&limits, SV_STR(TEST_HEADER "<a b='' c='' d='' e='' f=''/>")));
    assert_true(passes(&limits, SV_STR(TEST_HEADER "<a xmlns='u' xmlns:b='u' xmlns:c='u'/>")));
    assert_false(
        passes(&limits, SV_STR(TEST_HEADER "<a xmlns='u' xmlns:b='u' xmlns:c='u' xmlns:d='u'/>")));
    /* the count is per element */
    assert_true(passes(&limits, SV_STR(TEST_HEADER "<a xmlns='u' xmlns:b='u'/>"
                                                   "<a xmlns='u' xmlns:b='u'/>")));
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    const svi_xml_limits user = svi_xml_limits_user();
    for (int count = 100; count <= 101; count++) {
        svi_buf_clear(&buf);
        svi_buf_put(&buf, SV_STR(TEST_HEADER "<a"));
        for (int i = 0; i < count; i++) svi_buf_printf(&buf, " a%d=''", i);
        svi_buf_put(&buf, SV_STR("/>"));
        assert_int_equal(passes(&user, svi_buf_str(&buf)), count == 100);
    }
    svi_buf_free(&buf);
}

/* What a header declares is kept as long as the stream. */
static void x8_namespaces_of_the_header(void **state)
{
    (void)state;
    svi_xml_limits limits = svi_xml_limits_user();
    svi_buf buf, ns;
    svi_buf_init(&buf, &test_acct);
    svi_buf_init(&ns, &test_acct);
    for (int bytes = 300; bytes <= 900; bytes += 600) {
        svi_buf_clear(&buf);
        svi_buf_put(&buf, SV_STR("<stream:stream xmlns='jabber:client' "
                                 "xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:"));
        svi_buf_put(&buf, test_filled(&ns, "", "x", (size_t)bytes, "'>"));
        assert_int_equal(passes(&limits, svi_buf_str(&buf)), bytes == 300);
    }
    svi_buf_free(&ns);
    svi_buf_free(&buf);
}

static void x9_parsed_size_counts(void **state)
{
    (void)state;
    svi_xml_limits limits = svi_xml_limits_user();
    limits.stanza_bytes = limits.token_bytes = 10240;
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    /* 4 bytes each on the wire, far more in memory */
    assert_false(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "<b/>", 2000, "</a>")));
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "<b/>", 400, "</a>")));
    /* as text, the same bytes are cheap */
    assert_true(passes(&limits, test_filled(&buf, TEST_HEADER "<a>", "xxxx", 2000, "</a>")));
    /* exactly at the cost of what was made, and one below it */
    test_log log;
    test_log_open(&log, &limits);
    const sv_str stream =
        test_filled(&buf, TEST_HEADER "<a c=''>", "<b/>", 400, "<d x='y'>t</d></a>");
    test_feed(&log, stream, 0);
    limits.stanza_bytes = svi_stanza_cost_bytes(log.last);
    test_log_close(&log);
    assert_true(passes(&limits, stream));
    limits.stanza_bytes--;
    assert_false(passes(&limits, stream));
    svi_buf_free(&buf);
}

/* A namespace that a prefix stands for is written out at each element that has it. What is short on the wire
 * and in memory may not become long when it is sent on. */
static void x9_written_size_counts(void **state)
{
    (void)state;
    svi_xml_limits limits = svi_xml_limits_user();
    limits.stanza_bytes = limits.token_bytes = 10240;
    svi_buf buf, ns;
    svi_buf_init(&buf, &test_acct);
    svi_buf_init(&ns, &test_acct);
    svi_buf_put(&buf, SV_STR(TEST_HEADER "<a xmlns:p='urn:"));
    svi_buf_put(&buf, test_filled(&ns, "", "x", 1996, "'>"));
    const size_t start = buf.len;
    /* five times 2000 bytes are below the limit; the sixth is above it */
    svi_buf_put(&buf, SV_STR("<p:b/><p:b/><p:b/><p:b/><p:b/></a>"));
    assert_true(passes(&limits, svi_buf_str(&buf)));
    buf.len = start;
    svi_buf_put(&buf, SV_STR("<p:b/><p:b/><p:b/><p:b/><p:b/><p:b/></a>"));
    assert_false(passes(&limits, svi_buf_str(&buf)));
    /* inside each other they need it once */
    buf.len = start;
    svi_buf_put(&buf, SV_STR("<p:b><p:b/><p:b/><p:b/><p:b/><p:b/><p:b/><p:b/></p:b></a>"));
    assert_true(passes(&limits, svi_buf_str(&buf)));
    /* on attributes */
    buf.len = start;
    svi_buf_put(&buf, SV_STR("<b p:k=''/><b p:k=''/><b p:k=''/><b p:k=''/><b p:k=''/><b p:k=''/></a>"));
    assert_false(passes(&limits, svi_buf_str(&buf)));
    svi_buf_free(&ns);
    svi_buf_free(&buf);
}

/* Without reparse deferral expat looks at an unfinished tag again with each byte (CVE-2023-52425): 200,000
 * bytes one by one would take 10 s, and they take nothing to speak of. */
static void long_tags_cost_linear_time(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const char *const tags[] = {"<a b='", "<a c='\"' b='", "<a b='"}, *const ends[] = {"'/>", "'/>",
                                                                                       "'>x</a>"};
    const char *const fills[] = {"x", ">\"", "/>"};
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    for (size_t i = 0; i < 3; i++) {
        test_filled(&buf, tags[i], fills[i], 200000, ends[i]);
        test_log log;
        test_log_open(&log, &limits);
        test_feed(&log, SV_STR(TEST_HEADER), 0);
        const clock_t start = clock();
        assert_int_equal(test_feed(&log, svi_buf_str(&buf), 1), buf.len);
        assert_true(clock() - start < 3 * CLOCKS_PER_SEC);
        assert_int_equal(log.stanzas, 1);
        assert_int_equal(svi_node_attr(svi_stanza_root(log.last), SV_STR("b")).n, 200000);
        test_log_close(&log);
    }
    /* what is wrong in a held tag is said when it ends, or at a `<` */
    test_log log;
    test_log_open(&log, &limits);
    test_feed(&log, test_filled(&buf, TEST_HEADER "<a b='\x01", "x", 5000, ""), 1);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("H" NOT_WELL_FORMED)));
    test_log_close(&log);
    test_log_open(&log, &limits);
    test_feed(&log, test_filled(&buf, TEST_HEADER "<a b='", "x", 5000, "\x01"), 1);
    test_feed(&log, SV_STR("x"), 1);
    assert_int_equal(log.text.len, 1);
    assert_false(svi_parser_rest(log.parser));
    test_feed(&log, SV_STR("<"), 1);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("H" NOT_WELL_FORMED)));
    test_log_close(&log);
    /* what is not a tag has no business to be long */
    const char *const others[] = {"<!--", "<?p", "<a>&", "<a>&#", "<!"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        test_log_open(&log, &limits);
        test_feed(&log, SV_STR(TEST_HEADER), 0);
        const size_t used = test_feed(&log, test_filled(&buf, others[i], "1", 200000, ""), 1);
        assert_true(used < 1100);
        assert_int_equal(log.text.data[log.text.len - 2], 'F');
        test_log_close(&log);
    }
    svi_buf_free(&buf);
}

static void limits_change_on_the_way(void **state)
{
    (void)state;
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    const svi_xml_limits stranger = svi_xml_limits_stranger(), user = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &stranger);
    test_feed(&log, SV_STR(TEST_HEADER), 0);
    svi_parser_set_limits(log.parser, &user);
    test_feed(&log, test_filled(&buf, "<a>", "x", 20000, "</a>"), 0);
    assert_int_equal(log.stanzas, 1);
    svi_parser_set_limits(log.parser, &stranger);
    svi_buf_clear(&log.text);
    test_feed(&log, svi_buf_str(&buf), 0);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR(TOO_BIG)));
    svi_buf_free(&buf);
    test_log_close(&log);
}

/* One large stanza must not make the connection large for ever. */
static void scratch_shrinks_after_a_large_stanza(void **state)
{
    (void)state;
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    test_feed(&log, SV_STR(TEST_HEADER), 0);
    const int64_t before = atomic_load(&test_acct.live_bytes);
    test_feed(&log, test_filled(&buf, "<a>", "<b>text</b>", 11000, "</a>"), 0);
    assert_int_equal(log.stanzas, 1);
    svi_stanza_unref(&log.last);
    svi_buf_free(&buf);
    svi_buf_free(&log.text);
    assert_true(atomic_load(&test_acct.live_bytes) - before < 16384);
    test_log_close(&log);
}

/* Bytes on the heap, those of libraries, too. */
static size_t heap_bytes(void)
{
#if SVI_ASAN
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

/* Expat keeps each name it has seen for as long as it lives. Whoever sends on and on, each name another,
 * must not fill the memory with them (architecture 3.1). */
static void names_are_not_kept_for_ever(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    test_feed(&log, SV_STR(TEST_HEADER), 0);
    const size_t before = heap_bytes();
    size_t most = 0;
    for (unsigned i = 0; i < 30000; i++) {
        char one[128];
        const int n = snprintf(one, sizeof one, "<m%u k%u='' xmlns:p%u='u' p%u:q='v'/>", i, i, i, i);
        test_feed(&log, (sv_str){one, (size_t)n}, 0);
        svi_buf_clear(&log.text);
        const size_t now = heap_bytes();
        if (now > before && now - before > most) most = now - before;
    }
    const size_t stanzas = log.stanzas;
    test_log_close(&log);
    assert_int_equal(stanzas, 30000);
    assert_true(most < (size_t)4 << 20);
}

/* The change from one expat to the next is not seen: neither inside a read nor between two. */
static void a_new_expat_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const size_t steps[] = {0, 1000, 100003};
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_buf_put(&buf, SV_STR(TEST_HEADER));
    const size_t start = buf.len;
    for (unsigned i = 0; i < 20000; i++) svi_buf_printf(&buf, "<m k='%u'>text</m>\n", i);
    const size_t end = buf.len;
    svi_buf_put(&buf, SV_STR("</stream:stream>"));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        test_log log;
        test_log_open(&log, &limits);
        assert_int_equal(test_feed(&log, svi_buf_str(&buf), steps[i]), buf.len);
        assert_int_equal(log.stanzas, 20000);
        svi_buf want;
        svi_buf_init(&want, &test_acct);
        svi_buf_putc(&want, 'H');
        for (size_t k = start; k < end; k++) {
            if (buf.data[k] == '\n') continue;
            if (k == start || buf.data[k - 1] == '\n') svi_buf_putc(&want, 'S');
            svi_buf_putc(&want, buf.data[k]);
        }
        svi_buf_putc(&want, 'E');
        const bool same = sv_str_eq(svi_buf_str(&want), svi_buf_str(&log.text));
        svi_buf_free(&want);
        test_log_close(&log);
        assert_true(same);
    }
    svi_buf_free(&buf);
}

static int nothing_left(void **state)
{
    (void)state;
    return atomic_load(&test_acct.live_count) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x6_limits_are_exact),
        cmocka_unit_test(x6_endless),
        cmocka_unit_test(x7_depth),
        cmocka_unit_test(x8_attributes),
        cmocka_unit_test(x8_namespaces_of_the_header),
        cmocka_unit_test(x9_parsed_size_counts),
        cmocka_unit_test(x9_written_size_counts),
        cmocka_unit_test(long_tags_cost_linear_time),
        cmocka_unit_test(limits_change_on_the_way),
        cmocka_unit_test(scratch_shrinks_after_a_large_stanza),
        cmocka_unit_test(names_are_not_kept_for_ever),
        cmocka_unit_test(a_new_expat_goes_on_where_the_old_one_was),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
