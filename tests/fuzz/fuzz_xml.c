/* Fuzzes parser and writer: bytes of a stream in pieces of fuzzed sizes. What is reported must not depend on the
 * pieces, and each stanza must be the same after it was written and parsed again. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base_str.h"
#include "xml/xml_parser.h"
#include "xml/xml_writer.h"

static svi_acct acct = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_xml.c:%d: does not hold: %s\n", __LINE__, #e);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* --- trees compared -------------------------------------------------------------------------------- */

static bool same_attrs(const sv_node *a, const sv_node *b)
{
    sv_str name, ns, value;
    size_t count = 0;
    for (; svi_node_attr_at(a, count, &name, &ns, &value); count++) {
        const sv_str other = svi_node_attr_ns(b, name, ns);
        if (!other.p || !sv_str_eq(other, value)) return false;
    }
    return !svi_node_attr_at(b, count, NULL, NULL, NULL);
}

/* A parser joins neighbouring text, so children compare one by one. Depth is bounded by the limits. */
static bool same(const sv_node *a, const sv_node *b)
{
    if (!svi_node_is(a, svi_node_name(b), svi_node_ns(b)) || !same_attrs(a, b)) return false;
    if (svi_node_child_count(a) != svi_node_child_count(b)) return false;
    for (size_t i = 0; i < svi_node_child_count(a); i++) {
        const sv_node *x, *y;
        sv_str text_x, text_y;
        svi_node_child_at(a, i, &x, &text_x);
        svi_node_child_at(b, i, &y, &text_y);
        if (!x != !y || !sv_str_eq(text_x, text_y) || (x && !same(x, y))) return false;
    }
    return true;
}

static void again(sv_str bytes, sv_str ns, const sv_node *root)
{
    sv_stanza *stanza = NULL;
    sv_err err = {0};
    const sv_status status = svi_stanza_parse(&acct, NULL, bytes, ns, &stanza, &err);
    if (status != SV_OK) fprintf(stderr, "%s: %.*s\n", err.text, (int)bytes.n, bytes.p);
    MUST(status == SV_OK);
    MUST(same(root, svi_stanza_root(stanza)));
    svi_stanza_unref(&stanza);
}

static void round_trip(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    svi_stanza_write(&buf, stanza, SVI_FLAVOUR_ALONE, NULL);
    again(svi_buf_str(&buf), SV_STR_NONE, root);
    svi_buf_clear(&buf);
    svi_node_write(&buf, root, SV_STR(SVI_NS_CLIENT));
    again(svi_buf_str(&buf), SV_STR(SVI_NS_CLIENT), root);
    /* the client flavour turns a jabber:server root into jabber:client, by design */
    if (!sv_str_eq(svi_node_ns(root), SV_STR(SVI_NS_SERVER))) {
        svi_buf_clear(&buf);
        svi_stanza_write(&buf, stanza, SVI_FLAVOUR_CLIENT, NULL);
        again(svi_buf_str(&buf), SV_STR(SVI_NS_CLIENT), root);
    }
    svi_buf_free(&buf);
}

/* --- one stream ------------------------------------------------------------------------------------- */

typedef struct run {
    svi_parser *parser;
    svi_buf events;
    bool check; /* also do the round trip */
    bool pauses;
    bool over;
} run;

static void on_header(void *ctx, sv_stanza *take)
{
    run *r = ctx;
    MUST(!r->over);
    svi_buf_putc(&r->events, 'H');
    svi_node_write(&r->events, svi_stanza_root(take), SV_STR_NONE);
    svi_stanza_unref(&take);
    if (r->pauses) svi_parser_pause(r->parser);
}

static void on_stanza(void *ctx, sv_stanza *take)
{
    run *r = ctx;
    MUST(!r->over);
    svi_buf_putc(&r->events, 'S');
    svi_node_write(&r->events, svi_stanza_root(take), SV_STR_NONE);
    if (r->check) round_trip(take);
    svi_stanza_unref(&take);
    if (r->pauses) svi_parser_pause(r->parser);
}

static void on_end(void *ctx)
{
    run *r = ctx;
    MUST(!r->over);
    r->over = true;
    svi_buf_putc(&r->events, 'E');
}

static void on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    run *r = ctx;
    MUST(!r->over && text && fault != SVI_XML_OK);
    r->over = true;
    /* which of two faults is seen first may depend on the pieces, that there is one may not */
    svi_buf_putc(&r->events, 'F');
}

static const svi_parser_calls calls = {on_header, on_stanza, on_end, on_fault};

/* Feeds all of `bytes`; the piece sizes are taken from `sizes` (round and round), 0 being all the rest.
 * Each piece is a copy of its own, so that reads behind it are seen. */
static void feed(run *r, sv_str bytes, sv_str sizes)
{
    size_t used = 0;
    for (size_t i = 0; used < bytes.n && !r->over; i++) {
        const size_t want = sizes.n ? (unsigned char)sizes.p[i % sizes.n] : 0;
        const sv_str piece = svi_str_sub(bytes, used, want ? want : bytes.n);
        char *copy = malloc(piece.n);
        MUST(copy);
        memcpy(copy, piece.p, piece.n);
        const size_t eaten = svi_parser_feed(r->parser, (sv_str){copy, piece.n});
        free(copy);
        MUST(eaten <= piece.n && (eaten == piece.n || r->pauses || r->over));
        used += eaten;
        svi_parser_go(r->parser);
        if (want % 3 == 1) svi_parser_rest(r->parser);
    }
    if (!r->over) svi_parser_feed(r->parser, SV_STR_NONE); /* an end that a pause held back */
}

static void open_run(run *r, const svi_xml_limits *limits)
{
    svi_buf_init(&r->events, &acct);
    r->parser = svi_parser_new(&acct, NULL, limits, &calls, r);
}

static void close_run(run *r)
{
    svi_parser_free(&r->parser);
    svi_buf_free(&r->events);
}

/* First byte: how many piece sizes follow, and whether a good header goes before. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const sv_str input = {(const char *)data, size};
    const size_t count = data[0] & 7;
    const sv_str sizes = svi_str_sub(input, 1, count);
    const sv_str bytes = svi_str_sub(input, 1 + sizes.n, size);
    svi_xml_limits limits = svi_xml_limits_stranger();
    if (data[0] & 16) limits.stanza_bytes = limits.token_bytes = 600;
    run whole = {.check = true}, pieces = {.pauses = (data[0] & 32) != 0};
    open_run(&whole, &limits);
    open_run(&pieces, &limits);
    if (data[0] & 8) {
        const sv_str header =
            SV_STR("<stream:stream xmlns='jabber:client' xmlns:stream='" SVI_NS_STREAM
                   "' xmlns:q='urn:q' version='1.0'>");
        feed(&whole, header, SV_STR_NONE);
        feed(&pieces, header, sizes);
    }
    feed(&whole, bytes, SV_STR_NONE);
    feed(&pieces, bytes, sizes);
    /* what is wrong in a long tag is only seen when the tag ends */
    feed(&whole, SV_STR("<"), SV_STR_NONE);
    feed(&pieces, SV_STR("<"), SV_STR_NONE);
    const sv_str one = svi_buf_str(&whole.events), other = svi_buf_str(&pieces.events);
    if (!sv_str_eq(one, other))
        fprintf(stderr, "whole: %.*s\npieces: %.*s\n", (int)one.n, one.p, (int)other.n, other.p);
    MUST(sv_str_eq(one, other));
    close_run(&whole);
    close_run(&pieces);
    MUST(acct.live_count == 0);
    return 0;
}
