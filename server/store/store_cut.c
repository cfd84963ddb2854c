/* Cuts of an owner's rows in order of keys: the index's part is read in jobs of bounded length, what is not folded is merged
 * into it on the router.
 *
 * When a cut begins it notes which keys the tail knows (marks). Rows that the tail decides are left out by the engine, so a
 * purge that is not folded yet costs nothing; rows that the tail only appends to are given whatever the filter says of them,
 * since that has to see the whole value. Should something be appended to a row while the cut is read, and the row be missing for
 * the filter's sake, the cut begins anew and filters on the router. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"

#define CUT_ROWS_MAX 10000u
#define DEFAULT_BYTES (1u << 20)
#define DEFAULT_LOOKED 1000000u
#define JOB_ROWS_MIN 16u /* of a job behind the first */

struct svi_cut {
    svi_cut_config config; /* `from` in the read's key */
    svi_cut_done done;
    svi_cut_job job;
    svi_cut_mark *marks; /* in the read's arena, as all that follows */
    size_t mark_count;
    svi_row_change *rows; /* of the index, of all jobs so far */
    size_t row_count, row_cap;
    size_t looked, counted; /* of all jobs; counted: of the tail, too */
    bool is_unfiltered;     /* the engine does not filter */
    bool more;              /* the index may have further ones behind `reached` */
    sv_str reached;
    bool is_full; /* the results are as many or long as they may be */
};

typedef struct svi_cut cut;

/* --- the engine's side ----------------------------------------------------------------------------- */

static const svi_cut_mark *mark_find(const svi_cut_mark *marks, size_t count, sv_str key)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int c = svi_str_cmp(marks[mid].key, key);
        if (c == 0) return &marks[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool svi_cut_takes(const svi_job *job, sv_str key, sv_str stored)
{
    svi_cut_job *c = job->cut;
    c->looked++;
    const svi_cut_mark *mark = mark_find(c->marks, c->mark_count, key);
    if (mark) return mark->is_wanted;
    if (c->filter && !c->filter(c->filter_ctx, key, stored)) return false;
    if (!c->counts) return true;
    c->counted++;
    return false;
}

bool svi_cut_is_full(const svi_job *job, size_t bytes)
{
    const svi_cut_job *c = job->cut;
    return (!c->counts && (job->row_count >= job->max || bytes >= job->max_bytes)) || c->looked >= c->max_looked;
}

static int change_cmp(const void *a, const void *b)
{
    const svi_row_change *x = a, *y = b;
    return svi_str_cmp(x->key.key, y->key.key);
}

static bool is_within(const svi_cut_job *c, sv_str key)
{
    if (!c->from.p) return true;
    const int order = svi_str_cmp(key, c->from);
    return order == 0 ? c->takes_from : c->is_backward ? order < 0 : order > 0;
}

void svi_cut_sort(svi_job *job)
{
    svi_row_change *all = job->rows;
    const size_t count = job->row_count;
    size_t bytes = 0;
    if (count > 1) qsort(all, count, sizeof *all, change_cmp);
    svi_row_change *taken = svi_arena_get(job->arena, count * sizeof *taken + 1);
    job->rows = taken;
    job->row_count = 0;
    job->more = false;
    for (size_t i = 0; i < count; i++) {
        const svi_row_change *r = &all[job->cut->is_backward ? count - 1 - i : i];
        if (!is_within(job->cut, r->key.key)) continue;
        if (svi_cut_is_full(job, bytes)) { /* by the row before */
            job->more = true;
            return;
        }
        if (svi_cut_takes(job, r->key.key, r->value)) {
            taken[job->row_count++] = *r;
            bytes += r->value.n;
        }
        job->cut->reached = r->key.key;
    }
}

/* --- marks ----------------------------------------------------------------------------------------- */

static int mark_cmp(const void *a, const void *b)
{
    const svi_cut_mark *x = a, *y = b;
    const int c = svi_str_cmp(x->key, y->key);
    return c != 0 ? c : (int)x->is_wanted - (int)y->is_wanted;
}

static const svi_tail_owner *owner_in(const svi_read *read, const svi_tail *t)
{
    return svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
}

/* Rows mostly come in order of their keys (an archive's always do), and a generation has them newest first: turned round they
 * are sorted, and that is seen before they are. A busy owner may have thousands. */
static void turn_round(void *items, size_t count, size_t size)
{
    char *low = items, spare[64];
    SV_ASSERT(size <= sizeof spare);
    for (size_t i = 0; i < count / 2; i++) {
        char *a = low + i * size, *b = low + (count - 1 - i) * size;
        memcpy(spare, a, size);
        memcpy(a, b, size);
        memcpy(b, spare, size);
    }
}

static void sort(void *items, size_t count, size_t size, int (*cmp)(const void *a, const void *b))
{
    const char *p = items;
    for (size_t i = 1; i < count; i++) {
        if (cmp(p + (i - 1) * size, p + i * size) <= 0) continue;
        qsort(items, count, size, cmp);
        return;
    }
}

/* Only of generations that are sure to stay. One that decides comes before those that want the row. */
static void marks_make(svi_read *read)
{
    cut *c = read->cut;
    size_t room = 0, n = 0, kept = 0;
    const svi_tail *from = svi_store_unfolded(read->store);
    for (const svi_tail *t = from; t; t = t->newer) {
        const svi_tail_owner *owner = owner_in(read, t);
        for (const svi_tail_row *r = owner ? owner->rows : NULL; r; r = r->next) room++;
    }
    if (room == 0) return;
    c->marks = svi_arena_get(read->arena, room * sizeof *c->marks);
    for (const svi_tail *t = from; t; t = t->newer) {
        const svi_tail_owner *owner = owner_in(read, t);
        const size_t first = n;
        for (const svi_tail_row *r = owner ? owner->rows : NULL; r; r = r->next)
            c->marks[n++] = (svi_cut_mark){.key = r->key, .is_wanted = !svi_tail_decides(r)};
        turn_round(c->marks + first, n - first, sizeof *c->marks);
    }
    sort(c->marks, n, sizeof *c->marks, mark_cmp);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !sv_str_eq(c->marks[i].key, c->marks[kept - 1].key)) c->marks[kept++] = c->marks[i];
    c->mark_count = kept;
}

