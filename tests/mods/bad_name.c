/* Calls itself by another name than its file's. */
#include <stave/module.h>

SV_MODULE(.name = "other", .summary = "Under a false name")
