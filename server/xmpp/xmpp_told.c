/* Texts of the trail: what is told of a stanza beside what bus and ledger note. */
#include "xmpp/xmpp_told.h"

#include "xmpp/xmpp_impl.h"

#define NS_SID "urn:xmpp:sid:0"

enum { IDS_MAX = 4 }; /* of one stanza that are noted */

svi_trail *svi_told_to(svi_server *server)
{
    return server->told;
}

/* The attributes that are told. PERF: gathered in one walk. */
typedef struct head {
    sv_str type, from, to, id;
} head;

static head head_of(const sv_node *root)
{
    head h = {.type = SV_STR("")};
    sv_str name, ns, value;
    for (size_t i = 0; svi_node_attr_at(root, i, &name, &ns, &value); i++) {
        if (ns.n > 0 || (name.n != 2 && name.n != 4)) continue;
        if (sv_str_eq(name, SV_STR("id"))) h.id = value;
        if (sv_str_eq(name, SV_STR("to"))) h.to = value;
        if (sv_str_eq(name, SV_STR("type"))) h.type = value;
        if (sv_str_eq(name, SV_STR("from"))) h.from = value;
    }
    return h;
}

/* The defined condition of an error (RFC 6120 8.3.3); empty if it is none. */
static sv_str condition(const sv_node *root, const head *h)
{
    if (!sv_str_eq(h->type, SV_STR("error"))) return SV_STR("");
    const sv_node *error = svi_node_find(root, SV_STR("error"), SV_STR_NONE);
    for (const sv_node *c = error != NULL ? svi_node_first(error) : NULL; c != NULL; c = svi_node_next(error, c))
        if (sv_str_eq(svi_node_ns(c), SV_STR(SVI_NS_STANZAS)) && !sv_str_eq(svi_node_name(c), SV_STR("text")))
            return svi_node_name(c);
    return SV_STR("");
}

void svi_told_stanza(svi_server *server, uint64_t entry, const sv_stanza *stanza, sv_str from, sv_str to)
{
    if (server->told == NULL) return;
    const sv_node *root = svi_stanza_root(stanza);
    const head h = head_of(root);
    const sv_str texts[] = {svi_node_name(root), h.type, from.p != NULL ? from : h.from, to.p != NULL ? to : h.to,
                            h.id, condition(root, &h)};
    server->told_entry = entry;
    svi_trail_text(server->told, entry, SVI_TOLD_STANZA, texts, sizeof texts / sizeof *texts);
    svi_told_ids(server, entry, stanza);
}

/* XEP-0359 2.1, 2.2: <stanza-id/> by whoever keeps it, <origin-id/> by the sender's client. PERF: atoms rule nearly all
 * children out. */
void svi_told_ids(svi_server *server, uint64_t entry, const sv_stanza *stanza)
{
    if (server->told == NULL) return;
    const sv_node *root = svi_stanza_root(stanza);
    size_t count = 0;
    for (const sv_node *c = svi_node_first(root); c != NULL && count < IDS_MAX; c = svi_node_next(root, c)) {
        if (svi_node_ns_atom(c) != server->sid || !sv_str_eq(svi_node_ns(c), SV_STR(NS_SID))) continue;
        const bool is_origin = sv_str_eq(svi_node_name(c), SV_STR("origin-id"));
        if (!is_origin && !sv_str_eq(svi_node_name(c), SV_STR("stanza-id"))) continue;
        const sv_str by = is_origin ? SV_STR("") : svi_node_attr(c, SV_STR("by"));
        const sv_str texts[] = {by, svi_node_attr(c, SV_STR("id"))};
        svi_trail_text(server->told, entry, SVI_TOLD_ID, texts, 2);
        count++;
    }
}

/* PERF: of a stanza that was told just now, which is the common case, that is enough. */
void svi_told_sent(const sv_session *session, uint64_t entry, const sv_stanza *stanza)
{
    svi_server *server = session->server;
    if (server->told == NULL) return;
    const bool is_known = server->told_entry == entry;
    const sv_node *root = svi_stanza_root(stanza);
    const head h = is_known ? (head){.type = SV_STR("")} : head_of(root);
    const sv_str texts[] = {session->jid.full, svi_node_name(root), h.type, h.from, h.id, condition(root, &h)};
    svi_trail_text(server->told, entry, SVI_TOLD_SENT, texts, is_known ? 2 : sizeof texts / sizeof *texts);
    svi_told_ids(server, entry, stanza);
}

void svi_told_look(svi_server *server, uint64_t entry, sv_str account)
{
    svi_trail_text(server->told, entry, SVI_TOLD_LOOK, &account, 1);
}

/* --- whether any of it is kept ------------------------------------------------------------------------ */

svi_trail *svi_server_trail(svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->trail;
}

void svi_server_set_explain(svi_server *server, size_t bytes)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_trail_resize(server->trail, bytes);
    server->told = bytes > 0 ? server->trail : NULL;
    server->sid = svi_atoms_find(server->newest_atoms, SV_STR(NS_SID));
    svi_bus_set_trail(server->bus, server->told);
    svi_ledger_set_trail(server->ledger, server->told);
}
