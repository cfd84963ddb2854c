/* Options: filling fields from a config by a table, its errors, unknown names, the manual. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "mods/mods_budget.h"
#include "mods/mods_config.h"

static svi_acct mem = {.name = "test"};
static svi_buf told;

typedef struct fields {
    int64_t number, period, size, word;
    bool flag;
    sv_str text, secret;
    sv_str_list list, files, uris, items, jids;
} fields;

static const sv_option table[] = {
    SV_OPT_INT(fields, number, "t_number", "5", "1", "10", "A number."),
    SV_OPT_PERIOD(fields, period, "t_period", "30s", "1s", "1h", "A time."),
    SV_OPT_SIZE(fields, size, "t_size", "64k", "1k", "10M", "A size."),
    SV_OPT_ENUM(fields, word, "t_word", "two", "one two three", "A word."),
    SV_OPT_BOOL(fields, flag, "t_flag", "true", "A flag."),
    SV_OPT_STRING(fields, text, "t_text", "preset", "A text."),
    SV_OPT_STRING(fields, secret, "t_secret", NULL, "A secret."),
    SV_OPT_LIST(fields, list, "t_list", "A list."),
    {.name = "t_files",
     .kind = SV_OPTION_LIST,
     .offset = offsetof(fields, files),
     .min = "one",
     .manual = "A file or several."},
    SV_OPT_LIST_OF(fields, uris, "t_uris", "uri", "Some URIs."),
    SV_OPT_LIST_OF(fields, items, "t_items", "jid-name", "Some items."),
    SV_OPT_LIST_OF(fields, jids, "t_jids", "jid", "Some addresses."),
    {.name = NULL}};

static void note(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx, (void)file;
    svi_buf_printf(&told, "%d: %s\n", line, text);
}

static svi_config *load(const char *text)
{
    char path[] = "/tmp/stave-options-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    svi_config *config = NULL;
    svi_buf_clear(&told);
    const sv_status status = svi_config_load(&mem, path, note, NULL, &config);
    (void)unlink(path);
    assert_int_equal(status, SV_OK);
    return config;
}

static sv_status fill(const svi_config *config, size_t section, fields *into)
{
    *into = (fields){.number = -1};
    const sv_status status = svi_options_fill(config, svi_config_section(config, section), table,
                                              sizeof *table, into, note, NULL);
    svi_buf_putc(&told, '\0');
    assert_int_equal(status == SV_OK, told.len == 1);
    return status;
}

/* Expects exactly this report. */
static void fails(const char *text, const char *wanted)
{
    fields f;
    svi_config *config = load(text);
    assert_int_equal(fill(config, 0, &f), SV_EINVAL);
    assert_string_equal(told.data, wanted);
    svi_config_free(&config);
}

static void test_presets(void **state)
{
    (void)state;
    fields f;
    svi_config *config = load("");
    assert_int_equal(fill(config, 0, &f), SV_OK);
    assert_int_equal(f.number, 5);
    assert_int_equal(f.period, 30000);
    assert_int_equal(f.size, 65536);
    assert_int_equal(f.word, 1);
    assert_true(f.flag);
    assert_text(f.text, "preset");
    assert_int_equal(f.secret.n, 0);
    assert_int_equal(f.list.count, 0);
    svi_config_free(&config);
}

static void test_values(void **state)
{
    (void)state;
    fields f;
    svi_config *config =
        load("t_number = 10\nt_period = \"2m\"\nt_size = 2048\nt_word = \"three\"\n"
             "t_flag = false\nt_text = \"\"\nt_list = { \"a\", 5222 }\nt_files = \"one.pem\"\n"
             "VirtualHost \"a.example\"\nt_number = 1\nt_list = {}\n");
    assert_int_equal(fill(config, 0, &f), SV_OK);
    assert_int_equal(f.number, 10);
    assert_int_equal(f.period, 120000);
    assert_int_equal(f.size, 2048);
    assert_int_equal(f.word, 2);
    assert_false(f.flag);
    assert_int_equal(f.text.n, 0);
    assert_int_equal(f.list.count, 2);
    assert_text(f.list.items[1], "5222");
    assert_int_equal(f.files.count, 1);
    assert_text(f.files.items[0], "one.pem");
    svi_buf_clear(&told);
    assert_int_equal(fill(config, 1, &f), SV_OK);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.period, 120000); /* the global one */
    assert_int_equal(f.list.count, 0);  /* its own, though empty, wins */
    svi_config_free(&config);
}

