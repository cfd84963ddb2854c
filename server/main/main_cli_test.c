/* The command line: what is taken, what is refused and in which words. */
#include "main/main_cli.h"

#include <stdio.h>

#include "base/base_testing.h"

static svi_cli cli;
static sv_err err;
static const sv_command *known[64];
static svi_decls decls = {known, 0};

#define PARSE(...)                                                                                 \
    parse((char *[]){(char[]){"stave"}, __VA_ARGS__, NULL},                                        \
          sizeof((char *[]){(char[]){"stave"}, __VA_ARGS__}) / sizeof(char *))
#define W(text) ((char[]){text})

static sv_status parse(char *const *argv, size_t argc)
{
    err = (sv_err){.text = ""};
    svi_cli_free(&cli);
    return svi_cli_parse((int)argc, argv, &decls, &cli, &err);
}

static void refuses(sv_status status, const char *wanted)
{
    assert_true(status == SV_EINVAL || status == SV_ENOTFOUND);
    if (!strstr(err.text, wanted)) fail_msg("'%s' does not say '%s'", err.text, wanted);
}

/* A module's command with every kind of place. */
static const sv_arg module_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"},
    {.name = "more", .kind = SV_ARG_STRING, .manual = "what else"},
    {.name = "reason", .kind = SV_ARG_STRING, .flags = SV_ARG_OPTION, .manual = "why"},
    {.name = "count", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION | SV_ARG_REQUIRED, .min = "1", .max = "9",
     .manual = "how many"},
    {.name = "colour", .kind = SV_ARG_WORD, .flags = SV_ARG_OPTION, .preset = "red", .min = "red green",
     .manual = "which"},
    {.name = "all", .kind = SV_ARG_FLAG, .manual = "everything"},
    {0},
};
static const sv_command module_command = {.name = "thing do",
                                          .summary = "do a thing",
                                          .manual = "It is done.",
                                          .examples = "thing do a@b --count 1\nthing do a@b --count 2",
                                          .args = module_args,
                                          .flags = SV_COMMAND_OFFLINE};

static int set_up(void **state)
{
    (void)state;
    const svi_core_command *core;
    while ((core = svi_core_at(decls.count)) != NULL) known[decls.count++] = &core->what;
    known[decls.count++] = &module_command;
    return 0;
}

static void is_command(const char *name)
{
    assert_string_equal(cli.what->name, name);
    assert_string_equal(svi_cli_arg(&cli, "command"), name);
}

static void test_commands(void **state)
{
    (void)state;
    assert_int_equal(PARSE(W("serve")), SV_OK);
    is_command("serve");
    assert_string_equal(cli.config, SVI_DEFAULT_CONFIG);
    assert_int_equal(PARSE(W("serve"), W("--config"), W("x.lua")), SV_OK);
    assert_string_equal(cli.config, "x.lua");
    assert_int_equal(PARSE(W("user"), W("add"), W("--config"), W("c"), W("a@b")), SV_OK);
    is_command("user add");
    assert_true(cli.core == svi_core_find(SV_STR("user add")));
    assert_string_equal(svi_cli_arg(&cli, "address"), "a@b");
    assert_int_equal(PARSE(W("user"), W("list")), SV_OK);
    assert_null(svi_cli_arg(&cli, "host"));
    assert_int_equal(PARSE(W("backup"), W("--to"), W("f")), SV_OK);
    is_command("backup");
    assert_string_equal(svi_cli_arg(&cli, "to"), "f");
    assert_int_equal(PARSE(W("backup"), W("check"), W("f")), SV_OK);
    is_command("backup check"); /* the longer one */
    assert_string_equal(svi_cli_arg(&cli, "file"), "f");
    refuses(PARSE(W("restore"), W("--force")), "restore needs FILE");
    assert_int_equal(PARSE(W("check-module"), W("a.so"), W("--json"), W("b.so")), SV_OK);
    const json_t *files = json_object_get(cli.request, "file");
    assert_int_equal(json_array_size(files), 2);
    assert_string_equal(json_string_value(json_array_get(files, 0)), "a.so");
    assert_string_equal(json_string_value(json_array_get(files, 1)), "b.so");
    refuses(PARSE(W("check-module")), "check-module needs FILE");
    refuses(PARSE(W("check-module"), W("a.so"), W("--config"), W("x")), "takes no option '--config'");
    assert_int_equal(PARSE(W("run"), W("--dir"), W("d")), SV_OK);
    assert_string_equal(svi_cli_arg(&cli, "dir"), "d");
    assert_int_equal(PARSE(W("--help")), SV_OK);
    is_command("help");
    assert_int_equal(PARSE(W("--version")), SV_OK);
    is_command("version");
    assert_int_equal(PARSE(W("user"), W("add"), W("--help")), SV_OK); /* what is missing does not matter */
    assert_true(cli.wants_help);
    assert_int_equal(PARSE(W("--json"), W("--config"), W("c"), W("status")), SV_OK);
    is_command("status");
    assert_true(cli.is_json);
    assert_string_equal(cli.config, "c");
    assert_int_equal(PARSE(W("status"), W("--json"), W("--config=d")), SV_OK);
    assert_true(cli.is_json);
    assert_string_equal(cli.config, "d");
}

