/* SASL as elements of a client stream (RFC 6120 6.4): framing, retries, the look-up of keys,
 * what is logged. The mechanisms are in xmpp_sasl.c. */
#include "base/base_log.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_logins.h"
#include "xmpp/xmpp_provider.h"
#include "xmpp/xmpp_stream.h"

#define NAMED_BYTES 64u /* of a name in the log */

/* Outlives the stream if that closes first; then it knows no stream any more. */
struct svi_key_lookup {
    svi_stream *stream;
    svi_sasl_work *work; /* what is being worked on, if it is that */
    svi_sasl_result success; /* whose account is looked at, if it is that; the exchange's */
};

void svi_auth_drop(svi_stream *stream)
{
    if (stream->lookup) stream->lookup->stream = NULL;
    stream->lookup = NULL;
    svi_sasl_free(&stream->sasl);
    svi_str_free(&stream->claimed);
}

svi_sasl_env svi_auth_env(const svi_stream *stream)
{
    return (svi_sasl_env){.plat = svi_server_plat(stream->server),
                          .host = svi_host_domain(stream->host),
                          .is_secure = stream->is_secure,
                          .bindings = stream->bindings,
                          .binding_count = stream->binding_count,
                          .cert_names = stream->cert_names,
                          .cert_name_count = stream->cert_name_count,
                          .has_guests = svi_host_logins(stream->host) != SVI_LOGINS_ACCOUNTS,
                          .only_guests = svi_host_logins(stream->host) == SVI_LOGINS_GUESTS,
                          .hashes = svi_provider_mechanisms(stream->host),
                          .checks_password = svi_provider_checks(stream->host)};
}

static void forget_names(svi_stream *stream)
{
    svi_arena_free(&stream->cert_arena);
    stream->cert_names = NULL;
    stream->cert_name_count = 0;
}

void svi_auth_forget(svi_stream *stream)
{
    forget_names(stream);
    svi_peer_unref(&stream->cert);
    svi_free(stream->bindings);
    stream->bindings = NULL;
    stream->binding_count = 0;
}

/* A bare JID of that host, prepared (RFC 6120 13.7.1.4, 13.7.2.2.1), which stands there once. */
static void read_name(svi_stream *stream, sv_str text)
{
    sv_jid jid;
    if (svi_jid_parse(stream->cert_arena, text, &jid) || jid.node.n == 0 ||
        !svi_jid_is_bare(&jid) || !sv_str_eq(jid.domain, svi_host_domain(stream->host)))
        return;
    for (size_t i = 0; i < stream->cert_name_count; i++)
        if (sv_str_eq(stream->cert_names[i], jid.node)) return;
    stream->cert_names[stream->cert_name_count++] = jid.node;
}

void svi_auth_read_names(svi_stream *stream)
{
    forget_names(stream);
    if (!stream->cert || !svi_peer_is_for(stream->cert, svi_host_domain(stream->host))) return;
    stream->cert_arena = svi_arena_new(svi_server_acct(stream->server), 512);
    stream->cert_names =
        svi_arena_get(stream->cert_arena, SVI_PEER_NAMES_MAX * sizeof *stream->cert_names);
    sv_str text;
    for (size_t i = 0; (text = svi_peer_name(stream->cert, i)).p; i++) read_name(stream, text);
}

/* Base64; without data it is empty: "=" would be data of no length, which nothing here has (RFC 6120
 * 6.4.6). */
static void send_sasl(svi_stream *stream, const char *element, sv_str data)
{
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    svi_buf_printf(&buf, "<%s xmlns='" SVI_NS_SASL "'>", element);
    svi_base64_put(&buf, data);
    svi_buf_printf(&buf, "</%s>", element);
    svi_stream_send(stream, &buf);
}

static void log_failure(const svi_stream *stream, sv_str name, svi_sasl_fault fault)
{
    SV_LOG(SV_WARN, "login-failed", LF_TXT("peer", stream->peer),
           LF_STR("host", svi_host_domain(stream->host)),
           LF_STR("user", svi_str_sub(name, 0, NAMED_BYTES)),
           LF_TXT("reason", svi_sasl_fault_name(fault)), LF_INT("try", stream->auth_tries));
}

