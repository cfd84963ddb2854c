/* LMDB keys of rows: written out where they fit, hashed and verified where they don't. */
#include "store/store_keys.h"

#include "base/base_assert.h"

enum { TAG_TEXT = 1, TAG_HASH = 2, TAG_BEHIND = 3 };

#define OWNER_TEXT_MAX 240u /* escaped */
#define KEY_TEXT_MAX 261u   /* 4 + 1 + 240 + 2 + 1 + 261 + probe = 510 */
#define HASH_BYTES 32u

static void put(svi_lkey *to, int byte)
{
    SV_ASSERT(to->n < SVI_LMDB_KEY);
    to->bytes[to->n++] = (unsigned char)byte;
}

static void put_map(svi_lkey *to, uint32_t map)
{
    to->n = 0;
    to->owner_hashed = to->key_hashed = false;
    for (int shift = 24; shift >= 0; shift -= 8) put(to, (int)(map >> shift & 0xff));
}

static size_t escaped_length(sv_str s)
{
    size_t n = s.n;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == 0;
    return n;
}

static void put_hash(svi_lkey *to, svi_hash_fn hash, sv_str text)
{
    put(to, TAG_HASH);
    SV_ASSERT(to->n + HASH_BYTES < SVI_LMDB_KEY);
    hash(text, to->bytes + to->n);
    to->n += HASH_BYTES;
}

/* NUL becomes 00 01, the end is 00 00: order of the results is order of the texts. */
static void put_escaped(svi_lkey *to, sv_str text)
{
    put(to, TAG_TEXT);
    for (size_t i = 0; i < text.n; i++) {
        put(to, text.p[i]);
        if (text.p[i] == 0) put(to, 1);
    }
    put(to, 0);
    put(to, 0);
}

void svi_lkey_owner(svi_lkey *to, svi_hash_fn hash, uint32_t map, sv_str owner)
{
    put_map(to, map);
    to->owner_hashed = escaped_length(owner) > OWNER_TEXT_MAX;
    if (to->owner_hashed)
        put_hash(to, hash, owner);
    else
        put_escaped(to, owner);
    to->owner_n = to->n;
}

void svi_lkey_row(svi_lkey *to, svi_hash_fn hash, const svi_row_key *key)
{
    svi_lkey_owner(to, hash, key->map, key->owner);
    to->key_hashed = key->key.n > KEY_TEXT_MAX;
    if (to->key_hashed) {
        put_hash(to, hash, key->key);
    } else {
        put(to, TAG_TEXT);
        if (key->key.n > 0) memcpy(to->bytes + to->n, key->key.p, key->key.n);
        to->n += key->key.n;
    }
    if (svi_lkey_hashed(to)) put(to, 0);
}

void svi_lkey_hashed_keys(svi_lkey *to)
{
    to->n = to->owner_n;
    put(to, TAG_HASH);
}

void svi_lkey_text(svi_lkey *to, sv_str key)
{
    const size_t n = key.n < KEY_TEXT_MAX ? key.n : KEY_TEXT_MAX;
    to->n = to->owner_n;
    put(to, TAG_TEXT);
    if (n > 0) memcpy(to->bytes + to->n, key.p, n);
    to->n += n;
}

void svi_lkey_hashed_owners(svi_lkey *to, uint32_t map)
{
    put_map(to, map);
    put(to, TAG_HASH);
    to->owner_n = to->n;
}

void svi_lkey_after_owner(svi_lkey *to, uint32_t map, sv_str owner)
{
    put_map(to, map);
    if (escaped_length(owner) > OWNER_TEXT_MAX) {
        /* it has no place among the written-out ones; cut: begins before all that follow it */
        put(to, TAG_TEXT);
        for (size_t i = 0; i < owner.n && to->n < OWNER_TEXT_MAX; i++) {
            put(to, owner.p[i]);
            if (owner.p[i] == 0) put(to, 1);
        }
        return;
    }
    put_escaped(to, owner);
    put(to, TAG_BEHIND);
}

/* Takes a text with its length (2 bytes) off the front of *rest. */
static bool take_text(sv_str *rest, sv_str *out)
{
    if (rest->n < 2) return false;
    const size_t n = (size_t)(unsigned char)rest->p[0] | (size_t)(unsigned char)rest->p[1] << 8;
    if (rest->n - 2 < n) return false;
    *out = (sv_str){rest->p + 2, n};
    rest->p += 2 + n;
    rest->n -= 2 + n;
    return true;
}

/* Takes the owner part off *key. */
static bool take_owner(sv_str *key, svi_lrow *out)
{
    size_t n = 1;
    if (out->owner_hashed) {
        n += HASH_BYTES;
    } else {
        while (n + 1 < key->n && (key->p[n] != 0 || key->p[n + 1] != 0))
            n += key->p[n] == 0 ? 2u : 1u;
        out->owner = (sv_str){key->p + 1, n - 1};
        n += 2;
    }
    if (n >= key->n) return false;
    key->p += n;
    key->n -= n;
    return true;
}

bool svi_lrow_read(sv_str lmdb_key, sv_str lmdb_value, svi_lrow *out)
{
    if (lmdb_key.n < 7) return false;
    sv_str key = {lmdb_key.p + 4, lmdb_key.n - 4};
    out->owner_hashed = key.p[0] == TAG_HASH;
    if (!take_owner(&key, out)) return false;
    out->key_hashed = key.p[0] == TAG_HASH;
    out->value = lmdb_value;
    if (out->owner_hashed && !take_text(&out->value, &out->owner)) return false;
    if (out->key_hashed) return take_text(&out->value, &out->key);
    const size_t probe = out->owner_hashed ? 1 : 0;
    if (key.n < 1 + probe) return false;
    out->key = (sv_str){key.p + 1, key.n - 1 - probe};
    return true;
}

size_t svi_lkey_unescape(sv_str escaped, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < escaped.n; i++) {
        to[n++] = escaped.p[i];
        if (escaped.p[i] == 0) i++;
    }
    return n;
}

static size_t put_text(char *to, sv_str text)
{
    to[0] = (char)(text.n & 0xff);
    to[1] = (char)(text.n >> 8);
    if (text.n > 0) memcpy(to + 2, text.p, text.n);
    return 2 + text.n;
}

size_t svi_lrow_prefix(const svi_lkey *k, const svi_row_key *key, char *to)
{
    size_t n = 0;
    if (k->owner_hashed) n += put_text(to, key->owner);
    if (k->key_hashed) n += put_text(to + n, key->key);
    return n;
}
