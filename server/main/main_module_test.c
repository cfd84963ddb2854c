/* Installing and removing modules: at whatever call on files it is killed, what is there can be loaded, as it was or as it should
 * be, and the same again finishes. Names of files are given only to what is on disk. */
#include "main/main_module.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/main_module_impl.h"
#include "mods/mods_impl.h"
#include "mods/mods_testing.h"

#define SCRIPT(summary) "sv.script{summary = \"" summary "\"}\n"
#define KILLED 9

/* --- calls on files of the code under test come here -------------------------------------------------- */

static pid_t armed;          /* the process that is killed ... */
static int kill_at, calls;   /* ... at this call */
static ino_t synced[256];
static size_t synced_count;
static int unsynced; /* files that got their name before they were on disk */

static void tick(void)
{
    if (armed == getpid() && ++calls == kill_at) _exit(KILLED);
}

static bool is_synced(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) return true;
    for (size_t i = 0; i < synced_count; i++)
        if (synced[i] == st.st_ino) return true;
    return false;
}

int fsync(int fd)
{
    struct stat st;
    tick();
    if (fstat(fd, &st) == 0 && synced_count < sizeof synced / sizeof *synced) synced[synced_count++] = st.st_ino;
    return 0; /* the disk is of no concern here, and slow */
}

int rename(const char *from, const char *to)
{
    tick();
    unsynced += !is_synced(from);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    tick();
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
}

int unlink(const char *path)
{
    tick();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int at, const char *path, int flags)
{
    tick();
    return (int)syscall(SYS_unlinkat, at, path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    tick();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* --- the world ---------------------------------------------------------------------------------------- */

typedef struct place {
    svi_acct acct;
    svi_arena *arena;
    char dir[64], home[80], program[TESTING_PATH + 8];
    svi_config *config;
    svi_settings settings;
} place;

static const char *path_of(const place *p, const char *name)
{
    return svi_arena_printf(p->arena, "%s/%s", p->dir, name).p;
}

static void put(const place *p, const char *name, const char *text)
{
    testing_write(path_of(p, name), text);
}

static void shell(const place *p, const char *command)
{
    const sv_str all = svi_arena_printf(p->arena, "cd %s && %s", p->dir, command);
    if (system(all.p) != 0) fail_msg("%s", all.p);
}

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    char build[TESTING_PATH];
    p->acct.name = "test";
    p->arena = svi_arena_new(&p->acct, 1024);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/stave-module-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->home, sizeof p->home, "%s/modules", p->dir);
    testing_build(build);
    (void)snprintf(p->program, sizeof p->program, "%s/stave", build);
    put(p, "stave.cfg.lua", "data_path = \"data\"\nuser = \"root\"\nmodules_enabled = { \"ping\", \"mine\" }\nVirtualHost \"localhost\"\n");
    assert_int_equal(svi_config_load(&p->acct, path_of(p, "stave.cfg.lua"), svi_problems_note, NULL, &p->config), SV_OK);
    assert_int_equal(svi_settings_read(p->config, svi_config_section(p->config, 0), &p->settings, svi_problems_note, NULL), SV_OK);
    shell(p, svi_arena_printf(p->arena, "mkdir one && cp %s/tests/mods/hello.so .", build).p);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    shell(p, "cd / && rm -r $OLDPWD");
    svi_config_free(&p->config);
    svi_arena_free(&p->arena);
    assert_int_equal(p->acct.live_bytes, 0);
    free(p);
    return 0;
}

static json_t *install(place *p, const char *what)
{
    const svi_module_job job = {.acct = &p->acct,
                                .config = p->config,
                                .settings = &p->settings,
                                .program = p->program,
                                .what = path_of(p, what),
                                .is_json = true,
                                .is_sure = true};
    return svi_module_install(&job);
}

static json_t *take_away(place *p, const char *name)
{
    const svi_module_job job = {.acct = &p->acct,
                                .config = p->config,
                                .settings = &p->settings,
                                .program = p->program,
                                .what = name,
                                .is_json = true,
                                .keeps_data = true};
    return svi_module_remove(&job);
}

static void assert_ok(json_t *take_answer)
{
    if (!json_is_true(json_object_get(take_answer, "ok"))) fail_msg("%s", json_string_value(json_object_get(take_answer, "error")));
    json_decref(take_answer);
}

