/* Parser: threats X1 to X5, X10, X11, X13, pause, restart, rest. Streams are fed whole and in pieces of one and
 * three bytes; the events must be the same. */
#include "xml/xml_test_util.h"

#include "base/base_atom.h"

static void names_of_faults_match_the_enum(void **state)
{
    (void)state;
    assert_int_equal(SVI_XML_NOT_WELL_FORMED, 1);
    assert_int_equal(SVI_XML_RESTRICTED, 2);
    assert_int_equal(SVI_XML_UNSUPPORTED_ENCODING, 3);
    assert_int_equal(SVI_XML_TOO_BIG, 4);
    assert_int_equal(SVI_XML_BAD_PREFIX, 5);
    assert_int_equal(SVI_XML_BAD_FORMAT, 6);
}

static void stream_with_stanzas(void **state)
{
    (void)state;
    EXPECT("", "");
    EXPECT("<presence/>", "S<presence/>");
    EXPECT("<a/>\n <b>x</b>\t</stream:stream>", "S<a/>S<b>x</b>E");
    EXPECT("<m to='x'><body>hi &amp; <b xmlns='urn:b'>you</b></body></m>",
           "S<m to='x'><body>hi &amp; <b xmlns='urn:b'>you</b></body></m>");
    EXPECT("</stream:stream><presence/>", "E"); /* X12: nothing behind the end */
    EXPECT_RAW("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>", "HE");
    EXPECT_RAW("<stream xmlns='http://etherx.jabber.org/streams'><a xmlns='u'/></stream>",
               "HS<a xmlns='u'/>E");
    /* white space before the header may belong to the stream before a restart */
    EXPECT_RAW(" \r\n" TEST_HEADER "<a/>", "HS<a/>");
}

static void x1_doctype(void **state)
{
    (void)state;
    EXPECT_RAW("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", RESTRICTED);
    EXPECT_RAW("<?xml version='1.0'?><!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", RESTRICTED);
    EXPECT_RAW("<!DOCTYPE a PUBLIC 'p' 'http://127.0.0.1/x.dtd'><a/>", RESTRICTED);
    EXPECT_RAW("<!DOCTYPE l [<!ENTITY a 'aa'><!ENTITY b '&a;&a;&a;&a;'>"
               "<!ENTITY c '&b;&b;&b;&b;'>]><l>&c;</l>",
               RESTRICTED);
    EXPECT("<!DOCTYPE a>", NOT_WELL_FORMED); /* not even XML inside an element */
}

static void x2_forbidden_markup(void **state)
{
    (void)state;
    EXPECT("<a><!-- x --></a>", RESTRICTED);
    EXPECT("<!-- between --><a/>", RESTRICTED);
    EXPECT_RAW("<!-- before --><a/>", RESTRICTED);
    EXPECT("<a><?php x?></a>", RESTRICTED);
    EXPECT("<?target?>", RESTRICTED);
    EXPECT_RAW("<?xml-stylesheet href='x'?><a/>", RESTRICTED);
    EXPECT("<a>&nbsp;</a>", RESTRICTED);
    EXPECT("<a b='&nbsp;'/>", RESTRICTED);
    EXPECT("<a>&lt;&gt;&amp;&apos;&quot;</a>", "S<a>&lt;&gt;&amp;'\"</a>");
    /* a second declaration or header is not a new stream (X12) */
    EXPECT("<?xml version='1.0'?>", NOT_WELL_FORMED);
    EXPECT("<a><?xml version='1.0'?></a>", NOT_WELL_FORMED);
}

