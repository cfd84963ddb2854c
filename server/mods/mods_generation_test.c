/* `stave reload NAME`: a module alone gets another generation. */
#include "mods/mods_impl.h"
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_provider.h"

#define HOST(modules) "VirtualHost \"one.example\"\nmodules_enabled = { " modules " }\n"
#define TWO(modules) "VirtualHost \"two.example\"\nmodules_enabled = { " modules " }\n"
#define GET(what) "<iq type='get' id='" what "' to='one.example'><" what " xmlns='urn:stave:gens'/></iq>"
#define SET(what) "<iq type='set' id='" what "' to='one.example'><" what " xmlns='urn:stave:gens'/></iq>"
#define ASK_MISC "<iq type='get' id='1' to='one.example'><misc xmlns='urn:stave:probe'/></iq>"
#define ASK_LIST "<iq type='get' id='g' to='one.example'><list xmlns='urn:stave:probe'/></iq>"

static void ask(world *w, client *c, const char *request, const char *wanted)
{
    say(w, c, request);
    assert_has(&c->in, wanted);
}

/* --- files that change ------------------------------------------------------------------------------ */

/* The module's file is this one now; another folder than that of the build, which others read. */
static void put_file(world *w, const char *built, const char *name)
{
    char from[TESTING_PATH + 32], to[TESTING_PATH + 32], bytes[65536];
    snprintf(from, sizeof from, "%s/%s.so", w->mods_path, built);
    snprintf(to, sizeof to, "%s/%s.so", w->folder, name);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;) assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in) + fclose(out), 0);
}

static void drop_file(const world *w, const char *name)
{
    char path[TESTING_PATH + 32];
    snprintf(path, sizeof path, "%s/%s.so", w->folder, name);
    assert_int_equal(remove(path), 0);
}

/* First. */
static void look_in_folder(world *w)
{
    w->paths[0] = w->folder;
    w->paths[1] = w->mods_path;
    w->paths[2] = w->core_path;
    w->path_count = 3;
}

static world *gens_world(const char *config)
{
    world *w = world_new();
    put_file(w, "gens", "gens");
    look_in_folder(w);
    start(w, config);
    return w;
}

static void gens_world_free(world *w)
{
    drop_file(w, "gens");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    world_free(w);
}

static const char *shadows(const char *command)
{
    return strcmp(command, "hidden") == 0 ? "hidden" : NULL;
}

static sv_status reload_names(world *w, const char *names, svi_mods_reloaded *done)
{
    sv_str list[8], rest = sv_str_of(names);
    size_t count = 0;
    while (svi_str_split(&rest, ' ', &list[count])) count++;
    svi_buf_clear(&w->reports);
    svi_buf_free(&w->log);
    const svi_mods_reloading how = {.names = list, .count = count, .shadows = shadows, .report = w_report, .report_ctx = w};
    return svi_mods_reload(w->mods, &how, done);
}

