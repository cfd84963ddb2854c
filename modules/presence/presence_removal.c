/* The end of an account: its contacts are unsubscribed in both directions, some in each event, so that
 * what is begun is done or can go on. */
#include <stave/roster.h>
#include "presence.h"

/* Each may have a record of as much as its name and groups may be: together far below what an event
 * may write. */
#define STEP 32u

/* The next contact of the account's own: what others share with it ends by itself. */
static bool next_own(const sv_rows *rows, sv_str *key, sv_str *record_out)
{
    while (sv->row_next(rows, key, record_out))
        if (sv->row_stored(rows, *key, record_out)) return true;
    return false;
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self);

/* Brings the rows of this step's contacts of this server into memory; false if one has to be waited for. */
static bool has_all(sv_event *ev, const presence *me, const sv_rows *rows)
{
    sv_str contact = SV_STR_NONE, record;
    for (size_t i = 0; i < STEP && next_own(rows, &contact, &record); i++) {
        sv_jid jid;
        if (sv->jid_parse(ev, contact, &jid) && !sv->rows_warm(ev, me->roster, &jid, loaded)) return false;
    }
    return true;
}

static bool is_behind(sv_str a, sv_str b)
{
    const int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order > 0 || (order == 0 && a.n > b.n);
}

/* Those of this step; or, if there is a `last`, those up to it. Returns the last one. */
static sv_str end_contacts(sv_event *ev, presence *me, const sv_rows *rows, sv_str last)
{
    const sv_jid *user = sv->from(ev);
    sv_str key = SV_STR_NONE, record, ended = SV_STR_NONE;
    for (size_t i = 0; (last.n || i < STEP) && next_own(rows, &key, &record); i++) {
        if (last.n && is_behind(key, last)) break;
        ended = key;
        sv_jid contact;
        if (sv->jid_parse(ev, key, &contact))
            presence_end_contact(ev, me, user, &contact, sv_roster_flags(record));
        (void)sv->del(ev, me->roster, user->node, key);
        (void)sv->del(ev, me->requests, user->node, key);
    }
    return ended;
}

/* Other modules had to wait, and contacts may have changed their rows meanwhile. */
static void end_again(sv_event *ev, void *ctx, void *self)
{
    presence *me = self;
    const sv_str *last = ctx;
    const sv_rows *rows = sv->rows(ev, me->roster, sv->from(ev)->node);
    if (rows) (void)end_contacts(ev, me, rows, *last);
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
    if (!rows) {
        sv->rows_load(ev, me->roster, user, loaded);
        return SV_LATER;
    }
    if (!has_all(ev, me, rows)) return SV_LATER;
    const sv_str last = end_contacts(ev, me, rows, SV_STR_NONE);
    if (last.n) {
        sv_str *kept = sv->scratch(ev, sizeof *kept);
        *kept = sv->format(ev, "%.*s", (int)last.n, last.p);
        sv->after_wait(me->mod, ev, end_again, kept);
    }
    return SV_PASS;
}
