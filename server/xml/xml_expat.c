/* What expat reports: names split, limits checked, stanzas built; and making and dropping expat. */
#include "xml/xml_expat.h"

#include "xml/xml_writer.h"

/* Between namespace, name and prefix in what expat reports: a byte that no UTF-8 text holds, so that a
 * namespace cannot contain it (threats X4). */
#define SEPARATOR '\xFF'

enum {
    RENEW_BYTES = 256 * 1024, /* parsed by one expat before there is a new one */
    HEAD_BYTES = 768 /* namespaces that a header may declare; kept as long as the stream */
};

/* Debian's 2.5.0 has it by a security update, upstream since 2.6.0. Weak, since a library without it has
 * no reparse deferral that would have to be switched off. */
extern XML_Bool XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled)
    __attribute__((weak));

/* Since 2.8.0; where it is missing, the shorter salt has to do. */
extern XML_Bool XML_SetHashSalt16Bytes(XML_Parser parser, const uint8_t entropy[16])
    __attribute__((weak));

/* Newer releases ask for 64-bit forms of these three, which older ones lack. They are the same
 * here: a position is a long of 64 bits, and a token is bounded far below 2^31 bytes. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static int64_t event_start(const svi_parser *p)
{
    return XML_GetCurrentByteIndex(p->expat);
}

static int64_t event_bytes(const svi_parser *p)
{
    return XML_GetCurrentByteCount(p->expat);
}

static void salt_shortly(svi_parser *p, uint64_t salt)
{
    (void)XML_SetHashSalt(p->expat, (unsigned long)salt);
}
#pragma GCC diagnostic pop
_Static_assert(sizeof(XML_Index) >= 8, "positions in a stream of any length");

/* --- stopping ------------------------------------------------------------------------------------ */

static int64_t event_end(const svi_parser *p)
{
    return event_start(p) + event_bytes(p);
}

static void stop(svi_parser *p)
{
    if (p->stopped) return;
    p->stopped = true;
    p->stop_at = event_end(p);
    XML_StopParser(p->expat, XML_FALSE);
}

static void fail(svi_parser *p, svi_xml_fault fault, const char *text)
{
    if (p->stopped) return;
    p->fault = fault;
    p->fault_text = text;
    stop(p);
}

/* --- expat's handlers ---------------------------------------------------------------------------- */

typedef struct full_name {
    sv_str ns;
    sv_str local;
    sv_str prefix;
} full_name;

/* "namespace SEP local SEP prefix", without prefix, or "local" alone. */
static full_name split_name(const char *raw)
{
    full_name name = {.local = sv_str_of(raw)};
    const char *sep = memchr(raw, SEPARATOR, name.local.n);
    if (!sep) return name;
    name.ns = (sv_str){raw, (size_t)(sep - raw)};
    name.local = (sv_str){sep + 1, name.local.n - name.ns.n - 1};
    sep = memchr(name.local.p, SEPARATOR, name.local.n);
    if (!sep) return name;
    const size_t local = (size_t)(sep - name.local.p);
    name.prefix = (sv_str){sep + 1, name.local.n - local - 1};
    name.local.n = local;
    return name;
}

/* Parsed and wire size of what is open (threats X6, X9), and what it will take on the wire again: there is no
 * prefix for a namespace that we write, so that many short names in one long namespace become long. Those of
 * attributes are part of the parsed size. */
static void check_size(svi_parser *p)
{
    if (svi_build_cost(&p->build) > p->limits.stanza_bytes)
        fail(p, SVI_XML_TOO_BIG, "stanza takes too much memory");
    else if (p->build.ns_bytes > p->limits.stanza_bytes)
        fail(p, SVI_XML_TOO_BIG, "namespaces too long");
    else if (p->stage == IN_STREAM &&
             event_end(p) - p->stanza_start > (int64_t)p->limits.stanza_bytes)
        fail(p, SVI_XML_TOO_BIG, "stanza too long");
}