/* RFC 6120 6.4.5: a few more tries, then the stream ends (threats A6). */
static svi_step say_failure(svi_stream *stream, svi_sasl_fault fault, sv_str told)
{
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    svi_buf_printf(&buf, "<failure xmlns='" SVI_NS_SASL "'><%s/>", svi_sasl_fault_name(fault));
    if (told.n > 0) { /* RFC 6120 6.5 */
        svi_buf_put(&buf, SV_STR("<text xml:lang='en'>"));
        svi_write_text(&buf, told);
        svi_buf_put(&buf, SV_STR("</text>"));
    }
    svi_buf_put(&buf, SV_STR("</failure>"));
    svi_stream_send(stream, &buf);
    if (stream->auth_tries < svi_server_limits(stream->server)->auth_tries)
        return SVI_STEP_FEATURES;
    return svi_stream_fail(stream, "policy-violation", "Too many failed attempts to log in.");
}

static void on_penalty_over(void *ctx)
{
    svi_stream *stream = ctx;
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    SV_ASSERT(stream->step == SVI_STEP_PENALTY);
    stream->penalty_timer = NULL;
    const svi_step next = say_failure(stream, stream->held_fault, SV_STR_NONE);
    if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
}

/* The account's bare JID, in the scratch arena; empty if no name is known. */
static sv_str account_of(const svi_stream *stream, sv_str name)
{
    if (name.n == 0) return SV_STR_NONE;
    return svi_jid_make(stream->streams->scratch, name, svi_host_domain(stream->host), SV_STR_NONE)
        .bare;
}

/* Only a wrong guess counts: what is malformed tells nobody anything. `told` goes with an answer that is
 * not held back. */
static svi_step refuse_text(svi_stream *stream, svi_sasl_fault fault, sv_str name, sv_str told)
{
    const sv_str account = account_of(stream, name);
    stream->auth_tries++;
    log_failure(stream, name, fault);
    svi_auth_drop(stream); /* the name may go with it */
    int64_t delay_us = 0;
    if (fault == SVI_SASL_NOT_AUTHORIZED)
        delay_us =
            svi_penalty_note(stream->streams->penalties, svi_stream_whence(stream), account);
    if (delay_us == 0) return say_failure(stream, fault, told);
    SV_LOG(SV_WARN, "login-held-back", LF_TXT("peer", stream->peer),
           LF_STR("account", svi_str_sub(account, 0, NAMED_BYTES)),
           LF_INT("ms", delay_us / 1000));
    stream->held_fault = fault;
    stream->penalty_timer = svi_timer_start(svi_server_timers(stream->server), delay_us,
                                            on_penalty_over, stream);
    return SVI_STEP_PENALTY;
}

static svi_step refuse(svi_stream *stream, svi_sasl_fault fault, sv_str name)
{
    return refuse_text(stream, fault, name, SV_STR_NONE);
}

/* Too many wrong guesses from there or for that account, whether it exists or not: none is looked at. */
static bool is_locked(const svi_stream *stream, sv_str name)
{
    if (!svi_penalty_is_locked(stream->streams->penalties, svi_stream_whence(stream),
                               account_of(stream, name)))
        return false;
    SV_LOG(SV_WARN, "login-locked", LF_TXT("peer", stream->peer),
           LF_STR("host", svi_host_domain(stream->host)),
           LF_STR("user", svi_str_sub(name, 0, NAMED_BYTES)));
    return true;
}

/* Of the name that the exchange is about, if it has said one: else as many guesses would be looked at behind
 * the lock as exchanges were begun before it. */
static bool is_locked_meanwhile(const svi_stream *stream)
{
    return stream->claimed.n > 0 && is_locked(stream, stream->claimed);
}

static bool by_certificate(const svi_stream *stream)
{
    return strcmp(svi_sasl_mechanism(stream->sasl), "EXTERNAL") == 0;
}

