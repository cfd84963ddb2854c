/* Base functions that differ from Lua's: no addresses, and handlers of errors that the budget
 * reaches. (Metatables: script_lib_meta.c.) */
#include "script/script_lib_impl.h"

/* The kind of a value, or the name that its metatable gives it. (Lua's function adds the
 * address.) */
static void push_kind(lua_State *L, int at)
{
    const int type = luaL_getmetafield(L, at, "__name");
    if (type == LUA_TSTRING) return;
    if (type != LUA_TNIL) lua_pop(L, 1);
    lua_pushstring(L, luaL_typename(L, at));
}

sv_str svi_script_tostring(lua_State *L, int at)
{
    sv_str text;
    at = lua_absindex(L, at);
    luaL_checkstack(L, 4, "tostring");
    if (luaL_callmeta(L, at, "__tostring")) {
        if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
    } else {
        switch (lua_type(L, at)) {
        case LUA_TNIL:
        case LUA_TBOOLEAN:
        case LUA_TNUMBER:
        case LUA_TSTRING: (void)luaL_tolstring(L, at, NULL); break;
        default: push_kind(L, at);
        }
    }
    text.p = lua_tolstring(L, -1, &text.n);
    return text;
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    (void)svi_script_tostring(L, 1);
    return 1;
}

/* The function, the handler, the error, what the handler gave: returns false and the last. */
static int after_handler(lua_State *L, int status, lua_KContext ctx)
{
    (void)status; /* if the handler failed, its error is on top */
    (void)ctx;
    lua_pushboolean(L, 0);
    lua_replace(L, 3);
    return lua_gettop(L) - 2;
}

/* The function, the handler, then the results or the error. */
static int after_call(lua_State *L, int status, lua_KContext ctx)
{
    const bool failed = status != LUA_OK && status != LUA_YIELD;
    if (failed && status != LUA_ERRMEM) {
        svi_script_poll(L);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        return after_handler(L, lua_pcallk(L, 1, LUA_MULTRET, 0, ctx, after_handler), ctx);
    }
    lua_pushboolean(L, !failed);
    lua_replace(L, 2);
    return lua_gettop(L) - 1;
}

/* Lua calls the handler where the error is raised. If that is in the hook, no hook ends the
 * handler; so here it is called behind the call, like any function. */
static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    const int arguments = lua_gettop(L) - 2;
    lua_pushvalue(L, 1);
    lua_insert(L, 3);
    return after_call(L, lua_pcallk(L, arguments, LUA_MULTRET, 0, 0, after_call), 0);
}

void svi_script_lib_base(lua_State *L)
{
    static const luaL_Reg functions[] = {{"tostring", base_tostring},
                                         {"xpcall", base_xpcall},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    svi_script_lib_meta(L);
}
