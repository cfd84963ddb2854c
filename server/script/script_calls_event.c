/* Verdicts and what a handler sends: whatever a script passes is checked here, so that nothing of it can break a rule of the core. */
#include "script/script_calls.h"
#include "script/script_glue.h"

enum { HOLD_KEY_MAX = 4096 };

/* --- what every verdict asks --------------------------------------------------------------------------- */

/* Raises if the event's stanza can't be disposed of here. */
static void may_dispose(svi_task *task, lua_State *L, const char *what, bool is_deliver)
{
    svi_task_may(task, L, SVI_EFFECT_CHANGE, what);
    if (!task->entry->has_stanza || task->script->sv->stanza(task->ev) == NULL)
        luaL_error(L, "%s: there is no stanza at \"%s\"", what, task->entry->text);
    const bool is_again = task->is_disposed || (is_deliver && task->is_delivered);
    if (!is_again && !task->script->env.is_undisposed(task->ev))
        luaL_error(L, "%s: the stanza was disposed of by somebody else", what);
}

static bool is_request(const svi_task *task)
{
    const sv_api *api = task->script->sv;
    const sv_str type = api->type(task->ev);
    return sv_str_eq(api->name(api->root(task->ev)), SV_STR("iq")) && (sv_str_eq(type, SV_STR("get")) || sv_str_eq(type, SV_STR("set")));
}

/* event:reply(payload: element?): verdict */
int svi_lua_event_reply(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    may_dispose(task, L, "reply", false);
    if (!is_request(task)) return luaL_error(L, "reply: it answers an IQ of type get or set, and this is none");
    const sv_stanza *owner = NULL;
    const sv_node *payload = lua_isnoneornil(L, 2) ? NULL : svi_build_payload(task, L, 2, "reply", &owner);
    if (payload != NULL) svi_build_count(task, L, payload, "reply");
    svi_task_dispose(task, L, "reply", false);
    if (payload != NULL)
        svi_build_fill(task, owner, payload, api->reply(task->ev, api->name(payload), api->ns(payload)));
    else
        (void)api->reply(task->ev, SV_STR_NONE, SV_STR_NONE);
    (void)api->send(task->ev);
    return svi_push_done(L);
}

/* The Lua function that called refuse, or that said `return ev:refuse`. */
static void tell_refusal(svi_task *task, lua_State *L, sv_cond cond)
{
    lua_Debug ar;
    if (task->script->env.refuses == NULL || !lua_getstack(L, 1, &ar) || !lua_getinfo(L, "Sl", &ar)) return;
    task->script->env.refuses(task->host->mod, cond, ar.short_src, ar.currentline);
}

static sv_cond arg_cond(lua_State *L, int index)
{
    return (sv_cond)(svi_arg_choice(L, index, svi_script_conds, "condition of an error") + 1);
}

/* Also at account/removing, where it keeps the account. */
static void may_refuse(svi_task *task, lua_State *L)
{
    if (strcmp(task->entry->text, "account/removing") != 0)
        may_dispose(task, L, "refuse", false);
    else
        svi_task_may(task, L, SVI_EFFECT_CHANGE, "refuse");
}

/* event:refuse(cond: cond, text: string?): verdict */
int svi_lua_event_refuse(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    may_refuse(task, L);
    const sv_cond cond = arg_cond(L, 2);
    const sv_str text = svi_arg_str_or_none(L, 3);
    svi_check_xml(L, text, "refuse: the text");
    svi_task_makes(task, L, text.n);
    svi_task_dispose(task, L, "refuse", false);
    tell_refusal(task, L, cond);
    (void)task->script->sv->refuse_text(task->ev, cond, text);
    return svi_push_done(L);
}

