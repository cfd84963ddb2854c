/* Releases of a module whose records differ: forth and back until the upgrade is finished, over starts and reloads. */
#include "mods/mods_world_test.h"

#include "store/store.h"

#define CONFIG "VirtualHost \"one.example\"\nmodules_enabled = { \"notes\" }\n"
#define ROMEO "'address': 'romeo@one.example'"

/* The folder from which the loader takes `notes` from now on. */
static void choose(world *w, int release)
{
    char below[64];
    snprintf(below, sizeof below, "tests/mods/releases/%d", release);
    testing_path(below, w->mods_path);
}

static void begin(world *w, int release)
{
    choose(w, release);
    start(w, CONFIG);
}

static void write_note(world *w, const char *command, const char *key, const char *text)
{
    char members[200];
    snprintf(members, sizeof members, ROMEO ", 'key': '%s', 'text': '%s'", key, text);
    assert_non_null(strstr(run_command(w, command, members), "\"ok\":true"));
}

/* Both the owner's rows and the single one are seen in that version. */
static void assert_note(world *w, const char *key, const char *text, int schema)
{
    char members[200], row[200];
    snprintf(members, sizeof members, ROMEO ", 'key': '%s'", key);
    snprintf(row, sizeof row, "{\"key\":\"%s\",\"text\":\"%s\",\"schema\":%d}", key, text, schema);
    const char *answer = run_command(w, "notes get", members);
    if (!strstr(answer, row)) fail_msg("%s instead of %s", answer, row);
    answer = run_command(w, "notes list", ROMEO);
    if (!strstr(answer, row)) fail_msg("%s without %s", answer, row);
}

static size_t finish(world *w)
{
    size_t changed;
    sv_err err = {.text = ""};
    if (svi_maps_finish(svi_server_store(w->server), SV_STR("notes/"), &changed, &err) != SV_OK)
        fail_msg("%s", err.text);
    return changed;
}

static void assert_refused(world *w, int release, const char *why)
{
    choose(w, release);
    assert_start_fails(w, "\"notes\"", why);
}

/* The loader keeps code that it has loaded, so each release has a loader of its own here, as after a restart. */
static void releases_change_places(void **state)
{
    (void)state;
    world *w = world_new();
    begin(w, 1);
    write_note(w, "notes put", "a", "first");
    svi_mods_free(&w->mods);
    begin(w, 2);
    assert_note(w, "a", "first", 1);
    write_note(w, "notes put", "b", "second"); /* still in the version that the release before reads */
    assert_note(w, "b", "second", 1);
    svi_mods_free(&w->mods);
    begin(w, 1);
    assert_note(w, "a", "first", 1);
    assert_note(w, "b", "second", 1);
    write_note(w, "notes put", "a", "third");
    svi_mods_free(&w->mods);
    begin(w, 2);
    assert_int_equal(finish(w), 1);
    write_note(w, "notes put", "c", "fourth");
    assert_note(w, "a", "third", 1);
    assert_note(w, "b", "second", 1);
    assert_note(w, "c", "fourth", 2);
    write_note(w, "notes slow-put", "b", "fifth"); /* an old row is rewritten by writing it */
    assert_note(w, "b", "fifth", 2);
    svi_mods_free(&w->mods);
    assert_refused(w, 1,
                   "map one.example/notes/texts is written in version 2 since an upgrade was finished, module "
                   "notes knows up to 1");
    assert_refused(w, 3, "may have rows of version 1, module notes knows 2 to 3: start a release that knows 1, too");
    begin(w, 2);
    assert_note(w, "a", "third", 1);
    world_free(w);
}

/* A map that the older release never had begins with the newest version. */
static void new_maps_begin_with_the_newest(void **state)
{
    (void)state;
    world *w = world_new();
    begin(w, 2);
    write_note(w, "notes put", "a", "first");
    assert_note(w, "a", "first", 2);
    assert_int_equal(finish(w), 0);
    svi_mods_free(&w->mods);
    begin(w, 3);
    write_note(w, "notes put", "b", "second");
    assert_note(w, "b", "second", 2);
    assert_int_equal(finish(w), 1);
    write_note(w, "notes put", "b", "third");
    assert_note(w, "a", "first", 2);
    assert_note(w, "b", "third", 3);
    world_free(w);
}

/* What waits in the code before writes what both know; until it has ended, nothing can be finished. */
static void waiting_code_is_waited_for(void **state)
{
    (void)state;
    world *w = world_new();
    begin(w, 1);
    write_note(w, "notes put", "a", "first");
    svi_engine_sim_plan(w->engine)->hold = true;
    pass_time(w, 60000000); /* what is not folded is read at once */
    svi_engine_sim_step(w->engine, 100);
    turn(w);
    command_answer late = {.count = 0};
    begin_command(w, "notes slow-put", "'address': 'juliet@one.example', 'key': 'k', 'text': 'late'", &late);
    turn(w);
    assert_int_equal(late.count, 0);
    svi_map_use newer = {.who = "module newer", .newest = 2, .oldest = 1};
    size_t changed;
    sv_err err = {.text = ""};
    svi_store *store = svi_server_store(w->server);
    assert_int_equal(svi_map_enter(store, SV_STR("one.example/notes/texts"), &newer, &err), SV_OK);
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"ping\" }\n");
    assert_int_equal(svi_maps_finish(store, SV_STR_NONE, &changed, &err), SV_EBUSY);
    assert_non_null(strstr(err.text, "module notes knows up to version 1"));
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 100);
    turn(w);
    assert_int_equal(late.count, 1);
    assert_non_null(strstr(late.text, "\"ok\":true"));
    json_decref(late.json);
    assert_int_equal(finish(w), 1); /* the code before has gone */
    svi_map_leave(&newer);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(releases_change_places),
        cmocka_unit_test(new_maps_begin_with_the_newest),
        cmocka_unit_test(waiting_code_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
