/* What scripts may call: it does what Lua's does, reaches nothing outside, and none of its
 * functions outlives the hook that ends a script. Work is counted in calls and hooks, never in
 * time. */
#include "script/script_lib.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/base_testing.h"

/* What a state of these tests has beside the library; found by its allocator. */
typedef struct world {
    lua_State *L;
    size_t used_bytes, max_bytes;
    int hooked;  /* times the armed hook raised */
    int ticks;   /* calls of `tick` */
    int arm_at;  /* the tick that arms the hook, as the watch's signal does; 0: none */
    int entered; /* coroutines inside each other */
    int deepest;
    bool is_over;
} world;

static world *world_of(lua_State *L)
{
    void *w;
    (void)lua_getallocf(L, &w);
    return w;
}

static void *quota_alloc(void *ud, void *old, size_t old_bytes, size_t new_bytes)
{
    world *w = ud;
    if (old == NULL) old_bytes = 0;
    if (new_bytes > old_bytes && w->used_bytes + (new_bytes - old_bytes) > w->max_bytes)
        return NULL;
    w->used_bytes = w->used_bytes - old_bytes + new_bytes;
    if (new_bytes > 0) return realloc(old, new_bytes);
    free(old);
    return NULL;
}

static void over(lua_State *L, lua_Debug *ar)
{
    world_of(L)->hooked++;
    (void)lua_getinfo(L, "Sl", ar);
    lua_pushfstring(L, "%s:%d: it is over", ar->short_src, ar->currentline);
    (void)lua_error(L);
}

static void arm(lua_State *L)
{
    world_of(L)->is_over = true;
    lua_sethook(L, over, LUA_MASKCOUNT, 1);
}

/* Arms the hook of the coroutine that runs. */
static int script_arm(lua_State *L)
{
    arm(L);
    return 0;
}

/* Counts; returns its last argument. */
static int script_tick(lua_State *L)
{
    world *w = world_of(L);
    if (++w->ticks == w->arm_at) arm(L);
    return lua_gettop(L) > 0;
}

/* As tick, for comparisons: always true. */
static int script_tick_true(lua_State *L)
{
    (void)script_tick(L);
    lua_pushboolean(L, 1);
    return 1;
}

void svi_script_coroutine_enters(lua_State *L, lua_State *co)
{
    world *w = world_of(L);
    assert_true(L != co);
    if (++w->entered > w->deepest) w->deepest = w->entered;
}

void svi_script_coroutine_left(lua_State *L, lua_State *co)
{
    world *w = world_of(co);
    w->entered--;
    if (w->is_over) arm(L);
}

static int open_libs(lua_State *L)
{
    lua_gc(L, LUA_GCSTOP); /* as a host does that wants no finalizers meanwhile */
    svi_script_libs_open(L);
    lua_gc(L, LUA_GCRESTART);
    lua_pushglobaltable(L);
    lua_insert(L, -2);
    lua_setfield(L, -2, "sv");
    lua_register(L, "arm", script_arm);
    lua_register(L, "tick", script_tick);
    lua_register(L, "tick_true", script_tick_true);
    return 0;
}

static void begin(world *w, size_t max_bytes)
{
    *w = (world){.max_bytes = max_bytes};
    w->L = lua_newstate(quota_alloc, w);
    assert_non_null(w->L);
    lua_pushcfunction(w->L, open_libs);
    assert_int_equal(lua_pcall(w->L, 0, 0, 0), LUA_OK);
    assert_int_equal(lua_gettop(w->L), 0);
}

static void end(world *w)
{
    lua_close(w->L);
    assert_int_equal(w->used_bytes, 0);
    assert_int_equal(w->entered, 0);
}

/* What each chunk may use: a function that must fail, and with what words. */
#define PRELUDE                                                                                    \
    "local function fails(wanted, f, ...) local ok, why = pcall(f, ...) if ok then error('does "   \
    "not fail: ' .. wanted, 2) end "                                                               \
    "if not tostring(why):find(wanted, 1, true) then error(tostring(why) .. ' does not say ' .. "  \
    "wanted, 2) end end "

static int load_and_run(world *w, const char *text)
{
    const char *all[] = {PRELUDE, text};
    char *chunk = NULL;
    size_t n = strlen(all[0]) + strlen(all[1]);
    chunk = malloc(n + 1);
    assert_non_null(chunk);
    (void)snprintf(chunk, n + 1, "%s%s", all[0], all[1]);
    if (luaL_loadbuffer(w->L, chunk, n, "@test.lua") != LUA_OK)
        fail_msg("%s", lua_tostring(w->L, -1));
    free(chunk);
    return lua_pcall(w->L, 0, 0, 0);
}

/* A chunk that must not raise. */
static void passes(const char *text)
{
    world w;
    begin(&w, 64 << 20);
    if (load_and_run(&w, text) != LUA_OK) fail_msg("%s", lua_tostring(w.L, -1));
    end(&w);
}

/* A chunk that the hook ends, which its `at`th tick arms (0: it arms the hook itself); it must not
 * go on, and the hook must not have to raise more often than `hooks`. */
