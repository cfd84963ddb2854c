/* What a script declares at its top level becomes the description that a module in C has as tables. */
#include <stdio.h>

#include "script/script_calls.h"
#include "script/script_declare.h"

/* --- reading tables ---------------------------------------------------------------------------------- */

svi_script *svi_declaring(lua_State *L, const char *what)
{
    svi_script *script = svi_script_of(L);
    if (!script->is_loading) luaL_error(L, "%s declares: call it at the top level of the script", what);
    if (!script->has_head) luaL_error(L, "%s comes behind sv.script{...}, which says what the script may do", what);
    return script;
}

void *svi_declare_get(lua_State *L, size_t bytes)
{
    svi_script *script = svi_script_of(L);
    if (bytes > SVI_DECLARED_MAX || (script->declared_bytes += bytes) > SVI_DECLARED_MAX)
        luaL_error(L, "the script declares more than %d bytes of texts and tables", SVI_DECLARED_MAX);
    return svi_arena_get(script->arena, bytes);
}

const char *svi_declared_text(lua_State *L, int index, const char *what)
{
    size_t n;
    const char *text = luaL_checklstring(L, index, &n);
    if (memchr(text, '\0', n) != NULL || !svi_utf8_valid((sv_str){text, n})) luaL_error(L, "%s: it is no text", what);
    char *copy = svi_declare_get(L, n + 1);
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

/* A field that is a text, a number or a truth, as text; NULL if it is absent. */
const char *svi_field_text(lua_State *L, int table, const char *field, const char *what)
{
    const char *text = NULL;
    const int type = lua_getfield(L, table, field);
    if (type == LUA_TBOOLEAN)
        text = lua_toboolean(L, -1) ? "true" : "false";
    else if (type == LUA_TSTRING || type == LUA_TNUMBER)
        text = svi_declared_text(L, -1, what);
    else if (type != LUA_TNIL)
        luaL_error(L, "%s: `%s` is a %s, not a text", what, field, luaL_typename(L, -1));
    lua_pop(L, 1);
    return text;
}

bool svi_field_bool(lua_State *L, int table, const char *field, const char *what)
{
    const int type = lua_getfield(L, table, field);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) luaL_error(L, "%s: `%s` is true or false", what, field);
    const bool is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is;
}

/* Refuses fields that mean nothing: a misspelt right would be one less, a misspelt bound none. Items by number may be up to `items`. */
void svi_fields_known(lua_State *L, int table, const char *const *known, lua_Integer items, const char *what)
{
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TNUMBER) {
            if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 && lua_tointeger(L, -1) <= items) continue;
            luaL_error(L, "%s: there is no item number %d", what, (int)lua_tointeger(L, -1));
        }
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
        const char *near = NULL;
        size_t distance = 3;
        bool is_known = false;
        for (size_t i = 0; known[i] != NULL && !is_known; i++) {
            const size_t d = svi_str_distance(sv_str_of(key), sv_str_of(known[i]), distance);
            is_known = d == 0;
            if (d >= distance) continue;
            distance = d;
            near = known[i];
        }
        if (!is_known)
            luaL_error(L, "%s has no field `%s`%s%s%s", what, key, near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    }
}

/* A list of texts, or one text. */
svi_patterns svi_field_list(lua_State *L, int table, const char *field, const char *what)
{
    svi_patterns list = {.count = 0};
    const int type = lua_getfield(L, table, field);
    if (type == LUA_TSTRING) {
        list.items = svi_declare_get(L, sizeof *list.items);
        list.items[list.count++] = svi_declared_text(L, -1, what);
    } else if (type == LUA_TTABLE) {
        const lua_Unsigned count = lua_rawlen(L, -1);
        if (count > 256) luaL_error(L, "%s: `%s` has more than 256 items", what, field);
        list.items = svi_declare_get(L, (count + 1) * sizeof *list.items);
        for (lua_Unsigned i = 1; i <= count; i++) {
            if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TSTRING) luaL_error(L, "%s: `%s` is a list of texts", what, field);
            list.items[list.count++] = svi_declared_text(L, -1, what);
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        luaL_error(L, "%s: `%s` is a list of texts", what, field);
    }
    lua_pop(L, 1);
    return list;
}

