/* Matching: is what came what the script expects? A pattern asks for a part: what it does not mention may be there. */
#include "flow.h"

#include <stdio.h>

static bool fail(char *why, size_t n, const char *what, sv_str name, sv_str want, sv_str got)
{
    (void)snprintf(why, n, "%s '%.*s': expected '%.*s', got '%.*s'", what, (int)name.n,
                   name.n ? name.p : "", (int)want.n, want.n ? want.p : "", (int)got.n,
                   got.n ? got.p : "");
    return false;
}

static sv_str *find_var(flow_vars *vars, sv_str name)
{
    for (size_t i = 0; i < vars->count; i++)
        if (sv_str_eq(vars->items[i].name, name)) return &vars->items[i].value;
    return NULL;
}

static void set_var(flow_vars *vars, sv_str name, sv_str value)
{
    sv_str *old = find_var(vars, name);
    if (old) {
        *old = svi_arena_str(vars->arena, value);
        return;
    }
    SV_ASSERT(vars->count < sizeof vars->items / sizeof vars->items[0]);
    vars->items[vars->count].name = svi_arena_str(vars->arena, name);
    vars->items[vars->count++].value = svi_arena_str(vars->arena, value);
}

void flow_vars_set(flow_vars *vars, sv_str name, sv_str value)
{
    set_var(vars, name, value);
}

bool flow_vars_has(flow_vars *vars, sv_str name)
{
    return sv_str_eq(name, SV_STR("any")) || sv_str_eq(name, SV_STR("none")) ||
           find_var(vars, name) != NULL;
}

/* {repeat N TEXT}: TEXT N times, for what is large. */
static bool put_repeated(svi_buf *buf, sv_str inside)
{
    sv_str word, count;
    int64_t times;
    if (!svi_str_split(&inside, ' ', &word) || !sv_str_eq(word, SV_STR("repeat")) ||
        !svi_str_split(&inside, ' ', &count) || svi_str_int(count, 0, 10000000, &times) != SV_OK)
        return false;
    for (int64_t i = 0; i < times; i++) svi_buf_put(buf, inside);
    return true;
}

/* How long a braced part at the start of `text` is, braces inside it counted; 0 if it has no end. */
static size_t braced(sv_str text)
{
    size_t depth = 0;
    for (size_t i = 0; i < text.n; i++) {
        depth += text.p[i] == '{';
        if (text.p[i] == '}' && --depth == 0) return i + 1;
    }
    return 0;
}

static void put_expanded(svi_buf *buf, flow_vars *vars, sv_str text);

static bool put_braced(svi_buf *buf, flow_vars *vars, sv_str inside)
{
    const sv_str *value = find_var(vars, inside);
    if (value) {
        svi_buf_put(buf, *value);
        return true;
    }
    if (!svi_str_starts(inside, SV_STR("base64 "))) return put_repeated(buf, inside);
    svi_buf plain;
    svi_buf_init(&plain, buf->acct);
    put_expanded(&plain, vars, svi_str_sub(inside, 7, inside.n));
    svi_base64_put(buf, svi_buf_str(&plain));
    svi_buf_free(&plain);
    return true;
}

/* Recursion is as deep as braces are nested in a line of a script. */
static void put_expanded(svi_buf *buf, flow_vars *vars, sv_str text)
{
    while (text.n) {
        const size_t open = svi_str_find(text, '{');
        svi_buf_put(buf, svi_str_sub(text, 0, open));
        text = svi_str_sub(text, open, text.n);
        if (!text.n) break;
        const size_t n = braced(text);
        if (n && put_braced(buf, vars, svi_str_sub(text, 1, n - 2))) {
            text = svi_str_sub(text, n, text.n);
        } else {
            svi_buf_putc(buf, '{');
            text = svi_str_sub(text, 1, text.n);
        }
    }
}