/* event:refuse_with(cond: cond, type: string?, specific: element): verdict */
int svi_lua_event_refuse_with(lua_State *L)
{
    static const char *const types[] = {"auth", "cancel", "continue", "modify", "wait", NULL};
    svi_task *task = svi_arg_event(L, 1);
    may_dispose(task, L, "refuse_with", false);
    const sv_cond cond = arg_cond(L, 2);
    const sv_str type = lua_isnoneornil(L, 3) ? SV_STR_NONE : sv_str_of(types[svi_arg_choice(L, 3, types, "type of an error")]);
    const sv_draft *specific = svi_build_draft(task, L, 4, SV_STR_NONE, "refuse_with");
    svi_task_dispose(task, L, "refuse_with", false);
    tell_refusal(task, L, cond);
    (void)task->script->sv->refuse_with(task->ev, cond, type, specific);
    return svi_push_done(L);
}

/* The same text at each call: the ledger counts by it. */
static const char *rule_of(lua_State *L, const char *name)
{
    svi_script *script = svi_script_of(L);
    for (size_t i = 0; i < script->rule_count; i++)
        if (strcmp(script->rules[i], name) == 0) return script->rules[i];
    if (script->rule_count == SVI_RULES_MAX)
        luaL_error(L, "drop: the script drops by more than %d rules: let one stand for several", SVI_RULES_MAX);
    return script->rules[script->rule_count++] = svi_arena_str(script->arena, sv_str_of(name)).p;
}

/* event:drop(rule: string): verdict */
int svi_lua_event_drop(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    may_dispose(task, L, "drop", false);
    const char *rule = rule_of(L, svi_arg_name(L, 2, "", 48, "rules"));
    svi_task_dispose(task, L, "drop", false);
    tell_refusal(task, L, (sv_cond)0);
    (void)task->script->sv->drop(task->ev, rule);
    return svi_push_done(L);
}

/* event:consume(): verdict */
int svi_lua_event_consume(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    may_dispose(task, L, "consume", false);
    svi_task_dispose(task, L, "consume", false);
    (void)task->script->sv->consume(task->ev);
    return svi_push_done(L);
}

/* event:stored(): verdict */
int svi_lua_event_stored(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    may_dispose(task, L, "stored", false);
    svi_task_dispose(task, L, "stored", false);
    (void)task->script->sv->stored(task->ev);
    return svi_push_done(L);
}

/* event:hold(key: string?): verdict */
int svi_lua_event_hold(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    may_dispose(task, L, "hold", false);
    const sv_str key = svi_arg_str_or_none(L, 2);
    if (!svi_str_starts(sv_str_of(task->entry->text), SV_STR("session/sending")))
        return luaL_error(L, "hold: what goes to a session is held at session/sending");
    if (key.n > HOLD_KEY_MAX) return luaL_error(L, "hold: the key has more than %d bytes", HOLD_KEY_MAX);
    svi_task_makes(task, L, key.n);
    svi_task_dispose(task, L, "hold", false);
    (void)task->script->sv->hold(task->ev, key);
    return svi_push_done(L);
}

/* event:deliver(session: session): verdict */
int svi_lua_event_deliver(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    may_dispose(task, L, "deliver", true);
    sv_session *session = svi_arg_session(L, 2);
    if (!sv_str_eq(api->session_jid(session)->bare, api->to(task->ev)->bare))
        return luaL_error(L, "deliver: the session is not the recipient's: ev:push sends to others");
    svi_task_dispose(task, L, "deliver", true);
    (void)api->deliver(task->ev, session);
    return svi_push_done(L);
}

/* --- another stanza ------------------------------------------------------------------------------------ */

static void check_client_stanza(svi_task *task, lua_State *L, const sv_stanza *stanza, const char *what)
{
    const sv_api *api = task->script->sv;
    const sv_node *root = api->stanza_root(stanza);
    if (!svi_is_stanza_name(api->name(root)) || !sv_str_eq(api->ns(root), SV_STR("jabber:client")))
        luaL_error(L, "%s: it takes a message, presence or iq of jabber:client", what);
}

/* IQs of one type stay so; what is wrong with any other type the core takes as it comes from a client. */
static bool is_same_kind(const sv_api *api, const sv_node *a, const sv_node *b)
{
    if (!sv_str_eq(api->name(a), api->name(b))) return false;
    return !sv_str_eq(api->name(a), SV_STR("iq")) || sv_str_eq(api->attr(a, SV_STR("type")), api->attr(b, SV_STR("type")));
}

