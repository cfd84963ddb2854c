/* From `modules_enabled` to running modules: load, order, fill options, start, put the hosts' tables in place; all or
 * nothing. */
#include "mods/mods_loader.h"

#include "base/base_log.h"
#include "mods/mods_command.h"
#include "mods/mods_impl.h"
#include "mods/mods_script.h"
#include "xmpp/xmpp_jid.h"

svi_mods *svi_mods_new(svi_acct *acct, const svi_mods_config *config)
{
    SV_ASSERT(config->server != NULL && config->config != NULL && config->report != NULL);
    svi_mods *mods = svi_alloc(acct, sizeof *mods);
    mods->magic = SVI_MODS_MAGIC;
    mods->acct = acct;
    mods->config = *config;
    mods->own_config = svi_config_ref((svi_config *)(uintptr_t)config->config);
    mods->groups_end = &mods->groups;
    mods->past = config->before != NULL ? svi_past_ref(config->before->past) : svi_past_new(acct);
    mods->past->probe = config->probe;
    return mods;
}

/* --- loading ---------------------------------------------------------------------------------------- */

static bool has_file(const svi_mods *mods, const svi_mod_file *file)
{
    for (size_t i = 0; i < mods->file_count; i++)
        if (mods->files[i] == file) return true;
    return false;
}

/* Takes the reference over. */
static void keep_file(svi_mods *mods, svi_mod_file *file)
{
    mods->files =
        svi_realloc(mods->acct, mods->files, (mods->file_count + 1) * sizeof(svi_mod_file *));
    mods->files[mods->file_count++] = file;
}

/* A reference. Code stays mapped, so that each loading would cost its memory once more. */
static svi_mod_file *loaded_before(const svi_mods *mods, sv_str name)
{
    const svi_mods *before = mods->config.before;
    for (size_t i = 0; before != NULL && i < before->file_count; i++) {
        svi_mod_file *file = before->files[i];
        if (!sv_str_eq(sv_str_of(file->name), name)) continue;
        svi_mod_file_look(file, mods->acct, &mods->config);
        return svi_mod_file_ref(file);
    }
    return NULL;
}

/* The file of that name, loaded once; a name that failed is tried again where it stands again, so that each place is told. */
static svi_mod_file *file_of(svi_mods *mods, const svi_group *group, const svi_value *item)
{
    for (size_t i = 0; i < mods->file_count; i++)
        if (sv_str_eq(sv_str_of(mods->files[i]->name), item->text)) return mods->files[i];
    svi_mod_file *file = loaded_before(mods, item->text);
    sv_err err = {.text = ""};
    if (file == NULL &&
        svi_mod_file_load(mods->acct, &mods->config, item->text, &file, &err) != SV_OK) {
        svi_mods_complain(mods, group->section, item, "%s", err.text);
        return NULL;
    }
    keep_file(mods, file);
    return file;
}

static bool load_one(svi_mods *mods, svi_group *group, const svi_value *item)
{
    if (item->kind != SVI_VALUE_STRING) {
        svi_mods_complain(mods, group->section, item, "modules_enabled lists names of modules as strings");
        return false;
    }
    if (svi_group_find(group, item->text) != NULL) {
        svi_mods_complain(mods, group->section, item, "module \"%.*s\" is listed twice", (int)item->text.n,
                 item->text.p);
        return false;
    }
    svi_mod_file *file = file_of(mods, group, item);
    if (file == NULL) return false;
    sv_mod *mod = svi_mod_new(group, file, item, svi_group_find(group->before, item->text));
    svi_group_put(group, mod);
    const svi_mod_visit visit = svi_mod_blame(mod, "options");
    const sv_status status = svi_options_fill(
        mods->config.config, group->section, file->desc.options, file->desc.option_stride,
        mod->self, mods->config.report, mods->config.report_ctx);
    if (status == SV_OK) svi_mod_filled(mod);
    svi_mod_leave(&visit);
    const sv_status budget =
        svi_budget_fill(mods->config.config, group->section, file->budget_options,
                        &mod->conduct.budget, mods->config.report, mods->config.report_ctx);
    svi_conduct_begin(mod);
    return status == SV_OK && budget == SV_OK;
}

