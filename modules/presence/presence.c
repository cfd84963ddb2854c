/* Presence (RFC 6121 3 and 4): broadcast to those who may see it, probes, directed presence,
 * subscriptions.
 *
 * Subscription bits live in the roster's records (<stave/roster.h>). Both sides of a local
 * subscription are changed in one event, so they are stored together. */
#include <stave/module.h>
#include <stave/presence.h>
#include <stave/roster.h>
#include "presence.h"

/* --- helpers shared with presence_subs.c --------------------------------------------------- */

const sv_stanza *presence_make(sv_event *ev, sv_str type, sv_str from, sv_str to)
{
    sv_draft *draft = sv->draft(ev, SV_STR("presence"), SV_STR("jabber:client"));
    if (type.n) sv->set(draft, SV_STR("type"), type);
    sv->set(draft, SV_STR("from"), from);
    sv->set(draft, SV_STR("to"), to);
    return sv->freeze(ev, draft);
}

void presence_send_all(sv_event *ev, const sv_jid *account, sv_str to)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session))) {
        const sv_stanza *known = sv->session_presence(session);
        if (known) sv->route(ev, sv->with_attrs(ev, known, (const sv_str[]){SV_STR("to"), to}, 2));
    }
}

/* --- directed presence (RFC 6121 4.6): the list of those who must hear of the end ---------- */

static bool next_line(sv_str *rest, sv_str *line_out)
{
    if (rest->n == 0) return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    const size_t n = end ? (size_t)(end - rest->p) : rest->n;
    *line_out = (sv_str){rest->p, n};
    *rest = end ? (sv_str){rest->p + n + 1, rest->n - n - 1} : SV_STR_NONE;
    return true;
}

/* Looks for an address in a list; what stands before and behind its line. */
static bool find_line(sv_str list, sv_str jid, sv_str *before_out, sv_str *behind_out)
{
    sv_str rest = list, line;
    while (next_line(&rest, &line)) {
        if (!sv_str_eq(line, jid)) continue;
        *before_out = (sv_str){list.p, (size_t)(line.p - list.p)};
        *behind_out = rest;
        return true;
    }
    return false;
}

static void take_off(sv_event *ev, sv_session *session, sv_str jid)
{
    sv_str before, behind;
    if (!find_line(sv->session_item(session, SV_PRESENCE_DIRECTED), jid, &before, &behind)) return;
    const sv_str left = sv->format(ev, "%.*s%.*s", (int)before.n, before.n ? before.p : "",
                                   (int)behind.n, behind.n ? behind.p : "");
    sv->session_set_item(session, SV_PRESENCE_DIRECTED, left.n ? left : SV_STR_NONE);
}

/* Puts the recipient on the session's list. */
static sv_verdict put_on(sv_event *ev, const presence *me, sv_session *session, sv_str jid)
{
    const sv_str list = sv->session_item(session, SV_PRESENCE_DIRECTED);
    sv_str before, behind;
    if (find_line(list, jid, &before, &behind)) return SV_PASS;
    if ((int64_t)(list.n + jid.n + 1) > me->directed_bytes)
        return sv->refuse_text(ev, SV_RESOURCE_CONSTRAINT,
                               SV_STR("Directed presence to too many addresses"));
    sv->session_set_item(session, SV_PRESENCE_DIRECTED,
                         sv->format(ev, "%.*s%.*s\n", (int)list.n, list.n ? list.p : "",
                                    (int)jid.n, jid.p));
    return SV_PASS;
}

/* 4.6.1: who says that it is gone itself needs to hear of no end, and may ask no longer. */
static void forget_directed(sv_event *ev)
{
    const sv_jid *account = sv->to(ev);
    const sv_session *named = account->resource.n ? sv->session_find(ev, account) : NULL;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session)))
        if (account->resource.n == 0 || session == named) take_off(ev, session, sv->from(ev)->full);
}

