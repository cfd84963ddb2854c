/* Engine modules on a loop: descriptors, deadlines, wake-ups, threads, their end, and what is refused. */
#include <sys/wait.h>

#include "mods/mods_world_test.h"
#include "mods/mods_engine_impl.h"

typedef struct engine_world {
    world *w;
    uv_loop_t loop;
    char gate[TESTING_PATH + 16];
} engine_world;

static engine_world *ew_made(int join_ms, bool is_staged)
{
    engine_world *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->w = world_new();
    assert_int_equal(uv_loop_init(&e->loop), 0);
    e->w->engines = svi_engines_new(&(svi_engines_config){
        .acct = &e->w->acct, .plat = &e->w->plat.plat, .loop = &e->loop, .join_ms = join_ms, .is_staged = is_staged});
    snprintf(e->gate, sizeof e->gate, "%s/gate", e->w->folder);
    return e;
}

static engine_world *ew_new(int join_ms)
{
    return ew_made(join_ms, false);
}

static void ew_end_mods(engine_world *e)
{
    svi_mods_free(&e->w->mods);
    svi_engines_settle(e->w->engines);
}

static void ew_free(engine_world *e)
{
    ew_end_mods(e);
    assert_int_equal(uv_run(&e->loop, UV_RUN_DEFAULT), 0);
    assert_true(svi_engines_free(&e->w->engines));
    assert_null(e->w->engines);
    assert_int_equal(uv_loop_close(&e->loop), 0);
    world_free(e->w);
    free(e);
}

static void ew_start(engine_world *e, const char *what)
{
    char config[1200];
    snprintf(config, sizeof config,
             "VirtualHost \"one.example\"\nmodules_enabled = { \"engine\" }\nengine_do = \"%s\"\n"
             "engine_gate = \"%s\"\n",
             what, e->gate);
    start(e->w, config);
}

/* Runs the loop until the log holds it. */
static void until(engine_world *e, const char *text)
{
    for (int i = 0; !has(&e->w->log, text); i++) {
        assert_in_range(i, 0, 100000);
        (void)uv_run(&e->loop, UV_RUN_ONCE);
    }
}

static void shut(const engine_world *e)
{
    FILE *file = fopen(e->gate, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

#define SAID(what, number) "engine-said what=" what " number=" number

/* --- one thing each ------------------------------------------------------------------------------------- */

static void descriptors_and_deadlines(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "watch");
    assert_true(svi_mod_is_engine(e->w->mods->files[0]));
    svi_mods_reloaded done;
    const sv_str name = sv_str_of(e->w->mods->files[0]->name);
    const svi_mods_reloading how = {.names = &name, .count = 1, .report = w_report, .report_ctx = e->w};
    assert_int_not_equal(svi_mods_reload(e->w->mods, &how, &done), SV_OK);
    assert_has(&e->w->reports, "is an engine, whose code is loaded once: restart the server");
    until(e, SAID("unwatched", "0"));
    assert_has(&e->w->log, SAID("deadline", "120")); /* an x */
    assert_has(&e->w->log, SAID("read", "120"));
    for (int i = 0; i < 5; i++) (void)uv_run(&e->loop, UV_RUN_NOWAIT);
    svi_mods_free(&e->w->mods);
    assert_int_equal(count_of(&e->w->log, "what=read"), 1);
    assert_has_not(&e->w->log, "cancelled");
    assert_has(&e->w->log, SAID("stopped", "0"));
    ew_free(e);
}

/* The queue to the router is bounded, to four here, and what waits at the end comes before the stop. */
static void results_in_order(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "order");
    until(e, SAID("\"in order\"", "1000"));
    ew_end_mods(e);
    assert_has_not(&e->w->log, "out of order");
    assert_has(&e->w->log, SAID("joined", "1"));
    assert_has(&e->w->log, SAID("delivered", "1000"));
    assert_has(&e->w->log, SAID("undone", "0"));
    ew_free(e);
}

static void the_end_in_the_midst(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "order");
    (void)uv_run(&e->loop, UV_RUN_ONCE);
    ew_end_mods(e);
    assert_has_not(&e->w->log, "out of order");
    assert_has(&e->w->log, SAID("joined", "1"));
    assert_has_not(&e->w->log, "what=undone number=1000");
    ew_free(e);
}

