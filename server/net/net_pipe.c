/* One connection's work on its I/O thread: handshake, reading, parsing, closing. Writing is in
 * net_output.c. */
#include <errno.h>
#include <openssl/err.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "net/net_int.h"

/* --- what the parser reports --------------------------------------------------------------------------- */

static void hold(svi_conn *conn, unsigned why)
{
    conn->io.hold = (uint8_t)(conn->io.hold | why);
}

/* Inside the parser's callback: it must not look at another byte if there is a reason to wait. */
static void pause_if_held(svi_conn *conn)
{
    if (conn->io.hold == 0 || (conn->io.hold & SVI_HOLD_OVER) != 0) return;
    conn->io.parser_paused = true;
    svi_parser_pause(conn->io.parser);
}

static void on_header(void *ctx, sv_stanza *take)
{
    svi_conn *conn = ctx;
    if (conn->io.lock_step) hold(conn, SVI_HOLD_STEP);
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_HEADER, .what = take});
    pause_if_held(conn);
}

static void on_stanza(void *ctx, sv_stanza *take)
{
    svi_conn *conn = ctx;
    size_t cost = 0;
    if (conn->io.lock_step) {
        hold(conn, SVI_HOLD_STEP);
    } else {
        cost = svi_stanza_cost_bytes(take);
        conn->io.credit -= (int64_t)cost;
        if (conn->io.credit <= 0) hold(conn, SVI_HOLD_CREDIT);
    }
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_STANZA, .what = take, .n = cost});
    pause_if_held(conn);
}

static void on_end(void *ctx)
{
    svi_conn *conn = ctx;
    hold(conn, SVI_HOLD_OVER);
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_END});
}

static void on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    svi_conn *conn = ctx;
    const sv_str copy = svi_str_dup(conn->net->config.acct, sv_str_of(text != NULL ? text : ""));
    hold(conn, SVI_HOLD_OVER);
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_FAULT,
                                         .arg = (uint32_t)fault,
                                         .what = (void *)(uintptr_t)copy.p});
}

static const svi_parser_calls parser_calls = {
    .header = on_header,
    .stanza = on_stanza,
    .end = on_end,
    .fault = on_fault,
};

static size_t feed(svi_conn *conn, const char *bytes, size_t n)
{
    svi_conn_io *io = &conn->io;
    if (io->parser == NULL)
        io->parser = svi_parser_new(conn->net->config.acct, conn->net->config.atoms,
                                    &conn->listener->limits, &parser_calls, conn);
    io->fed = true;
    const size_t used = svi_parser_feed(io->parser, (sv_str){bytes, n});
    SV_ASSERT(used <= n && (used == n || io->hold != 0));
    return used;
}

/* --- the PROXY header -------------------------------------------------------------------------------------- */

static void tell_proxy(svi_conn *conn)
{
    const svi_proxy *proxy = conn->io.proxy;
    svi_proxy_told *told = svi_alloc(conn->net->config.acct, sizeof *told);
    told->why = proxy->why;
    memcpy(told->peer, proxy->peer, sizeof told->peer);
    if (told->why != NULL) {
        told->n = proxy->n < sizeof told->bytes ? proxy->n : sizeof told->bytes;
        memcpy(told->bytes, proxy->bytes, told->n);
    }
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_PROXY, .what = told});
}

/* The peer is gone. Who connects and closes only asked whether we are there. */
static void proxy_ends(svi_conn *conn, ssize_t got)
{
    svi_proxy *proxy = conn->io.proxy;
    if (proxy->n > 0) {
        proxy->why = "the connection ends within it";
        tell_proxy(conn);
    }
    svi_pipe_drop(conn, got == 0 ? SVI_CLOSED_BY_PEER : SVI_CLOSED_ERROR);
}

/* False when nothing more is to be done now: the link has no more, or the connection is dead. */
static bool read_proxy(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    char bytes[SVI_PROXY_MAX_BYTES];
    size_t wanted;
    while ((wanted = svi_proxy_wants(io->proxy)) > 0) {
        if (!io->readable) return false;
        const ssize_t got = io->link->ops->read(io->link, bytes, wanted);
        if (got == -EAGAIN) {
            io->readable = false;
        } else if (got <= 0) {
            proxy_ends(conn, got);
            return false;
        } else {
            svi_count_add(&conn->thread->bytes_in, (uint64_t)got);
            (void)svi_proxy_feed(io->proxy, bytes, (size_t)got);
        }
    }
    const bool is_refused = io->proxy->state == SVI_PROXY_REFUSED;
    if (is_refused || io->proxy->peer[0] != '\0') tell_proxy(conn);
    if (is_refused) svi_pipe_drop(conn, SVI_CLOSED_PROXY);
    return !is_refused;
}

