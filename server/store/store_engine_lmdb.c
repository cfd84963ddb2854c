/* The engine on disk: a writer thread with the journal, a folding thread with the LMDB index, and reader threads.
 *
 * The folding thread also keeps house: an empty journal segment in reserve, the ballast, and the figures of free space, so
 * that the router never makes a system call for them. With `single_thread` all this happens inside poll. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "base/base_str.h"
#include "store/store_index.h"
#include "store/store_journal.h"

#define DEFAULT_MAX_BYTES (UINT64_C(64) << 30)
#define DEFAULT_RESERVE_BYTES (UINT64_C(256) << 20)
#define DEFAULT_SEGMENT_BYTES (UINT64_C(16) << 20)
#define DEFAULT_READERS 2u
#define MAX_READERS 16u
#define BALLAST_MAX_BYTES (UINT64_C(64) << 20)
#define DEFAULT_TXN_US 100000
#define SPACE_AGE_US 1000000 /* figures older than this are asked for anew */

typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    svi_job *first, **end;
    bool stop, look; /* look: refresh the figures of free space */
} queue;

typedef struct lmdb {
    svi_engine engine;
    svi_acct *acct;
    svi_lmdb_config config;
    char path[PATH_MAX];
    int dir_fd, lock_fd, ballast_fd;
    uint64_t ballast_bytes; /* allocated now */
    svi_journal *journal;
    svi_index *index;
    queue commits, folds, reads;
    pthread_t threads[2 + MAX_READERS];
    unsigned thread_count;
    _Atomic uint64_t free_bytes, index_bytes;
    _Atomic int64_t space_at_us;
} lmdb;

static int64_t now_us(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx);
}

static void sha256(sv_str text, uint8_t out[32])
{
    SHA256((const unsigned char *)text.p, text.n, out);
}

/* --- space ----------------------------------------------------------------------------------------- */

static void ballast_set(lmdb *e, uint64_t bytes)
{
    if (e->ballast_fd < 0 || bytes == e->ballast_bytes) return;
    if (bytes == 0 || fallocate(e->ballast_fd, 0, 0, (off_t)bytes) != 0) {
        bytes = 0;
        if (ftruncate(e->ballast_fd, 0) != 0) return; /* nothing to be done; tried again later */
    }
    e->ballast_bytes = bytes;
}

