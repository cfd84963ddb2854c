/* Reads: rows of an owner in memory, single values, and what both must wait for.
 *
 * A read's answer is made on the router thread when the engine's part is there: the index rows first, then every
 * generation of the tail in order. Generations that were folded since the read began are kept until it ends, so it
 * does not matter which state of the index the engine saw. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"

typedef struct row {
    sv_str key, value; /* the value with its version */
    char *own;         /* holds key and value if they are not in the arena */
} row;

/* A value as it is stored, without its version. */
static sv_str without_version(sv_str stored)
{
    SV_ASSERT(stored.n >= SVI_ROW_HEAD);
    return (sv_str){stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD};
}

static uint32_t version_of(sv_str stored)
{
    SV_ASSERT(stored.n >= SVI_ROW_HEAD);
    return (unsigned char)stored.p[0];
}

/* SV_EIO if the index gave a row without a version, which is never 0: it is damaged. */
static sv_status status_of(const svi_read *read)
{
    if (read->at_once) return SV_OK;
    for (size_t i = 0; read->job.status == SV_OK && i < read->job.row_count; i++)
        if (read->job.rows[i].value.n < SVI_ROW_HEAD || read->job.rows[i].value.p[0] == 0) return SV_EIO;
    return read->job.status;
}

struct svi_rows {
    uint32_t magic;
    svi_store *store; /* NULL after the store was closed */
    uint32_t map;
    uint64_t hash;
    sv_str owner;
    unsigned refs;
    bool ready;
    row *row; /* in order of keys */
    size_t count, cap;
    svi_arena *arena;
    size_t bytes;       /* of memory */
    size_t value_bytes; /* of all values together */
    svi_read *waiters;
    svi_rows *older, *newer; /* in the LRU list while refs == 0 */
};

/* --- reads ----------------------------------------------------------------------------------------- */

svi_read *svi_read_new(svi_map *map, svi_read_kind kind, sv_str owner, sv_str key, void *ctx)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    svi_store *store = map->store;
    svi_read *read = svi_alloc(store->acct, sizeof *read + owner.n + key.n + 1);
    char *text = (char *)(read + 1);
    if (owner.n > 0) memcpy(text, owner.p, owner.n);
    if (key.n > 0) memcpy(text + owner.n, key.p, key.n);
    read->store = store;
    read->map = map;
    read->kind = kind;
    read->owner = (sv_str){text, owner.n};
    read->key = (sv_str){text + owner.n, key.n};
    read->hash = svi_owner_hash(map->number, owner);
    read->ctx = ctx;
    read->epoch = store->fold_count;
    read->prev = store->reads_last;
    if (store->reads_last)
        store->reads_last->next = read;
    else
        store->reads_first = read;
    store->reads_last = read;
    return read;
}

void svi_read_free(svi_read **take)
{
    svi_read *read = *take;
    *take = NULL;
    svi_store *store = read->store;
    if (read->prev)
        read->prev->next = read->next;
    else
        store->reads_first = read->next;
    if (read->next)
        read->next->prev = read->prev;
    else
        store->reads_last = read->prev;
    svi_free(read->items);
    svi_free(read->found);
    svi_free(read->cut);
    svi_arena_free(&read->arena);
    svi_free(read);
    svi_store_trim(store);
}

void svi_read_start(svi_read *read, svi_job_kind kind)
{
    if (read->store->closing) return; /* it is in the list and will be cancelled */
    if (!read->arena) read->arena = svi_arena_new(read->store->acct, 128);
    read->job = (svi_job){.kind = kind,
                          .key = {.map = read->map->number, .owner = read->owner, .key = read->key},
                          .max = read->max,
                          .arena = read->arena};
    svi_store_start_job(read->store, &read->job);
}

void svi_read_ready(svi_read *read)
{
    svi_store *store = read->store;
    read->at_once = true;
    const bool first = store->ready_first == NULL;
    *store->ready_end = read;
    store->ready_end = &read->ready_next;
    if (first) svi_store_wake(store);
}

/* --- rows in memory -------------------------------------------------------------------------------- */

typedef struct rows_want {
    uint32_t map;
    sv_str owner;
} rows_want;

