/* Pairs of files: read, checked, shown beside each other, and bound to. */
#include <stdlib.h>

#include "net/net_link.h"
#include "net/net_tls.h"
#include "net/net_tls_test_util.h"

static svi_acct books = {.name = "pair-test"};
static char dir[64], cert_file[96], key_file[96];
static EVP_PKEY *rsa, *ec; /* made once: RSA keys take their time */

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-pair-test.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(cert_file, sizeof cert_file, "%s/c.pem", dir);
    (void)snprintf(key_file, sizeof key_file, "%s/k.pem", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(cert_file);
    (void)unlink(key_file);
    if (ERR_peek_error() != 0 || atomic_load(&books.live_bytes) != 0) return -1;
    return rmdir(dir);
}

static int make_keys(void **state)
{
    (void)state;
    rsa = key_rsa(2048);
    ec = key_ec();
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

/* What the two files hold, or why not. */
static sv_status load(svi_tls_pair **pair_out, sv_err *err)
{
    svi_tls_files files;
    svi_tls_files_read(&books, cert_file, key_file, &files);
    const sv_status status = svi_tls_pair_new(&books, &files, pair_out, err);
    svi_tls_files_wipe(&files);
    return status;
}

static void expect_refused(sv_status status, const char *file, const char *text)
{
    svi_tls_pair *pair = NULL;
    sv_err err;
    assert_int_equal(load(&pair, &err), status);
    assert_null(pair);
    if (strstr(err.text, file) == NULL || strstr(err.text, text) == NULL) fail_msg("%s", err.text);
}

static svi_tls_pair *pair_of(X509 *cert, EVP_PKEY *key, X509 *chain)
{
    svi_tls_pair *pair = NULL;
    sv_err err = {.text = ""};
    write_certs(cert_file, cert, chain, NULL);
    write_key(key_file, key, NULL);
    if (load(&pair, &err) != SV_OK) fail_msg("%s", err.text);
    return pair;
}

/* --- what is refused ----------------------------------------------------------------------------------- */

static void bad_files_are_named_with_their_cause(void **state)
{
    (void)state;
    X509 *cert = cert_new(&(cert_spec){.key = ec, .name = "a.example"});
    EVP_PKEY *other = key_ec();
    expect_refused(SV_EIO, key_file, "No such file");
    write_key(key_file, ec, NULL);
    expect_refused(SV_EIO, cert_file, "No such file");
    write_bytes(cert_file, "nothing", 7);
    expect_refused(SV_EINVAL, cert_file, "not a certificate chain in PEM");
    write_certs(cert_file, cert, NULL, NULL);
    write_key(key_file, other, NULL);
    expect_refused(SV_EINVAL, key_file, "does not belong to");
    write_key(key_file, ec, "secret"); /* and nobody is asked at the terminal */
    expect_refused(SV_EINVAL, key_file, "needs a passphrase");
    write_bytes(key_file, "", 0);
    expect_refused(SV_EINVAL, key_file, "not the private key of");
    write_key(key_file, ec, NULL);
    assert_int_equal(chmod(key_file, 0644), 0);
    expect_refused(SV_EINVAL, key_file, "others may read this key");
    assert_int_equal(chmod(key_file, 0640), 0); /* the group of the server's user */
    svi_tls_pair *pair = NULL;
    assert_int_equal(load(&pair, NULL), SV_OK);
    assert_string_equal(svi_tls_pair_kind(pair), "ECDSA");
    svi_tls_pair_unref(&pair);
    X509_free(cert);
    EVP_PKEY_free(other);
}

/* A chain that is cut off in the middle is not the chain, though its first certificate is whole. */
static void a_damaged_chain_is_refused(void **state)
{
    (void)state;
    char text[20000];
    X509 *cert = cert_new(&(cert_spec){.key = ec, .name = "a.example"});
    write_key(key_file, ec, NULL);
    write_certs(cert_file, cert, cert, NULL);
    FILE *file = fopen(cert_file, "re");
    const size_t n = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    write_bytes(cert_file, text, n * 3 / 4);
    expect_refused(SV_EINVAL, cert_file, "not a certificate chain in PEM");
    for (size_t i = 1; i < 18; i++) memcpy(text + i * (n / 2), text, n / 2);
    write_bytes(cert_file, text, 17 * (n / 2));
    svi_tls_pair *pair = NULL;
    assert_int_equal(load(&pair, NULL), SV_OK);
    svi_tls_pair_unref(&pair);
    write_bytes(cert_file, text, 18 * (n / 2));
    expect_refused(SV_EINVAL, cert_file, "more than 16 certificates");
    X509_free(cert);
}

/* Nothing that stands in the files' place may hold the server up, or fill its memory. */
static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    X509 *cert = cert_new(&(cert_spec){.key = ec, .name = "a.example"});
    write_certs(cert_file, cert, NULL, NULL);
    assert_int_equal(mkfifo(key_file, 0600), 0);
    expect_refused(SV_EINVAL, key_file, "not a file");
    assert_int_equal(unlink(key_file), 0);
    write_key(key_file, ec, NULL);
    assert_int_equal(truncate(cert_file, 256 * 1024 + 1), 0);
    expect_refused(SV_EINVAL, cert_file, "larger than 256 KiB");
    X509_free(cert);
}

