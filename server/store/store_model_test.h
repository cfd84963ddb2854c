/* A plain model of the store and a random driver that holds a store against it; used by the tests
 * of both engines.
 *
 * The model is a table of values by map, owner and key. Each answer of the store must equal the
 * model at the moment of the answer. The operations of each unit are logged by number, so that
 * after a kill the model can be put back to the number at which the store came up. */
#ifndef SVI_STORE_MODEL_TEST_H
#define SVI_STORE_MODEL_TEST_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

#include "base/base_str.h"
#include "store/store_impl.h"

enum { MAPS = 2, OWNERS = 10, KEYS = 9, UNIT_OPS = 6, HELD = 12, LOG_MAX = 40000 };

typedef struct model_op {
    svi_op_kind kind;
    int map, owner, key;
    uint32_t version;
} model_op;

typedef struct model_unit {
    model_op op[UNIT_OPS];
    int count;
} model_unit;

typedef struct model {
    uint64_t rng;
    uint32_t next_version;
    sv_str value[MAPS][OWNERS][KEYS]; /* .p NULL: no row */
    char *owner[OWNERS], *key[KEYS];      /* names; some at the limits of length */
    size_t owner_n[OWNERS], key_n[KEYS];
    model_unit *log;        /* by unit number; shared with child processes, as is: */
    _Atomic uint64_t *told; /* newest number that `committed` reported */

    svi_acct acct;
    svi_plat_virtual clock;
    svi_durability durability;
    svi_store *store;
    svi_map *map[MAPS];
    uint64_t seen_committed;
    int failures;
    int open_reads;
    long answers, owner_lists, cuts, counts;
    struct {
        svi_rows *rows;
        int map, owner;
    } held[HELD];

    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
} model;

static inline uint64_t rnd(model *m, uint64_t below)
{
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 7;
    m->rng ^= m->rng << 17;
    return (m->rng >> 11) % below;
}

static inline void name_make(char **out, size_t *n_out, size_t n, char fill, int number)
{
    char *name = malloc(n + 1);
    memset(name, fill, n);
    name[n] = 0;
    const int head = snprintf(name, n + 1, "%c%d", fill, number);
    if ((size_t)head < n) name[head] = fill;
    *out = name;
    *n_out = n;
}

static inline void model_init(model *m, uint64_t seed)
{
    /* lengths around the limits of owners, keys and of what an LMDB key holds; the last ones with
     * NUL bytes */
    static const size_t owner_len[OWNERS] = {2, 5, 1023, 239, 240, 241, 300, 1022, 6, 7};
    static const size_t key_len[KEYS] = {2, 30, 3071, 261, 262, 263, 500, 8, 9};
    *m = (model){.rng = seed * 2654435761u + 88172645463325252u, .acct = {.name = "test"}};
    for (int i = 0; i < OWNERS; i++) name_make(&m->owner[i], &m->owner_n[i], owner_len[i], 'o', i);
    for (int i = 0; i < KEYS; i++) name_make(&m->key[i], &m->key_n[i], key_len[i], 'k', i);
    m->owner[8][3] = 0;
    memcpy(m->owner[9], "o8o\0\1oo", 7);
    m->key[7][4] = 0;
    const size_t shared = LOG_MAX * sizeof *m->log + sizeof *m->told;
    m->log = mmap(NULL, shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(m->log != MAP_FAILED);
    m->told = (void *)(m->log + LOG_MAX);
    svi_plat_virtual_init(&m->clock, seed);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->cond, NULL);
}

static inline sv_str model_owner(const model *m, int o)
{
    return (sv_str){m->owner[o], m->owner_n[o]};
}

static inline sv_str model_key(const model *m, int k)
{
    return (sv_str){m->key[k], m->key_n[k]};
}

/* What an operation puts or appends: its version, then padding whose length the version tells. */
static inline sv_str model_value(int map, int o, int k, uint32_t version, char to[2048])
{
    memset(to, 'v', 2048);
    const int n = snprintf(to, 64, "%d/%d/%d/%u:", map, o, k, version);
    to[n] = 'v';
    return (sv_str){to, version % 7 == 0 ? 0 : (size_t)n + version * 7919 % 900};
}

