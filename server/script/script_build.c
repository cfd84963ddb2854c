/* Elements from table literals, and back: {"name", xmlns = "ns", attr = "value", "text", {"child"}, view}. */
#include <math.h>

#include "script/script_calls.h"
#include "xml/xml_stanza.h"

/* Whatever a client may send (c2s_stanza_depth is up to 1,000) may be put into something else: else it could make a script fail. */
enum { DEPTH_MAX = 64, GRAFT_DEPTH_MAX = 1100, ITEMS_MAX = 10000, ATTRS_MAX = 64, COST_ELEMENT = 96, COST_ATTR = 64, COST_TEXT = 48 };

#define KEY_LANG "xml:lang"

/* One literal on its way. */
typedef struct build {
    svi_task *task;
    lua_State *L;
    const sv_api *api;
    const char *what; /* whose argument it is */
} build;

/* --- what XML can hold --------------------------------------------------------------------------------- */

/* A name that every parser takes: letters that XML 1.0 has since its first edition (appendix B), of the scripts in use; expat knows
 * no others, and the fifth edition's are more. Without the colon. */
static bool begins_name(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{'A', 'Z'},         {'_', '_'},         {'a', 'z'},         {0xC0, 0xD6},       {0xD8, 0xF6},       {0xF8, 0x131},
                  {0x134, 0x13E},     {0x141, 0x148},     {0x14A, 0x17E},     {0x38E, 0x3A1},     {0x3A3, 0x3CE},     {0x401, 0x40C},
                  {0x40E, 0x44F},     {0x451, 0x45C},     {0x45E, 0x481},     {0x5D0, 0x5EA},     {0x3041, 0x3094},   {0x30A1, 0x30FA},
                  {0x4E00, 0x9FA5},   {0xAC00, 0xD7A3}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i].first && c <= ranges[i].last) return true;
    return false;
}

static bool goes_on_in_name(uint32_t c)
{
    return begins_name(c) || c == '-' || c == '.' || (c >= '0' && c <= '9') || c == 0xB7;
}

bool svi_is_ncname(sv_str name)
{
    size_t at = 0;
    while (at < name.n) {
        uint32_t c;
        const size_t step = svi_utf8_step(svi_str_sub(name, at, name.n), &c);
        if (step == 0 || !(at == 0 ? begins_name(c) : goes_on_in_name(c))) return false;
        at += step;
    }
    return name.n > 0;
}

/* 2.2 [2]: Char. */
static bool is_xml(sv_str text)
{
    size_t at = 0;
    while (at < text.n) {
        const unsigned char byte = (unsigned char)text.p[at];
        if (byte >= 0x20 && byte < 0x80) {
            at++;
            continue;
        }
        uint32_t c;
        const size_t step = svi_utf8_step(svi_str_sub(text, at, text.n), &c);
        if (step == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xFFFE || c == 0xFFFF) return false;
        at += step;
    }
    return true;
}

void svi_check_xml(lua_State *L, sv_str text, const char *of)
{
    if (!is_xml(text)) luaL_error(L, "%s holds bytes that are no UTF-8, or characters that XML forbids", of);
}

/* --- from a table -------------------------------------------------------------------------------------- */

/* Where in the literal something is wrong. */
static const char *place(const build *b, sv_str element, sv_str attr)
{
    if (attr.p == NULL) return lua_pushfstring(b->L, "%s: element {\"%s\"}: an item", b->what, element.p);
    return lua_pushfstring(b->L, "%s: element {\"%s\"}: attribute \"%s\"", b->what, element.p, attr.p);
}

/* The text of a string, number, truth or address at that place (absolute), which is replaced by it. */
static sv_str scalar(const build *b, int index, sv_str element, sv_str attr)
{
    lua_State *L = b->L;
    const int type = lua_type(L, index);
    if (type == LUA_TBOOLEAN) {
        return SV_STR("true");
    } else if (type == LUA_TNUMBER && !lua_isinteger(L, index)) {
        const lua_Number number = lua_tonumber(L, index);
        lua_Integer whole;
        if (!isfinite(number)) luaL_error(L, "%s is no finite number", place(b, element, attr));
        if (lua_numbertointeger(number, &whole) && (lua_Number)whole == number) {
            lua_pushinteger(L, whole);
            lua_replace(L, index);
        }
    } else if (svi_view_at(L, index) == SVI_VIEW_JID) {
        (void)luaL_tolstring(L, index, NULL);
        lua_replace(L, index);
    } else if (type != LUA_TSTRING && type != LUA_TNUMBER) {
        luaL_error(L, "%s is a %s, not a text or a number", place(b, element, attr), luaL_typename(L, index));
    }
    const sv_str text = svi_arg_str(L, index);
    if (!is_xml(text)) svi_check_xml(L, text, place(b, element, attr));
    return text;
}

