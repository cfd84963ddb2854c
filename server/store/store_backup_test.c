/* Backups: made while units come, are folded and read, from both engines; what is restored equals the model at the commit
 * that the backup names. Files that are cut, altered, foreign or newer are refused. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "store/store_folder_test.h"
/* needs what the one above includes */
#include "store/store_backup_impl.h"
#include "store/store_model_test.h"

enum { WORK_UNITS = 1500 };

typedef struct outcome {
    int calls;
    svi_backup_result result;
} outcome;

static void on_done(void *ctx, const svi_backup_result *result)
{
    outcome *o = ctx;
    o->calls++;
    o->result = *result;
}

static int file_make(void)
{
    const int fd = memfd_create("backup", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void turn(model *m)
{
    if (m->store->engine->ops->poll)
        svi_store_poll(m->store);
    else
        model_wait(m);
}

static sv_status open_restored(svi_acct *acct, const char *path, svi_store **store_out, sv_err *err)
{
    svi_engine *engine;
    const svi_lmdb_config config = {
        .path = sv_str_of(path), .single_thread = true, .segment_bytes = 1 << 20, .reserve_bytes = 1};
    assert_int_equal(svi_engine_lmdb(acct, &config, &engine, err), SV_OK);
    const svi_store_config store = {.engine = engine, .acct = acct};
    return svi_store_open(&store, store_out, err);
}

typedef struct wanted_rows {
    const model *m;
    int map, owner, calls;
} wanted_rows;

static void same_rows(void *ctx, sv_status status, svi_rows *rows)
{
    wanted_rows *w = ctx;
    w->calls++;
    assert_int_equal(status, SV_OK);
    check_rows(w->m, rows, w->map, w->owner);
    svi_rows_unref(&rows);
}

/* The store in `path` holds what the model held at `number`, and nothing else of its maps. */
static void check_equals(const model *m, uint64_t number, const char *path)
{
    model *then = calloc(1, sizeof *then); /* not all of it is copied: a thread may be waking the other one */
    memcpy(then->owner, m->owner, sizeof then->owner);
    memcpy(then->owner_n, m->owner_n, sizeof then->owner_n);
    memcpy(then->key, m->key, sizeof then->key);
    memcpy(then->key_n, m->key_n, sizeof then->key_n);
    for (uint64_t u = 1; u <= number; u++)
        for (int i = 0; i < m->log[u].count; i++) model_apply(then, &m->log[u].op[i]);
    svi_acct acct = {.name = "restored"};
    svi_store *store;
    sv_err err = {.text = ""};
    assert_int_equal(open_restored(&acct, path, &store, &err), SV_OK);
    static const char *const names[MAPS] = {"h/one/a", "h/two/b"};
    static const uint32_t schemas[MAPS] = {1, 3};
    for (int map = 0; map < MAPS; map++) {
        svi_map *at;
        /* the version of the records came along */
        assert_int_equal(svi_store_map(store, sv_str_of(names[map]), schemas[map] + 1, &at, &err),
                         SV_EVERSION);
        assert_int_equal(svi_store_map(store, sv_str_of(names[map]), schemas[map], &at, &err), SV_OK);
        for (int o = 0; o < OWNERS; o++) {
            wanted_rows w = {.m = then, .map = map, .owner = o};
            svi_rows_load(at, model_owner(then, o), same_rows, &w);
            while (w.calls == 0) svi_store_poll(store);
        }
    }
    svi_store_close(&store);
    assert_int_equal(acct.live_count, 0);
    model_forget(then);
    free(then);
}

static void restore_and_check(const model *m, int fd, uint64_t number)
{
    const folder dir = folder_make();
    char into[300];
    PATH_PRINT(into, "%s/store", dir.path);
    svi_acct acct = {.name = "restore"};
    svi_backup_summary summary;
    sv_err err = {.text = ""};
    const svi_restore_config config = {.acct = &acct, .fd = fd, .into = sv_str_of(into)};
    const sv_status st = svi_restore(&config, &summary, &err);
    if (st != SV_OK) print_error("%s\n", err.text);
    assert_int_equal(st, SV_OK);
    assert_int_equal(summary.commit, number);
    assert_false(summary.is_of_host);
    assert_int_equal(acct.live_count, 0);
    check_equals(m, number, into);
    folder_remove(&dir);
}

/* --- by the model -------------------------------------------------------------------------------------- */

static void random_work(model *m)
{
    const uint64_t dice = rnd(m, 100);
    if (dice < 40)
        do_unit(m);
    else if (dice < 45)
        do_read(m, false);
    else if (dice < 50)
        svi_plat_virtual_advance(&m->clock, 300000);
    else if (dice < 55)
        svi_store_hurry(m->store);
    else if (m->store->engine->ops->poll && dice < 75)
        svi_engine_sim_step(m->store->engine, 1 + rnd(m, 2));
    else
        svi_store_poll(m->store);
}

/* One backup among random work; returns how many units came behind its rows. */
static uint64_t backup_during_work(model *m)
{
    outcome out = {.calls = 0};
    sv_err err = {.text = ""};
    svi_backup *backup;
    const int fd = file_make();
    const svi_backup_config config = {.fd = fd,
                                      .version = "test",
                                      .chunk_bytes = 1 + rnd(m, 3000),
                                      .by_steps = true,
                                      .done = on_done,
                                      .ctx = &out};
    const uint64_t committed = svi_store_committed(m->store);
    assert_int_equal(svi_backup_start(m->store, &config, &backup, &err), SV_OK);
    assert_int_equal(svi_backup_start(m->store, &config, &backup, &err), SV_EBUSY);
    bool is_over = false;
    while (out.calls == 0) {
        if (!is_over && rnd(m, 3) == 0) is_over = svi_backup_step(backup) == SVI_BACKUP_OVER;
        random_work(m);
        if (is_over) svi_store_poll(m->store);
    }
    assert_int_equal(out.calls, 1);
    assert_int_equal(out.result.status, SV_OK);
    assert_true(out.result.commit >= committed); /* all that was there before is in it */
    assert_int_equal(lseek(fd, 0, SEEK_END), out.result.bytes);
    restore_and_check(m, fd, out.result.commit);
    close(fd);
    return out.result.units;
}

static void test_random_sim(void **state)
{
    (void)state;
    uint64_t units = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        model m;
        model_init(&m, seed);
        svi_sim_disk *disk = svi_sim_disk_new(&m.acct);
        svi_engine *engine = svi_engine_sim(&m.acct, disk);
        model_open(&m, engine, seed % 2 ? 500 : 0);
        svi_engine_sim_plan(engine)->hold = true;
        for (int i = 0; i < 400; i++) random_work(&m);
        for (int i = 0; i < 2; i++) units += backup_during_work(&m);
        svi_store_close(&m.store);
        drop_all_held(&m);
        svi_sim_disk_free(&disk);
        model_free(&m);
    }
    assert_true(units > 200);
}

/* Two hash values for all texts, so that rows lie among probes and gaps are closed under the scan. */
static void clashing_hash(sv_str text, uint8_t out[32])
{
    memset(out, 0, 32);
    out[0] = text.n % 2;
}

/* What the backup had of both kinds is added: how much of each is a matter of when threads run. */
static void random_lmdb(uint64_t seed, svi_lmdb_config config, uint64_t *units, uint64_t *rows)
{
    const folder dir = folder_make();
    model m;
    sv_err err = {.text = ""};
    svi_engine *engine;
    model_init(&m, seed);
    config.path = sv_str_of(dir.path);
    config.segment_bytes = 1 << 20;
    config.reserve_bytes = 1;
    assert_int_equal(svi_engine_lmdb(&m.acct, &config, &engine, &err), SV_OK);
    model_open(&m, engine, 0);
    for (int i = 0; i < 300; i++) {
        do_unit(&m);
        svi_store_poll(m.store);
    }
    outcome out = {.calls = 0};
    svi_backup *backup;
    const int fd = file_make();
    const svi_backup_config backup_config = {.fd = fd,
                                             .chunk_bytes = 2000,
                                             .queue_bytes = SIZE_MAX / 2, /* it may be slow here */
                                             .by_steps = config.single_thread,
                                             .done = on_done,
                                             .ctx = &out};
    const uint64_t committed = svi_store_committed(m.store);
    assert_int_equal(svi_backup_start(m.store, &backup_config, &backup, &err), SV_OK);
    bool is_over = false;
    for (int left = WORK_UNITS; out.calls == 0; left--) { /* the writer at full speed for a while */
        /* with steps more slowly: what a scan has missed must not be written anew by chance */
        if (left > 0 && (!config.single_thread || rnd(&m, 6) == 0))
            do_unit(&m);
        else
            turn(&m);
        if (config.single_thread && !is_over)
            is_over = svi_backup_step(backup) == SVI_BACKUP_OVER;
        svi_store_poll(m.store);
    }
    assert_int_equal(out.result.status, SV_OK);
    assert_true(out.result.commit >= committed);
    *units += (uint64_t)out.result.units;
    *rows += (uint64_t)out.result.rows;
    restore_and_check(&m, fd, out.result.commit);
    close(fd);
    svi_store_close(&m.store);
    model_free(&m);
    folder_remove(&dir);
}

static void test_threads(void **state)
{
    (void)state;
    uint64_t units = 0, rows = 0;
    for (uint64_t seed = 1; seed <= 2 || ((units == 0 || rows == 0) && seed <= 20); seed++)
        random_lmdb(seed, (svi_lmdb_config){.readers = 1}, &units, &rows);
    assert_true(units > 0 && rows > 0);
}

static void test_clashes(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 18; seed++) {
        uint64_t units = 0, rows = 0;
        const svi_lmdb_config config = {.single_thread = true, .hash = clashing_hash, .txn_us = -1};
        random_lmdb(seed, config, &units, &rows);
        assert_true(units > 0 && rows > 0);
    }
}

