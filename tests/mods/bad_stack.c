/* Linked so that the stacks of the whole process become executable. */
#include <stave/module.h>

SV_MODULE(.name = "bad_stack", .summary = "Makes stacks executable")
