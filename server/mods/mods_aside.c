/* Rows put aside: owners by map and name, the rows of each in order of keys, and all rows in the order in which they were written. */
#include "mods/mods_aside.h"

#include "base/base_assert.h"
#include "base/base_dict.h"
#include "base/base_str.h"

/* One write; or, with `is_all`, that everything of the owner was deleted before. */
typedef struct aside_row {
    struct aside_row *newer, *older;
    struct aside_owner *owner;
    bool is_all, is_gone;
    sv_str key, value; /* behind this struct */
    size_t bytes;
} aside_row;

typedef struct aside_owner {
    aside_row **rows; /* in order of keys */
    size_t count, room;
    aside_row *all; /* NULL: it was not cleared */
    sv_str name;    /* its key in `owners`, allocated */
} aside_owner;

struct svi_aside {
    svi_acct *acct;
    svi_dict *owners;
    aside_row *newest, *oldest;
    size_t bytes, max_bytes;
};

/* With what the allocator and the tables take. */
enum { ROW_COST = sizeof(aside_row) + 48, OWNER_COST = sizeof(aside_owner) + 128 };

svi_aside *svi_aside_new(svi_acct *acct, size_t max_bytes)
{
    svi_aside *aside = svi_alloc(acct, sizeof *aside);
    *aside = (svi_aside){.acct = acct, .owners = svi_dict_new(acct), .max_bytes = max_bytes};
    return aside;
}

/* --- owners ------------------------------------------------------------------------------------------ */

/* The address of the map, and the owner. */
static sv_str name_of(svi_buf *buf, svi_acct *acct, const svi_map *map, sv_str owner)
{
    svi_buf_init(buf, acct);
    svi_buf_put(buf, (sv_str){(const char *)&map, sizeof map});
    svi_buf_put(buf, owner);
    return svi_buf_str(buf);
}

static aside_owner *owner_find(const svi_aside *aside, const svi_map *map, sv_str owner)
{
    svi_buf buf;
    aside_owner *found = svi_dict_get(aside->owners, name_of(&buf, aside->acct, map, owner));
    svi_buf_free(&buf);
    return found;
}

static aside_owner *owner_get(svi_aside *aside, const svi_map *map, sv_str owner)
{
    aside_owner *o = owner_find(aside, map, owner);
    if (o != NULL) return o;
    svi_buf buf;
    const sv_str name = name_of(&buf, aside->acct, map, owner);
    o = svi_alloc(aside->acct, sizeof *o);
    *o = (aside_owner){.name = svi_str_dup(aside->acct, name)};
    (void)svi_dict_put(aside->owners, name, o);
    svi_buf_free(&buf);
    aside->bytes += OWNER_COST + 2 * o->name.n;
    return o;
}

static void owner_drop_if_empty(svi_aside *aside, aside_owner *o)
{
    if (o->all != NULL || o->count > 0) return;
    aside->bytes -= OWNER_COST + 2 * o->name.n;
    (void)svi_dict_del(aside->owners, o->name);
    svi_free(o->rows);
    svi_str_free(&o->name);
    svi_free(o);
}

/* --- rows -------------------------------------------------------------------------------------------- */

