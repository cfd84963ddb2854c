/* What the files of the shard share: the structs behind server, host and session. Nobody outside
 * server/xmpp includes it. */
#ifndef SVI_XMPP_IMPL_H
#define SVI_XMPP_IMPL_H

#include <stdatomic.h>
#include "base/base_dict.h"
#include "xmpp/xmpp_event.h"
#include "xmpp/xmpp_tally.h"

#define SVI_SERVER_MAGIC 0x53525652u
#define SVI_HOST_MAGIC 0x54534f48u
#define SVI_SESSION_MAGIC 0x53534553u
#define SVI_XEVENT_MAGIC 0x54564558u

#define SVI_LAST_WORDS_MS 5000u /* how long a stream error may take to be written */

#define SVI_NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

typedef struct svi_work svi_work; /* xmpp_work.c */

typedef struct svi_deferred {
    struct svi_deferred *next;
    void (*run)(void *ctx);
    void (*drop)(void *ctx);
    void *ctx;
} svi_deferred;

/* Sessions of one account, in order of binding. */
typedef struct svi_online {
    sv_session *first, *last;
    size_t count;
} svi_online;

struct svi_server {
    uint32_t magic;
    svi_acct *acct;
    const svi_plat *plat;
    uv_loop_t *loop;
    svi_limits limits;
    sv_str salt_secret;
    void (*wake)(void *ctx);
    void (*fatal)(void *ctx, const sv_err *err);
    bool (*lacks_space)(void *ctx, const char *module); /* NULL in a server */
    void *ctx;

    svi_timers *timers;
    svi_ledger *ledger;
    svi_trail *trail;
    svi_trail *told; /* the same while anything is kept in it, else NULL */
    uint64_t told_entry; /* whose head was told last */
    sv_atom sid;         /* "urn:xmpp:sid:0" */
    svi_bus *bus;
    svi_store *store;
    struct svi_archives *archives;
    svi_net *net;

    svi_atoms *newest_atoms;        /* owned: the chain of tables */
    const svi_atoms *_Atomic atoms; /* what I/O threads read */
    sv_atom claims_first, claims_last; /* namespaces that xmpp_sanitise.c looks for */

    svi_host *known;   /* all that are or were served or are prepared: what waits may name one that has gone */
    svi_host *hosts;   /* those that are served, in order of adding */
    svi_dict *by_domain;  /* the same */
    svi_dict *by_full; /* full JID -> sv_session */
    svi_dict *by_bare; /* bare JID -> svi_online */
    /* found last: a message asks for its recipient several times; NULL if none */
    const svi_online *recent_online;
    svi_host *recent_host;
    size_t session_count;
    sv_session *first_listed, *last_listed; /* those that are found, in order of binding */
    uint64_t tables; /* grows with each change of the two above */
    uint64_t last_session;
    sv_session *due,
        **due_end; /* sessions whose session/bound or session/gone is still to be fired */

    svi_arena *scratch; /* marked and reset by whoever uses it */
    svi_pool *xevents;
    svi_dict *checking; /* bare JID -> svi_check: accounts being looked up */

    svi_deferred *deferred, **deferred_end;
    svi_work *works; /* in the pool, or done and not told */

    void *streams;
    const svi_streams_ops *streams_ops;
    bool draining;
    bool keeps_records;                 /* of sessions (xmpp_recorder.h) */
    struct svi_recorder *recorders_due; /* those with something to write */
    bool is_recording_soon;
    svi_timer *record_timer;
    struct svi_noting *noting, **noting_end; /* what waits for a commit, in their order */
    sv_event *sending_in;   /* what is sent now belongs to this event, which is open; NULL: to none, or it is over */
    uint64_t sending_entry; /* the copy's in the ledger; what goes ahead of it, since it had waited, is of other events */
    const svi_watcher *watcher; /* NULL: nobody watches stanzas */
};

