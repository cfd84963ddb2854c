/* What the tests of server/xml share: trees compared, parser events written down as text. */
#ifndef SVI_XML_TEST_UTIL_H
#define SVI_XML_TEST_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_str.h"
#include "xml/xml_parser.h"
#include "xml/xml_writer.h"

#define TEST_HEADER                                                                                \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "                                   \
    "xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"

static svi_acct test_acct = {.name = "test"};

/* --- trees --------------------------------------------------------------------------------------- */

static bool test_same_attrs(const sv_node *a, const sv_node *b)
{
    sv_str name, ns, value;
    size_t count = 0;
    for (; svi_node_attr_at(a, count, &name, &ns, &value); count++) {
        const sv_str other = svi_node_attr_ns(b, name, ns);
        if (!other.p || !sv_str_eq(other, value)) return false;
    }
    return !svi_node_attr_at(b, count, NULL, NULL, NULL);
}

/* A child, neighbouring runs of text taken as one. */
typedef struct test_child {
    const sv_node *elem;
    sv_str text;
} test_child;

static bool test_next(svi_arena *arena, const sv_node *node, size_t *pos, test_child *out)
{
    *out = (test_child){.elem = NULL};
    sv_str run;
    const sv_node *elem;
    if (!svi_node_child_at(node, *pos, &out->elem, &out->text)) return false;
    (*pos)++;
    if (out->elem) return true;
    while (svi_node_child_at(node, *pos, &elem, &run) && !elem) {
        char *joined = svi_arena_get(arena, out->text.n + run.n + 1);
        if (out->text.n) memcpy(joined, out->text.p, out->text.n);
        if (run.n) memcpy(joined + out->text.n, run.p, run.n);
        out->text = (sv_str){joined, out->text.n + run.n};
        (*pos)++;
    }
    return true;
}

/* Recursive: for test trees of bounded depth only. */
static bool test_same_in(svi_arena *arena, const sv_node *a, const sv_node *b)
{
    if (!svi_node_is(a, svi_node_name(b), svi_node_ns(b)) || !test_same_attrs(a, b)) return false;
    size_t pos_a = 0, pos_b = 0;
    for (;;) {
        test_child x, y;
        const bool more = test_next(arena, a, &pos_a, &x);
        if (more != test_next(arena, b, &pos_b, &y)) return false;
        if (!more) return true;
        if (!x.elem != !y.elem || !sv_str_eq(x.text, y.text)) return false;
        if (x.elem && !test_same_in(arena, x.elem, y.elem)) return false;
    }
}

/* Equal names, namespaces, attributes (in any order) and children; atoms and block layout aside. */
static inline bool test_same(const sv_node *a, const sv_node *b)
{
    svi_arena *arena = svi_arena_new(&test_acct, 0);
    const bool same = test_same_in(arena, a, b);
    svi_arena_free(&arena);
    return same;
}

/* --- parser events ------------------------------------------------------------------------------- */

/* Events as text: "H" header, "S" and the stanza as XML, "E" end, "F" and the fault's number. */
typedef struct test_log {
    svi_buf text;
    svi_parser *parser;
    sv_stanza *last; /* the stanza reported last, owned */
    size_t stanzas;
    sv_str pause_name; /* pause at a stanza of this name; also "header" */
    bool restart;      /* and restart from the callback */
} test_log;

static void test_pause(test_log *log, sv_str name)
{
    if (!log->pause_name.n || !sv_str_eq(log->pause_name, name)) return;
    svi_parser_pause(log->parser);
    if (log->restart) svi_parser_restart(log->parser);
}

static void test_on_header(void *ctx, sv_stanza *take)
{
    test_log *log = ctx;
    svi_buf_putc(&log->text, 'H');
    const sv_str content =
        svi_node_attr_ns(svi_stanza_root(take), SV_STR("xmlns"), SV_STR(SVI_NS_XMLNS));
    assert_true(sv_str_eq(content, svi_parser_content_ns(log->parser)));
    svi_stanza_unref(&take);
    test_pause(log, SV_STR("header"));
}

