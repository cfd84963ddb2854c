/* Which modules workers ended in: whoever ended three within ten minutes begins in quarantine. Kept by the supervisor, in
 * memory: a stop of the server forgets all. */
#ifndef SVI_MAIN_BLAME_H
#define SVI_MAIN_BLAME_H

#include "mods/mods_faults.h"

#define SVI_BLAME_MAX 16u /* modules; of more, who was blamed longest ago is forgotten */
#define SVI_BLAME_CRASHES 3u
#define SVI_BLAME_WITHIN_US INT64_C(600000000)
#define SVI_BLAME_NAME_BYTES 64u

typedef struct svi_blamed {
    char module[SVI_BLAME_NAME_BYTES]; /* "" is a free place */
    svi_faults ends;
    bool is_held;     /* three ended */
    bool is_in_start; /* one of them in its start */
    int64_t last_us;
} svi_blamed;

typedef struct svi_blame {
    svi_acct *acct;
    svi_blamed modules[SVI_BLAME_MAX];
} svi_blame;

/* Nobody is blamed yet. */
void svi_blame_init(svi_blame *blame, svi_acct *acct);
/* Frees what is noted. */
void svi_blame_free(svi_blame *blame);

/* A worker ended in the module ("" is the core), in that hook. True if the module begins in quarantine from now on
 * and did not before. */
bool svi_blame_end(svi_blame *blame, const char *module, const char *hook, int64_t now_us);

/* It was let out of quarantine, or is enabled no more: all that was noted of it is forgotten. */
void svi_blame_forget(svi_blame *blame, const char *module);

#endif
