/* One generation of modules takes another's place while sessions are bound and events wait. */
#include "mods/mods_world_test.h"

#define HOST(modules) "VirtualHost \"one.example\"\nmodules_enabled = { " modules " }\n"
#define TWO(modules) "VirtualHost \"two.example\"\nmodules_enabled = { " modules " }\n"
#define ASK_MISC "<iq type='get' id='1' to='one.example'><misc xmlns='urn:stave:probe'/></iq>"
#define ASK_LIST "<iq type='get' id='g' to='one.example'><list xmlns='urn:stave:probe'/></iq>"
#define ASK_SESSION "<iq type='set' id='s' to='one.example'><session xmlns='urn:stave:probe'/></iq>"
#define ASK_HELLO "<iq type='get' id='h' to='one.example'><ask xmlns='urn:stave:hello'/></iq>"

static void ask(world *w, client *c, const char *request, const char *wanted)
{
    say(w, c, request);
    assert_has(&c->in, wanted);
}

/* --- what changes ----------------------------------------------------------------------------------- */

static void nothing_differs_nothing_happens(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, "probe_words = { \"x\", \"y\" }\n" HOST("\"probe\", \"hello\""));
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, ASK_MISC, "<word>y</word>");
    reloaded(w, "-- the values stand elsewhere\n" HOST("\"probe\", \"hello\"") "probe_words = { \"x\", \"y\" }\n");
    turn(w);
    assert_has_not(&w->log, "module-loaded");
    assert_has_not(&w->log, "probe-save");
    assert_has_not(&w->log, "hello-bound");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.calls, 2); /* it is the one that was asked; the other was host/ready */
    assert_string_equal(info.state, "running");
    ask(w, c, ASK_MISC, "<word>y</word>");
    world_free(w);
}

static void options_change(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\"") "probe_greeting = \"good day\"\n");
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, ASK_SESSION, "times='1' unset='yes'");
    pass_time(w, 1000000);
    ask(w, c, ASK_MISC, "rounds='1' limit='5' loud='no' greeting='good day'");

    reloaded(w, HOST("\"probe\"") "probe_greeting = \"good night\"\nprobe_limit = 9\n");
    assert_has(&w->log, "probe-save");
    assert_has(&w->log, "probe-stop"); /* nothing kept the old one */
    assert_has(&w->log, "module-loaded module=probe host=one.example");
    ask(w, c, ASK_MISC, "rounds='0' limit='9' loud='no' greeting='good night'");
    pass_time(w, 1000000);
    ask(w, c, ASK_MISC, "rounds='1'");                       /* its own timer, once */
    ask(w, c, ASK_SESSION, "times='2' unset='no' item='set'"); /* what hangs on the session stays */
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_false(svi_mods_info(w->mods, 1, &info));

    const char *each[] = {"probe_loud = true\n", "probe_words = { \"a\" }\n", "probe_words = { \"b\" }\n",
                          "probe_words = { \"b\", \"c\" }\n",
                          "probe_greeting = \"one\"\n", "probe_greeting = \"two\"\n"};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) { /* each kind of option is looked at */
        char text[256];
        snprintf(text, sizeof text, "%s%s", HOST("\"probe\""), each[i]);
        reloaded(w, text);
        assert_has(&w->log, "module-loaded");
    }
    ask(w, c, ASK_MISC, "greeting='two'");
    world_free(w);
}

static void the_order_changes(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\", \"hello\""));
    reloaded(w, HOST("\"hello\", \"probe\""));
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.name, "hello");
    world_free(w);
}

/* Events that wait end with the code, the state and the memory on sessions that they began with. */
static void waiting_events_finish(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\", \"hello\""));
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, ASK_LIST);
    say(w, c, "<message type='chat' id='drop' to='one.example'/>");
    reloaded(w, HOST("\"probe\", \"hello\"") "probe_limit = 9\n");
    assert_has(&w->log, "probe-save");
    assert_has_not(&w->log, "probe-stop"); /* still needed */
    say(w, c, ASK_MISC);
    assert_has_not(&c->in, "limit="); /* waits in its lane */
    pass_time(w, 1000000);
    assert_int_equal(count_of(&w->log, "hello-round"), 1); /* the new one's timer, nobody else's */
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 10);
    svi_buf_clear(&c->in);
    turn(w);
    assert_has(&c->in, "id='g'");
    assert_has(&c->in, "limit='9'");
    assert_has(&c->in, "rounds='1'");
    assert_has(&w->log, "probe-stop");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    world_free(w);
}

