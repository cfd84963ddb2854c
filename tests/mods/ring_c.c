/* One of a circle of three. */
#include <stave/module.h>

SV_MODULE(.name = "ring_c", .summary = "Waits for ring_a", .after = "?ping ring_a")