/* Tells the end of a session to those on its list; contacts in `rows` (may be NULL) who see its
 * presence get the broadcast. There is none for a session that was not available (4.6.3 rule 3). */
static void end_directed(sv_event *ev, sv_session *session, const sv_stanza *gone,
                         const sv_rows *rows)
{
    const bool was_told = rows && sv->session_presence(session);
    sv_str rest = sv->session_item(session, SV_PRESENCE_DIRECTED), line, record;
    while (next_line(&rest, &line)) {
        if (was_told && sv->row(rows, line, &record) && (sv_roster_flags(record) & SV_ROSTER_FROM))
            continue;
        sv->route(ev, sv->with_attrs(ev, gone, (const sv_str[]){SV_STR("to"), line}, 2));
    }
    sv->session_set_item(session, SV_PRESENCE_DIRECTED, SV_STR_NONE);
}

static bool was_directed(const sv_session *session, const sv_jid *to)
{
    const sv_str list = sv->session_item(session, SV_PRESENCE_DIRECTED);
    sv_str before, behind;
    return find_line(list, to->full, &before, &behind) ||
           find_line(list, to->bare, &before, &behind);
}

bool presence_is_told(const sv_session *session, const sv_jid *account)
{
    sv_str rest = sv->session_item(session, SV_PRESENCE_DIRECTED), line;
    const sv_str bare = account->bare;
    while (next_line(&rest, &line))
        if (line.n >= bare.n && memcmp(line.p, bare.p, bare.n) == 0 &&
            (line.n == bare.n || line.p[bare.n] == '/'))
            return true;
    return false;
}

/* --- broadcast (RFC 6121 4.2, 4.4, 4.5) ---------------------------------------------------- */

/* From the bare JID, as RFC 6121 4.3 says; but a local account answers to the new session alone. */
static void probe(sv_event *ev, sv_str contact)
{
    sv_jid jid;
    const bool local = sv->jid_parse(ev, contact, &jid) && sv->is_local(ev, &jid);
    const sv_jid *user = sv->from(ev);
    sv->route(ev, presence_make(ev, SV_STR("probe"), local ? user->full : user->bare, contact));
}

/* Sends to every contact with a subscription; at the start of a presence session also asks those
 * whose presence we see. */
static void to_contacts(sv_event *ev, const sv_rows *rows, const sv_stanza *stanza, bool initial)
{
    sv_str contact = SV_STR_NONE, record;
    while (sv->row_next(rows, &contact, &record)) {
        const unsigned flags = sv_roster_flags(record);
        if (flags & SV_ROSTER_FROM)
            sv->route(ev, sv->with_attrs(ev, stanza, (const sv_str[]){SV_STR("to"), contact}, 2));
        if (initial && (flags & SV_ROSTER_TO)) probe(ev, contact);
    }
}

/* To the account's available sessions (4.4.2); a new one also learns of the others. */
static void to_own(sv_event *ev, const sv_stanza *stanza, bool initial)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        const sv_stanza *known = sv->session_presence(session);
        if (known || session == sv->session(ev)) sv->push(ev, session, stanza);
        if (initial && known && session != sv->session(ev)) sv->push(ev, sv->session(ev), known);
    }
}

/* RFC 6121 4.7.2.3: an integer from -128 to 127, 0 if there is none. */
static bool read_priority(sv_event *ev, int *priority_out)
{
    *priority_out = 0;
    const sv_node *node = sv->find(sv->root(ev), SV_STR("priority"), SV_STR("jabber:client"));
    if (!node) return true;
    const sv_str text = sv->text(ev, node);
    const bool negative = text.n && text.p[0] == '-';
    const size_t first = text.n && (negative || text.p[0] == '+') ? 1 : 0;
    if (text.n == first || text.n > first + 3) return false;
    int value = 0;
    for (size_t i = first; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        value = value * 10 + (text.p[i] - '0');
    }
    *priority_out = negative ? -value : value;
    return *priority_out >= -128 && *priority_out <= 127;
}

