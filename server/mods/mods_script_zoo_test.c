/* Scripts that do wrong (tests/zoo/lua): each request is answered once, the script is blamed, others go on. The suite zoo does the
 * same to a real server with a hundred clients. */
#include <time.h>

#include "mods/mods_script_world_test.h"

#define ENDED "ended: it ran for more than 50 ms"
#define LATE "ended: it ran for more than 300 ms"
#define NO_MEMORY "not enough memory"
#define MANY_MS 300 /* where memory or the stack shall come to its end before time does */

typedef struct beast {
    const char *what;
    const char *logged; /* NULL: whatever is; or one of two texts with '|' between them */
    const char *answer; /* what it must hold; NULL: internal-server-error */
} beast;

static bool logs(const world *w, const char *either)
{
    char first[100];
    snprintf(first, sizeof first, "%s", either);
    first[strcspn(first, "|")] = '\0';
    const char *bar = strchr(either, '|');
    return has(&w->log, first) || (bar != NULL && has(&w->log, bar + 1));
}

static world *zoo(const char *enabled, const char *options, int64_t cpu_ms)
{
    world *w = world_new();
    w->script_cpu_us = cpu_ms * 1000;
    w->script_bytes = cpu_ms == MANY_MS ? 2 << 20 : 0;
    static char folder[TESTING_PATH];
    testing_path("../../tests/zoo/lua", folder);
    w->paths[2] = folder;
    w->path_count = 3;
    start_scripts(w, enabled, options);
    return w;
}

static int64_t cpu_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ask(world *w, client *c, const char *attrs)
{
    char text[300];
    snprintf(text, sizeof text, "<iq type='set' id='z' to='one.example'><do xmlns='urn:stave:beast' %s/></iq>", attrs);
    say(w, c, text);
}

static void assert_goes_on(world *w, client *from, client *to)
{
    say(w, from, "<message to='juliet@one.example/y' id='m'><body>x</body></message>");
    assert_int_equal(count_of(&to->in, "id='m'"), 1);
    assert_has_not(&to->in, "type='error'");
    svi_buf_clear(&to->in);
    svi_buf_clear(&from->in);
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
}

/* Each misdeed of one script, in a row on one server, so that each meets what the one before has left. */
static void misdeeds(const char *name, int64_t max_ms, const beast *beasts, size_t count)
{
    char enabled[80], attrs[80], options[120];
    snprintf(enabled, sizeof enabled, "\"%s\"", name);
    snprintf(options, sizeof options, "module_faults_max = 0\n%s_memory_max = \"64M\"", name);
    world *w = zoo(enabled, options, max_ms);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    for (size_t i = 0; i < count; i++) {
        const beast *b = &beasts[i];
        svi_buf_clear(&w->log);
        snprintf(attrs, sizeof attrs, "what='%s'", b->what);
        const int64_t from_ms = cpu_ms();
        ask(w, romeo, attrs);
        const int64_t took_ms = cpu_ms() - from_ms;
        if (count_of(&romeo->in, "id='z'") != 1) fail_msg("%s %s: %.*s", name, b->what, (int)romeo->in.len, romeo->in.data);
        if (!has(&romeo->in, b->answer ? b->answer : "<internal-server-error "))
            fail_msg("%s %s: %.*s; %.*s", name, b->what, (int)romeo->in.len, romeo->in.data, (int)w->log.len, w->log.data);
        if (b->logged && (!logs(w, b->logged) || !has(&w->log, "script-error")))
            fail_msg("%s %s is told as: %.*s", name, b->what, (int)w->log.len, w->log.data);
        if (took_ms > 1000 + 4 * max_ms) fail_msg("%s %s took %lld ms", name, b->what, (long long)took_ms);
        assert_goes_on(w, romeo, juliet);
    }
    world_free(w);
}

#define MISDEEDS(name, ms, beasts) misdeeds(name, ms, beasts, sizeof(beasts) / sizeof *(beasts))

