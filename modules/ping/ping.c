/* XMPP Ping (XEP-0199): the server and a user's own account answer that they are there.
 *
 * A ping to a session is passed on like any request; a ping to somebody else's account is not
 * answered for them, since that would tell strangers which accounts exist (RFC 6121 8.5.2.1.3,
 * XEP-0199 4.2). */
#include <stave/module.h>

#define NS_PING "urn:xmpp:ping"

static sv_verdict on_ping(sv_event *ev, void *self)
{
    (void)self;
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS_PING "}ping", .call = on_ping},
    {.on = "iq-get/self {" NS_PING "}ping", .call = on_ping},
    {0},
};

SV_MODULE(.name = "ping", .summary = "XMPP Ping (XEP-0199)", .features = NS_PING,
          .account_features = NS_PING, .hooks = hooks)
