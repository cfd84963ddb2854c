/* Tests of certificates and contexts; handshakes over connections are in net_test.c. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "net/net_link.h"
#include "net/net_tls.h"

static svi_acct books = {.name = "tls-test"};
static char dir[64], cert[96], key[96];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-tls-test.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(cert, sizeof cert, "%s/c.pem", dir);
    (void)snprintf(key, sizeof key, "%s/k.pem", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(cert);
    (void)unlink(key);
    return rmdir(dir); /* fails if a temporary file was left */
}

static X509 *read_cert(void)
{
    FILE *file = fopen(cert, "re");
    assert_non_null(file);
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    assert_non_null(x);
    return x;
}

static bool has_xmpp_addr(X509 *x, const char *name)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type != GEN_OTHERNAME) continue;
        char oid[64];
        (void)OBJ_obj2txt(oid, sizeof oid, g->d.otherName->type_id, 1);
        const ASN1_UTF8STRING *text = g->d.otherName->value->value.utf8string;
        found = strcmp(oid, "1.3.6.1.5.5.7.8.5") == 0 &&
                strcmp((const char *)ASN1_STRING_get0_data(text), name) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static void a_self_signed_certificate_names_the_host(void **state)
{
    (void)state;
    sv_err err;
    struct stat st;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("chat.example"), cert, key, &err), SV_OK);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    X509 *x = read_cert();
    assert_int_equal(X509_check_host(x, "chat.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "other.example", 0, 0, NULL), 0);
    assert_true(has_xmpp_addr(x, "chat.example"));
    assert_int_equal(X509_get_version(x), X509_VERSION_3);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(x)), -1);
    time_t later = time(NULL) + (time_t)3650 * 24 * 3600;
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(x), &later), 1);
    EVP_PKEY *public = X509_get0_pubkey(x);
    assert_int_equal(EVP_PKEY_get_bits(public), 256);
    assert_int_equal(X509_verify(x, public), 1);
    X509_free(x);
    svi_tls *tls = NULL;
    const svi_tls_config config = {
        .acct = &books, .cert_file = sv_str_of(cert), .key_file = sv_str_of(key)};
    assert_int_equal(svi_tls_new(&config, &tls, &err), SV_OK);
    svi_tls *again = svi_tls_ref(tls);
    svi_tls_unref(&tls);
    assert_null(tls);
    svi_tls_unref(&again);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static void what_is_there_is_never_replaced(void **state)
{
    (void)state;
    sv_err err;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("a.example"), cert, key, &err), SV_OK);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("b.example"), cert, key, &err), SV_EEXIST);
    (void)unlink(cert);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("b.example"), cert, key, &err), SV_EEXIST);
    assert_int_equal(access(cert, F_OK), -1);
    (void)unlink(key);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("b.example"), cert, key, &err), SV_OK);
    X509 *x = read_cert();
    assert_int_equal(X509_check_host(x, "b.example", 0, 0, NULL), 1);
    X509_free(x);
}

static void names_that_are_no_host_names_are_refused(void **state)
{
    (void)state;
    static const sv_str bad[] = {SV_STR_INIT(""), SV_STR_INIT("a,DNS:evil"), SV_STR_INIT("a b"),
                                 SV_STR_INIT("\xc3\xa9.example"), SV_STR_INIT("a\0b")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sv_err err;
        assert_int_equal(svi_tls_make_self_signed(bad[i], cert, key, &err), SV_EINVAL);
        assert_int_equal(access(key, F_OK), -1);
    }
    char long_name[254];
    memset(long_name, 'a', sizeof long_name);
    assert_int_equal(
        svi_tls_make_self_signed((sv_str){long_name, sizeof long_name}, cert, key, NULL),
        SV_EINVAL);
    assert_int_equal(svi_tls_make_self_signed((sv_str){long_name, 253}, cert, key, NULL), SV_OK);
}

