/* The way of a stanza: what it is, where it goes, who is asked, and what happens to it if nobody
 * claims it (RFC 6120 8 and 10, RFC 6121 8). */
#include "base/base_log.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_told.h"

/* Where an event is on its way. The scopes stand in the order of SVI_STANZA_POINTS. */
typedef enum stage {
    AT_OUT = 0,
    AT_SELF,
    AT_ACCOUNT,
    AT_RESOURCE,
    AT_HOST,
    AT_REMOTE,
    AT_INBOUND,    /* before its scope */
    AT_MADE,       /* the same for what a module routes */
    AT_NO_ACCOUNT, /* local, no such user: no handler of accounts is asked */
    AT_NO_SESSION  /* an IQ for a resource that is not on line: no handler is asked */
} stage;

/* --- what it is ------------------------------------------------------------------------------- */

svi_kind svi_kind_of(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    if (svi_node_is(root, SV_STR("message"), SV_STR(SVI_NS_CLIENT))) return SVI_KIND_MESSAGE;
    if (svi_node_is(root, SV_STR("presence"), SV_STR(SVI_NS_CLIENT))) return SVI_KIND_PRESENCE;
    if (!svi_node_is(root, SV_STR("iq"), SV_STR(SVI_NS_CLIENT))) return SVI_KIND_NONE;
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    if (sv_str_eq(type, SV_STR("get"))) return SVI_KIND_GET;
    if (sv_str_eq(type, SV_STR("set"))) return SVI_KIND_SET;
    if (sv_str_eq(type, SV_STR("result"))) return SVI_KIND_RESULT;
    if (sv_str_eq(type, SV_STR("error"))) return SVI_KIND_ERROR;
    return SVI_KIND_NONE;
}

bool svi_kind_is_iq(svi_kind kind)
{
    return kind >= SVI_KIND_GET;
}

static bool is_request(int kind)
{
    return kind == SVI_KIND_GET || kind == SVI_KIND_SET;
}

/* The point of that kind of stanza in that scope. */
static svi_point point_at(int kind, stage at)
{
    static const svi_point first[] = {
        [SVI_KIND_MESSAGE] = SVI_POINT_MESSAGE_OUT,  [SVI_KIND_PRESENCE] = SVI_POINT_PRESENCE_OUT,
        [SVI_KIND_GET] = SVI_POINT_IQ_GET_OUT,       [SVI_KIND_SET] = SVI_POINT_IQ_SET_OUT,
        [SVI_KIND_RESULT] = SVI_POINT_IQ_RESULT_OUT, [SVI_KIND_ERROR] = SVI_POINT_IQ_ERROR_OUT,
    };
    SV_ASSERT(kind > SVI_KIND_NONE && kind <= SVI_KIND_ERROR && at <= AT_REMOTE);
    return (svi_point)(first[kind] + at);
}

/* The point where a stanza that has come so far is passed next; none where no handler is asked. */
static svi_point point_from(int kind, stage at)
{
    if (at <= AT_REMOTE) return point_at(kind, at);
    if (at != AT_NO_ACCOUNT || svi_kind_is_iq((svi_kind)kind)) return SVI_POINT_NONE;
    return kind == SVI_KIND_MESSAGE ? SVI_POINT_MESSAGE_NOBODY : SVI_POINT_PRESENCE_NOBODY;
}

_Static_assert(SVI_POINT_MESSAGE_REMOTE - SVI_POINT_MESSAGE_OUT == AT_REMOTE, "scopes in order");
_Static_assert(SVI_POINT_MESSAGE_SELF - SVI_POINT_MESSAGE_OUT == AT_SELF, "scopes in order");

/* RFC 6121 3: these are about a subscription, not about availability. */
static bool is_subscription(sv_str type)
{
    return sv_str_eq(type, SV_STR("subscribe")) || sv_str_eq(type, SV_STR("subscribed")) ||
           sv_str_eq(type, SV_STR("unsubscribe")) || sv_str_eq(type, SV_STR("unsubscribed"));
}

