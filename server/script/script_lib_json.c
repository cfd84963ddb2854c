/* JSON for scripts, by jansson, whose memory no quota counts: so text, depth and number of tables
 * are bounded first, and what it makes is held by a value of Lua's while anything may raise. At
 * worst (tables without content) it takes some 20 MB for a call. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base_assert.h"
#include "script/script_lib_impl.h"

/* Keys of the registry: json.null; the metatable that marks arrays. */
static const char null_key = 0;
static const char array_key = 0;

#define BOX "json"

enum { KEYS_MAX = 16384 };

/* Holds a value of jansson's until it is freed, or the collector comes by. */
typedef struct box {
    json_t *value;
} box;

static int box_gc(lua_State *L)
{
    box *b = lua_touserdata(L, 1);
    json_decref(b->value);
    b->value = NULL;
    return 0;
}

static box *push_box(lua_State *L)
{
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->value = NULL;
    luaL_setmetatable(L, BOX);
    return b;
}

static void box_clear(box *b)
{
    json_decref(b->value);
    b->value = NULL;
}

/* What one text holds so far. */
typedef struct count {
    size_t bytes, tables, values;
    int precision; /* digits that the fractions need to be read again as they were */
    const char *refusal;
} count;

static json_t *refused(count *c, const char *why)
{
    if (c->refusal == NULL) c->refusal = why;
    return NULL;
}

static bool is_null(lua_State *L, int at)
{
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key);
    const bool is = lua_rawequal(L, -1, at);
    lua_pop(L, 1);
    return is;
}

static bool is_marked(lua_State *L, int t)
{
    if (!lua_getmetatable(L, t)) return false;
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    const bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is;
}

static void mark(lua_State *L, int t)
{
    t = lua_absindex(L, t);
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    (void)lua_setmetatable(L, t);
}

static json_t *number_of(lua_State *L, count *c, int at)
{
    if (lua_isinteger(L, at)) return json_integer(lua_tointeger(L, at));
    const double value = lua_tonumber(L, at);
    if (!isfinite(value)) return refused(c, "JSON has no infinite numbers and no NaN");
    char text[40];
    for (; c->precision < 17; c->precision++) {
        (void)snprintf(text, sizeof text, "%.*g", c->precision, value);
        if (strtod(text, NULL) == value) break;
    }
    return json_real(value);
}

static json_t *text_of(lua_State *L, count *c, int at)
{
    sv_str text;
    text.p = lua_tolstring(L, at, &text.n);
    c->bytes += text.n;
    if (c->bytes > SVI_SCRIPT_TEXT_MAX) return refused(c, "longer than 1 MiB");
    json_t *value = json_stringn(text.p, text.n);
    return value != NULL ? value : refused(c, "a text is not UTF-8");
}

/* The value at `at`, a table without its content yet. NULL: c->refusal says why. */
static json_t *shell_of(lua_State *L, count *c, int at)
{
    if (++c->values % 256 == 0) svi_script_poll(L);
    c->bytes += 2; /* as long as it is at least, with what parts it from the next */
    if (c->bytes > SVI_SCRIPT_TEXT_MAX) return refused(c, "longer than 1 MiB");
    switch (lua_type(L, at)) {
    case LUA_TNIL: return json_null();
    case LUA_TBOOLEAN: return json_boolean(lua_toboolean(L, at));
    case LUA_TNUMBER: return number_of(L, c, at);
    case LUA_TSTRING: return text_of(L, c, at);
    case LUA_TTABLE:
        if (++c->tables > SVI_SCRIPT_JSON_TABLES) return refused(c, "more than 65536 tables");
        return lua_rawlen(L, at) > 0 || is_marked(L, at) ? json_array() : json_object();
    default:
        return is_null(L, at)
                   ? json_null()
                   : refused(c, "a function, coroutine or object of the server is no JSON");
    }
}

static bool fill(lua_State *L, count *c, int t, json_t *to, int depth);

