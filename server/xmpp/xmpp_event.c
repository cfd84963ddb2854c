/* The XMPP side of events: opening and closing them, occasions, and how a handler disposes of a
 * stanza. */
#include "base/base_log.h"
#include "store/store_archive.h"
#include "xmpp/xmpp_recorder.h"
#include "xmpp/xmpp_told.h"

svi_xevent *svi_xevent_of(const sv_event *ev)
{
    svi_xevent *x = svi_event_x(ev);
    SV_CHECK(x, SVI_XEVENT_MAGIC);
    return x;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static sv_jid copy_jid(svi_arena *arena, const sv_jid *jid)
{
    if (jid->domain.n == 0) return (sv_jid){.node = SV_STR_NONE};
    return svi_jid_copy(arena, jid);
}

static void link_session(svi_xevent *x, sv_session *session)
{
    x->session = session;
    if (session == NULL) return;
    x->session_number = session->number;
    x->next = session->xevents;
    if (x->next != NULL) x->next->link = &x->next;
    x->link = &session->xevents;
    session->xevents = x;
}

static void unlink_session(svi_xevent *x)
{
    if (x->link != NULL) *x->link = x->next;
    if (x->next != NULL) x->next->link = x->link;
    x->link = NULL;
    x->next = NULL;
    x->session = NULL;
}

void svi_xevent_forget_session(sv_session *session)
{
    while (session->xevents != NULL) unlink_session(session->xevents);
}

static void fill(svi_xevent *x, const svi_passage *passage, svi_arena *arena)
{
    *x = (svi_xevent){
        .magic = SVI_XEVENT_MAGIC,
        .server = passage->server,
        .host = passage->from_host,
        .from_host = passage->from_host,
        .from = copy_jid(arena, &passage->from),
        .to = copy_jid(arena, &passage->to),
        .type = SV_STR(""),
        .subject = svi_arena_str(arena, passage->subject),
        .account_exists = passage->account_exists,
        .is_own = passage->is_own,
        .arrival = passage->arrival,
        .kind = passage->kind,
        .place = passage->place,
        .payer = {svi_arena_str(arena, passage->payer.full), passage->payer.number,
                  passage->payer.serial},
    };
    if (passage->stanza != NULL) {
        const sv_str type = svi_node_attr(svi_stanza_root(passage->stanza), SV_STR("type"));
        if (type.n > 0) x->type = svi_arena_str(arena, type);
    }
    x->sender_full = x->from.full;
    link_session(x, passage->session);
}

static svi_event_config config_of(const svi_passage *passage, const svi_event_ops *ops,
                                  svi_point point, svi_xevent *x)
{
    return (svi_event_config){
        .ops = ops,
        .hooks = passage->hooks != NULL ? passage->hooks : passage->from_host->hooks,
        .point = point,
        .stanza = passage->stanza,
        .entry = passage->entry,
        .host = svi_host_name(passage->from_host),
        .is_apart = passage->is_apart,
        .x = x,
        .is_request = passage->kind == SVI_KIND_GET || passage->kind == SVI_KIND_SET,
        .is_brief = passage->is_brief,
    };
}

sv_event *svi_xevent_open(const svi_passage *passage, const svi_event_ops *ops, svi_point point)
{
    svi_xevent *x = svi_pool_get(passage->server->xevents);
    const svi_event_config config = config_of(passage, ops, point, x);
    sv_event *ev = svi_event_new(passage->server->bus, &config);
    fill(x, passage, svi_event_arena(ev));
    svi_session_owes(x->server, &x->payer, true);
    return ev;
}

void svi_xevent_close(svi_xevent *x)
{
    SV_CHECK(x, SVI_XEVENT_MAGIC);
    unlink_session(x);
    x->magic = 0;
    if (x->is_borrowed) return;
    svi_session_owes(x->server, &x->payer, false);
    svi_pool_put(x->server->xevents, x);
}

/* --- who caused it ---------------------------------------------------------------------------- */

static svi_payer payer_of(const svi_xevent *x)
{
    if (x->payer.number != 0 || !x->is_own) return x->payer;
    return (svi_payer){x->sender_full, x->session_number, x->arrival.serial};
}

/* --- occasions -------------------------------------------------------------------------------- */

static void occasion_over(sv_event *ev)
{
    svi_xevent_close(svi_xevent_of(ev));
}

static const svi_event_ops occasion_ops = {.released = occasion_over, .canceled = occasion_over};

static void drop_resource(sv_jid *jid)
{
    jid->resource = SV_STR_NONE;
    jid->full = jid->bare;
}

static svi_passage passage_of(svi_host *host, const sv_jid *account, sv_session *session,
                              const sv_stanza *stanza, sv_str subject)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (account == NULL && session != NULL) account = svi_session_jid(session);
    svi_passage passage = {
        .server = host->server,
        .from_host = host,
        .session = session,
        .stanza = stanza,
        .subject = subject,
        .account_exists = account != NULL,
    };
    if (account != NULL) passage.from = passage.to = *account;
    drop_resource(&passage.to);
    return passage;
}

