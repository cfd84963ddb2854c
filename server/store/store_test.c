/* The common layer on the simulated engine: read your writes in every state of a unit, late and failing commits, kills,
 * limits, maps, admission. */
#include "store/store_model_test.h"

static void step_some(model *m)
{
    svi_engine_sim_step(m->store->engine, 1 + rnd(m, 3));
}

static void random_turn(model *m, svi_sim_plan *plan)
{
    const uint64_t dice = rnd(m, 100);
    if (dice < 30)
        do_unit(m);
    else if (dice < 43)
        do_read(m, false);
    else if (dice < 50)
        do_cut(m, false);
    else if (dice < 53)
        do_owners(m);
    else if (dice < 60)
        do_peek(m);
    else if (dice < 75)
        step_some(m);
    else if (dice < 90)
        svi_store_poll(m->store);
    else if (dice < 93)
        drop_held(m, (int)rnd(m, HELD));
    else if (dice < 95)
        svi_store_hurry(m->store);
    else if (dice < 97)
        plan->hold = !plan->hold;
    else if (dice < 98)
        svi_plat_virtual_advance(&m->clock, 700000);
    else
        check_held(m);
}

static void late(const model *m, svi_sim_plan *plan, int64_t most_us)
{
    plan->plat = &m->clock.plat;
    plan->late_max_us = most_us;
}

/* With `late_us` jobs come as late as that, and time passes. */
static void random_run(uint64_t seed, int64_t gather_us, int64_t late_us,
                       svi_engine *(*make)(svi_acct *acct, svi_sim_disk *disk))
{
    model m;
    model_init(&m, seed);
    svi_sim_disk *disk = svi_sim_disk_new(&m.acct);
    uint64_t folds = 0;
    for (int life = 0; life < 4; life++) {
        svi_engine *engine = make(&m.acct, disk);
        model_open(&m, engine, gather_us);
        svi_sim_plan *plan = svi_engine_sim_plan(engine);
        check_all(&m, step_some);
        late(&m, plan, late_us);
        for (int i = 0; i < 1500; i++) {
            random_turn(&m, plan);
            if (late_us > 0) svi_plat_virtual_advance(&m.clock, (int64_t)rnd(&m, 50000));
        }
        check_held(&m);
        svi_store_stats stats;
        svi_store_stats_get(m.store, &stats);
        folds += stats.folds;
        plan->dead = life % 2 == 1; /* a kill, or an orderly end */
        if (plan->dead) {
            svi_store_drop(&m.store);
        } else {
            const uint64_t submitted = svi_store_submitted(m.store);
            svi_store_close(&m.store);
            assert_int_equal(m.seen_committed, submitted);
        }
        assert_int_equal(m.open_reads, 0);
        drop_all_held(&m); /* rows outlive their store */
    }
    assert_true(folds > 10);
    assert_true(m.answers > 500);
    assert_true(m.owner_lists > 3);
    assert_true(m.cuts > 50 && m.counts > 3);
    assert_int_equal(m.failures, 0);
    svi_sim_disk_free(&disk);
    model_free(&m);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        print_message("seed %d\n", (int)seed);
        random_run(seed, seed % 3 == 0 ? 500 : 0, 0, svi_engine_sim);
    }
}

/* Reads overtake each other, commits and folds; the disk is up to a second behind. */
static void test_random_and_late(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        print_message("seed %d\n", (int)seed);
        random_run(seed, seed % 3 == 0 ? 500 : 0, seed % 2 == 0 ? 1000000 : 60000, svi_engine_sim);
    }
}

/* With an engine that does no more than it must, as those do that are modules. */
static void test_random_plain(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 26; seed++) {
        print_message("seed %d\n", (int)seed);
        random_run(seed, seed % 3 == 0 ? 500 : 0, seed % 2 == 0 ? 60000 : 0, svi_engine_sim_plain);
    }
}

/* --- single cases ---------------------------------------------------------------------------------- */

typedef struct fixture {
    model m;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_sim_plan *plan;
} fixture;

static void fixture_open(fixture *f)
{
    f->engine = svi_engine_sim(&f->m.acct, f->disk);
    model_open(&f->m, f->engine, 0);
    f->plan = svi_engine_sim_plan(f->engine);
    while (svi_store_committed(f->m.store) < svi_store_submitted(f->m.store))
        svi_store_poll(f->m.store);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    model_init(&f->m, 7);
    f->disk = svi_sim_disk_new(&f->m.acct);
    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    svi_store_close(&f->m.store);
    svi_sim_disk_free(&f->disk);
    model_free(&f->m);
    free(f);
    return 0;
}

static uint64_t put(svi_store *store, svi_map *map, const char *owner, const char *key,
                    const char *value)
{
    svi_unit *unit = svi_unit_new(store);
    assert_int_equal(svi_unit_put(unit, map, sv_str_of(owner), sv_str_of(key), sv_str_of(value)),
                     SV_OK);
    return svi_unit_submit(&unit);
}

typedef struct answer {
    int calls;
    sv_status status;
    char value[64];
    svi_rows *rows;
} answer;

static void on_value(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    (void)schema;
    answer *a = ctx;
    a->calls++;
    a->status = status;
    if (value.n > 0) memcpy(a->value, value.p, value.n);
    a->value[value.n] = 0;
}

