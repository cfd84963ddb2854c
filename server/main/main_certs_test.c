/* Certificates of hosts: loaded, replaced when their files change, refused when they are worse, and told of. */
#include "main/main_certs.h"

#include <stdlib.h>

#include "base/base_log.h"
#include "net/net_tls_test_util.h"

static svi_acct mem = {.name = "certs-test"};
static char dir[64], config_file[96];
static EVP_PKEY *rsa, *ec, *ec2;
static svi_certs *certs;
static int64_t now_s;
static svi_buf logged, told;

/* --- files --------------------------------------------------------------------------------------------- */

static const char *path(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *to = paths[next++ % 4];
    (void)snprintf(to, sizeof paths[0], "%s/%s", dir, name);
    return to;
}

/* A certificate with SAN `alt` and `days` left is put in place of what is there. */
static void put_cert(const char *name, EVP_PKEY *key, const char *alt, int64_t days)
{
    X509 *cert = cert_new(&(cert_spec){
        .key = key, .name = "test", .alt = alt, .ends_s = NOW_S + DAYS(days), .begins_s = NOW_S - DAYS(400)});
    write_certs(path(name), cert, NULL, NULL);
    X509_free(cert);
}

static void put_pair(const char *cert, const char *key_name, EVP_PKEY *key, const char *alt, int64_t days)
{
    put_cert(cert, key, alt, days);
    write_key(path(key_name), key, NULL);
}

/* --- what is told -------------------------------------------------------------------------------------- */

static void sink(void *ctx, sv_level level, sv_str line)
{
    (void)ctx, (void)level;
    svi_buf_put(&logged, line);
}

static bool has(svi_buf *buf, const char *text)
{
    svi_buf_putc(buf, '\0');
    buf->len--;
    return strstr(buf->data, text) != NULL;
}

static size_t count(svi_buf *buf, const char *text)
{
    size_t n = 0;
    svi_buf_putc(buf, '\0');
    buf->len--;
    for (const char *at = buf->data; (at = strstr(at, text)) != NULL; at++) n++;
    return n;
}

#define assert_logged(text)                                                                        \
    do {                                                                                           \
        if (!has(&logged, text)) fail_msg("not logged: %s\n%s", text, logged.data);                \
    } while (0)

static void note(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx;
    assert_string_equal(file, config_file);
    svi_buf_printf(&told, "%d: %s\n", line, text);
}

/* --- the world ----------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-certs-test.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(config_file, sizeof config_file, "%s/stave.cfg.lua", dir);
    svi_buf_init(&logged, &mem);
    svi_buf_init(&told, &mem);
    svi_log_setup(SV_DEBUG, SVI_LOG_TEXT, sink, NULL, NULL, NULL);
    now_s = NOW_S;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    svi_certs_free(&certs);
    svi_buf_free(&logged);
    svi_buf_free(&told);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) == 0 && atomic_load(&mem.live_bytes) == 0 ? 0 : -1;
}

static int make_keys(void **state)
{
    (void)state;
    rsa = key_rsa(2048);
    ec = key_ec();
    ec2 = key_ec();
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ec2);
    return 0;
}

static sv_status load(const char *text, svi_certs **certs_out)
{
    svi_config *config = NULL;
    write_bytes(config_file, text, strlen(text));
    assert_int_equal(svi_config_load(&mem, config_file, note, NULL, &config), SV_OK);
    const sv_status status = svi_certs_load(&mem, config, NULL, note, NULL, certs_out);
    svi_config_free(&config);
    return status;
}

#define ONE_HOST "certificate = \"c.pem\"\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n"
#define TWO_KINDS                                                                                  \
    "certificate = { \"r.pem\", \"e.pem\" }\nkey = { \"rk.pem\", \"ek.pem\" }\n"                   \
    "VirtualHost \"a.example\"\n"

static void start(const char *text)
{
    if (load(text, &certs) != SV_OK) fail_msg("%.*s", (int)told.len, told.data);
}

/* One look; true if other contexts are shown since. */
static bool look(bool *again_out)
{
    svi_certs_look *found = svi_certs_look_at(certs, now_s);
    const bool is_other = svi_certs_take(certs, &found, now_s, again_out);
    assert_null(found);
    svi_certs_tell(certs, now_s, 14);
    return is_other;
}

