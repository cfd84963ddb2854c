/* What installing, removing and listing modules share, and the list. */
#include "main/main_module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_ask.h"
#include "main/main_core.h"
#include "main/main_module_impl.h"
#include "main/main_state.h"
#include "mods/mods_describe.h"

#define LEFT ".stave-"          /* how the names of what is not in its place yet begin */
#define LEFT_RECORDS "modules.lock." /* ... and of records that are */

bool svi_module_refuse(json_t **answer_out, sv_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    *answer_out = svi_answer_vfault(fault, format, args);
    va_end(args);
    return false;
}

/* --- places ------------------------------------------------------------------------------------------- */

bool svi_module_path(const char *folder, sv_str name, svi_record_kind kind, char path[SVI_MODULE_PATH])
{
    static const char *const ends[] = {[SVI_RECORD_SO] = ".so", [SVI_RECORD_LUA] = ".lua", [SVI_RECORD_FOLDER] = ""};
    const int n = snprintf(path, SVI_MODULE_PATH, "%s/%.*s%s", folder, (int)name.n, name.p, ends[kind]);
    return n > 0 && n < SVI_MODULE_PATH;
}

static bool is_there(const char *folder, sv_str name, svi_record_kind kind, char path[SVI_MODULE_PATH])
{
    char file[SVI_MODULE_PATH + 80];
    struct stat st;
    if (!svi_module_path(folder, name, kind, path)) return false;
    if (kind != SVI_RECORD_FOLDER) return lstat(path, &st) == 0;
    (void)snprintf(file, sizeof file, "%s/%.*s.lua", path, (int)name.n, name.p);
    return lstat(file, &st) == 0;
}

bool svi_module_is_folder(const char *folder, sv_str name)
{
    char path[SVI_MODULE_PATH];
    return is_there(folder, name, SVI_RECORD_FOLDER, path);
}

bool svi_module_find(const char *folder, sv_str name, svi_record_kind *kind_out, char path[SVI_MODULE_PATH])
{
    for (int kind = SVI_RECORD_SO; kind <= SVI_RECORD_FOLDER; kind++) {
        if (!is_there(folder, name, (svi_record_kind)kind, path)) continue;
        *kind_out = (svi_record_kind)kind;
        return true;
    }
    return false;
}

bool svi_module_same_folder(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool svi_module_is_own(const svi_module_paths *paths, size_t i)
{
    bool is = i < paths->own;
    for (size_t k = paths->own; k < paths->count && is; k++) is = !svi_module_same_folder(paths->items[i], paths->items[k]);
    return is;
}

/* --- the folder --------------------------------------------------------------------------------------- */

bool svi_module_delete_tree(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return true;
    if (errno != EISDIR && errno != EPERM) return false;
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0) (void)close(fd);
        return false;
    }
    bool is_fine = true;
    for (const struct dirent *entry; is_fine && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            is_fine = svi_module_delete_tree(dirfd(dir), entry->d_name);
    (void)closedir(dir);
    return is_fine && unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* What a command left that was killed. */
static void tidy(int fd)
{
    const int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (dir == NULL) return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const sv_str name = sv_str_of(entry->d_name);
        if (svi_str_starts(name, SV_STR(LEFT)) || (svi_str_starts(name, SV_STR(LEFT_RECORDS)) && svi_str_ends(name, SV_STR(".new"))))
            (void)svi_module_delete_tree(fd, entry->d_name);
    }
    (void)closedir(dir);
}

static sv_status failed(sv_err *err, const char *path)
{
    const bool is_denied = errno == EACCES || errno == EPERM || errno == EROFS;
    return svi_err(err, is_denied ? SV_EDENIED : SV_EIO, "%.120s: %s%s", path, strerror(errno),
                   is_denied ? "; this is for root, or for the owner of the folder" : "");
}

