/* Glue between Lua and the module table.
 *
 * Generated from api/stave.lua by `make generate`: a change here is lost. */
#include "script/script_glue.h"

#include "script/script_calls.h"

/* sv.now_s(): integer */
static int sv_now_s(lua_State *L)
{
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, api->now_s());
    return 1;
}

/* sv.now_ms(): integer */
static int sv_now_ms(lua_State *L)
{
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, api->now_ms());
    return 1;
}

/* sv.host(): string */
static int sv_host(lua_State *L)
{
    const sv_api *api = svi_script_of(L)->sv;
    svi_task *task = svi_task_here(L);
    const sv_str given = api->host(task->host->mod);
    svi_push_str(L, given);
    return 1;
}

/* event:digest(function: string, bytes: string): string? */
static int event_digest(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str function = svi_arg_str(L, 2);
    const sv_str bytes = svi_arg_str(L, 3);
    const sv_str given = api->digest(task->ev, function, bytes);
    svi_task_makes(task, L, given.n);
    svi_push_str_or_nil(L, given);
    return 1;
}

/* event:stanza(): stanza? */
static int event_stanza(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_stanza(L, task, api->stanza(task->ev));
    return 1;
}

/* event:root(): node? */
static int event_root(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_node *given = api->root(task->ev);
    svi_push_node(L, task, given, api->stanza(task->ev));
    return 1;
}

