/* Options, commands and metrics of a script, from table literals. */
#include "script/script_declare.h"

typedef struct word {
    const char *name;
    int value;
} word;

/* Place of the text among the words; raises with all of them. */
static int word_of(lua_State *L, const word *words, const char *text, const char *field, const char *what)
{
    luaL_Buffer all;
    for (const word *w = words; w->name != NULL; w++)
        if (text != NULL && strcmp(text, w->name) == 0) return w->value;
    luaL_buffinit(L, &all);
    for (const word *w = words; w->name != NULL; w++) {
        if (w != words) luaL_addstring(&all, ", ");
        luaL_addstring(&all, w->name);
    }
    luaL_pushresult(&all);
    return luaL_error(L, "%s: `%s` is one of %s", what, field, lua_tostring(L, -1));
}

/* The item at that place of a table, a text; NULL if it is none. */
static const char *item_text(lua_State *L, int table, lua_Integer i, const char *what)
{
    const char *text = lua_rawgeti(L, table, i) == LUA_TSTRING ? svi_declared_text(L, -1, what) : NULL;
    lua_pop(L, 1);
    return text;
}

/* A field that means nothing for the kind would be a bound that nobody keeps. */
static void fits_kind(lua_State *L, const char *what, const char *field, const char *value, bool fits, const char *kinds)
{
    if (value != NULL && !fits) luaL_error(L, "%s: `%s` is for %s", what, field, kinds);
}

/* "muc-log" and "path" are "muc_log_path". */
static const char *full_name(lua_State *L, const char *name, const char *what)
{
    const svi_script *script = svi_script_of(L);
    if (name == NULL) luaL_error(L, "%s: it begins with its name, without the script's", what);
    const size_t a = strlen(script->name), b = strlen(name);
    char *full = svi_declare_get(L, a + b + 2);
    memcpy(full, script->name, a);
    for (size_t i = 0; i < a; i++)
        if (full[i] == '-') full[i] = '_';
    full[a] = '_';
    memcpy(full + a + 1, name, b + 1);
    return full;
}

/* --- options ----------------------------------------------------------------------------------------- */

static const word option_kinds[] = {{"int", SV_OPTION_INT},   {"bool", SV_OPTION_BOOL}, {"string", SV_OPTION_STRING},
                                    {"period", SV_OPTION_PERIOD}, {"size", SV_OPTION_SIZE}, {"enum", SV_OPTION_ENUM},
                                    {"list", SV_OPTION_LIST}, {NULL, 0}};

static void option_fits(lua_State *L, const sv_option *o, const char *words, const char *form)
{
    static const char bounded[] = "the kinds int, period and size", what[] = "sv.option";
    const bool has_bounds = o->kind == SV_OPTION_INT || o->kind == SV_OPTION_PERIOD || o->kind == SV_OPTION_SIZE;
    fits_kind(L, what, "min", o->min, has_bounds, bounded);
    fits_kind(L, what, "max", o->max, has_bounds, bounded);
    fits_kind(L, what, "words", words, o->kind == SV_OPTION_ENUM, "the kind enum");
    fits_kind(L, what, "form", form, o->kind == SV_OPTION_STRING || o->kind == SV_OPTION_LIST, "the kinds string and list");
}

/* sv.option{"text", kind = "string", preset = "", min = , max = , words = "a b", form = "jid", manual = "..."} */
static int declare_option(lua_State *L)
{
    static const char *const known[] = {"kind", "preset", "min", "max", "words", "form", "manual", NULL};
    static const char what[] = "sv.option";
    svi_script *script = svi_declaring(L, what);
    svi_build *b = script->build;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    svi_fields_known(L, 1, known, 1, what);
    if (b->option_count == SVI_SCRIPT_OPTIONS_MAX) return luaL_error(L, "%s: more than %d", what, SVI_SCRIPT_OPTIONS_MAX);
    sv_option option = {.name = full_name(L, item_text(L, 1, 1, what), what),
                        .kind = (sv_option_kind)word_of(L, option_kinds, svi_field_text(L, 1, "kind", what), "kind", what),
                        .preset = svi_field_text(L, 1, "preset", what),
                        .min = svi_field_text(L, 1, "min", what),
                        .max = svi_field_text(L, 1, "max", what),
                        .manual = svi_field_text(L, 1, "manual", what)};
    const char *words = svi_field_text(L, 1, "words", what), *form = svi_field_text(L, 1, "form", what);
    if (option.manual == NULL) return luaL_error(L, "%s: \"%s\" has no `manual`, its sentence for operators", what, option.name);
    option_fits(L, &option, words, form);
    if (option.kind == SV_OPTION_ENUM) option.min = words;
    if (form != NULL) option.max = form;
    if (option.kind == SV_OPTION_LIST && option.min == NULL) option.min = "one";
    for (size_t i = 0; i < b->option_count; i++)
        if (strcmp(b->options[i].name, option.name) == 0) return luaL_error(L, "%s: \"%s\" is declared twice", what, option.name);
    b->options[b->option_count++] = option;
    return 0;
}

