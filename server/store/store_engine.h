/* What a store engine does: append batches durably, fold sorted changes into an index, read the
 * index.
 *
 * The layer above (store.h) holds units, commit numbers, what is not folded yet, and caches; an
 * engine holds the disk. The daemon uses the LMDB engine with the journal; the stage uses the
 * simulated one. An engine works in its own threads or when polled; it reports by svi_job.done,
 * which may be called from any thread but never before the starting call has returned. */
#ifndef SVI_STORE_ENGINE_H
#define SVI_STORE_ENGINE_H

#include <sys/types.h>

#include "store/store.h"

/* Owner and key as an engine sees them; full bytes, the engine shortens (LMDB: 511 bytes). */
typedef struct svi_row_key {
    uint32_t map;
    sv_str owner;
    sv_str key;
} svi_row_key;

typedef struct svi_row_change {
    svi_row_key key;
    sv_str value; /* .p == NULL: the row is removed */
    bool all;     /* remove all rows of map + owner that are older; `key.key` is empty */
    const struct svi_tail_row *row; /* of a fold: the store's own */
} svi_row_change;

typedef enum svi_job_kind {
    SVI_JOB_COMMIT,
    SVI_JOB_FOLD,
    SVI_JOB_GET,
    SVI_JOB_SCAN,
    SVI_JOB_OWNERS,
    SVI_JOB_RANGE,
    SVI_JOB_CUT
} svi_job_kind;

/* A row that something is to be known of without the engine. */
typedef struct svi_cut_mark {
    sv_str key;
    bool is_wanted; /* it is given whatever the filter says, since its value goes on; else it is left out */
} svi_cut_mark;

/* What a CUT job asks beyond `key` (map, owner), `max` and `max_bytes`, and its results beyond `rows` and `more`. */
typedef struct svi_cut_job {
    sv_str from; /* .p == NULL: from the end that the direction begins at */
    bool is_backward, takes_from, counts;
    size_t max_looked;
    const svi_cut_mark *marks; /* in order of keys */
    size_t mark_count;
    bool (*filter)(void *ctx, sv_str key, sv_str stored); /* NULL: none. Reading thread */
    void *filter_ctx;

    size_t looked, counted;
    sv_str reached; /* with `more`: the key that was looked at last; in the job's arena */
} svi_cut_job;

/* One piece of work. The store makes it, the engine fills the results and calls done. All memory
 * that the fields point to belongs to the store and stays until done, except `arena`, in which the
 * engine puts results. */
typedef struct svi_job {
    struct svi_job *next; /* free for whoever holds the job */
    void *owner;          /* the store's own */
    svi_job_kind kind;
    sv_status status; /* result */
    sv_err err;
    void (*done)(struct svi_job *job);

    /* COMMIT: a record per unit, in order, made by the store; the engine frames them with length
     * and checksum */
    uint64_t first, last; /* unit numbers; FOLD: all units up to `last` are in `changes` */
    const sv_str *records;
    size_t record_count;

    /* FOLD: sorted by (map, owner, key), one entry a key. Made by `prepare`, which the engine calls
     * once before it looks at them, on the thread that folds: collecting and sorting is no work for
     * the router. Other than SV_OK: the fold fails with that status, and `err` says why. */
    sv_status (*prepare)(struct svi_job *job);
    /* Set by an engine with `has_base` before it calls `prepare`: the value of a row as the fold finds it
     * (SV_STR_NONE: there is none), borrowed until `prepare` returns. Other than SV_OK: it can't be read, `err` says why. */
    sv_status (*base)(struct svi_job *job, const svi_row_key *key, sv_str *value_out);
    void *base_ctx; /* the engine's own */
    const svi_row_change *changes;
    size_t change_count;

    /* GET, SCAN (all keys of key.map + key.owner), OWNERS (after key.owner, at most `max`) */
    svi_row_key key;
    size_t max;
    svi_arena *arena;
    svi_row_change *rows; /* results: GET none or one */
    size_t row_count;
    bool more;
    int64_t took_us;
    int64_t due_us; /* the simulated engine's own */

    /* RANGE: rows of key.map from the place `from` on (empty: from the first), at most about
     * `max_bytes` and as long as one read transaction; if there are `more`, `from` is set to where
     * to go on: bytes that mean something to this engine only. */
    sv_str from;
    size_t max_bytes;

    /* CUT, of engines with `has_cut`: rows of key.map + key.owner in the order of the cut, each that svi_cut_takes says; ends behind the
     * row that makes svi_cut_is_full true, or with one read transaction; `more` if there are further ones of the owner. */
    svi_cut_job *cut;
} svi_job;

/* Notes that a CUT job has looked at a row; whether it is one of its results. The thread that reads. */
bool svi_cut_takes(const svi_job *job, sv_str key, sv_str stored);
/* Whether it has enough, `bytes` of values being in its results. */
bool svi_cut_is_full(const svi_job *job, size_t bytes);
/* Makes of a job's `rows`, which are all of the owner's in any order, those of its cut. */
void svi_cut_sort(svi_job *job);

/* True if a job that a store has started reads rows of a map "host/MODULE/name", or commits changes of such rows; a fold never
 * is one. An empty `module` means any module's. Slow: for tests. */
bool svi_job_is_of(const svi_job *job, sv_str module);

