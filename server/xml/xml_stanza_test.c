/* Stanzas: reading, drafts, edits that share, references from several threads. */
#include "xml/xml_test_util.h"

#include <pthread.h>

#include "base/base_assert.h"
#include "xml/xml_block.h"

#define CLIENT SV_STR(SVI_NS_CLIENT)

static sv_stanza *parse(const char *xml)
{
    sv_stanza *stanza = NULL;
    sv_err err = {0};
    if (svi_stanza_parse(&test_acct, NULL, sv_str_of(xml), CLIENT, &stanza, &err) != SV_OK)
        fail_msg("%s: %s", xml, err.text);
    return stanza;
}

static void expect_xml(const sv_stanza *stanza, const char *xml)
{
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_node_write(&buf, svi_stanza_root(stanza), CLIENT);
    if (!sv_str_eq(svi_buf_str(&buf), sv_str_of(xml)))
        fail_msg("expected %s, got %.*s", xml, (int)buf.len, buf.data);
    svi_buf_free(&buf);
}

static void expect_str(sv_str got, const char *want)
{
    if (!got.p || !sv_str_eq(got, sv_str_of(want)))
        fail_msg("expected %s, got %.*s", want, (int)got.n, got.p ? got.p : "");
}

static void attributes(void **state)
{
    (void)state;
    sv_stanza *stanza = parse("<a b='1' xml:lang='de' c='' x:b='2' xmlns:x='urn:x'/>");
    const sv_node *root = svi_stanza_root(stanza);
    expect_str(svi_node_attr(root, SV_STR("b")), "1");
    expect_str(svi_node_attr(root, SV_STR("c")), ""); /* empty, not absent */
    assert_null(svi_node_attr(root, SV_STR("lang")).p);
    expect_str(svi_node_attr_ns(root, SV_STR("lang"), SV_STR(SVI_NS_XML)), "de");
    expect_str(svi_node_attr_ns(root, SV_STR("b"), SV_STR("urn:x")), "2");
    assert_null(svi_node_attr_ns(root, SV_STR("c"), SV_STR("urn:x")).p);
    sv_str name, ns, value;
    assert_true(svi_node_attr_at(root, 1, &name, &ns, &value));
    expect_str(name, "lang");
    expect_str(ns, SVI_NS_XML);
    expect_str(value, "de");
    assert_true(svi_node_attr_at(root, 3, NULL, NULL, NULL));
    assert_false(svi_node_attr_at(root, 4, &name, &ns, &value));
    svi_stanza_unref(&stanza);
    assert_null(stanza);
    svi_stanza_unref(&stanza); /* nothing to drop */
}

static void children(void **state)
{
    (void)state;
    sv_stanza *stanza = parse("<a>x<b/>y<c xmlns='urn:c'/><b xmlns='urn:b'/>z</a>");
    const sv_node *root = svi_stanza_root(stanza);
    assert_int_equal(svi_node_child_count(root), 6);
    const sv_node *elem = root;
    sv_str text;
    assert_true(svi_node_child_at(root, 0, &elem, &text));
    assert_null(elem);
    expect_str(text, "x");
    assert_true(svi_node_child_at(root, 3, &elem, &text));
    expect_str(svi_node_name(elem), "c");
    assert_null(text.p);
    assert_false(svi_node_child_at(root, 6, NULL, NULL));
    const sv_node *b = svi_node_first(root);
    expect_str(svi_node_name(b), "b");
    const sv_node *c = svi_node_next(root, b);
    assert_ptr_equal(c, elem);
    const sv_node *b2 = svi_node_next(root, c);
    expect_str(svi_node_ns(b2), "urn:b");
    assert_null(svi_node_next(root, b2));
    assert_null(svi_node_first(b));
    assert_ptr_equal(svi_node_find(root, SV_STR("b"), SV_STR_NONE), b);
    assert_ptr_equal(svi_node_find(root, SV_STR("b"), SV_STR("urn:b")), b2);
    assert_null(svi_node_find(root, SV_STR("b"), SV_STR("urn:c")));
    assert_true(svi_node_is(b2, SV_STR("b"), SV_STR("urn:b")));
    assert_false(svi_node_is(b2, SV_STR("b"), CLIENT));
    svi_stanza_unref(&stanza);
}