/* What the loader finds: the module's summary in the arena; NULL if there is no such module. */
static const char *loaded(place *p, const char *name)
{
    const char *paths[] = {p->home};
    const svi_mods_config config = {.paths = paths, .path_count = 1};
    svi_mod_file *file = NULL;
    sv_err err = {.text = ""};
    const sv_status status = svi_mod_file_load(&p->acct, &config, sv_str_of(name), &file, &err);
    if (status != SV_OK && status != SV_ENOTFOUND) fail_msg("%s", err.text);
    const char *summary = status == SV_OK ? svi_arena_str(p->arena, sv_str_of(file->desc.summary)).p : NULL;
    svi_mod_file_unref(&file);
    return summary;
}

static bool is_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* --- killed ------------------------------------------------------------------------------------------- */

/* Runs it in a process that ends at call number `n`; false if it came to its end before. */
static bool killed_at(place *p, int n, json_t *(*what)(place *p, const char *arg), const char *arg)
{
    int state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        armed = getpid();
        kill_at = n;
        synced_count = 0;
        unsynced = 0;
        json_t *answer = what(p, arg);
        const char *error = json_string_value(json_object_get(answer, "error"));
        if (error != NULL || unsynced > 0) (void)fprintf(stderr, "%s, %d not synced\n", error != NULL ? error : "done", unsynced);
        _exit(error == NULL && unsynced == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFEXITED(state));
    assert_true(WEXITSTATUS(state) == 0 || WEXITSTATUS(state) == KILLED);
    return WEXITSTATUS(state) == KILLED;
}

/* What was installed (by `before`, a command of the shell on the new folder) is replaced; at each call it may be killed. */
static void replace_and_kill(place *p, const char *before, const char *old, const char *what, const char *name, const char *fresh)
{
    bool was_killed = true;
    int n = 0, ends_old = 0, ends_new = 0;
    for (n = 1; was_killed; n++) {
        assert_true(n < 300);
        shell(p, "rm -rf modules && mkdir modules");
        shell(p, before);
        was_killed = killed_at(p, n, install, what);
        const char *is = loaded(p, name);
        if (!is_text(is, old) && !is_text(is, fresh)) fail_msg("killed at call %d there is %s", n, is != NULL ? is : "none");
        ends_old += is_text(is, old);
        ends_new += is_text(is, fresh);
        assert_ok(install(p, what));
        assert_string_equal(loaded(p, name), fresh);
        shell(p, "test $(ls -A modules | wc -l) = 2 && test $(wc -l <modules/modules.lock) = 2"); /* itself and its record */
    }
    assert_true(n > 8 && ends_old > 2 && ends_new > 1);
}

static void a_new_one_is_there_or_not(void **state)
{
    place *p = *state;
    put(p, "one.lua", SCRIPT("Second"));
    replace_and_kill(p, "true", NULL, "one.lua", "one", "Second");
}

static void a_file_is_the_old_or_the_new(void **state)
{
    place *p = *state;
    put(p, "first.lua", SCRIPT("First"));
    put(p, "one.lua", SCRIPT("Second"));
    replace_and_kill(p,
                     "cp first.lua modules/one.lua && echo \"stave-modules 1\none lua $(sha256sum <first.lua | cut -d' ' -f1) 0.1 now first.lua\" "
                     ">modules/modules.lock",
                     "First", "one.lua", "one", "Second");
}

static void a_folder_is_the_old_or_the_new(void **state)
{
    place *p = *state;
    shell(p, "mkdir -p old one/sub && touch old/words.lua one/words.lua one/sub/x");
    put(p, "old/one.lua", "local w = require(\"words\")\n" SCRIPT("First"));
    put(p, "one/one.lua", "local w = require(\"words\")\n" SCRIPT("Second"));
    replace_and_kill(p,
                     "cp -r old modules/one && echo \"stave-modules 1\none folder $(cd old && sha256sum one.lua words.lua | sha256sum | "
                     "cut -d' ' -f1) 0.1 now old\" >modules/modules.lock",
                     "First", "one", "one", "Second");
}

