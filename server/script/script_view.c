/* Views: what Lua holds of the core's things, each checked before it is used.
 *
 * PERF: a handler's first calls are reads of its event, so a check is one comparison of a mark and one of the serial. */
#include "script/script_calls.h"
#include "script/script_glue.h"
#include "script/script_lib.h"
#include "xml/xml_stanza.h"

/* A stanza that a script keeps. */
typedef struct svi_held {
    const void *mark;
    const sv_stanza *stanza; /* NULL: given back */
    size_t bytes;
    svi_script_host *host;
    struct svi_held *next, **link;
} svi_held;

/* An address; its text lies behind it. */
typedef struct held_jid {
    const void *mark;
    size_t node, domain, bare, full; /* bytes of each */
} held_jid;

/* A declared store. */
typedef struct held_store {
    const void *mark;
    size_t index;
} held_store;

/* Their addresses tell kinds apart; nobody else has them. */
static const char marks[SVI_VIEW_KINDS];

static const char *const names[SVI_VIEW_KINDS] = {
    [SVI_VIEW_EVENT] = "event", [SVI_VIEW_STANZA] = "stanza",   [SVI_VIEW_KEPT] = "stanza", [SVI_VIEW_NODE] = "node",
    [SVI_VIEW_JID] = "jid",     [SVI_VIEW_SESSION] = "session", [SVI_VIEW_ROWS] = "rows",   [SVI_VIEW_STORE] = "svi.store"};

/* --- what is it? --------------------------------------------------------------------------------------- */

/* PERF: an event is no object but a number, which costs nothing to make or to collect (a handler that only looks takes a third
 * less): that of its run, as a pointer that is odd, and so no object's. No two runs of a script have the same one. */
static inline void *token_of(const svi_task *task)
{
    return (void *)(uintptr_t)(task->serial << 1 | 1);
}

static inline bool is_token(const void *p)
{
    return ((uintptr_t)p & 1) != 0;
}

/* Only the host makes userdata: all that a script can get hold of begins with a pointer of ours (script_lib.h). */
static inline void *is_kind(lua_State *L, int index, svi_view_kind kind)
{
    void *p = lua_touserdata(L, index);
    return p != NULL && !is_token(p) && *(const void *const *)p == &marks[kind] ? p : NULL;
}

svi_view_kind svi_view_at(lua_State *L, int index)
{
    const void *const *p = lua_touserdata(L, index);
    if (p == NULL) return SVI_VIEW_KINDS;
    if (is_token(p)) return SVI_VIEW_EVENT;
    int kind = 0;
    while (kind < SVI_VIEW_KINDS && *p != &marks[kind]) kind++;
    return (svi_view_kind)kind;
}

/* --- is it valid? -------------------------------------------------------------------------------------- */

static void *invalid(lua_State *L, const svi_view *view, svi_view_kind kind)
{
    if (view->serial == view->task->serial) {
        luaL_error(L, "the %s belongs to another handler that runs or waits", names[kind]);
        return NULL;
    }
    luaL_error(L, "%s used after its handler returned%s", names[kind],
               kind == SVI_VIEW_STANZA || kind == SVI_VIEW_NODE ? ": ev:stanza():keep() takes a reference" : "");
    return NULL;
}

static svi_view *view_of(lua_State *L, int index, svi_view_kind kind)
{
    svi_view *view = is_kind(L, index, kind);
    if (view == NULL) luaL_typeerror(L, index, names[kind]);
    if (view->serial != view->task->serial || svi_script_of(L)->running != view->task) return invalid(L, view, kind);
    return view;
}

static const void *of_turn(lua_State *L, int index, svi_view_kind kind)
{
    const svi_view *view = view_of(L, index, kind);
    if (view->turn != view->task->turn) luaL_error(L, "%s used after a wait: ask for it again", names[kind]);
    return view->p;
}

/* A kept stanza is its host's, which gives it back when it goes. */
static const sv_stanza *of_held(lua_State *L, const svi_held *held)
{
    if (held->stanza == NULL) luaL_error(L, "the stanza was kept on a host where the script has ended");
    if (svi_task_here(L)->host != held->host) luaL_error(L, "the stanza was kept on another host");
    return held->stanza;
}

svi_task *svi_arg_event(lua_State *L, int index)
{
    svi_task *task = svi_script_of(L)->running;
    const void *p = lua_touserdata(L, index);
    if (task != NULL && p == token_of(task)) return task;
    if (!is_token(p)) luaL_typeerror(L, index, names[SVI_VIEW_EVENT]);
    luaL_error(L, "event used after its handler returned, or in another one");
    return NULL;
}

