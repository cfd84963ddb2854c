/* Shared groups: contacts that the operator puts into rosters. All members of a group see each other, as
 * if both had subscribed; a group may hold every account of the host.
 *
 * Answers "roster/shared" (<stave/roster.h>); the roster module does the rest. */
#include "groups.h"
#include <stdio.h>

#define PAGE 500

typedef struct groups {
    sv_str_list list; /* option */
    sv_str file;
    int64_t check_ms;

    sv_str path; /* the file's name, with a NUL behind it; empty if there is none */
    sv_mod *mod;
    sv_store *roster;
    shared_groups set;
    char *text; /* what is in it */
    size_t text_bytes;
    bool is_stale; /* to be read before the next answer */

    char **names; /* accounts of the host in order; all once `has_names` */
    size_t name_count, name_cap;
    bool wants_names, has_names;
} groups;

/* --- reading ------------------------------------------------------------------------------- */

static void complain(const groups *me, const char *where, const groups_fault *fault)
{
    char line[16];
    (void)snprintf(line, sizeof line, "%d", fault->line);
    sv->log(me->mod, SV_ERROR, "groups-refused", "in", where, "line", line, "reason", fault->text,
            NULL);
}

static bool read_list(const groups *me, sv_event *ev, shared_groups *set, groups_fault *fault)
{
    for (size_t i = 0; i < me->list.count; i++)
        if (!groups_read_item(set, ev, me->list.items[i], fault)) return false;
    return true;
}

/* All groups anew; false, with what is wrong logged, and those before stay. */
static bool read_all(groups *me, sv_event *ev)
{
    shared_groups set = {.mod = me->mod};
    groups_fault fault = {.line = 0};
    const bool is_list_fine = read_list(me, ev, &set, &fault);
    if (!is_list_fine || !groups_read_text(&set, ev, (sv_str){me->text, me->text_bytes}, &fault)) {
        complain(me, is_list_fine ? me->path.p : "groups_list", &fault);
        groups_free(&set);
        return false;
    }
    groups_finish(&set);
    groups_free(&me->set);
    me->set = set;
    me->wants_names = false;
    for (size_t i = 0; i < set.count; i++) me->wants_names |= set.groups[i].has_everybody;
    return true;
}

/* --- accounts of the host ------------------------------------------------------------------ */

