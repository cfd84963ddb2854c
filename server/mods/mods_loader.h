/* The loader: shared objects to modules on hosts (house-style B.2, C.2).
 *
 * A file is copied to a private path, checked (one exported entry, no imports it may not have),
 * opened with RTLD_NOW | RTLD_LOCAL, asked for its table once a process; each host it is enabled on
 * has a `self` of its own. Start order: `after` first, then the order of the config. All or
 * nothing: a module that fails to start leaves no host half changed. */
#ifndef SVI_MODS_LOADER_H
#define SVI_MODS_LOADER_H

#include "mods/mods_budget.h"
#include "mods/mods_costs.h"
#include "mods/mods_probe.h"
#include "xmpp/xmpp_server.h"

typedef struct svi_mods svi_mods;
typedef struct svi_engines svi_engines; /* mods_engine.h */

/* A module that is blamed for the ends of workers: it begins in quarantine. */
typedef struct svi_held {
    const char *module, *why;
    bool is_in_start; /* its start() ended them: it is not even started */
} svi_held;

typedef struct svi_mods_config {
    svi_server *server;
    const svi_config *config;
    svi_engines *engines; /* what engine modules have sockets and threads from; outlives the server; NULL: none can */
    const char *const *paths; /* folders where NAME.so, NAME.lua or NAME/NAME.lua is looked for, in order */
    size_t path_count;
    const char *release;   /* the server's version, for scripts; NULL: "" */
    const sv_api *script_api; /* the table that scripts are given; NULL: svi_mods_api() */
    int64_t script_bytes;  /* memory of a script's state; 0: 16 MiB */
    int64_t script_cpu_us; /* of a script's handler between two waits; 0: 50 ms */
    svi_mods *before; /* the loader that runs, which this one shall replace: what it has loaded is not
                         loaded again; NULL if there is none */
    const svi_held *held; /* of svi_mods_start alone */
    size_t held_count;
    svi_config_report report;
    void *report_ctx;
    const svi_mods_probe *probe; /* of a test, which outlives the loader; NULL in a server */
} svi_mods_config;

/* A loader that has loaded nothing yet. It keeps a reference of the configuration, and `paths` must live as long as it does:
 * svi_mods_reload needs both. `acct` outlives the server, too, since events that wait may keep modules
 * longer than the loader. */
svi_mods *svi_mods_new(svi_acct *acct, const svi_mods_config *config);

/* Loads and starts what `modules_enabled` of each host's section names, fills options, builds the
 * hosts' hook tables. On an error everything is reported and nothing runs. */
sv_status svi_mods_start(svi_mods *mods);

/* Only loads, checks and fills options, starts nothing: for `stave check`. */
sv_status svi_mods_check(svi_mods *mods);

/* Takes the place of the loader that runs (`before`), in two steps between two events.
 *
 * svi_mods_ready, after svi_mods_check: starts the modules of hosts where anything differs (other modules,
 * another order, other values of options), after their predecessors were saved. On an error it is reported,
 * all that was started is gone and the one that runs goes on unharmed.
 *
 * svi_mods_replace: puts the new tables in place; *running becomes the new loader, *next NULL. A host where
 * nothing differs keeps its modules. Of the others: events that wait finish with the handlers they began
 * with; session_data of a module that was there before is handed over, its timers are the new
 * generation's; a module that was not is told of sessions that are there (svi_host_change_hooks). Hosts
 * that are not in the new config keep their tables until svi_host_retire has them empty. */
sv_status svi_mods_ready(svi_mods *mods);
void svi_mods_replace(svi_mods **running, svi_mods **next);

/* True if nothing differs on the host from what runs: after svi_mods_check of one with `before`. */
bool svi_mods_is_same(const svi_mods *mods, const svi_host *host);

/* Names of enabled modules whose file is another now, number `i` as of the last look for it; the loaded
 * code runs on until svi_mods_reload. NULL past the end. */
const char *svi_mods_stale(const svi_mods *mods, size_t i);

/* Names of scripts that want it (`autoreload` in their heads) and whose files have changed, and rested since the call before
 * this one; of `max` at most, borrowed until they are loaded. Each change is told once, whatever comes of it. Looks by stat;
 * call it once a second. */
size_t svi_mods_changed(svi_mods *mods, const char **names, size_t max);

/* --- modules alone ------------------------------------------------------------------ */

typedef struct svi_mods_reloading {
    const sv_str *names; /* of modules, at least one */
    size_t count;
    /* The server's own command that one of this name would hide; NULL if there is none. May be NULL. */
    const char *(*shadows)(const char *command);
    svi_config_report report; /* problems */
    void *report_ctx;
} svi_mods_reloading;

