/* Presence subscriptions: the state tables of RFC 6121 appendix A, outbound and inbound. */
#include <stave/blocking.h>
#include <stave/roster.h>
#include "presence.h"

bool presence_is_subscription(sv_str type)
{
    return sv_str_eq(type, SV_STR("subscribe")) || sv_str_eq(type, SV_STR("subscribed")) ||
           sv_str_eq(type, SV_STR("unsubscribe")) || sv_str_eq(type, SV_STR("unsubscribed"));
}

/* What one subscription stanza does to a state. */
typedef struct change {
    const char *type;
    unsigned
        any_of; /* no change, and no further effect, unless one of these bits is set (0: always) */
    unsigned none_of; /* ... or if one of these is */
    unsigned clear, set;
} change;

/* RFC 6121 A.2. An answer that nobody waits for is about a pre-approval (below). */
static const change outbound[] = {
    {"subscribe", 0, SV_ROSTER_TO | SV_ROSTER_PENDING_OUT, 0,
     SV_ROSTER_PENDING_OUT | SV_ROSTER_LISTED},
    {"unsubscribe", SV_ROSTER_TO | SV_ROSTER_PENDING_OUT, 0, SV_ROSTER_TO | SV_ROSTER_PENDING_OUT,
     0},
    {"subscribed", SV_ROSTER_PENDING_IN, 0, SV_ROSTER_PENDING_IN,
     SV_ROSTER_FROM | SV_ROSTER_LISTED},
    {"unsubscribed", SV_ROSTER_FROM | SV_ROSTER_PENDING_IN, 0,
     SV_ROSTER_FROM | SV_ROSTER_PENDING_IN | SV_ROSTER_APPROVED, 0},
};

/* RFC 6121 3.4.2 rules 3 and 4, A.2.4 [1]: what an answer does where the contact has not asked. */
static const change approval[] = {
    {"subscribed", 0, SV_ROSTER_FROM | SV_ROSTER_APPROVED, 0,
     SV_ROSTER_APPROVED | SV_ROSTER_LISTED},
    {"unsubscribed", SV_ROSTER_APPROVED, 0, SV_ROSTER_APPROVED, 0},
};

/* RFC 6121 A.3. */
static const change inbound[] = {
    {"subscribe", 0, SV_ROSTER_FROM | SV_ROSTER_PENDING_IN, 0, SV_ROSTER_PENDING_IN},
    {"unsubscribe", SV_ROSTER_FROM | SV_ROSTER_PENDING_IN, 0, SV_ROSTER_FROM | SV_ROSTER_PENDING_IN,
     0},
    {"subscribed", SV_ROSTER_PENDING_OUT, 0, SV_ROSTER_PENDING_OUT, SV_ROSTER_TO},
    {"unsubscribed", SV_ROSTER_TO | SV_ROSTER_PENDING_OUT, 0, SV_ROSTER_TO | SV_ROSTER_PENDING_OUT,
     0},
};

static const change *find_in(const change *table, size_t count, sv_str type)
{
    for (size_t i = 0; i < count; i++)
        if (sv_str_eq(sv_str_of(table[i].type), type)) return &table[i];
    return NULL;
}

static const change *find(const change *table, sv_str type)
{
    return find_in(table, 4, type);
}

static bool applies(const change *c, unsigned flags)
{
    return (c->any_of == 0 || (flags & c->any_of)) && !(flags & c->none_of);
}

static unsigned flags_of(const sv_rows *rows, sv_str contact)
{
    sv_str record;
    return sv->row(rows, contact, &record) ? sv_roster_flags(record) : 0;
}

/* What sessions see of a state. */
#define SEEN (~(unsigned)SV_ROSTER_PENDING_IN)

