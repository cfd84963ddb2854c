/* Asks what the clients of sessions can do, as a module that notifies them does. */
#include <stave/caps.h>

#define NS "urn:stave:asks"

typedef struct asks {
    sv_mod *mod;
    sv_store *infos;
    int64_t known; /* occasions that found a record */
} asks;

/* <has jid='' var=''/>: whether the session's client has the feature, how many it has, and of how many
 * sessions that was told. */
static sv_verdict on_has(sv_event *ev, void *self)
{
    const asks *me = self;
    const sv_node *payload = sv->payload(ev);
    sv_jid jid;
    if (!sv->jid_parse(ev, sv->attr(payload, SV_STR("jid")), &jid))
        return sv->refuse(ev, SV_JID_MALFORMED);
    const sv_session *session = sv->session_find(ev, &jid);
    if (!session) return sv->refuse(ev, SV_ITEM_NOT_FOUND);
    const sv_str record = sv_caps_record(ev, me->infos, session);
    const bool has = sv_caps_has(record, sv->attr(payload, SV_STR("var")));
    sv_str feature = SV_STR_NONE;
    int64_t count = 0;
    while (sv_caps_next(record, &feature)) count++;
    sv_draft *out = sv->reply(ev, SV_STR("has"), SV_STR(NS));
    sv->set(out, SV_STR("record"), record.n ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("own"),
            sv->session_item(session, SV_CAPS_ITEM_OWN).n ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("has"), has ? SV_STR("yes") : SV_STR("no"));
    sv->set_int(out, SV_STR("count"), count);
    sv->set_int(out, SV_STR("told"), me->known);
    return sv->send(ev);
}

static sv_verdict on_known(sv_event *ev, void *self)
{
    asks *me = self;
    sv_jid jid;
    if (!sv->jid_parse(ev, sv->subject(ev), &jid) || !sv_str_eq(jid.bare, sv->from(ev)->bare))
        return SV_PASS;
    const sv_session *session = sv->session_find(ev, &jid);
    if (session && sv_caps_record(ev, me->infos, session).n) me->known++;
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    asks *me = self;
    me->mod = mod;
    return sv->store_open(mod, SV_CAPS_MODULE, SV_CAPS_STORE, SV_CAPS_SCHEMA, &me->infos);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS "}has", .call = on_has},
    {.on = SV_CAPS_KNOWN, .call = on_known},
    {0},
};

SV_MODULE(.name = "asks_caps", .summary = "Asks for capabilities", .self_size = sizeof(asks),
          .hooks = hooks, .start = start,
          .after = "?caps")
