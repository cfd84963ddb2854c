/* `stave new module`: copies a folder of templates, with the module's name in the places for it.
 *
 * In a template, in its name and in its text, @NAME@ is the module's name and @OPTION@ what its options begin with. The
 * template `gitignore` becomes .gitignore. */
#include "author.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_settings.h"

enum { NAME_BYTES_MAX = 40, FILE_BYTES_MAX = 65536 };

typedef struct job {
    svi_author *author;
    sv_str name, option; /* option: the name with '_' for '-' */
    const char *from;    /* the folder of templates */
    const char *to;      /* the module's, as it is told */
    int from_fd, to_fd;
    const char *why; /* of a failure */
} job;

/* --- names ---------------------------------------------------------------------------------------------- */

static bool is_form(sv_str name)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    if (name.n == 0 || name.n > NAME_BYTES_MAX || name.p[0] < 'a' || name.p[0] > 'z') return false;
    for (size_t i = 0; i < name.n; i++)
        if (!memchr(chars, name.p[i], sizeof chars - 1)) return false;
    return true;
}

/* A module or a script of the server's own. */
static bool is_shipped(const svi_author *a, const char *name)
{
    const char *const places[] = {svi_arena_printf(a->arena, "%s/%s.so", a->modules, name).p,
                                  svi_arena_printf(a->arena, "%s/%s.lua", a->modules, name).p,
                                  svi_arena_printf(a->arena, "%s/%s/%s.lua", a->modules, name, name).p};
    bool found = false;
    for (size_t i = 0; i < 3; i++) found = found || access(places[i], F_OK) == 0;
    return found;
}

/* An option of the server that a module of this name would take for its own; NULL. */
static const char *option_of_server(sv_str option)
{
    for (const sv_option *o = svi_settings_options(); o->name; o++) {
        const sv_str name = sv_str_of(o->name);
        if (svi_str_starts(name, option) && name.n > option.n && name.p[option.n] == '_') return o->name;
    }
    return NULL;
}

static int check_name(const job *j)
{
    const char *text = j->name.p, *option;
    if (!is_form(j->name))
        return svi_author_fail(SVI_EXIT_USAGE,
                               "'%.60s' is no name for a module: small letters, digits, - and _, a letter first, "
                               "at most %d of them",
                               text, NAME_BYTES_MAX);
    if (svi_str_ends(j->name, SV_STR("_test")))
        return svi_author_fail(SVI_EXIT_USAGE, "'%s' can't be the name of a module: %s.c would be taken for a test", text, text);
    if (is_shipped(j->author, text))
        return svi_author_fail(SVI_EXIT_USAGE, "the server has a module '%s' of its own: call yours otherwise", text);
    if ((option = option_of_server(j->option)) != NULL)
        return svi_author_fail(SVI_EXIT_USAGE,
                               "the options of a module '%s' would look like '%s', which is the server's: call it otherwise",
                               text, option);
    return SVI_EXIT_OK;
}

/* --- templates ------------------------------------------------------------------------------------------ */

/* The text with the names put in, in the arena. */
static sv_str filled(const job *j, sv_str text)
{
    static const sv_str words[] = {{"@NAME@", 6}, {"@OPTION@", 8}};
    const sv_str values[] = {j->name, j->option};
    svi_buf out;
    svi_buf_init(&out, &j->author->acct);
    while (text.n > 0) {
        size_t k = 0;
        while (k < 2 && !svi_str_starts(text, words[k])) k++;
        if (k < 2)
            svi_buf_put(&out, values[k]);
        else
            svi_buf_putc(&out, text.p[0]);
        text = svi_str_sub(text, k < 2 ? words[k].n : 1, text.n);
    }
    const sv_str whole = svi_arena_str(j->author->arena, svi_buf_str(&out));
    svi_buf_free(&out);
    return whole;
}

static bool read_template(job *j, const char *name, sv_str *text_out)
{
    char *bytes = svi_arena_get(j->author->arena, FILE_BYTES_MAX);
    const int fd = openat(j->from_fd, name, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, bytes, FILE_BYTES_MAX) : -1;
    if (n < 0) j->why = strerror(errno);
    if (fd >= 0) (void)close(fd);
    *text_out = (sv_str){bytes, n > 0 ? (size_t)n : 0};
    return n >= 0;
}

