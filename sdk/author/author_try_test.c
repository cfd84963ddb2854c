/* `stave test` on modules that are wrong on purpose (tests/mods/wrong.h): each fault is found, told with its place, repeated by the
 * command that is told, and shown by a script that has nothing needless in it. The program runs as an author runs it. */
#include "base/base_testing.h"
#include "mods/mods_testing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTE "<note xmlns='urn:stave:wrong'"
#define BEGIN "client romeo romeo@localhost/orchard\nromeo connects\n"
#define GET(id) "romeo sends <iq type='get' id='" id "'>" NOTE "/></iq>\n"
#define NONE(id) "romeo receives <iq type='error' id='" id "'/>\n"
#define SET "romeo sends <iq type='set' id='s'>" NOTE ">Away</note></iq>\nromeo receives <iq type='result' id='s'/>\n"
#define HAS(id) "romeo receives <iq type='result' id='" id "'>" NOTE ">Away</note></iq>\n"

enum { OUT_BYTES = 65536 };

typedef struct trial {
    char folder[64], name[64], program[TESTING_PATH];
    int status;
    char out[OUT_BYTES];
} trial;

static void put_file(const trial *t, const char *name, const char *text)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s/%s", t->folder, t->name, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A folder of the module with one script. */
static void begin(trial *t, const char *name, const char *script)
{
    char path[200];
    *t = (trial){.folder = "/tmp/author-try-XXXXXX"};
    assert_non_null(mkdtemp(t->folder));
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    (void)snprintf(path, sizeof path, "%s/%s", t->folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    testing_path("sdk/author/stave-sdk", t->program);
    (void)snprintf(path, sizeof path, "%s.flow", name);
    put_file(t, path, script);
}

static void run_line(trial *t, const char *line)
{
    FILE *pipe = popen(line, "re");
    assert_non_null(pipe);
    const size_t n = fread(t->out, 1, sizeof t->out - 1, pipe);
    t->out[n] = '\0';
    const int status = pclose(pipe);
    t->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run(trial *t, const char *options)
{
    char line[3 * TESTING_PATH], built[TESTING_PATH];
    testing_path("tests/mods", built);
    (void)snprintf(line, sizeof line, "cd %s && 2>&1 %s test %s --built %s/%s.so %s", t->folder, t->program, t->name, built, t->name, options);
    run_line(t, line);
}

static void end(trial *t)
{
    char line[100];
    (void)snprintf(line, sizeof line, "rm -rf %s", t->folder);
    assert_int_equal(system(line), 0);
}

static void has(const trial *t, const char *text)
{
    if (!strstr(t->out, text)) fail_msg("it does not say: %s\nbut:\n%s", text, t->out);
}

static void lacks(const trial *t, const char *text)
{
    if (strstr(t->out, text)) fail_msg("it says: %s\n%s", text, t->out);
}

/* The line that begins with it, without the blanks before; in `to`. */
static void line_from(const trial *t, const char *word, char *to, size_t n)
{
    const char *at = strstr(t->out, word);
    if (!at) fail_msg("it does not say: %s\nbut:\n%s", word, t->out);
    (void)snprintf(to, n, "%.*s", (int)strcspn(at, "\n"), at);
}

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

static void memory_that_is_kept(void **state)
{
    (void)state;
    is_found("wrong_leak", BEGIN SET GET("1") HAS("1"), "--harm store-fails", "FAILED   wrong_leak.flow, store-fails at 1: it holds ",
             "shortest script, 3 of 6 steps, with store-fails at 1:\n             client romeo romeo@localhost/orchard\n"
             "             romeo connects\n             romeo sends <iq type='get' id='1'>" NOTE "/></iq>\n");
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

static void a_crash_without_space(void **state)
{
    (void)state;
    is_found("wrong_shortage", BEGIN SET, "--harm shortage", "FAILED   wrong_shortage.flow, shortage at 1: crash: Illegal instruction\n",
             "shortest script, 3 of 4 steps");
}

static void what_is_confirmed_and_lost(void **state)
{
    (void)state;
    is_found("wrong_unsaved", BEGIN SET "server restarts\nromeo connects\n" GET("1") HAS("1"), "--harm kill",
             "FAILED   wrong_unsaved.flow, killed where it restarts: wrong_unsaved.flow:8: romeo waits for <iq type='result' id='1'>", NULL);
}

/* --- runs ------------------------------------------------------------------------------------------------- */

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
        cmocka_unit_test(nothing_wrong),
        cmocka_unit_test(memory_that_is_kept),
        cmocka_unit_test(a_later_occasion),
        cmocka_unit_test(an_answer_that_comes_twice),
        cmocka_unit_test(an_event_that_is_forgotten),
        cmocka_unit_test(a_crash_without_space),
        cmocka_unit_test(what_is_confirmed_and_lost),
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(what_is_not_reached),
        cmocka_unit_test(where_it_refuses),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
