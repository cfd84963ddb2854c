/* `stave restore`: a backup becomes the store of the state folder, or one host of it does.
 *
 * Nothing is changed before the file is verified. The new store is made beside the old one, in
 * DATA/store.restore, opened once with the configuration's hosts and modules as a trial, and takes
 * the old one's place in one step. A kill leaves either the old store or the new one, and maybe
 * that folder, which the next restore removes. */
#ifndef SVI_MAIN_RESTORE_H
#define SVI_MAIN_RESTORE_H

#include <jansson.h>

#include "main/main_shard.h"

typedef struct svi_restore_job {
    svi_acct *acct;
    const svi_config *config;     /* checked */
    const svi_settings *settings; /* of its global section */
    const char *program;
    const char *from; /* a backup's file */
    const char *host; /* NULL: all */
    bool force;       /* what is there may be replaced */
} svi_restore_job;

/* Restores; no server may run. `answer_out`: what was restored, a new reference. Blocks. SV_EEXIST:
 * there is something already; SV_EBUSY: a server runs; SV_EINVAL, SV_EVERSION, SV_EIO, SV_ENOSPC
 * with text. After an error the store is what it was before. */
sv_status svi_restore_run(const svi_restore_job *job, json_t **answer_out, sv_err *err);

/* Logs what an interrupted restore has left in the state folder. */
void svi_restore_look(const char *data_path);

#endif
