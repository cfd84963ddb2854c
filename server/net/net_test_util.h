/* A world for tests of net: a small router that records what it is told, and clients on memory
 * links (inline, virtual clock) or on socket pairs (inline on a loop, or with I/O threads, and
 * the kernel's clock), so that one test body runs in all ways. */
#ifndef SVI_NET_TEST_UTIL_H
#define SVI_NET_TEST_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "net/net_int.h"

#ifndef CLIENTS
#define CLIENTS 8
#endif
#define SENT_MAX 4096

typedef struct world world;

/* What the router saw of one connection. */
typedef struct seen {
    svi_conn *conn; /* NULL once closed */
    int opened, peers, headers, stanzas, ends, faults, tls, closed, drained;
    char peer[64]; /* what a PROXY header told */
    svi_xml_fault fault;
    svi_closed_why why;
    const char *tls_reason; /* of SVI_CLOSED_TLS */
    svi_tls_info info;
    svi_conn_info info_of_conn;
    size_t owed_bytes; /* credit not given back yet */
    int sent_count;
    uint64_t last_token;
    uint64_t sent[SENT_MAX];
    bool written[SENT_MAX];
    char last_name[64]; /* of the last stanza's root */
    char ids[512];      /* id attributes of all stanzas, joined */
} seen;

typedef struct client {
    svi_link link_of_fd; /* ops on fd */
    int fd;
    svi_link *link;
    SSL *ssl;
    bool shaken; /* handshake done */
    bool deaf;   /* never reads */
    bool at_end, broken;
    svi_buf in, out;
} client;

struct world {
    svi_acct acct;
    svi_plat_virtual clock;
    svi_atoms *atoms;
    const svi_atoms *_Atomic table;
    svi_net *net;
    svi_link_pairs *pairs;
    svi_listener *listener;
    svi_tls *server_tls, *client_tls;
    bool memory;     /* links in memory and a virtual clock, else sockets */
    uv_loop_t *loop; /* the router's, NULL in memory */
    int wake_fd;
    seen conns[CLIENTS];
    client clients[CLIENTS];
    size_t conn_count, client_count;
    size_t credit_bytes; /* given at the first header */
    size_t rate;         /* the same */
    bool stay_in_step;   /* never leave lock-step */
    bool no_go;          /* do not even answer */
    bool keep_credit;
    bool echo;
    int close_at; /* the router closes at this stanza, 0: never */
};

/* --- the router -------------------------------------------------------------------- */

static seen *seen_of(svi_conn *conn)
{
    return svi_conn_ctx(conn);
}

static void r_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    world *w = ctx;
    assert_true(w->conn_count < CLIENTS);
    seen *s = &w->conns[w->conn_count++];
    s->conn = conn;
    s->opened++;
    assert_ptr_equal(info->listener, w->listener);
    assert_ptr_equal(info->listener_ctx, w);
    s->info_of_conn = *info;
    svi_conn_set_ctx(conn, s);
}

static void r_peer(void *ctx, svi_conn *conn, const char *peer)
{
    (void)ctx;
    seen *s = seen_of(conn);
    assert_true(s->info_of_conn.is_relayed);
    assert_int_equal(s->tls + s->headers + s->faults, 0);
    s->peers++;
    (void)snprintf(s->peer, sizeof s->peer, "%s", peer);
}

static void r_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
{
    (void)ctx;
    seen_of(conn)->tls++;
    seen_of(conn)->info = *info;
}

static void answer_step(world *w, svi_conn *conn)
{
    const svi_xml_limits limits = svi_xml_limits_user();
    if (w->no_go) return;
    if (w->stay_in_step)
        svi_conn_go(conn);
    else
        svi_conn_free_run(conn, &limits, w->credit_bytes, w->rate);
}

static void r_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    world *w = ctx;
    seen_of(conn)->headers++;
    svi_stanza_unref(&take);
    svi_conn_write(conn, SV_STR("<stream:stream xmlns='jabber:client' "
                                "xmlns:stream='http://etherx.jabber.org/streams'>"));
    answer_step(w, conn);
}

