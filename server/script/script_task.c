/* Runs of a script's functions: each on a coroutine of its own, which waits when the event waits. */
#include "base/base_log.h"
#include "script/script_impl.h"

#define RULE_RAISES "a script's function ends without an error"
#define REASON_BYTES 700

/* Tells a task that its event is over; lives as long as the event. */
typedef struct svi_end {
    svi_task *task; /* NULL: it ended before */
} svi_end;

/* --- tasks ------------------------------------------------------------------------------------------- */

static svi_task **bucket_of(svi_script *script, const sv_event *ev)
{
    return &script->waiting[((uintptr_t)ev >> 6) % (sizeof script->waiting / sizeof *script->waiting)];
}

/* A coroutine for the task; what it takes is the host's, so it never fails. */
static void new_coroutine(svi_task *task)
{
    svi_script *script = task->script;
    script->is_quota_off = true;
    task->L = lua_newthread(script->L);
    task->ref = luaL_ref(script->L, LUA_REGISTRYINDEX);
    script->is_quota_off = false;
}

static svi_task *task_get(svi_script_host *host, sv_event *ev, const svi_entry *entry)
{
    svi_script *script = host->script;
    svi_task *task = script->free_tasks;
    if (task != NULL) {
        script->free_tasks = task->next;
        memset(&task->host, 0, sizeof *task - offsetof(svi_task, host));
    } else {
        task = svi_alloc(script->env.acct, sizeof *task);
        task->script = script;
    }
    task->host = host;
    task->ev = ev;
    task->entry = entry;
    task->serial = ++script->serials;
    if (task->L == NULL) new_coroutine(task);
    return task;
}

static void tell_tap(svi_task *task, const svi_script_end *end)
{
    void *run = task->watched;
    task->watched = NULL;
    if (run != NULL) task->host->tap->end(run, end);
}

/* What is left of its views is invalid from now on. A coroutine that raised or waits is not used again. */
static void task_put(svi_task *task, bool is_dead)
{
    svi_script *script = task->script;
    tell_tap(task, &(svi_script_end){.is_dropped = true}); /* unless that was done */
    task->serial = ++script->serials;
    if (task->end != NULL) task->end->task = NULL;
    task->end = NULL;
    if (is_dead) {
        luaL_unref(script->L, LUA_REGISTRYINDEX, task->ref);
        task->L = NULL;
    } else if (task->results > 0) {
        lua_settop(task->L, 0);
    }
    task->ev = NULL;
    task->next = script->free_tasks;
    script->free_tasks = task;
}

static void put_among_waiting(svi_task *task)
{
    svi_task **bucket = bucket_of(task->script, task->ev);
    task->next = *bucket;
    *bucket = task;
    task->is_waiting = true;
    task->script->waiting_count++;
}

static void take_from_waiting(svi_task *task)
{
    svi_task **at = bucket_of(task->script, task->ev);
    while (*at != task) at = &(*at)->next;
    *at = task->next;
    task->is_waiting = false;
    task->script->waiting_count--;
}

svi_task *svi_task_of(svi_script_host *host, const sv_event *ev)
{
    for (svi_task *t = *bucket_of(host->script, ev); t != NULL; t = t->next)
        if (t->ev == ev && t->host == host) return t;
    return NULL;
}

static void event_ended(void *ctx)
{
    svi_end *end = ctx;
    if (end->task != NULL) {
        svi_task *task = end->task;
        if (task->is_waiting) svi_task_drop(task);
    }
    svi_free(end);
}

void svi_task_drop(svi_task *task)
{
    take_from_waiting(task);
    task_put(task, true);
}

void svi_tasks_drop(svi_script_host *host)
{
    svi_script *script = host->script;
    for (size_t i = 0; i < sizeof script->waiting / sizeof *script->waiting; i++)
        for (svi_task *t = script->waiting[i], *next; t != NULL; t = next) {
            next = t->next;
            if (t->host == host) svi_task_drop(t);
        }
}

void svi_tasks_forget_tap(svi_script_host *host)
{
    const svi_script *script = host->script;
    SV_ASSERT(script->running == NULL);
    for (size_t i = 0; i < sizeof script->waiting / sizeof *script->waiting; i++)
        for (svi_task *t = script->waiting[i]; t != NULL; t = t->next)
            if (t->host == host) t->watched = NULL;
}

void svi_tasks_free(svi_script *script)
{
    while (script->free_tasks != NULL) {
        svi_task *task = script->free_tasks;
        script->free_tasks = task->next;
        svi_free(task);
    }
}