static void x3_not_characters(void **state)
{
    (void)state;
    EXPECT("<a>\xC0\x80</a>", NOT_WELL_FORMED);         /* over-long NUL */
    EXPECT("<a>\xE0\x80\xBC</a>", NOT_WELL_FORMED);     /* over-long `<` */
    EXPECT("<a>\xED\xA0\x80</a>", NOT_WELL_FORMED);     /* surrogate */
    EXPECT("<a>\xF4\x90\x80\x80</a>", NOT_WELL_FORMED); /* above 10FFFF */
    EXPECT("<a>\xF8\x88\x80\x80\x80</a>", NOT_WELL_FORMED);
    EXPECT("<a>\x80</a>", NOT_WELL_FORMED);       /* continuation alone */
    EXPECT("<a>\xC3</a>", NOT_WELL_FORMED);       /* lead byte alone */
    EXPECT("<a>\xC3<b/></a>", NOT_WELL_FORMED);   /* X4: lead byte that swallows `<` */
    EXPECT("<a b='\xE2\x82'/>", NOT_WELL_FORMED); /* lead bytes that swallow the quote */
    EXPECT("<a\xC3/>", NOT_WELL_FORMED);
    EXPECT("<a>\xFF</a>", NOT_WELL_FORMED);
    EXPECT("<a xmlns='\xFFx'/>", NOT_WELL_FORMED);  /* X4: our own separator */
    EXPECT("<a>\xEF\xBF\xBE</a>", NOT_WELL_FORMED); /* FFFE */
    EXPECT("<a>\xEF\xBF\xBF</a>", NOT_WELL_FORMED); /* FFFF */
    EXPECT("<a>\0</a>", NOT_WELL_FORMED);
    EXPECT("<a b='\0'/>", NOT_WELL_FORMED);
    EXPECT("<a>\x01</a>", NOT_WELL_FORMED);
    EXPECT("<a>\x0B</a>", NOT_WELL_FORMED);
    EXPECT("<a>\x1F</a>", NOT_WELL_FORMED);
    EXPECT("<a>\xF0\x9F\x98\x80\xEF\xBF\xBD\x7F\xC2\x80</a>",
           "S<a>\xF0\x9F\x98\x80\xEF\xBF\xBD\x7F\xC2\x80</a>"); /* these are allowed */
}

static void x3_not_characters_as_references(void **state)
{
    (void)state;
    EXPECT("<a>&#0;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#x0;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#1;</a>", NOT_WELL_FORMED);
    EXPECT("<a b='&#x1B;'/>", NOT_WELL_FORMED);
    EXPECT("<a>&#xB;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#xD800;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#xDFFF;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#xD83D;&#xDE00;</a>", NOT_WELL_FORMED); /* a pair is no character either */
    EXPECT("<a b='&#xFFFE;'/>", NOT_WELL_FORMED);
    EXPECT("<a>&#xFFFF;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#x110000;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#4294967297;</a>", NOT_WELL_FORMED);
    EXPECT("<a>&#x10FFFF;&#x41;&#xE9;</a>", "S<a>\xF4\x8F\xBF\xBF"
                                            "A\xC3\xA9</a>");
}

static void x4_smuggling(void **state)
{
    (void)state;
    /* stream tags as text stay text */
    EXPECT("<a><![CDATA[</a></stream:stream><b/>]]></a>",
           "S<a>&lt;/a&gt;&lt;/stream:stream&gt;&lt;b/&gt;</a>");
    EXPECT("<a b='</a>'/>", NOT_WELL_FORMED);
    EXPECT("<a b=\"&lt;/a>'\"/>", "S<a b='&lt;/a&gt;&apos;'/>");
    /* a prefix bound again means what it is bound to */
    EXPECT("<a><stream:b xmlns:stream='urn:x'/></a>", "S<a><b xmlns='urn:x'/></a>");
    EXPECT("<x:a xmlns:x='urn:x'><x:b xmlns:x='urn:y'/><x:c/></x:a>",
           "S<a xmlns='urn:x'><b xmlns='urn:y'/><c/></a>");
    /* namespace text with separators that parsers use */
    EXPECT("<a xmlns='urn:x\n&#10;b'/>", "S<a xmlns='urn:x &#10;b'/>");
    EXPECT("<a xmlns='urn:x|b'/>", "S<a xmlns='urn:x|b'/>");
    EXPECT("<a xmlns='&#xFF;b'/>", "S<a xmlns='\xC3\xBF"
                                   "b'/>");
    /* a stream element inside a stanza is an element like any other */
    EXPECT("<a><stream:stream/></a>", "S<a><stream xmlns='http://etherx.jabber.org/streams'/></a>");
    EXPECT("<a></stream:stream></a>", NOT_WELL_FORMED);
    EXPECT("<xml:a/>", "S<xml:a/>");
    EXPECT("<a xmlns:xml='urn:x'/>", NOT_WELL_FORMED);
    EXPECT("<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>", NOT_WELL_FORMED);
    EXPECT("<a xmlns='http://www.w3.org/2000/xmlns/'/>", NOT_WELL_FORMED);
    EXPECT("<a xmlns:x=''/>", NOT_WELL_FORMED);
    EXPECT("<a b='1' b='2'/>", NOT_WELL_FORMED);
    EXPECT("<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", NOT_WELL_FORMED);
    EXPECT("<a><foo:b/></a>", NOT_WELL_FORMED); /* RFC 6120 4.9.3.13, its example */
}