/* What writes an account, or deletes one, has something else there, which begins with another word. */
static svi_xevent *outer_of(const sv_event *parent)
{
    svi_xevent *x = svi_event_x(parent);
    return x != NULL && x->magic == SVI_XEVENT_MAGIC ? x : NULL;
}

/* Lives in the parent's arena. */
static svi_xevent *fire_inside(const svi_passage *passage, svi_point point, sv_event *parent)
{
    svi_arena *arena = svi_event_arena(parent);
    svi_xevent *x = svi_arena_get(arena, sizeof *x);
    const svi_event_config config = config_of(passage, &occasion_ops, point, x);
    fill(x, passage, arena);
    x->is_borrowed = true;
    x->outer = outer_of(parent);
    svi_event_fire(parent, &config);
    return x;
}

void svi_occasion(svi_host *host, svi_point point, const sv_jid *account, sv_session *session,
                  const sv_stanza *stanza, sv_str subject, sv_event *parent)
{
    svi_passage passage = passage_of(host, account, session, stanza, subject);
    if (parent != NULL) {
        (void)fire_inside(&passage, point, parent);
        return;
    }
    if (session != NULL) passage.payer = (svi_payer){session->jid.full, session->number, 0};
    sv_event *ev = svi_xevent_open(&passage, &occasion_ops, point);
    if (point == SVI_POINT_SESSION_GONE) /* its end is told behind what it told before */
        svi_bus_fire_behind(ev, svi_lane_key(svi_event_arena(ev), &passage.from, &passage.to));
    else
        svi_bus_fire(ev);
}

sv_str svi_occasion_gather(svi_host *host, svi_point point, const sv_jid *account, sv_str subject,
                           sv_event *parent)
{
    const svi_passage passage = passage_of(host, account, NULL, NULL, subject);
    const svi_xevent *x = fire_inside(&passage, point, parent);
    if (x->offers.bytes == 0) return SV_STR_NONE;
    char *text = svi_arena_get(svi_event_arena(parent), x->offers.bytes);
    size_t n = 0;
    for (const svi_offer *offer = x->offers.first; offer; offer = offer->next) {
        if (offer->line.n > 0) memcpy(text + n, offer->line.p, offer->line.n);
        n += offer->line.n;
        text[n++] = '\n';
    }
    SV_ASSERT(n == x->offers.bytes);
    return (sv_str){text, n};
}

void svi_x_offer(sv_event *ev, sv_str line)
{
    svi_xevent *x = svi_xevent_of(ev);
    svi_arena *arena = svi_event_arena(ev);
    svi_offer *offer = svi_arena_get(arena, sizeof *offer);
    *offer = (svi_offer){.line = svi_arena_str(arena, line)};
    *(x->offers.last ? &x->offers.last->next : &x->offers.first) = offer;
    x->offers.last = offer;
    x->offers.bytes += line.n + 1;
}

/* --- errands ---------------------------------------------------------------------------------- */

static void errand_end(sv_event *ev, sv_status status)
{
    svi_xevent *x = svi_xevent_of(ev);
    const svi_errand *errand = x->errand;
    svi_xevent_close(x);
    errand->over(errand->ctx, status);
}

static void errand_late(sv_event *ev)
{
    svi_xevent_of(ev)->is_late = true;
}

static void errand_released(sv_event *ev)
{
    errand_end(ev, svi_xevent_of(ev)->is_late ? SV_ETIMEOUT : SV_OK);
}

static void errand_canceled(sv_event *ev)
{
    errand_end(ev, SV_ECANCELED);
}

static const svi_event_ops errand_ops = {
    .timeout = errand_late, .released = errand_released, .canceled = errand_canceled};

void svi_errand_run(const svi_errand *errand)
{
    svi_host *host = errand->host;
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_passage passage = {.server = host->server, .from_host = host};
    passage.from = passage.to = errand->account;
    if (passage.to.domain.n == 0)
        passage.from = passage.to = (sv_jid){
            .domain = svi_host_domain(host), .bare = svi_host_domain(host), .full = svi_host_domain(host)};
    passage.account_exists = errand->account_exists;
    svi_xevent *x = svi_pool_get(host->server->xevents);
    svi_event_config config = config_of(&passage, &errand_ops, SVI_POINT_COMMAND_RUN, x);
    config.hooks = errand->hooks;
    sv_event *ev = svi_event_new(host->server->bus, &config);
    fill(x, &passage, svi_event_arena(ev));
    x->errand = errand;
    svi_bus_fire(ev);
    svi_store_hurry(svi_server_store(host->server)); /* an operator waits */
}