/* RFC 6120 6.4.6: a `from` that was said under TLS must be the one who has logged in. */
static bool from_fits(const svi_stream *stream, sv_str name)
{
    if (!stream->is_secure || !stream->from.n) return true;
    sv_jid jid =
        svi_jid_make(stream->streams->scratch, name, svi_host_domain(stream->host), SV_STR_NONE);
    return sv_str_eq(jid.bare, stream->from);
}

/* Who came from where; by which certificate, if it was by one. */
static void log_login(const svi_stream *stream)
{
    const char *binding = svi_sasl_binding(stream->sasl);
    const svi_field peer = LF_TXT("peer", stream->peer),
                    host = LF_STR("host", svi_host_domain(stream->host)),
                    user = LF_STR("user", stream->name),
                    tls = LF_TXT("tls", stream->is_secure ? "yes" : "no"),
                    mechanism = LF_TXT("mechanism", svi_sasl_mechanism(stream->sasl)),
                    bound = LF_TXT("binding", binding ? binding : "none");
    if (by_certificate(stream))
        SV_LOG(SV_INFO, "login", peer, host, user, tls, mechanism, bound,
               LF_STR("certificate", svi_peer_fingerprint(stream->cert)),
               LF_STR("subject", svi_peer_subject(stream->cert)));
    else
        SV_LOG(SV_INFO, "login", peer, host, user, tls, mechanism, bound);
}

static void on_cert_expired(void *ctx)
{
    svi_stream *stream = ctx;
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    stream->cert_timer = NULL;
    (void)svi_stream_fail(stream, "reset", "Your certificate has expired.");
}

static int64_t cert_left_us(const svi_stream *stream)
{
    const svi_plat *plat = svi_server_plat(stream->server);
    return (svi_peer_expires_s(stream->cert) * INT64_C(1000000)) - plat->wall_us(plat->ctx);
}

/* The one place where a stream gets an identity: the authenticated name (threats, conclusion 3). */
static svi_step succeed(svi_stream *stream, sv_str name, sv_str out)
{
    stream->name = svi_str_dup(svi_server_acct(stream->server), name);
    stream->login_host = stream->host;
    stream->mechanism = svi_sasl_mechanism(stream->sasl);
    stream->binding = svi_sasl_binding(stream->sasl);
    log_login(stream);
    /* RFC 6120 13.7.2.3: who came by a certificate goes with it */
    if (by_certificate(stream))
        stream->cert_timer =
            svi_timer_start(svi_server_timers(stream->server), cert_left_us(stream),
                            on_cert_expired, stream);
    send_sasl(stream, "success", out);
    svi_auth_drop(stream);
    svi_auth_forget(stream);
    stream->is_open = false;
    svi_conn_restart(stream->conn, &svi_server_limits(stream->server)->unbound);
    return SVI_STEP_HEADER;
}

static svi_step succeed_as(svi_stream *stream, const svi_sasl_result *result)
{
    if (!from_fits(stream, result->name)) {
        stream->auth_tries++;
        log_failure(stream, result->name, SVI_SASL_INVALID_AUTHZID);
        return svi_stream_fail(stream, "invalid-from", NULL);
    }
    svi_penalty_forgive(stream->streams->penalties, svi_stream_whence(stream),
                        account_of(stream, result->name));
    svi_logins_in(stream->host, result->name, stream->peer);
    return succeed(stream, result->name, result->out);
}

/* XEP-0175: nobody proved anything, so no failures are forgiven, and a `from` names nobody. */
static svi_step succeed_as_guest(svi_stream *stream)
{
    char name[SVI_GUEST_NAME_BYTES + 1];
    if (svi_host_logins(stream->host) == SVI_LOGINS_ACCOUNTS) /* it was changed meanwhile */
        return refuse(stream, SVI_SASL_NOT_AUTHORIZED, SV_STR_NONE);
    if (!svi_host_guest_enters(stream->host))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, SV_STR_NONE);
    stream->is_guest = true;
    svi_guest_name(stream->host, name);
    return succeed(stream, sv_str_of(name), SV_STR_NONE);
}

