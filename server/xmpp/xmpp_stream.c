/* Life of client streams: the table of steps with their deadlines, what connections report,
 * errors, ends, strangers. */
#include "xmpp/xmpp_stream.h"
#include "base/base_log.h"

#define ID_BYTES 16
#define REFUSALS_TOLD 10u /* of one network in a minute */
#define LIMIT_MS 500u /* for a stranger that makes room */

typedef svi_step (*step_fn)(svi_stream *stream, const sv_node *element);

typedef struct step {
    const char *name;
    step_fn on_element; /* NULL: none can come */
    size_t deadline;    /* place of the duration in svi_limits; 0: none */
    bool goes_on;       /* entering it lets the connection parse on */
} step;

#define DEADLINE(limit) offsetof(svi_limits, limit)

static const step steps[SVI_STEPS] = {
    [SVI_STEP_HEADER] = {"header", svi_on_header, DEADLINE(header_us), false},
    [SVI_STEP_FEATURES] = {"features", svi_on_features, DEADLINE(features_us), true},
    [SVI_STEP_TLS] = {"tls", NULL, DEADLINE(header_us), false},
    [SVI_STEP_SASL] = {"sasl", svi_on_sasl, DEADLINE(features_us), true},
    [SVI_STEP_KEYS] = {"keys", NULL, DEADLINE(login_us), false},
    [SVI_STEP_PENALTY] = {"penalty", NULL, DEADLINE(login_us), false},
    [SVI_STEP_BIND] = {"bind", svi_on_bind, DEADLINE(bind_us), true},
    [SVI_STEP_ELEMENT] = {"element", NULL, DEADLINE(bind_us), false},
    [SVI_STEP_READY] = {"ready", NULL, 0, false},
    [SVI_STEP_CLOSING] = {"closing", NULL, 0, false},
};

/* --- lists ----------------------------------------------------------------------------------- */

static void list_all(svi_stream *stream)
{
    svi_streams *streams = stream->streams;
    stream->all.prev = streams->last;
    if (streams->last)
        streams->last->all.next = stream;
    else
        streams->first = stream;
    streams->last = stream;
    streams->count++;
}

static void unlist_all(svi_stream *stream)
{
    svi_streams *streams = stream->streams;
    if (stream->all.prev)
        stream->all.prev->all.next = stream->all.next;
    else
        streams->first = stream->all.next;
    if (stream->all.next)
        stream->all.next->all.prev = stream->all.prev;
    else
        streams->last = stream->all.prev;
    streams->count--;
}

/* --- steps ----------------------------------------------------------------------------------- */

static void on_deadline(svi_stream *stream)
{
    SV_LOG(SV_INFO, "stream-limit", LF_TXT("peer", stream->peer), LF_TXT("limit", "deadline"),
           LF_TXT("step", steps[stream->step].name));
    (void)svi_stream_fail(stream, "connection-timeout", NULL);
}

static void on_step_timer(void *ctx)
{
    svi_stream *stream = ctx;
    stream->step_timer = NULL;
    on_deadline(stream);
}

static void on_login_timer(void *ctx)
{
    svi_stream *stream = ctx;
    stream->login_timer = NULL;
    on_deadline(stream);
}

static int64_t deadline_us(const svi_stream *stream, svi_step next)
{
    int64_t us;
    memcpy(&us, (const char *)svi_server_limits(stream->server) + steps[next].deadline, sizeof us);
    return us;
}

void svi_stream_enter(svi_stream *stream, svi_step next)
{
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    SV_ASSERT(stream->step != SVI_STEP_CLOSING || next == SVI_STEP_CLOSING);
    svi_timers *timers = svi_server_timers(stream->server);
    svi_timer_cancel(&stream->step_timer);
    stream->step = next;
    if (next >= SVI_STEP_BIND) svi_timer_cancel(&stream->login_timer);
    if (next == SVI_STEP_READY) svi_strangers_known(stream->streams->strangers, stream);
    if (next == SVI_STEP_READY) svi_stream_listen(stream);
    if (steps[next].deadline)
        stream->step_timer =
            svi_timer_start(timers, deadline_us(stream, next), on_step_timer, stream);
    if (steps[next].goes_on) svi_conn_go(stream->conn);
}