static sv_status take_lock(const char *folder, int fd, sv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IWOTH) != 0)
        return svi_err(err, SV_EDENIED, "everybody may write in %.100s, and so into the server: chmod o-w it", folder);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? svi_err(err, SV_EBUSY, "another `stave module` is at work in %.100s: wait for its end", folder)
                                    : failed(err, folder);
    if (access(folder, W_OK) != 0) return failed(err, folder);
    tidy(fd);
    return SV_OK;
}

sv_status svi_module_lock(const char *folder, bool makes, svi_module_home *home_out, sv_err *err)
{
    *home_out = (svi_module_home){.path = folder, .fd = -1};
    if (makes && mkdir(folder, 0755) == 0) home_out->is_made = chmod(folder, 0755) == 0; /* whatever the umask is */
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !makes) return svi_err(err, SV_ENOTFOUND, "%.120s is not there", folder);
    if (fd < 0) return failed(err, folder);
    const sv_status status = take_lock(folder, fd, err);
    if (status == SV_OK)
        home_out->fd = fd;
    else
        (void)close(fd);
    if (status != SV_OK) svi_module_unlock(home_out);
    return status;
}

void svi_module_unlock(svi_module_home *home)
{
    if (home->is_made) (void)rmdir(home->path); /* only if it is empty */
    if (home->fd >= 0) (void)close(home->fd);
    home->fd = -1;
}

static sv_status hash_file(svi_acct *acct, const char *path, char hex_out[SVI_SHA256_TEXT], sv_err *err)
{
    svi_buf text;
    svi_buf_init(&text, acct);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && text.len <= SVI_FOLDER_BYTES) {
        n = read(fd, svi_buf_space(&text, 65536), 65536);
        if (n > 0) text.len += (size_t)n;
        if (n < 0 && errno == EINTR) n = 1;
    }
    const sv_status status = n == 0 ? SV_OK : failed(err, path);
    svi_sha256_text(svi_buf_str(&text), hex_out);
    if (fd >= 0) (void)close(fd);
    svi_buf_free(&text);
    return status;
}

sv_status svi_module_hash(svi_acct *acct, svi_record_kind kind, const char *path, char hex_out[SVI_SHA256_TEXT], sv_err *err)
{
    svi_buf list;
    if (kind != SVI_RECORD_FOLDER) return hash_file(acct, path, hex_out, err);
    svi_buf_init(&list, acct);
    const sv_status status = svi_record_list(acct, path, &list, err);
    svi_sha256_text(svi_buf_str(&list), hex_out);
    svi_buf_free(&list);
    return status;
}

sv_status svi_module_write_records(svi_acct *acct, const char *folder, const svi_records *records, sv_err *err)
{
    char path[SVI_MODULE_PATH];
    if (snprintf(path, sizeof path, "%s/" SVI_RECORD_FILE, folder) >= (int)sizeof path)
        return svi_err(err, SV_ELIMIT, "%.100s: too long", folder);
    svi_buf text;
    svi_buf_init(&text, acct);
    svi_records_text(records, &text);
    const sv_status status = svi_state_replace(path, svi_buf_str(&text), 0644, err);
    svi_buf_free(&text);
    return status;
}

/* --- where it is enabled ------------------------------------------------------------------------------ */

static bool names(const svi_value *value, sv_str name)
{
    if (value == NULL) return false;
    if (value->kind == SVI_VALUE_STRING) return sv_str_eq(value->text, name);
    for (size_t i = 0; value->kind == SVI_VALUE_LIST && i < value->count; i++)
        if (value->items[i].kind == SVI_VALUE_STRING && sv_str_eq(value->items[i].text, name)) return true;
    return false;
}

json_t *svi_module_enabled_on(const svi_config *config, sv_str name)
{
    json_t *list = json_array();
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++) {
        const bool is_global = section->kind == SVI_SECTION_GLOBAL;
        const sv_str option = is_global                                ? SV_STR("store_engine")
                              : section->kind == SVI_SECTION_COMPONENT ? SV_STR("component_module")
                                                                       : SV_STR("modules_enabled");
        if (!names(svi_config_get(config, section, option), name)) continue;
        (void)json_array_append_new(list, is_global ? json_string("store_engine")
                                                    : json_stringn(section->name.p, section->name.n));
    }
    return list;
}

