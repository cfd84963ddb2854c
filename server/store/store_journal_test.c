/* The journal: what was written comes back, torn ends are cut at every byte, damage before the last batch is found,
 * segments rotate and are used again, a failed call is final. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/base_mem.h"
#include "base/base_str.h"
#include "store/store_journal.h"
#include "store/store_folder_test.h"

typedef struct fixture {
    svi_acct acct;
    folder dir;
    int dir_fd;
    svi_journal_config config;
    svi_journal *journal;
    uint64_t next;     /* number of the next unit to write */
    uint64_t expected; /* next number that replay must hand over */
    sv_err err;
} fixture;

static size_t unit_text(uint64_t number, char to[4096])
{
    const size_t n = 20 + number * 37 % 300;
    memset(to, (int)('a' + number % 26), n);
    snprintf(to, n, "unit %llu", (unsigned long long)number);
    return n;
}

static sv_status on_unit(void *ctx, uint64_t number, sv_str record)
{
    fixture *f = ctx;
    char text[4096];
    const size_t n = unit_text(number, text);
    assert_int_equal(number, f->expected);
    assert_int_equal(record.n, n);
    assert_memory_equal(record.p, text, n);
    f->expected++;
    return SV_OK;
}

static sv_status reopen(fixture *f, uint64_t folded)
{
    svi_journal_close(&f->journal);
    f->expected = folded + 1;
    const sv_status st = svi_journal_open(&f->config, folded, on_unit, f, &f->journal, &f->err);
    f->next = f->expected;
    if (st) print_message("%s\n", f->err.text);
    return st;
}

static sv_status write_batch(fixture *f, size_t count)
{
    char *text = malloc(count * 4096);
    sv_str *records = malloc(count * sizeof *records);
    for (size_t i = 0; i < count; i++)
        records[i] = (sv_str){text + i * 4096, unit_text(f->next + i, text + i * 4096)};
    const sv_status st = svi_journal_write(f->journal, f->next, records, count, &f->err);
    if (st == SV_OK) f->next += count;
    free(records);
    free(text);
    return st;
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->acct.name = "test";
    f->dir = folder_make();
    f->dir_fd = open(f->dir.path, O_RDONLY | O_DIRECTORY);
    f->config = (svi_journal_config){
        .acct = &f->acct, .dir_fd = f->dir_fd, .segment_bytes = 4096, .sync = true};
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(svi_journal_folded(f->journal, 0), SV_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    svi_journal_close(&f->journal);
    assert_int_equal(f->acct.live_count, 0);
    close(f->dir_fd);
    folder_remove(&f->dir);
    free(f);
    return 0;
}

/* The only segment's bytes; free() them. */
static char *segment_read(const fixture *f, const char *name, size_t *n_out)
{
    const int fd = openat(f->dir_fd, name, O_RDONLY);
    assert_true(fd >= 0);
    struct stat st;
    fstat(fd, &st);
    char *data = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    *n_out = (size_t)st.st_size;
    return data;
}

static void segment_write(const fixture *f, const char *name, const char *data, size_t n)
{
    const int fd = openat(f->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, data, n), n);
    close(fd);
}

#define FIRST_SEGMENT "journal-0000000000000001"

static void test_crc(void **state)
{
    (void)state;
    svi_crc *crc = malloc(sizeof *crc);
    svi_crc_init(crc);
    /* RFC 3720 B.4 */
    unsigned char bytes[32] = {0};
    assert_int_equal(svi_crc32c(crc, 0, bytes, 32), 0x8a9136aau);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    assert_int_equal(svi_crc32c(crc, 0, bytes, 32), 0x46dd794eu);
    for (size_t cut = 0; cut <= 32; cut++)
        assert_int_equal(svi_crc32c(crc, svi_crc32c(crc, 0, bytes, cut), bytes + cut, 32 - cut),
                         0x46dd794eu);
    free(crc);
}

