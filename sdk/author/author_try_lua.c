/* Tests in Lua: NAME_test.lua in a state of its own with all libraries, each test in a process and on a stage of its own. */
#include "author_try.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "base/base_assert.h"

typedef struct world {
    const svi_try_run *run;
    svi_try_outcome *out;
    svi_acct core, peers;
    flow_world *flow;
    svi_stage *stage;
    flow_play *play;
    sv_str source;    /* the file's text */
    const char *file; /* its name */
    svi_buf text;     /* of the steps that run */
    bool is_found;    /* the test that is to run */
} world;

static world *world_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* --- steps ------------------------------------------------------------------------------------------------ */

/* The line of the caller. */
static int caller_line(lua_State *L)
{
    lua_Debug ar;
    return lua_getstack(L, 1, &ar) && lua_getinfo(L, "l", &ar) && ar.currentline > 0 ? ar.currentline : 1;
}

static sv_str line_of(sv_str text, int number)
{
    sv_str line = SV_STR_NONE;
    while (number-- > 0 && svi_str_split(&text, '\n', &line)) {}
    return line;
}

/* Text that begins behind a line's end, as it is written between [[ and ]], is told from the next line on. */
static int first_line(const world *w, lua_State *L)
{
    const int line = caller_line(L);
    const sv_str said = svi_str_trim(line_of(w->source, line));
    return line + (said.n > 0 && said.p[said.n - 1] == '[');
}

static size_t depth_of(sv_str line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == ' ') n++;
    return n;
}

/* The text as deep as its first step is. */
static sv_str dedented(world *w, sv_str text)
{
    sv_str rest = text, line;
    size_t depth = 0;
    while (svi_str_split(&rest, '\n', &line))
        if (svi_str_trim(line).n > 0) {
            depth = depth_of(line);
            break;
        }
    svi_buf_clear(&w->text);
    while (svi_str_split(&text, '\n', &line)) {
        const size_t own = depth_of(line);
        svi_buf_put(&w->text, svi_str_sub(line, own < depth ? own : depth, line.n));
        svi_buf_putc(&w->text, '\n');
    }
    return svi_buf_str(&w->text);
}

static int l_run(lua_State *L)
{
    world *w = world_of(L);
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    flow_result result;
    (void)flow_play_run(w->play, w->file, first_line(w, L), dedented(w, (sv_str){text, n}), &result);
    if (!result.failed && !result.skipped) return 0;
    lua_pushstring(L, result.text);
    return lua_error(L);
}

/* --- the rest of what a stage does ------------------------------------------------------------------------- */

static int l_config(lua_State *L)
{
    size_t n;
    const char *line = luaL_checklstring(L, 1, &n);
    if (!svi_stage_configure(world_of(L)->stage, (sv_str){line, n}))
        return luaL_error(L, "config: the server runs already; a line of configuration comes before the first step");
    return 0;
}

static int l_log(lua_State *L)
{
    const sv_str log = svi_stage_log(world_of(L)->stage);
    lua_pushlstring(L, log.n ? log.p : "", log.n);
    return 1;
}

/* Starts the server, unless it runs. */
static svi_stage *started(lua_State *L)
{
    svi_stage *stage = world_of(L)->stage;
    if (!svi_stage_start(stage)) (void)luaL_error(L, "the server does not start: %s", svi_stage_problem(stage));
    return stage;
}

static int l_pass(lua_State *L)
{
    const lua_Number seconds = luaL_checknumber(L, 1);
    if (!(seconds >= 0 && seconds <= 1e9)) return luaL_error(L, "pass: a number of seconds, of at most 1e9");
    svi_stage_pass(started(L), (int64_t)(seconds * 1e6));
    return 0;
}

static int l_reload(lua_State *L)
{
    world *w = world_of(L);
    svi_buf why;
    svi_buf_init(&why, &w->peers);
    const bool ok = svi_stage_reload(started(L), sv_str_of(w->run->t->name), &why);
    lua_pushlstring(L, why.data ? why.data : "", why.len);
    svi_buf_free(&why);
    return ok ? 0 : luaL_error(L, "reload: %s", lua_tostring(L, -1));
}

static int l_restart(lua_State *L)
{
    flow_result result;
    (void)flow_play_run(world_of(L)->play, world_of(L)->file, caller_line(L), SV_STR("server restarts\n"), &result);
    if (!result.failed) return 0;
    lua_pushstring(L, result.text);
    return lua_error(L);
}

static int l_kill(lua_State *L)
{
    svi_stage *stage = started(L);
    svi_stage_kill(stage);
    (void)started(L);
    return 0;
}

static int l_harm(lua_State *L)
{
    world *w = world_of(L);
    const char *name = luaL_optstring(L, 1, "none");
    const lua_Integer n = luaL_optinteger(L, 2, 1);
    for (int kind = SVI_HARM_NONE; kind < SVI_HARM_KINDS; kind++) {
        if (strcmp(name, svi_harm_name((svi_harm_kind)kind)) != 0) continue;
        if (n < 1) return luaL_error(L, "harm: occasions are counted from 1");
        svi_stage_harm(w->stage, (svi_harm_kind)kind, w->run->t->name, (uint64_t)n);
        return 0;
    }
    return luaL_error(L, "harm: there is no harm '%s' (store-fails, store-late, shortage, quota, session-gone, reload, host-gone, kill, kill-behind)", name);
}

