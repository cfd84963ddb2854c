/* Module files: found, checked and loaded from a private copy, so that what was checked is what runs, and that replacing or
 * overwriting the file later touches nobody (house-style C.3). */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_log.h"
#include "mods/mods_check.h"
#include "mods/mods_command.h"
#include "mods/mods_impl.h"
#include "mods/mods_record.h"
#include "mods/mods_script.h"

enum {
    FILE_MAX = 64 << 20,
    PATH_BYTES = 1024,
    NEAR = 3, /* edits between a wrong name and a suggested one */
    STRIDE_MAX = 4096,
    HOOKS_MAX = 1024,
    OPTIONS_MAX = 1024,
    DESC_MAX = 65536,
    NOEXEC_SEAL = 8 /* MFD_NOEXEC_SEAL of Linux 6.3, not yet in every header */
};

/* --- finding ---------------------------------------------------------------------------------------- */

/* "NAME" of "NAME.so", "NAME.lua", or of a folder NAME. */
static sv_str module_name(sv_str entry)
{
    if (svi_str_ends(entry, SV_STR(".so"))) return svi_str_sub(entry, 0, entry.n - 3);
    return svi_str_ends(entry, SV_STR(".lua")) ? svi_str_sub(entry, 0, entry.n - 4) : entry;
}

/* Looks for a module in a folder whose name is nearer than *distance. */
static void nearest_in(const char *folder, sv_str name, size_t *distance,
                       char near[SVI_MOD_NAME_MAX])
{
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const sv_str found = module_name(sv_str_of(entry->d_name));
        const size_t d = svi_record_is_name(found) ? svi_str_distance(found, name, *distance) : *distance;
        if (d >= *distance) continue;
        *distance = d;
        memcpy(near, found.p, found.n);
        near[found.n] = '\0';
    }
    closedir(dir);
}

static sv_status not_found(const svi_mods_config *config, sv_str name, sv_err *err)
{
    char near[SVI_MOD_NAME_MAX] = "";
    size_t distance = NEAR;
    for (size_t i = 0; i < config->path_count; i++)
        nearest_in(config->paths[i], name, &distance, near);
    if (near[0] != '\0')
        return svi_err(err, SV_ENOTFOUND, "there is no module \"%.*s\"; did you mean \"%s\"?",
                       (int)name.n, name.p, near);
    return svi_err(err, SV_ENOTFOUND, "there is no module \"%.*s\" (looked for %.*s.so and %.*s.lua in %s%s)",
                   (int)name.n, name.p, (int)name.n, name.p, (int)name.n, name.p,
                   config->path_count > 0 ? config->paths[0] : "no folder",
                   config->path_count > 1 ? " and the other module_paths" : "");
}

/* The place of a module in one folder, as a shared object, a script, or a script with a folder of its own. */
enum { FORMS = 3 };
static bool path_in(const char *folder, sv_str name, int form, char path[PATH_BYTES])
{
    const int length = (int)name.n;
    const int n = form == 0   ? snprintf(path, PATH_BYTES, "%s/%.*s.so", folder, length, name.p)
                  : form == 1 ? snprintf(path, PATH_BYTES, "%s/%.*s.lua", folder, length, name.p)
                              : snprintf(path, PATH_BYTES, "%s/%.*s/%.*s.lua", folder, length, name.p, length, name.p);
    return n >= 0 && n < PATH_BYTES;
}

/* An open descriptor of the first file of the module on the way; -1 if there is none, or if it can't be opened (*path is it then). In
 * one folder a shared object comes before a script. */
static int find(const svi_mods_config *config, sv_str name, char path[PATH_BYTES])
{
    for (size_t i = 0; i < config->path_count; i++)
        for (int form = 0; form < FORMS; form++) {
            if (!path_in(config->paths[i], name, form, path)) continue;
            const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
            if (fd >= 0) return fd;
            if (errno != ENOENT && errno != ENOTDIR) return -1;
        }
    path[0] = '\0';
    return -1;
}

