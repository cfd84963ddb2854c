/* Coroutines of the script's own. Those of the host, on which handlers run and wait, are not to be
 * resumed by scripts. A dead one is left to the collector: scripts have no __close, so nothing is
 * to be closed. */
#include <lualib.h>

#include "script/script_lib_impl.h"

/* Key of the registry: a table whose keys, held weakly, are the scripts' coroutines. */
static const char own_key = 0;

void svi_script_coroutine_mark(lua_State *L, int at)
{
    at = lua_absindex(L, at);
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key);
    lua_pushvalue(L, at);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static bool is_own(lua_State *L, int at)
{
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key);
    lua_pushvalue(L, at);
    const bool is = lua_rawget(L, -2) == LUA_TBOOLEAN;
    lua_pop(L, 2);
    return is;
}

static int coroutine_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    svi_script_coroutine_mark(L, -1);
    return 1;
}

/* Why it can't go on, or NULL. */
static const char *hindrance(lua_State *co)
{
    lua_Debug ar;
    if (lua_status(co) == LUA_YIELD) return NULL;
    if (lua_status(co) != LUA_OK) return "cannot resume dead coroutine";
    if (lua_getstack(co, 0, &ar)) return "cannot resume non-suspended coroutine";
    return lua_gettop(co) == 0 ? "cannot resume dead coroutine" : NULL;
}

/* Goes on with `co`, to which the arguments on top go. Returns how many results are on top then;
 * -1: an error is. */
static int run(lua_State *L, lua_State *co, int arguments)
{
    svi_script_poll(L);
    const char *why = hindrance(co);
    if (why == NULL && !lua_checkstack(co, arguments)) why = "too many arguments to resume";
    if (why != NULL) {
        lua_pushstring(L, why);
        return -1;
    }
    int results;
    lua_xmove(L, co, arguments);
    svi_script_coroutine_enters(L, co);
    const int status = lua_resume(co, L, arguments, &results);
    svi_script_coroutine_left(L, co);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

static int coroutine_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co != NULL, 1, "coroutine");
    if (!is_own(L, 1))
        return luaL_argerror(L, 1, "this coroutine is the server's: it goes on by itself");
    const int results = run(L, co, lua_gettop(L) - 1);
    const int given = results < 0 ? 1 : results;
    lua_pushboolean(L, results >= 0);
    lua_insert(L, -given - 1);
    return given + 1;
}

static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    const int results = run(L, co, lua_gettop(L));
    if (results >= 0) return results;
    if (lua_type(L, -1) == LUA_TSTRING) { /* tell where it was called, too */
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int coroutine_wrap(lua_State *L)
{
    (void)coroutine_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

void svi_script_lib_coroutine(lua_State *L)
{
    static const char *const safe[] = {"isyieldable", "running", "status", "yield", NULL};
    static const luaL_Reg own[] = {{"create", coroutine_create},
                                   {"resume", coroutine_resume},
                                   {"wrap", coroutine_wrap},
                                   {NULL, NULL}};
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    (void)lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &own_key);
    svi_script_lib_pick(L, luaopen_coroutine, safe);
    luaL_setfuncs(L, own, 0);
}
