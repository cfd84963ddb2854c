/* The router's half of a connection: what waits behind the window, what goes out at the next
 * flush, and what comes back. */
#include "base/base_assert.h"
#include "base/base_log.h"
#include "net/net_int.h"

/* --- lists of nodes ---------------------------------------------------------------------------------- */

void svi_outs_add(svi_outs *outs, svi_out *out)
{
    out->mail.next = NULL;
    out->prev = outs->last;
    if (outs->last != NULL)
        outs->last->mail.next = &out->mail;
    else
        outs->first = out;
    outs->last = out;
}

void svi_outs_remove(svi_outs *outs, svi_out *out)
{
    svi_out *next = svi_out_next(out);
    if (out->prev != NULL)
        out->prev->mail.next = out->mail.next;
    else
        outs->first = next;
    if (next != NULL)
        next->prev = out->prev;
    else
        outs->last = out->prev;
    out->mail.next = NULL;
    out->prev = NULL;
}

svi_out *svi_outs_shift(svi_outs *outs)
{
    svi_out *out = outs->first;
    if (out != NULL) svi_outs_remove(outs, out);
    return out;
}

void svi_outs_append(svi_outs *outs, svi_outs *take)
{
    if (take->first == NULL) return;
    if (outs->last == NULL) {
        *outs = *take;
    } else {
        outs->last->mail.next = &take->first->mail;
        take->first->prev = outs->last;
        outs->last = take->last;
    }
    *take = (svi_outs){NULL, NULL};
}

void svi_out_free(svi_out *out)
{
    if (out->stanza != NULL) svi_stanza_unref(&out->stanza);
    svi_free(out);
}

static svi_out *out_new(svi_conn *conn, svi_out_kind kind, const void *bytes, size_t n)
{
    svi_out *out = svi_alloc_raw(conn->net->config.acct, sizeof *out + n);
    memset(out, 0, sizeof *out);
    out->conn = conn;
    out->kind = (uint8_t)kind;
    out->n = n;
    if (n > 0) memcpy(out->bytes, bytes, n);
    return out;
}

/* --- lists of connections ------------------------------------------------------------------------------ */

void svi_conn_list_add(svi_conn_list *list, svi_conn *conn)
{
    conn->r.next_listed = NULL;
    if (list->last != NULL)
        list->last->r.next_listed = conn;
    else
        list->first = conn;
    list->last = conn;
}

svi_conn *svi_conn_list_shift(svi_conn_list *list)
{
    svi_conn *conn = list->first;
    if (conn == NULL) return NULL;
    list->first = conn->r.next_listed;
    if (list->first == NULL) list->last = NULL;
    conn->r.next_listed = NULL;
    return conn;
}

static void mark_dirty(svi_conn *conn)
{
    if (conn->r.dirty) return;
    conn->r.dirty = true;
    svi_conn_list_add(&conn->net->dirty, conn);
}

/* --- out ------------------------------------------------------------------------------------------------- */

static void make_ready(svi_conn *conn, svi_out *out)
{
    conn->r.below_bytes += out->cost_bytes;
    if (out->kind == SVI_OUT_LAST) conn->r.last_moved = true;
    svi_outs_add(&conn->r.ready, out);
    mark_dirty(conn);
}

/* In the order of output: behind what waits, and behind the window if it takes room there. */
static void enqueue(svi_conn *conn, svi_out *out)
{
    svi_conn_router *r = &conn->r;
    const bool fits = out->cost_bytes == 0 || r->below_bytes < conn->net->config.window_bytes;
    const bool sealed = r->last_moved || r->closed;
    r->queued_bytes += out->cost_bytes;
    if (r->waiting.first == NULL && fits && !sealed) {
        make_ready(conn, out);
    } else {
        svi_outs_add(&r->waiting, out);
        r->backed_up = true;
    }
}

static void refill(svi_conn *conn)
{
    svi_conn_router *r = &conn->r;
    const size_t window = conn->net->config.window_bytes;
    while (r->waiting.first != NULL && !r->last_moved && !r->closed &&
           (r->below_bytes < window || r->waiting.first->cost_bytes == 0))
        make_ready(conn, svi_outs_shift(&r->waiting));
    if (!r->backed_up || r->closing || r->waiting.first != NULL || r->below_bytes >= window) return;
    r->backed_up = false;
    conn->net->config.calls->drained(conn->net->config.ctx, conn);
}

void svi_conn_write(svi_conn *conn, sv_str bytes)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    if (conn->r.closing || bytes.n == 0) return;
    svi_out *out = out_new(conn, SVI_OUT_BYTES, bytes.p, bytes.n);
    out->cost_bytes = bytes.n;
    enqueue(conn, out);
}

