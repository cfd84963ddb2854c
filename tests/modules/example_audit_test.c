/* examples/c/audit-log on a loop, with its real thread and files: what it writes, files that are moved away, grow or can't be
 * written, and that nothing is lost by an end in order. */
#include "mods/mods_world_test.h"
#include "mods/mods_engine.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_removal.h"

#include <poll.h>

enum { FILE_BYTES = 1 << 20, WAIT_MS = 20000 };

typedef struct audit {
    world *w;
    uv_loop_t loop;
    char mods_path[TESTING_PATH], file[TESTING_PATH + 32], older[TESTING_PATH + 32];
    char text[FILE_BYTES];
} audit;

static audit *audit_new(void)
{
    audit *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->w = world_new();
    assert_int_equal(uv_loop_init(&a->loop), 0);
    a->w->engines = svi_engines_new(
        &(svi_engines_config){.acct = &a->w->acct, .plat = &a->w->plat.plat, .loop = &a->loop});
    testing_path("examples", a->mods_path);
    a->w->paths[0] = a->mods_path;
    snprintf(a->file, sizeof a->file, "%s/audit", a->w->folder);
    snprintf(a->older, sizeof a->older, "%s/audit.1", a->w->folder);
    return a;
}

static void config_of(const audit *a, const char *more, char to[4096])
{
    snprintf(to, 4096,
             "VirtualHost \"one.example\"\nmodules_enabled = { \"message\", \"audit-log\" }\naudit_log_file = \"%s\"\n%s\n",
             a->file, more);
}

static void begin(audit *a, const char *more)
{
    char config[4096];
    config_of(a, more, config);
    start(a->w, config);
}

static void end_mods(audit *a)
{
    svi_mods_free(&a->w->mods);
    svi_engines_settle(a->w->engines);
}

static void audit_free(audit *a)
{
    end_mods(a);
    assert_int_equal(uv_run(&a->loop, UV_RUN_DEFAULT), 0);
    assert_true(svi_engines_free(&a->w->engines));
    assert_int_equal(uv_loop_close(&a->loop), 0);
    (void)remove(a->file);
    (void)remove(a->older);
    world_free(a->w);
    free(a);
}

/* What is in a file now; empty if it is not there. */
static const char *text_of(audit *a, const char *path)
{
    FILE *file = fopen(path, "r");
    const size_t n = file ? fread(a->text, 1, sizeof a->text - 1, file) : 0;
    a->text[n] = '\0';
    if (file) assert_int_equal(fclose(file), 0);
    return a->text;
}

/* Until the thread has written it. */
static void until(audit *a, const char *path, const char *part_of)
{
    for (int i = 0; !strstr(text_of(a, path), part_of); i++) {
        if (i > WAIT_MS) fail_msg("\"%s\" does not hold \"%s\"", a->text, part_of);
        (void)poll(NULL, 0, 1);
    }
}

static size_t lines_of(const char *text, const char *part_of)
{
    size_t count = 0;
    for (; (text = strstr(text, part_of)) != NULL; text++) count++;
    return count;
}

/* --- what is written ------------------------------------------------------------------------------------ */

#define SAYS(type, to) "<message" type " to='" to "'><body>secret</body></message>"

static void who_did_what(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "");
    client *c = join(a->w, "romeo@one.example/the \"or\\chard\"");
    say(a->w, c, SAYS(" type='chat'", "juliet@one.example/x"));
    say(a->w, c, SAYS("", "romeo@one.example"));
    say(a->w, c, SAYS(" type='made \"up'", "juliet@one.example"));
    part(a->w, c);
    until(a, a->file, "logout");
