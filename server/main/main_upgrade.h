/* The commands about upgrades: which versions the records of modules have, and that an upgrade is
 * finished (doc/decisions/016-schemas.md). */
#ifndef SVI_MAIN_UPGRADE_H
#define SVI_MAIN_UPGRADE_H

#include "main/main_core.h"

/* `stave upgrade status` and `upgrade finish` (main_core.c). They end the request; the second one when
 * what it changed is durable. Router thread. */
void svi_command_upgrade_status(svi_commands *commands, svi_request *request);
void svi_command_upgrade_finish(svi_commands *commands, svi_request *request);

#endif
