/* The command line: what `stave` was asked to do. */
#ifndef SVI_MAIN_CLI_H
#define SVI_MAIN_CLI_H

#include "base/base_str.h"

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

typedef enum svi_command {
    SVI_CMD_HELP,
    SVI_CMD_VERSION,
    SVI_CMD_OPTIONS,
    SVI_CMD_SERVE,
    SVI_CMD_RUN,
    SVI_CMD_CHECK,
    SVI_CMD_USER_ADD,
    SVI_CMD_USER_PASSWD,
    SVI_CMD_USER_DELETE,
    SVI_CMD_USER_LIST,
    SVI_CMD_STATUS,
    SVI_CMD_MODULES,
    SVI_CMD_RELOAD,
    SVI_CMD_STOP,
    SVI_CMD_WORKER, /* started by the supervisor only */
    SVI_CMD_COUNT
} svi_command;

#define SVI_CLI_SOCKETS_MAX 64u

typedef struct svi_cli {
    svi_command command;
    const char *program;  /* path of this binary, whole if it can be found */
    const char *config;   /* --config FILE */
    const char *dir;      /* --dir DIR of `run` */
    const char *argument; /* an address for `user ...`, a domain for `user list` (NULL: all) */
    /* worker */
    const char *crash_file;
    const char *log; /* svi_log_word */
    int control, channel;
    int sockets[SVI_CLI_SOCKETS_MAX];
    bool is_direct[SVI_CLI_SOCKETS_MAX]; /* of each: TLS from the first byte */
    size_t socket_count;
} svi_cli;

/* Reads arguments. SV_EINVAL with what is wrong, and the nearest command if one was misspelt. Texts
 * are borrowed from argv. */
sv_status svi_cli_parse(int argc, char *const *argv, svi_cli *cli_out, sv_err *err);

/* What `stave help` prints. */
const char *svi_cli_help(void);

/* The words of a command as they are typed: "user add". */
const char *svi_command_words(svi_command command);

#endif
