/* Half of a circle: waits for loop_b, which waits for it. */
#include <stave/module.h>

SV_MODULE(.name = "loop_a", .summary = "Waits for loop_b", .after = "loop_b")
