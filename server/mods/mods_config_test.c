/* Reading the configuration: what it gives, and the place and words of each error. */
#include "mods/mods_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_testing.h"

static svi_acct mem = {.name = "test"};
static char dir[512];

/* What was reported, "NAME:LINE: text\n", file names without their folder. */
static svi_buf told;

static void note(void *ctx, const char *file, int line, const char *text)
{
    assert_null(ctx);
    const char *slash = strrchr(file, '/');
    svi_buf_printf(&told, "%s:%d: %s\n", slash ? slash + 1 : file, line, text);
}

static const char *path_of(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, sv_str text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.n, file), text.n);
    assert_int_equal(fclose(file), 0);
}

static svi_config *load_text(const char *text)
{
    svi_config *config = NULL;
    svi_buf_clear(&told);
    write_file("main.lua", sv_str_of(text));
    const sv_status status = svi_config_load(&mem, path_of("main.lua"), note, NULL, &config);
    svi_buf_putc(&told, '\0');
    assert_int_equal(status == SV_OK, config != NULL);
    assert_int_equal(status == SV_OK, told.len == 1);
    return config;
}

static svi_config *loads(const char *text)
{
    svi_config *config = load_text(text);
    if (!config) fail_msg("%s", told.data);
    return config;
}

/* Expects a refusal whose report holds `wanted`. */
static void fails(const char *text, const char *wanted)
{
    svi_config *config = load_text(text);
    assert_null(config);
    if (!strstr(told.data, wanted)) fail_msg("'%s' does not say '%s'", told.data, wanted);
}

static const svi_value *value_of(const svi_config *config, size_t section, const char *name)
{
    return svi_config_get(config, svi_config_section(config, section), sv_str_of(name));
}

/* --- what it gives ------------------------------------------------------------------------------------ */

static void test_values(void **state)
{
    (void)state;
    svi_config *c =
        loads("flag = true\nnumber = 7\ntext = \"x\"\nlist = {\n  \"a\",\n  2, { true } "
              "}\nnone = {}\nwhole = 3.0\nsum = number + 1\n");
    assert_int_equal(value_of(c, 0, "flag")->kind, SVI_VALUE_BOOL);
    assert_int_equal(value_of(c, 0, "flag")->number, 1);
    assert_int_equal(value_of(c, 0, "number")->number, 7);
    assert_text(value_of(c, 0, "text")->text, "x");
    const svi_value *list = value_of(c, 0, "list");
    assert_int_equal(list->line, 4); /* where it begins, not where it ends */
    assert_int_equal(list->count, 3);
    assert_text(list->items[0].text, "a");
    assert_int_equal(list->items[1].number, 2);
    assert_int_equal(list->items[2].items[0].number, 1);
    assert_int_equal(value_of(c, 0, "none")->count, 0);
    assert_int_equal(value_of(c, 0, "whole")->number, 3);
    assert_int_equal(value_of(c, 0, "sum")->number, 8);
    assert_int_equal(value_of(c, 0, "sum")->line, 9);
    assert_null(value_of(c, 0, "absent"));
    svi_config_free(&c);
}

static void test_sections(void **state)
{
    (void)state;
    svi_config *c = loads("a = 1\nb = 1\nVirtualHost \"One.Example\"\n  a = 2\n"
                          "Component \"muc.one.example\" \"muc\"\n  b = 3\n");
    assert_int_equal(svi_config_section(c, 0)->kind, SVI_SECTION_GLOBAL);
    assert_text(svi_config_section(c, 1)->name, "one.example");
    assert_int_equal(svi_config_section(c, 1)->line, 3);
    assert_int_equal(svi_config_section(c, 2)->kind, SVI_SECTION_COMPONENT);
    assert_null(svi_config_section(c, 3));
    assert_int_equal(value_of(c, 0, "a")->number, 1);
    assert_int_equal(value_of(c, 1, "a")->number, 2); /* its own wins */
    assert_int_equal(value_of(c, 1, "b")->number, 1);
    assert_int_equal(value_of(c, 2, "b")->number, 3);
    assert_text(value_of(c, 2, "component_module")->text, "muc");
    assert_int_equal(value_of(c, 2, "component_module")->line, 5);
    assert_null(value_of(c, 1, "component_module"));
    size_t pos = 0, count = 0;
    sv_str name;
    const svi_value *value;
    while (svi_config_names(c, svi_config_section(c, 1), &pos, &name, &value)) count++;
    assert_int_equal(count, 1);
    svi_config_free(&c);
}

