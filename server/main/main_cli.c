/* The command line: a table of commands, and which arguments each takes. */
#include "main/main_cli.h"

#include "base/base_assert.h"

enum { TAKES_CONFIG = 1, TAKES_DIR = 2, NEEDS_ARGUMENT = 4, MAY_HAVE_ARGUMENT = 8, IS_WORKER = 16 };

typedef struct command {
    const char *words;
    unsigned flags;
    const char *argument; /* what it is called in messages */
} command;

static const command commands[SVI_CMD_COUNT] = {
    [SVI_CMD_HELP] = {"help", 0, NULL},
    [SVI_CMD_VERSION] = {"version", 0, NULL},
    [SVI_CMD_OPTIONS] = {"options", TAKES_CONFIG, NULL},
    [SVI_CMD_SERVE] = {"serve", TAKES_CONFIG, NULL},
    [SVI_CMD_RUN] = {"run", TAKES_DIR, NULL},
    [SVI_CMD_CHECK] = {"check", TAKES_CONFIG, NULL},
    [SVI_CMD_USER_ADD] = {"user add", TAKES_CONFIG | NEEDS_ARGUMENT, "an address"},
    [SVI_CMD_USER_PASSWD] = {"user passwd", TAKES_CONFIG | NEEDS_ARGUMENT, "an address"},
    [SVI_CMD_USER_DELETE] = {"user delete", TAKES_CONFIG | NEEDS_ARGUMENT, "an address"},
    [SVI_CMD_USER_LIST] = {"user list", TAKES_CONFIG | MAY_HAVE_ARGUMENT, "a domain"},
    [SVI_CMD_STATUS] = {"status", TAKES_CONFIG, NULL},
    [SVI_CMD_MODULES] = {"modules", TAKES_CONFIG, NULL},
    [SVI_CMD_RELOAD] = {"reload", TAKES_CONFIG, NULL},
    [SVI_CMD_STOP] = {"stop", TAKES_CONFIG, NULL},
    [SVI_CMD_WORKER] = {"worker", TAKES_CONFIG | IS_WORKER, NULL},
};

static const char help[] =
    "stave " SVI_VERSION ", an XMPP server\n"
    "\n"
    "  stave serve                serve until stopped\n"
    "  stave run --dir DIR        make DIR on first start and serve from it on this machine only\n"
    "  stave check                read the configuration and load the modules, print all problems\n"
    "  stave status               what the running server does\n"
    "  stave modules              its modules\n"
    "  stave reload               take over a changed configuration\n"
    "  stave stop                 stop it\n"
    "  stave user add NAME@HOST       make an account\n"
    "  stave user passwd NAME@HOST    change its password\n"
    "  stave user delete NAME@HOST    delete it and all that is stored for it\n"
    "  stave user list [HOST]         list accounts\n"
    "  stave options              all words of the configuration\n"
    "  stave version\n"
    "\n"
    "  --config FILE   the configuration (" SVI_DEFAULT_CONFIG ")\n"
    "\n"
    "Passwords are asked for, or read from standard input if that is no terminal: one line.\n"
    "Exit status: 0 done, 1 refused or failed, 2 wrong use, 3 no server is running.\n";

const char *svi_cli_help(void)
{
    return help;
}

const char *svi_command_words(svi_command c)
{
    SV_ASSERT((unsigned)c < SVI_CMD_COUNT);
    return commands[c].words;
}

/* --- commands ----------------------------------------------------------------------------------------- */

/* True if the arguments begin with the command's words; how many there are in *used_out. */
static bool begins(const command *c, int argc, char *const *argv, int *used_out)
{
    sv_str words = sv_str_of(c->words), word;
    int used = 0;
    while (svi_str_split(&words, ' ', &word)) {
        if (used >= argc || !sv_str_eq(sv_str_of(argv[used]), word)) return false;
        used++;
    }
    *used_out = used;
    return true;
}

/* The command nearest to a misspelt word, or NULL. */
static const char *nearest(sv_str typed)
{
    const char *best = NULL;
    size_t best_distance = typed.n / 3 + 2;
    for (size_t i = 0; i < SVI_CMD_WORKER; i++) {
        const sv_str words = sv_str_of(commands[i].words);
        const size_t distance = svi_str_distance(typed, words, best_distance);
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = commands[i].words;
    }
    return best;
}

