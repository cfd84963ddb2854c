/* Plain values as bytes, to be copied from one state of Lua into another, perhaps on another thread. */
#include "script/script_impl.h"

enum { PACK_DEPTH_MAX = 16, PACK_BYTES_MAX = 1 << 20, PACK_VALUES_MAX = 65536, PACK_NUMBERS_MAX = 2048 };

typedef struct packing {
    svi_buf *to;
    size_t values;
    size_t numbers; /* keys that are numbers, but those small enough that few of them collide */
} packing;

/* --- into bytes -------------------------------------------------------------------------------------- */

static const char *put(lua_State *L, int at, packing *p, int depth);

static void put_raw(packing *p, char tag, const void *bytes, size_t n)
{
    svi_buf_putc(p->to, tag);
    svi_buf_put(p->to, (sv_str){bytes, n});
}

static void put_number(lua_State *L, int at, packing *p)
{
    const lua_Integer i = lua_isinteger(L, at) ? lua_tointeger(L, at) : 0;
    const lua_Number d = lua_tonumber(L, at);
    if (lua_isinteger(L, at))
        put_raw(p, 'i', &i, sizeof i);
    else
        put_raw(p, 'd', &d, sizeof d);
}

static const char *put_text(lua_State *L, int at, packing *p)
{
    size_t n;
    const char *text = lua_tolstring(L, at, &n);
    if (n > PACK_BYTES_MAX) return "they are more than 1 MiB";
    put_raw(p, 's', &n, sizeof n);
    svi_buf_put(p->to, (sv_str){text, n});
    return NULL;
}

/* Chosen numbers collide as keys, and no hook and no quota looks while a table is built from bytes. */
static const char *count_key(lua_State *L, int at, packing *p)
{
    const lua_Integer i = lua_isinteger(L, at) ? lua_tointeger(L, at) : 0;
    if (lua_type(L, at) != LUA_TNUMBER || (i >= 1 && i <= PACK_VALUES_MAX)) return NULL;
    return ++p->numbers > PACK_NUMBERS_MAX ? "keys that are numbers, but not 1 to 65536, are more than 2048: texts are as good" : NULL;
}

/* Its own pairs, whatever its metatable says. */
static const char *put_table(lua_State *L, int at, packing *p, int depth)
{
    if (depth == PACK_DEPTH_MAX) return "tables lie in each other more than 16 deep, or in themselves";
    if (!lua_checkstack(L, 4)) return "the stack of the coroutine is full";
    svi_buf_putc(p->to, '{');
    lua_pushnil(L);
    while (lua_next(L, at) != 0) {
        const int value = lua_gettop(L);
        const char *why = count_key(L, value - 1, p);
        if (why == NULL) why = put(L, value - 1, p, depth + 1);
        if (why == NULL) why = put(L, value, p, depth + 1);
        lua_pop(L, why == NULL ? 1 : 2);
        if (why != NULL) return why;
    }
    svi_buf_putc(p->to, '}');
    return NULL;
}

static const char *put(lua_State *L, int at, packing *p, int depth)
{
    const char *why = NULL;
    if (++p->values > PACK_VALUES_MAX) return "they are more than 65536 values";
    switch (lua_type(L, at)) {
    case LUA_TNIL: svi_buf_putc(p->to, 'n'); break;
    case LUA_TBOOLEAN: svi_buf_putc(p->to, lua_toboolean(L, at) ? 't' : 'f'); break;
    case LUA_TNUMBER: put_number(L, at, p); break;
    case LUA_TSTRING: why = put_text(L, at, p); break;
    case LUA_TTABLE: why = put_table(L, at, p, depth); break;
    default: return "they are nil, truths, numbers, texts, and tables of those, nothing else";
    }
    return why == NULL && svi_buf_str(p->to).n > PACK_BYTES_MAX ? "they are more than 1 MiB" : why;
}

const char *svi_pack(lua_State *L, int first, svi_buf *to)
{
    packing p = {.to = to};
    const char *why = NULL;
    for (int at = first, last = lua_gettop(L); at <= last && why == NULL; at++) why = put(L, at, &p, 0);
    return why;
}

/* --- and back ---------------------------------------------------------------------------------------- */

static void get_raw(sv_str *from, void *to, size_t n)
{
    SV_ASSERT(from->n >= n);
    memcpy(to, from->p, n);
    *from = (sv_str){from->p + n, from->n - n};
}

static char get(lua_State *L, sv_str *from);

static void get_text(lua_State *L, sv_str *from)
{
    size_t n;
    get_raw(from, &n, sizeof n);
    SV_ASSERT(from->n >= n);
    (void)lua_pushlstring(L, from->p, n);
    *from = (sv_str){from->p + n, from->n - n};
}

static void get_table(lua_State *L, sv_str *from)
{
    lua_newtable(L);
    while (get(L, from) != '}') {
        (void)get(L, from);
        lua_rawset(L, -3);
    }
}

/* Pushes one value, but nothing for the end of a table; its tag. */
static char get(lua_State *L, sv_str *from)
{
    char tag;
    lua_Integer i;
    lua_Number d;
    get_raw(from, &tag, 1);
    switch (tag) {
    case 'n': lua_pushnil(L); break;
    case 't': lua_pushboolean(L, true); break;
    case 'f': lua_pushboolean(L, false); break;
    case 'i': get_raw(from, &i, sizeof i); lua_pushinteger(L, i); break;
    case 'd': get_raw(from, &d, sizeof d); lua_pushnumber(L, d); break;
    case 's': get_text(L, from); break;
    case '{': get_table(L, from); break;
    default: SV_ASSERT(tag == '}');
    }
    return tag;
}

int svi_unpack(lua_State *L, sv_str bytes)
{
    int count = 0;
    for (; bytes.n > 0; count++) {
        const int has_room = lua_checkstack(L, 3 * PACK_DEPTH_MAX);
        SV_ASSERT(has_room);
        (void)get(L, &bytes);
    }
    return count;
}
