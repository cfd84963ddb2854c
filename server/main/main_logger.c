/* The log's writer: a bounded ring of records, a thread that takes one after the other out and
 * writes it whole. */
#include "main/main_logger.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "base/base_log.h"
#include "base/base_plat.h"

#define MAGIC 0x4c4f4752u
#define RECORD_BYTES (SVI_LOG_BYTES + 128u)
#define RETRY_MS 200u
#define STEP_MS 1
#define SWITCH_MS 50
#define FACILITY_DAEMON 3

typedef enum outcome { DONE, LATER, LOST } outcome;

struct svi_logger {
    uint32_t magic;
    svi_acct *acct;
    svi_logger_kind kind;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    uv_thread_t thread;
    uv_mutex_t lock; /* of what follows; held for a copy at most */
    uv_cond_t work;  /* there is something to do, or nothing any more */
    char *ring;
    size_t room, from, used;
    uint64_t dropped; /* not told yet */
    int next_fd;      /* to go on with; -1: none */
    bool is_ending;
    _Atomic size_t pending; /* bytes not written yet */
    /* the thread's own */
    int fd;
    bool works; /* the last record went out */
    size_t n, done;
    char record[RECORD_BYTES];
};

/* --- the ring ----------------------------------------------------------------------------------------- */

static void ring_put(svi_logger *logger, const void *bytes, size_t n)
{
    if (n == 0) return;
    const size_t at = (logger->from + logger->used) % logger->room;
    const size_t first = n < logger->room - at ? n : logger->room - at;
    memcpy(logger->ring + at, bytes, first);
    memcpy(logger->ring, (const char *)bytes + first, n - first);
    logger->used += n;
}

static void ring_get(svi_logger *logger, void *bytes, size_t n)
{
    SV_ASSERT(n <= logger->used);
    const size_t first = n < logger->room - logger->from ? n : logger->room - logger->from;
    memcpy(bytes, logger->ring + logger->from, first);
    memcpy((char *)bytes + first, logger->ring, n - first);
    logger->from = (logger->from + n) % logger->room;
    logger->used -= n;
}

/* A record is its length and two parts in one. */
static void push(svi_logger *logger, sv_str head, sv_str body)
{
    const size_t n = head.n + body.n;
    SV_ASSERT(n <= RECORD_BYTES);
    uv_mutex_lock(&logger->lock);
    if (sizeof n + n > logger->room - logger->used) {
        logger->dropped++;
    } else {
        atomic_fetch_add(&logger->pending, n);
        ring_put(logger, &n, sizeof n);
        ring_put(logger, head.p, head.n);
        ring_put(logger, body.p, body.n);
        uv_cond_signal(&logger->work);
    }
    uv_mutex_unlock(&logger->lock);
}

/* --- what a record looks like ------------------------------------------------------------------------- */

/* "<30>Nov 28 18:04:39 stave[123]: ", in local time, as daemons expect it on their local socket. */
static sv_str syslog_head(sv_level level, char to[96])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const svi_plat *plat = svi_plat_kernel();
    const time_t now = (time_t)(plat->wall_us(plat->ctx) / 1000000);
    struct tm tm = {.tm_mon = 0};
    (void)localtime_r(&now, &tm);
    const int n = snprintf(to, 96, "<%d>%.3s %2d %02d:%02d:%02d stave[%d]: ",
                           FACILITY_DAEMON << 3 | svi_log_priority(level), months + 3 * tm.tm_mon,
                           tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid());
    return (sv_str){to, (size_t)n};
}

void svi_logger_sink(void *logger, sv_level level, sv_str line)
{
    svi_logger *l = logger;
    SV_CHECK(l, MAGIC);
    char head[96];
    switch (l->kind) {
    case SVI_LOGGER_PREFIXED: {
        const int n = snprintf(head, sizeof head, "<%d>", svi_log_priority(level));
        push(l, (sv_str){head, (size_t)n}, svi_log_message(line));
        return;
    }
    case SVI_LOGGER_SYSLOG: {
        const sv_str message = svi_log_message(line);
        push(l, syslog_head(level, head), svi_str_sub(message, 0, message.n - 1));
        return;
    }
    default: push(l, SV_STR_NONE, line); return;
    }
}

/* --- writing ------------------------------------------------------------------------------------------ */

static outcome write_stream(svi_logger *l)
{
    while (l->done < l->n) {
        const ssize_t n = write(l->fd, l->record + l->done, l->n - l->done);
        if (n > 0) {
            l->done += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) { /* somebody else's choice for a descriptor we share */
            struct pollfd room = {.fd = l->fd, .events = POLLOUT};
            (void)poll(&room, 1, RETRY_MS);
            return LATER;
        }
        const bool may_pass = n == 0 || errno == ENOSPC || errno == EDQUOT || errno == EIO;
        return may_pass ? LATER : LOST; /* nobody reads any more: serving goes on */
    }
    return DONE;
}

static bool socket_is_open(svi_logger *l)
{
    if (l->fd < 0) l->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return l->fd >= 0;
}

/* By name each time: a daemon that is restarted binds a new socket there. */
static outcome send_datagram(svi_logger *l)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, l->path, sizeof at.sun_path);
    if (!socket_is_open(l)) return LATER;
    ssize_t n;
    do {
        n = sendto(l->fd, l->record, l->n, MSG_NOSIGNAL, (const struct sockaddr *)&at, sizeof at);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return DONE;
    return errno == EMSGSIZE ? LOST : LATER;
}

