/* Runs code while it is loaded: must be refused before that. */
#include <stave/module.h>
#include <stdlib.h>

static __attribute__((constructor)) void at_load(void)
{
    abort();
}

SV_MODULE(.name = "bad_constructor", .summary = "Runs before its entry")
