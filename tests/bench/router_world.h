/* A router for programs that measure it: 200 sessions in one process, each with a partner and a message to it; sockets, parsing
 * and writing are not measured. The counts of what came are the program's to check. */
#ifndef SVI_BENCH_ROUTER_WORLD_H
#define SVI_BENCH_ROUTER_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base_log.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_event.h"

enum { SESSIONS = 200 };

typedef struct world world;

typedef struct client {
    world *world;
    svi_link *link; /* the client's end */
    sv_session *session;
    sv_stanza *message; /* to its partner */
    char name[16];
} client;

typedef struct report {
    client *to;
    uint64_t token;
} report;

struct world {
    svi_acct acct;
    svi_plat_virtual clock;
    svi_sim_disk *disk;
    svi_server *server;
    svi_host *host;
    svi_link_pairs *pairs;
    svi_listener *listener;
    const char *resource; /* "/bench": messages go to a session; NULL: to the account */
    client clients[SESSIONS];
    size_t joined;
    report written[SESSIONS];
    size_t written_count;
};

static inline void check(sv_status status, const char *what)
{
    if (status == SV_OK) return;
    (void)fprintf(stderr, "bench: %s: %d\n", what, (int)status);
    exit(1);
}

static inline void log_line(void *ctx, sv_level level, sv_str line)
{
    (void)ctx;
    (void)level;
    (void)fprintf(stderr, "%.*s\n", (int)line.n, line.p);
}

/* --- the stream, as short as can be ------------------------------------------------------------ */

static inline void on_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    (void)ctx;
    world *w = info->listener_ctx;
    svi_conn_set_ctx(conn, &w->clients[w->joined]);
}

static inline void on_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    (void)ctx;
    client *c = svi_conn_ctx(conn);
    svi_stanza_unref(&take);
    check(svi_session_bind(c->world->host, sv_str_of(c->name), SV_STR("bench"), conn, &c->session),
          "bind");
}

static inline void on_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    (void)ctx;
    svi_inbound(((client *)svi_conn_ctx(conn))->session, take, cost_bytes);
}

/* Told to the session later, where it is measured. */
static inline void on_sent(void *ctx, svi_conn *conn, uint64_t token, bool written,
                    const sv_stanza *stanza)
{
    (void)ctx;
    (void)stanza;
    client *c = svi_conn_ctx(conn);
    if (!written || c->world->written_count == SESSIONS) check(SV_EIO, "not written");
    c->world->written[c->world->written_count++] = (report){.to = c, .token = token};
}

static inline void on_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    (void)conn;
    (void)fault;
    check(SV_EINVAL, text);
}

static inline void on_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    (void)why;
    client *c = svi_conn_ctx(conn);
    svi_session_end(&c->session, "closed");
}

