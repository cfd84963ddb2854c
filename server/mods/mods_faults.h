/* Faults in a window of time: how many there were lately. */
#ifndef SVI_MODS_FAULTS_H
#define SVI_MODS_FAULTS_H

#include "base/base_mem.h"

/* The times of the newest `max` faults, in a ring. */
typedef struct svi_faults {
    int64_t *at_us;
    size_t max, count, next;
    int64_t within_us;
    uint64_t total; /* ever, through svi_faults_clear too */
} svi_faults;

/* An empty window: `max` (0: none is ever too many) within so long. Its memory is charged to `acct`. */
void svi_faults_init(svi_faults *faults, svi_acct *acct, size_t max, int64_t within_us);
/* Gives its memory back; the total stays. */
void svi_faults_free(svi_faults *faults);
/* Notes one; true if with it there were `max` in the time. `now_us` never goes back. */
bool svi_faults_add(svi_faults *faults, int64_t now_us);
/* How many there are in the time that ends now: `max` at most. */
size_t svi_faults_count(const svi_faults *faults, int64_t now_us);
/* Forgets all of the window. */
void svi_faults_clear(svi_faults *faults);

#endif
