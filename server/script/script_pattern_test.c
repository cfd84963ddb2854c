/* Patterns: the same results as Lua's own library for thousands of generated ones, and an end to
 * hostile ones. */
#include "script/script_pattern.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/base_testing.h"
#include "script/script_lib_impl.h"

/* The library's coroutines tell the watch, which is not here. */
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

/* Runs a chunk of Lua that gets the real string functions, ours, and a number; it must not
 * raise. */
static void run(const char *text, lua_Integer number)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    assert_int_equal(luaL_loadstring(L, text), LUA_OK);
    luaopen_string(L);
    svi_script_lib_string(L);
    lua_pushinteger(L, number);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    lua_close(L);
}

/* Calls the same function of both libraries with the same arguments. Ours first: what takes it too
 * many steps might keep the other busy for hours. */
#define COMPARE                                                                                    \
    "local real, ours, rounds = ...\n"                                                             \
    "local compared, failed, limited = 0, 0, 0\n"                                                  \
    "local function show(name, args)\n"                                                            \
    "  local out = {}\n"                                                                           \
    "  for i = 1, args.n do out[i] = real.format(type(args[i]) == 'string' and '%q' or '%s', "     \
    "args[i]) end\n"                                                                               \
    "  return name .. '(' .. table.concat(out, ', ') .. ')'\n"                                     \
    "end\n"                                                                                        \
    "local function all(f, ...)\n"                                                                 \
    "  local out = {}\n"                                                                           \
    "  for a, b, c in f(...) do\n"                                                                 \
    "    out[#out + 1] = tostring(a) .. '|' .. tostring(b) .. '|' .. tostring(c)\n"                \
    "    assert(#out < 100)\n"                                                                     \
    "  end\n"                                                                                      \
    "  return table.concat(out, ';')\n"                                                            \
    "end\n"                                                                                        \
    "local function call(lib, name, args)\n"                                                       \
    "  if name == 'gmatch' then return table.pack(pcall(all, lib.gmatch, table.unpack(args, 1, "   \
    "args.n))) end\n"                                                                              \
    "  return table.pack(pcall(lib[name], table.unpack(args, 1, args.n)))\n"                       \
    "end\n"                                                                                        \
    "local function compare(name, ...)\n"                                                          \
    "  local args = table.pack(...)\n"                                                             \
    "  local b = call(ours, name, args)\n"                                                         \
    "  if not b[1] and real.find(b[2], 'steps') then limited = limited + 1 return end\n"           \
    "  local a = call(real, name, args)\n"                                                         \
    "  compared = compared + 1\n"                                                                  \
    "  if not a[1] then\n"                                                                         \
    "    failed = failed + 1\n"                                                                    \
    "    assert(not b[1], show(name, args) .. ' should raise ' .. tostring(a[2]))\n"               \
    "    return\n"                                                                                 \
    "  end\n"                                                                                      \
    "  assert(b[1], show(name, args) .. ' raises ' .. tostring(b[2]))\n"                           \
    "  assert(a.n == b.n, show(name, args) .. ' gives ' .. b.n .. ' values, not ' .. a.n)\n"       \
    "  for i = 2, a.n do\n"                                                                        \
    "    assert(a[i] == b[i] and math.type(a[i]) == math.type(b[i]),\n"                            \
    "      show(name, args) .. ' gives ' .. tostring(b[i]) .. ', not ' .. tostring(a[i]))\n"       \
    "  end\n"                                                                                      \
    "end\n"