static inline void model_clear(model *m, int map, int o)
{
    for (int k = 0; k < KEYS; k++) {
        free((void *)(uintptr_t)m->value[map][o][k].p);
        m->value[map][o][k] = SV_STR_NONE;
    }
}

static inline void model_apply(model *m, const model_op *op)
{
    if (op->kind == SVI_OP_DEL_OWNER) {
        model_clear(m, op->map, op->owner);
        return;
    }
    sv_str *value = &m->value[op->map][op->owner][op->key];
    char text[2048], *now = (char *)(uintptr_t)value->p;
    const sv_str more = model_value(op->map, op->owner, op->key, op->version, text);
    if (op->kind != SVI_OP_APPEND) {
        free(now);
        now = NULL;
        *value = SV_STR_NONE;
    }
    if (op->kind == SVI_OP_DEL) return;
    now = realloc(now, value->n + more.n + 1);
    memcpy(now + value->n, more.p, more.n);
    *value = (sv_str){now, value->n + more.n};
}

/* After the struct was copied: the values are the first one's. */
static inline void model_copied(model *m)
{
    memset(m->value, 0, sizeof m->value);
}

static inline void model_forget(model *m)
{
    for (int map = 0; map < MAPS; map++)
        for (int o = 0; o < OWNERS; o++) model_clear(m, map, o);
}

static inline void model_free(model *m)
{
    model_forget(m);
    for (int i = 0; i < OWNERS; i++) free(m->owner[i]);
    for (int i = 0; i < KEYS; i++) free(m->key[i]);
    munmap(m->log, LOG_MAX * sizeof *m->log + sizeof *m->told);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->cond);
    assert_int_equal(m->acct.live_count, 0);
}

static inline void model_rewind(model *m, uint64_t number)
{
    model_forget(m);
    for (uint64_t u = 1; u <= number; u++)
        for (int i = 0; i < m->log[u].count; i++) model_apply(m, &m->log[u].op[i]);
    for (uint64_t u = number + 1; u < LOG_MAX && m->log[u].count > 0; u++) m->log[u].count = 0;
}

/* --- callbacks --------------------------------------------------------------------- */

static inline void model_wake(void *ctx)
{
    model *m = ctx;
    pthread_mutex_lock(&m->lock);
    m->woken = true;
    pthread_cond_signal(&m->cond);
    pthread_mutex_unlock(&m->lock);
}

static inline void model_wait(model *m)
{
    pthread_mutex_lock(&m->lock);
    while (!m->woken) pthread_cond_wait(&m->cond, &m->lock);
    m->woken = false;
    pthread_mutex_unlock(&m->lock);
}

static inline void model_committed(void *ctx, uint64_t commit)
{
    model *m = ctx;
    assert_true(commit > m->seen_committed);
    assert_true(commit <= svi_store_submitted(m->store));
    m->seen_committed = commit;
    *m->told = commit;
}

static inline void model_failed(void *ctx, const sv_err *err)
{
    model *m = ctx;
    assert_true(err->code == SV_EIO || err->code == SV_ECANCELED); /* canceled: by a plan */
    m->failures++;
}

static inline void check_rows(const model *m, const svi_rows *rows, int map, int o)
{
    size_t want = 0, want_bytes = 0;
    for (int k = 0; k < KEYS; k++) {
        sv_str value;
        const sv_str v = m->value[map][o][k];
        const bool found = svi_rows_find(rows, model_key(m, k), &value);
        assert_int_equal(found, v.p != NULL);
        if (v.p) assert_true(sv_str_eq(value, v));
        want += v.p != NULL;
        want_bytes += v.n;
    }
    assert_int_equal(svi_rows_count(rows), want);
    assert_int_equal(svi_rows_value_bytes(rows), want_bytes);
    sv_str key = SV_STR_NONE, value, last = SV_STR_NONE;
    size_t walked = 0;
    for (; svi_rows_next(rows, &key, &value); walked++) {
        if (walked > 0) assert_true(svi_str_cmp(last, key) < 0);
        last = key;
    }
    assert_int_equal(walked, want);
}

typedef struct question {
    model *m;
    int map, owner, key;
    bool keep, may_fail;
} question;

