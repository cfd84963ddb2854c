/* Looking for rows of older versions than the one that is written: where there are none, the map forgets that there
 * were.
 *
 * What is not folded is looked at first, then the index, in jobs of the engine. A row of an older version can't come up
 * behind that: whatever was begun before the upgrade was finished has ended (old_units), and all since is written in
 * the newer one. A row of the index does not count if a generation that was not folded then has it, too: that one
 * was counted, or is newer. Those generations are kept as long as the read. */
#include "base/base_str.h"
#include "store/store_impl.h"

#define CHUNK_BYTES (256u << 10)

typedef struct look {
    svi_map *map;
    uint32_t written; /* when it began */
    uint32_t found;   /* oldest that was found; `written` if none is older */
    uint64_t older;   /* how many are */
    uint64_t epoch;   /* svi_store.fold_count when it began */
    svi_versions_done done;
    void *ctx;
} look;

/* What the generations from this one on do to a row. */
typedef enum later { LATER_NOTHING, LATER_APPENDED, LATER_REPLACED } later;

/* An append does not change the version, unless there was no row: so it is counted by its own, and the row that it goes
 * behind is not, but may be of an even older one. */
static later what_comes(const look *l, const svi_tail *from, sv_str owner, sv_str key)
{
    const uint32_t map = l->map->number;
    const uint64_t hash = svi_owner_hash(map, owner);
    later found = LATER_NOTHING;
    for (const svi_tail *t = from; t; t = t->newer) {
        const svi_tail_owner *o = svi_tail_owner_find(t, hash, map, owner);
        if (!o) continue;
        const svi_tail_row *row = svi_tail_row_find(t, hash, map, owner, key);
        const bool is_open = row && row->more && row->more->is_open;
        if (o->cleared || (row && !is_open)) return LATER_REPLACED;
        if (is_open && (unsigned char)row->value.p[0] < l->written) found = LATER_APPENDED;
    }
    return found;
}

static void count(look *l, const svi_tail *newer, sv_str owner, sv_str key, sv_str stored)
{
    const uint32_t version = (unsigned char)stored.p[0];
    if (version >= l->written) return;
    const later comes = what_comes(l, newer, owner, key);
    if (comes == LATER_REPLACED) return;
    if (comes == LATER_NOTHING) l->older++;
    if (version < l->found) l->found = version;
}

/* The oldest generation that was not in the index when the look began. */
static const svi_tail *not_folded(const look *l)
{
    const svi_tail *t = l->map->store->oldest;
    while (t->folded_at && t->folded_at <= l->epoch) t = t->newer;
    return t;
}

static void look_at_tail(look *l)
{
    for (const svi_tail *t = not_folded(l); t; t = t->newer) {
        for (size_t i = 0; i < t->rows.cap; i++) {
            const svi_tail_row *r = t->rows.slots[i].item;
            if (!r || !r->value.p || r->owner->map != l->map->number) continue;
            count(l, t->newer, r->owner->name, r->key, r->value);
        }
    }
}

/* The next piece of the index, from that place on. */
static void look_on(look *l, sv_str from)
{
    svi_read *read = svi_read_new(l->map, SVI_READ_VERSIONS, from, SV_STR_NONE, l);
    if (read->store->closing) return; /* it is in the list and will be cancelled */
    read->arena = svi_arena_new(read->store->acct, CHUNK_BYTES);
    read->job = (svi_job){.kind = SVI_JOB_RANGE,
                          .key = {.map = l->map->number},
                          .arena = read->arena,
                          .from = read->owner,
                          .max_bytes = CHUNK_BYTES};
    svi_store_start_job(read->store, &read->job);
}

static void end(look *l, sv_status status)
{
    const svi_versions_done done = l->done;
    void *ctx = l->ctx;
    const uint64_t older = l->older;
    if (status == SV_OK && l->found > l->map->oldest) svi_map_raise(l->map, l->found);
    svi_free(l);
    done(ctx, status, status == SV_OK ? older : 0);
}

void svi_versions_deliver(svi_read *read, sv_status status)
{
    look *l = read->ctx;
    const svi_job *job = &read->job;
    for (size_t i = 0; status == SV_OK && i < job->row_count; i++) {
        const svi_row_change *row = &job->rows[i];
        if (row->value.n < SVI_ROW_HEAD)
            status = SV_EIO; /* damaged */
        else
            count(l, not_folded(l), row->key.owner, row->key.key, row->value);
    }
    const bool more = status == SV_OK && job->more;
    if (more) look_on(l, job->from);
    svi_read_free(&read);
    if (!more) end(l, status);
}

sv_status svi_map_look(svi_map *map, svi_versions_done done, void *ctx, sv_err *err)
{
    SV_CHECK(map, SVI_MAP_MAGIC);
    if (map->store->old_units > 0)
        return svi_err(err, SV_EBUSY, "what began before the upgrade was finished has not ended yet: try again "
                       "in a moment");
    look *l = svi_alloc(map->store->acct, sizeof *l);
    *l = (look){.map = map,
                .written = map->written,
                .found = map->written,
                .epoch = map->store->fold_count,
                .done = done,
                .ctx = ctx};
    look_at_tail(l);
    look_on(l, SV_STR_NONE);
    return SV_OK;
}
