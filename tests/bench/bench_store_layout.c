/* Proves the store's layout: CPU per unit (router, writer, folder apart) by size of folds, two layouts of keys side by
 * side, latency of reads, and time to start.
 *
 * usage: bench_store_layout [--full] [--dir PATH] [--owners N]
 * Without --full: 100,000 owners, under a minute. With it also 1,000,000. Figures are CPU time of threads, so that
 * waiting for the disk does not count, except where it says "wall". */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_str.h"
#include "store/store_index.h"
#include "store/store_keys.h"

enum { CONTACTS = 4, OFFLINE_BYTES = 500, ROSTER_BYTES = 120, TURN = 64 };
enum { SESSION_BYTES = 400, NOTE_BYTES = 40, ENTRY_BYTES = 60, PAGE = 50 };

static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_store_layout: %s: %s\n", what, why);
    exit(1);
}

static void hold(const char *what, double value, const char *unit, double limit, bool at_least)
{
    const bool met = at_least ? value >= limit : value <= limit;
    printf("  %-50s %9.1f %-8s hold: %s %.0f  %s\n", what, value, unit,
           at_least ? "at least" : "under", limit, met ? "MET" : "MISSED");
}

/* --- names and values ------------------------------------------------------------------------------ */

static char filler[4096];

static sv_str owner_name(uint64_t number, char to[32])
{
    return (sv_str){to, (size_t)snprintf(to, 32, "user%07llu", (unsigned long long)number)};
}

static sv_str contact_name(uint64_t owner, uint64_t contact, char to[48])
{
    const uint64_t n = (owner * 31 + contact * 977) % 9999999;
    return (sv_str){to, (size_t)snprintf(to, 48, "user%07llu@example.org", (unsigned long long)n)};
}

static sv_str offline_key(uint64_t number, char to[32])
{
    return (sv_str){to, (size_t)snprintf(to, 32, "%016llx", (unsigned long long)number)};
}

/* --- CPU of threads by name ------------------------------------------------------------------------ */

static bool read_line(const char *tid, const char *file, char to[128])
{
    char path[600];
    if (snprintf(path, sizeof path, "/proc/self/task/%s/%s", tid, file) < 0) return false;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool ok = fgets(to, 128, f) != NULL;
    fclose(f);
    if (ok) to[strcspn(to, "\n")] = 0;
    return ok;
}

static double thread_cpu(const char *name)
{
    DIR *dir = opendir("/proc/self/task");
    double sum = 0;
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char line[128];
        if (!read_line(e->d_name, "comm", line) || strcmp(line, name) != 0) continue;
        if (read_line(e->d_name, "schedstat", line)) sum += strtod(line, NULL) / 1e9;
    }
    if (dir) closedir(dir);
    return sum;
}

/* --- the real store -------------------------------------------------------------------------------- */

typedef struct bench {
    svi_acct acct;
    const char *dir;
    uint64_t owners;
    svi_store *store;
    svi_map *roster, *offline, *sessions, *archive; /* made in this order: maps 1 and 2 */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
    double open_s;
    uint64_t next_message;
} bench;

static void on_wake(void *ctx)
{
    bench *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->woken = true;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

static void wait_poll(bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->woken) pthread_cond_wait(&b->cond, &b->lock);
    b->woken = false;
    pthread_mutex_unlock(&b->lock);
    svi_store_poll(b->store);
}

static void on_failed(void *ctx, const sv_err *err)
{
    (void)ctx;
    die("store failed", err->text);
}