static size_t name_place(const groups *me, sv_str name, bool *found_out)
{
    size_t low = 0, high = me->name_count;
    *found_out = false;
    while (low < high && !*found_out) {
        const size_t mid = low + (high - low) / 2;
        const sv_str other = sv_str_of(me->names[mid]);
        int order = memcmp(other.p, name.p, other.n < name.n ? other.n : name.n);
        if (order == 0) order = other.n < name.n ? -1 : other.n > name.n;
        *found_out = order == 0;
        if (order == 0) return mid;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Lines of groups with everybody are made anew. */
static void names_changed(groups *me)
{
    for (size_t i = 0; i < me->set.count; i++) {
        if (!me->set.groups[i].has_everybody) continue;
        sv->free(me->mod, &me->set.groups[i].line);
    }
    if (me->wants_names && me->has_names) sv->overlay_changed(me->roster);
}

static void add_name(groups *me, sv_str name)
{
    bool found;
    const size_t place = name_place(me, name, &found);
    if (found || name.n == 0) return;
    if (me->name_count == me->name_cap) {
        me->name_cap = me->name_cap ? 2 * me->name_cap : 64;
        me->names = sv->alloc_resize(me->mod, me->names, me->name_cap * sizeof *me->names);
    }
    memmove(me->names + place + 1, me->names + place, (me->name_count - place) * sizeof *me->names);
    me->names[place] = sv->alloc(me->mod, name.n + 1);
    memcpy(me->names[place], name.p, name.n);
    me->name_count++;
}

static void got_names(sv_status status, const sv_str *names, size_t count, bool more, void *self)
{
    groups *me = self;
    if (status != SV_OK) {
        groups_fault fault = {.text = "the accounts of the host can't be read"};
        complain(me, "accounts", &fault);
        return;
    }
    for (size_t i = 0; i < count; i++) add_name(me, names[i]);
    if (more) {
        sv->accounts(me->mod, names[count - 1], PAGE, got_names);
        return;
    }
    me->has_names = true;
    names_changed(me);
}

static sv_verdict on_added(sv_event *ev, void *self)
{
    groups *me = self;
    add_name(me, sv->from(ev)->node);
    names_changed(me);
    return SV_PASS;
}

static sv_verdict on_removed(sv_event *ev, void *self)
{
    groups *me = self;
    bool found;
    const size_t place = name_place(me, sv->from(ev)->node, &found);
    if (!found) return SV_PASS;
    sv->free(me->mod, &me->names[place]);
    me->name_count--;
    memmove(me->names + place, me->names + place + 1,
            (me->name_count - place) * sizeof *me->names);
    names_changed(me);
    return SV_PASS;
}

/* --- answers ------------------------------------------------------------------------------- */

static void put(group *g, sv_str text)
{
    memcpy(g->line + g->line_bytes, text.p, text.n);
    g->line_bytes += text.n;
}

/* Room for the whole line of <stave/roster.h>. */
static size_t line_room(const groups *me, const group *g)
{
    size_t room = g->name.n + 1;
    for (size_t i = 0; i < g->count; i++) room += g->members[i].jid.n + g->members[i].name.n + 2;
    for (size_t i = 0; g->has_everybody && i < me->name_count; i++)
        room += 2 * strlen(me->names[i]) + sv->host(me->mod).n + 3;
    return room;
}

/* Members with the names that the operator gave them; other accounts by their localparts. */
static void make_line(const groups *me, group *g)
{
    g->line = sv->alloc(me->mod, line_room(me, g));
    g->line_bytes = 0;
    put(g, g->name);
    for (size_t i = 0; i < g->count; i++) {
        put(g, SV_STR("\t"));
        put(g, g->members[i].jid);
        put(g, SV_STR("\t"));
        put(g, g->members[i].name);
    }
    for (size_t i = 0; g->has_everybody && i < me->name_count; i++) {
        put(g, SV_STR("\t"));
        put(g, sv_str_of(me->names[i]));
        put(g, SV_STR("@"));
        put(g, sv->host(me->mod));
        put(g, SV_STR("\t"));
        put(g, sv_str_of(me->names[i]));
    }
}

static sv_verdict on_asked(sv_event *ev, void *self)
{
    groups *me = self;
    const sv_jid *account = sv->from(ev);
    bool is_account;
    if (me->is_stale) {
        me->is_stale = false;
        if (read_all(me, ev))
            sv->log(me->mod, SV_INFO, "groups-read", "groups",
                    sv->format(ev, "%zu", me->set.count).p, NULL);
    }
    (void)name_place(me, account->node, &is_account);
    for (size_t i = 0; i < me->set.count; i++) {
        group *g = &me->set.groups[i];
        const bool is_everybody = g->has_everybody && (is_account || !me->has_names);
        if (!groups_has(g, account->bare) && !is_everybody) continue;
        if (g->has_everybody && !me->has_names) {
            sv->offer(ev, SV_STR(SV_ROSTER_NOT_YET));
            return SV_PASS;
        }
        if (g->line == NULL) make_line(me, g);
        sv->offer(ev, (sv_str){g->line, g->line_bytes});
    }
    return SV_PASS;
}

/* --- life ---------------------------------------------------------------------------------- */

static void keep_text(groups *me, sv_str text)
{
    sv->free(me->mod, &me->text);
    me->text = sv->alloc(me->mod, text.n + 1);
    if (text.n > 0) memcpy(me->text, text.p, text.n);
    me->text_bytes = text.n;
}

static void file_changed(sv_status status, sv_str text, void *self)
{
    groups *me = self;
    groups_fault fault;
    if (groups_refuse_file(status, &fault)) {
        complain(me, me->path.p, &fault);
        return;
    }
    keep_text(me, text);
    me->is_stale = true;
    sv->overlay_changed(me->roster);
}

static bool follow(groups *me)
{
    sv_str text;
    groups_fault fault;
    if (me->file.n == 0) return true;
    const sv_status status =
        sv->follow_file(me->mod, me->file, GROUPS_FILE_MAX, me->check_ms, file_changed, &text);
    if (groups_refuse_file(status, &fault)) {
        complain(me, me->path.p, &fault);
        return false;
    }
    keep_text(me, text);
    return true;
}

/* What is wrong is told now; addresses are prepared when the first account asks, which takes an event. */
static sv_status start(sv_mod *mod, void *self)
{
    groups *me = self;
    me->mod = me->set.mod = mod;
    me->path = sv->str_dup(mod, me->file);
    if (!follow(me) || !read_all(me, NULL)) return SV_EINVAL;
    me->is_stale = true;
    const sv_status status =
        sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
    if (status != SV_OK) return status;
    sv->accounts(mod, SV_STR_NONE, PAGE, got_names);
    return SV_OK;
}

static const sv_hook hooks[] = {
    {.on = SV_ROSTER_ASK_SHARED, .call = on_asked},
    {.on = "account/added", .call = on_added},
    {.on = "account/removed", .call = on_removed},
    {0},
};

static const sv_option options[] = {
    SV_OPT_LIST(groups, list, "groups_list",
                "Groups whose members have each other in their rosters, as \"Name: address=display "
                "name, address\"; \"*\" is every account of the host."),
    SV_OPT_STRING(groups, file, "groups_file", "",
                  "A file of such groups: a line [Name], then a line address=display name for each "
                  "member; its name begins with '/'."),
    SV_OPT_PERIOD(groups, check_ms, "groups_check", "1m", "1s", "1d",
                  "How often it is looked whether the file has changed."),
    {0},
};

SV_MODULE(.name = "groups", .summary = "Shared groups", .self_size = sizeof(groups),
          .hooks = hooks, .options = options, .start = start, .after = "roster")
