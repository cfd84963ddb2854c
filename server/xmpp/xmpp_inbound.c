/* What comes from a bound session: its sender stamped, its addresses and form checked, admitted
 * or refused, and sent on its way (RFC 6120 8.1, 8.2). */
#include "base/base_log.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_recorder.h"
#include "xmpp/xmpp_sanitise.h"
#include "xmpp/xmpp_told.h"

/* The stanza that is passed on. RFC 6120 8.1.2.1 rule 1: the server adds or overrides `from`. Of the
 * two answers to a forged one (8.1.2.1 here, invalid-from in 4.9.3.9) we take the first: it is what
 * rule 1 demands, and nobody is cut off for a client's mistake. What only the server may say goes in
 * the same edit (xmpp_sanitise.h). */
static sv_stanza *stamp(const sv_session *session, const sv_stanza *stanza, bool is_subscription)
{
    const sv_jid *jid = &session->jid;
    const sv_str from = is_subscription ? jid->bare : jid->full;
    const sv_str lang = sv_str_of(session->lang); /* for a stanza that has none (8.1.5) */
    const sv_node *root = svi_stanza_root(stanza);
    svi_server *server = session->server;
    const size_t *forged;
    const size_t forged_count = svi_sanitise_find(server, SVI_SENDER_CLIENT, jid, stanza,
                                                  server->scratch, &forged);
    const bool has_from = sv_str_eq(svi_node_attr(root, SV_STR("from")), from);
    if (forged_count == 0 && has_from &&
        (lang.n == 0 || svi_node_attr_ns(root, SV_STR("lang"), SV_STR(SVI_NS_XML)).p))
        return svi_stanza_ref(stanza);
    const svi_attr_set set = {.name = SV_STR("from"), .value = from};
    const svi_edit edit = {.attrs = &set,
                           .attr_count = 1,
                           .lang = lang,
                           .strip = forged,
                           .strip_count = forged_count};
    return svi_stanza_edit(server->acct, svi_server_atoms(server), stanza, &edit);
}

static bool is_subscription(const sv_stanza *stanza)
{
    static const sv_str types[] = {SV_STR_INIT("subscribe"), SV_STR_INIT("subscribed"),
                                   SV_STR_INIT("unsubscribe"), SV_STR_INIT("unsubscribed")};
    const sv_node *root = svi_stanza_root(stanza);
    if (!sv_str_eq(svi_node_name(root), SV_STR("presence"))) return false;
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (sv_str_eq(type, types[i])) return true;
    return false;
}

static bool is_stanza(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    return svi_node_is(root, SV_STR("message"), SV_STR(SVI_NS_CLIENT)) ||
           svi_node_is(root, SV_STR("presence"), SV_STR(SVI_NS_CLIENT)) ||
           svi_node_is(root, SV_STR("iq"), SV_STR(SVI_NS_CLIENT));
}

/* RFC 6121 4.2, 4.4, 4.5: to all who may see it. */
static bool is_broadcast(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    return sv_str_eq(svi_node_name(root), SV_STR("presence")) &&
           svi_node_attr(root, SV_STR("to")).p == NULL &&
           (type.n == 0 || sv_str_eq(type, SV_STR("unavailable")));
}

typedef enum form { FORM_OK, FORM_BAD, FORM_DROP } form;

/* RFC 6120 8.2.3: id and type are required, a request has exactly one child, a result at most
 * one, an error its <error/>. What is wrong in an answer can't be answered. */
static form check_iq(const sv_stanza *stanza, svi_kind kind)
{
    const sv_node *root = svi_stanza_root(stanza);
    size_t children = 0;
    for (const sv_node *child = svi_node_first(root); child != NULL;
         child = svi_node_next(root, child))
        children++;
    const bool has_id = svi_node_attr(root, SV_STR("id")).n > 0;
    switch (kind) {
    case SVI_KIND_GET:
    case SVI_KIND_SET: return has_id && children == 1 ? FORM_OK : FORM_BAD;
    case SVI_KIND_RESULT: return has_id && children <= 1 ? FORM_OK : FORM_DROP;
    case SVI_KIND_ERROR:
        return has_id && svi_node_find(root, SV_STR("error"), SV_STR(SVI_NS_CLIENT)) != NULL
                   ? FORM_OK
                   : FORM_DROP;
    default: return FORM_BAD; /* rule 2: no such type */
    }
}

/* The recipient: the sender's own bare JID if there is no `to` (RFC 6120 10.3). */
static sv_status prepare_to(svi_arena *arena, svi_passage *passage)
{
    const sv_str to = svi_node_attr(svi_stanza_root(passage->stanza), SV_STR("to"));
    if (to.p != NULL) return svi_jid_parse(arena, to, &passage->to);
    passage->to = svi_jid_make(arena, passage->from.node, passage->from.domain, SV_STR_NONE);
    return SV_OK;
}

