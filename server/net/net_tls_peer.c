/* Clients' certificates: CA files as stores of OpenSSL, judging, what remains of a judged one. */
#include "net/net_tls_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"

#define PEERS_MAGIC 0x50455253u
#define PEER_MAGIC 0x50455231u
#define DIGEST_BYTES SVI_PEERS_DIGEST_BYTES
#define SUBJECT_BYTES 128 /* of a log line */
#define FINGERPRINT_SHOWN 16
#define CHAIN_DEPTH 5   /* intermediate authorities */
#define AUTH_LEVEL 2    /* OpenSSL's: keys and hashes of 112 bits, so neither RSA-1024 nor SHA-1 */

/* One CA file, shared by the hosts that name it. */
typedef struct authority {
    uint8_t digest[DIGEST_BYTES]; /* of all it holds */
    X509_STORE *store;
    STACK_OF(X509_CRL) *crls; /* NULL: none */
} authority;

typedef struct entry {
    struct entry *next;
    sv_str host;
    size_t authority;
} entry;

struct svi_peers {
    uint32_t magic;
    _Atomic int32_t refs;
    _Atomic bool is_retired;
    svi_acct *acct;
    const svi_plat *plat;
    entry *entries;
    authority authorities[SVI_PEER_CAS_MAX];
    size_t authority_count;
    uint8_t digest[DIGEST_BYTES]; /* of all hosts and files: what tickets are tied to */
};

struct svi_peer {
    uint32_t magic;
    _Atomic int32_t refs;
    svi_peers *peers;
    uint32_t vouching; /* bit i: authority i */
    int64_t expires_s;
    char subject[SUBJECT_BYTES];
    char fingerprint[2 * FINGERPRINT_SHOWN + 1];
    size_t name_count;
    sv_str names[SVI_PEER_NAMES_MAX]; /* in text[] */
    char text[];
};

_Static_assert(SVI_PEER_CAS_MAX <= 32, "svi_peer.vouching has a bit for each");

/* --- CA files -------------------------------------------------------------------------------- */

svi_peers *svi_peers_new(svi_acct *acct, const svi_plat *plat)
{
    svi_peers *peers = svi_alloc(acct, sizeof *peers);
    peers->magic = PEERS_MAGIC;
    peers->acct = acct;
    peers->plat = plat;
    atomic_init(&peers->refs, 1);
    return peers;
}

static void authority_clear(authority *a)
{
    X509_STORE_free(a->store);
    sk_X509_CRL_pop_free(a->crls, X509_CRL_free);
    *a = (authority){.store = NULL};
}

svi_peers *svi_peers_ref(svi_peers *peers)
{
    SV_CHECK(peers, PEERS_MAGIC);
    atomic_fetch_add_explicit(&peers->refs, 1, memory_order_relaxed);
    return peers;
}

void svi_peers_unref(svi_peers **peers)
{
    svi_peers *p = *peers;
    *peers = NULL;
    if (p == NULL) return;
    SV_CHECK(p, PEERS_MAGIC);
    if (atomic_fetch_sub(&p->refs, 1) != 1) return;
    for (size_t i = 0; i < p->authority_count; i++) authority_clear(&p->authorities[i]);
    while (p->entries != NULL) {
        entry *e = p->entries;
        p->entries = e->next;
        svi_str_free(&e->host);
        svi_free(e);
    }
    p->magic = 0;
    svi_free(p);
}

