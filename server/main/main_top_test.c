/* Pictures of `stave top`: what is reckoned between two answers, exactly; how it is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "main/main_top.h"

static json_t *read_json(const char *text)
{
    json_error_t err;
    json_t *json = json_loads(text, 0, &err);
    if (!json) fail_msg("%s: %s", err.text, text);
    return json;
}

#define BEFORE                                                                                     \
    "{\"pid\": 7, \"time-us\": 1000000, \"up-us\": 500000, \"sessions\": 1, \"connections\": 1,"   \
    " \"router\": {\"busy-us\": 100, \"core-us\": 50, \"modules-us\": 40, \"accounting-us\": 10, \"watching-us\": 0,"  \
    "  \"turns\": 5, \"longest-us\": 9, \"timers-fired\": 1, \"timers-late-us\": 10},"             \
    " \"queues\": {}, \"modules\": ["                                                              \
    "  {\"name\": \"a\", \"host\": \"h\", \"cpu-us\": 10, \"calls\": 100, \"faults\": 1},"         \
    "  {\"name\": \"b\", \"host\": \"h\", \"cpu-us\": 30, \"calls\": 0}]}"

/* Two seconds later. */
#define NOW                                                                                        \
    "{\"pid\": 7, \"time-us\": 3000000, \"up-us\": 2500000, \"sessions\": 3, \"connections\": 4,"  \
    " \"router\": {\"busy-us\": 1000100, \"core-us\": 400050, \"modules-us\": 580040,"             \
    "  \"accounting-us\": 20010, \"watching-us\": 60000, \"turns\": 105, \"longest-us\": 70, \"timers-fired\": 5,"         \
    "  \"timers-late-us\": 2010},"                                                                 \
    " \"queues\": {\"events-waiting\": 12, \"events-to-commit\": 3, \"lanes\": 2,"                 \
    "  \"stanzas-in-flight\": 5, \"units-to-commit\": 1}, \"modules\": ["                          \
    "  {\"name\": \"b\", \"host\": \"h\", \"state\": \"running\", \"cpu-us\": 30, \"calls\": 0,"   \
    "   \"bytes\": 2048, \"peak-bytes\": 4096},"                                                   \
    "  {\"name\": \"new\", \"host\": \"h\", \"cpu-us\": 100000, \"calls\": 8},"                    \
    "  {\"name\": \"a\", \"host\": \"h\", \"state\": \"running\", \"cpu-us\": 500010,"             \
    "   \"calls\": 300, \"passed\": 100, \"done\": 60, \"later\": 40, \"callbacks\": 40,"          \
    "   \"faults\": 2, \"store-reads\": 1, \"store-loads\": 2, \"store-puts\": 3,"                 \
    "   \"store-deletes\": 4, \"store-written-bytes\": 600}]}"

static double real_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void picture_is_what_was_between(void **state)
{
    (void)state;
    json_t *before = read_json(BEFORE), *now = read_json(NOW);
    json_t *picture = svi_top_picture(before, now);
    assert_true(json_is_false(json_object_get(picture, "since-start")));
    assert_true(real_of(picture, "seconds") == 2.0);
    const json_t *router = json_object_get(picture, "router");
    assert_true(real_of(router, "busy-percent") == 50.0);
    assert_true(real_of(router, "core-percent") == 20.0);
    assert_true(real_of(router, "modules-percent") == 29.0);
    assert_true(real_of(router, "accounting-percent") == 1.0);
    assert_true(real_of(router, "turns-per-s") == 50.0);
    assert_true(real_of(router, "lag-us") == 500.0); /* 2000 us over 4 timers */
    assert_true(real_of(router, "longest-us") == 70.0);
    const json_t *modules = json_object_get(picture, "modules");
    assert_int_equal(json_array_size(modules), 3);
    static const char *const order[] = {"a", "new", "b"}; /* the busiest first */
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(modules, i), "name")),
                            order[i]);
    const json_t *a = json_array_get(modules, 0);
    assert_true(real_of(a, "cpu-percent") == 25.0);
    assert_true(real_of(a, "calls-per-s") == 100.0);
    assert_true(real_of(a, "done-per-s") == 30.0);
    assert_true(real_of(a, "store-ops-per-s") == 5.0);
    assert_true(real_of(a, "store-written-bytes-per-s") == 300.0);
    assert_true(real_of(a, "faults") == 2.0); /* in all */
    assert_true(real_of(json_array_get(modules, 1), "calls-per-s") == 4.0);
    assert_true(real_of(json_array_get(modules, 2), "cpu-percent") == 0.0);
    json_decref(picture);
    json_decref(now);
    json_decref(before);
}

