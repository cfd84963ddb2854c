/* What the files of the common layer share: store, units, generations of the tail, cached rows,
 * reads.
 *
 * Nothing outside server/store includes this. Everything here belongs to the router thread, except
 * that a frozen generation is read by the thread that folds it. */
#ifndef SVI_STORE_IMPL_H
#define SVI_STORE_IMPL_H

#include <pthread.h>

#include "base/base_assert.h"
#include "base/base_dict.h"
#include "store/store_backup.h"
#include "store/store_engine.h"

#define SVI_STORE_MAGIC 0x53544f52u
#define SVI_MAP_MAGIC 0x534d4150u
#define SVI_UNIT_MAGIC 0x534e4954u
#define SVI_ROWS_MAGIC 0x53524f57u

/* Units of one batch beyond which it is closed: keeps a batch well under a journal segment. */
#define SVI_BATCH_BYTES (4u << 20)

/* --- table: hash to pointer, open addressing --------------------------------------- */

typedef struct svi_slot {
    uint64_t hash;
    void *item; /* NULL: empty */
} svi_slot;

typedef struct svi_table {
    svi_slot *slots;
    size_t cap; /* a power of two, or 0 */
    size_t count;
} svi_table;

/* Whether `item` is what is looked for; called for equal hashes only. */
typedef bool (*svi_same)(const void *item, const void *want);

/* The item, or NULL. */
void *svi_table_find(const svi_table *table, uint64_t hash, svi_same same, const void *want);
/* Adds an item that is not in it. */
void svi_table_add(svi_table *table, svi_acct *acct, uint64_t hash, void *item);
/* Removes the very item. */
void svi_table_remove(svi_table *table, uint64_t hash, const void *item);
void svi_table_free(svi_table *table);

/* Hash of an owner in a map, and of a key under that. */
uint64_t svi_owner_hash(uint32_t map, sv_str owner);
uint64_t svi_key_hash(uint64_t owner_hash, sv_str key);

/* --- records ----------------------------------------------------------------------- */

/* The first byte of each value that is stored: the version of its format. */
#define SVI_ROW_HEAD 1u
#define SVI_STORED_MAX (SVI_VALUE_MAX + SVI_ROW_HEAD)

/* One operation of a record; strings point into it. `value` is with its version; of SVI_OP_APPEND the version is that of a
 * row that is not there yet, one that is there keeps its own. */
typedef enum svi_op_kind {
    SVI_OP_PUT = 1,
    SVI_OP_DEL = 2,
    SVI_OP_DEL_OWNER = 3,
    SVI_OP_APPEND = 4
} svi_op_kind;
typedef struct svi_op {
    svi_op_kind kind;
    uint32_t map;
    sv_str owner, key, value;
} svi_op;

/* Appends an operation to a record under construction (an empty buffer gets the format byte first).
 */
void svi_record_put(svi_buf *buf, const svi_op *op);

/* Takes the next operation; *pos starts at 0. A value is never empty. SV_OK; SV_ENOTFOUND at the end; SV_EVERSION for a
 * format or operation of a later release; SV_EIO if the bytes make no sense. */
sv_status svi_record_next(sv_str record, size_t *pos, svi_op *op_out);

/* A unit handed in: bytes as in the journal, kept until its generation goes. */
typedef struct svi_record {
    struct svi_record *next;
    uint64_t number;
    size_t n;
    char bytes[];
} svi_record;

/* --- the tail: what is not folded -------------------------------------------------- */

/* Bytes of one append, without their version. */
typedef struct svi_tail_piece {
    struct svi_tail_piece *next;
    sv_str bytes;
} svi_tail_piece;

/* A whole value, with its version. */
typedef struct svi_whole {
    size_t n;
    char bytes[];
} svi_whole;

/* What was appended to a row within a generation. */
typedef struct svi_tail_more {
    svi_tail_piece *first, **end;
    size_t bytes;
    bool is_open; /* it goes behind what older generations and the index have; else behind the row's `value` */
    /* Of an open one, from before its generation's fold writes anything: what the row has behind that fold. Made by
     * the thread that folds, read by the router. */
    _Atomic(const svi_whole *) whole;
} svi_tail_more;

