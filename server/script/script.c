/* A script from its text to its end, and a script on a host. */
#include <stdio.h>

#include "script/script_declare.h"

enum { LOAD_US = 250000, TEXT_BYTES_MAX = 1 << 20 };

/* --- loading ----------------------------------------------------------------------------------------- */

/* Runs the top level; its text stands on the stack as a function. */
static sv_status run_top(svi_script *script, sv_err *err)
{
    lua_State *L = script->L;
    svi_running run = {.script = script, .L = L, .max_us = LOAD_US};
    svi_script_enter(&run);
    const int status = lua_pcall(L, 0, 0, 0);
    svi_script_leave(&run);
    if (status == LUA_OK) return SV_OK;
    script->is_quota_off = true; /* a number becomes a text */
    const char *text = lua_tostring(L, -1);
    (void)svi_err(err, SV_EINVAL, "%s", text != NULL ? text : "an error that is no text");
    lua_pop(L, 1);
    script->is_quota_off = false;
    return SV_EINVAL;
}

static sv_status load_text(svi_script *script, sv_str text, sv_err *err)
{
    lua_State *L = script->L;
    const char *chunk = svi_arena_printf(script->arena, "@%s", script->file).p;
    if (luaL_loadbufferx(L, text.n > 0 ? text.p : "", text.n, chunk, "t") == LUA_OK) return run_top(script, err);
    (void)svi_err(err, SV_EINVAL, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return SV_EINVAL;
}

sv_status svi_script_load(const svi_script_env *env, const char *name, const char *file, sv_str text, svi_script **script_out,
                          sv_err *err)
{
    svi_script *script = svi_alloc(env->acct, sizeof *script);
    *script = (svi_script){.magic = SVI_SCRIPT_MAGIC, .env = *env, .sv = env->sv, .start = LUA_NOREF, .save = LUA_NOREF};
    script->arena = svi_arena_new(env->acct, 1024);
    script->name = svi_arena_str(script->arena, sv_str_of(name)).p;
    script->file = svi_arena_str(script->arena, sv_str_of(file)).p;
    script->build = svi_arena_get(script->arena, sizeof(svi_build));
    (void)svi_script_watch(); /* it tells */
    *script_out = NULL;
    sv_status status = text.n > TEXT_BYTES_MAX ? svi_err(err, SV_ELIMIT, "it is longer than %d bytes", TEXT_BYTES_MAX) : SV_OK;
    if (status == SV_OK) script->L = svi_script_state_new(script, err);
    if (status == SV_OK && script->L == NULL) status = SV_ELIMIT;
    script->is_loading = true;
    if (status == SV_OK) status = load_text(script, text, err);
    if (status == SV_OK) status = svi_script_declared(script, err);
    script->is_loading = false;
    if (status == SV_OK) {
        script->desc.start = svi_script_start;
        script->desc.save = svi_script_on_save;
        script->desc.stop = svi_script_stop;
        *script_out = script;
    } else {
        svi_script_free(&script);
    }
    return status;
}

void svi_script_free(svi_script **script)
{
    svi_script *s = *script;
    *script = NULL;
    if (s == NULL) return;
    SV_CHECK(s, SVI_SCRIPT_MAGIC);
    SV_ASSERT(s->hosts == NULL && s->running == NULL && s->waiting_count == 0 && s->job_count == 0);
    svi_script_state_close(s);
    svi_tasks_free(s);
    svi_script_unwatch();
    svi_arena_free(&s->arena);
    s->magic = 0;
    svi_free(s);
}

/* --- what it is -------------------------------------------------------------------------------------- */

const sv_module_desc *svi_script_desc(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return &script->desc;
}

int64_t svi_script_bytes(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return (int64_t)script->used_bytes;
}

int64_t svi_script_peak_bytes(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return (int64_t)script->peak_bytes;
}

void svi_script_collect(svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    SV_ASSERT(script->running == NULL);
    (void)lua_gc(script->L, LUA_GCCOLLECT);
}

void svi_script_set_limits(svi_script *script, int64_t max_bytes, int64_t max_cpu_us)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    SV_ASSERT(max_bytes > 0 && max_cpu_us > 0);
    script->env.max_bytes = max_bytes;
    script->env.max_cpu_us = max_cpu_us;
}

size_t svi_script_waiting(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return script->waiting_count;
}

bool svi_script_right(const svi_script *script, size_t i, const char **right_out)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    if (i >= script->right_count) return false;
    *right_out = script->rights[i];
    return true;
}

bool svi_script_is_policy(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return script->is_policy;
}

bool svi_script_is_autoreload(const svi_script *script)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return script->is_autoreload;
}

bool svi_script_is_handler(const svi_script *script, size_t i)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    return i < script->hook_count && script->entries[i].own == NULL;
}

