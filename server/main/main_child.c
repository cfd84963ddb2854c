/* A child process that answers in JSON over a pipe. */
#include "main/main_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_str.h"
#include "mods/mods_command.h"

#define ANSWER_BYTES ((size_t)64 << 20)

/* In the child: never returns. */
static void answer(int fd, json_t *(*work)(void *ctx), void *ctx, unsigned limit_s)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(limit_s);
    json_t *json = work(ctx);
    (void)alarm(0);
    char *text = json_dumps(json, JSON_COMPACT);
    size_t left = text != NULL ? strlen(text) : 0;
    for (const char *at = text; left > 0;) {
        const ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += n;
        left -= (size_t)n;
    }
    _exit(left == 0 && text != NULL ? 0 : 1);
}

static json_t *read_answer(int fd)
{
    svi_acct acct = {.name = "child"};
    svi_buf text;
    svi_buf_init(&text, &acct);
    while (text.len < ANSWER_BYTES) {
        const ssize_t n = read(fd, svi_buf_space(&text, 65536), 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.len += (size_t)n;
    }
    json_t *json = text.len > 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    svi_buf_free(&text);
    return json;
}

static json_t *judge(int state, json_t *take_answer, unsigned limit_s, const char *what)
{
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0 && take_answer != NULL) return take_answer;
    json_decref(take_answer);
    if (WIFSIGNALED(state) && WTERMSIG(state) == SIGALRM)
        return svi_answer_fault(SV_FAULT_FAILED, "%s took longer than %u s and was ended", what, limit_s);
    if (WIFSIGNALED(state))
        return svi_answer_fault(SV_FAULT_FAILED, "%s crashed (signal %d, %s)", what, WTERMSIG(state), strsignal(WTERMSIG(state)));
    return svi_answer_fault(SV_FAULT_FAILED, "%s ended with status %d and no answer", what, WIFEXITED(state) ? WEXITSTATUS(state) : -1);
}

json_t *svi_in_child(json_t *(*work)(void *ctx), void *ctx, unsigned limit_s, const char *what)
{
    int ends[2], state = 0;
    if (pipe(ends) != 0) return svi_answer_fault(SV_FAULT_FAILED, "%s: no pipe: %s", what, strerror(errno));
    (void)fflush(NULL); /* what is not written yet would be written twice */
    const pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        answer(ends[1], work, ctx, limit_s);
    }
    (void)close(ends[1]);
    json_t *json = child > 0 ? read_answer(ends[0]) : NULL;
    (void)close(ends[0]);
    if (child < 0) return svi_answer_fault(SV_FAULT_FAILED, "%s: no process: %s", what, strerror(errno));
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    return judge(state, json, limit_s, what);
}