static void test_on_stanza(void *ctx, sv_stanza *take)
{
    test_log *log = ctx;
    svi_buf_putc(&log->text, 'S');
    svi_node_write(&log->text, svi_stanza_root(take), SV_STR(SVI_NS_CLIENT));
    svi_stanza_unref(&log->last);
    log->last = take;
    log->stanzas++;
    test_pause(log, svi_node_name(svi_stanza_root(take)));
}

static void test_on_end(void *ctx)
{
    svi_buf_putc(&((test_log *)ctx)->text, 'E');
}

static void test_on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    assert_non_null(text);
    svi_buf_printf(&((test_log *)ctx)->text, "F%d", (int)fault);
}

static const svi_parser_calls test_calls = {test_on_header, test_on_stanza, test_on_end,
                                            test_on_fault};

static inline void test_log_open(test_log *log, const svi_xml_limits *limits)
{
    *log = (test_log){.last = NULL};
    svi_buf_init(&log->text, &test_acct);
    log->parser = svi_parser_new(&test_acct, NULL, limits, &test_calls, log);
}

static inline void test_log_close(test_log *log)
{
    svi_parser_free(&log->parser);
    svi_stanza_unref(&log->last);
    svi_buf_free(&log->text);
}

/* Feeds in pieces of `step` bytes (0: whole), each from memory of its own so that ASan sees reads behind
 * it; stops when the parser takes less. Returns what was consumed. */
static inline size_t test_feed(test_log *log, sv_str bytes, size_t step)
{
    size_t used = 0;
    while (used < bytes.n) {
        const sv_str piece = svi_str_sub(bytes, used, step ? step : bytes.n);
        char *copy = malloc(piece.n);
        memcpy(copy, piece.p, piece.n);
        const size_t eaten = svi_parser_feed(log->parser, (sv_str){copy, piece.n});
        free(copy);
        used += eaten;
        if (eaten < piece.n) break;
    }
    return used;
}

/* --- streams in pieces ---------------------------------------------------------------------------- */

static const size_t test_steps[] = {0, 1, 3};

static inline void test_expect_with(const svi_xml_limits *limits, sv_str bytes, const char *events)
{
    for (size_t i = 0; i < sizeof test_steps / sizeof *test_steps; i++) {
        test_log log;
        test_log_open(&log, limits);
        test_feed(&log, bytes, test_steps[i]);
        const sv_str got = svi_buf_str(&log.text);
        if (!sv_str_eq(got, sv_str_of(events)))
            fail_msg("in pieces of %zu, of %.*s: expected %s, got %.*s", test_steps[i],
                     (int)(bytes.n < 300 ? bytes.n : 300), bytes.p, events, (int)got.n, got.p);
        test_log_close(&log);
    }
}

static inline void test_expect(sv_str bytes, const char *events)
{
    const svi_xml_limits limits = svi_xml_limits_user();
    test_expect_with(&limits, bytes, events);
}

/* Bytes from the very beginning of a connection. */
#define EXPECT_RAW(lit, events) test_expect(SV_STR(lit), events)
/* Bytes behind a good stream header. */
#define EXPECT(lit, events) test_expect(SV_STR(TEST_HEADER lit), "H" events)

#define NOT_WELL_FORMED "F1"
#define RESTRICTED "F2"
#define UNSUPPORTED_ENCODING "F3"
#define TOO_BIG "F4"
#define BAD_PREFIX "F5"
#define BAD_FORMAT "F6"

/* `before` + `fill` repeated until the middle part has `n` bytes + `after`. */
static inline sv_str test_filled(svi_buf *buf, const char *before, const char *fill, size_t n,
                                 const char *after)
{
    svi_buf_clear(buf);
    svi_buf_put(buf, sv_str_of(before));
    const size_t end = buf->len + n;
    const sv_str part = sv_str_of(fill);
    while (buf->len < end) svi_buf_put(buf, svi_str_sub(part, 0, end - buf->len));
    svi_buf_put(buf, sv_str_of(after));
    return svi_buf_str(buf);
}

#endif
