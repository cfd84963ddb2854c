/* Tests of addresses: RFC 7622 3.5 whole, PRECIS and IDNA edges, lengths, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/base_plat.h"
#include "xmpp/xmpp_jid.h"
#include "xmpp/xmpp_precis.h"

static svi_acct acct = {.name = "test"};
static svi_arena *arena;

typedef struct good {
    const char *text, *full, *node, *domain, *resource;
} good;

/* RFC 7622 3.5 table 1, then our own. */
static const good valid[] = {
    {"juliet@example.com", "juliet@example.com", "juliet", "example.com", ""},
    {"juliet@example.com/foo", "juliet@example.com/foo", "juliet", "example.com", "foo"},
    {"juliet@example.com/foo bar", "juliet@example.com/foo bar", "juliet", "example.com",
     "foo bar"},
    {"juliet@example.com/foo@bar", "juliet@example.com/foo@bar", "juliet", "example.com",
     "foo@bar"},
    {"foo\\20bar@example.com", "foo\\20bar@example.com", "foo\\20bar", "example.com", ""},
    {"fussball@example.com", "fussball@example.com", "fussball", "example.com", ""},
    {"fu\u00dfball@example.com", "fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""},
    {"\u03c0@example.com", "\u03c0@example.com", "\u03c0", "example.com", ""},
    {"\u03a3@example.com/foo", "\u03c3@example.com/foo", "\u03c3", "example.com", "foo"},
    {"\u03c3@example.com/foo", "\u03c3@example.com/foo", "\u03c3", "example.com", "foo"},
    {"\u03c2@example.com/foo", "\u03c2@example.com/foo", "\u03c2", "example.com", "foo"},
    {"king@example.com/\u265a", "king@example.com/\u265a", "king", "example.com", "\u265a"},
    {"example.com", "example.com", "", "example.com", ""},
    {"example.com/foobar", "example.com/foobar", "", "example.com", "foobar"},
    {"a.example.com/b@example.net", "a.example.com/b@example.net", "", "a.example.com",
     "b@example.net"},
    /* case and dots */
    {"EVE@Example.COM./Home", "eve@example.com/Home", "eve", "example.com", "Home"},
    {"a@b/c/d", "a@b/c/d", "a", "b", "c/d"},
    {"a@b/c ", "a@b/c ", "a", "b", "c "},
    {"a@127.0.0.1", "a@127.0.0.1", "a", "127.0.0.1", ""},
    {"a@[0::0:1]/r", "a@[::1]/r", "a", "[::1]", "r"},
    {"#$%*+,-.;=?[]^_`{|}~!@b", "#$%*+,-.;=?[]^_`{|}~!@b", "#$%*+,-.;=?[]^_`{|}~!", "b", ""},
    /* UsernameCaseMapped: NIKOS keeps a plain sigma at the end (RFC 7622 3.5), full width is
     * mapped, NFC composes */
    {"\u039d\u0399\u039a\u039f\u03a3@x", "\u03bd\u03b9\u03ba\u03bf\u03c3@x",
     "\u03bd\u03b9\u03ba\u03bf\u03c3", "x", ""},
    {"\uff26\uff4f\uff4f@x", "foo@x", "foo", "x", ""},
    {"e\u0301@x", "\u00e9@x", "\u00e9", "x", ""},
    {"\u0130@x", "i\u0307@x", "i\u0307", "x", ""},
    {"\u05d0\u05d11@x", "\u05d0\u05d11@x", "\u05d0\u05d11", "x", ""},
    {"l\u00b7l@x", "l\u00b7l@x", "l\u00b7l", "x", ""},
    {"\u0915\u094d\u200d\u0937@x", "\u0915\u094d\u200d\u0937@x", "\u0915\u094d\u200d\u0937", "x",
     ""},
    /* OpaqueString: other spaces become SPACE, width stays */
    {"a@b/c\u1680d", "a@b/c d", "a", "b", "c d"},
    {"a@b/\uff26e\u0301", "a@b/\uff26\u00e9", "a", "b", "\uff26\u00e9"},
    /* IDNA: mapped, composed, A-label to U-label; one spelling for all */
    {"a@B\u00dcCHER.example", "a@b\u00fccher.example", "a", "b\u00fccher.example", ""},
    {"a@xn--bcher-kva.example", "a@b\u00fccher.example", "a", "b\u00fccher.example", ""},
    {"a@XN--BCHER-KVA.example.", "a@b\u00fccher.example", "a", "b\u00fccher.example", ""},
    {"a@bu\u0308cher.example", "a@b\u00fccher.example", "a", "b\u00fccher.example", ""},
    {"a@fa\u00df.example", "a@fa\u00df.example", "a", "fa\u00df.example", ""},
    {"a@\uff45xample", "a@example", "a", "example", ""},
};

/* RFC 7622 3.5 table 2, then our own. */
static const char *const invalid[] = {
    "\"juliet\"@example.com",
    "foo bar@example.com",
    "juliet@example.com/ foo",
    "@example.com/",
    "henry\u2163@example.com",
    "\u265a@example.com",
    "juliet@",
    "/foobar",
    /* empty parts and separators */
    "",
    "@",
    "/",
    "a@/b",
    "a@b/",
    "@b",
    "a@b@c",
    ".",
    "a@.",
    "a@b..c",
    "a@.b",
    /* RFC 7622 3.3.1 */
    "a&b@c",
    "a'b@c",
    "a:b@c",
    "a<b@c",
    "a>b@c",
    "a\"b@c",
    /* control characters */
    "a\x01@b",
    "a\x7f@b",
    "a@b/\x1f",
    "a@b/x\ty",
    "a@b/\xc2\x85",
    "a\n@b",
    /* not UTF-8 */
    "a\xff@b",
    "a@b/\xc0\xaf",
    "a@b\xe0\x80\x80",
    "\xed\xa0\x80@b",
    "a@b/\xf4\x90\x80\x80",
    /* domains */
    "a@-b",
    "a@b-",
    "a@b_c",
    "a@b c",
    "a@[::1",
    "a@[::1%25eth0]",
    "a@[zz]",
    "a@[]",
    "a@b:5222",
    "a@xn--",
    "a@xn--zzzzzzzzzz-zz99",
    "a@\u2163\u2215x",
    "a@b\uff20c",
    "a@b\uff0fc",
    "a@\u0301b",
    "a@\u265a",
    "a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    /* IdentifierClass: invisible, private, unassigned, old jamo, context without company,
     * separators by mapping */
    "a\u00adb@c",
    "a\u200bb@c",
    "a\u200db@c",
    "a\ue000@c",
    "\U000e0001@c",
    "\u1100@c",
    "a\u00b7b@c",
    "a\uff20b@c",
    "a\uff0fb@c",
    "\u00a0@c",
    "\u0378@c",
    "\u0660\u06f0@c",
    "\u05d0a@c",
    "a\u05d0@c",
    /* OpaqueString: a space of another kind in front is one too */
    "a@b/\u3000x",
    "a@b/\u200bx",
    "a@b/\ue000",
};

static void parses_what_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        const good *want = &valid[i];
        sv_jid jid, again;
        if (svi_jid_parse(arena, sv_str_of(want->text), &jid)) fail_msg("refused: %s", want->text);
        if (!sv_str_eq(jid.full, sv_str_of(want->full)))
            fail_msg("%s became %.*s", want->text, (int)jid.full.n, jid.full.p);
        assert_true(sv_str_eq(jid.node, sv_str_of(want->node)));
        assert_true(sv_str_eq(jid.domain, sv_str_of(want->domain)));
        assert_true(sv_str_eq(jid.resource, sv_str_of(want->resource)));
        assert_int_equal(svi_jid_is_bare(&jid), want->resource[0] == 0);
        assert_true(svi_str_starts(jid.full, jid.bare));
        assert_int_equal(jid.bare.n, jid.full.n - (jid.resource.n ? jid.resource.n + 1 : 0));
        /* what is prepared stays as it is */
        assert_int_equal(svi_jid_parse(arena, jid.full, &again), SV_OK);
        assert_true(sv_str_eq(again.full, jid.full));
    }
}

