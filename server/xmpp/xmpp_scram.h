/* SCRAM (RFC 5802, RFC 7677) as the server runs it: one engine for all hashes. Used by
 * xmpp_sasl.c only. */
#ifndef SVI_XMPP_SCRAM_H
#define SVI_XMPP_SCRAM_H

#include "xmpp/xmpp_sasl.h"

/* A hash that SCRAM runs on. */
typedef struct svi_scram_hash {
    const char *mechanism; /* without -PLUS; what keys are stored under */
    const char *digest;    /* OpenSSL's name of the hash */
    size_t bytes;          /* of its output; at most 64 */
} svi_scram_hash;

/* The hash of a mechanism name without -PLUS, NULL if there is none. */
const svi_scram_hash *svi_scram_hash_find(sv_str mechanism);

typedef struct svi_scram svi_scram;

/* An exchange; `plus`: the mechanism is the -PLUS one, which needs channel-binding data and so a
 * `p` flag. */
svi_scram *svi_scram_new(svi_acct *acct, const svi_scram_hash *hash, bool plus,
                         const svi_sasl_env *env);

/* Ends it; wipes keys. */
void svi_scram_free(svi_scram **scram);

/* As svi_sasl_binding. */
const char *svi_scram_binding(const svi_scram *scram);

/* As svi_sasl_step and svi_sasl_keys. */
svi_sasl_result svi_scram_step(svi_scram *scram, sv_str message);
svi_sasl_result svi_scram_keys_given(svi_scram *scram, const svi_scram_keys *keys, bool real);

#endif