/* --- rehearsals ------------------------------------------------------------------------------- */

static void rehearsal_over(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    void (*const over)(void *ctx) = x->rehearsed;
    void *const ctx = x->rehearsal;
    svi_xevent_close(x);
    over(ctx);
}

static const svi_event_ops rehearsal_ops = {.released = rehearsal_over, .canceled = rehearsal_over};

void svi_rehearse(const svi_rehearsal *r)
{
    svi_host *host = r->host;
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_passage passage = {
        .server = host->server,
        .from_host = host,
        .hooks = r->hooks,
        .session = r->session,
        .stanza = r->stanza,
        .from = r->from,
        .to = r->to,
        .subject = r->subject,
        .account_exists = r->account_exists,
        .is_apart = true,
    };
    if (r->stanza != NULL) passage.kind = (int)svi_kind_of(r->stanza);
    sv_event *ev = svi_xevent_open(&passage, &rehearsal_ops, r->point);
    svi_xevent *x = svi_xevent_of(ev);
    x->rehearsed = r->over;
    x->rehearsal = r->ctx;
    svi_bus_fire(ev);
}

void *svi_rehearsal_of(const sv_event *ev)
{
    return svi_xevent_of(ev)->rehearsal;
}

/* --- introductions ---------------------------------------------------------------------------- */

void svi_introduce(sv_session *session, svi_hooks *hooks, svi_point point, const sv_stanza *stanza)
{
    svi_passage passage = {
        .server = session->server,
        .from_host = session->host,
        .hooks = hooks,
        .session = session,
        .stanza = stanza,
        .from = session->jid,
        .to = session->jid,
        .account_exists = true,
        .payer = {session->jid.full, session->number, 0},
    };
    drop_resource(&passage.to);
    svi_bus_fire(svi_xevent_open(&passage, &occasion_ops, point));
}

void svi_host_tell_ready(svi_host *host, svi_hooks *hooks)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_passage passage = passage_of(host, NULL, NULL, NULL, SV_STR_NONE);
    passage.hooks = hooks;
    svi_bus_fire(svi_xevent_open(&passage, &occasion_ops, SVI_POINT_HOST_READY));
}

/* --- a copy that was never written ------------------------------------------------------------ */

/* Architecture 3.7: what nobody keeps is dropped by a named rule. But a request is always
 * answered (RFC 6120 8.2.3 rule 3), as if its resource had been gone when it came (RFC 6121
 * 8.5.3.2.3). */
static void unsent_unclaimed(sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const sv_node *root = svi_stanza_root(svi_event_stanza(ev));
    const bool was_asked = svi_event_is_request(ev) && svi_node_attr(root, SV_STR("from")).n > 0 &&
                           svi_node_attr(root, SV_STR("to")).n > 0;
    if (was_asked)
        svi_x_return(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE, SVI_BOUNCED);
    else
        svi_event_dispose(ev, SVI_DROPPED, x->kind == SVI_KIND_NONE ? "unsent-unknown" : "unsent");
}

static void unsent_timeout(sv_event *ev)
{
    unsent_unclaimed(ev);
}

static void unsent_undisposed(sv_event *ev, const char *module)
{
    (void)module;
    svi_event_dispose(ev, SVI_DROPPED, "undisposed");
}

/* Whoever sent a message or asked hears that it did not arrive; what the server made has nobody to hear. */
static void unsent_quarantined(sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const sv_stanza *stanza = svi_event_stanza(ev);
    const sv_node *root = svi_stanza_root(stanza);
    const bool can_hear = svi_node_attr(root, SV_STR("from")).n > 0 &&
                          svi_node_attr(root, SV_STR("to")).n > 0 && !svi_is_unanswerable(stanza);
    const bool should_hear =
        svi_event_is_request(ev) ||
        (x->kind == SVI_KIND_MESSAGE && !sv_str_eq(x->type, SV_STR("headline")));
    if (can_hear && should_hear)
        svi_x_return(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE, SVI_BOUNCED);
    else
        svi_event_dispose(ev, SVI_DROPPED, "quarantined");
}

void svi_x_dropped(sv_event *ev, const char *rule)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const svi_watcher *watcher = x->server->watcher;
    if (watcher == NULL || svi_event_stanza(ev) == NULL) return;
    watcher->stanza(watcher->ctx, &(svi_seen){.what = SVI_SEEN_DROPPED,
                                              .host = x->host,
                                              .jid = &x->from,
                                              .receiver = &x->to,
                                              .rule = rule,
                                              .stanza = svi_event_stanza(ev)});
}

