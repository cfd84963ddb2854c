/* Linked with a folder of its own for libraries. */
#include <stave/module.h>

SV_MODULE(.name = "bad_rpath", .summary = "Says where libraries lie")
