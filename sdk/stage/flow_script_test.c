/* The runner on wrong scripts, and on right ones that a server fails: each ends with a reason, its file and its line. */
#include "flow.h"

#include "base/base_testing.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static void ends_with_modules(const char *text, const char *wanted, const char *module_dir)
{
    flow_result result = {.failed = false};
    flow_world *world = flow_stage_new(&test_acct, module_dir, NULL);
    flow_run(world, "x.flow", sv_str_of(text), "", &result);
    char why[300];
    const bool is_balanced = world->close(&world, why, sizeof why);
    if (!is_balanced && !result.failed) fail_msg("%s: %s", text, why);
    const bool is_right = wanted ? result.failed && strstr(result.text, wanted) : !result.failed && !result.skipped;
    if (!is_right) fail_msg("%s\nended with: %s", text, result.text);
}

static void ends_with(const char *text, const char *wanted)
{
    ends_with_modules(text, wanted, ".");
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

/* A module with a command, and an account for which two messages wait. */
#define AWAY                                                                                       \
    "config modules_enabled = { \"message\", \"offline\", \"ping\" }\n"                                  \
    "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\nromeo connects\n"  \
    "romeo sends <message to='juliet@localhost'><body>a</body></message><message to='juliet@localhost'><body>b</body></message>\n"
#define SHOW "operator runs offline show juliet@localhost\n"
#define ROW(n) "    <row messages='" n "'/>\n"

static void commands(void **state)
{
    (void)state;
    static const struct {
        const char *steps, *wanted;
    } tries[] = {
        {SHOW ROW("2"), NULL},
        {SHOW "    <row messages='{save N}' address='juliet@localhost'/>\n" SHOW ROW("{N}"), NULL},
        {"operator runs offline show \"juliet@localhost\"\n" ROW("2"), NULL},
        {SHOW ROW("3"), "attribute 'messages': expected '3', got '2'"},
        {SHOW ROW("2") ROW("2"), "x.flow:6: the answer lacks <row messages='2'"},
        {SHOW, "x.flow:6: the answer also has <row"},
        {SHOW "    <row messages='{N}'/>\n", "nothing is kept as {N}"},
        {"operator runs offline show nobody@localhost\n", "x.flow:6: the command was not done: nobody@localhost: there is no such"},
        {"operator runs offline shaw juliet@localhost\n", "x.flow:6: the command was not done"},
        {"operator runs offline show juliet@localhost --more\n" ROW("2"), "x.flow:6: the command was not done: offline show takes no option"},
        {"operator can't run offline show nobody@localhost\n    there is no such account\n", NULL},
        {"operator can't run offline show nobody@localhost\n    it rains\n", "x.flow:6: the command was not done, but: nobody@localhost"},
        {"operator can't run offline show juliet@localhost\n    it rains\n", "x.flow:6: the command was done"},
        {"operator can't run offline show juliet@localhost\n", "x.flow:6: for which reason"},
        {"operator runs offline show {repeat 20000 x}\n", "x.flow:6: the command was not done: the command line is too long"},
        {"operator runs offline show {repeat 100 x }\n", "x.flow:6: the command was not done: the command line is too long"},
        {"operator walks\n", "x.flow:6: the operator runs, or can't run"},
        {"operator reloads offline\n" SHOW ROW("2"), NULL},
        {"operator reloads offlime\n", "x.flow:6: the module is not loaded anew: "},
        {"server restarts\n" SHOW ROW("2") "juliet connects\njuliet receives nothing\n", NULL},
        {"server restarts\nromeo receives nothing\n", NULL},
        {"server restarts\nromeo sends <presence/>\n", "x.flow:7: romeo: is not connected"},
        {"server melts\n", "x.flow:6: the server restarts, is killed, or can't start"},
        {"server is killed\nromeo is closed\n" SHOW ROW("2"), NULL},
        {"server is killed\nromeo sends <presence/>\n", "x.flow:7: romeo: is not connected"},
        {"romeo writes <message to='juliet@localhost'><body>c</body></message>\nserver is killed\n" SHOW ROW("2"), NULL},
        {"server can't start\n    it rains\n", "x.flow:6: the server starts"},
        {"juliet connects\nromeo writes <message to='juliet@localhost/balcony'/>\njuliet receives <message/>\n", NULL},
        {"romeo leaves\nromeo writes <message to='juliet@localhost/balcony'/>\n", "x.flow:7: romeo: is not connected"},
        {"log has session-open jid=romeo@localhost/orchard\n", NULL},
        {"log has session-open jid=juliet\n", "x.flow:6: the log lacks session-open jid=juliet"},
        {"log lacks session-open jid=juliet\n", NULL},
        {"log lacks session-open jid=romeo\n", "x.flow:6: the log has session-open jid=romeo"},
        {"log rolls\n", "x.flow:6: the log has, or lacks"},
        {"client operator nurse@localhost\n", "x.flow:6: no client can have that name"},
    };
    static const char lost[] = "config modules_enabled = { \"lost\" }\n";
    char self[1024], modules[1100];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(self, '/') = 0; /* build/KIND/tests/flow/flow_script_test */
    (void)snprintf(modules, sizeof modules, "%s/modules", self);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        char text[2000];
        (void)snprintf(text, sizeof text, AWAY "%s", tries[i].steps);
        ends_with_modules(text, tries[i].wanted, modules);
    }
    char text[200];
    (void)snprintf(text, sizeof text, "%sserver can't start\n    lost\n", lost);
    ends_with_modules(text, NULL, modules);
    (void)snprintf(text, sizeof text, "%sserver can't start\n    it rains\n", lost);
    ends_with_modules(text, "x.flow:2: the server does not start, but: config line 1: ", modules);
    (void)snprintf(text, sizeof text, "%sserver restarts\n", lost);
    ends_with_modules(text, "x.flow:2: the server does not start: config line 1: ", modules);
}