bool svi_patterns_fit(const svi_patterns *patterns, sv_str name)
{
    for (size_t i = 0; i < patterns->count; i++) {
        const sv_str p = sv_str_of(patterns->items[i]);
        if (sv_str_eq(p, name) || sv_str_eq(p, SV_STR("*"))) return true;
        if (svi_str_ends(p, SV_STR("/*")) && svi_str_starts(name, svi_str_sub(p, 0, p.n - 1))) return true;
    }
    return false;
}

/* --- the head ---------------------------------------------------------------------------------------- */

static void add_right(svi_script *script, const char *kind, const char *what)
{
    script->rights[script->right_count++] = svi_arena_printf(script->arena, "%s %s", kind, what).p;
}

static void list_rights(svi_script *script, const svi_patterns *stores)
{
    const struct {
        const char *kind;
        const svi_patterns *list;
    } kinds[] = {{"hosts", &script->hosts_allowed}, {"reads", &script->reads}, {"changes", &script->changes},
                 {"stores", stores}, {"sends", &script->sends}};
    size_t count = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) count += kinds[k].list->count;
    script->rights = svi_arena_get(script->arena, (count + 1) * sizeof *script->rights);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < kinds[k].list->count; i++) add_right(script, kinds[k].kind, kinds[k].list->items[i]);
}

/* "last", "roster/items", "roster/items write": another module's map is read only unless that is said. */
static svi_script_store store_of(lua_State *L, const char *text)
{
    svi_arena *arena = svi_script_of(L)->arena;
    sv_str rest = sv_str_of(text), path = SV_STR_NONE;
    (void)svi_str_split(&rest, ' ', &path);
    const size_t slash = svi_str_find(path, '/');
    const bool is_own = slash == path.n;
    if (path.n == 0 || (rest.n > 0 && !sv_str_eq(rest, SV_STR("write"))) || (is_own && rest.n > 0))
        luaL_error(L, "sv.script: `stores`: \"%s\" is no \"name\", \"module/name\" or \"module/name write\"", text);
    if (is_own) return (svi_script_store){.name = svi_arena_str(arena, path).p, .may_write = true};
    return (svi_script_store){.owner = svi_arena_str(arena, svi_str_sub(path, 0, slash)).p,
                              .name = svi_arena_str(arena, svi_str_sub(path, slash + 1, path.n)).p,
                              .may_write = rest.n > 0};
}

static void take_stores(lua_State *L, const svi_patterns *list)
{
    svi_script *script = svi_script_of(L);
    script->stores = svi_arena_get(script->arena, (list->count + 1) * sizeof *script->stores);
    for (size_t i = 0; i < list->count; i++) script->stores[script->store_count++] = store_of(L, list->items[i]);
}

static const char *joined(lua_State *L, const svi_patterns *list, const char *what)
{
    svi_buf words;
    svi_script *script = svi_script_of(L);
    for (size_t i = 0; i < list->count; i++)
        if (strchr(list->items[i], ' ') != NULL && what != NULL) luaL_error(L, "sv.script: `%s`: one text each, without blanks", what);
    svi_buf_init(&words, script->env.acct);
    for (size_t i = 0; i < list->count; i++) svi_buf_printf(&words, "%s%s", i > 0 ? " " : "", list->items[i]);
    const char *text = svi_arena_str(script->arena, svi_buf_str(&words)).p;
    svi_buf_free(&words);
    return text;
}