static uint64_t disk_free(const lmdb *e)
{
    struct statvfs fs;
    if (fstatvfs(e->dir_fd, &fs) != 0) return 0;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Folding thread: figures for admission; gives the ballast away when others fill the disk. */
static void space_look(lmdb *e)
{
    const uint64_t reserve = e->config.reserve_bytes;
    const uint64_t want = reserve / 4 < BALLAST_MAX_BYTES ? reserve / 4 : BALLAST_MAX_BYTES;
    uint64_t disk = disk_free(e);
    if (e->ballast_bytes > 0 && disk < want)
        ballast_set(e, 0);
    else if (e->ballast_bytes == 0 && disk > reserve + 2 * want)
        ballast_set(e, want);
    disk = disk_free(e);
    uint64_t used = 0;
    if (svi_index_used(e->index, &used) != SV_OK) used = e->config.max_bytes;
    const uint64_t map = used < e->config.max_bytes ? e->config.max_bytes - used : 0;
    const uint64_t left = disk > reserve ? disk - reserve : 0;
    e->index_bytes = used;
    e->free_bytes = left < map ? left : map;
    e->space_at_us = now_us();
}

static void lmdb_space(svi_engine *engine, uint64_t *free_out, uint64_t *journal_out,
                       uint64_t *index_out)
{
    lmdb *e = (lmdb *)engine;
    if (now_us() - e->space_at_us > SPACE_AGE_US && !e->config.single_thread) {
        e->space_at_us = now_us(); /* asked */
        pthread_mutex_lock(&e->folds.lock);
        e->folds.look = true;
        pthread_cond_signal(&e->folds.cond);
        pthread_mutex_unlock(&e->folds.lock);
    }
    *free_out = e->free_bytes;
    *index_out = e->index_bytes;
    *journal_out = svi_journal_bytes(e->journal);
}

/* --- jobs ------------------------------------------------------------------------------------------ */

static void commit(lmdb *e, svi_job *job)
{
    job->status =
        svi_journal_write(e->journal, job->first, job->records, job->record_count, &job->err);
}

static void fold(lmdb *e, svi_job *job)
{
    job->status = svi_index_prepare(e->index, job);
    if (job->status != SV_OK) return;
    space_look(e); /* the ballast goes before space is needed, not after */
    job->status = svi_index_fold(e->index, job->changes, job->change_count, job->last, &job->err);
    if (job->status == SV_ENOSPC && e->ballast_bytes > 0) { /* somebody else was quicker than the look */
        ballast_set(e, 0);
        job->status = svi_index_fold(e->index, job->changes, job->change_count, job->last, &job->err);
    }
    if (job->status != SV_OK) return;
    const sv_status spare = svi_journal_folded(e->journal, job->last);
    if (spare != SV_OK) { /* no harm yet: the writer tries again when it needs one */
        ballast_set(e, 0);
        svi_journal_folded(e->journal, job->last);
    }
    space_look(e);
}

static void run(lmdb *e, svi_job *job)
{
    const int64_t began = now_us();
    if (job->kind == SVI_JOB_COMMIT)
        commit(e, job);
    else if (job->kind == SVI_JOB_FOLD)
        fold(e, job);
    else
        svi_index_read(e->index, job);
    job->took_us = now_us() - began;
    job->done(job);
}

static queue *queue_of(lmdb *e, const svi_job *job)
{
    return job->kind == SVI_JOB_COMMIT ? &e->commits
           : job->kind == SVI_JOB_FOLD ? &e->folds
                                       : &e->reads;
}

static void lmdb_start(svi_engine *engine, svi_job *job)
{
    queue *q = queue_of((lmdb *)engine, job);
    job->next = NULL;
    pthread_mutex_lock(&q->lock);
    *q->end = job;
    q->end = &job->next;
    pthread_cond_signal(&q->cond);
    pthread_mutex_unlock(&q->lock);
}

/* Waits for a job; NULL when the queue is empty and told to stop, or when only a look is wanted. */
static svi_job *queue_take(queue *q, bool wait, bool *look_out)
{
    pthread_mutex_lock(&q->lock);
    while (wait && !q->first && !q->stop && !q->look) pthread_cond_wait(&q->cond, &q->lock);
    svi_job *job = q->first;
    if (job) {
        q->first = job->next;
        if (!q->first) q->end = &q->first;
    }
    *look_out = q->look;
    q->look = false;
    pthread_mutex_unlock(&q->lock);
    return job;
}

static void *work(lmdb *e, queue *q)
{
    for (;;) {
        bool look;
        svi_job *job = queue_take(q, true, &look);
        if (look) space_look(e);
        if (job)
            run(e, job);
        else if (!look)
            return NULL;
    }
}

static void lmdb_range(svi_engine *engine, svi_job *job)
{
    svi_index_read(((lmdb *)engine)->index, job);
}

static void *write_thread(void *ctx)
{
    return work(ctx, &((lmdb *)ctx)->commits);
}

static void *fold_thread(void *ctx)
{
    return work(ctx, &((lmdb *)ctx)->folds);
}

static void *read_thread(void *ctx)
{
    return work(ctx, &((lmdb *)ctx)->reads);
}

static size_t lmdb_poll(svi_engine *engine, bool all)
{
    (void)all;
    lmdb *e = (lmdb *)engine;
    queue *const queues[] = {&e->commits, &e->folds, &e->reads};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        bool look;
        for (svi_job *job; (job = queue_take(queues[i], false, &look)) != NULL; n++) run(e, job);
    }
    space_look(e);
    return n;
}

/* --- open ------------------------------------------------------------------------------------------ */

