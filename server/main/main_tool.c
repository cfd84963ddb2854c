/* Commands for operators: they ask the running server, or do without one where that is possible, and print. */
#include "main/main_tool.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_ask.h"
#include "main/main_certs.h"
#include "main/main_offline.h"
#include "main/main_print.h"
#include "main/main_prompt.h"
#include "main/main_shard.h"
#include "main/main_state.h"

#define STOP_WAIT_MS 15000

typedef struct tool {
    const svi_cli *cli;
    svi_acct acct;
    svi_problems problems, warnings;
    svi_config *config;
    svi_settings settings;
    bool is_faulty; /* something in the settings is wrong; the paths are known */
} tool;

/* --- config ------------------------------------------------------------------------------------------- */

/* What commands need to know: where the state folder and the socket are. */
static sv_status read_config(tool *t)
{
    sv_status status =
        svi_config_load(&t->acct, t->cli->config, svi_problems_note, &t->problems, &t->config);
    if (status != SV_OK) return status;
    status = svi_settings_read(t->config, svi_config_section(t->config, 0), &t->settings,
                               svi_problems_note, &t->problems);
    t->is_faulty = status != SV_OK;
    return status;
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
    const svi_shard_config shard = {.acct = &t->acct,
                                    .config = t->config,
                                    .settings = &t->settings,
                                    .program = t->cli->program,
                                    .report = svi_problems_note,
                                    .report_ctx = &t->problems};
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

static int check(tool *t)
{
    sv_err refused = {.code = SV_OK};
    const bool is_good = check_all(t, &refused) == SV_OK && t->problems.count == 0;
    print_problems(t);
    print_warnings(t);
    if (!is_good) return SVI_EXIT_FAILED;
    /* only matters if the one who checks is the one who starts: under systemd's User=, say, it is not, so
     * this is no fault of the configuration */
    if (refused.code != SV_OK)
        (void)fprintf(stderr, "%s: note: `stave serve` would refuse here: %s\n", t->cli->config,
                      refused.text);
    (void)printf("%s: no %s\n", t->cli->config,
                 t->warnings.count ? "errors, but see the warnings" : "problems");
    return SVI_EXIT_OK;
}

/* The core's words, then those of the modules if there is a config that names some. */
static int options(tool *t)
{
    svi_buf out;
    svi_buf_init(&out, &t->acct);
    svi_options_manual(&out, svi_settings_options(), sizeof(sv_option));
    if (read_config(t) == SV_OK) {
        const svi_shard_config shard = {.acct = &t->acct,
                                        .config = t->config,
                                        .settings = &t->settings,
                                        .program = t->cli->program,
                                        .report = svi_problems_note,
                                        .report_ctx = &t->problems};
        svi_shard_manual(&shard, &out);
    }
    const sv_str text = svi_buf_str(&out);
    (void)fwrite(text.p, 1, text.n, stdout);
    svi_buf_free(&out);
    return SVI_EXIT_OK;
}

/* --- asking ------------------------------------------------------------------------------------------- */

static int exit_status(const tool *t, const json_t *answer)
{
    /* of a reload, whatever became of the configuration */
    const char *log = json_string_value(json_object_get(answer, "log-problem"));
    if (log) (void)fprintf(stderr, "stave: the log goes on in the old file: %s\n", log);
    if (json_is_true(json_object_get(answer, "ok"))) {
        svi_print_answer(t->cli->command, answer);
        return log ? SVI_EXIT_FAILED : SVI_EXIT_OK;
    }
    const char *problems = json_string_value(json_object_get(answer, "problems"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    (void)fprintf(stderr, "%sstave: %s\n", problems ? problems : "",
                  error ? error : "the server's answer can't be read");
    return SVI_EXIT_FAILED;
}

/* Asks the server, or does it here if none runs and `without` allows that. */
static sv_status ask(tool *t, const json_t *request, bool without, json_t **answer_out, sv_err *err)
{
    const sv_status status = svi_ask(t->settings.control_socket.p, request, answer_out, err);
    if (status != SV_ENOTFOUND || !without) return status;
    if (t->is_faulty) {
        print_problems(t);
        return svi_err(err, SV_EINVAL, "the configuration has to be mended first");
    }
    const svi_offline_config offline = {.acct = &t->acct,
                                        .config = t->config,
                                        .settings = &t->settings,
                                        .program = t->cli->program};
    json_t *requests = json_pack("[O]", request);
    const sv_status done = svi_offline_run(&offline, requests, answer_out, err);
    json_decref(requests);
    return done;
}

static int tell(const sv_err *err)
{
    (void)fprintf(stderr, "stave: %s\n", err->text);
    return err->code == SV_ENOTFOUND ? SVI_EXIT_NO_SERVER : SVI_EXIT_FAILED;
}

static int ask_and_print(tool *t, const json_t *request, bool without)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    if (ask(t, request, without, &answer, &err) != SV_OK) return tell(&err);
    const int status = exit_status(t, answer);
    json_decref(answer);
    return status;
}

static int ask_simple(tool *t)
{
    json_t *request = json_pack("{s:s}", "command", svi_command_words(t->cli->command));
    const int status = ask_and_print(t, request, false);
    json_decref(request);
    return status;
}

/* The server lets go of the state folder at its very end. */
static int stop(tool *t)
{
    int lock;
    sv_err err = {.text = ""};
    const int status = ask_simple(t);
    if (status != SVI_EXIT_OK) return status;
    if (svi_state_lock(t->settings.data_path.p, STOP_WAIT_MS, &lock, &err) != SV_OK) {
        (void)fprintf(stderr, "stave: the server was told to stop but has not ended yet\n");
        return SVI_EXIT_FAILED;
    }
    return SVI_EXIT_OK;
}

/* --- users -------------------------------------------------------------------------------------------- */

static int user_change(tool *t)
{
    char password[SVI_PASSWORD_BYTES] = "";
    sv_err err = {.text = ""};
    const bool needs_password = t->cli->command != SVI_CMD_USER_DELETE;
    if (needs_password && svi_prompt_password(t->cli->argument, password, &err) != SV_OK) {
        OPENSSL_cleanse(password, sizeof password);
        return tell(&err);
    }
    json_t *request = json_pack("{s:s, s:s}", "command", svi_command_words(t->cli->command),
                                "address", t->cli->argument);
    int status = SVI_EXIT_FAILED;
    json_t *text = json_string(password);
    if (request && text && json_object_set(request, "password", text) == 0)
        status = ask_and_print(t, request, true);
    else
        (void)fprintf(stderr, "stave: address and password must be UTF-8\n");
    OPENSSL_cleanse(password, sizeof password);
    json_decref(text);
    json_decref(request);
    return status;
}

/* All accounts of one host, page by page. */
static int list_host(tool *t, sv_str host)
{
    json_t *request = json_pack("{s:s, s:s%}", "command", "user list", "host", host.p, host.n);
    int status = SVI_EXIT_OK;
    for (bool more = true; more && status == SVI_EXIT_OK;) {
        json_t *answer = NULL;
        sv_err err = {.text = ""};
        if (ask(t, request, true, &answer, &err) != SV_OK) {
            status = tell(&err);
            break;
        }
        status = exit_status(t, answer);
        const json_t *names = json_object_get(answer, "names");
        const size_t count = json_array_size(names);
        more = count > 0 && json_is_true(json_object_get(answer, "more"));
        if (more) (void)json_object_set(request, "after", json_array_get(names, count - 1));
        json_decref(answer);
    }
    json_decref(request);
    return status;
}

static int user_list(tool *t)
{
    if (t->cli->argument) return list_host(t, sv_str_of(t->cli->argument));
    int status = SVI_EXIT_OK;
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(t->config, i)) != NULL; i++)
        if (section->kind == SVI_SECTION_HOST && status == SVI_EXIT_OK)
            status = list_host(t, section->name);
    return status;
}