/* Pushes the contact's item as it is now; of a record without any bit, its removal. */
static void tell_item(sv_event *ev, const sv_jid *account, sv_str contact, sv_str record, unsigned flags)
{
    sv->fire(ev, SV_ROSTER_CHANGED, account,
             sv->format(ev, "%.*s\n%.*s", (int)contact.n, contact.p, flags ? (int)record.n : 0,
                        record.n ? record.p : ""));
}

/* Writes the new state in place of the stored record (empty: there is none) and pushes it when sessions
 * can see the difference, or `always`; a record without any bit goes, unless it tells that an item was removed. */
static sv_status put_state(sv_event *ev, presence *me, const sv_jid *account, sv_str contact,
                           sv_str old, unsigned flags, bool always)
{
    const sv_str rest = old.n ? sv_roster_rest(old) : SV_STR("\n"), version = sv_roster_version(old);
    const sv_str record =
        sv->format(ev, "R1%02x%.*s\n%.*s", flags, (int)version.n, version.n ? version.p : "",
                   (int)rest.n, rest.p);
    const sv_status status = flags || version.n
                                 ? sv->put(ev, me->roster, account->node, contact, record)
                                 : sv->del(ev, me->roster, account->node, contact);
    if (status == SV_OK && (always || (sv_roster_flags(old) & SEEN) != (flags & SEEN)))
        tell_item(ev, account, contact, record, flags);
    return status;
}

static sv_status put_flags(sv_event *ev, presence *me, const sv_jid *account, sv_str contact,
                           sv_str old, unsigned flags)
{
    return put_state(ev, me, account, contact, old, flags, false);
}

static sv_status write_flags(sv_event *ev, presence *me, const sv_jid *account, sv_str contact,
                             const sv_rows *rows, unsigned flags)
{
    sv_str old = SV_STR_NONE;
    (void)sv->row(rows, contact, &old);
    if ((flags | sv_roster_flags(old)) & SV_ROSTER_SHARED) return SV_EDENIED; /* not ours to say */
    return put_flags(ev, me, account, contact, old, flags);
}

/* --- outbound ------------------------------------------------------------------------------ */

/* To a contact's sessions if it is on this server: what is routed takes a way of its own and would
 * come behind what this event delivers. It passes no hook of the contact's, so here it is asked
 * whether the contact has blocked the account. */
static void send_ahead(sv_event *ev, const sv_jid *account, const sv_jid *contact,
                       const sv_stanza *stanza)
{
    if (!sv->is_local(ev, contact)) {
        sv->route(ev, stanza);
        return;
    }
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, contact, session)))
        if (sv->session_presence(session) && !sv_blocking_session_has(session, account))
            sv->push(ev, session, stanza);
}

/* Unavailable presence of every session goes before the cancellation (RFC 6121 3.2.2). */
static void send_unavailable(sv_event *ev, const sv_jid *account, const sv_jid *contact)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session)))
        if (sv->session_presence(session))
            send_ahead(ev, account, contact,
                       presence_make(ev, SV_STR("unavailable"), sv->session_jid(session)->full,
                                     contact->bare));
}

/* 3.1.5: the presence of each session follows an approval. To a contact of this server it goes when the
 * approval has changed its side (in). */
static void tell_elsewhere(sv_event *ev, const sv_jid *account, const sv_jid *contact)
{
    if (!sv->is_local(ev, contact)) presence_send_all(ev, account, contact->bare);
}

/* --- requests that are made and taken back, over and over ---------------------------------- */

#define FORGOTTEN_MS 10000

/* Of one session: requests that it took back, less what time has forgotten. */
typedef struct withdrawn {
    int64_t count, since_ms;
} withdrawn;

static withdrawn *withdrawn_by(const presence *me, sv_session *session)
{
    withdrawn *w = sv->session_data(me->mod, session, sizeof *w);
    const int64_t passed_ms = sv->now_ms() - w->since_ms, forgotten = passed_ms / FORGOTTEN_MS;
    if (passed_ms < 0 || forgotten >= w->count) /* or the clock was set back */
        *w = (withdrawn){passed_ms < 0 ? w->count : 0, sv->now_ms()};
    else
        *w = (withdrawn){w->count - forgotten, w->since_ms + forgotten * FORGOTTEN_MS};
    return w;
}