/* --- where it goes ---------------------------------------------------------------------------- */

/* Looks the recipient up, unless nothing has changed since the last look. */
static void look(svi_server *server, const sv_jid *to, svi_place *place)
{
    if (place->tables == server->tables) return;
    place->host = svi_host_find(server, to->domain);
    const bool is_full = place->host != NULL && to->node.n > 0 && to->resource.n > 0;
    place->session = is_full ? svi_session_find(server, to->full) : NULL;
    place->tables = server->tables;
}

/* The scope by the recipient's address (bus_points.h). A full JID that is not on line is taken
 * as the bare one (RFC 6120 10.5.4), but not for IQ, which then is refused (RFC 6121 8.5.3.2.3). */
static stage scope_of(const svi_place *place, const sv_jid *from, const sv_jid *to, int kind)
{
    if (place->host == NULL) return AT_REMOTE;
    if (to->node.n == 0) return AT_HOST;
    if (place->session != NULL) return AT_RESOURCE;
    if (to->resource.n > 0 && svi_kind_is_iq((svi_kind)kind)) return AT_NO_SESSION;
    return sv_str_eq(from->bare, to->bare) ? AT_SELF : AT_ACCOUNT;
}

static stage scope_of_event(svi_xevent *x)
{
    look(x->server, &x->to, &x->place);
    return scope_of(&x->place, &x->from, &x->to, x->kind);
}

static stage scope_of_passage(svi_passage *passage)
{
    look(passage->server, &passage->to, &passage->place);
    return scope_of(&passage->place, &passage->from, &passage->to, passage->kind);
}

/* The sender's side is asked about what a local session sends to somebody else. */
static bool goes_out(bool is_own, const sv_jid *from, const sv_jid *to)
{
    return is_own && !sv_str_eq(from->bare, to->bare);
}

static void known_too_late(void *ctx, sv_status status)
{
    (void)ctx;
    (void)status; /* the rows are in memory now: whoever asks next knows at once */
}

/* A handler changed the recipient: false if it is not known at once whether the new one exists. */
static bool find_account(svi_xevent *x)
{
    x->account_exists = svi_session_next(x->server, x->to.bare, NULL) != NULL;
    return x->account_exists ||
           svi_account_check(x->place.host, x->to.node, &x->account_exists, known_too_late, NULL);
}

static bool enter_scope(sv_event *ev, svi_xevent *x)
{
    stage at = scope_of_event(x);
    if ((at == AT_ACCOUNT || at == AT_SELF) && x->is_redirected && !find_account(x)) {
        svi_x_pass_over(ev);
        return false;
    }
    if ((at == AT_ACCOUNT || at == AT_SELF) && !x->account_exists) at = AT_NO_ACCOUNT;
    if (at == AT_REMOTE && x->is_redirected)
        svi_ledger_set_peer(x->server->ledger, svi_event_entry(ev), x->to.domain);
    x->stage = (int)at;
    const svi_point point = point_from(x->kind, at);
    if (point == SVI_POINT_NONE) return false;
    /* the sender's host answers for what is remote */
    x->host = x->place.host != NULL ? x->place.host : x->from_host;
    svi_event_point(ev, point, x->host->hooks, svi_host_name(x->host));
    return true;
}

static bool route_next(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    switch ((stage)x->stage) {
    case AT_INBOUND:
        if (!goes_out(x->is_own, &x->from, &x->to)) return enter_scope(ev, x);
        x->stage = AT_OUT;
        svi_event_point(ev, point_at(x->kind, AT_OUT), x->from_host->hooks,
                        svi_host_name(x->from_host));
        return true;
    case AT_OUT:
    case AT_MADE: return enter_scope(ev, x);
    case AT_RESOURCE: /* the session may have gone while a handler said LATER */
        return scope_of_event(x) != AT_RESOURCE && enter_scope(ev, x);
    default: return false;
    }
}

