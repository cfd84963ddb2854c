/* What waits for a session by a module's word. */
#include "xmpp/xmpp_hold.h"

#include "base/base_log.h"
#include "xmpp/xmpp_recorder.h"

typedef struct held {
    struct held *next;
    const sv_stanza *stanza; /* a reference of its own */
    sv_str to;               /* replaces the stanza's own; .p NULL: does not */
    uint64_t entry;          /* open */
    int64_t since_us;        /* wall clock */
    size_t bytes;
    sv_str key;
} held;

struct svi_hold {
    sv_session *session;
    bool is_on;
    bool is_passing; /* what is sent now was asked about, or need not be */
    bool is_taken;   /* what is asked about now went or waits */
    svi_hold_limits limits;
    held *first, **end;
    size_t stanzas, bytes;
    svi_timer *timer; /* runs while anything waits */
    sv_str asked_to;  /* of the stanza that is asked about now */
};

/* --- what waits ------------------------------------------------------------------------------- */

static held *take_at(svi_hold *hold, held **at)
{
    held *h = *at;
    *at = h->next;
    if (*at == NULL) hold->end = at;
    SV_ASSERT(hold->stanzas > 0 && hold->bytes >= h->bytes);
    hold->stanzas--;
    hold->bytes -= h->bytes;
    if (hold->stanzas == 0) svi_timer_cancel(&hold->timer);
    return h;
}

static void held_free(held *h)
{
    svi_stanza_unref((sv_stanza **)(uintptr_t)&h->stanza);
    svi_str_free(&h->to);
    svi_str_free(&h->key);
    svi_free(h);
}

static void pass(svi_hold *hold, const sv_stanza *stanza, sv_str to, uint64_t entry)
{
    const bool outer = hold->is_passing;
    hold->is_passing = true;
    svi_session_send(hold->session, stanza, to, entry);
    hold->is_passing = outer;
}

static void flush(svi_hold *hold)
{
    while (hold->first != NULL) {
        held *h = take_at(hold, &hold->first);
        pass(hold, h->stanza, h->to, h->entry);
        held_free(h);
    }
}

static void grown_old(void *ctx)
{
    svi_hold *hold = ctx;
    hold->timer = NULL;
    flush(hold);
}

static void drop_same(svi_hold *hold, sv_str key)
{
    for (held **at = &hold->first; key.n > 0 && *at != NULL; at = &(*at)->next) {
        if (!sv_str_eq((*at)->key, key)) continue;
        held *old = take_at(hold, at);
        svi_recorder_dropped(hold->session, old->entry);
        svi_ledger_close(hold->session->server->ledger, old->entry, SVI_DROPPED, "held-replaced");
        held_free(old);
        return;
    }
}

