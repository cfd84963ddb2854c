/* The tally of a counted session (decision 019): which of the stanzas that its client sent are handled, and which of
 * those that went to it are acknowledged. Numbers and queues alone: it knows no session, no event, no clock, and no
 * protocol. Router thread.
 *
 * In. Each stanza that comes gets a *serial*, 1, 2, 3 ..., never given twice, and is *under way* as long as it has holds: one
 * of its own event, one of each event that it caused. It is done when the last one is let go. `h` is the number of the
 * last stanza up to which all are done and, where notes are kept, noted; over all lanes, and it never goes back.
 *
 * After a resumption the client sends again what is above the `h` that it was told. What of that had come
 * before is still under way, or done behind one that is: it is *former* from then on, known by its mark. When the same one comes
 * again it gets a serial of its own, which is done with the former one, and is not heard twice.
 *
 * Out. Each copy that goes to the session gets the next number, whether there is a connection or not, and stays in a FIFO
 * until it is acknowledged. XEP-0198 4 counts modulo 2^32; here numbers have 64 bits, and 32 of them are told. */
#ifndef SVI_XMPP_TALLY_H
#define SVI_XMPP_TALLY_H

#include "store/store.h"
#include "xml/xml_stanza.h"

typedef struct svi_tally svi_tally;

/* Stanzas that came and are not counted in `h` yet, at most; the next ones wait (svi_tally_is_full). */
#define SVI_TALLY_IN_MAX 8192u

/* A tally at 0 in both directions. `needs_notes`: what is done counts only when it is noted, too (svi_tally_note). */
svi_tally *svi_tally_new(svi_acct *acct, bool needs_notes);
/* Numbers go on from there: `h` stanzas have come and are handled, `sent` were sent and acknowledged. Nothing was counted
 * yet. */
void svi_tally_begin_at(svi_tally *tally, uint32_t h, uint64_t sent);
/* Frees it and clears the pointer; nothing is left to be acknowledged (asserted). NULL is no error. */
void svi_tally_free(svi_tally **tally);

/* --- in -------------------------------------------------------------------------------------- */

/* By what a stanza is known again: a hash of its name, `type`, `to` and `id`; 0 if it has no `id`, which is never known
 * again. */
uint64_t svi_tally_mark(const sv_stanza *stanza);

/* A stanza came: its serial. It has one hold, unless it is a former one come again: then *is_repeat_out is true, the
 * stanza is not to be heard, and it is done with the former one. */
uint64_t svi_tally_in(svi_tally *tally, uint64_t mark, bool *is_repeat_out);
/* One more that it waits for. Serial 0 is nobody's. */
void svi_tally_hold(svi_tally *tally, uint64_t serial);
/* One less; `is_noted`: what is committed says that it is done. True if `h` has moved. */
bool svi_tally_let_go(svi_tally *tally, uint64_t serial, bool is_noted);
/* Too many are not counted yet: no more may be heard now. */
bool svi_tally_is_full(const svi_tally *tally);

/* What may be told: the last one, modulo 2^32, up to which all are handled. */
uint32_t svi_tally_h(const svi_tally *tally);
/* The number of those that came, modulo 2^32. */
uint32_t svi_tally_received(const svi_tally *tally);
/* The serial of the newest one / of the last one that `h` counts; 0 before the first. */
uint64_t svi_tally_newest(const svi_tally *tally);
uint64_t svi_tally_handled(const svi_tally *tally);

/* Of notes: the serial up to which all are done, noted or not, or are going to be when what was handed in before is committed
 * (svi_tally_written): what a note may say that is handed in now. */
uint64_t svi_tally_done(const svi_tally *tally);
/* A unit is handed in now that says that this one is done. */
void svi_tally_written(svi_tally *tally, uint64_t serial);
/* A note is committed that says that all up to this serial are done. True if `h` has moved. */
bool svi_tally_note(svi_tally *tally, uint64_t serial);

/* The one hold of that stanza is the last, so the unit that is about to be handed in says all that it does: true, with its
 * mark. */
bool svi_tally_is_last(const svi_tally *tally, uint64_t serial, uint64_t *mark_out);
/* Of those that are done and not counted yet, in order of serials: `each` is told. */
void svi_tally_each_done(const svi_tally *tally, void (*each)(void *ctx, uint64_t serial, uint64_t mark), void *ctx);
/* No stanza with a smaller serial is known again. */
uint64_t svi_tally_since(const svi_tally *tally);

/* The client was told `h` at a resumption and sends again what is above it: the others become former ones. */
void svi_tally_repeat(svi_tally *tally);

/* --- out ------------------------------------------------------------------------------------- */

/* The row that goes when its stanza has been acknowledged. */
typedef struct svi_tally_place {
    svi_map *map; /* NULL: it is stored nowhere */
    sv_str owner, key;
} svi_tally_place;