/* The word at a place among words that stand with blanks between. */
static sv_str word_at(const char *words, int64_t place)
{
    sv_str rest = sv_str_of(words), found = SV_STR_NONE;
    for (int64_t i = 0; i <= place; i++) (void)svi_str_split(&rest, ' ', &found);
    return found;
}

static void push_str(lua_State *L, sv_str text)
{
    (void)lua_pushlstring(L, text.n > 0 ? text.p : "", text.n);
}

static void push_list(lua_State *L, const sv_str_list *list)
{
    lua_createtable(L, (int)list->count, 0);
    for (size_t i = 0; i < list->count; i++) {
        push_str(L, list->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_option(lua_State *L, const sv_option *option, const void *field)
{
    int64_t number = 0;
    if (option->kind != SV_OPTION_BOOL && option->kind != SV_OPTION_STRING && option->kind != SV_OPTION_LIST)
        memcpy(&number, field, sizeof number);
    switch (option->kind) {
    case SV_OPTION_BOOL: lua_pushboolean(L, *(const bool *)field); break;
    case SV_OPTION_STRING: push_str(L, *(const sv_str *)field); break;
    case SV_OPTION_LIST: push_list(L, field); break;
    case SV_OPTION_ENUM: push_str(L, word_at(option->min, number)); break;
    default: lua_pushinteger(L, number);
    }
}

void svi_script_push_options(svi_script_host *host, lua_State *L)
{
    const svi_script *script = host->script;
    const size_t prefix = strlen(script->name) + 1;
    const sv_option *option = script->desc.options;
    for (; option->name != NULL; option++) {
        push_option(L, option, (const char *)host + option->offset);
        lua_setfield(L, -2, option->name + prefix);
    }
}

/* --- commands ---------------------------------------------------------------------------------------- */

static const word arg_kinds[] = {{"string", SV_ARG_STRING}, {"int", SV_ARG_INT},         {"period", SV_ARG_PERIOD}, {"word", SV_ARG_WORD},
                                 {"flag", SV_ARG_FLAG},     {"host", SV_ARG_HOST},       {"account", SV_ARG_ACCOUNT},
                                 {"local", SV_ARG_LOCAL},   {"address", SV_ARG_ADDRESS}, {"secret", SV_ARG_SECRET}, {NULL, 0}};
static const word column_kinds[] = {{"text", SV_COLUMN_TEXT},     {"int", SV_COLUMN_INT},   {"bool", SV_COLUMN_BOOL}, {"bytes", SV_COLUMN_BYTES},
                                    {"period", SV_COLUMN_PERIOD}, {"time", SV_COLUMN_TIME}, {"list", SV_COLUMN_LIST}, {NULL, 0}};

/* {"account", kind = "account", required = true, option = true, exists = true, rest = true, preset = , min = , max = , words = , manual = } */
static sv_arg arg_of(lua_State *L, int t)
{
    static const char *const known[] = {"kind", "required", "option", "exists", "rest", "preset", "min", "max", "words", "manual", NULL};
    static const char what[] = "sv.command: an argument";
    luaL_checktype(L, t, LUA_TTABLE);
    svi_fields_known(L, t, known, 1, what);
    sv_arg arg = {.name = item_text(L, t, 1, what),
                  .kind = (sv_arg_kind)word_of(L, arg_kinds, svi_field_text(L, t, "kind", what), "kind", what),
                  .preset = svi_field_text(L, t, "preset", what),
                  .min = svi_field_text(L, t, "min", what),
                  .max = svi_field_text(L, t, "max", what),
                  .manual = svi_field_text(L, t, "manual", what)};
    const char *words = svi_field_text(L, t, "words", what);
    if (arg.name == NULL) luaL_error(L, "%s begins with its name", what);
    const bool has_bounds = arg.kind == SV_ARG_INT || arg.kind == SV_ARG_PERIOD;
    fits_kind(L, what, "min", arg.min, has_bounds, "the kinds int and period");
    fits_kind(L, what, "max", arg.max, has_bounds, "the kinds int and period");
    fits_kind(L, what, "words", words, arg.kind == SV_ARG_WORD, "the kind word");
    if (words != NULL) arg.min = words;
    if (svi_field_bool(L, t, "required", what)) arg.flags |= SV_ARG_REQUIRED;
    if (svi_field_bool(L, t, "option", what)) arg.flags |= SV_ARG_OPTION;
    if (svi_field_bool(L, t, "exists", what)) arg.flags |= SV_ARG_EXISTS;
    if (svi_field_bool(L, t, "rest", what)) arg.flags |= SV_ARG_REST;
    return arg;
}

/* {"when", kind = "time", head = } */
static sv_column column_of(lua_State *L, int t)
{
    static const char *const known[] = {"kind", "head", NULL};
    static const char what[] = "sv.command: a column";
    luaL_checktype(L, t, LUA_TTABLE);
    svi_fields_known(L, t, known, 1, what);
    const char *kind = svi_field_text(L, t, "kind", what);
    const sv_column column = {.name = item_text(L, t, 1, what),
                              .kind = kind != NULL ? (sv_column_kind)word_of(L, column_kinds, kind, "kind", what) : SV_COLUMN_TEXT,
                              .head = svi_field_text(L, t, "head", what)};
    if (column.name == NULL) luaL_error(L, "%s begins with its name", what);
    return column;
}

/* Leaves the list of that name on the stack and says how many there are. */
static lua_Unsigned list_field(lua_State *L, const char *field)
{
    const int type = lua_getfield(L, 1, field);
    if (type != LUA_TNIL && type != LUA_TTABLE) luaL_error(L, "sv.command: `%s` is a list of tables", field);
    const lua_Unsigned count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    if (count > 32) luaL_error(L, "sv.command: `%s` has more than 32 items", field);
    return count;
}

static const sv_arg *args_of(lua_State *L)
{
    const lua_Unsigned count = list_field(L, "args");
    sv_arg *args = svi_declare_get(L, (count + 1) * sizeof *args);
    for (lua_Unsigned i = 0; i < count; i++) {
        (void)lua_rawgeti(L, -1, (lua_Integer)i + 1);
        args[i] = arg_of(L, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return args;
}

static const sv_column *columns_of(lua_State *L)
{
    const lua_Unsigned count = list_field(L, "columns");
    sv_column *columns = svi_declare_get(L, (count + 1) * sizeof *columns);
    for (lua_Unsigned i = 0; i < count; i++) {
        (void)lua_rawgeti(L, -1, (lua_Integer)i + 1);
        columns[i] = column_of(L, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return columns;
}

static uint32_t command_flags(lua_State *L)
{
    uint32_t flags = 0;
    if (svi_field_bool(L, 1, "changes", "sv.command")) flags |= SV_COMMAND_CHANGES;
    if (svi_field_bool(L, 1, "one", "sv.command")) flags |= SV_COMMAND_ONE;
    if (svi_field_bool(L, 1, "plain", "sv.command")) flags |= SV_COMMAND_PLAIN;
    if (svi_field_bool(L, 1, "stores", "sv.command")) flags |= SV_COMMAND_STORES;
    return flags;
}

/* sv.command{"last show", summary = "...", manual = , examples = , args = {...}, columns = {...}, who = "admin", changes = , one = , plain = , stores = , run = f} */
static int declare_command(lua_State *L)
{
    static const char *const known[] = {"summary", "manual", "examples", "args", "columns", "who", "changes", "one", "plain", "stores", "run", NULL};
    static const char what[] = "sv.command";
    static const word whos[] = {{"admin", SV_WHO_ADMIN}, {"owner", SV_WHO_OWNER}, {NULL, 0}};
    svi_script *script = svi_declaring(L, what);
    svi_build *b = script->build;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    svi_fields_known(L, 1, known, 1, what);
    if (b->command_count == SVI_SCRIPT_COMMANDS_MAX) return luaL_error(L, "%s: more than %d", what, SVI_SCRIPT_COMMANDS_MAX);
    const char *who = svi_field_text(L, 1, "who", what), *name = item_text(L, 1, 1, what);
    if (name == NULL) return luaL_error(L, "%s: it begins with its name", what);
    b->commands[b->command_count] = (sv_command){.name = name,
                                                 .summary = svi_field_text(L, 1, "summary", what),
                                                 .manual = svi_field_text(L, 1, "manual", what),
                                                 .examples = svi_field_text(L, 1, "examples", what),
                                                 .args = args_of(L),
                                                 .columns = columns_of(L),
                                                 .who = who != NULL ? (uint32_t)word_of(L, whos, who, "who", what) : 0,
                                                 .flags = command_flags(L),
                                                 .run = svi_script_on_event};
    if (lua_getfield(L, 1, "run") != LUA_TFUNCTION) return luaL_error(L, "%s: \"%s\" has no function `run`", what, name);
    b->command_entries[b->command_count++] =
        (svi_entry){.function = luaL_ref(L, LUA_REGISTRYINDEX), .may_change = true, .is_command = true, .text = name};
    return 0;
}

/* --- metrics ----------------------------------------------------------------------------------------- */

static const word metric_kinds[] = {{"counter", SV_METRIC_COUNTER}, {"gauge", SV_METRIC_GAUGE}, {NULL, 0}};

typedef struct metric {
    const void *mark; /* NULL: it is no view (script_lib.h) */
    uint32_t index;   /* in the description's table */
} metric;

/* sv.metric{"greeted", kind = "counter", manual = "..."} returns what counts: m:add(1), m:set(5). */
static int declare_metric(lua_State *L)
{
    static const char *const known[] = {"kind", "manual", NULL};
    static const char what[] = "sv.metric";
    svi_script *script = svi_declaring(L, what);
    svi_build *b = script->build;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    svi_fields_known(L, 1, known, 1, what);
    if (b->metric_count == SVI_SCRIPT_METRICS_MAX) return luaL_error(L, "%s: more than %d", what, SVI_SCRIPT_METRICS_MAX);
    const char *manual = svi_field_text(L, 1, "manual", what);
    if (manual == NULL) return luaL_error(L, "%s: it needs a `manual`, what it counts", what);
    b->metrics[b->metric_count] = (sv_metric){.name = full_name(L, item_text(L, 1, 1, what), what),
                                              .kind = (sv_metric_kind)word_of(L, metric_kinds, svi_field_text(L, 1, "kind", what), "kind", what),
                                              .manual = manual};
    metric *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = (metric){.mark = NULL, .index = (uint32_t)b->metric_count++};
    luaL_setmetatable(L, "svi.metric");
    return 1;
}

static uint32_t metric_of(lua_State *L)
{
    return ((const metric *)luaL_checkudata(L, 1, "svi.metric"))->index;
}

static int metric_add(lua_State *L)
{
    const svi_task *task = svi_task_here(L);
    const lua_Integer delta = luaL_optinteger(L, 2, 1);
    const uint32_t index = metric_of(L);
    if (delta < 0 && task->script->desc.metrics[index].kind == SV_METRIC_COUNTER) return luaL_error(L, "a counter does not fall");
    task->script->sv->metric_add(task->host->mod, index, delta);
    return 0;
}

static int metric_set(lua_State *L)
{
    const svi_task *task = svi_task_here(L);
    const lua_Integer value = luaL_checkinteger(L, 2);
    const uint32_t index = metric_of(L);
    if (task->script->desc.metrics[index].kind == SV_METRIC_COUNTER) return luaL_error(L, "a counter is added to, not set");
    task->script->sv->metric_set(task->host->mod, index, value);
    return 0;
}

void svi_script_open_tables(lua_State *L)
{
    static const luaL_Reg functions[] = {{"option", declare_option}, {"command", declare_command}, {"metric", declare_metric}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"add", metric_add}, {"set", metric_set}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    (void)luaL_newmetatable(L, "svi.metric");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "metric");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