void svi_conn_send(svi_conn *conn, const sv_stanza *stanza, const svi_head *head, uint64_t token)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    const sv_str to = head != NULL ? head->to : SV_STR_NONE;
    svi_out *out = out_new(conn, SVI_OUT_STANZA, to.p, to.n);
    out->has_to = to.p != NULL;
    out->stanza = svi_stanza_ref(stanza);
    out->token = token;
    out->cost_bytes = svi_stanza_held_bytes(stanza);
    /* Behind SVI_OUT_LAST, so it never moves and is reported unwritten in its turn. */
    enqueue(conn, out);
}

size_t svi_conn_queued_bytes(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return conn->r.queued_bytes;
}

svi_out *svi_conn_waiting(svi_conn *conn, svi_out *after)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    svi_out *out = after == NULL ? conn->r.waiting.first : svi_out_next(after);
    while (out != NULL && out->kind != SVI_OUT_STANZA) out = svi_out_next(out);
    return out;
}

const sv_stanza *svi_out_stanza(const svi_out *out)
{
    SV_ASSERT(out->kind == SVI_OUT_STANZA);
    return out->stanza;
}

uint64_t svi_conn_waiting_drop(svi_conn *conn, svi_out *out)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    SV_ASSERT(out->conn == conn && out->kind == SVI_OUT_STANZA);
    const uint64_t token = out->token;
    conn->r.queued_bytes -= out->cost_bytes;
    svi_outs_remove(&conn->r.waiting, out);
    svi_out_free(out);
    return token;
}

int64_t svi_conn_heard_us(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return atomic_load_explicit(&conn->heard_us, memory_order_relaxed);
}

const char *svi_conn_tls_reason(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return conn->tls_reason ? conn->tls_reason : "unknown";
}

/* --- orders ------------------------------------------------------------------------------------------------ */

static void order(svi_conn *conn, svi_out_kind kind, uint64_t number, sv_str bytes)
{
    svi_out *out = out_new(conn, kind, bytes.p, bytes.n);
    out->number = number;
    make_ready(conn, out);
}

void svi_conn_go(svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    if (!conn->r.closing) order(conn, SVI_OUT_GO, 0, SV_STR_NONE);
}

void svi_conn_restart(svi_conn *conn, const svi_xml_limits *limits)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    if (conn->r.closing) return;
    order(conn, SVI_OUT_RESTART, 0, (sv_str){(const char *)limits, sizeof *limits});
}

void svi_conn_starttls(svi_conn *conn, sv_str host)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    SV_ASSERT(conn->tls != NULL);
    if (!conn->r.closing) enqueue(conn, out_new(conn, SVI_OUT_STARTTLS, host.p, host.n));
}

void svi_conn_free_run(svi_conn *conn, const svi_xml_limits *limits, size_t credit_bytes,
                       size_t rate)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    SV_ASSERT(credit_bytes > 0);
    if (conn->r.closing) return;
    conn->r.credit_total = credit_bytes;
    const svi_free_run terms = {.limits = *limits, .credit_bytes = credit_bytes, .rate = rate};
    order(conn, SVI_OUT_FREE_RUN, 0, (sv_str){(const char *)&terms, sizeof terms});
}

void svi_conn_credit(svi_conn *conn, size_t cost_bytes)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    svi_conn_router *r = &conn->r;
    if (r->closing || cost_bytes == 0) return;
    r->credit_back += cost_bytes;
    /* Small change is kept until it is worth a node or one goes anyway; the thread never runs
     * dry by it, since what is kept back is less than a quarter of all. */
    if (r->credit_back >= r->credit_total / 4) mark_dirty(conn);
}

void svi_conn_close(svi_conn *conn, sv_str last_bytes, unsigned within_ms)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    if (conn->r.closing) return;
    order(conn, SVI_OUT_CLOSE_BY, within_ms, SV_STR_NONE);
    if (within_ms > 0)
        enqueue(conn, out_new(conn, SVI_OUT_LAST, last_bytes.p, last_bytes.n));
    else
        conn->r.last_moved = true;
    conn->r.closing = true;
}

void svi_conn_collect(svi_conn *conn)
{
    svi_conn_router *r = &conn->r;
    r->dirty = false;
    if (r->credit_back > 0 && !r->closing) {
        svi_out *out = out_new(conn, SVI_OUT_CREDIT, NULL, 0);
        out->number = r->credit_back;
        r->credit_back = 0;
        svi_outs_add(&r->ready, out);
    }
    svi_outs_append(&conn->thread->outbound, &r->ready);
}

