/* The log's writer: who logs never waits, what can't be written is tried again or counted, a
 * switched file loses no line. */
#include "main/main_logger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_testing.h"

static svi_acct mem = {.name = "test"};
static svi_logger *logger;
static char dir[64], path[96], text[1 << 16];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stave-logger-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    (void)snprintf(path, sizeof path, "%s/log", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_logger_close(&logger, 2000);
    (void)unlink(path);
    return rmdir(dir) == 0 && atomic_load(&mem.live_bytes) == 0 ? 0 : -1;
}

static void begin(svi_logger_kind kind, int fd, size_t room)
{
    sv_err err = {.text = ""};
    const svi_logger_config config = {
        .acct = &mem, .kind = kind, .fd = fd, .path = path, .room = room};
    assert_int_equal(svi_logger_open(&config, &logger, &err), SV_OK);
    svi_log_setup(SV_INFO, kind == SVI_LOGGER_JOURNALD ? SVI_LOG_JOURNAL : SVI_LOG_TEXT,
                  svi_logger_sink, logger, NULL, NULL);
}

/* Room of a page, which is what POLLOUT means for a pipe. */
static void small_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
}

/* Reads on until `wanted` came; what came in all is in `text`. */
static void read_until(int fd, const char *wanted)
{
    size_t n = strlen(text);
    while (!strstr(text, wanted)) {
        const ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        text[n] = '\0';
    }
}

static size_t lines_with(const char *words)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at += strlen(words)) count++;
    return count;
}

/* A pipe that nobody reads: thousands of lines are taken at once; the ones without room are
 * counted, and the rest comes in order when somebody reads at last. */
static void test_unread(void **state)
{
    (void)state;
    int ends[2];
    text[0] = '\0';
    small_pipe(ends);
    begin(SVI_LOGGER_STREAM, ends[1], 16384);
    (void)alarm(20); /* whoever waits here waits for ever */
    for (int i = 0; i < 3000; i++) SV_LOG(SV_INFO, "login", LF_INT("number", i));
    assert_false(svi_logger_drain(logger, 10));
    read_until(ends[0], "log-dropped lines=");
    const size_t kept = lines_with(" login number=");
    const char *dropped = strstr(text, "log-dropped lines=") + strlen("log-dropped lines=");
    assert_true(kept > 100 && kept < 1000);
    assert_int_equal(strtol(dropped, NULL, 10), 3000 - (long)kept);
    long before = -1;
    for (const char *at = text; (at = strstr(at, " login number=")) != NULL; at++) {
        char *end;
        const long number = strtol(at + strlen(" login number="), &end, 10);
        assert_int_equal(*end, '\n'); /* whole, and in their order */
        assert_true(number > before);
        before = number;
    }
    SV_LOG(SV_INFO, "login", LF_TXT("last", "one"));
    read_until(ends[0], "last=one\n");
    assert_int_equal(lines_with("log-dropped"), 1);
    (void)alarm(0);
    (void)close(ends[0]);
}

/* A thread that hangs in its write does not keep the process from ending. */
static void test_closing_while_stuck(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int ends[2];
        (void)alarm(20);
        small_pipe(ends);
        begin(SVI_LOGGER_STREAM, ends[1], 65536);
        for (int i = 0; i < 500; i++) SV_LOG(SV_INFO, "login", LF_INT("number", i));
        svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
        svi_logger_close(&logger, 20);
        _exit(logger == NULL ? 42 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

/* Nobody reads any more: no busy loop, no line about lost lines that is lost itself. */
static void test_reader_gone(void **state)
{
    (void)state;
    int ends[2];
    (void)signal(SIGPIPE, SIG_IGN);
    small_pipe(ends);
    (void)close(ends[0]);
    begin(SVI_LOGGER_STREAM, ends[1], 16384);
    for (int i = 0; i < 10; i++) SV_LOG(SV_INFO, "login", LF_INT("number", i));
    assert_true(svi_logger_drain(logger, 5000));
}

static void read_file(const char *name)
{
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    const ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    (void)close(fd);
}

/* Each line is in one of the two files, whole. */
static void test_switch(void **state)
{
    (void)state;
    char old[100];
    size_t count = 0;
    (void)snprintf(old, sizeof old, "%s.old", path);
    begin(SVI_LOGGER_STREAM, open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600), 65536);
    for (int i = 0; i < 200; i++) SV_LOG(SV_INFO, "login", LF_INT("number", i));
    assert_int_equal(rename(path, old), 0);
    svi_logger_switch(logger, open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    SV_LOG(SV_INFO, "login", LF_INT("number", 200));
    assert_true(svi_logger_drain(logger, 5000));
    read_file(path);
    assert_int_equal(lines_with("number=200\n"), 1);
    count = lines_with(" login number=");
    read_file(old);
    assert_int_equal(count + lines_with(" login number="), 201);
    (void)unlink(old);
}

static int daemon_at(const char *at)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, at, strlen(at));
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

static void receive(int fd)
{
    const ssize_t n = recv(fd, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
}

/* RFC 3164 4.1 without a host, as a local daemon expects it; one that is away for a while gets
 * everything later. */
static void test_syslog(void **state)
{
    (void)state;
    int fd = daemon_at(path);
    begin(SVI_LOGGER_SYSLOG, -1, 65536);
    SV_LOG(SV_ERROR, "store-failed", LF_TXT("why", "a b"));
    receive(fd);
    char month[4], wanted[100];
    int day, hour, minute, second, pid;
    assert_int_equal(sscanf(text, "<27>%3s %d %d:%d:%d stave[%d]: ", month, &day, &hour, &minute,
                            &second, &pid),
                     6);
    assert_int_equal(pid, getpid());
    (void)snprintf(wanted, sizeof wanted, "stave[%d]: store-failed why=\"a b\"", pid);
    assert_string_equal(strstr(text, "stave["), wanted);
    (void)close(fd), (void)unlink(path);
    SV_LOG(SV_WARN, "store-slow", LF_INT("ms", 1));
    SV_LOG(SV_INFO, "login", LF_INT("n", 2));
    assert_false(svi_logger_drain(logger, 20));
    fd = daemon_at(path);
    receive(fd);
    assert_int_equal(strncmp(text, "<28>", 4), 0);
    assert_non_null(strstr(text, "store-slow ms=1"));
    receive(fd);
    assert_int_equal(strncmp(text, "<30>", 4), 0);
    (void)close(fd);
}

static void test_journald(void **state)
{
    (void)state;
    const int fd = daemon_at(path);
    begin(SVI_LOGGER_JOURNALD, -1, 65536);
    SV_LOG(SV_DEBUG, "login", LF_INT("n", 1)); /* not of this level */
    SV_LOG(SV_INFO, "login", LF_INT("n", 2));
    receive(fd);
    assert_string_equal(text, "SYSLOG_IDENTIFIER=stave\nPRIORITY=6\nMESSAGE=login n=2\n"
                              "STAVE_EVENT=login\nSTAVE_N=2\n");
    (void)close(fd);
}

static void test_prefixed(void **state)
{
    (void)state;
    int ends[2];
    text[0] = '\0';
    small_pipe(ends);
    begin(SVI_LOGGER_PREFIXED, ends[1], 65536);
    SV_LOG(SV_WARN, "login", LF_INT("n", 1));
    read_until(ends[0], "\n");
    assert_string_equal(text, "<4>login n=1\n");
    (void)close(ends[0]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_unread), T(test_closing_while_stuck), T(test_reader_gone), T(test_switch),
        T(test_syslog), T(test_journald),            T(test_prefixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
