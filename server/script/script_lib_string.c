/* The string functions that Lua's own library does without a bound: patterns, repetition, formats.
 * The rest is Lua's. */
#include <lualib.h>

#include "base/base_assert.h"
#include "script/script_lib_impl.h"
#include "script/script_pattern.h"

/* Where a position of Lua (from 1, from the end if negative) lies: 0 is the first byte. May be
 * beyond the end. */
static size_t begin_of(lua_State *L, int argument, size_t n)
{
    const lua_Integer at = luaL_optinteger(L, argument, 1);
    if (at > 0) return (size_t)at - 1;
    return at == 0 || at < -(lua_Integer)n ? 0 : n - (size_t)-at;
}

static void raise_fault(lua_State *L, const svi_match *m)
{
    luaL_error(L, "%s", m->fault);
}

static void push_capture(lua_State *L, svi_match *m, unsigned i, size_t begin, size_t end)
{
    svi_capture capture;
    if (svi_match_capture(m, i, begin, end, &capture) != SV_OK) raise_fault(L, m);
    if (capture.n == SVI_CAPTURE_POSITION)
        lua_pushinteger(L, (lua_Integer)capture.at + 1);
    else
        lua_pushlstring(L, m->subject.p + capture.at, capture.n);
}

/* Pushes all captures; the whole match if there are none and it `is_wanted`. Returns how many. */
static int push_captures(lua_State *L, svi_match *m, size_t begin, size_t end, bool is_wanted)
{
    const unsigned count = m->count == 0 && is_wanted ? 1 : m->count;
    luaL_checkstack(L, (int)count, "too many captures");
    for (unsigned i = 0; i < count; i++) push_capture(L, m, i, begin, end);
    return (int)count;
}

static int push_places(lua_State *L, size_t begin, size_t end)
{
    lua_pushinteger(L, (lua_Integer)begin + 1);
    lua_pushinteger(L, (lua_Integer)end);
    return 2;
}

static bool has_specials(sv_str pattern)
{
    for (size_t i = 0; i < pattern.n; i++)
        if (pattern.p[i] != '\0' && strchr("^$*+?.([%-", pattern.p[i])) return true;
    return false;
}

static int find_plain(lua_State *L, sv_str subject, sv_str wanted, size_t from)
{
    const char *at = wanted.n == 0 ? subject.p + from
                                   : memmem(subject.p + from, subject.n - from, wanted.p, wanted.n);
    if (at == NULL) {
        lua_pushnil(L);
        return 1;
    }
    const size_t begin = (size_t)(at - subject.p);
    return push_places(L, begin, begin + wanted.n);
}

static int find_or_match(lua_State *L, bool is_find)
{
    const sv_str subject = svi_script_text(L, 1);
    sv_str pattern = svi_script_text(L, 2);
    const size_t from = begin_of(L, 3, subject.n);
    if (from > subject.n) {
        lua_pushnil(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || !has_specials(pattern)))
        return find_plain(L, subject, pattern, from);
    const bool is_anchored = pattern.n > 0 && *pattern.p == '^';
    if (is_anchored) pattern = (sv_str){pattern.p + 1, pattern.n - 1};
    svi_match m;
    svi_match_init(&m, subject, pattern, SVI_PATTERN_STEPS);
    size_t begin = from, end;
    const sv_status status =
        is_anchored ? svi_match_at(&m, from, &end) : svi_match_find(&m, from, &begin, &end);
    if (m.fault != NULL) raise_fault(L, &m);
    if (status != SV_OK) {
        lua_pushnil(L);
        return 1;
    }
    const int places = is_find ? push_places(L, begin, end) : 0;
    return places + push_captures(L, &m, begin, end, !is_find);
}

static int string_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, where to go on, where the last match ended (from 1; 0: none yet). */
static int gmatch_next(lua_State *L)
{
    sv_str subject, pattern;
    subject.p = lua_tolstring(L, lua_upvalueindex(1), &subject.n);
    pattern.p = lua_tolstring(L, lua_upvalueindex(2), &pattern.n);
    const size_t last = (size_t)lua_tointeger(L, lua_upvalueindex(4));
    svi_match m;
    svi_match_init(&m, subject, pattern, SVI_PATTERN_STEPS);
    for (size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(3)); at <= subject.n; at++) {
        size_t end;
        const sv_status status = svi_match_at(&m, at, &end);
        if (m.fault != NULL) raise_fault(L, &m);
        if (status != SV_OK || end + 1 == last) continue;
        lua_pushinteger(L, (lua_Integer)end);
        lua_replace(L, lua_upvalueindex(3));
        lua_pushinteger(L, (lua_Integer)end + 1);
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &m, at, end, true);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    const sv_str subject = svi_script_text(L, 1);
    (void)svi_script_text(L, 2);
    const size_t from = begin_of(L, 3, subject.n);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(from > subject.n ? subject.n + 1 : from));
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* One gsub: what is being replaced, and by what (argument 3). */
typedef struct replacement {
    svi_match m;
    luaL_Buffer out;
    size_t begin, end; /* of the match */
} replacement;

