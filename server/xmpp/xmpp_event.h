/* Events of XMPP stanzas: who sent what to whom, the scope it is passed in, and the ways to
 * dispose of it. The functions behind the module table's verdicts. Router thread. */
#ifndef SVI_XMPP_EVENT_H
#define SVI_XMPP_EVENT_H

#include "xmpp/xmpp_session.h"

/* Where a recipient was found; private to xmpp_route.c. Holds while the tables of sessions are
 * as they were then. */
typedef struct svi_place {
    svi_host *host;      /* NULL: not local */
    sv_session *session; /* NULL: none with this full JID */
    uint64_t tables;     /* their state at the look-up; 0: never looked */
} svi_place;

/* The session whose stanza caused an event, for svi_session_owes; `number` 0: none. */
typedef struct svi_payer {
    sv_str full;
    uint64_t number;
    uint64_t serial; /* the stanza's (xmpp_tally.h); 0: it is not counted */
} svi_payer;

/* How a session's own stanza came: what is due to whom when it has been heard. */
typedef struct svi_arrival {
    size_t cost_bytes; /* of its connection's credit */
    uint32_t turn;     /* which connection of the session's that was */
    uint64_t serial;   /* 0: it is not counted */
    bool is_noted;     /* what its event writes says that it is done */
} svi_arrival;

/* Lines that an occasion's handlers offered, in order; in the event's arena. */
typedef struct svi_offer {
    struct svi_offer *next;
    sv_str line;
} svi_offer;
typedef struct svi_offers {
    svi_offer *first, *last;
    size_t bytes; /* of all lines with a line feed each */
} svi_offers;

/* What an event has put into an archive, for one owner; in the event's arena. */
typedef struct svi_archived {
    struct svi_archived *next;
    struct svi_archive *archive; /* store/store_archive.h */
    sv_str owner, bare;          /* of the archive; its bare address if it is an account */
    uint64_t place, body;
    sv_str id;
    sv_str bytes; /* of the stanza, as it is kept */
} svi_archived;

/* A command that runs as an event of its own. */
typedef struct svi_errand {
    svi_host *host;
    svi_hooks *hooks; /* has its one handler, at command/run */
    sv_jid account;   /* whose `from` and `to` it gets; all empty: none, then they are the host */
    bool account_exists;
    /* The event is over, exactly once: SV_OK when what it wrote is committed and what it sent is on
     * its way, SV_ETIMEOUT if it was LATER for too long, SV_ECANCELED if the server ends. */
    void (*over)(void *ctx, sv_status status);
    void *ctx;
} svi_errand;

/* What an event was about, once more for some handlers alone, as an event of its own without an entry in the ledger and
 * without a default: whatever does the handlers' effects must do nothing. All but `hooks` is borrowed for the call. */
typedef struct svi_rehearsal {
    svi_host *host;
    svi_hooks *hooks;
    svi_point point;
    sv_session *session;     /* NULL: there was none, or it has gone */
    const sv_stanza *stanza; /* NULL: an occasion */
    sv_jid from, to;
    sv_str subject;
    bool account_exists;
    /* The event is over; exactly once, maybe before svi_rehearse returns. */
    void (*over)(void *ctx);
    void *ctx;
} svi_rehearsal;

/* The XMPP side of an event; in the event's arena. */
typedef struct svi_xevent {
    uint32_t magic;
    svi_server *server;
    svi_host *host;      /* whose hooks run now */
    sv_session *session; /* sender or subject; NULL if it is gone or there is none */
    sv_jid from, to;     /* prepared; `to` is the sender's bare JID when the stanza had none */
    sv_str type;         /* type attribute, "" if absent */
    sv_str subject;      /* of an occasion */
    bool account_exists;
    bool is_own; /* sent by a local session (credit is due to it) */
    svi_arrival arrival;
    sv_draft *answer;   /* result being built */
    svi_offers offers;  /* of an occasion: what its handlers gave */
    unsigned delivered; /* copies handed to sessions */
    svi_archived *archived; /* the newest first */
    /* private to xmpp_event.c and xmpp_route.c below */
    sv_str sender_full;
    int stage;                       /* where on its way; xmpp_route.c */
    int kind;                        /* what stanza; xmpp_route.c */
    uint64_t session_number;         /* the asking session's, for its answer; 0 if there is none */
    svi_place place;                 /* of `to` */
    svi_host *from_host;             /* the sender's, or whose hooks the occasion is for */
    svi_payer payer;                 /* of an event that another one caused */
    bool is_borrowed;                /* lives in a parent's arena */
    struct svi_xevent *outer;        /* of a borrowed one: the parent's */
    bool is_fleeting;                /* what it delivers is in no session's record */
    bool causes;                     /* other events come behind it, for which its sender pays */
    struct svi_recorder *unsent_from; /* of what was not sent: whose record has it; NULL: none */
    uint64_t unsent_ticket;
    bool is_redirected; /* a handler changed the recipient */
    bool is_ending;                  /* its end comes behind what runs now */
    bool is_late;                    /* of an errand: its deadline passed */
    const svi_errand *errand;        /* NULL: it is none */
    void (*rehearsed)(void *ctx);    /* of a rehearsal: `over`; NULL: it is none */
    void *rehearsal;                 /* its `ctx` */
    struct svi_outcome *outcome;     /* where a module notes what it makes of it (mods_shadow.h); NULL: nowhere */
    void *firer;                     /* of an occasion: who waits for its end */
    struct svi_xevent *next, **link; /* of the session's events */
    int64_t since_us;                /* of session/unsent: when it was given to the session; 0: just now */
    struct svi_stream *stream;       /* of an element that is no stanza: whose; NULL when it has gone */
    struct svi_xevent *stream_next, **stream_link; /* of the stream's events */
} svi_xevent;
svi_xevent *svi_xevent_of(const sv_event *ev);

