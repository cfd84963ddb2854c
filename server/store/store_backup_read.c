/* Reading a backup: each frame is checked before it is handed out. */
#include <errno.h>
#include <unistd.h>

#include "store/store_backup_impl.h"

#define READ_BYTES (64u << 10)

struct svi_backup_reader {
    svi_acct *acct;
    int fd;
    svi_crc crc;
    uint32_t seed, format;
    svi_buf in; /* what was read; the frame handed out is at its front */
    size_t taken; /* of it, by the frame handed out */
    uint64_t at;  /* offset in the file of what is at the front */
    bool began, informed, ended;
    uint64_t commit, newest; /* INFO's; the newest unit's number */
    uint64_t rows, units;
};

svi_backup_reader *svi_backup_reader_new(svi_acct *acct, int fd)
{
    svi_backup_reader *r = svi_alloc(acct, sizeof *r);
    r->acct = acct;
    r->fd = fd;
    svi_crc_init(&r->crc);
    svi_buf_init(&r->in, acct);
    return r;
}

void svi_backup_reader_free(svi_backup_reader **take)
{
    svi_backup_reader *r = *take;
    *take = NULL;
    if (!r) return;
    svi_buf_free(&r->in);
    svi_free(r);
}

static sv_status damaged(const svi_backup_reader *r, sv_err *err, const char *what)
{
    return svi_err(err, SV_EIO, "the backup is damaged at offset %llu: %s",
                   (unsigned long long)r->at, what);
}

/* Reads until there are `n` bytes at the front: SV_ENOTFOUND if the file ends before. */
static sv_status fill(svi_backup_reader *r, size_t n, sv_err *err)
{
    while (r->in.len < n) {
        const size_t want = n - r->in.len > READ_BYTES ? n - r->in.len : READ_BYTES;
        const ssize_t got = read(r->fd, svi_buf_space(&r->in, want), want);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) /* of a socket with a limit */
            return svi_err(err, SV_ETIMEOUT, "nothing more of the backup came for too long");
        if (got < 0) return svi_err(err, SV_EIO, "can't read the backup: %s", strerror(errno));
        if (got == 0) return SV_ENOTFOUND;
        r->in.len += (size_t)got;
    }
    return SV_OK;
}

static sv_status cut_off(const svi_backup_reader *r, sv_err *err)
{
    return svi_err(err, SV_EIO, "the backup is cut off at offset %llu: it was never finished, or "
                   "only a part of it was copied", (unsigned long long)(r->at + r->in.len));
}

static sv_status header(svi_backup_reader *r, sv_err *err)
{
    const sv_status st = fill(r, SVI_BACKUP_HEADER, err);
    if (st == SV_EIO) return st;
    const char *p = r->in.data;
    if (r->in.len == 0) return svi_err(err, SV_EINVAL, "it is empty, so no backup of stave");
    if (r->in.len < 8 || memcmp(p, SVI_BACKUP_MAGIC, 8) != 0)
        return svi_err(err, SV_EINVAL, "it is no backup of stave");
    if (st != SV_OK) return cut_off(r, err);
    const uint32_t format = (uint32_t)svi_get_le(p + 8, 4);
    r->seed = svi_crc32c(&r->crc, 0, p, 12);
    if (r->seed != svi_get_le(p + 12, 4)) return damaged(r, err, "its header");
    r->format = format;
    if (format < SVI_BACKUP_FORMAT_OLDEST || format > SVI_BACKUP_FORMAT)
        return svi_err(err, SV_EVERSION,
                       "the backup has format %u, this release knows formats %u to %u: use the release that "
                       "made it%s",
                       format, SVI_BACKUP_FORMAT_OLDEST, SVI_BACKUP_FORMAT, format > SVI_BACKUP_FORMAT ? ", or a later one" : "");
    r->began = true;
    return SV_OK;
}

/* Takes a text with its length (2 bytes) off the front. */
static bool take_text(sv_str *rest, sv_str *out)
{
    if (rest->n < 2) return false;
    const size_t n = (size_t)svi_get_le(rest->p, 2);
    if (rest->n - 2 < n) return false;
    *out = (sv_str){rest->p + 2, n};
    *rest = (sv_str){rest->p + 2 + n, rest->n - 2 - n};
    return true;
}

static bool take_number(sv_str *rest, uint64_t *out)
{
    if (rest->n < 8) return false;
    *out = svi_get_le(rest->p, 8);
    *rest = (sv_str){rest->p + 8, rest->n - 8};
    return true;
}

