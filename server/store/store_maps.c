/* Maps by name: rows of the store's own map, number 0. Key is the name, value the number (4 bytes, little-endian),
 * the version in which rows are written, the oldest that may be in it (1 byte each) and two zeros. */
#include "base/base_log.h"
#include "base/base_str.h"
#include "store/store_impl.h"

#define MAPS_OWNER SV_STR("maps")
#define THIS_RELEASE "this release"

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

static bool row_read(sv_str value, svi_map_row *row_out)
{
    if (value.n != SVI_MAP_ROW - SVI_ROW_HEAD) return false;
    *row_out = (svi_map_row){.number = get_u32(value.p),
                             .written = (unsigned char)value.p[4],
                             .oldest = (unsigned char)value.p[5]};
    return row_out->number > 0 && row_out->oldest > 0 && row_out->oldest <= row_out->written;
}

bool svi_map_row_read(sv_str stored, svi_map_row *row_out)
{
    if (stored.n < SVI_ROW_HEAD) return false;
    return row_read((sv_str){stored.p + SVI_ROW_HEAD, stored.n - SVI_ROW_HEAD}, row_out);
}

static svi_map *map_new(svi_store *store, sv_str name, const svi_map_row *row)
{
    svi_map *map = svi_alloc(store->acct, sizeof *map + name.n + 1);
    memcpy(map + 1, name.p, name.n);
    *map = (svi_map){.magic = SVI_MAP_MAGIC,
                     .number = row->number,
                     .store = store,
                     .name = {(char *)(map + 1), name.n},
                     .written = row->written,
                     .oldest = row->oldest};
    const void *before = svi_dict_put(store->map_names, map->name, map);
    SV_ASSERT(before == NULL);
    if (map->number > store->map_max) store->map_max = map->number;
    return map;
}

static void map_write(svi_unit *unit, const svi_map *map)
{
    char value[SVI_MAP_ROW - SVI_ROW_HEAD] = {0};
    put_u32(value, map->number);
    value[4] = (char)map->written;
    value[5] = (char)map->oldest;
    const sv_status st = svi_unit_put(unit, &map->store->map_zero, MAPS_OWNER, map->name,
                                      (sv_str){value, sizeof value});
    SV_ASSERT(st == SV_OK);
}

static svi_map *map_make(svi_store *store, sv_str name, uint32_t written, uint32_t oldest)
{
    const svi_map_row row = {
        .number = store->map_max + 1, .written = written, .oldest = oldest};
    svi_map *map = map_new(store, name, &row);
    svi_unit *unit = svi_unit_new(store);
    map_write(unit, map);
    svi_unit_submit(&unit);
    return map;
}

/* --- opening -------------------------------------------------------------------------------------- */

static sv_status check_use(sv_str name, const svi_map_use *use, sv_err *err)
{
    if (name.n == 0 || name.n > SVI_KEY_MAX)
        return svi_err(err, SV_EINVAL, "map name of %zu bytes", name.n);
    if (use->oldest == 0 || use->oldest > use->newest || use->newest > SVI_SCHEMA_MAX)
        return svi_err(err, SV_EINVAL, "map %.*s: %s says it knows versions %u to %u of its records: they are "
                       "1 to %u", (int)name.n, name.p, use->who, use->oldest, use->newest,
                       SVI_SCHEMA_MAX);
    return SV_OK;
}

static sv_status check_map(const svi_map *map, const svi_map_use *use, sv_err *err)
{
    const int n = (int)map->name.n;
    if (map->written > use->newest)
        return svi_err(err, SV_EVERSION,
                       "map %.*s is written in version %u since an upgrade was finished, %s knows up to "
                       "%u: start a later release, or restore a backup from before",
                       n, map->name.p, map->written, use->who, use->newest);
    if (map->oldest < use->oldest)
        return svi_err(err, SV_EVERSION,
                       "map %.*s may have rows of version %u, %s knows %u to %u: start a release that "
                       "knows %u, too, and finish the upgrade to that first",
                       n, map->name.p, map->oldest, use->who, use->oldest, use->newest, map->oldest);
    return SV_OK;
}