static void store_open(bench *b, size_t fold_ops)
{
    sv_err err = {0};
    const svi_lmdb_config engine_config = {.path = sv_str_of(b->dir)};
    svi_store_config config = {.acct = &b->acct,
                               .fold_ops = fold_ops,
                               .fold_bytes = 1u << 30,
                               .tail_bytes = 1u << 30,
                               .fold_age_us = INT64_C(3600) * 1000000,
                               .wake = on_wake,
                               .failed = on_failed,
                               .ctx = b};
    const double began = seconds(CLOCK_MONOTONIC);
    if (svi_engine_lmdb(&b->acct, &engine_config, &config.engine, &err) != SV_OK ||
        svi_store_open(&config, &b->store, &err) != SV_OK ||
        svi_store_map(b->store, SV_STR("example.org/roster"), 1, &b->roster, &err) != SV_OK ||
        svi_store_map(b->store, SV_STR("example.org/offline"), 1, &b->offline, &err) != SV_OK ||
        svi_store_map(b->store, SV_STR("example.org/sessions"), 1, &b->sessions, &err) != SV_OK ||
        svi_store_map(b->store, SV_STR("example.org/archive"), 1, &b->archive, &err) != SV_OK)
        die("open", err.text);
    b->open_s = seconds(CLOCK_MONOTONIC) - began;
}

/* Half the units are an offline message for a random owner, half a change of a random roster row. */
static void submit_one(bench *b)
{
    char owner[32], key[48];
    const uint64_t o = rnd(b->owners);
    svi_unit *u = svi_unit_new(b->store);
    sv_status st;
    if (b->next_message % 2 == 0)
        st = svi_unit_put(u, b->offline, owner_name(o, owner), offline_key(b->next_message, key),
                          (sv_str){filler + rnd(1000), OFFLINE_BYTES});
    else
        st = svi_unit_put(u, b->roster, owner_name(o, owner), contact_name(o, rnd(CONTACTS), key),
                          (sv_str){filler + rnd(1000), ROSTER_BYTES});
    if (st != SV_OK) die("put", svi_status_name(st));
    b->next_message++;
    svi_unit_submit(&u);
}

enum { CHUNK = 20000 };
typedef struct chunk {
    svi_row_change change[CHUNK * CONTACTS];
    char owner[CHUNK][32], key[CHUNK * CONTACTS][48];
} chunk;

static size_t chunk_fill(chunk *c, uint32_t map, uint64_t from, uint64_t owners)
{
    size_t n = 0;
    for (uint64_t o = from; o < from + CHUNK && o < owners; o++) {
        const sv_str owner = owner_name(o, c->owner[o - from]);
        for (uint64_t k = 0; k < (map == 1 ? CONTACTS : 1); k++, n++) {
            const sv_str key = map == 1 ? contact_name(o, k, c->key[n]) : offline_key(k, c->key[n]);
            c->change[n] = (svi_row_change){
                .key = {.map = map, .owner = owner, .key = key},
                .value = {filler + rnd(1000), map == 1 ? ROSTER_BYTES : OFFLINE_BYTES}};
        }
    }
    return n;
}

/* Writes rows of all owners straight into the index, as folds in order of keys. */
static void populate(bench *b)
{
    store_open(b, 1);
    svi_store_close(&b->store);
    char path[512];
    snprintf(path, sizeof path, "%s/index", b->dir);
    const svi_index_config config = {.acct = &b->acct,
                                     .path = path,
                                     .map_bytes = UINT64_C(128) << 30,
                                     .readers = 1,
                                     .txn_us = 1};
    svi_index *index = NULL;
    uint64_t folded = 0;
    sv_err err = {0};
    if (svi_index_open(&config, &index, &folded, &err) != SV_OK) die("index", err.text);
    chunk *c = calloc(1, sizeof *c);
    for (uint32_t map = 1; map <= 2; map++) { /* roster, offline */
        for (uint64_t from = 0; from < b->owners; from += CHUNK) {
            const size_t n = chunk_fill(c, map, from, b->owners);
            if (svi_index_fold(index, c->change, n, folded, &err) != SV_OK)
                die("populate", err.text);
        }
    }
    svi_index_close(&index);
    free(c);
}

static void wait_folds(bench *b, uint64_t folds)
{
    svi_store_stats s;
    for (svi_store_stats_get(b->store, &s); s.folds < folds; svi_store_stats_get(b->store, &s))
        wait_poll(b);
}

typedef struct cpu {
    double router, writer, folder, wall;
} cpu;

