/* The simulated engine: a disk in memory, jobs that wait until told, failures by plan (architecture 5).
 *
 * The disk holds the committed units (the journal) and the folded rows; both outlive the engine, so a kill is an engine
 * closed with waiting jobs and a new one made on the same disk. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"

#define SIM_FREE_BYTES (UINT64_C(1) << 40)

typedef struct sim_row {
    uint32_t map;
    sv_str owner, key, value;
    char *text; /* holds the three */
} sim_row;

typedef struct sim_record {
    uint64_t number;
    sv_str bytes; /* allocated */
} sim_record;

struct svi_sim_disk {
    svi_acct *acct;
    sim_record *records; /* committed and not folded */
    size_t record_count, record_cap;
    sim_row *rows; /* folded, in order */
    size_t row_count;
    uint64_t folded;
    bool in_use;
};

typedef struct sim {
    svi_engine engine;
    svi_acct *acct;
    svi_sim_disk *disk;
    svi_sim_plan plan;
    svi_job *first, **end; /* waiting, in the order in which they began */
    int64_t written_us; /* when the newest commit or fold is due */
    bool open;
} sim;

svi_sim_disk *svi_sim_disk_new(svi_acct *acct)
{
    svi_sim_disk *disk = svi_alloc(acct, sizeof *disk);
    disk->acct = acct;
    return disk;
}

void svi_sim_disk_free(svi_sim_disk **take)
{
    svi_sim_disk *disk = *take;
    *take = NULL;
    if (!disk) return;
    SV_ASSERT(!disk->in_use);
    for (size_t i = 0; i < disk->record_count; i++)
        svi_free((void *)(uintptr_t)disk->records[i].bytes.p);
    for (size_t i = 0; i < disk->row_count; i++) svi_free(disk->rows[i].text);
    svi_free(disk->records);
    svi_free(disk->rows);
    svi_free(disk);
}

/* Order of rows: map, owner, key. */
static int row_cmp(const sim_row *row, const svi_row_key *key)
{
    if (row->map != key->map) return row->map < key->map ? -1 : 1;
    const int c = svi_str_cmp(row->owner, key->owner);
    return c != 0 ? c : svi_str_cmp(row->key, key->key);
}

