/* The process's log: chooses the writer that option log_to asks for. */
#include "main/main_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_logger.h"

#define ROOM_BYTES (1u << 20)
#define END_MS 1000u
#define CRASH_MS 200u

struct svi_log {
    svi_acct *acct;
    sv_str target; /* word or path */
    svi_logger *logger;
    bool is_journal; /* speaks the journal's own protocol */
    int file;        /* the supervisor's, for the next worker; -1: none */
};

static bool is_word(sv_str target, const char *word)
{
    return sv_str_eq(target, sv_str_of(word));
}

/* The daemons' sockets; tests listen on others. */
static const char *socket_path(sv_str target)
{
    const bool is_syslog = is_word(target, "syslog");
    const char *path = getenv(is_syslog ? "STAVE_SYSLOG_SOCKET" : "STAVE_JOURNAL_SOCKET");
    if (path && *path) return path;
    return is_syslog ? "/dev/log" : "/run/systemd/journal/socket";
}

/* True if standard output leads to the journal, which then takes priorities (systemd.exec(5) on
 * $JOURNAL_STREAM). */
static bool stdout_is_journal(void)
{
    char own[64];
    struct stat st;
    const char *journal = getenv("JOURNAL_STREAM");
    if (!journal || fstat(STDOUT_FILENO, &st) != 0) return false;
    (void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(own, journal) == 0;
}

/* --- the file ----------------------------------------------------------------------------------------- */

/* The folder may be the worker's user's: neither a link nor a second name of some other file that
 * it has put there is followed by root, and a FIFO would wait. */
static sv_status open_file(const char *path, int *fd_out, sv_err *err)
{
    struct stat st;
    static const char next[] = "set log_to in the configuration to a file in a folder that is "
                               "there and may be written";
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                        0640);
    if (fd < 0)
        return svi_err(err, SV_EIO, "log file %s: %s; %s", path,
                       errno == ELOOP ? "is a link, which is not followed here" : strerror(errno),
                       next);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink <= 1) {
        *fd_out = fd;
        return SV_OK;
    }
    (void)close(fd);
    return svi_err(err, SV_EIO, "log file %s: is no regular file, or has a second name; %s", path,
                   next);
}

/* --- the daemons -------------------------------------------------------------------------------------- */

