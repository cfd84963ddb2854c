/* `stave policy ...`: policies that are tried in shadow (mods_shadow.h). Router thread. */
#ifndef SVI_MAIN_POLICIES_H
#define SVI_MAIN_POLICIES_H

#include <jansson.h>

#include "main/main_core.h"

/* What the commands with these names do; they end the request. */
void svi_command_policy_shadow(svi_commands *commands, svi_request *request);
void svi_command_policy_list(svi_commands *commands, svi_request *request);
void svi_command_policy_report(svi_commands *commands, svi_request *request);
void svi_command_policy_promote(svi_commands *commands, svi_request *request);
void svi_command_policy_drop(svi_commands *commands, svi_request *request);

/* Print their answers, on standard output. */
void svi_print_policy_shadow(const json_t *answer);
void svi_print_policy_report(const json_t *answer);
void svi_print_policy_promote(const json_t *answer);

#endif
