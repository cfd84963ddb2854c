/* The shard: what it is made of, its turn, its end. */
#include <time.h>

#include "store/store_archive.h"
#include "xmpp/xmpp_recorder.h"
#include "xmpp/xmpp_logins.h"
#include "xmpp/xmpp_sanitise.h"

#define KIB 1024u
#define LAST_TURNS 1000u /* at the end of the time given to end in */
#define SECOND_US INT64_C(1000000)

svi_limits svi_limits_default(void)
{
    return (svi_limits){
        .stranger = svi_xml_limits_stranger(),
        .unbound = svi_xml_limits_unbound(),
        .user = svi_xml_limits_user(),
        .stranger_rate = 10 * KIB,
        .rate = 256 * KIB,
        .credit_bytes = 64 * KIB,
        .queue_soft_bytes = 256 * KIB,
        .queue_hard_bytes = 1024 * KIB,
        .caused_events = 1024,
        .sessions_per_account = 20,
        .strangers = 1000,
        .strangers_per_address = 100,
        .streams_per_address = 2000,
        .connects_per_address = 3000,
        .auth_tries = 5,
        .header_us = 30 * SECOND_US,
        .features_us = 30 * SECOND_US,
        .login_us = 60 * SECOND_US,
        .bind_us = 30 * SECOND_US,
        .idle_us = 15 * 60 * SECOND_US,
        .answer_us = 60 * SECOND_US,
    };
}

/* --- bus and store do not know each other ----------------------------------------------------- */

static void *unit_new(void *ctx)
{
    return svi_unit_new(((svi_server *)ctx)->store);
}

static bool unit_is_empty(void *ctx, void *unit)
{
    (void)ctx;
    return svi_unit_is_empty(unit);
}

static uint64_t unit_submit(void *ctx, void *take_unit)
{
    (void)ctx;
    svi_unit *unit = take_unit;
    return svi_unit_submit(&unit);
}

static void unit_discard(void *ctx, void *take_unit)
{
    (void)ctx;
    svi_unit *unit = take_unit;
    svi_unit_free(&unit);
}

static uint64_t units_committed(void *ctx)
{
    return svi_store_committed(((svi_server *)ctx)->store);
}

static void on_committed(void *ctx, uint64_t commit)
{
    svi_server *server = ctx;
    svi_records_committed(server, commit);
    if (server->bus != NULL) svi_bus_release(server->bus, commit);
}

static void on_failed(void *ctx, const sv_err *err)
{
    svi_server *server = ctx;
    if (server->fatal != NULL) server->fatal(server->ctx, err);
}

static void on_wake(void *ctx) /* any thread */
{
    const svi_server *server = ctx;
    if (server->wake != NULL) server->wake(server->ctx);
}

/* --- making ----------------------------------------------------------------------------------- */

static sv_status open_store(svi_server *server, const svi_server_config *config, sv_err *err)
{
    const svi_store_config store = {
        .engine = config->engine,
        .acct = config->acct,
        .plat = config->plat,
        .durability = config->durability,
        .gather_us = 0, /* a batch starts when none runs; what comes meanwhile is the next one */
        .fold_ops = 10000,
        .fold_bytes = 16u << 20,
        .fold_age_us = 30 * SECOND_US,
        .tail_bytes = 64u << 20,
        .cache_bytes = config->store_cache_bytes ? config->store_cache_bytes : 32u << 20,
        .wake = on_wake,
        .committed = on_committed,
        .failed = on_failed,
        .ctx = server,
    };
    const sv_status status = svi_store_open(&store, &server->store, err);
    if (status != SV_OK) return status;
    return svi_archives_new(server->store, server->acct, server->plat, server->salt_secret, &server->archives, err);
}

