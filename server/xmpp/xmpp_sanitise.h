/* What only this server may say (threats, conclusion 6): marks on a stanza that recipients and archives
 * believe because the server sets them, and that a sender could set as well. They are taken off at the
 * very front, in the step that stamps the sender, so that every handler, recipient, store and answer sees
 * the stanza without them. Router thread. */
#ifndef SVI_XMPP_SANITISE_H
#define SVI_XMPP_SANITISE_H

#include "xmpp/xmpp_server.h"

/* Declares the names that are looked for; before any other name, once a server. */
void svi_sanitise_declare(svi_server *server);

/* Whom a stanza comes from: our own clients are never rooms, other servers' senders may be. */
typedef enum svi_sender { SVI_SENDER_CLIENT, SVI_SENDER_PEER } svi_sender;

/* The children of a message or presence that its sender must not have set, as numbers for svi_edit's
 * `strip`, in `arena`; how many. `from` is the sender's true address. An IQ has none: it is its payload.
 * A stanza without any is left as it is and costs a look at each child's atom. */
size_t svi_sanitise_find(svi_server *server, svi_sender sender, const sv_jid *from,
                         const sv_stanza *stanza, svi_arena *arena, const size_t **strip_out);

#endif
