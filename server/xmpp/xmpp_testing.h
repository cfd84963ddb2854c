/* For unit tests of the shard: a server on a virtual clock, a simulated disk and memory links,
 * with clients that bind without negotiation: the stream header's `from` says who they are. */
#ifndef SVI_XMPP_TESTING_H
#define SVI_XMPP_TESTING_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base_log.h"
#include "base/base_testing.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_event.h"

#ifndef CLIENTS
#define CLIENTS 8
#endif
#define HANDLERS 24

typedef struct world world;

typedef struct client {
    world *world;
    svi_link *link;
    svi_conn *conn;      /* NULL once closed */
    sv_session *session; /* NULL before it is bound and after it ended */
    char node[64], resource[64];
    const char *host;
    sv_status bound;
    const char *first; /* a stanza that is there as soon as it is bound */
    svi_buf in;        /* what it read and the test has not looked at */
    svi_buf out;
    bool deaf; /* reads nothing */
    bool at_end;
} client;

struct world {
    svi_acct acct;
    svi_plat_virtual clock;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_server *server;
    svi_host *host, *other;
    svi_link_pairs *pairs;
    svi_listener *listener;
    size_t link_bytes;
    client clients[CLIENTS];
    size_t client_count;
    svi_handler handlers[HANDLERS];
    size_t handler_count;
    bool failed;
};

/* What was logged; the newest lines. */
static char t_log[4096];

static inline void t_log_line(void *ctx, sv_level level, sv_str line)
{
    (void)ctx;
    (void)level;
    size_t n = strlen(t_log);
    if (n + line.n >= sizeof t_log) n = 0;
    if (line.n < sizeof t_log) snprintf(t_log + n, sizeof t_log - n, "%.*s", (int)line.n, line.p);
}

#define LOGGED(text) assert_non_null(strstr(t_log, (text)))

/* --- the stream, as short as can be ----------------------------------------------------------- */

static inline void t_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    world *w = info->listener_ctx;
    (void)ctx;
    client *c = &w->clients[w->client_count - 1];
    c->conn = conn;
    svi_conn_set_ctx(conn, c);
}

static inline void t_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    (void)ctx;
    client *c = svi_conn_ctx(conn);
    world *w = c->world;
    svi_stanza_unref(&take);
    svi_conn_write(conn, SV_STR("<stream:stream xmlns='jabber:client' "
                                "xmlns:stream='http://etherx.jabber.org/streams'>"));
    svi_host *host = svi_host_find(w->server, sv_str_of(c->host));
    c->bound =
        svi_session_bind(host, sv_str_of(c->node), sv_str_of(c->resource), conn, &c->session);
    if (c->bound != SV_OK) svi_conn_close(conn, SV_STR(""), 100);
    sv_stanza *first = NULL;
    if (c->first != NULL)
        assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server),
                                          sv_str_of(c->first), SV_STR(SVI_NS_CLIENT), &first, NULL),
                         SV_OK);
    if (first != NULL) svi_inbound(c->session, first, 0);
}

static inline void t_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    (void)ctx;
    client *c = svi_conn_ctx(conn);
    if (c->session != NULL)
        svi_inbound(c->session, take, cost_bytes);
    else
        svi_stanza_unref(&take);
}

static inline void t_end(void *ctx, svi_conn *conn)
{
    (void)ctx;
    svi_conn_close(conn, SV_STR("</stream:stream>"), 100);
}

static inline void t_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    print_message("fault %d: %s\n", (int)fault, text);
    svi_conn_close(conn, SV_STR(""), 0);
}

static inline void t_sent(void *ctx, svi_conn *conn, uint64_t token, bool written,
                          const sv_stanza *stanza)
{
    (void)ctx;
    client *c = svi_conn_ctx(conn);
    if (c->session != NULL) svi_session_sent(c->session, token, written, stanza);
}

static inline void t_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
{
    (void)ctx;
    (void)conn;
    (void)info;
}

static inline void t_drained(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static inline void t_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    (void)why;
    client *c = svi_conn_ctx(conn);
    svi_session_end(&c->session, "closed");
    c->conn = NULL;
}

