/* Restoring: a new store is made beside the one that is there, tried, and exchanged for it. */
#include "main/main_restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_backup.h"
#include "main/main_state.h"

#define LOCK_WAIT_MS 2000
#define NEW_STORE "store.restore"

typedef struct restoring {
    const svi_restore_job *job;
    char store[PATH_MAX], made[PATH_MAX], salt[PATH_MAX];
    int file, lock, data; /* the folder DATA */
    bool is_empty;        /* there is no store yet */
    svi_backup_summary summary;
} restoring;

static sv_status failed(sv_err *err, const char *path)
{
    return svi_err(err, errno == ENOSPC ? SV_ENOSPC : SV_EIO, "%s: %s", path, strerror(errno));
}

/* --- folders ------------------------------------------------------------------------------------------ */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes what a store consists of: files, and folders with files in them. */
static bool remove_store(int parent, const char *name, unsigned depth)
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return false;
    }
    bool ok = true;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (is_dots(e->d_name) || unlinkat(fd, e->d_name, 0) == 0) continue;
        ok = depth > 0 && remove_store(fd, e->d_name, depth - 1) && ok;
    }
    (void)closedir(dir);
    return ok && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

static sv_status look_empty(restoring *r, sv_err *err)
{
    DIR *dir = opendir(r->store);
    if (!dir) return failed(err, r->store);
    r->is_empty = true;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (!is_dots(e->d_name)) r->is_empty = false;
    (void)closedir(dir);
    return SV_OK;
}

static sv_status sync_folder(const char *path, sv_err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const sv_status status = fd >= 0 && fsync(fd) == 0 ? SV_OK : failed(err, path);
    if (fd >= 0) (void)close(fd);
    return status;
}

/* The new store takes the old one's place in one step, and that is on disk when it returns. */
static sv_status exchange(const restoring *r, sv_err *err)
{
    const int done = r->is_empty ? renameat(r->data, NEW_STORE, r->data, "store")
                                 : renameat2(r->data, NEW_STORE, r->data, "store", RENAME_EXCHANGE);
    if (done != 0 && (errno == EINVAL || errno == ENOSYS))
        return svi_err(err, SV_EIO,
                       "%s: this file system can't exchange two folders: move that one away and make an "
                       "empty one in its place, then try again",
                       r->store);
    if (done != 0) return failed(err, r->store);
    return fsync(r->data) == 0 ? SV_OK : failed(err, r->store);
}

/* --- steps -------------------------------------------------------------------------------------------- */

static sv_status open_state(restoring *r, sv_err *err)
{
    const svi_settings *s = r->job->settings;
    const char *data = s->data_path.p;
    uid_t owner;
    gid_t group;
    const bool fits = snprintf(r->store, PATH_MAX, "%s/store", data) < PATH_MAX &&
                      snprintf(r->made, PATH_MAX, "%s/" NEW_STORE, data) < PATH_MAX &&
                      snprintf(r->salt, PATH_MAX, "%s/secrets/" SVI_SALT_NAME, data) < PATH_MAX;
    if (!fits) return svi_err(err, SV_ELIMIT, "%s: too long", data);
    if (s->store_engine.n > 0)
        return svi_err(err, SV_EINVAL,
                       "the store is kept by the engine \"%.*s\", and a backup can be put back into the "
                       "server's own store alone: use the means of that data base, or take store_engine "
                       "out of the configuration",
                       (int)s->store_engine.n, s->store_engine.p);
    r->file = open(r->job->from, O_RDONLY | O_CLOEXEC); /* with the rights of whoever calls */
    if (r->file < 0) return failed(err, r->job->from);
    sv_status status = svi_state_owner(geteuid(), s->user, &owner, &group, err);
    if (status == SV_OK) status = svi_state_make(data, owner, group, err);
    if (status == SV_OK) status = svi_state_lock(data, LOCK_WAIT_MS, &r->lock, err);
    if (status == SV_OK && owner != (uid_t)-1) status = svi_state_become(s->user.p, err);
    if (status != SV_OK) return status;
    r->data = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->data < 0) return failed(err, data);
    return look_empty(r, err);
}

