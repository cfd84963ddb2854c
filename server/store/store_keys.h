/* How map, owner and key become an LMDB key; see store_index.h for the form. */
#ifndef SVI_STORE_KEYS_H
#define SVI_STORE_KEYS_H

#include "store/store_engine.h"

#define SVI_LMDB_KEY 511u

typedef void (*svi_hash_fn)(sv_str text, uint8_t out[32]);

/* A key for LMDB under construction. */
typedef struct svi_lkey {
    unsigned char bytes[SVI_LMDB_KEY];
    size_t n;
    size_t owner_n; /* length of map and owner part */
    bool owner_hashed, key_hashed;
} svi_lkey;

/* Map and owner part; all rows of the owner begin with it. */
void svi_lkey_owner(svi_lkey *to, svi_hash_fn hash, uint32_t map, sv_str owner);

/* The whole key of a row, with probe 0 at the end if anything is hashed. */
void svi_lkey_row(svi_lkey *to, svi_hash_fn hash, const svi_row_key *key);
static inline bool svi_lkey_hashed(const svi_lkey *k)
{
    return k->owner_hashed || k->key_hashed;
}

/* Where an owner's keys that are hashed begin: all written-out ones are before, in order of their bytes. `to` has the owner part. */
void svi_lkey_hashed_keys(svi_lkey *to);

/* Where a written-out key of the owner is, or would be; of one that is too long for it, what all those before and none of those
 * behind it are below. `to` has the owner part. */
void svi_lkey_text(svi_lkey *to, sv_str key);

/* Where the hashed owners of a map begin: all written-out ones are before. */
void svi_lkey_hashed_owners(svi_lkey *to, uint32_t map);

/* Behind the last row of an owner that is written out. */
void svi_lkey_after_owner(svi_lkey *to, uint32_t map, sv_str owner);

/* What a stored row says of itself. Strings point into `lmdb_key` and `lmdb_value`, except a
 * written-out owner, of which only escaped bytes exist. */
typedef struct svi_lrow {
    bool owner_hashed, key_hashed;
    sv_str owner; /* if hashed: full owner; else the escaped bytes */
    sv_str key, value;
} svi_lrow;

/* False if the bytes make no sense. */
bool svi_lrow_read(sv_str lmdb_key, sv_str lmdb_value, svi_lrow *out);

/* Undoes the escape into `to` (room for `escaped.n`); returns the length. */
size_t svi_lkey_unescape(sv_str escaped, char *to);

/* Length of what precedes the value of a row, and that text itself. */
size_t svi_lrow_prefix(const svi_lkey *k, const svi_row_key *key, char *to);
#define SVI_LROW_PREFIX_MAX (4u + SVI_OWNER_MAX + SVI_KEY_MAX)

#endif
