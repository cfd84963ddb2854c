/* `stave run`: a server to try, made on first start in a folder of its own. */
#ifndef SVI_MAIN_RUN_H
#define SVI_MAIN_RUN_H

#include "main/main_cli.h"

/* Makes what is missing in the folder `dir` (configuration, certificate for localhost, state, two accounts
 * with random passwords in accounts.txt), then serves on loopback until it is interrupted. Asks
 * nothing. The exit status. */
int svi_run_main(const svi_cli *cli, const char *dir);

#endif
