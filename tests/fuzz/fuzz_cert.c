/* Fuzzes the names of a client's certificate: the input is its subjectAltName extension as it stands in
 * the certificate, which a known authority has signed. What comes of it is nothing, or names that are
 * addresses' bytes. */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "net/net_tls_peer.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_cert.c:%d: does not hold: %s\n", __LINE__, #e);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define HOST SV_STR("localhost")

static svi_acct books = {.name = "fuzz"};
static svi_plat_virtual clock_;
static svi_peers *peers;
static EVP_PKEY *key; /* the authority's, and the client's too */
static X509 *authority;

static X509 *make(const char *name, bool is_ca, sv_str san)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_EXTENSION *basic =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, is_ca ? "CA:TRUE" : "CA:FALSE");
    MUST(basic && X509_set_version(cert, X509_VERSION_3) == 1);
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(cert), is_ca ? 1 : 2) == 1);
    MUST(ASN1_TIME_set(X509_getm_notBefore(cert), 1767225600 - 3600)); /* the clock's 2026-01-01 */
    MUST(ASN1_TIME_set(X509_getm_notAfter(cert), 1767225600 + 3600));
    MUST(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0));
    MUST(X509_set_issuer_name(cert, authority ? X509_get_subject_name(authority) : subject) == 1);
    MUST(X509_set_pubkey(cert, key) == 1 && X509_add_ext(cert, basic, -1) == 1);
    X509_EXTENSION_free(basic);
    if (!is_ca) {
        ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
        MUST(ASN1_OCTET_STRING_set(bytes, (const uint8_t *)san.p, (int)san.n) == 1);
        X509_EXTENSION *names =
            X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, bytes);
        MUST(names && X509_add_ext(cert, names, -1) == 1);
        X509_EXTENSION_free(names);
        ASN1_OCTET_STRING_free(bytes);
    }
    MUST(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    char file[64];
    sv_err err;
    svi_plat_virtual_init(&clock_, 1);
    key = EVP_EC_gen("P-256");
    MUST(key != NULL);
    authority = make("Root", true, SV_STR_NONE);
    peers = svi_peers_new(&books, &clock_.plat);
    (void)snprintf(file, sizeof file, "/tmp/stave-fuzz-cert.%ld.pem", (long)getpid());
    FILE *out = fopen(file, "we");
    MUST(out && PEM_write_X509(out, authority) == 1 && fclose(out) == 0);
    MUST(svi_peers_add(peers, HOST, sv_str_of(file), &err) == SV_OK);
    (void)unlink(file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > SVI_PEER_CHAIN_BYTES) return 0;
    X509 *cert = make("client", false, (sv_str){(const char *)data, n});
    svi_peer *peer = svi_peers_judge_cert(peers, cert, NULL);
    if (peer != NULL) {
        size_t count = 0;
        sv_str name;
        MUST(svi_peer_is_for(peer, HOST));
        while ((name = svi_peer_name(peer, count)).p != NULL) {
            MUST(name.n > 0 && name.n <= SVI_PEER_NAME_MAX && svi_utf8_valid(name));
            MUST(memchr(name.p, 0, name.n) == NULL);
            count++;
        }
        MUST(count > 0 && count <= SVI_PEER_NAMES_MAX);
    }
    svi_peer_unref(&peer);
    X509_free(cert);
    return 0;
}
