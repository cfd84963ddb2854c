/* The commands of `stave` that are no server: check, options, status, user ... */
#ifndef SVI_MAIN_TOOL_H
#define SVI_MAIN_TOOL_H

#include "main/main_cli.h"

/* Runs the command and prints what it found; the exit status. */
int svi_tool_main(const svi_cli *cli);

#endif