/* --- single cases ---------------------------------------------------------------------------------- */

typedef struct fixture {
    svi_acct acct;
    svi_sim_disk *disk;
    svi_store *store;
    svi_map *a, *b; /* of the hosts g and h */
    outcome out;
    int fd;
} fixture;

static void put_row(svi_store *store, svi_map *map, const char *owner, const char *value)
{
    svi_unit *unit = svi_unit_new(store);
    assert_int_equal(svi_unit_put(unit, map, sv_str_of(owner), SV_STR("k"), sv_str_of(value)), SV_OK);
    (void)svi_unit_submit(&unit);
}

static void settle(svi_store *store)
{
    do svi_store_poll(store);
    while (svi_store_committed(store) < svi_store_submitted(store));
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    sv_err err;
    f->acct.name = "test";
    f->disk = svi_sim_disk_new(&f->acct);
    const svi_store_config config = {.engine = svi_engine_sim(&f->acct, f->disk), .acct = &f->acct};
    assert_int_equal(svi_store_open(&config, &f->store, &err), SV_OK);
    assert_int_equal(svi_store_map(f->store, SV_STR("g/x/m"), 1, &f->a, &err), SV_OK);
    assert_int_equal(svi_store_map(f->store, SV_STR("h/x/m"), 2, &f->b, &err), SV_OK);
    put_row(f->store, f->a, "romeo", "a1");
    put_row(f->store, f->b, "juliet", "b1");
    settle(f->store);
    f->fd = file_make();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    svi_store_close(&f->store);
    svi_sim_disk_free(&f->disk);
    close(f->fd);
    assert_int_equal(f->acct.live_count, 0);
    free(f);
    return 0;
}

