/* `stave`: which command was meant, with modules' commands told by the server or by their files; asking, or doing without
 * a server where that is possible; printing. */
#include "main/main_tool.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_ask.h"
#include "main/main_backup.h"
#include "main/main_certs.h"
#include "main/main_complete.h"
#include "main/main_manual.h"
#include "main/main_module.h"
#include "main/main_offline.h"
#include "main/main_print.h"
#include "main/main_prompt.h"
#include "main/main_restore.h"
#include "main/main_run.h"
#include "main/main_shard.h"
#include "main/main_state.h"
#include "main/main_supervisor.h"
#include "main/main_takeover.h"
#include "main/main_top.h"

#define STOP_WAIT_MS 15000
#define UPGRADE_WAIT_MS 120000u
#define UPGRADE_STEP_MS 50u

struct svi_tool {
    svi_cli cli;
    char *const *argv; /* as the process got them */
    svi_acct acct;
    svi_arena *arena; /* of what modules declare */
    const sv_command **decls;
    size_t decl_count;
    svi_problems problems, warnings;
    svi_config *config;
    svi_settings settings;
    bool is_read;   /* the config was, or it was tried */
    sv_status read; /* what came of that */
    bool is_faulty; /* something in the settings is wrong; the paths are known */
};

typedef struct svi_tool tool;

/* --- config ------------------------------------------------------------------------------------------- */

/* What commands need to know: where the state folder and the socket are. */
static sv_status read_config(tool *t)
{
    if (t->is_read) return t->read;
    t->is_read = true;
    t->read = svi_config_load(&t->acct, t->cli.config, svi_problems_note, &t->problems, &t->config);
    if (t->read != SV_OK) return t->read;
    t->read = svi_settings_read(t->config, svi_config_section(t->config, 0), &t->settings,
                                svi_problems_note, &t->problems);
    t->is_faulty = t->read != SV_OK;
    return t->read;
}

/* Where the server is can be known even if a setting is wrong. */
static bool knows_socket(tool *t)
{
    return read_config(t) == SV_OK || (t->is_faulty && t->settings.data_path.n > 0);
}

static svi_shard_config shard_config(tool *t)
{
    return (svi_shard_config){.acct = &t->acct,
                              .config = t->config,
                              .settings = &t->settings,
                              .program = t->cli.program,
                              .report = svi_problems_note,
                              .report_ctx = &t->problems};
}

/* From here on with the eyes of the worker: what root alone may read is of no use to it. `refused_out` tells
 * why root could not start the server. */
static sv_status see_as_worker(const tool *t, sv_err *refused_out)
{
    uid_t owner;
    gid_t group;
    sv_status status =
        svi_state_owner(geteuid(), t->settings.user, &owner, &group, refused_out);
    if (status == SV_OK && owner != (uid_t)-1) status = svi_state_become(t->settings.user.p, refused_out);
    return status;
}

static sv_status check_all(tool *t, sv_err *refused_out)
{
    svi_certs *certs = NULL;
    const svi_plat *plat = svi_plat_kernel();
    sv_status status = read_config(t);
    if (t->config) status = svi_settings_check(t->config, svi_problems_note, &t->problems);
    if (status == SV_OK) (void)see_as_worker(t, refused_out);
    if (status == SV_OK)
        status = svi_certs_load(&t->acct, t->config, NULL, svi_problems_note, &t->problems, &certs);
    if (certs)
        svi_certs_warn(certs, plat->wall_us(plat->ctx) / 1000000, t->settings.certificate_warn_days,
                       svi_problems_note, &t->warnings);
    svi_certs_free(&certs);
    const svi_shard_config shard = shard_config(t);
    /* modules are looked at even if certificates are bad: all problems in one go */
    if (t->config && svi_shard_check(&shard) != SV_OK) status = SV_EINVAL;
    return status;
}

static void print_problems(const tool *t)
{
    const sv_str text = svi_buf_str(&t->problems.text);
    (void)fprintf(stderr, "%.*s", (int)text.n, text.p);
}

static void print_warnings(const tool *t)
{
    sv_str rest = svi_buf_str(&t->warnings.text), line;
    while (svi_str_split(&rest, '\n', &line))
        (void)fprintf(stderr, "warning: %.*s\n", (int)line.n, line.p);
}

/* --- saying no ---------------------------------------------------------------------------------------- */

static int exit_of(const char *class)
{
    return class && strcmp(class, "usage") == 0 ? SVI_EXIT_USAGE : SVI_EXIT_FAILED;
}

static void print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}

