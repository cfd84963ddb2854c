/* What happens when an assertion fails: a report that names who ran, then the hook or abort(). */
#include "base/base_assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic(svi_assert_hook) hook_set;

svi_exec *svi_exec_now(void)
{
    static _Thread_local svi_exec now;
    return &now;
}

void svi_assert_set_hook(svi_assert_hook hook)
{
    atomic_store(&hook_set, hook);
}

void svi_exec_head(const svi_exec *exec, char *to, size_t size)
{
    static _Thread_local bool is_writing;
    SV_ASSERT(size > 0);
    to[0] = '\0';
    if (exec->head == NULL || is_writing) return;
    is_writing = true;
    exec->head(exec->head_of, to, size);
    is_writing = false;
    /* it holds what a peer wrote: nothing of it may steer the operator's terminal */
    for (char *c = to; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) *c = '?';
}

static const char *or_none(const char *text)
{
    return text != NULL ? text : "-";
}

static void report(const char *expression, const char *file, int line)
{
    const svi_exec *now = svi_exec_now();
    char head[96], text[1024];
    svi_exec_head(now, head, sizeof head);
    const int n =
        snprintf(text, sizeof text,
                 "stave: assertion failed: %s (%s:%d) module %s hook %s host %s stanza %llu %s\n",
                 expression, file, line, or_none(now->module), or_none(now->hook),
                 or_none(now->host), (unsigned long long)now->stanza, head);
    if (n <= 0) return;
    const size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (write(STDERR_FILENO, text, len) < 0) return; /* nowhere left to say it */
}

_Noreturn void svi_assert_failed(const char *expression, const char *file, int line)
{
    report(expression, file, line);
    const svi_assert_hook hook = atomic_load(&hook_set);
    if (hook != NULL) hook(expression, file, line);
    abort();
}
