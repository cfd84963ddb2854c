/* Writer: stanzas to bytes. Everything sent on is written from the tree, never copied from input
 * (threats X4).
 *
 * Bytes are cached in the stanza per flavour, without the `to` attribute, so that a stanza for N
 * recipients is written once; only the small head differs. */
#ifndef SVI_XML_WRITER_H
#define SVI_XML_WRITER_H

#include "xml/xml_stanza.h"

/* Around which default namespace the bytes stand. */
typedef enum svi_flavour {
    SVI_FLAVOUR_CLIENT = 0, /* inside a c2s stream: jabber:client is the default namespace */
    SVI_FLAVOUR_SERVER = 1, /* inside an s2s stream: stanzas are in jabber:server */
    SVI_FLAVOUR_ALONE = 2   /* alone: the root declares its namespace */
} svi_flavour;

/* What differs by recipient. `to.p` NULL keeps the stanza's own `to`; `to` empty leaves it out. */
typedef struct svi_head {
    sv_str to;
} svi_head;

/* Appends the stanza's bytes to `buf`; fills the stanza's cache on first use. CR, LF and TAB in
 * attributes and CR in text are written as references (threats X11). Any thread. */
void svi_stanza_write(svi_buf *buf, const sv_stanza *stanza, svi_flavour flavour,
                      const svi_head *head);

/* Appends one element's bytes, not cached; `ns` is the default namespace around it. */
void svi_node_write(svi_buf *buf, const sv_node *node, sv_str ns);

/* Appends text escaped for character data / for an attribute in single quotes. */
void svi_write_text(svi_buf *buf, sv_str text);
void svi_write_attr(svi_buf *buf, sv_str text);

#endif
