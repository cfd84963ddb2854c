/* Runs modules that were built with the headers of an earlier release, or of a later one, in today's server: tests/suites/67-abi-modules
 * builds them.
 *
 *     abi_kept FOLDER              the three modules of tests/abi/modules
 *     abi_kept newer FOLDER        kept_newer.so runs without what the server lacks
 *     abi_kept too-new FOLDER      kept_newer.so is refused */
#include "mods/mods_world_test.h"

static const char *folder;

/* A world whose modules come from the folder. */
static world *kept_world(void)
{
    world *w = world_new();
    w->paths[0] = folder;
    return w;
}

#define HOST(modules) "VirtualHost \"one.example\"\nmodules_enabled = { " modules " }\n"

static void test_notes(void **state)
{
    (void)state;
    world *w = kept_world();
    start(w, HOST("\"kept_notes\"") "kept_notes_greeting = \"good day\"\nkept_notes_longest = \"8\"\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='get' id='1' to='one.example'><note xmlns='urn:stave:kept'/></iq>");
    assert_has(&c->in, "<item-not-found ");
    say(w, c, "<iq type='set' id='2' to='one.example'><note xmlns='urn:stave:kept'>far too long</note></iq>");
    assert_has(&c->in, "<not-acceptable ");
    say(w, c, "<iq type='set' id='3' to='one.example'><note xmlns='urn:stave:kept'>buy milk</note></iq>");
    assert_has(&c->in, "type='result'");
    say(w, c, "<iq type='get' id='4' to='one.example'><note xmlns='urn:stave:kept'/></iq>");
    assert_has(&c->in, "<note xmlns='urn:stave:kept' greeting='good day'>buy milk</note>");
    world_free(w);
}

static void test_count(void **state)
{
    (void)state;
    world *w = kept_world();
    start(w, HOST("\"kept_count\"") "kept_count_period = \"2s\"\n");
    for (int i = 0; i < 3; i++) pass_time(w, 2000000);
    const char *answer = run_command(w, "kept count", "'address':'romeo@one.example','times':5");
    assert_non_null(strstr(answer, "{\"address\":\"romeo@one.example\",\"word\":\"one\",\"ticks\":15}"));
    answer = run_command(w, "kept count", "'address':'romeo@one.example','times':13");
    assert_non_null(strstr(answer, "not 13 times"));
    answer = run_command(w, "kept count", "'address':'romeo@one.example','word':'three'");
    assert_non_null(strstr(answer, "--word must be one of: one two"));
    world_free(w);
}

static void test_order(void **state)
{
    (void)state;
    world *w = kept_world();
    start(w, HOST("\"kept_order\""));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<message to='one.example'><order xmlns='urn:stave:kept-order'/></message>");
    assert_has(&c->in, "<body> first waited normal</body>");
    assert_has(&w->log, "kept-monitor");
    world_free(w);
}

/* Their own generation takes over while they run. */
static void test_reload(void **state)
{
    (void)state;
    world *w = kept_world();
    start(w, HOST("\"kept_notes\", \"kept_count\", \"kept_order\""));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='set' id='1' to='one.example'><note xmlns='urn:stave:kept'>stays</note></iq>");
    assert_int_equal(reload(w, HOST("\"kept_order\", \"kept_notes\", \"kept_count\"") "kept_notes_greeting = \"again\"\n"), SV_OK);
    say(w, c, "<iq type='get' id='2' to='one.example'><note xmlns='urn:stave:kept'/></iq>");
    assert_has(&c->in, "greeting='again'>stays</note>");
    say(w, c, "<message to='one.example'><order xmlns='urn:stave:kept-order'/></message>");
    assert_has(&c->in, "<body> first waited normal</body>");
    world_free(w);
}

static void test_newer(void **state)
{
    (void)state;
    world *w = kept_world();
    start(w, HOST("\"kept_newer\""));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='get' id='1' to='one.example'><has xmlns='urn:stave:kept-newer'/></iq>");
    assert_has(&c->in, "new='0' old='yes'");
    world_free(w);
}

static void test_too_new(void **state)
{
    (void)state;
    char text[128];
    world *w = kept_world();
    snprintf(text, sizeof text, "it is made for module interface %d.%d, this server has %d.%d: upgrade the server", SV_ABI_MAJOR,
             SV_ABI_MINOR + 1, SV_ABI_MAJOR, SV_ABI_MINOR);
    assert_start_fails(w, "\"kept_newer\"", text);
    world_free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest kept[] = {cmocka_unit_test(test_notes), cmocka_unit_test(test_count), cmocka_unit_test(test_order),
                                      cmocka_unit_test(test_reload)};
    const struct CMUnitTest newer[] = {cmocka_unit_test(test_newer)};
    const struct CMUnitTest too_new[] = {cmocka_unit_test(test_too_new)};
    folder = argv[argc - 1];
    if (argc == 2) return cmocka_run_group_tests(kept, NULL, NULL);
    if (argc == 3 && strcmp(argv[1], "newer") == 0) return cmocka_run_group_tests(newer, NULL, NULL);
    if (argc == 3 && strcmp(argv[1], "too-new") == 0) return cmocka_run_group_tests(too_new, NULL, NULL);
    fprintf(stderr, "usage: abi_kept [newer|too-new] FOLDER\n");
    return 2;
}
