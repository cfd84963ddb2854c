/* Making a backup: a thread that writes rows of the index and, behind them, the units that were committed meanwhile.
 *
 * The committing thread hands units over under store->tap_lock; the router only begins and ends. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store_backup_impl.h"

#define QUEUE_BYTES ((size_t)64 << 20)
#define STALL_MS (10u * 60 * 1000)
#define LOOK_MS 100        /* between two looks whether it was cancelled */
#define CHUNK_BYTES (256u << 10)
#define FRAME_BYTES (1u << 20) /* rows beyond which a frame is closed */
#define NICE 10

/* Units of one batch, each as number (8), length (4), record; those before `at` are written. */
typedef struct tapped {
    struct tapped *next;
    size_t n, at;
    char bytes[];
} tapped;

typedef enum phase { OPENING, FOLDING, SCANNING, CLOSING } phase;

struct svi_backup {
    svi_store *store;
    svi_engine *engine;
    svi_acct *acct;
    svi_backup_config config;
    char host[SVI_OWNER_MAX + 1], secret_name[64], secret[64];
    pthread_t thread;
    int64_t began_us, wall_us;
    uint64_t begun_at; /* the commit behind which units are kept */

    /* under store->tap_lock */
    pthread_cond_t cond;
    tapped *first, **end;
    size_t queued_bytes;
    bool overflow, canceled, may_scan;
    uint64_t folded; /* newest unit that the index holds */
    /* A chunk is read and a fold runs never at the same time, so that of what is read it is known which units are in it. */
    bool scans, folds, fold_waits;
    bool is_whole; /* takes no more units */
    _Atomic bool is_over; /* read without the lock */

    /* the thread's */
    phase phase;
    tapped *held, **held_end; /* taken over, and not all written */
    svi_crc crc;
    uint32_t seed;
    svi_buf frame;
    uint32_t *maps; /* to be scanned */
    size_t map_count, map_at;
    uint8_t *wanted; /* with a host: a byte for each map number */
    size_t wanted_n;
    svi_arena *arena;
    svi_buf from; /* where the next range begins */
    int64_t scan_us; /* when the scan began */
    uint64_t commit, scanned_bytes; /* commit: of the state */
    bool is_broken; /* nothing more can be written */
    svi_backup_result result;
};

static int64_t now_us(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx);
}

bool svi_map_is_of(sv_str map, sv_str host)
{
    return host.n > 0 && svi_str_find(map, '/') == host.n && svi_str_starts(map, host);
}

/* --- what is wanted -------------------------------------------------------------------------------- */

static bool is_all(const svi_backup *b)
{
    return b->config.host.n == 0;
}

static bool is_wanted(const svi_backup *b, uint32_t map)
{
    return is_all(b) || (map < b->wanted_n && b->wanted[map]);
}

static void want(svi_backup *b, uint32_t map)
{
    if (map >= b->wanted_n) {
        const size_t n = (size_t)map + 64;
        b->wanted = svi_realloc(b->acct, b->wanted, n);
        memset(b->wanted + b->wanted_n, 0, n - b->wanted_n);
        b->wanted_n = n;
    }
    b->wanted[map] = 1;
}

/* Of the list of maps, those of the host; a map that is new is wanted from now on. */
static bool keeps(svi_backup *b, const svi_op *op)
{
    if (is_all(b)) return true;
    if (op->map != 0) return is_wanted(b, op->map);
    if (!svi_map_is_of(op->key, b->config.host)) return false;
    svi_map_row row;
    if (svi_map_row_read(op->value, &row)) want(b, row.number);
    return true;
}

/* --- writing --------------------------------------------------------------------------------------- */

static svi_backup_state give_up(svi_backup *b, sv_status status, const char *why)
{
    if (b->result.status == SV_OK) b->result.status = svi_err(&b->result.err, status, "%s", why);
    return SVI_BACKUP_OVER;
}