/* Those that are there were put there by hand, without a record. */
static void a_form_is_the_old_or_the_new(void **state)
{
    place *p = *state;
    put(p, "hello.lua", SCRIPT("Second"));
    shell(p, "mkdir hello && cp hello.lua hello && sed -i s/Second/Third/ hello/hello.lua");
    replace_and_kill(p, "cp hello.so modules", "Tells of sessions", "hello", "hello", "Third");
    replace_and_kill(p, "cp -r hello modules", "Third", "hello.lua", "hello", "Second");
}

static void what_had_changed_stays_refused(void **state)
{
    place *p = *state;
    put(p, "one.lua", SCRIPT("Second"));
    bool was_killed = true;
    for (int n = 1; was_killed; n += 2) {
        const char *paths[] = {p->home};
        const svi_mods_config config = {.paths = paths, .path_count = 1};
        svi_mod_file *file = NULL;
        sv_err err = {.text = ""};
        shell(p, "rm -rf modules && mkdir modules");
        assert_ok(install(p, "one.lua"));
        shell(p, "echo 'sv.script{summary = \"Bad\"}' >modules/one.lua");
        was_killed = killed_at(p, n, install, "one.lua");
        if (svi_mod_file_load(&p->acct, &config, SV_STR("one"), &file, &err) == SV_OK) assert_string_equal(file->desc.summary, "Second");
        svi_mod_file_unref(&file);
    }
    assert_string_equal(loaded(p, "one"), "Second");
}

static void removed_is_there_or_not(void **state)
{
    place *p = *state;
    put(p, "two.lua", SCRIPT("Two"));
    put(p, "one/one.lua", SCRIPT("One"));
    static const char *const names[] = {"one", "two", "hello"}, *const files[] = {"one", "two.lua", "hello.so"},
                            *const summaries[] = {"One", "Two", "Tells of sessions"};
    for (size_t i = 0; i < 3; i++) {
        bool was_killed = true;
        int n;
        for (n = 1; was_killed; n++) {
            for (size_t k = 0; k < 3; k++) assert_ok(install(p, files[k]));
            was_killed = killed_at(p, n, take_away, names[i]);
            const char *is = loaded(p, names[i]);
            assert_true(is == NULL || strcmp(is, summaries[i]) == 0);
            json_t *again = take_away(p, names[i]);
            if (was_killed) /* unless nothing was left to do but its answer */
                assert_true(json_is_true(json_object_get(again, "ok")) || strstr(json_string_value(json_object_get(again, "error")), "is installed"));
            json_decref(again);
            assert_null(loaded(p, names[i]));
            shell(p, "test $(ls -A modules | wc -l) = 3 && test $(wc -l <modules/modules.lock) = 3");
        }
        assert_true(n > 4);
    }
}

/* --- refusals ----------------------------------------------------------------------------------------- */

