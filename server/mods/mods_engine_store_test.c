/* A store engine that is a module: the contract of all engines on one that keeps everything in another process, that process
 * gone, late and back, and what an engine may not say. */
#include "store/store_contract_test.h"
/* after cmocka */
#include "store/store_folder_test.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/base_log.h"
#include "mods/mods_engine.h"
#include "mods/mods_testing.h"

typedef struct fixture {
    svi_acct acct;
    uv_loop_t loop;
    svi_engines *engines;
    folder dir;
    svi_config *config;
    svi_buf reports;
    char mods_path[TESTING_PATH], gate[250], socket[250];
    const char *paths[1];
    pid_t base; /* the data base; 0: it does not run */
    FILE *told; /* by it */
    bool kills; /* it is killed between the lives of a store */
} fixture;

static void report(void *ctx, const char *file, int line, const char *text)
{
    (void)file;
    svi_buf_printf(&((fixture *)ctx)->reports, "%d: %s\n", line, text);
}

/* --- the data base -------------------------------------------------------------------------------------- */

static void base_start(fixture *f)
{
    char script[TESTING_PATH + 64], data[250], line[16];
    int ends[2];
    testing_path("../../tests/mods/sock_server.py", script);
    PATH_PRINT(data, "%s/data", f->dir.path);
    assert_int_equal(pipe(ends), 0);
    f->base = fork();
    assert_true(f->base >= 0);
    if (f->base == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        execlp("python3", "python3", script, f->socket, data, f->gate, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    f->told = fdopen(ends[0], "r");
    assert_non_null(f->told);
    assert_non_null(fgets(line, sizeof line, f->told));
    assert_string_equal(line, "ready\n");
}

static void base_kill(fixture *f)
{
    if (f->base == 0) return;
    kill(f->base, SIGKILL);
    assert_int_equal(waitpid(f->base, NULL, 0), f->base);
    f->base = 0;
    fclose(f->told);
}

static void gate_shut(const fixture *f)
{
    FILE *file = fopen(f->gate, "w");
    assert_non_null(file);
    fclose(file);
}

/* --- the server's side ---------------------------------------------------------------------------------- */

static void configure(fixture *f, const char *more)
{
    char path[250];
    PATH_PRINT(path, "%s/stave.cfg.lua", f->dir.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "sock_path = \"%s\"\n%s\n", f->socket, more);
    fclose(file);
    svi_config_free(&f->config);
    assert_int_equal(svi_config_load(&f->acct, path, report, f, &f->config), SV_OK);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->acct.name = "test";
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->engines = svi_engines_new(
        &(svi_engines_config){.acct = &f->acct, .plat = svi_plat_kernel(), .loop = &f->loop});
    f->dir = folder_make();
    svi_buf_init(&f->reports, &f->acct);
    testing_path("tests/mods", f->mods_path);
    f->paths[0] = f->mods_path;
    PATH_PRINT(f->gate, "%s/gate", f->dir.path);
    PATH_PRINT(f->socket, "%s/socket", f->dir.path);
    configure(f, "");
    base_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    base_kill(f);
    svi_engines_settle(f->engines);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(svi_engines_free(&f->engines));
    assert_int_equal(uv_loop_close(&f->loop), 0);
    svi_config_free(&f->config);
    svi_buf_free(&f->reports);
    assert_int_equal(atomic_load(&f->acct.live_count), 0);
    folder_remove(&f->dir);
    free(f);
    return 0;
}

static sv_status module_open(fixture *f, const char *name, bool is_check, svi_engine **engine_out,
                             sv_err *err)
{
    const svi_mods_config config = {.config = f->config,
                                    .engines = f->engines,
                                    .paths = f->paths,
                                    .path_count = 1,
                                    .report = report,
                                    .report_ctx = f};
    svi_store_module module;
    err->text[0] = '\0';
    const sv_status status = svi_store_module_open(&f->acct, &config, sv_str_of(name), is_check, &module, err);
    *engine_out = module.engine;
    svi_store_module_free(&module); /* the engine has a reference, too */
    return status;
}

static svi_engine *engine_open(fixture *f, const char *name)
{
    sv_err err;
    svi_engine *engine;
    if (module_open(f, name, false, &engine, &err) != SV_OK) fail_msg("%s", err.text);
    return engine;
}

/* What the store says when it fails. */
typedef struct verdict {
    sv_err err;
    int count;
} verdict;

static void on_failed(void *ctx, const sv_err *err)
{
    verdict *v = ctx;
    v->err = *err;
    v->count++;
}

static sv_status store_open(fixture *f, svi_engine *engine, verdict *v, svi_store **store_out, sv_err *err)
{
    const svi_store_config config = {
        .engine = engine, .acct = &f->acct, .failed = on_failed, .ctx = v};
    err->text[0] = '\0';
    return svi_store_open(&config, store_out, err);
}

static svi_store *store_on(fixture *f, const char *name, verdict *v)
{
    svi_store *store = NULL;
    sv_err err;
    if (store_open(f, engine_open(f, name), v, &store, &err) != SV_OK) fail_msg("%s", err.text);
    return store;
}

static svi_map *map_of(svi_store *store)
{
    svi_map *map;
    sv_err err;
    assert_int_equal(svi_store_map(store, SV_STR("h/m/rows"), 1, &map, &err), SV_OK);
    return map;
}

static void put(svi_store *store, svi_map *map, const char *owner, const char *value)
{
    svi_unit *unit = svi_unit_new(store);
    assert_int_equal(svi_unit_put(unit, map, sv_str_of(owner), SV_STR("k"), sv_str_of(value)), SV_OK);
    (void)svi_unit_submit(&unit);
}

/* Until all is committed, or failed. */
static void settle(svi_store *store, const verdict *v)
{
    while (v->count == 0 && svi_store_committed(store) < svi_store_submitted(store)) {
        (void)svi_store_poll(store);
        sched_yield();
    }
}

typedef struct answer {
    int count;
    sv_status status;
    char value[64];
} answer;

static void on_value(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    (void)schema;
    answer *a = ctx;
    a->count++;
    a->status = status;
    snprintf(a->value, sizeof a->value, "%.*s", (int)value.n, value.p ? value.p : "");
}

static answer get(svi_store *store, svi_map *map, const char *owner)
{
    answer a = {.count = 0};
    svi_store_get(map, sv_str_of(owner), SV_STR("k"), on_value, &a);
    while (a.count == 0) (void)svi_store_poll(store);
    return a;
}

/* --- the contract --------------------------------------------------------------------------------------- */

static svi_engine *make_next(model *m, void *ctx)
{
    fixture *f = ctx;
    (void)m;
    if (f->kills) {
        base_kill(f);
        base_start(f);
    }
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* what the one before had is given back */
    return engine_open(f, "sock");
}

static void contract(void **state)
{
    for (uint64_t seed = 41; seed <= 42; seed++) {
        fixture *f = *state;
        contract_random(seed, make_next, f, 3, 400);
        teardown(state);
        setup(state);
    }
}

static void contract_with_kills(void **state)
{
    fixture *f = *state;
    f->kills = true;
    contract_random(43, make_next, f, 5, 250);
}

/* All rows once, in pieces, and again from another process's answer. */
static void ranges(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    svi_store *store = store_on(f, "sock", &v);
    svi_map *map = map_of(store);
    char owner[16];
    for (int i = 0; i < 50; i++) {
        snprintf(owner, sizeof owner, "o%02d", i);
        put(store, map, owner, "a value");
    }
    svi_store_close(&store); /* folds */
    store = store_on(f, "sock", &v);
    map = map_of(store);
    svi_engine *engine = store->engine;
    svi_job job = {.kind = SVI_JOB_RANGE, .key = {.map = map->number}, .max_bytes = 100};
    int seen = 0, rounds = 0;
    do {
        job.arena = svi_arena_new(&f->acct, 0);
        engine->ops->range(engine, &job);
        assert_int_equal(job.status, SV_OK);
        for (size_t i = 0; i < job.row_count; i++) {
            snprintf(owner, sizeof owner, "o%02d", seen++);
            assert_true(sv_str_eq(job.rows[i].key.owner, sv_str_of(owner)));
            assert_non_null(memmem(job.rows[i].value.p, job.rows[i].value.n, "a value", 7)); /* with its version */
        }
        static char place[256];
        assert_true(!job.more || job.from.n <= sizeof place);
        if (job.more) memcpy(place, job.from.p, job.from.n);
        job.from.p = place;
        svi_arena_free(&job.arena);
        rounds++;
    } while (job.more);
    assert_int_equal(seen, 50);
    assert_in_range(rounds, 5, 50);
    svi_store_close(&store);
}

/* --- a data base that is late, gone, back --------------------------------------------------------------- */

/* A commit counts when the data base has said so, and not before. */
static void a_commit_waits_for_its_answer(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    char line[16];
    svi_store *store = store_on(f, "sock", &v);
    svi_map *map = map_of(store);
    settle(store, &v);
    gate_shut(f);
    put(store, map, "romeo", "1");
    assert_non_null(fgets(line, sizeof line, f->told));
    assert_string_equal(line, "held\n");
    for (int i = 0; i < 100; i++) (void)svi_store_poll(store);
    assert_int_equal(svi_store_committed(store), svi_store_submitted(store) - 1);
    assert_int_equal(remove(f->gate), 0);
    settle(store, &v);
    assert_int_equal(v.count, 0);
    svi_store_close(&store);
}

static void no_answer_in_time(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    configure(f, "sock_timeout = \"100ms\"");
    svi_store *store = store_on(f, "sock", &v);
    svi_map *map = map_of(store);
    settle(store, &v);
    gate_shut(f);
    put(store, map, "romeo", "1");
    settle(store, &v);
    assert_int_equal(v.count, 1);
    assert_int_equal(v.err.code, SV_EIO);
    assert_string_equal(v.err.text, "store engine \"sock\": the answer: no answer in time");
    svi_store_drop(&store);
    assert_int_equal(remove(f->gate), 0);
}

static void gone_and_back(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    svi_store *store = store_on(f, "sock", &v);
    svi_map *map = map_of(store);
    put(store, map, "romeo", "kept");
    settle(store, &v);
    assert_int_equal(v.count, 0);
    base_kill(f);
    /* a read fails for who asked; nothing is lost by that */
    assert_int_equal(get(store, map, "juliet").status, SV_EIO);
    assert_int_equal(v.count, 0);
    assert_int_equal(svi_store_admit(store), SV_OK);
    base_start(f);
    assert_int_equal(get(store, map, "juliet").status, SV_ENOTFOUND);
    base_kill(f);
    put(store, map, "romeo", "lost");
    settle(store, &v);
    assert_int_equal(v.count, 1);
    assert_non_null(strstr(v.err.text, "store engine \"sock\": "));
    assert_int_equal(svi_store_admit(store), SV_ENOSPC);
    svi_store_drop(&store);

    sv_err err;
    assert_int_equal(store_open(f, engine_open(f, "sock"), &v, &store, &err), SV_EIO);
    assert_string_equal(err.text, "store engine \"sock\": connecting: Connection refused (sock_path)");
    base_start(f);
    v.count = 0;
    store = store_on(f, "sock", &v);
    assert_string_equal(get(store, map_of(store), "romeo").value, "kept");
    svi_store_close(&store);
}

/* As a worker has it: TERM is blocked, and comes while the start waits. */
static void stopped_while_it_waits(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    svi_store *store = NULL;
    sv_err err;
    sigset_t term, before;
    const struct timespec at_once = {.tv_sec = 0};
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &term, &before);
    base_kill(f);
    configure(f, "sock_wait = \"2s\"");
    svi_engine *engine = engine_open(f, "sock");
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(store_open(f, engine, &v, &store, &err), SV_ECANCELED);
    assert_int_equal(sigtimedwait(&term, NULL, &at_once), SIGTERM);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void another_server_has_it(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    svi_store *store = store_on(f, "sock", &v), *other = NULL;
    sv_err err;
    assert_int_equal(store_open(f, engine_open(f, "sock"), &v, &other, &err), SV_EBUSY);
    assert_string_equal(err.text,
                        "store engine \"sock\": the data base says: another server has it (sock_path)");
    svi_store_close(&store);
}

/* --- modules that keep no store ------------------------------------------------------------------------- */

static void assert_no_engine(fixture *f, const char *name, sv_status status, const char *why)
{
    svi_engine *engine;
    sv_err err;
    assert_int_equal(module_open(f, name, false, &engine, &err), status);
    assert_null(engine);
    if (strstr(err.text, why) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void other_modules(void **state)
{
    fixture *f = *state;
    assert_no_engine(f, "soc", SV_ENOTFOUND, "did you mean \"sock\"?");
    assert_no_engine(f, "hello", SV_EINVAL, "is no store engine (it is not declared with SV_ENGINE)");
    assert_no_engine(f, "engine", SV_EINVAL, "is no store engine (its start registers none)");
    assert_no_engine(f, "directory", SV_EDENIED, "store engine \"directory\" does not start: denied");
    configure(f, "sock_timeout = \"1h\"");
    assert_no_engine(f, "sock", SV_EINVAL, "");
    if (f->reports.len == 0 || memmem(f->reports.data, f->reports.len, "2: 'sock_timeout' must be", 24) == NULL)
        fail_msg("%.*s", (int)f->reports.len, f->reports.data);
    /* a check neither starts nor connects */
    svi_engine *engine;
    sv_err err;
    base_kill(f);
    configure(f, "");
    assert_int_equal(module_open(f, "sock", true, &engine, &err), SV_OK);
    assert_null(engine);
}

/* --- what an engine may not say ------------------------------------------------------------------------- */

static void done_now(svi_job *job)
{
    *(bool *)job->owner = true;
}

static void assert_fault(fixture *f, const char *what, svi_job job, const char *why)
{
    char line[64];
    bool is_done = false;
    snprintf(line, sizeof line, "bad_store_do = \"%s\"", what);
    configure(f, line);
    svi_engine *engine = engine_open(f, "bad_store");
    job.arena = svi_arena_new(&f->acct, 0);
    job.owner = &is_done;
    job.done = done_now;
    if (job.kind == SVI_JOB_RANGE)
        engine->ops->range(engine, &job);
    else
        engine->ops->start(engine, &job);
    assert_true(is_done == (job.kind != SVI_JOB_RANGE));
    if (why == NULL) {
        assert_int_equal(job.status, SV_OK);
    } else {
        assert_int_equal(job.status, SV_EIO);
        assert_string_equal(job.err.text, why);
        assert_int_equal(job.row_count, 0);
        assert_false(job.more);
    }
    svi_arena_free(&job.arena);
    engine->ops->close(engine);
}

#define BAD "store engine \"bad_store\": "

static void answers_without_sense(void **state)
{
    fixture *f = *state;
    const svi_job get_one = {.kind = SVI_JOB_GET, .key = {.map = 1, .owner = SV_STR("o"), .key = SV_STR("k")}};
    const svi_job list = {.kind = SVI_JOB_OWNERS, .key = {.map = 1}, .max = 1};
    const svi_job list_two = {.kind = SVI_JOB_OWNERS, .key = {.map = 1}, .max = 2};
    const svi_job first = {.kind = SVI_JOB_RANGE, .key = {.map = 1}, .max_bytes = 10};
    const svi_job later = {.kind = SVI_JOB_RANGE, .key = {.map = 1}, .from = SV_STR("x"), .max_bytes = 10};
    const svi_job commit = {.kind = SVI_JOB_COMMIT, .first = 1, .last = 1};
    assert_fault(f, "nothing", get_one, NULL);
    assert_fault(f, "two-rows", get_one, BAD "it gave several rows of one key");
    assert_fault(f, "too-many", list, BAD "it gave more owners than asked for");
    assert_fault(f, "two-rows", list_two, NULL);
    assert_fault(f, "order", list_two, BAD "it gave owners out of order");
    assert_fault(f, "no-place", first, BAD "it gave no place where the rows go on");
    assert_fault(f, "same-place", later, BAD "it gave no place where the rows go on");
    assert_fault(f, "fails", commit, BAD "it burns");
}

static void starts_without_sense(void **state)
{
    fixture *f = *state;
    verdict v = {.count = 0};
    svi_store *store = NULL;
    sv_err err;
    configure(f, "bad_store_do = \"gap\"");
    assert_int_equal(store_open(f, engine_open(f, "bad_store"), &v, &store, &err), SV_EIO);
    assert_string_equal(err.text, BAD "a record that it gave makes no sense, or one is missing");
    configure(f, "bad_store_do = \"no-text\"");
    assert_int_equal(store_open(f, engine_open(f, "bad_store"), &v, &store, &err), SV_EIO);
    assert_string_equal(err.text, BAD "io-error");
    /* one that has no space lets nothing new in */
    configure(f, "");
    store = store_on(f, "bad_store", &v);
    assert_int_equal(svi_store_admit(store), SV_ENOSPC);
    svi_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(contract, setup, teardown),
        cmocka_unit_test_setup_teardown(contract_with_kills, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_waits_for_its_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(no_answer_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(gone_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_while_it_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(another_server_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(other_modules, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_without_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(starts_without_sense, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