/* The look that sees a change waits for the next one, which judges it. */
static bool change_is_taken(void)
{
    bool again;
    assert_false(look(&again));
    assert_true(again);
    const bool is_taken = look(&again);
    assert_false(again);
    return is_taken;
}

static void nothing_new(void)
{
    bool again;
    assert_false(look(&again));
    assert_false(again);
}

/* Both ends bind to the certificate that was shown, whichever host's and kind it is (RFC 5929 4.1). */
static void expect_same_binding(SSL *a, SSL *b)
{
    svi_tls_info infos[2];
    svi_tls_describe(a, &infos[0]);
    svi_tls_describe(b, &infos[1]);
    const svi_binding *one = &infos[0].bindings[infos[0].binding_count - 1];
    const svi_binding *two = &infos[1].bindings[infos[1].binding_count - 1];
    assert_string_equal(one->type, "tls-server-end-point");
    assert_string_equal(two->type, one->type);
    assert_int_equal(one->n, two->n);
    assert_memory_equal(one->data, two->data, one->n);
}

/* The certificates that clients of a host get from the listeners' context, by kind: their days from NOW_S on. */
static int64_t shown_days(const char *host, const char *sigalgs)
{
    svi_tls *client = NULL;
    svi_link *a, *b;
    assert_int_equal(svi_tls_client_new(&mem, NULL, &client, NULL), SV_OK);
    svi_link_pairs *pairs = svi_link_pairs_new(&mem);
    svi_link_pair(pairs, 100000, &a, &b);
    SSL *s = svi_tls_attach(svi_certs_tls(certs), a, NULL);
    SSL *c = svi_tls_attach(client, b, host);
    take_sigalgs(c, sigalgs);
    bool done = false;
    for (int i = 0; i < 100 && !done; i++) done = SSL_do_handshake(c) + SSL_do_handshake(s) == 2;
    assert_true(done);
    expect_same_binding(s, c);
    ASN1_TIME *base = ASN1_TIME_set(NULL, NOW_S);
    int days = 0, seconds = 0;
    assert_int_equal(
        ASN1_TIME_diff(&days, &seconds, base, X509_get0_notAfter(SSL_get0_peer_certificate(c))), 1);
    ASN1_TIME_free(base);
    SSL_free(s);
    SSL_free(c);
    svi_link_pairs_free(&pairs);
    svi_tls_unref(&client);
    ERR_clear_error();
    return days;
}

#define RSA_ONLY "RSA-PSS+SHA256"
#define ECDSA_ONLY "ECDSA+SHA256"
#define ANY "ECDSA+SHA256:RSA-PSS+SHA256"

/* --- loading ------------------------------------------------------------------------------------------- */

static void hosts_have_their_own(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 50);
    put_pair("d.pem", "l.pem", ec2, "DNS:xn--mller-kva.example", 60);
    start(ONE_HOST "VirtualHost \"M\xc3\xbcller.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n"
                   "VirtualHost \"c.example\"\n");
    assert_int_equal(shown_days("a.example", ANY), 50);
    assert_int_equal(shown_days("xn--mller-kva.example", ANY), 60);
    assert_int_equal(shown_days("C.example", ANY), 50);
    assert_int_equal(shown_days("z.example", ANY), 50); /* the first host's */
    assert_int_equal(shown_days(NULL, ANY), 50);
    svi_certs_free(&certs);
    start("c2s_require_encryption = false\nVirtualHost \"a.example\"\n");
    assert_null(certs);
}