static void refuses_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        sv_jid jid;
        if (svi_jid_parse(arena, sv_str_of(invalid[i]), &jid) != SV_EINVAL)
            fail_msg("number %zu was accepted: %s", i, invalid[i]);
    }
    sv_jid jid;
    assert_int_equal(svi_jid_parse(arena, SV_STR("a\0b@c"), &jid), SV_EINVAL);
    assert_int_equal(svi_jid_parse(arena, SV_STR("a@b\0c"), &jid), SV_EINVAL);
    assert_int_equal(svi_jid_parse(arena, SV_STR("a@\u00fcb\0c"), &jid), SV_EINVAL);
    assert_int_equal(svi_jid_parse(arena, SV_STR("a@[::1\0]"), &jid), SV_EINVAL);
}

/* --- doc/addresses.md ------------------------------------------------------------------------ */

/* The text of a table's cell, "\u{AD}" being a code point; false if it stands in no backquotes. */
static bool cell_text(sv_str cell, sv_str *text_out)
{
    size_t begin = svi_str_find(cell, '`'), n = 0;
    const sv_str inner = svi_str_sub(cell, begin + 1, cell.n);
    const size_t end = svi_str_find(inner, '`');
    if (begin == cell.n || end == inner.n) return false;
    char *to = svi_arena_get(arena, end + 1);
    for (size_t i = 0; i < end; i++) {
        if (!svi_str_starts(svi_str_sub(inner, i, end - i), SV_STR("\\u{"))) {
            to[n++] = inner.p[i];
            continue;
        }
        char *after;
        const unsigned long c = strtoul(inner.p + i + 3, &after, 16);
        assert_int_equal(*after, '}');
        if (c < 0x80) {
            to[n++] = (char)c;
        } else {
            assert_in_range(c, 0x80, 0xffff);
            if (c >= 0x800) to[n++] = (char)(0xe0 | c >> 12);
            to[n++] = (char)(c < 0x800 ? 0xc0 | c >> 6 : 0x80 | (c >> 6 & 0x3f));
            to[n++] = (char)(0x80 | (c & 0x3f));
        }
        i = (size_t)(after - inner.p);
    }
    *text_out = (sv_str){to, n};
    return true;
}

