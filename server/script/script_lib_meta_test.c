/* Metatables of scripts: they do what Lua's do, and nothing that a script holds is what an object has. */
#include "script/script_lib.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/base_testing.h"

typedef struct world {
    lua_State *L;
    size_t used_bytes, max_bytes;
    int ticks; /* calls of `tick` */
} world;

static void *quota_alloc(void *ud, void *old, size_t old_bytes, size_t new_bytes)
{
    world *w = ud;
    if (old == NULL) old_bytes = 0;
    if (new_bytes > old_bytes && w->used_bytes + (new_bytes - old_bytes) > w->max_bytes) return NULL;
    w->used_bytes = w->used_bytes - old_bytes + new_bytes;
    if (new_bytes > 0) return realloc(old, new_bytes);
    free(old);
    return NULL;
}

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

static int script_tick(lua_State *L)
{
    void *w;
    (void)lua_getallocf(L, &w);
    ((world *)w)->ticks++;
    return 0;
}

static int script_collect(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT);
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

static int open_libs(lua_State *L)
{
    svi_script_libs_open(L);
    lua_pushglobaltable(L);
    lua_insert(L, -2);
    lua_setfield(L, -2, "sv");
    lua_register(L, "tick", script_tick);
    lua_register(L, "collect", script_collect);
    return 0;
}

static void begin(world *w, size_t max_bytes)
{
    *w = (world){.max_bytes = max_bytes};
    w->L = lua_newstate(quota_alloc, w);
    assert_non_null(w->L);
    lua_pushcfunction(w->L, open_libs);
    assert_int_equal(lua_pcall(w->L, 0, 0, 0), LUA_OK);
}

/* Runs it; it must not raise. `fails` calls a function that must, with these words. */
static void runs(world *w, const char *text)
{
    static const char prelude[] =
        "local function fails(wanted, f, ...) local ok, why = pcall(f, ...) if ok then error('does not fail: ' .. wanted, 2) end "
        "if not tostring(why):find(wanted, 1, true) then error(tostring(why) .. ' does not say ' .. wanted, 2) end end ";
    const size_t n = strlen(prelude) + strlen(text);
    char *chunk = malloc(n + 1);
    assert_non_null(chunk);
    (void)snprintf(chunk, n + 1, "%s%s", prelude, text);
    if (luaL_loadbuffer(w->L, chunk, n, "@test.lua") != LUA_OK || lua_pcall(w->L, 0, 0, 0) != LUA_OK) fail_msg("%s", lua_tostring(w->L, -1));
    free(chunk);
}

static void end(world *w)
{
    lua_close(w->L);
    assert_int_equal(w->used_bytes, 0);
}

static void passes(const char *text)
{
    world w;
    begin(&w, 64 << 20);
    runs(&w, text);
    end(&w);
}

static void test_classes(void **state)
{
    (void)state;
    passes("local C = {} C.__index = C function C.new(n) return setmetatable({n = n}, C) end\n"
           "local a = C.new(1) function C:twice() return 2 * self.n end assert(a:twice() == 2) -- added later\n"
           "assert(getmetatable(a) == C and rawequal(getmetatable(a), C) and getmetatable(C.new(2)) == C)\n"
           "local D = setmetatable({}, {__index = C}) D.__index = D D.__tostring = function(d) return 'D' .. d.n end\n"
           "function D.new(n) local d = C.new(n) return setmetatable(d, D) end\n"
           "local d = D.new(5) assert(d:twice() == 10 and tostring(d) == 'D5' and getmetatable(d) == D)\n"
           "function D:twice() return 'no' end assert(d:twice() == 'no' and a:twice() == 2)\n"
           "assert(getmetatable(D).__index == C and getmetatable(C) == nil and getmetatable({}) == nil)\n"
           "assert(setmetatable(d, nil) == d and getmetatable(d) == nil and d.twice == nil)\n"
           "local self = {} self.__index = function(_, k) return k end setmetatable(self, self) assert(self.x == 'x' and getmetatable(self) == self)\n"
           "local later = {} local l = setmetatable({}, later) later.__index = function(_, k) return k .. '!' end later.plain = 5\n"
           "assert(l.x == 'x!' and later.plain == 5 and rawget(later, 'plain') == 5 and next(l) == nil and getmetatable(later) == nil)\n"
           "assert(setmetatable(later, {__index = {deep = 1}}) and later.deep == 1 and l.x == 'x!' and getmetatable(l) == later)\n"
           "fails('index is nil', function() local mt = {} setmetatable({}, mt) mt[nil] = 1 end)\n"
           "local co = coroutine.wrap(function() return setmetatable({}, {__index = function(_, k) return coroutine.yield(k) end}).x end)\n"
           "assert(co() == 'x' and co('y') == 'y')\n");
}

