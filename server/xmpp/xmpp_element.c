/* Top-level elements that are no stanzas (RFC 6120 4.3, 4.8.3): passed to the modules at stream/element, and what those
 * may do with the stream. */
#include "base/base_log.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_stream.h"

/* --- the stream's events -------------------------------------------------------------------------- */

static void link_stream(svi_xevent *x, svi_stream *stream)
{
    x->stream = stream;
    x->stream_next = stream->xevents;
    if (x->stream_next != NULL) x->stream_next->stream_link = &x->stream_next;
    x->stream_link = &stream->xevents;
    stream->xevents = x;
}

static void unlink_stream(svi_xevent *x)
{
    if (x->stream_link != NULL) *x->stream_link = x->stream_next;
    if (x->stream_next != NULL) x->stream_next->stream_link = x->stream_link;
    x->stream_link = NULL;
    x->stream_next = NULL;
    x->stream = NULL;
}

void svi_xevent_forget_stream(svi_stream *stream)
{
    while (stream->xevents != NULL) unlink_stream(stream->xevents);
}

static svi_stream *open_stream(const svi_xevent *x)
{
    svi_stream *stream = x->stream;
    return stream != NULL && stream->step != SVI_STEP_CLOSING ? stream : NULL;
}

/* --- passing an element --------------------------------------------------------------------------- */

static void element_unclaimed(sv_event *ev)
{
    svi_stream *stream = open_stream(svi_xevent_of(ev));
    if (stream != NULL) (void)svi_on_stray(stream, svi_stanza_root(svi_event_stanza(ev)));
}

/* Who asked gets no answer any more. */
static void element_timeout(sv_event *ev)
{
    svi_stream *stream = open_stream(svi_xevent_of(ev));
    if (stream != NULL) (void)svi_stream_fail(stream, "internal-server-error", NULL);
}

/* The stream goes on: bound by a session that it has taken up, or where it was. */
static void element_released(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    svi_stream *stream = open_stream(x);
    if (stream != NULL && stream->step == SVI_STEP_ELEMENT) {
        svi_stream_enter(stream, stream->session != NULL ? SVI_STEP_READY : SVI_STEP_BIND);
        if (stream->session != NULL) svi_session_go_on(stream->session);
    } else if (stream != NULL) {
        svi_conn_credit(stream->conn, x->arrival.cost_bytes);
    }
    unlink_stream(x);
    svi_xevent_close(x);
}

static void element_canceled(sv_event *ev)
{
    svi_xevent *x = svi_xevent_of(ev);
    unlink_stream(x);
    svi_xevent_close(x);
}

static const svi_event_ops element_ops = {
    .unclaimed = element_unclaimed,
    .timeout = element_timeout,
    .released = element_released,
    .canceled = element_canceled,
};

static sv_jid sender_of(const svi_stream *stream)
{
    if (stream->session != NULL) return *svi_session_jid(stream->session);
    return svi_jid_make(stream->streams->scratch, stream->name, svi_host_domain(stream->host), SV_STR_NONE);
}

static void open_event(svi_stream *stream, const sv_stanza *element, size_t cost_bytes)
{
    svi_passage passage = {
        .server = stream->server,
        .from_host = stream->host,
        .session = stream->session,
        .stanza = element,
        .from = sender_of(stream),
        .account_exists = true,
        .arrival = {.cost_bytes = cost_bytes},
    };
    passage.to = svi_jid_make(stream->streams->scratch, stream->name, svi_host_domain(stream->host), SV_STR_NONE);
    sv_event *ev = svi_xevent_open(&passage, &element_ops, SVI_POINT_STREAM_ELEMENT);
    link_stream(svi_xevent_of(ev), stream);
    svi_bus_fire(ev);
}

void svi_stream_pass(svi_stream *stream, sv_stanza *take, size_t cost_bytes)
{
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    SV_ASSERT(stream->step == SVI_STEP_BIND || stream->step == SVI_STEP_READY);
    const svi_mark mark = svi_arena_mark(stream->streams->scratch);
    if (stream->session != NULL) svi_session_announce(stream->session);
    if (svi_stream_may_go_on(stream)) {
        if (stream->step == SVI_STEP_BIND) svi_stream_enter(stream, SVI_STEP_ELEMENT);
        open_event(stream, take, cost_bytes);
    }
    svi_arena_reset(stream->streams->scratch, mark);
    svi_stanza_unref(&take);
}

/* --- what a handler may do with the stream ---------------------------------------------------------- */