static svi_step next_of(svi_stream *stream, const svi_sasl_result *result);

/* The answer has come: the stream that waited for it, or NULL if it has gone. */
static svi_stream *end_lookup(svi_key_lookup *lookup)
{
    svi_stream *stream = lookup->stream;
    svi_free(lookup);
    if (!stream) return NULL;
    SV_CHECK(stream, SVI_STREAM_MAGIC);
    SV_ASSERT(stream->step == SVI_STEP_KEYS && stream->sasl);
    stream->lookup = NULL;
    return stream;
}

static void on_keys(void *ctx, sv_status status, const svi_scram_keys *keys)
{
    svi_key_lookup *lookup = ctx;
    svi_stream *stream = end_lookup(lookup);
    if (!stream) return;
    svi_mark mark = svi_arena_mark(stream->streams->scratch);
    svi_step next;
    if (keys) {
        svi_sasl_result result = svi_sasl_keys(stream->sasl, keys, status == SV_OK);
        next = next_of(stream, &result);
    } else {
        next = refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, stream->claimed);
    }
    if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
    svi_arena_reset(stream->streams->scratch, mark);
}

static svi_sasl_fault state_fault(sv_status status)
{
    switch (status) {
    case SV_OK: return SVI_SASL_OK;
    case SV_EDENIED: return SVI_SASL_ACCOUNT_DISABLED;
    case SV_ENOTFOUND: return SVI_SASL_NOT_AUTHORIZED;
    default: return SVI_SASL_TEMPORARY_AUTH_FAILURE;
    }
}

static void on_admitted(void *ctx, sv_status status, sv_str told)
{
    svi_key_lookup *lookup = ctx;
    const svi_sasl_result success = lookup->success;
    svi_stream *stream = end_lookup(lookup);
    if (!stream) return;
    svi_mark mark = svi_arena_mark(stream->streams->scratch);
    const svi_sasl_fault fault = state_fault(status);
    const svi_step next =
        fault ? refuse_text(stream, fault, stream->claimed, told) : succeed_as(stream, &success);
    if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
    svi_arena_reset(stream->streams->scratch, mark);
}

/* Whether the account may log in is asked behind the proof, so that only its owner hears that it may not
 * (threats A4). By a certificate it was asked already. */
static svi_step admit(svi_stream *stream, const svi_sasl_result *result)
{
    if (by_certificate(stream)) return succeed_as(stream, result);
    stream->lookup = svi_alloc(svi_server_acct(stream->server), sizeof *stream->lookup);
    stream->lookup->stream = stream;
    stream->lookup->success = *result;
    svi_account_state(stream->host, result->name, on_admitted, stream->lookup);
    return SVI_STEP_KEYS;
}

static svi_step look_up(svi_stream *stream, const svi_sasl_result *result)
{
    if (is_locked(stream, result->name))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, result->name);
    stream->lookup = svi_alloc(svi_server_acct(stream->server), sizeof *stream->lookup);
    stream->lookup->stream = stream;
    stream->claimed = svi_str_dup(svi_server_acct(stream->server), result->name);
    svi_account_keys(stream->host, result->name, result->keys, on_keys, stream->lookup);
    return SVI_STEP_KEYS;
}

/* The certificate must still count: CA files may have changed, and time has passed. */
static svi_sasl_fault cert_fault(const svi_stream *stream, sv_status status)
{
    const bool fits = svi_peer_is_for(stream->cert, svi_host_domain(stream->host)) &&
                      cert_left_us(stream) > 0;
    return status == SV_OK && !fits ? SVI_SASL_NOT_AUTHORIZED : state_fault(status);
}

static void on_account(void *ctx, sv_status status, sv_str told)
{
    svi_key_lookup *lookup = ctx;
    svi_stream *stream = end_lookup(lookup);
    if (!stream) return;
    SV_ASSERT(stream->cert);
    svi_mark mark = svi_arena_mark(stream->streams->scratch);
    const svi_sasl_fault fault = cert_fault(stream, status);
    const svi_sasl_result result = svi_sasl_account(stream->sasl, fault);
    const svi_step next = fault ? refuse_text(stream, fault, stream->claimed, told)
                                : next_of(stream, &result);
    if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
    svi_arena_reset(stream->streams->scratch, mark);
}

