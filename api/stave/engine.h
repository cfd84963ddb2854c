/* The group "engine": for the few modules that must hold sockets or threads, since the library they speak to a
 * data base or a directory with does. `sv->query("engine", 1)` gives the table.
 *
 * Such a module is declared with SV_ENGINE in place of SV_MODULE. It is checked as others are, except that its
 * code may start threads and have thread-local variables; in return that code is loaded once: a reload of the
 * configuration gives it a new `self` as any module, other code comes with the next start of the server.
 *
 * Three rules. On the routing thread nothing waits: a call that may block belongs in a worker. On any other thread
 * nothing of the server is called but what says "any thread" or "the worker's thread" below, and of the table
 * `sv`: log, now_s and now_ms. And what was told to the core ends with stop(): of a module's own threads none may
 * run or call wake() any more when its stop() returns.
 *
 * On the stage deadlines are those of its clock; threads and descriptors are real. Before anything else happens there, each
 * worker has done what it was given: it has called take() again, or ended. What a library does in threads of its own
 * the stage can't wait for. */
#ifndef STAVE_ENGINE_H
#define STAVE_ENGINE_H

#include <stave/module.h>

#define SV_ENGINE_VERSION 1

/* A descriptor that is looked at; a wake-up; a deadline; a thread. */
typedef struct sv_watch sv_watch;
typedef struct sv_waker sv_waker;
typedef struct sv_deadline sv_deadline;
typedef struct sv_worker sv_worker;

#define SV_WATCH_READ 1u
#define SV_WATCH_WRITE 2u

/* `what` is SV_WATCH_...; a descriptor that has an error or was hung up is both. */
typedef void (*sv_watch_fn)(sv_watch *watch, uint32_t what, void *ctx, void *self);
typedef void (*sv_wake_fn)(void *ctx, void *self);

/* A worker as it is declared. */
typedef struct sv_worker_desc {
    uint32_t size; /* of this struct */
    /* Shown as the thread's name and in the log; 1 to 15 bytes. */
    const char *name;
    /* The thread: returns when worker_ends() says so, soon after. When the server ends it is waited for three
     * seconds and then left, without a stop(); so a library's call that it may be in has a shorter time limit.
     * A store engine finishes its jobs all the same. Worker's thread. */
    void (*run)(sv_worker *worker, void *ctx);
    void *ctx;
    /* Gets what was posted, each once, in the order of posting; what is left when the thread has ended comes
     * before stop(). May be NULL if nothing is posted. Routing thread. */
    void (*result)(void *item, void *self);
    /* Gets, before stop(), what was given and never taken. May be NULL if nothing is given. Routing thread. */
    void (*undone)(void *item, void *self);
    /* Bounds of what is given and not taken, posted and not delivered; 0: 1024 each. */
    uint32_t give_max, post_max;
} sv_worker_desc;

/* --- what a store engine does -------------------------------------------------------- */

/* Where a start puts what was committed; lives during `recover`. */
typedef struct sv_recovery sv_recovery;

/* generated from api/stave.lua by `make generate`: sv_durability */
/* What a commit must survive before it is told done. */
typedef enum sv_durability {
    SV_DURABLE_SYNC = 0,  /* a power cut */
    SV_DURABLE_WRITE = 1, /* the end of every process */
    SV_DURABLE_NONE = 2   /* nothing: it may be told before it is written */
} sv_durability;
/* generated: end */

/* generated from api/stave.lua by `make generate`: sv_store_kind */
/* What a job asks of a store engine. */
typedef enum sv_store_kind {
    SV_STORE_COMMIT = 1, /* keep records */
    SV_STORE_FOLD = 2,   /* apply changes to the rows, forget the records they came of */
    SV_STORE_GET = 3,    /* one row */
    SV_STORE_SCAN = 4,   /* all rows of an owner in a map */
    SV_STORE_OWNERS = 5, /* owners of a map, in order */
    SV_STORE_RANGE = 6   /* all rows of a map, piece by piece */
} sv_store_kind;
/* generated: end */

