/* Pool: equal objects cut from slabs; a slab that is empty goes back, except one that is kept warm. */
#include "base/base_asan.h"
#include "base/base_assert.h"
#include "base/base_mem.h"

enum { SLAB_BYTES = 32768, SLAB_LEAST = 8, ALIGN = 16, POOL_MAGIC = 0x504f4f4c };
enum { CELL_OUT = 0x43454c4f, CELL_FREE = 0x43454c46 };

typedef struct slab slab;

/* What stands before each object. */
typedef struct cell {
    slab *home;     /* NULL under ASan */
    uint32_t state; /* CELL_OUT or CELL_FREE: giving back twice is caught */
    uint32_t next;  /* free list: number of the next free cell + 1 */
} cell;

_Static_assert(sizeof(cell) == ALIGN, "objects must be aligned");

struct slab {
    slab *prev, *next;  /* list of the slabs that have free cells */
    uint32_t out;       /* cells that are out */
    uint32_t fresh;     /* cells from here on have never been out */
    uint32_t free_head; /* number of a free cell + 1 */
    uint32_t unused_word;
};

_Static_assert(sizeof(slab) % ALIGN == 0, "cells must be aligned");

struct svi_pool {
    uint32_t magic;
    uint32_t per_slab;
    svi_acct *acct;
    size_t object_bytes;
    size_t stride;
    size_t live;
    slab *open; /* slabs with free cells */
    size_t empty_slabs;
};

svi_pool *svi_pool_new(svi_acct *acct, size_t object_bytes)
{
    SV_ASSERT(object_bytes > 0 && object_bytes < (1u << 26));
    svi_pool *pool = svi_alloc(acct, sizeof(svi_pool));
    const size_t stride = sizeof(cell) + ((object_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    const size_t fit = (SLAB_BYTES - sizeof(slab)) / stride;
    *pool = (svi_pool){.magic = POOL_MAGIC,
                       .per_slab = (uint32_t)(fit < SLAB_LEAST ? SLAB_LEAST : fit),
                       .acct = acct,
                       .object_bytes = object_bytes,
                       .stride = stride};
    return pool;
}

static cell *cell_at(const svi_pool *pool, slab *s, uint32_t number)
{
    return (cell *)((char *)(s + 1) + (size_t)number * pool->stride);
}

static uint32_t cell_number(const svi_pool *pool, const slab *s, const cell *c)
{
    return (uint32_t)((size_t)((const char *)c - (const char *)(s + 1)) / pool->stride);
}

static void list_add(svi_pool *pool, slab *s)
{
    s->prev = NULL;
    s->next = pool->open;
    if (pool->open != NULL) pool->open->prev = s;
    pool->open = s;
}

static void list_remove(svi_pool *pool, slab *s)
{
    if (s->prev != NULL) s->prev->next = s->next;
    if (s->next != NULL) s->next->prev = s->prev;
    if (pool->open == s) pool->open = s->next;
    s->prev = s->next = NULL;
}

static slab *slab_new(svi_pool *pool)
{
    slab *s = svi_alloc_raw(pool->acct, sizeof(slab) + pool->per_slab * pool->stride);
    *s = (slab){.out = 0};
    list_add(pool, s);
    pool->empty_slabs++;
    return s;
}

static void slab_free(svi_pool *pool, slab *s)
{
    list_remove(pool, s);
    pool->empty_slabs--;
    svi_free(s);
}

void svi_pool_free(svi_pool **pool)
{
    svi_pool *p = *pool;
    if (p == NULL) return;
    SV_CHECK(p, POOL_MAGIC);
    SV_ASSERT(p->live == 0);
    *pool = NULL;
    while (p->open != NULL) slab_free(p, p->open);
    SV_ASSERT(p->empty_slabs == 0);
    p->magic = 0;
    svi_free(p);
}

static cell *cell_take(svi_pool *pool)
{
    slab *s = pool->open != NULL ? pool->open : slab_new(pool);
    const uint32_t number = s->free_head != 0 ? s->free_head - 1 : s->fresh++;
    cell *c = cell_at(pool, s, number);
    if (s->free_head != 0) {
        SV_ASSERT(c->state == CELL_FREE);
        s->free_head = c->next;
    }
    if (s->out++ == 0) pool->empty_slabs--;
    if (s->out == pool->per_slab) list_remove(pool, s);
    c->home = s;
    return c;
}

static void cell_give(svi_pool *pool, cell *c)
{
    slab *s = c->home;
    if (s->out == pool->per_slab) list_add(pool, s);
    c->next = s->free_head;
    s->free_head = cell_number(pool, s, c) + 1;
    if (--s->out > 0) return;
    pool->empty_slabs++;
    if (pool->empty_slabs > 1) slab_free(pool, s);
}

void *svi_pool_get(svi_pool *pool)
{
    SV_CHECK(pool, POOL_MAGIC);
    cell *c = SVI_ASAN ? svi_alloc_raw(pool->acct, pool->stride) : cell_take(pool);
    c->state = CELL_OUT;
    pool->live++;
    SVI_POISON((char *)(c + 1) + pool->object_bytes,
               pool->stride - sizeof(cell) - pool->object_bytes);
    return memset(c + 1, 0, pool->object_bytes);
}

void svi_pool_put(svi_pool *pool, void *object)
{
    SV_CHECK(pool, POOL_MAGIC);
    SV_ASSERT(object != NULL && pool->live > 0);
    cell *c = (cell *)object - 1;
    SV_ASSERT(c->state == CELL_OUT);
    c->state = CELL_FREE;
    pool->live--;
    if (SVI_ASAN) {
        SVI_UNPOISON(c, pool->stride);
        svi_free(c);
    } else {
        cell_give(pool, c);
    }
}

size_t svi_pool_live(const svi_pool *pool)
{
    SV_CHECK(pool, POOL_MAGIC);
    return pool->live;
}
