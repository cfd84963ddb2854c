/* Negotiation of client streams: header, features, STARTTLS, resource binding (RFC 6120 4, 5,
 * 7). */
#include <inttypes.h>

#include "base/base_log.h"
#include "xmpp/xmpp_stream.h"

#define SECOND_US INT64_C(1000000)
#define BIND_TRIES 10u /* RFC 6120 7.7.3: at least 5, at most 10 */

static svi_arena *scratch_of(const svi_stream *stream)
{
    return stream->streams->scratch;
}

static svi_buf buf_of(const svi_stream *stream)
{
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    return buf;
}

/* --- header ---------------------------------------------------------------------------------- */

/* Major number of "major.minor", leading zeros ignored (RFC 6120 4.7.5); 0 if absent or
 * malformed, which counts as 0.9. */
static int64_t major_version(sv_str version)
{
    sv_str major;
    int64_t number, minor;
    if (!svi_str_split(&version, '.', &major) || svi_str_int(major, 0, INT32_MAX, &number))
        return 0;
    return svi_str_int(version, 0, INT32_MAX, &minor) ? 0 : number;
}

/* The host asked for: NULL and a stream error if there is none. A missing `to` is no host we
 * could guess. */
static const char *find_host(svi_stream *stream, sv_str to)
{
    sv_jid jid;
    if (to.n == 0 || svi_jid_parse(scratch_of(stream), to, &jid)) return "improper-addressing";
    if (jid.node.n || jid.resource.n) return "host-unknown";
    stream->host = svi_host_find(stream->server, jid.domain);
    if (stream->host) return NULL;
    const svi_host *known = svi_host_known(stream->server, jid.domain);
    return known && svi_host_was_served(known) ? "host-gone" : "host-unknown"; /* 4.9.3.5, 4.9.3.6 */
}

/* RFC 6120 4.7.1: the bare JID of who speaks, kept for the answer and for the login (6.4.6). */
static const char *keep_from(svi_stream *stream, sv_str from)
{
    sv_jid jid;
    svi_str_free(&stream->from);
    if (!from.p) return NULL;
    if (svi_jid_parse(scratch_of(stream), from, &jid)) return "improper-addressing";
    stream->from = svi_str_dup(svi_server_acct(stream->server), jid.bare);
    return NULL;
}

/* The basic form of a language tag (RFC 5646 2.1, RFC 4647 2.1): letters, then parts of letters and
 * digits, each of up to eight. */
static bool is_lang(sv_str lang)
{
    if (lang.n == 0 || lang.n >= SVI_LANG_BYTES) return false;
    size_t part = 0, parts = 0;
    for (size_t i = 0; i < lang.n; i++) {
        const char c = lang.p[i];
        const bool is_letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        const bool is_digit = c >= '0' && c <= '9' && parts > 0;
        if (c == '-' ? part == 0 : !is_letter && !is_digit) return false;
        parts += c == '-';
        part = c == '-' ? 0 : part + 1;
        if (part > 8) return false;
    }
    return part > 0;
}

/* RFC 6120 4.7.4: remembered for stanzas that name no language. What can't be one is as good as
 * none. */
static void keep_lang(svi_stream *stream, sv_str lang)
{
    if (!is_lang(lang)) lang = SV_STR_NONE;
    if (lang.n > 0) memcpy(stream->lang, lang.p, lang.n);
    stream->lang[lang.n] = '\0';
}

static const char *check_header(svi_stream *stream, const sv_node *header)
{
    const char *error = stream->framing->check(header);
    stream->host = NULL;
    keep_lang(stream, svi_node_attr_ns(header, SV_STR("lang"), SV_STR(SVI_NS_XML)));
    if (error) return error;
    const char *from_error = keep_from(stream, svi_node_attr(header, SV_STR("from")));
    error = find_host(stream, svi_node_attr(header, SV_STR("to")));
    if (!error) error = from_error;
    /* threats A8: who has logged in at one host does not go on at another */
    if (!error && stream->name.n && stream->host != stream->login_host) error = "not-authorized";
    return error;
}

/* --- features -------------------------------------------------------------------------------- */

static bool may_starttls(const svi_stream *stream)
{
    return stream->tls_mode == SVI_TLS_STARTTLS && !stream->is_secure && stream->name.n == 0;
}

static void put_starttls(const svi_stream *stream, svi_buf *buf)
{
    if (!may_starttls(stream)) return;
    svi_buf_put(buf, SV_STR("<starttls xmlns='" SVI_NS_TLS "'>"));
    if (!svi_stream_may_login(stream)) svi_buf_put(buf, SV_STR("<required/>"));
    svi_buf_put(buf, SV_STR("</starttls>"));
}