/* Expat keeps each name of an element, attribute or prefix that it has seen, in tables that only grow. So it
 * is made anew from time to time, and not only when the peer falls silent: nothing a peer sends enters a
 * table that outlives it for long (architecture 3.1). */
static bool has_had_enough(const svi_parser *p)
{
    return event_end(p) > RENEW_BYTES;
}

static const svi_atoms *atoms_now(const svi_parser *p)
{
    return p->atoms ? atomic_load_explicit(p->atoms, memory_order_acquire) : NULL;
}

static void open_element(svi_parser *p, const full_name *name, const XML_Char **atts)
{
    svi_build_open(&p->build, atoms_now(p), name->local, name->ns);
    size_t count = 0;
    for (; atts[0] && !p->stopped; atts += 2) {
        if (++count > p->limits.attrs) fail(p, SVI_XML_TOO_BIG, "too many attributes");
        const full_name attr = split_name(atts[0]);
        svi_build_put_attr(&p->build, attr.local, attr.ns, sv_str_of(atts[1]), false);
    }
    check_size(p);
}

/* RFC 6120 4.8.5: elements in the content namespace must not have a prefix. */
static bool prefix_ok(const svi_parser *p, const full_name *name)
{
    if (name->prefix.n == 0) return true;
    const bool content =
        sv_str_eq(name->ns, SV_STR(SVI_NS_CLIENT)) || sv_str_eq(name->ns, SV_STR(SVI_NS_SERVER));
    return !content || !sv_str_eq(name->ns, svi_parser_content_ns(p));
}

/* Completes what on_ns has collected to the header that a later expat is told. */
static void make_replay(svi_parser *p, const full_name *name)
{
    svi_buf decls = p->head;
    svi_buf_init(&p->head, p->acct);
    svi_buf_space(&p->head, decls.len + name->prefix.n + name->local.n + 3);
    svi_buf_put(&p->head, (sv_str){decls.data, p->content_bytes});
    svi_buf_putc(&p->head, '<');
    svi_buf_put(&p->head, name->prefix);
    if (name->prefix.n) svi_buf_putc(&p->head, ':');
    svi_buf_put(&p->head, name->local);
    svi_buf_put(&p->head, svi_str_sub(svi_buf_str(&decls), p->content_bytes, decls.len));
    svi_buf_putc(&p->head, '>');
    svi_buf_free(&decls);
}

static void report_header(svi_parser *p, const full_name *name)
{
    if (event_end(p) + (int64_t)p->lead_bytes > (int64_t)p->limits.header_bytes)
        fail(p, SVI_XML_TOO_BIG, "stream header too long");
    if (p->stopped) return;
    make_replay(p, name);
    const sv_str content = svi_parser_content_ns(p);
    if (content.n)
        svi_build_put_attr(&p->build, SV_STR("xmlns"), SV_STR(SVI_NS_XMLNS), content, false);
    svi_build_close(&p->build);
    p->stage = IN_STREAM;
    sv_stanza *header = svi_build_finish(&p->build);
    svi_build_clear(&p->build);
    p->calls.header(p->ctx, header);
    if (p->paused) stop(p);
}

static void XMLCALL on_start(void *ctx, const XML_Char *raw, const XML_Char **atts)
{
    svi_parser *p = ctx;
    if (p->stopped) return;
    p->depth++;
    p->ns_decls = 0;
    if (p->replaying) return;
    const full_name name = split_name(raw);
    if (event_bytes(p) > (int64_t)svi_parser_token_bytes(p))
        fail(p, SVI_XML_TOO_BIG, "tag too long");
    else if (p->depth > p->limits.depth + 1)
        fail(p, SVI_XML_TOO_BIG, "too many levels");
    else if (svi_build_elements(&p->build) >= p->limits.elements)
        fail(p, SVI_XML_TOO_BIG, "too many elements");
    else if (!prefix_ok(p, &name))
        fail(p, SVI_XML_BAD_PREFIX, "prefix on an element of the content namespace");
    if (p->stopped) return;
    if (p->depth == 2) p->stanza_start = event_start(p);
    open_element(p, &name, atts);
    if (p->depth == 1) report_header(p, &name);
}

