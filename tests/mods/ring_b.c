/* One of a circle of three; a wish counts as well, if it is there. */
#include <stave/module.h>

SV_MODULE(.name = "ring_b", .summary = "Waits for ring_c", .after = "?ring_c")
