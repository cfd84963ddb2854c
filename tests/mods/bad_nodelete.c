/* Linked so that it is never unloaded, in test builds either. */
#include <stave/module.h>

SV_MODULE(.name = "bad_nodelete", .summary = "Can't be unloaded")
