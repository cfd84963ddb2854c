/* Stores: values by owner and key. What reads may wait, what writes goes into the event's unit. */
#include "script/script_calls.h"
#include "script/script_glue.h"

enum { OWNER_MAX = 1023, KEY_MAX = 3071, ROWS_COST = 256 };

/* --- arguments ----------------------------------------------------------------------------------------- */

static sv_store *store_of(svi_task *task, lua_State *L, size_t index)
{
    const svi_script_host *host = task->host;
    if (host->stores == NULL || host->stores[index] == NULL) luaL_error(L, "the store is not open yet: stores are used in handlers");
    return host->stores[index];
}

sv_store *svi_arg_store_to_write(svi_task *task, lua_State *L, int index, const char *what)
{
    const size_t i = svi_arg_store(L, index);
    const svi_script_store *declared = &task->script->stores[i];
    if (task->entry != NULL && task->entry->stores_nothing)
        luaL_error(L, "%s: the hook \"%s\" says that it stores nothing: take `stores = false` away from it", what, task->entry->text);
    if (!declared->may_write)
        luaL_error(L, "%s: the script may only read \"%s/%s\": say \"%s/%s write\" under `stores` in sv.script", what, declared->owner,
                   declared->name, declared->owner, declared->name);
    return store_of(task, L, i);
}

static sv_str arg_up_to(lua_State *L, int index, size_t max, const char *what)
{
    const sv_str text = svi_arg_str(L, index);
    if (text.n > max) luaL_argerror(L, index, lua_pushfstring(L, "%s of more than %d bytes", what, (int)max));
    return text;
}

sv_str svi_arg_owner(lua_State *L, int index)
{
    return arg_up_to(L, index, OWNER_MAX, "an owner");
}

sv_str svi_arg_key(lua_State *L, int index)
{
    return lua_isnoneornil(L, index) ? SV_STR("") : arg_up_to(L, index, KEY_MAX, "a key");
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* What a read came to. */
typedef struct came {
    sv_status status;
    sv_str value;
    sv_rows *rows;
} came;

static int push_value(svi_task *task, lua_State *L, void *ctx)
{
    (void)task;
    const came *c = ctx;
    if (c->status != SV_OK) return svi_push_status(L, c->status);
    svi_push_str(L, c->value);
    return 1;
}

static void on_value(sv_event *ev, sv_status status, sv_str value, void *self)
{
    svi_task *task = svi_task_of(self, ev);
    if (task != NULL) svi_task_resume(task, push_value, &(came){.status = status, .value = value});
}

/* store:get(owner: string, key: string?): string?, word yields */
int svi_lua_store_get(lua_State *L)
{
    const size_t index = svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:get");
    sv_store *store = store_of(task, L, index);
    const sv_str owner = svi_arg_owner(L, 2), key = svi_arg_key(L, 3);
    svi_task_check_wait(task, L, "store:get");
    task->script->sv->get(task->ev, store, owner, key, on_value);
    return svi_task_wait(task, L);
}

static int push_rows(svi_task *task, lua_State *L, void *ctx)
{
    const came *c = ctx;
    if (c->status != SV_OK || c->rows == NULL) return svi_push_status(L, c->status != SV_OK ? c->status : SV_ENOTFOUND);
    svi_push_rows(L, task, c->rows);
    return 1;
}

static void on_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    svi_task *task = svi_task_of(self, ev);
    if (task != NULL) svi_task_resume(task, push_rows, &(came){.status = status, .rows = rows});
}

/* store:rows(owner: string): rows?, word yields */
int svi_lua_store_rows(lua_State *L)
{
    const size_t index = svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:rows");
    const sv_api *api = task->script->sv;
    sv_store *store = store_of(task, L, index);
    const sv_str owner = svi_arg_owner(L, 2);
    svi_task_makes(task, L, ROWS_COST);
    const sv_rows *rows = api->rows(task->ev, store, owner);
    if (rows != NULL) {
        svi_push_rows(L, task, rows);
        return 1;
    }
    svi_task_check_wait(task, L, "store:rows");
    api->rows_load(task->ev, store, owner, on_rows);
    return svi_task_wait(task, L);
}

