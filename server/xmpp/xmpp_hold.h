/* Holding back what goes to a session: while a module wants it, each stanza for the session is asked about at the hook
 * point session/sending, and goes, waits, or is dropped there. Router thread.
 *
 * What waits is kept in order. It goes as soon as a stanza goes that may not wait, when a bound is reached, when its time is
 * over, and when the holding ends; always ahead of what comes later. Of those that were held under one key only the newest
 * waits. Stanzas kept in rows (svi_x_push_stored) are not asked about and go. */
#ifndef SVI_XMPP_HOLD_H
#define SVI_XMPP_HOLD_H

#include "xmpp/xmpp_session.h"

/* Bounds of what waits, all of them over 0. */
typedef struct svi_hold_limits {
    size_t stanzas;
    size_t bytes;   /* as stanzas lie in memory */
    int64_t age_us; /* of the oldest */
} svi_hold_limits;

/* From now on stanzas for the session are asked about; again: with other bounds. */
void svi_session_hold(sv_session *session, const svi_hold_limits *limits);
/* Sends what waits and asks no more. Nothing happens if nobody asked. */
void svi_session_release(sv_session *session);
/* How many wait. */
size_t svi_session_held(const sv_session *session);

/* In an event at session/sending: its stanza waits. Under a key that is not empty it takes the place of the one that waits
 * under the same key, which is dropped by the rule "held-replaced". A fault anywhere else. SV_DONE. */
sv_verdict svi_x_hold(sv_event *ev, sv_str key);

#endif