static svi_backup *begin(fixture *f, svi_backup_config config)
{
    sv_err err = {.text = ""};
    svi_backup *backup;
    config.done = on_done;
    config.ctx = &f->out;
    config.by_steps = true;
    config.version = "test";
    f->out = (outcome){.calls = 0};
    assert_int_equal(svi_backup_start(f->store, &config, &backup, &err), SV_OK);
    return backup;
}

static void finish(fixture *f, svi_backup *backup)
{
    while (svi_backup_step(backup) != SVI_BACKUP_OVER) svi_store_poll(f->store);
    svi_store_poll(f->store);
    assert_int_equal(f->out.calls, 1);
}

static void whole(fixture *f, const char *host)
{
    finish(f, begin(f, (svi_backup_config){.fd = f->fd, .host = sv_str_of(host)}));
    assert_int_equal(f->out.result.status, SV_OK);
}

typedef struct got {
    sv_status status;
    char text[100];
    uint32_t schema;
    int calls;
} got;

static void on_get(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    got *g = ctx;
    g->calls++;
    g->status = status;
    g->schema = schema;
    if (status == SV_OK) snprintf(g->text, sizeof g->text, "%.*s", (int)value.n, value.p);
}

/* The value of a row in a restored store, "" if there is none. */
static got value_of(svi_store *store, const char *map_name, const char *owner)
{
    got g = {.calls = 0};
    size_t pos = 0;
    svi_map *map = svi_store_map_next(store, sv_str_of(map_name), &pos);
    if (!map) return (got){.status = SV_ENOTFOUND};
    svi_store_get(map, sv_str_of(owner), SV_STR("k"), on_get, &g);
    while (g.calls == 0) svi_store_poll(store);
    return g;
}

static sv_status restore(fixture *f, const char *host, const char *into, sv_err *err)
{
    svi_backup_summary summary;
    const svi_restore_config config = {.acct = &f->acct,
                                       .fd = f->fd,
                                       .host = sv_str_of(host),
                                       .into = sv_str_of(into)};
    *err = (sv_err){.text = ""};
    return svi_restore(&config, &summary, err);
}

/* Rows of several versions keep them, also those that come while the backup is made; so does the map, when an upgrade
 * is finished meanwhile. */
static void test_versions(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char path[300];
    sv_err err = {.text = ""};
    size_t changed;
    PATH_PRINT(path, "%s/store", dir.path);
    svi_map_use use = {.who = "notes", .newest = 3, .oldest = 2};
    assert_int_equal(svi_map_enter(f->store, SV_STR("h/x/m"), &use, &err), SV_OK);
    put_row(f->store, use.map, "old", "a");
    settle(f->store);
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd});
    assert_int_equal(svi_maps_finish(f->store, SV_STR("x/"), &changed, &err), SV_OK);
    put_row(f->store, use.map, "new", "b");
    settle(f->store);
    finish(f, backup);
    svi_map_leave(&use);
    assert_int_equal(restore(f, "", path, &err), SV_OK);
    svi_store *store;
    assert_int_equal(open_restored(&f->acct, path, &store, &err), SV_OK);
    const got old = value_of(store, "h/x/m", "old"), new = value_of(store, "h/x/m", "new");
    assert_string_equal(old.text, "a");
    assert_int_equal(old.schema, 2);
    assert_string_equal(new.text, "b");
    assert_int_equal(new.schema, 3);
    size_t pos = 0;
    svi_map_state at;
    svi_map_state_get(svi_store_map_next(store, SV_STR("h/x/m"), &pos), &at);
    assert_int_equal(at.written, 3);
    assert_int_equal(at.oldest, 2);
    svi_store_close(&store);
    folder_remove(&dir);
}

