/* Dict: entries in the order of insertion, found through an index of open hashing.
 *
 * A removed entry stays as a hole, which its index slot goes on pointing at, until a rebuild closes the
 * holes; they are never more than the live entries and eight. A walk's position is a serial number, not
 * a place, so a rebuild during a walk loses nothing. */
#include "base/base_dict.h"

#include "base/base_assert.h"
#include "base/base_str.h"

enum { DICT_MAGIC = 0x44494354, LEAST_CAP = 8, HOLES_ALLOWED = 8 };

typedef struct entry {
    sv_str key;
    void *value;   /* NULL: a hole */
    size_t serial; /* rises along the entries; never used again */
    uint32_t hash;
} entry;

struct svi_dict {
    uint32_t magic;
    svi_acct *acct;
    entry *entries;
    uint32_t *index; /* place of an entry + 1, 0 is empty; twice `cap` slots */
    size_t cap;      /* power of two, or 0 */
    size_t used;     /* entries and holes */
    size_t first;    /* no live entry before this place */
    size_t live;
    size_t next_serial;
};

svi_dict *svi_dict_new(svi_acct *acct)
{
    svi_dict *dict = svi_alloc(acct, sizeof(svi_dict));
    dict->magic = DICT_MAGIC;
    dict->acct = acct;
    dict->next_serial = 1;
    return dict;
}

void svi_dict_free(svi_dict **dict)
{
    svi_dict *d = *dict;
    *dict = NULL;
    if (d == NULL) return;
    SV_CHECK(d, DICT_MAGIC);
    for (size_t i = d->first; i < d->used; i++) svi_str_free(&d->entries[i].key);
    svi_free(d->entries);
    svi_free(d->index);
    d->magic = 0;
    svi_free(d);
}

static void index_add(svi_dict *dict, size_t place)
{
    const size_t mask = dict->cap * 2 - 1;
    size_t slot = dict->entries[place].hash & mask;
    while (dict->index[slot] != 0) slot = (slot + 1) & mask;
    dict->index[slot] = (uint32_t)place + 1;
}

/* Makes room for as many again as are live, without holes. */
static void rebuild(svi_dict *dict)
{
    size_t cap = LEAST_CAP;
    while (cap < dict->live * 2) cap *= 2;
    SV_ASSERT(cap <= UINT32_MAX / 2);
    entry *old = dict->entries;
    const size_t old_used = dict->used;
    dict->entries = svi_alloc_raw(dict->acct, cap * sizeof(entry));
    svi_free(dict->index);
    dict->index = svi_alloc(dict->acct, cap * 2 * sizeof(uint32_t));
    dict->cap = cap;
    dict->used = 0;
    for (size_t i = dict->first; i < old_used; i++) {
        if (old[i].value == NULL) continue;
        dict->entries[dict->used] = old[i];
        index_add(dict, dict->used++);
    }
    dict->first = 0;
    SV_ASSERT(dict->used == dict->live);
    svi_free(old);
}

static entry *find(const svi_dict *dict, sv_str key, uint32_t hash)
{
    if (dict->live == 0) return NULL;
    const size_t mask = dict->cap * 2 - 1;
    for (size_t slot = hash & mask; dict->index[slot] != 0; slot = (slot + 1) & mask) {
        entry *e = &dict->entries[dict->index[slot] - 1];
        if (e->hash == hash && e->value != NULL && sv_str_eq(e->key, key)) return e;
    }
    return NULL;
}

void *svi_dict_get(const svi_dict *dict, sv_str key)
{
    SV_CHECK(dict, DICT_MAGIC);
    const entry *e = find(dict, key, (uint32_t)svi_hash(key));
    return e == NULL ? NULL : e->value;
}

void *svi_dict_put(svi_dict *dict, sv_str key, void *value)
{
    SV_CHECK(dict, DICT_MAGIC);
    SV_ASSERT(value != NULL);
    const uint32_t hash = (uint32_t)svi_hash(key);
    entry *e = find(dict, key, hash);
    if (e != NULL) {
        void *before = e->value;
        e->value = value;
        return before;
    }
    if (dict->used == dict->cap) rebuild(dict);
    dict->entries[dict->used] = (entry){.key = svi_str_dup(dict->acct, key),
                                        .value = value,
                                        .serial = dict->next_serial++,
                                        .hash = hash};
    index_add(dict, dict->used++);
    dict->live++;
    return NULL;
}

void *svi_dict_del(svi_dict *dict, sv_str key)
{
    SV_CHECK(dict, DICT_MAGIC);
    entry *e = find(dict, key, (uint32_t)svi_hash(key));
    if (e == NULL) return NULL;
    void *value = e->value;
    e->value = NULL;
    svi_str_free(&e->key);
    dict->live--;
    while (dict->first < dict->used && dict->entries[dict->first].value == NULL) dict->first++;
    if (dict->used - dict->live > dict->live + HOLES_ALLOWED) rebuild(dict);
    return value;
}

size_t svi_dict_count(const svi_dict *dict)
{
    SV_CHECK(dict, DICT_MAGIC);
    return dict->live;
}

/* The first place at or after `first` whose serial is `serial` or more. */
static size_t place_of(const svi_dict *dict, size_t serial)
{
    size_t low = dict->first, high = dict->used;
    if (low == high || dict->entries[low].serial >= serial) return low;
    /* serials rise by one or more, so the entry is no farther than the difference */
    const size_t farthest = low + (serial - dict->entries[low].serial);
    if (farthest < high) {
        if (dict->entries[farthest].serial == serial) return farthest;
        high = farthest;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (dict->entries[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool svi_dict_next(const svi_dict *dict, size_t *pos, sv_str *key_out, void **value_out)
{
    SV_CHECK(dict, DICT_MAGIC);
    for (size_t at = place_of(dict, *pos); at < dict->used; at++) {
        const entry *e = &dict->entries[at];
        if (e->value == NULL) continue;
        *key_out = e->key;
        *value_out = e->value;
        *pos = e->serial + 1;
        return true;
    }
    return false;
}