static void loops(void **state)
{
    (void)state;
    static const beast all[] = {
        {"plain", ENDED, NULL},    {"count", ENDED, NULL},    {"tail", ENDED, NULL},
        {"iterator", ENDED, NULL}, {"pcall", ENDED, NULL},    {"coroutine", ENDED, NULL},
        {"resume", ENDED, NULL},   {"nest", ENDED, NULL},     {"xpcall", ENDED, NULL},
        {"handlers", ENDED, NULL}, {"index", ENDED, NULL},    {"tostring", ENDED, NULL},
        {"concat", ENDED, NULL},   {"sort", ENDED, NULL},     {"gsub", ENDED, NULL},
        {"json", ENDED, NULL},     {"texts", ENDED, NULL},    {"move", ENDED, NULL},
        {"behind", ENDED, NULL},   {"length", NULL, NULL},    {"close", "a metatable must not have '__close'", NULL},
        {"gc", "a metatable must not have '__gc'", NULL},
    };
    MISDEEDS("loops", 50, all);
}

static void patterns(void **state)
{
    (void)state;
    static const char steps[] = "pattern takes too many steps";
    static const beast all[] = {
        {"backtrack", steps, NULL}, {"optional", steps, NULL},   {"gsub", steps, NULL},   {"gmatch", steps, NULL},
        {"balance", NULL, NULL},    {"plain", NULL, "<done"},    {"caught", ENDED, NULL},
    };
    MISDEEDS("patterns", 50, all);
}

static void memory(void **state)
{
    (void)state;
    static const beast all[] = {
        {"text", NO_MEMORY, NULL},
        {"table", NO_MEMORY, NULL},
        {"rep", "resulting string too large|" NO_MEMORY, NULL},
        {"concat", NO_MEMORY, NULL},
        {"caught", NO_MEMORY "|" LATE, NULL},
        {"coroutines", NO_MEMORY, NULL},
        {"number", "reason=1.5|" NO_MEMORY, NULL},
        {"little", NULL, "<done"},
        {"keeps", NO_MEMORY, NULL}, /* from now on it has next to nothing */
        {"keeps", NO_MEMORY, NULL},
        {"number", "reason=1.5|" NO_MEMORY, NULL},
        {"frees", NULL, "<done"},
        {"little", NULL, "<done"},
    };
    MISDEEDS("memory", MANY_MS, all);
}

static void recursion(void **state)
{
    (void)state;
    static const beast all[] = {
        {"plain", "stack overflow|" NO_MEMORY, NULL},
        {"caught", LATE "|" NO_MEMORY, NULL},
        {"pcall", "stack overflow|" LATE, NULL},
        {"coroutine", "recursion.lua:9: recursion.lua:9: ", NULL},
        {"gsub", "stack overflow|error in error handling", NULL},
        {"sort", "stack overflow|error in error handling", NULL},
        {"tostring", "C stack overflow", NULL},
        {"index", "'__index' chain too long", NULL},
        {"xpcall", "stack overflow|" LATE, NULL},
        {"json", NULL, NULL},
        {"literal", "deeper in each other than 64", NULL},
    };
    MISDEEDS("recursion", MANY_MS, all);
}

static void raises(void **state)
{
    (void)state;
    static const beast all[] = {
        {"text", "raises.lua:6: on purpose", NULL},
        {"table", "an error that is no text", NULL},
        {"none", "an error that is no text", NULL},
        {"number", "reason=1.5", NULL},
        {"handler", "attempt to concatenate a nil value", NULL},
        {"verdict", "on purpose behind the answer", "type='result'"},
        {"twice", "something else has become of the stanza already", "type='result'"},
        {"done", "but nothing has become of the stanza", NULL},
        {"unknown", "no-such-condition", NULL},
    };
    MISDEEDS("raises", 50, all);
}

/* Behind a wait as before it; in a timer it costs nobody anything. */
static void raises_later(void **state)
{
    (void)state;
    world *w = zoo("\"raises\"", "", 50);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "what='sleeps'");
    assert_has_not(&romeo->in, "id='z'");
    pass_time(w, 2000);
    assert_has(&romeo->in, "<internal-server-error ");
    assert_has(&w->log, "on purpose after a wait");
    ask(w, romeo, "what='timer'");
    assert_has(&romeo->in, "<done");
    pass_time(w, 2000);
    assert_has(&w->log, "on purpose in a timer");
    assert_has(&w->log, "hook=host/timer");
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

static void views(void **state)
{
    (void)state;
    static const char used[] = "used after its handler returned";
    static const beast all[] = {
        {"hold", NULL, "<done"},  {"event", used, NULL},   {"verdict", used, NULL},  {"stanza", used, NULL},   {"node", used, NULL},
        {"literal", used, NULL}, {"session", used, NULL}, {"iterator", used, NULL}, {"kept", NULL, "value='iq'"},
    };
    MISDEEDS("views", 50, all);
}

