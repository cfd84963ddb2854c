/* A world for tests of streams and accounts: a whole server on a virtual clock with the
 * simulated engine and inline I/O, and clients on memory links that speak XML, TLS and SCRAM. */
#ifndef SVI_XMPP_STREAM_TESTING_H
#define SVI_XMPP_STREAM_TESTING_H

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_testing.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_event.h"
#include "xmpp/xmpp_removal.h"
#include "xmpp/xmpp_scram_keys.h"

#define CLIENTS 40
#define ITERATIONS 64u /* of test accounts: what PBKDF2 costs is no matter here */

#define TLS_NS "urn:ietf:params:xml:ns:xmpp-tls"
#define SASL_NS "urn:ietf:params:xml:ns:xmpp-sasl"
#define BIND_NS "urn:ietf:params:xml:ns:xmpp-bind"
#define STREAM_TO(to)                                                                              \
    "<?xml version='1.0'?><stream:stream to='" to "' version='1.0' xmlns='jabber:client' "         \
    "xmlns:stream='http://etherx.jabber.org/streams'>"
#define STREAM STREAM_TO("localhost")
#define STARTTLS "<starttls xmlns='" TLS_NS "'/>"

typedef struct client {
    svi_link *link;
    SSL *ssl;
    bool shaken, at_end, broken;
    svi_buf in, out;
    size_t seen; /* of `in` by expect() */
} client;

typedef struct world {
    svi_acct acct;
    svi_plat_virtual clock;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_server *server;
    svi_host *host, *other;
    svi_link_pairs *pairs;
    svi_listener *listener;
    svi_tls *server_tls, *client_tls;
    svi_arena *arena;
    client clients[CLIENTS];
    size_t client_count;
    svi_buf log;
} world;

typedef struct setting {
    svi_tls_mode mode;
    bool is_public, require_tls;
    bool is_relayed; /* its clients begin with a PROXY header */
    svi_limits limits; /* all zero: the defaults */
    svi_logins logins; /* of both hosts */
    size_t guests_max;
    bool keeps_addresses;
    bool keeps_records; /* of sessions */
} setting;

/* A listener on loopback without TLS, and one where a login needs STARTTLS. */
#define PLAIN ((setting){.mode = SVI_TLS_NONE})
#define STARTTLS_ONLY ((setting){.mode = SVI_TLS_STARTTLS, .is_public = true, .require_tls = true})

#define HEADER(attrs)                                                                              \
    "<stream:stream " attrs " xmlns='jabber:client' "                                              \
    "xmlns:stream='http://etherx.jabber.org/streams'>"

/* What is said, and the stream error that must end the stream; NULL: none. */
typedef struct bad {
    const char *said;
    const char *error;
} bad;

/* --- time ------------------------------------------------------------------------------------ */

static bool client_io(client *c)
{
    char bytes[16384];
    bool moved = false;
    if (!c->link || c->broken || c->at_end) return false;
    if (c->ssl && !c->shaken) {
        ERR_clear_error();
        int rc = SSL_do_handshake(c->ssl), why = SSL_get_error(c->ssl, rc);
        c->shaken = rc == 1;
        c->broken = rc != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
        if (!c->shaken) return c->broken;
        moved = true;
    }
    if (c->out.len > 0) {
        ssize_t put = c->ssl ? SSL_write(c->ssl, c->out.data, (int)c->out.len)
                             : c->link->ops->write(c->link, c->out.data, c->out.len);
        if (put > 0) {
            svi_buf_consume(&c->out, (size_t)put);
            moved = true;
        }
    }
    for (;;) {
        ERR_clear_error();
        ssize_t got = c->ssl ? SSL_read(c->ssl, bytes, sizeof bytes)
                             : c->link->ops->read(c->link, bytes, sizeof bytes);
        if (got > 0) {
            svi_buf_put(&c->in, (sv_str){bytes, (size_t)got});
            moved = true;
            continue;
        }
        if (c->ssl) {
            int why = SSL_get_error(c->ssl, (int)got);
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return moved;
            c->at_end = true;
            return true;
        }
        if (got == -EAGAIN) return moved;
        c->at_end = true;
        return true;
    }
}

