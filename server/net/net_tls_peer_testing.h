/* For tests: authorities and the certificates they make for clients, right or wrong in every way. */
#ifndef SVI_NET_TLS_PEER_TESTING_H
#define SVI_NET_TLS_PEER_TESTING_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_str.h"
#include "base/base_testing.h"

#define DAY_S INT64_C(86400)
#define TODAY_S INT64_C(1767225600) /* 2026-01-01, where the virtual wall clock begins */

typedef struct issued {
    X509 *cert;
    EVP_PKEY *key;
} issued;

/* An alternative name; type 0 is a UTF8String. */
typedef struct alt_name {
    sv_str value;
    int type; /* V_ASN1_... */
    const char *oid;
} alt_name;

/* How a certificate is to be; what is zero is as it should be. */
typedef struct wanted {
    const char *subject; /* common name */
    const alt_name *names;
    size_t name_count;
    int64_t from_s, to_s; /* since 1970; 0: a day before and after TODAY_S */
    bool is_ca;
    const char *usage;     /* extended key usage; NULL: clientAuth, "": none */
    const char *key_usage; /* NULL: as fits */
    unsigned rsa_bits;     /* 0: EC P-256 */
    long serial;
    bool twice; /* two extensions of names */
    sv_str raw; /* in place of names: the extension's bytes */
} wanted;

static inline void add_ext(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline void push_name(GENERAL_NAMES *all, const alt_name *want)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    const int type = want->type ? want->type : V_ASN1_UTF8STRING;
    ASN1_STRING *text = ASN1_STRING_type_new(type);
    assert_int_equal(ASN1_STRING_set(text, want->value.p, (int)want->value.n), 1);
    ASN1_TYPE_set(value, type, text);
    assert_int_equal(
        GENERAL_NAME_set0_othername(
            name, OBJ_txt2obj(want->oid ? want->oid : "1.3.6.1.5.5.7.8.5", 1), value),
        1);
    assert_true(sk_GENERAL_NAME_push(all, name) > 0);
}

static inline void add_names(X509 *cert, const wanted *w)
{
    if (w->raw.n > 0) {
        ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
        assert_int_equal(ASN1_OCTET_STRING_set(bytes, (const uint8_t *)w->raw.p, (int)w->raw.n), 1);
        X509_EXTENSION *ext =
            X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, bytes);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
        ASN1_OCTET_STRING_free(bytes);
    }
    if (w->name_count == 0) return;
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    for (size_t i = 0; i < w->name_count; i++) push_name(all, &w->names[i]);
    for (int i = 0; i < (w->twice ? 2 : 1); i++) {
        X509_EXTENSION *ext = X509V3_EXT_i2d(NID_subject_alt_name, 0, all);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    GENERAL_NAMES_free(all);
}

/* Makes one, signed by `by` (NULL: by itself). */
static inline issued issue(const wanted *w, const issued *by)
{
    issued made = {X509_new(), w->rsa_bits ? EVP_RSA_gen(w->rsa_bits) : EVP_EC_gen("P-256")};
    X509 *cert = made.cert;
    X509_NAME *subject = X509_get_subject_name(cert);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), w->serial ? w->serial : 1), 1);
    assert_non_null(
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(w->from_s ? w->from_s : TODAY_S - DAY_S)));
    assert_non_null(
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(w->to_s ? w->to_s : TODAY_S + DAY_S)));
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                (const uint8_t *)w->subject, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, by ? X509_get_subject_name(by->cert) : subject), 1);
    assert_int_equal(X509_set_pubkey(cert, made.key), 1);
    add_ext(cert, NID_basic_constraints, w->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_ext(cert, NID_key_usage,
            w->key_usage ? w->key_usage : w->is_ca ? "keyCertSign,cRLSign" : "digitalSignature");
    if (!w->is_ca && (!w->usage || *w->usage))
        add_ext(cert, NID_ext_key_usage, w->usage ? w->usage : "clientAuth");
    add_names(cert, w);
    assert_true(X509_sign(cert, by ? by->key : made.key, EVP_sha256()) > 0);
    return made;
}

static inline issued issue_ca(const char *subject, const issued *by)
{
    return issue(&(wanted){.subject = subject, .is_ca = true, .to_s = TODAY_S + 3650 * DAY_S}, by);
}

/* A client's certificate with one address (NULL: none). */
static inline issued issue_for(const char *address, const issued *by)
{
    const alt_name name = {.value = sv_str_of(address)};
    return issue(
        &(wanted){.subject = "someone", .names = &name, .name_count = address ? 1 : 0}, by);
}

static inline void issued_free(issued *one)
{
    X509_free(one->cert);
    EVP_PKEY_free(one->key);
    *one = (issued){NULL, NULL};
}

/* A list of revoked serial numbers (0: none), good until a time. */
static inline X509_CRL *issue_crl(const issued *by, long revoked, int64_t until_s)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(TODAY_S - DAY_S)),
              *until = ASN1_TIME_set(NULL, (time_t)until_s);
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->cert)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, until), 1);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        assert_int_equal(ASN1_INTEGER_set(serial, revoked), 1);
        assert_int_equal(X509_REVOKED_set_serialNumber(entry, serial), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, from), 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
        ASN1_INTEGER_free(serial);
    }
    assert_true(X509_CRL_sign(crl, by->key, EVP_sha256()) > 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return crl;
}

/* Writes certificates to a file, and lists behind them. */
static inline void write_pem(const char *file, X509 *const certs[], size_t count, X509_CRL *crl)
{
    FILE *out = fopen(file, "we");
    assert_non_null(out);
    for (size_t i = 0; i < count; i++) assert_int_equal(PEM_write_X509(out, certs[i]), 1);
    if (crl) assert_int_equal(PEM_write_X509_CRL(out, crl), 1);
    assert_int_equal(fclose(out), 0);
}

#endif
