/* A store engine: keeps what the server stores in another process, tests/mods/sock_server.py, over a unix socket. One thread
 * does one job after the other, each a request and its answer with a time limit. */
#include <stave/engine.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { JOBS = 1 << 20, ANSWER_MAX = 256 << 20, RETRY_MS = 20, WHY = 160 };

typedef struct sock {
    sv_mod *mod;
    sv_str path;
    int64_t limit_ms, wait_ms;
    const sv_engine_api *engine;
    sv_worker *worker;
    int fd;
    _Atomic uint64_t used;
    char why[WHY];
} sock;

typedef struct buf {
    char *p;
    size_t n, cap, at;
    bool failed; /* memory is out, or the answer is cut off */
} buf;

/* --- requests and answers as bytes ---------------------------------------------------------------------- */

static char *room(buf *b, size_t n)
{
    if (b->n + n > b->cap) {
        const size_t cap = (b->n + n) * 2;
        char *p = realloc(b->p, cap);
        if (p == NULL) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    b->n += n;
    return b->p + b->n - n;
}

static void put_number(buf *b, uint64_t number, size_t bytes)
{
    char *to = room(b, bytes);
    for (size_t i = 0; to != NULL && i < bytes; i++) to[i] = (char)(number >> 8 * i & 0xff);
}

static void put_text(buf *b, sv_str s)
{
    put_number(b, s.n, 4);
    char *to = room(b, s.n);
    if (to != NULL && s.n > 0) memcpy(to, s.p, s.n);
}

static uint64_t get_number(buf *b, size_t bytes)
{
    uint64_t number = 0;
    b->failed = b->failed || bytes > b->n - b->at;
    for (size_t i = 0; !b->failed && i < bytes; i++) number |= (uint64_t)(unsigned char)b->p[b->at + i] << 8 * i;
    b->at += b->failed ? 0 : bytes;
    return number;
}

static sv_str get_text(buf *b)
{
    const size_t n = (size_t)get_number(b, 4);
    b->failed = b->failed || n > b->n - b->at;
    if (b->failed) return (sv_str){"", 0};
    b->at += n;
    return (sv_str){b->p + b->at - n, n};
}

static void begin(buf *b, char kind)
{
    b->n = b->at = 0;
    put_number(b, 0, 4); /* the length, when it is known */
    put_number(b, (unsigned char)kind, 1);
}

/* --- the connection ------------------------------------------------------------------------------------- */

static sv_status failed(sock *me, const char *what)
{
    snprintf(me->why, sizeof me->why, "%s: %s", what, errno == EAGAIN ? "no answer in time" : strerror(errno));
    if (me->fd >= 0) close(me->fd);
    me->fd = -1;
    return SV_EIO;
}

static bool send_all(const sock *me, const buf *b)
{
    for (size_t done = 0; done < b->n;) {
        const ssize_t n = send(me->fd, b->p + done, b->n - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool receive(const sock *me, char *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = recv(me->fd, to + done, bytes - done, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ECONNRESET;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* One request and its answer; a connection on which either failed is closed. */
static sv_status exchange(sock *me, buf *ask, buf *answer)
{
    char head[4];
    const size_t n = ask->n;
    if (ask->failed || n - 4 > UINT32_MAX) {
        errno = ENOMEM;
        return failed(me, "the request");
    }
    ask->n = 0;
    put_number(ask, n - 4, 4);
    ask->n = n;
    if (!send_all(me, ask)) return failed(me, "sending");
    if (!receive(me, head, sizeof head)) return failed(me, "the answer");
    buf length = {.p = head, .n = sizeof head};
    const size_t bytes = (size_t)get_number(&length, 4);
    answer->n = answer->at = 0;
    answer->failed = false;
    if (bytes == 0 || bytes > ANSWER_MAX || room(answer, bytes) == NULL) {
        errno = EMSGSIZE;
        return failed(me, "the answer");
    }
    if (!receive(me, answer->p, bytes)) return failed(me, "the answer");
    const uint64_t status = get_number(answer, 1);
    if (status == 0) return SV_OK;
    const sv_str why = get_text(answer);
    snprintf(me->why, sizeof me->why, "the data base says: %.*s", (int)(why.n < 100 ? why.n : 100), why.p);
    return status == 2 ? SV_EBUSY : SV_EIO;
}

static sv_status join(sock *me, buf *answer)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = me->limit_ms / 1000, .tv_usec = me->limit_ms % 1000 * 1000};
    if (me->path.n == 0 || me->path.n >= sizeof at.sun_path) {
        errno = ENAMETOOLONG;
        return failed(me, "sock_path");
    }
    memcpy(at.sun_path, me->path.p, me->path.n);
    me->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (me->fd < 0) return failed(me, "socket");
    (void)setsockopt(me->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(me->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(me->fd, (const struct sockaddr *)&at, sizeof at) != 0) return failed(me, "connecting");
    buf hello = {.p = NULL};
    begin(&hello, 'H');
    const sv_status status = exchange(me, &hello, answer);
    free(hello.p);
    if (status != SV_OK && me->fd >= 0) {
        close(me->fd);
        me->fd = -1;
    }
    return status;
}

/* --- jobs ----------------------------------------------------------------------------------------------- */

static void put_changes(const sock *me, sv_store_job *job, buf *b)
{
    sv_store_change c = {.size = sizeof c};
    put_number(b, job->last, 8);
    const size_t at = b->n;
    size_t count = 0;
    put_number(b, 0, 4);
    for (; me->engine->job_change(job, count, &c); count++) {
        put_number(b, c.all ? 'A' : c.value.p != NULL ? 'P' : 'D', 1);
        put_number(b, c.map, 4);
        put_text(b, c.owner);
        put_text(b, c.key);
        put_text(b, c.value);
    }
    if (b->failed) return;
    const size_t end = b->n;
    b->n = at;
    put_number(b, count, 4);
    b->n = end;
}

static void put_job(const sock *me, sv_store_job *job, buf *b)
{
    static const char kinds[] = {[SV_STORE_COMMIT] = 'C', [SV_STORE_FOLD] = 'F',   [SV_STORE_GET] = 'G',
                                 [SV_STORE_SCAN] = 'S',   [SV_STORE_OWNERS] = 'O', [SV_STORE_RANGE] = 'R'};
    begin(b, kinds[job->kind]);
    if (job->kind == SV_STORE_COMMIT) {
        put_number(b, job->first, 8);
        put_number(b, job->record_count, 4);
        for (size_t i = 0; i < job->record_count; i++) put_text(b, job->records[i]);
        return;
    }
    if (job->kind == SV_STORE_FOLD) {
        put_changes(me, job, b);
        return;
    }
    put_number(b, job->map, 4);
    if (job->kind == SV_STORE_RANGE) {
        put_text(b, job->from);
        put_number(b, job->max_bytes < UINT32_MAX ? job->max_bytes : UINT32_MAX, 4);
        return;
    }
    if (job->kind == SV_STORE_OWNERS) put_number(b, job->owner.p != NULL, 1);
    put_text(b, job->owner);
    if (job->kind == SV_STORE_GET) put_text(b, job->key);
    if (job->kind == SV_STORE_OWNERS) put_number(b, job->max, 4);
}

static void take_rows(const sock *me, sv_store_job *job, buf *b)
{
    const bool is_get = job->kind == SV_STORE_GET, is_owners = job->kind == SV_STORE_OWNERS;
    const size_t count = (size_t)get_number(b, is_get ? 1 : 4);
    for (size_t i = 0; i < count && !b->failed; i++) {
        const sv_str owner = is_owners || job->kind == SV_STORE_RANGE ? get_text(b) : job->owner;
        const sv_str key = is_owners ? SV_STR("") : is_get ? job->key : get_text(b);
        const sv_str value = is_owners ? SV_STR("") : get_text(b);
        if (!b->failed) me->engine->job_row(job, owner, key, value);
    }
    if (is_owners && get_number(b, 1) == 1) me->engine->job_more(job, SV_STR_NONE);
    const sv_str place = job->kind == SV_STORE_RANGE ? get_text(b) : SV_STR_NONE;
    if (place.n > 0) me->engine->job_more(job, place);
}

/* A job is asked once; only that there is a connection is tried before, so that one that was lost meanwhile is made anew. For a
 * commit whose answer is lost nobody knows what is stored: it has failed. */
static sv_status do_job(sock *me, sv_store_job *job, buf *ask, buf *answer)
{
    const bool keeps = job->kind == SV_STORE_COMMIT || job->kind == SV_STORE_FOLD;
    sv_status status = me->fd >= 0 ? SV_OK : join(me, answer);
    if (status != SV_OK) return status;
    put_job(me, job, ask);
    status = exchange(me, ask, answer);
    if (status != SV_OK && me->fd < 0 && !keeps && join(me, answer) == SV_OK) status = exchange(me, ask, answer);
    if (status != SV_OK) return status;
    if (keeps)
        atomic_store(&me->used, get_number(answer, 8));
    else
        take_rows(me, job, answer);
    errno = EBADMSG;
    return answer->failed ? failed(me, "the answer") : SV_OK;
}

static void run(sv_worker *worker, void *ctx)
{
    sock *me = ctx;
    buf ask = {.p = NULL}, answer = {.p = NULL};
    while (!me->engine->worker_ends(worker)) {
        sv_store_job *job = me->engine->take(worker, -1);
        if (job == NULL) continue;
        const sv_status status = do_job(me, job, &ask, &answer);
        me->engine->job_done(job, status, me->why);
    }
    free(ask.p);
    free(answer.p);
}

/* --- what the server asks ------------------------------------------------------------------------------- */

/* Waits for a data base that is not there yet, as after both were started at once. */
static sv_status join_in_time(sock *me, const sv_recovery *to, buf *answer)
{
    sv_status status = join(me, answer);
    if (status != SV_OK && me->wait_ms > 0) sv->log(me->mod, SV_WARN, "sock-waits", "reason", me->why, (char *)NULL);
    for (int64_t waited = 0; status != SV_OK && waited < me->wait_ms; waited += RETRY_MS) {
        if (me->engine->recover_ends(to)) return SV_ECANCELED;
        (void)poll(NULL, 0, RETRY_MS);
        status = join(me, answer);
    }
    return status;
}

static sv_status recover(sv_recovery *to, sv_durability durability, sv_err *err, void *self)
{
    sock *me = self;
    (void)durability; /* each commit is synced there */
    buf answer = {.p = NULL};
    sv_status status = join_in_time(me, to, &answer);
    if (status == SV_OK) {
        me->engine->recover_folded(to, get_number(&answer, 8));
        const uint64_t count = get_number(&answer, 4);
        for (uint64_t i = 0; i < count && status == SV_OK && !answer.failed; i++) {
            const uint64_t number = get_number(&answer, 8);
            status = me->engine->recover_unit(to, number, get_text(&answer));
        }
        if (answer.failed) status = SV_EIO;
    }
    if (status != SV_OK)
        snprintf(err->text, sizeof err->text, "%.150s (sock_path)", me->why[0] != '\0' ? me->why : "its answer is damaged");
    free(answer.p);
    return status;
}

static void on_job(sv_store_job *job, void *self)
{
    const sock *me = self;
    if (me->engine->give(me->worker, job) != SV_OK) me->engine->job_done(job, SV_ELIMIT, "too many jobs wait");
}

static void on_undone(void *item, void *self)
{
    const sock *me = self;
    me->engine->job_done(item, SV_ECANCELED, "the server ends");
}

static void space(sv_store_space *space_out, void *self)
{
    sock *me = self;
    space_out->rows = atomic_load(&me->used);
}

static sv_status start(sv_mod *mod, void *self)
{
    sock *me = self;
    static const sv_store_engine store = {.size = sizeof store, .recover = recover, .start = on_job, .space = space};
    me->mod = mod;
    me->fd = -1;
    me->engine = (const sv_engine_api *)sv->query("engine", 1);
    if (me->engine == NULL) return SV_EVERSION;
    const sv_worker_desc desc = {.size = sizeof desc, .name = "sock", .run = run, .ctx = me, .undone = on_undone, .give_max = JOBS};
    const sv_status status = me->engine->store_register(mod, &store);
    return status == SV_OK ? me->engine->worker(mod, &desc, &me->worker) : status;
}

static void stop(void *self)
{
    const sock *me = self;
    if (me->fd >= 0) close(me->fd);
    sv->log(me->mod, SV_INFO, "sock-stop", (char *)NULL);
}

static const sv_option options[] = {
    SV_OPT_STRING(sock, path, "sock_path", NULL, "The data base's socket."),
    SV_OPT_PERIOD(sock, limit_ms, "sock_timeout", "5s", "10ms", "9s", "How long an answer may take."),
    SV_OPT_PERIOD(sock, wait_ms, "sock_wait", "0s", "0s", "1h", "How long a start waits for the data base."),
    {0},
};

SV_ENGINE(.name = "sock", .summary = "Keeps the store in another process", .self_size = sizeof(sock), .options = options,
          .start = start, .stop = stop)
