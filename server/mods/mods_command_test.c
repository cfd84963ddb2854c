/* Commands: declarations, arguments, and runs of a real module's (tests/mods/asks.c) on a real server. */
#include "mods/mods_command.h"

#include "mods/mods_world_test.h"
#include "xmpp/xmpp_account.h"

#define ASKS "VirtualHost \"one.example\"\nmodules_enabled = { \"asks\" }\n"

static command_answer answered;

static const char *ask(world *w, const char *name, const char *members)
{
    json_decref(answered.json);
    answered = (command_answer){.count = 0};
    begin_command(w, name, members, &answered);
    turn(w);
    assert_int_equal(answered.count, 1);
    return answered.text;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("%s does not hold %s", text, part);
}

static world *commands_world(void)
{
    world *w = world_new();
    start(w, ASKS);
    return w;
}

static void leave_world(world *w)
{
    json_decref(answered.json);
    answered.json = NULL;
    world_free(w);
}

/* --- arguments ------------------------------------------------------------------------------ */

static void arguments(void **state)
{
    (void)state;
    world *w = commands_world();
    assert_string_equal(
        ask(w, "asks echo", "'command':'asks echo','local':'ROMEO@One.Example/x'"),
        "{\"ok\":true,\"rows\":[{\"local\":\"romeo@one.example/x\",\"from\":\"romeo@one.example\","
        "\"to\":\"romeo@one.example\",\"any\":null,\"string\":\"none\",\"int\":0,\"period\":120000,"
        "\"word\":2,\"flag\":false,\"time\":\"1970-01-01T00:00:01Z\",\"list\":[\"one\",\"two\"],"
        "\"raw\":\"a??b\"}]}");
    assert_says(ask(w, "asks echo",
                    "'local':'romeo@one.example','any':'A@B.example','string':'x y','int':-5,"
                    "'period':'1d','word':'red','flag':true"),
                "\"any\":\"a@b.example\",\"string\":\"x y\",\"int\":-5,\"period\":86400000,\"word\":0,"
                "\"flag\":true");
    leave_world(w);
}

/* Each wrong argument is named, with what it should be, before anything runs. */
static void wrong_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *members, *class, *text;
    } cases[] = {
        {"", "usage", "asks echo: local is missing: NAME@HOST[/RESOURCE]"},
        {"'local':'one.example'", "usage", "'one.example' is no address of an account: write name@host"},
        {"'local':'a b@one.example'", "usage", "that name is written a\\\\20b (XEP-0106)"},
        {"'local':'x@two.example'", "not-found", "add VirtualHost \\\"two.example\\\""},
        {"'local':[]", "usage", "local must be a text"},
        {"'local':'x@one.example','any':'@'", "usage", "--any: '@' is no address"},
        {"'local':'x@one.example','int':'6'", "usage", "--int must be from -5 to 5"},
        {"'local':'x@one.example','int':'5x'", "usage", "--int: '5x' is no whole number"},
        {"'local':'x@one.example','period':'5'", "usage", "is no time with its unit, such as 50ms, 30s"},
        {"'local':'x@one.example','period':'2d'", "usage", "--period must be from 1s to 1d"},
        {"'local':'x@one.example','word':'re'", "usage", "--word must be one of: red green blue"},
        {"'local':'x@one.example','flag':'on'", "usage", "--flag takes no value"},
        {"'local':'x@one.example','string':'a\\u0007b'", "usage", "string has control characters"},
        {"'local':'x@one.example','other':'1'", "usage", "it has no argument 'other'"},
        {"'local':'x@one.example','from':1", "usage", "'from' is where an answer said"},
    };
    world *w = commands_world();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char class[40];
        snprintf(class, sizeof class, "{\"ok\":false,\"class\":\"%s\"", cases[i].class);
        assert_says(ask(w, "asks echo", cases[i].members), class);
        assert_says(answered.text, cases[i].text);
    }
    char long_one[6000];
    memset(long_one, 'x', sizeof long_one);
    memcpy(long_one, "'local':'x@one.example','string':'", 34);
    memcpy(long_one + 34 + SVI_ARG_BYTES + 1, "'", 2);
    assert_says(ask(w, "asks echo", long_one), "string is longer than 4096 bytes");
    assert_says(ask(w, "asks note", "'address':'a@one.example/x'"), "write name@host\"");
    assert_says(ask(w, "asks count", "'to':1,'host':'two.example'"), "is no host of this server");
    assert_says(ask(w, "asks count", "'to':1,'host':'..'"), "--host: '..' is no domain");
    leave_world(w);
}

