/* Tests of faults, quarantine with the policy of each hook, budgets and the way out. */
#include <sys/wait.h>

#include "mods/mods_impl.h"
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_provider.h"

#define CONFIG(options)                                                                            \
    options "VirtualHost \"one.example\"\nmodules_enabled = { \"unruly\", \"ping\" }\n"
#define THREE "module_faults_max = 3\nmodule_faults_within = \"1m\"\n"

enum { SECOND = 1000000 };

static world *begin(const char *config)
{
    world *w = world_new();
    svi_ledger_set_strict(svi_server_ledger(w->server), false); /* as in production */
    start(w, config);
    return w;
}

static svi_mod_info info_of(world *w, const char *name)
{
    svi_mod_info info;
    for (size_t i = 0; svi_mods_info(w->mods, i, &info); i++)
        if (strcmp(info.name, name) == 0) return info;
    fail_msg("no module %s", name);
    return info;
}

static bool is_out(world *w)
{
    return strcmp(info_of(w, "unruly").state, "quarantined") == 0;
}

static void message(world *w, client *c, const char *text)
{
    char stanza[300];
    snprintf(stanza, sizeof stanza, "<message to='juliet@one.example/y' id='m'><body>%s</body></message>", text);
    say(w, c, stanza);
}

static void request(world *w, client *c, const char *what)
{
    char stanza[300];
    snprintf(stanza, sizeof stanza,
             "<iq type='get' id='q' to='one.example'><%s xmlns='urn:stave:unruly'/></iq>", what);
    say(w, c, stanza);
}

static void refused(world *w, client *c, const char *what)
{
    request(w, c, what);
    assert_has(&c->in, "type='error'");
    assert_has(&c->in, "<service-unavailable");
}

static void answered(world *w, client *c, const char *what)
{
    request(w, c, what);
    assert_has(&c->in, "type='result'");
}

static void release(world *w)
{
    sv_err err = {.text = ""};
    if (svi_mods_release(w->mods, SV_STR("unruly"), NULL, &err) != SV_OK) fail_msg("%s", err.text);
    turn(w);
}

static uint64_t dropped(world *w)
{
    return svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_DROPPED];
}

