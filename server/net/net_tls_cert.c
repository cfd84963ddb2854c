/* Self-signed certificates: for the first start on a machine without any. */
#include "net/net_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"

#define TEN_YEARS_S ((long)3653 * 24 * 3600)
#define NAME_MAX_BYTES 253

/* Letters, digits, hyphens and dots: nothing that means something to OpenSSL's extension syntax. */
static bool is_host_name(sv_str name)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES) return false;
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!ok) return false;
    }
    return true;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    const bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* RFC 6120 13.7.1.2.1: DNS-ID and id-on-xmppAddr (1.3.6.1.5.5.7.8.5). */
static bool add_extensions(X509 *cert, const char *name)
{
    char alt[2 * NAME_MAX_BYTES + 64];
    (void)snprintf(alt, sizeof alt, "DNS:%s,otherName:1.3.6.1.5.5.7.8.5;UTF8:%s", name, name);
    return add_extension(cert, NID_subject_alt_name, alt) &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth");
}

static bool set_serial(X509 *cert)
{
    unsigned char raw[16];
    /* lint: allow RAND_bytes (the key is made by OpenSSL, too) */
    if (RAND_bytes(raw, sizeof raw) != 1) return false;
    raw[0] &= 0x7f; /* RFC 5280 4.1.2.2: positive */
    BIGNUM *number = BN_bin2bn(raw, sizeof raw, NULL);
    const bool ok =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    /* A common name holds 64 bytes at most (RFC 5280, ub-common-name); nobody reads it beside
     * the alternative names. */
    char common[65];
    (void)snprintf(common, sizeof common, "%.64s", name);
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), TEN_YEARS_S) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
           add_extensions(cert, name) && X509_sign(cert, key, EVP_sha256()) > 0;
}

/* Writes what `bio` holds to a new file that appears whole or not at all. */
static sv_status write_new(const char *file, BIO *bio, mode_t mode, sv_err *err)
{
    char temp[4096];
    const int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", file, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) return svi_err(err, SV_EINVAL, "%s: too long", file);
    (void)unlink(temp);
    const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", temp, strerror(errno));
    char *bytes = NULL;
    const long size = BIO_get_mem_data(bio, &bytes);
    int failed = 0;
    if (write(fd, bytes, (size_t)size) != size || fsync(fd) != 0) failed = errno != 0 ? errno : EIO;
    (void)close(fd);
    /* link() refuses to replace, rename() would not. */
    if (failed == 0 && link(temp, file) != 0) failed = errno;
    (void)unlink(temp);
    if (failed == 0) return SV_OK;
    return svi_err(err, failed == EEXIST ? SV_EEXIST : SV_EIO, "%s: %s", file, strerror(failed));
}

static sv_status write_both(X509 *cert, EVP_PKEY *key, const char *cert_file, const char *key_file,
                            sv_err *err)
{
    BIO *cert_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_secmem());
    SV_ASSERT(cert_pem != NULL && key_pem != NULL);
    sv_status st = SV_EIO;
    if (PEM_write_bio_X509(cert_pem, cert) != 1 ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        st = svi_err(err, SV_EIO, "%s: cannot be encoded", cert_file);
    else
        st = write_new(key_file, key_pem, 0600, err);
    if (st == SV_OK) {
        st = write_new(cert_file, cert_pem, 0644, err);
        if (st != SV_OK) (void)unlink(key_file);
    }
    BIO_free(cert_pem);
    BIO_free(key_pem);
    return st;
}

sv_status svi_tls_make_self_signed(sv_str name, const char *cert_file, const char *key_file,
                                   sv_err *err)
{
    if (!is_host_name(name))
        return svi_err(err, SV_EINVAL, "%.*s: not a host name in ASCII", (int)(name.n & 0xff),
                       name.p);
    if (access(cert_file, F_OK) == 0) return svi_err(err, SV_EEXIST, "%s: is there", cert_file);
    if (access(key_file, F_OK) == 0) return svi_err(err, SV_EEXIST, "%s: is there", key_file);
    char text[NAME_MAX_BYTES + 1];
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    SV_ASSERT(cert != NULL);
    sv_status st = SV_OK;
    if (key == NULL || !fill(cert, key, text))
        st = svi_err(err, SV_EIO, "%s: OpenSSL: %s", text,
                     ERR_reason_error_string(ERR_peek_last_error()));
    else
        st = write_both(cert, key, cert_file, key_file, err);
    ERR_clear_error();
    X509_free(cert);
    EVP_PKEY_free(key);
    return st;
}
