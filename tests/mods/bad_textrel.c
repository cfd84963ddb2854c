/* Has an address in its code that the loader must fill in. */
#include <stave/module.h>

__attribute__((used)) static int here;
__asm__(".pushsection .text\n\t.balign 8\n\t.quad here\n\t.popsection");

SV_MODULE(.name = "bad_textrel", .summary = "Has text relocations")