typedef struct svi_tail_row {
    struct svi_tail_row *next; /* of the same owner */
    struct svi_tail_owner *owner;
    sv_str key;
    sv_str value; /* .p == NULL: removed; of an open one: its version, if there was no row */
    svi_tail_more *more; /* NULL: nothing was appended */
} svi_tail_row;

typedef struct svi_tail_owner {
    uint64_t hash;
    uint32_t map;
    bool cleared; /* all rows of older generations and of the index are gone */
    sv_str name;
    svi_tail_row *rows;
    size_t live; /* rows with a value */
} svi_tail_owner;

/* A generation: the units first..last and their sum. The newest takes what is handed in; older ones
 * are frozen, folded in order, and kept until the reads that began before the end of their fold are
 * done. */
typedef struct svi_tail {
    struct svi_tail *newer;
    svi_acct *acct;
    svi_arena *arena;
    svi_table owners, rows;
    size_t open_rows;  /* with something appended whose beginning is older */
    svi_arena *wholes; /* of those; the folding thread's until the fold is done */
    svi_record *records; /* the first; the list goes on in newer generations */
    uint64_t first, last;
    size_t ops, bytes;
    int64_t born_us;
    uint64_t folded_at; /* svi_store.fold_count after its fold; 0: not folded */
} svi_tail;

/* An empty generation whose first unit will be `first`. */
svi_tail *svi_tail_new(svi_acct *acct, uint64_t first);
/* Frees it with its records. */
void svi_tail_free(svi_tail **tail);
/* The record belongs to the generation from now on; its operations are applied one by one. */
void svi_tail_add(svi_tail *tail, svi_record *take);
void svi_tail_apply(svi_tail *tail, const svi_op *op);
svi_tail_owner *svi_tail_owner_find(const svi_tail *tail, uint64_t hash, uint32_t map,
                                    sv_str owner);
svi_tail_row *svi_tail_row_find(const svi_tail *tail, uint64_t hash, uint32_t map, sv_str owner,
                                sv_str key);
/* A value in pieces: what a row has by the generations up to one. Zero-initialise. */
typedef struct svi_sum {
    sv_str head;                 /* .p == NULL and no rows: there is none */
    const svi_tail_row *rows[8]; /* whose pieces come behind it; there are very few generations */
    size_t count, n;             /* n: bytes of all together */
} svi_sum;
/* The value that the index has (.p == NULL: none). */
void svi_sum_base(svi_sum *sum, sv_str value);
/* A newer generation's row of the same key. */
void svi_sum_add(svi_sum *sum, const svi_tail_row *row);
/* The value; in one piece it is borrowed from where it lies, else put into `to`. SV_STR_NONE if there is none. */
sv_str svi_sum_value(const svi_sum *sum, svi_arena *to);
/* The same in one piece at `to`, which has room for all of it; .p == NULL as above. */
sv_str svi_sum_copy(const svi_sum *sum, char *to);

/* Whether the row says by itself what it has. */
bool svi_tail_decides(const svi_tail_row *row);

/* Notes what a row of a frozen generation has behind the fold, `base` being what it has before. */
void svi_tail_note_whole(svi_tail *tail, const svi_tail_row *row, sv_str base);

/* All changes of a frozen generation, sorted, each with its whole value: what is appended is put behind what the index has now,
 * which the job tells (svi_job.base). Free with svi_free. The thread that folds; SV_EIO if a row can't be read. */
sv_status svi_tail_changes(svi_tail *tail, svi_job *job, svi_row_change **changes_out, size_t *count_out);

/* --- the store --------------------------------------------------------------------- */

struct svi_map {
    uint32_t magic;
    uint32_t number;
    svi_store *store;
    sv_str name;        /* behind the struct */
    uint32_t written;   /* version in which rows are written */
    uint32_t oldest;    /* no row is of an older one */
    svi_map_use *uses;  /* code that has it open */
};

/* --- store_unit.c, store_maps.c: for restoring ------------------------------------------------------- */

/* Adds the operation of a record, whose value has its version, for that map. */
sv_status svi_unit_add_stored(svi_unit *unit, svi_map *map, const svi_op *op);