#define GENERATE                                                                                   \
    "local seed = 20260101\n"                                                                      \
    "local function below(n)\n"                                                                    \
    "  seed = (seed * 6364136223846793005 + 1442695040888963407)\n"                                \
    "  return (seed >> 33) % n\n"                                                                  \
    "end\n"                                                                                        \
    "local function one(list) return list[below(#list) + 1] end\n"                                 \
    "local items = {'a', 'b', '1', '.', '%a', '%d', '%w', '%s', '%S', '%p', '%x', '%u', '%l', "    \
    "'%g', '%c', '%W', '%L', '%.',\n"                                                              \
    "  '%%', '[ab]', '[^a]', '[a-c]', '[%w_]', '[]]', '[^]]', '[a-]', '[%]a]', '[a%-c]', "         \
    "'[^%s-]', '[b-a]', '[1-%5]', '[%a-z]'}\n"                                                     \
    "local odd = {'(', '(', '(', ')', ')', ')', '()', '%1', '%2', '%b()', '%bab', '%b  ', "        \
    "'%f[%w]', '%f[^%w]', '%f[a]', '$',\n"                                                         \
    "  '^', '%', '[', '[^', '[a', '%f', '%f[', '%b', '%bx', '%0', '%9', '\\0', '[%', '[]', ']', "  \
    "'-', '*', '+', '?', '[\\0-b]',\n"                                                             \
    "  '%z', '%Z', '\\xff', '[\\x80-\\xff]'}\n"                                                    \
    "local ends = {'', '', '', '', '*', '+', '-', '?'}\n"                                          \
    "local bytes = {'a', 'b', 'a', 'b', 'c', '1', '5', '(', ')', ' ', '_', '\\0', '%', ']', '-', " \
    "'\\xff', '^', 'Z', '\\n'}\n"                                                                  \
    "local function pattern()\n"                                                                   \
    "  local p = below(5) == 0 and '^' or ''\n"                                                    \
    "  for _ = 1, below(7) do\n"                                                                   \
    "    p = p .. (below(3) == 0 and one(odd) or one(items) .. one(ends))\n"                       \
    "  end\n"                                                                                      \
    "  return below(12) == 0 and p .. '$' or p\n"                                                  \
    "end\n"                                                                                        \
    "local function subject()\n"                                                                   \
    "  local s = ''\n"                                                                             \
    "  for _ = 1, below(13) do s = s .. one(bytes) end\n"                                          \
    "  return s\n"                                                                                 \
    "end\n"

static void test_same_as_lua(void **state)
{
    (void)state;
    run(COMPARE GENERATE "local with = {'x', '%0', '%1', '%2', '<%0%1>', '%', '%%', '%a', '', 7, "
                         "1.5, {a = 'A', b = 1, [''] = 'e', c = false},\n"
                         "  function(...) return select('#', ...) end, function(a) return a end, "
                         "function() end, function() return {} end}\n"
                         "for _ = 1, rounds do\n"
                         "  local s, p = subject(), pattern()\n"
                         "  local from\n"
                         "  if below(3) == 0 then from = below(31) - 15 end\n"
                         "  compare('find', s, p, from)\n"
                         "  compare('match', s, p, from)\n"
                         "  compare('gmatch', s, p, from)\n"
                         "  compare('gsub', s, p, one(with))\n"
                         "  compare('gsub', s, p, one(with), below(6) - 1)\n"
                         "  compare('find', s, p, from, true)\n"
                         "end\n"
                         "assert(compared > rounds * 5 and failed > rounds // 20 and failed < "
                         "compared // 2, compared .. ' ' .. failed)\n"
                         "assert(limited < rounds // 100)\n",
        8000);
}

/* Every class for every byte, alone and in sets. */
static void test_classes(void **state)
{
    (void)state;
    run(COMPARE "for c = 0, 255 do\n"
                "  local s = real.char(c)\n"
                "  for letter in real.gmatch('acdglpsuwxACDGLPSUWXzq.%', '.') do\n"
                "    compare('find', s, '%' .. letter)\n"
                "    compare('find', s, '[%' .. letter .. ']')\n"
                "    compare('find', s, '[^%' .. letter .. 'm]')\n"
                "  end\n"
                "  compare('find', s, s)\n"
                "  compare('find', 'x' .. s .. 'x', '[' .. s .. '-' .. s .. ']')\n"
                "end\n"
                "assert(compared > 256 * 60)\n",
        0);
}