static void content_namespace_takes_no_prefix(void **state)
{
    (void)state;
    /* RFC 6120 4.8.5, its example */
    EXPECT("<foo:message xmlns:foo='jabber:client'><foo:body>foo</foo:body></foo:message>",
           BAD_PREFIX);
    EXPECT("<message><c:body xmlns:c='jabber:client'/></message>", BAD_PREFIX);
    /* jabber:server is not this stream's content namespace */
    EXPECT("<s:a xmlns:s='jabber:server'/>", "S<a xmlns='jabber:server'/>");
}

static void x5_other_encodings(void **state)
{
    (void)state;
    EXPECT_RAW("\xFE\xFF\0<\0a", UNSUPPORTED_ENCODING);
    EXPECT_RAW("\xFF\xFE<\0a\0", UNSUPPORTED_ENCODING);
    EXPECT_RAW("<\0s\0t\0", UNSUPPORTED_ENCODING);
    EXPECT_RAW("\0<\0s", UNSUPPORTED_ENCODING);
    EXPECT_RAW("\0\0\xFE\xFF\0\0\0<", UNSUPPORTED_ENCODING);
    EXPECT_RAW("\xFF\xFE\0\0<\0\0\0", UNSUPPORTED_ENCODING);
    EXPECT_RAW("\xEF\xBB\xBF<a/>", NOT_WELL_FORMED); /* U+FEFF is no mark: RFC 6120 11.6 */
    EXPECT_RAW("<?xml version='1.0' encoding='UTF-16'?><a/>", UNSUPPORTED_ENCODING);
    EXPECT_RAW("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", UNSUPPORTED_ENCODING);
    EXPECT_RAW("<?xml version='1.0' encoding='x-own'?><a/>", UNSUPPORTED_ENCODING);
    EXPECT_RAW("<?xml version='1.0' encoding='utf-8' standalone='no'?><a>", "H");
    EXPECT("<a>\xEF\xBB\xBF</a>", "S<a>\xEF\xBB\xBF</a>");
    EXPECT("\xEF\xBB\xBF<a/>", BAD_FORMAT);
}

static void x13_other_protocols(void **state)
{
    (void)state;
    EXPECT_RAW("GET / HTTP/1.1\r\n\r\n", NOT_WELL_FORMED);
    EXPECT_RAW("\x16\x03\x01\x02\0", NOT_WELL_FORMED);
    test_log log;
    const svi_xml_limits limits = svi_xml_limits_stranger();
    test_log_open(&log, &limits);
    test_feed(&log, SV_STR("G"), 0);
    assert_int_equal(log.text.len, 2); /* the fault came with the first byte */
    test_log_close(&log);
}

static void text_between_stanzas(void **state)
{
    (void)state;
    EXPECT(" \t\r\n\r <a/>\r\n\n<b/>\r", "S<a/>S<b/>");
    EXPECT("x<a/>", BAD_FORMAT);
    EXPECT("<a/>  x", "S<a/>" BAD_FORMAT);
    EXPECT("<a/>&#x41;", "S<a/>" BAD_FORMAT);
    EXPECT("<a/><![CDATA[x]]>", "S<a/>" BAD_FORMAT);
    EXPECT("<![CDATA[ ]]>", BAD_FORMAT); /* a rest within it would have taken its text for markup */
}

static void broken_markup(void **state)
{
    (void)state;
    EXPECT("<a><b></a></b>", NOT_WELL_FORMED);
    EXPECT("<a", "");
    EXPECT("<a b=c/>", NOT_WELL_FORMED);
    EXPECT("<a>]]></a>", NOT_WELL_FORMED);
    EXPECT("</wrong>", NOT_WELL_FORMED);
    EXPECT("< a/>", NOT_WELL_FORMED);
    EXPECT("<a/><b/></c>", "S<a/>S<b/>" NOT_WELL_FORMED);
}

static void x10_acted_on_when_complete(void **state)
{
    (void)state;
    const sv_str stanza = SV_STR("<message to='a'><body>x</body></message>");
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    for (size_t i = 0; i < sizeof TEST_HEADER - 1; i++) {
        assert_int_equal(log.text.len, 0);
        svi_parser_feed(log.parser, svi_str_sub(SV_STR(TEST_HEADER), i, 1));
    }
    assert_int_equal(log.text.len, 1);
    for (size_t i = 0; i < stanza.n; i++) {
        assert_int_equal(log.stanzas, 0);
        svi_parser_feed(log.parser, svi_str_sub(stanza, i, 1));
    }
    assert_int_equal(log.stanzas, 1);
    test_log_close(&log);
    /* a large tag that trickles in: what expat's reparse deferral would hold back */
    test_log_open(&log, &limits);
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    test_feed(&log, test_filled(&buf, TEST_HEADER "<a b='", "x", 9000, "'/>"), 700);
    assert_int_equal(log.stanzas, 1);
    svi_buf_free(&buf);
    test_log_close(&log);
}

