/* What a block list does to stanzas (XEP-0191 3.3), in three directions: to the account, from its
 * sessions, and in its name. */
#include "blocking.h"

#define NS_ERRORS "urn:xmpp:blocking:errors"

/* What the account says of the other one. */
typedef enum answer { NOT_BLOCKED, BLOCKED, UNKNOWN } answer;

/* PERF: an account with a session and without a list costs one look at an item, a stanza for
 * somebody who is off line one look at rows that are in the store's cache. */
static answer ask(sv_event *ev, const blocking *me, const sv_jid *account, const sv_jid *other)
{
    if (sv_blocking_is_exempt(account, other)) return NOT_BLOCKED;
    const sv_session *session = sv->session_next(ev, account, NULL);
    const sv_str list = session ? sv->session_item(session, SV_BLOCKING_LIST) : SV_STR_NONE;
    if (list.p && list.n == 0) return NOT_BLOCKED;
    const sv_rows *rows = sv->rows(ev, me->list, account->node);
    if (rows) return sv_blocking_has(rows, account, other) ? BLOCKED : NOT_BLOCKED;
    return sv->is_guest(ev, account) ? NOT_BLOCKED : UNKNOWN;
}

static bool is_presence(sv_event *ev)
{
    return sv_str_eq(sv->name(sv->root(ev)), SV_STR("presence"));
}

/* The same when the rows have come; while a list can't be read, nothing passes. Presence is never
 * answered, since it may be a blocked one's. */
static sv_verdict after_load(sv_event *ev, sv_status status, bool is_blocked,
                             sv_verdict (*stop)(sv_event *ev))
{
    if (status != SV_OK && is_presence(ev)) return sv->drop(ev, "blocking-unreadable");
    if (status != SV_OK) return sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
    if (is_blocked) return stop(ev);
    sv->pass(ev);
    return SV_PASS;
}

/* --- to the account ------------------------------------------------------------------------ */

/* Presence is neither answered nor returned, a message and a request are told service-unavailable,
 * answers are dropped: as if nobody were there. A request that is dropped is told so by the
 * server. */
static sv_verdict stop_in(sv_event *ev)
{
    const bool is_message = sv_str_eq(sv->name(sv->root(ev)), SV_STR("message"));
    if (is_message && !sv_str_eq(sv->type(ev), SV_STR("error")))
        return sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
    return sv->drop(ev, "blocked");
}

static void in_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    const bool is_blocked = status == SV_OK && sv_blocking_has(rows, sv->to(ev), sv->from(ev));
    (void)after_load(ev, status, is_blocked, stop_in);
}

sv_verdict blocking_in(sv_event *ev, void *self)
{
    const blocking *me = self;
    switch (ask(ev, me, sv->to(ev), sv->from(ev))) {
    case NOT_BLOCKED: return SV_PASS;
    case BLOCKED: return stop_in(ev);
    default: sv->rows_load(ev, me->list, sv->to(ev)->node, in_rows); return SV_LATER;
    }
}

/* --- from its sessions --------------------------------------------------------------------- */

static bool is_answer(sv_event *ev)
{
    const sv_str type = sv->type(ev);
    return sv_str_eq(type, SV_STR("error")) ||
           (sv_str_eq(type, SV_STR("result")) &&
            sv_str_eq(sv->name(sv->root(ev)), SV_STR("iq")));
}

static sv_verdict stop_out(sv_event *ev)
{
    if (is_answer(ev)) return sv->drop(ev, "blocked-by-sender"); /* RFC 6120 8.3.1 */
    const sv_draft *specific = sv->draft(ev, SV_STR("blocked"), SV_STR(NS_ERRORS));
    return sv->refuse_with(ev, SV_NOT_ACCEPTABLE, SV_STR("cancel"), specific);
}

static void out_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    const bool is_blocked = status == SV_OK && sv_blocking_has(rows, sv->from(ev), sv->to(ev));
    (void)after_load(ev, status, is_blocked, stop_out);
}

sv_verdict blocking_out(sv_event *ev, void *self)
{
    const blocking *me = self;
    switch (ask(ev, me, sv->from(ev), sv->to(ev))) {
    case NOT_BLOCKED: return SV_PASS;
    case BLOCKED: return stop_out(ev);
    default: sv->rows_load(ev, me->list, sv->from(ev)->node, out_rows); return SV_LATER;
    }
}

/* A subscription changes both sides in one event, and nothing may wait between (presence_subs.c): the
 * recipient's list has to be there when its side is asked. */
static bool has_to_load(sv_event *ev, const blocking *me)
{
    const sv_str type = sv->type(ev);
    const sv_jid *to = sv->to(ev);
    if (type.n == 0 || sv_str_eq(type, SV_STR("unavailable")) || to->node.n == 0 ||
        !sv_str_eq(to->domain, sv->host(me->mod)))
        return false;
    return ask(ev, me, to, sv->from(ev)) == UNKNOWN;
}

static void other_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows, (void)self; /* asked for at the recipient's side */
    if (status == SV_OK)
        sv->pass(ev);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

sv_verdict blocking_load_other(sv_event *ev, void *self)
{
    const blocking *me = self;
    if (!has_to_load(ev, me)) return SV_PASS;
    sv->rows_load(ev, me->list, sv->to(ev)->node, other_rows);
    return SV_LATER;
}

/* --- in its name --------------------------------------------------------------------------- */

static sv_verdict stop_made(sv_event *ev)
{
    return sv->drop(ev, "blocked-by-sender");
}

static void made_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    const bool is_blocked = status == SV_OK && sv_blocking_has(rows, sv->from(ev), sv->to(ev));
    (void)after_load(ev, status, is_blocked, stop_made);
}

sv_verdict blocking_made(sv_event *ev, void *self)
{
    const blocking *me = self;
    switch (ask(ev, me, sv->from(ev), sv->to(ev))) {
    case NOT_BLOCKED: return SV_PASS;
    case BLOCKED: return stop_made(ev);
    default: sv->rows_load(ev, me->list, sv->from(ev)->node, made_rows); return SV_LATER;
    }
}

/* --- what was never written ---------------------------------------------------------------- */

/* The event is the session's; who sent the stanza stands in it. */
static bool sender_of(sv_event *ev, sv_jid *from_out)
{
    const sv_str from = sv->attr(sv->root(ev), SV_STR("from"));
    return from.n > 0 && sv->jid_parse(ev, from, from_out);
}

static void unsent_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    sv_jid from;
    const bool is_blocked =
        status == SV_OK && sender_of(ev, &from) && sv_blocking_has(rows, sv->to(ev), &from);
    (void)after_load(ev, status, is_blocked, stop_in);
}

sv_verdict blocking_unsent(sv_event *ev, void *self)
{
    const blocking *me = self;
    sv_jid from;
    if (!sender_of(ev, &from)) return SV_PASS;
    switch (ask(ev, me, sv->to(ev), &from)) {
    case NOT_BLOCKED: return SV_PASS;
    case BLOCKED: return stop_in(ev);
    default: sv->rows_load(ev, me->list, sv->to(ev)->node, unsent_rows); return SV_LATER;
    }
}
