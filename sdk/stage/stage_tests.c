/* Tests in C on the stage (stave/stage.h): what a module's test program is linked with. */
#define SV_STAGE_MODULE "" /* the programs' to say */
#include "include/stave/stage.h"

#include "base/base_log.h"
#include "flow.h"
#include "stage.h"
#include "stage_cover.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct suite {
    const char *module;
    const sv_stage_test *tests;
    size_t count;
    uint64_t seed;
    unsigned seconds; /* that one test may take */
    char own[PATH_MAX];     /* the folder of the program, where NAME.so lies, too */
    char shipped[PATH_MAX + 16], examples[PATH_MAX + 16]; /* of the server's modules, and of those that show how to write one */
    const char *paths[3];
} suite;

struct sv_stage {
    const suite *of;
    svi_acct server, peers;
    flow_world *world;
    flow_play *play;
    svi_cover cover; /* for whoever runs the program (STAVE_COVERAGE) */
};

/* --- failing ------------------------------------------------------------------------------------------------ */

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_WRONG = 2, LEVELS = 5, TEST_S = 60 };

/* A test that has failed ends there, and with it its process. */
static _Noreturn void __attribute__((format(printf, 3, 4))) fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (file) (void)printf("  %s:%d: ", file, line);
    (void)vprintf(format, args);
    (void)printf("\n");
    va_end(args);
    (void)fflush(stdout);
    _exit(EXIT_BAD);
}

void sv_stage_check(bool holds, const char *condition, const char *file, int line)
{
    if (!holds) fail(file, line, "it does not hold that %s", condition);
}

/* --- what a test does with its stage -------------------------------------------------------------------------- */

void sv_stage_run_at(sv_stage *st, const char *steps, const char *file, int line)
{
    flow_result result;
    if (!flow_play_run(st->play, "step", 1, sv_str_of(steps), &result)) fail(file, line, "%s", result.text);
}

/* One step, with a text put in. */
static void step(sv_stage *st, const char *file, int line, const char *format, const char *text)
{
    svi_buf steps;
    svi_buf_init(&steps, &st->peers);
    for (const char *p = format; *p; p++) {
        if (p[0] == '%')
            svi_buf_put(&steps, sv_str_of(text));
        else
            svi_buf_putc(&steps, *p);
    }
    svi_buf_putc(&steps, '\0');
    sv_stage_run_at(st, steps.data, file, line);
    svi_buf_free(&steps);
}

void sv_stage_config_at(sv_stage *st, const char *text, const char *file, int line)
{
    step(st, file, line, "config %\n", text);
}

static void start(sv_stage *st, const char *file, int line)
{
    svi_stage *stage = flow_stage_of(st->world);
    if (!svi_stage_start(stage)) fail(file, line, "the server does not start: %s", svi_stage_problem(stage));
}

void sv_stage_pass_at(sv_stage *st, int64_t ms, const char *file, int line)
{
    if (ms < 0 || ms > INT64_MAX / 2000) fail(file, line, "time does not pass by %lld ms", (long long)ms);
    start(st, file, line);
    svi_stage_pass(flow_stage_of(st->world), ms * 1000);
}

void sv_stage_reload_at(sv_stage *st, const char *file, int line)
{
    start(st, file, line);
    step(st, file, line, "operator reloads %\n", st->of->module);
}

void sv_stage_restart_at(sv_stage *st, bool is_killed, const char *file, int line)
{
    start(st, file, line);
    step(st, file, line, is_killed ? "server is killed\n" : "server restarts\n", "");
}

void sv_stage_harm_at(sv_stage *st, const char *kind, uint64_t n, const char *file, int line)
{
    int k = SVI_HARM_NONE;
    while (k < SVI_HARM_KINDS && strcmp(svi_harm_name((svi_harm_kind)k), kind) != 0) k++;
    if (k == SVI_HARM_KINDS) fail(file, line, "there is no harm of the kind %s", kind);
    if (n == 0 && k != SVI_HARM_NONE) fail(file, line, "occasions are counted from 1");
    svi_stage_harm(flow_stage_of(st->world), (svi_harm_kind)k, st->of->module, n);
}