static void drop(const svi_passage *passage, const char *rule)
{
    const svi_watcher *watcher = passage->server->watcher;
    svi_ledger_close(passage->server->ledger, passage->entry, SVI_DROPPED, rule);
    if (watcher != NULL)
        watcher->stanza(watcher->ctx, &(svi_seen){.what = SVI_SEEN_DROPPED,
                                                  .host = passage->from_host,
                                                  .jid = &passage->from,
                                                  .receiver = &passage->to,
                                                  .rule = rule,
                                                  .stanza = passage->stanza});
    svi_session_heard(passage->session, &passage->arrival);
}

#define NO_COND ((sv_cond)0)

/* XEP-0175 3, items 2 and 3: a guest speaks with nobody on other servers, and has no subscriptions, which
 * would outlive him. Nor has anybody one to him. */
static sv_cond guest_cond(const svi_passage *passage)
{
    svi_host *host = svi_host_find(passage->server, passage->to.domain);
    if (passage->session->is_guest && host == NULL) return SV_FORBIDDEN;
    if (!is_subscription(passage->stanza)) return NO_COND;
    const bool to_guest = host != NULL && svi_guest_is(host, passage->to.node);
    return passage->session->is_guest || to_guest ? SV_NOT_ALLOWED : NO_COND;
}

static void check_and_start(svi_arena *arena, svi_passage *passage)
{
    const bool has_to = prepare_to(arena, passage) == SV_OK;
    svi_told_stanza(passage->server, passage->entry, passage->stanza, passage->from.full,
                    has_to ? passage->to.full : SV_STR_NONE);
    if (!has_to) {
        /* 8.3.1 rule 2: the error must not have a malformed JID as its `from` */
        passage->error_from = passage->from_host->domain;
        svi_passage_refuse(passage, SV_JID_MALFORMED);
        return;
    }
    const svi_kind kind = (svi_kind)passage->kind;
    if (kind == SVI_KIND_NONE || svi_kind_is_iq(kind)) {
        const form seen = check_iq(passage->stanza, kind);
        if (seen == FORM_BAD) svi_passage_refuse(passage, SV_BAD_REQUEST);
        if (seen == FORM_DROP) drop(passage, "iq-malformed");
        if (seen != FORM_OK) return;
    }
    const sv_cond forbidden = guest_cond(passage);
    if (forbidden != NO_COND) {
        svi_passage_refuse(passage, forbidden);
        return;
    }
    if (!svi_passage_is_admitted(passage)) {
        svi_passage_refuse(passage, SV_RESOURCE_CONSTRAINT);
        return;
    }
    svi_passage_start(passage);
}

void svi_inbound(sv_session *session, sv_stanza *take, size_t cost_bytes)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->is_suspended) { /* it is not counted, and comes again */
        svi_stanza_unref(&take);
        return;
    }
    svi_arrival arrival = {.cost_bytes = cost_bytes, .turn = session->turn};
    bool is_repeat;
    arrival.serial = svi_counted_in(session, take, &is_repeat);
    if (is_repeat) { /* what it was repeated for goes on, and counts for both */
        arrival.serial = 0;
        svi_session_heard(session, &arrival);
        svi_stanza_unref(&take);
    } else if (!svi_session_puts_off(session, take, &arrival)) {
        svi_inbound_now(session, take, &arrival);
    }
}

void svi_inbound_now(sv_session *session, sv_stanza *take, const svi_arrival *arrival)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_server *server = session->server;
    svi_session_announce(session);
    svi_session_seen(session, take, SV_STR_NONE, SVI_SEEN_IN);
    svi_passage passage = {
        .server = server,
        .from_host = session->host,
        .session = session,
        .from = session->jid,
        .entry = svi_ledger_open(server->ledger, SVI_RECEIVED, &session->host->counts),
        .arrival = *arrival,
        .is_own = true,
    };
    const bool is_ended = session->is_kicked;
    /* it waited until the end, which session/gone tells */
    const bool is_late = !session->is_listed && is_broadcast(take);
    passage.stanza = take;
    if (is_ended || is_late || !is_stanza(take)) {
        const bool is_unknown = !is_ended && !is_late;
        svi_told_stanza(server, passage.entry, take, passage.from.full, SV_STR_NONE);
        drop(&passage, is_unknown ? "unsupported-stanza-type" : "stream-ended");
        if (is_unknown) svi_session_kick(session, "unsupported-stanza-type"); /* 4.9.3.24 */
        svi_stanza_unref(&take);
        return;
    }
    const svi_mark mark = svi_arena_mark(server->scratch);
    sv_stanza *stamped = stamp(session, take, is_subscription(take));
    svi_stanza_unref(&take);
    passage.stanza = stamped;
    passage.kind = (int)svi_kind_of(stamped);
    if (passage.kind == SVI_KIND_GET || passage.kind == SVI_KIND_SET)
        svi_recorder_request(session, arrival->serial, stamped);
    check_and_start(server->scratch, &passage);
    svi_arena_reset(server->scratch, mark);
    svi_stanza_unref(&stamped);
}