static sv_verdict broadcast(sv_event *ev, const sv_rows *rows)
{
    sv_session *session = sv->session(ev);
    if (!session) return sv->drop(ev, "presence-session-gone");
    int priority = 0;
    if (!read_priority(ev, &priority)) return sv->refuse(ev, SV_BAD_REQUEST);
    const bool available = sv->type(ev).n == 0;
    const bool was = sv->session_presence(session) != NULL;
    const bool initial = available && !was;
    const sv_stanza *stanza = sv->stanza(ev);

    if (available) sv->session_set_presence(ev, session, stanza, priority);
    if (available || was) {
        to_contacts(ev, rows, stanza, initial);
        to_own(ev, stanza, initial);
    }
    if (!available) {
        end_directed(ev, session, stanza, rows);
        sv->session_set_presence(ev, session, NULL, 0);
    }
    return sv->consume(ev);
}

static void broadcast_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status == SV_OK)
        (void)broadcast(ev, rows);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

/* --- a session that outlived the server ----------------------------------------------------- */

/* What contacts said while the server was down, or just before, may have been lost: they are asked again, as for a new session
 * (4.3). They hear nothing: for them nothing has happened. */
static void back_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    sv_session *session = sv->session(ev), *other = NULL;
    if (status == SV_OK && session && sv->session_presence(session)) {
        sv_str contact = SV_STR_NONE, record;
        while (sv->row_next(rows, &contact, &record))
            if (sv_roster_flags(record) & SV_ROSTER_TO) probe(ev, contact);
        while ((other = sv->session_next(ev, sv->from(ev), other)))
            if (other != session && sv->session_presence(other)) sv->push(ev, session, sv->session_presence(other));
    }
    sv->pass(ev);
}

static sv_verdict on_back(sv_event *ev, void *self)
{
    const presence *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR("recovered"))) return SV_PASS;
    sv->rows_load(ev, me->roster, sv->from(ev)->node, back_rows);
    return SV_LATER;
}

/* --- the end of a session (4.5.2: ungraceful ones too) ------------------------------------- */

/* The resource was bound anew while this waited, and is available: the last that is heard of it must not
 * be the end of the old session. */
static bool is_succeeded(sv_event *ev)
{
    const sv_session *now = sv->session_find(ev, sv->from(ev));
    return now && now != sv->session(ev) && sv->session_presence(now);
}

/* In one go, since what an event sends comes at its end: what its own sessions are told must not wait
 * for the roster alone and come behind a successor. */
static void tell_gone(sv_event *ev, const sv_rows *rows)
{
    const sv_jid *jid = sv->from(ev);
    const sv_stanza *gone = presence_make(ev, SV_STR("unavailable"), jid->full, jid->bare);
    sv_session *other = NULL;
    if (is_succeeded(ev)) return;
    while ((other = sv->session_next(ev, jid, other)))
        if (other != sv->session(ev) && sv->session_presence(other)) sv->push(ev, other, gone);
    if (rows) to_contacts(ev, rows, gone, false);
}

static void gone_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    tell_gone(ev, status == SV_OK ? rows : NULL);
    sv->pass(ev);
}

static sv_verdict on_gone(sv_event *ev, void *self)
{
    const presence *me = self;
    const sv_jid *jid = sv->from(ev);
    sv_session *ended = sv->session(ev);
    const sv_rows *rows = sv->rows(ev, me->roster, jid->node); /* kept while the session lives */
    if (ended) {
        const sv_stanza *gone = presence_make(ev, SV_STR("unavailable"), jid->full, jid->bare);
        end_directed(ev, ended, gone, rows);
        if (!sv->session_presence(ended)) return SV_PASS;
    }
    if (rows) {
        tell_gone(ev, rows);
        return SV_PASS;
    }
    sv->rows_load(ev, me->roster, jid->node, gone_rows);
    return SV_LATER;
}