/* --- if nobody claims it ---------------------------------------------------------------------- */

static void drop(sv_event *ev, const char *rule)
{
    svi_event_dispose(ev, SVI_DROPPED, rule);
}

static void iq_unclaimed(sv_event *ev, const svi_xevent *x)
{
    if (!is_request(x->kind)) {
        drop(ev, "answer-unclaimed"); /* RFC 6120 10.3.3 rule 3 */
    } else if (x->stage == AT_REMOTE) {
        svi_x_return(ev, SV_REMOTE_SERVER_NOT_FOUND, SV_STR_NONE, SVI_ANSWERED); /* 10.4.3 */
    } else {
        /* 10.3.3 rule 2, 10.5.3.1; RFC 6121 8.5.1, 8.5.2.1.3, 8.5.3.2.3 */
        svi_x_return(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE, SVI_ANSWERED);
    }
}

/* RFC 6121 8.5.4, the rows without a session that takes it: errors and headlines are ignored,
 * the rest is returned. */
static void message_unclaimed(sv_event *ev, const svi_xevent *x)
{
    if (sv_str_eq(x->type, SV_STR("error")))
        drop(ev, "error-unclaimed");
    else if (x->stage == AT_REMOTE)
        svi_x_return(ev, SV_REMOTE_SERVER_NOT_FOUND, SV_STR_NONE, SVI_BOUNCED);
    else if (sv_str_eq(x->type, SV_STR("headline")))
        drop(ev, "headline-unclaimed");
    else
        svi_x_return(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE, SVI_BOUNCED);
}

/* RFC 6121 8.5.1, 8.5.2.2.2, 8.5.3.2.2: ignored; RFC 6120 10.4.3: but an unreachable domain is
 * told. */
static void presence_unclaimed(sv_event *ev, const svi_xevent *x)
{
    if (x->stage == AT_REMOTE && !sv_str_eq(x->type, SV_STR("error")))
        svi_x_return(ev, SV_REMOTE_SERVER_NOT_FOUND, SV_STR_NONE, SVI_BOUNCED);
    else
        drop(ev, x->stage == AT_NO_ACCOUNT ? "presence-to-nobody" : "presence-unclaimed");
}

/* RFC 6121 8.5.3.1: everything goes to the resource but what is about subscriptions and probes. */
static bool is_for_resource(const svi_xevent *x)
{
    if (x->kind != SVI_KIND_PRESENCE) return true;
    return !is_subscription(x->type) && !sv_str_eq(x->type, SV_STR("probe"));
}

static void route_unclaimed(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    if (x->stage == AT_RESOURCE && is_for_resource(x)) {
        SV_ASSERT(x->place.tables == x->server->tables &&
                  x->place.session != NULL); /* route_next looked */
        svi_x_hand(ev, x->place.session);
        return;
    }
    if (x->kind == SVI_KIND_MESSAGE)
        message_unclaimed(ev, x);
    else if (x->kind == SVI_KIND_PRESENCE)
        presence_unclaimed(ev, x);
    else
        iq_unclaimed(ev, x);
}

/* --- if something goes wrong ------------------------------------------------------------------ */

static void fail(sv_event *ev, sv_cond cond, const char *rule)
{
    const svi_xevent *x = svi_xevent_of(ev);
    if (x->kind == SVI_KIND_PRESENCE || svi_is_unanswerable(svi_event_stanza(ev)))
        drop(ev, rule);
    else
        svi_x_return(ev, cond, SV_STR_NONE, is_request(x->kind) ? SVI_ANSWERED : SVI_BOUNCED);
}

static void route_timeout(sv_event *ev)
{
    const bool is_remote = svi_xevent_of(ev)->stage == AT_REMOTE;
    fail(ev, is_remote ? SV_REMOTE_SERVER_TIMEOUT : SV_INTERNAL_SERVER_ERROR, "timeout");
}