bool svi_stream_may_login(const svi_stream *stream)
{
    return stream->is_secure || stream->is_loopback || !svi_host_requires_tls(stream->host);
}

/* --- sending --------------------------------------------------------------------------------- */

void svi_stream_send(svi_stream *stream, svi_buf *take)
{
    svi_conn_write(stream->conn, svi_buf_str(take));
    svi_buf_free(take);
}

/* Who we are where the peer named nobody we know (RFC 6120 4.9.1.3). */
static sv_str default_domain(const svi_stream *stream)
{
    svi_host *first = svi_host_next(stream->server, NULL);
    return first ? svi_host_domain(first) : SV_STR_NONE;
}

/* RFC 6120 4.7: `to` only if the peer said who it is; ids are made of random bytes, a new one
 * for each header. */
void svi_stream_open(svi_stream *stream, svi_buf *buf, bool with_version)
{
    const svi_plat *plat = svi_server_plat(stream->server);
    char raw[ID_BYTES];
    svi_buf id;
    svi_buf_init(&id, svi_server_acct(stream->server));
    plat->random(plat->ctx, raw, sizeof raw);
    svi_hex_put(&id, (sv_str){raw, sizeof raw});
    const svi_stream_head head = {
        .from = stream->host ? svi_host_domain(stream->host) : default_domain(stream),
        .to = stream->from,
        .id = svi_buf_str(&id),
        .version = with_version ? SV_STR("1.0") : SV_STR_NONE,
        .lang = SV_STR("en"),
    };
    stream->framing->open(buf, &head);
    stream->is_open = true;
    svi_buf_free(&id);
}

/* Whether XML can be sent: not while a TLS handshake is due or runs (RFC 6120 5.4.3.1). */
static bool can_write(const svi_stream *stream)
{
    if (stream->step == SVI_STEP_TLS) return false;
    return stream->is_secure || stream->tls_mode != SVI_TLS_DIRECT;
}

static svi_step close_with(svi_stream *stream, svi_buf *take, unsigned within_ms)
{
    svi_auth_drop(stream);
    svi_timer_cancel(&stream->penalty_timer);
    within_ms = svi_strangers_leave(stream->streams->strangers, stream, within_ms);
    svi_timer_cancel(&stream->cert_timer);
    svi_conn_close(stream->conn, svi_buf_str(take), within_ms);
    svi_buf_free(take);
    stream->is_open = false;
    svi_stream_enter(stream, SVI_STEP_CLOSING);
    return SVI_STEP_CLOSING;
}

static void put_error(const svi_stream *stream, svi_buf *buf, const char *condition,
                      sv_str specific, const char *text)
{
    svi_buf_printf(buf, "<stream:error%s><%s xmlns='" SVI_NS_STREAMS "'/>",
                   stream->framing->declaration, condition);
    if (text) {
        svi_buf_put(buf, SV_STR("<text xmlns='" SVI_NS_STREAMS "' xml:lang='en'>"));
        svi_write_text(buf, sv_str_of(text));
        svi_buf_put(buf, SV_STR("</text>"));
    }
    svi_buf_put(buf, specific);
    svi_buf_put(buf, SV_STR("</stream:error>"));
}

static void log_error(const svi_stream *stream, const char *condition, const char *text)
{
    if (stream->step == SVI_STEP_CLOSING) return;
    SV_LOG(SV_INFO, "stream-error", LF_TXT("peer", stream->peer), LF_TXT("error", condition),
           LF_TXT("step", steps[stream->step].name), LF_TXT("text", text ? text : ""));
}

static svi_step fail_within(svi_stream *stream, const char *condition, sv_str specific,
                            const char *text, unsigned within_ms)
{
    if (stream->step == SVI_STEP_CLOSING) return SVI_STEP_CLOSING;
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    if (!can_write(stream)) return close_with(stream, &buf, 0);
    if (!stream->is_open) svi_stream_open(stream, &buf, !stream->is_old);
    put_error(stream, &buf, condition, specific, text);
    stream->framing->close(&buf);
    return close_with(stream, &buf, within_ms);
}

