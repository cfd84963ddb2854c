/* The command line: what is taken, what is refused and in which words. */
#include "main/main_cli.h"

#include <stdio.h>

#include "base/base_testing.h"

static svi_cli cli;
static sv_err err;

#define PARSE(...)                                                                                 \
    parse((char *[]){(char[]){"stave"}, __VA_ARGS__, NULL},                                        \
          sizeof((char *[]){(char[]){"stave"}, __VA_ARGS__}) / sizeof(char *))
#define W(text) ((char[]){text})

static sv_status parse(char *const *argv, size_t argc)
{
    err = (sv_err){.text = ""};
    return svi_cli_parse((int)argc, argv, &cli, &err);
}

static void refuses(sv_status status, const char *wanted)
{
    assert_int_equal(status, SV_EINVAL);
    if (!strstr(err.text, wanted)) fail_msg("'%s' does not say '%s'", err.text, wanted);
}

static void test_commands(void **state)
{
    (void)state;
    assert_int_equal(PARSE(W("serve")), SV_OK);
    assert_int_equal(cli.command, SVI_CMD_SERVE);
    assert_string_equal(cli.config, SVI_DEFAULT_CONFIG);
    assert_int_equal(PARSE(W("serve"), W("--config"), W("x.lua")), SV_OK);
    assert_string_equal(cli.config, "x.lua");
    assert_int_equal(PARSE(W("user"), W("add"), W("--config"), W("c"), W("a@b")), SV_OK);
    assert_int_equal(cli.command, SVI_CMD_USER_ADD);
    assert_string_equal(cli.argument, "a@b");
    assert_int_equal(PARSE(W("user"), W("list")), SV_OK);
    assert_null(cli.argument);
    assert_int_equal(PARSE(W("run"), W("--dir"), W("d")), SV_OK);
    assert_string_equal(cli.dir, "d");
    assert_int_equal(PARSE(W("--help")), SV_OK);
    assert_int_equal(cli.command, SVI_CMD_HELP);
    assert_int_equal(PARSE(W("--version")), SV_OK);
    assert_int_equal(cli.command, SVI_CMD_VERSION);
}

static void test_wrong(void **state)
{
    (void)state;
    refuses(svi_cli_parse(1, (char *[]){W("stave"), NULL}, &cli, &err), "stave help");
    refuses(PARSE(W("stat")), "no command 'stat'; did you mean 'status'?");
    refuses(PARSE(W("modules"), W("x")), "modules takes no argument ('x')");
    refuses(PARSE(W("user")), "add, passwd, delete or list? (nothing was given)");
    refuses(PARSE(W("user"), W("remove")), "add, passwd, delete or list? (remove)");
    refuses(PARSE(W("user"), W("add")), "user add needs an address");
    refuses(PARSE(W("user"), W("add"), W("a@b"), W("secret")), "read from standard input");
    refuses(PARSE(W("serve"), W("--config")), "--config needs a value");
    refuses(PARSE(W("serve"), W("--dir"), W("x")), "serve takes no option '--dir'");
    refuses(PARSE(W("run")), "run needs --dir DIR");
    refuses(PARSE(W("stop"), W("--crash"), W("x")), "stop takes no option");
    refuses(PARSE(W("xyzzy")), "no command 'xyzzy'");
    assert_null(strstr(err.text, "did you mean"));
}

static void test_worker(void **state)
{
    (void)state;
    assert_int_equal(PARSE(W("worker"), W("--config"), W("c"), W("--crash"), W("f"), W("--control"),
                           W("4"), W("--channel"), W("5"), W("--log"), W("stdout"), W("--listen"),
                           W("6"), W("--listen"), W("7")),
                     SV_OK);
    assert_int_equal(cli.control, 4);
    assert_int_equal(cli.channel, 5);
    assert_string_equal(cli.log, "stdout");
    assert_int_equal(cli.socket_count, 2);
    assert_int_equal(cli.sockets[1], 7);
    refuses(PARSE(W("worker")), "started by `stave serve` only");
    refuses(PARSE(W("worker"), W("--listen"), W("x")), "'x' is no descriptor");
    refuses(PARSE(W("worker"), W("--listen"), W("-1")), "'-1' is no descriptor");
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned c = 0; c < SVI_CMD_WORKER; c++) { /* help tells every command */
        if (c == SVI_CMD_HELP) continue;
        char line[64];
        (void)snprintf(line, sizeof line, "  stave %s", svi_command_words((svi_command)c));
        if (!strstr(svi_cli_help(), line)) fail_msg("help does not tell '%s'", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_worker),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