/* Accounts that were deleted while the event waited: whoever has the name next must not find what it had added for them. */
static void withdraw_stale(sv_event *ev, svi_unit *unit)
{
    const svi_xevent *x = svi_xevent_of(ev);
    for (const svi_archived *a = x->archived; a != NULL; a = a->next) {
        const svi_host *host = svi_host_find(x->server, svi_str_sub(a->bare, a->owner.n + 1, a->bare.n));
        if (host != NULL && svi_host_is_stale(host, a->owner, svi_event_number(ev)))
            svi_archive_withdraw(a->archive, unit, a->owner, a->place);
    }
}

/* Rows of an account that was deleted since the event began. */
static bool is_of_deleted(void *ctx, sv_str map, sv_str owner)
{
    const sv_event *ev = ctx;
    const svi_host *host = svi_host_find(svi_xevent_of(ev)->server, svi_str_sub(map, 0, svi_str_find(map, '/')));
    return host != NULL && svi_host_is_stale(host, owner, svi_event_number(ev));
}

static void leave_out_deleted(sv_event *ev, svi_unit *unit)
{
    const svi_host *host = svi_xevent_of(ev)->server->known;
    while (host != NULL && !svi_host_has_stale(host, svi_event_number(ev))) host = host->known_next;
    if (host == NULL) return;
    withdraw_stale(ev, unit);
    svi_unit_omit(unit, is_of_deleted, ev);
}

void svi_xevent_committing(sv_event *ev, void *unit)
{
    leave_out_deleted(ev, unit);
    svi_recorder_committing(svi_xevent_of(ev), unit);
}

static void unsent_released(sv_event *ev)
{
    svi_recorder_unsent_over(svi_xevent_of(ev), false);
    occasion_over(ev);
}

static void unsent_canceled(sv_event *ev)
{
    svi_recorder_unsent_over(svi_xevent_of(ev), true);
    occasion_over(ev);
}

static const svi_event_ops unsent_ops = {
    .committing = svi_xevent_committing,
    .dropped = svi_x_dropped,
    .unclaimed = unsent_unclaimed,
    .timeout = unsent_timeout,
    .undisposed = unsent_undisposed,
    .quarantined = unsent_quarantined,
    .released = unsent_released,
    .canceled = unsent_canceled,
};

void svi_unsent(sv_session *session, const sv_stanza *stanza, int64_t since_us, uint64_t ticket,
                uint64_t entry)
{
    svi_server *server = session->server;
    const svi_mark mark = svi_arena_mark(server->scratch);
    svi_passage passage = {
        .server = server,
        .from_host = session->host,
        .session = session,
        .stanza = stanza,
        .from = session->jid,
        .entry = entry,
        .kind = (int)svi_kind_of(stanza),
        .account_exists = true,
    };
    /* what was pushed has no `to` of its own: it was for the session's account */
    const sv_str to = svi_node_attr(svi_stanza_root(stanza), SV_STR("to"));
    if (to.n == 0 || svi_jid_parse(server->scratch, to, &passage.to) != SV_OK) {
        passage.to = session->jid;
        drop_resource(&passage.to);
    }
    sv_event *ev = svi_xevent_open(&passage, &unsent_ops, SVI_POINT_SESSION_UNSENT);
    svi_xevent_of(ev)->since_us = since_us;
    if (ticket != 0) svi_recorder_unsent(session, svi_xevent_of(ev), ticket);
    svi_arena_reset(server->scratch, mark);
    svi_bus_fire(ev);
}

/* --- what an event sends ---------------------------------------------------------------------- */

/* Something to send when the event is released; in its arena. */
typedef struct outgoing {
    svi_server *server;
    svi_host *host;
    svi_xevent *x; /* of a delivery, to tell a single copy from several; else NULL */
    sv_str full;   /* the session's address; .p NULL: routed by `to` */
    uint64_t session_number;
    sv_session *session; /* itself while it is known to be there */
    sv_str to;           /* replaces the stanza's own `to` if set */
    const sv_stanza *stanza;
    uint64_t entry; /* open; 0: a push is opened at release */
    bool is_made;   /* routed by a module, whose sender's side is asked */
    svi_map *map;   /* the row that goes when it was written */
    sv_str owner, key;
    svi_payer payer;
} outgoing;

static outgoing *outgoing_new(sv_event *ev, const sv_stanza *stanza)
{
    const svi_xevent *x = svi_xevent_of(ev);
    outgoing *out = svi_arena_get(svi_event_arena(ev), sizeof *out);
    *out = (outgoing){.server = x->server,
                      .host = x->host,
                      .stanza = svi_stanza_ref(stanza),
                      .payer = payer_of(x)};
    return out;
}

