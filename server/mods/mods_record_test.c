/* Records of installed modules: their file, hashes of files and folders, and that the loader loads only what is recorded. */
#include "mods/mods_record.h"

#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <sys/syscall.h>

#include "mods/mods_impl.h"
#include "mods/mods_testing.h"

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SCRIPT "sv.script{summary = \"One\"}\n"

typedef struct place {
    svi_acct acct;
    svi_arena *arena;
    char dir[64];
} place;

/* A file that is written anew when "zz.lua", the last of a folder, is opened for its hash: openat() of the server comes here. */
static const char *changes, *changes_to;

int openat(int at, const char *path, int flags, ...)
{
    if (changes != NULL && strcmp(path, "zz.lua") == 0) {
        FILE *out = fopen(changes, "w");
        assert_non_null(out);
        assert_true(fputs(changes_to, out) >= 0 && fclose(out) == 0);
        changes = NULL;
    }
    return (int)syscall(SYS_openat, at, path, flags, 0);
}

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    p->acct.name = "test";
    p->arena = svi_arena_new(&p->acct, 1024);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/stave-record-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", p->dir);
    assert_int_equal(system(command), 0);
    svi_arena_free(&p->arena);
    assert_int_equal(p->acct.live_bytes, 0);
    free(p);
    return 0;
}

static const char *path_of(const place *p, const char *name)
{
    return svi_arena_printf(p->arena, "%s/%s", p->dir, name).p;
}

static void put(const place *p, const char *name, const char *text)
{
    testing_write(path_of(p, name), text);
}

/* Writes the record of one module as it should be. */
static void record(const place *p, const char *name, const char *kind, const char *hash)
{
    put(p, SVI_RECORD_FILE,
        svi_arena_printf(p->arena, "stave-modules 1\n%s %s %s 0.1 2026-01-02T03:04:05Z /srv/my file.so\n", name, kind, hash).p);
}

/* --- the file ----------------------------------------------------------------------------------------- */

static void written_is_read(void **state)
{
    const place *p = *state;
    svi_record items[] = {{.name = SV_STR("one"), .kind = SVI_RECORD_SO, .sha256 = SV_STR(SHA_ABC), .interface = SV_STR("0.5"), .when = SV_STR("2026-01-02T03:04:05Z"), .from = SV_STR("/x y/one.so")},
                          {.name = SV_STR("two"), .kind = SVI_RECORD_FOLDER, .sha256 = SV_STR(SHA_ABC), .interface = SV_STR("0.6"), .when = SV_STR("2026-01-02T03:04:06Z"), .from = SV_STR("two")},
                          {.name = SV_STR("one"), .kind = SVI_RECORD_LUA, .sha256 = SV_STR(SHA_ABC), .interface = SV_STR("0.6"), .when = SV_STR("2026-01-02T03:04:07Z"), .from = SV_STR("one.lua")}};
    svi_buf text;
    sv_err err = {.text = ""};
    svi_buf_init(&text, p->arena != NULL ? &((place *)*state)->acct : NULL);
    svi_records_text(&(svi_records){items, 3}, &text);
    svi_buf_putc(&text, '\0');
    put(p, SVI_RECORD_FILE, text.data);
    svi_buf_free(&text);
    svi_records read;
    assert_int_equal(svi_records_read(p->arena, p->dir, &read, &err), SV_OK);
    assert_int_equal(read.count, 3);
    const svi_record *first = svi_records_find(&read, SV_STR("one"), 0);
    assert_ptr_equal(first, &read.items[0]);
    assert_true(sv_str_eq(first->from, SV_STR("/x y/one.so")) && sv_str_eq(first->interface, SV_STR("0.5")));
    assert_true(sv_str_eq(first->sha256, SV_STR(SHA_ABC)) && sv_str_eq(first->when, SV_STR("2026-01-02T03:04:05Z")));
    const svi_record *second = svi_records_find(&read, SV_STR("one"), 1);
    assert_ptr_equal(second, &read.items[2]);
    assert_int_equal(second->kind, SVI_RECORD_LUA);
    assert_int_equal(read.items[1].kind, SVI_RECORD_FOLDER);
    assert_null(svi_records_find(&read, SV_STR("on"), 0));
}