static void text_of_a_node(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_stanza *stanza = parse("<a>one &amp; <![CDATA[two]]><b>no</b> three</a>");
    const sv_node *root = svi_stanza_root(stanza);
    expect_str(svi_node_text(root, arena), "one & two three");
    const sv_node *b = svi_node_first(root);
    sv_str run;
    assert_true(svi_node_child_at(b, 0, NULL, &run));
    assert_ptr_equal(svi_node_text(b, NULL).p, run.p); /* one run is borrowed */
    svi_stanza_unref(&stanza);
    stanza = parse("<a><b/></a>");
    expect_str(svi_node_text(svi_stanza_root(stanza), NULL), "");
    svi_stanza_unref(&stanza);
    svi_arena_free(&arena);
}

static void drafts(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_stanza *other = parse("<x><y xmlns='urn:y'>in <z/></y></x>");
    sv_draft *iq = svi_draft_new(arena, SV_STR("iq"), CLIENT);
    svi_draft_attr(iq, SV_STR("type"), SV_STR("get"));
    svi_draft_attr(iq, SV_STR("id"), SV_STR("1"));
    svi_draft_attr(iq, SV_STR("gone"), SV_STR("1"));
    svi_draft_attr(iq, SV_STR("type"), SV_STR("result"));
    svi_draft_attr(iq, SV_STR("gone"), SV_STR_NONE);
    svi_draft_attr(iq, SV_STR("never"), SV_STR_NONE);
    svi_draft_attr_ns(iq, SV_STR("lang"), SV_STR(SVI_NS_XML), SV_STR("de"));
    sv_draft *query = svi_draft_child(iq, SV_STR("query"), SV_STR("urn:q"));
    svi_draft_attr_int(query, SV_STR("n"), INT64_MIN);
    sv_draft *item = svi_draft_child(query, SV_STR("item"), SV_STR_NONE);
    svi_draft_text(item, SV_STR("<&>"));
    svi_draft_text(item, SV_STR("\xC3\xA9"));
    svi_draft_graft(query, other, svi_node_first(svi_stanza_root(other)));
    svi_draft_child(query, SV_STR("last"), CLIENT);
    sv_stanza *stanza = svi_draft_freeze(&test_acct, NULL, iq);
    sv_stanza *part = svi_draft_freeze(&test_acct, NULL, item); /* a part of a draft alone */
    svi_arena_free(&arena);
    svi_stanza_unref(&other); /* the frozen one keeps what it grafted */
    expect_xml(stanza, "<iq type='result' id='1' xml:lang='de'><query xmlns='urn:q' "
                       "n='-9223372036854775808'><item>&lt;&amp;&gt;\xC3\xA9</item>"
                       "<y xmlns='urn:y'>in <z/></y><last xmlns='jabber:client'/></query></iq>");
    expect_xml(part, "<item xmlns='urn:q'>&lt;&amp;&gt;\xC3\xA9</item>");
    svi_stanza_unref(&stanza);
    svi_stanza_unref(&part);
}

/* A grafted child stands where its own block never put it; the walk finds its way on. */
static void walk_over_grafts(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_stanza *other = parse("<x><a/><b/><c/></x>");
    const sv_node *a = svi_node_first(svi_stanza_root(other));
    const sv_node *b = svi_node_next(svi_stanza_root(other), a);
    const sv_node *c = svi_node_next(svi_stanza_root(other), b);
    sv_draft *root = svi_draft_new(arena, SV_STR("r"), CLIENT);
    svi_draft_graft(root, other, c);
    svi_draft_graft(root, other, b);
    svi_draft_graft(root, other, a);
    sv_stanza *stanza = svi_draft_freeze(&test_acct, NULL, root);
    const sv_node *now = svi_stanza_root(stanza);
    assert_ptr_equal(svi_node_first(now), c);
    assert_ptr_equal(svi_node_next(now, c), b);
    assert_ptr_equal(svi_node_next(now, b), a);
    assert_null(svi_node_next(now, a));
    assert_int_equal(atomic_load(&other->refs), 2); /* one for three grafts */
    svi_stanza_unref(&stanza);
    svi_stanza_unref(&other);
    svi_arena_free(&arena);
}

/* --- edits --------------------------------------------------------------------------------------- */

static sv_stanza *edit(const sv_stanza *base, const svi_edit *e)
{
    return svi_stanza_edit(&test_acct, NULL, base, e);
}