/* The map of that name, made with those versions if new; SV_EINVAL as svi_store_map. */
sv_status svi_map_restore(svi_store *store, sv_str name, uint32_t written, uint32_t oldest,
                          svi_map **map_out, sv_err *err);

/* What the row of a map in the list of maps says (the value with its version, SVI_MAP_ROW bytes). */
#define SVI_MAP_ROW 9u
typedef struct svi_map_row {
    uint32_t number, written, oldest;
} svi_map_row;

/* False if the bytes make no sense. */
bool svi_map_row_read(sv_str stored, svi_map_row *row_out);

struct svi_unit {
    uint32_t magic;
    svi_store *store;
    svi_unit *next; /* among the spare ones */
    uint64_t finishes; /* svi_store.finishes when it began */
    svi_unit_end *ends;
    svi_buf buf;
};

/* store_unit.c: calls what waits for the end of a unit; the list may be empty. */
void svi_unit_ended(svi_unit_end *ends, bool is_submitted);

typedef enum svi_read_kind {
    SVI_READ_ROWS,
    SVI_READ_GET,
    SVI_READ_OWNERS,
    SVI_READ_VERSIONS, /* `owner` is the place in the index, `ctx` the look (store_versions.c) */
    SVI_READ_CUT,
    SVI_READ_BASE /* `ctx` is the row of the generation that is folded (store_bases.c) */
} svi_read_kind;

/* A read on its way; in the list of outstanding ones from the call to the callback, so that no
 * generation it may miss is dropped. */
typedef struct svi_read {
    svi_job job; /* first: the engine hands this back */
    svi_store *store;
    struct svi_read *prev, *next;
    uint64_t epoch; /* svi_store.fold_count when it began */
    svi_read_kind kind;
    bool at_once; /* needs no job; waits in the ready list */
    struct svi_read *ready_next;
    svi_map *map;
    uint64_t hash;
    svi_arena *arena; /* results */
    sv_str owner, key;
    svi_rows *rows;
    svi_rows_done rows_done;
    svi_get_done get_done;
    void *ctx;

    /* OWNERS: what was found so far, and how many owners are still being looked at (store_owners.c)
     */
    svi_owners_done owners_done;
    size_t max;
    struct svi_owner_item *items;
    size_t item_count, item_open;
    bool item_more;
    sv_str *found;
    size_t found_count;

    struct svi_cut *cut; /* CUT (store_cut.c); freed with the read */
} svi_read;

struct svi_store {
    uint32_t magic;
    svi_store_config config;
    svi_engine *engine;
    svi_acct *acct;

    svi_dict *map_names;
    svi_map map_zero; /* the store's own rows */
    uint32_t map_max;
    sv_status maps_status;

    /* units and batches */
    uint64_t finishes; /* how many times upgrades were finished */
    size_t live_units; /* under construction; and those of them from before the last of `finishes` */
    size_t old_units;
    svi_unit *spare_units;
    size_t spare_count;
    uint64_t submitted, committed;
    svi_record *next_record; /* first one not in a batch yet */
    svi_record *last_record; /* newest one that is still in memory */
    int64_t waiting_since_us;
    bool hurry, in_batch, failed, closing, dropped;
    svi_job batch;
    sv_str *batch_records;
    size_t batch_cap;

    /* tail, oldest first */
    svi_tail *oldest, *newest;
    svi_tail *folding;
    bool fold_runs, fold_is_stuck; /* stuck: it found no space, and is tried again at: */
    int64_t fold_retry_us;
    size_t base_slot, bases_out; /* of the generation's table of rows: the next to be read; reads on their way */
    size_t tail_ops, tail_bytes;
    uint64_t fold_count;
    svi_job fold;

    /* reads */
    svi_read *reads_first, *reads_last;
    svi_read *ready_first, **ready_end;
    svi_table rows;                 /* cached, referenced or loading */
    svi_rows *lru_first, *lru_last; /* unreferenced, oldest first */
    size_t cache_bytes;

    /* finished jobs, from any thread */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    svi_job *done_first, **done_end;
    size_t jobs_out;

