/* `stave module install`: a copy is made beside its later place, checked there, shown, and then given its name. */
#include "main/main_module.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_child.h"
#include "main/main_module_impl.h"
#include "main/main_print.h"
#include "main/main_prompt.h"
#include "main/main_state.h"

enum { LOOK_S = 60, COPY_BYTES = 65536 };

/* One installation on its way. */
typedef struct install {
    const svi_module_job *job;
    svi_arena *arena;
    svi_module_paths paths;
    svi_module_home home;
    sv_str name;
    svi_record_kind kind;
    char from[PATH_MAX];           /* whole */
    char staged[SVI_MODULE_PATH];  /* the folder with the copy ... */
    char copy[SVI_MODULE_PATH];    /* ... which is this */
    char target[SVI_MODULE_PATH];
    char sha256[SVI_SHA256_TEXT];
    svi_records records; /* as they are */
    json_t *told;        /* of the copy */
    bool has_old;
    svi_record_kind old_kind;
    char old[SVI_MODULE_PATH];
    json_t *old_told; /* NULL: there is none, or it can't be loaded */
    json_t *hidden;   /* folders with a module of that name that comes behind */
    json_t *answer;   /* that says no; NULL: go on */
} install;

/* --- what is meant ------------------------------------------------------------------------------------ */

static bool take_name(install *in, const struct stat *st)
{
    const char *slash = strrchr(in->from, '/');
    const sv_str last = sv_str_of(slash + 1);
    const bool is_so = svi_str_ends(last, SV_STR(".so")), is_lua = svi_str_ends(last, SV_STR(".lua"));
    struct stat script;
    if (S_ISDIR(st->st_mode)) {
        const sv_str file = svi_arena_printf(in->arena, "%s/%.*s.lua", in->from, (int)last.n, last.p);
        in->kind = SVI_RECORD_FOLDER;
        in->name = last;
        if (stat(file.p, &script) != 0 || !S_ISREG(script.st_mode))
            return svi_module_refuse(&in->answer, SV_FAULT_REFUSED,
                          "%s is a folder without %.*s.lua: a folder is a module in Lua; of one in C its file %.*s.so is installed, "
                          "which `make` builds",
                          in->from, (int)last.n, last.p, (int)last.n, last.p);
    } else if (S_ISREG(st->st_mode) && (is_so || is_lua)) {
        in->kind = is_so ? SVI_RECORD_SO : SVI_RECORD_LUA;
        in->name = svi_str_sub(last, 0, last.n - (is_so ? 3 : 4));
    } else {
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s is no module: that is a file NAME.so or NAME.lua, or a folder NAME with NAME.lua", in->from);
    }
    if (svi_record_is_name(in->name)) return true;
    return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "\"%.*s\" is no name of a module: lower-case letters, digits, - and _, 63 of them at most",
                  (int)in->name.n, in->name.p);
}

/* Links are followed: what they lead to is what is installed, under the name that was given. */
static bool find_file(install *in)
{
    struct stat st;
    char parent[PATH_MAX], dir[PATH_MAX], base[PATH_MAX];
    const char *what = in->job->what;
    if (stat(what, &st) != 0) return svi_module_refuse(&in->answer, SV_FAULT_NOT_FOUND, "%s: %s", what, strerror(errno));
    (void)snprintf(dir, sizeof dir, "%s", what);
    (void)snprintf(base, sizeof base, "%s", what);
    const char *last = basename(base);
    const bool is_plain = strcmp(last, ".") != 0 && strcmp(last, "..") != 0 && strcmp(last, "/") != 0;
    if (realpath(is_plain ? dirname(dir) : what, parent) == NULL) return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: %s", what, strerror(errno));
    const int n = is_plain ? snprintf(in->from, sizeof in->from, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last)
                           : snprintf(in->from, sizeof in->from, "%s", parent);
    if (n >= (int)sizeof in->from) return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: too long", what);
    return take_name(in, &st);
}

