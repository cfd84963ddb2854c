/* stave-sdk: finds what belongs to it and the command that is meant. */
#include "author.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct verb {
    const char *name; /* of the command, as in main_core.c */
    int (*run)(svi_author *author);
} verb;

static const verb verbs[] = {
    {"new module", svi_author_new},
    {"test", svi_author_test},
};

/* The folder that is `up` from the one of this program, or NULL if there is nothing called `sign` in it. */
static const char *beside(svi_author *a, sv_str own, const char *up, const char *sign)
{
    const char *folder = svi_arena_printf(a->arena, "%.*s/%s", (int)own.n, own.p, up).p;
    char whole[PATH_MAX];
    if (access(svi_arena_printf(a->arena, "%s/%s", folder, sign).p, F_OK) != 0) return NULL;
    return realpath(folder, whole) ? svi_arena_str(a->arena, sv_str_of(whole)).p : NULL;
}

/* Installed it is PREFIX/lib/stave/sdk/stave-sdk, in the build tree build/KIND/sdk/author/stave-sdk. */
static bool find_folders(svi_author *a)
{
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = '\0';
    const sv_str own = svi_str_sub(sv_str_of(path), 0, (size_t)(strrchr(path, '/') - path));
    a->prefix = beside(a, own, "../../..", "share/stave/sdk/templates");
    const char *root = a->prefix ? a->prefix : beside(a, own, "../..", "stave");
    a->sdk = a->prefix ? svi_arena_printf(a->arena, "%s/share/stave/sdk", a->prefix).p
                       : beside(a, own, "../../../../sdk", "templates");
    if (!root || !a->sdk) return false;
    a->stave = svi_arena_printf(a->arena, "%s/%s", root, a->prefix ? "bin/stave" : "stave").p;
    a->modules = svi_arena_printf(a->arena, "%s/%s", root, a->prefix ? "lib/stave/modules" : "modules").p;
    return true;
}

static sv_status parse(svi_author *a, int argc, char *const *argv, sv_err *err)
{
    const sv_command *decls[sizeof verbs / sizeof *verbs];
    const size_t count = sizeof verbs / sizeof *verbs;
    for (size_t i = 0; i < count; i++) decls[i] = &svi_core_find(sv_str_of(verbs[i].name))->what;
    return svi_cli_parse(argc, argv, &(svi_decls){decls, count}, &a->cli, err);
}

static int run(svi_author *a)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(a->cli.what->name, verbs[i].name) == 0) return verbs[i].run(a);
    return svi_author_fail(SVI_EXIT_USAGE, "`stave help` tells what there is");
}

int main(int argc, char **argv)
{
    svi_author a = {.acct = {.name = "sdk"}};
    sv_err err = {.text = ""};
    a.arena = svi_arena_new(&a.acct, 4096);
    int status;
    if (parse(&a, argc, argv, &err) != SV_OK)
        status = svi_author_fail(SVI_EXIT_USAGE, "%s", err.text);
    else if (!find_folders(&a))
        status = svi_author_fail(SVI_EXIT_FAILED,
                                 "what belongs to the SDK is not where this program lies: install it anew, with "
                                 "`make install-sdk` in Stave's sources");
    else
        status = run(&a);
    svi_cli_free(&a.cli);
    svi_arena_free(&a.arena);
    return status;
}