/* --- a host's modules ------------------------------------------------------------------------------- */

static svi_host *host_of(const svi_mods *mods, const svi_section *section)
{
    svi_arena *arena = svi_arena_new(mods->acct, 256);
    sv_str domain;
    svi_host *host = NULL;
    if (svi_jid_prep_domain(arena, section->name, &domain) == SV_OK)
        host = svi_host_known(mods->config.server, domain);
    svi_arena_free(&arena);
    return host;
}

/* The other file that declares a command of this name; NULL if there is none. */
static const svi_mod_file *also_declares(const svi_mods *mods, const svi_mod_file *file,
                                         const char *name)
{
    for (size_t i = 0; i < mods->file_count && mods->files[i] != file; i++) {
        const sv_command *c;
        for (size_t k = 0; (c = svi_command_at(mods->files[i]->desc.commands, k)) != NULL; k++)
            if (strcmp(c->name, name) == 0) return mods->files[i];
    }
    return NULL;
}

/* A command has one meaning on all hosts. */
static bool has_own_commands(const svi_mods *mods, const svi_group *group, const sv_mod *mod)
{
    const sv_command *c;
    for (size_t k = 0; (c = svi_command_at(mod->file->desc.commands, k)) != NULL; k++) {
        const svi_mod_file *other = also_declares(mods, mod->file, c->name);
        if (other == NULL) continue;
        svi_mods_complain(mods, group->section, mod->place,
                 "module \"%s\" declares the command \"%s\", which is one of module \"%s\"",
                 mod->file->name, c->name, other->name);
        return false;
    }
    return true;
}

static svi_group *group_of(const svi_mods *mods, const svi_host *host)
{
    svi_group *group = mods != NULL ? mods->groups : NULL;
    while (group != NULL && group->host != host) group = group->next;
    return group;
}

static bool load_group(svi_mods *mods, svi_group *group)
{
    const svi_value *names = group->place;
    if (names == NULL) return true;
    if (names->kind != SVI_VALUE_LIST) {
        svi_mods_complain(mods, group->section, names, "modules_enabled is a list of names of modules");
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < names->count; i++)
        if (!load_one(mods, group, &names->items[i])) fine = false;
    for (size_t i = 0; i < group->count; i++)
        if (!has_own_commands(mods, group, group->mods[i])) fine = false;
    if (!svi_group_has_needs(mods, group)) fine = false;
    return fine && svi_group_order(mods, group);
}

static bool prepare_host(svi_mods *mods, const svi_section *section)
{
    svi_host *host = host_of(mods, section);
    if (host == NULL) {
        svi_mods_complain(mods, section, NULL, "host \"%.*s\" is not served", (int)section->name.n,
                 section->name.p);
        return false;
    }
    svi_group *group = svi_group_new(mods->acct, mods->past, mods->config.server, host);
    group->engines = mods->config.engines;
    group->section = section;
    group->before = group_of(mods->config.before, host);
    *mods->groups_end = group;
    mods->groups_end = &group->next;
    group->place = svi_config_get(mods->config.config, section, SV_STR("modules_enabled"));
    if (!load_group(mods, group)) return false;
    svi_group_compare(group);
    svi_group_features_build(group);
    return true;
}

/* Everything up to start(); every problem is told. */
static sv_status prepare(svi_mods *mods)
{
    bool fine = true;
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(mods->config.config, i)) != NULL; i++)
        if (section->kind == SVI_SECTION_HOST && !prepare_host(mods, section)) fine = false;
    for (svi_group *group = mods->groups; group != NULL && fine; group = group->next)
        if (!group->is_same) svi_group_declare(group);
    for (svi_group *group = mods->groups; group != NULL && fine; group = group->next) {
        sv_err err = {.text = ""};
        if (group->is_same || svi_group_hooks_build(group, &err) == SV_OK) continue;
        svi_mods_complain(mods, group->section, group->place, "%s", err.text);
        fine = false;
    }
    return fine ? SV_OK : SV_EINVAL;
}

