/* EXTERNAL (RFC 4422 appendix A, XEP-0178 2): who the client's certificate says it is. Used by
 * xmpp_sasl.c only. */
#ifndef SVI_XMPP_EXTERNAL_H
#define SVI_XMPP_EXTERNAL_H

#include "xmpp/xmpp_sasl.h"

typedef struct svi_external svi_external;

/* An exchange of one message; `env` has at least one name of a certificate. */
svi_external *svi_external_new(svi_acct *acct, const svi_sasl_env *env);

/* Ends it. */
void svi_external_free(svi_external **external);

/* As svi_sasl_step and svi_sasl_account. */
svi_sasl_result svi_external_step(svi_external *external, sv_str message);
svi_sasl_result svi_external_account(svi_external *external, svi_sasl_fault fault);

#endif
