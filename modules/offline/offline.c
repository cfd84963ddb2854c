/* Offline messages (XEP-0160): what finds no session is kept and delivered when one becomes available.
 *
 * A row per message; it goes when the message was handed over to a session, so a crash in between repeats a message and
 * never loses one. Stamped with XEP-0203. */
#include <stave/module.h>

#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_DELAY "urn:xmpp:delay"
#define NS_HINTS "urn:xmpp:hints"
#define DELIVERING "offline-delivering"

typedef struct offline {
    int64_t max_messages;
    sv_store *messages; /* localpart -> time and a random tail -> the stanza with its delay stamp */
    uint32_t count;     /* keeps the order of messages of one millisecond */
} offline;

/* XEP-0160 3: normal and chat, but not what holds only a chat state; XEP-0334 4.2: not what the sender marked. */
static bool is_worth_keeping(sv_event *ev)
{
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("error")) || sv_str_eq(type, SV_STR("groupchat")) ||
        sv_str_eq(type, SV_STR("headline")))
        return false;
    const sv_node *root = sv->root(ev);
    if (sv->find(root, SV_STR("no-store"), SV_STR(NS_HINTS))) return false;
    bool has_state = false;
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child)) {
        if (sv_str_eq(sv->ns(child), SV_STR(NS_CHATSTATES))) {
            has_state = true;
            continue;
        }
        if (!sv_str_eq(sv->name(child), SV_STR("thread"))) return true;
    }
    return !has_state;
}

static const sv_stanza *stamped(sv_event *ev)
{
    sv_draft *delay = sv->draft(ev, SV_STR("delay"), SV_STR(NS_DELAY));
    sv->set(delay, SV_STR("from"), sv->to(ev)->domain);
    sv->set(delay, SV_STR("stamp"), sv->stamp(ev, sv->now_ms()));
    sv->add_text(delay, SV_STR("Offline Storage"));
    return sv->with_child(ev, sv->stanza(ev), delay);
}

static void keep(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    offline *me = self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    if ((int64_t)sv->row_count(rows) >= me->max_messages) { /* XEP-0160 2, step 3 */
        (void)sv->refuse_text(ev, SV_SERVICE_UNAVAILABLE,
                              SV_STR("The recipient's offline queue is full"));
        return;
    }
    const sv_str tail = sv->random_hex(ev, 4);
    const sv_str key = sv->format(ev, "%013llx%08x%.*s", (unsigned long long)sv->now_ms(),
                                  (unsigned)me->count++, (int)tail.n, tail.p);
    const sv_str bytes = sv->stanza_bytes(ev, stamped(ev));
    if (sv->put(ev, me->messages, sv->to(ev)->node, key, bytes) != SV_OK) {
        (void)sv->refuse(ev, SV_NOT_ACCEPTABLE);
        return;
    }
    (void)sv->stored(ev);
}

static sv_verdict on_message(sv_event *ev, void *self)
{
    const offline *me = self;
    if (!is_worth_keeping(ev)) return sv->drop(ev, "offline-not-kept");
    sv->rows_load(ev, me->messages, sv->to(ev)->node, keep);
    return SV_LATER;
}

/* What was on its way to a session whose connection broke. */
static sv_verdict on_unsent(sv_event *ev, void *self)
{
    if (!sv->is(sv->root(ev), SV_STR("message"), SV_STR("jabber:client")) || !is_worth_keeping(ev))
        return SV_PASS;
    return on_message(ev, self);
}

static bool is_receiving(const sv_session *session)
{
    return sv->session_presence(session) && sv->session_priority(session) >= 0;
}

/* One session of the account delivers at a time, so that nothing is sent twice. */
static sv_session *receiver(sv_event *ev)
{
    sv_session *best = NULL, *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        if (sv->session_item(session, DELIVERING).p) return NULL;
        if (is_receiving(session) &&
            (!best || sv->session_priority(session) > sv->session_priority(best)))
            best = session;
    }
    return best;
}

static void hand_over(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    offline *me = self;
    sv_session *session = status == SV_OK ? receiver(ev) : NULL;
    if (session && sv->row_count(rows) > 0) {
        sv->session_set_item(session, DELIVERING, SV_STR("1"));
        sv_str key = SV_STR_NONE, bytes;
        while (sv->row_next(rows, &key, &bytes)) {
            const sv_stanza *stanza;
            if (sv->stanza_parse(ev, bytes, &stanza) != SV_OK) continue;
            sv->push_stored(ev, session, stanza, me->messages, sv->from(ev)->node, key);
        }
    }
    sv->pass(ev);
}

/* An account has a session that may take what was kept: the newly available one, or another when one has gone. */
static sv_verdict on_session(sv_event *ev, void *self)
{
    const offline *me = self;
    if (!receiver(ev)) return SV_PASS;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, hand_over);
    return SV_LATER;
}

static sv_verdict on_removed(sv_event *ev, void *self)
{
    const offline *me = self;
    (void)sv->del_owner(ev, me->messages, sv->from(ev)->node);
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    offline *me = self;
    return sv->store_open(mod, NULL, "messages", 1, &me->messages);
}

static const sv_hook hooks[] = {
    {.on = "message/account",
     .call = on_message,
     .band = SV_LATE,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "message/self",
     .call = on_message,
     .band = SV_LATE,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "session/unsent", .call = on_unsent, .band = SV_LATE},
    {.on = "session/presence", .call = on_session},
    {.on = "session/gone", .call = on_session},
    {.on = "account/removed", .call = on_removed},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(offline, max_messages, "offline_max_messages", "1000", "0", "1000000",
               "How many messages are kept for an account that is not on line; further ones are "
               "returned to their senders."),
    {0},
};

SV_MODULE(.name = "offline", .summary = "Offline messages (XEP-0160)", .features = "msgoffline",
          .self_size = sizeof(offline), .hooks = hooks, .options = options, .start = start)