static sv_status load(const char *cert_file, const char *key_file, sv_err *err)
{
    svi_tls *tls = NULL;
    const svi_tls_config config = {
        .acct = &books, .cert_file = sv_str_of(cert_file), .key_file = sv_str_of(key_file)};
    const sv_status st = svi_tls_new(&config, &tls, err);
    if (st == SV_OK) svi_tls_unref(&tls);
    return st;
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    sv_err err;
    assert_int_equal(load(cert, key, &err), SV_EIO);
    assert_non_null(strstr(err.text, key));
    assert_int_equal(svi_tls_make_self_signed(SV_STR("a.example"), cert, key, &err), SV_OK);
    assert_int_equal(load("/dev/null", key, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "/dev/null"));
    assert_int_equal(load(cert, cert, &err), SV_EINVAL);
    assert_int_equal(chmod(key, 0604), 0);
    assert_int_equal(load(cert, key, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "chmod"));
    assert_int_equal(chmod(key, 0600), 0);
    /* A key that is not the certificate's. */
    char other_cert[128], other_key[128];
    (void)snprintf(other_cert, sizeof other_cert, "%s.2", cert);
    (void)snprintf(other_key, sizeof other_key, "%s.2", key);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("b.example"), other_cert, other_key, NULL),
                     SV_OK);
    assert_int_equal(load(cert, other_key, &err), SV_EINVAL);
    (void)unlink(other_cert);
    (void)unlink(other_key);
    assert_int_equal(load(cert, key, &err), SV_OK);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
    assert_int_equal(ERR_peek_error(), 0); /* nothing left for the next call to trip over */
}

/* Client and server on a memory pair, the client verifying against `ca`. True if both are done. */
static bool shake(const char *ca, const char *name)
{
    svi_tls *server = NULL, *client = NULL;
    const svi_tls_config config = {
        .acct = &books, .cert_file = sv_str_of(cert), .key_file = sv_str_of(key)};
    assert_int_equal(svi_tls_new(&config, &server, NULL), SV_OK);
    assert_int_equal(svi_tls_client_new(&books, ca, &client, NULL), SV_OK);
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b;
    svi_link_pair(pairs, 1000, &a, &b);
    SSL *s = svi_tls_attach(server, a, NULL);
    SSL *c = svi_tls_attach(client, b, name);
    assert_int_equal(SSL_set1_host(c, name), 1);
    int done = 0;
    for (int i = 0; i < 100 && done != 2; i++)
        done = (SSL_do_handshake(c) == 1 ? 1 : 0) + (SSL_do_handshake(s) == 1 ? 1 : 0);
    ERR_clear_error();
    SSL_free(s);
    SSL_free(c);
    svi_link_pairs_free(&pairs);
    svi_tls_unref(&server);
    svi_tls_unref(&client);
    return done == 2;
}

static void clients_verify_when_asked(void **state)
{
    (void)state;
    svi_tls *client = NULL;
    sv_err err;
    assert_int_equal(svi_tls_client_new(&books, cert, &client, &err), SV_EIO);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("a.example"), cert, key, NULL), SV_OK);
    assert_true(shake(cert, "a.example"));
    assert_false(shake(cert, "b.example"));
    assert_true(shake(NULL, "b.example"));
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

/* Threats T3: TLS 1.2 at least, and with it only suites with forward secrecy; said by us, whatever
 * the machine's OpenSSL refuses by itself. */
