/* The commands about upgrades: which versions the records of modules have, that an upgrade is finished,
 * and whether older records are left (doc/decisions/016-schemas.md). */
#ifndef SVI_MAIN_UPGRADE_H
#define SVI_MAIN_UPGRADE_H

#include "main/main_core.h"

/* The parts of a map's name, "host/module/map"; borrowed from it. */
typedef struct svi_map_parts {
    sv_str host, module, map;
} svi_map_parts;
/* False for a map of the core, which has no module. */
bool svi_map_parts_of(sv_str name, svi_map_parts *parts_out);

/* `stave upgrade status`, `finish` and `look` (main_core.c). They end the request; the second one when
 * what it changed is durable, the third one when all is read. Router thread. */
void svi_command_upgrade_status(svi_commands *commands, svi_request *request);
void svi_command_upgrade_finish(svi_commands *commands, svi_request *request);
void svi_command_upgrade_look(svi_commands *commands, svi_request *request);

#endif