/* Until nothing moves any more. */
static void run(world *w)
{
    int quiet = 0;
    for (int i = 0; i < 100000 && quiet < 3; i++) {
        bool moved = false;
        for (size_t k = 0; k < w->client_count; k++) moved = client_io(&w->clients[k]) || moved;
        moved = svi_link_pairs_run(w->pairs) > 0 || moved;
        moved = svi_server_turn(w->server) || moved;
        if (!svi_engine_sim_plan(w->engine)->hold)
            moved = svi_engine_sim_step(w->engine, 100) > 0 || moved;
        svi_store_hurry(svi_server_store(w->server));
        quiet = moved ? 0 : quiet + 1;
    }
    assert_int_equal(quiet, 3);
}

static inline void pass_time(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->clock, us);
    run(w);
}

/* --- clients --------------------------------------------------------------------------------- */

static client *client_from(world *w, const char *peer)
{
    assert_true(w->client_count < CLIENTS);
    client *c = &w->clients[w->client_count++];
    svi_link *server = NULL;
    svi_buf_init(&c->in, &w->acct);
    svi_buf_init(&c->out, &w->acct);
    svi_link_pair(w->pairs, 1u << 20, &c->link, &server);
    svi_net_attach(svi_server_net(w->server), w->listener, server, peer);
    return c;
}

static inline client *client_new(world *w)
{
    return client_from(w, "memory");
}

static void client_close(client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->link) c->link->ops->close(c->link);
    c->link = NULL;
}

static inline void say(world *w, client *c, const char *text)
{
    svi_buf_put(&c->out, sv_str_of(text));
    run(w);
}

/* Everything that came since the last call, with a NUL. */
static inline const char *heard(world *w, client *c)
{
    sv_str fresh = {c->in.data + c->seen, c->in.len - c->seen};
    if (c->in.len == c->seen) return "";
    c->seen = c->in.len;
    return svi_arena_str(w->arena, fresh).p;
}

static inline void start_tls_layer(world *w, client *c)
{
    c->ssl = svi_tls_attach(w->client_tls, c->link, "localhost");
    run(w);
    assert_true(c->shaken);
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (!strstr(text_, (part))) fail_msg("no %s in: %s", (part), text_);                       \
    } while (0)
#define assert_lacks(text, part)                                                                   \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (strstr(text_, (part))) fail_msg("%s in: %s", (part), text_);                           \
    } while (0)

/* The server has ended the connection; the client closes its side, which the server waits for
 * (RFC 6120 4.4). */
static inline void assert_ended(world *w, client *c)
{
    run(w);
    assert_true(c->at_end);
    client_close(c);
    run(w);
}

/* --- SCRAM from the client's side ------------------------------------------------------------ */

static sv_str to_base64(world *w, sv_str raw)
{
    svi_buf buf;
    svi_buf_init(&buf, &w->acct);
    svi_base64_put(&buf, raw);
    sv_str out = svi_arena_str(w->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return out;
}

static sv_str from_base64(world *w, sv_str text)
{
    svi_buf buf;
    svi_buf_init(&buf, &w->acct);
    assert_int_equal(svi_base64_get(&buf, text), SV_OK);
    sv_str out = svi_arena_str(w->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return out;
}

static inline const char *sasl_text(world *w, const char *element, const char *attrs, sv_str raw)
{
    return svi_arena_printf(w->arena, "<%s xmlns='" SASL_NS "'%s>%s</%s>", element, attrs,
                            to_base64(w, raw).p, element)
        .p;
}

/* The raw text of a challenge or success among what came. */
static inline sv_str sasl_data(world *w, const char *answer, const char *element)
{
    const char *open = svi_arena_printf(w->arena, "<%s xmlns='" SASL_NS "'>", element).p;
    const char *at = strstr(answer, open);
    if (!at) fail_msg("no %s in: %s", element, answer);
    at += strlen(open);
    return from_base64(w, (sv_str){at, strcspn(at, "<")});
}

static inline void say_auth(world *w, client *c, const char *user)
{
    sv_str first = svi_arena_printf(w->arena, "n,,n=%s,r=cnonce", user);
    say(w, c, sasl_text(w, "auth", " mechanism='SCRAM-SHA-256'", first));
}

/* The final message for a server-first message; `server_out` (may be NULL) gets the signature
 * that must come back. */
static inline sv_str scram_final(world *w, const char *user, const char *password,
                                 sv_str server_first, sv_str *server_out)
{
    const svi_scram_hash *hash = svi_scram_hash_find(SV_STR("SCRAM-SHA-256"));
    uint8_t salted[32], client_key[32], stored[32], signature[32], server_key[32];
    sv_str rest = server_first, nonce, salt = SV_STR_NONE, count = SV_STR_NONE;
    assert_true(svi_str_split(&rest, ',', &nonce) && svi_str_split(&rest, ',', &salt) &&
                svi_str_split(&rest, ',', &count));
    sv_str raw_salt = from_base64(w, svi_str_sub(salt, 2, salt.n));
    int64_t iterations;
    assert_int_equal(svi_str_int(svi_str_sub(count, 2, count.n), 1, 1000000, &iterations), SV_OK);
    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const unsigned char *)raw_salt.p,
                      (int)raw_salt.n, (int)iterations, EVP_sha256(), 32, salted);
    sv_str without = svi_arena_printf(w->arena, "c=biws,%.*s", (int)nonce.n, nonce.p);
    sv_str auth = svi_arena_printf(w->arena, "n=%s,r=cnonce,%.*s,%s", user, (int)server_first.n,
                                   server_first.p, without.p);
    svi_scram_hmac(hash, salted, 32, SV_STR("Client Key"), client_key);
    svi_scram_digest(hash, client_key, 32, stored);
    svi_scram_hmac(hash, stored, 32, auth, signature);
    for (size_t i = 0; i < 32; i++) client_key[i] ^= signature[i];
    svi_scram_hmac(hash, salted, 32, SV_STR("Server Key"), server_key);
    svi_scram_hmac(hash, server_key, 32, auth, signature);
    if (server_out)
        *server_out = svi_arena_printf(w->arena, "v=%s",
                                       to_base64(w, (sv_str){(const char *)signature, 32}).p);
    return svi_arena_printf(w->arena, "%s,p=%s", without.p,
                            to_base64(w, (sv_str){(const char *)client_key, 32}).p);
}

