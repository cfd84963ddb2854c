/* What is stored of a session (decision 019): notes, one behind the other, in one value of the map `HOST/sessions`. The first
 * one begins the record; a snapshot is a record that was written anew from what is in memory, and notes are appended to it
 * (svi_unit_append) as things happen. Only the form is here: which note is written when is xmpp_recorder.h's, what becomes of
 * a record after a start xmpp_recover.h's.
 *
 * A note is its kind (1 byte), the length of what follows, and that. Numbers are of variable length (7 bits a byte, the low
 * ones first), texts have their length before them. A later release may add kinds and lengthen notes: what is behind the
 * part that is known is passed over, an unknown kind refuses the record, whose meaning it may have changed. */
#ifndef SVI_XMPP_RECORD_H
#define SVI_XMPP_RECORD_H

#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_RECORD_SCHEMA 1u
#define SVI_RECORD_KEY_BYTES 32u

/* --- notes ------------------------------------------------------------------------------------ */

/* Who and since when. */
typedef struct svi_note_head {
    sv_str full, lang;  /* its address; the language of its stanzas */
    int64_t bound_us;   /* wall clock */
} svi_note_head;

/* It is counted, and how (svi_counting). */
typedef struct svi_note_counted {
    bool is_counting_out;
    int64_t keep_us;
    uint64_t max_stanzas, max_bytes, ask_stanzas, ask_bytes;
    int64_t ask_idle_us, answer_us;
} svi_note_counted;

/* A copy for the session, stored here or elsewhere. It is known by its ticket until it has a number. */
typedef struct svi_note_copy {
    uint64_t ticket;
    int64_t since_us;       /* wall clock, when it was stored */
    sv_str to;              /* replaces the stanza's own `to`; .p NULL: does not */
    sv_str stanza;          /* as text; empty: it lies in a row */
    sv_str map, owner, key; /* which row; empty: none */
} svi_note_copy;

/* A request of the client's that was heard and whose answer is not acknowledged. Notes may stand in another order than numbers. */
typedef struct svi_note_request {
    uint64_t number;
    sv_str id, to; /* its attributes; to.p NULL: it had none */
    uint64_t answer; /* the number under which its answer went to the client; 0: it had none */
} svi_note_request;

/* Each appends a note. */
void svi_note_put_head(svi_buf *out, const svi_note_head *head);
void svi_note_put_counted(svi_buf *out, const svi_note_counted *counted);
/* Of what came: all up to `serial` are handled, which `h` counts; of those that were done before one of these (svi_note_put_done)
 * those below `since` are known no more. */
void svi_note_put_in(svi_buf *out, uint32_t h, uint64_t serial, uint64_t since);
/* The stanza of that serial and mark (xmpp_tally.h) is done, and maybe not yet counted. */
void svi_note_put_done(svi_buf *out, uint64_t serial, uint64_t mark);
void svi_note_put_copy(svi_buf *out, const svi_note_copy *copy);
/* The copy of that ticket goes to the client under that number, over 0. Copies and numbers may stand in another order than
 * theirs, and again behind a snapshot that has them: they are in the units of the events that they come from. */
void svi_note_put_number(svi_buf *out, uint64_t ticket, uint64_t number);
/* The copy of that ticket is the session's no more: it went another way. */
void svi_note_put_gone(svi_buf *out, uint64_t ticket);
/* All copies up to that number are acknowledged. */
void svi_note_put_acked(svi_buf *out, uint64_t number);
/* Its presence as set last, as text (empty: unavailable), and priority. */
void svi_note_put_presence(svi_buf *out, sv_str presence, int priority);
/* A named item; value.p NULL: it has none any more. */
void svi_note_put_item(svi_buf *out, sv_str name, sv_str value);
void svi_note_put_request(svi_buf *out, const svi_note_request *request);
/* The answer of that request goes to the client under that number. */
void svi_note_put_answer(svi_buf *out, uint64_t number, uint64_t answer);
/* The answer of that request is acknowledged. */
void svi_note_put_answered(svi_buf *out, uint64_t number);
/* Since when it is without connection, by the wall clock; 0: it has one. */
void svi_note_put_away(svi_buf *out, int64_t since_us);
/* The session has ended, and what was for it goes other ways. */
void svi_note_put_ended(svi_buf *out);

/* --- records ---------------------------------------------------------------------------------- */

typedef struct svi_record_item {
    struct svi_record_item *next;
    sv_str name, value;
} svi_record_item;

typedef struct svi_record_done {
    struct svi_record_done *next;
    uint64_t serial, mark;
} svi_record_done;

typedef struct svi_record_copy {
    struct svi_record_copy *next;
    uint64_t number; /* 0: it was given none, and to no connection */
    svi_note_copy note;
} svi_record_copy;

typedef struct svi_record_request {
    struct svi_record_request *next;
    svi_note_request note;
} svi_record_request;

/* What all notes of a record say together. Texts are borrowed from it, lists lie in the arena; each is in the order of
 * writing. */
typedef struct svi_record {
    svi_note_head head;
    bool is_counted;
    svi_note_counted counted;
    uint32_t h;
    uint64_t serial;        /* of the last stanza that h counts */
    svi_record_done *done;  /* not counted in h */
    uint64_t acked;         /* number of the last copy that is acknowledged */
    uint64_t noted;         /* the greatest number of which there was a note */
    svi_record_copy *copies; /* not acknowledged, in the order of their notes */
    uint64_t last_ticket;   /* the greatest one */
    sv_str presence;        /* empty: unavailable */
    int priority;
    svi_record_item *items;
    svi_record_request *requests;
    uint64_t last_request;  /* the greatest number of one */
    int64_t away_us;
    bool has_ended;
} svi_record;

/* Reads a record. SV_EIO if it is damaged, SV_EVERSION if it has notes of a later release: `err` says what. */
sv_status svi_record_read(svi_arena *arena, sv_str bytes, svi_record *record_out, sv_err *err);

#endif
