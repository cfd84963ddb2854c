/* Units and their records: a unit is written straight into the bytes that the journal will hold.
 *
 * Record: format byte, then operations: kind (1 byte), map (4), owner length (2), key length (2), value length (4),
 * all little-endian, then owner, key and value. A value begins with the version of its format (1 byte);
 * so do bytes that are appended, for the case that there is no row yet. A kind that this release does not know is SV_EVERSION: operations may
 * be added, never changed. */
#include "store/store_impl.h"

#define RECORD_FORMAT 2
#define OP_HEAD 13u
#define SPARE_UNITS 64u
#define SPARE_BYTES (64u << 10)

static void put_le(char *to, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (char)(value >> (8 * i));
}

static uint32_t get_le(const char *from, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint32_t)(unsigned char)from[i] << (8 * i);
    return value;
}

static void copy(char **to, sv_str s)
{
    if (s.n > 0) memcpy(*to, s.p, s.n);
    *to += s.n;
}

/* `schema` goes before the value; 0: that has its version. */
static void record_put(svi_buf *buf, uint32_t schema, const svi_op *op)
{
    if (buf->len == 0) svi_buf_putc(buf, RECORD_FORMAT);
    const size_t head = schema ? SVI_ROW_HEAD : 0;
    const size_t n = OP_HEAD + op->owner.n + op->key.n + head + op->value.n;
    char *to = svi_buf_space(buf, n);
    to[0] = (char)op->kind;
    put_le(to + 1, op->map, 4);
    put_le(to + 5, (uint32_t)op->owner.n, 2);
    put_le(to + 7, (uint32_t)op->key.n, 2);
    put_le(to + 9, (uint32_t)(head + op->value.n), 4);
    to += OP_HEAD;
    copy(&to, op->owner);
    copy(&to, op->key);
    if (head) *to++ = (char)schema;
    copy(&to, op->value);
    buf->len += n;
}

void svi_record_put(svi_buf *buf, const svi_op *op)
{
    record_put(buf, 0, op);
}

sv_status svi_record_next(sv_str record, size_t *pos, svi_op *op_out)
{
    if (*pos == 0) {
        if (record.n == 0) return SV_EIO;
        if (record.p[0] != RECORD_FORMAT) return SV_EVERSION;
        *pos = 1;
    }
    if (*pos == record.n) return SV_ENOTFOUND;
    const size_t left = record.n - *pos;
    const char *p = record.p + *pos;
    if (p[0] < SVI_OP_PUT || p[0] > SVI_OP_APPEND) return SV_EVERSION;
    if (left < OP_HEAD) return SV_EIO;
    const size_t owner_n = get_le(p + 5, 2), key_n = get_le(p + 7, 2), value_n = get_le(p + 9, 4);
    if (owner_n > SVI_OWNER_MAX || key_n > SVI_KEY_MAX || value_n > SVI_STORED_MAX) return SV_EIO;
    if ((p[0] == SVI_OP_PUT || p[0] == SVI_OP_APPEND) && value_n < SVI_ROW_HEAD) return SV_EIO;
    if (left - OP_HEAD < owner_n + key_n + value_n) return SV_EIO;
    *op_out = (svi_op){.kind = (svi_op_kind)p[0],
                       .map = get_le(p + 1, 4),
                       .owner = {p + OP_HEAD, owner_n},
                       .key = {p + OP_HEAD + owner_n, key_n},
                       .value = {p + OP_HEAD + owner_n + key_n, value_n}};
    *pos += OP_HEAD + owner_n + key_n + value_n;
    return SV_OK;
}

svi_unit *svi_unit_new(svi_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    svi_unit *unit = store->spare_units;
    store->live_units++;
    if (unit) {
        store->spare_units = unit->next;
        store->spare_count--;
        unit->next = NULL;
        unit->finishes = store->finishes;
        return unit;
    }
    unit = svi_alloc(store->acct, sizeof *unit);
    unit->magic = SVI_UNIT_MAGIC;
    unit->store = store;
    unit->finishes = store->finishes;
    svi_buf_init(&unit->buf, store->acct);
    return unit;
}

void svi_unit_at_end(svi_unit *unit, svi_unit_end *end)
{
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    SV_ASSERT(end->call != NULL);
    end->next = unit->ends;
    unit->ends = end;
}