/* Where the limits of both lie. */
static void test_limits_are_the_same(void **state)
{
    (void)state;
    run(COMPARE "for _, n in ipairs {1, 31, 32, 33, 64, 199, 200, 201, 300} do\n"
                "  compare('find', real.rep('a', n), real.rep('a?', n))\n"
                "  compare('find', real.rep('a', n), real.rep('a', n))\n"
                "  compare('find', real.rep('a', n), real.rep('(a)', n))\n"
                "  compare('find', real.rep('a', n), real.rep('()', n))\n"
                "  compare('find', real.rep('a', n), real.rep('(', n) .. 'a' .. real.rep(')', n))\n"
                "  compare('gsub', real.rep('a', n), real.rep('a-', n) .. '$', 'x')\n"
                "  compare('find', real.rep('a', n), real.rep('[ab]', n))\n"
                "end\n"
                "assert(failed >= 10 and limited == 0, failed)\n",
        0);
}

static void test_arguments(void **state)
{
    (void)state;
    run(COMPARE "compare('find', 123, 2) compare('find', 'a', 1) compare('find', {}, 'a') "
                "compare('find', 'a')\n"
                "compare('match', 'hello', 'l+', -100) compare('match', 'hello', 'l+', 100) "
                "compare('find', '', '', 2)\n"
                "compare('find', 'abc', '', 4) compare('find', 'abc', '', 5) compare('find', "
                "'abc', 'c', math.mininteger)\n"
                "compare('find', 'abc', 'c', math.maxinteger) compare('gmatch', 'abc', '', 4) "
                "compare('gmatch', 'abc', '', 5)\n"
                "compare('gmatch', 'a^a', '^a') compare('gsub', 'aaa', '^a', 'b') compare('gsub', "
                "'abc', '%w', '%0%0', 2)\n"
                "compare('gsub', 'abc', '', '-') compare('gsub', 'abc', 'b', true) compare('gsub', "
                "'abc', 'b')\n"
                "compare('gsub', 'abc', '.', {a = true}) compare('gsub', 'abc', '(.)()', '%2%1') "
                "compare('gsub', 'x', '(x', 'y')\n"
                "compare('gsub', 'x', '(x', '%1') compare('match', 'x', '(x') compare('find', "
                "'a.b', '.', 2, true)\n"
                "compare('find', 'a\\0b', '\\0b', 1, true) compare('find', 'a\\0b', '\\0') "
                "compare('gsub', 1.5, '%.', ',')\n"
                "compare('find', 'a.b', 'a.b', 1, false) compare('find', 'ab', 'b', '2') "
                "compare('find', 'ab', 'b', 'x')\n"
                "assert(failed >= 6 and limited == 0)\n",
        0);
}

/* Hostile ones: subject and pattern, of which one try takes for ever. */
static void test_hostile(void **state)
{
    (void)state;
    static char many[100000], set[100002], repeated[100006];
    memset(many, 'a', sizeof many);
    memset(set, 'b', sizeof set);
    set[0] = '[';
    set[sizeof set - 1] = ']';
    memcpy(repeated, "[^", 2);
    memset(repeated + 2, 'b', 100000);
    memcpy(repeated + 100002, "b]*x", 4);
    const struct {
        sv_str subject, pattern;
    } all[] = {
        {{many, 5000}, SV_STR_INIT(".-.-.-.-.-b")},
        {{many, 5000}, SV_STR_INIT("a*a*a*a*a*b")},
        {{many, 5000}, SV_STR_INIT("(.-)%1b")},
        {{many, sizeof many}, SV_STR_INIT("a*b")},
        {{many, sizeof many}, SV_STR_INIT("%bab")},
        {{many, sizeof many}, SV_STR_INIT("[^b]-b")},
        {{many, sizeof many}, {set, sizeof set}},
        {{many, sizeof many}, {repeated, sizeof repeated}},
        {{many, 3000}, SV_STR_INIT("%w-%w-%w-%w-%f[%d]")},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        svi_match m;
        size_t begin = 0, end = 0;
        svi_match_init(&m, all[i].subject, all[i].pattern, SVI_PATTERN_STEPS);
        assert_int_equal(svi_match_find(&m, 0, &begin, &end), SV_ELIMIT);
        assert_string_equal(m.fault, "pattern takes too many steps");
        /* nothing is looked at beyond: the last step cost at most what one look at a set, or at a
         * capture, costs */
        assert_true(m.steps_left < 0 && m.steps_left >= -(int64_t)sizeof repeated);
        assert_int_equal(svi_match_at(&m, 0, &end), SV_ELIMIT);
    }
}

