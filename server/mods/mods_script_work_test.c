/* Work of scripts off the router: what it returns, what ends it, and what becomes of it when nobody waits any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>

#include "mods/mods_script_world_test.h"

#define HEAD "sv.script {summary = 'a test', changes = {'*'}}\nsv.work 'calc'\n"
#define TELL "sv.log('info', 'told', {what = tostring(a) .. ' ' .. tostring(b)})"
#define HELLO "<message to='b@one.example/r'><body>hello</body></message>"
#define CONFIG "VirtualHost \"one.example\"\nmodules_enabled = { \"works\" }\n"

static const char calc[] = "local M = {}\n"
                           "function M.sum(t, f) local n = 0 for _, v in ipairs(t) do n = n + v end return n + f, t.deep.er end\n"
                           "function M.echo(...) return ... end\n"
                           "function M.count(...) return select('#', ...) end\n"
                           "function M.fails() error('on purpose') end\n"
                           "function M.fails_by_table() error({}) end\n"
                           "function M.loops() while true do pcall(function() while true do end end) end end\n"
                           "function M.grows() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end\n"
                           "function M.big() return ('x'):rep(600000), ('x'):rep(600000) end\n"
                           "function M.sees() return type(sv.on) .. type(sv.json) .. type(io) .. type(require) end\n"
                           "function M.makes() return function() end end\n"
                           "M.text = 'no function'\n"
                           "return M\n";

/* A world where a message's handler runs this with a and b. */
static world *works(const world_wish *wish, const char *handler)
{
    char text[2000];
    world *w = script_world_as(wish);
    snprintf(text, sizeof text, HEAD "sv.on('message/out', function(ev)\n%s " TELL "\nend)\n", handler);
    write_part(w, "works", "works", text);
    write_part(w, "works", "calc", calc);
    start(w, CONFIG);
    return w;
}

static void works_free(world *w)
{
    remove_part(w, "works", "works");
    remove_part(w, "works", "calc");
    world_free(w);
}

/* The handler, run on the stage, tells that; the message goes on to its recipient. */
static void tells(const char *handler, const char *told)
{
    world *w = works(&(world_wish){.loop = NULL}, handler);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    assert_has(&w->log, told);
    assert_has(&b->in, "hello");
    works_free(w);
}

static void results_are_copied(void **state)
{
    (void)state;
    tells("local a, b = ev:work('calc', 'sum', {1, 2, 3, deep = {er = 'down'}}, 0.5)", "6.5 down");
    tells("local a, b = ev:work('calc', 'echo', 7 // 1, 7.0)", "7 7.0");
    tells("local a, b = ev:work('calc', 'count', nil, false, nil)", "3 nil");
    tells("local t = ev:work('calc', 'echo', {[1] = true, [2.5] = {}, x = {{{y = '\\0z'}}}})\n"
          "local a, b = t[1] and #t[2.5] == 0, t.x[1][1].y == '\\0z'",
          "true true");
    tells("local a, b = ev:work('calc', 'sees')", "niltablenilnil nil");
    tells("local a, b = ev:work('calc', 'echo')", "nil nil");
}

static void errors_are_reasons(void **state)
{
    (void)state;
    tells("local a, b = ev:work('calc', 'fails')", "nil calc.lua:5: on purpose");
    tells("local a, b = ev:work('calc', 'fails_by_table')", "nil an error that is no text");
    tells("local a, b = ev:work('calc', 'absent')", "nil calc.lua returns no function");
    tells("local a, b = ev:work('calc', 'text')", "nil calc.lua returns no function");
    tells("local a, b = ev:work('calc', 'makes')", "they are nil, truths, numbers, texts, and tables of those");
}

static void what_takes_too_much_is_ended(void **state)
{
    (void)state;
    tells("local a, b = ev:work('calc', 'loops')", "ended: it ran for more than 1000 ms without a wait");
    tells("local a, b = ev:work('calc', 'grows')", "nil not enough memory");
    tells("local a, b = ev:work('calc', 'big')", "they are more than 1 MiB");
}