/* A backup of one host holds its maps and of units its operations, also in maps that are made meanwhile. */
static void test_one_host(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char path[300];
    sv_err err = {.text = ""};
    PATH_PRINT(path, "%s/store", dir.path);
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd, .host = SV_STR("h")});
    assert_int_equal(svi_backup_step(backup), SVI_BACKUP_MORE);
    svi_map *late, *other;
    assert_int_equal(svi_store_map(f->store, SV_STR("h/y/late"), 1, &late, &err), SV_OK);
    assert_int_equal(svi_store_map(f->store, SV_STR("g/y/late"), 1, &other, &err), SV_OK);
    svi_unit *unit = svi_unit_new(f->store);
    svi_map *const maps[] = {f->a, f->b, late, other};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(svi_unit_put(unit, maps[i], SV_STR("tybalt"), SV_STR("k"), SV_STR("new")),
                         SV_OK);
    (void)svi_unit_submit(&unit);
    put_row(f->store, f->a, "nurse", "elsewhere");
    settle(f->store);
    finish(f, backup);
    assert_int_equal(f->out.result.status, SV_OK);
    assert_int_equal(f->out.result.units, 2); /* the new map, and what is put into it */

    assert_int_equal(restore(f, "", path, &err), SV_EINVAL); /* it is of one host only */
    assert_non_null(strstr(err.text, "host h only"));
    assert_int_equal(restore(f, "g", path, &err), SV_ENOTFOUND);
    assert_int_equal(restore(f, "h", path, &err), SV_OK);
    svi_store *store;
    assert_int_equal(open_restored(&f->acct, path, &store, &err), SV_OK);
    assert_string_equal(value_of(store, "h/x/m", "juliet").text, "b1");
    assert_string_equal(value_of(store, "h/x/m", "tybalt").text, "new");
    assert_string_equal(value_of(store, "h/y/late", "tybalt").text, "new");
    assert_int_equal(value_of(store, "g/x/m", "romeo").status, SV_ENOTFOUND);
    assert_int_equal(value_of(store, "g/x/m", "tybalt").status, SV_ENOTFOUND);
    svi_store_close(&store);
    folder_remove(&dir);
}

static void test_no_such_host(void **state)
{
    fixture *f = *state;
    sv_err err = {.text = ""};
    svi_backup *backup;
    svi_backup_config config = {.fd = f->fd, .host = SV_STR("h/x"), .by_steps = true};
    assert_int_equal(svi_backup_start(f->store, &config, &backup, &err), SV_ENOTFOUND);
    config.host = SV_STR("hh");
    assert_int_equal(svi_backup_start(f->store, &config, &backup, &err), SV_ENOTFOUND);
    assert_non_null(strstr(err.text, "hh"));
}

/* One host comes back, the others stay as they are now. */
static void test_into_existing(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char old[300], new[300];
    sv_err err = {.text = ""};
    svi_store *store;
    svi_map *map;
    PATH_PRINT(old, "%s/old", dir.path);
    PATH_PRINT(new, "%s/new", dir.path);
    whole(f, "");
    assert_int_equal(open_restored(&f->acct, old, &store, &err), SV_OK);
    assert_int_equal(svi_store_map(store, SV_STR("h/x/m"), 2, &map, &err), SV_OK);
    put_row(store, map, "juliet", "now"); /* overwritten */
    put_row(store, map, "paris", "now");  /* goes: it was not there when the backup was made */
    assert_int_equal(svi_store_map(store, SV_STR("g/x/m"), 1, &map, &err), SV_OK);
    put_row(store, map, "romeo", "now"); /* stays */
    settle(store);
    svi_store_drop(&store); /* a kill: nothing of it is folded */
    assert_int_equal(open_restored(&f->acct, old, &store, &err), SV_OK);
    settle(store);
    svi_store_close(&store);

    char refused[310];
    PATH_PRINT(refused, "%s-refused", new);
    svi_backup_summary summary;
    svi_restore_config config = {.acct = &f->acct,
                                 .fd = f->fd,
                                 .host = SV_STR("h"),
                                 .keep_from = sv_str_of(old),
                                 .into = sv_str_of(refused)};
    assert_int_equal(svi_restore(&config, &summary, &err), SV_EEXIST);
    assert_non_null(strstr(err.text, "data of the host h"));
    config.overwrite = true;
    config.into = sv_str_of(new);
    assert_int_equal(svi_restore(&config, &summary, &err), SV_OK);
    assert_int_equal(open_restored(&f->acct, new, &store, &err), SV_OK);
    assert_string_equal(value_of(store, "h/x/m", "juliet").text, "b1");
    assert_int_equal(value_of(store, "h/x/m", "paris").status, SV_ENOTFOUND);
    assert_string_equal(value_of(store, "g/x/m", "romeo").text, "now");
    svi_store_close(&store);
    folder_remove(&dir);
}

