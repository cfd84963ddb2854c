/* Which commands the server has. */
#include "main/main_core.h"

#include "main/main_command.h"
#include "main/main_explain.h"
#include "main/main_figures.h"
#include "main/main_hosts.h"
#include "main/main_ledger.h"
#include "main/main_module.h"
#include "main/main_module_data.h"
#include "main/main_policies.h"
#include "main/main_print.h"
#include "main/main_tool.h"
#include "main/main_upgrade.h"
#include "main/main_users.h"

/* --- arguments and columns -------------------------------------------------------------------------- */

static const sv_arg help_args[] = {
    {.name = "topic", .kind = SV_ARG_STRING, .manual = "a command, or the first word of some"},
    {.name = "word", .kind = SV_ARG_STRING, .manual = "its second word"},
    {0},
};

static const sv_arg run_args[] = {
    {.name = "dir",
     .kind = SV_ARG_FILE,
     .flags = SV_ARG_OPTION | SV_ARG_REQUIRED,
     .manual = "the folder; it is made if it is not there"},
    {0},
};

static const sv_arg backup_args[] = {
    {.name = "to",
     .kind = SV_ARG_FILE,
     .flags = SV_ARG_OPTION | SV_ARG_REQUIRED,
     .manual = "a file, a folder in which it gets a name, or - for standard output"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION,
     .manual = "of this host alone; it need not be served any more"},
    {0},
};

static const sv_arg backup_check_args[] = {
    {.name = "file", .kind = SV_ARG_FILE, .flags = SV_ARG_REQUIRED, .manual = "the backup"},
    {0},
};

static const sv_arg check_module_args[] = {
    {.name = "file", .kind = SV_ARG_FILE, .flags = SV_ARG_REQUIRED, .manual = "NAME.so"},
    {0},
};

static const sv_arg new_module_args[] = {
    {.name = "name",
     .kind = SV_ARG_STRING,
     .flags = SV_ARG_REQUIRED,
     .manual = "what it is called: small letters, digits, - and _; a letter first"},
    {.name = "folder", .kind = SV_ARG_FILE, .manual = "where the folder NAME is made; here, if it is not given"},
    {.name = "c", .kind = SV_ARG_FLAG, .manual = "in C"},
    {.name = "lua", .kind = SV_ARG_FLAG, .manual = "in Lua"},
    {0},
};

static const sv_arg test_args[] = {
    {.name = "folder", .kind = SV_ARG_FILE, .manual = "the module's; this one, if it is not given"},
    {.name = "only", .kind = SV_ARG_STRING, .flags = SV_ARG_OPTION, .manual = "scripts and tests with this in their name"},
    {.name = "plain", .kind = SV_ARG_FLAG, .manual = "as they are: no other timing, no harm"},
    {.name = "timing", .kind = SV_ARG_FLAG, .manual = "the runs with other timing alone"},
    {.name = "harm", .kind = SV_ARG_STRING, .flags = SV_ARG_OPTION, .manual = "this kind of harm alone"},
    {.name = "at",
     .kind = SV_ARG_INT,
     .flags = SV_ARG_OPTION,
     .min = "1",
     .manual = "of --harm: at this occasion alone, and what passes is shown"},
    {.name = "seed", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION, .preset = "1", .min = "0", .manual = "of all that is random"},
    {.name = "seeds",
     .kind = SV_ARG_INT,
     .flags = SV_ARG_OPTION,
     .preset = "3",
     .min = "1",
     .max = "100000",
     .manual = "how many runs with other timing, from --seed on"},
    {.name = "every", .kind = SV_ARG_FLAG, .manual = "every occasion for harm, however many there are"},
    {.name = "strict", .kind = SV_ARG_FLAG, .manual = "hooks and refusals that no test reached fail"},
    {.name = "jobs", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION, .min = "1", .max = "1024", .manual = "processes at once"},
    {.name = "enable",
     .kind = SV_ARG_STRING,
     .flags = SV_ARG_OPTION,
     .manual = "modules besides it, parted by commas, in place of the usual ones"},
    {.name = "built", .kind = SV_ARG_FILE, .flags = SV_ARG_OPTION, .manual = "the module, built already"},
    {0},
};

static const sv_arg restore_args[] = {
    {.name = "file", .kind = SV_ARG_FILE, .flags = SV_ARG_REQUIRED, .manual = "the backup"},
    {.name = "host", .kind = SV_ARG_HOST, .flags = SV_ARG_OPTION, .manual = "this host alone"},
    {.name = "force", .kind = SV_ARG_FLAG, .manual = "replace what is stored now"},
    {0},
};

static const sv_arg new_password_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "the account"},
    {.name = "password", .kind = SV_ARG_SECRET, .flags = SV_ARG_REQUIRED, .manual = "its password"},
    {0},
};

