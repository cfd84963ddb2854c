/* What modules have stored: counted and deleted, of this module alone, and not while code has it open. */
#include "main/main_module_data.h"

#include "main/main_command.h"
#include "mods/mods_world_test.h"

static command_answer answered;

static void run_core(void *ctx, svi_request *request)
{
    svi_core_find(sv_str_of(svi_request_args(request)->command->name))->run(ctx, request);
}

/* Asks about the module and goes on until there is an answer; `from` may be NULL. */
static const char *ask(world *w, const char *command, const char *module, const char *from)
{
    json_t *request = json_pack("{s:s}", "module", module);
    if (from != NULL) (void)json_object_set_new(request, "from", json_string(from));
    json_decref(answered.json);
    answered = (command_answer){.count = 0};
    svi_request_run(w->server, &svi_core_find(sv_str_of(command))->what, request, run_core, NULL, command_came, &answered);
    json_decref(request);
    for (int i = 0; i < 100000 && answered.count == 0; i++) (void)svi_server_turn(w->server);
    assert_int_equal(answered.count, 1);
    return answered.text;
}

static void leave(world *w)
{
    json_decref(answered.json);
    answered.json = NULL;
    world_free(w);
}

/* `owners` of two rows each, with values of five bytes. */
static void fill(world *w, const char *map_name, int owners)
{
    svi_map *map;
    sv_err err = {.text = ""};
    char owner[32];
    assert_int_equal(svi_store_map(svi_server_store(w->server), sv_str_of(map_name), 1, &map, &err), SV_OK);
    for (int i = 0; i < owners; i++) {
        svi_unit *unit = svi_unit_new(svi_server_store(w->server));
        snprintf(owner, sizeof owner, "owner%05d", i);
        assert_int_equal(svi_unit_put(unit, map, sv_str_of(owner), SV_STR("a"), SV_STR("12345")), SV_OK);
        assert_int_equal(svi_unit_put(unit, map, sv_str_of(owner), SV_STR("b"), SV_STR("12345")), SV_OK);
        (void)svi_unit_submit(&unit);
    }
    turn(w);
}

static world *filled(void)
{
    world *w = world_new();
    start(w, "VirtualHost \"one.example\"\n");
    fill(w, "one.example/diary/notes", 100);
    fill(w, "gone.example/diary/notes", 1);
    fill(w, "one.example/diary/empty", 0);
    fill(w, "one.example/diary2/notes", 3);
    fill(w, "one.example/accounts2", 3); /* as the core's, without a module */
    fill(w, "one.example/diary/more", 32);
    return w;
}

static void assert_row(size_t i, const char *host, const char *map, int owners)
{
    const json_t *row = json_array_get(json_object_get(answered.json, "rows"), i);
    assert_string_equal(json_string_value(json_object_get(row, "host")), host);
    assert_string_equal(json_string_value(json_object_get(row, "map")), map);
    assert_int_equal(json_integer_value(json_object_get(row, "owners")), owners);
    assert_int_equal(json_integer_value(json_object_get(row, "rows")), 2 * owners);
    assert_int_equal(json_integer_value(json_object_get(row, "bytes")), 10 * owners);
    assert_string_equal(json_string_value(json_object_get(row, "counted")), "all");
}

static size_t row_count(void)
{
    return json_array_size(json_object_get(answered.json, "rows"));
}

static void counts_are_of_the_module(void **state)
{
    (void)state;
    world *w = filled();
    (void)ask(w, "module data", "diary", NULL);
    assert_int_equal(row_count(), 3);
    assert_row(0, "one.example", "notes", 100);
    assert_row(1, "gone.example", "notes", 1);
    assert_row(2, "one.example", "more", 32);
    (void)ask(w, "module data", "diary", "gone.example/diary/notes"); /* a page behind it */
    assert_int_equal(row_count(), 1);
    assert_row(0, "one.example", "more", 32);
    (void)ask(w, "module data", "diary2", NULL);
    assert_row(0, "one.example", "notes", 3);
    (void)ask(w, "module data", "nothing", NULL);
    assert_int_equal(row_count(), 0);
    assert_true(json_is_true(json_object_get(answered.json, "ok")));
    leave(w);
}