/* --- which there are ---------------------------------------------------------------------------------- */

static int run(tool *t)
{
    if (t->cli->command == SVI_CMD_CHECK) return check(t);
    if (t->cli->command == SVI_CMD_OPTIONS) return options(t);
    /* a running server is asked even if a setting is wrong by now: `stave reload` tells what it says to that */
    if (read_config(t) != SV_OK && (!t->is_faulty || t->settings.data_path.n == 0)) {
        print_problems(t);
        (void)fprintf(stderr, "stave: nothing was done\n");
        return SVI_EXIT_FAILED;
    }
    switch (t->cli->command) {
    case SVI_CMD_USER_LIST: return user_list(t);
    case SVI_CMD_USER_ADD:
    case SVI_CMD_USER_PASSWD:
    case SVI_CMD_USER_DELETE: return user_change(t);
    case SVI_CMD_STOP: return stop(t);
    default: return ask_simple(t);
    }
}

int svi_tool_main(const svi_cli *cli)
{
    tool t = {.cli = cli, .acct = {.name = "command"}};
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_problems_init(&t.problems, &t.acct);
    svi_problems_init(&t.warnings, &t.acct);
    const int status = run(&t);
    svi_problems_free(&t.problems);
    svi_problems_free(&t.warnings);
    svi_config_free(&t.config);
    return status;
}
