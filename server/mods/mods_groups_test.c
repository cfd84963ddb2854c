/* What a module says that it needs of the groups of functions: read, checked, refused with both versions. */
#include "mods/mods_impl.h"

#include "base/base_testing.h"

static void test_what_is_there(void **state)
{
    (void)state;
    static const char *const needs[] = {"", "store 1", "store 1, commands 1", " hooks 1 ,core 0001", "auth 1,"};
    sv_err err = {.text = ""};
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (svi_mod_needs_check(needs[i], &err) != SV_OK) fail_msg("\"%s\": %s", needs[i], err.text);
    assert_int_equal(svi_mod_needs_check(NULL, &err), SV_OK);
}

static void test_what_is_not(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"store 1, commands 7", "it needs version 7 of the group \"commands\", this server (module interface 0.1) has version 1: "
                                "upgrade the server, or take the module's release for 0.1"},
        {"shop 1", "it needs the group \"shop\", this server (module interface 0.1) has none (did you mean \"store\"?): upgrade the "
                   "server, or take the module's release for 0.1"},
        {"store 1, x 1, y 1", "it needs the group \"x\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sv_err err = {.text = ""};
        assert_int_equal(svi_mod_needs_check(cases[i][0], &err), SV_EVERSION);
        if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0) fail_msg("%s", err.text);
    }
}

static void test_what_is_no_need(void **state)
{
    (void)state;
    static const char *const wrong[] = {"store",    "store one", "store 0", "store 1 2",  "store  1", ",", "store 1,,commands 1",
                                        "store -1", "1 store",   "store1",  "store 10000"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sv_err err = {.text = ""};
        if (svi_mod_needs_check(wrong[i], &err) != SV_EINVAL) fail_msg("\"%s\" is taken", wrong[i]);
        assert_non_null(strstr(err.text, "write .needs = \"store 1, commands 1\""));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_there),
        cmocka_unit_test(test_what_is_not),
        cmocka_unit_test(test_what_is_no_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