static void put_mechanisms(const svi_stream *stream, svi_buf *buf)
{
    if (stream->name.n || !svi_stream_may_login(stream)) return;
    const char *name;
    svi_buf_put(buf, SV_STR("<mechanisms xmlns='" SVI_NS_SASL "'>"));
    const svi_sasl_env env = svi_auth_env(stream);
    for (size_t i = 0; (name = svi_sasl_offered(&env, i)) != NULL; i++)
        svi_buf_printf(buf, "<mechanism>%s</mechanism>", name);
    svi_buf_put(buf, SV_STR("</mechanisms>"));
}

/* XEP-0440 2: which channel bindings the -PLUS mechanisms may use. */
static void put_bindings(const svi_stream *stream, svi_buf *buf)
{
    if (stream->name.n || !svi_stream_may_login(stream) || stream->binding_count == 0) return;
    svi_buf_put(buf, SV_STR("<sasl-channel-binding xmlns='" SVI_NS_SASL_CB "'>"));
    for (size_t i = 0; i < stream->binding_count; i++)
        if (!stream->bindings[i].is_silent)
            svi_buf_printf(buf, "<channel-binding type='%s'/>", stream->bindings[i].type);
    svi_buf_put(buf, SV_STR("</sasl-channel-binding>"));
}

static void put_bind(const svi_stream *stream, svi_buf *buf)
{
    if (stream->name.n) svi_buf_put(buf, SV_STR("<bind xmlns='" SVI_NS_BIND "'/>"));
}

/* RFC 6121 1.4: session establishment is no more needed; announced as optional for clients that
 * look for it. */
static void put_session(const svi_stream *stream, svi_buf *buf)
{
    if (stream->name.n)
        svi_buf_put(buf, SV_STR("<session xmlns='" SVI_NS_SESSION "'><optional/></session>"));
}

/* XEP-0478 3.1: how large an element may be, now and when somebody has logged in; after which silence of a
 * client it will be asked whether it is there. */
static void put_limits(const svi_stream *stream, svi_buf *buf)
{
    const svi_limits *limits = svi_server_limits(stream->server);
    const svi_xml_limits *now = stream->name.n ? &limits->user : &limits->stranger;
    svi_buf_printf(buf, "<limits xmlns='" SVI_NS_LIMITS "'><max-bytes>%zu</max-bytes>",
                   now->stanza_bytes);
    if (stream->name.n && limits->idle_us >= SECOND_US)
        svi_buf_printf(buf, "<idle-seconds>%" PRId64 "</idle-seconds>", limits->idle_us / SECOND_US);
    svi_buf_put(buf, SV_STR("</limits>"));
}

/* What the host's modules bring. */
static void put_modules(const svi_stream *stream, svi_buf *buf)
{
    if (stream->name.n) svi_buf_put(buf, svi_host_features(stream->host));
}

/* Every feature and when it is offered. */
static void (*const features[])(const svi_stream *stream, svi_buf *buf) = {
    put_starttls,
    put_mechanisms,
    put_bindings,
    put_bind,
    put_session,
    put_limits,
    put_modules,
};

static void put_features(const svi_stream *stream, svi_buf *buf)
{
    svi_buf_printf(buf, "<stream:features%s>", stream->framing->declaration);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) features[i](stream, buf);
    svi_buf_put(buf, SV_STR("</stream:features>"));
}

svi_step svi_on_header(svi_stream *stream, const sv_node *header)
{
    stream->is_open = false;
    const int64_t version = major_version(svi_node_attr(header, SV_STR("version")));
    stream->is_old = version < 1;
    const char *error = check_header(stream, header);
    if (error) return svi_stream_fail(stream, error, NULL);
    svi_buf buf = buf_of(stream);
    const bool is_known = !stream->is_old;
    svi_stream_open(stream, &buf, is_known);
    if (!is_known) {
        svi_stream_send(stream, &buf);
        return svi_stream_fail(stream, "unsupported-version", NULL);
    }
    if (!stream->name.n && !svi_stream_may_login(stream) && !may_starttls(stream)) {
        svi_stream_send(stream, &buf);
        return svi_stream_fail(stream, "policy-violation",
                               "This host requires TLS, which is not to be had here.");
    }
    if (!stream->name.n) svi_auth_read_names(stream);
    put_features(stream, &buf);
    svi_stream_send(stream, &buf);
    return stream->name.n ? SVI_STEP_BIND : SVI_STEP_FEATURES;
}