/* No more than the bound: whoever tidies up many may ask again soon. With a roster item it is an occasion,
 * which is no session's own. */
static void note_withdrawn(sv_event *ev, const presence *me)
{
    sv_session *session = sv->session(ev);
    if (!session) session = sv->session_next(ev, sv->from(ev), NULL);
    if (!session) return;
    withdrawn *w = withdrawn_by(me, session);
    if (w->count < me->max_withdrawn) w->count++;
}

/* Each time its recipient is shown something, and both sides are written. */
static bool toggles(sv_event *ev, const presence *me)
{
    int64_t count = 0;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session)))
        count += withdrawn_by(me, session)->count;
    return count >= me->max_withdrawn;
}

/* An answer without a request: never routed, whatever it does here (A.2.3, A.2.4). */
static sv_verdict out_approval(sv_event *ev, presence *me, const sv_rows *rows, unsigned flags)
{
    const change *c = find_in(approval, 2, sv->type(ev));
    if (!applies(c, flags)) return sv->drop(ev, "subscription-answer-unasked");
    if (write_flags(ev, me, sv->from(ev), sv->to(ev)->bare, rows, (flags & ~c->clear) | c->set) !=
        SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    return sv->consume(ev);
}

/* What the sender's side did with a stanza that goes on. */
typedef struct outgoing {
    sv_jid contact;
    sv_str type;
    bool has_written, has_told; /* a row; the sender's sessions of it */
} outgoing;

/* Whoever waited on the contact's side let other events change the sender's row, which is in this event's unit as it was; and a session
 * that asked for the roster meanwhile has not heard of it. So the change is made once more, to the row as it is now; what makes no
 * difference to that leaves it alone. The contact's side was changed just now, from its row as it is now, and
 * both sides go on saying the same. */
static void out_again(sv_event *ev, void *ctx, void *self)
{
    presence *me = self;
    const outgoing *o = ctx;
    const sv_jid *user = sv->from(ev);
    const sv_rows *rows = sv->rows(ev, me->roster, user->node);
    const change *c = find(outbound, o->type);
    sv_str record = SV_STR_NONE;
    (void)sv->row_stored(rows, o->contact.bare, &record);
    const unsigned flags = flags_of(rows, o->contact.bare), stored = sv_roster_flags(record);
    const bool is_due = applies(c, flags) && !(flags & SV_ROSTER_SHARED);
    if (!is_due && !o->has_written) return;
    (void)put_state(ev, me, user, o->contact.bare, record, is_due ? (flags & ~c->clear) | c->set : stored,
                    o->has_told);
    if (is_due && (flags & c->clear & SV_ROSTER_PENDING_IN))
        (void)sv->del(ev, me->requests, user->node, o->contact.bare);
    if (is_due && (flags & c->clear & SV_ROSTER_FROM)) send_unavailable(ev, user, &o->contact);
}

/* The stanza goes on, and others may wait. */
static void look_again(sv_event *ev, const presence *me, const change *c, unsigned flags)
{
    const bool has_written = applies(c, flags);
    const unsigned left = (flags & ~c->clear) | c->set;
    outgoing *o = sv->scratch(ev, sizeof *o);
    *o = (outgoing){.contact = *sv->to(ev),
                    .type = sv->type(ev),
                    .has_written = has_written,
                    .has_told = has_written && (flags & SEEN) != (left & SEEN)};
    sv->after_wait(me->mod, ev, out_again, o);
}

static sv_verdict out(sv_event *ev, presence *me, const sv_rows *rows)
{
    const sv_jid *user = sv->from(ev);
    const sv_str contact = sv->to(ev)->bare;
    const change *c = find(outbound, sv->type(ev));
    const unsigned flags = flags_of(rows, contact);
    const bool is_answer = sv_str_eq(sv->type(ev), SV_STR("subscribed")) ||
                           sv_str_eq(sv->type(ev), SV_STR("unsubscribed"));

    const bool ends = c->set == 0;
    if (ends && (flags & SV_ROSTER_SHARED))
        return sv->refuse_text(ev, SV_NOT_ALLOWED, SV_STR("The operator shares this contact"));
    if (applies(c, flags)) {
        if ((c->set & SV_ROSTER_PENDING_OUT) && toggles(ev, me))
            return sv->refuse_text(ev, SV_RESOURCE_CONSTRAINT,
                                   SV_STR("Too many requests were taken back: wait a little"));
        if (write_flags(ev, me, user, contact, rows, (flags & ~c->clear) | c->set) != SV_OK)
            return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
        if (flags & c->clear & SV_ROSTER_PENDING_OUT) note_withdrawn(ev, me);
        if (flags & c->clear & SV_ROSTER_PENDING_IN)
            (void)sv->del(ev, me->requests, user->node, contact);
        if (flags & c->clear & SV_ROSTER_FROM) send_unavailable(ev, user, sv->to(ev));
        if (c->set & SV_ROSTER_FROM) tell_elsewhere(ev, user, sv->to(ev));
    } else if (is_answer) {
        return out_approval(ev, me, rows, flags);
    }
    look_again(ev, me, c, flags);
    /* 3.1.2: stamped with the bare JID, and meant for the bare one */
    const sv_str pairs[] = {SV_STR("from"), user->bare, SV_STR("to"), contact};
    sv->replace(ev, sv->with_attrs(ev, sv->stanza(ev), pairs, 4));
    return SV_PASS;
}

sv_verdict presence_subs_out(sv_event *ev, presence *me)
{
    sv_rows *rows = sv->rows(ev, me->roster, sv->from(ev)->node);
    return rows ? out(ev, me, rows) : sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows;
    if (status != SV_OK)
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
    else if (presence_subs_load(ev, self) == SV_PASS)
        sv->pass(ev);
}

sv_verdict presence_subs_load(sv_event *ev, void *self)
{
    const presence *me = self;
    const sv_jid *user = sv->from(ev), *contact = sv->to(ev);
    if (!presence_is_subscription(sv->type(ev))) return SV_PASS;
    if (sv->rows(ev, me->roster, user->node))
        return sv->rows_warm(ev, me->roster, contact, loaded) ? SV_PASS : SV_LATER;
    sv->rows_load(ev, me->roster, user->node, loaded);
    return SV_LATER;
}

/* --- inbound ------------------------------------------------------------------------------- */

#define REQUEST_ELEMENTS 16u

static size_t count_elements(const sv_node *node)
{
    size_t count = 1;
    for (const sv_node *child = sv->first(node); child; child = sv->next(node, child))
        count += count_elements(child);
    return count;
}

/* The request as it is kept until it is answered: one for each contact, without its contents if
 * they are too large or of too many elements. All requests are shown to a session at once, and what
 * strangers sent must not fill its queue. */
static sv_status keep_request(sv_event *ev, const presence *me)
{
    const sv_jid *user = sv->to(ev), *contact = sv->from(ev);
    sv_str bytes = sv->stanza_bytes(ev, sv->stanza(ev));
    if ((int64_t)bytes.n > me->request_bytes || count_elements(sv->root(ev)) > REQUEST_ELEMENTS)
        bytes =
            sv->stanza_bytes(ev, presence_make(ev, SV_STR("subscribe"), contact->bare, user->bare));
    return sv->put(ev, me->requests, user->node, contact->bare, bytes);
}

static size_t count_requests(const sv_rows *rows)
{
    size_t count = 0;
    sv_str key = SV_STR_NONE, record;
    while (sv->row_next(rows, &key, &record))
        if (sv_roster_flags(record) & SV_ROSTER_PENDING_IN) count++;
    return count;
}

/* Answered on behalf of the user: the contact sees the presence already (A.3.1 [2]), or may from now
 * on, since the user said so before (3.4.2). The approval stays until the user takes it back. */
static sv_verdict auto_approve(sv_event *ev, presence *me, const sv_rows *rows, unsigned flags)
{
    const sv_jid *user = sv->to(ev), *contact = sv->from(ev);
    if (!(flags & SV_ROSTER_FROM) &&
        write_flags(ev, me, user, contact->bare, rows, flags | SV_ROSTER_FROM) != SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    presence_route_owed(ev, me, "subscribed", user, contact);
    if (!(flags & SV_ROSTER_FROM)) tell_elsewhere(ev, user, contact);
    return sv->consume(ev);
}

/* The event's stanza, which has its effect by what is stored. Not delivered: what is for one session alone, and does not find it any
 * more at the commit, is passed at its account once more (RFC 6120 10.5.4), and would have its effect twice. */
static void show(sv_event *ev, const sv_jid *account, bool to_interested)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session)))
        if (to_interested ? sv->session_item(session, "roster-interested").p != NULL : sv->session_presence(session) != NULL)
            sv->push(ev, session, sv->stanza(ev));
}

