/* The watch over certificates on a loop: looks come again and again, and end in any order with what goes on. */
#include "main/main_renew.h"

#include <stdlib.h>

#include "base/base_log.h"
#include "net/net_tls_test_util.h"

static svi_acct mem = {.name = "renew-test"};
static char dir[64], config_file[96], cert_file[96], key_file[96];
static EVP_PKEY *key;
static uv_loop_t loop;
static svi_plat_virtual v;
static svi_renew *renew;
static svi_buf logged;
static int renewals;
static svi_tls *shown; /* borrowed */

static void sink(void *ctx, sv_level level, sv_str line)
{
    (void)ctx, (void)level;
    svi_buf_put(&logged, line);
}

static bool is_logged(const char *text)
{
    svi_buf_putc(&logged, '\0');
    logged.len--;
    return strstr(logged.data, text) != NULL;
}

static void put_cert(int64_t days)
{
    X509 *cert = cert_new(&(cert_spec){
        .key = key, .name = "test", .alt = "DNS:a.example", .ends_s = NOW_S + DAYS(days)});
    write_certs(cert_file, cert, NULL, NULL);
    X509_free(cert);
}

static void note(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx;
    fail_msg("%s:%d: %s", file, line, text);
}

static svi_certs *load(void)
{
    static const char text[] =
        "certificate = \"c.pem\"\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n";
    svi_config *config = NULL;
    svi_certs *certs = NULL;
    write_bytes(config_file, text, sizeof text - 1);
    assert_int_equal(svi_config_load(&mem, config_file, note, NULL, &config), SV_OK);
    assert_int_equal(svi_certs_load(&mem, config, NULL, note, NULL, &certs), SV_OK);
    svi_config_free(&config);
    return certs;
}

static void on_renewed(void *ctx, svi_tls *tls)
{
    assert_ptr_equal(ctx, &renewals);
    renewals++;
    shown = tls;
}

static void start(svi_certs *certs)
{
    const svi_renew_config config = {.acct = &mem,
                                     .loop = &loop,
                                     .plat = &v.plat,
                                     .check_ms = 1,
                                     .warn_days = 14,
                                     .renewed = on_renewed,
                                     .ctx = &renewals};
    renew = svi_renew_start(&config, certs);
}

#define run_until(condition)                                                                       \
    do {                                                                                           \
        while (!(condition)) assert_int_not_equal(uv_run(&loop, UV_RUN_ONCE), 0);                  \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-renew-test.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(config_file, sizeof config_file, "%s/stave.cfg.lua", dir);
    (void)snprintf(cert_file, sizeof cert_file, "%s/c.pem", dir);
    (void)snprintf(key_file, sizeof key_file, "%s/k.pem", dir);
    svi_plat_virtual_init(&v, 1);
    svi_buf_init(&logged, &mem);
    svi_log_setup(SV_DEBUG, SVI_LOG_TEXT, sink, NULL, NULL, NULL);
    renewals = 0;
    key = key_ec();
    write_key(key_file, key, NULL);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    svi_renew_stop(&renew);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) != 0) return -1;
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_buf_free(&logged);
    EVP_PKEY_free(key);
    (void)unlink(config_file);
    (void)unlink(cert_file);
    (void)unlink(key_file);
    return rmdir(dir) == 0 && atomic_load(&mem.live_bytes) == 0 ? 0 : -1;
}

static void changes_are_taken_one_after_the_other(void **state)
{
    (void)state;
    put_cert(50);
    start(load());
    for (int i = 1; i <= 3; i++) {
        svi_tls *const before = shown;
        put_cert(60 + i);
        run_until(renewals == i);
        assert_ptr_not_equal(shown, before);
        assert_ptr_equal(shown, svi_certs_tls(svi_renew_certs(renew)));
    }
    put_cert(-1);
    run_until(is_logged("certificate-refused"));
    assert_int_equal(renewals, 3);
}

/* The wall clock is the platform's; nobody has to reload for a day to pass. */
static void ends_are_told_while_nothing_changes(void **state)
{
    (void)state;
    put_cert(20);
    start(load());
    svi_plat_virtual_advance(&v, DAYS(7) * 1000000);
    run_until(is_logged("certificate-expires"));
    assert_true(is_logged("days=13"));
    svi_plat_virtual_advance(&v, DAYS(13) * 1000000);
    run_until(is_logged("certificate-expired"));
}

/* What was begun with the old ones is not taken for the new ones; at whatever moment they come. */
static void others_may_come_during_a_look(void **state)
{
    (void)state;
    put_cert(50);
    start(load());
    for (int i = 0; i < 50; i++) {
        put_cert(51 + i);
        for (int k = 0; k < i % 7; k++) (void)uv_run(&loop, UV_RUN_NOWAIT);
        svi_certs *const fresh = load();
        svi_renew_replace(renew, fresh, 1, 14);
        assert_ptr_equal(svi_renew_certs(renew), fresh);
        assert_ptr_equal(shown, svi_certs_tls(fresh));
        if (i % 3 == 0) svi_renew_replace(renew, load(), 1, 14);
    }
    const int before = renewals;
    put_cert(200);
    run_until(renewals > before);
}

static void the_end_may_come_during_a_look(void **state)
{
    (void)state;
    put_cert(50);
    for (int i = 0; i < 30; i++) {
        start(load());
        put_cert(51 + i);
        for (int k = 0; k < i; k++) (void)uv_run(&loop, UV_RUN_NOWAIT);
        svi_renew_stop(&renew);
        assert_null(renew);
        if (i % 2) (void)uv_run(&loop, UV_RUN_DEFAULT);
    }
    start(NULL); /* no host has one: nothing to watch */
    assert_null(svi_renew_certs(renew));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_are_taken_one_after_the_other),
        TEST(ends_are_told_while_nothing_changes),
        TEST(others_may_come_during_a_look),
        TEST(the_end_may_come_during_a_look),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("main_renew", tests, NULL, NULL);
}