static void edit_shares_children(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_stanza *base = parse("<m to='t' from='f' id='1'>tx<body>long text that is not copied</body>"
                            "<drop xmlns='urn:d'/>ty<keep xmlns='urn:k'/></m>");
    const size_t strip[] = {2};
    const svi_attr_set attrs[] = {{SV_STR_INIT("from"), SV_STR_INIT("me@here/'x'")},
                                  {SV_STR_INIT("id"), {NULL, 0}},
                                  {SV_STR_INIT("new"), SV_STR_INIT("")},
                                  {SV_STR_INIT("absent"), {NULL, 0}}};
    sv_draft *add = svi_draft_new(arena, SV_STR("stanza-id"), SV_STR("urn:xmpp:sid:0"));
    svi_draft_text(svi_draft_child(add, SV_STR("in"), SV_STR_NONE), SV_STR("x"));
    const sv_draft *adds[] = {add, add};
    const svi_edit change = {.attrs = attrs,
                             .attr_count = 4,
                             .strip = strip,
                             .strip_count = 1,
                             .add = adds,
                             .add_count = 2};
    sv_stanza *edited = edit(base, &change);
    svi_arena_free(&arena);
    const sv_node *body = svi_node_first(svi_stanza_root(base));
    assert_ptr_equal(svi_node_first(svi_stanza_root(edited)), body);
    expect_xml(base, "<m to='t' from='f' id='1'>tx<body>long text that is not copied</body>"
                     "<drop xmlns='urn:d'/>ty<keep xmlns='urn:k'/></m>");
    svi_stanza_unref(&base);
    expect_xml(edited,
               "<m to='t' from='me@here/&apos;x&apos;' new=''>tx<body>long text that is not "
               "copied</body>ty<keep xmlns='urn:k'/><stanza-id xmlns='urn:xmpp:sid:0'>"
               "<in>x</in></stanza-id><stanza-id xmlns='urn:xmpp:sid:0'><in>x</in>"
               "</stanza-id></m>");
    /* next finds its way although `keep` has moved */
    const sv_node *root = svi_stanza_root(edited);
    const sv_node *keep = svi_node_next(root, svi_node_first(root));
    expect_str(svi_node_name(keep), "keep");
    const sv_node *id = svi_node_next(root, keep);
    expect_str(svi_node_name(id), "stanza-id");
    assert_null(svi_node_next(root, svi_node_next(root, id)));
    svi_stanza_unref(&edited);
}

/* The same in the short way: nothing but attributes differs; text, elements, qualified names stay. */
static void edit_of_attributes_alone(void **state)
{
    (void)state;
    sv_stanza *base = parse("<m to='t' from='f' xmlns:q='urn:q' q:from='qf' xml:lang='en' id='1'>tx"
                            "<body>b</body>ty</m>");
    const svi_attr_set attrs[] = {{SV_STR_INIT("from"), SV_STR_INIT("me@here/'x'")},
                                  {SV_STR_INIT("id"), {NULL, 0}},
                                  {SV_STR_INIT("new"), SV_STR_INIT("")},
                                  {SV_STR_INIT("last"), SV_STR_INIT("l")},
                                  {SV_STR_INIT("absent"), {NULL, 0}}};
    const svi_edit change = {.attrs = attrs, .attr_count = 5};
    sv_stanza *edited = edit(base, &change);
    const sv_node *root = svi_stanza_root(edited);
    const sv_node *body = svi_node_first(svi_stanza_root(base));
    assert_ptr_equal(svi_node_first(root), body);
    assert_null(svi_node_next(root, body));
    assert_int_equal(svi_stanza_child_bits(edited), svi_stanza_child_bits(base));
    svi_stanza_unref(&base);
    expect_str(svi_node_attr_ns(root, SV_STR("from"), SV_STR("urn:q")), "qf");
    expect_xml(edited, "<m to='t' from='me@here/&apos;x&apos;' xmlns:ns3='urn:q' ns3:from='qf' "
                       "xml:lang='en' new='' last='l'>tx<body>b</body>ty</m>");
    sv_stanza *again = edit(edited, &(svi_edit){.attrs = attrs + 1, .attr_count = 1});
    expect_xml(again, "<m to='t' from='me@here/&apos;x&apos;' xmlns:ns3='urn:q' ns3:from='qf' "
                      "xml:lang='en' new='' last='l'>tx<body>b</body>ty</m>");
    svi_stanza_unref(&edited);
    svi_stanza_unref(&again);
    /* a language is for a root that has none, the long way too */
    sv_stanza *empty = parse("<m/>");
    const svi_edit lang = {.attrs = attrs + 2, .attr_count = 1, .lang = SV_STR_INIT("de-CH")};
    edited = edit(empty, &lang);
    expect_xml(edited, "<m new='' xml:lang='de-CH'/>");
    again = edit(edited, &(svi_edit){.lang = SV_STR_INIT("en")});
    expect_xml(again, "<m new='' xml:lang='de-CH'/>");
    svi_stanza_unref(&again);
    svi_stanza_unref(&edited);
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    const sv_draft *add[] = {svi_draft_new(arena, SV_STR("b"), SV_STR(SVI_NS_CLIENT))};
    edited = edit(empty, &(svi_edit){.add = add, .add_count = 1, .lang = SV_STR_INIT("en")});
    expect_xml(edited, "<m xml:lang='en'><b/></m>");
    again = edit(edited, &(svi_edit){.add = add, .add_count = 1, .lang = SV_STR_INIT("cs")});
    expect_xml(again, "<m xml:lang='en'><b/><b/></m>");
    svi_stanza_unref(&again);
    svi_stanza_unref(&edited);
    svi_arena_free(&arena);
    edited = edit(empty, &change);
    svi_stanza_unref(&empty);
    expect_xml(edited, "<m from='me@here/&apos;x&apos;' new='' last='l'/>");
    svi_stanza_unref(&edited);
}