static void test_write_and_replay(void **state)
{
    fixture *f = *state;
    for (size_t i = 1; i <= 60; i++) {
        assert_int_equal(write_batch(f, 1 + i % 7), SV_OK);
        if (i % 9 == 0) {
            const uint64_t next = f->next;
            assert_int_equal(reopen(f, i / 2), SV_OK);
            assert_int_equal(f->next, next);
        }
    }
    assert_true(svi_journal_bytes(f->journal) > 8 * 4096u);
}

static void test_batch_beyond_segment(void **state)
{
    fixture *f = *state;
    assert_int_equal(write_batch(f, 3), SV_OK);
    assert_int_equal(write_batch(f, 100), SV_OK); /* about 17 KiB */
    assert_int_equal(write_batch(f, 3), SV_OK);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 107);
}

static void count_segments(const char *file, void *ctx)
{
    *(int *)ctx += strstr(file, "/journal-") != NULL;
}

static void test_folded_segments_go(void **state)
{
    fixture *f = *state;
    assert_int_equal(write_batch(f, 2), SV_OK);
    size_t copy_n;
    char *copy = segment_read(f, FIRST_SEGMENT, &copy_n);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(write_batch(f, 2), SV_OK);
        assert_int_equal(svi_journal_folded(f->journal, f->next - 1), SV_OK);
        int n = 0;
        folder_each(f->dir.path, count_segments, &n);
        assert_true(n <= 2);
    }
    const uint64_t next = f->next;
    assert_true(svi_journal_bytes(f->journal) <= 2 * 4096);
    assert_int_equal(reopen(f, next - 1), SV_OK);
    assert_int_equal(f->next, next); /* nothing above `folded` is left to hand over */
    assert_int_equal(write_batch(f, 2), SV_OK);
    assert_int_equal(reopen(f, next - 1), SV_OK);
    assert_int_equal(f->next, next + 2);
    /* a removal that got lost in a power cut: an old segment is back, those between are not */
    segment_write(f, FIRST_SEGMENT, copy, copy_n);
    free(copy);
    assert_int_equal(reopen(f, next - 1), SV_OK);
    assert_int_equal(f->next, next + 2);
    assert_int_equal(faccessat(f->dir_fd, FIRST_SEGMENT, F_OK, 0), -1);
    /* the index knows more than the segments hold, but not enough: units are missing */
    assert_int_equal(reopen(f, 1), SV_EIO);
    assert_non_null(strstr(f->err.text, "begins with unit"));
}

/* The index is ahead of an unsynced journal: the journal goes on behind the index. */
/* A segment stays while one of its units is not folded. */
static void test_half_folded_segment_stays(void **state)
{
    fixture *f = *state;
    int segments = 0;
    while (segments < 3) {
        assert_int_equal(write_batch(f, 2), SV_OK);
        segments = 0;
        folder_each(f->dir.path, count_segments, &segments);
    }
    for (uint64_t last = 1; last < f->next; last++) {
        const uint64_t next = f->next;
        assert_int_equal(svi_journal_folded(f->journal, last), SV_OK);
        assert_int_equal(reopen(f, last), SV_OK);
        assert_int_equal(f->next, next);
    }
}

static void test_index_ahead(void **state)
{
    fixture *f = *state;
    assert_int_equal(write_batch(f, 5), SV_OK);
    assert_int_equal(reopen(f, 50), SV_OK);
    assert_int_equal(f->next, 51);
    assert_int_equal(write_batch(f, 2), SV_OK);
    assert_int_equal(reopen(f, 50), SV_OK);
    assert_int_equal(f->next, 53);
}

