/* Making a backup's file, and looking at one. */
#include "main/main_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_ask.h"
#include "main/main_state.h"
#include "store/store_backup.h"
#include "store/store_engine.h"

#define LOCK_WAIT_MS 2000

/* --- without a server ----------------------------------------------------------------------------------- */

/* An error as the worker sends it, in place of the stream. */
static void send_error(int fd, const sv_err *err)
{
    json_t *answer = json_pack("{s:b, s:s}", "ok", 0, "error", err->text);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text) (void)dprintf(fd, "%s\n", text);
    free(text);
    json_decref(answer);
}

static void ignore(void *ctx, const svi_backup_result *result)
{
    *(sv_err *)ctx = result->err;
}

static sv_status stream_store(const svi_backup_job *job, svi_store *store, int fd, sv_err *err)
{
    uint8_t salt[SVI_SALT_BYTES];
    svi_backup *backup;
    sv_status status =
        svi_state_salt(job->settings->data_path.p, svi_plat_kernel(), salt, err);
    const svi_backup_config config = {
        .host = sv_str_of(job->host ? job->host : ""),
        .secret_name = job->host ? SV_STR_NONE : SV_STR(SVI_SALT_NAME),
        .secret = job->host ? SV_STR_NONE : (sv_str){(const char *)salt, sizeof salt},
        .version = job->version,
        .fd = fd,
        .by_steps = true,
        .done = ignore,
        .ctx = err};
    if (status == SV_OK) status = svi_backup_start(store, &config, &backup, err);
    if (status != SV_OK) {
        send_error(fd, err);
        return status;
    }
    for (;;) {
        const svi_backup_state state = svi_backup_step(backup);
        (void)svi_store_poll(store); /* what is not folded is */
        if (state == SVI_BACKUP_OVER) return SV_OK; /* what went wrong is in the stream */
    }
}

/* In a process of its own, with the worker's rights. */
static sv_status stream_offline(const svi_backup_job *job, int fd, sv_err *err)
{
    const svi_settings *s = job->settings;
    int lock = -1;
    uid_t owner;
    gid_t group;
    svi_engine *engine = NULL;
    svi_store *store = NULL;
    char path[PATH_MAX];
    if (s->store_engine.n > 0) {
        const sv_status foreign = svi_err(err, SV_EVERSION,
                       "the store is kept by the engine \"%.*s\", which a backup reads through a running "
                       "server: start it and try again, or use the means of that data base",
                       (int)s->store_engine.n, s->store_engine.p);
        send_error(fd, err);
        return foreign;
    }
    (void)snprintf(path, sizeof path, "%s/store", s->data_path.p);
    sv_status status = access(path, F_OK) == 0 ? SV_OK
                                               : svi_err(err, SV_ENOTFOUND, "%s: %s: there is no store",
                                                         path, strerror(errno));
    if (status == SV_OK) status = svi_state_owner(geteuid(), s->user, &owner, &group, err);
    if (status == SV_OK) status = svi_state_lock(s->data_path.p, LOCK_WAIT_MS, &lock, err);
    if (status == SV_OK && owner != (uid_t)-1) status = svi_state_become(s->user.p, err);
    const svi_lmdb_config lmdb = {.path = sv_str_of(path), .single_thread = true};
    if (status == SV_OK) status = svi_engine_lmdb(job->acct, &lmdb, &engine, err);
    const svi_store_config config = {.engine = engine, .acct = job->acct};
    if (status == SV_OK) status = svi_store_open(&config, &store, err);
    if (status != SV_OK) {
        send_error(fd, err);
        return status;
    }
    status = stream_store(job, store, fd, err);
    svi_store_close(&store);
    return status;
}

/* A child that streams; `fd_out`: where it comes. */
static sv_status start_child(const svi_backup_job *job, pid_t *child_out, int *fd_out, sv_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return svi_err(err, SV_EIO, "socketpair: %s", strerror(errno));
    (void)fflush(NULL);
    *child_out = fork();
    if (*child_out < 0) {
        const int why = errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        return svi_err(err, SV_EIO, "fork: %s", strerror(why));
    }
    if (*child_out == 0) {
        sv_err wrong = {.text = ""};
        (void)close(ends[0]);
        _exit(stream_offline(job, ends[1], &wrong) == SV_OK ? 0 : 1);
    }
    (void)close(ends[1]);
    *fd_out = ends[0];
    return SV_OK;
}

