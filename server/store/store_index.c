/* The LMDB index: folding and reading rows. */
#include "store/store_index.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_str.h"
#include "store/store_keys.h"

#define FORMAT 2u
#define MAX_PROBE 255u
#define CLOCK_EVERY 64u /* rows between two looks at the clock */

struct svi_index {
    svi_index_config config;
    MDB_env *env;
    MDB_dbi rows, meta;
};

static sv_status mdb_err(sv_err *err, int rc, const char *what)
{
    const sv_status st = rc == MDB_MAP_FULL || rc == ENOSPC ? SV_ENOSPC
                         : rc == MDB_VERSION_MISMATCH       ? SV_EVERSION
                                                            : SV_EIO;
    return svi_err(err, st, "index: %s: %s", what, mdb_strerror(rc));
}

static MDB_val val(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}

static sv_str str(MDB_val v)
{
    return (sv_str){v.mv_data, v.mv_size};
}

/* --- open ------------------------------------------------------------------------------------------ */

typedef struct
    head { /* the value of "head" in meta; little-endian machines only, as the index itself */
    uint32_t format, layout;
    uint64_t folded;
} head;

static int head_read(svi_index *x, MDB_txn *txn, head *out)
{
    MDB_val k = val("head", 4), v;
    *out = (head){.format = FORMAT, .layout = 1};
    const int rc = mdb_get(txn, x->meta, &k, &v);
    if (rc == MDB_NOTFOUND) return 0;
    if (rc == 0 && v.mv_size != sizeof *out) return MDB_CORRUPTED;
    if (rc == 0) memcpy(out, v.mv_data, sizeof *out);
    return rc;
}

static int head_write(svi_index *x, MDB_txn *txn, uint64_t folded)
{
    const head h = {.format = FORMAT, .layout = 1, .folded = folded};
    MDB_val k = val("head", 4), v = val(&h, sizeof h);
    return mdb_put(txn, x->meta, &k, &v, 0);
}

/* How many pages from `first` on the list of free ones names; -1 if it can't be read. */
static int64_t free_from(const svi_index *x, size_t first)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int64_t count = 0;
    if (mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn) != 0) return -1;
    int rc = mdb_cursor_open(txn, 0, &cursor); /* table 0: lists of free pages */
    if (rc == 0) {
        MDB_val k, v;
        while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
            const size_t *pages = v.mv_data; /* how many, then their numbers */
            for (size_t i = 1; i <= pages[0]; i++) count += pages[i] >= first;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? count : -1;
}

/* A file that is shorter than it says is whole if all that lacks is free; else reading the rest would end the worker by a signal.
 * To look, it is made as long as it says (zeros, which no table takes for a page), and as short as it was if it is not whole. */
static sv_status check_size(svi_index *x, sv_err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    mdb_env_info(x->env, &info);
    mdb_env_stat(x->env, &stat);
    if (mdb_env_get_fd(x->env, &fd) != 0 || fstat(fd, &file) != 0)
        return svi_err(err, SV_EIO, "index: can't see how long its file is: %s", strerror(errno));
    const size_t pages = info.me_last_pgno + 1, whole = (size_t)file.st_size / stat.ms_psize;
    if (whole >= pages) return SV_OK;
    if (ftruncate(fd, (off_t)(pages * stat.ms_psize)) != 0)
        return svi_err(err, SV_EIO, "index: can't make its file longer: %s", strerror(errno));
    if (free_from(x, whole) == (int64_t)(pages - whole)) return SV_OK;
    (void)!ftruncate(fd, file.st_size); /* were it to fail, the zeros are seen when they are read */
    return svi_err(err, SV_EIO, "index: its file is cut short: %lld bytes of %zu", (long long)file.st_size,
                   pages * stat.ms_psize);
}

static int tables_open(svi_index *x, head *head_out)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(x->env, NULL, 0, &txn);
    if (rc != 0) return rc;
    rc = mdb_dbi_open(txn, "rows", MDB_CREATE, &x->rows);
    if (rc == 0) rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &x->meta);
    if (rc == 0) rc = head_read(x, txn, head_out);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

