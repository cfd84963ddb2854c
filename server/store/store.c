/* The store's life on the router thread: batches, folds, finished jobs, maps, admission.
 *
 * One batch is on its way at a time; what is handed in meanwhile makes the next one. A generation of the tail is
 * frozen when it is big or old enough, and folded when its last unit is committed. */
#include "base/base_log.h"
#include "base/base_str.h"
#include "store/store_impl.h"

#define DEFAULT_FOLD_OPS 10000u
#define DEFAULT_FOLD_BYTES (16u << 20)
#define DEFAULT_FOLD_AGE_US (30 * INT64_C(1000000))
#define DEFAULT_TAIL_BYTES (64u << 20)
#define DEFAULT_CACHE_BYTES (32u << 20)
#define SHORTAGE_FOLD 8u /* folds are that much smaller and younger in a shortage */
#define FOLD_RETRY_US 1000000 /* between two tries of a fold that finds no space */
#define SLOW_US 1000000  /* a job that took longer is worth a warning */

static int64_t now_us(const svi_store *store)
{
    return store->config.plat->mono_us(store->config.plat->ctx);
}

void svi_store_wake(const svi_store *store)
{
    if (store->config.wake) store->config.wake(store->config.ctx);
}

/* --- jobs ------------------------------------------------------------------------------------------ */

/* Any thread. The store outlives all its jobs. */
static void job_done(svi_job *job)
{
    svi_store *store = job->owner;
    job->next = NULL;
    if (job == &store->batch && job->status == SV_OK) {
        pthread_mutex_lock(&store->tap_lock);
        store->synced = job->last;
        if (store->backup) svi_backup_tap(store->backup, job);
        pthread_mutex_unlock(&store->tap_lock);
    }
    pthread_mutex_lock(&store->lock);
    const bool first = store->done_first == NULL;
    *store->done_end = job;
    store->done_end = &job->next;
    store->jobs_out--;
    /* under the lock: after it is released, a closing store may be gone */
    if (first) svi_store_wake(store);
    pthread_cond_signal(&store->cond);
    pthread_mutex_unlock(&store->lock);
}

void svi_store_start_job(svi_store *store, svi_job *job)
{
    job->done = job_done;
    job->owner = store;
    pthread_mutex_lock(&store->lock);
    store->jobs_out++;
    pthread_mutex_unlock(&store->lock);
    store->engine->ops->start(store->engine, job);
    if (store->engine->ops->poll) svi_store_wake(store);
}

static svi_job *take_done(svi_store *store)
{
    pthread_mutex_lock(&store->lock);
    svi_job *job = store->done_first;
    store->done_first = NULL;
    store->done_end = &store->done_first;
    pthread_mutex_unlock(&store->lock);
    return job;
}

