/* What rows have that a fold appends to, with an engine that can't be asked within a fold: read by GET before it begins.
 *
 * All older generations are folded then and this one is not, so what the index has is what comes before the pieces. */
#include "store/store_impl.h"

#define WINDOW 64u /* reads on their way */

static void start_some(svi_store *store)
{
    const svi_table *rows = &store->folding->rows;
    while (store->bases_out < WINDOW && store->base_slot < rows->cap) {
        svi_tail_row *row = rows->slots[store->base_slot++].item;
        if (!row || svi_tail_decides(row)) continue;
        svi_read *read = svi_read_new(&store->map_zero, SVI_READ_BASE, row->owner->name, row->key, row);
        read->arena = svi_arena_new(store->acct, 128);
        read->job = (svi_job){.kind = SVI_JOB_GET,
                              .key = {.map = row->owner->map, .owner = read->owner, .key = read->key},
                              .arena = read->arena};
        store->bases_out++;
        svi_store_start_job(store, &read->job); /* also while the store closes: that folds, too */
    }
}

void svi_bases_read(svi_store *store)
{
    store->base_slot = store->bases_out = 0;
    start_some(store);
    SV_ASSERT(store->bases_out > 0);
}

void svi_base_deliver(svi_read *read, sv_status status)
{
    svi_store *store = read->store;
    const sv_str base = status == SV_OK && read->job.row_count > 0 ? read->job.rows[0].value : SV_STR_NONE;
    if (status == SV_OK) svi_tail_note_whole(store->folding, read->ctx, base);
    svi_read_free(&read);
    store->bases_out--;
    if (store->failed || !store->fold_runs) return;
    if (status != SV_OK)
        svi_store_fold_failed(store, status);
    else
        start_some(store);
    if (store->bases_out == 0 && !store->failed) svi_store_fold_on(store);
}
