/* Which messages carbons are made of (XEP-0280 6.1 and 9). */
#include "carbons.h"

#define NS_ROOM "http://jabber.org/protocol/muc#user"
#define NS_CALL "urn:xmpp:jingle-message:0"

static bool has(const sv_node *message, const char *name, const char *ns)
{
    return sv->find(message, sv_str_of(name), sv_str_of(ns)) != NULL;
}

/* What is said in an instant message without a body. XEP-0280 6.1 names the first three; the others are of its kind. */
static bool has_payload_of_chats(const sv_node *message)
{
    static const char *const namespaces[] = {
        "urn:xmpp:receipts",                       /* XEP-0184 */
        "http://jabber.org/protocol/chatstates",   /* XEP-0085 */
        "urn:xmpp:chat-markers:0",                 /* XEP-0333 */
        "urn:xmpp:omemo:2",                        /* XEP-0384: a body that is encrypted */
        "eu.siacs.conversations.axolotl",          /* the same, as most clients have it */
        "urn:xmpp:reactions:0",                    /* XEP-0444 */
        "urn:xmpp:message-retract:1",              /* XEP-0424 */
        NS_CALL,                                   /* XEP-0353 */
    };
    for (const sv_node *child = sv->first(message); child; child = sv->next(message, child))
        for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
            if (sv_str_eq(sv->ns(child), sv_str_of(namespaces[i]))) return true;
    return false;
}

static bool is_invitation(const sv_node *message)
{
    const sv_node *x = sv->find(message, SV_STR("x"), SV_STR(NS_ROOM));
    return has(message, "x", "jabber:x:conference") ||         /* XEP-0249 */
           (x && sv->find(x, SV_STR("invite"), SV_STR(NS_ROOM))); /* XEP-0045 7.8.2 */
}

/* A message that its sender, or what it is, keeps from being copied: 9 and XEP-0334; a copy already; a result of an
 * archive, which its reader asked for. */
static bool is_kept_from_copying(const sv_node *message)
{
    return has(message, "private", NS_CARBONS) || has(message, "no-copy", "urn:xmpp:hints") ||
           has(message, "sent", NS_CARBONS) || has(message, "received", NS_CARBONS) ||
           has(message, "result", "urn:xmpp:mam:2");
}

/* 6.1: the room gives it to each session that is there by itself. */
static bool is_from_occupant(const sv_event *ev, const sv_node *message)
{
    return sv->from(ev)->resource.n > 0 && has(message, "x", NS_ROOM) && !is_invitation(message);
}

carbons_worth carbons_worth_of(const sv_event *ev, carbons_side side)
{
    const sv_node *message = sv->root(ev);
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("groupchat")) || is_kept_from_copying(message)) return CARBONS_NEVER;
    if (sv_str_eq(type, SV_STR("error"))) return CARBONS_IF_KNOWN;
    if (side == CARBONS_RECEIVED && is_from_occupant(ev, message)) return CARBONS_NEVER;
    if (sv_str_eq(type, SV_STR("chat")) || is_invitation(message)) return CARBONS_ALWAYS;
    /* RFC 6121 5.2.2: an unknown type is taken as normal */
    const bool is_normal = !sv_str_eq(type, SV_STR("headline"));
    if (is_normal && has(message, "body", NS_CLIENT)) return CARBONS_ALWAYS;
    return has_payload_of_chats(message) ? CARBONS_ALWAYS : CARBONS_NEVER;
}

bool carbons_is_of_call(const sv_event *ev)
{
    static const char *const names[] = {"propose", "ringing", "retract", "proceed", "reject", "finish", "accept"};
    if (!sv_str_eq(sv->type(ev), SV_STR("chat"))) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (has(sv->root(ev), names[i], NS_CALL)) return true;
    return false;
}
