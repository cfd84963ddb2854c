/* Metatables of scripts: no object has the very table that the script gave, but a private copy of its fields, which the script never
 * gets hold of. So what must not be there can't be put into it afterwards:
 *   __gc     a finalizer would run with hooks off, inside any allocation
 *   __close  may run with hooks off, too
 *   __mode   with weak keys and strong values: if the values are each other's keys, one collection takes a time that grows with the
 *            square of their number, and no hook ends it
 * Whose copy it is stands in it; the way back is a map that holds neither (a map with weak keys only would be of that last kind
 * itself). A copy is made anew once no object has it any more, which nobody can tell.
 * The copy is brought up to date with each setmetatable. A field that is new between two of them is seen at once, as many declare a
 * metatable first and fill it then: the script's table is watched, by a metatable, if it has none. */
#include "script/script_lib_impl.h"

/* The fields that Lua and the scripts' library look for. */
static const char *const fields[] = {
    "__index", "__newindex", "__call", "__tostring", "__name", "__eq",   "__lt",   "__le",  "__concat",
    "__len",   "__unm",      "__add",  "__sub",      "__mul",  "__div",  "__mod",  "__pow", "__idiv",
    "__band",  "__bor",      "__bxor", "__shl",      "__shr",  "__bnot", "__pairs", "__mode", "__metatable"};

enum {
    FIELDS = sizeof fields / sizeof *fields,
    COPIES_MAX = 16000,      /* that the map has room for, with those that the collector has not seen yet */
    COPIES_LIVE_MAX = 12000, /* so that it is not called for each */
    /* what setmetatable holds */
    COPIES = lua_upvalueindex(1), /* the map: from the script's table to the copy */
    COUNT = lua_upvalueindex(2),  /* of its entries, at most */
    NAMES = lua_upvalueindex(3),  /* a list of the fields' names */
    WATCH = lua_upvalueindex(4)   /* the metatable of metatables */
};

/* Keys in a copy: the script's table; which fields there are, as bits. */
static const char whose_key = 0;
static const char has_key = 0;

static const char *const refused[] = {"__gc", "__close", "__mode"};

enum { REFUSED = sizeof refused / sizeof *refused, MODE = REFUSED - 1 };

/* Raises if no metatable may have the value on top as that field. The mode is read as Lua does: a text, up to its NUL. */
static void check_refused(lua_State *L, int i)
{
    const char *mode = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (i != MODE && !lua_isnil(L, -1)) luaL_error(L, "a metatable must not have '%s': scripts have no finalizers", refused[i]);
    if (i == MODE && strchr(mode, 'k') != NULL && strchr(mode, 'v') == NULL)
        luaL_error(L, "a metatable's '__mode' must not be \"k\": weak keys are for weak values (\"kv\") only");
}

static void check_table(lua_State *L, int at)
{
    for (int i = 0; i < REFUSED; i++) {
        lua_pushstring(L, refused[i]);
        (void)lua_rawget(L, at);
        check_refused(L, i);
        lua_pop(L, 1);
    }
}

/* Sets that field of the copy to the value on top, which stays, unless it has it. */
static void set_field(lua_State *L, int to, int i)
{
    (void)lua_rawgeti(L, NAMES, i + 1);
    lua_pushvalue(L, -1);
    (void)lua_rawget(L, to);
    if (lua_rawequal(L, -1, -3)) {
        lua_pop(L, 2);
        return;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, to);
}

static void note_fields(lua_State *L, int to, lua_Integer has)
{
    lua_pushinteger(L, has);
    lua_rawsetp(L, to, &has_key);
}

/* Brings a copy up to date; raises if it must not be. PERF: with every setmetatable. The copy knows which of the fields it has, so that of most, which neither has, one look is enough.
 * It knows before it has them: setting one may raise. */