/* stanza:root(): node */
static int stanza_root(lua_State *L)
{
    const sv_stanza *stanza = svi_arg_stanza(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_node_of(L, 1, api->stanza_root(stanza));
    return 1;
}

/* event:payload(): node? */
static int event_payload(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_node *given = api->payload(task->ev);
    svi_push_node(L, task, given, api->stanza(task->ev));
    return 1;
}

/* node:name(): string */
static int node_name(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str given = api->name(node);
    svi_push_str(L, given);
    return 1;
}

/* node:ns(): string */
static int node_ns(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str given = api->ns(node);
    svi_push_str(L, given);
    return 1;
}

/* node:attr(name: string): string? */
static int node_attr(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str name = svi_arg_str(L, 2);
    const sv_str given = api->attr(node, name);
    svi_push_str_or_nil(L, given);
    return 1;
}

/* node:is(name: string, ns: string): boolean */
static int node_is(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str name = svi_arg_str(L, 2);
    const sv_str ns = svi_arg_str(L, 3);
    lua_pushboolean(L, api->is(node, name, ns));
    return 1;
}

/* node:first(): node? */
static int node_first(lua_State *L)
{
    const sv_node *parent = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_node_of(L, 1, api->first(parent));
    return 1;
}

/* node:find(name: string, ns: string?): node? */
static int node_find(lua_State *L)
{
    const sv_node *parent = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str name = svi_arg_str(L, 2);
    const sv_str ns = svi_arg_str_or_none(L, 3);
    svi_push_node_of(L, 1, api->find(parent, name, ns));
    return 1;
}

/* node:text(): string */
static int node_text(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    svi_task *task = svi_task_event(L, "text");
    const sv_str given = api->text(task->ev, node);
    svi_task_makes(task, L, given.n);
    svi_push_str(L, given);
    return 1;
}

/* event:type(): string */
static int event_type(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str given = api->type(task->ev);
    svi_push_str(L, given);
    return 1;
}

/* node:attr_ns(name: string, ns: string): string? */
static int node_attr_ns(lua_State *L)
{
    const sv_node *node = svi_arg_node(L, 1, NULL);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str name = svi_arg_str(L, 2);
    const sv_str ns = svi_arg_str(L, 3);
    const sv_str given = api->attr_ns(node, name, ns);
    svi_push_str_or_nil(L, given);
    return 1;
}

/* event:from(): jid? */
static int event_from(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_jid(L, api->from(task->ev));
    return 1;
}

/* event:to(): jid? */
static int event_to(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_jid(L, api->to(task->ev));
    return 1;
}

/* event:jid_parse(text: string): jid? */
static int event_jid_parse(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str text = svi_arg_str(L, 2);
    sv_jid jid_out;
    if (api->jid_parse(task->ev, text, &jid_out))
        svi_push_jid(L, &jid_out);
    else
        lua_pushnil(L);
    return 1;
}

/* event:is_local(jid: jid): boolean */
static int event_is_local(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    sv_jid jid;
    svi_arg_jid(L, 2, task, &jid);
    lua_pushboolean(L, api->is_local(task->ev, &jid));
    return 1;
}

/* event:account_exists(): boolean */
static int event_account_exists(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushboolean(L, api->account_exists(task->ev));
    return 1;
}

/* event:is_admin(jid: jid): boolean */
static int event_is_admin(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    sv_jid jid;
    svi_arg_jid(L, 2, task, &jid);
    lua_pushboolean(L, api->is_admin(task->ev, &jid));
    return 1;
}

/* event:is_guest(jid: jid): boolean */
static int event_is_guest(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    sv_jid jid;
    svi_arg_jid(L, 2, task, &jid);
    lua_pushboolean(L, api->is_guest(task->ev, &jid));
    return 1;
}

/* event:session(): session? */
static int event_session(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_session(L, task, api->session(task->ev));
    return 1;
}

/* event:session_find(full: jid): session? */
static int event_session_find(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    sv_jid full;
    svi_arg_jid(L, 2, task, &full);
    svi_push_session(L, task, api->session_find(task->ev, &full));
    return 1;
}

/* session:jid(): jid */
static int session_jid(lua_State *L)
{
    sv_session *session = svi_arg_session(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    svi_push_jid(L, api->session_jid(session));
    return 1;
}

/* session:priority(): integer */
static int session_priority(lua_State *L)
{
    sv_session *session = svi_arg_session(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, api->session_priority(session));
    return 1;
}

/* session:item(name: string): string? */
static int session_item(lua_State *L)
{
    sv_session *session = svi_arg_session(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const char *name = svi_arg_word(L, 2);
    const sv_str given = api->session_item(session, name);
    svi_push_str_or_nil(L, given);
    return 1;
}

/* sv.host_item(name: string): string? */
static int sv_host_item(lua_State *L)
{
    const sv_api *api = svi_script_of(L)->sv;
    svi_task *task = svi_task_here(L);
    const char *name = svi_arg_word(L, 1);
    const sv_str given = api->host_item(task->host->mod, name);
    svi_push_str_or_nil(L, given);
    return 1;
}

/* event:subject(): string */
static int event_subject(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str given = api->subject(task->ev);
    svi_push_str(L, given);
    return 1;
}

/* rows:row(key: string): string? */
static int rows_row(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str key = svi_arg_str(L, 2);
    sv_str value_out;
    if (api->row(rows, key, &value_out))
        svi_push_str(L, value_out);
    else
        lua_pushnil(L);
    return 1;
}

/* rows:count(): integer */
static int rows_count(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, (lua_Integer)api->row_count(rows));
    return 1;
}

/* rows:bytes(): integer */
static int rows_bytes(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, api->row_bytes(rows));
    return 1;
}

/* event:has_space(): boolean */
static int event_has_space(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushboolean(L, api->has_space(task->ev));
    return 1;
}

/* rows:stored(key: string): string? */
static int rows_stored(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str key = svi_arg_str(L, 2);
    sv_str value_out;
    if (api->row_stored(rows, key, &value_out))
        svi_push_str(L, value_out);
    else
        lua_pushnil(L);
    return 1;
}

/* rows:added(key: string): string? */
static int rows_added(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    const sv_str key = svi_arg_str(L, 2);
    sv_str value_out;
    if (api->row_added(rows, key, &value_out))
        svi_push_str(L, value_out);
    else
        lua_pushnil(L);
    return 1;
}

/* rows:mark(): integer */
static int rows_mark(lua_State *L)
{
    const sv_rows *rows = svi_arg_rows(L, 1);
    const sv_api *api = svi_script_of(L)->sv;
    lua_pushinteger(L, (lua_Integer)api->rows_mark(rows));
    return 1;
}

/* sv.feature_at(of_accounts: boolean, i: integer): string */
static int sv_feature_at(lua_State *L)
{
    const sv_api *api = svi_script_of(L)->sv;
    svi_task *task = svi_task_here(L);
    const bool of_accounts = svi_arg_bool(L, 1);
    const size_t i = (size_t)svi_arg_int(L, 2, 0, INT64_MAX);
    const sv_str given = api->feature_at(task->host->mod, of_accounts, i);
    svi_push_str(L, given);
    return 1;
}

const luaL_Reg svi_lua_sv[] = {
    {"now_s", sv_now_s},
    {"now_ms", sv_now_ms},
    {"log", svi_lua_sv_log},
    {"host", sv_host},
    {"host_set_item", svi_lua_sv_host_set_item},
    {"host_item", sv_host_item},
    {"begin", svi_lua_sv_begin},
    {"feature_at", sv_feature_at},
    {"set_stream_feature", svi_lua_sv_set_stream_feature},
    {"accounts", svi_lua_sv_accounts},
    {NULL, NULL}};

const luaL_Reg svi_lua_event[] = {
    {"random_hex", svi_lua_event_random_hex},
    {"stamp", svi_lua_event_stamp},
    {"digest", event_digest},
    {"stanza", event_stanza},
    {"root", event_root},
    {"payload", event_payload},
    {"type", event_type},
    {"with_attrs", svi_lua_event_with_attrs},
    {"with_child", svi_lua_event_with_child},
    {"stanza_bytes", svi_lua_event_stanza_bytes},
    {"stanza_parse", svi_lua_event_stanza_parse},
    {"from", event_from},
    {"to", event_to},
    {"jid_parse", event_jid_parse},
    {"is_local", event_is_local},
    {"account_exists", event_account_exists},
    {"is_admin", event_is_admin},
    {"is_guest", event_is_guest},
    {"session", event_session},
    {"session_next", svi_lua_event_session_next},
    {"session_find", event_session_find},
    {"session_set_presence", svi_lua_event_session_set_presence},
    {"reply", svi_lua_event_reply},
    {"refuse", svi_lua_event_refuse},
    {"refuse_with", svi_lua_event_refuse_with},
    {"drop", svi_lua_event_drop},
    {"hold", svi_lua_event_hold},
    {"consume", svi_lua_event_consume},
    {"stored", svi_lua_event_stored},
    {"deliver", svi_lua_event_deliver},
    {"replace", svi_lua_event_replace},
    {"push", svi_lua_event_push},
    {"route", svi_lua_event_route},
    {"route_unasked", svi_lua_event_route_unasked},
    {"push_stored", svi_lua_event_push_stored},
    {"push_copy", svi_lua_event_push_copy},
    {"fire", svi_lua_event_fire},
    {"gather", svi_lua_event_gather},
    {"offer", svi_lua_event_offer},
    {"fire_after", svi_lua_event_fire_after},
    {"subject", event_subject},
    {"has_space", event_has_space},
    {"arg_text", svi_lua_event_arg_text},
    {"arg_int", svi_lua_event_arg_int},
    {"arg_jid", svi_lua_event_arg_jid},
    {"record", svi_lua_event_record},
    {"field", svi_lua_event_field},
    {"answer", svi_lua_event_answer},
    {"answer_more", svi_lua_event_answer_more},
    {"asked_from", svi_lua_event_asked_from},
    {"fail", svi_lua_event_fail},
    {"sleep", svi_lua_event_sleep},
    {"iq", svi_lua_event_iq},
    {"attr", svi_lua_event_attr},
    {"has", svi_lua_event_has},
    {"text_of", svi_lua_event_text_of},
    {"work", svi_lua_event_work},
    {NULL, NULL}};

const luaL_Reg svi_lua_stanza[] = {
    {"root", stanza_root},
    {"keep", svi_lua_stanza_keep},
    {"children", svi_lua_stanza_children},
    {"table", svi_lua_stanza_table},
    {"has", svi_lua_stanza_has},
    {"text_of", svi_lua_stanza_text_of},
    {NULL, NULL}};

const luaL_Reg svi_lua_node[] = {
    {"name", node_name},
    {"ns", node_ns},
    {"attr", node_attr},
    {"is", node_is},
    {"first", node_first},
    {"next", svi_lua_node_next},
    {"find", node_find},
    {"text", node_text},
    {"attr_ns", node_attr_ns},
    {"children", svi_lua_node_children},
    {"table", svi_lua_node_table},
    {"has", svi_lua_node_has},
    {"text_of", svi_lua_node_text_of},
    {NULL, NULL}};

const luaL_Reg svi_lua_session[] = {
    {"jid", session_jid},
    {"presence", svi_lua_session_presence},
    {"priority", session_priority},
    {"hold", svi_lua_session_hold},
    {"release", svi_lua_session_release},
    {"set_item", svi_lua_session_set_item},
    {"item", session_item},
    {NULL, NULL}};

const luaL_Reg svi_lua_rows[] = {
    {"row", rows_row},
    {"next", svi_lua_rows_next},
    {"count", rows_count},
    {"bytes", rows_bytes},
    {"stored", rows_stored},
    {"added", rows_added},
    {"mark", rows_mark},
    {"pairs", svi_lua_rows_pairs},
    {NULL, NULL}};

const luaL_Reg svi_lua_store[] = {
    {"put", svi_lua_store_put},
    {"del", svi_lua_store_del},
    {"del_owner", svi_lua_store_del_owner},
    {"rows", svi_lua_store_rows},
    {"keep", svi_lua_store_keep},
    {"held", svi_lua_store_held},
    {"get", svi_lua_store_get},
    {NULL, NULL}};

const char *const svi_script_conds[] = {
    "bad-request",
    "conflict",
    "feature-not-implemented",
    "forbidden",
    "gone",
    "internal-server-error",
    "item-not-found",
    "jid-malformed",
    "not-acceptable",
    "not-allowed",
    "not-authorized",
    "policy-violation",
    "recipient-unavailable",
    "redirect",
    "registration-required",
    "remote-server-not-found",
    "remote-server-timeout",
    "resource-constraint",
    "service-unavailable",
    "subscription-required",
    "undefined-condition",
    "unexpected-request",
    NULL};

const svi_script_point svi_script_points[] = {
    {"disco/host", false, false},
    {"disco/account", true, false},
    {"disco/host-items", false, false},
    {"disco/account-items", true, false},
    {"disco/changed", false, false},
    {"roster/shared", true, false},
    {"roster/reshared", true, true},
    {NULL, false, false}};