/* --- outbound to somebody else ------------------------------------------------------------- */

static bool is_notification(sv_str type)
{
    return type.n == 0 || sv_str_eq(type, SV_STR("unavailable"));
}

static sv_verdict on_out(sv_event *ev, void *self)
{
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("error"))) return SV_PASS;
    if (sv_str_eq(type, SV_STR("probe"))) return SV_PASS; /* 4.3 lets clients probe, too */
    if (presence_is_subscription(type)) return presence_subs_out(ev, self);
    if (!is_notification(type)) return sv->refuse(ev, SV_BAD_REQUEST); /* 4.7.1 */

    sv_session *session = sv->session(ev);
    if (!session) return SV_PASS;
    if (type.n == 0) return put_on(ev, self, session, sv->to(ev)->full);
    take_off(ev, session, sv->to(ev)->full);
    return SV_PASS;
}

/* --- inbound ------------------------------------------------------------------------------- */

/* What there is to say to a probe besides available presence; it has the probe's id (RFC
 * 6121 4.3.2.1). */
static void answer(sv_event *ev, sv_str type, sv_str from, sv_str to)
{
    const sv_str pairs[] = {SV_STR("id"), sv->attr(sv->root(ev), SV_STR("id"))};
    sv->route(ev, sv->with_attrs(ev, presence_make(ev, type, from, to), pairs, 2));
}

/* 4.3.2, rules 3 and 4; of a session asked for by name no more than that it is there. */
static void tell_presence(sv_event *ev, const sv_jid *account, const sv_jid *asker)
{
    sv_session *session = NULL;
    if (account->resource.n) {
        session = sv->session_find(ev, account);
        answer(ev, session && sv->session_presence(session) ? SV_STR("") : SV_STR("unavailable"),
               account->full, asker->full);
        return;
    }
    size_t told = 0;
    while ((session = sv->session_next(ev, account, session))) {
        const sv_stanza *known = sv->session_presence(session);
        if (!known) continue;
        sv->route(ev, sv->with_attrs(ev, known, (const sv_str[]){SV_STR("to"), asker->full}, 2));
        told++;
    }
    if (told == 0) answer(ev, SV_STR("unavailable"), account->bare, asker->full);
}

/* RFC 6121 4.3.2: presence is told to those who may see it only. A request that waits is not ended
 * by a probe, which would also tell strangers that the account exists. */
static void answer_probe(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    const sv_jid *account = sv->to(ev), *asker = sv->from(ev);
    sv_str record;
    const unsigned flags = sv->row(rows, asker->bare, &record) ? sv_roster_flags(record) : 0;
    sv_session *session = account->resource.n ? sv->session_find(ev, account) : NULL;
    if ((flags & SV_ROSTER_FROM) || sv_str_eq(asker->bare, account->bare))
        tell_presence(ev, account, asker);
    else if (session && was_directed(session, asker)) /* 4.6.6 */
        answer(ev, SV_STR(""), account->full, asker->full);
    else if (!(flags & SV_ROSTER_PENDING_IN))
        answer(ev, SV_STR("unsubscribed"), account->bare, asker->bare);
    (void)sv->consume(ev);
}

/* Whether the sender's roster lets the recipient see its presence; that of another host can't be read from
 * here, and the recipient's says the same (both change in one event). */
static bool is_seen(sv_event *ev, const presence *me)
{
    const sv_jid *from = sv->from(ev), *to = sv->to(ev);
    const bool same_host = sv_str_eq(from->domain, to->domain);
    const sv_rows *rows = sv->rows(ev, me->roster, same_host ? from->node : to->node);
    sv_str record;
    if (!rows) return true;
    if (!sv->row(rows, same_host ? to->bare : from->bare, &record)) return false;
    return sv_roster_flags(record) & (same_host ? SV_ROSTER_FROM : SV_ROSTER_TO);
}

/* What a session of this server says of itself comes in an event of its own, which may have waited behind
 * one that ended the subscription or the session: then it would show what nobody may see any more, or who
 * is gone. */
