/* The simulated engine: what is late, what is lost at a kill, and whose rows a job is about. */
#include "base/base_testing.h"
#include "store/store_engine.h"
#include <stdio.h>

static svi_acct books = {.name = "sim"}; /* lint: allow global (the tests' one account) */

typedef struct world {
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_sim_plan *plan;
    svi_store *store;
    svi_map *mine, *other;
    uint64_t committed;
    bool is_failed;
    char log[200]; /* what came, in order */
} world;

static void note(world *w, const char *what)
{
    const size_t n = strlen(w->log);
    (void)snprintf(w->log + n, sizeof w->log - n, "%s ", what);
}

static void on_committed(void *ctx, uint64_t commit)
{
    world *w = ctx;
    char text[30];
    (void)snprintf(text, sizeof text, "commit-%d", (int)commit);
    w->committed = commit;
    note(w, text);
}

static void on_failed(void *ctx, const sv_err *err)
{
    (void)err;
    ((world *)ctx)->is_failed = true;
}

static void start(world *w)
{
    sv_err err = {.text = ""};
    w->engine = svi_engine_sim(&books, w->disk);
    w->plan = svi_engine_sim_plan(w->engine);
    w->plan->plat = &w->plat.plat;
    w->is_failed = false;
    const svi_store_config config = {
        .engine = w->engine, .acct = &books, .plat = &w->plat.plat, .committed = on_committed, .failed = on_failed, .ctx = w};
    assert_int_equal(svi_store_open(&config, &w->store, &err), SV_OK);
    assert_int_equal(svi_store_map(w->store, SV_STR("host/mine/rows"), 1, &w->mine, &err), SV_OK);
    assert_int_equal(svi_store_map(w->store, SV_STR("host/other/rows"), 1, &w->other, &err), SV_OK);
    while (svi_store_committed(w->store) < svi_store_submitted(w->store)) (void)svi_store_poll(w->store);
    w->log[0] = 0;
}

static void begin(world *w)
{
    *w = (world){.disk = svi_sim_disk_new(&books)};
    svi_plat_virtual_init(&w->plat, 3);
    start(w);
}

static void finish(world *w)
{
    svi_store_close(&w->store);
    svi_sim_disk_free(&w->disk);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static void put(const world *w, svi_map *map, const char *key)
{
    svi_unit *unit = svi_unit_new(w->store);
    assert_int_equal(svi_unit_put(unit, map, SV_STR("romeo"), sv_str_of(key), SV_STR("x")), SV_OK);
    (void)svi_unit_submit(&unit);
    svi_store_hurry(w->store);
}

typedef struct reading {
    world *w;
    const char *name;
    sv_status status;
} reading;

static void got(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    reading *r = ctx;
    (void)value, (void)schema;
    r->status = status;
    if (status != SV_ECANCELED) note(r->w, r->name);
}

static void get(const world *w, svi_map *map, const char *key, reading *r)
{
    svi_store_get(map, SV_STR("juliet"), sv_str_of(key), got, r);
    (void)w;
}

static void pass(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->plat, us);
    while (svi_store_poll(w->store) > 0) continue;
}

static void commits_keep_their_order(void **state)
{
    (void)state;
    world w;
    begin(&w);
    reading slow = {.w = &w, .name = "slow"}, quick = {.w = &w, .name = "quick"};
    w.plan->late_min_us = w.plan->late_max_us = 5000;
    put(&w, w.mine, "a");
    get(&w, w.mine, "a", &slow);
    w.plan->late_min_us = w.plan->late_max_us = 1000;
    get(&w, w.mine, "b", &quick);
    assert_int_equal(svi_engine_sim_due_us(w.engine), w.plat.now_us + 1000);
    pass(&w, 999);
    assert_string_equal(w.log, "");
    pass(&w, 1);
    assert_string_equal(w.log, "quick ");
    put(&w, w.mine, "b"); /* goes into a batch behind the one that is late */
    w.plan->hold = true;
    assert_int_equal(svi_engine_sim_due_us(w.engine), INT64_MAX);
    pass(&w, 100000);
    assert_string_equal(w.log, "quick ");
    w.plan->hold = false;
    pass(&w, 0);
    pass(&w, 1000);
    assert_string_equal(w.log, "quick commit-3 slow commit-4 ");
    assert_int_equal(svi_engine_sim_due_us(w.engine), INT64_MAX);
    finish(&w);
}

/* Jobs of the engine alone, since a store has one batch at a time: the second commit would be due before the first. */
typedef struct order {
    char text[40];
} order;

