/* A store engine in 200 lines: keeps all that the server stores in a data base of SQLite, one file.
 *
 * Shows what an engine does (<stave/engine.h>, doc/engines.md) with a library whose calls wait for the disk: one thread has
 * the data base and does one job after the other, each write in a transaction of its own. So after a kill a write is there
 * or it is not, and the library sees to that. README.md says what it lacks. */
#include <stave/engine.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TEXTS = 3, PATH_BYTES = 1024, PLACE_BYTES = 8192, JOBS = 1 << 20 };
enum {
    GET = SV_STORE_GET, SCAN = SV_STORE_SCAN, OWNERS = SV_STORE_OWNERS, RANGE = SV_STORE_RANGE,
    BEGIN, END, KEEP, FORGET, FOLDED, PUT, DELETE, CLEAR, RECORDS, STATEMENTS
};

/* ?1 is a number, the others are bytes, which SQLite orders as the server does, and behind each number. */
#define ROWS "SELECT owner, key, value FROM rows WHERE map = ?1 "
static const char *const sql[STATEMENTS] = {
    [GET] = ROWS "AND owner = ?2 AND key = ?3",
    [SCAN] = ROWS "AND owner = ?2",
    [OWNERS] = "SELECT DISTINCT owner, x'', x'' FROM rows WHERE map = ?1 AND owner > ifnull(?2, 0) ORDER BY owner",
    [RANGE] = ROWS "AND (owner, key) >= (?2, ?3) ORDER BY owner, key",
    [BEGIN] = "BEGIN IMMEDIATE",
    [END] = "COMMIT",
    [KEEP] = "INSERT INTO records VALUES (?1, ?2)",
    [FORGET] = "DELETE FROM records WHERE number <= ?1",
    [FOLDED] = "UPDATE folded SET last = ?1",
    [PUT] = "INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4)",
    [DELETE] = "DELETE FROM rows WHERE map = ?1 AND owner = ?2 AND key = ?3",
    [CLEAR] = "DELETE FROM rows WHERE map = ?1 AND owner = ?2",
    [RECORDS] = "SELECT last, number, record FROM folded LEFT JOIN records ORDER BY number",
};

/* For this process alone; what is written goes into a log beside the file first, which is synced at each commit. */
static const char schema[] =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS folded (id INTEGER PRIMARY KEY, last INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO folded VALUES (1, 0);"
    "CREATE TABLE IF NOT EXISTS rows (map INTEGER, owner BLOB, key BLOB, value BLOB NOT NULL,"
    " PRIMARY KEY (map, owner, key)) WITHOUT ROWID; COMMIT";

typedef struct sqlite_store {
    const sv_engine_api *engine;
    sv_str file; /* option */
    char path[PATH_BYTES];
    sv_worker *worker;
    sqlite3 *db; /* for `recover`, then for the thread, then for `stop` */
    sqlite3_stmt *statements[STATEMENTS];
    _Atomic uint64_t used, free;
} sqlite_store;

/* --- statements ---------------------------------------------------------------------------- */

/* A statement that begins anew, for these. */
static sqlite3_stmt *asked(const sqlite_store *me, int which, uint64_t number, sv_str a, sv_str b, sv_str c)
{
    const sv_str texts[TEXTS] = {a, b, c};
    sqlite3_stmt *s = me->statements[which];
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)number); /* that a statement has fewer is no harm */
    for (int i = 0; i < TEXTS; i++) {
        const char *p = texts[i].p || which == OWNERS ? texts[i].p : ""; /* NULL is another thing than no bytes */
        (void)sqlite3_bind_blob(s, i + 2, p, (int)texts[i].n, SQLITE_STATIC);
    }
    return s;
}

static bool done(const sqlite_store *me, int which, uint64_t number, sv_str a, sv_str b, sv_str c)
{
    sqlite3_stmt *s = asked(me, which, number, a, b, c);
    (void)sqlite3_step(s);
    return sqlite3_reset(s) == SQLITE_OK; /* it says how the step went */
}