static bool find_home(install *in)
{
    svi_record_kind kind;
    char path[SVI_MODULE_PATH];
    svi_module_paths_get(in->arena, in->job->settings, in->job->program, &in->paths);
    size_t at = 0;
    while (at < in->paths.own && !svi_module_is_own(&in->paths, at)) at++;
    if (at == in->paths.own)
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED,
                      "there is no folder for modules of your own: name one in the configuration, module_paths = { \"/etc/stave/modules\" }");
    in->home = (svi_module_home){.path = in->paths.items[at], .fd = -1};
    for (size_t i = 0; i < in->paths.count; i++) {
        if (svi_module_same_folder(in->paths.items[i], in->home.path) || !svi_module_find(in->paths.items[i], in->name, &kind, path)) continue;
        if (i < at)
            return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s comes before %s in module_paths: what is installed as \"%.*s\" would not be found", path,
                          in->home.path, (int)in->name.n, in->name.p);
        (void)json_array_append_new(in->hidden, json_string(path));
    }
    if (json_array_size(in->hidden) > 0 && !in->job->may_hide)
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED,
                      "there is a module \"%.*s\" already (%s), which this one would hide from the server: give it another name, or say "
                      "--replace if that is what you want",
                      (int)in->name.n, in->name.p, svi_module_words(in->arena, in->hidden));
    return true;
}

/* --- the copy ----------------------------------------------------------------------------------------- */

static bool sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_fine = fd >= 0 && fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0) (void)close(fd);
    errno = why;
    return is_fine;
}

static bool copy_bytes(int from, int to)
{
    char part[COPY_BYTES];
    size_t size = 0;
    for (;;) {
        const ssize_t got = read(from, part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0;
        size += (size_t)got;
        errno = EFBIG;
        if (size > SVI_FOLDER_BYTES) return false;
        for (ssize_t done = 0; done < got;) {
            const ssize_t put = write(to, part + done, (size_t)(got - done));
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) return false;
            done += put;
        }
    }
}

/* The file's bytes in a new file that all may read, on disk. False with errno. */
static bool copy_file(const char *from, const char *to)
{
    struct stat st;
    const int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    bool is_fine = out >= 0 && fstat(in, &st) == 0 && (errno = EINVAL, S_ISREG(st.st_mode));
    is_fine = is_fine && copy_bytes(in, out) && fchmod(out, 0644) == 0 && fsync(out) == 0;
    const int why = errno;
    if (in >= 0) (void)close(in);
    if (out >= 0) (void)close(out);
    errno = why;
    return is_fine;
}

static bool make_folder(const char *path)
{
    return (mkdir(path, 0755) == 0 && chmod(path, 0755) == 0) || errno == EEXIST; /* whatever the umask is */
}

/* The folders that `path` lies in, below the copy, which are synced when they are full. */
static bool make_folders(const install *in, sv_str path, bool syncs)
{
    char folder[2 * PATH_MAX];
    bool is_fine = true;
    for (size_t i = 0; i < path.n && is_fine; i++) {
        if (path.p[i] != '/') continue;
        (void)snprintf(folder, sizeof folder, "%s/%.*s", in->copy, (int)i, path.p);
        is_fine = syncs ? sync_folder(folder) : make_folder(folder);
    }
    return is_fine;
}

static bool copy_listed(install *in, sv_str path)
{
    char from[2 * PATH_MAX], to[2 * PATH_MAX];
    (void)snprintf(from, sizeof from, "%s/%.*s", in->from, (int)path.n, path.p);
    (void)snprintf(to, sizeof to, "%s/%.*s", in->copy, (int)path.n, path.p);
    if (make_folders(in, path, false) && copy_file(from, to)) return true;
    return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s can't be copied to %s: %s", from, in->home.path, strerror(errno));
}

static bool copy_folder(install *in)
{
    sv_err err = {.text = ""};
    svi_buf list;
    sv_str line;
    svi_buf_init(&list, in->job->acct);
    bool is_fine = svi_record_list(in->job->acct, in->from, &list, &err) == SV_OK || svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s: %s", in->from, err.text);
    for (int round = 0; round < 2 && is_fine; round++) {
        sv_str rest = svi_buf_str(&list);
        if (round == 0 && !make_folder(in->copy)) is_fine = svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: %s", in->copy, strerror(errno));
        while (is_fine && svi_str_split(&rest, '\n', &line)) {
            const sv_str path = svi_str_sub(line, SVI_SHA256_TEXT + 1, line.n);
            is_fine = round == 0 ? copy_listed(in, path) : make_folders(in, path, true);
        }
    }
    svi_buf_free(&list);
    if (is_fine && !sync_folder(in->copy)) is_fine = false;
    return is_fine || in->answer != NULL ? is_fine : svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: %s", in->copy, strerror(errno));
}

