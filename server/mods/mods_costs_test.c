/* What modules cost: time exact on the virtual clock, counts, memory, stores, metrics; over generations. */
#include "mods/mods_costs.h"
#include "mods/mods_world_test.h"

#define HOST(more) "VirtualHost \"one.example\"\nmodules_enabled = { \"costs\" }\n" more
#define ASK(type, what)                                                                            \
    "<iq type='" type "' id='q' to='one.example'><" what " xmlns='urn:stave:costs'/></iq>"

/* Each line that module costs writes takes its time. */
static void spending(void *ctx, sv_level level, sv_str line)
{
    static const struct {
        const char *event;
        int64_t us;
    } prices[] = {{" costs-work ", 1000}, {" costs-back ", 20000}, {" costs-timer ", 300},
                  {" costs-start ", 7}};
    world *w = ctx;
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++)
        if (memmem(line.p, line.n, prices[i].event, strlen(prices[i].event)) != NULL)
            svi_plat_virtual_advance(&w->plat, prices[i].us);
    w_log(ctx, level, line);
}

static world *costly(void)
{
    world *w = world_new_sampled(1);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, spending, w, w_wall, w);
    start(w, HOST(""));
    return w;
}

/* The counts under that text; none if it has no line. */
static svi_hook_stats line_of(const world *w, const char *text)
{
    const svi_cost_line *line;
    for (size_t k = 0; svi_mods_line(w->mods, 0, k, &line); k++)
        if (strcmp(line->text, text) == 0) return line->stats;
    return (svi_hook_stats){.calls = 0};
}

static svi_mod_info info_of(const world *w)
{
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    return info;
}

static void every_hook_has_its_line(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    for (int i = 0; i < 3; i++) {
        say(w, c, ASK("get", "work"));
        assert_has(&c->in, "type='result'");
    }
    say(w, c, ASK("get", "memory"));
    const svi_hook_stats work = line_of(w, "iq-get/host {urn:stave:costs}work");
    assert_int_equal(work.calls, 3);
    assert_int_equal(work.done, 3);
    assert_int_equal(work.cpu_ns, 3 * 1000 * 1000);
    const svi_hook_stats memory = line_of(w, "iq-get/host {urn:stave:costs}memory");
    assert_int_equal(memory.calls, 1);
    assert_int_equal(memory.cpu_ns, 0);
    const svi_mod_info info = info_of(w);
    assert_int_equal(info.calls, 4);
    assert_int_equal(info.done, 4);
    assert_int_equal(info.cpu_us, 3000 + 7); /* start, too */
    world_free(w);
}

/* Timers, start and commands are the module's time as well. */
static void all_that_it_runs_is_counted(void **state)
{
    (void)state;
    world *w = costly();
    const svi_hook_stats started = line_of(w, "start");
    assert_int_equal(started.callbacks, 1);
    assert_int_equal(started.cpu_ns, 7 * 1000);
    pass_time(w, 1000000);
    pass_time(w, 1000000);
    const svi_hook_stats timer = line_of(w, "timer");
    assert_int_equal(timer.callbacks, 2);
    assert_int_equal(timer.cpu_ns, 2 * 300 * 1000);
    assert_non_null(strstr(run_command(w, "costs work", "'command':'costs work'"), "\"ok\":true"));
    const svi_hook_stats command = line_of(w, "costs work");
    assert_int_equal(command.calls, 1);
    assert_int_equal(command.done + command.passed, 1);
    assert_int_equal(command.cpu_ns, 1000 * 1000);
    world_free(w);
}

/* What comes back after a LATER counts for the hook that waited. */
static void callbacks_are_counted(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, ASK("set", "store"));
    svi_hook_stats hook = line_of(w, "iq-set/host {urn:stave:costs}store");
    assert_int_equal(hook.later, 1);
    assert_int_equal(hook.callbacks, 0);
    svi_engine_sim_plan(w->engine)->hold = false;
    pass_time(w, 500000); /* waiting costs nothing */
    assert_has(&c->in, "type='result'");
    hook = line_of(w, "iq-set/host {urn:stave:costs}store");
    assert_int_equal(hook.calls, 1);
    assert_int_equal(hook.callbacks, 1);
    assert_int_equal(hook.cpu_ns, 20000 * 1000);
    assert_int_equal(info_of(w).callbacks, 2); /* and start */
    world_free(w);
}

