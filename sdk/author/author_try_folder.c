/* What is in a module's folder; building and checking it. */
#include "author_try.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_plat.h"
#include "mods/mods_describe.h"

static const char *path_in(const svi_try *t, const char *folder, const char *name, const char *end)
{
    return svi_arena_printf(t->arena, "%s/%s%s", folder, name, end).p;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

bool svi_try_slurp(const svi_try *t, const char *path, sv_str *text_out)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    svi_buf buf;
    svi_buf_init(&buf, t->acct);
    size_t n;
    do {
        n = fread(svi_buf_space(&buf, 4096), 1, 4096, file);
        buf.len += n;
    } while (n > 0);
    const bool ok = !ferror(file);
    (void)fclose(file);
    *text_out = svi_arena_str(t->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return ok;
}

/* --- flows ---------------------------------------------------------------------------------------------- */

/* NAME.flow or NAME-what.flow. */
static bool is_flow(const svi_try *t, const char *file)
{
    const size_t n = strlen(t->name);
    return strncmp(file, t->name, n) == 0 && (file[n] == '.' || file[n] == '-') &&
           svi_str_ends(sv_str_of(file), SV_STR(".flow"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* What stands behind a word at the start of a line; NULL: the word stands nowhere. */
static const char *said(const svi_try *t, sv_str text, sv_str word)
{
    sv_str line;
    while (svi_str_split(&text, '\n', &line))
        if (svi_str_starts(line, word)) return svi_arena_str(t->arena, svi_str_trim(svi_str_sub(line, word.n, line.n))).p;
    return NULL;
}

static int find_flows(svi_try *t)
{
    struct dirent **list = NULL;
    int status = SVI_EXIT_OK;
    const int count = scandir(t->dir, &list, NULL, by_name);
    for (int i = 0; i < count; i++) {
        const char *file = list[i]->d_name;
        if (status != SVI_EXIT_OK || !is_flow(t, file) || (t->only && !strstr(file, t->only))) continue;
        svi_try_flow flow = {.name = svi_arena_str(t->arena, sv_str_of(file)).p};
        flow.path = path_in(t, t->dir, file, "");
        if (t->flow_count == SVI_TRY_FLOWS)
            status = svi_author_fail(SVI_EXIT_USAGE, "%s has more than %d flow scripts", t->shown, SVI_TRY_FLOWS);
        else if (!svi_try_slurp(t, flow.path, &flow.text))
            status = svi_author_fail(SVI_EXIT_FAILED, "%s can't be read: %s", flow.path, strerror(errno));
        else {
            flow.why_untimed = said(t, flow.text, SV_STR("# exact:"));
            flow.why_once = said(t, flow.text, SV_STR("# once:"));
            t->flows[t->flow_count++] = flow;
        }
    }
    for (int i = 0; i < count; i++) free(list[i]);
    free(list);
    return status;
}

bool svi_try_keeps_store(const svi_try *t, sv_str script)
{
    const sv_str step = svi_arena_printf(t->arena, "config store_engine = \"%s\"", t->name);
    return script.n > 0 && memmem(script.p, script.n, step.p, step.n) != NULL;
}

bool svi_try_kill_for_restart(const svi_try *t, svi_try_flow *flow)
{
    sv_str rest = flow->text, line;
    bool has_any = false;
    svi_buf buf;
    svi_buf_init(&buf, t->acct);
    while (svi_str_split(&rest, '\n', &line)) {
        const bool restarts = sv_str_eq(svi_str_trim(line), SV_STR("server restarts")) && line.p[0] == 's';
        has_any = has_any || restarts;
        svi_buf_put(&buf, restarts ? SV_STR("server is killed") : line);
        svi_buf_putc(&buf, '\n');
    }
    flow->text = svi_arena_str(t->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return has_any && !svi_try_keeps_store(t, flow->text) && !said(t, flow->text, SV_STR("# lost at a kill:"));
}

/* --- the module ----------------------------------------------------------------------------------------- */

static int find_built(svi_try *t)
{
    char whole[PATH_MAX];
    if (!realpath(t->built, whole)) return svi_author_fail(SVI_EXIT_USAGE, "%s: %s", t->built, strerror(errno));
    t->file = svi_arena_str(t->arena, sv_str_of(whole)).p;
    t->is_lua = svi_str_ends(sv_str_of(whole), SV_STR(".lua"));
    return SVI_EXIT_OK;
}

/* A folder of its own, in which a link named as the module leads to it: so files that the script requires are found. */
static int link_lua(svi_try *t)
{
    char folder[] = "/tmp/stave-test-XXXXXX";
    if (!mkdtemp(folder)) return svi_author_fail(SVI_EXIT_FAILED, "no folder can be made in /tmp: %s", strerror(errno));
    t->link = svi_arena_str(t->arena, sv_str_of(folder)).p;
    const char *slash = strrchr(t->file, '/');
    const char *of = svi_arena_printf(t->arena, "%.*s", (int)(slash - t->file), t->file).p;
    if (symlink(of, path_in(t, t->link, t->name, "")) != 0)
        return svi_author_fail(SVI_EXIT_FAILED, "no link can be made in %s: %s", t->link, strerror(errno));
    t->paths[0] = t->link;
    return SVI_EXIT_OK;
}

static int find_paths(svi_try *t)
{
    const char *slash = strrchr(t->file, '/');
    t->paths[1] = t->author->modules;
    t->paths[2] = path_in(t, t->author->modules, "../examples", "");
    t->paths[0] = svi_arena_printf(t->arena, "%.*s", (int)(slash - t->file), t->file).p;
    return t->is_lua ? link_lua(t) : SVI_EXIT_OK;
}

/* NAME.lua, or NAME.c and a Makefile. */
static int find_module(svi_try *t)
{
    const char *lua = path_in(t, t->dir, t->name, ".lua"), *c = path_in(t, t->dir, t->name, ".c");
    if (t->built) return find_built(t);
    if (is_there(lua)) {
        t->is_lua = true;
        t->file = lua;
        return SVI_EXIT_OK;
    }
    if (!is_there(path_in(t, t->dir, "Makefile", "")))
        return is_there(c) ? svi_author_fail(SVI_EXIT_USAGE, "%s has %s.c, but no Makefile: `stave new module` makes one", t->shown, t->name)
                           : svi_author_fail(SVI_EXIT_USAGE,
                                             "%s is no folder of a module: it has neither %s.lua nor a Makefile. `stave new module` begins one",
                                             t->shown, t->name);
    t->file = path_in(t, t->dir, "build/test/", svi_arena_printf(t->arena, "%s.so", t->name).p);
    return SVI_EXIT_OK;
}

static void find_test(svi_try *t)
{
    const char *source = path_in(t, t->dir, t->name, t->is_lua ? "_test.lua" : "_test.c");
    if (!is_there(source)) return;
    if (t->is_lua)
        t->test = source;
    else if (!t->built)
        t->test = path_in(t, t->dir, "build/test/", svi_arena_printf(t->arena, "%s_test", t->name).p);
}

int svi_try_find(svi_try *t, const char *folder)
{
    char whole[PATH_MAX];
    t->shown = folder;
    if (!realpath(folder, whole)) return svi_author_fail(SVI_EXIT_USAGE, "%s: %s", folder, strerror(errno));
    t->dir = svi_arena_str(t->arena, sv_str_of(whole)).p;
    t->name = strrchr(t->dir, '/') + 1;
    int status = find_module(t);
    if (status == SVI_EXIT_OK) status = find_flows(t);
    if (status == SVI_EXIT_OK) find_test(t);
    if (status == SVI_EXIT_OK && t->flow_count == 0 && !t->test)
        status = t->only ? svi_author_fail(SVI_EXIT_USAGE, "%s has no flow script with '%s' in its name", t->shown, t->only)
                         : svi_author_fail(SVI_EXIT_USAGE, "%s has nothing that could be run: no %s.flow, no %s_test", t->shown, t->name, t->name);
    if (status == SVI_EXIT_OK) status = find_paths(t);
    return status;
}

void svi_try_clear(svi_try *t)
{
    if (!t->link) return;
    (void)unlink(path_in(t, t->link, t->name, ""));
    (void)rmdir(t->link);
}

/* --- building ------------------------------------------------------------------------------------------- */

static double now_s(void)
{
    return (double)svi_plat_kernel()->mono_us(NULL) / 1e6;
}

/* An SDK that is installed where pkg-config does not look is found all the same. */
static void help_pkg_config(const svi_try *t)
{
    const char *had = getenv("PKG_CONFIG_PATH"), *prefix = t->author->prefix;
    if (prefix)
        (void)setenv("PKG_CONFIG_PATH", svi_arena_printf(t->arena, "%s/share/pkgconfig%s%s", prefix, had ? ":" : "", had ? had : "").p, 1);
}

static bool make(svi_try *t)
{
    static char words[4][8] = {"make", "-s", "tests", ""};
    char *argv[] = {words[0], words[1], words[2], NULL};
    svi_buf out;
    const double from = now_s();
    help_pkg_config(t);
    svi_buf_init(&out, t->acct);
    const int status = svi_try_spawn(t->dir, argv, &out);
    const bool ok = status == 0 && is_there(t->file);
    if (out.len > 0) (void)printf("%.*s%s", (int)out.len, out.data, out.data[out.len - 1] == '\n' ? "" : "\n");
    if (ok)
        (void)printf("built    build/test/%s.so in %.2f s\n", t->name, now_s() - from);
    else if (status == 0)
        (void)printf("FAILED   make: it makes no build/test/%s.so: does the Makefile include stave.mk?\n", t->name);
    else
        (void)printf("FAILED   make: exit status %d\n", status);
    svi_buf_free(&out);
    return ok;
}

/* As `stave check-module` does; says what is wrong. */
static bool check(svi_try *t)
{
    json_t *told = svi_mods_describe(t->acct, t->file);
    const bool ok = json_is_true(json_object_get(told, "ok"));
    const char *error = json_string_value(json_object_get(told, "error"));
    if (!ok) (void)printf("FAILED   %s: %s\n", strrchr(t->file, '/') + 1, error ? error : "it can't be read");
    json_decref(told);
    return ok;
}

bool svi_try_build(svi_try *t)
{
    const bool ok = (t->is_lua || t->built || make(t)) && check(t);
    if (!ok) t->failed++;
    return ok;
}