static void digest_more(uint8_t digest[DIGEST_BYTES], const void *data, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    SV_ASSERT(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    SV_ASSERT(EVP_DigestUpdate(ctx, digest, DIGEST_BYTES) == 1);
    SV_ASSERT(EVP_DigestUpdate(ctx, data, n) == 1);
    SV_ASSERT(EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

static void add_cert(authority *a, X509 *cert)
{
    uint8_t hash[DIGEST_BYTES];
    SV_ASSERT(X509_STORE_add_cert(a->store, cert) == 1);
    SV_ASSERT(X509_digest(cert, EVP_sha256(), hash, NULL) == 1);
    digest_more(a->digest, hash, sizeof hash);
}

static void add_crl(authority *a, X509_CRL *crl)
{
    uint8_t hash[DIGEST_BYTES];
    if (a->crls == NULL) a->crls = sk_X509_CRL_new_null();
    SV_ASSERT(a->crls != NULL && X509_CRL_up_ref(crl) == 1);
    SV_ASSERT(sk_X509_CRL_push(a->crls, crl) > 0);
    SV_ASSERT(X509_STORE_add_crl(a->store, crl) == 1);
    SV_ASSERT(X509_CRL_digest(crl, EVP_sha256(), hash, NULL) == 1);
    digest_more(a->digest, hash, sizeof hash);
}

/* Takes what a file holds; how many certificates that are. */
static int add_all(authority *a, const STACK_OF(X509_INFO) * all)
{
    int certs = 0;
    for (int i = 0; i < sk_X509_INFO_num(all); i++) {
        const X509_INFO *info = sk_X509_INFO_value(all, i);
        if (info->x509 != NULL) add_cert(a, info->x509);
        if (info->crl != NULL) add_crl(a, info->crl);
        certs += info->x509 != NULL;
    }
    return certs;
}

/* A pipe that somebody put there would be waited for, by the router at a reload. */
static BIO *open_file(const char *file, sv_err *err)
{
    struct stat st;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const bool is_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    FILE *stream = is_file ? fdopen(fd, "r") : NULL;
    if (stream != NULL) return BIO_new_fp(stream, BIO_CLOSE);
    (void)svi_err(err, SV_EIO, "%s: %s", file, fd < 0 || is_file ? strerror(errno) : "not a file");
    if (fd >= 0) (void)close(fd);
    return NULL;
}

static sv_status read_file(const char *file, authority *a, sv_err *err)
{
    BIO *bio = open_file(file, err);
    if (bio == NULL) return SV_EIO;
    ERR_clear_error();
    STACK_OF(X509_INFO) *all = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
    BIO_free(bio);
    const char *why = all == NULL ? ERR_reason_error_string(ERR_peek_last_error()) : NULL;
    a->store = X509_STORE_new();
    SV_ASSERT(a->store != NULL);
    const int certs = all != NULL ? add_all(a, all) : 0;
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    ERR_clear_error();
    if (certs > 0) return SV_OK;
    return svi_err(err, SV_EINVAL, "%s: no CA certificate in PEM (%s)", file,
                   why != NULL ? why : "it holds none");
}

sv_status svi_peers_add(svi_peers *peers, sv_str host, sv_str ca_file, sv_err *err)
{
    SV_CHECK(peers, PEERS_MAGIC);
    authority fresh = {.store = NULL};
    sv_str file = svi_str_dup(peers->acct, ca_file);
    sv_status status = read_file(file.p, &fresh, err);
    size_t at = 0;
    while (at < peers->authority_count &&
           memcmp(peers->authorities[at].digest, fresh.digest, DIGEST_BYTES) != 0)
        at++;
    if (status == SV_OK && at == SVI_PEER_CAS_MAX)
        status = svi_err(err, SV_ELIMIT, "%s: a server takes %u different CA files", file.p,
                         SVI_PEER_CAS_MAX);
    svi_str_free(&file);
    if (status != SV_OK || at < peers->authority_count)
        authority_clear(&fresh);
    else
        peers->authorities[peers->authority_count++] = fresh;
    if (status != SV_OK) return status;
    entry *e = svi_alloc(peers->acct, sizeof *e);
    *e = (entry){
        .next = peers->entries, .host = svi_str_dup(peers->acct, host), .authority = at};
    peers->entries = e;
    digest_more(peers->digest, host.p, host.n);
    digest_more(peers->digest, peers->authorities[at].digest, DIGEST_BYTES);
    return SV_OK;
}

void svi_peers_retire(svi_peers *peers, const svi_peers *next)
{
    SV_CHECK(peers, PEERS_MAGIC);
    if (next == NULL || memcmp(peers->digest, next->digest, DIGEST_BYTES) != 0)
        atomic_store(&peers->is_retired, true);
}

/* --- TLS contexts ---------------------------------------------------------------------------- */

/* In place of OpenSSL's own verification, whose refusal would end the handshake: svi_peers_judge says
 * what the certificate is worth. That the client has its key, TLS itself sees to. */
static int take_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 1;
}

void svi_peers_tolerate(SSL_CTX *ctx)
{
    SSL_CTX_set_cert_verify_callback(ctx, take_any, NULL);
}

void svi_peers_digest(const svi_peers *peers, uint8_t to[SVI_PEERS_DIGEST_BYTES])
{
    SV_CHECK(peers, PEERS_MAGIC);
    memcpy(to, peers->digest, DIGEST_BYTES);
}

/* A ticket holds the certificate but neither the chain behind it nor a new proof that the client has
 * its key; and one from before a change of CA files would keep the client from being asked. */
bool svi_peers_may_resume(const svi_peers *peers, SSL_SESSION *session, sv_str digest)
{
    SV_CHECK(peers, PEERS_MAGIC);
    const bool is_ours =
        digest.n == DIGEST_BYTES && memcmp(digest.p, peers->digest, DIGEST_BYTES) == 0;
    return is_ours && SSL_SESSION_get0_peer(session) == NULL;
}

void svi_peers_use(SSL_CTX *ctx)
{
    svi_peers_tolerate(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_max_cert_list(ctx, SVI_PEER_CHAIN_BYTES);
}

/* NULL: it has none. */
static const entry *find(const svi_peers *peers, sv_str host)
{
    const entry *e = peers->entries;
    while (e != NULL && !sv_str_eq(e->host, host)) e = e->next;
    return e;
}

bool svi_peers_has(const svi_peers *peers, sv_str host)
{
    SV_CHECK(peers, PEERS_MAGIC);
    return find(peers, host) != NULL;
}

void svi_peers_ask(SSL *ssl, bool asks)
{
    SSL_set_verify(ssl, asks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
}

/* --- judging --------------------------------------------------------------------------------- */

/* RFC 6120 13.7.1.4: a UTF8String. Anything else under that name is no address, and whoever made the
 * certificate is not to be trusted with the others (a NUL in one would end it early for some). */
static bool take_name(svi_peer *peer, const OTHERNAME *other, size_t *used)
{
    if (other->value->type != V_ASN1_UTF8STRING) return false;
    const ASN1_UTF8STRING *value = other->value->value.utf8string;
    const int n = ASN1_STRING_length(value);
    const sv_str name = {(const char *)ASN1_STRING_get0_data(value), n > 0 ? (size_t)n : 0};
    if (name.n == 0 || name.n > SVI_PEER_NAME_MAX || peer->name_count == SVI_PEER_NAMES_MAX)
        return false;
    if (memchr(name.p, 0, name.n) != NULL || !svi_utf8_valid(name)) return false;
    memcpy(peer->text + *used, name.p, name.n);
    peer->names[peer->name_count++] = (sv_str){peer->text + *used, name.n};
    *used += name.n;
    return true;
}

static bool is_address(const GENERAL_NAME *name)
{
    return name->type == GEN_OTHERNAME &&
           OBJ_obj2nid(name->d.otherName->type_id) == NID_XmppAddr;
}

/* How much text the names have, at most what one certificate may have. */
static size_t text_bytes(const GENERAL_NAMES *all)
{
    size_t n = 0, count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && count < SVI_PEER_NAMES_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (!is_address(name) || name->d.otherName->value->type != V_ASN1_UTF8STRING) continue;
        n += (size_t)ASN1_STRING_length(name->d.otherName->value->value.utf8string);
        count++;
    }
    return n;
}

static bool take_names(svi_peer *peer, const GENERAL_NAMES *all)
{
    size_t used = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (is_address(name) && !take_name(peer, name->d.otherName, &used)) return false;
    }
    return peer->name_count > 0;
}

/* Of an authority without a CRL in the file nobody can ask whether it has revoked; where one is there
 * all its certificates must stand the test. */
static int on_verify_error(int ok, X509_STORE_CTX *ctx)
{
    const authority *a = X509_STORE_CTX_get_app_data(ctx);
    if (ok == 1 || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_UNABLE_TO_GET_CRL) return ok;
    const X509_NAME *issuer = X509_get_issuer_name(X509_STORE_CTX_get_current_cert(ctx));
    for (int i = 0; i < sk_X509_CRL_num(a->crls); i++)
        if (X509_NAME_cmp(X509_CRL_get_issuer(sk_X509_CRL_value(a->crls, i)), issuer) == 0) return 0;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

static int64_t seconds_of(const ASN1_TIME *when)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    SV_ASSERT(epoch != NULL);
    const bool ok = ASN1_TIME_diff(&days, &seconds, epoch, when) == 1;
    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * 86400 + seconds : 0;
}

static void note_expiry(svi_peer *peer, STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const int64_t at_s = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (at_s < peer->expires_s) peer->expires_s = at_s;
    }
}

/* RFC 5280 6.1 by OpenSSL: signatures, validity now, purpose clientAuth (RFC 5280 4.2.1.12), CRLs. An
 * intermediate authority in the file is an anchor, too. */
static bool is_vouched_for(svi_peer *peer, const authority *a, X509 *cert, STACK_OF(X509) * chain)
{
    const svi_plat *plat = peer->peers->plat;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    SV_ASSERT(ctx != NULL && X509_STORE_CTX_init(ctx, a->store, cert, chain) == 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (a->crls != NULL) flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    SV_ASSERT(X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1);
    SV_ASSERT(X509_VERIFY_PARAM_set_flags(param, flags) == 1);
    X509_VERIFY_PARAM_set_time(param, (time_t)(plat->wall_us(plat->ctx) / 1000000));
    X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    X509_STORE_CTX_set_app_data(ctx, (void *)(uintptr_t)a);
    X509_STORE_CTX_set_verify_cb(ctx, on_verify_error);
    const bool fits = X509_verify_cert(ctx) == 1;
    if (fits) note_expiry(peer, X509_STORE_CTX_get0_chain(ctx));
    X509_STORE_CTX_free(ctx);
    return fits;
}

static void describe(svi_peer *peer, X509 *cert)
{
    uint8_t hash[SVI_PEER_FINGERPRINT_BYTES];
    SV_ASSERT(X509_digest(cert, EVP_sha256(), hash, NULL) == 1);
    for (size_t i = 0; i < FINGERPRINT_SHOWN; i++)
        (void)snprintf(peer->fingerprint + 2 * i, 3, "%02x", hash[i]);
    BIO *bio = BIO_new(BIO_s_mem());
    SV_ASSERT(bio != NULL);
    char *text = NULL;
    (void)X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    const long n = BIO_get_mem_data(bio, &text);
    const size_t kept = n < SUBJECT_BYTES ? (size_t)n : SUBJECT_BYTES - 1;
    if (n > 0) memcpy(peer->subject, text, kept);
    BIO_free(bio);
}

static svi_peer *peer_new(svi_peers *peers, const GENERAL_NAMES *all)
{
    svi_peer *peer = svi_alloc(peers->acct, sizeof *peer + text_bytes(all));
    peer->magic = PEER_MAGIC;
    atomic_init(&peer->refs, 1);
    peer->peers = svi_peers_ref(peers);
    peer->expires_s = INT64_MAX;
    return peer;
}

svi_peer *svi_peers_judge_cert(svi_peers *peers, X509 *cert, STACK_OF(X509) * chain)
{
    SV_CHECK(peers, PEERS_MAGIC);
    int found = 0;
    ERR_clear_error();
    /* NULL also if there are two such extensions, or one that can't be read */
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, &found, NULL);
    /* RFC 6120 13.7.1.1 rule 2 */
    if (all == NULL || X509_check_ca(cert) != 0) {
        GENERAL_NAMES_free(all);
        ERR_clear_error();
        return NULL;
    }
    svi_peer *peer = peer_new(peers, all);
    const bool has_names = take_names(peer, all);
    GENERAL_NAMES_free(all);
    for (size_t i = 0; has_names && i < peers->authority_count; i++)
        if (is_vouched_for(peer, &peers->authorities[i], cert, chain))
            peer->vouching |= UINT32_C(1) << i;
    ERR_clear_error();
    if (peer->vouching == 0)
        svi_peer_unref(&peer);
    else
        describe(peer, cert);
    return peer;
}

svi_peer *svi_peers_judge(svi_peers *peers, SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || SSL_session_reused(ssl) == 1) return NULL;
    return svi_peers_judge_cert(peers, cert, SSL_get_peer_cert_chain(ssl));
}

