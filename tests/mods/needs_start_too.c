/* Needs one that needs a module that does not start. */
#include <stave/module.h>

SV_MODULE(.name = "needs_start_too", .summary = "Needs needs_start", .after = "ping needs_start")
