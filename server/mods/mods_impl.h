/* What the files of the loader share: loaded files, modules on a host, the host's group of them.
 * Nobody outside this folder includes it. */
#ifndef SVI_MODS_IMPL_H
#define SVI_MODS_IMPL_H

#include <sys/stat.h>

#include "mods/mods_budget.h"
#include "mods/mods_costs.h"
#include "mods/mods_engine.h"
#include "mods/mods_faults.h"
#include "mods/mods_loader.h"
#include "base/base_assert.h"
#include "base/base_dict.h"
#include "xmpp/xmpp_event.h"
#include "xmpp/xmpp_provider.h"

enum {
    SVI_MODS_MAGIC = 0x4d4f4453,
    SVI_MOD_MAGIC = 0x4d4f4421,
    SVI_STORE_MAGIC = 0x53544f52,
    SVI_ROWS_MAGIC = 0x524f5753,
    SVI_MOD_NAME_MAX = 64
};

/* One shared object, loaded once by a loader however many hosts use it. */
typedef struct svi_mod_file {
    svi_acct *acct;
    uint32_t refs;
    size_t size; /* of the private copy */
    int fd;      /* of it; open as long as the code is used */
    void *handle;
    bool is_engine;      /* declared with SV_ENGINE: never replaced */
    bool is_stale;       /* another file of that name was there when it was looked for last */
    uint32_t number;     /* how many files of this name this process has loaded for its hosts, with it */
    sv_module_desc desc; /* a copy, with what the module is too old to have left empty */
    svi_arena *arena;    /* its commands as desc has them, in this server's layout */
    const sv_option *budget_options; /* in the arena */
    struct svi_script *script;          /* in Lua; then `handle` is NULL */
    struct svi_script_source *sources;  /* its further files */
    sv_str recorded;     /* of a folder that was installed: its list (svi_record_list), in the arena; empty: no record counts */
    uint64_t mark;       /* svi_file_mark of its first one, before it was read */
    uint64_t seen_mark, tried_mark; /* mods_autoreload.c: of all its files, in the last look; that were loaded, or refused */
    void *shared;        /* of its hosts; NULL while it is not used, or none is declared */
    uint32_t users;      /* modules on hosts that use it */
    char name[SVI_MOD_NAME_MAX];
} svi_mod_file;

typedef struct svi_group svi_group;
typedef struct svi_block svi_block; /* mods_memory.c: memory that a module asked for */
typedef struct svi_item svi_item;   /* mods_items.c: a named text of a module, for all of its host */
typedef struct svi_watch svi_watch; /* mods_follow.c: a file that a module follows */

/* Generations of modules that another took the place of; of all loaders of the server, one behind the other. */
typedef struct svi_past {
    svi_acct *acct;
    uint32_t refs;
    sv_mod *draining;  /* those that something in flight still needs */
    uint64_t retired;  /* those that have gone since the start */
    uint64_t kept;     /* files whose code was loaded for a reload, and is used no more */
    struct svi_shadow *shadows; /* policies that are tried */
    const svi_mods_probe *probe; /* NULL: none */
} svi_past;

/* A timer of every(); linked in its module. */
struct sv_timer {
    sv_timer *next;
    sv_mod *mod;
    svi_timer *timer;
    sv_timer_fn fire; /* NULL: a step of the round over `store` */
    sv_store *store;
    int64_t period_us;
};

/* A named map as a module holds it; linked in its module. */
struct sv_store {
    uint32_t magic;
    sv_store *next;
    sv_mod *mod;
    svi_map *map;
    svi_map_use use;                 /* in the map's list, until the module ends */
    char who[SVI_MOD_NAME_MAX + 16]; /* "module NAME" */
    char name[SVI_MOD_NAME_MAX];     /* without the module's */
    sv_str swept;                /* where the round over its owners is; empty: at its begin */
    bool is_sweeping;            /* a list of owners is being read */
};

typedef struct svi_layer svi_layer; /* mods_overlay.c: rows that are added, of one source */

/* One owner's rows as a handler sees them; in the event's arena. */
struct sv_rows {
    uint32_t magic;
    svi_rows *rows; /* a reference until the event ends */
    sv_event *ev;
    const struct svi_overlay *overlay; /* NULL: nothing is added */
    svi_layer *layer;                  /* a reference, too; NULL: nothing is added for this owner */
    struct svi_aside *aside;           /* of a shadow: what it has written itself; else NULL */
    svi_map *map;                      /* with `aside`: whose rows these are; `owner` in the event's arena */
    sv_str owner;
    sv_str own;                        /* the owner's bare address, which is not added */
};