static void is_ended(const char *text, int at, int hooks)
{
    world w;
    begin(&w, 64 << 20);
    w.arm_at = at;
    const int status = load_and_run(&w, text);
    if (status == LUA_OK) fail_msg("not ended: %s", text);
    const char *why = lua_tostring(w.L, -1);
    if (why == NULL || !strstr(why, "it is over"))
        fail_msg("%s: ended by %s", text, why ? why : "no text");
    if (w.hooked > hooks) fail_msg("%s: the hook raised %d times", text, w.hooked);
    if (w.ticks > at) fail_msg("%s: %d ticks, armed by %d", text, w.ticks, at);
    lua_sethook(w.L, NULL, 0, 0);
    lua_settop(w.L, 0);
    end(&w);
}

static void test_what_there_is(void **state)
{
    (void)state;
    passes("local function names(t) local out = {} for k in pairs(t) do out[#out + 1] = k end "
           "table.sort(out)\n"
           "  return table.concat(out, ' ') end\n"
           "local function is(t, wanted) if names(t) ~= wanted then error(names(t), 2) end end\n"
           "is(string, 'byte char find format gmatch gsub len lower match rep reverse sub upper')\n"
           "is(table, 'concat insert move pack remove sort unpack')\n"
           "is(coroutine, 'create isyieldable resume running status wrap yield')\n"
           "is(utf8, 'char charpattern codepoint codes len offset valid')\n"
           "is(math, 'abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min "
           "mininteger modf pi rad sin ' ..\n"
           "  'sqrt tan tointeger type ult')\n"
           "is(sv, 'base64 date hash json') is(sv.json, 'array decode encode null') is(sv.base64, "
           "'decode encode')\n"
           "is(sv.hash, 'digest equal hmac') is(sv.date, 'fields parse stamp')\n");
    world w;
    begin(&w, 1 << 20);
    static const char wanted[] = " _VERSION arm assert coroutine error getmetatable ipairs math "
                                 "next pairs pcall rawequal rawget "
                                 "rawlen rawset select setmetatable string sv table tick tick_true "
                                 "tonumber tostring type utf8 xpcall ";
    int count = 0;
    lua_pushglobaltable(w.L);
    for (lua_pushnil(w.L); lua_next(w.L, -2); lua_pop(w.L, 1), count++) {
        char name[40];
        (void)snprintf(name, sizeof name, " %s ", lua_tostring(w.L, -2));
        if (!strstr(wanted, name)) fail_msg("there is a global%s", name);
    }
    assert_int_equal(count, 27);
    lua_settop(w.L, 0);
    end(&w);
}

/* Neither by methods of texts nor by metatables. */
static void test_no_way_round(void **state)
{
    (void)state;
    passes(
        "assert(('').rep == string.rep and ('').find == string.find and ('').dump == nil and "
        "('').pack == nil)\n"
        "assert(getmetatable('') == false)\n"
        "fails('protected metatable', setmetatable, setmetatable({}, {__metatable = 1}), {})\n"
        "fails('table expected', setmetatable, 'x', {}) fails('table expected', setmetatable, {}, "
        "1)\n"
        "assert(getmetatable(sv.json.null) == false and getmetatable(sv.json.array({})) == false)\n"
        "fails('protected metatable', setmetatable, sv.json.array({}), {})\n"
        "fails('attempt to call a string', function() return ('x')('y') end)\n"
        "string.rep = nil assert(('').rep == nil)\n" /* harms itself alone */
        "local _ENV = {} fails = nil assert = nil\n");
}

static void test_texts(void **state)
{
    (void)state;
    passes(
        "assert(('').rep('', 1 << 62) == '' and string.rep('', math.maxinteger, '') == '' and "
        "string.rep('x', -1) == '')\n"
        "assert(('ab'):rep(3, ',') == 'ab,ab,ab' and ('x'):rep(1, ',') == 'x' and ('').rep('', 3, "
        "'-') == '--')\n"
        "for n = 0, 70 do local s = ('abc'):rep(n, '--') assert(#s == math.max(0, n * 5 - 2) and\n"
        "  s == table.concat(table.pack(('abc'):rep(n, ';'):gsub(';', '--')), '', 1, 1)) end\n"
        "fails('too large', string.rep, 'xxxx', (1 << 62) + 1) fails('too large', string.rep, 'xx', "
           "math.maxinteger)\n"
        "fails('memory', string.rep, 'x', 1 << 40) fails('memory', string.rep, '', 1 << 40, 'y')\n"
        "assert(('key = value'):match('^(%w+) = (%w+)$') == 'key' and ('x y'):gsub(' ', '-') == "
        "'x-y')\n"
        "fails('too many steps', string.find, ('a'):rep(5000), '.-.-.-.-b')\n"
        "assert(utf8.valid('é') and not utf8.valid('\\xc3') and not utf8.valid('\\xed\\xa0\\x80') "
        "and utf8.valid(''))\n"
        "assert(utf8.len('é') == 1 and utf8.char(233) == 'é')\n");
}

/* string.format is Lua's, behind a check: what the check lets through never fails there, so that
 * errors have their place. */