/* Appends the text of argument 3, with captures for "%1". */
static void add_text(lua_State *L, replacement *r)
{
    sv_str with;
    with.p = lua_tolstring(L, 3, &with.n);
    for (size_t i = 0; i < with.n; i++) {
        if (with.p[i] != '%') {
            luaL_addchar(&r->out, with.p[i]);
            continue;
        }
        r->m.steps_left--; /* it may add nothing, so the quota of memory does not bound how often */
        const char c = ++i < with.n ? with.p[i] : '\0';
        if (c == '%') {
            luaL_addchar(&r->out, '%');
        } else if (c == '0') {
            luaL_addlstring(&r->out, r->m.subject.p + r->begin, r->end - r->begin);
        } else if (c >= '1' && c <= '9') {
            push_capture(L, &r->m, (unsigned)(c - '1'), r->begin, r->end);
            luaL_addvalue(&r->out);
        } else
            luaL_error(L, "replacement has a '%%' without a digit or '%%' behind it");
    }
}

/* Asks the table or function of argument 3. False if the match stays as it is. */
static bool add_answer(lua_State *L, replacement *r, int type)
{
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, &r->m, r->begin, r->end, true), 1);
    } else {
        push_capture(L, &r->m, 0, r->begin, r->end);
        (void)lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(&r->out, r->m.subject.p + r->begin, r->end - r->begin);
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "replacement is a %s: it must be a text, a number or false",
                   luaL_typename(L, -1));
    luaL_addvalue(&r->out);
    return true;
}

/* Replaces the match; true if it changed. */
static bool replace(lua_State *L, replacement *r, int type)
{
    svi_script_poll(L);
    if (type == LUA_TFUNCTION || type == LUA_TTABLE) return add_answer(L, r, type);
    add_text(L, r);
    return true;
}

static int string_gsub(lua_State *L)
{
    const sv_str subject = svi_script_text(L, 1);
    sv_str pattern = svi_script_text(L, 2);
    const int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    const lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)subject.n + 1);
    const bool is_anchored = pattern.n > 0 && *pattern.p == '^';
    if (is_anchored) pattern = (sv_str){pattern.p + 1, pattern.n - 1};
    replacement r;
    svi_match_init(&r.m, subject, pattern, SVI_PATTERN_STEPS);
    luaL_buffinit(L, &r.out);
    lua_Integer count = 0;
    bool has_changed = false;
    size_t at = 0, last = SIZE_MAX;
    while (count < most) {
        r.begin = at;
        const sv_status status = svi_match_at(&r.m, at, &r.end);
        if (r.m.fault != NULL) raise_fault(L, &r.m);
        if (status == SV_OK && r.end != last) {
            count++;
            has_changed |= replace(L, &r, type);
            at = last = r.end;
        } else if (at < subject.n)
            luaL_addchar(&r.out, subject.p[at++]);
        else
            break;
        if (is_anchored) break;
    }
    if (has_changed) {
        luaL_addlstring(&r.out, subject.p + at, subject.n - at);
        luaL_pushresult(&r.out);
    } else
        lua_pushvalue(L, 1);
    lua_pushinteger(L, count);
    return 2;
}

/* Doubles what is there: n copies cost as many bytes, not as many rounds, and copies of nothing cost
 * none. */