static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    answer *a = ctx;
    a->calls++;
    a->status = status;
    a->rows = rows;
}

static void test_numbers_and_batches(void **state)
{
    fixture *f = *state;
    svi_store *s = f->m.store;
    const uint64_t base = svi_store_submitted(s);
    svi_unit *empty = svi_unit_new(s);
    assert_true(svi_unit_is_empty(empty));
    assert_int_equal(svi_unit_submit(&empty), base);
    f->plan->hold = true;
    assert_int_equal(put(s, f->m.map[0], "a", "k", "1"), base + 1); /* begins at once */
    assert_int_equal(put(s, f->m.map[0], "a", "k", "2"), base + 2); /* gathered */
    assert_int_equal(put(s, f->m.map[0], "a", "k", "3"), base + 3);
    assert_int_equal(svi_store_committed(s), base);
    assert_int_equal(svi_engine_sim_step(f->engine, 9), 1);
    svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base + 1);
    assert_int_equal(svi_engine_sim_step(f->engine, 9), 1);
    svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base + 3);
    svi_store_stats stats;
    svi_store_stats_get(s, &stats);
    assert_int_equal(stats.units, base + 3);
    assert_int_equal(f->m.seen_committed, base + 3);
}

static void test_gather(void **state)
{
    fixture *f = *state;
    svi_store_close(&f->m.store);
    f->engine = svi_engine_sim(&f->m.acct, f->disk);
    model_open(&f->m, f->engine, 2000);
    svi_store *s = f->m.store;
    const uint64_t base = svi_store_submitted(s);
    put(s, f->m.map[0], "a", "k", "1");
    svi_store_poll(s);
    svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base);
    assert_int_equal(svi_store_due_us(s), f->m.clock.now_us + 2000);
    svi_plat_virtual_advance(&f->m.clock, 2000);
    svi_store_poll(s);
    svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base + 1);
    put(s, f->m.map[0], "a", "k", "2");
    svi_store_hurry(s); /* an ack waits */
    svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base + 2);
}

static void test_limits(void **state)
{
    fixture *f = *state;
    svi_unit *u = svi_unit_new(f->m.store);
    static char big[SVI_VALUE_MAX + 1];
    const sv_str ok = SV_STR("x");
    svi_map *map = f->m.map[0];
    assert_int_equal(svi_unit_put(u, map, (sv_str){big, SVI_OWNER_MAX + 1}, ok, ok), SV_ELIMIT);
    assert_int_equal(svi_unit_put(u, map, ok, (sv_str){big, SVI_KEY_MAX + 1}, ok), SV_ELIMIT);
    assert_int_equal(svi_unit_put(u, map, ok, ok, (sv_str){big, SVI_VALUE_MAX + 1}), SV_ELIMIT);
    assert_int_equal(svi_unit_del(u, map, ok, (sv_str){big, SVI_KEY_MAX + 1}), SV_ELIMIT);
    assert_true(svi_unit_is_empty(u)); /* what was refused left nothing behind */
    int accepted = 0;
    while (svi_unit_put(u, map, ok, ok, (sv_str){big, SVI_VALUE_MAX}) == SV_OK) accepted++;
    assert_int_equal(accepted, SVI_UNIT_MAX / SVI_VALUE_MAX - 1); /* overhead takes the rest */
    assert_int_equal(svi_unit_put(u, map, ok, ok, (sv_str){big, SVI_VALUE_MAX / 2}), SV_OK);
    svi_unit_free(&u);
    assert_null(u);
}

static void test_del_owner_order(void **state)
{
    fixture *f = *state;
    svi_store *s = f->m.store;
    svi_map *map = f->m.map[0];
    put(s, map, "o", "old", "1");
    while (svi_store_committed(s) < svi_store_submitted(s)) svi_store_poll(s);
    svi_unit *u = svi_unit_new(s);
    assert_int_equal(svi_unit_put(u, map, SV_STR("o"), SV_STR("before"), SV_STR("1")), SV_OK);
    assert_int_equal(svi_unit_del_owner(u, map, SV_STR("o")), SV_OK);
    assert_int_equal(svi_unit_put(u, map, SV_STR("o"), SV_STR("after"), SV_STR("1")), SV_OK);
    assert_int_equal(svi_unit_put(u, map, SV_STR("o"), SV_STR("after"), SV_STR("2")), SV_OK);
    svi_unit_submit(&u);
    answer rows = {0}, value = {0};
    svi_rows_load(map, SV_STR("o"), on_rows, &rows);
    svi_store_get(map, SV_STR("o"), SV_STR("old"), on_value, &value);
    assert_int_equal(rows.calls + value.calls, 0); /* never before the call has returned */
    svi_store_poll(s);
    assert_int_equal(rows.calls, 1);
    assert_int_equal(value.status, SV_ENOTFOUND);
    assert_int_equal(svi_rows_count(rows.rows), 1);
    sv_str v;
    assert_true(svi_rows_find(rows.rows, SV_STR("after"), &v));
    assert_true(sv_str_eq(v, SV_STR("2")));
    svi_rows_unref(&rows.rows);
}