static void test_torn_tail(void **state)
{
    fixture *f = *state;
    assert_int_equal(write_batch(f, 2), SV_OK);
    assert_int_equal(write_batch(f, 2), SV_OK);
    svi_journal_close(&f->journal);
    size_t before_n, n;
    char *before = segment_read(f, FIRST_SEGMENT, &before_n);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(write_batch(f, 3), SV_OK);
    svi_journal_close(&f->journal);
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    size_t from = 0, to = n; /* where the last batch lies */
    while (data[from] == before[from]) from++;
    while (data[to - 1] == 0) to--;
    assert_true(to - from > 60);
    char *torn = malloc(n);
    for (size_t cut = from; cut < to; cut++) {
        memcpy(torn, data, n);
        memset(torn + cut, 0, to - cut); /* of the last write, only what is before `cut` arrived */
        segment_write(f, FIRST_SEGMENT, torn, n);
        assert_int_equal(reopen(f, 0), SV_OK);
        assert_int_equal(f->next, 5);
        size_t after_n;
        char *after = segment_read(f, FIRST_SEGMENT, &after_n);
        assert_int_equal(after_n, before_n);
        assert_memory_equal(after, before, before_n); /* as if it had never been begun */
        free(after);
        assert_int_equal(write_batch(f, 1), SV_OK);
        assert_int_equal(reopen(f, 0), SV_OK);
        assert_int_equal(f->next, 6);
        /* and the other way round: only what is behind it */
        memcpy(torn, data, n);
        memset(torn + from, 0, cut - from + 1);
        segment_write(f, FIRST_SEGMENT, torn, n);
        assert_int_equal(reopen(f, 0), SV_OK);
        assert_int_equal(f->next, 5);
    }
    /* a file that ends in the batch, as a lost truncation would leave it */
    for (size_t cut = from; cut < to; cut += 7) {
        segment_write(f, FIRST_SEGMENT, data, cut);
        assert_int_equal(reopen(f, 0), SV_OK);
        assert_int_equal(f->next, 5);
    }
    segment_write(f, FIRST_SEGMENT, data, n);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 8);
    free(torn);
    free(before);
    free(data);
}

/* A torn batch, and what an earlier use of the file left, hold what peers wrote: roster rows whose names look like
 * numbers of batches and whose lengths look like one of a batch. To tell them apart costs no checksum each. */
static void test_torn_tail_that_looks_like_heads(void **state)
{
    fixture *f = *state;
    static const char row[] = "\1\5\0\0\0\5\0\17\0\4\0\0\0romeoaaaaameoaaaaa@xabcd";
    enum { ROWS = 28000, ROW = sizeof row - 1 };
    assert_int_equal(write_batch(f, 2), SV_OK);
    char *text = malloc((size_t)ROWS * ROW);
    for (size_t i = 0; i < ROWS; i++) memcpy(text + i * ROW, row, ROW);
    const sv_str record = {text, (size_t)ROWS * ROW};
    assert_int_equal(svi_journal_write(f->journal, 3, &record, 1, &f->err), SV_OK);
    svi_journal_close(&f->journal);
    size_t n;
    char *data = segment_read(f, "journal-0000000000000003", &n);
    assert_true(n > 1000000);
    data[n - 1] ^= 1;
    segment_write(f, "journal-0000000000000003", data, n);
    const clock_t began = clock();
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 3);
    assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
    free(data);
    free(text);
}

static void test_bit_flips(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 4; i++) assert_int_equal(write_batch(f, 1), SV_OK);
    svi_journal_close(&f->journal);
    size_t n, last;
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    char text[4096], offset[40];
    unit_text(4, text);
    char *fourth = memmem(data, n, text, 8);
    assert_non_null(fourth);
    last = (size_t)(fourth - data) - 4 - 24; /* where the last batch begins */
    for (size_t at = 0; at < last; at++) {
        data[at] ^= (char)(1 << at % 8);
        segment_write(f, FIRST_SEGMENT, data, n);
        const sv_status st = reopen(f, 0);
        if (at >= 8 && at < 12)
            assert_true(st == SV_EVERSION || st == SV_EIO);
        else
            assert_int_equal(st, SV_EIO);
        assert_non_null(strstr(f->err.text, FIRST_SEGMENT));
        if (at >= 64) assert_non_null(strstr(f->err.text, "offset"));
        data[at] ^= (char)(1 << at % 8);
    }
    snprintf(offset, sizeof offset, "offset %d", 64);
    data[100] ^= 1;
    segment_write(f, FIRST_SEGMENT, data, n);
    assert_int_equal(reopen(f, 0), SV_EIO);
    assert_non_null(strstr(f->err.text, offset));
    free(data);
}