static void test_formats(void **state)
{
    (void)state;
    world w;
    begin(&w, 64 << 20);
    luaL_requiref(w.L, "string", luaopen_string, 0);
    lua_getfield(w.L, -1, "format");
    lua_setglobal(w.L, "real");
    lua_settop(w.L, 0);
    if (load_and_run(
            &w, "local seed, compared, failed = 7, 0, 0\n"
                "local function below(n) seed = seed * 6364136223846793005 + 1442695040888963407 "
                "return (seed >> 33) % n end\n"
                "local function one(s) local i = below(#s) + 1 return s:sub(i, i) end\n"
                "local values = {1, -7, 2.5, 3.0, 'text', '10', 'a\\0b', true, false, 'x'}\n"
                "for _ = 1, 20000 do\n"
                "  local f = 'a%'\n"
                "  for _ = 1, below(4) do f = f .. one('-+#0 .123456789') end\n"
                "  f = f .. one('cdiuoxXaAeEfgGsqbFyln%') .. 'z'\n"
                "  local v = values[below(#values) + 1]\n"
                "  local ok, text = pcall(string.format, f, v)\n"
                "  local ok2, text2 = pcall(real, f, v)\n"
                "  if ok ~= ok2 or (ok and text ~= text2) then error(f .. ' ' .. tostring(v) .. ': "
                "' .. tostring(text) .. ' or ' .. tostring(text2)) end\n"
                "  if ok then compared = compared + 1 else failed = failed + 1 end\n"
                "end\n"
                "assert(compared > 3000 and failed > 3000, compared)\n"
                "fails('%p', string.format, '%p', {}) fails('%p', string.format, '%10p', 1) "
                "fails('no value', string.format, '%d')\n"
                "fails('test.lua:', function() string.format('%y', 1) end) fails('literal', "
                "string.format, '%q', {})\n"
                "fails('at most 250', string.format, ('%d'):rep(300), table.unpack({}, 1, 300))\n"
                "assert(string.format('%s %s %5s', {}, print, nil) == 'table nil   nil')\n"
                "assert(string.format('%s', setmetatable({}, {__tostring = function() return "
                "'mine' end})) == 'mine')\n") != LUA_OK)
        fail_msg("%s", lua_tostring(w.L, -1));
    end(&w);
}

static void test_no_addresses(void **state)
{
    (void)state;
    passes("local co = coroutine.create(function() end)\n"
           "for _, v in pairs {{}, tostring, co, function() end, sv.json.null, setmetatable({}, "
           "{__name = 'thing'}), setmetatable({}, {__name = 7})} do\n"
           "  for _, s in pairs {tostring(v), string.format('%s', v), string.format('%20s', v), "
           "select(2, pcall(error, tostring(v)))} do\n"
           "    assert(not s:find('0x') and not s:find('%d'), s)\n"
           "  end\n"
           "end\n"
           "assert(tostring({}) == 'table' and tostring(co) == 'thread' and "
           "tostring(setmetatable({}, {__name = 'thing'})) == 'thing')\n"
           "assert(tostring(1) == '1' and tostring(1.0) == '1.0' and tostring(nil) == 'nil' and "
           "tostring(true) == 'true')\n"
           "fails('must return a string', tostring, setmetatable({}, {__tostring = function() "
           "return {} end}))\n"
           "fails('value expected', tostring)\n");
}

static void test_caught_errors(void **state)
{
    (void)state;
    passes(
        "assert(select('#', xpcall(function(...) return ... end, print or error, 1, nil, 3)) == "
        "4)\n"
        "local ok, v = xpcall(error, function(e) return e .. '!' end, 'x') assert(not ok and v == "
        "'x!')\n"
        "local t = {} local ok, v = xpcall(error, function(e) assert(e == t) return 1, 2 end, t) "
        "assert(not ok and v == 1)\n"
        "local ok, v = xpcall(error, function(e) error('twice', 0) end, 'x') assert(not ok and v "
        "== 'twice')\n"
        "fails('function expected', xpcall, function() end, 1)\n"
        "local co = coroutine.wrap(function() return xpcall(function(...) "
        "error(coroutine.yield(...)) end,\n"
        "  function(e) return e .. coroutine.yield('in handler') end, 'a') end)\n"
        "assert(co() == 'a' and co('b') == 'in handler') local ok, v = co('c') assert(not ok and "
        "v:find('bc$'))\n"
        "local ok, v = pcall(function() string.rep() end) assert(not ok and v:find('to .rep.'))\n"
        "local function deep() return 1 + deep() end\n"
        "local ok, v = xpcall(deep, function(e) return e end) assert(not ok and (v:find('stack "
        "overflow') or v:find('memory')))\n"
        "local ok, v = xpcall(string.rep, function() return 'handled' end, 'x', 1 << 40) "
        "assert(not ok and v:find('memory'))\n");
}

/* Endless in Lua: whatever catches the error, the next instruction has it again. */
static void test_endless(void **state)
{
    (void)state;
    is_ended("arm() while true do end", 0, 2);
    is_ended("while true do pcall(function() arm() while true do end end) end", 0, 4);
    is_ended("xpcall(function() arm() while true do end end, function() while true do end end) "
             "while true do end",
             0, 4);
    is_ended("xpcall(function() error('x') end, function() arm() while true do end end) while true "
             "do end",
             0, 4);
    is_ended("local function f() xpcall(f, f) end arm() f() while true do end", 0, 500);
    is_ended("coroutine.wrap(function() arm() while true do end end)()", 0, 4);
    is_ended("while true do coroutine.resume(coroutine.create(function() arm() while true do end "
             "end)) end",
             0, 6);
    is_ended("while true do pcall(coroutine.wrap(function() pcall(function() arm() while true do "
             "end end) while true do end end)) end",
             0, 8);
    is_ended("local t = setmetatable({}, {__tostring = function() while true do end end}) arm() "
             "while true do tostring(t) end",
             0, 4);
    is_ended("local t = setmetatable({}, {__tostring = tostring})\n"
             "pcall(tostring, t) arm() while true do pcall(tostring, t) end",
             0, 4);
}

