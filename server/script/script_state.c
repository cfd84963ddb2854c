/* The state of a script: its memory has a quota, and what is small comes from lists of its own. */
#include "script/script_impl.h"
#include "script/script_lib.h"

enum { STEP = 32, CHUNK = 16384 };
/* A table that needs room for more keys puts all that it has into a new block, within one instruction and in a time that grows
 * with the square of those keys that collide, as chosen integers and fractions do. So a new block is bounded: this is less than
 * 32768 keys take (24 bytes each). What grows by being copied (lists, buffers, stacks, the table of short texts) is not. */
enum { FRESH_MAX = 700 << 10 };
/* Debug builds take each block from the allocator, so that ASan sees what is used too late. */
#ifdef SVI_DEBUG
enum { SMALL_MAX = 0 };
#else
enum { SMALL_MAX = 256 };
#endif

/* A small block that is free. */
typedef struct svi_small {
    struct svi_small *next;
} svi_small;

/* --- memory ------------------------------------------------------------------------------------------ */

static size_t class_of(size_t bytes)
{
    return (bytes + STEP - 1) / STEP - 1;
}

static void *small_get(svi_script *script, size_t class)
{
    svi_small *block = script->small[class];
    if (block != NULL) {
        script->small[class] = block->next;
        return block;
    }
    const size_t bytes = (class + 1) * STEP;
    svi_small *c = svi_alloc_raw(script->env.acct, CHUNK);
    c->next = script->chunks;
    script->chunks = c;
    for (size_t at = STEP; at + bytes <= CHUNK; at += bytes) {
        svi_small *one = (svi_small *)(void *)((char *)c + at);
        one->next = script->small[class];
        script->small[class] = one;
    }
    block = script->small[class];
    script->small[class] = block->next;
    return block;
}

static void block_free(svi_script *script, void *block, size_t bytes)
{
    if (bytes > SMALL_MAX) {
        svi_free(block);
        return;
    }
    svi_small *small = block;
    const size_t class = class_of(bytes);
    small->next = script->small[class];
    script->small[class] = small;
}

static void *block_get(svi_script *script, size_t bytes)
{
    return bytes > SMALL_MAX ? svi_alloc_raw(script->env.acct, bytes)
                             : small_get(script, class_of(bytes));
}

/* A new block that may hold keys: `kind` is that of an object (texts, userdata ...) where Lua makes one. */
static bool is_too_fresh(const void *old, size_t kind, size_t bytes)
{
    return old == NULL && bytes > FRESH_MAX && (kind < LUA_TSTRING || kind > LUA_TTHREAD);
}

/* A test has it that the quota is used up. Lua collects its garbage then and asks once more. */
static bool is_refused_by_test(svi_script *script, size_t bytes)
{
    if (script->env.is_over_quota == NULL) return false;
    const bool is_again = script->refused_bytes == bytes;
    script->refused_bytes = 0;
    if (is_again) return true;
    if (!script->env.is_over_quota(script->env.ctx)) return false;
    script->refused_bytes = bytes;
    return true;
}

/* Lua tells the old size. Shrinking and freeing never fail, nor does what the host makes for itself: there no function of a script
 * runs, and no table gets keys of its choice. */
static void *quota_alloc(void *ud, void *old, size_t old_bytes, size_t bytes)
{
    svi_script *script = ud;
    if (!script->is_quota_off && is_too_fresh(old, old_bytes, bytes)) return NULL;
    if (old == NULL) old_bytes = 0; /* it is a type then */
    if (bytes == 0) {
        if (old != NULL) block_free(script, old, old_bytes);
        script->used_bytes -= old_bytes;
        return NULL;
    }
    const bool grows = bytes > old_bytes;
    if (grows && !script->is_quota_off &&
        script->used_bytes + (bytes - old_bytes) > (size_t)script->env.max_bytes)
        return NULL;
    if (grows && !script->is_quota_off && is_refused_by_test(script, bytes)) return NULL;
    void *block = old;
    if (old != NULL && old_bytes > SMALL_MAX && bytes > SMALL_MAX) {
        block = svi_realloc(script->env.acct, old, bytes);
    } else if (old == NULL || old_bytes > SMALL_MAX || bytes > SMALL_MAX ||
               class_of(old_bytes) != class_of(bytes)) {
        block = block_get(script, bytes);
        if (old != NULL) {
            memcpy(block, old, grows ? old_bytes : bytes);
            block_free(script, old, old_bytes);
        }
    }
    script->used_bytes = script->used_bytes - old_bytes + bytes;
    if (script->used_bytes > script->peak_bytes) script->peak_bytes = script->used_bytes;
    return block;
}

/* --- the state --------------------------------------------------------------------------------------- */

static void warn_nobody(void *ud, const char *text, int to_be_continued)
{
    (void)ud;
    (void)text;
    (void)to_be_continued;
}

static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    svi_assert_failed(text != NULL ? text : "an error of a script outside a protected call", __FILE__, __LINE__);
}

/* The globals, with `sv` among them. */
static int open_state(lua_State *L)
{
    lua_newtable(L); /* sv */
    svi_script_libs_open(L);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) { /* sv.json = extra.json ... */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -5);
    }
    lua_pop(L, 1);
    svi_script_open_views(L);
    svi_script_open_declarations(L);
    lua_setglobal(L, "sv");
    return 0;
}

/* `sv` is the library's. */
static int open_bare(lua_State *L)
{
    svi_script_libs_open(L);
    lua_setglobal(L, "sv");
    return 0;
}

static lua_State *state_new(svi_script *script, lua_CFunction open, sv_err *err)
{
    lua_State *L = lua_newstate(quota_alloc, script);
    if (L == NULL) {
        (void)svi_err(err, SV_ELIMIT, "its memory (%lld bytes) does not hold a state", (long long)script->env.max_bytes);
        return NULL;
    }
    *(svi_script **)lua_getextraspace(L) = script;
    (void)lua_atpanic(L, panic);
    lua_setwarnf(L, warn_nobody, NULL);
    lua_pushcfunction(L, open);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        (void)svi_err(err, SV_ELIMIT, "its state can't be made: %.150s", lua_tostring(L, -1));
        lua_close(L);
        return NULL;
    }
    return L;
}

lua_State *svi_script_state_new(svi_script *script, sv_err *err)
{
    return state_new(script, open_state, err);
}

lua_State *svi_script_state_bare(svi_script *script, sv_err *err)
{
    return state_new(script, open_bare, err);
}

void svi_script_state_close(svi_script *script)
{
    if (script->L != NULL) lua_close(script->L);
    script->L = NULL;
    SV_ASSERT(script->used_bytes == 0);
    while (script->chunks != NULL) {
        svi_small *c = script->chunks;
        script->chunks = c->next;
        svi_free(c);
    }
}