svi_server_state svi_module_running_on(const svi_module_job *job, sv_str name, json_t **hosts_out, sv_err *err)
{
    json_t *answer = NULL, *request = json_pack("{s:s}", "command", "modules");
    const sv_status status = svi_ask(job->settings->control_socket.p, request, &answer, err);
    json_decref(request);
    *hosts_out = json_array();
    const json_t *m;
    size_t i;
    json_array_foreach(json_object_get(answer, "modules"), i, m)
    {
        const char *is = json_string_value(json_object_get(m, "name"));
        if (is != NULL && sv_str_eq(sv_str_of(is), name)) (void)json_array_append(*hosts_out, json_object_get(m, "host"));
    }
    const bool is_answered = json_is_true(json_object_get(answer, "ok"));
    json_decref(answer);
    if (status == SV_ENOTFOUND) return SVI_SERVER_NONE;
    if (status == SV_OK && !is_answered) (void)svi_err(err, SV_EINVAL, "the server does not tell its modules");
    return status == SV_OK && is_answered ? SVI_SERVER_RUNS : SVI_SERVER_DUMB;
}

const char *svi_module_words(svi_arena *arena, const json_t *list)
{
    sv_str all = SV_STR("");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        all = svi_arena_printf(arena, "%.*s%s%s", (int)all.n, all.p, i > 0 ? ", " : "", word != NULL ? word : "?");
    }
    return svi_arena_str(arena, all).p;
}

json_t *svi_module_describe(svi_acct *acct, const char *path)
{
    json_t *told = svi_mods_describe(acct, path);
    const json_t *command;
    size_t i;
    json_array_foreach(json_object_get(told, "commands"), i, command)
    {
        const char *name = json_string_value(json_object_get(command, "name"));
        const svi_core_command *core = svi_core_shadows(name);
        if (core == NULL) continue;
        json_t *refused = json_pack("{s:s, s:b, s:o}", "file", path, "ok", 0, "error",
                                    json_sprintf("module \"%s\": it declares the command \"%s\", but \"%s\" is one of "
                                                 "the server: call it otherwise",
                                                 json_string_value(json_object_get(told, "name")), name, core->what.name));
        json_decref(told);
        return refused;
    }
    return told;
}

/* --- the list ----------------------------------------------------------------------------------------- */

/* One folder's list. */
typedef struct listing {
    const svi_module_job *job;
    svi_arena *arena;
    const char *folder;
    svi_records records;
    bool is_readable; /* the records are */
    bool names_only;
    json_t *rows;
} listing;

static const char *state_of(const listing *l, sv_str name, svi_record_kind kind, const char *path, const svi_record **record_out)
{
    char hex[SVI_SHA256_TEXT];
    sv_err err = {.text = ""};
    const svi_record *r = svi_records_find(&l->records, name, 0);
    *record_out = r;
    if (!l->is_readable) return "bad record";
    if (r == NULL) return "no record";
    if (svi_module_hash(l->job->acct, kind, path, hex, &err) != SV_OK) return "unreadable";
    for (; r != NULL; r = svi_records_find(&l->records, name, (size_t)(r - l->records.items) + 1)) {
        *record_out = r;
        if (r->kind == kind && sv_str_eq(r->sha256, sv_str_of(hex))) return "recorded";
    }
    return "changed";
}

static void add_row(const listing *l, sv_str name, const char *kind, const char *state, const svi_record *r)
{
    if (l->names_only) {
        (void)json_array_append_new(l->rows, json_pack("{s:s%}", "name", name.p, name.n));
        return;
    }
    json_t *row = json_pack("{s:s%, s:s, s:s, s:o, s:s}", "name", name.p, name.n, "kind", kind, "state", state, "enabled",
                            svi_module_enabled_on(l->job->config, name), "folder", l->folder);
    if (r != NULL)
        (void)json_object_update_new(row, json_pack("{s:s%, s:s%, s:s%}", "interface", r->interface.p, r->interface.n, "installed",
                                                    r->when.p, r->when.n, "from", r->from.p, r->from.n));
    (void)json_array_append_new(l->rows, row);
}

