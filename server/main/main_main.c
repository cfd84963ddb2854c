/* stave: one binary for the daemon, its worker and the commands of its operators. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "main/main_cli.h"
#include "main/main_tool.h"
#include "main/main_worker.h"

/* The path of this binary; modules are looked for beside it. The kernel tells behind it that the file was replaced, which is so
 * where an upgrade was taken back (main_takeover.h). */
static const char *own_path(char to[PATH_MAX], const char *called)
{
    const sv_str gone = SV_STR(" (deleted)");
    const ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
    if (n <= 0) return called;
    to[n] = '\0';
    if ((size_t)n > gone.n && access(to, F_OK) != 0 && memcmp(to + (size_t)n - gone.n, gone.p, gone.n) == 0)
        to[(size_t)n - gone.n] = '\0';
    return to;
}

/* A worker is told by its supervisor which binary it is: its own file may have been replaced by now. */
static int worker(int argc, char **argv)
{
    svi_cli cli;
    sv_err err = {.text = ""};
    if (svi_cli_worker(argc, argv, &cli, &err) == SV_OK) return svi_worker_main(&cli);
    (void)fprintf(stderr, "stave: %s\n", err.text);
    return SVI_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    if (argc > 1 && sv_str_eq(sv_str_of(argv[1]), SV_STR("worker"))) return worker(argc, argv);
    return svi_tool_main(argc, argv, own_path(path, argc > 0 ? argv[0] : "stave"));
}
