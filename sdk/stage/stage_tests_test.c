/* Tests in C on the stage: what passes, what fails and how that is told. The module is `last`, in Lua. */
#define SV_STAGE_MODULE "last"
#include "include/stave/stage.h"

#include "base/base_testing.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT(line) #line
#define HERE(line) TEXT(line)
#define LOGIN "client romeo romeo@localhost/orchard\nromeo connects\n"
#define ASK "romeo sends <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:last'/></iq>\n"
#define IS_UP(seconds) "romeo receives <iq type='result' id='1'><query xmlns='jabber:iq:last' seconds='" seconds "'/></iq>\n"

static void asks(sv_stage *stage)
{
    sv_stage_run(stage, LOGIN);
    sv_stage_pass_ms(stage, 5000);
    sv_stage_run(stage, ASK IS_UP("5"));
}

static void reloads(sv_stage *stage)
{
    sv_stage_run(stage, LOGIN);
    sv_stage_pass_ms(stage, 5000);
    sv_stage_reload(stage);
    sv_stage_run(stage, ASK IS_UP("5"));
    sv_check(sv_stage_log_has(stage, "session-open"));
    sv_check(!sv_stage_log_has(stage, "no-such-event"));
}

static void restarts(sv_stage *stage)
{
    sv_stage_pass_ms(stage, 5000);
    sv_stage_restart(stage);
    sv_stage_run(stage, LOGIN ASK IS_UP("0"));
    sv_stage_pass_ms(stage, 5000);
    sv_stage_kill(stage);
    sv_stage_run(stage, "romeo connects\n" ASK IS_UP("0"));
}

static void harms(sv_stage *stage)
{
    sv_stage_run(stage, LOGIN "client juliet juliet@localhost\n");
    sv_stage_harm(stage, "store-fails", 1);
    sv_check(!sv_stage_harmed(stage));
    sv_stage_run(stage, "romeo sends <iq type='get' id='1' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>\n"
                        "romeo receives <iq type='error' id='1'/>\n");
    sv_check(sv_stage_harmed(stage));
}

#define FAILS 60 /* the line of the check */
static void fails(sv_stage *stage)
{
    (void)stage;
    sv_check(1 + 1 == 3);
}

static void fails_at_a_step(sv_stage *stage)
{
    sv_stage_run(stage, LOGIN "romeo receives <message/>\n");
}

static void configures_late(sv_stage *stage)
{
    sv_stage_run(stage, LOGIN);
    sv_stage_config(stage, "admins = \"romeo@localhost\"");
}

static void has_no_metric(sv_stage *stage)
{
    (void)sv_stage_metric(stage, "last_none");
}

static void knows_no_harm(sv_stage *stage)
{
    sv_stage_harm(stage, "lightning", 1);
}

static void crashes(sv_stage *stage)
{
    (void)stage;
    abort();
}

static void never_ends(sv_stage *stage)
{
    (void)stage;
    while (poll(NULL, 0, -1) != 0) {}
}

/* Runs the tests that are named: what was told, and how it ended. */
static char *told_by(int *status_out, int count, const char *const *names)
{
    static const sv_stage_test tests[] = {
        {"asks", asks},   {"reloads", reloads}, {"restarts", restarts}, {"harms", harms},       {"fails", fails}, {"step", fails_at_a_step},
        {"late", configures_late}, {"metric", has_no_metric}, {"harm", knows_no_harm}, {"crashes", crashes}, {"endless", never_ends}};
    char *argv[8] = {(char[]){"last_test"}};
    char path[] = "/tmp/stage-tests-XXXXXX", *text = calloc(1, 65536);
    const int out = mkstemp(path), was = dup(1);
    for (int i = 0; i < count; i++) argv[i + 1] = (char *)(uintptr_t)names[i];
    (void)fflush(stdout);
    (void)dup2(out, 1);
    *status_out = sv_stage_main(count + 1, argv, SV_STAGE_MODULE, tests, sizeof tests / sizeof *tests);
    (void)fflush(stdout);
    (void)dup2(was, 1);
    (void)close(was);
    assert_true(pread(out, text, 65535, 0) >= 0);
    (void)close(out);
    (void)unlink(path);
    return text;
}

static void expect(int status, const char *name, const char *part)
{
    int ended;
    char *text = told_by(&ended, 1, &name);
    if (ended != status || !strstr(text, part)) print_error("%s", text);
    assert_non_null(strstr(text, part));
    assert_int_equal(ended, status);
    free(text);
}

static void what_passes(void **state)
{
    (void)state;
    expect(0, "asks", "ok asks\n");
    expect(0, "reloads", "ok reloads\n");
    expect(0, "restarts", "ok restarts\n");
    expect(0, "harms", "ok harms\n");
}

static void what_fails(void **state)
{
    (void)state;
    expect(1, "fails", "stage_tests_test.c:" HERE(FAILS) ": it does not hold that 1 + 1 == 3\nnot ok fails\n");
    expect(1, "step", ": step:3: romeo waits for <message/>");
    expect(1, "late", ": step:1: ");
    expect(1, "metric", ": last has no metric last_none\nnot ok metric\n");
    expect(1, "harm", ": there is no harm of the kind lightning\nnot ok harm\n");
    expect(1, "crashes", "  it crashed: Aborted");
}

static void one_that_fails_stops_no_other(void **state)
{
    int ended;
    static const char *const names[] = {"crashes", "fails", "harms"};
    (void)state;
    char *text = told_by(&ended, 3, names);
    assert_int_equal(ended, 1);
    assert_memory_equal(text, "ok harms\n", 9);
    assert_non_null(strstr(text, "\nnot ok fails\n"));
    assert_non_null(strstr(text, "\nnot ok crashes\n"));
    assert_null(strstr(text, "asks"));
    free(text);
}

static void one_that_does_not_end_fails(void **state)
{
    int ended;
    static const char *const names[] = {"--seconds", "1", "endless"};
    (void)state;
    char *text = told_by(&ended, 3, names);
    assert_int_equal(ended, 1);
    assert_string_equal(text, "  it does not come to an end: 1 s have passed\nnot ok endless\n");
    free(text);
}

static void how_it_is_called(void **state)
{
    int ended;
    static const char *const wrong[][2] = {{"--never", ""}, {"--seed", "x"}, {"nobody", ""}, {"--here", "nobody"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        free(told_by(&ended, wrong[i][1][0] ? 2 : 1, wrong[i]));
        assert_int_equal(ended, 2);
    }
    expect(0, "--list", "asks\nreloads\n");
    static const char *const here[] = {"--seed", "7", "--here", "asks"};
    free(told_by(&ended, 4, here));
    assert_int_equal(ended, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes),
        cmocka_unit_test(what_fails),
        cmocka_unit_test(one_that_fails_stops_no_other),
        cmocka_unit_test(one_that_does_not_end_fails),
        cmocka_unit_test(how_it_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
