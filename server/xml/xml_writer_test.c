/* Writer: escapes, namespaces, flavours, heads, the cache; and the round trip over a corpus and random trees. */
#include "xml/xml_test_util.h"

#include "base/base_plat.h"

#define CLIENT SV_STR(SVI_NS_CLIENT)

static sv_stanza *parse_in(sv_str xml, sv_str ns)
{
    sv_stanza *stanza = NULL;
    sv_err err = {0};
    if (svi_stanza_parse(&test_acct, NULL, xml, ns, &stanza, &err) != SV_OK)
        fail_msg("%.*s: %s", (int)xml.n, xml.p, err.text);
    return stanza;
}

static void expect_flavour(const char *xml, svi_flavour flavour, const char *want)
{
    sv_stanza *stanza = parse_in(sv_str_of(xml), CLIENT);
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    for (int i = 0; i < 2; i++) { /* fresh and from the cache */
        svi_buf_clear(&buf);
        svi_buf_put(&buf, SV_STR("|"));
        svi_stanza_write(&buf, stanza, flavour, NULL);
        const sv_str got = svi_str_sub(svi_buf_str(&buf), 1, buf.len);
        if (!sv_str_eq(got, sv_str_of(want)))
            fail_msg("expected %s, got %.*s", want, (int)got.n, got.p);
    }
    svi_buf_free(&buf);
    svi_stanza_unref(&stanza);
}

static void escapes(void **state)
{
    (void)state;
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_write_text(&buf, SV_STR("<a>&'\"\r\n\t]]>\xC3\xA9"));
    assert_true(sv_str_eq(svi_buf_str(&buf), SV_STR("&lt;a&gt;&amp;'\"&#13;\n\t]]&gt;\xC3\xA9")));
    svi_buf_clear(&buf);
    svi_write_attr(&buf, SV_STR("<a>&'\"\r\n\t"));
    assert_true(sv_str_eq(svi_buf_str(&buf), SV_STR("&lt;a&gt;&amp;&apos;\"&#13;&#10;&#9;")));
    svi_buf_clear(&buf);
    svi_write_text(&buf, SV_STR_NONE);
    assert_int_equal(buf.len, 0);
    svi_buf_free(&buf);
}

static void flavours(void **state)
{
    (void)state;
    const char *plain = "<message to='t' id='1'><body>x</body><a xmlns='u'><b/></a></message>";
    expect_flavour(plain, SVI_FLAVOUR_CLIENT, plain);
    expect_flavour(plain, SVI_FLAVOUR_SERVER, plain); /* RFC 6120 4.8.3: now in jabber:server */
    expect_flavour(plain, SVI_FLAVOUR_ALONE,
                   "<message to='t' xmlns='jabber:client' id='1'><body>x</body>"
                   "<a xmlns='u'><b/></a></message>");
    /* what came over s2s, to a client */
    expect_flavour("<message xmlns='jabber:server'><body>x</body></message>", SVI_FLAVOUR_CLIENT,
                   "<message><body>x</body></message>");
    /* a forwarded message (XEP-0297) says what it is, whatever is around it */
    const char *forward = "<message><forwarded xmlns='urn:xmpp:forward:0'>"
                          "<message xmlns='jabber:client'><body>x</body></message>"
                          "</forwarded></message>";
    expect_flavour(forward, SVI_FLAVOUR_CLIENT, forward);
    expect_flavour(forward, SVI_FLAVOUR_SERVER, forward);
    /* and is not mistaken for the stanza's own namespace */
    const char *server = "<message><forwarded xmlns='urn:xmpp:forward:0'>"
                         "<message xmlns='jabber:server'/></forwarded></message>";
    expect_flavour(server, SVI_FLAVOUR_CLIENT, server);
    expect_flavour(server, SVI_FLAVOUR_SERVER, server);
    expect_flavour("<a xmlns='u'/>", SVI_FLAVOUR_SERVER, "<a xmlns='u'/>");
    expect_flavour("<a xmlns=''><b/></a>", SVI_FLAVOUR_CLIENT, "<a xmlns=''><b/></a>");
    expect_flavour("<a xmlns=''><b/></a>", SVI_FLAVOUR_ALONE, "<a><b/></a>");
}

static void stream_prefix(void **state)
{
    (void)state;
    const char *features = "<stream:features><bind xmlns='urn:b'/></stream:features>";
    expect_flavour(features, SVI_FLAVOUR_CLIENT, features);
    expect_flavour(features, SVI_FLAVOUR_SERVER, features);
    expect_flavour("<stream:error/>", SVI_FLAVOUR_CLIENT, "<stream:error/>");
    expect_flavour(features, SVI_FLAVOUR_ALONE,
                   "<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/>"
                   "</features>");
    /* only as a stream's own element (threats X4): a nested one is no stream tag to anybody */
    expect_flavour("<a><stream:stream/></a>", SVI_FLAVOUR_CLIENT,
                   "<a><stream xmlns='http://etherx.jabber.org/streams'/></a>");
}