static void no_file_is_no_record(void **state)
{
    const place *p = *state;
    svi_records read;
    sv_err err = {.text = ""};
    assert_int_equal(svi_records_read(p->arena, p->dir, &read, &err), SV_OK);
    assert_int_equal(read.count, 0);
    assert_int_equal(svi_records_read(p->arena, path_of(p, "nowhere"), &read, &err), SV_OK);
}

static void bad_files_are_refused(void **state)
{
    const place *p = *state;
    static const char *const bad[][2] = {
        {"", "not of a kind"},
        {"stave-modules 2\n", "not of a kind"},
        {"stave-modules 1\n\n", "line 2"},
        {"stave-modules 1\none so " SHA_ABC " 0.1 now f\nTwo so " SHA_ABC " 0.1 now f\n", "line 3"},
        {"stave-modules 1\n../one so " SHA_ABC " 0.1 now f\n", "line 2"},
        {"stave-modules 1\none dll " SHA_ABC " 0.1 now f\n", "line 2"},
        {"stave-modules 1\none so " SHA_ABC "a 0.1 now f\n", "line 2"},
        {"stave-modules 1\none so BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 0.1 now f\n", "line 2"},
        {"stave-modules 1\none so " SHA_ABC " 0.1 now\n", "line 2"},
        {"stave-modules 1\none so " SHA_ABC "\n", "line 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        svi_records read;
        sv_err err = {.text = ""};
        put(p, SVI_RECORD_FILE, bad[i][0]);
        assert_int_equal(svi_records_read(p->arena, p->dir, &read, &err), SV_EINVAL);
        if (strstr(err.text, bad[i][1]) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i][1]);
        assert_non_null(strstr(err.text, "install"));
    }
    svi_records read;
    sv_err err = {.text = ""};
    assert_int_equal(unlink(path_of(p, SVI_RECORD_FILE)), 0);
    assert_int_equal(mkdir(path_of(p, SVI_RECORD_FILE), 0700), 0);
    assert_int_equal(svi_records_read(p->arena, p->dir, &read, &err), SV_EIO);
}

/* --- folders ------------------------------------------------------------------------------------------ */

static sv_status list_of(place *p, const char *name, const char **text_out, sv_err *err)
{
    svi_buf list;
    svi_buf_init(&list, &p->acct);
    const sv_status status = svi_record_list(&p->acct, path_of(p, name), &list, err);
    *text_out = svi_arena_str(p->arena, svi_buf_str(&list)).p;
    svi_buf_free(&list);
    return status;
}