/* What is said of the network, the disk and hosts. */
static void changes(void **state)
{
    (void)state;
    static const struct {
        const char *steps, *wanted;
    } tries[] = {
        {"network\n", "x.flow:6: the network is slow, is prompt, reads, or writes"},
        {"network is slow\n", "x.flow:6: how slow is it?"},
        {"network is slow 5\n", "x.flow:6: how slow is it?"},
        {"network is slow 5ms 4ms\n", "x.flow:6: how slow is it?"},
        {"network is slow 5ms 6ms 7ms\n", "x.flow:6: how slow is it?"},
        {"network reads\n", "x.flow:6: how many bytes are read"},
        {"network reads 0\n", "x.flow:6: how many bytes are read"},
        {"network writes some\n", "x.flow:6: how many bytes are written"},
        {"store\n", "x.flow:6: the store is late, is prompt, holds, goes on, fails, is full, or has room"},
        {"store is late\n", "x.flow:6: how late is it?"},
        {"store is late soon\n", "x.flow:6: how late is it?"},
        {"store melts\n", "x.flow:6: the store is late"},
        {"host\n", "x.flow:6: a host goes, or comes"},
        {"host localhost melts\n", "x.flow:6: a host goes, or comes"},
        {"host elsewhere.example goes\n", "x.flow:6: the stage has the hosts localhost and other.localhost, not 'elsewhere.example'"},
        {"host other.localhost goes\nhost localhost goes\n", "x.flow:7: the other host has gone, and one must stay"},
        {"host other.localhost comes\n" TWO "juliet receives " SAYS("1") SAYS("2") "\n", NULL},
        {"client network nurse@localhost\n", "x.flow:6: no client can have that name"},
        {"client store nurse@localhost\n", "x.flow:6: no client can have that name"},
        {"file\n", "x.flow:6: a file holds the lines below, has a text, or lacks one"},
        {"file notes holds\n", "x.flow:6: a file holds the lines below"},
        {"file ../notes has a\n", "x.flow:6: the file can't be read: '../notes' is no name of a file"},
        {"file notes has a\n", "notes: No such file or directory"},
        {"file notes holds\n  one\n  two\nfile notes has one\nfile notes has three\n", "x.flow:10: the file lacks three"},
        {"file notes holds\n  one\nfile notes lacks one\n", "x.flow:8: the file has one"},
        {"file notes holds\n  one\nfile notes holds\n  two\nfile notes lacks one\n", NULL},
        {"client file nurse@localhost\n", "x.flow:6: no client can have that name"},
        {"client host nurse@localhost\n", "x.flow:6: no client can have that name"},
        {"romeo is cut\nromeo is cut\n", "x.flow:7: romeo is not connected"},
        {"romeo vanishes\nromeo falls silent\n", "x.flow:7: romeo is not connected"},
        {"romeo is cut\nromeo receives <a/>\n", "the connection is closed (it was lost)"},
        {"romeo falls silent\n" TWO "juliet must not receive " SAYS("1") "\njuliet receives nothing\n", NULL},
        {"romeo falls silent\nromeo receives <a/>\n", "nothing came"},
        {"juliet falls silent\n" TWO "juliet vanishes\nromeo receives nothing\n", NULL},
        {"juliet falls silent\njuliet vanishes\njuliet connects\n" TWO "juliet receives " SAYS("1") SAYS("2") "\n", NULL},
        /* nothing is on the way when a step looks for what must not come */
        {"network is slow 1s 2s\n" TWO "juliet receives nothing\n", "x.flow:8: juliet should get nothing"},
        {"network is slow 1s 2s\n" TWO "juliet receives " SAYS("1") SAYS("2") SAYS("3") "\n", "nothing came"},
        {"network is slow 1s 2s\nnetwork reads 1\nnetwork writes 1\n" TWO "juliet receives " SAYS("1") SAYS("2") "\nnetwork is prompt\n", NULL},
        {"network is slow 400s\n" TWO "romeo is closed\n", "x.flow:8: romeo should be closed"},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        char text[2000];
        (void)snprintf(text, sizeof text, BEGIN "%s", tries[i].steps);
        ends_with(text, tries[i].wanted);
    }
}

