/* Each way in which a script can declare wrongly is refused with a text that says what to write instead; the same in handlers. */
#include "mods/mods_describe.h"
#include "mods/mods_script_world_test.h"

#define HEAD "sv.script{summary = 'a test', reads = {'presence/*'}, changes = {'message/*'}, stores = {'own', 'roster/items', 'a/b write'}}\n"
#define F "function() end"

typedef struct refusal {
    const char *text, *why;
} refusal;

/* What `stave check-module` says of a script with that text. */
static void is_refused(const char *text, size_t bytes, const char *why)
{
    svi_acct acct = {.name = "test"};
    char folder[] = P_tmpdir "/stave-refusal-XXXXXX", path[sizeof folder + 16];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/wrong.lua", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    json_t *told = svi_mods_describe(&acct, path);
    const char *error = json_string_value(json_object_get(told, "error"));
    if (error == NULL) fail_msg("it is taken: %s", text);
    if (strstr(error, why) == NULL) fail_msg("%s\nis refused as: %s\nnot as: %s", text, error, why);
    json_decref(told);
    assert_int_equal(unlink(path) + rmdir(folder), 0);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

static void are_refused(const refusal *all, size_t count)
{
    for (size_t i = 0; i < count; i++) is_refused(all[i].text, strlen(all[i].text), all[i].why);
}

#define REFUSED(all) are_refused(all, sizeof(all) / sizeof *(all))

static void heads(void **state)
{
    (void)state;
    static const refusal all[] = {
        {"", "read"}, /* no file of a module is empty */
        {"\n", "wrong.lua does not begin with sv.script{...}"},
        {"sv.on('x', " F ")", "sv.on comes behind sv.script{...}, which says what the script may do"},
        {HEAD HEAD, "sv.script is the first call of a script, once"},
        {"sv.script('x')", "table expected"},
        {"sv.script{}", "sv.script: it needs a `summary`, half a line"},
        {"sv.script{summary = {}}", "sv.script: `summary` is a table, not a text"},
        {"sv.script{summary = 'a\\0b'}", "sv.script: it is no text"},
        {"sv.script{summary = 'a\\255b'}", "sv.script: it is no text"},
        {"sv.script{sumary = 'x'}", "sv.script has no field `sumary`; did you mean `summary`?"},
        {"sv.script{summary = 'x', permissions = {}}", "sv.script has no field `permissions`"},
        {"sv.script{'x'}", "sv.script: there is no item number 1"},
        {"sv.script{summary = 'x', [{}] = 1}", "sv.script has no field `table`"},
        {"sv.script{summary = 'x', reads = 1}", "sv.script: `reads` is a list of texts"},
        {"sv.script{summary = 'x', reads = {1}}", "sv.script: `reads` is a list of texts"},
        {"local t = {} for i = 1, 257 do t[i] = 'x' end sv.script{summary = 'x', sends = t}", "sv.script: `sends` has more than 256 items"},
        {"sv.script{summary = 'x', stores = {'a b'}}", "`stores`: \"a b\" is no \"name\", \"module/name\" or \"module/name write\""},
        {"sv.script{summary = 'x', stores = {'own write'}}", "\"own write\" is no \"name\""},
        {"sv.script{summary = 'x', stores = {'a/b read'}}", "\"a/b read\" is no \"name\""},
        {"sv.script{summary = 'x', stores = {''}}", "\"\" is no \"name\""},
        {"sv.script{summary = 'x', features = {'a b'}}", "sv.script: `features`: one text each, without blanks"},
        {"sv.script{summary = 'x', account_features = {'a b'}}", "sv.script: `account_features`: one text each, without blanks"},
        {"sv.script{summary = 'x', policy = 'yes'}", "sv.script: `policy` is true or false"},
        {"sv.script{summary = 'x', autoreload = 1}", "sv.script: `autoreload` is true or false"},
        {"sv.script{summary = ('x'):rep(2 << 20)}", "the script declares more than 1048576 bytes of texts and tables"},
        {"for i = 1, 2000 do pcall(sv.script, {summary = ('x'):rep(1000), reads = 1}) end sv.script{summary = 'x'}",
         "the script declares more than 1048576 bytes of texts and tables"},
    };
    REFUSED(all);
}

static void hooks(void **state)
{
    (void)state;
    static const refusal all[] = {
        {HEAD "sv.on('message/account')", "function expected"},
        {HEAD "sv.on(1)", "function expected"},
        {HEAD "sv.on({}, " F ")", "string expected"},
        {HEAD "sv.on('message/account', " F ", 1)", "table expected"},
        {HEAD "sv.on('message/account', " F ", {bnd = 'late'})", "sv.on has no field `bnd`; did you mean `band`?"},
        {HEAD "sv.on('message/account', " F ", {band = 'last'})", "sv.on: `band` is first, early, normal, late or monitor, not \"last\""},
        {HEAD "sv.on('message/account', " F ", {guard = 'yes'})", "sv.on: `guard` is true or false"},
        {HEAD "sv.on('iq-get/host', " F ")", "the script has no right to \"iq-get/host\": name it in sv.script under `reads`, or under `changes`"},
        {HEAD "sv.on('iq-get/host', " F ", {band = 'monitor'})", "the script has no right to \"iq-get/host\""},
        {HEAD "sv.on('message/acount', " F ")", "did you mean \"message/account\"?"},
        {HEAD "sv.on('message/account {x}', " F ")", "message/account {x}"},
        {HEAD "sv.on('message/account', " F ", {guard = true, open = true})", "message/account"},
        {HEAD "sv.on('presence/out', " F ", {guard = true, band = 'monitor'})", "presence/out"},
        {HEAD "for i = 1, 300 do sv.on('message/account', " F ") end", "sv.on: more than 256 hooks"},
    };
    REFUSED(all);
}

static void options(void **state)
{
    (void)state;
#define OPTION(rest) HEAD "sv.option{'size', kind = 'int', preset = '1', manual = 'A size.'" rest "}"
    static const refusal all[] = {
        {HEAD "sv.option('size')", "table expected"},
        {HEAD "sv.option{}", "sv.option: it begins with its name, without the script's"},
        {HEAD "sv.option{1, kind = 'int'}", "sv.option: it begins with its name, without the script's"},
        {HEAD "sv.option{'size'}", "sv.option: `kind` is one of int, bool, string, period, size, enum, list"},
        {HEAD "sv.option{'size', kind = 'number'}", "sv.option: `kind` is one of int, bool"},
        {HEAD "sv.option{'size', kind = 'int', preset = 1}", "sv.option: \"wrong_size\" has no `manual`, its sentence for operators"},
        {OPTION(", maximum = 4"), "sv.option has no field `maximum`"},
        {OPTION(", 'x'"), "sv.option: there is no item number 2"},
        {OPTION(", min = {}"), "sv.option: `min` is a table, not a text"},
        {OPTION(", min = 2"), "wrong_size"},
        {HEAD "sv.option{'size', kind = 'int', preset = 'x', manual = 'A size.'}", "wrong_size"},
        {HEAD "sv.option{'Size', kind = 'int', preset = 1, manual = 'A size.'}", "wrong_Size"},
        {HEAD "sv.option{'way', kind = 'enum', preset = 'x', words = 'a b', manual = 'A way.'}", "wrong_way"},
        {HEAD "sv.option{'way', kind = 'string', min = 1, manual = 'A way.'}", "sv.option: `min` is for the kinds int, period and size"},
        {HEAD "sv.option{'way', kind = 'enum', words = 'a b', max = 1, manual = 'A way.'}", "sv.option: `max` is for the kinds int"},
        {OPTION(", words = '1 2'"), "sv.option: `words` is for the kind enum"},
        {OPTION(", form = 'jid'"), "sv.option: `form` is for the kinds string and list"},
        {HEAD "sv.option{'way', kind = 'string', form = 'phone', manual = 'A way.'}", "wrong_way"},
        {OPTION("") "\nsv.option{'size', kind = 'int', preset = 1, manual = 'Once more.'}", "sv.option: \"wrong_size\" is declared twice"},
        {HEAD "for i = 1, 129 do sv.option{'o' .. i, kind = 'bool', preset = 'true', manual = 'One of many.'} end", "sv.option: more than 128"},
        {HEAD "sv.option{'memory_max', kind = 'size', preset = '1M', manual = 'A bound.'}", "the server has an option of that name for each module"},
    };
    REFUSED(all);
}

static void commands_and_metrics(void **state)
{
    (void)state;
#define COMMAND(rest) HEAD "sv.command{'wrong show', summary = 'shows', run = " F rest "}"
    static const refusal all[] = {
        {HEAD "sv.command{}", "sv.command: it begins with its name"},
        {HEAD "sv.command{'wrong show', summary = 'shows'}", "sv.command: \"wrong show\" has no function `run`"},
        {COMMAND(", sumary = 'x'"), "sv.command has no field `sumary`; did you mean `summary`?"},
        {COMMAND(", who = 'all'"), "sv.command: `who` is one of admin, owner"},
        {COMMAND(", args = 'x'"), "sv.command: `args` is a list of tables"},
        {COMMAND(", args = {'x'}"), "table expected"},
        {COMMAND(", args = {{kind = 'int'}}"), "sv.command: an argument begins with its name"},
        {COMMAND(", args = {{'x', kind = 'string', min = 1}}"), "sv.command: an argument: `min` is for the kinds int and period"},
        {COMMAND(", args = {{'x', kind = 'account', max = 1}}"), "sv.command: an argument: `max` is for the kinds int and period"},
        {COMMAND(", args = {{'x', kind = 'string', words = 'a b'}}"), "sv.command: an argument: `words` is for the kind word"},
        {COMMAND(", args = {{'x'}}"), "sv.command: an argument: `kind` is one of string, int, period"},
        {COMMAND(", args = {{'x', kind = 'int', requird = true}}"), "has no field `requird`; did you mean `required`?"},
        {COMMAND(", columns = {{kind = 'int'}}"), "sv.command: a column begins with its name"},
        {COMMAND(", columns = {{'x', kind = 'number'}}"), "sv.command: a column: `kind` is one of text, int, bool"},
        {COMMAND(", args = setmetatable({}, {__len = function() return 1 << 40 end}), columns = {}, changes = 1"), "sv.command: `changes` is true or false"},
        {HEAD "local t = {} for i = 1, 33 do t[i] = {'x'} end sv.command{'wrong show', columns = t, run = " F "}", "`columns` has more than 32 items"},
        {HEAD "for i = 1, 65 do sv.command{'wrong show' .. i, summary = 'x', run = " F "} end", "sv.command: more than 64"},
        {HEAD "sv.metric{}", "sv.metric: it needs a `manual`, what it counts"},
        {HEAD "sv.metric{kind = 'counter', manual = 'Counts.'}", "sv.metric: it begins with its name, without the script's"},
        {HEAD "sv.metric{'seen', manual = 'Counts.'}", "sv.metric: `kind` is one of counter, gauge"},
        {HEAD "sv.metric{'Seen', kind = 'counter', manual = 'Counts.'}", "wrong_Seen"},
        {HEAD "for i = 1, 65 do sv.metric{'m' .. i, kind = 'gauge', manual = 'One of many.'} end", "sv.metric: more than 64"},
    };
    REFUSED(all);
}

static void stores_timers_and_files(void **state)
{
    (void)state;
    static const refusal all[] = {
        {HEAD "sv.store('other')", "sv.store: the script has no right to \"other\": name it in sv.script under `stores`"},
        {HEAD "sv.store('items')", "sv.store: the script has no right to \"items\""},
        {HEAD "sv.store('own', 0)", "sv.store: the version of its records is 1 to 255"},
        {HEAD "sv.store('own', 256)", "sv.store: the version of its records is 1 to 255"},
        {HEAD "sv.start(1)", "function expected"},
        {HEAD "sv.start(" F ") sv.start(" F ")", "sv.start: once"},
        {HEAD "sv.save(" F ") sv.save(" F ")", "sv.save: once"},
        {HEAD "sv.every(0, " F ")", "sv.every: 1 ms to 366 days, not 0 ms"},
        {HEAD "sv.after(1 << 50, " F ")", "sv.after: 1 ms to 366 days, not 1125899906842624 ms"},
        {HEAD "sv.every(1.5, " F ")", "number has no integer representation"},
        {HEAD "sv.every(1000)", "function expected"},
        {HEAD "for i = 1, 65 do sv.after(1000, " F ") end", "sv.after: more than 64 timers at the top level"},
        {HEAD "require 'words'", "a script that requires others is a folder of its own: wrong/wrong.lua"},
        {HEAD "require '../words'", "require: \"../words\" is no file of the script's folder: small letters, digits, - and _, without .lua"},
        {HEAD "require ''", "is no file of the script's folder"},
        {HEAD "require {}", "string expected"},
        {HEAD "local _ = sv.nothing", "there is no sv.nothing"},
        {HEAD "sv.thing = 1", "nothing is added to sv: sv.self is the table of the script on a host"},
        {HEAD "local _ = sv.self", "there is no host yet at the top level of a script: do this in sv.start, or in a handler"},
        {HEAD "sv.saved()", "there is no host yet at the top level"},
        {HEAD "io.open('/etc/passwd')", "attempt to index a nil value (global 'io')"},
        {HEAD "os.execute('true')", "attempt to index a nil value (global 'os')"},
        {HEAD "load('x')", "attempt to call a nil value (global 'load')"},
        {HEAD "debug.sethook()", "attempt to index a nil value (global 'debug')"},
        {"\x1bLuaT", "attempt to load a binary chunk"},
    };
    REFUSED(all);
    char *large = malloc((1 << 20) + 2);
    memset(large, '\n', (1 << 20) + 1);
    is_refused(large, (1 << 20) + 1, "it is longer than 1048576 bytes");
    free(large);
}

/* --- in handlers ------------------------------------------------------------------------------------------ */

/* The script with that head runs the text at a message from romeo to juliet: what is logged. */
static void fails_in_handler(const char *head, const char *text, const char *why)
{
    char script[1500];
    world *w = script_world();
    snprintf(script, sizeof script, "%s\nsv.on('message/resource', function(ev) %s end)\n", head, text);
    write_script(w, "wrong", script);
    start_scripts(w, "\"roster\", \"wrong\"", "");
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    say(w, romeo, "<message to='juliet@one.example/y' id='m'><body>hello</body></message>");
    pass_time(w, 1000000);
    if (!has(&w->log, why)) fail_msg("%s\nis told as: %.*s\nnot as: %s", text, (int)w->log.len, w->log.data, why);
    assert_int_equal(count_of(&juliet->in, "id='m'"), 1); /* all the same */
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    remove_script(w, "wrong");
    world_free(w);
}

static void rights_in_handlers(void **state)
{
    (void)state;
#define READER "sv.script{summary = 'reads', reads = {'message/*'}, after = 'roster', stores = {'own', 'roster/items'}}\nlocal own, items = sv.store('own'), sv.store('roster/items')"
#define SENDER "sv.script{summary = 'sends', reads = {'message/*'}, sends = {'one.example'}}"
#define CHANGER "sv.script{summary = 'changes', changes = {'message/*'}, sends = {'*'}}"
#define ONLY_LOOKS "the script may only look at \"message/resource\": to change something there, it needs it under `changes` in sv.script"
    static const struct {
        const char *head, *text, *why;
    } all[] = {
        {READER, "return ev:refuse('forbidden')", "refuse: " ONLY_LOOKS},
        {READER, "return ev:drop('a-rule')", "drop: " ONLY_LOOKS},
        {READER, "return ev:consume()", "consume: " ONLY_LOOKS},
        {READER, "return ev:stored()", "stored: " ONLY_LOOKS},
        {READER, "return ev:deliver(ev:session())", "deliver: " ONLY_LOOKS},
        {READER, "ev:replace(ev:stanza())", "replace: " ONLY_LOOKS},
        {READER, "ev:session():set_item('x', 'y')", "set_item: " ONLY_LOOKS},
        {READER, "ev:session_set_presence(ev:session(), nil, 0)", "session_set_presence: " ONLY_LOOKS},
        {READER, "ev:fire('disco/changed')", "fire: " ONLY_LOOKS},
        {READER, "ev:route{'message', to = 'juliet@one.example'}", "route: the script has no right to send: say where to under `sends` in sv.script"},
        {READER, "ev:push(ev:session(), {'message'})", "push: the script has no right to send"},
        {READER, "ev:iq{'iq', type = 'get', to = 'juliet@one.example/y', {'q', xmlns = 'x'}}", "iq: the script has no right to send"},
        {READER, "items:put('x', 'y', 'z')", "store:put: the script may only read \"roster/items\": say \"roster/items write\" under `stores` in sv.script"},
        {READER, "items:del('x', 'y')", "store:del: the script may only read"},
        {READER, "items:del_owner('x')", "store:del_owner: the script may only read"},
        {SENDER, "ev:route{'message', to = 'a@two.example'}", "route: the script has no right to send to \"two.example\": name it under `sends` in sv.script"},
        {SENDER, "ev:route{'message', to = 'a@one.example', from = 'b@two.example'}", "route: `from` is an address of the host, or absent for the host itself"},
        {SENDER, "ev:route{'message'}", "route: the stanza needs a `to` that is an address"},
        {SENDER, "ev:route{'nothing', xmlns = 'x', to = 'a@one.example'}", "route: it takes a message, presence or iq of jabber:client"},
        {SENDER, "ev:iq{'iq', type = 'result', to = 'a@one.example', {'q', xmlns = 'x'}}", "iq: it takes {\\\"iq\\\", to = ..., type"},
        {SENDER, "ev:iq{'iq', type = 'get', {'q', xmlns = 'x'}}", "iq: `to` is no address"},
        {CHANGER, "return ev:reply()", "reply: it answers an IQ of type get or set, and this is none"},
        {CHANGER, "ev:arg_text('x')", "arg_text: only a command of the script's own has arguments and an answer"},
        {CHANGER, "return ev:answer{}", "answer: only a command of the script's own"},
        {CHANGER, "ev:replace{'presence'}", "replace: another stanza of the same kind takes its place"},
        {CHANGER, "ev:nothing()", "a event has no method \"nothing\""},
        {CHANGER, "sv.on('message/account', " F ")", "sv.on declares: call it at the top level of the script"},
        {CHANGER, "sv.option{'x'}", "sv.option declares: call it at the top level of the script"},
        {CHANGER, "sv.store('own')", "sv.store declares: call it at the top level of the script"},
        {CHANGER, "sv.script{summary = 'x'}", "sv.script is the first call of a script, once"},
        {CHANGER, "require 'x'", "require: at the top level of a script"},
        {CHANGER, "sv.saved()", "sv.saved: only in sv.start"},
        {CHANGER, "sv.after(0, " F ")", "sv.after: 1 ms to 366 days, not 0 ms"},
        {CHANGER, "ev:sleep(-1)", "sleep: 0 to 30000 ms, not -1"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char why[400], *to = why;
        for (const char *at = all[i].why; *at != '\0'; at++) { /* as the log writes it */
            if (*at == '"' && (at == all[i].why || at[-1] != '\\')) *to++ = '\\';
            *to++ = *at;
        }
        *to = '\0';
        fails_in_handler(all[i].head, all[i].text, why);
    }
}

/* What has no host, no event, or no time, says so. */
static void places(void **state)
{
    (void)state;
    static const struct {
        const char *start, *why;
    } all[] = {
        {"sv.accounts(nil, 10)", "sv.accounts needs an event: do this in a handler, a timer or a command"},
        {"own:get('x')", "store:get needs an event: do this in a handler, a timer or a command"},
        {"own:put('x', 'y', 'z')", "store:put needs an event"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char script[500];
        world *w = script_world();
        snprintf(script, sizeof script, "sv.script{summary = 'starts', stores = {'own'}}\nlocal own = sv.store('own')\nsv.start(function() %s end)\n",
                 all[i].start);
        write_script(w, "wrong", script);
        assert_start_fails(w, "\"wrong\"", all[i].why);
        remove_script(w, "wrong");
        world_free(w);
    }
}

/* A timer of a script that changes nothing changes nothing either. */
static void a_timer_has_no_more_rights(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "wrong",
                 "sv.script{summary = 'reads', reads = {'message/*'}}\n"
                 "sv.every(1000, function(ev) ev:session_find('romeo@one.example/x'):set_item('x', 'y') end)\n");
    start_scripts(w, "\"wrong\"", "");
    (void)join(w, "romeo@one.example/x");
    pass_time(w, 1000000);
    assert_has(&w->log, "set_item: the script may only look at \\\"host/timer\\\"");
    remove_script(w, "wrong");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(hooks),
        cmocka_unit_test(options),
        cmocka_unit_test(commands_and_metrics),
        cmocka_unit_test(stores_timers_and_files),
        cmocka_unit_test(rights_in_handlers),
        cmocka_unit_test(places),
        cmocka_unit_test(a_timer_has_no_more_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