static sv_status unknown(int argc, char *const *argv, sv_err *err)
{
    if (sv_str_eq(sv_str_of(argv[0]), SV_STR("user")))
        return svi_err(err, SV_EINVAL, "user: add, passwd, delete or list? (%s)",
                       argc > 1 ? argv[1] : "nothing was given");
    const char *near = nearest(sv_str_of(argv[0]));
    return svi_err(err, SV_EINVAL, "there is no command '%.60s'%s%s%s", argv[0],
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static sv_status find_command(int argc, char *const *argv, svi_command *command_out, int *used_out,
                              sv_err *err)
{
    for (unsigned i = 0; i < SVI_CMD_COUNT; i++)
        if (begins(&commands[i], argc, argv, used_out)) {
            *command_out = (svi_command)i;
            return SV_OK;
        }
    const sv_str first = sv_str_of(argv[0]);
    *used_out = 1;
    *command_out = SVI_CMD_HELP;
    if (sv_str_eq(first, SV_STR("--help")) || sv_str_eq(first, SV_STR("-h"))) return SV_OK;
    *command_out = SVI_CMD_VERSION;
    if (sv_str_eq(first, SV_STR("--version"))) return SV_OK;
    return unknown(argc, argv, err);
}

/* --- options ------------------------------------------------------------------------------------------ */

static sv_status worker_number(svi_cli *cli, sv_str name, const char *value, sv_err *err)
{
    int64_t number;
    if (svi_str_int(sv_str_of(value), 0, 1 << 20, &number) != SV_OK)
        return svi_err(err, SV_EINVAL, "worker: '%s' is no descriptor", value);
    if (sv_str_eq(name, SV_STR("--control")))
        cli->control = (int)number;
    else if (sv_str_eq(name, SV_STR("--channel")))
        cli->channel = (int)number;
    else if (cli->socket_count == SVI_CLI_SOCKETS_MAX)
        return svi_err(err, SV_ELIMIT, "worker: too many listeners");
    else {
        cli->is_direct[cli->socket_count] = sv_str_eq(name, SV_STR("--listen-tls"));
        cli->sockets[cli->socket_count++] = (int)number;
    }
    return SV_OK;
}

/* One option with its value. */
static sv_status take_option(svi_cli *cli, const char *name, const char *value, sv_err *err)
{
    const command *c = &commands[cli->command];
    const sv_str word = sv_str_of(name);
    const bool is_config = sv_str_eq(word, SV_STR("--config"));
    const bool is_dir = sv_str_eq(word, SV_STR("--dir"));
    const bool is_log = sv_str_eq(word, SV_STR("--log"));
    const bool is_number = sv_str_eq(word, SV_STR("--control")) ||
                           sv_str_eq(word, SV_STR("--channel")) ||
                           sv_str_eq(word, SV_STR("--listen")) ||
                           sv_str_eq(word, SV_STR("--listen-tls"));
    const bool is_known =
        (is_config && (c->flags & TAKES_CONFIG)) || (is_dir && (c->flags & TAKES_DIR)) ||
        ((is_number || is_log || sv_str_eq(word, SV_STR("--crash"))) && (c->flags & IS_WORKER));
    if (!is_known) return svi_err(err, SV_EINVAL, "%s takes no option '%.60s'", c->words, name);
    if (!value) return svi_err(err, SV_EINVAL, "%s needs a value behind it", name);
    if (is_number) return worker_number(cli, word, value, err);
    if (is_config)
        cli->config = value;
    else if (is_dir)
        cli->dir = value;
    else if (is_log)
        cli->log = value;
    else
        cli->crash_file = value;
    return SV_OK;
}

static sv_status take_argument(svi_cli *cli, const char *text, sv_err *err)
{
    const command *c = &commands[cli->command];
    if (!(c->flags & (NEEDS_ARGUMENT | MAY_HAVE_ARGUMENT)))
        return svi_err(err, SV_EINVAL, "%s takes no argument ('%.60s')", c->words, text);
    if (cli->argument)
        return svi_err(err, SV_EINVAL, "%s takes %s and nothing more ('%.60s')%s", c->words,
                       c->argument, text,
                       cli->command == SVI_CMD_USER_LIST
                           ? ""
                           : "; passwords are asked for or read from standard input");
    cli->argument = text;
    return SV_OK;
}

static sv_status check_whole(const svi_cli *cli, sv_err *err)
{
    const command *c = &commands[cli->command];
    if ((c->flags & NEEDS_ARGUMENT) && !cli->argument)
        return svi_err(err, SV_EINVAL, "%s needs %s", c->words, c->argument);
    if ((c->flags & TAKES_DIR) && !cli->dir)
        return svi_err(err, SV_EINVAL, "%s needs --dir DIR", c->words);
    const bool is_whole =
        cli->crash_file && cli->log && cli->control >= 0 && cli->channel >= 0;
    if ((c->flags & IS_WORKER) && !is_whole)
        return svi_err(err, SV_EINVAL, "worker is started by `stave serve` only");
    return SV_OK;
}

sv_status svi_cli_parse(int argc, char *const *argv, svi_cli *cli_out, sv_err *err)
{
    *cli_out = (svi_cli){.program = argc > 0 ? argv[0] : "stave",
                         .config = SVI_DEFAULT_CONFIG,
                         .control = -1,
                         .channel = -1};
    if (argc < 2) return svi_err(err, SV_EINVAL, "what is to be done? `stave help` tells");
    int used;
    sv_status status = find_command(argc - 1, argv + 1, &cli_out->command, &used, err);
    for (int i = 1 + used; i < argc && status == SV_OK; i++) {
        if (argv[i][0] != '-') {
            status = take_argument(cli_out, argv[i], err);
            continue;
        }
        status = take_option(cli_out, argv[i], i + 1 < argc ? argv[i + 1] : NULL, err);
        i++;
    }
    return status == SV_OK ? check_whole(cli_out, err) : status;
}
