/* Occasions that a script fires, and the answers of its commands. */
#include "script/script_calls.h"
#include "script/script_glue.h"

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */

/* --- occasions ----------------------------------------------------------------------------------------- */

/* The occasion at that place of the stack, which scripts may fire; `is_inside`: as part of this event. */
static const svi_script_point *arg_point(lua_State *L, int index, bool is_inside)
{
    const sv_str name = svi_arg_str(L, index);
    const svi_script_point *p = svi_script_points;
    while (p->name != NULL && !sv_str_eq(name, sv_str_of(p->name))) p++;
    if (p->name != NULL && is_inside && p->may_wait)
        luaL_argerror(L, index, lua_pushfstring(L, "the handlers of \"%s\" may wait: event:fire_after fires it", p->name));
    if (p->name != NULL) return p;
    luaL_argerror(L, index, lua_pushfstring(L, "\"%s\" is no occasion that scripts fire (doc/reference/lua.md names them)", name.p));
    return NULL;
}

/* Whom it is about: an account of the host, or nobody; NULL then. */
static const sv_jid *arg_account(svi_task *task, lua_State *L, const svi_script_point *point, sv_jid *jid)
{
    const sv_str host = task->script->sv->host(task->host->mod);
    if (lua_isnoneornil(L, 3)) {
        if (point->is_of_account) luaL_error(L, "\"%s\" is about an account: say which", point->name);
        return NULL;
    }
    if (!point->is_of_account) luaL_error(L, "\"%s\" is about the host: it takes no account", point->name);
    svi_arg_jid(L, 3, task, jid);
    if (jid->node.n == 0 || !sv_str_eq(jid->domain, host)) luaL_argerror(L, 3, "it is no account of the host");
    return jid;
}

static sv_str arg_subject(lua_State *L, int index)
{
    const sv_str subject = svi_arg_str_or_none(L, index);
    svi_check_xml(L, subject, "the subject");
    return subject.p != NULL ? subject : SV_STR("");
}

typedef void fire_fn(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);

static int fire_by(lua_State *L, const char *what, bool is_after)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, what);
    const svi_script_point *point = arg_point(L, 2, !is_after);
    sv_jid jid;
    const sv_jid *account = arg_account(task, L, point, &jid);
    const sv_str subject = arg_subject(L, 4);
    svi_task_makes(task, L, 512 + subject.n);
    if (is_after) svi_task_begins(task, L, what);
    fire_fn *fire = is_after ? task->script->sv->fire_after : task->script->sv->fire;
    fire(task->ev, point->name, account, subject);
    return 0;
}

/* event:fire(on: string, account: jid?, subject: string?) */
int svi_lua_event_fire(lua_State *L)
{
    return fire_by(L, "fire", false);
}

/* event:fire_after(on: string, account: jid?, subject: string?) */
int svi_lua_event_fire_after(lua_State *L)
{
    return fire_by(L, "fire_after", true);
}

