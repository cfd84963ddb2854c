/* Guests: who logs in by SASL ANONYMOUS has an account without storage, for one stream (XEP-0175).
 *
 * A guest's localpart is a UUID of version 4 (XEP-0175 3) whose second half proves, under the server's
 * secret, that the host has given it. So it is known as a guest's at any time, by nothing but itself,
 * when its session has gone, too: nothing is ever stored for it, and no account can have it. */
#ifndef SVI_XMPP_GUEST_H
#define SVI_XMPP_GUEST_H

#include "xmpp/xmpp_server.h"

#define SVI_GUEST_NAME_BYTES 36u

/* Makes a fresh localpart; `to` gets a NUL behind it. The host has guests. */
void svi_guest_name(svi_host *host, char to[SVI_GUEST_NAME_BYTES + 1]);

/* Whether the host has given this localpart to a guest. Router thread. */
bool svi_guest_is(svi_host *host, sv_str name);

#endif
