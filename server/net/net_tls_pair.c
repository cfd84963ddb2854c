/* Certificates and keys from PEM files, see net_tls_pair.h. */
#include "net/net_tls_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"

#define PAIR_MAGIC 0x50414952u
#define FILE_BYTES_MAX (256 * 1024)
#define CHAIN_MAX 16 /* a client must take them all in one handshake message */

struct svi_tls_pair {
    uint32_t magic;
    _Atomic int32_t refs;
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* what stands behind the certificate in its own file */
    const char *kind;
    int64_t begins_s, ends_s;
    bool chain_fits;
};

/* --- reading ------------------------------------------------------------------------------------------- */

/* At most that many bytes; what a writer appends meanwhile shows in the next look. */
static sv_status read_open(svi_acct *acct, int fd, size_t size, sv_str *bytes_out)
{
    char *bytes = svi_alloc(acct, size + 1);
    size_t n = 0;
    ssize_t got = 1;
    while (n < size && got != 0) {
        got = read(fd, bytes + n, size - n);
        if (got < 0 && errno != EINTR) break;
        if (got > 0) n += (size_t)got;
    }
    *bytes_out = (sv_str){bytes, n};
    return got < 0 ? SV_EIO : SV_OK;
}

/* Root, who tries it by hand, may read what the server's user may not. */
static sv_status no_file(const char *path, int why, sv_err *err)
{
    if (why != EACCES) return svi_err(err, SV_EIO, "%s: %s", path, strerror(why));
    return svi_err(err, SV_EIO, "%s: %s to the server's system user (number %u)", path,
                   strerror(why), (unsigned)geteuid());
}