static void test_wrong(void **state)
{
    (void)state;
    fails("\nt_number = 0\n", "2: 't_number' must be from 1 to 10\n");
    fails("t_number = 11\n", "1: 't_number' must be from 1 to 10\n");
    fails("t_number = \"5\"\n", "1: 't_number' must be a whole number, without quotes\n");
    fails("t_number = {}\n", "1: 't_number' must be a single value, not a list\n");
    fails("t_period = \"30\"\n",
          "1: 't_period' must be a time with its unit, such as \"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"\n");
    fails("t_period = 30\n",
          "1: 't_period' must be a time with its unit, such as \"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"\n");
    fails("t_period = \"5 parsecs\"\n",
          "1: 't_period' must be a time with its unit, such as \"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"\n");
    fails("t_period = \"2h\"\n", "1: 't_period' must be from 1s to 1h\n");
    fails("t_period = \"-5s\"\n",
          "1: 't_period' must be a time with its unit, such as \"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"\n");
    fails("t_size = \"20M\"\n", "1: 't_size' must be from 1k to 10M\n");
    fails("t_size = 20\n", "1: 't_size' must be from 1k to 10M\n");
    fails("t_size = \"9999999999999G\"\n",
          "1: 't_size' must be a size such as \"64k\", \"10M\" or a number of bytes\n");
    fails("t_word = \"four\"\n", "1: 't_word' must be one of: one two three\n");
    fails("t_word = \"\"\n", "1: 't_word' must be one of: one two three\n");
    fails("t_word = \"one two\"\n", "1: 't_word' must be one of: one two three\n");
    fails("t_flag = \"true\"\n", "1: 't_flag' must be true or false, without quotes\n");
    fails("t_flag = 1\n", "1: 't_flag' must be true or false\n");
    fails("t_text = true\n", "1: 't_text' must be a text in quotes\n");
    fails("t_text = 5\n", "1: 't_text' must be a text in quotes\n");
    fails("t_list = \"a\"\n",
          "1: 't_list' must be a list of texts in braces, such as { \"a\", \"b\" }\n");
    fails("t_list = { true }\n",
          "1: 't_list' must be a list of texts in braces, such as { \"a\", \"b\" }\n");
    fails("t_files = { true }\n",
          "1: 't_files' must be a text in quotes, or several in braces: { \"a\", \"b\" }\n");
    fails("t_number = 0\nt_flag = 1\n",
          "1: 't_number' must be from 1 to 10\n2: 't_flag' must be true or false\n");
}

/* A size is none, whatever bounds the table leaves out. */
/* Texts that must have a form (RFC 7622). */
static void test_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", " ", "a@", "@b.example", "a@@b", "a@b.example Name",
                                        "mailto:a@b.example", "a b@c.example", "a@b.example/"};
    char text[200];
    fields f;
    svi_config *config = load("t_jids = { \"a@b.example\", \"b.example\" }\n");
    if (fill(config, 0, &f) != SV_OK) fail_msg("%s", told.data);
    assert_int_equal(f.jids.count, 2);
    assert_text(f.jids.items[0], "a@b.example");
    svi_config_free(&config);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "t_number = 1\nt_jids = { \"a@b.example\", \"%s\" }\n", wrong[i]);
        fails(text, "2: 't_jids' must be of addresses, such as \"admin@example.org\"\n");
    }
}

/* Texts that must have a form (RFC 3986 3; RFC 7622 with a name behind it). */
static void test_forms(void **state)
{
    static const char *const uris[] = {"mailto:a@b.example", "xmpp:a@b.example?message", "a:b",
                                       "https://b.example/%41/(x)?y=[z]#w", "h323+x-y.z:1"};
    static const char *const no_uris[] = {"", "mailto", "mailto:", ":a", "1a:b", "a_b:c",
                                          "a b:c", "a:b c", "a:\303\244", "a:<b>", "a:\\\"b"};
    static const char *const items[] = {"b.example", "a@b.example Name of it", "b.example \303\244"};
    static const char *const no_items[] = {"", " ", "b.example ", " b.example", "a@@b Name",
                                           "b.example x\\ty"};
    char text[200];
    fields f;
    (void)state;
    for (int of = 0; of < 2; of++)
        for (size_t i = 0; i < (of ? sizeof items : sizeof uris) / sizeof(char *); i++) {
            snprintf(text, sizeof text, "t_%s = { \"%s\" }\n", of ? "items" : "uris",
                     of ? items[i] : uris[i]);
            svi_config *config = load(text);
            if (fill(config, 0, &f) != SV_OK) fail_msg("%s: %s", text, told.data);
            assert_true(sv_str_eq((of ? f.items : f.uris).items[0],
                                  sv_str_of(of ? items[i] : uris[i])));
            svi_config_free(&config);
        }
    for (size_t i = 0; i < sizeof no_uris / sizeof no_uris[0]; i++) {
        snprintf(text, sizeof text, "t_uris = \"%s\"\n", no_uris[i]);
        fails(text, "1: 't_uris' must be of URIs, such as \"mailto:abuse@example.org\" or "
                    "\"xmpp:admin@example.org\"\n");
    }
    for (size_t i = 0; i < sizeof no_items / sizeof no_items[0]; i++) {
        snprintf(text, sizeof text, "t_items = { \"b.example\", \"%s\" }\n", no_items[i]);
        fails(text, "1: 't_items' must be of addresses, each of them alone or with a blank and a name "
                    "behind it, such as \"chat.example.org\" or \"chat.example.org Rooms\"\n");
    }
}