/* These say nothing of the peer but that the connection can't go on: it may be back. */
static bool is_cut(const char *condition)
{
    return strcmp(condition, "connection-timeout") == 0 || strcmp(condition, "system-shutdown") == 0;
}

svi_step svi_stream_fail_with(svi_stream *stream, const char *condition, sv_str specific, const char *text)
{
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    log_error(stream, condition, text);
    if (stream->step != SVI_STEP_CLOSING) stream->is_over = !is_cut(condition);
    return fail_within(stream, condition, specific, text, SVI_CLOSE_MS);
}

svi_step svi_stream_fail(svi_stream *stream, const char *condition, const char *text)
{
    return svi_stream_fail_with(stream, condition, SV_STR_NONE, text);
}

svi_step svi_stream_end(svi_stream *stream, sv_str last)
{
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    if (stream->step == SVI_STEP_CLOSING) return SVI_STEP_CLOSING;
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    svi_buf_put(&buf, last);
    if (stream->is_open) stream->framing->close(&buf);
    stream->is_over = true;
    return close_with(stream, &buf, SVI_CLOSE_MS);
}

/* --- how the server reaches the streams ------------------------------------------------------ */

static void streams_drain(void *ctx)
{
    svi_streams *streams = ctx;
    for (svi_stream *stream = streams->first; stream; stream = stream->all.next)
        if (!stream->session || !svi_session_is_suspended(stream->session))
            (void)svi_stream_fail(stream, "system-shutdown", NULL);
}

static size_t streams_count(const void *ctx)
{
    return ((const svi_streams *)ctx)->count;
}

static void streams_end(void *ctx, svi_conn *conn, const char *stream_error, const char *text)
{
    (void)ctx;
    svi_stream *stream = svi_conn_ctx(conn);
    if (stream) (void)svi_stream_fail(stream, stream_error, text);
}

/* XEP-0198 5: a stream that was not closed can be resumed. */
static void streams_suspend(void *ctx, svi_conn *conn)
{
    (void)ctx;
    svi_stream *stream = svi_conn_ctx(conn);
    if (!stream || stream->step == SVI_STEP_CLOSING) return;
    svi_buf nothing;
    svi_buf_init(&nothing, svi_server_acct(stream->server));
    (void)close_with(stream, &nothing, SVI_CLOSE_MS);
}

/* What it was given before is reported to that session all the same (on_sent). */
static void streams_leave(void *ctx, svi_conn *conn, const sv_session *session, const char *stream_error)
{
    (void)ctx;
    svi_stream *stream = svi_conn_ctx(conn);
    if (!stream) return;
    stream->session = NULL;
    stream->left_number = svi_session_number(session);
    stream->left_full = svi_str_dup(svi_server_acct(stream->server), svi_session_jid(session)->full);
    (void)svi_stream_fail(stream, stream_error, NULL);
}

static void streams_facts(void *ctx, svi_conn *conn, svi_stream_facts *facts_out)
{
    (void)ctx;
    const svi_stream *stream = svi_conn_ctx(conn);
    if (stream)
        *facts_out = (svi_stream_facts){.peer = stream->peer,
                                        .is_tls = stream->is_secure,
                                        .mechanism = stream->mechanism,
                                        .binding = stream->binding};
}

/* Exchanges that still hold old keys end with <reset/> (RFC 6120 4.9.3.16). */
static void streams_forget(void *ctx, svi_host *host, sv_str name, svi_forget how, const char *text)
{
    const svi_streams *streams = ctx;
    for (svi_stream *stream = streams->first; stream; stream = stream->all.next) {
        if (how == SVI_FORGET_ALL && stream->login_host == host && sv_str_eq(stream->name, name))
            (void)svi_stream_fail(stream, "not-authorized", text);
        else if (stream->host == host && stream->sasl && sv_str_eq(stream->claimed, name))
            (void)svi_stream_fail(stream, "reset", NULL);
    }
}

static size_t streams_locked(const void *ctx)
{
    const svi_streams *streams = ctx;
    return svi_penalty_locked(streams->penalties);
}