static const sv_arg account_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "the account"},
    {0},
};

static const sv_arg disable_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "the account"},
    {.name = "reason",
     .kind = SV_ARG_STRING,
     .flags = SV_ARG_OPTION,
     .manual = "why, for operators; up to 500 bytes"},
    {.name = "tell", .kind = SV_ARG_FLAG, .manual = "its user is told the reason, too"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {.name = "since", .kind = SV_COLUMN_TIME},
    {.name = "reason", .kind = SV_COLUMN_TEXT},
    {.name = "told", .kind = SV_COLUMN_BOOL},
    {.name = "created", .kind = SV_COLUMN_TIME},
    {.name = "last-login", .kind = SV_COLUMN_TIME},
    {.name = "last-logout", .kind = SV_COLUMN_TIME},
    {.name = "last-address", .kind = SV_COLUMN_TEXT},
    {.name = "sessions", .kind = SV_COLUMN_INT},
    {.name = "mechanisms", .kind = SV_COLUMN_LIST},
    {.name = "kept-by", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg list_args[] = {
    {.name = "host", .kind = SV_ARG_HOST, .manual = "of this host; of all, if it is not given"},
    {0},
};

static const sv_column list_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg sessions_args[] = {
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION | SV_ARG_REMOVED,
     .manual = "of this host only"},
    {.name = "user",
     .kind = SV_ARG_ACCOUNT,
     .flags = SV_ARG_OPTION | SV_ARG_REMOVED,
     .manual = "of this account only"},
    {0},
};

static const sv_column sessions_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "since", .kind = SV_COLUMN_TIME},
    {.name = "silent", .kind = SV_COLUMN_PERIOD},
    {.name = "lost", .kind = SV_COLUMN_PERIOD},
    {.name = "show", .kind = SV_COLUMN_TEXT},
    {.name = "priority", .kind = SV_COLUMN_INT},
    {.name = "queue", .kind = SV_COLUMN_BYTES},
    {.name = "unacked", .kind = SV_COLUMN_INT},
    {.name = "peer", .kind = SV_COLUMN_TEXT},
    {.name = "tls", .kind = SV_COLUMN_BOOL},
    {.name = "mechanism", .kind = SV_COLUMN_TEXT},
    {.name = "binding", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg release_args[] = {
    {.name = "module", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "its name"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION,
     .manual = "on this host alone"},
    {0},
};

static const sv_arg reload_args[] = {
    {.name = "module", .kind = SV_ARG_STRING, .flags = SV_ARG_REST, .manual = "these modules alone, from their files"},
    {0},
};

static const sv_arg module_install_args[] = {
    {.name = "file", .kind = SV_ARG_FILE, .flags = SV_ARG_REQUIRED, .manual = "NAME.so, NAME.lua, or a folder NAME with NAME.lua"},
    {.name = "yes", .kind = SV_ARG_FLAG, .manual = "ask nothing: it may do what is shown"},
    {.name = "replace", .kind = SV_ARG_FLAG, .manual = "also where it hides a module of that name, one of the server's own for example"},
    {0},
};

static const sv_arg module_args[] = {
    {.name = "module", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "its name"},
    {0},
};

static const sv_arg module_remove_args[] = {
    {.name = "module", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "its name"},
    {.name = "keep-data", .kind = SV_ARG_FLAG, .manual = "what it has stored stays"},
    {.name = "delete-data", .kind = SV_ARG_FLAG, .manual = "what it has stored is deleted, on all hosts"},
    {0},
};

static const sv_column module_list_columns[] = {
    {.name = "name", .kind = SV_COLUMN_TEXT},
    {.name = "kind", .kind = SV_COLUMN_TEXT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {.name = "interface", .kind = SV_COLUMN_TEXT},
    {.name = "enabled", .kind = SV_COLUMN_LIST},
    {.name = "installed", .kind = SV_COLUMN_TEXT},
    {.name = "folder", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg kick_args[] = {
    {.name = "address",
     .kind = SV_ARG_LOCAL,
     .flags = SV_ARG_REQUIRED,
     .manual = "all sessions of the account, or one of them"},
    {.name = "reason", .kind = SV_ARG_STRING, .flags = SV_ARG_OPTION, .manual = "told to the client"},
    {0},
};

static const sv_column kick_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_column hosts_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {.name = "sessions", .kind = SV_COLUMN_INT},
    {.name = "authentication", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg host_args[] = {
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_REQUIRED | SV_ARG_REMOVED,
     .manual = "its domain, also of one that was removed"},
    {0},
};

static const sv_column host_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {.name = "sessions", .kind = SV_COLUMN_INT},
    {.name = "guests", .kind = SV_COLUMN_INT},
    {.name = "authentication", .kind = SV_COLUMN_TEXT},
    {.name = "require-tls", .kind = SV_COLUMN_BOOL},
    {.name = "modules", .kind = SV_COLUMN_LIST},
    {.name = "admins", .kind = SV_COLUMN_LIST},
    {0},
};

static const sv_column upgrade_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "module", .kind = SV_COLUMN_TEXT},
    {.name = "map", .kind = SV_COLUMN_TEXT},
    {.name = "oldest", .kind = SV_COLUMN_INT},
    {.name = "written", .kind = SV_COLUMN_INT},
    {.name = "newest", .kind = SV_COLUMN_INT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_column look_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "module", .kind = SV_COLUMN_TEXT},
    {.name = "map", .kind = SV_COLUMN_TEXT},
    {.name = "oldest", .kind = SV_COLUMN_INT},
    {.name = "written", .kind = SV_COLUMN_INT},
    {.name = "newest", .kind = SV_COLUMN_INT},
    {.name = "older", .kind = SV_COLUMN_INT},
    {.name = "state", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_arg finish_args[] = {
    {.name = "module", .kind = SV_ARG_STRING, .manual = "what this module stores; all, if it is not given"},
    {0},
};

static const sv_arg modules_show_args[] = {
    {.name = "name", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "a module"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION,
     .manual = "on this host; on all, if it is not given"},
    {0},
};

static const sv_column modules_show_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "hook", .kind = SV_COLUMN_TEXT},
    {.name = "calls", .kind = SV_COLUMN_INT},
    {.name = "passed", .kind = SV_COLUMN_INT},
    {.name = "done", .kind = SV_COLUMN_INT},
    {.name = "later", .kind = SV_COLUMN_INT},
    {.name = "callbacks", .kind = SV_COLUMN_INT},
    {.name = "faults", .kind = SV_COLUMN_INT},
    {.name = "cpu-us", .kind = SV_COLUMN_INT},
    {.name = "cpu-ns-each", .kind = SV_COLUMN_INT},
    {0},
};

static const sv_arg policy_shadow_args[] = {
    {.name = "file", .kind = SV_ARG_FILE, .flags = SV_ARG_REQUIRED, .manual = "NAME.lua; the policy NAME is what it is compared with"},
    {.name = "host", .kind = SV_ARG_HOST, .flags = SV_ARG_OPTION, .manual = "on this host; on all where NAME is enabled, if it is not given"},
    {0},
};

static const sv_arg policy_args[] = {
    {.name = "name", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "a policy that has a shadow"},
    {0},
};

static const sv_column policy_columns[] = {
    {.name = "policy", .kind = SV_COLUMN_TEXT},
    {.name = "hosts", .kind = SV_COLUMN_LIST},
    {.name = "since", .kind = SV_COLUMN_TIME},
    {.name = "same", .kind = SV_COLUMN_INT},
    {.name = "differing", .kind = SV_COLUMN_INT},
    {.name = "not-comparable", .kind = SV_COLUMN_INT},
    {.name = "skipped", .kind = SV_COLUMN_INT},
    {.name = "errors", .kind = SV_COLUMN_INT},
    {.name = "cpu-us", .kind = SV_COLUMN_INT},
    {.name = "memory", .kind = SV_COLUMN_BYTES},
    {.name = "file", .kind = SV_COLUMN_TEXT},
    {0},
};

static const sv_column metrics_columns[] = {
    {.name = "name", .kind = SV_COLUMN_TEXT},
    {.name = "kind", .kind = SV_COLUMN_TEXT},
    {.name = "host", .kind = SV_COLUMN_TEXT},
    {.name = "value", .kind = SV_COLUMN_INT},
    {.name = "manual", .kind = SV_COLUMN_TEXT, .head = "what"},
    {0},
};

static const sv_arg top_args[] = {
    {.name = "interval",
     .kind = SV_ARG_PERIOD,
     .flags = SV_ARG_OPTION,
     .preset = "2s",
     .min = "1s",
     .max = "1h",
     .manual = "how long between two looks"},
    {.name = "count",
     .kind = SV_ARG_INT,
     .flags = SV_ARG_OPTION,
     .preset = "0",
     .min = "0",
     .max = "1000000",
     .manual = "end after so many; 0: go on"},
    {0},
};

static const sv_arg ledger_args[] = {
    {.name = "of",
     .kind = SV_ARG_WORD,
     .flags = SV_ARG_OPTION,
     .min = "host module peer rule",
     .manual = "these rows alone"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION | SV_ARG_REMOVED,
     .manual = "this host and its rules alone"},
    {0},
};

static const sv_column ledger_columns[] = {
    {.name = "of", .kind = SV_COLUMN_TEXT},
    {.name = "name", .kind = SV_COLUMN_TEXT},
    {.name = "received", .kind = SV_COLUMN_INT},
    {.name = "made-answer", .kind = SV_COLUMN_INT, .head = "answers"},
    {.name = "made-copy", .kind = SV_COLUMN_INT, .head = "copies"},
    {.name = "made-push", .kind = SV_COLUMN_INT, .head = "pushes"},
    {.name = "made-recovered", .kind = SV_COLUMN_INT, .head = "recovered"},
    {.name = "handed-over", .kind = SV_COLUMN_INT, .head = "handed"},
    {.name = "acked", .kind = SV_COLUMN_INT},
    {.name = "answered", .kind = SV_COLUMN_INT},
    {.name = "stored", .kind = SV_COLUMN_INT},
    {.name = "bounced", .kind = SV_COLUMN_INT},
    {.name = "refused", .kind = SV_COLUMN_INT},
    {.name = "consumed", .kind = SV_COLUMN_INT},
    {.name = "dropped", .kind = SV_COLUMN_INT},
    {.name = "ended", .kind = SV_COLUMN_INT},
    {.name = "in-flight", .kind = SV_COLUMN_INT, .head = "in flight"},
    {.name = "balanced", .kind = SV_COLUMN_BOOL},
    {0},
};

static const sv_arg explain_args[] = {
    {.name = "what",
     .kind = SV_ARG_STRING,
     .flags = SV_ARG_REQUIRED,
     .manual = "an id of a stanza (its own, origin-id or stanza-id), an address, or stanza=N as log lines have it"},
    {.name = "count",
     .kind = SV_ARG_INT,
     .flags = SV_ARG_OPTION,
     .preset = "10",
     .min = "1",
     .max = "30",
     .manual = "at most so many"},
    {.name = "before",
     .kind = SV_ARG_INT,
     .flags = SV_ARG_OPTION,
     .preset = "0",
     .min = "0",
     .manual = "those before the stanza of this number; 0: the newest"},
    {.name = "kind",
     .kind = SV_ARG_WORD,
     .flags = SV_ARG_OPTION,
     .min = "message presence iq",
     .manual = "of an address, these alone"},
    {0},
};

static const sv_arg log_follow_args[] = {
    {.name = "user",
     .kind = SV_ARG_LOCAL,
     .flags = SV_ARG_OPTION,
     .manual = "lines that name the account, or this session of it"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION,
     .manual = "lines about this host or its accounts"},
    {.name = "event", .kind = SV_ARG_STRING, .flags = SV_ARG_OPTION, .manual = "events of this name"},
    {.name = "level",
     .kind = SV_ARG_WORD,
     .flags = SV_ARG_OPTION,
     .min = "error warn info debug",
     .manual = "up to this level; as log_level says, if it is not given"},
    {0},
};

static const sv_arg watch_args[] = {
    {.name = "user",
     .kind = SV_ARG_LOCAL,
     .flags = SV_ARG_OPTION,
     .manual = "of all sessions of the account, or of this one"},
    {.name = "host",
     .kind = SV_ARG_HOST,
     .flags = SV_ARG_OPTION,
     .manual = "of the sessions of this host"},
    {.name = "kind",
     .kind = SV_ARG_WORD,
     .flags = SV_ARG_OPTION,
     .min = "message presence iq",
     .manual = "of this kind alone"},
    {.name = "xml",
     .kind = SV_ARG_FLAG,
     .manual = "with all they hold: what people write to each other, too"},
    {0},
};

/* --- the commands, in the order of `help` ------------------------------------------------------------- */

static const svi_core_command commands[] = {
    {.what = {.name = "serve",
              .summary = "serve until stopped",
              .manual = "Stays in the foreground. Ctrl-C or TERM ends it, HUP reloads."},
     .flags = SVI_CORE_NO_JSON,
     .here = svi_tool_serve},
    {.what = {.name = "run",
              .summary = "make DIR on first start and serve from it on this machine only",
              .manual = "For a first look: a configuration, a certificate and two accounts are made.",
              .examples = "run --dir ./run",
              .args = run_args},
     .flags = SVI_CORE_NO_CONFIG | SVI_CORE_NO_JSON,
     .here = svi_tool_run},
    {.what = {.name = "check",
              .summary = "read the configuration and load the modules, print all problems",
              .examples = "check --config /etc/stave/new.cfg.lua"},
     .here = svi_tool_check},
    {.what = {.name = "check-module",
              .summary = "check modules as the server does, and tell what they do",
              .manual = "Nothing of a module runs before it was found to have only what a module may have; "
                        "then it is loaded and asked, not started. Told are its interface, what it needs, its "
                        "hooks, options and commands, and the functions that it takes from libraries. Ends "
                        "with 1 if one is refused.",
              .examples = "check-module /usr/local/lib/stave/modules/*.so",
              .args = check_module_args},
     .flags = SVI_CORE_NO_CONFIG | SVI_CORE_MANY,
     .here = svi_tool_check_module,
     .print = svi_print_module},
    {.what = {.name = "new module",
              .summary = "begin a module: source, test, flow script and page",
              .manual = "Makes a folder NAME that can be built and tested at once, and changed from there on.\n"
                        "Needs the SDK (`make install-sdk`).",
              .examples = "new module greeter --lua\nnew module quota --c ~/src",
              .args = new_module_args},
     .flags = SVI_CORE_NO_CONFIG | SVI_CORE_NO_JSON,
     .here = svi_tool_author},
    {.what = {.name = "test",
              .summary = "build and test the module in a folder",
              .manual = "Runs its flow scripts and its unit test on the stage, then the scripts with other timing and\n"
                        "with harm: reads that fail, a disk that is full, sessions that vanish, reloads, kills. Tells\n"
                        "which hooks and refusals were reached. Needs the SDK (`make install-sdk`).",
              .examples = "test\ntest ./greeter --strict\ntest --only greeter.flow --harm kill --at 3",
              .args = test_args},
     .flags = SVI_CORE_NO_CONFIG | SVI_CORE_NO_JSON,
     .here = svi_tool_author},
    {.what = {.name = "status", .summary = "what the running server does"},
     .run = svi_command_status,
     .print = svi_print_status},
    {.what = {.name = "modules",
              .summary = "the modules of the running server, and what they cost",
              .manual = "Counted since the start, over all generations of a module. STORE is reads, loads and\n"
                        "writes together; --json tells each, and more."},
     .run = svi_command_modules,
     .print = svi_print_modules},
    {.what = {.name = "modules release",
              .summary = "let a module out of quarantine",
              .manual = "Its count of faults begins anew. Without --host, on all hosts where it is in quarantine.",
              .examples = "modules release offline\nmodules release offline --host example.org",
              .args = release_args,
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_modules_release,
     .print = svi_print_nothing},
    {.what = {.name = "modules show",
              .summary = "what one module costs, by hook",
              .manual = "A line for each hook, command and other function of the module, on each host. 'callbacks'\n"
                        "are calls of functions that are no handlers: what a handler said LATER for has come, a\n"
                        "timer has fired. CPU is measured in one turn of 64 and scaled; calls are exact.",
              .examples = "modules show offline\nmodules show offline --host example.org --json",
              .args = modules_show_args,
              .columns = modules_show_columns},
     .run = svi_command_modules_show},
    {.what = {.name = "module install",
              .summary = "put a module of your own where the server finds it",
              .manual = "It is checked as check-module does; what it may do is shown, of one that takes the place of an installed\n"
                        "one the difference, and it is asked whether that is right. Then it is copied into the first folder of\n"
                        "module_paths, or \"modules\" beside the configuration, and its SHA-256 is written down there in\n"
                        "modules.lock: a start or reload refuses a copy that is another one.",
              .examples = "module install ./greeting.so\nmodule install ./keywords --yes",
              .args = module_install_args,
              .flags = SV_COMMAND_CHANGES},
     .here = svi_tool_module_install,
     .print = svi_print_module_installed},
    {.what = {.name = "module remove",
              .summary = "take a module of your own away, and keep or delete what it has stored",
              .manual = "Refused while it is enabled or runs. If it has stored something it asks what shall become of that, unless\n"
                        "--keep-data or --delete-data says so. The server may run or not.",
              .examples = "module remove greeting\nmodule remove greeting --delete-data",
              .args = module_remove_args,
              .flags = SV_COMMAND_CHANGES},
     .here = svi_tool_module_remove,
     .print = svi_print_module_removed},
    {.what = {.name = "module list",
              .summary = "the modules in your folders, and whether they are as they were installed",
              .manual = "The state is \"recorded\", \"changed\" (it is not loaded then), \"no record\" for one that was put there by\n"
                        "hand, \"missing\" for one whose file has gone.",
              .examples = "module list\nmodule list --json",
              .columns = module_list_columns},
     .here = svi_tool_module_list},
    {.what = {.name = "module data",
              .summary = "what a module has stored, also one that is enabled no more",
              .examples = "module data greeting",
              .args = module_args,
              .columns = svi_module_data_columns,
              .flags = SV_COMMAND_OFFLINE},
     .run = svi_command_module_data},
    {.what = {.name = "policy shadow",
              .summary = "try another version of a policy on what comes, without effect",
              .manual = "The file is loaded beside the policy of its name, which goes on deciding; the shadow gets\n"
                        "what that one gets, reads what is stored, and does nothing: what it would have done is\n"
                        "counted. It ends with `policy drop`, `policy promote`, a reload of the policy, or the server.",
              .examples = "policy shadow ./policy-words.lua\npolicy shadow /tmp/new/policy-rate.lua --host example.org",
              .args = policy_shadow_args,
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_policy_shadow,
     .print = svi_print_policy_shadow},
    {.what = {.name = "policy list",
              .summary = "the policies that are tried in shadow",
              .manual = "In events: decided in the same or in a different way, not comparable, skipped for lack of time.",
              .examples = "policy list\npolicy list --json",
              .columns = policy_columns},
     .run = svi_command_policy_list},
    {.what = {.name = "policy report",
              .summary = "what a policy in shadow would have decided otherwise",
              .manual = "How often which verdict stood against which, by hook, and the newest 50 that differ: when,\n"
                        "from, to, what kind of stanza, both verdicts; never what was in it.",
              .examples = "policy report policy-words\npolicy report policy-words --json",
              .args = policy_args},
     .run = svi_command_policy_report,
     .print = svi_print_policy_report},
    {.what = {.name = "policy promote",
              .summary = "let what was tried in shadow decide from now on",
              .manual = "The text that was tried replaces the file that the module is loaded from, and the module is\n"
                        "reloaded with it on all its hosts, as `reload NAME` does; or neither. Where the server may\n"
                        "not write that file it says so: copy it there and promote again.",
              .examples = "policy promote policy-words",
              .args = policy_args,
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_policy_promote,
     .print = svi_print_policy_promote},
    {.what = {.name = "policy drop",
              .summary = "end the trial of a policy",
              .examples = "policy drop policy-words",
              .args = policy_args,
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_policy_drop,
     .print = svi_print_nothing},
    {.what = {.name = "metrics",
              .summary = "all figures of the server and of its modules",
              .manual = "A counter only grows, until the server ends; a gauge is how much there is now.",
              .examples = "metrics\nmetrics --json",
              .columns = metrics_columns},
     .run = svi_command_metrics},
    {.what = {.name = "ledger",
              .summary = "what became of all stanzas, by host, module, peer and rule",
              .manual = "Counted since the start. Each stanza and each copy was received or made and ends once: received\n"
                        "+ answers + copies + pushes + recovered = handed over (of them acked) + answered + stored +\n"
                        "bounced + refused + consumed + dropped + in flight; BALANCED tells whether that is so. Of a\n"
                        "module the first are those that it made, the others those whose end it decided, whoever had\n"
                        "made them: what it made is ENDED or in flight. A peer is another server's domain, \"(local)\"\n"
                        "all that stays between clients and this server. A rule is why something was dropped.",
              .examples = "ledger\nledger --of rule\nledger --host example.org --json",
              .args = ledger_args,
              .columns = ledger_columns},
     .run = svi_command_ledger},
    {.what = {.name = "explain",
              .summary = "what became of a stanza, or of the last ones of an address",
              .manual = "Shows, the newest first, when it came and from whom, which hooks it crossed and what each\n"
                        "module said, what it waited for, its commit, the sessions that it went to, how it ended, and\n"
                        "what it caused. Never what is in it. Kept for the last stanzas, as many as explain_memory has\n"
                        "room for, and only until the worker ends. Times are coarse (some ms) but for commits.",
              .examples = "explain 4f1c-22\nexplain romeo@example.org --count 3\nexplain romeo@example.org --kind message --json\n"
                          "explain stanza=8812",
              .args = explain_args},
     .run = svi_command_explain,
     .print = svi_print_explain},
    {.what = {.name = "top",
              .summary = "what the router and the modules do, every 2 s, until q or Ctrl-C",
              .manual = "The first picture is of the time since the start, each other one of the time since the one\n"
                        "before it. %ROUTER is the share of the router's time, which is one processor's: at 100 % of\n"
                        "'busy' the server can do no more. 'accounting' is what measuring itself takes, 'watching'\n"
                        "the search for slow handlers. Where the output is no terminal it is plain lines; with\n"
                        "--json each picture is one JSON document. Ends with 1 when the server does.",
              .examples = "top\ntop --interval 10s --count 6\ntop --count 1 --json",
              .args = top_args},
     .run = svi_command_top,
     .here = svi_tool_top},
    {.what = {.name = "reload",
              .summary = "take over a changed configuration, or load modules anew",
              .manual = "Without a name the configuration is read again. With names each of these modules gets a new\n"
                        "generation with the code of its file as it is now, on all its hosts or none; what it was\n"
                        "configured with stays. Sessions stay, other modules notice nothing.",
              .examples = "reload\nreload roster\nreload roster presence --json",
              .args = reload_args,
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_reload,
     .print = svi_print_reload},
    {.what = {.name = "stop", .summary = "stop the running server", .flags = SV_COMMAND_CHANGES},
     .run = svi_command_stop,
     .here = svi_tool_stop,
     .print = svi_print_nothing},
    {.what = {.name = "sessions",
              .summary = "who is logged in",
              .manual = "'silent' is for how long nothing has come from the client, 'queue' what waits until it\n"
                        "reads, 'binding' the channel binding that ties the login to its TLS connection.",
              .examples = "sessions\nsessions --host example.org --json\nsessions --user romeo@example.org",
              .args = sessions_args,
              .columns = sessions_columns,
              .who = SV_WHO_ADMIN | SV_WHO_OWNER},
     .run = svi_command_sessions},
    {.what = {.name = "kick",
              .summary = "end sessions",
              .manual = "The client is told policy-violation and the reason; most log in again by themselves.",
              .examples = "kick romeo@example.org\nkick romeo@example.org/phone --reason 'please update'",
              .args = kick_args,
              .columns = kick_columns,
              .who = SV_WHO_ADMIN | SV_WHO_OWNER,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_PLAIN},
     .run = svi_command_kick},
    {.what = {.name = "host list",
              .summary = "hosts that are served, and those removed since the start",
              .manual = "The state is \"served\", or \"removed\" for one that a reload has taken away: its data "
                        "stay, its last sessions may still be ending.",
              .examples = "host list\nhost list --json",
              .columns = hosts_columns},
     .run = svi_command_host_list},
    {.what = {.name = "host show",
              .summary = "one host: its modules, admins, who may log in",
              .examples = "host show example.org",
              .args = host_args,
              .columns = host_columns,
              .flags = SV_COMMAND_ONE},
     .run = svi_command_host_show},
    {.what = {.name = "user add",
              .summary = "make an account",
              .examples = "user add romeo@example.org\nuser add romeo@example.org <password.txt",
              .args = new_password_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_user_add,
     .print = svi_print_user},
    {.what = {.name = "user passwd",
              .summary = "change the password of an account",
              .examples = "user passwd romeo@example.org",
              .args = new_password_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_user_passwd,
     .print = svi_print_user},
    {.what = {.name = "user delete",
              .summary = "delete an account and all that is stored for it",
              .examples = "user delete romeo@example.org",
              .args = account_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_user_delete,
     .print = svi_print_user},
    {.what = {.name = "user disable",
              .summary = "let nobody log in to it; its sessions end, its messages wait",
              .manual = "A second call replaces the reason. Another password does not enable it.",
              .examples = "user disable romeo@example.org --reason \"sends spam\"\n"
                          "user disable romeo@example.org --reason \"Call the help desk\" --tell",
              .args = disable_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_user_disable,
     .print = svi_print_user},
    {.what = {.name = "user enable",
              .summary = "let its user log in again",
              .examples = "user enable romeo@example.org",
              .args = account_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_user_enable,
     .print = svi_print_user},
    {.what = {.name = "user show",
              .summary = "its state, last login, sessions and mechanisms",
              .examples = "user show romeo@example.org\nuser show romeo@example.org --json",
              .args = account_args,
              .columns = show_columns,
              .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE},
     .run = svi_command_user_show},
    {.what = {.name = "user list",
              .summary = "list accounts and their states",
              .examples = "user list\nuser list example.org --json",
              .args = list_args,
              .columns = list_columns,
              .flags = SV_COMMAND_OFFLINE | SV_COMMAND_PLAIN},
     .run = svi_command_user_list},
    {.what = {.name = "backup",
              .summary = "copy what is stored, while the server runs or not",
              .manual = "The file is one state of the store, with everything that was committed "
                        "when the command began. It gets its name when all of it is on disk.",
              .examples = "backup --to /var/backups/stave\nbackup --to copy --host example.org\n"
                          "backup --to - | age -r KEY >copy.age",
              .args = backup_args},
     .here = svi_tool_backup,
     .print = svi_print_backup},
    {.what = {.name = "backup check",
              .summary = "read a backup whole and tell what it is",
              .examples = "backup check /var/backups/stave/stave-20260101T030000Z.backup",
              .args = backup_check_args},
     .flags = SVI_CORE_NO_CONFIG,
     .here = svi_tool_backup_check,
     .print = svi_print_backup},
    {.what = {.name = "restore",
              .summary = "put a backup in the place of what is stored; no server may run",
              .manual = "With --host, one host is put back and all others stay. Whatever goes wrong, "
                        "what is stored stays as it was.",
              .examples = "restore copy\nrestore copy --host example.org --force",
              .args = restore_args,
              .flags = SV_COMMAND_CHANGES},
     .here = svi_tool_restore,
     .print = svi_print_backup},
    {.what = {.name = "upgrade",
              .summary = "let the release that is installed now take the place of the one that runs",
              .manual = "Executes the binary at the path that `stave serve` was started by, in the server's own process: listeners\n"
                        "stay open, who connects meanwhile waits. It is tried first and refused if it can't read the configuration;\n"
                        "if it then can't serve, the release before goes on. Tells which of the two serves.",
              .examples = "upgrade\nupgrade --json",
              .flags = SV_COMMAND_CHANGES},
     .run = svi_command_upgrade,
     .here = svi_tool_upgrade,
     .print = svi_print_upgrade},
    {.what = {.name = "upgrade status",
              .summary = "versions of what modules store, and which upgrade is not finished",
              .manual = "Of each map the oldest version that its records may have, the one that is written, and the\n"
                        "newest that the modules know. \"unfinished\": the modules know a newer one, the release before\n"
                        "can be started again; \"finished\": the newest is written, older records may be there; \"plain\":\n"
                        "all are of one version; \"mixed\": modules that share it know different ones; \"unused\": no\n"
                        "module that runs has it open.",
              .examples = "upgrade status\nupgrade status --json",
              .columns = upgrade_columns,
              .flags = SV_COMMAND_OFFLINE},
     .run = svi_command_upgrade_status},
    {.what = {.name = "upgrade finish",
              .summary = "write the newest version of records; the release before can't be started any more",
              .manual = "Prints the maps where that changes something. Records that are there stay as they are; the\n"
                        "modules read both. Can't be undone, but by a backup from before.",
              .examples = "upgrade finish\nupgrade finish roster",
              .args = finish_args,
              .columns = upgrade_columns,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_upgrade_finish},
    {.what = {.name = "upgrade look",
              .summary = "read all that may be of older versions, and note what is left of them",
              .manual = "\"older\" is how many records are of older versions than the one that is written. Where none are,\n"
                        "a release that knows only that one may be started. The server serves meanwhile.",
              .examples = "upgrade look\nupgrade look roster --json",
              .args = finish_args,
              .columns = look_columns,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .run = svi_command_upgrade_look},
    {.what = {.name = "log follow",
              .summary = "log lines as they are made, until Ctrl-C",
              .manual = "Those of the serving process, wherever the log goes. Another --level changes nothing "
                        "for the log itself. With --json, each line is one JSON document. Ends with 1 "
                        "when the server does.",
              .examples = "log follow --user romeo@example.org\n"
                          "log follow --event login-failed --json\n"
                          "log follow --host example.org --level debug",
              .args = log_follow_args},
     .run = svi_command_log_follow,
     .here = svi_tool_follow},
    {.what = {.name = "watch",
              .summary = "stanzas of sessions as they come and go, until Ctrl-C",
              .manual = "Shows addresses, kinds and names of elements, not what is in them, but with --xml; "
                        "never passwords. The log tells who watched whom, when, and whether with "
                        "--xml. With --json, each line is one JSON document. Ends with 1 when the server "
                        "does.",
              .examples = "watch --user romeo@example.org\n"
                          "watch --user romeo@example.org/phone --kind presence\n"
                          "watch --host example.org --xml --json",
              .args = watch_args},
     .run = svi_command_watch,
     .here = svi_tool_follow},
    {.what = {.name = "options", .summary = "all words of the configuration"}, .here = svi_tool_options},
    {.what = {.name = "help",
              .summary = "this text, or that of a command",
              .examples = "help user add",
              .args = help_args},
     .here = svi_tool_help},
    {.what = {.name = "version", .summary = "print the version"},
     .flags = SVI_CORE_NO_CONFIG,
     .here = svi_tool_version},
    {.what = {.name = "manual", .summary = "the manual page, as roff"},
     .flags = SVI_CORE_HIDDEN | SVI_CORE_NO_CONFIG,
     .here = svi_tool_manual},
    {.what = {.name = "module-data-delete",
              .summary = "for `module remove`: deletes what a module has stored, a part at a time",
              .args = module_args,
              .flags = SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE},
     .flags = SVI_CORE_HIDDEN,
     .run = svi_command_module_data_delete,
     .print = svi_print_json},
    {.what = {.name = "commands", .summary = "declarations of all commands, as JSON"},
     .flags = SVI_CORE_HIDDEN,
     .run = svi_command_commands,
     .print = svi_print_json},
};

const svi_core_command *svi_core_at(size_t i)
{
    return i < sizeof commands / sizeof *commands ? &commands[i] : NULL;
}

const svi_core_command *svi_core_find(sv_str name)
{
    const svi_core_command *c;
    for (size_t i = 0; (c = svi_core_at(i)) != NULL; i++)
        if (sv_str_eq(sv_str_of(c->what.name), name)) return c;
    return NULL;
}

const svi_core_command *svi_core_shadows(const char *name)
{
    sv_str rest = sv_str_of(name), first = SV_STR_NONE;
    const svi_core_command *same = svi_core_find(rest);
    (void)svi_str_split(&rest, ' ', &first);
    return same ? same : svi_core_find(first);
}
