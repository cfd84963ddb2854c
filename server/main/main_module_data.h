/* What modules have stored, whether they are enabled or not: counted and deleted, a few owners at a time between other events. */
#ifndef SVI_MAIN_MODULE_DATA_H
#define SVI_MAIN_MODULE_DATA_H

#include "main/main_core.h"

/* Columns of "module data". */
extern const sv_column svi_module_data_columns[];

/* `stave module data NAME`: a record for each map of the module, with its owners, rows and bytes of values. Counting one map
 * ends after some seconds, then `counted` is "at least" instead of "all". Ends the request. Router thread. */
void svi_command_module_data(svi_commands *commands, svi_request *request);

/* For `stave module remove`: deletes data of a module that no code has open, for some seconds; answers when that is durable, with
 * "owners" and "rows" that are gone and "is-more" if some are left: then it is to be asked again. Refused while a module has one of
 * the maps open. A kill in the middle leaves the rest, for the next time. Ends the request. Router thread. */
void svi_command_module_data_delete(svi_commands *commands, svi_request *request);

#endif