static void test_arguments(void **state)
{
    (void)state;
    assert_int_equal(PARSE(W("thing"), W("do"), W("--count"), W("3"), W("a@b"), W("--all"), W("x"),
                           W("--reason=a=b")),
                     SV_OK);
    assert_null(cli.core);
    assert_string_equal(svi_cli_arg(&cli, "address"), "a@b");
    assert_string_equal(svi_cli_arg(&cli, "more"), "x");
    assert_string_equal(svi_cli_arg(&cli, "count"), "3");
    assert_string_equal(svi_cli_arg(&cli, "reason"), "a=b");
    assert_string_equal(svi_cli_arg(&cli, "all"), "true");
    assert_null(svi_cli_arg(&cli, "colour"));
    /* a value may look like an option, and what stands behind "--" is none */
    assert_int_equal(PARSE(W("thing"), W("do"), W("--count"), W("--all"), W("--"), W("--all"), W("-")), SV_OK);
    assert_string_equal(svi_cli_arg(&cli, "count"), "--all");
    assert_string_equal(svi_cli_arg(&cli, "address"), "--all");
    assert_string_equal(svi_cli_arg(&cli, "more"), "-");
    refuses(PARSE(W("thing"), W("do"), W("a@b")), "thing do needs --count N: how many");
    refuses(PARSE(W("thing"), W("do"), W("--count"), W("1")), "thing do needs NAME@HOST: whose");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("b"), W("c")), "takes nothing more ('c')");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--cuont"), W("1")), "no option '--cuont'; did you mean '--count'?");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--address"), W("b")), "takes no option '--address'");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("-c")), "takes no option '-c'");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--all=1")), "--all takes no value");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--json=1")), "--json takes no value");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--count")), "--count needs a value");
    refuses(PARSE(W("thing"), W("do"), W("a"), W("--count"), W("1"), W("--count=2")), "count is given twice");
    refuses(PARSE(W("thing"), W("do"), W("\xff")), "address must be UTF-8");
}

static void test_wrong(void **state)
{
    (void)state;
    refuses(parse((char *[]){W("stave"), NULL}, 1), "stave help");
    refuses(PARSE(W("stat")), "no command 'stat'; did you mean 'status'?");
    refuses(PARSE(W("usr"), W("add")), "no command 'usr'; did you mean 'user add'?");
    refuses(PARSE(W("modules"), W("x")), "modules takes no argument ('x')");
    refuses(PARSE(W("user")), "user: add, passwd, delete, disable, enable, show or list? (nothing was given)");
    refuses(PARSE(W("user"), W("--json")), "show or list? (nothing was given)");
    refuses(PARSE(W("user"), W("remove")), "add, passwd, delete, disable, enable, show or list? (remove)");
    refuses(PARSE(W("user"), W("add")), "user add needs NAME@HOST");
    refuses(PARSE(W("user"), W("add"), W("a@b"), W("secret")), "read from standard input");
    assert_null(strstr(err.text, "secret"));
    refuses(PARSE(W("user"), W("add"), W("a@b"), W("--password"), W("secret")), "takes no option '--password'");
    refuses(PARSE(W("serve"), W("--config")), "--config needs a value");
    refuses(PARSE(W("serve"), W("--dir"), W("x")), "serve takes no option '--dir'");
    refuses(PARSE(W("serve"), W("--json")), "serve takes no option '--json'");
    refuses(PARSE(W("run")), "run needs --dir DIR");
    refuses(PARSE(W("run"), W("--dir"), W("d"), W("--config"), W("c")), "run takes no option '--config'");
    refuses(PARSE(W("stop"), W("--crash"), W("x")), "stop takes no option");
    refuses(PARSE(W("xyzzy")), "no command 'xyzzy'");
    assert_null(strstr(err.text, "did you mean"));
}