/* House-style B.8: one small block. */
static void edit_costs_one_small_block(void **state)
{
    (void)state;
    sv_stanza *base = parse("<m to='t' id='1'><body>text</body><a/><b/><c/><d/></m>");
    const svi_attr_set attrs[] = {{SV_STR_INIT("from"), SV_STR_INIT("a@b/c")}};
    const svi_edit change = {.attrs = attrs, .attr_count = 1};
    const int64_t before = atomic_load(&test_acct.total_count);
    sv_stanza *edited = edit(base, &change);
    assert_int_equal(atomic_load(&test_acct.total_count) - before, 1);
    assert_true(svi_stanza_cost_bytes(edited) < svi_stanza_cost_bytes(base));
    assert_true(svi_stanza_cost_bytes(edited) < 400);
    assert_int_equal(svi_stanza_held_bytes(edited),
                     svi_stanza_cost_bytes(edited) + svi_stanza_cost_bytes(base));
    svi_stanza_unref(&edited);
    svi_stanza_unref(&base);
}

static void child_bits_follow_the_edit(void **state)
{
    (void)state;
    const sv_str names[] = {SV_STR("body"), SV_STR("x"), SV_STR(SVI_NS_CLIENT), SV_STR("urn:x")};
    svi_atoms *atoms = svi_atoms_extend(&test_acct, NULL, names, 4);
    const uint64_t body =
        svi_node_bit(svi_atoms_find(atoms, names[2]), svi_atoms_find(atoms, names[0]));
    const uint64_t x =
        svi_node_bit(svi_atoms_find(atoms, names[3]), svi_atoms_find(atoms, names[1]));
    assert_true(body && x && body != x);
    assert_int_equal(body & (body - 1), 0); /* one bit each */
    sv_stanza *base = NULL;
    svi_stanza_parse(&test_acct, atoms, SV_STR("<m><body/></m>"), CLIENT, &base, NULL);
    assert_int_equal(svi_stanza_child_bits(base), body);
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    const sv_draft *adds[] = {svi_draft_new(arena, names[1], names[3])};
    const size_t strip[] = {0};
    svi_edit change = {.add = adds, .add_count = 1};
    sv_stanza *edited = svi_stanza_edit(&test_acct, atoms, base, &change);
    assert_int_equal(svi_stanza_child_bits(edited), body | x);
    change = (svi_edit){.strip = strip, .strip_count = 1};
    sv_stanza *bare = svi_stanza_edit(&test_acct, atoms, edited, &change);
    assert_int_equal(svi_stanza_child_bits(bare), x);
    svi_stanza_unref(&bare);
    svi_stanza_unref(&edited);
    svi_stanza_unref(&base);
    svi_arena_free(&arena);
    svi_atoms_free(&atoms);
}