static const svi_net_calls t_calls = {
    .open = t_open,
    .tls = t_tls,
    .header = t_header,
    .stanza = t_stanza,
    .end = t_end,
    .fault = t_fault,
    .sent = t_sent,
    .drained = t_drained,
    .closed = t_closed,
};

/* --- the clients' end ------------------------------------------------------------------------- */

static inline void t_ready(void *ctx, bool readable, bool writable)
{
    client *c = ctx;
    char bytes[4096];
    ssize_t n;
    while (readable && !c->deaf && (n = c->link->ops->read(c->link, bytes, sizeof bytes)) >= 0) {
        if (n == 0) c->at_end = true;
        if (n == 0) break;
        svi_buf_put(&c->in, (sv_str){bytes, (size_t)n});
    }
    while (writable && c->out.len > 0) {
        n = c->link->ops->write(c->link, c->out.data, c->out.len);
        if (n == -EPIPE) svi_buf_clear(&c->out);
        if (n <= 0) break;
        svi_buf_consume(&c->out, (size_t)n);
    }
    c->link->ops->want(c->link, !c->deaf && !c->at_end, c->out.len > 0);
}

/* Turns until nothing moves any more. */
static inline void settle(world *w)
{
    for (int i = 0, idle = 0; i < 10000; i++) {
        const bool more = svi_server_turn(w->server);
        const size_t moved = svi_link_pairs_run(w->pairs);
        idle = more || moved > 0 ? 0 : idle + 1;
        if (idle == 2) return; /* what the end of a turn flushed is read in the next round */
    }
    fail_msg("it never settles");
}

static inline void pass_time(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->clock, us);
    settle(w);
}

static inline void say(client *c, const char *bytes)
{
    svi_buf_put(&c->out, sv_str_of(bytes));
    c->link->ops->want(c->link, !c->deaf && !c->at_end, true);
}

/* Says it and waits until the server has done what it can. */
static inline void tell(client *c, const char *bytes)
{
    say(c, bytes);
    settle(c->world);
}

/* Reads nothing any more: the server's queue for it grows. */
static inline void go_deaf(client *c)
{
    c->deaf = true;
    c->link->ops->want(c->link, false, c->out.len > 0);
}

static inline void listen_again(client *c)
{
    c->deaf = false;
    c->link->ops->want(c->link, true, c->out.len > 0);
    settle(c->world);
}

/* The peer is gone without a word. */
static inline void cut(client *c)
{
    if (c->link == NULL) return;
    c->link->ops->close(c->link);
    c->link = NULL;
    settle(c->world);
}

static inline client *join_host(world *w, const char *node, const char *host, const char *resource)
{
    assert_true(w->client_count < CLIENTS);
    client *c = &w->clients[w->client_count++];
    c->world = w;
    c->host = host;
    snprintf(c->node, sizeof c->node, "%s", node);
    snprintf(c->resource, sizeof c->resource, "%s", resource);
    svi_buf_init(&c->in, &w->acct);
    svi_buf_init(&c->out, &w->acct);
    svi_link *there;
    svi_link_pair(w->pairs, w->link_bytes, &c->link, &there);
    c->link->ready = t_ready;
    c->link->ctx = c;
    svi_net_attach(w->server != NULL ? svi_server_net(w->server) : NULL, w->listener, there,
                   "memory");
    settle(w);
    tell(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>");
    if (c->in.len > 0) svi_buf_clear(&c->in);
    return c;
}

static inline client *join(world *w, const char *node, const char *resource)
{
    return join_host(w, node, "example.org", resource);
}

/* --- what a client has read ------------------------------------------------------------------- */

static inline size_t count_in(const client *c, const char *text)
{
    size_t count = 0;
    const sv_str all = svi_buf_str(&c->in);
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= all.n; i++)
        if (memcmp(all.p + i, text, n) == 0) count++;
    return count;
}

static inline void forget(client *c)
{
    svi_buf_clear(&c->in);
}

static inline void assert_read(client *c, const char *text, size_t count, int line)
{
    if (count_in(c, text) == count) return;
    print_error("line %d: %s/%s, %zu times wanted: %s\nhas read: %.*s\n", line, c->node,
                c->resource, count, text, (int)c->in.len, c->in.len > 0 ? c->in.data : "");
    fail();
}

