/* Half of a circle: waits for loop_a, which waits for it. */
#include <stave/module.h>

SV_MODULE(.name = "loop_b", .summary = "Waits for loop_a", .after = "loop_a")
