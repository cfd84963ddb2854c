/* Certificates that clients show in their handshakes (XEP-0178 2, RFC 6120 13.7): asked for, never
 * required, and judged by the CA files of the hosts.
 *
 * A host's CA file holds certificates of authorities, roots or intermediate ones, and may hold their
 * CRLs; where an authority's CRL is there, it must be current and counts. A certificate is judged at
 * the end of the handshake, on the I/O thread, by the files of all hosts: which of them vouch for it
 * is noted, so that a stream asks for its own host, whatever name the hello had. Whoever shows none,
 * a bad one, or resumes a session, just has no certificate.
 *
 * Nothing here knows what a name means: names are the bytes of the certificate, valid UTF-8 without
 * NUL. Common names and e-mail addresses are not looked at. */
#ifndef SVI_NET_TLS_PEER_H
#define SVI_NET_TLS_PEER_H

#include <openssl/ssl.h>

#include "base/base_mem.h"
#include "base/base_plat.h"
#include "base/base_str.h"

#define SVI_PEER_NAMES_MAX 16u        /* xmppAddr in one certificate; one with more is refused */
#define SVI_PEER_NAME_MAX 2047u       /* bytes of one: a bare JID (RFC 7622 3.1) */
#define SVI_PEER_CAS_MAX 32u          /* different CA files of a server: each is asked */
#define SVI_PEER_CHAIN_BYTES 16384    /* of certificates in a handshake; more end it */
#define SVI_PEER_FINGERPRINT_BYTES 32 /* SHA-256 */
#define SVI_PEERS_DIGEST_BYTES 32     /* of a table */

typedef struct svi_peers svi_peers; /* CA files by host; refcounted, shared by threads */
typedef struct svi_peer svi_peer;   /* a judged certificate; immutable, refcounted */

/* --- CA files -------------------------------------------------------------------------------- */

/* An empty table. The validity of certificates is judged by the platform's wall clock. */
svi_peers *svi_peers_new(svi_acct *acct, const svi_plat *plat);

/* Reads a host's CA file (PEM; certificates, and CRLs if it has any); a host is added once. Before
 * the table is used. SV_EIO if it can't be read, SV_EINVAL if it holds no certificate or something
 * that is none, SV_ELIMIT above SVI_PEER_CAS_MAX different files; each with text. */
sv_status svi_peers_add(svi_peers *peers, sv_str host, sv_str ca_file, sv_err *err);

/* One more reference / one less; the last one frees. Any thread. */
svi_peers *svi_peers_ref(svi_peers *peers);
/* Clears the pointer. */
void svi_peers_unref(svi_peers **peers);

/* The table has been replaced by `next` (may be NULL): if they differ in anything, no certificate
 * that was judged by it counts any more. Any thread. */
void svi_peers_retire(svi_peers *peers, const svi_peers *next);

/* --- TLS contexts ---------------------------------------------------------------------------- */

/* Makes a server's context go on whatever certificate a client shows. For every server's context. */
void svi_peers_tolerate(SSL_CTX *ctx);

/* Makes a server's context, the one that its connections begin with, ask for certificates. */
void svi_peers_use(SSL_CTX *ctx);

/* What a session's ticket is to remember of the files that the client was asked by. Any thread. */
void svi_peers_digest(const svi_peers *peers, uint8_t to[SVI_PEERS_DIGEST_BYTES]);

/* Whether a session whose ticket remembers `digest` may be resumed: not that of a client with a
 * certificate, nor one made under other CA files. A full handshake comes instead, which judges anew. Any
 * thread. */
bool svi_peers_may_resume(const svi_peers *peers, SSL_SESSION *session, sv_str digest);

/* Whether the host has a CA file. */
bool svi_peers_has(const svi_peers *peers, sv_str host);

/* In a handshake, when the client has named its host: whether it is asked for a certificate. Who names
 * none is asked, since the stream may be for any host. */
void svi_peers_ask(SSL *ssl, bool asks);

/* What the client of a finished handshake has shown: NULL if that is nothing that a CA file vouches
 * for and that has an xmppAddr, or if the session was resumed. On the I/O thread. */
svi_peer *svi_peers_judge(svi_peers *peers, SSL *ssl);

/* The same of a certificate and what came behind it (may be NULL). Any thread. */
svi_peer *svi_peers_judge_cert(svi_peers *peers, X509 *cert, STACK_OF(X509) * chain);

/* --- judged certificates --------------------------------------------------------------------- */

/* One more reference / one less; the last one frees. Any thread. */
svi_peer *svi_peer_ref(svi_peer *peer);
/* Clears the pointer. */
void svi_peer_unref(svi_peer **peer);

/* Whether the host's CA file vouches for it, now: false too when the table was retired. Any thread. */
bool svi_peer_is_for(const svi_peer *peer, sv_str host);

/* Its xmppAddr number `i` as the certificate has it, not prepared; .p NULL at the end. Borrowed. */
sv_str svi_peer_name(const svi_peer *peer, size_t i);

/* When the first certificate of its chain expires: seconds since 1970. */
int64_t svi_peer_expires_s(const svi_peer *peer);

/* Its subject by RFC 2253, cut to a line of the log, and 32 hex digits of its SHA-256 fingerprint; for
 * logs. Borrowed. */
sv_str svi_peer_subject(const svi_peer *peer);
sv_str svi_peer_fingerprint(const svi_peer *peer);

#endif