#define HAS(c, text) assert_read((c), (text), 1, __LINE__)
#define HAS_NOT(c, text) assert_read((c), (text), 0, __LINE__)
#define HAS_N(c, text, n) assert_read((c), (text), (n), __LINE__)
/* Nothing came that was not looked at. */
#define QUIET(c) assert_int_equal((c)->in.len, 0)

/* --- the world -------------------------------------------------------------------------------- */

static inline void t_fatal(void *ctx, const sv_err *err)
{
    (void)err;
    ((world *)ctx)->failed = true;
}

static inline void t_done(void *ctx, sv_status status)
{
    *(sv_status *)ctx = status;
}

static inline void add_account(world *w, svi_host *host, const char *name)
{
    (void)w;
    svi_unit *unit = svi_unit_new(svi_server_store(svi_host_server(host)));
    assert_int_equal(svi_unit_put(unit, svi_host_accounts(host), sv_str_of(name), SV_STR("state"),
                                  SV_STR("active")),
                     SV_OK);
    svi_unit_submit(&unit);
}

static inline world *world_new(const svi_limits *limits)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "test";
    w->link_bytes = 1u << 20;
    svi_plat_virtual_init(&w->clock, 7);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, t_log_line, NULL, w->clock.plat.wall_us,
                  w->clock.plat.ctx);
    t_log[0] = '\0';
    w->disk = svi_sim_disk_new(&w->acct);
    w->engine = svi_engine_sim(&w->acct, w->disk);
    w->pairs = svi_link_pairs_new(&w->acct);
    const svi_server_config config = {
        .acct = &w->acct,
        .plat = &w->clock.plat,
        .engine = w->engine,
        .limits = limits != NULL ? *limits : svi_limits_default(),
        .salt_secret = SV_STR("secret"),
        .fatal = t_fatal,
        .ctx = w,
        .calls = NULL,
    };
    svi_server_config mine = config;
    mine.calls = &t_calls;
    sv_err err = {.code = SV_OK};
    assert_int_equal(svi_server_new(&mine, &w->server, &err), SV_OK);
    const svi_host_config host = {.domain = SV_STR("example.org")};
    const svi_host_config other = {.domain = SV_STR("example.net")};
    assert_int_equal(svi_host_add(w->server, &host, &w->host, &err), SV_OK);
    assert_int_equal(svi_host_add(w->server, &other, &w->other, &err), SV_OK);
    assert_int_equal(svi_host_add(w->server, &other, &w->other, &err), SV_EEXIST);
    const svi_listen_config listener = {
        .fd = -1, .mode = SVI_TLS_NONE, .limits = svi_xml_limits_user(), .ctx = w};
    assert_int_equal(svi_net_listen(svi_server_net(w->server), &listener, &w->listener, &err),
                     SV_OK);
    return w;
}

/* Adds a handler to the host's table; in order of calls. */
static inline svi_handler *on(world *w, const char *point,
                              sv_verdict (*call)(sv_event *ev, void *self), void *self)
{
    assert_true(w->handler_count < HANDLERS);
    svi_handler *h = &w->handlers[w->handler_count];
    *h = (svi_handler){.point = svi_point_find(sv_str_of(point)),
                       .order = (uint32_t)w->handler_count,
                       .call = call,
                       .self = self,
                       .module = "tester",
                       .text = point};
    assert_true(h->point != SVI_POINT_NONE);
    w->handler_count++;
    return h;
}

static inline void use_handlers(world *w, svi_host *host)
{
    sv_err err;
    svi_hooks *hooks;
    assert_int_equal(svi_hooks_build(&w->acct, w->handlers, w->handler_count, &hooks, &err), SV_OK);
    svi_host_set_hooks(host, hooks);
    svi_hooks_unref(&hooks);
    w->handler_count = 0;
}

static inline uint64_t dropped_by(world *w, const char *rule)
{
    size_t pos = 0;
    const char *name;
    uint64_t count;
    while (svi_ledger_rules(svi_server_ledger(w->server), &pos, &name, &count))
        if (strcmp(name, rule) == 0) return count;
    return 0;
}

static inline uint64_t disposed(world *w, svi_disposal how)
{
    return svi_ledger_total(svi_server_ledger(w->server))->disposal[how];
}

