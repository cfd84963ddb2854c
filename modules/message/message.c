/* Messages to local accounts: which sessions get them (RFC 6121 8.5).
 *
 * All available sessions with a priority of 0 or more get a message to the bare address, whatever its type allows; what finds no
 * session is passed on, so that a module behind this one can keep it. A message to a session on line needs no handler:
 * the server delivers it. */
#include <stave/module.h>

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

/* A message that was never written to its session goes to the account's other sessions if it was meant for this one alone; one to
 * the bare address reached those already. */
static sv_verdict on_unsent(sv_event *ev, void *self)
{
    (void)self;
    const sv_node *root = sv->root(ev);
    if (!sv->is(root, SV_STR("message"), SV_STR("jabber:client"))) return SV_PASS;
    const sv_str type = sv->type(ev);
    if (sv_str_eq(type, SV_STR("error")) || sv_str_eq(type, SV_STR("groupchat")) ||
        sv_str_eq(type, SV_STR("headline")))
        return SV_PASS;
    const sv_jid *to = sv->to(ev);
    bool others = false;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, to, session)))
        if (session != sv->session(ev) && takes_messages(session)) others = true;
    if (!others) return SV_PASS;
    if (to->resource.n == 0) return sv->drop(ev, "unsent-but-others-have-it");
    while ((session = sv->session_next(ev, to, session)))
        if (session != sv->session(ev) && takes_messages(session)) (void)sv->deliver(ev, session);
    return SV_DONE;
}

static const sv_hook hooks[] = {
    {.on = "message/account", .call = on_message},
    {.on = "message/self", .call = on_message},
    {.on = "session/unsent", .call = on_unsent},
    {0},
};

SV_MODULE(.name = "message", .summary = "Messages to the sessions of local accounts (RFC 6121 8.5)",
          .hooks = hooks)
