/* The state folder: makes it, locks it, keeps its secrets. */
#include "main/main_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"

#define LOCK_STEP_MS 20

static sv_status failed(sv_err *err, const char *path)
{
    return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
}

/* `path`/`name` into `to`; false if it does not fit. */
static bool join(char to[PATH_MAX], const char *path, const char *name)
{
    const int n = snprintf(to, PATH_MAX, "%s/%s", path, name);
    return n > 0 && n < PATH_MAX;
}

/* Where the worker's user may write, it might have put a link to have root give away what that leads
 * to. One that root made is meant; others than root give nothing away. */
static bool is_trusted_link(const char *path)
{
    struct stat st;
    return geteuid() != 0 || (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && st.st_uid == 0);
}

static sv_status make_folder(const char *path, uid_t owner, gid_t group, bool may_be_link,
                             sv_err *err)
{
    const bool made = mkdir(path, 0700) == 0;
    if (!made && errno != EEXIST) return failed(err, path);
    const int flags = may_be_link && is_trusted_link(path) ? 0 : O_NOFOLLOW;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return svi_err(err, SV_EIO, "%s: is no folder%s", path,
                       flags & O_NOFOLLOW ? " (a link to one is not followed here)" : "");
    if (fd < 0) return failed(err, path);
    struct stat st;
    sv_status status = fstat(fd, &st) == 0 ? SV_OK : failed(err, path);
    if (status == SV_OK && geteuid() == 0 && (owner != (uid_t)-1 || group != (gid_t)-1) &&
        (st.st_uid != owner || st.st_gid != group) && fchown(fd, owner, group) != 0)
        status = failed(err, path);
    (void)close(fd);
    if (status == SV_OK && (st.st_mode & 077))
        status = svi_err(
            err, SV_EDENIED,
            "%s: other users may enter this folder, which holds secrets; do: chmod 700 %s", path,
            path);
    return status;
}

/* A folder's own name is in its parent. Who may not read that, has not made the folder. */
static bool sync_name_of(int folder)
{
    const int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) return errno == EACCES;
    const bool ok = fsync(parent) == 0;
    (void)close(parent);
    return ok;
}

/* What is confirmed as stored is lost if the folder that holds it is. At every start: the one before may have been
 * killed in between. */
static sv_status sync_names(const char *path, sv_err *err)
{
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return failed(err, path);
    const sv_status status =
        fsync(folder) == 0 && sync_name_of(folder) ? SV_OK : failed(err, path);
    (void)close(folder);
    return status;
}

sv_status svi_state_make(const char *path, uid_t owner, gid_t group, sv_err *err)
{
    static const char *const names[] = {"secrets", "crash", "store"};
    sv_status status = make_folder(path, owner, group, true, err);
    for (size_t i = 0; i < sizeof names / sizeof *names && status == SV_OK; i++) {
        char full[PATH_MAX];
        if (!join(full, path, names[i])) return svi_err(err, SV_ELIMIT, "%s: too long", path);
        status = make_folder(full, owner, group, false, err);
    }
    return status == SV_OK ? sync_names(path, err) : status;
}

sv_status svi_state_owner(uid_t self, sv_str user, uid_t *owner_out, gid_t *group_out, sv_err *err)
{
    *owner_out = (uid_t)-1;
    *group_out = (gid_t)-1;
    if (self != 0) return SV_OK;
    if (user.n == 0)
        return svi_err(err, SV_EDENIED,
                       "started by root, but the option user is not set, so what speaks to the network "
                       "would stay root: set user = \"NAME\" to a system user, or to \"root\" if "
                       "that is wanted, or start as that user");
    const struct passwd *entry = getpwnam(user.p);
    if (!entry)
        return svi_err(err, SV_ENOTFOUND, "option user: there is no system user '%s'", user.p);
    *owner_out = entry->pw_uid;
    *group_out = entry->pw_gid;
    return SV_OK;
}

sv_status svi_state_become(const char *user, sv_err *err)
{
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return svi_err(err, SV_ENOTFOUND, "option user: there is no system user '%s'", user);
    if (entry->pw_uid == 0) return SV_OK;
    if (initgroups(user, entry->pw_gid) == 0 && setgid(entry->pw_gid) == 0 &&
        setuid(entry->pw_uid) == 0)
        return SV_OK;
    return svi_err(err, SV_EDENIED, "can't become user '%s': %s", user, strerror(errno));
}

/* --- lock --------------------------------------------------------------------------------------------- */

static sv_status busy(int fd, const char *path, sv_err *err)
{
    char holder[32] = "";
    const ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
    const sv_str pid = svi_str_trim((sv_str){holder, n > 0 ? (size_t)n : 0});
    return svi_err(err, SV_EBUSY,
                   "%s is in use by another stave (process %.*s): stop that one first, or give "
                   "this one a data_path of its own",
                   path, pid.n ? (int)pid.n : 7, pid.n ? pid.p : "unknown");
}

/* Whoever owns the folder may take the lock, too, after root had it; but might have put another file
 * there, by a second name, to have root give that away. */
static sv_status open_lock(const char *path, const char *file, int *fd_out, sv_err *err)
{
    struct stat folder, st;
    const int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) return failed(err, file);
    sv_status status = fstat(fd, &st) == 0 && stat(path, &folder) == 0 ? SV_OK : failed(err, file);
    if (status == SV_OK && (!S_ISREG(st.st_mode) || st.st_nlink > 1))
        status = svi_err(err, SV_EIO, "%s: is no regular file, or has a second name; remove it", file);
    if (status == SV_OK && geteuid() == 0 && fchown(fd, folder.st_uid, folder.st_gid) != 0)
        status = failed(err, file);
    if (status == SV_OK)
        *fd_out = fd;
    else
        (void)close(fd);
    return status;
}

