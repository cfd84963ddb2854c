/* Segments of the journal: reading at start, appending, reuse.
 *
 * A batch is written only after the one before it was synced. So if a valid batch follows a broken one, the broken one
 * was whole once and is damage; if none follows, it is the torn end of the last write and was never acknowledged. */
#include "store/store_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "base/base_str.h"

#define MAGIC "STAVEJNL"
#define FORMAT 1u
#define HEADER 64u
#define HEAD 24u /* of a batch */
#define LOOSE 1u /* flag of a segment: its batches were not synced */
#define NAME_MAX_BYTES 40
#define BUFFER_KEPT (1u << 20)

typedef struct segment {
    uint64_t first, last; /* numbers in it; last < first while empty */
    uint64_t bytes;
} segment;

struct svi_journal {
    svi_journal_config config;
    svi_file_ops files;
    svi_crc crc;
    svi_buf buf;  /* the batch under construction */
    int fd;       /* of the newest segment, -1: none yet */
    uint64_t at;  /* where the next batch goes */
    uint64_t end; /* size of the newest segment */
    uint32_t seed;
    uint64_t last; /* newest number written */
    bool broken;

    pthread_mutex_t lock; /* for what follows */
    segment *segments;
    size_t segment_count, segment_cap;
    int next_fd; /* an empty one in reserve, -1: none */
    uint64_t next_bytes;
    char next_name[NAME_MAX_BYTES];
    unsigned next_number;
    _Atomic uint64_t bytes;
};

/* --- bytes ----------------------------------------------------------------------------------------- */

static void put_le(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (char)(value >> (8 * i));
}

static uint64_t get_le(const char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

static void segment_name(uint64_t first, char to[NAME_MAX_BYTES])
{
    snprintf(to, NAME_MAX_BYTES, "journal-%016llx", (unsigned long long)first);
}

static ssize_t kernel_pwrite(void *ctx, int fd, const void *data, size_t bytes, off_t at)
{
    (void)ctx;
    return pwrite(fd, data, bytes, at);
}

static int kernel_fdatasync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd);
}

static int kernel_fallocate(void *ctx, int fd, off_t bytes)
{
    (void)ctx;
    return fallocate(fd, 0, 0, bytes);
}

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