static void yields(void **state)
{
    (void)state;
    static const beast all[] = {
        {"yield", "a handler yields: coroutine.yield is for coroutines that the script makes itself", NULL},
        {"resumes", "this coroutine is the server's", NULL},
        {"sort", "sleep waits, and can't inside sort, gsub or a metamethod", NULL},
        {"gsub", "sleep waits, and can't inside sort, gsub or a metamethod", NULL},
        {"coroutine", "sleep waits, and can't in a coroutine of the script's own", NULL},
        {"long", "sleep: 0 to 30000 ms, not 30001", NULL},
        {"behind", "sleep waits, and can't behind the verdict", "type='result'"},
    };
    MISDEEDS("yields", 50, all);
}

static void literals(void **state)
{
    (void)state;
    static const beast all[] = {
        {"items", "there is no item number", NULL},
        {"hole", "there is no item number", NULL},
        {"deep", "elements lie deeper in each other than 64", NULL},
        {"text", "a text of more than 1048576 bytes", NULL},
        {"sum", "the handler makes more than 8388608 bytes of stanzas and rows", NULL},
        {"unclean", "literals.lua", NULL},
        {"name", "literals.lua", NULL},
        {"attribute", "a b\\\" is no name", NULL},
    };
    MISDEEDS("literals", 200, all);
}

static void effects(void **state)
{
    (void)state;
    static const beast all[] = {
        {"items", "effects.lua:9: set_item: more than 10000 effects in one handler", NULL},
        {"rules", NULL, "<service-unavailable "},
        {"names", "more than 64 names of items", NULL},
        {"fires", "ended: it ran for more than 200 ms", NULL},
    };
    MISDEEDS("effects", 200, all);
}

/* The stack holds, however deep it goes in each of the events that lie in each other. */
static void nests(void **state)
{
    (void)state;
    static const beast all[] = {
        {"gsub", NULL, "id='z'"}, {"sort", NULL, "id='z'"}, {"pcall", NULL, "id='z'"}, {"wrap", NULL, "id='z'"}, {"tostring", NULL, "id='z'"},
    };
    MISDEEDS("nests", 1000, all);
}

/* Each by itself takes less than a handler may; who fires them takes them all. */
static void fires_for_others(void **state)
{
    (void)state;
    world *w = zoo("\"effects\", \"hears\"", "module_faults_max = 0", 50);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    const int64_t from_ms = cpu_ms();
    ask(w, romeo, "what='others'");
    assert_in_range(cpu_ms() - from_ms, 150, 1000);
    assert_has(&w->log, "ended: it ran for more than 50 ms");
    assert_has_not(&w->log, "module-fault module=hears");
    assert_has(&romeo->in, "<internal-server-error ");
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

/* What it has sent before it came to its end has left: a bound, not a rollback. */
static void routes_without_end(void **state)
{
    (void)state;
    world *w = zoo("\"effects\"", "module_faults_max = 0", 1000);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "what='routes'");
    assert_has(&w->log, "the handler makes more than 8388608 bytes");
    assert_has(&romeo->in, "<internal-server-error ");
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

static void asks_for_nothing(void **state)
{
    (void)state;
    world *w = zoo("\"unanswered\"", "", 50);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "whom='juliet@one.example/y'");
    assert_has(&juliet->in, "type='get'");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.script_waiting, 1);
    assert_goes_on(w, juliet, juliet);
    pass_time(w, 29000000);
    assert_has_not(&romeo->in, "id='z'");
    pass_time(w, 2000000);
    assert_has(&romeo->in, "value='timeout'");
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.script_waiting, 0);
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

/* RFC 6120 8.1.2.1: who answers must be who was asked; a guess of somebody else is nobody's. */
static void answers_of_others_do_not_count(void **state)
{
    (void)state;
    char text[300];
    world *w = zoo("\"unanswered\"", "", 50);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y"), *eve = join(w, "eve@one.example/e");
    ask(w, romeo, "whom='juliet@one.example/y'");
    const char *id = memmem(juliet->in.data, juliet->in.len, " id='", 5);
    assert_non_null(id);
    const char *end = memchr(id + 5, '\'', (size_t)(juliet->in.data + juliet->in.len - id - 5));
    assert_non_null(end);
    snprintf(text, sizeof text, "<iq type='result' to='one.example' id='%.*s'/>", (int)(end - id - 5), id + 5);
    say(w, eve, text);
    assert_has_not(&romeo->in, "id='z'");
    say(w, juliet, text);
    assert_has(&romeo->in, "value='result'");
    world_free(w);
}