/* It becomes an event of its own. */
static outgoing *routed_new(sv_event *ev, const sv_stanza *stanza)
{
    for (svi_xevent *x = svi_xevent_of(ev); x != NULL; x = x->outer) x->causes = true;
    return outgoing_new(ev, stanza);
}

static void outgoing_over(outgoing *out)
{
    svi_stanza_unref((sv_stanza **)(uintptr_t)&out->stanza);
}

static void outgoing_drop(void *ctx)
{
    outgoing *out = ctx;
    if (out->entry != 0)
        svi_ledger_close(out->server->ledger, out->entry,
                         out->map != NULL ? SVI_STORED : SVI_DROPPED,
                         out->map != NULL ? NULL : "stopped");
    outgoing_over(out);
}

/* The session went before the release. A stanza that was for it alone is passed again, now at
 * its account (RFC 6120 10.5.4); what was made for it ends here. */
static void lost_session(outgoing *out)
{
    if (out->x != NULL && out->x->delivered == 1) {
        svi_route_for(&out->payer, out->server, out->host, out->stanza, out->entry);
        return;
    }
    const bool is_kept = out->map != NULL;
    svi_ledger_close(out->server->ledger, out->entry, is_kept ? SVI_STORED : SVI_DROPPED,
                     is_kept ? NULL : "session-gone");
}

static void outgoing_run(void *ctx)
{
    outgoing *out = ctx;
    if (out->full.p == NULL) {
        if (out->entry == 0)
            out->entry = svi_ledger_open(out->server->ledger, SVI_MADE_PUSH, &out->host->counts);
        if (out->is_made)
            svi_route_made(&out->payer, out->server, out->host, out->stanza, out->entry);
        else
            svi_route_for(&out->payer, out->server, out->host, out->stanza, out->entry);
    } else {
        sv_session *session = out->session;
        if (session == NULL)
            session = svi_session_find_number(out->server, out->full, out->session_number);
        if (session != NULL && out->map != NULL)
            svi_session_keep(session, out->entry, out->stanza, out->map, out->owner, out->key);
        if (session != NULL)
            svi_session_send(session, out->stanza, out->to, out->entry);
        else
            lost_session(out);
    }
    outgoing_over(out);
}

static uint64_t open_made(const svi_xevent *x, svi_origin origin)
{
    return svi_ledger_open(x->server->ledger, origin, &x->host->counts);
}

/* An answer goes to the session that asked, not to a later one of the same address; else to
 * wherever the sender is. */
static void emit_answer(sv_event *ev, sv_stanza *take)
{
    const svi_xevent *x = svi_xevent_of(ev);
    outgoing *out = outgoing_new(ev, take);
    svi_stanza_unref(&take);
    out->entry = open_made(x, SVI_MADE_ANSWER);
    if (x->is_own) {
        out->full = x->sender_full;
        out->session_number = x->session_number;
    }
    svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

/* An error that is returned for a session's message, in the arena of that one's event. */
typedef struct returned {
    svi_host *host;
    sv_str full;
    uint64_t number; /* of the session */
    sv_jid from;
    sv_stanza *error;
} returned;

static void returned_drop(void *ctx)
{
    svi_stanza_unref(&((returned *)ctx)->error);
}

static void returned_run(void *ctx)
{
    returned *r = ctx;
    sv_session *session = svi_session_find_number(r->host->server, r->full, r->number);
    if (session != NULL) {
        const svi_passage passage = {.server = r->host->server,
                                     .from_host = r->host,
                                     .session = session,
                                     .stanza = r->error,
                                     .from = r->from,
                                     .to = session->jid,
                                     .account_exists = true};
        svi_bus_fire(svi_xevent_open(&passage, &occasion_ops, SVI_POINT_MESSAGE_RETURNED));
    }
    returned_drop(r);
}

/* Behind the error itself: whoever wants to hear of it on the sender's host. */
static void tell_returned(sv_event *ev, const sv_stanza *error)
{
    const svi_xevent *x = svi_xevent_of(ev);
    size_t count = 0;
    const bool is_message = x->kind == SVI_KIND_MESSAGE && x->is_own && x->session_number != 0;
    if (is_message && x->from_host->hooks != NULL)
        (void)svi_hooks_at(x->from_host->hooks, SVI_POINT_MESSAGE_RETURNED, &count);
    if (count == 0) return;
    returned *r = svi_arena_get(svi_event_arena(ev), sizeof *r);
    *r = (returned){.host = x->from_host,
                    .full = x->sender_full,
                    .number = x->session_number,
                    .from = x->to,
                    .error = svi_stanza_ref(error)};
    svi_event_emit(ev, returned_run, returned_drop, r);
}

/* A module asks for what can't be: told, and nothing done. The bus then finds the stanza
 * undisposed. */
static void fault(const char *rule)
{
    SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", rule));
}

/* Ends the wait of an event that said LATER; in a handler of its own the verdict does that. */
static void finish(sv_event *ev)
{
    if (!svi_event_is_waiting(ev)) return;
    svi_event_hold(ev);
    svi_event_resume(ev, SV_DONE);
    svi_event_let_go(&ev);
}

sv_verdict svi_x_end(sv_event *ev)
{
    finish(ev);
    return SV_DONE;
}

/* --- disposing -------------------------------------------------------------------------------- */

/* What its recipient's side rejects is not in the recipient's archive (XEP-0313 6.1), whoever rejects it. */
static void withdraw(sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    for (const svi_archived *a = x->archived; a != NULL; a = a->next)
        if (sv_str_eq(a->bare, x->to.bare)) svi_archive_withdraw(a->archive, svi_event_unit(ev), a->owner, a->place);
}

static void return_error(sv_event *ev, const svi_error *said, svi_disposal disposal)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const sv_stanza *stanza = svi_event_stanza(ev);
    if (stanza == NULL || svi_event_entry(ev) == 0) return; /* an occasion has nobody to answer */
    if (svi_is_unanswerable(stanza)) {
        if (svi_event_dispose(ev, SVI_DROPPED, "refused-not-answered")) withdraw(ev);
        return;
    }
    if (!svi_event_dispose(ev, disposal, NULL)) return; /* it was delivered before, so it stays in the archive */
    withdraw(ev);
    sv_stanza *error = svi_error_for(x->server, stanza, SV_STR_NONE, said);
    emit_answer(ev, svi_stanza_ref(error));
    tell_returned(ev, error);
    svi_stanza_unref(&error);
}

