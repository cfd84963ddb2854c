/* What one release hands to the next: words of an environment variable, and descriptors. */
#include "main/main_takeover.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_testing.h"

static int a_socket(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    return fd;
}

static svi_takeover taken;

static sv_status read_words(const char *words)
{
    char text[1024];
    sv_err err = {.text = ""};
    (void)snprintf(text, sizeof text, "pid=%d %s", (int)getpid(), words);
    assert_int_equal(setenv(SVI_TAKEOVER_VARIABLE, text, 1), 0);
    const sv_status status = svi_takeover_read(&taken, &err);
    assert_null(getenv(SVI_TAKEOVER_VARIABLE)); /* no child sees it */
    assert_true((status == SV_OK) == (err.text[0] == '\0'));
    return status;
}

static void test_words(void **state)
{
    (void)state;
    char words[512];
    const int lock = open("/dev/null", O_RDONLY), control = a_socket(), one = a_socket(), two = a_socket();
    (void)snprintf(words, sizeof words,
                   "1 lock=%d control=%d from=0.9 later=word binary=%d listen=%d listen-tls=%d failed=because it = so", lock,
                   control, lock, one, two);
    assert_int_equal(read_words(words), SV_OK);
    assert_true(taken.is_there);
    assert_int_equal(taken.lock, lock);
    assert_int_equal(taken.binary, lock);
    assert_int_equal(taken.sockets.control, control);
    assert_int_equal(taken.sockets.c2s_count, 2);
    assert_int_equal(taken.sockets.c2s[0].fd, one);
    assert_false(taken.sockets.c2s[0].is_direct);
    assert_int_equal(taken.sockets.c2s[1].fd, two);
    assert_true(taken.sockets.c2s[1].is_direct);
    assert_string_equal(taken.from, "0.9");
    assert_string_equal(taken.failed, "because it = so");
    assert_int_equal(fcntl(one, F_GETFD), FD_CLOEXEC); /* the worker's are chosen one by one */
    assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);

    (void)snprintf(words, sizeof words, "2 lock=%d control=%d listen=%d", lock, control, one);
    assert_int_equal(read_words(words), SV_EINVAL); /* another way of doing it */
    (void)snprintf(words, sizeof words, "1 control=%d listen=%d", control, one);
    assert_int_equal(read_words(words), SV_EINVAL);
    (void)snprintf(words, sizeof words, "1 lock=%d control=%d", lock, control);
    assert_int_equal(read_words(words), SV_EINVAL);
    (void)snprintf(words, sizeof words, "1 lock=%d control=%d listen=%d", lock, control, lock);
    assert_int_equal(read_words(words), SV_EINVAL); /* no socket */
    (void)snprintf(words, sizeof words, "1 lock=%d control=%d listen=9999", lock, control);
    assert_int_equal(read_words(words), SV_EINVAL);
    assert_false(taken.is_there);
    assert_int_equal(taken.sockets.c2s_count, 0);
    (void)close(lock), (void)close(control), (void)close(one), (void)close(two);
}

static void test_not_ours(void **state)
{
    (void)state;
    sv_err err = {.text = ""};
    assert_int_equal(setenv(SVI_TAKEOVER_VARIABLE, "pid=1 1 lock=0 control=0 listen=0", 1), 0);
    assert_int_equal(svi_takeover_read(&taken, &err), SV_OK);
    assert_false(taken.is_there);
    assert_false(svi_takeover_is_trial());
    assert_int_equal(setenv(SVI_TAKEOVER_VARIABLE, "check", 1), 0);
    assert_true(svi_takeover_is_trial());
    assert_int_equal(unsetenv(SVI_TAKEOVER_VARIABLE), 0);
    assert_false(svi_takeover_is_trial());
    const svi_takeover_hand hand = {.path = "stave", .config = "c", .lock = -1, .sockets = &taken.sockets};
    assert_int_equal(svi_takeover_back(&taken, &hand, &err), SV_ENOTFOUND);
}

/* A script as the binary. */
static sv_status try_script(const char *script, char version[32], sv_err *err)
{
    char path[] = "/tmp/stave-takeover-XXXXXX";
    svi_tryout tryout;
    int status;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", script) > 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    (void)close(fd);
    assert_int_equal(svi_tryout_begin(path, "some.cfg.lua", 0, &tryout, err), SV_OK);
    while (tryout.out >= 0) {
        struct pollfd one = {.fd = tryout.out, .events = POLLIN};
        (void)poll(&one, 1, -1);
        svi_tryout_hear(&tryout);
    }
    assert_int_equal(waitpid(tryout.pid, &status, 0), tryout.pid);
    (void)unlink(path);
    return svi_tryout_end(&tryout, status, version, err);
}

static void test_tryout(void **state)
{
    (void)state;
    char version[32] = "";
    sv_err err = {.text = ""};
    assert_int_equal(try_script("test \"$STAVE_TAKEOVER $*\" = 'check serve --config some.cfg.lua' && seq 1 5000 && "
                                "echo stave takes over 1 7.8.9",
                                version, &err),
                     SV_OK);
    assert_string_equal(version, "7.8.9");
    assert_int_equal(try_script("echo stave takes over 2 7.8.9", version, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "restart the server with it instead"));
    assert_int_equal(try_script("echo stave takes over 1 7.8.9; exit 1", version, &err), SV_EINVAL);
    assert_int_equal(try_script("echo stave takes over 1 7.8.9; echo more", version, &err), SV_EINVAL);
    assert_int_equal(try_script("echo one; echo two >&2; exit 3", version, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "status 3"));
    assert_non_null(strstr(err.text, ": one two"));
    assert_int_equal(try_script("kill -9 $$", version, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "signal 9"));
    svi_tryout tryout;
    assert_int_equal(svi_tryout_begin("/nowhere/stave", "c", 0, &tryout, &err), SV_ENOTFOUND);
}

/* What hangs is ended, and told so. */
static void test_too_long(void **state)
{
    (void)state;
    int status;
    char version[32];
    svi_tryout tryout;
    sv_err err = {.text = ""};
    assert_int_equal(svi_tryout_begin("/bin/sleep", "c", 5, &tryout, &err), SV_OK);
    assert_true(tryout.until_ms > 5);
    svi_tryout_kill(&tryout);
    assert_int_equal(waitpid(tryout.pid, &status, 0), tryout.pid);
    assert_int_equal(svi_tryout_end(&tryout, status, version, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "did not end within"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_tryout),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