static void attributes_in_namespaces(void **state)
{
    (void)state;
    expect_flavour("<a xml:lang='x' q:b='1' b='2' xmlns:q='u' r:c='3' xmlns:r='v&amp;' q:d='4'/>",
                   SVI_FLAVOUR_CLIENT,
                   "<a xml:lang='x' xmlns:ns2='u' ns2:b='1' b='2' xmlns:ns4='v&amp;' ns4:c='3' "
                   "ns2:d='4'/>");
    expect_flavour("<q:a q:b='1' xmlns:q='u'><q:c q:b=''/></q:a>", SVI_FLAVOUR_CLIENT,
                   "<a xmlns='u' xmlns:ns1='u' ns1:b='1'><c xmlns:ns1='u' ns1:b=''/></a>");
    expect_flavour("<a q:to='1' xmlns:q='u'/>", SVI_FLAVOUR_CLIENT,
                   "<a xmlns:ns1='u' ns1:to='1'/>");
    expect_flavour("<xml:a xml:b=''><c/></xml:a>", SVI_FLAVOUR_CLIENT,
                   "<xml:a xml:b=''><c/></xml:a>");
}

static void expect_head(const sv_stanza *stanza, const svi_head *head, const char *want)
{
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_stanza_write(&buf, stanza, SVI_FLAVOUR_CLIENT, head);
    if (!sv_str_eq(svi_buf_str(&buf), sv_str_of(want)))
        fail_msg("expected %s, got %.*s", want, (int)buf.len, buf.data);
    svi_buf_free(&buf);
}

static void heads(void **state)
{
    (void)state;
    sv_stanza *with = parse_in(SV_STR("<m id='1' to='own'><to to='x'/></m>"), CLIENT);
    sv_stanza *without = parse_in(SV_STR("<m/>"), CLIENT);
    sv_stanza *empty = parse_in(SV_STR("<m to=''/>"), CLIENT);
    for (int i = 0; i < 2; i++) {
        const svi_head own = {.to = SV_STR_NONE}, other = {.to = SV_STR("a'b/c")},
                       none = {.to = SV_STR("")};
        expect_head(with, NULL, "<m to='own' id='1'><to to='x'/></m>");
        expect_head(with, &own, "<m to='own' id='1'><to to='x'/></m>");
        expect_head(with, &other, "<m to='a&apos;b/c' id='1'><to to='x'/></m>");
        expect_head(with, &none, "<m id='1'><to to='x'/></m>");
        expect_head(without, &own, "<m/>");
        expect_head(without, &other, "<m to='a&apos;b/c'/>");
        expect_head(without, &none, "<m/>");
        expect_head(empty, NULL, "<m to=''/>");
        expect_head(empty, &none, "<m/>");
    }
    svi_stanza_unref(&with);
    svi_stanza_unref(&without);
    svi_stanza_unref(&empty);
}

/* Written once for all recipients: the second write takes nothing but room in the buffer. */
static void cache_is_filled_once(void **state)
{
    (void)state;
    sv_stanza *stanza = parse_in(SV_STR("<m to='t'><body>x</body></m>"), CLIENT);
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_buf_space(&buf, 10000);
    svi_stanza_write(&buf, stanza, SVI_FLAVOUR_CLIENT, NULL);
    const int64_t before = atomic_load(&test_acct.total_count);
    const svi_head head = {.to = SV_STR("other")};
    for (int i = 0; i < 50; i++) svi_stanza_write(&buf, stanza, SVI_FLAVOUR_CLIENT, &head);
    assert_int_equal(atomic_load(&test_acct.total_count), before);
    assert_int_equal(buf.len, 28 + 50 * 32);
    svi_buf_free(&buf);
    svi_stanza_unref(&stanza);
}

/* --- round trip ----------------------------------------------------------------------------------- */

/* Writes in every flavour and by node, parses again, and wants the same tree. */
static void expect_round_trip(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    for (int way = 0; way < 3; way++) {
        svi_buf_clear(&buf);
        sv_str around = CLIENT;
        if (way == 0) svi_stanza_write(&buf, stanza, SVI_FLAVOUR_CLIENT, NULL);
        if (way == 1) svi_node_write(&buf, root, around = SV_STR("urn:other"));
        if (way == 2) {
            svi_stanza_write(&buf, stanza, SVI_FLAVOUR_ALONE, NULL);
            around = SV_STR_NONE;
        }
        sv_stanza *again = parse_in(svi_buf_str(&buf), around);
        if (!test_same(root, svi_stanza_root(again)))
            fail_msg("way %d: not the same: %.*s", way, (int)buf.len, buf.data);
        svi_stanza_unref(&again);
    }
    svi_buf_free(&buf);
}

