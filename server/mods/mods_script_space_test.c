/* Scripts while the store is short of space (architecture 8): what may write is refused, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_script_world_test.h"

static void test_what_stores_nothing_goes_on(void **state)
{
    (void)state;
    static const char script[] =
        "sv.script{summary = 'a test', changes = {'*'}, stores = {'rows'}}\n"
        "local rows = sv.store 'rows'\n"
        "sv.on('message/resource {urn:x}looks', function(ev) sv.self.seen = true end, {stores = false})\n"
        "sv.on('message/resource {urn:x}writes', function(ev) rows:put('a', 'k', 'v') end)\n"
        "sv.on('message/resource {urn:x}lies', function(ev) rows:put('a', 'k', 'v') end, {stores = false})\n";
    world *w = script_world();
    write_script(w, "keeps", script);
    start_scripts(w, "\"keeps\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, "<message to='b@one.example/r' id='1'><lies xmlns='urn:x'/></message>");
    assert_has(&w->log, "says that it stores nothing: take `stores = false` away from it");
    svi_engine_sim_plan(w->engine)->full = true;
    turn(w);
    pass_time(w, 60 * 1000000);
    say(w, a, "<message to='b@one.example/r' id='2'><looks xmlns='urn:x'/></message>");
    assert_has(&b->in, "id='2'");
    say(w, a, "<message to='b@one.example/r' id='3'><writes xmlns='urn:x'/></message>");
    assert_has_not(&b->in, "id='3'");
    assert_has(&a->in, "<resource-constraint ");
    remove_script(w, "keeps");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_stores_nothing_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