static svi_mods_reloaded renew(world *w, const char *names)
{
    svi_mods_reloaded done;
    if (reload_names(w, names, &done) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    turn(w);
    return done;
}

static void hold_store(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    turn(w);
}

/* --- the module alone ------------------------------------------------------------------------------- */

static void it_begins_anew_and_others_go_on(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"probe\""));
    client *c = join(w, "romeo@one.example/a");
    pass_time(w, 1000000);
    ask(w, c, GET("who"), "code='1' how='at-once' asked='1' inherited='0' together='101' rounds='1' seen='1' names='1' list='romeo:1;' session='1' text=''");
    ask(w, c, ASK_MISC, "rounds='1'");
    put_file(w, "gens_2", "gens");
    const svi_mods_reloaded done = renew(w, "gens");
    assert_int_equal(done.modules, 1);
    assert_has(&w->log, "module-loaded module=gens host=one.example generation=2");
    assert_has(&w->log, "module-reloaded module=gens");
    assert_has(&w->log, "gens-stop code=1");
    assert_has_not(&w->log, "probe-save");
    ask(w, c, GET("who"),
        "code='2' how='at-once' asked='1' inherited='1' together='101' rounds='0' seen='2' names='1' list='romeo:2;' session='1' doubled='2' "
        "text='last' more='42'");
    pass_time(w, 1000000);
    ask(w, c, GET("who"), "asked='2' inherited='1' together='102' rounds='1'"); /* one timer, the new one's */
    ask(w, c, ASK_MISC, "rounds='2'");                                         /* its self and timer were left alone */
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.name, "gens");
    assert_int_equal(info.generation, 2);
    assert_true(svi_mods_info(w->mods, 1, &info));
    assert_int_equal(info.generation, 1);
    assert_false(svi_mods_draining(w->mods, 0, &info));
    ask(w, c, "<iq type='get' id='l' to='one.example'><look xmlns='urn:stave:probe' jid='romeo@one.example'/></iq>",
        "urn:stave:gens:2");
    gens_world_free(w);
}

/* --- events that wait ------------------------------------------------------------------------------- */

/* Who has done nothing yet is asked anew by the new code; who wrote ends with the old. */
static void waiting_events_restart_or_finish(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"probe\""));
    client *reads = join(w, "romeo@one.example/a"), *writes = join(w, "romeo@one.example/b"),
           *stays = join(w, "juliet@one.example/c"), *other = join(w, "nurse@one.example/d");
    hold_store(w, true);
    say(w, reads, GET("wait"));
    say(w, writes, SET("write"));
    say(w, stays, GET("stay"));
    say(w, other, ASK_LIST);
    say(w, other, GET("who")); /* behind it in its lane */
    put_file(w, "gens_2", "gens");
    const svi_mods_reloaded done = renew(w, "gens");
    assert_int_equal(done.events.waiting, 4);
    assert_int_equal(done.events.restarted, 1);
    assert_int_equal(done.events.finishing, 2);
    assert_int_equal(done.events.skipped, 0);
    assert_has(&w->log, "gens-wait code=2");
    assert_has_not(&w->log, "gens-stop");
    svi_mod_info info;
    assert_true(svi_mods_draining(w->mods, 0, &info));
    assert_string_equal(info.state, "draining");
    assert_int_equal(info.generation, 1);
    assert_int_equal(info.events.waiting, 2);
    assert_int_equal(info.in_flight, 3); /* the one that is void is not over yet */
    assert_string_equal(info.events.hook, "iq-get/host {urn:stave:gens}stay");
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.events.waiting, 1);
    hold_store(w, false);
    assert_has(&reads->in, "code='2' how='waited' asked='1'");
    assert_int_equal(count_of(&reads->in, "<iq "), 1);
    assert_has(&writes->in, "code='1' how='wrote'");
    assert_has(&stays->in, "code='1' how='waited'");
    assert_has(&other->in, "missing='yes'");
    assert_has(&other->in, "code='2' how='at-once'");
    assert_has(&w->log, "gens-stop code=1");
    assert_false(svi_mods_draining(w->mods, 0, &info));
    gens_world_free(w);
}

/* Without such a hook in the new code they go on at the next handler; here there is none. */
static void a_hook_that_is_gone(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, c, GET("gone"));
    put_file(w, "gens_2", "gens");
    const svi_mods_reloaded done = renew(w, "gens");
    assert_int_equal(done.events.skipped, 1);
    assert_has(&c->in, "service-unavailable");
    hold_store(w, false);
    assert_int_equal(count_of(&c->in, "<iq "), 1);
    gens_world_free(w);
}