static void a_thread_of_a_library(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "foreign");
    until(e, SAID("woken", "0")); /* the router's variable, not the thread's */
    svi_mods_free(&e->w->mods);
    assert_has(&e->w->log, SAID("stopped", "1"));
    assert_int_equal(count_of(&e->w->log, "what=woken"), 1);
    ew_free(e); /* the loop runs on: what was sent at the end comes to nobody */
}

/* Nothing that was given or posted is lost at the end. */
static void what_is_left(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "rest");
    assert_has(&e->w->log, SAID("refused", "8"));
    ew_end_mods(e);
    assert_has(&e->w->log, SAID("joined", "1"));
    assert_has(&e->w->log, SAID("delivered", "4"));
    assert_has(&e->w->log, SAID("undone", "8"));
    assert_has(&e->w->log, SAID("\"not taken\"", "4"));
    ew_free(e);
}

static void a_thread_that_quits(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "quits");
    until(e, "engine-ended module=engine worker=numbers");
    ew_end_mods(e);
    assert_has(&e->w->log, SAID("joined", "1"));
    ew_free(e);
}

static void bounds(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    ew_start(e, "bounds");
    assert_has(&e->w->log, SAID("wakers", "64"));
    assert_has(&e->w->log, SAID("deadlines", "1024"));
    assert_has(&e->w->log, SAID("workers", "16"));
    assert_has(&e->w->log, "name it in store_engine");
    ew_free(e);
}

/* --- the end beside the router -------------------------------------------------------------------------- */

static void reload_other(engine_world *e)
{
    char config[1200];
    snprintf(config, sizeof config,
             "VirtualHost \"one.example\"\nmodules_enabled = { \"engine\" }\nengine_do = \"gate\"\n"
             "engine_gate = \"%s-other\"\n",
             e->gate);
    reloaded(e->w, config);
}

/* A reload does not wait for a thread that hangs; its module stops when it comes back. */
static void a_reload_waits_for_nobody(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    shut(e);
    ew_start(e, "gate");
    const svi_mod_file *file = e->w->mods->files[0];
    reload_other(e);
    assert_ptr_equal(e->w->mods->files[0], file); /* loaded once */
    for (int i = 0; i < 20; i++) (void)uv_run(&e->loop, UV_RUN_NOWAIT);
    assert_has_not(&e->w->log, "what=joined");
    assert_int_equal(remove(e->gate), 0);
    until(e, SAID("joined", "1"));
    ew_free(e);
}

/* At the end of the server it is waited for. */
static void the_end_waits(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    shut(e);
    ew_start(e, "gate");
    reload_other(e);
    svi_mods_free(&e->w->mods);
    assert_int_equal(count_of(&e->w->log, "what=joined"), 1); /* the new one */
    assert_int_equal(remove(e->gate), 0);
    svi_engines_settle(e->w->engines);
    assert_int_equal(count_of(&e->w->log, "what=joined"), 2);
    ew_free(e);
}

/* --- the stage ------------------------------------------------------------------------------------------ */

/* One turn of the stage; true if a module was called. */
static bool ew_turn(engine_world *e)
{
    bool is_stuck = false;
    const bool any = svi_engines_turn(e->w->engines, &is_stuck);
    assert_false(is_stuck);
    return any;
}

/* The thread may still be asleep when it was given a thousand things: one turn has all results. */
static void the_stage_waits_for_threads(void **state)
{
    (void)state;
    engine_world *e = ew_made(0, true);
    ew_start(e, "order");
    assert_true(ew_turn(e));
    assert_has(&e->w->log, SAID("\"in order\"", "1000"));
    while (ew_turn(e)) {} /* the wake that tells of nothing more */
    ew_end_mods(e);
    assert_has(&e->w->log, SAID("undone", "0"));
    ew_free(e);
}

