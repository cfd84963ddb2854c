/* What is worth waking a phone for. Whatever is not known to be unimportant is. */
#include "csi.h"

#include <string.h>

#define NS_CLIENT "jabber:client"
#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_STATES "http://jabber.org/protocol/chatstates"
#define NS_MARKERS "urn:xmpp:chat-markers:0"
#define NS_EVENT "http://jabber.org/protocol/pubsub#event"
#define NS_ROOM "http://jabber.org/protocol/muc#user"

static const csi_worth goes = {.waits = false};

static csi_worth waits(sv_str key)
{
    return (csi_worth){.waits = true, .key = key};
}

static const sv_node *child(const sv_node *node, const char *name, const char *ns)
{
    return node ? sv->find(node, sv_str_of(name), sv_str_of(ns)) : NULL;
}

/* --- presence ------------------------------------------------------------------------------ */

/* XEP-0045 7.2.2: status 110 tells a client that it is in a room now, or no more. */
static bool is_own_in_room(const sv_node *presence)
{
    const sv_node *x = child(presence, "x", NS_ROOM);
    for (const sv_node *at = x ? sv->first(x) : NULL; at; at = sv->next(x, at))
        if (sv_str_eq(sv->name(at), SV_STR("status")) && sv_str_eq(sv->attr(at, SV_STR("code")), SV_STR("110"))) return true;
    return false;
}

static csi_worth presence_worth(sv_event *ev, const sv_node *presence)
{
    const sv_str type = sv->type(ev), from = sv->attr(presence, SV_STR("from"));
    const bool is_availability = type.n == 0 || sv_str_eq(type, SV_STR("unavailable"));
    if (!is_availability || from.n == 0 || is_own_in_room(presence)) return goes;
    return waits(sv->format(ev, "presence %.*s", (int)from.n, from.p));
}

/* --- messages without a body --------------------------------------------------------------- */

/* What such a message has besides what it says. */
static bool is_wrapping(const sv_node *node)
{
    static const char *const namespaces[] = {"urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:delay",
                                             "http://jabber.org/protocol/address"};
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
        if (sv_str_eq(sv->ns(node), sv_str_of(namespaces[i]))) return true;
    return sv->is(node, SV_STR("thread"), SV_STR(NS_CLIENT));
}

/* Chat states (XEP-0085), receipts (XEP-0184) and markers (XEP-0333). */
typedef struct signs {
    bool states, others; /* receipts and markers */
    bool displayed;      /* a marker that says so */
    bool more;           /* something else */
} signs;

static signs signs_of(const sv_node *message)
{
    signs s = {.states = false};
    for (const sv_node *at = sv->first(message); at; at = sv->next(message, at)) {
        const bool is_marker = sv_str_eq(sv->ns(at), SV_STR(NS_MARKERS));
        if (sv_str_eq(sv->ns(at), SV_STR(NS_STATES)))
            s.states = true;
        else if (is_marker || sv->is(at, SV_STR("received"), SV_STR("urn:xmpp:receipts")))
            s.others = true;
        else if (!is_wrapping(at))
            s.more = true;
        if (is_marker && sv_str_eq(sv->name(at), SV_STR("displayed"))) s.displayed = true;
    }
    return s;
}

/* A lone chat state makes older ones of the same talk stale; receipts and markers each say something. What the user has read
 * on another device ends notifications on this one. */
static csi_worth signs_worth(sv_event *ev, const sv_node *message, bool is_sent)
{
    const signs s = signs_of(message);
    if (s.more || (!s.states && !s.others) || (is_sent && s.displayed)) return goes;
    if (s.others) return waits(SV_STR_NONE);
    const sv_str other = sv->attr(message, is_sent ? SV_STR("to") : SV_STR("from"));
    return waits(sv->format(ev, "state %s %.*s", is_sent ? "to" : "from", (int)other.n, other.p ? other.p : ""));
}

/* --- PEP, headlines ------------------------------------------------------------------------ */

