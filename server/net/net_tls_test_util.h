/* Keys and certificates of all sorts for tests, made in process and written as PEM. */
#ifndef SVI_NET_TLS_TEST_UTIL_H
#define SVI_NET_TLS_TEST_UTIL_H

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_testing.h"

#define NOW_S INT64_C(1767225600) /* 2026-01-01T00:00:00Z, where the virtual clock begins */
#define DAYS(n) ((int64_t)(n) * 86400)

typedef struct cert_spec {
    EVP_PKEY *key;
    const char *name;   /* common name */
    const char *alt;    /* alternative names, as in OpenSSL's configuration; NULL: none */
    const EVP_MD *hash; /* of the signature; NULL: SHA-256 */
    int64_t begins_s, ends_s; /* 0: NOW_S a day ago, 90 days ahead */
    X509 *issuer;       /* NULL: itself */
    EVP_PKEY *issuer_key;
    bool is_ca;
} cert_spec;

static inline EVP_PKEY *key_ec(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static inline EVP_PKEY *key_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    assert_non_null(key);
    return key;
}

static inline void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline X509 *cert_new(const cert_spec *spec)
{
    X509 *cert = X509_new();
    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)getpid()), 1);
    const int64_t begins_s = spec->begins_s != 0 ? spec->begins_s : NOW_S - DAYS(1);
    const int64_t ends_s = spec->ends_s != 0 ? spec->ends_s : NOW_S + DAYS(90);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), begins_s));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), ends_s));
    X509_NAME *subject = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)spec->name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_pubkey(cert, spec->key), 1);
    assert_int_equal(X509_set_issuer_name(cert, spec->issuer != NULL
                                                    ? X509_get_subject_name(spec->issuer)
                                                    : subject),
                     1);
    add_extension(cert, NID_basic_constraints, spec->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->alt != NULL) add_extension(cert, NID_subject_alt_name, spec->alt);
    const EVP_MD *hash = spec->hash != NULL ? spec->hash : EVP_sha256();
    EVP_PKEY *signer = spec->issuer_key != NULL ? spec->issuer_key : spec->key;
    assert_true(X509_sign(cert, signer, hash) > 0);
    return cert;
}

/* Replaces the file by rename. Up to three certificates, NULL ends. */
static inline void write_certs(const char *path, X509 *first, X509 *second, X509 *third)
{
    char temp[256];
    X509 *const all[] = {first, second, third};
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    FILE *file = fopen(temp, "we");
    assert_non_null(file);
    for (size_t i = 0; i < 3 && all[i] != NULL; i++)
        assert_int_equal(PEM_write_X509(file, all[i]), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(temp, path), 0);
}

static inline void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    char temp[256];
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, key,
                                               passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                                               passphrase, passphrase != NULL ? (int)strlen(passphrase) : 0,
                                               NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(temp, path), 0);
}

/* The signatures a client takes; SSL_set1_sigalgs_list, whose cast clang does not like. */
static inline void take_sigalgs(SSL *ssl, const char *list)
{
    assert_int_equal(SSL_ctrl(ssl, SSL_CTRL_SET_SIGALGS_LIST, 0, (void *)(uintptr_t)list), 1);
}

static inline void write_bytes(const char *path, const void *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    (void)close(fd);
}

#endif
