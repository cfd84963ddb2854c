/* TLS contexts and SSL objects on links by OpenSSL, see net_tls.h. */
#include "net/net_tls.h"

#include <errno.h>
#include <openssl/err.h>

#include "base/base_assert.h"
#include "net/net_link.h"

#define TLS_MAGIC 0x53564c54u
#define HASH_BYTES_MAX 64

/* ECDHE with authenticated encryption only: forward secrecy, no CBC, no static RSA (threats
 * T3). TLS 1.3 has nothing else anyway. */
static const char ciphers_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK:!SRP";

struct svi_tls {
    uint32_t magic;
    _Atomic int32_t refs;
    svi_acct *acct;
    SSL_CTX *ctx;
    BIO_METHOD *pipe; /* reads and writes an svi_link */
    svi_peers *peers;
};

/* --- the pipe between OpenSSL and a link -------------------------------------------------------------- */

static int pipe_read(BIO *bio, char *to, int n)
{
    svi_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n <= 0) return 0;
    const ssize_t got = link->ops->read(link, to, (size_t)n);
    if (got > 0) {
        link->tls_read += (uint64_t)got;
        return (int)got;
    }
    link->tls_dry = true;
    if (got == -EAGAIN) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return got == 0 ? 0 : -1;
}

static int pipe_write(BIO *bio, const char *from, int n)
{
    svi_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n <= 0) return 0;
    const ssize_t put = link->ops->write(link, from, (size_t)n);
    if (put >= 0) return (int)put;
    if (put == -EAGAIN) BIO_set_retry_write(bio);
    return -1;
}

static long pipe_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_EOF: return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP: return 1;
    default: return 0;
    }
}

static BIO_METHOD *pipe_method(void)
{
    BIO_METHOD *pipe = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "svi_link");
    SV_ASSERT(pipe != NULL);
    SV_ASSERT(BIO_meth_set_read(pipe, pipe_read) == 1);
    SV_ASSERT(BIO_meth_set_write(pipe, pipe_write) == 1);
    SV_ASSERT(BIO_meth_set_ctrl(pipe, pipe_ctrl) == 1);
    return pipe;
}

SSL *svi_tls_attach(svi_tls *tls, svi_link *link, const char *name)
{
    SV_CHECK(tls, TLS_MAGIC);
    SSL *ssl = SSL_new(tls->ctx);
    BIO *bio = BIO_new(tls->pipe);
    SV_ASSERT(ssl != NULL && bio != NULL);
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (SSL_is_server(ssl)) {
        SSL_set_accept_state(ssl);
        SSL_set_app_data(ssl, (void *)(uintptr_t)name);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    /* SSL_set_tlsext_host_name, whose cast the compiler does not like; the text is copied. */
    if (name != NULL)
        (void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                       (void *)(uintptr_t)name);
    return ssl;
}

const char *svi_tls_asked(const SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == NULL) name = SSL_get_app_data(ssl);
    return name != NULL ? name : "";
}

/* --- the certificate that was shown -------------------------------------------------------------------- */

/* RFC 5929 4.1: the server's certificate under the hash of its signature, but SHA-256 where that is MD5
 * or SHA-1; a signature without such a hash (Ed25519) has none. `to` has HASH_BYTES_MAX bytes; how many were written. */
static size_t hash_shown(SSL *ssl, uint8_t *to)
{
    /* the server's: that one of several which OpenSSL has chosen in this handshake */
    X509 *cert = SSL_is_server(ssl) == 1 ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
    int hash = NID_undef;
    unsigned n = 0;
    if (cert == NULL || X509_get_signature_info(cert, &hash, NULL, NULL, NULL) != 1) return 0;
    if (hash == NID_md5 || hash == NID_sha1 || hash == NID_md5_sha1) hash = NID_sha256;
    const EVP_MD *md = hash == NID_undef ? NULL : EVP_get_digestbynid(hash);
    if (md == NULL || EVP_MD_get_size(md) > HASH_BYTES_MAX) return 0;
    return X509_digest(cert, md, to, &n) == 1 ? n : 0;
}

/* A resumed connection shows no certificate: its client keeps to the one it was shown in the handshake that
 * gave the ticket, and so must we, though it may be of another kind than others get, or replaced since. The
 * ticket remembers it, and which CA files the client was asked by. */
