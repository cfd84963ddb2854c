/* Message carbons (XEP-0280): sessions that ask for it get copies of what the account's other sessions
 * send and receive.
 *
 * Copies are made where a message can no longer be refused on that side: at the end of the sender's
 * points, and right before the module `message` hands it out. They go out with the message itself. */
#include "carbons.h"

/* --- what a session knows of --------------------------------------------------------------- */

static uint64_t add_hash(uint64_t hash, sv_str text)
{
    for (size_t i = 0; i < text.n; i++) hash = (hash ^ (uint8_t)text.p[i]) * 0x100000001b3u;
    return (hash ^ 0xffu) * 0x100000001b3u; /* no UTF-8 has that byte */
}

/* A message by its id and whom it was exchanged with. An error has both from it (RFC 6120 8.3.1), whoever made it;
 * 0 if it has no id. */
static uint64_t hash_of(const sv_event *ev, const sv_jid *other)
{
    const sv_str id = sv->attr(sv->root(ev), SV_STR("id"));
    if (id.n == 0) return 0;
    const uint64_t hash = add_hash(add_hash(0xcbf29ce484222325u, other->bare), id);
    return hash ? hash : 1;
}

static carbons_known *known_to(const carbons *me, sv_session *session)
{
    return sv->session_data(me->mod, session, sizeof(carbons_known));
}

static bool knows(const carbons *me, sv_session *session, uint64_t hash)
{
    const carbons_known *known = known_to(me, session);
    for (size_t i = 0; hash && i < CARBONS_REMEMBERED; i++)
        if (known->hashes[i] == hash) return true;
    return false;
}

static void remember(const carbons *me, sv_session *session, uint64_t hash)
{
    carbons_known *known = known_to(me, session);
    if (!hash) return;
    known->hashes[known->next] = hash;
    known->next = (known->next + 1) % CARBONS_REMEMBERED;
}

/* --- copies -------------------------------------------------------------------------------- */

/* Which sessions of the account have the message without a copy. */
typedef struct holders {
    sv_session *sender, *named; /* NULL: none */
    bool has_all;               /* all that take messages */
} holders;

static bool takes_messages(const sv_session *session)
{
    return sv->session_presence(session) && sv->session_priority(session) >= 0;
}

static bool has_it(const holders *h, const sv_session *session)
{
    return session == h->sender || session == h->named || (h->has_all && takes_messages(session));
}

static bool has_mark_of(const sv_event *ev, const sv_jid *account)
{
    const sv_node *root = sv->root(ev);
    for (const sv_node *at = sv->first(root); at; at = sv->next(root, at))
        if (sv->is(at, SV_STR("stanza-id"), SV_STR(NS_SID)) && sv_str_eq(sv->attr(at, SV_STR("by")), account->bare)) return true;
    return false;
}

/* The message as it is kept for the account: under which id is known before it is written (XEP-0359 3). What comes in has its mark
 * already. */
static const sv_stanza *as_kept(sv_event *ev, const carbons *me, const sv_jid *account, bool is_sent)
{
    const sv_str id = is_sent && me->archive ? me->archive->added(ev, account->bare) : SV_STR_NONE;
    if (id.n == 0 || has_mark_of(ev, account)) return sv->stanza(ev);
    sv_draft *mark = sv->draft(ev, SV_STR("stanza-id"), SV_STR(NS_SID));
    sv->set(mark, SV_STR("by"), account->bare);
    sv->set(mark, SV_STR("id"), id);
    return sv->with_child(ev, sv->stanza(ev), mark);
}

/* The wrapping (7, 8): from the account itself, of the message's type; whom a copy is for is put in when it is sent, so all
 * share the same bytes. */
static const sv_stanza *wrap(sv_event *ev, const carbons *me, const sv_jid *account, bool is_sent)
{
    sv_draft *copy = sv->draft(ev, SV_STR("message"), SV_STR(NS_CLIENT));
    sv->set(copy, SV_STR("from"), account->bare);
    if (sv->type(ev).n > 0) sv->set(copy, SV_STR("type"), sv->type(ev));
    sv_draft *way = sv->child(copy, is_sent ? SV_STR("sent") : SV_STR("received"), SV_STR(NS_CARBONS));
    sv_draft *forwarded = sv->child(way, SV_STR("forwarded"), SV_STR("urn:xmpp:forward:0"));
    const sv_stanza *kept = as_kept(ev, me, account, is_sent);
    sv->graft(forwarded, kept, sv->stanza_root(kept));
    return sv->freeze(ev, copy);
}

/* Gives the account's sessions that have carbons on their copies; those who have it anyway know of it, too. */
static void copy_to_account(sv_event *ev, const carbons *me, const sv_jid *account, carbons_side side,
                            const holders *h)
{
    const carbons_worth worth = carbons_worth_of(ev, side);
    if (worth == CARBONS_NEVER) return;
    const bool is_sent = side == CARBONS_SENT;
    const uint64_t hash = hash_of(ev, is_sent ? sv->to(ev) : sv->from(ev));
    const sv_stanza *copy = NULL;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session))) {
        if (!sv->session_item(session, CARBONS_ITEM).p) continue;
        if (worth == CARBONS_IF_KNOWN && !knows(me, session, hash)) continue;
        if (worth == CARBONS_ALWAYS) remember(me, session, hash);
        if (has_it(h, session)) continue;
        if (!copy) copy = wrap(ev, me, account, is_sent);
        sv->push_copy(ev, session, copy);
        sv->metric_add(me->mod, is_sent ? 0 : 1, 1);
    }
}

