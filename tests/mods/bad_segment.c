/* Has code that can be written to. */
#include <stave/module.h>

__asm__(".pushsection .wild,\"awx\",@progbits\n\t.quad 0\n\t.popsection");

SV_MODULE(.name = "bad_segment", .summary = "Has code that can be written to")