struct svi_host {
    uint32_t magic;
    svi_host *known_next; /* of all */
    svi_host *next;       /* of those that are served */
    svi_server *server;
    sv_str domain; /* NUL behind it */
    bool is_served, was_served;
    svi_hooks *hooks;
    sv_str features; /* of streams, after login; what modules add */
    svi_hooks *newcomers; /* what modules enabled just now hook, until each session was introduced */
    uint64_t newcomers_after; /* sessions up to this number are known to them */
    sv_session *sessions, **sessions_end; /* in order of binding */
    size_t session_count;
    uint64_t changes;  /* grows with each after which its sessions are looked at */
    sv_session *sweep; /* the next one to look at */
    bool is_sweeping;
    svi_map *accounts;
    sv_str *admins;
    size_t admin_count;
    bool requires_tls;
    svi_logins logins;
    bool has_had_guests; /* their names stay theirs */
    size_t guests, guests_max;
    bool keeps_addresses; /* of logins */
    svi_ledger_counts counts;
    void *attached; /* see svi_host_attach */
    void (*detach)(void *attached);
    struct svi_login_notes *login_notes;
    struct svi_provider *provider; /* whose its accounts are; NULL: the store's */
    svi_map *records;              /* "HOST/sessions"; NULL: none are kept */
    svi_map *removal_rows;         /* "HOST/removals": accounts whose deletion has begun */
    struct svi_removal *removals;  /* under way */
    svi_dict *stale;               /* localpart -> svi_stale */
    struct svi_stale *oldest_stale, **stale_end;
    size_t stale_count;
};

/* A named item. */
typedef struct svi_session_slot {
    struct svi_session_slot *next;
    sv_str name;
    sv_str value;
} svi_session_slot;

/* A module's memory on a session, in the lists of both: it goes with whichever goes first. */
struct svi_session_block {
    struct svi_session_block *next, **link;             /* of the session's */
    struct svi_session_block *owner_next, **owner_link; /* of the module's */
    svi_session_blocks *owner;
    size_t bytes;
    max_align_t data[];
};

/* A stanza on its way whose row is deleted when it was written. */
typedef struct svi_kept {
    struct svi_kept *next;
    uint64_t token;
    svi_map *map;
    sv_str owner, key;
    size_t bytes; /* of the stanza */
} svi_kept;

/* A stanza of a session that waits until less of what came before it is on its way. */
typedef struct svi_unheard {
    struct svi_unheard *next;
    sv_stanza *stanza;
    svi_arrival arrival;
} svi_unheard;

typedef struct svi_session_rows {
    struct svi_session_rows *next;
    svi_map *map;
    svi_rows *rows;
} svi_session_rows;

/* What a counted session has besides; xmpp_counted.c. */
typedef struct svi_counted {
    svi_tally *tally;
    svi_counting how;
    bool is_counting_out; /* the client counts what it gets: its copies go through the tally */
    bool is_held;         /* taken up by a stream that must be told first: nothing is handed to it yet */
    bool is_recovered;    /* by a start of the server; until it was taken up */
    bool is_handled_due, is_unacked_due; /* session/handled, session/unacked are to be fired */
    int64_t away_us;      /* wall clock, since when it has no connection; 0: it has one */
    svi_timer *away_timer;    /* how long it may be away */
    svi_timer *handled_timer; /* until session/handled is fired at the latest; NULL: nobody waits */
    uint64_t wanted;          /* the serial that is waited for; 0: none */
    svi_timer *ask_timer;     /* until session/unacked is fired, or its answer is due */
    size_t unasked, unasked_bytes; /* handed over since it was fired */
    int64_t handed_us;             /* monotonic, when the last one was handed over */
    bool is_asked;                 /* its client was asked then, at `asked_us` (monotonic), and has acknowledged nothing since */
    int64_t asked_us;
} svi_counted;

struct sv_session {
    uint32_t magic;
    svi_server *server;
    svi_host *host;
    uint64_t number;
    sv_jid jid;
    svi_conn *conn;     /* NULL while it is away */
    uint32_t turn;      /* grows with each connection: what the one before owes is void */
    svi_counted *counted; /* NULL: it is not */
    struct svi_recorder *recorder; /* NULL: nothing of it is stored */
    char lang[SVI_LANG_BYTES]; /* of its stream; empty: none */
    bool is_listed;     /* found by address */
    bool is_announced;  /* session/bound was fired */
    bool is_gone;       /* session/gone was fired */
    bool is_kicked;     /* its stream was ended from here */
    bool is_suspended;  /* the server stops, and the session goes on after the next start: nothing more is heard from it */
    bool is_guest;      /* its account has no storage (XEP-0175) */
    size_t in_flight;   /* copies sent and not reported */
    svi_online *online; /* of its account, while listed */
    sv_session *account_next, *account_prev;
    sv_session *host_next, **host_link; /* of its host's */
    uint64_t seen; /* the host's `changes` when it was looked at */
    sv_session *listed_next, *listed_prev; /* in the server's list */
    int64_t bound_us;                      /* wall clock */
    sv_session *due_next; /* in the server's list */
    bool is_due;
    const sv_stanza *presence;
    int         priority;
    struct svi_session_block *blocks;
    svi_session_slot *items;
    svi_session_rows *rows;
    svi_kept *kept, **kept_end;
    size_t kept_bytes; /* of all of them */
    svi_xevent *xevents; /* open events whose `session` it is */
    size_t owed;         /* events not done that its stanzas caused, besides their own */
    svi_unheard *unheard, **unheard_end;
    struct svi_hold *hold; /* NULL: never held; xmpp_hold.c */
};

