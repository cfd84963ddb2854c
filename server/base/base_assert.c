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

/* The stanza's head holds what a peer wrote: nothing of it may steer the operator's terminal. */
static void without_controls(char to[96], const char from[96])
{
    size_t n = 0;
    for (; n < 95 && from[n] != '\0'; n++) {
        const unsigned char c = (unsigned char)from[n];
        to[n] = c < 0x20 || c >= 0x7f ? '?' : from[n];
    }
    to[n] = '\0';
}

static const char *or_none(const char *text)
{
    return text != NULL ? text : "-";
}

static void report(const char *expression, const char *file, int line)
{
    const svi_exec *now = svi_exec_now();
    char head[96], text[1024];
    without_controls(head, now->head);
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
