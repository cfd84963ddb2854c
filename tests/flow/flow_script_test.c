/* The runner on wrong scripts, and on right ones that a server fails: each ends with a reason, its file and its line. */
#include "flow.h"

#include "base/base_testing.h"
#include <stdio.h>
#include <string.h>

static svi_acct test_acct = {.name = "flow-script"}; /* lint: allow global (the tests' one account) */

/* Needs no module: two accounts that talk from session to session. */
#define BEGIN                                                                                      \
    "config modules_enabled = { }\n"                                                               \
    "client romeo romeo@localhost/orchard\n"                                                       \
    "client juliet juliet@localhost/balcony\n"                                                     \
    "romeo connects\n"                                                                             \
    "juliet connects\n"
#define SAYS(id) "<message to='juliet@localhost/balcony' id='" id "'/>"
#define TWO "romeo sends " SAYS("1") SAYS("2") "\n"

static void ends_with(const char *text, const char *wanted)
{
    flow_result result = {.failed = false};
    flow_world *world = flow_stage_new(&test_acct, ".", NULL);
    flow_run(world, "x.flow", sv_str_of(text), "", &result);
    char why[300];
    const bool is_balanced = world->close(&world, why, sizeof why);
    if (!is_balanced && !result.failed) fail_msg("%s: %s", text, why);
    const bool is_right = wanted ? result.failed && strstr(result.text, wanted) : !result.failed && !result.skipped;
    if (!is_right) fail_msg("%s\nended with: %s", text, result.text);
}

static void wrong_scripts(void **state)
{
    (void)state;
    ends_with("romeo sends <a/>\n", "x.flow:1: there is no client 'romeo'");
    ends_with(BEGIN "romeo recieves <a/>\n", "x.flow:6: the step is not understood");
    ends_with(BEGIN "romeo receives\n", "x.flow:6: the step is not understood");
    ends_with(BEGIN "romeo receives <a\n", "x.flow:6: the XML");
    ends_with(BEGIN "\n# why\nromeo receives a\n", "x.flow:8: there is no element");
    ends_with(BEGIN "romeo must not receive a\n", "x.flow:6: there is no element");
    ends_with(BEGIN "romeo ignores a\n", "x.flow:6: there is no element");
    ends_with(BEGIN "romeo receives in any order a\n", "x.flow:6: there is no element");
    ends_with(BEGIN "wait 5\n", "x.flow:6: wait is followed");
    ends_with(BEGIN "romeo sends <a id='{ID}'/>\n", "x.flow:6: nothing is kept as {ID}");
    ends_with(BEGIN "romeo must not receive <a id='{ID}'/>\n", "x.flow:6: nothing is kept as {ID}");
    ends_with(BEGIN "config a = 1\n", "x.flow:6: config comes before");
    ends_with(BEGIN "modules ping\n", "x.flow:6: modules come before");
    ends_with("modules\n", "x.flow:1: modules is followed by");
    ends_with("config modules_enabled = { }\nmodules ping\n", "x.flow:2: modules come before the first connection, and not beside");
    ends_with(BEGIN "romeo connects\n", "x.flow:6: romeo: is connected already");
    ends_with(BEGIN "romeo can't connect\n", "x.flow:6: romeo is connected already");
    ends_with(BEGIN "romeo leaves\nromeo can't connect\n", "x.flow:7: romeo could connect");
    ends_with(BEGIN "client romeo romeo@localhost/x\n", "x.flow:6: there is a client");
}

static void what_a_server_fails(void **state)
{
    (void)state;
    ends_with(BEGIN TWO "juliet receives " SAYS("1") SAYS("2") "\njuliet receives nothing\n", NULL);
    ends_with(BEGIN TWO "juliet receives in any order " SAYS("2") SAYS("1") "\n", NULL);
    ends_with(BEGIN TWO "juliet receives in any order\n  " SAYS("2") "\n  " SAYS("1") "\n", NULL);
    ends_with(BEGIN TWO "juliet receives " SAYS("2") SAYS("1") "\n", "x.flow:7: juliet waits for");
    ends_with(BEGIN TWO "juliet receives " SAYS("1") SAYS("2") SAYS("3") "\n", "nothing came");
    ends_with(BEGIN TWO "juliet receives in any order " SAYS("2") SAYS("3") "\n", "x.flow:7: juliet got, unexpected");
    ends_with(BEGIN TWO "juliet receives in any order " SAYS("2") SAYS("1") SAYS("1") "\n", "x.flow:7: juliet still waits");
    ends_with(BEGIN TWO "juliet receives " SAYS("1") "\njuliet receives nothing\n", "x.flow:8: juliet should get nothing");
    ends_with(BEGIN TWO "juliet must not receive " SAYS("2") "\n", "x.flow:7: juliet must not receive");
    ends_with(BEGIN TWO "juliet must not receive " SAYS("3") "\n", NULL);
    ends_with(BEGIN TWO "juliet forgets\njuliet receives nothing\n", NULL);
    ends_with(BEGIN "juliet ignores " SAYS("1") "\n" TWO "juliet receives " SAYS("2") "\n", NULL);
    ends_with(BEGIN TWO "juliet is closed\n", "x.flow:7: juliet should be closed");
    ends_with(BEGIN TWO "juliet receives <message id='{save ID}'/>\njuliet receives <message id='{ID}'/>\n",
              "attribute 'id': expected '{ID}', got '2'");
}

/* Time passes only virtually, and the server's own waits come true: a stranger is let wait for 30 s. */
static void waits(void **state)
{
    (void)state;
    ends_with("config modules_enabled = { }\nclient eve raw\neve connects\nwait 29s\neve is closed\n",
              "x.flow:5: eve should be closed");
    ends_with("config modules_enabled = { }\nclient eve raw\neve connects\nwait 31s\n"
              "eve ignores <stream:stream/><stream:error/>\neve is closed\n",
              NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_scripts),
        cmocka_unit_test(what_a_server_fails),
        cmocka_unit_test(waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
