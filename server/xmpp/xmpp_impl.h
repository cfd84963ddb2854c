/* What the files of the shard share: the structs behind server, host and session. Nobody outside server/xmpp includes it. */
#ifndef SVI_XMPP_IMPL_H
#define SVI_XMPP_IMPL_H

#include <stdatomic.h>
#include "xmpp/xmpp_event.h"

#define SVI_SERVER_MAGIC 0x53525652u
#define SVI_HOST_MAGIC 0x54534f48u
#define SVI_SESSION_MAGIC 0x53534553u
#define SVI_XEVENT_MAGIC 0x54564558u

#define SVI_NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

typedef struct svi_deferred {
    struct svi_deferred *next;
    void (*run)(void *ctx);
    void (*drop)(void *ctx);
    void *ctx;
} svi_deferred;

/* Sessions of one account, in order of binding. */
typedef struct svi_online {
    sv_session *first, *last;
    size_t      count;
} svi_online;

struct svi_server {
    uint32_t        magic;
    svi_acct       *acct;
    const svi_plat *plat;
    uv_loop_t      *loop;
    svi_limits      limits;
    sv_str          salt_secret;
    void          (*wake)(void *ctx);
    void          (*fatal)(void *ctx, const sv_err *err);
    void           *ctx;

    svi_timers *timers;
    svi_ledger *ledger;
    svi_bus    *bus;
    svi_store  *store;
    svi_net    *net;

    svi_atoms                *newest_atoms; /* owned: the chain of tables */
    const svi_atoms *_Atomic  atoms;        /* what I/O threads read */

    svi_host    *hosts;   /* in order of adding */
    svi_dict    *by_domain;
    svi_dict    *by_full; /* full JID -> sv_session */
    svi_dict    *by_bare; /* bare JID -> svi_online */
    size_t       session_count;
    uint64_t     last_session;
    sv_session  *leaving; /* out of the tables, session/gone not yet fired */

    svi_arena   *scratch;  /* marked and reset by whoever uses it */
    svi_xevent  *xevents;  /* of all events that are open */
    svi_dict    *checking; /* bare JID -> svi_check: accounts being looked up */

    svi_deferred *deferred, **deferred_end;

    void                  *streams;
    const svi_streams_ops *streams_ops;
    bool                   draining;
};

struct svi_host {
    uint32_t    magic;
    svi_host   *next;
    svi_server *server;
    sv_str      domain; /* NUL behind it */
    svi_hooks  *hooks;
    svi_map    *accounts;
    sv_str     *admins;
    size_t      admin_count;
    bool        requires_tls;
    svi_ledger_counts counts;
};

/* A module's block, or a named item. */
typedef struct svi_session_slot {
    struct svi_session_slot *next;
    sv_str name;
    void  *block;
    sv_str value;
} svi_session_slot;

/* A stanza on its way whose row is deleted when it was written. */
typedef struct svi_kept {
    struct svi_kept *next;
    uint64_t token;
    svi_map *map;
    sv_str   owner, key;
} svi_kept;

typedef struct svi_session_rows {
    struct svi_session_rows *next;
    svi_rows *rows;
} svi_session_rows;

struct sv_session {
    uint32_t    magic;
    svi_server *server;
    svi_host   *host;
    uint64_t    number;
    sv_jid      jid;
    svi_conn   *conn;     /* until svi_session_end */
    bool        is_listed;    /* found by address */
    bool        is_announced; /* session/bound was fired */
    bool        is_gone;      /* session/gone was fired */
    bool        is_kicked;    /* its stream was ended from here */
    size_t      in_flight;    /* copies sent and not reported */
    sv_session *account_next, *account_prev;
    sv_session *leaving_next, **leaving_link;
    const sv_stanza *presence;
    int         priority;
    svi_session_slot *data, *items;
    svi_session_rows *rows;
    svi_kept   *kept, **kept_end;
    svi_xevent *xevents;  /* open events whose `session` it is */
};

/* --- xmpp_session.c --- */

/* Takes the session out of the tables; nothing is found or delivered any more. Idempotent. */
void svi_session_unlist(sv_session *session);
/* Fires session/bound if that is still to come: before the first stanza is looked at. */
void svi_session_announce(sv_session *session);
/* Queues a copy; `to` (may be .p NULL) replaces the stanza's own. */
void svi_session_send(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry);
/* Frees tables and whatever sessions are left. */
void svi_sessions_free(svi_server *server);

/* --- xmpp_event.c --- */

/* What becomes an event: a stanza with its addresses. All borrowed but `entry`. */
typedef struct svi_passage {
    svi_server *server;
    svi_host   *from_host;  /* whose ledger and defaults; never NULL */
    sv_session *session;    /* sender; NULL for what was made here */
    const sv_stanza *stanza;
    sv_jid      from, to;
    uint64_t    entry;
    size_t      cost_bytes;
    bool        is_own;
    bool        account_exists;
} svi_passage;

/* Makes an xevent and its event; the addresses are copied into the event's arena. */
sv_event *svi_xevent_open(const svi_passage *passage, const svi_event_config *config);
/* Takes it off the session's and the server's list and frees it. */
void svi_xevent_close(svi_xevent *x);
/* The event's session has gone. */
void svi_xevent_forget_session(sv_session *session);

/* Fires session/unsent for a copy that was never written; the event's entry is the copy's. */
void svi_unsent(sv_session *session, const sv_stanza *stanza, uint64_t entry);

/* Disposes with an error to the sender, or drops what must not be answered; does not end a waiting event. */
void svi_x_return(sv_event *ev, sv_cond cond, sv_str text, svi_disposal disposal);
/* Hands the event's stanza to a session; does not end a waiting event. */
void svi_x_hand(sv_event *ev, sv_session *session);

/* --- xmpp_answer.c --- */

/* The error for a stanza (RFC 6120 8.3): same kind and id, addresses swapped. `from.p` NULL: the stanza's own `to`. */
sv_stanza *svi_error_for(svi_server *server, const sv_stanza *stanza, sv_str from, sv_cond cond, sv_str text);
/* True for an error and for an IQ result: never answered (RFC 6120 8.2.3, 8.3.1). */
bool svi_is_unanswerable(const sv_stanza *stanza);

/* --- xmpp_route.c --- */

typedef enum svi_kind { SVI_KIND_NONE, SVI_MESSAGE, SVI_PRESENCE, SVI_IQ_GET, SVI_IQ_SET, SVI_IQ_RESULT, SVI_IQ_ERROR } svi_kind;
/* What a stanza is, by name, namespace and type. */
svi_kind svi_kind_of(const sv_stanza *stanza);
bool svi_is_request(svi_kind kind);

/* The rules of stanzas (svi_event_ops). */
const svi_event_ops *svi_route_ops(void);

/* Runs a passage whose account is known, at the sender's side first if it is_own. */
void svi_passage_run(const svi_passage *passage);
/* Looks the recipient's account up if needed, in order, then runs it. */
void svi_passage_start(const svi_passage *passage);
/* Drops what waits for accounts. */
void svi_checks_free(svi_server *server);

#endif
