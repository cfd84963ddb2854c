/* Hooks as modules declare them, "kind/scope {namespace}element", turned into a host's table; and the features of the host. */
#include "mods/mods_impl.h"

#include "base/base_str.h"

/* One hook's text in parts. */
typedef struct hook_text {
    svi_point point;
    sv_str ns, name; /* empty without a filter */
} hook_text;

static const sv_hook *hook_at(const sv_module_desc *desc, size_t i)
{
    if (desc->hooks == NULL) return NULL;
    const sv_hook *hook =
        (const sv_hook *)(const void *)((const char *)desc->hooks + i * desc->hook_stride);
    return hook->on != NULL ? hook : NULL;
}

/* Takes "{namespace}element" apart. */
static bool parse_filter(sv_str text, hook_text *to)
{
    const size_t close = svi_str_find(text, '}');
    if (text.n == 0 || text.p[0] != '{' || close + 1 >= text.n) return false;
    to->ns = svi_str_sub(text, 1, close - 1);
    to->name = svi_str_sub(text, close + 1, text.n);
    return to->ns.n > 0 && svi_str_find(to->name, ' ') == to->name.n &&
           svi_str_find(to->name, '{') == to->name.n;
}

static sv_status parse(const sv_hook *hook, hook_text *to, sv_err *err)
{
    sv_str rest = sv_str_of(hook->on), point = SV_STR_NONE;
    *to = (hook_text){.point = SVI_POINT_NONE};
    (void)svi_str_split(&rest, ' ', &point);
    to->point = svi_point_find(point);
    if (to->point == SVI_POINT_NONE) {
        const char *near = svi_point_nearest(point);
        return svi_err(err, SV_EINVAL, "hook \"%.80s\": there is no hook point \"%.*s\"%s%s%s",
                       hook->on, (int)(point.n < 60 ? point.n : 60), point.p,
                       near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                       near != NULL ? "\"?" : "");
    }
    if (rest.n > 0 && !parse_filter(rest, to))
        return svi_err(err, SV_EINVAL,
                       "hook \"%.80s\": after the point comes nothing or {namespace}element",
                       hook->on);
    if (hook->call == NULL)
        return svi_err(err, SV_EINVAL, "hook \"%.80s\" calls nothing", hook->on);
    if ((unsigned)hook->band > SV_MONITOR)
        return svi_err(err, SV_EINVAL, "hook \"%.80s\": unknown band %d", hook->on,
                       (int)hook->band);
    return SV_OK;
}

/* Points of occasions where there is something to refuse, and of stanzas: where a guard can do its work. */
static bool can_refuse(svi_point point)
{
    switch (point) {
    case SVI_POINT_STANZA_INBOUND:
    case SVI_POINT_STANZA_MADE:
    case SVI_POINT_STREAM_ELEMENT:
    case SVI_POINT_MESSAGE_NOBODY:
    case SVI_POINT_PRESENCE_NOBODY:
    case SVI_POINT_SESSION_UNSENT:
    case SVI_POINT_SESSION_BOUND:
    case SVI_POINT_ACCOUNT_REMOVING: return true;
    default: return point >= SVI_POINT_MESSAGE_OUT && point <= SVI_POINT_IQ_ERROR_REMOTE;
    }
}

static sv_status check_flags(const sv_hook *hook, svi_point point, sv_err *err)
{
    const uint32_t known = SV_HOOK_STORES | SV_HOOK_GUARD | SV_HOOK_OPEN | SV_HOOK_FINISHES;
    const bool is_guard = (hook->flags & SV_HOOK_GUARD) != 0;
    if ((hook->flags & ~known) != 0) /* it may be what the module relies on */
        return svi_err(err, SV_EVERSION,
                       "hook \"%.80s\" has flags that this server (module interface %u.%u) does not know (0x%x): use "
                       "SV_HOOK_..., or upgrade the server",
                       hook->on, SV_ABI_MAJOR, SV_ABI_MINOR, hook->flags & ~known);
    if (is_guard && (hook->flags & SV_HOOK_OPEN) != 0)
        return svi_err(err, SV_EINVAL,
                       "hook \"%.80s\": SV_HOOK_GUARD is never skipped, SV_HOOK_OPEN is: set one of them",
                       hook->on);
    if (is_guard && hook->band == SV_MONITOR)
        return svi_err(err, SV_EINVAL, "hook \"%.80s\": a MONITOR changes nothing, so it can't be a guard",
                       hook->on);
    if (is_guard && !can_refuse(point))
        return svi_err(err, SV_EINVAL,
                       "hook \"%.80s\": nothing can be refused there: a guard stands at stanzas, "
                       "session/bound or account/removing",
                       hook->on);
    return SV_OK;
}