/* store:keep(session: session): rows?, word yields */
int svi_lua_store_keep(lua_State *L)
{
    const size_t index = svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:keep");
    const sv_api *api = task->script->sv;
    sv_store *store = store_of(task, L, index);
    sv_session *session = svi_arg_session(L, 2);
    if (!sv_str_eq(api->session_jid(session)->domain, api->host(task->host->mod)))
        return luaL_error(L, "store:keep: the session is one of another host");
    svi_task_makes(task, L, ROWS_COST);
    svi_task_check_wait(task, L, "store:keep");
    api->rows_keep(task->ev, store, session, on_rows);
    return svi_task_wait(task, L);
}

/* store:held(owner: string): boolean */
int svi_lua_store_held(lua_State *L)
{
    const size_t index = svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:held");
    sv_store *store = store_of(task, L, index);
    const sv_str owner = svi_arg_owner(L, 2);
    if (!task->script->env.is_open(task->ev)) return luaL_error(L, "store:held: the event is over");
    lua_pushboolean(L, task->script->sv->rows_held(task->ev, store, owner));
    return 1;
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* store:put(owner: string, key: string, value: string): boolean?, word */
int svi_lua_store_put(lua_State *L)
{
    (void)svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:put");
    sv_store *store = svi_arg_store_to_write(task, L, 1, "store:put");
    const sv_str owner = svi_arg_owner(L, 2), key = svi_arg_key(L, 3), value = svi_arg_str(L, 4);
    svi_task_makes(task, L, owner.n + key.n + value.n);
    svi_task_may(task, L, SVI_EFFECT_STORE, "store:put");
    return svi_push_status(L, task->script->sv->put(task->ev, store, owner, key, value));
}

/* store:del(owner: string, key: string?): boolean?, word */
int svi_lua_store_del(lua_State *L)
{
    (void)svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:del");
    sv_store *store = svi_arg_store_to_write(task, L, 1, "store:del");
    const sv_str owner = svi_arg_owner(L, 2), key = svi_arg_key(L, 3);
    svi_task_makes(task, L, owner.n + key.n);
    svi_task_may(task, L, SVI_EFFECT_STORE, "store:del");
    return svi_push_status(L, task->script->sv->del(task->ev, store, owner, key));
}

/* store:del_owner(owner: string): boolean?, word */
int svi_lua_store_del_owner(lua_State *L)
{
    (void)svi_arg_store(L, 1);
    svi_task *task = svi_task_event(L, "store:del_owner");
    sv_store *store = svi_arg_store_to_write(task, L, 1, "store:del_owner");
    const sv_str owner = svi_arg_owner(L, 2);
    svi_task_makes(task, L, owner.n);
    svi_task_may(task, L, SVI_EFFECT_STORE, "store:del_owner");
    return svi_push_status(L, task->script->sv->del_owner(task->ev, store, owner));
}

/* --- rows ---------------------------------------------------------------------------------------------- */

/* rows:next(key: string?): string?, string? */
int svi_lua_rows_next(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    sv_str key = lua_isnoneornil(L, 2) ? SV_STR_NONE : arg_up_to(L, 2, KEY_MAX, "a key"), value;
    if (!svi_script_of(L)->sv->row_next(rows, &key, &value)) {
        lua_pushnil(L);
        return 1;
    }
    svi_push_str(L, key);
    svi_push_str(L, value);
    return 2;
}

/* rows:pairs(): iterator */
int svi_lua_rows_pairs(lua_State *L)
{
    (void)svi_arg_rows(L, 1);
    lua_pushcfunction(L, svi_lua_rows_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}
