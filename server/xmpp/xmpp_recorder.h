/* What is written down of sessions as they live, so that they outlive the process (decision 019). Each session has a recorder,
 * which writes its record (xmpp_record.h): with the unit of the event that brings a change about where that matters, else with the
 * next batch, a second later at the latest. A guest's session, and those of a server that keeps no records, have none: then all of
 * these do nothing. Router thread. */
#ifndef SVI_XMPP_RECORDER_H
#define SVI_XMPP_RECORDER_H

#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_record.h"

/* Bytes of text of a record's stored copies, at most: a session with more ends, and what was for it goes where it would go
 * without it. */
#define SVI_RECORD_COPIES_MAX (512u * 1024u)
/* Requests whose answer is not acknowledged, of a session; more are not known after a crash. */
#define SVI_RECORD_REQUESTS_MAX 256u
/* Bytes of such a request's `id` and `to` together; one with more is not known after a crash either. */
#define SVI_RECORD_REQUEST_BYTES 512u

typedef struct svi_recorder svi_recorder;

/* Opens what the host's records need. SV_EVERSION. */
sv_status svi_records_open(svi_host *host, sv_err *err);
/* All that waits to be written is handed in. */
void svi_records_flush(svi_server *server);
/* That is committed: what waited for it goes on. */
void svi_records_committed(svi_server *server, uint64_t commit);
/* The server ends: forgets what waits for a commit. */
void svi_records_free(svi_server *server);

/* A new session. */
void svi_recorder_begin(sv_session *session);
/* One that was read from a record, of so many bytes, in the row of that key; its stored copies take `copy_bytes`. */
void svi_recorder_resume(sv_session *session, sv_str key, const svi_record *record, size_t bytes, size_t copy_bytes);
/* The session ends, before what it leaves is fired (session/unsent); with `stays` the row is written as it is now, and stays. */
void svi_recorder_end(sv_session *session, bool stays);
/* All that was fired: the row goes when that is committed, unless it stays. */
void svi_recorder_ended(sv_session *session);

/* Changes of the session. */
void svi_recorder_renew(sv_session *session); /* any that has no note of its own */
void svi_recorder_presence(sv_session *session);
void svi_recorder_item(sv_session *session, sv_str name, sv_str value);
void svi_recorder_away(sv_session *session, int64_t since_us);

/* --- what comes */

/* A request was heard: a get or set with that serial. */
void svi_recorder_request(sv_session *session, uint64_t serial, const sv_stanza *stanza);
/* Stanzas of the session's are done, or will be waited for: what can be noted is. */
void svi_recorder_done(sv_session *session, bool is_waited_for);
/* An event of a stanza's hands its unit in. */
void svi_recorder_committing(svi_xevent *x, svi_unit *unit);

/* --- what goes */

/* Notes a copy for a counted session in the unit of the event, which is open; `entry` is the copy's in the ledger, `map` (NULL: none) and
 * the rest where else it is stored. Does nothing for what need not outlive a crash, and for sessions that are not
 * counted. True if it was noted. */
bool svi_recorder_copy(sv_event *ev, sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry,
                       svi_map *map, sv_str owner, sv_str key);
/* Of a copy that was noted: its ticket (0: it was not) and what it takes of the record. */
typedef struct svi_recorder_noted {
    uint64_t ticket;
    size_t bytes;
} svi_recorder_noted;
/* The copy of that ledger entry gets a number. Unless the event that runs now hands the number in
 * (svi_server.sending_in), nothing more goes to the client before it is committed. */
svi_recorder_noted svi_recorder_number(sv_session *session, const sv_stanza *stanza, uint64_t entry, uint64_t number);
/* The copy of that ledger entry gets no number, since it was dropped on its way to the session: it is in the record no more. */
void svi_recorder_dropped(sv_session *session, uint64_t entry);
/* The same, but its note stays for svi_recorder_unsent: its ticket, 0 if it was not noted. */
uint64_t svi_recorder_take_back(sv_session *session, uint64_t entry);
/* True while the next copy may not go to the client. */
bool svi_recorder_holds(const sv_session *session);

/* What a client has acknowledged. */
typedef struct svi_recorder_ack {
    uint64_t number; /* all up to there */
    bool was_noted;  /* some of it was */
    size_t bytes;    /* of what was, and lies in no row */
} svi_recorder_ack;
/* `unit` (NULL: none) is handed in now. */
void svi_recorder_acked(sv_session *session, const svi_recorder_ack *ack, svi_unit *unit);
/* What was recovered has new numbers. */
void svi_recorder_renumbered(sv_session *session);

/* A copy goes another way, in an event of its own (session/unsent): before that runs, and when it is over. */
void svi_recorder_unsent(sv_session *session, svi_xevent *x, uint64_t ticket);
void svi_recorder_unsent_over(svi_xevent *x, bool is_canceled);

/* After a recovered session was taken up: requests that the crash has cost their answer get an error of type wait. */
void svi_recorder_answer(sv_session *session);
/* The client of a recovered session has got all up to that number. Takes the next row that one of its copies lies in: true, and the
 * row (in the server's scratch) that was deleted, since the client has it; .map NULL: it has not. False: there is none
 * left. */
bool svi_recorder_settle(sv_session *session, uint64_t number, svi_tally_place *place_out);

#endif