static bool is_canceled(svi_backup *b)
{
    pthread_mutex_lock(&b->store->tap_lock);
    const bool yes = b->canceled || b->overflow;
    pthread_mutex_unlock(&b->store->tap_lock);
    return yes;
}

/* Waits until more can be written; false if it is not worth it any more. */
static bool wait_writable(svi_backup *b, unsigned *waited_ms)
{
    struct pollfd p = {.fd = b->config.fd, .events = POLLOUT};
    if (poll(&p, 1, LOOK_MS) > 0) return true;
    *waited_ms += LOOK_MS;
    if (*waited_ms >= b->config.stall_ms) {
        (void)give_up(b, SV_ETIMEOUT, "who takes the backup has read nothing for too long");
        return false;
    }
    return !is_canceled(b);
}

static void write_out(svi_backup *b, sv_str bytes)
{
    unsigned waited_ms = 0;
    while (bytes.n > 0 && !b->is_broken) {
        const ssize_t n = write(b->config.fd, bytes.p, bytes.n);
        if (n > 0) {
            bytes = svi_str_sub(bytes, (size_t)n, bytes.n);
            b->result.bytes += (uint64_t)n;
            waited_ms = 0;
        } else if (n < 0 && errno == EAGAIN) {
            b->is_broken = !wait_writable(b, &waited_ms);
        } else if (n == 0 || errno != EINTR) {
            b->is_broken = true;
            (void)give_up(b, errno == ENOSPC ? SV_ENOSPC : SV_EIO, strerror(errno));
        }
    }
}

static void frame_begin(svi_backup *b)
{
    svi_buf_clear(&b->frame);
    memset(svi_buf_space(&b->frame, SVI_FRAME_HEAD), 0, SVI_FRAME_HEAD);
    b->frame.len = SVI_FRAME_HEAD;
}

static void frame_number(svi_backup *b, uint64_t number, unsigned bytes)
{
    svi_put_le(svi_buf_space(&b->frame, bytes), number, bytes);
    b->frame.len += bytes;
}

static void frame_text(svi_backup *b, sv_str text)
{
    frame_number(b, text.n, 2);
    svi_buf_put(&b->frame, text);
}

static void frame_end(svi_backup *b, svi_frame_kind kind)
{
    char *p = b->frame.data;
    p[0] = (char)kind;
    svi_put_le(p + 4, b->frame.len - SVI_FRAME_HEAD, 4);
    b->seed = svi_frame_crc(&b->crc, b->seed, p, b->frame.len);
    svi_put_le(p + 8, b->seed, 4);
    write_out(b, svi_buf_str(&b->frame));
}

static void write_head(svi_backup *b)
{
    char header[SVI_BACKUP_HEADER];
    memcpy(header, SVI_BACKUP_MAGIC, 8);
    svi_put_le(header + 8, SVI_BACKUP_FORMAT, 4);
    b->seed = svi_crc32c(&b->crc, 0, header, 12);
    svi_put_le(header + 12, b->seed, 4);
    write_out(b, (sv_str){header, sizeof header});
    frame_begin(b);
    frame_number(b, (uint64_t)b->wall_us, 8);
    frame_number(b, b->begun_at, 8);
    frame_text(b, b->config.host);
    frame_text(b, sv_str_of(b->config.version ? b->config.version : ""));
    frame_end(b, SVI_FRAME_INFO);
    if (b->config.secret_name.n == 0) return;
    frame_begin(b);
    frame_text(b, b->config.secret_name);
    svi_buf_put(&b->frame, b->config.secret);
    frame_end(b, SVI_FRAME_SECRET);
}

/* --- units ----------------------------------------------------------------------------------------- */