/* Operations of a record, -1 if one makes no sense here. */
static int64_t count_ops(sv_str record, bool puts_only)
{
    svi_op op;
    int64_t n = 0;
    sv_status st;
    for (size_t pos = 0; (st = svi_record_next(record, &pos, &op)) == SV_OK; n++) {
        if (puts_only && op.kind != SVI_OP_PUT) return -1;
        svi_map_row row;
        if (op.map == 0 && op.kind == SVI_OP_PUT && !svi_map_row_read(op.value, &row)) return -1;
    }
    return st == SV_ENOTFOUND ? n : -1;
}

static bool take_info(svi_backup_reader *r, sv_str rest, svi_frame *f)
{
    uint64_t wall;
    if (r->informed || !take_number(&rest, &wall) || !take_number(&rest, &f->commit) ||
        !take_text(&rest, &f->host) || !take_text(&rest, &f->version))
        return false;
    f->wall_us = (int64_t)wall;
    r->informed = true;
    r->commit = r->newest = f->commit;
    return rest.n == 0;
}

static bool take_unit(svi_backup_reader *r, sv_str rest, svi_frame *f)
{
    if (!take_number(&rest, &f->number) || f->number <= r->newest) return false;
    f->record = rest;
    r->newest = f->number;
    r->units++;
    return count_ops(rest, false) >= 0;
}

static bool take_rows(svi_backup_reader *r, sv_str rest, svi_frame *f)
{
    const int64_t n = count_ops(rest, true);
    if (n < 0) return false;
    f->record = rest;
    r->rows += (uint64_t)n;
    return true;
}

static bool take_end(svi_backup_reader *r, sv_str rest, svi_frame *f)
{
    r->ended = take_number(&rest, &f->commit) && take_number(&rest, &f->rows) &&
               take_number(&rest, &f->units) && rest.n == 0 && f->rows == r->rows &&
               f->units == r->units && f->commit >= r->newest;
    return r->ended;
}

static sv_status take_content(svi_backup_reader *r, sv_str rest, svi_frame *f, sv_err *err)
{
    bool is_good = false;
    if (!r->informed && f->kind != SVI_FRAME_INFO && f->kind != SVI_FRAME_FAILED)
        return damaged(r, err, "it does not say what it is of");
    switch (f->kind) {
    case SVI_FRAME_INFO: is_good = take_info(r, rest, f); break;
    case SVI_FRAME_SECRET:
        is_good = take_text(&rest, &f->name);
        f->value = rest;
        break;
    case SVI_FRAME_ROWS: is_good = take_rows(r, rest, f); break;
    case SVI_FRAME_UNIT: is_good = take_unit(r, rest, f); break;
    case SVI_FRAME_END: is_good = take_end(r, rest, f); break;
    case SVI_FRAME_FAILED:
        return svi_err(err, SV_ECANCELED, "the backup was not finished: %.*s",
                       rest.n < 200 ? (int)rest.n : 200, rest.p);
    }
    return is_good ? SV_OK : damaged(r, err, "its content makes no sense");
}

static sv_status end_of_file(svi_backup_reader *r, sv_err *err)
{
    const sv_status st = fill(r, 1, err);
    if (st == SV_OK) return damaged(r, err, "something follows its end");
    return st;
}

sv_status svi_backup_next(svi_backup_reader *r, svi_frame *frame_out, sv_err *err)
{
    svi_buf_consume(&r->in, r->taken);
    r->at += r->taken;
    r->taken = 0;
    if (r->ended) return end_of_file(r, err);
    sv_status st = r->began ? SV_OK : header(r, err);
    if (st != SV_OK) return st;
    const size_t before = r->at == 0 ? SVI_BACKUP_HEADER : 0;
    st = fill(r, before + SVI_FRAME_HEAD, err);
    if (st != SV_OK) return st == SV_ENOTFOUND ? cut_off(r, err) : st;
    const size_t n = (size_t)svi_get_le(r->in.data + before + 4, 4);
    if (n > SVI_BACKUP_FRAME_MAX) return damaged(r, err, "a length is out of bounds");
    st = fill(r, before + SVI_FRAME_HEAD + n, err);
    if (st != SV_OK) return st == SV_ENOTFOUND ? cut_off(r, err) : st;
    const char *p = r->in.data + before;
    const uint32_t crc = svi_frame_crc(&r->crc, r->seed, p, SVI_FRAME_HEAD + n);
    if (crc != svi_get_le(p + 8, 4)) return damaged(r, err, "a checksum does not fit");
    if (svi_get_le(p + 1, 3) != 0 || p[0] < SVI_FRAME_INFO || p[0] > SVI_FRAME_FAILED)
        return damaged(r, err, "there is no such kind of frame");
    r->seed = crc;
    r->taken = before + SVI_FRAME_HEAD + n;
    *frame_out = (svi_frame){.kind = (svi_frame_kind)p[0], .format = r->format, .raw = {r->in.data, r->taken}};
    return take_content(r, (sv_str){p + SVI_FRAME_HEAD, n}, frame_out, err);
}
