/* Unix sockets for clients: what is at their path beforehand, mode and owner, what goes at the end. */
#include "main/main_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_testing.h"

#define NOBODY ((uid_t)-1), ((gid_t)-1)

typedef struct place {
    char root[64], path[80];
    mode_t mask;
    svi_sockets sockets;
} place;

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    (void)snprintf(p->root, sizeof p->root, "/tmp/stave-listen-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    (void)snprintf(p->path, sizeof p->path, "%s/c2s", p->root);
    p->mask = umask(0); /* nothing may rely on it */
    p->sockets.control = -1;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    svi_sockets_close(&p->sockets);
    (void)unlink(p->path);
    (void)umask(p->mask);
    assert_int_equal(rmdir(p->root), 0);
    free(p);
    return 0;
}

static int bound(const char *path, int type)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static bool connects(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    (void)close(fd);
    return ok;
}

static void refuses(place *p, sv_status wanted, const char *why)
{
    sv_err err = {.text = ""};
    struct stat before, after;
    assert_int_equal(lstat(p->path, &before), 0);
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &p->sockets, &err), wanted);
    if (strstr(err.text, why) == NULL) fail_msg("%s", err.text);
    assert_non_null(strstr(err.text, p->path));
    assert_int_equal(p->sockets.c2s_count, 0);
    assert_int_equal(lstat(p->path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void a_socket_comes_and_goes(void **state)
{
    place *p = *state;
    struct stat st;
    char name[SVI_SOCKET_NAME_BYTES], wanted[100];
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &p->sockets, NULL), SV_OK);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_uid, geteuid());
    assert_true(connects(p->path));
    assert_int_equal(p->sockets.c2s_count, 1);
    assert_false(p->sockets.c2s[0].is_direct);
    assert_true(fcntl(p->sockets.c2s[0].fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(p->sockets.c2s[0].fd, F_GETFL) & O_NONBLOCK);
    svi_socket_name(p->sockets.c2s[0].fd, name);
    (void)snprintf(wanted, sizeof wanted, "unix:%s", p->path);
    assert_string_equal(name, wanted);
    const mode_t now = umask(0);
    assert_int_equal(now, 0); /* as it was */
    svi_sockets_close(&p->sockets);
    assert_int_equal(lstat(p->path, &st), -1);
    assert_int_equal(errno, ENOENT);
}

/* What a killed server left behind. */
static void a_stale_socket_is_replaced(void **state)
{
    place *p = *state;
    (void)close(bound(p->path, SOCK_STREAM));
    assert_false(connects(p->path));
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &p->sockets, NULL), SV_OK);
    assert_true(connects(p->path));
    svi_sockets_close(&p->sockets);
    (void)close(bound(p->path, SOCK_DGRAM));
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &p->sockets, NULL), SV_OK);
    assert_true(connects(p->path));
}

static void what_is_in_use_stays(void **state)
{
    place *p = *state;
    int fd = bound(p->path, SOCK_STREAM);
    assert_int_equal(listen(fd, 0), 0);
    refuses(p, SV_EBUSY, "another program");
    refuses(p, SV_EBUSY, "another program"); /* its backlog is full by now */
    refuses(p, SV_EBUSY, "another program");
    (void)close(fd);
    (void)unlink(p->path);
    fd = bound(p->path, SOCK_DGRAM);
    refuses(p, SV_EBUSY, "another program");
    (void)close(fd);
    (void)unlink(p->path);
    /* our own, of another server */
    svi_sockets other = {.control = -1};
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &other, NULL), SV_OK);
    refuses(p, SV_EBUSY, "another program");
    svi_sockets_close(&other);
}

static void what_is_no_socket_stays(void **state)
{
    place *p = *state;
    const int fd = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    (void)close(fd);
    refuses(p, SV_EEXIST, "no socket");
    (void)unlink(p->path);
    /* nor is it looked for behind a link */
    char behind[100];
    (void)snprintf(behind, sizeof behind, "%s.stale", p->path);
    (void)close(bound(behind, SOCK_STREAM));
    assert_int_equal(symlink(behind, p->path), 0);
    refuses(p, SV_EEXIST, "no socket");
    (void)unlink(p->path);
    (void)unlink(behind);
    assert_int_equal(mkdir(p->path, 0700), 0);
    refuses(p, SV_EEXIST, "no socket");
    (void)rmdir(p->path);
    /* without a folder there is nothing */
    sv_err err = {.text = ""};
    assert_int_equal(svi_sockets_open_unix("/nowhere/at/all", NOBODY, &p->sockets, &err), SV_EIO);
    assert_non_null(strstr(err.text, "/nowhere/at/all: the folder"));
}

/* At the end only what was made here goes. */
static void what_others_made_meanwhile_stays(void **state)
{
    place *p = *state;
    struct stat st;
    assert_int_equal(svi_sockets_open_unix(p->path, NOBODY, &p->sockets, NULL), SV_OK);
    (void)unlink(p->path);
    const int fd = bound(p->path, SOCK_STREAM);
    svi_sockets_close(&p->sockets);
    assert_int_equal(lstat(p->path, &st), 0);
    (void)close(fd);
}