/* --- answers -------------------------------------------------------------------------------- */

static void w_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static void add_account(world *w, const char *name)
{
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_account_set(svi_host_find(w->server, SV_STR("one.example")), sv_str_of(name), &keys, 1, false,
                    w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
}

/* Waits for the store; the account must exist; answered when the note is durable. */
static void later(void **state)
{
    (void)state;
    world *w = commands_world();
    assert_says(ask(w, "asks note", "'address':'romeo@one.example'"),
                "{\"ok\":false,\"class\":\"not-found\",\"error\":\"romeo@one.example: there is no such");
    add_account(w, "romeo");
    assert_string_equal(ask(w, "asks note", "'address':'romeo@one.example','note':'first'"),
                        "{\"ok\":true,\"rows\":[{\"note\":\"none\"}]}");
    command_answer waits = {.count = 0};
    svi_engine_sim_plan(w->engine)->hold = true; /* commits come later */
    begin_command(w, "asks note", "'address':'romeo@one.example','note':'second'", &waits);
    turn(w);
    assert_int_equal(waits.count, 0);
    svi_engine_sim_plan(w->engine)->hold = false;
    turn(w);
    assert_int_equal(waits.count, 1);
    assert_string_equal(waits.text, "{\"ok\":true,\"rows\":[{\"note\":\"first\"}]}");
    json_decref(waits.json);
    assert_says(ask(w, "asks note", "'address':'romeo@one.example'"), "\"second\"");
    leave_world(w);
}

/* A page has a bound; the next begins where it ended. */
static void pages(void **state)
{
    (void)state;
    world *w = commands_world();
    assert_string_equal(ask(w, "asks count", "'to':2"), "{\"ok\":true,\"rows\":[{\"n\":0},{\"n\":1}]}");
    (void)ask(w, "asks count", "'to':501");
    assert_int_equal(json_array_size(json_object_get(answered.json, "rows")), SVI_PAGE_ROWS);
    assert_string_equal(json_string_value(json_object_get(answered.json, "more")), "500");
    assert_string_equal(ask(w, "asks count", "'to':501,'from':'500'"), "{\"ok\":true,\"rows\":[{\"n\":500}]}");
    leave_world(w);
}

/* What a module does wrong is told, and the operator gets an answer all the same. */
static void faults(void **state)
{
    (void)state;
    static const char *const classes[] = {"usage", "not-found", "refused", "failed"};
    world *w = commands_world();
    for (size_t i = 0; i < 4; i++) {
        char members[100], wanted[100];
        snprintf(members, sizeof members, "'how':'%s','address':'a@one.example'", classes[i]);
        snprintf(wanted, sizeof wanted, "{\"ok\":false,\"class\":\"%s\",\"error\":\"no: so\"}", classes[i]);
        assert_string_equal(ask(w, "asks no", members), wanted);
    }
    assert_says(ask(w, "asks nothing", "'address':'a@one.example'"), "the module gave no answer");
    svi_buf_clear(&w->log);
    assert_string_equal(ask(w, "asks twice", "'address':'a@one.example'"), "{\"ok\":true,\"rows\":[{\"n\":1}]}");
    assert_has(&w->log, "column=none");
    assert_has(&w->log, "column=n");
    assert_has(&w->log, "a command is answered once");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.faults, 1);
    command_answer waits = {.count = 0};
    begin_command(w, "asks never", "'address':'a@one.example'", &waits);
    turn(w);
    assert_int_equal(waits.count, 0);
    pass_time(w, 61 * 1000000);
    assert_int_equal(waits.count, 1);
    assert_says(waits.text, "has not answered in time");
    json_decref(waits.json);
    /* elsewhere these calls do nothing */
    client *c = join(w, "romeo@one.example/x");
    svi_buf_clear(&w->log);
    say(w, c, "<iq type='get' id='q' to='one.example'><x xmlns='urn:stave:asks'/></iq>");
    assert_has(&c->in, "not-allowed");
    assert_has(&w->log, "this is for commands only");
    leave_world(w);
}

