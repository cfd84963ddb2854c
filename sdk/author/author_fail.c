/* How stave-sdk says no. */
#include "author.h"

#include <stdarg.h>
#include <stdio.h>

int svi_author_fail(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("stave: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return status;
}
