/* Needs a newer version of a group than there is. */
#include <stave/module.h>

SV_MODULE(.name = "bad_needs", .summary = "Needs what is to come", .needs = "commands 1, store 99")