/* --- xmpp_host.c ------------------------------------------------------------------------------ */

/* Frees all hosts; before the ledger goes. */
void svi_hosts_free(svi_server *server);

/* --- xmpp_attend.c ---------------------------------------------------------------------------- */

/* Puts the session, new or about to be freed, on its host's list and takes it off. */
void svi_host_enlist(sv_session *session);
void svi_host_strike(sv_session *session);
/* Looks at a session once after each change of its host: introduces it to newly enabled modules, ends
 * it if it may not stay. Before its next stanza or occasion; idempotent. */
void svi_session_attend(sv_session *session);
/* Has all sessions of the host looked at, a few each turn. */
void svi_host_sweep(svi_host *host);
/* Looks at the rest at once. */
void svi_host_sweep_out(svi_host *host);
/* Takes the hooks of a host that is not served away when nobody is left whom they serve. */
void svi_host_rest(svi_host *host);

/* --- xmpp_session.c --------------------------------------------------------------------------- */

/* A session from a record, without connection; not found by its address unless `is_listed`. session/bound counts as fired. */
sv_session *svi_session_rebuild(svi_host *host, const sv_jid *jid, int64_t bound_us, bool is_listed);
/* Takes the session out of the tables; nothing is found or delivered any more. Idempotent. */
void svi_session_unlist(sv_session *session);
/* Fires session/bound if that is still to come: before the first stanza is looked at. */
void svi_session_announce(sv_session *session);

/* One more, or one less, of what the payer's stanzas caused is on its way. A stanza may cause an
 * event for each contact, and those wait for the store: whoever sends faster than that goes is
 * slowed by his own cost (architecture 3, step 2). */
void svi_session_owes(svi_server *server, const svi_payer *payer, bool more);
/* Keeps a stanza of a session that owes too much, in order; its credit is not given back. Takes
 * the reference. False, and nothing is done, if it need not wait. */
bool svi_session_puts_off(sv_session *session, sv_stanza *take, const svi_arrival *arrival);
/* What svi_inbound does with a stanza that need not wait (xmpp_inbound.c). */
void svi_inbound_now(sv_session *session, sv_stanza *take, const svi_arrival *arrival);
/* Nothing of a stanza is under way any more: gives its credit back, and counts it. */
void svi_session_heard(sv_session *session, const svi_arrival *arrival);
/* Its next occasion comes soon: never inside what runs now. */
void svi_session_become_due(sv_session *session);
/* Takes the note of the row that goes with the copy of that token off; NULL if there is none. */
svi_kept *svi_session_take_kept(sv_session *session, uint64_t token);
/* Frees such a note. */
void svi_kept_free(svi_kept *kept);

/* The sender of availability (RFC 6121 4.2, 4.5), of which only the newest matters; .p NULL for
 * everything else. */
sv_str svi_sender_of_availability(const sv_stanza *stanza);

/* --- xmpp_counted.c --------------------------------------------------------------------------- */

/* A stanza comes: its serial, 0 if it is not counted. `is_repeat_out`: it was heard before, and is not to be heard again. */
uint64_t svi_counted_in(sv_session *session, const sv_stanza *stanza, bool *is_repeat_out);
/* It waits for one more thing, or one less. */
void svi_counted_hold(sv_session *session, uint64_t serial, bool more);
/* It waits for one less, and what is committed says that it is done, if it is. */
void svi_counted_heard(sv_session *session, uint64_t serial, bool is_noted);
/* What is committed says that all up to that serial are done. */
void svi_counted_noted(sv_session *session, uint64_t serial);
/* Too many of its stanzas are not counted yet. */
bool svi_counted_is_full(const sv_session *session);
/* What goes to it is counted. */
bool svi_counted_takes(const sv_session *session);
/* Takes a copy for it, and hands it to the connection if there is one and it has room. The bounds are kept first. */
void svi_counted_send(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry);
/* Hands to its connection what has room there. */
void svi_counted_feed(sv_session *session);
/* Its client has been asked to acknowledge. */
void svi_counted_asked(sv_session *session);
/* What is due to it is fired. */
void svi_counted_fire(sv_session *session);
/* It ends: what was not acknowledged was never sent. It is not listed any more. */
void svi_counted_end(sv_session *session);
/* Frees what is counted; svi_counted_end was before. */
void svi_counted_free(sv_session *session);
/* Of an account's sessions that are away ends the oldest, if there is one. */
bool svi_counted_make_room(const svi_online *online);
/* A session from a record waits for its client, away since then (wall clock; 0: nobody knows, so from now on) for so long; with
 * `keep_us` 0 nobody comes for it. */
