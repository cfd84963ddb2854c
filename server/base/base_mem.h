/* Memory: accounted allocation, arenas, typed pools.
 *
 * Small allocations never fail: exhaustion ends the worker (house-style B.7). What a peer can make large
 * is bounded by a quota before it is asked for here. Nothing in this file is shared between threads
 * except accounts, whose counters are relaxed atomics. */
#ifndef SVI_BASE_MEM_H
#define SVI_BASE_MEM_H

#include <stdatomic.h>
#include <stave/types.h>

/* Whom memory is charged to: a module, the parser, a session pool. Zero-initialise, give it a name. */
typedef struct svi_acct {
    const char *name; /* static text */
    _Atomic int64_t live_bytes;
    _Atomic int64_t peak_bytes;
    _Atomic int64_t live_count;
    _Atomic int64_t peak_count;
    _Atomic int64_t total_count; /* allocations ever made */
    struct svi_acct *whole; /* is charged with all of this too, and outlives it; NULL: none */
} svi_acct;

/* Returns `bytes` of zeroed memory charged to `acct` (never NULL; aborts on exhaustion). `bytes` may be
 * 0. Free with svi_free. Any thread. */
void *svi_alloc(svi_acct *acct, size_t bytes);

/* As svi_alloc, memory not zeroed. For buffers that are written at once. */
void *svi_alloc_raw(svi_acct *acct, size_t bytes);

/* Resizes; the part beyond the old size is not zeroed. `mem` may be NULL. The block is charged to `acct`
 * from now on. Returns the new place. */
void *svi_realloc(svi_acct *acct, void *mem, size_t bytes);

/* Gives memory of svi_alloc back to the account it was charged to. NULL does nothing. Any thread: a
 * block may be freed by another thread than the one that made it. */
void svi_free(void *mem);

/* Copies the text, adds a NUL that is not counted; free with svi_str_free. */
sv_str svi_str_dup(svi_acct *acct, sv_str s);

/* Frees a copy that svi_str_dup made and clears it. An empty SV_STR_NONE does nothing. */
void svi_str_free(sv_str *s);

/* Makes the n-th allocation from now on fail (abort path) when n > 0, 0 switches off. For tests. */
void svi_mem_fail_after(int64_t n);

/* An arena gives memory that is freed all at once. Blocks are chained as needed. Single thread. */
typedef struct svi_arena svi_arena;

/* A place in an arena to fall back to. */
typedef struct svi_mark {
    void *block;
    size_t used;
} svi_mark;

/* Makes an arena whose first block has `first_bytes` (0: 4 KiB). Charged to `acct`. */
svi_arena *svi_arena_new(svi_acct *acct, size_t first_bytes);

/* Frees the arena and all it gave; clears the pointer. */
void svi_arena_free(svi_arena **arena);

/* Returns zeroed memory aligned for any type, valid until reset below this point or freed. */
void *svi_arena_get(svi_arena *arena, size_t bytes);

/* Copies text into the arena (a NUL follows, not counted). */
sv_str svi_arena_str(svi_arena *arena, sv_str s);

/* printf into the arena. */
sv_str svi_arena_printf(svi_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Remembers, and falls back to, a point: what was given since is invalid (poisoned under ASan). */
svi_mark svi_arena_mark(const svi_arena *arena);
void svi_arena_reset(svi_arena *arena, svi_mark mark);

/* Empties the arena; keeps its first block. */
void svi_arena_clear(svi_arena *arena);

/* Bytes that the arena's blocks take now. */
size_t svi_arena_bytes(const svi_arena *arena);

/* A pool of equal objects: freed ones are used again, empty slabs go back to the system. Single thread.
 * Under ASan every object is an allocation of its own, so that use after free is seen. */
typedef struct svi_pool svi_pool;

/* Makes a pool of objects of `object_bytes`, charged to `acct`. */
svi_pool *svi_pool_new(svi_acct *acct, size_t object_bytes);

/* Frees the pool; asserts that no object is out. Clears the pointer. */
void svi_pool_free(svi_pool **pool);

/* A zeroed object / gives one back. */
void *svi_pool_get(svi_pool *pool);
void svi_pool_put(svi_pool *pool, void *object);

/* Objects that are out now. */
size_t svi_pool_live(const svi_pool *pool);

#endif