static void copy_fields(lua_State *L, int from, int to)
{
    check_table(L, from);
    (void)lua_rawgetp(L, to, &has_key);
    lua_Integer had = lua_tointeger(L, -1), has = 0;
    lua_pop(L, 1);
    for (int i = 0; i < FIELDS; i++) {
        const lua_Integer bit = (lua_Integer)1 << i;
        (void)lua_rawgeti(L, NAMES, i + 1);
        if (lua_rawget(L, from) != LUA_TNIL) {
            has |= bit;
            if ((had & bit) == 0) note_fields(L, to, had |= bit);
        }
        if ((had & bit) != 0) set_field(L, to, i);
        lua_pop(L, 1);
    }
    if (has != had) note_fields(L, to, has);
}

static lua_Integer count_copies(lua_State *L)
{
    lua_Integer n = 0;
    lua_pushnil(L);
    for (; lua_next(L, COPIES); lua_pop(L, 1)) n++;
    return n;
}

/* The map of a state that bounds how many keys a table has must not be what comes to the bound. */
static void count_copy(lua_State *L)
{
    lua_Integer n = lua_tointeger(L, COUNT);
    if (n >= COPIES_MAX) {
        (void)lua_gc(L, LUA_GCCOLLECT);
        n = count_copies(L);
        if (n > COPIES_LIVE_MAX)
            luaL_error(L, "setmetatable: more than %d different metatables at a time: let objects share them", COPIES_LIVE_MAX);
    }
    lua_pushinteger(L, n + 1);
    lua_replace(L, COUNT);
}

/* Pushes the copy for the table at 2. */
static void push_copy(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, COPIES) != LUA_TNIL) return;
    lua_pop(L, 1);
    count_copy(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, 2);
    lua_rawsetp(L, -2, &whose_key);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, COPIES);
}

/* table, key, value: __newindex of a metatable that has none of its own. */
static int watched(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (int i = 0; i < REFUSED; i++)
        if (strcmp(name, refused[i]) == 0) check_refused(L, i);
    lua_rawset(L, 1);
    if (strncmp(name, "__", 2) != 0) return 0;
    lua_pushvalue(L, 1);
    if (lua_rawget(L, COPIES) != LUA_TNIL) copy_fields(L, 1, 2);
    return 0;
}

static void watch(lua_State *L)
{
    if (lua_getmetatable(L, 2)) {
        lua_pop(L, 1);
    } else {
        lua_pushvalue(L, WATCH);
        (void)lua_setmetatable(L, 2);
    }
}

static int base_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    if (lua_istable(L, 2)) {
        watch(L);
        push_copy(L);
        copy_fields(L, 2, 3);
    }
    (void)lua_setmetatable(L, 1);
    lua_settop(L, 1);
    return 1;
}

/* The script's own table; nil for what the server gave an object. */
static int base_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
    } else if (luaL_getmetafield(L, 1, "__metatable") == LUA_TNIL) {
        (void)lua_rawgetp(L, 2, &whose_key);
    }
    return 1;
}

/* Pushes what setmetatable holds. */
static void push_upvalues(lua_State *L)
{
    const int map = lua_gettop(L) + 1;
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "kv");
    lua_setfield(L, -2, "__mode");
    (void)lua_setmetatable(L, map);
    lua_pushinteger(L, 0);
    lua_createtable(L, FIELDS, 0);
    for (int i = 0; i < FIELDS; i++) {
        lua_pushstring(L, fields[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_createtable(L, 0, 1);
    for (int i = 0; i < 3; i++) lua_pushvalue(L, map + i);
    lua_pushcclosure(L, watched, 3);
    lua_setfield(L, -2, "__newindex");
}

void svi_script_lib_meta(lua_State *L)
{
    push_upvalues(L);
    lua_pushcclosure(L, base_setmetatable, 4);
    lua_setfield(L, -2, "setmetatable");
    lua_pushcfunction(L, base_getmetatable);
    lua_setfield(L, -2, "getmetatable");
}
