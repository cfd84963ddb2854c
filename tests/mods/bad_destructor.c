/* Leaves code to run when it is unloaded. */
#include <stave/module.h>
#include <stdlib.h>

static __attribute__((destructor)) void at_end(void)
{
    abort();
}

SV_MODULE(.name = "bad_destructor", .summary = "Runs after its end")