static void problems_stand_at_their_line(void **state)
{
    (void)state;
    char wanted[600];
    put_pair("r.pem", "rk.pem", rsa, "DNS:a.example", 50);
    put_pair("e.pem", "ek.pem", ec, "DNS:a.example", 50);
    /* in the wrong order */
    assert_int_equal(load("\ncertificate = { \"r.pem\", \"e.pem\" }\nkey = { \"ek.pem\", \"rk.pem\" }\n"
                          "VirtualHost \"a.example\"\n",
                          &certs),
                     SV_EINVAL);
    assert_null(certs);
    (void)snprintf(wanted, sizeof wanted,
                   "2: %s/ek.pem: does not belong to %s/r.pem\n2: %s/rk.pem: does not belong to %s/e.pem\n",
                   dir, dir, dir, dir);
    svi_buf_putc(&told, '\0');
    assert_string_equal(told.data, wanted);
    svi_buf_clear(&told);
    put_pair("f.pem", "fk.pem", ec2, "DNS:a.example", 50);
    assert_int_equal(load("certificate = \"r.pem\"\nkey = \"rk.pem\"\nVirtualHost \"a.example\"\n"
                          "VirtualHost \"b.example\"\ncertificate = { \"e.pem\", \"r.pem\", \"f.pem\" }\n"
                          "key = { \"ek.pem\", \"rk.pem\", \"fk.pem\" }\n",
                          &certs),
                     SV_EINVAL);
    (void)snprintf(wanted, sizeof wanted,
                   "5: a host shows one certificate of each kind; both ECDSA: %s/e.pem, %s/f.pem\n",
                   dir, dir);
    svi_buf_putc(&told, '\0');
    assert_string_equal(told.data, wanted);
}

/* --- taken over ---------------------------------------------------------------------------------------- */

static void a_changed_pair_is_taken_when_it_is_still(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 50);
    start(ONE_HOST "VirtualHost \"b.example\"\n");
    nothing_new();
    put_pair("c.pem", "k.pem", ec2, "DNS:a.example", 80);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 80);
    assert_int_equal(shown_days("b.example", ANY), 80);
    assert_int_equal(count(&logged, "certificate-renewed"), 1); /* one pair, though of two hosts */
    assert_logged("host=a.example hosts=2");
    assert_logged("kind=ECDSA until=2026-03-22T00:00:00Z");
    nothing_new();
    /* somebody who writes for long: each look sees something else */
    bool again;
    for (int i = 0; i < 3; i++) {
        put_cert("c.pem", ec2, "DNS:a.example", 81 + i);
        assert_false(look(&again));
        assert_true(again);
    }
    assert_true(look(&again));
    assert_int_equal(shown_days("a.example", ANY), 83);
}

/* Other hosts' contexts stay what they are, but for the first, which hands on. */
static void each_kind_is_taken_by_itself(void **state)
{
    (void)state;
    put_pair("r.pem", "rk.pem", rsa, "DNS:a.example", 50);
    put_pair("e.pem", "ek.pem", ec, "DNS:a.example", 60);
    put_pair("d.pem", "l.pem", ec, "DNS:b.example", 70);
    start(TWO_KINDS "VirtualHost \"b.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n");
    assert_int_equal(shown_days("a.example", RSA_ONLY), 50);
    assert_int_equal(shown_days("a.example", ECDSA_ONLY), 60);
    put_pair("e.pem", "ek.pem", ec2, "DNS:a.example", 90);
    write_bytes(path("rk.pem"), "damaged", 7);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", RSA_ONLY), 50);
    assert_int_equal(shown_days("a.example", ECDSA_ONLY), 90);
    assert_int_equal(shown_days("b.example", ANY), 70);
    assert_int_equal(count(&logged, "certificate-refused"), 1);
    assert_logged("rk.pem");
    put_pair("d.pem", "l.pem", ec2, "DNS:b.example", 95);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("b.example", ANY), 95);
    assert_int_equal(shown_days("a.example", RSA_ONLY), 50);
    assert_int_equal(count(&logged, "certificate-refused"), 1);
}