/* Another server is just about to make its own. */
static void servers_take_turns(void **state)
{
    place *p = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    (void)close(bound(p->path, SOCK_STREAM)); /* stale: both would replace it */
    const pid_t child = fork();
    if (child == 0) {
        const int folder = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (flock(folder, LOCK_EX) != 0 || write(ends[1], "x", 1) != 1) _exit(1);
        (void)unlink(p->path);
        const int fd = bound(p->path, SOCK_STREAM);
        (void)usleep(50000); /* bound, and not listening yet */
        if (listen(fd, 4) != 0) _exit(1);
        (void)close(folder);
        (void)pause();
        _exit(1);
    }
    char said;
    assert_int_equal(read(ends[0], &said, 1), 1);
    const sv_status status = svi_sockets_open_unix(p->path, NOBODY, &p->sockets, NULL);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    assert_int_equal(status, SV_EBUSY);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Root gives the socket to the worker's user; its group may be the folder's. */
static void the_owner_is_set(void **state)
{
    place *p = *state;
    struct stat st;
    if (geteuid() != 0) return;
    assert_int_equal(svi_sockets_open_unix(p->path, 4711, 4712, &p->sockets, NULL), SV_OK);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_int_equal(st.st_uid, 4711);
    assert_int_equal(st.st_gid, 4712);
    assert_int_equal(st.st_mode & 07777, 0660);
    svi_sockets_close(&p->sockets);
    assert_int_equal(chown(p->root, 0, 4713), 0);
    assert_int_equal(chmod(p->root, 02750), 0);
    assert_int_equal(svi_sockets_open_unix(p->path, 4711, 4712, &p->sockets, NULL), SV_OK);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_int_equal(st.st_uid, 4711);
    assert_int_equal(st.st_gid, 4713);
}

/* The control socket's path comes from the configuration, too: what is there and lives is not removed. */
static void the_control_socket(void **state)
{
    place *p = *state;
    struct stat st;
    sv_err err = {.text = ""};
    const bool is_root = geteuid() == 0;
    const int file = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    (void)close(file);
    assert_int_equal(svi_sockets_open_control(p->path, NOBODY, &p->sockets, &err), SV_EEXIST);
    assert_non_null(strstr(err.text, "/c2s is there and is no socket: remove it, or correct control_socket"));
    assert_int_equal(unlink(p->path), 0);
    const int other = bound(p->path, SOCK_STREAM);
    assert_int_equal(listen(other, 1), 0);
    assert_int_equal(svi_sockets_open_control(p->path, NOBODY, &p->sockets, &err), SV_EBUSY);
    assert_non_null(strstr(err.text, "correct control_socket"));
    assert_true(connects(p->path));
    (void)close(other); /* which leaves a stale one */
    assert_int_equal(svi_sockets_open_control(p->path, is_root ? 4711 : (uid_t)-1,
                                              is_root ? 4712 : (gid_t)-1, &p->sockets, &err),
                     SV_OK);
    assert_true(connects(p->path));
    assert_int_equal(lstat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    if (is_root) {
        assert_int_equal(st.st_uid, 4711);
        assert_int_equal(st.st_gid, 4712);
    }
}

/* Unix sockets alone are enough, and one that fails takes the others with it. */
static void ports_are_not_needed(void **state)
{
    place *p = *state;
    struct stat st;
    char bad[100];
    sv_err err = {.text = ""};
    svi_settings settings = {.log_level = SV_INFO};
    assert_int_equal(svi_sockets_open(&settings, NOBODY, &p->sockets, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "nothing to listen on"));
    (void)snprintf(bad, sizeof bad, "%s/none/c2s", p->root);
    sv_str paths[2] = {sv_str_of(p->path), sv_str_of(bad)};
    settings.c2s_unix_sockets = (sv_str_list){.items = paths, .count = 1};
    assert_int_equal(svi_sockets_open(&settings, NOBODY, &p->sockets, &err), SV_OK);
    assert_int_equal(p->sockets.c2s_count, 1);
    assert_true(connects(p->path));
    svi_sockets_close(&p->sockets);
    settings.c2s_unix_sockets.count = 2;
    assert_int_equal(svi_sockets_open(&settings, NOBODY, &p->sockets, &err), SV_EIO);
    assert_int_equal(p->sockets.c2s_count, 0);
    assert_int_equal(lstat(p->path, &st), -1);
}

static void names_of_sockets(void **state)
{
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[SVI_SOCKET_NAME_BYTES];
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    svi_socket_name(fd, name);
    assert_string_equal(name, "unix:");
    (void)snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "stave-%ld", (long)getpid());
    const socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                    strlen(at.sun_path + 1));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    svi_socket_name(fd, name);
    assert_true(strncmp(name, "unix:@stave-", 12) == 0);
    assert_int_equal(strlen(name), 6 + strlen(at.sun_path + 1));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_socket_comes_and_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_use_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_socket_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_made_meanwhile_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(servers_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_owner_is_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_control_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ports_are_not_needed, set_up, tear_down),
        cmocka_unit_test(names_of_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