/* --- jobs ------------------------------------------------------------------------------------------ */

static bool filter_stored(void *ctx, sv_str key, sv_str stored)
{
    const cut *c = ctx;
    if (stored.n < SVI_ROW_HEAD) return true; /* damaged: whoever gets it says so */
    return c->config.filter(c->config.filter_ctx, key,
                            (sv_str){stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD});
}

/* The next job, behind what was looked at so far; `found`: rows that the cut has by now. */
static void job_start(svi_read *read, size_t found)
{
    cut *c = read->cut;
    svi_store *store = read->store;
    const bool has_cut = store->engine->ops->has_cut, goes_on = c->looked > 0;
    const size_t wanted = c->config.max - found;
    if (store->closing) return; /* it is in the list and will be cancelled */
    c->job = (svi_cut_job){.from = goes_on ? c->reached : c->config.from,
                           .is_backward = c->config.is_backward,
                           .takes_from = c->config.takes_from && !goes_on,
                           .counts = c->config.counts,
                           .max_looked = has_cut ? c->config.max_looked - c->looked : SIZE_MAX,
                           .marks = c->marks,
                           .mark_count = c->mark_count,
                           .filter = c->config.filter && !c->is_unfiltered ? filter_stored : NULL,
                           .filter_ctx = c};
    read->job = (svi_job){.kind = has_cut ? SVI_JOB_CUT : SVI_JOB_SCAN,
                          .key = {.map = read->map->number, .owner = read->owner},
                          .max = goes_on && wanted < JOB_ROWS_MIN ? JOB_ROWS_MIN : wanted,
                          .max_bytes = c->config.max_bytes,
                          .arena = read->arena,
                          .cut = &c->job};
    svi_store_start_job(store, &read->job);
}