static inline void got_rows(void *ctx, sv_status status, svi_rows *rows)
{
    question q = *(question *)ctx;
    free(ctx);
    q.m->open_reads--;
    if (status != SV_OK) {
        assert_true(status == SV_ECANCELED || q.may_fail);
        assert_null(rows);
        return;
    }
    q.m->answers++;
    check_rows(q.m, rows, q.map, q.owner);
    const size_t slot = rnd(q.m, HELD);
    if (q.keep && !q.m->held[slot].rows) {
        q.m->held[slot].rows = rows;
        q.m->held[slot].map = q.map;
        q.m->held[slot].owner = q.owner;
        return;
    }
    svi_rows_unref(&rows);
    assert_null(rows);
}

static inline void got_value(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    (void)schema;
    question q = *(question *)ctx;
    free(ctx);
    q.m->open_reads--;
    if (status == SV_ECANCELED || (status == SV_EIO && q.may_fail)) return;
    q.m->answers++;
    const sv_str v = q.m->value[q.map][q.owner][q.key];
    assert_int_equal(status, v.p ? SV_OK : SV_ENOTFOUND);
    if (v.p) assert_true(sv_str_eq(value, v));
}

/* The first page of owners: all that have rows now, in order, `key` at most. Counting rows of
 * uncertain owners takes several turns, so only lists during which nothing was handed in are
 * compared. */
typedef struct owners_question {
    model *m;
    int map, max;
    uint64_t at;
} owners_question;

static inline void got_owners(void *ctx, sv_status status, const sv_str *owners, size_t count,
                              bool more)
{
    owners_question q = *(owners_question *)ctx;
    free(ctx);
    q.m->open_reads--;
    if (status != SV_OK) return;
    if (svi_store_submitted(q.m->store) != q.at) return;
    q.m->owner_lists++;
    size_t present = 0;
    for (int o = 0; o < OWNERS; o++) {
        bool has = false, listed = false;
        for (int k = 0; k < KEYS; k++) has |= q.m->value[q.map][o][k].p != NULL;
        for (size_t i = 0; i < count; i++) listed |= sv_str_eq(owners[i], model_owner(q.m, o));
        present += has;
        if (listed) assert_true(has);
        if (!more) assert_int_equal(has, listed);
    }
    for (size_t i = 1; i < count; i++) assert_true(svi_str_cmp(owners[i - 1], owners[i]) < 0);
    assert_int_equal(count, present < (size_t)q.max ? present : (size_t)q.max);
    assert_true(more || count == present);
}

/* A cut: exactly the model's rows as far as it reaches. */
typedef struct cut_question {
    model *m;
    int map, owner;
    svi_cut_config config;
    char from[SVI_KEY_MAX];
    bool may_fail;
    uint64_t at;
} cut_question;

static inline bool cut_filter(void *ctx, sv_str key, sv_str value)
{
    (void)ctx;
    return (key.n + value.n) % 3 != 0;
}

static inline int key_order(const void *a, const void *b)
{
    return svi_str_cmp(*(const sv_str *)a, *(const sv_str *)b);
}

/* The keys of the model's rows that a cut has up to `reached` (.p NULL: all), in its order. */
static inline size_t cut_wanted(const cut_question *q, bool more, sv_str reached, sv_str out[KEYS], int number[KEYS])
{
    const model *m = q->m;
    const svi_cut_config *c = &q->config;
    sv_str all[KEYS];
    size_t n = 0;
    for (int k = 0; k < KEYS; k++) all[k] = model_key(m, k);
    qsort(all, KEYS, sizeof all[0], key_order);
    for (int i = 0; i < KEYS; i++) {
        const sv_str key = all[c->is_backward ? KEYS - 1 - i : i];
        int k = 0;
        while (!sv_str_eq(model_key(m, k), key)) k++;
        const sv_str value = m->value[q->map][q->owner][k];
        const int from = c->from.n > 0 ? svi_str_cmp(key, c->from) : 0, at = svi_str_cmp(key, reached);
        const bool is_before = c->is_backward ? from > 0 : from < 0;
        if (!value.p || is_before || (c->from.n > 0 && from == 0 && !c->takes_from)) continue;
        if (more && (c->is_backward ? at < 0 : at > 0)) continue;
        if (c->filter && !cut_filter(NULL, key, value)) continue;
        number[n] = k;
        out[n++] = key;
    }
    return n;
}

