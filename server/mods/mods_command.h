/* Commands (<stave/command.h>) as the core handles them: declarations, arguments, one run with its
 * answer.
 *
 * A request is a JSON object: "command", the arguments by their names, as texts (also numbers, true),
 * "from" where a page begins. An answer is {"ok": true, "rows": [...], "more": "..."}, or
 * {"ok": false, "class": "usage", "error": "cause, place, next step"}. Router thread, but for what
 * handles declarations alone. */
#ifndef SVI_MODS_COMMAND_H
#define SVI_MODS_COMMAND_H

#include <jansson.h>
#include <stdarg.h>

#include "mods/mods_loader.h"
#include "xmpp/xmpp_event.h"

enum {
    SVI_ARGS_MAX = 16,
    SVI_COLUMNS_MAX = 32,
    SVI_ARG_BYTES = 4096,      /* of one argument's text */
    SVI_PAGE_ROWS = 500,       /* of one answer, and ... */
    SVI_PAGE_BYTES = 256 << 10 /* ... about so large: sv->record says no behind it */
};

/* --- declarations (mods_decl.c) ----------------------------------------------------- */

/* What a table of sv_command has at `i`; NULL past its end or if it is NULL. Strides are those of
 * this server. */
const sv_command *svi_command_at(const sv_command *commands, size_t i);
/* An argument or column of a command; NULL past the end. */
const sv_arg *svi_arg_at(const sv_command *command, size_t i);
const sv_column *svi_column_at(const sv_command *command, size_t i);

/* Copies a table of declarations, whose items are `stride` apart and end with one that has NULL at its front, into
 * `arena` with items of `size`: what the module does not know yet is 0, what only it knows is left out. *count_out is
 * more than `max` if it is longer, and what is copied then one item too long. NULL of NULL. */
void *svi_table_take(svi_arena *arena, const void *table, size_t stride, size_t size, size_t max, size_t *count_out);

/* Copies a module's table into `arena` in this server's layout, ended as such tables are; SV_EINVAL
 * with text if a declaration can't be used. NULL in *commands_out if it declares none. */
sv_status svi_commands_take(svi_arena *arena, const sv_module_desc *desc,
                            const sv_command **commands_out, sv_err *err);

/* SV_EINVAL with text if the declaration is not as <stave/command.h> wants it. */
sv_status svi_command_check(const sv_command *command, sv_err *err);

/* The declaration as JSON (a new reference), and back: all of it lies in `arena`, `run` is NULL. False
 * if the JSON is no declaration. */
json_t *svi_command_json(const sv_command *command);
bool svi_command_read(svi_arena *arena, const json_t *json, sv_command *command_out);

/* How an argument is written in usage lines: "NAME@HOST", "[--count N]". */
void svi_arg_usage(const sv_arg *arg, svi_buf *out);

/* --- arguments (mods_args.c) -------------------------------------------------------- */

typedef struct svi_arg_value {
    sv_str text; /* .p NULL: not given and not preset; ends with a NUL */
    int64_t number;
    sv_jid jid; /* domain empty: none */
} svi_arg_value;

typedef struct svi_args {
    const sv_command *command;
    svi_arg_value values[SVI_ARGS_MAX]; /* as in the declaration */
    svi_host *host;                     /* that they name; NULL: none does */
    sv_jid account;                     /* that they name; domain empty: none */
    bool must_exist;                    /* the account */
} svi_args;

/* Reads the arguments of a request into `arena`: kinds, bounds, what is missing or too much. With a
 * `server`, hosts must be its own; without one only the form is looked at. If something is wrong, a
 * fault with the text, else 0. That an account exists is not looked at. */
sv_fault svi_args_read(svi_arena *arena, const sv_command *command, const json_t *request,
                       svi_server *server, svi_args *args_out, sv_err *err);

/* --- one run (mods_request.c) ------------------------------------------------------- */

typedef struct svi_request svi_request;

/* The answer; the reference is handed over. */
typedef void (*svi_answer_fn)(void *ctx, json_t *take_answer);

/* Reads the arguments and, if they are right, calls `run(run_ctx, request)`, at once or when it is
 * known that an account exists. `done` gets the answer exactly once, maybe before this returns. What
 * a module's or core's `run` is given ends with svi_request_answer, _more, _fail or _take, exactly once. */
void svi_request_run(svi_server *server, const sv_command *command, const json_t *request,
                     void (*run)(void *run_ctx, svi_request *request), void *run_ctx,
                     svi_answer_fn done, void *ctx);

/* What was asked: arguments (never NULL; asserted to be declared), the request itself, memory for as
 * long as it lasts, where the page begins (empty at first). */
const svi_arg_value *svi_request_arg(const svi_request *request, const char *name);
const svi_args *svi_request_args(const svi_request *request);
const json_t *svi_request_json(const svi_request *request);
svi_arena *svi_request_arena(svi_request *request);
sv_str svi_request_from(const svi_request *request);
svi_server *svi_request_server(const svi_request *request);

/* The members of the same names in sv_api (record, field ...). A field that is not declared, or of
 * another kind, is a fault of the command: logged, left out. */
bool svi_request_record(svi_request *request);
void svi_request_field(svi_request *request, const char *column, sv_str text);
void svi_request_field_int(svi_request *request, const char *column, int64_t value);
/* What is said of the whole, before the rows: members of an object, "name" and a number, a text, or a list of texts, which is
 * a line each. Once, for the first page; the reference is taken over. */
void svi_request_about(svi_request *request, json_t *take_about);
void svi_request_answer(svi_request *request);
void svi_request_more(svi_request *request, sv_str from);
void svi_request_fail(svi_request *request, sv_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends it with an answer that the command made itself (the reference is taken over). */
void svi_request_take(svi_request *request, json_t *take_answer);

/* An answer that says no; printf. A new reference; text that is not UTF-8 is shown as such. */
json_t *svi_answer_fault(sv_fault fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
json_t *svi_answer_vfault(sv_fault fault, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* "usage", "not-found", "refused", "failed". */
const char *svi_fault_name(sv_fault fault);

/* --- commands of modules (mods_errand.c) -------------------------------------------- */

/* The command number `i` of all modules that are enabled somewhere, each once; NULL past the end. Its
 * module's name in *module_out. */
const sv_command *svi_mods_command(const svi_mods *mods, size_t i, const char **module_out);

/* Keeps the declaration until it is released, whatever is reloaded; NULL if it is no running module's. */
typedef struct svi_mod_file svi_command_hold;
svi_command_hold *svi_mods_command_hold(const svi_mods *mods, const sv_command *command);
void svi_mods_command_release(svi_command_hold **hold);

/* Appends to `array` what every module in the folder declares, as svi_command_json with "module"; in the order
 * of their names. Those that can't be loaded are left out. */
void svi_mods_folder_commands(svi_acct *acct, const char *folder, json_t *array);

/* Runs a module's command on the host that the request names. Calls end it. */
void svi_mods_run(svi_mods *mods, svi_request *request);

#endif
