/* Module table: sessions, and what is sent to one of them. */
#include "mods/mods_api.h"
#include "xmpp/xmpp_hold.h"

sv_session *svi_api_session(const sv_event *ev)
{
    return svi_xevent_of(ev)->session;
}

sv_session *svi_api_session_next(sv_event *ev, const sv_jid *account, sv_session *after)
{
    SV_ASSERT(account != NULL);
    return svi_session_next(svi_xevent_of(ev)->server, account->bare, after);
}

sv_session *svi_api_session_find(sv_event *ev, const sv_jid *full)
{
    SV_ASSERT(full != NULL);
    return svi_session_find(svi_xevent_of(ev)->server, full->full);
}

/* The occasion is an event of its own: its handlers may have to wait for the store (the one that delivers what was kept). */
void svi_api_session_set_presence(sv_event *ev, sv_session *session, const sv_stanza *presence,
                                  int priority)
{
    SV_ASSERT(svi_event_is_open(ev));
    svi_session_set_presence(session, presence, priority);
    svi_occasion(svi_session_host(session), SVI_POINT_SESSION_PRESENCE, NULL, session, presence,
                 SV_STR_NONE, NULL);
}

void *svi_api_session_data(sv_mod *mod, sv_session *session, size_t bytes)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(svi_session_host(session) == mod->group->host);
    return svi_session_data(session, &mod->memory->blocks, bytes);
}

sv_status svi_api_session_hold(sv_session *session, const sv_hold *bounds)
{
    SV_ASSERT(session != NULL && bounds != NULL);
    if (bounds->size < sizeof *bounds || bounds->max_stanzas == 0 || bounds->max_bytes == 0 || bounds->max_ms < 1 ||
        bounds->max_ms > INT64_MAX / 1000)
        return SV_EINVAL;
    const svi_hold_limits limits = {
        .stanzas = bounds->max_stanzas, .bytes = bounds->max_bytes, .age_us = bounds->max_ms * 1000};
    svi_session_hold(session, &limits);
    return SV_OK;
}

void svi_api_push(sv_event *ev, sv_session *session, const sv_stanza *stanza)
{
    SV_ASSERT(session != NULL && stanza != NULL);
    svi_x_push(ev, session, stanza, SVI_MADE_PUSH);
}

void svi_api_push_stored(sv_event *ev, sv_session *session, const sv_stanza *stanza,
                         sv_store *store, sv_str owner, sv_str key)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    SV_ASSERT(session != NULL && stanza != NULL);
    svi_x_push_stored(ev, session, stanza, store->map, owner, key);
}
