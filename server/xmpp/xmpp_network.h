/* Where a peer comes from, as one key: all that one customer of a network may own together. */
#ifndef SVI_XMPP_NETWORK_H
#define SVI_XMPP_NETWORK_H

#include "base/base_str.h"

#define SVI_NETWORK_BYTES 64u

/* `text` is "" for this machine itself. */
typedef struct svi_network {
    char text[SVI_NETWORK_BYTES];
} svi_network;

/* The network of `peer` (as svi_conn_info.peer has it): "10.0.0.1:4711" is 10.0.0.1; of IPv6 the first 64
 * bits, since whoever has one address of a network has them all. Loopback, and what is no address (a unix
 * socket, the stage), is this machine: behind it may be everybody. Any thread. */
svi_network svi_network_of(sv_str peer);

#endif
