/* The group "stream": for modules that speak of the stream itself (XEP-0198, XEP-0352). `sv->query("stream", 1)` gives the
 * table.
 *
 * A counted session. What its client sends and what it is sent is counted from when a module says so. What the client has
 * not acknowledged is kept in the order in which it was sent. With a time to keep, the session outlives a connection that ends
 * without an end of its stream (RFC 6120 4.4): it stays available and found, `session/away` is fired in place of
 * `session/gone`, and what goes to it waits. Another stream of the same account may take it up (`resume`), then
 * `session/back` is fired and what was not acknowledged is sent again. If none does in time, or more waits than may, it ends as
 * any session; what was not acknowledged is then `session/unsent`.
 *
 * Handled is what a client sent when its event, and each event that it caused, is over and all that they have written is
 * committed, in order over everything that it sent. No other number is to be told. */
#ifndef STAVE_STREAM_H
#define STAVE_STREAM_H

#include <stave/module.h>

#define SV_STREAM_VERSION 1

/* How a session is counted. */
typedef struct sv_counting {
    uint32_t size;   /* of this struct */
    int64_t keep_ms; /* it outlives its connection so long; 0: it ends with it. A guest's always does */
    /* Stanzas and bytes in memory that are not acknowledged, at most: above, it ends (RFC 6120 4.9.3.17). What has a row
     * (push_stored) does not count. */
    int64_t max_stanzas, max_bytes;
    /* session/unacked is fired when so many stanzas or bytes were sent since it was fired or anything acknowledged, or none
     * for so long; when something was written there, which asks the client, not again before something is acknowledged. */
    int64_t ask_stanzas, ask_bytes, ask_idle_ms;
    /* If nothing is acknowledged in that time after something was written there, and nothing else came from the client either, the
     * connection is ended as dead (RFC 6120 4.9.3.4); if something came, session/unacked is fired again. */
    int64_t answer_ms;
} sv_counting;

/* What is counted, numbers modulo 2^32. */
typedef struct sv_tally {
    uint32_t size;        /* of this struct, set by who asks */
    bool is_kept;         /* it outlives its connection */
    bool is_recovered;    /* from before the server's start, and not taken up since */
    uint32_t received;    /* stanzas that came */
    uint32_t handled;     /* the last one up to which all are handled: what may be told */
    uint32_t sent, acked; /* the last one that was sent to a connection, that was acknowledged */
    int64_t waiting, waiting_bytes; /* not acknowledged */
    int64_t away_since_ms;          /* wall clock; 0: it has a connection */
} sv_tally;

/* A stanza that is sent again or late, and when it was sent: returns the one to be sent in its place (made for the event, or the
 * same). */
typedef const sv_stanza *(*sv_late_fn)(sv_event *ev, const sv_stanza *stanza, int64_t since_ms, void *self);

/* "The event's stream" is the one whose element the event is, at stream/element, or else that of the session which the event is
 * about, if it has one when the event is released. */
typedef struct sv_stream_api {
    uint32_t size;
    uint32_t version;

    /* Writes an element (copied) to the event's stream when the event is released, in order with all that is sent there. It is not
     * counted. */
    void (*write)(sv_event *ev, const sv_draft *element);
    /* Ends the event's stream when the event is released, with a stream error: `condition` is one of RFC 6120 4.9.3, `specific` an
     * application-specific condition (NULL: none), `text` English for people (empty: none). A session of the stream ends with it. */
    void (*fail)(sv_event *ev, const char *condition, const sv_draft *specific, sv_str text);
    /* Counts the event's session: what comes from now on, and what goes to it from the event's release on, so that the element that
     * tells the client so is written right behind. For one that is counted, says what `how` is from now on. */
    void (*count)(sv_event *ev, const sv_counting *how);
    /* Fills in what is counted; false if the session is not. */
    bool (*tally)(const sv_session *session, sv_tally *tally_out);
    /* Soon after all that has come from a counted session until now is handled, session/handled is fired; and before, once, if that
     * takes longer than `within_ms`. For one that is not counted never. */
    void (*want_handled)(sv_session *session, int64_t within_ms);
    /* The client of a counted session has all up to `h`. SV_EINVAL, and nothing is done: it was not sent so much. Less than before
     * changes nothing. SV_ECLOSED: it is not counted. */
    sv_status (*acked)(sv_session *session, uint32_t h);
    /* At stream/element, before a resource is bound: the event's stream takes up the session, a counted one of the same account, whose
     * client has all up to `h`; a stream that it still has ends with <conflict/>. Once the event is released, what was not
     * acknowledged is sent, behind what the handler has written; `late` (NULL: none) is asked for each of these, now. The number that
     * the client is told is `handled`, after this call. SV_EDENIED: another account's; SV_EINVAL: it was not sent so much;
     * SV_ENOTFOUND: it has acknowledged more before, which can't be sent again; SV_ECLOSED: it is not kept, or the stream can't. */
    sv_status (*resume)(sv_event *ev, sv_session *session, uint32_t h, sv_late_fn late);
    /* At session/unsent: when the stanza was given to the session (wall clock). Elsewhere now. */
    int64_t (*since_ms)(const sv_event *ev);
} sv_stream_api;

#endif