/* --- what comes back ------------------------------------------------------------------------------------------ */

static void report_done(svi_conn *conn, svi_out *take)
{
    const svi_net_config *config = &conn->net->config;
    SV_ASSERT(conn->r.queued_bytes >= take->cost_bytes);
    conn->r.queued_bytes -= take->cost_bytes;
    if (take->kind == SVI_OUT_STANZA)
        config->calls->sent(config->ctx, conn, take->token, take->written, take->stanza);
    svi_out_free(take);
}

void svi_conn_done(svi_out *take)
{
    svi_conn *conn = take->conn;
    SV_CHECK(conn, SVI_CONN_MAGIC);
    SV_ASSERT(conn->r.below_bytes >= take->cost_bytes);
    conn->r.below_bytes -= take->cost_bytes;
    report_done(conn, take);
    refill(conn);
}

/* Everything that never reached the thread, in order. */
static void report_unwritten(svi_conn *conn, svi_outs *outs)
{
    for (svi_out *out = svi_outs_shift(outs); out != NULL; out = svi_outs_shift(outs)) {
        out->written = false;
        report_done(conn, out);
    }
}

static void conn_free(svi_conn *conn)
{
    SV_ASSERT(conn->io.outs.first == NULL && conn->io.link == NULL && conn->io.ssl == NULL);
    svi_net *net = conn->net;
    conn->thread->conn_count--;
    net->open--;
    svi_chain_del(&conn->r.all);
    svi_tls_unref(&conn->tls);
    svi_listener_unref(conn->listener);
    svi_free(conn->r.info);
    svi_str_free(&conn->r.proxy);
    conn->magic = 0;
    svi_free(conn);
}

static void on_reaped(svi_conn *conn)
{
    const svi_net_config *config = &conn->net->config;
    SV_ASSERT(conn->r.closed && !conn->r.dirty && conn->r.ready.first == NULL);
    conn->r.below_bytes = 0;
    report_unwritten(conn, &conn->r.waiting);
    SV_ASSERT(conn->r.queued_bytes == 0);
    config->calls->closed(config->ctx, conn, conn->r.why);
    conn_free(conn);
}

void svi_ev_drop(const svi_ring_item *event)
{
    if (event->kind == SVI_EV_HEADER || event->kind == SVI_EV_STANZA) {
        sv_stanza *stanza = event->what;
        svi_stanza_unref(&stanza);
        return;
    }
    if (event->kind == SVI_EV_TLS) svi_peer_unref(&((svi_tls_info *)event->what)->peer);
    svi_free(event->what);
}

static void on_closed(svi_conn *conn, svi_closed_why why)
{
    SV_ASSERT(!conn->r.closed);
    order(conn, SVI_OUT_REAP, 0, SV_STR_NONE);
    conn->r.closing = true;
    conn->r.closed = true;
    conn->r.why = why;
}

/* A proxy that is set up wrongly fails for each of its clients: the log gets a few of them, and with the
 * first of the next few how many it did not get. */
static void log_refused(const svi_conn *conn, const svi_proxy_told *told)
{
    svi_net *net = conn->net;
    const svi_plat *plat = net->config.plat;
    const int64_t now_us = plat->mono_us(plat->ctx);
    uint64_t left_out = 0;
    if (net->proxy_logs == 0 || now_us - net->proxy_logs_us >= SVI_PROXY_LOGS_US) {
        if (net->proxy_logs > SVI_PROXY_LOGS) left_out = net->proxy_logs - SVI_PROXY_LOGS;
        net->proxy_logs_us = now_us;
        net->proxy_logs = 0;
    }
    if (++net->proxy_logs > SVI_PROXY_LOGS) return;
    const sv_str begins = {told->bytes, told->n};
    SV_LOG(SV_WARN, "proxy-refused", LF_STR("proxy", conn->r.proxy), LF_TXT("reason", told->why),
           LF_STR("begins", begins), LF_INT("left_out", left_out));
}

static void on_proxy(svi_conn *conn, const svi_proxy_told *told)
{
    const svi_net_config *config = &conn->net->config;
    if (told->why != NULL)
        log_refused(conn, told);
    else
        config->calls->peer(config->ctx, conn, told->peer);
    svi_str_free(&conn->r.proxy);
}