/* Edits of edits make a chain that is freed without recursion. */
static void long_chain_of_edits(void **state)
{
    (void)state;
    sv_stanza *now = parse("<m><body>x</body></m>");
    const svi_attr_set attrs[] = {{SV_STR_INIT("from"), SV_STR_INIT("a@b/c")}};
    const svi_edit change = {.attrs = attrs, .attr_count = 1};
    for (int i = 0; i < 100000; i++) {
        sv_stanza *next = edit(now, &change);
        svi_stanza_unref(&now);
        now = next;
    }
    expect_xml(now, "<m from='a@b/c'><body>x</body></m>");
    const int64_t live = atomic_load(&test_acct.live_count);
    assert_true(live > 100000);
    svi_stanza_unref(&now);
    assert_true(live - atomic_load(&test_acct.live_count) > 100000);
}

static void from_node_stands_alone(void **state)
{
    (void)state;
    sv_stanza *base =
        parse("<m><f xmlns='urn:f' b='1' xml:lang='x'>t<i xmlns=''><j/>u</i></f></m>");
    sv_stanza *alone =
        svi_stanza_from_node(&test_acct, NULL, svi_node_first(svi_stanza_root(base)));
    svi_stanza_unref(&base);
    expect_xml(alone, "<f xmlns='urn:f' b='1' xml:lang='x'>t<i xmlns=''><j/>u</i></f>");
    svi_stanza_unref(&alone);
}

/* Our own code can make trees of any depth by wrapping; nothing may recurse over them. */
static void deep_tree(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_draft *root = svi_draft_new(arena, SV_STR("a"), CLIENT), *at = root;
    for (int i = 0; i < 200000; i++) at = svi_draft_child(at, SV_STR("a"), SV_STR_NONE);
    sv_stanza *deep = svi_draft_freeze(&test_acct, NULL, root);
    svi_arena_free(&arena);
    sv_stanza *copy = svi_stanza_from_node(&test_acct, NULL, svi_stanza_root(deep));
    assert_int_equal(svi_stanza_cost_bytes(copy), svi_stanza_cost_bytes(deep));
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    svi_stanza_write(&buf, copy, SVI_FLAVOUR_CLIENT, NULL);
    assert_int_equal(buf.len, 200000 * 7 + 4);
    svi_buf_free(&buf);
    svi_stanza_unref(&deep);
    svi_stanza_unref(&copy);
}

/* --- what is a bug of ours ------------------------------------------------------------------------ */

static jmp_buf asserted;

static void jump_out(const char *expression, const char *file, int line)
{
    (void)expression, (void)file, (void)line;
    longjmp(asserted, 1);
}

/* True if making this text / name / attribute is refused by an assertion. */
static bool refuses(sv_draft *draft, sv_str text, sv_str attr, sv_str child)
{
    svi_assert_set_hook(jump_out);
    volatile bool refused = true;
    if (setjmp(asserted) == 0) {
        if (text.p) svi_draft_text(draft, text);
        if (attr.p) svi_draft_attr(draft, attr, SV_STR("x"));
        if (child.p) svi_draft_child(draft, child, SV_STR_NONE);
        refused = false;
    }
    svi_assert_set_hook(NULL);
    return refused;
}

