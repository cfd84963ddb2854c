/* `stave test` on modules that are wrong on purpose (tests/mods/wrong.h): each fault is found, told with its place, repeated by the
 * command that is told, and shown by a script that has nothing needless in it. */
#include "author_trial_test.h"

/* What "again:" says, with this program in place of `stave`, fails in the same way. */
static void repeats(trial *t)
{
    char failed[1000], again[2000], line[4000];
    line_from(t, "FAILED   ", failed, sizeof failed);
    line_from(t, "again: stave ", again, sizeof again);
    (void)snprintf(line, sizeof line, "cd %s && %s %s 2>/dev/null", t->folder, t->program, again + strlen("again: stave "));
    run_line(t, line);
    has(t, failed);
    assert_int_equal(t->status, 1);
}

static void is_found(const char *module, const char *script, const char *options, const char *failed, const char *shortest)
{
    trial t;
    begin(&t, module, script);
    run(&t, options);
    assert_int_equal(t.status, 1);
    has(&t, failed);
    if (shortest) has(&t, shortest);
    repeats(&t);
    end(&t);
}

/* --- what is found ---------------------------------------------------------------------------------------- */

static void nothing_wrong(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_nothing", BEGIN GET("1") NONE("1") SET GET("2") HAS("2") "server restarts\nromeo connects\n" GET("3") HAS("3"));
    run(&t, "");
    assert_int_equal(t.status, 0);
    has(&t, "ok       wrong_nothing.flow\nok       wrong_nothing.flow, timing: 3 seeds\nok       wrong_nothing.flow, killed where it restarts\n"
            "ok       wrong_nothing.flow, harm: store-fails 3, store-late 3, shortage 1, quota 3, session-gone 3, reload 3, host-gone 3, "
            "kill 1, kill-behind 1\n");
    has(&t, "iq-get/self {urn:stave:wrong}note                           3       0       0       3\n");
    has(&t, "\npassed\n");
    end(&t);
}

/* A script that breaks off at harm has not let the disk go on; that is done before the module is tried again. */
static void a_disk_that_is_held(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_nothing", BEGIN GET("1") NONE("1") "store holds\n" GET("2") "server is killed\nromeo connects\n" GET("3") NONE("3"));
    run(&t, "--harm session-gone");
    has(&t, "ok       wrong_nothing.flow, harm: session-gone 3\n");
    assert_int_equal(t.status, 0);
    end(&t);
}

static void memory_that_is_kept(void **state)
{
    (void)state;
    is_found("wrong_leak", BEGIN SET GET("1") HAS("1"), "--harm store-fails", "FAILED   wrong_leak.flow, store-fails at 1: it holds ",
             "shortest script, 3 of 6 steps, with store-fails at 1:\n             client romeo romeo@localhost/orchard\n"
             "             romeo connects\n             romeo sends <iq type='get' id='1'>" NOTE "/></iq>\n");
}

/* What a script makes it forget is no less than what it holds where the script breaks off. */
static void memory_until_a_restart(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_hoards", BEGIN SET GET("1") HAS("1") "server restarts\nromeo connects\n" GET("2") HAS("2"));
    run(&t, "--harm session-gone");
    assert_int_equal(t.status, 0);
    has(&t, "ok       wrong_hoards.flow, harm: session-gone 2\n");
    lacks(&t, "bytes more");
    end(&t);
    begin(&t, "wrong_hoards", BEGIN SET GET("1") HAS("1"));
    run(&t, "");
    assert_int_equal(t.status, 0);
    has(&t, "note     each time that wrong_hoards.flow is run it holds 1");
    end(&t);
    begin(&t, "wrong_nothing", BEGIN SET GET("1") HAS("1"));
    run(&t, "");
    lacks(&t, "bytes more");
    end(&t);
}

/* Only behind what passes at the first two occasions. */
static void a_later_occasion(void **state)
{
    (void)state;
    is_found("wrong_last", BEGIN SET GET("1") HAS("1") GET("2") HAS("2") GET("3") HAS("3"), "--harm store-fails",
             "FAILED   wrong_last.flow, store-fails at 3: crash: Illegal instruction\n", "shortest script, 5 of 10 steps, with store-fails at 3:\n");
}

static void an_answer_that_comes_twice(void **state)
{
    (void)state;
    is_found("wrong_twice", BEGIN SET "server restarts\nromeo connects\n" GET("1") HAS("1"), "--harm reload",
             "FAILED   wrong_twice.flow, reload at 1: a request of romeo was answered 2 times: <iq type='get' id='1'>", "shortest script, 6 of 8 steps");
}