static void faults_end_in_quarantine(void **state)
{
    (void)state;
    world *w = begin(CONFIG(THREE));
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    message(w, romeo, "done");
    message(w, romeo, "twice");
    assert_has(&w->log, "module-fault");
    assert_false(is_out(w));
    pass_time(w, 61 * (int64_t)SECOND); /* those are forgotten */
    message(w, romeo, "done");
    message(w, romeo, "done");
    assert_false(is_out(w));
    answered(w, romeo, "bounce");
    message(w, romeo, "done");
    assert_true(is_out(w));
    assert_has(&w->log, "module-quarantined");
    const svi_mod_info info = info_of(w, "unruly");
    assert_non_null(strstr(info.reason, "3 faults in 60 s"));
    assert_true(info.since_s > 0);
    assert_true(svi_mods_quarantines(w->mods, "unruly"));
    assert_false(svi_mods_quarantines(w->mods, "ping"));

    message(w, romeo, "hello"); /* bounced: it was not asked */
    assert_has(&romeo->in, "<service-unavailable");
    assert_has(&romeo->in, "type='error'");
    assert_has_not(&juliet->in, "hello");
    refused(w, romeo, "bounce");
    refused(w, romeo, "guard");
    say(w, romeo, "<iq type='get' id='p' to='one.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_has(&romeo->in, "type='result'"); /* of another module */
    assert_int_equal(info_of(w, "unruly").refused, 3);

    release(w);
    assert_has(&w->log, "module-released");
    message(w, romeo, "hello");
    assert_has(&juliet->in, "hello");
    answered(w, romeo, "guard");
    message(w, romeo, "done"); /* counted from none again */
    message(w, romeo, "done");
    assert_false(is_out(w));
    world_free(w);
}

static void commands_are_refused(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_faults_max = 1\n"));
    client *romeo = join(w, "romeo@one.example/x");
    assert_non_null(strstr(run_command(w, "unruly", ""), "\"ok\":true"));
    message(w, romeo, "done");
    const char *answer = run_command(w, "unruly", "");
    assert_non_null(strstr(answer, "\"class\":\"refused\""));
    assert_non_null(strstr(answer, "`stave modules release unruly`"));
    world_free(w);
}

static void skipped_and_dropped(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_faults_max = 1\n"));
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    message(w, romeo, "hello");
    message(w, romeo, "done");
    assert_true(is_out(w));
    const uint64_t refused_before = info_of(w, "unruly").refused;
    request(w, romeo, "open"); /* goes on as if nobody had hooked there */
    assert_has(&romeo->in, "<service-unavailable");
    assert_int_equal(info_of(w, "unruly").refused, refused_before);
    assert_true(info_of(w, "unruly").skipped > 0);
    const uint64_t before = dropped(w);
    svi_buf_clear(&romeo->in);
    say(w, romeo, "<iq type='result' id='r' to='one.example'/>"); /* can't be answered */
    assert_int_equal(dropped(w), before + 1);
    assert_int_equal(romeo->in.len, 0);
    say(w, romeo, "<message type='error' to='juliet@one.example/y'><body>late</body></message>");
    say(w, romeo, "<message type='headline' to='juliet@one.example/y'><body>news</body></message>");
    assert_int_equal(dropped(w), before + 3);
    assert_int_equal(romeo->in.len, 0);
    assert_has_not(&juliet->in, "news");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

static void timers_rest_and_sessions_are_told_later(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_faults_max = 1\n"));
    client *romeo = join(w, "romeo@one.example/x");
    pass_time(w, 10 * SECOND);
    message(w, romeo, "done");
    assert_true(is_out(w));
    for (int i = 0; i < 5; i++) pass_time(w, 10 * SECOND);
    client *late = join(w, "juliet@one.example/y");
    release(w);
    request(w, late, "state");
    assert_has(&late->in, "ticks='1'");
    assert_has(&late->in, "bound='2'"); /* each session once */
    assert_has(&late->in, "ready='1'");
    assert_has(&late->in, "watched='1'");
    pass_time(w, 10 * SECOND);
    request(w, late, "state");
    assert_has(&late->in, "ticks='2'");
    world_free(w);
}

/* What it never answers is its fault; it ends by its deadline in quarantine as well. */
static void never_answers(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_faults_max = 2\n"));
    client *romeo = join(w, "romeo@one.example/x"), *mercutio = join(w, "mercutio@one.example/z"),
           *tybalt = join(w, "tybalt@one.example/t");
    message(w, romeo, "never");
    message(w, mercutio, "never");
    pass_time(w, 30 * SECOND);
    message(w, tybalt, "never");
    pass_time(w, 31 * SECOND);
    assert_has(&romeo->in, "<internal-server-error");
    assert_true(is_out(w));
    svi_buf_clear(&tybalt->in);
    pass_time(w, 30 * SECOND); /* what waits there waits on */
    assert_has(&tybalt->in, "<internal-server-error");
    world_free(w);
}

static void reload_keeps_it_unless_told(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_faults_max = 1\n"));
    client *romeo = join(w, "romeo@one.example/x");
    message(w, romeo, "done");
    assert_true(is_out(w));
    reloaded(w, "unruly_faults_max = 1\nVirtualHost \"one.example\"\nmodules_enabled = { \"unruly\" }\n");
    assert_true(is_out(w)); /* the same code, beside others than before */
    assert_non_null(strstr(info_of(w, "unruly").reason, "1 faults"));
    refused(w, romeo, "guard");
    pass_time(w, 25 * SECOND);
    release(w);
    request(w, romeo, "state");
    assert_has(&romeo->in, "ticks='0'");
    assert_has(&romeo->in, "ready='1'"); /* of the new generation, which missed it */
    world_free(w);
}

static void another_budget_by_reload(void **state)
{
    (void)state;
    world *w = begin(CONFIG(THREE));
    client *romeo = join(w, "romeo@one.example/x");
    message(w, romeo, "hello");
    reloaded(w, CONFIG("unruly_faults_max = 2\n"));
    request(w, romeo, "state");
    assert_has(&romeo->in, "watched='1'"); /* the same generation */
    message(w, romeo, "done");
    assert_false(is_out(w));
    message(w, romeo, "done");
    assert_true(is_out(w));
    world_free(w);
}

static void release_needs_one(void **state)
{
    (void)state;
    world *w = begin(CONFIG(THREE));
    sv_err err = {.text = ""};
    assert_int_equal(svi_mods_release(w->mods, SV_STR("unruly"), NULL, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "is not in quarantine"));
    assert_int_equal(svi_mods_release(w->mods, SV_STR("nothing"), NULL, &err), SV_ENOTFOUND);
    assert_non_null(strstr(err.text, "`stave modules`"));
    world_free(w);
}

/* --- blamed for crashes ------------------------------------------------------------- */

static world *begin_held(const char *config, const svi_held *held)
{
    world *w = world_new();
    write_config(w, config);
    w->mods = svi_mods_new(&w->acct, &(svi_mods_config){.server = w->server,
                                                        .config = w->config,
                                                        .paths = w->paths,
                                                        .path_count = 2,
                                                        .held = held,
                                                        .held_count = 1,
                                                        .report = w_report,
                                                        .report_ctx = w});
    if (svi_mods_start(w->mods) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    return w;
}

/* Begins started, but without being asked anything. */
static void blamed_in_a_hook(void **state)
{
    (void)state;
    const svi_held held = {.module = "unruly", .why = "3 workers ended in it"};
    world *w = begin_held(CONFIG(""), &held);
    assert_true(is_out(w));
    assert_string_equal(info_of(w, "unruly").reason, held.why);
    client *romeo = join(w, "romeo@one.example/x");
    refused(w, romeo, "guard");
    pass_time(w, 25 * SECOND);
    release(w);
    request(w, romeo, "state");
    assert_has(&romeo->in, "ticks='0'");
    assert_has(&romeo->in, "bound='1'");
    assert_has(&romeo->in, "ready='1'");
    world_free(w);
}

/* Is not even started, by no reload either, until it is released. */
static void blamed_in_its_start(void **state)
{
    (void)state;
    const svi_held held = {.module = "unruly", .why = "3 workers ended in it", .is_in_start = true};
    world *w = begin_held(CONFIG(""), &held);
    client *romeo = join(w, "romeo@one.example/x");
    assert_true(is_out(w));
    assert_has_not(&w->log, "module-loaded module=unruly");
    refused(w, romeo, "guard");
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"unruly\" }\n");
    assert_true(is_out(w));
    refused(w, romeo, "guard");
    release(w);
    pass_time(w, 10 * SECOND);
    request(w, romeo, "state"); /* it would have no timer without its start */
    assert_has(&romeo->in, "ticks='1'");
    assert_has(&romeo->in, "bound='1'");
    assert_has(&romeo->in, "ready='1'");
    world_free(w);
}

static void on_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static int find_account(world *w)
{
    int status = 1;
    svi_provider_find(svi_host_find(w->server, SV_STR("one.example")), SV_STR("romeo"), on_status, &status);
    turn(w);
    return status;
}

/* Its host's accounts are nobody else's: logins are refused meanwhile. */
static void back_end_of_accounts(void **state)
{
    (void)state;
    const svi_held held = {.module = "backend", .why = "3 workers ended in it"};
    world *w = begin_held("VirtualHost \"one.example\"\nmodules_enabled = { \"backend\" }\n"
                          "backend_users = { \"romeo orchard\" }\n",
                          &held);
    assert_int_equal(find_account(w), SV_EIO);
    sv_err err;
    assert_int_equal(svi_mods_release(w->mods, SV_STR("backend"), NULL, &err), SV_OK);
    assert_int_equal(find_account(w), SV_OK);
    world_free(w);
}

/* Whether it keeps the accounts is not known before its start. */
static void back_end_that_was_not_started(void **state)
{
    (void)state;
    const svi_held held = {.module = "backend", .why = "3 workers ended in it", .is_in_start = true};
    world *w = begin_held("VirtualHost \"one.example\"\nmodules_enabled = { \"backend\" }\n"
                          "backend_users = { \"romeo orchard\" }\n",
                          &held);
    assert_int_equal(find_account(w), SV_EIO);
    sv_err err;
    assert_int_equal(svi_mods_release(w->mods, SV_STR("backend"), NULL, &err), SV_OK);
    assert_int_equal(find_account(w), SV_OK);
    world_free(w);
}

/* --- budgets ------------------------------------------------------------------------ */

static void memory_budget(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_memory_max = \"200k\"\nunruly_faults_max = 3\n"));
    client *romeo = join(w, "romeo@one.example/x");
    message(w, romeo, "grow");
    message(w, romeo, "grow");
    assert_has_not(&w->log, "module-budget");
    message(w, romeo, "grow"); /* 192k of 200k */
    assert_int_equal(count_of(&w->log, "module-budget"), 1);
    assert_has(&w->log, "what=memory");
    message(w, romeo, "shrink");
    pass_time(w, SECOND); /* below again */
    message(w, romeo, "grow");
    assert_int_equal(count_of(&w->log, "module-budget"), 2);
    assert_has_not(&w->log, "module-fault");
    message(w, romeo, "grow"); /* 256k: over it */
    assert_int_equal(count_of(&w->log, "module-budget"), 3);
    assert_int_equal(info_of(w, "unruly").faults, 1);
    pass_time(w, SECOND);
    assert_int_equal(info_of(w, "unruly").faults, 2);
    assert_int_equal(count_of(&w->log, "module-budget"), 3);
    assert_false(is_out(w));
    pass_time(w, SECOND);
    assert_true(is_out(w));
    world_free(w);
}