sv_status svi_index_open(const svi_index_config *config, svi_index **index_out,
                         uint64_t *folded_out, sv_err *err)
{
    svi_index *x = svi_alloc(config->acct, sizeof *x);
    x->config = *config;
    int rc = mdb_env_create(&x->env);
    if (rc == 0) rc = mdb_env_set_maxdbs(x->env, 4);
    if (rc == 0) rc = mdb_env_set_maxreaders(x->env, config->readers + 4);
    if (rc == 0) rc = mdb_env_set_mapsize(x->env, config->map_bytes);
    if (rc == 0) rc = mdb_env_open(x->env, config->path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    head h = {0};
    if (rc == 0 && check_size(x, err) != SV_OK) {
        svi_index_close(&x);
        return err->code;
    }
    if (rc == 0) rc = tables_open(x, &h);
    /* a worker that was killed in a commit may have left its last page in memory only; the journal goes by what we
     * read, so that must be on disk */
    if (rc == 0) rc = mdb_env_sync(x->env, 1);
    if (rc != 0) {
        svi_index_close(&x);
        return mdb_err(err, rc, "open");
    }
    if (h.format != FORMAT) {
        svi_index_close(&x);
        return svi_err(err, SV_EVERSION, "index format %u, this release knows format %u", h.format,
                       FORMAT);
    }
    *folded_out = h.folded;
    *index_out = x;
    return SV_OK;
}

void svi_index_close(svi_index **take)
{
    svi_index *x = *take;
    *take = NULL;
    if (!x) return;
    if (x->env) mdb_env_close(x->env);
    svi_free(x);
}

/* --- one row --------------------------------------------------------------------------------------- */

/* Whether the stored row is the one asked for; true at once if nothing is hashed. */
static bool is_row(const svi_lkey *k, const svi_row_key *key, MDB_val lk, MDB_val lv, svi_lrow *row)
{
    if (!svi_lrow_read(str(lk), str(lv), row)) return false;
    if (k->owner_hashed && !sv_str_eq(row->owner, key->owner)) return false;
    return !k->key_hashed || sv_str_eq(row->key, key->key);
}

/* Finds the row's own place or the first free one; the probe byte in *k is set to it. 0, MDB_NOTFOUND or an error. */
static int row_find(MDB_cursor *cursor, svi_lkey *k, const svi_row_key *key, svi_lrow *row)
{
    for (unsigned probe = 0; probe <= MAX_PROBE; probe++) {
        if (svi_lkey_hashed(k)) k->bytes[k->n - 1] = (unsigned char)probe;
        MDB_val lk = val(k->bytes, k->n), lv;
        const int rc = mdb_cursor_get(cursor, &lk, &lv, MDB_SET_KEY);
        if (rc != 0) return rc;
        if (is_row(k, key, lk, lv, row)) return 0;
        if (!svi_lkey_hashed(k)) return MDB_CORRUPTED;
    }
    return MDB_KEYEXIST;
}

static int row_put(svi_index *x, MDB_cursor *cursor, const svi_row_change *c)
{
    svi_lkey k;
    svi_lkey_row(&k, x->config.hash, &c->key);
    if (!svi_lkey_hashed(&k)) {
        MDB_val lk = val(k.bytes, k.n), lv = val(c->value.p, c->value.n);
        return mdb_cursor_put(cursor, &lk, &lv, 0);
    }
    svi_lrow row;
    const int rc = row_find(cursor, &k, &c->key, &row);
    if (rc != 0 && rc != MDB_NOTFOUND) return rc;
    char prefix[SVI_LROW_PREFIX_MAX];
    const size_t n = svi_lrow_prefix(&k, &c->key, prefix);
    MDB_val lk = val(k.bytes, k.n), lv = {.mv_size = n + c->value.n};
    const int put = mdb_cursor_put(cursor, &lk, &lv, MDB_RESERVE);
    if (put != 0) return put;
    memcpy(lv.mv_data, prefix, n);
    if (c->value.n > 0) memcpy((char *)lv.mv_data + n, c->value.p, c->value.n);
    return 0;
}

/* Closes the gap that a deleted row leaves among the probes: the last one moves into it. `k` has the gap's probe. */
static int row_close_gap(svi_index *x, MDB_cursor *cursor, svi_lkey *k)
{
    const unsigned gap = k->bytes[k->n - 1];
    unsigned last = gap;
    MDB_val lk = val(k->bytes, k->n), lv;
    for (; last < MAX_PROBE; last++) {
        k->bytes[k->n - 1] = (unsigned char)(last + 1);
        const int rc = mdb_cursor_get(cursor, &lk, &lv, MDB_SET);
        lk = val(k->bytes, k->n);
        if (rc == MDB_NOTFOUND) break;
        if (rc != 0) return rc;
    }
    if (last == gap) return 0;
    k->bytes[k->n - 1] = (unsigned char)last;
    int rc = mdb_cursor_get(cursor, &lk, &lv, MDB_SET);
    if (rc != 0) return rc;
    const size_t n = lv.mv_size;
    char *copy = svi_alloc_raw(x->config.acct, n + 1);
    memcpy(copy, lv.mv_data, n);
    rc = mdb_cursor_del(cursor, 0);
    k->bytes[k->n - 1] = (unsigned char)gap;
    lk = val(k->bytes, k->n);
    lv = val(copy, n);
    if (rc == 0) rc = mdb_cursor_put(cursor, &lk, &lv, 0);
    svi_free(copy);
    return rc;
}

static int row_del(svi_index *x, MDB_cursor *cursor, const svi_row_key *key)
{
    svi_lkey k;
    svi_lkey_row(&k, x->config.hash, key);
    svi_lrow row;
    int rc = row_find(cursor, &k, key, &row);
    if (rc == MDB_NOTFOUND) return 0;
    if (rc == 0) rc = mdb_cursor_del(cursor, 0);
    return rc == 0 && svi_lkey_hashed(&k) ? row_close_gap(x, cursor, &k) : rc;
}

/* --- an owner's rows ------------------------------------------------------------------------------- */

static bool has_prefix(MDB_val key, const svi_lkey *prefix)
{
    return key.mv_size >= prefix->owner_n &&
           memcmp(key.mv_data, prefix->bytes, prefix->owner_n) == 0;
}

/* A hashed owner: others of the same hash lie between, and gaps must be closed, so row by row. */
static int owner_del_hashed(svi_index *x, MDB_cursor *cursor, const svi_row_key *key,
                            svi_lkey *prefix)
{
    for (;;) {
        MDB_val lk = val(prefix->bytes, prefix->owner_n), lv;
        int rc = mdb_cursor_get(cursor, &lk, &lv, MDB_SET_RANGE);
        svi_lrow row = {0};
        while (rc == 0 && has_prefix(lk, prefix)) {
            if (!svi_lrow_read(str(lk), str(lv), &row)) return MDB_CORRUPTED;
            if (sv_str_eq(row.owner, key->owner)) break;
            rc = mdb_cursor_get(cursor, &lk, &lv, MDB_NEXT);
        }
        if (rc == MDB_NOTFOUND || (rc == 0 && !has_prefix(lk, prefix))) return 0;
        if (rc != 0) return rc;
        char text[SVI_KEY_MAX]; /* the page it lies on is about to change */
        memcpy(text, row.key.p, row.key.n);
        const svi_row_key one = {.map = key->map, .owner = key->owner, .key = {text, row.key.n}};
        rc = row_del(x, cursor, &one);
        if (rc != 0) return rc;
    }
}

static int owner_del(svi_index *x, MDB_cursor *cursor, const svi_row_key *key)
{
    svi_lkey prefix;
    svi_lkey_owner(&prefix, x->config.hash, key->map, key->owner);
    if (prefix.owner_hashed) return owner_del_hashed(x, cursor, key, &prefix);
    for (;;) { /* seeking anew is cheap and knows no special case at the end of a page */
        MDB_val lk = val(prefix.bytes, prefix.owner_n), lv;
        int rc = mdb_cursor_get(cursor, &lk, &lv, MDB_SET_RANGE);
        if (rc == MDB_NOTFOUND || (rc == 0 && !has_prefix(lk, &prefix))) return 0;
        if (rc == 0) rc = mdb_cursor_del(cursor, 0);
        if (rc != 0) return rc;
    }
}

/* --- folding --------------------------------------------------------------------------------------- */

static int fold_all(svi_index *x, MDB_txn *txn, const svi_row_change *changes, size_t count)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, x->rows, &cursor);
    if (rc != 0) return rc;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const svi_row_change *c = &changes[i];
        if (c->all)
            rc = owner_del(x, cursor, &c->key);
        else if (c->value.p)
            rc = row_put(x, cursor, c);
        else
            rc = row_del(x, cursor, &c->key);
    }
    mdb_cursor_close(cursor);
    return rc;
}