/* OpenSSL's security level: found here, not when the context is made. */
static void a_weak_key_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *weak = key_rsa(512);
    X509 *cert = cert_new(&(cert_spec){.key = weak, .name = "a.example"});
    write_certs(cert_file, cert, NULL, NULL);
    write_key(key_file, weak, NULL);
    expect_refused(SV_EINVAL, cert_file, "key too small");
    X509_free(cert);
    EVP_PKEY_free(weak);
}

static void marks_differ_when_files_do(void **state)
{
    (void)state;
    static const char *const steps[] = {"", "a", "b", "a"};
    uint8_t marks[4][SVI_TLS_MARK_BYTES], same[SVI_TLS_MARK_BYTES];
    svi_tls_files files;
    for (size_t i = 0; i < 4; i++) {
        write_bytes(cert_file, steps[i], strlen(steps[i]));
        if (i > 0) write_bytes(key_file, "k", 1);
        svi_tls_files_read(&books, cert_file, key_file, &files);
        memcpy(marks[i], files.mark, sizeof files.mark);
        svi_tls_files_wipe(&files);
    }
    svi_tls_files_read(&books, cert_file, key_file, &files);
    memcpy(same, files.mark, sizeof same);
    svi_tls_files_wipe(&files);
    assert_memory_equal(marks[1], marks[3], SVI_TLS_MARK_BYTES);
    assert_memory_equal(same, marks[3], SVI_TLS_MARK_BYTES);
    assert_memory_not_equal(marks[0], marks[1], SVI_TLS_MARK_BYTES);
    assert_memory_not_equal(marks[1], marks[2], SVI_TLS_MARK_BYTES);
    write_bytes(cert_file, "ak", 2); /* bytes that moved from one file to the other */
    write_bytes(key_file, "", 0);
    svi_tls_files_read(&books, cert_file, key_file, &files);
    assert_memory_not_equal(files.mark, marks[3], SVI_TLS_MARK_BYTES);
    svi_tls_files_wipe(&files);
}

/* --- what is in it ------------------------------------------------------------------------------------- */