/* The whole exchange on a stream that offers it; what came last is the answer. */
static inline const char *authenticate(world *w, client *c, const char *user, const char *password)
{
    sv_str server;
    (void)heard(w, c);
    say_auth(w, c, user);
    sv_str first = sasl_data(w, heard(w, c), "challenge");
    say(w, c, sasl_text(w, "response", "", scram_final(w, user, password, first, &server)));
    const char *answer = heard(w, c);
    if (strstr(answer, "<success")) assert_true(sv_str_eq(sasl_data(w, answer, "success"), server));
    return answer;
}

static inline void log_in(world *w, client *c, const char *user, const char *password)
{
    assert_has(authenticate(w, c, user, password), "<success");
    say(w, c, STREAM);
    assert_has(heard(w, c), "<bind xmlns='" BIND_NS "'/>");
}

static inline const char *bind_resource(world *w, client *c, const char *resource)
{
    say(w, c,
        svi_arena_printf(
            w->arena, "<iq type='set' id='b'><bind xmlns='" BIND_NS "'>%s</bind></iq>",
            resource ? svi_arena_printf(w->arena, "<resource>%s</resource>", resource).p : "")
            .p);
    return heard(w, c);
}

/* --- accounts -------------------------------------------------------------------------------- */

static void on_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static inline int set_account(world *w, const char *user, const char *password, bool replace)
{
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", sv_str_of(password),
                                      SV_STR("0123456789abcdef"), ITERATIONS, &keys),
                     SV_OK);
    svi_account_set(w->host, sv_str_of(user), &keys, 1, replace, on_status, &status);
    assert_int_equal(status, 1); /* never before the call has returned */
    run(w);
    return status;
}

/* --- worlds ---------------------------------------------------------------------------------- */

static char cert_file[64], key_file[64];

static void make_certificate(void)
{
    (void)snprintf(cert_file, sizeof cert_file, "/tmp/stave-stream-test.%ld.crt", (long)getpid());
    (void)snprintf(key_file, sizeof key_file, "/tmp/stave-stream-test.%ld.key", (long)getpid());
    sv_err err;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("localhost"), cert_file, key_file, &err),
                     SV_OK);
}

static void remove_certificate(void)
{
    (void)unlink(cert_file);
    (void)unlink(key_file);
}

static void to_log(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    svi_buf_put(ctx, line);
}

static int64_t world_wall(void *ctx)
{
    const svi_plat *plat = ctx;
    return plat->wall_us(plat->ctx);
}

