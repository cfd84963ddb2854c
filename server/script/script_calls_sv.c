/* Functions of sv that belong to no event: log, items of the host, names of accounts. */
#include "script/script_calls.h"
#include "script/script_glue.h"

enum {
    FIELDS_MAX = 15,
    LINES_MAX = 1000,
    FEATURE_BYTES_MAX = 16384,
    ACCOUNTS_MAX = 1000,
    ACCOUNTS_MS = 30000,
    LISTINGS_MAX = 100, /* that wait on a host */
    RANDOM_MAX = 4096
};

/* --- the log ------------------------------------------------------------------------------------------- */

typedef struct field {
    const char *name, *value;
} field;

/* The value on top as a text that stays on the stack. */
static const char *scalar_text(lua_State *L, const char *name)
{
    const int type = lua_type(L, -1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN && svi_view_at(L, -1) != SVI_VIEW_JID)
        luaL_error(L, "log: the field \"%s\" is a %s, not a text, a number or a truth", name, luaL_typename(L, -1));
    size_t n;
    const char *text = luaL_tolstring(L, -1, &n);
    if (n > SVI_TEXT_MAX) luaL_error(L, "log: the field \"%s\" has more than %d bytes", name, SVI_TEXT_MAX);
    lua_remove(L, -2);
    return text;
}

static bool is_field_name(const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0'; n++)
        if (!((name[n] >= 'a' && name[n] <= 'z') || (n > 0 && ((name[n] >= '0' && name[n] <= '9') || name[n] == '_' || name[n] == '-')))) return false;
    return n > 0 && n <= 32;
}

/* Fields in the order of their names, which is the same each time. */
static size_t take_fields(lua_State *L, int index, field fields[FIELDS_MAX])
{
    size_t count = 0;
    luaL_checkstack(L, FIELDS_MAX + 8, "log");
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING || !is_field_name(lua_tostring(L, -2)))
            luaL_error(L, "log: the name of a field is 1 to 32 of a-z 0-9 _ -");
        if (count == FIELDS_MAX) luaL_error(L, "log: more than %d fields", FIELDS_MAX);
        const char *name = lua_tostring(L, -2), *value = scalar_text(L, name);
        size_t at = count++;
        for (; at > 0 && strcmp(fields[at - 1].name, name) > 0; at--) fields[at] = fields[at - 1];
        fields[at] = (field){name, value};
        lua_insert(L, -2); /* the text below the key, which goes on */
    }
    return count;
}

/* sv.log(level: level, event: string, fields: table?) */
int svi_lua_sv_log(lua_State *L)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    svi_task *task = svi_task_here(L);
    const sv_level level = (sv_level)svi_arg_choice(L, 1, levels, "level of the log");
    const char *event = svi_arg_name(L, 2, "", 48, "events of the log");
    field f[FIELDS_MAX + 1] = {{.name = NULL}};
    lua_settop(L, 3);
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        (void)take_fields(L, 3, f);
    }
    if (++task->logged > LINES_MAX) return luaL_error(L, "log: more than %d lines of one handler", LINES_MAX);
    task->script->sv->log(task->host->mod, level, event, f[0].name, f[0].value, f[1].name, f[1].value, f[2].name, f[2].value, f[3].name,
                          f[3].value, f[4].name, f[4].value, f[5].name, f[5].value, f[6].name, f[6].value, f[7].name, f[7].value, f[8].name,
                          f[8].value, f[9].name, f[9].value, f[10].name, f[10].value, f[11].name, f[11].value, f[12].name, f[12].value,
                          f[13].name, f[13].value, f[14].name, f[14].value, (const char *)NULL);
    return 0;
}

/* --- the host ------------------------------------------------------------------------------------------ */

/* In start the script sets up what is its own. */
static void may_set(svi_task *task, lua_State *L, const char *what)
{
    if (task->ev != NULL) svi_task_may(task, L, SVI_EFFECT_CHANGE, what);
}

/* sv.host_set_item(name: string, value: string?): boolean?, word */
int svi_lua_sv_host_set_item(lua_State *L)
{
    svi_task *task = svi_task_here(L);
    const char *name = svi_arg_word(L, 1);
    const sv_str value = svi_arg_str_or_none(L, 2);
    may_set(task, L, "host_set_item");
    return svi_push_status(L, task->script->sv->host_set_item(task->host->mod, name, value));
}

/* sv.set_stream_feature(xml: string): boolean?, word */
int svi_lua_sv_set_stream_feature(lua_State *L)
{
    svi_task *task = svi_task_here(L);
    const sv_str xml = svi_arg_str(L, 1);
    if (xml.n > FEATURE_BYTES_MAX) return svi_push_status(L, SV_ELIMIT);
    may_set(task, L, "set_stream_feature");
    return svi_push_status(L, task->script->sv->set_stream_feature(task->host->mod, xml));
}

/* sv.begin(on: string, subject: string?) */
int svi_lua_sv_begin(lua_State *L)
{
    svi_task *task = svi_task_event(L, "sv.begin");
    const sv_str on = svi_arg_str(L, 1), subject = svi_arg_str_or_none(L, 2);
    const svi_script_point *point = svi_script_points;
    while (point->name != NULL && !sv_str_eq(on, sv_str_of(point->name))) point++;
    if (point->name == NULL || point->is_of_account)
        return luaL_argerror(L, 1, lua_pushfstring(L, "\"%s\" is no occasion about the host that scripts fire (doc/reference/lua.md names them)", on.p));
    svi_check_xml(L, subject, "sv.begin: the subject");
    svi_task_makes(task, L, 512 + subject.n);
    svi_task_may(task, L, SVI_EFFECT_CHANGE, "sv.begin");
    task->script->sv->begin(task->host->mod, point->name, subject.p != NULL ? subject : SV_STR(""));
    return 0;
}

