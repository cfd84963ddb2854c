/* The index by itself: keys that hold any bytes in order, and scans that go on over many transactions while folds change
 * what they stand on. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/base_str.h"
#include "store/store_index.h"
#include "store/store_keys.h"
#include "store/store_folder_test.h"

enum { ROWS = 500 };

static void simple_hash(sv_str text, uint8_t out[32])
{
    memset(out, 0, 32);
    for (size_t i = 0; i < text.n; i++) out[i % 32] = (uint8_t)(out[i % 32] * 31 + text.p[i]);
}

/* --- keys ------------------------------------------------------------------------------------------ */

static int lkey_cmp(const svi_lkey *a, const svi_lkey *b)
{
    return svi_str_cmp((sv_str){(const char *)a->bytes, a->n},
                       (sv_str){(const char *)b->bytes, b->n});
}

/* Written-out owners keep their order, whatever bytes they have; rows of one owner lie together. */
static void test_key_order(void **state)
{
    (void)state;
    static const sv_str owners[] = {
        SV_STR_INIT(""),         SV_STR_INIT("\0"),  SV_STR_INIT("\0\0"), SV_STR_INIT("\0\1"),
        SV_STR_INIT("\0\2"),     SV_STR_INIT("\1"),  SV_STR_INIT("a"),    SV_STR_INIT("a\0"),
        SV_STR_INIT("a\0\0z"),   SV_STR_INIT("a\1"), SV_STR_INIT("aa"),   SV_STR_INIT("b"),
        SV_STR_INIT("b\xff\xff")};
    static const sv_str keys[] = {SV_STR_INIT(""), SV_STR_INIT("\0"), SV_STR_INIT("k"),
                                  SV_STR_INIT("\xff\xff\xff")};
    svi_lkey last = {.n = 0};
    for (size_t o = 0; o < sizeof owners / sizeof *owners; o++) {
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            svi_lkey key;
            svi_lkey_row(&key, simple_hash,
                         &(svi_row_key){.map = 7, .owner = owners[o], .key = keys[k]});
            assert_true(lkey_cmp(&last, &key) < 0);
            last = key;
            svi_lrow row;
            char name[SVI_LMDB_KEY];
            assert_true(svi_lrow_read((sv_str){(char *)key.bytes, key.n}, SV_STR("v"), &row));
            assert_true(sv_str_eq(row.key, keys[k]));
            assert_true(sv_str_eq((sv_str){name, svi_lkey_unescape(row.owner, name)}, owners[o]));
        }
        svi_lkey behind;
        svi_lkey_after_owner(&behind, 7, owners[o]);
        assert_true(lkey_cmp(&last, &behind) < 0);
        last = behind; /* and the next owner's rows are behind that */
    }
}

static void test_damaged_rows(void **state)
{
    (void)state;
    svi_lkey key;
    static char text[SVI_KEY_MAX];
    memset(text, 'x', sizeof text);
    const svi_row_key row = {.map = 1, .owner = {text, 1000}, .key = {text, 3000}};
    svi_lkey_row(&key, simple_hash, &row);
    char prefix[SVI_LROW_PREFIX_MAX];
    const size_t n = svi_lrow_prefix(&key, &row, prefix);
    svi_lrow out;
    for (size_t cut = 0; cut < n; cut++) /* every value too short for its names is refused */
        assert_false(
            svi_lrow_read((sv_str){(char *)key.bytes, key.n}, (sv_str){prefix, cut}, &out));
    assert_true(svi_lrow_read((sv_str){(char *)key.bytes, key.n}, (sv_str){prefix, n}, &out));
    for (size_t cut = 0; cut < 38; cut++)
        assert_false(svi_lrow_read((sv_str){(char *)key.bytes, cut}, (sv_str){prefix, n}, &out));
}

/* --- scans beside folds ---------------------------------------------------------------------------- */

typedef struct churn {
    svi_index *index;
    atomic_bool stop;
    atomic_int rounds;
} churn;

static svi_row_change change_of(int i, char key[16], bool there)
{
    snprintf(key, 16, "k%05d", i);
    return (svi_row_change){.key = {.map = 1, .owner = SV_STR("owner"), .key = {key, 6}},
                            .value = there ? SV_STR("value") : SV_STR_NONE};
}

