/* The LMDB index: folded rows, and up to which unit they are folded.
 *
 * Key: map (4 bytes, big-endian), owner part, key part. A part is written out (tag 1; owners with
 * NUL escaped and an end mark, so that rows of an owner are adjacent and owners in order of bytes)
 * or, if too long for LMDB's 511 bytes, as SHA-256 (tag 2). With a hash in it the key ends with a
 * probe byte and the value begins with the full text, which is compared: two names of one hash live
 * side by side. */
#ifndef SVI_STORE_INDEX_H
#define SVI_STORE_INDEX_H

#include <lmdb.h>

#include "store/store_engine.h"

typedef struct svi_index svi_index;

typedef struct svi_index_config {
    svi_acct *acct;
    const char *path; /* an existing folder */
    uint64_t map_bytes;
    unsigned readers;
    void (*hash)(sv_str text, uint8_t out[32]);
    int64_t txn_us; /* longest read transaction */
} svi_index_config;

/* Opens or makes it. *folded_out: number of the last folded unit, 0 in a new one. SV_EVERSION if it
 * was made by a later release. Reads nothing but its head. */
sv_status svi_index_open(const svi_index_config *config, svi_index **index_out,
                         uint64_t *folded_out, sv_err *err);
void svi_index_close(svi_index **index);

/* Calls the `prepare` of a FOLD job, which finds in it what rows have now. Folding thread. */
sv_status svi_index_prepare(svi_index *index, svi_job *job);

/* Writes the sorted changes and `last` in one synced transaction. Folding thread. */
sv_status svi_index_fold(svi_index *index, const svi_row_change *changes, size_t count,
                         uint64_t last, sv_err *err);

/* Bytes in use: file less free pages. Folding thread. */
sv_status svi_index_used(svi_index *index, uint64_t *used_out);

/* Runs a GET, SCAN, OWNERS, RANGE or CUT job and fills its results and status. Any thread, one transaction at a
 * time each. */
void svi_index_read(svi_index *index, svi_job *job);

#endif
