/* The module table of a policy that is compared with another. Whoever is called for an event whose outcome is asked for has it noted;
 * then the live version goes on with the table's own function, and the shadow with nothing, or with its rows aside. */
#include "mods/mods_api.h"
#include "mods/mods_shadow_impl.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_hold.h"

#include <stdio.h>

#include "base/base_log.h"

/* --- notes ------------------------------------------------------------------------------------------- */

static bool is_shadow(const sv_event *ev)
{
    return svi_rehearsal_of(ev) != NULL;
}

static svi_outcome *outcome_of(const sv_event *ev)
{
    return svi_xevent_of(ev)->outcome;
}

static uint64_t hash_of(uint64_t h, sv_str bytes)
{
    h ^= UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes.n; i++) h = (h ^ (uint8_t)bytes.p[i]) * UINT64_C(1099511628211);
    return h ^ bytes.n;
}

/* What is said beyond the verdict's name takes part in the comparison, and is never shown. */
static void note_content(const sv_event *ev, sv_str bytes)
{
    svi_outcome *o = outcome_of(ev);
    if (o != NULL) o->content = hash_of(o->content, bytes);
}

static void note_stanza(sv_event *ev, const sv_stanza *stanza)
{
    if (outcome_of(ev) != NULL) note_content(ev, svi_api_stanza_bytes(ev, stanza));
}

static void note_draft(sv_event *ev, const sv_draft *draft)
{
    if (outcome_of(ev) != NULL && draft != NULL) note_stanza(ev, svi_api_freeze(ev, draft));
}

static void note(const sv_event *ev, const char *verdict, const char *what)
{
    svi_outcome *o = outcome_of(ev);
    if (o != NULL) (void)snprintf(o->verdict, sizeof o->verdict, "%s%s%s", verdict, what[0] != '\0' ? " " : "", what);
}

static void note_send(const sv_event *ev)
{
    if (outcome_of(ev) != NULL) outcome_of(ev)->sends++;
}

static void note_change(const sv_event *ev)
{
    if (outcome_of(ev) != NULL) outcome_of(ev)->changes++;
}

static size_t add(char text[SVI_VERDICT_BYTES], size_t n, const char *what, unsigned count)
{
    if (count == 0 || n >= SVI_VERDICT_BYTES) return n;
    return n + (size_t)snprintf(text + n, SVI_VERDICT_BYTES - n, ", %s %u", what, count);
}

void svi_outcome_text(const svi_outcome *o, const svi_script_end *end, char text[SVI_VERDICT_BYTES])
{
    const char *verdict = o->verdict;
    if (verdict[0] == '\0') verdict = end->verdict == SV_DONE ? "done" : "pass";
    if (end->error != NULL) verdict = "error";
    size_t n = (size_t)snprintf(text, SVI_VERDICT_BYTES, "%s%s", o->replaces ? "replace, " : "", verdict);
    n = add(text, n, "sends", o->sends);
    n = add(text, n, "changes", o->changes);
    (void)add(text, n, "offers", o->offers);
}

/* --- verdicts ---------------------------------------------------------------------------------------- */

static sv_verdict t_send(sv_event *ev)
{
    note(ev, "reply", "");
    note_draft(ev, svi_xevent_of(ev)->answer);
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_send(ev);
}

static sv_verdict t_refuse_text(sv_event *ev, sv_cond cond, sv_str text)
{
    note(ev, "refuse", svi_cond_name(cond));
    note_content(ev, text);
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_refuse(ev, cond, text);
}

static sv_verdict t_refuse(sv_event *ev, sv_cond cond)
{
    return t_refuse_text(ev, cond, SV_STR_NONE);
}

static sv_verdict t_refuse_with(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific)
{
    note(ev, "refuse", svi_cond_name(cond));
    note_content(ev, type);
    note_draft(ev, specific);
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_refuse_with(ev, cond, type, specific);
}

static sv_verdict t_drop(sv_event *ev, const char *rule)
{
    note(ev, "drop", rule);
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_drop(ev, rule);
}

static sv_verdict t_consume(sv_event *ev)
{
    note(ev, "consume", "");
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_consume(ev);
}

