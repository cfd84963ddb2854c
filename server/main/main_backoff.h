/* How soon a worker is started again after it died: at once, unless that happens often. */
#ifndef SVI_MAIN_BACKOFF_H
#define SVI_MAIN_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct svi_backoff {
    unsigned crashes;      /* one soon behind the other */
    unsigned store_faults; /* the same, of the store */
} svi_backoff;

/* A worker died after `lived_ms`; `of_store` if because the store failed. Returns how long to wait
 * before the next start: 0, 0, then 1, 2, 4 ... 60 s; a worker that lived a minute begins the count
 * anew. After a fault of the store 1 s. -1: give up, the store failed again soon after. */
int64_t svi_backoff_died(svi_backoff *backoff, int64_t lived_ms, bool of_store);

#endif
