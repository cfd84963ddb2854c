/* The commands about hosts: which are served, and how. */
#ifndef SVI_MAIN_HOSTS_H
#define SVI_MAIN_HOSTS_H

#include "main/main_core.h"

/* `stave host list` and `host show` (main_core.c). They end the request. Router thread. */
void svi_command_host_list(svi_commands *commands, svi_request *request);
void svi_command_host_show(svi_commands *commands, svi_request *request);

#endif
