/* Output of a connection on its I/O thread: all that one turn brings is serialised into the
 * thread's scratch buffer and leaves in as few writes, hence TLS records, as it fits in
 * (performance.md: a record costs about 4 us whatever it holds). */
#include <errno.h>

#include "base/base_assert.h"
#include "net/net_int.h"

#define SCRATCH_KEEP_BYTES ((size_t)262144)

/* Serialises waiting nodes until a record is full, nothing is left, or the next must wait for
 * what is before it. */
static void gather(svi_conn *conn, svi_buf *scratch)
{
    svi_conn_io *io = &conn->io;
    while (io->unput != NULL && io->unput->kind != SVI_OUT_STARTTLS &&
           scratch->len < SVI_RECORD_BYTES) {
        svi_out *out = io->unput;
        const size_t before = scratch->len;
        const sv_str bytes = {out->bytes, out->n};
        if (out->kind == SVI_OUT_STANZA) {
            const svi_head head = {.to = out->has_to ? bytes : SV_STR_NONE};
            svi_stanza_write(scratch, out->stanza, SVI_FLAVOUR_CLIENT, &head);
        } else {
            svi_buf_put(scratch, bytes);
        }
        io->put_bytes += scratch->len - before;
        out->end = io->put_bytes;
        io->unput = svi_out_next(out);
    }
}

/* Writes as much as the link takes; returns how much, negative if it broke. */
static ssize_t push(svi_conn *conn, const char *from, size_t n)
{
    svi_conn_io *io = &conn->io;
    svi_io *thread = conn->thread;
    size_t done = 0;
    while (done < n) {
        const size_t left = n - done;
        const ssize_t put =
            svi_pipe_put(conn, from + done, left < SVI_RECORD_BYTES ? left : SVI_RECORD_BYTES);
        if (put == -EAGAIN) {
            io->blocked_out = true;
            break;
        }
        if (put < 0) return put;
        done += (size_t)put;
        svi_count_add(&thread->records_out, 1);
    }
    io->written_bytes += done;
    svi_count_add(&thread->bytes_out, done);
    return (ssize_t)done;
}

static bool push_rest(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    const ssize_t put = push(conn, io->rest + io->rest_at, io->rest_n - io->rest_at);
    if (put < 0) return false;
    io->rest_at += (size_t)put;
    if (io->rest_at == io->rest_n) {
        svi_free(io->rest);
        io->rest = NULL;
        io->rest_at = io->rest_n = 0;
    }
    return true;
}

static bool push_fresh(svi_conn *conn, svi_buf *scratch)
{
    svi_conn_io *io = &conn->io;
    const ssize_t put = push(conn, scratch->data, scratch->len);
    if (put < 0) return false;
    const size_t left = scratch->len - (size_t)put;
    if (left == 0) return true;
    /* OpenSSL wants the bytes of a record that did not go out whole again, so they are kept as
     * they are. */
    io->rest = svi_alloc_raw(conn->net->config.acct, left);
    memcpy(io->rest, scratch->data + put, left);
    io->rest_n = left;
    return true;
}

/* Nodes whose last byte was written go back to the router; true if SVI_OUT_LAST was among them. */
static bool finish_written(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    bool last = false;
    while (io->outs.first != NULL && io->outs.first != io->unput &&
           io->outs.first->end <= io->written_bytes) {
        svi_out *out = svi_outs_shift(&io->outs);
        last = last || out->kind == SVI_OUT_LAST;
        svi_io_finish(conn->thread, out, true);
    }
    return last;
}

static void start_tls(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    svi_out *out = svi_outs_shift(&io->outs);
    SV_ASSERT(out == io->unput && io->rest == NULL);
    io->unput = io->outs.first;
    io->tls_host = svi_str_dup(conn->net->config.acct, (sv_str){out->bytes, out->n});
    svi_io_finish(conn->thread, out, true);
    if (io->closing)
        svi_pipe_drop(conn, SVI_CLOSED_BY_US);
    else
        svi_pipe_begin_tls(conn);
}

/* One round: what is left from before, or a scratch buffer full. False if the connection broke. */
static bool write_some(svi_conn *conn)
{
    svi_buf *scratch = &conn->thread->scratch;
    if (conn->io.rest != NULL) return push_rest(conn);
    svi_buf_clear(scratch);
    gather(conn, scratch);
    const bool ok = push_fresh(conn, scratch);
    if (scratch->cap > SCRATCH_KEEP_BYTES) svi_buf_free(scratch);
    return ok;
}

void svi_pipe_output(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    const uint64_t stop_at = io->written_bytes + SVI_WRITE_TURN_BYTES;
    while (!io->blocked_out && (io->rest != NULL || io->unput != NULL)) {
        if (io->rest == NULL && io->unput->kind == SVI_OUT_STARTTLS) {
            start_tls(conn);
            return;
        }
        if (io->written_bytes >= stop_at) {
            svi_io_activate(conn);
            return;
        }
        if (!write_some(conn)) {
            svi_pipe_drop(conn, SVI_CLOSED_ERROR);
            return;
        }
        if (finish_written(conn)) {
            svi_pipe_end(conn);
            return;
        }
    }
}