typedef struct svi_engine_ops {
    const char *name;
    bool is_in_memory; /* for tests, and to try a configuration: its opening is nothing to log */
    bool has_cut;  /* knows CUT; else the store asks SCAN and cuts itself */
    bool has_base; /* sets svi_job.base; else the store reads by GET, before a fold, what rows it appends to have */

    /* Start-up, blocking: hands every committed unit that is newer than the last fold to `unit`, in
     * order. Damage in the middle of the journal is SV_EIO; a torn tail is cut. *folded_out: number
     * of the last folded unit. */
    sv_status (*recover)(svi_engine *e,
                         sv_status (*unit)(void *ctx, uint64_t number, sv_str record), void *ctx,
                         uint64_t *folded_out, sv_err *err);

    /* Takes a job. A fold that finds no space ends with SV_ENOSPC and has changed nothing; it comes again. Commits are done in the order given; so are folds; reads in any order. A job
     * once started is finished or failed, never dropped. */
    void (*start)(svi_engine *e, svi_job *job);

    /* NULL if the engine has threads of its own. Else called from svi_store_poll: finishes waiting
     * jobs, with `all` also those that a plan holds back (the store closes); returns how many. */
    size_t (*poll)(svi_engine *e, bool all);

    /* Bytes free for new work: the lesser of disk (beyond the reserve) and map; and what is used.
     */
    void (*space)(svi_engine *e, uint64_t *free_out, uint64_t *journal_out, uint64_t *index_out);

    /* Waits for all started jobs (their done is called), closes, frees the engine. */
    void (*close)(svi_engine *e);

    /* Runs a RANGE job at once, on the thread that calls: any thread with engines that have threads
     * of their own, else the store's. `done` is not called. */
    void (*range)(svi_engine *e, svi_job *job);
} svi_engine_ops;

struct svi_engine {
    const svi_engine_ops *ops;
    svi_durability durability; /* set by svi_store_open before recover */
};

/* The system calls that make a commit; NULL members mean the kernel's. Tests let them fail. */
typedef struct svi_file_ops {
    ssize_t (*pwrite)(void *ctx, int fd, const void *data, size_t bytes, off_t at);
    int (*fdatasync)(void *ctx, int fd);
    int (*fallocate)(void *ctx, int fd, off_t bytes);
    void *ctx;
} svi_file_ops;

/* The engine on disk: journal segments and an LMDB index in `path` (made with mode 0700 if
 * missing). `max_bytes`: our own limit of the index (checked at admission); the map reserves at
 * least that, once. */
typedef struct svi_lmdb_config {
    sv_str path;
    uint64_t max_bytes;     /* 0: 64 GiB */
    uint64_t reserve_bytes; /* watermark of free disk (256 MiB) */
    uint64_t segment_bytes; /* journal segment, preallocated (16 MiB) */
    unsigned readers;       /* reader threads (2) */
    bool single_thread;     /* all jobs run inside svi_store_poll: for tests */

    /* for tests; zero in the daemon */
    const svi_file_ops *files;
    void (*hash)(sv_str text, uint8_t out[32]); /* of long owners and keys; NULL: SHA-256 */
    int64_t txn_us;                             /* longest read transaction (100 ms) */
} svi_lmdb_config;

/* Makes the engine; files are opened and checked by recover. SV_ELIMIT for a path that is too long.
 */
sv_status svi_engine_lmdb(svi_acct *acct, const svi_lmdb_config *config, svi_engine **engine_out,
                          sv_err *err);

/* The simulated engine: rows in memory, commits finish when told (svi_engine_sim_step) or at once.
 * A kill drops what was not committed; the memory lives in `disk` and serves the next engine made
 * on it. */
typedef struct svi_sim_disk svi_sim_disk;
svi_sim_disk *svi_sim_disk_new(svi_acct *acct);
void svi_sim_disk_free(svi_sim_disk **disk);
svi_engine *svi_engine_sim(svi_acct *acct, svi_sim_disk *disk);
/* The same that can do no more than what an engine module has to. */
svi_engine *svi_engine_sim_plain(svi_acct *acct, svi_sim_disk *disk);

/* What becomes of a job, and of the process. */
typedef enum svi_sim_fate {
    SVI_SIM_DONE = 0,
    SVI_SIM_DIES,       /* the process dies before anything of it is done */
    SVI_SIM_DIES_BEHIND /* it is done, and the process dies before anybody was told */
} svi_sim_fate;

/* How the next jobs go. Zero-initialised: everything is finished at the next step. */
typedef struct svi_sim_plan {
    bool hold;           /* jobs wait until svi_engine_sim_step */
    int64_t fail_commit; /* the n-th commit from now fails with SV_EIO (0: none) */
    int64_t fail_read;   /* the n-th read from now fails */
    bool full;           /* space() reports none free */
    bool no_fold_space;  /* folds end with SV_ENOSPC */
    bool dead;           /* the process was killed: jobs end with SV_ECANCELED and change nothing */
    /* Jobs that start from now on are finished that much later, by a range; commits and folds in their order all the same, reads
     * in the order in which they are due. */
    int64_t late_min_us, late_max_us;
    const svi_plat *plat; /* whose time that is, and who draws; NULL: nothing is late */
    /* Asked of each job that starts: how much later it is finished than it would be. NULL: no later. */
    int64_t (*delay)(void *ctx, const svi_job *job);
    /* Asked of each job that is to be done now. NULL: all are. */
    svi_sim_fate (*fate)(void *ctx, const svi_job *job);
    void *ctx;
} svi_sim_plan;
svi_sim_plan *svi_engine_sim_plan(svi_engine *e);
/* When the next late job is due; INT64_MAX: none is late, or all are held. */
int64_t svi_engine_sim_due_us(const svi_engine *e);
/* Finishes up to `max` waiting jobs in order, also those that are held or late; returns how many. */
size_t svi_engine_sim_step(svi_engine *e, size_t max);

#endif
