/* State of a parser, and the part of it that deals with expat.
 *
 * Private to server/xml: xml_expat.c has the handlers, xml_parser.c what callers see. */
#ifndef SVI_XML_EXPAT_H
#define SVI_XML_EXPAT_H

#include <expat.h>

#include "base/base_str.h"
#include "xml/xml_build.h"
#include "xml/xml_parser.h"

/* How far a stream has come. */
typedef enum svi_stage { BEFORE_HEADER, IN_STREAM, ENDED, FAULTED } svi_stage;

/* The token that expat has not seen the end of. It would look at all of it again with each byte that is added
 * (CVE-2023-52425), so a long one is held back until its end has come. */
typedef enum svi_token_kind {
    SVI_TOKEN_NONE,
    SVI_TOKEN_LESS, /* `<` and nothing more */
    SVI_TOKEN_TAG,
    SVI_TOKEN_OTHER /* nothing that may be long: comment, instruction, reference ... */
} svi_token_kind;

typedef struct svi_token {
    svi_token_kind kind;
    char quote; /* of the attribute value we are in, or 0 */
    bool ended; /* the `>` of a tag has come, or a `<` that ends it as wrong */
} svi_token;

struct svi_parser {
    uint32_t magic;
    svi_stage stage;
    bool feeding;
    bool paused;
    bool stopped;      /* expat was told to stop: ignore what it still reports */
    bool replaying;    /* expat is being told the stream header again */
    bool begun;        /* the first `<` of the stream has been seen */
    bool end_pending;  /* paused in a header that was an empty element */
    bool want_restart; /* asked for by a callback */
    char last_byte;
    svi_acct *acct;
    const svi_atoms *const _Atomic *atoms;
    void *ctx;
    svi_parser_calls calls;
    svi_xml_limits limits;
    XML_Parser expat; /* NULL at rest */
    uint64_t expats_made;
    svi_build build;
    svi_buf head; /* content namespace, then the header to replay */
    size_t content_bytes;
    size_t lead_bytes; /* white space before the header */
    size_t depth;      /* open elements, the stream's included */
    size_t ns_decls;   /* of the start tag being read */
    svi_token token;
    svi_buf held;         /* the end of a long token so far, not yet given to expat */
    int64_t fed;          /* bytes given to this expat */
    int64_t stanza_start; /* expat's index of the open stanza */
    int64_t stop_at;      /* expat's index behind what was reported last */
    svi_xml_fault fault;
    const char *fault_text;
};

/* How long a token may be now: the header has a limit of its own. */
size_t svi_parser_token_bytes(const svi_parser *parser);

/* Makes expat if there is none and tells it the stream header again if there was one. */
void svi_expat_make(svi_parser *parser);

/* Gives it bytes, fewer than 2^31; what it allocates is charged to the parser's account. */
enum XML_Status svi_expat_parse(svi_parser *parser, sv_str bytes);

/* Frees expat with all it holds. */
void svi_expat_drop(svi_parser *parser);

/* Bytes that expat keeps since the last event: a token that is not complete. */
int64_t svi_expat_unfinished(const svi_parser *parser);

#endif