/* certbot: a folder of links that are turned one after the other. */
static void links_are_followed_each_time(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path("live"), 0700), 0);
    put_pair("cert1.pem", "key1.pem", ec, "DNS:a.example", 50);
    put_pair("cert2.pem", "key2.pem", ec2, "DNS:a.example", 80);
    assert_int_equal(symlink("../cert1.pem", path("live/c.pem")), 0);
    assert_int_equal(symlink("../key1.pem", path("live/k.pem")), 0);
    start("certificate = \"live/c.pem\"\nkey = \"live/k.pem\"\nVirtualHost \"a.example\"\n");
    assert_int_equal(symlink("../cert2.pem", path("new")), 0);
    assert_int_equal(rename(path("new"), path("live/c.pem")), 0);
    assert_false(change_is_taken()); /* its key is yet to come */
    assert_logged("live/k.pem: does not belong to");
    nothing_new();
    assert_int_equal(count(&logged, "certificate-refused"), 1);
    assert_int_equal(shown_days("a.example", ANY), 50);
    assert_int_equal(unlink(path("live/k.pem")), 0); /* and not even by a rename */
    bool again;
    assert_false(look(&again));
    assert_int_equal(symlink("../key2.pem", path("live/k.pem")), 0);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 80);
    assert_int_equal(count(&logged, "certificate-refused"), 1);
    /* the folder as a whole */
    assert_int_equal(mkdir(path("next"), 0700), 0);
    assert_int_equal(symlink("../cert1.pem", path("next/c.pem")), 0);
    assert_int_equal(symlink("../key1.pem", path("next/k.pem")), 0);
    assert_int_equal(rename(path("live"), path("old")), 0);
    assert_int_equal(rename(path("next"), path("live")), 0);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 50);
}

/* --- refused ------------------------------------------------------------------------------------------- */

/* Whatever is put there: the good one is shown on, the cause is logged once, and a good one that comes later is
 * taken. */
static void bad_ones_never_replace_a_good_one(void **state)
{
    (void)state;
    static const struct {
        const char *alt;
        int64_t begins_days, ends_days;
        const char *cause;
    } cases[] = {
        {"DNS:a.example", -100, -1, "c.pem: expired on 2025-12-31T00:00:00Z"},
        {"DNS:a.example", -100, 0, "c.pem: expired on 2026-01-01T00:00:00Z"},
        {"DNS:a.example", 1, 100, "c.pem: not valid before 2026-01-02T00:00:00Z"},
        {"DNS:b.example", -1, 100, "c.pem: does not name 'a.example'"},
        {NULL, -1, 100, "c.pem: does not name 'a.example'"},
    };
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 50);
    start(ONE_HOST);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        X509 *cert = cert_new(&(cert_spec){.key = ec,
                                           .name = "a.example",
                                           .alt = cases[i].alt,
                                           .begins_s = NOW_S + DAYS(cases[i].begins_days),
                                           .ends_s = NOW_S + DAYS(cases[i].ends_days)});
        svi_buf_clear(&logged);
        write_certs(path("c.pem"), cert, NULL, NULL);
        X509_free(cert);
        assert_false(change_is_taken());
        assert_logged(cases[i].cause);
        for (int k = 0; k < 3; k++) nothing_new();
        assert_int_equal(count(&logged, "certificate-refused"), 1);
        assert_int_equal(shown_days("a.example", ANY), 50);
    }
    svi_buf_clear(&logged);
    X509 *cert = cert_new(&(cert_spec){.key = ec, .name = "a.example", .alt = "DNS:a.example"});
    X509 *stranger = cert_new(&(cert_spec){.key = ec2, .name = "CA", .is_ca = true});
    write_certs(path("c.pem"), cert, stranger, NULL);
    assert_false(change_is_taken());
    assert_logged("c.pem: behind the certificate must come the one that issued it");
    X509_free(cert);
    X509_free(stranger);
    assert_int_equal(unlink(path("k.pem")), 0);
    assert_false(change_is_taken());
    assert_logged("k.pem: No such file");
    assert_int_equal(shown_days("a.example", ANY), 50);
    put_pair("c.pem", "k.pem", ec2, "DNS:a.example", 90);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 90);
}

/* One that comes too early is taken when its time has come, without another change. */
static void one_that_is_not_valid_yet_is_taken_later(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 50);
    start(ONE_HOST);
    X509 *cert = cert_new(&(cert_spec){
        .key = ec, .name = "x", .alt = "DNS:a.example", .begins_s = NOW_S + 60, .ends_s = NOW_S + DAYS(99)});
    write_certs(path("c.pem"), cert, NULL, NULL);
    X509_free(cert);
    assert_false(change_is_taken());
    now_s += 59;
    nothing_new();
    now_s += 1;
    bool again;
    assert_true(look(&again));
    assert_int_equal(shown_days("a.example", ANY), 99);
    assert_int_equal(count(&logged, "certificate-refused"), 1);
}

