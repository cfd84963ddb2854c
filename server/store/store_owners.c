/* Lists of owners: those of the index, corrected by what is not folded.
 *
 * An owner is listed if it has a row. For one whose rows were deleted singly in the tail that can't be told from the
 * tail alone: its rows are loaded and counted. A step that leaves nothing to report goes on behind its last owner. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_impl.h"

typedef enum owner_state { OWNER_NO, OWNER_YES, OWNER_OPEN } owner_state;

typedef struct svi_owner_item {
    sv_str name;
    owner_state state;
    bool in_index;
    svi_read *read;
} svi_owner_item;

static int item_cmp(const void *a, const void *b)
{
    const svi_owner_item *x = a, *y = b;
    const int c = svi_str_cmp(x->name, y->name);
    return c != 0 ? c : (int)y->in_index - (int)x->in_index;
}

static owner_state judge(const svi_store *store, uint32_t map, const svi_owner_item *item)
{
    const uint64_t hash = svi_owner_hash(map, item->name);
    owner_state state = item->in_index ? OWNER_YES : OWNER_NO;
    for (const svi_tail *t = store->oldest; t; t = t->newer) {
        const svi_tail_owner *owner = svi_tail_owner_find(t, hash, map, item->name);
        if (!owner) continue;
        if (owner->live > 0)
            state = OWNER_YES;
        else if (owner->cleared)
            state = OWNER_NO;
        else if (state == OWNER_YES)
            state = OWNER_OPEN;
    }
    return state;
}

/* Owners of the job's answer and of the tail within its range into read->items, sorted, each once. */
static void gather(svi_read *read)
{
    const svi_job *job = &read->job;
    const uint32_t map = read->map->number;
    const sv_str after = read->job.key.owner;
    const sv_str last =
        job->more && job->row_count ? job->rows[job->row_count - 1].key.owner : SV_STR_NONE;
    size_t room = job->row_count, n = 0;
    for (const svi_tail *t = read->store->oldest; t; t = t->newer) room += t->owners.count;
    svi_owner_item *items = svi_alloc(read->store->acct, room * sizeof *items + 1);
    for (size_t i = 0; i < job->row_count; i++)
        items[n++] = (svi_owner_item){.name = job->rows[i].key.owner, .in_index = true};
    for (const svi_tail *t = read->store->oldest; t; t = t->newer) {
        for (size_t i = 0; i < t->owners.cap; i++) {
            const svi_tail_owner *owner = t->owners.slots[i].item;
            if (!owner || owner->map != map) continue;
            if (after.p && svi_str_cmp(owner->name, after) <= 0) continue;
            if (last.p && svi_str_cmp(owner->name, last) > 0) continue;
            items[n++] = (svi_owner_item){.name = svi_arena_str(read->arena, owner->name)};
        }
    }
    if (n > 1) qsort(items, n, sizeof *items, item_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !sv_str_eq(items[i].name, items[kept - 1].name)) items[kept++] = items[i];
    read->items = items;
    read->item_count = kept;
}

static void step(svi_read *read)
{
    /* all owners in question are known: report, or go on behind the last one */
    sv_str last = SV_STR_NONE;
    bool cut = false;
    for (size_t i = 0; i < read->item_count; i++) {
        last = read->items[i].name;
        if (read->items[i].state != OWNER_YES) continue;
        if (read->found_count == read->max) {
            cut = true;
            break;
        }
        read->found[read->found_count++] = read->items[i].name;
    }
    svi_free(read->items);
    read->items = NULL;
    const bool more = read->item_more;
    if (more && read->found_count < read->max && !cut) {
        read->owner = last;
        svi_read_start(read, SVI_JOB_OWNERS);
        return;
    }
    read->owners_done(read->ctx, SV_OK, read->found, read->found_count, more || cut);
    svi_read_free(&read);
}

static void counted(void *ctx, sv_status status, svi_rows *rows)
{
    svi_owner_item *item = ctx;
    if (status == SV_ECANCELED) return; /* the list is cancelled as well */
    svi_read *read = item->read;
    if (status == SV_OK)
        item->state = svi_rows_count(rows) > 0 ? OWNER_YES : OWNER_NO;
    else
        read->job.status = status;
    svi_rows_unref(&rows);
    if (--read->item_open > 0) return;
    if (read->job.status == SV_OK) {
        step(read);
    } else {
        read->owners_done(read->ctx, read->job.status, NULL, 0, false);
        svi_read_free(&read);
    }
}

void svi_owners_deliver(svi_read *read)
{
    if (read->job.status != SV_OK) {
        read->owners_done(read->ctx, read->job.status, NULL, 0, false);
        svi_read_free(&read);
        return;
    }
    gather(read);
    read->item_more = read->job.more;
    read->item_open = 1;
    for (size_t i = 0; i < read->item_count; i++) {
        svi_owner_item *item = &read->items[i];
        item->state = judge(read->store, read->map->number, item);
        if (item->state != OWNER_OPEN) continue;
        item->read = read;
        read->item_open++;
        svi_rows_load(read->map, item->name, counted, item);
    }
    if (--read->item_open == 0) step(read);
}

void svi_store_owners(svi_map *map, sv_str after, size_t max, svi_owners_done done, void *ctx)
{
    SV_ASSERT(max > 0);
    svi_read *read = svi_read_new(map, SVI_READ_OWNERS, after, SV_STR_NONE, ctx);
    if (!after.p) read->owner = SV_STR_NONE; /* from the first, which may be the empty name */
    read->owners_done = done;
    read->max = max;
    read->found = svi_alloc(read->store->acct, max * sizeof(sv_str));
    svi_read_start(read, SVI_JOB_OWNERS);
}