/* Endless in C, with what Lua would call or catch inside: each loop of ours looks at the hook. */
static void test_endless_in_c(void **state)
{
    (void)state;
    /* comparisons, replacements and elements that are functions of C, in which no instruction
     * counts */
    is_ended("local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, tick)", 20, 1);
    is_ended("local t = {} for i = 1, 1000 do t[i] = setmetatable({}, {__lt = tick_true}) end "
             "table.sort(t)",
             20, 1);
    is_ended("(('a'):rep(100000)):gsub('a', tick)", 20, 1);
    is_ended("(('a'):rep(100000)):gsub('a', setmetatable({}, {__index = tick}))", 20, 1);
    is_ended("table.concat(setmetatable({}, {__index = function(t, i) tick() return i end, __len = "
             "function() return 1000000 end}))",
             20, 1);
    is_ended("table.unpack(setmetatable({}, {__index = tick}), 1, 200000)", 20, 1);
    is_ended("table.move(setmetatable({}, {__index = tick}), 1, 1000000, 1, {})", 20, 1);
    is_ended("table.move({}, 1, 1000000, 1, setmetatable({}, {__newindex = tick}))", 20, 1);
    is_ended("table.insert(setmetatable({}, {__len = function() return 500000 end, __newindex = "
             "tick}), 1, 'x')",
             20, 1);
    is_ended(
        "table.remove(setmetatable({}, {__len = function() return 500000 end, __index = tick}), 1)",
        20, 1);
    /* pcall as the function that is called, which catches what the hook raises in Lua */
    is_ended("local f = function() tick() while true do end end\n"
             "local mt = {__call = f} local t = {} for i = 1, 1000 do t[i] = setmetatable({}, mt) "
             "end table.sort(t, pcall)",
             1, 3);
    is_ended("local mt = {__lt = pcall, __call = function() tick() while true do end end}\n"
             "local t = {} for i = 1, 1000 do t[i] = setmetatable({}, mt) end table.sort(t)",
             1, 3);
    is_ended("sv.json.encode({1, 2, 3}) arm() sv.json.encode({1, 2, 3})", 0, 1);
    is_ended(
        "local big = {} for i = 1, 1000 do big[i] = 1 end pcall(arm) pcall(sv.json.encode, big)", 0,
        3);
}

/* Without any hook at all: the bounds of each function. */
static void test_bounds(void **state)
{
    (void)state;
    passes(
        "fails('at most 1000000', table.move, {}, 1, 1000001, 2)\n"
        "local liar = setmetatable({}, {__len = function() return 1 << 62 end, __index = "
        "tick_true, __newindex = tick_true})\n"
        "fails('at most 1000000', table.insert, liar, 1, 'x') fails('at most 1000000', "
        "table.remove, liar, 1)\n"
        "fails('at most 1000000', table.concat, liar) fails('at most 1000000', table.sort, liar)\n"
        "fails('at most 1000000', table.unpack, liar) fails('at most 1000000', table.move, liar, "
        "1, #liar, 1, {})\n"
        "fails('at most 1000000', table.unpack, {}, 1, 1 << 40)\n"
        "fails('at most 1000000', table.concat, {}, '', -(1 << 62), 1 << 62)\n"
        "fails('at most 1000000', table.move, {}, math.mininteger, math.maxinteger, 1)\n"
        "fails('wrap around', table.move, {}, 1, 10, math.maxinteger)\n"
        "assert(#table.move({}, 1, 1000000, 1) == 0)\n"
        "fails('integer', table.insert, setmetatable({}, {__len = function() return 'x' end}), "
        "1)\n");
    world w;
    begin(&w, 1 << 20);
    assert_int_equal(load_and_run(&w, "local mt = {__len = function() return 1 << 62 end, __index "
                                      "= tick, __newindex = tick}\n"
                                      "for _, f in pairs(table) do pcall(f, setmetatable({}, mt)) "
                                      "pcall(f, setmetatable({}, mt), 1)\n"
                                      "  pcall(f, setmetatable({}, mt), 1, 1 << 61, 1 << 60) end"),
                     LUA_OK);
    assert_in_range(w.ticks, 1, 10); /* an element or two, never the range */
    end(&w);
}