/* The steps are those of the whole call, whatever part of it takes them. */
static void test_steps_of_a_call(void **state)
{
    (void)state;
    run("local _, s = ...\n"
        "local a = s.rep('a', 20000)\n"
        "local function limited(f, ...)\n"
        "  local ok, why = pcall(f, ...)\n"
        "  assert(not ok and s.find(why, 'pattern takes too many steps', 1, true), tostring(why))\n"
        "end\n"
        "limited(s.find, a, 'a-b') limited(s.match, a, '.-.-x') limited(s.gsub, a, 'a-b', '')\n"
        "limited(s.gmatch(a, '.-b'))\n"
        /* each match is short; together they are not */
        "limited(s.gsub, s.rep('a', 1000000), 'a', 'b')\n"
        /* replacements that add nothing */
        "limited(s.gsub, s.rep('a', 2000), '(b?)a', s.rep('%1', 2000))\n"
        /* a call of its own each */
        "local n = 0\n"
        "for x in s.gmatch(s.rep(s.rep('a', 400) .. ' ', 40), '%a+.- ') do n = n + 1 end\n"
        "assert(n == 40)\n"
        /* plain search counts none, and is not quadratic */
        "assert(s.find(s.rep('a', 1000000) .. 'b', s.rep('a', 100000) .. 'b', 1, true) == 900001)\n"
        "assert(not s.find(s.rep('a', 1000000), s.rep('a', 500000) .. 'b'))\n",
        0);
}

/* Inputs of their exact length, so that a byte read behind them is seen; and captures one by
 * one. */
static void test_bounds(void **state)
{
    (void)state;
    static const char *const patterns[] = {"%",  "[",   "[^", "[a", "[a-", "[%", "%f", "%f[",
                                           "%b", "%ba", "a*", "(",  "()",  "%1", "a$"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const size_t n = strlen(patterns[i]);
        char *pattern = malloc(n), *subject = malloc(1);
        assert_non_null(pattern);
        assert_non_null(subject);
        memcpy(pattern, patterns[i], n);
        *subject = 'a';
        svi_match m;
        size_t begin, end;
        svi_match_init(&m, (sv_str){subject, 1}, (sv_str){pattern, n}, 100);
        const sv_status status = svi_match_find(&m, 0, &begin, &end);
        assert_true(status == SV_OK || (status == SV_EINVAL && m.fault != NULL));
        free(pattern);
        free(subject);
    }
}

static void test_captures(void **state)
{
    (void)state;
    svi_match m;
    svi_capture capture;
    size_t begin, end;
    svi_match_init(&m, SV_STR("key = value"), SV_STR("(%w+) = ()(%w*"), 1000);
    assert_int_equal(svi_match_find(&m, 0, &begin, &end), SV_OK);
    assert_int_equal(begin, 0);
    assert_int_equal(end, 11);
    assert_int_equal(svi_match_capture(&m, 0, begin, end, &capture), SV_OK);
    assert_true(capture.at == 0 && capture.n == 3);
    assert_int_equal(svi_match_capture(&m, 1, begin, end, &capture), SV_OK);
    assert_true(capture.at == 6 && capture.n == SVI_CAPTURE_POSITION);
    assert_int_equal(svi_match_capture(&m, 2, begin, end, &capture), SV_EINVAL);
    assert_string_equal(m.fault, "pattern has a '(' without its ')'");
    svi_match_init(&m, SV_STR("abc"), SV_STR("b"), 1000);
    assert_int_equal(svi_match_find(&m, 0, &begin, &end), SV_OK);
    assert_int_equal(svi_match_capture(&m, 0, begin, end, &capture), SV_OK);
    assert_true(capture.at == 1 && capture.n == 1);
    assert_int_equal(svi_match_capture(&m, 1, begin, end, &capture), SV_EINVAL);
    svi_match_init(&m, SV_STR("abc"), SV_STR("x"), 1000);
    assert_int_equal(svi_match_find(&m, 0, &begin, &end), SV_ENOTFOUND);
    assert_null(m.fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_lua),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_limits_are_the_same),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_steps_of_a_call),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