bool sv_stage_harmed(const sv_stage *st)
{
    return svi_stage_harmed(flow_stage_of(st->world));
}

bool sv_stage_log_has(const sv_stage *st, const char *text)
{
    const sv_str log = svi_stage_log(flow_stage_of(st->world));
    return log.n > 0 && memmem(log.p, log.n, text, strlen(text)) != NULL;
}

int64_t sv_stage_metric_at(sv_stage *st, const char *name, const char *file, int line)
{
    start(st, file, line);
    const svi_mods *mods = svi_stage_mods(flow_stage_of(st->world));
    svi_mod_info info;
    for (size_t i = 0; svi_mods_info(mods, i, &info); i++) {
        const sv_metric *metric;
        int64_t value;
        if (strcmp(info.name, st->of->module) != 0 || strcmp(info.host, "localhost") != 0) continue;
        for (size_t k = 0; svi_mods_metric(mods, i, k, &metric, &value); k++)
            if (strcmp(metric->name, name) == 0) return value;
    }
    fail(file, line, "%s has no metric %s", st->of->module, name);
}

/* --- running them ----------------------------------------------------------------------------------------------- */

static void open_stage(sv_stage *st, const suite *s)
{
    *st = (sv_stage){.of = s, .server = {.name = "server"}, .peers = {.name = "stage"}};
    svi_stage_config config = {.core = &st->server, .peers = &st->peers, .paths = s->paths, .path_count = 3, .seed = s->seed};
    svi_cover_init(&st->cover, s->module);
    svi_cover_attach(&st->cover, &config);
    st->world = flow_stage_with(&st->peers, &config);
    if (!svi_stage_enable(flow_stage_of(st->world), sv_str_of(s->module))) fail(NULL, 0, "%s can't be enabled", s->module);
    st->play = flow_play_new(st->world, "");
}

/* The end of a test that has passed so far: nothing may be on its way then, or left. */
static void close_stage(sv_stage *st)
{
    char why[300];
    flow_play_free(&st->play);
    if (!st->world->close(&st->world, why, sizeof why)) fail(NULL, 0, "behind the test: %s", why);
    if (st->cover.faults > 0) fail(NULL, 0, "behind the test: %s broke a rule: %s", st->of->module, st->cover.rule);
    if (st->server.live_bytes != 0)
        fail(NULL, 0, "behind the test: %lld bytes in %lld blocks are left", (long long)st->server.live_bytes,
             (long long)st->server.live_count);
}

static void run_here(const suite *s, const sv_stage_test *test)
{
    sv_stage st;
    open_stage(&st, s);
    test->run(&st);
    close_stage(&st);
    const char *cover = getenv("STAVE_COVERAGE");
    if (cover && !svi_cover_write(&st.cover, cover)) fail(NULL, 0, "%s can't be written: %s", cover, strerror(errno));
    (void)fflush(stdout);
}

/* Each in a process of its own: what one breaks is not the next one's trouble. */
static bool run_apart(const suite *s, const sv_stage_test *test)
{
    int status = 0;
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        (void)alarm(s->seconds);
        run_here(s, test);
        _exit(EXIT_GOOD);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        (void)printf("  it can't be run\n");
        return false;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        (void)printf("  it does not come to an end: %u s have passed\n", s->seconds);
    else if (WIFSIGNALED(status))
        (void)printf("  it crashed: %s. (`sv` is NULL in a test program: what calls the server is tested with steps. With --here, "
                     "a debugger can be used)\n",
                     strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_GOOD;
}

static const sv_stage_test *find(const suite *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->tests[i].name, name) == 0) return &s->tests[i];
    return NULL;
}

static bool is_among(char *const *names, int count, const char *name)
{
    bool found = count == 0;
    for (int i = 0; i < count && !found; i++) found = strcmp(names[i], name) == 0;
    return found;
}