/* --- where it goes -------------------------------------------------------------------------------------- */

typedef struct target {
    char file[PATH_MAX], temp[PATH_MAX + 32];
    int fd;
    bool is_stdout;
} target;

static sv_status failed(sv_err *err, const char *file)
{
    return svi_err(err, errno == ENOSPC || errno == EDQUOT ? SV_ENOSPC : SV_EIO, "%s: %s", file,
                   strerror(errno));
}

/* The name in a folder says of what and of when it is. */
static sv_status name_file(const svi_backup_job *job, target *t, sv_err *err)
{
    struct stat st;
    int n = snprintf(t->file, sizeof t->file, "%s", job->to);
    if (stat(job->to, &st) == 0 && S_ISDIR(st.st_mode)) {
        const svi_plat *plat = svi_plat_kernel();
        const time_t now = (time_t)(plat->wall_us(plat->ctx) / 1000000);
        struct tm at;
        char when[32];
        (void)gmtime_r(&now, &at);
        (void)strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &at);
        n = snprintf(t->file, sizeof t->file, "%s/stave-%s%s%s.backup", job->to,
                     job->host ? job->host : "", job->host ? "-" : "", when);
    } else if (stat(job->to, &st) == 0 && !S_ISREG(st.st_mode)) {
        return svi_err(err, SV_EINVAL, "%s: is neither a file nor a folder; `--to -` writes to standard "
                       "output", job->to);
    }
    if (n <= 0 || (size_t)n >= sizeof t->file || (job->host && strchr(job->host, '/')))
        return svi_err(err, SV_ELIMIT, "%s: can't be the name of a file", job->to);
    (void)snprintf(t->temp, sizeof t->temp, "%s.%ld.new", t->file, (long)getpid());
    return SV_OK;
}