/* RFC 6120 13.7.1.2.1, RFC 9525 6.3: the complete leftmost label may be a wildcard, the common name is none. */
static void names_are_alternative_names(void **state)
{
    (void)state;
    static const struct {
        const char *alt, *ascii, *domain;
        bool is_named;
    } cases[] = {
        {NULL, "a.example", "a.example", false}, /* the common name says so */
        {"DNS:a.example", "a.example", "a.example", true},
        {"DNS:A.Example", "a.example", "a.example", true},
        {"DNS:b.example", "a.example", "a.example", false},
        {"DNS:b.example,DNS:a.example", "a.example", "a.example", true},
        {"DNS:*.example.org", "a.example.org", "a.example.org", true},
        {"DNS:*.example.org", "example.org", "example.org", false},
        {"DNS:*.example.org", "x.a.example.org", "x.a.example.org", false},
        {"DNS:a*.example.org", "ab.example.org", "ab.example.org", false},
        {"otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.a.example", "a.example", "a.example", true},
        {"otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.a.example", "a.example", "a.example", false},
        {"otherName:1.3.6.1.5.5.7.8.7;IA5:a.example", "a.example", "a.example", false},
        {"otherName:1.3.6.1.5.5.7.8.5;UTF8:a.example", "a.example", "a.example", true},
        {"otherName:1.3.6.1.5.5.7.8.5;UTF8:b.example", "a.example", "a.example", false},
        {"DNS:xn--mller-kva.example", "xn--mller-kva.example", "m\xc3\xbcller.example", true},
        {"IP:127.0.0.1", "127.0.0.1", "127.0.0.1", true},
        {"IP:127.0.0.2", "127.0.0.1", "127.0.0.1", false},
        {"IP:::1", "[::1]", "[::1]", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        X509 *cert = cert_new(&(cert_spec){.key = ec, .name = "a.example", .alt = cases[i].alt});
        svi_tls_pair *pair = pair_of(cert, ec, NULL);
        const bool is_named =
            svi_tls_pair_names(pair, sv_str_of(cases[i].ascii), sv_str_of(cases[i].domain));
        if (is_named != cases[i].is_named) fail_msg("%zu: %s", i, cases[i].alt);
        svi_tls_pair_unref(&pair);
        X509_free(cert);
    }
}

static void dates_and_chains_are_read(void **state)
{
    (void)state;
    EVP_PKEY *ca_key = key_ec();
    X509 *ca = cert_new(&(cert_spec){.key = ca_key, .name = "CA", .is_ca = true});
    X509 *cert = cert_new(&(cert_spec){.key = ec,
                                       .name = "a.example",
                                       .issuer = ca,
                                       .issuer_key = ca_key,
                                       .begins_s = 1000000000,
                                       .ends_s = INT64_C(5000000000)}); /* past 2106 */
    svi_tls_pair *pair = pair_of(cert, ec, ca);
    assert_int_equal(svi_tls_pair_begins_s(pair), 1000000000);
    assert_int_equal(svi_tls_pair_ends_s(pair), INT64_C(5000000000));
    assert_true(svi_tls_pair_chain_fits(pair));
    svi_tls_pair_unref(&pair);
    pair = pair_of(cert, ec, cert);
    assert_false(svi_tls_pair_chain_fits(pair));
    svi_tls_pair_unref(&pair);
    pair = pair_of(cert, ec, NULL);
    assert_true(svi_tls_pair_chain_fits(pair));
    svi_tls_pair_unref(&pair);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

/* --- RSA and ECDSA side by side ------------------------------------------------------------------------ */

/* Two certificates of one host, each with a chain of its own and signed with a hash of its own. */
typedef struct two {
    X509 *certs[2], *cas[2]; /* RSA, ECDSA */
    svi_tls_pair *pairs[2];
    const EVP_MD *hashes[2];
} two;

static void two_new(two *t, const char *name)
{
    EVP_PKEY *const keys[] = {rsa, ec};
    static const char *const cas[] = {"CA of RSA", "CA of ECDSA"};
    t->hashes[0] = EVP_sha512();
    t->hashes[1] = EVP_sha384();
    for (size_t i = 0; i < 2; i++) {
        /* each signed by a key of its kind */
        t->cas[i] = cert_new(&(cert_spec){.key = keys[i], .name = cas[i], .is_ca = true});
        t->certs[i] = cert_new(&(cert_spec){.key = keys[i],
                                            .name = name,
                                            .alt = "DNS:a.example",
                                            .issuer = t->cas[i],
                                            .issuer_key = keys[i],
                                            .hash = t->hashes[i]});
        t->pairs[i] = pair_of(t->certs[i], keys[i], t->cas[i]);
    }
}

static void two_free(two *t)
{
    for (size_t i = 0; i < 2; i++) {
        svi_tls_pair_unref(&t->pairs[i]);
        X509_free(t->certs[i]);
        X509_free(t->cas[i]);
    }
}

static svi_tls *server_of(const two *t, svi_tickets *tickets)
{
    svi_tls *tls = NULL;
    const svi_tls_config config = {
        .acct = &books, .pairs = t->pairs, .pair_count = 2, .tickets = tickets};
    assert_int_equal(svi_tls_new(&config, &tls, NULL), SV_OK);
    return tls;
}

/* A connection on memory links whose handshake is done. */
typedef struct shaken {
    svi_link_pairs *pairs;
    svi_tls *client_tls;
    SSL *s, *c;
} shaken;

static const char *const takes[] = {"RSA-PSS+SHA256:RSA+SHA256:RSA+SHA512",
                                    "ECDSA+SHA256:ECDSA+SHA384"};

static void shake(shaken *h, svi_tls *server, int version, const char *sigalgs, SSL_SESSION *session)
{
    svi_link *a, *b;
    assert_int_equal(svi_tls_client_new(&books, NULL, &h->client_tls, NULL), SV_OK);
    h->pairs = svi_link_pairs_new(&books);
    svi_link_pair(h->pairs, 100000, &a, &b);
    h->s = svi_tls_attach(server, a, NULL);
    h->c = svi_tls_attach(h->client_tls, b, "a.example");
    assert_int_equal(SSL_set_max_proto_version(h->c, version), 1);
    if (sigalgs != NULL) take_sigalgs(h->c, sigalgs);
    if (session != NULL) assert_int_equal(SSL_set_session(h->c, session), 1);
    bool done = false;
    for (int i = 0; i < 100 && !done; i++)
        done = SSL_do_handshake(h->c) + SSL_do_handshake(h->s) == 2;
    assert_true(done);
    char byte;
    assert_int_equal(SSL_write(h->s, "x", 1), 1);
    assert_int_equal(SSL_read(h->c, &byte, 1), 1); /* the ticket came before it */
    assert_int_equal(SSL_version(h->c), version);
}

static void shaken_free(shaken *h)
{
    SSL_set_shutdown(h->c, SSL_SENT_SHUTDOWN); /* else its session counts as broken */
    SSL_free(h->s);
    SSL_free(h->c);
    svi_link_pairs_free(&h->pairs);
    svi_tls_unref(&h->client_tls);
    ERR_clear_error();
}

/* The server binds to this certificate: its hash, by its own function (RFC 5929 4.1). */
static void expect_bound(SSL *ssl, X509 *cert, const EVP_MD *hash)
{
    uint8_t digest[64];
    unsigned n = 0;
    svi_tls_info info;
    assert_int_equal(X509_digest(cert, hash, digest, &n), 1);
    svi_tls_describe(ssl, &info);
    const svi_binding *last = &info.bindings[info.binding_count - 1];
    assert_string_equal(last->type, "tls-server-end-point");
    assert_int_equal(last->n, n);
    assert_memory_equal(last->data, digest, n);
}

static void each_client_is_shown_what_it_takes(void **state)
{
    (void)state;
    two t;
    two_new(&t, "a.example");
    svi_tls *server = server_of(&t, NULL);
    for (size_t i = 0; i < 6; i++) {
        shaken h;
        const size_t kind = i % 3 == 0 ? 0 : 1; /* ECDSA, which costs less, also if both are taken */
        shake(&h, server, i < 3 ? TLS1_2_VERSION : TLS1_3_VERSION, i % 3 < 2 ? takes[kind] : NULL,
              NULL);
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(h.c), t.certs[kind]), 0);
        /* its own chain, nothing of the other's */
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(h.c);
        assert_int_equal(sk_X509_num(chain), 2);
        assert_int_equal(X509_cmp(sk_X509_value(chain, 1), t.cas[kind]), 0);
        expect_bound(h.s, t.certs[kind], t.hashes[kind]);
        expect_bound(h.c, t.certs[kind], t.hashes[kind]);
        shaken_free(&h);
    }
    svi_tls_unref(&server);
    two_free(&t);
}

