/* Reading groups: from a file, from an option. */
#include "groups.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool fail(groups_fault *fault, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(groups_fault *fault, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    fault->line = line;
    return false;
}

static sv_str keep(shared_groups *set, sv_str text)
{
    char *copy = sv->alloc(set->mod, text.n + 1);
    if (text.n) memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    set->texts = sv->alloc_resize(set->mod, set->texts, (set->text_count + 1) * sizeof *set->texts);
    set->texts[set->text_count++] = copy;
    return (sv_str){copy, text.n};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static sv_str trim(sv_str s)
{
    while (s.n && is_blank(s.p[0])) s = (sv_str){s.p + 1, s.n - 1};
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

/* What stands before a character, and behind it in *rest (.p NULL at the end). */
static sv_str before(sv_str *rest, char c)
{
    const char *at = rest->n ? memchr(rest->p, c, rest->n) : NULL;
    const sv_str head = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    *rest = at ? (sv_str){at + 1, rest->n - head.n - 1} : SV_STR_NONE;
    return head;
}

static bool check_name(sv_str name, const char *what, int line, groups_fault *fault)
{
    if (name.n > GROUP_NAME_MAX) return fail(fault, line, "the %s is too long", what);
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < 0x20)
            return fail(fault, line, "the %s holds a control character", what);
    return true;
}

/* --- groups and members -------------------------------------------------------------------- */

static bool begin_group(shared_groups *set, sv_str name, int line, groups_fault *fault)
{
    if (name.n == 0) return fail(fault, line, "a group has no name");
    if (!check_name(name, "group's name", line, fault)) return false;
    for (size_t i = 0; i < set->count; i++)
        if (sv_str_eq(set->groups[i].name, name))
            return fail(fault, line, "there is a group \"%.*s\" already",
                        (int)(name.n < 80 ? name.n : 80), name.p);
    if (set->count == GROUPS_MAX) return fail(fault, line, "there are more than %u groups", GROUPS_MAX);
    set->groups = sv->alloc_resize(set->mod, set->groups, (set->count + 1) * sizeof *set->groups);
    set->groups[set->count++] = (group){.name = keep(set, name)};
    return true;
}

static bool prepare(sv_event *ev, sv_str text, int line, sv_str *jid_out, groups_fault *fault)
{
    sv_jid jid;
    const bool looks_fine = text.n && memchr(text.p, '@', text.n) && !memchr(text.p, '/', text.n) &&
                            check_name(text, "address", line, fault);
    *jid_out = text;
    if (looks_fine && ev && sv->jid_parse(ev, text, &jid) && jid.node.n) {
        *jid_out = jid.bare;
        return true;
    }
    if (looks_fine && !ev) return true;
    return fail(fault, line, "\"%.*s\" is no address of an account", (int)(text.n < 80 ? text.n : 80),
                text.n ? text.p : "");
}

/* "address", "address=display name" or "*". */
static bool add_member(shared_groups *set, sv_event *ev, sv_str text, int line, groups_fault *fault)
{
    group *g = &set->groups[set->count - 1];
    sv_str name = text, jid = trim(before(&name, '='));
    name = trim(name);
    if (sv_str_eq(jid, SV_STR("*")) && !name.n) {
        g->has_everybody = true;
        return true;
    }
    if (!check_name(name, "display name", line, fault) || !prepare(ev, jid, line, &jid, fault))
        return false;
    if (g->count == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 16;
        g->members = sv->alloc_resize(set->mod, g->members, g->cap * sizeof *g->members);
    }
    g->members[g->count++] = (shared_member){keep(set, jid), keep(set, name)};
    return true;
}

bool groups_read_text(shared_groups *set, sv_event *ev, sv_str text, groups_fault *fault_out)
{
    const size_t first = set->count;
    for (int number = 1; text.p != NULL; number++) {
        const sv_str line = trim(before(&text, '\n'));
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';') continue;
        if (line.p[0] == '[') {
            if (line.p[line.n - 1] != ']')
                return fail(fault_out, number, "a group's line ends with ']'");
            if (!begin_group(set, trim((sv_str){line.p + 1, line.n - 2}), number, fault_out))
                return false;
        } else if (set->count == first) {
            return fail(fault_out, number, "before the members stands their group: [Name]");
        } else if (!add_member(set, ev, line, number, fault_out)) {
            return false;
        }
    }
    return true;
}

bool groups_read_item(shared_groups *set, sv_event *ev, sv_str item, groups_fault *fault_out)
{
    sv_str rest = item;
    const sv_str name = trim(before(&rest, ':'));
    if (!rest.p) return fail(fault_out, 0, "behind a group's name comes a colon: \"Name: address\"");
    if (!begin_group(set, name, 0, fault_out)) return false;
    while (rest.p)
        if (!add_member(set, ev, trim(before(&rest, ',')), 0, fault_out)) return false;
    return true;
}

bool groups_refuse_file(sv_status status, groups_fault *fault_out)
{
    fault_out->line = 0;
    switch (status) {
    case SV_OK: return false;
    case SV_EINVAL: return !fail(fault_out, 0, "the file's name begins with '/'");
    case SV_ENOTFOUND: return !fail(fault_out, 0, "there is no such file");
    case SV_EDENIED: return !fail(fault_out, 0, "the server may not read it");
    case SV_ELIMIT: return !fail(fault_out, 0, "it is larger than 4 MiB");
    default: return !fail(fault_out, 0, "it can't be read");
    }
}

/* --- sets ---------------------------------------------------------------------------------- */

static int compare(sv_str a, sv_str b)
{
    const int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static int by_jid(const void *a, const void *b)
{
    return compare(((const shared_member *)a)->jid, ((const shared_member *)b)->jid);
}

void groups_finish(shared_groups *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->groups[i].count > 1)
            qsort(set->groups[i].members, set->groups[i].count, sizeof(shared_member), by_jid);
}

bool groups_has(const group *g, sv_str jid)
{
    const shared_member wanted = {.jid = jid};
    return g->count && bsearch(&wanted, g->members, g->count, sizeof wanted, by_jid) != NULL;
}

void groups_free(shared_groups *set)
{
    for (size_t i = 0; i < set->count; i++) {
        sv->free(set->mod, &set->groups[i].members);
        sv->free(set->mod, &set->groups[i].line);
    }
    for (size_t i = 0; i < set->text_count; i++) sv->free(set->mod, &set->texts[i]);
    sv->free(set->mod, &set->groups);
    sv->free(set->mod, &set->texts);
    *set = (shared_groups){.mod = set->mod};
}