static void job_done(svi_job *job)
{
    order *o = job->owner;
    const size_t n = strlen(o->text);
    (void)snprintf(o->text + n, sizeof o->text - n, "%d", (int)job->first);
}

static void a_later_commit_does_not_overtake(void **state)
{
    (void)state;
    world w;
    begin(&w);
    order o = {.text = ""};
    const sv_str record = SV_STR("");
    svi_job jobs[3];
    svi_store_close(&w.store);
    w.engine = svi_engine_sim(&books, w.disk);
    w.plan = svi_engine_sim_plan(w.engine);
    w.plan->plat = &w.plat.plat;
    for (int i = 0; i < 3; i++) {
        w.plan->late_min_us = w.plan->late_max_us = 3000 - 1000 * i;
        jobs[i] = (svi_job){.kind = SVI_JOB_COMMIT, .first = 7 + (unsigned)i, .last = 7 + (unsigned)i, .records = &record, .record_count = 1, .owner = &o, .done = job_done};
        w.engine->ops->start(w.engine, &jobs[i]);
    }
    svi_plat_virtual_advance(&w.plat, 2999);
    assert_int_equal(w.engine->ops->poll(w.engine, false), 0);
    svi_plat_virtual_advance(&w.plat, 1);
    assert_int_equal(w.engine->ops->poll(w.engine, false), 3);
    assert_string_equal(o.text, "789");
    w.engine->ops->close(w.engine);
    svi_sim_disk_free(&w.disk);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static svi_sim_fate fate_of(void *ctx, const svi_job *job)
{
    return job->kind == SVI_JOB_COMMIT ? *(const svi_sim_fate *)ctx : SVI_SIM_DONE;
}

/* What is there after the process died in a commit. */
static void dies(svi_sim_fate fate, sv_status wanted)
{
    world w;
    begin(&w);
    reading again = {.w = &w, .name = "again"};
    w.plan->fate = fate_of;
    w.plan->ctx = &fate;
    svi_unit *unit = svi_unit_new(w.store);
    assert_int_equal(svi_unit_put(unit, w.mine, SV_STR("juliet"), SV_STR("a"), SV_STR("x")), SV_OK);
    (void)svi_unit_submit(&unit);
    pass(&w, 0);
    assert_true(w.is_failed);
    assert_true(w.plan->dead);
    assert_string_equal(w.log, ""); /* nobody was told */
    put(&w, w.mine, "b"); /* and nothing more comes to the disk, also at the end */
    svi_store_close(&w.store);
    start(&w);
    get(&w, w.mine, "a", &again);
    pass(&w, 0);
    assert_int_equal(again.status, wanted);
    reading behind = {.w = &w, .name = "behind"};
    svi_store_get(w.mine, SV_STR("romeo"), SV_STR("b"), got, &behind);
    pass(&w, 0);
    assert_int_equal(behind.status, SV_ENOTFOUND);
    finish(&w);
}

static void a_process_dies(void **state)
{
    (void)state;
    dies(SVI_SIM_DIES, SV_ENOTFOUND);
    dies(SVI_SIM_DIES_BEHIND, SV_OK);
}

static int64_t count_mine(void *ctx, const svi_job *job)
{
    world *w = ctx;
    const bool is_mine = svi_job_is_of(job, SV_STR("mine")), is_any = svi_job_is_of(job, SV_STR(""));
    note(w, is_mine ? "mine" : is_any ? "other" : "core");
    return 0;
}

static void jobs_are_known_by_their_rows(void **state)
{
    (void)state;
    world w;
    sv_err err = {.text = ""};
    svi_map *core;
    begin(&w);
    assert_int_equal(svi_store_map(w.store, SV_STR("host/accounts"), 1, &core, &err), SV_OK);
    pass(&w, 0);
    w.log[0] = 0;
    w.plan->delay = count_mine;
    w.plan->ctx = &w;
    reading r = {.w = &w, .name = "got"};
    put(&w, w.mine, "a");
    pass(&w, 0);
    put(&w, w.other, "a");
    pass(&w, 0);
    put(&w, core, "a");
    pass(&w, 0);
    get(&w, w.mine, "z", &r);
    get(&w, w.other, "z", &r);
    get(&w, core, "z", &r);
    pass(&w, 0);
    assert_string_equal(w.log, "mine commit-4 other commit-5 core commit-6 mine other core got got got ");
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_keep_their_order),
        cmocka_unit_test(a_later_commit_does_not_overtake),
        cmocka_unit_test(a_process_dies),
        cmocka_unit_test(jobs_are_known_by_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