static cpu cpu_now(void)
{
    return (cpu){.router = seconds(CLOCK_THREAD_CPUTIME_ID),
                 .writer = thread_cpu("store-write"),
                 .folder = thread_cpu("store-fold"),
                 .wall = seconds(CLOCK_MONOTONIC)};
}

static void measure_folds(bench *b, size_t fold_ops, size_t rounds)
{
    store_open(b, fold_ops);
    const size_t warm = 1 + rounds / 10;
    cpu from = {0};
    for (size_t round = 0; round < warm + rounds; round++) {
        if (round == warm) from = cpu_now();
        for (size_t i = 0; i < fold_ops; i++) {
            submit_one(b);
            if (i % TURN == TURN - 1) svi_store_poll(b->store);
        }
        svi_store_poll(b->store);
        wait_folds(b, round + 1);
    }
    const double per = 1e6 / (double)(rounds * fold_ops);
    const cpu to = cpu_now();
    const double router = (to.router - from.router) * per, writer = (to.writer - from.writer) * per,
                 folder = (to.folder - from.folder) * per;
    svi_store_stats s;
    svi_store_stats_get(b->store, &s);
    printf("  folds of %6zu: CPU us per unit: router %7.2f  writer %7.2f  folder %7.2f  sum %7.2f  "
           "(wall %.1f, units per sync %.1f)\n",
           fold_ops, router, writer, folder, router + writer + folder, (to.wall - from.wall) * per,
           (double)s.units / (double)(s.syncs ? s.syncs : 1));
    svi_store_close(&b->store);
}

/* Durable units per second with a window of unacknowledged ones, folds of 10,000 going on. */
static void measure_rate(bench *b, uint64_t units)
{
    store_open(b, 10000);
    const uint64_t end = svi_store_submitted(b->store) + units;
    const double began = seconds(CLOCK_MONOTONIC);
    while (svi_store_committed(b->store) < end) {
        while (svi_store_submitted(b->store) < end &&
               svi_store_submitted(b->store) - svi_store_committed(b->store) < 2000)
            submit_one(b);
        wait_poll(b);
    }
    const double rate = (double)units / (seconds(CLOCK_MONOTONIC) - began);
    svi_store_stats s;
    svi_store_stats_get(b->store, &s);
    hold("durable units, window of 2,000 (wall)", rate, "per s", 10000, true);
    printf("  longest sync %.1f ms, %.1f units per sync\n", (double)s.max_sync_us / 1e3,
           (double)s.units / (double)(s.syncs ? s.syncs : 1));
    svi_store_close(&b->store);
}

/* --- appended notes -------------------------------------------------------------------------------- */

static void each_session(bench *b, bool append, uint64_t o)
{
    char owner[32];
    svi_unit *u = svi_unit_new(b->store);
    const sv_str name = owner_name(o, owner);
    const sv_status st =
        append ? svi_unit_append(u, b->sessions, name, SV_STR("k0123456789"), (sv_str){filler + rnd(1000), NOTE_BYTES})
               : svi_unit_put(u, b->sessions, name, SV_STR("k0123456789"), (sv_str){filler + rnd(1000), SESSION_BYTES});
    if (st != SV_OK) die("note", svi_status_name(st));
    svi_unit_submit(&u);
}

/* Units of one note each to a random one of so many rows; `append`: a note is appended, else the row is put anew. */
static void measure_notes(bench *b, bool append, uint64_t busy)
{
    enum { FOLD = 10000, ROUNDS = 5 };
    store_open(b, FOLD);
    cpu from = {0};
    for (size_t round = 0; round < 1 + ROUNDS; round++) {
        if (round == 1) from = cpu_now();
        for (size_t i = 0; i < FOLD; i++) {
            each_session(b, append, rnd(busy));
            if (i % TURN == TURN - 1) svi_store_poll(b->store);
        }
        svi_store_poll(b->store);
        wait_folds(b, round + 1);
    }
    const double per = 1e6 / (ROUNDS * FOLD);
    const cpu to = cpu_now();
    const double router = (to.router - from.router) * per, writer = (to.writer - from.writer) * per,
                 folder = (to.folder - from.folder) * per;
    printf("  %-8s of %6llu busy sessions: CPU us per unit: router %5.2f  writer %5.2f  folder %5.2f  sum %5.2f\n",
           append ? "appended" : "put", (unsigned long long)busy, router, writer, folder, router + writer + folder);
    svi_store_close(&b->store);
}