/* Tells an answer that says no; takes it. */
static int say_no(const tool *t, json_t *take_answer)
{
    const char *problems = json_string_value(json_object_get(take_answer, "problems"));
    const char *error = json_string_value(json_object_get(take_answer, "error"));
    const int status = exit_of(json_string_value(json_object_get(take_answer, "class")));
    if (t->cli.is_json)
        print_json(take_answer);
    else
        (void)fprintf(stderr, "%sstave: %s\n", problems ? problems : "",
                      error ? error : "the server's answer can't be read");
    json_decref(take_answer);
    return status;
}

static int __attribute__((format(printf, 3, 4)))
fail(const tool *t, sv_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *answer = svi_answer_vfault(fault, format, args);
    va_end(args);
    return say_no(t, answer);
}

/* What came of asking. */
static int fail_ask(const tool *t, const sv_err *err)
{
    if (err->code != SV_ENOTFOUND) return fail(t, SV_FAULT_FAILED, "%s", err->text);
    json_t *answer = svi_answer_fault(SV_FAULT_FAILED, "%s", err->text);
    (void)json_object_set_new(answer, "class", json_string("no-server"));
    (void)say_no(t, answer);
    return SVI_EXIT_NO_SERVER;
}

/* The config's problems, and that nothing was done. */
static int fail_config(const tool *t)
{
    const sv_str text = svi_buf_str(&t->problems.text);
    json_t *answer = svi_answer_fault(SV_FAULT_FAILED, "nothing was done");
    (void)json_object_set_new(answer, "problems", json_stringn(text.p ? text.p : "", text.n));
    return say_no(t, answer);
}

/* --- check, options, version -------------------------------------------------------------------------- */

static json_t *lines_json(const svi_problems *problems)
{
    json_t *lines = json_array();
    sv_str rest = svi_buf_str(&problems->text), line;
    while (svi_str_split(&rest, '\n', &line))
        if (line.n > 0) (void)json_array_append_new(lines, json_stringn(line.p, line.n));
    return lines;
}

static int check_json(const tool *t, bool is_good, const sv_err *refused)
{
    json_t *answer = json_pack("{s:b, s:o, s:o}", "ok", is_good, "problems", lines_json(&t->problems),
                               "warnings", lines_json(&t->warnings));
    if (!is_good) {
        (void)json_object_set_new(answer, "class", json_string("failed"));
        (void)json_object_set_new(answer, "error", json_string("the configuration has problems"));
    }
    if (refused->code != SV_OK)
        (void)json_object_set_new(answer, "note", json_string(refused->text));
    print_json(answer);
    json_decref(answer);
    return is_good ? SVI_EXIT_OK : SVI_EXIT_FAILED;
}

int svi_tool_check(tool *t)
{
    sv_err refused = {.code = SV_OK};
    const bool is_good = check_all(t, &refused) == SV_OK && t->problems.count == 0;
    if (t->cli.is_json) return check_json(t, is_good, &refused);
    print_problems(t);
    print_warnings(t);
    if (!is_good) return SVI_EXIT_FAILED;
    /* only matters if the one who checks is the one who starts: under systemd's User=, say, it is not, so
     * this is no fault of the configuration */
    if (refused.code != SV_OK)
        (void)fprintf(stderr, "%s: note: `stave serve` would refuse here: %s\n", t->cli.config,
                      refused.text);
    (void)printf("%s: no %s\n", t->cli.config,
                 t->warnings.count ? "errors, but see the warnings" : "problems");
    return SVI_EXIT_OK;
}

int svi_tool_check_module(tool *t)
{
    const json_t *files = json_object_get(t->cli.request, "file");
    json_t *answers = json_array();
    bool is_good = true;
    for (size_t i = 0; i < json_array_size(files); i++) {
        json_t *one = svi_module_describe(&t->acct, json_string_value(json_array_get(files, i)));
        is_good = is_good && json_is_true(json_object_get(one, "ok"));
        if (!t->cli.is_json) svi_print_module(one);
        (void)json_array_append_new(answers, one);
    }
    json_t *answer = json_pack("{s:b, s:o}", "ok", is_good, "modules", answers);
    if (!is_good)
        (void)json_object_update_new(answer, json_pack("{s:s, s:s}", "class", "refused", "error",
                                                       "a server would not load all of them"));
    if (t->cli.is_json) print_json(answer);
    json_decref(answer);
    return is_good ? SVI_EXIT_OK : SVI_EXIT_FAILED;
}

/* Prints a text, in JSON as the member `name`. */
static int print_text(const tool *t, const char *name, sv_str text)
{
    if (t->cli.is_json) {
        json_t *answer = json_pack("{s:b, s:s%}", "ok", 1, name, text.p ? text.p : "", text.n);
        print_json(answer);
        json_decref(answer);
    } else if (text.n > 0) {
        (void)fwrite(text.p, 1, text.n, stdout);
    }
    return SVI_EXIT_OK;
}