static void a_thousand_timers(void **state)
{
    (void)state;
    world *w = zoo("\"timers\"", "", 1000);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "ms='1000'");
    assert_has(&romeo->in, "value='1000'");
    assert_has(&romeo->in, "the script has 1000 timers on this host already");
    pass_time(w, 999000);
    ask(w, romeo, "");
    assert_has(&romeo->in, "value='0'");
    pass_time(w, 2000);
    ask(w, romeo, "");
    assert_has(&romeo->in, "value='1000'");
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

/* Each of its handlers is over at once, and what comes of them would never be. */
static void breeds(void **state)
{
    (void)state;
    static const char *const ways[] = {"stanzas", "occasions"};
    for (int i = 0; i < 2; i++) {
        char attrs[40];
        world *w = zoo("\"breeds\"", "module_faults_max = 0", 1000);
        client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
        snprintf(attrs, sizeof attrs, "what='%s'", ways[i]);
        ask(w, romeo, attrs); /* it comes to its end */
        assert_has(&romeo->in, "<done");
        assert_has(&w->log, "the script begins more than 5000 stanzas and occasions at once on this host");
        assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
        pass_time(w, 1000000);
        assert_goes_on(w, romeo, juliet);
        world_free(w);
    }
}

/* Each begins the next, to another account: the 17th is not heard, and the stack holds. */
static void chains(void **state)
{
    (void)state;
    world *w = zoo("\"message\", \"chains\"", "module_faults_max = 0", 1000);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "");
    assert_has(&romeo->in, "<done");
    assert_has(&w->log, "hooks fire hooks at most 16 deep");
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

/* Handlers that wait are bounded, and each is an error from there on. */
static void waits_without_end(void **state)
{
    (void)state;
    svi_mod_info info;
    world *w = zoo("\"waits\"", "module_faults_max = 0", 1000);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    ask(w, romeo, "what='all'");
    assert_has(&romeo->in, "<done");
    for (int i = 0; i < 30; i++) pass_time(w, 1000);
    assert_has(&w->log, "sleep: 10000 handlers of the script wait already");
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.script_waiting, 10000);
    assert_goes_on(w, romeo, juliet);
    world_free(w);
}

/* At each message: all pass, and behind the tenth fault the script is left out, as its hook says (open). */
static void at_each_message(void **state)
{
    (void)state;
    static const char *const ways[] = {"raises", "loops", "memory", "recursion", "pattern"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char options[80];
        snprintf(options, sizeof options, "chats_how = \"%s\"", ways[i]);
        world *w = zoo("\"chats\"", options, 50);
        client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
        for (int n = 0; n < 9; n++) assert_goes_on(w, romeo, juliet);
        assert_int_equal(count_of(&w->log, "script-error"), 9);
        assert_has_not(&w->log, "module-quarantined");
        for (int n = 0; n < 5; n++) assert_goes_on(w, romeo, juliet);
        assert_has(&w->log, "module-quarantined module=chats");
        assert_int_equal(count_of(&w->log, "script-error"), 10);
        sv_err err = {.text = ""};
        assert_int_equal(svi_mods_release(w->mods, SV_STR("chats"), NULL, &err), SV_OK);
        assert_goes_on(w, romeo, juliet);
        assert_int_equal(count_of(&w->log, "script-error"), 11);
        world_free(w);
    }
}

/* What a guard fails to look at does not pass; nor does anything while it is in quarantine. */
static void a_guard_raises(void **state)
{
    (void)state;
    world *w = zoo("\"message\", \"guards\"", "guards_faults_max = 2", 50);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    say(w, juliet, "<presence/>");
    for (int i = 0; i < 3; i++) {
        say(w, romeo, "<message to='juliet@one.example' id='m'><body>x</body></message>");
        assert_has(&romeo->in, "<service-unavailable ");
        assert_has_not(&juliet->in, "id='m'");
    }
    assert_has(&w->log, "module-quarantined module=guards");
    world_free(w);
}

/* --- scripts that never start ------------------------------------------------------------------------------- */