/* Whether a whole batch with a number above `number` begins anywhere at or behind `at`. */
static bool later_batch(const svi_journal *j, uint32_t seed, sv_str file, size_t at,
                        uint64_t number, size_t *where_out)
{
    for (; file.n - at > HEAD; at++) {
        const char *p = file.p + at;
        uint64_t first, last;
        memcpy(&first, p + 8, 8);
        if (first == 0) continue; /* preallocated zeros, quickly */
        first = get_le(p + 8, 8);
        last = get_le(p + 16, 8);
        batch b;
        if (first <= number || last < first || last - first > file.n) continue;
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
    if (format > FORMAT)
        return svi_err(err, SV_EVERSION, "%s: journal format %u, this release knows up to %u", name,
                       format, FORMAT);
    *seed_out = svi_crc32c(&j->crc, 0, file.p, HEADER - 4);
    if (*seed_out != (uint32_t)get_le(file.p + HEADER - 4, 4))
        return svi_err(err, SV_EIO, "%s: damaged journal header", name);
    *loose_out = get_le(file.p + 12, 4) & LOOSE;
    *first_out = get_le(file.p + 16, 8);
    return SV_OK;
}

static void header_make(const svi_journal *j, uint64_t first, char to[HEADER], uint32_t *seed_out)
{
    memset(to, 0, HEADER);
    memcpy(to, MAGIC, 8);
    put_le(to + 8, FORMAT, 4);
    put_le(to + 12, j->config.sync ? 0 : LOOSE, 4);
    put_le(to + 16, first, 8);
    *seed_out = svi_crc32c(&j->crc, 0, to, HEADER - 4);
    put_le(to + HEADER - 4, *seed_out, 4);
}

/* --- replay ---------------------------------------------------------------------------------------- */

typedef struct reader {
    svi_journal *j;
    uint64_t folded;
    sv_status (*unit)(void *ctx, uint64_t number, sv_str record);
    void *ctx;
    sv_err *err;
    char name[NAME_MAX_BYTES];
    bool loose; /* the segment at hand: after a power cut any of it may be missing */
} reader;

static sv_status batch_units(reader *r, const batch *b, size_t at)
{
    size_t pos = 0;
    for (uint64_t number = b->first; number <= b->last; number++) {
        const size_t left = b->payload.n - pos;
        const size_t n = left < 4 ? SIZE_MAX : (size_t)get_le(b->payload.p + pos, 4);
        if (n > left - 4)
            return svi_err(r->err, SV_EIO, "%s: batch at offset %zu holds no unit %llu", r->name,
                           at, (unsigned long long)number);
        const sv_str record = {b->payload.p + pos + 4, n};
        const sv_status st = number <= r->folded ? SV_OK : r->unit(r->ctx, number, record);
        if (st != SV_OK)
            return svi_err(r->err, st, "%s: unit %llu in the batch at offset %zu: %s", r->name,
                           (unsigned long long)number, at,
                           st == SV_EVERSION ? "written by a later release" : "not readable");
        pos += 4 + n;
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
    while (batch_read(j, seed, file, at, &b) && b.first == j->last + 1) {
        const sv_status st = batch_units(r, &b, at);
        if (st != SV_OK) return st;
        j->last = b.last;
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

static void segment_add(svi_journal *j, segment s)
{
    if (j->segment_count == j->segment_cap) {
        j->segment_cap = j->segment_cap ? j->segment_cap * 2 : 8;
        j->segments =
            svi_realloc(j->config.acct, j->segments, j->segment_cap * sizeof *j->segments);
    }
    j->segments[j->segment_count++] = s;
    j->bytes += s.bytes;
}

/* Reads the segment whose name says `first`; keeps the newest one open for writing. */
static sv_status segment_open(reader *r, uint64_t first, bool newest)
{
    svi_journal *j = r->j;
    segment_name(first, r->name);
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
    svi_free(data);
    if (status == SV_OK) segment_add(j, (segment){.first = first, .last = j->last, .bytes = size});
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
    segment_name(first, r->name);
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

/* --- segments in reserve --------------------------------------------------------------------------- */

/* Lock held. A name that replay ignores. */
static void spare_name(svi_journal *j, char to[NAME_MAX_BYTES])
{
    snprintf(to, NAME_MAX_BYTES, "spare-%u", j->next_number++);
}

/* Makes an empty segment of `bytes`. Takes its time; without the lock. */
static sv_status spare_make(const svi_journal *j, uint64_t bytes, const char *name, int *fd_out)
{
    const int fd = openat(j->config.dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errno == ENOSPC ? SV_ENOSPC : SV_EIO;
    if (j->files.fallocate(j->files.ctx, fd, (off_t)bytes) != 0) {
        const int why = errno;
        close(fd);
        unlinkat(j->config.dir_fd, name, 0);
        return why == ENOSPC ? SV_ENOSPC : SV_EIO;
    }
    *fd_out = fd;
    return SV_OK;
}

/* Lock held. Keeps the file as the spare one if there is none, else removes it. */
static void segment_retire(svi_journal *j, const segment *s)
{
    char name[NAME_MAX_BYTES];
    segment_name(s->first, name);
    j->bytes -= s->bytes;
    if (j->next_fd < 0 && s->bytes == j->config.segment_bytes) {
        spare_name(j, j->next_name);
        if (renameat(j->config.dir_fd, name, j->config.dir_fd, j->next_name) == 0) {
            j->next_fd = openat(j->config.dir_fd, j->next_name, O_RDWR | O_CLOEXEC);
            j->next_bytes = s->bytes;
            return;
        }
    }
    unlinkat(j->config.dir_fd, name, 0);
}

sv_status svi_journal_folded(svi_journal *j, uint64_t last)
{
    pthread_mutex_lock(&j->lock);
    size_t gone = 0;
    while (gone + 1 < j->segment_count /* the newest is being written */ &&
           j->segments[gone].last <= last)
        segment_retire(j, &j->segments[gone++]);
    j->segment_count -= gone;
    if (gone > 0) memmove(j->segments, j->segments + gone, j->segment_count * sizeof *j->segments);
    char name[NAME_MAX_BYTES];
    const bool wanted = j->next_fd < 0;
    spare_name(j, name);
    pthread_mutex_unlock(&j->lock);
    if (!wanted) return SV_OK;
    int fd = -1;
    const sv_status st = spare_make(j, j->config.segment_bytes, name, &fd);
    if (st != SV_OK) return st;
    pthread_mutex_lock(&j->lock); /* nobody else puts one there */
    SV_ASSERT(j->next_fd < 0);
    j->next_fd = fd;
    j->next_bytes = j->config.segment_bytes;
    memcpy(j->next_name, name, NAME_MAX_BYTES);
    pthread_mutex_unlock(&j->lock);
    return SV_OK;
}

uint64_t svi_journal_bytes(const svi_journal *j)
{
    return j->bytes;
}

/* --- writing --------------------------------------------------------------------------------------- */

static sv_status broke(svi_journal *j, sv_err *err, const char *what)
{
    const int why = errno;
    j->broken = true;
    return svi_err(err, why == ENOSPC ? SV_ENOSPC : SV_EIO, "journal %s: %s", what, strerror(why));
}

/* The batch with its head, and a zero head behind it, into j->buf. */
static void batch_make(svi_journal *j, uint64_t first, const sv_str *records, size_t count)
{
    svi_buf_clear(&j->buf);
    memset(svi_buf_space(&j->buf, HEAD), 0, HEAD);
    j->buf.len = HEAD;
    for (size_t i = 0; i < count; i++) {
        put_le(svi_buf_space(&j->buf, 4), records[i].n, 4);
        j->buf.len += 4;
        svi_buf_put(&j->buf, records[i]);
    }
    const size_t n = j->buf.len;
    memset(svi_buf_space(&j->buf, HEAD), 0, HEAD);
    j->buf.len += HEAD;
    put_le(j->buf.data, n - HEAD, 4);
    put_le(j->buf.data + 8, first, 8);
    put_le(j->buf.data + 16, first + count - 1, 8);
}

static void batch_seal(svi_journal *j)
{
    const char *p = j->buf.data;
    const size_t n = j->buf.len - HEAD;
    uint32_t crc = svi_crc32c(&j->crc, j->seed, p, 4);
    crc = svi_crc32c(&j->crc, crc, p + 8, n - 8);
    put_le(j->buf.data + 4, crc, 4);
}

/* Takes the spare segment, or makes one, for a batch of `need` bytes; writes its header. It gets its name when
 * its first batch is synced. */
static sv_status rotate(svi_journal *j, uint64_t first, uint64_t need, char name[NAME_MAX_BYTES],
                        sv_err *err)
{
    int fd = -1;
    uint64_t bytes = j->config.segment_bytes;
    pthread_mutex_lock(&j->lock);
    if (j->next_fd >= 0 && j->next_bytes >= HEADER + need) {
        fd = j->next_fd;
        bytes = j->next_bytes;
        memcpy(name, j->next_name, NAME_MAX_BYTES);
        j->next_fd = -1;
    } else {
        spare_name(j, name);
    }
    pthread_mutex_unlock(&j->lock);
    if (fd < 0) {
        if (bytes < HEADER + need) bytes = HEADER + need;
        if (spare_make(j, bytes, name, &fd) != SV_OK) {
            j->broken = true;
            return svi_err(err, SV_EIO, "no space for a new journal segment");
        }
    }
    if (j->fd >= 0) close(j->fd);
    char header[HEADER];
    header_make(j, first, header, &j->seed);
    j->fd = fd;
    j->at = HEADER;
    j->end = bytes;
    if (j->files.pwrite(j->files.ctx, fd, header, HEADER, 0) != HEADER)
        return broke(j, err, "write");
    return SV_OK;
}

/* Gives the new segment its name and makes that durable, in loose mode as well: a segment always has its header. */
static sv_status rotated(svi_journal *j, uint64_t first, const char *spare, sv_err *err)
{
    char name[NAME_MAX_BYTES];
    segment_name(first, name);
    if (!j->config.sync && j->files.fdatasync(j->files.ctx, j->fd) != 0)
        return broke(j, err, "sync");
    if (renameat(j->config.dir_fd, spare, j->config.dir_fd, name) != 0)
        return broke(j, err, "rename");
    if (fsync(j->config.dir_fd) != 0) return broke(j, err, "folder sync");
    pthread_mutex_lock(&j->lock);
    segment_add(j, (segment){.first = first, .last = first - 1, .bytes = j->end});
    pthread_mutex_unlock(&j->lock);
    return SV_OK;
}

sv_status svi_journal_write(svi_journal *j, uint64_t first, const sv_str *records, size_t count,
                            sv_err *err)
{
    SV_ASSERT(first == j->last + 1 && count > 0);
    if (j->broken) return svi_err(err, SV_EIO, "the journal has failed before");
    batch_make(j, first, records, count);
    /* the zero head behind the batch is not needed where the segment ends */
    const uint64_t need = j->buf.len - HEAD;
    char spare[NAME_MAX_BYTES] = "";
    if (j->fd < 0 || j->at + need > j->end) {
        const sv_status st = rotate(j, first, need, spare, err);
        if (st != SV_OK) return st;
    }
    batch_seal(j);
    const uint64_t room = j->end - j->at;
    const size_t bytes = j->buf.len <= room ? j->buf.len : (size_t)room;
    errno = EIO; /* for a short write */
    if (j->files.pwrite(j->files.ctx, j->fd, j->buf.data, bytes, (off_t)j->at) != (ssize_t)bytes)
        return broke(j, err, "write");
    if (j->config.sync && j->files.fdatasync(j->files.ctx, j->fd) != 0)
        return broke(j, err, "sync");
    if (spare[0]) {
        const sv_status st = rotated(j, first, spare, err);
        if (st != SV_OK) return st;
    }
    j->at += need;
    j->last = first + count - 1;
    pthread_mutex_lock(&j->lock);
    j->segments[j->segment_count - 1].last = j->last;
    pthread_mutex_unlock(&j->lock);
    if (j->buf.cap > BUFFER_KEPT) svi_buf_free(&j->buf);
    return SV_OK;
}

/* --- open and close -------------------------------------------------------------------------------- */

sv_status svi_journal_open(const svi_journal_config *config, uint64_t folded,
                           sv_status (*unit)(void *ctx, uint64_t number, sv_str record), void *ctx,
                           svi_journal **journal_out, sv_err *err)
{
    svi_journal *j = svi_alloc(config->acct, sizeof *j);
    j->config = *config;
    if (config->files) j->files = *config->files;
    if (!j->files.pwrite) j->files.pwrite = kernel_pwrite;
    if (!j->files.fdatasync) j->files.fdatasync = kernel_fdatasync;
    if (!j->files.fallocate) j->files.fallocate = kernel_fallocate;
    svi_crc_init(&j->crc);
    svi_buf_init(&j->buf, config->acct);
    pthread_mutex_init(&j->lock, NULL);
    j->fd = j->next_fd = -1;
    reader r = {.j = j, .folded = folded, .unit = unit, .ctx = ctx, .err = err};
    const sv_status st = replay(&r);
    if (st != SV_OK) {
        svi_journal_close(&j);
        return st;
    }
    *journal_out = j;
    return SV_OK;
}

void svi_journal_close(svi_journal **take)
{
    svi_journal *j = *take;
    *take = NULL;
    if (!j) return;
    if (j->fd >= 0) close(j->fd);
    if (j->next_fd >= 0) close(j->next_fd);
    svi_buf_free(&j->buf);
    svi_free(j->segments);
    pthread_mutex_destroy(&j->lock);
    svi_free(j);
}