void svi_x_return(sv_event *ev, sv_cond cond, sv_str text, svi_disposal disposal)
{
    return_error(ev, &(svi_error){.cond = cond, .text = text}, disposal);
}

sv_verdict svi_x_refuse(sv_event *ev, sv_cond cond, sv_str text)
{
    svi_x_return(ev, cond, text, SVI_REFUSED);
    finish(ev);
    return SV_DONE;
}

sv_verdict svi_x_refuse_with(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific)
{
    const svi_xevent *x = svi_xevent_of(ev);
    sv_stanza *made = svi_draft_freeze(x->server->acct, svi_server_atoms(x->server), specific);
    return_error(ev, &(svi_error){.cond = cond, .type = type, .specific = made}, SVI_REFUSED);
    svi_stanza_unref(&made);
    finish(ev);
    return SV_DONE;
}

sv_draft *svi_x_reply(sv_event *ev, sv_str name, sv_str ns)
{
    svi_xevent *x = svi_xevent_of(ev);
    sv_draft *draft = svi_draft_new(svi_event_arena(ev), SV_STR("iq"), SV_STR(SVI_NS_CLIENT));
    svi_draft_attr(draft, SV_STR("type"), SV_STR("result"));
    if (svi_event_is_request(ev)) {
        const sv_node *root = svi_stanza_root(svi_event_stanza(ev));
        svi_draft_attr(draft, SV_STR("id"), svi_node_attr(root, SV_STR("id")));
        const sv_str asked = svi_node_attr(root, SV_STR("to"));
        if (asked.n > 0) svi_draft_attr(draft, SV_STR("from"), asked);
        const sv_str asker = svi_node_attr(root, SV_STR("from"));
        if (asker.n > 0) svi_draft_attr(draft, SV_STR("to"), asker);
        x->answer = draft;
    }
    return name.n > 0 ? svi_draft_child(draft, name, ns) : NULL;
}

sv_verdict svi_x_send(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    if (x->answer == NULL) (void)svi_x_reply(ev, SV_STR_NONE, SV_STR_NONE);
    if (x->answer == NULL)
        fault("a result answers a get or set"); /* RFC 6120 8.2.3 */
    else if (svi_event_dispose(ev, SVI_ANSWERED, NULL))
        emit_answer(ev, svi_draft_freeze(x->server->acct, svi_server_atoms(x->server), x->answer));
    finish(ev);
    return SV_DONE;
}

sv_verdict svi_x_drop(sv_event *ev, const char *rule)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const bool is_dropped = svi_event_dispose(ev, SVI_DROPPED, rule);
    if (is_dropped) withdraw(ev);
    /* a request is answered even then (RFC 6120 8.2.3 rule 3); the sender learns no more than
     * from nobody's answer */
    if (is_dropped && svi_event_is_request(ev))
        emit_answer(ev, svi_error_for(x->server, svi_event_stanza(ev), SV_STR_NONE,
                                      &(svi_error){.cond = SV_SERVICE_UNAVAILABLE}));
    finish(ev);
    return SV_DONE;
}

