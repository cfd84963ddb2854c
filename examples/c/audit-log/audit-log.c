/* Writes down who did what, a line of JSON each, into a file of its own: sessions that begin and end, accounts that are made,
 * deleted, disabled and enabled, and who wrote to whom. Never what was written.
 *
 * Shows an engine module (<stave/engine.h>) that works beside the router. A disk can take its time, and nothing may wait on
 * the routing thread; so a handler adds its line to a buffer, and a thread writes what is in there. The buffer is bounded:
 * what finds no room is lost, counted, and told of in the file itself. */
#include <stave/engine.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, SUFFIX_BYTES = 24, NOTE_BYTES = 128, RETRY_MS = 1000 };

/* Places in `metrics`. */
enum { LINES, LOST, FAILING };

typedef struct audit_log {
    sv_mod *mod;
    sv_str file; /* options from here */
    int64_t queue_bytes, rotate_bytes, keep;
    bool messages, syncs;
    char path[PATH_BYTES];
    const sv_engine_api *engine;
    sv_worker *worker;
    /* Of both threads, under the lock: lines that wait. */
    pthread_mutex_t lock;
    char *waiting;
    size_t waiting_bytes;
    uint64_t lost;
    int error; /* why lines can't be written; 0: they can */
    /* The worker's: what it is writing, from `done` on. */
    char *batch;
    size_t batch_bytes, done;
    int fd;
} audit_log;

/* --- on the routing thread: lines ---------------------------------------------------------- */

/* A text as a string of JSON. Addresses are UTF-8; what they may not hold in here is escaped. */
static sv_str quoted(sv_event *ev, sv_str text)
{
    char *to = sv->scratch(ev, 2 * text.n + 2);
    size_t n = 0;
    to[n++] = '"';
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        if (c == '"' || c == '\\') to[n++] = '\\';
        to[n++] = (unsigned char)c < ' ' ? '?' : c;
    }
    to[n++] = '"';
    return (sv_str){to, n};
}

/* Hands a line to the worker, which is told if it may be asleep. Nothing here waits: the lock is held for a copy. */
static void add(audit_log *me, sv_str line)
{
    (void)pthread_mutex_lock(&me->lock);
    const bool was_empty = me->waiting_bytes == 0;
    const bool fits = me->waiting_bytes + line.n <= (size_t)me->queue_bytes;
    if (fits) memcpy(me->waiting + me->waiting_bytes, line.p, line.n);
    me->waiting_bytes += fits ? line.n : 0;
    me->lost += fits ? 0 : 1;
    (void)pthread_mutex_unlock(&me->lock);
    sv->metric_add(me->mod, fits ? LINES : LOST, 1);
    if (was_empty) (void)me->engine->give(me->worker, me); /* as many as may wait are enough to wake it */
}

/* `who` is the account or session that it is about; `more` is empty, or further members behind a comma. */
static sv_verdict note(sv_event *ev, audit_log *me, const char *event, sv_str who, sv_str more)
{
    const sv_str when = sv->stamp(ev, sv->now_ms()), name = quoted(ev, who);
    add(me, sv->format(ev, "{\"time\":\"%.*s\",\"event\":\"%s\",\"who\":%.*s%.*s}\n", (int)when.n, when.p, event, (int)name.n,
                       name.p, (int)more.n, more.p ? more.p : ""));
    return SV_PASS;
}

static sv_verdict on_bound(sv_event *ev, void *self)
{
    return note(ev, self, "login", sv->from(ev)->full, SV_STR_NONE);
}

static sv_verdict on_gone(sv_event *ev, void *self)
{
    return note(ev, self, "logout", sv->from(ev)->full, SV_STR_NONE);
}

static sv_verdict on_added(sv_event *ev, void *self)
{
    return note(ev, self, "account-added", sv->from(ev)->bare, SV_STR_NONE);
}

static sv_verdict on_removed(sv_event *ev, void *self)
{
    return note(ev, self, "account-removed", sv->from(ev)->bare, SV_STR_NONE);
}

static sv_verdict on_disabled(sv_event *ev, void *self)
{
    return note(ev, self, "account-disabled", sv->from(ev)->bare, SV_STR_NONE);
}

static sv_verdict on_enabled(sv_event *ev, void *self)
{
    return note(ev, self, "account-enabled", sv->from(ev)->bare, SV_STR_NONE);
}