sv_status svi_index_fold(svi_index *x, const svi_row_change *changes, size_t count, uint64_t last,
                         sv_err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(x->env, NULL, 0, &txn);
    if (rc != 0) return mdb_err(err, rc, "begin of a fold");
    rc = fold_all(x, txn, changes, count);
    if (rc == 0) rc = head_write(x, txn, last);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return mdb_err(err, rc, "fold");
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? SV_OK : mdb_err(err, rc, "commit of a fold");
}

sv_status svi_index_used(svi_index *x, uint64_t *used_out)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(x->env, &info);
    mdb_env_stat(x->env, &stat);
    if (mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn) != 0) return SV_EIO;
    uint64_t pages = info.me_last_pgno + 1, spare = 0;
    if (mdb_cursor_open(txn, 0, &cursor) == 0) { /* table 0: lists of free pages */
        MDB_val k, v;
        while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
            size_t n;
            memcpy(&n, v.mv_data, sizeof n);
            spare += n;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    *used_out = (pages > spare ? pages - spare : 0) * stat.ms_psize;
    return SV_OK;
}

/* --- reading --------------------------------------------------------------------------------------- */

/* A walk in key order over several short transactions. */
typedef struct walk {
    svi_index *x;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int64_t began_us;
    unsigned since;
    char reached[SVI_LMDB_KEY]; /* of a cut: the key that was looked at last */
    size_t reached_n;
} walk;

