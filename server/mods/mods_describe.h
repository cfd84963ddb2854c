/* What a module's file is and may do, told without a server: `stave check-module`. */
#ifndef SVI_MODS_DESCRIBE_H
#define SVI_MODS_DESCRIBE_H

#include <jansson.h>

#include "base/base_mem.h"

/* Checks the file as the loader does and asks it for its description; nothing of it is started. The answer
 * (a new reference) has "file" and "ok"; if that is false "error", else what the module declares: "name",
 * "summary", "interface", "groups" (of the table, that it needs), "needs" (modules, as in `after`), "hooks",
 * "options", "commands", "features", "account-features", "stream-features", "self-bytes"; and "calls": what it takes from libraries. */
json_t *svi_mods_describe(svi_acct *acct, const char *path);

#endif