static void measure_all_notes(bench *b)
{
    store_open(b, 10000);
    for (uint64_t o = 0; o < b->owners; o++) {
        each_session(b, false, o);
        if (o % TURN == 0) svi_store_poll(b->store);
    }
    svi_store_close(&b->store);
    printf(" notes of %d bytes at session rows of %d, folds of 10,000:\n", NOTE_BYTES, SESSION_BYTES);
    measure_notes(b, false, b->owners);
    measure_notes(b, true, b->owners);
    measure_notes(b, true, 1000);
}

/* --- pages ----------------------------------------------------------------------------------------- */

typedef struct page {
    bool done;
    size_t count;
} page;

static void on_page(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    (void)rows, (void)more, (void)reached;
    page *p = ctx;
    if (status != SV_OK) die("cut", svi_status_name(status));
    *p = (page){.done = true, .count = count};
}

static sv_str place(uint64_t number, char to[8])
{
    for (int i = 0; i < 8; i++) to[i] = (char)(number >> (56 - 8 * i));
    return (sv_str){to, 8};
}

static void fill_archive(bench *b, sv_str owner, uint64_t entries)
{
    char key[8];
    store_open(b, 100000);
    for (uint64_t i = 1; i <= entries;) {
        svi_unit *u = svi_unit_new(b->store);
        for (int k = 0; k < 100 && i <= entries; k++, i++)
            if (svi_unit_put(u, b->archive, owner, place(i, key), (sv_str){filler, ENTRY_BYTES}) != SV_OK)
                die("archive", "put");
        svi_unit_submit(&u);
        svi_store_poll(b->store);
    }
    svi_store_close(&b->store);
}

static size_t one_cut(bench *b, sv_str owner, const svi_cut_config *config)
{
    page p = {.done = false};
    svi_rows_cut(b->archive, owner, config, on_page, &p);
    while (!p.done) wait_poll(b);
    return p.count;
}

static void measure_pages(bench *b, const char *name, uint64_t entries)
{
    enum { PAGES = 2000 };
    const sv_str owner = sv_str_of(name);
    char key[8];
    fill_archive(b, owner, entries);
    store_open(b, 10000);
    double router = seconds(CLOCK_THREAD_CPUTIME_ID), reader = thread_cpu("store-read");
    for (int i = 0; i < PAGES; i++) {
        const svi_cut_config config = {
            .from = place(PAGE + 1 + rnd(entries - 2 * PAGE), key), .is_backward = i % 2, .max = PAGE};
        if (one_cut(b, owner, &config) != PAGE) die("cut", "rows are missing");
    }
    router = (seconds(CLOCK_THREAD_CPUTIME_ID) - router) * 1e6 / PAGES;
    reader = (thread_cpu("store-read") - reader) * 1e6 / PAGES;
    double counting = thread_cpu("store-read");
    const svi_cut_config count = {.counts = true, .max_looked = SIZE_MAX};
    if (one_cut(b, owner, &count) != entries) die("count", "rows are missing");
    counting = (thread_cpu("store-read") - counting) * 1e3;
    printf("  a page of %d among %7llu: CPU us: router %.1f, reader %.1f; to count all: %.1f ms of a reader\n", PAGE,
           (unsigned long long)entries, router, reader, counting);
    svi_store_close(&b->store);
}

/* --- reads ----------------------------------------------------------------------------------------- */

typedef struct read_one {
    bool done;
    size_t count;
} read_one;

static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    read_one *r = ctx;
    if (status != SV_OK) die("read", svi_status_name(status));
    r->done = true;
    r->count = svi_rows_count(rows);
    svi_rows_unref(&rows);
}