/* Each of them, and none in its place when it is taken away. */
static void test_fields(void **state)
{
    (void)state;
    passes("local mt = {} for op, f in pairs {add = function(a, b) return a + b end, sub = function(a, b) return a - b end,\n"
           "  mul = function(a, b) return a * b end, div = function(a, b) return a / b end, mod = function(a, b) return a % b end,\n"
           "  pow = function(a, b) return a ^ b end, idiv = function(a, b) return a // b end, band = function(a, b) return a & b end,\n"
           "  bor = function(a, b) return a | b end, bxor = function(a, b) return a ~ b end, shl = function(a, b) return a << b end,\n"
           "  shr = function(a, b) return a >> b end, concat = function(a, b) return a .. b end, lt = function(a, b) return a < b end,\n"
           "  le = function(a, b) return a <= b end, index = function(a, b) return a[b] end, call = function(a, b) return a(b) end} do\n"
           "  fails('attempt', f, op ~= 'index' and {} or nil, 2)\n"
           "  local got local t = setmetatable({}, {['__' .. op] = function(a, b) got = {a, b} return 7 end})\n"
           "  local is = f(t, 2) assert(is == 7 or is == true, op) assert(got[1] == t and got[2] == 2, op) end\n"
           "local t = setmetatable({}, {__unm = function() return 'unm' end, __bnot = function() return 'bnot' end, __len = function() return 9 end,\n"
           "  __eq = function() return true end, __newindex = function(t, k, v) rawset(t, k, {v}) end, __name = 'thing',\n"
           "  __pairs = function() return function(_, k) if not k then return 'one', 1 end end end})\n"
           "t.x = 1 assert(-t == 'unm' and ~t == 'bnot' and #t == 9 and t == setmetatable({}, getmetatable(t)) and t.x[1] == 1 and tostring(t) == 'thing')\n"
           "for k, v in pairs(t) do assert(k == 'one' and v == 1) end\n"
           "local mt = {__len = function() return 1 end} local a = setmetatable({}, mt) mt.__len = nil mt.__call = function() return 'called' end\n"
           "assert(a() == 'called') local b = setmetatable({}, mt) assert(#a == 0 and a() == 'called' and b() == 'called') -- those of one metatable are alike\n"
           "mt.__call = function() return 'again' end setmetatable({}, mt) assert(a() == 'again')\n");
}

static void test_protected(void **state)
{
    (void)state;
    passes("local t = setmetatable({}, {__metatable = 'mine'}) assert(getmetatable(t) == 'mine') fails('protected', setmetatable, t, {})\n"
           "fails('protected', setmetatable, t, nil) assert(getmetatable(setmetatable({}, {__metatable = false})) == false)\n"
           "assert(getmetatable('') == false and getmetatable(sv.json.null) == false and getmetatable(sv.json.array({})) == false)\n"
           "assert(getmetatable(1) == nil and getmetatable(print) == nil and getmetatable(nil) == nil)\n"
           "fails('value expected', getmetatable) fails('table expected', setmetatable, {}) fails('table expected', setmetatable, {}, 1)\n");
}

/* Neither at once nor afterwards. */
static void test_no_finalizers(void **state)
{
    (void)state;
    world w;
    begin(&w, 1 << 20);
    runs(&w, "fails('__gc', setmetatable, {}, {__gc = function() end}) fails('__gc', setmetatable, {}, {__gc = false})\n"
             "fails('__close', setmetatable, {}, {__close = function() end})\n"
             "fails('__gc', setmetatable, {}, setmetatable({__gc = 1}, {__index = function() end}))\n"
             "local mt = {} kept = setmetatable({}, mt) lost = setmetatable({}, mt) rawset(mt, '__gc', tick) rawset(mt, '__close', tick)\n"
             "fails('__gc', function() getmetatable(setmetatable({}, {})).__gc = tick end) fails('__close', function() getmetatable(setmetatable({}, {})).__close = 1 end)\n"
             "fails('non-closable', function() local x <close> = kept end)\n"
             "fails('__gc', setmetatable, {}, mt) mt.__gc = nil fails('__close', setmetatable, {}, mt) rawset(getmetatable(kept), '__gc', tick)\n"
             "lost = nil collect() kept = nil collect()\n");
    assert_int_equal(w.ticks, 0);
    lua_close(w.L);
    assert_int_equal(w.ticks, 0);
    assert_int_equal(w.used_bytes, 0);
}