sv_str flow_vars_expand(flow_vars *vars, sv_str text)
{
    svi_acct acct = {.name = "flow-expand"};
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    put_expanded(&buf, vars, text);
    const sv_str result = svi_arena_str(vars->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return result;
}

/* {any}: something; {save NAME}: something, kept; else equal after {NAME} was put in. */
static bool value_matches(sv_str want, sv_str got, flow_vars *vars)
{
    if (sv_str_eq(want, SV_STR("{any}"))) return got.n > 0;
    if (svi_str_starts(want, SV_STR("{save ")) && svi_str_ends(want, SV_STR("}"))) {
        if (got.n == 0) return false;
        set_var(vars, svi_str_sub(want, 6, want.n - 7), got);
        return true;
    }
    return sv_str_eq(flow_vars_expand(vars, want), got);
}

static bool attrs_match(const sv_node *want, const sv_node *got, flow_vars *vars, bool *exact,
                        char *why, size_t n)
{
    sv_str name, ns, value;
    size_t wanted = 0;
    *exact = false;
    for (size_t i = 0; svi_node_attr_at(want, i, &name, &ns, &value); i++) {
        if (ns.n == 0 && sv_str_eq(name, SV_STR("flow-absent"))) continue;
        if (ns.n == 0 && sv_str_eq(name, SV_STR("flow-exact"))) {
            *exact = true;
            continue;
        }
        const sv_str has = ns.n ? svi_node_attr_ns(got, name, ns) : svi_node_attr(got, name);
        if (sv_str_eq(value, SV_STR("{none}"))) {
            if (has.p) return fail(why, n, "attribute", name, value, has);
            continue;
        }
        wanted++;
        if (!has.p || !value_matches(value, has, vars))
            return fail(why, n, "attribute", name, value, has);
    }
    size_t count = 0;
    while (svi_node_attr_at(got, count, NULL, NULL, NULL)) count++;
    if (*exact && count != wanted)
        return fail(why, n, "more attributes on", svi_node_name(got), SV_STR_NONE, SV_STR_NONE);
    return true;
}

static bool same_name(const sv_node *a, const sv_node *b)
{
    return sv_str_eq(svi_node_name(a), svi_node_name(b)) &&
           sv_str_eq(svi_node_ns(a), svi_node_ns(b));
}

/* Every wanted child finds one of its own; recursion is bounded by the parser's depth limit. */
static bool children_match(const sv_node *want, const sv_node *got, flow_vars *vars, bool exact,
                           char *why, size_t n)
{
    enum { MAX = 256 };
    bool taken[MAX] = {false};
    size_t wanted = 0, have = 0;
    for (const sv_node *g = svi_node_first(got); g; g = svi_node_next(got, g)) have++;
    for (const sv_node *w = svi_node_first(want); w; w = svi_node_next(want, w)) {
        const bool absent = svi_node_attr(w, SV_STR("flow-absent")).p != NULL;
        bool found = false;
        size_t i = 0;
        char inner[400] = "";
        for (const sv_node *g = svi_node_first(got); g && !found && i < MAX;
             g = svi_node_next(got, g), i++) {
            if ((taken[i] && !absent) || !same_name(w, g)) continue;
            found = flow_match(w, g, vars, inner, sizeof inner);
            if (found && !absent) taken[i] = true;
        }
        if (found == absent) {
            (void)snprintf(why, n, "%s child <%.*s xmlns='%.*s'/>%s%s",
                           absent ? "forbidden" : "no matching", (int)svi_node_name(w).n,
                           svi_node_name(w).p, (int)svi_node_ns(w).n, svi_node_ns(w).p,
                           inner[0] ? ": " : "", inner);
            return false;
        }
        if (!absent) wanted++;
    }
    if (exact && wanted != have)
        return fail(why, n, "more children in", svi_node_name(got), SV_STR_NONE, SV_STR_NONE);
    return true;
}

static bool node_matches(const sv_node *want, const sv_node *got, flow_vars *vars, char *why,
                         size_t why_bytes)
{
    bool exact;
    if (!same_name(want, got))
        return fail(why, why_bytes, "element", SV_STR_NONE, svi_node_name(want),
                    svi_node_name(got));
    if (!attrs_match(want, got, vars, &exact, why, why_bytes)) return false;
    const sv_str text = svi_str_trim(svi_node_text(want, vars->arena));
    const sv_str has = svi_str_trim(svi_node_text(got, vars->arena));
    if ((text.n || exact) && !value_matches(text, has, vars))
        return fail(why, why_bytes, "text of", svi_node_name(want), text, has);
    return children_match(want, got, vars, exact, why, why_bytes);
}

bool flow_match(const sv_node *want, const sv_node *got, flow_vars *vars, char *why,
                size_t why_bytes)
{
    const flow_vars before = *vars;
    const bool ok = node_matches(want, got, vars, why, why_bytes);
    if (!ok) *vars = before;
    return ok;
}