static bool same_rows(const void *item, const void *want)
{
    const svi_rows *r = item;
    const rows_want *w = want;
    return r->map == w->map && sv_str_eq(r->owner, w->owner);
}

static svi_rows *rows_cached(const svi_store *store, uint64_t hash, uint32_t map, sv_str owner)
{
    return svi_table_find(&store->rows, hash, same_rows, &(rows_want){.map = map, .owner = owner});
}

static svi_rows *rows_new(svi_store *store, const svi_read *read)
{
    svi_rows *rows = svi_alloc(store->acct, sizeof *rows + read->owner.n + 1);
    if (read->owner.n > 0) memcpy(rows + 1, read->owner.p, read->owner.n);
    rows->magic = SVI_ROWS_MAGIC;
    rows->store = store;
    rows->map = read->map->number;
    rows->hash = read->hash;
    rows->owner = (sv_str){(char *)(rows + 1), read->owner.n};
    rows->bytes = sizeof *rows + read->owner.n;
    svi_table_add(&store->rows, store->acct, rows->hash, rows);
    return rows;
}

static void rows_free(svi_rows *rows)
{
    SV_ASSERT(rows->refs == 0);
    for (size_t i = 0; i < rows->count; i++) svi_free(rows->row[i].own);
    svi_free(rows->row);
    svi_arena_free(&rows->arena);
    rows->magic = 0;
    svi_free(rows);
}

static void lru_take(svi_rows *rows)
{
    svi_store *store = rows->store;
    if (rows->older)
        rows->older->newer = rows->newer;
    else
        store->lru_first = rows->newer;
    if (rows->newer)
        rows->newer->older = rows->older;
    else
        store->lru_last = rows->older;
    rows->older = rows->newer = NULL;
    SV_ASSERT(store->cache_bytes >= rows->bytes);
    store->cache_bytes -= rows->bytes;
}

static void lru_trim(svi_store *store)
{
    while (store->lru_first && store->cache_bytes > store->config.cache_bytes) {
        svi_rows *rows = store->lru_first;
        lru_take(rows);
        svi_table_remove(&store->rows, rows->hash, rows);
        rows_free(rows);
    }
}

static void lru_put(svi_rows *rows)
{
    svi_store *store = rows->store;
    rows->older = store->lru_last;
    if (store->lru_last)
        store->lru_last->newer = rows;
    else
        store->lru_first = rows;
    store->lru_last = rows;
    store->cache_bytes += rows->bytes;
    lru_trim(store);
}

static svi_rows *rows_ref(svi_rows *rows)
{
    if (rows->refs++ == 0 && rows->ready) lru_take(rows);
    return rows;
}

void svi_rows_unref(svi_rows **take)
{
    svi_rows *rows = *take;
    *take = NULL;
    if (!rows) return;
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    SV_ASSERT(rows->refs > 0);
    if (--rows->refs > 0) return;
    if (!rows->store) {
        rows_free(rows);
    } else if (rows->ready) {
        lru_put(rows);
    } else { /* never came to be */
        svi_table_remove(&rows->store->rows, rows->hash, rows);
        rows_free(rows);
    }
}

