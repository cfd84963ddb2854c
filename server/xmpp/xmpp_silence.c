/* Bound streams whose peer is silent (RFC 6120 4.6): asked whether it is still there, then given up.
 *
 * The kernel notices a dead connection by itself (net_listen.c); this notices a peer that is gone behind
 * a proxy, or hangs. White space counts as a sign of life. */
#include "base/base_log.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_stream.h"

static void on_time(void *ctx);

static void look_again(svi_stream *stream, int64_t in_us)
{
    stream->step_timer =
        svi_timer_start(svi_server_timers(stream->server), in_us, on_time, stream);
}

/* The modules on the host know how; without one that does, a space at least lets a connection fail that
 * is dead (4.6.1), and no answer is due. */
static void ask(svi_stream *stream, int64_t now_us)
{
    const svi_limits *limits = svi_server_limits(stream->server);
    size_t count;
    (void)svi_hooks_at(stream->host->hooks, SVI_POINT_SESSION_SILENT, &count);
    look_again(stream, count > 0 ? limits->answer_us : limits->idle_us); /* what follows may end it */
    if (count == 0) {
        svi_conn_write(stream->conn, SV_STR(" "));
        return;
    }
    stream->asked_us = now_us;
    svi_occasion(stream->host, SVI_POINT_SESSION_SILENT, NULL, stream->session, NULL, SV_STR_NONE,
                 NULL);
}

/* 4.6.2, 4.9.3.4. */
static void give_up(svi_stream *stream)
{
    SV_LOG(SV_INFO, "stream-limit", LF_TXT("peer", stream->peer), LF_TXT("limit", "silence"),
           LF_STR("jid", svi_session_jid(stream->session)->full));
    (void)svi_stream_fail(stream, "connection-timeout", NULL);
}

static void on_time(void *ctx)
{
    svi_stream *stream = ctx;
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    SV_ASSERT(stream->step == SVI_STEP_READY);
    stream->step_timer = NULL;
    const svi_plat *plat = svi_server_plat(stream->server);
    const int64_t now_us = plat->mono_us(plat->ctx), heard_us = svi_conn_heard_us(stream->conn);
    if (stream->asked_us != 0 && heard_us < stream->asked_us) {
        give_up(stream);
        return;
    }
    stream->asked_us = 0;
    const int64_t left_us = heard_us + svi_server_limits(stream->server)->idle_us - now_us;
    if (left_us > 0)
        look_again(stream, left_us);
    else
        ask(stream, now_us);
}

void svi_stream_listen(svi_stream *stream)
{
    const int64_t idle_us = svi_server_limits(stream->server)->idle_us;
    if (idle_us > 0) look_again(stream, idle_us);
}
