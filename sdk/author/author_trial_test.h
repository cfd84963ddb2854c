/* For tests of `stave test`: a folder of a module with a script, and the program run there as an author runs it. */
#ifndef AUTHOR_TRIAL_TEST_H
#define AUTHOR_TRIAL_TEST_H

#include "base/base_testing.h"
#include "mods/mods_testing.h"

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
#define EMPTY(id) "romeo sends <iq type='set' id='" id "'>" NOTE "/></iq>\nromeo receives <iq type='error' id='" id "'/>\n"
#define HAS(id) "romeo receives <iq type='result' id='" id "'>" NOTE ">Away</note></iq>\n"

enum { OUT_BYTES = 65536 };

typedef struct trial {
    char folder[64], name[64], program[TESTING_PATH];
    int status;
    char out[OUT_BYTES];
} trial;

static inline void put_file(const trial *t, const char *name, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s/%s", t->folder, t->name, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A folder of the module with one script. */
static inline void begin(trial *t, const char *name, const char *script)
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

static inline void run_line(trial *t, const char *line)
{
    FILE *pipe = popen(line, "re");
    assert_non_null(pipe);
    const size_t n = fread(t->out, 1, sizeof t->out - 1, pipe);
    t->out[n] = '\0';
    const int status = pclose(pipe);
    t->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void run(trial *t, const char *options)
{
    char line[3 * TESTING_PATH], built[TESTING_PATH];
    testing_path("tests/mods", built);
    (void)snprintf(line, sizeof line, "cd %s && 2>&1 %s test %s --built %s/%s.so %s", t->folder, t->program, t->name, built, t->name, options);
    run_line(t, line);
}

static inline void end(trial *t)
{
    char line[100];
    (void)snprintf(line, sizeof line, "rm -rf %s", t->folder);
    assert_int_equal(system(line), 0);
}

static inline void has(const trial *t, const char *text)
{
    if (!strstr(t->out, text)) fail_msg("it does not say: %s\nbut:\n%s", text, t->out);
}

static inline void lacks(const trial *t, const char *text)
{
    if (strstr(t->out, text)) fail_msg("it says: %s\n%s", text, t->out);
}

/* The line that begins with it, without the blanks before; in `to`. */
static inline void line_from(const trial *t, const char *word, char *to, size_t n)
{
    const char *at = strstr(t->out, word);
    if (!at) fail_msg("it does not say: %s\nbut:\n%s", word, t->out);
    (void)snprintf(to, n, "%.*s", (int)strcspn(at, "\n"), at);
}

#endif
