/* Subscription stanzas that the server sends by itself, in events of their own: what one of them changes on the contact's side is
 * stored behind what caused it, and a kill in between would leave the two sides with different states. So that it is due is
 * stored with its cause, and goes with its effect: what is still there when the server starts is sent again. */
#include "presence.h"

/* Owner of what is due of each type; no account has such a name. */
typedef struct kind {
    const char *type, *owner;
} kind;
static const kind kinds[] = {{"subscribed", "/subscribed"},
             {"unsubscribe", "/unsubscribe"},
             {"unsubscribed", "/unsubscribed"}};
#define KINDS (sizeof kinds / sizeof *kinds)

static sv_str owner_of(sv_str type)
{
    for (size_t i = 0; i < KINDS; i++)
        if (sv_str_eq(type, sv_str_of(kinds[i].type))) return sv_str_of(kinds[i].owner);
    return SV_STR_NONE;
}

/* No localpart has a blank (RFC 7622 3.3.1), so this is never longer than a key may be. */
static sv_str key_of(sv_event *ev, const sv_jid *user, const sv_jid *contact)
{
    return sv->format(ev, "%.*s %.*s", (int)user->node.n, user->node.p, (int)contact->bare.n, contact->bare.p);
}

void presence_route_owed(sv_event *ev, const presence *me, const char *type, const sv_jid *user,
                         const sv_jid *contact)
{
    /* also where that can't be stored */
    (void)sv->put(ev, me->owed, owner_of(sv_str_of(type)), key_of(ev, user, contact), SV_STR("1"));
    sv->route(ev, presence_make(ev, sv_str_of(type), user->bare, contact->bare));
}

/* It is on its way: that it is due goes with what it does. */
sv_verdict presence_made(sv_event *ev, void *self)
{
    const presence *me = self;
    const sv_str owner = owner_of(sv->type(ev));
    if (owner.n && sv->from(ev)->resource.n == 0 && sv_str_eq(sv->name(sv->root(ev)), SV_STR("presence")))
        (void)sv->del(ev, me->owed, owner, key_of(ev, sv->from(ev), sv->to(ev)));
    return SV_PASS;
}

/* --- the server starts ----------------------------------------------------------------------- */

static void send_kind(sv_event *ev, const presence *me, const sv_rows *rows, const char *type)
{
    const sv_str host = sv->host(me->mod);
    sv_str key = SV_STR_NONE, value;
    while (sv->row_next(rows, &key, &value)) {
        const char *blank = memchr(key.p, ' ', key.n);
        if (!blank) continue;
        const size_t n = (size_t)(blank - key.p);
        const sv_str user = sv->format(ev, "%.*s@%.*s", (int)n, key.p, (int)host.n, host.p);
        sv->route(ev, presence_make(ev, sv_str_of(type), user, (sv_str){blank + 1, key.n - n - 1}));
    }
}

static void owed_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows;
    if (status != SV_OK || presence_send_owed(ev, self) == SV_PASS) sv->pass(ev);
}

sv_verdict presence_send_owed(sv_event *ev, void *self)
{
    presence *me = self;
    sv_rows *rows[KINDS];
    if (me->has_sent_owed) return SV_PASS;
    for (size_t i = 0; i < KINDS; i++) {
        const sv_str owner = sv_str_of(kinds[i].owner);
        rows[i] = sv->rows(ev, me->owed, owner);
        if (rows[i]) continue;
        sv->rows_load(ev, me->owed, owner, owed_rows);
        return SV_LATER;
    }
    me->has_sent_owed = true;
    for (size_t i = 0; i < KINDS; i++) send_kind(ev, me, rows[i], kinds[i].type);
    return SV_PASS;
}
