/* Client streams (RFC 6120 4 to 7) as steps of a conversation; shared by the files that hold the
 * steps. What others call is svi_stream_calls in xmpp_server.h. Router thread.
 *
 * A stream is made when its connection opens and freed when it is closed. The connection is in
 * lock-step until a resource is bound, so each step sees one header or element and nothing
 * behind it is parsed before the step has ended. */
#ifndef SVI_XMPP_STREAM_H
#define SVI_XMPP_STREAM_H

#include "bus/bus_timer.h"
#include "xmpp/xmpp_framing.h"
#include "xmpp/xmpp_penalty.h"
#include "xmpp/xmpp_sasl.h"
#include "xmpp/xmpp_event.h"
#include "xmpp/xmpp_strangers.h"

#define SVI_STREAM_MAGIC 0x57e40001u

#define SVI_NS_STREAMS "urn:ietf:params:xml:ns:xmpp-streams"
#define SVI_NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define SVI_NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define SVI_NS_SASL_CB "urn:xmpp:sasl-cb:0"
#define SVI_NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define SVI_NS_LIMITS "urn:xmpp:stream-limits:0"
#define SVI_NS_SESSION "urn:ietf:params:xml:ns:xmpp-session"

#define SVI_CLOSE_MS 5000u /* how long a stream may take to write its end (RFC 6120 4.4) */

/* Where a stream stands; the table of steps is in xmpp_stream.c. */
typedef enum svi_step {
    SVI_STEP_HEADER,   /* a stream header is due */
    SVI_STEP_FEATURES, /* features are sent; STARTTLS or SASL is due */
    SVI_STEP_TLS,      /* <proceed/> is sent; the handshake runs */
    SVI_STEP_SASL,     /* a challenge is sent */
    SVI_STEP_KEYS,     /* an account is looked up, or a password compared */
    SVI_STEP_PENALTY,  /* a failure is held back */
    SVI_STEP_BIND,     /* logged in; a resource is due */
    SVI_STEP_ELEMENT,  /* an element is with the modules, before a resource is bound */
    SVI_STEP_READY,    /* bound: stanzas */
    SVI_STEP_CLOSING,  /* our end is sent */
    SVI_STEPS
} svi_step;

typedef struct svi_streams svi_streams;
typedef struct svi_key_lookup svi_key_lookup; /* xmpp_auth.c */

struct svi_stream {
    uint32_t magic;
    svi_step step;
    svi_streams *streams;
    svi_server *server;
    svi_conn *conn;
    const svi_framing *framing;
    svi_host *host;       /* of the header; NULL before it */
    svi_host *login_host; /* whose account has logged in */
    sv_str from;          /* bare JID of the header, prepared; empty if it had none */
    char lang[SVI_LANG_BYTES]; /* of the header; empty if it had none that is one */
    sv_str claimed; /* localpart that the exchange is about; empty before its keys are asked for */
    sv_str name;    /* localpart that has logged in; empty before */
    sv_session *session;
    svi_sasl *sasl;
    svi_key_lookup *lookup;
    svi_binding *bindings; /* of the TLS connection, until somebody has logged in; may be NULL */
    size_t binding_count;
    svi_peer *cert;        /* its certificate if that is good for some host, until the same */
    svi_arena *cert_arena; /* of the names; NULL if there are none */
    sv_str *cert_names;    /* localparts that it has on `host`, prepared */
    size_t cert_name_count;
    svi_timer *step_timer, *login_timer, *penalty_timer;
    int64_t asked_us; /* when its silent peer was asked for a sign of life; 0: it was not */
    svi_timer *cert_timer; /* until the certificate expires that it has logged in with */
    svi_sasl_fault held_fault; /* SVI_STEP_PENALTY: what is to be said */
    svi_stream_link all;
    svi_stranger stranger;
    svi_tls_mode tls_mode;
    bool is_secure, is_loopback;
    const char *mechanism, *binding; /* it has logged in with; NULL: none */
    bool is_old;  /* the peer's header had no version: it speaks 0.9 (RFC 6120 4.7.5) */
    bool is_relayed; /* by a proxy, whose header named `peer` */
    bool is_guest; /* logged in by ANONYMOUS; counted by login_host */
    bool is_open; /* our header is sent and our end is not */
    bool is_over; /* it ended, so that its session ends with it (XEP-0198 7) */
    svi_xevent *xevents; /* open events of its elements that are no stanzas */
    uint64_t left_number; /* the session that went on without it; 0: none */
    sv_str left_full;
    unsigned auth_tries, bind_tries;
    char peer[64];
};

/* All streams of a server. */
struct svi_streams {
    svi_server *server;
    svi_arena *scratch; /* marked and reset around each report of a connection */
    svi_penalties *penalties;
    svi_stream *first, *last;
    svi_strangers *strangers;
    size_t count;
};

/* Where its peer comes from. */
svi_whence svi_stream_whence(const svi_stream *stream);