static void x11_line_breaks(void **state)
{
    (void)state;
    EXPECT("<a b='1&#10;2&#13;3&#9;4'/>", "S<a b='1&#10;2&#13;3&#9;4'/>");
    EXPECT("<a b='1\n2\t3\r\n4'/>", "S<a b='1 2 3 4'/>");                   /* XML 3.3.3 */
    EXPECT("<a>1&#13;2\r\n3\r4\t5&#10;</a>", "S<a>1&#13;2\n3\n4\t5\n</a>"); /* XML 2.11 */
}

/* --- pause, restart, rest ------------------------------------------------------------------------- */

static void pause_consumes_nothing_behind(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const sv_str before = SV_STR(TEST_HEADER "<a/><auth>x</auth>");
    const sv_str behind = SV_STR("  <b/><stream:c/></stream:stream>");
    svi_buf all;
    svi_buf_init(&all, &test_acct);
    svi_buf_put(&all, before);
    svi_buf_put(&all, behind);
    for (size_t i = 0; i < sizeof test_steps / sizeof *test_steps; i++) {
        test_log log;
        test_log_open(&log, &limits);
        log.pause_name = SV_STR("auth");
        assert_int_equal(test_feed(&log, svi_buf_str(&all), test_steps[i]), before.n);
        assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("HS<a/>S<auth>x</auth>")));
        assert_int_equal(svi_parser_feed(log.parser, behind), 0); /* still paused */
        assert_true(svi_parser_rest(log.parser));
        svi_parser_go(log.parser);
        svi_buf_clear(&log.text);
        assert_int_equal(test_feed(&log, behind, test_steps[i]), behind.n);
        assert_true(sv_str_eq(svi_buf_str(&log.text),
                              SV_STR("S<b/>S<c xmlns='http://etherx.jabber.org/streams'/>E")));
        assert_int_equal(svi_parser_feed(log.parser, behind), 0); /* ended */
        test_log_close(&log);
    }
    svi_buf_free(&all);
}

static void pause_in_header(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    log.pause_name = SV_STR("header");
    const size_t header = sizeof TEST_HEADER - 1;
    assert_int_equal(test_feed(&log, SV_STR(TEST_HEADER "<a/>"), 0), header);
    svi_parser_go(log.parser);
    test_feed(&log, SV_STR("<a/>"), 0);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("HS<a/>")));
    test_log_close(&log);
    /* a header that is an empty element: its end must not get lost */
    test_log_open(&log, &limits);
    log.pause_name = SV_STR("header");
    test_feed(&log, SV_STR("<s xmlns='u'/>"), 0);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("H")));
    assert_false(svi_parser_is_ending(log.parser));
    svi_parser_go(log.parser);
    assert_true(svi_parser_is_ending(log.parser));
    svi_parser_feed(log.parser, SV_STR_NONE);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("HE")));
    assert_false(svi_parser_is_ending(log.parser));
    test_log_close(&log);
}

/* What SASL does: pause at the last element, then a new stream from the bytes behind it. */
static void restart_after_pause(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const sv_str both = SV_STR(TEST_HEADER "<response/>\n" TEST_HEADER "<iq/>");
    for (int from_callback = 0; from_callback < 2; from_callback++) {
        test_log log;
        test_log_open(&log, &limits);
        log.pause_name = SV_STR("response");
        log.restart = from_callback;
        const size_t used = test_feed(&log, both, 0);
        assert_int_equal(used, sizeof TEST_HEADER - 1 + 11);
        if (!from_callback) svi_parser_restart(log.parser);
        assert_int_equal(svi_parser_content_ns(log.parser).n, 0);
        test_feed(&log, svi_str_sub(both, used, both.n), 3);
        assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("HS<response/>HS<iq/>")));
        assert_true(sv_str_eq(svi_parser_content_ns(log.parser), SV_STR(SVI_NS_CLIENT)));
        test_log_close(&log);
    }
}

