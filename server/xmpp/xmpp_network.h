/* Where a peer comes from, as one key: all that one customer of a network may own together. */
#ifndef SVI_XMPP_NETWORK_H
#define SVI_XMPP_NETWORK_H

#include "base/base_str.h"

#define SVI_NETWORK_BYTES 64u

/* Where a peer comes from. */
typedef struct svi_whence {
    sv_str address;  /* as svi_conn_info.peer has it */
    bool is_relayed; /* by a proxy: if the address is loopback, it is not ours */
} svi_whence;

/* `text` is "" for this machine itself, and for who has no address. */
typedef struct svi_network {
    char text[SVI_NETWORK_BYTES];
    bool is_nowhere; /* relayed and without an address: nobody is known by it */
} svi_network;

/* The network of a peer: "10.0.0.1:4711" is 10.0.0.1; of IPv6 the first 64 bits, since whoever has one address
 * of a network has them all. Loopback, and what is no address (a unix socket, the stage), is this machine:
 * behind it may be everybody. Where a proxy's header names loopback it is a network as any other. Any
 * thread. */
svi_network svi_network_of(svi_whence whence);

#endif