static void test_sizes_without_bounds(void **state)
{
    (void)state;
    static const sv_option open_table[] = {
        SV_OPT_SIZE(fields, size, "t_open", "0", NULL, NULL, "A size."), {.name = NULL}};
    fields f = {.size = 7};
    svi_config *config = load("t_open = -1\n");
    assert_int_equal(svi_options_fill(config, svi_config_section(config, 0), open_table,
                                      sizeof *open_table, &f, note, NULL),
                     SV_EINVAL);
    svi_buf_putc(&told, '\0');
    assert_string_equal(
        told.data, "1: 't_open' must be a size such as \"64k\", \"10M\" or a number of bytes\n");
    assert_int_equal(f.size, 7);
    svi_config_free(&config);
    config = load("t_open = 0\n");
    assert_int_equal(svi_options_fill(config, svi_config_section(config, 0), open_table,
                                      sizeof *open_table, &f, note, NULL),
                     SV_OK);
    assert_int_equal(f.size, 0);
    svi_config_free(&config);
}

static void test_secrets(void **state)
{
    (void)state;
    fails("t_secret = \"open\"\n",
          "1: 't_secret' must be \"file:PATH\" or \"env:NAME\": secrets do "
          "not stand in the configuration\n");
    fails("t_secret = \"env:STAVE_TEST_NONE\"\n",
          "1: 't_secret' must be the name of an environment variable that is set\n");
    fails("t_secret = \"file:/nowhere/at/all\"\n",
          "1: 't_secret' must be a file that can be read\n");
    fields f;
    assert_int_equal(setenv("STAVE_TEST_SECRET", "hush", 1), 0);
    svi_config *config = load("t_secret = \"env:STAVE_TEST_SECRET\"\n");
    assert_int_equal(fill(config, 0, &f), SV_OK);
    assert_text(f.secret, "hush");
    svi_config_free(&config);
}

static void test_unknown(void **state)
{
    (void)state;
    static const sv_option other[] = {{.name = "else_where", .kind = SV_OPTION_INT, .preset = "0"},
                                      {.name = NULL}};
    const sv_option *const tables[] = {table, NULL, other};
    const size_t strides[] = {sizeof *table, 0, sizeof *other};
    svi_config *config = load("t_number = 1\nelse_where = 2\n");
    assert_int_equal(svi_options_unknown(config, tables, strides, 3, note, NULL), SV_OK);
    svi_config_free(&config);
    config = load("t_numbr = 1\nVirtualHost \"a.example\"\nelsewhere = 2\n"
                  "quite_another_thing = 3\nt_Text = \"\"\nT_NUMBER = 1\n");
    assert_int_equal(svi_options_unknown(config, tables, strides, 3, note, NULL), SV_EINVAL);
    svi_buf_putc(&told, '\0');
    assert_string_equal(
        told.data,
        "1: 't_numbr' is no option of the server or of an enabled module; did you mean "
        "'t_number'?\n"
        "3: 'elsewhere' is no option of the server or of an enabled module; did you mean "
        "'else_where'?\n"
        "4: 'quite_another_thing' is no option of the server or of an enabled module\n"
        "5: 't_Text' is no option of the server or of an enabled module; did you mean 't_text'?\n"
        "6: 'T_NUMBER' is no option of the server or of an enabled module; did you mean "
        "'t_number'?\n");
    svi_config_free(&config);
}

static void test_manual(void **state)
{
    (void)state;
    svi_buf out;
    svi_buf_init(&out, &mem);
    svi_options_manual(&out, table, sizeof *table);
    svi_buf_putc(&out, '\0');
    assert_non_null(strstr(out.data, "t_number (number from 1 to 10, default 5)\n    A number.\n"));
    assert_non_null(strstr(out.data, "t_word (one of one two three, default two)\n"));
    assert_non_null(strstr(out.data, "t_list (list, default none)\n"));
    assert_non_null(strstr(out.data, "t_files (text or list, default none)\n"));
    assert_non_null(strstr(out.data, "t_uris (text or list of the form uri, default none)\n"));
    svi_buf_free(&out);
}

static int begin(void **state)
{
    (void)state;
    svi_buf_init(&told, &mem);
    return 0;
}

static int end(void **state)
{
    (void)state;
    svi_buf_free(&told);
    return mem.live_bytes == 0 ? 0 : -1;
}