static void on_stream_end(svi_parser *p)
{
    if (p->stopped) {
        p->end_pending =
            p->paused && p->depth == 1; /* <stream:stream .../>, paused by its header */
        return;
    }
    stop(p);
    p->stage = ENDED;
    p->calls.end(p->ctx);
}

static void XMLCALL on_end(void *ctx, const XML_Char *raw)
{
    svi_parser *p = ctx;
    (void)raw;
    if (p->depth == 1 && p->stage == IN_STREAM) on_stream_end(p);
    if (p->stopped) return;
    p->depth--;
    svi_build_close(&p->build);
    if (p->depth > 1) return;
    check_size(p);
    if (p->stopped) return;
    sv_stanza *stanza = svi_build_finish(&p->build);
    svi_build_clear(&p->build);
    p->calls.stanza(p->ctx, stanza);
    if (p->paused || has_had_enough(p)) stop(p);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int length)
{
    svi_parser *p = ctx;
    if (p->stopped) return;
    const sv_str run = {text, (size_t)length};
    if (p->depth > 1) {
        svi_build_text(&p->build, run);
        check_size(p);
    } else if (svi_str_trim(run).n) {
        /* Well-formed, but nothing that can be processed: 4.9.3.1. White space keeps alive (4.6.1, 11.7). */
        fail(p, SVI_XML_BAD_FORMAT, "text between stanzas");
    }
}

/* Not white space between stanzas, even if it holds nothing else; rest relies on there being none. */
static void XMLCALL on_cdata(void *ctx)
{
    svi_parser *p = ctx;
    if (p->depth == 1) fail(p, SVI_XML_BAD_FORMAT, "CDATA section between stanzas");
}

static void XMLCALL on_ns(void *ctx, const XML_Char *prefix, const XML_Char *uri)
{
    svi_parser *p = ctx;
    if (p->stopped || p->replaying) return;
    if (event_bytes(p) > (int64_t)svi_parser_token_bytes(p))
        fail(p, SVI_XML_TOO_BIG, "tag too long");
    if (++p->ns_decls > p->limits.ns_decls)
        fail(p, SVI_XML_TOO_BIG, "too many namespace declarations");
    if (p->stage != BEFORE_HEADER || p->stopped) return;
    const sv_str ns = sv_str_of(uri);
    if (!prefix) {
        /* the content namespace stands before the declarations collected so far */
        svi_buf decls = p->head;
        svi_buf_init(&p->head, p->acct);
        svi_buf_put(&p->head, ns);
        p->content_bytes = ns.n;
        if (decls.len) svi_buf_put(&p->head, svi_buf_str(&decls));
        svi_buf_free(&decls);
    }
    svi_buf_put(&p->head, prefix ? SV_STR(" xmlns:") : SV_STR(" xmlns"));
    svi_buf_put(&p->head, sv_str_of(prefix));
    svi_buf_put(&p->head, SV_STR("='"));
    svi_write_attr(&p->head, ns);
    svi_buf_putc(&p->head, '\'');
    if (p->head.len > HEAD_BYTES) fail(p, SVI_XML_TOO_BIG, "namespaces of the header too long");
}

/* RFC 6120 11.5, 11.6: UTF-8 only; `standalone` may be ignored. */
static void XMLCALL on_declaration(void *ctx, const XML_Char *version, const XML_Char *encoding,
                                   int standalone)
{
    (void)version, (void)standalone;
    if (encoding && !svi_str_eq_fold(sv_str_of(encoding), SV_STR("UTF-8")))
        fail(ctx, SVI_XML_UNSUPPORTED_ENCODING, "only UTF-8 is spoken here");
}

/* RFC 6120 11.1: what XMPP forbids of XML. An entity that is not predefined can't have been declared without a
 * DOCTYPE, and then it is an error of expat's (fault_of). */