/* A read that began before a fold and saw the index before it must still see the folded rows. */
static void test_read_races_fold(void **state)
{
    fixture *f = *state;
    svi_store *s = f->m.store;
    put(s, f->m.map[0], "o", "k", "1");
    while (svi_store_committed(s) < svi_store_submitted(s)) svi_store_poll(s);
    f->plan->hold = true;
    answer rows = {0}, late = {0};
    svi_rows_load(f->m.map[0], SV_STR("o"), on_rows, &rows); /* waits in the engine */
    svi_store_get(f->m.map[0], SV_STR("o"), SV_STR("none"), on_value, &late);
    assert_int_equal(svi_engine_sim_step(f->engine, 1), 1); /* read: done, seen nothing */
    svi_plat_virtual_advance(&f->m.clock, 2000000);
    /* the fold ends before the router hears of the read */
    svi_job *read = s->done_first;
    s->done_first = NULL;
    s->done_end = &s->done_first;
    svi_store_poll(s); /* starts the fold */
    assert_true(s->fold_runs);
    f->plan->hold = false;
    svi_store_poll(s);
    svi_store_stats stats;
    svi_store_stats_get(s, &stats);
    assert_int_equal(stats.folds, 1);
    assert_int_equal(stats.tail_ops, 0);
    assert_true(s->oldest != s->newest); /* kept for the read */
    assert_int_equal(late.status, SV_ENOTFOUND);
    read->next = NULL;
    *s->done_end = read;
    s->done_end = &read->next;
    svi_store_poll(s);
    assert_int_equal(rows.calls, 1);
    assert_int_equal(svi_rows_count(rows.rows), 1);
    assert_true(s->oldest == s->newest);
    svi_rows_unref(&rows.rows);
}

static void test_failed_commit(void **state)
{
    fixture *f = *state;
    svi_store *s = f->m.store;
    const uint64_t base = svi_store_committed(s);
    f->plan->fail_commit = 2;
    put(s, f->m.map[0], "o", "k", "1");
    for (int i = 0; i < 3; i++) svi_store_poll(s);
    assert_int_equal(svi_store_committed(s), base + 1);
    for (int i = 0; i < 5; i++) {
        put(s, f->m.map[0], "o", "k", "2");
        svi_store_poll(s);
    }
    assert_int_equal(f->m.failures, 1);
    assert_int_equal(svi_store_committed(s), base + 1);
    assert_int_equal(f->m.seen_committed, base + 1);
    assert_int_equal(svi_store_admit(s), SV_ENOSPC);
    svi_store_close(&f->m.store); /* writes nothing more */
    fixture_open(f);
    assert_int_equal(svi_store_submitted(f->m.store), base + 1);
    answer value = {0};
    svi_store_get(f->m.map[0], SV_STR("o"), SV_STR("k"), on_value, &value);
    svi_store_poll(f->m.store);
    assert_string_equal(value.value, "1");
}

/* Commit and fold fail in the same moment: told once. */
static void test_two_failures(void **state)
{
    fixture *f = *state;
    put(f->m.store, f->m.map[0], "o", "k", "1");
    while (svi_store_committed(f->m.store) < svi_store_submitted(f->m.store))
        svi_store_poll(f->m.store);
    f->plan->hold = true;
    svi_plat_virtual_advance(&f->m.clock, 2000000);
    svi_store_poll(f->m.store);
    put(f->m.store, f->m.map[0], "o", "k", "2");
    assert_true(f->m.store->fold_runs && f->m.store->in_batch);
    f->plan->dead = true;
    assert_int_equal(svi_engine_sim_step(f->engine, 9), 2);
    svi_store_poll(f->m.store);
    assert_int_equal(f->m.failures, 1);
    assert_int_equal(svi_store_due_us(f->m.store), INT64_MAX);
}

/* A failed read tells everybody who waits for it, and the next one tries anew. */
static void reload(void *ctx, sv_status status, svi_rows *rows)
{
    fixture *f = ctx;
    assert_int_equal(status, SV_EIO);
    assert_null(rows);
    static answer again;
    again = (answer){0};
    svi_rows_load(f->m.map[0], SV_STR("o"), on_rows, &again);
    svi_store_poll(f->m.store);
    assert_int_equal(again.calls, 1);
    assert_int_equal(again.status, SV_OK);
    svi_rows_unref(&again.rows);
}

static void test_failed_read(void **state)
{
    fixture *f = *state;
    f->plan->fail_read = 1;
    answer second = {0};
    svi_rows_load(f->m.map[0], SV_STR("o"), reload, f);
    svi_rows_load(f->m.map[0], SV_STR("o"), on_rows, &second);
    svi_store_poll(f->m.store);
    assert_int_equal(second.calls, 1);
    assert_int_equal(second.status, SV_EIO);
    assert_null(second.rows);
}

static void test_admission(void **state)
{
    fixture *f = *state;
    assert_int_equal(svi_store_admit(f->m.store), SV_OK);
    f->plan->full = true;
    svi_store_poll(f->m.store);
    assert_int_equal(svi_store_admit(f->m.store), SV_ENOSPC);
    /* what was begun before still lands */
    const uint64_t number = put(f->m.store, f->m.map[0], "o", "k", "1");
    svi_store_poll(f->m.store);
    svi_store_poll(f->m.store);
    assert_int_equal(svi_store_committed(f->m.store), number);
    f->plan->full = false;
    svi_store_poll(f->m.store);
    assert_int_equal(svi_store_admit(f->m.store), SV_OK);
}