static bool write_file(job *j, const char *name, sv_str text)
{
    const int fd = openat(j->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    if (!ok) j->why = strerror(fd >= 0 && errno == 0 ? ENOSPC : errno);
    if (fd >= 0 && close(fd) != 0 && ok) {
        j->why = strerror(errno);
        ok = false;
    }
    return ok;
}

static const char *target(const job *j, const char *template)
{
    if (strcmp(template, "gitignore") == 0) return ".gitignore";
    return filled(j, sv_str_of(template)).p;
}

static bool copy(job *j, const char *template)
{
    sv_str text;
    errno = 0;
    return read_template(j, template, &text) && write_file(j, target(j, template), filled(j, text));
}

static int no_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* --- the folder ----------------------------------------------------------------------------------------- */

/* Takes away what was made of a module that could not be finished. */
static void undo(const job *j, struct dirent *const *templates, int count)
{
    for (int i = 0; i < count; i++) (void)unlinkat(j->to_fd, target(j, templates[i]->d_name), 0);
    (void)rmdir(j->to);
}

static bool copy_all(job *j)
{
    struct dirent **templates = NULL;
    const int count = scandir(j->from, &templates, no_dots, by_name);
    bool ok = count > 0;
    if (!ok) j->why = "there are no templates";
    int done = 0;
    for (; ok && done < count; done++) ok = copy(j, templates[done]->d_name);
    if (!ok) undo(j, templates, done);
    for (int i = 0; i < count; i++) free(templates[i]);
    free(templates);
    return ok;
}

static int make(job *j)
{
    if (mkdir(j->to, 0777) != 0)
        return errno == EEXIST ? svi_author_fail(SVI_EXIT_FAILED, "%s is there already: nothing was changed", j->to)
                               : svi_author_fail(SVI_EXIT_FAILED, "%s can't be made: %s", j->to, strerror(errno));
    j->to_fd = open(j->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    j->from_fd = open(j->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = copy_all(j);
    if (j->from_fd >= 0) (void)close(j->from_fd);
    if (j->to_fd >= 0) (void)close(j->to_fd);
    return ok ? SVI_EXIT_OK : svi_author_fail(SVI_EXIT_FAILED, "%s can't be filled: %s", j->to, j->why);
}

/* True if pkg-config finds this SDK: its folder is the first of those named in the environment that has one, or is looked into anyway. */
static bool is_found(const svi_author *a)
{
    const sv_str own = svi_arena_printf(a->arena, "%s/share/pkgconfig", a->prefix);
    sv_str rest = sv_str_of(getenv("PKG_CONFIG_PATH")), folder;
    while (svi_str_split(&rest, ':', &folder)) {
        char path[PATH_MAX], whole[PATH_MAX];
        const int n = snprintf(path, sizeof path, "%.*s/stave.pc", (int)folder.n, folder.p);
        if (n <= 0 || (size_t)n >= sizeof path || !realpath(path, whole)) continue;
        return sv_str_eq(svi_str_sub(sv_str_of(whole), 0, strlen(whole) - strlen("/stave.pc")), own);
    }
    return strcmp(a->prefix, "/usr") == 0 || strcmp(a->prefix, "/usr/local") == 0;
}

/* What make needs, if it would not find it. */
static void tell_missing(const svi_author *a)
{
    if (!a->prefix)
        (void)printf("To build it, install the SDK: `make install-sdk` in Stave's sources.\n\n");
    else if (!is_found(a))
        (void)printf("So that make finds this SDK:\n\n  export PKG_CONFIG_PATH=%s/share/pkgconfig\n\n", a->prefix);
}

static void tell_next(const job *j, bool is_c)
{
    (void)printf("%s is made.\n\n", j->to);
    if (is_c) tell_missing(j->author);
    (void)printf("Build and test it:\n\n  cd %s\n  stave test\n", j->to);
}

int svi_author_new(svi_author *a)
{
    const char *name = svi_cli_arg(&a->cli, "name"), *folder = svi_cli_arg(&a->cli, "folder");
    const bool is_c = svi_cli_arg(&a->cli, "c") != NULL, is_lua = svi_cli_arg(&a->cli, "lua") != NULL;
    if (is_c == is_lua)
        return svi_author_fail(SVI_EXIT_USAGE, is_c ? "--c or --lua, not both: a module is in one language"
                                                    : "in which language? --c or --lua");
    job j = {.author = a, .name = sv_str_of(name), .from_fd = -1, .to_fd = -1};
    const sv_str option = svi_arena_str(a->arena, j.name);
    for (size_t i = 0; i < option.n; i++)
        if (option.p[i] == '-') ((char *)(uintptr_t)option.p)[i] = '_';
    j.option = option;
    int status = check_name(&j);
    if (status != SVI_EXIT_OK) return status;
    const size_t n = folder ? strlen(folder) : 0;
    j.from = svi_arena_printf(a->arena, "%s/templates/%s", a->sdk, is_c ? "c" : "lua").p;
    j.to = svi_arena_printf(a->arena, "%s%s%s", folder ? folder : "", n > 0 && folder[n - 1] != '/' ? "/" : "", name).p;
    status = make(&j);
    if (status == SVI_EXIT_OK) tell_next(&j, is_c);
    return status;
}