/* A host's multi-line list after a global one of the same name has its own line. */
static void test_lines_of_same_name(void **state)
{
    (void)state;
    svi_config *c = loads("list = {\n \"a\"\n}\nVirtualHost \"a.example\"\nlist = {\n \"b\",\n\n}\n"
                          "VirtualHost \"b.example\"\nlist = { \"c\" }\n");
    assert_int_equal(value_of(c, 0, "list")->line, 1);
    assert_int_equal(value_of(c, 1, "list")->line, 5);
    assert_int_equal(value_of(c, 2, "list")->line, 10);
    svi_config_free(&c);
}

static void test_include(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("conf.d"), 0700), 0);
    write_file("conf.d/1.lua",
               SV_STR("\nVirtualHost \"one.example\"\n  a = 1\nInclude \"sub.txt\"\n"));
    write_file("conf.d/2.lua", SV_STR("VirtualHost \"two.example\"\n"));
    write_file("conf.d/sub.txt", SV_STR("b = 2\n"));
    svi_config *c = loads("Include \"conf.d/*.lua\"\nInclude \"none/*.lua\"\nglobal = 1\n");
    assert_text(svi_config_section(c, 1)->name, "one.example");
    assert_text(svi_config_section(c, 2)->name, "two.example");
    assert_int_equal(value_of(c, 1, "b")->number,
                     2); /* relative to the including file, in its section */
    assert_int_equal(value_of(c, 0, "global")->number,
                     1); /* an included section ends with its file */
    assert_int_equal(value_of(c, 1, "a")->line, 3);
    assert_non_null(strstr(value_of(c, 1, "a")->file, "conf.d/1.lua"));
    svi_config_free(&c);
}

/* --- errors ------------------------------------------------------------------------------------------- */

static void test_syntax(void **state)
{
    (void)state;
    fails("a = 1\nb = = 2\n", "main.lua:2: unexpected symbol near '='");
    fails("a = { 1\n", "main.lua:2: '}' expected");
    fails("\n\nlevel = info\n", "main.lua:3: 'info' is not known here (a text stands in quotes)");
    fails("virtualhost \"a.example\"\n",
          "main.lua:1: 'virtualhost' is not known here; did you mean 'VirtualHost'?");
    fails("INCLUDE \"a.lua\"\n", "main.lua:1: 'INCLUDE' is not known here; did you mean 'Include'?");
    fails("VirtualHots \"a.example\"\n", "did you mean 'VirtualHost'?");
    fails("a = 'x\n", "main.lua:1: unfinished string");
}

static void test_wrong_values(void **state)
{
    (void)state;
    fails("a = 1.5\n", "main.lua:1: 'a' must be true, false, a whole number");
    fails("a = { x = 1 }\n", "main.lua:1: 'a' must be");
    fails("a = { 1, nil, 3 }\n", "main.lua:1: 'a' must be");
    fails("a = function() end\n", "main.lua:1: 'a' must be");
    fails("a = {{{{{}}}}}\n", "main.lua:1: 'a' must be");
    fails("a = nil\n", "main.lua:1: 'a' must be");
    fails("local t = {} t[1] = t\na = t\n", "main.lua:2: 'a' must be");
    fails("a = 1\n\na = 2\n", "main.lua:3: 'a' is set twice here; it was set in ");
    fails("_ENV[1] = 2\n", "main.lua:1: an option's name is a word");
    fails("a = {}\nb = a\n", "main.lua:2: the list 'a' can't be used again");
}

static void test_wrong_sections(void **state)
{
    (void)state;
    fails("VirtualHost \"a.example\"\n\nVirtualHost \"A.example\"\n",
          "main.lua:3: 'A.example' was begun in ");
    fails("VirtualHost \"a b\"\n", "main.lua:1: 'a b' is not a domain");
    fails("VirtualHost \"\"\n", "main.lua:1: '' is not a domain");
    fails("VirtualHost { \"a\" }\n", "main.lua:1: VirtualHost is followed by a domain in quotes");
    fails("Component \"c.example\" { }\n", "main.lua:1: behind a Component's domain");
    fails("VirtualHost = \"a\"\n", "main.lua:1: VirtualHost is followed by its name in quotes");
}

/* Files that include the next one twice each would be read 2^n times. */
static void test_includes_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 14; i++) {
        char name[32], text[96];
        (void)snprintf(name, sizeof name, "twice%d.txt", i);
        const int n = snprintf(text, sizeof text,
                               "Include \"twice%d.txt\"\nInclude \"twice%d.txt\"\n", i + 1, i + 1);
        write_file(name, (sv_str){text, (size_t)n});
    }
    write_file("twice14.txt", SV_STR("a = 1\n"));
    fails("Include \"twice0.txt\"\n", "more than 1000 files are included");
    for (int i = 0; i < 15; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "twice%d.txt", i);
        assert_int_equal(unlink(path_of(name)), 0);
    }
}