/* What a module adds to a map; linked in its group, the newest first. */
typedef struct svi_overlay {
    struct svi_overlay *next;
    sv_mod *mod;
    svi_map *map;
    sv_overlay calls;
    svi_point changed;
    struct svi_layers *layers; /* of the map on the host; outlives the group */
} svi_overlay;

/* A module's memory on the host's sessions: of all its generations together, since each may be in the
 * midst of an event. */
typedef struct svi_mod_memory {
    uint32_t refs;
    svi_acct acct;
    svi_costs *costs; /* a reference */
    svi_session_blocks blocks;
} svi_mod_memory;

/* How near a module is to a budget. */
typedef enum svi_strain { SVI_WITHIN = 0, SVI_NEAR, SVI_OVER } svi_strain;

/* How a module behaves on a host. Per generation; what is in quarantine stays so with the same code. */
typedef struct svi_conduct {
    svi_budget budget;
    svi_ward ward; /* its handlers' */
    svi_faults faults;
    svi_strain memory_level, cpu_level;
    int64_t window_us, window_ns; /* when the window of processor time began, and what was used up to then */
    bool is_held;  /* it was never started: crashes in its start ended workers */
    bool missed_ready; /* host/ready was fired meanwhile */
    bool has_missed;   /* the generation before was in quarantine, which ends with it */
    bool is_due;   /* quarantine begins when what runs now is over; holds the module */
    char due_why[200];
    sv_err why;       /* of quarantine */
    int64_t since_us; /* wall clock */
    uint64_t sessions; /* number of the newest session then */
} svi_conduct;

/* A module on one host: its handle. */
struct sv_mod {
    uint32_t magic;
    uint32_t refs; /* of its group, of hook tables, of what is in flight for it */
    uint32_t generation; /* 1, and one more for each that took another's place on the host */
    bool is_started;
    bool uses_file; /* counted in its `users` */
    bool is_new; /* the generation before had no such module */
    bool is_starting; /* its `start` runs */
    bool is_live;     /* its hooks are the host's */
    bool has_run;     /* they were once */
    bool is_retired;  /* they were, or never will be: nothing calls into it any more but what waits for it */
    bool is_replaced; /* by a generation that got its state: it writes only for an event that waits in it */
    uint32_t in_flight;      /* operations that were begun for it */
    const sv_event *acting;  /* whose operation it is called back for */
    sv_mod *before;          /* a reference, until it has started: whom it replaces; NULL: nobody */
    sv_blob *saved;          /* what that one saved, until it has started */
    const char *why;         /* it can't start, if that is known; in `texts` */
    sv_mod *older, **link;   /* in svi_past.draining */
    sv_mod *next_ending;     /* in svi_engines.ending */
    svi_arena *texts;        /* of its options */
    svi_group *group;        /* a reference */
    svi_mod_file *file; /* a reference */
    void *self;
    void *filled; /* a copy of `self` with nothing but its options */
    const svi_value *place; /* where modules_enabled names it; NULL once started */
    const char *why_not;    /* why its last store could not be opened; in `texts`; NULL */
    svi_acct acct;          /* everything it obtained through its handle */
    svi_costs *costs;       /* a reference; the same in all its generations */
    int64_t **metrics;      /* values of `costs`, by places in the description's table; may be NULL each */
    size_t metric_count;
    bool is_metric_wrong; /* it was told */
    svi_conduct conduct;
    int64_t pace_us, paced_at_us; /* of a script: what its timers and waits have taken lately, twice; when that was reckoned */
    sv_timer *timers;
    svi_block *blocks;
    svi_watch *watches;
    svi_item *items;
    size_t item_count;
    sv_store *stores;
    struct sv_archive *archives;
    sv_table *tables;
    svi_mod_memory *memory; /* a reference */
    svi_provider *provider; /* if it keeps the host's accounts */
    svi_dict *stanzas;         /* those it keeps: address -> how often */
    sv_str stream_feature;     /* as it set it; besides that of its description */
    struct svi_trial *trial; /* what is tried beside it (mods_shadow.h); NULL: nothing */
    struct svi_trial *tries; /* of a shadow: that it is; NULL: it is none */
    struct svi_engine_part *engine; /* of an engine module: its sockets and threads (mods_engine_impl.h) */
};

/* The modules of one host. Outlives each of them: an event that waits may go on with the handlers it began
 * with. */