static void a_list_is_what_sha256sum_prints(void **state)
{
    place *p = *state;
    const char *list;
    sv_err err = {.text = ""};
    assert_int_equal(mkdir(path_of(p, "two"), 0700), 0);
    assert_int_equal(mkdir(path_of(p, "two/sub"), 0700), 0);
    assert_int_equal(mkdir(path_of(p, "two/.git"), 0700), 0);
    put(p, "two/two.lua", "abc");
    put(p, "two/sub/z.lua", "");
    put(p, "two/sub-a", "abc");
    put(p, "two/.git/HEAD", "x");
    put(p, "two/.two.lua.swp", "x");
    assert_int_equal(list_of(p, "two", &list, &err), SV_OK);
    assert_string_equal(list, SHA_ABC "  sub-a\n"
                              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  sub/z.lua\n" SHA_ABC "  two.lua\n");
    assert_true(svi_record_list_has(sv_str_of(list), SV_STR("two.lua"), SV_STR("abc")));
    assert_true(svi_record_list_has(sv_str_of(list), SV_STR("sub/z.lua"), SV_STR("")));
    assert_false(svi_record_list_has(sv_str_of(list), SV_STR("two.lua"), SV_STR("abd")));
    assert_false(svi_record_list_has(sv_str_of(list), SV_STR("lua"), SV_STR("abc")));
}

static void links_and_odd_names_are_in_no_list(void **state)
{
    place *p = *state;
    const char *list;
    sv_err err = {.text = ""};
    assert_int_equal(mkdir(path_of(p, "two"), 0700), 0);
    assert_int_equal(symlink("/etc/passwd", path_of(p, "two/words")), 0);
    assert_int_equal(list_of(p, "two", &list, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "words is a link"));
    assert_int_equal(unlink(path_of(p, "two/words")), 0);
    put(p, "two/a\nb", "x");
    assert_int_equal(list_of(p, "two", &list, &err), SV_EINVAL);
    assert_int_equal(unlink(path_of(p, "two/a\nb")), 0);
    const char *deep = path_of(p, "two");
    for (int i = 0; i < SVI_FOLDER_DEPTH + 2; i++) {
        deep = svi_arena_printf(p->arena, "%s/d", deep).p;
        assert_int_equal(mkdir(deep, 0700), 0);
    }
    assert_int_equal(list_of(p, "two", &list, &err), SV_ELIMIT);
    assert_int_equal(list_of(p, "nowhere", &list, &err), SV_EIO);
}

/* --- the loader --------------------------------------------------------------------------------------- */

static sv_status load(place *p, const char *name, sv_err *err)
{
    const char *paths[] = {p->dir};
    const svi_mods_config config = {.paths = paths, .path_count = 1};
    svi_mod_file *file = NULL;
    err->text[0] = '\0';
    const sv_status status = svi_mod_file_load(&p->acct, &config, sv_str_of(name), &file, err);
    svi_mod_file_unref(&file);
    return status;
}

static void assert_changed(place *p, const char *name)
{
    sv_err err;
    assert_int_equal(load(p, name, &err), SV_EDENIED);
    if (strstr(err.text, "it has changed since it was installed: take the right one (stave module install /srv/my file.so)") == NULL)
        fail_msg("\"%s\"", err.text);
}

static void hash_of(place *p, const char *file, char hex[SVI_SHA256_TEXT])
{
    char text[4096];
    FILE *in = fopen(path_of(p, file), "r");
    assert_non_null(in);
    const size_t n = fread(text, 1, sizeof text, in);
    fclose(in);
    svi_sha256_text((sv_str){text, n}, hex);
}

static void a_changed_script_is_not_loaded(void **state)
{
    place *p = *state;
    char hex[SVI_SHA256_TEXT];
    sv_err err;
    put(p, "one.lua", SCRIPT);
    assert_int_equal(load(p, "one", &err), SV_OK); /* no record, no bound */
    hash_of(p, "one.lua", hex);
    record(p, "one", "lua", hex);
    if (load(p, "one", &err) != SV_OK) fail_msg("%s", err.text);
    put(p, "one.lua", SCRIPT "-- more\n");
    assert_changed(p, "one");
    record(p, "two", "lua", hex); /* of another one */
    assert_int_equal(load(p, "one", &err), SV_OK);
    record(p, "one", "so", hex);
    assert_changed(p, "one");
    put(p, "one.lua", SCRIPT);
    assert_changed(p, "one"); /* what was installed is no script */
    put(p, SVI_RECORD_FILE, "what?");
    assert_int_equal(load(p, "one", &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "not of a kind"));
}

static void while_it_is_replaced_both_are_loaded(void **state)
{
    place *p = *state;
    char hex[SVI_SHA256_TEXT];
    sv_err err;
    put(p, "one.lua", SCRIPT);
    hash_of(p, "one.lua", hex);
    put(p, SVI_RECORD_FILE,
        svi_arena_printf(p->arena, "stave-modules 1\none lua %s 0.1 then a\ntwo so %s 0.1 then b\none lua %s 0.1 now c\n", SHA_ABC, hex, hex).p);
    if (load(p, "one", &err) != SV_OK) fail_msg("%s", err.text);
    put(p, "one.lua", SCRIPT "--\n");
    assert_int_equal(load(p, "one", &err), SV_EDENIED);
}

static void a_changed_folder_is_not_loaded(void **state)
{
    place *p = *state;
    const char *list;
    char hex[SVI_SHA256_TEXT];
    sv_err err;
    assert_int_equal(mkdir(path_of(p, "one"), 0700), 0);
    put(p, "one/one.lua", "local words = require(\"words\")\n" SCRIPT);
    put(p, "one/words.lua", "return {}\n");
    put(p, "one/README.md", "# one\n");
    if (load(p, "one", &err) != SV_OK) fail_msg("%s", err.text);
    assert_int_equal(list_of(p, "one", &list, &err), SV_OK);
    svi_sha256_text(sv_str_of(list), hex);
    record(p, "one", "folder", hex);
    if (load(p, "one", &err) != SV_OK) fail_msg("%s", err.text);
    put(p, "one/words.lua", "return {1}\n");
    assert_changed(p, "one");
    put(p, "one/words.lua", "return {}\n");
    put(p, "one/more.lua", "");
    assert_changed(p, "one");
    assert_int_equal(unlink(path_of(p, "one/more.lua")), 0);
    assert_int_equal(load(p, "one", &err), SV_OK);
    assert_int_equal(symlink("words.lua", path_of(p, "one/more.lua")), 0);
    assert_int_not_equal(load(p, "one", &err), SV_OK);
    assert_non_null(strstr(err.text, "more.lua is a link"));
    assert_int_equal(unlink(path_of(p, "one/more.lua")), 0);
    put(p, "one.lua", SCRIPT); /* comes before the folder */
    assert_changed(p, "one");
}

/* What was compared is what runs: a file that is another one by the time it is required. */
static void a_file_changes_behind_its_hash(void **state)
{
    place *p = *state;
    const char *list;
    char hex[SVI_SHA256_TEXT];
    sv_err err = {.text = ""};
    assert_int_equal(mkdir(path_of(p, "one"), 0700), 0);
    put(p, "one/one.lua", "local words = require(\"words\")\n" SCRIPT);
    put(p, "one/words.lua", "return {}\n");
    put(p, "one/zz.lua", "");
    assert_int_equal(list_of(p, "one", &list, &err), SV_OK);
    svi_sha256_text(sv_str_of(list), hex);
    record(p, "one", "folder", hex);
    assert_int_equal(load(p, "one", &err), SV_OK);
    changes = path_of(p, "one/words.lua");
    changes_to = "return {1}\n";
    assert_int_not_equal(load(p, "one", &err), SV_OK);
    assert_null(changes);
    if (strstr(err.text, "words.lua has changed since its module was installed") == NULL) fail_msg("%s", err.text);
}

/* And of the first one. */
static void what_is_required_is_in_the_list(void **state)
{
    place *p = *state;
    svi_buf list;
    sv_err err = {.text = ""};
    assert_int_equal(mkdir(path_of(p, "one"), 0700), 0);
    put(p, "one/one.lua", SCRIPT);
    char hex[SVI_SHA256_TEXT];
    svi_buf_init(&list, &p->acct);
    assert_int_equal(svi_record_list(&p->acct, path_of(p, "one"), &list, &err), SV_OK);
    svi_sha256_text(svi_buf_str(&list), hex);
    record(p, "one", "folder", hex);
    svi_buf_clear(&list);
    const char *path = path_of(p, "one/one.lua");
    assert_int_equal(svi_record_check(&p->acct, path, SV_STR("one"), SV_STR(SCRIPT), &list, &err), SV_OK);
    assert_true(svi_record_list_has(svi_buf_str(&list), SV_STR("one.lua"), SV_STR(SCRIPT)));
    svi_buf_clear(&list);
    assert_int_equal(svi_record_check(&p->acct, path, SV_STR("one"), SV_STR("-- other bytes"), &list, &err), SV_EDENIED);
    assert_non_null(strstr(err.text, "changes while it is read"));
    svi_buf_free(&list);
}

static void names(void **state)
{
    (void)state;
    assert_true(svi_record_is_name(SV_STR("a-1_b")));
    static const char *const bad[] = {"", "A", "a.b", "../a", "a/b", "a b", "ä", "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(svi_record_is_name(sv_str_of(bad[i])));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(written_is_read),
        EACH(no_file_is_no_record),
        EACH(bad_files_are_refused),
        EACH(a_list_is_what_sha256sum_prints),
        EACH(links_and_odd_names_are_in_no_list),
        EACH(a_changed_script_is_not_loaded),
        EACH(while_it_is_replaced_both_are_loaded),
        EACH(a_changed_folder_is_not_loaded),
        EACH(a_file_changes_behind_its_hash),
        EACH(what_is_required_is_in_the_list),
        EACH(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
