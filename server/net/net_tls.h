/* TLS by OpenSSL: contexts made from files, one SSL object a connection on a link (threats T1
 * to T6).
 *
 * TLS 1.2 and 1.3, no renegotiation, no compression, no static RSA; buffers released at rest,
 * read-ahead on. */
#ifndef SVI_NET_TLS_H
#define SVI_NET_TLS_H

#include <openssl/ssl.h>
#include "base/base_mem.h"
#include "base/base_str.h"
#include "net/net_binding.h"
#include "net/net_link.h"
#include "net/net_tickets.h"
#include "net/net_tls_pair.h"
#include "net/net_tls_peer.h"

typedef struct svi_tls svi_tls; /* a context; immutable, refcounted, shared by threads */

typedef struct svi_tls_config {
    svi_acct *acct;
    sv_str cert_file; /* PEM, chain behind the certificate */
    sv_str key_file;  /* PEM; must not be readable by others */
    svi_tls_pair *const *pairs; /* in place of the files: some that were read, each of its own kind; borrowed */
    size_t pair_count;
    svi_tickets *tickets; /* borrowed, outlives the context; NULL: keys of its own, lost with it */
} svi_tls_config;

/* Makes a server's context. With pairs of several kinds (RSA and ECDSA) OpenSSL shows each client one
 * whose signature it says to take (RFC 8446 4.2.3). SV_EIO, SV_EINVAL with file and reason, and if two
 * are of one kind. Any thread. */
sv_status svi_tls_new(const svi_tls_config *config, svi_tls **tls_out, sv_err *err);
svi_tls *svi_tls_ref(svi_tls *tls);
void svi_tls_unref(svi_tls **tls);

/* A context for the client's side (flow runner, tests, later s2s): verifies against the
 * certificates in `ca_file`, or nothing if that is NULL. */
sv_status svi_tls_client_new(svi_acct *acct, const char *ca_file, svi_tls **tls_out, sv_err *err);

/* OpenSSL's context, borrowed, to be set up further before it is shared (a test's old protocol
 * version, client certificates). */
SSL_CTX *svi_tls_context(const svi_tls *tls);

/* Has a server's context ask clients for certificates and judge them (a reference is taken); before it
 * is shared. Sessions of clients with a certificate, and those made under other CA files, are not
 * resumed: a full handshake comes instead, which judges anew. */
void svi_tls_set_peers(svi_tls *tls, svi_peers *peers);

/* What was set, NULL if it asks for none; borrowed. */
svi_peers *svi_tls_peers(const svi_tls *tls);

/* A fresh SSL object that reads and writes `link` (borrowed; may be non-blocking); the role is
 * the context's. `name` (may be NULL) is what a client's hello asks for (SNI); a server's is taken
 * for asked for if the hello asks for nothing, and must live as long. Free it with SSL_free before the
 * link is closed and while a reference to `tls` is held. */
SSL *svi_tls_attach(svi_tls *tls, svi_link *link, const char *name);

/* The name that the client's hello asks for, else the one given above; "" if there is neither. Borrowed
 * from `ssl`. */
const char *svi_tls_asked(const SSL *ssl);

/* A peer may ask for new keys again and again (TLS 1.3, RFC 8446 4.6.3), which costs it less than us. An
 * honest one does so after gigabytes. */
#define SVI_KEY_UPDATES_MAX 32u

/* Counts the key updates that the peer sends in `*count`, which must outlive `ssl`. Once there are more than
 * SVI_KEY_UPDATES_MAX, no further record is taken and SSL_read fails (threats T4). */
void svi_tls_count_updates(SSL *ssl, unsigned *count);

/* Makes a self-signed ECDSA P-256 certificate for `name` (DNS and xmppAddr), 10 years, and
 * writes both files (key 0600). SV_EEXIST if one is there (and nothing is written then),
 * SV_EINVAL if `name` is not a host name. */
sv_status svi_tls_make_self_signed(sv_str name, const char *cert_file, const char *key_file, sv_err *err);

/* What a finished handshake tells the stream. */
typedef struct svi_tls_info {
    char    version[12];  /* "TLSv1.3" */
    char    cipher[48];
    char    sni[256];     /* name the client asked for, empty if none */
    char    alpn[32];
    bool    resumed;
    svi_binding bindings[SVI_BINDINGS_MAX]; /* those the connection has, strongest first */
    size_t      binding_count;
    svi_peer   *peer;     /* the client's certificate if it is good, else NULL; svi_tls_describe sets none */
} svi_tls_info;

/* Fills `info_out` from an SSL object whose handshake has finished. */
void svi_tls_describe(SSL *ssl, svi_tls_info *info_out);

#endif
