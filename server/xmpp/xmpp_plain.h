/* PLAIN (RFC 4616): the password itself, compared with the keys that are stored of it. Used by
 * xmpp_sasl.c only. */
#ifndef SVI_XMPP_PLAIN_H
#define SVI_XMPP_PLAIN_H

#include "xmpp/xmpp_sasl.h"

#define SVI_PLAIN_KEYS "SCRAM-SHA-256" /* the stored keys that a password is compared with */

typedef struct svi_plain svi_plain;

/* An exchange of one message. */
svi_plain *svi_plain_new(svi_acct *acct, const svi_sasl_env *env);

/* Ends it; wipes the password. */
void svi_plain_free(svi_plain **plain);

/* As svi_sasl_step, svi_sasl_keys, svi_sasl_checked and svi_sasl_worked. */
svi_sasl_result svi_plain_step(svi_plain *plain, sv_str message);
svi_sasl_result svi_plain_keys_given(svi_plain *plain, const svi_scram_keys *keys, bool real);
svi_sasl_result svi_plain_checked(svi_plain *plain, svi_sasl_fault fault);
svi_sasl_result svi_plain_worked(svi_plain *plain, const svi_sasl_work *work);

#endif