/* The name that the table at `index` begins with; it stays as long as the table does. */
static sv_str name_of(const build *b, int index)
{
    lua_State *L = b->L;
    if (lua_rawgeti(L, index, 1) != LUA_TSTRING)
        luaL_error(L, "%s: an element begins with its name: {\"name\", ...}, not with a %s", b->what, luaL_typename(L, -1));
    const sv_str name = svi_arg_str(L, -1);
    if (!svi_is_ncname(name)) luaL_error(L, "%s: element {\"%s\"}: \"%s\" is no name", b->what, name.p, name.p);
    lua_pop(L, 1);
    return name;
}

/* Its xmlns, or `ns`. */
static sv_str ns_of(const build *b, int index, sv_str name, sv_str ns)
{
    lua_State *L = b->L;
    lua_pushliteral(L, "xmlns");
    if (lua_rawget(L, index) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "%s: element {\"%s\"}: xmlns is a %s, not a text", b->what, name.p, luaL_typename(L, -1));
        ns = svi_arg_str(L, -1);
        if (!is_xml(ns) || ns.n == 0 || sv_str_eq(ns, SV_STR(SVI_NS_XMLNS)) || sv_str_eq(ns, SV_STR(SVI_NS_XML)))
            luaL_error(L, "%s: element {\"%s\"}: \"%s\" is no namespace of elements", b->what, name.p, ns.p);
    }
    lua_pop(L, 1);
    return ns;
}

/* One attribute: key and value lie on top. */
static void put_attr(const build *b, sv_draft *draft, sv_str name)
{
    lua_State *L = b->L;
    const sv_str key = svi_arg_str(L, -2);
    const bool is_lang = sv_str_eq(key, SV_STR(KEY_LANG));
    if (sv_str_eq(key, SV_STR("xmlns"))) return;
    if (!is_lang && !svi_is_ncname(key)) luaL_error(L, "%s: element {\"%s\"}: attribute \"%s\" is no name", b->what, name.p, key.p);
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) return;
    const sv_str value = scalar(b, lua_gettop(L), name, key);
    svi_task_makes(b->task, L, COST_ATTR + key.n + value.n);
    if (is_lang)
        svi_draft_attr_ns(draft, SV_STR("lang"), SV_STR(SVI_NS_XML), value);
    else
        b->api->set(draft, key, value);
}

/* Names of attributes, which live as long as their table; in order, since that of a table is by chance and the same literal must
 * make the same bytes. */
typedef struct attr_names {
    sv_str items[ATTRS_MAX];
    size_t count;
} attr_names;

static void add_name(const build *b, attr_names *names, sv_str key, sv_str element)
{
    size_t at = names->count;
    if (at == ATTRS_MAX) luaL_error(b->L, "%s: element {\"%s\"} has more than %d attributes", b->what, element.p, ATTRS_MAX);
    for (; at > 0 && svi_str_cmp(key, names->items[at - 1]) < 0; at--) names->items[at] = names->items[at - 1];
    names->items[at] = key;
    names->count++;
}

/* Sets the attributes; returns the number of the last item. */
static lua_Integer put_attrs(const build *b, int index, sv_draft *draft, sv_str name)
{
    lua_State *L = b->L;
    lua_Integer last = 1;
    attr_names names = {.count = 0};
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            add_name(b, &names, svi_arg_str(L, -2), name);
        } else if (lua_isinteger(L, -2)) {
            const lua_Integer i = lua_tointeger(L, -2);
            if (i < 1 || i > ITEMS_MAX) luaL_error(L, "%s: element {\"%s\"}: there is no item number %I", b->what, name.p, i);
            if (i > last) last = i;
        } else {
            luaL_error(L, "%s: element {\"%s\"}: a %s is no name of an attribute", b->what, name.p, luaL_typename(L, -2));
        }
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < names.count; i++) {
        (void)lua_pushlstring(L, names.items[i].p, names.items[i].n);
        lua_pushvalue(L, -1);
        (void)lua_rawget(L, index);
        put_attr(b, draft, name);
        lua_pop(L, 2);
    }
    return last;
}