/* A stanza from a bound session: checks and stamps `from` (RFC 6120 8.1.2.1), prepares `to`
 * (jid-malformed), checks the IQ rules (8.2.3), opens the ledger entry and runs the event. Takes
 * the reference. */
void svi_inbound(sv_session *session, sv_stanza *take, size_t cost_bytes);

/* A stanza made here, passed at the recipient's side by its `to`. `entry` is open. */
void svi_route(svi_server *server, svi_host *from_host, const sv_stanza *stanza, uint64_t entry);

/* An occasion on a host; `account` and `session` may be NULL. With `parent` it is part of that
 * event. */
void svi_occasion(svi_host *host, svi_point point, const sv_jid *account, sv_session *session,
                  const sv_stanza *stanza, sv_str subject, sv_event *parent);

/* The same as part of `parent`; returns the lines that its handlers offered, each ended by a line feed, in
 * order. The text lives in the parent's arena; empty if there were none. */
sv_str svi_occasion_gather(svi_host *host, svi_point point, const sv_jid *account, sv_str subject,
                           sv_event *parent);
/* Fires an occasion on the event's host as an event of its own when this one is released. */
void svi_x_fire_after(sv_event *ev, svi_point point, const sv_jid *account, sv_str subject);
/* Adds a line (copied) to what the occasion gives to whoever fired it. A line feed inside splits it. */
void svi_x_offer(sv_event *ev, sv_str line);

/* Runs an errand; what it points to outlives `over`, which may be called before this returns. */
void svi_errand_run(const svi_errand *errand);

/* Runs a rehearsal. */
void svi_rehearse(const svi_rehearsal *rehearsal);
/* Its `ctx`; NULL for any other event. */
void *svi_rehearsal_of(const sv_event *ev);

/* Ends an event without stanza that waits; in a handler of its own the verdict does that. SV_DONE. */
sv_verdict svi_x_end(sv_event *ev);

/* The ways to dispose of an event's stanza; see the module table for their meaning. Each also
 * ends a waiting event. */
sv_draft *svi_x_reply(sv_event *ev, sv_str name, sv_str ns);
sv_verdict svi_x_send(sv_event *ev);
sv_verdict svi_x_refuse(sv_event *ev, sv_cond cond, sv_str text);
sv_verdict svi_x_refuse_with(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific);
sv_verdict svi_x_drop(sv_event *ev, const char *rule);
sv_verdict svi_x_consume(sv_event *ev);
sv_verdict svi_x_stored(sv_event *ev);
sv_verdict svi_x_deliver(sv_event *ev, sv_session *session);
void svi_x_replace(sv_event *ev, const sv_stanza *stanza);
void svi_x_pass(sv_event *ev);

/* More to send, released with the event's commit in order. */
void svi_x_push(sv_event *ev, sv_session *session, const sv_stanza *stanza, svi_origin origin);
/* As svi_x_push, for the event's stanza in another wrapping: opened as a copy, and early when svi_x_deliver is. */
void svi_x_push_copy(sv_event *ev, sv_session *session, const sv_stanza *stanza);
/* What the event delivers and pushes from now on is noted in no session's record, but for rows. */
void svi_x_fleeting(sv_event *ev);
void svi_x_route(sv_event *ev, const sv_stanza *stanza);
/* As svi_x_route, without the question at stanza/made. */
void svi_x_route_unasked(sv_event *ev, const sv_stanza *stanza);

/* As svi_x_push (origin SVI_MADE_RECOVERED), for a stanza kept in a row: the row is deleted when
 * the stanza was written, and stays if it never was (then it counts as stored and session/unsent
 * is not fired). */
void svi_x_push_stored(sv_event *ev, sv_session *session, const sv_stanza *stanza, svi_map *map,
                       sv_str owner, sv_str key);

/* Condition element and recommended error type (RFC 6120 8.3.3). */
const char *svi_cond_name(sv_cond cond);
const char *svi_cond_type(sv_cond cond);

#endif
