/* The listeners' certificates: one for each host, chosen by the name a client asks for (SNI, RFC
 * 6066 3). */
#ifndef SVI_MAIN_TLS_H
#define SVI_MAIN_TLS_H

#include "mods/mods_config.h"
#include "net/net_tls.h"

/* Loads the certificates of all hosts of a config (checked by svi_settings_check). The context is
 * the first host's and hands clients that name another host to that one's. NULL in *tls_out if no
 * host has a certificate. Problems are reported at the `certificate` line; SV_EINVAL if there were
 * any. All use `tickets`, which must outlive them (NULL: none that last). */
sv_status svi_tls_of_config(svi_acct *acct, const svi_config *config, svi_tickets *tickets,
                            svi_config_report report, void *ctx, svi_tls **tls_out);

#endif