/* Weak keys are not to be had, by no way; weak values are. */
static void test_weakness(void **state)
{
    (void)state;
    passes("local function kept(t) local k = {} t[k] = {k} k = nil collect() return next(t) ~= nil end\n"
           "local function has_key(t) t[{}] = 1 collect() return next(t) ~= nil end\n"
           "for _, mode in pairs {'k', 'xk', 'k\\0v'} do fails('weak keys', setmetatable, {}, {__mode = mode}) end\n"
           "local mt = {} local a = setmetatable({}, mt) fails('weak keys', function() mt.__mode = 'k' end) assert(mt.__mode == nil)\n"
           "rawset(mt, '__mode', 'k') assert(kept(a) and has_key(a))\n"
           "fails('weak keys', function() mt.__len = function() end end) assert(kept(a) and has_key(a))\n"
           "fails('weak keys', setmetatable, {}, mt) assert(kept(a) and has_key(a)) rawset(getmetatable(a), '__mode', 'k') assert(kept(a))\n"
           "mt.__mode = 'v' fails('weak keys', setmetatable, {}, {__mode = 'k'}) local b = setmetatable({}, mt) mt.__mode = 'k' assert(not kept(b))\n"
           "local v = setmetatable({}, {__mode = 'v'}) v[1] = {} v.x = 'text' collect() assert(v[1] == nil and v.x == 'text')\n"
           "local kv = setmetatable({}, {__mode = 'kv'}) assert(not kept(kv) and not has_key(kv))\n"
           "assert(setmetatable({}, {__mode = 1}) and setmetatable({}, {__mode = ''}))\n");
}

/* Copies go with their objects, metatables as they would: however they refer to each other. */
static void test_nothing_is_kept(void **state)
{
    (void)state;
    world w;
    begin(&w, 4 << 20);
    runs(&w, "local mt = {} kept = setmetatable({}, mt) collect()");
    const size_t before = w.used_bytes;
    runs(&w, "local last for i = 1, 100000 do local mt = {last = last} mt.__index = mt last = setmetatable({}, mt) if i % 10 == 0 then last = nil end end\n"
             "local weak = setmetatable({}, {__mode = 'v'}) local mt = {} mt.__index = mt weak[1] = mt weak[2] = setmetatable({}, mt) mt = nil\n"
             "collect() assert(not weak[1] and not weak[2])\n"
             "local mt = {} mt.__index = mt weak[1] = setmetatable({}, mt) collect() assert(not weak[1]) -- the object goes, the metatable stays\n"
             "mt.x = 5 weak[1] = setmetatable({}, mt) assert(weak[1].x == 5 and getmetatable(weak[1]) == mt)\n"
             "local t = setmetatable({}, {__index = {x = 1}}) collect() assert(t.x == 1 and getmetatable(t).__index.x == 1) -- held by the object alone\n");
    script_collect(w.L);
    assert_in_range(w.used_bytes, 0, before + (900 << 10)); /* the map itself */
    end(&w);
}

static void test_number_of_metatables(void **state)
{
    (void)state;
    world w;
    begin(&w, 64 << 20);
    runs(&w, "local all = {} fails('more than 12000 different metatables', function() for i = 1, 20000 do all[i] = setmetatable({}, {}) end end)\n"
             "assert(#all == 16000) fails('more than 12000', setmetatable, {}, {}) assert(setmetatable({}, getmetatable(all[1])))\n"
             "for i = 12000, 16000 do all[i] = nil end for i = 1, 50000 do assert(setmetatable({}, {})) end\n"
             "local mt = {} for i = 1, 50000 do all[i] = setmetatable({}, mt) end\n");
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_protected),
        cmocka_unit_test(test_no_finalizers),
        cmocka_unit_test(test_weakness),
        cmocka_unit_test(test_nothing_is_kept),
        cmocka_unit_test(test_number_of_metatables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