static int64_t now_us(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx);
}

static int walk_begin(walk *w, svi_index *x)
{
    *w = (walk){.x = x, .began_us = now_us()};
    int rc = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &w->txn);
    if (rc != 0) return rc;
    rc = mdb_cursor_open(w->txn, x->rows, &w->cursor);
    if (rc != 0) mdb_txn_abort(w->txn);
    return rc;
}

static void walk_end(walk *w)
{
    mdb_cursor_close(w->cursor);
    mdb_txn_abort(w->txn);
}

/* To the first key that is not below `key`. */
static int walk_seek(walk *w, const unsigned char *key, size_t n)
{
    w->key = val(key, n);
    return mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_SET_RANGE);
}

/* Ends the transaction and goes on in a new one at the same key, or the next if that is gone. Pointers into the old one
 * are invalid after. */
static int walk_renew(walk *w, bool *moved_out)
{
    unsigned char key[SVI_LMDB_KEY];
    const size_t n = w->key.mv_size;
    memcpy(key, w->key.mv_data, n);
    mdb_txn_reset(w->txn);
    int rc = mdb_txn_renew(w->txn);
    if (rc == 0) rc = mdb_cursor_renew(w->txn, w->cursor);
    if (rc == 0) rc = walk_seek(w, key, n);
    w->began_us = now_us();
    *moved_out = rc == 0 && (w->key.mv_size != n || memcmp(w->key.mv_data, key, n) != 0);
    return rc;
}