/* A copy in a folder beside the later place, under its own name: what is checked is what is put there. */
static bool stage(install *in)
{
    sv_err err = {.text = ""};
    const char *home = in->home.path;
    if (svi_module_lock(home, true, &in->home, &err) != SV_OK)
        return svi_module_refuse(&in->answer, err.code == SV_EBUSY ? SV_FAULT_REFUSED : SV_FAULT_FAILED, "%s", err.text);
    if (svi_records_read(in->arena, home, &in->records, &err) != SV_OK) return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s", err.text);
    (void)snprintf(in->staged, sizeof in->staged, "%.900s/.stave-install", home);
    if (!make_folder(in->staged)) return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: %s", in->staged, strerror(errno));
    if (!svi_module_path(in->staged, in->name, in->kind, in->copy) || !svi_module_path(home, in->name, in->kind, in->target))
        return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: too long", home);
    if (in->kind == SVI_RECORD_FOLDER && !copy_folder(in)) return false;
    if (in->kind != SVI_RECORD_FOLDER && !copy_file(in->from, in->copy))
        return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s can't be copied to %s: %s", in->from, home, strerror(errno));
    struct stat st;
    if (in->kind == SVI_RECORD_FOLDER && lstat(in->target, &st) == 0 && !svi_module_is_folder(home, in->name))
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s is there and is no module: move it away", in->target);
    return svi_module_hash(in->job->acct, in->kind, in->copy, in->sha256, &err) == SV_OK || svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s", err.text);
}

/* --- the check ---------------------------------------------------------------------------------------- */

/* What a child process looks at, with the eyes of the worker. */
typedef struct look {
    const svi_module_job *job;
    const char *path;
} look;

static json_t *look_at(void *ctx)
{
    const look *l = ctx;
    uid_t owner;
    gid_t group;
    sv_err err = {.text = ""};
    sv_status status = svi_state_owner(geteuid(), l->job->settings->user, &owner, &group, &err);
    if (status == SV_OK && owner != (uid_t)-1) status = svi_state_become(l->job->settings->user.p, &err);
    if (status != SV_OK) return svi_answer_fault(SV_FAULT_REFUSED, "%s", err.text); /* never with the rights of root instead */
    return svi_module_describe(l->job->acct, l->path);
}

/* Some code of a module runs when it is asked what it is: in a process that has the rights of the server, and ends. */
static json_t *describe(const install *in, svi_record_kind kind, const char *path)
{
    look l = {.job = in->job, .path = path};
    if (kind == SVI_RECORD_FOLDER) l.path = svi_arena_printf(in->arena, "%s/%.*s.lua", path, (int)in->name.n, in->name.p).p;
    return svi_in_child(look_at, &l, LOOK_S, "looking at the module");
}

static bool check(install *in)
{
    in->told = describe(in, in->kind, in->copy);
    (void)json_object_set_new(in->told, "file", json_string(in->from));
    if (!json_is_true(json_object_get(in->told, "ok"))) {
        const char *why = json_string_value(json_object_get(in->told, "error"));
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s is refused, nothing has changed: %s", in->from, why != NULL ? why : "?");
    }
    in->has_old = svi_module_find(in->home.path, in->name, &in->old_kind, in->old);
    if (in->has_old) in->old_told = describe(in, in->old_kind, in->old);
    return true;
}

/* --- what is new -------------------------------------------------------------------------------------- */

static void add_text(json_t *lines, json_t *take_text)
{
    (void)json_array_append_new(lines, take_text);
}

static const char *member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : "";
}

static void add_hooks(svi_arena *arena, const json_t *told, json_t *lines)
{
    const json_t *hook;
    size_t i;
    json_array_foreach(json_object_get(told, "hooks"), i, hook)
    {
        const char *flags = svi_module_words(arena, json_object_get(hook, "flags"));
        add_text(lines, json_sprintf("hook %s (%s%s%s)", member(hook, "on"), member(hook, "band"), *flags ? ", " : "", flags));
    }
}

