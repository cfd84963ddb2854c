/* Writing the journal: batches, segments and their reuse. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "store/store_journal_impl.h"

void svi_journal_name(uint64_t first, char to[NAME_MAX_BYTES])
{
    snprintf(to, NAME_MAX_BYTES, "journal-%016llx", (unsigned long long)first);
}

void svi_journal_add(svi_journal *j, segment s)
{
    if (j->segment_count == j->segment_cap) {
        j->segment_cap = j->segment_cap ? j->segment_cap * 2 : 8;
        j->segments =
            svi_realloc(j->config.acct, j->segments, j->segment_cap * sizeof *j->segments);
    }
    j->segments[j->segment_count++] = s;
    j->bytes += s.bytes;
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
    svi_journal_name(s->first, name);
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
        put_le(svi_buf_space(&j->buf, UNIT_HEAD), records[i].n, UNIT_HEAD);
        j->buf.len += UNIT_HEAD;
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
    svi_journal_name(first, name);
    if (!j->config.sync && j->files.fdatasync(j->files.ctx, j->fd) != 0)
        return broke(j, err, "sync");
    if (renameat(j->config.dir_fd, spare, j->config.dir_fd, name) != 0)
        return broke(j, err, "rename");
    if (fsync(j->config.dir_fd) != 0) return broke(j, err, "folder sync");
    pthread_mutex_lock(&j->lock);
    /* an empty one of the other kind began with the same unit: the name is the new one's now */
    if (j->segment_count > 0 && j->segments[j->segment_count - 1].first == first)
        j->bytes -= j->segments[--j->segment_count].bytes;
    svi_journal_add(j, (segment){.first = first, .last = first - 1, .bytes = j->end});
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
    const sv_status st = svi_journal_replay(j, folded, unit, ctx, err);
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