static sv_status make_store(restoring *r, sv_err *err)
{
    const svi_restore_job *job = r->job;
    if (!remove_store(r->data, NEW_STORE, 1)) return failed(err, r->made);
    const svi_restore_config config = {.acct = job->acct,
                                       .fd = r->file,
                                       .host = sv_str_of(job->host ? job->host : ""),
                                       .keep_from = sv_str_of(r->is_empty ? "" : r->store),
                                       .overwrite = job->force,
                                       .into = sv_str_of(r->made)};
    return svi_restore(&config, &r->summary, err);
}

static void on_fatal(void *ctx, const sv_err *err)
{
    *(sv_err *)ctx = *err;
}

/* Opened with the hosts and modules of the configuration: what a start would refuse is refused now. */
static sv_status try_store(const restoring *r, sv_err *err)
{
    svi_problems problems;
    svi_problems_init(&problems, r->job->acct);
    svi_shard *shard = NULL;
    sv_err fatal = {.code = SV_OK, .text = ""};
    const svi_shard_config config = {.acct = r->job->acct,
                                     .config = r->job->config,
                                     .settings = r->job->settings,
                                     .program = r->job->program,
                                     .report = svi_problems_note,
                                     .report_ctx = &problems,
                                     .store_path = r->made,
                                     .fatal = on_fatal,
                                     .fatal_ctx = &fatal};
    sv_status status = svi_shard_open(&config, &shard, err);
    svi_shard_close(&shard, 0);
    if (status == SV_OK && fatal.code != SV_OK) {
        *err = fatal;
        status = fatal.code;
    }
    const sv_str text = svi_buf_str(&problems.text);
    if (status != SV_OK && text.n > 0)
        status = svi_err(err, status, "the server would not start with it: %.*s", (int)text.n - 1,
                         text.p);
    svi_problems_free(&problems);
    return status;
}

/* The salt first: with it and the old store a kill leaves nothing that is wrong. */
static sv_status put_in_place(const restoring *r, sv_err *err)
{
    const svi_backup_summary *s = &r->summary;
    sv_status status = sync_folder(r->made, err);
    if (status == SV_OK && !r->job->host && s->has_secret)
        status = s->secret_n == SVI_SALT_BYTES
                     ? svi_state_replace(r->salt, (sv_str){(const char *)s->secret, s->secret_n},
                                         0600, err)
                     : svi_err(err, SV_EIO, "the backup's salt has %zu bytes", s->secret_n);
    return status == SV_OK ? exchange(r, err) : status;
}

static sv_status restore(restoring *r, sv_err *err)
{
    const svi_restore_job *job = r->job;
    sv_status status = open_state(r, err);
    if (status == SV_OK && !r->is_empty && !job->host && !job->force) {
        /* what is wrong with the file is told first: it would be with --force, too */
        status = svi_backup_verify(job->acct, r->file, &r->summary, err);
        if (status == SV_OK)
            status = svi_err(err, SV_EEXIST, "%s: there is a store already", r->store);
    }
    if (status == SV_OK) status = make_store(r, err);
    if (status == SV_OK) status = try_store(r, err);
    if (status == SV_OK) status = put_in_place(r, err);
    /* now that is the old one, or one that came to nothing */
    if (r->data >= 0 && r->lock >= 0 && status != SV_EBUSY) (void)remove_store(r->data, NEW_STORE, 1);
    return status;
}

sv_status svi_restore_run(const svi_restore_job *job, json_t **answer_out, sv_err *err)
{
    restoring r = {.job = job, .file = -1, .lock = -1, .data = -1};
    sv_err wrong = {.text = ""};
    const sv_status status = restore(&r, &wrong);
    const int fds[] = {r.file, r.data, r.lock};
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0) (void)close(fds[i]);
    explicit_bzero(r.summary.secret, sizeof r.summary.secret);
    if (status == SV_EEXIST)
        return svi_err(err, status, "%s; `--force` replaces it (what is there now is lost: make a backup "
                       "of it first)", wrong.text);
    /* SV_ENOTFOUND is of who asks a server */
    if (status != SV_OK)
        return svi_err(err, status == SV_ENOTFOUND ? SV_EINVAL : status, "%s", wrong.text);
    *answer_out = svi_backup_tell(&r.summary);
    if (!*answer_out) *answer_out = json_pack("{s:b}", "ok", 1);
    return SV_OK;
}

void svi_restore_look(const char *data_path)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/" NEW_STORE, data_path);
    if (n > 0 && n < PATH_MAX && access(path, F_OK) == 0)
        SV_LOG(SV_WARN, "restore-left", LF_TXT("folder", path));
}