static void what_can_not_be_given_raises(void **state)
{
    (void)state;
    tells("local a, b = pcall(ev.work, ev, 'calc', 'echo', ('x'):rep(1024 * 1024))", "false work: what is given to");
    tells("local a, b = pcall(ev.work, ev, 'calc', 'echo', print or ipairs)", "they are nil, truths, numbers, texts");
    tells("local a, b = pcall(ev.work, ev, 'calc', 'echo', ev)", "they are nil, truths, numbers, texts");
    tells("local t = {} t.t = t\nlocal a, b = pcall(ev.work, ev, 'calc', 'echo', t)", "16 deep, or in themselves");
    tells("local t = 'x' for i = 1, 16 do t = {t} end\nlocal a, b = type(ev:work('calc', 'echo', t))", "table nil");
    tells("local t = 'x' for i = 1, 17 do t = {t} end\nlocal a, b = pcall(ev.work, ev, 'calc', 'echo', t)", "16 deep, or in themselves");
    tells("local t = {} for i = 1, 70000 do t[i] = i end\nlocal a, b = pcall(ev.work, ev, 'calc', 'echo', t)", "65536 values");
    tells("local t = {} for i = 1, 2049 do t[i * 65537] = i end\nlocal a, b = pcall(ev.work, ev, 'calc', 'echo', {t})", "more than 2048");
    tells("local t = {} for i = 1, 2049 do t[i + 0.5] = i end\nlocal a, b = pcall(ev.work, ev, 'calc', 'echo', t)", "more than 2048");
    tells("local t = {} for i = 1, 2048 do t[-i] = i t[i] = i t['k' .. i] = i end\n"
          "local r = ev:work('calc', 'echo', t)\nlocal a, b = r[-2048] + r[2048], r.k2048",
          "4096 2048");
    tells("local a, b = pcall(ev.work, ev, 'other', 'echo')", "the script has no sv.work");
}

static void files_are_read_at_the_start(void **state)
{
    (void)state;
    world *w = script_world();
    write_part(w, "works", "works", HEAD "sv.work 'absent'\n");
    write_part(w, "works", "calc", calc);
    assert_start_fails(w, "\"works\"", "sv.work: absent.lua: ");
    write_part(w, "works", "works", HEAD "sv.work 'calc'\n");
    assert_start_fails(w, "\"works\"", "is named twice");
    write_part(w, "works", "works", HEAD "sv.work '../calc'\n");
    assert_start_fails(w, "\"works\"", "is no file of the script's folder");
    write_part(w, "works", "works", HEAD);
    write_part(w, "works", "calc", "return {\n");
    assert_start_fails(w, "\"works\"", "calc.lua:");
    works_free(w);
}

/* --- in the pool ---------------------------------------------------------------------------------------- */

/* A loop whose pool does the work; the test runs it, so nothing comes back before. */
static uv_loop_t *loop_new(void)
{
    static uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    return &loop;
}

static void loop_free(uv_loop_t *loop)
{
    assert_int_equal(uv_loop_close(loop), 0);
}

/* Until the log holds that so many times. */
static void run_loop(world *w, size_t times, const char *text)
{
    for (int rounds = 0; count_of(&w->log, text) < times; rounds++) {
        if (rounds == 1000) fail_msg("only: %.*s", (int)w->log.len, w->log.data);
        (void)uv_run(w->loop, UV_RUN_ONCE);
        turn(w);
    }
}

static void what_loops_in_the_pool_is_ended(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop}, "local a, b = ev:work('calc', 'loops')");
    client *a = join(w, "a@one.example/r");
    say(w, a, HELLO);
    run_loop(w, 1, "ended: it ran for more than 1000 ms");
    works_free(w);
    loop_free(loop);
}