/* Adds a job's results to those of the ones before. */
static void job_take(svi_read *read)
{
    cut *c = read->cut;
    svi_job *job = &read->job;
    if (job->kind == SVI_JOB_SCAN) svi_cut_sort(job);
    if (c->row_count + job->row_count > c->row_cap) {
        c->row_cap = 2 * c->row_cap + job->row_count;
        svi_row_change *rows = svi_arena_get(read->arena, c->row_cap * sizeof *rows);
        if (c->row_count > 0) memcpy(rows, c->rows, c->row_count * sizeof *rows);
        c->rows = rows;
    }
    if (job->row_count > 0) memcpy(c->rows + c->row_count, job->rows, job->row_count * sizeof *c->rows);
    c->row_count += job->row_count;
    c->looked += c->job.looked;
    c->counted += c->job.counted;
    c->more = job->more;
    c->reached = c->job.reached;
}

/* --- merging --------------------------------------------------------------------------------------- */

typedef struct piece {
    sv_str key, value;
    const svi_tail_row *row; /* NULL: of the index */
    unsigned rank;
} piece;

static int piece_cmp(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    const int c = svi_str_cmp(x->key, y->key);
    return c != 0 ? c : x->rank < y->rank ? -1 : 1;
}

/* Whether what was read of the index so far reaches a key. */
static bool is_covered(const cut *c, sv_str key)
{
    const svi_cut_job whole = {.from = c->config.from,
                               .is_backward = c->config.is_backward,
                               .takes_from = c->config.takes_from};
    if (!is_within(&whole, key)) return false;
    if (!c->more) return true;
    const int order = svi_str_cmp(key, c->reached);
    return c->config.is_backward ? order >= 0 : order <= 0;
}

/* The oldest generation that was not in the index when the cut began: what is older was read, and counted, there. */
static const svi_tail *not_folded(const svi_read *read)
{
    const svi_tail *t = read->store->oldest;
    while (t->folded_at && t->folded_at <= read->epoch) t = t->newer;
    return t;
}

/* Rows of the index and of the tail as far as both are known, in order of keys. */
static piece *gather(svi_read *read, size_t *count_out)
{
    const cut *c = read->cut;
    const svi_tail *from = not_folded(read);
    size_t room = c->row_count, n = 0;
    for (const svi_tail *t = from; t; t = t->newer) {
        const svi_tail_owner *owner = owner_in(read, t);
        for (const svi_tail_row *r = owner ? owner->rows : NULL; r; r = r->next) room++;
    }
    piece *all = svi_alloc_raw(read->store->acct, room * sizeof *all + 1);
    for (size_t i = 0; i < c->row_count; i++)
        all[n++] = (piece){.key = c->rows[i].key.key, .value = c->rows[i].value};
    if (c->config.is_backward) turn_round(all, n, sizeof *all);
    unsigned rank = 1;
    for (const svi_tail *t = from; t; t = t->newer, rank++) {
        const svi_tail_owner *owner = owner_in(read, t);
        if (!owner) continue;
        if (owner->cleared) n = 0;
        const size_t first = n;
        for (const svi_tail_row *r = owner->rows; r; r = r->next)
            if (is_covered(c, r->key)) all[n++] = (piece){.key = r->key, .row = r, .rank = rank};
        turn_round(all + first, n - first, sizeof *all);
    }
    sort(all, n, sizeof *all, piece_cmp);
    *count_out = n;
    return all;
}

/* Where the group of one key begins (backward: from `at`, its last) or ends. */
static size_t group_edge(const piece *all, size_t count, size_t at, bool is_backward)
{
    if (is_backward) {
        while (at > 0 && sv_str_eq(all[at - 1].key, all[at].key)) at--;
        return at;
    }
    size_t end = at + 1;
    while (end < count && sv_str_eq(all[end].key, all[at].key)) end++;
    return end;
}