#define ROMEO "\"romeo@one.example/the \\\"or\\\\chard\\\"\""
    assert_non_null(strstr(a->text, "{\"time\":\""));
    assert_non_null(strstr(a->text, "Z\",\"event\":\"login\",\"who\":" ROMEO "}\n"));
    assert_non_null(strstr(a->text, "\"event\":\"message\",\"who\":" ROMEO ",\"to\":\"juliet@one.example/x\",\"kind\":\"chat\"}\n"));
    assert_non_null(strstr(a->text, ",\"to\":\"romeo@one.example\",\"kind\":\"normal\"}\n"));
    assert_non_null(strstr(a->text, ",\"to\":\"juliet@one.example\",\"kind\":\"normal\"}\n"));
    assert_non_null(strstr(a->text, "\"event\":\"logout\",\"who\":" ROMEO "}\n"));
    assert_int_equal(lines_of(a->text, "\n"), 5);
    assert_null(strstr(a->text, "secret"));
    struct stat st;
    assert_int_equal(stat(a->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    audit_free(a);
}

static void without_messages(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "audit_log_messages = false\naudit_log_sync = true");
    client *c = join(a->w, "romeo@one.example/a");
    say(a->w, c, SAYS("", "juliet@one.example"));
    part(a->w, c);
    until(a, a->file, "logout");
    assert_int_equal(lines_of(a->text, "\n"), 2);
    audit_free(a);
}

static void done(void *ctx, sv_status status)
{
    *(sv_status *)ctx = status;
}

static void accounts(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "");
    svi_host *host = svi_host_find(a->w->server, SV_STR("one.example"));
    const sv_str name = SV_STR("tybalt");
    svi_scram_keys keys;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 4096, &keys), SV_OK);
    sv_status status = SV_EIO;
    svi_account_set(host, name, &keys, 1, false, done, &status);
    turn(a->w);
    assert_int_equal(status, SV_OK);
    svi_account_disable(host, name, SV_STR("a duel"), false, done, &status);
    turn(a->w);
    svi_account_enable(host, name, done, &status);
    turn(a->w);
    svi_account_remove(host, name, done, &status);
    turn(a->w);
    until(a, a->file, "account-removed");
    static const char *const events[] = {"account-added", "account-disabled", "account-enabled", "account-removed"};
    const char *at = a->text;
    for (size_t i = 0; i < 4; i++) {
        char line[128];
        snprintf(line, sizeof line, "\"event\":\"%s\",\"who\":\"tybalt@one.example\"}\n", events[i]);
        at = strstr(at, line);
        assert_non_null(at);
    }
    audit_free(a);
}

/* --- the file ------------------------------------------------------------------------------------------- */

/* As logrotate does without copying: the next line goes into the new file. That there is none yet is as good (`full`). */
static void moved_away(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "");
    client *c = join(a->w, "romeo@one.example/a");
    until(a, a->file, "login");
    assert_int_equal(rename(a->file, a->older), 0);
    FILE *made = fopen(a->file, "w");
    assert_non_null(made);
    assert_int_equal(fclose(made), 0);
    part(a->w, c);
    until(a, a->file, "logout");
    assert_null(strstr(a->text, "login"));
    assert_non_null(strstr(text_of(a, a->older), "login"));
    audit_free(a);
}

static void grown(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "audit_log_rotate = 100\naudit_log_keep = 1");
    (void)join(a->w, "romeo@one.example/a");
    until(a, a->file, "one.example/a");
    (void)join(a->w, "romeo@one.example/b");
    until(a, a->file, "one.example/b");
    assert_null(strstr(a->text, "one.example/a"));
    assert_non_null(strstr(text_of(a, a->older), "one.example/a"));
    (void)join(a->w, "romeo@one.example/c"); /* one is kept: the first is gone */
    until(a, a->file, "one.example/c");
    assert_non_null(strstr(text_of(a, a->older), "one.example/b"));
    assert_null(strstr(text_of(a, a->older), "one.example/a"));
    audit_free(a);
}

enum { AUDIT = 1, LOST = 1, FAILING = 2 };

static int64_t metric_of(const audit *a, size_t which)
{
    const sv_metric *metric;
    int64_t value;
    assert_true(svi_mods_metric(a->w->mods, AUDIT, which, &metric, &value));
    return value;
}

/* Until the thread has said that it can't write, or that it can. */
static void until_failing(audit *a, int64_t is_failing)
{
    for (int i = 0; metric_of(a, FAILING) != is_failing; i++) {
        assert_in_range(i, 0, 100000);
        (void)uv_run(&a->loop, UV_RUN_ONCE);
    }
}