static void test_damage_in_older_segment(void **state)
{
    fixture *f = *state;
    while (svi_journal_bytes(f->journal) < 3 * 4096) assert_int_equal(write_batch(f, 3), SV_OK);
    svi_journal_close(&f->journal);
    size_t n;
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    size_t end = n;
    while (data[end - 1] == 0) end--;
    data[end - 5] ^= 4; /* in its last batch: no later one in the file, but there are later files */
    segment_write(f, FIRST_SEGMENT, data, n);
    assert_int_equal(reopen(f, 0), SV_EIO);
    data[end - 5] ^= 4;
    segment_write(f, FIRST_SEGMENT, data, n);
    assert_int_equal(reopen(f, 0), SV_OK);
    svi_journal_close(&f->journal);
    assert_int_equal(unlinkat(f->dir_fd, FIRST_SEGMENT, 0), 0);
    assert_int_equal(reopen(f, 0), SV_EIO);
    free(data);
}

/* --- failing calls --------------------------------------------------------------------------------- */

typedef struct faults {
    int fail_write, short_write, fail_sync, fail_space; /* 1: the next one */
    int writes, syncs;
} faults;

static ssize_t fault_pwrite(void *ctx, int fd, const void *data, size_t bytes, off_t at)
{
    faults *x = ctx;
    x->writes++;
    if (x->fail_write > 0 && --x->fail_write == 0) {
        errno = EIO;
        return -1;
    }
    if (x->short_write > 0 && --x->short_write == 0) bytes /= 2;
    return pwrite(fd, data, bytes, at);
}

static int fault_sync(void *ctx, int fd)
{
    faults *x = ctx;
    x->syncs++;
    if (x->fail_sync > 0 && --x->fail_sync == 0) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static int fault_space(void *ctx, int fd, off_t bytes)
{
    faults *x = ctx;
    if (x->fail_space) {
        errno = ENOSPC;
        return -1;
    }
    return fallocate(fd, 0, 0, bytes);
}

/* Without syncs a power cut may keep later pages and lose earlier ones: the journal ends at the first gap, and nothing
 * behind it ever comes back. */
static void test_loose(void **state)
{
    fixture *f = *state;
    f->config.sync = false;
    assert_int_equal(reopen(f, 0), SV_OK);
    while (svi_journal_bytes(f->journal) < 3 * 4096) assert_int_equal(write_batch(f, 1), SV_OK);
    svi_journal_close(&f->journal);
    size_t n;
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    char text[4096];
    const size_t third_n = unit_text(3, text);
    char *third = memmem(data, n, text, 8);
    memset(third - 28, 0, third_n + 28); /* the whole batch, as a page that was never written */
    segment_write(f, FIRST_SEGMENT, data, n);
    free(data);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 3);
    assert_int_equal(write_batch(f, 1), SV_OK); /* as long as the one that was lost */
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 4); /* number 4, which lay behind it, is gone for good */
    f->config.sync = true;        /* from now on synced: in a segment of its own */
    assert_int_equal(reopen(f, 0), SV_OK);
    int before = 0, after = 0;
    folder_each(f->dir.path, count_segments, &before);
    assert_int_equal(write_batch(f, 1), SV_OK);
    folder_each(f->dir.path, count_segments, &after);
    assert_int_equal(after, before + 1);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 5);
}

/* A loose segment of which nothing is left, and `durability` turned up: the next one begins with the same unit, has the
 * same name, and must not go as the old one. */