/* --- elements -------------------------------------------------------------------------------- */

static bool is_stanza_name(sv_str name)
{
    return sv_str_eq(name, SV_STR("message")) || sv_str_eq(name, SV_STR("presence")) ||
           sv_str_eq(name, SV_STR("iq"));
}

bool svi_is_stanza(const sv_node *element)
{
    return sv_str_eq(svi_node_ns(element), SV_STR(SVI_NS_CLIENT)) &&
           is_stanza_name(svi_node_name(element));
}

bool svi_is_for_modules(const sv_node *element)
{
    static const sv_str cores[] = {
        SV_STR_INIT(SVI_NS_CLIENT),      SV_STR_INIT(SVI_NS_STREAM), SV_STR_INIT(SVI_NS_SERVER),
        SV_STR_INIT(SVI_NS_SASL),        SV_STR_INIT(SVI_NS_TLS),
    };
    const sv_str ns = svi_node_ns(element);
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (sv_str_eq(ns, cores[i])) return false;
    return true;
}

svi_step svi_on_stray(svi_stream *stream, const sv_node *element)
{
    sv_str ns = svi_node_ns(element), name = svi_node_name(element);
    if (svi_is_stanza(element)) return svi_stream_fail(stream, "not-authorized", NULL);
    /* RFC 6120 4.9.1.1: who gets an error closes */
    if (svi_node_is(element, SV_STR("error"), SV_STR(SVI_NS_STREAM)))
        return svi_stream_end(stream, SV_STR_NONE);
    if (svi_node_is(element, SV_STR("stream"), SV_STR(SVI_NS_STREAM)))
        return svi_stream_fail(stream, "not-authorized", NULL);
    if (sv_str_eq(ns, SV_STR("jabber:server")) && is_stanza_name(name))
        return svi_stream_fail(stream, "invalid-namespace", NULL);
    /* negotiation out of its turn (RFC 6120 4.9.3.12) */
    if (sv_str_eq(ns, SV_STR(SVI_NS_SASL)) || sv_str_eq(ns, SV_STR(SVI_NS_TLS)))
        return svi_stream_fail(stream, "not-authorized", NULL);
    return svi_stream_fail(stream, "unsupported-stanza-type", NULL);
}

/* RFC 6120 5.4.2. What the peer sent behind <starttls/> in plain text is dropped by the
 * connection (threats T1). */
static svi_step on_starttls(svi_stream *stream)
{
    if (!may_starttls(stream))
        return svi_stream_end(stream, SV_STR("<failure xmlns='" SVI_NS_TLS "'/>"));
    svi_auth_drop(stream);
    svi_conn_write(stream->conn, SV_STR("<proceed xmlns='" SVI_NS_TLS "'/>"));
    svi_conn_starttls(stream->conn,
                      svi_jid_ascii_domain(scratch_of(stream), svi_host_domain(stream->host)));
    stream->is_open = false;
    return SVI_STEP_TLS;
}

svi_step svi_on_features(svi_stream *stream, const sv_node *element)
{
    if (svi_node_is(element, SV_STR("starttls"), SV_STR(SVI_NS_TLS))) return on_starttls(stream);
    return svi_on_sasl(stream, element);
}

/* --- binding --------------------------------------------------------------------------------- */

static void put_attr(svi_buf *buf, const char *name, sv_str value)
{
    if (!value.p) return;
    svi_buf_printf(buf, " %s='", name);
    svi_write_attr(buf, value);
    svi_buf_putc(buf, '\'');
}

/* An answer to an IQ of the stream itself; such a peer has no address yet, so there is no `to`. It
 * comes from who was asked (RFC 6120 8.1.2.1): the server if it was named, else the account. */
static void put_iq(svi_buf *buf, const sv_node *iq, const char *type)
{
    svi_buf_printf(buf, "<iq type='%s'", type);
    put_attr(buf, "id", svi_node_attr(iq, SV_STR("id")));
    put_attr(buf, "from", svi_node_attr(iq, SV_STR("to")));
}

/* To a bound client it is a stanza like others, and counted. */
static void send_iq(svi_stream *stream, svi_buf *take)
{
    if (stream->session == NULL) {
        svi_stream_send(stream, take);
        return;
    }
    svi_session_answer(stream->session, svi_buf_str(take));
    svi_buf_free(take);
}