static int double_cmp(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure_reads(bench *b)
{
    enum { READS = 4000 };
    static double took[READS];
    store_open(b, 10000);
    const double router = seconds(CLOCK_THREAD_CPUTIME_ID), reader = thread_cpu("store-read");
    for (size_t i = 0; i < READS; i++) {
        char name[32];
        read_one r = {0};
        const double began = seconds(CLOCK_MONOTONIC);
        svi_rows_load(b->roster, owner_name(rnd(b->owners), name), on_rows, &r);
        while (!r.done) wait_poll(b);
        took[i] = (seconds(CLOCK_MONOTONIC) - began) * 1e6;
        if (r.count < CONTACTS) die("read", "rows are missing");
    }
    const double router_us = (seconds(CLOCK_THREAD_CPUTIME_ID) - router) * 1e6 / READS;
    const double reader_us = (thread_cpu("store-read") - reader) * 1e6 / READS;
    qsort(took, READS, sizeof *took, double_cmp);
    printf(
        "  a roster of %d rows, not cached: median %.0f us, 99 %% %.0f us (wall); CPU us: router "
        "%.1f, reader %.1f\n",
        CONTACTS, took[READS / 2], took[READS * 99 / 100], router_us, reader_us);
    svi_store_close(&b->store);
}

/* --- start ----------------------------------------------------------------------------------------- */

static void measure_starts(bench *b)
{
    char what[80];
    store_open(b, 10000);
    snprintf(what, sizeof what, "start with %llu accounts (wall)", (unsigned long long)b->owners);
    hold(what, b->open_s * 1e3, "ms", 200, false);
    svi_store_close(&b->store);
    store_open(b, SIZE_MAX);
    svi_store_stats s;
    do {
        for (int i = 0; i < 500; i++) submit_one(b);
        while (svi_store_committed(b->store) < svi_store_submitted(b->store)) wait_poll(b);
        svi_store_stats_get(b->store, &s);
    } while (s.tail_bytes < (64u << 20));
    svi_store_drop(&b->store);
    store_open(b, SIZE_MAX);
    svi_store_stats_get(b->store, &s);
    snprintf(what, sizeof what, "start with %.0f MiB of tail, %llu operations (wall)",
             (double)s.tail_bytes / (1 << 20), (unsigned long long)s.tail_ops);
    hold(what, b->open_s * 1e3, "ms", 500, false);
    svi_store_drop(&b->store);
}

/* --- two layouts of keys --------------------------------------------------------------------------- */

/* Straight on LMDB: what an owner number in place of the owner's name would save or cost in a fold. */
typedef struct layout {
    MDB_env *env;
    MDB_dbi rows, numbers;
    bool by_number;
    uint64_t last_number;
} layout;

static void check(int rc, const char *what)
{
    if (rc != 0) die(what, mdb_strerror(rc));
}

typedef struct row_todo {
    uint64_t owner, contact;
    uint64_t number; /* of the owner, if rows are kept by number */
} row_todo;

/* The number of an owner, given in order of first rows. */
static uint64_t owner_number(layout *l, MDB_txn *txn, sv_str name)
{
    char text[32];
    memcpy(text, name.p, name.n);
    MDB_val k = {.mv_size = name.n, .mv_data = text}, v;
    uint64_t number = 0;
    const int rc = mdb_get(txn, l->numbers, &k, &v);
    if (rc == 0) {
        memcpy(&number, v.mv_data, sizeof number);
        return number;
    }
    if (rc != MDB_NOTFOUND) check(rc, "owner number");
    number = ++l->last_number;
    v = (MDB_val){.mv_size = sizeof number, .mv_data = &number};
    check(mdb_put(txn, l->numbers, &k, &v, 0), "owner number");
    return number;
}

static size_t layout_key(const layout *l, const row_todo *row, sv_str key,
                         unsigned char to[SVI_LMDB_KEY])
{
    if (!l->by_number) {
        char name[32];
        svi_lkey k;
        svi_lkey_row(&k, NULL,
                     &(svi_row_key){.map = 1, .owner = owner_name(row->owner, name), .key = key});
        memcpy(to, k.bytes, k.n);
        return k.n;
    }
    memcpy(to, "\0\0\0\1", 4);
    for (int i = 0; i < 8; i++) to[4 + i] = (unsigned char)(row->number >> (56 - 8 * i));
    memcpy(to + 12, key.p, key.n);
    return 12 + key.n;
}

static int todo_cmp(const void *a, const void *b)
{
    const row_todo *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x->owner < y->owner ? -1 : x->owner > y->owner;
}

/* One transaction with `n` rows. By number: the numbers are looked up first, then rows sorted by them. */
static void layout_fold(layout *l, row_todo *todo, size_t n)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    char name[48];
    check(mdb_txn_begin(l->env, NULL, 0, &txn), "begin");
    for (size_t i = 0; i < n; i++)
        todo[i].number = l->by_number ? owner_number(l, txn, owner_name(todo[i].owner, name)) : 0;
    if (n > 1) qsort(todo, n, sizeof *todo, todo_cmp);
    check(mdb_cursor_open(txn, l->rows, &cursor), "cursor");
    for (size_t i = 0; i < n; i++) {
        unsigned char key[SVI_LMDB_KEY];
        const sv_str contact = contact_name(todo[i].owner, todo[i].contact, name);
        MDB_val k = {.mv_size = layout_key(l, &todo[i], contact, key), .mv_data = key};
        MDB_val v = {.mv_size = ROSTER_BYTES, .mv_data = filler + rnd(1000)};
        check(mdb_cursor_put(cursor, &k, &v, 0), "put");
    }
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(txn), "commit");
}