/* sv.script{summary = "...", reads = {...}, changes = {...}, stores = {...}, sends = {...}, hosts = {...}, after = "..."} */
static int declare_script(lua_State *L)
{
    static const char *const known[] = {"summary", "hosts", "reads", "changes", "stores", "sends", "after", "features",
                                        "account_features", "policy", "autoreload", NULL};
    static const char what[] = "sv.script";
    svi_script *script = svi_script_of(L);
    if (!script->is_loading || script->has_head) return luaL_error(L, "sv.script is the first call of a script, once");
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    svi_fields_known(L, 1, known, 0, what);
    script->desc.summary = svi_field_text(L, 1, "summary", what);
    if (script->desc.summary == NULL) return luaL_error(L, "sv.script: it needs a `summary`, half a line");
    script->reads = svi_field_list(L, 1, "reads", what);
    script->changes = svi_field_list(L, 1, "changes", what);
    script->sends = svi_field_list(L, 1, "sends", what);
    script->hosts_allowed = svi_field_list(L, 1, "hosts", what);
    const svi_patterns stores = svi_field_list(L, 1, "stores", what), after = svi_field_list(L, 1, "after", what);
    const svi_patterns features = svi_field_list(L, 1, "features", what);
    const svi_patterns of_accounts = svi_field_list(L, 1, "account_features", what);
    script->desc.after = joined(L, &after, NULL);
    script->desc.features = joined(L, &features, "features");
    script->desc.account_features = joined(L, &of_accounts, "account_features");
    script->is_policy = svi_field_bool(L, 1, "policy", what);
    script->is_autoreload = svi_field_bool(L, 1, "autoreload", what);
    take_stores(L, &stores);
    list_rights(script, &stores);
    script->has_head = true;
    return 0;
}

/* --- hooks ------------------------------------------------------------------------------------------- */

static sv_str point_of(const char *hook)
{
    sv_str rest = sv_str_of(hook), point = SV_STR_NONE;
    (void)svi_str_split(&rest, ' ', &point);
    return point;
}

static bool is_at_recipient(sv_str point)
{
    static const char *const scopes[] = {"/host", "/self", "/account", "/resource"};
    bool is = false;
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) is = is || svi_str_ends(point, sv_str_of(scopes[i]));
    return is;
}

static svi_entry entry_of(const svi_script *script, const char *hook)
{
    const sv_str point = point_of(hook);
    const bool is_iq = svi_str_starts(point, SV_STR("iq-"));
    return (svi_entry){.text = hook,
                       .may_change = svi_patterns_fit(&script->changes, point),
                       .has_filter = strchr(hook, '{') != NULL,
                       .has_stanza = is_iq || svi_str_starts(point, SV_STR("message/")) || svi_str_starts(point, SV_STR("stanza/")) ||
                                     svi_str_starts(point, SV_STR("presence/")) || sv_str_eq(point, SV_STR("session/unsent")) ||
                                     sv_str_eq(point, SV_STR("session/sending")),
                       .is_request = svi_str_starts(point, SV_STR("iq-get/")) || svi_str_starts(point, SV_STR("iq-set/")),
                       .is_own = is_at_recipient(point)};
}

static void add_hook(svi_script *script, const svi_entry *entry, const sv_hook *hook)
{
    svi_build *b = script->build;
    b->entries[b->hook_count] = *entry;
    b->hooks[b->hook_count] = *hook;
    b->hooks[b->hook_count].call = svi_script_on_event;
    b->hook_count++;
}

static sv_band band_of(lua_State *L, const char *word)
{
    static const char *const words[] = {"normal", "first", "early", "late", "monitor"};
    for (size_t i = 0; word != NULL && i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) return (sv_band)i;
    if (word != NULL) luaL_error(L, "sv.on: `band` is first, early, normal, late or monitor, not \"%s\"", word);
    return SV_NORMAL;
}

static bool writes(const svi_script *script)
{
    bool is = false;
    for (size_t i = 0; i < script->store_count; i++) is = is || script->stores[i].may_write;
    return is;
}

/* Does a handler write? Unless it says so by `stores`, each that may change something in a script that has stores of its own. */
static bool may_store(lua_State *L, const svi_script *script, const svi_entry *entry)
{
    const bool is_said = lua_istable(L, 3) && lua_getfield(L, 3, "stores") != LUA_TNIL;
    if (is_said) return svi_field_bool(L, 3, "stores", "sv.on");
    return entry->may_change && writes(script);
}

/* sv.on("iq-get/host {ns}query", function(ev) ... end [, {band = "early", after = "name", guard = true, open = true, finishes = true,
 * stores = false}]) */
