/* Tests of clients' certificates: which are vouched for, what names they give, what ends the trust in
 * them. How they come in handshakes is in xmpp_external_test.c and xmpp_external_tls_test.c. */
#include "net/net_tls_peer.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "net/net_tls_peer_testing.h"

#define HOST SV_STR("localhost")

static svi_acct books = {.name = "peer-test"};
static char file[96];
static issued root;
static svi_plat_virtual clock_;
static svi_peers *peers;

static void add_file(svi_peers *to, sv_str host, X509 *ca, X509_CRL *crl)
{
    sv_err err = {.text = ""};
    write_pem(file, &ca, 1, crl);
    if (svi_peers_add(to, host, sv_str_of(file), &err) != SV_OK) fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(file, sizeof file, "/tmp/stave-peer-test.%ld.pem", (long)getpid());
    svi_plat_virtual_init(&clock_, 1);
    root = issue_ca("Root", NULL);
    peers = svi_peers_new(&books, &clock_.plat);
    add_file(peers, HOST, root.cert, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_peers_unref(&peers);
    issued_free(&root);
    (void)unlink(file);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
    return 0;
}

/* Judges and frees; whether anything vouches for it. */
static bool is_good(svi_peers *by, issued take)
{
    svi_peer *peer = svi_peers_judge_cert(by, take.cert, NULL);
    const bool good = peer != NULL && svi_peer_is_for(peer, HOST);
    assert_true(peer == NULL || good);
    svi_peer_unref(&peer);
    issued_free(&take);
    return good;
}

static void a_good_one_gives_its_names(void **state)
{
    (void)state;
    const alt_name names[] = {
        {.value = SV_STR_INIT("romeo@localhost")},
        {.value = SV_STR_INIT("somebody@example.org"), .oid = "1.3.6.1.4.1.311.20.2.3"},
        {.value = SV_STR_INIT("J\xc3\xbcrgen@localhost")},
    };
    issued mine = issue(&(wanted){.subject = "a\nb\"\xc3\xa9", .names = names, .name_count = 3}, &root);
    svi_peer *peer = svi_peers_judge_cert(peers, mine.cert, NULL);
    assert_non_null(peer);
    assert_text(svi_peer_name(peer, 0), "romeo@localhost");
    assert_text(svi_peer_name(peer, 1), "J\xc3\xbcrgen@localhost");
    assert_null(svi_peer_name(peer, 2).p);
    assert_true(svi_peer_is_for(peer, HOST));
    assert_false(svi_peer_is_for(peer, SV_STR("other.test")));
    assert_int_equal(svi_peer_expires_s(peer), TODAY_S + DAY_S);
    assert_text(svi_peer_subject(peer), "CN=a\\0Ab\\\"\\C3\\A9");
    uint8_t hash[32];
    char hex[33];
    assert_int_equal(X509_digest(mine.cert, EVP_sha256(), hash, NULL), 1);
    for (int i = 0; i < 16; i++) (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_true(sv_str_eq(svi_peer_fingerprint(peer), sv_str_of(hex)));
    svi_peer *again = svi_peer_ref(peer);
    svi_peer_unref(&peer);
    assert_text(svi_peer_name(again, 0), "romeo@localhost");
    svi_peer_unref(&again);
    issued_free(&mine);
}

/* RFC 5280 6.1, 4.2.1.12; RFC 6120 13.7.1.1. */
static void what_is_not_vouched_for_is_none(void **state)
{
    (void)state;
    const alt_name name = {.value = SV_STR_INIT("romeo@localhost")};
    const wanted good = {.subject = "romeo", .names = &name, .name_count = 1};
    assert_true(is_good(peers, issue(&good, &root)));
    wanted w = good;
    w.usage = ""; /* for any purpose */
    assert_true(is_good(peers, issue(&w, &root)));
    w.usage = "serverAuth,clientAuth";
    assert_true(is_good(peers, issue(&w, &root)));
    w.usage = "serverAuth";
    assert_false(is_good(peers, issue(&w, &root)));
    w = good;
    w.key_usage = "critical,keyEncipherment,cRLSign";
    assert_false(is_good(peers, issue(&w, &root)));
    w = good;
    w.to_s = TODAY_S - 1;
    assert_false(is_good(peers, issue(&w, &root)));
    w = good;
    w.from_s = TODAY_S + 1;
    assert_false(is_good(peers, issue(&w, &root)));
    w = good;
    w.is_ca = true;
    w.key_usage = "critical,digitalSignature,keyCertSign"; /* fit for both */
    assert_false(is_good(peers, issue(&w, &root)));
    w = good;
    w.rsa_bits = 1024;
    assert_false(is_good(peers, issue(&w, &root)));
    /* signed by itself, by a stranger, by one that has only the name of ours */
    assert_false(is_good(peers, issue(&good, NULL)));
    issued stranger = issue_ca("Stranger", NULL), double_ = issue_ca("Root", NULL);
    assert_false(is_good(peers, issue(&good, &stranger)));
    assert_false(is_good(peers, issue(&good, &double_)));
    /* by one who is no authority */
    issued romeo = issue(&good, &root);
    assert_false(is_good(peers, issue(&good, &romeo)));
    issued_free(&romeo);
    issued_free(&stranger);
    issued_free(&double_);
}

static void time_passes(void **state)
{
    (void)state;
    issued mine = issue_for("romeo@localhost", &root);
    svi_plat_virtual_advance(&clock_, (DAY_S - 1) * 1000000);
    svi_peer *peer = svi_peers_judge_cert(peers, mine.cert, NULL);
    assert_non_null(peer);
    svi_peer_unref(&peer);
    svi_plat_virtual_advance(&clock_, 2 * 1000000);
    assert_null(svi_peers_judge_cert(peers, mine.cert, NULL));
    issued_free(&mine);
}

/* One bad name, and none of the certificate's is believed. */
static void bad_names_spoil_it(void **state)
{
    (void)state;
    char huge[SVI_PEER_NAME_MAX + 1];
    memset(huge, 'a', sizeof huge);
    const alt_name bad[] = {
        {.value = SV_STR_INIT("romeo@localhost\0@evil.example")},
        {.value = SV_STR_INIT("")},
        {.value = SV_STR_INIT("romeo\xff@localhost")},
        {.value = SV_STR_INIT("rom\xc0\xafo@localhost")},
        {.value = SV_STR_INIT("romeo@localhost"), .type = V_ASN1_IA5STRING},
        {.value = SV_STR_INIT("romeo@localhost"), .type = V_ASN1_OCTET_STRING},
        {.value = SV_STR_INIT("romeo@localhost"), .type = V_ASN1_BMPSTRING},
        {.value = {huge, sizeof huge}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const alt_name two[] = {{.value = SV_STR_INIT("romeo@localhost")}, bad[i]};
        const wanted w = {.subject = "romeo", .names = two, .name_count = 2};
        if (is_good(peers, issue(&w, &root))) fail_msg("number %zu", i);
    }
    const alt_name longest = {.value = {huge, SVI_PEER_NAME_MAX}};
    assert_true(is_good(
        peers, issue(&(wanted){.subject = "long", .names = &longest, .name_count = 1}, &root)));
}

static void names_are_bounded(void **state)
{
    (void)state;
    static alt_name many[10000];
    static char texts[10000][32];
    for (size_t i = 0; i < 10000; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "user%zu@localhost", i);
        many[i] = (alt_name){.value = sv_str_of(texts[i])};
    }
    wanted w = {.subject = "many", .names = many, .name_count = SVI_PEER_NAMES_MAX};
    assert_true(is_good(peers, issue(&w, &root)));
    w.name_count++;
    assert_false(is_good(peers, issue(&w, &root)));
    w.name_count = 10000;
    assert_false(is_good(peers, issue(&w, &root)));
    assert_false(is_good(peers, issue_for(NULL, &root))); /* 13.7.2.2.1 sub-case 3: its CN is no name */
}

static void unreadable_names_are_none(void **state)
{
    (void)state;
    static const sv_str raw[] = {
        SV_STR_INIT("\x30\x80"), SV_STR_INIT("\x30\x7f\x01"), SV_STR_INIT("garbage"),
        SV_STR_INIT("\x30\x02\xa0\x00"), /* an otherName of nothing */
        SV_STR_INIT("\x30\x0e\xa0\x0c\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x05\xa0\x00"),
    };
    for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++)
        assert_false(is_good(peers, issue(&(wanted){.subject = "raw", .raw = raw[i]}, &root)));
    const alt_name name = {.value = SV_STR_INIT("romeo@localhost")};
    assert_false(is_good(
        peers,
        issue(&(wanted){.subject = "2", .names = &name, .name_count = 1, .twice = true}, &root)));
}

/* Chains: through an authority that the client shows, or that the file holds. */
static void authorities_between(void **state)
{
    (void)state;
    issued middle = issue_ca("Middle", &root), mine = issue_for("romeo@localhost", &middle);
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_null(svi_peers_judge_cert(peers, mine.cert, NULL));
    assert_true(sk_X509_push(chain, middle.cert) > 0);
    svi_peer *peer = svi_peers_judge_cert(peers, mine.cert, chain);
    assert_non_null(peer);
    svi_peer_unref(&peer);
    sk_X509_free(chain);
    svi_peers *own = svi_peers_new(&books, &clock_.plat);
    add_file(own, HOST, middle.cert, NULL);
    assert_true(is_good(own, issue_for("romeo@localhost", &middle)));
    assert_false(is_good(own, issue_for("romeo@localhost", &root)));
    svi_peers_unref(&own);
    issued_free(&middle);
    issued_free(&mine);
}

/* RFC 6120 13.7.2 rule 5, as far as the file knows. */
static void revoked_ones_are_none(void **state)
{
    (void)state;
    const alt_name name = {.value = SV_STR_INIT("romeo@localhost")};
    wanted w = {.subject = "romeo", .names = &name, .name_count = 1, .serial = 7};
    issued elsewhere = issue_ca("Elsewhere", NULL);
    static const struct {
        long revoked;
        int64_t until_s;
        bool by_other, good;
    } cases[] = {
        {7, TODAY_S + DAY_S, false, false}, {8, TODAY_S + DAY_S, false, true},
        {0, TODAY_S + DAY_S, false, true},  {8, TODAY_S - 1, false, false},
        {7, TODAY_S + DAY_S, true, true}, /* another authority's list */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svi_peers *own = svi_peers_new(&books, &clock_.plat);
        X509_CRL *crl = issue_crl(cases[i].by_other ? &elsewhere : &root, cases[i].revoked,
                                  cases[i].until_s);
        add_file(own, HOST, root.cert, crl);
        if (is_good(own, issue(&w, &root)) != cases[i].good) fail_msg("case %zu", i);
        X509_CRL_free(crl);
        svi_peers_unref(&own);
    }
    issued_free(&elsewhere);
}

static void each_host_has_its_own(void **state)
{
    (void)state;
    issued other = issue_ca("Other", NULL);
    svi_peers *both = svi_peers_new(&books, &clock_.plat);
    add_file(both, HOST, root.cert, NULL);
    add_file(both, SV_STR("other.test"), other.cert, NULL);
    add_file(both, SV_STR("third.test"), root.cert, NULL);
    issued mine = issue_for("romeo@localhost", &root);
    svi_peer *peer = svi_peers_judge_cert(both, mine.cert, NULL);
    assert_true(svi_peer_is_for(peer, HOST));
    assert_false(svi_peer_is_for(peer, SV_STR("other.test")));
    assert_true(svi_peer_is_for(peer, SV_STR("third.test")));
    svi_peer_unref(&peer);
    issued_free(&mine);
    svi_peers_unref(&both);
    issued_free(&other);
}

static void what_was_judged_by_other_files_counts_no_more(void **state)
{
    (void)state;
    issued mine = issue_for("romeo@localhost", &root);
    svi_peer *peer = svi_peers_judge_cert(peers, mine.cert, NULL);
    svi_peers *same = svi_peers_new(&books, &clock_.plat),
              *more = svi_peers_new(&books, &clock_.plat);
    add_file(same, HOST, root.cert, NULL);
    add_file(more, HOST, root.cert, NULL);
    add_file(more, SV_STR("other.test"), root.cert, NULL);
    svi_peers_retire(peers, same);
    assert_true(svi_peer_is_for(peer, HOST));
    svi_peers_retire(peers, more);
    assert_false(svi_peer_is_for(peer, HOST));
    svi_peer_unref(&peer);
    peer = svi_peers_judge_cert(same, mine.cert, NULL);
    svi_peers_retire(same, NULL);
    assert_false(svi_peer_is_for(peer, HOST));
    svi_peer_unref(&peer);
    svi_peers_unref(&same);
    svi_peers_unref(&more);
    issued_free(&mine);
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    sv_err err;
    assert_int_equal(svi_peers_add(peers, HOST, SV_STR("/nowhere/ca.pem"), &err), SV_EIO);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem: No such file"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0); /* is not waited for */
    assert_int_equal(svi_peers_add(peers, HOST, sv_str_of(file), &err), SV_EIO);
    assert_non_null(strstr(err.text, ": not a file"));
    assert_int_equal(unlink(file), 0);
    static const char *const wrong[] = {
        "", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        FILE *out = fopen(file, "we");
        assert_true(fputs(wrong[i], out) >= 0);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(svi_peers_add(peers, HOST, sv_str_of(file), &err), SV_EINVAL);
        assert_non_null(strstr(err.text, "no CA certificate"));
    }
    /* a file with a good one and a broken one is broken */
    write_pem(file, &root.cert, 1, NULL);
    FILE *out = fopen(file, "ae");
    assert_true(fputs(wrong[2], out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(svi_peers_add(peers, HOST, sv_str_of(file), &err), SV_EINVAL);
}

static void different_files_are_bounded(void **state)
{
    (void)state;
    sv_err err;
    char host[32];
    svi_peers *own = svi_peers_new(&books, &clock_.plat);
    for (unsigned i = 0; i < SVI_PEER_CAS_MAX; i++) {
        issued ca = issue_ca("CA", NULL);
        (void)snprintf(host, sizeof host, "host%u.test", i);
        add_file(own, sv_str_of(host), ca.cert, NULL);
        issued_free(&ca);
    }
    write_pem(file, &root.cert, 1, NULL);
    assert_int_equal(svi_peers_add(own, HOST, sv_str_of(file), &err), SV_ELIMIT);
    assert_non_null(strstr(err.text, "32 different CA files"));
    svi_peers_unref(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_one_gives_its_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_vouched_for_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_names_spoil_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unreadable_names_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(authorities_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(revoked_ones_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_host_has_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_judged_by_other_files_counts_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(wrong_files_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(different_files_are_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