bool svi_mod_file_stat(const svi_mods_config *config, const char *name, struct stat *st_out)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < config->path_count; i++)
        for (int form = 0; form < FORMS; form++)
            if (path_in(config->paths[i], sv_str_of(name), form, path) && stat(path, st_out) == 0) return true;
    return false;
}

/* --- copying ---------------------------------------------------------------------------------------- */

/* All bytes of the file; *image_out is freed by the caller. */
static sv_status read_all(svi_acct *acct, int fd, char **image_out, size_t *size_out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return SV_EIO;
    if (st.st_size <= 0 || st.st_size > FILE_MAX) return SV_ELIMIT;
    const size_t size = (size_t)st.st_size;
    char *image = svi_alloc_raw(acct, size);
    size_t done = 0;
    while (done < size) {
        const ssize_t got = read(fd, image + done, size - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += (size_t)got;
    }
    if (done < size) {
        svi_free(image);
        return SV_EIO;
    }
    *image_out = image;
    *size_out = size;
    return SV_OK;
}

/* A sealed file in memory with these bytes, or -1: nobody can change it under the running code. */
static int private_copy(const char *name, const char *image, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    size_t done = 0;
    while (done < size) {
        const ssize_t put = write(fd, image + done, size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) break;
        done += (size_t)put;
    }
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (done < size || fcntl(fd, F_ADD_SEALS, seals) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The dynamic loader gives old code for a path it knows, also of a descriptor that was closed: the copy's inode, which lives as
 * long as its code, stands in the path, as steps that lead nowhere. */
static void path_of(int fd, char path[PATH_BYTES])
{
    struct stat st = {.st_ino = 0};
    (void)fstat(fd, &st);
    int n = snprintf(path, PATH_BYTES, "/proc/self/fd");
    for (ino_t bits = st.st_ino; bits > 0; bits >>= 1)
        n += snprintf(path + n, PATH_BYTES - (size_t)n, "%s", (bits & 1) != 0 ? "/." : "/");
    (void)snprintf(path + n, PATH_BYTES - (size_t)n, "/%d", fd);
}

/* --- asking ----------------------------------------------------------------------------------------- */

static sv_status check_version(const sv_module_desc *desc, sv_err *err)
{
    if (desc->abi_major != SV_ABI_MAJOR)
        return svi_err(err, SV_EVERSION,
                       "it is made for module interface %u.%u, this server has %u.%u: build it "
                       "again with this server's headers",
                       desc->abi_major, desc->abi_minor, SV_ABI_MAJOR, SV_ABI_MINOR);
    if (desc->abi_minor > SV_ABI_MINOR)
        return svi_err(err, SV_EVERSION,
                       "it is made for module interface %u.%u, this server has %u.%u: upgrade "
                       "the server, or take the module's release for %u.%u",
                       desc->abi_major, desc->abi_minor, SV_ABI_MAJOR, SV_ABI_MINOR, SV_ABI_MAJOR,
                       SV_ABI_MINOR);
    return SV_OK;
}

static bool is_stride(uint32_t stride, size_t least)
{
    return stride >= least && stride <= STRIDE_MAX && stride % _Alignof(void *) == 0;
}

/* Up to its last member of 0.1: what came later an older module does not have. */
#define LEAST(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/* Hooks and options in this server's layout. */
static sv_status take_tables(svi_mod_file *file, sv_err *err)
{
    sv_module_desc *desc = &file->desc;
    size_t hooks, options;
    desc->hooks = svi_table_take(file->arena, desc->hooks, desc->hook_stride, sizeof(sv_hook), HOOKS_MAX, &hooks);
    desc->options = svi_table_take(file->arena, desc->options, desc->option_stride, sizeof(sv_option), OPTIONS_MAX, &options);
    desc->hook_stride = sizeof(sv_hook);
    desc->option_stride = sizeof(sv_option);
    if (hooks > HOOKS_MAX || options > OPTIONS_MAX)
        return svi_err(err, SV_EINVAL, "it declares more than %d hooks or options: does the table end with {0}?", HOOKS_MAX);
    return SV_OK;
}

/* Takes the description over; what stands in it is still the module's. */
static sv_status take_desc(svi_mod_file *file, const sv_module_desc *desc, sv_err *err)
{
    const size_t least = LEAST(sv_module_desc, after);
    const sv_status status = check_version(desc, err);
    if (status != SV_OK) return status;
    if (desc->size < least || desc->size > DESC_MAX ||
        !is_stride(desc->hook_stride, LEAST(sv_hook, flags)) ||
        !is_stride(desc->option_stride, LEAST(sv_option, manual)))
        return svi_err(err, SV_EINVAL,
                       "its description has impossible sizes (%u, %u, %u): declare it with "
                       "SV_MODULE(...)",
                       desc->size, desc->hook_stride, desc->option_stride);
    const size_t known = desc->size < sizeof file->desc ? desc->size : sizeof file->desc;
    memcpy(&file->desc, desc, known);
    if (desc->name == NULL || strcmp(desc->name, file->name) != 0)
        return svi_err(err, SV_EINVAL, "it calls itself \"%.60s\": file and name must be the same",
                       desc->name != NULL ? desc->name : "");
    const sv_status has_groups = svi_mod_needs_check(file->desc.needs, err);
    if (has_groups != SV_OK) return has_groups;
    if (file->desc.self_size > FILE_MAX || file->desc.shared_size > FILE_MAX)
        return svi_err(err, SV_EINVAL, "its self_size is %zu bytes, its shared_size %zu: at most %d",
                       file->desc.self_size, file->desc.shared_size, FILE_MAX);
    if (file->desc.shared_size == 0 && (file->desc.start_shared != NULL || file->desc.stop_shared != NULL))
        return svi_err(err, SV_EINVAL, "it has start_shared or stop_shared but no shared_size");
    const sv_status has_tables = take_tables(file, err);
    if (has_tables != SV_OK) return has_tables;
    const bool has_strides = is_stride(file->desc.command_stride, LEAST(sv_command, run)) &&
                             is_stride(file->desc.arg_stride, LEAST(sv_arg, manual)) &&
                             is_stride(file->desc.column_stride, LEAST(sv_column, head));
    if (file->desc.commands != NULL && !has_strides)
        return svi_err(err, SV_EINVAL,
                       "its commands have impossible sizes (%u, %u, %u): declare it with "
                       "SV_MODULE(...)",
                       file->desc.command_stride, file->desc.arg_stride, file->desc.column_stride);
    if (file->desc.metrics != NULL && !is_stride(file->desc.metric_stride, LEAST(sv_metric, manual)))
        return svi_err(err, SV_EINVAL,
                       "its metrics have an impossible size (%u): declare it with SV_MODULE(...)",
                       file->desc.metric_stride);
    return svi_commands_take(file->arena, &file->desc, &file->desc.commands, err);
}

/* Looks for the mark of SV_ENGINE. */
static sv_status look_for_mark(svi_mod_file *file, sv_err *err)
{
    const void *const mark = dlsym(file->handle, SVI_ENGINE_MARK);
    uint32_t needed = 0;
    file->is_engine = mark != NULL;
    if (mark != NULL) memcpy(&needed, mark, sizeof needed);
    if (needed > SV_ENGINE_VERSION)
        return svi_err(err, SV_EVERSION,
                       "it needs group \"engine\" %u, this server has %u: upgrade the server, or take "
                       "the module's release for \"engine\" %u",
                       needed, SV_ENGINE_VERSION, SV_ENGINE_VERSION);
    return SV_OK;
}

static sv_status ask(svi_mod_file *file, sv_err *err)
{
    const sv_status marked = look_for_mark(file, err);
    if (marked != SV_OK) return marked;
    void *const found = dlsym(file->handle, "sv_module_entry");
    sv_module_entry_fn entry = NULL;
    memcpy(&entry, &found,
           sizeof entry); /* POSIX lets dlsym give functions, C has no cast for it */
    if (entry == NULL) return svi_err(err, SV_EINVAL, "it exports no sv_module_entry");
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    now->module = file->name;
    now->hook = "entry";
    const sv_module_desc *desc = entry(svi_mods_api());
    *now = saved;
    if (desc == NULL)
        return svi_err(err, SV_EVERSION, "it refuses module interface %u.%u of this server",
                       SV_ABI_MAJOR, SV_ABI_MINOR);
    return take_desc(file, desc, err);
}

/* --- loading ---------------------------------------------------------------------------------------- */

static sv_status load_image(svi_mod_file *file, const char *image, size_t size, sv_err *err)
{
    char path[PATH_BYTES];
    file->fd = private_copy(file->name, image, size);
    if (file->fd < 0) return svi_err(err, SV_EIO, "no private copy of it can be made");
    path_of(file->fd, path);
    file->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (file->handle == NULL) {
        const char *why = dlerror(); /* begins with our path */
        const char *text = why != NULL ? strchr(why, ' ') : NULL;
        return svi_err(err, SV_EINVAL, "it can't be loaded:%.200s", text != NULL ? text : " ?");
    }
    return ask(file, err);
}

static sv_status load_script(svi_mod_file *file, const svi_mods_config *config, const char *path, const char *image, size_t size,
                             sv_err *err)
{
    file->fd = private_copy(file->name, image, size);
    if (file->fd < 0) return svi_err(err, SV_EIO, "no private copy of it can be made");
    const sv_status status = svi_mod_script_load(file, config, path, (sv_str){image, size}, err);
    return status == SV_OK ? take_desc(file, svi_script_desc(file->script), err) : status;
}

static bool has_bytes(const svi_mod_file *file, const char *image, size_t size)
{
    char part[4096];
    if (file->size != size) return false;
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const ssize_t got =
            pread(file->fd, part, left < sizeof part ? left : sizeof part, (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || memcmp(part, image + done, (size_t)got) != 0) return false;
        done += (size_t)got;
    }
    return true;
}

void svi_mod_file_look(svi_mod_file *file, svi_acct *acct, const svi_mods_config *config)
{
    char path[PATH_BYTES], *image;
    size_t size;
    file->is_stale = false;
    const int fd = find(config, sv_str_of(file->name), path);
    if (fd < 0) return; /* what is loaded needs no file */
    if (read_all(acct, fd, &image, &size) == SV_OK) {
        file->is_stale = !has_bytes(file, image, size) || svi_mod_script_is_stale(file);
        svi_free(image);
    }
    close(fd);
}

static sv_status add_budget(svi_mod_file *file, sv_err *err)
{
    const sv_module_desc *desc = &file->desc;
    file->budget_options = svi_budget_options_of(file->arena, file->name);
    const char *clash = svi_budget_clash(file->budget_options, desc->options, desc->option_stride);
    if (clash != NULL)
        return svi_err(err, SV_EINVAL,
                       "option \"%.80s\": the server has an option of that name for each module; call it otherwise",
                       clash);
    return SV_OK;
}

static bool is_script(const char *path)
{
    return svi_str_ends(sv_str_of(path), SV_STR(".lua"));
}

static sv_status load_code(svi_mod_file *file, const svi_mods_config *config, const char *path, const char *image, size_t size, sv_err *err)
{
    if (is_script(path)) return load_script(file, config, path, image, size, err);
    const sv_status status = svi_mods_check_image(image, size, err);
    return status == SV_OK ? load_image(file, image, size, err) : status;
}

/* What is compared is what is loaded: the bytes at hand, and for a folder's other files the list. */
static sv_status check_record(svi_mod_file *file, const char *path, const char *image, size_t size, sv_err *err)
{
    svi_buf list;
    svi_buf_init(&list, file->acct);
    const sv_status status = svi_record_check(file->acct, path, sv_str_of(file->name), (sv_str){image, size}, &list, err);
    if (list.len > 0) file->recorded = svi_arena_str(file->arena, svi_buf_str(&list));
    svi_buf_free(&list);
    return status;
}

/* `has_records`: it is found by its name, so what was written down when it was installed counts. */
static sv_status load_new(svi_acct *acct, const svi_mods_config *config, sv_str name, const char *path, bool has_records,
                          const char *image, size_t size, svi_mod_file **file_out, sv_err *err)
{
    sv_err why = {.text = ""};
    svi_mod_file *file = svi_alloc(acct, sizeof *file);
    file->acct = acct;
    file->refs = 1;
    file->number = 1;
    file->fd = -1;
    file->size = size;
    file->arena = svi_arena_new(acct, 256);
    memcpy(file->name, name.p, name.n);
    sv_status status = has_records ? check_record(file, path, image, size, &why) : SV_OK;
    if (status == SV_OK) status = load_code(file, config, path, image, size, &why);
    if (status == SV_OK) status = svi_mod_hooks_check(file, &why);
    if (status == SV_OK) status = add_budget(file, &why);
    if (status == SV_OK)
        status = svi_options_check(file->desc.options, file->desc.option_stride, file->name, file->desc.self_size, &why);
    if (status == SV_OK) status = svi_metrics_check(&file->desc, &why);
    if (status == SV_OK) status = svi_mod_features_check(acct, file, &why);
    if (status != SV_OK) {
        (void)svi_err(err, status, "module \"%s\": %s", file->name, why.text);
        svi_mod_file_unref(&file);
    }
    *file_out = file;
    return status;
}

sv_status svi_mod_file_open_with(svi_acct *acct, const svi_mods_config *config, const char *path, svi_mod_file **file_out, sv_err *err)
{
    const char *slash = strrchr(path, '/');
    sv_str name = sv_str_of(slash != NULL ? slash + 1 : path);
    char *image;
    size_t size;
    *file_out = NULL;
    const sv_str bare = module_name(name);
    if (bare.n == name.n || !svi_record_is_name(bare))
        return svi_err(err, SV_EINVAL,
                       "the file of a module is called NAME.so or NAME.lua: lower-case letters, digits, - and _");
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return svi_err(err, SV_EIO, "it can't be opened: %s", strerror(errno));
    sv_status status = read_all(acct, fd, &image, &size);
    close(fd);
    if (status != SV_OK) return svi_err(err, status, "it can't be read");
    name = bare;
    status = load_new(acct, config, name, path, false, image, size, file_out, err);
    svi_free(image);
    return status;
}

sv_status svi_mod_file_open(svi_acct *acct, const char *path, svi_mod_file **file_out, sv_err *err)
{
    return svi_mod_file_open_with(acct, &(svi_mods_config){.path_count = 0}, path, file_out, err);
}

sv_status svi_mod_file_find(const svi_mods_config *config, sv_str name, char *path_out, size_t path_bytes, sv_err *err)
{
    char path[PATH_BYTES];
    const int fd = find(config, name, path);
    if (fd < 0) return not_found(config, name, err);
    close(fd);
    const int n = snprintf(path_out, path_bytes, "%s", path);
    return n >= 0 && (size_t)n < path_bytes ? SV_OK : svi_err(err, SV_ELIMIT, "the path of module \"%.*s\" is too long", (int)name.n, name.p);
}

char *svi_mod_file_image(svi_acct *acct, const svi_mod_file *file)
{
    char *image = NULL;
    size_t size;
    const int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && lseek(fd, 0, SEEK_SET) == 0) (void)read_all(acct, fd, &image, &size);
    if (fd >= 0) close(fd);
    return image;
}

sv_status svi_mod_file_load(svi_acct *acct, const svi_mods_config *config, sv_str name,
                            svi_mod_file **file_out, sv_err *err)
{
    char path[PATH_BYTES], *image;
    size_t size;
    *file_out = NULL;
    if (!svi_record_is_name(name))
        return svi_err(err, SV_EINVAL,
                       "\"%.*s\" is no name of a module: lower-case letters, digits, - and _",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    struct stat st = {.st_size = 0};
    const int fd = find(config, name, path);
    if (fd < 0 && path[0] != '\0')
        return svi_err(err, SV_EIO, "module \"%.*s\": %s can't be opened", (int)name.n, name.p,
                       path);
    if (fd < 0) return not_found(config, name, err);
    (void)fstat(fd, &st);
    sv_status status = read_all(acct, fd, &image, &size);
    close(fd);
    if (status != SV_OK)
        return svi_err(err, status, "module \"%.*s\": %s can't be read", (int)name.n, name.p, path);
    status = load_new(acct, config, name, path, true, image, size, file_out, err);
    svi_free(image);
    if (status == SV_OK) (*file_out)->mark = svi_file_mark(&st);
    return status;
}

/* --- what a folder declares ------------------------------------------------------------------------- */

static int is_module(const struct dirent *entry)
{
    return svi_record_is_name(module_name(sv_str_of(entry->d_name)));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* in any locale */
}

static void append_commands(const svi_mod_file *file, json_t *array)
{
    const sv_command *c;
    for (size_t i = 0; (c = svi_command_at(file->desc.commands, i)) != NULL; i++) {
        json_t *json = svi_command_json(c);
        (void)json_object_set_new(json, "module", json_string(file->name));
        (void)json_array_append_new(array, json);
    }
}

void svi_mods_folder_commands(svi_acct *acct, const char *folder, json_t *array)
{
    struct dirent **found;
    const svi_mods_config config = {.paths = &folder, .path_count = 1};
    const int count = scandir(folder, &found, is_module, by_name);
    for (int i = 0; i < count; i++) {
        svi_mod_file *file;
        sv_err err = {.text = ""};
        const sv_str name = module_name(sv_str_of(found[i]->d_name));
        if (svi_mod_file_load(acct, &config, name, &file, &err) == SV_OK) append_commands(file, array);
        svi_mod_file_unref(&file);
        free(found[i]);
    }
    if (count >= 0) free(found);
}

bool svi_mod_is_engine(const svi_mod_file *file)
{
    return file->is_engine;
}

svi_mod_file *svi_mod_file_ref(svi_mod_file *file)
{
    SV_ASSERT(file->refs > 0);
    file->refs++;
    return file;
}

/* --- what its hosts share --------------------------------------------------------------------------- */

sv_status svi_mod_file_enter(sv_mod *mod)
{
    svi_mod_file *file = mod->file;
    sv_status status = SV_OK;
    if (mod->uses_file) return SV_OK; /* its start failed before */
    if (file->users == 0 && file->desc.shared_size > 0) {
        file->shared = svi_alloc(file->acct, file->desc.shared_size);
        const svi_mod_visit visit = svi_mod_enter(mod, "start_shared");
        if (file->desc.start_shared != NULL) status = file->desc.start_shared(file->shared);
        svi_mod_leave(&visit);
    }
    if (status == SV_OK) {
        file->users++;
        mod->uses_file = true;
        return SV_OK;
    }
    svi_free(file->shared);
    file->shared = NULL;
    return status;
}

void svi_mod_file_leave(sv_mod *mod)
{
    svi_mod_file *file = mod->file;
    if (!mod->uses_file) return;
    mod->uses_file = false;
    SV_ASSERT(file->users > 0);
    if (--file->users > 0 || file->shared == NULL) return;
    const svi_mod_visit visit = svi_mod_enter(mod, "stop_shared");
    if (file->desc.stop_shared != NULL) file->desc.stop_shared(file->shared);
    svi_mod_leave(&visit);
    svi_free(file->shared);
    file->shared = NULL;
}

/* Code that has run once is never unmapped in production; test builds do, so that what was left behind is seen. Its copy stays
 * with the mapping; a descriptor for each reload would be taken from clients. */
static void unload(svi_mod_file *file)
{
#ifdef SVI_DEBUG
    if (file->handle != NULL) dlclose(file->handle);
#endif
    svi_script_free(&file->script);
    if (file->fd >= 0) close(file->fd);
}

void svi_mod_file_unref(svi_mod_file **file)
{
    svi_mod_file *f = *file;
    *file = NULL;
    if (f == NULL) return;
    SV_ASSERT(f->refs > 0);
    if (--f->refs > 0) return;
    unload(f);
    svi_arena_free(&f->arena);
    svi_free(f);
}