static int string_rep(lua_State *L)
{
    const sv_str text = svi_script_text(L, 1);
    const lua_Integer n = luaL_checkinteger(L, 2);
    size_t gap_bytes;
    const char *gap = luaL_optlstring(L, 3, "", &gap_bytes);
    const size_t unit = text.n + gap_bytes;
    if (n <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (unit > (size_t)PTRDIFF_MAX / (size_t)n) return luaL_error(L, "resulting string too large");
    const size_t total = unit * (size_t)n - gap_bytes;
    luaL_Buffer out;
    char *to = svi_script_buffer(L, &out, total); /* here the quota of the state says no */
    memcpy(to, text.p, text.n);
    if (n > 1) memcpy(to + text.n, gap, gap_bytes);
    for (size_t have = n > 1 ? unit : total; have < total;) {
        const size_t more = have < total - have ? have : total - have;
        memcpy(to + have, to, more);
        have += more;
    }
    luaL_pushresultsize(&out, total);
    return 1;
}

/* What may stand in a conversion: its letter, flags, and whether a precision. */
typedef struct conversion {
    const char *letters, *flags;
    bool has_precision;
} conversion;

static const conversion *conversion_of(char letter)
{
    static const conversion all[] = {{"c", "-", false},    {"di", "-+0 ", true},
                                     {"u", "-0", true},    {"aAeEfgG", "-+#0 ", true},
                                     {"oxX", "-#0", true}, {"s", "-", true}};
    for (size_t i = 0; letter != '\0' && i < sizeof all / sizeof *all; i++)
        if (strchr(all[i].letters, letter)) return &all[i];
    return NULL;
}

/* The form of "-8.3" between '%' and the letter. */
static bool is_well_formed(sv_str spec, const conversion *how)
{
    size_t i = 0;
    while (i < spec.n && spec.p[i] != '\0' && strchr(how->flags, spec.p[i])) i++;
    if (i >= 6 || (i < spec.n && spec.p[i] == '0')) return false;
    for (size_t digits = 0; digits < 2 && i < spec.n && spec.p[i] >= '0' && spec.p[i] <= '9';
         digits++)
        i++;
    if (i < spec.n && spec.p[i] == '.' && how->has_precision) {
        i++;
        for (size_t digits = 0; digits < 2 && i < spec.n && spec.p[i] >= '0' && spec.p[i] <= '9';
             digits++)
            i++;
    }
    return i == spec.n;
}

/* Checks the argument that the conversion takes, so that Lua's function, which is called by ours,
 * finds nothing to complain of. Values without a text of their own get ours, which tells no
 * address. */
static void prepare(lua_State *L, int argument, sv_str spec, char letter)
{
    switch (letter) {
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G': (void)luaL_checknumber(L, argument); break;
    case 's': {
        const sv_str text = svi_script_tostring(L, argument);
        luaL_argcheck(L, spec.n == 0 || text.n == 0 || !memchr(text.p, '\0', text.n), argument,
                      "string contains zeros");
        lua_replace(L, argument);
        break;
    }
    default: (void)luaL_checkinteger(L, argument);
    }
}

static void prepare_quoted(lua_State *L, int argument, sv_str spec)
{
    if (spec.n > 0) luaL_error(L, "the conversion '%%q' takes no width, precision or flags");
    const int type = lua_type(L, argument);
    luaL_argcheck(
        L, type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN || type == LUA_TNIL,
        argument, "value has no literal form");
}

/* Checks one conversion, from behind its '%' on. Returns where the format goes on. */
static size_t check_conversion(lua_State *L, sv_str format, size_t at, int argument)
{
    const size_t begin = at;
    while (at < format.n && format.p[at] != '\0' && strchr("-+#0 .123456789", format.p[at])) at++;
    const sv_str spec = {format.p + begin, at - begin};
    const char letter = at < format.n ? format.p[at] : '\0';
    if (letter == 'p')
        luaL_error(L, "the conversion '%%p' is not there: it tells addresses of memory");
    const conversion *how = conversion_of(letter);
    if (letter != 'q' && (how == NULL || !is_well_formed(spec, how)))
        luaL_error(L, "string.format knows no conversion '%%%s'",
                   lua_pushlstring(L, spec.p, spec.n < 20 ? spec.n + (at < format.n) : 20));
    luaL_argcheck(L, !lua_isnone(L, argument), argument, "no value");
    if (letter == 'q')
        prepare_quoted(L, argument, spec);
    else
        prepare(L, argument, spec, letter);
    return at + 1;
}

/* Upvalue: Lua's string.format. */
static int string_format(lua_State *L)
{
    const int top = lua_gettop(L);
    int argument = 1;
    const sv_str format = svi_script_text(L, 1);
    if (top > SVI_SCRIPT_FORMAT_VALUES)
        return luaL_error(L, "string.format takes at most %d values", SVI_SCRIPT_FORMAT_VALUES);
    for (size_t i = 0; i < format.n;) {
        if (format.p[i++] != '%') continue;
        if (i < format.n && format.p[i] == '%')
            i++;
        else {
            i = check_conversion(L, format, i, ++argument);
            SV_ASSERT(lua_gettop(L) == top);
        }
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, 1);
    return 1;
}

/* Methods of texts are those of the safe table. Its metatable is out of reach, so that a text never
 * becomes callable. */
static void set_methods(lua_State *L)
{
    lua_pushliteral(L, "");
    const int has = lua_getmetatable(L, -1);
    SV_ASSERT(has);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void svi_script_lib_string(lua_State *L)
{
    static const char *const safe[] = {"byte",    "char", "format", "len", "lower",
                                       "reverse", "sub",  "upper",  NULL};
    static const luaL_Reg own[] = {{"find", string_find},     {"match", string_match},
                                   {"gmatch", string_gmatch}, {"gsub", string_gsub},
                                   {"rep", string_rep},       {NULL, NULL}};
    svi_script_lib_pick(L, luaopen_string, safe);
    luaL_setfuncs(L, own, 0);
    (void)lua_getfield(L, -1, "format");
    lua_pushcclosure(L, string_format, 1);
    lua_setfield(L, -2, "format");
    set_methods(L);
}