static void test_tables(void **state)
{
    (void)state;
    passes(
        "local t = {} table.insert(t, 'b') table.insert(t, 1, 'a') table.insert(t, 3, 'c') "
        "assert(table.concat(t, ',') == 'a,b,c')\n"
        "fails('out of bounds', table.insert, t, 5, 'x') fails('out of bounds', table.insert, t, "
        "0, 'x')\n"
        "fails('takes a table', table.insert, t) fails('takes a table', table.insert, t, 1, 2, 3)\n"
        "assert(table.remove(t, 1) == 'a' and table.remove(t) == 'c' and table.remove(t) == 'b' "
        "and table.remove(t) == nil)\n"
        "assert(table.remove({}, 0) == nil and table.remove({}, 1) == nil) fails('out of bounds', "
        "table.remove, {}, 2)\n"
        "fails('out of bounds', table.remove, {1, 2}, 4) assert(table.remove({1, 2}, 3) == nil) "
        "fails('out of bounds', table.remove, {1}, -1)\n"
        "assert(table.concat({1, 2.5, 'x'}, ', ') == '1, 2.5, x' and table.concat({}) == '' and "
        "table.concat({1, 2, 3}, '', 2, 3) == '23')\n"
        "assert(table.concat({1, 2}, '', 3) == '' and table.concat({[math.maxinteger] = 'e'}, ',', "
        "math.maxinteger, math.maxinteger) == 'e')\n"
        "fails('element 2 is a table', table.concat, {1, {}})\n"
        "assert(select('#', table.unpack({1, nil, 3}, 1, 3)) == 3 and select('#', table.unpack({}, "
        "2, 1)) == 0)\n"
        "local p = table.pack(1, nil) assert(p.n == 2)\n"
        "local m = table.move({1, 2, 3}, 1, 3, 2) assert(table.concat(m, ',') == '1,1,2,3')\n"
        "m = table.move({1, 2, 3}, 2, 3, 1) assert(table.concat(m, ',') == '2,3,3')\n"
        "m = table.move({1, 2, 3}, 1, 3, 3, {9, 9}) assert(table.concat(m, ',') == '9,9,1,2,3')\n"
        "local same = setmetatable({1, 2, 3}, {__eq = function() return true end}) "
        "table.move(same, 1, 3, 2, same) assert(same[4] == 3)\n"
        /* metamethods are respected */
        "local list = setmetatable({}, {__index = {add = table.insert}}) list:add('x') "
        "assert(list[1] == 'x')\n"
        "local seen = setmetatable({}, {__index = function(_, i) return i <= 3 and i * i or nil "
        "end, __len = function() return 3 end})\n"
        "assert(table.concat(seen, ',') == '1,4,9' and select(3, table.unpack(seen)) == 9)\n"
        "fails('read only', table.insert, setmetatable({}, {__newindex = function() error('read "
        "only') end}), 1)\n");
}

static void test_sorting(void **state)
{
    (void)state;
    passes("local seed = 5 local function below(n) seed = seed * 6364136223846793005 + "
           "1442695040888963407 return (seed >> 33) % n end\n"
           "for n = 0, 300 do\n"
           "  local t, sum = {}, 0 for i = 1, n do t[i] = below(n // 2 + 1) sum = sum + t[i] end\n"
           "  table.sort(t) for i = 2, n do assert(t[i - 1] <= t[i]) end\n"
           "  local count = 0 table.sort(t, function(a, b) count = count + 1 return a > b end)\n"
           "  for i = 1, n do sum = sum - t[i] assert(i == 1 or t[i - 1] >= t[i]) end assert(sum "
           "== 0 and #t == n)\n"
           "  assert(count <= n * 11)\n"
           "end\n"
           /* equal ones keep their order */
           "local t = {} for i = 1, 100 do t[i] = {key = i % 7, i = i} end table.sort(t, "
           "function(a, b) return a.key < b.key end)\n"
           "for i = 2, 100 do assert(t[i - 1].key < t[i].key or t[i - 1].i < t[i].i) end\n"
           "table.sort({}) table.sort({1}, function() error('x') end) local s = {'b', 'a', 'C'} "
           "table.sort(s) assert(s[1] == 'C' and s[3] == 'b')\n"
           "fails('invalid order function', table.sort, {1, 2, 3, 4}, function() return true end)\n"
           "fails('invalid order function', table.sort, {3, 1, 3, 2}, function(a, b) return a <= b "
           "end)\n"
           "fails('compare', table.sort, {1, 'x'}) fails('function', table.sort, {1, 2}, {}) "
           "fails('mine', table.sort, {1, 2}, function() error('mine') end)\n"
           "local half = {3, 2, 1} pcall(table.sort, half, function() error('x') end) "
           "assert(half[1] == 3 and half[3] == 1)\n"
           "local co = coroutine.wrap(function() table.sort({2, 1}, function(a, b) "
           "coroutine.yield() end) end) fails('yield', co)\n");
}

static void test_coroutines(void **state)
{
    (void)state;
    passes(
        "local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d = "
        "coroutine.yield(c, c) return d, 'end' end)\n"
        "assert(coroutine.status(co) == 'suspended' and select(2, coroutine.resume(co, 1, 2)) == "
        "3)\n"
        "local ok, x, y = coroutine.resume(co, 7) assert(ok and x == 7 and y == 7)\n"
        "local ok, x, y = coroutine.resume(co, 8) assert(ok and x == 8 and y == 'end' and "
        "coroutine.status(co) == 'dead')\n"
        "local ok, why = coroutine.resume(co) assert(not ok and why:find('dead'))\n"
        "local ok, why = coroutine.resume(coroutine.create(function() error({code = 7}) end)) "
        "assert(not ok and why.code == 7)\n"
        "local n = 0 for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end "
        "end) do n = n + i end assert(n == 6)\n"
        "local w = coroutine.wrap(function() error('oops') end) fails('oops', w) fails('dead', w)\n"
        "fails('coroutine expected', coroutine.resume, 1) fails('function expected', "
        "coroutine.wrap, 1)\n"
        "local me me = coroutine.create(function() return coroutine.resume(me) end)\n"
        "local ok, ok2, why = coroutine.resume(me) assert(ok and not ok2 and "
        "why:find('non%-suspended'), why)\n"
        "local outer outer = coroutine.create(function() return "
        "coroutine.resume(coroutine.create(function() return coroutine.resume(outer) end)) end)\n"
        "local ok, ok2, ok3, why = coroutine.resume(outer) assert(ok and ok2 and not ok3 and "
        "why:find('non%-suspended'))\n"
        "assert(coroutine.isyieldable() == false and coroutine.wrap(coroutine.isyieldable)() == "
        "true)\n"
        "local _, main = coroutine.running() assert(main == true)\n"
        "local function deep(n) local ok, why = coroutine.resume(coroutine.create(deep), n + 1) "
        "return ok and why or n end\n"
        "local reached = deep(0) assert(reached > 100 and reached < 250, reached)\n"
        "local function wrap() return coroutine.wrap(wrap)() end fails('C stack overflow', "
        "wrap)\n");
    world w;
    begin(&w, 1 << 20);
    assert_int_equal(load_and_run(&w, "coroutine.wrap(function() coroutine.wrap(function() "
                                      "pcall(coroutine.wrap(error)) end)() end)()"),
                     LUA_OK);
    assert_int_equal(w.deepest, 3);
    end(&w);
}