static void stores_are_counted(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    for (int i = 0; i < 2; i++) say(w, c, ASK("set", "store"));
    const svi_store_counts store = info_of(w).store;
    assert_int_equal(store.puts, 2); /* what is too large was not put */
    assert_int_equal(store.deletes, 2);
    assert_int_equal(store.reads, 2);
    assert_int_equal(store.loads, 2);
    assert_int_equal(store.written_bytes, 2 * (5 + 3 + 5 + 5 + 4));
    world_free(w);
}

static void memory_has_a_peak(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    const svi_mod_info before = info_of(w);
    assert_true(before.peak_bytes >= before.live_bytes && before.live_bytes > 0);
    say(w, c, ASK("get", "memory"));
    const svi_mod_info most = info_of(w);
    assert_true(most.live_bytes >= before.live_bytes + 100000);
    assert_true(most.peak_bytes >= most.live_bytes);
    part(w, c);
    assert_int_equal(info_of(w).live_bytes, before.live_bytes);
    assert_int_equal(info_of(w).live_count, before.live_count);
    assert_int_equal(info_of(w).peak_bytes, most.peak_bytes);
    world_free(w);
}

static int64_t metric_of(const world *w, size_t k, const char *name)
{
    const sv_metric *metric;
    int64_t value;
    assert_true(svi_mods_metric(w->mods, 0, k, &metric, &value));
    assert_string_equal(metric->name, name);
    return value;
}

/* A next generation goes on where the one before was; also one that is discarded costs what it cost. */
static void generations_add_up(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK("get", "work"));
    say(w, c, ASK("set", "store"));
    const svi_mod_info before = info_of(w);
    reloaded(w, HOST("costs_unused = 1\n"));
    const svi_hook_stats work = line_of(w, "iq-get/host {urn:stave:costs}work");
    assert_int_equal(work.calls, 1);
    assert_int_equal(work.cpu_ns, 1000 * 1000);
    assert_int_equal(line_of(w, "start").callbacks, 2);
    assert_int_equal(info_of(w).store.puts, before.store.puts);
    assert_true(info_of(w).peak_bytes >= before.peak_bytes);
    assert_int_equal(metric_of(w, 0, "costs_asked"), 1);
    say(w, c, ASK("get", "work"));
    assert_int_equal(line_of(w, "iq-get/host {urn:stave:costs}work").calls, 2);
    assert_int_equal(metric_of(w, 0, "costs_asked"), 2);
    assert_int_not_equal(reload(w, "VirtualHost \"one.example\"\ncosts_unused = 2\n"
                                   "modules_enabled = { \"costs\", \"bad_start\" }\n"),
                         SV_OK);
    assert_int_equal(line_of(w, "start").callbacks, 3);
    assert_int_equal(line_of(w, "iq-get/host {urn:stave:costs}work").calls, 2);
    assert_int_equal(info_of(w).live_count, before.live_count);
    world_free(w);
}

/* An event that waits ends with the old generation; what that costs is not lost. */
static void old_generations_still_count(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, ASK("set", "store"));
    reloaded(w, HOST("costs_unused = 1\n"));
    svi_engine_sim_plan(w->engine)->hold = false;
    turn(w);
    assert_has(&c->in, "type='result'");
    const svi_hook_stats hook = line_of(w, "iq-set/host {urn:stave:costs}store");
    assert_int_equal(hook.callbacks, 1);
    assert_int_equal(hook.cpu_ns, 20000 * 1000);
    world_free(w);
}

/* --- metrics ----------------------------------------------------------------------- */

static void metrics_are_kept(void **state)
{
    (void)state;
    world *w = costly();
    client *c = join(w, "romeo@one.example/a");
    assert_int_equal(metric_of(w, 0, "costs_asked"), 0);
    for (int i = 0; i < 2; i++) say(w, c, ASK("get", "work"));
    assert_int_equal(metric_of(w, 0, "costs_asked"), 2);
    assert_int_equal(metric_of(w, 1, "costs_level"), -5);
    assert_has_not(&w->log, "metric-wrong");
    for (int i = 0; i < 2; i++) say(w, c, ASK("get", "wrong"));
    assert_int_equal(metric_of(w, 0, "costs_asked"), 2);
    assert_int_equal(metric_of(w, 1, "costs_level"), -9);
    assert_int_equal(count_of(&w->log, "metric-wrong"), 1);
    const sv_metric *metric;
    int64_t value;
    assert_false(svi_mods_metric(w->mods, 0, 2, &metric, &value));
    assert_false(svi_mods_metric(w->mods, 1, 0, &metric, &value));
    world_free(w);
}