/* Odd rows come and go; even ones stay. */
static void *churn_run(void *ctx)
{
    churn *c = ctx;
    static svi_row_change changes[ROWS / 2];
    static char keys[ROWS / 2][16];
    sv_err err;
    for (int round = 0; !c->stop; round++) {
        for (int i = 0; i < ROWS / 2; i++)
            changes[i] = change_of(2 * i + 1, keys[i], round % 2 == 0);
        if (svi_index_fold(c->index, changes, ROWS / 2, (uint64_t)round + 2, &err) != SV_OK) break;
        c->rounds++;
    }
    return NULL;
}

static _Atomic int renewals; /* of read transactions */

/* Stands before LMDB's, so that renewals can be counted. */
int mdb_txn_renew(MDB_txn *txn)
{
    int (*const real)(MDB_txn *) = (int (*)(MDB_txn *))dlsym(RTLD_NEXT, "mdb_txn_renew");
    renewals++;
    return real(txn);
}

static void test_scan_beside_folds(void **state)
{
    (void)state;
    const folder dir = folder_make();
    svi_acct acct = {.name = "test"};
    const svi_index_config config = {.acct = &acct,
                                     .path = dir.path,
                                     .map_bytes = 64 << 20,
                                     .readers = 1,
                                     .hash = simple_hash,
                                     .txn_us = -1}; /* a transaction for each row */
    svi_index *index;
    sv_err err;
    uint64_t folded;
    assert_int_equal(svi_index_open(&config, &index, &folded, &err), SV_OK);
    svi_row_change changes[ROWS];
    char keys[ROWS][16];
    for (int i = 0; i < ROWS; i++) changes[i] = change_of(i, keys[i], true);
    assert_int_equal(svi_index_fold(index, changes, ROWS, 1, &err), SV_OK);
    churn c = {.index = index};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, churn_run, &c), 0);
    for (int scans = 0; scans < 20 || c.rounds < 100; scans++) {
        svi_job job = {.kind = SVI_JOB_SCAN,
                       .key = {.map = 1, .owner = SV_STR("owner")},
                       .arena = svi_arena_new(&acct, 0)};
        renewals = 0;
        svi_index_read(index, &job);
        assert_int_equal(job.status, SV_OK);
        assert_true(renewals >= ROWS / 2);
        int even = 0;
        for (size_t i = 0; i < job.row_count; i++) {
            if (i > 0) assert_true(svi_str_cmp(job.rows[i - 1].key.key, job.rows[i].key.key) < 0);
            even += (job.rows[i].key.key.p[5] - '0') % 2 == 0;
        }
        assert_int_equal(even, ROWS / 2); /* none is missed where the walk resumed */
        svi_arena_free(&job.arena);
    }
    c.stop = true;
    pthread_join(thread, NULL);
    svi_index_close(&index);
    assert_int_equal(acct.live_count, 0);
    folder_remove(&dir);
}

/* An index of another format, be it an earlier or a later one, is not read. */
static void test_other_format(void **state)
{
    (void)state;
    const folder dir = folder_make();
    svi_acct acct = {.name = "index"};
    const svi_index_config config = {.acct = &acct,
                                     .path = dir.path,
                                     .map_bytes = 16u << 20,
                                     .readers = 1,
                                     .hash = simple_hash,
                                     .txn_us = 1000000};
    static const uint32_t formats[] = {1, 3, 2};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct {
            uint32_t format, layout;
            uint64_t folded;
        } head = {.format = formats[i], .layout = 1, .folded = 7};
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi meta;
        MDB_val key = {4, (char[]){"head"}}, value = {sizeof head, &head};
        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
        assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, "meta", MDB_CREATE, &meta), 0);
        assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        svi_index *index = NULL;
        uint64_t folded = 0;
        sv_err err = {.text = ""};
        const sv_status st = svi_index_open(&config, &index, &folded, &err);
        assert_int_equal(st, formats[i] == 2 ? SV_OK : SV_EVERSION);
        if (st != SV_OK) assert_non_null(strstr(err.text, "this release knows format 2"));
        assert_int_equal(folded, st == SV_OK ? 7 : 0);
        svi_index_close(&index);
    }
    folder_remove(&dir);
    assert_int_equal(acct.live_count, 0);
}

/* --- a file that is too short ---------------------------------------------------------------------- */

static sv_status open_index(svi_acct *acct, const folder *dir, svi_index **index_out, sv_err *err)
{
    uint64_t folded;
    const svi_index_config config = {.acct = acct, .path = dir->path, .map_bytes = 64u << 20, .readers = 1,
                                     .hash = simple_hash, .txn_us = 100000};
    *index_out = NULL;
    *err = (sv_err){.text = ""};
    return svi_index_open(&config, index_out, &folded, err);
}