static void assert_refused(json_t *take_answer, const char *part)
{
    const char *error = json_string_value(json_object_get(take_answer, "error"));
    assert_non_null(error);
    if (strstr(error, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", error, part);
    json_decref(take_answer);
}

static void what_may_not_be_loaded_is_not_there(void **state)
{
    place *p = *state;
    char build[TESTING_PATH];
    testing_build(build);
    shell(p, svi_arena_printf(p->arena, "cp %s/tests/mods/bad_call_fopen.so . && cp hello.so other.so", build).p);
    put(p, "bad.lua", "sv.on(");
    assert_refused(install(p, "bad_call_fopen.so"), "it calls fopen");
    assert_refused(install(p, "other.so"), "it calls itself \"hello\"");
    assert_refused(install(p, "bad.lua"), "bad.lua:1:");
    shell(p, "test ! -e modules");
    put(p, "bad.lua", SCRIPT("Good"));
    assert_ok(install(p, "bad.lua"));
    shell(p, "cp -r modules before");
    put(p, "bad.lua", "sv.on(");
    assert_refused(install(p, "bad.lua"), "is refused, nothing has changed");
    shell(p, "diff -r before modules");
}

static void what_is_enabled_is_not_removed(void **state)
{
    place *p = *state;
    put(p, "mine.lua", SCRIPT("Mine"));
    assert_ok(install(p, "mine.lua"));
    assert_refused(take_away(p, "mine"), "\"mine\" is enabled on localhost");
    assert_string_equal(loaded(p, "mine"), "Mine");
}

static void the_servers_own_is_not_hidden(void **state)
{
    place *p = *state;
    put(p, "roster.lua", SCRIPT("Mine"));
    assert_refused(install(p, "roster.lua"), "which this one would hide from the server");
    assert_refused(take_away(p, "roster"), "one of the server's own modules");
    shell(p, "test ! -e modules");
}

/* --- a server that answers as it is told --------------------------------------------------------------- */

static const char *answer_to(const place *p, const char *line, bool runs)
{
    if (strstr(line, "\"modules\"") != NULL)
        return runs ? "{\"ok\": true, \"modules\": [{\"name\": \"one\", \"host\": \"localhost\"}]}\n" : "{\"ok\": true, \"modules\": []}\n";
    if (strstr(line, "\"module data\"") != NULL && access(path_of(p, "deleted"), F_OK) != 0)
        return "{\"ok\": true, \"rows\": [{\"host\": \"localhost\", \"map\": \"notes\", \"owners\": 3, \"rows\": 7, \"bytes\": 9, "
               "\"counted\": \"all\"}]}\n";
    if (strstr(line, "\"module data\"") != NULL) return "{\"ok\": true, \"rows\": []}\n";
    if (strstr(line, "\"module-data-delete\"") == NULL) return "{\"ok\": false, \"error\": \"what?\"}\n";
    const bool is_last = access(path_of(p, "half"), F_OK) == 0;
    put(p, is_last ? "deleted" : "half", "");
    return is_last ? "{\"ok\": true, \"owners\": 1, \"rows\": 2, \"is-more\": false}\n"
                   : "{\"ok\": true, \"owners\": 2, \"rows\": 5, \"is-more\": true}\n";
}

static void serve(const place *p, int listener, bool runs)
{
    for (;;) {
        char line[4096];
        const int fd = accept(listener, NULL, NULL);
        const ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
        if (n < 0) _exit(1);
        line[n] = '\0';
        const char *answer = answer_to(p, line, runs);
        if (write(fd, answer, strlen(answer)) < 0) _exit(1);
        close(fd);
    }
}

/* A process at the control socket; ends with the test. */
static pid_t serving(const place *p, bool runs)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal((syscall(SYS_mkdirat, AT_FDCWD, path_of(p, "data"), 0700) == 0 || errno == EEXIST) ? 0 : 1, 0);
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/data/control", p->dir);
    assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGKILL), 0); /* whatever becomes of the test */
        serve(p, listener, runs);
    }
    close(listener);
    return child;
}

static void stop(const place *p, pid_t server)
{
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_int_equal(waitpid(server, NULL, 0), server);
    shell(p, "rm data/control");
}

static json_t *remove_one(place *p, bool keeps, bool deletes)
{
    const svi_module_job job = {.acct = &p->acct,
                                .config = p->config,
                                .settings = &p->settings,
                                .program = p->program,
                                .what = "one",
                                .is_json = true,
                                .keeps_data = keeps,
                                .deletes_data = deletes};
    return svi_module_remove(&job);
}