static sv_status open_net(svi_server *server, const svi_server_config *config, sv_err *err)
{
    const svi_net_config net = {
        .acct = config->acct,
        .plat = config->plat,
        .io_threads = config->io_threads,
        .loop = config->loop,
        .atoms = &server->atoms,
        .calls = config->calls != NULL ? config->calls : svi_stream_calls(),
        .ctx = server,
        .wake = on_wake,
        .ring_slots = 1024,
        .window_bytes = 64 * KIB,
    };
    return svi_net_new(&net, &server->net, err);
}

static void make_bus(svi_server *server, const svi_server_config *config)
{
    server->timers = svi_timers_new(server->acct, server->plat);
    server->ledger = svi_ledger_new(server->acct);
    const svi_bus_config bus = {
        .acct = server->acct,
        .plat = server->plat,
        .timers = server->timers,
        .ledger = server->ledger,
        .commit = {.unit_new = unit_new,
                   .unit_is_empty = unit_is_empty,
                   .submit = unit_submit,
                   .discard = unit_discard,
                   .committed = units_committed,
                   .ctx = server},
        .later_us = config->later_us > 0 ? config->later_us : 60 * SECOND_US,
        .slow_us = SECOND_US / 10,
        .sample_every = config->sample_every,
    };
    server->bus = svi_bus_new(&bus);
    server->trail = svi_trail_new(server->acct, server->plat);
    svi_server_set_explain(server, config->explain_bytes);
}

/* The names that core code looks at in every stanza. */
static void declare_core_names(svi_server *server)
{
    svi_sanitise_declare(server);
    static const sv_str names[] = {
        SV_STR_INIT(SVI_NS_CLIENT), SV_STR_INIT(SVI_NS_STREAM), SV_STR_INIT(SVI_NS_STANZAS),
        SV_STR_INIT("message"),     SV_STR_INIT("presence"),    SV_STR_INIT("iq"),
        SV_STR_INIT("error"),       SV_STR_INIT("type"),        SV_STR_INIT("id"),
        SV_STR_INIT("from"),        SV_STR_INIT("to"),
    };
    svi_server_declare(server, names, sizeof names / sizeof *names);
}

static void free_rest(svi_server *server)
{
    svi_records_free(server);
    svi_bus_free(&server->bus);
    svi_checks_drop(server);
    svi_archives_close(server->archives);
    if (server->store != NULL) svi_store_close(&server->store); /* ends look-ups of accounts */
    svi_archives_free(&server->archives);
    svi_hosts_free(server);
    if (server->ledger != NULL) svi_ledger_free(&server->ledger);
    svi_trail_free(&server->trail);
    if (server->timers != NULL) svi_timers_free(&server->timers);
    svi_dict_free(&server->by_domain);
    svi_dict_free(&server->by_full);
    svi_dict_free(&server->by_bare);
    svi_dict_free(&server->checking);
    svi_arena_free(&server->scratch);
    svi_pool_free(&server->xevents);
    svi_atoms_free(&server->newest_atoms);
    svi_str_free(&server->salt_secret);
    server->magic = 0;
    svi_free(server);
}

sv_status svi_server_new(const svi_server_config *config, svi_server **server_out, sv_err *err)
{
    SV_ASSERT(config->acct != NULL && config->plat != NULL && config->engine != NULL);
    svi_server *server = svi_alloc(config->acct, sizeof *server);
    *server = (svi_server){
        .magic = SVI_SERVER_MAGIC,
        .acct = config->acct,
        .plat = config->plat,
        .loop = config->loop,
        .limits = config->limits,
        .salt_secret = svi_str_dup(config->acct, config->salt_secret),
        .wake = config->wake,
        .fatal = config->fatal,
        .lacks_space = config->lacks_space,
        .ctx = config->ctx,
        .tables = 1,
        .by_domain = svi_dict_new(config->acct),
        .by_full = svi_dict_new(config->acct),
        .by_bare = svi_dict_new(config->acct),
        .checking = svi_dict_new(config->acct),
        .scratch = svi_arena_new(config->acct, 0),
        .xevents = svi_pool_new(config->acct, sizeof(svi_xevent)),
    };
    server->deferred_end = &server->deferred;
    server->due_end = &server->due;
    server->noting_end = &server->noting;
    server->keeps_records = config->keeps_records;
    declare_core_names(server);
    sv_status status = open_store(server, config, err);
    if (status == SV_OK) {
        make_bus(server, config);
        status = open_net(server, config, err);
    }
    if (status != SV_OK) {
        free_rest(server);
        return status;
    }
    *server_out = server;
    return SV_OK;
}