/* No look at locks: they are for guesses, and nobody guesses a certificate's key. Who has locked the
 * account by wrong passwords must not keep its owner out. */
static svi_step look_for_account(svi_stream *stream, const svi_sasl_result *result)
{
    stream->lookup = svi_alloc(svi_server_acct(stream->server), sizeof *stream->lookup);
    stream->lookup->stream = stream;
    stream->claimed = svi_str_dup(svi_server_acct(stream->server), result->name);
    svi_account_state(stream->host, result->name, on_account, stream->lookup);
    return SVI_STEP_KEYS;
}

/* A wrong password is a guess, whatever else the back end tells of the account. */
static svi_step on_answer(svi_stream *stream, sv_status status)
{
    if (is_locked_meanwhile(stream))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, stream->claimed);
    const svi_sasl_fault fault = status == SV_EDENIED ? SVI_SASL_NOT_AUTHORIZED : state_fault(status);
    const svi_sasl_result result = svi_sasl_checked(stream->sasl, fault);
    return next_of(stream, &result);
}

static void on_password(void *ctx, sv_status status)
{
    svi_key_lookup *lookup = ctx;
    svi_stream *stream = end_lookup(lookup);
    if (!stream) return;
    svi_mark mark = svi_arena_mark(stream->streams->scratch);
    const svi_step next = on_answer(stream, status);
    if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
    svi_arena_reset(stream->streams->scratch, mark);
}

static svi_step have_checked(svi_stream *stream, const svi_sasl_result *result)
{
    /* or the back end has gone meanwhile */
    if (is_locked(stream, result->name) || !svi_provider_checks(stream->host))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, result->name);
    stream->lookup = svi_alloc(svi_server_acct(stream->server), sizeof *stream->lookup);
    stream->lookup->stream = stream;
    stream->claimed = svi_str_dup(svi_server_acct(stream->server), result->name);
    svi_provider_check(stream->host, result->name, result->out, on_password, stream->lookup);
    return SVI_STEP_KEYS;
}

static void run_work(void *ctx)
{
    const svi_key_lookup *lookup = ctx;
    svi_sasl_work_run(lookup->work);
}

static svi_step on_worked_out(svi_stream *stream, const svi_sasl_work *work)
{
    if (is_locked_meanwhile(stream))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, stream->claimed);
    const svi_sasl_result result = svi_sasl_worked(stream->sasl, work);
    return next_of(stream, &result);
}

static void on_worked(void *ctx, bool is_over)
{
    svi_key_lookup *lookup = ctx;
    svi_stream *stream = is_over ? NULL : lookup->stream;
    svi_sasl_work *work = lookup->work;
    svi_free(lookup);
    if (stream) {
        SV_CHECK(stream, SVI_STREAM_MAGIC);
        SV_ASSERT(stream->step == SVI_STEP_KEYS && stream->sasl);
        stream->lookup = NULL;
        svi_mark mark = svi_arena_mark(stream->streams->scratch);
        svi_step next = on_worked_out(stream, work);
        if (stream->step != SVI_STEP_CLOSING) svi_stream_enter(stream, next);
        svi_arena_reset(stream->streams->scratch, mark);
    }
    svi_sasl_work_free(&work);
}

static svi_step work_on(svi_stream *stream, svi_sasl_work *take)
{
    stream->lookup = svi_alloc(svi_server_acct(stream->server), sizeof *stream->lookup);
    stream->lookup->stream = stream;
    stream->lookup->work = take;
    svi_server_work(stream->server, run_work, on_worked, stream->lookup);
    return SVI_STEP_KEYS;
}

