/* Folders for tests of the store: made, copied as a kill would leave them, removed. */
#ifndef SVI_STORE_FOLDER_TEST_H
#define SVI_STORE_FOLDER_TEST_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka needs some of those first */
#include <cmocka.h>

typedef struct folder {
    char path[200];
} folder;

/* printf of a path; one that doesn't fit fails the test. */
#define PATH_PRINT(to, ...)                                                                        \
    assert_true((size_t)snprintf((to), sizeof(to), __VA_ARGS__) < sizeof(to))

static inline folder folder_make(void)
{
    folder f;
    /* no test here can tell a disk from memory, except by waiting for syncs */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    PATH_PRINT(f.path, "%s/stave-store-XXXXXX", base);
    assert_non_null(mkdtemp(f.path));
    return f;
}

/* Calls `each` with the name of every file in `path`. */
static inline void folder_each(const char *path, void (*each)(const char *file, void *ctx),
                               void *ctx)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char file[600];
        if (e->d_name[0] == '.') continue;
        PATH_PRINT(file, "%s/%s", path, e->d_name);
        each(file, ctx);
    }
    closedir(dir);
}

static inline bool is_folder(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISDIR(st.st_mode);
}

static inline void folder_remove_one(const char *file, void *ctx)
{
    if (is_folder(file)) folder_each(file, folder_remove_one, ctx);
    remove(file);
}

static inline void folder_remove(const folder *f)
{
    folder_each(f->path, folder_remove_one, NULL);
    remove(f->path);
}

/* Copies all files of one folder into another that exists. */
static inline void folder_copy(const char *from, const char *to);

static inline void folder_copy_one(const char *file, void *ctx)
{
    char target[800];
    PATH_PRINT(target, "%s%s", (const char *)ctx, strrchr(file, '/'));
    if (is_folder(file)) {
        mkdir(target, 0700);
        folder_copy(file, target);
        return;
    }
    const int in = open(file, O_RDONLY), out = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    struct stat st;
    fstat(in, &st);
    char *data = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(in, data, (size_t)st.st_size), st.st_size);
    assert_int_equal(write(out, data, (size_t)st.st_size), st.st_size);
    free(data);
    close(in);
    close(out);
}

static inline void folder_copy(const char *from, const char *to)
{
    char target[800];
    PATH_PRINT(target, "%s", to);
    folder_each(from, folder_copy_one, target);
}

#endif
