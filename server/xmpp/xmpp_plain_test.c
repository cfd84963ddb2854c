/* Tests of PLAIN: messages, the comparison off the router, names without an account. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "xmpp/xmpp_sasl.h"

static svi_acct acct = {.name = "test"};
static svi_plat_virtual clock_;

static svi_sasl *sasl_new(void)
{
    const svi_sasl_env env = {
        .plat = &clock_.plat, .host = SV_STR("localhost"), .is_secure = true};
    svi_sasl_fault fault;
    svi_sasl *sasl = svi_sasl_new(&acct, SV_STR("PLAIN"), &env, &fault);
    assert_non_null(sasl);
    return sasl;
}

static svi_scram_keys keys_of(const char *password)
{
    svi_scram_keys keys;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", sv_str_of(password),
                                      SV_STR("0123456789abcdef"), 4096, &keys),
                     SV_OK);
    return keys;
}

/* The whole exchange with these keys. */
static svi_sasl_result talk(svi_sasl *sasl, sv_str message, const svi_scram_keys *keys, bool real)
{
    svi_sasl_result r = svi_sasl_step(sasl, message);
    if (r.next != SVI_SASL_NEED_KEYS) return r;
    assert_string_equal(r.keys, "SCRAM-SHA-256");
    r = svi_sasl_keys(sasl, keys, real);
    assert_int_equal(r.next, SVI_SASL_NEED_WORK);
    svi_sasl_work *work = r.work;
    svi_sasl_work_run(work);
    r = svi_sasl_worked(sasl, work);
    svi_sasl_work_free(&work);
    return r;
}

typedef struct plain_case {
    sv_str message;
    svi_sasl_fault fault;
} plain_case;

static void judges_messages(void **state)
{
    (void)state;
    static const plain_case cases[] = {
        {SV_STR_INIT("\0romeo\0rosaline"), SVI_SASL_OK},
        {SV_STR_INIT("\0ROMEO\0rosaline"), SVI_SASL_OK},
        {SV_STR_INIT("romeo@localhost\0romeo\0rosaline"), SVI_SASL_OK},
        /* the password: wrong in case, at its ends, as to spaces */
        {SV_STR_INIT("\0romeo\0Rosaline"), SVI_SASL_NOT_AUTHORIZED},
        {SV_STR_INIT("\0romeo\0rosaline "), SVI_SASL_NOT_AUTHORIZED},
        {SV_STR_INIT("\0romeo\0rosalin"), SVI_SASL_NOT_AUTHORIZED},
        /* what no password or name can be */
        {SV_STR_INIT("\0romeo\0rosa\nline"), SVI_SASL_NOT_AUTHORIZED},
        {SV_STR_INIT("\0rom eo\0rosaline"), SVI_SASL_NOT_AUTHORIZED},
        /* threats A1 */
        {SV_STR_INIT("juliet@localhost\0romeo\0rosaline"), SVI_SASL_INVALID_AUTHZID},
        {SV_STR_INIT("romeo@other\0romeo\0rosaline"), SVI_SASL_INVALID_AUTHZID},
        {SV_STR_INIT("romeo@localhost/r\0romeo\0rosaline"), SVI_SASL_INVALID_AUTHZID},
        {SV_STR_INIT("romeo\0romeo\0rosaline"), SVI_SASL_INVALID_AUTHZID},
        /* the form (RFC 4616 2) */
        {SV_STR_INIT(""), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("romeo"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0romeo"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0\0rosaline"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0romeo\0"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0romeo\0rosaline\0"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0romeo\0rosa\0line"), SVI_SASL_MALFORMED_REQUEST},
        {SV_STR_INIT("\0rom\xff\0rosaline"), SVI_SASL_MALFORMED_REQUEST},
    };
    const svi_scram_keys keys = keys_of("rosaline");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svi_sasl *sasl = sasl_new();
        const svi_sasl_result r = talk(sasl, cases[i].message, &keys, true);
        if (r.fault != cases[i].fault || (r.next == SVI_SASL_SUCCESS) != (r.fault == SVI_SASL_OK))
            fail_msg("%zu gave %s", i, svi_sasl_fault_name(r.fault));
        if (r.next == SVI_SASL_SUCCESS) assert_true(sv_str_eq(r.name, SV_STR("romeo")));
        svi_sasl_free(&sasl);
    }
    assert_int_equal(acct.live_bytes, 0);
}

static void is_bounded(void **state)
{
    (void)state;
    static char text[7 + 1024] = "\0romeo";
    const svi_scram_keys keys = keys_of("rosaline");
    memset(text + 7, 'x', 1024);
    svi_sasl *sasl = sasl_new();
    assert_int_equal(talk(sasl, (sv_str){text, sizeof text}, &keys, true).fault,
                     SVI_SASL_NOT_AUTHORIZED);
    svi_sasl_free(&sasl);
}

/* Threats A4: the keys may fit, without an account nobody gets in, and the work is the same. */
static void made_up_keys_never_fit(void **state)
{
    (void)state;
    const svi_scram_keys keys = keys_of("rosaline");
    svi_sasl *sasl = sasl_new();
    const svi_sasl_result r = talk(sasl, SV_STR("\0romeo\0rosaline"), &keys, false);
    assert_int_equal(r.next, SVI_SASL_FAILURE);
    assert_int_equal(r.fault, SVI_SASL_NOT_AUTHORIZED);
    svi_sasl_free(&sasl);
}

/* Work that was given away stays whole when its exchange goes; one that was never begun is freed, too. */
static void work_outlives_its_exchange(void **state)
{
    (void)state;
    const svi_scram_keys keys = keys_of("rosaline");
    for (int run = 0; run < 2; run++) {
        svi_sasl *sasl = sasl_new();
        assert_int_equal(svi_sasl_step(sasl, SV_STR("\0romeo\0rosaline")).next,
                         SVI_SASL_NEED_KEYS);
        svi_sasl_work *work = svi_sasl_keys(sasl, &keys, true).work;
        svi_sasl_free(&sasl);
        if (run) svi_sasl_work_run(work);
        svi_sasl_work_free(&work);
        assert_null(work);
    }
    assert_int_equal(acct.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_messages),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(made_up_keys_never_fit),
        cmocka_unit_test(work_outlives_its_exchange),
    };
    svi_plat_virtual_init(&clock_, 7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
