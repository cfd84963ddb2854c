/* Dict: string keys to pointers, open hashing with a keyed hash; keeps the order of insertion for walks.
 *
 * Keys are copied. Single thread. Grows and shrinks, also during a walk. */
#ifndef SVI_BASE_DICT_H
#define SVI_BASE_DICT_H

#include "base/base_mem.h"

typedef struct svi_dict svi_dict;

/* Makes a dict charged to `acct`. It owns its keys, never its values. */
svi_dict *svi_dict_new(svi_acct *acct);
void svi_dict_free(svi_dict **dict);

/* The value, or NULL. */
void *svi_dict_get(const svi_dict *dict, sv_str key);

/* Sets; returns the value that was there before, or NULL. `value` must not be NULL. */
void *svi_dict_put(svi_dict *dict, sv_str key, void *value);

/* Removes; returns the value that was there, or NULL. */
void *svi_dict_del(svi_dict *dict, sv_str key);

/* Keys in the dict now. */
size_t svi_dict_count(const svi_dict *dict);

/* Walk: start with *pos = 0; false at the end. What was there at the start and is not removed meanwhile is
 * seen once, in order of insertion, whatever is put or removed during the walk; a new entry comes at the
 * end. `key_out` lives until its entry is removed. */
bool svi_dict_next(const svi_dict *dict, size_t *pos, sv_str *key_out, void **value_out);

#endif
