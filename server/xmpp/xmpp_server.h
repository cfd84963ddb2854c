/* The shard: hosts, sessions, streams, bus, store and net of one router, and its turn
 * (architecture 4).
 *
 * Nothing here is global: the stage makes as many as it likes. All functions belong to the
 * router thread. */
#ifndef SVI_XMPP_SERVER_H
#define SVI_XMPP_SERVER_H

#include "bus/bus.h"
#include "net/net.h"
#include "store/store.h"
#include "xmpp/xmpp_jid.h"

typedef struct svi_server svi_server;
typedef struct svi_host svi_host;

typedef struct svi_limits {
    svi_xml_limits stranger, unbound, user; /* before login, until a resource is bound, after that */
    size_t stranger_rate, rate;    /* bytes a second before (10 KiB) and after binding (256 KiB); 0: any */
    size_t credit_bytes;           /* per connection (64 KiB) */
    size_t queue_soft_bytes;       /* per session: presence is coalesced above it (256 KiB) */
    size_t queue_hard_bytes;       /* closed above it (1 MiB) */
    size_t caused_events;          /* per session: not done yet that its stanzas caused (1024); its
                                    * next stanza waits above it */
    unsigned sessions_per_account; /* 20 */
    unsigned strangers; /* streams without a bound resource (1000); the oldest is closed first */
    unsigned strangers_per_address; /* the same of one network address (100) */
    unsigned streams_per_address;   /* all of one network address (2000); the newest is refused */
    unsigned connects_per_address;  /* begun in a minute from one (3000); the same; 0: any */
    unsigned auth_tries;           /* per stream (5), RFC 6120 6.4.5 */
    int64_t header_us, features_us, login_us,
        bind_us; /* deadlines of negotiation: 30 s, 30 s, 60 s in all, 30 s */
    int64_t idle_us;   /* a bound peer that was silent so long is asked whether it is there (15 min); 0:
                        * never; RFC 6120 4.6.4 */
    int64_t answer_us; /* the time it has for a sign of life (1 min) */
} svi_limits;
/* The presets named above. */
svi_limits svi_limits_default(void);

typedef struct svi_server_config {
    svi_acct *acct;
    const svi_plat *plat;
    uv_loop_t *loop;    /* NULL on the stage */
    svi_engine *engine; /* owned from now on */
    svi_durability durability;
    unsigned io_threads;
    svi_limits limits;
    sv_str salt_secret;                          /* secret for made-up salts; copied */
    void (*wake)(void *ctx);                     /* any thread: asks for a turn */
    void (*fatal)(void *ctx, const sv_err *err); /* the store failed: end the worker */
    void *ctx;
    const svi_net_calls
        *calls;       /* who is told of connections; NULL: the streams (svi_stream_calls) */
    int64_t later_us; /* deadline of a handler's LATER; 0: 60 s */
    uint32_t sample_every; /* turns of the bus per timed one (bus_meter.h); 0: SVI_SAMPLE_EVERY */
    size_t explain_bytes;     /* what is kept of recent stanzas' ways (bus_trail.h); 0: nothing */
    bool keeps_records;       /* of sessions, which go on after the next start (xmpp_recover.h) */
    size_t store_cache_bytes; /* rows that nobody uses, kept for the next reader; 0: 32 MiB */
    /* Of a test: asked at admission for each handler that may store, with its module; true: as if there were no space for
     * that. NULL in a server. */
    bool (*lacks_space)(void *ctx, const char *module);
} svi_server_config;

/* Opens the store (replays its journal, may block), makes bus and net. SV_EIO, SV_EVERSION,
 * SV_EBUSY with text; the engine is closed then too. */
sv_status svi_server_new(const svi_server_config *config, svi_server **server_out, sv_err *err);

/* Ends all streams with <system-shutdown/>, waits at most `within_ms` for them by turning,
 * commits, frees. */
void svi_server_free(svi_server **server, unsigned within_ms);

/* One turn: what the network and the store reported, due timers, what events caused, then the
 * flush. Returns true if there is more to do at once. */
bool svi_server_turn(svi_server *server);

/* Monotonic us when a turn is due even without a wake; INT64_MAX if never. */
int64_t svi_server_due_us(const svi_server *server);

/* Starts closing all streams (system-shutdown) and refuses new ones; svi_server_is_idle tells
 * when all are gone. */
void svi_server_drain(svi_server *server);
bool svi_server_is_idle(const svi_server *server);

/* Other limits from now on, of streams and sessions that begin and of what they do. Those before login
 * (`stranger`, `stranger_rate`) stay: listeners have them. */
void svi_server_set_limits(svi_server *server, const svi_limits *limits);