static int declare_hook(lua_State *L)
{
    static const char *const known[] = {"band", "after", "guard", "open", "finishes", "stores", NULL};
    svi_script *script = svi_declaring(L, "sv.on");
    svi_build *b = script->build;
    const char *on = svi_declared_text(L, 1, "sv.on");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 3);
    if (b->hook_count + SVI_OWN_HOOKS >= SVI_SCRIPT_HOOKS_MAX) return luaL_error(L, "sv.on: more than %d hooks", SVI_SCRIPT_HOOKS_MAX);
    svi_entry entry = entry_of(script, on);
    sv_hook hook = {.on = on};
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        svi_fields_known(L, 3, known, 0, "sv.on");
        hook.band = band_of(L, svi_field_text(L, 3, "band", "sv.on"));
        hook.after = svi_field_text(L, 3, "after", "sv.on");
        if (svi_field_bool(L, 3, "guard", "sv.on")) hook.flags |= SV_HOOK_GUARD;
        if (svi_field_bool(L, 3, "open", "sv.on")) hook.flags |= SV_HOOK_OPEN;
        if (svi_field_bool(L, 3, "finishes", "sv.on")) hook.flags |= SV_HOOK_FINISHES;
    }
    entry.is_monitor = hook.band == SV_MONITOR;
    if (entry.is_monitor) entry.may_change = false;
    entry.is_guard = (hook.flags & SV_HOOK_GUARD) != 0;
    if (!entry.may_change && !svi_patterns_fit(&script->reads, point_of(on)) && !svi_patterns_fit(&script->changes, point_of(on)))
        return luaL_error(L, "sv.on: the script has no right to \"%s\": name it in sv.script under `reads`, or under `changes`", on);
    if (may_store(L, script, &entry)) hook.flags |= SV_HOOK_STORES;
    lua_settop(L, 2);
    entry.function = luaL_ref(L, LUA_REGISTRYINDEX);
    entry.stores_nothing = entry.may_change && writes(script) && (hook.flags & SV_HOOK_STORES) == 0;
    add_hook(script, &entry, &hook);
    return 0;
}

/* --- start and save ---------------------------------------------------------------------------------- */

static int declare_function(lua_State *L, int *reference, const char *what)
{
    (void)svi_declaring(L, what);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (*reference != LUA_NOREF) return luaL_error(L, "%s: once", what);
    lua_settop(L, 1);
    *reference = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int declare_start(lua_State *L)
{
    return declare_function(L, &svi_script_of(L)->start, "sv.start");
}

static int declare_save(lua_State *L)
{
    return declare_function(L, &svi_script_of(L)->save, "sv.save");
}

/* sv.store("last" [, schema]): one that sv.script names. */
static int declare_store(lua_State *L)
{
    svi_script *script = svi_declaring(L, "sv.store");
    const char *text = svi_declared_text(L, 1, "sv.store");
    const lua_Integer schema = luaL_optinteger(L, 2, 1);
    const char *slash = strchr(text, '/');
    if (schema < 1 || schema > 255) return luaL_error(L, "sv.store: the version of its records is 1 to 255");
    for (size_t i = 0; i < script->store_count; i++) {
        svi_script_store *s = &script->stores[i];
        const bool is_it = s->owner == NULL ? strcmp(s->name, text) == 0
                                            : slash != NULL && strcmp(s->name, slash + 1) == 0 &&
                                                  strncmp(s->owner, text, (size_t)(slash - text)) == 0 && s->owner[slash - text] == '\0';
        if (!is_it) continue;
        s->schema = (uint32_t)schema;
        return svi_push_store(L, i);
    }
    return luaL_error(L, "sv.store: the script has no right to \"%s\": name it in sv.script under `stores`", text);
}

/* --- the description --------------------------------------------------------------------------------- */

static int index_sv(lua_State *L)
{
    static const char self[] = "self";
    size_t n;
    const char *key = luaL_checklstring(L, 2, &n);
    if (n != sizeof self - 1 || memcmp(key, self, n) != 0)
        return luaL_error(L, "there is no sv.%s", key);
    (void)lua_rawgeti(L, LUA_REGISTRYINDEX, svi_task_here(L)->host->self);
    return 1;
}

static int no_new(lua_State *L)
{
    return luaL_error(L, "nothing is added to sv: sv.self is the table of the script on a host");
}

static void seal(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, index_sv);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, no_new);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "sv");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* sv.random(n): 1 to n, each as likely. */
static int sv_random(lua_State *L)
{
    const svi_task *task = svi_task_here(L);
    const lua_Integer n = luaL_checkinteger(L, 1);
    uint64_t bits;
    if (n < 1) return luaL_error(L, "sv.random: it takes the greatest number, 1 or more");
    const uint64_t last = UINT64_MAX - (UINT64_MAX % (uint64_t)n + 1) % (uint64_t)n; /* beyond it some would come more often */
    do {
        task->script->env.random(task->host->mod, &bits, sizeof bits);
    } while (bits > last);
    lua_pushinteger(L, (lua_Integer)(bits % (uint64_t)n) + 1);
    return 1;
}