/* The core's words, then those of the modules if there is a config that names some. */
int svi_tool_options(tool *t)
{
    svi_buf out;
    svi_buf_init(&out, &t->acct);
    svi_options_manual(&out, svi_settings_options(), sizeof(sv_option));
    svi_options_manual(&out, svi_budget_options(), sizeof(sv_option));
    if (read_config(t) == SV_OK) {
        const svi_shard_config shard = shard_config(t);
        svi_shard_manual(&shard, &out);
    }
    const int status = print_text(t, "options", svi_buf_str(&out));
    svi_buf_free(&out);
    return status;
}

int svi_tool_version(tool *t)
{
    return t->cli.is_json ? print_text(t, "version", SV_STR(SVI_VERSION))
                          : print_text(t, "version", SV_STR("stave " SVI_VERSION "\n"));
}

/* The path by which this binary was called: a link, maybe, which leads to another release by the time of an upgrade. */
static const char *called_as(tool *t)
{
    const char *name = t->argv[0];
    if (name[0] == '/') return name;
    char *here = strchr(name, '/') ? getcwd(NULL, 0) : NULL;
    const char *path = here ? svi_arena_printf(t->arena, "%s/%s", here, name).p : t->cli.program;
    free(here);
    return path;
}

/* A release that is to take over the one that runs is tried so. */
static int try_serve(tool *t)
{
    const int status = svi_tool_check(t);
    if (status == SVI_EXIT_OK) svi_takeover_say();
    return status;
}

int svi_tool_serve(tool *t)
{
    if (svi_takeover_is_trial()) return try_serve(t);
    const svi_supervisor_config serve = {
        .cli = &t->cli, .config = t->cli.config, .binary = called_as(t)};
    return svi_supervise(&serve);
}

int svi_tool_run(tool *t)
{
    return svi_run_main(&t->cli, svi_cli_arg(&t->cli, "dir"));
}

/* --- authors of modules -------------------------------------------------------------------------------- */

/* It lies beside the binary, in the build tree or installed. */
int svi_tool_author(tool *t)
{
    static const char *const beside[] = {"sdk/author/stave-sdk", "../lib/stave/sdk/stave-sdk"};
    const char *slash = strrchr(t->cli.program, '/');
    const int n = slash ? (int)(slash - t->cli.program) : 0;
    const char *path = NULL;
    for (size_t i = 0; i < 2; i++) {
        path = svi_arena_printf(t->arena, "%.*s%s%s", n, t->cli.program, slash ? "/" : "", beside[i]).p;
        if (access(path, F_OK) == 0) break;
    }
    (void)execv(path, t->argv);
    if (errno == ENOENT)
        return fail(t, SV_FAULT_FAILED,
                    "'%s' needs the SDK, which is not installed (%s): in Stave's sources, `make install-sdk`",
                    t->cli.what->name, path);
    return fail(t, SV_FAULT_FAILED, "%s can't be run: %s", path, strerror(errno));
}

/* --- declarations ------------------------------------------------------------------------------------- */

static void add_decl(tool *t, const sv_command *what)
{
    t->decls = svi_realloc(&t->acct, t->decls, (t->decl_count + 1) * sizeof *t->decls);
    t->decls[t->decl_count++] = what;
}

static void add_core_decls(tool *t)
{
    const svi_core_command *core;
    for (size_t i = 0; (core = svi_core_at(i)) != NULL; i++) add_decl(t, &core->what);
}

static void add_read_decls(tool *t, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        sv_command *c = svi_arena_get(t->arena, sizeof *c);
        const json_t *json = json_array_get(list, i);
        if (json_object_get(json, "module") && svi_command_read(t->arena, json, c)) add_decl(t, c);
    }
}

/* What modules declare: the server's, if one runs, else those that the config names. */
static void add_module_decls(tool *t)
{
    json_t *request = json_pack("{s:s}", "command", "commands"), *answer = NULL;
    sv_err err = {.text = ""};
    if (knows_socket(t) && svi_ask(t->settings.control_socket.p, request, &answer, &err) == SV_OK) {
        add_read_decls(t, json_object_get(answer, "commands"));
    } else if (err.code == SV_ENOTFOUND && !t->is_faulty) {
        json_t *list = json_array();
        (void)see_as_worker(t, &err);
        const svi_shard_config shard = shard_config(t);
        svi_shard_commands(&shard, list);
        add_read_decls(t, list);
        json_decref(list);
    }
    json_decref(answer);
    json_decref(request);
}

/* --- for shells and for the build ----------------------------------------------------------------------- */