/* --- running ----------------------------------------------------------------------------------------- */

/* The same error at each of ten thousand stanzas would fill the log, and take the time of others. */
static bool is_told(svi_script_host *host)
{
    const int64_t now_s = host->script->sv->now_s();
    if (now_s != host->told_s) host->told = 0;
    host->told_s = now_s;
    return ++host->told <= SVI_TOLD_MAX;
}

static void log_error(const svi_task *task, const char *reason)
{
    const svi_script *script = task->script;
    const char *hook = task->entry != NULL ? task->entry->text : "start or save";
    luaL_traceback(script->L, task->L, NULL, 0);
    SV_LOG(SV_WARN, "script-error", LF_TXT("hook", hook), LF_TXT("reason", reason), LF_TXT("stack", lua_tostring(script->L, -1)));
    lua_pop(script->L, 1);
}

/* The error on top of the coroutine, with the way to it, told once. */
static void tell(svi_task *task, char reason[REASON_BYTES])
{
    svi_script *script = task->script;
    script->is_quota_off = true;
    const char *text = lua_tostring(task->L, -1);
    (void)snprintf(reason, REASON_BYTES, "%s", text != NULL ? text : "an error that is no text");
    if (is_told(task->host)) log_error(task, reason);
    script->is_quota_off = false;
    script->env.fault(task->host->mod, RULE_RAISES);
}

void svi_task_tell(svi_task *task, const char *text)
{
    char reason[REASON_BYTES];
    task->script->is_quota_off = true;
    (void)lua_pushstring(task->L, text);
    tell(task, reason);
    lua_pop(task->L, 1);
}

static void tell_runs(const svi_task *task, bool is_running)
{
    if (task->watched != NULL && task->host->tap->runs != NULL) task->host->tap->runs(task->watched, is_running);
}

typedef enum run_end { RUN_RETURNED, RUN_WAITS, RUN_RAISED } run_end;

static run_end run(svi_task *task, int args)
{
    svi_script *script = task->script;
    svi_task *outer = script->running;
    svi_running here = {.script = script, .L = task->L, .max_us = script->env.max_cpu_us};
    script->running = task;
    tell_runs(task, true);
    svi_script_enter(&here);
    const int status = lua_resume(task->L, script->L, args, &task->results);
    svi_script_leave(&here);
    tell_runs(task, false);
    script->running = outer;
    if (status == LUA_OK) return RUN_RETURNED;
    if (status == LUA_YIELD && task->is_yielding) return RUN_WAITS;
    if (status == LUA_YIELD) {
        lua_settop(task->L, 0);
        lua_pushliteral(task->L, "a handler yields: coroutine.yield is for coroutines that the script makes itself");
    }
    return RUN_RAISED;
}

/* "done" at an occasion, where nothing has to be disposed of. */
static bool says_done(const svi_task *task)
{
    static const char done[] = "done";
    size_t n;
    if (task->results == 0 || lua_type(task->L, 1) != LUA_TSTRING) return false;
    const char *text = lua_tolstring(task->L, 1, &n);
    return n == sizeof done - 1 && memcmp(text, done, n) == 0;
}

/* Whose request raised: if it is one that the script is there for, nobody else will answer it. */
static bool owes_answer(const svi_task *task)
{
    const svi_entry *e = task->entry;
    return e->is_request && e->has_filter && e->is_own && e->may_change && task->script->env.is_undisposed(task->ev);
}

/* What a guard failed to look at does not pass unseen; it meets what it would meet in quarantine (architecture 6). */
static bool is_withheld(const svi_task *task)
{
    const svi_entry *e = task->entry;
    return e->is_guard && e->has_stanza && e->may_change && task->script->env.is_undisposed(task->ev);
}

static sv_verdict withhold(svi_task *task)
{
    const sv_api *api = task->script->sv;
    if (sv_str_eq(api->name(api->root(task->ev)), SV_STR("presence"))) return api->drop(task->ev, "guard-failed");
    return api->refuse(task->ev, SV_SERVICE_UNAVAILABLE);
}

static sv_verdict failed(svi_task *task)
{
    task->is_dead = true;
    const sv_api *api = task->script->sv;
    char reason[REASON_BYTES];
    tell(task, reason);
    tell_tap(task, &(svi_script_end){.verdict = SV_PASS, .error = reason, .is_unknown = task->is_unknown});
    if (task->is_disposed || !task->script->env.is_open(task->ev)) return SV_DONE;
    if (task->entry->is_command) return api->fail(task->ev, SV_FAULT_FAILED, "the script failed: %s", reason);
    if (owes_answer(task)) return api->refuse(task->ev, SV_INTERNAL_SERVER_ERROR);
    if (is_withheld(task)) return withhold(task);
    return SV_PASS;
}