/* --- the turn --------------------------------------------------------------------------------- */

void svi_server_defer(svi_server *server, void (*run)(void *ctx), void (*drop)(void *ctx),
                      void *ctx)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_deferred *deferred = svi_alloc(server->acct, sizeof *deferred);
    *deferred = (svi_deferred){.run = run, .drop = drop, .ctx = ctx};
    *server->deferred_end = deferred;
    server->deferred_end = &deferred->next;
}

static svi_deferred *take_deferred(svi_server *server)
{
    svi_deferred *deferred = server->deferred;
    if (deferred == NULL) return NULL;
    server->deferred = deferred->next;
    if (server->deferred == NULL) server->deferred_end = &server->deferred;
    return deferred;
}

/* What is deferred by what runs here comes in the next turn, so that a turn ends. */
static size_t run_deferred(svi_server *server)
{
    size_t count = 0;
    for (const svi_deferred *d = server->deferred; d != NULL; d = d->next) count++;
    for (size_t i = 0; i < count; i++) {
        svi_deferred *deferred = take_deferred(server);
        deferred->run(deferred->ctx);
        svi_free(deferred);
    }
    return count;
}

static void drop_deferred(svi_server *server)
{
    svi_deferred *deferred;
    while ((deferred = take_deferred(server)) != NULL) {
        if (deferred->drop != NULL) deferred->drop(deferred->ctx);
        svi_free(deferred);
    }
}

bool svi_server_turn(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_plat_enter(server->plat);
    size_t done = svi_net_turn(server->net, 0);
    done += svi_store_poll(server->store);
    done += svi_timers_run(server->timers);
    done += run_deferred(server);
    svi_net_flush(server->net);
    return done > 0 || server->deferred != NULL;
}

int64_t svi_server_due_us(const svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    if (server->deferred != NULL) return server->plat->mono_us(server->plat->ctx);
    const int64_t timers_us = svi_timers_due_us(server->timers);
    const int64_t store_us = svi_store_due_us(server->store);
    const int64_t net_us = svi_net_due_us(server->net);
    const int64_t first_us = timers_us < store_us ? timers_us : store_us;
    return first_us < net_us ? first_us : net_us;
}

/* --- the end ---------------------------------------------------------------------------------- */

void svi_server_drain(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    if (server->draining) return;
    svi_sessions_suspend(server);
    server->draining = true;
    for (sv_session *session = NULL; (session = svi_session_each(server, session)) != NULL;)
        if (svi_session_conn(session) == NULL && !session->is_suspended) svi_session_kick(session, "system-shutdown");
    if (server->streams_ops != NULL) {
        server->streams_ops->drain(server->streams);
        return;
    }
    size_t pos = 0;
    sv_str key;
    void *session;
    while (svi_dict_next(server->by_full, &pos, &key, &session))
        if (!svi_session_is_suspended(session)) svi_session_kick(session, "system-shutdown");
}

bool svi_server_is_idle(const svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    const bool has_streams =
        server->streams_ops != NULL && server->streams_ops->count(server->streams) > 0;
    return !has_streams && server->session_count == 0;
}

/* Nothing is on its way to the disk any more. */
static bool is_settled(const svi_server *server)
{
    return svi_server_is_idle(server) && server->deferred == NULL &&
           svi_store_committed(server->store) == svi_store_submitted(server->store);
}

/* Turns until all is settled, or the time is over. On the stage no time passes here: it ends
 * when nothing moves, and in any case after many turns. */