/* The parts it is made of; they live as long as the server. */
svi_net *svi_server_net(svi_server *server);
/* The store. */
svi_store *svi_server_store(svi_server *server);
/* The archives in it (store/store_archive.h). */
struct svi_archives *svi_server_archives(svi_server *server);
/* The bus. */
svi_bus *svi_server_bus(svi_server *server);
/* What became of recent stanzas. Never NULL. */
svi_trail *svi_server_trail(svi_server *server);
/* From now on so much of that is kept (0: nothing); what there is goes if that changes. */
void svi_server_set_explain(svi_server *server, size_t bytes);
/* The ledger of all hosts. */
svi_ledger *svi_server_ledger(svi_server *server);
/* True if the ledger balances (svi_ledger_balances), and for each host that was ever served too. */
bool svi_server_balances(svi_server *server);
/* The router's timers. */
svi_timers *svi_server_timers(svi_server *server);
/* Whom the core's memory is charged to. */
svi_acct *svi_server_acct(svi_server *server);
/* Clock and randomness. */
const svi_plat *svi_server_plat(svi_server *server);
/* The limits it was made with. */
const svi_limits *svi_server_limits(const svi_server *server);
/* The secret for made-up salts (threats A4). */
sv_str svi_server_salt_secret(const svi_server *server);

/* The atom table; declaring names swaps it. */
const svi_atoms *svi_server_atoms(const svi_server *server);
void svi_server_declare(svi_server *server, const sv_str *names, size_t count);

/* Runs `run(ctx)` soon, in this or the next turn, in order; `drop(ctx)` (may be NULL) if the
 * server ends first. */
void svi_server_defer(svi_server *server, void (*run)(void *ctx), void (*drop)(void *ctx),
                      void *ctx);

/* Runs `run(ctx)` on another thread (on the stage in the next turn), then `done(ctx, false)` in a turn
 * of the router. If the server ends first: `done(ctx, true)` all the same, when the loop runs next or
 * at once; the server may not be used then. Exactly once, never before this has returned. */
void svi_server_work(svi_server *server, void (*run)(void *ctx),
                     void (*done)(void *ctx, bool is_over), void *ctx);

/* --- hosts ------------------------------------------------------------------------------------ */

/* Who may log in. */
typedef enum svi_logins {
    SVI_LOGINS_ACCOUNTS, /* accounts, by password or certificate */
    SVI_LOGINS_GUESTS,   /* anybody, by ANONYMOUS alone (XEP-0175) */
    SVI_LOGINS_BOTH
} svi_logins;

typedef struct svi_host_config {
    sv_str domain;        /* prepared */
    const sv_str *admins; /* bare JIDs, prepared */
    size_t admin_count;
    bool require_tls; /* no SASL mechanisms without TLS, but on loopback listeners (SCRAM) */
    svi_logins logins;
    size_t guests_max; /* at once */
    bool keeps_addresses; /* stores where accounts last logged in from */
} svi_host_config;

/* Hosts are never freed while the server lives: an event that waits may name one that is not served any
 * more, and one that comes back has its data and its counts again. */

/* Makes a host that is not served yet, with an empty hook table and its accounts' map; the one there is
 * if it is known. Changes nothing for anybody. */
sv_status svi_host_prepare(svi_server *server, sv_str domain, svi_host **host_out, sv_err *err);
/* Serves a prepared host from now on, or one again that was not served; or changes the settings of one
 * that is; `domain` is not looked at. Sessions that `logins` does not let in any more end with <reset/>. False if
 * it was served like that before. */
bool svi_host_serve(svi_host *host, const svi_host_config *config);
/* Serves it no more (idempotent): it is remote from now on, nobody logs in, its sessions end with
 * <host-gone/> (RFC 6120 4.9.3.5), some each turn. Its data stay, its hooks until the last session has
 * gone. */
void svi_host_retire(svi_host *host);
bool svi_host_is_served(const svi_host *host);
/* True if it has ever been served by this server. */
bool svi_host_was_served(const svi_host *host);
/* The host of that domain, served or not; NULL if none is known. */
svi_host *svi_host_known(svi_server *server, sv_str domain);
/* All that are known, in no order; start with NULL. */
svi_host *svi_host_next_known(svi_server *server, svi_host *after);
/* Number `i` of its admins; empty past the end. */
sv_str svi_host_admin_at(const svi_host *host, size_t i);
/* Guests that have logged in and are there. */
size_t svi_host_guest_count(const svi_host *host);
/* Sessions of its accounts. */
size_t svi_host_session_count(const svi_host *host);

/* Prepares and serves a host. SV_EEXIST if it is served. */
sv_status svi_host_add(svi_server *server, const svi_host_config *config, svi_host **host_out,
                       sv_err *err);
/* The host that is served by that name; NULL if there is none. */
svi_host *svi_host_find(svi_server *server, sv_str domain);
/* Hosts that are served, in order of adding; start with NULL. */
svi_host *svi_host_next(svi_server *server, svi_host *after);

/* Replaces the host's hook table (takes a reference). Passes in progress keep the old one. */
void svi_host_set_hooks(svi_host *host, svi_hooks *hooks);
/* True while a module is in quarantine that guards session/bound: no resource may be bound. */
bool svi_host_is_closed(const svi_host *host);
/* As svi_host_set_hooks. `newcomers` (may be NULL; takes a reference) are the hooks of those modules that were not
 * there before: for them alone session/bound is fired about each session that is bound already, and
 * session/presence if it is available; before the next stanza of the session, and some sessions each
 * turn. */