static inline void got_cut(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    cut_question *q = ctx;
    model *m = q->m;
    const svi_cut_config *c = &q->config;
    sv_str keys[KEYS];
    int number[KEYS];
    size_t bytes = 0;
    m->open_reads--;
    if (status != SV_OK) {
        assert_true(status == SV_ECANCELED || (q->may_fail && status == SV_EIO));
        free(q);
        return;
    }
    const size_t want = cut_wanted(q, more, reached, keys, number);
    if (c->counts) {
        assert_null(rows);
        if (svi_store_submitted(m->store) == q->at) assert_int_equal(count, want);
        m->counts += svi_store_submitted(m->store) == q->at && want > 1;
        free(q);
        return;
    }
    assert_int_equal(count, want);
    assert_true(count <= c->max);
    assert_int_equal(more, reached.p != NULL);
    for (size_t i = 0; i < count; i++) {
        assert_true(c->max_bytes == 0 || bytes < c->max_bytes);
        assert_true(sv_str_eq(rows[i].key, keys[i]));
        assert_true(sv_str_eq(rows[i].value, m->value[q->map][q->owner][number[i]]));
        assert_int_equal(rows[i].schema, q->map == 0 ? 1 : 3);
        bytes += rows[i].value.n;
    }
    m->cuts += count > 1;
    free(q);
}

/* --- actions ----------------------------------------------------------------------- */

static inline void do_unit(model *m)
{
    svi_unit *unit = svi_unit_new(m->store);
    model_unit done = {.count = 1 + (int)rnd(m, UNIT_OPS)};
    char text[2048];
    for (int i = 0; i < done.count; i++) {
        model_op op = {.map = (int)rnd(m, MAPS),
                       .owner = (int)rnd(m, OWNERS),
                       .key = (int)rnd(m, KEYS),
                       .version = ++m->next_version};
        const uint64_t dice = rnd(m, 20);
        op.kind = dice < 8    ? SVI_OP_PUT
                  : dice < 13 ? SVI_OP_APPEND
                  : dice < 18 ? SVI_OP_DEL
                              : SVI_OP_DEL_OWNER;
        svi_map *map = m->map[op.map];
        const sv_str owner = model_owner(m, op.owner), key = model_key(m, op.key);
        const sv_str value = model_value(op.map, op.owner, op.key, op.version, text);
        sv_status st;
        if (op.kind == SVI_OP_PUT)
            st = svi_unit_put(unit, map, owner, key, value);
        else if (op.kind == SVI_OP_APPEND)
            st = svi_unit_append(unit, map, owner, key, value);
        else if (op.kind == SVI_OP_DEL)
            st = svi_unit_del(unit, map, owner, key);
        else
            st = svi_unit_del_owner(unit, map, owner);
        assert_int_equal(st, SV_OK);
        done.op[i] = op;
    }
    const uint64_t before = svi_store_submitted(m->store);
    assert_true(before + 1 < LOG_MAX);
    for (int i = 0; i < done.count; i++) model_apply(m, &done.op[i]);
    m->log[before + 1] = done;
    assert_int_equal(svi_unit_submit(&unit), before + 1);
    assert_null(unit);
}

static inline void do_read(model *m, bool may_fail)
{
    question *q = malloc(sizeof *q);
    *q = (question){.m = m,
                    .map = (int)rnd(m, MAPS),
                    .owner = (int)rnd(m, OWNERS),
                    .key = (int)rnd(m, KEYS),
                    .keep = rnd(m, 3) == 0,
                    .may_fail = may_fail};
    m->open_reads++;
    svi_map *map = m->map[q->map];
    if (rnd(m, 2) == 0)
        svi_rows_load(map, model_owner(m, q->owner), got_rows, q);
    else
        svi_store_get(map, model_owner(m, q->owner), model_key(m, q->key), got_value, q);
}