void svi_session_wait(sv_session *session, int64_t away_us, int64_t keep_us);
/* Ends those for which nobody comes. */
void svi_sessions_end_unresumable(svi_server *server);
/* The server stops: all that may go on after the next start are written down and let go, each when its client was told what is
 * handled. */
void svi_sessions_suspend(svi_server *server);
/* The server stops: ends all that are away. */
void svi_sessions_end_away(svi_server *server);

/* --- xmpp_queue.c ----------------------------------------------------------------------------- */

/* Notes the row that is deleted when the stanza of that token was written; before
 * svi_session_send. */
void svi_session_keep(sv_session *session, uint64_t token, const sv_stanza *stanza, svi_map *map,
                      sv_str owner, sv_str key);
/* Queues a copy; `to` (may be .p NULL) replaces the stanza's own. */
void svi_session_send(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry);

/* Tells the watcher, if there is one. */
static inline void svi_session_seen(const sv_session *session, const sv_stanza *stanza, sv_str to,
                                    svi_seen_what what)
{
    const svi_watcher *watcher = session->server->watcher;
    if (watcher == NULL) return;
    watcher->stanza(watcher->ctx, &(svi_seen){.what = what,
                                              .host = session->host,
                                              .jid = &session->jid,
                                              .stanza = stanza,
                                              .to = to});
}

/* --- xmpp_event.c ----------------------------------------------------------------------------- */

/* What becomes an event: a stanza or an occasion with its addresses. All borrowed but `entry`. */
typedef struct svi_passage {
    svi_server *server;
    svi_host *from_host; /* where it begins; never NULL */
    svi_hooks *hooks;    /* who is asked; NULL: all of from_host's */
    sv_session *session; /* sender or subject; NULL if there is none */
    const sv_stanza *stanza;
    sv_jid from, to;
    sv_str subject;
    uint64_t entry; /* 0: nothing to account for */
    svi_arrival arrival;
    int kind;        /* svi_kind */
    svi_place place; /* of `to` */
    bool is_own;
    bool is_apart; /* a rehearsal: nothing of it is told of the stanza */
    bool is_made; /* by a module, in the name of `from` */
    bool account_exists;
    bool is_brief; /* its handlers may not wait */
    sv_str error_from; /* of an error instead of the stanza's own `to`; .p NULL */
    svi_payer payer;
} svi_passage;

/* svi_route of what another event caused. */
void svi_route_for(const svi_payer *payer, svi_server *server, svi_host *from_host,
                   const sv_stanza *stanza, uint64_t entry);
/* The same for what a module sends: the host of a local account in whose name it goes to somebody
 * else is asked first (stanza/made). */
void svi_route_made(const svi_payer *payer, svi_server *server, svi_host *from_host,
                    const sv_stanza *stanza, uint64_t entry);

/* Makes the event at that point of the passage's host; addresses and texts are copied into its
 * arena. */
sv_event *svi_xevent_open(const svi_passage *passage, const svi_event_ops *ops, svi_point point);
/* svi_occasion about a session for these hooks alone. */
void svi_introduce(sv_session *session, svi_hooks *hooks, svi_point point,
                   const sv_stanza *stanza);
/* Takes it off the session's list and frees it. */
void svi_xevent_close(svi_xevent *x);
/* The event's unit is about to be handed in: what the core adds to it, or takes out (svi_event_ops.committing). */
void svi_xevent_committing(sv_event *ev, void *unit);
/* The session ends: its events go on without it. */
void svi_xevent_forget_session(sv_session *session);

/* Fires session/unsent for a copy that was never written; the event's entry is the copy's. `since_us`: wall clock, when it was
 * given to the session; 0: just now. `ticket`: of its note in the session's record; 0: it has none. */
void svi_unsent(sv_session *session, const sv_stanza *stanza, int64_t since_us, uint64_t ticket,
                uint64_t entry);

typedef struct svi_hold svi_hold;
/* True if a stanza for the session was asked about and sent, kept or dropped, so that nothing is left to do; while nobody
 * asks, false. */