static void layout_open(layout *l, const char *path)
{
    MDB_txn *txn;
    if (mkdir(path, 0700) != 0) die("folder", path);
    check(mdb_env_create(&l->env), "env");
    check(mdb_env_set_maxdbs(l->env, 4), "env");
    check(mdb_env_set_mapsize(l->env, (size_t)64 << 30), "env");
    check(mdb_env_open(l->env, path, MDB_NORDAHEAD, 0600), "env");
    check(mdb_txn_begin(l->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, "rows", MDB_CREATE, &l->rows), "rows");
    check(mdb_dbi_open(txn, "numbers", MDB_CREATE, &l->numbers), "numbers");
    check(mdb_txn_commit(txn), "commit");
}

/* Accounts come in no order of names, as in life. */
static void layout_populate(layout *l, row_todo *todo, uint64_t owners)
{
    size_t n = 0;
    for (uint64_t i = 0; i < owners; i++) {
        const uint64_t o = i * UINT64_C(7368787) % owners; /* a prime: each once */
        for (uint64_t c = 0; c < CONTACTS; c++) todo[n++] = (row_todo){.owner = o, .contact = c};
        if (n < CHUNK && i + 1 < owners) continue;
        layout_fold(l, todo, n);
        n = 0;
    }
}

/* CPU us to find a random owner and walk its rows. */
static double layout_reads(layout *l, uint64_t owners)
{
    enum { READS = 30000 };
    const double began = seconds(CLOCK_THREAD_CPUTIME_ID);
    MDB_txn *txn;
    MDB_cursor *cursor;
    check(mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn), "begin");
    check(mdb_cursor_open(txn, l->rows, &cursor), "cursor");
    for (size_t i = 0; i < READS; i++) {
        char name[32];
        unsigned char key[SVI_LMDB_KEY];
        row_todo row = {.owner = rnd(owners)};
        if (l->by_number) row.number = owner_number(l, txn, owner_name(row.owner, name));
        MDB_val k = {.mv_size = layout_key(l, &row, SV_STR("u"), key), .mv_data = key}, v;
        const size_t prefix = k.mv_size - 1;
        size_t rows = 0;
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        for (; rc == 0 && memcmp(k.mv_data, key, prefix) == 0; rows++)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
        if (rows != CONTACTS) die("layout", "rows are missing");
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return (seconds(CLOCK_THREAD_CPUTIME_ID) - began) * 1e6 / READS;
}

