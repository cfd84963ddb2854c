/* Work off the router: a function of one of the script's files, in a state of its own, on a thread of the pool. It sees its
 * arguments and nothing else; they and its results are copied. The handler waits.
 *
 * A job is touched by one thread at a time: by the router until it is handed to the pool and from the report of its end on. */
#include <stdio.h>

#include "script/script_declare.h"
#include "script/script_lib.h"

enum {
    WORK_MAX_US = 1000000, /* of processor time */
    WORK_WAIT_MS = 30000,  /* for a thread and for the end */
    REASON_BYTES = 700
};

typedef enum job_state { JOB_QUEUED, JOB_RUNS, JOB_DONE } job_state;

typedef struct svi_job {
    struct svi_job *next; /* in the queue */
    svi_script_host *host; /* whose module is in flight as long as the job runs, or is waited for */
    const svi_script_file *file;
    sv_str function; /* allocated */
    job_state state;
    svi_task *task;
    svi_script_wait *wait; /* NULL: nobody waits any more */
    size_t bytes;          /* counted in script->job_bytes */
    svi_buf values;        /* arguments, then results */
    bool has_failed;
    char reason[REASON_BYTES]; /* then */
} svi_job;

/* --- on a thread of the pool --------------------------------------------------------------------------- */

/* In a protected call: the whole job, with the job as its argument. */
static int run_protected(lua_State *L)
{
    svi_job *job = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushfstring(L, "@%s.lua", job->file->name);
    if (luaL_loadbufferx(L, job->file->text.p, job->file->text.n, lua_tostring(L, 1), "t") != LUA_OK) return lua_error(L);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) return luaL_error(L, "%s.lua returns no table of functions", job->file->name);
    lua_pushlstring(L, job->function.p, job->function.n);
    if (lua_rawget(L, -2) != LUA_TFUNCTION) return luaL_error(L, "%s.lua returns no function \"%s\"", job->file->name, job->function.p);
    lua_replace(L, 1);
    lua_settop(L, 1);
    const int args = svi_unpack(L, svi_buf_str(&job->values));
    lua_call(L, args, LUA_MULTRET);
    svi_buf_clear(&job->values);
    const char *why = svi_pack(L, 1, &job->values);
    return why != NULL ? luaL_error(L, "what \"%s\" returns can't be copied: %s", job->function.p, why) : 0;
}

static void fail(svi_job *job, const char *reason)
{
    job->has_failed = true;
    (void)snprintf(job->reason, sizeof job->reason, "%s", reason != NULL ? reason : "an error that is no text");
}

static void run_in(svi_script *box, svi_job *job)
{
    svi_running run = {.script = box, .L = box->L, .max_us = WORK_MAX_US};
    svi_script_enter(&run);
    lua_pushcfunction(box->L, run_protected);
    lua_pushlightuserdata(box->L, job);
    const int status = lua_pcall(box->L, 1, 0, 0);
    svi_script_leave(&run);
    box->is_quota_off = true;
    if (status != LUA_OK) fail(job, lua_tostring(box->L, -1));
}

/* The state is a script's without Stave: the same library, memory and end. */
static void run_job(void *ctx)
{
    svi_job *job = ctx;
    const svi_script *script = job->host->script;
    sv_err err = {.text = ""};
    svi_script *box = svi_alloc(script->env.acct, sizeof *box);
    box->env = (svi_script_env){.acct = script->env.acct, .max_bytes = script->env.max_bytes};
    if (!svi_script_watch()) {
        fail(job, "no timer can be had that would end it");
    } else {
        box->L = svi_script_state_bare(box, &err);
        if (box->L != NULL)
            run_in(box, job);
        else
            fail(job, err.text);
    }
    svi_script_state_close(box);
    svi_script_unwatch();
    svi_free(box);
}

/* --- on the router ------------------------------------------------------------------------------------- */

static void job_free(svi_job *job)
{
    svi_script *script = job->host->script;
    SV_ASSERT(script->job_count > 0);
    script->job_count--;
    script->job_bytes -= job->bytes;
    svi_buf_free(&job->values);
    svi_str_free(&job->function);
    svi_free(job);
}

static void done(void *ctx, bool is_over);

static void start_next(svi_script *script)
{
    while (script->jobs != NULL && script->jobs_running < SVI_JOBS_AT_ONCE) {
        svi_job *job = script->jobs;
        script->jobs = job->next;
        script->jobs_running++;
        job->state = JOB_RUNS;
        script->env.work(job->host->mod, run_job, done, job);
    }
}

static void done(void *ctx, bool is_over)
{
    svi_job *job = ctx;
    svi_script *script = job->host->script;
    job->state = JOB_DONE;
    script->jobs_running--;
    if (job->wait == NULL)
        job_free(job);
    else if (!is_over)
        script->env.wake(job->wait);
    if (!is_over) start_next(script);
}

