/* Parser: bytes of a stream to header, stanzas and end, by expat under hard limits (threats X1 to
 * X15).
 *
 * Explicit UTF-8, reparse deferral off and a cap of our own on one token; a long tag is held back
 * until it is complete, so that no byte is looked at often; DOCTYPE, comment, processing
 * instruction and undeclared entity are refused; the parsed size counts against the stanza limit as
 * well as the wire size (X9). At rest expat's memory is given back: only the header's namespace
 * declarations stay. */
#ifndef SVI_XML_PARSER_H
#define SVI_XML_PARSER_H

#include "xml/xml_stanza.h"

/* Stream errors a parser can raise (RFC 6120 4.9.3), as element names for the answer. */
typedef enum svi_xml_fault {
    SVI_XML_OK = 0,
    SVI_XML_NOT_WELL_FORMED,      /* 4.9.3.13 */
    SVI_XML_RESTRICTED,           /* 4.9.3.18 restricted-xml: DOCTYPE, comment, PI, entity */
    SVI_XML_UNSUPPORTED_ENCODING, /* 4.9.3.22 */
    SVI_XML_TOO_BIG,              /* 4.9.3.14 policy-violation: a limit was passed */
    SVI_XML_BAD_PREFIX,           /* 4.9.3.2 bad-namespace-prefix */
    SVI_XML_BAD_FORMAT            /* 4.9.3.1 bad-format: text between stanzas */
} svi_xml_fault;

typedef struct svi_xml_limits {
    size_t stanza_bytes; /* parsed size (svi_stanza_cost_bytes) and wire size of one top-level
                            element */
    size_t token_bytes;  /* one start tag or other markup */
    size_t header_bytes; /* stream header on the wire, with the white space before it */
    size_t depth;        /* levels below the stream element */
    size_t elements;     /* in one top-level element, itself included */
    size_t attrs;        /* attributes of one element */
    size_t ns_decls;     /* namespace declarations of one element */
} svi_xml_limits;

/* Limits before login (5 KiB, a header 2 KiB, a tag 1 KiB, 10 levels, 20 elements, 20 attributes, 8
 * declarations), of who has logged in and binds a resource (the same with 10 KiB: RFC 6120 13.12 rule 4 wants
 * 10000 bytes for a stanza), and after it (256 KiB, 100 levels, any number of elements, 100 attributes, 50
 * declarations). */
svi_xml_limits svi_xml_limits_stranger(void);
svi_xml_limits svi_xml_limits_unbound(void);
svi_xml_limits svi_xml_limits_user(void);

/* What the parser reports, from inside svi_parser_feed, on its thread. `take` is handed over (one
 * reference). After fault or end nothing more is reported. A callback may call svi_parser_pause. */
typedef struct svi_parser_calls {
    /* The stream element: attributes, no children. Declarations are no attributes, but for the
     * default namespace: it is there as `xmlns` in SVI_NS_XMLNS (the content namespace, RFC
     * 6120 4.8.2) if the header declares one. */
    void (*header)(void *ctx, sv_stanza *take);
    void (*stanza)(void *ctx, sv_stanza *take); /* a complete child of the stream element */
    void (*end)(void *ctx);                     /* </stream:stream> */
    void (*fault)(void *ctx, svi_xml_fault fault, const char *text);
} svi_parser_calls;

typedef struct svi_parser svi_parser;

/* Makes a parser at the start of a stream. `atoms` is read at each start tag, so a swap of the
 * table is seen at once; it must outlive the parser. */
svi_parser *svi_parser_new(svi_acct *acct, const svi_atoms *const _Atomic *atoms,
                           const svi_xml_limits *limits, const svi_parser_calls *calls, void *ctx);

/* Not from a callback. */
void svi_parser_free(svi_parser **parser);

/* Parses `bytes`, calls back as things complete, returns how many bytes were consumed: fewer than
 * given only after svi_parser_pause (the rest belongs to the caller and must be fed again after
 * svi_parser_go) or after end or fault. */
size_t svi_parser_feed(svi_parser *parser, sv_str bytes);

/* Stops after the element that is being reported: no byte behind it is looked at. Only from a
 * callback. */
void svi_parser_pause(svi_parser *parser);
void svi_parser_go(svi_parser *parser);

/* True if the end of the stream is to be reported though no byte may come any more (its header was an empty
 * element, and paused): feed it with nothing then. */
bool svi_parser_is_ending(const svi_parser *parser);

/* Starts over for a new stream header on the same connection (after SASL success); ends a pause.
 * From a callback only after svi_parser_pause: then svi_parser_feed returns behind the element
 * reported. */
void svi_parser_restart(svi_parser *parser);

/* The default namespace that the stream header declared (jabber:client, jabber:server); empty if
 * none or before the header. Borrowed until the next restart. */
sv_str svi_parser_content_ns(const svi_parser *parser);

/* Takes effect from the next byte on. Any time, also from a callback. */
void svi_parser_set_limits(svi_parser *parser, const svi_xml_limits *limits);

/* Gives expat's memory back if the stream stands between two stanzas (white space aside); true if
 * it did or had done so. Feeding builds it again (about 5 us). */
bool svi_parser_rest(svi_parser *parser);

#endif
