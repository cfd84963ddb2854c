/* `stave ledger`: what became of all stanzas, by host, module, peer and rule. */
#ifndef SVI_MAIN_LEDGER_H
#define SVI_MAIN_LEDGER_H

#include "main/main_core.h"

/* `stave ledger` (main_core.c): a row each; ends the request. Router thread. */
void svi_command_ledger(svi_commands *commands, svi_request *request);

#endif
