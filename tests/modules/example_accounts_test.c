/* examples/c/file-accounts: what it answers, a file that changes while the server runs, and each thing that can be wrong in it. */
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_provider.h"

/* The keys of RFC 7677 3: the password is "pencil". */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVED "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define KEYS "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVED

enum { SECOND_US = 1000000, KEY_BYTES = 32 };

typedef struct files {
    world *w;
    char mods_path[TESTING_PATH], file[TESTING_PATH + 32];
} files;

static void write_file(const files *f, const char *text)
{
    char next[TESTING_PATH + 32];
    snprintf(next, sizeof next, "%s/next", f->w->folder);
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(next, f->file), 0);
}

static files *files_new(const char *text)
{
    files *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->w = world_new();
    testing_path("examples", f->mods_path);
    f->w->paths[0] = f->mods_path;
    snprintf(f->file, sizeof f->file, "%s/accounts", f->w->folder);
    if (text) write_file(f, text);
    return f;
}

static void configure(files *f, const char *file, char to[4096])
{
    snprintf(to, 4096,
             "VirtualHost \"one.example\"\nmodules_enabled = { \"file-accounts\" }\nfile_accounts_check = \"1s\"\n"
             "file_accounts_file = \"%s\"\n",
             file);
    svi_buf_clear(&f->w->log);
}

static void begin(files *f)
{
    char config[4096];
    configure(f, f->file, config);
    start(f->w, config);
}

static void files_free(files *f)
{
    svi_mods_free(&f->w->mods);
    (void)remove(f->file);
    world_free(f->w);
    free(f);
}

static svi_host *host_of(const files *f)
{
    return svi_host_find(f->w->server, SV_STR("one.example"));
}

static void on_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static int find(const files *f, const char *name)
{
    static int status;
    status = 1;
    svi_provider_find(host_of(f), sv_str_of(name), on_status, &status);
    turn(f->w);
    return status;
}

typedef struct keys_answer {
    int status;
    svi_scram_keys keys;
} keys_answer;

static void on_keys(void *ctx, sv_status status, const svi_scram_keys *keys)
{
    keys_answer *answer = ctx;
    answer->status = status;
    if (keys) answer->keys = *keys;
}

static keys_answer keys_of(const files *f, const char *name)
{
    keys_answer answer = {.status = 1};
    svi_provider_keys(host_of(f), sv_str_of(name), "SCRAM-SHA-256", on_keys, &answer);
    turn(f->w);
    return answer;
}

static void on_names(void *ctx, sv_status status, const sv_str *names, size_t count, bool more)
{
    char *text = ctx;
    snprintf(text, 256, "%d", status);
    for (size_t i = 0; i < count; i++) snprintf(text + strlen(text), 256 - strlen(text), " %.*s", (int)names[i].n, names[i].p);
    snprintf(text + strlen(text), 256 - strlen(text), "%s", more ? " ..." : "");
}

static const char *names_after(const files *f, const char *after, size_t max)
{
    static char text[256];
    text[0] = '\0';
    svi_provider_list(host_of(f), sv_str_of(after), max, on_names, text);
    turn(f->w);
    return text;
}

/* --- answers -------------------------------------------------------------------------------------------- */

static void answers(void **state)
{
    (void)state;
    files *f = files_new("# the house of Montague\nuser:" KEYS "\r\n\nbenvolio:*\nb\xc3\xa4r:" KEYS);
    begin(f);
    assert_string_equal(svi_provider_name(host_of(f)), "file-accounts");
    assert_string_equal(svi_provider_mechanisms(host_of(f)), "SCRAM-SHA-256");
    assert_has(&f->w->log, "file-accounts-read accounts=3");
    assert_int_equal(find(f, "user"), SV_OK);
    assert_int_equal(find(f, "b\xc3\xa4r"), SV_OK);
    assert_int_equal(find(f, "benvolio"), SV_EDENIED);
    assert_int_equal(find(f, "use"), SV_ENOTFOUND);
    assert_int_equal(keys_of(f, "benvolio").status, SV_ENOTFOUND);
    assert_int_equal(keys_of(f, "tybalt").status, SV_ENOTFOUND);
    const keys_answer known = keys_of(f, "user");
    svi_scram_keys wanted;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("pencil"),
                                      SV_STR("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"), 4096, &wanted),
                     SV_OK);
    assert_int_equal(known.status, SV_OK);
    assert_int_equal(known.keys.iterations, 4096);
    assert_memory_equal(known.keys.stored_key, wanted.stored_key, KEY_BYTES);
    assert_memory_equal(known.keys.server_key, wanted.server_key, KEY_BYTES);
    assert_string_equal(names_after(f, "", 9), "0 benvolio b\xc3\xa4r user");
    assert_string_equal(names_after(f, "", 2), "0 benvolio b\xc3\xa4r ...");
    assert_string_equal(names_after(f, "benvolio", 9), "0 b\xc3\xa4r user");
    assert_string_equal(names_after(f, "user", 9), "0");
    files_free(f);
}