static void send_iq_error(svi_stream *stream, const sv_node *iq, sv_cond cond)
{
    svi_buf buf = buf_of(stream);
    put_iq(&buf, iq, "error");
    svi_buf_printf(
        &buf, "><error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        svi_cond_type(cond), svi_cond_name(cond));
    send_iq(stream, &buf);
}

/* RFC 6120 7.6.2, 7.7.2, 7.7.3: the client may try again, not for ever. */
static svi_step refuse_bind(svi_stream *stream, const sv_node *iq, sv_cond cond)
{
    send_iq_error(stream, iq, cond);
    if (++stream->bind_tries < BIND_TRIES) return SVI_STEP_BIND;
    return svi_stream_fail(stream, "policy-violation", "Too many attempts to bind a resource.");
}

static void send_bound(svi_stream *stream, const sv_node *iq)
{
    svi_buf buf = buf_of(stream);
    put_iq(&buf, iq, "result");
    svi_buf_put(&buf, SV_STR("><bind xmlns='" SVI_NS_BIND "'><jid>"));
    svi_write_text(&buf, svi_session_jid(stream->session)->full);
    svi_buf_put(&buf, SV_STR("</jid></bind></iq>"));
    svi_stream_send(stream, &buf);
}

/* `element` is a stanza. */
static bool is_iq_set(const sv_node *element, const char *child, const char *ns)
{
    return sv_str_eq(svi_node_name(element), SV_STR("iq")) &&
           sv_str_eq(svi_node_attr(element, SV_STR("type")), SV_STR("set")) &&
           svi_node_find(element, sv_str_of(child), sv_str_of(ns)) != NULL;
}

/* To nobody, to the server, or to the client's account, since the stream is what it is about. */
static bool is_for_stream(const svi_stream *stream, const sv_node *element)
{
    const sv_str text = svi_node_attr(element, SV_STR("to"));
    if (!text.p) return true;
    const svi_mark mark = svi_arena_mark(scratch_of(stream));
    sv_jid to;
    const bool is_ours = svi_jid_parse(scratch_of(stream), text, &to) == SV_OK &&
                         sv_str_eq(to.domain, svi_host_domain(stream->host)) &&
                         to.resource.n == 0 && (to.node.n == 0 || sv_str_eq(to.node, stream->name));
    svi_arena_reset(scratch_of(stream), mark);
    return is_ours;
}

/* An empty <resource/> is as good as none (RFC 6120 7.7.2.1: process it so that it conforms). */
svi_step svi_on_bind(svi_stream *stream, const sv_node *element)
{
    if (!svi_is_stanza(element) || !is_iq_set(element, "bind", SVI_NS_BIND) ||
        !is_for_stream(stream, element))
        return svi_on_stray(stream, element); /* RFC 6120 7.1: not to somebody else yet */
    const sv_node *bind = svi_node_find(element, SV_STR("bind"), SV_STR(SVI_NS_BIND));
    const sv_node *wish = svi_node_find(bind, SV_STR("resource"), SV_STR(SVI_NS_BIND));
    sv_str text = wish ? svi_node_text(wish, scratch_of(stream)) : SV_STR_NONE,
           resource = SV_STR_NONE;
    sv_str id = svi_node_attr(element, SV_STR("id"));
    if (id.n == 0 || (text.n && svi_jid_prep_resource(scratch_of(stream), text, &resource)))
        return refuse_bind(stream, element, SV_BAD_REQUEST);
    if (svi_host_is_closed(stream->host))
        return refuse_bind(stream, element, SV_SERVICE_UNAVAILABLE); /* nobody could guard it */
    sv_status status =
        svi_session_bind(stream->host, stream->name, resource, stream->conn, &stream->session);
    if (status == SV_ELIMIT) return refuse_bind(stream, element, SV_RESOURCE_CONSTRAINT);
    if (status) return refuse_bind(stream, element, SV_INTERNAL_SERVER_ERROR);
    svi_session_set_lang(stream->session, sv_str_of(stream->lang));
    send_bound(stream, element);
    return SVI_STEP_READY;
}

bool svi_stream_answers(svi_stream *stream, const sv_node *element)
{
    bool is_bind = is_iq_set(element, "bind", SVI_NS_BIND);
    if (!is_bind && !is_iq_set(element, "session", SVI_NS_SESSION)) return false;
    if (!is_for_stream(stream, element)) return false;
    svi_session_bound(stream->session, 0); /* these answers, too, wait for one who does not read */
    if (is_bind) {
        send_iq_error(stream, element,
                      SV_NOT_ALLOWED); /* one resource a stream (RFC 6120 7.6.2.2) */
        return true;
    }
    svi_buf buf = buf_of(stream);
    put_iq(&buf, element, "result");
    svi_buf_put(&buf, SV_STR("/>"));
    send_iq(stream, &buf);
    return true;
}