/* XEP-0163: of one item only its newest form matters. What holds several, or none, or empties a node waits in its place. */
static csi_worth event_worth(sv_event *ev, const sv_node *message, const sv_node *event)
{
    const sv_node *items = child(event, "items", NS_EVENT);
    const sv_node *item = items ? sv->first(items) : NULL;
    const sv_str from = sv->attr(message, SV_STR("from"));
    if (!item || sv->next(items, item) || !sv->attr(item, SV_STR("id")).p) return waits(SV_STR_NONE);
    const sv_str node = sv->attr(items, SV_STR("node")), id = sv->attr(item, SV_STR("id"));
    return waits(sv->format(ev, "item %.*s\n%.*s\n%.*s", (int)from.n, from.p ? from.p : "", (int)node.n,
                            node.p ? node.p : "", (int)id.n, id.p));
}

/* --- rooms --------------------------------------------------------------------------------- */

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Bytes over 127 are letters of some word. */
static bool is_letter(char c)
{
    return (unsigned char)c > 127 || (small(c) >= 'a' && small(c) <= 'z') || (c >= '0' && c <= '9');
}

static bool names(sv_str text, sv_str word)
{
    for (size_t at = 0; word.n > 0 && at + word.n <= text.n; at++) {
        size_t same = 0;
        while (same < word.n && small(text.p[at + same]) == small(word.p[same])) same++;
        const bool is_begun = at > 0 && is_letter(text.p[at - 1]);
        const bool goes_on = at + word.n < text.n && is_letter(text.p[at + word.n]);
        if (same == word.n && !is_begun && !goes_on) return true;
    }
    return false;
}

/* XEP-0372 2: a mention that says whom it means. */
static bool refers_to(sv_event *ev, const sv_node *message, sv_str bare)
{
    const sv_str uri = sv->format(ev, "xmpp:%.*s", (int)bare.n, bare.p);
    for (const sv_node *at = sv->first(message); at; at = sv->next(message, at))
        if (sv->is(at, SV_STR("reference"), SV_STR("urn:xmpp:reference:0")) &&
            sv_str_eq(sv->attr(at, SV_STR("uri")), uri))
            return true;
    return false;
}

static csi_worth room_worth(sv_event *ev, const sv_node *message, const sv_node *body)
{
    const sv_jid *user = sv->from(ev);
    const bool is_meant = names(sv->text(ev, body), user->node) || refers_to(ev, message, user->bare);
    return is_meant ? goes : waits(SV_STR_NONE);
}

/* --- messages ------------------------------------------------------------------------------ */

/* The message in a copy (XEP-0280); NULL if it is none. */
static const sv_node *copied(const sv_node *message, bool *is_sent_out)
{
    const sv_node *way = child(message, "sent", NS_CARBONS);
    *is_sent_out = way != NULL;
    if (!way) way = child(message, "received", NS_CARBONS);
    return child(child(way, "forwarded", "urn:xmpp:forward:0"), "message", NS_CLIENT);
}

static csi_worth message_worth(sv_event *ev, const sv_node *message, csi_rooms rooms)
{
    bool is_sent;
    const sv_node *inner = copied(message, &is_sent);
    if (inner) message = inner;
    const sv_str type = sv->attr(message, SV_STR("type"));
    const sv_node *event = child(message, "event", NS_EVENT), *body = child(message, "body", NS_CLIENT);
    if (sv_str_eq(type, SV_STR("error"))) return goes;
    if (event && !body) return event_worth(ev, message, event);
    if (sv_str_eq(type, SV_STR("headline"))) return waits(SV_STR_NONE); /* RFC 6121 5.2.2: needs no answer, is not kept */
    if (body && sv_str_eq(type, SV_STR("groupchat")) && rooms == CSI_ROOMS_MENTIONS)
        return room_worth(ev, message, body);
    return body ? goes : signs_worth(ev, message, is_sent);
}

csi_worth csi_worth_of(sv_event *ev, csi_rooms rooms)
{
    const sv_node *root = sv->root(ev);
    if (sv->is(root, SV_STR("presence"), SV_STR(NS_CLIENT))) return presence_worth(ev, root);
    if (sv->is(root, SV_STR("message"), SV_STR(NS_CLIENT))) return message_worth(ev, root, rooms);
    return goes; /* an IQ is asked, or answered */
}