/* A fold that finds no space waits for it: nothing ends, new work is refused, the journal keeps what waits. */
static void test_fold_waits(void **state)
{
    fixture *f = *state;
    svi_store_stats stats;
    f->plan->no_fold_space = true;
    for (int i = 0; i < 50; i++) do_unit(&f->m);
    for (int i = 0; i < 5; i++) svi_store_poll(f->m.store);
    svi_store_stats_get(f->m.store, &stats);
    assert_true(stats.shortage && stats.folds == 0);
    assert_int_equal(svi_store_admit(f->m.store), SV_ENOSPC);
    assert_int_equal(svi_store_due_us(f->m.store), f->m.clock.now_us + 1000000); /* no turning in circles */
    const uint64_t number = put(f->m.store, f->m.map[0], "x", "k", "1"); /* begun before, or a delete */
    svi_plat_virtual_advance(&f->m.clock, 1000000);
    for (int i = 0; i < 3; i++) svi_store_poll(f->m.store);
    assert_int_equal(svi_store_committed(f->m.store), number);
    assert_int_equal(svi_store_due_us(f->m.store), f->m.clock.now_us + 1000000);
    assert_int_equal(f->m.failures, 0);
    svi_store_close(&f->m.store); /* does not wait for space */
    drop_all_held(&f->m);
    fixture_open(f);
    assert_int_equal(svi_store_committed(f->m.store), number);
    check_all(&f->m, step_some);
    f->plan->no_fold_space = true;
    for (int i = 0; i < 3; i++) svi_store_poll(f->m.store);
    assert_int_equal(svi_store_admit(f->m.store), SV_ENOSPC);
    f->plan->no_fold_space = false;
    svi_plat_virtual_advance(&f->m.clock, 1000000);
    for (int i = 0; i < 3; i++) svi_store_poll(f->m.store);
    assert_int_equal(svi_store_admit(f->m.store), SV_OK);
    svi_store_stats_get(f->m.store, &stats);
    assert_int_equal(stats.folds, 1);
    check_all(&f->m, step_some);
}

static void test_maps(void **state)
{
    fixture *f = *state;
    svi_map *map = NULL, *same = NULL;
    sv_err err;
    assert_int_equal(svi_store_map(f->m.store, SV_STR("h/x/new"), 2, &map, &err), SV_OK);
    assert_int_equal(svi_store_map(f->m.store, SV_STR("h/x/new"), 2, &same, &err), SV_OK);
    assert_ptr_equal(map, same);
    const uint32_t number = map->number;
    assert_true(number != f->m.map[0]->number && number != f->m.map[1]->number);
    put(f->m.store, map, "o", "k", "1");
    svi_store_close(&f->m.store);
    fixture_open(f);
    assert_int_equal(svi_store_map(f->m.store, SV_STR("h/x/new"), 1, &map, &err), SV_EVERSION);
    assert_non_null(strstr(err.text, "h/x/new"));
    assert_int_equal(svi_store_map(f->m.store, SV_STR("h/x/new"), 3, &map, &err), SV_EVERSION);
    assert_int_equal(svi_store_map(f->m.store, SV_STR("h/x/new"), 2, &map, &err), SV_OK);
    assert_int_equal(map->number, number);
}

/* --- versions of records --------------------------------------------------------------------------- */

static svi_map_use use_of(const char *who, uint32_t oldest, uint32_t newest)
{
    return (svi_map_use){.who = who, .oldest = oldest, .newest = newest};
}

static void enter(fixture *f, svi_map_use *use)
{
    sv_err err = {.text = ""};
    if (svi_map_enter(f->m.store, SV_STR("h/notes/text"), use, &err) != SV_OK)
        fail_msg("%s", err.text);
}

static void refused(fixture *f, svi_map_use use, const char *text)
{
    sv_err err = {.text = ""};
    assert_int_equal(svi_map_enter(f->m.store, SV_STR("h/notes/text"), &use, &err), SV_EVERSION);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.text, "h/notes/text"));
    assert_null(use.map);
    svi_map_leave(&use); /* nothing to leave */
}

static size_t finish(fixture *f, const char *part)
{
    size_t changed;
    sv_err err = {.text = ""};
    if (svi_maps_finish(f->m.store, sv_str_of(part), &changed, &err) != SV_OK)
        fail_msg("%s", err.text);
    return changed;
}

static void reopen(fixture *f)
{
    svi_store_close(&f->m.store);
    fixture_open(f);
}

typedef struct versioned {
    int calls;
    uint32_t schema;
    char value[8];
    svi_rows *rows;
} versioned;

static void on_versioned(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    versioned *v = ctx;
    assert_int_equal(status, SV_OK);
    v->calls++;
    v->schema = schema;
    memcpy(v->value, value.p, value.n);
}

static void on_versioned_rows(void *ctx, sv_status status, svi_rows *rows)
{
    versioned *v = ctx;
    assert_int_equal(status, SV_OK);
    v->calls++;
    v->rows = rows;
}

