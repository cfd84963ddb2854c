/* Linked with a library that has threads, loops and descriptors. */
#include <stave/module.h>

SV_MODULE(.name = "bad_library", .summary = "Needs a library")