static sv_status reach_daemon(sv_str target, sv_err *err)
{
    const char *path = socket_path(target);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return svi_err(err, SV_ELIMIT, "log socket %s: too long a name", path);
    memcpy(at.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool is_there = fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    const int why = errno;
    if (fd >= 0) (void)close(fd);
    if (is_there) return SV_OK;
    return svi_err(err, SV_EIO,
                   "log_to is \"%.*s\", but nobody takes lines at %s: %s; start that daemon first, "
                   "or set log_to in the configuration to \"stdout\" or a file",
                   (int)target.n, target.p, path, strerror(why));
}

/* --- start and end ------------------------------------------------------------------------------------ */

static sv_status start_logger(svi_log *log, int fd, sv_err *err)
{
    const bool is_file = fd >= 0;
    svi_logger_config config = {.acct = log->acct, .kind = SVI_LOGGER_STREAM, .room = ROOM_BYTES};
    config.fd = is_file ? fd : -1;
    log->is_journal = is_word(log->target, "journald");
    if (log->is_journal || is_word(log->target, "syslog")) {
        config.kind = log->is_journal ? SVI_LOGGER_JOURNALD : SVI_LOGGER_SYSLOG;
        config.path = socket_path(log->target);
    } else if (!is_file) {
        config.fd = STDOUT_FILENO;
        if (stdout_is_journal()) config.kind = SVI_LOGGER_PREFIXED;
    }
    return svi_logger_open(&config, &log->logger, err);
}

static void go(svi_log *log, sv_level level, svi_log_format format)
{
    svi_log_setup(level, log->is_journal ? SVI_LOG_JOURNAL : format, svi_logger_sink, log->logger,
                  NULL, NULL);
}

static svi_log *log_new(svi_acct *acct, sv_str target)
{
    svi_log *log = svi_alloc(acct, sizeof *log);
    *log = (svi_log){.acct = acct, .target = target, .file = -1};
    return log;
}

static void log_free(svi_log *log)
{
    if (log->file >= 0) (void)close(log->file);
    svi_free(log);
}

void svi_log_form(svi_log *log, const svi_settings *settings)
{
    go(log, (sv_level)settings->log_level, (svi_log_format)settings->log_format);
}

sv_status svi_log_start(svi_acct *acct, const svi_settings *settings, svi_log **log_out,
                        sv_err *err)
{
    svi_log *log = log_new(acct, settings->log_to);
    sv_status status = SV_OK;
    int fd = -1;
    if (svi_settings_logs_to_file(settings)) {
        status = open_file(log->target.p, &log->file, err);
        if (status == SV_OK) fd = fcntl(log->file, F_DUPFD_CLOEXEC, 3);
        if (status == SV_OK && fd < 0)
            status = svi_err(err, SV_EIO, "log file %s: %s", log->target.p, strerror(errno));
    } else if (!is_word(log->target, "stdout")) {
        status = reach_daemon(log->target, err);
    }
    if (status == SV_OK) status = start_logger(log, fd, err);
    if (status != SV_OK) {
        log_free(log);
        return status;
    }
    svi_log_form(log, settings);
    *log_out = log;
    return SV_OK;
}

sv_status svi_log_join(svi_acct *acct, const char *word, svi_log **log_out, sv_err *err)
{
    int64_t number = -1;
    const sv_str target = sv_str_of(word);
    if (!is_word(target, "stdout") && !is_word(target, "syslog") && !is_word(target, "journald") &&
        svi_str_int(target, 3, 1 << 20, &number) != SV_OK)
        return svi_err(err, SV_EINVAL, "worker: '%s' is no log", word);
    svi_log *log = log_new(acct, target);
    const sv_status status = start_logger(log, (int)number, err);
    if (status != SV_OK) {
        log_free(log);
        return status;
    }
    if (number >= 0) (void)fcntl((int)number, F_SETFD, FD_CLOEXEC);
    go(log, SV_INFO, SVI_LOG_TEXT);
    *log_out = log;
    return SV_OK;
}

void svi_log_word(const svi_log *log, char to[16])
{
    if (log->file >= 0)
        (void)snprintf(to, 16, "%d", log->file);
    else
        (void)snprintf(to, 16, "%.*s", (int)log->target.n, log->target.p);
}

int svi_log_fd(const svi_log *log)
{
    return log->file;
}

bool svi_log_is_file(const svi_log *log)
{
    int64_t number;
    return log->file >= 0 || svi_str_int(log->target, 3, 1 << 20, &number) == SV_OK;
}

sv_status svi_log_reopen(svi_log *log, sv_err *err)
{
    int fd = -1;
    SV_ASSERT(log->file >= 0);
    const sv_status status = open_file(log->target.p, &fd, err);
    if (status != SV_OK) return status;
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0) {
        (void)close(fd);
        return svi_err(err, SV_EIO, "log file %s: %s", log->target.p, strerror(errno));
    }
    (void)close(log->file);
    log->file = fd;
    svi_logger_switch(log->logger, own);
    return SV_OK;
}

void svi_log_take(svi_log *log, int take_fd)
{
    svi_logger_switch(log->logger, take_fd);
}

void svi_log_drain(void *log)
{
    const svi_log *l = log;
    (void)svi_logger_drain(l->logger, CRASH_MS);
}

void svi_log_end(svi_log **log)
{
    svi_log *l = *log;
    *log = NULL;
    if (!l) return;
    svi_logger *logger = l->logger;
    (void)svi_logger_drain(logger, END_MS);
    svi_log_setup(svi_log_level(), SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_logger_close(&logger, 0);
    log_free(l);
}

void svi_log_problems(const svi_problems *problems)
{
    sv_str rest = svi_buf_str(&problems->text), line;
    while (svi_str_split(&rest, '\n', &line))
        SV_LOG(SV_ERROR, "config-error", LF_STR("problem", line));
}