static void several_wait_for_a_thread(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop}, "local a, b = ev:work('calc', 'sum', {1, 2, deep = {er = 'd'}}, 4)");
    client *c[4], *b = join(w, "b@one.example/r");
    const char *const names[] = {"a@one.example/r", "c@one.example/r", "d@one.example/r", "e@one.example/r"};
    for (size_t i = 0; i < 4; i++) c[i] = join(w, names[i]);
    for (size_t i = 0; i < 4; i++) say(w, c[i], HELLO);
    assert_has_not(&w->log, "7 d");
    run_loop(w, 4, "7 d");
    assert_int_equal(count_of(&b->in, "hello"), 4);
    works_free(w);
    loop_free(loop);
}

/* Two jobs are in the pool and one waits for it when their events come to their end. */
static void event_is_over_meanwhile(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop, .later_us = 10000000}, "local a, b = ev:work('calc', 'sum', {deep = {}}, 4)");
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r"), *d = join(w, "d@one.example/r");
    say(w, a, HELLO);
    say(w, c, HELLO);
    say(w, d, HELLO);
    pass_time(w, 11000000);
    assert_has(&a->in, "type='error'");
    assert_has(&c->in, "type='error'");
    assert_has(&d->in, "type='error'");
    (void)uv_run(loop, UV_RUN_DEFAULT);
    turn(w);
    assert_has_not(&w->log, "told");
    assert_has_not(&w->log, "script-error");
    works_free(w);
    loop_free(loop);
}

static void what_takes_too_long_is_not_waited_for(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop}, "local a, b = ev:work('calc', 'echo', 'late')");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    pass_time(w, 31000000);
    assert_has(&w->log, "nil timeout");
    assert_has(&b->in, "hello");
    (void)uv_run(loop, UV_RUN_DEFAULT);
    turn(w);
    assert_has_not(&w->log, "late");
    works_free(w);
    loop_free(loop);
}

/* The old generation finishes what it began; the next message is the new one's. */
static void reload_comes_meanwhile(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop}, "local a, b = ev:work('calc', 'echo', 'old')");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, HELLO);
    write_part(w, "works", "works", HEAD "sv.on('message/out', function(ev) local a, b = ev:work('calc', 'echo', 'new') " TELL " end)\n");
    const sv_str names[] = {SV_STR_INIT("works")};
    const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
    svi_mods_reloaded reloaded;
    if (svi_mods_reload(w->mods, &how, &reloaded) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    run_loop(w, 1, "told");
    say(w, a, HELLO);
    run_loop(w, 1, "new nil");
    assert_int_equal(count_of(&w->log, "new nil"), 1);
    assert_has(&b->in, "hello");
    works_free(w);
    loop_free(loop);
}

static void server_ends_meanwhile(void **state)
{
    (void)state;
    uv_loop_t *loop = loop_new();
    world *w = works(&(world_wish){.loop = loop}, "local a, b = ev:work('calc', 'grows')");
    client *c[3];
    const char *const names[] = {"a@one.example/r", "c@one.example/r", "d@one.example/r"};
    for (size_t i = 0; i < 3; i++) c[i] = join(w, names[i]);
    for (size_t i = 0; i < 3; i++) say(w, c[i], HELLO);
    works_free(w); /* which counts what is left */
    loop_free(loop);
}

/* As threads have it that the server begins: nothing here may count on signals that are let through. */
int main(void)
{
    sigset_t most;
    (void)sigemptyset(&most);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++) (void)sigaddset(&most, signal);
    (void)pthread_sigmask(SIG_BLOCK, &most, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_copied),
        cmocka_unit_test(errors_are_reasons),
        cmocka_unit_test(what_takes_too_much_is_ended),
        cmocka_unit_test(what_can_not_be_given_raises),
        cmocka_unit_test(files_are_read_at_the_start),
        cmocka_unit_test(what_loops_in_the_pool_is_ended),
        cmocka_unit_test(several_wait_for_a_thread),
        cmocka_unit_test(event_is_over_meanwhile),
        cmocka_unit_test(what_takes_too_long_is_not_waited_for),
        cmocka_unit_test(reload_comes_meanwhile),
        cmocka_unit_test(server_ends_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