/* Its events that wait keep it until they are over. */
static void let_go(svi_group *group)
{
    svi_hooks_unref(&group->hooks);
    svi_hooks_unref(&group->newcomers);
    svi_group_let_go(group);
    svi_group_unref(&group);
}

/* Lets go of everything that was prepared; what runs is stopped when nobody uses it any more. */
static void discard(svi_mods *mods)
{
    while (mods->groups != NULL) {
        svi_group *group = mods->groups;
        mods->groups = group->next;
        let_go(group);
    }
    mods->groups_end = &mods->groups;
    while (mods->file_count > 0) svi_mod_file_unref(&mods->files[--mods->file_count]);
    svi_free(mods->files);
    mods->files = NULL;
}

/* Why workers ended in this module of late; NULL: they did not. */
static const svi_held *blame_of(const svi_mods *mods, const sv_mod *mod)
{
    for (size_t i = 0; i < mods->config.held_count; i++)
        if (strcmp(mods->config.held[i].module, mod->file->name) == 0) return &mods->config.held[i];
    return NULL;
}

/* True if it is in quarantine already, on any host, and was never started, by the same code. */
static bool is_held_before(const svi_mods *mods, const sv_mod *mod)
{
    for (const svi_group *g = mods->config.before ? mods->config.before->groups : NULL; g; g = g->next) {
        const sv_mod *before = svi_group_find(g, sv_str_of(mod->file->name));
        if (before != NULL && before->file == mod->file && before->conduct.is_held) return true;
    }
    return false;
}

/* True if the module may not be started now. What is blamed is in quarantine from the begin. */
static bool must_hold(const svi_mods *mods, sv_mod *mod)
{
    const svi_held *blame = blame_of(mods, mod);
    if (blame != NULL) svi_conduct_quarantine(mod, blame->why);
    mod->conduct.is_held = (blame != NULL && blame->is_in_start) || is_held_before(mods, mod);
    return mod->conduct.is_held;
}

static sv_status start_group(svi_mods *mods, svi_group *group)
{
    sv_status status = SV_OK;
    for (size_t i = 0; i < group->count && status == SV_OK; i++)
        if (!must_hold(mods, group->order[i]))
            status = svi_mods_start_one(mods, group, group->order[i]);
    if (status == SV_OK) svi_conduct_stand_in(group);
    return status;
}

static void set_live(svi_group *group, bool is_live)
{
    group->is_live = is_live;
    for (size_t i = 0; i < group->count; i++) group->mods[i]->is_live = is_live;
}

/* From here on nothing of the config is needed any more. */
static void put_in_place(svi_group *group)
{
    if (group->before != NULL) set_live(group->before, false);
    svi_host_change_hooks(group->host, group->hooks, group->newcomers);
    for (size_t i = 0; i < group->count; i++)
        svi_mod_settle(group->mods[i]);
    set_live(group, true);
    svi_group_stream_features(group);
    svi_group_items_live(group);
    svi_hooks_unref(&group->hooks);
    svi_hooks_unref(&group->newcomers);
    group->before = NULL;
    group->section = NULL;
    group->place = NULL;
}

static void tell_ready(const svi_mods *mods)
{
    for (svi_group *group = mods->groups; group != NULL; group = group->next) {
        if (group->is_ready) continue;
        group->is_ready = true;
        svi_occasion(group->host, SVI_POINT_HOST_READY, NULL, NULL, NULL, SV_STR_NONE, NULL);
    }
}

sv_status svi_mods_start(svi_mods *mods)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    SV_ASSERT(!mods->is_running && mods->groups == NULL);
    sv_status status = prepare(mods);
    for (svi_group *group = mods->groups; group != NULL && status == SV_OK; group = group->next)
        status = start_group(mods, group);
    if (status != SV_OK) {
        discard(mods);
        return status;
    }
    for (svi_group *group = mods->groups; group != NULL; group = group->next) put_in_place(group);
    mods->is_running = true;
    svi_mods_watch(mods);
    tell_ready(mods);
    return SV_OK;
}

