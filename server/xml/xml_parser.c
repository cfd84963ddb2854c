/* Parser: drives expat, enforces the limits on what is not complete yet, pauses, restarts and rests.
 *
 * Every pause, end and fault stops expat for good, and so does a stanza's end when it has seen enough; what
 * follows is parsed by a new one that is first told the stream header's name and namespace declarations
 * (`head`). So no byte is ever kept twice. */
#include "xml/xml_expat.h"

#define PARSER_MAGIC 0x58504152u

#define CHUNK_BYTES ((size_t)512) /* expat keeps a buffer of twice the largest it was given at once */

enum {
    HOLD_BYTES = 256,  /* longer unfinished tags are held back until they are complete */
    OTHER_BYTES = 1024 /* no other markup that XMPP allows is longer */
};

/* What is said before login has four levels at most and few attributes, but expat takes up to half a KiB for
 * a level, a name or a namespace, and a buffer for the whole of a tag (architecture 11: an unauthenticated
 * stream takes less than 24 KiB). */
svi_xml_limits svi_xml_limits_stranger(void)
{
    return (svi_xml_limits){.stanza_bytes = (size_t)5 * 1024,
                            .token_bytes = 1024,
                            .header_bytes = (size_t)2 * 1024,
                            .depth = 10,
                            .elements = 20,
                            .attrs = 20,
                            .ns_decls = 8};
}

svi_xml_limits svi_xml_limits_unbound(void)
{
    svi_xml_limits limits = svi_xml_limits_stranger();
    limits.stanza_bytes = limits.token_bytes = (size_t)10 * 1024;
    return limits;
}

svi_xml_limits svi_xml_limits_user(void)
{
    const size_t most = (size_t)256 * 1024;
    return (svi_xml_limits){.stanza_bytes = most,
                            .token_bytes = most,
                            .header_bytes = (size_t)2 * 1024,
                            .depth = 100,
                            .elements = SIZE_MAX,
                            .attrs = 100,
                            .ns_decls = 50};
}

svi_parser *svi_parser_new(svi_acct *acct, const svi_atoms *const _Atomic *atoms,
                           const svi_xml_limits *limits, const svi_parser_calls *calls, void *ctx)
{
    SV_ASSERT(calls->header && calls->stanza && calls->end && calls->fault);
    svi_parser *p = svi_alloc(acct, sizeof *p);
    p->magic = PARSER_MAGIC;
    p->acct = acct;
    p->atoms = atoms;
    p->limits = *limits;
    p->calls = *calls;
    p->ctx = ctx;
    svi_build_init(&p->build, acct, NULL);
    svi_buf_init(&p->head, acct);
    svi_buf_init(&p->held, acct);
    return p;
}

void svi_parser_free(svi_parser **parser)
{
    svi_parser *p = *parser;
    if (!p) return;
    SV_CHECK(p, PARSER_MAGIC);
    SV_ASSERT(!p->feeding);
    svi_expat_drop(p);
    svi_build_release(&p->build);
    svi_buf_free(&p->head);
    p->magic = 0;
    svi_free(p);
    *parser = NULL;
}

void svi_parser_set_limits(svi_parser *parser, const svi_xml_limits *limits)
{
    SV_CHECK(parser, PARSER_MAGIC);
    parser->limits = *limits;
}

size_t svi_parser_token_bytes(const svi_parser *parser)
{
    return parser->stage == BEFORE_HEADER ? parser->limits.header_bytes : parser->limits.token_bytes;
}

sv_str svi_parser_content_ns(const svi_parser *parser)
{
    SV_CHECK(parser, PARSER_MAGIC);
    return (sv_str){parser->head.data, parser->content_bytes};
}

/* --- feeding ------------------------------------------------------------------------------------- */

static void report_fault(svi_parser *p, svi_xml_fault fault, const char *text)
{
    p->stage = FAULTED;
    svi_build_release(&p->build);
    p->feeding = true;
    p->calls.fault(p->ctx, fault, text);
    p->feeding = false;
}

static svi_xml_fault fault_of(enum XML_Error error)
{
    switch (error) {
    case XML_ERROR_UNDEFINED_ENTITY:
    case XML_ERROR_RECURSIVE_ENTITY_REF:
    case XML_ERROR_EXTERNAL_ENTITY_HANDLING:
    case XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF:
    case XML_ERROR_AMPLIFICATION_LIMIT_BREACH: return SVI_XML_RESTRICTED;
    case XML_ERROR_UNKNOWN_ENCODING:
    case XML_ERROR_INCORRECT_ENCODING: return SVI_XML_UNSUPPORTED_ENCODING;
    default: return SVI_XML_NOT_WELL_FORMED;
    }
}

