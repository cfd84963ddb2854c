/* What others see of a block and of its end: presence goes, or is exchanged anew (XEP-0191 3.3,
 * 3.4). */
#include <stave/presence.h>
#include <stave/roster.h>
#include "blocking.h"

/* Calls `tell` for each address that the change concerns and that is not blocked by what else is on
 * the list: a contact by its bare JID, or by a full one that is an item itself. */
typedef void (*tell_fn)(sv_event *ev, unsigned flags, const sv_jid *contact, sv_str to);

/* Whether the list without these items (or before they came) blocks the address too. */
static bool is_blocked_without(const sv_rows *old, const sv_jid *account, const sv_jid *jid,
                               const blocking_items *items, bool were_listed)
{
    if (sv_blocking_is_exempt(account, jid)) return true; /* no item stands for it */
    const sv_str keys[] = {jid->full, jid->bare, jid->domain};
    for (size_t k = 0; k < 3; k++) {
        sv_str value;
        bool is_item = false;
        if (!sv->row(old, keys[k], &value)) continue;
        for (size_t i = 0; were_listed && i < items->count && !is_item; i++)
            is_item = sv_str_eq(items->items[i].jid.full, keys[k]);
        if (!is_item) return true;
    }
    return false;
}

typedef struct change {
    const sv_rows *old;
    const blocking_items *items;
    bool were_listed; /* the items go from the list */
    tell_fn tell;
} change;

static void for_contact(sv_event *ev, const change *c, unsigned flags, const sv_jid *contact)
{
    const sv_jid *account = sv->from(ev);
    if (blocking_covers(c->items, contact) &&
        !is_blocked_without(c->old, account, contact, c->items, c->were_listed))
        c->tell(ev, flags, contact, contact->bare);
    for (size_t i = 0; i < c->items->count; i++) {
        const sv_jid *jid = &c->items->items[i].jid;
        if (jid->node.n == 0 || jid->resource.n == 0 || !sv_str_eq(jid->bare, contact->bare))
            continue;
        if (blocking_covers(c->items, contact)) break; /* told as a whole */
        if (!is_blocked_without(c->old, account, jid, c->items, c->were_listed))
            c->tell(ev, flags, contact, jid->full);
    }
}

static void for_contacts(sv_event *ev, const sv_rows *roster, const change *c)
{
    sv_str key = SV_STR_NONE, record;
    while (sv->row_next(roster, &key, &record)) {
        sv_jid contact;
        const unsigned flags = sv_roster_flags(record);
        if ((flags & (SV_ROSTER_FROM | SV_ROSTER_TO)) && sv->jid_parse(ev, key, &contact))
            for_contact(ev, c, flags, &contact);
    }
}

static const sv_stanza *presence(sv_event *ev, sv_str type, sv_str from, sv_str to)
{
    sv_draft *draft = sv->draft(ev, SV_STR("presence"), SV_STR("jabber:client"));
    sv->set(draft, SV_STR("type"), type);
    sv->set(draft, SV_STR("from"), from);
    sv->set(draft, SV_STR("to"), to);
    return sv->freeze(ev, draft);
}

/* --- a block ------------------------------------------------------------------------------- */

/* By a way of its own, since the list holds when it leaves. */
static void say_gone(sv_event *ev, const sv_session *session, sv_str to)
{
    sv->route_unasked(
        ev, presence(ev, SV_STR("unavailable"), sv->session_jid(session)->full, to));
}

static void tell_gone(sv_event *ev, unsigned flags, const sv_jid *contact, sv_str to)
{
    (void)contact;
    sv_session *session = NULL;
    while ((flags & SV_ROSTER_FROM) && (session = sv->session_next(ev, sv->from(ev), session)))
        if (sv->session_presence(session)) say_gone(ev, session, to);
}

/* Those who know of a session by directed presence (RFC 6121 4.6) and are no contacts. */
static void end_directed(sv_event *ev, const sv_rows *roster, const change *c)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        sv_str rest = sv->session_item(session, SV_PRESENCE_DIRECTED), record;
        while (rest.n > 0) {
            const char *end = memchr(rest.p, '\n', rest.n);
            const sv_str line = {rest.p, end ? (size_t)(end - rest.p) : rest.n};
            rest = end ? (sv_str){end + 1, rest.n - line.n - 1} : SV_STR_NONE;
            sv_jid jid;
            if (!sv->jid_parse(ev, line, &jid) || !blocking_covers(c->items, &jid)) continue;
            const bool is_contact = sv->row(roster, jid.bare, &record) &&
                                    (sv_roster_flags(record) & SV_ROSTER_FROM) &&
                                    sv->session_presence(session);
            if (!is_contact && !is_blocked_without(c->old, sv->from(ev), &jid, c->items, false))
                say_gone(ev, session, line);
        }
    }
}

void blocking_vanish(sv_event *ev, const blocking *me, const sv_rows *old,
                     const blocking_items *items)
{
    const change c = {old, items, false, tell_gone};
    const sv_rows *roster = sv->rows(ev, me->roster, sv->from(ev)->node);
    for_contacts(ev, roster, &c);
    end_directed(ev, roster, &c);
}

/* --- its end ------------------------------------------------------------------------------- */

/* As at the begin of a presence session: an account of this server answers to the session alone
 * (RFC 6121 4.3). */
static void ask_presence(sv_event *ev, const sv_session *session, const sv_jid *contact)
{
    const sv_jid *own = sv->session_jid(session);
    const sv_str from = sv->is_local(ev, contact) ? own->full : own->bare;
    sv->route(ev, presence(ev, SV_STR("probe"), from, contact->bare));
}

static void tell_back(sv_event *ev, unsigned flags, const sv_jid *contact, sv_str to)
{
    bool has_asked = false;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        const sv_stanza *known = sv->session_presence(session);
        if (!known) continue;
        if (flags & SV_ROSTER_FROM)
            sv->route(ev, sv->with_attrs(ev, known, (const sv_str[]){SV_STR("to"), to}, 2));
        if (!(flags & SV_ROSTER_TO) || (has_asked && !sv->is_local(ev, contact))) continue;
        ask_presence(ev, session, contact);
        has_asked = true;
    }
}

void blocking_appear(sv_event *ev, const blocking *me, const sv_rows *old,
                     const blocking_items *items)
{
    const change c = {old, items, true, tell_back};
    for_contacts(ev, sv->rows(ev, me->roster, sv->from(ev)->node), &c);
}
