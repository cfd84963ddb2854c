/* Client state indication (XEP-0352): while a client says that nobody looks at it, what does not matter waits, and only the
 * newest of what makes older things stale is kept. */
#include "csi.h"

typedef struct csi {
    sv_mod *mod;
    int64_t held_max, held_bytes, held_time_ms, rooms;
} csi;

/* --- what goes to a session ---------------------------------------------------------------- */

static sv_verdict on_sending(sv_event *ev, void *self)
{
    const csi *me = self;
    if (!sv->session_item(sv->session(ev), CSI_ITEM).p) return SV_PASS;
    const csi_worth worth = csi_worth_of(ev, (csi_rooms)me->rooms);
    if (!worth.waits) return SV_PASS;
    sv->metric_add(me->mod, 0, 1);
    return sv->hold(ev, worth.key);
}

/* --- states -------------------------------------------------------------------------------- */

static void become_active(sv_session *session)
{
    sv->session_set_item(session, CSI_ITEM, SV_STR_NONE);
    sv->session_release(session);
}

static void hold_back(const csi *me, sv_session *session)
{
    const sv_hold bounds = {.size = sizeof bounds,
                            .max_stanzas = (size_t)me->held_max,
                            .max_bytes = (size_t)me->held_bytes,
                            .max_ms = me->held_time_ms};
    (void)sv->session_hold(session, &bounds);
}

/* 5.1: what waits is on its way before the client's next stanza is looked at. Without a session nothing is sent. */
static sv_verdict on_active(sv_event *ev, void *self)
{
    (void)self;
    if (sv->session(ev)) become_active(sv->session(ev));
    return SV_DONE;
}

static sv_verdict on_inactive(sv_event *ev, void *self)
{
    if (!sv->session(ev)) return SV_DONE;
    sv->session_set_item(sv->session(ev), CSI_ITEM, SV_STR("inactive"));
    hold_back(self, sv->session(ev));
    return SV_DONE;
}

/* One that was inactive before the module or the server started anew still is. */
static sv_verdict on_bound(sv_event *ev, void *self)
{
    if (sv->session(ev) && sv->session_item(sv->session(ev), CSI_ITEM).p) hold_back(self, sv->session(ev));
    return SV_PASS;
}

/* 5.2: a stream that was resumed begins active. */
static sv_verdict on_back(sv_event *ev, void *self)
{
    (void)self;
    if (sv->session(ev)) become_active(sv->session(ev));
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    csi *me = self;
    me->mod = mod;
    return SV_OK;
}

static const sv_hook hooks[] = {
    {.on = "stream/element {" NS_CSI "}active", .call = on_active},
    {.on = "stream/element {" NS_CSI "}inactive", .call = on_inactive},
    {.on = "session/sending", .call = on_sending, .flags = SV_HOOK_OPEN},
    {.on = "session/bound", .call = on_bound, .flags = SV_HOOK_OPEN},
    {.on = "session/back", .call = on_back, .flags = SV_HOOK_OPEN},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(csi, held_max, "csi_held_max", "500", "1", "100000",
               "How many stanzas may wait for a session that is inactive; the next one lets all go."),
    SV_OPT_SIZE(csi, held_bytes, "csi_held_bytes", "128k", "4k", "16M", "How many bytes they may be together."),
    SV_OPT_PERIOD(csi, held_time_ms, "csi_held_time", "1h", "1m", "7d", "How long the oldest one may wait."),
    SV_OPT_ENUM(csi, rooms, "csi_groupchat", "all", "all mentions",
                "Which messages of rooms matter while a session is inactive: all, or those that mention the account's name."),
    {0},
};

static const sv_metric metrics[] = {
    {"csi_held", SV_METRIC_COUNTER, "Stanzas that waited since nobody looked at the client."},
    {0},
};

SV_MODULE(.name = "csi", .summary = "Client state indication (XEP-0352)", .stream_features = "<csi xmlns='" NS_CSI "'/>",
          .self_size = sizeof(csi), .hooks = hooks, .options = options, .metrics = metrics, .start = start)
