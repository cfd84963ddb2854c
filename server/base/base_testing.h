/* For unit tests: cmocka with what it needs before it, and a way to see that a call ends in an assertion. */
#ifndef SVI_BASE_TESTING_H
#define SVI_BASE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_assert.h"

static jmp_buf testing_back;
static const char *testing_expression; /* of the assertion that failed last */

static inline void testing_hook(const char *expression, const char *file, int line)
{
    (void)file;
    (void)line;
    testing_expression = expression;
    longjmp(testing_back, 1);
}

/* True if `call(arg)` failed an assertion. */
static inline bool aborts(void (*call)(void *), void *arg)
{
    svi_assert_set_hook(testing_hook);
    const bool failed = setjmp(testing_back) != 0;
    if (!failed) call(arg);
    svi_assert_set_hook(NULL);
    return failed;
}

/* The file has this text now. */
static inline void testing_write(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    assert_int_equal(fclose(out), 0);
}

/* An sv_str against a literal. */
#define assert_text(s, lit)                                                                        \
    do {                                                                                           \
        const sv_str seen_ = (s);                                                                  \
        assert_int_equal(seen_.n, sizeof(lit) - 1);                                                \
        if (seen_.n > 0) assert_memory_equal(seen_.p, lit, sizeof(lit) - 1);                       \
    } while (0)

#endif
