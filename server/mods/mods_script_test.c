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

static void test_event_answers_for_its_stanza(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "looks",
                 HEAD "sv.on('message/resource', function(ev) sv.log('info', 'seen', {what = ev:attr('id') .. ev:text_of('body') .. "
                      "tostring(ev:has('body')) .. tostring(ev:has('body', 'urn:x')) .. tostring(ev:text_of('no')) .. "
                      "tostring(ev:attr('no'))}) end)\n"
                      "sv.on('session/bound', function(ev) local ok, why = pcall(ev.has, ev, 'x') sv.log('info', 'bound', {why = why}) end)\n");
    start_scripts(w, "\"looks\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, "<message id='i7' to='b@one.example/r'><body>hello</body></message>");
    assert_has(&b->in, "hello");
    assert_has(&w->log, "i7hellotruefalsenilnil");
    assert_has(&w->log, "has: there is no stanza at");
    remove_script(w, "looks");
    world_free(w);
}

/* An event of an earlier run, of a later one of the same coroutine, and of one that waits meanwhile. */
static void test_event_is_its_handlers_alone(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "keeps",
                 HEAD "local old\n"
                      "sv.on('message/out', function(ev)\n"
                      "  if old then sv.log('info', 'old', {why = select(2, pcall(old.type, old)), same = old == ev}) end\n"
                      "  old = ev\n"
                      "  if ev:attr('id') == 'waits' then ev:sleep(5) sv.log('info', 'waited', {type = ev:type()}) end\n"
                      "end)\n");
    start_scripts(w, "\"keeps\"", "");
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r");
    say(w, a, HELLO);
    assert_has_not(&w->log, " old ");
    say(w, c, HELLO);
    assert_has(&w->log, "event used after its handler returned, or in another one");
    say(w, a, "<message id='waits' type='chat' to='b@one.example/r'/>");
    say(w, c, HELLO);
    assert_int_equal(count_of(&w->log, "or in another one"), 3);
    assert_has_not(&w->log, "same=true");
    pass_time(w, 5000);
    assert_has(&w->log, "waited type=chat");
    assert_has_not(&w->log, "script-error");
    remove_script(w, "keeps");
    world_free(w);
}

/* No userdata that is no view is taken for one, whatever its size. */
static void test_other_values_are_no_views(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "wrong",
                 HEAD "local m = sv.metric {'calls', kind = 'counter', manual = 'Calls.'}\n"
                      "sv.on('message/resource', function(ev)\n"
                      "  local root = ev:root()\n"
                      "  for _, v in ipairs {m, sv.json.null, ev, 'text', 7} do\n"
                      "    assert(not pcall(root.name, v) and not pcall(root.has, v, 'body') and not pcall(ev:stanza().root, v))\n"
                      "  end\n"
                      "  for _, v in ipairs {m, sv.json.null, root, ev:stanza()} do assert(not pcall(ev.type, v)) end\n"
                      "  sv.log('info', 'all-refused')\n"
                      "end)\n");
    start_scripts(w, "\"wrong\"", "");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    say(w, a, HELLO);
    assert_has(&w->log, "all-refused");
    remove_script(w, "wrong");
    world_free(w);
}

/* No hook ends the one instruction in which a table gets room for more keys, and with keys that collide its time grows with the
 * square of their number: so that number ends early, and nothing else does. */
static void test_keys_are_bounded(void **state)
{
    (void)state;
    world *w = script_world();
    w->script_cpu_us = 60000000; /* it counts keys, not time */
    write_script(w, "keys",
                 HEAD "sv.start(function()\n"
                      "local keys, t = 0, {}\n"
                      "pcall(function() for i = 1, 70000 do t[i * 1000003] = true keys = i end end)\n"
                      "local ok, why = pcall(function() t.more = 1 end)\n"
                      "t[1000003] = nil t.more = 1 assert(t.more == 1 and t[2 * 1000003])\n"
                      "t = nil local list = {} for i = 1, 70000 do list[i] = 70000 - i end\n"
                      "table.sort(list) assert(#list == 70000 and list[1] == 0)\n"
                      "local text = sv.json.encode(list) assert(#sv.json.decode(text) == 70000) list = nil\n"
                      "text = ('x'):rep(1 << 20) assert(#text == 1 << 20)\n"
                      "local code = sv.base64.encode(text) assert(sv.base64.decode(code) == text)\n"
                      "assert(#sv.json.encode(text:sub(3)) == 1 << 20)\n"
                      "text, code = nil for i = 1, 20000 do setmetatable({}, {}) end\n" /* the map behind them has its own bound */
                      "local all, many = {} repeat local made, why = pcall(function() all[#all + 1] = setmetatable({}, {}) end) many = why until not made\n"
                      "assert(many:find('metatables at a time'), many)\n"
                      "sv.log('info', 'counted', {keys = keys, why = why, more = ok}) end)\n");
    start_scripts(w, "\"keys\"", "");
    assert_has(&w->log, "keys=16384");
    assert_has(&w->log, "not enough memory");
    assert_has(&w->log, "more=false");
    remove_script(w, "keys");
    world_free(w);
}

