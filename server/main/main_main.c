/* stave: one binary for the daemon, its worker and the commands of its operators. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "main/main_cli.h"
#include "main/main_run.h"
#include "main/main_supervisor.h"
#include "main/main_tool.h"
#include "main/main_worker.h"

/* The path of this binary; modules are looked for beside it. */
static const char *own_path(char to[PATH_MAX], const char *called)
{
    const ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
    if (n <= 0) return called;
    to[n] = '\0';
    return to;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    svi_cli cli;
    sv_err err = {.text = ""};
    if (svi_cli_parse(argc, argv, &cli, &err) != SV_OK) {
        (void)fprintf(stderr, "stave: %s\n", err.text);
        return SVI_EXIT_USAGE;
    }
    /* a worker is told by its supervisor: its own file may have been replaced by now */
    if (cli.command != SVI_CMD_WORKER) cli.program = own_path(path, cli.program);
    const svi_supervisor_config serve = {.cli = &cli, .config = cli.config};
    switch (cli.command) {
    case SVI_CMD_HELP: (void)fputs(svi_cli_help(), stdout); return SVI_EXIT_OK;
    case SVI_CMD_VERSION: (void)puts("stave " SVI_VERSION); return SVI_EXIT_OK;
    case SVI_CMD_WORKER: return svi_worker_main(&cli);
    case SVI_CMD_SERVE: return svi_supervise(&serve);
    case SVI_CMD_RUN: return svi_run_main(&cli);
    default: return svi_tool_main(&cli);
    }
}
