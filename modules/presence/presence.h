/* What the files of the presence module share. */
#ifndef PRESENCE_H
#define PRESENCE_H

#include <stave/module.h>

typedef struct presence {
    int64_t max_requests;
    int64_t request_bytes;
    int64_t directed_bytes;
    int64_t max_withdrawn;
    sv_mod *mod;
    sv_store *roster; /* the roster module's items */
    sv_store
        *requests; /* localpart -> contact's bare JID -> the request's stanza (RFC 6121 3.1.3, 4) */
    sv_store *owed; /* "/" and a type of stanza -> localpart, blank, contact's bare JID -> "1" */
    bool has_sent_owed; /* since the server started */
} presence;

/* subscribe, subscribed, unsubscribe, unsubscribed. */
bool presence_is_subscription(sv_str type);

/* Brings both sides' rows into memory until the event ends, before anything is written: so nothing
 * waits between reading a state and writing the next, and requests that cross do not undo each
 * other. */
sv_verdict presence_subs_load(sv_event *ev, void *self);

/* The sender's side of a subscription stanza (RFC 6121 A.2). */
sv_verdict presence_subs_out(sv_event *ev, presence *me);

/* The recipient's side (RFC 6121 A.3). */
sv_verdict presence_subs_in(sv_event *ev, presence *me);

/* On session/presence: a session that became available is shown the requests that wait for an
 * answer (RFC 6121 3.1.3, 4). */
sv_verdict presence_show_requests(sv_event *ev, void *self);

/* On roster/changed: with a contact that was removed end the subscriptions in both directions (RFC
 * 6121 2.5.2); its request no longer waits. */
sv_verdict presence_item_changed(sv_event *ev, void *self);

/* A request to a session by name: refused, as if the session were not there, unless the sender may
 * know that it is (RFC 6121 8.5.3.1). */
sv_verdict presence_iq(sv_event *ev, void *self);

/* True if the session sent presence to the account, or to one of its resources, and has not taken
 * it back. */
bool presence_is_told(const sv_session *session, const sv_jid *account);

/* Ends the subscriptions of the user, whose record has these flags, in both directions. The side of a contact of this server, whose rows
 * are in memory (rows_warm), changes in this event; any other contact is told by stanzas. */
void presence_end_contact(sv_event *ev, presence *me, const sv_jid *user, const sv_jid *contact,
                          unsigned flags);

/* On presence/ending, as part of a contact's event: the account's side of that. */
sv_verdict presence_ending(sv_event *ev, void *self);

/* On account/removing: does that for some contacts, and takes them off the user's roster. */
sv_verdict presence_account_removing(sv_event *ev, void *self);

/* Sends a subscription stanza of the user, of one of the types that presence_owed.c knows, to the contact; if the server is killed before that
 * has had its effect, again at its start. */
void presence_route_owed(sv_event *ev, const presence *me, const char *type, const sv_jid *user,
                         const sv_jid *contact);

/* On stanza/made: such a stanza has come to its own event. */
sv_verdict presence_made(sv_event *ev, void *self);

/* On host/ready, the first time: sends what did not come to its effect before the server ended. */
sv_verdict presence_send_owed(sv_event *ev, void *self);

/* A presence stanza; an empty type is available. */
const sv_stanza *presence_make(sv_event *ev, sv_str type, sv_str from, sv_str to);

/* Sends the presence of each available session of a local account to an address. */
void presence_send_all(sv_event *ev, const sv_jid *account, sv_str to);

#endif
