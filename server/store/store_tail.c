/* A generation of the tail: the sum of units that are not folded yet, found by owner and by key.
 *
 * Names, keys and values point into the records, which the generation keeps. Applying generations in order to any
 * state of the index between "none of them folded" and "all folded" gives the same rows; reads rely on that.
 *
 * Appending is not of that kind by itself. So before a fold writes anything, it notes at each row that it appends to what the
 * row will have (`whole`): whoever sees the index behind the fold sees that, too, and takes it in place of the pieces;
 * whoever does not see it has read the index before, and puts the pieces behind what he has. */
#include <stdlib.h>

#include "base/base_log.h"
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
    svi_arena_free(&tail->wholes);
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

static svi_tail_row *row_make(svi_tail *tail, svi_tail_owner *owner, sv_str key, bool *is_new_out)
{
    svi_tail_row *row = svi_tail_row_find(tail, owner->hash, owner->map, owner->name, key);
    *is_new_out = row == NULL;
    if (row) return row;
    row = svi_arena_get(tail->arena, sizeof *row);
    *row = (svi_tail_row){.next = owner->rows, .owner = owner, .key = key};
    owner->rows = row;
    svi_table_add(&tail->rows, tail->acct, svi_key_hash(owner->hash, key), row);
    return row;
}

/* What it had in this generation is gone. */
static void drop_value(svi_tail *tail, svi_tail_row *row)
{
    if (row->value.p) row->owner->live--;
    if (row->more && row->more->is_open) tail->open_rows--;
    row->value = SV_STR_NONE;
    row->more = NULL;
}

static void set_row(svi_tail *tail, svi_tail_owner *owner, sv_str key, sv_str value)
{
    bool is_new;
    svi_tail_row *row = row_make(tail, owner, key, &is_new);
    drop_value(tail, row);
    row->value = value;
    if (value.p) owner->live++;
}

static void append(svi_tail *tail, svi_tail_owner *owner, sv_str key, sv_str stored)
{
    bool is_new;
    svi_tail_row *row = row_make(tail, owner, key, &is_new);
    if (!row->value.p) { /* its version, should there be no row before it */
        row->value = (sv_str){stored.p, SVI_ROW_HEAD};
        owner->live++;
    }
    if (!row->more) {
        row->more = svi_arena_get(tail->arena, sizeof *row->more);
        *row->more = (svi_tail_more){.end = &row->more->first, .is_open = is_new && !owner->cleared};
        if (row->more->is_open) tail->open_rows++;
    }
    svi_tail_piece *piece = svi_arena_get(tail->arena, sizeof *piece);
    piece->bytes = (sv_str){stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD};
    *row->more->end = piece;
    row->more->end = &piece->next;
    row->more->bytes += piece->bytes.n;
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
    case SVI_OP_APPEND: append(tail, owner, op->key, op->value); break;
    case SVI_OP_DEL_OWNER:
        for (svi_tail_row *r = owner->rows; r; r = r->next) drop_value(tail, r);
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

/* --- values in pieces ------------------------------------------------------------------------------ */

static const svi_whole *whole_of(const svi_tail_row *row)
{
    return row->more ? atomic_load_explicit(&row->more->whole, memory_order_acquire) : NULL;
}

bool svi_tail_decides(const svi_tail_row *row)
{
    return !row->more || !row->more->is_open || whole_of(row);
}

void svi_sum_base(svi_sum *sum, sv_str value)
{
    *sum = (svi_sum){.head = value, .n = value.n};
}

static void add_pieces(svi_sum *sum, const svi_tail_row *row)
{
    SV_ASSERT(sum->count < sizeof sum->rows / sizeof sum->rows[0]); /* two that are not folded */
    sum->rows[sum->count++] = row;
    sum->n += row->more->bytes;
    if (sum->n > SVI_STORED_MAX) sum->n = SVI_STORED_MAX;
}

void svi_sum_add(svi_sum *sum, const svi_tail_row *row)
{
    const svi_whole *whole = whole_of(row);
    if (whole) {
        svi_sum_base(sum, (sv_str){whole->bytes, whole->n});
        return;
    }
    const bool goes_on = row->more && row->more->is_open && sum->head.p;
    if (!goes_on) svi_sum_base(sum, row->value);
    if (row->more) add_pieces(sum, row);
}

sv_str svi_sum_copy(const svi_sum *sum, char *to)
{
    if (!sum->head.p) return SV_STR_NONE;
    size_t at = sum->head.n;
    memcpy(to, sum->head.p, at);
    for (size_t i = 0; i < sum->count; i++) {
        for (const svi_tail_piece *p = sum->rows[i]->more->first; p && at < sum->n; p = p->next) {
            const size_t n = p->bytes.n < sum->n - at ? p->bytes.n : sum->n - at;
            if (n > 0) memcpy(to + at, p->bytes.p, n);
            at += n;
        }
    }
    SV_ASSERT(at == sum->n);
    return (sv_str){to, at};
}

sv_str svi_sum_value(const svi_sum *sum, svi_arena *to)
{
    if (!sum->head.p || sum->count == 0) return sum->head;
    return svi_sum_copy(sum, svi_arena_get(to, sum->n));
}

void svi_tail_note_whole(svi_tail *tail, const svi_tail_row *row, sv_str base)
{
    svi_sum sum;
    svi_sum_base(&sum, base);
    svi_sum_add(&sum, row);
    if (!tail->wholes) tail->wholes = svi_arena_new(tail->acct, 16u << 10);
    svi_whole *whole = svi_arena_get(tail->wholes, sizeof *whole + sum.n);
    whole->n = sum.n;
    (void)svi_sum_copy(&sum, whole->bytes);
    if (base.n + row->more->bytes > SVI_STORED_MAX) /* nothing an operator could mend; the code that does it is wrong */
        SV_LOG(SV_ERROR, "store-row-full", LF_INT("map", row->owner->map), LF_INT("bytes", base.n + row->more->bytes),
               LF_INT("max", SVI_STORED_MAX));
    atomic_store_explicit(&row->more->whole, whole, memory_order_release);
}

/* --- a fold's changes ------------------------------------------------------------------------------ */

/* Sorts first: in order of keys an index is read with the least effort. */
static sv_status note_wholes(svi_tail *tail, svi_job *job, svi_row_change *changes, size_t count)
{
    sv_status st = SV_OK;
    for (size_t i = 0; i < count && st == SV_OK; i++) {
        svi_row_change *c = &changes[i];
        if (!c->row || !c->row->more) continue;
        sv_str base = SV_STR_NONE;
        if (!svi_tail_decides(c->row)) {
            SV_ASSERT(job->base != NULL);
            st = job->base(job, &c->key, &base);
            if (st == SV_OK && base.p && base.n < SVI_ROW_HEAD)
                st = svi_err(&job->err, SV_EIO, "index: a row has no version");
            if (st != SV_OK) break;
        }
        if (!whole_of(c->row)) svi_tail_note_whole(tail, c->row, base);
        const svi_whole *whole = whole_of(c->row);
        c->value = (sv_str){whole->bytes, whole->n};
    }
    return st;
}

sv_status svi_tail_changes(svi_tail *tail, svi_job *job, svi_row_change **changes_out, size_t *count_out)
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
            c.row = r;
            changes[n++] = c;
        }
    }
    SV_ASSERT(n <= max);
    if (n > 1) qsort(changes, n, sizeof *changes, change_cmp);
    *changes_out = changes;
    *count_out = n;
    return note_wholes(tail, job, changes, n);
}
