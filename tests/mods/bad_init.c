/* Has a start function in place of the compiler's. */
#include <stave/module.h>
#include <stdlib.h>

void begin_here(void);
__attribute__((used)) void begin_here(void)
{
    abort();
}

SV_MODULE(.name = "bad_init", .summary = "Has a start function of its own")
