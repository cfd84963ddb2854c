/* Module table, group "stream": elements that are no stanzas, counted sessions. */
#include <stave/stream.h>

#include "mods/mods_api.h"
#include "mods/mods_stream.h"
#include "xmpp/xmpp_stream.h"

#define MS_US INT64_C(1000)

static void stream_write(sv_event *ev, const sv_draft *element)
{
    SV_ASSERT(element != NULL);
    svi_x_write(ev, element);
}

static void stream_fail(sv_event *ev, const char *condition, const sv_draft *specific, sv_str text)
{
    SV_ASSERT(condition != NULL);
    svi_x_fail(ev, condition, specific, text.n > 0 ? svi_arena_str(svi_event_arena(ev), text).p : NULL);
}

static void stream_count(sv_event *ev, const sv_counting *how)
{
    sv_session *session = svi_xevent_of(ev)->session;
    SV_ASSERT(session != NULL && how->size >= sizeof *how);
    SV_ASSERT(how->keep_ms >= 0 && how->max_stanzas > 0 && how->max_bytes > 0 && how->ask_stanzas > 0 &&
              how->ask_bytes > 0 && how->ask_idle_ms > 0 && how->answer_ms > 0);
    const svi_counting counting = {
        .keep_us = how->keep_ms * MS_US,
        .max_stanzas = (size_t)how->max_stanzas,
        .max_bytes = (size_t)how->max_bytes,
        .ask_stanzas = (size_t)how->ask_stanzas,
        .ask_bytes = (size_t)how->ask_bytes,
        .ask_idle_us = how->ask_idle_ms * MS_US,
        .answer_us = how->answer_ms * MS_US,
    };
    svi_x_count(ev, session, &counting);
}

static bool stream_tally(const sv_session *session, sv_tally *tally_out)
{
    SV_ASSERT(tally_out->size >= sizeof *tally_out);
    svi_session_tally t;
    const bool is_counted = svi_session_tally_get(session, &t);
    *tally_out = (sv_tally){
        .size = tally_out->size,
        .is_kept = t.is_kept,
        .is_recovered = t.is_recovered,
        .received = t.received,
        .handled = t.handled,
        .sent = t.sent,
        .acked = t.acked,
        .waiting = (int64_t)t.waiting,
        .waiting_bytes = (int64_t)t.waiting_bytes,
        .away_since_ms = t.away_us / MS_US,
    };
    return is_counted;
}

static void stream_want_handled(sv_session *session, int64_t within_ms)
{
    svi_session_tally t;
    SV_ASSERT(within_ms > 0);
    if (!svi_session_tally_get(session, &t)) return;
    svi_session_want_handled(session, within_ms * MS_US);
}

static sv_status stream_acked(sv_session *session, uint32_t h)
{
    svi_session_tally t;
    return svi_session_tally_get(session, &t) ? svi_session_acked(session, h) : SV_ECLOSED;
}

/* For the stamps of what is late. */
typedef struct late {
    sv_event *ev;
    sv_late_fn stamp;
    void *self;
} late;

static const sv_stanza *stamp_late(void *ctx, const sv_stanza *stanza, int64_t since_us)
{
    const late *l = ctx;
    return l->stamp(l->ev, stanza, since_us / MS_US, l->self);
}

static sv_status stream_resume(sv_event *ev, sv_session *session, uint32_t h, sv_late_fn stamp)
{
    const svi_handler *handler = svi_event_handler(ev);
    late l = {.ev = ev, .stamp = stamp, .self = handler != NULL ? handler->self : NULL};
    return svi_x_resume(ev, session, h, stamp != NULL ? stamp_late : NULL, &l);
}

static int64_t stream_since_ms(const sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    return x->since_us > 0 ? x->since_us / MS_US : svi_api_now_ms();
}

const void *svi_stream_table(void)
{
    static const sv_stream_api api = {
        .size = sizeof api,
        .version = SV_STREAM_VERSION,
        .write = stream_write,
        .fail = stream_fail,
        .count = stream_count,
        .tally = stream_tally,
        .want_handled = stream_want_handled,
        .acked = stream_acked,
        .resume = stream_resume,
        .since_ms = stream_since_ms,
    };
    return &api;
}