/* The first bytes of a stream, before expat sees them: it would follow a byte-order mark of UTF-16 even
 * though it was told UTF-8 (threats X5). White space is skipped, it may still belong to the stream before
 * (RFC 6120 11.7); U+FEFF is no mark (11.6), so it is text in the wrong place. Returns the bytes skipped. */
static size_t skip_lead(svi_parser *p, sv_str bytes, svi_xml_fault *fault_out)
{
    size_t i = 0;
    for (; i < bytes.n && !p->begun; i++) {
        const unsigned char c = (unsigned char)bytes.p[i];
        if (c == '<') break;
        if (c == 0x00 || c == 0xFE || c == 0xFF)
            *fault_out = SVI_XML_UNSUPPORTED_ENCODING;
        else if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            *fault_out = SVI_XML_NOT_WELL_FORMED;
        else if (++p->lead_bytes > p->limits.header_bytes)
            *fault_out = SVI_XML_TOO_BIG;
        if (*fault_out != SVI_XML_OK) return i;
    }
    if (i == bytes.n) return i;
    p->begun = true;
    const size_t second = p->fed == 0 ? i + 1 : i;
    if (p->fed <= 1 && second < bytes.n && bytes.p[second] == 0) /* `<` in UTF-16 or UTF-32 */
        *fault_out = SVI_XML_UNSUPPORTED_ENCODING;
    return i;
}

/* Follows a token from its first byte to the `>` that ends a tag. */
static void scan_token(svi_token *token, sv_str bytes)
{
    for (size_t i = 0; i < bytes.n && !token->ended; i++) {
        const char c = bytes.p[i];
        switch (token->kind) {
        case SVI_TOKEN_NONE: token->kind = c == '<' ? SVI_TOKEN_LESS : SVI_TOKEN_OTHER; break;
        case SVI_TOKEN_LESS:
            token->kind = c == '!' || c == '?' ? SVI_TOKEN_OTHER : SVI_TOKEN_TAG;
            break;
        case SVI_TOKEN_TAG:
            if (c == '<') /* no tag may hold it, so that it is time for expat to say so */
                token->ended = true;
            else if (token->quote)
                token->quote = c == token->quote ? 0 : token->quote;
            else if (c == '\'' || c == '"')
                token->quote = c;
            else
                token->ended = c == '>';
            break;
        case SVI_TOKEN_OTHER: return;
        }
    }
}

static int64_t unfinished(const svi_parser *p)
{
    return svi_expat_unfinished(p) + (int64_t)p->held.len;
}

/* Keeps the piece from expat if it goes on with a long tag and doesn't end it. */
static bool hold_back(svi_parser *p, sv_str piece)
{
    if (p->token.kind != SVI_TOKEN_TAG || unfinished(p) < HOLD_BYTES) return false;
    svi_token next = p->token;
    scan_token(&next, piece);
    if (next.ended) return false;
    p->token = next;
    svi_buf_put(&p->held, piece);
    return true;
}

/* After expat has taken `piece`: brings `token` to the unfinished one, which began in the piece or before. */
static void follow_token(svi_parser *p, sv_str piece)
{
    const int64_t open = svi_expat_unfinished(p);
    if (open <= (int64_t)piece.n) p->token = (svi_token){0};
    const size_t part = open < (int64_t)piece.n ? (size_t)open : piece.n;
    scan_token(&p->token, svi_str_sub(piece, piece.n - part, part));
}

/* Limits on what has not come to an end yet; what has was checked by its handler. */
static bool too_big(const svi_parser *p)
{
    const int64_t open = unfinished(p), all = p->fed + (int64_t)p->held.len;
    if (open > (int64_t)svi_parser_token_bytes(p)) return true;
    if (open > OTHER_BYTES && p->token.kind == SVI_TOKEN_OTHER) return true;
    if (p->depth == 0) return all + (int64_t)p->lead_bytes > (int64_t)p->limits.header_bytes;
    return (p->depth > 1 ? all - p->stanza_start : open) > (int64_t)p->limits.stanza_bytes;
}

static void start_over(svi_parser *p)
{
    svi_expat_drop(p);
    svi_build_release(&p->build);
    svi_buf_free(&p->head);
    p->stage = BEFORE_HEADER;
    p->content_bytes = p->lead_bytes = p->depth = p->ns_decls = 0;
    p->begun = p->paused = p->end_pending = p->want_restart = false;
    p->fault = SVI_XML_OK;
}

/* After expat was stopped: by a fault, the end, or a pause. Returns expat's index of the first byte that
 * was not consumed. */
static int64_t settle(svi_parser *p)
{
    const int64_t stop_at = p->stop_at;
    const svi_xml_fault fault = p->fault;
    if (p->want_restart) {
        start_over(p);
        return stop_at;
    }
    svi_expat_drop(p);
    p->depth = p->stage == IN_STREAM ? 1 : p->depth;
    if (fault != SVI_XML_OK) report_fault(p, fault, p->fault_text);
    return stop_at;
}

