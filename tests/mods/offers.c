/* Offers what a host and an account may be and have beyond what disco knows, and what may not stand there. */
#include <stave/disco.h>
#include <stave/module.h>

#define NS "urn:stave:offers"

typedef struct offers {
    bool more; /* something was added */
} offers;

static sv_verdict on_host(sv_event *ev, void *self)
{
    static const char *const bad[] = {
        "", "text", "<feature/>", "<feature var='urn:a'><b/></feature>", "<identity type='a'/>",
        "<identity category='a'/>", "<item jid='a.example'/>", "<feature xmlns='urn:b' var='urn:c'/>",
        "<feature var='urn:d'/><feature var='urn:e'/>", "<feature var='urn:f'/></query><query>",
        "<x xmlns='jabber:x:data' type='result'/>", "<feature var='urn:g'>",
        "<x xmlns='jabber:x:data' type='result'><field var='urn:h'><value>i</value></field></x>",
    };
    const offers *me = self;
    const sv_str node = sv->subject(ev);
    if (sv_str_eq(node, SV_STR("n"))) {
        sv->offer(ev, SV_STR("<identity category='hierarchy' type='leaf'/>"));
        sv->offer(ev, SV_STR("<feature var='" NS "#of-node'/>"));
    }
    if (sv_str_eq(node, SV_STR("nameless"))) sv->offer(ev, SV_STR("<feature var='urn:a'/>"));
    if (node.n) return SV_PASS;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) sv->offer(ev, sv_str_of(bad[i]));
    sv->offer(ev, SV_STR("<identity category='pubsub' type='service' name='&lt;&amp;'/>"));
    sv->offer(ev, SV_STR("<identity category='pubsub' type='service' name='other'/>"));
    sv->offer(ev, SV_STR("<identity category='server' type='im' xml:lang='el' name='S'/>"));
    sv->offer(ev, SV_STR("<feature var='" NS "'/>"));
    sv->offer(ev, SV_STR("<feature var='" NS "'/>"));
    sv->offer(ev, SV_STR("<feature var='" SV_DISCO_INFO "'/>"));
    sv->offer(ev, SV_STR("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                         "<value>" NS "</value></field><field var='a'><value>1</value></field></x>"));
    sv->offer(ev, SV_STR("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                         "<value>" NS "</value></field><field var='b'><value>2</value></field></x>"));
    if (me->more) sv->offer(ev, SV_STR("<feature var='" NS "#more'/>"));
    return SV_PASS;
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    (void)self;
    if (sv->subject(ev).n) {
        if (!sv_str_eq(sv->subject(ev), SV_STR("n"))) return SV_PASS;
        sv->offer(ev, SV_STR("<identity category='pubsub' type='leaf'/>"));
        return SV_PASS;
    }
    sv->offer(ev, SV_STR("<identity category='account' type='registered' name='twice'/>"));
    sv->offer(ev, SV_STR("<identity category='pubsub' type='pep'/>"));
    const sv_str who = sv->from(ev)->bare;
    sv->offer(ev, sv->format(ev, "<feature var='" NS "#%.*s'/>", (int)who.n, who.p));
    return SV_PASS;
}

static sv_verdict on_items(sv_event *ev, void *self)
{
    (void)self;
    const bool of_node = sv->subject(ev).n > 0;
    if (of_node && !sv_str_eq(sv->subject(ev), SV_STR("n"))) return SV_PASS;
    sv->offer(ev, SV_STR("<item name='no address'/>"));
    sv->offer(ev, of_node ? SV_STR("<item jid='a.example' node='n/1'/>")
                          : SV_STR("<item jid='a.example' node='n' name='N'/>"));
    sv->offer(ev, SV_STR("<item jid='chat.example' name='again'/>"));
    return SV_PASS;
}

static sv_verdict on_more(sv_event *ev, void *self)
{
    offers *me = self;
    me->more = true;
    sv->fire(ev, SV_DISCO_CHANGED, NULL, SV_STR_NONE);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static const sv_hook hooks[] = {
    {.on = SV_DISCO_HOST, .call = on_host},
    {.on = SV_DISCO_ACCOUNT, .call = on_account},
    {.on = SV_DISCO_HOST_ITEMS, .call = on_items},
    {.on = SV_DISCO_ACCOUNT_ITEMS, .call = on_items},
    {.on = "iq-set/host {" NS "}more", .call = on_more},
    {0},
};

SV_MODULE(.name = "offers", .summary = "Offers things", .self_size = sizeof(offers),
          .hooks = hooks)