const sv_stanza *svi_arg_stanza(lua_State *L, int index)
{
    const svi_held *held = is_kind(L, index, SVI_VIEW_KEPT);
    return held != NULL ? of_held(L, held) : view_of(L, index, SVI_VIEW_STANZA)->p;
}

const sv_node *svi_arg_node(lua_State *L, int index, const sv_stanza **owner_out)
{
    const svi_view *view = view_of(L, index, SVI_VIEW_NODE);
    if (owner_out != NULL) *owner_out = view->owner;
    return view->p;
}

sv_session *svi_arg_session(lua_State *L, int index)
{
    return (sv_session *)(uintptr_t)of_turn(L, index, SVI_VIEW_SESSION);
}

const sv_rows *svi_arg_rows(lua_State *L, int index)
{
    return of_turn(L, index, SVI_VIEW_ROWS);
}

size_t svi_arg_store(lua_State *L, int index)
{
    const held_store *store = is_kind(L, index, SVI_VIEW_STORE);
    if (store == NULL) luaL_typeerror(L, index, "store");
    SV_ASSERT(store->index < svi_script_of(L)->store_count);
    return store->index;
}

/* --- making them --------------------------------------------------------------------------------------- */

static void set_kind(lua_State *L, svi_view_kind kind)
{
    (void)lua_rawgeti(L, LUA_REGISTRYINDEX, svi_script_of(L)->views[kind]);
    (void)lua_setmetatable(L, -2);
}

int svi_push_store(lua_State *L, size_t store)
{
    held_store *held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = (held_store){.mark = &marks[SVI_VIEW_STORE], .index = store};
    set_kind(L, SVI_VIEW_STORE);
    return 1;
}

static svi_view *push_view(lua_State *L, svi_task *task, svi_view_kind kind, const void *p, int values)
{
    svi_view *view = lua_newuserdatauv(L, sizeof *view, values);
    *view = (svi_view){.mark = &marks[kind], .has_value = values > 0, .p = p, .task = task, .serial = task->serial, .turn = task->turn};
    set_kind(L, kind);
    return view;
}

static void push_or_nil(lua_State *L, svi_task *task, svi_view_kind kind, const void *p)
{
    if (p != NULL)
        (void)push_view(L, task, kind, p, 0);
    else
        lua_pushnil(L);
}

void svi_view_push_event(svi_task *task, lua_State *L)
{
    lua_pushlightuserdata(L, token_of(task));
}

void svi_push_stanza(lua_State *L, svi_task *task, const sv_stanza *stanza)
{
    push_or_nil(L, task, SVI_VIEW_STANZA, stanza);
}

void svi_push_session(lua_State *L, svi_task *task, sv_session *session)
{
    push_or_nil(L, task, SVI_VIEW_SESSION, session);
}

void svi_push_rows(lua_State *L, svi_task *task, const sv_rows *rows)
{
    push_or_nil(L, task, SVI_VIEW_ROWS, rows);
}

void svi_push_node(lua_State *L, svi_task *task, const sv_node *node, const sv_stanza *owner)
{
    push_or_nil(L, task, SVI_VIEW_NODE, node);
    if (node != NULL) ((svi_view *)lua_touserdata(L, -1))->owner = owner;
}

/* A node of a stanza that is kept holds that, so that it is not collected before. */
void svi_push_node_of(lua_State *L, int index, const sv_node *node)
{
    if (node == NULL) {
        lua_pushnil(L);
        return;
    }
    svi_task *task = svi_task_here(L);
    const svi_view *node_view = is_kind(L, index, SVI_VIEW_NODE);
    const bool is_node = node_view != NULL;
    const svi_held *held = is_node ? NULL : is_kind(L, index, SVI_VIEW_KEPT);
    const sv_stanza *owner;
    if (is_node)
        (void)svi_arg_node(L, index, &owner);
    else
        owner = svi_arg_stanza(L, index);
    bool has_value = held != NULL;
    if (is_node && node_view->has_value) {
        has_value = true;
        (void)lua_getiuservalue(L, index, 1);
    } else if (has_value) {
        lua_pushvalue(L, index);
    }
    push_view(L, task, SVI_VIEW_NODE, node, has_value)->owner = owner;
    if (!has_value) return;
    lua_insert(L, -2);
    (void)lua_setiuservalue(L, -2, 1);
}

/* An edit without a change shares the stanza, and goes with the event. */
void svi_view_pin(svi_task *task, lua_State *L, const sv_stanza *stanza)
{
    svi_task_makes(task, L, 256);
    (void)task->script->sv->with_attrs(task->ev, stanza, NULL, 0);
}