/* The host's own coroutine, which waits for an answer, is nothing for scripts. */
static void test_coroutines_of_the_host(void **state)
{
    (void)state;
    world w;
    begin(&w, 1 << 20);
    lua_State *co = lua_newthread(w.L);
    assert_int_equal(
        luaL_loadstring(co, "host = coroutine.running() coroutine.yield() went_on = true"), LUA_OK);
    int n;
    assert_int_equal(lua_resume(co, w.L, 0, &n), LUA_YIELD);
    if (load_and_run(
            &w,
            "fails('goes on by itself', coroutine.resume, host) assert(not went_on and "
            "coroutine.status(host) == 'suspended')\n") != LUA_OK)
        fail_msg("%s", lua_tostring(w.L, -1));
    lua_gc(w.L, LUA_GCCOLLECT);
    assert_int_equal(lua_resume(co, w.L, 0, &n), LUA_OK);
    svi_script_coroutine_mark(w.L, 1);
    assert_int_equal(load_and_run(&w, "local ok, why = coroutine.resume(host) assert(went_on and "
                                      "not ok and why:find('dead'))"),
                     LUA_OK);
    lua_settop(w.L, 0);
    end(&w);
}

static void counting(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    world_of(L)->hooked++;
}

/* Only the armed hook is called: one that counts in thousands is the state's own. */
static void test_poll(void **state)
{
    (void)state;
    world w;
    begin(&w, 1 << 20);
    svi_script_poll(w.L);
    lua_sethook(w.L, counting, LUA_MASKCOUNT, 1000);
    svi_script_poll(w.L);
    lua_sethook(w.L, counting, LUA_MASKLINE, 1);
    svi_script_poll(w.L);
    lua_sethook(w.L, counting, LUA_MASKCOUNT, 1);
    svi_script_poll(w.L); /* outside any function there is nothing to end */
    assert_int_equal(w.hooked, 0);
    lua_sethook(w.L, NULL, 0, 0);
    /* the place that is told is the script's, not that of the function of C; a hook that returns
     * lets it go on */
    w.arm_at = 3;
    assert_int_equal(load_and_run(&w, "\n\nlocal s = ('aaaaaa'):gsub('a', tick)"), LUA_ERRRUN);
    assert_string_equal(lua_tostring(w.L, -1), "test.lua:3: it is over");
    lua_sethook(w.L, counting, LUA_MASKCOUNT, 1);
    assert_int_equal(load_and_run(&w, "assert(('aaaaaa'):gsub('a', 'b') == 'bbbbbb')"), LUA_OK);
    lua_sethook(w.L, NULL, 0, 0);
    lua_settop(w.L, 0);
    end(&w);
}