/* Renews a transaction that has become too old. Leaves the walk at the same key or behind it. */
static int walk_breathe(walk *w, bool *moved_out)
{
    *moved_out = false;
    if (++w->since < CLOCK_EVERY && w->x->config.txn_us > 0) return 0;
    w->since = 0;
    return now_us() - w->began_us < w->x->config.txn_us ? 0 : walk_renew(w, moved_out);
}

static int walk_next(walk *w)
{
    bool moved;
    const int rc = walk_breathe(w, &moved);
    if (rc != 0 || moved) return rc;
    return mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
}

/* Room for one more result in the job's arena. */
static svi_row_change *result(svi_job *job, size_t *cap)
{
    if (job->row_count == *cap) {
        const size_t more = *cap ? *cap * 2 : 8;
        svi_row_change *rows = svi_arena_get(job->arena, more * sizeof *rows);
        if (*cap) memcpy(rows, job->rows, *cap * sizeof *rows);
        job->rows = rows;
        *cap = more;
    }
    return &job->rows[job->row_count++];
}

static int scan(svi_index *x, svi_job *job)
{
    walk w;
    svi_lkey prefix;
    size_t cap = 0;
    svi_lkey_owner(&prefix, x->config.hash, job->key.map, job->key.owner);
    int rc = walk_begin(&w, x);
    if (rc != 0) return rc;
    rc = walk_seek(&w, prefix.bytes, prefix.n);
    for (; rc == 0 && has_prefix(w.key, &prefix); rc = walk_next(&w)) {
        svi_lrow row;
        if (!svi_lrow_read(str(w.key), str(w.value), &row)) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (prefix.owner_hashed && !sv_str_eq(row.owner, job->key.owner)) continue;
        *result(job, &cap) = (svi_row_change){.key = {.map = job->key.map,
                                                      .owner = job->key.owner,
                                                      .key = svi_arena_str(job->arena, row.key)},
                                              .value = svi_arena_str(job->arena, row.value)};
    }
    walk_end(&w);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int get(svi_index *x, svi_job *job)
{
    walk w;
    svi_lkey k;
    svi_lrow row;
    size_t cap = 0;
    svi_lkey_row(&k, x->config.hash, &job->key);
    int rc = walk_begin(&w, x);
    if (rc != 0) return rc;
    rc = row_find(w.cursor, &k, &job->key, &row);
    if (rc == 0)
        *result(job, &cap) =
            (svi_row_change){.key = job->key, .value = svi_arena_str(job->arena, row.value)};
    walk_end(&w);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* --- owners ---------------------------------------------------------------------------------------- */

/* Names collected for a list; sorted and cut to one more than asked for. */
typedef struct names {
    svi_acct *acct;
    sv_str *name;
    size_t count, cap;
} names;

static void names_add(names *n, svi_arena *arena, sv_str name)
{
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 16;
        n->name = svi_realloc(n->acct, n->name, n->cap * sizeof *n->name);
    }
    n->name[n->count++] = svi_arena_str(arena, name);
}

static bool of_map(MDB_val key, uint32_t map, int tag)
{
    const unsigned char *p = key.mv_data;
    return key.mv_size > 5 && p[4] == tag &&
           ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) == map;
}

/* Written-out owners: from one to the next by seeking behind its last row. */
static int owners_text(walk *w, svi_job *job, names *n)
{
    svi_lkey at;
    const uint32_t map = job->key.map;
    if (job->key.owner.p) {
        svi_lkey_after_owner(&at, map, job->key.owner);
    } else {
        svi_lkey_after_owner(&at, map, SV_STR_NONE);
        at.n = 5; /* before the empty name */
    }
    int rc = walk_seek(w, at.bytes, at.n);
    while (rc == 0 && of_map(w->key, map, 1) && n->count <= job->max) {
        svi_lrow row;
        char name[SVI_LMDB_KEY];
        if (!svi_lrow_read(str(w->key), str(w->value), &row)) return MDB_CORRUPTED;
        const sv_str owner = {name, svi_lkey_unescape(row.owner, name)};
        if (!job->key.owner.p || svi_str_cmp(owner, job->key.owner) > 0)
            names_add(n, job->arena, owner);
        bool moved;
        rc = walk_breathe(w, &moved);
        svi_lkey_after_owner(&at, map, owner);
        if (rc == 0) rc = walk_seek(w, at.bytes, at.n);
    }
    return rc;
}

