/* Reading the configuration: runs the file in a sandbox whose environment notes each assignment with its place. */
#include "mods/mods_config.h"

#include "base/base_assert.h"
#include "base/base_dict.h"
#include "script/script_sandbox.h"
#include "xmpp/xmpp_jid.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x434f4e46u
#define FILE_MAX_BYTES (1u << 20)
#define CHUNK "config" /* in Lua's messages, which would cut a long path */
#define LIST_DEPTH 4
#define LIST_LINES_MAX 1000 /* lines from where a value begins to where it ends */
#define FILES_MAX 1000      /* that Include may read; each may include others several times */

typedef struct section {
    svi_section pub;
    svi_dict *values; /* name -> svi_value */
} section;

struct svi_config {
    uint32_t magic;
    uint32_t refs;
    svi_acct *acct;
    svi_arena *arena;
    section **sections;
    size_t count, cap;
};

/* A file that is being read, within the one that includes it. */
typedef struct reading {
    const struct reading *back;
    dev_t device;
    ino_t number;
} reading;

/* What reading needs and the result does not. */
typedef struct reader {
    svi_config *config;
    svi_sandbox *box;
    section *now; /* where assignments go */
    svi_config_report report;
    void *report_ctx;
    bool failed;
    const struct reading *reading; /* the innermost file that is being read */
    const char *file; /* being read, and its text, to find the line an assignment begins on */
    sv_str text;
    int at_line; /* a line of it that was looked for, and where that begins */
    size_t at_place;
    size_t files; /* read so far */
} reader;

static reader *reader_of(lua_State *L)
{
    reader *r = lua_touserdata(L, lua_upvalueindex(1));
    SV_ASSERT(r != NULL);
    return r;
}

static void report(reader *r, const char *file, int line, const char *text)
{
    r->failed = true;
    r->report(r->report_ctx, file, line, text);
}

/* --- sections -------------------------------------------------------------------------------------- */

static section *add_section(svi_config *config, svi_section_kind kind, sv_str name,
                            const char *file, int line)
{
    if (config->count == config->cap) {
        config->cap = config->cap ? config->cap * 2 : 8;
        config->sections =
            svi_realloc(config->acct, config->sections, config->cap * sizeof *config->sections);
    }
    section *s = svi_arena_get(config->arena, sizeof *s);
    s->pub = (svi_section){
        .kind = kind, .name = svi_arena_str(config->arena, name), .file = file, .line = line};
    s->values = svi_dict_new(config->acct);
    config->sections[config->count++] = s;
    return s;
}

/* --- values ---------------------------------------------------------------------------------------- */

static bool is_assignment(sv_str line, sv_str name)
{
    const sv_str code = svi_str_trim(line);
    if (!svi_str_starts(code, name)) return false;
    const sv_str after = svi_str_trim(svi_str_sub(code, name.n, code.n));
    return after.n && after.p[0] == '=';
}

/* The place in the text where a line begins. Assignments come in order, mostly: the search goes on where
 * the last one ended. */
static size_t line_place(reader *r, int line)
{
    if (line < r->at_line) r->at_line = 1, r->at_place = 0;
    while (r->at_line < line && r->at_place < r->text.n) {
        const sv_str rest = svi_str_sub(r->text, r->at_place, r->text.n);
        r->at_place += svi_str_find(rest, '\n') + 1;
        r->at_line++;
    }
    return r->at_place < r->text.n ? r->at_place : r->text.n;
}

/* The line on which the assignment that ended at `line` begins: Lua knows only the line of its last
 * token. A list is not looked for further up than a list is long. */
static int first_line(reader *r, sv_str name, int line)
{
    size_t place = line_place(r, line);
    for (int at = line; at > 0 && line - at < LIST_LINES_MAX; at--) {
        const sv_str rest = svi_str_sub(r->text, place, r->text.n);
        if (is_assignment(svi_str_sub(rest, 0, svi_str_find(rest, '\n')), name)) return at;
        if (place == 0) break;
        place--; /* the line feed before */
        while (place > 0 && r->text.p[place - 1] != '\n') place--;
    }
    return line;
}

static bool read_value(reader *r, lua_State *L, int index, int depth, svi_value *out)
{
    svi_arena *arena = r->config->arena;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        out->kind = SVI_VALUE_BOOL;
        out->number = lua_toboolean(L, index);
        return true;
    case LUA_TNUMBER: {
        int whole = 0;
        out->kind = SVI_VALUE_INT;
        out->number = lua_tointegerx(L, index, &whole);
        return whole != 0;
    }
    case LUA_TSTRING: {
        size_t n;
        const char *p = lua_tolstring(L, index, &n);
        out->kind = SVI_VALUE_STRING;
        out->text = svi_arena_str(arena, (sv_str){p, n});
        return true;
    }
    case LUA_TTABLE: break;
    default: return false;
    }
    if (depth == LIST_DEPTH || !lua_checkstack(L, 4)) return false;
    size_t keys = 0;
    const size_t count = (size_t)lua_rawlen(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) keys++;
    if (keys != count) return false; /* a list, not a table with names */
    svi_value *items = svi_arena_get(arena, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        items[i] = (svi_value){.file = out->file, .line = out->line};
        const bool ok = read_value(r, L, lua_gettop(L), depth + 1, &items[i]);
        lua_pop(L, 1);
        if (!ok) return false;
    }
    out->kind = SVI_VALUE_LIST;
    out->items = items;
    out->count = count;
    return true;
}