static svi_module_job module_job(const tool *t)
{
    return (svi_module_job){.acct = (svi_acct *)(uintptr_t)&t->acct,
                            .config = t->config,
                            .settings = &t->settings,
                            .program = t->cli.program,
                            .is_json = t->cli.is_json};
}

/* Names of the operator's modules, which no server is asked for. */
static json_t *list_names(const tool *t)
{
    const svi_module_job job = module_job(t);
    return svi_module_names(&job);
}

/* Nothing is told of what goes wrong: somebody is typing. */
static json_t *ask_quietly(void *ctx, const json_t *request)
{
    tool *t = ctx;
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    const char *command = json_string_value(json_object_get(request, "command"));
    if (command && strcmp(command, "module list") == 0) return read_config(t) == SV_OK ? list_names(t) : NULL;
    if (knows_socket(t)) (void)svi_ask(t->settings.control_socket.p, request, &answer, &err);
    return answer;
}

/* `stave complete -- WORD ...`: what the last word may become. A --config among them counts. */
static int complete(tool *t, int count, char *const *words)
{
    svi_buf out;
    svi_buf_init(&out, &t->acct);
    t->cli.config = SVI_DEFAULT_CONFIG;
    for (int i = 0; i + 2 < count; i++)
        if (strcmp(words[i], "--config") == 0) t->cli.config = words[i + 1];
    add_module_decls(t);
    const svi_decls decls = {t->decls, t->decl_count};
    if (count > 0) svi_complete(&decls, (size_t)count, words, ask_quietly, t, &out);
    if (out.len > 0) (void)fwrite(out.data, 1, out.len, stdout);
    svi_buf_free(&out);
    return SVI_EXIT_OK;
}

/* `stave manual`: the page of the core's commands and those of the modules that lie beside the binary. */
int svi_tool_manual(tool *t)
{
    svi_buf out;
    svi_buf_init(&out, &t->acct);
    json_t *list = json_array();
    const sv_str program = sv_str_of(t->cli.program);
    size_t n = program.n;
    while (n > 0 && program.p[n - 1] != '/') n--;
    svi_mods_folder_commands(&t->acct, svi_arena_printf(t->arena, "%.*smodules", (int)n, program.p).p, list);
    add_read_decls(t, list);
    json_decref(list);
    const svi_decls decls = {t->decls, t->decl_count};
    svi_manual(&decls, &out);
    const int status = print_text(t, "manual", svi_buf_str(&out));
    svi_buf_free(&out);
    return status;
}

/* --- help ----------------------------------------------------------------------------------------------- */

static int help(tool *t, sv_str topic)
{
    const svi_decls decls = {t->decls, t->decl_count};
    svi_buf out;
    svi_buf_init(&out, &t->acct);
    int status = SVI_EXIT_USAGE;
    if (svi_cli_help(&decls, topic, &out))
        status = print_text(t, "help", svi_buf_str(&out));
    else
        (void)fail(t, SV_FAULT_USAGE, "there is no command '%.*s'; `stave help` shows all",
                   (int)(topic.n < 60 ? topic.n : 60), topic.p);
    svi_buf_free(&out);
    return status;
}

int svi_tool_help(tool *t)
{
    const char *topic = svi_cli_arg(&t->cli, "topic"), *word = svi_cli_arg(&t->cli, "word");
    add_module_decls(t);
    return help(t, !topic ? SV_STR("")
                          : svi_arena_printf(t->arena, "%s%s%s", topic, word ? " " : "", word ? word : ""));
}

/* --- asking ------------------------------------------------------------------------------------------- */

/* Asks the server, or does it here if none runs and the command can be done so. */
static sv_status ask(tool *t, const json_t *request, json_t **answer_out, sv_err *err)
{
    const bool without = (t->cli.what->flags & SV_COMMAND_OFFLINE) != 0;
    const sv_status status = svi_ask(t->settings.control_socket.p, request, answer_out, err);
    if (status != SV_ENOTFOUND || !without) return status;
    if (t->is_faulty) {
        if (!t->cli.is_json) print_problems(t);
        return svi_err(err, SV_EINVAL, "the configuration has to be mended first");
    }
    const svi_offline_config offline = {.acct = &t->acct,
                                        .config = t->config,
                                        .settings = &t->settings,
                                        .program = t->cli.program};
    json_t *requests = json_pack("[O]", request);
    const sv_status done = svi_offline_run(&offline, requests, answer_out, err);
    json_decref(requests);
    if (done == SV_ENOTFOUND) err->code = SV_EIO; /* that no server runs is no trouble here */
    return done;
}

