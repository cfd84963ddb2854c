/* What the files about engine modules share. Nobody outside this folder includes it. */
#ifndef SVI_MODS_ENGINE_IMPL_H
#define SVI_MODS_ENGINE_IMPL_H

#include "mods/mods_impl.h"
#include "net/net_wake.h"

enum {
    SVI_ENGINE_WATCHES = 1024,
    SVI_ENGINE_WAKERS = 64,
    SVI_ENGINE_DEADLINES = 1024,
    SVI_ENGINE_WORKERS = 16
};

struct svi_engines {
    uint32_t magic;
    svi_engines_config config;
    bool is_settling;
    size_t open;        /* handles of the loop that are not closed yet */
    size_t stuck;       /* threads that did not end */
    sv_mod *ending;     /* modules whose threads were told to end; linked by `next_ending` */
    sv_deadline *due;   /* on the stage: those that wait, in order; linked by `next_due` */
    _Atomic int64_t under_way; /* things that threads were given and have not done, and results not handed over */
    _Atomic uint64_t heard;    /* calls into modules */
};

/* What one engine module on one host has from here. Charged to its group's account: the loop gives handles back
 * only when the module is gone. */
typedef struct svi_engine_part {
    sv_mod *mod;
    svi_engines *engines;
    sv_watch *watches;
    sv_waker *wakers;
    sv_deadline *deadlines;
    sv_worker *workers;
    size_t watch_count, waker_count, deadline_count, worker_count;
    bool may_store, does_store;
    sv_store_engine store; /* if it does */
} svi_engine_part;

/* The table of the group, an sv_engine_api. */
const void *svi_engine_table(void);

/* The module's part, made if it is the first call. NULL for a module that is no engine (SV_EDENIED, which is logged), and
 * where there is no loop (SV_EVERSION). */
svi_engine_part *svi_engine_part_of(sv_mod *mod, sv_status *status_out);

/* Tells the threads of the module to end. True if none runs any more; else svi_mod_finish is called when
 * the last has ended, or never, if at the end one does not. */
bool svi_engine_end(sv_mod *mod);

/* Before a module's stop: gives it what its threads left. NULL does nothing. */
void svi_engine_part_rest(svi_engine_part *part);
/* After its stop: closes all it had, frees, clears the pointer. Nothing calls it any more. */
void svi_engine_part_close(svi_engine_part **part);

/* A handle of the loop is closed: counts it and frees `memory`. */
void svi_engine_handle_gone(svi_engines *engines, void *memory);
/* A call into a module from the loop. */
typedef struct svi_engine_call {
    svi_mod_visit visit;
    sv_mod *mod;
    const char *what;
    bool is_timed; /* not that of a module that ends, or has no host */
    svi_stretch stretch;
    sv_mod *kept; /* a reference, so that what the call ends does not end the module under it; NULL if it ends
                         already */
    svi_engines *engines;
} svi_engine_call;
/* What stands between the two is in the module's context. The router takes a turn afterwards; the module may be gone
 * then. */
svi_engine_call svi_engine_enter(const svi_engine_part *part, const char *what);
void svi_engine_leave(svi_engine_call *call);

/* --- mods_engine_worker.c ------------------------------------------------------------ */

/* Members of the table. */
sv_status svi_engine_worker(sv_mod *mod, const sv_worker_desc *desc, sv_worker **worker_out);
sv_status svi_engine_give(sv_worker *worker, void *item);
void *svi_engine_take(sv_worker *worker, int64_t ms);
int svi_engine_worker_fd(const sv_worker *worker);
bool svi_engine_worker_ends(const sv_worker *worker);
bool svi_engine_post(sv_worker *worker, void *item);

/* Tells all threads of a part to end. */
void svi_workers_tell(svi_engine_part *part);
/* True if none of the part's threads runs. */
bool svi_workers_are_over(const svi_engine_part *part);
/* Waits for the part's threads; false if one does not end. */
bool svi_workers_join(svi_engine_part *part);
/* Hands the module what they left. */
void svi_workers_rest(svi_engine_part *part);
/* Frees them. */
void svi_workers_close(svi_engine_part *part);
/* mods_engine.c: a thread has ended by itself or as told. */
void svi_engine_worker_over(svi_engine_part *part);

/* --- mods_engine_store.c ------------------------------------------------------------- */

/* Members of the table. */
sv_status svi_engine_store_register(sv_mod *mod, const sv_store_engine *engine);
sv_status svi_engine_recover_unit(sv_recovery *to, uint64_t number, sv_str record);
bool svi_engine_recover_ends(const sv_recovery *to);
void svi_engine_recover_folded(sv_recovery *to, uint64_t last);
bool svi_engine_job_change(sv_store_job *job, size_t i, sv_store_change *change_out);
void svi_engine_job_row(sv_store_job *job, sv_str owner, sv_str key, sv_str value);
void svi_engine_job_more(sv_store_job *job, sv_str from);
void svi_engine_job_done(sv_store_job *job, sv_status status, const char *text);

#endif