/* event:replace(stanza: element) */
int svi_lua_event_replace(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    may_dispose(task, L, "replace", false);
    if (task->is_disposed) return luaL_error(L, "replace: something has become of the stanza already");
    const sv_stanza *before = api->stanza(task->ev), *stanza = svi_build_stanza(task, L, 2, "replace");
    check_client_stanza(task, L, stanza, "replace");
    const sv_node *root = api->stanza_root(stanza);
    if (!is_same_kind(api, api->stanza_root(before), root))
        return luaL_error(L, "replace: another stanza of the same kind takes its place; to do something else drop it, and route what is new");
    const sv_str to = api->attr(root, SV_STR("to"));
    sv_jid jid;
    svi_task_makes(task, L, 64 + 4 * to.n);
    if (to.p != NULL && !api->jid_parse(task->ev, to, &jid)) return luaL_error(L, "replace: `to` is no address");
    svi_view_pin(task, L, before);
    api->replace(task->ev, stanza);
    return 0;
}

enum { PAIRS_MAX = 64 };

/* The pair on top of the stack as name and value; the texts are the table's. */
static void take_pair(svi_task *task, lua_State *L, sv_str *pairs)
{
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "with_attrs: the table has names and values: {type = \"chat\"}");
    const sv_str name = svi_arg_str(L, -2);
    if (!svi_is_ncname(name) || sv_str_eq(name, SV_STR("xmlns"))) luaL_error(L, "with_attrs: \"%s\" is no name of an attribute", name.p);
    pairs[0] = name;
    pairs[1] = SV_STR_NONE;
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) return;
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "with_attrs: \"%s\" is a text, or false to take it away", name.p);
    pairs[1] = svi_arg_str(L, -1);
    svi_check_xml(L, pairs[1], "with_attrs: a value");
    svi_task_makes(task, L, name.n + pairs[1].n);
}

/* event:with_attrs(stanza: stanza, pairs: table): stanza */
int svi_lua_event_with_attrs(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_stanza *stanza = svi_build_stanza(task, L, 2, "with_attrs");
    sv_str pairs[2 * PAIRS_MAX];
    size_t count = 0;
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, 3) != 0) {
        if (count == PAIRS_MAX) return luaL_error(L, "with_attrs: more than %d attributes", PAIRS_MAX);
        take_pair(task, L, pairs + 2 * count++);
        lua_pop(L, 1);
    }
    svi_task_makes(task, L, 256);
    svi_push_stanza(L, task, task->script->sv->with_attrs(task->ev, stanza, pairs, 2 * count));
    return 1;
}

/* event:with_child(stanza: stanza, child: element): stanza */
int svi_lua_event_with_child(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    const sv_stanza *stanza = svi_build_stanza(task, L, 2, "with_child");
    const sv_draft *child = svi_build_draft(task, L, 3, api->ns(api->stanza_root(stanza)), "with_child");
    svi_build_count(task, L, api->stanza_root(stanza), "with_child");
    svi_push_stanza(L, task, api->with_child(task->ev, stanza, child));
    return 1;
}

/* --- sending ------------------------------------------------------------------------------------------- */

static void check_recipient(svi_task *task, lua_State *L, const sv_jid *to, const char *what)
{
    if (svi_task_may_send_to(task, to)) return;
    svi_push_str(L, to->domain);
    luaL_error(L, "%s: the script has no right to send to \"%s\": name it under `sends` in sv.script", what, lua_tostring(L, -1));
}

/* What goes to a session; its `to` may be absent. */
static const sv_stanza *pushed(svi_task *task, lua_State *L, sv_session *session, const char *what)
{
    const sv_stanza *stanza = svi_build_stanza(task, L, 3, what);
    check_client_stanza(task, L, stanza, what);
    check_recipient(task, L, task->script->sv->session_jid(session), what);
    svi_task_makes(task, L, 256);
    return stanza;
}

/* event:push(session: session, stanza: element) */
int svi_lua_event_push(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    sv_session *session = svi_arg_session(L, 2);
    svi_task_may(task, L, SVI_EFFECT_SEND, "push");
    const sv_stanza *stanza = pushed(task, L, session, "push");
    task->script->sv->push(task->ev, session, stanza);
    return 0;
}