/* An answer that is not made of records. */
static int tell(const tool *t, json_t *take_answer)
{
    /* of a reload, whatever became of the configuration */
    const char *log = json_string_value(json_object_get(take_answer, "log-problem"));
    if (log && !t->cli.is_json)
        (void)fprintf(stderr, "stave: the log goes on in the old file: %s\n", log);
    if (!json_is_true(json_object_get(take_answer, "ok"))) return say_no(t, take_answer);
    if (t->cli.is_json)
        print_json(take_answer);
    else
        t->cli.core->print(take_answer);
    json_decref(take_answer);
    return log ? SVI_EXIT_FAILED : SVI_EXIT_OK;
}

/* Records, page by page, as one JSON document. */
typedef struct pages {
    svi_printer printer;
    size_t count; /* of the rows so far */
    bool is_begun;
} pages;

static void print_begin(const json_t *about)
{
    (void)printf("{\n");
    if (about) {
        (void)printf("  \"about\": ");
        (void)json_dumpf(about, stdout, 0);
        (void)printf(",\n");
    }
    (void)printf("  \"rows\": [");
}

static void print_page(const tool *t, pages *p, const json_t *answer)
{
    const json_t *rows = json_object_get(answer, "rows");
    if (!t->cli.is_json) {
        svi_print_rows(&p->printer, answer);
        return;
    }
    if (!p->is_begun) print_begin(json_object_get(answer, "about"));
    p->is_begun = true;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        (void)printf("%s\n    ", p->count++ ? "," : "");
        (void)json_dumpf(json_array_get(rows, i), stdout, 0);
    }
}

/* Ends the document, with what is wrong if `error` (taken) is not NULL. */
static int end_pages(const tool *t, const pages *p, json_t *error)
{
    if (!t->cli.is_json || !p->is_begun) return error ? say_no(t, error) : SVI_EXIT_OK;
    (void)printf("%s],\n", p->count ? "\n  " : "");
    if (!error) {
        (void)printf("  \"ok\": true\n}\n");
        return SVI_EXIT_OK;
    }
    const char *name;
    json_t *value;
    size_t left = json_object_size(error);
    json_object_foreach(error, name, value)
    {
        (void)printf("  \"%s\": ", name);
        (void)json_dumpf(value, stdout, JSON_ENCODE_ANY);
        (void)printf("%s\n", --left ? "," : "");
    }
    (void)printf("}\n");
    const int status = exit_of(json_string_value(json_object_get(error, "class")));
    json_decref(error);
    return status;
}

/* Asks until the answer is whole; a server that turns in circles is not followed. */
static int ask_pages(tool *t)
{
    pages p = {.count = 0};
    svi_print_init(&p.printer, t->cli.what);
    for (;;) {
        json_t *answer = NULL;
        sv_err err = {.text = ""};
        if (ask(t, t->cli.request, &answer, &err) != SV_OK)
            return p.is_begun ? end_pages(t, &p, svi_answer_fault(SV_FAULT_FAILED, "%s", err.text))
                              : fail_ask(t, &err);
        if (!json_is_true(json_object_get(answer, "ok"))) return end_pages(t, &p, answer);
        print_page(t, &p, answer);
        json_t *more = json_object_get(answer, "more");
        const bool is_new = more && !json_equal(more, json_object_get(t->cli.request, "from"));
        if (is_new) (void)json_object_set(t->cli.request, "from", more);
        json_decref(answer);
        if (!more) return end_pages(t, &p, NULL);
        if (!is_new)
            return end_pages(t, &p, svi_answer_fault(SV_FAULT_FAILED, "the answer does not end"));
    }
}

static int ask_once(tool *t)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    if (ask(t, t->cli.request, &answer, &err) != SV_OK) return fail_ask(t, &err);
    return tell(t, answer);
}

/* The server lets go of the state folder at its very end. */
int svi_tool_stop(tool *t)
{
    int lock;
    sv_err err = {.text = ""};
    if (!knows_socket(t)) return fail_config(t);
    json_t *answer = NULL;
    if (ask(t, t->cli.request, &answer, &err) != SV_OK) return fail_ask(t, &err);
    if (!json_is_true(json_object_get(answer, "ok"))) return say_no(t, answer);
    json_decref(answer);
    if (svi_state_lock(t->settings.data_path.p, STOP_WAIT_MS, &lock, &err) != SV_OK)
        return fail(t, SV_FAULT_FAILED, "the server was told to stop but has not ended yet");
    return t->cli.is_json ? print_text(t, "what", SV_STR("stopped")) : SVI_EXIT_OK;
}