size_t svi_rows_place(const svi_rows *rows, sv_str key, bool *found_out)
{
    size_t low = 0, high = rows->count;
    *found_out = false;
    if (high > 0 && svi_str_cmp(rows->row[high - 1].key, key) < 0) return high; /* append */
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int c = svi_str_cmp(rows->row[mid].key, key);
        if (c == 0) {
            *found_out = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void rows_reserve(svi_rows *rows, svi_acct *acct, size_t count)
{
    if (count <= rows->cap) return;
    size_t cap = rows->cap ? rows->cap * 2 : 4;
    if (cap < count) cap = count;
    rows->row = svi_realloc(acct, rows->row, cap * sizeof(row));
    rows->bytes += (cap - rows->cap) * sizeof(row);
    rows->cap = cap;
}

static void row_drop(svi_rows *rows, row *r)
{
    if (r->own) rows->bytes -= r->key.n + r->value.n;
    SV_ASSERT(rows->value_bytes >= r->value.n - SVI_ROW_HEAD);
    rows->value_bytes -= r->value.n - SVI_ROW_HEAD;
    svi_free(r->own);
    *r = (row){0};
}

static row row_own(svi_rows *rows, svi_acct *acct, sv_str key, sv_str value)
{
    char *own = svi_alloc_raw(acct, key.n + value.n + 1);
    if (key.n > 0) memcpy(own, key.p, key.n);
    if (value.n > 0) memcpy(own + key.n, value.p, value.n);
    rows->bytes += key.n + value.n;
    return (row){.key = {own, key.n}, .value = {own + key.n, value.n}, .own = own};
}

static row row_sum(svi_rows *rows, svi_acct *acct, sv_str key, const svi_sum *sum)
{
    char *own = svi_alloc_raw(acct, key.n + sum->n + 1);
    if (key.n > 0) memcpy(own, key.p, key.n);
    rows->bytes += key.n + sum->n;
    return (row){.key = {own, key.n}, .value = svi_sum_copy(sum, own + key.n), .own = own};
}

static void rows_set(svi_rows *rows, svi_acct *acct, sv_str key, sv_str value)
{
    bool found;
    const size_t i = svi_rows_place(rows, key, &found);
    if (found) {
        row_drop(rows, &rows->row[i]);
    } else {
        rows_reserve(rows, acct, rows->count + 1);
        memmove(rows->row + i + 1, rows->row + i, (rows->count - i) * sizeof(row));
        rows->count++;
    }
    rows->row[i] = row_own(rows, acct, key, value);
    rows->value_bytes += value.n - SVI_ROW_HEAD;
}

/* Behind what the row has; `stored` is a new row's value. */
static void rows_append(svi_rows *rows, svi_acct *acct, sv_str key, sv_str stored)
{
    bool found;
    const size_t i = svi_rows_place(rows, key, &found);
    if (!found) {
        rows_set(rows, acct, key, stored);
        return;
    }
    row *r = &rows->row[i];
    if (!r->own) *r = row_own(rows, acct, r->key, r->value);
    size_t n = stored.n - SVI_ROW_HEAD;
    if (n > SVI_STORED_MAX - r->value.n) n = SVI_STORED_MAX - r->value.n;
    const size_t at = r->key.n + r->value.n;
    r->own = svi_realloc(acct, r->own, at + n + 1);
    if (n > 0) memcpy(r->own + at, stored.p + SVI_ROW_HEAD, n);
    r->key.p = r->own;
    r->value = (sv_str){r->own + r->key.n, r->value.n + n};
    rows->bytes += n;
    rows->value_bytes += n;
}

static void rows_del(svi_rows *rows, sv_str key)
{
    bool found;
    const size_t i = svi_rows_place(rows, key, &found);
    if (!found) return;
    row_drop(rows, &rows->row[i]);
    rows->count--;
    memmove(rows->row + i, rows->row + i + 1, (rows->count - i) * sizeof(row));
}

void svi_rows_apply(svi_store *store, const svi_op *op)
{
    if (store->rows.count == 0) return;
    svi_rows *rows = rows_cached(store, svi_owner_hash(op->map, op->owner), op->map, op->owner);
    if (!rows || !rows->ready) return; /* while it loads, the tail has it */
    const size_t before = rows->bytes;
    switch (op->kind) {
    case SVI_OP_PUT: rows_set(rows, store->acct, op->key, op->value); break;
    case SVI_OP_DEL: rows_del(rows, op->key); break;
    case SVI_OP_APPEND: rows_append(rows, store->acct, op->key, op->value); break;
    case SVI_OP_DEL_OWNER:
        for (size_t i = 0; i < rows->count; i++) row_drop(rows, &rows->row[i]);
        rows->count = 0;
        break;
    }
    if (rows->refs > 0) return;
    store->cache_bytes = store->cache_bytes - before + rows->bytes;
    lru_trim(store);
}

/* --- merging --------------------------------------------------------------------------------------- */

typedef struct merge_row {
    sv_str key, value;
    const svi_tail_row *row; /* NULL: of the index, and `value` is its */
    unsigned rank;           /* 0: index, then the generations in order */
} merge_row;

static int merge_cmp(const void *a, const void *b)
{
    const merge_row *x = a, *y = b;
    const int c = svi_str_cmp(x->key, y->key);
    return c != 0 ? c : x->rank < y->rank ? -1 : 1;
}

/* Index rows and the rows of all generations into `out` (room for all), unsorted; a generation that cleared the
 * owner drops what came before. */
static size_t merge_gather(const svi_read *read, merge_row *out)
{
    const svi_job *job = &read->job;
    size_t n = 0;
    for (size_t i = 0; i < job->row_count; i++)
        out[n++] = (merge_row){.key = job->rows[i].key.key, .value = job->rows[i].value};
    unsigned rank = 1;
    for (const svi_tail *t = read->store->oldest; t; t = t->newer, rank++) {
        const svi_tail_owner *owner =
            svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
        if (!owner) continue;
        if (owner->cleared) n = 0;
        for (const svi_tail_row *r = owner->rows; r; r = r->next)
            out[n++] = (merge_row){.key = r->key, .row = r, .rank = rank};
    }
    return n;
}

/* Sums up what there is of one key, from `all[i]` on; returns where the next key begins. */
static size_t merge_key(const merge_row *all, size_t n, size_t i, svi_sum *sum)
{
    const sv_str key = all[i].key;
    svi_sum_base(sum, all[i].row ? SV_STR_NONE : all[i].value);
    for (; i < n && sv_str_eq(all[i].key, key); i++)
        if (all[i].row) svi_sum_add(sum, all[i].row);
    return i;
}

static size_t merge_room(const svi_read *read)
{
    size_t n = read->job.row_count;
    for (const svi_tail *t = read->store->oldest; t; t = t->newer) {
        const svi_tail_owner *owner =
            svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
        for (const svi_tail_row *r = owner ? owner->rows : NULL; r; r = r->next) n++;
    }
    return n;
}

/* Fills rows from the read's job and the tail. The job's arena stays with the rows: index rows are not copied. */
static void rows_fill(svi_rows *rows, svi_read *read)
{
    svi_acct *acct = read->store->acct;
    const size_t room = merge_room(read);
    merge_row *all = svi_alloc_raw(acct, room * sizeof *all + 1);
    const size_t n = merge_gather(read, all);
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++) sorted = merge_cmp(&all[i - 1], &all[i]) < 0;
    if (!sorted) qsort(all, n, sizeof *all, merge_cmp);
    rows->arena = read->arena;
    read->arena = NULL;
    if (rows->arena) rows->bytes += svi_arena_bytes(rows->arena);
    rows_reserve(rows, acct, n);
    for (size_t i = 0, next; i < n; i = next) {
        svi_sum sum;
        next = merge_key(all, n, i, &sum);
        if (!sum.head.p) continue;
        const bool is_of_index = sum.count == 0 && next == i + 1 && !all[i].row;
        rows->row[rows->count++] = is_of_index ? (row){.key = all[i].key, .value = sum.head}
                                               : row_sum(rows, acct, all[i].key, &sum);
        rows->value_bytes += sum.n - SVI_ROW_HEAD;
    }
    svi_free(all);
    rows->ready = true;
}

/* Whether a generation cleared the owner: then the index has nothing to add. */
static bool tail_cleared(const svi_read *read)
{
    for (const svi_tail *t = read->store->oldest; t; t = t->newer) {
        const svi_tail_owner *owner =
            svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
        if (owner && owner->cleared) return true;
    }
    return false;
}

void svi_rows_load(svi_map *map, sv_str owner, svi_rows_done done, void *ctx)
{
    svi_read *read = svi_read_new(map, SVI_READ_ROWS, owner, SV_STR_NONE, ctx);
    svi_store *store = read->store;
    read->rows_done = done;
    svi_rows *rows = rows_cached(store, read->hash, map->number, owner);
    if (rows) {
        read->rows = rows_ref(rows);
        if (rows->ready) {
            svi_read_ready(read);
        } else {
            read->ready_next = rows->waiters;
            rows->waiters = read;
        }
        return;
    }
    rows = rows_new(store, read);
    rows->refs = 1;
    read->rows = rows;
    if (tail_cleared(read)) {
        rows_fill(rows, read);
        svi_read_ready(read);
    } else {
        svi_read_start(read, SVI_JOB_SCAN);
    }
}

svi_rows *svi_rows_get(svi_map *map, sv_str owner)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    return svi_rows_ready(map->store, svi_owner_hash(map->number, owner), map->number, owner);
}