static void r_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    world *w = ctx;
    seen *s = seen_of(conn);
    const sv_node *root = svi_stanza_root(take);
    const sv_str name = svi_node_name(root);
    const sv_str id = svi_node_attr(root, SV_STR("id"));
    s->stanzas++;
    (void)snprintf(s->last_name, sizeof s->last_name, "%.*s", (int)name.n, name.p);
    const size_t at = strlen(s->ids);
    (void)snprintf(s->ids + at, sizeof s->ids - at, "%.*s", (int)id.n, id.p);
    s->owed_bytes += cost_bytes;
    if (sv_str_eq(name, SV_STR("starttls"))) {
        svi_conn_write(conn, SV_STR("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
        svi_conn_starttls(conn, SV_STR("localhost"));
    } else {
        if (w->echo) svi_conn_send(conn, take, NULL, ++s->last_token);
        if (cost_bytes == 0 && w->stay_in_step && !w->no_go) svi_conn_go(conn);
    }
    if (!w->keep_credit) {
        svi_conn_credit(conn, s->owed_bytes);
        s->owed_bytes = 0;
    }
    svi_stanza_unref(&take);
    if (s->stanzas == w->close_at) svi_conn_close(conn, SV_STR("</stream:stream>"), 1000);
}

static void r_end(void *ctx, svi_conn *conn)
{
    (void)ctx;
    seen_of(conn)->ends++;
}

static void r_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    assert_non_null(text);
    seen_of(conn)->faults++;
    seen_of(conn)->fault = fault;
}

static void r_sent(void *ctx, svi_conn *conn, uint64_t token, bool written, const sv_stanza *stanza)
{
    (void)ctx;
    seen *s = seen_of(conn);
    assert_non_null(stanza);
    assert_true(s->sent_count < SENT_MAX);
    s->written[s->sent_count] = written;
    s->sent[s->sent_count++] = token;
}

static void r_drained(void *ctx, svi_conn *conn)
{
    (void)ctx;
    assert_null(svi_conn_waiting(conn, NULL));
    seen_of(conn)->drained++;
}

static void r_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    seen *s = seen_of(conn);
    assert_int_equal(svi_conn_queued_bytes(conn), 0);
    s->closed++;
    s->why = why;
    if (why == SVI_CLOSED_TLS) s->tls_reason = svi_conn_tls_reason(conn);
    s->conn = NULL;
}

static const svi_net_calls router_calls = {
    .open = r_open,
    .peer = r_peer,
    .tls = r_tls,
    .header = r_header,
    .stanza = r_stanza,
    .end = r_end,
    .fault = r_fault,
    .sent = r_sent,
    .drained = r_drained,
    .closed = r_closed,
};

static void r_wake(void *ctx)
{
    const uint64_t one = 1;
    assert_int_equal(write(((world *)ctx)->wake_fd, &one, sizeof one), sizeof one);
}

/* --- clients ----------------------------------------------------------------------- */

