/* What the files of the blocking module share. */
#ifndef BLOCKING_H
#define BLOCKING_H

#include <stave/blocking.h>

#define NS_BLOCKING "urn:xmpp:blocking"

typedef struct blocking {
    sv_mod *mod;
    int64_t max_items, max_bytes, max_reports;
    sv_str_list reports_to;
    sv_store *list;    /* as <stave/blocking.h> says */
    sv_store *reports; /* localpart, REPORTS_DAY -> the day and how many reports came on it */
    sv_store *roster;  /* the roster module's items: who may see the account's presence */
} blocking;

/* One item of a request. */
typedef struct blocking_item {
    sv_jid jid;
    const sv_node *report; /* XEP-0377, or NULL */
} blocking_item;

typedef struct blocking_items {
    const blocking_item *items;
    size_t count;
} blocking_items;

/* True if one of the items stands for that address (XEP-0191 6). */
bool blocking_covers(const blocking_items *items, const sv_jid *jid);

/* The whole list on a session, so that whoever has the session knows it. */
void blocking_set_item(sv_event *ev, sv_session *session, const sv_rows *rows);

/* --- blocking_guard.c: what a list does to stanzas ----------------------------------------- */

/* On everything that comes to an account's address or session: nothing from a blocked address gets
 * any further (XEP-0191 3.3). */
sv_verdict blocking_in(sv_event *ev, void *self);

/* On what a session sends to somebody else. */
sv_verdict blocking_out(sv_event *ev, void *self);

/* On presence that a session sends to somebody else, before anything is written. */
sv_verdict blocking_load_other(sv_event *ev, void *self);

/* On what a module sends in the account's name. */
sv_verdict blocking_made(sv_event *ev, void *self);

/* On session/unsent: what came before the block and was never written. */
sv_verdict blocking_unsent(sv_event *ev, void *self);

/* --- blocking_presence.c: what the other one sees of a change ------------------------------ */

/* Unavailable presence to those of `items` that see the account's presence, were not blocked in
 * `old` and are from now on. */
void blocking_vanish(sv_event *ev, const blocking *me, const sv_rows *old,
                     const blocking_items *items);

/* The sessions' presence to those that see it again, and probes of those whose presence the account
 * may see; `items` were on the list `old` and no longer are. */
void blocking_appear(sv_event *ev, const blocking *me, const sv_rows *old,
                     const blocking_items *items);

/* --- blocking_reports.c: XEP-0377 ---------------------------------------------------------- */

/* True if any of the items has a report that is one. */
bool blocking_has_reports(const blocking_items *items);

/* Tells the operator of each; the account's rows of `reports` are in memory. */
void blocking_take_reports(sv_event *ev, blocking *me, const blocking_items *items);

#endif
