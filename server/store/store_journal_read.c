/* Reading the journal at start.
 *
 * A batch is written only after the one before it was synced. So if a valid batch follows a broken one, the broken one
 * was whole once and is damage; if none follows, it is the torn end of the last write and was never acknowledged. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_log.h"
#include "store/store_journal_impl.h"

/* --- checking what is read ------------------------------------------------------------------------- */

typedef struct batch {
    uint64_t first, last;
    sv_str payload;
} batch;

/* The batch at `at`: true if it is whole. */
static bool batch_read(const svi_journal *j, uint32_t seed, sv_str file, size_t at, batch *out)
{
    if (file.n - at < HEAD) return false;
    const char *p = file.p + at;
    const uint64_t length = get_le(p, 4);
    out->first = get_le(p + 8, 8);
    out->last = get_le(p + 16, 8);
    if (length == 0 || length > file.n - at - HEAD || out->first == 0 || out->last < out->first)
        return false;
    out->payload = (sv_str){p + HEAD, length};
    const uint32_t want = (uint32_t)get_le(p + 4, 4);
    uint32_t crc = svi_crc32c(&j->crc, seed, p, 4);
    crc = svi_crc32c(&j->crc, crc, p + 8, HEAD - 8 + length);
    return crc == want;
}

/* Whether that many bytes can hold the units after `from` up to `to`: each has its length before it. */
static bool holds_units(uint64_t bytes, uint64_t from, uint64_t to)
{
    return to >= from && to - from <= bytes / UNIT_HEAD;
}

/* Whether a whole batch with a number above `number` begins anywhere at or behind `start`. What peers wrote may look
 * like the head of a batch at every few bytes; the numbers tell before a checksum over megabytes has to. */
static bool later_batch(const svi_journal *j, uint32_t seed, sv_str file, size_t start,
                        uint64_t number, size_t *where_out)
{
    for (size_t at = start; file.n - at > HEAD; at++) {
        const char *p = file.p + at;
        uint64_t first, last;
        memcpy(&first, p + 8, 8);
        if (first == 0) continue; /* preallocated zeros, quickly */
        first = get_le(p + 8, 8);
        last = get_le(p + 16, 8);
        batch b;
        if (first <= number || !holds_units(at - start, number, first - 1)) continue;
        if (!holds_units(get_le(p, 4), first - 1, last)) continue;
        if (!batch_read(j, seed, file, at, &b)) continue;
        *where_out = at;
        return true;
    }
    return false;
}

static sv_status header_read(const svi_journal *j, const char *name, sv_str file,
                             uint64_t *first_out, bool *loose_out, uint32_t *seed_out, sv_err *err)
{
    if (file.n < HEADER || memcmp(file.p, MAGIC, 8) != 0)
        return svi_err(err, SV_EIO, "%s: no journal header", name);
    const uint32_t format = (uint32_t)get_le(file.p + 8, 4);
    if (format != FORMAT)
        return svi_err(err, SV_EVERSION, "%s: journal format %u, this release knows format %u", name,
                       format, FORMAT);
    *seed_out = svi_crc32c(&j->crc, 0, file.p, HEADER - 4);
    if (*seed_out != (uint32_t)get_le(file.p + HEADER - 4, 4))
        return svi_err(err, SV_EIO, "%s: damaged journal header", name);
    *loose_out = get_le(file.p + 12, 4) & LOOSE;
    *first_out = get_le(file.p + 16, 8);
    return SV_OK;
}

/* --- replay ---------------------------------------------------------------------------------------- */

typedef struct reader {
    svi_journal *j;
    uint64_t folded;
    sv_status (*unit)(void *ctx, uint64_t number, sv_str record);
    void *ctx;
    sv_err *err;
    char name[NAME_MAX_BYTES];
    bool loose;     /* the segment at hand: after a power cut any of it may be missing */
    size_t last_at; /* its last whole batch */
} reader;

static sv_status batch_units(reader *r, const batch *b, size_t at)
{
    size_t pos = 0;
    for (uint64_t number = b->first; number <= b->last; number++) {
        const size_t left = b->payload.n - pos;
        const size_t n =
            left < UNIT_HEAD ? SIZE_MAX : (size_t)get_le(b->payload.p + pos, UNIT_HEAD);
        if (n > left - UNIT_HEAD)
            return svi_err(r->err, SV_EIO, "%s: batch at offset %zu holds no unit %llu", r->name,
                           at, (unsigned long long)number);
        const sv_str record = {b->payload.p + pos + UNIT_HEAD, n};
        const sv_status st = number <= r->folded ? SV_OK : r->unit(r->ctx, number, record);
        if (st != SV_OK)
            return svi_err(r->err, st, "%s: unit %llu in the batch at offset %zu: %s", r->name,
                           (unsigned long long)number, at,
                           st == SV_EVERSION ? "written by a later release" : "not readable");
        pos += UNIT_HEAD + n;
    }
    return SV_OK;
}