/* Waits until a job is done, or none is out. For open and close. */
static void wait_done(svi_store *store)
{
    if (store->engine->ops->poll) {
        store->engine->ops->poll(store->engine, true);
        return;
    }
    pthread_mutex_lock(&store->lock);
    while (!store->done_first && store->jobs_out > 0) pthread_cond_wait(&store->cond, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

static bool jobs_left(svi_store *store)
{
    pthread_mutex_lock(&store->lock);
    const bool left = store->jobs_out > 0 || store->done_first != NULL;
    pthread_mutex_unlock(&store->lock);
    return left;
}

/* --- failure --------------------------------------------------------------------------------------- */

static void fail(svi_store *store, const char *what, const svi_job *job)
{
    if (store->failed) return;
    store->failed = true;
    if (store->dropped) return;
    if (job->status != SV_ECANCELED) /* else a test has killed the process, which tells nobody of it */
        SV_LOG(SV_ERROR, "store-failed", LF_TXT("what", what),
               LF_TXT("status", svi_status_name(job->status)), LF_TXT("reason", job->err.text));
    if (store->config.failed) store->config.failed(store->config.ctx, &job->err);
}

/* --- folding --------------------------------------------------------------------------------------- */

static sv_status fold_prepare(svi_job *job)
{
    const svi_store *store = job->owner;
    svi_row_change *changes = NULL;
    const sv_status st = svi_tail_changes(store->folding, job, &changes, &job->change_count);
    job->changes = changes;
    return st;
}

static void freeze(svi_store *store)
{
    svi_tail *next = svi_tail_new(store->acct, store->newest->last + 1);
    store->newest->newer = next;
    store->newest = next;
}

/* The oldest generation that is not folded, if it is frozen. */
static svi_tail *frozen(const svi_store *store)
{
    svi_tail *t = store->oldest;
    while (t && t->folded_at) t = t->newer;
    return t == store->newest ? NULL : t;
}

/* When the newest generation is to be folded, by its size and age; on a full disk a fold is what gives journal segments and
 * pages of deleted rows back. */
static int64_t fold_due_us(const svi_store *store)
{
    const svi_tail *t = store->newest;
    const unsigned part = store->stats.shortage ? SHORTAGE_FOLD : 1;
    if (t->ops >= store->config.fold_ops || t->bytes >= store->config.fold_bytes / part) return 0;
    return t->born_us + store->config.fold_age_us / part;
}

static bool fold_wanted(svi_store *store, int64_t now)
{
    if (store->newest->ops == 0) return false;
    return svi_backup_wants_fold(store) || now >= fold_due_us(store);
}

static void fold_start(svi_store *store, int64_t now)
{
    if (store->fold_runs || store->failed) return;
    if (store->fold_is_stuck && (store->closing || now < store->fold_retry_us)) return;
    if (!frozen(store) && (fold_wanted(store, now) || (store->closing && store->newest->ops > 0)))
        freeze(store);
    svi_tail *t = frozen(store);
    if (!t || t->last > store->committed || !svi_backup_lets_fold(store)) return;
    store->folding = t;
    store->fold_runs = true;
    store->fold = (svi_job){
        .kind = SVI_JOB_FOLD, .first = t->first, .last = t->last, .prepare = fold_prepare};
    if (store->engine->ops->has_base || t->open_rows == 0)
        svi_store_start_job(store, &store->fold);
    else
        svi_bases_read(store);
}

void svi_store_fold_on(svi_store *store)
{
    svi_store_start_job(store, &store->fold);
}

void svi_store_fold_failed(svi_store *store, sv_status status)
{
    store->fold.status = svi_err(&store->fold.err, status, "a row that something is appended to can't be read");
    store->fold_runs = false;
    fail(store, "fold", &store->fold);
}

void svi_store_trim(svi_store *store)
{
    const uint64_t needed_from = store->reads_first ? store->reads_first->epoch : UINT64_MAX;
    while (store->oldest != store->newest && store->oldest->folded_at &&
           store->oldest->folded_at <= needed_from) {
        svi_tail *gone = store->oldest;
        store->oldest = gone->newer;
        if (store->last_record && store->last_record->number <= gone->last)
            store->last_record = NULL;
        svi_tail_free(&gone);
    }
}

/* There is no space, and nothing was written: the journal has all of it still. Tried again when there may be some. */
static void fold_wait(svi_store *store)
{
    store->folding = NULL;
    store->fold_retry_us = now_us(store) + FOLD_RETRY_US;
    if (!store->fold_is_stuck)
        SV_LOG(SV_WARN, "fold-waits", LF_TXT("reason", store->fold.err.text));
    store->fold_is_stuck = true;
    svi_backup_folded(store);
}

static void fold_done(svi_store *store)
{
    svi_free((void *)(uintptr_t)store->fold.changes);
    store->fold_runs = false;
    if (store->fold.status == SV_ENOSPC) {
        fold_wait(store);
        return;
    }
    if (store->fold.status != SV_OK) {
        fail(store, "fold", &store->fold);
        return;
    }
    store->fold_is_stuck = false;
    store->folding->folded_at = ++store->fold_count;
    store->folded = store->folding->last;
    store->tail_ops -= store->folding->ops;
    store->tail_bytes -= store->folding->bytes;
    store->folding = NULL;
    store->stats.folds++;
    store->stats.last_fold_us = store->fold.took_us;
    SV_LOG(SV_DEBUG, "fold-done", LF_INT("changes", store->fold.change_count),
           LF_INT("us", store->fold.took_us));
    svi_backup_folded(store);
    svi_store_trim(store);
}

/* --- batches --------------------------------------------------------------------------------------- */

static void batch_start(svi_store *store)
{
    size_t n = 0, bytes = 0;
    svi_record *r = store->next_record;
    for (; r && (n == 0 || bytes + r->n <= SVI_BATCH_BYTES); r = r->next) {
        if (n == store->batch_cap) {
            store->batch_cap = n ? n * 2 : 64;
            store->batch_records =
                svi_realloc(store->acct, store->batch_records, store->batch_cap * sizeof(sv_str));
        }
        store->batch_records[n++] = (sv_str){r->bytes, r->n};
        bytes += r->n;
    }
    store->batch = (svi_job){.kind = SVI_JOB_COMMIT,
                             .first = store->next_record->number,
                             .last = store->next_record->number + n - 1,
                             .records = store->batch_records,
                             .record_count = n};
    store->next_record = r;
    store->in_batch = true;
    if (!r) store->hurry = false;
    svi_store_start_job(store, &store->batch);
}

static void batch_try(svi_store *store, int64_t now)
{
    if (store->in_batch || store->failed || store->dropped) return;
    if (!store->next_record) return;
    if (!store->hurry && !store->closing && store->config.gather_us > 0 &&
        now - store->waiting_since_us < store->config.gather_us)
        return;
    batch_start(store);
}

static void batch_done(svi_store *store)
{
    store->in_batch = false;
    if (store->batch.status != SV_OK) {
        fail(store, "commit", &store->batch);
        return;
    }
    if (store->failed) return;
    const uint64_t commit = store->batch.last;
    store->committed = commit;
    store->stats.batches++;
    store->stats.syncs += store->config.durability == SVI_DURABLE_SYNC;
    store->stats.last_sync_us = store->batch.took_us;
    if (store->batch.took_us > store->stats.max_sync_us)
        store->stats.max_sync_us = store->batch.took_us;
    batch_try(store, now_us(store)); /* the disk first: the callback's answers take a while */
    if (store->config.committed && !store->dropped)
        store->config.committed(store->config.ctx, commit);
}

/* Takes over a record that has its number: tail and cached rows see it from now on. */
static void absorb(svi_store *store, svi_record *take)
{
    svi_tail *tail = store->newest;
    if (tail->records == NULL) tail->born_us = now_us(store);
    const size_t ops_before = tail->ops;
    svi_tail_add(tail, take);
    if (store->last_record) store->last_record->next = take;
    store->last_record = take;
    const sv_str bytes = {take->bytes, take->n};
    svi_op op;
    for (size_t pos = 0; svi_record_next(bytes, &pos, &op) == SV_OK;) {
        svi_tail_apply(tail, &op);
        svi_rows_apply(store, &op);
    }
    store->tail_ops += tail->ops - ops_before;
    store->tail_bytes += take->n;
}

static svi_record *record_new(svi_store *store, uint64_t number, sv_str bytes)
{
    svi_record *r = svi_alloc_raw(store->acct, sizeof *r + bytes.n);
    *r = (svi_record){.number = number, .n = bytes.n};
    memcpy(r->bytes, bytes.p, bytes.n);
    return r;
}

uint64_t svi_unit_submit(svi_unit **take)
{
    svi_unit *unit = *take;
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    svi_store *store = unit->store;
    svi_unit_end *ends = unit->ends;
    unit->ends = NULL;
    if (svi_unit_is_empty(unit)) {
        svi_unit_free(take);
        svi_unit_ended(ends, true);
        return store->submitted;
    }
    svi_record *record = record_new(store, ++store->submitted, svi_buf_str(&unit->buf));
    svi_unit_free(take);
    absorb(store, record);
    store->stats.units++;
    const int64_t now = now_us(store);
    if (!store->next_record) {
        store->next_record = record;
        store->waiting_since_us = now;
    }
    batch_try(store, now);
    const uint64_t number = store->submitted; /* those behind may hand in more */
    svi_unit_ended(ends, true);
    return number;
}

void svi_store_hurry(svi_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (store->committed == store->submitted) return;
    store->hurry = true;
    batch_try(store, now_us(store));
}

uint64_t svi_store_submitted(const svi_store *store)
{
    return store->submitted;
}

uint64_t svi_store_committed(const svi_store *store)
{
    return store->committed;
}

/* --- admission ------------------------------------------------------------------------------------- */

/* Closed when what is free no longer holds a fold, or the tail is at its bound; opened again when there is twice
 * that, so that it does not flap. */
static void check_space(svi_store *store)
{
    svi_store_stats *s = &store->stats;
    store->engine->ops->space(store->engine, &s->free_bytes, &s->journal_bytes, &s->index_bytes);
    const uint64_t low = store->config.fold_bytes;
    const bool is_low = store->fold_is_stuck || s->free_bytes < (s->shortage ? 2 * low : low) ||
                        store->tail_bytes > store->config.tail_bytes / (s->shortage ? 2 : 1);
    if (is_low == s->shortage) return;
    s->shortage = is_low;
    SV_LOG(SV_WARN, is_low ? "store-shortage" : "store-plenty", LF_INT("free_bytes", s->free_bytes),
           LF_INT("index_bytes", s->index_bytes), LF_INT("tail_bytes", store->tail_bytes));
}

sv_status svi_store_admit(const svi_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    return store->stats.shortage || store->failed ? SV_ENOSPC : SV_OK;
}

void svi_store_stats_get(const svi_store *store, svi_store_stats *stats_out)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    *stats_out = store->stats;
    stats_out->tail_ops = store->tail_ops;
    stats_out->tail_bytes = store->tail_bytes;
}

/* --- poll ------------------------------------------------------------------------------------------ */

static void tell_slow(const svi_job *job)
{
    static const char *const kinds[] = {[SVI_JOB_COMMIT] = "commit",
                                        [SVI_JOB_GET] = "get",
                                        [SVI_JOB_SCAN] = "scan",
                                        [SVI_JOB_OWNERS] = "owners",
                                        [SVI_JOB_RANGE] = "range",
                                        [SVI_JOB_CUT] = "cut"};
    SV_LOG(SV_WARN, "store-slow", LF_TXT("job", kinds[job->kind]), LF_INT("us", job->took_us));
}

static void finish(svi_store *store, svi_job *job)
{
    if (job->took_us > SLOW_US && job->kind != SVI_JOB_FOLD) tell_slow(job);
    if (job == &store->batch)
        batch_done(store);
    else if (job == &store->fold)
        fold_done(store);
    else if (store->closing && ((svi_read *)job)->kind != SVI_READ_BASE)
        return; /* a read: cancelled with the others */
    else
        svi_read_deliver((svi_read *)job);
}

static size_t finish_all(svi_store *store)
{
    size_t n = 0;
    for (svi_job *job = take_done(store); job; n++) {
        svi_job *next = job->next;
        finish(store, job);
        job = next;
    }
    return n;
}

static size_t deliver_ready(svi_store *store)
{
    size_t n = 0;
    svi_read *read = store->ready_first;
    store->ready_first = NULL;
    store->ready_end = &store->ready_first;
    for (; read; n++) {
        svi_read *next = read->ready_next;
        svi_read_deliver(read);
        read = next;
    }
    return n;
}

size_t svi_store_poll(svi_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (store->engine->ops->poll) store->engine->ops->poll(store->engine, false);
    const size_t n = finish_all(store) + deliver_ready(store);
    const int64_t now = now_us(store);
    svi_backup_poll(store);
    batch_try(store, now);
    fold_start(store, now);
    check_space(store);
    return n;
}

int64_t svi_store_due_us(const svi_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (store->ready_first) return 0;
    if (store->failed) return INT64_MAX;
    int64_t due = INT64_MAX;
    if (!store->in_batch && store->next_record)
        due = store->hurry ? 0 : store->waiting_since_us + store->config.gather_us;
    if (!store->fold_runs && store->fold_is_stuck) {
        if (store->fold_retry_us < due) due = store->fold_retry_us;
    } else if (!store->fold_runs && !frozen(store) && store->newest->ops > 0) {
        const int64_t fold = fold_due_us(store);
        if (fold < due) due = fold;
    }
    return due;
}

/* --- open and close -------------------------------------------------------------------------------- */

static sv_status replay(void *ctx, uint64_t number, sv_str bytes)
{
    svi_store *store = ctx;
    svi_op op;
    sv_status st = SV_OK;
    for (size_t pos = 0; st == SV_OK;) st = svi_record_next(bytes, &pos, &op);
    if (st != SV_ENOTFOUND) return st;
    if (store->newest->records == NULL) { /* the first one tells where the tail begins */
        store->newest->first = number;
        store->newest->last = number - 1;
    }
    if (number != store->newest->last + 1) return SV_EIO;
    absorb(store, record_new(store, number, bytes));
    store->submitted = store->committed = number;
    return SV_OK;
}

static void defaults(svi_store_config *c)
{
    if (c->fold_ops == 0) c->fold_ops = DEFAULT_FOLD_OPS;
    if (c->fold_bytes == 0) c->fold_bytes = DEFAULT_FOLD_BYTES;
    if (c->fold_age_us == 0) c->fold_age_us = DEFAULT_FOLD_AGE_US;
    if (c->tail_bytes == 0) c->tail_bytes = DEFAULT_TAIL_BYTES;
    if (c->cache_bytes == 0) c->cache_bytes = DEFAULT_CACHE_BYTES;
    if (!c->plat) c->plat = svi_plat_kernel();
}

static svi_store *store_new(const svi_store_config *config)
{
    svi_store *store = svi_alloc(config->acct, sizeof *store);
    store->magic = SVI_STORE_MAGIC;
    store->config = *config;
    defaults(&store->config);
    store->engine = config->engine;
    store->engine->durability = config->durability;
    store->acct = config->acct;
    store->map_names = svi_dict_new(store->acct);
    store->map_zero = (svi_map){.magic = SVI_MAP_MAGIC, .store = store, .written = 1, .oldest = 1};
    store->ready_end = &store->ready_first;
    store->done_end = &store->done_first;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->tap_lock, NULL);
    pthread_cond_init(&store->cond, NULL);
    store->oldest = store->newest = svi_tail_new(store->acct, 1);
    return store;
}

