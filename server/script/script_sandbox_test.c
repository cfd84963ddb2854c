/* The sandbox: what it lets through, what it stops, what it says of it. */
#include "script/script_sandbox.h"

#include <lauxlib.h>

#include "base/base_testing.h"

static svi_acct acct = {.name = "test"};

static svi_sandbox *open_box(size_t max_bytes, int64_t max_steps)
{
    return svi_sandbox_new(&acct, max_bytes, max_steps);
}

/* Runs with the globals as environment. */
static sv_status run(svi_sandbox *box, sv_str text, sv_err *err)
{
    lua_pushglobaltable(svi_sandbox_lua(box));
    const sv_status status = svi_sandbox_run(box, text, "@test.lua", err);
    assert_int_equal(lua_gettop(svi_sandbox_lua(box)), 0);
    return status;
}

/* Runs in a fresh box; expects a failure whose message holds `wanted`. */
static void fails(const char *text, const char *wanted)
{
    svi_sandbox *box = open_box(1 << 20, 1000000);
    sv_err err = {.text = ""};
    assert_int_equal(run(box, sv_str_of(text), &err), SV_EINVAL);
    if (!strstr(err.text, wanted)) fail_msg("'%s' does not say '%s'", err.text, wanted);
    svi_sandbox_free(&box);
    assert_int_equal(acct.live_bytes, 0);
}

static void passes(const char *text)
{
    svi_sandbox *box = open_box(1 << 20, 1000000);
    sv_err err = {.text = ""};
    if (run(box, sv_str_of(text), &err) != SV_OK) fail_msg("%s", err.text);
    svi_sandbox_free(&box);
    assert_int_equal(acct.live_bytes, 0);
}

static void test_safe_libraries(void **state)
{
    (void)state;
    passes("assert(string.format('%d', 5) == '5' and ('x'):upper() == 'X' and #'abc' == 3)");
    passes("local t = {3, 1, 2} table.sort(t) assert(table.concat(t, ',') == '1,2,3')");
    passes("assert(not pcall(error, 'x')) assert(select('#', 1, 2) == 2 and tonumber('7') == 7)");
}

static void test_world_is_absent(void **state)
{
    (void)state;
    static const char *const names[] = {
        "io",          "os",           "debug",       "package",        "require",
        "load",        "loadfile",     "dofile",      "coroutine",      "getmetatable",
        "rawset",      "rawget",       "rawequal",    "collectgarbage", "setmetatable",
        "print",       "_G",           "utf8",        "loadstring",     "string.rep",
        "string.find", "string.match", "string.gsub", "string.gmatch",  "string.dump",
        "string.pack"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "assert(%s == nil)", names[i]);
        passes(text);
    }
    passes("assert(('x').rep == nil and ('x').find == nil)"); /* methods of texts neither */
}

static void test_errors_have_places(void **state)
{
    (void)state;
    fails("\n\nx = = 1", "test.lua:3:");
    fails("\nerror('no')", "test.lua:2: no");
    fails("local t = nil; t.x = 1", "test.lua:1:");
    fails("error({})", "an error that is no text");
    fails("error()", "an error that is no text");
}

static void test_endless(void **state)
{
    (void)state;
    fails("\nwhile true do end", "test.lua:2: the script takes too many steps");
    fails("local function f() return f() end f()", "too many steps");
    /* the limit is not to be caught for long */
    fails("while true do pcall(function() while true do end end) end", "too many steps");
    fails("for i = 1, 1e9 do pcall(error) end", "too many steps");
    fails("local t = {} for i = 1, 200 do t[i] = i end "
          "table.sort(t, function() while true do end end)",
          "too many steps");
}

static void test_limits_hold_for_all_chunks(void **state)
{
    (void)state;
    svi_sandbox *box = open_box(1 << 20, 100000);
    sv_err err;
    assert_int_equal(run(box, SV_STR("for i = 1, 20000 do end"), &err), SV_OK);
    sv_status status = SV_OK;
    for (int i = 0; i < 20 && status == SV_OK; i++)
        status = run(box, SV_STR("for i = 1, 20000 do end"), &err);
    assert_int_equal(status, SV_EINVAL);
    svi_sandbox_free(&box);
}

static void test_memory(void **state)
{
    (void)state;
    fails("local t = {} while true do t[#t + 1] = {} end", "memory");
    fails("local s = 'x' while true do s = s .. s end", "memory");
    fails("local s = 'xxxxxxxxxxxxxxxx' for i = 1, 30 do s = s .. s end", "memory");
    fails("local t = {} t[1] = 'x' t[2] = ('%99d'):format(1) for i = 1, 40 do "
          "t[1] = table.concat(t, t[1], 1, 2) end",
          "memory");
    /* held across pcall: the box stays usable and its account exact */
    passes("local ok = pcall(function() local s = 'x' while true do s = s .. s end end) "
           "assert(not ok)");
}

/* Steps inside one C call are not counted, so no library function may run long by itself. */
static void test_long_calls(void **state)
{
    (void)state;
    fails("local t = {} t[1] = 1 for i = 1, 1e8 do select('#', table.unpack(t, 1, 1e6)) end", "");
    fails("return ('x'):format(table.unpack({}, 1, 1e7))", "");
}

static int writer(lua_State *L, const void *bytes, size_t n, void *ctx)
{
    (void)L;
    svi_buf_put(ctx, (sv_str){bytes, n});
    return 0;
}

static void test_bytecode(void **state)
{
    (void)state;
    svi_buf code;
    svi_buf_init(&code, &acct);
    lua_State *L = luaL_newstate();
    assert_int_equal(luaL_loadstring(L, "return 1"), LUA_OK);
    assert_int_equal(lua_dump(L, writer, &code, 0), 0);
    lua_close(L);
    svi_sandbox *box = open_box(1 << 20, 1000);
    sv_err err;
    assert_int_equal(run(box, svi_buf_str(&code), &err), SV_EINVAL);
    assert_non_null(strstr(err.text, "binary"));
    svi_sandbox_free(&box);
    svi_buf_free(&code);
}

static void test_deep(void **state)
{
    (void)state;
    fails("local function f() return 1 + f() end f()", "memory");
    svi_buf text;
    svi_buf_init(&text, &acct);
    svi_buf_put(&text, SV_STR("x = "));
    for (int i = 0; i < 5000; i++) svi_buf_putc(&text, '{');
    svi_buf_putc(&text, '\0');
    svi_sandbox *box = open_box(1 << 20, 1000000);
    sv_err err;
    assert_int_equal(run(box, sv_str_of(text.data), &err), SV_EINVAL);
    svi_sandbox_free(&box);
    svi_buf_free(&text);
}

static void test_empty(void **state)
{
    (void)state;
    svi_sandbox *box = open_box(65536, 1000);
    sv_err err;
    assert_int_equal(run(box, SV_STR_NONE, &err), SV_OK);
    assert_int_equal(run(box, SV_STR("-- nothing"), &err), SV_OK);
    svi_sandbox_free(&box);
    assert_null(box);
    svi_sandbox_free(&box);
    assert_int_equal(acct.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe_libraries),
        cmocka_unit_test(test_world_is_absent),
        cmocka_unit_test(test_errors_have_places),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_limits_hold_for_all_chunks),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_long_calls),
        cmocka_unit_test(test_bytecode),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