static sv_str column(sqlite3_stmt *s, int which)
{
    const char *p = sqlite3_column_blob(s, which);
    return (sv_str){p ? p : "", (size_t)sqlite3_column_bytes(s, which)};
}

/* --- jobs ---------------------------------------------------------------------------------- */

/* If anything fails the server's worker ends, and the transaction was none. */
static bool write_job(const sqlite_store *me, sv_store_job *job)
{
    const sv_str none = SV_STR_NONE;
    sv_store_change c = {.size = sizeof c};
    bool ok = done(me, BEGIN, 0, none, none, none);
    for (size_t i = 0; i < job->record_count && ok; i++) ok = done(me, KEEP, job->first + i, job->records[i], none, none);
    for (size_t i = 0; ok && job->kind == SV_STORE_FOLD && me->engine->job_change(job, i, &c); i++)
        ok = done(me, c.all ? CLEAR : c.value.p ? PUT : DELETE, c.map, c.owner, c.key, c.value);
    if (ok && job->kind == SV_STORE_FOLD)
        ok = done(me, FORGET, job->last, none, none, none) && done(me, FOLDED, job->last, none, none, none);
    return ok && done(me, END, 0, none, none, none);
}

/* Where a range goes on: the owner's length, the owner, the key. */
static void go_on(const sqlite_store *me, sv_store_job *job, sv_str owner, sv_str key)
{
    char place[PLACE_BYTES];
    memcpy(place, &owner.n, sizeof owner.n);
    memcpy(place + sizeof owner.n, owner.p, owner.n);
    memcpy(place + sizeof owner.n + owner.n, key.p, key.n);
    me->engine->job_more(job, (sv_str){place, sizeof owner.n + owner.n + key.n});
}

static bool read_job(const sqlite_store *me, sv_store_job *job)
{
    sv_str owner = job->owner, key = job->key;
    if (job->kind == SV_STORE_RANGE && job->from.n > 0) {
        memcpy(&owner.n, job->from.p, sizeof owner.n);
        owner.p = job->from.p + sizeof owner.n;
        key = (sv_str){owner.p + owner.n, job->from.n - sizeof owner.n - owner.n};
    }
    sqlite3_stmt *s = asked(me, (int)job->kind, job->map, owner, key, SV_STR_NONE);
    size_t count = 0, bytes = 0;
    for (; sqlite3_step(s) == SQLITE_ROW; count++) {
        const sv_str row[] = {column(s, 0), column(s, 1), column(s, 2)};
        const bool is_range = job->kind == SV_STORE_RANGE;
        if (is_range && bytes >= job->max_bytes) go_on(me, job, row[0], row[1]);
        if (job->kind == SV_STORE_OWNERS && count >= job->max) me->engine->job_more(job, SV_STR_NONE);
        if (is_range ? bytes >= job->max_bytes : job->kind == SV_STORE_OWNERS && count >= job->max) break;
        me->engine->job_row(job, row[0], row[1], row[2]);
        bytes += row[0].n + row[1].n + row[2].n;
    }
    return sqlite3_reset(s) == SQLITE_OK;
}

static void look_at_space(sqlite_store *me)
{
    struct stat file;
    struct statvfs disk;
    if (stat(me->path, &file) == 0) atomic_store(&me->used, (uint64_t)file.st_size);
    if (statvfs(me->path, &disk) == 0) atomic_store(&me->free, (uint64_t)disk.f_bavail * disk.f_frsize);
}

static void run(sv_worker *worker, void *ctx)
{
    sqlite_store *me = ctx;
    while (!me->engine->worker_ends(worker)) {
        sv_store_job *job = me->engine->take(worker, -1);
        if (!job) continue;
        const bool ok = job->kind == SV_STORE_COMMIT || job->kind == SV_STORE_FOLD ? write_job(me, job) : read_job(me, job);
        look_at_space(me);
        me->engine->job_done(job, ok ? SV_OK : SV_EIO, ok ? NULL : sqlite3_errmsg(me->db));
    }
}