typedef struct svi_mods_reloaded {
    size_t modules;     /* new generations, on all hosts */
    svi_swap events;    /* what became of those that waited in a replaced one */
    int64_t prepare_us; /* how long it took to load, check, save and start; stanzas wait meanwhile, too */
    int64_t swap_us;    /* from the last moment of the old generation to the first of the new */
} svi_mods_reloaded;

/* Replaces modules by new generations with code that is read from their files now, on all hosts where they are
 * enabled; their options are those of the configuration as it runs, other modules are left alone. The new ones
 * start (with what the old ones saved for them, module.h) before anything changes: on any error it is reported, and the old
 * ones go on. Then tables are swapped, events that wait are finished or restarted (svi_bus_swap), and old
 * generations live on until nothing in flight needs them. Never inside a pass: SV_EBUSY then. */
sv_status svi_mods_reload(svi_mods *mods, const svi_mods_reloading *how,
                          svi_mods_reloaded *reloaded_out);

/* Calls save of each, takes the hooks away, cancels timers, calls stop and frees all they own. An
 * event that still waits keeps the modules of its host until it is over. Before svi_server_free;
 * best when the server is drained and idle. */
void svi_mods_free(svi_mods **mods);

/* Lets scripts give back what nothing needs any more; no event may be under way. */
void svi_mods_collect(svi_mods *mods);

/* One enabled module, for `stave modules`: number `i` over all hosts; false past the end. */
typedef struct svi_mod_info {
    const char *name, *host, *summary, *state;
    const char *needs; /* as its description has it in `after` */
    uint64_t calls, passed, done, later;
    int64_t cpu_us, live_bytes, live_count;
    const char *reason; /* of quarantine; "" */
    int64_t since_s;    /* it is in quarantine, wall clock; 0 */
    uint64_t refused, skipped; /* events and calls in the latest quarantine */
    uint64_t faults;    /* ever, of this code */
    int64_t peak_bytes, peak_count; /* the most that those ever were */
    uint64_t callbacks;
    svi_store_counts store;
    uint32_t generation; /* how many of its name the host has had, with it */
    uint32_t in_flight;  /* operations that were begun for it */
    svi_bus_use events;  /* that wait in it; of a replaced one all that still need it */
    bool is_engine; /* its code is loaded once, and can't be replaced */
    bool is_script, is_policy, is_autoreload; /* in Lua; what its head says */
    int64_t script_bytes;  /* its state's, which all hosts share; in live_bytes, too */
    size_t script_waiting; /* handlers of it that wait, on all hosts */
} svi_mod_info;
bool svi_mods_info(const svi_mods *mods, size_t i, svi_mod_info *info_out);
/* The same of generations that were replaced, or taken away, and are still needed ("draining"). */
bool svi_mods_draining(const svi_mods *mods, size_t i, svi_mod_info *info_out);

/* Code that is no longer used, and stays mapped until the server ends. */
typedef struct svi_mods_figures {
    uint64_t retired; /* generations of modules that have gone since the start */
    uint64_t kept;    /* files that were loaded and are used no more */
} svi_mods_figures;
void svi_mods_figures_get(const svi_mods *mods, svi_mods_figures *figures_out);

/* Lets a module out of quarantine, on one host or (NULL) on all; what it missed it is told as far as svi_host_introduce
 * goes. SV_ENOTFOUND if it is not enabled there, SV_EINVAL if it is in no quarantine; what its start() says, if it
 * was not even started: then it stays there. */
sv_status svi_mods_release(svi_mods *mods, sv_str name, const svi_host *host, sv_err *err);
/* True if a module of that name is in quarantine on any host. */
bool svi_mods_quarantines(const svi_mods *mods, const char *name);

/* The table of budget options of module number `i` (stride sizeof(sv_option)); false past the end. */
bool svi_mods_budget_options(const svi_mods *mods, size_t i, const sv_option **options_out);
/* Line number `k` of the costs of module number `i`, those of generations before included; false past the end.
 * Valid until the next turn. */
bool svi_mods_line(const svi_mods *mods, size_t i, size_t k, const svi_cost_line **line_out);

/* Right number `k` of module number `i`, "changes message/account"; false past the end, and for modules in C. Valid
 * until the next turn. */
bool svi_mods_right(const svi_mods *mods, size_t i, size_t k, const char **right_out);

/* Metric number `k` of module number `i` and its value; false past the end. */
bool svi_mods_metric(const svi_mods *mods, size_t i, size_t k, const sv_metric **metric_out,
                     int64_t *value_out);

/* The option table of module number `i` as above (NULL if it has none), for the search for unknown
 * names; false past the end. Valid until svi_mods_free. */
bool svi_mods_options(const svi_mods *mods, size_t i, const sv_option **options_out,
                      size_t *stride_out);

/* The table given to modules. */
const sv_api *svi_mods_api(void);

#endif