/* Opens the folder, made if missing, and locks it against a second process. */
static sv_status folder_open(lmdb *e, sv_err *err)
{
    if (mkdir(e->path, 0700) != 0 && errno != EEXIST)
        return svi_err(err, SV_EIO, "can't make folder %s: %s", e->path, strerror(errno));
    e->dir_fd = open(e->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->dir_fd < 0)
        return svi_err(err, SV_EIO, "can't open folder %s: %s", e->path, strerror(errno));
    e->lock_fd = openat(e->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0)
        return svi_err(err, SV_EIO, "can't open %s/lock: %s", e->path, strerror(errno));
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return svi_err(err, SV_EBUSY, "another process has the store in %s open", e->path);
    e->ballast_fd = openat(e->dir_fd, "ballast", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    if (e->ballast_fd >= 0 && fstat(e->ballast_fd, &st) == 0)
        e->ballast_bytes = (uint64_t)st.st_size;
    if (mkdirat(e->dir_fd, "index", 0700) != 0 && errno != EEXIST)
        return svi_err(err, SV_EIO, "can't make %s/index: %s", e->path, strerror(errno));
    if (fsync(e->dir_fd) != 0)
        return svi_err(err, SV_EIO, "can't sync %s: %s", e->path, strerror(errno));
    return SV_OK;
}

static sv_status index_open(lmdb *e, uint64_t *folded_out, sv_err *err)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/index", e->path);
    uint64_t map = e->config.max_bytes * 2;
    if (map < DEFAULT_MAX_BYTES) map = DEFAULT_MAX_BYTES;
    const svi_index_config config = {.acct = e->acct,
                                     .path = path,
                                     .map_bytes = map,
                                     .readers = e->config.readers,
                                     .hash = e->config.hash,
                                     .txn_us = e->config.txn_us};
    const sv_status st = svi_index_open(&config, &e->index, folded_out, err);
    if (st != SV_OK) return st;
    const int fd = openat(e->dir_fd, "index", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0; /* LMDB doesn't sync the names of its files */
    if (fd >= 0) close(fd);
    return synced ? SV_OK : svi_err(err, SV_EIO, "can't sync %s: %s", path, strerror(errno));
}

static sv_status threads_start(lmdb *e, sv_err *err)
{
    if (e->config.single_thread) return SV_OK;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int rc = 0;
    for (unsigned i = 0; i < 2 + e->config.readers && rc == 0; i++) {
        void *(*const run_thread)(void *) = i == 0   ? write_thread
                                            : i == 1 ? fold_thread
                                                     : read_thread;
        rc = pthread_create(&e->threads[i], NULL, run_thread, e);
        if (rc != 0) break;
        e->thread_count++;
        pthread_setname_np(e->threads[i], i == 0   ? "store-write"
                                          : i == 1 ? "store-fold"
                                                   : "store-read");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? SV_OK : svi_err(err, SV_EIO, "can't start a store thread: %s", strerror(rc));
}

/* An operator reads this: adds where it is and what to do. */
static sv_status unreadable(const lmdb *e, sv_status st, sv_err *err)
{
    const char *advice = st == SV_EVERSION
                             ? "start the release that wrote it"
                             : "if that can't be mended, restore it from a backup";
    if (st != SV_EIO && st != SV_EVERSION) return st;
    const sv_err cause = *err;
    return svi_err(err, st, "%s; %s (%s)", cause.text, advice, e->path);
}

static sv_status lmdb_recover(svi_engine *engine,
                              sv_status (*unit)(void *ctx, uint64_t n, sv_str r), void *ctx,
                              uint64_t *folded_out, sv_err *err)
{
    lmdb *e = (lmdb *)engine;
    const int64_t began = now_us();
    sv_status st = folder_open(e, err);
    if (st != SV_OK) return st;
    st = index_open(e, folded_out, err);
    if (st != SV_OK) return unreadable(e, st, err);
    const svi_journal_config config = {.acct = e->acct,
                                       .dir_fd = e->dir_fd,
                                       .segment_bytes = e->config.segment_bytes,
                                       .sync = engine->durability == SVI_DURABLE_SYNC,
                                       .files = e->config.files};
    st = svi_journal_open(&config, *folded_out, unit, ctx, &e->journal, err);
    if (st != SV_OK) return unreadable(e, st, err);
    st = svi_journal_folded(e->journal, *folded_out);
    if (st != SV_OK && e->ballast_bytes > 0) {
        ballast_set(e, 0);
        st = svi_journal_folded(e->journal, *folded_out);
    }
    if (st != SV_OK && svi_journal_bytes(e->journal) == 0)
        return svi_err(err, st, "no space for the journal in %s", e->path);
    space_look(e);
    SV_LOG(SV_INFO, "journal-replayed", LF_INT("us", now_us() - began),
           LF_INT("bytes", svi_journal_bytes(e->journal)));
    return threads_start(e, err);
}

/* --- close ----------------------------------------------------------------------------------------- */

static void queue_init(queue *q)
{
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->cond, NULL);
    q->end = &q->first;
}

static void queue_stop(queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_broadcast(&q->cond);
    pthread_mutex_unlock(&q->lock);
}

static void queue_free(queue *q)
{
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->cond);
}