static void test_secret(void **state)
{
    fixture *f = *state;
    svi_backup_summary s;
    sv_err err = {.text = ""};
    finish(f, begin(f, (svi_backup_config){
                           .fd = f->fd, .secret_name = SV_STR("salt"), .secret = SV_STR("pepper")}));
    assert_int_equal(svi_backup_verify(&f->acct, f->fd, &s, &err), SV_OK);
    assert_true(s.has_secret && s.secret_n == 6 && memcmp(s.secret, "pepper", 6) == 0);
    assert_string_equal(s.version, "test");
    assert_int_equal(s.commit, svi_store_committed(f->store));
    assert_int_equal(s.maps, 2);
    assert_int_equal(s.bytes, lseek(f->fd, 0, SEEK_END));
}

/* --- what ends a backup ---------------------------------------------------------------------------------- */

/* The text of the error that reading gives. */
static sv_err verify_fails(fixture *f, sv_status want)
{
    svi_backup_summary s;
    sv_err err = {.text = ""};
    assert_int_equal(svi_backup_verify(&f->acct, f->fd, &s, &err), want);
    assert_true(strlen(err.text) > 10);
    return err;
}

static void test_too_much_waits(void **state)
{
    fixture *f = *state;
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd, .queue_bytes = 5000});
    assert_int_equal(svi_backup_step(backup), SVI_BACKUP_MORE);
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    for (int i = 0; i < 3; i++) put_row(f->store, f->a, "romeo", text);
    settle(f->store);
    while (svi_backup_step(backup) == SVI_BACKUP_MORE) continue; /* they fit */
    const int64_t before = f->acct.live_bytes;
    for (int i = 0; i < 100; i++) {
        put_row(f->store, f->a, "romeo", text);
        settle(f->store);
    }
    assert_true(f->acct.live_bytes < before + 400000); /* it keeps no more of them */
    finish(f, backup);
    assert_int_equal(f->out.result.status, SV_ELIMIT);
    const sv_err err = verify_fails(f, SV_ECANCELED);
    assert_non_null(strstr(err.text, "more slowly"));
}

static void test_store_closes(void **state)
{
    fixture *f = *state;
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd});
    assert_int_equal(svi_backup_step(backup), SVI_BACKUP_MORE);
    put_row(f->store, f->a, "romeo", "waits");
    svi_backup_cancel(f->store);
    assert_int_equal(f->out.calls, 1);
    assert_int_equal(f->out.result.status, SV_ECANCELED);
    (void)verify_fails(f, SV_ECANCELED);
    whole(f, ""); /* the next one is not disturbed */
}

static void test_read_fails(void **state)
{
    fixture *f = *state;
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd});
    svi_engine_sim_plan(f->store->engine)->fail_read = 1;
    finish(f, backup);
    assert_int_equal(f->out.result.status, SV_EIO);
    (void)verify_fails(f, SV_ECANCELED);
}

static void test_disk_full(void **state)
{
    fixture *f = *state;
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    finish(f, begin(f, (svi_backup_config){.fd = full}));
    close(full);
    assert_int_equal(f->out.result.status, SV_ENOSPC);
    assert_non_null(strstr(f->out.result.err.text, "space"));
}

/* Nobody reads, or whoever read is gone: it ends by itself, and the store goes on. */
static void test_reader(void **state)
{
    fixture *f = *state;
    for (int gone = 0; gone < 2; gone++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        char *big = calloc(1, 400001);
        memset(big, 'x', 400000);
        put_row(f->store, f->a, "romeo", big);
        put_row(f->store, f->b, "juliet", big);
        settle(f->store);
        free(big);
        svi_backup *backup = begin(f, (svi_backup_config){.fd = ends[0], .stall_ms = 200});
        if (gone) close(ends[1]);
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe, NULL); /* as in the thread */
        finish(f, backup);
        assert_int_equal(f->out.result.status, gone ? SV_EIO : SV_ETIMEOUT);
        if (!gone) close(ends[1]);
        close(ends[0]);
    }
}

static void test_rate(void **state)
{
    fixture *f = *state;
    char text[2001];
    memset(text, 'x', sizeof text - 1);
    text[2000] = 0;
    char owner[16];
    for (int i = 0; i < 10; i++) {
        snprintf(owner, sizeof owner, "o%d", i);
        put_row(f->store, f->a, owner, text);
    }
    settle(f->store);
    svi_backup *backup =
        begin(f, (svi_backup_config){.fd = f->fd, .rate_bytes = 200000, .chunk_bytes = 1});
    int waits = 0;
    for (svi_backup_state s; (s = svi_backup_step(backup)) != SVI_BACKUP_OVER;) {
        waits += s == SVI_BACKUP_WAIT;
        svi_store_poll(f->store);
    }
    svi_store_poll(f->store);
    assert_int_equal(f->out.result.status, SV_OK);
    assert_true(waits > 10);
    assert_true(f->out.result.took_us >= 85000); /* 18 KB before the last chunk, at 200 KB/s */
}