/* Index of the first row that is not below `key`. */
static size_t row_place(const svi_sim_disk *disk, const svi_row_key *key)
{
    size_t low = 0, high = disk->row_count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (row_cmp(&disk->rows[mid], key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool same_owner(const sim_row *row, const svi_row_key *key)
{
    return row->map == key->map && sv_str_eq(row->owner, key->owner);
}

static sv_status commit(sim *s, const svi_job *job)
{
    if (s->plan.fail_commit > 0 && --s->plan.fail_commit == 0) return SV_EIO;
    svi_sim_disk *d = s->disk;
    for (size_t i = 0; i < job->record_count; i++) {
        if (d->record_count == d->record_cap) {
            d->record_cap = d->record_cap ? d->record_cap * 2 : 64;
            d->records = svi_realloc(d->acct, d->records, d->record_cap * sizeof(sim_record));
        }
        d->records[d->record_count++] =
            (sim_record){.number = job->first + i, .bytes = svi_str_dup(d->acct, job->records[i])};
    }
    return SV_OK;
}

static sim_row row_new(svi_acct *acct, const svi_row_change *c)
{
    const svi_row_key *k = &c->key;
    char *text = svi_alloc_raw(acct, k->owner.n + k->key.n + c->value.n + 1);
    const sim_row row = {.map = k->map,
                         .owner = {text, k->owner.n},
                         .key = {text + k->owner.n, k->key.n},
                         .value = {text + k->owner.n + k->key.n, c->value.n},
                         .text = text};
    if (k->owner.n > 0) memcpy(text, k->owner.p, k->owner.n);
    if (k->key.n > 0) memcpy(text + k->owner.n, k->key.p, k->key.n);
    if (c->value.n > 0) memcpy(text + k->owner.n + k->key.n, c->value.p, c->value.n);
    return row;
}

/* Drops the units that the index now holds. */
static void forget_records(svi_sim_disk *d, uint64_t last)
{
    size_t gone = 0;
    while (gone < d->record_count && d->records[gone].number <= last)
        svi_free((void *)(uintptr_t)d->records[gone++].bytes.p);
    d->record_count -= gone;
    if (gone > 0) memmove(d->records, d->records + gone, d->record_count * sizeof(sim_record));
    d->folded = last;
}

static bool in_order(const svi_row_change *a, const svi_row_change *b)
{
    const sim_row row = {.map = a->key.map, .owner = a->key.owner, .key = a->key.key};
    const int c = row_cmp(&row, &b->key);
    return c < 0 || (c == 0 && a->all && !b->all);
}

/* Merges the sorted rows with the sorted changes. */
static sv_status fold(sim *s, const svi_job *job)
{
    svi_sim_disk *d = s->disk;
    sim_row *out = svi_alloc_raw(d->acct, (d->row_count + job->change_count) * sizeof *out + 1);
    size_t n = 0, old = 0;
    for (size_t i = 0; i < job->change_count; i++) {
        const svi_row_change *c = &job->changes[i];
        SV_ASSERT(i == 0 || in_order(&c[-1], c));
        while (old < d->row_count && row_cmp(&d->rows[old], &c->key) < 0) out[n++] = d->rows[old++];
        if (c->all) {
            while (old < d->row_count && same_owner(&d->rows[old], &c->key))
                svi_free(d->rows[old++].text);
            continue;
        }
        if (old < d->row_count && row_cmp(&d->rows[old], &c->key) == 0)
            svi_free(d->rows[old++].text);
        if (c->value.p) out[n++] = row_new(d->acct, c);
    }
    while (old < d->row_count) out[n++] = d->rows[old++];
    svi_free(d->rows);
    d->rows = out;
    d->row_count = n;
    forget_records(d, job->last);
    return SV_OK;
}

static svi_row_change row_out(svi_arena *arena, const sim_row *row)
{
    return (svi_row_change){.key = {.map = row->map,
                                    .owner = svi_arena_str(arena, row->owner),
                                    .key = svi_arena_str(arena, row->key)},
                            .value = svi_arena_str(arena, row->value)};
}

static void scan(const svi_sim_disk *d, svi_job *job)
{
    svi_row_key from = job->key;
    from.key = SV_STR_NONE;
    const size_t at = row_place(d, &from);
    size_t n = 0;
    while (at + n < d->row_count && same_owner(&d->rows[at + n], &job->key)) n++;
    job->rows = svi_arena_get(job->arena, n * sizeof *job->rows + 1);
    for (size_t i = 0; i < n; i++) job->rows[i] = row_out(job->arena, &d->rows[at + i]);
    job->row_count = n;
}

static void get(const svi_sim_disk *d, svi_job *job)
{
    const size_t at = row_place(d, &job->key);
    job->row_count = 0;
    if (at == d->row_count || row_cmp(&d->rows[at], &job->key) != 0) return;
    job->rows = svi_arena_get(job->arena, sizeof *job->rows);
    job->rows[0] = row_out(job->arena, &d->rows[at]);
    job->row_count = 1;
}

static sv_status base(svi_job *job, const svi_row_key *key, sv_str *value_out)
{
    const svi_sim_disk *d = job->base_ctx;
    const size_t at = row_place(d, key);
    const bool found = at < d->row_count && row_cmp(&d->rows[at], key) == 0;
    *value_out = found ? d->rows[at].value : SV_STR_NONE;
    return SV_OK;
}

static void owners(const svi_sim_disk *d, svi_job *job)
{
    svi_row_key from = job->key;
    from.key = SV_STR_NONE;
    job->rows = svi_arena_get(job->arena, job->max * sizeof *job->rows);
    job->row_count = 0;
    job->more = false;
    const sim_row *last = NULL;
    for (size_t at = row_place(d, &from); at < d->row_count; at++) {
        const sim_row *row = &d->rows[at];
        if (row->map != job->key.map) break;
        if (job->key.owner.p && sv_str_eq(row->owner, job->key.owner)) continue;
        if (last && sv_str_eq(row->owner, last->owner)) continue;
        if (job->row_count == job->max) {
            job->more = true;
            break;
        }
        last = row;
        job->rows[job->row_count++].key =
            (svi_row_key){.map = row->map, .owner = svi_arena_str(job->arena, row->owner)};
    }
}

/* A place is an owner's length (2 bytes), the owner and the key of the row that comes next. */
static size_t range_place(const svi_sim_disk *d, const svi_job *job)
{
    svi_row_key key = {.map = job->key.map};
    if (job->from.n >= 2) {
        const size_t n = (size_t)(unsigned char)job->from.p[0] |
                         (size_t)(unsigned char)job->from.p[1] << 8;
        key.owner = svi_str_sub(job->from, 2, n);
        key.key = svi_str_sub(job->from, 2 + n, job->from.n);
    }
    return row_place(d, &key);
}

static void range(const svi_sim_disk *d, svi_job *job)
{
    const size_t at = range_place(d, job);
    size_t n = 0, bytes = 0;
    while (at + n < d->row_count && d->rows[at + n].map == job->key.map && bytes < job->max_bytes) {
        const sim_row *row = &d->rows[at + n++];
        bytes += row->owner.n + row->key.n + row->value.n + 1;
    }
    job->rows = svi_arena_get(job->arena, n * sizeof *job->rows + 1);
    for (size_t i = 0; i < n; i++) job->rows[i] = row_out(job->arena, &d->rows[at + i]);
    job->row_count = n;
    job->more = at + n < d->row_count && d->rows[at + n].map == job->key.map;
    if (!job->more) return;
    const sim_row *next = &d->rows[at + n];
    char *place = svi_arena_get(job->arena, 2 + next->owner.n + next->key.n);
    place[0] = (char)(next->owner.n & 0xff);
    place[1] = (char)(next->owner.n >> 8);
    if (next->owner.n > 0) memcpy(place + 2, next->owner.p, next->owner.n);
    if (next->key.n > 0) memcpy(place + 2 + next->owner.n, next->key.p, next->key.n);
    job->from = (sv_str){place, 2 + next->owner.n + next->key.n};
}

/* From the first row of the owner that belongs to the cut, in its direction. */
static void cut(const svi_sim_disk *d, svi_job *job)
{
    const svi_cut_job *c = job->cut;
    const bool back = c->is_backward;
    svi_row_key key = job->key;
    key.key = SV_STR_NONE;
    const size_t first = row_place(d, &key);
    size_t end = first, at = first, bytes = 0;
    while (end < d->row_count && same_owner(&d->rows[end], &job->key)) end++;
    if (c->from.p) {
        key.key = c->from;
        at = row_place(d, &key);
        const bool is_there = at < end && sv_str_eq(d->rows[at].key, c->from);
        if (is_there && c->takes_from == back) at++; /* backward: the one before `at` comes first */
    } else if (back) {
        at = end;
    }
    const size_t left = back ? at - first : end - at;
    job->rows = svi_arena_get(job->arena, left * sizeof *job->rows + 1);
    job->row_count = 0;
    job->more = false;
    for (size_t i = 0; i < left; i++) {
        const sim_row *row = &d->rows[back ? at - 1 - i : at + i];
        job->more = i > 0 && svi_cut_is_full(job, bytes);
        if (job->more) break;
        job->cut->reached = svi_arena_str(job->arena, row->key);
        if (!svi_cut_takes(job, row->key, row->value)) continue;
        job->rows[job->row_count++] = row_out(job->arena, row);
        bytes += row->value.n;
    }
}

static void sim_range(svi_engine *e, svi_job *job)
{
    sim *s = (sim *)e;
    job->status = s->plan.dead                                           ? SV_ECANCELED
                  : s->plan.fail_read > 0 && --s->plan.fail_read == 0 ? SV_EIO
                                                                         : SV_OK;
    if (job->status == SV_OK)
        range(s->disk, job);
    else
        svi_err(&job->err, job->status, "simulated: %s", svi_status_name(job->status));
}

static sv_status run(sim *s, svi_job *job)
{
    if (s->plan.dead) return SV_ECANCELED;
    if (job->kind == SVI_JOB_COMMIT) return commit(s, job);
    if (job->kind == SVI_JOB_FOLD) {
        job->base = s->engine.ops->has_base ? base : NULL;
        job->base_ctx = s->disk;
        const sv_status st = job->prepare(job);
        if (st != SV_OK) return st;
        return s->plan.no_fold_space ? SV_ENOSPC : fold(s, job);
    }
    if (s->plan.fail_read > 0 && --s->plan.fail_read == 0) return SV_EIO;
    if (job->kind == SVI_JOB_GET)
        get(s->disk, job);
    else if (job->kind == SVI_JOB_SCAN)
        scan(s->disk, job);
    else if (job->kind == SVI_JOB_RANGE)
        range(s->disk, job);
    else if (job->kind == SVI_JOB_CUT)
        cut(s->disk, job);
    else
        owners(s->disk, job);
    return SV_OK;
}

static void finish(sim *s, svi_job *job)
{
    const svi_sim_fate fate = s->plan.fate && !s->plan.dead ? s->plan.fate(s->plan.ctx, job) : SVI_SIM_DONE;
    if (fate == SVI_SIM_DIES) s->plan.dead = true;
    job->status = run(s, job);
    if (fate == SVI_SIM_DIES_BEHIND) {
        s->plan.dead = true;
        job->status = SV_ECANCELED;
    }
    if (job->status != SV_OK)
        svi_err(&job->err, job->status, "simulated: %s", svi_status_name(job->status));
    job->done(job);
}

static svi_job *take(sim *s, svi_job **at)
{
    svi_job *job = *at;
    *at = job->next;
    if (!*at) s->end = at;
    return job;
}

static size_t step(sim *s, size_t max)
{
    size_t n = 0;
    for (; s->first && n < max; n++) finish(s, take(s, &s->first));
    return n;
}

/* --- lateness -------------------------------------------------------------------------------------- */

static int64_t now_us(const sim *s)
{
    return s->plan.plat ? s->plan.plat->mono_us(s->plan.plat->ctx) : 0;
}

static int64_t lateness_us(const sim *s, const svi_job *job)
{
    const svi_sim_plan *p = &s->plan;
    uint64_t bits = 0;
    if (!p->plat) return 0;
    if (p->late_max_us > p->late_min_us) p->plat->random(p->plat->ctx, &bits, sizeof bits);
    const int64_t by_range = p->late_min_us + (int64_t)(bits % (uint64_t)(p->late_max_us - p->late_min_us + 1));
    return by_range + (p->delay ? p->delay(p->ctx, job) : 0);
}

static bool writes(const svi_job *job)
{
    return job->kind == SVI_JOB_COMMIT || job->kind == SVI_JOB_FOLD;
}

/* The one that is due first by now; of several the one that began first. NULL: none. */
static svi_job **due(sim *s)
{
    svi_job **best = NULL;
    for (svi_job **at = &s->first; *at; at = &(*at)->next)
        if ((*at)->due_us <= now_us(s) && (!best || (*at)->due_us < (*best)->due_us)) best = at;
    return best;
}

static size_t step_due(sim *s)
{
    size_t n = 0;
    for (svi_job **at; (at = due(s)) != NULL; n++) finish(s, take(s, at));
    return n;
}

static sv_status sim_recover(svi_engine *e, sv_status (*unit)(void *ctx, uint64_t n, sv_str record),
                             void *ctx, uint64_t *folded_out, sv_err *err)
{
    sim *s = (sim *)e;
    if (s->disk->in_use) return svi_err(err, SV_EBUSY, "another engine has this disk");
    s->disk->in_use = s->open = true;
    *folded_out = s->disk->folded;
    for (size_t i = 0; i < s->disk->record_count; i++) {
        const sv_status st = unit(ctx, s->disk->records[i].number, s->disk->records[i].bytes);
        if (st != SV_OK) return svi_err(err, st, "unit %zu of the simulated disk", i);
    }
    return SV_OK;
}

static void sim_start(svi_engine *e, svi_job *job)
{
    sim *s = (sim *)e;
    job->next = NULL;
    job->took_us = lateness_us(s, job);
    job->due_us = now_us(s) + job->took_us;
    if (writes(job) && job->due_us < s->written_us) job->due_us = s->written_us;
    if (writes(job)) s->written_us = job->due_us;
    *s->end = job;
    s->end = &job->next;
}

static size_t sim_poll(svi_engine *e, bool all)
{
    sim *s = (sim *)e;
    if (all) return step(s, SIZE_MAX);
    return s->plan.hold ? 0 : step_due(s);
}

static void sim_space(svi_engine *e, uint64_t *free_out, uint64_t *journal_out, uint64_t *index_out)
{
    const sim *s = (const sim *)e;
    *free_out = s->plan.full ? 0 : SIM_FREE_BYTES;
    *journal_out = s->disk->record_count;
    *index_out = s->disk->row_count;
}

static void sim_close(svi_engine *e)
{
    sim *s = (sim *)e;
    step(s, SIZE_MAX);
    if (s->open) s->disk->in_use = false;
    svi_free(s);
}

static svi_engine *sim_new(svi_acct *acct, svi_sim_disk *disk, const svi_engine_ops *ops)
{
    sim *s = svi_alloc(acct, sizeof *s);
    s->engine.ops = ops;
    s->acct = acct;
    s->disk = disk;
    s->end = &s->first;
    return &s->engine;
}

#define SIM_OPS                                                                                              \
    .name = "sim", .is_in_memory = true, .recover = sim_recover, .start = sim_start, .poll = sim_poll,       \
    .space = sim_space, .close = sim_close, .range = sim_range

svi_engine *svi_engine_sim(svi_acct *acct, svi_sim_disk *disk)
{
    static const svi_engine_ops ops = {SIM_OPS, .has_base = true, .has_cut = true};
    return sim_new(acct, disk, &ops);
}

svi_engine *svi_engine_sim_plain(svi_acct *acct, svi_sim_disk *disk)
{
    static const svi_engine_ops ops = {SIM_OPS};
    return sim_new(acct, disk, &ops);
}

svi_sim_plan *svi_engine_sim_plan(svi_engine *e)
{
    return &((sim *)e)->plan;
}

int64_t svi_engine_sim_due_us(const svi_engine *e)
{
    const sim *s = (const sim *)e;
    int64_t due_us = INT64_MAX;
    if (s->plan.hold) return due_us;
    for (const svi_job *job = s->first; job; job = job->next)
        if (job->due_us < due_us) due_us = job->due_us;
    return due_us;
}

size_t svi_engine_sim_step(svi_engine *e, size_t max)
{
    return step((sim *)e, max);
}