static void turn_out(svi_server *server, unsigned within_ms)
{
    const svi_plat *plat = server->plat;
    const int64_t end_us = plat->mono_us(plat->ctx) + (int64_t)within_ms * 1000;
    for (unsigned turns = 0; !is_settled(server); turns++) {
        svi_store_hurry(server->store);
        const bool more = svi_server_turn(server);
        const bool is_over = plat->mono_us(plat->ctx) >= end_us;
        if (is_over && (!more || turns >= LAST_TURNS)) return;
        if (more) continue;
        if (server->loop == NULL) return;
        uv_run(server->loop, UV_RUN_NOWAIT);
        /* lint: allow nanosleep (with a loop only, never on the stage) */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void svi_server_free(svi_server **server, unsigned within_ms)
{
    svi_server *s = *server;
    if (s == NULL) return;
    SV_CHECK(s, SVI_SERVER_MAGIC);
    svi_server_drain(s);
    turn_out(s, within_ms);
    svi_net_free(&s->net); /* every stream hears `closed`, which ends its session */
    if (s->streams_ops != NULL) s->streams_ops->free(s->streams);
    s->streams_ops = NULL;
    svi_sessions_end_away(s);
    for (svi_host *host = s->known; host != NULL; host = host->known_next) svi_logins_flush(host);
    svi_records_flush(s);
    svi_store_hurry(s->store);
    svi_store_poll(s->store);
    drop_deferred(s);
    svi_works_detach(s);
    SV_ASSERT(s->session_count == 0);
    free_rest(s);
    *server = NULL; /* not before: what ends here may still reach it */
}

/* --- what it holds ---------------------------------------------------------------------------- */

svi_net *svi_server_net(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->net;
}

svi_store *svi_server_store(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->store;
}

svi_archives *svi_server_archives(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->archives;
}

svi_bus *svi_server_bus(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->bus;
}

svi_ledger *svi_server_ledger(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->ledger;
}

bool svi_server_balances(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    uint64_t in_flight = 0;
    bool is_even = svi_ledger_balances(server->ledger);
    for (svi_host *h = server->known; h != NULL; h = h->known_next) {
        is_even = is_even && svi_ledger_counts_balance(&h->counts, false);
        in_flight += h->counts.in_flight;
    }
    return is_even && in_flight <= svi_ledger_in_flight(server->ledger);
}

svi_timers *svi_server_timers(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->timers;
}

svi_acct *svi_server_acct(svi_server *server)
{
    return server->acct;
}

const svi_plat *svi_server_plat(svi_server *server)
{
    return server->plat;
}

const svi_limits *svi_server_limits(const svi_server *server)
{
    return &server->limits;
}

void svi_server_set_limits(svi_server *server, const svi_limits *limits)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    const svi_limits before = server->limits;
    server->limits = *limits;
    server->limits.stranger = before.stranger;
    server->limits.stranger_rate = before.stranger_rate;
}

sv_str svi_server_salt_secret(const svi_server *server)
{
    return server->salt_secret;
}

const svi_atoms *svi_server_atoms(const svi_server *server)
{
    return atomic_load_explicit(&server->atoms, memory_order_relaxed);
}

void svi_server_declare(svi_server *server, const sv_str *names, size_t count)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    server->newest_atoms = svi_atoms_extend(server->acct, server->newest_atoms, names, count);
    atomic_store_explicit(&server->atoms, server->newest_atoms, memory_order_release);
}

void svi_server_set_streams(svi_server *server, void *streams, const svi_streams_ops *ops)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    SV_ASSERT(server->streams == NULL && streams != NULL && ops != NULL);
    server->streams = streams;
    server->streams_ops = ops;
}

void *svi_server_streams(const svi_server *server)
{
    return server->streams;
}

size_t svi_server_locked(const svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->streams_ops != NULL ? server->streams_ops->locked(server->streams) : 0;
}

bool svi_server_is_draining(const svi_server *server)
{
    return server->draining;
}