static void streams_free(void *ctx)
{
    svi_streams *streams = ctx;
    SV_ASSERT(streams->count == 0);
    svi_strangers_free(&streams->strangers);
    svi_arena_free(&streams->scratch);
    svi_penalties_free(&streams->penalties);
    svi_free(streams);
}

static svi_streams *streams_of(svi_server *server)
{
    static const svi_streams_ops ops = {.drain = streams_drain,
                                        .count = streams_count,
                                        .end = streams_end,
                                        .suspend = streams_suspend,
                                        .leave = streams_leave,
                                        .facts = streams_facts,
                                        .forget = streams_forget,
                                        .locked = streams_locked,
                                        .free = streams_free};
    svi_streams *streams = svi_server_streams(server);
    if (streams) return streams;
    streams = svi_alloc(svi_server_acct(server), sizeof *streams);
    streams->server = server;
    streams->scratch = svi_arena_new(svi_server_acct(server), 0);
    streams->strangers =
        svi_strangers_new(svi_server_acct(server), svi_server_plat(server), svi_server_limits(server));
    streams->penalties = svi_penalties_new(svi_server_acct(server), svi_server_plat(server));
    svi_server_set_streams(server, streams, &ops);
    return streams;
}

svi_whence svi_stream_whence(const svi_stream *stream)
{
    return (svi_whence){.address = sv_str_of(stream->peer), .is_relayed = stream->is_relayed};
}

/* --- what connections report ----------------------------------------------------------------- */

/* Whoever is turned away may be back at once: the log gets the first of a minute, then ever fewer. */
static void log_refused(const svi_stream *stream, const char *limit)
{
    const unsigned count = svi_strangers_refuse(stream->streams->strangers, stream);
    if (count > REFUSALS_TOLD && (count & (count - 1)) != 0) return;
    SV_LOG(SV_WARN, "stream-limit", LF_TXT("peer", stream->peer), LF_TXT("limit", limit),
           LF_INT("refused", count));
}

/* Strangers are bounded; the oldest makes room. So are the streams of one address, and there the newest is
 * turned away: those before it may have logged in (architecture 11, threats R1). */
static void bound_streams(svi_stream *newest)
{
    const svi_strangers *strangers = newest->streams->strangers;
    const char *limit;
    if (svi_strangers_is_crowd(strangers, newest, &limit)) {
        log_refused(newest, limit);
        (void)fail_within(newest, "policy-violation", SV_STR_NONE,
                          "Too many connections from this address.", LIMIT_MS);
        return;
    }
    svi_stream *oldest = svi_strangers_excess(strangers, newest, &limit);
    if (!oldest) return;
    SV_LOG(SV_WARN, "stream-limit", LF_TXT("peer", oldest->peer), LF_TXT("limit", limit));
    log_error(oldest, "resource-constraint", NULL);
    (void)fail_within(oldest, "resource-constraint", SV_STR_NONE, NULL, LIMIT_MS);
}

static void on_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    svi_server *server = ctx;
    svi_stream *stream = svi_alloc(svi_server_acct(server), sizeof *stream);
    stream->magic = SVI_STREAM_MAGIC;
    stream->streams = streams_of(server);
    stream->server = server;
    stream->conn = conn;
    stream->framing = svi_framing_tcp();
    stream->tls_mode = info->tls_mode;
    stream->is_loopback = info->loopback;
    stream->is_relayed = info->is_relayed;
    memcpy(stream->peer, info->peer, sizeof stream->peer);
    stream->peer[sizeof stream->peer - 1] = 0;
    svi_conn_set_ctx(conn, stream);
    list_all(stream);
    svi_strangers_enter(stream->streams->strangers, stream);
    stream->login_timer = svi_timer_start(
        svi_server_timers(server), svi_server_limits(server)->login_us, on_login_timer, stream);
    svi_stream_enter(stream, SVI_STEP_HEADER);
    SV_LOG(SV_DEBUG, "stream-open", LF_TXT("peer", stream->peer),
           LF_INT("conn", svi_conn_number(conn)));
    if (svi_server_is_draining(server)) (void)svi_stream_fail(stream, "system-shutdown", NULL);
    bound_streams(stream);
}

static svi_stream *stream_of(const svi_conn *conn)
{
    svi_stream *stream = svi_conn_ctx(conn);
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    return stream;
}

