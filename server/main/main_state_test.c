/* The state folder: modes of what holds secrets, names that a power cut leaves, a salt that is made once, one process at
 * a time. */
#include "main/main_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base_testing.h"

#define NOBODY ((uid_t)-1), ((gid_t)-1)

typedef struct place {
    char root[64], data[80], salt[100];
    mode_t mask;
} place;

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    (void)snprintf(p->root, sizeof p->root, "/tmp/stave-state-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    (void)snprintf(p->data, sizeof p->data, "%s/data", p->root);
    (void)snprintf(p->salt, sizeof p->salt, "%s/secrets/salt", p->data);
    p->mask = umask(0); /* nothing may rely on it */
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    static const char *const names[] = {"/secrets/salt", "/secrets", "/crash", "/store",
                                        "/lock",         "/taken",   ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", p->data, names[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(p->root), 0); /* and so nothing else was left behind */
    (void)umask(p->mask);
    free(p);
    return 0;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_modes(void **state)
{
    const place *p = *state;
    static const char *const names[] = {"", "/secrets", "/crash"};
    sv_err err = {.text = ""};
    assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", p->data, names[i]);
        assert_int_equal(mode_of(path), 0700);
        /* a folder that others may enter is not used, whoever has made it */
        assert_int_equal(chmod(path, 0710), 0);
        assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_EDENIED);
        assert_non_null(strstr(err.text, "chmod 700"));
        assert_int_equal(chmod(path, 0700), 0);
    }
    assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
}

/* fsync() of the server comes here */
static ino_t synced[8];
static size_t synced_count;

int fsync(int fd)
{
    struct stat st;
    if (synced_count < sizeof synced / sizeof *synced && fstat(fd, &st) == 0)
        synced[synced_count++] = st.st_ino;
    return (int)syscall(SYS_fsync, fd);
}

static bool was_synced(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (size_t i = 0; i < synced_count; i++)
        if (synced[i] == st.st_ino) return true;
    return false;
}

static void test_names_are_on_disk(void **state)
{
    const place *p = *state;
    sv_err err = {.text = ""};
    for (int start = 0; start < 2; start++) { /* a first one may have been cut short */
        synced_count = 0;
        assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
        assert_true(was_synced(p->data)); /* holds the names `store` and `secrets` */
        assert_true(was_synced(p->root)); /* holds the name `data` */
    }
}

/* Root gives the folders to the user of the worker, who may have put links in their place since. */
static void test_links_are_not_followed(void **state)
{
    const place *p = *state;
    char link[128], others[128];
    sv_err err = {.text = ""};
    (void)snprintf(others, sizeof others, "%s/taken", p->data);
    (void)snprintf(link, sizeof link, "%s/store", p->data);
    assert_int_equal(mkdir(p->data, 0700), 0);
    assert_int_equal(mkdir(others, 0700), 0);
    assert_int_equal(symlink(others, link), 0);
    const bool is_root = geteuid() == 0;
    assert_int_equal(svi_state_make(p->data, is_root ? 1 : (uid_t)-1, is_root ? 1 : (gid_t)-1, &err),
                     SV_EIO);
    assert_non_null(strstr(err.text, "/store: is no folder (a link"));
    struct stat st;
    assert_int_equal(stat(others, &st), 0);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(remove(link), 0);
    /* nor is what a link leads to emptied of reports */
    char crash[128], report[160];
    (void)snprintf(crash, sizeof crash, "%s/crash", p->data);
    (void)snprintf(report, sizeof report, "%s/crash-1", others);
    assert_int_equal(svi_state_write(report, SV_STR("x"), 0600, &err), SV_OK);
    (void)rmdir(crash);
    assert_int_equal(symlink(others, crash), 0);
    svi_state_trim_crashes(p->data, 0);
    assert_int_equal(access(report, F_OK), 0);
    assert_int_equal(remove(crash), 0);
    assert_int_equal(rename(others, crash), 0);
    svi_state_trim_crashes(p->data, 0);
    (void)snprintf(report, sizeof report, "%s/crash-1", crash);
    assert_int_equal(access(report, F_OK), -1);
}