/* event:push_copy(session: session, stanza: element) */
int svi_lua_event_push_copy(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    sv_session *session = svi_arg_session(L, 2);
    svi_task_may(task, L, SVI_EFFECT_SEND, "push_copy");
    const sv_stanza *stanza = pushed(task, L, session, "push_copy");
    if (task->script->sv->stanza(task->ev) == NULL) return luaL_error(L, "push_copy: the event has no stanza");
    task->script->sv->push_copy(task->ev, session, stanza);
    return 0;
}

/* What is routed has an address to go to, and comes from the host or somebody on it. */
static const sv_stanza *routed(svi_task *task, lua_State *L, const char *what)
{
    const sv_api *api = task->script->sv;
    const sv_stanza *stanza = svi_build_stanza(task, L, 2, what);
    check_client_stanza(task, L, stanza, what);
    const sv_node *root = api->stanza_root(stanza);
    const sv_str to = api->attr(root, SV_STR("to")), from = api->attr(root, SV_STR("from")), host = api->host(task->host->mod);
    sv_jid jid;
    svi_task_makes(task, L, 512 + 4 * (to.n + from.n));
    if (to.n == 0 || !api->jid_parse(task->ev, to, &jid)) luaL_error(L, "%s: the stanza needs a `to` that is an address", what);
    check_recipient(task, L, &jid, what);
    if (from.n == 0) {
        const sv_str pairs[] = {SV_STR("from"), host};
        return api->with_attrs(task->ev, stanza, pairs, 2);
    }
    if (!api->jid_parse(task->ev, from, &jid) || !sv_str_eq(jid.domain, host))
        luaL_error(L, "%s: `from` is an address of the host, or absent for the host itself", what);
    return stanza;
}

/* event:route(stanza: element) */
int svi_lua_event_route(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_task_may(task, L, SVI_EFFECT_SEND, "route");
    const sv_stanza *stanza = routed(task, L, "route");
    task->script->sv->route(task->ev, stanza);
    return 0;
}

/* event:route_unasked(stanza: element) */
int svi_lua_event_route_unasked(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_task_may(task, L, SVI_EFFECT_SEND, "route_unasked");
    const sv_stanza *stanza = routed(task, L, "route_unasked");
    task->script->sv->route_unasked(task->ev, stanza);
    return 0;
}

/* event:push_stored(session: session, stanza: element, store: store, owner: string, key: string) */
int svi_lua_event_push_stored(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    sv_session *session = svi_arg_session(L, 2);
    svi_task_may(task, L, SVI_EFFECT_SEND, "push_stored");
    const sv_stanza *stanza = pushed(task, L, session, "push_stored");
    sv_store *store = svi_arg_store_to_write(task, L, 4, "push_stored");
    const sv_str owner = svi_arg_owner(L, 5), key = svi_arg_key(L, 6);
    svi_task_makes(task, L, owner.n + key.n);
    task->script->sv->push_stored(task->ev, session, stanza, store, owner, key);
    return 0;
}

/* --- stanzas as bytes ---------------------------------------------------------------------------------- */

/* event:stanza_bytes(stanza: element): string */
int svi_lua_event_stanza_bytes(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    const sv_stanza *stanza = svi_build_stanza(task, L, 2, "stanza_bytes");
    svi_build_count(task, L, api->stanza_root(stanza), "stanza_bytes");
    const sv_str bytes = api->stanza_bytes(task->ev, stanza);
    svi_task_makes(task, L, bytes.n);
    svi_push_str(L, bytes);
    return 1;
}

/* event:stanza_parse(bytes: string): stanza?, word */
int svi_lua_event_stanza_parse(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = task->script->sv;
    const sv_str bytes = svi_arg_str(L, 2);
    const sv_stanza *stanza;
    svi_task_makes(task, L, bytes.n);
    const sv_status status = api->stanza_parse(task->ev, bytes, &stanza);
    if (status != SV_OK) return svi_push_status(L, status);
    svi_build_count(task, L, api->stanza_root(stanza), "stanza_parse");
    svi_push_stanza(L, task, stanza);
    return 1;
}
