/* A generation of the tail: the sum of units that are not folded yet, found by owner and by key.
 *
 * Names, keys and values point into the records, which the generation keeps. Applying generations in order to any
 * state of the index between "none of them folded" and "all folded" gives the same rows; reads rely on that. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"

typedef struct owner_want {
    uint32_t map;
    sv_str name;
} owner_want;

typedef struct row_want {
    owner_want owner;
    sv_str key;
} row_want;

static bool same_owner(const void *item, const void *want)
{
    const svi_tail_owner *o = item;
    const owner_want *w = want;
    return o->map == w->map && sv_str_eq(o->name, w->name);
}

static bool same_row(const void *item, const void *want)
{
    const svi_tail_row *r = item;
    const row_want *w = want;
    return sv_str_eq(r->key, w->key) && same_owner(r->owner, &w->owner);
}

svi_tail *svi_tail_new(svi_acct *acct, uint64_t first)
{
    svi_tail *tail = svi_alloc(acct, sizeof *tail);
    tail->acct = acct;
    tail->arena = svi_arena_new(acct, 64u << 10);
    tail->first = first;
    tail->last = first - 1;
    return tail;
}

void svi_tail_free(svi_tail **take)
{
    svi_tail *tail = *take;
    *take = NULL;
    if (!tail) return;
    svi_record *r = tail->records;
    for (uint64_t n = tail->first; r && n <= tail->last;
         n++) { /* the list goes on in the next one */
        svi_record *next = r->next;
        svi_free(r);
        r = next;
    }
    svi_table_free(&tail->owners);
    svi_table_free(&tail->rows);
    svi_arena_free(&tail->arena);
    svi_free(tail);
}

svi_tail_owner *svi_tail_owner_find(const svi_tail *tail, uint64_t hash, uint32_t map, sv_str owner)
{
    return svi_table_find(&tail->owners, hash, same_owner,
                          &(owner_want){.map = map, .name = owner});
}

svi_tail_row *svi_tail_row_find(const svi_tail *tail, uint64_t hash, uint32_t map, sv_str owner,
                                sv_str key)
{
    const row_want want = {.owner = {.map = map, .name = owner}, .key = key};
    return svi_table_find(&tail->rows, svi_key_hash(hash, key), same_row, &want);
}

static svi_tail_owner *owner_make(svi_tail *tail, uint64_t hash, const svi_op *op)
{
    svi_tail_owner *owner = svi_tail_owner_find(tail, hash, op->map, op->owner);
    if (owner) return owner;
    owner = svi_arena_get(tail->arena, sizeof *owner);
    *owner = (svi_tail_owner){.hash = hash, .map = op->map, .name = op->owner};
    svi_table_add(&tail->owners, tail->acct, hash, owner);
    return owner;
}

static void set_row(svi_tail *tail, svi_tail_owner *owner, sv_str key, sv_str value)
{
    svi_tail_row *row = svi_tail_row_find(tail, owner->hash, owner->map, owner->name, key);
    if (!row) {
        row = svi_arena_get(tail->arena, sizeof *row);
        *row = (svi_tail_row){.next = owner->rows, .owner = owner, .key = key};
        owner->rows = row;
        svi_table_add(&tail->rows, tail->acct, svi_key_hash(owner->hash, key), row);
    }
    if (row->value.p) owner->live--;
    if (value.p) owner->live++;
    row->value = value;
}

void svi_tail_apply(svi_tail *tail, const svi_op *op)
{
    svi_tail_owner *owner = owner_make(tail, svi_owner_hash(op->map, op->owner), op);
    switch (op->kind) {
    case SVI_OP_PUT:
        SV_ASSERT(op->value.p != NULL);
        set_row(tail, owner, op->key, op->value);
        break;
    case SVI_OP_DEL: set_row(tail, owner, op->key, SV_STR_NONE); break;
    case SVI_OP_DEL_OWNER:
        for (svi_tail_row *r = owner->rows; r; r = r->next) r->value = SV_STR_NONE;
        owner->live = 0;
        owner->cleared = true;
        break;
    }
    tail->ops++;
}

void svi_tail_add(svi_tail *tail, svi_record *take)
{
    SV_ASSERT(take->number == tail->last + 1);
    tail->last = take->number;
    tail->bytes += take->n;
    if (!tail->records) tail->records = take;
}

static int change_cmp(const void *a, const void *b)
{
    const svi_row_change *x = a, *y = b;
    if (x->key.map != y->key.map) return x->key.map < y->key.map ? -1 : 1;
    const int owner = svi_str_cmp(x->key.owner, y->key.owner);
    if (owner != 0) return owner;
    if (x->all != y->all) return x->all ? -1 : 1;
    return svi_str_cmp(x->key.key, y->key.key);
}

svi_row_change *svi_tail_changes(const svi_tail *tail, size_t *count_out)
{
    const size_t max = tail->owners.count + tail->rows.count;
    svi_row_change *changes = svi_alloc_raw(tail->acct, max * sizeof *changes);
    size_t n = 0;
    for (size_t i = 0; i < tail->owners.cap; i++) {
        const svi_tail_owner *owner = tail->owners.slots[i].item;
        if (!owner) continue;
        svi_row_change c = {.key = {.map = owner->map, .owner = owner->name}};
        if (owner->cleared) {
            changes[n] = c;
            changes[n++].all = true;
        }
        for (const svi_tail_row *r = owner->rows; r; r = r->next) {
            if (owner->cleared && !r->value.p) continue;
            c.key.key = r->key;
            c.value = r->value;
            changes[n++] = c;
        }
    }
    SV_ASSERT(n <= max);
    if (n > 1) qsort(changes, n, sizeof *changes, change_cmp);
    *count_out = n;
    return changes;
}
