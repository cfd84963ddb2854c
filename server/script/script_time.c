/* Timers of a script: each firing is an event of its own (host/timer), whose handler may wait, write and send; and sleep. */
#include <stdio.h>

#include "script/script_declare.h"

enum { AGAIN_US = 1000000 };

/* A timer on a host. */
typedef struct svi_beat {
    struct svi_beat *next;
    svi_script_host *host;
    void *timer; /* NULL: the module has ended */
    bool is_begun; /* its event comes */
    uint32_t number;
    int function; /* its reference */
    int64_t period_us; /* 0: once */
} svi_beat;

/* --- on a host --------------------------------------------------------------------------------------- */

static void fire(void *ctx);

static void start_beat(svi_beat *beat, int64_t in_us)
{
    svi_script_host *host = beat->host;
    beat->timer = host->script->env.timer(host->mod, in_us, fire, beat);
}

/* The event may be left out, by a quarantine that begins just now: so what comes once is tried again until it has come. */
static void fire(void *ctx)
{
    svi_beat *beat = ctx;
    svi_script_host *host = beat->host;
    char subject[128];
    start_beat(beat, beat->period_us > 0 ? beat->period_us : AGAIN_US);
    beat->is_begun = true;
    const int n = snprintf(subject, sizeof subject, "%s/%u", host->script->name, beat->number);
    host->script->sv->begin(host->mod, "host/timer", (sv_str){subject, (size_t)n});
}

/* Takes the function on top of L's stack. */
static svi_beat *beat_new(svi_script_host *host, lua_State *L, int64_t in_us, int64_t period_us)
{
    const int function = luaL_ref(L, LUA_REGISTRYINDEX); /* may raise */
    svi_beat *beat = svi_alloc(host->script->env.acct, sizeof *beat);
    *beat = (svi_beat){
        .next = host->beats, .host = host, .number = ++host->beat_numbers, .function = function, .period_us = period_us};
    host->beats = beat;
    host->beat_count++;
    start_beat(beat, in_us);
    return beat;
}

static void beat_free(svi_script_host *host, svi_beat *beat)
{
    svi_beat **at = &host->beats;
    while (*at != beat) at = &(*at)->next;
    *at = beat->next;
    host->beat_count--;
    if (beat->timer != NULL) host->script->env.timer_cancel(beat->timer);
    luaL_unref(host->script->L, LUA_REGISTRYINDEX, beat->function);
    svi_free(beat);
}

static svi_beat *beat_of(svi_script_host *host, sv_str subject)
{
    const sv_str name = sv_str_of(host->script->name);
    int64_t number = 0;
    if (!svi_str_starts(subject, name) || subject.n <= name.n + 1 || subject.p[name.n] != '/' ||
        svi_str_int(svi_str_sub(subject, name.n + 1, subject.n), 1, UINT32_MAX, &number) != SV_OK)
        return NULL;
    svi_beat *beat = host->beats;
    while (beat != NULL && beat->number != number) beat = beat->next;
    return beat;
}

/* The occasion is anybody's to fire, so it must be ours. */
sv_verdict svi_script_on_timer(svi_script_host *host, sv_event *ev, const svi_entry *entry)
{
    svi_beat *beat = beat_of(host, host->script->sv->subject(ev));
    if (beat == NULL || !beat->is_begun) return SV_PASS;
    beat->is_begun = false;
    svi_script *script = host->script;
    script->is_quota_off = true;
    (void)lua_rawgeti(script->L, LUA_REGISTRYINDEX, beat->function);
    const int function = luaL_ref(script->L, LUA_REGISTRYINDEX);
    script->is_quota_off = false;
    if (beat->period_us == 0) beat_free(host, beat);
    const sv_verdict verdict = svi_task_run(host, ev, entry, function);
    luaL_unref(script->L, LUA_REGISTRYINDEX, function);
    return verdict;
}

void svi_script_timers_drop(svi_script_host *host)
{
    while (host->beats != NULL) beat_free(host, host->beats);
    svi_task_begins_drop(host);
}

/* --- what scripts call ------------------------------------------------------------------------------- */

static int64_t period_us(lua_State *L, int index, const char *what)
{
    const lua_Integer ms = luaL_checkinteger(L, index);
    if (ms < 1 || ms > INT64_C(366) * 86400000) luaL_error(L, "%s: 1 ms to 366 days, not %I ms", what, ms);
    return ms * 1000;
}

/* At the top level it is a plan, which each host begins with. */
static int plan(lua_State *L, const char *what, bool repeats)
{
    svi_script *script = svi_declaring(L, what);
    const int64_t us = period_us(L, 1, what);
    if (script->plan_count == SVI_SCRIPT_PLANS_MAX) return luaL_error(L, "%s: more than %d timers at the top level", what, SVI_SCRIPT_PLANS_MAX);
    lua_settop(L, 2);
    script->plans[script->plan_count++] = (svi_plan){.in_us = us, .repeats = repeats, .function = luaL_ref(L, LUA_REGISTRYINDEX)};
    return 0;
}

static int begin(lua_State *L, const char *what, bool repeats)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (svi_script_of(L)->is_loading) return plan(L, what, repeats);
    svi_task *task = svi_task_here(L);
    const int64_t us = period_us(L, 1, what);
    if (task->host->beat_count >= SVI_TIMERS_MAX)
        return luaL_error(L, "%s: the script has %d timers on this host already", what, SVI_TIMERS_MAX);
    lua_settop(L, 2);
    (void)beat_new(task->host, L, us, repeats ? us : 0);
    return 0;
}

/* sv.every(ms, function(ev) ... end) */
static int sv_every(lua_State *L)
{
    return begin(L, "sv.every", true);
}

/* sv.after(ms, function(ev) ... end) */
static int sv_after(lua_State *L)
{
    return begin(L, "sv.after", false);
}

void svi_script_timers_start(svi_script_host *host)
{
    svi_script *script = host->script;
    for (size_t i = 0; i < script->plan_count; i++) {
        const svi_plan *p = &script->plans[i];
        script->is_quota_off = true;
        (void)lua_rawgeti(script->L, LUA_REGISTRYINDEX, p->function);
        (void)beat_new(host, script->L, p->in_us, p->repeats ? p->in_us : 0);
        script->is_quota_off = false;
    }
}

void svi_script_open_timers(lua_State *L)
{
    static const luaL_Reg functions[] = {{"every", sv_every}, {"after", sv_after}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

/* --- sleep ------------------------------------------------------------------------------------------- */

static int push_nothing(svi_task *task, lua_State *L, void *ctx)
{
    (void)task;
    (void)L;
    (void)ctx;
    return 0;
}

static void woken(void *ctx)
{
    svi_task_resume(ctx, push_nothing, NULL);
}

/* The event's end drops the task, not this. */
static void gone(void *ctx)
{
    (void)ctx;
}

/* event:sleep(ms) */
int svi_lua_event_sleep(lua_State *L)
{
    svi_task *task = svi_task_event(L, "sleep");
    const lua_Integer ms = luaL_checkinteger(L, 2);
    if (ms < 0 || ms > SVI_SLEEP_MAX_MS) return luaL_error(L, "sleep: 0 to %d ms, not %I: sv.after is for more", SVI_SLEEP_MAX_MS, ms);
    svi_task_check_wait(task, L, "sleep");
    (void)task->script->env.wait(task->host->mod, task->ev, ms * 1000, woken, gone, task);
    return svi_task_wait(task, L);
}