static ssize_t fd_read(svi_link *link, void *to, size_t n)
{
    const ssize_t got = recv(((client *)link)->fd, to, n, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

static ssize_t fd_write(svi_link *link, const void *from, size_t n)
{
    const ssize_t put = send(((client *)link)->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return put < 0 ? -errno : put;
}

static void fd_want(svi_link *link, bool read, bool write)
{
    (void)link;
    (void)read;
    (void)write;
}

static void fd_shut(svi_link *link)
{
    (void)shutdown(((client *)link)->fd, SHUT_WR);
}

static void fd_close(svi_link *link)
{
    client *c = (client *)link;
    if (c->fd >= 0) (void)close(c->fd);
    c->fd = -1;
}

static const svi_link_ops fd_ops = {
    .read = fd_read, .write = fd_write, .want = fd_want, .shut = fd_shut, .close = fd_close};

/* A client on a connected socket. */
static client *client_on(world *w, int take_fd)
{
    assert_true(w->client_count < CLIENTS);
    client *c = &w->clients[w->client_count++];
    svi_buf_init(&c->in, &w->acct);
    svi_buf_init(&c->out, &w->acct);
    c->fd = take_fd;
    c->link_of_fd.ops = &fd_ops;
    c->link = &c->link_of_fd;
    return c;
}

static inline client *client_new(world *w)
{
    if (w->memory) {
        client *c = client_on(w, -1);
        svi_link *server = NULL;
        svi_link_pair(w->pairs, 32768, &c->link, &server);
        svi_net_attach(w->net, w->listener, server, "memory");
        return c;
    }
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    const int small = 32768;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    svi_net_adopt(w->net, w->listener, fds[1], "memory");
    return client_on(w, fds[0]);
}

static inline void client_tls(world *w, client *c)
{
    c->ssl = svi_tls_attach(w->client_tls, c->link, "stave.test");
}

static void client_send(client *c, const char *text)
{
    svi_buf_put(&c->out, sv_str_of(text));
}

static void client_close(client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->link != NULL) c->link->ops->close(c->link);
    c->link = NULL;
}

static ssize_t client_io(client *c, bool writing)
{
    static char buf[20000];
    if (c->ssl == NULL)
        return writing ? c->link->ops->write(c->link, c->out.data, c->out.len)
                       : c->link->ops->read(c->link, buf, sizeof buf);
    ERR_clear_error();
    const int rc = writing ? SSL_write(c->ssl, c->out.data, (int)c->out.len)
                           : SSL_read(c->ssl, buf, sizeof buf);
    if (rc > 0) {
        if (!writing) svi_buf_put(&c->in, (sv_str){buf, (size_t)rc});
        return rc;
    }
    const int why = SSL_get_error(c->ssl, rc);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return -EAGAIN;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

static ssize_t client_read(client *c)
{
    static char buf[20000];
    if (c->ssl != NULL) return client_io(c, false);
    const ssize_t got = c->link->ops->read(c->link, buf, sizeof buf);
    if (got > 0) svi_buf_put(&c->in, (sv_str){buf, (size_t)got});
    return got;
}

/* Moves what can be moved; true if anything did. */
static bool client_step(client *c)
{
    bool moved = false;
    if (c->link == NULL || c->broken) return false;
    if (c->ssl != NULL && !c->shaken) {
        ERR_clear_error();
        const int rc = SSL_do_handshake(c->ssl);
        const int why = SSL_get_error(c->ssl, rc);
        c->shaken = rc == 1;
        c->broken = rc != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
        if (!c->shaken) return c->broken;
        moved = true;
    }
    while (c->out.len > 0) {
        const ssize_t put = client_io(c, true);
        if (put <= 0) break;
        svi_buf_consume(&c->out, (size_t)put);
        moved = true;
    }
    while (!c->deaf && !c->at_end && !c->broken) {
        const ssize_t got = client_read(c);
        if (got == -EAGAIN) break;
        moved = true;
        if (got == 0) c->at_end = true;
        if (got < 0) c->broken = true;
    }
    return moved;
}

static size_t count_text(const client *c, const char *text)
{
    size_t n = 0;
    const size_t len = strlen(text);
    const char *at = c->in.data;
    const char *end = at + c->in.len;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), text, len)) != NULL) {
        n++;
        at += len;
    }
    return n;
}

/* --- time -------------------------------------------------------------------------- */

/* One round of everything; true if anything happened. */
static bool step(world *w)
{
    bool did = false;
    svi_net_flush(w->net);
    for (size_t i = 0; i < w->client_count; i++)
        if (client_step(&w->clients[i])) did = true;
    if (w->memory && svi_link_pairs_run(w->pairs) > 0) did = true;
    if (w->loop != NULL) (void)uv_run(w->loop, UV_RUN_NOWAIT);
    if (svi_net_turn(w->net, 0) > 0) did = true;
    return did;
}

#define LONG_MS 5000 /* nothing takes so long but a lost wake-up */