/* Only the form of a module that the loader finds is shown. */
static void list_name(const listing *l, sv_str name)
{
    char path[SVI_MODULE_PATH];
    svi_record_kind kind;
    const svi_record *r = NULL;
    if (!svi_module_find(l->folder, name, &kind, path)) return;
    const char *state = l->names_only ? "" : state_of(l, name, kind, path, &r);
    add_row(l, name, svi_record_kind_name(kind), state, r);
}

static sv_str name_of(const char *entry)
{
    const sv_str all = sv_str_of(entry);
    const size_t cut = svi_str_ends(all, SV_STR(".so")) ? 3 : svi_str_ends(all, SV_STR(".lua")) ? 4 : 0;
    return svi_str_sub(all, 0, all.n - cut);
}

static int is_module(const struct dirent *entry)
{
    return svi_record_is_name(name_of(entry->d_name));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return svi_str_cmp(name_of((*a)->d_name), name_of((*b)->d_name));
}

/* What was installed and lies there no more. */
static void list_missing(const listing *l)
{
    char path[SVI_MODULE_PATH];
    svi_record_kind kind;
    for (size_t i = 0; i < l->records.count; i++) {
        const svi_record *r = &l->records.items[i];
        if (svi_records_find(&l->records, r->name, 0) != r || svi_module_find(l->folder, r->name, &kind, path)) continue;
        add_row(l, r->name, svi_record_kind_name(r->kind), "missing", r);
    }
}

static void list_folder(listing *l, svi_buf *problems)
{
    struct dirent **found;
    sv_err err = {.text = ""};
    l->is_readable = svi_records_read(l->arena, l->folder, &l->records, &err) == SV_OK;
    if (!l->is_readable) svi_buf_printf(problems, "%s\n", err.text);
    const int count = scandir(l->folder, &found, is_module, by_name);
    if (count < 0 && errno != ENOENT) svi_buf_printf(problems, "%s: %s\n", l->folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        const sv_str name = name_of(found[i]->d_name);
        if (i == 0 || !sv_str_eq(name, name_of(found[i - 1]->d_name))) list_name(l, name);
        if (i > 0) free(found[i - 1]);
    }
    if (count > 0) free(found[count - 1]);
    if (count >= 0) free(found);
    list_missing(l);
}

static json_t *list(const svi_module_job *job, bool names_only)
{
    svi_arena *arena = svi_arena_new(job->acct, 4096);
    svi_module_paths paths;
    svi_buf problems;
    svi_buf_init(&problems, job->acct);
    json_t *rows = json_array();
    svi_module_paths_get(arena, job->settings, job->program, &paths);
    for (size_t i = 0; i < paths.own; i++) {
        bool is_new = svi_module_is_own(&paths, i);
        for (size_t k = 0; k < i && is_new; k++) is_new = !svi_module_same_folder(paths.items[i], paths.items[k]);
        listing l = {.job = job, .arena = arena, .folder = paths.items[i], .names_only = names_only, .rows = rows};
        if (is_new) list_folder(&l, &problems);
    }
    json_t *answer = json_pack("{s:b, s:o}", "ok", 1, "rows", rows);
    if (problems.len > 0)
        (void)json_object_update_new(answer, json_pack("{s:b, s:s, s:s, s:o}", "ok", 0, "class", "failed", "error", "not all can be told",
                                                       "problems", json_stringn(problems.data, problems.len)));
    svi_buf_free(&problems);
    svi_arena_free(&arena);
    return answer;
}

json_t *svi_module_list(const svi_module_job *job)
{
    return list(job, false);
}

json_t *svi_module_names(const svi_module_job *job)
{
    return list(job, true);
}