static void add_named(const char *what, const json_t *list, json_t *lines)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *name = json_is_string(item) ? json_string_value(item) : member(item, "name");
        add_text(lines, json_sprintf("%s %s", what, name));
    }
}

/* What a module may do and takes part in, a line each. */
static json_t *abilities(svi_arena *arena, const json_t *told)
{
    static const char *const lists[][2] = {{"rights", "right: it"}, {"needs", "needs module"}, {"options", "option"},
                                           {"commands", "command"}, {"metrics", "metric"}, {"features", "feature of the host"},
                                           {"account-features", "feature of accounts"}, {"calls", "takes from libraries"}};
    json_t *lines = json_array();
    add_hooks(arena, told, lines);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) add_named(lists[i][1], json_object_get(told, lists[i][0]), lines);
    if (*member(told, "groups")) add_text(lines, json_sprintf("needs of the table: %s", member(told, "groups")));
    if (*member(told, "stream-features")) add_text(lines, json_sprintf("feature of streams %s", member(told, "stream-features")));
    if (json_is_true(json_object_get(told, "engine"))) add_text(lines, json_string("it is an engine: threads, sockets and files"));
    if (json_is_true(json_object_get(told, "policy"))) add_text(lines, json_string("it is a policy"));
    if (json_is_true(json_object_get(told, "autoreload"))) add_text(lines, json_string("it is loaded anew when its file changes"));
    return lines;
}

static bool holds(const json_t *list, const json_t *text)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (json_equal(item, text)) return true;
    }
    return false;
}

/* Lines of `a` that `b` does not have. */
static json_t *without(const json_t *a, const json_t *b)
{
    json_t *list = json_array();
    json_t *item;
    size_t i;
    json_array_foreach(a, i, item)
    {
        if (!holds(b, item)) (void)json_array_append(list, item);
    }
    return list;
}

/* The difference to what is there; NULL if nothing is, or what is there is no module. */
static json_t *difference(const install *in)
{
    if (!in->has_old || !json_is_true(json_object_get(in->old_told, "ok"))) return NULL;
    json_t *now = abilities(in->arena, in->told), *before = abilities(in->arena, in->old_told);
    json_t *both = json_pack("{s:s, s:s, s:o, s:o}", "interface-before", member(in->old_told, "interface"), "interface",
                             member(in->told, "interface"), "added", without(now, before), "removed", without(before, now));
    json_decref(now);
    json_decref(before);
    return both;
}

static void print_marked(const char *mark, const json_t *list)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item) svi_print_line(mark, json_string_value(item));
}

static void print_difference(const json_t *d)
{
    const json_t *added = json_object_get(d, "added"), *removed = json_object_get(d, "removed");
    (void)printf("\ncompared with the one that is installed");
    if (strcmp(member(d, "interface"), member(d, "interface-before")) == 0)
        (void)printf(" (interface %s, as before):\n", member(d, "interface"));
    else
        (void)printf(" (interface %s, before %s):\n", member(d, "interface"), member(d, "interface-before"));
    print_marked("  + ", added);
    print_marked("  - ", removed);
    if (json_array_size(added) + json_array_size(removed) == 0) (void)printf("  it may do the same\n");
}

static void show(const install *in, const json_t *difference)
{
    const json_t *item;
    size_t i;
    if (in->job->is_json) return;
    svi_print_module(in->told);
    if (difference != NULL)
        print_difference(difference);
    else if (in->has_old)
        (void)printf("\nit takes the place of %s, which can't be loaded: %s\n", in->old, member(in->old_told, "error"));
    json_array_foreach(in->hidden, i, item) (void)printf("\nit hides %s from the server\n", json_string_value(item));
}