static void store_free(svi_store *store)
{
    store->closing = true;
    while (jobs_left(store)) {
        wait_done(store);
        finish_all(store);
    }
    svi_reads_cancel(store);
    svi_rows_close(store);
    store->engine->ops->close(store->engine);
    while (store->spare_units) {
        svi_unit *unit = store->spare_units;
        store->spare_units = unit->next;
        svi_buf_free(&unit->buf);
        svi_free(unit);
    }
    while (store->oldest) {
        svi_tail *t = store->oldest;
        store->oldest = t->newer;
        svi_tail_free(&t);
    }
    svi_maps_free(store);
    svi_free(store->batch_records);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->tap_lock);
    pthread_cond_destroy(&store->cond);
    store->magic = 0;
    svi_free(store);
}

void svi_store_wait(svi_store *store)
{
    if (!store->ready_first) wait_done(store);
    finish_all(store);
    deliver_ready(store);
}

static sv_status load_maps(svi_store *store, sv_err *err)
{
    svi_maps_load(store);
    while (store->maps_status == SV_EAGAIN) svi_store_wait(store);
    if (store->maps_status != SV_OK)
        return svi_err(err, store->maps_status, "the store's list of maps can't be read");
    return SV_OK;
}

sv_status svi_store_open(const svi_store_config *config, svi_store **store_out, sv_err *err)
{
    svi_store *store = store_new(config);
    uint64_t folded = 0;
    sv_status st = store->engine->ops->recover(store->engine, replay, store, &folded, err);
    if (st == SV_OK && store->newest->records == NULL) {
        store->submitted = store->committed = folded;
        store->newest->first = folded + 1;
        store->newest->last = folded;
    }
    store->folded = folded;
    store->synced = store->committed;
    if (st == SV_OK) st = load_maps(store, err);
    if (st != SV_OK) {
        store->dropped = true;
        store_free(store);
        return st;
    }
    check_space(store);
    SV_LOG(store->engine->ops->is_in_memory ? SV_DEBUG : SV_INFO, "store-open", LF_TXT("engine", store->engine->ops->name),
           LF_INT("commit", store->committed), LF_INT("folded", folded),
           LF_INT("tail_bytes", store->tail_bytes));
    *store_out = store;
    return SV_OK;
}

void svi_store_close(svi_store **take)
{
    svi_store *store = *take;
    if (!store) return;
    SV_CHECK(store, SVI_STORE_MAGIC);
    svi_backup_cancel(store);
    store->closing = true;
    for (;;) {
        const int64_t now = now_us(store);
        batch_try(store, now);
        fold_start(store, now);
        if (!jobs_left(store)) break;
        wait_done(store);
        finish_all(store);
    }
    store_free(store);
    *take = NULL; /* not before: the last callbacks may ask for numbers */
}

void svi_store_drop(svi_store **take)
{
    svi_store *store = *take;
    if (!store) return;
    SV_CHECK(store, SVI_STORE_MAGIC);
    svi_backup_cancel(store);
    store->dropped = true;
    store->failed = true;
    store_free(store);
    *take = NULL;
}