static void keep(svi_hold *hold, const sv_stanza *stanza, uint64_t entry, sv_str key)
{
    svi_server *server = hold->session->server;
    drop_same(hold, key);
    held *h = svi_alloc(server->acct, sizeof *h);
    *h = (held){.stanza = svi_stanza_ref(stanza),
                .entry = entry,
                .since_us = server->plat->wall_us(server->plat->ctx),
                .bytes = svi_stanza_held_bytes(stanza),
                .key = key.n > 0 ? svi_str_dup(server->acct, key) : SV_STR_NONE};
    if (hold->asked_to.p != NULL) h->to = svi_str_dup(server->acct, hold->asked_to);
    *hold->end = h;
    hold->end = &h->next;
    hold->stanzas++;
    hold->bytes += h->bytes;
    if (hold->timer == NULL)
        hold->timer = svi_timer_start(server->timers, hold->limits.age_us, grown_old, hold);
    if (hold->stanzas >= hold->limits.stanzas || hold->bytes >= hold->limits.bytes) flush(hold);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void go(sv_event *ev)
{
    svi_hold *hold = svi_xevent_of(ev)->session->hold;
    const sv_stanza *stanza = svi_event_stanza(ev);
    const sv_str to = hold->asked_to;
    const uint64_t entry = svi_event_take_entry(ev);
    hold->is_taken = hold->is_taken || entry != 0;
    if (entry == 0) return;
    flush(hold);
    pass(hold, stanza, to, entry);
}

static void go_undisposed(sv_event *ev, const char *module)
{
    (void)module; /* the bus has logged it */
    go(ev);
}

static void over(sv_event *ev)
{
    svi_xevent_close(svi_xevent_of(ev));
}

static const svi_event_ops sending_ops = {
    .dropped = svi_x_dropped,
    .unclaimed = go,
    .undisposed = go_undisposed,
    .released = over,
    .canceled = over,
};

static void ask(svi_hold *hold, const sv_stanza *stanza, sv_str to, uint64_t entry)
{
    sv_session *session = hold->session;
    svi_passage passage = {
        .server = session->server,
        .from_host = session->host,
        .session = session,
        .stanza = stanza,
        .from = session->jid,
        .to = session->jid,
        .entry = entry,
        .kind = (int)svi_kind_of(stanza),
        .account_exists = true,
        .is_brief = true,
    };
    passage.to.resource = SV_STR_NONE;
    passage.to.full = passage.to.bare;
    const sv_str outer = hold->asked_to;
    const bool was_taken = hold->is_taken;
    hold->asked_to = to;
    hold->is_taken = false;
    svi_bus_fire(svi_xevent_open(&passage, &sending_ops, SVI_POINT_SESSION_SENDING));
    if (!hold->is_taken) svi_recorder_dropped(session, entry);
    hold->asked_to = outer;
    hold->is_taken = was_taken;
}

static bool is_anybody_there(const sv_session *session)
{
    size_t count = 0;
    const svi_hooks *hooks = session->host->hooks;
    if (hooks != NULL) (void)svi_hooks_at(hooks, SVI_POINT_SESSION_SENDING, &count);
    return count > 0;
}

bool svi_hold_takes(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry)
{
    svi_hold *hold = session->hold;
    if (hold == NULL || !hold->is_on || hold->is_passing) return false;
    if (svi_session_keeps(session, entry) || session->is_kicked) {
        flush(hold);
        return false;
    }
    if (!is_anybody_there(session)) { /* the module was taken away */
        svi_session_release(session);
        return false;
    }
    ask(hold, stanza, to, entry);
    return true;
}

sv_verdict svi_x_hold(sv_event *ev, sv_str key)
{
    if (svi_event_point_now(ev) != SVI_POINT_SESSION_SENDING) {
        SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", "only what goes to a session is held, at session/sending"));
        return SV_DONE;
    }
    svi_hold *hold = svi_xevent_of(ev)->session->hold;
    const uint64_t entry = svi_event_take_entry(ev);
    if (entry == 0) return SV_DONE;
    hold->is_taken = true;
    keep(hold, svi_event_stanza(ev), entry, key);
    return SV_DONE;
}

/* --- beginning and end ------------------------------------------------------------------------ */

void svi_session_hold(sv_session *session, const svi_hold_limits *limits)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(limits->stanzas > 0 && limits->bytes > 0 && limits->age_us > 0);
    if (session->hold == NULL) {
        session->hold = svi_alloc(session->server->acct, sizeof *session->hold);
        *session->hold = (svi_hold){.session = session, .asked_to = SV_STR_NONE};
        session->hold->end = &session->hold->first;
    }
    session->hold->is_on = true;
    session->hold->limits = *limits;
}

void svi_session_release(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->hold == NULL) return;
    session->hold->is_on = false;
    flush(session->hold);
}

size_t svi_session_held(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->hold != NULL ? session->hold->stanzas : 0;
}

/* Availability is of no use to anybody else; everything else comes back, as if it had been queued. */
static void end_one(sv_session *session, const held *h)
{
    if (svi_sender_of_availability(h->stanza).p != NULL)
        svi_ledger_close(session->server->ledger, h->entry, SVI_DROPPED, "held-until-the-end");
    else
        svi_unsent(session, h->stanza, h->since_us, svi_recorder_take_back(session, h->entry), h->entry);
}

void svi_hold_end(sv_session *session)
{
    svi_hold *hold = session->hold;
    if (hold == NULL) return;
    hold->is_on = false;
    while (hold->first != NULL) {
        held *h = take_at(hold, &hold->first);
        end_one(session, h);
        held_free(h);
    }
}

void svi_hold_free(sv_session *session)
{
    if (session->hold == NULL) return;
    SV_ASSERT(session->hold->first == NULL && session->hold->timer == NULL);
    svi_free(session->hold);
    session->hold = NULL;
}
