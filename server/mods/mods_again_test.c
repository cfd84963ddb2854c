/* What a module wrote before others wait: the table's after_wait. */
#include "mods/mods_impl.h"
#include "mods/mods_world_test.h"

#define CONFIG                                                                                                             \
    "VirtualHost \"one.example\"\nmodules_enabled = { \"again\" }\n"                                                        \
    "VirtualHost \"two.example\"\nmodules_enabled = { \"again\" }\n"
#define SAY(id, to) "<message id='" id "' to='" to "@two.example'><body>x</body></message>"

static void text_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    (void)schema;
    snprintf(ctx, 64, "%.*s", status == SV_OK ? (int)value.n : 1, status == SV_OK ? value.p : "-");
}

/* What a row of the module on a host says; "-" if there is none. */
static void assert_note(world *w, const char *map_name, const char *key, const char *wanted)
{
    svi_map *map;
    char text[64] = "";
    assert_int_equal(svi_store_map(svi_server_store(w->server), sv_str_of(map_name), 1, &map, NULL), SV_OK);
    svi_store_get(map, SV_STR("romeo"), sv_str_of(key), text_came, text);
    for (int i = 0; i < 10 && !text[0]; i++) turn(w);
    assert_string_equal(text, wanted);
}
#define ONE "one.example/again/notes"

static void hold_store(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    turn(w);
}

static world *two_hosts(client **romeo_out, client **second_out)
{
    world *w = world_new();
    add_host(w, "two.example");
    start(w, CONFIG);
    *romeo_out = join(w, "romeo@one.example/a");
    *second_out = join(w, "romeo@one.example/b");
    (void)join(w, "juliet@two.example/c"); /* whoever is on line need not be looked up */
    (void)join(w, "tybalt@two.example/d");
    say(w, *second_out, SAY("x", "tybalt")); /* the sender's rows are in memory from here on */
    assert_note(w, ONE, "count", "1 at once");
    assert_note(w, ONE, "heard at", "-");
    return w;
}

static void two_hosts_free(world *w)
{
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    world_free(w);
}

/* One waits at the other host, behind what it wrote; the other overtakes it. */
static void what_another_wrote_meanwhile_counts(void **state)
{
    (void)state;
    client *romeo, *second;
    world *w = two_hosts(&romeo, &second);
    hold_store(w, true);
    say(w, romeo, SAY("wait", "juliet"));
    say(w, second, SAY("x", "tybalt"));
    hold_store(w, false);
    turn(w);
    assert_note(w, ONE, "count", "3 again");
    assert_note(w, ONE, "heard at", "one.example"); /* the sender's host, wherever the event was */
    assert_note(w, "two.example/again/notes", "heard at", "-");
    assert_has(&w->log, "handler-fault rule=\"after_wait is for events that may wait\" module=again");
    two_hosts_free(w);
}

/* The code that asked is the one that looks again, and may still write. */
static void a_module_that_was_replaced_looks_again(void **state)
{
    (void)state;
    client *romeo, *second;
    world *w = two_hosts(&romeo, &second);
    hold_store(w, true);
    say(w, romeo, SAY("wait", "juliet"));
    sv_str name = SV_STR("again");
    svi_mods_reloaded done;
    const svi_mods_reloading how = {.names = &name, .count = 1, .report = w_report, .report_ctx = w};
    assert_int_equal(svi_mods_reload(w->mods, &how, &done), SV_OK);
    say(w, second, SAY("x", "tybalt"));
    hold_store(w, false);
    turn(w);
    assert_note(w, ONE, "count", "3 again");
    assert_has_not(&w->log, "a replaced generation writes in its own waiting event only");
    two_hosts_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_wrote_meanwhile_counts),
        cmocka_unit_test(a_module_that_was_replaced_looks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