/* A line of a table; false if it is none with an address in it. */
static bool check_row(sv_str line)
{
    sv_str rest = line, cell, address, wanted;
    if (!svi_str_starts(line, SV_STR("| `"))) return false;
    (void)svi_str_split(&rest, '|', &cell);
    assert_true(svi_str_split(&rest, '|', &cell));
    if (!cell_text(cell, &address) || svi_str_find(address, '@') == address.n) return false;
    assert_true(svi_str_split(&rest, '|', &cell));
    sv_jid jid;
    const sv_status status = svi_jid_parse(arena, address, &jid);
    if (!cell_text(cell, &wanted)) {
        assert_true(sv_str_eq(cell, SV_STR(" refused ")));
        if (status != SV_EINVAL) fail_msg("taken: %.*s", (int)line.n, line.p);
    } else if (status != SV_OK || !sv_str_eq(jid.full, wanted)) {
        fail_msg("%.*s: %.*s", (int)line.n, line.p, status ? 7 : (int)jid.full.n,
                 status ? "refused" : jid.full.p);
    }
    return true;
}

/* What the document says is what is done; tests run in the project's root. */
static void the_document_is_right(void **state)
{
    (void)state;
    char line[1024];
    size_t rows = 0;
    FILE *doc = fopen("doc/addresses.md", "re");
    assert_non_null(doc);
    while (fgets(line, sizeof line, doc)) rows += check_row(sv_str_of(line));
    (void)fclose(doc);
    assert_true(rows >= 50);
}

/* XEP-0106 5.1 table 3, and 5.5 and 4.3. */
static void escapes_names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"space cadet", "space\\20cadet"},
        {"call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22"},
        {"at&t guy", "at\\26t\\20guy"},
        {"d'artagnan", "d\\27artagnan"},
        {"/.fanboy", "\\2f.fanboy"},
        {"::foo::", "\\3a\\3afoo\\3a\\3a"},
        {"<foo>", "\\3cfoo\\3e"},
        {"user@host", "user\\40host"},
        {"c:\\net", "c\\3a\\net"},
        {"c:\\\\net", "c\\3a\\\\net"},
        {"c:\\cool stuff", "c\\3a\\cool\\20stuff"},
        {"c:\\5commas", "c\\3a\\5c5commas"},
        {"\\3and\\2is\\5cool", "\\5c3and\\2is\\5c5cool"},
        {"\\3And", "\\5c3And"}, /* case is mapped later */
        {"\\2plus\\2is\\4", "\\2plus\\2is\\4"},
        {"foo\\bar", "foo\\bar"},
        {"foob\\41r", "foob\\41r"},
        {"tr\u00e9ville", "tr\u00e9ville"},
        {"x\\", "x\\"},
    };
    sv_str out;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(svi_jid_escape_node(arena, sv_str_of(pairs[i][0]), &out), SV_OK);
        if (!sv_str_eq(out, sv_str_of(pairs[i][1])))
            fail_msg("%s became %.*s", pairs[i][0], (int)out.n, out.p);
        assert_int_equal(svi_jid_prep_node(arena, out, &out), SV_OK);
    }
    assert_int_equal(svi_jid_escape_node(arena, SV_STR(" x"), &out), SV_EINVAL);
    assert_int_equal(svi_jid_escape_node(arena, SV_STR("x "), &out), SV_EINVAL);
    assert_int_equal(svi_jid_escape_node(arena, SV_STR_NONE, &out), SV_EINVAL);
    assert_true(svi_jid_has_outer_space(SV_STR("\\20x")));
    assert_true(svi_jid_has_outer_space(SV_STR("x\\20")));
    assert_false(svi_jid_has_outer_space(SV_STR("x\\20y")));
    assert_false(svi_jid_has_outer_space(SV_STR("20")));
}