sv_status svi_mod_hooks_check(const svi_mod_file *file, sv_err *err)
{
    const sv_hook *hook;
    for (size_t i = 0; (hook = hook_at(&file->desc, i)) != NULL; i++) {
        hook_text parts;
        sv_status status = parse(hook, &parts, err);
        if (status == SV_OK) status = check_flags(hook, parts.point, err);
        if (status != SV_OK) return status;
    }
    return SV_OK;
}

/* --- features --------------------------------------------------------------------------------------- */

static const char *features_of(const sv_mod *mod, bool of_accounts)
{
    const sv_module_desc *desc = &mod->file->desc;
    const char *text = of_accounts ? desc->account_features : desc->features;
    return text != NULL ? text : "";
}

static bool is_listed(const svi_group *group, bool of_accounts, sv_str feature)
{
    for (size_t i = 0; i < group->feature_count[of_accounts]; i++)
        if (sv_str_eq(group->features[of_accounts][i], feature)) return true;
    return false;
}

/* What two modules declare is listed once: XEP-0030 3.1 has a feature at most once. Copies: a module may go
 * while another's handler still asks. */
static void collect(svi_group *group, bool of_accounts)
{
    size_t room = 0;
    for (size_t m = 0; m < group->count; m++)
        room += strlen(features_of(group->mods[m], of_accounts)) / 2 + 1;
    if (room == 0) return;
    group->features[of_accounts] = svi_arena_get(group->texts, room * sizeof(sv_str));
    for (size_t m = 0; m < group->count; m++) {
        sv_str rest = sv_str_of(features_of(group->mods[m], of_accounts)), word;
        while (svi_str_split(&rest, ' ', &word)) {
            if (word.n == 0 || is_listed(group, of_accounts, word)) continue;
            SV_ASSERT(group->feature_count[of_accounts] < room);
            group->features[of_accounts][group->feature_count[of_accounts]++] =
                svi_arena_str(group->texts, word);
        }
    }
}

void svi_group_features_build(svi_group *group)
{
    SV_ASSERT(group->texts == NULL);
    group->texts = svi_arena_new(group->acct, 512);
    collect(group, false);
    collect(group, true);
}

/* --- tables ----------------------------------------------------------------------------------------- */

static size_t count_hooks(const svi_group *group)
{
    size_t count = 0;
    for (size_t m = 0; m < group->count; m++)
        for (size_t i = 0; hook_at(&group->mods[m]->file->desc, i) != NULL; i++) count++;
    return count;
}

void svi_group_declare(const svi_group *group)
{
    const size_t room =
        2 * count_hooks(group) + group->feature_count[false] + group->feature_count[true];
    if (room == 0) return;
    sv_str *names = svi_alloc(group->acct, room * sizeof(sv_str));
    size_t count = 0;
    for (size_t m = 0; m < group->count; m++) {
        const sv_hook *hook;
        for (size_t i = 0; (hook = hook_at(&group->mods[m]->file->desc, i)) != NULL; i++) {
            hook_text parts;
            const sv_status status = parse(hook, &parts, NULL);
            SV_ASSERT(status == SV_OK); /* checked when the file was loaded */
            if (parts.name.n == 0) continue;
            names[count++] = parts.ns;
            names[count++] = parts.name;
        }
    }
    for (int of = 0; of < 2; of++)
        for (size_t i = 0; i < group->feature_count[of]; i++)
            names[count++] = group->features[of][i];
    SV_ASSERT(count <= room);
    svi_server_declare(group->server, names, count);
    svi_free(names);
}

