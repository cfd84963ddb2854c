/* A failed assertion names who ran, keeps controls off the terminal, and never returns. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_testing.h"

static void check_null(void *arg)
{
    const struct {
        uint32_t magic;
    } *obj = arg;
    SV_CHECK(obj, 7u);
}

static void check_tells_right_from_wrong(void **state)
{
    (void)state;
    uint32_t right = 7, wrong = 8;
    assert_false(aborts(check_null, &right));
    assert_true(aborts(check_null, &wrong));
    assert_true(aborts(check_null, NULL));
}

/* Runs a failing assertion in a child, returns how it ended, with its standard error in `text`. */
static int fails_in_child(char *text, size_t size, bool hook_returns);

static void hook_that_returns(const char *expression, const char *file, int line)
{
    (void)expression;
    (void)file;
    (void)line;
}

static void head_text(const void *of, char *to, size_t size)
{
    snprintf(to, size, "%s", (const char *)of);
}

static _Noreturn void child(int error_fd, bool hook_returns)
{
    dup2(error_fd, STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);
    if (hook_returns) svi_assert_set_hook(hook_that_returns);
    svi_exec *now = svi_exec_now();
    now->module = "roster";
    now->hook = "iq-set/account";
    now->stanza = 4711;
    now->head = head_text;
    now->head_of = "<iq> from a\r\n\x1b[31mb@localhost";
    SV_ASSERT(1 + 1 == 3);
    _exit(0);
}

static int fails_in_child(char *text, size_t size, bool hook_returns)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) child(ends[1], hook_returns);
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void report_names_who_ran(void **state)
{
    (void)state;
    char text[4096];
    const int status = fails_in_child(text, sizeof text, false);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "1 + 1 == 3"));
    assert_non_null(strstr(text, "base_assert_test.c"));
    assert_non_null(strstr(text, "module roster hook iq-set/account host - stanza 4711"));
    assert_non_null(strstr(text, "<iq> from a???[31mb@localhost\n"));
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\r'));
}

static void hook_that_returns_ends_in_abort(void **state)
{
    (void)state;
    char text[4096];
    const int status = fails_in_child(text, sizeof text, true);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void *other_thread(void *seen_out)
{
    *(bool *)seen_out = svi_exec_now()->module != NULL;
    svi_exec_now()->module = "other";
    return NULL;
}

static void context_is_per_thread(void **state)
{
    (void)state;
    svi_exec_now()->module = "here";
    bool seen = true;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(seen);
    assert_string_equal(svi_exec_now()->module, "here");
    svi_exec_now()->module = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_tells_right_from_wrong),
        cmocka_unit_test(report_names_who_ran),
        cmocka_unit_test(hook_that_returns_ends_in_abort),
        cmocka_unit_test(context_is_per_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