static sv_verdict t_stored(sv_event *ev)
{
    note(ev, "stored", "");
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_stored(ev);
}

static sv_verdict t_hold(sv_event *ev, sv_str key)
{
    note(ev, "hold", "");
    note_content(ev, key);
    return is_shadow(ev) ? svi_x_end(ev) : svi_x_hold(ev, key);
}

/* To which sessions counts, not in which order. There may be more, so a waiting event of a shadow ends with its handler. */
static sv_verdict t_deliver(sv_event *ev, sv_session *session)
{
    svi_outcome *o = outcome_of(ev);
    note(ev, "deliver", "");
    if (o != NULL) o->content += hash_of(0, svi_session_jid(session)->full);
    return is_shadow(ev) ? SV_DONE : svi_x_deliver(ev, session);
}

/* In a shadow as well: nobody else has its event. */
static void t_replace(sv_event *ev, const sv_stanza *stanza)
{
    if (outcome_of(ev) != NULL) outcome_of(ev)->replaces = true;
    note_stanza(ev, stanza);
    svi_x_replace(ev, stanza);
}

/* --- sending, occasions ------------------------------------------------------------------------------ */

static void t_push(sv_event *ev, sv_session *session, const sv_stanza *stanza)
{
    note_send(ev);
    if (!is_shadow(ev)) svi_api_push(ev, session, stanza);
}

static void t_push_copy(sv_event *ev, sv_session *session, const sv_stanza *stanza)
{
    note_send(ev);
    if (!is_shadow(ev)) svi_x_push_copy(ev, session, stanza);
}

static void t_push_stored(sv_event *ev, sv_session *session, const sv_stanza *stanza, sv_store *store, sv_str owner, sv_str key)
{
    note_send(ev);
    if (is_shadow(ev))
        svi_aside_del(svi_trial_aside(store->mod), store->map, owner, key);
    else
        svi_api_push_stored(ev, session, stanza, store, owner, key);
}

static void t_route(sv_event *ev, const sv_stanza *stanza)
{
    note_send(ev);
    if (!is_shadow(ev)) svi_x_route(ev, stanza);
}

static void t_route_unasked(sv_event *ev, const sv_stanza *stanza)
{
    note_send(ev);
    if (!is_shadow(ev)) svi_x_route_unasked(ev, stanza);
}

static void t_fire(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    note_change(ev);
    if (!is_shadow(ev)) svi_api_fire(ev, on, account, subject);
}

static void t_fire_after(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    note_change(ev);
    if (!is_shadow(ev)) svi_api_fire_after(ev, on, account, subject);
}

static void t_set_presence(sv_event *ev, sv_session *session, const sv_stanza *presence, int priority)
{
    note_change(ev);
    if (!is_shadow(ev)) svi_api_session_set_presence(ev, session, presence, priority);
}

static void t_offer(sv_event *ev, sv_str line)
{
    if (outcome_of(ev) != NULL) outcome_of(ev)->offers++;
    note_content(ev, line);
    if (!is_shadow(ev)) svi_x_offer(ev, line);
}

/* Whoever offers may do more than that, so a shadow asks nobody. */
static sv_str t_gather(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    if (!is_shadow(ev)) return svi_api_gather(ev, on, account, subject);
    if (outcome_of(ev) != NULL) outcome_of(ev)->is_unknown = true;
    return SV_STR_NONE;
}

/* --- stores of a shadow ------------------------------------------------------------------------------ */

/* What the store would say at once. */
static sv_status may_put(const sv_event *ev, const sv_store *store, sv_str owner, size_t key_bytes, size_t value_bytes)
{
    svi_host *host = store->mod->group->host;
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    if (svi_guest_is(host, owner) || svi_host_is_stale(host, owner, svi_event_number(ev))) return SV_EDENIED;
    return owner.n > SVI_OWNER_MAX || key_bytes > SVI_KEY_MAX || value_bytes > SVI_VALUE_MAX ? SV_ELIMIT : SV_OK;
}

static sv_status s_put(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_str value)
{
    const sv_status status = may_put(ev, store, owner, key.n, value.n);
    if (status == SV_OK) svi_aside_put(svi_trial_aside(store->mod), store->map, owner, key, value);
    return status;
}