/* Finished by the old one, an event goes on in the new table. */
static void a_finished_one_goes_on_in_the_new_table(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, c, SET("pass"));
    put_file(w, "gens_2", "gens");
    assert_int_equal(renew(w, "gens").events.finishing, 1);
    assert_int_equal(renew(w, "gens").events.finishing, 1); /* of the first, again */
    svi_mod_info info;
    assert_true(svi_mods_draining(w->mods, 0, &info));
    assert_int_equal(info.generation, 1);
    assert_false(svi_mods_draining(w->mods, 1, &info));
    assert_int_equal(c->in.len, 0);
    hold_store(w, false);
    assert_has(&c->in, "code='2' how='at-once'");
    assert_int_equal(count_of(&c->in, "<iq "), 1);
    svi_mods_figures figures;
    svi_mods_figures_get(w->mods, &figures);
    assert_int_equal(figures.retired, 2);
    assert_int_equal(figures.kept, 2);
    gens_world_free(w);
}

/* Again and again: each time by the newest. */
static void restarted_several_times(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, c, GET("wait"));
    put_file(w, "gens_2", "gens");
    for (int i = 0; i < 5; i++) assert_int_equal(renew(w, "gens").events.restarted, 1);
    hold_store(w, false);
    assert_has(&c->in, "code='2' how='waited' asked='1' inherited='0'");
    assert_int_equal(count_of(&c->in, "<iq "), 1);
    gens_world_free(w);
}

/* What is said of the time that an event may wait holds, whoever handles it. */
static void the_deadline_stays(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"probe\""));
    client *c = join(w, "romeo@one.example/a"), *late = join(w, "juliet@one.example/b");
    hold_store(w, true);
    say(w, c, GET("wait"));
    pass_time(w, 40000000);
    say(w, late, ASK_LIST);
    put_file(w, "gens_2", "gens");
    assert_int_equal(renew(w, "gens").events.restarted, 1);
    pass_time(w, 19000000);
    assert_int_equal(c->in.len, 0);
    pass_time(w, 2000000);
    assert_has(&c->in, "type='error'");
    pass_time(w, 10000000);
    assert_int_equal(late->in.len, 0); /* its own has not come */
    hold_store(w, false);
    assert_has(&late->in, "missing='yes'");
    assert_int_equal(count_of(&c->in, "<iq "), 1);
    gens_world_free(w);
}

static void the_old_one_writes_in_its_own_event_only(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a"), *other = join(w, "juliet@one.example/b");
    ask(w, c, GET("who"), "how='at-once'");
    hold_store(w, true);
    say(w, c, SET("meddle"));
    say(w, other, GET("stay"));
    put_file(w, "gens_2", "gens");
    assert_int_equal(renew(w, "gens").events.finishing, 2);
    hold_store(w, false);
    assert_has(&c->in, "code='1' how='denied'");
    assert_has(&other->in, "code='1' how='waited'");
    assert_has(&w->log, "a replaced generation writes in its own waiting event only");
    gens_world_free(w);
}

static svi_request *read_already;

static void is_read(void *ctx, svi_request *request)
{
    (void)ctx;
    read_already = request;
}

/* A command that waits ends with the code that it began with; one whose arguments were read by a former declaration is
 * not run. */
static void commands_finish(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"asks\""));
    command_answer waits = {.count = 0}, late = {.count = 0};
    begin_command(w, "asks never", "'address':'romeo@one.example'", &waits);
    const sv_command *what = command_of(w, "asks nothing");
    svi_command_hold *hold = svi_mods_command_hold(w->mods, what);
    assert_non_null(hold);
    json_t *request = json_pack("{s:s}", "address", "romeo@one.example");
    svi_request_run(w->server, what, request, is_read, NULL, command_came, &late);
    json_decref(request);
    assert_non_null(read_already);
    (void)renew(w, "asks");
    assert_int_equal(waits.count, 0);
    svi_mod_info info;
    assert_true(svi_mods_draining(w->mods, 0, &info));
    assert_string_equal(info.name, "asks");
    assert_int_equal(info.events.waiting, 1);
    assert_string_equal(info.events.hook, "asks never");
    svi_mods_run(w->mods, read_already);
    assert_int_equal(late.count, 1);
    assert_non_null(strstr(late.text, "asks nothing: its module was loaded anew meanwhile; try again"));
    json_decref(late.json);
    pass_time(w, 61 * 1000000);
    assert_int_equal(waits.count, 1);
    assert_non_null(strstr(waits.text, "has not answered in time"));
    json_decref(waits.json);
    assert_false(svi_mods_draining(w->mods, 0, &info));
    svi_mods_command_release(&hold);
    assert_non_null(strstr(run_command(w, "asks nothing", "'address':'romeo@one.example'"), "gave no answer"));
    gens_world_free(w);
}

