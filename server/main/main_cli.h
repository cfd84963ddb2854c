/* The command line: what `stave` was asked to do. */
#ifndef SVI_MAIN_CLI_H
#define SVI_MAIN_CLI_H

#include <jansson.h>

#include "main/main_blame.h"
#include "main/main_core.h"
#include "mods/mods_loader.h"

#define SVI_VERSION "0.1.0"
#define SVI_DEFAULT_CONFIG "/etc/stave/stave.cfg.lua"

/* How `stave` ends. */
enum {
    SVI_EXIT_OK = 0,
    SVI_EXIT_FAILED = 1,    /* refused or failed; the reason was told */
    SVI_EXIT_USAGE = 2,     /* wrong use */
    SVI_EXIT_NO_SERVER = 3, /* no server is running */
    /* how a worker ends; only the supervisor sees these */
    SVI_EXIT_STORE =
        75, /* the store failed: memory and disk may differ, start again from the disk */
    SVI_EXIT_REFUSED = 78 /* it could not start; the reason was told */
};

#define SVI_CLI_SOCKETS_MAX 64u
#define SVI_CLI_HELD_MAX SVI_BLAME_MAX

/* The commands that are known; borrowed. */
typedef struct svi_decls {
    const sv_command *const *items;
    size_t count;
} svi_decls;

typedef struct svi_cli {
    const sv_command *what;       /* the command */
    const svi_core_command *core; /* NULL: it is a module's */
    json_t *request;              /* its request, with arguments as given; freed by svi_cli_free */
    bool is_json;                 /* --json */
    bool wants_help;              /* --help: of this command, or of all if `what` is NULL */
    const char *program;          /* path of this binary, whole if it can be found */
    const char *config;           /* --config FILE */
    /* worker */
    const char *crash_file;
    const char *log; /* svi_log_word */
    /* what became of the last `stave upgrade`: the version before, why it was taken back; NULL if there was none */
    const char *upgraded_from, *upgrade_failed;
    int control, channel;
    int sockets[SVI_CLI_SOCKETS_MAX];
    bool is_direct[SVI_CLI_SOCKETS_MAX]; /* of each: TLS from the first byte */
    size_t socket_count;
    svi_held held[SVI_CLI_HELD_MAX]; /* `why` is the worker's to say */
    size_t held_count;
} svi_cli;

/* Reads arguments by the declarations. SV_ENOTFOUND if there is no such command, SV_EINVAL if it is
 * used wrongly: with what is wrong, and the nearest name if one was misspelt; --config and --json count
 * even then. That arguments are of their kinds is not looked at. Texts are borrowed from argv; free
 * with svi_cli_free, also after an error. */
sv_status svi_cli_parse(int argc, char *const *argv, const svi_decls *decls, svi_cli *cli_out,
                        sv_err *err);

/* Frees the request. */
void svi_cli_free(svi_cli *cli);

/* The text of an argument as it was given; NULL if it was not. */
const char *svi_cli_arg(const svi_cli *cli, const char *name);

/* Reads the arguments of a worker, which its supervisor starts (argv[1] is "worker"). SV_EINVAL. */
sv_status svi_cli_worker(int argc, char *const *argv, svi_cli *cli_out, sv_err *err);

/* Appends the help: of all commands (`topic` empty), of those that begin with it, or of one in full.
 * False if none does. */
bool svi_cli_help(const svi_decls *decls, sv_str topic, svi_buf *out);

#endif
