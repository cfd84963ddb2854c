/* The table functions. They respect metamethods as Lua's own do, but each element counts, and each
 * access looks whether the script's time is over: neither a length that lies nor a comparison that
 * never ends keeps a call going. */
#include <lualib.h>

#include "script/script_lib_impl.h"

/* Length by "#": what __len says. */
static lua_Integer length(lua_State *L, int t)
{
    svi_script_poll(L);
    return luaL_len(L, t);
}

/* Raises if a call would touch more than a million elements. */
static void bounded(lua_State *L, lua_Integer from, lua_Integer to, const char *function)
{
    if (to < from) return;
    const lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)from;
    if (count >= SVI_SCRIPT_ITEMS_MAX)
        luaL_error(L, "table.%s takes at most %d elements in one call", function,
                   SVI_SCRIPT_ITEMS_MAX);
}

static int get(lua_State *L, int t, lua_Integer i)
{
    svi_script_poll(L);
    return lua_geti(L, t, i);
}

/* Pops the value. */
static void set(lua_State *L, int t, lua_Integer i)
{
    svi_script_poll(L);
    lua_seti(L, t, i);
}

static int table_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t gap_bytes;
    const char *gap = luaL_optlstring(L, 2, "", &gap_bytes);
    const lua_Integer first = luaL_optinteger(L, 3, 1);
    const lua_Integer last = lua_isnoneornil(L, 4) ? length(L, 1) : luaL_checkinteger(L, 4);
    bounded(L, first, last, "concat");
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (lua_Integer n = 0; last >= first && n <= last - first; n++) {
        if (n > 0) luaL_addlstring(&out, gap, gap_bytes);
        (void)get(L, 1, first + n);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "table.concat: element %I is a %s, not a text or number",
                              (LUAI_UACINT)(first + n), luaL_typename(L, -1));
        luaL_addvalue(&out);
    }
    luaL_pushresult(&out);
    return 1;
}