static void measure_layout(const char *dir, bool by_number, uint64_t owners)
{
    char path[512];
    layout l = {.by_number = by_number};
    MDB_envinfo info;
    row_todo *todo = calloc(CHUNK + CONTACTS, sizeof *todo);
    snprintf(path, sizeof path, "%s/layout-%d", dir, by_number);
    layout_open(&l, path);
    layout_populate(&l, todo, owners);
    check(mdb_env_info(l.env, &info), "info");
    printf("  owner by %-7s %6.1f MiB; CPU us per row:", by_number ? "number" : "name",
           (double)(info.me_last_pgno + 1) * 4096 / (1 << 20));
    static const size_t sizes[] = {1, 100, 10000}, rounds[] = {100, 30, 4};
    for (size_t s = 0; s < 3; s++) {
        double began = 0;
        for (size_t r = 0; r < rounds[s] + 1; r++) {
            if (r == 1) began = seconds(CLOCK_THREAD_CPUTIME_ID);
            for (size_t i = 0; i < sizes[s]; i++)
                todo[i] = (row_todo){.owner = rnd(owners), .contact = rnd(CONTACTS)};
            layout_fold(&l, todo, sizes[s]);
        }
        const double took = seconds(CLOCK_THREAD_CPUTIME_ID) - began;
        printf("  folds of %zu: %.2f", sizes[s], took * 1e6 / (double)(rounds[s] * sizes[s]));
    }
    printf("  reads of an owner: %.2f\n", layout_reads(&l, owners));
    mdb_env_close(l.env);
    free(todo);
}

/* --- main ------------------------------------------------------------------------------------------ */

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char file[700];
        if (e->d_name[0] == '.') continue;
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, e->d_name) >= sizeof file) continue;
        if (remove(file) != 0) remove_tree(file);
    }
    if (dir) closedir(dir);
    remove(path);
}

static void run(const char *base, uint64_t owners)
{
    char dir[400];
    snprintf(dir, sizeof dir, "%s/stave-bench-XXXXXX", base);
    if (!mkdtemp(dir)) die("folder", base);
    printf("store layout, %llu owners with %d roster rows and 1 offline message each\n",
           (unsigned long long)owners, CONTACTS);
    printf(" keys, roster rows only:\n");
    measure_layout(dir, false, owners);
    measure_layout(dir, true, owners);
    remove_tree(dir);
    if (mkdir(dir, 0700) != 0) die("folder", dir);
    bench b = {.acct = {.name = "bench"}, .dir = dir, .owners = owners, .next_message = 1000};
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.cond, NULL);
    populate(&b);
    printf(" units through the store, half offline messages of %d bytes, half roster rows of %d:\n",
           OFFLINE_BYTES, ROSTER_BYTES);
    measure_folds(&b, 1, 100);
    measure_folds(&b, 100, 40);
    measure_folds(&b, 10000, 5);
    measure_rate(&b, 60000);
    measure_all_notes(&b);
    printf(" pages of an archive, entries of %d bytes:\n", ENTRY_BYTES);
    measure_pages(&b, "small", 1000);
    measure_pages(&b, "large", 1000000);
    printf(" reads and starts:\n");
    measure_reads(&b);
    measure_starts(&b);
    remove_tree(dir);
}

int main(int argc, char **argv)
{
    const char *dir = "/var/tmp";
    uint64_t owners = 100000;
    bool full = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            full = true;
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            dir = argv[++i];
        else if (strcmp(argv[i], "--owners") == 0 && i + 1 < argc)
            owners = strtoull(argv[++i], NULL, 10);
        else
            die("unknown argument", argv[i]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    svi_log_set_level(SV_WARN);
    for (size_t i = 0; i < sizeof filler; i++) filler[i] = (char)('a' + rnd(26));
    run(dir, owners);
    if (full) run(dir, 1000000);
    return 0;
}