static void an_event_that_is_forgotten(void **state)
{
    (void)state;
    is_found("wrong_forgets", BEGIN GET("1") NONE("1"), "--harm store-fails", "FAILED   wrong_forgets.flow, store-fails at 1: it broke a rule: module-fault module=wrong_forgets ",
             "shortest script, 3 of 4 steps");
}

/* Those that count them begin anew at a restart, and at a reload. */
static void an_event_that_is_forgotten_before_a_restart(void **state)
{
    (void)state;
    is_found("wrong_forgets", BEGIN GET("1") NONE("1") "wait 61s\nserver restarts\nromeo connects\n" SET, "--harm store-fails",
             "FAILED   wrong_forgets.flow, store-fails at 1: it broke a rule: module-fault module=wrong_forgets ", "shortest script, 3 of 9 steps");
    is_found("wrong_forgets", BEGIN GET("1") NONE("1") "wait 61s\noperator reloads wrong_forgets\n" SET, "--harm store-fails",
             "FAILED   wrong_forgets.flow, store-fails at 1: it broke a rule: module-fault module=wrong_forgets ", "shortest script, 3 of 8 steps");
}

/* It is told once, and not once for each other way to run it. */
static void a_script_that_fails_as_it_is(void **state)
{
    (void)state;
    trial t;
    begin(&t, "wrong_nothing", BEGIN GET("1") HAS("1"));
    run(&t, "");
    has(&t, "FAILED   wrong_nothing.flow: wrong_nothing.flow:4: romeo waits for ");
    has(&t, "         until it passes it is not run with other timing or harm\n");
    has(&t, "\nFAILED: 1\n");
    lacks(&t, "wrong_nothing.flow, ");
    run(&t, "--harm store-fails");
    has(&t, "FAILED   wrong_nothing.flow: wrong_nothing.flow:4: romeo waits for ");
    has(&t, "--only wrong_nothing.flow --plain");
    has(&t, "\nFAILED: 1\n");
    lacks(&t, "wrong_nothing.flow, ");
    run(&t, "--timing");
    has(&t, "it fails without that, too: --plain");
    lacks(&t, "shortest script");
    end(&t);
}

static void a_crash_without_space(void **state)
{
    (void)state;
    is_found("wrong_shortage", BEGIN SET, "--harm shortage", "FAILED   wrong_shortage.flow, shortage at 1: crash: Illegal instruction\n",
             "shortest script, 3 of 4 steps");
}

/* Who sees it learns which run it was, and what a script can say to it. */
static void what_is_in_the_way(void **state)
{
    (void)state;
    is_found("wrong_bound", BEGIN SET GET("1") HAS("1") "romeo sends <iq type='set' id='e'>" NOTE ">end</note></iq>\nromeo receives <iq type='result' id='e'/>\n",
             "--harm session-gone", "FAILED   wrong_bound.flow, session-gone at 1: run again behind it, without harm: wrong_bound.flow:4: romeo waits for ",
             "# once: why)\n");
}

/* What is sent and what comes of it can only be left out together, and begins where no part does. */
static void pairs_that_are_needless(void **state)
{
    (void)state;
    is_found("wrong_bound", BEGIN EMPTY("2") EMPTY("3") SET GET("4") HAS("4") "romeo sends <iq type='set' id='e'>" NOTE ">end</note></iq>\n",
             "--harm session-gone", "session-gone at 1: run again behind it", "shortest script, 6 of 11 steps");
}

static void what_is_confirmed_and_lost(void **state)
{
    (void)state;
    is_found("wrong_unsaved", BEGIN SET "server restarts\nromeo connects\n" GET("1") HAS("1"), "--harm kill",
             "FAILED   wrong_unsaved.flow, killed where it restarts: wrong_unsaved.flow:8: romeo waits for <iq type='result' id='1'>", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_wrong),
        cmocka_unit_test(a_disk_that_is_held),
        cmocka_unit_test(memory_that_is_kept),
        cmocka_unit_test(memory_until_a_restart),
        cmocka_unit_test(a_later_occasion),
        cmocka_unit_test(an_answer_that_comes_twice),
        cmocka_unit_test(an_event_that_is_forgotten),
        cmocka_unit_test(an_event_that_is_forgotten_before_a_restart),
        cmocka_unit_test(a_script_that_fails_as_it_is),
        cmocka_unit_test(a_crash_without_space),
        cmocka_unit_test(what_is_in_the_way),
        cmocka_unit_test(pairs_that_are_needless),
        cmocka_unit_test(what_is_confirmed_and_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
