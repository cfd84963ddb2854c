/* The listeners' contexts: one for each host, chosen by the name a client asks for (SNI, RFC 6066
 * 3). What they show is main_certs.h's. */
#ifndef SVI_MAIN_TLS_H
#define SVI_MAIN_TLS_H

#include "net/net_tls.h"

/* A host's name as clients ask for it (A-labels), and its context. */
typedef struct svi_tls_named {
    sv_str name;
    svi_tls *tls;
    bool asks; /* clients that name it for a certificate (net_tls_peer.h) */
} svi_tls_named;

/* Has `first` hand clients that name one of the hosts to that one's context; who names none of them
 * stays with `first`, which may be one of them itself. Names are copied, references taken. Before
 * `first` is shared; any thread. */
void svi_tls_join(svi_acct *acct, svi_tls *first, const svi_tls_named *hosts, size_t count);

#endif
