/* Who needs whom among the modules of a host: the order of starting, and what is said when it can't be kept. */
#include "mods/mods_impl.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_BYTES = 500 };

void svi_mods_complain(const svi_mods *mods, const svi_section *section, const svi_value *place,
                       const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mods->config.report(mods->config.report_ctx, place != NULL ? place->file : section->file,
                        place != NULL ? place->line : section->line, text);
}

/* --- needs ------------------------------------------------------------------------------------------ */

/* The next name of `after`: "name", or "?name" for one that need not be there. */
static bool next_need(sv_str *rest, sv_str *name_out, bool *is_wish_out)
{
    sv_str word;
    while (svi_str_split(rest, ' ', &word)) {
        if (word.n == 0) continue;
        *is_wish_out = word.p[0] == '?';
        *name_out = svi_str_sub(word, *is_wish_out, word.n);
        return true;
    }
    return false;
}

bool svi_mod_names(const sv_mod *mod, sv_str name)
{
    sv_str rest = sv_str_of(mod->file->desc.after), need;
    bool is_wish;
    while (next_need(&rest, &need, &is_wish))
        if (sv_str_eq(need, name)) return true;
    return false;
}

static bool is_marked(const bool *marked, const svi_group *group, sv_str name)
{
    for (size_t i = 0; i < group->count; i++)
        if (marked[i] && sv_str_eq(sv_str_of(group->mods[i]->file->name), name)) return true;
    return false;
}

static bool needs_one(const sv_mod *mod, const svi_group *group, const bool *marked, sv_str name)
{
    sv_str rest = sv_str_of(mod->file->desc.after), need;
    bool is_wish;
    while (next_need(&rest, &need, &is_wish))
        if (!is_wish && (sv_str_eq(need, name) || is_marked(marked, group, need))) return true;
    return false;
}

size_t svi_group_dependents(const svi_group *group, sv_str name, svi_buf *names)
{
    bool *marked = svi_alloc(group->acct, group->count * sizeof *marked), grew = true;
    size_t count = 0;
    while (grew) {
        grew = false;
        for (size_t i = 0; i < group->count; i++) {
            if (marked[i] || !needs_one(group->mods[i], group, marked, name)) continue;
            marked[i] = grew = true;
            svi_buf_printf(names, "%s%s", count++ > 0 ? ", " : "", group->mods[i]->file->name);
        }
    }
    svi_free(marked);
    return count;
}

/* --- what is missing -------------------------------------------------------------------------------- */

static bool is_refused(const svi_group *group, sv_str name)
{
    const svi_value *names = group->place;
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].kind == SVI_VALUE_STRING && sv_str_eq(names->items[i].text, name)) return true;
    return false;
}

static void tell_missing(const svi_mods *mods, const svi_group *group, const sv_mod *mod, sv_str name)
{
    const int n = (int)(name.n < SVI_MOD_NAME_MAX ? name.n : SVI_MOD_NAME_MAX);
    const bool was_there = group->before != NULL && svi_group_find(group->before, name) != NULL;
    if (is_refused(group, name)) /* it is listed: what is wrong with it was told */
        svi_mods_complain(mods, group->section, mod->place,
                          "module \"%s\" is not started: it needs module \"%.*s\", which can't be loaded",
                          mod->file->name, n, name.p);
    else if (was_there)
        svi_mods_complain(mods, group->section, mod->place,
                          "module \"%.*s\" can't be taken away: module \"%s\" needs it; take that away, "
                          "too, or leave it in modules_enabled",
                          n, name.p, mod->file->name);
    else
        svi_mods_complain(mods, group->section, mod->place,
                          "module \"%s\" needs module \"%.*s\": add it to modules_enabled",
                          mod->file->name, n, name.p);
}

static bool has_needs(const svi_mods *mods, const svi_group *group, const sv_mod *mod)
{
    sv_str rest = sv_str_of(mod->file->desc.after), name;
    bool fine = true, is_wish;
    while (next_need(&rest, &name, &is_wish)) {
        if (is_wish || svi_group_find(group, name) != NULL) continue;
        tell_missing(mods, group, mod, name);
        fine = false;
    }
    return fine;
}

bool svi_group_has_needs(const svi_mods *mods, const svi_group *group)
{
    bool fine = true;
    for (size_t i = 0; i < group->count; i++)
        if (!has_needs(mods, group, group->mods[i])) fine = false;
    return fine;
}

/* --- order ------------------------------------------------------------------------------------------ */

static bool is_placed(const svi_group *group, const sv_mod *mod, size_t placed)
{
    for (size_t i = 0; i < placed; i++)
        if (group->order[i] == mod) return true;
    return false;
}

/* A module that must start before this one and is not among the first `placed` of the order; NULL: none. */
static const sv_mod *waits_for(const svi_group *group, const sv_mod *mod, size_t placed)
{
    sv_str rest = sv_str_of(mod->file->desc.after), name;
    bool is_wish;
    while (next_need(&rest, &name, &is_wish)) {
        const sv_mod *other = svi_group_find(group, name);
        if (other != NULL && !is_placed(group, other, placed)) return other;
    }
    return NULL;
}

/* The first of the config that waits for itself, by way of others. */
static const sv_mod *in_circle(const svi_group *group, size_t placed)
{
    for (size_t i = 0; i < group->count; i++) {
        const sv_mod *mod = group->mods[i];
        if (is_placed(group, mod, placed)) continue;
        const sv_mod *at = waits_for(group, mod, placed);
        for (size_t steps = 0; steps < group->count && at != mod; steps++) at = waits_for(group, at, placed);
        if (at == mod) return mod;
    }
    return NULL;
}

/* All that are left wait for one that is left, so that whoever follows them comes round. */
static void complain_circle(const svi_mods *mods, const svi_group *group, size_t placed)
{
    svi_buf names;
    svi_buf_init(&names, mods->acct);
    const sv_mod *first = in_circle(group, placed), *at = first;
    SV_ASSERT(first != NULL);
    do {
        const sv_mod *next = waits_for(group, at, placed);
        svi_buf_printf(&names, "%s%s after %s", at == first ? "" : ", ", at->file->name, next->file->name);
        at = next;
    } while (at != first);
    svi_mods_complain(mods, group->section, first->place, "modules wait for each other: %.*s",
                      (int)names.len, names.data);
    svi_buf_free(&names);
}

bool svi_group_order(const svi_mods *mods, svi_group *group)
{
    if (group->count == 0) return true;
    group->order = svi_alloc(group->acct, group->count * sizeof(sv_mod *));
    for (size_t placed = 0; placed < group->count; placed++) {
        sv_mod *next = NULL;
        for (size_t i = 0; i < group->count && next == NULL; i++) {
            sv_mod *mod = group->mods[i];
            if (!is_placed(group, mod, placed) && waits_for(group, mod, placed) == NULL) next = mod;
        }
        if (next == NULL) {
            complain_circle(mods, group, placed);
            svi_free(group->order);
            group->order = NULL;
            return false;
        }
        group->order[placed] = next;
    }
    return true;
}