static void test_empty_loose_segment(void **state)
{
    fixture *f = *state;
    f->config.sync = false;
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(write_batch(f, 2), SV_OK);
    svi_journal_close(&f->journal);
    size_t n;
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    data[100] ^= 1;
    segment_write(f, FIRST_SEGMENT, data, n);
    free(data);
    f->config.sync = true;
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 1);
    assert_int_equal(write_batch(f, 2), SV_OK);
    assert_int_equal(svi_journal_bytes(f->journal), 4096);
    assert_int_equal(svi_journal_folded(f->journal, 0), SV_OK);
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(f->next, 3);
}

static void test_failures_are_final(void **state)
{
    fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        faults x = {0};
        const svi_file_ops ops = {
            .pwrite = fault_pwrite, .fdatasync = fault_sync, .fallocate = fault_space, .ctx = &x};
        f->config.files = &ops;
        f->config.sync = true;
        assert_int_equal(reopen(f, 0), SV_OK);
        assert_int_equal(write_batch(f, 2), SV_OK);
        assert_int_equal(x.syncs, 1);
        const uint64_t next = f->next;
        if (kind == 0) x.fail_write = 1;
        if (kind == 1) x.short_write = 1;
        if (kind == 2) x.fail_sync = 1;
        assert_int_equal(write_batch(f, 2), SV_EIO);
        const int writes = x.writes, syncs = x.syncs;
        for (int i = 0; i < 3; i++) assert_int_equal(write_batch(f, 1), SV_EIO);
        assert_int_equal(x.writes, writes); /* never tried again */
        assert_int_equal(x.syncs, syncs);
        f->config.files = NULL;
        assert_int_equal(reopen(f, 0), SV_OK);
        if (kind == 2)
            assert_true(f->next == next || f->next == next + 2);
        else
            assert_int_equal(f->next, next);
    }
}

static void test_spare_makes_last_batches_sure(void **state)
{
    fixture *f = *state;
    faults x = {0};
    const svi_file_ops ops = {.pwrite = fault_pwrite, .fallocate = fault_space, .ctx = &x};
    f->config.files = &ops;
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(write_batch(f, 2), SV_OK);
    assert_int_equal(svi_journal_folded(f->journal, 0), SV_OK);
    x.fail_space = 1; /* the disk is full now */
    size_t written = 0;
    while (write_batch(f, 2) == SV_OK) written++;
    assert_true(written * 2 * 190 > 4096); /* the rest of one segment and a whole one */
    assert_int_equal(svi_journal_folded(f->journal, 0), SV_ENOSPC);
    /* a fold gives segments back, no new space is needed */
    f->config.files = &ops;
    assert_int_equal(reopen(f, 0), SV_OK);
    assert_int_equal(svi_journal_folded(f->journal, f->next - 1), SV_OK);
    for (int i = 0; i < 8; i++) assert_int_equal(write_batch(f, 2), SV_OK);
}

static void test_other_format(void **state)
{
    fixture *f = *state;
    assert_int_equal(write_batch(f, 1), SV_OK);
    svi_journal_close(&f->journal);
    size_t n;
    char *data = segment_read(f, FIRST_SEGMENT, &n);
    static const char formats[] = {1, 3}; /* an earlier and a later one */
    for (size_t i = 0; i < sizeof formats; i++) {
        data[8] = formats[i];
        segment_write(f, FIRST_SEGMENT, data, n);
        assert_int_equal(reopen(f, 0), SV_EVERSION);
    }
    free(data);
}

static void check_mode(const char *file, void *ctx)
{
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    ++*(int *)ctx;
}

static void test_modes(void **state)
{
    fixture *f = *state;
    int files = 0;
    assert_int_equal(write_batch(f, 1), SV_OK);
    assert_int_equal(svi_journal_folded(f->journal, 0), SV_OK);
    folder_each(f->dir.path, check_mode, &files);
    assert_int_equal(files, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test_setup_teardown(test_write_and_replay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_beyond_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folded_segments_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_folded_segment_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail_that_looks_like_heads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bit_flips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_older_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loose, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_loose_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_final, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spare_makes_last_batches_sure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