sv_status svi_mods_check(svi_mods *mods)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    SV_ASSERT(!mods->is_running && mods->groups == NULL);
    return prepare(mods);
}

/* --- taking another's place ------------------------------------------------------------------------- */

/* Of those that have a successor in the group, or if that is NULL, of all. */
static sv_status save_all(const svi_mods *mods, const svi_group *before, const svi_group *group)
{
    sv_status status = SV_OK;
    for (size_t i = before->count; i > 0 && status == SV_OK; i--) {
        sv_mod *mod = before->order[i - 1];
        sv_mod *next = group != NULL ? svi_group_find(group, sv_str_of(mod->file->name)) : NULL;
        status = svi_mod_save(mod, next);
        if (status != SV_OK && group != NULL) svi_mods_complain_of_save(mods, group, next);
    }
    return group != NULL ? status : SV_OK;
}

sv_status svi_mods_ready(svi_mods *mods)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    SV_ASSERT(!mods->is_running && mods->config.before != NULL);
    for (svi_group *group = mods->groups; group != NULL; group = group->next) {
        if (group->is_same) continue;
        sv_status status = SV_OK;
        if (group->before != NULL) status = save_all(mods, group->before, group);
        if (status == SV_OK) status = start_group(mods, group);
        if (status == SV_OK) continue;
        discard(mods);
        return status;
    }
    return SV_OK;
}

static svi_group *take_out(svi_mods *mods, svi_group *group)
{
    svi_group **at = &mods->groups;
    while (*at != group) at = &(*at)->next;
    *at = group->next;
    return group;
}

static void log_gone(const svi_group *before, const svi_group *group)
{
    for (size_t i = 0; i < before->count; i++) {
        const char *name = before->mods[i]->file->name;
        if (group == NULL || svi_group_find(group, sv_str_of(name)) == NULL)
            SV_LOG(SV_INFO, "module-removed", LF_TXT("module", name),
                   LF_STR("host", before->host_name));
    }
}

/* A budget changes without a new generation. */
static void take_budgets_over(const svi_group *running, const svi_group *checked)
{
    for (size_t i = 0; i < running->count; i++)
        svi_conduct_set_budget(running->mods[i], &checked->mods[i]->conduct.budget);
}

/* What runs on the group's host from now on: itself, or the one before it if nothing differs. */
static svi_group *settle(svi_mods *running, svi_group *group)
{
    svi_group *before = group->before;
    if (before == NULL) {
        put_in_place(group);
        return group;
    }
    (void)take_out(running, before);
    if (group->is_same) {
        take_budgets_over(before, group);
        let_go(group);
        return before;
    }
    log_gone(before, group);
    put_in_place(group);
    let_go(before);
    return group;
}

/* A module that is not enabled now may be again. */
static void keep_files(svi_mods *mods, const svi_mods *of)
{
    for (size_t i = 0; i < of->file_count; i++)
        if (!has_file(mods, of->files[i])) keep_file(mods, svi_mod_file_ref(of->files[i]));
}

void svi_mods_replace(svi_mods **running, svi_mods **next)
{
    svi_mods *old = *running, *new = *next;
    SV_CHECK(old, SVI_MODS_MAGIC);
    SV_CHECK(new, SVI_MODS_MAGIC);
    SV_ASSERT(old->is_running && new->config.before == old);
    svi_group *groups = new->groups;
    new->groups = NULL;
    new->groups_end = &new->groups;
    while (groups != NULL) {
        svi_group *group = groups;
        groups = group->next;
        group = settle(old, group);
        group->next = NULL;
        *new->groups_end = group;
        new->groups_end = &group->next;
    }
    for (svi_group *gone = old->groups; gone != NULL; gone = gone->next) {
        (void)save_all(old, gone, NULL);
        log_gone(gone, NULL);
        set_live(gone, false);
        svi_host_set_features(gone->host, SV_STR_NONE);
    }
    keep_files(new, old);
    for (size_t i = 0; i < new->file_count; i++) svi_mod_script_limit(new->files[i], &new->config);
    new->config.before = NULL;
    new->is_running = true;
    svi_mods_unwatch(old);
    svi_mods_watch(new);
    discard(old);
    svi_past_unref(&old->past);
    svi_config_free(&old->own_config);
    old->magic = 0;
    svi_free(old);
    *running = new;
    *next = NULL;
    tell_ready(new);
}