typedef struct remembered {
    uint8_t hash_n;
    uint8_t hash[HASH_BYTES_MAX]; /* zeros behind it */
    uint8_t is_asked;
    uint8_t asked_by[SVI_PEERS_MARK_BYTES];
} remembered;

static int on_new_ticket(SSL *ssl, void *arg)
{
    const svi_tls *tls = arg;
    remembered r;
    if (SSL_session_reused(ssl) == 1) return 1; /* has it from the ticket before */
    memset(&r, 0, sizeof r);
    r.hash_n = (uint8_t)hash_shown(ssl, r.hash);
    r.is_asked = tls->peers != NULL;
    if (tls->peers != NULL) memcpy(r.asked_by, svi_peers_mark(tls->peers), sizeof r.asked_by);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &r, sizeof r);
}

/* False if the ticket was made by another version. */
static bool recall(SSL_SESSION *session, remembered *r_out)
{
    void *kept = NULL;
    size_t n = 0;
    if (SSL_SESSION_get0_ticket_appdata(session, &kept, &n) != 1 || n != sizeof *r_out) return false;
    memcpy(r_out, kept, n);
    return r_out->hash_n <= HASH_BYTES_MAX;
}

/* Of a context that asks for certificates. A ticket holds the certificate but neither the chain behind it nor
 * a new proof that the client has its key; and one from before a change of CA files would keep the client
 * from being asked. */
static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_n, SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl, (void)name, (void)name_n;
    const svi_tls *tls = arg;
    remembered r;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    const bool is_ours = recall(session, &r) && r.is_asked == 1 &&
                         memcmp(r.asked_by, svi_peers_mark(tls->peers), sizeof r.asked_by) == 0;
    if (!is_ours || SSL_SESSION_get0_peer(session) != NULL) return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* The same as hash_shown for any connection; 0 if it was resumed by a ticket that does not say. */
static size_t end_point(SSL *ssl, uint8_t *to)
{
    remembered r;
    if (SSL_is_server(ssl) != 1 || SSL_session_reused(ssl) != 1) return hash_shown(ssl, to);
    if (!recall(SSL_get_session(ssl), &r)) return 0;
    memcpy(to, r.hash, r.hash_n);
    return r.hash_n;
}

static void on_message(int is_write, int version, int type, const void *data, size_t n, SSL *ssl,
                       void *ctx)
{
    unsigned *count = ctx;
    (void)version;
    const bool is_update = is_write == 0 && type == SSL3_RT_HANDSHAKE && n > 0 &&
                           *(const uint8_t *)data == SSL3_MT_KEY_UPDATE;
    /* As if its end had come: what else lies in the buffer would be hundreds of updates. */
    if (is_update && ++*count > SVI_KEY_UPDATES_MAX)
        SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

void svi_tls_count_updates(SSL *ssl, unsigned *count)
{
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, count);
}

/* --- contexts ------------------------------------------------------------------------------------------ */

/* OpenSSL's reason for the last failure, for an operator. */
static const char *reason(void)
{
    const unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    if (text == NULL) text = "unknown reason";
    return text;
}

/* RFC 6120 5.3.5: a connection whose peer wants to renegotiate ends. OpenSSL only sends an alert, and goes
 * on; so from there on nothing more is read, as behind the peer's end. */