static void is_refused(const char *name, const char *options, const char *why)
{
    char config[300];
    world *w = world_new();
    char folder[TESTING_PATH];
    testing_path("../../tests/zoo/lua", folder);
    w->paths[2] = folder;
    w->path_count = 3;
    for (int i = 0; i < 2; i++) { /* the first time maps and names are declared, which stay */
        svi_buf_clear(&w->reports);
        snprintf(config, sizeof config, "VirtualHost \"one.example\"\nmodules_enabled = { \"%s\" }\n%s\n", name, options);
        make_mods(w, config);
        const int64_t before = atomic_load(&w->acct.live_count), from_ms = cpu_ms();
        assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
        assert_in_range(cpu_ms() - from_ms, 0, 3000);
        if (!has(&w->reports, why) && !has(&w->log, why))
            fail_msg("%s: %.*s %.*s", name, (int)w->reports.len, w->reports.data, (int)w->log.len, w->log.data);
        svi_mods_free(&w->mods);
        if (i > 0) assert_in_range(atomic_load(&w->acct.live_count), 0, before + 1); /* one may be the log */
    }
    world_free(w);
}

/* Processor time for a test: each look at it costs so much. */
static int64_t ran_us;

static int64_t each_look(void *ctx)
{
    (void)ctx;
    return ran_us += 20000;
}

/* Each takes less than 50 ms, which is allowed; together they have half of the time at most, so that others come between. */
static void crowds(void **state)
{
    (void)state;
    world *w = zoo("\"crowds\"", "", 50);
    client *clients[5];
    for (int i = 0; i < 5; i++) {
        char jid[40];
        snprintf(jid, sizeof jid, "c%d@one.example/x", i);
        clients[i] = join(w, jid);
    }
    w->plat.plat.cpu_us = each_look;
    pass_time(w, 60000000);
    assert_int_equal(count_of(&w->log, " beat "), 1);
    for (int i = 0; i < 10; i++) pass_time(w, 80000);
    assert_in_range(count_of(&w->log, " beat "), 5, 8);
    for (int i = 0; i < 40; i++) pass_time(w, 80000);
    assert_int_equal(count_of(&w->log, " beat "), 20);
    for (int i = 0; i < 5; i++) ask(w, clients[i], "what='sleep'");
    pass_time(w, 1000000);
    assert_int_equal(count_of(&w->log, " woke "), 1);
    for (int i = 0; i < 8; i++) pass_time(w, 80000);
    assert_int_equal(count_of(&w->log, " woke "), 5);
    for (int i = 0; i < 5; i++) assert_int_equal(count_of(&clients[i]->in, "id='z'"), 1);
    w->plat.plat.cpu_us = NULL;
    world_free(w);
}

static void never_start(void **state)
{
    (void)state;
    is_refused("top_loops", "", "top_loops.lua:3: ended: it ran for more than 250 ms without a wait");
    is_refused("undeclared", "", "the script has no right to \"message/account\": name it in sv.script under `reads`, or under `changes`");
    is_refused("syntax", "", "'}' expected (to close '{' at line 2) near <eof>");
    is_refused("require_loop", "", "require: ");
    is_refused("starts", "starts_how = \"raises\"", "starts.lua:5: on purpose in start");
    is_refused("starts", "starts_how = \"loops\"", "ended: it ran for more than 50 ms");
    is_refused("starts", "starts_how = \"refuses\"", "this host has no moon");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops),
        cmocka_unit_test(patterns),
        cmocka_unit_test(memory),
        cmocka_unit_test(recursion),
        cmocka_unit_test(raises),
        cmocka_unit_test(raises_later),
        cmocka_unit_test(views),
        cmocka_unit_test(yields),
        cmocka_unit_test(literals),
        cmocka_unit_test(effects),
        cmocka_unit_test(nests),
        cmocka_unit_test(fires_for_others),
        cmocka_unit_test(routes_without_end),
        cmocka_unit_test(asks_for_nothing),
        cmocka_unit_test(answers_of_others_do_not_count),
        cmocka_unit_test(a_thousand_timers),
        cmocka_unit_test(breeds),
        cmocka_unit_test(chains),
        cmocka_unit_test(waits_without_end),
        cmocka_unit_test(at_each_message),
        cmocka_unit_test(a_guard_raises),
        cmocka_unit_test(crowds),
        cmocka_unit_test(never_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
