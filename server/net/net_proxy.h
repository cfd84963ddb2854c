/* The header of the PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt, 2020-03-05,
 * called PP below): what a proxy sends before the first byte of the connection it relays, to tell whose
 * it is.
 *
 * A pure parser: bytes in, result out. It says how many bytes it wants and never wants one behind the
 * header's end, so that what follows (TLS, XML) stays in the socket. */
#ifndef SVI_NET_PROXY_H
#define SVI_NET_PROXY_H

#include "base/base_str.h"

/* A header may have so many bytes. PP 2.2 has senders keep to 536; what they add (names from
 * certificates, ids) gets some more. */
#define SVI_PROXY_MAX_BYTES ((size_t)2048)
#define SVI_PROXY_PEER_BYTES 64u /* as svi_conn_info.peer */

typedef enum svi_proxy_state {
    SVI_PROXY_MORE,   /* the header has not ended */
    SVI_PROXY_DONE,   /* it is whole and right */
    SVI_PROXY_REFUSED /* it is wrong; the connection must be closed (PP 2.1, 2.2) */
} svi_proxy_state;

/* Reads one header. Zeroed by svi_proxy_init; owns nothing. */
typedef struct svi_proxy {
    svi_proxy_state state;
    const char *why; /* if REFUSED: what is wrong, for an operator; a constant */
    /* If DONE: "192.0.2.1:4711", "[2001:db8::1]:4711" or, for a client on a unix socket, "unix". Empty
     * if the header names nobody (v1 UNKNOWN, v2 LOCAL or unspecified): then it is the connection's own. */
    char peer[SVI_PROXY_PEER_BYTES];
    size_t n; /* bytes read so far */
    uint8_t bytes[SVI_PROXY_MAX_BYTES];
} svi_proxy;

/* Before the first byte. */
void svi_proxy_init(svi_proxy *proxy);

/* How many bytes are wanted at most: at least 1 while the state is MORE, 0 otherwise. */
size_t svi_proxy_wants(const svi_proxy *proxy);

/* Takes the next `n` bytes, not more than are wanted; the new state. What is wrong is found as soon as a
 * byte shows it. */
svi_proxy_state svi_proxy_feed(svi_proxy *proxy, const void *bytes, size_t n);

#endif