static void test_json(void **state)
{
    (void)state;
    passes(
        "local json = sv.json\n"
        "local function is(v, text, o) local s, why = json.encode(v, o) if s ~= text then "
        "error(tostring(s) .. ' ' .. tostring(why), 2) end end\n"
        "is(1, '1') is(1.0, '1.0') is(0.1, '0.1') is(1/3, '0.3333333333333333') is(-7, '-7') "
        "is('é\"\\n', '\"é\\\\\"\\\\n\"') is(true, 'true')\n"
        "is(json.null, 'null') is(nil, 'null') is({}, '{}') is(json.array({}), '[]') is({1, {2}, "
        "'x'}, '[1,[2],\"x\"]')\n"
        "is({b = 1, a = {c = json.null}}, '{\"a\":{\"c\":null},\"b\":1}') is(math.maxinteger, "
        "'9223372036854775807')\n"
        "is({a = {1}}, '{\\n  \"a\": [\\n    1\\n  ]\\n}', {pretty = true})\n"
        "local function refuses(v, why) local s, e = json.encode(v) if s ~= nil or not e:find(why, "
        "1, true) then error(tostring(e), 2) end end\n"
        "refuses(0/0, 'NaN') refuses(math.huge, 'infinite') refuses(print or type, 'no JSON') "
        "refuses({1, 2, x = 3}, 'keys 1 to n')\n"
        "refuses({[5] = 1}, 'neither') refuses({[true] = 1}, 'neither') refuses('\\xff', 'UTF-8') "
        "refuses({['\\xff'] = 1}, 'UTF-8')\n"
        "local a = {} a.a = a refuses(a, 'in themselves') refuses(('x'):rep(1024 * 1024 + 1), '1 "
        "MiB') refuses(('\\1'):rep(400000), '1 MiB')\n"
        "local d = {} for i = 1, 63 do d = {d} end assert(json.encode(d)) refuses({{d}}, '64 "
        "deep')\n"
        /* a few tables that name each other are as many values as a number has digits; they are not
         * all walked through */
        "local wide = {} for i = 1, 40 do wide = {wide, wide, wide} end refuses(wide, '65536 "
        "tables')\n"
        "wide = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} for i = 1, 6 do wide = {wide, "
        "wide, wide, wide, wide, wide, wide, wide} end refuses(wide, '1 MiB')\n"
        "local v, why = json.decode('{\"a\": [1, 2.5, true, null, \"\\\\u00e9\"], \"b\": {}}')\n"
        "assert(math.type(v.a[1]) == 'integer' and v.a[2] == 2.5 and v.a[3] == true and v.a[4] == "
        "json.null and v.a[5] == 'é' and next(v.b) == nil)\n"
        "assert(json.encode(json.decode('[[],{},[{}]]')) == '[[],{},[{}]]' and json.decode('7') == "
        "7 and json.decode('null') == json.null)\n"
        "assert(json.decode('\"a\\\\u0000b\"') == 'a\\0b' and json.encode('a\\0b') == "
        "'\"a\\\\u0000b\"')\n"
        "local function bad(s, wanted) local v, why = json.decode(s) if v ~= nil or not "
        "why:find(wanted, 1, true) then error(tostring(why), 2) end end\n"
        "bad('', 'line 1') bad('[1,', 'line 1') bad('\\n{a}', 'line 2') bad('{\"a\":1,\"a\":2}', "
        "'duplicate') bad('1 2', 'end of file') bad('\"\\xff\"', 'unable to decode')\n"
        "bad(('['):rep(65), '64 deep') bad('99999999999999999999', 'integer') bad('1e999', "
        "'overflow') bad(('x'):rep(1024 * 1024 + 1), '1 MiB')\n"
        "bad('[' .. ('[],'):rep(70000) .. '1]', '65536') assert(json.decode('\"' .. ('['):rep(100) "
        ".. '\\\\\"[\"'))\n"
        "assert(#json.decode('[' .. ('1,'):rep(500000) .. '1]') == 500001)\n"
        "local keys = {} for i = 1, 16384 do keys[i] = '\"' .. i .. '\":1' end local most = table.concat(keys, ',')\n"
        "assert(json.decode('[{\"x\":{' .. most .. '}}]')[1].x['16384'] == 1) bad('[{\"x\":{' .. most .. ',\"more\":1}}]', '16384 keys')\n"
        "assert(tostring(json.null) == 'null' and json.null ~= nil and type(json.null) == "
        "'userdata')\n"
        "local t = {} assert(json.array(t) == t and json.array(t) == t) fails('metatable', "
        "json.array, setmetatable({}, {})) fails('table', json.array, 1)\n"
        "t[1] = 'x' is(t, '[\"x\"]') t.k = 1 refuses(t, 'keys 1 to n') fails('table expected', "
        "json.encode, 1, 'pretty') fails('value expected', json.encode)\n");
}

/* What jansson holds while Lua's memory runs out is given back (the sanitizer would tell), and the
 * quota holds. */
static void test_json_without_memory(void **state)
{
    (void)state;
    world w;
    begin(&w, 4 << 20);
    assert_int_equal(
        load_and_run(
            &w, "local text = '[' .. ('{\"a\":[1,2,3]},'):rep(30000) .. '1]'\n"
                "for i = 1, 3 do fails('memory', sv.json.decode, text) end\n"
                "local t = {} for i = 1, 1000 do t[i] = 'x' end assert(#sv.json.encode(t) > 1000)"),
        LUA_OK);
    end(&w);
}

static void test_base64_and_hashes(void **state)
{
    (void)state;
    passes("local b, h = sv.base64, sv.hash\n"
           "assert(b.encode('') == '' and b.encode('foob') == 'Zm9vYg==' and b.decode('Zm9vYg==') "
           "== 'foob' and b.decode('') == '')\n"
           "for _, s in ipairs {'Zg', 'Zg=', 'Zh==', 'Zm9v ', '====', 'Z', 'Zm\\n9'} do local v, "
           "why = b.decode(s) assert(v == nil and why) end\n"
           "assert(#b.encode(('x'):rep(1024 * 1024)) == 1398104) fails('1 MiB', b.encode, "
           "('x'):rep(1024 * 1024 + 1))\n"
           "assert(b.decode(b.encode(('x'):rep(1024 * 1024))) == ('x'):rep(1024 * 1024)) fails('1 "
           "MiB', b.decode, ('x'):rep(1398108))\n"
           "assert(h.digest('sha1', 'abc') == 'a9993e364706816aba3e25717850c26c9cd0d89d')\n"
           "assert(h.digest('sha256', '') == "
           "'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')\n"
           "assert(h.digest('sha1', 'abc', 'base64') == 'qZk+NkcGgWq6PiVxeFDCbJzQ2J0=' and "
           "#h.digest('sha512', 'x', 'raw') == 64)\n"
           "assert(h.digest('blake2b', 'abc'):find('^ba80a53f981c4d0d') and h.digest('sha3-256', "
           "'abc'):find('^3a985da74fe225b2'))\n"
           "for name, n in pairs {sha384 = 48, blake2s = 32, ['sha3-512'] = 64} do "
           "assert(#h.digest(name, '', 'raw') == n) end\n"
           "assert(h.hmac('sha256', 'key', 'The quick brown fox jumps over the lazy dog') == "
           "'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8')\n"
           "assert(h.hmac('sha1', '', '') == 'fbdb1d1b18aa6c08324b7d64b71fb76370690e1d' and "
           "h.hmac('sha1', '', '', 'raw'):byte() == 0xfb)\n"
           "assert(h.equal('a', 'a') and not h.equal('a', 'b') and not h.equal('a', 'ab'))\n"
           "fails('no such hash', h.digest, 'md4', 'x') fails('invalid option', h.digest, 'sha1', "
           "'x', 'hax')\n"
           "fails('1 MiB', h.digest, 'sha1', ('x'):rep(1024 * 1024 + 1)) fails('1 MiB', h.hmac, "
           "'sha1', ('x'):rep(1024 * 1024 + 1), 'x')\n");
}

