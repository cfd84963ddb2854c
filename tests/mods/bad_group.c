/* Needs a group that there is not. */
#include <stave/module.h>

SV_MODULE(.name = "bad_group", .summary = "Needs what there is not", .needs = "comands 1")