/* --- the sender's side (8) ----------------------------------------------------------------- */

static sv_verdict on_out(sv_event *ev, void *self)
{
    copy_to_account(ev, self, sv->from(ev), CARBONS_SENT, &(holders){.sender = sv->session(ev)});
    return SV_PASS;
}

/* --- the recipient's side (7) -------------------------------------------------------------- */

/* To the account, or to a session that has gone. Not if the module `message` refuses it (RFC 6121 8.5.3.2.1: of what was
 * meant for a session that is gone, only chat goes on to the others). */
static sv_verdict on_account(sv_event *ev, void *self)
{
    const bool is_own = sv_str_eq(sv->from(ev)->bare, sv->to(ev)->bare);
    const bool is_error = sv_str_eq(sv->type(ev), SV_STR("error"));
    const bool is_chat = sv_str_eq(sv->type(ev), SV_STR("chat"));
    if (sv->to(ev)->resource.n > 0 && !is_chat && !is_error) return SV_PASS;
    const holders h = {.sender = is_own ? sv->session(ev) : NULL,
                       .has_all = !is_error};
    copy_to_account(ev, self, sv->to(ev), is_own ? CARBONS_SENT : CARBONS_RECEIVED, &h);
    return SV_PASS;
}

/* To a session on line. A message to another one of the own account is sent and received at once: one copy. */
static sv_verdict on_resource(sv_event *ev, void *self)
{
    const bool is_own = sv_str_eq(sv->from(ev)->bare, sv->to(ev)->bare);
    const bool is_room = sv->find(sv->root(ev), SV_STR("x"), SV_STR("http://jabber.org/protocol/muc#user")) != NULL;
    const holders h = {.sender = is_own ? sv->session(ev) : NULL,
                       .named = sv->session_find(ev, sv->to(ev)),
                       .has_all = carbons_is_of_call(ev) && !is_room};
    copy_to_account(ev, self, sv->to(ev), is_own ? CARBONS_SENT : CARBONS_RECEIVED, &h);
    return SV_PASS;
}

/* An error that the server made for a message of a session. */
static sv_verdict on_returned(sv_event *ev, void *self)
{
    copy_to_account(ev, self, sv->to(ev), CARBONS_RECEIVED, &(holders){.named = sv->session(ev)});
    return SV_PASS;
}

/* --- what was never written ---------------------------------------------------------------- */

/* A copy is for one session alone: the others have theirs, and who has carbons off is never shown any (2). */
static sv_verdict on_unsent(sv_event *ev, void *self)
{
    (void)self;
    const bool is_ours = sv_str_eq(sv->attr(sv->root(ev), SV_STR("from")), sv->from(ev)->bare);
    return is_ours ? sv->drop(ev, "carbon-unsent") : SV_PASS;
}

/* --- on and off (4, 5) --------------------------------------------------------------------- */

static sv_verdict turn(sv_event *ev, sv_str value)
{
    if (sv->session(ev)) sv->session_set_item(sv->session(ev), CARBONS_ITEM, value);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict on_enable(sv_event *ev, void *self)
{
    (void)self;
    return turn(ev, SV_STR("1"));
}

static sv_verdict on_disable(sv_event *ev, void *self)
{
    (void)self;
    return turn(ev, SV_STR_NONE);
}

static sv_status start(sv_mod *mod, void *self)
{
    carbons *me = self;
    me->mod = mod;
    me->archive = sv->query("archive", SV_ARCHIVE_VERSION);
    return SV_OK;
}

#define COPIES(on_, call_, band_)                                                                  \
    {                                                                                              \
        .on = on_, .call = call_, .band = band_, .after = "archive policy-quiet", .flags = SV_HOOK_OPEN \
    }

static const sv_hook hooks[] = {
    COPIES("message/out", on_out, SV_LATE),
    COPIES("message/self", on_account, SV_NORMAL), /* `message` stands behind it */
    COPIES("message/account", on_account, SV_NORMAL),
    COPIES("message/resource", on_resource, SV_LATE),
    {.on = "message/returned", .call = on_returned, .flags = SV_HOOK_OPEN},
    {.on = "session/unsent {" NS_CARBONS "}sent", .call = on_unsent, .band = SV_FIRST, .flags = SV_HOOK_GUARD},
    {.on = "session/unsent {" NS_CARBONS "}received", .call = on_unsent, .band = SV_FIRST, .flags = SV_HOOK_GUARD},
    {.on = "iq-set/self {" NS_CARBONS "}enable", .call = on_enable},
    {.on = "iq-set/self {" NS_CARBONS "}disable", .call = on_disable},
    {0},
};

static const sv_metric metrics[] = {
    {"carbons_sent", SV_METRIC_COUNTER, "Copies of messages that an account's other sessions sent."},
    {"carbons_received", SV_METRIC_COUNTER, "Copies of messages that an account's other sessions received."},
    {0},
};

SV_MODULE(.name = "carbons", .summary = "Message carbons (XEP-0280)", .features = NS_CARBONS " urn:xmpp:carbons:rules:0",
          .self_size = sizeof(carbons), .hooks = hooks, .metrics = metrics, .start = start, .after = "message")