/* Any thread. Behind a bound it keeps nothing: the backup ends. */
void svi_backup_tap(svi_backup *b, const svi_job *job)
{
    if (b->overflow || b->canceled || b->is_whole || b->is_over) return;
    size_t n = 0;
    for (size_t i = 0; i < job->record_count; i++) n += 12 + job->records[i].n;
    b->overflow = b->queued_bytes + n > b->config.queue_bytes;
    pthread_cond_signal(&b->cond);
    if (b->overflow) return;
    tapped *t = svi_alloc_raw(b->acct, sizeof *t + n);
    *t = (tapped){.n = n};
    char *to = t->bytes;
    for (size_t i = 0; i < job->record_count; i++) {
        svi_put_le(to, job->first + i, 8);
        svi_put_le(to + 8, job->records[i].n, 4);
        memcpy(to + 12, job->records[i].p, job->records[i].n);
        to += 12 + job->records[i].n;
    }
    *b->end = t;
    b->end = &t->next;
    b->queued_bytes += n;
}

static void write_unit(svi_backup *b, uint64_t number, sv_str record)
{
    frame_begin(b);
    frame_number(b, number, 8);
    const size_t empty = b->frame.len;
    if (is_all(b)) {
        svi_buf_put(&b->frame, record);
    } else {
        svi_op op;
        svi_buf part;
        svi_buf_init(&part, b->acct);
        for (size_t pos = 0; svi_record_next(record, &pos, &op) == SV_OK;)
            if (keeps(b, &op)) svi_record_put(&part, &op);
        svi_buf_put(&b->frame, svi_buf_str(&part));
        svi_buf_free(&part);
    }
    if (b->frame.len == empty) return; /* of other hosts only */
    frame_end(b, SVI_FRAME_UNIT);
    b->result.units++;
}

/* Takes over what was tapped and writes the units up to `last`, not one more: rows that the index has then come behind them. */
static void write_tapped(svi_backup *b, tapped *list, uint64_t last)
{
    *b->held_end = list;
    while (*b->held_end) b->held_end = &(*b->held_end)->next;
    while (b->held) {
        tapped *t = b->held;
        while (t->at < t->n) {
            const uint64_t number = svi_get_le(t->bytes + t->at, 8);
            const size_t n = (size_t)svi_get_le(t->bytes + t->at + 8, 4);
            if (number > last) return;
            write_unit(b, number, (sv_str){t->bytes + t->at + 12, n});
            t->at += 12 + n;
        }
        b->held = t->next;
        if (!b->held) b->held_end = &b->held;
        pthread_mutex_lock(&b->store->tap_lock);
        b->queued_bytes -= t->n; /* not before: the bound is of what is in memory */
        pthread_mutex_unlock(&b->store->tap_lock);
        svi_free(t);
    }
}

/* --- rows ------------------------------------------------------------------------------------------ */

static void write_rows(svi_backup *b, const svi_job *job)
{
    svi_buf record;
    svi_buf_init(&record, b->acct);
    for (size_t i = 0; i < job->row_count; i++) {
        const svi_row_change *row = &job->rows[i];
        const svi_op op = {.kind = SVI_OP_PUT,
                           .map = row->key.map,
                           .owner = row->key.owner,
                           .key = row->key.key,
                           .value = row->value};
        if (!keeps(b, &op)) continue;
        svi_record_put(&record, &op);
        b->result.rows++;
        b->scanned_bytes += op.owner.n + op.key.n + op.value.n;
        if (record.len < FRAME_BYTES) continue;
        frame_begin(b);
        svi_buf_put(&b->frame, svi_buf_str(&record));
        frame_end(b, SVI_FRAME_ROWS);
        svi_buf_clear(&record);
    }
    if (record.len > 0) {
        frame_begin(b);
        svi_buf_put(&b->frame, svi_buf_str(&record));
        frame_end(b, SVI_FRAME_ROWS);
    }
    svi_buf_free(&record);
}

/* The next chunk of the map at hand; no fold runs. */
static svi_backup_state scan_chunk(svi_backup *b)
{
    if (b->map_at == b->map_count) {
        b->phase = CLOSING;
        return SVI_BACKUP_MORE;
    }
    svi_job job = {.kind = SVI_JOB_RANGE,
                   .key = {.map = b->maps[b->map_at]},
                   .arena = b->arena,
                   .max_bytes = b->config.chunk_bytes,
                   .from = svi_buf_str(&b->from)};
    b->engine->ops->range(b->engine, &job);
    if (job.status != SV_OK) return give_up(b, job.status, job.err.text);
    write_rows(b, &job);
    svi_buf_clear(&b->from);
    if (job.more)
        svi_buf_put(&b->from, job.from);
    else
        b->map_at++;
    svi_arena_clear(b->arena);
    return SVI_BACKUP_MORE;
}