/* The row is seen in that version by a single read and among the owner's rows, be they read now or kept. */
static void assert_row(fixture *f, svi_map *map, const char *key, const char *value, uint32_t schema)
{
    versioned one = {0}, all = {0};
    svi_store_get(map, SV_STR("o"), sv_str_of(key), on_versioned, &one);
    svi_rows_load(map, SV_STR("o"), on_versioned_rows, &all);
    while (one.calls + all.calls < 2) svi_store_poll(f->m.store);
    assert_string_equal(one.value, value);
    assert_int_equal(one.schema, schema);
    sv_str found;
    assert_true(svi_rows_find(all.rows, sv_str_of(key), &found));
    assert_true(sv_str_eq(found, sv_str_of(value)));
    assert_int_equal(svi_rows_schema(all.rows, sv_str_of(key)), schema);
    assert_int_equal(svi_rows_schema(all.rows, SV_STR("none")), 0);
    svi_rows_unref(&all.rows);
}

static void test_schema_back_and_forth(void **state)
{
    fixture *f = *state;
    svi_map_use v1 = use_of("notes", 1, 1);
    enter(f, &v1); /* a new map begins with the newest */
    put(f->m.store, v1.map, "o", "a", "1");
    reopen(f);
    svi_map_use v2 = use_of("notes", 1, 2);
    enter(f, &v2);
    assert_int_equal(svi_map_schema(v2.map), 1); /* the newer code does not raise it */
    put(f->m.store, v2.map, "o", "b", "2");
    reopen(f);
    v1 = use_of("notes", 1, 1);
    enter(f, &v1);
    assert_row(f, v1.map, "b", "2", 1);
    reopen(f);
    v2 = use_of("notes", 1, 2);
    enter(f, &v2);
    assert_int_equal(finish(f, "notes/"), 1);
    assert_int_equal(finish(f, "notes/"), 0);
    put(f->m.store, v2.map, "o", "b", "3");
    assert_row(f, v2.map, "b", "3", 2);
    assert_row(f, v2.map, "a", "1", 1); /* rows that are there stay as they are */
    reopen(f);
    refused(f, use_of("notes", 1, 1), "written in version 2 since an upgrade was finished, notes knows up to 1");
    refused(f, use_of("notes", 2, 3), "may have rows of version 1, notes knows 2 to 3");
    v2 = use_of("notes", 1, 2);
    enter(f, &v2);
    assert_row(f, v2.map, "b", "3", 2);
    assert_row(f, v2.map, "a", "1", 1);
    svi_map_leave(&v2);
}

static void test_schema_uses(void **state)
{
    fixture *f = *state;
    svi_map_use old = use_of("mood", 1, 1), new = use_of("notes", 1, 2), late = use_of("notes", 1, 2);
    svi_map_state at;
    sv_err err = {.text = ""};
    size_t changed;
    enter(f, &old);
    enter(f, &new);
    enter(f, &late);
    svi_map_state_get(new.map, &at);
    assert_true(at.is_mixed && at.newest == 1 && at.written == 1 && at.oldest == 1);
    assert_string_equal(at.who, "mood");
    /* somebody who could not read it any more has it open */
    assert_int_equal(svi_maps_finish(f->m.store, SV_STR_NONE, &changed, &err), SV_EBUSY);
    assert_non_null(strstr(err.text, "h/notes/text: mood knows up to version 1"));
    assert_int_equal(finish(f, "mood/"), 0); /* other maps */
    svi_map_leave(&late);
    svi_map_leave(&old);
    assert_int_equal(svi_map_schema(new.map), 1);
    assert_int_equal(finish(f, ""), 1);
    svi_map_state_get(new.map, &at);
    assert_true(!at.is_mixed && at.newest == 2 && at.written == 2 && at.oldest == 1);
    svi_map_leave(&new);
    svi_map_state_get(f->m.map[0], &at);
    assert_true(at.newest == 0 && at.who == NULL);
    assert_int_equal(finish(f, ""), 0);
    const svi_map_use wrong[] = {use_of("x", 0, 1), use_of("x", 2, 1), use_of("x", 1, 256)};
    for (size_t i = 0; i < 3; i++) {
        svi_map_use use = wrong[i];
        assert_int_equal(svi_map_enter(f->m.store, SV_STR("h/x/y"), &use, &err), SV_EINVAL);
    }
}

typedef struct looked {
    int calls;
    sv_status status;
    uint64_t older;
} looked;

static void on_looked(void *ctx, sv_status status, uint64_t older)
{
    looked *l = ctx;
    l->calls++;
    l->status = status;
    l->older = older;
}

static uint64_t look(fixture *f, svi_map *map)
{
    looked l = {.calls = 0};
    sv_err err = {.text = ""};
    if (svi_map_look(map, on_looked, &l, &err) != SV_OK) fail_msg("%s", err.text);
    assert_int_equal(l.calls, 0);
    while (l.calls == 0) svi_store_poll(f->m.store);
    assert_int_equal(l.calls, 1);
    assert_int_equal(l.status, SV_OK);
    return l.older;
}

static uint32_t oldest_of(const svi_map *map)
{
    svi_map_state at;
    svi_map_state_get(map, &at);
    return at.oldest;
}

