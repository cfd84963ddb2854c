/* One of a circle of three. */
#include <stave/module.h>

SV_MODULE(.name = "ring_a", .summary = "Waits for ring_b", .after = "ring_b")