static sv_verdict returned(svi_task *task)
{
    if (task->is_disposed) return SV_DONE;
    if (!says_done(task)) return SV_PASS;
    if (!task->entry->has_stanza && task->entry->may_change) return SV_DONE;
    lua_settop(task->L, 0);
    lua_pushliteral(task->L, "says \"done\", but nothing has become of the stanza: refuse, drop, deliver ... it, or return nothing");
    return failed(task);
}

/* Runs it up to its end or its next wait. `verdict_out` says SV_LATER for a wait; else the task is gone. */
static sv_verdict step(svi_task *task, int args)
{
    const run_end end = run(task, args);
    if (end == RUN_WAITS) {
        task->is_yielding = false;
        put_among_waiting(task);
        if (task->end == NULL) {
            task->end = svi_alloc(task->script->env.acct, sizeof *task->end);
            task->end->task = task;
            task->script->env.at_end(task->ev, event_ended, task->end);
        }
        return SV_LATER;
    }
    const sv_verdict verdict = end == RUN_RETURNED ? returned(task) : failed(task);
    task->verdict = verdict;
    tell_tap(task, &(svi_script_end){.verdict = verdict, .is_unknown = task->is_unknown});
    return verdict;
}

sv_verdict svi_task_run(svi_script_host *host, sv_event *ev, const svi_entry *entry, int function)
{
    svi_script *script = host->script;
    svi_task *task = task_get(host, ev, entry);
    script->is_quota_off = true;
    (void)lua_rawgeti(task->L, LUA_REGISTRYINDEX, function);
    svi_view_push_event(task, task->L);
    script->is_quota_off = false;
    if (host->tap != NULL && !entry->is_command) task->watched = host->tap->begin(host->tap->ctx, ev, (size_t)(entry - script->entries));
    const sv_verdict verdict = step(task, 1);
    if (verdict != SV_LATER) task_put(task, task->is_dead);
    return verdict;
}

sv_verdict svi_script_on_event(sv_event *ev, void *self)
{
    const svi_site *site = self;
    svi_script_host *host = site->host;
    SV_CHECK(host, SVI_SCRIPT_HOST_MAGIC);
    const svi_entry *entry = &host->script->entries[site->index];
    if (entry->own != NULL) return entry->own(host, ev, entry);
    return svi_task_run(host, ev, entry, entry->function);
}

void svi_task_resume(svi_task *task, int (*push)(svi_task *task, lua_State *L, void *ctx), void *ctx)
{
    svi_script *script = task->script;
    take_from_waiting(task);
    task->turn++;
    script->is_quota_off = true;
    const int results = push(task, task->L, ctx);
    script->is_quota_off = false;
    sv_event *ev = task->ev;
    const sv_verdict verdict = step(task, results);
    if (verdict == SV_LATER) return;
    const bool is_at_occasion = !task->is_disposed;
    task_put(task, task->is_dead);
    if (!script->env.is_open(ev)) return;
    if (verdict == SV_PASS)
        script->sv->pass(ev);
    else if (is_at_occasion)
        script->env.end(ev);
}

/* --- without an event -------------------------------------------------------------------------------- */

svi_task *svi_task_call(svi_script_host *host, int function, sv_err *err)
{
    svi_task *task = task_get(host, NULL, NULL);
    char reason[REASON_BYTES];
    (void)lua_rawgeti(task->L, LUA_REGISTRYINDEX, function);
    const run_end end = run(task, 0);
    if (end == RUN_RETURNED) return task;
    task->is_yielding = false;
    tell(task, reason);
    (void)svi_err(err, SV_EINVAL, "%s", reason);
    task_put(task, true);
    return NULL;
}

void svi_task_end(svi_task *task)
{
    lua_settop(task->L, 0); /* also what was put there beside its results */
    task_put(task, false);
}

/* --- what calls ask of it ---------------------------------------------------------------------------- */

svi_task *svi_task_here(lua_State *L)
{
    svi_task *task = svi_script_of(L)->running;
    if (task == NULL) luaL_error(L, "there is no host yet at the top level of a script: do this in sv.start, or in a handler");
    return task;
}

svi_task *svi_task_event(lua_State *L, const char *what)
{
    svi_task *task = svi_task_here(L);
    if (task->ev == NULL) luaL_error(L, "%s needs an event: do this in a handler, a timer or a command", what);
    return task;
}

