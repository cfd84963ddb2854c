/* Arena: blocks filled from front to back, newest first in the chain; all memory goes at once. */
#include <stdarg.h>
#include <stdio.h>

#include "base/base_asan.h"
#include "base/base_assert.h"
#include "base/base_mem.h"

enum { ALIGN = 16, FIRST_BYTES = 4096, GROWTH_STOPS_AT = 65536, ARENA_MAGIC = 0x41524e41 };

typedef struct block {
    struct block *older;
    size_t cap;
    size_t used;
    size_t unused_word; /* keeps `data` aligned */
    char data[];
} block;

_Static_assert(offsetof(block, data) % ALIGN == 0, "data must be aligned");

struct svi_arena {
    uint32_t magic;
    svi_acct *acct;
    block *newest;
    size_t block_bytes; /* of all blocks together, heads included */
};

static block *block_new(svi_arena *arena, size_t cap)
{
    block *b = svi_alloc_raw(arena->acct, sizeof(block) + cap);
    *b = (block){.older = arena->newest, .cap = cap};
    SVI_POISON(b->data, cap);
    arena->newest = b;
    arena->block_bytes += sizeof(block) + cap;
    return b;
}

static void block_drop_newest(svi_arena *arena)
{
    block *b = arena->newest;
    arena->newest = b->older;
    arena->block_bytes -= sizeof(block) + b->cap;
    SVI_UNPOISON(b->data, b->cap);
    svi_free(b);
}

static size_t rounded(size_t bytes)
{
    SV_ASSERT(bytes <= PTRDIFF_MAX / 2);
    return bytes == 0 ? ALIGN : (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

svi_arena *svi_arena_new(svi_acct *acct, size_t first_bytes)
{
    svi_arena *arena = svi_alloc(acct, sizeof(svi_arena));
    arena->magic = ARENA_MAGIC;
    arena->acct = acct;
    block_new(arena, rounded(first_bytes == 0 ? FIRST_BYTES : first_bytes));
    return arena;
}

void svi_arena_free(svi_arena **arena)
{
    svi_arena *a = *arena;
    *arena = NULL;
    if (a == NULL) return;
    SV_CHECK(a, ARENA_MAGIC);
    while (a->newest != NULL) block_drop_newest(a);
    a->magic = 0;
    svi_free(a);
}

static block *grown(svi_arena *arena, size_t need)
{
    size_t cap = arena->newest->cap * 2;
    if (cap > GROWTH_STOPS_AT) cap = GROWTH_STOPS_AT;
    return block_new(arena, cap < need ? need : cap);
}

void *svi_arena_get(svi_arena *arena, size_t bytes)
{
    SV_CHECK(arena, ARENA_MAGIC);
    /* under ASan a poisoned gap follows each piece, so that running over its end is seen */
    const size_t need = rounded(bytes) + (SVI_ASAN ? ALIGN : 0);
    block *b = arena->newest;
    if (b->cap - b->used < need) b = grown(arena, need);
    char *to = b->data + b->used;
    b->used += need;
    SVI_UNPOISON(to, bytes);
    return memset(to, 0, bytes);
}

sv_str svi_arena_str(svi_arena *arena, sv_str s)
{
    char *to = svi_arena_get(arena, s.n + 1);
    if (s.n > 0) memcpy(to, s.p, s.n);
    return (sv_str){to, s.n};
}

sv_str svi_arena_printf(svi_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SV_ASSERT(n >= 0);
    char *to = svi_arena_get(arena, (size_t)n + 1);
    vsnprintf(to, (size_t)n + 1, format, again);
    va_end(again);
    return (sv_str){to, (size_t)n};
}

svi_mark svi_arena_mark(const svi_arena *arena)
{
    SV_CHECK(arena, ARENA_MAGIC);
    return (svi_mark){.block = arena->newest, .used = arena->newest->used};
}

void svi_arena_reset(svi_arena *arena, svi_mark mark)
{
    SV_CHECK(arena, ARENA_MAGIC);
    while (arena->newest != mark.block) {
        SV_ASSERT(arena->newest->older != NULL); /* else the mark is of another arena or stale */
        block_drop_newest(arena);
    }
    block *b = arena->newest;
    SV_ASSERT(mark.used <= b->used);
    SVI_POISON(b->data + mark.used, b->cap - mark.used);
    b->used = mark.used;
}

void svi_arena_clear(svi_arena *arena)
{
    SV_CHECK(arena, ARENA_MAGIC);
    while (arena->newest->older != NULL) block_drop_newest(arena);
    svi_arena_reset(arena, (svi_mark){.block = arena->newest});
}

size_t svi_arena_bytes(const svi_arena *arena)
{
    SV_CHECK(arena, ARENA_MAGIC);
    return arena->block_bytes;
}