/* The server ends while a command waits: it is answered, and nothing is left. */
static void ending(void **state)
{
    (void)state;
    world *w = commands_world();
    command_answer waits = {.count = 0};
    begin_command(w, "asks never", "'address':'a@one.example'", &waits);
    turn(w);
    leave_world(w);
    assert_int_equal(waits.count, 1);
    assert_says(waits.text, "the server is stopping");
    json_decref(waits.json);
}

/* Without a host in the arguments the only one that has the module is meant. */
static void hosts(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    add_host(w, "three.example");
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"asks\" }\n"
             "VirtualHost \"two.example\"\nmodules_enabled = { \"asks\" }\nVirtualHost \"three.example\"\n");
    assert_says(ask(w, "asks count", "'to':1"), "on which host? Say --host, such as one.example or two.example");
    assert_says(ask(w, "asks count", "'to':1,'host':'TWO.example'"), "{\"n\":0}");
    assert_says(ask(w, "asks count", "'to':1,'host':'three.example'"),
                "\"class\":\"not-found\",\"error\":\"asks count: the module of this command is not enabled on three");
    leave_world(w);
}

/* Architecture 8: what needs space is refused while it is short. */
static void shortage(void **state)
{
    (void)state;
    world *w = commands_world();
    add_account(w, "romeo");
    svi_engine_sim_plan(w->engine)->full = true;
    turn(w);
    pass_time(w, 60 * 1000000);
    assert_says(ask(w, "asks note", "'address':'romeo@one.example','note':'x'"),
                "\"class\":\"refused\",\"error\":\"the store is short of space");
    assert_says(ask(w, "asks count", "'to':1"), "\"ok\":true");
    leave_world(w);
}

/* --- declarations --------------------------------------------------------------------------- */

static sv_verdict never(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_DONE;
}

#define ARGS(...) ((const sv_arg[]){__VA_ARGS__, {.name = NULL}})