static inline void do_cut(model *m, bool may_fail)
{
    cut_question *q = calloc(1, sizeof *q);
    *q = (cut_question){.m = m,
                        .map = (int)rnd(m, MAPS),
                        .owner = (int)rnd(m, OWNERS),
                        .may_fail = may_fail,
                        .at = svi_store_submitted(m->store)};
    const sv_str key = model_key(m, (int)rnd(m, KEYS));
    const size_t n = rnd(m, 3) == 0 ? rnd(m, key.n) : key.n; /* one that is there, or none that is */
    memcpy(q->from, key.p, n);
    q->config = (svi_cut_config){.from = {q->from, rnd(m, 3) == 0 ? 0 : n},
                                 .is_backward = rnd(m, 2),
                                 .takes_from = rnd(m, 2),
                                 .max = 1 + rnd(m, KEYS + 1),
                                 .max_bytes = rnd(m, 2) ? 1 + rnd(m, 2000) : 0,
                                 .max_looked = rnd(m, 3) == 0 ? 1 + rnd(m, KEYS) : 0,
                                 .filter = rnd(m, 2) ? cut_filter : NULL,
                                 .counts = rnd(m, 4) == 0};
    m->open_reads++;
    svi_rows_cut(m->map[q->map], model_owner(m, q->owner), &q->config, got_cut, q);
}

static inline void do_owners(model *m)
{
    owners_question *q = malloc(sizeof *q);
    *q = (owners_question){.m = m,
                           .map = (int)rnd(m, MAPS),
                           .max = 1 + (int)rnd(m, OWNERS + 2),
                           .at = svi_store_submitted(m->store)};
    m->open_reads++;
    svi_store_owners(m->map[q->map], SV_STR_NONE, (size_t)q->max, got_owners, q);
}

static inline void do_peek(model *m)
{
    const int map = (int)rnd(m, MAPS), o = (int)rnd(m, OWNERS);
    svi_rows *rows = svi_rows_get(m->map[map], model_owner(m, o));
    if (!rows) return;
    check_rows(m, rows, map, o);
    svi_rows_unref(&rows);
}

static inline void check_held(const model *m)
{
    for (int i = 0; i < HELD; i++)
        if (m->held[i].rows) check_rows(m, m->held[i].rows, m->held[i].map, m->held[i].owner);
}

static inline void drop_held(model *m, int slot)
{
    svi_rows_unref(&m->held[slot].rows);
}

static inline void drop_all_held(model *m)
{
    for (int i = 0; i < HELD; i++) drop_held(m, i);
}

/* Loads every owner of every map and compares; ends when all answers are there. */
static inline void check_all(model *m, void (*turn)(model *m))
{
    for (int map = 0; map < MAPS; map++) {
        for (int o = 0; o < OWNERS; o++) {
            question *q = malloc(sizeof *q);
            *q = (question){.m = m, .map = map, .owner = o};
            m->open_reads++;
            svi_rows_load(m->map[map], model_owner(m, o), got_rows, q);
        }
    }
    while (m->open_reads > 0) {
        turn(m);
        svi_store_poll(m->store);
    }
}

/* Opens a store on the engine; small limits, so that folds and evictions happen all the time. */
static inline void model_open(model *m, svi_engine *engine, int64_t gather_us)
{
    const svi_store_config config = {.engine = engine,
                                     .acct = &m->acct,
                                     .plat = &m->clock.plat,
                                     .durability = m->durability,
                                     .gather_us = gather_us,
                                     .fold_ops = 40,
                                     .fold_bytes = 64 << 10,
                                     .fold_age_us = 1000000,
                                     .cache_bytes = 8 << 10,
                                     .wake = model_wake,
                                     .committed = model_committed,
                                     .failed = model_failed,
                                     .ctx = m};
    sv_err err;
    const sv_status st = svi_store_open(&config, &m->store, &err);
    if (st != SV_OK) print_error("%s\n", err.text);
    assert_int_equal(st, SV_OK);
    const uint64_t number = svi_store_submitted(m->store);
    assert_true(number >= m->seen_committed && number >= *m->told);
    model_rewind(m, number);
    m->seen_committed = number;
    assert_int_equal(svi_store_map(m->store, SV_STR("h/one/a"), 1, &m->map[0], &err), SV_OK);
    assert_int_equal(svi_store_map(m->store, SV_STR("h/two/b"), 3, &m->map[1], &err), SV_OK);
}

#endif
