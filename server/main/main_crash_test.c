/* Crash reports: their text, what is read back, waiting times behind crashes. */
#include "main/main_crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "main/main_backoff.h"

static void head_text(const void *of, char *to, size_t size)
{
    (void)snprintf(to, size, "%s", (const char *)of);
}

static void test_text(void **state)
{
    (void)state;
    char path[] = "/tmp/stave-crash-XXXXXX";
    const int fd = mkstemp(path);
    svi_exec exec = {.module = "ping",
                     .hook = "iq-get/account {urn:xmpp:ping}ping",
                     .host = "a.example",
                     .stanza = 17};
    exec.head = head_text;
    exec.head_of = "iq get \x1b[31m to a@b\nforged: line";
    svi_crash_write(fd, SIGSEGV, &exec, "x > 0 (a.c:5)");
    char text[8192] = "";
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "\nsignal: SEGV\nassertion: x > 0 (a.c:5)\nmodule: ping\n"));
    assert_non_null(strstr(text, "\nstanza: 17\ncalls:\n"));
    assert_non_null(strstr(text, "main_crash_test")); /* addresses in this program */
    assert_non_null(strstr(text, "\nhead: iq get ?[31m to a@b?forged: line\n"));
    svi_crash_info info;
    assert_true(svi_crash_read(path, &info));
    assert_string_equal(info.module, "ping");
    assert_string_equal(info.hook, "iq-get/account {urn:xmpp:ping}ping");
    assert_string_equal(info.host, "a.example");
    assert_string_equal(info.assertion, "x > 0 (a.c:5)");
    (void)close(fd);
    (void)unlink(path);
    assert_false(svi_crash_read(path, &info));
    assert_string_equal(info.module, "");
}

static void test_nobody(void **state)
{
    (void)state;
    char path[] = "/tmp/stave-crash-XXXXXX";
    const int fd = mkstemp(path);
    const svi_exec exec = {.host = "h\x1b[2J"}; /* of whatever: nothing steers a terminal */
    svi_crash_write(fd, SIGABRT, &exec, NULL);
    (void)close(fd);
    svi_crash_info info;
    assert_true(svi_crash_read(path, &info));
    assert_string_equal(info.module, "");
    assert_string_equal(info.host, "h?[2J");
    assert_string_equal(info.assertion, "");
    (void)unlink(path);
}

/* In a process of its own; returns how it ended. */
static int die_in_child(const char *file, bool by_assertion)
{
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        svi_crash_install(file);
        svi_exec_now()->module = "culprit";
        if (by_assertion) SV_ASSERT(1 + 1 == 3);
        (void)raise(SIGSEGV);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_handler(void **state)
{
    (void)state;
    char dir[] = "/tmp/stave-crash-XXXXXX", file[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/report", dir);
    svi_crash_info info;
    struct stat st;

    int status = die_in_child(file, false);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_true(svi_crash_read(file, &info));
    assert_string_equal(info.module, "culprit");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)unlink(file);

    status = die_in_child(file, true);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_true(svi_crash_read(file, &info));
    assert_non_null(strstr(info.assertion, "1 + 1 == 3 ("));
    (void)unlink(file);
    assert_int_equal(rmdir(dir), 0);
}

/* The reader is root's, the folder is not: what lies in a report's place must neither hold it nor
 * be followed. */
static void test_what_is_no_report(void **state)
{
    (void)state;
    char dir[] = "/tmp/stave-crash-XXXXXX", file[64], link[64];
    svi_crash_info info;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/fifo", dir);
    (void)snprintf(link, sizeof link, "%s/link", dir);
    assert_int_equal(mkfifo(file, 0600), 0);
    (void)alarm(5); /* it would wait for a writer */
    assert_false(svi_crash_read(file, &info));
    (void)alarm(0);
    (void)unlink(file);
    const int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    for (int i = 0; i < 100; i++) assert_int_equal(write(fd, "other: x\n", 9), 9);
    assert_int_equal(write(fd, "module: late\n", 13), 13);
    (void)close(fd);
    assert_int_equal(symlink(file, link), 0);
    assert_false(svi_crash_read(link, &info));
    assert_true(svi_crash_read(file, &info));
    assert_string_equal(info.module, ""); /* not for ever */
    (void)unlink(link);
    (void)unlink(file);
    assert_int_equal(rmdir(dir), 0);
}

static void test_backoff(void **state)
{
    (void)state;
    static const int64_t wanted[] = {0, 0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    svi_backoff b = {.crashes = 0};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_int_equal(svi_backoff_died(&b, 100, false), wanted[i]);
    assert_int_equal(svi_backoff_died(&b, 60000, false), 0); /* it had lived: begins anew */
    assert_int_equal(svi_backoff_died(&b, 100, true), 1000);
    assert_int_equal(svi_backoff_died(&b, 100, true), -1);
    b = (svi_backoff){.crashes = 0};
    assert_int_equal(svi_backoff_died(&b, 100, true), 1000);
    assert_int_equal(svi_backoff_died(&b, 90000, true), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_handler),
        cmocka_unit_test(test_what_is_no_report),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