/* --- bad files -------------------------------------------------------------------------------------------- */

/* The bytes of a good backup with rows and units. */
/* `late`: the units are committed when the scan has begun, so they come behind the rows. */
static sv_str make_file(fixture *f, bool late)
{
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd});
    assert_int_equal(svi_backup_step(backup), SVI_BACKUP_MORE);
    if (late) {
        svi_store_poll(f->store);
        while (svi_backup_step(backup) == SVI_BACKUP_WAIT) svi_store_poll(f->store);
    }
    put_row(f->store, f->a, "romeo", "later");
    put_row(f->store, f->b, "juliet", "later");
    settle(f->store);
    finish(f, backup);
    assert_int_equal(f->out.result.units, 2);
    const size_t n = (size_t)f->out.result.bytes;
    char *bytes = malloc(n + 100);
    assert_int_equal(pread(f->fd, bytes, n, 0), n);
    return (sv_str){bytes, n};
}

static sv_str good_file(fixture *f)
{
    return make_file(f, false);
}

static void write_file(fixture *f, const char *bytes, size_t n)
{
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(pwrite(f->fd, bytes, n, 0), n);
}

static void test_cut_anywhere(void **state)
{
    fixture *f = *state;
    svi_backup_summary s;
    sv_err err;
    const sv_str good = good_file(f);
    assert_int_equal(svi_backup_verify(&f->acct, f->fd, &s, &err), SV_OK);
    for (size_t n = 0; n < good.n; n++) {
        write_file(f, good.p, n);
        (void)verify_fails(f, n < 8 ? SV_EINVAL : SV_EIO);
    }
    char *longer = malloc(good.n + 1);
    memcpy(longer, good.p, good.n);
    longer[good.n] = 0;
    write_file(f, longer, good.n + 1);
    assert_non_null(strstr(verify_fails(f, SV_EIO).text, "follows its end"));
    free(longer);
    free((void *)(uintptr_t)good.p);
}

static void test_every_bit(void **state)
{
    fixture *f = *state;
    const sv_str good = good_file(f);
    char *bad = malloc(good.n);
    for (size_t i = 0; i < good.n; i++) {
        memcpy(bad, good.p, good.n);
        bad[i] = (char)(bad[i] ^ (1 << i % 8));
        write_file(f, bad, good.n);
        (void)verify_fails(f, i < 8 ? SV_EINVAL : SV_EIO);
    }
    free(bad);
    free((void *)(uintptr_t)good.p);
}

/* Where the frame with that number begins. */
static size_t frame_at(sv_str file, int number)
{
    size_t at = SVI_BACKUP_HEADER;
    for (; number > 0; number--) at += SVI_FRAME_HEAD + (size_t)svi_get_le(file.p + at + 4, 4);
    return at;
}

/* Whole frames that are missing, doubled or exchanged. */
static void test_frames_out_of_place(void **state)
{
    fixture *f = *state;
    const sv_str good = good_file(f);
    char *bad = malloc(2 * good.n);
    for (int i = 0; i < 4; i++) {
        const size_t a = frame_at(good, i), b = frame_at(good, i + 1);
        memcpy(bad, good.p, a);
        memcpy(bad + a, good.p + b, good.n - b);
        write_file(f, bad, good.n - (b - a));
        (void)verify_fails(f, SV_EIO);
        memcpy(bad, good.p, b);
        memcpy(bad + b, good.p + a, good.n - a);
        write_file(f, bad, good.n + (b - a));
        (void)verify_fails(f, SV_EIO);
    }
    free(bad);
    free((void *)(uintptr_t)good.p);
}

/* Checksums that are right do not make sense of what is none. */
static void reseal(char *bytes, size_t n)
{
    svi_crc crc;
    svi_crc_init(&crc);
    uint32_t seed = svi_crc32c(&crc, 0, bytes, 12);
    svi_put_le(bytes + 12, seed, 4);
    for (size_t at = SVI_BACKUP_HEADER; at + SVI_FRAME_HEAD <= n;) {
        const size_t m = SVI_FRAME_HEAD + (size_t)svi_get_le(bytes + at + 4, 4);
        if (m > n - at) return;
        seed = svi_frame_crc(&crc, seed, bytes + at, m);
        svi_put_le(bytes + at + 8, seed, 4);
        at += m;
    }
}

static void altered(fixture *f, sv_str good, size_t at, uint64_t value, unsigned n, sv_status want,
                    const char *text)
{
    char *bad = malloc(good.n);
    memcpy(bad, good.p, good.n);
    svi_put_le(bad + at, value, n);
    reseal(bad, good.n);
    write_file(f, bad, good.n);
    const sv_err err = verify_fails(f, want);
    if (!strstr(err.text, text)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, text));
    free(bad);
}

