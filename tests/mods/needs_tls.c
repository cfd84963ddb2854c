/* Needs a module that is refused. */
#include <stave/module.h>

SV_MODULE(.name = "needs_tls", .summary = "Needs bad_tls", .after = "bad_tls")