    svi_store_stats stats;

    /* backup (store_backup.c). tap_lock guards `synced`, and what the backup says it does */
    pthread_mutex_t tap_lock;
    uint64_t synced;    /* newest durable number; ahead of `committed` until the router hears of it */
    uint64_t folded;    /* newest number that the index holds; router thread */
    svi_backup *backup; /* the one that is being made; changed on the router, under tap_lock */
};

/* store.c: hands a job to the engine; `done` puts it into the store's list of finished ones. */
void svi_store_start_job(svi_store *store, svi_job *job);
/* store.c: asks for a poll. */
void svi_store_wake(const svi_store *store);
/* store.c: frees folded generations that no outstanding read needs. */
void svi_store_trim(svi_store *store);

/* store_rows.c: a read in the list of outstanding ones; copies owner and key. */
svi_read *svi_read_new(svi_map *map, svi_read_kind kind, sv_str owner, sv_str key, void *ctx);
/* Takes it out of the list and frees it; generations kept for it may go. */
void svi_read_free(svi_read **take);
/* Gives the engine the read's job. */
void svi_read_start(svi_read *read, svi_job_kind kind);
/* The read needs no job: it is delivered at the next poll. */
void svi_read_ready(svi_read *read);
/* Delivers a read whose job is done, or that needed none. */
void svi_read_deliver(svi_read *read);
/* Ends all outstanding reads with SV_ECANCELED. */
void svi_reads_cancel(svi_store *store);
/* Brings cached rows up to date with an operation just handed in. */
void svi_rows_apply(svi_store *store, const svi_op *op);
/* Frees unreferenced rows and lets go of referenced ones. */
void svi_rows_close(svi_store *store);

/* store_maps.c: begins to read the list of maps; store->maps_status stays SV_EAGAIN until it is
 * there. */
void svi_maps_load(svi_store *store);
/* No row of the map is older than that any more. */
void svi_map_raise(svi_map *map, uint32_t oldest);
/* Frees all maps. */
void svi_maps_free(svi_store *store);

/* store_backup.c: a batch is durable; tap_lock held, any thread. */
void svi_backup_tap(svi_backup *backup, const svi_job *job);
/* Router thread: the index holds more; whether that is waited for; whether a fold may begin, which it then does, else the
 * backup asks for a poll when it may; ends a backup that is over; ends it in any case. */
void svi_backup_folded(svi_store *store);
bool svi_backup_wants_fold(svi_store *store);
bool svi_backup_lets_fold(svi_store *store);
void svi_backup_poll(svi_store *store);
void svi_backup_cancel(svi_store *store);

/* store_versions.c: a piece of the index was read, or could not be. */
void svi_versions_deliver(svi_read *read, sv_status status);

/* store_bases.c: reads what the rows have that the fold which is to begin appends to, then starts it. For engines that
 * don't tell it themselves. */
void svi_bases_read(svi_store *store);
/* One of them was read, or could not be. Frees the read. */
void svi_base_deliver(svi_read *read, sv_status status);
/* store.c: starts the fold; ends the store, since it can't begin. */
void svi_store_fold_on(svi_store *store);
void svi_store_fold_failed(svi_store *store, sv_status status);

/* store_cut.c: the job of a CUT read is done, or none was needed; it is cancelled. */
void svi_cut_deliver(svi_read *read, sv_status status);
void svi_cut_cancel(svi_read *read);
/* store_rows.c: rows in memory of the owner, with a reference, or NULL; the generations that are sure to stay until a read that
 * begins now has ended; the place of the first key that is not below `key`, and whether it is that one; the row at a place, its
 * value with its version. */
svi_rows *svi_rows_ready(svi_store *store, uint64_t hash, uint32_t map, sv_str owner);
const svi_tail *svi_store_unfolded(const svi_store *store);
size_t svi_rows_place(const svi_rows *rows, sv_str key, bool *found_out);
void svi_rows_at(const svi_rows *rows, size_t place, sv_str *key_out, sv_str *stored_out);

/* store_owners.c: the job of an OWNERS read is done. */
void svi_owners_deliver(svi_read *read);

#endif
