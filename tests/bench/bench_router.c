/* What the router itself does for a chat message, with 30 C handlers: from the parsed stanza to the recipient's queue, and
 * the report that it was written. 200 sessions in one process; sockets, parsing and writing are not measured.
 *
 * CPU time of the thread, the median of several rounds. What accounting of CPU takes of that (architecture 6: under 3 %)
 * is measured on the kernel's clock, in turns with a router that times nothing, and once more by counts. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base_log.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_event.h"

enum { SESSIONS = 200, HANDLERS = 30, ROUNDS = 9, BATCHES = 200, HOLD_NS = 1000 };
enum { PAIRS = 101, PAIR_BATCHES = 10, CLOCK_READS = 200000 };
#define HOLD_PERCENT 3.0

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
    client clients[SESSIONS];
    size_t joined;
    report written[SESSIONS];
    size_t written_count;
    svi_hook_stats stats[HANDLERS];
};

static void check(sv_status status, const char *what)
{
    if (status == SV_OK) return;
    (void)fprintf(stderr, "bench_router: %s: %d\n", what, (int)status);
    exit(1);
}

static void log_line(void *ctx, sv_level level, sv_str line)
{
    (void)ctx;
    (void)level;
    (void)fprintf(stderr, "%.*s\n", (int)line.n, line.p);
}

/* --- the stream, as short as can be ------------------------------------------------------------ */

static void on_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    (void)ctx;
    world *w = info->listener_ctx;
    svi_conn_set_ctx(conn, &w->clients[w->joined]);
}

static void on_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    (void)ctx;
    client *c = svi_conn_ctx(conn);
    svi_stanza_unref(&take);
    check(svi_session_bind(c->world->host, sv_str_of(c->name), SV_STR("bench"), conn, &c->session),
          "bind");
}

static void on_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    (void)ctx;
    svi_inbound(((client *)svi_conn_ctx(conn))->session, take, cost_bytes);
}

/* Told to the session later, where it is measured. */
static void on_sent(void *ctx, svi_conn *conn, uint64_t token, bool written,
                    const sv_stanza *stanza)
{
    (void)ctx;
    (void)stanza;
    client *c = svi_conn_ctx(conn);
    if (!written || c->world->written_count == SESSIONS) check(SV_EIO, "not written");
    c->world->written[c->world->written_count++] = (report){.to = c, .token = token};
}

static void on_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    (void)conn;
    (void)fault;
    check(SV_EINVAL, text);
}

static void on_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    (void)why;
    client *c = svi_conn_ctx(conn);
    svi_session_end(&c->session, "closed");
}

static void on_nothing(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static void on_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
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
static void on_ready(void *ctx, bool readable, bool writable)
{
    client *c = ctx;
    char bytes[4096];
    (void)writable;
    while (readable && c->link->ops->read(c->link, bytes, sizeof bytes) > 0) {
    }
    c->link->ops->want(c->link, true, false);
}

static void settle(world *w)
{
    for (int idle = 0; idle < 2;) {
        const bool more = svi_server_turn(w->server);
        idle = svi_link_pairs_run(w->pairs) > 0 || more ? 0 : idle + 1;
    }
}

/* --- handlers ----------------------------------------------------------------------------------- */

static sv_verdict pass(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

/* As the module "message" does: to all available sessions of the account. */
static sv_verdict deliver(sv_event *ev, void *self)
{
    (void)self;
    const svi_xevent *x = svi_xevent_of(ev);
    sv_session *session = NULL;
    while ((session = svi_session_next(x->server, x->to.bare, session)) != NULL)
        (void)svi_x_deliver(ev, session);
    return SV_DONE;
}

/* Two of three ask for what the message lacks; the others are called. They stand at the three points that it passes. */
static void use_hooks(world *w)
{
    static const char *const points[] = {"stanza/inbound", "message/out", "message/account"};
    svi_handler handlers[HANDLERS];
    svi_hooks *hooks;
    char text[HANDLERS][32];
    for (size_t i = 0; i < HANDLERS; i++) {
        const int n = snprintf(text[i], sizeof text[i], "urn:xmpp:other:%zu", i);
        const sv_str names[] = {{text[i], (size_t)n}, SV_STR("x")};
        svi_server_declare(w->server, names, 2);
    }
    const svi_atoms *atoms = svi_server_atoms(w->server);
    for (uint32_t i = 0; i < HANDLERS; i++) {
        const char *point = points[i * 3 / HANDLERS];
        const bool is_called = i % 3 == 2;
        handlers[i] =
            (svi_handler){.point = svi_point_find(sv_str_of(point)),
                          .order = i,
                          .ns = is_called ? (sv_atom)0 : svi_atoms_find(atoms, sv_str_of(text[i])),
                          .name = is_called ? (sv_atom)0 : svi_atoms_find(atoms, SV_STR("x")),
                          .call = i == HANDLERS - 1 ? deliver : pass,
                          .self = w,
                          .module = "bench",
                          .text = point,
                          .stats = &w->stats[i]};
    }
    check(svi_hooks_build(&w->acct, handlers, HANDLERS, &hooks, NULL), "hooks");
    svi_host_set_hooks(w->host, hooks);
    svi_hooks_unref(&hooks);
}

/* --- the world ------------------------------------------------------------------------------------ */

/* On the virtual clock if `plat` is NULL. */
static void open_world(world *w, const svi_plat *plat, uint32_t sample_every)
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
    use_hooks(w);
}

static void join(world *w, client *c, size_t number)
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
        "<message to='user%06zu@example.org' type='chat' id='ktx72v49'><body>Art thou not Romeo, "
        "and "
        "a Montague? Neither, fair saint, if either thee dislike.</body><active "
        "xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
        "</message>",
        number ^ 1);
    check(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), (sv_str){text, (size_t)n},
                           SV_STR(SVI_NS_CLIENT), &c->message, NULL),
          "message");
}