svi_rows *svi_rows_ready(svi_store *store, uint64_t hash, uint32_t map, sv_str owner)
{
    svi_rows *rows = rows_cached(store, hash, map, owner);
    return rows && rows->ready ? rows_ref(rows) : NULL;
}

bool svi_rows_in_use(svi_map *map, sv_str owner)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    const svi_rows *rows =
        rows_cached(map->store, svi_owner_hash(map->number, owner), map->number, owner);
    return rows && rows->refs > 0;
}

static void rows_answer(svi_read *read, sv_status status)
{
    svi_rows *rows = read->rows;
    const svi_rows_done done = read->rows_done;
    void *ctx = read->ctx;
    svi_read_free(&read);
    if (status != SV_OK) svi_rows_unref(&rows);
    done(ctx, status, rows);
}

static void rows_deliver(svi_read *read)
{
    svi_rows *rows = read->rows;
    const sv_status status = status_of(read);
    svi_read *waiters = rows->waiters, *in_order = NULL;
    rows->waiters = NULL;
    while (waiters) { /* they were stacked */
        svi_read *next = waiters->ready_next;
        waiters->ready_next = in_order;
        in_order = waiters;
        waiters = next;
    }
    if (status == SV_OK && !rows->ready) rows_fill(rows, read);
    if (status != SV_OK) { /* whoever asks from now on, begins anew */
        svi_table_remove(&rows->store->rows, rows->hash, rows);
        rows->store = NULL;
    }
    rows_answer(read, status);
    while (in_order) {
        svi_read *next = in_order->ready_next;
        rows_answer(in_order, status);
        in_order = next;
    }
}