sv_verdict svi_x_consume(sv_event *ev)
{
    svi_event_dispose(ev, SVI_CONSUMED, NULL);
    finish(ev);
    return SV_DONE;
}

sv_verdict svi_x_stored(sv_event *ev)
{
    svi_event_dispose(ev, SVI_STORED, NULL);
    finish(ev);
    return SV_DONE;
}

/* The recipient of a replacement: as it was, unless its `to` is another. */
static sv_status recipient_of(sv_event *ev, const sv_stanza *stanza, sv_jid *to_out)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const sv_str before = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("to"));
    const sv_str to = svi_node_attr(svi_stanza_root(stanza), SV_STR("to"));
    *to_out = x->to;
    if (sv_str_eq(to, before)) return SV_OK;
    if (to.p != NULL) return svi_jid_parse(svi_event_arena(ev), to, to_out);
    *to_out = svi_jid_make(svi_event_arena(ev), x->from.node, x->from.domain, SV_STR_NONE);
    return SV_OK;
}

void svi_x_replace(sv_event *ev, const sv_stanza *stanza)
{
    svi_xevent *x = svi_xevent_of(ev);
    const bool is_same_kind = x->kind == SVI_KIND_NONE || (int)svi_kind_of(stanza) == x->kind;
    sv_jid to;
    if (svi_event_stanza(ev) == NULL || !is_same_kind || recipient_of(ev, stanza, &to) != SV_OK) {
        fault("a replacement is of the same kind and has a valid recipient");
        return;
    }
    svi_event_replace(ev, stanza);
    if (svi_event_stanza(ev) != stanza) return; /* told by the bus */
    const sv_str type = svi_node_attr(svi_stanza_root(stanza), SV_STR("type"));
    x->type = type.n > 0 ? svi_arena_str(svi_event_arena(ev), type) : SV_STR("");
    if (sv_str_eq(to.full, x->to.full)) {
        svi_told_ids(x->server, svi_event_entry(ev), stanza);
        return;
    }
    svi_told_stanza(x->server, svi_event_entry(ev), stanza, x->from.full, to.full);
    x->to = to;
    x->place = (svi_place){.tables = 0};
    x->is_redirected = true;
}