static sv_status read_file(svi_acct *acct, const char *path, bool is_key, sv_str *bytes_out,
                           sv_err *err)
{
    struct stat st;
    /* not to wait for a writer of a pipe that somebody put there */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return no_file(path, errno, err);
    sv_status status = SV_OK;
    if (fstat(fd, &st) != 0)
        status = svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = svi_err(err, SV_EINVAL, "%s: not a file", path);
    else if (st.st_size > FILE_BYTES_MAX)
        status = svi_err(err, SV_EINVAL, "%s: larger than %d KiB", path, FILE_BYTES_MAX / 1024);
    else if (is_key && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        status = svi_err(err, SV_EINVAL, "%s: others may read this key; chmod 0600 it", path);
    else if (read_open(acct, fd, (size_t)st.st_size, bytes_out) != SV_OK)
        status = svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    (void)close(fd);
    return status;
}

static void set_mark(svi_tls_files *files)
{
    const sv_str parts[] = {files->cert, files->key, sv_str_of(files->err.text)};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        ok = ok && EVP_DigestUpdate(md, &parts[i].n, sizeof parts[i].n) == 1 &&
             (parts[i].n == 0 || EVP_DigestUpdate(md, parts[i].p, parts[i].n) == 1);
    ok = ok && EVP_DigestFinal_ex(md, files->mark, NULL) == 1;
    SV_ASSERT(ok);
    EVP_MD_CTX_free(md);
}

void svi_tls_files_read(svi_acct *acct, const char *cert_file, const char *key_file,
                        svi_tls_files *files_out)
{
    *files_out = (svi_tls_files){.cert_file = cert_file, .key_file = key_file};
    sv_err *err = &files_out->err;
    err->code = read_file(acct, key_file, true, &files_out->key, err);
    if (err->code == SV_OK) err->code = read_file(acct, cert_file, false, &files_out->cert, err);
    set_mark(files_out);
}

static void wipe(sv_str *bytes)
{
    if (bytes->p != NULL) OPENSSL_cleanse((void *)(uintptr_t)bytes->p, bytes->n);
    svi_str_free(bytes);
}

void svi_tls_files_wipe(svi_tls_files *files)
{
    wipe(&files->cert);
    wipe(&files->key);
}

/* --- parsing ------------------------------------------------------------------------------------------- */

/* OpenSSL's reason for the last failure, for an operator. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "unknown reason";
}

/* True if the file just has no further certificate, rather than a damaged one. */
static bool is_end_of_file(void)
{
    const unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static BIO *bio_of(sv_str bytes)
{
    BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
    SV_ASSERT(bio != NULL);
    return bio;
}

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *to, int size, int rwflag, void *asked)
{
    (void)to, (void)size, (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

static sv_status parse_certs(svi_tls_pair *pair, const svi_tls_files *files, sv_err *err)
{
    BIO *bio = bio_of(files->cert);
    X509 *next = NULL;
    bool asked = false; /* a certificate is never encrypted */
    pair->chain = sk_X509_new_null();
    SV_ASSERT(pair->chain != NULL);
    ERR_clear_error();
    pair->cert = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked);
    while (pair->cert != NULL && sk_X509_num(pair->chain) <= CHAIN_MAX &&
           (next = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked)) != NULL)
        SV_ASSERT(sk_X509_push(pair->chain, next) > 0);
    BIO_free(bio);
    if (sk_X509_num(pair->chain) > CHAIN_MAX)
        return svi_err(err, SV_EINVAL, "%s: more than %d certificates behind the first",
                       files->cert_file, CHAIN_MAX);
    if (pair->cert == NULL || !is_end_of_file())
        return svi_err(err, SV_EINVAL, "%s: not a certificate chain in PEM (%s)", files->cert_file,
                       reason());
    ERR_clear_error();
    return SV_OK;
}

static sv_status parse_key(svi_tls_pair *pair, const svi_tls_files *files, sv_err *err)
{
    bool asked = false;
    BIO *bio = bio_of(files->key);
    pair->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    if (pair->key != NULL) return SV_OK;
    if (asked)
        return svi_err(err, SV_EINVAL,
                       "%s: this key needs a passphrase, which a server can't ask for; decrypt it: "
                       "openssl pkey -in FILE -out NEWFILE",
                       files->key_file);
    return svi_err(err, SV_EINVAL, "%s: not the private key of %s (%s)", files->key_file,
                   files->cert_file, reason());
}

/* Those that TLS 1.2 and 1.3 can sign with here; they are the places an SSL_CTX has. */
static const char *kind_of(const EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return "RSA";
    case EVP_PKEY_RSA_PSS: return "RSA-PSS";
    case EVP_PKEY_EC: return "ECDSA";
    case EVP_PKEY_ED25519: return "Ed25519";
    case EVP_PKEY_ED448: return "Ed448";
    default: return NULL;
    }
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    SV_ASSERT(epoch != NULL);
    (void)ASN1_TIME_diff(&days, &seconds, epoch, time); /* broken: 1970, long over */
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static bool chain_fits(const svi_tls_pair *pair)
{
    X509 *subject = pair->cert;
    for (int i = 0; i < sk_X509_num(pair->chain); i++) {
        X509 *issuer = sk_X509_value(pair->chain, i);
        if (X509_check_issued(issuer, subject) != X509_V_OK) return false;
        subject = issuer;
    }
    return true;
}

/* A context of its own tells what those it is for would say, such as "ee key too small". */
static sv_status try_out(const svi_tls_pair *pair, const char *cert_file, sv_err *err)
{
    sv_err why = {.text = ""};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SV_ASSERT(ctx != NULL);
    const sv_status status = svi_tls_pair_use(pair, ctx, &why);
    SSL_CTX_free(ctx);
    return status == SV_OK ? SV_OK : svi_err(err, status, "%s: %s", cert_file, why.text);
}

static sv_status parse(svi_tls_pair *pair, const svi_tls_files *files, sv_err *err)
{
    sv_status status = parse_certs(pair, files, err);
    if (status == SV_OK) status = parse_key(pair, files, err);
    if (status != SV_OK) return status;
    pair->kind = kind_of(pair->key);
    if (pair->kind == NULL)
        return svi_err(err, SV_EINVAL, "%s: no kind of key that TLS takes", files->key_file);
    if (X509_check_private_key(pair->cert, pair->key) != 1)
        return svi_err(err, SV_EINVAL, "%s: does not belong to %s", files->key_file,
                       files->cert_file);
    pair->begins_s = seconds_of(X509_get0_notBefore(pair->cert));
    pair->ends_s = seconds_of(X509_get0_notAfter(pair->cert));
    pair->chain_fits = chain_fits(pair);
    return try_out(pair, files->cert_file, err);
}

sv_status svi_tls_pair_new(svi_acct *acct, const svi_tls_files *files, svi_tls_pair **pair_out,
                           sv_err *err)
{
    if (files->err.code != SV_OK) return svi_err(err, files->err.code, "%s", files->err.text);
    svi_tls_pair *pair = svi_alloc(acct, sizeof *pair);
    pair->magic = PAIR_MAGIC;
    atomic_init(&pair->refs, 1);
    const sv_status status = parse(pair, files, err);
    ERR_clear_error();
    if (status != SV_OK)
        svi_tls_pair_unref(&pair);
    else
        *pair_out = pair;
    return status;
}

svi_tls_pair *svi_tls_pair_ref(svi_tls_pair *pair)
{
    SV_CHECK(pair, PAIR_MAGIC);
    atomic_fetch_add_explicit(&pair->refs, 1, memory_order_relaxed);
    return pair;
}

void svi_tls_pair_unref(svi_tls_pair **pair)
{
    svi_tls_pair *p = *pair;
    *pair = NULL;
    if (p == NULL) return;
    SV_CHECK(p, PAIR_MAGIC);
    if (atomic_fetch_sub(&p->refs, 1) != 1) return;
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    sk_X509_pop_free(p->chain, X509_free);
    p->magic = 0;
    svi_free(p);
}

/* --- what is in it ------------------------------------------------------------------------------------- */

const char *svi_tls_pair_kind(const svi_tls_pair *pair)
{
    SV_CHECK(pair, PAIR_MAGIC);
    return pair->kind;
}

int64_t svi_tls_pair_begins_s(const svi_tls_pair *pair)
{
    SV_CHECK(pair, PAIR_MAGIC);
    return pair->begins_s;
}

int64_t svi_tls_pair_ends_s(const svi_tls_pair *pair)
{
    SV_CHECK(pair, PAIR_MAGIC);
    return pair->ends_s;
}

bool svi_tls_pair_chain_fits(const svi_tls_pair *pair)
{
    SV_CHECK(pair, PAIR_MAGIC);
    return pair->chain_fits;
}

static sv_str text_of(const ASN1_STRING *text)
{
    return (sv_str){(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)};
}

/* RFC 6120 13.7.1.4 and RFC 4985 2: names of other forms than DNS. */
static bool is_named_otherwise(const GENERAL_NAME *name, sv_str ascii, sv_str domain)
{
    static const sv_str service = SV_STR_INIT("_xmpp-client.");
    if (name->type != GEN_OTHERNAME) return false;
    const ASN1_TYPE *value = name->d.otherName->value;
    const int form = OBJ_obj2nid(name->d.otherName->type_id);
    if (form == NID_XmppAddr && value->type == V_ASN1_UTF8STRING)
        return svi_str_eq_fold(text_of(value->value.utf8string), domain);
    if (form != NID_SRVName || value->type != V_ASN1_IA5STRING) return false;
    const sv_str text = text_of(value->value.ia5string);
    return svi_str_eq_fold(svi_str_sub(text, 0, service.n), service) &&
           svi_str_eq_fold(svi_str_sub(text, service.n, text.n), ascii);
}

bool svi_tls_pair_names(const svi_tls_pair *pair, sv_str ascii, sv_str domain)
{
    SV_CHECK(pair, PAIR_MAGIC);
    SV_ASSERT(ascii.n > 0 && domain.n > 0);
    char z[256];
    if (X509_check_host(pair->cert, ascii.p, ascii.n,
                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                        NULL) == 1)
        return true;
    GENERAL_NAMES *names = X509_get_ext_d2i(pair->cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
        found = is_named_otherwise(sk_GENERAL_NAME_value(names, i), ascii, domain);
    GENERAL_NAMES_free(names);
    if (domain.p[0] == '[') domain = svi_str_sub(domain, 1, domain.n - 2); /* IPv6 */
    if (!found && domain.n < sizeof z) {
        memcpy(z, domain.p, domain.n);
        z[domain.n] = '\0';
        found = X509_check_ip_asc(pair->cert, z, 0) == 1;
    }
    ERR_clear_error();
    return found;
}

sv_status svi_tls_pair_use(const svi_tls_pair *pair, SSL_CTX *ctx, sv_err *err)
{
    SV_CHECK(pair, PAIR_MAGIC);
    ERR_clear_error();
    sv_status status = SV_OK;
    if (SSL_CTX_use_cert_and_key(ctx, pair->cert, pair->key, pair->chain, 1) != 1)
        status = svi_err(err, SV_EINVAL, "not taken for TLS (%s)", reason());
    ERR_clear_error();
    return status;
}
