/* Parses one element from bytes of our own: what a store or a test script holds. */
#include "base/base_str.h"
#include "xml/xml_parser.h"
#include "xml/xml_writer.h"

typedef struct once {
    sv_stanza *stanza;
    size_t count;
    bool ended;
    sv_err fault;
} once;

static void on_header(void *ctx, sv_stanza *take)
{
    (void)ctx;
    svi_stanza_unref(&take);
}

static void on_stanza(void *ctx, sv_stanza *take)
{
    once *o = ctx;
    if (o->count++ == 0)
        o->stanza = take;
    else
        svi_stanza_unref(&take);
}

static void on_end(void *ctx)
{
    ((once *)ctx)->ended = true;
}

static void on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    (void)fault;
    svi_err(&((once *)ctx)->fault, SV_EINVAL, "not well-formed: %s", text);
}

/* Our own bytes were bounded when they came in; wrapped in carbons and forwards they may have grown. */
static svi_xml_limits own_limits(void)
{
    svi_xml_limits limits = svi_xml_limits_user();
    limits.stanza_bytes = limits.token_bytes = limits.header_bytes = (size_t)64 << 20;
    limits.depth = limits.attrs = limits.ns_decls = 10000;
    return limits;
}

sv_status svi_stanza_parse(svi_acct *acct, const svi_atoms *atoms, sv_str bytes, sv_str ns,
                           sv_stanza **stanza_out, sv_err *err)
{
    static const svi_parser_calls calls = {on_header, on_stanza, on_end, on_fault};
    const svi_xml_limits limits = own_limits();
    const svi_atoms *_Atomic holder = atoms;
    once o = {.stanza = NULL};
    svi_buf head;
    svi_buf_init(&head, acct);
    svi_buf_put(&head, SV_STR("<stream:stream xmlns:stream='" SVI_NS_STREAM "' xmlns='"));
    svi_write_attr(&head, ns);
    svi_buf_put(&head, SV_STR("'>"));
    svi_parser *parser = svi_parser_new(acct, &holder, &limits, &calls, &o);
    svi_parser_feed(parser, svi_buf_str(&head));
    svi_parser_feed(parser, bytes);
    const bool whole = svi_parser_rest(parser) && !o.ended && o.count == 1;
    svi_parser_free(&parser);
    svi_buf_free(&head);
    if (o.fault.code == SV_OK && whole) {
        *stanza_out = o.stanza;
        return SV_OK;
    }
    svi_stanza_unref(&o.stanza);
    if (o.fault.code != SV_OK) return svi_err(err, SV_EINVAL, "%s", o.fault.text);
    return svi_err(err, SV_EINVAL, "not exactly one whole element");
}
