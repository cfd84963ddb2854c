/* Messages to local accounts: which sessions get them (RFC 6121 8.5).
 *
 * All available sessions with a priority of 0 or more get a message to the bare address, whatever
 * its type allows; what finds no session is passed on, so that a module behind this one can keep
 * it. A message to a session on line needs no handler: the server delivers it. Only what calls are
 * made with (XEP-0353) goes from there to the account's other sessions, too. */
#include <stave/module.h>

#define BEGUN_PER_MS 1000u
#define NS_CALL "urn:xmpp:jingle-message:0"
#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_HINTS "urn:xmpp:hints"

static bool takes_messages(const sv_session *session)
{
    return sv->session_presence(session) && sv->session_priority(session) >= 0;
}

/* Delivers to every session that takes messages; says how many did. */
static size_t deliver_to_all(sv_event *ev, const sv_jid *account)
{
    size_t count = 0;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session))) {
        if (!takes_messages(session)) continue;
        (void)sv->deliver(ev, session);
        count++;
    }
    return count;
}

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)self;
    const sv_jid *to = sv->to(ev);
    const sv_str type = sv->type(ev);
    const bool to_lost_session = to->resource.n > 0;

    if (sv_str_eq(type, SV_STR("error")))
        return sv->drop(ev, "message-error-to-account"); /* 8.5.2.1.1 */
    if (sv_str_eq(type, SV_STR("groupchat"))) return sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
    if (sv_str_eq(type, SV_STR("headline"))) {
        if (to_lost_session || deliver_to_all(ev, to) == 0)
            return sv->drop(ev, "headline-to-nobody");
        return SV_DONE;
    }
    /* 8.5.3.2.1: of what was meant for a session that is gone, only chat goes on to the others */
    if (to_lost_session && !sv_str_eq(type, SV_STR("chat")))
        return sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
    return deliver_to_all(ev, to) > 0 ? SV_DONE : SV_PASS;
}

/* --- calls (XEP-0353) ----------------------------------------------------------------------- */

static bool is_of_call(const sv_event *ev)
{
    static const char *const names[] = {"propose", "ringing", "retract", "proceed", "reject",
                                        "finish",  "accept"}; /* the last one until 0353 0.4 */
    if (!sv_str_eq(sv->type(ev), SV_STR("chat"))) return false; /* XEP-0353 3 */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sv->find(sv->root(ev), sv_str_of(names[i]), SV_STR(NS_CALL))) return true;
    return false;
}

/* XEP-0353 3.4: what one device is told of a call, all have to know, since they ring, too. RFC 6121
 * 8.5.4 has D/A for chat to a full JID that matches. Not what an occupant of a room says to one of its
 * sessions there (XEP-0045 7.5). */
static sv_verdict on_call(sv_event *ev, void *self)
{
    (void)self;
    const sv_str ns_room = SV_STR("http://jabber.org/protocol/muc#user");
    sv_session *named = sv->session_find(ev, sv->to(ev)), *session = NULL;
    if (!named || !is_of_call(ev) || sv->find(sv->root(ev), SV_STR("x"), ns_room)) return SV_PASS;
    (void)sv->deliver(ev, named);
    while ((session = sv->session_next(ev, sv->to(ev), session)))
        if (session != named && takes_messages(session)) (void)sv->deliver(ev, session);
    return SV_DONE;
}

/* --- what is of no use later ---------------------------------------------------------------- */

/* A chat state by itself (XEP-0085 2, 5.7: maybe with the thread), and what its sender does not want stored anywhere (XEP-0334 4.2; 4.1 is about
 * archives alone, and what an archive leaves out is to arrive all the same). The offline module keeps neither. */
static bool is_fleeting(const sv_event *ev)
{
    const sv_node *root = sv->root(ev);
    bool has_state = false;
    if (sv->find(root, SV_STR("no-store"), SV_STR(NS_HINTS))) return true;
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child)) {
        const bool is_state = sv_str_eq(sv->ns(child), SV_STR(NS_CHATSTATES));
        if (!is_state && !sv_str_eq(sv->name(child), SV_STR("thread"))) return false;
        has_state = has_state || is_state;
    }
    return has_state;
}

static sv_verdict on_fleeting(sv_event *ev, void *self)
{
    (void)self;
    if (is_fleeting(ev)) sv->fleeting(ev);
    return SV_PASS;
}

/* --- what was never written to its session ------------------------------------------------- */

/* When a session began to take messages, in the order in which sessions did; 0 if it never has. */
typedef struct taker {
    uint64_t first, latest;
    bool takes;
} taker;

typedef struct message {
    sv_mod *mod;
    uint64_t begun; /* goes up each time that a session begins to take messages, over reloads, too */
} message;