static void on_info(const SSL *ssl, int where, int what)
{
    if ((where & SSL_CB_WRITE_ALERT) != SSL_CB_WRITE_ALERT) return;
    if ((what & 0xff) != SSL_AD_NO_RENEGOTIATION) return;
    SSL_set_shutdown((SSL *)(uintptr_t)ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

static svi_tls *tls_wrap(svi_acct *acct, const SSL_METHOD *method)
{
    ERR_clear_error();
    svi_tls *tls = svi_alloc(acct, sizeof *tls);
    tls->magic = TLS_MAGIC;
    tls->acct = acct;
    atomic_init(&tls->refs, 1);
    tls->ctx = SSL_CTX_new(method);
    SV_ASSERT(tls->ctx != NULL);
    tls->pipe = pipe_method();
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                   SSL_MODE_RELEASE_BUFFERS);
    /* Else one SSL_read goes on through records without data (key updates) for as long as the peer sends
     * them, and nobody else of the thread has a turn. Without, it returns where the socket is to be read
     * again. */
    SSL_CTX_clear_mode(tls->ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(tls->ctx, 1);
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                      SSL_OP_CIPHER_SERVER_PREFERENCE |
                                      SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
    SSL_CTX_set_info_callback(tls->ctx, on_info);
    SV_ASSERT(SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) == 1);
    SV_ASSERT(SSL_CTX_set_cipher_list(tls->ctx, ciphers_12) == 1);
    return tls;
}

/* XEP-0368 requirement 8. Whoever names protocols but not this one, such as a server that looks for
 * xmpp-server, wants somebody else and is refused (RFC 7301 3.2, threats T6). */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *ctx)
{
    (void)ssl;
    (void)ctx;
    static const unsigned char ours[] = "\x0bxmpp-client";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A NUL-terminated copy of a file name; free with svi_free. */
static char *path_of(svi_acct *acct, sv_str name)
{
    char *path = svi_alloc(acct, name.n + 1);
    if (name.n > 0) memcpy(path, name.p, name.n);
    return path;
}

/* A second one of a kind would take the place of the first without a word. */
static sv_status use_pairs(SSL_CTX *ctx, svi_tls_pair *const *pairs, size_t count, sv_err *err)
{
    sv_status status = SV_OK;
    for (size_t i = 0; i < count && status == SV_OK; i++) {
        for (size_t k = 0; k < i; k++)
            if (svi_tls_pair_kind(pairs[i]) == svi_tls_pair_kind(pairs[k]))
                return svi_err(err, SV_EINVAL,
                               "two certificates are of one kind (%s): a host shows one of each",
                               svi_tls_pair_kind(pairs[i]));
        status = svi_tls_pair_use(pairs[i], ctx, err);
    }
    return status;
}

static sv_status use_files(SSL_CTX *ctx, const svi_tls_config *config, sv_err *err)
{
    char *cert_file = path_of(config->acct, config->cert_file);
    char *key_file = path_of(config->acct, config->key_file);
    svi_tls_pair *pair = NULL;
    svi_tls_files files;
    svi_tls_files_read(config->acct, cert_file, key_file, &files);
    sv_status status = svi_tls_pair_new(config->acct, &files, &pair, err);
    if (status == SV_OK) status = use_pairs(ctx, &pair, 1, err);
    svi_tls_pair_unref(&pair);
    svi_tls_files_wipe(&files);
    svi_free(cert_file);
    svi_free(key_file);
    return status;
}

sv_status svi_tls_new(const svi_tls_config *config, svi_tls **tls_out, sv_err *err)
{
    svi_tls *tls = tls_wrap(config->acct, TLS_server_method());
    const sv_status st =
        config->pair_count > 0 ? use_pairs(tls->ctx, config->pairs, config->pair_count, err)
                               : use_files(tls->ctx, config, err);
    if (st != SV_OK) {
        svi_tls_unref(&tls);
        return st;
    }
    static const unsigned char context[] = "stave";
    SV_ASSERT(SSL_CTX_set_session_id_context(tls->ctx, context, sizeof context - 1) == 1);
    /* Sessions live in tickets at the client, not in memory here; one ticket a handshake will
     * do. */
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    SV_ASSERT(SSL_CTX_set_num_tickets(tls->ctx, 1) == 1);
    SV_ASSERT(SSL_CTX_set_session_ticket_cb(tls->ctx, on_new_ticket, NULL, tls) == 1);
    SSL_CTX_set_alpn_select_cb(tls->ctx, choose_alpn, NULL);
    svi_peers_tolerate(tls->ctx);
    if (config->tickets != NULL) svi_tickets_use(config->tickets, tls->ctx);
    *tls_out = tls;
    return SV_OK;
}

sv_status svi_tls_client_new(svi_acct *acct, const char *ca_file, svi_tls **tls_out, sv_err *err)
{
    svi_tls *tls = tls_wrap(acct, TLS_client_method());
    if (ca_file != NULL) {
        if (SSL_CTX_load_verify_file(tls->ctx, ca_file) != 1) {
            const sv_status st =
                svi_err(err, SV_EIO, "%s: no certificates (%s)", ca_file, reason());
            ERR_clear_error();
            svi_tls_unref(&tls);
            return st;
        }
        SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    }
    *tls_out = tls;
    return SV_OK;
}

svi_tls *svi_tls_ref(svi_tls *tls)
{
    SV_CHECK(tls, TLS_MAGIC);
    atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void svi_tls_unref(svi_tls **tls)
{
    svi_tls *t = *tls;
    *tls = NULL;
    if (t == NULL) return;
    SV_CHECK(t, TLS_MAGIC);
    if (atomic_fetch_sub(&t->refs, 1) != 1) return;
    SSL_CTX_free(t->ctx);
    svi_peers_unref(&t->peers);
    BIO_meth_free(t->pipe);
    t->magic = 0;
    svi_free(t);
}

SSL_CTX *svi_tls_context(const svi_tls *tls)
{
    SV_CHECK(tls, TLS_MAGIC);
    return tls->ctx;
}

void svi_tls_set_peers(svi_tls *tls, svi_peers *peers)
{
    SV_CHECK(tls, TLS_MAGIC);
    SV_ASSERT(tls->peers == NULL);
    tls->peers = svi_peers_ref(peers);
    svi_peers_use(peers, tls->ctx);
    SV_ASSERT(SSL_CTX_set_session_ticket_cb(tls->ctx, on_new_ticket, on_ticket_read, tls) == 1);
}

svi_peers *svi_tls_peers(const svi_tls *tls)
{
    SV_CHECK(tls, TLS_MAGIC);
    return tls->peers;
}

static void copy_text(char *to, size_t size, const void *from, size_t n)
{
    if (n >= size) n = size - 1;
    if (n > 0) memcpy(to, from, n);
    to[n] = '\0';
}

/* --- channel bindings: how many bytes were written to `to` (64), 0 if the connection has none --------- */

/* Without it the master secret of TLS 1.2 does not name the handshake, and neither binding would hold
 * (RFC 7627 1, RFC 9266 4.2). */
static bool has_extended_secret(SSL *ssl)
{
    return SSL_version(ssl) == TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1;
}

/* RFC 9266 2: label EXPORTER-Channel-Binding, empty context, 32 bytes. */
static size_t exporter(SSL *ssl, uint8_t *to)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (!has_extended_secret(ssl)) return 0;
    return SSL_export_keying_material(ssl, to, 32, label, sizeof label - 1, NULL, 0, 1) == 1 ? 32
                                                                                             : 0;
}

/* RFC 5929 3.1: the first Finished message: the client's, but the server's when a session was resumed.
 * We are the server; a client's end asks the other way. */
static size_t unique(SSL *ssl, uint8_t *to)
{
    if (!has_extended_secret(ssl)) return 0;
    const bool is_ours = (SSL_session_reused(ssl) == 1) == (SSL_is_server(ssl) == 1);
    return is_ours ? SSL_get_finished(ssl, to, 64) : SSL_get_peer_finished(ssl, to, 64);
}

void svi_tls_describe(SSL *ssl, svi_tls_info *info_out)
{
    memset(info_out, 0, sizeof *info_out);
    const sv_str version = sv_str_of(SSL_get_version(ssl));
    const sv_str cipher = sv_str_of(SSL_get_cipher_name(ssl));
    const sv_str sni = sv_str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    copy_text(info_out->version, sizeof info_out->version, version.p, version.n);
    copy_text(info_out->cipher, sizeof info_out->cipher, cipher.p, cipher.n);
    copy_text(info_out->sni, sizeof info_out->sni, sni.p, sni.n);
    const unsigned char *alpn = NULL;
    unsigned alpn_n = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_n);
    copy_text(info_out->alpn, sizeof info_out->alpn, alpn, alpn_n);
    info_out->resumed = SSL_session_reused(ssl) == 1;
    static size_t (*const kinds[])(SSL *ssl, uint8_t *to) = {exporter, unique, end_point};
    static const char *const names[] = {"tls-exporter", "tls-unique", "tls-server-end-point"};
    for (size_t i = 0; i < SVI_BINDINGS_MAX; i++) {
        svi_binding *b = &info_out->bindings[info_out->binding_count];
        b->n = kinds[i](ssl, b->data);
        if (b->n == 0) continue;
        b->type = names[i];
        /* Not defined for TLS 1.3 (RFC 8446 C.5), so no client is told of it. COMPAT(slixmpp, 1.8, 2028):
         * it names this one whatever the version, and what it sends is as unique there. */
        b->is_silent = kinds[i] == unique && SSL_version(ssl) == TLS1_3_VERSION;
        info_out->binding_count++;
    }
}
