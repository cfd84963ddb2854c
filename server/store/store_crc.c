/* CRC-32C (Castagnoli), eight bytes at a time by tables. */
#include "store/store_journal.h"

#define CASTAGNOLI 0x82f63b78u /* reflected */

void svi_crc_init(svi_crc *crc)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (c & 1 ? CASTAGNOLI : 0);
        crc->table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            const uint32_t c = crc->table[k - 1][i];
            crc->table[k][i] = (c >> 8) ^ crc->table[0][c & 0xff];
        }
    }
}

uint32_t svi_crc32c(const svi_crc *crc, uint32_t seed, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint32_t c = ~seed;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        const uint32_t low = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                                  (uint32_t)p[3] << 24);
        c = crc->table[7][low & 0xff] ^ crc->table[6][(low >> 8) & 0xff] ^
            crc->table[5][(low >> 16) & 0xff] ^ crc->table[4][low >> 24] ^ crc->table[3][p[4]] ^
            crc->table[2][p[5]] ^ crc->table[1][p[6]] ^ crc->table[0][p[7]];
    }
    while (bytes-- > 0) c = (c >> 8) ^ crc->table[0][(c ^ *p++) & 0xff];
    return ~c;
}