/* Reading takes time by the length of the file, not by its square: a reload is read on the router. */
static void test_long_files_are_read_soon(void **state)
{
    (void)state;
    svi_buf text;
    svi_buf_init(&text, &mem);
    for (int i = 0; i < 40000; i++) svi_buf_printf(&text, "x%d = {\n1 }\n", i);
    svi_buf_putc(&text, '\0');
    svi_config *c = loads(text.data);
    const svi_value *last = svi_config_get(c, svi_config_section(c, 0), SV_STR("x39999"));
    assert_int_equal(last->line, 2 * 39999 + 1);
    svi_config_free(&c);
    svi_buf_free(&text);
}

static void test_wrong_includes(void **state)
{
    (void)state;
    fails("\nInclude \"missing.lua\"\n", "main.lua:2: missing.lua can't be found or read");
    fails("Include { }\n", "main.lua:1: Include is followed by a file in quotes");
    fails("Include \".\"\n", "main.lua:1: ");
    fails("Include \"main.lua\"\n", "main.lua:1: ");
    assert_non_null(strstr(told.data, "includes itself"));
    assert_int_equal(mkfifo(path_of("fifo.txt"), 0600), 0); /* nobody writes: opening it would wait */
    fails("Include \"fifo.txt\"\n", "main.lua:1: ");
    assert_non_null(strstr(told.data, "fifo.txt can't be read: it is no regular file"));
    assert_int_equal(unlink(path_of("fifo.txt")), 0);
    write_file("ring.txt", SV_STR("\nInclude \"*.lua\"\n"));
    fails("Include \"ring.txt\"\n", "ring.txt:2: ");
    assert_non_null(strstr(told.data, "main.lua includes itself"));
    write_file("bad.txt", SV_STR("x = 1\ny = nowhere\n"));
    fails("Include \"bad.txt\"\nz = nowhere\n", "bad.txt:2: 'nowhere' is not known");
    assert_non_null(strstr(told.data, "main.lua:2: 'nowhere' is not known")); /* all are told */
}

/* Lua cuts long names of files in its messages. */
static void test_long_path(void **state)
{
    (void)state;
    const char *name = "a-folder-with-a-name-so-long-that-no-message-of-lua-holds-it-whole-ever";
    assert_int_equal(mkdir(path_of(name), 0700), 0);
    char file[512], text[600];
    (void)snprintf(file, sizeof file, "%s/bad.txt", name);
    (void)snprintf(text, sizeof text, "Include \"%s\"\n", file);
    write_file(file, SV_STR("\n\nx = = 1\n"));
    fails(text, "bad.txt:3: unexpected symbol");
}

static void test_limits(void **state)
{
    (void)state;
    fails("\nwhile true do end\n", "main.lua:2: the script takes too many steps");
    fails("while true do pcall(function() while true do end end) end\n", "too many steps");
    fails("local s = 'x'\nwhile true do s = s .. s end\n", "not enough memory");
    svi_buf big;
    svi_buf_init(&big, &mem);
    for (int i = 0; i < (1 << 20) / 8 + 10; i++) svi_buf_put(&big, SV_STR("-- text\n"));
    svi_buf_putc(&big, '\0');
    fails(big.data, "main.lua:0: can't be read: it is longer than 1 MiB");
    svi_buf_free(&big);
    svi_config *c = NULL;
    svi_buf_clear(&told);
    assert_int_equal(svi_config_load(&mem, path_of("gone.lua"), note, NULL, &c), SV_EINVAL);
    svi_buf_putc(&told, '\0');
    assert_non_null(strstr(told.data, "gone.lua:0: can't be read: No such file"));
}

static void test_bytecode(void **state)
{
    (void)state;
    fails("\x1bLua", "main.lua:0: ");
}

static int make_dir(void **state)
{
    (void)state;
    const char *base = getenv("STAVE_TMP");
    (void)snprintf(dir, sizeof dir, "%s/stave-config-XXXXXX", base ? base : "/tmp");
    svi_buf_init(&told, &mem);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {
        "conf.d/1.lua",
        "conf.d/2.lua",
        "conf.d/sub.txt",
        "main.lua",
        "ring.txt",
        "bad.txt",
        "a-folder-with-a-name-so-long-that-no-message-of-lua-holds-it-whole-ever/bad.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) (void)unlink(path_of(names[i]));
    (void)rmdir(path_of("conf.d"));
    (void)rmdir(path_of("a-folder-with-a-name-so-long-that-no-message-of-lua-holds-it-whole-ever"));
    svi_buf_free(&told);
    return rmdir(dir) == 0 && mem.live_bytes == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_lines_of_same_name),
        cmocka_unit_test(test_include),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_wrong_sections),
        cmocka_unit_test(test_wrong_includes),
        cmocka_unit_test(test_includes_are_bounded),
        cmocka_unit_test(test_long_files_are_read_soon),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bytecode),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