static sv_status map_open(svi_store *store, sv_str name, const svi_map_use *use, svi_map **map_out,
                          sv_err *err)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    sv_status st = check_use(name, use, err);
    if (st != SV_OK) return st;
    svi_map *map = svi_dict_get(store->map_names, name);
    if (map)
        st = check_map(map, use, err);
    else
        map = map_make(store, name, use->newest, use->newest);
    if (st == SV_OK) *map_out = map;
    return st;
}

sv_status svi_store_map(svi_store *store, sv_str name, uint32_t schema, svi_map **map_out,
                        sv_err *err)
{
    const svi_map_use use = {.who = THIS_RELEASE, .newest = schema, .oldest = schema};
    return map_open(store, name, &use, map_out, err);
}

sv_status svi_map_enter(svi_store *store, sv_str name, svi_map_use *use, sv_err *err)
{
    use->map = NULL;
    svi_map *map = NULL;
    const sv_status st = map_open(store, name, use, &map, err);
    if (st != SV_OK) return st;
    use->map = map;
    use->prev = NULL;
    use->next = map->uses;
    if (use->next) use->next->prev = use;
    map->uses = use;
    return SV_OK;
}

void svi_map_leave(svi_map_use *use)
{
    svi_map *map = use->map;
    if (!map) return;
    SV_CHECK(map, SVI_MAP_MAGIC);
    if (use->next) use->next->prev = use->prev;
    if (use->prev)
        use->prev->next = use->next;
    else
        map->uses = use->next;
    use->map = NULL;
}

sv_status svi_map_restore(svi_store *store, sv_str name, uint32_t written, uint32_t oldest,
                          svi_map **map_out, sv_err *err)
{
    const svi_map_use use = {.who = THIS_RELEASE, .newest = written, .oldest = oldest};
    const sv_status st = check_use(name, &use, err);
    if (st != SV_OK) return st;
    *map_out = svi_dict_get(store->map_names, name);
    if (!*map_out) *map_out = map_make(store, name, written, oldest);
    return SV_OK;
}

/* --- upgrades ------------------------------------------------------------------------------------- */

uint32_t svi_map_schema(const svi_map *map)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    return map->written;
}

void svi_map_state_get(const svi_map *map, svi_map_state *state_out)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    *state_out =
        (svi_map_state){.name = map->name, .oldest = map->oldest, .written = map->written};
    for (const svi_map_use *use = map->uses; use; use = use->next) {
        if (state_out->newest != 0 && use->newest != state_out->newest) state_out->is_mixed = true;
        if (state_out->newest != 0 && use->newest >= state_out->newest) continue;
        state_out->newest = use->newest;
        state_out->who = use->who;
    }
}

void svi_map_raise(svi_map *map, uint32_t oldest)
{
    SV_ASSERT(oldest > map->oldest && oldest <= map->written);
    map->oldest = oldest;
    svi_unit *unit = svi_unit_new(map->store);
    map_write(unit, map);
    svi_unit_submit(&unit);
}

/* Whether behind "host/" the name begins with that. */
static bool has_part(sv_str name, sv_str part)
{
    const char *slash = memchr(name.p, '/', name.n);
    if (!slash) return part.n == 0;
    const sv_str rest = {slash + 1, name.n - (size_t)(slash + 1 - name.p)};
    return rest.n >= part.n && (part.n == 0 || memcmp(rest.p, part.p, part.n) == 0);
}

static sv_status may_finish(const svi_map *map, sv_err *err)
{
    svi_map_state state;
    svi_map_state_get(map, &state);
    if (!state.is_mixed) return SV_OK;
    return svi_err(err, SV_EBUSY,
                   "map %.*s: %s knows up to version %u, other code knows more: load a newer one of it, or "
                   "wait until its old code has ended",
                   (int)map->name.n, map->name.p, state.who, state.newest);
}