static void all_of_the_module_is_deleted(void **state)
{
    (void)state;
    world *w = filled();
    (void)ask(w, "module-data-delete", "diary", NULL);
    assert_true(json_is_true(json_object_get(answered.json, "ok")));
    assert_int_equal(json_integer_value(json_object_get(answered.json, "owners")), 133);
    assert_int_equal(json_integer_value(json_object_get(answered.json, "rows")), 266);
    assert_true(json_is_false(json_object_get(answered.json, "is-more")));
    assert_int_equal(svi_store_committed(svi_server_store(w->server)), svi_store_submitted(svi_server_store(w->server)));
    assert_has(&w->log, "module-data-deleted");
    (void)ask(w, "module data", "diary", NULL);
    assert_int_equal(row_count(), 0);
    (void)ask(w, "module data", "diary2", NULL);
    assert_row(0, "one.example", "notes", 3);
    (void)ask(w, "module-data-delete", "diary", NULL); /* again is harmless */
    assert_int_equal(json_integer_value(json_object_get(answered.json, "owners")), 0);
    leave(w);
}

/* By the module itself, on another host, or by one that it lends its map to. */
static void open_maps_stay(void **state)
{
    (void)state;
    world *w = filled();
    svi_map_use use = {.who = "reader", .newest = 1, .oldest = 1};
    sv_err err = {.text = ""};
    assert_int_equal(svi_map_enter(svi_server_store(w->server), SV_STR("gone.example/diary/notes"), &use, &err), SV_OK);
    assert_non_null(strstr(ask(w, "module-data-delete", "diary", NULL), "module \\\"reader\\\" has the data of \\\"diary\\\" open"));
    (void)ask(w, "module data", "diary", NULL);
    assert_row(0, "gone.example", "notes", 1);
    svi_map_leave(&use);
    (void)ask(w, "module-data-delete", "diary", NULL);
    assert_true(json_is_true(json_object_get(answered.json, "ok")));
    leave(w);
}

/* A clock that takes a tenth of a second with each look at it. */
static int64_t slow_clock(void *ctx)
{
    svi_plat_virtual *v = ctx;
    svi_plat_virtual_advance(v, 100000);
    return v->now_us;
}

/* No request takes for ever: what is left is told, and deleted by the next one. */
static void long_work_comes_in_parts(void **state)
{
    (void)state;
    world *w = filled();
    int64_t (*const before)(void *ctx) = w->plat.plat.mono_us;
    fill(w, "one.example/diary/notes", 3000);
    w->plat.plat.mono_us = slow_clock;
    (void)ask(w, "module data", "diary", NULL);
    const json_t *row = json_array_get(json_object_get(answered.json, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "counted")), "at least");
    assert_in_range(json_integer_value(json_object_get(row, "owners")), 32, 2999);
    int64_t owners = 0, parts = 0;
    do {
        (void)ask(w, "module-data-delete", "diary", NULL);
        assert_true(json_is_true(json_object_get(answered.json, "ok")));
        owners += json_integer_value(json_object_get(answered.json, "owners"));
        parts++;
    } while (json_is_true(json_object_get(answered.json, "is-more")));
    w->plat.plat.mono_us = before;
    assert_int_equal(owners, 3033);
    assert_true(parts > 2);
    (void)ask(w, "module data", "diary", NULL);
    assert_int_equal(row_count(), 0);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_are_of_the_module), cmocka_unit_test(all_of_the_module_is_deleted),
                                       cmocka_unit_test(open_maps_stay),
                                       cmocka_unit_test(long_work_comes_in_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
