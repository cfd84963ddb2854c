/* Rows put aside: what a policy in shadow has written, for its own later reads alone (architecture 7).
 *
 * Bounded: when it is full the oldest writes go, and what is stored is seen there again. Router thread only. */
#ifndef SVI_MODS_ASIDE_H
#define SVI_MODS_ASIDE_H

#include "store/store.h"

typedef struct svi_aside svi_aside;

/* What it knows of a row. */
typedef enum svi_aside_state {
    SVI_ASIDE_NOTHING, /* as stored */
    SVI_ASIDE_VALUE,   /* written */
    SVI_ASIDE_GONE     /* deleted */
} svi_aside_state;

/* An empty one; it holds `max_bytes` at most, with what it takes to keep them. */
svi_aside *svi_aside_new(svi_acct *acct, size_t max_bytes);
/* Frees it all and clears the pointer. */
void svi_aside_free(svi_aside **aside);

/* Writes a row (copied) / deletes one / deletes all of an owner. A map is told from others by its address alone. */
void svi_aside_put(svi_aside *aside, const svi_map *map, sv_str owner, sv_str key, sv_str value);
void svi_aside_del(svi_aside *aside, const svi_map *map, sv_str owner, sv_str key);
void svi_aside_del_owner(svi_aside *aside, const svi_map *map, sv_str owner);

/* What has become of a row; *value_out (borrowed until the next write) only if there is one. */
svi_aside_state svi_aside_get(const svi_aside *aside, const svi_map *map, sv_str owner, sv_str key,
                              sv_str *value_out);
/* The written row behind *key (.p NULL: the first), in order of key bytes; false at the end. */
bool svi_aside_next(const svi_aside *aside, const svi_map *map, sv_str owner, sv_str *key, sv_str *value_out);

/* How many bytes it holds. */
size_t svi_aside_bytes(const svi_aside *aside);

#endif