static void on_peer(void *ctx, svi_conn *conn, const char *peer)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    SV_LOG(SV_DEBUG, "stream-relayed", LF_TXT("peer", peer), LF_TXT("proxy", stream->peer),
           LF_INT("conn", svi_conn_number(conn)));
    (void)snprintf(stream->peer, sizeof stream->peer, "%s", peer);
    if (stream->step == SVI_STEP_CLOSING) return;
    svi_strangers_place(stream->streams->strangers, stream);
    bound_streams(stream);
}

/* RFC 6120 5.4.3.3: what was said before TLS is forgotten. */
static void on_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    if (stream->step == SVI_STEP_CLOSING) return;
    stream->is_secure = true;
    SV_ASSERT(stream->bindings == NULL);
    if (info->binding_count > 0) {
        const size_t n = info->binding_count * sizeof *stream->bindings;
        stream->bindings = svi_alloc(svi_server_acct(stream->server), n);
        memcpy(stream->bindings, info->bindings, n);
        stream->binding_count = info->binding_count;
    }
    if (info->peer) stream->cert = svi_peer_ref(info->peer);
    stream->host = NULL;
    svi_str_free(&stream->from);
    svi_stream_enter(stream, SVI_STEP_HEADER);
}

/* A stranger that asks and does not read what it is told (threats R2): each answer takes about as much
 * memory as its question, so what waits is held to one such question. */
static bool is_deaf(const svi_stream *stream)
{
    return stream->stranger.is_in && svi_conn_queued_bytes(stream->conn) >
                                      svi_server_limits(stream->server)->stranger.stanza_bytes;
}

/* The host was changed since the stream began: NULL if it may go on all the same. */
static const char *why_not(const svi_stream *stream)
{
    if (!stream->host) return NULL;
    if (!svi_host_is_served(stream->host)) return "host-gone";
    const svi_logins others = stream->is_guest ? SVI_LOGINS_ACCOUNTS : SVI_LOGINS_GUESTS;
    return stream->name.n > 0 && svi_host_logins(stream->host) == others ? "reset" : NULL;
}

bool svi_stream_may_go_on(svi_stream *stream)
{
    if (is_deaf(stream)) (void)svi_stream_fail(stream, "resource-constraint", NULL);
    const char *error = why_not(stream);
    if (error) (void)svi_stream_fail(stream, error, NULL);
    return stream->step != SVI_STEP_CLOSING;
}

/* Runs the step's function on a header or element, and goes to the step it returns. */
static void run_step(svi_stream *stream, sv_stanza *take, step_fn on_element)
{
    svi_mark mark = svi_arena_mark(stream->streams->scratch);
    if (svi_stream_may_go_on(stream)) {
        svi_step next = on_element(stream, svi_stanza_root(take));
        if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
    }
    svi_arena_reset(stream->streams->scratch, mark);
    svi_stanza_unref(&take);
}

static void on_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    run_step(stream, take, stream->step == SVI_STEP_HEADER ? svi_on_header : svi_on_stray);
}

/* Bound: stanzas go to the router; what concerns the stream itself is answered here. */
static void on_ready(svi_stream *stream, sv_stanza *take, size_t cost_bytes)
{
    const sv_node *root = svi_stanza_root(take);
    if (svi_is_for_modules(root)) {
        svi_stream_pass(stream, take, cost_bytes);
    } else if (!svi_is_stanza(root)) {
        run_step(stream, take, svi_on_stray);
    } else if (svi_stream_answers(stream, root)) {
        svi_conn_credit(stream->conn, cost_bytes);
        svi_session_answered(stream->session, take);
        svi_stanza_unref(&take);
    } else {
        svi_inbound(stream->session, take, cost_bytes);
    }
}

static void on_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    if (stream->step == SVI_STEP_READY) {
        on_ready(stream, take, cost_bytes);
        return;
    }
    if (stream->step == SVI_STEP_BIND && svi_is_for_modules(svi_stanza_root(take))) {
        svi_stream_pass(stream, take, cost_bytes);
        return;
    }
    step_fn on_element = steps[stream->step].on_element;
    bool is_due = on_element && stream->step != SVI_STEP_HEADER;
    run_step(stream, take, is_due ? on_element : svi_on_stray);
}