static svi_policy policy_of(const sv_hook *hook)
{
    if ((hook->flags & SV_HOOK_GUARD) != 0) return SVI_POLICY_CLOSED;
    return (hook->flags & SV_HOOK_OPEN) != 0 ? SVI_POLICY_OPEN : SVI_POLICY_BOUNCE;
}

static svi_handler handler_of(sv_mod *mod, uint32_t order, size_t i)
{
    const sv_hook *const hook = hook_at(&mod->file->desc, i);
    hook_text parts;
    const sv_status status = parse(hook, &parts, NULL);
    SV_ASSERT(status == SV_OK);
    const svi_atoms *atoms = svi_server_atoms(mod->group->server);
    return (svi_handler){.point = parts.point,
                         .ns = parts.ns.n > 0 ? svi_atoms_find(atoms, parts.ns) : 0,
                         .name = parts.name.n > 0 ? svi_atoms_find(atoms, parts.name) : 0,
                         .band = hook->band,
                         .order = order,
                         .after = hook->after,
                         .stores = (hook->flags & SV_HOOK_STORES) != 0,
                         .policy = policy_of(hook),
                         .finishes = (hook->flags & SV_HOOK_FINISHES) != 0,
                         .call = hook->call,
                         .self = svi_mod_hook_self(mod, i),
                         .module = mod->file->name,
                         .text = hook->on,
                         .stats = svi_costs_line(mod->costs, hook->on),
                         .ward = &mod->conduct.ward,
                         .generation = mod};
}

/* What a table needs of its modules, in order of starting. */
typedef struct table {
    size_t count;
    sv_mod *mods[]; /* a reference each */
} table;

static void table_gone(void *ctx)
{
    table *t = ctx;
    for (size_t i = t->count; i > 0; i--) svi_mod_unref(&t->mods[i - 1]);
    svi_free(t);
}

static table *table_of(const svi_group *group)
{
    table *t = svi_alloc(group->acct, sizeof *t + group->count * sizeof(sv_mod *));
    for (; t->count < group->count; t->count++) t->mods[t->count] = svi_mod_ref(group->order[t->count]);
    return t;
}

/* Of all, of those that are new, or of one alone. */
static sv_status build(svi_group *group, bool only_new, const sv_mod *alone, svi_hooks **hooks_out,
                       sv_err *err)
{
    svi_handler *handlers = svi_alloc(group->acct, count_hooks(group) * sizeof(svi_handler));
    size_t count = 0;
    for (size_t m = 0; m < group->count; m++) {
        if (only_new && !group->mods[m]->is_new) continue;
        if (alone != NULL && group->mods[m] != alone) continue;
        for (size_t i = 0; hook_at(&group->mods[m]->file->desc, i) != NULL; i++)
            handlers[count++] = handler_of(group->mods[m], (uint32_t)m, i);
    }
    const sv_status status = svi_hooks_build(group->acct, handlers, count, hooks_out, err);
    svi_free(handlers);
    if (status == SV_OK) svi_hooks_on_free(*hooks_out, table_gone, table_of(group));
    return status;
}

/* Somebody is there who was bound without it. */
static bool has_newcomers(const svi_group *group)
{
    bool has = false;
    for (size_t i = 0; i < group->count; i++) has = has || group->mods[i]->is_new;
    return has && svi_host_session_count(group->host) > 0;
}

sv_status svi_group_hooks_build(svi_group *group, sv_err *err)
{
    sv_status status = build(group, false, NULL, &group->hooks, err);
    if (status == SV_OK && has_newcomers(group))
        status = build(group, true, NULL, &group->newcomers, err);
    return status;
}

sv_status svi_mod_hooks_build(sv_mod *mod, svi_hooks **hooks_out, sv_err *err)
{
    return build(mod->group, false, mod, hooks_out, err);
}
