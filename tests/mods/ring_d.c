/* Waits for a circle without being in it. */
#include <stave/module.h>

SV_MODULE(.name = "ring_d", .summary = "Waits for ring_a", .after = "ring_a")
