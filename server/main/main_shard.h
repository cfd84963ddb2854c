/* The served whole made from a config: loop, store, shard, hosts, modules. The worker opens
 * listeners on it; `stave user` uses it alone when no server runs; `stave check` makes one on a
 * store in memory. */
#ifndef SVI_MAIN_SHARD_H
#define SVI_MAIN_SHARD_H

#include <jansson.h>

#include "main/main_settings.h"
#include "mods/mods_loader.h"
#include "store/store_backup.h"

typedef struct svi_shard svi_shard;

typedef struct svi_shard_config {
    svi_acct *acct;
    const svi_config *config;     /* checked; needed as long as the call runs */
    const svi_settings *settings; /* of its global section */
    const char *program;          /* path of this binary: modules are looked for beside it */
    svi_config_report report;     /* problems of modules */
    void *report_ctx;
    const svi_held *held; /* modules that begin in quarantine; of svi_shard_open alone */
    size_t held_count;
    unsigned io_threads;
    const char *store_path; /* another store than that of the state folder; NULL: that one */
    void (*fatal)(void *ctx, const sv_err *err); /* the store failed: the process must end */
    void *fatal_ctx;
} svi_shard_config;

/* Where modules are looked for, in this order. */
typedef struct svi_module_paths {
    const char **items;
    size_t count;
    size_t own; /* so many are the operator's, the others the server's */
} svi_module_paths;

/* What the settings name (`own`), then the build tree's folder and the installed one, from where `program` lies; all of it in
 * `arena`. */
void svi_module_paths_get(svi_arena *arena, const svi_settings *settings, const char *program, svi_module_paths *paths_out);

/* Opens store and shard, adds the hosts, starts the modules. What a config causes is reported (then
 * `err` is empty), the rest is in `err`. The loop is not run yet. */
sv_status svi_shard_open(const svi_shard_config *config, svi_shard **shard_out, sv_err *err);

/* Builds the sessions that outlived the last end of the server (xmpp_recover.h), before anybody is listened to: turns the loop until
 * they are there. */
void svi_shard_recover(svi_shard *shard);

/* What svi_shard_take_over did to a host: "added", "removed" or "changed". */
typedef void (*svi_shard_changed)(void *ctx, const char *what, sv_str host);

/* Takes hosts, their settings and their modules over from another config, between two turns: all of them, or
 * none if anything can't be (reported; what the environment refuses is in `err`). Of `config` only `config`,
 * `settings`, `program` and `report` count; it is not needed afterwards. `changed` is called for each host
 * that is another now. */
sv_status svi_shard_take_over(svi_shard *shard, const svi_shard_config *config,
                              svi_shard_changed changed, void *ctx, sv_err *err);

/* Stops modules, ends streams (at most `within_ms`), commits, frees. The ledger's end is logged. */
void svi_shard_close(svi_shard **shard, unsigned within_ms);

/* Everything up to starting modules, on a store in memory: problems are reported. Touches no state
 * folder. */
sv_status svi_shard_check(const svi_shard_config *config);

/* Appends the manual of all enabled modules' options; those that can't be loaded are reported. */
void svi_shard_manual(const svi_shard_config *config, svi_buf *out);

/* Appends the declarations of all enabled modules' commands, as svi_command_json makes them, with
 * "module", to the array. Those that can't be loaded are reported. */
void svi_shard_commands(const svi_shard_config *config, json_t *array);

/* The same of modules that run. */
void svi_shard_commands_of(const svi_mods *mods, json_t *array);

/* The options of the module that keeps the store, which a reload does not take over; NULL if there are none. */
const sv_option *svi_shard_store_options(const svi_shard *shard, size_t *stride_out);

/* What it consists of; borrowed. */
svi_server *svi_shard_server(svi_shard *shard);
svi_mods *svi_shard_mods(svi_shard *shard);
uv_loop_t *svi_shard_loop(svi_shard *shard);
svi_acct *svi_shard_acct(svi_shard *shard);

/* How much of its time the router works, by the clock. */
typedef struct svi_shard_load {
    int64_t busy_us;    /* in turns, since the start */
    uint64_t turns;     /* of the loop, with up to 16 of the server each */
    int64_t longest_us; /* of the last 5 to 10 s */
    uint64_t reads;     /* of the clock, to know that */
    double fine_ns, coarse_ns; /* what a read of each clock takes, measured at the start */
} svi_shard_load;
/* Fills in the figures as they are now. */
void svi_shard_load_get(const svi_shard *shard, svi_shard_load *load_out);

/* Begins a backup of a host (empty: of all, with the salt) to `fd`, as svi_backup_start says. */
sv_status svi_shard_backup(svi_shard *shard, sv_str host, int fd,
                           void (*done)(void *ctx, const svi_backup_result *result), void *ctx,
                           sv_err *err);

/* Asks for a turn of the shard soon. Router thread: after calls into it from outside its turn. */
void svi_shard_wake(svi_shard *shard);

#endif