static void data_are_kept_unless_they_shall_go(void **state)
{
    place *p = *state;
    put(p, "one.lua", SCRIPT("One"));
    assert_ok(install(p, "one.lua"));
    pid_t server = serving(p, true);
    assert_refused(remove_one(p, false, true), "\"one\" still runs on localhost");
    stop(p, server);
    shell(p, "test ! -e half && test ! -e deleted");
    server = serving(p, false);
    assert_refused(remove_one(p, false, false), "has stored 7 rows of 3 owners (stave module data one), nothing was removed: say --keep-data or --delete-data");
    assert_refused(remove_one(p, true, true), "not both");
    assert_string_equal(loaded(p, "one"), "One");
    assert_ok(remove_one(p, true, false));
    assert_null(loaded(p, "one"));
    assert_refused(remove_one(p, false, false), "no module \"one\" is installed, but 7 rows of one are stored");
    shell(p, "test ! -e half && test ! -e deleted");
    assert_ok(install(p, "one.lua"));
    json_t *answer = remove_one(p, false, true);
    assert_int_equal(json_integer_value(json_object_get(answer, "deleted-owners")), 3);
    assert_int_equal(json_integer_value(json_object_get(answer, "deleted-rows")), 7);
    assert_ok(answer);
    shell(p, "test -e deleted");
    assert_refused(remove_one(p, false, true), "no module \"one\" is installed");
    stop(p, server);
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static void places(void **state)
{
    place *p = *state;
    svi_record_kind kind;
    char path[SVI_MODULE_PATH];
    svi_module_paths paths;
    svi_module_paths_get(p->arena, &p->settings, p->program, &paths);
    assert_int_equal(paths.own, 1);
    assert_int_equal(paths.count, 3);
    assert_string_equal(paths.items[0], p->home);
    assert_true(svi_module_is_own(&paths, 0));
    assert_false(svi_module_is_own(&paths, 1));
    put(p, "one/one.lua", "x");
    assert_true(svi_module_find(p->dir, SV_STR("one"), &kind, path));
    assert_int_equal(kind, SVI_RECORD_FOLDER);
    assert_string_equal(path, path_of(p, "one"));
    put(p, "one.lua", "x");
    assert_true(svi_module_find(p->dir, SV_STR("one"), &kind, path));
    assert_int_equal(kind, SVI_RECORD_LUA);
    assert_false(svi_module_find(p->dir, SV_STR("stave"), &kind, path));
    /* the server's own by another name */
    shell(p, svi_arena_printf(p->arena, "ln -s $(dirname %s)/modules modules", p->program).p);
    assert_false(svi_module_is_own(&paths, 0));
    shell(p, "rm modules");
}

static void trees(void **state)
{
    const place *p = *state;
    shell(p, "mkdir -p a/b/c && touch a/x a/b/c/y keep && ln -s ../keep a/link && ln -s . a/b/here");
    const int at = open(p->dir, O_RDONLY | O_DIRECTORY);
    assert_true(svi_module_delete_tree(at, "a"));
    assert_true(svi_module_delete_tree(at, "nothing"));
    shell(p, "test ! -e a && test -e keep");
    close(at);
}

static json_t *enabled(place *p, const char *text, const char *name)
{
    svi_config *config;
    put(p, "other.cfg.lua", text);
    assert_int_equal(svi_config_load(&p->acct, path_of(p, "other.cfg.lua"), svi_problems_note, NULL, &config), SV_OK);
    json_t *list = svi_module_enabled_on(config, sv_str_of(name));
    svi_config_free(&config);
    return list;
}

static void where_it_is_enabled(void **state)
{
    place *p = *state;
    static const char text[] = "store_engine = \"keeps\"\nmodules_enabled = { \"a\", \"b\" }\nVirtualHost \"one.example\"\n"
                               "VirtualHost \"two.example\"\n  modules_enabled = { \"b\", \"c\" }\n";
    static const char *const wanted[][2] = {
        {"a", "one.example"}, {"b", "one.example, two.example"}, {"c", "two.example"}, {"keeps", "store_engine"}, {"d", ""}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        json_t *list = enabled(p, text, wanted[i][0]);
        assert_string_equal(svi_module_words(p->arena, list), wanted[i][1]);
        json_decref(list);
    }
}

/* Root's module is looked at as the server's user, and by nobody if that can't be. */
static void code_of_a_module_never_runs_as_root_instead(void **state)
{
    place *p = *state;
    static const char *const users[] = {"no-such-user", ""};
    if (geteuid() != 0) skip();
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        p->settings.user = sv_str_of(users[i]);
        json_t *answer = install(p, "hello.so");
        const char *error = json_string_value(json_object_get(answer, "error"));
        assert_non_null(error);
        assert_non_null(strstr(error, "option user"));
        json_decref(answer);
        assert_null(loaded(p, "hello"));
    }
    p->settings.user = SV_STR("nobody");
    shell(p, "chmod 755 .");
    assert_ok(install(p, "hello.so"));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(code_of_a_module_never_runs_as_root_instead),
        EACH(a_new_one_is_there_or_not),
        EACH(a_file_is_the_old_or_the_new),
        EACH(a_folder_is_the_old_or_the_new),
        EACH(a_form_is_the_old_or_the_new),
        EACH(what_had_changed_stays_refused),
        EACH(removed_is_there_or_not),
        EACH(what_may_not_be_loaded_is_not_there),
        EACH(what_is_enabled_is_not_removed),
        EACH(the_servers_own_is_not_hidden),
        EACH(data_are_kept_unless_they_shall_go),
        EACH(places),
        EACH(trees),
        EACH(where_it_is_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
