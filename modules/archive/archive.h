/* What the files of the module share: its state on a host, what it stores for whom. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stave/archive.h>
#include <stave/roster.h>

#define NS_MAM "urn:xmpp:mam:2"
#define NS_SID "urn:xmpp:sid:0"
#define NS_HINTS "urn:xmpp:hints"
#define NS_RSM "http://jabber.org/protocol/rsm"
#define NS_FORM "jabber:x:data"
#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_DELAY "urn:xmpp:delay"
#define NS_CLIENT "jabber:client"

/* Flags of entries. */
#define ENTRY_ROOM 1u     /* of type groupchat */
#define ENTRY_OUTGOING 2u /* sent by the owner */

/* Places in `metrics`. */
enum { ADDED, PAGES, RESULTS, PURGED };

/* What is archived where a contact is in no list. */
typedef enum by_default { DEFAULT_ALWAYS = 0, DEFAULT_NEVER = 1, DEFAULT_ROSTER = 2 } by_default;

typedef struct archive {
    sv_mod *mod;
    const sv_archive_api *api;
    sv_archive *messages;
    sv_store *prefs;  /* localpart, PREFS_KEY -> record */
    sv_store *roster; /* of the roster module; NULL without it */
    int64_t preset;   /* by_default */
    bool has_prefs, has_rooms;
    int64_t page_max;
    int64_t max_age_ms, max_messages, max_bytes;
} archive;

/* --- archive_rules.c --------------------------------------------------------------------- */

/* Whether the event's message is of a kind that is kept; *flags_out: of its entry. */
bool archive_is_kept(sv_event *ev, const archive *me, uint32_t *flags_out);

/* --- archive_prefs.c --------------------------------------------------------------------- */

/* What an account wants. */
typedef enum wish {
    WISH_NO,
    WISH_YES,
    WISH_UNKNOWN, /* its rows are not in memory: archive_wish_load */
    WISH_ROSTER   /* the same, of its contacts: archive_contacts_load */
} wish;

/* Whether messages with that address go into the archive of that account. */
wish archive_wish(sv_event *ev, const archive *me, const sv_jid *account, const sv_jid *with);
/* Loads what WISH_UNKNOWN or WISH_ROSTER lacks; the handler says LATER. */
void archive_wish_load(sv_event *ev, archive *me, wish lacks, const sv_jid *account, sv_rows_fn done);

/* iq-get/self, iq-set/self {NS_MAM}prefs. */
sv_verdict archive_on_prefs_get(sv_event *ev, void *self);
sv_verdict archive_on_prefs_set(sv_event *ev, void *self);
/* session/bound: keeps the preferences in memory. */
sv_verdict archive_on_bound(sv_event *ev, void *self);

/* --- archive_query.c --------------------------------------------------------------------- */

/* iq-set/self, iq-get/self {NS_MAM}query; iq-get/self {NS_MAM}metadata. */
sv_verdict archive_on_query(sv_event *ev, void *self);
sv_verdict archive_on_form(sv_event *ev, void *self);
sv_verdict archive_on_metadata(sv_event *ev, void *self);
/* session/unsent {NS_MAM}result: what was not written will be asked for again. */
sv_verdict archive_on_unsent(sv_event *ev, void *self);

/* --- archive_form.c ---------------------------------------------------------------------- */

/* Which messages a client asks for. */
typedef struct asked {
    sv_archive_query query;
    sv_jid with;
    bool has_rooms;    /* include-groupchat */
    bool is_flipped;
    bool counts_only;  /* max 0 */
    bool has_bound;    /* RSM after or before, or ids of the form: the page is not the first of all */
    sv_str ids[SV_ARCHIVE_IDS_MAX];
} asked;

/* Reads a query. False: it was refused. */
bool archive_form_read(sv_event *ev, const archive *me, const sv_node *query, asked *out);

/* Milliseconds since 1970 of a time as XEP-0082 3.2 writes it; false if it is none. */
bool archive_time_read(sv_str text, int64_t *ms_out);

/* --- archive_keep.c ---------------------------------------------------------------------- */

/* store/sweep. */
sv_verdict archive_on_sweep(sv_event *ev, void *self);
extern const sv_command archive_commands[];

#endif