/* The next chunk, if no fold runs or waits. Meanwhile the router starts none. */
static svi_backup_state scan(svi_backup *b)
{
    svi_store *store = b->store;
    pthread_mutex_lock(&store->tap_lock);
    b->scans = !b->folds && !b->fold_waits;
    const bool may = b->scans;
    const uint64_t folded = b->folded;
    pthread_mutex_unlock(&store->tap_lock);
    if (!may) return SVI_BACKUP_WAIT;
    write_tapped(b, NULL, folded);
    const svi_backup_state state = b->is_broken ? SVI_BACKUP_OVER : scan_chunk(b);
    pthread_mutex_lock(&store->tap_lock);
    b->scans = false;
    const bool fold_waits = b->fold_waits;
    pthread_mutex_unlock(&store->tap_lock);
    if (fold_waits) svi_store_wake(store);
    return state;
}

/* When the rate allows the next chunk. */
static int64_t due_us(const svi_backup *b)
{
    if (b->config.rate_bytes == 0) return 0;
    return b->scan_us + (int64_t)((double)b->scanned_bytes * 1e6 / (double)b->config.rate_bytes);
}

/* --- steps ----------------------------------------------------------------------------------------- */

static svi_backup_state finish(svi_backup *b)
{
    frame_begin(b);
    frame_number(b, b->commit, 8);
    frame_number(b, b->result.rows, 8);
    frame_number(b, b->result.units, 8);
    frame_end(b, SVI_FRAME_END);
    b->result.commit = b->commit;
    return SVI_BACKUP_OVER;
}

static svi_backup_state open_stream(svi_backup *b)
{
    write_head(b);
    b->phase = FOLDING;
    return SVI_BACKUP_MORE;
}

static svi_backup_state piece(svi_backup *b)
{
    svi_store *store = b->store;
    pthread_mutex_lock(&store->tap_lock);
    tapped *list = b->phase == OPENING ? NULL : b->first;
    if (list) {
        b->first = NULL;
        b->end = &b->first;
    }
    const bool canceled = b->canceled, overflow = b->overflow, may_scan = b->may_scan;
    const uint64_t last = b->phase == CLOSING ? UINT64_MAX : b->folded;
    /* the state is that of the newest commit; from here on units are not ours any more */
    const bool is_last = b->phase == CLOSING && !list && !b->held;
    if (is_last) {
        b->commit = store->synced;
        b->is_whole = true;
    }
    pthread_mutex_unlock(&store->tap_lock);
    write_tapped(b, list, last);
    if (b->is_broken) return SVI_BACKUP_OVER;
    if (canceled) return give_up(b, SV_ECANCELED, "the server stops");
    if (overflow)
        return give_up(b, SV_ELIMIT,
                       "who takes the backup reads more slowly than the server stores, and what waited "
                       "for it passed its bound");
    if (b->phase == OPENING) return open_stream(b);
    if (is_last) return finish(b);
    if (b->phase == FOLDING) {
        if (!may_scan) return SVI_BACKUP_WAIT;
        b->phase = SCANNING;
        b->scan_us = now_us();
    }
    if (b->phase == SCANNING) return due_us(b) > now_us() ? SVI_BACKUP_WAIT : scan(b);
    return SVI_BACKUP_MORE;
}

