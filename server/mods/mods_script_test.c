/* Modules in Lua: what they declare, how their functions are run, and what becomes of those that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_script_world_test.h"

#define HEAD "sv.script{summary = 'a test', changes = {'*'}, sends = {'*'}}\n"
#define HELLO "<message to='b@one.example/r'><body>hello</body></message>"

static void test_handler_is_called(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "hears", HEAD "sv.on('message/resource', function(ev) sv.self.count = (sv.self.count or 0) + 1 end)\n");
    start_scripts(w, "\"hears\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    assert_has(&b->in, "hello");
    assert_has_not(&w->log, "script-error");
    remove_script(w, "hears");
    world_free(w);
}

static void test_raising_costs_only_itself(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "raises", HEAD "sv.on('message/resource', function(ev) error('on purpose') end)\n");
    start_scripts(w, "\"raises\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    assert_has(&b->in, "hello");
    assert_has(&w->log, "script-error");
    assert_has(&w->log, "raises.lua:2: on purpose");
    remove_script(w, "raises");
    world_free(w);
}

static void test_loop_is_ended(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "loops", HEAD "sv.on('message/resource', function(ev) while true do pcall(function() while true do end end) end end)\n");
    start_scripts(w, "\"loops\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    assert_has(&b->in, "hello");
    assert_has(&w->log, "ended: it ran for more than 50 ms");
    remove_script(w, "loops");
    world_free(w);
}

/* What a guard fails to look at does not pass; neither does it while the guard waits. */
static void test_guard_that_raises_refuses(void **state)
{
    (void)state;
    static const char *const bodies[] = {"error('on purpose')", "ev:sleep(10) error('on purpose')", "while true do end"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[512];
        world *w = script_world();
        snprintf(text, sizeof text, HEAD "local function guard(ev) %s end\n"
                 "sv.on('message/resource', guard, {guard = true}) sv.on('presence/resource', guard, {guard = true})\n", bodies[i]);
        write_script(w, "guards", text);
        start_scripts(w, "\"guards\"", "");
        client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
        say(w, a, HELLO);
        if (i == 1) pass_time(w, 20000);
        assert_has_not(&b->in, "hello");
        assert_has(&a->in, "service-unavailable");
        assert_has(&w->log, "script-error");
        say(w, a, "<presence to='b@one.example/r'><status>hello</status></presence>");
        if (i == 1) pass_time(w, 20000);
        assert_has_not(&b->in, "hello");
        assert_has_not(&a->in, "error");
        remove_script(w, "guards");
        world_free(w);
    }
}

/* A script's stores make its handlers wait for space, but those that say they write nothing. */
static void test_stores_may_be_denied(void **state)
{
    (void)state;
    static const char *const says[] = {"", ", {stores = false}"};
    for (size_t i = 0; i < 2; i++) {
        char text[512];
        world *w = script_world();
        snprintf(text, sizeof text, "sv.script{summary = 'a test', changes = {'*'}, stores = {'own'}}\nsv.on('message/resource', function(ev) end%s)\n", says[i]);
        write_script(w, "writes", text);
        start_scripts(w, "\"writes\"", "");
        client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
        svi_engine_sim_plan(w->engine)->full = true;
        turn(w);
        pass_time(w, 60 * 1000000);
        say(w, a, HELLO);
        (i == 0 ? assert_has_not : assert_has)(&b->in, "hello");
        assert_int_equal(i == 0, has(&a->in, "resource-constraint"));
        svi_engine_sim_plan(w->engine)->full = false;
        remove_script(w, "writes");
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handler_is_called),
        cmocka_unit_test(test_raising_costs_only_itself),
        cmocka_unit_test(test_loop_is_ended),
        cmocka_unit_test(test_guard_that_raises_refuses),
        cmocka_unit_test(test_stores_may_be_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