/* Writes zeros over what is left of a torn batch, so that it is never read again. Needs no new blocks: this must
 * succeed on a full disk. */
static sv_status cut(reader *r, int fd, size_t at, sv_str file)
{
    SV_LOG(SV_WARN, "journal-cut", LF_TXT("file", r->name), LF_INT("offset", at),
           LF_INT("last", r->j->last));
    static const char zeros[4096];
    size_t end = file.n;
    while (end > at && file.p[end - 1] == 0) end--;
    while (at < end) {
        const size_t n = end - at < sizeof zeros ? end - at : sizeof zeros;
        if (pwrite(fd, zeros, n, (off_t)at) != (ssize_t)n) break;
        at += n;
    }
    if (at < end || fdatasync(fd) != 0)
        return svi_err(r->err, SV_EIO, "%s: can't cut the torn end: %s", r->name, strerror(errno));
    return SV_OK;
}

/* Reads one segment from memory; *at_out: behind its last whole batch. */
static sv_status segment_units(reader *r, sv_str file, uint32_t seed, bool newest, size_t *at_out,
                               bool *torn_out)
{
    svi_journal *j = r->j;
    size_t at = HEADER;
    batch b;
    r->last_at = at;
    while (batch_read(j, seed, file, at, &b) && b.first == j->last + 1) {
        const sv_status st = batch_units(r, &b, at);
        if (st != SV_OK) return st;
        j->last = b.last;
        r->last_at = at;
        at += HEAD + b.payload.n;
    }
    static const char zeros[HEAD];
    const size_t left = file.n - at;
    const bool clean = memcmp(file.p + at, zeros, left < HEAD ? left : HEAD) == 0;
    size_t where = 0;
    if (!clean && !newest && !r->loose)
        return svi_err(r->err, SV_EIO, "%s: damaged at offset %zu", r->name, at);
    const bool later = (newest || r->loose) && later_batch(j, seed, file, at, j->last, &where);
    if (later && !r->loose)
        return svi_err(r->err, SV_EIO, "%s: damaged at offset %zu (whole batches follow at %zu)",
                       r->name, at, where);
    *at_out = at;
    *torn_out = !clean || later;
    return SV_OK;
}

/* What is read here counts as committed, but a worker that was killed, or whose sync failed, left its last batch in
 * memory only. After a failed sync the kernel takes those pages for clean: they are written again before they are synced.
 * `end` is where that batch ends. */
static sv_status settle(const reader *r, int fd, sv_str file, size_t end)
{
    static const char zeros[HEAD];
    const size_t room = file.n - end < HEAD ? file.n - end : HEAD, n = end - r->last_at;
    if (pwrite(fd, file.p + r->last_at, n, (off_t)r->last_at) != (ssize_t)n ||
        pwrite(fd, zeros, room, (off_t)end) != (ssize_t)room || fdatasync(fd) != 0)
        return svi_err(r->err, SV_EIO, "%s: can't make sure of its end: %s", r->name,
                       strerror(errno));
    return SV_OK;
}

static sv_status file_read(reader *r, int fd, size_t size, char *to)
{
    for (size_t got = 0; got < size;) {
        const ssize_t n = pread(fd, to + got, size - got, (off_t)got);
        if (n <= 0)
            return svi_err(r->err, SV_EIO, "%s: can't read at offset %zu: %s", r->name, got,
                           n < 0 ? strerror(errno) : "file ends");
        got += (size_t)n;
    }
    return SV_OK;
}

/* Reads the segment whose name says `first`; keeps the newest one open for writing. */
static sv_status segment_open(reader *r, uint64_t first, bool newest)
{
    svi_journal *j = r->j;
    svi_journal_name(first, r->name);
    const int fd = openat(j->config.dir_fd, r->name, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int why = errno;
        if (fd >= 0) close(fd);
        return svi_err(r->err, SV_EIO, "%s: %s", r->name, strerror(why));
    }
    const size_t size = (size_t)st.st_size;
    char *data = svi_alloc_raw(j->config.acct, size + 1);
    const sv_str file = {data, size};
    uint64_t said = 0;
    size_t at = 0;
    bool torn = false;
    sv_status status = file_read(r, fd, size, data);
    if (status == SV_OK) status = header_read(j, r->name, file, &said, &r->loose, &j->seed, r->err);
    if (status == SV_OK && said != first)
        status = svi_err(r->err, SV_EIO, "%s: its header says it begins with %llu", r->name,
                         (unsigned long long)said);
    if (status == SV_OK) status = segment_units(r, file, j->seed, newest, &at, &torn);
    if (status == SV_OK && torn) status = cut(r, fd, at, file);
    /* all others were synced before the next began */
    if (status == SV_OK && j->config.sync && (newest || r->loose)) status = settle(r, fd, file, at);
    svi_free(data);
    if (status == SV_OK)
        svi_journal_add(j, (segment){.first = first, .last = j->last, .bytes = size});
    if (status != SV_OK || !newest) {
        close(fd);
        return status;
    }
    j->fd = fd;
    j->at = r->loose == !j->config.sync ? at
                                        : size; /* a segment is of one kind: else the next begins */
    j->end = size;
    return SV_OK;
}