/* Whether the index may have a row before these that it did not give: kept back by the filter, or counted. */
static bool is_unknown(const svi_read *read, const piece *group, size_t count)
{
    const cut *c = read->cut;
    if (read->at_once || !(c->job.filter || c->config.counts)) return false;
    for (size_t i = 0; i < count; i++)
        if (!group[i].row || svi_tail_decides(group[i].row)) return false;
    const svi_cut_mark *mark = mark_find(c->marks, c->mark_count, group->key);
    return !mark || !mark->is_wanted;
}

/* What a key has in the end; false if it has nothing, or nothing of the cut. Rows that are the index's alone were filtered. */
static bool group_value(svi_read *read, const piece *group, size_t count, svi_cut_row *row_out)
{
    const cut *c = read->cut;
    svi_sum sum;
    svi_sum_base(&sum, group->row ? SV_STR_NONE : group->value);
    for (size_t i = 0; i < count; i++)
        if (group[i].row) svi_sum_add(&sum, group[i].row);
    const sv_str stored = svi_sum_value(&sum, read->arena);
    if (!stored.p) return false;
    const bool is_filtered = c->job.filter && !group[count - 1].row;
    if (c->config.filter && !is_filtered && !filter_stored(read->cut, group->key, stored)) return false;
    *row_out = (svi_cut_row){.key = group->key,
                             .value = {stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD},
                             .schema = (unsigned char)stored.p[0]};
    return true;
}

/* Puts results into `out` (room for as many as there may be) and says how many; *stale_out: one can't be told. */
static size_t merge(svi_read *read, const piece *all, size_t count, svi_cut_row *out, bool *stale_out)
{
    cut *c = read->cut;
    const bool back = c->config.is_backward;
    size_t found = 0, bytes = 0;
    c->is_full = *stale_out = false;
    for (size_t done = 0, begin, end; done < count; done += end - begin) {
        if (!c->config.counts && (found == c->config.max || bytes >= c->config.max_bytes)) {
            c->is_full = true;
            break;
        }
        begin = back ? group_edge(all, count, count - 1 - done, true) : done;
        end = back ? count - done : group_edge(all, count, done, false);
        const bool unknown = is_unknown(read, &all[begin], end - begin);
        *stale_out = *stale_out || unknown;
        svi_cut_row row;
        if (unknown || !group_value(read, &all[begin], end - begin, &row)) continue;
        if (!c->config.counts) out[found] = row;
        found++;
        bytes += row.value.n;
    }
    return found;
}

/* --- the answer ------------------------------------------------------------------------------------ */

static void answer(svi_read *read, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    const cut *c = read->cut;
    c->done(read->ctx, SV_OK, rows, count, more, more ? reached : SV_STR_NONE);
    svi_rows_unref(&read->rows);
    svi_read_free(&read);
}

static void fail(svi_read *read, sv_status status)
{
    read->cut->done(read->ctx, status, NULL, 0, false, SV_STR_NONE);
    svi_rows_unref(&read->rows);
    svi_read_free(&read);
}

/* The owner's rows are in memory. */
static void answer_ready(svi_read *read)
{
    cut *c = read->cut;
    const svi_cut_config *config = &c->config;
    const bool back = config->is_backward;
    bool is_there = false;
    const size_t count = svi_rows_count(read->rows);
    size_t at = config->from.p ? svi_rows_place(read->rows, config->from, &is_there) : back ? count : 0;
    if (is_there && config->takes_from == back) at++; /* backward: the one before `at` is the next */
    const size_t left = back ? at : count - at;
    const size_t room = left < config->max ? left : config->max;
    svi_cut_row *rows = svi_arena_get(read->arena, room * sizeof *rows + 1);
    size_t found = 0, bytes = 0, looked = 0;
    sv_str key = SV_STR_NONE, stored;
    for (; looked < left && looked < config->max_looked; looked++) {
        if (!config->counts && (found == config->max || bytes >= config->max_bytes)) break;
        svi_rows_at(read->rows, back ? at - 1 - looked : at + looked, &key, &stored);
        if (config->filter && !filter_stored(c, key, stored)) continue;
        if (!config->counts)
            rows[found] = (svi_cut_row){.key = key,
                                        .value = {stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD},
                                        .schema = (unsigned char)stored.p[0]};
        found++;
        bytes += stored.n - SVI_ROW_HEAD;
    }
    answer(read, config->counts ? NULL : rows, found, looked < left, key);
}