/* Asks the one that serves now; it is not there in the moment of the exchange. */
static json_t *status_of_next(tool *t, int64_t former_pid)
{
    json_t *answer = NULL, *request = json_pack("{s:s}", "command", "status");
    for (unsigned waited_ms = 0; waited_ms < UPGRADE_WAIT_MS; waited_ms += UPGRADE_STEP_MS) {
        sv_err err = {.text = ""};
        const bool is_there = svi_ask(t->settings.control_socket.p, request, &answer, &err) == SV_OK;
        if (is_there && json_integer_value(json_object_get(answer, "pid")) != former_pid) break;
        json_decref(answer);
        answer = NULL;
        (void)poll(NULL, 0, UPGRADE_STEP_MS);
    }
    json_decref(request);
    return answer;
}

/* The answer of the one that serves tells what became of it. */
int svi_tool_upgrade(tool *t)
{
    sv_err err = {.text = ""};
    json_t *answer = NULL;
    if (!knows_socket(t)) return fail_config(t);
    if (ask(t, t->cli.request, &answer, &err) != SV_OK) return fail_ask(t, &err);
    if (!json_is_true(json_object_get(answer, "ok"))) return say_no(t, answer);
    json_t *now = status_of_next(t, json_integer_value(json_object_get(answer, "pid")));
    json_decref(answer);
    if (!now)
        return fail(t, SV_FAULT_FAILED, "the new release was told to take over, but nobody serves yet: the log tells why");
    const json_t *failed = json_object_get(now, "upgrade-failed");
    if (failed) {
        const int status = fail(t, SV_FAULT_FAILED, "the release before serves again: %s", json_string_value(failed));
        json_decref(now);
        return status;
    }
    json_t *told = json_pack("{s:b, s:O, s:O, s:O}", "ok", 1, "version", json_object_get(now, "version"), "from",
                             json_object_get(now, "upgraded-from"), "pid", json_object_get(now, "pid"));
    json_decref(now);
    return told ? tell(t, told)
                : fail(t, SV_FAULT_FAILED, "the server was restarted by something else meanwhile: the log tells");
}

/* --- arguments ---------------------------------------------------------------------------------------- */

/* Their form, before anything is asked: without a server, too. */
static bool is_well_formed(const tool *t, sv_err *err)
{
    svi_args args;
    return svi_args_read(t->arena, t->cli.what, t->cli.request, NULL, &args, err) == 0;
}

/* The server has another working directory. */
static void whole_paths(tool *t)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(t->cli.what, i)) != NULL; i++) {
        const char *path = svi_cli_arg(&t->cli, arg->name);
        if (arg->kind != SV_ARG_FILE || !path || path[0] == '/') continue;
        char *here = getcwd(NULL, 0);
        if (!here) continue;
        (void)json_object_set_new(t->cli.request, arg->name,
                                  json_string(svi_arena_printf(t->arena, "%s/%s", here, path).p));
        free(here);
    }
}

/* Reads the secret, if the command has one, into the request. */
static bool take_secret(tool *t, sv_err *err)
{
    char secret[SVI_PASSWORD_BYTES] = "";
    const sv_arg *arg = NULL;
    const char *whose = "";
    for (size_t i = 0; (arg = svi_arg_at(t->cli.what, i)) != NULL && arg->kind != SV_ARG_SECRET; i++)
        if (svi_cli_arg(&t->cli, arg->name)) whose = svi_cli_arg(&t->cli, arg->name);
    if (!arg) return true;
    bool is_read = svi_prompt_password(whose, secret, err) == SV_OK;
    json_t *text = is_read ? json_string(secret) : NULL;
    if (is_read && !text) {
        (void)svi_err(err, SV_EINVAL, "address and password must be UTF-8");
        is_read = false;
    }
    if (text) (void)json_object_set_new(t->cli.request, arg->name, text);
    OPENSSL_cleanse(secret, sizeof secret);
    return is_read;
}

static int ask_for(tool *t)
{
    sv_err err = {.text = ""};
    if (!knows_socket(t)) return fail_config(t);
    if (!is_well_formed(t, &err)) return fail(t, SV_FAULT_USAGE, "%s", err.text);
    whole_paths(t);
    if (!take_secret(t, &err)) return fail(t, SV_FAULT_FAILED, "%s", err.text);
    return t->cli.core && t->cli.core->print ? ask_once(t) : ask_pages(t);
}

/* --- modules of the operator ---------------------------------------------------------------------------- */

int svi_tool_module_install(tool *t)
{
    if (read_config(t) != SV_OK) return fail_config(t);
    svi_module_job job = module_job(t);
    job.what = svi_cli_arg(&t->cli, "file");
    job.is_sure = svi_cli_arg(&t->cli, "yes") != NULL;
    job.may_hide = svi_cli_arg(&t->cli, "replace") != NULL;
    return tell(t, svi_module_install(&job));
}