static int number_cmp(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* First numbers of all segments there are, sorted; removes empty ones that were in reserve. */
static sv_status list(svi_journal *j, uint64_t **numbers_out, size_t *count_out, sv_err *err)
{
    const int fd = openat(j->config.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) return svi_err(err, SV_EIO, "can't list the store's folder: %s", strerror(errno));
    uint64_t *numbers = NULL;
    size_t n = 0, cap = 0;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (strncmp(e->d_name, "spare-", 6) == 0) unlinkat(j->config.dir_fd, e->d_name, 0);
        if (strncmp(e->d_name, "journal-", 8) != 0) continue;
        char *end;
        const uint64_t first = strtoull(e->d_name + 8, &end, 16);
        if (*end != 0 || first == 0) continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 16;
            numbers = svi_realloc(j->config.acct, numbers, cap * sizeof *numbers);
        }
        numbers[n++] = first;
    }
    closedir(dir);
    if (n > 1) qsort(numbers, n, sizeof *numbers, number_cmp);
    *numbers_out = numbers;
    *count_out = n;
    return SV_OK;
}

static void segment_remove(reader *r, uint64_t first)
{
    svi_journal_name(first, r->name);
    unlinkat(r->j->config.dir_fd, r->name, 0);
}

/* Reads the segments in order; gaps are damage, except behind a loose one: there the journal ends. */
static sv_status replay_all(reader *r, const uint64_t *numbers, size_t count)
{
    svi_journal *j = r->j;
    if (numbers[0] > r->folded + 1)
        return svi_err(r->err, SV_EIO,
                       "the journal begins with unit %llu, but the index ends at %llu",
                       (unsigned long long)numbers[0], (unsigned long long)r->folded);
    j->last = numbers[0] - 1;
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] != j->last + 1 && r->loose) {
            while (i < count) segment_remove(r, numbers[i++]);
            break;
        }
        if (numbers[i] != j->last + 1)
            return svi_err(r->err, SV_EIO, "units %llu to %llu are missing in the journal",
                           (unsigned long long)j->last + 1, (unsigned long long)numbers[i] - 1);
        const sv_status st = segment_open(r, numbers[i], i + 1 == count);
        if (st != SV_OK) return st;
    }
    return SV_OK;
}

/* The index is ahead (a loose journal lost its end in a power cut): go on behind it in a new segment. */
static sv_status start_behind_index(reader *r)
{
    svi_journal *j = r->j;
    SV_LOG(SV_WARN, "journal-behind-index", LF_INT("last", j->last), LF_INT("folded", r->folded));
    j->last = r->folded;
    if (j->fd >= 0) close(j->fd);
    j->fd = -1;
    for (size_t i = 0; i < j->segment_count; i++) segment_remove(r, j->segments[i].first);
    j->segment_count = 0;
    j->bytes = 0;
    if (fsync(j->config.dir_fd) != 0)
        return svi_err(r->err, SV_EIO, "can't sync the store's folder: %s", strerror(errno));
    return SV_OK;
}

static sv_status replay(reader *r)
{
    svi_journal *j = r->j;
    uint64_t *numbers = NULL;
    size_t count = 0, from = 0;
    sv_status st = list(j, &numbers, &count, r->err);
    if (st != SV_OK) return st;
    /* what is wholly folded is not read; its removal may have got lost */
    while (from + 1 < count && numbers[from + 1] <= r->folded + 1)
        segment_remove(r, numbers[from++]);
    if (count > 0) st = replay_all(r, numbers + from, count - from);
    svi_free(numbers);
    return st == SV_OK && j->last < r->folded ? start_behind_index(r) : st;
}

sv_status svi_journal_replay(svi_journal *j, uint64_t folded,
                             sv_status (*unit)(void *ctx, uint64_t number, sv_str record),
                             void *ctx, sv_err *err)
{
    reader r = {.j = j, .folded = folded, .unit = unit, .ctx = ctx, .err = err};
    return replay(&r);
}
