/* Maps by name: their numbers and schema versions are rows of the store's own map, number 0. */
#include "base/base_str.h"
#include "store/store_impl.h"

#define MAPS_OWNER SV_STR("maps")

static uint32_t get_u32(const char *p)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++) value |= (uint32_t)(unsigned char)p[i] << (8 * i);
    return value;
}

static void put_u32(char *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) p[i] = (char)(value >> (8 * i));
}

static svi_map *map_new(svi_store *store, sv_str name, uint32_t number, uint32_t schema)
{
    svi_map *map = svi_alloc(store->acct, sizeof *map);
    *map = (svi_map){.magic = SVI_MAP_MAGIC, .number = number, .store = store, .schema = schema};
    const void *before = svi_dict_put(store->map_names, name, map);
    SV_ASSERT(before == NULL);
    if (number > store->map_max) store->map_max = number;
    return map;
}

static void map_write(svi_store *store, sv_str name, const svi_map *map)
{
    char value[8];
    put_u32(value, map->number);
    put_u32(value + 4, map->schema);
    svi_unit *unit = svi_unit_new(store);
    const sv_status st =
        svi_unit_put(unit, &store->map_zero, MAPS_OWNER, name, (sv_str){value, sizeof value});
    SV_ASSERT(st == SV_OK);
    svi_unit_submit(&unit);
}

sv_status svi_store_map(svi_store *store, sv_str name, uint32_t schema, svi_map **map_out,
                        sv_err *err)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (name.n == 0 || name.n > SVI_KEY_MAX)
        return svi_err(err, SV_EINVAL, "map name of %zu bytes", name.n);
    svi_map *map = svi_dict_get(store->map_names, name);
    if (map && map->schema > schema)
        return svi_err(err, SV_EVERSION,
                       "map %.*s holds records of version %u, this release knows up to %u",
                       (int)name.n, name.p, map->schema, schema);
    if (!map) {
        map = map_new(store, name, store->map_max + 1, schema);
        map_write(store, name, map);
    } else if (map->schema < schema) {
        map->schema = schema;
        map_write(store, name, map);
    }
    *map_out = map;
    return SV_OK;
}

svi_map *svi_store_map_next(svi_store *store, sv_str prefix, size_t *pos)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    sv_str name;
    void *map;
    while (svi_dict_next(store->map_names, pos, &name, &map))
        if (name.n >= prefix.n && memcmp(name.p, prefix.p, prefix.n) == 0) return map;
    return NULL;
}

static void maps_loaded(void *ctx, sv_status status, svi_rows *rows)
{
    svi_store *store = ctx;
    store->maps_status = status;
    if (status != SV_OK) return;
    sv_str name = SV_STR_NONE, value;
    while (svi_rows_next(rows, &name, &value)) {
        if (value.n != 8)
            store->maps_status = SV_EIO;
        else
            map_new(store, name, get_u32(value.p), get_u32(value.p + 4));
    }
    svi_rows_unref(&rows);
}

void svi_maps_load(svi_store *store)
{
    store->maps_status = SV_EAGAIN;
    svi_rows_load(&store->map_zero, MAPS_OWNER, maps_loaded, store);
}

void svi_maps_free(svi_store *store)
{
    size_t pos = 0;
    sv_str name;
    void *map;
    while (svi_dict_next(store->map_names, &pos, &name, &map)) svi_free(map);
    svi_dict_free(&store->map_names);
}