/* A type that RFC 6121 knows; anything else is as none (5.2.2), and what a client made up stays out of the file. */
static const char *kind_of(sv_str type)
{
    static const char *const known[] = {"chat", "error", "groupchat", "headline"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (sv_str_eq(type, sv_str_of(known[i]))) return known[i];
    return "normal";
}

static sv_verdict on_message(sv_event *ev, void *self)
{
    audit_log *me = self;
    if (!me->messages || !sv->session(ev)) return SV_PASS;
    const sv_str to = quoted(ev, sv->to(ev)->full);
    return note(ev, me, "message", sv->from(ev)->full,
                sv->format(ev, ",\"to\":%.*s,\"kind\":\"%s\"", (int)to.n, to.p, kind_of(sv->type(ev))));
}

/* --- on the worker's thread: the file ------------------------------------------------------ */

static int open_file(const audit_log *me)
{
    return open(me->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* Older files move up by one, the oldest goes. */
static void rotate(const audit_log *me)
{
    char from[PATH_BYTES + SUFFIX_BYTES], to[PATH_BYTES + SUFFIX_BYTES];
    for (int64_t i = me->keep; i > 0; i--) {
        (void)snprintf(to, sizeof to, "%s.%lld", me->path, (long long)i);
        (void)snprintf(from, sizeof from, i > 1 ? "%s.%lld" : "%s", me->path, (long long)i - 1);
        (void)rename(from, to); /* there may be fewer */
    }
}

/* Opens the file anew if another one is under its name now, or none: somebody else rotates it. Then looks at its size. */
static void refresh(audit_log *me)
{
    struct stat ours, named;
    const bool is_open = me->fd >= 0 && fstat(me->fd, &ours) == 0;
    const bool is_same = is_open && stat(me->path, &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev;
    const bool is_large = is_same && S_ISREG(ours.st_mode) && me->rotate_bytes > 0 && ours.st_size > 0 &&
                          ours.st_size + (int64_t)me->batch_bytes > me->rotate_bytes;
    if (is_same && !is_large) return;
    if (is_large) rotate(me);
    if (me->fd >= 0) (void)close(me->fd);
    me->fd = open_file(me);
}

/* What waits becomes the batch; behind it stands how many found no room meanwhile. */
static bool next_batch(audit_log *me)
{
    if (me->done < me->batch_bytes) return true; /* it was not written yet */
    (void)pthread_mutex_lock(&me->lock);
    char *empty = me->batch;
    const uint64_t lost = me->lost;
    me->batch = me->waiting;
    me->batch_bytes = me->waiting_bytes;
    me->done = 0;
    me->waiting = empty;
    me->waiting_bytes = 0;
    me->lost = 0;
    (void)pthread_mutex_unlock(&me->lock);
    const time_t now = (time_t)sv->now_s();
    struct tm utc;
    if (lost > 0 && gmtime_r(&now, &utc))
        me->batch_bytes += (size_t)snprintf(me->batch + me->batch_bytes, NOTE_BYTES,
                                            "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\",\"event\":\"lost\",\"lines\":%llu}\n",
                                            utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                                            (unsigned long long)lost);
    return me->batch_bytes > 0;
}

/* What is other than before is told to the routing thread, which has the log and the metrics. */
static bool came_of_it(audit_log *me, int error)
{
    (void)pthread_mutex_lock(&me->lock);
    const bool is_new = error != me->error;
    me->error = error;
    (void)pthread_mutex_unlock(&me->lock);
    if (is_new) (void)me->engine->post(me->worker, me); /* refused only at the end, when `stop` tells */
    return error == 0;
}

/* False: later again. What was written of it is not written twice. */
static bool write_batch(audit_log *me)
{
    if (me->done == 0) refresh(me); /* never within a line */
    if (me->fd < 0) return came_of_it(me, errno);
    while (me->done < me->batch_bytes) {
        const ssize_t n = write(me->fd, me->batch + me->done, me->batch_bytes - me->done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return came_of_it(me, n < 0 ? errno : EIO);
        me->done += (size_t)n;
    }
    return came_of_it(me, me->syncs && fdatasync(me->fd) != 0 ? errno : 0);
}

/* Told to end, by a reload or with the server, it writes what there is; the next generation's thread may write beside it, since
 * what is appended in one piece stays in one. */
static void run(sv_worker *worker, void *ctx)
{
    audit_log *me = ctx;
    bool is_over;
    do {
        (void)me->engine->take(worker, me->done < me->batch_bytes ? RETRY_MS : -1);
        is_over = me->engine->worker_ends(worker);
        while (next_batch(me) && write_batch(me)) {}
    } while (!is_over);
    if (me->fd >= 0) (void)close(me->fd);
}

/* --- life ---------------------------------------------------------------------------------- */

/* The worker could not write, or can again. */
static void on_result(void *item, void *self)
{
    audit_log *me = self;
    (void)item;
    (void)pthread_mutex_lock(&me->lock);
    const int error = me->error;
    (void)pthread_mutex_unlock(&me->lock);
    sv->metric_set(me->mod, FAILING, error != 0);
    sv->log(me->mod, error ? SV_ERROR : SV_INFO, error ? "audit-log-failed" : "audit-log-works", "file", me->path, "reason",
            error ? strerror(error) : "it was written", NULL);
}

static void on_undone(void *item, void *self)
{
    (void)item, (void)self; /* it was to wake the thread, which has looked for itself at its end */
}

static sv_status refused(const audit_log *me, const char *why)
{
    sv->log(me->mod, SV_ERROR, "audit-log-refused", "option", "audit_log_file", "reason", why, NULL);
    return SV_EINVAL;
}

/* The file is opened here already, so that a wrong name is told when the server starts, not when the first line is lost. */
static sv_status start(sv_mod *mod, void *self)
{
    audit_log *me = self;
    me->mod = mod;
    me->engine = (const sv_engine_api *)sv->query("engine", 1);
    if (!me->engine) return SV_EVERSION;
    if (me->file.n == 0 || me->file.n >= PATH_BYTES || me->file.p[0] != '/') return refused(me, "it is no path from / on");
    memcpy(me->path, me->file.p, me->file.n);
    me->fd = open_file(me);
    if (me->fd < 0) return refused(me, strerror(errno));
    (void)close(me->fd);
    me->fd = -1;
    me->waiting = sv->alloc(mod, (size_t)me->queue_bytes + NOTE_BYTES);
    me->batch = sv->alloc(mod, (size_t)me->queue_bytes + NOTE_BYTES);
    (void)pthread_mutex_init(&me->lock, NULL);
    const sv_worker_desc desc = {.size = sizeof desc, .name = "audit-log", .run = run, .ctx = me, .result = on_result, .undone = on_undone};
    return me->engine->worker(mod, &desc, &me->worker);
}

static void stop(void *self)
{
    audit_log *me = self;
    if (!me->worker) return; /* it did not start */
    if (me->done < me->batch_bytes) sv->log(me->mod, SV_ERROR, "audit-log-unwritten", "file", me->path, NULL);
    (void)pthread_mutex_destroy(&me->lock); /* the thread was joined */
}

/* MONITOR handlers come last, look, and change nothing. */
static const sv_hook hooks[] = {
    {.on = "session/bound", .call = on_bound, .band = SV_MONITOR},
    {.on = "session/gone", .call = on_gone, .band = SV_MONITOR},
    {.on = "account/added", .call = on_added, .band = SV_MONITOR},
    {.on = "account/removed", .call = on_removed, .band = SV_MONITOR},
    {.on = "account/disabled", .call = on_disabled, .band = SV_MONITOR},
    {.on = "account/enabled", .call = on_enabled, .band = SV_MONITOR},
    {.on = "message/out", .call = on_message, .band = SV_MONITOR},
    {.on = "message/self", .call = on_message, .band = SV_MONITOR},
    {0},
};

static const sv_option options[] = {
    SV_OPT_STRING(audit_log, file, "audit_log_file", NULL, "The file that lines are added to."),
    SV_OPT_BOOL(audit_log, messages, "audit_log_messages", "true", "Whether it is written who sends messages to whom."),
    SV_OPT_SIZE(audit_log, rotate_bytes, "audit_log_rotate", "0", "0", "100G",
                "How large the file may be before another one is begun; 0: it grows, or somebody else moves it away."),
    SV_OPT_INT(audit_log, keep, "audit_log_keep", "5", "1", "1000", "How many older files there are then (.1, .2, ...)."),
    SV_OPT_SIZE(audit_log, queue_bytes, "audit_log_queue", "1M", "4k", "64M",
                "How many bytes may wait for the disk; lines that find no room are lost."),
    SV_OPT_BOOL(audit_log, syncs, "audit_log_sync", "false", "Whether lines are forced to the disk, so that a power cut loses few."),
    {0},
};

static const sv_metric metrics[] = {
    [LINES] = {"audit_log_lines", SV_METRIC_COUNTER, "Lines that were handed to the thread which writes them."},
    [LOST] = {"audit_log_lost", SV_METRIC_COUNTER, "Lines that were lost, since as many as may waited for the disk."},
    [FAILING] = {"audit_log_failing", SV_METRIC_GAUGE, "1 while lines can't be written, else 0."},
    {0},
};

SV_ENGINE(.name = "audit-log", .summary = "Writes down who did what", .self_size = sizeof(audit_log), .hooks = hooks,
          .options = options, .metrics = metrics, .needs = "engine 1", .start = start,
          .stop = stop)