/* --- using rows ------------------------------------------------------------------------------------ */

bool svi_rows_find(const svi_rows *rows, sv_str key, sv_str *value_out)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    bool found;
    const size_t i = svi_rows_place(rows, key, &found);
    *value_out = found ? without_version(rows->row[i].value) : SV_STR_NONE;
    return found;
}

uint32_t svi_rows_schema(const svi_rows *rows, sv_str key)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    bool found;
    const size_t i = svi_rows_place(rows, key, &found);
    return found ? version_of(rows->row[i].value) : 0;
}

bool svi_rows_next(const svi_rows *rows, sv_str *key, sv_str *value_out)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    size_t i = 0;
    if (key->p) {
        bool found;
        i = svi_rows_place(rows, *key, &found);
        if (found) i++;
    }
    if (i >= rows->count) return false;
    *key = rows->row[i].key;
    *value_out = without_version(rows->row[i].value);
    return true;
}

void svi_rows_at(const svi_rows *rows, size_t place, sv_str *key_out, sv_str *stored_out)
{
    SV_ASSERT(place < rows->count);
    *key_out = rows->row[place].key;
    *stored_out = rows->row[place].value;
}

size_t svi_rows_count(const svi_rows *rows)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return rows->count;
}

size_t svi_rows_value_bytes(const svi_rows *rows)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return rows->value_bytes;
}

/* --- single values --------------------------------------------------------------------------------- */

/* Whether the generations say what the row has, whatever the index has. */
static bool tail_decides(const svi_read *read, const svi_tail *from)
{
    bool decides = false;
    for (const svi_tail *t = from; t; t = t->newer) {
        const svi_tail_owner *owner =
            svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
        if (!owner) continue;
        const svi_tail_row *r =
            svi_tail_row_find(t, read->hash, read->map->number, read->owner, read->key);
        if (owner->cleared || (r && svi_tail_decides(r))) decides = true;
    }
    return decides;
}

/* What the row has, `base` being what the index has. */
static void tail_sum(const svi_read *read, sv_str base, svi_sum *sum)
{
    svi_sum_base(sum, base);
    for (const svi_tail *t = read->store->oldest; t; t = t->newer) {
        const svi_tail_owner *owner =
            svi_tail_owner_find(t, read->hash, read->map->number, read->owner);
        if (!owner) continue;
        if (owner->cleared) svi_sum_base(sum, SV_STR_NONE);
        const svi_tail_row *r =
            svi_tail_row_find(t, read->hash, read->map->number, read->owner, read->key);
        if (r) svi_sum_add(sum, r);
    }
}