static void lmdb_close(svi_engine *engine)
{
    lmdb *e = (lmdb *)engine;
    if (e->config.single_thread && e->index) lmdb_poll(engine, true);
    queue *const queues[] = {&e->commits, &e->folds, &e->reads};
    for (size_t i = 0; i < 3; i++) queue_stop(queues[i]);
    for (unsigned i = 0; i < e->thread_count; i++) pthread_join(e->threads[i], NULL);
    for (size_t i = 0; i < 3; i++) queue_free(queues[i]);
    svi_journal_close(&e->journal);
    svi_index_close(&e->index);
    const int fds[] = {e->ballast_fd, e->dir_fd, e->lock_fd}; /* the lock last */
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0) close(fds[i]);
    svi_free(e);
}

sv_status svi_engine_lmdb(svi_acct *acct, const svi_lmdb_config *config, svi_engine **engine_out,
                          sv_err *err)
{
    static const svi_engine_ops threaded = {.name = "lmdb",
                                            .has_base = true,
                                            .has_cut = true,
                                            .recover = lmdb_recover,
                                            .start = lmdb_start,
                                            .space = lmdb_space,
                                            .close = lmdb_close,
                                            .range = lmdb_range};
    static const svi_engine_ops single = {.name = "lmdb",
                                          .has_base = true,
                                          .has_cut = true,
                                          .recover = lmdb_recover,
                                          .start = lmdb_start,
                                          .poll = lmdb_poll,
                                          .space = lmdb_space,
                                          .close = lmdb_close,
                                          .range = lmdb_range};
    if (config->path.n == 0 || config->path.n >= PATH_MAX - 64)
        return svi_err(err, SV_ELIMIT, "path of the store is empty or too long");
    lmdb *e = svi_alloc(acct, sizeof *e);
    e->engine.ops = config->single_thread ? &single : &threaded;
    e->acct = acct;
    e->config = *config;
    memcpy(e->path, config->path.p, config->path.n);
    svi_lmdb_config *c = &e->config;
    if (c->max_bytes == 0) c->max_bytes = DEFAULT_MAX_BYTES;
    if (c->reserve_bytes == 0) c->reserve_bytes = DEFAULT_RESERVE_BYTES;
    if (c->segment_bytes == 0) c->segment_bytes = DEFAULT_SEGMENT_BYTES;
    if (c->readers == 0) c->readers = DEFAULT_READERS;
    if (c->readers > MAX_READERS) c->readers = MAX_READERS;
    if (c->txn_us == 0) c->txn_us = DEFAULT_TXN_US;
    if (!c->hash) c->hash = sha256;
    e->dir_fd = e->lock_fd = e->ballast_fd = -1;
    queue_init(&e->commits);
    queue_init(&e->folds);
    queue_init(&e->reads);
    *engine_out = &e->engine;
    return SV_OK;
}