/* Counts what the tail has where the index was read; the marks of it were left out there. */
static void answer_count(svi_read *read)
{
    const cut *c = read->cut;
    size_t n;
    bool stale;
    if (c->more && c->looked < c->config.max_looked) {
        job_start(read, 0);
        return;
    }
    piece *all = gather(read, &n);
    const size_t found = merge(read, all, n, NULL, &stale);
    svi_free(all);
    answer(read, NULL, c->counted + found, c->more, c->reached);
}

static void begin_anew(svi_read *read)
{
    cut *c = read->cut;
    c->is_unfiltered = true;
    c->row_count = c->looked = 0;
    c->more = false;
    job_start(read, 0);
}

static void answer_rows(svi_read *read)
{
    cut *c = read->cut;
    size_t n;
    bool stale;
    piece *all = gather(read, &n);
    const size_t room = n < c->config.max ? n : c->config.max;
    svi_cut_row *rows = svi_arena_get(read->arena, room * sizeof *rows + 1);
    const size_t found = merge(read, all, n, rows, &stale);
    svi_free(all);
    if (stale) {
        begin_anew(read);
        return;
    }
    const bool has_enough = c->is_full || found == c->config.max;
    if (c->more && !has_enough && c->looked < c->config.max_looked)
        job_start(read, found);
    else if (c->is_full)
        answer(read, rows, found, true, rows[found - 1].key);
    else
        answer(read, rows, found, c->more, c->reached);
}

void svi_cut_deliver(svi_read *read, sv_status status)
{
    if (status != SV_OK) {
        fail(read, status);
        return;
    }
    if (read->rows) {
        answer_ready(read);
        return;
    }
    if (!read->at_once) job_take(read);
    if (read->cut->config.counts)
        answer_count(read);
    else
        answer_rows(read);
}

void svi_cut_cancel(svi_read *read)
{
    fail(read, SV_ECANCELED);
}

/* Whether the owner was cleared by what is sure to stay: then the index has nothing to add. */
static bool is_cleared(const svi_read *read)
{
    for (const svi_tail *t = svi_store_unfolded(read->store); t; t = t->newer) {
        const svi_tail_owner *owner = owner_in(read, t);
        if (owner && owner->cleared) return true;
    }
    return false;
}

void svi_rows_cut(svi_map *map, sv_str owner, const svi_cut_config *config, svi_cut_done done, void *ctx)
{
    SV_ASSERT(config->counts || (config->max >= 1 && config->max <= CUT_ROWS_MAX));
    svi_read *read = svi_read_new(map, SVI_READ_CUT, owner, config->from, ctx);
    svi_store *store = read->store;
    cut *c = svi_alloc(store->acct, sizeof *c);
    read->cut = c;
    read->arena = svi_arena_new(store->acct, 512);
    c->config = *config;
    c->config.from = config->from.n > 0 ? read->key : SV_STR_NONE;
    if (c->config.max == 0) c->config.max = 1;
    if (c->config.max_bytes == 0) c->config.max_bytes = DEFAULT_BYTES;
    if (c->config.max_looked == 0) c->config.max_looked = DEFAULT_LOOKED;
    c->done = done;
    read->rows = svi_rows_ready(store, read->hash, map->number, owner);
    if (read->rows || is_cleared(read)) {
        svi_read_ready(read);
        return;
    }
    marks_make(read);
    job_start(read, 0);
}
