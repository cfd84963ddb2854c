/* SCRAM's hashes and HMAC by OpenSSL, shared by the exchange and the derivation of keys. */
#ifndef SVI_XMPP_SCRAM_KEYS_H
#define SVI_XMPP_SCRAM_KEYS_H

#include "xmpp/xmpp_scram.h"

/* HMAC(key, text) of RFC 5802 2.2 into `out` (hash->bytes). Any thread. */
void svi_scram_hmac(const svi_scram_hash *hash, const void *key, size_t key_bytes, sv_str text,
                    uint8_t *out);

/* H(data) into `out` (hash->bytes). Any thread. */
void svi_scram_digest(const svi_scram_hash *hash, const void *data, size_t bytes, uint8_t *out);

#endif