static const char *right_of(svi_effect effect)
{
    switch (effect) {
    case SVI_EFFECT_SEND: return "sends";
    case SVI_EFFECT_STORE: return "stores";
    case SVI_EFFECT_CHANGE: break;
    }
    return "changes";
}

static void turn_over(void *ctx)
{
    svi_script_host *host = ctx;
    host->begun = 0;
    host->begun_timer = NULL;
}

/* A handler that makes two of one is over soon, and what comes of them never is, nor is the turn in which that happens: timers come
 * behind it. */
void svi_task_begins(svi_task *task, lua_State *L, const char *what)
{
    svi_script_host *host = task->host;
    if (host->begun_timer == NULL) host->begun_timer = task->script->env.timer(host->mod, 0, turn_over, host);
    if (++host->begun > SVI_BEGUN_MAX)
        luaL_error(L, "%s: the script begins more than %d stanzas and occasions at once on this host: let it sleep between", what, SVI_BEGUN_MAX);
}

void svi_task_begins_drop(svi_script_host *host)
{
    if (host->begun_timer != NULL) host->script->env.timer_cancel(host->begun_timer);
    host->begun_timer = NULL;
}

void svi_task_may(svi_task *task, lua_State *L, svi_effect effect, const char *what)
{
    const svi_script *script = task->script;
    const char *at = task->entry != NULL ? task->entry->text : "start";
    if (effect == SVI_EFFECT_CHANGE && task->entry != NULL && !task->entry->may_change)
        luaL_error(L, "%s: the script may only look at \"%s\": to change something there, it needs it under `%s` in sv.script", what, at,
                   right_of(effect));
    if (task->entry != NULL && task->entry->is_monitor)
        luaL_error(L, "%s: a handler of the band monitor only looks", what);
    if (effect == SVI_EFFECT_SEND && script->sends.count == 0)
        luaL_error(L, "%s: the script has no right to send: say where to under `sends` in sv.script", what);
    if (task->ev != NULL && !script->env.is_open(task->ev))
        luaL_error(L, "%s: the event is over", what);
    if (effect == SVI_EFFECT_SEND) svi_task_begins(task, L, what);
    if (++task->effects > SVI_EFFECTS_MAX) luaL_error(L, "%s: more than %d effects in one handler", what, SVI_EFFECTS_MAX);
}

bool svi_task_may_send_to(const svi_task *task, const sv_jid *to)
{
    const svi_script *script = task->script;
    const svi_patterns *sends = &script->sends;
    if (svi_patterns_fit(sends, to->domain)) return true;
    return svi_patterns_fit(sends, SV_STR("host")) && sv_str_eq(to->domain, script->sv->host(task->host->mod));
}

int svi_shadow_unknown(svi_task *task, lua_State *L)
{
    task->is_unknown = true;
    return luaL_error(L, "a shadow makes no call to the outside");
}

void svi_task_makes(svi_task *task, lua_State *L, size_t bytes)
{
    task->made_bytes += bytes;
    if (bytes > SVI_MADE_MAX || task->made_bytes > SVI_MADE_MAX)
        luaL_error(L, "the handler makes more than %d bytes of stanzas and rows", SVI_MADE_MAX);
}

void svi_task_dispose(svi_task *task, lua_State *L, const char *what, bool is_deliver)
{
    if (task->is_disposed && !(is_deliver && task->is_delivered))
        luaL_error(L, "%s: something else has become of the stanza already", what);
    task->is_disposed = true;
    task->is_delivered = is_deliver;
}

void svi_task_check_wait(svi_task *task, lua_State *L, const char *what)
{
    const svi_script *script = task->script;
    if (task->ev == NULL) luaL_error(L, "%s waits, and can't in start or save", what);
    if (L != task->L) luaL_error(L, "%s waits, and can't in a coroutine of the script's own", what);
    if (task->is_disposed) luaL_error(L, "%s waits, and can't behind the verdict", what);
    if (!script->env.may_wait(task->ev))
        luaL_error(L, "%s waits, and can't at \"%s\": it is part of another event, or a MONITOR", what, task->entry->text);
    if (!lua_isyieldable(L)) luaL_error(L, "%s waits, and can't inside sort, gsub or a metamethod", what);
    if (script->waiting_count >= SVI_TASKS_MAX) luaL_error(L, "%s: %d handlers of the script wait already", what, SVI_TASKS_MAX);
}

int svi_task_wait(svi_task *task, lua_State *L)
{
    task->is_yielding = true;
    return lua_yield(L, 0);
}