/* Counts what a subtree takes, so that no handler makes much of little; raises if it is too deep. `outer` is the parent's namespace,
 * which takes no room again. */
static void count_node(const build *b, const sv_node *node, sv_str outer, int depth)
{
    if (depth > GRAFT_DEPTH_MAX) luaL_error(b->L, "%s: elements lie deeper in each other than %d", b->what, GRAFT_DEPTH_MAX);
    const sv_str ns = svi_node_ns(node);
    size_t bytes = COST_ELEMENT + svi_node_name(node).n + (sv_str_eq(ns, outer) ? 0 : ns.n);
    sv_str name, value, text;
    const sv_node *child;
    for (size_t i = 0; svi_node_attr_at(node, i, &name, NULL, &value); i++) bytes += COST_ATTR + name.n + value.n;
    for (size_t i = 0; svi_node_child_at(node, i, &child, &text); i++)
        if (child == NULL) bytes += COST_TEXT + text.n;
    svi_task_makes(b->task, b->L, bytes);
    for (size_t i = 0; svi_node_child_at(node, i, &child, &text); i++)
        if (child != NULL) count_node(b, child, ns, depth + 1);
}

static void graft(const build *b, sv_draft *parent, const sv_stanza *owner, const sv_node *node, int depth)
{
    count_node(b, node, SV_STR_NONE, depth);
    b->api->graft(parent, owner, node);
}

static void put_table(const build *b, int index, sv_draft *draft, sv_str name, int depth);

/* The item at `index` (absolute) as a child. */
static void put_item(const build *b, int index, sv_draft *parent, sv_str outer, int depth)
{
    lua_State *L = b->L;
    const svi_view_kind kind = svi_view_at(L, index);
    if (depth > DEPTH_MAX) luaL_error(L, "%s: elements lie deeper in each other than %d", b->what, DEPTH_MAX);
    if (lua_type(L, index) == LUA_TTABLE) {
        const sv_str name = name_of(b, index);
        const sv_str own = ns_of(b, index, name, SV_STR_NONE);
        svi_task_makes(b->task, L, COST_ELEMENT + name.n + own.n);
        put_table(b, index, b->api->child(parent, name, own), name, depth);
    } else if (kind == SVI_VIEW_NODE) {
        const sv_stanza *owner;
        const sv_node *node = svi_arg_node(L, index, &owner);
        graft(b, parent, owner, node, depth);
    } else if (kind == SVI_VIEW_STANZA || kind == SVI_VIEW_KEPT) {
        const sv_stanza *stanza = svi_arg_stanza(L, index);
        graft(b, parent, stanza, svi_stanza_root(stanza), depth);
    } else {
        const sv_str text = scalar(b, index, outer, SV_STR_NONE);
        svi_task_makes(b->task, L, COST_TEXT + text.n);
        b->api->add_text(parent, text);
    }
}

/* Fills the element from the table. */
static void put_table(const build *b, int index, sv_draft *draft, sv_str name, int depth)
{
    lua_State *L = b->L;
    luaL_checkstack(L, 12, b->what);
    const lua_Integer last = put_attrs(b, index, draft, name);
    for (lua_Integer i = 2; i <= last; i++) {
        const int type = lua_rawgeti(L, index, i);
        const bool is_absent = type == LUA_TNIL || (type == LUA_TBOOLEAN && !lua_toboolean(L, -1));
        if (type == LUA_TBOOLEAN && !is_absent) luaL_error(L, "%s: element {\"%s\"}: item %I is true, which is no text", b->what, name.p, i);
        if (!is_absent) put_item(b, lua_gettop(L), draft, name, depth + 1);
        lua_pop(L, 1);
    }
}

static build build_of(svi_task *task, lua_State *L, const char *what)
{
    return (build){.task = task, .L = L, .api = task->script->sv, .what = what};
}