void svi_script_open_declarations(lua_State *L)
{
    static const luaL_Reg functions[] = {{"script", declare_script}, {"on", declare_hook},     {"start", declare_start},
                                         {"save", declare_save},     {"store", declare_store}, {"random", sv_random}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    (void)lua_pushstring(L, svi_script_of(L)->env.release);
    lua_setfield(L, -2, "release");
    (void)lua_pushstring(L, svi_script_of(L)->name);
    lua_setfield(L, -2, "name");
    svi_script_open_tables(L);
    svi_script_open_timers(L);
    svi_script_open_saved(L);
    svi_script_open_require(L);
    svi_script_open_work(L);
    seal(L);
}

static void add_own_hooks(svi_script *script)
{
    const svi_entry timer = {.text = "host/timer", .function = LUA_NOREF, .may_change = script->changes.count > 0, .own = svi_script_on_timer};
    const svi_entry answer = {.text = "iq-result/host", .function = LUA_NOREF, .has_stanza = true, .own = svi_script_on_answer};
    const sv_hook at_timer = {.on = "host/timer", .flags = writes(script) ? SV_HOOK_STORES : 0};
    const sv_hook at_result = {.on = "iq-result/host", .band = SV_EARLY, .flags = SV_HOOK_OPEN};
    const sv_hook at_error = {.on = "iq-error/host", .band = SV_EARLY, .flags = SV_HOOK_OPEN};
    add_hook(script, &timer, &at_timer);
    if (script->sends.count == 0) return;
    add_hook(script, &answer, &at_result);
    add_hook(script, &answer, &at_error);
}

/* Sites and the options' fields lie behind the host's part. */
static void lay_out(svi_script *script)
{
    svi_build *b = script->build;
    size_t at = sizeof(svi_script_host) + script->entry_count * sizeof(svi_site);
    for (size_t i = 0; i < b->option_count; i++, at += SVI_OPTION_BYTES) b->options[i].offset = at;
    script->desc.self_size = at;
}

sv_status svi_script_declared(svi_script *script, sv_err *err)
{
    svi_build *b = script->build;
    if (!script->has_head) return svi_err(err, SV_EINVAL, "%s does not begin with sv.script{...}", script->file);
    add_own_hooks(script);
    for (size_t i = 0; i < b->command_count; i++) b->entries[b->hook_count + i] = b->command_entries[i];
    script->entries = b->entries;
    script->hook_count = b->hook_count;
    script->command_count = b->command_count;
    script->entry_count = b->hook_count + b->command_count;
    lay_out(script);
    sv_module_desc *d = &script->desc;
    d->size = sizeof *d;
    d->abi_major = SV_ABI_MAJOR;
    d->abi_minor = SV_ABI_MINOR;
    d->hook_stride = sizeof(sv_hook);
    d->option_stride = sizeof(sv_option);
    d->command_stride = sizeof(sv_command);
    d->arg_stride = sizeof(sv_arg);
    d->column_stride = sizeof(sv_column);
    d->metric_stride = sizeof(sv_metric);
    d->name = script->name;
    d->hooks = b->hooks;
    d->options = b->options;
    d->commands = b->command_count > 0 ? b->commands : NULL;
    d->metrics = b->metric_count > 0 ? b->metrics : NULL;
    return SV_OK;
}