/* The server ends while they wait. */
static void the_end_comes_first(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\""));
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, ASK_LIST);
    reloaded(w, HOST("\"probe\"") "probe_limit = 9\n");
    say(w, c, ASK_SESSION);
    reloaded(w, HOST("\"hello\""));
    world_free(w); /* the sanitizer watches */
}

/* --- modules that come and go ----------------------------------------------------------------------- */

static void newly_enabled_ones_hear_of_sessions(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\""));
    client *c = join(w, "romeo@one.example/a");
    (void)join(w, "romeo@one.example/b");
    ask(w, c, ASK_SESSION, "times='1'"); /* makes it available */
    reloaded(w, HOST("\"probe\", \"hello\""));
    turn(w);
    assert_has(&w->log, "hello-bound jid=romeo@one.example/a");
    assert_has(&w->log, "hello-presence jid=romeo@one.example/a");
    assert_has(&w->log, "hello-bound jid=romeo@one.example/b");
    assert_has_not(&w->log, "hello-presence jid=romeo@one.example/b");
    ask(w, c, ASK_HELLO, "word='hello' times='1'");

    reloaded(w, HOST("\"probe\", \"hello\"") "hello_word = \"hi\"\n"); /* it knows them already */
    turn(w);
    assert_has_not(&w->log, "hello-bound");
    ask(w, c, ASK_HELLO, "word='hi' times='2'");

    reloaded(w, HOST("\"probe\""));
    assert_has(&w->log, "module-removed module=hello host=one.example");
    ask(w, c, ASK_HELLO, "service-unavailable");
    reloaded(w, HOST("\"hello\", \"probe\""));
    turn(w);
    assert_int_equal(count_of(&w->log, "hello-bound"), 2);
    ask(w, c, ASK_HELLO, "word='hello' times='1'"); /* what it kept on sessions went with it */
    part(w, c);
    assert_int_equal(count_of(&w->log, "hello-gone"), 1);
    world_free(w);
}

/* The roster of who is on line already is in memory as if it had been there at the login. */
static void a_roster_comes_late(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\""));
    client *c = join(w, "romeo@one.example/a");
    reloaded(w, HOST("\"roster\", \"presence\", \"message\", \"offline\", \"probe\""));
    ask(w, c, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "type='result'");
    ask(w, c, "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='juliet@two.example'/></query></iq>",
        "juliet@two.example");
    ask(w, c, "<presence/>", "<presence");
    ask(w, c, "<message to='romeo@one.example'><body>b</body></message>", "<body>b</body>");
    reloaded(w, HOST("\"roster\", \"presence\", \"message\", \"offline\", \"probe\"") "roster_max_items = 7\n");
    ask(w, c, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "juliet@two.example");
    ask(w, c, "<message to='romeo@one.example'><body>b</body></message>", "<body>b</body>");
    ask(w, c, "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='nurse@two.example'/></query></iq>",
        "type='set'"); /* still interested in pushes (RFC 6121 2.1.6) */
    world_free(w);
}

/* --- all or nothing --------------------------------------------------------------------------------- */

static void all_hosts_or_none(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    start(w, HOST("\"probe\"") TWO("\"hello\""));
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, ASK_SESSION, "times='1'");
    static const struct {
        const char *config, *why;
    } cases[] = {
        {HOST("\"probe\"") "probe_limit = 9\n" TWO("\"hello\"") "hello_refuses = true\n",
         "test.cfg.lua:5: module \"hello\" does not start: invalid"},
        {HOST("\"hello\"") TWO("\"hello\", \"nosuch\""), "there is no module \"nosuch\""},
        {HOST("\"probe\"") "probe_limit = \"many\"\n", "'probe_limit' must be a whole number"},
        {HOST("\"needs\"") TWO("\"probe\""), "module \"needs\" needs it"},
        {HOST("\"probe\"") "VirtualHost \"three.example\"\n", "host \"three.example\" is not served"},
    };
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const int64_t before = live(w);
            assert_int_not_equal(reload(w, cases[i].config), SV_OK);
            assert_has(&w->reports, cases[i].why);
            svi_buf_free(&w->log);
            if (round > 0 && live(w) > before) /* names that were declared and files that were loaded stay */
                fail_msg("%s leaves %ld bytes", cases[i].config, (long)(live(w) - before));
        }
    ask(w, c, ASK_MISC, "limit='5'");
    ask(w, c, ASK_SESSION, "times='2'");
    pass_time(w, 1000000);
    ask(w, c, ASK_MISC, "rounds='1'"); /* by its timer, and by nobody else's */
    reloaded(w, HOST("\"probe\"") "probe_limit = 9\n" TWO("\"hello\"") "hello_word = \"hi\"\n");
    ask(w, c, ASK_MISC, "limit='9'");
    ask(w, c, ASK_SESSION, "times='3'");
    world_free(w);
}