/* Certificates that a context knows for other reasons are not put behind one that came alone. */
static void nothing_is_added_to_a_chain(void **state)
{
    (void)state;
    two t;
    two_new(&t, "a.example");
    svi_tls_pair *alone = pair_of(t.certs[1], ec, NULL);
    svi_tls *server = NULL;
    const svi_tls_config config = {.acct = &books, .pairs = &alone, .pair_count = 1};
    assert_int_equal(svi_tls_new(&config, &server, NULL), SV_OK);
    X509_STORE *store = SSL_CTX_get_cert_store(svi_tls_context(server));
    assert_int_equal(X509_STORE_add_cert(store, t.cas[1]), 1);
    shaken h;
    shake(&h, server, TLS1_3_VERSION, NULL, NULL);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(h.c)), 1);
    shaken_free(&h);
    svi_tls_unref(&server);
    svi_tls_pair_unref(&alone);
    two_free(&t);
}

/* Makes it ask clients for certificates of this authority. */
static void ask_for(svi_tls *tls, X509 *ca)
{
    svi_peers *peers = svi_peers_new(&books, svi_plat_kernel());
    write_certs(cert_file, ca, NULL, NULL);
    assert_int_equal(svi_peers_add(peers, SV_STR("a.example"), sv_str_of(cert_file), NULL), SV_OK);
    svi_tls_set_peers(tls, peers);
    svi_peers_unref(&peers);
}