/* A request: kept, shown to the available sessions, or answered at once. */
static sv_verdict in_subscribe(sv_event *ev, presence *me, const sv_rows *rows, unsigned flags)
{
    const sv_jid *user = sv->to(ev), *contact = sv->from(ev);
    if (flags & (SV_ROSTER_FROM | SV_ROSTER_APPROVED)) return auto_approve(ev, me, rows, flags);
    if (flags & SV_ROSTER_PENDING_IN) return sv->drop(ev, "subscribe-repeated");
    if ((int64_t)count_requests(rows) >= me->max_requests)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    if (keep_request(ev, me) != SV_OK ||
        write_flags(ev, me, user, contact->bare, rows, flags | SV_ROSTER_PENDING_IN) != SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    show(ev, user, false);
    return sv->stored(ev);
}

static sv_verdict in(sv_event *ev, presence *me, const sv_rows *rows)
{
    const sv_jid *user = sv->to(ev), *contact = sv->from(ev);
    const sv_str type = sv->type(ev);
    const change *c = find(inbound, type);
    const unsigned flags = flags_of(rows, contact->bare);
    if (sv_str_eq(type, SV_STR("subscribe"))) return in_subscribe(ev, me, rows, flags);

    if (!applies(c, flags) || (flags & SV_ROSTER_SHARED))
        return sv->drop(ev, "subscription-without-effect"); /* A.3.2 to A.3.4 */
    /* the stanza comes before the push (3.1.6, 3.2.3, 3.3.3) */
    show(ev, user, true);
    (void)write_flags(ev, me, user, contact->bare, rows,
                      (flags & ~c->clear) | c->set); /* no larger than what it replaces */
    if (sv_str_eq(type, SV_STR("unsubscribe"))) {
        (void)sv->del(ev, me->requests, user->node, contact->bare);
        if (flags & SV_ROSTER_FROM) send_unavailable(ev, user, contact);
        /* A.3.2 [1]; but a session of this server has ended its own side in this event, and what
         * came behind would undo a request that it sends next */
        if (!sv->session(ev))
            sv->route(ev, presence_make(ev, SV_STR("unsubscribed"), user->bare, contact->bare));
    }
    if (sv_str_eq(type, SV_STR("subscribed")) && sv->is_local(ev, contact))
        presence_send_all(
            ev, contact,
            user->bare); /* 3.1.5: the approving side's presence follows its approval */
    return sv->stored(ev);
}

static void in_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    if (status == SV_OK)
        (void)in(ev, self, rows);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

sv_verdict presence_subs_in(sv_event *ev, presence *me)
{
    sv_rows *rows = sv->rows(ev, me->roster, sv->to(ev)->node);
    if (rows) return in(ev, me, rows);
    sv->rows_load(ev, me->roster, sv->to(ev)->node, in_rows);
    return SV_LATER;
}

/* --- what waits for an answer -------------------------------------------------------------- */

static void push_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const presence *me = self;
    sv_session *session = status == SV_OK ? sv->session(ev) : NULL;
    const sv_rows *items = sv->rows(ev, me->roster, sv->from(ev)->node);
    sv_str contact = SV_STR_NONE, bytes;
    while (session && sv->row_next(rows, &contact, &bytes)) {
        const sv_stanza *stanza;
        sv_jid jid;
        if (sv->jid_parse(ev, contact, &jid) && sv_blocking_session_has(session, &jid)) continue;
        if (items && (flags_of(items, contact) & SV_ROSTER_FROM)) continue; /* it is shared meanwhile */
        if (sv->stanza_parse(ev, bytes, &stanza) == SV_OK) sv->push(ev, session, stanza);
    }
    sv->pass(ev);
}