static void test_senseless(void **state)
{
    fixture *f = *state;
    const sv_str good = good_file(f);
    int last = 0;
    while (frame_at(good, last + 1) < good.n) last++;
    const size_t end = frame_at(good, last) + SVI_FRAME_HEAD;
    altered(f, good, 8, SVI_BACKUP_FORMAT + 1, 4, SV_EVERSION, "or a later one");
    altered(f, good, 8, SVI_BACKUP_FORMAT_OLDEST - 1, 4, SV_EVERSION, "use the release that made it");
    altered(f, good, frame_at(good, 0), 9, 1, SV_EIO, "no such kind");
    altered(f, good, frame_at(good, 0), SVI_FRAME_ROWS, 1, SV_EIO, "does not say");
    altered(f, good, frame_at(good, 0) + 4, SVI_BACKUP_FRAME_MAX + 1, 4, SV_EIO, "out of bounds");
    altered(f, good, end, 0, 8, SV_EIO, "no sense"); /* a commit before its units */
    altered(f, good, end + 8, 77, 8, SV_EIO, "no sense");
    altered(f, good, end + 16, 77, 8, SV_EIO, "no sense");
    const size_t unit = frame_at(good, 2); /* the second one */
    assert_int_equal(good.p[unit], SVI_FRAME_UNIT);
    altered(f, good, unit + SVI_FRAME_HEAD, svi_get_le(good.p + frame_at(good, 1) + SVI_FRAME_HEAD, 8), 8,
            SV_EIO, "no sense"); /* a number again */
    altered(f, good, unit + SVI_FRAME_HEAD + 9, 7, 1, SV_EIO, "no sense"); /* an operation */
    free((void *)(uintptr_t)good.p);
}

/* The same with its units before its rows, as a file of that format. */
static void write_units_first(fixture *f, sv_str good, uint32_t format)
{
    char *bytes = malloc(good.n);
    size_t n = frame_at(good, 1);
    memcpy(bytes, good.p, n);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 1; frame_at(good, i) < good.n; i++) {
            const size_t at = frame_at(good, i), m = frame_at(good, i + 1) - at;
            if ((good.p[at] == SVI_FRAME_UNIT) != (pass == 0)) continue;
            memcpy(bytes + n, good.p + at, m);
            n += m;
        }
    }
    assert_int_equal(n, good.n);
    svi_put_le(bytes + 8, format, 4);
    reseal(bytes, n);
    write_file(f, bytes, n);
    free(bytes);
}

/* In a file of format 2 rows come before units wherever they stand; since then they stand where they belong. */
static void test_older_format(void **state)
{
    fixture *f = *state;
    sv_err err = {.text = ""};
    const sv_str good = make_file(f, true);
    for (uint32_t format = SVI_BACKUP_FORMAT_OLDEST; format <= SVI_BACKUP_FORMAT; format++) {
        const folder dir = folder_make();
        char path[300];
        svi_store *store;
        PATH_PRINT(path, "%s/store", dir.path);
        write_units_first(f, good, format);
        assert_int_equal(restore(f, "", path, &err), SV_OK);
        assert_int_equal(open_restored(&f->acct, path, &store, &err), SV_OK);
        const got row = value_of(store, "g/x/m", "romeo");
        assert_string_equal(row.text, format == 2 ? "later" : "a1");
        svi_store_close(&store);
        folder_remove(&dir);
    }
    free((void *)(uintptr_t)good.p);
}

static void append_row(svi_store *store, svi_map *map, const char *owner, const char *bytes)
{
    svi_unit *unit = svi_unit_new(store);
    assert_int_equal(svi_unit_append(unit, map, sv_str_of(owner), SV_STR("k"), sv_str_of(bytes)), SV_OK);
    (void)svi_unit_submit(&unit);
}

/* What is appended while a backup is made is there once, whether the row was read before a fold or behind it. */
static void test_appended(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char path[300];
    sv_err err = {.text = ""};
    svi_store *store;
    svi_store_stats before, after;
    PATH_PRINT(path, "%s/store", dir.path);
    f->store->config.fold_ops = 1;
    for (int i = 0; i < 20; i++) append_row(f->store, f->a, "romeo", "+");
    settle(f->store);
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd, .chunk_bytes = 1});
    svi_store_stats_get(f->store, &before);
    for (int turn = 0; svi_backup_step(backup) != SVI_BACKUP_OVER; turn++) {
        if (turn < 30) append_row(f->store, f->a, "romeo", "-");
        if (turn < 30) append_row(f->store, f->b, "mercutio", "-");
        settle(f->store);
    }
    svi_store_stats_get(f->store, &after);
    assert_true(after.folds > before.folds + 2);
    while (f->out.calls == 0) svi_store_poll(f->store);
    assert_int_equal(f->out.result.status, SV_OK);
    assert_int_equal(restore(f, "", path, &err), SV_OK);
    assert_int_equal(open_restored(&f->acct, path, &store, &err), SV_OK);
    const got row = value_of(store, "g/x/m", "romeo"), other = value_of(store, "h/x/m", "mercutio");
    assert_int_equal(strncmp(row.text, "a1++++++++++++++++++++-", 23), 0);
    assert_int_equal(strlen(other.text), 30);
    assert_int_equal(strlen(row.text), 22 + 30);
    svi_store_close(&store);
    folder_remove(&dir);
}

