/* XMPP Ping (XEP-0199): the server and a user's own account answer that they are there, and a silent client
 * is asked whether it is.
 *
 * A ping to a session is passed on like any request; a ping to somebody else's account is not
 * answered for them, since that would tell strangers which accounts exist (RFC 6121 8.5.2.1.3,
 * XEP-0199 4.2). */
#include <stave/module.h>

#define NS_PING "urn:xmpp:ping"
#define ID_START "ping-"

typedef struct ping_self {
    sv_mod *mod;
} ping_self;

static sv_status start(sv_mod *mod, void *self)
{
    ((ping_self *)self)->mod = mod;
    return SV_OK;
}

static sv_verdict on_ping(sv_event *ev, void *self)
{
    (void)self;
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

/* XEP-0199 4.1. The core ends the stream if nothing comes from it (RFC 6120 4.6.2); an error will do: a
 * client that does not know this namespace is there all the same. */
static sv_verdict on_silent(sv_event *ev, void *self)
{
    const ping_self *s = self;
    if (!sv->session(ev)) return SV_PASS; /* gone while others waited */
    const sv_str unique = sv->random_hex(ev, 8);
    sv_draft *iq = sv->draft(ev, SV_STR("iq"), SV_STR("jabber:client"));
    sv->set(iq, SV_STR("type"), SV_STR("get"));
    sv->set(iq, SV_STR("id"), sv->format(ev, ID_START "%.*s", (int)unique.n, unique.p));
    sv->set(iq, SV_STR("from"), sv->host(s->mod));
    (void)sv->child(iq, SV_STR("ping"), SV_STR(NS_PING));
    sv->push(ev, sv->session(ev), sv->freeze(ev, iq));
    return SV_PASS;
}

/* The answer to the above did its work when it came in. */
static sv_verdict on_answer(sv_event *ev, void *self)
{
    (void)self;
    const sv_str id = sv->attr(sv->root(ev), SV_STR("id"));
    const size_t n = sizeof ID_START - 1;
    if (id.n < n || memcmp(id.p, ID_START, n) != 0) return SV_PASS;
    return sv->consume(ev);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS_PING "}ping", .call = on_ping},
    {.on = "iq-get/self {" NS_PING "}ping", .call = on_ping},
    {.on = "session/silent", .call = on_silent},
    {.on = "iq-result/host", .call = on_answer, .flags = SV_HOOK_OPEN},
    {.on = "iq-error/host", .call = on_answer, .flags = SV_HOOK_OPEN},
    {0},
};

SV_MODULE(.name = "ping", .summary = "XMPP Ping (XEP-0199)", .features = NS_PING,
          .account_features = NS_PING, .self_size = sizeof(ping_self),
          .hooks = hooks, .start = start)