/* Nobody waits any more; one that runs is freed at its end. */
static void leave(svi_job *job)
{
    job->wait = NULL;
    if (job->state == JOB_RUNS) return;
    if (job->state == JOB_QUEUED) {
        svi_job **at = &job->host->script->jobs;
        while (*at != job) at = &(*at)->next;
        *at = job->next;
    }
    job_free(job);
}

static int refuse(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

/* What it returned; or nil and why not. */
static int push_results(svi_task *task, lua_State *L, void *ctx)
{
    (void)task;
    const svi_job *job = ctx;
    if (job->state != JOB_DONE) return refuse(L, "timeout");
    return job->has_failed ? refuse(L, job->reason) : svi_unpack(L, svi_buf_str(&job->values));
}

static void back(void *ctx)
{
    svi_job *job = ctx;
    svi_task_resume(job->task, push_results, job);
    leave(job);
}

static void gone(void *ctx)
{
    leave(ctx);
}

static const svi_script_file *file_of(const svi_script *script, const char *name)
{
    for (size_t i = 0; i < script->work_count; i++)
        if (strcmp(script->works[i].name, name) == 0) return &script->works[i];
    return NULL;
}

static void job_new(svi_task *task, const svi_script_file *file, const char *function, svi_buf *take_values)
{
    svi_script *script = task->script;
    svi_job *job = svi_alloc(script->env.acct, sizeof *job), **end = &script->jobs;
    *job = (svi_job){.host = task->host, .file = file, .task = task, .values = *take_values, .bytes = svi_buf_str(take_values).n};
    job->function = svi_str_dup(script->env.acct, sv_str_of(function));
    script->job_count++;
    script->job_bytes += job->bytes;
    while (*end != NULL) end = &(*end)->next;
    *end = job;
    job->wait = script->env.wait(task->host->mod, task->ev, (int64_t)WORK_WAIT_MS * 1000, back, gone, job);
    start_next(script);
}

/* event:work(file: string, function: string, ...): ... yields */
int svi_lua_event_work(lua_State *L)
{
    svi_task *task = svi_task_event(L, "work");
    svi_script *script = task->script;
    const char *name = luaL_checkstring(L, 2), *function = luaL_checkstring(L, 3);
    const svi_script_file *file = file_of(script, name);
    if (file == NULL) return luaL_argerror(L, 2, lua_pushfstring(L, "the script has no sv.work \"%s\" at its top level", name));
    svi_task_check_wait(task, L, "work");
    svi_buf values;
    svi_buf_init(&values, script->env.acct);
    const char *why = svi_pack(L, 4, &values);
    const size_t bytes = svi_buf_str(&values).n;
    const bool is_busy = script->job_count >= SVI_JOBS_MAX || script->job_bytes + bytes > (size_t)script->env.max_bytes;
    if (why != NULL || is_busy) svi_buf_free(&values);
    if (why != NULL) return luaL_error(L, "work: what is given to \"%s\" can't be copied: %s", function, why);
    if (is_busy) return refuse(L, "busy");
    job_new(task, file, function, &values);
    return svi_task_wait(task, L);
}

/* --- the declaration ----------------------------------------------------------------------------------- */

/* Compiled once to see whether it can be. */
static int sv_work(lua_State *L)
{
    static const char what[] = "sv.work";
    svi_script *script = svi_declaring(L, what);
    const char *name = svi_declared_text(L, 1, what);
    char *text;
    size_t size;
    sv_err err = {.text = ""};
    if (!svi_script_is_file_name(sv_str_of(name)))
        return luaL_error(L, "%s: \"%s\" is no file of the script's folder: small letters, digits, - and _, without .lua", what, name);
    if (file_of(script, name) != NULL) return luaL_error(L, "%s: \"%s\" is named twice", what, name);
    if (script->work_count == SVI_WORKS_MAX) return luaL_error(L, "%s: more than %d files", what, SVI_WORKS_MAX);
    const char *file = lua_pushfstring(L, "%s.lua", name);
    if (script->env.read(script->env.ctx, file, &text, &size, &err) != SV_OK) return luaL_error(L, "%s: %s: %s", what, file, err.text);
    const sv_str kept = svi_arena_str(script->arena, (sv_str){text, size});
    svi_free(text);
    if (luaL_loadbufferx(L, kept.p, kept.n, lua_pushfstring(L, "@%s", file), "t") != LUA_OK) return lua_error(L);
    script->works[script->work_count++] = (svi_script_file){.name = name, .text = kept};
    return 0;
}

void svi_script_open_work(lua_State *L)
{
    lua_pushcfunction(L, sv_work);
    lua_setfield(L, -2, "work");
}
