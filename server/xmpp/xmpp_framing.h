/* How a stream is framed on its transport: the bytes that open and close it. TCP has one
 * document a stream (RFC 6120 4.2); WebSocket, with <open/> and <close/> (RFC 7395 3.3), is
 * another table of the same functions. */
#ifndef SVI_XMPP_FRAMING_H
#define SVI_XMPP_FRAMING_H

#include "base/base_str.h"
#include "xml/xml_stanza.h"

/* Attributes of a stream header (RFC 6120 4.7). An empty `to` or `version` is left out. */
typedef struct svi_stream_head {
    sv_str from, to, id, version, lang;
} svi_stream_head;

typedef struct svi_framing {
    /* Appends our header. */
    void (*open)(svi_buf *buf, const svi_stream_head *head);
    /* Appends our end of the stream. */
    void (*close)(svi_buf *buf);
    /* NULL if the peer's header is of this framing, else the stream error for it (RFC 6120
     * 4.8.1, 4.8.2). */
    const char *(*check)(const sv_node *header);
    /* Declaration of the prefix `stream` that <stream:features/> and <stream:error/> need; empty
     * if the header has it. */
    const char *declaration;
} svi_framing;

/* RFC 6120 on a byte stream. Static. */
const svi_framing *svi_framing_tcp(void);

#endif