static int table_insert(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const lua_Integer end = (lua_Integer)((lua_Unsigned)length(L, 1) + 1u);
    const int arguments = lua_gettop(L);
    if (arguments == 2) {
        set(L, 1, end);
        return 0;
    }
    if (arguments != 3)
        return luaL_error(L, "table.insert takes a table, perhaps a position, and a value");
    const lua_Integer at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
    bounded(L, at, end, "insert");
    for (lua_Integer i = end; i > at; i--) {
        (void)get(L, 1, i - 1);
        set(L, 1, i);
    }
    set(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const lua_Integer n = length(L, 1);
    lua_Integer at = luaL_optinteger(L, 2, n);
    /* the last one, that of an empty table too, or one in [1, n + 1] */
    luaL_argcheck(L, at == n || (lua_Unsigned)at - 1u <= (lua_Unsigned)n, 2,
                  "position out of bounds");
    if (at < n) bounded(L, at, n, "remove");
    (void)get(L, 1, at);
    for (; at < n; at++) {
        (void)get(L, 1, at + 1);
        set(L, 1, at);
    }
    lua_pushnil(L);
    set(L, 1, at);
    return 1;
}

static int table_move(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const lua_Integer from = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3),
                      to = luaL_checkinteger(L, 4);
    const int target = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, target, LUA_TTABLE);
    lua_settop(L, 5);
    bounded(L, from, last, "move");
    if (last >= from) {
        const lua_Integer n = last - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        /* where the target overlaps what is still to be read, from behind */
        const bool is_backwards =
            to > from && to <= last && (target == 1 || lua_rawequal(L, 1, target));
        for (lua_Integer k = 0; k < n; k++) {
            const lua_Integer i = is_backwards ? n - 1 - k : k;
            (void)get(L, 1, from + i);
            set(L, target, to + i);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

static int table_unpack(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const lua_Integer first = luaL_optinteger(L, 2, 1);
    const lua_Integer last = lua_isnoneornil(L, 3) ? length(L, 1) : luaL_checkinteger(L, 3);
    if (first > last) return 0;
    bounded(L, first, last, "unpack");
    const int n = (int)(last - first) + 1;
    if (!lua_checkstack(L, n + 4)) return luaL_error(L, "too many results to unpack");
    for (int i = 0; i < n; i++) (void)get(L, 1, first + i);
    return n;
}

/* Places on the stack while a table is sorted. */
enum { ORDER = 2, FROM = 3, TO = 4 };

/* Does what is at `a` come before what is at `b`? */
static bool is_before(lua_State *L, int a, int b)
{
    svi_script_poll(L);
    if (lua_isnil(L, ORDER)) return lua_compare(L, a, b, LUA_OPLT);
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    lua_pushvalue(L, ORDER);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    const bool is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is;
}

/* Merges two neighbours that are in order, [low, middle) and [middle, high) of `from`, into
 * `to`. */
static void merge(lua_State *L, int from, int to, lua_Integer low, lua_Integer middle,
                  lua_Integer high)
{
    lua_Integer a = low, b = middle;
    for (lua_Integer i = low; i < high; i++) {
        bool takes_b = a == middle;
        if (a < middle && b < high) {
            (void)lua_rawgeti(L, from, a);
            (void)lua_rawgeti(L, from, b);
            takes_b = is_before(L, -1, -2); /* equal ones keep their order */
            lua_pop(L, 2);
        }
        (void)lua_rawgeti(L, from, takes_b ? b++ : a++);
        lua_rawseti(L, to, i);
    }
}

/* Sorts `n` elements of the table at FROM with that at TO; returns where they are then. */
static int merge_all(lua_State *L, lua_Integer n)
{
    int from = FROM, to = TO;
    for (lua_Integer width = 1; width < n; width *= 2) {
        for (lua_Integer low = 1; low <= n; low += 2 * width) {
            const lua_Integer middle = low + width < n + 1 ? low + width : n + 1;
            const lua_Integer high = middle + width < n + 1 ? middle + width : n + 1;
            merge(L, from, to, low, middle, high);
        }
        const int was = from;
        from = to;
        to = was;
    }
    return from;
}

/* An order that contradicts itself is an error whenever it shows, not only when it leads the
 * sorting astray. */
static void check_order(lua_State *L, int t, lua_Integer n)
{
    for (lua_Integer i = 1; i < n; i++) {
        (void)lua_rawgeti(L, t, i);
        (void)lua_rawgeti(L, t, i + 1);
        if (is_before(L, -1, -2))
            luaL_error(L,
                       "invalid order function for sorting: it must be false for equal elements");
        lua_pop(L, 2);
    }
}

/* By merging: the fewest comparisons, which are functions of Lua, always as many, and no position
 * depends on them. */
static int table_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const lua_Integer n = length(L, 1);
    bounded(L, 1, n, "sort");
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    if (n < 2) return 0;
    lua_settop(L, ORDER);
    svi_script_push_list(L, (size_t)n);
    svi_script_push_list(L, (size_t)n);
    for (lua_Integer i = 1; i <= n; i++) {
        (void)get(L, 1, i);
        lua_rawseti(L, FROM, i);
    }
    const int sorted = merge_all(L, n);
    if (!lua_isnil(L, ORDER)) check_order(L, sorted, n);
    for (lua_Integer i = 1; i <= n; i++) {
        (void)lua_rawgeti(L, sorted, i);
        set(L, 1, i);
    }
    return 0;
}

void svi_script_lib_table(lua_State *L)
{
    static const char *const safe[] = {"pack", NULL};
    static const luaL_Reg own[] = {{"concat", table_concat},
                                   {"insert", table_insert},
                                   {"move", table_move},
                                   {"remove", table_remove},
                                   {"sort", table_sort},
                                   {"unpack", table_unpack},
                                   {NULL, NULL}};
    svi_script_lib_pick(L, luaopen_table, safe);
    luaL_setfuncs(L, own, 0);
}
