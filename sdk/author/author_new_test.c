/* `stave new module`: nothing is overwritten, nothing is left of what could not be made, names stand in their places. */
#include "author.h"

#include "base/base_testing.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    svi_author author;
    char at[64];                    /* a folder of its own */
    char sdk[4200], modules[4200]; /* of the tree */
} fixture;

/* The folder `up` levels above that of this program, and in it `name`. */
static void beside(char *to, size_t bytes, int up, const char *name)
{
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    for (int i = 0; i <= up; i++) *strrchr(self, '/') = '\0';
    (void)snprintf(to, bytes, "%s/%s", self, name);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    beside(f->sdk, sizeof f->sdk, 4, "sdk"); /* build/KIND/sdk/author */
    beside(f->modules, sizeof f->modules, 2, "modules");
    f->author = (svi_author){.acct = {.name = "sdk"}, .sdk = f->sdk, .prefix = "/usr", .modules = f->modules};
    (void)snprintf(f->at, sizeof f->at, "/tmp/author-new-XXXXXX");
    *state = f;
    return mkdtemp(f->at) ? 0 : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->at);
    const int status = system(command);
    free(f);
    return status;
}

/* Runs it as the command line has it, in the folder; what it says is kept from the test's output. */
static int new_module(fixture *f, const char *name, const char *flag)
{
    char *const argv[] = {(char[]){"stave"}, (char[]){"new"},  (char[]){"module"}, (char *)(uintptr_t)name,
                          f->at,             (char *)(uintptr_t)flag};
    const sv_command *decls[] = {&svi_core_find(SV_STR("new module"))->what};
    sv_err err = {.text = ""};
    const int told = dup(1), silent = open("/dev/null", O_WRONLY);
    assert_int_equal(svi_cli_parse(6, argv, &(svi_decls){decls, 1}, &f->author.cli, &err), SV_OK);
    f->author.arena = svi_arena_new(&f->author.acct, 4096);
    (void)fflush(stdout);
    (void)dup2(silent, 1);
    const int status = svi_author_new(&f->author);
    (void)fflush(stdout);
    (void)dup2(told, 1);
    (void)close(told);
    (void)close(silent);
    svi_arena_free(&f->author.arena);
    svi_cli_free(&f->author.cli);
    assert_int_equal(f->author.acct.live_bytes, 0);
    return status;
}

static char *text_of(const fixture *f, const char *name)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", f->at, name);
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char *text = calloc(1, 65536);
    (void)fread(text, 1, 65535, file);
    (void)fclose(file);
    return text;
}

static void assert_file_has(const fixture *f, const char *name, const char *part)
{
    char *text = text_of(f, name);
    assert_non_null(text);
    assert_non_null(strstr(text, part));
    assert_null(strstr(text, "@NAME@"));
    assert_null(strstr(text, "@OPTION@"));
    free(text);
}

static void names_stand_in_their_places(void **state)
{
    fixture *f = *state;
    assert_int_equal(new_module(f, "an-hour", "--c"), SVI_EXIT_OK);
    assert_file_has(f, "an-hour/an-hour.c", "\"an_hour_length\"");
    assert_file_has(f, "an-hour/an-hour.c", ".name = \"an-hour\"");
    assert_file_has(f, "an-hour/an-hour_test.c", "#include \"an-hour.h\"");
    assert_file_has(f, "an-hour/Makefile", "SRC  = an-hour.c\n");
    assert_file_has(f, "an-hour/.gitignore", "/build/\n");
    assert_int_equal(new_module(f, "a-day", "--lua"), SVI_EXIT_OK);
    assert_file_has(f, "a-day/a-day.lua", "urn:example:a-day");
    assert_file_has(f, "a-day/a-day.flow", "config a_day_length");
    assert_file_has(f, "a-day/README.md", "# a-day\n");
}

static void nothing_is_overwritten(void **state)
{
    fixture *f = *state;
    char path[200];
    (void)snprintf(path, sizeof path, "%s/mine", f->at);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(new_module(f, "mine", "--c"), SVI_EXIT_FAILED);
    (void)snprintf(path, sizeof path, "%s/mine/mine.c", f->at);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void nothing_is_left_of_what_can_not_be_made(void **state)
{
    fixture *f = *state;
    char path[200];
    (void)snprintf(path, sizeof path, "%s/templates/c/@NAME@.c", f->at);
    for (char *slash = path + strlen(f->at); (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        assert_int_equal(mkdir(path, 0777), 0);
        *slash = '/';
    }
    FILE *good = fopen(path, "we");
    (void)fputs("/* @NAME@ */\n", good);
    (void)fclose(good);
    (void)snprintf(path, sizeof path, "%s/templates/c/z", f->at);
    assert_int_equal(symlink("/nowhere", path), 0);
    f->author.sdk = f->at;
    assert_int_equal(new_module(f, "half", "--c"), SVI_EXIT_FAILED);
    (void)snprintf(path, sizeof path, "%s/half", f->at);
    assert_int_not_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/templates/c/z", f->at);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(new_module(f, "half", "--c"), SVI_EXIT_OK);
    assert_file_has(f, "half/half.c", "/* half */\n");
}

static void names_that_would_make_trouble(void **state)
{
    fixture *f = *state;
    static const char *const wrong[] = {"", "Note", "2fa", "no/te", "..", "a b", "ping", "blocking", "store", "log", "notes_test",
                                        "a23456789012345678901234567890123456789012"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *name = strdup(wrong[i]);
        assert_int_equal(new_module(f, name, "--lua"), SVI_EXIT_USAGE);
        free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_stand_in_their_places, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_of_what_can_not_be_made, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_would_make_trouble, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
