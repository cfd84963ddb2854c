/* `stave` as operators type it: finds the command, asks the server or does without one, prints. */
#ifndef SVI_MAIN_TOOL_H
#define SVI_MAIN_TOOL_H

#include "main/main_cli.h"

/* Runs what the arguments say; `program` is the path of this binary. The exit status. */
int svi_tool_main(int argc, char *const *argv, const char *program);

/* Commands that `stave` does itself (main_core.c): the exit status. */
int svi_tool_serve(svi_tool *tool);
int svi_tool_run(svi_tool *tool);
int svi_tool_check(svi_tool *tool);
int svi_tool_check_module(svi_tool *tool);
int svi_tool_module_install(svi_tool *tool);
int svi_tool_module_remove(svi_tool *tool);
int svi_tool_module_list(svi_tool *tool);
int svi_tool_stop(svi_tool *tool);
int svi_tool_upgrade(svi_tool *tool);
int svi_tool_follow(svi_tool *tool);
int svi_tool_top(svi_tool *tool);
int svi_tool_options(svi_tool *tool);
int svi_tool_manual(svi_tool *tool);
int svi_tool_help(svi_tool *tool);
int svi_tool_version(svi_tool *tool);
int svi_tool_backup(svi_tool *tool);
int svi_tool_backup_check(svi_tool *tool);
int svi_tool_restore(svi_tool *tool);

/* Commands for authors of modules: runs the SDK's program in the place of this one. */
int svi_tool_author(svi_tool *tool);

#endif