static int line_now(lua_State *L)
{
    lua_Debug ar;
    if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "l", &ar)) return 0;
    return ar.currentline;
}

/* Words that begin something and are no options. */
static bool is_word(sv_str name)
{
    return sv_str_eq(name, SV_STR("VirtualHost")) || sv_str_eq(name, SV_STR("Component")) ||
           sv_str_eq(name, SV_STR("Include"));
}

/* env[name] = value */
static int on_assign(lua_State *L)
{
    reader *r = reader_of(L);
    size_t n;
    if (lua_type(L, 2) != LUA_TSTRING) return luaL_error(L, "an option's name is a word");
    const char *p = lua_tolstring(L, 2, &n);
    const sv_str name = svi_arena_str(r->config->arena, (sv_str){p, n});
    if (is_word(name)) return luaL_error(L, "%s is followed by its name in quotes, without '='", p);
    svi_value *value = svi_arena_get(r->config->arena, sizeof *value);
    value->file = r->file;
    value->line = first_line(r, name, line_now(L));
    char text[200];
    if (!read_value(r, L, 3, 0, value)) {
        (void)snprintf(text, sizeof text,
                       "'%.80s' must be true, false, a whole number, a text or a list of these", p);
        report(r, value->file, value->line, text);
        return 0;
    }
    const svi_value *old = svi_dict_get(r->now->values, name);
    if (old) {
        (void)snprintf(text, sizeof text, "'%.60s' is set twice here; it was set in %.90s:%d", p,
                       old->file, old->line);
        report(r, value->file, value->line, text);
        return 0;
    }
    (void)svi_dict_put(r->now->values, name, value);
    return 0;
}

/* The word or Lua function that was meant, or NULL. Lua tells small letters and capitals apart, and
 * people do not. */
static const char *nearest_word(sv_str name)
{
    static const char *const words[] = {"VirtualHost", "Component", "Include"};
    const char *best = NULL;
    size_t best_distance = name.n / 3 + 2;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const sv_str word = sv_str_of(words[i]);
        if (svi_str_eq_fold(name, word)) return words[i];
        const size_t distance = svi_str_distance(name, word, best_distance);
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = words[i];
    }
    return best;
}

/* env[name] where nothing is: what was assigned before, or a mistake such as a word without quotes. */
static int on_read(lua_State *L)
{
    const reader *r = reader_of(L);
    size_t n;
    const char *p = lua_tolstring(L, 2, &n);
    if (!p) return luaL_error(L, "a name is a word");
    const svi_value *value = svi_dict_get(r->now->values, (sv_str){p, n});
    if (!value) value = svi_dict_get(r->config->sections[0]->values, (sv_str){p, n});
    if (!value) {
        const char *near = nearest_word((sv_str){p, n});
        if (near) return luaL_error(L, "'%s' is not known here; did you mean '%s'?", p, near);
        return luaL_error(L, "'%s' is not known here (a text stands in quotes)", p);
    }
    switch (value->kind) {
    case SVI_VALUE_BOOL: lua_pushboolean(L, value->number != 0); return 1;
    case SVI_VALUE_INT: lua_pushinteger(L, value->number); return 1;
    case SVI_VALUE_STRING: lua_pushlstring(L, value->text.p, value->text.n); return 1;
    default: return luaL_error(L, "the list '%s' can't be used again", p);
    }
}

/* --- VirtualHost, Component, Include ------------------------------------------------------------------ */

static int begin_section(lua_State *L, svi_section_kind kind, const char *word)
{
    reader *r = reader_of(L);
    size_t n;
    if (lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "%s is followed by a domain in quotes", word);
    const char *p = lua_tolstring(L, 1, &n);
    const int line = line_now(L);
    sv_str domain;
    if (svi_jid_prep_domain(r->config->arena, (sv_str){p, n}, &domain) != SV_OK)
        return luaL_error(L, "'%s' is not a domain", p);
    for (size_t i = 1; i < r->config->count; i++)
        if (sv_str_eq(r->config->sections[i]->pub.name, domain))
            return luaL_error(L, "'%s' was begun in %s:%d before", p,
                              r->config->sections[i]->pub.file, r->config->sections[i]->pub.line);
    r->now = add_section(r->config, kind, domain, r->file, line);
    return 0;
}

