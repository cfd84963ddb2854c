/* Finds what a sender says in the server's, an account's or a room's name. */
#include "xmpp/xmpp_sanitise.h"

#include "xmpp/xmpp_impl.h"

/* When a child is not its sender's to say. */
typedef enum claim_rule {
    BY_US,           /* its address is this server's: a host, an account, a room */
    BY_US_NOT_SELF,  /* the same, but a sender may speak of itself */
    BY_ROOM,         /* a client is no room and no archive */
    BY_ROOM_OR_ASKED, /* the same, but a client may ask a room for something with it */
    BY_OWN_SERVER    /* only the recipient's server makes such a thing, whoever the sender is */
} claim_rule;

typedef struct claim {
    sv_str ns, name;
    claim_rule rule;
    sv_str address; /* the attribute that says whose mark it is */
} claim;

#define CLAIM(ns_, name_, rule_, address_)                                                         \
    {                                                                                              \
        .ns = SV_STR_INIT(ns_), .name = SV_STR_INIT(name_), .rule = rule_,                         \
        .address = SV_STR_INIT(address_)                                                           \
    }

/* Those of one namespace stand together. */
static const claim claims[] = {
    /* XEP-0203 5; a client that was cut off says itself that it sends late */
    CLAIM("urn:xmpp:delay", "delay", BY_US_NOT_SELF, "from"),
    CLAIM("jabber:x:delay", "x", BY_US_NOT_SELF, "from"), /* XEP-0091, which clients still believe */
    CLAIM("urn:xmpp:sid:0", "stanza-id", BY_US, "by"),    /* XEP-0359 3, rules 2 and 3 */
    CLAIM("urn:xmpp:mam:tmp", "archived", BY_US, "by"),   /* what stanza-id was in old XEP-0313 */
    CLAIM("urn:xmpp:mam:2", "result", BY_ROOM, ""),       /* XEP-0313 4.1.3 */
    CLAIM("urn:xmpp:occupant-id:0", "occupant-id", BY_ROOM, ""), /* XEP-0421 */
    CLAIM("http://jabber.org/protocol/muc#user", "x", BY_ROOM_OR_ASKED, ""), /* XEP-0045 */
    CLAIM("urn:xmpp:carbons:2", "sent", BY_OWN_SERVER, ""),     /* XEP-0280 11 */
    CLAIM("urn:xmpp:carbons:2", "received", BY_OWN_SERVER, ""), /* XEP-0280 11 */
};

enum { CLAIMS = sizeof claims / sizeof *claims };

void svi_sanitise_declare(svi_server *server)
{
    sv_str names[CLAIMS];
    for (size_t i = 0; i < CLAIMS; i++) names[i] = claims[i].ns;
    svi_server_declare(server, names, CLAIMS);
    const svi_atoms *atoms = svi_server_atoms(server);
    /* their atoms are a run of numbers, so that one comparison rules a child out */
    server->claims_first = svi_atoms_find(atoms, claims[0].ns);
    server->claims_last = svi_atoms_find(atoms, claims[CLAIMS - 1].ns);
    SV_ASSERT(server->claims_last - server->claims_first < CLAIMS);
}

static const claim *claim_of(const sv_node *child)
{
    for (size_t i = 0; i < CLAIMS; i++)
        if (svi_node_is(child, claims[i].name, claims[i].ns)) return &claims[i];
    return NULL;
}

/* Does the address belong to this server? What is no address belongs to nobody. */
static bool is_ours(svi_server *server, svi_arena *arena, sv_str text, const sv_jid *but)
{
    sv_jid jid;
    if (text.n == 0 || svi_jid_parse(arena, text, &jid) != SV_OK) return false;
    if (but != NULL && sv_str_eq(jid.bare, but->bare)) return false;
    return svi_host_find(server, jid.domain) != NULL;
}

/* XEP-0045 7.5, 7.8.2: an empty mark says that a message is private in a room; an invitation or its
 * refusal goes to the room, which adds `from`. Everything else in it a room says. */
static bool may_be_asked(const sv_stanza *stanza, const sv_node *x)
{
    if (!sv_str_eq(svi_node_name(svi_stanza_root(stanza)), SV_STR("message"))) return false;
    for (const sv_node *child = svi_node_first(x); child != NULL; child = svi_node_next(x, child)) {
        const sv_str name = svi_node_name(child);
        if (!sv_str_eq(name, SV_STR("invite")) && !sv_str_eq(name, SV_STR("decline"))) return false;
        if (svi_node_attr(child, SV_STR("from")).p != NULL) return false;
    }
    return true;
}

static bool is_forged(svi_server *server, svi_sender sender, const sv_jid *from,
                      const sv_stanza *stanza, svi_arena *arena, const sv_node *child)
{
    const claim *c = claim_of(child);
    if (c == NULL) return false;
    const sv_str address = svi_node_attr(child, c->address);
    switch (c->rule) {
    case BY_US: return is_ours(server, arena, address, NULL);
    case BY_US_NOT_SELF: return is_ours(server, arena, address, from);
    case BY_ROOM: return sender == SVI_SENDER_CLIENT;
    case BY_ROOM_OR_ASKED: return sender == SVI_SENDER_CLIENT && !may_be_asked(stanza, child);
    case BY_OWN_SERVER: return true;
    }
    SV_ASSERT(false);
    return true;
}

/* True if some child's namespace is one of those above. */
static bool may_claim(const svi_server *server, const sv_node *root)
{
    const sv_atom span = server->claims_last - server->claims_first;
    for (const sv_node *child = svi_node_first(root); child != NULL;
         child = svi_node_next(root, child))
        if ((sv_atom)(svi_node_ns_atom(child) - server->claims_first) <= span) return true;
    return false;
}

size_t svi_sanitise_find(svi_server *server, svi_sender sender, const sv_jid *from,
                         const sv_stanza *stanza, svi_arena *arena, const size_t **strip_out)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    *strip_out = NULL;
    const sv_node *root = svi_stanza_root(stanza);
    if (!may_claim(server, root) || sv_str_eq(svi_node_name(root), SV_STR("iq"))) return 0;
    const size_t children = svi_node_child_count(root);
    size_t *strip = svi_arena_get(arena, children * sizeof *strip), count = 0;
    for (size_t i = 0; i < children; i++) {
        const sv_node *child;
        sv_str text;
        if (!svi_node_child_at(root, i, &child, &text) || child == NULL) continue;
        if (is_forged(server, sender, from, stanza, arena, child)) strip[count++] = i;
    }
    *strip_out = strip;
    return count;
}
