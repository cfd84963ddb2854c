/* What a test sees of modules, and does to them: given to the loader by the stage, by nobody else (svi_mods_config.probe).
 * All on the router's thread; members may be NULL. `module` is the name of the module concerned. */
#ifndef SVI_MODS_PROBE_H
#define SVI_MODS_PROBE_H

#include <stave/module.h>

/* Where a module's code called a function. */
typedef struct svi_mods_site {
    const void *address; /* in C: behind the call; NULL in a script */
    const char *file;    /* of a script, and the line there; of a module in C the file that was loaded, with its offset */
    uintptr_t place;
} svi_mods_site;

typedef struct svi_mods_probe {
    void *ctx;
    /* It asks the store for rows or a value; true: it is told SV_EIO, as if the disk had failed. */
    bool (*read_fails)(void *ctx, const char *module);
    /* It writes, or asks if there is space; true: there is none. */
    bool (*is_full)(void *ctx, const char *module);
    /* It asks for memory; true: as if its quota were used up. */
    bool (*is_over_quota)(void *ctx, const char *module);
    /* A handler of it has said SV_LATER. */
    void (*waits)(void *ctx, const char *module, sv_event *ev);
    /* It refuses an event (cond 0: it drops it), if it handles that. */
    void (*refuses)(void *ctx, const char *module, sv_cond cond, const svi_mods_site *site);
    /* It broke a rule: a fault of it, as svi_mod_info counts them. */
    void (*faults)(void *ctx, const char *module, const char *rule);
} svi_mods_probe;

#endif
