/* The store: named maps by owner and key, written in units, read with what is not yet committed
 * (architecture 8, durability.md rules 1 to 9).
 *
 * One unit holds the writes of one event and is one record of the journal, which is the truth.
 * Units are gathered into batches, a batch is synced once, commit numbers tell which units are on
 * disk. Indexes are folded from memory later. All functions here belong to the router thread unless
 * said otherwise; none of them touches the memory map or waits for a disk.
 *
 * Each row carries the version of the format that its value has (1 to 255), put on and taken off in
 * here: in a journal, an index and a backup it is the first byte of the value. A map has the version
 * in which rows are written now. Code of a later version does not raise it, so that the release before
 * can be started again; svi_maps_finish does (doc/decisions/016-schemas.md). */
#ifndef SVI_STORE_H
#define SVI_STORE_H

#include "base/base_mem.h"
#include "base/base_plat.h"
#include "base/base_str.h"

typedef struct svi_store svi_store;
typedef struct svi_map svi_map;
typedef struct svi_unit svi_unit;
typedef struct svi_engine svi_engine; /* store_engine.h */

#define SVI_OWNER_MAX 1023u /* bytes of an owner: a localpart (RFC 7622 3.3) */
#define SVI_KEY_MAX 3071u   /* bytes of a key: a full JID (RFC 7622 3.1) */
#define SVI_VALUE_MAX (1u << 20)
#define SVI_UNIT_MAX (4u << 20)
#define SVI_SCHEMA_MAX 255u /* newest version of records; the first is 1 */

typedef enum svi_durability {                       /* durability.md: option `durability` */
                              SVI_DURABLE_SYNC = 0, /* committed = synced to the device */
                              SVI_DURABLE_WRITE =
                                  1, /* committed = written; survives kill -9, not a power cut */
                              SVI_DURABLE_NONE = 2 /* an engine may commit before it writes; LMDB
                                                      does as with WRITE */
} svi_durability;

typedef struct svi_store_config {
    svi_engine *engine; /* owned by the store from now on */
    svi_acct *acct;
    const svi_plat *plat;
    svi_durability durability;
    int64_t
        gather_us;   /* how long a batch waits for more units while none runs (0: starts at once) */
    size_t fold_ops; /* fold after this many map changes (10000) */
    size_t fold_bytes;   /* or this many bytes (16 MiB) */
    int64_t fold_age_us; /* or this age of the oldest (30 s) */
    size_t tail_bytes; /* bound of what is not folded: beyond it svi_store_admit refuses (64 MiB) */
    size_t cache_bytes; /* rows that nobody references, kept for the next reader (32 MiB) */
    /* any thread: asks the router to call svi_store_poll soon; must not call the store itself */
    void (*wake)(void *ctx);
    void (*committed)(void *ctx,
                      uint64_t commit); /* router thread: all units up to here are durable */
    void (*failed)(void *ctx, const sv_err *err); /* a batch or sync failed: the worker must end */
    void *ctx;
} svi_store_config;

/* Opens: replays the journal's tail into memory (the engine does the reading), ready when it
 * returns. Start-up only, may block. SV_EIO, SV_EVERSION, SV_EBUSY (another process has it) with
 * text. */
sv_status svi_store_open(const svi_store_config *config, svi_store **store_out, sv_err *err);

/* Commits and folds what is there, waits for it, frees. Outstanding reads end with SV_ECANCELED.
 * Rows that are still referenced stay readable until unref, and change no more. */
void svi_store_close(svi_store **store);

/* Frees without committing or folding anything more: what a kill leaves behind. `committed` and
 * `failed` are not called again, outstanding reads end with SV_ECANCELED. For the stage and for a
 * worker that must end. */
void svi_store_drop(svi_store **store);

/* Delivers commits and finished reads that came in since; returns how many callbacks ran. */
size_t svi_store_poll(svi_store *store);

/* When svi_store_poll or a batch is due next by the clock (monotonic us), INT64_MAX if by event
 * only. */