static void fold_all(fixture *f)
{
    svi_store_stats stats;
    do {
        svi_plat_virtual_advance(&f->m.clock, 60000000);
        svi_store_poll(f->m.store);
        svi_store_stats_get(f->m.store, &stats);
    } while (stats.tail_ops > 0);
}

/* Old rows are found wherever they lie, each once; what covers them counts instead of them. When none is left, the
 * map forgets their version. */
static void test_schema_look(void **state)
{
    fixture *f = *state;
    svi_map_use use = use_of("notes", 1, 1);
    enter(f, &use);
    for (int i = 0; i < 40; i++) {
        char owner[16];
        snprintf(owner, sizeof owner, "o%02d", i);
        put(f->m.store, use.map, owner, "k", "old");
        put(f->m.store, use.map, owner, "l", "old");
        if (i == 19) fold_all(f); /* half of them is in the index */
    }
    svi_map_leave(&use);
    use = use_of("notes", 1, 2);
    enter(f, &use);
    assert_int_equal(look(f, use.map), 0); /* nothing is newer yet */
    svi_unit *begun = svi_unit_new(f->m.store);
    assert_int_equal(svi_unit_put(begun, use.map, SV_STR("late"), SV_STR("k"), SV_STR("old")), SV_OK);
    assert_int_equal(finish(f, ""), 1);
    sv_err err;
    assert_int_equal(svi_map_look(use.map, on_looked, NULL, &err), SV_EBUSY);
    svi_unit_submit(&begun);
    assert_int_equal(look(f, use.map), 81);
    for (int i = 0; i < 39; i++) {
        char owner[16];
        snprintf(owner, sizeof owner, "o%02d", i);
        put(f->m.store, use.map, owner, "k", "new");
        svi_unit *unit = svi_unit_new(f->m.store);
        if (i % 2)
            assert_int_equal(svi_unit_del_owner(unit, use.map, sv_str_of(owner)), SV_OK);
        else
            assert_int_equal(svi_unit_del(unit, use.map, sv_str_of(owner), SV_STR("l")), SV_OK);
        svi_unit_submit(&unit);
    }
    assert_int_equal(look(f, use.map), 3);
    fold_all(f);
    assert_int_equal(look(f, use.map), 3);
    assert_int_equal(oldest_of(use.map), 1);
    put(f->m.store, use.map, "late", "k", "new");
    put(f->m.store, use.map, "o39", "k", "new");
    put(f->m.store, use.map, "o39", "l", "new");
    assert_int_equal(look(f, use.map), 0);
    assert_int_equal(oldest_of(use.map), 2);
    svi_map_leave(&use);
    reopen(f);
    use = use_of("notes", 2, 3);
    enter(f, &use);
    assert_int_equal(oldest_of(use.map), 2);
    svi_map_leave(&use);
}

static void append(svi_store *store, svi_map *map, const char *owner, sv_str bytes)
{
    svi_unit *unit = svi_unit_new(store);
    assert_int_equal(svi_unit_append(unit, map, sv_str_of(owner), SV_STR("k"), bytes), SV_OK);
    svi_unit_submit(&unit);
}

/* What is appended makes no row newer or older, and is no second one; without a row it is of the version that is written. */
static void test_schema_look_appended(void **state)
{
    fixture *f = *state;
    svi_map_use use = use_of("notes", 1, 1);
    enter(f, &use);
    put(f->m.store, use.map, "indexed", "k", "old");
    fold_all(f);
    append(f->m.store, use.map, "indexed", SV_STR("+"));
    put(f->m.store, use.map, "tail", "k", "old");
    append(f->m.store, use.map, "tail", SV_STR("+"));
    append(f->m.store, use.map, "alone", SV_STR("+"));
    svi_map_leave(&use);
    use = use_of("notes", 1, 2);
    enter(f, &use);
    assert_int_equal(finish(f, ""), 1);
    assert_int_equal(look(f, use.map), 3);
    append(f->m.store, use.map, "indexed", SV_STR("+")); /* its writer knows in which version it is */
    append(f->m.store, use.map, "new", SV_STR("+"));
    assert_int_equal(look(f, use.map), 3);
    fold_all(f);
    append(f->m.store, use.map, "indexed", SV_STR("+"));
    assert_int_equal(look(f, use.map), 3);
    assert_int_equal(oldest_of(use.map), 1);
    for (int i = 0; i < 3; i++) put(f->m.store, use.map, i == 0 ? "indexed" : i == 1 ? "tail" : "alone", "k", "new");
    assert_int_equal(look(f, use.map), 0);
    assert_int_equal(oldest_of(use.map), 2);
    svi_map_leave(&use);
}

/* --- appending --------------------------------------------------------------------------------------- */

typedef struct long_value {
    int calls;
    size_t n;
    char last;
} long_value;

static void on_long(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    long_value *v = ctx;
    assert_int_equal(status, SV_OK);
    assert_int_equal(schema, 1);
    *v = (long_value){.calls = v->calls + 1, .n = value.n, .last = value.p[value.n - 1]};
}

static void is_long(fixture *f, size_t n, char last)
{
    long_value v = {0};
    svi_store_get(f->m.map[0], SV_STR("o"), SV_STR("k"), on_long, &v);
    while (v.calls == 0) svi_store_poll(f->m.store);
    assert_int_equal(v.n, n);
    assert_int_equal(v.last, last);
}

