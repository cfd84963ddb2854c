/* What makes stanzas easy to read in Lua, and sessions. */
#include "script/script_calls.h"
#include "script/script_glue.h"
#include "xml/xml_stanza.h"

enum { ITEM_BYTES_MAX = 4096, ITEM_NAME_MAX = 64, HOLD_MAX = 1000000000 };

/* The node at that place of the stack, or a stanza's root. */
static const sv_node *node_at(lua_State *L, int index)
{
    const svi_view_kind kind = svi_view_at(L, index);
    const bool is_stanza = kind == SVI_VIEW_STANZA || kind == SVI_VIEW_KEPT;
    return is_stanza ? svi_stanza_root(svi_arg_stanza(L, index)) : svi_arg_node(L, index, NULL);
}

/* --- elements ------------------------------------------------------------------------------------------ */

/* Upvalues: the parent, and which child is looked at next. */
static int next_child(lua_State *L)
{
    const int parent_at = lua_upvalueindex(1), place_at = lua_upvalueindex(2);
    const sv_node *parent = node_at(L, parent_at), *child = NULL;
    size_t i = (size_t)lua_tointeger(L, place_at);
    while (child == NULL && svi_node_child_at(parent, i, &child, NULL)) i++;
    lua_pushinteger(L, (lua_Integer)i);
    lua_replace(L, place_at);
    svi_push_node_of(L, parent_at, child);
    return 1;
}

/* node:children(): iterator */
int svi_lua_node_children(lua_State *L)
{
    (void)node_at(L, 1);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_child, 2);
    return 1;
}

/* node:next(child: node): node? */
int svi_lua_node_next(lua_State *L)
{
    const sv_node *parent = svi_arg_node(L, 1, NULL), *child = svi_arg_node(L, 2, NULL), *at = NULL;
    for (size_t i = 0; at != child && svi_node_child_at(parent, i, &at, NULL);) i++;
    if (at != child) return luaL_argerror(L, 2, "it is no child of this node");
    svi_push_node_of(L, 1, svi_script_of(L)->sv->next(parent, child));
    return 1;
}

/* node:table(): table */
int svi_lua_node_table(lua_State *L)
{
    svi_build_table(L, node_at(L, 1));
    return 1;
}

static int has(lua_State *L, const sv_node *node)
{
    lua_pushboolean(L, svi_node_find(node, svi_arg_str(L, 2), svi_arg_str_or_none(L, 3)) != NULL);
    return 1;
}

/* node:has(name: string, ns: string?): boolean */
int svi_lua_node_has(lua_State *L)
{
    return has(L, node_at(L, 1));
}

static int text_of(lua_State *L, svi_task *task, const sv_node *node)
{
    const sv_node *child = svi_node_find(node, svi_arg_str(L, 2), svi_arg_str_or_none(L, 3));
    if (child == NULL) {
        lua_pushnil(L);
        return 1;
    }
    const sv_str text = task->script->sv->text(task->ev, child);
    svi_task_makes(task, L, text.n);
    svi_push_str(L, text);
    return 1;
}

/* node:text_of(name: string, ns: string?): string? */
int svi_lua_node_text_of(lua_State *L)
{
    const sv_node *node = node_at(L, 1);
    return text_of(L, svi_task_event(L, "text_of"), node);
}

/* stanza:children(): iterator */
int svi_lua_stanza_children(lua_State *L)
{
    return svi_lua_node_children(L);
}

/* stanza:table(): table */
int svi_lua_stanza_table(lua_State *L)
{
    return svi_lua_node_table(L);
}

/* stanza:has(name: string, ns: string?): boolean */
int svi_lua_stanza_has(lua_State *L)
{
    return svi_lua_node_has(L);
}

/* stanza:text_of(name: string, ns: string?): string? */
int svi_lua_stanza_text_of(lua_State *L)
{
    return svi_lua_node_text_of(L);
}

/* --- the event's stanza ---------------------------------------------------------------------------------- */

static const sv_node *root_of(lua_State *L, const svi_task *task, const char *what)
{
    const sv_node *root = task->script->sv->root(task->ev);
    if (root == NULL) luaL_error(L, "%s: there is no stanza at \"%s\"", what, task->entry->text);
    return root;
}

/* event:attr(name: string): string? */
int svi_lua_event_attr(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_push_str_or_nil(L, svi_node_attr(root_of(L, task, "attr"), svi_arg_str(L, 2)));
    return 1;
}

/* event:has(name: string, ns: string?): boolean */
int svi_lua_event_has(lua_State *L)
{
    return has(L, root_of(L, svi_arg_event(L, 1), "has"));
}

/* event:text_of(name: string, ns: string?): string? */
int svi_lua_event_text_of(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    return text_of(L, task, root_of(L, task, "text_of"));
}

/* --- sessions ------------------------------------------------------------------------------------------ */

