/* Requests to a session by name: only from those who may know that it is there (RFC 6121 8.5.3.1),
 * since any answer, an error of the client included, tells strangers that it is. */
#include <stave/roster.h>
#include "presence.h"

/* The account itself, its server, and whom the session told by itself; a room's occupant is known by
 * the room. */
static bool knows_the_session(sv_event *ev)
{
    const sv_jid *asker = sv->from(ev), *to = sv->to(ev);
    if (sv_str_eq(asker->bare, to->bare)) return true;
    if (asker->node.n == 0 && sv->is_local(ev, asker)) return true;
    const sv_session *session = sv->session_find(ev, to);
    return session && presence_is_told(session, asker);
}

static bool sees_presence(const sv_event *ev, const sv_rows *roster)
{
    sv_str record;
    return sv->row(roster, sv->from(ev)->bare, &record) &&
           (sv_roster_flags(record) & SV_ROSTER_FROM);
}

static void roster_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status == SV_OK && sees_presence(ev, rows))
        sv->pass(ev);
    else /* the words of a session that is not there: a failed read tells nobody more */
        (void)sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
}

sv_verdict presence_iq(sv_event *ev, void *self)
{
    const presence *me = self;
    if (knows_the_session(ev)) return SV_PASS;
    const sv_rows *rows = sv->rows(ev, me->roster, sv->to(ev)->node);
    if (rows)
        return sees_presence(ev, rows) ? SV_PASS : sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
    sv->rows_load(ev, me->roster, sv->to(ev)->node, roster_came);
    return SV_LATER;
}
