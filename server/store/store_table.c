/* Hash tables of the store: open addressing with linear probing over full 64-bit hashes. */
#include "store/store_impl.h"

uint64_t svi_owner_hash(uint32_t map, sv_str owner)
{
    uint64_t h = svi_hash(owner) + map * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h * UINT64_C(0xbf58476d1ce4e5b9);
}

uint64_t svi_key_hash(uint64_t owner_hash, sv_str key)
{
    uint64_t h = (owner_hash ^ (owner_hash >> 31)) + svi_hash(key);
    h *= UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 32);
}

void *svi_table_find(const svi_table *table, uint64_t hash, svi_same same, const void *want)
{
    if (table->cap == 0) return NULL;
    for (size_t i = hash & (table->cap - 1); table->slots[i].item; i = (i + 1) & (table->cap - 1)) {
        if (table->slots[i].hash == hash && same(table->slots[i].item, want))
            return table->slots[i].item;
    }
    return NULL;
}

static void place(svi_table *table, uint64_t hash, void *item)
{
    size_t i = hash & (table->cap - 1);
    while (table->slots[i].item) i = (i + 1) & (table->cap - 1);
    table->slots[i] = (svi_slot){.hash = hash, .item = item};
}

static void grow(svi_table *table, svi_acct *acct)
{
    const svi_table old = *table;
    table->cap = old.cap ? old.cap * 2 : 16;
    table->slots = svi_alloc(acct, table->cap * sizeof(svi_slot));
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].item) place(table, old.slots[i].hash, old.slots[i].item);
    svi_free(old.slots);
}

void svi_table_add(svi_table *table, svi_acct *acct, uint64_t hash, void *item)
{
    SV_ASSERT(item != NULL);
    if (table->count * 4 >= table->cap * 3) grow(table, acct);
    place(table, hash, item);
    table->count++;
}

void svi_table_remove(svi_table *table, uint64_t hash, const void *item)
{
    SV_ASSERT(table->count > 0);
    const size_t mask = table->cap - 1;
    size_t hole = hash & mask;
    while (table->slots[hole].item != item) {
        SV_ASSERT(table->slots[hole].item != NULL);
        hole = (hole + 1) & mask;
    }
    /* close the gap: move back each later item whose own place is not behind the hole */
    for (size_t i = (hole + 1) & mask; table->slots[i].item; i = (i + 1) & mask) {
        const size_t home = table->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        table->slots[hole] = table->slots[i];
        hole = i;
    }
    table->slots[hole].item = NULL;
    table->count--;
}

void svi_table_free(svi_table *table)
{
    svi_free(table->slots);
    *table = (svi_table){0};
}
