/* Power cuts: every write, sync and change of names that journal and LMDB make is recorded; then the folder is built as it may be
 * after a cut at a sampled moment (all that was synced, any part of what was not), opened, and held against the model.
 * So it is after a worker was killed and started again: what it had written is in memory, what it had not synced is not on disk,
 * and what a failed sync left behind no later sync brings there.
 *
 * The system calls are recorded by functions of the same names here, which the libraries resolve to. */
#include "store/store_model_test.h"
/* after cmocka */
#include "store/store_folder_test.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { EVENTS_MAX = 60000, FILES_MAX = 400, BLOCK = 512, ROUNDS = 20, UNITS_MAX = 2000 };

typedef enum kind { WRITE, SIZE, SYNC, CREATE, RENAME, UNLINK, NAMES_SYNC, TOLD } kind;

typedef struct event {
    kind kind;
    int file;      /* index of the file */
    bool synced;   /* WRITE: through a descriptor that syncs */
    bool gone;     /* WRITE: its sync failed; the kernel keeps it in memory and does not try again */
    size_t at, n;  /* WRITE; SIZE: n */
    char *data;    /* WRITE: bytes; CREATE, RENAME: name in the folder */
    uint64_t told; /* TOLD */
} event;

/* Where a worker is killed: before any call; in a write that syncs (LMDB's meta page); in a sync that fails. */
typedef enum kill_kind { KILL_ANYWHERE, KILL_IN_SYNCED_WRITE, KILL_IN_FAILED_SYNC } kill_kind;

typedef struct recorder {
    bool on;
    kill_kind kill;
    size_t kill_at; /* at the first such call when there are so many events; 0: not at all */
    bool dead;      /* nothing reaches the kernel any more */
    char path[200];
    event *events;
    size_t count;
    ino_t files[FILES_MAX];
    int file_count;
} recorder;

static recorder rec;

/* --- recording ------------------------------------------------------------------------------------- */

/* Before each call: whether the worker is dead. */
static bool is_dead(kill_kind how)
{
    if (rec.on && rec.kill_at > 0 && rec.kill == how && rec.count >= rec.kill_at) rec.dead = true;
    if (rec.dead) errno = EIO;
    return rec.dead;
}

static event *add(kind k, int file)
{
    assert_true(rec.count < EVENTS_MAX);
    event *e = &rec.events[rec.count++];
    *e = (event){.kind = k, .file = file};
    return e;
}