static int l_harmed(lua_State *L)
{
    lua_pushboolean(L, svi_stage_harmed(world_of(L)->stage));
    return 1;
}

static const luaL_Reg functions[] = {{"run", l_run},         {"config", l_config}, {"log", l_log},   {"pass", l_pass},     {"reload", l_reload},
                                     {"restart", l_restart}, {"kill", l_kill},     {"harm", l_harm}, {"harmed", l_harmed}, {NULL, NULL}};

/* --- a test ------------------------------------------------------------------------------------------------ */

static void open_world(world *w)
{
    svi_stage_config config = svi_try_stage(w->run, &w->core, &w->out->cover);
    config.peers = &w->peers;
    w->flow = flow_stage_with(&w->peers, &config);
    w->stage = flow_stage_of(w->flow);
    w->play = flow_play_new(w->flow, "");
    (void)svi_stage_enable(w->stage, sv_str_of(w->run->t->name));
}

static void failed(world *w, svi_try_fate fate, const char *why)
{
    if (w->out->fate != SVI_TRY_FINE) return;
    w->out->fate = fate;
    (void)snprintf(w->out->text, sizeof w->out->text, "%s", why ? why : "it raised something that is no text");
}

static void close_world(world *w)
{
    char why[300];
    flow_play_leave(w->play);
    svi_stage_pass(w->stage, INT64_C(60000000));
    w->out->held = svi_cover_holds(w->stage, w->run->t->name);
    flow_play_free(&w->play);
    w->out->virtual_us = svi_stage_plat(w->stage)->now_us;
    if (!w->flow->close(&w->flow, why, sizeof why)) failed(w, SVI_TRY_LEDGER, why);
    (void)snprintf(why, sizeof why, "behind the test: %s broke a rule: %s", w->run->t->name, w->out->cover.rule);
    if (w->out->cover.faults > 0) failed(w, SVI_TRY_RULE, why);
}

/* test(NAME, FUNCTION): runs it, if it is the one; with its name alone, if they are listed. */
static int l_test(lua_State *L)
{
    world *w = world_of(L);
    svi_try_outcome *o = w->out;
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    for (size_t i = 0; i < o->name_count; i++)
        if (strcmp(o->names[i], name) == 0) return luaL_error(L, "there are two tests '%s'", name);
    if (o->name_count == SVI_TRY_TESTS || strlen(name) >= sizeof o->names[0])
        return luaL_error(L, "at most %d tests, with names of less than %d bytes", SVI_TRY_TESTS, (int)sizeof o->names[0]);
    (void)snprintf(o->names[o->name_count++], sizeof o->names[0], "%s", name);
    if (strcmp(name, w->run->lua_test) != 0) return 0;
    w->is_found = true;
    open_world(w);
    lua_pushvalue(L, 2);
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, w);
    luaL_setfuncs(L, functions, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) failed(w, SVI_TRY_STEP, lua_tostring(L, -1));
    close_world(w);
    return 0;
}

static bool read_source(world *w)
{
    FILE *file = fopen(w->run->t->test, "re");
    size_t n;
    if (!file) return false;
    svi_buf buf;
    svi_buf_init(&buf, &w->peers);
    do {
        n = fread(svi_buf_space(&buf, 4096), 1, 4096, file);
        buf.len += n;
    } while (n > 0);
    (void)fclose(file);
    w->source = svi_buf_str(&buf); /* until the process ends */
    return true;
}

static bool load(world *w, lua_State *L)
{
    char chunk[300];
    (void)snprintf(chunk, sizeof chunk, "@%s", w->file);
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushfstring(L, "%s/?.lua", w->run->t->dir);
    lua_setfield(L, -2, "path");
    lua_pop(L, 1);
    lua_pushlightuserdata(L, w);
    lua_pushcclosure(L, l_test, 1);
    lua_setglobal(L, "test");
    return luaL_loadbufferx(L, w->source.n ? w->source.p : "", w->source.n, chunk, "t") == LUA_OK && lua_pcall(L, 0, 0, 0) == LUA_OK;
}

void svi_try_lua(const svi_try_run *run, svi_try_outcome *out)
{
    world w = {.run = run, .out = out, .core = {.name = "core"}, .peers = {.name = "peers"}};
    w.file = strrchr(run->t->test, '/') + 1;
    svi_buf_init(&w.text, &w.peers);
    lua_State *L = luaL_newstate();
    SV_ASSERT(L != NULL);
    if (!read_source(&w))
        failed(&w, SVI_TRY_STEP, "the file of tests can't be read");
    else if (!load(&w, L))
        failed(&w, SVI_TRY_STEP, lua_tostring(L, -1));
    else if (run->lua_test[0] && !w.is_found)
        failed(&w, SVI_TRY_STEP, "this test is no more in the file");
    lua_close(L);
}