static void without_accounts(void **state)
{
    (void)state;
    files *f = files_new("");
    begin(f);
    assert_int_equal(find(f, "user"), SV_ENOTFOUND);
    assert_string_equal(names_after(f, "", 9), "0");
    files_free(f);
}

/* --- a file that changes -------------------------------------------------------------------------------- */

static void counts_at_once(void **state)
{
    (void)state;
    files *f = files_new("user:" KEYS "\n");
    begin(f);
    assert_int_equal(find(f, "juliet"), SV_ENOTFOUND);
    write_file(f, "juliet:" KEYS "\n");
    pass_time(f->w, 2 * SECOND_US);
    assert_int_equal(find(f, "juliet"), SV_OK);
    assert_int_equal(find(f, "user"), SV_ENOTFOUND);

    /* what is wrong, or away, changes nothing */
    write_file(f, "romeo:" KEYS "\nnurse:secret\n");
    pass_time(f->w, 2 * SECOND_US);
    assert_has(&f->w->log, "file-accounts-refused line=2 reason=\"a line is NAME:SCRAM-SHA-256$");
    assert_int_equal(find(f, "romeo"), SV_ENOTFOUND);
    assert_int_equal(find(f, "juliet"), SV_OK);
    assert_int_equal(truncate(f->file, (16 << 20) + 1), 0);
    pass_time(f->w, 2 * SECOND_US);
    assert_has(&f->w->log, "file-accounts-unreadable");
    assert_int_equal(find(f, "juliet"), SV_OK);
    assert_int_equal(remove(f->file), 0);
    pass_time(f->w, 2 * SECOND_US);
    assert_int_equal(find(f, "juliet"), SV_OK);
    write_file(f, "romeo:" KEYS "\n");
    pass_time(f->w, 2 * SECOND_US);
    assert_int_equal(find(f, "romeo"), SV_OK);
    files_free(f);
}

/* --- what is refused ------------------------------------------------------------------------------------ */

static void assert_refused(files *f, const char *file, const char *why)
{
    char config[4096];
    configure(f, file, config);
    make_mods(f->w, config);
    assert_int_not_equal(svi_mods_start(f->w->mods), SV_OK);
    assert_has(&f->w->log, why);
    svi_mods_free(&f->w->mods);
    assert_null(svi_provider_name(host_of(f)));
}

static void lines_that_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"user", "line=1 reason=\"a line is "},
        {"ok:*\nuser:", "line=2 reason=\"a line is "},
        {"user:SCRAM-SHA-256", "a line is "},
        {"user:SCRAM-SHA-256$4096:" SALT, "a line is "},
        {"user:SCRAM-SHA-256$4096:" SALT "$" STORED, "a line is "},
        {":*", "a name has 1 to 1023 bytes"},
        {"User:*", "names are written in small letters"},
        {"romeo@one.example:*", "a character that no name can have"},
        {"a b:*", "a character that no name can have"},
        {"user:SCRAM-SHA-1$4096:" SALT "$" STORED ":" SERVED, "keys are of SCRAM-SHA-256"},
        {"user:SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVED, "the iterations are no number"},
        {"user:SCRAM-SHA-256$4x:" SALT "$" STORED ":" SERVED, "the iterations are no number"},
        {"user:SCRAM-SHA-256$99999999999:" SALT "$" STORED ":" SERVED, "the iterations are no number"},
        {"user:SCRAM-SHA-256$4096:$" STORED ":" SERVED, "the salt is not 1 to 32 bytes"},
        {"user:SCRAM-SHA-256$4096:" STORED SALT "$" STORED ":" SERVED, "the salt is not 1 to 32 bytes"},
        {"user:SCRAM-SHA-256$4096:W22%$" STORED ":" SERVED, "the salt is not 1 to 32 bytes"},
        {"user:SCRAM-SHA-256$4096:" SALT "$" SALT ":" SERVED, "a key is not 32 bytes"},
        {"user:SCRAM-SHA-256$4096:" SALT "$" STORED ":" SALT, "a key is not 32 bytes"},
        {"user:SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVED SERVED, "a key is not 32 bytes"},
        {"user:*\na:*\nuser:" KEYS, "line=3 reason=\"the name stands there before\""},
    };
    files *f = files_new(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(f, cases[i][0]);
        assert_refused(f, f->file, cases[i][1]);
    }
    files_free(f);
}

static void files_that_are_refused(void **state)
{
    (void)state;
    files *f = files_new(NULL);
    assert_refused(f, "", "the file's name begins with '/'");
    assert_refused(f, "accounts", "the file's name begins with '/'");
    assert_refused(f, f->file, "there is no such file");
    assert_refused(f, f->w->folder, "it can't be read");
    write_file(f, "");
    assert_int_equal(truncate(f->file, (16 << 20) + 1), 0);
    assert_refused(f, f->file, "it is larger than 16 MiB");
    files_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(without_accounts),
        cmocka_unit_test(counts_at_once),
        cmocka_unit_test(lines_that_are_refused),
        cmocka_unit_test(files_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