static inline uint64_t made(world *w, svi_origin origin)
{
    return svi_ledger_total(svi_server_ledger(w->server))->origin[origin];
}

/* --- handlers that more than one test uses ---------------------------------------------------- */

static inline sv_verdict send_result(sv_event *ev, void *self)
{
    (void)self;
    sv_draft *payload = svi_x_reply(ev, SV_STR("q"), SV_STR("x:y"));
    svi_draft_attr(payload, SV_STR("seen"), svi_xevent_of(ev)->from.full);
    return svi_x_send(ev);
}

static inline sv_verdict send_empty(sv_event *ev, void *self)
{
    (void)self;
    assert_null(svi_x_reply(ev, SV_STR_NONE, SV_STR_NONE));
    return svi_x_send(ev);
}

/* Waits; the test takes it up again. */
typedef struct waiters {
    sv_event *ev[16];
    size_t count;
} waiters;

static inline sv_verdict wait_for_test(sv_event *ev, void *self)
{
    waiters *all = self;
    assert_true(all->count < 16);
    all->ev[all->count++] = svi_event_hold(ev);
    return SV_LATER;
}

static inline void let_all_go(waiters *all)
{
    for (size_t i = 0; i < all->count; i++) svi_event_let_go(&all->ev[i]);
    all->count = 0;
}

typedef struct table {
    svi_map *map;
} table;

static inline table open_table(world *w)
{
    table t;
    sv_err err;
    assert_int_equal(
        svi_store_map(svi_server_store(w->server), SV_STR("example.org/test"), 1, &t.map, &err),
        SV_OK);
    return t;
}

/* Writes a row and passes. */
static inline sv_verdict write_row(sv_event *ev, void *self)
{
    const table *t = self;
    assert_int_equal(
        svi_unit_put(svi_event_unit(ev), t->map, SV_STR("romeo"), SV_STR("k"), SV_STR("v")), SV_OK);
    return SV_PASS;
}

static inline void hold_disk(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    pass_time(w, 10000);
}

typedef struct sending {
    client *to;
    const char *text;
    bool by_route;
    svi_map *map; /* push_stored */
} sending;

static inline sv_verdict send_more(sv_event *ev, void *self)
{
    const sending *s = self;
    svi_xevent *x = svi_xevent_of(ev);
    sv_stanza *stanza;
    sv_err err;
    assert_int_equal(svi_stanza_parse(svi_server_acct(x->server), svi_server_atoms(x->server),
                                      sv_str_of(s->text), SV_STR(SVI_NS_CLIENT), &stanza, &err),
                     SV_OK);
    if (s->by_route)
        svi_x_route(ev, stanza);
    else if (s->map != NULL)
        svi_x_push_stored(ev, s->to->session, stanza, s->map, SV_STR("romeo"), SV_STR("k"));
    else
        svi_x_push(ev, s->to->session, stanza, SVI_MADE_PUSH);
    svi_stanza_unref(&stanza);
    return SV_PASS;
}

/* Nothing is on its way and everything is accounted for. */
#define BALANCED(w)                                                                                \
    do {                                                                                           \
        assert_int_equal(svi_ledger_in_flight(svi_server_ledger((w)->server)), 0);                 \
        assert_true(svi_server_balances((w)->server));                                             \
    } while (0)

/* Ends the world: everything is accounted for (the ledger asserts it) and all memory is given
 * back. */
static inline void world_free(world **world_)
{
    world *w = *world_;
    *world_ = NULL;
    svi_sim_plan *plan = svi_engine_sim_plan(w->engine);
    plan->hold = false;
    svi_net_unlisten(svi_server_net(w->server), &w->listener);
    assert_true(svi_server_balances(w->server));
    svi_server_free(&w->server, 0);
    for (size_t i = 0; i < w->client_count; i++) {
        client *c = &w->clients[i];
        if (c->link != NULL) c->link->ops->close(c->link);
        svi_buf_free(&c->in);
        svi_buf_free(&c->out);
    }
    svi_link_pairs_free(&w->pairs);
    svi_sim_disk_free(&w->disk);
    assert_int_equal(atomic_load(&w->acct.live_bytes), 0);
    free(w);
}

#endif
