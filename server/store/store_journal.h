/* The journal: numbered units in preallocated segment files, written by the batch, synced once a
 * batch.
 *
 * Segment: header of 64 bytes (magic, version, flags, first number, checksum), then batches:
 * length, CRC-32C, first and last number, then each unit as length and bytes; a zero head ends it.
 * The checksum of a batch is seeded with its segment's, so what an earlier use of the file left
 * behind never counts. */
#ifndef SVI_STORE_JOURNAL_H
#define SVI_STORE_JOURNAL_H

#include "store/store_engine.h"

typedef struct svi_journal svi_journal;

typedef struct svi_journal_config {
    svi_acct *acct;
    int dir_fd; /* stays the caller's */
    uint64_t segment_bytes;
    bool sync; /* fdatasync after each batch; else segments are marked so and forgive gaps at the
                  end */
    const svi_file_ops *files;
} svi_journal_config;

/* Reads all segments, hands each unit above `folded` to `unit` in order, cuts a torn tail, and
 * makes ready to write. SV_EIO with file and offset if there is damage before the last batch or a
 * gap, SV_EVERSION for a later format. Blocks; start-up only. */
sv_status svi_journal_open(const svi_journal_config *config, uint64_t folded,
                           sv_status (*unit)(void *ctx, uint64_t number, sv_str record), void *ctx,
                           svi_journal **journal_out, sv_err *err);

/* Closes files. After all threads that use it have ended. */
void svi_journal_close(svi_journal **journal);

/* Appends a batch and syncs it. Writer thread. After an error all later calls fail the same way:
 * nothing is tried twice. */
sv_status svi_journal_write(svi_journal *journal, uint64_t first, const sv_str *records,
                            size_t count, sv_err *err);

/* Units up to `last` are durable in the index: segments that hold nothing newer are used again or
 * removed. Then makes sure that an empty segment is there for the writer; SV_ENOSPC or SV_EIO if it
 * can't be made. Folding thread. */
sv_status svi_journal_folded(svi_journal *journal, uint64_t last);

/* Bytes of all segment files; any thread. */
uint64_t svi_journal_bytes(const svi_journal *journal);

/* CRC-32C (RFC 3720 appendix B.4) of bytes after `seed` (0 at first). */
typedef struct svi_crc {
    uint32_t table[8][256];
} svi_crc;
void svi_crc_init(svi_crc *crc);
uint32_t svi_crc32c(const svi_crc *crc, uint32_t seed, const void *data, size_t bytes);

#endif