/* Units that are not folded wait with the backup: it asks for a fold before they are too many. */
static void test_queue_asks_for_a_fold(void **state)
{
    fixture *f = *state;
    static char text[2000];
    svi_store_stats before, after;
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 300; i++) {
        char owner[20];
        snprintf(owner, sizeof owner, "o%d", i);
        put_row(f->store, f->a, owner, "v");
    }
    settle(f->store);
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd, .chunk_bytes = 1, .queue_bytes = 64 << 10});
    while (svi_backup_step(backup) != SVI_BACKUP_MORE || f->store->folded < f->store->committed) svi_store_poll(f->store);
    svi_store_stats_get(f->store, &before);
    for (int i = 0; i < 150; i++) {
        put_row(f->store, f->b, "juliet", text);
        settle(f->store);
        assert_int_not_equal(svi_backup_step(backup), SVI_BACKUP_OVER);
    }
    svi_store_stats_get(f->store, &after);
    assert_true(after.folds > before.folds + 3 && after.folds < before.folds + 40); /* none for a few units */
    finish(f, backup);
    assert_int_equal(f->out.result.status, SV_OK);
}

/* While a chunk is read the router goes on, and a fold is due. */
typedef struct racing {
    svi_engine_ops ops;
    const svi_engine_ops *of;
    fixture *f;
    int chunks;
} racing;

static void racing_range(svi_engine *e, svi_job *job)
{
    racing *r = (racing *)(uintptr_t)e->ops;
    append_row(r->f->store, r->f->a, "romeo", "+");
    r->chunks++;
    settle(r->f->store);
    for (int i = 0; i < 3; i++) svi_store_poll(r->f->store);
    r->of->range(e, job);
}

static void test_fold_under_a_scan(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char path[300];
    sv_err err = {.text = ""};
    svi_store *store;
    svi_engine *engine = f->store->engine;
    racing r = {.ops = *engine->ops, .of = engine->ops, .f = f};
    PATH_PRINT(path, "%s/store", dir.path);
    r.ops.range = racing_range;
    f->store->config.fold_ops = 1;
    svi_backup *backup = begin(f, (svi_backup_config){.fd = f->fd, .chunk_bytes = 1});
    engine->ops = &r.ops;
    while (svi_backup_step(backup) != SVI_BACKUP_OVER) svi_store_poll(f->store);
    engine->ops = r.of;
    while (f->out.calls == 0) svi_store_poll(f->store);
    assert_int_equal(f->out.result.status, SV_OK);
    assert_true(r.chunks >= 3);
    assert_int_equal(restore(f, "", path, &err), SV_OK);
    assert_int_equal(open_restored(&f->acct, path, &store, &err), SV_OK);
    const got row = value_of(store, "g/x/m", "romeo");
    assert_int_equal(strncmp(row.text, "a1+", 3), 0);
    assert_int_equal(strlen(row.text), 2 + r.chunks);
    svi_store_close(&store);
    folder_remove(&dir);
}

static void test_foreign(void **state)
{
    fixture *f = *state;
    assert_non_null(strstr(verify_fails(f, SV_EINVAL).text, "empty"));
    write_file(f, "PK\3\4 something else entirely, long enough", 40);
    assert_non_null(strstr(verify_fails(f, SV_EINVAL).text, "no backup"));
    int ends[2];
    svi_backup_summary s;
    sv_err err = {.text = ""};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(svi_backup_verify(&f->acct, ends[0], &s, &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "no pipe"));
    close(ends[0]);
    close(ends[1]);
}

/* A bad file leaves no store behind that a start would take, and says what is wrong before it makes one. */
static void test_bad_file_makes_nothing(void **state)
{
    fixture *f = *state;
    const folder dir = folder_make();
    char into[300];
    sv_err err;
    PATH_PRINT(into, "%s/store", dir.path);
    const sv_str good = good_file(f);
    write_file(f, good.p, good.n - 1);
    assert_int_equal(restore(f, "", into, &err), SV_EIO);
    assert_int_equal(access(into, F_OK), -1);
    free((void *)(uintptr_t)good.p);
    folder_remove(&dir);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sim),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_clashes),
        CASE(test_versions),
        CASE(test_one_host),
        CASE(test_no_such_host),
        CASE(test_into_existing),
        CASE(test_secret),
        CASE(test_too_much_waits),
        CASE(test_store_closes),
        CASE(test_read_fails),
        CASE(test_disk_full),
        CASE(test_reader),
        CASE(test_rate),
        CASE(test_cut_anywhere),
        CASE(test_every_bit),
        CASE(test_frames_out_of_place),
        CASE(test_senseless),
        CASE(test_foreign),
        CASE(test_older_format),
        CASE(test_appended),
        CASE(test_fold_under_a_scan),
        CASE(test_queue_asks_for_a_fold),
        CASE(test_bad_file_makes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
