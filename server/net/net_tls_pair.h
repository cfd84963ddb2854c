/* A certificate with its chain and its private key, as two PEM files hold them: read, checked
 * together, and asked what a client would find in it.
 *
 * Reading and checking are two steps, so that whoever looks at the files again and again parses
 * them only when their bytes have changed. */
#ifndef SVI_NET_TLS_PAIR_H
#define SVI_NET_TLS_PAIR_H

#include <openssl/ssl.h>

#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_TLS_MARK_BYTES 32u

/* What the two files hold at one moment; nobody has looked into it yet. */
typedef struct svi_tls_files {
    const char *cert_file, *key_file; /* borrowed */
    sv_str cert, key;                 /* bytes, owned; empty if `err` says why they can't be had */
    sv_err err;                       /* code SV_OK if both were read */
    uint8_t mark[SVI_TLS_MARK_BYTES]; /* differs when the bytes do, or why there are none */
} svi_tls_files;

/* Reads both files (symbolic links are followed, each time anew). SV_EIO in `err` if one can't be
 * read; SV_EINVAL if one is no file, is too large, or others may read the key. End it with
 * svi_tls_files_wipe. Blocks; any thread. */
void svi_tls_files_read(svi_acct *acct, const char *cert_file, const char *key_file,
                        svi_tls_files *files_out);

/* Overwrites and frees what was read. */
void svi_tls_files_wipe(svi_tls_files *files);

typedef struct svi_tls_pair svi_tls_pair; /* immutable, refcounted, shared by threads */

/* Checks what was read: a certificate with its chain, a key without passphrase, each other's, strong
 * enough for OpenSSL's security level. SV_EINVAL with file and reason (or files->err). Any thread. */
sv_status svi_tls_pair_new(svi_acct *acct, const svi_tls_files *files, svi_tls_pair **pair_out,
                           sv_err *err);
svi_tls_pair *svi_tls_pair_ref(svi_tls_pair *pair);
void svi_tls_pair_unref(svi_tls_pair **pair);

/* "RSA", "ECDSA", "Ed25519" ...; one context holds one of each. Static text: equal kinds are equal
 * pointers. */
const char *svi_tls_pair_kind(const svi_tls_pair *pair);

/* From when until when it is valid (RFC 5280 4.1.2.5): seconds since 1970. */
int64_t svi_tls_pair_begins_s(const svi_tls_pair *pair);
int64_t svi_tls_pair_ends_s(const svi_tls_pair *pair);

/* True if a client of that domain finds it in the alternative names: as DNS-ID, wildcard included,
 * as SRV-ID "_xmpp-client" or as XmppAddr (RFC 6120 13.7.1.2.1). The common name says nothing (RFC
 * 9525 2). `ascii` is the domain in A-labels, `domain` as users see it. */
bool svi_tls_pair_names(const svi_tls_pair *pair, sv_str ascii, sv_str domain);

/* False if a certificate behind the first did not issue the one before it (RFC 5246 7.4.2). */
bool svi_tls_pair_chain_fits(const svi_tls_pair *pair);

/* Puts certificate, chain (an empty one, too, so that OpenSSL makes up none) and key into a context, beside
 * those of other kinds. SV_EINVAL. Before the
 * context is shared. */
sv_status svi_tls_pair_use(const svi_tls_pair *pair, SSL_CTX *ctx, sv_err *err);

#endif