/* event:gather(on: string, account: jid?, subject: string?): table. A line that was offered is an item. */
int svi_lua_event_gather(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const svi_script_point *point = arg_point(L, 2, true);
    sv_jid jid;
    const sv_jid *account = arg_account(task, L, point, &jid);
    const sv_str subject = arg_subject(L, 4);
    if (!task->script->env.is_open(task->ev)) return luaL_error(L, "gather: the event is over");
    svi_task_makes(task, L, 512 + subject.n);
    sv_str lines = task->script->sv->gather(task->ev, point->name, account, subject), line;
    svi_task_makes(task, L, lines.n);
    lua_newtable(L);
    for (lua_Integer i = 1; svi_str_split(&lines, '\n', &line); i++) {
        svi_push_str(L, line);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* event:offer(line: string) */
int svi_lua_event_offer(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, "offer");
    const sv_str line = svi_arg_str(L, 2);
    svi_check_xml(L, line, "offer: the line");
    if (memchr(line.p, '\n', line.n) != NULL) return luaL_error(L, "offer: a line has no line feed in it: offer each by itself");
    svi_task_makes(task, L, 64 + line.n);
    task->script->sv->offer(task->ev, line);
    return 0;
}

/* --- the command that runs ----------------------------------------------------------------------------- */

static const sv_command *command_of(svi_task *task, lua_State *L, const char *what)
{
    const sv_command *command = task->script->desc.commands;
    if (!task->entry->is_command || command == NULL) luaL_error(L, "%s: only a command of the script's own has arguments and an answer", what);
    while (command->name != NULL && strcmp(command->name, task->entry->text) != 0) command++;
    SV_ASSERT(command->name != NULL);
    return command;
}

/* The name of an argument that the command declares. */
static const char *arg_argument(svi_task *task, lua_State *L, const char *what)
{
    const char *name = svi_arg_word(L, 2);
    const sv_command *command = command_of(task, L, what);
    for (const sv_arg *arg = command->args; arg != NULL && arg->name != NULL; arg++)
        if (strcmp(arg->name, name) == 0) return arg->name;
    luaL_error(L, "%s: the command \"%s\" declares no argument \"%s\"", what, command->name, name);
    return NULL;
}

/* event:arg_text(name: string): string? */
int svi_lua_event_arg_text(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_push_str_or_nil(L, task->script->sv->arg_text(task->ev, arg_argument(task, L, "arg_text")));
    return 1;
}

/* event:arg_int(name: string): integer */
int svi_lua_event_arg_int(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    lua_pushinteger(L, task->script->sv->arg_int(task->ev, arg_argument(task, L, "arg_int")));
    return 1;
}

/* event:arg_jid(name: string): jid? */
int svi_lua_event_arg_jid(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    svi_push_jid(L, task->script->sv->arg_jid(task->ev, arg_argument(task, L, "arg_jid")));
    return 1;
}

/* event:asked_from(): string */
int svi_lua_event_asked_from(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    (void)command_of(task, L, "asked_from");
    svi_push_str(L, task->script->sv->asked_from(task->ev));
    return 1;
}

/* --- its answer ---------------------------------------------------------------------------------------- */

/* The event of a command that is not answered yet. */
static svi_task *answering(lua_State *L, const char *what)
{
    svi_task *task = svi_arg_event(L, 1);
    (void)command_of(task, L, what);
    if (task->is_disposed || !task->script->env.is_open(task->ev)) luaL_error(L, "%s: the command was answered already", what);
    return task;
}

static bool begin_record(svi_task *task)
{
    task->has_record = task->script->sv->record(task->ev);
    return task->has_record;
}

/* event:record(): boolean */
int svi_lua_event_record(lua_State *L)
{
    lua_pushboolean(L, begin_record(answering(L, "record")));
    return 1;
}

static void set_text(svi_task *task, lua_State *L, const sv_column *column, int index)
{
    const int type = lua_type(L, index);
    if (type != LUA_TSTRING && type != LUA_TNUMBER) luaL_error(L, "field: \"%s\" is a text, not a %s", column->name, luaL_typename(L, index));
    lua_pushvalue(L, index);
    const sv_str text = svi_arg_str(L, -1);
    svi_task_makes(task, L, text.n + 16);
    task->script->sv->field(task->ev, column->name, text);
    lua_pop(L, 1);
}

static void set_list(svi_task *task, lua_State *L, const sv_column *column, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) {
        set_text(task, L, column, index);
        return;
    }
    const lua_Unsigned count = lua_rawlen(L, index);
    for (lua_Unsigned i = 1; i <= count; i++) {
        (void)lua_rawgeti(L, index, (lua_Integer)i);
        set_text(task, L, column, lua_gettop(L));
        lua_pop(L, 1);
    }
}