static void declarations(void **state)
{
    (void)state;
    static const sv_column bad_column[] = {{.name = "A", .kind = SV_COLUMN_TEXT}, {.name = NULL}};
    const sv_arg fine = {.name = "a", .kind = SV_ARG_STRING, .manual = "m"};
    const sv_arg required = {.name = "b", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "m"};
    const struct {
        sv_command c;
        const char *wrong; /* NULL: it is fine */
    } cases[] = {
        {{.name = "one", .summary = "s"}, NULL},
        {{.name = "one two-3", .summary = "s", .args = ARGS(fine)}, NULL},
        {{.name = "", .summary = "s"}, "is no name of a command"},
        {{.name = "One", .summary = "s"}, "\"One\" is no name of a command"},
        {{.name = "one two three", .summary = "s"}, "is no name of a command"},
        {{.name = "one ", .summary = "s"}, "is no name of a command"},
        {{.name = "-one", .summary = "s"}, "is no name of a command"},
        {{.name = "one", .summary = ""}, "no summary"},
        {{.name = "one", .summary = "s", .args = ARGS(fine, fine)}, "two arguments \"a\""},
        {{.name = "one", .summary = "s", .args = ARGS(fine, required)}, "is required but stands behind"},
        {{.name = "one", .summary = "s", .args = ARGS(required, fine)}, NULL},
        {{.name = "one", .summary = "s", .args = ARGS({.name = "json", .kind = SV_ARG_FLAG, .manual = "m"})},
         "no argument may be called \"json\""},
        {{.name = "one", .summary = "s", .args = ARGS({.name = "A", .kind = SV_ARG_FLAG, .manual = "m"})},
         "\"A\" is no name of an argument"},
        {{.name = "one", .summary = "s", .args = ARGS({.name = "x", .kind = SV_ARG_WORD, .manual = "m"})},
         "no words to choose from"},
        {{.name = "one", .summary = "s", .args = ARGS({.name = "x", .kind = SV_ARG_INT})}, "lacks kind or manual"},
        {{.name = "one", .summary = "s", .columns = bad_column}, "column \"A\" can't be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sv_err err = {.text = ""};
        const sv_status status = svi_command_check(&cases[i].c, &err);
        if (!cases[i].wrong && status != SV_OK) fail_msg("%zu: %s", i, err.text);
        if (cases[i].wrong) assert_int_equal(status, SV_EINVAL);
        if (cases[i].wrong) assert_says(err.text, cases[i].wrong);
    }
}

/* A module built with larger declarations than this server's is read by its strides. */
static void strides(void **state)
{
    (void)state;
    typedef struct wide_arg {
        sv_arg arg;
        int64_t more;
    } wide_arg;
    typedef struct wide_command {
        sv_command command;
        int64_t more[2];
    } wide_command;
    static const wide_arg args[] = {
        {.arg = {.name = "a", .kind = SV_ARG_STRING, .manual = "m"}, .more = 7},
        {.arg = {.name = "b", .kind = SV_ARG_STRING, .manual = "m"}, .more = 7},
        {.arg = {.name = NULL}},
    };
    static const wide_command commands[] = {
        {.command = {.name = "one", .summary = "s", .args = &args[0].arg, .run = never}, .more = {7, 7}},
        {.command = {.name = "two", .summary = "s", .run = never}, .more = {7, 7}},
        {.command = {.name = NULL}},
    };
    const sv_module_desc desc = {.commands = &commands[0].command,
                                 .command_stride = sizeof(wide_command),
                                 .arg_stride = sizeof(wide_arg),
                                 .column_stride = sizeof(sv_column)};
    svi_acct acct = {.name = "test"};
    svi_arena *arena = svi_arena_new(&acct, 256);
    const sv_command *taken;
    sv_err err = {.text = ""};
    assert_int_equal(svi_commands_take(arena, &desc, &taken, &err), SV_OK);
    assert_string_equal(svi_command_at(taken, 1)->name, "two");
    assert_null(svi_command_at(taken, 2));
    assert_string_equal(svi_arg_at(taken, 1)->name, "b");
    assert_null(svi_arg_at(taken, 2));
    assert_null(svi_arg_at(svi_command_at(taken, 1), 0));
    svi_arena_free(&arena);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

/* A module of a release whose declarations were shorter: what it does not know is 0, not what stands behind. */
static void short_strides(void **state)
{
    (void)state;
    typedef struct narrow {
        const char *name;
        int64_t value;
    } narrow;
    typedef struct wide {
        narrow begin;
        const char *more;
    } wide;
    static const narrow table[] = {{.name = "a", .value = 1}, {.name = "b", .value = 2}, {.name = NULL}};
    svi_acct acct = {.name = "test"};
    svi_arena *arena = svi_arena_new(&acct, 256);
    size_t count;
    const wide *taken = svi_table_take(arena, table, sizeof(narrow), sizeof(wide), 9, &count);
    assert_int_equal(count, 2);
    assert_string_equal(taken[1].begin.name, "b");
    assert_int_equal(taken[1].begin.value, 2);
    assert_true(taken[0].more == NULL && taken[1].more == NULL && taken[2].begin.name == NULL);
    (void)svi_table_take(arena, table, sizeof(narrow), sizeof(wide), 1, &count);
    assert_int_equal(count, 2); /* too many */
    assert_null(svi_table_take(arena, NULL, sizeof(narrow), sizeof(wide), 1, &count));
    svi_arena_free(&arena);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

static void as_json(void **state)
{
    (void)state;
    world *w = commands_world();
    const sv_command *c = command_of(w, "asks echo");
    svi_arena *arena = svi_arena_new(&w->acct, 256);
    sv_command back;
    json_t *json = svi_command_json(c);
    assert_true(svi_command_read(arena, json, &back));
    json_t *again = svi_command_json(&back);
    assert_true(json_equal(json, again));
    assert_string_equal(back.examples, "asks echo romeo@one.example");
    assert_int_equal(back.who, SV_WHO_OWNER);
    (void)json_object_set_new(json, "summary", json_null());
    assert_false(svi_command_read(arena, json, &back));
    json_decref(json);
    json_decref(again);
    svi_arena_free(&arena);
    leave_world(w);
}

static void bad_modules(void **state)
{
    (void)state;
    world *w = world_new();
    assert_start_fails(w, "\"bad_command\"", "module \"bad_command\": command \"bad command\" runs nothing");
    assert_start_fails(w, "\"asks\", \"asks_too\"",
                       "module \"asks_too\" declares the command \"asks count\", which is one of module \"asks\"");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),    cmocka_unit_test(wrong_arguments), cmocka_unit_test(later),
        cmocka_unit_test(pages),        cmocka_unit_test(faults),          cmocka_unit_test(ending),
        cmocka_unit_test(hosts),        cmocka_unit_test(shortage),        cmocka_unit_test(declarations),
        cmocka_unit_test(strides), cmocka_unit_test(short_strides),      cmocka_unit_test(as_json),         cmocka_unit_test(bad_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