/* One option as a module would declare it. */
static void check(const sv_option *option, size_t self_size, const char *why)
{
    const sv_option options[] = {*option, {.name = NULL}};
    sv_err err = {.text = ""};
    const sv_status status = svi_options_check(options, sizeof *options, "a-mod", self_size, &err);
    assert_int_equal(status, why == NULL ? SV_OK : SV_EINVAL);
    if (why != NULL && strstr(err.text, why) == NULL) fail_msg("\"%s\" does not hold \"%s\"", err.text, why);
}

#define CHECK(why, ...) check(&(const sv_option){__VA_ARGS__}, sizeof(int64_t) * 2, why)
#define A_MOD(name_) .name = (name_), .kind = SV_OPTION_INT, .preset = "1", .manual = "A number."

static void test_tables_are_checked(void **state)
{
    (void)state;
    static const char *const wrong_names[] = {"a_mod", "a_mod_", "amod_x", "b_mod_x", "a-mod_x", "a_mod_X", "a_mod_x y", "module_cpu_max"};
    for (size_t i = 0; i < sizeof wrong_names / sizeof *wrong_names; i++) CHECK("has a wrong name", A_MOD(wrong_names[i]));
    CHECK(NULL, A_MOD("a_mod_x"));
    CHECK(NULL, A_MOD("a_mod_x"), .offset = sizeof(int64_t));
    CHECK("lies outside of `self` (16 bytes)", A_MOD("a_mod_x"), .offset = sizeof(int64_t) + 1);
    CHECK("lies outside of `self`", A_MOD("a_mod_x"), .offset = SIZE_MAX);
    check(&(const sv_option){A_MOD("a_mod_x")}, 0, "is .self_size the size of the struct");
    CHECK(NULL, .name = "a_mod_x", .kind = SV_OPTION_BOOL, .offset = 2 * sizeof(int64_t) - 1, .preset = "true", .manual = "m");
    CHECK("lies outside", .name = "a_mod_x", .kind = SV_OPTION_STRING, .offset = sizeof(int64_t), .manual = "m");
    CHECK("lies outside", .name = "a_mod_x", .kind = SV_OPTION_LIST, .offset = sizeof(int64_t), .manual = "m");
    CHECK("of the unknown kind 8", .name = "a_mod_x", .kind = (sv_option_kind)8, .manual = "m");
    CHECK("of the unknown kind 0", .name = "a_mod_x", .manual = "m");
    CHECK("lacks its sentence", .name = "a_mod_x", .kind = SV_OPTION_INT, .preset = "1");
    CHECK("bounds that can't be read", A_MOD("a_mod_x"), .max = "many");
    CHECK("bounds that can't be read", A_MOD("a_mod_x"), .min = "1s");
    CHECK("no words to choose from", .name = "a_mod_x", .kind = SV_OPTION_ENUM, .preset = "x", .manual = "m");
    CHECK("must be one of: y z", .name = "a_mod_x", .kind = SV_OPTION_ENUM, .preset = "x", .min = "y z", .manual = "m");
    CHECK("must be from 2 to any", A_MOD("a_mod_x"), .min = "2");
    CHECK("must be a whole number", .name = "a_mod_x", .kind = SV_OPTION_INT, .manual = "m");
    CHECK("the unknown form \"url\"", .name = "a_mod_x", .kind = SV_OPTION_LIST, .max = "url", .manual = "m");
    CHECK(NULL, .name = "a_mod_x", .kind = SV_OPTION_LIST, .max = "uri", .manual = "m");
    const sv_option twice[] = {{A_MOD("a_mod_x")}, {A_MOD("a_mod_x")}, {.name = NULL}};
    sv_err err = {.text = ""};
    assert_int_equal(svi_options_check(twice, sizeof *twice, "a-mod", sizeof(int64_t), &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "twice"));
    assert_int_equal(svi_options_check(NULL, sizeof *twice, "a-mod", 0, &err), SV_OK);
}

/* Words that a configuration can have, also for a module whose name it could not. */
static void test_budgets_have_words(void **state)
{
    (void)state;
    svi_arena *arena = svi_arena_new(&mem, 256);
    const sv_option *own = svi_budget_options_of(arena, "a-mod");
    assert_string_equal(own[0].name, "a_mod_memory_max");
    const sv_option mine[] = {{A_MOD("a_mod_x")}, {A_MOD("a_mod_faults_max")}, {.name = NULL}};
    assert_string_equal(svi_budget_clash(own, mine, sizeof *mine), "a_mod_faults_max");
    assert_null(svi_budget_clash(own, mine + 2, sizeof *mine));
    assert_null(svi_budget_clash(own, NULL, sizeof *mine));
    svi_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets), cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong),   cmocka_unit_test(test_forms), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_sizes_without_bounds),
        cmocka_unit_test(test_manual),       cmocka_unit_test(test_tables_are_checked),
        cmocka_unit_test(test_budgets_have_words),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
