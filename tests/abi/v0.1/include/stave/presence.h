/* What the presence module leaves on a session for others to read. */
#ifndef STAVE_PRESENCE_H
#define STAVE_PRESENCE_H

/* The session item with the addresses that it has sent directed presence to and that must hear of
 * its end (RFC 6121 4.6), a line for each; absent if there are none. */
#define SV_PRESENCE_DIRECTED "presence-directed"

#endif
