/* The worker's part of a backup: the control connection becomes the stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_backup.h"
#include "store/store_backup.h"

typedef struct serving {
    int fd;
    svi_shard *shard;
} serving;

static void on_done(void *ctx, const svi_backup_result *r)
{
    serving *s = ctx;
    if (r->status == SV_OK)
        SV_LOG(SV_INFO, "backup-done", LF_INT("commit", r->commit), LF_INT("rows", r->rows),
               LF_INT("units", r->units), LF_INT("bytes", r->bytes), LF_INT("us", r->took_us));
    else
        SV_LOG(SV_WARN, "backup-failed", LF_TXT("status", svi_status_name(r->status)),
               LF_TXT("reason", r->err.text), LF_INT("bytes", r->bytes));
    (void)close(s->fd);
    svi_free(s);
}

/* The line fits into the socket's buffer, which is empty. */
static void refuse(serving *s, const char *text)
{
    json_t *answer = json_pack("{s:b, s:s}", "ok", 0, "error", text);
    char *line = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (line) (void)dprintf(s->fd, "%s\n", line);
    free(line);
    json_decref(answer);
    (void)close(s->fd);
    svi_free(s);
}

void svi_backup_serve(svi_shard *shard, const json_t *request, int take_fd)
{
    serving *s = svi_alloc(svi_shard_acct(shard), sizeof *s);
    *s = (serving){.fd = take_fd, .shard = shard};
    const json_t *named = json_object_get(request, "host");
    const char *host = json_string_value(named);
    const int flags = fcntl(take_fd, F_GETFL);
    sv_err err = {.text = ""};
    if (flags < 0 || fcntl(take_fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        refuse(s, strerror(errno));
        return;
    }
    if (named && !host) {
        refuse(s, "host is a text");
        return;
    }
    if (svi_shard_backup(shard, sv_str_of(host ? host : ""), take_fd, on_done, s, &err) != SV_OK) {
        refuse(s, err.text);
        return;
    }
    SV_LOG(SV_INFO, "backup-start", LF_TXT("host", host ? host : "all"));
}
