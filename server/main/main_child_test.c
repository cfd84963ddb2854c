/* Work in a child process: its answer, and what is said of one that crashes, hangs or says nothing. */
#include "main/main_child.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_testing.h"

static json_t *pid_and_text(void *ctx)
{
    return json_pack("{s:b, s:i, s:s}", "ok", 1, "pid", (int)getpid(), "text", (const char *)ctx);
}

static json_t *large(void *ctx)
{
    json_t *list = json_array();
    for (int i = 0; i < *(int *)ctx; i++) (void)json_array_append_new(list, json_integer(i));
    return list;
}

static json_t *crash(void *ctx)
{
    (void)ctx;
    (void)signal(SIGTERM, SIG_DFL);
    (void)raise(SIGTERM);
    return json_object();
}

static json_t *hang(void *ctx)
{
    (void)ctx;
    while (pause() == -1) continue;
    return NULL;
}

static json_t *nothing(void *ctx)
{
    (void)ctx;
    return NULL;
}

static json_t *leave(void *ctx)
{
    (void)ctx;
    _exit(7);
}

static void an_answer_comes_whole(void **state)
{
    (void)state;
    char text[] = "what";
    int count = 200000;
    json_t *json = svi_in_child(pid_and_text, text, 0, "it");
    assert_string_equal(json_string_value(json_object_get(json, "text")), "what");
    assert_int_not_equal(json_integer_value(json_object_get(json, "pid")), getpid());
    json_decref(json);
    json = svi_in_child(large, &count, 60, "it");
    assert_int_equal(json_array_size(json), count);
    json_decref(json);
}

static void refuses(json_t *(*work)(void *ctx), unsigned limit_s, const char *part)
{
    json_t *json = svi_in_child(work, NULL, limit_s, "the look");
    const char *error = json_string_value(json_object_get(json, "error"));
    assert_non_null(error);
    if (strstr(error, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", error, part);
    json_decref(json);
}

static void no_answer_is_told(void **state)
{
    (void)state;
    refuses(crash, 0, "the look crashed (signal 15");
    refuses(hang, 1, "the look took longer than 1 s");
    refuses(nothing, 0, "the look ended with status 1");
    refuses(leave, 0, "the look ended with status 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_answer_comes_whole), cmocka_unit_test(no_answer_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