#define SHOWN "presence-requests-shown"

sv_verdict presence_show_requests(sv_event *ev, void *self)
{
    const presence *me = self;
    sv_session *session = sv->session(ev);
    if (!session) return SV_PASS; /* gone while others waited */
    const bool available = sv->session_presence(session) != NULL;
    const bool shown = sv->session_item(session, SHOWN).p != NULL;
    if (available == shown) return SV_PASS;
    sv->session_set_item(session, SHOWN, available ? SV_STR("1") : SV_STR_NONE);
    if (!available) return SV_PASS;
    sv->rows_load(ev, me->requests, sv->from(ev)->node, push_rows);
    return SV_LATER;
}

/* --- what ends with a roster item (RFC 6121 2.5.2) ------------------------------------------ */

/* To a contact elsewhere; unavailable presence comes before "unsubscribed" (3.2.2). */
static void route_ends(sv_event *ev, const presence *me, const sv_jid *user, const sv_jid *contact, unsigned flags)
{
    if (flags & (SV_ROSTER_TO | SV_ROSTER_PENDING_OUT)) presence_route_owed(ev, me, "unsubscribe", user, contact);
    if (flags & SV_ROSTER_FROM) send_unavailable(ev, user, contact);
    if (flags & (SV_ROSTER_FROM | SV_ROSTER_PENDING_IN)) presence_route_owed(ev, me, "unsubscribed", user, contact);
}