static int on_host(lua_State *L)
{
    return begin_section(L, SVI_SECTION_HOST, "VirtualHost");
}

/* Component "domain" "module": the second text comes as a call of what the first one returned. */
static int on_component_module(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "behind a Component's domain stands its module in quotes");
    lua_settop(L, 1);
    lua_pushnil(L);
    lua_pushliteral(L, "component_module");
    lua_rotate(L, 1, -1); /* nil, name, value: the arguments of an assignment */
    return on_assign(L);
}

static int on_component(lua_State *L)
{
    (void)begin_section(L, SVI_SECTION_COMPONENT, "Component");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, on_component_module, 1);
    return 1;
}

static void read_file(reader *r, const char *path, const char *from_file, int from_line);

static int on_include(lua_State *L)
{
    reader *r = reader_of(L);
    const char *pattern = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    if (!pattern) return luaL_error(L, "Include is followed by a file in quotes");
    const int line = line_now(L);
    const char *slash = strrchr(r->file, '/');
    const sv_str full = pattern[0] == '/' || !slash
                            ? svi_arena_str(r->config->arena, sv_str_of(pattern))
                            : svi_arena_printf(r->config->arena, "%.*s/%s", (int)(slash - r->file),
                                               r->file, pattern);
    glob_t found;
    const int status = glob(full.p, 0, NULL, &found);
    if (status != 0) {
        const bool is_pattern = strpbrk(full.p, "*?[") != NULL;
        if (status != GLOB_NOMATCH || !is_pattern)
            report(r, r->file, line,
                   svi_arena_printf(r->config->arena, "%s can't be found or read", pattern).p);
    } else {
        section *back = r->now;
        for (size_t i = 0; i < found.gl_pathc; i++) {
            read_file(r, found.gl_pathv[i], r->file, line);
            r->now = back;
        }
    }
    globfree(&found);
    return 0;
}

static int on_metatable_hidden(lua_State *L)
{
    return luaL_error(L, "not here");
}