/* A copy that goes to the session. Others than the tally read it only. */
typedef struct svi_tally_out {
    struct svi_tally_out *next;
    uint64_t number;         /* 1, 2, 3 ... */
    const sv_stanza *stanza; /* a reference */
    sv_str to;               /* replaces the stanza's own; .p NULL: does not */
    uint64_t entry;          /* open in the ledger; 0: none */
    int64_t since_us;        /* wall clock, when it was given to the session */
    size_t bytes;            /* that it takes */
    uint64_t ticket;    /* of its note (xmpp_recorder.h); 0: it has none */
    size_t noted_bytes; /* that count for the note */
    svi_tally_place place;
    bool was_handed; /* to some connection, so the client may have it */
    bool is_answered; /* a request whose answer has come: the client has it */
} svi_tally_out;

/* What is known of a copy; all but `entry` is copied or referenced. */
typedef struct svi_tally_copy {
    const sv_stanza *stanza;
    sv_str to;
    uint64_t entry;
    int64_t since_us;
    uint64_t ticket;
    size_t noted_bytes;
    const svi_tally_place *place; /* NULL: it is stored nowhere */
} svi_tally_copy;

/* Adds a copy at the end: its number. */
uint64_t svi_tally_add(svi_tally *tally, const svi_tally_copy *copy);

/* The first one that the present connection has not been given; NULL if there is none. */
svi_tally_out *svi_tally_next(const svi_tally *tally);
/* The connection was given the one that svi_tally_next returned. */
void svi_tally_handed(svi_tally *tally);
/* There is another connection: it is to be given all from the first one that is not acknowledged. */
void svi_tally_rewind(svi_tally *tally);

/* The first one that is not acknowledged, NULL if there is none; the next by its `next`. */
const svi_tally_out *svi_tally_first(const svi_tally *tally);
/* How many those are, and what they take; `stored_...`: of those that have a place. */
typedef struct svi_tally_sum {
    size_t count, bytes, stored_count, stored_bytes;
} svi_tally_sum;
svi_tally_sum svi_tally_waiting(const svi_tally *tally);

/* The same copy, saying when it was sent: the stanza (referenced) in place of its own. */
void svi_tally_restamp(svi_tally *tally, svi_tally_out *out, const sv_stanza *stanza);

/* Another stanza in the place of one that no connection was ever given: its number stays, the new one has none of its own. Its
 * entry is given back, open, to be closed. */
uint64_t svi_tally_replace(svi_tally *tally, svi_tally_out *out, const svi_tally_copy *copy);

/* A stanza comes from the client: if it is the answer to a request on the queue, notes that. */
void svi_tally_answer(svi_tally *tally, const sv_stanza *stanza);

/* The client has got all up to `h`: takes those off the queue, in order (*acked_out; NULL: none), for svi_tally_out_free.
 * SV_EINVAL, and nothing is done: that is more than it was given. SV_ENOTFOUND, the same: it has acknowledged more before. */
sv_status svi_tally_ack(svi_tally *tally, uint32_t h, svi_tally_out **acked_out);
/* Takes all off the queue, in order. */
svi_tally_out *svi_tally_take(svi_tally *tally);
/* Frees the first of a list that was taken off, and goes on to the next. */
void svi_tally_out_free(svi_tally_out **out);

/* The same of the last one acknowledged / added, whole. */
uint64_t svi_tally_acked_number(const svi_tally *tally);
uint64_t svi_tally_added_number(const svi_tally *tally);
/* The number of the last one given to any connection / acknowledged / added, modulo 2^32. */
uint32_t svi_tally_sent(const svi_tally *tally);
uint32_t svi_tally_acked(const svi_tally *tally);
uint32_t svi_tally_added(const svi_tally *tally);

/* --- after a start --------------------------------------------------------------------------- */

/* What is known of a tally that another process had. */
typedef struct svi_tally_known {
    uint32_t h;
    uint64_t serial;        /* of the last stanza that h counts */
    uint64_t acked, noted;  /* numbers: the last one acknowledged; the last one that is known to have been given */
} svi_tally_known;

/* Takes it over, as the first that happens to a tally. Until svi_tally_settle numbers are those of then, up to `noted`, in the order of
 * svi_tally_restore; what is added besides comes behind them. */
void svi_tally_recover(svi_tally *tally, const svi_tally_known *known);
/* A stanza that was done, and maybe is not counted: when it comes again it is not heard. After svi_tally_recover. */
void svi_tally_former(svi_tally *tally, uint64_t serial, uint64_t mark);
/* A copy that had that number; numbers grow. Before any other is added. */
void svi_tally_restore(svi_tally *tally, const svi_tally_copy *copy, uint64_t number);
/* Takes those off that lie in that row, for svi_tally_out_free. Before svi_tally_settle. */
svi_tally_out *svi_tally_drop(svi_tally *tally, const svi_tally_place *place);
/* The client, which may have been given more than is known, has got all up to `h`: that is any h up to 2^31 ahead of the last
 * one it acknowledged. Takes off what had such a number, as svi_tally_ack; what is left goes on from h + 1. SV_ENOTFOUND, and
 * nothing is done, for less than it has acknowledged. */
sv_status svi_tally_settle(svi_tally *tally, uint32_t h, svi_tally_out **acked_out);

#endif