/* What a timer's function waits for when its generation is replaced is not begun again by the timer of that number. */
static void test_timer_waits_in_a_reload(void **state)
{
    (void)state;
    static const sv_str names[] = {SV_STR_INIT("ticks")};
    svi_mods_reloaded done;
    world *w = script_world();
    write_script(w, "ticks", HEAD "sv.every(1000, function(ev) sv.log('info', 'began') ev:sleep(500) sv.log('info', 'ended') end)\n");
    start_scripts(w, "\"ticks\"", "");
    pass_time(w, 1000000);
    assert_int_equal(count_of(&w->log, "began"), 1);
    assert_int_equal(svi_mods_reload(w->mods, &(svi_mods_reloading){.names = names, .count = 1, .report = w_report, .report_ctx = w}, &done), SV_OK);
    assert_int_equal(done.events.restarted, 1);
    pass_time(w, 500000);
    assert_int_equal(count_of(&w->log, "began"), 1);
    pass_time(w, 500000);
    pass_time(w, 500000);
    assert_int_equal(count_of(&w->log, "began"), 2); /* in time */
    assert_int_equal(count_of(&w->log, "ended"), 1);
    remove_script(w, "ticks");
    world_free(w);
}

/* At an occasion "done" ends the pass, also behind a wait. */
static void test_done_behind_a_wait(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "waits", HEAD "sv.after(1000, function(ev) ev:sleep(10) sv.log('info', 'woken') return 'done' end)\n");
    start_scripts(w, "\"waits\"", "");
    pass_time(w, 1000000);
    pass_time(w, 20000);
    assert_has(&w->log, "woken");
    svi_bus_stats stats;
    svi_bus_stats_get(svi_server_bus(w->server), &stats);
    assert_int_equal(stats.waiting, 0);
    for (int i = 0; i < 70; i++) pass_time(w, 1000000);
    assert_has_not(&w->log, "event-timeout");
    remove_script(w, "waits");
    world_free(w);
}

/* The occasion is anybody's to fire: a timer that is not due stays as it is. */
static void test_timers_of_others_are_not_fired(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "beats", "sv.script{summary = 'beats'}\nlocal n = 0\nsv.every(1000, function() n = n + 1 sv.log('info', 'beat-' .. n) end)\n");
    write_script(w, "forges", HEAD "sv.on('message/resource', function(ev) for i = 1, 5 do ev:fire('host/timer', nil, 'beats/' .. i) end end)\n");
    start_scripts(w, "\"beats\", \"forges\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    for (int i = 0; i < 3; i++) say(w, a, HELLO);
    assert_has(&b->in, "hello");
    assert_has_not(&w->log, "beat-");
    pass_time(w, 1000000);
    assert_has(&w->log, "beat-1");
    assert_has_not(&w->log, "beat-2");
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"forges\" }\n");
    pass_time(w, 5000000);
    assert_has_not(&w->log, "beat-");
    remove_script(w, "beats");
    remove_script(w, "forges");
    world_free(w);
}

/* A quarantine takes no timer away, also not one whose event comes just then. */
static void test_timers_outlive_quarantine(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "beats",
                 HEAD "sv.on('message/resource', function(ev) error('on purpose') end, {open = true})\n"
                      "sv.every(1000, function() sv.log('info', 'beat') end)\nsv.after(1000, function() sv.log('info', 'once') end)\n"
                      "sv.after(1000, function() error('on purpose') end)\n");
    start_scripts(w, "\"beats\"", "beats_faults_max = 2");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    say(w, a, HELLO);
    svi_buf_clear(&w->log);
    pass_time(w, 1000000); /* the fault of one timer closes the others */
    assert_has(&w->log, "module-quarantined");
    for (int i = 0; i < 5; i++) pass_time(w, 1000000);
    svi_buf_clear(&w->log);
    sv_err err = {.text = ""};
    assert_int_equal(svi_mods_release(w->mods, SV_STR("beats"), NULL, &err), SV_OK);
    for (int i = 0; i < 5; i++) pass_time(w, 1000000);
    assert_in_range(count_of(&w->log, "  beat ") + count_of(&w->log, " beat "), 3, 10);
    remove_script(w, "beats");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handler_is_called),
        cmocka_unit_test(test_timer_waits_in_a_reload),
        cmocka_unit_test(test_raising_costs_only_itself),
        cmocka_unit_test(test_loop_is_ended),
        cmocka_unit_test(test_guard_that_raises_refuses),
        cmocka_unit_test(test_stores_may_be_denied),
        cmocka_unit_test(test_event_answers_for_its_stanza),
        cmocka_unit_test(test_event_is_its_handlers_alone),
        cmocka_unit_test(test_other_values_are_no_views),
        cmocka_unit_test(test_done_behind_a_wait),
        cmocka_unit_test(test_timers_of_others_are_not_fired),
        cmocka_unit_test(test_timers_outlive_quarantine),
        cmocka_unit_test(test_keys_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