/* Pieces go on where the one before ended, with the same clients and what was kept; lines count from the first one given. */
static void pieces(void **state)
{
    (void)state;
    static const char begin[] = "config modules_enabled = { }\nclient romeo romeo@localhost/orchard\nromeo connects\n";
    flow_result result;
    flow_world *world = flow_stage_new(&test_acct, ".", NULL);
    flow_play *play = flow_play_new(world, ".7");
    assert_true(flow_play_run(play, "a.c", 10, sv_str_of(begin), &result));
    assert_true(flow_play_run(play, "a.c", 20, SV_STR("romeo sends <iq type='get' id='1' to='romeo@localhost'/>\n"), &result));
    assert_true(flow_play_run(play, "a.c", 21, SV_STR("romeo receives <iq type='error' id='{save ID}' from='romeo@localhost'/>\n"), &result));
    assert_true(flow_play_run(play, "a.c", 22, SV_STR("log has jid=romeo.7@localhost/orchard\n"), &result));
    assert_false(flow_play_run(play, "a.c", 30, SV_STR("# no step\nromeo receives <iq id='{ID}'/>\n"), &result));
    assert_non_null(strstr(result.text, "a.c:31: romeo waits for <iq id='{ID}'/>"));
    assert_true(result.failed);
    assert_true(flow_play_run(play, "b.c", 1, SV_STR("romeo receives nothing\n"), &result));
    assert_false(result.failed);
    flow_play_free(&play);
    char why[300];
    assert_true(world->close(&world, why, sizeof why));
}

/* A lenient play passes over what was expected otherwise, and ends without failing at what can't be done. A second one in the same
 * world has other accounts, and the configuration as it is. */
static void lenient(void **state)
{
    (void)state;
    static const char text[] = "config modules_enabled = { }\nclient romeo romeo@localhost/orchard\nromeo connects\n"
                               "romeo sends <iq type='get' id='1'/><message id='1' to='romeo@localhost/orchard'/>\n"
                               "romeo receives <iq id='2'/>\nromeo receives nothing\nlog has jid=nobody\nlog has jid=romeo\n"
                               "romeo vanishes\nromeo sends <iq type='get' id='3'/>\nclient romeo romeo@localhost/orchard\n";
    flow_result result;
    char why[300];
    flow_world *world = flow_stage_new(&test_acct, ".", NULL);
    flow_play *play = flow_play_new(world, "");
    flow_play_be_lenient(play);
    (void)flow_play_run(play, "x.flow", 1, sv_str_of(text), &result);
    assert_false(result.failed);
    assert_int_equal(flow_play_unmet(play), 3); /* the first and the last step behind it that fail, and the log */
    assert_true(flow_play_is_answered(play, why, sizeof why));
    flow_play *again = flow_play_new(world, ".2");
    flow_play_again(again);
    assert_false(flow_play_run(again, "x.flow", 1, sv_str_of(text), &result));
    assert_non_null(strstr(result.text, "x.flow:5: romeo waits for <iq id='2'/>"));
    assert_int_equal(flow_play_unmet(again), 0);
    flow_play_leave(again);
    flow_play_free(&again);
    flow_play_free(&play);
    const sv_str log = world->log_lines(world), bound = SV_STR("jid=romeo.2@localhost/orchard");
    assert_non_null(memmem(log.p, log.n, bound.p, bound.n));
    assert_true(world->close(&world, why, sizeof why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_scripts),
        cmocka_unit_test(what_a_server_fails),
        cmocka_unit_test(waits),
        cmocka_unit_test(commands),
        cmocka_unit_test(changes),
        cmocka_unit_test(pieces),
        cmocka_unit_test(lenient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
