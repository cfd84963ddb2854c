/* Assertions, on in production: a bug ends the worker with a report (house-style B.7).
 *
 * Who is blamed is in the execution context: module, hook and stanza head of what runs on this thread. */
#ifndef SVI_BASE_ASSERT_H
#define SVI_BASE_ASSERT_H

#include <stave/types.h>

/* Writes element, type and addresses of a stanza to `to`, NUL-terminated; never a body. A signal
 * handler calls it: it allocates nothing and waits for nothing. */
typedef void (*svi_exec_head_fn)(const void *of, char *to, size_t size);

/* Who runs on this thread right now. Set by the bus around each handler, read by log and crash report.
 * Plain static text or text that outlives the entry; a signal handler may read it. */
typedef struct svi_exec {
    const char *module; /* module name, NULL in the core */
    const char *hook;   /* hook text, NULL outside hooks */
    const char *host;   /* host served, NULL if none */
    uint64_t stanza;    /* ledger number of the stanza, 0 if none */
    svi_exec_head_fn head; /* what reports show of the stanza, NULL if none ... */
    const void *head_of;   /* ... is made of this when it is asked for: nearly never */
} svi_exec;

/* The head of the context's stanza, without control characters; "" if there is none, or while one is being
 * written (what asserts on the way there is reported without). Any thread; a signal handler may call it. */
void svi_exec_head(const svi_exec *exec, char *to, size_t size);

/* This thread's context; never NULL. */
svi_exec *svi_exec_now(void);

/* Called instead of abort() by a failed assertion when set; tests use it. It must not return. */
typedef void (*svi_assert_hook)(const char *expression, const char *file, int line);
void svi_assert_set_hook(svi_assert_hook hook);

/* Reports on standard error (what failed, where, module, hook, stanza head), then calls the hook or
 * abort(). A hook that returns ends in abort() as well. Any thread. */
_Noreturn void svi_assert_failed(const char *expression, const char *file, int line);

#define SV_ASSERT(e) ((e) ? (void)0 : svi_assert_failed(#e, __FILE__, __LINE__))

/* Structs that cross folders begin with `uint32_t magic`; SV_CHECK asserts that it is the right one. */
#define SV_CHECK(obj, want) SV_ASSERT((obj) != NULL && (obj)->magic == (want))

#endif
