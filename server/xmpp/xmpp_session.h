/* Sessions: bound resources of local accounts, their addresses, presence and queues. Router
 * thread. */
#ifndef SVI_XMPP_SESSION_H
#define SVI_XMPP_SESSION_H

#include "xmpp/xmpp_server.h"

/* Binds `name` (prepared, authenticated) with a resource (empty: made up, unguessable) to a
 * connection, which runs free from now on. A resource in use replaces the older session (its
 * stream gets <conflict/>). SV_ELIMIT above sessions_per_account (RFC 6120 7.6.2.1
 * resource-constraint). Fires session/bound. */
sv_status svi_session_bind(svi_host *host, sv_str name, sv_str resource, svi_conn *conn,
                           sv_session **session_out);

/* Ends a session whose connection is closed (call it from `closed`, after every `sent` was
 * passed on): fires session/gone if that has not happened yet and frees it. `why` is static.
 * Before that, svi_session_kick ends the stream. */
void svi_session_end(sv_session **session, const char *why);

/* Tells a session that its connection wrote a stanza, or never will. Called by the stream. The
 * first one not written takes the session out of the tables; each fires session/unsent. Token 0
 * is nobody's. */
void svi_session_sent(sv_session *session, uint64_t token, bool written, const sv_stanza *stanza);

#define SVI_TOKEN_COUNTED UINT64_MAX /* of a counted copy, which is accounted for when it is acknowledged */

/* The host of its account. */
svi_host *svi_session_host(const sv_session *session);
/* Its full address; lives as long as the session. */
const sv_jid *svi_session_jid(const sv_session *session);
svi_conn *svi_session_conn(const sv_session *session); /* NULL while it is away */
/* The session with that full address, or NULL. */
sv_session *svi_session_find(svi_server *server, sv_str full_jid);
/* Sessions of an account in order of binding; start with NULL. */
sv_session *svi_session_next(svi_server *server, sv_str bare_jid, sv_session *after);
size_t svi_session_count(const svi_server *server);
/* All sessions that can be found, in order of binding (their numbers grow); start with NULL. */
sv_session *svi_session_each(svi_server *server, sv_session *after);
/* When it was bound, by the wall clock. */
int64_t svi_session_bound_us(const sv_session *session);
/* How its client came; all empty if that is not known. */
svi_stream_facts svi_session_facts(const sv_session *session);

#define SVI_LANG_BYTES 36u /* of a language tag, with its NUL; RFC 5646 4.4.1 asks for 35 */

/* The language of its stanzas that name none (RFC 6120 4.7.4): they get it as xml:lang from now on. A
 * tag of at most SVI_LANG_BYTES - 1 bytes, copied; empty: none is added, as after binding. */
void svi_session_set_lang(sv_session *session, sv_str lang);

/* Unique in the process: tells a session from a later one with the same address. */
uint64_t svi_session_number(const sv_session *session);
/* The session with that address and number, or NULL. */
sv_session *svi_session_find_number(svi_server *server, sv_str full_jid, uint64_t number);

/* Presence and priority as set last; setting fires nothing. The presence is referenced, NULL
 * means unavailable. */
const sv_stanza *svi_session_presence(const sv_session *session);
int svi_session_priority(const sv_session *session);
void svi_session_set_presence(sv_session *session, const sv_stanza *presence, int priority);

/* Whose memory hangs on sessions: a module on a host. Set `acct`, which is charged; the rest begins
 * zeroed. */
typedef struct svi_session_blocks {
    svi_acct *acct;
    struct svi_session_block *first;
} svi_session_blocks;

/* The owner's zeroed block of that size on the session, the same at each call. Goes with the
 * session or with svi_session_data_drop, which frees all that the owner has on any session. */
void *svi_session_data(sv_session *session, svi_session_blocks *owner, size_t bytes);
void svi_session_data_drop(svi_session_blocks *owner);

/* Named items, for all to read; freed with the session. */
void svi_session_set_item(sv_session *session, const char *name, sv_str value);
sv_str svi_session_item(const sv_session *session, const char *name);

/* Rows kept in memory while the session lives (takes the reference), in place of those of the same map. */
void svi_session_keep_rows(sv_session *session, svi_map *map, svi_rows *take);

/* Queues a copy for the session; `entry` is the open ledger number that is closed when it is
 * written or lost. Applies the bounds of architecture 3.7: above the soft one presence of one
 * sender is coalesced, above the hard one the connection is closed. Copies of stored stanzas
 * (svi_x_push_stored) do not count towards them. */
void svi_session_deliver(sv_session *session, const sv_stanza *stanza, uint64_t entry);
/* The same with an answer of the server's that was written as text. */
void svi_session_answer(sv_session *session, sv_str xml);

/* Ends the session's stream with a stream error (RFC 6120 4.9.3 name, such as "conflict"). The
 * session leaves the tables and session/gone fires behind what runs now; what was not written
 * comes back later. Idempotent. */
void svi_session_kick(sv_session *session, const char *stream_error);
/* The same with a text for people (UTF-8; NULL: none), which the client may show. */
void svi_session_kick_with(sv_session *session, const char *stream_error, const char *text);