/* Takes the stanza to its recipient in an event of its own, behind this one. */
void svi_x_pass_over(sv_event *ev)
{
    const uint64_t entry = svi_event_take_entry(ev);
    if (entry == 0) return;
    outgoing *out = routed_new(ev, svi_event_stanza(ev));
    out->entry = entry;
    svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

void svi_x_pass(sv_event *ev)
{
    if (!svi_event_is_waiting(ev)) {
        if (svi_event_is_open(ev)) fault("only a waiting event is passed on; a handler says PASS");
        return; /* else its deadline was earlier */
    }
    svi_event_hold(ev);
    svi_event_resume(ev, SV_PASS);
    svi_event_let_go(&ev);
}

/* --- delivering ------------------------------------------------------------------------------- */

/* Architecture 3.5: a message from one to one goes to local sessions at once, since its sender's
 * ack still waits. */
static bool goes_at_once(const svi_xevent *x)
{
    return x->kind == SVI_KIND_MESSAGE && !sv_str_eq(x->type, SV_STR("groupchat"));
}

void svi_x_fleeting(sv_event *ev)
{
    svi_xevent_of(ev)->is_fleeting = true;
}

static void send_early(sv_event *ev, outgoing *out)
{
    svi_server *server = out->server;
    server->sending_in = ev;
    server->sending_entry = out->entry;
    svi_event_emit_early(ev, outgoing_run, outgoing_drop, out);
    server->sending_in = NULL;
}

static void note_copy(sv_event *ev, sv_session *session, const outgoing *out)
{
    if (svi_xevent_of(ev)->is_fleeting) return;
    (void)svi_recorder_copy(ev, session, out->stanza, out->to, out->entry, NULL, SV_STR_NONE, SV_STR_NONE);
}

void svi_x_hand(sv_event *ev, sv_session *session)
{
    svi_xevent *x = svi_xevent_of(ev);
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (svi_event_stanza(ev) == NULL || !svi_event_is_open(ev)) {
        fault("there is nothing to deliver");
        return;
    }
    const bool is_copy = x->delivered > 0 || svi_event_entry(ev) == 0;
    const uint64_t entry = is_copy ? open_made(x, SVI_MADE_COPY) : svi_event_take_entry(ev);
    if (entry == 0) return; /* disposed of before: reported by the bus */
    outgoing *out = outgoing_new(ev, svi_event_stanza(ev));
    out->entry = entry;
    out->full = svi_arena_str(svi_event_arena(ev), session->jid.full);
    out->session_number = session->number;
    out->x = is_copy ? NULL : x;
    x->delivered++;
    note_copy(ev, session, out);
    if (goes_at_once(x)) {
        out->session = session->is_listed ? session : NULL;
        send_early(ev, out);
        out->session = NULL; /* if it waits after all, it may go */
    } else
        svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

static void finish_now(void *ctx)
{
    sv_event *ev = ctx;
    if (svi_event_is_waiting(ev)) svi_event_resume(ev, SV_DONE);
    svi_event_let_go(&ev);
}

static void finish_never(void *ctx)
{
    sv_event *ev = ctx;
    svi_event_let_go(&ev);
}

sv_verdict svi_x_deliver(sv_event *ev, sv_session *session)
{
    svi_xevent *x = svi_xevent_of(ev);
    svi_x_hand(ev, session);
    /* there may be more sessions to deliver to, so the wait ends behind what runs now */
    if (svi_event_is_waiting(ev) && !x->is_ending) {
        x->is_ending = true;
        svi_server_defer(x->server, finish_now, finish_never, svi_event_hold(ev));
    }
    return SV_DONE;
}

/* --- sending more ----------------------------------------------------------------------------- */

static outgoing *push_new(sv_event *ev, const sv_session *session, const sv_stanza *stanza,
                          svi_origin origin)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    outgoing *out = outgoing_new(ev, stanza);
    out->full = svi_arena_str(svi_event_arena(ev), session->jid.full);
    out->session_number = session->number;
    /* RFC 6120 8.1.1.1: what the server made is for the full JID; RFC 6121 8.5.2.1.1: what came for
     * the account is not rewritten */
    const bool has_to = svi_node_attr(svi_stanza_root(stanza), SV_STR("to")).p != NULL;
    out->to = has_to ? SV_STR_NONE : out->full;
    out->entry = open_made(svi_xevent_of(ev), origin);
    return out;
}

void svi_x_push(sv_event *ev, sv_session *session, const sv_stanza *stanza, svi_origin origin)
{
    outgoing *out = push_new(ev, session, stanza, origin);
    note_copy(ev, session, out);
    svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

void svi_x_push_copy(sv_event *ev, sv_session *session, const sv_stanza *stanza)
{
    if (svi_event_stanza(ev) == NULL || !svi_event_is_open(ev)) {
        fault("there is nothing to copy");
        return;
    }
    outgoing *out = push_new(ev, session, stanza, SVI_MADE_COPY);
    note_copy(ev, session, out);
    svi_xevent *x = svi_xevent_of(ev);
    if (goes_at_once(x)) {
        send_early(ev, out);
    } else
        svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

void svi_x_push_stored(sv_event *ev, sv_session *session, const sv_stanza *stanza, svi_map *map,
                       sv_str owner, sv_str key)
{
    outgoing *out = push_new(ev, session, stanza, SVI_MADE_RECOVERED);
    out->map = map;
    out->owner = svi_arena_str(svi_event_arena(ev), owner);
    out->key = svi_arena_str(svi_event_arena(ev), key);
    (void)svi_recorder_copy(ev, session, stanza, out->to, out->entry, map, owner, key);
    svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

void svi_x_route(sv_event *ev, const sv_stanza *stanza)
{
    outgoing *out = routed_new(ev, stanza);
    out->is_made = true;
    svi_event_emit(ev, outgoing_run, outgoing_drop, out);
}

void svi_x_route_unasked(sv_event *ev, const sv_stanza *stanza)
{
    svi_event_emit(ev, outgoing_run, outgoing_drop, routed_new(ev, stanza));
}

/* --- occasions behind an event ---------------------------------------------------------------- */

/* In the arena of the event it comes behind. */
typedef struct behind {
    svi_host *host;
    svi_point point;
    bool has_account;
    sv_jid account;
    sv_str subject;
} behind;

static void behind_run(void *ctx)
{
    const behind *b = ctx;
    svi_occasion(b->host, b->point, b->has_account ? &b->account : NULL, NULL, NULL, b->subject, NULL);
}

static void behind_drop(void *ctx)
{
    (void)ctx; /* the server ends */
}

void svi_x_fire_after(sv_event *ev, svi_point point, const sv_jid *account, sv_str subject)
{
    svi_arena *arena = svi_event_arena(ev);
    behind *b = svi_arena_get(arena, sizeof *b);
    *b = (behind){.host = svi_xevent_of(ev)->host,
                  .point = point,
                  .has_account = account != NULL,
                  .subject = svi_arena_str(arena, subject)};
    if (account != NULL) b->account = copy_jid(arena, account);
    svi_event_emit(ev, behind_run, behind_drop, b);
}