static void restart_forgets_the_old_header(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    test_feed(&log, SV_STR("<s xmlns:old='urn:old'><half"), 0);
    svi_parser_restart(log.parser);
    test_feed(&log, SV_STR(TEST_HEADER "<old:a/>"), 0);
    assert_true(sv_str_eq(svi_buf_str(&log.text), SV_STR("HH" NOT_WELL_FORMED)));
    test_log_close(&log);
}

static void rest_keeps_declarations(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const sv_str header = SV_STR("<x:stream xmlns:x='http://etherx.jabber.org/streams' "
                                 "xmlns:db='urn:&amp;&apos;&lt;' xmlns='jabber:server' id='1'>");
    for (size_t i = 0; i < sizeof test_steps / sizeof *test_steps; i++) {
        test_log log;
        test_log_open(&log, &limits);
        assert_true(svi_parser_rest(log.parser)); /* nothing was held */
        test_feed(&log, header, test_steps[i]);
        assert_true(svi_parser_rest(log.parser));
        const int64_t least = atomic_load(&test_acct.live_bytes);
        test_feed(&log, SV_STR("<db:a><b>text</b></db:a>"), test_steps[i]);
        assert_true(svi_parser_rest(log.parser) && svi_parser_rest(log.parser));
        svi_stanza_unref(&log.last);
        svi_buf_free(&log.text);
        svi_buf_init(&log.text, &test_acct);
        assert_true(atomic_load(&test_acct.live_bytes) <= least); /* scratch was given back */
        test_feed(&log, SV_STR("<db:a/><x:b/> \r"), test_steps[i]);
        assert_true(svi_parser_rest(log.parser)); /* CR that waits for a LF is white space */
        test_feed(&log, SV_STR("\n<c/></x:stream>"), test_steps[i]);
        assert_true(svi_parser_rest(log.parser));
        assert_true(sv_str_eq(svi_buf_str(&log.text),
                              SV_STR("S<a xmlns='urn:&amp;&apos;&lt;'/>"
                                     "S<b xmlns='http://etherx.jabber.org/streams'/>"
                                     "S<c xmlns='jabber:server'/>E")));
        test_log_close(&log);
    }
}

static void no_rest_inside(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    const char *const parts[] = {"<", "<a", "<a>", "<a><b/>", "&", "\xC3", "<a/><b></", "]"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        test_log log;
        test_log_open(&log, &limits);
        test_feed(&log, SV_STR(TEST_HEADER), 0);
        test_feed(&log, sv_str_of(parts[i]), 0);
        if (log.text.data[log.text.len - 2] != 'F') assert_false(svi_parser_rest(log.parser));
        test_log_close(&log);
    }
    test_log log;
    test_log_open(&log, &limits);
    test_feed(&log, SV_STR("<?xml version='1.0'?>"), 0);
    assert_false(svi_parser_rest(log.parser)); /* not yet in the stream */
    test_log_close(&log);
}

/* --- blocks -------------------------------------------------------------------------------------- */

#define MESSAGE_463                                                                                \
    "<message to='juliet@capulet.example/balcony' from='romeo@montague.example/orchard' "          \
    "type='chat' id='0b9b7e4d-5c1f' xml:lang='en'><body>Wherefore art thou, Romeo? Deny thy "      \
    "father and refuse thy name. Or if thou wilt not, be but..</body><active "                     \
    "xmlns='http://jabber.org/protocol/chatstates'/>"                                              \
    "<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>"              \
    "<origin-id xmlns='urn:xmpp:sid:0' id='0b9b7e4d-5c1f'/>"                                       \
    "<store xmlns='urn:xmpp:hints'/></message>"