int64_t svi_store_due_us(const svi_store *store);

/* --- maps -------------------------------------------------------------------------- */

/* The map of that name ("host/module/name") for code that knows one version of its records, made if
 * new. Its number is stored, names are for ever. SV_EVERSION if rows of another version are in it, or
 * may be; SV_EINVAL for a name or version out of bounds. Lives as long as the store. */
sv_status svi_store_map(svi_store *store, sv_str name, uint32_t schema, svi_map **map_out,
                        sv_err *err);

/* Code that has a map open, and which versions of its records it knows. The caller's memory; the
 * first three are filled in by him and stay as they are until svi_map_leave. */
typedef struct svi_map_use {
    const char *who; /* for operators: the module's name */
    uint32_t newest; /* it reads and writes this one and all down to ... */
    uint32_t oldest; /* ... this one */
    svi_map *map;    /* NULL while it is not in the list of its map; the rest is the store's */
    struct svi_map_use *next, *prev;
} svi_map_use;

/* As svi_store_map, for code that knows several versions. A new map begins with the newest; an old one
 * goes on with the version that it has. SV_EVERSION, with a text that says what to do, if rows are
 * written in a version that is newer than `newest`, or there may be rows older than `oldest`. */
sv_status svi_map_enter(svi_store *store, sv_str name, svi_map_use *use, sv_err *err);

/* The code has ended. Nothing happens if it did not enter. */
void svi_map_leave(svi_map_use *use);

typedef struct svi_map_state {
    sv_str name;      /* as long as the map */
    uint32_t oldest;  /* no row is of an older version; there need not be one of this */
    uint32_t written; /* rows are written in this one */
    uint32_t newest;  /* what all code that has the map open knows; 0: nobody has, or the core alone */
    const char *who;  /* the code that knows least; NULL as above. Borrowed until it leaves */
    bool is_mixed;    /* some of the code knows a newer one */
} svi_map_state;

/* The version in which rows are written: svi_unit_put takes values to be of that one. */
uint32_t svi_map_schema(const svi_map *map);

/* How far the map is. */
void svi_map_state_get(const svi_map *map, svi_map_state *state_out);

/* SV_EBUSY with text if some of the code that has such a map open knows less than other code. */
sv_status svi_maps_may_finish(svi_store *store, sv_str part, sv_err *err);

/* The operator finishes an upgrade: from now on rows of all maps whose names begin with "host/" of any
 * host and go on with `part` ("module/"; empty: any) are written in the newest version that the code
 * knows, and older code is refused. All of them or none: SV_EBUSY with text as svi_maps_may_finish.
 * *changed_out: how many maps changed; durable with the newest unit. Rows that are there stay as they
 * are. */
sv_status svi_maps_finish(svi_store *store, sv_str part, size_t *changed_out, sv_err *err);

/* Walk over the maps whose names begin with `prefix`, also those that nobody has opened since the start:
 * *pos is 0 at first; NULL at the end. */
svi_map *svi_store_map_next(svi_store *store, sv_str prefix, size_t *pos);

/* How many rows of the map are of an older version than the one that is written. Called exactly once, from
 * svi_store_poll, never before the starting call has returned; SV_EIO, SV_ECANCELED. */
typedef void (*svi_versions_done)(void *ctx, sv_status status, uint64_t older);

/* Looks at all rows of the map, in pieces and in the engine's threads, and notes the oldest version that it
 * found as the oldest in the map. SV_EBUSY with text, and no call, while a unit is under construction that
 * was begun before an upgrade was finished. */
sv_status svi_map_look(svi_map *map, svi_versions_done done, void *ctx, sv_err *err);

/* --- writing ----------------------------------------------------------------------- */

/* An empty unit. */
svi_unit *svi_unit_new(svi_store *store);

/* Adds a change; bytes are copied. Refused here, and only here, if invalid: SV_ELIMIT for sizes. A
 * later change of the same key in one unit wins. */