/* What passes the longest value is cut off in the same place wherever it is read, and the store goes on. */
static void test_append_bounds(void **state)
{
    fixture *f = *state;
    static char big[SVI_VALUE_MAX + 1];
    memset(big, 'b', sizeof big);
    svi_unit *unit = svi_unit_new(f->m.store);
    assert_int_equal(svi_unit_append(unit, f->m.map[0], SV_STR("o"), SV_STR("k"), (sv_str){big, sizeof big}), SV_ELIMIT);
    svi_unit_free(&unit);
    append(f->m.store, f->m.map[0], "o", (sv_str){big, SVI_VALUE_MAX - 3});
    is_long(f, SVI_VALUE_MAX - 3, 'b');
    answer rows = {0};
    svi_rows_load(f->m.map[0], SV_STR("o"), on_rows, &rows);
    while (rows.calls == 0) svi_store_poll(f->m.store);
    append(f->m.store, f->m.map[0], "o", SV_STR("12"));
    append(f->m.store, f->m.map[0], "o", SV_STR("345"));
    sv_str value;
    assert_true(svi_rows_find(rows.rows, SV_STR("k"), &value));
    assert_int_equal(value.n, SVI_VALUE_MAX);
    assert_int_equal(value.p[value.n - 1], '3');
    svi_rows_unref(&rows.rows);
    reopen(f); /* nothing is in memory: from the tail, then from the index */
    is_long(f, SVI_VALUE_MAX, '3');
    fold_all(f);
    append(f->m.store, f->m.map[0], "o", SV_STR("6"));
    is_long(f, SVI_VALUE_MAX, '3');
    fold_all(f);
    is_long(f, SVI_VALUE_MAX, '3');
    assert_int_equal(f->m.failures, 0);
}

/* Folds and writes at any moment of a look do not hide an old row. */
static void test_schema_look_races_fold(void **state)
{
    fixture *f = *state;
    for (size_t moment = 0; moment < 12; moment++) {
        char name[16];
        snprintf(name, sizeof name, "h/race/%zu", moment);
        svi_map_use use = use_of("race", 1, 1);
        sv_err err;
        assert_int_equal(svi_map_enter(f->m.store, sv_str_of(name), &use, &err), SV_OK);
        put(f->m.store, use.map, "indexed", "k", "old");
        fold_all(f);
        put(f->m.store, use.map, "tail", "k", "old");
        svi_map_leave(&use);
        use = use_of("race", 1, 2);
        assert_int_equal(svi_map_enter(f->m.store, sv_str_of(name), &use, &err), SV_OK);
        assert_int_equal(finish(f, "race/"), 1);
        looked l = {.calls = 0};
        f->plan->hold = true;
        svi_plat_virtual_advance(&f->m.clock, 60000000);
        for (size_t i = 0; i < moment; i++) {
            if (i % 3 == 2) svi_engine_sim_step(f->engine, 1);
            svi_store_poll(f->m.store);
        }
        assert_int_equal(svi_map_look(use.map, on_looked, &l, &err), SV_OK);
        put(f->m.store, use.map, "other", "k", "new");
        while (l.calls == 0) {
            svi_plat_virtual_advance(&f->m.clock, 60000000);
            svi_store_poll(f->m.store);
            svi_engine_sim_step(f->engine, 1);
        }
        f->plan->hold = false;
        assert_int_equal(l.older, 2);
        assert_int_equal(oldest_of(use.map), 1);
        svi_map_leave(&use);
    }
}

/* A look that can't be finished changes nothing. */
static void test_schema_look_fails(void **state)
{
    fixture *f = *state;
    svi_map_use use = use_of("notes", 1, 1);
    enter(f, &use);
    put(f->m.store, use.map, "o", "k", "old");
    svi_map_leave(&use);
    use = use_of("notes", 1, 2);
    enter(f, &use);
    assert_int_equal(finish(f, ""), 1);
    put(f->m.store, use.map, "o", "k", "new");
    fold_all(f);
    looked failed = {.calls = 0}, canceled = {.calls = 0};
    sv_err err;
    f->plan->fail_read = 1;
    assert_int_equal(svi_map_look(use.map, on_looked, &failed, &err), SV_OK);
    while (failed.calls == 0) svi_store_poll(f->m.store);
    assert_int_equal(failed.status, SV_EIO);
    assert_int_equal(oldest_of(use.map), 1);
    f->plan->hold = true;
    assert_int_equal(svi_map_look(use.map, on_looked, &canceled, &err), SV_OK);
    svi_map_leave(&use);
    svi_store_close(&f->m.store);
    assert_int_equal(canceled.calls, 1);
    assert_int_equal(canceled.status, SV_ECANCELED);
    fixture_open(f);
}

