/* What reading and writing of the journal share. Nothing else includes this. */
#ifndef SVI_STORE_JOURNAL_IMPL_H
#define SVI_STORE_JOURNAL_IMPL_H

#include <pthread.h>

#include "base/base_str.h"
#include "store/store_journal.h"

#define MAGIC "STAVEJNL"
#define FORMAT 2u
#define HEADER 64u
#define HEAD 24u     /* of a batch */
#define UNIT_HEAD 4u /* of a unit: its length */
#define LOOSE 1u /* flag of a segment: its batches were not synced */
#define NAME_MAX_BYTES 40
#define BUFFER_KEPT (1u << 20)

typedef struct segment {
    uint64_t first, last; /* numbers in it; last < first while empty */
    uint64_t bytes;
} segment;

struct svi_journal {
    svi_journal_config config;
    svi_file_ops files;
    svi_crc crc;
    svi_buf buf;  /* the batch under construction */
    int fd;       /* of the newest segment, -1: none yet */
    uint64_t at;  /* where the next batch goes */
    uint64_t end; /* size of the newest segment */
    uint32_t seed;
    uint64_t last; /* newest number written */
    bool broken;

    pthread_mutex_t lock; /* for what follows */
    segment *segments;
    size_t segment_count, segment_cap;
    int next_fd; /* an empty one in reserve, -1: none */
    uint64_t next_bytes;
    char next_name[NAME_MAX_BYTES];
    unsigned next_number;
    _Atomic uint64_t bytes;
};

static inline void put_le(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (char)(value >> (8 * i));
}

static inline uint64_t get_le(const char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

/* The file name of the segment that begins with unit `first`. */
void svi_journal_name(uint64_t first, char to[NAME_MAX_BYTES]);

/* Appends to the list of segments; lock held, or before there are threads. */
void svi_journal_add(svi_journal *journal, segment s);

/* svi_journal_open's part of reading: hands out units, cuts a torn end, opens the newest segment
 * for writing. */
sv_status svi_journal_replay(svi_journal *journal, uint64_t folded,
                             sv_status (*unit)(void *ctx, uint64_t number, sv_str record),
                             void *ctx, sv_err *err);

#endif