void svi_host_change_hooks(svi_host *host, svi_hooks *hooks, svi_hooks *newcomers);
/* Tells a module that comes back of what it has missed: as the newcomers above, of each session whose number is
 * greater than `after` (svi_server_newest_session, when it left). `newcomers` are its hooks alone. */
void svi_host_introduce(svi_host *host, svi_hooks *newcomers, uint64_t after);
/* Fires host/ready for the hooks of a table alone. */
void svi_host_tell_ready(svi_host *host, svi_hooks *hooks);
/* The number of the session that was bound last on any host; 0 if none was. */
uint64_t svi_server_newest_session(const svi_server *server);
svi_hooks *svi_host_hooks(svi_host *host);
/* Replaces what modules add to the stream features after login: XML text, copied. Empty at first. */
void svi_host_set_features(svi_host *host, sv_str xml);
sv_str svi_host_features(const svi_host *host);
sv_str svi_host_domain(const svi_host *host);
const char *svi_host_name(const svi_host *host); /* the same, NUL-terminated, outlives events */
svi_server *svi_host_server(svi_host *host);
svi_ledger_counts *svi_host_ledger(svi_host *host);
bool svi_host_requires_tls(const svi_host *host);
svi_logins svi_host_logins(const svi_host *host);
/* True if guests may log in, or might once: their names stay theirs. */
bool svi_host_has_had_guests(const svi_host *host);
/* One more guest, false if there are as many as may be; one less. */
bool svi_host_guest_enters(svi_host *host);
void svi_host_guest_leaves(svi_host *host);
bool svi_host_is_admin(const svi_host *host, sv_str bare_jid);
svi_map *svi_host_accounts(svi_host *host);
/* Hangs the modules' part on the host, once; `detach` frees it with the host. What was hung there, NULL
 * before. It outlives generations of modules. */
void svi_host_attach(svi_host *host, void *part, void (*detach)(void *part));
void *svi_host_attached(const svi_host *host);
/* True if the account of that localpart was deleted after the event with this number had begun: what the
 * event still writes for it belongs to nobody, nor to a later account of the name. */
bool svi_host_is_stale(const svi_host *host, sv_str name, uint64_t event_number);
/* True if that is so of any account. */
bool svi_host_has_stale(const svi_host *host, uint64_t event_number);

/* --- streams ---------------------------------------------------------------------------------- */

/* The calls to give to svi_net_new; ctx is the server. */
const svi_net_calls *svi_stream_calls(void);

/* Which streams of an account end. */
typedef enum svi_forget {
    SVI_FORGET_LOGINS, /* those that are just logging in: its keys are others now */
    SVI_FORGET_ALL     /* those that have logged in, too */
} svi_forget;
/* How somebody came; texts live as long as the stream, those of the login are static. */
typedef struct svi_stream_facts {
    const char *peer; /* address and port */
    bool is_tls;
    const char *mechanism, *binding; /* of SASL; binding NULL: none */
} svi_stream_facts;

/* What the streams keep on a server, and how the server reaches them. */
typedef struct svi_streams_ops {
    void (*drain)(void *streams); /* ends every stream with <system-shutdown/>, refuses new ones */
    size_t (*count)(const void *streams); /* streams that are open */
    /* Something about an account has changed: ends the streams that `how` says. `text` (may be NULL)
     * is told to those that had logged in. May be NULL. */
    void (*forget)(void *streams, svi_host *host, sv_str name, svi_forget how, const char *text);
    /* Ends one connection's stream with a stream error (RFC 6120 4.9.3) and a text for people (NULL:
     * none); idempotent. */
    void (*end)(void *streams, svi_conn *conn, const char *stream_error, const char *text);
    /* Closes one connection without ending its stream, when what was handed to it is written: the session goes on elsewhere. */
    void (*suspend)(void *streams, svi_conn *conn);
    /* The session of a connection's stream, with that number, has gone on without it: ends it as `end` does. */
    void (*leave)(void *streams, svi_conn *conn, const sv_session *session, const char *stream_error);
    size_t (*locked)(const void *streams); /* addresses and accounts that may not log in now */
    void (*free)(void *streams);           /* after the network is gone */
    /* How the peer of a connection came and logged in. May be NULL. */
    void (*facts)(void *streams, svi_conn *conn, svi_stream_facts *facts_out);
} svi_streams_ops;

/* Hangs the streams' part on the server; called once, when the first connection opens. Without
 * it sessions end their connections themselves, framed for TCP. */
void svi_server_set_streams(svi_server *server, void *streams, const svi_streams_ops *ops);
/* What was set, NULL before. */
void *svi_server_streams(const svi_server *server);
/* Addresses and accounts that are locked after too many failed logins. */
size_t svi_server_locked(const svi_server *server);
/* True once svi_server_drain was called: new streams are refused. */
bool svi_server_is_draining(const svi_server *server);

#endif
