/* Puts the scripts' library together: which of Lua's own functions are safe as they are, and which
 * are ours. */
#include <lualib.h>

#include "base/base_assert.h"
#include "base/base_str.h"
#include "script/script_lib_impl.h"

/* The script's function that runs, or called what runs: for the place in the hook's message. */
static bool find_script(lua_State *L, lua_Debug *ar)
{
    for (int level = 0; lua_getstack(L, level, ar); level++) {
        (void)lua_getinfo(L, "S", ar);
        if (*ar->what != 'C') return true;
    }
    return lua_getstack(L, 0, ar) != 0;
}

void svi_script_poll(lua_State *L)
{
    if ((lua_gethookmask(L) & LUA_MASKCOUNT) == 0 || lua_gethookcount(L) != 1) return;
    const lua_Hook hook = lua_gethook(L);
    lua_Debug ar = {.event = LUA_HOOKCOUNT};
    if (hook == NULL || !find_script(L, &ar)) return;
    luaL_checkstack(L, 8, "the hook");
    ar.event = LUA_HOOKCOUNT;
    ar.currentline = -1;
    hook(L, &ar);
}

sv_str svi_script_text(lua_State *L, int i)
{
    sv_str text;
    text.p = luaL_checklstring(L, i, &text.n);
    return text;
}

sv_str svi_script_short_text(lua_State *L, int i)
{
    const sv_str text = svi_script_text(L, i);
    if (text.n > SVI_SCRIPT_TEXT_MAX) luaL_argerror(L, i, "longer than 1 MiB: give it in parts");
    return text;
}

/* Lua's buffers ask the allocator directly: what it refuses is an error at once, however much of the memory is garbage. */
static void make_room(lua_State *L, size_t bytes)
{
    void *ud;
    const lua_Alloc alloc = lua_getallocf(L, &ud);
    void *probe = alloc(ud, NULL, LUA_TUSERDATA, bytes);
    if (probe != NULL)
        (void)alloc(ud, probe, bytes, 0);
    else
        (void)lua_gc(L, LUA_GCCOLLECT);
}

char *svi_script_buffer(lua_State *L, luaL_Buffer *buffer, size_t bytes)
{
    const size_t small = (size_t)1 << 14;
    if (bytes > LUAL_BUFFERSIZE) make_room(L, bytes <= SIZE_MAX - small ? bytes + small : bytes);
    char *to = luaL_buffinitsize(L, buffer, bytes < small ? bytes : small);
    return bytes <= small ? to : luaL_prepbuffsize(buffer, bytes);
}

void svi_script_push_list(lua_State *L, size_t n)
{
    const size_t first = (size_t)1 << 14;
    lua_createtable(L, (int)(n < first ? n : first), 0);
}

int svi_script_refuse(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

void svi_script_lib_pick(lua_State *L, lua_CFunction open, const char *const *names)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (size_t i = 0; names[i] != NULL; i++) {
        const int type = lua_getfield(L, -2, names[i]);
        SV_ASSERT(type != LUA_TNIL);
        lua_setfield(L, -2, names[i]);
    }
    lua_remove(L, -2);
}

/* utf8.valid(s): well-formed by RFC 3629, as what goes into a stanza must be. */
static int utf8_valid(lua_State *L)
{
    lua_pushboolean(L, svi_utf8_valid(svi_script_text(L, 1)));
    return 1;
}

/* Lua's own functions that are safe as they are: they have no loop, or one over a text or an
 * argument list that is there. */
static void push_globals(lua_State *L)
{
    static const char *const base[] = {
        "assert", "error",  "ipairs", "next",     "pairs", "pcall",        "rawequal", "rawget",
        "rawlen", "rawset", "select", "tonumber", "type",  "_VERSION", NULL};
    static const char *const math[] = {
        "abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",        "exp",  "floor",
        "fmod", "huge", "log",  "max",  "maxinteger", "min",  "mininteger", "modf", "pi",
        "rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult",        NULL};
    static const char *const utf8[] = {"char", "charpattern", "codepoint", "codes",
                                       "len",  "offset",      NULL};
    svi_script_lib_pick(L, luaopen_base, base);
    svi_script_lib_base(L);
    svi_script_lib_pick(L, luaopen_math, math);
    lua_setfield(L, -2, "math");
    svi_script_lib_pick(L, luaopen_utf8, utf8);
    lua_pushcfunction(L, utf8_valid);
    lua_setfield(L, -2, "valid");
    lua_setfield(L, -2, "utf8");
    svi_script_lib_string(L);
    lua_setfield(L, -2, "string");
    svi_script_lib_table(L);
    lua_setfield(L, -2, "table");
    svi_script_lib_coroutine(L);
    lua_setfield(L, -2, "coroutine");
}

static void push_extra(lua_State *L)
{
    static const struct {
        const char *name;
        void (*push)(lua_State *L);
    } parts[] = {{"json", svi_script_lib_json},
                 {"base64", svi_script_lib_base64},
                 {"hash", svi_script_lib_hash},
                 {"date", svi_script_lib_date}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i].push(L);
        lua_setfield(L, -2, parts[i].name);
    }
}

void svi_script_libs_open(lua_State *L)
{
    const int top = lua_gettop(L);
    luaL_checkstack(L, 20, "the scripts' library");
    push_globals(L);
    /* Lua's own opening put all it has into the globals that were: they go */
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    push_extra(L);
    SV_ASSERT(lua_gettop(L) == top + 1);
}