/* --- kept stanzas -------------------------------------------------------------------------------------- */

static bool has_room(const svi_script_host *host, const sv_stanza *stanza)
{
    return host->held_count < SVI_HELD_MAX && svi_stanza_held_bytes(stanza) + host->held_bytes <= SVI_HELD_BYTES_MAX;
}

/* Lua knows how small a reference is, not how large the stanza; so before one is refused it looks what was let go of. */
bool svi_view_may_keep(svi_task *task, lua_State *L, const sv_stanza *stanza)
{
    if (has_room(task->host, stanza)) return true;
    (void)lua_gc(L, LUA_GCCOLLECT);
    return has_room(task->host, stanza);
}

int svi_view_push_kept(svi_task *task, lua_State *L, const sv_stanza *stanza)
{
    svi_script_host *host = task->host;
    svi_held *held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = (svi_held){.mark = &marks[SVI_VIEW_KEPT]};
    set_kind(L, SVI_VIEW_KEPT);
    *held = (svi_held){.mark = &marks[SVI_VIEW_KEPT], .stanza = task->script->sv->stanza_ref(host->mod, stanza), .host = host, .bytes = svi_stanza_held_bytes(stanza),
                        .next = host->held, .link = &host->held};
    if (held->next != NULL) held->next->link = &held->next;
    host->held = held;
    host->held_count++;
    host->held_bytes += held->bytes;
    return 1;
}

static void give_back(svi_held *held)
{
    svi_script_host *host = held->host;
    if (held->stanza == NULL) return;
    *held->link = held->next;
    if (held->next != NULL) held->next->link = held->link;
    host->held_count--;
    host->held_bytes -= held->bytes;
    host->script->sv->stanza_unref(host->mod, &held->stanza);
}

static int kept_gc(lua_State *L)
{
    give_back(lua_touserdata(L, 1));
    return 0;
}

void svi_script_held_drop(svi_script_host *host)
{
    while (host->held != NULL) give_back(host->held);
}

/* stanza:keep(): stanza */
int svi_lua_stanza_keep(lua_State *L)
{
    const sv_stanza *stanza = svi_arg_stanza(L, 1);
    svi_task *task = svi_task_here(L);
    const bool may_keep = svi_view_may_keep(task, L, stanza);
    if (!may_keep && task->host->held_count >= SVI_HELD_MAX)
        return luaL_error(L, "keep: the script keeps %d stanzas already: let go of what it does not need", SVI_HELD_MAX);
    if (!may_keep)
        return luaL_error(L, "keep: the stanzas that the script keeps take more than %d bytes", SVI_HELD_BYTES_MAX);
    return svi_view_push_kept(task, L, stanza);
}

/* --- addresses ----------------------------------------------------------------------------------------- */

void svi_push_jid(lua_State *L, const sv_jid *jid)
{
    if (jid == NULL || jid->full.n == 0) {
        lua_pushnil(L);
        return;
    }
    held_jid *held = lua_newuserdatauv(L, sizeof *held + jid->full.n, 0);
    *held = (held_jid){.mark = &marks[SVI_VIEW_JID], .node = jid->node.n, .domain = jid->domain.n, .bare = jid->bare.n, .full = jid->full.n};
    memcpy(held + 1, jid->full.p, jid->full.n);
    set_kind(L, SVI_VIEW_JID);
}

/* As it was when it was pushed: node@domain/resource, in one text. */
static sv_jid jid_of(const held_jid *held)
{
    const char *text = (const char *)(held + 1);
    const size_t domain = held->node > 0 ? held->node + 1 : 0, resource = held->bare + (held->full > held->bare);
    return (sv_jid){.node = {text, held->node},
                    .domain = {text + domain, held->domain},
                    .resource = {text + resource, held->full - resource},
                    .bare = {text, held->bare},
                    .full = {text, held->full}};
}

void svi_arg_jid(lua_State *L, int index, svi_task *task, sv_jid *jid_out)
{
    const held_jid *held = is_kind(L, index, SVI_VIEW_JID);
    if (held != NULL) {
        *jid_out = jid_of(held);
        return;
    }
    if (lua_type(L, index) != LUA_TSTRING) luaL_typeerror(L, index, "jid or text");
    const sv_str text = svi_arg_str(L, index);
    svi_task_makes(task, L, text.n * 4 + 64);
    if (!task->script->sv->jid_parse(task->ev, text, jid_out))
        luaL_argerror(L, index, lua_pushfstring(L, "\"%s\" is no address, such as romeo@example.org", text.p));
}