struct svi_group {
    svi_group *next;
    svi_engines *engines; /* NULL where there is no loop */
    svi_acct *acct;
    uint32_t refs; /* of the loader, and of each module that was ever in it */
    bool is_live;  /* its hooks are the host's */
    bool is_ready; /* host/ready was fired */
    bool is_ending; /* with the server, not by a reload */
    svi_server *server;
    svi_host *host;
    const svi_plat *plat; /* of the server */
    sv_str host_name;     /* a copy, ends with a NUL: may be needed when the host is gone */
    svi_past *past;       /* a reference */
    const svi_mods_probe *probe; /* NULL: none */
    svi_group *before;    /* what it replaces; NULL: nothing */
    bool is_same;         /* nothing differs: that one goes on */
    const svi_section *section; /* NULL once started, as `place` */
    const svi_value *place;     /* its modules_enabled */
    sv_mod **mods;          /* in order of the config; a reference each */
    sv_mod **order;         /* in order of starting */
    size_t count;
    svi_hooks *hooks;
    svi_overlay *overlays;
    svi_dict *changed_items; /* names that host/item will be fired for; NULL: none */
    svi_hooks *newcomers; /* those of new modules alone; NULL if nobody has to be told */
    svi_arena *texts;    /* of the features */
    sv_str *features[2]; /* of the host, of its accounts; in `texts` */
    size_t feature_count[2];
};

struct svi_mods {
    uint32_t magic;
    bool is_running;
    svi_acct *acct;
    svi_mods_config config;
    svi_timer *look;      /* at budgets; while it runs */
    svi_config *own_config; /* the reference of what stands there */
    svi_mod_file **files; /* a reference each */
    size_t file_count;
    svi_group *groups, **groups_end;
    svi_past *past; /* a reference */
};

enum { SVI_BLOB_BYTES = 1 << 20 }; /* that a module may save */

/* --- mods_file.c ------------------------------------------------------------------- */

/* Notes whether another file than the loaded one is found by its name now. */
void svi_mod_file_look(svi_mod_file *file, svi_acct *acct, const svi_mods_config *config);
/* What is found by the name now; false: nothing. */
bool svi_mod_file_stat(const svi_mods_config *config, const char *name, struct stat *st_out);
/* Another number for each file and each state of it; never 0 (mods_autoreload.c). */
uint64_t svi_file_mark(const struct stat *st);
/* Finds NAME.so in the folders, checks it, loads a private copy and asks it what it is. The caller
 * has a reference. */
sv_status svi_mod_file_load(svi_acct *acct, const svi_mods_config *config, sv_str name,
                            svi_mod_file **file_out, sv_err *err);
/* The same for a file at a path that ends with NAME.so; no server needs to be there. */
sv_status svi_mod_file_open(svi_acct *acct, const char *path, svi_mod_file **file_out, sv_err *err);
/* The same, with what `config` says of scripts. */
sv_status svi_mod_file_open_with(svi_acct *acct, const svi_mods_config *config, const char *path, svi_mod_file **file_out, sv_err *err);
/* The path of the file that a module is found in now; SV_ENOTFOUND with text. */
sv_status svi_mod_file_find(const svi_mods_config *config, sv_str name, char *path_out, size_t path_bytes, sv_err *err);
/* All bytes of the loaded code's copy (svi_free); NULL if they can't be read. */
char *svi_mod_file_image(svi_acct *acct, const svi_mod_file *file);
svi_mod_file *svi_mod_file_ref(svi_mod_file *file);
/* Whether it is an engine module (api/stave/engine.h): its code is loaded once, and a new one comes with the next
 * start of the server alone. */
bool svi_mod_is_engine(const svi_mod_file *file);
/* The module begins to use its file: the first one starts what they share. Whatever it returns, once. */
sv_status svi_mod_file_enter(sv_mod *mod);
/* It uses it no more; the last one stops that. Nothing if it never began. */
void svi_mod_file_leave(sv_mod *mod);
/* The last reference unloads the code in builds with SVI_DEBUG; in production it stays mapped
 * (house-style C.3). */
void svi_mod_file_unref(svi_mod_file **file);

/* --- mods_loader.c ----------------------------------------------------------------- */

/* True if a host has the module of that file enabled; files of others are kept, too. */
bool svi_mods_enable(const svi_mods *mods, const svi_mod_file *file);

/* --- mods_conduct.c ---------------------------------------------------------------- */

