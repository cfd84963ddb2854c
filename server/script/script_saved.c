/* What a script leaves to its next generation, and its other files. */
#include "script/script_declare.h"

enum { SAVED_VERSION = 1, REQUIRED_MAX = 64 };

/* --- saved values ------------------------------------------------------------------------------------ */

/* Calls sv.json.encode or decode, by its reference, with the value on top of L's stack, which it takes; leaves what that returns
 * first, and the reason behind it. */
static bool by_json(lua_State *L, int function)
{
    (void)lua_rawgeti(L, LUA_REGISTRYINDEX, function);
    lua_insert(L, -2);
    return lua_pcall(L, 1, 2, 0) == LUA_OK && !lua_isnil(L, -2);
}

/* The table on top as JSON. A function of Lua may be called on the way (__index ...): so it is watched as one. */
static bool encoded(svi_script *script, lua_State *L)
{
    svi_running here = {.script = script, .L = L, .max_us = script->env.max_cpu_us};
    svi_script_enter(&here);
    const bool is_done = by_json(L, script->json_encode);
    svi_script_leave(&here);
    return is_done;
}

/* A table, as JSON. What can't be kept is told and left out: the next generation begins without. */
void svi_script_save(svi_script_host *host, sv_blob *blob)
{
    svi_script *script = host->script;
    sv_err err = {.text = ""};
    if (script->save == LUA_NOREF) return;
    svi_task *task = svi_task_call(host, script->save, &err);
    if (task == NULL) return; /* told */
    lua_State *L = task->L;
    lua_settop(L, 1);
    const bool has_value = !lua_isnil(L, 1);
    if (has_value && encoded(script, L)) {
        size_t n;
        const char *text = lua_tolstring(L, -2, &n);
        (void)script->sv->save_bytes(blob, "lua", SAVED_VERSION, (sv_str){text, n});
    } else if (has_value) {
        script->is_quota_off = true;
        const char *why = lua_tostring(L, -1);
        svi_task_tell(task, why != NULL ? why : "sv.save: what it returns can't be kept");
        script->is_quota_off = false;
    }
    svi_task_end(task);
}

/* sv.saved(): in sv.start, what the generation before returned from sv.save; nil if there was none. */
static int sv_saved(lua_State *L)
{
    const svi_task *task = svi_task_here(L);
    svi_script_host *host = task->host;
    uint32_t version;
    sv_str bytes;
    if (host->is_started) return luaL_error(L, "sv.saved: only in sv.start");
    if (!task->script->sv->saved_bytes(host->mod, "lua", &version, &bytes)) return 0;
    (void)lua_pushlstring(L, bytes.p, bytes.n);
    if (!by_json(L, svi_script_of(L)->json_decode)) return luaL_error(L, "sv.saved: %s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return 1;
}

void svi_script_open_saved(lua_State *L)
{
    lua_pushcfunction(L, sv_saved);
    lua_setfield(L, -2, "saved");
    (void)lua_getfield(L, -1, "json");
    (void)lua_getfield(L, -1, "encode");
    svi_script_of(L)->json_encode = luaL_ref(L, LUA_REGISTRYINDEX);
    (void)lua_getfield(L, -1, "decode");
    svi_script_of(L)->json_decode = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
}

/* --- require ----------------------------------------------------------------------------------------- */

bool svi_script_is_file_name(sv_str name)
{
    bool fine = name.n > 0 && name.n < 64;
    for (size_t i = 0; i < name.n && fine; i++) {
        const char c = name.p[i];
        fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    return fine;
}

static int load_file(lua_State *L, const char *file)
{
    const svi_script *script = svi_script_of(L);
    char *text;
    size_t size;
    sv_err err = {.text = ""};
    const char *chunk = lua_pushfstring(L, "@%s", file); /* before the text is there, which an error would leave behind */
    if (script->env.read(script->env.ctx, file, &text, &size, &err) != SV_OK) return luaL_error(L, "require: %s: %s", file, err.text);
    const int status = luaL_loadbufferx(L, text, size, chunk, "t");
    svi_free(text);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* require "words": what words.lua in the script's folder returns, run once. */
static int lua_require(lua_State *L)
{
    static const char key = 0;
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    if (!svi_script_of(L)->is_loading) return luaL_error(L, "require: at the top level of a script");
    if (!svi_script_is_file_name((sv_str){name, n})) return luaL_error(L, "require: \"%s\" is no file of the script's folder: small letters, digits, - and _, without .lua", name);
    lua_settop(L, 1);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) != LUA_TTABLE) {
        lua_newtable(L);
        lua_copy(L, -1, 2);
        lua_pop(L, 1);
        lua_pushvalue(L, 2);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    }
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL) return 1;
    if (++svi_script_of(L)->required > REQUIRED_MAX) return luaL_error(L, "require: more than %d files", REQUIRED_MAX);
    (void)load_file(L, lua_pushfstring(L, "%s.lua", name));
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) lua_pushboolean(L, true);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

void svi_script_open_require(lua_State *L)
{
    lua_pushcfunction(L, lua_require);
    lua_setglobal(L, "require");
}