static void route_undisposed(sv_event *ev, const char *module)
{
    (void)module; /* the bus has logged it */
    fail(ev, SV_INTERNAL_SERVER_ERROR, "undisposed");
}

/* Asked of one's own server, which tells nobody anything new by refusing it. */
static bool is_own_subscription(const svi_xevent *x)
{
    return x->kind == SVI_KIND_PRESENCE && x->is_own && is_subscription(x->type) &&
           (x->stage == AT_INBOUND || x->stage == AT_OUT || x->stage == AT_SELF);
}

/* RFC 6120 8.3.3.19: what is not provided now. It is what a server says that lacks the module, and what is said of
 * accounts that do not exist (RFC 6121 8.5.1), so that nobody learns which accounts there are; 8.3.3.6
 * (internal-server-error) would tell. For the same reason what is ignored there is dropped here: headlines,
 * and presence at the recipient's side. */
static void route_quarantined(sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const bool is_ignored =
        (x->kind == SVI_KIND_PRESENCE && !is_own_subscription(x)) ||
        (x->kind == SVI_KIND_MESSAGE && sv_str_eq(x->type, SV_STR("headline")));
    if (is_ignored || svi_is_unanswerable(svi_event_stanza(ev)))
        drop(ev, "quarantined");
    else
        svi_x_return(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE,
                     is_request(x->kind) ? SVI_ANSWERED : SVI_BOUNCED);
}

static void route_released(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    if (x->is_own && x->session != NULL) svi_session_heard(x->session, &x->arrival);
    svi_xevent_close(x);
}

static void route_canceled(sv_event *ev)
{
    svi_xevent_close(svi_xevent_of(ev));
}

static const svi_event_ops route_ops = {
    .committing = svi_xevent_committing,
    .dropped = svi_x_dropped,
    .next = route_next,
    .unclaimed = route_unclaimed,
    .timeout = route_timeout,
    .undisposed = route_undisposed,
    .quarantined = route_quarantined,
    .released = route_released,
    .canceled = route_canceled,
};

/* --- admission -------------------------------------------------------------------------------- */

/* Availability is volatile (architecture 8, classes of traffic), answers can't be refused. */
static bool may_be_refused(const svi_passage *passage)
{
    if (svi_is_unanswerable(passage->stanza)) return false;
    if (passage->kind != SVI_KIND_PRESENCE) return true;
    return is_subscription(svi_node_attr(svi_stanza_root(passage->stanza), SV_STR("type")));
}