static void wait_for_events(world *w, int at_most_ms)
{
    struct pollfd fds[CLIENTS + 2] = {{.fd = w->wake_fd, .events = POLLIN},
                                      {.fd = uv_backend_fd(w->loop), .events = POLLIN}};
    nfds_t n = 2;
    const int loop_ms = uv_loop_alive(w->loop) ? uv_backend_timeout(w->loop) : -1;
    if (loop_ms >= 0 && loop_ms < at_most_ms) at_most_ms = loop_ms;
    for (size_t i = 0; i < w->client_count; i++) {
        const client *c = &w->clients[i];
        if (c->fd < 0 || c->at_end || c->broken) continue;
        const bool writes = c->out.len > 0 && (c->ssl == NULL || c->shaken);
        const int wanted = (c->deaf ? 0 : POLLIN) | (writes ? POLLOUT : 0);
        fds[n++] = (struct pollfd){.fd = c->fd, .events = (short)wanted};
    }
    const int events = poll(fds, n, at_most_ms);
    if (events == 0 && at_most_ms == LONG_MS) fail_msg("nothing happened for %d ms", LONG_MS);
    uint64_t count;
    if ((fds[0].revents & POLLIN) != 0) (void)!read(w->wake_fd, &count, sizeof count);
}

/* One round, or a wait for something to happen; false when nothing will: with memory links
 * nothing moves any more, else five seconds are over. */
static bool go_on(world *w, int64_t *until_us)
{
    const svi_plat *kernel = svi_plat_kernel();
    const int64_t now_us = kernel->mono_us(kernel->ctx);
    if (*until_us == 0) *until_us = now_us + 5000000;
    if (step(w)) return true;
    if (w->memory || now_us > *until_us) return false;
    wait_for_events(w, LONG_MS);
    return true;
}

#define assert_until(w, condition)                                                                 \
    do {                                                                                           \
        int64_t until_us_ = 0;                                                                     \
        while (!(condition) && go_on(w, &until_us_)) continue;                                     \
        assert_true(condition);                                                                    \
    } while (0)

/* Runs until nothing has moved (memory), or for two fruitless waits of 5 ms. */
static void settle(world *w)
{
    int idle = 0;
    while (idle < (w->memory ? 1 : 2)) {
        if (step(w)) {
            idle = 0;
            continue;
        }
        idle++;
        if (!w->memory) wait_for_events(w, 5);
    }
}

/* --- worlds ------------------------------------------------------------------------ */

typedef enum way {
    WAY_MEMORY, /* inline, memory links, virtual clock: as on the stage */
    WAY_LOOP,   /* inline, socket pairs on the router's loop */
    WAY_THREADS /* two I/O threads, socket pairs */
} way;

typedef struct setting {
    way way;
    svi_tls_mode mode;
    size_t ring_slots;
    size_t window_bytes;
    const svi_subnet *proxies; /* who must begin with a PROXY header */
    size_t proxy_count;
} setting;

static char cert_file[64], key_file[64];

static void make_certificate(void)
{
    (void)snprintf(cert_file, sizeof cert_file, "/tmp/stave-net-test.%ld.crt", (long)getpid());
    (void)snprintf(key_file, sizeof key_file, "/tmp/stave-net-test.%ld.key", (long)getpid());
    sv_err err;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("stave.test"), cert_file, key_file, &err),
                     SV_OK);
}

static void remove_certificate(void)
{
    (void)unlink(cert_file);
    (void)unlink(key_file);
}

static world *world_new(const setting *s)
{
    sv_err err = {.code = SV_OK};
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->acct.name = "net-test";
    w->memory = s->way == WAY_MEMORY;
    if (!w->memory) {
        w->loop = calloc(1, sizeof *w->loop);
        assert_int_equal(uv_loop_init(w->loop), 0);
    }
    w->echo = true;
    w->credit_bytes = 1000000;
    svi_plat_virtual_init(&w->clock, 7);
    static const sv_str names[] = {SV_STR_INIT("message"), SV_STR_INIT("jabber:client")};
    w->atoms = svi_atoms_extend(&w->acct, NULL, names, 2);
    atomic_store(&w->table, w->atoms);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->pairs = svi_link_pairs_new(&w->acct);
    const svi_tls_config tls = {
        .acct = &w->acct, .cert_file = sv_str_of(cert_file), .key_file = sv_str_of(key_file)};
    assert_int_equal(svi_tls_new(&tls, &w->server_tls, &err), SV_OK);
    assert_int_equal(svi_tls_client_new(&w->acct, NULL, &w->client_tls, &err), SV_OK);
    const svi_net_config config = {.acct = &w->acct,
                                   .plat = w->memory ? &w->clock.plat : svi_plat_kernel(),
                                   .io_threads = s->way == WAY_THREADS ? 2 : 0,
                                   .loop = w->loop,
                                   .atoms = &w->table,
                                   .calls = &router_calls,
                                   .ctx = w,
                                   .wake = r_wake,
                                   .ring_slots = s->ring_slots,
                                   .window_bytes = s->window_bytes};
    assert_int_equal(svi_net_new(&config, &w->net, &err), SV_OK);
    const svi_listen_config listen = {.fd = -1,
                                      .mode = s->mode,
                                      .tls = s->mode == SVI_TLS_NONE ? NULL : w->server_tls,
                                      .limits = svi_xml_limits_stranger(),
                                      .ctx = w,
                                      .proxies = s->proxies,
                                      .proxy_count = s->proxy_count};
    assert_int_equal(svi_net_listen(w->net, &listen, &w->listener, &err), SV_OK);
    return w;
}