/* The place of the first row whose key is not before that one. */
static size_t place_of(const aside_owner *o, sv_str key)
{
    size_t from = 0, to = o->count;
    while (from < to) {
        const size_t mid = (from + to) / 2;
        if (svi_str_cmp(o->rows[mid]->key, key) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static aside_row *row_find(const aside_owner *o, sv_str key)
{
    const size_t at = place_of(o, key);
    return at < o->count && sv_str_eq(o->rows[at]->key, key) ? o->rows[at] : NULL;
}

static void insert(svi_aside *aside, aside_owner *o, aside_row *row)
{
    if (o->count == o->room) {
        o->room = o->room > 0 ? 2 * o->room : 4;
        o->rows = svi_realloc(aside->acct, o->rows, o->room * sizeof(aside_row *));
    }
    const size_t at = place_of(o, row->key);
    memmove(o->rows + at + 1, o->rows + at, (o->count++ - at) * sizeof(aside_row *));
    o->rows[at] = row;
}

static void take_out(aside_owner *o, const aside_row *row)
{
    const size_t at = place_of(o, row->key);
    SV_ASSERT(at < o->count && o->rows[at] == row);
    memmove(o->rows + at, o->rows + at + 1, (--o->count - at) * sizeof(aside_row *));
}

static void row_drop(svi_aside *aside, aside_row *row)
{
    *(row->newer != NULL ? &row->newer->older : &aside->newest) = row->older;
    *(row->older != NULL ? &row->older->newer : &aside->oldest) = row->newer;
    aside->bytes -= row->bytes;
    if (row->is_all)
        row->owner->all = NULL;
    else
        take_out(row->owner, row);
    svi_free(row);
}

static void row_add(svi_aside *aside, aside_owner *o, const aside_row *as)
{
    const size_t kn = as->key.n, vn = as->value.n;
    aside_row *row = svi_alloc(aside->acct, sizeof *row + kn + vn);
    char *text = (char *)(row + 1);
    *row = *as;
    if (kn > 0) memcpy(text, as->key.p, kn);
    if (vn > 0) memcpy(text + kn, as->value.p, vn);
    row->key = (sv_str){text, kn};
    row->value = (sv_str){text + kn, vn};
    row->owner = o;
    row->bytes = ROW_COST + kn + vn;
    row->older = aside->newest;
    *(row->older != NULL ? &row->older->newer : &aside->oldest) = row;
    aside->newest = row;
    aside->bytes += row->bytes;
    if (row->is_all)
        o->all = row;
    else
        insert(aside, o, row);
}

static void trim(svi_aside *aside)
{
    while (aside->bytes > aside->max_bytes && aside->oldest != NULL) {
        aside_owner *o = aside->oldest->owner;
        row_drop(aside, aside->oldest);
        owner_drop_if_empty(aside, o);
    }
}

static void write(svi_aside *aside, const svi_map *map, sv_str owner, const aside_row *row)
{
    aside_owner *o = owner_get(aside, map, owner);
    aside_row *before = row->is_all ? o->all : row_find(o, row->key);
    if (before != NULL) row_drop(aside, before);
    row_add(aside, o, row);
    trim(aside);
}

void svi_aside_put(svi_aside *aside, const svi_map *map, sv_str owner, sv_str key, sv_str value)
{
    write(aside, map, owner, &(aside_row){.key = key, .value = value});
}

void svi_aside_del(svi_aside *aside, const svi_map *map, sv_str owner, sv_str key)
{
    write(aside, map, owner, &(aside_row){.key = key, .is_gone = true});
}

void svi_aside_del_owner(svi_aside *aside, const svi_map *map, sv_str owner)
{
    const aside_owner *o = owner_get(aside, map, owner);
    while (o->count > 0) row_drop(aside, o->rows[o->count - 1]);
    write(aside, map, owner, &(aside_row){.is_all = true});
}

void svi_aside_free(svi_aside **aside)
{
    svi_aside *a = *aside;
    *aside = NULL;
    if (a == NULL) return;
    a->max_bytes = 0;
    trim(a);
    SV_ASSERT(a->bytes == 0 && svi_dict_count(a->owners) == 0);
    svi_dict_free(&a->owners);
    svi_free(a);
}

/* --- reading ----------------------------------------------------------------------------------------- */

svi_aside_state svi_aside_get(const svi_aside *aside, const svi_map *map, sv_str owner, sv_str key, sv_str *value_out)
{
    const aside_owner *o = owner_find(aside, map, owner);
    if (o == NULL) return SVI_ASIDE_NOTHING;
    const aside_row *row = row_find(o, key);
    if (row == NULL) return o->all != NULL ? SVI_ASIDE_GONE : SVI_ASIDE_NOTHING;
    if (row->is_gone) return SVI_ASIDE_GONE;
    *value_out = row->value;
    return SVI_ASIDE_VALUE;
}

bool svi_aside_next(const svi_aside *aside, const svi_map *map, sv_str owner, sv_str *key, sv_str *value_out)
{
    const aside_owner *o = owner_find(aside, map, owner);
    if (o == NULL) return false;
    size_t at = key->p != NULL ? place_of(o, *key) : 0;
    if (key->p != NULL && at < o->count && sv_str_eq(o->rows[at]->key, *key)) at++;
    while (at < o->count && o->rows[at]->is_gone) at++;
    if (at == o->count) return false;
    *key = o->rows[at]->key;
    *value_out = o->rows[at]->value;
    return true;
}

size_t svi_aside_bytes(const svi_aside *aside)
{
    return aside->bytes;
}