static sv_str repeat(const char *unit, size_t times)
{
    size_t n = strlen(unit);
    char *text = svi_arena_get(arena, n * times + 1);
    for (size_t i = 0; i < times; i++) memcpy(text + i * n, unit, n);
    return (sv_str){text, n * times};
}

/* RFC 7622 3.3, 3.4: 1023 bytes behind the mapping; full-width letters shrink to a third, so
 * 1023 of them fit. */
/* RFC 7622 3.2, part by part: no short way. */
static sv_status parse_slowly(sv_str text, sv_jid *jid_out)
{
    const size_t slash = svi_str_find(text, '/');
    const sv_str head = svi_str_sub(text, 0, slash);
    const size_t at = svi_str_find(head, '@');
    const bool has_node = at < head.n;
    sv_str node = SV_STR_NONE, domain = SV_STR_NONE, resource = SV_STR_NONE;
    if (has_node && svi_jid_prep_node(arena, svi_str_sub(head, 0, at), &node)) return SV_EINVAL;
    if (svi_jid_prep_domain(arena, has_node ? svi_str_sub(head, at + 1, head.n) : head, &domain))
        return SV_EINVAL;
    if (slash < text.n &&
        svi_jid_prep_resource(arena, svi_str_sub(text, slash + 1, text.n), &resource))
        return SV_EINVAL;
    *jid_out = svi_jid_make(arena, node, domain, resource);
    return SV_OK;
}

static void assert_same_jid(sv_str text, const sv_jid *a, const sv_jid *b)
{
    if (!sv_str_eq(a->node, b->node) || !sv_str_eq(a->domain, b->domain) ||
        !sv_str_eq(a->resource, b->resource) || !sv_str_eq(a->bare, b->bare) ||
        !sv_str_eq(a->full, b->full))
        fail_msg("%.*s: %.*s or %.*s", (int)text.n, text.p, (int)a->full.n, a->full.p,
                 (int)b->full.n, b->full.p);
}

/* The short way of plain addresses takes nothing that the long one refuses or changes. */
static void short_way_is_the_long_one(void **state)
{
    (void)state;
    static const char letters[] = "aazB09-._@@//x n~:";
    static const char *const starts[] = {"", "", "a@b/", "a@", "xn--", "a@b.c-d"};
    svi_plat_virtual v;
    svi_plat_virtual_init(&v, 7);
    size_t good_ones = 0;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t n = (size_t)snprintf(text, sizeof text, "%s", starts[i % 6]);
        unsigned char r[9];
        v.plat.random(v.plat.ctx, r, sizeof r);
        for (size_t k = 1; k <= r[0] % 9u; k++) text[n++] = letters[r[k] % (sizeof letters - 1)];
        sv_jid fast = {.full = SV_STR_NONE}, slow = {.full = SV_STR_NONE};
        const sv_status status = svi_jid_parse(arena, (sv_str){text, n}, &fast);
        if (status != parse_slowly((sv_str){text, n}, &slow))
            fail_msg("%.*s: %d", (int)n, text, (int)status);
        if (status == SV_OK) assert_same_jid((sv_str){text, n}, &fast, &slow);
        good_ones += status == SV_OK;
        svi_arena_clear(arena);
    }
    assert_in_range(good_ones, 2000, 15000);
}

static void holds_to_the_lengths(void **state)
{
    (void)state;
    sv_str out;
    assert_int_equal(svi_jid_prep_node(arena, repeat("a", 1023), &out), SV_OK);
    assert_int_equal(svi_jid_prep_node(arena, repeat("a", 1024), &out), SV_EINVAL);
    assert_int_equal(svi_jid_prep_node(arena, repeat("\uff41", 1023), &out), SV_OK);
    assert_int_equal(out.n, 1023);
    assert_int_equal(svi_jid_prep_node(arena, repeat("\u00e9", 512), &out), SV_EINVAL);
    assert_int_equal(svi_jid_prep_resource(arena, repeat("x", 1023), &out), SV_OK);
    assert_int_equal(svi_jid_prep_resource(arena, repeat("x", 1024), &out), SV_EINVAL);
    assert_int_equal(svi_jid_prep_resource(arena, repeat("\u265a", 5000), &out), SV_EINVAL);
    assert_int_equal(svi_jid_prep_domain(arena, repeat("a.", 127), &out), SV_OK);
    assert_int_equal(out.n, 253);
    assert_int_equal(svi_jid_prep_domain(arena, repeat("a.", 128), &out), SV_EINVAL);
}