/* A client that resumes was shown no certificate on this connection: both ends bind to that of the first, though
 * clients are shown another kind by default, and the server's have been replaced; whether they are asked for
 * certificates of theirs (by the first `asks` of the two servers) or not. */
static void expect_first_certificate(size_t asks)
{
    const svi_ticket_key keys[] = {{.name = "new"}, {.name = "old"}};
    two before, after;
    two_new(&before, "before.example");
    two_new(&after, "after.example");
    svi_tickets *tickets = svi_tickets_new(&books);
    svi_tls *first = server_of(&before, tickets), *second = server_of(&after, tickets);
    if (asks > 0) ask_for(first, before.cas[1]);
    if (asks > 1) ask_for(second, before.cas[1]);
    for (size_t i = 0; i < 4; i++) {
        const size_t kind = i % 2;
        const int version = i < 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        SSL_SESSION *session = NULL;
        for (size_t round = 0; round < 3; round++) {
            shaken h;
            /* from the first resumption on the key is an old one, so that it brings a new ticket */
            svi_tickets_set(tickets, round == 0 ? &keys[1] : keys, round == 0 ? 1 : 2);
            shake(&h, round == 0 ? first : second, version, round == 0 ? takes[kind] : NULL, session);
            SSL_SESSION_free(session);
            assert_int_equal(SSL_session_reused(h.s), round > 0);
            expect_bound(h.s, before.certs[kind], before.hashes[kind]);
            expect_bound(h.c, before.certs[kind], before.hashes[kind]);
            session = SSL_get1_session(h.c);
            shaken_free(&h);
        }
        SSL_SESSION_free(session);
    }
    svi_tls_unref(&first);
    svi_tls_unref(&second);
    svi_tickets_free(&tickets);
    two_free(&before);
    two_free(&after);
}

static void resumed_connections_bind_to_the_first_certificate(void **state)
{
    (void)state;
    for (size_t asks = 0; asks <= 2; asks++) expect_first_certificate(asks);
}

/* The second would take the first one's place in the context. */
static void two_of_a_kind_are_refused(void **state)
{
    (void)state;
    EVP_PKEY *other = key_ec();
    X509 *a = cert_new(&(cert_spec){.key = ec, .name = "a.example"});
    X509 *b = cert_new(&(cert_spec){.key = other, .name = "b.example"});
    svi_tls_pair *pairs[2] = {pair_of(a, ec, NULL), pair_of(b, other, NULL)};
    svi_tls *tls = NULL;
    sv_err err;
    const svi_tls_config config = {.acct = &books, .pairs = pairs, .pair_count = 2};
    assert_int_equal(svi_tls_new(&config, &tls, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "two certificates are of one kind (ECDSA)"));
    svi_tls_pair *again = svi_tls_pair_ref(pairs[0]);
    svi_tls_pair_unref(&again);
    svi_tls_pair_unref(&pairs[0]);
    svi_tls_pair_unref(&pairs[1]);
    X509_free(a);
    X509_free(b);
    EVP_PKEY_free(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_files_are_named_with_their_cause),
        TEST(a_damaged_chain_is_refused),
        TEST(what_is_no_file_is_refused),
        TEST(a_weak_key_is_refused),
        TEST(marks_differ_when_files_do),
        TEST(names_are_alternative_names),
        TEST(dates_and_chains_are_read),
        TEST(each_client_is_shown_what_it_takes),
        TEST(nothing_is_added_to_a_chain),
        TEST(resumed_connections_bind_to_the_first_certificate),
        TEST(two_of_a_kind_are_refused),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("net_tls_pair", tests, make_keys, free_keys);
}