static svi_host *add_host(world *w, const char *domain, const setting *s)
{
    sv_err err;
    svi_host *host = NULL;
    const svi_host_config config = {.domain = sv_str_of(domain),
                                    .require_tls = s->require_tls,
                                    .logins = s->logins,
                                    .guests_max = s->guests_max,
                                    .keeps_addresses = s->keeps_addresses};
    assert_int_equal(svi_host_add(w->server, &config, &host, &err), SV_OK);
    return host;
}

static world *world_new(setting s)
{
    static const svi_subnet all_unix[] = {{.kind = SVI_SUBNET_UNIX}};
    sv_err err = {.code = SV_OK};
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->acct.name = "stream-test";
    svi_plat_virtual_init(&w->clock, 11);
    svi_buf_init(&w->log, &w->acct);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, to_log, &w->log, world_wall, &w->clock.plat);
    w->arena = svi_arena_new(&w->acct, 65536);
    w->pairs = svi_link_pairs_new(&w->acct);
    w->disk = svi_sim_disk_new(&w->acct);
    w->engine = svi_engine_sim(&w->acct, w->disk);
    const svi_server_config config = {
        .acct = &w->acct,
        .plat = &w->clock.plat,
        .engine = w->engine,
        .limits = s.limits.strangers ? s.limits : svi_limits_default(),
        .salt_secret = SV_STR("secret of the test"),
        .keeps_records = s.keeps_records,
    };
    assert_int_equal(svi_server_new(&config, &w->server, &err), SV_OK);
    w->host = add_host(w, "localhost", &s);
    w->other = add_host(w, "other.test", &s);
    const svi_tls_config tls = {
        .acct = &w->acct, .cert_file = sv_str_of(cert_file), .key_file = sv_str_of(key_file)};
    assert_int_equal(svi_tls_new(&tls, &w->server_tls, &err), SV_OK);
    assert_int_equal(svi_tls_client_new(&w->acct, NULL, &w->client_tls, &err), SV_OK);
    const svi_listen_config listen = {.fd = -1,
                                      .mode = s.mode,
                                      .tls = s.mode == SVI_TLS_NONE ? NULL : w->server_tls,
                                      .limits = config.limits.stranger,
                                      .rate = config.limits.stranger_rate,
                                      .is_public = s.is_public,
                                      .ctx = w,
                                      .proxies = all_unix,
                                      .proxy_count = s.is_relayed ? 1 : 0};
    assert_int_equal(svi_net_listen(svi_server_net(w->server), &listen, &w->listener, &err), SV_OK);
    assert_int_equal(set_account(w, "romeo", "rosaline", false), SV_OK);
    return w;
}

/* Ends the world and looks that nothing is left of it. */
static void world_free(world *w)
{
    for (size_t i = 0; i < w->client_count; i++) {
        client_close(&w->clients[i]);
        svi_buf_free(&w->clients[i].in);
        svi_buf_free(&w->clients[i].out);
    }
    if (w->server) {
        run(w);
        assert_true(svi_server_is_idle(w->server));
        svi_server_free(&w->server, 0);
    }
    svi_tls_unref(&w->server_tls);
    svi_tls_unref(&w->client_tls);
    svi_link_pairs_free(&w->pairs);
    svi_sim_disk_free(&w->disk);
    svi_arena_free(&w->arena);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_buf_free(&w->log);
    assert_int_equal(atomic_load(&w->acct.live_bytes), 0);
    free(w);
}

/* --- what most tests begin and end with ------------------------------------------------------ */

static inline client *opened_from(world *w, const char *peer)
{
    client *c = client_from(w, peer);
    say(w, c, STREAM);
    return c;
}

static inline client *opened(world *w)
{
    return opened_from(w, "memory");
}

static inline client *bound(world *w, const char *resource)
{
    client *c = opened(w);
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, resource), "type='result'");
    return c;
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) n++;
    return n;
}

/* Our header once, the error, our end, and then the connection closes (RFC 6120 4.9.1.1,
 * 4.9.1.2). */
static inline void assert_failed(world *w, client *c, const char *condition)
{
    const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
    const char *error =
        svi_arena_printf(
            w->arena, "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition)
            .p;
    assert_has(all, error);
    assert_int_equal(count_of(all, "<stream:error>"), 1);
    if (!svi_str_ends(sv_str_of(all), SV_STR("</stream:error></stream:stream>")))
        fail_msg("after the error: %s", all);
    assert_ended(w, c);
}

#endif