static sv_status s_del(sv_event *ev, sv_store *store, sv_str owner, sv_str key)
{
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    svi_aside_del(svi_trial_aside(store->mod), store->map, owner, key);
    return SV_OK;
}

static sv_status s_del_owner(sv_event *ev, sv_store *store, sv_str owner)
{
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    svi_aside_del_owner(svi_trial_aside(store->mod), store->map, owner);
    return SV_OK;
}

/* Nothing is kept in memory for a shadow. */
static void s_rows_keep(sv_event *ev, sv_store *store, sv_session *session, sv_rows_fn done)
{
    svi_api_rows_load(ev, store, svi_session_jid(session)->node, done);
}

static void s_rows_hold(sv_event *ev, sv_store *store, sv_str owner, sv_session *session)
{
    (void)ev;
    (void)store;
    (void)owner;
    (void)session;
}

/* --- what else a shadow does not do ------------------------------------------------------------------ */

static void s_set_item(sv_session *session, const char *name, sv_str value)
{
    (void)session;
    (void)name;
    (void)value;
}

static sv_status s_session_hold(sv_session *session, const sv_hold *bounds)
{
    (void)session;
    (void)bounds;
    return SV_OK;
}

static void s_session_release(sv_session *session)
{
    (void)session;
}

static sv_status s_host_set_item(sv_mod *mod, const char *name, sv_str value)
{
    (void)mod;
    (void)name;
    (void)value;
    return SV_OK;
}

static sv_status s_set_stream_feature(sv_mod *mod, sv_str xml)
{
    (void)mod;
    (void)xml;
    return SV_OK;
}

static sv_status s_sweep(sv_mod *mod, sv_store *store, int64_t period_ms)
{
    (void)mod;
    (void)store;
    (void)period_ms;
    return SV_OK;
}

static sv_status s_overlay(sv_mod *mod, sv_store *store, const sv_overlay *overlay)
{
    (void)mod;
    (void)store;
    (void)overlay;
    return SV_EDENIED;
}

static void s_overlay_changed(sv_store *store)
{
    (void)store;
}

static void s_overlay_differences(sv_event *ev, sv_store *store, sv_str owner, sv_difference_fn each)
{
    (void)ev;
    (void)store;
    (void)owner;
    (void)each;
}

static sv_status s_auth_register(sv_mod *mod, const sv_auth *auth)
{
    (void)mod;
    (void)auth;
    return SV_EDENIED;
}

void svi_shadow_tables_fill(svi_shadow *shadow)
{
    sv_api *live = &shadow->live_api, *mine = &shadow->my_api;
    *live = *svi_mods_api();
    live->send = t_send;
    live->refuse = t_refuse;
    live->refuse_text = t_refuse_text;
    live->refuse_with = t_refuse_with;
    live->drop = t_drop;
    live->consume = t_consume;
    live->stored = t_stored;
    live->deliver = t_deliver;
    live->hold = t_hold;
    live->replace = t_replace;
    live->push = t_push;
    live->push_copy = t_push_copy;
    live->push_stored = t_push_stored;
    live->route = t_route;
    live->route_unasked = t_route_unasked;
    live->fire = t_fire;
    live->fire_after = t_fire_after;
    live->session_set_presence = t_set_presence;
    live->offer = t_offer;
    live->gather = t_gather;
    *mine = *live;
    mine->put = s_put;
    mine->del = s_del;
    mine->del_owner = s_del_owner;
    mine->rows_keep = s_rows_keep;
    mine->rows_hold = s_rows_hold;
    mine->session_set_item = s_set_item;
    mine->session_hold = s_session_hold;
    mine->session_release = s_session_release;
    mine->host_set_item = s_host_set_item;
    mine->set_stream_feature = s_set_stream_feature;
    mine->sweep = s_sweep;
    mine->begin = svi_trial_begin;
    mine->store_overlay = s_overlay;
    mine->overlay_changed = s_overlay_changed;
    mine->overlay_differences = s_overlay_differences;
    mine->auth_register = s_auth_register;
}