static outcome write_record(svi_logger *l)
{
    const bool is_stream = l->kind == SVI_LOGGER_STREAM || l->kind == SVI_LOGGER_PREFIXED;
    return is_stream ? write_stream(l) : send_datagram(l);
}

/* --- the thread --------------------------------------------------------------------------------------- */

static void let_go(int fd)
{
    if (fd >= 0 && fd != STDOUT_FILENO) (void)close(fd);
}

static void take_next_fd(svi_logger *l)
{
    if (l->next_fd < 0) return;
    let_go(l->fd);
    l->fd = l->next_fd;
    l->next_fd = -1;
    l->done = 0; /* what was begun stands whole in the new one */
}

/* Under the lock, which it leaves meanwhile. */
static void write_one(svi_logger *l)
{
    uv_mutex_unlock(&l->lock);
    const outcome what = write_record(l);
    uv_mutex_lock(&l->lock);
    l->works = what == DONE;
    if (what == LATER && !l->is_ending) {
        (void)uv_cond_timedwait(&l->work, &l->lock, RETRY_MS * UINT64_C(1000000));
        return;
    }
    if (what != DONE) l->dropped++;
    atomic_fetch_sub(&l->pending, l->n);
    l->n = 0;
}

static void tell_dropped(svi_logger *l)
{
    const uint64_t lines = l->dropped;
    l->dropped = 0;
    uv_mutex_unlock(&l->lock);
    SV_LOG(SV_WARN, "log-dropped", LF_INT("lines", lines));
    uv_mutex_lock(&l->lock);
}

static void run(void *ctx)
{
    svi_logger *l = ctx;
    uv_mutex_lock(&l->lock);
    for (;;) {
        take_next_fd(l);
        if (l->dropped > 0 && l->works && l->used <= l->room / 2 && !l->is_ending) {
            tell_dropped(l);
            continue;
        }
        if (l->n == 0 && l->used > 0) {
            ring_get(l, &l->n, sizeof l->n);
            ring_get(l, l->record, l->n);
            l->done = 0;
        }
        if (l->n > 0)
            write_one(l);
        else if (l->is_ending)
            break;
        else
            uv_cond_wait(&l->work, &l->lock);
    }
    uv_mutex_unlock(&l->lock);
}

/* --- open and close ----------------------------------------------------------------------------------- */

static int start_thread(svi_logger *l)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    sigset_t most, old;
    (void)sigfillset(&most);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) (void)sigdelset(&most, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &most, &old);
    const int failed = uv_thread_create(&l->thread, run, l);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!failed) (void)pthread_setname_np(l->thread, "log");
    return failed;
}

static void release(svi_logger *l)
{
    let_go(l->fd);
    let_go(l->next_fd);
    uv_cond_destroy(&l->work);
    uv_mutex_destroy(&l->lock);
    l->magic = 0;
    svi_free(l->ring);
    svi_free(l);
}

sv_status svi_logger_open(const svi_logger_config *config, svi_logger **logger_out, sv_err *err)
{
    svi_logger *l = svi_alloc(config->acct, sizeof *l);
    *l = (svi_logger){.magic = MAGIC, .acct = config->acct, .kind = config->kind};
    l->ring = svi_alloc(config->acct, config->room);
    l->room = config->room;
    l->fd = config->fd;
    l->next_fd = -1;
    l->works = true;
    (void)snprintf(l->path, sizeof l->path, "%s", config->path ? config->path : "");
    SV_ASSERT(uv_mutex_init(&l->lock) == 0 && uv_cond_init(&l->work) == 0);
    const int failed = start_thread(l);
    if (failed) {
        release(l);
        return svi_err(err, SV_EIO, "the log's thread can't be started: %s", uv_strerror(failed));
    }
    *logger_out = l;
    return SV_OK;
}

void svi_logger_switch(svi_logger *logger, int take_fd)
{
    SV_CHECK(logger, MAGIC);
    uv_mutex_lock(&logger->lock);
    let_go(logger->next_fd);
    logger->next_fd = take_fd;
    uv_cond_signal(&logger->work);
    for (int ms = 0; ms < SWITCH_MS && logger->next_fd >= 0; ms += STEP_MS) {
        uv_mutex_unlock(&logger->lock);
        (void)poll(NULL, 0, STEP_MS);
        uv_mutex_lock(&logger->lock);
    }
    uv_mutex_unlock(&logger->lock);
}

bool svi_logger_drain(svi_logger *logger, unsigned within_ms)
{
    for (unsigned ms = 0; atomic_load(&logger->pending) > 0; ms += STEP_MS) {
        if (ms >= within_ms) return false;
        (void)poll(NULL, 0, STEP_MS);
    }
    return true;
}

static bool end_thread(svi_logger *l, bool is_drained)
{
    uv_mutex_lock(&l->lock);
    l->is_ending = true;
    if (!is_drained) { /* what can't be written stays unwritten */
        l->used = 0;
        l->dropped = 0;
    }
    uv_cond_signal(&l->work);
    uv_mutex_unlock(&l->lock);
    if (!is_drained) return false;
    (void)uv_thread_join(&l->thread);
    return true;
}

void svi_logger_close(svi_logger **logger, unsigned within_ms)
{
    svi_logger *l = *logger;
    *logger = NULL;
    if (!l) return;
    SV_CHECK(l, MAGIC);
    if (end_thread(l, svi_logger_drain(l, within_ms))) release(l);
}