/* In the event's arena. */
typedef struct deed {
    svi_xevent *x;
    sv_stanza *element; /* NULL: none */
    sv_session *session;
    const char *condition, *text;
    bool asks; /* it is what the client is asked with to acknowledge */
} deed;

static deed *deed_new(sv_event *ev, const sv_draft *element)
{
    svi_xevent *x = svi_xevent_of(ev);
    deed *d = svi_arena_get(svi_event_arena(ev), sizeof *d);
    d->x = x;
    if (element != NULL)
        d->element = svi_draft_freeze(x->server->acct, svi_server_atoms(x->server), element);
    return d;
}

static void deed_drop(void *ctx)
{
    deed *d = ctx;
    if (d->element != NULL) svi_stanza_unref(&d->element);
}

/* The connection that is meant: the one of the event's element, or the one that its session has now. */
static svi_conn *conn_of(const svi_xevent *x)
{
    if (x->stream != NULL) return open_stream(x) != NULL ? x->stream->conn : NULL;
    if (x->session == NULL || x->session->is_kicked) return NULL;
    return x->session->conn;
}

static void write_now(void *ctx)
{
    deed *d = ctx;
    svi_conn *conn = conn_of(d->x);
    if (conn != NULL) svi_conn_send(conn, d->element, NULL, 0);
    if (conn != NULL && d->asks) svi_counted_asked(d->x->session);
    /* these, too, wait for one who does not read */
    if (conn != NULL && d->x->session != NULL) svi_session_bound(d->x->session, 0);
    deed_drop(d);
}

void svi_x_write(sv_event *ev, const sv_draft *element)
{
    deed *d = deed_new(ev, element);
    d->asks = svi_event_point_now(ev) == SVI_POINT_SESSION_UNACKED;
    svi_event_emit(ev, write_now, deed_drop, d);
}

static sv_str xml_of(const svi_xevent *x, const sv_stanza *element, svi_buf *buf)
{
    svi_buf_init(buf, x->server->acct);
    if (element != NULL) svi_stanza_write(buf, element, SVI_FLAVOUR_CLIENT, NULL);
    return svi_buf_str(buf);
}

static void fail_now(void *ctx)
{
    deed *d = ctx;
    const svi_conn *conn = conn_of(d->x);
    svi_stream *stream = conn != NULL ? svi_conn_ctx(conn) : NULL;
    svi_buf buf;
    const sv_str specific = xml_of(d->x, d->element, &buf);
    if (stream != NULL) (void)svi_stream_fail_with(stream, d->condition, specific, d->text);
    svi_buf_free(&buf);
    deed_drop(d);
}

void svi_x_fail(sv_event *ev, const char *condition, const sv_draft *specific, const char *text)
{
    deed *d = deed_new(ev, specific);
    d->condition = svi_arena_str(svi_event_arena(ev), sv_str_of(condition)).p;
    if (text != NULL) d->text = svi_arena_str(svi_event_arena(ev), sv_str_of(text)).p;
    svi_event_emit(ev, fail_now, deed_drop, d);
}

/* What follows on the wire is counted by the client, too: an element of the same event that says so goes out next. */
static void count_out(void *ctx)
{
    const deed *d = ctx;
    if (d->x->session == d->session && d->session != NULL) svi_session_count_out(d->session);
}

void svi_x_count(sv_event *ev, sv_session *session, const svi_counting *how)
{
    SV_ASSERT(svi_xevent_of(ev)->session == session);
    svi_session_count_in(session, how);
    deed *d = deed_new(ev, NULL);
    d->session = session;
    svi_event_emit(ev, count_out, NULL, d);
}

sv_status svi_x_resume(sv_event *ev, sv_session *session, uint32_t h, svi_stamp_fn stamp, void *ctx)
{
    svi_stream *stream = open_stream(svi_xevent_of(ev));
    if (stream == NULL || stream->step != SVI_STEP_ELEMENT || stream->session != NULL) return SV_ECLOSED;
    if (svi_session_host(session) != stream->login_host ||
        !sv_str_eq(svi_session_jid(session)->node, stream->name))
        return SV_EDENIED;
    const sv_status status = svi_session_take_up(session, stream->conn, h);
    if (status != SV_OK) return status;
    stream->session = session;
    svi_session_set_lang(session, sv_str_of(stream->lang));
    if (stamp != NULL) svi_session_stamp(session, stamp, ctx);
    return SV_OK;
}