/* The environment of configuration files, on the stack: empty, so that every read and assignment is seen. */
static void push_env(reader *r)
{
    static const luaL_Reg words[] = {{"VirtualHost", on_host},
                                     {"Component", on_component},
                                     {"Include", on_include},
                                     {NULL, NULL}};
    lua_State *L = svi_sandbox_lua(r->box);
    lua_newtable(L); /* env */
    lua_newtable(L); /* its metatable */
    lua_newtable(L); /* words, then safe functions, then on_read */
    for (size_t i = 0; words[i].name; i++) {
        lua_pushlightuserdata(L, r);
        lua_pushcclosure(L, words[i].func, 1);
        lua_setfield(L, -2, words[i].name);
    }
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -5);
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushlightuserdata(L, r);
    lua_pushcclosure(L, on_read, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushlightuserdata(L, r);
    lua_pushcclosure(L, on_assign, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, on_metatable_hidden);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* --- files ------------------------------------------------------------------------------------------ */

/* Takes the text in; errno says why not, 0 if it is too long. */
static sv_status slurp(reader *r, const char *path, sv_str *text_out, reading *file_out)
{
    struct stat st = {.st_ino = 0};
    errno = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for a writer */
    if (fd < 0) return errno == ENOENT ? SV_ENOTFOUND : SV_EIO;
    errno = 0;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
    FILE *file = errno == 0 ? fdopen(fd, "rb") : NULL;
    if (!file) {
        const int why = errno;
        (void)close(fd);
        errno = why;
        return SV_EIO;
    }
    errno = 0;
    *file_out = (reading){.device = st.st_dev, .number = st.st_ino};
    svi_buf buf;
    svi_buf_init(&buf, r->config->acct);
    size_t n;
    do {
        n = fread(svi_buf_space(&buf, 4096), 1, 4096, file);
        buf.len += n;
    } while (n > 0 && buf.len <= FILE_MAX_BYTES);
    const bool bad = ferror(file) || buf.len > FILE_MAX_BYTES;
    const int why = errno;
    (void)fclose(file);
    *text_out = svi_arena_str(r->config->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    errno = why;
    return bad ? SV_EIO : SV_OK;
}

static bool is_being_read(const reader *r, const reading *file)
{
    for (const reading *f = r->reading; f; f = f->back)
        if (f->device == file->device && f->number == file->number) return true;
    return false;
}

/* "NAME:LINE: text" as Lua writes it, apart; the line is 0 if there is none. */
static const char *split_message(const char *message, const char *name, int *line_out)
{
    const size_t n = strlen(name);
    *line_out = 0;
    if (strncmp(message, name, n) != 0 || message[n] != ':') return message;
    char *end;
    const long line = strtol(message + n + 1, &end, 10);
    if (*end != ':') return message;
    *line_out = (int)line;
    return end[1] == ' ' ? end + 2 : end + 1;
}

static const char *why_unread(int number)
{
    if (number == 0) return "it is longer than 1 MiB";
    return number == ENOTSUP ? "it is no regular file" : strerror(number);
}

static void set_text(reader *r, sv_str text)
{
    r->text = text;
    r->at_line = 1;
    r->at_place = 0;
}

static void read_file(reader *r, const char *path, const char *from_file, int from_line)
{
    const char *const back_file = r->file;
    const sv_str back_text = r->text;
    if (++r->files > FILES_MAX) {
        if (r->files == FILES_MAX + 1)
            report(r, from_file, from_line, "more than 1000 files are included: is one several times?");
        return;
    }
    r->file = svi_arena_str(r->config->arena, sv_str_of(path)).p;
    reading file = {.back = NULL};
    sv_str text = SV_STR_NONE;
    const sv_status status = slurp(r, path, &text, &file);
    const char *why = why_unread(errno);
    set_text(r, text);
    if (status != SV_OK) {
        report(r, from_file ? from_file : path, from_line,
               from_file ? svi_arena_printf(r->config->arena, "%s can't be read: %s", path, why).p
                         : svi_arena_printf(r->config->arena, "can't be read: %s", why).p);
    } else if (is_being_read(r, &file)) {
        report(r, from_file, from_line,
               svi_arena_printf(r->config->arena, "%s includes itself", path).p);
    } else {
        sv_err err;
        const reading now = {.back = r->reading, .device = file.device, .number = file.number};
        r->reading = &now;
        push_env(r);
        if (svi_sandbox_run(r->box, r->text, "=" CHUNK, &err) != SV_OK) {
            int line;
            const char *message = split_message(err.text, CHUNK, &line);
            report(r, r->file, line, message);
        }
        r->reading = now.back;
    }
    r->file = back_file;
    set_text(r, back_text);
}

sv_status svi_config_load(svi_acct *acct, const char *path, svi_config_report report_to, void *ctx,
                          svi_config **config_out)
{
    svi_config *config = svi_alloc(acct, sizeof *config);
    *config = (svi_config){.magic = MAGIC, .refs = 1, .acct = acct, .arena = svi_arena_new(acct, 0)};
    reader r = {.config = config, .report = report_to, .report_ctx = ctx};
    r.now = add_section(config, SVI_SECTION_GLOBAL, SV_STR_NONE,
                        svi_arena_str(config->arena, sv_str_of(path)).p, 0);
    r.box = svi_sandbox_new(acct, 16u << 20, 10000000);
    read_file(&r, path, NULL, 0);
    svi_sandbox_free(&r.box);
    if (r.failed) svi_config_free(&config);
    *config_out = config;
    return r.failed ? SV_EINVAL : SV_OK;
}

void svi_config_free(svi_config **config)
{
    svi_config *c = *config;
    *config = NULL;
    if (!c) return;
    SV_CHECK(c, MAGIC);
    SV_ASSERT(c->refs > 0);
    if (--c->refs > 0) return;
    for (size_t i = 0; i < c->count; i++) svi_dict_free(&c->sections[i]->values);
    svi_free(c->sections);
    svi_arena_free(&c->arena);
    c->magic = 0;
    svi_free(c);
}

svi_config *svi_config_ref(svi_config *config)
{
    SV_CHECK(config, MAGIC);
    config->refs++;
    return config;
}

/* --- questions -------------------------------------------------------------------------------------- */

svi_arena *svi_config_arena(const svi_config *config)
{
    SV_CHECK(config, MAGIC);
    return config->arena;
}

const svi_section *svi_config_section(const svi_config *config, size_t i)
{
    SV_CHECK(config, MAGIC);
    return i < config->count ? &config->sections[i]->pub : NULL;
}

/* Sections are handed out as their first member. */
static const section *inside(const svi_config *config, const svi_section *pub)
{
    for (size_t i = 0; i < config->count; i++)
        if (&config->sections[i]->pub == pub) return config->sections[i];
    SV_ASSERT(false); /* a section of another config */
    return NULL;
}

const svi_value *svi_config_get(const svi_config *config, const svi_section *pub, sv_str name)
{
    SV_CHECK(config, MAGIC);
    const svi_value *value = svi_dict_get(inside(config, pub)->values, name);
    return value ? value : svi_dict_get(config->sections[0]->values, name);
}

bool svi_config_names(const svi_config *config, const svi_section *pub, size_t *pos,
                      sv_str *name_out, const svi_value **value_out)
{
    SV_CHECK(config, MAGIC);
    void *value;
    if (!svi_dict_next(inside(config, pub)->values, pos, name_out, &value)) return false;
    *value_out = value;
    return true;
}