/* Ends the stream because of an error of expat's, or a limit (`error` is none). */
static void give_up(svi_parser *p, enum XML_Error error)
{
    SV_ASSERT(error != XML_ERROR_NO_MEMORY);
    svi_expat_drop(p);
    if (error == XML_ERROR_NONE)
        report_fault(p, SVI_XML_TOO_BIG, "what is not complete is too long");
    else
        report_fault(p, fault_of(error), XML_ErrorString(error));
}

/* Gives expat what was held back, then the piece. */
static enum XML_Status give(svi_parser *p, sv_str piece)
{
    enum XML_Status status = XML_STATUS_OK;
    p->feeding = true;
    if (p->held.len) {
        p->fed += (int64_t)p->held.len;
        status = svi_expat_parse(p, svi_buf_str(&p->held));
        svi_buf_free(&p->held);
    }
    if (status == XML_STATUS_OK) {
        p->fed += (int64_t)piece.n;
        p->last_byte = piece.p[piece.n - 1];
        status = svi_expat_parse(p, piece);
    }
    p->feeding = false;
    return status;
}

/* One piece for expat. Returns the bytes consumed. */
static size_t feed_piece(svi_parser *p, sv_str piece)
{
    svi_expat_make(p);
    if (!hold_back(p, piece)) {
        const int64_t before = p->fed + (int64_t)p->held.len;
        const enum XML_Status status = give(p, piece);
        if (p->stopped) {
            const int64_t consumed = settle(p) - before;
            if (p->stage == FAULTED) return piece.n;
            SV_ASSERT(consumed >= 0 && consumed <= (int64_t)piece.n);
            return (size_t)consumed;
        }
        if (status != XML_STATUS_OK) {
            give_up(p, XML_GetErrorCode(p->expat));
            return piece.n;
        }
        follow_token(p, piece);
    }
    if (too_big(p)) give_up(p, XML_ERROR_NONE);
    return piece.n;
}

static bool accepts(const svi_parser *p)
{
    return !p->paused && (p->stage == BEFORE_HEADER || p->stage == IN_STREAM);
}

bool svi_parser_is_ending(const svi_parser *parser)
{
    SV_CHECK(parser, PARSER_MAGIC);
    return parser->end_pending && accepts(parser);
}

size_t svi_parser_feed(svi_parser *parser, sv_str bytes)
{
    svi_parser *p = parser;
    SV_CHECK(p, PARSER_MAGIC);
    SV_ASSERT(!p->feeding);
    if (!accepts(p)) return 0;
    if (p->end_pending) {
        p->end_pending = false;
        p->stage = ENDED;
        p->feeding = true;
        p->calls.end(p->ctx);
        p->feeding = false;
        return 0;
    }
    size_t used = 0;
    if (p->stage == BEFORE_HEADER) {
        svi_xml_fault fault = SVI_XML_OK;
        used = skip_lead(p, bytes, &fault);
        if (fault != SVI_XML_OK) {
            svi_expat_drop(p);
            report_fault(p, fault, "not the start of an XML stream in UTF-8");
            return used;
        }
    }
    while (used < bytes.n && accepts(p)) {
        const sv_str piece = svi_str_sub(bytes, used, CHUNK_BYTES);
        const size_t eaten = feed_piece(p, piece);
        used += eaten;
        if (eaten < piece.n && p->stage != IN_STREAM) break; /* a new stream looks at its lead first */
    }
    return used;
}

void svi_parser_pause(svi_parser *parser)
{
    SV_CHECK(parser, PARSER_MAGIC);
    SV_ASSERT(parser->feeding);
    parser->paused = true;
}

void svi_parser_go(svi_parser *parser)
{
    SV_CHECK(parser, PARSER_MAGIC);
    SV_ASSERT(!parser->want_restart);
    parser->paused = false;
}

void svi_parser_restart(svi_parser *parser)
{
    SV_CHECK(parser, PARSER_MAGIC);
    if (!parser->feeding) {
        start_over(parser);
        return;
    }
    SV_ASSERT(parser->paused);
    parser->want_restart = true;
}

bool svi_parser_rest(svi_parser *parser)
{
    svi_parser *p = parser;
    SV_CHECK(p, PARSER_MAGIC);
    if (p->feeding) return false;
    if (p->expat) {
        if (p->stage != IN_STREAM || p->depth != 1) return false;
        const int64_t open = unfinished(p);
        if (open > 1 || (open == 1 && p->last_byte != '\r')) return false; /* CR waits for LF */
        svi_expat_drop(p);
    }
    svi_build_release(&p->build);
    return true;
}