/* The folder itself may be a link, but to root not one of the worker's user, in whose home it may lie. */
static void test_links_to_the_folder(void **state)
{
    const place *p = *state;
    char real[128];
    struct stat st;
    sv_err err = {.text = ""};
    const bool is_root = geteuid() == 0;
    const uid_t owner = is_root ? 1 : geteuid();
    (void)snprintf(real, sizeof real, "%s/real", p->root);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, p->data), 0);
    if (is_root) {
        assert_int_equal(lchown(p->data, 1, 1), 0);
        assert_int_equal(svi_state_make(p->data, 1, 1, &err), SV_EIO);
        assert_non_null(strstr(err.text, "/data: is no folder (a link"));
        assert_int_equal(stat(real, &st), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(lchown(p->data, 0, 0), 0);
    }
    assert_int_equal(svi_state_make(p->data, owner, (gid_t)-1, &err), SV_OK);
    assert_int_equal(stat(real, &st), 0);
    assert_int_equal(st.st_uid, owner);
    static const char *const names[] = {"secrets", "crash", "store", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        (void)snprintf(path, sizeof path, "%s/%s", real, names[i]);
        assert_int_equal(rmdir(path), 0);
    }
}

/* Neither a second name of some other file is given to the worker's user and emptied, nor does a FIFO
 * keep anybody waiting. */
static void test_lock(void **state)
{
    const place *p = *state;
    char lock[128], other[128];
    int fd = -1;
    struct stat st;
    sv_err err = {.text = ""};
    (void)snprintf(lock, sizeof lock, "%s/lock", p->data);
    (void)snprintf(other, sizeof other, "%s/taken", p->data);
    assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
    assert_int_equal(svi_state_write(other, SV_STR("first"), 0600, &err), SV_OK);
    assert_int_equal(link(other, lock), 0);
    assert_int_equal(svi_state_lock(p->data, 0, &fd, &err), SV_EIO);
    assert_non_null(strstr(err.text, "/lock: is no regular file, or has a second name"));
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkfifo(lock, 0600), 0);
    assert_int_equal(svi_state_lock(p->data, 0, &fd, &err), SV_EIO);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(svi_state_lock(p->data, 0, &fd, &err), SV_OK);
    assert_int_equal(mode_of(lock), 0600);
    (void)close(fd);
}

/* Nobody's worker stays root without having been told to. */
static void test_owner(void **state)
{
    (void)state;
    uid_t owner = 1;
    gid_t group = 1;
    sv_err err = {.text = ""};
    assert_int_equal(svi_state_owner(1, SV_STR_NONE, &owner, &group, &err), SV_OK);
    assert_int_equal(owner, (uid_t)-1);
    assert_int_equal(svi_state_owner(1, SV_STR("no-such-user"), &owner, &group, &err), SV_OK);
    assert_int_equal(svi_state_owner(0, SV_STR_NONE, &owner, &group, &err), SV_EDENIED);
    assert_non_null(strstr(err.text, "started by root, but the option user is not set"));
    assert_int_equal(svi_state_owner(0, SV_STR("root"), &owner, &group, &err), SV_OK);
    assert_int_equal(owner, 0);
    assert_int_equal(svi_state_become("root", &err), SV_OK);
    assert_int_equal(svi_state_owner(0, SV_STR("no-such-user"), &owner, &group, &err), SV_ENOTFOUND);
    assert_non_null(strstr(err.text, "no system user 'no-such-user'"));
}

static void test_salt(void **state)
{
    const place *p = *state;
    svi_plat_virtual plat;
    uint8_t first[SVI_SALT_BYTES], again[SVI_SALT_BYTES];
    sv_err err = {.text = ""};
    svi_plat_virtual_init(&plat, 1);
    assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
    assert_int_equal(svi_state_salt(p->data, &plat.plat, first, &err), SV_OK);
    assert_int_equal(mode_of(p->salt), 0600);
    assert_int_equal(svi_state_salt(p->data, &plat.plat, again, &err), SV_OK);
    assert_memory_equal(first, again, SVI_SALT_BYTES);
    /* a damaged one is told, never replaced: all made-up salts would change */
    assert_int_equal(truncate(p->salt, SVI_SALT_BYTES - 1), 0);
    assert_int_equal(svi_state_salt(p->data, &plat.plat, again, &err), SV_EIO);
    assert_non_null(strstr(err.text, "damaged"));
}

static void test_files_are_never_replaced(void **state)
{
    const place *p = *state;
    char file[128], text[8] = "";
    sv_err err = {.text = ""};
    assert_int_equal(svi_state_make(p->data, NOBODY, &err), SV_OK);
    (void)snprintf(file, sizeof file, "%s/taken", p->data);
    assert_int_equal(svi_state_write(file, SV_STR("first"), 0600, &err), SV_OK);
    assert_int_equal(svi_state_write(file, SV_STR("second"), 0600, &err), SV_EEXIST);
    assert_int_equal(mode_of(file), 0600);
    const int fd = open(file, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 5);
    (void)close(fd);
    assert_memory_equal(text, "first", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_are_on_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_are_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_to_the_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test(test_owner),
        cmocka_unit_test_setup_teardown(test_salt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_are_never_replaced, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
