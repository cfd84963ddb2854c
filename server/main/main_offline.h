/* A command on the state folder itself, when no server runs. */
#ifndef SVI_MAIN_OFFLINE_H
#define SVI_MAIN_OFFLINE_H

#include "main/main_command.h"

typedef struct svi_offline_config {
    svi_acct *acct;
    const svi_config *config;
    const svi_settings *settings;
    const char *program;
} svi_offline_config;

/* Opens the store with the hosts' modules (an account's end is theirs to clean up, too), runs the
 * requests of the array one behind the other until one is refused, closes. The last answer is a new
 * reference. An error means that the store could not be opened: SV_EBUSY if another process has it.
 * Blocks. */
sv_status svi_offline_run(const svi_offline_config *config, const json_t *requests,
                          json_t **answer_out, sv_err *err);

#endif
