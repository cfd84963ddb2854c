/* Puts code into the compiler's own start function. */
#include <stave/module.h>
#include <stdlib.h>

__attribute__((used)) static void at_load(void)
{
    abort();
}
__asm__(".pushsection .init,\"ax\"\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\t.popsection");

SV_MODULE(.name = "bad_init_code", .summary = "Adds to the start function")
