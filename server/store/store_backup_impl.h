/* What writing and reading of backups share. Nothing else includes this. */
#ifndef SVI_STORE_BACKUP_IMPL_H
#define SVI_STORE_BACKUP_IMPL_H

#include "base/base_assert.h"
#include "base/base_str.h"
#include "store/store_backup.h"
#include "store/store_impl.h"
#include "store/store_journal.h"

#define SVI_BACKUP_MAGIC "STAVEBAK"
#define SVI_BACKUP_HEADER 16u
#define SVI_FRAME_HEAD 12u

static inline void svi_put_le(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (char)(value >> (8 * i));
}

static inline uint64_t svi_get_le(const char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

/* The checksum of a frame, its head without the checksum first; `seed` is the one before. */
static inline uint32_t svi_frame_crc(const svi_crc *crc, uint32_t seed, const char *frame, size_t n)
{
    return svi_crc32c(crc, svi_crc32c(crc, seed, frame, 8), frame + SVI_FRAME_HEAD,
                      n - SVI_FRAME_HEAD);
}

#endif