/* One piece of work:
 *
 * COMMIT: keep `records`, whose numbers are `first` to `last` without gaps. Done when they are durable, all or none.
 *
 * FOLD: apply all changes (job_change) to the rows, then forget the records up to `last`: all of that or none, and after
 * a kill at any moment either before or after it.
 *
 * GET: the row of map, owner and key: job_row, or none. SCAN: all rows of map and owner, in any order.
 *
 * OWNERS: in order of bytes, up to `max` owners of the map that have rows and come after `owner` (from the first if its
 * .p is NULL): job_row with empty key and value; if there are more, job_more with nothing.
 *
 * RANGE: all rows of the map in an order that stays, from the place `from` on (the first, if it is empty), about
 * `max_bytes` of them; if there are more, job_more with the place to go on: bytes that mean something to this engine
 * alone, 1 to 8192.
 *
 * All it points to stays until job_done; what a record's bytes mean is the server's. Owners have up to 1023 bytes, keys
 * 3071, values 1 MiB, a record 4 MiB, any bytes in all of them. Members are appended. */
typedef struct sv_store_job {
    uint32_t size; /* of this struct */
    sv_store_kind kind;
    uint64_t first, last;
    const sv_str *records;
    size_t record_count;
    uint32_t map;
    sv_str owner, key;
    size_t max, max_bytes;
    sv_str from;
} sv_store_job;

/* One change of a fold. They come sorted by map, owner and key in order of bytes, one of a key, and an `all`
 * before the keys of its owner. Members are appended. */
typedef struct sv_store_change {
    uint32_t size; /* of this struct, which the module sets: job_change fills so much of it */
    uint32_t map;
    sv_str owner, key;
    sv_str value; /* .p NULL: the row goes */
    bool all;     /* all rows of map and owner that were there before this fold go */
} sv_store_change;

/* What is free for new work, and what is used, in bytes. Below the server's watermark (16 MiB) what would be
 * stored is refused, so say what is known to be free, or UINT64_MAX. Members are appended. */
typedef struct sv_store_space {
    uint32_t size; /* of this struct, which the server sets */
    uint64_t free, journal, rows;
} sv_store_space;

/* A store engine: keeps records until they are folded, and rows. Members are appended. */
typedef struct sv_store_engine {
    uint32_t size; /* of this struct */
    /* At the start, once; may wait as long as it takes for a data base that is not there yet. Gives every record
     * that is newer than the last fold to recover_unit in order, and recover_folded the number of that fold.
     * SV_EIO for what is damaged, SV_EBUSY if another server has it, with text: the server does not start. Routing
     * thread, where nobody is served yet. */
    sv_status (*recover)(sv_recovery *to, sv_durability durability, sv_err *err, void *self);
    /* Takes a job; job_done ends it, at once or later, in any case. Commits are done in the order given, one at a
     * time, and so are folds; reads in any order, and see each fold that is done. Reads and a fold come while a
     * commit is under way. A commit or fold that fails ends the server's worker, since nobody can tell what is
     * stored then; so a data base that does not answer needs a time limit. But a fold that found no space may end with
     * SV_ENOSPC, if it has changed nothing: it comes again, once a second. A read that fails is an error for who asked. Not always the routing thread, but never two calls at a time; must not wait. */
    void (*start)(sv_store_job *job, void *self);
    /* What is free and used as far as is known now. Routing thread; must not wait. */
    void (*space)(sv_store_space *space_out, void *self);
} sv_store_engine;

/* --- the table ----------------------------------------------------------------------- */

/* Its members are local and native only: a module in another process has a loop of its own. Each takes handles of
 * engine modules alone; to any other watch, deadline, worker and store_register say SV_EDENIED, and waker gives NULL. Unless said otherwise they belong to the routing thread. */