/* Rows of several lengths, some on pages of their own, in two folds, so that some pages are free. */
static void fill_index(svi_index *index, svi_acct *acct)
{
    static char value[20000], keys[200][12];
    svi_row_change *rows = svi_alloc(acct, 200 * sizeof *rows);
    sv_err err;
    memset(value, 1, sizeof value);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            snprintf(keys[i], sizeof keys[i], "%05d", i);
            rows[i] = (svi_row_change){.key = {.map = 1, .owner = SV_STR("o"), .key = {keys[i], 5}},
                                       .value = {value, i % 20 == 0 ? 9000u + (unsigned)round * 9000u : 90u}};
        }
        assert_int_equal(svi_index_fold(index, rows, 200, (uint64_t)round + 1, &err), SV_OK);
    }
    svi_free(rows);
}

static size_t rows_read(svi_index *index, svi_acct *acct)
{
    svi_job job = {.kind = SVI_JOB_SCAN, .key = {.map = 1, .owner = SV_STR("o")}, .arena = svi_arena_new(acct, 0)};
    svi_index_read(index, &job);
    assert_int_equal(job.status, SV_OK);
    for (size_t i = 0; i < job.row_count; i++)
        for (size_t k = 0; k < job.rows[i].value.n; k++) assert_int_equal(job.rows[i].value.p[k], 1);
    svi_arena_free(&job.arena);
    return job.row_count;
}

static size_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* Wherever the file was cut off, its opening says so and leaves it as it is, or all rows are there. */
static void test_cut_short(void **state)
{
    (void)state;
    svi_acct acct = {.name = "cut"};
    svi_index *index;
    sv_err err;
    const folder dir = folder_make(), copy = folder_make();
    char path[300];
    PATH_PRINT(path, "%s/data.mdb", copy.path);
    assert_int_equal(open_index(&acct, &dir, &index, &err), SV_OK);
    fill_index(index, &acct);
    svi_index_close(&index);
    folder_copy(dir.path, copy.path);
    const size_t whole = size_of(path);
    size_t refused = 0, is_cut = 0;
    for (size_t n = whole - 1; n > 8192; n -= n % 4096 == 0 ? 1 : n % 4096) { /* behind each page, and within it */
        assert_int_equal(truncate(path, (off_t)n), 0);
        if (open_index(&acct, &copy, &index, &err) == SV_OK) {
            assert_int_equal(rows_read(index, &acct), 200);
            svi_index_close(&index);
        } else {
            refused++;
            is_cut += strstr(err.text, "its file is cut short: ") != NULL;
            assert_int_equal(err.code, SV_EIO);
            assert_int_equal(size_of(path), n);
        }
        folder_copy(dir.path, copy.path);
    }
    assert_true(refused > 25 && is_cut == refused);
    assert_int_equal(open_index(&acct, &copy, &index, &err), SV_OK);
    assert_int_equal(rows_read(index, &acct), 200);
    svi_index_close(&index);
    assert_int_equal(acct.live_count, 0);
    folder_remove(&dir);
    folder_remove(&copy);
}

/* LMDB does not write pages at the end that were taken and given back in one transaction: such a file is whole. */
static void test_short_and_whole(void **state)
{
    (void)state;
    svi_acct acct = {.name = "short"};
    svi_index *index;
    sv_err err;
    const folder dir = folder_make();
    char path[300];
    PATH_PRINT(path, "%s/data.mdb", dir.path);
    assert_int_equal(open_index(&acct, &dir, &index, &err), SV_OK);
    fill_index(index, &acct);
    svi_index_close(&index);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi rows;
    MDB_envinfo info;
    MDB_val key = {5, (char[]){"spare"}}, value = {1u << 20, calloc(1, 1u << 20)};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64u << 20), 0);
    assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &rows), 0);
    assert_int_equal(mdb_put(txn, rows, &key, &value, 0), 0);
    assert_int_equal(mdb_del(txn, rows, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_info(env, &info);
    mdb_env_close(env);
    free(value.mv_data);
    assert_true(size_of(path) < (info.me_last_pgno + 1) * 4096); /* else this tests nothing */
    assert_int_equal(open_index(&acct, &dir, &index, &err), SV_OK);
    assert_int_equal(rows_read(index, &acct), 200);
    fill_index(index, &acct);
    assert_int_equal(rows_read(index, &acct), 200);
    svi_index_close(&index);
    assert_int_equal(acct.live_count, 0);
    folder_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_order),
        cmocka_unit_test(test_damaged_rows),
        cmocka_unit_test(test_scan_beside_folds),
        cmocka_unit_test(test_other_format),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_short_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