/* --- what is handed over ---------------------------------------------------------------------------- */

static void containers_are_adopted(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a"), *b = join(w, "juliet@one.example/b"), *n = join(w, "nurse@one.example/c");
    ask(w, c, GET("who"), "seen='1' names='1' list='romeo:1;' session='1'");
    ask(w, b, GET("who"), "seen='1' names='2'");
    ask(w, n, GET("who"), "seen='1' names='3'");
    (void)renew(w, "gens"); /* the same version: at once, and the memory on sessions, too */
    ask(w, c, GET("who"), "code='1' how='at-once' asked='1' inherited='3' together='101' rounds='0' seen='2' names='3' list='romeo:2;juliet:1;nurse:1;' session='2'");
    svi_mods_reloaded done;
    for (int round = 0; round < 3; round++) {
        const int64_t before = live(w);
        put_file(w, "gens_4", "gens"); /* changes it, then does not start */
        assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
        assert_has(&w->reports, "module \"gens\" does not start: invalid");
        put_file(w, "gens_3", "gens"); /* can't read it */
        assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
        assert_has(&w->reports, "test.cfg.lua:2: module \"gens\" does not start: version: table \"seen\": it is of version 1 and can't "
                                "be taken over as version 3");
        svi_buf_free(&w->log);
        svi_buf_free(&w->reports);
        if (round > 0) assert_true(live(w) <= before);
    }
    ask(w, c, GET("who"), "code='1' how='at-once' asked='2' inherited='3' together='102' rounds='0' seen='3' names='3' list='romeo:3;juliet:1;nurse:1;' session='3'");
    ask(w, b, GET("who"), "seen='2' names='3'");
    ask(w, n, GET("who"), "seen='2' names='3'");
    put_file(w, "gens_2", "gens"); /* turns it */
    (void)renew(w, "gens");
    ask(w, c, GET("who"), "seen='4' names='3' list='romeo:4;juliet:2;nurse:2;' session='1' doubled='6'"); /* another size on the session: a fresh one */
    ask(w, b, GET("who"), "seen='3' names='3' list='romeo:4;juliet:3;nurse:2;' session='1' doubled='4'");
    put_file(w, "gens", "gens"); /* which the older code does not understand */
    assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
    ask(w, n, GET("who"), "code='2'");
    gens_world_free(w);
}

static void a_record_that_cannot_be_turned(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "odd@one.example/a");
    ask(w, c, GET("who"), "seen='1'");
    svi_mods_reloaded done;
    put_file(w, "gens_2", "gens");
    assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
    assert_has(&w->reports, "table \"seen\": a record of version 1 can't be turned into version 2");
    ask(w, c, GET("who"), "code='1' how='at-once' asked='2' inherited='0'");
    for (const char *name = "pqrst"; *name; name++) { /* and it has its bound */
        char jid[32];
        snprintf(jid, sizeof jid, "%c@one.example/a", *name);
        client *one = join(w, jid);
        say(w, one, GET("who"));
        part(w, one);
    }
    ask(w, c, GET("who"), "seen='3' names='4'");
    gens_world_free(w);
}

