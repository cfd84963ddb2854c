/* Service discovery (XEP-0030): what the host and its accounts are and can do.
 *
 * Features are those that the enabled modules declare. An account answers its owner, and others who
 * see its presence; all others get what an unknown account gives (XEP-0030 8, RFC 6121 8.5.2.1.3).
 */
#include <stave/module.h>
#include <stave/roster.h>

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"

typedef struct disco {
    sv_mod *mod;
    sv_store *roster;
} disco;

static void add_feature(sv_draft *query, sv_str var)
{
    sv_draft *feature = sv->child(query, SV_STR("feature"), SV_STR_NONE);
    sv->set(feature, SV_STR("var"), var);
}

/* XEP-0030 registry; XEP-0175 5. */
static sv_str account_type(sv_event *ev)
{
    return sv->is_guest(ev, sv->to(ev)) ? SV_STR("anonymous") : SV_STR("registered");
}

static sv_verdict answer_info(sv_event *ev, disco *me, bool of_account)
{
    /* no nodes here: XEP-0030 3.2 */
    if (sv->attr(sv->payload(ev), SV_STR("node")).n) return sv->refuse(ev, SV_ITEM_NOT_FOUND);
    sv_draft *query = sv->reply(ev, SV_STR("query"), SV_STR(NS_INFO));
    sv_draft *identity = sv->child(query, SV_STR("identity"), SV_STR_NONE);
    sv->set(identity, SV_STR("category"), of_account ? SV_STR("account") : SV_STR("server"));
    sv->set(identity, SV_STR("type"), of_account ? account_type(ev) : SV_STR("im"));
    if (!of_account) sv->set(identity, SV_STR("name"), SV_STR("Stave"));
    sv_str feature;
    for (size_t i = 0; (feature = sv->feature_at(me->mod, of_account, i)).n; i++)
        add_feature(query, feature);
    return sv->send(ev);
}

static sv_verdict answer_items(sv_event *ev)
{
    if (sv->attr(sv->payload(ev), SV_STR("node")).n) return sv->refuse(ev, SV_ITEM_NOT_FOUND);
    (void)sv->reply(ev, SV_STR("query"), SV_STR(NS_ITEMS));
    return sv->send(ev);
}

static sv_verdict on_host_info(sv_event *ev, void *self)
{
    return answer_info(ev, self, false);
}

static sv_verdict on_self_info(sv_event *ev, void *self)
{
    return answer_info(ev, self, true);
}

static sv_verdict on_items(sv_event *ev, void *self)
{
    (void)self;
    return answer_items(ev);
}

static void answer_contact(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    sv_str record;
    const bool sees = status == SV_OK && sv->row(rows, sv->from(ev)->bare, &record) &&
                      (sv_roster_flags(record) & SV_ROSTER_FROM);
    if (!sees)
        (void)sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
    else if (sv->is(sv->payload(ev), SV_STR("query"), SV_STR(NS_INFO)))
        (void)answer_info(ev, self, true);
    else
        (void)answer_items(ev);
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    disco *me = self;
    if (sv->to(ev)->resource.n) return SV_PASS; /* for a session that is gone */
    /* XEP-0175 5: to whoever knows a guest's name, which nobody guesses */
    if (sv->is_guest(ev, sv->to(ev)))
        return sv->is(sv->payload(ev), SV_STR("query"), SV_STR(NS_INFO)) ? answer_info(ev, me, true)
                                                                         : answer_items(ev);
    sv->rows_load(ev, me->roster, sv->to(ev)->node, answer_contact);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    disco *me = self;
    me->mod = mod;
    return sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS_INFO "}query", .call = on_host_info},
    {.on = "iq-get/host {" NS_ITEMS "}query", .call = on_items},
    {.on = "iq-get/self {" NS_INFO "}query", .call = on_self_info},
    {.on = "iq-get/self {" NS_ITEMS "}query", .call = on_items},
    {.on = "iq-get/account {" NS_INFO "}query", .call = on_account},
    {.on = "iq-get/account {" NS_ITEMS "}query", .call = on_account},
    {0},
};

SV_MODULE(.name = "disco", .summary = "Service discovery (XEP-0030)",
          .features = NS_INFO " " NS_ITEMS, .account_features = NS_INFO " " NS_ITEMS,
          .self_size = sizeof(disco), .hooks = hooks, .start = start)
