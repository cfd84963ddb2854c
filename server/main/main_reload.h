/* Reload: reads the configuration anew and takes over what can be changed while serving; a bad one
 * changes nothing. */
#ifndef SVI_MAIN_RELOAD_H
#define SVI_MAIN_RELOAD_H

#include <jansson.h>

#include "main/main_renew.h"
#include "main/main_shard.h"
#include "mods/mods_loader.h"
#include "net/net_tickets.h"

typedef struct svi_reload_config {
    svi_acct *acct;
    const svi_config *running; /* what the server was started with */
    const char *path;          /* file to read */
    const char *program;
    svi_shard *shard;
    svi_renew *renew;  /* gets the new certificates, unless the server was started without any */
    svi_tickets *tickets; /* for them */
} svi_reload_config;

/* Takes over hosts with their settings and modules (svi_shard_take_over), log level and certificates (read
 * again even if the file says the same), but none that is worse than the one shown (main_certs.h). The
 * answer (a new reference) tells which hosts are others now, and what else differs from `running` and so
 * needs a restart; or the problems, and then nothing has changed. */
json_t *svi_reload(const svi_reload_config *config);

/* Names of options that differ between two configs and are not taken over by a reload; a JSON array. */
json_t *svi_reload_differences(const svi_config *running, const svi_config *fresh);

#endif
