/* Functions of Lua by whose they are, and the words of the interface.
 *
 * Generated from api/stave.lua by `make generate`: a change here is lost. */
#ifndef SVI_SCRIPT_GLUE_H
#define SVI_SCRIPT_GLUE_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

/* What Lua calls, each list ended by a NULL. */
extern const luaL_Reg svi_lua_sv[];
extern const luaL_Reg svi_lua_event[];
extern const luaL_Reg svi_lua_stanza[];
extern const luaL_Reg svi_lua_node[];
extern const luaL_Reg svi_lua_session[];
extern const luaL_Reg svi_lua_rows[];
extern const luaL_Reg svi_lua_store[];

/* Conditions of errors as XML has them, from SV_BAD_REQUEST on, ended by a NULL. */
extern const char *const svi_script_conds[];

/* An occasion that scripts may fire; it is about an account, or about the host. Where its handlers may wait
 * it is an event of its own. */
typedef struct svi_script_point {
    const char *name; /* NULL: the end */
    bool is_of_account;
    bool may_wait;
} svi_script_point;
extern const svi_script_point svi_script_points[];

/* --- written by hand: each takes its arguments off the stack, raises if they are wrong, and returns how many results it put there */

/* sv.log(level: level, event: string, fields: table?) */
int svi_lua_sv_log(lua_State *L);

/* event:random_hex(bytes: integer): string */
int svi_lua_event_random_hex(lua_State *L);

/* event:stamp(ms: integer): string */
int svi_lua_event_stamp(lua_State *L);

/* node:next(child: node): node? */
int svi_lua_node_next(lua_State *L);

/* event:with_attrs(stanza: element, pairs: table): stanza */
int svi_lua_event_with_attrs(lua_State *L);

/* event:with_child(stanza: element, child: element): stanza */
int svi_lua_event_with_child(lua_State *L);

/* stanza:keep(): stanza */
int svi_lua_stanza_keep(lua_State *L);

/* event:stanza_bytes(stanza: element): string */
int svi_lua_event_stanza_bytes(lua_State *L);

/* event:stanza_parse(bytes: string): stanza?, word */
int svi_lua_event_stanza_parse(lua_State *L);

/* event:session_next(account: jid, after: session?): session? */
int svi_lua_event_session_next(lua_State *L);

/* session:presence(): stanza? */
int svi_lua_session_presence(lua_State *L);

/* event:session_set_presence(session: session, presence: element?, priority: integer?) */
int svi_lua_event_session_set_presence(lua_State *L);

/* session:hold(max_stanzas: integer, max_bytes: integer, max_ms: integer) */
int svi_lua_session_hold(lua_State *L);

/* session:release() */
int svi_lua_session_release(lua_State *L);

/* session:set_item(name: string, value: string?) */
int svi_lua_session_set_item(lua_State *L);

/* sv.host_set_item(name: string, value: string?): boolean?, word */
int svi_lua_sv_host_set_item(lua_State *L);

/* event:reply(payload: element?): verdict */
int svi_lua_event_reply(lua_State *L);

/* event:refuse(cond: cond, text: string?): verdict */
int svi_lua_event_refuse(lua_State *L);

/* event:refuse_with(cond: cond, type: string?, specific: element): verdict */
int svi_lua_event_refuse_with(lua_State *L);

/* event:drop(rule: string): verdict */
int svi_lua_event_drop(lua_State *L);

/* event:hold(key: string?): verdict */
int svi_lua_event_hold(lua_State *L);

/* event:consume(): verdict */
int svi_lua_event_consume(lua_State *L);

/* event:stored(): verdict */
int svi_lua_event_stored(lua_State *L);

/* event:deliver(session: session): verdict */
int svi_lua_event_deliver(lua_State *L);

/* event:replace(stanza: element) */
int svi_lua_event_replace(lua_State *L);

/* event:push(session: session, stanza: element) */
int svi_lua_event_push(lua_State *L);

/* event:route(stanza: element) */
int svi_lua_event_route(lua_State *L);

/* event:route_unasked(stanza: element) */
int svi_lua_event_route_unasked(lua_State *L);