/* Hashed owners lie in order of their hashes: all of them are looked at. They are rare. */
static int owners_hashed(walk *w, const svi_job *job, names *n)
{
    svi_lkey at;
    svi_lkey_hashed_owners(&at, job->key.map);
    int rc = walk_seek(w, at.bytes, at.n);
    for (; rc == 0 && of_map(w->key, job->key.map, 2); rc = walk_next(w)) {
        svi_lrow row;
        if (!svi_lrow_read(str(w->key), str(w->value), &row)) return MDB_CORRUPTED;
        if (job->key.owner.p && svi_str_cmp(row.owner, job->key.owner) <= 0) continue;
        if (n->count > 0 && sv_str_eq(n->name[n->count - 1], row.owner)) continue;
        names_add(n, job->arena, row.owner);
    }
    return rc;
}

static int name_cmp(const void *a, const void *b)
{
    return svi_str_cmp(*(const sv_str *)a, *(const sv_str *)b);
}

static void names_out(const names *n, svi_job *job)
{
    size_t cap = 0;
    job->more = false;
    for (size_t i = 0; i < n->count; i++) {
        if (i > 0 && sv_str_eq(n->name[i - 1], n->name[i])) continue;
        if (job->row_count == job->max) {
            job->more = true;
            return;
        }
        result(job, &cap)->key = (svi_row_key){.map = job->key.map, .owner = n->name[i]};
    }
}

/* --- what a fold begins with ----------------------------------------------------------------------- */

static sv_status base(svi_job *job, const svi_row_key *key, sv_str *value_out)
{
    walk *w = job->base_ctx;
    svi_lkey k;
    svi_lrow row;
    svi_lkey_row(&k, w->x->config.hash, key);
    const int rc = row_find(w->cursor, &k, key, &row);
    *value_out = rc == 0 ? row.value : SV_STR_NONE;
    return rc == 0 || rc == MDB_NOTFOUND ? SV_OK : mdb_err(&job->err, rc, "read for a fold");
}

/* One transaction, however long it takes: nobody writes meanwhile, since that is this thread's. */
sv_status svi_index_prepare(svi_index *x, svi_job *job)
{
    walk w;
    const int rc = walk_begin(&w, x);
    if (rc != 0) return mdb_err(&job->err, rc, "begin of a fold");
    job->base = base;
    job->base_ctx = &w;
    const sv_status st = job->prepare(job);
    walk_end(&w);
    return st;
}

