/* Scripts on a stage where a module keeps the accounts (examples/c/file-accounts): clients are those that it has. */
#include "flow.h"

#include "base/base_testing.h"
#include "mods/mods_testing.h"

/* The keys of RFC 7677 3: the password is "pencil". */
#define KEYS                                                                                       \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static svi_acct test_acct = {.name = "flow-accounts"}; /* lint: allow global (the tests' one account) */

/* Runs it where the file has these accounts; `wanted` is how it fails, NULL: it does not. */
static void ends_with(const char *accounts, const char *steps, const char *wanted)
{
    char path[] = "/tmp/flow-accounts-XXXXXX", text[2048], modules[TESTING_PATH], why[300];
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, accounts, strlen(accounts)), strlen(accounts));
    close(fd);
    snprintf(text, sizeof text, "modules file-accounts\nconfig file_accounts_file = \"%s\"\n%s", path, steps);
    testing_path("modules", modules);
    flow_result result = {.failed = false};
    flow_world *world = flow_stage_new(&test_acct, modules, NULL);
    flow_run(world, "x.flow", sv_str_of(text), "", &result);
    (void)world->close(&world, why, sizeof why);
    assert_int_equal(remove(path), 0);
    const bool is_right = wanted ? result.failed && strstr(result.text, wanted) : !result.failed;
    if (!is_right) fail_msg("%s\nended with: %s", text, result.text);
}

static void who_is_there(void **state)
{
    (void)state;
    ends_with("romeo:" KEYS "\njuliet:" KEYS "\n",
              "client romeo romeo@localhost/orchard pencil\n"
              "client juliet juliet@localhost/balcony pencil\n"
              "romeo connects\n"
              "juliet connects\n"
              "romeo sends <message to='juliet@localhost/balcony'><body>x</body></message>\n"
              "juliet receives <message><body>x</body></message>\n",
              NULL);
}

static void who_is_not(void **state)
{
    (void)state;
    ends_with("romeo:" KEYS "\n", "client romeo romeo@localhost/orchard pen\nromeo can't connect\n", NULL);
    ends_with("romeo:" KEYS "\n", "client juliet juliet@localhost/balcony pencil\njuliet connects\n", "x.flow:3:");
    ends_with("romeo:*\n", "client romeo romeo@localhost/orchard pencil\nromeo connects\n", "x.flow:3:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_there), cmocka_unit_test(who_is_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