/* What is folded, in the tail, and kept in memory has its version, whichever it is; its byte is no part of the value. */
static void test_schema_bytes(void **state)
{
    fixture *f = *state;
    svi_map_use use = use_of("notes", 1, SVI_SCHEMA_MAX);
    enter(f, &use);
    put(f->m.store, use.map, "o", "k", "");
    put(f->m.store, use.map, "o", "l", "four");
    assert_row(f, use.map, "k", "", SVI_SCHEMA_MAX);
    svi_rows *rows = svi_rows_get(use.map, SV_STR("o"));
    assert_int_equal(svi_rows_value_bytes(rows), 4);
    put(f->m.store, use.map, "o", "l", "six");
    assert_int_equal(svi_rows_value_bytes(rows), 3);
    svi_rows_unref(&rows);
    reopen(f); /* folds */
    use = use_of("notes", 1, SVI_SCHEMA_MAX);
    enter(f, &use);
    assert_row(f, use.map, "k", "", SVI_SCHEMA_MAX);
    assert_row(f, use.map, "l", "six", SVI_SCHEMA_MAX);
    svi_map_leave(&use);
}

static void test_unknown_operation(void **state)
{
    fixture *f = *state;
    svi_store_close(&f->m.store);
    static const char later[] = {2, 99, 0, 0};
    static const char format[] = {9, 1};
    static const char bare[] = {2, SVI_OP_PUT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}; /* no version */
    static const char before[] = {1, SVI_OP_DEL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const char cut[] = {2, SVI_OP_PUT, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 'a'};
    const struct {
        sv_str bytes;
        sv_status status;
    } cases[] = {{{later, sizeof later}, SV_EVERSION},
                 {{format, sizeof format}, SV_EVERSION},
                 {{before, sizeof before}, SV_EVERSION},
                 {{bare, sizeof bare}, SV_EIO},
                 {{cut, sizeof cut}, SV_EIO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* the bytes go to the simulated journal as a committed unit */
        svi_sim_disk *disk = svi_sim_disk_new(&f->m.acct);
        svi_engine *e = svi_engine_sim(&f->m.acct, disk);
        svi_store_config config = {.engine = e, .acct = &f->m.acct, .plat = &f->m.clock.plat};
        svi_store *store = NULL;
        sv_err err;
        assert_int_equal(svi_store_open(&config, &store, &err), SV_OK);
        store->submitted++;
        svi_record *r = svi_alloc(&f->m.acct, sizeof *r + cases[i].bytes.n);
        r->number = store->submitted;
        r->n = cases[i].bytes.n;
        memcpy(r->bytes, cases[i].bytes.p, r->n);
        svi_tail_add(store->newest, r);
        store->next_record = r;
        svi_store_hurry(store);
        svi_store_poll(store);
        assert_int_equal(svi_store_committed(store), 1);
        svi_store_drop(&store);
        config.engine = svi_engine_sim(&f->m.acct, disk);
        assert_int_equal(svi_store_open(&config, &store, &err), cases[i].status);
        svi_sim_disk_free(&disk);
    }
    fixture_open(f);
}

static void test_busy(void **state)
{
    fixture *f = *state;
    const svi_store_config config = {.engine = svi_engine_sim(&f->m.acct, f->disk),
                                     .acct = &f->m.acct,
                                     .plat = &f->m.clock.plat};
    svi_store *second = NULL;
    sv_err err;
    assert_int_equal(svi_store_open(&config, &second, &err), SV_EBUSY);
    assert_null(second);
}

typedef struct listing {
    const char *want;
    bool more;
    int calls;
} listing;

static void on_page(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    listing *page = ctx;
    char text[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? " " : "", (int)owners[i].n,
                              owners[i].p);
    assert_int_equal(status, SV_OK);
    assert_string_equal(text, page->want);
    assert_int_equal(more, page->more);
    page->calls++;
}

static void test_owner_pages(void **state)
{
    fixture *f = *state;
    /* all owners of the index are deleted in the tail: the list must go on behind them */
    char name[16];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "user%02d", i);
        put(f->m.store, f->m.map[0], name, "k", "1");
    }
    svi_plat_virtual_advance(&f->m.clock, 2000000);
    for (int i = 0; i < 9; i++) svi_store_poll(f->m.store);
    svi_store_stats stats;
    svi_store_stats_get(f->m.store, &stats);
    assert_int_equal(stats.tail_ops, 0);
    for (int i = 0; i < 25; i++) {
        svi_unit *u = svi_unit_new(f->m.store);
        snprintf(name, sizeof name, "user%02d", i);
        if (i % 2)
            svi_unit_del_owner(u, f->m.map[0], sv_str_of(name));
        else
            svi_unit_del(u, f->m.map[0], sv_str_of(name), SV_STR("k"));
        svi_unit_submit(&u);
    }
    listing page = {.want = "user25 user26 user27", .more = true};
    svi_store_owners(f->m.map[0], SV_STR("user01"), 3, on_page, &page);
    for (int i = 0; i < 30 && page.calls == 0; i++) svi_store_poll(f->m.store);
    assert_int_equal(page.calls, 1);
    page = (listing){.want = "user28 user29", .more = false};
    svi_store_owners(f->m.map[0], SV_STR("user27"), 3, on_page, &page);
    for (int i = 0; i < 30 && page.calls == 0; i++) svi_store_poll(f->m.store);
    assert_int_equal(page.calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_and_late),
        cmocka_unit_test(test_random_plain),
        cmocka_unit_test_setup_teardown(test_numbers_and_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gather, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_del_owner_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_races_fold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admission, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_back_and_forth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_uses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_look_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_look_races_fold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_look_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_operation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_pages, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