/* event:push_stored(session: session, stanza: element, store: store, owner: string, key: string?) */
int svi_lua_event_push_stored(lua_State *L);

/* event:push_copy(session: session, stanza: element) */
int svi_lua_event_push_copy(lua_State *L);

/* event:fire(on: string, account: jid?, subject: string?) */
int svi_lua_event_fire(lua_State *L);

/* event:gather(on: string, account: jid?, subject: string?): table */
int svi_lua_event_gather(lua_State *L);

/* event:offer(line: string) */
int svi_lua_event_offer(lua_State *L);

/* sv.begin(on: string, subject: string?) */
int svi_lua_sv_begin(lua_State *L);

/* event:fire_after(on: string, account: jid?, subject: string?) */
int svi_lua_event_fire_after(lua_State *L);

/* store:put(owner: string, key: string?, value: string): boolean?, word */
int svi_lua_store_put(lua_State *L);

/* store:del(owner: string, key: string?): boolean?, word */
int svi_lua_store_del(lua_State *L);

/* store:del_owner(owner: string): boolean?, word */
int svi_lua_store_del_owner(lua_State *L);

/* store:rows(owner: string): rows?, word yields */
int svi_lua_store_rows(lua_State *L);

/* store:keep(session: session): rows?, word yields */
int svi_lua_store_keep(lua_State *L);

/* store:held(owner: string): boolean */
int svi_lua_store_held(lua_State *L);

/* rows:next(key: string?): string?, string? */
int svi_lua_rows_next(lua_State *L);

/* store:get(owner: string, key: string?): string?, word yields */
int svi_lua_store_get(lua_State *L);

/* sv.set_stream_feature(xml: string): boolean?, word */
int svi_lua_sv_set_stream_feature(lua_State *L);

/* event:arg_text(name: string): string? */
int svi_lua_event_arg_text(lua_State *L);

/* event:arg_int(name: string): integer */
int svi_lua_event_arg_int(lua_State *L);

/* event:arg_jid(name: string): jid? */
int svi_lua_event_arg_jid(lua_State *L);

/* event:record(): boolean */
int svi_lua_event_record(lua_State *L);

/* event:field(column: string, value: value) */
int svi_lua_event_field(lua_State *L);

/* event:answer(records: table?): verdict */
int svi_lua_event_answer(lua_State *L);

/* event:answer_more(from: string): verdict */
int svi_lua_event_answer_more(lua_State *L);

/* event:asked_from(): string */
int svi_lua_event_asked_from(lua_State *L);

/* event:fail(fault: fault, text: string): verdict */
int svi_lua_event_fail(lua_State *L);

/* sv.accounts(after: string?, max: integer): table?, boolean yields */
int svi_lua_sv_accounts(lua_State *L);

/* event:sleep(ms: integer) yields */
int svi_lua_event_sleep(lua_State *L);

/* event:iq(iq: element): stanza?, word yields */
int svi_lua_event_iq(lua_State *L);

/* event:attr(name: string): string? */
int svi_lua_event_attr(lua_State *L);

/* event:has(name: string, ns: string?): boolean */
int svi_lua_event_has(lua_State *L);

/* event:text_of(name: string, ns: string?): string? */
int svi_lua_event_text_of(lua_State *L);

/* event:work(file: string, function: string, arguments: values?): values? yields */
int svi_lua_event_work(lua_State *L);

/* node:children(): iterator */
int svi_lua_node_children(lua_State *L);

/* node:table(): table */
int svi_lua_node_table(lua_State *L);

/* node:has(name: string, ns: string?): boolean */
int svi_lua_node_has(lua_State *L);

/* node:text_of(name: string, ns: string?): string? */
int svi_lua_node_text_of(lua_State *L);

/* stanza:children(): iterator */
int svi_lua_stanza_children(lua_State *L);

/* stanza:table(): table */
int svi_lua_stanza_table(lua_State *L);

/* stanza:has(name: string, ns: string?): boolean */
int svi_lua_stanza_has(lua_State *L);

/* stanza:text_of(name: string, ns: string?): string? */
int svi_lua_stanza_text_of(lua_State *L);

/* rows:pairs(): iterator */
int svi_lua_rows_pairs(lua_State *L);

#endif