/* A test has it that there is no space for one of those that may store. */
static bool is_lacking_by_test(const svi_passage *passage, const svi_hooks *hooks, svi_point point)
{
    size_t count = 0;
    const svi_server *server = passage->server;
    const svi_handler *h = hooks != NULL ? svi_hooks_at(hooks, point, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (h[i].stores && svi_handler_matches(&h[i], passage->stanza) && server->lacks_space(server->ctx, h[i].module))
            return true;
    return false;
}

/* Something at the point would store what there is no space for. */
static bool is_short_at(const svi_passage *passage, const svi_hooks *hooks, svi_point point, bool is_full)
{
    return is_full ? svi_hooks_may_store(hooks, point, passage->stanza) : is_lacking_by_test(passage, hooks, point);
}

static bool is_short_on_its_way(svi_passage *passage, bool is_full)
{
    const svi_hooks *hooks = passage->from_host->hooks;
    if (is_short_at(passage, hooks, SVI_POINT_STANZA_INBOUND, is_full)) return true;
    if (goes_out(passage->is_own, &passage->from, &passage->to) &&
        is_short_at(passage, hooks, point_at(passage->kind, AT_OUT), is_full))
        return true;
    const stage at = scope_of_passage(passage);
    if (at > AT_REMOTE) return false;
    if (passage->place.host != NULL) hooks = passage->place.host->hooks;
    return is_short_at(passage, hooks, point_at(passage->kind, at), is_full);
}

bool svi_passage_is_admitted(svi_passage *passage)
{
    const bool is_full = svi_store_admit(passage->server->store) != SV_OK;
    if (!is_full && passage->server->lacks_space == NULL) return true;
    return !may_be_refused(passage) || !is_short_on_its_way(passage, is_full);
}

/* --- running ---------------------------------------------------------------------------------- */

sv_str svi_lane_key(svi_arena *arena, const sv_jid *from, const sv_jid *to)
{
    const size_t n = from->full.n + 1 + to->bare.n;
    char *key = svi_arena_get(arena, n);
    if (from->full.n > 0) memcpy(key, from->full.p, from->full.n);
    memcpy(key + from->full.n + 1, to->bare.p, to->bare.n);
    return (sv_str){key, n};
}

/* Empty for IQ results and errors, which never wait. */
static sv_str lane_key(svi_arena *arena, const svi_xevent *x)
{
    if (svi_kind_is_iq((svi_kind)x->kind) && !is_request(x->kind)) return SV_STR_NONE;
    return svi_lane_key(arena, &x->from, &x->to);
}

/* The host of the local account in whose name a module sends to somebody else, if anybody there
 * wants to be asked. */
static svi_host *asked_host(const svi_passage *passage)
{
    const sv_jid *from = &passage->from;
    if (!passage->is_made || from->node.n == 0 || sv_str_eq(from->bare, passage->to.bare))
        return NULL;
    svi_host *host = passage->from_host;
    if (!sv_str_eq(from->domain, host->domain)) host = svi_host_find(passage->server, from->domain);
    size_t count = 0;
    if (host != NULL && host->hooks != NULL)
        (void)svi_hooks_at(host->hooks, SVI_POINT_STANZA_MADE, &count);
    return count > 0 ? host : NULL;
}

/* What was made here begins at its scope, on the recipient's host, or at the sender's side if that
 * is to be asked. */
static svi_point first_point(svi_passage *passage, stage *stage_out)
{
    *stage_out = AT_INBOUND;
    if (passage->is_own) return SVI_POINT_STANZA_INBOUND;
    svi_host *asked = asked_host(passage);
    if (asked != NULL) {
        *stage_out = AT_MADE;
        passage->from_host = asked;
        return SVI_POINT_STANZA_MADE;
    }
    stage at = scope_of_passage(passage);
    if ((at == AT_ACCOUNT || at == AT_SELF) && !passage->account_exists) at = AT_NO_ACCOUNT;
    *stage_out = at;
    if (passage->place.host != NULL) passage->from_host = passage->place.host;
    return point_from(passage->kind, at);
}

void svi_passage_run(const svi_passage *passage)
{
    svi_passage mine = *passage;
    stage at;
    const svi_point point = first_point(&mine, &at);
    sv_event *ev = svi_xevent_open(&mine, &route_ops, point);
    svi_xevent *x = svi_xevent_of(ev);
    x->stage = (int)at;
    x->from_host = passage->from_host;
    svi_event_run(ev, lane_key(svi_event_arena(ev), x));
}

/* Must it be looked up whether the recipient exists? Whoever has a session does, and a sender
 * knows its own account. */
static bool needs_check(const svi_passage *passage, stage at)
{
    if (at != AT_ACCOUNT && (at != AT_SELF || passage->is_own)) return false;
    return svi_session_next(passage->server, passage->to.bare, NULL) == NULL;
}

/* Behind a look-up wait also those that need none, to keep their order; but never an answer
 * (architecture 3.3). */
static bool waits_for_others(const svi_passage *passage, stage at)
{
    if (at == AT_SELF && passage->is_own) return false;
    if (svi_kind_is_iq((svi_kind)passage->kind) && !is_request(passage->kind)) return false;
    return svi_check_is_running(passage->server, passage->to.bare);
}

void svi_passage_start(svi_passage *passage)
{
    const stage at = scope_of_passage(passage);
    if (at == AT_REMOTE) svi_ledger_set_peer(passage->server->ledger, passage->entry, passage->to.domain);
    if (needs_check(passage, at) || waits_for_others(passage, at)) {
        svi_check_account(passage);
        return;
    }
    passage->account_exists = at == AT_ACCOUNT || at == AT_SELF || at == AT_RESOURCE;
    svi_passage_run(passage);
}

void svi_passage_refuse(const svi_passage *passage, sv_cond cond)
{
    svi_server *server = passage->server;
    svi_exec *now = svi_exec_now();
    const uint64_t stanza = now->stanza;
    now->stanza = passage->entry; /* what the answer is caused by */
    if (svi_is_unanswerable(passage->stanza)) {
        svi_ledger_close(server->ledger, passage->entry, SVI_DROPPED, "refused-not-answered");
    } else {
        svi_ledger_close(server->ledger, passage->entry, SVI_REFUSED, NULL);
        svi_host *host = passage->from_host;
        const uint64_t entry = svi_ledger_open(server->ledger, SVI_MADE_ANSWER, &host->counts);
        sv_stanza *error =
            svi_error_for(server, passage->stanza, passage->error_from, &(svi_error){.cond = cond});
        if (passage->session != NULL)
            svi_session_send(passage->session, error, SV_STR_NONE, entry);
        else if (passage->is_own)
            svi_ledger_close(server->ledger, entry, SVI_DROPPED, "session-gone");
        else
            svi_route(server, host, error, entry);
        svi_stanza_unref(&error);
    }
    now->stanza = stanza;
    if (passage->is_own && passage->session != NULL)
        svi_session_heard(passage->session, &passage->arrival);
}

/* --- made here -------------------------------------------------------------------------------- */

void svi_route(svi_server *server, svi_host *from_host, const sv_stanza *stanza, uint64_t entry)
{
    svi_route_for(&(svi_payer){.number = 0}, server, from_host, stanza, entry);
}

static void route(const svi_payer *payer, svi_host *from_host, const sv_stanza *stanza,
                  uint64_t entry, bool is_made)
{
    svi_server *server = from_host->server;
    SV_CHECK(server, SVI_SERVER_MAGIC);
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_node *root = svi_stanza_root(stanza);
    svi_passage passage = {
        .server = server,
        .from_host = from_host,
        .stanza = stanza,
        .entry = entry,
        .kind = (int)svi_kind_of(stanza),
        .payer = *payer,
        .is_made = is_made,
    };
    const sv_str from = svi_node_attr(root, SV_STR("from"));
    const sv_str to = svi_node_attr(root, SV_STR("to"));
    sv_status status = svi_jid_parse(server->scratch, to, &passage.to);
    if (from.n > 0 && status == SV_OK)
        status = svi_jid_parse(server->scratch, from, &passage.from);
    else
        passage.from = svi_jid_make(server->scratch, SV_STR_NONE, from_host->domain, SV_STR_NONE);
    const bool is_known = status == SV_OK;
    svi_told_stanza(server, entry, stanza, is_known ? passage.from.full : SV_STR_NONE,
                    is_known ? passage.to.full : SV_STR_NONE);
    if (status == SV_OK && passage.kind != SVI_KIND_NONE)
        svi_passage_start(&passage);
    else
        svi_ledger_close(server->ledger, entry, SVI_DROPPED, "route-malformed");
    svi_arena_reset(server->scratch, mark);
}

void svi_route_for(const svi_payer *payer, svi_server *server, svi_host *from_host,
                   const sv_stanza *stanza, uint64_t entry)
{
    SV_ASSERT(from_host->server == server);
    route(payer, from_host, stanza, entry, false);
}

void svi_route_made(const svi_payer *payer, svi_server *server, svi_host *from_host,
                    const sv_stanza *stanza, uint64_t entry)
{
    SV_ASSERT(from_host->server == server);
    route(payer, from_host, stanza, entry, true);
}