static void too_much_is_not_handed_over(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\"") "gens_fat = 1048000\n");
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, GET("who"), "asked='1'");
    (void)renew(w, "gens");
    ask(w, c, GET("who"), "asked='1' inherited='1'");
    reloaded(w, HOST("\"gens\"") "gens_fat = 1048576\n");
    ask(w, c, GET("who"), "asked='1' inherited='2'");
    svi_mods_reloaded done;
    assert_int_equal(reload_names(w, "gens", &done), SV_ELIMIT);
    assert_has(&w->reports, "module \"gens\" saves more than 1024 KiB for its next generation");
    ask(w, c, GET("who"), "asked='2' inherited='2'");
    assert_int_not_equal(reload(w, HOST("\"gens\"") "gens_fat = 0\n"), SV_OK);
    assert_has(&w->reports, "saves more than 1024 KiB");
    ask(w, c, GET("who"), "asked='3' inherited='2'");
    reloaded(w, HOST("\"hello\"")); /* what nobody takes has no bound */
    gens_world_free(w);
}

/* --- all or nothing --------------------------------------------------------------------------------- */

static void what_cannot_be_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *file, *names, *why;
    } cases[] = {
        {"gens_2", "nosuch", "module \"nosuch\" is enabled on no host: `stave modules` shows which are"},
        {"gens_2", "gens gens", "module \"gens\" is named twice"},
        {"gens_2", "gens nosuch", "module \"nosuch\" is enabled on no host"},
        {"hello", "gens", "it calls itself \"hello\""},
        {"bad_abi", "gens", "module interface"},
        {"bad_constructor", "gens", "constructor"},
        {NULL, "gens", "there is no module \"gens\""},
        {"gens_4", "probe gens", "module \"gens\" does not start: invalid"},
    };
    world *w = gens_world(HOST("\"gens\", \"probe\""));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, GET("who"));
    hold_store(w, true);
    say(w, c, GET("wait"));
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            svi_mods_reloaded done;
            const int64_t before = live(w);
            put_file(w, cases[i].file ? cases[i].file : "gens", "gens");
            if (!cases[i].file) {
                drop_file(w, "gens");
                w->paths[1] = w->folder;
            }
            assert_int_not_equal(reload_names(w, cases[i].names, &done), SV_OK);
            w->paths[1] = w->mods_path;
            assert_has(&w->reports, cases[i].why);
            assert_int_equal(done.modules, 0);
            svi_buf_free(&w->log);
            svi_buf_free(&w->reports);
            if (round > 0 && live(w) > before) fail_msg("%s leaves %ld bytes", cases[i].why, (long)(live(w) - before));
        }
    hold_store(w, false);
    assert_has(&c->in, "code='1' how='waited' asked='2'");
    pass_time(w, 1000000);
    ask(w, c, GET("who"), "code='1' how='at-once' asked='3' inherited='0' together='103' rounds='1'");
    ask(w, c, ASK_MISC, "rounds='1'");
    put_file(w, "gens", "gens");
    gens_world_free(w);
}

static void all_hosts_or_none(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    put_file(w, "gens", "gens");
    look_in_folder(w);
    start(w, HOST("\"gens\"") TWO("\"probe\", \"gens\""));
    client *one = join(w, "romeo@one.example/a");
    const char *to_two = "<iq type='get' id='2' to='two.example'><who xmlns='urn:stave:gens'/></iq>";
    ask(w, one, GET("who"), "together='101'");
    ask(w, one, to_two, "code='1' how='at-once' asked='1' inherited='0' together='102'"); /* one memory for both */
    svi_mods_reloaded done;
    put_file(w, "gens_4", "gens");
    assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
    ask(w, one, to_two, "code='1' how='at-once' asked='2' inherited='0' together='103'");
    put_file(w, "gens_2", "gens");
    assert_int_equal(renew(w, "gens").modules, 2);
    ask(w, one, GET("who"), "code='2' how='at-once' asked='1' inherited='1' together='101'");
    ask(w, one, to_two, "code='2' how='at-once' asked='1' inherited='2' together='102'");
    gens_world_free(w);
}