/* Its budget is filled in: begins and ends counting. */
void svi_conduct_begin(sv_mod *mod);
void svi_conduct_end(sv_mod *mod);
/* Another budget from now on. */
void svi_conduct_set_budget(sv_mod *mod, const svi_budget *budget);
/* The generation before had the same code: its count of faults, and its quarantine if it is in one. */
void svi_conduct_hand_over(sv_mod *mod, const sv_mod *before);
/* Stands in for a back end of the host's accounts that may be among the modules that were not started: whoever logs in is
 * told to try again later. */
void svi_conduct_stand_in(svi_group *group);
/* Other code takes its place: its quarantine is over with it. */
void svi_conduct_renewed(sv_mod *mod, const sv_mod *before);
/* It hears of what was missed meanwhile: sessions that were bound, and of the host if it was never told. */
void svi_conduct_introduce(sv_mod *mod);
/* Its handlers are not called, its timers rest, its back end is not asked from now on. */
void svi_conduct_close(sv_mod *mod);
/* Puts it into quarantine now, if it is in none: between two events only. */
void svi_conduct_quarantine(sv_mod *mod, const char *why);
/* As if it had asked for more memory than its budget gives: that is a fault, and quarantine. */
void svi_conduct_exceed(sv_mod *mod);
/* Bytes that it holds, with those on sessions, and of a script those of its state. */
int64_t svi_mod_memory_bytes(const sv_mod *mod);
/* Compares them with its budget: in the look of each second, or since it has just got more. */
void svi_conduct_look_memory(sv_mod *mod, bool is_look);
/* A fault of the module against a rule (static text). Any time; quarantine comes later. */
void svi_mod_fault(sv_mod *mod, const char *rule);
/* An svi_fault_fn. */
void svi_mods_on_fault(void *ctx, const svi_handler *handler, const char *rule);
/* Begins and ends to look after the modules of a running loader. */
void svi_mods_watch(svi_mods *mods);
void svi_mods_unwatch(svi_mods *mods);

/* --- mods_memory.c ----------------------------------------------------------------- */

/* Frees all that the module has not given back. */
void svi_blocks_drop(sv_mod *mod);

/* --- mods_api.c -------------------------------------------------------------------- */

/* Lets a timer run on that rests, unless it does. */
void svi_timer_resume(sv_timer *timer);

/* --- mods_groups.c ----------------------------------------------------------------- */

/* Whether the server has what a module needs, "engine 1, store 2" (NULL: nothing): SV_EVERSION with text if not,
 * SV_EINVAL if it can't be read. */
sv_status svi_mod_needs_check(const char *needs, sv_err *err);

/* --- mods_order.c ------------------------------------------------------------------ */