void svi_conn_event(const svi_ring_item *event)
{
    svi_conn *conn = event->who;
    SV_CHECK(conn, SVI_CONN_MAGIC);
    const svi_net_calls *calls = conn->net->config.calls;
    void *ctx = conn->net->config.ctx;
    if (event->kind == SVI_EV_CLOSED) {
        on_closed(conn, (svi_closed_why)event->arg);
    } else if (event->kind == SVI_EV_REAPED) {
        on_reaped(conn);
    } else if (conn->r.closing) {
        svi_ev_drop(event);
    } else if (event->kind == SVI_EV_STANZA) {
        calls->stanza(ctx, conn, event->what, event->n);
    } else if (event->kind == SVI_EV_HEADER) {
        calls->header(ctx, conn, event->what);
    } else if (event->kind == SVI_EV_PROXY) {
        on_proxy(conn, event->what);
        svi_ev_drop(event);
    } else if (event->kind == SVI_EV_TLS) {
        calls->tls(ctx, conn, event->what);
        svi_ev_drop(event);
    } else if (event->kind == SVI_EV_END) {
        calls->end(ctx, conn);
    } else {
        SV_ASSERT(event->kind == SVI_EV_FAULT);
        calls->fault(ctx, conn, (svi_xml_fault)event->arg, event->what);
        svi_ev_drop(event);
    }
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static svi_io *least_loaded(svi_net *net)
{
    svi_io *best = &net->ios[0];
    for (unsigned i = 1; i < net->io_count; i++)
        if (net->ios[i].conn_count < best->conn_count) best = &net->ios[i];
    return best;
}

static svi_conn_info *info_new(const svi_listener *listener, const char *peer, bool is_relayed)
{
    svi_conn_info *info = svi_alloc(listener->net->config.acct, sizeof *info);
    info->listener = listener;
    info->listener_ctx = listener->ctx;
    info->loopback = listener->loopback && !is_relayed;
    info->is_relayed = is_relayed;
    info->tls_mode = listener->mode;
    const size_t n = strnlen(peer, sizeof info->peer - 1);
    memcpy(info->peer, peer, n);
    return info;
}

svi_conn *svi_conn_new(svi_net *net, svi_listener *listener, const char *peer,
                       const struct sockaddr *from)
{
    svi_conn *conn = svi_alloc(net->config.acct, sizeof *conn);
    conn->magic = SVI_CONN_MAGIC;
    conn->net = net;
    conn->thread = least_loaded(net);
    conn->thread->conn_count++;
    conn->listener = listener;
    listener->refs++;
    conn->direct_tls = listener->mode == SVI_TLS_DIRECT;
    if (listener->tls != NULL) conn->tls = svi_tls_ref(listener->tls);
    conn->number = ++net->next_number;
    conn->is_relayed = svi_subnets_have(listener->proxies, listener->proxy_count, from);
    if (conn->is_relayed) conn->r.proxy = svi_str_dup(net->config.acct, sv_str_of(peer));
    conn->r.info = info_new(listener, peer, conn->is_relayed);
    svi_chain_add(&net->conns, &conn->r.all);
    svi_chain_init(&conn->io.all);
    svi_chain_init(&conn->io.active);
    svi_chain_init(&conn->io.blocked);
    svi_chain_init(&conn->io.timed);
    conn->io.fd = -1;
    net->accepted++;
    net->open++;
    svi_outs_add(&conn->r.ready, out_new(conn, SVI_OUT_OPEN, NULL, 0));
    conn->r.dirty = true;
    svi_conn_list_add(&net->opening, conn);
    return conn;
}

void svi_conn_open(svi_conn *conn)
{
    const svi_net_config *config = &conn->net->config;
    config->calls->open(config->ctx, conn, conn->r.info);
    svi_free(conn->r.info);
    conn->r.info = NULL;
    svi_conn_list_add(&conn->net->dirty, conn);
}

void svi_conn_abandon(svi_conn *conn)
{
    const svi_net_config *config = &conn->net->config;
    const bool was_reported = conn->r.info == NULL;
    if (!conn->r.closed) conn->r.why = SVI_CLOSED_NET_STOP;
    conn->r.closing = conn->r.closed = true;
    if (conn->io.parked.kind != SVI_EV_NONE) svi_ev_drop(&conn->io.parked);
    report_unwritten(conn, &conn->r.ready);
    report_unwritten(conn, &conn->r.waiting);
    if (was_reported) config->calls->closed(config->ctx, conn, conn->r.why);
    conn_free(conn);
}

void svi_conn_set_ctx(svi_conn *conn, void *ctx)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    conn->r.ctx = ctx;
}

void *svi_conn_ctx(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return conn->r.ctx;
}

svi_link *svi_conn_link(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return conn->io.link;
}

uint64_t svi_conn_number(const svi_conn *conn)
{
    SV_CHECK(conn, SVI_CONN_MAGIC);
    return conn->number;
}
