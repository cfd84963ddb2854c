/* The end of an account: its contacts are unsubscribed in both directions, some in each event, so that
 * what is begun is done or can go on. */
#include <stave/roster.h>
#include "presence.h"

/* Each may have a record of as much as its name and groups may be: together far below what an event
 * may write. */
#define STEP 32u

/* The localpart of a contact on the user's own host; empty for any other. */
static sv_str node_here(const sv_jid *user, sv_str contact)
{
    const char *at = contact.n ? memchr(contact.p, '@', contact.n) : NULL;
    if (!at) return SV_STR_NONE;
    const size_t n = (size_t)(at - contact.p);
    const sv_str domain = {at + 1, contact.n - n - 1};
    return sv_str_eq(domain, user->domain) ? (sv_str){contact.p, n} : SV_STR_NONE;
}

/* The next contact of the account's own: what others share with it ends by itself. */
static bool next_own(const sv_rows *rows, sv_str *key, sv_str *record_out)
{
    while (sv->row_next(rows, key, record_out))
        if (sv->row_stored(rows, *key, record_out)) return true;
    return false;
}

/* The first of this step's contacts whose rows are not in memory; empty if all are. */
static sv_str missing(sv_event *ev, const presence *me, const sv_rows *rows)
{
    sv_str contact = SV_STR_NONE, record;
    for (size_t i = 0; i < STEP && next_own(rows, &contact, &record); i++) {
        const sv_str node = node_here(sv->from(ev), contact);
        if (node.n && !sv->rows(ev, me->roster, node)) return node;
    }
    return SV_STR_NONE;
}

static void end_contacts(sv_event *ev, presence *me, const sv_rows *rows)
{
    const sv_jid *user = sv->from(ev);
    sv_str key = SV_STR_NONE, record;
    for (size_t i = 0; i < STEP && next_own(rows, &key, &record); i++) {
        const sv_str node = node_here(user, key);
        sv_jid contact;
        if (sv->jid_parse(ev, key, &contact))
            presence_end_contact(ev, me, user, &contact, sv_roster_flags(record),
                                 node.n ? sv->rows(ev, me->roster, node) : NULL);
        (void)sv->del(ev, me->roster, user->node, key);
        (void)sv->del(ev, me->requests, user->node, key);
    }
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows; /* the user's or a contact's */
    if (status != SV_OK)
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
    else if (presence_account_removing(ev, self) == SV_PASS)
        sv->pass(ev);
}

sv_verdict presence_account_removing(sv_event *ev, void *self)
{
    presence *me = self;
    const sv_str user = sv->from(ev)->node;
    const sv_rows *rows = sv->rows(ev, me->roster, user);
    const sv_str absent = rows ? missing(ev, me, rows) : user;
    if (absent.n) {
        sv->rows_load(ev, me->roster, absent, loaded);
        return SV_LATER;
    }
    end_contacts(ev, me, rows);
    return SV_PASS;
}
