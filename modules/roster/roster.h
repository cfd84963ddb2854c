/* What the files of the roster module share. */
#ifndef ROSTER_H
#define ROSTER_H

#include <stave/module.h>
#include <stave/roster.h>

#define NS_ROSTER "jabber:iq:roster"
#define INTERESTED "roster-interested" /* session item: it asked for the roster (RFC 6121 2.2) */

typedef struct roster {
    int64_t max_items, max_bytes;
    int64_t name_bytes;
    int64_t max_removed;
    int64_t max_shared;
    sv_mod *mod;
    uint64_t newest; /* the highest version given to any account since the start */
    sv_store *items;
} roster;

/* Takes the next line (without its end) off the front of *rest; false at the end. */
bool roster_next_line(sv_str *rest, sv_str *line_out);

/* About what an item takes in memory on its way to a session, where the queue is bounded. */
int64_t roster_item_cost(sv_str jid, sv_str record);

/* Adds the element for one record to a query (RFC 6121 2.1.2): of what is no item, its removal. */
void roster_add_item(sv_draft *query, sv_str jid, sv_str record);

/* Fires SV_ROSTER_CHANGED for a contact of the event's sender. */
void roster_tell(sv_event *ev, sv_str contact, sv_str record);

/* --- roster_versions.c ----------------------------------------------------------------------- */

/* On SV_ROSTER_CHANGED: gives the record a version and pushes it to the account's interested sessions. */
sv_verdict roster_on_changed(sv_event *ev, void *self);

/* Pushes what is seen of a contact now (empty: nothing more) to the account's interested sessions, with a
 * version. */
void roster_push(sv_event *ev, const sv_jid *account, sv_str contact, sv_str record, sv_str version);

/* The version of a roster (RFC 6121 2.6); "0" if it never changed. For the event. */
sv_str roster_version(sv_event *ev, const sv_rows *rows);

/* Answers a get by what changed since the version that it names, if that is less than the whole (RFC 6121
 * 2.6.3); false if the whole is to be sent. Only inside the handler of the get: pushes follow the
 * answer. */
bool roster_send_changes(sv_event *ev, const sv_rows *rows);

/* --- roster_shared.c ------------------------------------------------------------------------- */

/* What others share with accounts, on the map of items. */
extern const sv_overlay roster_overlay;

/* What is seen of a contact that is shared and has a record of its own, which may be none. */
sv_str roster_merge(sv_event *ev, sv_str stored, sv_str added, void *self);

/* The groups of a record that are the user's own: those of the text without those of the shared contact. */
sv_str roster_own_groups(sv_event *ev, sv_str groups, sv_str added);

/* On "roster/reshared": pushes the differences, and tells presence to those who see it or see it no more. */
sv_verdict roster_on_reshared(sv_event *ev, void *self);

/* On "host/ready": other modules may share other contacts than those before. */
sv_verdict roster_on_ready(sv_event *ev, void *self);

#endif