static bool is_outdated(sv_event *ev, const presence *me)
{
    const sv_jid *from = sv->from(ev), *to = sv->to(ev);
    if (sv->type(ev).n || !from->node.n || !from->resource.n || !sv->is_local(ev, from) ||
        sv_str_eq(from->bare, to->bare))
        return false;
    const sv_session *session = sv->session_find(ev, from);
    if (!session) return true;
    return !was_directed(session, to) && (!sv->session_presence(session) || !is_seen(ev, me));
}

static sv_verdict on_in(sv_event *ev, void *self)
{
    const presence *me = self;
    const sv_str type = sv->type(ev);
    if (is_outdated(ev, me)) return sv->drop(ev, "presence-outdated");
    if (presence_is_subscription(type)) {
        if (sv_str_eq(sv->from(ev)->bare, sv->to(ev)->bare)) return sv->drop(ev, "presence-to-oneself");
        return presence_subs_in(ev, self);
    }
    if (sv_str_eq(type, SV_STR("probe"))) {
        sv_rows *rows = sv->rows(ev, me->roster, sv->to(ev)->node);
        if (rows) { /* of an account that is on line: a login asks many of them */
            answer_probe(ev, SV_OK, rows, self);
            return SV_DONE;
        }
        sv->rows_load(ev, me->roster, sv->to(ev)->node, answer_probe);
        return SV_LATER;
    }
    if (sv_str_eq(type, SV_STR("unavailable"))) forget_directed(ev);
    return SV_PASS;
}

/* --- an account that does not exist (4.3.2 rule 1, 8.5.1) ---------------------------------- */

static void unsubscribe_from_nobody(sv_event *ev)
{
    answer(ev, SV_STR("unsubscribed"), sv->to(ev)->bare, sv->from(ev)->bare);
    (void)sv->consume(ev);
}

static void nobody_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    sv_str record;
    if (status == SV_OK && sv->row(rows, sv->to(ev)->bare, &record) &&
        (sv_roster_flags(record) & SV_ROSTER_TO))
        unsubscribe_from_nobody(ev);
    else
        (void)sv->drop(ev, "presence-to-nobody");
}

/* Whoever believes to be subscribed learns that it is not. A request of its own that waits is not
 * ended, since one to an account that exists would not be (see answer_probe). */
static sv_verdict on_nobody(sv_event *ev, void *self)
{
    const presence *me = self;
    if (!sv_str_eq(sv->type(ev), SV_STR("probe"))) return SV_PASS;
    if (!sv_str_eq(sv->from(ev)->domain, sv->to(ev)->domain)) {
        unsubscribe_from_nobody(ev); /* what its sender has in its roster is not known here */
        return SV_DONE;
    }
    sv->rows_load(ev, me->roster, sv->from(ev)->node, nobody_rows);
    return SV_LATER;
}

/* 8.5.2.1.2 to all available ones; 8.5.3.2.2: a session that is gone gets nothing, nor do the
 * others. */
static sv_verdict to_available(sv_event *ev)
{
    const bool to_lost_session = sv->to(ev)->resource.n > 0;
    size_t count = 0;
    sv_session *session = NULL;
    while (!to_lost_session && (session = sv->session_next(ev, sv->to(ev), session))) {
        if (!sv->session_presence(session)) continue;
        (void)sv->deliver(ev, session);
        count++;
    }
    return count ? SV_DONE : sv->drop(ev, "presence-to-nobody");
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    /* 8.5.3.2.2: of what is for a session that is gone, only a request concerns the account */
    if (sv->to(ev)->resource.n && presence_is_subscription(sv->type(ev)) &&
        !sv_str_eq(sv->type(ev), SV_STR("subscribe")))
        return sv->drop(ev, "subscription-to-lost-session");
    const sv_verdict verdict = on_in(ev, self);
    if (verdict != SV_PASS) return verdict;
    if (sv_str_eq(sv->type(ev), SV_STR("error"))) return sv->drop(ev, "presence-error-to-account");
    return to_available(ev);
}