static bool ask(install *in)
{
    char word[SVI_WORD_BYTES];
    sv_err err = {.text = ""};
    if (in->job->is_sure) return true;
    if (in->job->is_json) return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "--json asks nothing, and nothing was installed: say --yes as well");
    const char *question = svi_arena_printf(in->arena, "\ninstall it as %s? (yes or no)", in->target).p;
    if (svi_prompt_word(question, word, &err) != SV_OK)
        return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "%s; nothing was installed. If the module may do all that, say --yes", err.text);
    if (strcmp(word, "yes") == 0 || strcmp(word, "y") == 0) return true;
    return svi_module_refuse(&in->answer, SV_FAULT_REFUSED, "nothing was installed");
}

/* --- into its place ----------------------------------------------------------------------------------- */

/* The path as a line of records takes it. */
static sv_str from_text(const install *in)
{
    const size_t n = strlen(in->from);
    const bool is_text = svi_utf8_valid(sv_str_of(in->from));
    char *text = svi_arena_get(in->arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)in->from[i];
        text[i] = c < 0x20 || c == 0x7f || (!is_text && c >= 0x80) ? '?' : in->from[i];
    }
    return (sv_str){text, n};
}

static svi_record new_record(const install *in, char stamp[32])
{
    const svi_plat *plat = svi_plat_kernel();
    const char *interface = member(in->told, "interface");
    return (svi_record){.name = in->name,
                        .kind = in->kind,
                        .sha256 = sv_str_of(in->sha256),
                        .interface = *interface ? sv_str_of(interface) : SV_STR("-"),
                        .when = svi_plat_stamp(plat->wall_us(plat->ctx), stamp),
                        .from = from_text(in)};
}

/* Keeps the line of what lies there now, or makes one if it was never written down: it may go on to be loaded. What had
 * changed may not. */
static void keep_old(const install *in, svi_records *next, const svi_record *fresh)
{
    char hex[SVI_SHA256_TEXT];
    sv_err ignored;
    const svi_record *r = svi_records_find(&in->records, in->name, 0);
    if (!in->has_old || svi_module_hash(in->job->acct, in->old_kind, in->old, hex, &ignored) != SV_OK) return;
    const sv_str hash = svi_arena_str(in->arena, sv_str_of(hex));
    svi_record old = *fresh;
    old.kind = in->old_kind;
    old.sha256 = hash;
    if (r == NULL) next->items[next->count++] = old;
    for (; r != NULL; r = svi_records_find(&in->records, in->name, (size_t)(r - in->records.items) + 1)) {
        if (r->kind != in->old_kind || !sv_str_eq(r->sha256, hash)) continue;
        next->items[next->count++] = *r;
        return;
    }
}

/* The records with what shall be; `both`: and with what is. */
static sv_status write_records(const install *in, bool both, sv_err *err)
{
    char stamp[32];
    const svi_record fresh = new_record(in, stamp);
    svi_records next = {.items = svi_arena_get(in->arena, (in->records.count + 2) * sizeof *next.items)};
    for (size_t i = 0; i < in->records.count; i++)
        if (!sv_str_eq(in->records.items[i].name, in->name)) next.items[next.count++] = in->records.items[i];
    if (both) keep_old(in, &next, &fresh);
    next.items[next.count++] = fresh;
    if (next.count > SVI_RECORDS_MAX) return svi_err(err, SV_ELIMIT, "%.100s has %d modules: remove some", in->home.path, SVI_RECORDS_MAX);
    return svi_module_write_records(in->job->acct, in->home.path, &next, err);
}