/* Where the one that is shown has the same fault, nothing gets worse. */
static void a_fault_that_is_there_already_refuses_nothing(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:b.example", -1);
    start(ONE_HOST);
    put_cert("c.pem", ec, "DNS:b.example", 60);
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 60);
    assert_logged("warn  certificate-unfit reason=");
    put_cert("c.pem", ec, "DNS:b.example", -1);
    assert_false(change_is_taken());
    assert_int_equal(shown_days("a.example", ANY), 60);
}

/* A certificate of all hosts must be good for each that shows it. */
static void a_shared_one_must_name_every_host_it_named(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example,DNS:b.example", 50);
    start(ONE_HOST "VirtualHost \"b.example\"\n");
    put_cert("c.pem", ec, "DNS:a.example", 80);
    assert_false(change_is_taken());
    assert_logged("does not name 'b.example'");
    assert_int_equal(shown_days("a.example", ANY), 50);
}

static void kinds_may_change_but_not_meet(void **state)
{
    (void)state;
    put_pair("r.pem", "rk.pem", rsa, "DNS:a.example", 50);
    put_pair("e.pem", "ek.pem", ec, "DNS:a.example", 60);
    put_pair("d.pem", "l.pem", ec, "DNS:b.example", 70);
    start(TWO_KINDS "VirtualHost \"b.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n");
    put_pair("r.pem", "rk.pem", ec2, "DNS:a.example", 80);
    put_pair("d.pem", "l.pem", ec2, "DNS:b.example", 90); /* nothing to do with it */
    assert_true(change_is_taken());
    assert_logged("both ECDSA: ");
    assert_int_equal(shown_days("a.example", RSA_ONLY), 50);
    assert_int_equal(shown_days("b.example", ANY), 90);
    put_pair("e.pem", "ek.pem", rsa, "DNS:a.example", 99); /* now they have changed places */
    assert_true(change_is_taken());
    assert_int_equal(shown_days("a.example", RSA_ONLY), 99);
    assert_int_equal(shown_days("a.example", ECDSA_ONLY), 80);
    assert_int_equal(count(&logged, "certificate-refused"), 1);
}

/* --- a new configuration ------------------------------------------------------------------------------- */

static sv_status compare(const char *text)
{
    svi_certs *fresh = NULL;
    svi_buf_clear(&told);
    assert_int_equal(load(text, &fresh), SV_OK);
    const sv_status status = svi_certs_compare(certs, fresh, now_s, note, NULL);
    svi_certs_free(&fresh);
    return status;
}

static void a_reload_makes_nothing_worse(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 50);
    put_pair("d.pem", "l.pem", ec, "DNS:a.example", -1);
    put_pair("e.pem", "m.pem", rsa, "DNS:b.example", 50);
    start(ONE_HOST);
    assert_int_equal(compare(ONE_HOST), SV_OK);
    assert_int_equal(compare("certificate = \"d.pem\"\nkey = \"l.pem\"\nVirtualHost \"a.example\"\n"),
                     SV_EINVAL);
    assert_true(has(&told, "1: ") && has(&told, "d.pem: expired on"));
    assert_int_equal(compare("VirtualHost \"a.example\"\ncertificate = { \"c.pem\", \"e.pem\" }\n"
                             "key = { \"k.pem\", \"m.pem\" }\n"),
                     SV_EINVAL);
    assert_true(has(&told, "2: ") && has(&told, "e.pem: does not name 'a.example'"));
    /* a host that is new has nothing to lose */
    assert_int_equal(
        compare(ONE_HOST "VirtualHost \"b.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n"), SV_OK);
}

/* --- told ---------------------------------------------------------------------------------------------- */