/* Threads of a module that was replaced are waited for, too, and one that has ended by itself for nothing. */
static void the_stage_waits_for_the_end(void **state)
{
    (void)state;
    engine_world *e = ew_made(0, true);
    ew_start(e, "gate");
    reload_other(e);
    (void)ew_turn(e);
    assert_has(&e->w->log, SAID("joined", "1"));
    ew_free(e);
    e = ew_made(0, true);
    ew_start(e, "quits");
    until(e, "engine-ended module=engine worker=numbers");
    while (ew_turn(e)) {}
    ew_free(e);
}

static void deadlines_of_the_stage(void **state)
{
    (void)state;
    engine_world *e = ew_made(0, true);
    assert_true(svi_engines_due_us(e->w->engines) == INT64_MAX);
    ew_start(e, "watch");
    assert_true(svi_engines_due_us(e->w->engines) == e->w->plat.now_us + 1000);
    while (ew_turn(e)) {}
    assert_has_not(&e->w->log, "what=deadline");
    svi_plat_virtual_advance(&e->w->plat, 1000);
    while (ew_turn(e)) {}
    assert_has(&e->w->log, SAID("unwatched", "0"));
    assert_has_not(&e->w->log, "cancelled");
    assert_true(svi_engines_due_us(e->w->engines) == INT64_MAX);
    ew_free(e);
    e = ew_made(0, true);
    ew_start(e, "bounds"); /* a thousand that never pass */
    ew_free(e);
}

/* --- what is refused ------------------------------------------------------------------------------------ */

static void bad_engines_are_refused(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    assert_start_fails(e->w, "\"bad_engine_exports\"", "it exports helper");
    assert_start_fails(e->w, "\"bad_engine_exit\"", "a module leaves nothing to run at exit");
    assert_start_fails(e->w, "\"bad_engine_new\"",
                       "it needs group \"engine\" 2, this server has 1: upgrade the server");
    assert_start_fails(e->w, "\"bad_thread\"", "it calls pthread_create"); /* is no engine */
    assert_start_fails(e->w, "\"bad_tls\"", "thread-local variables");
    ew_free(e);
}

static void without_a_loop(void **state)
{
    (void)state;
    world *w = world_new();
    make_mods(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"engine\" }\nengine_do = \"order\"\n");
    assert_int_equal(svi_mods_start(w->mods), SV_EVERSION);
    assert_has(&w->reports, "module \"engine\" does not start: version");
    world_free(w);
}

/* The server goes on. */
static void a_plain_module_has_no_threads(void **state)
{
    (void)state;
    engine_world *e = ew_new(0);
    assert_start_fails(e->w, "\"bad_engine_plain\"",
                       "module \"bad_engine_plain\" does not start: denied: it asks for what engines have: declare it with SV_ENGINE");
    ew_free(e);
}

/* 0 if all is as it should be. The thread runs on, with all it knows. */
static int end_with_a_stuck_thread(void)
{
    engine_world *e = ew_new(20);
    ew_start(e, "stuck");
    ew_end_mods(e);
    (void)rmdir(e->w->folder);
    if (!has(&e->w->log, "engine-stuck module=engine worker=numbers")) return 1;
    if (has(&e->w->log, "what=stopped")) return 2;
    return svi_engines_free(&e->w->engines) || e->w->engines == NULL ? 3 : 0;
}

/* A process of its own, which ends as the server's does then. */
static void a_thread_that_never_ends(void **state)
{
    (void)state;
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(end_with_a_stuck_thread());
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_and_deadlines), cmocka_unit_test(results_in_order),
        cmocka_unit_test(the_end_in_the_midst),      cmocka_unit_test(a_thread_of_a_library),
        cmocka_unit_test(what_is_left),              cmocka_unit_test(a_thread_that_quits),
        cmocka_unit_test(bounds),                    cmocka_unit_test(a_reload_waits_for_nobody),
        cmocka_unit_test(the_end_waits),             cmocka_unit_test(bad_engines_are_refused),
        cmocka_unit_test(without_a_loop),            cmocka_unit_test(a_plain_module_has_no_threads),
        cmocka_unit_test(a_thread_that_never_ends),  cmocka_unit_test(the_stage_waits_for_threads),
        cmocka_unit_test(the_stage_waits_for_the_end), cmocka_unit_test(deadlines_of_the_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