static void on_end(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)svi_stream_end(stream_of(conn), SV_STR_NONE);
}

/* RFC 6120 4.9.3, by what the parser found. */
static const char *fault_name(svi_xml_fault fault)
{
    switch (fault) {
    case SVI_XML_NOT_WELL_FORMED: return "not-well-formed";
    case SVI_XML_RESTRICTED: return "restricted-xml";
    case SVI_XML_UNSUPPORTED_ENCODING: return "unsupported-encoding";
    case SVI_XML_TOO_BIG: return "policy-violation";
    case SVI_XML_BAD_PREFIX: return "bad-namespace-prefix";
    default: return "bad-format";
    }
}

static void on_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    (void)svi_stream_fail(stream_of(conn), fault_name(fault), text);
}

static void on_sent(void *ctx, svi_conn *conn, uint64_t token, bool written,
                    const sv_stanza *stanza)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    sv_session *session = stream->session;
    if (!session && stream->left_number > 0)
        session = svi_session_find_number(stream->server, stream->left_full, stream->left_number);
    if (session)
        svi_session_sent(session, token, written, stanza);
    else if (token != 0 && token != SVI_TOKEN_COUNTED)
        svi_ledger_close(svi_server_ledger(stream->server), token,
                         written ? SVI_HANDED_OVER : SVI_DROPPED, written ? NULL : "session-gone");
}

/* XEP-0198 7: only a stream that was closed ends its session. */
static void part(svi_stream *stream, const char *why)
{
    if (!stream->session) return;
    if (stream->is_over || !svi_session_may_stay(stream->session))
        svi_session_end(&stream->session, why);
    else
        svi_session_leave(stream->session);
    stream->session = NULL;
}

static void on_drained(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static const char *closed_name(svi_closed_why why)
{
    switch (why) {
    case SVI_CLOSED_BY_US: return "closed";
    case SVI_CLOSED_BY_PEER: return "closed by peer";
    case SVI_CLOSED_ERROR: return "connection failed";
    case SVI_CLOSED_TLS: return "TLS handshake failed";
    case SVI_CLOSED_PROXY: return "no right PROXY header";
    case SVI_CLOSED_UPDATES: return "too many key updates";
    case SVI_CLOSED_NET_STOP: break;
    }
    return "server stops";
}

static void on_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    svi_stream *stream = stream_of(conn);
    if (why == SVI_CLOSED_TLS)
        SV_LOG(SV_INFO, "tls-failed", LF_TXT("peer", stream->peer),
               LF_TXT("reason", svi_conn_tls_reason(conn)));
    if (why == SVI_CLOSED_UPDATES)
        SV_LOG(SV_WARN, "stream-limit", LF_TXT("peer", stream->peer),
               LF_TXT("limit", "key updates"));
    SV_LOG(SV_DEBUG, "stream-close", LF_TXT("peer", stream->peer), LF_TXT("why", closed_name(why)));
    svi_xevent_forget_stream(stream);
    part(stream, closed_name(why));
    svi_auth_drop(stream);
    svi_auth_forget(stream);
    if (stream->is_guest) svi_host_guest_leaves(stream->login_host);
    svi_strangers_forget(stream->streams->strangers, stream);
    unlist_all(stream);
    svi_timer_cancel(&stream->step_timer);
    svi_timer_cancel(&stream->login_timer);
    svi_timer_cancel(&stream->penalty_timer);
    svi_timer_cancel(&stream->cert_timer);
    svi_str_free(&stream->from);
    svi_str_free(&stream->name);
    svi_str_free(&stream->left_full);
    stream->magic = 0;
    svi_free(stream);
    svi_conn_set_ctx(conn, NULL);
}

const svi_net_calls *svi_stream_calls(void)
{
    static const svi_net_calls calls = {
        .open = on_open,
        .peer = on_peer,
        .tls = on_tls,
        .header = on_header,
        .stanza = on_stanza,
        .end = on_end,
        .fault = on_fault,
        .sent = on_sent,
        .drained = on_drained,
        .closed = on_closed,
    };
    return &calls;
}