static sv_verdict on_self(sv_event *ev, void *self)
{
    const presence *me = self;
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("probe"))) return on_in(ev, self);
    if (sv_str_eq(type, SV_STR("error")) || presence_is_subscription(type))
        return sv->drop(ev, "presence-to-oneself");
    if (!is_notification(type)) return sv->refuse(ev, SV_BAD_REQUEST); /* 4.7.1 */
    if (sv->attr(sv->root(ev), SV_STR("to")).p) return to_available(ev);
    sv_rows *rows = sv->rows(ev, me->roster, sv->from(ev)->node);
    if (rows) return broadcast(ev, rows);
    sv->rows_load(ev, me->roster, sv->from(ev)->node, broadcast_rows);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    presence *me = self;
    me->mod = mod;
    uint32_t version;
    int64_t sent = 0;
    me->has_sent_owed = sv->saved_int(mod, "sent-owed", &version, &sent) && sent;
    sv_status status = sv->store_open(mod, NULL, "requests", 1, &me->requests);
    if (status == SV_OK) status = sv->store_open(mod, NULL, "owed", 1, &me->owed);
    if (status != SV_OK) return status;
    return sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
}

/* What is on its way is not sent again. */
static void save(sv_blob *out, void *self)
{
    const presence *me = self;
    (void)sv->save_int(out, "sent-owed", 1, me->has_sent_owed);
}

static const sv_hook hooks[] = {
    {.on = "presence/self", .call = on_self},
    {.on = "presence/out", .call = presence_subs_load, .band = SV_EARLY},
    {.on = "presence/out",
     .call = on_out,
     .band = SV_LATE,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "presence/account", .call = on_account, .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "presence/nobody", .call = on_nobody},
    {.on = "presence/resource", .call = on_in, .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "iq-get/resource", .call = presence_iq, .band = SV_EARLY, .flags = SV_HOOK_GUARD},
    {.on = "iq-set/resource", .call = presence_iq, .band = SV_EARLY, .flags = SV_HOOK_GUARD},
    {.on = "stanza/made", .call = presence_made, .band = SV_FIRST}, /* whatever others make of it, it is no longer due */
    {.on = "host/ready", .call = presence_send_owed},
    {.on = "session/presence", .call = presence_show_requests},
    {.on = "session/back", .call = on_back},
    {.on = "session/gone", .call = on_gone, .band = SV_FIRST}, /* while there is still a session to ask */
    {.on = SV_ROSTER_CHANGED, .call = presence_item_changed},
    {.on = "presence/ending", .call = presence_ending},
    {.on = "account/removing", .call = presence_account_removing, .flags = SV_HOOK_GUARD},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(
        presence, max_requests, "presence_max_requests", "100", "1", "10000",
        "How many unanswered subscription requests an account keeps; further ones are refused."),
    SV_OPT_INT(
        presence, request_bytes, "presence_request_bytes", "2048", "256", "65536",
        "How large a kept subscription request may be; a larger one is kept without its contents."),
    SV_OPT_SIZE(presence, directed_bytes, "presence_directed_bytes", "16k", "1k", "1M",
                "How long a session's list of addresses that it sent presence to may be."),
    SV_OPT_INT(presence, max_withdrawn, "presence_max_withdrawn", "50", "1", "10000",
               "How many of its unanswered requests the sessions of an account may take back before "
               "further requests are refused; one is forgotten every 10 seconds."),
    {0},
};

SV_MODULE(.name = "presence", .summary = "Presence and subscriptions (RFC 6121 3, 4)",
          .self_size = sizeof(presence), .hooks = hooks, .options = options, .start = start, .save = save,
          .after = "roster", .stream_features = "<sub xmlns='urn:xmpp:features:pre-approval'/>")
