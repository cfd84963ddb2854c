/* examples/c/visits in place of its release before (tests/mods/visits.c): the records that one has left are turned, or the
 * upgrade is refused and the old code goes on. */
#include "modules_world.h"

#define CONFIG(more) "VirtualHost \"one.example\"\nmodules_enabled = { \"visits\" }\n" more

static void copy(const char *from, const char *to)
{
    char bytes[65536];
    size_t n;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(bytes, 1, sizeof bytes, in)) > 0) assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

/* Puts a release into the folder that modules are loaded from. */
static void install(world *w, const char *folder)
{
    char from[TESTING_PATH], to[TESTING_PATH + 16], next[TESTING_PATH + 16];
    testing_path(folder, from);
    snprintf(next, sizeof next, "%s/next", w->folder);
    snprintf(to, sizeof to, "%s/visits.so", w->folder);
    copy(from, next);
    assert_int_equal(rename(next, to), 0);
}

static world *old_release(const char *config)
{
    world *w = world_new();
    w->paths[0] = w->folder;
    w->path_count = 1;
    install(w, "tests/mods/visits.so");
    start(w, config);
    (void)join(w, "romeo@one.example/a"); /* the world's first client */
    (void)join(w, "romeo@one.example/b");
    return w;
}

static sv_status upgrade(world *w)
{
    svi_mods_reloaded done;
    const sv_str name = SV_STR("visits");
    const svi_mods_reloading how = {.names = &name, .count = 1, .report = w_report, .report_ctx = w};
    install(w, "examples/visits.so");
    return svi_mods_reload(w->mods, &how, &done);
}

static void finish(world *w)
{
    char path[TESTING_PATH + 16];
    snprintf(path, sizeof path, "%s/visits.so", w->folder);
    assert_int_equal(remove(path), 0);
    world_free(w);
}

/* The count is what it was, the longest stay begins; so does that of the sessions that are here already. */
static void records_are_turned(void **state)
{
    (void)state;
    world *w = old_release(CONFIG(""));
    assert_int_equal(upgrade(w), SV_OK);
    assert_non_null(strstr(run_command(w, "visits show", "'address':'romeo@one.example'"), "\"visits\":2"));
    assert_non_null(strstr(run_command(w, "visits total", "'host':'one.example'"), "\"visits\":2"));
    pass_time(w, 5000000);
    part(w, &w->clients[0]); /* nobody knows how long it was here */
    assert_non_null(strstr(run_command(w, "visits show", "'address':'romeo@one.example'"), "\"longest\":0"));
    client *c = join(w, "romeo@one.example/c");
    pass_time(w, 3000000);
    part(w, c);
    const char *shown = run_command(w, "visits show", "'address':'romeo@one.example'");
    assert_non_null(strstr(shown, "\"visits\":3"));
    assert_non_null(strstr(shown, "\"longest\":3000"));
    finish(w);
}

/* Bytes that it doesn't know are not guessed at. */
static void what_it_does_not_know(void **state)
{
    (void)state;
    world *w = old_release(CONFIG("visits_accounts = 1"));
    svi_buf_clear(&w->reports);
    assert_int_not_equal(upgrade(w), SV_OK);
    assert_has(&w->reports, "table \"accounts\"");
    (void)join(w, "romeo@one.example/c"); /* the old one goes on */
    finish(w);
}

static void an_account_goes(void **state)
{
    (void)state;
    static char examples[TESTING_PATH];
    world *w = world_new();
    int status = 1;
    testing_path("examples", examples);
    w->paths[0] = examples;
    w->path_count = 1;
    start(w, CONFIG(""));
    account(w, "romeo");
    (void)join(w, "romeo@one.example/a");
    assert_non_null(strstr(run_command(w, "visits total", "'host':'one.example'"), "\"accounts\":1"));
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("romeo"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    assert_non_null(strstr(run_command(w, "visits total", "'host':'one.example'"), "\"accounts\":0"));
    assert_non_null(strstr(run_command(w, "visits show", "'address':'romeo@one.example'"), "it was not here"));
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_turned),
        cmocka_unit_test(what_it_does_not_know),
        cmocka_unit_test(an_account_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