sv_draft *svi_build_draft(svi_task *task, lua_State *L, int index, sv_str ns, const char *what)
{
    const build b = build_of(task, L, what);
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TTABLE)
        luaL_error(L, "%s: it takes an element such as {\"name\", xmlns = \"ns\", ...}, not a %s", what, luaL_typename(L, index));
    const sv_str name = name_of(&b, index);
    const sv_str own = ns_of(&b, index, name, svi_is_stanza_name(name) && ns.n == 0 ? SV_STR(SVI_NS_CLIENT) : ns);
    if (own.n == 0) luaL_error(L, "%s: element {\"%s\"}: it needs an xmlns", what, name.p);
    svi_task_makes(task, L, COST_ELEMENT + name.n + own.n);
    sv_draft *draft = b.api->draft(task->ev, name, own);
    put_table(&b, index, draft, name, 1);
    return draft;
}

void svi_build_count(svi_task *task, lua_State *L, const sv_node *node, const char *what)
{
    const build b = build_of(task, L, what);
    count_node(&b, node, SV_STR_NONE, 1);
}

const sv_stanza *svi_build_stanza(svi_task *task, lua_State *L, int index, const char *what)
{
    const svi_view_kind kind = svi_view_at(L, index);
    if (kind == SVI_VIEW_STANZA || kind == SVI_VIEW_KEPT) return svi_arg_stanza(L, index);
    const sv_draft *draft = svi_build_draft(task, L, index, SV_STR_NONE, what);
    svi_task_makes(task, L, COST_ELEMENT);
    return task->script->sv->freeze(task->ev, draft);
}

/* --- the payload of an answer -------------------------------------------------------------------------- */

const sv_node *svi_build_payload(svi_task *task, lua_State *L, int index, const char *what, const sv_stanza **owner_out)
{
    const svi_view_kind kind = svi_view_at(L, index);
    if (kind == SVI_VIEW_NODE) return svi_arg_node(L, index, owner_out);
    *owner_out = svi_build_stanza(task, L, index, what);
    return svi_stanza_root(*owner_out);
}

void svi_build_fill(svi_task *task, const sv_stanza *owner, const sv_node *node, sv_draft *to)
{
    const sv_api *api = task->script->sv;
    sv_str name, ns, value, text;
    const sv_node *child;
    for (size_t i = 0; svi_node_attr_at(node, i, &name, &ns, &value); i++) svi_draft_attr_ns(to, name, ns, value);
    for (size_t i = 0; svi_node_child_at(node, i, &child, &text); i++) {
        if (child != NULL)
            api->graft(to, owner, child);
        else
            api->add_text(to, text);
    }
}

/* --- to a table ---------------------------------------------------------------------------------------- */

static void push_table(lua_State *L, const sv_node *node, sv_str outer, int depth)
{
    if (depth > DEPTH_MAX) luaL_error(L, "table: elements lie deeper in each other than %d", DEPTH_MAX);
    luaL_checkstack(L, 6, "table");
    lua_newtable(L);
    svi_push_str(L, svi_node_name(node));
    lua_rawseti(L, -2, 1);
    if (!sv_str_eq(svi_node_ns(node), outer)) {
        svi_push_str(L, svi_node_ns(node));
        lua_setfield(L, -2, "xmlns");
    }
    sv_str name, ns, value, text;
    for (size_t i = 0; svi_node_attr_at(node, i, &name, &ns, &value); i++) {
        const bool is_lang = sv_str_eq(ns, SV_STR(SVI_NS_XML)) && sv_str_eq(name, SV_STR("lang"));
        if (ns.n > 0 && !is_lang) continue; /* a literal has no place for it */
        svi_push_str(L, is_lang ? SV_STR(KEY_LANG) : name);
        svi_push_str(L, value);
        lua_rawset(L, -3);
    }
    const sv_node *child;
    for (size_t i = 0; svi_node_child_at(node, i, &child, &text); i++) {
        if (i + 2 > ITEMS_MAX) luaL_error(L, "table: an element has more than %d items", ITEMS_MAX);
        if (child != NULL)
            push_table(L, child, svi_node_ns(node), depth + 1);
        else
            svi_push_str(L, text);
        lua_rawseti(L, -2, (lua_Integer)i + 2);
    }
}

void svi_build_table(lua_State *L, const sv_node *node)
{
    push_table(L, node, SV_STR_NONE, 1);
}