/* The file's index, -1 if it isn't in the folder; a new one is an event of its own. */
static int file_of(int fd)
{
    char link[64], path[PATH_MAX];
    struct stat st;
    if (!rec.on || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return -1;
    for (int i = 0; i < rec.file_count; i++)
        if (rec.files[i] == st.st_ino) return i;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return -1;
    path[n] = 0;
    const size_t prefix = strlen(rec.path);
    if (strncmp(path, rec.path, prefix) != 0) return -1;
    assert_true(rec.file_count < FILES_MAX);
    rec.files[rec.file_count] = st.st_ino;
    add(CREATE, rec.file_count)->data = strdup(path + prefix + 1);
    return rec.file_count++;
}

static void note_write(int fd, const void *data, size_t n, off_t at)
{
    const int file = file_of(fd);
    if (file < 0) return;
    event *e = add(WRITE, file);
    e->at = (size_t)at;
    e->n = n;
    e->data = malloc(n + 1);
    memcpy(e->data, data, n);
    e->synced = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    if (e->synced && is_dead(KILL_IN_SYNCED_WRITE)) e->synced = false;
}

static void note_sync(int fd)
{
    struct stat st;
    if (!rec.on || fstat(fd, &st) != 0) return;
    if (S_ISDIR(st.st_mode)) {
        add(NAMES_SYNC, -1);
        return;
    }
    const int file = file_of(fd);
    if (file >= 0) add(SYNC, file);
}

/* What was written to the file since its last sync stays away from the disk. */
static bool sync_fails(int fd)
{
    if (rec.dead || !is_dead(KILL_IN_FAILED_SYNC)) return rec.dead;
    const int file = file_of(fd);
    for (size_t i = rec.count; i-- > 0;) {
        event *e = &rec.events[i];
        if (e->file != file) continue;
        if (e->kind == SYNC) break;
        e->gone = e->kind == WRITE;
    }
    return true;
}

static void note_size(int fd, size_t n)
{
    const int file = file_of(fd);
    if (file >= 0) add(SIZE, file)->n = n;
}

static int file_named(int dir_fd, const char *name)
{
    struct stat st;
    if (!rec.on || fstatat(dir_fd, name, &st, 0) != 0) return -1;
    for (int i = 0; i < rec.file_count; i++)
        if (rec.files[i] == st.st_ino) return i;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (is_dead(KILL_ANYWHERE)) return -1;
    note_write(fd, data, n, at);
    return syscall(SYS_pwrite64, fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
    return pwrite(fd, data, n, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        const ssize_t n = pwrite(fd, parts[i].iov_base, parts[i].iov_len, at + sum);
        if (n < 0) return n;
        sum += n;
    }
    return sum;
}

ssize_t write(int fd, const void *data, size_t n)
{
    if (rec.on && file_of(fd) >= 0) {
        if (is_dead(KILL_ANYWHERE)) return -1;
        note_write(fd, data, n, lseek(fd, 0, SEEK_CUR));
    }
    return syscall(SYS_write, fd, data, n);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        const ssize_t n = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (n < 0) return n;
        sum += n;
    }
    return sum;
}

int fdatasync(int fd)
{
    if (is_dead(KILL_ANYWHERE) || sync_fails(fd)) return -1;
    note_sync(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    if (is_dead(KILL_ANYWHERE) || sync_fails(fd)) return -1;
    note_sync(fd);
    return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t n)
{
    if (is_dead(KILL_ANYWHERE)) return -1;
    note_size(fd, (size_t)n);
    return (int)syscall(SYS_ftruncate, fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    if (is_dead(KILL_ANYWHERE)) return -1;
    if (mode == 0) note_size(fd, (size_t)(at + n));
    return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (is_dead(KILL_ANYWHERE)) return -1;
    const int file = file_named(from_fd, from);
    if (file >= 0) add(RENAME, file)->data = strdup(to);
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
    if (is_dead(KILL_ANYWHERE)) return -1;
    const int file = file_named(dir_fd, name);
    if (file >= 0) {
        add(UNLINK, file);
        rec.files[file] = 0; /* the number may be given to a new file */
    }
    return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
}

static void told(void *ctx, uint64_t commit)
{
    model_committed(ctx, commit);
    if (rec.on) add(TOLD, -1)->told = commit;
}

/* --- after the cut --------------------------------------------------------------------------------- */

typedef struct image {
    char name[64]; /* empty: not there */
    char *bytes;
    size_t n, cap;
} image;

static void image_put(image *im, size_t at, const char *data, size_t n)
{
    if (at + n > im->cap) {
        const size_t cap = (at + n) * 2;
        im->bytes = realloc(im->bytes, cap);
        memset(im->bytes + im->cap, 0, cap - im->cap);
        im->cap = cap;
    }
    if (n > 0) memcpy(im->bytes + at, data, n);
    if (at + n > im->n) im->n = at + n;
}

/* What of the events before `cut` is on disk: synced writes, and of the others each block by the toss of a coin. `lost` of 0
 * keeps all, 1 loses all that may be lost, 2 tosses. */
static void image_build(image *images, size_t cut, int lost, model *m)
{
    size_t synced[FILES_MAX] = {0}, names = 0;
    for (size_t i = 0; i < cut; i++) {
        if (rec.events[i].kind == SYNC) synced[rec.events[i].file] = i;
        if (rec.events[i].kind == NAMES_SYNC) names = i;
    }
    /* names change in order: some number of changes after the last sync of the folder has arrived */
    const size_t names_end = lost == 0 ? cut : lost == 1 ? names : names + rnd(m, cut - names + 1);
    for (size_t i = 0; i < cut; i++) {
        const event *e = &rec.events[i];
        image *im = e->file >= 0 ? &images[e->file] : NULL;
        if (e->kind == SIZE) {
            if (e->n < im->n) memset(im->bytes + e->n, 0, im->n - e->n);
            if (e->n > im->n) image_put(im, e->n, "", 0);
            im->n = e->n;
        } else if (e->kind == WRITE) {
            const bool sure = e->synced || (i < synced[e->file] && !e->gone) || lost == 0;
            for (size_t at = 0; at < e->n; at += BLOCK) {
                const size_t n = e->n - at < BLOCK ? e->n - at : BLOCK;
                if (sure || (lost == 2 && rnd(m, 2))) image_put(im, e->at + at, e->data + at, n);
            }
        } else if ((e->kind == CREATE || e->kind == RENAME) &&
                   (i < names_end || i < synced[e->file])) {
            PATH_PRINT(im->name, "%s", e->data); /* a synced new file has its name */
        } else if (e->kind == UNLINK && i < names_end) {
            im->name[0] = 0;
        }
    }
}

static folder image_write(const image *images)
{
    const folder to = folder_make();
    char path[400];
    PATH_PRINT(path, "%s/index", to.path);
    mkdir(path, 0700);
    for (int i = 0; i < rec.file_count; i++) {
        if (!images[i].name[0] || strstr(images[i].name, "lock")) continue;
        PATH_PRINT(path, "%s/%s", to.path, images[i].name);
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, images[i].bytes, images[i].n), images[i].n);
        close(fd);
    }
    return to;
}

static void turn(model *m)
{
    (void)m; /* single thread: the poll does it */
}

static svi_engine *engine_make(model *m, const char *path)
{
    const svi_lmdb_config config = {.path = sv_str_of(path),
                                    .segment_bytes = 64 << 10,
                                    .reserve_bytes = 1 << 20,
                                    .single_thread = true};
    svi_engine *engine = NULL;
    sv_err err;
    assert_int_equal(svi_engine_lmdb(&m->acct, &config, &engine, &err), SV_OK);
    return engine;
}

static void check_cut(const model *m, size_t cut, int lost)
{
    model copy = *m;
    image *images = calloc(FILES_MAX, sizeof *images);
    _Atomic uint64_t committed = 0;
    for (size_t i = 0; i < cut; i++)
        if (rec.events[i].kind == TOLD) committed = rec.events[i].told;
    copy.rng += cut * 977 + (uint64_t)lost;
    image_build(images, cut, lost, &copy);
    const folder dir = image_write(images);
    copy.log = calloc(LOG_MAX, sizeof *copy.log);
    memcpy(copy.log, m->log, UNITS_MAX * sizeof *copy.log); /* the rest is megabytes of nothing */
    assert_int_equal(m->log[UNITS_MAX - 1].count, 0);
    copy.told = &committed;
    copy.seen_committed = committed;
    copy.acct = (svi_acct){.name = "copy"};
    model_copied(&copy);
    model_open(&copy, engine_make(&copy, dir.path), 0);
    check_all(&copy, turn);
    svi_store_drop(&copy.store);
    drop_all_held(&copy);
    assert_int_equal(copy.acct.live_count, 0);
    model_forget(&copy);
    for (int i = 0; i < FILES_MAX; i++) free(images[i].bytes);
    free(images);
    free(copy.log);
    folder_remove(&dir);
}

/* Records a store's life of so many turns; returns how many events its opening took. */
static size_t record_life(model *m, const folder *dir, int turns)
{
    rec = (recorder){.on = true, .events = calloc(EVENTS_MAX, sizeof *rec.events)};
    PATH_PRINT(rec.path, "%s", dir->path);
    model_open(m, engine_make(m, dir->path), 0);
    const size_t opened = rec.count;
    m->store->config.committed = told;
    for (int i = 0; i < turns; i++) {
        if (rnd(m, 2))
            do_unit(m);
        else
            svi_store_poll(m->store);
        if (rnd(m, 20) == 0) svi_plat_virtual_advance(&m->clock, 700000);
    }
    rec.on = false;
    svi_store_stats stats;
    svi_store_stats_get(m->store, &stats);
    assert_true(stats.folds > 5);
    svi_store_drop(&m->store);
    size_t syncs = 0, synced_writes = 0;
    for (size_t i = 0; i < rec.count; i++) {
        syncs += rec.events[i].kind == SYNC;
        synced_writes += rec.events[i].synced;
    }
    assert_true(syncs > 20 && rec.count > 3 * syncs); /* the recorder does see what is done */
    assert_true(synced_writes > 5); /* LMDB writes its meta pages through a descriptor that syncs */
    return opened;
}

static void forget_life(void)
{
    for (size_t i = 0; i < rec.count; i++) free(rec.events[i].data);
    free(rec.events);
    rec = (recorder){.on = false};
}

static void test_power_cuts(void **state)
{
    (void)state;
    const folder dir = folder_make();
    model m;
    model_init(&m, 91);
    const size_t opened = record_life(&m, &dir, 500);
    for (int i = 0; i < 120; i++) check_cut(&m, opened + rnd(&m, rec.count - opened + 1), i % 3);
    forget_life();
    model_free(&m);
    folder_remove(&dir);
}

/* A cut behind every single event, with all that may be lost kept, lost, and tossed for several times. */
static void test_every_prefix(void **state)
{
    (void)state;
    const folder dir = folder_make();
    model m;
    model_init(&m, 92);
    const size_t opened = record_life(&m, &dir, 300);
    for (size_t cut = opened; cut <= rec.count; cut++)
        for (int i = 0; i < 5; i++) check_cut(&m, cut, i < 2 ? i : 2);
    print_message("%zu cuts of %zu events\n", (rec.count - opened + 1) * 5, rec.count - opened);
    forget_life();
    model_free(&m);
    folder_remove(&dir);
}

static void record_until_dead(model *m, const folder *dir, kill_kind how)
{
    rec = (recorder){.on = true, .events = rec.events, .kill = how, .kill_at = SIZE_MAX};
    PATH_PRINT(rec.path, "%s", dir->path);
    model_open(m, engine_make(m, dir->path), 0);
    if (m->durability == SVI_DURABLE_SYNC) m->store->config.committed = told;
    rec.kill_at = rec.count + 1 + rnd(m, 600);
    while (!rec.dead) {
        assert_true(rec.count < EVENTS_MAX / 2);
        do_unit(m);
        svi_store_poll(m->store);
    }
    svi_store_drop(&m->store);
    rec.dead = false;
    rec.kill_at = 0;
}

/* What a new worker finds it takes for committed: from then on a cut must not take it away. In each fourth round the
 * operator has turned `durability` up from `write` in between. */
static void test_power_cuts_after_a_kill(void **state)
{
    (void)state;
    rec.events = calloc(EVENTS_MAX, sizeof *rec.events);
    for (int round = 0; round < ROUNDS; round++) {
        const folder dir = folder_make();
        model m;
        model_init(&m, 1000 + (uint64_t)round);
        m.durability = round % 4 == 3 ? SVI_DURABLE_WRITE : SVI_DURABLE_SYNC;
        record_until_dead(&m, &dir, (kill_kind)(round % 4 % 3));
        const size_t killed = m.durability == SVI_DURABLE_SYNC ? rec.count : 0;
        m.durability = SVI_DURABLE_SYNC;
        model_open(&m, engine_make(&m, dir.path), 0);
        add(TOLD, -1)->told = m.seen_committed;
        const size_t from = killed > 0 ? killed : rec.count;
        m.store->config.committed = told;
        for (size_t i = rnd(&m, 12); i > 0; i--) {
            do_unit(&m);
            svi_store_poll(m.store);
        }
        rec.on = false;
        svi_store_drop(&m.store);
        for (int i = 0; i < 3; i++)
            check_cut(&m, i == 0 ? rec.count : from + rnd(&m, rec.count - from + 1), 1 + i % 2);
        for (size_t i = 0; i < rec.count; i++) {
            free(rec.events[i].data);
            rec.events[i] = (event){0};
        }
        model_free(&m);
        folder_remove(&dir);
    }
    free(rec.events);
}

/* With the word `every` as its argument: the one that takes minutes. */
int main(int argc, char **argv)
{
    const struct CMUnitTest every[] = {cmocka_unit_test(test_every_prefix)};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_cuts),
                                       cmocka_unit_test(test_power_cuts_after_a_kill)};
    if (argc > 1 && strcmp(argv[1], "every") == 0) return cmocka_run_group_tests(every, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
