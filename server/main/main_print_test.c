/* Tables and records as a person sees them. */
#include "main/main_print.h"

#include <stdio.h>
#include <unistd.h>

#include "base/base_testing.h"

static const sv_column columns[] = {
    {.name = "name", .kind = SV_COLUMN_TEXT},
    {.name = "size", .kind = SV_COLUMN_BYTES, .head = "how much"},
    {.name = "age", .kind = SV_COLUMN_PERIOD},
    {.name = "on", .kind = SV_COLUMN_BOOL},
    {.name = "groups", .kind = SV_COLUMN_LIST},
    {0},
};

static char printed[4000];

/* Prints each answer (JSON with ' for ") as a page, with standard output in a file. */
static void print(uint32_t flags, const char *const *pages, size_t count)
{
    const sv_command what = {.name = "x", .summary = "s", .columns = columns, .flags = flags};
    svi_printer printer;
    svi_print_init(&printer, &what);
    (void)fflush(stdout);
    FILE *file = tmpfile();
    assert_non_null(file);
    const int before = dup(STDOUT_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    for (size_t i = 0; i < count; i++) {
        char text[1000];
        snprintf(text, sizeof text, "%s", pages[i]);
        for (char *at = text; *at; at++)
            if (*at == '\'') *at = '"';
        json_t *answer = json_loads(text, 0, NULL);
        assert_non_null(answer);
        svi_print_rows(&printer, answer);
        json_decref(answer);
    }
    (void)fflush(stdout);
    assert_true(dup2(before, STDOUT_FILENO) >= 0);
    (void)close(before);
    rewind(file);
    const size_t n = fread(printed, 1, sizeof printed - 1, file);
    printed[n] = '\0';
    (void)fclose(file);
}

#define PRINT(flags, ...)                                                                          \
    print(flags, (const char *const[]){__VA_ARGS__},                                               \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void tables(void **state)
{
    (void)state;
    PRINT(0, "{'rows':[]}");
    assert_string_equal(printed, "");
    PRINT(0,
          "{'rows':[{'name':'\\u00e9','size':10239,'age':59999,'on':true,'groups':['a','b']},"
          "{'name':'longer','size':10240,'age':3600000,'on':false,'groups':[]}]}",
          "{'rows':[{'name':'much longer','size':20971520,'age':93600000,'on':null,'groups':null}]}");
    assert_string_equal(printed, "NAME    HOW MUCH        AGE  ON   GROUPS\n"
                                 "\xc3\xa9        10239 B       59 s  yes  a, b\n"
                                 "longer    10 KiB  1 h 0 min  no   \n"
                                 "much longer    20 MiB    1 d 2 h       \n");
}

static void records(void **state)
{
    (void)state;
    PRINT(SV_COMMAND_ONE, "{'rows':[{'name':'n','size':0,'age':60000,'on':true,'groups':[]}]}");
    assert_string_equal(printed, "name         n\nhow much     0 B\nage          1 min 0 s\non           yes\n"
                                 "groups       \n");
    PRINT(SV_COMMAND_PLAIN, "{'rows':[{'name':'n','size':1,'age':0,'on':true,'groups':['g']}]}");
    assert_string_equal(printed, "n  1 B  0 s  yes  g\n");
}

/* What peers send must not steer the operator's terminal: no control characters, of C1 neither, no
 * overrides of direction, no line ends. */
static void controls(void **state)
{
    (void)state;
    PRINT(SV_COMMAND_PLAIN,
          "{'rows':[{'name':'a\\u001b[2Jb\\u009bc\\nd\\u202ee\\u2066f\\u2028g\\u007f','size':0,'age':0,'on':true,"
          "'groups':['\\u0007']}]}");
    assert_string_equal(printed, "a?[2Jb?c?d?e?f?g?  0 B  0 s  yes  ?\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(records),
        cmocka_unit_test(controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
