/* The keys of TLS session tickets in DATA/secrets/tickets: they outlive a restart and rotate with an
 * overlap (architecture 11). */
#ifndef SVI_MAIN_TICKETS_H
#define SVI_MAIN_TICKETS_H

#include "base/base_plat.h"
#include "net/net_tickets.h"

/* How long a key encrypts, and how long what it encrypted is taken. */
#define SVI_TICKET_ROTATE_S (12 * 3600)
#define SVI_TICKET_TAKEN_S (36 * 3600)

/* Reads the keys of the state folder `data`, drops those that are too old, makes a new one if the newest
 * has encrypted long enough (or is of the future: the clock was set back), writes them if they have
 * changed, and hands them to `tickets`. A file that is missing or damaged costs clients a full
 * handshake, nothing more. Returns in how many seconds it is due again. SV_EIO in `err` (code) if the
 * file can't be written: the keys are used all the same. Router thread; blocks for a short write. */
int64_t svi_tickets_turn(const char *data, const svi_plat *plat, svi_tickets *tickets, sv_err *err);

#endif