static svi_step next_of(svi_stream *stream, const svi_sasl_result *result)
{
    switch (result->next) {
    case SVI_SASL_CHALLENGE: send_sasl(stream, "challenge", result->out); return SVI_STEP_SASL;
    case SVI_SASL_NEED_KEYS: return look_up(stream, result);
    case SVI_SASL_NEED_ACCOUNT: return look_for_account(stream, result);
    case SVI_SASL_NEED_CHECK: return have_checked(stream, result);
    case SVI_SASL_NEED_WORK: return work_on(stream, result->work);
    case SVI_SASL_SUCCESS: return admit(stream, result);
    case SVI_SASL_GUEST: return succeed_as_guest(stream);
    case SVI_SASL_FAILURE: break;
    }
    /* the name is the engine's, which ends in refuse */
    return refuse(stream, result->fault, svi_arena_str(stream->streams->scratch, result->name));
}

/* The data of an element: strict base64 without anything beside it (RFC 6120 6.3.5); "=" is
 * nothing. */
static svi_sasl_fault data_of(const svi_stream *stream, const sv_node *element, sv_str *data_out)
{
    svi_arena *scratch = stream->streams->scratch;
    sv_str text = svi_node_text(element, scratch);
    *data_out = SV_STR_NONE;
    if (svi_node_first(element)) return SVI_SASL_MALFORMED_REQUEST;
    if (sv_str_eq(text, SV_STR("="))) return SVI_SASL_OK;
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(stream->server));
    bool fits = svi_base64_get(&buf, text) == SV_OK;
    if (fits) *data_out = svi_arena_str(scratch, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return fits ? SVI_SASL_OK : SVI_SASL_INCORRECT_ENCODING;
}

static svi_step on_data(svi_stream *stream, const sv_node *element)
{
    sv_str data;
    svi_sasl_fault fault = data_of(stream, element, &data);
    if (fault) return refuse(stream, fault, SV_STR_NONE);
    if (is_locked_meanwhile(stream))
        return refuse(stream, SVI_SASL_TEMPORARY_AUTH_FAILURE, stream->claimed);
    svi_sasl_result result = svi_sasl_step(stream->sasl, data);
    return next_of(stream, &result);
}

/* A new <auth/> replaces an exchange that has not ended (RFC 6120 6.4.2). */
static svi_step on_auth(svi_stream *stream, const sv_node *element)
{
    const bool is_thrown_away = stream->sasl != NULL;
    svi_auth_drop(stream);
    if (is_thrown_away && ++stream->auth_tries >= svi_server_limits(stream->server)->auth_tries)
        return svi_stream_fail(stream, "policy-violation", "Too many attempts to log in.");
    if (!svi_stream_may_login(stream))
        return refuse(stream, SVI_SASL_ENCRYPTION_REQUIRED, SV_STR_NONE);
    const svi_sasl_env env = svi_auth_env(stream);
    svi_sasl_fault fault;
    stream->sasl = svi_sasl_new(svi_server_acct(stream->server),
                                svi_node_attr(element, SV_STR("mechanism")), &env, &fault);
    if (!stream->sasl) return refuse(stream, fault, SV_STR_NONE);
    if (svi_node_child_count(element) > 0) return on_data(stream, element);
    /* no initial response: the mechanism is client-first, so an empty challenge asks for it (RFC
     * 4422 5.1) */
    send_sasl(stream, "challenge", SV_STR_NONE);
    return SVI_STEP_SASL;
}

svi_step svi_on_sasl(svi_stream *stream, const sv_node *element)
{
    if (!sv_str_eq(svi_node_ns(element), SV_STR(SVI_NS_SASL))) return svi_on_stray(stream, element);
    sv_str name = svi_node_name(element);
    if (sv_str_eq(name, SV_STR("auth"))) return on_auth(stream, element);
    if (sv_str_eq(name, SV_STR("abort"))) return refuse(stream, SVI_SASL_ABORTED, SV_STR_NONE);
    if (!sv_str_eq(name, SV_STR("response"))) return svi_on_stray(stream, element);
    if (!stream->sasl) return refuse(stream, SVI_SASL_MALFORMED_REQUEST, SV_STR_NONE);
    return on_data(stream, element);
}