static void push_interested(sv_event *ev, const sv_jid *account, const sv_jid *from,
                            const sv_stanza *stanza)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session)))
        if (sv->session_item(session, "roster-interested").p &&
            !sv_blocking_session_has(session, from))
            sv->push(ev, session, stanza);
}

/* Shows a stanza of the user to the contact if it changes the contact's state; the new state. */
static unsigned end_one(sv_event *ev, const sv_jid *user, const sv_jid *contact, const char *type,
                        unsigned flags)
{
    const change *c = find(inbound, sv_str_of(type));
    if (!applies(c, flags)) return flags;
    push_interested(ev, contact, user, presence_make(ev, sv_str_of(type), user->bare, contact->bare));
    return flags & ~c->clear;
}

/* What the contact had itself of a user that is shared with it: it is not seen now, but would be when
 * the user is shared no more. Nothing is told: they see each other still. */
static void end_below(sv_event *ev, presence *me, const sv_jid *user, const sv_jid *contact,
                      unsigned flags, const sv_rows *rows)
{
    sv_str record;
    if (!sv->row_stored(rows, user->bare, &record)) return;
    const unsigned theirs = sv_roster_flags(record);
    unsigned left = theirs;
    if (flags & (SV_ROSTER_TO | SV_ROSTER_PENDING_OUT)) left &= ~find(inbound, SV_STR("unsubscribe"))->clear;
    if (flags & (SV_ROSTER_FROM | SV_ROSTER_PENDING_IN))
        left &= ~find(inbound, SV_STR("unsubscribed"))->clear;
    if (theirs & ~left & SV_ROSTER_PENDING_IN)
        (void)sv->del(ev, me->requests, contact->node, user->bare);
    if (left != theirs) (void)put_flags(ev, me, contact, user->bare, record, left);
}