static inline void on_nothing(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static inline void on_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
{
    (void)info;
    on_nothing(ctx, conn);
}

static const svi_net_calls calls = {.open = on_open,
                                    .tls = on_tls,
                                    .header = on_header,
                                    .stanza = on_stanza,
                                    .end = on_nothing,
                                    .fault = on_fault,
                                    .sent = on_sent,
                                    .drained = on_nothing,
                                    .closed = on_closed};

/* The client reads all and forgets it. */
static inline void on_ready(void *ctx, bool readable, bool writable)
{
    client *c = ctx;
    char bytes[4096];
    (void)writable;
    while (readable && c->link->ops->read(c->link, bytes, sizeof bytes) > 0) {
    }
    c->link->ops->want(c->link, true, false);
}

static inline void settle(world *w)
{
    for (int idle = 0; idle < 2;) {
        const bool more = svi_server_turn(w->server);
        idle = svi_link_pairs_run(w->pairs) > 0 || more ? 0 : idle + 1;
    }
}

/* --- the world ------------------------------------------------------------------------------------ */

/* On the virtual clock if `plat` is NULL. */
static inline void open_world(world *w, const svi_plat *plat, uint32_t sample_every)
{
    sv_err err;
    svi_plat_virtual_init(&w->clock, 1);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, log_line, NULL, w->clock.plat.wall_us, w->clock.plat.ctx);
    w->disk = svi_sim_disk_new(&w->acct);
    w->pairs = svi_link_pairs_new(&w->acct);
    svi_limits limits = svi_limits_default();
    limits.rate = 0; /* the clock stands still */
    const svi_server_config config = {.acct = &w->acct,
                                      .plat = plat != NULL ? plat : &w->clock.plat,
                                      .sample_every = sample_every,
                                      .engine = svi_engine_sim(&w->acct, w->disk),
                                      .limits = limits,
                                      .salt_secret = SV_STR("secret"),
                                      .calls = &calls};
    check(svi_server_new(&config, &w->server, &err), "server");
    const svi_host_config host = {.domain = SV_STR("example.org")};
    check(svi_host_add(w->server, &host, &w->host, &err), "host");
    const svi_listen_config listener = {
        .fd = -1, .mode = SVI_TLS_NONE, .limits = svi_xml_limits_user(), .ctx = w};
    check(svi_net_listen(svi_server_net(w->server), &listener, &w->listener, &err), "listener");
}

static inline void join(world *w, client *c, size_t number)
{
    static const char header[] = "<stream:stream xmlns='jabber:client' "
                                 "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    svi_link *there;
    c->world = w;
    (void)snprintf(c->name, sizeof c->name, "user%06zu", number);
    svi_link_pair(w->pairs, 1u << 20, &c->link, &there);
    c->link->ready = on_ready;
    c->link->ctx = c;
    svi_net_attach(svi_server_net(w->server), w->listener, there, "memory");
    settle(w);
    if (c->link->ops->write(c->link, header, sizeof header - 1) != (ssize_t)sizeof header - 1)
        check(SV_EIO, "header");
    c->link->ops->want(c->link, true, false);
    settle(w);
    if (c->session == NULL) check(SV_EIO, "no session");
    w->joined++;
    char text[512];
    const int n = snprintf(
        text, sizeof text,
        "<message to='user%06zu@example.org%s' type='chat' id='ktx72v49'><body>Art thou not Romeo, "
        "and "
        "a Montague? Neither, fair saint, if either thee dislike.</body><active "
        "xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
        "</message>",
        number ^ 1, w->resource != NULL ? w->resource : "");
    check(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), (sv_str){text, (size_t)n},
                           SV_STR(SVI_NS_CLIENT), &c->message, NULL),
          "message");
}

static inline void join_all(world *w)
{
    for (size_t i = 0; i < SESSIONS; i++) join(w, &w->clients[i], i);
}

static inline void close_world(world *w)
{
    svi_net_unlisten(svi_server_net(w->server), &w->listener);
    for (size_t i = 0; i < SESSIONS; i++) {
        svi_stanza_unref(&w->clients[i].message);
        w->clients[i].link->ops->close(w->clients[i].link);
    }
    svi_server_free(&w->server, 0);
    svi_link_pairs_free(&w->pairs);
    svi_sim_disk_free(&w->disk);
}

/* --- measuring -------------------------------------------------------------------------------------- */

static inline int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A message of each session; ns in the router. */
static inline int64_t batch(world *w)
{
    const int64_t from = cpu_ns();
    for (size_t i = 0; i < SESSIONS; i++)
        svi_inbound(w->clients[i].session, svi_stanza_ref(w->clients[i].message), 0);
    int64_t spent = cpu_ns() - from;
    w->written_count = 0;
    settle(w);
    if (w->written_count != SESSIONS) check(SV_EIO, "a message is missing");
    const int64_t again = cpu_ns();
    for (size_t i = 0; i < SESSIONS; i++)
        svi_session_sent(w->written[i].to->session, w->written[i].token, true, NULL);
    spent += cpu_ns() - again;
    return spent;
}

#endif