/* --- hosts ------------------------------------------------------------------------------------------ */

static void hosts_come_and_go(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"probe\""));
    svi_host *two;
    assert_int_equal(svi_host_prepare(w->server, SV_STR("two.example"), &two, NULL), SV_OK);
    reloaded(w, HOST("\"probe\"") TWO("\"hello\""));
    svi_host_serve(two, &(svi_host_config){.require_tls = false});
    client *c = join(w, "juliet@two.example/c"), *other = join(w, "romeo@one.example/a");
    assert_has(&w->log, "hello-bound jid=juliet@two.example/c");
    ask(w, other, "<iq type='get' id='h' to='two.example'><ask xmlns='urn:stave:hello'/></iq>",
        "forbidden"); /* for strangers, says the module */

    reloaded(w, HOST("\"probe\""));
    svi_host_retire(two);
    assert_has(&w->log, "module-removed module=hello host=two.example");
    turn(w);
    part(w, c);
    assert_has(&w->log, "hello-gone jid=juliet@two.example/c"); /* they hear of its end */
    size_t count;
    (void)svi_hooks_at(svi_host_hooks(two), svi_point_find(SV_STR("session/gone")), &count);
    assert_int_equal(count, 0);
    svi_mod_info info;
    assert_false(svi_mods_info(w->mods, 1, &info));

    assert_int_equal(svi_host_prepare(w->server, SV_STR("two.example"), &two, NULL), SV_OK);
    reloaded(w, HOST("\"probe\"") TWO("\"hello\""));
    svi_host_serve(two, &(svi_host_config){.require_tls = false});
    c = join(w, "juliet@two.example/c");
    assert_has(&w->log, "hello-bound jid=juliet@two.example/c");
    world_free(w);
}

/* It goes and comes back before its sessions have ended: those that stay are introduced to all. */
static void a_host_returns_at_once(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, HOST("\"hello\""));
    client *c = join(w, "romeo@one.example/a");
    add_host(w, "two.example");
    svi_host *one = svi_host_find(w->server, SV_STR("one.example"));
    reloaded(w, TWO("\"probe\""));
    svi_host_retire(one);
    svi_host_serve(one, &(svi_host_config){.require_tls = false});
    reloaded(w, HOST("\"hello\"") TWO("\"probe\""));
    turn(w);
    assert_has(&w->log, "hello-bound jid=romeo@one.example/a");
    ask(w, c, ASK_HELLO, "times='1'");
    world_free(w);
}

/* --- files ------------------------------------------------------------------------------------------ */

static void copy(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in) + fclose(out), 0);
}

/* The code that runs stays until the next start, and that is told. */
static void a_new_file_waits_for_a_start(void **state)
{
    (void)state;
    char from[TESTING_PATH + 32], to[TESTING_PATH + 32];
    world *w = world_new();
    const char *built = w->paths[0];
    snprintf(from, sizeof from, "%s/hello.so", built);
    snprintf(to, sizeof to, "%s/hello.so", w->folder);
    copy(from, to);
    w->paths[0] = w->folder;
    start(w, HOST("\"hello\""));
    client *c = join(w, "romeo@one.example/a");
    reloaded(w, HOST("\"hello\""));
    assert_null(svi_mods_stale(w->mods, 0));
    snprintf(from, sizeof from, "%s/probe.so", built); /* whatever it is: it is not what runs */
    copy(from, to);
    reloaded(w, HOST("\"hello\"") "hello_word = \"hi\"\n");
    assert_string_equal(svi_mods_stale(w->mods, 0), "hello");
    assert_null(svi_mods_stale(w->mods, 1));
    ask(w, c, ASK_HELLO, "word='hi'");
    assert_int_equal(remove(to), 0);
    reloaded(w, HOST("\"hello\""));
    assert_null(svi_mods_stale(w->mods, 0));
    ask(w, c, ASK_HELLO, "word='hello'");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_differs_nothing_happens),
        cmocka_unit_test(options_change),
        cmocka_unit_test(the_order_changes),
        cmocka_unit_test(waiting_events_finish),
        cmocka_unit_test(the_end_comes_first),
        cmocka_unit_test(newly_enabled_ones_hear_of_sessions),
        cmocka_unit_test(a_roster_comes_late),
        cmocka_unit_test(all_hosts_or_none),
        cmocka_unit_test(hosts_come_and_go),
        cmocka_unit_test(a_host_returns_at_once),
        cmocka_unit_test(a_new_file_waits_for_a_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