static sv_status target_open(const svi_backup_job *job, target *t, sv_err *err)
{
    t->is_stdout = strcmp(job->to, "-") == 0;
    t->fd = STDOUT_FILENO;
    if (t->is_stdout && isatty(STDOUT_FILENO))
        return svi_err(err, SV_EINVAL, "a backup is not written to a terminal: redirect it, or name a "
                       "file");
    if (t->is_stdout) return SV_OK;
    t->fd = -1;
    const sv_status status = name_file(job, t, err);
    if (status != SV_OK) return status;
    (void)unlink(t->temp);
    t->fd = open(t->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return t->fd >= 0 ? SV_OK : failed(err, t->file);
}

static sv_status write_all(const target *t, sv_str bytes, sv_err *err)
{
    while (bytes.n > 0) {
        const ssize_t n = write(t->fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(err, t->is_stdout ? "standard output" : t->file);
        bytes = svi_str_sub(bytes, (size_t)n, bytes.n);
    }
    return SV_OK;
}

/* All of it on disk, then its name, then that on disk. */
static sv_status target_keep(target *t, sv_err *err)
{
    if (t->is_stdout) return SV_OK;
    if (fsync(t->fd) != 0) return failed(err, t->file);
    if (close(t->fd) != 0) {
        t->fd = -1;
        return failed(err, t->file);
    }
    t->fd = -1;
    if (rename(t->temp, t->file) != 0) return failed(err, t->file);
    char folder[PATH_MAX];
    const char *slash = strrchr(t->file, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - t->file) + 1 : 1,
                   slash ? t->file : ".");
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const sv_status status = ok ? SV_OK : failed(err, folder);
    if (fd >= 0) (void)close(fd);
    return status;
}

static void target_drop(target *t)
{
    if (t->is_stdout) return;
    if (t->fd >= 0) (void)close(t->fd);
    t->fd = -1;
    if (t->temp[0]) (void)unlink(t->temp);
}

/* --- the file --------------------------------------------------------------------------------------------- */

typedef struct figures {
    svi_frame end;
    uint64_t bytes;
} figures;

static sv_status pump(const svi_backup_job *job, int from, const target *t, figures *f, sv_err *err)
{
    svi_backup_reader *reader = svi_backup_reader_new(job->acct, from);
    svi_frame frame;
    sv_status status;
    while ((status = svi_backup_next(reader, &frame, err)) == SV_OK) {
        status = write_all(t, frame.raw, err);
        if (status != SV_OK) break;
        f->bytes += frame.raw.n;
        if (frame.kind == SVI_FRAME_END) f->end = frame;
    }
    svi_backup_reader_free(&reader);
    if (status == SV_ENOTFOUND) return SV_OK;
    if (status == SV_EIO && strstr(err->text, "cut off"))
        return svi_err(err, SV_ECLOSED, "the server hung up before the backup was whole: look at its log");
    return status;
}

static json_t *request_of(const svi_backup_job *job)
{
    json_t *request = json_pack("{s:s}", "command", SVI_BACKUP_COMMAND);
    if (job->host) (void)json_object_set_new(request, "host", json_string(job->host));
    return request;
}

static sv_status copy(const svi_backup_job *job, target *t, figures *f, sv_err *err)
{
    int from = -1;
    pid_t child = -1;
    json_t *request = request_of(job);
    sv_status status = svi_ask_stream(job->settings->control_socket.p, request, &from, err);
    json_decref(request);
    if (status == SV_ENOTFOUND) {
        status = start_child(job, &child, &from, err);
        if (status == SV_OK) status = svi_ask_begins(from, err);
    }
    if (status == SV_OK) status = pump(job, from, t, f, err);
    if (from >= 0) (void)close(from);
    int how = 0;
    if (child > 0)
        while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    return status;
}

sv_status svi_backup_run(const svi_backup_job *job, json_t **answer_out, sv_err *err)
{
    target t = {.fd = -1};
    figures f = {.bytes = 0};
    (void)signal(SIGPIPE, SIG_IGN); /* of standard output: an error like others */
    sv_status status = target_open(job, &t, err);
    if (status == SV_OK) status = copy(job, &t, &f, err);
    if (status == SV_OK) status = target_keep(&t, err);
    if (status != SV_OK) {
        target_drop(&t);
        return status == SV_ENOTFOUND ? err->code = SV_EINVAL : status;
    }
    *answer_out = json_pack("{s:b, s:s, s:I, s:I, s:I, s:I}", "ok", 1, "file",
                            t.is_stdout ? "-" : t.file, "commit", (json_int_t)f.end.commit, "rows",
                            (json_int_t)f.end.rows, "units", (json_int_t)f.end.units, "bytes",
                            (json_int_t)f.bytes);
    if (*answer_out) return SV_OK;
    *answer_out = json_pack("{s:b}", "ok", 1); /* a name that is no UTF-8 */
    return SV_OK;
}

/* --- looking at one ----------------------------------------------------------------------------------------- */

json_t *svi_backup_tell(const svi_backup_summary *s)
{
    const time_t at = (time_t)(s->wall_us / 1000000);
    struct tm tm;
    char when[32];
    (void)gmtime_r(&at, &tm);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "ok", 1, "made", when,
                     "version", s->version, "host", s->host, "commit", (json_int_t)s->commit, "maps",
                     (json_int_t)s->maps, "rows", (json_int_t)s->rows, "units", (json_int_t)s->units,
                     "bytes", (json_int_t)s->bytes, "salt", s->has_secret);
}

sv_status svi_backup_check(svi_acct *acct, const char *file, json_t **answer_out, sv_err *err)
{
    svi_backup_summary summary;
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", file, strerror(errno));
    sv_err wrong = {.text = ""};
    const sv_status status = svi_backup_verify(acct, fd, &summary, &wrong);
    (void)close(fd);
    if (status != SV_OK) return svi_err(err, status, "%s: %s", file, wrong.text);
    *answer_out = svi_backup_tell(&summary);
    return *answer_out ? SV_OK : svi_err(err, SV_EIO, "%s: holds names that are no UTF-8", file);
}