bool svi_mods_is_same(const svi_mods *mods, const svi_host *host)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    const svi_group *group = group_of(mods, host);
    return group != NULL && group->is_same;
}

bool svi_mods_enable(const svi_mods *mods, const svi_mod_file *file)
{
    for (const svi_group *group = mods->groups; group != NULL; group = group->next)
        if (svi_group_find(group, sv_str_of(file->name)) != NULL) return true;
    return false;
}

const char *svi_mods_stale(const svi_mods *mods, size_t i)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    for (size_t f = 0; f < mods->file_count; f++)
        if (mods->files[f]->is_stale && svi_mods_enable(mods, mods->files[f]) && i-- == 0)
            return mods->files[f]->name;
    return NULL;
}

/* --- the end ---------------------------------------------------------------------------------------- */

static void take_hooks_away(svi_group *group)
{
    set_live(group, false);
    svi_host_set_features(group->host, SV_STR_NONE);
    svi_hooks *none = NULL;
    const sv_status status = svi_hooks_build(group->acct, NULL, 0, &none, NULL);
    SV_ASSERT(status == SV_OK);
    svi_host_set_hooks(group->host, none);
    svi_hooks_unref(&none);
}

void svi_mods_free(svi_mods **mods)
{
    svi_mods *m = *mods;
    *mods = NULL;
    if (m == NULL) return;
    SV_CHECK(m, SVI_MODS_MAGIC);
    svi_mods_unwatch(m);
    for (svi_group *group = m->groups; m->is_running && group != NULL; group = group->next) {
        (void)save_all(m, group, NULL);
        group->is_ending = true;
        take_hooks_away(group);
    }
    discard(m);
    svi_past_unref(&m->past);
    svi_config_free(&m->own_config);
    svi_plat_enter(NULL);
    m->magic = 0;
    svi_free(m);
}

/* --- figures ---------------------------------------------------------------------------------------- */

static const sv_mod *mod_at(const svi_mods *mods, size_t i)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    for (const svi_group *group = mods->groups; group != NULL; group = group->next) {
        if (i < group->count) return group->mods[i];
        i -= group->count;
    }
    return NULL;
}

/* Its state is one for all hosts, and counts on each: it is what the module needs to be there at all. */
static void add_script(svi_mod_info *info, const svi_script *script)
{
    if (script == NULL) return;
    info->is_script = true;
    info->is_policy = svi_script_is_policy(script);
    info->is_autoreload = svi_script_is_autoreload(script);
    info->script_bytes = svi_script_bytes(script);
    info->script_waiting = svi_script_waiting(script);
    info->live_bytes += info->script_bytes;
    info->peak_bytes += svi_script_peak_bytes(script);
}