static int run_all(const suite *s, char *const *names, int count)
{
    bool good = true;
    for (int i = 0; i < count; i++)
        if (!find(s, names[i])) {
            (void)fprintf(stderr, "there is no test '%s'; --list tells them\n", names[i]);
            return EXIT_WRONG;
        }
    for (size_t i = 0; i < s->count; i++) {
        if (!is_among(names, count, s->tests[i].name)) continue;
        const bool passed = run_apart(s, &s->tests[i]);
        (void)printf("%s %s\n", passed ? "ok" : "not ok", s->tests[i].name);
        good &= passed;
    }
    return good ? EXIT_GOOD : EXIT_BAD;
}

/* --- the program ------------------------------------------------------------------------------------------------- */

/* The server's modules lie beside this library; in the build tree this is part of the program, somewhere below build/KIND, where
 * those of examples/ lie, too. */
static bool find_folders(suite *s)
{
    Dl_info info;
    char here[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", s->own, sizeof s->own - 1);
    if (n <= 0 || !dladdr(svi_stage_new, &info) || !realpath(info.dli_fname, here)) return false;
    s->own[n] = '\0';
    *strrchr(s->own, '/') = '\0';
    bool found = false;
    for (int up = 0; !found && up < LEVELS && strrchr(here, '/') != NULL; up++) {
        *strrchr(here, '/') = '\0';
        (void)snprintf(s->shipped, sizeof s->shipped, "%s/modules", here);
        found = access(s->shipped, F_OK) == 0;
    }
    (void)snprintf(s->examples, sizeof s->examples, "%s/examples", here);
    s->paths[0] = s->own;
    s->paths[1] = s->examples;
    s->paths[2] = s->shipped;
    return found;
}

static int usage(const char *program)
{
    (void)fprintf(stderr, "usage: %s [--list] [--seed N] [--seconds N] [--here] [TEST...]; --here takes one test\n", program);
    return EXIT_WRONG;
}

typedef struct words {
    bool list, here;
    int first; /* of the tests' names */
} words;

static bool read_words(int argc, char **argv, suite *s, words *w)
{
    *w = (words){.first = 1};
    for (; w->first < argc && argv[w->first][0] == '-'; w->first++) {
        int64_t number = 0;
        const char *word = argv[w->first];
        if (strcmp(word, "--list") == 0)
            w->list = true;
        else if (strcmp(word, "--here") == 0)
            w->here = true;
        else if (strcmp(word, "--seed") == 0 && w->first + 1 < argc &&
                 svi_str_int(sv_str_of(argv[++w->first]), 0, INT64_MAX, &number) == SV_OK)
            s->seed = (uint64_t)number;
        else if (strcmp(word, "--seconds") == 0 && w->first + 1 < argc &&
                 svi_str_int(sv_str_of(argv[++w->first]), 1, 3600, &number) == SV_OK)
            s->seconds = (unsigned)number;
        else
            return false;
    }
    return !w->here || argc - w->first == 1;
}

int sv_stage_main(int argc, char **argv, const char *module, const sv_stage_test *tests, size_t count)
{
    suite s = {.module = module, .tests = tests, .count = count, .seed = 1, .seconds = TEST_S};
    words w;
    static const uint8_t key[16]; /* the same order of everything in each run */
    if (!read_words(argc, argv, &s, &w)) return usage(argv[0]);
    if (!find_folders(&s)) return (void)fprintf(stderr, "the server's modules are not where the SDK has them\n"), EXIT_WRONG;
    svi_hash_seed(key);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, svi_plat_kernel()->wall_us, svi_plat_kernel()->ctx);
    for (size_t i = 0; w.list && i < count; i++) (void)printf("%s\n", tests[i].name);
    if (w.list) return EXIT_GOOD;
    if (!w.here) return run_all(&s, argv + w.first, argc - w.first);
    const sv_stage_test *one = find(&s, argv[w.first]);
    if (!one) return run_all(&s, argv + w.first, 1);
    run_here(&s, one);
    return EXIT_GOOD;
}