static sv_status parse_worker(char *const *argv, size_t argc)
{
    err = (sv_err){.text = ""};
    return svi_cli_worker((int)argc, argv, &cli, &err);
}

#define WORKER(...)                                                                                \
    parse_worker((char *[]){(char[]){"stave"}, (char[]){"worker"}, __VA_ARGS__},                   \
                 sizeof((char *[]){(char[]){"stave"}, (char[]){"worker"}, __VA_ARGS__}) / sizeof(char *))

static void test_worker(void **state)
{
    (void)state;
    svi_cli_free(&cli);
    assert_int_equal(WORKER(W("--config"), W("c"), W("--crash"), W("f"), W("--control"), W("4"),
                            W("--channel"), W("5"), W("--log"), W("stdout"), W("--listen"), W("6"),
                            W("--listen-tls"), W("7")),
                     SV_OK);
    assert_int_equal(cli.control, 4);
    assert_int_equal(cli.channel, 5);
    assert_string_equal(cli.log, "stdout");
    assert_int_equal(cli.socket_count, 2);
    assert_int_equal(cli.sockets[1], 7);
    assert_true(cli.is_direct[1] && !cli.is_direct[0]);
    refuses(WORKER(W("--config"), W("c")), "started by `stave serve` only");
    refuses(WORKER(W("--listen"), W("x")), "'x' is no descriptor");
    refuses(WORKER(W("--listen"), W("-1")), "'-1' is no descriptor");
    refuses(WORKER(W("--listen")), "--listen needs a value");
    refuses(WORKER(W("--dir"), W("d")), "worker takes no option '--dir'");
}

/* --- declarations and help ---------------------------------------------------------------------------- */

static void test_core(void **state)
{
    (void)state;
    const svi_core_command *core;
    for (size_t i = 0; (core = svi_core_at(i)) != NULL; i++) {
        if (svi_command_check(&core->what, &err) != SV_OK) fail_msg("%s", err.text);
        assert_true(core->run != NULL || core->here != NULL);
        assert_true(svi_core_find(sv_str_of(core->what.name)) == core); /* no other has its name */
    }
    assert_string_equal(svi_core_shadows("user list")->what.name, "user list");
    assert_string_equal(svi_core_shadows("status x")->what.name, "status");
    assert_null(svi_core_shadows("user promote"));
}

static const char *help_of(const char *topic, bool *found_out)
{
    static char text[20000];
    svi_acct acct = {.name = "test"};
    svi_buf out;
    svi_buf_init(&out, &acct);
    *found_out = svi_cli_help(&decls, sv_str_of(topic), &out);
    assert_in_range(out.len, 0, sizeof text - 1);
    snprintf(text, sizeof text, "%.*s", (int)out.len, out.len ? out.data : "");
    svi_buf_free(&out);
    return text;
}

static void test_help(void **state)
{
    (void)state;
    bool found;
    for (size_t i = 0; i < decls.count; i++) { /* it tells every command that people use */
        char line[64];
        const svi_core_command *core = svi_core_find(sv_str_of(known[i]->name));
        const bool is_told = !core || !(core->flags & SVI_CORE_HIDDEN);
        (void)snprintf(line, sizeof line, "  stave %s", known[i]->name);
        if (is_told != (strstr(help_of("", &found), line) != NULL)) fail_msg("help and '%s'", line);
    }
    const char *text = help_of("thing do", &found);
    static const char *const parts[] = {
        "stave thing do NAME@HOST [MORE] [--reason REASON] --count N [--colour red|green] [--all]\n",
        "\n  do a thing\n\nIt is done.\n",
        "  --count N                   how many; from 1 to 9\n",
        "  --colour red|green          which; red if it is not given\n",
        "For example:\n  stave thing do a@b --count 1\n  stave thing do a@b --count 2\n",
        "Works also while no server is running.\n",
        "Exit status: 0 done",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i])) fail_msg("'%s' does not hold '%s'", text, parts[i]);
    text = help_of("user", &found);
    assert_true(found && strstr(text, "user passwd") && !strstr(text, "thing"));
    (void)help_of("none", &found);
    assert_false(found);
}

static int tear_down(void **state)
{
    (void)state;
    svi_cli_free(&cli);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_arguments), cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_worker),   cmocka_unit_test(test_core),      cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