static svi_mod_info info_of(const sv_mod *mod)
{
    const sv_module_desc *desc = &mod->file->desc;
    const svi_conduct *c = &mod->conduct;
    const svi_hook_stats sum = svi_costs_sum(mod->costs);
    svi_mod_info info = {.name = mod->file->name,
                         .host = mod->group->host_name.p,
                         .summary = desc->summary != NULL ? desc->summary : "",
                         .state = mod->is_retired        ? "draining"
                                  : c->ward.is_closed    ? "quarantined"
                                  : mod->is_started      ? "running"
                                                         : "checked",
                         .reason = c->ward.is_closed ? c->why.text : "",
                         .since_s = c->ward.is_closed ? c->since_us / 1000000 : 0,
                         .refused = c->ward.refused,
                         .skipped = c->ward.skipped,
                         .faults = c->faults.total,
                         .needs = desc->after != NULL ? desc->after : "",
                         .calls = sum.calls,
                         .passed = sum.passed,
                         .done = sum.done,
                         .later = sum.later,
                         .cpu_us = sum.cpu_ns / 1000,
                         .live_bytes = atomic_load(&mod->costs->acct.live_bytes),
                         .live_count = atomic_load(&mod->costs->acct.live_count),
                         .peak_bytes = atomic_load(&mod->costs->acct.peak_bytes),
                         .peak_count = atomic_load(&mod->costs->acct.peak_count),
                         .callbacks = sum.callbacks,
                         .store = mod->costs->store,
                         .generation = mod->generation,
                         .in_flight = mod->in_flight,
                         .is_engine = mod->file->is_engine};
    svi_bus_users(svi_server_bus(mod->group->server), mod, mod->is_retired, &info.events);
    add_script(&info, mod->file->script);
    if (!mod->is_retired) return info;
    info.live_bytes = info.script_bytes + atomic_load(&mod->acct.live_bytes); /* the rest is of all generations together */
    info.live_count = atomic_load(&mod->acct.live_count);
    return info;
}

void svi_mods_collect(svi_mods *mods)
{
    for (size_t i = 0; i < mods->file_count; i++)
        if (mods->files[i]->script != NULL) svi_script_collect(mods->files[i]->script);
}

bool svi_mods_info(const svi_mods *mods, size_t i, svi_mod_info *info_out)
{
    const sv_mod *mod = mod_at(mods, i);
    if (mod != NULL) *info_out = info_of(mod);
    return mod != NULL;
}

bool svi_mods_draining(const svi_mods *mods, size_t i, svi_mod_info *info_out)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    const sv_mod *mod = mods->past->draining;
    while (mod != NULL && i-- > 0) mod = mod->older;
    if (mod != NULL) *info_out = info_of(mod);
    return mod != NULL;
}

void svi_mods_figures_get(const svi_mods *mods, svi_mods_figures *figures_out)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    *figures_out = (svi_mods_figures){.retired = mods->past->retired, .kept = mods->past->kept};
}

bool svi_mods_line(const svi_mods *mods, size_t i, size_t k, const svi_cost_line **line_out)
{
    const sv_mod *mod = mod_at(mods, i);
    if (mod == NULL) return false;
    const svi_cost_line *line = mod->costs->lines;
    while (line != NULL && k-- > 0) line = line->next;
    *line_out = line;
    return line != NULL;
}

bool svi_mods_right(const svi_mods *mods, size_t i, size_t k, const char **right_out)
{
    const sv_mod *mod = mod_at(mods, i);
    return mod != NULL && mod->file->script != NULL && svi_script_right(mod->file->script, k, right_out);
}

bool svi_mods_metric(const svi_mods *mods, size_t i, size_t k, const sv_metric **metric_out,
                     int64_t *value_out)
{
    const sv_mod *mod = mod_at(mods, i);
    if (mod == NULL || k >= mod->metric_count) return false;
    *metric_out = svi_metric_at(&mod->file->desc, k);
    *value_out = mod->metrics[k] != NULL ? *mod->metrics[k] : 0;
    return true;
}

bool svi_mods_budget_options(const svi_mods *mods, size_t i, const sv_option **options_out)
{
    const sv_mod *mod = mod_at(mods, i);
    if (mod != NULL) *options_out = mod->file->budget_options;
    return mod != NULL;
}

bool svi_mods_options(const svi_mods *mods, size_t i, const sv_option **options_out,
                      size_t *stride_out)
{
    const sv_mod *mod = mod_at(mods, i);
    if (mod == NULL) return false;
    *options_out = mod->file->desc.options;
    *stride_out = mod->file->desc.option_stride;
    return true;
}
