/* Plain values between Lua and the module table: texts, numbers, words. */
#include <inttypes.h>

#include "script/script_calls.h"

sv_str svi_arg_str(lua_State *L, int index)
{
    size_t n;
    const char *p = luaL_checklstring(L, index, &n);
    if (n > SVI_TEXT_MAX) luaL_argerror(L, index, lua_pushfstring(L, "a text of more than %d bytes", SVI_TEXT_MAX));
    return (sv_str){p, n};
}

sv_str svi_arg_str_or_none(lua_State *L, int index)
{
    return lua_isnoneornil(L, index) ? SV_STR_NONE : svi_arg_str(L, index);
}

const char *svi_arg_word(lua_State *L, int index)
{
    const sv_str text = svi_arg_str(L, index);
    if (memchr(text.p, '\0', text.n) != NULL) luaL_argerror(L, index, "the text holds a zero byte");
    return text.p;
}

int64_t svi_arg_int(lua_State *L, int index, int64_t min, int64_t max)
{
    const lua_Integer i = luaL_checkinteger(L, index);
    if (i < min || i > max)
        luaL_argerror(L, index, lua_pushfstring(L, "%I is not from %I to %I", i, (lua_Integer)min, (lua_Integer)max));
    return i;
}

bool svi_arg_bool(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TBOOLEAN);
    return lua_toboolean(L, index);
}

/* All of them in one text, for a message. */
static const char *joined(lua_State *L, const char *const *words)
{
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (size_t i = 0; words[i] != NULL; i++) {
        if (i > 0) luaL_addchar(&buffer, ' ');
        luaL_addstring(&buffer, words[i]);
    }
    luaL_pushresult(&buffer);
    return lua_tostring(L, -1);
}

int svi_arg_choice(lua_State *L, int index, const char *const *words, const char *what)
{
    const sv_str text = svi_arg_str(L, index);
    for (int i = 0; words[i] != NULL; i++)
        if (sv_str_eq(text, sv_str_of(words[i]))) return i;
    luaL_argerror(L, index, lua_pushfstring(L, "\"%s\" is no %s; they are: %s", text.p, what, joined(L, words)));
    return -1;
}

const char *svi_arg_name(lua_State *L, int index, const char *more, size_t max, const char *what)
{
    const char *name = svi_arg_word(L, index);
    const size_t n = strlen(name);
    bool is_fine = n > 0 && n <= max;
    for (size_t i = 0; i < n && is_fine; i++) {
        const char c = name[i];
        is_fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || strchr(more, c) != NULL;
    }
    if (!is_fine)
        luaL_argerror(L, index, lua_pushfstring(L, "\"%s\" is no name of %s: 1 to %d of a-z 0-9 -%s%s", name, what, (int)max,
                                                more[0] != '\0' ? " " : "", more));
    return name;
}

void svi_push_str(lua_State *L, sv_str text)
{
    (void)lua_pushlstring(L, text.n > 0 ? text.p : "", text.n);
}

void svi_push_str_or_nil(lua_State *L, sv_str text)
{
    if (text.p != NULL)
        svi_push_str(L, text);
    else
        lua_pushnil(L);
}

int svi_push_status(lua_State *L, sv_status status)
{
    static const char *const words[] = {"ok",      "notfound", "exist",  "inval",  "limit",   "io",   "nospc",
                                        "timeout", "canceled", "closed", "denied", "version", "busy", "again"};
    if (status == SV_OK) {
        lua_pushboolean(L, true);
        return 1;
    }
    const size_t i = (size_t)-(int)status;
    SV_ASSERT(i < sizeof words / sizeof *words);
    lua_pushnil(L);
    (void)lua_pushstring(L, words[i]);
    return 2;
}

int svi_push_done(lua_State *L)
{
    (void)lua_pushliteral(L, "done");
    return 1;
}

bool svi_is_stanza_name(sv_str name)
{
    return sv_str_eq(name, SV_STR("message")) || sv_str_eq(name, SV_STR("presence")) || sv_str_eq(name, SV_STR("iq"));
}