/* Ends a session that does not read, by the hard bound of its queue (architecture 3.7), if what waits
 * for it and `next_bytes` more exceed it. For what is written past svi_session_send. */
void svi_session_bound(sv_session *session, size_t next_bytes);

/* --- counted sessions (xmpp_counted.c; decision 019) ------------------------------------------------ */

/* How a session is counted and kept. */
typedef struct svi_counting {
    int64_t keep_us;    /* it outlives its connection so long; 0: it ends with it */
    size_t max_stanzas; /* not acknowledged; above these bounds it ends */
    size_t max_bytes;
    /* When session/unacked is fired: after so many stanzas or bytes, or when nothing more was sent for so long. */
    size_t ask_stanzas, ask_bytes;
    int64_t ask_idle_us;
    int64_t answer_us; /* a client that acknowledges nothing so long after that, and says nothing, is gone */
} svi_counting;

/* Counts the session from now on: the next stanza that comes from it is number 1. What goes to it is counted from
 * svi_session_count_out on. If it is counted already, only what `how` says is new. A guest's is never kept. */
void svi_session_count_in(sv_session *session, const svi_counting *how);
void svi_session_count_out(sv_session *session);
/* What is counted; false, and all 0, if it is not. */
typedef struct svi_session_tally {
    bool is_kept;                /* it outlives its connection */
    bool is_recovered;           /* by a start of the server; until it was taken up */
    uint32_t received, handled;  /* modulo 2^32; `handled` is what may be told */
    uint32_t sent, acked;        /* the same */
    size_t waiting, waiting_bytes; /* not acknowledged */
    int64_t away_us;             /* wall clock, since when it has no connection; 0: it has one */
} svi_session_tally;
/* A stanza of the session's that was answered where it came in: it counts. */
void svi_session_answered(sv_session *session, const sv_stanza *stanza);
bool svi_session_tally_get(const sv_session *session, svi_session_tally *tally_out);

/* Stanzas that were sent to counted sessions, or wait for them, and are not acknowledged. */
uint64_t svi_server_unacked(svi_server *server);

/* Fires session/handled when all is handled that has come from the session until now, and once before if that takes longer. */
void svi_session_want_handled(sv_session *session, int64_t within_us);
/* The client has all up to `h`: what it was sent is done. SV_EINVAL, and nothing is done: it was not sent so much. What is
 * less than before changes nothing. */
sv_status svi_session_acked(sv_session *session, uint32_t h);

/* The server stops, and the session goes on after the next start. */
bool svi_session_is_suspended(const sv_session *session);
/* Whether it outlives the connection that ends: it is to be kept, and may be found. */
bool svi_session_may_stay(const sv_session *session);
/* Its connection has ended and it stays (svi_session_may_stay): fires session/away; it ends when its time is over. */
void svi_session_leave(sv_session *session);
/* Another connection takes it up, whose client has all up to `h`. The older connection's stream, if there is still one, ends with
 * <conflict/>. Nothing is handed to it before svi_session_go_on. SV_EINVAL, and nothing is done: it was not sent so much;
 * SV_ENOTFOUND: so much less than it has acknowledged before; SV_ECLOSED: it may not be taken up. */
sv_status svi_session_take_up(sv_session *session, svi_conn *conn, uint32_t h);
/* The client knows: its connection runs free, gets what was not acknowledged and then what waited; fires session/back. */
void svi_session_go_on(sv_session *session);
/* Each copy that waits for the session, oldest first: `stamp` returns the stanza (borrowed) that is sent in its place. */
typedef const sv_stanza *(*svi_stamp_fn)(void *ctx, const sv_stanza *stanza, int64_t since_us);
void svi_session_stamp(sv_session *session, svi_stamp_fn stamp, void *ctx);

/* --- who watches --------------------------------------------------------------------------------- */

typedef enum svi_seen_what {
    SVI_SEEN_IN,     /* as the session's peer has sent it; but what belongs to the stream itself, such as a
                      * second bind */
    SVI_SEEN_OUT,    /* handed to the session's connection */
    SVI_SEEN_DROPPED /* on its way: it ends there, by `rule` */
} svi_seen_what;

/* A stanza. Nothing of the negotiation is among them. Borrowed. */
typedef struct svi_seen {
    svi_seen_what what;
    svi_host *host;         /* the session's, or where it was dropped */
    const sv_jid *jid;      /* the session's; of what was dropped its sender's */
    const sv_jid *receiver; /* DROPPED: its domain is empty if that is not known; else NULL */
    const char *rule;       /* DROPPED */
    const sv_stanza *stanza;
    sv_str to; /* replaces the stanza's own `to`; .p NULL: does not */
} svi_seen;

typedef struct svi_watcher {
    void (*stanza)(void *ctx, const svi_seen *seen); /* changes nothing */
    void *ctx;
} svi_watcher;

/* From now on the watcher (borrowed; NULL: nobody) is told of all stanzas of all sessions. What is dropped
 * as a copy for one of several sessions (presence that a newer one replaces) is not told. */
void svi_server_set_watcher(svi_server *server, const svi_watcher *watcher);

#endif