/* A disk that is full: what waits is written when there is room again, and what found none is told of. */
static void full(void **state)
{
    (void)state;
    audit *a = audit_new();
    assert_int_equal(symlink("/dev/full", a->file), 0);
    begin(a, "audit_log_queue = \"4k\"");
    client *c = join(a->w, "romeo@one.example/a");
    until_failing(a, 1);
    size_t said = 0;
    for (; metric_of(a, LOST) < 3; said++) {
        assert_in_range(said, 0, 1000); /* two times 4 KiB hold a hundred lines */
        say(a->w, c, SAYS(" type='chat'", "juliet@one.example"));
    }
    assert_int_equal(remove(a->file), 0); /* the next attempt makes a file */
    until(a, a->file, "\"event\":\"lost\"");
    assert_non_null(strstr(a->text, "\"event\":\"login\""));
    assert_non_null(strstr(a->text, "\"lines\":3}\n"));
    assert_int_equal(lines_of(a->text, "\"event\":\"message\""), said - 3);
    until_failing(a, 0);
    assert_int_equal(count_of(&a->w->log, "audit-log-failed"), 1);
    assert_has(&a->w->log, "reason=\"No space left on device\"");
    assert_int_equal(count_of(&a->w->log, "audit-log-works"), 1);
    end_mods(a);
    assert_has_not(&a->w->log, "audit-log-unwritten");
    audit_free(a);
}

/* It never works again: the end does not wait for it, and says that something is missing. */
static void full_at_the_end(void **state)
{
    (void)state;
    audit *a = audit_new();
    assert_int_equal(symlink("/dev/full", a->file), 0);
    begin(a, "");
    (void)join(a->w, "romeo@one.example/a");
    end_mods(a);
    assert_int_equal(count_of(&a->w->log, "audit-log-unwritten"), 1);
    audit_free(a);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static void an_end_loses_nothing(void **state)
{
    (void)state;
    audit *a = audit_new();
    begin(a, "");
    client *c = join(a->w, "romeo@one.example/a");
    for (int i = 0; i < 200; i++) say(a->w, c, SAYS(" type='chat'", "juliet@one.example"));
    end_mods(a);
    assert_int_equal(lines_of(text_of(a, a->file), "\"event\":\"message\""), 200);
    audit_free(a);
}

/* Other options: another thread writes from then on, and the one before what it has. */
static void a_reload_loses_nothing(void **state)
{
    (void)state;
    audit *a = audit_new();
    char config[4096];
    begin(a, "");
    client *c = join(a->w, "romeo@one.example/a");
    for (int i = 0; i < 50; i++) {
        say(a->w, c, SAYS(" type='chat'", "juliet@one.example"));
        if (i % 10 > 0) continue;
        config_of(a, i % 20 ? "audit_log_queue = \"8k\"" : "audit_log_queue = \"64k\"", config);
        reloaded(a->w, config);
        (void)uv_run(&a->loop, UV_RUN_NOWAIT);
    }
    end_mods(a);
    assert_int_equal(lines_of(text_of(a, a->file), "\"event\":\"message\""), 50);
    audit_free(a);
}

static void assert_refused(audit *a, const char *options, const char *why)
{
    char config[4096];
    snprintf(config, sizeof config, "VirtualHost \"one.example\"\nmodules_enabled = { \"audit-log\" }\n%s\n", options);
    make_mods(a->w, config);
    assert_int_not_equal(svi_mods_start(a->w->mods), SV_OK);
    assert_has(&a->w->log, why);
    svi_mods_free(&a->w->mods);
}

static void files_that_are_refused(void **state)
{
    (void)state;
    audit *a = audit_new();
    assert_refused(a, "", "audit-log-refused option=audit_log_file reason=\"it is no path from / on\"");
    assert_refused(a, "audit_log_file = \"audit\"", "it is no path from / on");
    assert_refused(a, "audit_log_file = \"/nowhere/at/all\"", "reason=\"No such file or directory\"");
    audit_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_did_what),          cmocka_unit_test(without_messages),
        cmocka_unit_test(accounts),              cmocka_unit_test(moved_away),
        cmocka_unit_test(grown),                 cmocka_unit_test(full),
        cmocka_unit_test(full_at_the_end),
        cmocka_unit_test(an_end_loses_nothing),  cmocka_unit_test(a_reload_loses_nothing),
        cmocka_unit_test(files_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
