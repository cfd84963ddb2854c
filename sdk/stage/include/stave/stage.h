/* The stage: tests in C of a module, against the real server with the server's own modules, on a clock and a network of its
 * own.
 *
 * Nothing happens by itself: the server works while steps run, time passes when a test lets it, and every run is the
 * same. A test program is NAME_test.c beside NAME.c; `make tests` (stave.mk) builds it, `stave test` runs it:
 *
 *     #include "notes.h"
 *     #include <stave/stage.h>
 *
 *     static void keeps_notes(sv_stage *stage)
 *     {
 *         sv_stage_run(stage, "client romeo romeo@localhost/orchard\n"
 *                             "romeo connects\n"
 *                             "romeo sends <iq type='set' id='1'><note xmlns='urn:example:notes'>Hello</note></iq>\n"
 *                             "romeo receives <iq type='result' id='1'/>\n");
 *         sv_check(count_chars(SV_STR("Hello")) == 5);
 *     }
 *
 *     SV_STAGE_TESTS({"a note is kept", keeps_notes})
 *
 * There are two copies of the module in such a program. The stage loads NAME.so, as a server does. The same objects are also
 * linked into the program, so that the test can call functions that are not static: such as do without `sv`, which is NULL
 * here. What calls the server is tested by what the server does then, with steps.
 *
 * A check that fails ends its test; the others go on. Each test has a process and a stage of its own. Not part of the
 * module interface: a test program is built for the SDK that it is run with. */
#ifndef STAVE_STAGE_H
#define STAVE_STAGE_H

#include <stave/types.h>

typedef struct sv_stage sv_stage;

typedef struct sv_stage_test {
    const char *name;
    void (*run)(sv_stage *stage); /* the stage is borrowed, and has not started */
} sv_stage_test;

/* The module that is tested: stave.mk says it. */
#ifndef SV_STAGE_MODULE
#error "SV_STAGE_MODULE is not defined: build the test with stave.mk (make tests), or with -DSV_STAGE_MODULE='\"NAME\"'"
#endif

/* The program: SV_STAGE_TESTS({"name", function}, ...) makes its main. With names as arguments, these tests alone; --list tells
 * the names; --here runs one in this process, for a debugger; --seed N is the seed of all that is random (1); --seconds N is how
 * long one may take (60). Ends with 0 if all passed, 1 if one failed, 2 if it was called wrongly. */
#define SV_STAGE_TESTS(...)                                                                        \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const sv_stage_test tests[] = {__VA_ARGS__};                                        \
        return sv_stage_main(argc, argv, SV_STAGE_MODULE, tests, sizeof tests / sizeof *tests);    \
    }
int sv_stage_main(int argc, char **argv, const char *module, const sv_stage_test *tests, size_t count);

/* Where a call stands, for messages. */
#define SV_STAGE_HERE __FILE__, __LINE__

/* Fails the test if the condition does not hold. */
#define sv_check(condition) sv_stage_check((condition), #condition, SV_STAGE_HERE)
void sv_stage_check(bool holds, const char *condition, const char *file, int line);

/* Runs steps of a flow script, a line each (doc/flow.md); clients go on from one call to the next. The module is enabled
 * besides the usual ones. The first step of a client starts the server. */
#define sv_stage_run(stage, steps) sv_stage_run_at((stage), (steps), SV_STAGE_HERE)
void sv_stage_run_at(sv_stage *stage, const char *steps, const char *file, int line);

/* A line of the configuration, before the server starts: "notes_length = 10". */
#define sv_stage_config(stage, text) sv_stage_config_at((stage), (text), SV_STAGE_HERE)
void sv_stage_config_at(sv_stage *stage, const char *text, const char *file, int line);

/* Lets time pass, with all that becomes due in it. */
#define sv_stage_pass_ms(stage, ms) sv_stage_pass_at((stage), (ms), SV_STAGE_HERE)
void sv_stage_pass_at(sv_stage *stage, int64_t ms, const char *file, int line);

/* Loads the module anew, as `stave reload NAME` does. */
#define sv_stage_reload(stage) sv_stage_reload_at((stage), SV_STAGE_HERE)
void sv_stage_reload_at(sv_stage *stage, const char *file, int line);

/* Ends the server in order / at once, as kill -9 does, and starts it again on what is stored. Nobody is connected then. */
#define sv_stage_restart(stage) sv_stage_restart_at((stage), false, SV_STAGE_HERE)
#define sv_stage_kill(stage) sv_stage_restart_at((stage), true, SV_STAGE_HERE)
void sv_stage_restart_at(sv_stage *stage, bool is_killed, const char *file, int line);

/* From now on the n-th occasion (from 1) for that kind of harm in what the module does is one: "store-fails" (a read fails),
 * "store-late", "shortage" (of space), "quota" (of memory), "session-gone", "reload", "host-gone" (each while an event of the module
 * waits), "kill" (before a commit with its rows is durable), "kill-behind" (right behind it); "none" ends it. */
#define sv_stage_harm(stage, kind, n) sv_stage_harm_at((stage), (kind), (n), SV_STAGE_HERE)
void sv_stage_harm_at(sv_stage *stage, const char *kind, uint64_t n, const char *file, int line);
/* True once it has happened. */
bool sv_stage_harmed(const sv_stage *stage);

/* True if a line of the log, from level info, has the text: "note-written from=romeo@localhost". */
bool sv_stage_log_has(const sv_stage *stage, const char *text);

/* The value of a metric of the module on the host localhost. */
#define sv_stage_metric(stage, name) sv_stage_metric_at((stage), (name), SV_STAGE_HERE)
int64_t sv_stage_metric_at(sv_stage *stage, const char *name, const char *file, int line);

#endif