const svi_tail *svi_store_unfolded(const svi_store *store)
{
    const svi_tail *t = store->oldest;
    while (t->folded_at) t = t->newer;
    return t;
}

void svi_store_get(svi_map *map, sv_str owner, sv_str key, svi_get_done done, void *ctx)
{
    svi_read *read = svi_read_new(map, SVI_READ_GET, owner, key, ctx);
    svi_store *store = read->store;
    read->get_done = done;
    read->rows = svi_rows_ready(store, read->hash, map->number, owner);
    if (read->rows) {
        svi_read_ready(read);
    } else if (tail_decides(read, svi_store_unfolded(store))) {
        svi_read_ready(read); /* decided at delivery: its generation stays until then */
    } else {
        svi_read_start(read, SVI_JOB_GET);
    }
}

static void get_deliver(svi_read *read)
{
    sv_status status = SV_OK;
    sv_str value = SV_STR_NONE; /* with its version */
    if (read->rows) {
        bool found;
        const size_t i = svi_rows_place(read->rows, read->key, &found);
        if (found) value = read->rows->row[i].value;
    } else {
        svi_sum sum;
        const bool needs_index = !tail_decides(read, read->store->oldest);
        SV_ASSERT(!(read->at_once && needs_index));
        if (needs_index) status = status_of(read);
        const bool has = status == SV_OK && !read->at_once && read->job.row_count > 0;
        tail_sum(read, has ? read->job.rows[0].value : SV_STR_NONE, &sum);
        if (sum.count > 0 && !read->arena) read->arena = svi_arena_new(read->store->acct, 128);
        if (status == SV_OK) value = svi_sum_value(&sum, read->arena);
    }
    if (status == SV_OK && !value.p) status = SV_ENOTFOUND;
    if (status == SV_OK)
        read->get_done(read->ctx, status, without_version(value), version_of(value));
    else
        read->get_done(read->ctx, status, SV_STR_NONE, 0);
    svi_rows_unref(&read->rows);
    svi_read_free(&read);
}

void svi_read_deliver(svi_read *read)
{
    switch (read->kind) {
    case SVI_READ_ROWS: rows_deliver(read); break;
    case SVI_READ_GET: get_deliver(read); break;
    case SVI_READ_OWNERS: svi_owners_deliver(read); break;
    case SVI_READ_VERSIONS: svi_versions_deliver(read, read->job.status); break;
    case SVI_READ_CUT: svi_cut_deliver(read, status_of(read)); break;
    case SVI_READ_BASE: svi_base_deliver(read, status_of(read)); break;
    }
}

/* --- the end --------------------------------------------------------------------------------------- */

static void cancel(svi_read *read)
{
    switch (read->kind) {
    case SVI_READ_ROWS: rows_answer(read, SV_ECANCELED); return;
    case SVI_READ_GET: read->get_done(read->ctx, SV_ECANCELED, SV_STR_NONE, 0); break;
    case SVI_READ_OWNERS: read->owners_done(read->ctx, SV_ECANCELED, NULL, 0, false); break;
    case SVI_READ_VERSIONS: svi_versions_deliver(read, SV_ECANCELED); return;
    case SVI_READ_CUT: svi_cut_cancel(read); return;
    case SVI_READ_BASE: break; /* its fold does not begin */
    }
    svi_rows_unref(&read->rows);
    svi_read_free(&read);
}

void svi_reads_cancel(svi_store *store)
{
    /* newest first: an OWNERS read is older than the reads it made */
    while (store->reads_last) cancel(store->reads_last);
    store->ready_first = NULL;
    store->ready_end = &store->ready_first;
}

void svi_rows_close(svi_store *store)
{
    for (size_t i = 0; i < store->rows.cap; i++) {
        svi_rows *rows = store->rows.slots[i].item;
        if (!rows) continue;
        if (rows->refs > 0)
            rows->store = NULL;
        else
            rows_free(rows);
    }
    svi_table_free(&store->rows);
}
