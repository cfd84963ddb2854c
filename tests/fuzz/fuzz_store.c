/* Fuzzes what the store reads back from disk: a unit's record must be taken apart within its bytes or refused, and written again be the
 * same; the sum of its operations must fold in order; an index row must be read within its bytes or refused. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"
#include "store/store_keys.h"

static svi_acct acct = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_store.c:%d: does not hold: %s\n", __LINE__, #e);                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static bool inside(sv_str part, sv_str whole)
{
    return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static int change_cmp(const svi_row_change *a, const svi_row_change *b)
{
    if (a->key.map != b->key.map) return a->key.map < b->key.map ? -1 : 1;
    const int c = svi_str_cmp(a->key.owner, b->key.owner);
    if (c != 0) return c;
    if (a->all || b->all) return (int)b->all - (int)a->all;
    return svi_str_cmp(a->key.key, b->key.key);
}

static sv_status no_base(svi_job *job, const svi_row_key *key, sv_str *value_out)
{
    (void)job;
    (void)key;
    *value_out = SV_STR_NONE;
    return SV_OK;
}

static void record(sv_str bytes)
{
    svi_tail *tail = svi_tail_new(&acct, 1);
    svi_buf again;
    svi_buf_init(&again, &acct);
    size_t pos = 0, ops = 0;
    svi_op op;
    sv_status st;
    while ((st = svi_record_next(bytes, &pos, &op)) == SV_OK) {
        MUST(inside(op.owner, bytes) && inside(op.key, bytes) && inside(op.value, bytes));
        svi_record_put(&again, &op);
        svi_tail_apply(tail, &op);
        ops++;
    }
    MUST(st == SV_ENOTFOUND || st == SV_EIO || st == SV_EVERSION);
    if (st == SV_ENOTFOUND && ops > 0) MUST(sv_str_eq(svi_buf_str(&again), bytes));
    size_t count;
    svi_row_change *changes;
    svi_job fold = {.base = no_base};
    MUST(svi_tail_changes(tail, &fold, &changes, &count) == SV_OK);
    for (size_t i = 1; i < count; i++) MUST(change_cmp(&changes[i - 1], &changes[i]) < 0);
    svi_free(changes);
    svi_buf_free(&again);
    svi_tail_free(&tail);
}

static void index_row(sv_str bytes)
{
    if (bytes.n == 0) return;
    const size_t cut = (unsigned char)bytes.p[0] * bytes.n / 256;
    const sv_str key = {bytes.p, cut}, value = {bytes.p + cut, bytes.n - cut};
    svi_lrow row;
    if (key.n > SVI_LMDB_KEY || !svi_lrow_read(key, value, &row)) return;
    MUST(inside(row.key, bytes) && inside(row.value, value) && inside(row.owner, bytes));
    if (row.owner_hashed) return;
    char name[SVI_LMDB_KEY];
    MUST(svi_lkey_unescape(row.owner, name) <= row.owner.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of the exact size, so that reading behind it is seen */
    char *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    record((sv_str){copy, size});
    index_row((sv_str){copy, size});
    MUST(acct.live_count == 0);
    free(copy);
    return 0;
}
