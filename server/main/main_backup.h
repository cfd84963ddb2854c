/* `stave backup`: where a backup comes from and how it becomes a file.
 *
 * The stream (store_backup.h) is made by the worker, or without a server by a child process with
 * the worker's rights, and comes over a socket; the process of `stave` writes the file with the
 * rights of whoever called it. It checks each frame and gives the file its name when all of it is
 * on disk, so a file with that name is whole. */
#ifndef SVI_MAIN_BACKUP_H
#define SVI_MAIN_BACKUP_H

#include <jansson.h>

#include "main/main_shard.h"
#include "store/store_backup.h"

#define SVI_BACKUP_COMMAND "backup-stream" /* the request by which a control connection becomes one */

typedef struct svi_backup_job {
    svi_acct *acct;
    const svi_settings *settings;
    const char *version;
    const char *to;   /* a file, a folder that is there, or "-": standard output */
    const char *host; /* NULL: all */
} svi_backup_job;

/* Makes a backup, of the running server or of the store that none has open. `answer_out`: what it
 * is, a new reference. Blocks. SV_EBUSY: the store is in use by something that does not answer;
 * SV_ENOTFOUND, SV_EINVAL, SV_EIO, SV_ENOSPC, SV_EDENIED with text; then no file is there that was
 * not there before. */
sv_status svi_backup_run(const svi_backup_job *job, json_t **answer_out, sv_err *err);

/* Worker: streams a backup to a control connection whose request is that ("host"). The descriptor
 * is taken. Router thread; returns at once. What is wrong is sent as a line of JSON instead. */
void svi_backup_serve(svi_shard *shard, const json_t *request, int take_fd);

/* Reads a whole backup and checks it. `answer_out`: what it is. */
sv_status svi_backup_check(svi_acct *acct, const char *file, json_t **answer_out, sv_err *err);

/* What a backup is, as an answer; a new reference, NULL if it holds broken UTF-8. */
json_t *svi_backup_tell(const svi_backup_summary *summary);

#endif