static int owners(svi_index *x, svi_job *job)
{
    walk w;
    names n = {.acct = x->config.acct};
    int rc = walk_begin(&w, x);
    if (rc != 0) return rc;
    rc = owners_text(&w, job, &n);
    if (rc == 0 || rc == MDB_NOTFOUND) rc = owners_hashed(&w, job, &n);
    walk_end(&w);
    if (n.count > 1) qsort(n.name, n.count, sizeof *n.name, name_cmp);
    names_out(&n, job);
    svi_free(n.name);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* --- a range --------------------------------------------------------------------------------------- */

static bool has_map(MDB_val key, const unsigned char map[4])
{
    return key.mv_size >= 4 && memcmp(key.mv_data, map, 4) == 0;
}

/* The bytes that rows of one hash share: all but the probe. Between them a range may not stop: a fold that closes a gap
 * moves the last one of them to where the range has been. */
typedef struct group {
    unsigned char bytes[SVI_LMDB_KEY];
    size_t n; /* 0: nothing is hashed */
} group;

static bool in_group(const group *g, MDB_val key)
{
    return g->n > 0 && key.mv_size == g->n + 1 && memcmp(key.mv_data, g->bytes, g->n) == 0;
}

static void group_set(group *g, MDB_val key, bool is_hashed)
{
    g->n = is_hashed ? key.mv_size - 1 : 0;
    if (g->n > 0) memcpy(g->bytes, key.mv_data, g->n);
}

static int range_row(const walk *w, svi_job *job, size_t *cap, group *g)
{
    svi_lrow row;
    if (!svi_lrow_read(str(w->key), str(w->value), &row)) return MDB_CORRUPTED;
    sv_str owner;
    if (row.owner_hashed) {
        owner = svi_arena_str(job->arena, row.owner);
    } else {
        char *to = svi_arena_get(job->arena, row.owner.n + 1);
        owner = (sv_str){to, svi_lkey_unescape(row.owner, to)};
    }
    *result(job, cap) = (svi_row_change){.key = {.map = job->key.map,
                                                 .owner = owner,
                                                 .key = svi_arena_str(job->arena, row.key)},
                                         .value = svi_arena_str(job->arena, row.value)};
    group_set(g, w->key, row.owner_hashed || row.key_hashed);
    return 0;
}

static bool is_old(const walk *w, size_t rows)
{
    const int64_t limit_us = w->x->config.txn_us;
    if (limit_us <= 0) return true;
    return rows % CLOCK_EVERY == 0 && now_us() - w->began_us >= limit_us;
}

static int range_rows(walk *w, svi_job *job, const unsigned char map[4])
{
    size_t cap = 0, bytes = 0;
    group g = {.n = 0};
    int rc = job->from.n > 0 ? walk_seek(w, (const unsigned char *)job->from.p, job->from.n)
                             : walk_seek(w, map, 4);
    while (rc == 0 && has_map(w->key, map)) {
        const bool is_full = bytes >= job->max_bytes || is_old(w, job->row_count);
        if (job->row_count > 0 && is_full && !in_group(&g, w->key)) {
            job->from = svi_arena_str(job->arena, str(w->key));
            job->more = true;
            return 0;
        }
        rc = range_row(w, job, &cap, &g);
        bytes += w->key.mv_size + w->value.mv_size;
        if (rc == 0) rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
    }
    return rc;
}

static int range(svi_index *x, svi_job *job)
{
    walk w;
    unsigned char map[4];
    for (int i = 0; i < 4; i++) map[i] = (unsigned char)(job->key.map >> (24 - 8 * i) & 0xff);
    job->more = false;
    int rc = walk_begin(&w, x);
    if (rc != 0) return rc;
    rc = range_rows(&w, job, map);
    walk_end(&w);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* --- a cut ----------------------------------------------------------------------------------------- */

/* Rows of keys that are written out lie in order of those. Where that is not so (a key is hashed, or two owners have one
 * hash) all rows of the owner are read and sorted. */
enum { CUT_UNSORTED = 1 };

static bool has_text_key(const walk *w, const svi_lkey *prefix)
{
    return has_prefix(w->key, prefix) && w->key.mv_size > prefix->owner_n &&
           ((const unsigned char *)w->key.mv_data)[prefix->owner_n] == 1;
}

static int has_hashed_keys(walk *w, const svi_lkey *prefix, bool *yes_out)
{
    svi_lkey at = *prefix;
    svi_lkey_hashed_keys(&at);
    const int rc = walk_seek(w, at.bytes, at.n);
    *yes_out = rc == 0 && has_prefix(w->key, prefix);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The row that the walk stands at. */
static int cut_row(const walk *w, const svi_lkey *prefix, const svi_job *job, svi_lrow *row)
{
    if (!svi_lrow_read(str(w->key), str(w->value), row)) return MDB_CORRUPTED;
    if (!prefix->owner_hashed) return 0;
    const unsigned char *end = (const unsigned char *)w->key.mv_data + w->key.mv_size;
    return end[-1] == 0 && sv_str_eq(row->owner, job->key.owner) ? 0 : CUT_UNSORTED;
}

static int cut_step(walk *w, bool is_backward)
{
    return mdb_cursor_get(w->cursor, &w->key, &w->value, is_backward ? MDB_PREV : MDB_NEXT);
}

/* To the first row of the cut, if there is one. */
static int cut_seek(walk *w, const svi_lkey *prefix, const svi_job *job)
{
    const svi_cut_job *c = job->cut;
    svi_lkey at = *prefix;
    svi_lrow row;
    if (c->from.p)
        svi_lkey_text(&at, c->from);
    else if (c->is_backward)
        svi_lkey_hashed_keys(&at);
    int rc = walk_seek(w, at.bytes, at.n);
    if (rc == MDB_NOTFOUND && c->is_backward)
        rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_LAST);
    else if (rc == 0 && c->is_backward && !has_text_key(w, prefix))
        rc = cut_step(w, true);
    while (rc == 0 && c->from.p && has_text_key(w, prefix)) { /* a few at most */
        rc = cut_row(w, prefix, job, &row);
        if (rc != 0) return rc;
        const int order = svi_str_cmp(row.key, c->from);
        if (order == 0 ? c->takes_from : c->is_backward ? order < 0 : order > 0) break;
        rc = cut_step(w, c->is_backward);
    }
    return rc;
}

static int cut_rows(walk *w, const svi_lkey *prefix, svi_job *job)
{
    svi_cut_job *c = job->cut;
    size_t cap = 0, bytes = 0;
    int rc = cut_seek(w, prefix, job);
    for (; rc == 0 && has_text_key(w, prefix); rc = cut_step(w, c->is_backward)) {
        svi_lrow row;
        rc = cut_row(w, prefix, job, &row);
        if (rc != 0) return rc;
        if (c->looked > 0 && (svi_cut_is_full(job, bytes) || is_old(w, c->looked))) {
            job->more = true;
            return 0;
        }
        memcpy(w->reached, row.key.p, row.key.n);
        w->reached_n = row.key.n;
        if (!svi_cut_takes(job, row.key, row.value)) continue;
        *result(job, &cap) = (svi_row_change){.key = {.map = job->key.map,
                                                      .owner = job->key.owner,
                                                      .key = svi_arena_str(job->arena, row.key)},
                                              .value = svi_arena_str(job->arena, row.value)};
        bytes += row.value.n;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int cut(svi_index *x, svi_job *job)
{
    walk w;
    svi_lkey prefix;
    bool is_unsorted;
    svi_lkey_owner(&prefix, x->config.hash, job->key.map, job->key.owner);
    job->more = false;
    int rc = walk_begin(&w, x);
    if (rc != 0) return rc;
    rc = has_hashed_keys(&w, &prefix, &is_unsorted);
    if (rc == 0 && is_unsorted) rc = CUT_UNSORTED;
    if (rc == 0) rc = cut_rows(&w, &prefix, job);
    walk_end(&w);
    if (rc == CUT_UNSORTED) {
        job->row_count = job->cut->looked = job->cut->counted = 0;
        rc = scan(x, job);
        if (rc == 0) svi_cut_sort(job);
    } else if (rc == 0 && job->more) {
        job->cut->reached = svi_arena_str(job->arena, (sv_str){w.reached, w.reached_n});
    }
    return rc;
}

void svi_index_read(svi_index *x, svi_job *job)
{
    int rc;
    job->row_count = 0;
    if (job->kind == SVI_JOB_GET)
        rc = get(x, job);
    else if (job->kind == SVI_JOB_SCAN)
        rc = scan(x, job);
    else if (job->kind == SVI_JOB_RANGE)
        rc = range(x, job);
    else if (job->kind == SVI_JOB_CUT)
        rc = cut(x, job);
    else
        rc = owners(x, job);
    job->status = rc == 0 ? SV_OK : mdb_err(&job->err, rc, "read");
}