static taker *taker_of(const message *me, sv_session *session)
{
    return sv->session_data(me->mod, session, sizeof(taker));
}

static sv_verdict on_presence(sv_event *ev, void *self)
{
    message *me = self;
    if (!sv->session(ev)) return SV_PASS; /* gone while others waited */
    taker *t = taker_of(me, sv->session(ev));
    const bool takes = takes_messages(sv->session(ev));
    sv_session *other = NULL; /* a clock that was set back does not make it the first */
    while ((other = sv->session_next(ev, sv->from(ev), other)))
        if (taker_of(me, other)->latest > me->begun) me->begun = taker_of(me, other)->latest;
    if (takes && !t->takes) t->latest = ++me->begun;
    if (t->first == 0) t->first = t->latest;
    t->takes = takes;
    return SV_PASS;
}

/* Which sessions still need a message that came back from one: all if it was meant for that one
 * alone. One to the bare address, or of a call, reached those that took messages before it did; a later one may
 * lack it, and rather sees a message twice than never. */
static bool lacks_it(const message *me, const sv_event *ev, sv_session *session)
{
    sv_session *broken = sv->session(ev);
    if (!broken || (sv->to(ev)->resource.n > 0 && !is_of_call(ev))) return true;
    return taker_of(me, session)->latest > taker_of(me, broken)->first;
}

static sv_verdict on_unsent(sv_event *ev, void *self)
{
    const message *me = self;
    if (!sv->is(sv->root(ev), SV_STR("message"), SV_STR("jabber:client"))) return SV_PASS;
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("error")) || sv_str_eq(type, SV_STR("groupchat")) ||
        sv_str_eq(type, SV_STR("headline")))
        return SV_PASS;
    size_t others = 0, given = 0;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->to(ev), session))) {
        if (session == sv->session(ev) || !takes_messages(session)) continue;
        others++;
        if (!lacks_it(me, ev, session)) continue;
        (void)sv->deliver(ev, session);
        given++;
    }
    if (given > 0) return SV_DONE;
    return others > 0 ? sv->drop(ev, "unsent-but-others-have-it") : SV_PASS;
}

/* Sessions keep their numbers over a reload, which forgets the last one given: time has gone on further than
 * the numbers, since fewer sessions begin in a millisecond. */
static sv_status start(sv_mod *mod, void *self)
{
    message *me = self;
    me->mod = mod;
    me->begun = (uint64_t)sv->now_ms() * BEGUN_PER_MS;
    return SV_OK;
}

/* Before anybody delivers a copy. */
#define FLEETING_HOOK(point, filter)                                                               \
    {                                                                                              \
        .on = point " {" filter, .call = on_fleeting, .band = SV_FIRST, .flags = SV_HOOK_OPEN      \
    }
#define FLEETING_HOOKS(point)                                                                      \
    FLEETING_HOOK(point, NS_CHATSTATES "}active"), FLEETING_HOOK(point, NS_CHATSTATES "}inactive"), \
        FLEETING_HOOK(point, NS_CHATSTATES "}composing"), FLEETING_HOOK(point, NS_CHATSTATES "}paused"), \
        FLEETING_HOOK(point, NS_CHATSTATES "}gone"), FLEETING_HOOK(point, NS_HINTS "}no-store")

static const sv_hook hooks[] = {
    FLEETING_HOOKS("message/out"), /* carbons for the sender's other devices */
    FLEETING_HOOKS("message/account"),
    FLEETING_HOOKS("message/self"),
    FLEETING_HOOKS("message/resource"),
    FLEETING_HOOKS("session/unsent"),
    /* copies are made of what is about to be handed out */
    {.on = "message/account", .call = on_message, .after = "archive policy-quiet carbons"},
    {.on = "message/self", .call = on_message, .after = "archive policy-quiet carbons"},
#define CALL_HOOK(name)                                                                            \
    {                                                                                              \
        .on = "message/resource {" NS_CALL "}" name, .call = on_call, .band = SV_LATE,             \
        .after = "carbons",                                                                        \
        .flags = SV_HOOK_OPEN /* the others hear nothing, the call comes through */                \
    }
    CALL_HOOK("propose"),
    CALL_HOOK("ringing"),
    CALL_HOOK("retract"),
    CALL_HOOK("proceed"),
    CALL_HOOK("reject"),
    CALL_HOOK("finish"),
    CALL_HOOK("accept"),
    {.on = "session/presence", .call = on_presence, .band = SV_FIRST},
    {.on = "session/unsent", .call = on_unsent},
    {0},
};

SV_MODULE(.name = "message", .summary = "Messages to the sessions of local accounts (RFC 6121 8.5)",
          .self_size = sizeof(message), .hooks = hooks, .start = start)