/* Of a contact of this server, both sides change in one event: together durable, and nothing that is
 * sent next comes in between. */
static void end_here(sv_event *ev, presence *me, const sv_jid *user, const sv_jid *contact,
                     unsigned flags, const sv_rows *rows)
{
    const unsigned theirs = flags_of(rows, user->bare);
    unsigned left = theirs;
    if (theirs & SV_ROSTER_SHARED) {
        end_below(ev, me, user, contact, flags, rows);
        return;
    }
    if (flags & (SV_ROSTER_TO | SV_ROSTER_PENDING_OUT)) {
        left = end_one(ev, user, contact, "unsubscribe", left);
        if (theirs & ~left & SV_ROSTER_PENDING_IN)
            (void)sv->del(ev, me->requests, contact->node, user->bare);
        if (theirs & ~left & SV_ROSTER_FROM) send_unavailable(ev, contact, user);
    }
    if (flags & SV_ROSTER_FROM) send_unavailable(ev, user, contact);
    if (flags & (SV_ROSTER_FROM | SV_ROSTER_PENDING_IN))
        left = end_one(ev, user, contact, "unsubscribed", left);
    if (left != theirs) /* no larger than what it replaces */
        (void)write_flags(ev, me, contact, user->bare, rows, left);
}

sv_verdict presence_ending(sv_event *ev, void *self)
{
    presence *me = self;
    const sv_str subject = sv->subject(ev);
    const sv_rows *rows = sv->rows(ev, me->roster, sv->from(ev)->node);
    sv_jid user;
    if (!rows || subject.n < 4 || !sv->jid_parse(ev, (sv_str){subject.p + 3, subject.n - 3}, &user)) return SV_PASS;
    /* the digits are where those of a record are */
    const unsigned flags = sv_roster_flags(sv->format(ev, "R1%.*s\n", 2, subject.p));
    end_here(ev, me, &user, sv->from(ev), flags, rows);
    sv->offer(ev, SV_STR("ended"));
    return SV_PASS;
}

void presence_end_contact(sv_event *ev, presence *me, const sv_jid *user, const sv_jid *contact,
                          unsigned flags)
{
    const sv_str subject = sv->format(ev, "%02x %.*s", flags, (int)user->bare.n, user->bare.p);
    if (contact->node.n && sv->gather_at(ev, "presence/ending", contact, subject).n) return;
    route_ends(ev, me, user, contact, flags);
}

sv_verdict presence_item_changed(sv_event *ev, void *self)
{
    presence *me = self;
    const sv_jid *user = sv->from(ev);
    const sv_str subject = sv->subject(ev);
    const char *end = subject.n ? memchr(subject.p, '\n', subject.n) : NULL;
    if (!end || end != subject.p + subject.n - 1) return SV_PASS; /* there is a record behind it */
    sv_jid contact;
    const sv_rows *rows = sv->rows(ev, me->roster, user->node);
    if (!rows || !sv->jid_parse(ev, (sv_str){subject.p, subject.n - 1}, &contact)) return SV_PASS;
    (void)sv->del(ev, me->requests, user->node, contact.bare);
    const unsigned flags = flags_of(rows, contact.bare); /* as they were before this event */
    if (flags & SV_ROSTER_PENDING_OUT) note_withdrawn(ev, me);
    presence_end_contact(ev, me, user, &contact, flags);
    return SV_PASS;
}
