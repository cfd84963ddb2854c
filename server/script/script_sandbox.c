/* The sandboxed Lua state: allocator with a quota, step limit, safe libraries only. */
#include "script/script_sandbox.h"

#include "base/base_assert.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x53424f58u
#define STEPS_AT_ONCE 1000

struct svi_sandbox {
    uint32_t magic;
    svi_acct *acct;
    lua_State *lua;
    size_t used_bytes, max_bytes;
    int64_t steps_left;
};

/* Lua tells the old size, so the quota is exact. Shrinking and freeing never fail. */
static void *quota_alloc(void *ud, void *old, size_t old_bytes, size_t new_bytes)
{
    svi_sandbox *box = ud;
    if (!old) old_bytes = 0;
    if (new_bytes == 0) {
        svi_free(old);
        box->used_bytes -= old_bytes;
        return NULL;
    }
    if (new_bytes > old_bytes && box->used_bytes + (new_bytes - old_bytes) > box->max_bytes)
        return NULL;
    box->used_bytes = box->used_bytes - old_bytes + new_bytes;
    return svi_realloc(box->acct, old, new_bytes);
}

static svi_sandbox *box_of(lua_State *L)
{
    void *ud;
    (void)lua_getallocf(L, &ud);
    svi_sandbox *box = ud;
    SV_CHECK(box, MAGIC);
    return box;
}

static void count_steps(lua_State *L, lua_Debug *ar)
{
    svi_sandbox *box = box_of(L);
    box->steps_left -= STEPS_AT_ONCE;
    if (box->steps_left > 0) return;
    /* from here on at every instruction: a pcall catches one error, but not what comes behind it */
    lua_sethook(L, count_steps, LUA_MASKCOUNT, 1);
    (void)lua_getinfo(L, "Sl",
                      ar); /* a hook is no level of the stack, so luaL_error finds no place */
    lua_pushfstring(L, "%s:%d: the script takes too many steps", ar->short_src, ar->currentline);
    (void)lua_error(L);
}

/* What of the base library can't reach outside, load code or hold up the collector. Patterns are left out with `string.rep` and the
 * like that can take long in one call: a configuration needs none. */
static void open_safe(lua_State *L)
{
    static const char *const base[] = {"assert", "error",    "ipairs",   "next", "pairs", "pcall",
                                       "select", "tonumber", "tostring", "type", NULL};
    static const char *const text[] = {"byte", "char",  "format",  "len", "lower",
                                       "sub",  "upper", "reverse", NULL};
    static const char *const tables[] = {"concat", "insert", "remove", "sort", "unpack", NULL};
    static const struct {
        const char *name;
        lua_CFunction open;
        const char *const *keep;
    } libs[] = {{"string", luaopen_string, text}, {"table", luaopen_table, tables}};

    lua_newtable(L); /* the globals to be */
    luaL_requiref(L, "_G", luaopen_base, 0);
    for (size_t i = 0; base[i]; i++) {
        lua_getfield(L, -1, base[i]);
        lua_setfield(L, -3, base[i]);
    }
    lua_pop(L, 1);
    for (size_t l = 0; l < sizeof libs / sizeof *libs; l++) {
        luaL_requiref(L, libs[l].name, libs[l].open, 0);
        lua_newtable(L);
        for (size_t i = 0; libs[l].keep[i]; i++) {
            lua_getfield(L, -2, libs[l].keep[i]);
            lua_setfield(L, -2, libs[l].keep[i]);
        }
        lua_setfield(L, -3, libs[l].name);
        lua_pop(L, 1);
    }
    /* strings' methods come from the cut table as well */
    lua_pushliteral(L, "");
    if (lua_getmetatable(L, -1)) {
        lua_getfield(L, -3, "string");
        lua_setfield(L, -2, "__index");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

static int open_protected(lua_State *L)
{
    open_safe(L);
    return 0;
}

svi_sandbox *svi_sandbox_new(svi_acct *acct, size_t max_bytes, int64_t max_steps)
{
    SV_ASSERT(max_bytes >= 65536 && max_steps > 0);
    svi_sandbox *box = svi_alloc(acct, sizeof *box);
    *box = (svi_sandbox){
        .magic = MAGIC, .acct = acct, .max_bytes = max_bytes, .steps_left = max_steps};
    box->lua = lua_newstate(quota_alloc, box);
    SV_ASSERT(box->lua != NULL);
    lua_pushcfunction(box->lua, open_protected);
    const int failed = lua_pcall(box->lua, 0, 0, 0);
    SV_ASSERT(failed == LUA_OK);
    lua_sethook(box->lua, count_steps, LUA_MASKCOUNT, STEPS_AT_ONCE);
    return box;
}

void svi_sandbox_free(svi_sandbox **sandbox)
{
    if (!*sandbox) return;
    SV_CHECK(*sandbox, MAGIC);
    lua_close((*sandbox)->lua);
    SV_ASSERT((*sandbox)->used_bytes == 0);
    (*sandbox)->magic = 0;
    svi_free(*sandbox);
    *sandbox = NULL;
}

lua_State *svi_sandbox_lua(svi_sandbox *sandbox)
{
    SV_CHECK(sandbox, MAGIC);
    return sandbox->lua;
}

sv_status svi_sandbox_run(svi_sandbox *sandbox, sv_str text, const char *name, sv_err *err)
{
    SV_CHECK(sandbox, MAGIC);
    lua_State *L = sandbox->lua;
    SV_ASSERT(lua_istable(L, -1));
    if (luaL_loadbufferx(L, text.p ? text.p : "", text.n, name, "t") == LUA_OK) {
        lua_pushvalue(L, -2);
        const char *upvalue =
            lua_setupvalue(L, -2, 1); /* the environment is a chunk's only upvalue */
        SV_ASSERT(upvalue != NULL);
        if (lua_pcall(L, 0, 0, 0) == LUA_OK) {
            lua_pop(L, 1);
            return SV_OK;
        }
    }
    const char *message = lua_tostring(L, -1);
    svi_err(err, SV_EINVAL, "%s", message ? message : "an error that is no text");
    lua_pop(L, 2);
    return SV_EINVAL;
}