void svi_script_set_api(svi_script *script, const sv_api *api)
{
    SV_CHECK(script, SVI_SCRIPT_MAGIC);
    script->sv = api;
}

/* --- on a host --------------------------------------------------------------------------------------- */

void svi_script_bind(svi_script *script, sv_mod *mod, void *self)
{
    svi_script_host *host = self;
    host->magic = SVI_SCRIPT_HOST_MAGIC;
    host->script = script;
    host->mod = mod;
    host->self = LUA_NOREF;
    host->next = script->hosts;
    host->link = &script->hosts;
    if (host->next != NULL) host->next->link = &host->next;
    script->hosts = host;
    for (size_t i = 0; i < script->entry_count; i++) host->sites[i] = (svi_site){.host = host, .index = (uint32_t)i};
}

void svi_script_unbind(void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    svi_script_stop(self);
    *host->link = host->next;
    if (host->next != NULL) host->next->link = host->link;
    svi_free(host->stores);
    host->magic = 0;
}

void svi_script_rest(void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    svi_script_timers_drop(host);
}

void svi_script_set_tap(void *self, const svi_script_tap *tap)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    svi_tasks_forget_tap(host);
    host->tap = tap;
}

void svi_script_set_shadow(void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    host->is_shadow = true;
}

void *svi_script_hook_self(void *self, size_t i)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    SV_ASSERT(i < host->script->hook_count);
    return &host->sites[i];
}

void *svi_script_command_self(void *self, size_t i)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    SV_ASSERT(i < host->script->command_count);
    return &host->sites[host->script->hook_count + i];
}

/* The map of another module is opened by who names that module in `after`, so that it is there. */
static void say_store(const svi_script_host *host, const svi_script_store *s, sv_status status)
{
    char text[300];
    if (status != SV_EDENIED || s->owner == NULL) return; /* the loader knows why */
    (void)snprintf(text, sizeof text, "its sv.script names \"%.60s/%.60s\" under `stores`, but not after = \"%.60s\"", s->owner, s->name, s->owner);
    host->script->env.say_why(host->mod, text);
}

static sv_status open_stores(svi_script_host *host)
{
    const svi_script *script = host->script;
    sv_status status = SV_OK;
    host->stores = svi_alloc(script->env.acct, (script->store_count + 1) * sizeof *host->stores);
    for (size_t i = 0; i < script->store_count && status == SV_OK; i++) {
        const svi_script_store *s = &script->stores[i];
        if (s->schema == 0) continue; /* a right that is not used */
        status = script->sv->store_open(host->mod, s->owner, s->name, s->schema, &host->stores[i]);
        if (status != SV_OK) say_store(host, s, status);
    }
    return status;
}

/* The table that sv.self is on this host, with its options. */
static void make_self(svi_script_host *host)
{
    svi_script *script = host->script;
    script->is_quota_off = true;
    lua_newtable(script->L);
    svi_script_push_options(host, script->L);
    host->self = luaL_ref(script->L, LUA_REGISTRYINDEX);
    script->is_quota_off = false;
}

/* `return false, "why"` refuses. */
static sv_status call_start(svi_script_host *host)
{
    const svi_script *script = host->script;
    sv_err err = {.text = ""};
    svi_task *task = svi_task_call(host, script->start, &err);
    if (task == NULL) {
        script->env.say_why(host->mod, err.text);
        return SV_EINVAL;
    }
    const bool refuses = lua_gettop(task->L) > 0 && lua_isboolean(task->L, 1) && !lua_toboolean(task->L, 1);
    if (refuses) script->env.say_why(host->mod, lua_type(task->L, 2) == LUA_TSTRING ? lua_tostring(task->L, 2) : "its sv.start says false");
    svi_task_end(task);
    return refuses ? SV_EDENIED : SV_OK;
}

sv_status svi_script_start(sv_mod *mod, void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    const svi_script *script = host->script;
    if (script->hosts_allowed.count > 0 && !svi_patterns_fit(&script->hosts_allowed, script->sv->host(mod))) {
        script->env.say_why(mod, "its sv.script does not name this host under `hosts`");
        return SV_EDENIED;
    }
    sv_status status = open_stores(host);
    if (status != SV_OK) return status;
    make_self(host);
    if (script->start != LUA_NOREF) status = call_start(host);
    if (status != SV_OK) return status;
    host->is_started = true;
    svi_script_timers_start(host);
    return SV_OK;
}

void svi_script_on_save(sv_blob *out, void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    svi_script_save(host, out);
}

void svi_script_stop(void *self)
{
    svi_script_host *host = self;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    svi_tasks_drop(host);
    svi_script_timers_drop(host);
    svi_script_questions_drop(host);
    svi_script_held_drop(host);
    svi_script_listings_drop(host);
    luaL_unref(host->script->L, LUA_REGISTRYINDEX, host->self);
    host->self = LUA_NOREF;
}