static void commands_have_one_meaning(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"hello\""));
    svi_mods_reloaded done;
    put_file(w, "same", "gens");
    put_file(w, "same_too", "hello");
    assert_int_not_equal(reload_names(w, "gens hello", &done), SV_OK);
    assert_has(&w->reports, "module \"hello\" declares the command \"same thing\", which is one of \"gens\"");
    (void)renew(w, "gens");
    assert_int_not_equal(reload_names(w, "hello", &done), SV_OK);
    assert_has(&w->reports, "which is one of \"gens\"");
    drop_file(w, "hello");
    gens_world_free(w);
}

/* Nothing of what a start began outlives the refusal, also if an answer for it is still to come. */
static void a_refused_start_is_over_at_once(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    put_file(w, "gens", "gens");
    look_in_folder(w);
    start(w, HOST("\"gens\"") TWO("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    const char *to_two = "<iq type='get' id='2' to='two.example'><who xmlns='urn:stave:gens'/></iq>";
    ask(w, c, GET("who"), "seen='1'");
    ask(w, c, to_two, "seen='1'");
    svi_mods_reloaded done;
    put_file(w, "gens_5", "gens"); /* it starts on the one and is refused on the other */
    hold_store(w, true);
    assert_int_not_equal(reload_names(w, "gens", &done), SV_OK);
    assert_has(&w->log, "gens-stop");
    ask(w, c, GET("who"), "code='1' how='at-once' asked='2' inherited='0' together='103' rounds='0' seen='2' names='1'");
    ask(w, c, to_two, "seen='2' names='1'");
    pass_time(w, 1000000);
    hold_store(w, false);
    assert_has_not(&w->log, "gens-tick");
    assert_has_not(&w->log, "gens-listed");
    ask(w, c, to_two, "seen='3' names='1'");
    put_file(w, "gens", "gens");
    gens_world_free(w);
}

static void so_is_one_of_a_refused_configuration(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    put_file(w, "gens_5", "gens");
    look_in_folder(w);
    start(w, TWO("\"probe\"") HOST("\"probe\""));
    hold_store(w, true);
    assert_int_not_equal(reload(w, TWO("\"gens\"") HOST("\"gens\"")), SV_OK);
    assert_has(&w->log, "gens-stop");
    pass_time(w, 1000000);
    hold_store(w, false);
    assert_has_not(&w->log, "gens-tick");
    assert_has_not(&w->log, "gens-listed");
    gens_world_free(w);
}

/* --- with what is around ---------------------------------------------------------------------------- */

/* A configuration that is read later finds the new code, and its state goes on as if nothing had been. */
static void a_configuration_comes_later(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, GET("who"), "code='1' how='at-once' asked='1'");
    put_file(w, "gens_2", "gens");
    (void)renew(w, "gens");
    reloaded(w, HOST("\"gens\"") "gens_more = 7\n");
    assert_null(svi_mods_stale(w->mods, 0));
    ask(w, c, GET("who"), "code='2' how='at-once' asked='1' inherited='1' together='101' rounds='0' seen='2' names='1' list='romeo:2;' session='1' "
                          "doubled='2' text='last' more='7'");
    (void)renew(w, "gens"); /* with what is configured now */
    ask(w, c, GET("who"), "more='7'");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.generation, 4);
    put_file(w, "gens", "gens");
    reloaded(w, HOST("\"gens\"") "gens_more = 8\n");
    assert_string_equal(svi_mods_stale(w->mods, 0), "gens");
    gens_world_free(w);
}

