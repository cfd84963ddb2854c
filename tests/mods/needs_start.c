/* Needs a module that does not start. */
#include <stave/module.h>

SV_MODULE(.name = "needs_start", .summary = "Needs bad_start", .after = "bad_start")
