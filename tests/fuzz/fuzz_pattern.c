/* Fuzzes patterns: for small inputs the scripts' matcher must say the same as Lua's own library: where it
 * matches, what is captured, what is replaced, whether it is an error. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "script/script_lib_impl.h"
#include "script/script_pattern.h"

enum { SUBJECT_BYTES = 24, PATTERN_BYTES = 32, REPLACEMENT_BYTES = 8, STEPS = 20000 };

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_pattern.c:%d: does not hold: %s\n", __LINE__, #e);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

void svi_script_coroutine_enters(lua_State *L, lua_State *co)
{
    (void)L;
    (void)co;
}

void svi_script_coroutine_left(lua_State *L, lua_State *co)
{
    (void)L;
    (void)co;
}

/* Gets both libraries, returns a function that compares them for subject, pattern, replacement. */
static const char compare[] =
    "local real, ours = ...\n"
    "local function all(lib, s, p)\n"
    "  local out = {}\n"
    "  for a, b, c in lib.gmatch(s, p) do\n"
    "    out[#out + 1] = tostring(a) .. '|' .. tostring(b) .. '|' .. tostring(c)\n"
    "  end\n"
    "  return table.concat(out, ';')\n"
    "end\n"
    "local calls = {\n"
    "  function(lib, s, p) return lib.find(s, p) end,\n"
    "  function(lib, s, p) return lib.match(s, p, -3) end,\n"
    "  function(lib, s, p) return lib.find(s, p, 1, true) end,\n"
    "  function(lib, s, p, r) return lib.gsub(s, p, r) end,\n"
    "  function(lib, s, p) return lib.gsub(s, p, {a = 'x', [''] = '-', [1] = 2}, 3) end,\n"
    "  all,\n"
    "}\n"
    "return function(s, p, r)\n"
    "  for i, call in ipairs(calls) do\n"
    "    local a = table.pack(pcall(call, real, s, p, r))\n"
    "    local b = table.pack(pcall(call, ours, s, p, r))\n"
    "    if a[1] ~= b[1] then error(i .. ': ' .. tostring(a[2]) .. ' but ' .. tostring(b[2])) end\n"
    "    for k = 2, a[1] and math.max(a.n, b.n) or 0 do\n"
    "      if a[k] ~= b[k] then\n"
    "        error(i .. ': ' .. tostring(a[k]) .. ' but ' .. tostring(b[k]))\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n";

static lua_State *open_both(void)
{
    lua_State *L = luaL_newstate();
    MUST(L != NULL);
    luaL_openlibs(L);
    MUST(luaL_loadstring(L, compare) == LUA_OK);
    luaopen_string(L);
    svi_script_lib_string(L);
    MUST(lua_pcall(L, 2, 1, 0) == LUA_OK);
    return L;
}

/* Lua's own matcher has no end of its own, so both are asked only where ours needs few steps from every
 * place. The copies have their exact sizes, so that reading behind them is seen. */
static bool is_short(sv_str subject, sv_str pattern)
{
    char *s = malloc(subject.n ? subject.n : 1), *p = malloc(pattern.n ? pattern.n : 1);
    MUST(s != NULL && p != NULL);
    if (subject.n > 0) memcpy(s, subject.p, subject.n);
    if (pattern.n > 0) memcpy(p, pattern.p, pattern.n);
    svi_match m;
    svi_match_init(&m, (sv_str){s, subject.n}, (sv_str){p, pattern.n}, STEPS);
    sv_status status = SV_OK;
    for (size_t at = 0; at <= subject.n && m.fault == NULL; at++) {
        size_t end = 0;
        status = svi_match_at(&m, at, &end);
        MUST(status != SV_OK || (end >= at && end <= subject.n));
        for (unsigned i = 0; status == SV_OK && i < m.count && m.fault == NULL; i++) {
            svi_capture c;
            if (svi_match_capture(&m, i, at, end, &c) != SV_OK) break;
            MUST(c.n == SVI_CAPTURE_POSITION ? c.at <= subject.n : c.at + c.n <= subject.n);
        }
        if (m.steps_left >= 0) m.fault = NULL; /* another place may show more */
    }
    free(s);
    free(p);
    return m.steps_left >= 0;
}

static sv_str take(sv_str *rest, size_t most, char last)
{
    const char *found = memchr(rest->p, last, rest->n);
    size_t n = found != NULL ? (size_t)(found - rest->p) : rest->n;
    const size_t used = n < rest->n ? n + 1 : n;
    if (n > most) n = most;
    const sv_str part = {rest->p, n};
    *rest = (sv_str){rest->p + used, rest->n - used};
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    if (L == NULL) L = open_both();
    if (size == 0) return 0;
    sv_str rest = {(const char *)data, size};
    const sv_str pattern = take(&rest, PATTERN_BYTES, '\n');
    const sv_str replacement = take(&rest, REPLACEMENT_BYTES, '\n');
    const sv_str subject = {rest.p, rest.n < SUBJECT_BYTES ? rest.n : SUBJECT_BYTES};
    const bool is_anchored = pattern.n > 0 && *pattern.p == '^';
    if (!is_short(subject, pattern)) return 0;
    if (is_anchored && !is_short(subject, (sv_str){pattern.p + 1, pattern.n - 1})) return 0;
    lua_pushvalue(L, 1);
    lua_pushlstring(L, subject.p, subject.n);
    lua_pushlstring(L, pattern.p, pattern.n);
    lua_pushlstring(L, replacement.p, replacement.n);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    lua_settop(L, 1);
    return 0;
}