/* A module that was enabled just now is told of all sessions, whichever generation it is then. */
/* An old generation ends what waits in it, also when the configuration has replaced its successor, or taken the module away, meanwhile. */
static void a_configuration_comes_while_one_drains(void **state)
{
    (void)state;
    for (int stays = 0; stays < 2; stays++) {
        world *w = gens_world(HOST("\"gens\", \"probe\""));
        client *waits = join(w, "romeo@one.example/a"), *other = join(w, "juliet@one.example/b");
        hold_store(w, true);
        say(w, waits, GET("stay"));
        say(w, other, SET("write"));
        put_file(w, "gens_2", "gens");
        assert_int_equal(renew(w, "gens").events.finishing, 2);
        reloaded(w, stays ? HOST("\"gens\", \"probe\"") "gens_more = 7\n" : HOST("\"probe\""));
        svi_mod_info info;
        assert_true(svi_mods_draining(w->mods, 0, &info));
        assert_int_equal(renew(w, "probe").modules, 1);
        svi_buf_clear(&waits->in);
        svi_buf_clear(&other->in);
        hold_store(w, false);
        assert_has(&waits->in, "code='1' how='waited'");
        assert_has(&other->in, "code='1' how='wrote'");
        assert_false(svi_mods_draining(w->mods, 0, &info));
        if (stays) ask(w, other, GET("who"), "code='2' how='at-once'");
        gens_world_free(w);
    }
}

static void newcomers_hear_of_sessions_first(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\""));
    (void)join(w, "romeo@one.example/a");
    (void)join(w, "romeo@one.example/b");
    reloaded(w, HOST("\"gens\", \"hello\""));
    assert_has_not(&w->log, "hello-bound");
    svi_mods_reloaded done;
    assert_int_equal(reload_names(w, "hello", &done), SV_OK);
    assert_int_equal(count_of(&w->log, "hello-bound"), 2);
    turn(w);
    assert_int_equal(count_of(&w->log, "hello-bound"), 2);
    gens_world_free(w);
}

/* What the host shows is put together of several modules, whichever of them begins anew. */
static void features_are_shown_on(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"caps\", \"disco\", \"roster\""));
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    client *c = join(w, "romeo@one.example/a");
    turn(w);
    char shown[1024];
    snprintf(shown, sizeof shown, "%.*s", (int)svi_host_features(host).n, svi_host_features(host).p);
    assert_non_null(strstr(shown, "http://jabber.org/protocol/caps"));
    static const char *const names[] = {"caps", "disco", "disco caps", "caps disco", "roster"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)renew(w, names[i]);
        char now[1024];
        snprintf(now, sizeof now, "%.*s", (int)svi_host_features(host).n, svi_host_features(host).p);
        assert_string_equal(now, shown);
        ask(w, c, "<iq type='get' id='d' to='one.example'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "urn:stave:gens:1");
    }
    put_file(w, "gens_2", "gens");
    (void)renew(w, "gens");
    char now[1024];
    snprintf(now, sizeof now, "%.*s", (int)svi_host_features(host).n, svi_host_features(host).p);
    assert_string_not_equal(now, shown); /* it can something else now */
    ask(w, c, "<iq type='get' id='d' to='one.example'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "urn:stave:gens:2");
    gens_world_free(w);
}

/* The accounts of a host are kept by the new generation. */
static void back_ends_take_over(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"backend\"") "backend_users = { \"romeo orchard\" }\n");
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    assert_string_equal(svi_provider_name(host), "backend");
    for (int i = 0; i < 3; i++) {
        (void)renew(w, "backend");
        assert_string_equal(svi_provider_name(host), "backend");
    }
    gens_world_free(w);
}

/* Not even what lists of options are made of. */
static void nothing_is_left(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"roster\", \"presence\", \"blocking\""));
    int64_t before = 0;
    for (int i = 0; i < 320; i++) {
        if (i == 20) before = live(w);
        (void)renew(w, i % 2 ? "blocking" : "gens");
        svi_buf_free(&w->log);
        svi_buf_free(&w->reports);
    }
    assert_int_equal(live(w), before);
    gens_world_free(w);
}