/* session:presence(): stanza?. It stays until the event ends, whatever the session does. */
int svi_lua_session_presence(lua_State *L)
{
    const sv_session *session = svi_arg_session(L, 1);
    svi_task *task = svi_task_event(L, "presence");
    const sv_stanza *presence = task->script->sv->session_presence(session);
    if (presence != NULL) svi_view_pin(task, L, presence);
    svi_push_stanza(L, task, presence);
    return 1;
}

/* What a script calls items is bounded, since nothing takes them away before the session ends. */
static void note_item(lua_State *L, const char *name)
{
    svi_script *script = svi_script_of(L);
    for (size_t i = 0; i < script->item_count; i++)
        if (strcmp(script->items[i], name) == 0) return;
    if (script->item_count == SVI_RULES_MAX) luaL_error(L, "set_item: the script has more than %d names of items", SVI_RULES_MAX);
    script->items[script->item_count++] = svi_arena_str(script->arena, sv_str_of(name)).p;
}

/* Other modules rely on theirs: what the block list is, who was told of presence. So a script's begin with its own name. */
static void check_own_item(lua_State *L, const char *name)
{
    const char *own = svi_script_of(L)->name;
    const size_t n = strlen(own);
    if (strncmp(name, own, n) != 0 || (name[n] != '\0' && strchr("-/.", name[n]) == NULL))
        luaL_error(L, "set_item: \"%s\" may be another module's: the items of this script are \"%s\", \"%s-...\" and \"%s/...\"", name, own, own, own);
}

/* session:set_item(name: string, value: string?) */
int svi_lua_session_set_item(lua_State *L)
{
    sv_session *session = svi_arg_session(L, 1);
    svi_task *task = svi_task_event(L, "set_item");
    const char *name = svi_arg_name(L, 2, "_/.", ITEM_NAME_MAX, "items");
    const sv_str value = svi_arg_str_or_none(L, 3);
    if (value.n > ITEM_BYTES_MAX) return luaL_error(L, "set_item: the value has more than %d bytes", ITEM_BYTES_MAX);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, "set_item");
    check_own_item(L, name);
    if (!sv_str_eq(task->script->sv->session_jid(session)->domain, task->script->sv->host(task->host->mod)))
        return luaL_error(L, "set_item: the session is one of another host");
    note_item(L, name);
    task->script->sv->session_set_item(session, name, value);
    return 0;
}

/* The session, which must be one of the script's host; the call is an effect. */
static sv_session *own_session(lua_State *L, svi_task *task, const char *what)
{
    sv_session *session = svi_arg_session(L, 1);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, what);
    if (!sv_str_eq(task->script->sv->session_jid(session)->domain, task->script->sv->host(task->host->mod)))
        luaL_error(L, "%s: the session is one of another host", what);
    return session;
}

/* session:hold(max_stanzas: integer, max_bytes: integer, max_ms: integer) */
int svi_lua_session_hold(lua_State *L)
{
    svi_task *task = svi_task_event(L, "hold");
    sv_session *session = own_session(L, task, "hold");
    sv_hold bounds = {.size = sizeof bounds};
    int64_t given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = luaL_checkinteger(L, i + 2);
        luaL_argcheck(L, given[i] >= 1 && given[i] <= HOLD_MAX, i + 2, "it is from 1 to 1000000000");
    }
    bounds.max_stanzas = (size_t)given[0];
    bounds.max_bytes = (size_t)given[1];
    bounds.max_ms = given[2];
    (void)task->script->sv->session_hold(session, &bounds);
    return 0;
}

/* session:release() */
int svi_lua_session_release(lua_State *L)
{
    svi_task *task = svi_task_event(L, "release");
    task->script->sv->session_release(own_session(L, task, "release"));
    return 0;
}

/* event:session_next(account: jid, after: session?): session? */
int svi_lua_event_session_next(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    sv_jid account;
    svi_arg_jid(L, 2, task, &account);
    sv_session *after = lua_isnoneornil(L, 3) ? NULL : svi_arg_session(L, 3);
    if (after != NULL && !sv_str_eq(api->session_jid(after)->bare, account.bare))
        return luaL_argerror(L, 3, "it is a session of another account");
    svi_push_session(L, task, api->session_next(task->ev, &account, after));
    return 1;
}

/* event:session_set_presence(session: session, presence: element?, priority: integer) */
int svi_lua_event_session_set_presence(lua_State *L)
{
    static const char what[] = "session_set_presence";
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    sv_session *session = svi_arg_session(L, 2);
    const sv_stanza *presence = lua_isnoneornil(L, 3) ? NULL : svi_build_stanza(task, L, 3, what);
    const int priority = lua_isnoneornil(L, 4) ? 0 : (int)svi_arg_int(L, 4, -128, 127);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, what);
    if (presence != NULL && !api->is(api->stanza_root(presence), SV_STR("presence"), SV_STR(SVI_NS_CLIENT)))
        return luaL_error(L, "%s: it takes a presence of jabber:client", what);
    if (!sv_str_eq(api->session_jid(session)->domain, api->host(task->host->mod)))
        return luaL_error(L, "%s: the session is one of another host", what);
    api->session_set_presence(task->ev, session, presence, priority);
    return 0;
}