static void refused(const sv_metric *metrics, const char *why)
{
    const sv_module_desc desc = {
        .name = "a-mod", .metrics = metrics, .metric_stride = sizeof(sv_metric)};
    sv_err err = {.text = ""};
    const sv_status status = svi_metrics_check(&desc, &err);
    if (why == NULL) {
        assert_int_equal(status, SV_OK);
    } else {
        assert_int_equal(status, SV_EINVAL);
        if (strstr(err.text, why) == NULL) fail_msg("\"%s\" does not hold \"%s\"", err.text, why);
    }
}

static void wrong_metrics_are_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"a_mod_x", "a_mod_x_y2", "a_mod_2"};
    static const char *const bad[] = {"",         "a",       "a_mod",   "a_mod_",   "a_mod__x", "a-mod_x",
                                      "a_mod_X",  "a_mod-x", "a_mod_x_", "b_mod_x", "a_mod_x y", "a_modx",
                                      "a_mod_\xc3\xa4"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        refused((sv_metric[]){{good[i], SV_METRIC_COUNTER, "Things."}, {0}}, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused((sv_metric[]){{bad[i], SV_METRIC_COUNTER, "Things."}, {0}}, "as in \"a_mod_things\"");
    refused((sv_metric[]){{"a_mod_x", SV_METRIC_GAUGE, "X."}, {"a_mod_x", SV_METRIC_GAUGE, "X."}, {0}},
            "twice");
    refused((sv_metric[]){{"a_mod_x", (sv_metric_kind)3, "X."}, {0}}, "unknown kind 3");
    refused((sv_metric[]){{"a_mod_x", SV_METRIC_GAUGE, NULL}, {0}}, "manual");
    refused((sv_metric[]){{"a_mod_x", SV_METRIC_GAUGE, ""}, {0}}, "manual");
    sv_metric many[SVI_METRICS_MAX + 2] = {{0}};
    char names[SVI_METRICS_MAX + 1][32];
    for (size_t i = 0; i <= SVI_METRICS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "a_mod_%zu", i);
        many[i] = (sv_metric){names[i], SV_METRIC_GAUGE, "X."};
    }
    refused(many, "more than 64");
    world *w = world_new();
    assert_start_fails(w, "\"bad_metric\"", "its metric \"metric_asked\" has a wrong name");
    world_free(w);
}

/* --- bounds ------------------------------------------------------------------------ */

static void lines_are_bounded(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    svi_costs *costs = svi_costs_new(&acct, "m");
    char text[32];
    for (int i = 0; i < 2 * SVI_COST_LINES_MAX; i++) {
        snprintf(text, sizeof text, "hook %d", i);
        svi_costs_line(costs, text)->calls++;
    }
    assert_int_equal(costs->line_count, SVI_COST_LINES_MAX);
    assert_int_equal(svi_costs_line(costs, "other")->calls, SVI_COST_LINES_MAX + 1);
    assert_int_equal(svi_costs_sum(costs).calls, 2 * SVI_COST_LINES_MAX); /* nothing is lost */
    for (int i = 0; i < SVI_METRIC_VALUES_MAX; i++) {
        snprintf(text, sizeof text, "m_%d", i);
        assert_non_null(svi_costs_metric(costs, text));
    }
    assert_null(svi_costs_metric(costs, "m_more"));
    svi_costs_unref(&costs);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_hook_has_its_line),
        cmocka_unit_test(all_that_it_runs_is_counted),
        cmocka_unit_test(callbacks_are_counted),
        cmocka_unit_test(stores_are_counted),
        cmocka_unit_test(memory_has_a_peak),
        cmocka_unit_test(generations_add_up),
        cmocka_unit_test(old_generations_still_count),
        cmocka_unit_test(metrics_are_kept),
        cmocka_unit_test(wrong_metrics_are_refused),
        cmocka_unit_test(lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
