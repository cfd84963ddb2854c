/* Which messages are kept: XEP-0313 6.1.1, and what the table in README.md says. */
#include "archive.h"

/* A child that makes a message worth keeping; without `name` any of that namespace. */
typedef struct content {
    const char *name, *ns;
} content;

static const content contents[] = {
    {"body", NS_CLIENT},
    /* encrypted: XEP-0380, XEP-0384 (both namespaces), XEP-0027, XEP-0373 */
    {"encryption", "urn:xmpp:eme:0"},
    {"encrypted", "urn:xmpp:omemo:2"},
    {"encrypted", "urn:xmpp:omemo:1"},
    {"encrypted", "eu.siacs.conversations.axolotl"},
    {"x", "jabber:x:encrypted"},
    {"openpgp", "urn:xmpp:openpgp:0"},
    {"received", "urn:xmpp:receipts"},               /* XEP-0184 */
    {"received", "urn:xmpp:chat-markers:0"},         /* XEP-0333 */
    {"displayed", "urn:xmpp:chat-markers:0"},
    {"acknowledged", "urn:xmpp:chat-markers:0"},
    {"reactions", "urn:xmpp:reactions:0"},           /* XEP-0444 */
    {"reply", "urn:xmpp:reply:0"},                   /* XEP-0461 */
    {"replace", "urn:xmpp:message-correct:0"},       /* XEP-0308 */
    {"retract", "urn:xmpp:message-retract:1"},       /* XEP-0424 */
    {"retract", "urn:xmpp:message-retract:0"},
    {"apply-to", "urn:xmpp:fasten:0"},               /* of their older versions */
    {NULL, "urn:xmpp:call-invites:0"},               /* XEP-0482 */
    {NULL, "urn:xmpp:jingle-message:0"},             /* XEP-0353 */
};

static bool is_content(const sv_node *node)
{
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        const content *c = &contents[i];
        if (!sv_str_eq(sv->ns(node), sv_str_of(c->ns))) continue;
        if (!c->name || sv_str_eq(sv->name(node), sv_str_of(c->name))) return true;
    }
    return false;
}

static bool has_content(const sv_node *root)
{
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child))
        if (is_content(child)) return true;
    return false;
}

static bool has_hint(const sv_node *root, sv_str name)
{
    return sv->find(root, name, SV_STR(NS_HINTS)) != NULL;
}

bool archive_is_kept(sv_event *ev, const archive *me, uint32_t *flags_out)
{
    const sv_node *root = sv->root(ev);
    const sv_str type = sv->type(ev);
    const bool is_room = sv_str_eq(type, SV_STR("groupchat"));
    *flags_out = is_room ? ENTRY_ROOM : 0;
    if (sv_str_eq(type, SV_STR("error")) || sv_str_eq(type, SV_STR("headline"))) return false;
    if (is_room && !me->has_rooms) return false;
    /* XEP-0334 4.1, 4.2, 4.4 */
    if (has_hint(root, SV_STR("no-store")) || has_hint(root, SV_STR("no-permanent-store"))) return false;
    return has_hint(root, SV_STR("store")) || has_content(root);
}