svi_backup_state svi_backup_step(svi_backup *b)
{
    svi_backup_state state = piece(b);
    if (b->is_broken || b->result.status != SV_OK) state = SVI_BACKUP_OVER;
    if (state != SVI_BACKUP_OVER) return state;
    if (b->is_broken) (void)give_up(b, SV_ECANCELED, "the server stops");
    if (b->result.status != SV_OK && !b->is_broken) {
        frame_begin(b);
        svi_buf_put(&b->frame, sv_str_of(b->result.err.text));
        frame_end(b, SVI_FRAME_FAILED);
    }
    b->result.took_us = now_us() - b->began_us;
    pthread_mutex_lock(&b->store->tap_lock);
    b->is_over = true;
    pthread_mutex_unlock(&b->store->tap_lock);
    svi_store_wake(b->store);
    return state;
}

/* Until there is something to do, or the rate allows more. */
static void rest(svi_backup *b)
{
    int64_t until_us = now_us() + LOOK_MS * 1000;
    if (b->phase == SCANNING && due_us(b) < until_us) until_us = due_us(b);
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    pthread_mutex_lock(&b->store->tap_lock);
    if (!b->first && !b->canceled && !b->overflow)
        (void)pthread_cond_timedwait(&b->cond, &b->store->tap_lock, &until);
    pthread_mutex_unlock(&b->store->tap_lock);
}

/* It takes what others leave of the processor. */
static void *backup_thread(void *ctx)
{
    svi_backup *b = ctx;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    for (;;) {
        const svi_backup_state state = svi_backup_step(b);
        if (state == SVI_BACKUP_OVER) return NULL;
        if (state == SVI_BACKUP_WAIT) rest(b);
    }
}

/* --- begin and end, on the router ------------------------------------------------------------------- */

static sv_str keep(sv_str text, char *to, size_t room)
{
    SV_ASSERT(text.n <= room);
    if (text.n > 0) memcpy(to, text.p, text.n);
    return (sv_str){to, text.n};
}

static svi_backup *backup_new(svi_store *store, const svi_backup_config *config)
{
    const svi_plat *plat = store->config.plat;
    svi_backup *b = svi_alloc(store->acct, sizeof *b);
    b->store = store;
    b->engine = store->engine;
    b->acct = store->acct;
    b->config = *config;
    b->config.host = keep(config->host, b->host, sizeof b->host);
    b->config.secret_name = keep(config->secret_name, b->secret_name, sizeof b->secret_name);
    b->config.secret = keep(config->secret, b->secret, sizeof b->secret);
    if (b->config.queue_bytes == 0) b->config.queue_bytes = QUEUE_BYTES;
    if (b->config.chunk_bytes == 0) b->config.chunk_bytes = CHUNK_BYTES;
    if (b->config.stall_ms == 0) b->config.stall_ms = STALL_MS;
    b->began_us = now_us();
    b->wall_us = plat->wall_us(plat->ctx);
    b->end = &b->first;
    b->held_end = &b->held;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->cond, &attr);
    pthread_condattr_destroy(&attr);
    svi_crc_init(&b->crc);
    svi_buf_init(&b->frame, b->acct);
    svi_buf_init(&b->from, b->acct);
    b->arena = svi_arena_new(b->acct, 64u << 10);
    return b;
}

static void tapped_free(tapped *list)
{
    while (list) {
        tapped *t = list;
        list = t->next;
        svi_free(t);
    }
}

static void backup_free(svi_backup *b)
{
    tapped_free(b->held);
    tapped_free(b->first);
    pthread_cond_destroy(&b->cond);
    svi_buf_free(&b->frame);
    svi_buf_free(&b->from);
    svi_arena_free(&b->arena);
    svi_free(b->maps);
    svi_free(b->wanted);
    explicit_bzero(b->secret, sizeof b->secret);
    svi_free(b);
}

/* The list of maps itself, then all of those. Maps that are made later are in units from their first row on. */
static void list_maps(svi_backup *b)
{
    const svi_dict *names = b->store->map_names;
    size_t pos = 0;
    sv_str name;
    void *item;
    b->maps = svi_alloc(b->acct, (svi_dict_count(names) + 1) * sizeof *b->maps);
    b->map_count = 1;
    while (svi_dict_next(names, &pos, &name, &item)) {
        const svi_map *map = item;
        if (!is_all(b) && !svi_map_is_of(name, b->config.host)) continue;
        if (!is_all(b)) want(b, map->number);
        b->maps[b->map_count++] = map->number;
    }
}

