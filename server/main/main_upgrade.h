/* The commands about upgrades: which versions the records of modules have, that an upgrade is finished,
 * and whether older records are left (doc/decisions/016-schemas.md). */
#ifndef SVI_MAIN_UPGRADE_H
#define SVI_MAIN_UPGRADE_H

#include "main/main_core.h"

/* `stave upgrade status`, `finish` and `look` (main_core.c). They end the request; the second one when
 * what it changed is durable, the third one when all is read. Router thread. */
void svi_command_upgrade_status(svi_commands *commands, svi_request *request);
void svi_command_upgrade_finish(svi_commands *commands, svi_request *request);
void svi_command_upgrade_look(svi_commands *commands, svi_request *request);

#endif