typedef struct sv_engine_api {
    uint32_t size, version;

    /* Calls `call` whenever the descriptor is ready for one of `what`. It stays the module's, which closes it
     * after unwatch; one descriptor is watched once. SV_EINVAL if it can't be watched, SV_ELIMIT above 1024. */
    sv_status (*watch)(sv_mod *mod, int fd, uint32_t what, sv_watch_fn call, void *ctx,
                       sv_watch **watch_out);
    /* Looks for something else from now on; 0: for nothing. */
    void (*watch_for)(sv_watch *watch, uint32_t what);
    /* Ends it and clears the pointer; no call comes after this. May be called from its own. */
    void (*unwatch)(sv_watch **watch);

    /* A wake-up for threads that a library started. It lives until stop() has returned. NULL above 64. */
    sv_waker *(*waker)(sv_mod *mod, sv_wake_fn call, void *ctx);
    /* Has `call` run on the routing thread soon: once for all calls before it runs, and what was written before is
     * seen there. Any thread; not after stop() has returned. After that, none is delivered. */
    void (*wake)(sv_waker *waker);

    /* Calls `call` once, in about `ms` (0 to a year); *deadline_out is good until then. SV_ELIMIT above 1024. */
    sv_status (*deadline)(sv_mod *mod, int64_t ms, sv_wake_fn call, void *ctx,
                          sv_deadline **deadline_out);
    /* Ends one that has not run and clears the pointer. */
    void (*deadline_cancel)(sv_deadline **deadline);

    /* Starts a thread that lives until the module ends: it is then told to end, joined, and after that stop() is
     * called. All signals are blocked in it. SV_EINVAL for a bad description, SV_ELIMIT above 16 or if the system
     * has no thread to give. */
    sv_status (*worker)(sv_mod *mod, const sv_worker_desc *desc, sv_worker **worker_out);
    /* Hands it a thing to do. SV_ELIMIT: as many wait as may; SV_ECLOSED: it was told to end. Then nothing was
     * given. Any thread. */
    sv_status (*give)(sv_worker *worker, void *item);
    /* The next thing in the order of giving; waits up to `ms` for it (-1: until there is one). NULL: the time is
     * over, or the worker was told to end. The worker's thread. */
    void *(*take)(sv_worker *worker, int64_t ms);
    /* A descriptor that is readable while there is something to take, and from when the worker is told to end; to
     * poll with others, not to be read or closed. The worker's thread. */
    int (*worker_fd)(const sv_worker *worker);
    /* Whether it was told to end. Any thread. */
    bool (*worker_ends)(const sv_worker *worker);
    /* Hands a result to the routing thread; waits while as many are under way as may. False, and then the item is
     * the caller's still, only if that is so when the worker was told to end. The worker's thread. */
    bool (*post)(sv_worker *worker, void *item);

    /* In `start` of the module that the option store_engine names: it keeps everything that the server stores.
     * What it points to is copied as far as its size says. SV_EDENIED for any other module, SV_EINVAL if a member
     * is missing, SV_EEXIST for a second call. */
    sv_status (*store_register)(sv_mod *mod, const sv_store_engine *engine);
    /* One more record that was committed and not folded, copied. Only in `recover`; its status other than SV_OK is
     * what recover returns. */
    sv_status (*recover_unit)(sv_recovery *to, uint64_t number, sv_str record);
    /* Whether the server was told to stop meanwhile: a recover that waits for its data base returns SV_ECANCELED then.
     * Only in `recover`. */
    bool (*recover_ends)(const sv_recovery *to);
    /* The `last` of the newest fold; 0, if there was none. Only in `recover`. */
    void (*recover_folded)(sv_recovery *to, uint64_t last);
    /* Change number `i` of a fold; false past the end. The first call sorts them, so make it on a thread that may
     * take its time. Borrowed until job_done. The thread that has the job. */
    bool (*job_change)(sv_store_job *job, size_t i, sv_store_change *change_out);
    /* Adds a row to what a read found; copied. The thread that has the job. */
    void (*job_row)(sv_store_job *job, sv_str owner, sv_str key, sv_str value);
    /* There are more rows than were given: OWNERS, RANGE. The thread that has the job. */
    void (*job_more)(sv_store_job *job, sv_str from);
    /* Ends the job, which is gone then; `text` tells an operator why it failed (may be NULL). Any thread. */
    void (*job_done)(sv_store_job *job, sv_status status, const char *text);
} sv_engine_api;

/* Declares an engine module, as SV_MODULE does others. The exported mark is what is looked at before any code of
 * it runs. */
#define SV_ENGINE(...)                                                                             \
    SV_EXPORT extern const uint32_t sv_module_engine;                                              \
    const uint32_t sv_module_engine = SV_ENGINE_VERSION;                                           \
    SV_MODULE(__VA_ARGS__)

#endif