/* Adds what is on top (and pops it) to an array, or under `key` to an object. */
static bool add(lua_State *L, count *c, json_t *to, const char *key, size_t key_bytes, int depth)
{
    json_t *value = shell_of(L, c, lua_gettop(L));
    if (value == NULL) return false;
    const int failed = key == NULL ? json_array_append_new(to, value)
                                   : json_object_setn_new(to, key, key_bytes, value);
    if (failed != 0) return refused(c, "a key is not UTF-8") != NULL;
    if (lua_istable(L, -1) && !fill(L, c, lua_gettop(L), value, depth + 1)) return false;
    lua_pop(L, 1);
    return true;
}

static bool fill_array(lua_State *L, count *c, int t, json_t *to, int depth)
{
    const lua_Integer n = (lua_Integer)lua_rawlen(L, t);
    lua_Integer keys = 0;
    lua_pushnil(L);
    for (; lua_next(L, t); lua_pop(L, 1))
        if (++keys % 256 == 0) svi_script_poll(L);
    if (keys != n) return refused(c, "an array has keys 1 to n without gaps and no others") != NULL;
    for (lua_Integer i = 1; i <= n; i++) {
        (void)lua_rawgeti(L, t, i);
        if (!add(L, c, to, NULL, 0, depth)) return false;
    }
    return true;
}

static bool fill_object(lua_State *L, count *c, int t, json_t *to, int depth)
{
    lua_pushnil(L);
    while (lua_next(L, t)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return refused(c, "the keys of a table are neither 1 to n nor all texts") != NULL;
        size_t key_bytes;
        const char *key = lua_tolstring(L, -2, &key_bytes);
        c->bytes += key_bytes;
        if (!add(L, c, to, key, key_bytes, depth)) return false;
    }
    return true;
}

static bool fill(lua_State *L, count *c, int t, json_t *to, int depth)
{
    if (depth > SVI_SCRIPT_JSON_DEPTH)
        return refused(c, "tables lie in tables more than 64 deep, or in themselves") != NULL;
    luaL_checkstack(L, 8, "json");
    svi_script_poll(L);
    return json_is_array(to) ? fill_array(L, c, t, to, depth) : fill_object(L, c, t, to, depth);
}

static bool wants_pretty(lua_State *L, int at)
{
    if (lua_isnoneornil(L, at)) return false;
    luaL_checktype(L, at, LUA_TTABLE);
    lua_pushliteral(L, "pretty");
    (void)lua_rawget(L, at);
    const bool is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is;
}

/* json.encode(v [, {pretty = true}]): keys in order, so that equal tables give equal texts. */
static int json_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    const bool is_pretty = wants_pretty(L, 2);
    box *b = push_box(L);
    count c = {.precision = 15};
    b->value = shell_of(L, &c, 1);
    if (b->value == NULL || (lua_istable(L, 1) && !fill(L, &c, 1, b->value, 1))) {
        box_clear(b);
        return svi_script_refuse(L, c.refusal != NULL ? c.refusal : "no memory");
    }
    const size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS |
                         JSON_REAL_PRECISION((size_t)c.precision) |
                         (is_pretty ? JSON_INDENT(2) : JSON_COMPACT);
    const size_t n = json_dumpb(b->value, NULL, 0, flags);
    if (n == 0 || n > SVI_SCRIPT_TEXT_MAX) {
        box_clear(b);
        return svi_script_refuse(L, "longer than 1 MiB");
    }
    luaL_Buffer out;
    char *to = svi_script_buffer(L, &out, n);
    const size_t written = json_dumpb(b->value, to, n, flags);
    SV_ASSERT(written == n);
    luaL_pushresultsize(&out, n);
    box_clear(b);
    return 1;
}

/* Looks how deep tables lie in each other and how many there are, before any memory is taken. NULL:
 * as they may. */
