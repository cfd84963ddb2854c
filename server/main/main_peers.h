/* The CA files of clients' certificates by host, as the configuration names them. */
#ifndef SVI_MAIN_PEERS_H
#define SVI_MAIN_PEERS_H

#include "mods/mods_config.h"
#include "net/net_tls_peer.h"

/* Reads the `c2s_client_ca` of all hosts (checked by svi_settings_check). NULL in *peers_out if none
 * has one. Problems are reported at that line; SV_EINVAL if there were any: then it is NULL, too. */
sv_status svi_peers_of_config(svi_acct *acct, const svi_config *config, svi_config_report report,
                              void *ctx, svi_peers **peers_out);

#endif