static const char *const corpus[] = {
    "<presence/>",
    "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
    "<message xml:lang='de' to='&#10;'><body>a&#13;\nb\t&lt;&amp;]]&gt;</body></message>",
    "<m>a<b/>c<b xmlns=''>d<e xmlns='jabber:client'/></b>f</m>",
    "<x:a xmlns:x='urn:x' x:b='1' b='2' x:c='3'><x:d xmlns:x='urn:y' x:b='4'/><x:e/></x:a>",
    "<a xmlns='urn:\xC3\xA9&apos;&#9;' b=''>\xF0\x9F\x98\x80</a>",
    "<stream:features><a xmlns='u'/><stream:x/></stream:features>",
    "<xml:a xml:lang=''><xml:b/></xml:a>",
    "<a xmlns:p='http://etherx.jabber.org/streams' p:b='1'><p:c/></a>",
    "<a> <b> </b> </a>",
};

static void round_trip_of_a_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++) {
        sv_stanza *stanza = parse_in(sv_str_of(corpus[i]), CLIENT);
        expect_round_trip(stanza);
        svi_stanza_unref(&stanza);
    }
}

static uint32_t chance(const svi_plat *plat, uint32_t below)
{
    uint32_t n;
    plat->random(plat->ctx, &n, sizeof n);
    return n % below;
}

static const sv_str some_ns[] = {SV_STR_INIT(SVI_NS_CLIENT), SV_STR_INIT("urn:a"),
                                 SV_STR_INIT("urn:'<&>\t"), SV_STR_INIT(SVI_NS_STREAM),
                                 SV_STR_INIT(SVI_NS_XML)};
static const sv_str some_names[] = {SV_STR_INIT("a"),     SV_STR_INIT("to"),
                                    SV_STR_INIT("lang"),  SV_STR_INIT("ns1"),
                                    SV_STR_INIT("xml-x"), SV_STR_INIT("\xC3\xA9")};
static const sv_str some_text[] = {SV_STR_INIT("x"),
                                   SV_STR_INIT(" "),
                                   SV_STR_INIT("\r\n"),
                                   SV_STR_INIT("]]>"),
                                   SV_STR_INIT("<&'\">"),
                                   SV_STR_INIT("\t\n"),
                                   SV_STR_INIT("\xF0\x9F\x98\x80"),
                                   SV_STR_INIT("")};

#define ANY(plat, list) (list)[chance(plat, sizeof(list) / sizeof *(list))]

static void fill_draft(const svi_plat *plat, sv_draft *draft)
{
    for (uint32_t n = chance(plat, 4); n > 0; n--) {
        const sv_str ns = chance(plat, 3) ? SV_STR_NONE : ANY(plat, some_ns);
        svi_draft_attr_ns(draft, ANY(plat, some_names), ns, ANY(plat, some_text));
    }
    if (chance(plat, 2)) svi_draft_text(draft, ANY(plat, some_text));
}

static void round_trip_of_random_trees(void **state)
{
    (void)state;
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 20260101);
    const svi_plat *plat = &v.plat;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_stanza *before = parse_in(SV_STR("<seed xmlns='u'><g b=''/></seed>"), CLIENT);
    for (int round = 0; round < 400; round++) {
        sv_draft *all[16];
        all[0] = svi_draft_new(arena, ANY(plat, some_names), ANY(plat, some_ns));
        fill_draft(plat, all[0]);
        const uint32_t count = 1 + chance(plat, 15);
        for (uint32_t i = 1; i < count; i++) {
            sv_draft *parent = all[chance(plat, i)];
            all[i] = svi_draft_child(parent, ANY(plat, some_names), ANY(plat, some_ns));
            fill_draft(plat, all[i]);
            if (chance(plat, 4) == 0)
                svi_draft_graft(parent, before, svi_node_first(svi_stanza_root(before)));
            if (chance(plat, 3) == 0) svi_draft_text(parent, ANY(plat, some_text));
        }
        sv_stanza *stanza = svi_draft_freeze(&test_acct, NULL, all[0]);
        expect_round_trip(stanza);
        sv_stanza *copy = svi_stanza_from_node(&test_acct, NULL, svi_stanza_root(stanza));
        assert_true(test_same(svi_stanza_root(stanza), svi_stanza_root(copy)));
        if (svi_node_first(svi_stanza_root(copy)) && round % 8) {
            svi_stanza_unref(&before);
            before = svi_stanza_ref(copy); /* grafted into the next one */
        }
        svi_stanza_unref(&copy);
        svi_stanza_unref(&stanza);
        svi_arena_clear(arena);
        if (round % 8 == 0) {
            svi_stanza_unref(&before);
            before = parse_in(SV_STR("<seed xmlns='u'><g b=''/></seed>"), CLIENT);
        }
    }
    svi_stanza_unref(&before);
    svi_arena_free(&arena);
}

static int nothing_left(void **state)
{
    (void)state;
    return atomic_load(&test_acct.live_count) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes),
        cmocka_unit_test(flavours),
        cmocka_unit_test(stream_prefix),
        cmocka_unit_test(attributes_in_namespaces),
        cmocka_unit_test(heads),
        cmocka_unit_test(cache_is_filled_once),
        cmocka_unit_test(round_trip_of_a_corpus),
        cmocka_unit_test(round_trip_of_random_trees),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