/* Without an answer before, and when another process gave it, it is the time since the start. */
static void another_process_begins_anew(void **state)
{
    (void)state;
    json_t *now = read_json(NOW), *other = read_json(BEFORE);
    (void)json_object_set_new(other, "pid", json_integer(6));
    const json_t *const before[] = {NULL, other};
    for (size_t i = 0; i < 2; i++) {
        json_t *picture = svi_top_picture(before[i], now);
        assert_true(json_is_true(json_object_get(picture, "since-start")));
        assert_true(real_of(picture, "seconds") == 2.5);
        const json_t *a = json_array_get(json_object_get(picture, "modules"), 0);
        assert_true(real_of(a, "calls-per-s") == 120.0);
        json_decref(picture);
    }
    json_decref(now);
    json_decref(other);
}

/* A count that fell (a module that was away for a while) is not taken off. */
static void nothing_is_negative(void **state)
{
    (void)state;
    json_t *before = read_json(NOW), *now = read_json(BEFORE);
    (void)json_object_set_new(now, "time-us", json_integer(4000000));
    json_t *picture = svi_top_picture(before, now);
    const json_t *modules = json_object_get(picture, "modules");
    for (size_t i = 0; i < json_array_size(modules); i++)
        assert_true(real_of(json_array_get(modules, i), "cpu-percent") >= 0);
    assert_true(real_of(json_object_get(picture, "router"), "busy-percent") == 100.0 * 100 / 1e6);
    json_decref(picture);
    json_decref(now);
    json_decref(before);
}

static void written(const json_t *picture, size_t width, size_t lines, const char *expected)
{
    svi_acct acct = {.name = "test"};
    svi_buf out;
    svi_buf_init(&out, &acct);
    svi_top_write(picture, width, lines, &out);
    svi_buf_putc(&out, '\0');
    assert_string_equal(out.data, expected);
    svi_buf_free(&out);
}

static void lines_are_for_people(void **state)
{
    (void)state;
    json_t *before = read_json(BEFORE), *now = read_json(NOW);
    json_t *a = json_array_get(json_object_get(now, "modules"), 2);
    (void)json_object_set_new(a, "host", json_string("h\n\033[31m\xc3\xa4"));
    (void)json_object_set_new(json_array_get(json_object_get(before, "modules"), 0), "host",
                              json_string("h\n\033[31m\xc3\xa4"));
    json_t *picture = svi_top_picture(before, now);
    written(picture, 200, 0,
            "router  50.0 % busy: core 20.0, modules 29.0, accounting 1.00, watching 3.00; of 2.0 s\n"
            "lag     timers 0.5 ms late, longest turn 0.1 ms; 50 turns/s\n"
            "queues  12 events waiting, 3 to commit, 2 lanes, 5 stanzas in flight, 1 units to commit\n"
            "clients 3 sessions, 4 connections\n"
            "\n"
            "%ROUTER   CALLS/S   PASS/S   DONE/S  LATER/S   MEMORY     PEAK  STORE/S FAULTS  STATE  MODULE  HOST\n"
            "  25.00     100.0     50.0     30.0     20.0      0 B      0 B      5.0      2  running  a  h??[31m\xc3\xa4\n"
            "   5.00       4.0      0.0      0.0      0.0      0 B      0 B      0.0      0    new  h\n"
            "   0.00       0.0      0.0      0.0      0.0   2048 B   4096 B      0.0      0  running  b  h");
    written(picture, 7, 2, "router \nlag    ");
    written(picture, 108, 7,
            "router  50.0 % busy: core 20.0, modules 29.0, accounting 1.00, watching 3.00; of 2.0 s\n"
            "lag     timers 0.5 ms late, longest turn 0.1 ms; 50 turns/s\n"
            "queues  12 events waiting, 3 to commit, 2 lanes, 5 stanzas in flight, 1 units to commit\n"
            "clients 3 sessions, 4 connections\n"
            "\n"
            "%ROUTER   CALLS/S   PASS/S   DONE/S  LATER/S   MEMORY     PEAK  STORE/S FAULTS  STATE  MODULE  HOST\n"
            "  25.00     100.0     50.0     30.0     20.0      0 B      0 B      5.0      2  running  a  h??[31m\xc3\xa4");
    json_decref(picture);
    json_decref(now);
    json_decref(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picture_is_what_was_between),
        cmocka_unit_test(another_process_begins_anew),
        cmocka_unit_test(nothing_is_negative),
        cmocka_unit_test(lines_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