static void memory_on_sessions(void **state)
{
    (void)state;
    world *w = begin(CONFIG("module_memory_max = \"100k\"\n"));
    client *romeo = join(w, "romeo@one.example/x");
    message(w, romeo, "remember");
    assert_false(is_out(w));
    pass_time(w, SECOND);
    assert_true(is_out(w));
    world_free(w);
}

static void memory_far_over_budget(void **state)
{
    (void)state;
    world *w = begin(CONFIG("module_memory_max = \"100k\"\nmodule_faults_max = 1000\n"));
    client *romeo = join(w, "romeo@one.example/x");
    message(w, romeo, "grow");
    message(w, romeo, "grow");
    assert_false(is_out(w));
    message(w, romeo, "grow");
    assert_true(is_out(w));
    assert_non_null(strstr(info_of(w, "unruly").reason, "memory"));
    release(w); /* it has as much as before */
    assert_false(is_out(w));
    pass_time(w, SECOND);
    assert_true(is_out(w));
    world_free(w);
}

/* The module's handlers took so long, as the bus would have counted. */
static void use_cpu(world *w, int64_t ms)
{
    sv_mod *mod = svi_group_find(w->mods->groups, SV_STR("unruly"));
    svi_costs_line(mod->costs, "test")->cpu_ns += ms * 1000000;
}

