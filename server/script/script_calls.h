/* What the functions that Lua calls share: views of the core's things, arguments, results.
 *
 * Whatever takes an argument raises, with a text that says what it should be, if it is not so. */
#ifndef SVI_SCRIPT_CALLS_H
#define SVI_SCRIPT_CALLS_H

#include "script/script_impl.h"

/* --- views (script_view.c) ----------------------------------------------------------- */

/* Something that belongs to a run of a handler; each check of one raises once that is over. */
typedef struct svi_view {
    const void *mark;       /* of its kind, as all that the host makes begins with one */
    const void *p;
    const sv_stanza *owner; /* of a node: what it is in */
    svi_task *task;
    uint64_t serial; /* the task's when it was made */
    uint32_t turn;   /* as well; only of sessions and rows it must be the same still */
    bool has_value;  /* of a node: what it is in is kept, and its user value */
} svi_view;

/* The running task of the event at that place of the stack. */
svi_task *svi_arg_event(lua_State *L, int index);
/* A view of a stanza, or one that is kept / an element, and what it is in. */
const sv_stanza *svi_arg_stanza(lua_State *L, int index);
const sv_node *svi_arg_node(lua_State *L, int index, const sv_stanza **owner_out);
sv_session *svi_arg_session(lua_State *L, int index);
const sv_rows *svi_arg_rows(lua_State *L, int index);
/* The declared store, by its place in svi_script.stores. */
size_t svi_arg_store(lua_State *L, int index);
/* A view of an address, or a text that is one; *jid_out is good as long as the event, or the argument. */
void svi_arg_jid(lua_State *L, int index, svi_task *task, sv_jid *jid_out);
/* What kind of view it is; SVI_VIEW_KINDS if none. */
svi_view_kind svi_view_at(lua_State *L, int index);
/* Makes the value of a declared store, by that place; 1. */
int svi_push_store(lua_State *L, size_t store);

void svi_push_stanza(lua_State *L, svi_task *task, const sv_stanza *stanza); /* or nil for NULL, as below */
/* Of a stanza that goes with the event / of the same stanza as the node or stanza at that place of the stack. */
void svi_push_node(lua_State *L, svi_task *task, const sv_node *node, const sv_stanza *owner);
void svi_push_node_of(lua_State *L, int index, const sv_node *node);
void svi_push_jid(lua_State *L, const sv_jid *jid);
void svi_push_session(lua_State *L, svi_task *task, sv_session *session);
void svi_push_rows(lua_State *L, svi_task *task, const sv_rows *rows);
/* A stanza that others may put away stays until the event ends. */
void svi_view_pin(svi_task *task, lua_State *L, const sv_stanza *stanza);

/* --- plain values (script_values.c) --------------------------------------------------- */

/* A text of at most SVI_TEXT_MAX bytes / nil is .p NULL / without a NUL inside. */
sv_str svi_arg_str(lua_State *L, int index);
sv_str svi_arg_str_or_none(lua_State *L, int index);
const char *svi_arg_word(lua_State *L, int index);
int64_t svi_arg_int(lua_State *L, int index, int64_t min, int64_t max);
bool svi_arg_bool(lua_State *L, int index);
/* A word of a list that ends with NULL: its place from 0. */
int svi_arg_choice(lua_State *L, int index, const char *const *words, const char *what);
/* Small letters, digits, '-' and, if `more` has them, other characters; 1 to `max` bytes; of what names such. */
const char *svi_arg_name(lua_State *L, int index, const char *more, size_t max, const char *what);
void svi_push_str(lua_State *L, sv_str text);
void svi_push_str_or_nil(lua_State *L, sv_str text); /* nil for .p NULL */
/* true; or nil and the status's word ("notfound"). Returns how many. */
int svi_push_status(lua_State *L, sv_status status);
/* The verdict of a handler as a value; 1. */
int svi_push_done(lua_State *L);
/* "message", "presence" or "iq" of clients. */
bool svi_is_stanza_name(sv_str name);

/* --- literals (script_build.c) -------------------------------------------------------- */

/* The literal at that place as an element of the event's; `ns` for one without xmlns, empty: it must have one. */
sv_draft *svi_build_draft(svi_task *task, lua_State *L, int index, sv_str ns, const char *what);
/* What an answer or error holds: a literal, or a view of a node or stanza; as a node of *owner_out. */
const sv_node *svi_build_payload(svi_task *task, lua_State *L, int index, const char *what, const sv_stanza **owner_out);
/* Attributes and children of a node as those of an element of the same name. Raises never. */
void svi_build_fill(svi_task *task, const sv_stanza *owner, const sv_node *node, sv_draft *to);
/* Counts what a subtree takes to the task; raises if that is too much, or too deep. */
void svi_build_count(svi_task *task, lua_State *L, const sv_node *node, const char *what);
/* Pushes the element as a literal. */
void svi_build_table(lua_State *L, const sv_node *node);
/* Raises unless the text is one that XML can hold / a name without a colon. */
void svi_check_xml(lua_State *L, sv_str text, const char *of);
bool svi_is_ncname(sv_str name);

/* --- stores (script_calls_store.c) ---------------------------------------------------- */

/* The store at that place if the script may write to it. */
sv_store *svi_arg_store_to_write(svi_task *task, lua_State *L, int index, const char *what);
/* An owner / a key (nil is the empty one), no longer than the store takes them. */
sv_str svi_arg_owner(lua_State *L, int index);
sv_str svi_arg_key(lua_State *L, int index);

#endif