/* New code leaves quarantine, and hears of the sessions that were bound meanwhile, of no others again. */
static void new_code_ends_quarantine(void **state)
{
    (void)state;
    world *w = gens_world(HOST("\"gens\", \"hello\""));
    client *c = join(w, "romeo@one.example/a");
    sv_mod *hello = svi_group_find(w->mods->groups, SV_STR("hello"));
    svi_conduct_quarantine(hello, "for a test");
    (void)join(w, "romeo@one.example/b");
    const char *request = "<iq type='get' id='h' to='one.example'><ask xmlns='urn:stave:hello'/></iq>";
    ask(w, c, request, "service-unavailable");
    (void)renew(w, "gens"); /* another module's reload changes nothing of that */
    ask(w, c, request, "service-unavailable");
    (void)renew(w, "hello");
    assert_has(&w->log, "module-released module=hello host=one.example by=\"new code\"");
    assert_has(&w->log, "hello-bound jid=romeo@one.example/b");
    assert_int_equal(count_of(&w->log, "hello-bound"), 1);
    ask(w, c, request, "word='hello'");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 1, &info));
    assert_string_equal(info.state, "running");
    gens_world_free(w);
}

static world *inside;
static sv_status said;

static sv_verdict reload_inside(sv_event *ev, void *self)
{
    svi_mods_reloaded done;
    (void)ev, (void)self;
    said = reload_names(inside, "gens", &done);
    return SV_PASS;
}

/* Not from inside a stanza. */
static void never_inside_a_pass(void **state)
{
    (void)state;
    world *w = inside = gens_world(HOST("\"gens\""));
    client *c = join(w, "romeo@one.example/a");
    const svi_handler handler = {.point = SVI_POINT_HOST_READY, .call = reload_inside, .module = "test", .text = "host/ready"};
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    svi_hooks *hooks = NULL, *own = svi_hooks_ref(svi_host_hooks(host));
    assert_int_equal(svi_hooks_build(&w->acct, &handler, 1, &hooks, NULL), SV_OK);
    svi_host_set_hooks(host, hooks);
    svi_occasion(host, SVI_POINT_HOST_READY, NULL, NULL, NULL, SV_STR_NONE, NULL);
    assert_int_equal(said, SV_EBUSY);
    svi_host_set_hooks(host, own);
    svi_hooks_unref(&own);
    svi_hooks_unref(&hooks);
    ask(w, c, GET("who"), "code='1' how='at-once' asked='1'");
    gens_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_anew_and_others_go_on),
        cmocka_unit_test(waiting_events_restart_or_finish),
        cmocka_unit_test(a_hook_that_is_gone),
        cmocka_unit_test(a_finished_one_goes_on_in_the_new_table),
        cmocka_unit_test(restarted_several_times),
        cmocka_unit_test(the_deadline_stays),
        cmocka_unit_test(the_old_one_writes_in_its_own_event_only),
        cmocka_unit_test(commands_finish),
        cmocka_unit_test(containers_are_adopted),
        cmocka_unit_test(a_record_that_cannot_be_turned),
        cmocka_unit_test(too_much_is_not_handed_over),
        cmocka_unit_test(what_cannot_be_changes_nothing),
        cmocka_unit_test(all_hosts_or_none),
        cmocka_unit_test(commands_have_one_meaning),
        cmocka_unit_test(a_refused_start_is_over_at_once),
        cmocka_unit_test(so_is_one_of_a_refused_configuration),
        cmocka_unit_test(a_configuration_comes_later),
        cmocka_unit_test(a_configuration_comes_while_one_drains),
        cmocka_unit_test(newcomers_hear_of_sessions_first),
        cmocka_unit_test(features_are_shown_on),
        cmocka_unit_test(back_ends_take_over),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(new_code_ends_quarantine),
        cmocka_unit_test(never_inside_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