sv_status svi_unit_put(svi_unit *unit, svi_map *map, sv_str owner, sv_str key, sv_str value);
sv_status svi_unit_del(svi_unit *unit, svi_map *map, sv_str owner, sv_str key);

/* Appends bytes to a row's value; to an empty one of the version that is written, if there is no row. In the index it is
 * one row, and a fold writes it once however often it was appended to: for what grows by notes and is put anew now and then.
 * The row keeps its version, so the bytes are of that one. What passes SVI_VALUE_MAX is cut off: that is the caller's to see
 * to, who knows how long the value is. SV_ELIMIT as above. */
sv_status svi_unit_append(svi_unit *unit, svi_map *map, sv_str owner, sv_str key, sv_str bytes);

/* Removes all keys of an owner. */
sv_status svi_unit_del_owner(svi_unit *unit, svi_map *map, sv_str owner);

/* Whether nothing was added yet. */
bool svi_unit_is_empty(const svi_unit *unit);

/* Takes out of the unit again what it was given so far for an owner in a map, where `is_out` says so; it is asked for each operation. */
void svi_unit_omit(svi_unit *unit, bool (*is_out)(void *ctx, sv_str map, sv_str owner), void *ctx);

/* Calls `call` once when the unit ends: behind the hand-in (reads see it then), or when it is thrown away. `end` is the
 * caller's memory until then. */
typedef struct svi_unit_end {
    void (*call)(struct svi_unit_end *end, bool is_submitted);
    struct svi_unit_end *next; /* the store's */
} svi_unit_end;
void svi_unit_at_end(svi_unit *unit, svi_unit_end *end);

/* Hands the unit in: from now on every read sees it. Returns its commit number (numbers are given
 * in this order, without gaps); it is durable when `committed` has reached it. Consumes the unit.
 * An empty unit gives the number of the newest unit handed in. */
uint64_t svi_unit_submit(svi_unit **take);

/* Throws an unsubmitted unit away. */
void svi_unit_free(svi_unit **unit);

/* Newest number handed in / durable. */
uint64_t svi_store_submitted(const svi_store *store);
uint64_t svi_store_committed(const svi_store *store);

/* Starts the batch now instead of waiting for more units (somebody waits for an ack). */
void svi_store_hurry(svi_store *store);

/* Admission (architecture 8): SV_OK, or SV_ENOSPC while disk or map are below the watermark, or a fold waits for space. The
 * caller refuses new work that stores with resource-constraint; reads, deletes and purges go on. */
sv_status svi_store_admit(const svi_store *store);

/* --- reading ----------------------------------------------------------------------- */

/* An owner's rows in one map, held in memory while referenced; always shows every unit handed in.
 * An owner without rows has an empty one: no error. */
typedef struct svi_rows svi_rows;

/* The rows are loaded (status SV_OK), or reading failed (SV_EIO) or was cancelled. `rows` is the
 * caller's reference (NULL on error). Called exactly once, from svi_store_poll, never before the
 * starting call has returned. */
typedef void (*svi_rows_done)(void *ctx, sv_status status, svi_rows *rows);

/* Loads an owner's rows and takes a reference. */
void svi_rows_load(svi_map *map, sv_str owner, svi_rows_done done, void *ctx);

/* Takes a reference at once if the rows are in memory now, else NULL. */
svi_rows *svi_rows_get(svi_map *map, sv_str owner);

/* True if somebody has a reference, or will have when it is loaded; what is only cached is not in use. */
bool svi_rows_in_use(svi_map *map, sv_str owner);

/* Drops a reference and clears the pointer; memory goes with the last one (kept a while as cache
 * within the store's cache bound). */
void svi_rows_unref(svi_rows **rows);

/* Value of a key; borrowed until the row changes or the reference goes. False if there is none. */
bool svi_rows_find(const svi_rows *rows, sv_str key, sv_str *value_out);