/* Goes to a step: its deadline begins, and parsing goes on if the step waits for the peer. */
void svi_stream_enter(svi_stream *stream, svi_step step);

/* Ends the stream with a stream error (RFC 6120 4.9), our header first if it has not been sent
 * (4.9.1.2). `text` is for people and may be NULL. Idempotent. Returns SVI_STEP_CLOSING, so that
 * a step can return it. */
svi_step svi_stream_fail(svi_stream *stream, const char *condition, const char *text);
/* The same with an application-specific condition (RFC 6120 4.9.4), as XML text. */
svi_step svi_stream_fail_with(svi_stream *stream, const char *condition, sv_str specific, const char *text);

/* Ends the stream without an error (RFC 6120 4.4). `last` is written before our end. */
svi_step svi_stream_end(svi_stream *stream, sv_str last);

/* Sends our header with a new id; `with_version` false for a peer that knows no XMPP 1.0. */
void svi_stream_open(svi_stream *stream, svi_buf *buf, bool with_version);

/* Before anything of the peer's is looked at: ends a stream whose host was changed meanwhile, or whose peer does not read. */
bool svi_stream_may_go_on(svi_stream *stream);

/* Sends what is in the buffer and frees it. */
void svi_stream_send(svi_stream *stream, svi_buf *take);

/* True if an account may log in on this connection as it is now: TLS, or a listener on loopback,
 * or a host that asks for neither. */
bool svi_stream_may_login(const svi_stream *stream);

/* --- xmpp_element.c -------------------------------------------------------------------------- */

/* Passes an element that is no stanza and not the core's, of a stream that has logged in, to the modules (stream/element): if
 * nobody claims it, it is a stray one (svi_on_stray). Takes the reference. Before binding the stream waits until that is over. */
void svi_stream_pass(svi_stream *stream, sv_stanza *take, size_t cost_bytes);
/* The stream ends: its events go on without it. */
void svi_xevent_forget_stream(svi_stream *stream);

/* What a handler may do with the stream whose element the event is, or that of the session which it is about, when the event is
 * released; nothing if there is none then. */

/* Writes an element, which is not counted, behind what was sent before. */
void svi_x_write(sv_event *ev, const sv_draft *element);
/* Ends the stream with an error (RFC 6120 4.9.3 name), an application-specific condition (NULL: none) and a text (NULL: none). */
void svi_x_fail(sv_event *ev, const char *condition, const sv_draft *specific, const char *text);
/* From now on the session is counted, and what goes to it from the event's release on. */
void svi_x_count(sv_event *ev, sv_session *session, const svi_counting *how);
/* The event's stream, on which no resource is bound, takes the session up; what waits for it is stamped and, when the event is
 * released, sent. SV_EDENIED: it is another account's; else as svi_session_take_up. */
sv_status svi_x_resume(sv_event *ev, sv_session *session, uint32_t h, svi_stamp_fn stamp, void *ctx);

/* --- xmpp_silence.c -------------------------------------------------------------------------- */

/* From now on the bound stream's peer is asked for a sign of life when it has been silent, and the
 * stream ends if none comes (RFC 6120 4.6.2). */
void svi_stream_listen(svi_stream *stream);

/* --- xmpp_negotiate.c ------------------------------------------------------------------------ */

/* The steps: each gets the peer's header or element and returns the next. */
svi_step svi_on_header(svi_stream *stream, const sv_node *header);
svi_step svi_on_features(svi_stream *stream, const sv_node *element);
svi_step svi_on_bind(svi_stream *stream, const sv_node *element);

/* For an element that no step knows: the stream error that ends it (RFC 6120 4.3.5, 4.8.3,
 * 4.9.3.12, 4.9.3.24). */
svi_step svi_on_stray(svi_stream *stream, const sv_node *element);

/* Whether an element of a stream that has logged in is a matter of modules: it is in none of the core's own namespaces. */
bool svi_is_for_modules(const sv_node *element);

/* True for message, presence and iq in the content namespace. */
bool svi_is_stanza(const sv_node *element);

/* Answers an IQ that belongs to the stream itself after binding (a second bind; RFC 3921 3
 * session): true if it was one. */
bool svi_stream_answers(svi_stream *stream, const sv_node *element);

/* --- xmpp_auth.c ----------------------------------------------------------------------------- */

/* An element while SASL may go on: auth, response, abort (RFC 6120 6.4). */
svi_step svi_on_sasl(svi_stream *stream, const sv_node *element);

/* Drops the exchange and what it waits for. */
void svi_auth_drop(svi_stream *stream);

/* What the stream's mechanisms stand on; its host is known. */
svi_sasl_env svi_auth_env(const svi_stream *stream);

/* The host is known: which of its localparts the client's certificate has. */
void svi_auth_read_names(svi_stream *stream);

/* Gives back what logins on this connection stand on: nobody logs in any more. */
void svi_auth_forget(svi_stream *stream);

#endif