static void poison_is_asserted(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    sv_draft *d = svi_draft_new(arena, SV_STR("a"), CLIENT);
    const sv_str none = SV_STR_NONE;
    const sv_str bad[] = {
        SV_STR("\0"),           SV_STR("a\x01"),        SV_STR("\x1F"),
        SV_STR("\xC0\x80"),     SV_STR("\xED\xA0\x80"), SV_STR("\xEF\xBF\xBE"),
        SV_STR("\xEF\xBF\xBF"), SV_STR("\xE2\x82"),     SV_STR("\xF4\x90\x80\x80")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(refuses(d, bad[i], none, none));
    assert_false(refuses(d, SV_STR("\t\r\n \xEF\xBF\xBD\x7F"), none, none));
    /* wherever it stands in a text of several words */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t at = 0; at <= 16; at++) {
            char text[] = "sixteen letters!sixteen letters!";
            memcpy(text + at, bad[i].p, bad[i].n);
            const size_t n = i % 2 ? sizeof text - 1 : at + bad[i].n;
            assert_true(refuses(d, (sv_str){text, n}, none, none));
        }
    }
    assert_false(refuses(d, SV_STR("sixteen letters~\t \xC3\xA9sixteen\nletters"), none, none));
    const sv_str names[] = {SV_STR(""),   SV_STR("a b"), SV_STR("a:b"), SV_STR("1a"),
                            SV_STR("a>"), SV_STR("-"),   SV_STR("a='"), SV_STR("\xFF")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(refuses(d, none, none, names[i]));
        assert_true(refuses(d, none, names[i], none));
    }
    assert_true(refuses(d, none, SV_STR("xmlns"), none));
    svi_assert_set_hook(jump_out);
    volatile bool refused = true; /* nothing may be in the namespace of declarations */
    if (setjmp(asserted) == 0) {
        svi_draft_new(arena, SV_STR("a"), SV_STR("http://www.w3.org/2000/xmlns/"));
        refused = false;
    }
    svi_assert_set_hook(NULL);
    assert_true(refused);
    assert_false(refuses(d, none, SV_STR("stream-id.2_"), SV_STR("\xC3\xA9")));
    svi_arena_free(&arena);
}

/* --- threads -------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300 };

typedef struct shared_work {
    sv_stanza *base; /* borrowed; every thread takes references of its own */
    pthread_barrier_t start;
} shared_work;

static void *use_stanza(void *arg)
{
    shared_work *work = arg;
    svi_buf buf;
    svi_buf_init(&buf, &test_acct);
    const svi_attr_set attrs[] = {{SV_STR_INIT("from"), SV_STR_INIT("a@b")}};
    const svi_edit change = {.attrs = attrs, .attr_count = 1};
    pthread_barrier_wait(&work->start);
    bool good = true;
    for (int i = 0; i < ROUNDS; i++) {
        sv_stanza *mine = svi_stanza_ref(work->base);
        sv_stanza *edited = edit(mine, &change);
        svi_buf_clear(&buf);
        svi_stanza_write(&buf, i % 2 ? mine : edited, (svi_flavour)(i % 3), NULL);
        good = good && buf.len > 30;
        svi_stanza_unref(&mine);
        svi_stanza_unref(&edited);
    }
    svi_buf_free(&buf);
    return good ? arg : NULL;
}

/* The same stanza on several threads, the cache filled by all at once; the last reference is dropped by
 * whoever comes last. TSan watches. */
static void references_across_threads(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        shared_work work = {.base = parse("<m to='t'><body>text</body><x xmlns='u'/></m>")};
        pthread_barrier_init(&work.start, NULL, THREADS);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, use_stanza, &work), 0);
        for (int i = 0; i < THREADS; i++) {
            void *result = NULL;
            pthread_join(threads[i], &result);
            assert_non_null(result);
        }
        pthread_barrier_destroy(&work.start);
        svi_stanza_unref(&work.base);
    }
}

static void *drop_last(void *arg)
{
    sv_stanza *mine = arg;
    svi_stanza_unref(&mine);
    return NULL;
}

static void last_reference_on_another_thread(void **state)
{
    (void)state;
    const int64_t before = atomic_load(&test_acct.live_count);
    sv_stanza *stanza = parse("<m/>");
    sv_stanza *second = svi_stanza_ref(stanza);
    pthread_t thread;
    pthread_create(&thread, NULL, drop_last, second);
    svi_stanza_unref(&stanza);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&test_acct.live_count), before);
}

static int nothing_left(void **state)
{
    (void)state;
    return atomic_load(&test_acct.live_count) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes),
        cmocka_unit_test(children),
        cmocka_unit_test(text_of_a_node),
        cmocka_unit_test(drafts),
        cmocka_unit_test(walk_over_grafts),
        cmocka_unit_test(edit_shares_children),
        cmocka_unit_test(edit_of_attributes_alone),
        cmocka_unit_test(edit_costs_one_small_block),
        cmocka_unit_test(child_bits_follow_the_edit),
        cmocka_unit_test(long_chain_of_edits),
        cmocka_unit_test(from_node_stands_alone),
        cmocka_unit_test(deep_tree),
        cmocka_unit_test(poison_is_asserted),
        cmocka_unit_test(references_across_threads),
        cmocka_unit_test(last_reference_on_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
