/* `stave test`: runs repeat themselves; what was not reached is told; tests in Lua; what it says to wrong use. */
#include "author_trial_test.h"

/* The same seed is the same run: bytes, times and the log. */
static void runs_repeat(void **state)
{
    (void)state;
    trial t;
    static char first[OUT_BYTES]; /* lint: allow global (the stack is small) */
    begin(&t, "wrong_nothing", BEGIN GET("1") NONE("1") SET GET("2") HAS("2"));
    run(&t, "--harm reload --at 2 --seed 7 | grep -v '^time'");
    has(&t, "romeo -> <iq type='get' id='2'>");
    memcpy(first, t.out, sizeof first);
    run(&t, "--harm reload --at 2 --seed 7 | grep -v '^time'");
    assert_string_equal(t.out, first);
    run(&t, "--harm reload --at 2 --seed 8 | grep -v '^time'");
    assert_string_not_equal(t.out, first);
    end(&t);
}

static void what_is_not_reached(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_nothing", BEGIN GET("1") NONE("1"));
    run(&t, "--plain --strict");
    assert_int_equal(t.status, 1);
    has(&t, "iq-set/self {urn:stave:wrong}note                           0       0       0       0  UNUSED\n");
    has(&t, "FAILED   --strict: 1 hook was never called, 0 refusals were never seen\n");
    run(&t, "--plain");
    assert_int_equal(t.status, 0);
    lacks(&t, "timing");
    end(&t);
}

/* The folder's sources say where it refuses. */
static void where_it_refuses(void **state)
{
    (void)state;
    trial t;
    char line[3 * TESTING_PATH];
    begin(&t, "notes", "client romeo romeo@localhost/orchard\nromeo connects\n"
                       "romeo sends <iq type='get' id='1' to='localhost'><a xmlns='urn:notes'/></iq>\nromeo receives <iq type='error' id='1'/>\n");
    put_file(&t, "notes.lua",
             "sv.script {summary = 'x', changes = {'iq-get/host'}}\n"
             "-- ev:refuse is a comment, \"ev:drop\" a text\n"
             "local text = [[\nev:refuse\n]]\n"
             "sv.on('iq-get/host {urn:notes}a', function(ev)\n"
             "    if ev:type() == 'x' then return ev:drop 'never' end\n"
             "    return ev:refuse(\n        'item-not-found')\n"
             "end)\n");
    put_file(&t, "notes_test.lua",
             "test('passes', function(stage)\n    stage.run [[\n        client romeo romeo@localhost/orchard\n        romeo connects\n    ]]\n"
             "    stage.reload() stage.restart() stage.kill() stage.pass(1)\n    assert(stage.log():find 'session%-open')\nend)\n"
             "test('fails', function(stage)\n    stage.run [[\n        client romeo romeo@localhost/orchard\n        romeo walks\n    ]]\nend)\n");
    (void)snprintf(line, sizeof line, "cd %s && %s test notes --plain 2>&1", t.folder, t.program);
    run_line(&t, line);
    has(&t, "ok       notes.flow\nok       passes\nFAILED   fails: notes_test.lua:12: the step is not understood\n");
    has(&t, "again: stave test notes --only 'fails' --plain --seed 1\n");
    has(&t, "refusals\n    UNSEEN   notes.lua:7: if ev:type() == 'x' then return ev:drop 'never' end\n    seen     notes.lua:8\nmemory");
    assert_int_equal(t.status, 1);
    end(&t);
}

/* A script that sends has hooks that it did not ask for: nobody has to reach them. */
static void hooks_of_the_binding(void **state)
{
    (void)state;
    trial t;
    char line[3 * TESTING_PATH];
    begin(&t, "notes", "client romeo romeo@localhost/orchard\nromeo connects\n"
                       "romeo sends <iq type='get' id='1' to='localhost'><a xmlns='urn:notes'/></iq>\nromeo receives <iq type='result' id='1'/>\n");
    put_file(&t, "notes.lua", "sv.script {summary = 'x', changes = {'iq-get/host'}, sends = {'host'}}\n"
                              "sv.on('iq-get/host {urn:notes}a', function(ev) return ev:reply() end)\n");
    (void)snprintf(line, sizeof line, "cd %s && %s test notes --plain --strict 2>&1", t.folder, t.program);
    run_line(&t, line);
    has(&t, "iq-get/host {urn:notes}a");
    lacks(&t, "iq-result/host");
    assert_int_equal(t.status, 0);
    put_file(&t, "notes.lua", "sv.script {summary = 'x', changes = {'iq-get/host', 'iq-result/host'}, sends = {'host'}}\n"
                              "sv.on('iq-get/host {urn:notes}a', function(ev) return ev:reply() end)\n"
                              "sv.on('iq-result/host', function() end)\n");
    run_line(&t, line);
    has(&t, "iq-result/host");
    has(&t, "FAILED   --strict: 1 hook was never called, 0 refusals were never seen\n");
    end(&t);
}

/* What a test expects may come of a mistake. */
static void a_fault_fails_a_test(void **state)
{
    (void)state;
    trial t;
    char line[3 * TESTING_PATH];
    begin(&t, "notes", "client romeo romeo@localhost/orchard\nromeo connects\n");
    put_file(&t, "notes.lua", "sv.script {summary = 'x', changes = {'iq-get/host'}}\n"
                              "sv.on('iq-get/host {urn:notes}a', function(ev) return ev:refuse(nil .. '') end)\n");
    put_file(&t, "notes_test.lua", "test('breaks', function(stage)\n    stage.run [[\n        client romeo romeo@localhost/orchard\n        romeo connects\n"
                                   "        romeo sends <iq type='get' id='1' to='localhost'><a xmlns='urn:notes'/></iq>\n"
                                   "        romeo receives <iq type='error' id='1'/>\n    ]]\n    stage.restart()\nend)\n");
    (void)snprintf(line, sizeof line, "cd %s && %s test notes --plain 2>&1", t.folder, t.program);
    run_line(&t, line);
    has(&t, "FAILED   breaks: behind the test: notes broke a rule: ");
    assert_int_equal(t.status, 1);
    put_file(&t, "notes.lua", "sv.script {summary = 'x'}\nsv.start(function() return false, 'the moon is wrong' end)\n");
    run_line(&t, line);
    has(&t, "FAILED   notes.flow: notes.flow:1: the account romeo@localhost can't be made: the server does not start: ");
    has(&t, "the moon is wrong");
    end(&t);
}

static void wrong_use(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_nothing", BEGIN);
    run(&t, "--harm rain");
    has(&t, "there is no harm 'rain'; there is store-fails, store-late, ");
    assert_int_equal(t.status, 2);
    run(&t, "--at 3");
    has(&t, "--at goes with --harm");
    run(&t, "--only nothing-else");
    has(&t, "wrong_nothing has no flow script with 'nothing-else' in its name");
    char line[3 * TESTING_PATH];
    (void)snprintf(line, sizeof line, "cd %s && %s test wrong_nothing 2>&1", t.folder, t.program);
    run_line(&t, line);
    has(&t, "wrong_nothing is no folder of a module: it has neither wrong_nothing.lua nor a Makefile");
    assert_int_equal(t.status, 2);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(what_is_not_reached),
        cmocka_unit_test(where_it_refuses),
        cmocka_unit_test(hooks_of_the_binding),
        cmocka_unit_test(a_fault_fails_a_test),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