static void set_number(svi_task *task, lua_State *L, const sv_column *column, int index)
{
    int is_whole = 0;
    const bool is_bool = column->kind == SV_COLUMN_BOOL;
    const lua_Integer number = is_bool ? lua_toboolean(L, index) : lua_tointegerx(L, index, &is_whole);
    if (is_bool ? lua_type(L, index) != LUA_TBOOLEAN : lua_type(L, index) != LUA_TNUMBER || !is_whole)
        luaL_error(L, "field: \"%s\" is a %s, not a %s", column->name, is_bool ? "boolean" : "whole number", luaL_typename(L, index));
    if (column->kind == SV_COLUMN_TIME && (number < -TIME_MAX_MS || number > TIME_MAX_MS))
        luaL_error(L, "field: \"%s\" is a time in ms since 1970, which %I is not", column->name, number);
    svi_task_makes(task, L, 16);
    task->script->sv->field_int(task->ev, column->name, number);
}

/* Sets the field from the value at `index` (absolute). */
static void set_field(svi_task *task, lua_State *L, const char *name, int index)
{
    const sv_command *command = command_of(task, L, "field");
    const sv_column *column = command->columns;
    while (column != NULL && column->name != NULL && strcmp(column->name, name) != 0) column++;
    if (column == NULL || column->name == NULL) luaL_error(L, "field: the command \"%s\" declares no column \"%s\"", command->name, name);
    if (column->kind == SV_COLUMN_TEXT)
        set_text(task, L, column, index);
    else if (column->kind == SV_COLUMN_LIST)
        set_list(task, L, column, index);
    else
        set_number(task, L, column, index);
}

/* event:field(column: string, value: value) */
int svi_lua_event_field(lua_State *L)
{
    svi_task *task = answering(L, "field");
    const char *name = svi_arg_word(L, 2);
    luaL_checkany(L, 3);
    if (!task->has_record) return luaL_error(L, "field: a record begins with event:record()");
    set_field(task, L, name, 3);
    return 0;
}

/* The record on top of the stack, as a table of columns. */
static void put_record(svi_task *task, lua_State *L)
{
    const int at = lua_gettop(L);
    if (lua_type(L, at) != LUA_TTABLE) luaL_error(L, "answer: a record is a table: {column = value}");
    if (!begin_record(task)) luaL_error(L, "answer: the page is full: give fewer records, and go on with event:answer_more(from)");
    lua_pushnil(L);
    while (lua_next(L, at) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "answer: a record is a table: {column = value}");
        set_field(task, L, lua_tostring(L, -2), at + 2);
        lua_pop(L, 1);
    }
}

/* event:answer(records: table?): verdict */
int svi_lua_event_answer(lua_State *L)
{
    svi_task *task = answering(L, "answer");
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    const lua_Unsigned count = lua_isnoneornil(L, 2) ? 0 : lua_rawlen(L, 2);
    for (lua_Unsigned i = 1; i <= count; i++) {
        (void)lua_rawgeti(L, 2, (lua_Integer)i);
        put_record(task, L);
        lua_pop(L, 1);
    }
    svi_task_dispose(task, L, "answer", false);
    (void)task->script->sv->answer(task->ev);
    return svi_push_done(L);
}

/* event:answer_more(from: string): verdict */
int svi_lua_event_answer_more(lua_State *L)
{
    svi_task *task = answering(L, "answer_more");
    const sv_str from = svi_arg_str(L, 2);
    if (from.n == 0 || from.n > 4096 || !svi_utf8_valid(from)) return luaL_argerror(L, 2, "where to go on is a text of 1 to 4096 bytes of UTF-8");
    svi_task_dispose(task, L, "answer_more", false);
    (void)task->script->sv->answer_more(task->ev, from);
    return svi_push_done(L);
}

/* event:fail(fault: fault, text: string): verdict */
int svi_lua_event_fail(lua_State *L)
{
    static const char *const faults[] = {"usage", "not-found", "refused", "failed", NULL};
    svi_task *task = answering(L, "fail");
    const sv_fault fault = (sv_fault)(svi_arg_choice(L, 2, faults, "fault of a command") + 1);
    const char *text = svi_arg_word(L, 3);
    svi_task_dispose(task, L, "fail", false);
    (void)task->script->sv->fail(task->ev, fault, "%s", text);
    return svi_push_done(L);
}
