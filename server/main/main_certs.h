/* The certificates of all hosts: loaded from a configuration, looked at again while they are shown,
 * and replaced when their files hold a better or newer one.
 *
 * A host names one or several pairs of files (certificate, key), each of another kind of key; each
 * pair is taken over by itself. What can't be used never replaces what is shown, and neither does a
 * certificate that has a fault which the one shown has not: expired, not valid yet, without the
 * host's name, with a chain in disorder.
 *
 * Router thread, unless it says otherwise. */
#ifndef SVI_MAIN_CERTS_H
#define SVI_MAIN_CERTS_H

#include <jansson.h>

#include "main/main_settings.h"
#include "net/net_tls.h"

typedef struct svi_certs svi_certs;

/* Loads what a configuration (checked by svi_settings_check) names. NULL in *certs_out if no host
 * has a certificate. Problems are reported at the `certificate` line; SV_EINVAL if there were any.
 * The CA files of clients' certificates are read with it, and not looked at again.
 * Contexts use `tickets`, which must outlive them (NULL: none that last). Keeps nothing of the
 * config. */
sv_status svi_certs_load(svi_acct *acct, const svi_config *config, svi_tickets *tickets,
                         svi_config_report report, void *ctx, svi_certs **certs_out);
void svi_certs_free(svi_certs **certs);

/* The context for listeners: the first host's, which hands clients that name another host to that
 * one's. Borrowed; another one after a look that found something. */
svi_tls *svi_certs_tls(const svi_certs *certs);

/* Reports each certificate of `fresh` that has a fault which the one it would replace in `shown`
 * has not: SV_EINVAL if there was one. `now_s`: wall clock, seconds since 1970. */
sv_status svi_certs_compare(const svi_certs *shown, const svi_certs *fresh, int64_t now_s,
                            svi_config_report report, void *ctx);

/* --- looking at the files again ----------------------------------------------------------------------- */

typedef struct svi_certs_look svi_certs_look;

/* Reads all files, and checks and prepares what has changed since it was shown and is the same as at
 * the last look (so that nobody is still writing it). Blocks; on any thread, while `certs` is
 * only read. */
svi_certs_look *svi_certs_look_at(const svi_certs *certs, int64_t now_s);

/* Takes over what a look has found: each pair that is good (logged as certificate-renewed) is shown
 * from now on; one that is bad is logged as certificate-refused, once for each change. True if the
 * context is another one. *again_out: something has just changed, so look again soon. */
bool svi_certs_take(svi_certs *certs, svi_certs_look **take, int64_t now_s, bool *again_out);

/* Frees a look without taking it. */
void svi_certs_look_free(svi_certs_look **look);

/* --- telling operators -------------------------------------------------------------------------------- */

/* Logs the certificates that expire in less than `warn_days` (0: no warning) or have expired: all of
 * them when the last time was a day ago, else those whose state has changed. The first time also
 * what else is wrong with one. Call it after each look. */
void svi_certs_tell(svi_certs *certs, int64_t now_s, int64_t warn_days);

/* Reports all that svi_certs_tell would log at first, at the line of the configuration. */
void svi_certs_warn(const svi_certs *certs, int64_t now_s, int64_t warn_days,
                    svi_config_report report, void *ctx);

/* For each host the certificate that ends first; a new reference: [{"host", "until", "days-left",
 * "kinds"}]. */
json_t *svi_certs_status(const svi_certs *certs, int64_t now_s);

#endif