static void test_dates(void **state)
{
    (void)state;
    passes(
        "local d = sv.date\n"
        "assert(d.stamp(0) == '1970-01-01T00:00:00Z' and d.stamp(1767225600250) == "
        "'2026-01-01T00:00:00.250Z')\n"
        "assert(d.parse('1969-07-21T02:56:15Z') == d.parse('1969-07-20T21:56:15-05:00') and "
        "d.parse('1969-07-21T02:56:15Z') == -14159025000)\n"
        "assert(d.parse('2026-01-01T00:00:00.25Z') == 1767225600250 and "
        "d.parse('2026-01-01T00:00:00.0019999999Z') == 1767225600001)\n"
        "assert(d.parse('2025-12-31T24:00:00Z') == 1767225600000 and "
        "d.parse('2026-01-01T14:00:00+14:00') == 1767225600000)\n"
        "assert(d.parse('2000-02-29T00:00:00Z') == 951782400000 and "
        "d.parse('0001-01-01T00:00:00Z') == -62135596800000)\n"
        "local all = 0 for ms = -62135596800000, 253402300799999, 86400000 * 997 + 12345678 do "
        "assert(d.parse(d.stamp(ms)) == ms) all = all + 1 end\n"
        "assert(all > 3000)\n"
        "for _, s in ipairs {'', '2026', '2026-01-01', '2026-01-01T00:00:00', '20260101T00:00:00', "
        "'2026-01-01 00:00:00Z', '2026-13-01T00:00:00Z',\n"
        "  '2026-00-01T00:00:00Z', '2026-02-29T00:00:00Z', '1900-02-29T00:00:00Z', "
        "'2026-01-32T00:00:00Z', '2026-01-01T25:00:00Z', '2026-01-01T24:00:01Z',\n"
        "  '2026-01-01T24:00:00.001Z', '2026-01-01T24:00:00.0001Z', '2026-01-01T00:60:00Z', "
        "'2026-01-01T00:00:60Z', '2026-01-01T00:00:00.Z', '2026-01-01T00:00:00z',\n"
        "  '2026-01-01t00:00:00Z', '2026-01-01T00:00:00+14:01', '2026-01-01T00:00:00+1:00', "
        "'2026-01-01T00:00:00Z ', '+026-01-01T00:00:00Z',\n"
        "  '0000-01-01T00:00:00Z', '12026-01-01T00:00:00Z', '2026-01-01T00:00:00Z\\0', "
        "'-026-01-01T00:00:00Z'} do\n"
        "  local v, why = d.parse(s) if v ~= nil then error(s) end assert(why:find('XEP%-0082'))\n"
        "end\n"
        "local f = d.fields(1767225600250, 90)\n"
        "assert(f.year == 2026 and f.month == 1 and f.day == 1 and f.hour == 1 and f.minute == 30 "
        "and f.second == 0 and f.weekday == 4)\n"
        "f = d.fields(-1, -60) assert(f.year == 1969 and f.month == 12 and f.day == 31 and f.hour "
        "== 22 and f.second == 59 and f.weekday == 3)\n"
        "assert(d.fields(d.parse('2026-03-01T12:00:00Z')).weekday == 7)\n"
        "fails('14 hours', d.fields, 0, 841) fails('years 1 to 9999', d.fields, math.maxinteger) "
        "fails('years 1 to 9999', d.stamp, math.mininteger)\n"
        "fails('integer', d.stamp, 1.5) fails('string expected', d.parse)\n");
}

/* Each allocation in turn fails: opening raises, and nothing is left. */
static void test_opening_without_memory(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t max = 6000;; max += 97) {
        world w = {.max_bytes = max};
        w.L = lua_newstate(quota_alloc, &w);
        if (w.L == NULL) continue;
        lua_pushcfunction(w.L, open_libs);
        const int status = lua_pcall(w.L, 0, 0, 0);
        lua_close(w.L);
        assert_int_equal(w.used_bytes, 0);
        if (status == LUA_OK) break;
        assert_int_equal(status, LUA_ERRMEM);
        failed++;
    }
    assert_true(failed > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_there_is),
        cmocka_unit_test(test_no_way_round),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_caught_errors),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_endless_in_c),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_sorting),
        cmocka_unit_test(test_coroutines),
        cmocka_unit_test(test_coroutines_of_the_host),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_without_memory),
        cmocka_unit_test(test_base64_and_hashes),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_opening_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