int svi_tool_module_remove(tool *t)
{
    if (read_config(t) != SV_OK) return fail_config(t);
    svi_module_job job = module_job(t);
    job.what = svi_cli_arg(&t->cli, "module");
    job.keeps_data = svi_cli_arg(&t->cli, "keep-data") != NULL;
    job.deletes_data = svi_cli_arg(&t->cli, "delete-data") != NULL;
    return tell(t, svi_module_remove(&job));
}

/* What is wrong with a folder is told beside the others. */
int svi_tool_module_list(tool *t)
{
    if (read_config(t) != SV_OK) return fail_config(t);
    const svi_module_job job = module_job(t);
    json_t *answer = svi_module_list(&job);
    const char *problems = json_string_value(json_object_get(answer, "problems"));
    const int status = problems == NULL ? SVI_EXIT_OK : SVI_EXIT_FAILED;
    svi_printer printer;
    svi_print_init(&printer, t->cli.what);
    if (t->cli.is_json)
        print_json(answer);
    else
        svi_print_rows(&printer, answer);
    if (problems != NULL && !t->cli.is_json) (void)fprintf(stderr, "%s", problems);
    json_decref(answer);
    return status;
}

/* --- backups ------------------------------------------------------------------------------------------ */

/* The host is named in the maps as addresses are prepared. NULL if none is given. */
static sv_status take_host(tool *t, const char **host_out, sv_err *err)
{
    const char *given = svi_cli_arg(&t->cli, "host");
    sv_str prepared = SV_STR_NONE;
    *host_out = NULL;
    if (!given) return SV_OK;
    if (svi_jid_prep_domain(t->arena, sv_str_of(given), &prepared) != SV_OK)
        return svi_err(err, SV_EINVAL, "'%.100s' is no domain", given);
    *host_out = svi_arena_str(t->arena, prepared).p;
    return SV_OK;
}

int svi_tool_backup(tool *t)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    if (!knows_socket(t)) return fail_config(t);
    svi_backup_job job = {.acct = &t->acct,
                          .settings = &t->settings,
                          .version = SVI_VERSION,
                          .to = svi_cli_arg(&t->cli, "to")};
    if (!is_well_formed(t, &err) || take_host(t, &job.host, &err) != SV_OK)
        return fail(t, SV_FAULT_USAGE, "%s", err.text);
    if (svi_backup_run(&job, &answer, &err) != SV_OK) return fail_ask(t, &err);
    if (strcmp(job.to, "-") != 0) return tell(t, answer);
    json_decref(answer); /* standard output is taken */
    return SVI_EXIT_OK;
}

int svi_tool_backup_check(tool *t)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    if (svi_backup_check(&t->acct, svi_cli_arg(&t->cli, "file"), &answer, &err) != SV_OK)
        return fail(t, SV_FAULT_FAILED, "%s", err.text);
    return tell(t, answer);
}

int svi_tool_restore(tool *t)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    if (read_config(t) != SV_OK) return fail_config(t);
    svi_restore_job job = {.acct = &t->acct,
                           .config = t->config,
                           .settings = &t->settings,
                           .program = t->cli.program,
                           .from = svi_cli_arg(&t->cli, "file"),
                           .force = svi_cli_arg(&t->cli, "force") != NULL};
    if (!is_well_formed(t, &err) || take_host(t, &job.host, &err) != SV_OK)
        return fail(t, SV_FAULT_USAGE, "%s", err.text);
    if (svi_restore_run(&job, &answer, &err) != SV_OK) return fail_ask(t, &err);
    return tell(t, answer);
}

/* --- following ---------------------------------------------------------------------------------------- */

typedef struct following {
    const tool *tool;
    json_t *refusal; /* the answer, if it says no */
    bool is_begun, is_over;
} following;

