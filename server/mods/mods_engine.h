/* What engine modules (api/stave/engine.h) have: sockets on the router's loop, threads, the store.
 *
 * One object for a process; it outlives the server, since the store is opened before it and closed
 * behind it. Everything here belongs to the routing thread unless said otherwise. */
#ifndef SVI_MODS_ENGINE_H
#define SVI_MODS_ENGINE_H

#include <stave/engine.h>
#include <uv.h>

#include "mods/mods_loader.h"
#include "store/store_engine.h"

typedef struct svi_engines_config {
    svi_acct *acct;
    const svi_plat *plat;
    uv_loop_t *loop;
    void (*turn)(void *ctx); /* asks for a turn of the router: a module was called outside of one; may be NULL */
    void *ctx;
    int join_ms; /* how long a thread that was told to end is waited for at the end; 0: 3 s */
    /* On the stage: deadlines are those of the platform's clock and pass in svi_engines_turn, which also waits for what
     * threads were given. */
    bool is_staged;
} svi_engines_config;

/* What engine modules get on a loop. It must not be closed before svi_engines_free. */
svi_engines *svi_engines_new(const svi_engines_config *config);

/* On the stage, in place of running the loop: fires deadlines that are due, waits until each thread has done what it was
 * given and asks for more, and hands over its results. What threads of a library do it can't know; their wakes are heard
 * when it comes round. True if anything happened. SVI_ENGINES_PATIENCE_MS is how long it waits for threads (of real time):
 * then `*is_stuck_out` is set. */
#define SVI_ENGINES_PATIENCE_MS 10000
bool svi_engines_turn(svi_engines *engines, bool *is_stuck_out);
/* When the next deadline is due by the platform's clock; INT64_MAX if there is none. */
int64_t svi_engines_due_us(const svi_engines *engines);

/* From now on a module that ends has its threads waited for at once, those of modules that are ending
 * now as well; before that they end beside the router. After svi_mods_free, before the server goes. */
void svi_engines_settle(svi_engines *engines);

/* When the server is gone and the loop has run out. False if a thread did not end (`engine-stuck` was
 * logged): what it uses stays, and so does `*engines`. */
bool svi_engines_free(svi_engines **engines);

/* An engine module that keeps the store. */
typedef struct svi_store_module {
    svi_engine *engine;        /* for svi_server_new, which owns it then */
    struct svi_mod_file *file; /* a reference */
    const sv_option *options;  /* of the module, NULL if it has none; as long as the reference */
    size_t option_stride;
} svi_store_module;

/* Loads the module and fills its options from the global section of `config`, whose `server` is NULL;
 * starts it, unless `is_check`: then there is no engine. What is wrong with a value is reported, the
 * rest is in `err`. SV_ENOTFOUND, SV_EINVAL, SV_EVERSION, and what its start returns. */
sv_status svi_store_module_open(svi_acct *acct, const svi_mods_config *config, sv_str name,
                                bool is_check, svi_store_module *module_out, sv_err *err);

/* Whether its options in another configuration are such that the module could be started with them; what is wrong is
 * reported. Of `config` only `config` and `report` count. SV_EINVAL. */
sv_status svi_store_module_check(svi_acct *acct, const svi_store_module *module,
                                 const svi_mods_config *config);

/* Gives its code back, when the engine is closed; an empty one does nothing. */
void svi_store_module_free(svi_store_module *module);

#endif