void svi_unit_ended(svi_unit_end *ends, bool is_submitted)
{
    while (ends != NULL) {
        svi_unit_end *end = ends;
        ends = end->next; /* before the call, which may free it */
        end->call(end, is_submitted);
    }
}

/* The name of the map with that number; the unit has been filled with it, so there is one. */
static sv_str map_name(svi_store *store, uint32_t number)
{
    size_t pos = 0;
    const svi_map *map = svi_store_map_next(store, SV_STR(""), &pos);
    while (map != NULL && map->number != number) map = svi_store_map_next(store, SV_STR(""), &pos);
    return map != NULL ? map->name : SV_STR("");
}

void svi_unit_omit(svi_unit *unit, bool (*is_out)(void *ctx, sv_str map, sv_str owner), void *ctx)
{
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    const sv_str record = svi_buf_str(&unit->buf);
    svi_op op;
    svi_buf kept;
    svi_buf_init(&kept, unit->store->acct);
    for (size_t pos = 0; record.n > 0 && svi_record_next(record, &pos, &op) == SV_OK;)
        if (!is_out(ctx, map_name(unit->store, op.map), op.owner)) svi_record_put(&kept, &op);
    svi_buf_clear(&unit->buf);
    svi_buf_put(&unit->buf, svi_buf_str(&kept));
    svi_buf_free(&kept);
}

/* Keeps the unit's memory for the next one, within bounds. */
void svi_unit_free(svi_unit **take)
{
    svi_unit *unit = *take;
    *take = NULL;
    if (!unit) return;
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    svi_unit_end *ends = unit->ends;
    unit->ends = NULL;
    if (ends != NULL) svi_unit_ended(ends, false);
    svi_store *store = unit->store;
    store->live_units--;
    if (unit->finishes != store->finishes) store->old_units--;
    if (store->spare_count >= SPARE_UNITS || unit->buf.cap > SPARE_BYTES) {
        svi_buf_free(&unit->buf);
        unit->magic = 0;
        svi_free(unit);
        return;
    }
    svi_buf_clear(&unit->buf);
    unit->next = store->spare_units;
    store->spare_units = unit;
    store->spare_count++;
}

static sv_status add(svi_unit *unit, const svi_map *map, uint32_t schema, svi_op op)
{
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    SV_CHECK(map, SVI_MAP_MAGIC);
    SV_ASSERT(map->store == unit->store && schema <= SVI_SCHEMA_MAX);
    const size_t value_max = schema ? SVI_VALUE_MAX : SVI_STORED_MAX;
    if (op.owner.n > SVI_OWNER_MAX || op.key.n > SVI_KEY_MAX || op.value.n > value_max)
        return SV_ELIMIT;
    if (unit->buf.len + OP_HEAD + op.owner.n + op.key.n + op.value.n > SVI_UNIT_MAX)
        return SV_ELIMIT;
    op.map = map->number;
    record_put(&unit->buf, schema, &op);
    return SV_OK;
}

sv_status svi_unit_put(svi_unit *unit, svi_map *map, sv_str owner, sv_str key, sv_str value)
{
    return add(unit, map, map->written,
               (svi_op){.kind = SVI_OP_PUT, .owner = owner, .key = key, .value = value});
}

sv_status svi_unit_append(svi_unit *unit, svi_map *map, sv_str owner, sv_str key, sv_str bytes)
{
    return add(unit, map, map->written,
               (svi_op){.kind = SVI_OP_APPEND, .owner = owner, .key = key, .value = bytes});
}

sv_status svi_unit_add_stored(svi_unit *unit, svi_map *map, const svi_op *op)
{
    const bool has_value = op->kind == SVI_OP_PUT || op->kind == SVI_OP_APPEND;
    if (has_value && op->value.n < SVI_ROW_HEAD) return SV_EINVAL;
    return add(unit, map, 0, *op);
}

sv_status svi_unit_del(svi_unit *unit, svi_map *map, sv_str owner, sv_str key)
{
    return add(unit, map, 0, (svi_op){.kind = SVI_OP_DEL, .owner = owner, .key = key});
}

sv_status svi_unit_del_owner(svi_unit *unit, svi_map *map, sv_str owner)
{
    return add(unit, map, 0, (svi_op){.kind = SVI_OP_DEL_OWNER, .owner = owner});
}

bool svi_unit_is_empty(const svi_unit *unit)
{
    SV_CHECK(unit, SVI_UNIT_MAGIC);
    return unit->buf.len == 0;
}