static void cpu_budget(void **state)
{
    (void)state;
    world *w = begin(CONFIG("unruly_cpu_max = 50\nunruly_faults_max = 2\n"));
    for (int i = 0; i < 10; i++) pass_time(w, SECOND);
    use_cpu(w, 3900); /* of ten seconds */
    for (int i = 0; i < 10; i++) pass_time(w, SECOND);
    assert_has_not(&w->log, "module-budget");
    use_cpu(w, 4100);
    for (int i = 0; i < 10; i++) pass_time(w, SECOND);
    assert_int_equal(count_of(&w->log, "module-budget"), 1);
    assert_has(&w->log, "what=cpu used=41 max=50 percent=82");
    assert_int_equal(info_of(w, "unruly").faults, 0);
    use_cpu(w, 5200);
    for (int i = 0; i < 10; i++) pass_time(w, SECOND);
    assert_int_equal(info_of(w, "unruly").faults, 1);
    for (int i = 0; i < 10; i++) pass_time(w, SECOND); /* rests */
    assert_int_equal(info_of(w, "unruly").faults, 1);
    for (int turn_of = 0; turn_of < 2; turn_of++) {
        use_cpu(w, 9000);
        for (int i = 0; i < 10; i++) pass_time(w, SECOND);
    }
    assert_true(is_out(w));
    assert_non_null(strstr(info_of(w, "unruly").reason, "processor time"));
    world_free(w);
}

static void options_are_checked(void **state)
{
    (void)state;
    world *w = world_new();
    make_mods(w, CONFIG("\nunruly_memory_max = \"lots\"\nmodule_cpu_max = 101\n"));
    assert_int_equal(svi_mods_check(w->mods), SV_EINVAL);
    assert_has(&w->reports, "test.cfg.lua:2: 'unruly_memory_max' must be a size");
    assert_has(&w->reports, "test.cfg.lua:3: 'module_cpu_max' must be from 0 to 100");
    svi_mods_free(&w->mods);
    world_free(w);
}

/* --- memory ------------------------------------------------------------------------- */

static void memory_of_modules(void **state)
{
    (void)state;
    world *w = begin(CONFIG(THREE));
    client *romeo = join(w, "romeo@one.example/x");
    const int64_t before = info_of(w, "unruly").live_bytes;
    request(w, romeo, "memory");
    assert_has(&romeo->in, "is='fine'");
    const int64_t once = info_of(w, "unruly").live_bytes;
    assert_in_range(once - before, 5, 200); /* the copied text */
    request(w, romeo, "memory");
    assert_int_equal(info_of(w, "unruly").live_bytes, once);
    world_free(w); /* asserts that nothing is left */
}

/* What is no memory of the module ends the worker. */
static void wrong_memory(void **state)
{
    (void)state;
    const pid_t pid = fork();
    if (pid == 0) {
        assert_non_null(freopen("/dev/null", "w", stderr));
        world *w = begin(CONFIG(""));
        request(w, join(w, "romeo@one.example/x"), "wrong");
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_end_in_quarantine),
        cmocka_unit_test(commands_are_refused),
        cmocka_unit_test(skipped_and_dropped),
        cmocka_unit_test(timers_rest_and_sessions_are_told_later),
        cmocka_unit_test(never_answers),
        cmocka_unit_test(reload_keeps_it_unless_told),
        cmocka_unit_test(another_budget_by_reload),
        cmocka_unit_test(release_needs_one),
        cmocka_unit_test(blamed_in_a_hook),
        cmocka_unit_test(blamed_in_its_start),
        cmocka_unit_test(back_end_of_accounts),
        cmocka_unit_test(back_end_that_was_not_started),
        cmocka_unit_test(memory_budget),
        cmocka_unit_test(memory_on_sessions),
        cmocka_unit_test(memory_far_over_budget),
        cmocka_unit_test(cpu_budget),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(memory_of_modules),
        cmocka_unit_test(wrong_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