static void close_world(world *w)
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

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A message of each session; ns in the router. */
static int64_t batch(world *w)
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

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* --- what accounting takes --------------------------------------------------------------------------- */

static int64_t some(world *w)
{
    int64_t ns = 0;
    for (int i = 0; i < PAIR_BATCHES; i++) ns += batch(w);
    return ns / (PAIR_BATCHES * SESSIONS);
}

static double read_ns(int64_t (*clock)(void *ctx), void *ctx)
{
    int64_t seen = 0;
    const int64_t from = cpu_ns();
    for (int i = 0; i < CLOCK_READS; i++) seen |= clock(ctx);
    const int64_t spent = cpu_ns() - from;
    if (seen < 0) check(SV_EIO, "clock");
    return (double)spent / CLOCK_READS;
}

static int by_ratio(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_share(const char *what, double percent, double ns)
{
    printf("%-36s %6.2f %% (%.1f ns/stanza)   hold: accounting < %.0f %% %s\n", what, percent, ns,
           HOLD_PERCENT, percent < HOLD_PERCENT ? "MET" : "MISSED");
}

/* Rounds with and without it follow each other, so that what else the machine does meets both. */
static void measure_accounting(void)
{
    static world with = {.acct = {.name = "with"}}, without = {.acct = {.name = "without"}};
    const svi_plat *plat = svi_plat_kernel();
    double ratios[PAIRS], ns[PAIRS];
    open_world(&with, plat, 0);
    open_world(&without, plat, SVI_SAMPLE_NEVER);
    for (size_t i = 0; i < SESSIONS; i++) {
        join(&with, &with.clients[i], i);
        join(&without, &without.clients[i], i);
    }
    svi_meter_stats before, after;
    svi_bus_meter_stats(svi_server_bus(with.server), &before);
    for (int i = 0; i < PAIRS; i++) {
        const bool is_first = i % 2 == 0;
        const int64_t first = some(is_first ? &with : &without);
        const int64_t second = some(is_first ? &without : &with);
        ns[i] = (double)(is_first ? first : second);
        ratios[i] = ns[i] / (double)(is_first ? second : first);
    }
    svi_bus_meter_stats(svi_server_bus(with.server), &after);
    qsort(ratios, PAIRS, sizeof ratios[0], by_ratio);
    qsort(ns, PAIRS, sizeof ns[0], by_ratio);
    const double stanzas = (double)PAIRS * PAIR_BATCHES * SESSIONS, whole_ns = ns[PAIRS / 2];
    const double reads = (double)(after.reads - before.reads) / stanzas;
    const double looks = (double)(after.looks - before.looks) / stanzas;
    const double stamps_ns = reads * read_ns(plat->mono_us, plat->ctx);
    const double looks_ns = looks * read_ns(plat->coarse_us, plat->ctx);
    const double more = (ratios[PAIRS / 2] - 1) * 100;
    tell_share("accounting: timed against never", more, whole_ns * more / 100);
    tell_share("accounting: stamps by their counts", stamps_ns / whole_ns * 100, stamps_ns);
    printf("%-36s %6.2f %% (%.1f ns/stanza): %.2f stamps, %.2f looks a stanza, on %.0f ns\n",
           "watching for slow handlers, by counts", looks_ns / whole_ns * 100, looks_ns, reads, looks, whole_ns);
    close_world(&with);
    close_world(&without);
}

int main(void)
{
    static world w = {.acct = {.name = "bench"}};
    int64_t took[ROUNDS];
    open_world(&w, NULL, 0);
    for (size_t i = 0; i < SESSIONS; i++) join(&w, &w.clients[i], i);
    for (int round = 0; round < ROUNDS; round++) {
        took[round] = 0;
        for (int i = 0; i < BATCHES; i++) took[round] += batch(&w);
        took[round] /= (int64_t)BATCHES * SESSIONS;
    }
    qsort(took, ROUNDS, sizeof took[0], by_value);
    const int64_t ns = took[ROUNDS / 2];
    const svi_ledger *ledger = svi_server_ledger(w.server);
    const uint64_t all = (uint64_t)ROUNDS * BATCHES * SESSIONS;
    uint64_t called = 0;
    for (size_t i = 0; i < HANDLERS; i++) called += w.stats[i].calls;
    const bool is_right = svi_ledger_balances(ledger) && svi_ledger_in_flight(ledger) == 0 &&
                          svi_ledger_total(ledger)->origin[SVI_RECEIVED] == all &&
                          svi_ledger_total(ledger)->disposal[SVI_HANDED_OVER] == all &&
                          called == all * HANDLERS / 3;
    printf("%-36s %6lld ns/stanza   hold: router < %d ns %s\n", "router: 30 handlers, 10 called",
           (long long)ns, HOLD_NS, ns < HOLD_NS ? "MET" : "MISSED");
    printf("ledger: %llu stanzas, %llu calls: %s\n", (unsigned long long)all,
           (unsigned long long)called, is_right ? "equal" : "NOT EQUAL, the figure is void");
    close_world(&w);
    measure_accounting();
    return is_right ? 0 : 1;
}