static void ends_are_told_once_a_day(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 15);
    start(ONE_HOST "VirtualHost \"b.example\"\n");
    svi_certs_tell(certs, now_s, 14);
    assert_int_equal(count(&logged, "certificate-exp"), 0);
    assert_int_equal(count(&logged, "certificate-unfit"), 1); /* for b.example, once */
    assert_logged("does not name 'b.example'");
    now_s += DAYS(1); /* 14 are left */
    nothing_new();
    assert_int_equal(count(&logged, "certificate-exp"), 0);
    now_s += 1; /* fewer: at once */
    nothing_new();
    assert_logged("warn  certificate-expires file=");
    assert_logged("until=2026-01-16T00:00:00Z days=13 host=a.example hosts=2");
    now_s += DAYS(1) - 2;
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expires"), 1);
    now_s += 1;
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expires"), 2);
    now_s = NOW_S + DAYS(15) - 1;
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expires"), 3);
    assert_logged("days=0");
    now_s += 1;
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expired"), 1);
    assert_logged("error certificate-expired file=");
    now_s += DAYS(1);
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expired"), 2);
    now_s -= DAYS(3); /* the clock is set back: told anew, and nothing waits for the old time */
    nothing_new();
    assert_int_equal(count(&logged, "certificate-expires"), 4);
    put_cert("c.pem", ec, "DNS:a.example", 99);
    assert_true(change_is_taken());
    now_s += DAYS(2);
    nothing_new();
    assert_int_equal(count(&logged, "certificate-exp"), 6);
    assert_int_equal(count(&logged, "certificate-unfit"), 2);
}

static void a_warning_of_0_days_is_none(void **state)
{
    (void)state;
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 1);
    start(ONE_HOST);
    svi_certs_tell(certs, now_s, 0);
    assert_int_equal(logged.len, 0);
    svi_certs_tell(certs, now_s + DAYS(1), 0);
    assert_logged("certificate-expired");
}

static void warnings_stand_at_their_line(void **state)
{
    (void)state;
    char wanted[800];
    put_pair("c.pem", "k.pem", ec, "DNS:a.example", 5);
    put_pair("d.pem", "l.pem", ec, NULL, -1);
    start("\n" ONE_HOST "VirtualHost \"b.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n");
    svi_certs_warn(certs, now_s, 14, note, NULL);
    (void)snprintf(wanted, sizeof wanted,
                   "2: %s/c.pem: expires on 2026-01-06T00:00:00Z, days left: 5\n"
                   "6: %s/d.pem: expired on 2025-12-31T00:00:00Z\n"
                   "6: %s/d.pem: does not name 'b.example' in its alternative names, so clients refuse it\n",
                   dir, dir, dir);
    svi_buf_putc(&told, '\0');
    assert_string_equal(told.data, wanted);
    svi_buf_clear(&told);
    svi_certs_warn(certs, now_s - DAYS(500), 0, note, NULL);
    assert_true(has(&told, "2: ") && has(&told, "c.pem: not valid before 2024-11-27T00:00:00Z"));
}

static void status_tells_what_ends_first(void **state)
{
    (void)state;
    put_pair("r.pem", "rk.pem", rsa, "DNS:a.example", 50);
    put_pair("e.pem", "ek.pem", ec, "DNS:a.example", 10);
    put_pair("d.pem", "l.pem", ec, "DNS:b.example", -1);
    start(TWO_KINDS "VirtualHost \"b.example\"\ncertificate = \"d.pem\"\nkey = \"l.pem\"\n");
    json_t *status = svi_certs_status(certs, now_s + 1);
    json_t *wanted = json_pack(
        "[{s:s, s:s, s:i, s:s}, {s:s, s:s, s:i, s:s}]", "host", "a.example", "until",
        "2026-01-11T00:00:00Z", "days-left", 9, "kinds", "RSA, ECDSA", "host", "b.example", "until",
        "2025-12-31T00:00:00Z", "days-left", -2, "kinds", "ECDSA");
    assert_true(json_equal(status, wanted));
    json_decref(status);
    json_decref(wanted);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hosts_have_their_own),
        TEST(problems_stand_at_their_line),
        TEST(a_changed_pair_is_taken_when_it_is_still),
        TEST(each_kind_is_taken_by_itself),
        TEST(links_are_followed_each_time),
        TEST(bad_ones_never_replace_a_good_one),
        TEST(one_that_is_not_valid_yet_is_taken_later),
        TEST(a_fault_that_is_there_already_refuses_nothing),
        TEST(a_shared_one_must_name_every_host_it_named),
        TEST(kinds_may_change_but_not_meet),
        TEST(a_reload_makes_nothing_worse),
        TEST(ends_are_told_once_a_day),
        TEST(a_warning_of_0_days_is_none),
        TEST(warnings_stand_at_their_line),
        TEST(status_tells_what_ends_first),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("main_certs", tests, make_keys, free_keys);
}
