/* What the XMPP side adds to the trail (bus_trail.h): addresses, kinds, ids and conditions; never what people write.
 * Router thread. */
#ifndef SVI_XMPP_TOLD_H
#define SVI_XMPP_TOLD_H

#include "xmpp/xmpp_server.h"
#include "xmpp/xmpp_session.h"

/* What a text record is, and its texts in order. */
typedef enum svi_told {
    SVI_TOLD_STANZA, /* name, type, from, to, id, condition of an error; again when a handler changes the recipient */
    SVI_TOLD_ID,     /* by whom (empty: the sender's own), id: XEP-0359 */
    SVI_TOLD_SENT,   /* session's address, name: put into its queue; and, unless they were told: type, from, id, condition */
    SVI_TOLD_LOOK    /* account's address: waits until it is known whether it exists */
} svi_told;

/* The trail that notes are to be written to; NULL: none. */
svi_trail *svi_told_to(svi_server *server);

/* Notes a stanza; the addresses as they were prepared, `.p` NULL: as the stanza has them. */
void svi_told_stanza(svi_server *server, uint64_t entry, const sv_stanza *stanza, sv_str from, sv_str to);
/* Notes the ids that a stanza has got by now. */
void svi_told_ids(svi_server *server, uint64_t entry, const sv_stanza *stanza);
/* Notes that the stanza goes into the session's queue. */
void svi_told_sent(const sv_session *session, uint64_t entry, const sv_stanza *stanza);
/* Notes that the stanza waits for a look-up. */
void svi_told_look(svi_server *server, uint64_t entry, sv_str account);

#endif
