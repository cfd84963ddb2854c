/* The example of a store engine, examples/c/sqlite-store: the contract of all engines, what a kill leaves, and files that are none
 * or somebody else's. */
#include "store/store_contract_test.h"
/* after cmocka */
#include "store/store_folder_test.h"

#include "mods/mods_engine.h"
#include "mods/mods_testing.h"

#define FAR "/nowhere/at/all"

typedef struct fixture {
    svi_acct acct;
    uv_loop_t loop;
    svi_engines *engines;
    folder dir;
    svi_config *config;
    char mods_path[TESTING_PATH];
    const char *paths[1];
    bool is_over; /* the test has come to its end: nothing is open */
} fixture;

static void report(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx;
    fail_msg("%s:%d: %s", file, line, text);
}

/* The engine keeps everything in `file`. */
static void configure(fixture *f, const char *file)
{
    char path[250];
    PATH_PRINT(path, "%s/stave.cfg.lua", f->dir.path);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    fprintf(to, "sqlite_store_file = \"%s\"\n", file);
    fclose(to);
    svi_config_free(&f->config);
    assert_int_equal(svi_config_load(&f->acct, path, report, f, &f->config), SV_OK);
}

static const char *file_in(const folder *dir)
{
    static char path[250];
    PATH_PRINT(path, "%s/store.sqlite", dir->path);
    return path;
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->acct.name = "test";
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->engines = svi_engines_new(&(svi_engines_config){.acct = &f->acct, .plat = svi_plat_kernel(), .loop = &f->loop});
    f->dir = folder_make();
    testing_path("examples", f->mods_path);
    f->paths[0] = f->mods_path;
    configure(f, file_in(&f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    if (!f->is_over) return 0; /* an engine that is open would be waited for */
    svi_engines_settle(f->engines);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(svi_engines_free(&f->engines));
    assert_int_equal(uv_loop_close(&f->loop), 0);
    svi_config_free(&f->config);
    assert_int_equal(atomic_load(&f->acct.live_count), 0);
    folder_remove(&f->dir);
    free(f);
    return 0;
}

static void is_over(void **state)
{
    ((fixture *)*state)->is_over = true;
}

static svi_engine *engine_open(fixture *f)
{
    const svi_mods_config config = {.config = f->config,
                                    .engines = f->engines,
                                    .paths = f->paths,
                                    .path_count = 1,
                                    .report = report,
                                    .report_ctx = f};
    svi_store_module module;
    sv_err err = {.text = ""};
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* what the one before had is given back */
    if (svi_store_module_open(&f->acct, &config, SV_STR("sqlite-store"), false, &module, &err) != SV_OK) fail_msg("%s", err.text);
    svi_engine *engine = module.engine;
    svi_store_module_free(&module); /* the engine has a reference, too */
    return engine;
}

static void on_failed(void *ctx, const sv_err *err)
{
    (void)ctx;
    fail_msg("%s", err->text);
}

static sv_status store_open(fixture *f, svi_store **store_out, sv_err *err)
{
    const svi_store_config config = {.engine = engine_open(f), .acct = &f->acct, .failed = on_failed};
    *err = (sv_err){.text = ""};
    return svi_store_open(&config, store_out, err);
}

static svi_store *store_of(fixture *f)
{
    svi_store *store = NULL;
    sv_err err;
    if (store_open(f, &store, &err) != SV_OK) fail_msg("%s", err.text);
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

static void settle(svi_store *store)
{
    while (svi_store_committed(store) < svi_store_submitted(store)) {
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

static answer get(svi_store *store, const char *owner)
{
    answer a = {.count = 0};
    svi_store_get(map_of(store), sv_str_of(owner), SV_STR("k"), on_value, &a);
    while (a.count == 0) (void)svi_store_poll(store);
    return a;
}

/* --- the contract --------------------------------------------------------------------------------------- */

static svi_engine *make_next(model *m, void *ctx)
{
    (void)m;
    return engine_open(ctx);
}

static void contract(void **state)
{
    for (uint64_t seed = 51; seed <= 53; seed++) {
        contract_random(seed, make_next, *state, 4, 400);
        is_over(state);
        teardown(state);
        setup(state);
    }
    is_over(state);
}

/* All rows once, in pieces, in the same order each time. */
static void ranges(void **state)
{
    fixture *f = *state;
    svi_store *store = store_of(f);
    char owner[16];
    for (int i = 0; i < 50; i++) {
        snprintf(owner, sizeof owner, "o%02d", i);
        put(store, map_of(store), owner, "a value");
    }
    svi_store_close(&store); /* folds */
    store = store_of(f);
    svi_job job = {.kind = SVI_JOB_RANGE, .key = {.map = map_of(store)->number}, .max_bytes = 100};
    char place[8192];
    int seen = 0, rounds = 0;
    do {
        job.arena = svi_arena_new(&f->acct, 0);
        store->engine->ops->range(store->engine, &job);
        assert_int_equal(job.status, SV_OK);
        for (size_t i = 0; i < job.row_count; i++) {
            snprintf(owner, sizeof owner, "o%02d", seen++);
            assert_true(sv_str_eq(job.rows[i].key.owner, sv_str_of(owner)));
        }
        assert_true(job.from.n <= sizeof place);
        if (job.more) memcpy(place, job.from.p, job.from.n);
        job.from.p = place;
        svi_arena_free(&job.arena);
        rounds++;
    } while (job.more);
    assert_int_equal(seen, 50);
    assert_in_range(rounds, 5, 50);
    svi_store_close(&store);
    is_over(state);
}

/* --- what a kill leaves --------------------------------------------------------------------------------- */

/* Goes on in a copy of the folder: as after a kill, nobody has closed its files. */
static svi_store *after_a_kill(fixture *f, folder *copy, bool is_cut)
{
    *copy = folder_make();
    folder_copy(f->dir.path, copy->path);
    configure(f, file_in(copy));
    char log[300];
    PATH_PRINT(log, "%s-wal", file_in(copy));
    struct stat st;
    assert_int_equal(stat(log, &st), 0);
    if (is_cut) assert_int_equal(truncate(log, st.st_size - 100), 0);
    return store_of(f);
}

static void what_was_committed_is_there(void **state)
{
    fixture *f = *state;
    folder copy;
    svi_store *store = store_of(f);
    svi_map *map = map_of(store);
    put(store, map, "romeo", "one");
    settle(store);
    put(store, map, "juliet", "two");
    settle(store);
    svi_store *next = after_a_kill(f, &copy, false);
    assert_string_equal(get(next, "romeo").value, "one");
    assert_string_equal(get(next, "juliet").value, "two");
    svi_store_close(&next);
    folder_remove(&copy);

    /* the last write did not reach the disk as a whole: it is none, and the one before is there */
    next = after_a_kill(f, &copy, true);
    assert_string_equal(get(next, "romeo").value, "one");
    assert_int_equal(get(next, "juliet").status, SV_ENOTFOUND);
    put(next, map_of(next), "juliet", "three");
    svi_store_close(&next);
    next = store_of(f);
    assert_string_equal(get(next, "juliet").value, "three");
    svi_store_close(&next);
    folder_remove(&copy);
    svi_store_close(&store);
    is_over(state);
}

/* --- other files ---------------------------------------------------------------------------------------- */

static void assert_refused(fixture *f, sv_status status, const char *why)
{
    svi_store *store = NULL;
    sv_err err;
    assert_int_equal(store_open(f, &store, &err), status);
    if (!strstr(err.text, why)) fail_msg("\"%s\" does not hold \"%s\"", err.text, why);
}

static void files_that_are_refused(void **state)
{
    fixture *f = *state;
    svi_store *store = store_of(f);
    assert_refused(f, SV_EBUSY, "database is locked (sqlite_store_file");
    svi_store_close(&store);

    configure(f, "store.sqlite");
    assert_refused(f, SV_EINVAL, "sqlite_store_file must be a path from / on");
    configure(f, "");
    assert_refused(f, SV_EINVAL, "sqlite_store_file must be a path from / on");
    configure(f, FAR);
    assert_refused(f, SV_EIO, "unable to open database file (sqlite_store_file = \"" FAR);

    char other[250];
    PATH_PRINT(other, "%s/other", f->dir.path);
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++) fprintf(file, "not a data base\n");
    fclose(file);
    configure(f, other);
    assert_refused(f, SV_EIO, "file is not a database");

    struct stat st;
    assert_int_equal(stat(file_in(&f->dir), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    is_over(state);
}

static void tells_its_space(void **state)
{
    uint64_t unused, journal, rows;
    svi_store *store = store_of(*state);
    put(store, map_of(store), "romeo", "one");
    settle(store);
    store->engine->ops->space(store->engine, &unused, &journal, &rows);
    assert_true(unused > 0 && unused < UINT64_MAX);
    assert_true(rows > 0);
    svi_store_close(&store);
    is_over(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(contract, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_committed_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_its_space, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