/* Raises the map if there is something to finish. */
static bool finish(svi_map *map, svi_unit *unit)
{
    svi_map_state state;
    svi_map_state_get(map, &state);
    if (state.newest <= map->written) return false;
    SV_LOG(SV_INFO, "upgrade-finished", LF_STR("map", map->name), LF_INT("from", map->written),
           LF_INT("to", state.newest));
    map->written = state.newest;
    map_write(unit, map);
    return true;
}

sv_status svi_maps_may_finish(svi_store *store, sv_str part, sv_err *err)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    size_t pos = 0;
    const svi_map *map;
    while ((map = svi_store_map_next(store, SV_STR_NONE, &pos)) != NULL) {
        const sv_status st = has_part(map->name, part) ? may_finish(map, err) : SV_OK;
        if (st != SV_OK) return st;
    }
    return SV_OK;
}

sv_status svi_maps_finish(svi_store *store, sv_str part, size_t *changed_out, sv_err *err)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    *changed_out = 0;
    const sv_status st = svi_maps_may_finish(store, part, err);
    if (st != SV_OK) return st;
    svi_unit *unit = svi_unit_new(store); /* one for all: all of them or none */
    svi_map *at;
    for (size_t pos = 0; (at = svi_store_map_next(store, SV_STR_NONE, &pos)) != NULL;)
        if (has_part(at->name, part) && finish(at, unit)) (*changed_out)++;
    if (*changed_out > 0) {
        store->finishes++;
        store->old_units = store->live_units;
    }
    svi_unit_submit(&unit);
    return SV_OK;
}

svi_map *svi_store_map_next(svi_store *store, sv_str prefix, size_t *pos)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    sv_str name;
    void *map;
    while (svi_dict_next(store->map_names, pos, &name, &map))
        if (name.n >= prefix.n && (prefix.n == 0 || memcmp(name.p, prefix.p, prefix.n) == 0)) return map;
    return NULL;
}

static void maps_loaded(void *ctx, sv_status status, svi_rows *rows)
{
    svi_store *store = ctx;
    store->maps_status = status;
    if (status != SV_OK) return;
    sv_str name = SV_STR_NONE, value;
    while (svi_rows_next(rows, &name, &value)) {
        svi_map_row row;
        if (row_read(value, &row))
            map_new(store, name, &row);
        else
            store->maps_status = SV_EIO;
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

/* --- for tests -------------------------------------------------------------------------------------- */

/* "host/MODULE/name"; maps of the core have no such part. */
static bool is_map_of(sv_str name, sv_str module)
{
    const size_t at = svi_str_find(name, '/');
    const sv_str rest = svi_str_sub(name, at + 1, name.n);
    const size_t n = svi_str_find(rest, '/');
    return n < rest.n && (module.n == 0 || sv_str_eq(svi_str_sub(rest, 0, n), module));
}

static bool is_number_of(const svi_store *store, uint32_t number, sv_str module)
{
    size_t pos = 0;
    sv_str name;
    void *map;
    while (svi_dict_next(store->map_names, &pos, &name, &map))
        if (((const svi_map *)map)->number == number) return is_map_of(name, module);
    return false;
}

bool svi_job_is_of(const svi_job *job, sv_str module)
{
    const svi_store *store = job->owner;
    if (job->kind == SVI_JOB_FOLD) return false;
    if (job->kind != SVI_JOB_COMMIT) return is_number_of(store, job->key.map, module);
    for (size_t i = 0; i < job->record_count; i++) {
        svi_op op;
        for (size_t pos = 0; svi_record_next(job->records[i], &pos, &op) == SV_OK;)
            if (is_number_of(store, op.map, module)) return true;
    }
    return false;
}