static void start_stream(svi_conn *conn)
{
    conn->io.state = SVI_IO_OPEN;
    svi_io_activate(conn);
    if (conn->direct_tls) svi_pipe_begin_tls(conn);
}

/* The header comes before everything, TLS included; what is behind it stays in the link. */
static void pipe_proxy(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    if (io->proxy != NULL && !read_proxy(conn)) return;
    svi_free(io->proxy);
    io->proxy = NULL;
    io->readable = false; /* the header was; of what is behind it the poll tells */
    /* If there is no room in the ring to tell the address, there is none for what comes next. */
    if (io->hold == 0) start_stream(conn);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

static void drop_carry(svi_conn *conn)
{
    svi_free(conn->io.carry);
    conn->io.carry = NULL;
    conn->io.carry_at = conn->io.carry_n = 0;
}

static void feed_carry(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    io->carry_at += (uint32_t)feed(conn, io->carry + io->carry_at, io->carry_n - io->carry_at);
    if (io->carry_at == io->carry_n || (io->hold & SVI_HOLD_OVER) != 0) drop_carry(conn);
}

static void feed_fresh(svi_conn *conn, const char *bytes, size_t n)
{
    svi_conn_io *io = &conn->io;
    const size_t used = feed(conn, bytes, n);
    if (used == n || (io->hold & SVI_HOLD_OVER) != 0) return;
    SV_ASSERT(io->carry == NULL);
    io->carry_n = (uint32_t)(n - used);
    io->carry = svi_alloc_raw(conn->net->config.acct, io->carry_n);
    memcpy(io->carry, bytes + used, io->carry_n);
}

/* A failed SSL call as an errno: -EAGAIN, 0 for the peer's end, else broken. */
static ssize_t tls_failure(svi_conn *conn, int rc)
{
    switch (SSL_get_error(conn->io.ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        /* ended while it was read (net_tls.c on_info) */
        return SSL_get_shutdown(conn->io.ssl) & SSL_RECEIVED_SHUTDOWN ? 0 : -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        conn->io.blocked_out = true;
        conn->io.more =
            true; /* whatever it was, it is to be tried again when the link takes bytes */
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SSL:
        /* An end without close_notify; XMPP frames its data itself, so this is an end like any
         * other. */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) return 0;
        return -EPROTO;
    default: return -ECONNRESET;
    }
}

static ssize_t pipe_get(svi_conn *conn, char *to, size_t n)
{
    svi_conn_io *io = &conn->io;
    if (io->ssl == NULL) {
        /* The poll tells if there is more. */
        io->readable = false;
        return io->link->ops->read(io->link, to, n);
    }
    ERR_clear_error();
    io->link->tls_dry = false;
    const int got = SSL_read(io->ssl, to, (int)n);
    /* OpenSSL 3.5 comes back behind each key update and says that it wants more, though more lies in its
     * buffer: it does only if it has asked the link in vain. */
    io->more = got > 0 ? SSL_has_pending(io->ssl) == 1 : !io->link->tls_dry;
    io->readable = false;
    return got > 0 ? got : tls_failure(conn, got);
}

ssize_t svi_pipe_put(svi_conn *conn, const char *from, size_t n)
{
    svi_conn_io *io = &conn->io;
    if (io->ssl == NULL) return io->link->ops->write(io->link, from, n);
    ERR_clear_error();
    const int put = SSL_write(io->ssl, from, (int)n);
    if (put > 0) return put;
    const ssize_t failed = tls_failure(conn, put);
    return failed == 0 ? -EPIPE : failed;
}

/* --- rate ------------------------------------------------------------------------------------------------- */

static void set_rate(svi_conn *conn, size_t rate)
{
    const int64_t most = INT64_MAX / SVI_BURST_S / 1000000;
    svi_purse *purse = &conn->io.purse;
    purse->rate = rate > (size_t)most ? most : (int64_t)rate;
    purse->left = purse->rate * SVI_BURST_S;
    purse->at_us = conn->thread->now_us;
}

/* Adds what time has brought. True if there is something left. */
static bool fill(svi_purse *purse, int64_t now_us)
{
    const int64_t full = purse->rate * SVI_BURST_S, for_us = now_us - purse->at_us;
    const bool is_long = for_us >= SVI_BURST_S * 1000000;
    purse->left += is_long ? full : purse->rate * for_us / 1000000;
    if (purse->left > full) purse->left = full;
    purse->at_us = now_us;
    return purse->left >= 0;
}

static void hold_back(svi_conn *conn)
{
    hold(conn, SVI_HOLD_RATE);
    svi_io_time(conn, &conn->thread->slowed, conn->thread->now_us + SVI_SLOWED_US);
}

/* What was left before a silence is no more than the bound behind it: so the purse is filled first. Not for
 * shorter times, which would bring fractions of a byte. */
static void spend(svi_conn *conn, size_t bytes)
{
    svi_conn_io *io = &conn->io;
    const int64_t now_us = conn->thread->now_us;
    if (io->purse.rate == 0) return;
    if (now_us - io->purse.at_us >= SVI_SLOWED_US) (void)fill(&io->purse, now_us);
    io->purse.left -= (int64_t)bytes;
    if (io->purse.left >= 0 || fill(&io->purse, now_us)) return;
    if (io->state == SVI_IO_OPEN && !io->closing) hold_back(conn);
}

void svi_pipe_slowed(svi_conn *conn)
{
    svi_io_time(conn, NULL, 0);
    if (fill(&conn->io.purse, conn->thread->now_us))
        svi_pipe_unhold(conn, SVI_HOLD_RATE);
    else
        hold_back(conn);
}

static void heard(svi_conn *conn)
{
    atomic_store_explicit(&conn->heard_us, conn->thread->now_us, memory_order_relaxed);
}

static svi_closed_why why_ended(const svi_conn *conn, ssize_t got)
{
    if (conn->io.key_updates > SVI_KEY_UPDATES_MAX) return SVI_CLOSED_UPDATES;
    return got == 0 ? SVI_CLOSED_BY_PEER : SVI_CLOSED_ERROR;
}

/* One read: what it gave, and in *cost_out what it took from the wire. In TLS a record may hold much more
 * padding than text, or no text at all (RFC 8446 5.4), and several may be read at a time. */
static ssize_t get_at_cost(svi_conn *conn, size_t *cost_out)
{
    svi_conn_io *io = &conn->io;
    const uint64_t before = io->link->tls_read;
    const ssize_t got = pipe_get(conn, conn->thread->read_to, SVI_READ_TURN_BYTES);
    *cost_out = (size_t)(io->link->tls_read - before);
    if (io->ssl == NULL && got > 0) *cost_out = (size_t)got;
    return got;
}

/* Reads and parses one turn's share. */
static void pipe_input(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    svi_io *thread = conn->thread;
    size_t left = SVI_READ_TURN_BYTES;
    if (io->hold == 0 && io->parser != NULL && svi_parser_is_ending(io->parser))
        (void)feed(conn, "", 0); /* no byte need come for it */
    while (io->hold == 0 && left > 0 && io->state == SVI_IO_OPEN) {
        if (io->carry != NULL) {
            feed_carry(conn);
            continue;
        }
        if (!io->readable && !io->more) break;
        size_t cost;
        const ssize_t got = get_at_cost(conn, &cost);
        spend(conn, cost);
        if (got == -EAGAIN) break;
        if (got <= 0) {
            svi_pipe_drop(conn, why_ended(conn, got));
            return;
        }
        svi_count_add(&thread->bytes_in, (uint64_t)got);
        heard(conn);
        feed_fresh(conn, thread->read_to, (size_t)got);
        if (cost < (size_t)got) cost = (size_t)got;
        left -= cost < left ? cost : left;
    }
    if (io->hold == 0 && (io->carry != NULL || io->more)) svi_io_activate(conn);
    if (!io->fed || io->closing || (io->hold & SVI_HOLD_RATE) != 0) return;
    io->fed = false;
    svi_io_time(conn, &thread->warm, thread->now_us + SVI_REST_US);
}

/* All is written and our end sent: what still comes is thrown away until the peer's end, so
 * that no reset overtakes our last bytes. */
static void pipe_linger(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    if (!io->readable) return;
    io->readable = false;
    const ssize_t got = io->link->ops->read(io->link, conn->thread->read_to, SVI_READ_TURN_BYTES);
    if (got <= 0 && got != -EAGAIN) svi_pipe_drop(conn, SVI_CLOSED_BY_US);
}

void svi_pipe_rest(svi_conn *conn)
{
    svi_io_time(conn, NULL, 0);
    if (conn->io.hold == 0 && conn->io.carry == NULL && conn->io.parser != NULL)
        (void)svi_parser_rest(conn->io.parser);
}

/* --- readiness ------------------------------------------------------------------------------------------------ */

static void watch(svi_conn *conn, bool read, bool write)
{
    svi_conn_io *io = &conn->io;
    if (io->watch_read == read && io->watch_write == write) return;
    io->watch_read = read;
    io->watch_write = write;
    io->link->ops->want(io->link, read, write);
}

/* Waits for a place among the handshakes. */
static bool is_queued(const svi_conn *conn)
{
    return conn->io.timed.next != &conn->io.timed;
}

static bool takes_input(const svi_conn *conn)
{
    switch (conn->io.state) {
    case SVI_IO_PROXY: return conn->io.proxy != NULL;
    case SVI_IO_OPEN: return conn->io.hold == 0;
    case SVI_IO_TLS_WAIT: return !is_queued(conn);
    case SVI_IO_HANDSHAKE:
    case SVI_IO_LINGER: return true;
    default: return false;
    }
}

static void on_ready(void *ctx, bool readable, bool writable)
{
    svi_conn *conn = ctx;
    if (writable) {
        conn->io.blocked_out = false;
        svi_io_activate(conn);
    }
    if (!readable) return;
    if (takes_input(conn)) {
        conn->io.readable = true;
        svi_io_activate(conn);
    } else {
        /* Held: only now that there is something does it cost a system call not to hear of it. */
        watch(conn, false, conn->io.watch_write);
    }
}

void svi_pipe_unhold(svi_conn *conn, unsigned why)
{
    svi_conn_io *io = &conn->io;
    if ((io->hold & why) == 0) return;
    io->hold = (uint8_t)(io->hold & ~why);
    if (io->hold != 0 || io->state == SVI_IO_DEAD) return;
    if (io->parser_paused) {
        io->parser_paused = false;
        io->fed = true;
        svi_parser_go(io->parser);
    }
    svi_io_activate(conn);
}

/* --- TLS ----------------------------------------------------------------------------------------------------------- */

static void start_handshake(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    conn->thread->tls_now++;
    svi_io_time(conn, &conn->thread->shaking, conn->thread->now_us + SVI_HANDSHAKE_US);
    io->ssl = svi_tls_attach(conn->tls, io->link, io->tls_host.p);
    svi_tls_count_updates(io->ssl, &io->key_updates);
    io->state = SVI_IO_HANDSHAKE;
    svi_io_activate(conn);
}

void svi_pipe_begin_tls(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    SV_ASSERT(io->ssl == NULL && conn->tls != NULL);
    /* Threats T1: nothing that came in plain text is looked at any more. */
    drop_carry(conn);
    svi_parser_free(&io->parser);
    io->parser_paused = false;
    io->hold = (uint8_t)(io->hold & ~(SVI_HOLD_STEP | SVI_HOLD_RATE));
    io->state = SVI_IO_TLS_WAIT;
    svi_io_time(conn, NULL, 0);
    svi_io_activate(conn);
}

/* Its first bytes are there: whoever says nothing holds no place among the handshakes. */
static void admit(svi_conn *conn)
{
    if (conn->thread->tls_now < SVI_HANDSHAKES_MAX)
        start_handshake(conn);
    else
        svi_io_time(conn, &conn->thread->tls_wait, 0);
}

static void leave_handshake(svi_conn *conn)
{
    svi_io *thread = conn->thread;
    SV_ASSERT(thread->tls_now > 0);
    thread->tls_now--;
    if (svi_chain_empty(&thread->tls_wait)) return;
    start_handshake(SVI_OF(svi_conn, io.timed, thread->tls_wait.next));
}

static void handshake_done(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    svi_io_time(conn, NULL, 0);
    leave_handshake(conn);
    svi_count_add(&conn->thread->handshakes, 1);
    io->state = SVI_IO_OPEN;
    io->more = SSL_has_pending(io->ssl) == 1;
    svi_tls_info *info = svi_alloc(conn->net->config.acct, sizeof *info);
    svi_tls_describe(io->ssl, info);
    svi_peers *peers = svi_tls_peers(conn->tls);
    if (peers != NULL) info->peer = svi_peers_judge(peers, io->ssl);
    svi_io_report(conn, &(svi_ring_item){.kind = SVI_EV_TLS, .what = info});
}

/* OpenSSL's own words; they live as long as the process. */
static void handshake_failed(svi_conn *conn, ssize_t why)
{
    if (why == -EAGAIN) return;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (why == 0) reason = "the peer closed the connection";
    svi_pipe_shake_off(conn, reason ? reason : "the connection failed");
}

void svi_pipe_shake_off(svi_conn *conn, const char *reason)
{
    conn->tls_reason = reason;
    svi_pipe_drop(conn, SVI_CLOSED_TLS);
}

static void pipe_handshake(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    if (!io->readable && (!io->more || io->blocked_out)) return;
    if (conn->thread->tls_steps == 0) {
        svi_io_activate(conn);
        return;
    }
    conn->thread->tls_steps--;
    io->readable = io->more = false;
    ERR_clear_error();
    const int rc = SSL_do_handshake(io->ssl);
    if (rc == 1)
        handshake_done(conn);
    else
        handshake_failed(conn, tls_failure(conn, rc));
}

/* --- closing ---------------------------------------------------------------------------------------------------------- */

void svi_pipe_end(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    hold(conn, SVI_HOLD_OVER);
    if (io->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(io->ssl);
    }
    io->link->ops->shut(io->link);
    io->state = SVI_IO_LINGER;
    io->readable = true;
    svi_io_activate(conn);
}

static void close_by(svi_conn *conn, uint64_t within_ms)
{
    svi_conn_io *io = &conn->io;
    if (io->state == SVI_IO_DEAD) return;
    /* Before the end of a handshake nothing can be written: the peer would not understand it. Nor may
     * anything be before the end of a PROXY header. */
    if (within_ms == 0 || io->state == SVI_IO_HANDSHAKE || io->state == SVI_IO_TLS_WAIT ||
        io->state == SVI_IO_PROXY) {
        svi_pipe_drop(conn, SVI_CLOSED_BY_US);
        return;
    }
    hold(conn, SVI_HOLD_OVER);
    io->closing = true;
    drop_carry(conn);
    svi_io_time(conn, &conn->thread->closing, conn->thread->now_us + (int64_t)within_ms * 1000);
}

void svi_pipe_overdue(svi_conn *conn)
{
    svi_pipe_drop(conn, conn->io.state == SVI_IO_LINGER ? SVI_CLOSED_BY_US : SVI_CLOSED_ERROR);
}

static void release(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    SSL_free(io->ssl);
    io->ssl = NULL;
    svi_str_free(&io->tls_host);
    if (io->link != NULL) io->link->ops->close(io->link);
    io->link = NULL;
    if (io->fd >= 0) (void)close(io->fd);
    io->fd = -1;
    svi_free(io->proxy);
    io->proxy = NULL;
    svi_parser_free(&io->parser);
    drop_carry(conn);
    svi_free(io->rest);
    io->rest = NULL;
    io->rest_at = io->rest_n = 0;
}

void svi_pipe_drop(svi_conn *conn, svi_closed_why why)
{
    svi_conn_io *io = &conn->io;
    if (io->state == SVI_IO_DEAD) return;
    svi_io_time(conn, NULL, 0);
    svi_chain_del(&io->active);
    if (io->state == SVI_IO_HANDSHAKE) leave_handshake(conn);
    io->state = SVI_IO_DEAD;
    io->why = (uint8_t)why;
    release(conn);
    for (svi_out *out = svi_outs_shift(&io->outs); out != NULL; out = svi_outs_shift(&io->outs))
        svi_io_finish(conn->thread, out, false);
    io->unput = NULL;
    io->closed_due = true;
    svi_io_report_end(conn);
}

/* --- nodes from the router ------------------------------------------------------------------------------------------------ */

static void take_over(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    svi_io *thread = conn->thread;
    svi_chain_add(&thread->conns, &io->all);
    io->lock_step = true;
    heard(conn);
    set_rate(conn, conn->listener->rate);
    if (io->fd >= 0) {
        io->link = svi_link_socket(conn->net->config.acct, thread->loop, io->fd);
        if (io->link == NULL) {
            svi_pipe_drop(conn, SVI_CLOSED_ERROR);
            return;
        }
        io->fd = -1; /* the link's */
    }
    io->link->ctx = conn;
    io->link->ready = on_ready;
    if (!conn->is_relayed) {
        start_stream(conn);
        return;
    }
    io->proxy = svi_alloc_raw(conn->net->config.acct, sizeof *io->proxy);
    svi_proxy_init(io->proxy);
    io->state = SVI_IO_PROXY;
    svi_io_activate(conn);
}

static void free_run(svi_conn *conn, const svi_out *out)
{
    svi_conn_io *io = &conn->io;
    svi_free_run terms;
    SV_ASSERT(out->n == sizeof terms);
    memcpy(&terms, out->bytes, sizeof terms);
    io->lock_step = false;
    io->credit_max = terms.credit_bytes > INT64_MAX ? INT64_MAX : (int64_t)terms.credit_bytes;
    io->credit = io->credit_max;
    set_rate(conn, terms.rate);
    if (io->parser != NULL) svi_parser_set_limits(io->parser, &terms.limits);
    svi_pipe_unhold(conn, SVI_HOLD_STEP);
}

static void restart(svi_conn *conn, const svi_out *out)
{
    svi_conn_io *io = &conn->io;
    svi_xml_limits limits;
    SV_ASSERT(out->n == sizeof limits);
    memcpy(&limits, out->bytes, sizeof limits);
    if (io->parser != NULL) {
        svi_parser_set_limits(io->parser, &limits);
        if (io->parser_paused) svi_parser_go(io->parser);
        io->parser_paused = false;
        svi_parser_restart(io->parser);
    }
    svi_pipe_unhold(conn, SVI_HOLD_STEP);
}

static void add_credit(svi_conn *conn, uint64_t bytes)
{
    svi_conn_io *io = &conn->io;
    const int64_t missing = io->credit_max - io->credit;
    io->credit = bytes > (uint64_t)missing ? io->credit_max : io->credit + (int64_t)bytes;
    if (io->credit > 0) svi_pipe_unhold(conn, SVI_HOLD_CREDIT);
}

/* An order that is done at once. */
static void obey(svi_conn *conn, const svi_out *out)
{
    switch ((svi_out_kind)out->kind) {
    case SVI_OUT_OPEN: take_over(conn); break;
    case SVI_OUT_GO: svi_pipe_unhold(conn, SVI_HOLD_STEP); break;
    case SVI_OUT_RESTART: restart(conn, out); break;
    case SVI_OUT_FREE_RUN: free_run(conn, out); break;
    case SVI_OUT_CREDIT: add_credit(conn, out->number); break;
    case SVI_OUT_CLOSE_BY: close_by(conn, out->number); break;
    default:
        SV_ASSERT(out->kind == SVI_OUT_REAP && conn->io.state == SVI_IO_DEAD);
        conn->io.reaped_due = true;
    }
}

void svi_pipe_take(svi_conn *conn, svi_out *take)
{
    svi_conn_io *io = &conn->io;
    SV_CHECK(conn, SVI_CONN_MAGIC);
    const bool ordered = take->kind <= SVI_OUT_LAST;
    if (!ordered) {
        const bool reap = take->kind == SVI_OUT_REAP;
        obey(conn, take);
        svi_io_finish(conn->thread, take, true);
        if (reap) svi_io_report_end(conn);
    } else if (io->state == SVI_IO_DEAD) {
        svi_io_finish(conn->thread, take, false);
    } else {
        svi_outs_add(&io->outs, take);
        if (io->unput == NULL) io->unput = take;
        svi_io_activate(conn);
    }
}

void svi_pipe_work(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    if (io->state == SVI_IO_PROXY) pipe_proxy(conn);
    if (io->state == SVI_IO_TLS_WAIT && io->readable && !is_queued(conn)) admit(conn);
    if (io->state == SVI_IO_HANDSHAKE) pipe_handshake(conn);
    if (io->state == SVI_IO_OPEN) svi_pipe_output(conn);
    if (io->state == SVI_IO_OPEN && io->hold == 0) pipe_input(conn);
    if (io->state == SVI_IO_LINGER) pipe_linger(conn);
    if (io->state == SVI_IO_DEAD) return;
    watch(conn, io->watch_read || takes_input(conn), io->blocked_out);
}