static void print_followed(const following *f, const json_t *line)
{
    const json_t *record = json_object_get(line, "record"), *dropped = json_object_get(line, "dropped");
    const char *text = json_string_value(json_object_get(line, "text"));
    const char *xml = json_string_value(json_object_get(record, "xml"));
    if (f->tool->cli.is_json) {
        (void)json_dumpf(record ? record : line, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (dropped) {
        (void)printf("... %" JSON_INTEGER_FORMAT " lines are missing: they came faster than they were read\n",
                     json_integer_value(dropped));
    } else {
        svi_print_line("", text ? text : "a line that can't be read");
        if (xml) svi_print_line("    ", xml);
        if (json_is_true(json_object_get(record, "cut"))) svi_print_line("    ", "[cut]");
        if (json_is_true(json_object_get(record, "hidden")))
            svi_print_line("    ", "[not shown: it may hold a password]");
    }
    (void)fflush(stdout);
}

static bool on_followed(void *ctx, const json_t *line)
{
    following *f = ctx;
    if (!f->is_begun) {
        f->is_begun = json_is_true(json_object_get(line, "ok"));
        if (!f->is_begun) f->refusal = json_incref((json_t *)(uintptr_t)line);
        return f->is_begun;
    }
    f->is_over = json_object_get(line, "end") != NULL;
    if (!f->is_over) print_followed(f, line);
    return !f->is_over && !ferror(stdout);
}

/* The last line, for those who read JSON line by line. */
static int end_following(const tool *t, const char *why)
{
    if (!t->cli.is_json) {
        (void)fprintf(stderr, "stave: %s\n", why);
        return SVI_EXIT_FAILED;
    }
    json_t *last = svi_answer_fault(SV_FAULT_FAILED, "%s", why);
    (void)json_dumpf(last, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(last);
    return SVI_EXIT_FAILED;
}

int svi_tool_follow(tool *t)
{
    sv_err err = {.text = ""};
    following f = {.tool = t};
    if (!knows_socket(t)) return fail_config(t);
    if (!is_well_formed(t, &err)) return fail(t, SV_FAULT_USAGE, "%s", err.text);
    const sv_status status =
        svi_ask_lines(t->settings.control_socket.p, t->cli.request, on_followed, &f, &err);
    if (f.refusal) return say_no(t, f.refusal);
    if (f.is_over) return end_following(t, "the server has been stopped");
    if (f.is_begun && status == SV_ECLOSED) return end_following(t, err.text);
    if (status != SV_OK) return fail_ask(t, &err);
    return fail(t, SV_FAULT_FAILED, "nothing can be written to standard output");
}

int svi_tool_top(tool *t)
{
    bool is_begun;
    json_t *refusal;
    svi_args args;
    sv_err err = {.text = ""};
    if (!knows_socket(t)) return fail_config(t);
    if (svi_args_read(t->arena, t->cli.what, t->cli.request, NULL, &args, &err) != 0)
        return fail(t, SV_FAULT_USAGE, "%s", err.text);
    const svi_top_config config = {.socket = t->settings.control_socket.p,
                                   .request = t->cli.request,
                                   .interval_ms = args.values[0].number,
                                   .count = args.values[1].number,
                                   .is_json = t->cli.is_json};
    const sv_status status = svi_top_run(&config, &is_begun, &refusal, &err);
    if (status == SV_OK) return SVI_EXIT_OK;
    if (refusal) return say_no(t, refusal);
    if (!is_begun) return fail_ask(t, &err);
    return end_following(t, err.code == SV_ENOTFOUND ? "the server has ended" : err.text);
}

/* --- all ---------------------------------------------------------------------------------------------- */

/* A command that the core has not may be one of a module. */
static sv_status parse(tool *t, int argc, char *const *argv, const char *program, sv_err *err)
{
    svi_decls decls = {t->decls, t->decl_count};
    sv_status status = svi_cli_parse(argc, argv, &decls, &t->cli, err);
    t->cli.program = program;
    if (status != SV_ENOTFOUND) return status;
    add_module_decls(t);
    svi_cli_free(&t->cli);
    decls = (svi_decls){t->decls, t->decl_count};
    status = svi_cli_parse(argc, argv, &decls, &t->cli, err);
    t->cli.program = program;
    return status;
}

static int run(tool *t, int argc, char *const *argv, const char *program)
{
    sv_err err = {.text = ""};
    const bool is_completion = argc > 2 && strcmp(argv[1], "complete") == 0 && strcmp(argv[2], "--") == 0;
    t->cli.program = program;
    if (is_completion) return complete(t, argc - 3, argv + 3);
    if (parse(t, argc, argv, program, &err) != SV_OK) return fail(t, SV_FAULT_USAGE, "%s", err.text);
    if (t->cli.wants_help) return help(t, sv_str_of(t->cli.what->name));
    return t->cli.core && t->cli.core->here ? t->cli.core->here(t) : ask_for(t);
}

int svi_tool_main(int argc, char *const *argv, const char *program)
{
    tool t = {.argv = argv, .acct = {.name = "command"}};
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_problems_init(&t.problems, &t.acct);
    svi_problems_init(&t.warnings, &t.acct);
    t.arena = svi_arena_new(&t.acct, 4096);
    add_core_decls(&t);
    const int status = run(&t, argc, argv, program);
    svi_problems_free(&t.problems);
    svi_problems_free(&t.warnings);
    svi_config_free(&t.config);
    svi_cli_free(&t.cli);
    svi_free(t.decls);
    svi_arena_free(&t.arena);
    return status;
}