static const held_jid *arg_held_jid(lua_State *L, int index)
{
    const held_jid *held = is_kind(L, index, SVI_VIEW_JID);
    if (held == NULL) luaL_typeerror(L, index, "jid");
    return held;
}

static int jid_index(lua_State *L)
{
    const sv_jid jid = jid_of(arg_held_jid(L, 1));
    const struct {
        const char *name;
        sv_str part;
    } parts[] = {{"node", jid.node}, {"domain", jid.domain}, {"resource", jid.resource}, {"bare", jid.bare}, {"full", jid.full}};
    const char *key = luaL_checkstring(L, 2);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(key, parts[i].name) != 0) continue;
        if (parts[i].part.n > 0)
            svi_push_str(L, parts[i].part);
        else
            lua_pushnil(L);
        return 1;
    }
    return luaL_error(L, "a jid has node, domain, resource, bare and full, but no \"%s\"", key);
}

static int jid_tostring(lua_State *L)
{
    svi_push_str(L, jid_of(arg_held_jid(L, 1)).full);
    return 1;
}

static int jid_eq(lua_State *L)
{
    const held_jid *a = is_kind(L, 1, SVI_VIEW_JID), *b = is_kind(L, 2, SVI_VIEW_JID);
    lua_pushboolean(L, a != NULL && b != NULL && sv_str_eq(jid_of(a).full, jid_of(b).full));
    return 1;
}

static int jid_concat(lua_State *L)
{
    for (int i = 1; i <= 2; i++) {
        const held_jid *held = is_kind(L, i, SVI_VIEW_JID);
        if (held != NULL) {
            svi_push_str(L, jid_of(held).full);
        } else {
            (void)luaL_checkstring(L, i);
            lua_pushvalue(L, i);
        }
    }
    lua_concat(L, 2);
    return 1;
}

/* --- metatables ---------------------------------------------------------------------------------------- */

/* A word instead of an address: what a script logs tells nothing of the server's memory. */
static int view_tostring(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

static int no_such_method(lua_State *L)
{
    return luaL_error(L, "a %s has no method \"%s\"", lua_tostring(L, lua_upvalueindex(1)), svi_script_tostring(L, 2).p);
}

/* Methods are found in a plain table; what is not there ends in an error that says so. */
static void set_methods(lua_State *L, const luaL_Reg *methods, const char *name)
{
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, name);
    lua_pushcclosure(L, no_such_method, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "__index");
}

static void open_kind(lua_State *L, svi_view_kind kind, const luaL_Reg *methods)
{
    const char *name = kind == SVI_VIEW_STORE ? "store" : names[kind];
    (void)luaL_newmetatable(L, kind == SVI_VIEW_KEPT ? "svi.kept" : names[kind]);
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__name");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__metatable");
    lua_pushcclosure(L, view_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    if (methods != NULL) set_methods(L, methods, name);
    lua_pushvalue(L, -1);
    svi_script_of(L)->views[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The metatable on top of the stack is that of all numbers of events. */
static void set_of_tokens(lua_State *L)
{
    _Static_assert(sizeof(uintptr_t) == sizeof(uint64_t), "runs are counted with 63 bits");
    lua_pushlightuserdata(L, NULL);
    lua_pushvalue(L, -2);
    (void)lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void svi_script_open_views(lua_State *L)
{
    static const luaL_Reg jid_meta[] = {{"__index", jid_index}, {"__tostring", jid_tostring}, {"__eq", jid_eq}, {"__concat", jid_concat}, {NULL, NULL}};
    static const luaL_Reg *const methods[SVI_VIEW_KINDS] = {
        [SVI_VIEW_EVENT] = svi_lua_event,     [SVI_VIEW_STANZA] = svi_lua_stanza, [SVI_VIEW_KEPT] = svi_lua_stanza,
        [SVI_VIEW_NODE] = svi_lua_node,       [SVI_VIEW_SESSION] = svi_lua_session, [SVI_VIEW_ROWS] = svi_lua_rows,
        [SVI_VIEW_STORE] = svi_lua_store};
    for (int kind = 0; kind < SVI_VIEW_KINDS; kind++) {
        open_kind(L, (svi_view_kind)kind, methods[kind]);
        if (kind == SVI_VIEW_JID) luaL_setfuncs(L, jid_meta, 0);
        if (kind == SVI_VIEW_KEPT) {
            lua_pushcfunction(L, kept_gc);
            lua_setfield(L, -2, "__gc");
        }
        if (kind == SVI_VIEW_EVENT) set_of_tokens(L);
        lua_pop(L, 1);
    }
    luaL_setfuncs(L, svi_lua_sv, 0);
}