static void old_protocols_and_suites_are_not_offered(void **state)
{
    (void)state;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("a.example"), cert, key, NULL), SV_OK);
    svi_tls *server = NULL;
    const svi_tls_config config = {
        .acct = &books, .cert_file = sv_str_of(cert), .key_file = sv_str_of(key)};
    assert_int_equal(svi_tls_new(&config, &server, NULL), SV_OK);
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b;
    svi_link_pair(pairs, 1000, &a, &b);
    SSL *ssl = svi_tls_attach(server, a, NULL);
    assert_int_equal(SSL_get_min_proto_version(ssl), TLS1_2_VERSION);
    const STACK_OF(SSL_CIPHER) *ciphers = SSL_get_ciphers(ssl);
    assert_true(sk_SSL_CIPHER_num(ciphers) > 0);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        const int exchange = SSL_CIPHER_get_kx_nid(cipher);
        assert_true(exchange == NID_kx_ecdhe || exchange == NID_kx_any); /* any: TLS 1.3 */
        assert_int_equal(SSL_CIPHER_is_aead(cipher), 1);
    }
    SSL_free(ssl);
    svi_link_pairs_free(&pairs);
    svi_tls_unref(&server);
}

/* Writes as many key updates as fit into the link. Returns how many. */
static size_t update_keys(SSL *ssl, size_t most)
{
    size_t n = 0;
    while (n < most && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
           SSL_do_handshake(ssl) == 1)
        n++;
    return n;
}

/* A link that counts what is read from the one below. */
typedef struct counted {
    svi_link link;
    svi_link *below;
    size_t bytes;
} counted;

static ssize_t counted_read(svi_link *link, void *to, size_t n)
{
    counted *c = (counted *)link;
    const ssize_t got = c->below->ops->read(c->below, to, n);
    if (got > 0) c->bytes += (size_t)got;
    return got;
}

static ssize_t counted_write(svi_link *link, const void *from, size_t n)
{
    const counted *c = (const counted *)link;
    return c->below->ops->write(c->below, from, n);
}

static const svi_link_ops counted_ops = {.read = counted_read, .write = counted_write};

/* Records without data (key updates, RFC 8446 4.6.3) come to an end of a turn like any other: a peer
 * that sends them without a pause must not hold the thread inside one read. */
static void records_without_data_end_a_read(void **state)
{
    (void)state;
    assert_int_equal(svi_tls_make_self_signed(SV_STR("a.example"), cert, key, NULL), SV_OK);
    svi_tls *server = NULL, *client = NULL;
    const svi_tls_config config = {
        .acct = &books, .cert_file = sv_str_of(cert), .key_file = sv_str_of(key)};
    assert_int_equal(svi_tls_new(&config, &server, NULL), SV_OK);
    assert_int_equal(svi_tls_client_new(&books, NULL, &client, NULL), SV_OK);
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b;
    svi_link_pair(pairs, 1000000, &a, &b);
    counted count = {.link = {.ops = &counted_ops}, .below = a};
    SSL *s = svi_tls_attach(server, &count.link, NULL);
    SSL *c = svi_tls_attach(client, b, NULL);
    bool done = false;
    for (int i = 0; i < 100 && !done; i++) done = SSL_do_handshake(c) + SSL_do_handshake(s) == 2;
    assert_true(done);
    char byte;
    assert_int_equal(SSL_read(s, &byte, 1), -1);
    count.bytes = 0;
    const size_t updates = 5000;
    assert_int_equal(update_keys(c, updates), updates);
    assert_int_equal(SSL_write(c, "x", 1), 1);
    /* As on an I/O thread: ready as long as there is something to read. */
    int got = SSL_read(s, &byte, 1);
    assert_int_equal(SSL_get_error(s, got), SSL_ERROR_WANT_READ);
    assert_true(count.bytes <= 40000);
    /* OpenSSL 3.0 takes a buffer of them at a time, 3.5 one */
    for (size_t i = 0; i < 2 * updates && got <= 0; i++) got = SSL_read(s, &byte, 1);
    assert_int_equal(got, 1);
    ERR_clear_error();
    SSL_free(s);
    SSL_free(c);
    svi_link_pairs_free(&pairs);
    svi_tls_unref(&server);
    svi_tls_unref(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_self_signed_certificate_names_the_host, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_is_never_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_are_no_host_names_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(wrong_files_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clients_verify_when_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_protocols_and_suites_are_not_offered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(records_without_data_end_a_read, set_up, tear_down),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("net_tls", tests, NULL, NULL);
}