/* The copy gets its name; what had it is gone, or (a folder) lies where the copy was. */
static bool swap(const install *in)
{
    if (in->kind != SVI_RECORD_FOLDER || access(in->target, F_OK) != 0) return rename(in->copy, in->target) == 0;
    if (renameat2(AT_FDCWD, in->copy, AT_FDCWD, in->target, RENAME_EXCHANGE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    char aside[SVI_MODULE_PATH + 8]; /* a file system that can't: for a moment there is none */
    (void)snprintf(aside, sizeof aside, "%s.old", in->copy);
    return rename(in->target, aside) == 0 && rename(in->copy, in->target) == 0;
}

/* A module in another form of the same name would be in its way, or lie there for nothing. */
static bool remove_other_forms(const install *in)
{
    char path[SVI_MODULE_PATH], file[SVI_MODULE_PATH + 8];
    for (int kind = SVI_RECORD_SO; kind <= SVI_RECORD_FOLDER; kind++) {
        if (kind == (int)in->kind || !svi_module_path(in->home.path, in->name, (svi_record_kind)kind, path)) continue;
        if (kind == SVI_RECORD_FOLDER && !svi_module_is_folder(in->home.path, in->name)) continue; /* whatever that is */
        (void)snprintf(file, sizeof file, "%s/old", in->staged);
        const bool is_gone = kind != SVI_RECORD_FOLDER ? unlink(path) == 0 || errno == ENOENT : rename(path, file) == 0;
        if (!is_gone) return false;
    }
    return true;
}

static bool put_in_place(install *in)
{
    sv_err err = {.text = ""};
    if (write_records(in, true, &err) != SV_OK) return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s", err.text);
    if (!swap(in) || !remove_other_forms(in) || !sync_folder(in->home.path))
        return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s: %s; once that is mended, install it again", in->target, strerror(errno));
    in->home.is_made = false;
    if (write_records(in, false, &err) != SV_OK) return svi_module_refuse(&in->answer, SV_FAULT_FAILED, "%s; once that is mended, install it again", err.text);
    return true;
}

/* --- the answer --------------------------------------------------------------------------------------- */

/* What the operator does next. */
static const char *next_step(const install *in)
{
    sv_err err = {.text = ""};
    json_t *running, *enabled = svi_module_enabled_on(in->job->config, in->name);
    const svi_server_state state = svi_module_running_on(in->job, in->name, &running, &err);
    const int n = (int)in->name.n;
    const char *name = in->name.p;
    const char *text;
    const bool is_engine = json_is_true(json_object_get(in->told, "engine")), is_enabled = json_array_size(enabled) > 0;
    if (is_engine && (json_array_size(running) > 0 || (is_enabled && state != SVI_SERVER_NONE)))
        text = "restart the server, which loads an engine only then";
    else if (json_array_size(running) > 0)
        text = svi_arena_printf(in->arena, "stave reload %.*s", n, name).p;
    else if (!is_enabled)
        text = svi_arena_printf(in->arena, "add \"%.*s\" to modules_enabled in the configuration, then stave reload", n, name).p;
    else if (state == SVI_SERVER_NONE)
        text = svi_arena_printf(in->arena, "start the server: \"%.*s\" is enabled (%s)", n, name, svi_module_words(in->arena, enabled)).p;
    else
        text = "stave reload";
    json_decref(running);
    json_decref(enabled);
    return text;
}

static json_t *done(const install *in, json_t *take_difference)
{
    json_t *answer = json_pack("{s:b, s:s%, s:s, s:s, s:s, s:b, s:O, s:O, s:s}", "ok", 1, "name", in->name.p, in->name.n, "path",
                               in->target, "kind", svi_record_kind_name(in->kind), "sha256", in->sha256, "replaced", in->has_old,
                               "module", in->told, "hides", in->hidden, "next", next_step(in));
    if (take_difference != NULL) (void)json_object_set(answer, "difference", take_difference);
    return answer;
}

static void clean_up(install *in)
{
    if (in->home.fd >= 0) (void)svi_module_delete_tree(in->home.fd, ".stave-install");
    svi_module_unlock(&in->home);
}

json_t *svi_module_install(const svi_module_job *job)
{
    install in = {.job = job, .arena = svi_arena_new(job->acct, 4096), .home = {.fd = -1}, .hidden = json_array()};
    json_t *diff = NULL, *answer = NULL;
    if (find_file(&in) && find_home(&in) && stage(&in) && check(&in)) {
        diff = difference(&in);
        show(&in, diff);
        if (ask(&in) && put_in_place(&in)) answer = done(&in, diff);
    }
    clean_up(&in);
    if (answer == NULL) answer = in.answer;
    json_decref(diff);
    json_decref(in.told);
    json_decref(in.old_told);
    json_decref(in.hidden);
    svi_arena_free(&in.arena);
    SV_ASSERT(answer != NULL);
    return answer;
}

void svi_print_module_installed(const json_t *a)
{
    (void)printf("\ninstalled: %s (SHA-256 %s)\nnext: %s\n", member(a, "path"), member(a, "sha256"), member(a, "next"));
}
