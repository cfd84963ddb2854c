/* Where the log goes: a file that is opened, and opened again, without following what a worker's
 * user may have put there. */
#include "main/main_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_testing.h"

static svi_acct mem = {.name = "test"};
static char dir[64], file[80], other[80];
static svi_log *logs;
static sv_err err;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-log-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    (void)snprintf(file, sizeof file, "%s/file", dir);
    (void)snprintf(other, sizeof other, "%s/other", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_log_end(&logs);
    (void)remove(file);
    (void)remove(other);
    return rmdir(dir) == 0 && atomic_load(&mem.live_bytes) == 0 ? 0 : -1;
}

static sv_status start(const char *to)
{
    const svi_settings settings = {.log_to = sv_str_of(to), .log_level = SV_INFO};
    err = (sv_err){.text = ""};
    return svi_log_start(&mem, &settings, &logs, &err);
}

static void refuses(const char *why)
{
    assert_int_equal(start(file), SV_EIO);
    if (!strstr(err.text, file) || !strstr(err.text, why) || !strstr(err.text, "set log_to"))
        fail_msg("%s", err.text);
    assert_null(logs);
}

static void make_other(void)
{
    const int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    (void)alarm(10); /* a FIFO would wait for a reader */
    make_other();
    assert_int_equal(symlink(other, file), 0);
    refuses("is a link, which is not followed here");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(link(other, file), 0);
    refuses("has a second name");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    refuses("");
    const int reader = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    refuses("is no regular file");
    (void)close(reader);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    refuses("Is a directory");
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(start("/nowhere/at/all"), SV_EIO);
    assert_non_null(strstr(err.text, "log file /nowhere/at/all: No such file or directory; set"));
    (void)alarm(0);
}

static void test_reopen(void **state)
{
    (void)state;
    struct stat st;
    const mode_t mask = umask(0);
    assert_int_equal(start(file), SV_OK);
    (void)umask(mask);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_true(svi_log_is_file(logs));
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    svi_log_drain(logs);
    const off_t first = size_of(file);
    assert_true(first > 0);
    assert_int_equal(rename(file, other), 0);
    SV_LOG(SV_INFO, "login", LF_INT("n", 2)); /* still to the old one */
    svi_log_drain(logs);
    assert_int_equal(size_of(other), 2 * first);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_equal(svi_log_reopen(logs, &err), SV_EIO);
    SV_LOG(SV_INFO, "login", LF_INT("n", 3));
    svi_log_drain(logs);
    assert_int_equal(size_of(other), 3 * first);
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(svi_log_reopen(logs, &err), SV_OK);
    SV_LOG(SV_INFO, "login", LF_INT("n", 4));
    svi_log_drain(logs);
    assert_int_equal(size_of(file), first);
    assert_int_equal(size_of(other), 3 * first);
}

/* A worker goes on where the supervisor does. */
static void test_join(void **state)
{
    (void)state;
    char word[16];
    svi_log *joined = NULL;
    assert_int_equal(start(file), SV_OK);
    svi_log_word(logs, word);
    const int fd = fcntl(svi_log_fd(logs), F_DUPFD, 3); /* as exec() hands it on */
    (void)snprintf(word, sizeof word, "%d", fd);
    assert_int_equal(svi_log_join(&mem, word, &joined, &err), SV_OK);
    assert_true(svi_log_is_file(joined));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    svi_log_drain(joined);
    const off_t first = size_of(file);
    assert_true(first > 0);
    svi_log_take(joined, open(other, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    SV_LOG(SV_INFO, "login", LF_INT("n", 2));
    svi_log_drain(joined);
    assert_int_equal(size_of(file), first);
    assert_int_equal(size_of(other), first);
    svi_log_end(&joined);
    static const char *const bad[] = {"", "2", "-1", "x", "99999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(svi_log_join(&mem, bad[i], &joined, &err), SV_EINVAL);
    svi_log_end(&logs);
    assert_int_equal(start("stdout"), SV_OK);
    svi_log_word(logs, word);
    assert_string_equal(word, "stdout");
    assert_int_equal(svi_log_fd(logs), -1);
}

static void test_daemon_away(void **state)
{
    (void)state;
    assert_int_equal(setenv("STAVE_SYSLOG_SOCKET", file, 1), 0);
    assert_int_equal(start("syslog"), SV_EIO);
    assert_non_null(strstr(err.text, "log_to is \"syslog\", but nobody takes lines at "));
    assert_non_null(strstr(err.text, "start that daemon first, or set log_to"));
    assert_int_equal(unsetenv("STAVE_SYSLOG_SOCKET"), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_what_is_no_file),
        T(test_reopen),
        T(test_join),
        T(test_daemon_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