static void XMLCALL on_comment(void *ctx, const XML_Char *text)
{
    (void)text;
    fail(ctx, SVI_XML_RESTRICTED, "comment");
}

static void XMLCALL on_instruction(void *ctx, const XML_Char *target, const XML_Char *data)
{
    (void)target, (void)data;
    fail(ctx, SVI_XML_RESTRICTED, "processing instruction");
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal)
{
    (void)name, (void)system_id, (void)public_id, (void)has_internal;
    fail(ctx, SVI_XML_RESTRICTED, "document type declaration");
}

/* --- expat's life -------------------------------------------------------------------------------- */

void svi_expat_drop(svi_parser *p)
{
    if (p->expat) XML_ParserFree(p->expat);
    p->expat = NULL;
    p->fed = 0;
    p->token = (svi_token){0};
    svi_buf_free(&p->held);
    p->stopped = false;
}

/* Whom expat's memory is charged to: its allocation functions are given no context.
 * lint: allow global (set before each call that may allocate) */
static _Thread_local svi_acct *charged;

static void *get_memory(size_t bytes)
{
    return svi_alloc_raw(charged, bytes);
}

static void *resize_memory(void *mem, size_t bytes)
{
    return svi_realloc(charged, mem, bytes);
}

enum XML_Status svi_expat_parse(svi_parser *p, sv_str bytes)
{
    SV_ASSERT(bytes.n <= INT32_MAX);
    charged = p->acct;
    return XML_Parse(p->expat, bytes.p, (int)bytes.n, 0);
}

/* Unguessable by a peer: keyed hashes of values that no two parsers share at a time (threats X8). */
static void salt(svi_parser *p)
{
    struct {
        uintptr_t place;
        uint64_t number, half;
    } unique = {.place = (uintptr_t)p, .number = ++p->expats_made};
    uint64_t salts[2];
    for (; unique.half < 2; unique.half++)
        salts[unique.half] = svi_hash((sv_str){(const char *)&unique, sizeof unique});
    uint8_t bytes[sizeof salts];
    memcpy(bytes, salts, sizeof salts);
    if (XML_SetHashSalt16Bytes)
        (void)XML_SetHashSalt16Bytes(p->expat, bytes);
    else
        salt_shortly(p, salts[0]);
}

static void set_handlers(svi_parser *p)
{
    XML_SetUserData(p->expat, p);
    XML_SetElementHandler(p->expat, on_start, on_end);
    XML_SetCharacterDataHandler(p->expat, on_text);
    XML_SetStartCdataSectionHandler(p->expat, on_cdata);
    XML_SetStartNamespaceDeclHandler(p->expat, on_ns);
    XML_SetXmlDeclHandler(p->expat, on_declaration);
    XML_SetCommentHandler(p->expat, on_comment);
    XML_SetProcessingInstructionHandler(p->expat, on_instruction);
    XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
}

void svi_expat_make(svi_parser *p)
{
    if (p->expat) return;
    static const XML_Memory_Handling_Suite memory = {get_memory, resize_memory, svi_free};
    static const XML_Char separator[] = {SEPARATOR, '\0'};
    charged = p->acct;
    p->expat = XML_ParserCreate_MM("UTF-8", &memory, separator);
    SV_ASSERT(p->expat != NULL); /* memory exhausted */
    XML_SetReturnNSTriplet(p->expat, 1);
    salt(p);
    if (XML_SetReparseDeferralEnabled) XML_SetReparseDeferralEnabled(p->expat, XML_FALSE);
    set_handlers(p);
    p->depth = 0;
    if (p->stage != IN_STREAM) return;
    const sv_str replay = svi_str_sub(svi_buf_str(&p->head), p->content_bytes, p->head.len);
    p->replaying = true;
    const enum XML_Status status = svi_expat_parse(p, replay);
    p->replaying = false;
    SV_ASSERT(status == XML_STATUS_OK && p->depth == 1);
    p->fed = (int64_t)replay.n;
}

int64_t svi_expat_unfinished(const svi_parser *p)
{
    return p->fed - event_start(p);
}