/* --- judged certificates --------------------------------------------------------------------- */

svi_peer *svi_peer_ref(svi_peer *peer)
{
    SV_CHECK(peer, PEER_MAGIC);
    atomic_fetch_add_explicit(&peer->refs, 1, memory_order_relaxed);
    return peer;
}

void svi_peer_unref(svi_peer **peer)
{
    svi_peer *p = *peer;
    *peer = NULL;
    if (p == NULL) return;
    SV_CHECK(p, PEER_MAGIC);
    if (atomic_fetch_sub(&p->refs, 1) != 1) return;
    svi_peers_unref(&p->peers);
    p->magic = 0;
    svi_free(p);
}

bool svi_peer_is_for(const svi_peer *peer, sv_str host)
{
    SV_CHECK(peer, PEER_MAGIC);
    if (atomic_load(&peer->peers->is_retired)) return false;
    const entry *e = find(peer->peers, host);
    return e != NULL && (peer->vouching >> e->authority & 1) != 0;
}

sv_str svi_peer_name(const svi_peer *peer, size_t i)
{
    SV_CHECK(peer, PEER_MAGIC);
    return i < peer->name_count ? peer->names[i] : SV_STR_NONE;
}

int64_t svi_peer_expires_s(const svi_peer *peer)
{
    SV_CHECK(peer, PEER_MAGIC);
    return peer->expires_s;
}

sv_str svi_peer_subject(const svi_peer *peer)
{
    SV_CHECK(peer, PEER_MAGIC);
    return sv_str_of(peer->subject);
}

sv_str svi_peer_fingerprint(const svi_peer *peer)
{
    SV_CHECK(peer, PEER_MAGIC);
    return sv_str_of(peer->fingerprint);
}