sv_status svi_backup_start(svi_store *store, const svi_backup_config *config,
                           svi_backup **backup_out, sv_err *err)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (store->backup) return svi_err(err, SV_EBUSY, "a backup is being made already");
    if (store->failed || store->closing)
        return svi_err(err, SV_EIO, "the store has failed or is closing");
    if (config->host.n > SVI_OWNER_MAX)
        return svi_err(err, SV_EINVAL, "the host's name is too long");
    svi_backup *b = backup_new(store, config);
    list_maps(b);
    if (b->map_count == 1 && !is_all(b)) {
        backup_free(b);
        return svi_err(err, SV_ENOTFOUND, "nothing was ever stored for the host %.*s",
                       (int)config->host.n, config->host.p);
    }
    pthread_mutex_lock(&store->tap_lock);
    b->begun_at = store->synced;
    b->folds = store->fold_runs;
    store->backup = b;
    pthread_mutex_unlock(&store->tap_lock);
    svi_backup_folded(store);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    const int failed = config->by_steps ? 0 : pthread_create(&b->thread, NULL, backup_thread, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        pthread_mutex_lock(&store->tap_lock);
        store->backup = NULL;
        pthread_mutex_unlock(&store->tap_lock);
        backup_free(b);
        return svi_err(err, SV_EIO, "can't start a thread: %s", strerror(failed));
    }
    if (!config->by_steps) pthread_setname_np(b->thread, "store-backup");
    svi_store_wake(store); /* what is not folded has to be */
    *backup_out = b;
    return SV_OK;
}

void svi_backup_folded(svi_store *store)
{
    svi_backup *b = store->backup;
    if (!b) return;
    pthread_mutex_lock(&store->tap_lock);
    b->folded = store->folded;
    b->folds = store->fold_runs;
    b->may_scan = b->may_scan || b->folded >= b->begun_at;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&store->tap_lock);
}

bool svi_backup_lets_fold(svi_store *store)
{
    svi_backup *b = store->backup;
    if (!b) return true;
    pthread_mutex_lock(&store->tap_lock);
    b->folds = !b->scans;
    b->fold_waits = b->scans;
    const bool may = b->folds;
    pthread_mutex_unlock(&store->tap_lock);
    return may;
}

bool svi_backup_wants_fold(svi_store *store)
{
    svi_backup *b = store->backup;
    if (!b) return false;
    pthread_mutex_lock(&store->tap_lock);
    /* units that are not folded wait with the backup, too: before they are too many, and not for a few */
    const size_t max = b->config.queue_bytes;
    const bool wants = !b->may_scan || (b->queued_bytes > max / 2 && store->newest->bytes > max / 8);
    pthread_mutex_unlock(&store->tap_lock);
    return wants;
}

static void end(svi_store *store)
{
    svi_backup *b = store->backup;
    if (!b->config.by_steps) pthread_join(b->thread, NULL);
    pthread_mutex_lock(&store->tap_lock);
    store->backup = NULL;
    pthread_mutex_unlock(&store->tap_lock);
    const svi_backup_result result = b->result;
    void (*const done)(void *, const svi_backup_result *) = b->config.done;
    void *ctx = b->config.ctx;
    backup_free(b);
    if (done) done(ctx, &result);
}

void svi_backup_poll(svi_store *store)
{
    if (store->backup && store->backup->is_over) end(store);
}

void svi_backup_cancel(svi_store *store)
{
    svi_backup *b = store->backup;
    if (!b) return;
    pthread_mutex_lock(&store->tap_lock);
    b->canceled = true;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&store->tap_lock);
    while (b->config.by_steps && svi_backup_step(b) != SVI_BACKUP_OVER) continue;
    end(store);
}