/* Tells of a problem, at the value if there is one, else at the section. */
void svi_mods_complain(const svi_mods *mods, const svi_section *section, const svi_value *place,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
/* True if all that the group's modules need are in it; what is missing is told with who needs it. */
bool svi_group_has_needs(const svi_mods *mods, const svi_group *group);
/* Puts the group's modules into the order of starting: what they name in `after` first, then the order of the
 * config. False if some wait for each other, which is told with the whole circle. */
bool svi_group_order(const svi_mods *mods, svi_group *group);
/* True if the module names that one in `after`, as one that it needs or would like. */
bool svi_mod_names(const sv_mod *mod, sv_str name);
/* Appends the names of those that need the module, or one that needs it; how many. */
size_t svi_group_dependents(const svi_group *group, sv_str name, svi_buf *names);

/* --- mods_hooks.c ------------------------------------------------------------------ */

/* Reads the hooks of a module: SV_EINVAL with text if one can't be understood. */
sv_status svi_mod_hooks_check(const svi_mod_file *file, sv_err *err);
/* Declares the names that the group's filters and features hold. */
void svi_group_declare(const svi_group *group);
/* Makes the group's hook tables; its names must be declared. A table holds a reference of each of its
 * modules. */
sv_status svi_group_hooks_build(svi_group *group, sv_err *err);
/* Makes a table of one module's hooks alone. */
sv_status svi_mod_hooks_build(sv_mod *mod, svi_hooks **hooks_out, sv_err *err);
/* Collects the features that its modules declare. */
void svi_group_features_build(svi_group *group);

/* --- mods_features.c --------------------------------------------------------------- */

/* Reads the stream features of a module's description: SV_EINVAL with text if they are not XML elements
 * with namespaces of their own. `acct` is charged meanwhile. */
sv_status svi_mod_features_check(svi_acct *acct, const svi_mod_file *file, sv_err *err);
/* Gives the host the stream features of the group's modules, in order of the config. */
void svi_group_stream_features(const svi_group *group);

/* --- mods_reload.c ----------------------------------------------------------------- */

/* Calls save; what comes of it is for `next` (NULL: nobody). SV_ELIMIT if it is too much. */
sv_status svi_mod_save(sv_mod *mod, sv_mod *next);
/* Tells of that. */
void svi_mods_complain_of_save(const svi_mods *mods, const svi_group *group, const sv_mod *next);
/* Starts a module, and what its code shares first; what start() says. */
sv_status svi_mod_start(sv_mod *mod);
/* The same of one of the group; a refusal is told at its place in the config. */
sv_status svi_mods_start_one(const svi_mods *mods, const svi_group *group, sv_mod *mod);
/* The module's hooks are the host's: ends what was for its start. */
void svi_mod_settle(sv_mod *mod);

/* Fills in the module's options and budget from the section; problems are reported. */
sv_status svi_mod_configure(const svi_mods *mods, const svi_section *section, sv_mod *mod, svi_config_report report, void *ctx);
/* The section of a host that runs, in the configuration. */
const svi_section *svi_mods_section_of(const svi_mods *mods, const svi_group *home);

/* --- mods_shadow.c ----------------------------------------------------------------- */

/* The live version goes: so does what is tried beside it. */
void svi_trial_live_ends(sv_mod *live);
/* A shadow's module is freed. */
void svi_trial_gone(sv_mod *mine);
/* It broke a rule: that is told to nobody, and costs nobody anything. */
void svi_trial_fault(sv_mod *mine);
/* May a handler of a rehearsal wait? As in the event that is rehearsed. */
bool svi_trial_may_wait(const sv_event *ev);
/* True while a shadow has no time: its timers are put off. */
bool svi_trial_is_short(const sv_mod *mine);
/* Rows of a shadow are seen with what it has put aside. */
struct svi_aside *svi_trial_aside(const sv_mod *mine);

/* --- mods_saved.c ------------------------------------------------------------------ */

/* An empty blob for what `mod` gets of the generation before. */
sv_blob *svi_blob_new(svi_acct *acct);
/* True if more was saved than may be. */
bool svi_blob_is_full(const sv_blob *blob);
void svi_blob_free(sv_blob **blob);

/* --- mods_table.c ------------------------------------------------------------------ */

/* The module has taken over: what it changed in tables that it adopted stands. */
void svi_tables_settle(sv_mod *mod);
/* Lets go of its tables; of one that has not taken over, what it changed is as it was. */
void svi_tables_drop(sv_mod *mod);

/* --- mods_api_archive.c ------------------------------------------------------------ */

/* Frees the module's handles of archives. */
void svi_archives_drop(sv_mod *mod);

/* --- mods_sweep.c ------------------------------------------------------------------ */

/* Reads the next owners of the map and fires store/sweep for each, unless that is going on. */
void svi_sweep_step(sv_store *store);

/* --- mods_items.c ------------------------------------------------------------------ */

/* The group is the host's from now on: tells of items that are others than those of the one it replaces. */
void svi_group_items_live(svi_group *group);
/* The modules of `next` take the place of those that are there: the same. */
void svi_group_items_change(svi_group *home, const svi_group *next);
/* Frees the module's items. */
void svi_items_drop(sv_mod *mod);

/* --- mods_follow.c ------------------------------------------------------------------ */

/* Ends the following of the module's files. */
void svi_watches_drop(sv_mod *mod);

/* --- mods_overlay.c ---------------------------------------------------------------- */

/* What is added to the map as the store's module sees it; NULL if nothing is. */
const svi_overlay *svi_overlay_of(const sv_store *store);
/* Fills what `rows` has of the overlay: `rows->rows` is there. */
void svi_overlay_read(const svi_overlay *overlay, sv_event *ev, sv_str owner, sv_rows *rows);
/* Gives the layer back. */
void svi_layer_unref(svi_layer **layer);
/* The version in which its rows were made. */
uint32_t svi_layer_schema(const svi_layer *layer);
/* The value added under a key; false if there is none. */
bool svi_overlay_find(const sv_rows *rows, sv_str key, sv_str *value_out);
/* As svi_rows_find and svi_rows_next, with what is added. */
bool svi_overlay_row(const sv_rows *rows, sv_str key, sv_str *value_out);
bool svi_overlay_next(const sv_rows *rows, sv_str *key, sv_str *value_out);
/* What is seen of a row that is stored and added; for the event. */
sv_str svi_overlay_merge(const sv_rows *rows, sv_str stored, sv_str added);
/* How many rows are added that are not stored. */
size_t svi_overlay_count(const sv_rows *rows);
/* Frees the module's overlays; what owners were told stays. */
void svi_overlays_drop(sv_mod *mod);

/* --- mods_mod.c -------------------------------------------------------------------- */

/* What was replaced: begun by the first loader of a server. */
svi_past *svi_past_new(svi_acct *acct);
svi_past *svi_past_ref(svi_past *past);
void svi_past_unref(svi_past **past);
/* An empty group for the host / for a module that is of no host, with no server / one more reference. */
svi_group *svi_group_new(svi_acct *acct, svi_past *past, svi_server *server, svi_host *host);
svi_group *svi_group_bare(svi_acct *acct, const svi_plat *plat);
svi_group *svi_group_ref(svi_group *group);
void svi_group_unref(svi_group **group);
/* Retires its modules, the last that started first, and lets go of them; those that never ran are discarded. */
void svi_group_let_go(svi_group *group);
/* Discards those of its modules that never ran, the last that started first. */
void svi_group_discard(svi_group *group);
/* Makes a module on the file (referenced) for the host of `home`; its `self` is zeroed. It is to replace `before` (NULL:
 * nobody), whose memory on sessions, tables and counts it shares. The caller has a reference. */
sv_mod *svi_mod_new(svi_group *home, svi_mod_file *file, const svi_value *place, sv_mod *before);
sv_mod *svi_mod_ref(sv_mod *mod);
/* The last reference stops it and frees all it owns; if threads of it run, when those have ended
 * (svi_engine_end). */
void svi_mod_unref(sv_mod **mod);
/* Stops and frees: no reference is left, no thread runs. */
void svi_mod_finish(sv_mod *mod);
/* As ref and unref, for something in flight that calls back. */
sv_mod *svi_mod_begin(sv_mod *mod);
void svi_mod_end(sv_mod **mod);
/* Ends what would call into the module by itself: timers, questions for accounts. Once. */
void svi_mod_retire(sv_mod *mod);
/* The test's probe for what the module does; NULL: there is none, or it is a shadow. */
static inline const svi_mods_probe *svi_mod_probe(const sv_mod *mod)
{
    return mod->group->probe != NULL && mod->tries == NULL ? mod->group->probe : NULL;
}
/* May it still write in the event? Tells of it if not. */
/* What handler number `i` of the description / the run function of command number `i` gets as `self`. */
void *svi_mod_hook_self(const sv_mod *mod, size_t i);
void *svi_mod_command_self(const sv_mod *mod, size_t i);
bool svi_mod_may_write(const sv_mod *mod, const sv_event *ev);
/* Appends a module (the reference is taken over) to the group. */
void svi_group_put(svi_group *group, sv_mod *take);
/* Its options have been filled: keeps their texts and values. */
void svi_mod_filled(sv_mod *mod);
/* The module of that name in the group, or NULL. */
sv_mod *svi_group_find(const svi_group *group, sv_str name);
/* Compares the group with the one it replaces: sets is_same and its modules' is_new. */
void svi_group_compare(svi_group *group);

/* What was there when a module was entered. */
typedef struct svi_mod_visit {
    svi_exec saved;
    svi_bus *bus; /* NULL: it is not counted */
    svi_hook_stats *outer;
} svi_mod_visit;

/* Puts the module into the execution context, enters its server's platform, counts a callback under that text and
 * times it; returns what was there for svi_mod_leave. A retired one's is not counted: the server may be gone. */
svi_mod_visit svi_mod_enter(const sv_mod *mod, const char *hook);
/* The same for the core's work on a module: counts and times nothing. */
svi_mod_visit svi_mod_blame(const sv_mod *mod, const char *hook);
void svi_mod_leave(const svi_mod_visit *visit);

/* --- mods_api.c --------------------------------------------------------------------- */

/* When a call into a module began, and what the thread had run then. */
typedef struct svi_stretch {
    int64_t from_us, cpu_us;
} svi_stretch;
/* Begins a call from outside an event, of a module on a host / thinks of it what the bus does of handlers. */
svi_stretch svi_mod_stretch(sv_mod *mod);
void svi_mod_judge_time(sv_mod *mod, const char *what, const svi_stretch *stretch);

#endif