bool svi_hold_takes(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry);
/* What still waits when the session ends: availability is dropped by the rule "held-until-the-end", the rest was never
 * written (session/unsent). */
void svi_hold_end(sv_session *session);
/* Frees what there is of it, behind svi_hold_end. */
void svi_hold_free(sv_session *session);
/* True if the stanza of that entry, which is being sent, goes with a row (svi_session_keep). */
bool svi_session_keeps(const sv_session *session, uint64_t entry);

/* What an error says. */
typedef struct svi_error {
    sv_cond cond;
    sv_str type;               /* empty: the one that the RFC recommends for the condition */
    sv_str text;               /* in English; empty: none */
    const sv_stanza *specific; /* application-specific condition (RFC 6120 8.3.4), or NULL */
} svi_error;

/* The key of a lane in the arena: sender's full JID, NUL, recipient's bare JID (architecture 3.3). */
sv_str svi_lane_key(svi_arena *arena, const sv_jid *from, const sv_jid *to);

/* Disposes with an error to the sender, or drops what must not be answered; does not end a
 * waiting event. */
void svi_x_return(sv_event *ev, sv_cond cond, sv_str text, svi_disposal disposal);
/* Of svi_event_ops: tells the watcher that the event's stanza was dropped. */
void svi_x_dropped(sv_event *ev, const char *rule);
/* Takes the event's stanza to its recipient in an event of its own, when this one is released. */
void svi_x_pass_over(sv_event *ev);
/* Hands the event's stanza to a session; does not end a waiting event. */
void svi_x_hand(sv_event *ev, sv_session *session);

/* --- xmpp_answer.c ---------------------------------------------------------------------------- */

/* The error for a stanza (RFC 6120 8.3): same kind and id, addresses swapped. `from.p` NULL: the
 * stanza's own `to`. */
sv_stanza *svi_error_for(svi_server *server, const sv_stanza *stanza, sv_str from,
                         const svi_error *said);
/* True for an error and for an IQ result: never answered (RFC 6120 8.2.3, 8.3.1). */
bool svi_is_unanswerable(const sv_stanza *stanza);

/* --- xmpp_route.c ----------------------------------------------------------------------------- */

typedef enum svi_kind {
    SVI_KIND_NONE = 0,
    SVI_KIND_MESSAGE,
    SVI_KIND_PRESENCE,
    SVI_KIND_GET,
    SVI_KIND_SET,
    SVI_KIND_RESULT,
    SVI_KIND_ERROR
} svi_kind;

/* What a stanza is, by name, namespace and, of an IQ, type (message and presence errors are
 * messages and presence). */
svi_kind svi_kind_of(const sv_stanza *stanza);
bool svi_kind_is_iq(svi_kind kind);

/* Admission (architecture 8): false if space is short and a handler on the way may store. */
bool svi_passage_is_admitted(svi_passage *passage);
/* Disposes of it before any handler: an error to the sender, and its credit back. */
void svi_passage_refuse(const svi_passage *passage, sv_cond cond);
/* Finds out whether the recipient's account exists, if that matters, then runs it: in the order
 * of calls for one recipient. */
void svi_passage_start(svi_passage *passage);

/* --- xmpp_removal.c --------------------------------------------------------------------------- */

/* Opens what deletions need on a host / frees it; none is under way. */
sv_status svi_removals_open(svi_host *host, sv_err *err);
void svi_removals_free(svi_host *host);

/* --- xmpp_logins.c ---------------------------------------------------------------------------- */

typedef struct svi_login_notes svi_login_notes; /* what was noted of a host's accounts */

/* Opens the host's notes / frees them unwritten. */
sv_status svi_logins_open(svi_host *host, sv_err *err);
void svi_logins_free(svi_host *host);

/* --- xmpp_check.c ----------------------------------------------------------------------------- */

/* --- xmpp_work.c ------------------------------------------------------------------------------ */

/* What is still in the pool ends without the server. */
void svi_works_detach(svi_server *server);

/* Holds the passage until the account is known, or while others wait for the same; then
 * svi_passage_run. Its host is served, or was when those began to wait. */
void svi_check_account(const svi_passage *passage);
/* True if somebody waits for that account: who comes later waits behind. */
bool svi_check_is_running(const svi_server *server, sv_str bare_jid);
/* Drops what waits for accounts; the look-ups themselves end with the store. */
void svi_checks_drop(svi_server *server);
/* Runs a passage whose account is known (xmpp_route.c). */
void svi_passage_run(const svi_passage *passage);

#endif
