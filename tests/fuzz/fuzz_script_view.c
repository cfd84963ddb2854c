/* Fuzzes what scripts give as elements: bytes become values of Lua, those a literal, that a stanza or an error. A stanza
 * that was made must be the same after it was written and parsed, and as a table again. */
#include <stdio.h>
#include <stdlib.h>

#include "script/script_calls.h"
#include "xml/xml_stanza.h"
#include "xml/xml_writer.h"

static svi_acct acct = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_script_view.c:%d: does not hold: %s\n", __LINE__, #e);           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { STATE_BYTES = 8 << 20, NEST_MAX = 80, MADE_MAX = 64 };

/* --- in place of the server ------------------------------------------------------------------------------ */

static svi_arena *arena;
static sv_stanza *made[MADE_MAX];
static size_t made_count;
static int an_event;

static sv_draft *f_draft(sv_event *ev, sv_str name, sv_str ns)
{
    (void)ev;
    return svi_draft_new(arena, name, ns);
}

static const sv_stanza *f_freeze(sv_event *ev, const sv_draft *draft)
{
    (void)ev;
    MUST(made_count < MADE_MAX);
    return made[made_count++] = svi_draft_freeze(&acct, NULL, draft);
}

static const sv_api api = {.size = sizeof(sv_api),
                           .draft = f_draft,
                           .child = svi_draft_child,
                           .set = svi_draft_attr,
                           .graft = svi_draft_graft,
                           .add_text = svi_draft_text,
                           .freeze = f_freeze,
                           .stanza_root = svi_stanza_root};

/* --- values out of bytes --------------------------------------------------------------------------------- */

typedef struct input {
    const uint8_t *p;
    size_t n;
} input;

static uint8_t next_byte(input *in)
{
    if (in->n == 0) return 0;
    in->n--;
    return *in->p++;
}

static sv_str next_text(input *in)
{
    size_t n = next_byte(in) % 24u;
    if (n > in->n) n = in->n;
    const sv_str text = {(const char *)in->p, n};
    in->p += n;
    in->n -= n;
    return text;
}

static void push_text(lua_State *L, input *in)
{
    const sv_str text = next_text(in);
    (void)lua_pushlstring(L, text.n > 0 ? text.p : "", text.n);
}

static void push_value(lua_State *L, svi_task *task, input *in, int depth);

static void push_literal(lua_State *L, svi_task *task, input *in, int depth)
{
    static const char *const names[] = {"message", "a", "iq", "\xc3\xa9"};
    luaL_checkstack(L, 8, "depth");
    lua_newtable(L);
    const uint8_t head = next_byte(in);
    if (head % 5 < 4)
        (void)lua_pushstring(L, names[head % 5]);
    else
        push_text(L, in);
    lua_rawseti(L, -2, 1);
    for (size_t i = next_byte(in) % 6u; i > 0; i--) {
        const uint8_t what = next_byte(in);
        if (what % 3 == 0) {
            push_text(L, in);
            push_value(L, task, in, depth);
            lua_rawset(L, -3);
        } else {
            push_value(L, task, in, depth);
            lua_rawseti(L, -2, 2 + what / 16);
        }
    }
    if (head & 0x80) {
        (void)lua_pushliteral(L, "urn:x");
        lua_setfield(L, -2, "xmlns");
    }
}

static void push_value(lua_State *L, svi_task *task, input *in, int depth)
{
    const uint8_t kind = next_byte(in);
    if (kind % 8 == 1 && depth < NEST_MAX)
        push_literal(L, task, in, depth + 1);
    else if (kind % 8 == 2)
        lua_pushboolean(L, kind & 8);
    else if (kind % 8 == 3)
        lua_pushinteger(L, (lua_Integer)kind - 128);
    else if (kind % 8 == 4)
        lua_pushnumber(L, kind == 0xfc ? 0.0 / 0.0 : kind / 16.0);
    else if (kind % 8 == 5 && made_count > 0)
        svi_push_stanza(L, task, made[kind / 8 % made_count]);
    else if (kind % 8 == 6 && made_count > 0)
        svi_push_node(L, task, svi_stanza_root(made[0]), made[0]);
    else
        push_text(L, in);
}

/* --- one stanza ------------------------------------------------------------------------------------------- */

static sv_str written(const sv_stanza *stanza, svi_buf *to)
{
    svi_buf_clear(to);
    svi_stanza_write(to, stanza, SVI_FLAVOUR_ALONE, NULL);
    return svi_buf_str(to);
}

static void is_whole(const sv_stanza *stanza)
{
    svi_buf a, b;
    svi_buf_init(&a, &acct);
    svi_buf_init(&b, &acct);
    sv_stanza *again = NULL;
    sv_err err = {.text = ""};
    const sv_str text = written(stanza, &a);
    if (svi_stanza_parse(&acct, NULL, text, SV_STR_NONE, &again, &err) != SV_OK) {
        fprintf(stderr, "%s: %.*s\n", err.text, (int)text.n, text.p);
        abort();
    }
    MUST(sv_str_eq(written(again, &b), text));
    svi_stanza_unref(&again);
    svi_buf_free(&a);
    svi_buf_free(&b);
}

/* Upvalue: the input. Makes stanzas until the bytes end, or one is no element. */
static int build_all(lua_State *L)
{
    input *in = lua_touserdata(L, lua_upvalueindex(1));
    svi_task *task = svi_script_of(L)->running;
    while (in->n > 0 && made_count + 2 < MADE_MAX) {
        push_literal(L, task, in, 0);
        const sv_stanza *stanza = svi_build_stanza(task, L, -1, "fuzz");
        is_whole(stanza);
        svi_build_table(L, svi_stanza_root(stanza));
        is_whole(svi_build_stanza(task, L, -1, "fuzz"));
        lua_settop(L, 0);
    }
    return 0;
}

/* One state for all: to open it takes longer than an input. */
static svi_script *the_script(void)
{
    static svi_script *script;
    if (script != NULL) return script;
    sv_err err = {.text = ""};
    script = svi_alloc(&acct, sizeof *script);
    script->env = (svi_script_env){.acct = &acct, .sv = &api, .max_bytes = STATE_BYTES};
    script->sv = &api;
    script->L = svi_script_state_new(script, &err);
    MUST(script->L != NULL);
    return script;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    svi_script *script = the_script();
    arena = svi_arena_new(&acct, 4096);
    svi_task task = {.script = script, .L = script->L, .ev = (sv_event *)(void *)&an_event, .serial = 1};
    script->running = &task;
    input in = {data, size};
    lua_pushlightuserdata(script->L, &in);
    lua_pushcclosure(script->L, build_all, 1);
    if (lua_pcall(script->L, 0, 0, 0) != LUA_OK) MUST(lua_tostring(script->L, -1) != NULL);
    lua_settop(script->L, 0);
    script->running = NULL;
    while (made_count > 0) svi_stanza_unref(&made[--made_count]);
    svi_arena_free(&arena);
    return 0;
}