static void names_become_atoms(void **state)
{
    (void)state;
    const sv_str names[] = {SV_STR("message"), SV_STR("body"), SV_STR(SVI_NS_CLIENT)};
    svi_atoms *table = svi_atoms_extend(&test_acct, NULL, names, 3);
    const svi_atoms *_Atomic now = NULL;
    test_log log;
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log_open(&log, &limits);
    svi_parser_free(&log.parser);
    log.parser = svi_parser_new(&test_acct, &now, &limits, &test_calls, &log);
    test_feed(&log, SV_STR(TEST_HEADER "<message/>"), 0);
    assert_int_equal(svi_node_name_atom(svi_stanza_root(log.last)), 0);
    atomic_store(&now, table); /* seen from the next start tag on */
    test_feed(&log, SV_STR("<message><body/><other xmlns='urn:o'/></message>"), 0);
    const sv_node *root = svi_stanza_root(log.last);
    const sv_atom ns = svi_atoms_find(table, names[2]), body_atom = svi_atoms_find(table, names[1]);
    assert_int_equal(svi_node_name_atom(root), svi_atoms_find(table, names[0]));
    assert_int_equal(svi_node_ns_atom(root), ns);
    const sv_node *body = svi_node_first(root), *other = svi_node_next(root, body);
    assert_int_equal(svi_node_name_atom(body), body_atom);
    assert_int_equal(svi_node_ns_atom(body), ns);
    assert_ptr_equal(svi_node_name(body).p, svi_atoms_text(table, body_atom).p);
    assert_int_equal(svi_node_name_atom(other), 0);
    assert_int_equal(svi_node_ns_atom(other), 0);
    assert_true(svi_node_is(other, SV_STR("other"), SV_STR("urn:o")));
    assert_int_equal(svi_stanza_child_bits(log.last),
                     svi_node_bit(ns, body_atom) | svi_node_bit(0, 0));
    test_log_close(&log);
    svi_atoms_free(&table);
}

/* Budget: at most two allocations a stanza at steady state, and the block near 1.1 KB (house-style B.8). */
static void budget_of_a_message(void **state)
{
    (void)state;
    const svi_xml_limits limits = svi_xml_limits_user();
    test_log log;
    test_log_open(&log, &limits);
    svi_buf_space(&log.text, 100000);
    test_feed(&log, SV_STR(TEST_HEADER MESSAGE_463), 0);
    const int64_t before = atomic_load(&test_acct.total_count);
    for (int i = 0; i < 100; i++) svi_parser_feed(log.parser, SV_STR(MESSAGE_463));
    const int64_t made = atomic_load(&test_acct.total_count) - before;
    print_message("message of %zu bytes: block of %zu bytes, %.2f allocations\n",
                  sizeof MESSAGE_463 - 1, svi_stanza_cost_bytes(log.last), (double)made / 100);
    assert_int_equal(log.stanzas, 101);
    assert_true(made <= 200);
    assert_true(svi_stanza_cost_bytes(log.last) <= 1300);
    test_log_close(&log);
}

static void parse_once(void **state)
{
    (void)state;
    sv_err err = {0};
    sv_stanza *stanza = NULL;
    const sv_str ns = SV_STR(SVI_NS_CLIENT);
    assert_int_equal(
        svi_stanza_parse(&test_acct, NULL, SV_STR(" <a b='c'>d</a>\n"), ns, &stanza, &err), SV_OK);
    assert_true(svi_node_is(svi_stanza_root(stanza), SV_STR("a"), ns));
    svi_stanza_unref(&stanza);
    const char *const wrong[] = {"",
                                 "<a>",
                                 "<a/><b/>",
                                 "x",
                                 "<a/>x",
                                 "<a/><b",
                                 "</stream:stream>",
                                 "<a/></stream:stream>",
                                 "<!-- --><a/>"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err = (sv_err){0};
        assert_int_equal(svi_stanza_parse(&test_acct, NULL, sv_str_of(wrong[i]), ns, &stanza, &err),
                         SV_EINVAL);
        assert_null(stanza);
        assert_true(err.code == SV_EINVAL && err.text[0]);
    }
}

static int nothing_left(void **state)
{
    (void)state;
    return atomic_load(&test_acct.live_count) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_faults_match_the_enum),
        cmocka_unit_test(stream_with_stanzas),
        cmocka_unit_test(x1_doctype),
        cmocka_unit_test(x2_forbidden_markup),
        cmocka_unit_test(x3_not_characters),
        cmocka_unit_test(x3_not_characters_as_references),
        cmocka_unit_test(x4_smuggling),
        cmocka_unit_test(content_namespace_takes_no_prefix),
        cmocka_unit_test(x5_other_encodings),
        cmocka_unit_test(x13_other_protocols),
        cmocka_unit_test(text_between_stanzas),
        cmocka_unit_test(broken_markup),
        cmocka_unit_test(x10_acted_on_when_complete),
        cmocka_unit_test(x11_line_breaks),
        cmocka_unit_test(pause_consumes_nothing_behind),
        cmocka_unit_test(pause_in_header),
        cmocka_unit_test(restart_after_pause),
        cmocka_unit_test(restart_forgets_the_old_header),
        cmocka_unit_test(rest_keeps_declarations),
        cmocka_unit_test(no_rest_inside),
        cmocka_unit_test(names_become_atoms),
        cmocka_unit_test(budget_of_a_message),
        cmocka_unit_test(parse_once),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