/* --- what the server asks ------------------------------------------------------------------ */

static sv_status recover(sv_recovery *to, sv_durability durability, sv_err *err, void *self)
{
    sqlite_store *me = self;
    sv_status status = SV_OK;
    (void)durability; /* the most in any case */
    const int n = snprintf(me->path, sizeof me->path, "%.*s", (int)me->file.n, me->file.p ? me->file.p : "");
    if (me->path[0] != '/' || n >= PATH_BYTES)
        return (void)snprintf(err->text, sizeof err->text, "sqlite_store_file must be a path from / on"), SV_EINVAL;
    const int fd = open(me->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); /* there are keys of passwords in it */
    if (fd >= 0) (void)close(fd);
    int rc = sqlite3_open_v2(me->path, &me->db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(me->db, schema, NULL, NULL, NULL);
    for (int i = GET; rc == SQLITE_OK && i < STATEMENTS; i++) rc = sqlite3_prepare_v2(me->db, sql[i], -1, &me->statements[i], NULL);
    sqlite3_stmt *s = me->statements[RECORDS];
    while (rc == SQLITE_OK && status == SV_OK && sqlite3_step(s) == SQLITE_ROW) {
        me->engine->recover_folded(to, (uint64_t)sqlite3_column_int64(s, 0));
        if (sqlite3_column_type(s, 1) != SQLITE_NULL)
            status = me->engine->recover_unit(to, (uint64_t)sqlite3_column_int64(s, 1), column(s, 2));
    }
    if (rc == SQLITE_OK) rc = sqlite3_reset(s);
    look_at_space(me);
    if (rc == SQLITE_OK) return status;
    (void)snprintf(err->text, sizeof err->text, "%.100s (sqlite_store_file = \"%.100s\")", sqlite3_errmsg(me->db), me->path);
    return rc == SQLITE_BUSY ? SV_EBUSY : SV_EIO;
}

static void on_job(sv_store_job *job, void *self)
{
    const sqlite_store *me = self;
    if (me->engine->give(me->worker, job) != SV_OK) me->engine->job_done(job, SV_ELIMIT, "too many jobs wait");
}

static void on_undone(void *item, void *self)
{
    ((const sqlite_store *)self)->engine->job_done(item, SV_ECANCELED, "the server ends");
}

static void space(sv_store_space *space_out, void *self)
{
    sqlite_store *me = self;
    space_out->rows = atomic_load(&me->used);
    space_out->free = atomic_load(&me->free);
}

static sv_status start(sv_mod *mod, void *self)
{
    static const sv_store_engine store = {.size = sizeof store, .recover = recover, .start = on_job, .space = space};
    sqlite_store *me = self;
    me->engine = (const sv_engine_api *)sv->query("engine", 1);
    if (!me->engine) return SV_EVERSION;
    const sv_worker_desc desc = {
        .size = sizeof desc, .name = "sqlite", .run = run, .ctx = me, .undone = on_undone, .give_max = JOBS};
    const sv_status status = me->engine->store_register(mod, &store);
    return status == SV_OK ? me->engine->worker(mod, &desc, &me->worker) : status;
}

static void stop(void *self)
{
    sqlite_store *me = self;
    for (int i = GET; i < STATEMENTS; i++) (void)sqlite3_finalize(me->statements[i]);
    (void)sqlite3_close(me->db);
}

static const sv_option options[] = {SV_OPT_STRING(sqlite_store, file, "sqlite_store_file", NULL, "The data base's file."), {0}};

SV_ENGINE(.name = "sqlite-store", .summary = "Keeps the store in a file of SQLite", .self_size = sizeof(sqlite_store),
          .options = options, .needs = "engine 1", .start = start, .stop = stop)