sv_status svi_state_lock(const char *path, unsigned how_long_ms, int *fd_out, sv_err *err)
{
    char file[PATH_MAX];
    int fd = -1;
    if (!join(file, path, "lock")) return svi_err(err, SV_ELIMIT, "%s: too long", path);
    const sv_status opened = open_lock(path, file, &fd, err);
    if (opened != SV_OK) return opened;
    unsigned waited_ms = 0;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK || waited_ms >= how_long_ms) {
            const sv_status status = errno == EWOULDBLOCK ? busy(fd, path, err) : failed(err, file);
            (void)close(fd);
            return status;
        }
        (void)poll(NULL, 0, LOCK_STEP_MS);
        waited_ms += LOCK_STEP_MS;
    }
    char pid[32];
    const int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        const sv_status status = failed(err, file);
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return SV_OK;
}

/* --- files -------------------------------------------------------------------------------------------- */

static bool write_all(int fd, sv_str bytes)
{
    while (bytes.n > 0) {
        const ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes = svi_str_sub(bytes, (size_t)n, bytes.n);
    }
    return true;
}

/* A new name is durable when its folder is synced, too. */
static bool sync_folder_of(const char *file)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    if (!slash) return true;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - file + 1), file);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) (void)close(fd);
    return ok;
}

/* The bytes in a file of their own beside `file`, synced; its name in `temp`. */
static sv_status write_beside(const char *file, sv_str bytes, mode_t mode, char temp[PATH_MAX],
                              sv_err *err)
{
    const int n = snprintf(temp, PATH_MAX, "%s.%ld.new", file, (long)getpid());
    if (n <= 0 || n >= PATH_MAX) return svi_err(err, SV_ELIMIT, "%s: too long", file);
    (void)unlink(temp);
    const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return failed(err, file);
    const bool written = write_all(fd, bytes) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    const sv_status status = written ? SV_OK : failed(err, file);
    (void)close(fd);
    return status;
}

/* The file beside has got its name, or not; either way it goes. */
static sv_status settle(const char *file, const char *temp, sv_status status, sv_err *err)
{
    (void)unlink(temp);
    if (status == SV_OK && !sync_folder_of(file)) status = failed(err, file);
    return status;
}

sv_status svi_state_write(const char *file, sv_str bytes, mode_t mode, sv_err *err)
{
    char temp[PATH_MAX] = "";
    sv_status status = write_beside(file, bytes, mode, temp, err);
    if (status == SV_OK && link(temp, file) != 0) /* unlike rename() it replaces nothing */
        status =
            errno == EEXIST ? svi_err(err, SV_EEXIST, "%s: is there", file) : failed(err, file);
    return settle(file, temp, status, err);
}

sv_status svi_state_replace(const char *file, sv_str bytes, mode_t mode, sv_err *err)
{
    char temp[PATH_MAX] = "";
    sv_status status = write_beside(file, bytes, mode, temp, err);
    if (status == SV_OK && rename(temp, file) != 0) status = failed(err, file);
    return settle(file, temp, status, err);
}

/* --- secrets ------------------------------------------------------------------------------------------ */

static sv_status read_salt(const char *file, uint8_t salt_out[SVI_SALT_BYTES], sv_err *err)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT ? SV_ENOTFOUND : failed(err, file);
    const ssize_t n = read(fd, salt_out, SVI_SALT_BYTES);
    (void)close(fd);
    if (n == SVI_SALT_BYTES) return SV_OK;
    return svi_err(err, SV_EIO, "%s: is damaged (%zd of %u bytes): restore it from a backup", file,
                   n, SVI_SALT_BYTES);
}

sv_status svi_state_salt(const char *path, const svi_plat *plat, uint8_t salt_out[SVI_SALT_BYTES],
                         sv_err *err)
{
    char file[PATH_MAX];
    if (!join(file, path, "secrets/salt")) return svi_err(err, SV_ELIMIT, "%s: too long", path);
    sv_status status = read_salt(file, salt_out, err);
    if (status != SV_ENOTFOUND) return status;
    plat->random(plat->ctx, salt_out, SVI_SALT_BYTES);
    return svi_state_write(file, (sv_str){(const char *)salt_out, SVI_SALT_BYTES}, 0600, err);
}

/* --- crash reports ------------------------------------------------------------------------------------ */

static int is_report(const struct dirent *entry)
{
    return strncmp(entry->d_name, "crash-", 6) == 0;
}

/* Names begin with the time, so that the order of names is that of age. The supervisor does this, as
 * root maybe: what the worker's user has put in the folder's place stays as it is. */
void svi_state_trim_crashes(const char *path, size_t keep)
{
    char name[PATH_MAX];
    struct dirent **found = NULL;
    if (!join(name, path, "crash")) return;
    const int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    const int count = folder >= 0 ? scandirat(folder, ".", &found, is_report, alphasort) : 0;
    for (int i = 0; i < count; i++) {
        if ((size_t)(count - i) > keep) (void)unlinkat(folder, found[i]->d_name, 0);
        free(found[i]);
    }
    free(found);
    if (folder >= 0) (void)close(folder);
}