/* --- texts that need an event -------------------------------------------------------------------------- */

/* event:random_hex(bytes: integer): string */
int svi_lua_event_random_hex(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const size_t bytes = (size_t)svi_arg_int(L, 2, 1, RANDOM_MAX);
    svi_task_makes(task, L, 2 * bytes);
    svi_push_str(L, task->script->sv->random_hex(task->ev, bytes));
    return 1;
}

/* event:stamp(ms: integer): string */
int svi_lua_event_stamp(lua_State *L)
{
    svi_task *task = svi_arg_event(L, 1);
    const int64_t ms = svi_arg_int(L, 2, INT64_C(-62135596800000), INT64_C(253402300799999));
    svi_task_makes(task, L, 32);
    svi_push_str(L, task->script->sv->stamp(task->ev, ms));
    return 1;
}

/* --- accounts ------------------------------------------------------------------------------------------ */

/* A list that a handler waits for. The table's callback says only whose it is, so one is asked for at a time. */
typedef struct svi_listing {
    struct svi_listing *next;
    svi_script_host *host;
    svi_task *task;         /* NULL: nobody waits any more */
    svi_script_wait *wait;
    sv_str after;
    size_t max;
    bool is_asked, is_back;
    sv_status status;
    svi_buf names; /* each with a NUL behind it */
    bool more;
} svi_listing;

static void on_accounts(sv_status status, const sv_str *names, size_t count, bool more, void *self);

/* Takes it out of the list that begins there. */
static void listing_free(svi_listing **at, svi_listing *l)
{
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    svi_str_free(&l->after);
    svi_buf_free(&l->names);
    svi_free(l);
}

static void ask_first(svi_script_host *host)
{
    svi_listing *l = host->listings;
    if (l == NULL || l->is_asked) return;
    l->is_asked = true;
    host->script->sv->accounts(host->mod, l->after, l->max, on_accounts);
}

static void on_accounts(sv_status status, const sv_str *names, size_t count, bool more, void *self)
{
    svi_script_host *host = self;
    svi_listing *l = host->listings;
    SV_ASSERT(l != NULL && l->is_asked);
    l->is_back = true;
    l->status = status;
    l->more = more;
    for (size_t i = 0; i < count && l->task != NULL; i++) {
        svi_buf_put(&l->names, names[i]);
        svi_buf_put(&l->names, (sv_str){"", 1});
    }
    if (l->task != NULL) {
        host->listings = l->next; /* it goes when its handler has it */
        l->next = host->listed;
        host->listed = l;
        host->script->env.wake(l->wait);
    } else {
        listing_free(&host->listings, l);
    }
    ask_first(host);
}

static int push_accounts(svi_task *task, lua_State *L, void *ctx)
{
    (void)task;
    const svi_listing *l = ctx;
    if (!l->is_back || l->status != SV_OK) return svi_push_status(L, l->is_back ? l->status : SV_ETIMEOUT);
    sv_str rest = svi_buf_str(&l->names), name;
    lua_newtable(L);
    for (lua_Integer i = 1; svi_str_split(&rest, '\0', &name); i++) {
        svi_push_str(L, name);
        lua_rawseti(L, -2, i);
    }
    lua_pushboolean(L, l->more);
    return 2;
}

/* Nobody waits any more: what has not come yet is thrown away when it comes. */
static void end_listing(svi_listing *l)
{
    l->task = NULL;
    l->wait = NULL;
    if (l->is_back)
        listing_free(&l->host->listed, l);
    else if (!l->is_asked)
        listing_free(&l->host->listings, l);
}

static void listing_back(void *ctx)
{
    svi_listing *l = ctx;
    svi_task_resume(l->task, push_accounts, l);
    end_listing(l);
}

static void listing_gone(void *ctx)
{
    end_listing(ctx);
}

void svi_script_listings_drop(svi_script_host *host)
{
    while (host->listings != NULL) listing_free(&host->listings, host->listings);
    SV_ASSERT(host->listed == NULL); /* each holds the module until it ends */
}

/* sv.accounts(after: string?, max: integer): table?, boolean yields */
int svi_lua_sv_accounts(lua_State *L)
{
    svi_task *task = svi_task_event(L, "sv.accounts");
    svi_script_host *host = task->host;
    const sv_str after = lua_isnoneornil(L, 1) ? SV_STR("") : svi_arg_str(L, 1);
    const size_t max = (size_t)svi_arg_int(L, 2, 1, ACCOUNTS_MAX);
    if (after.n > 1023) return luaL_argerror(L, 1, "the name of an account has 1023 bytes at most");
    svi_task_check_wait(task, L, "sv.accounts");
    svi_listing **end = &host->listings;
    size_t count = 0;
    for (; *end != NULL; end = &(*end)->next) count++;
    if (count >= LISTINGS_MAX) return luaL_error(L, "sv.accounts: %d handlers wait for it already", LISTINGS_MAX);
    svi_listing *l = svi_alloc(task->script->env.acct, sizeof *l);
    *l = (svi_listing){.host = host, .task = task, .max = max};
    l->after = svi_str_dup(task->script->env.acct, after);
    svi_buf_init(&l->names, task->script->env.acct);
    *end = l;
    l->wait = task->script->env.wait(host->mod, task->ev, (int64_t)ACCOUNTS_MS * 1000, listing_back, listing_gone, l);
    ask_first(host);
    return svi_task_wait(task, L);
}
