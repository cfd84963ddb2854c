/* The network as a whole, on the router thread: start, turn, flush, end. */
#include "net/net.h"

#include <unistd.h>

#include "base/base_assert.h"
#include "net/net_int.h"

#define RING_SLOTS ((size_t)1024)
#define WINDOW_BYTES ((size_t)65536)
#define TURN_US 20000 /* of events from one I/O thread; then timers and what was put off have their say */

sv_status svi_net_new(const svi_net_config *config, svi_net **net_out, sv_err *err)
{
    SV_ASSERT(config->acct != NULL && config->plat != NULL && config->calls != NULL);
    SV_ASSERT(config->wake != NULL && config->atoms != NULL);
    svi_net *net = svi_alloc(config->acct, sizeof *net);
    net->magic = SVI_NET_MAGIC;
    net->config = *config;
    if (net->config.ring_slots == 0) net->config.ring_slots = RING_SLOTS;
    if (net->config.window_bytes == 0) net->config.window_bytes = WINDOW_BYTES;
    svi_chain_init(&net->conns);
    svi_chain_init(&net->listeners);
    net->io_count = config->io_threads > 0 ? config->io_threads : 1;
    net->ios = svi_alloc(config->acct, net->io_count * sizeof *net->ios);
    for (unsigned i = 0; i < net->io_count; i++) {
        const sv_status st = svi_io_start(&net->ios[i], net, i, err);
        if (st == SV_OK) continue;
        svi_net_free(&net);
        return st;
    }
    *net_out = net;
    return SV_OK;
}

static size_t deliver_done(svi_io *io)
{
    size_t n = 0;
    svi_mail_link *link = svi_mail_take(&io->done);
    for (; link != NULL; n++) {
        svi_out *out = (svi_out *)(void *)link; /* first member */
        link = link->next;
        svi_conn_done(out);
    }
    return n;
}

/* The clock costs a few ns; a platform without one has no time that passes. */
static int64_t coarse_us(const svi_net *net)
{
    const svi_plat *plat = net->config.plat;
    return plat->coarse_us != NULL ? plat->coarse_us(plat->ctx) : 0;
}

/* The ring is looked at before the mail, so that of each event read here the nodes finished
 * before it are seen, and these are delivered first. */
static size_t deliver(svi_io *io, size_t max)
{
    const size_t ready = svi_ring_ready(io->ring);
    const size_t most = max != 0 && max < ready ? max : ready;
    const size_t done = deliver_done(io);
    const int64_t until_us = coarse_us(io->net) + TURN_US;
    size_t n = 0;
    while (n < most) {
        const svi_ring_item event = *svi_ring_at(io->ring, n++);
        svi_conn_event(&event);
        if (coarse_us(io->net) > until_us) break;
    }
    svi_io_release(io, n);
    if (n < ready && !atomic_exchange(&io->net->notified, true))
        io->net->config.wake(io->net->config.ctx);
    return done + n;
}

static size_t deliver_open(svi_net *net)
{
    size_t n = 0;
    for (svi_conn *conn = svi_conn_list_shift(&net->opening); conn != NULL;
         conn = svi_conn_list_shift(&net->opening)) {
        svi_conn_open(conn);
        n++;
    }
    return n;
}

size_t svi_net_turn(svi_net *net, size_t max)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    SV_ASSERT(!net->in_turn);
    atomic_store(&net->notified, false);
    size_t did = deliver_open(net);
    net->in_turn = true;
    if (net->config.io_threads == 0) did += svi_io_turn(&net->ios[0]);
    net->in_turn = false;
    for (unsigned i = 0; i < net->io_count; i++) did += deliver(&net->ios[i], max);
    return did;
}

int64_t svi_net_due_us(const svi_net *net)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    if (net->config.io_threads > 0 || net->config.loop != NULL) return INT64_MAX;
    return net->ios[0].timer_us != 0 ? net->ios[0].timer_us : INT64_MAX;
}

void svi_net_flush(svi_net *net)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    for (svi_conn *conn = svi_conn_list_shift(&net->dirty); conn != NULL;
         conn = svi_conn_list_shift(&net->dirty))
        svi_conn_collect(conn);
    for (unsigned i = 0; i < net->io_count; i++) svi_io_post(&net->ios[i]);
}

/* After the thread has ended: what it reported last. Nodes are told, events are not: nobody
 * could act on them. */
static void drain(svi_io *io)
{
    if (io->ring == NULL) return;
    (void)deliver_done(io);
    const size_t ready = svi_ring_ready(io->ring);
    for (size_t i = 0; i < ready; i++) {
        const svi_ring_item *event = svi_ring_at(io->ring, i);
        svi_conn *conn = event->who;
        if (event->kind == SVI_EV_CLOSED)
            conn->r.why = (svi_closed_why)event->arg;
        else if (event->kind != SVI_EV_REAPED)
            svi_ev_drop(event);
    }
    svi_ring_release(io->ring, ready);
}

/* A connection that was never handed to its thread still has its link. */
static void close_unopened(svi_conn *conn)
{
    if (conn->io.link != NULL) conn->io.link->ops->close(conn->io.link);
    conn->io.link = NULL;
    if (conn->io.fd >= 0) (void)close(conn->io.fd);
    conn->io.fd = -1;
}

void svi_net_free(svi_net **net)
{
    svi_net *n = *net;
    if (n == NULL) return;
    *net = NULL;
    SV_CHECK(n, SVI_NET_MAGIC);
    svi_net_flush(n);
    for (unsigned i = 0; i < n->io_count; i++) svi_io_stop(&n->ios[i]);
    for (svi_chain *link = n->conns.next; link != &n->conns; link = link->next)
        SVI_OF(svi_conn, r.all, link)->r.closing = true;
    for (unsigned i = 0; i < n->io_count; i++) drain(&n->ios[i]);
    while (!svi_chain_empty(&n->conns)) {
        svi_conn *conn = SVI_OF(svi_conn, r.all, n->conns.next);
        close_unopened(conn);
        svi_conn_abandon(conn);
    }
    while (!svi_chain_empty(&n->listeners)) {
        svi_listener *listener = SVI_OF(svi_listener, all, n->listeners.next);
        svi_net_unlisten(n, &listener);
    }
    for (unsigned i = 0; i < n->io_count; i++) svi_io_free(&n->ios[i]);
    svi_free(n->ios);
    n->magic = 0;
    svi_free(n);
}

void svi_net_stats_get(const svi_net *net, svi_net_stats *stats_out)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    *stats_out = (svi_net_stats){.accepted = net->accepted, .open = net->open};
    for (unsigned i = 0; i < net->io_count; i++) {
        svi_io *io = &net->ios[i];
        stats_out->handshakes += atomic_load_explicit(&io->handshakes, memory_order_relaxed);
        stats_out->records_out += atomic_load_explicit(&io->records_out, memory_order_relaxed);
        stats_out->bytes_in += atomic_load_explicit(&io->bytes_in, memory_order_relaxed);
        stats_out->bytes_out += atomic_load_explicit(&io->bytes_out, memory_order_relaxed);
        stats_out->ring_full += atomic_load_explicit(&io->ring_full, memory_order_relaxed);
    }
}