/* The version in which the row of that key was written; 0 if there is none. */
uint32_t svi_rows_schema(const svi_rows *rows, sv_str key);

/* Walk in order of key bytes: start with an empty *key (.n == 0, .p == NULL): gives the first key
 * after *key and its value, false at the end. Rows may change between calls. */
bool svi_rows_next(const svi_rows *rows, sv_str *key, sv_str *value_out);

/* How many rows there are now. */
size_t svi_rows_count(const svi_rows *rows);

/* How long all values are together; for quotas in bytes. */
size_t svi_rows_value_bytes(const svi_rows *rows);

/* One value: status SV_OK, value (borrowed for the call) and the version in which it was written (0
 * without one); SV_ENOTFOUND, SV_EIO, SV_ECANCELED. Same rules of calling as svi_rows_done. */
typedef void (*svi_get_done)(void *ctx, sv_status status, sv_str value, uint32_t schema);
void svi_store_get(svi_map *map, sv_str owner, sv_str key, svi_get_done done, void *ctx);

/* A cut of an owner's rows in order of keys, without loading the others. */
typedef struct svi_cut_config {
    sv_str from;       /* key where it begins, copied; empty: at the end that the direction begins at */
    bool is_backward;  /* towards smaller keys */
    bool takes_from;   /* the row `from` itself belongs to it */
    size_t max;        /* rows at most, 1 to 10000 */
    size_t max_bytes;  /* of values; it ends behind the row that passes it; 0: 1 MiB */
    size_t max_looked; /* rows of the index looked at, with those that the filter refuses; 0: 1,000,000 */
    /* Whether a row belongs to it; NULL: all do. Called in any thread, for a row once or several times; `filter_ctx` stays
     * and does not change until `done` has run, which is also so if the store is closed or dropped. */
    bool (*filter)(void *filter_ctx, sv_str key, sv_str value);
    void *filter_ctx;
    /* Counts what there is from there on instead of giving it; `max` and `max_bytes` don't matter. What is handed in while it
     * counts may or may not be counted. */
    bool counts;
} svi_cut_config;

typedef struct svi_cut_row {
    sv_str key, value;
    uint32_t schema; /* the version in which it was written */
} svi_cut_row;

/* Rows in the direction of the cut (NULL if they are counted), borrowed for the call, and how many. `more`: there may be further ones;
 * then `reached` is the key that was looked at last, from where the next cut goes on. Rows are as of the call: every unit handed in
 * is seen. SV_EIO, SV_ECANCELED without rows. Same rules of calling as svi_rows_done. */
typedef void (*svi_cut_done)(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more,
                             sv_str reached);

/* Begins a cut. Reads in a reader thread, in transactions of at most 100 ms; at once from memory if the owner's rows are there. An
 * owner without rows gives none: no error. */
void svi_rows_cut(svi_map *map, sv_str owner, const svi_cut_config *config, svi_cut_done done, void *ctx);

/* Owners of a map in order, `max` at most, after `after`: for lists and scans by operators. Reads
 * in a reader thread, in transactions of at most 100 ms. `owners` is borrowed for the call; `more`
 * if there are further ones. */
typedef void (*svi_owners_done)(void *ctx, sv_status status, const sv_str *owners, size_t count,
                                bool more);
void svi_store_owners(svi_map *map, sv_str after, size_t max, svi_owners_done done, void *ctx);

/* Start-up only: waits until a read or a job is done, and delivers it. */
void svi_store_wait(svi_store *store);

/* --- figures ----------------------------------------------------------------------- */

typedef struct svi_store_stats {
    uint64_t units, batches, syncs, folds;
    uint64_t tail_ops, tail_bytes; /* not yet folded */
    uint64_t journal_bytes, index_bytes, free_bytes;
    int64_t last_sync_us, max_sync_us, last_fold_us;
    bool shortage;
} svi_store_stats;

/* Copies the figures as of now. Router thread. */
void svi_store_stats_get(const svi_store *store, svi_store_stats *stats_out);

#endif