static const char *survey(sv_str text)
{
    size_t depth = 0, tables = 0;
    bool in_text = false;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        if (c == '"')
            in_text = !in_text;
        else if (in_text)
            i += c == '\\';
        else if (c == '[' || c == '{') {
            if (++depth > SVI_SCRIPT_JSON_DEPTH) return "nested more than 64 deep";
            if (++tables > SVI_SCRIPT_JSON_TABLES) return "more than 65536 objects and arrays";
        } else if ((c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return NULL;
}

/* A script's table would not hold its keys: better told than raised, as who sent it may be anybody. */
static bool has_large_object(json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;
    if (json_object_size(value) > KEYS_MAX) return true;
    json_object_foreach(value, key, part)
    {
        if (has_large_object(part)) return true;
    }
    json_array_foreach(value, i, part)
    {
        if (has_large_object(part)) return true;
    }
    return false;
}

static void push(lua_State *L, json_t *value, count *c);

static void push_object(lua_State *L, json_t *object, count *c)
{
    const char *key;
    json_t *value;
    lua_createtable(L, 0, (int)json_object_size(object));
    json_object_foreach(object, key, value)
    {
        lua_pushstring(L, key); /* jansson takes no NUL in a key */
        push(L, value, c);
        lua_rawset(L, -3);
    }
}

/* An array without elements is marked, or it would be an object when it is written again. */
static void push_array(lua_State *L, const json_t *array, count *c)
{
    const size_t n = json_array_size(array);
    svi_script_push_list(L, n);
    for (size_t i = 0; i < n; i++) {
        push(L, json_array_get(array, i), c);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (n == 0) mark(L, -1);
}

static void push(lua_State *L, json_t *value, count *c)
{
    if (++c->values % 256 == 0) svi_script_poll(L);
    luaL_checkstack(L, 6, "json");
    switch (json_typeof(value)) {
    case JSON_OBJECT: push_object(L, value, c); break;
    case JSON_ARRAY: push_array(L, value, c); break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, json_is_true(value)); break;
    case JSON_NULL: (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key); break;
    }
}

/* json.decode(s): nil and the reason if it is no JSON. */
static int json_decode(lua_State *L)
{
    const sv_str text = svi_script_text(L, 1);
    if (text.n > SVI_SCRIPT_TEXT_MAX) return svi_script_refuse(L, "longer than 1 MiB");
    const char *refusal = survey(text);
    if (refusal != NULL) return svi_script_refuse(L, refusal);
    box *b = push_box(L);
    json_error_t error;
    b->value = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                          &error);
    if (b->value == NULL) {
        lua_pushnil(L);
        (void)lua_pushfstring(L, "line %d, column %d: %s", error.line, error.column, error.text);
        return 2;
    }
    if (has_large_object(b->value)) {
        box_clear(b);
        return svi_script_refuse(L, "more than 16384 keys in an object");
    }
    count c = {.values = 0};
    push(L, b->value, &c);
    box_clear(b);
    return 1;
}

/* json.array(t): marks the table, so that it is an array even while it is empty. Returns it. */
static int json_mark(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (is_marked(L, 1)) return 1;
    if (lua_getmetatable(L, 1)) return luaL_argerror(L, 1, "the table has a metatable already");
    mark(L, 1);
    return 1;
}

static int null_tostring(lua_State *L)
{
    lua_pushliteral(L, "null");
    return 1;
}

/* A metatable that scripts can neither see nor change; stays on the stack. */
static void push_metatable(lua_State *L, const char *name)
{
    lua_createtable(L, 0, 3);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void svi_script_lib_json(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", json_encode}, {"decode", json_decode}, {"array", json_mark}, {NULL, NULL}};
    (void)luaL_newmetatable(L, BOX);
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    push_metatable(L, "json.array");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
    luaL_newlib(L, functions);
    *(const void **)lua_newuserdatauv(L, sizeof(void *), 0) = NULL; /* no view (script_lib.h) */
    push_metatable(L, "json.null");
    lua_pushcfunction(L, null_tostring);
    lua_setfield(L, -2, "__tostring");
    (void)lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
    lua_setfield(L, -2, "null");
}