static void makes_and_copies(void **state)
{
    (void)state;
    sv_jid jid = svi_jid_make(arena, SV_STR("a"), SV_STR("b"), SV_STR("c")), copy, bare;
    assert_true(sv_str_eq(jid.full, SV_STR("a@b/c")) && sv_str_eq(jid.bare, SV_STR("a@b")));
    svi_jid_dup(&acct, &jid, &copy);
    assert_ptr_not_equal(copy.full.p, jid.full.p);
    assert_true(sv_str_eq(copy.full, jid.full) && sv_str_eq(copy.resource, jid.resource));
    assert_true(copy.resource.p > copy.full.p && copy.resource.p < copy.full.p + copy.full.n);
    svi_jid_free(&copy);
    assert_null(copy.full.p);
    svi_jid_free(&copy);
    bare = svi_jid_make(arena, SV_STR_NONE, SV_STR("b"), SV_STR_NONE);
    assert_true(sv_str_eq(bare.full, SV_STR("b")) && bare.node.n == 0 && svi_jid_is_bare(&bare));
}

/* RFC 8265 4.3 tables 3 and 4. */
static void prepares_opaque_strings(void **state)
{
    (void)state;
    static const char *const same[] = {"correct horse battery staple",
                                       "Correct Horse Battery Staple", "\u03c0\u00df\u00e5",
                                       "Jack of \u2666s"};
    sv_str out;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(svi_precis_opaque(arena, sv_str_of(same[i]), &out), SV_OK);
        assert_true(sv_str_eq(out, sv_str_of(same[i])));
    }
    assert_int_equal(svi_precis_opaque(arena, SV_STR("foo\u1680bar"), &out), SV_OK);
    assert_true(sv_str_eq(out, SV_STR("foo bar")));
    assert_int_equal(svi_precis_opaque(arena, SV_STR(""), &out), SV_EINVAL);
    assert_int_equal(svi_precis_opaque(arena, SV_STR("my cat is a \tby"), &out), SV_EINVAL);
}

/* RFC 5892 A.7 to A.9, and that the longest names cost no more than their length: by its square the
 * hundreds of them here take far longer than the limit of a test. */
static void judges_whole_names_at_once(void **state)
{
    (void)state;
    static const char dot[] = "\u30fb", digit[] = "\u0660", kana[] = "\u3042";
    char dots[SVI_PRECIS_MAX], digits[SVI_PRECIS_MAX];
    const size_t dots_n = SVI_PRECIS_MAX - 3, digits_n = SVI_PRECIS_MAX;
    sv_str out;
    assert_int_equal(svi_precis_opaque(arena, SV_STR("a\u30fb"), &out), SV_EINVAL);
    assert_int_equal(svi_precis_opaque(arena, SV_STR("\u30fb\u3042"), &out), SV_OK);
    assert_int_equal(svi_precis_opaque(arena, SV_STR("\u0660\u06f0"), &out), SV_EINVAL);
    assert_int_equal(svi_precis_opaque(arena, SV_STR("\u06f0\u0660"), &out), SV_EINVAL);
    for (size_t i = 0; i < dots_n; i++) dots[i] = dot[i % 3];
    memcpy(dots + dots_n, kana, 3);
    for (size_t i = 0; i < digits_n; i++) digits[i] = digit[i % 2];
    for (int i = 0; i < 150; i++) {
        const svi_mark mark = svi_arena_mark(arena);
        assert_int_equal(svi_precis_opaque(arena, (sv_str){dots, dots_n + 3}, &out), SV_OK);
        assert_int_equal(svi_precis_opaque(arena, (sv_str){digits, digits_n}, &out), SV_OK);
        svi_arena_reset(arena, mark);
    }
}

static int set_up(void **state)
{
    (void)state;
    arena = svi_arena_new(&acct, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_arena_free(&arena);
    return acct.live_bytes == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parses_what_is_valid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_document_is_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(escapes_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_way_is_the_long_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holds_to_the_lengths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makes_and_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prepares_opaque_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(judges_whole_names_at_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