/* Ends the world and looks that nothing is left of it. Ticket keys that its contexts use may be given; they
 * go behind the contexts. */
static void world_free_with(world *w, svi_tickets **one, svi_tickets **two)
{
    svi_net_free(&w->net);
    if (w->loop != NULL) {
        (void)uv_run(w->loop, UV_RUN_DEFAULT); /* handles go */
        assert_int_equal(uv_loop_close(w->loop), 0);
        free(w->loop);
    }
    for (size_t i = 0; i < w->conn_count; i++) assert_int_equal(w->conns[i].closed, 1);
    for (size_t i = 0; i < w->client_count; i++) {
        client_close(&w->clients[i]);
        svi_buf_free(&w->clients[i].in);
        svi_buf_free(&w->clients[i].out);
    }
    svi_tls_unref(&w->server_tls);
    svi_tls_unref(&w->client_tls);
    if (one != NULL) svi_tickets_free(one);
    if (two != NULL) svi_tickets_free(two);
    svi_link_pairs_free(&w->pairs);
    svi_atoms_free(&w->atoms);
    (void)close(w->wake_fd);
    assert_int_equal(atomic_load(&w->acct.live_bytes), 0);
    free(w);
}

static void world_free(world *w)
{
    world_free_with(w, NULL, NULL);
}

#define STREAM                                                                                     \
    "<?xml version='1.0'?><stream:stream to='stave.test' version='1.0' xmlns='jabber:client' "     \
    "xmlns:stream='http://etherx.jabber.org/streams'>"

/* --- what most tests begin with ---------------------------------------------------- */

static way run_way; /* the way in which the bodies run now */

static inline world *plain(void)
{
    return world_new(&(setting){.way = run_way, .mode = SVI_TLS_NONE});
}

static inline world *tls_world(void)
{
    return world_new(&(setting){.way = run_way, .mode = SVI_TLS_DIRECT});
}

static inline uint64_t records_out(const world *w)
{
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    return stats.records_out;
}

static inline sv_stanza *message(world *w, size_t body_bytes)
{
    svi_arena *arena = svi_arena_new(&w->acct, 0);
    sv_draft *draft = svi_draft_new(arena, SV_STR("message"), SV_STR("jabber:client"));
    char *body = svi_arena_get(arena, body_bytes + 1);
    memset(body, 'x', body_bytes);
    svi_draft_text(svi_draft_child(draft, SV_STR("body"), SV_STR_NONE), (sv_str){body, body_bytes});
    sv_stanza *stanza = svi_draft_freeze(&w->acct, NULL, draft);
    svi_arena_free(&arena);
    return stanza;
}

/* A client whose stream is open and runs free. */
static inline client *streaming(world *w, bool tls)
{
    client *c = client_new(w);
    if (tls) client_tls(w, c);
    client_send(c, STREAM);
    assert_until(w, count_text(c, "<stream:stream") >= 1);
    return c;
}

static inline void send_many(client *c, int n)
{
    for (int i = 0; i < n; i++) client_send(c, "<message id='m'><body>0123456789</body></message>");
}

#endif
