/* Modules alone get another generation: prepared beside the old one, handed what that saved, swapped in
 * between two events (house-style C.3). */
#include "base/base_log.h"
#include "mods/mods_command.h"
#include "mods/mods_impl.h"

/* --- from one generation to the next ---------------------------------------------------------------- */

sv_status svi_mod_save(sv_mod *mod, sv_mod *next)
{
    if (!mod->is_started || mod->file->desc.save == NULL) return SV_OK;
    sv_blob *blob = svi_blob_new(mod->group->acct);
    const svi_mod_visit visit = svi_mod_enter(mod, "save");
    mod->file->desc.save(blob, mod->self);
    svi_mod_leave(&visit);
    const sv_status status = svi_blob_is_full(blob) ? SV_ELIMIT : SV_OK;
    if (next == NULL) {
        svi_blob_free(&blob);
        return SV_OK;
    }
    SV_ASSERT(next->saved == NULL);
    next->saved = blob;
    return status;
}

void svi_mods_complain_of_save(const svi_mods *mods, const svi_group *group, const sv_mod *next)
{
    svi_mods_complain(mods, group->section, next->place,
                      "module \"%s\" saves more than %d KiB for its next generation: a restart begins it anew",
                      next->file->name, SVI_BLOB_BYTES / 1024);
}

sv_status svi_mod_start(sv_mod *mod)
{
    const sv_module_desc *desc = &mod->file->desc;
    SV_ASSERT(!mod->is_started);
    sv_status status = svi_mod_file_enter(mod);
    if (status != SV_OK) mod->why = "what its hosts share";
    if (status == SV_OK && desc->start != NULL) {
        const svi_mod_visit visit = svi_mod_enter(mod, "start");
        mod->is_starting = true;
        status = desc->start(mod, mod->self);
        mod->is_starting = false;
        svi_mod_leave(&visit);
    }
    svi_blob_free(&mod->saved);
    mod->is_started = status == SV_OK;
    return status;
}

static void tell_failed(const svi_mods *mods, const svi_group *group, const sv_mod *mod, sv_status status)
{
    svi_buf names;
    svi_buf_init(&names, mods->acct);
    const size_t count = svi_group_dependents(group, sv_str_of(mod->file->name), &names);
    svi_mods_complain(mods, group->section, mod->place, "module \"%s\" does not start: %s%s%s%s%.*s", mod->file->name,
                      status == SV_EVERSION && mod->why_not ? mod->why_not : svi_status_name(status),
                      mod->why != NULL ? ": " : "", mod->why != NULL ? mod->why : "",
                      count > 0 ? "; nor do those that need it: " : "", (int)names.len,
                      count > 0 ? names.data : "");
    svi_buf_free(&names);
}

sv_status svi_mods_start_one(const svi_mods *mods, const svi_group *group, sv_mod *mod)
{
    const sv_status status = svi_mod_start(mod);
    if (status == SV_OK)
        SV_LOG(SV_INFO, "module-loaded", LF_TXT("module", mod->file->name),
               LF_STR("host", mod->group->host_name), LF_INT("generation", mod->generation));
    else
        tell_failed(mods, group, mod, status);
    return status;
}

/* What is in quarantine stays there with the same code. */
static void behave(sv_mod *mod)
{
    if (mod->before == NULL) return;
    if (mod->before->file == mod->file)
        svi_conduct_hand_over(mod, mod->before);
    else
        svi_conduct_renewed(mod, mod->before);
}

void svi_mod_settle(sv_mod *mod)
{
    behave(mod);
    if (mod->provider) svi_provider_attach(mod->provider);
    mod->has_run = true;
    svi_tables_settle(mod);
    svi_mod_unref(&mod->before);
    mod->is_new = false;
    mod->place = NULL;
}

/* --- what is to change ------------------------------------------------------------------------------ */

/* The modules of one host as they shall be, in a group that none of them belongs to. */
typedef struct plan {
    struct plan *next;
    svi_group *home;  /* whose modules they are */
    svi_group *group;
} plan;

typedef struct change {
    svi_mods *mods;
    const svi_mods_reloading *how;
    svi_mod_file **files; /* in order of the names; a reference each; NULL: not loaded */
    plan *plans;
} change;

const svi_section *svi_mods_section_of(const svi_mods *mods, const svi_group *home)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(mods->config.config, i)) != NULL; i++)
        if (section->kind == SVI_SECTION_HOST && sv_str_eq(section->name, home->host_name)) break;
    SV_ASSERT(section != NULL); /* it is the configuration that runs */
    return section;
}

static void complain_of_all(const svi_mods *mods, const char *text)
{
    svi_mods_complain(mods, svi_config_section(mods->config.config, 0), NULL, "%s", text);
}

static svi_mod_file *running_file(const svi_mods *mods, sv_str name)
{
    for (size_t i = 0; i < mods->file_count; i++)
        if (sv_str_eq(sv_str_of(mods->files[i]->name), name) && svi_mods_enable(mods, mods->files[i]))
            return mods->files[i];
    return NULL;
}

static bool declares(const svi_mod_file *file, const char *name)
{
    const sv_command *command;
    for (size_t k = 0; (command = svi_command_at(file->desc.commands, k)) != NULL; k++)
        if (strcmp(command->name, name) == 0) return true;
    return false;
}

/* Whether no other module has one of its commands already, or gets it with this reload, and the server neither. */
static bool has_own_commands(const change *c, const svi_mod_file *file)
{
    const sv_command *mine, *other;
    for (size_t k = 0; (mine = svi_command_at(file->desc.commands, k)) != NULL; k++) {
        const char *hidden = c->how->shadows != NULL ? c->how->shadows(mine->name) : NULL;
        const char *module = NULL;
        for (size_t i = 0; hidden == NULL && (other = svi_mods_command(c->mods, i, &module)) != NULL; i++)
            if (strcmp(module, file->name) != 0 && strcmp(other->name, mine->name) == 0) hidden = module;
        for (size_t i = 0; hidden == NULL && i < c->how->count; i++)
            if (c->files[i] != NULL && c->files[i] != file && declares(c->files[i], mine->name)) hidden = c->files[i]->name;
        if (hidden == NULL) continue;
        svi_mods_complain(c->mods, svi_config_section(c->mods->config.config, 0), NULL,
                          "module \"%s\" declares the command \"%s\", which is one of \"%s\"",
                          file->name, mine->name, hidden);
        return false;
    }
    return true;
}

static bool load(change *c, size_t i)
{
    svi_mods *mods = c->mods;
    const sv_str name = c->how->names[i];
    const svi_mod_file *old = running_file(mods, name);
    sv_err err = {.text = ""};
    if (old == NULL)
        (void)svi_err(&err, SV_ENOTFOUND, "module \"%.*s\" is enabled on no host: `stave modules` shows which are",
                      (int)(name.n < 60 ? name.n : 60), name.p);
    if (old != NULL && svi_mod_is_engine(old))
        (void)svi_err(&err, SV_EINVAL, "module \"%s\" is an engine, whose code is loaded once: restart the server", old->name);
    for (size_t k = 0; k < i && err.text[0] == '\0'; k++)
        if (sv_str_eq(name, c->how->names[k]))
            (void)svi_err(&err, SV_EINVAL, "module \"%s\" is named twice", old->name);
    if (err.text[0] == '\0' && svi_mod_file_load(mods->acct, &mods->config, name, &c->files[i], &err) == SV_OK) {
        c->files[i]->number = old->number + 1;
        if (!svi_mod_is_engine(c->files[i])) return has_own_commands(c, c->files[i]);
        (void)svi_err(&err, SV_EINVAL, "module \"%s\" has become an engine, which only a start loads: restart the server", old->name);
    }
    complain_of_all(mods, err.text);
    return false;
}

static svi_mod_file *new_file(const change *c, const sv_mod *mod)
{
    for (size_t i = 0; i < c->how->count; i++)
        if (c->files[i] != NULL && strcmp(c->files[i]->name, mod->file->name) == 0) return c->files[i];
    return NULL;
}

static const svi_value *place_of(const svi_value *list, const char *name)
{
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (sv_str_eq(list->items[i].text, sv_str_of(name))) return &list->items[i];
    return list;
}

sv_status svi_mod_configure(const svi_mods *mods, const svi_section *section, sv_mod *mod, svi_config_report report, void *ctx)
{
    const svi_mod_file *file = mod->file;
    const svi_config *config = mods->config.config;
    svi_arena *const arena = svi_config_arena(config);
    const svi_mark mark = svi_arena_mark(arena); /* what is read is copied: nothing of it stays there */
    const svi_mod_visit visit = svi_mod_blame(mod, "options");
    const sv_status status = svi_options_fill(config, section, file->desc.options, file->desc.option_stride, mod->self, report, ctx);
    if (status == SV_OK) svi_mod_filled(mod);
    const sv_status budget = svi_budget_fill(config, section, file->budget_options, &mod->conduct.budget, report, ctx);
    svi_conduct_begin(mod);
    svi_mod_leave(&visit);
    svi_arena_reset(arena, mark);
    return status != SV_OK ? status : budget;
}

static bool succeed(const change *c, svi_group *group, sv_mod *old, svi_mod_file *file)
{
    sv_mod *mod = svi_mod_new(old->group, file, place_of(group->place, file->name), old);
    svi_group_put(group, mod);
    return svi_mod_configure(c->mods, group->section, mod, c->how->report, c->how->report_ctx) == SV_OK;
}

/* Everything up to save() and start() for one host; every problem is told. */
static bool prepare(change *c, svi_group *home)
{
    svi_mods *mods = c->mods;
    plan *p = svi_alloc(mods->acct, sizeof *p);
    svi_group *group = svi_group_new(mods->acct, mods->past, home->server, home->host);
    *p = (plan){.next = c->plans, .home = home, .group = group};
    c->plans = p;
    group->section = svi_mods_section_of(mods, home);
    group->place = svi_config_get(mods->config.config, group->section, SV_STR("modules_enabled"));
    bool fine = true;
    for (size_t i = 0; i < home->count; i++) {
        svi_mod_file *file = new_file(c, home->mods[i]);
        if (file == NULL)
            svi_group_put(group, svi_mod_ref(home->mods[i]));
        else if (!succeed(c, group, home->mods[i], file))
            fine = false;
    }
    if (!fine || !svi_group_has_needs(mods, group) || !svi_group_order(mods, group)) return false;
    svi_group_features_build(group);
    svi_group_declare(group);
    sv_err err = {.text = ""};
    if (svi_group_hooks_build(group, &err) == SV_OK) return true;
    svi_mods_complain(mods, group->section, group->place, "%s", err.text);
    return false;
}

static bool concerns(const change *c, const svi_group *home)
{
    for (size_t i = 0; i < home->count; i++)
        if (new_file(c, home->mods[i]) != NULL) return true;
    return false;
}

static bool is_successor(const sv_mod *mod)
{
    return mod->before != NULL;
}

static sv_status save_host(change *c, const plan *p)
{
    svi_group *home = p->home;
    svi_host_change_hooks(home->host, svi_host_hooks(home->host), NULL); /* the old ones hear of all sessions first */
    sv_status status = SV_OK;
    for (size_t i = home->count; i > 0 && status == SV_OK; i--) {
        sv_mod *old = home->order[i - 1], *next = svi_group_find(p->group, sv_str_of(old->file->name));
        if (!is_successor(next)) continue;
        status = svi_mod_save(old, next);
        if (status != SV_OK) svi_mods_complain_of_save(c->mods, p->group, next);
    }
    return status;
}

static sv_status make_ready(change *c)
{
    bool fine = true;
    for (size_t i = 0; i < c->how->count; i++)
        if (!load(c, i)) fine = false;
    for (svi_group *home = c->mods->groups; home != NULL && fine; home = home->next)
        if (concerns(c, home) && !prepare(c, home)) fine = false;
    sv_status status = fine ? SV_OK : SV_EINVAL;
    for (const plan *p = c->plans; p != NULL && status == SV_OK; p = p->next) status = save_host(c, p);
    for (const plan *p = c->plans; p != NULL && status == SV_OK; p = p->next)
        for (size_t i = 0; i < p->group->count && status == SV_OK; i++)
            if (is_successor(p->group->order[i])) status = svi_mods_start_one(c->mods, p->group, p->group->order[i]);
    return status;
}

/* --- the swap --------------------------------------------------------------------------------------- */

/* The host has what was planned; the plan has what was there. */
static void exchange(svi_group *home, svi_group *planned)
{
    svi_group was = *home;
    home->mods = planned->mods;
    home->order = planned->order;
    home->count = planned->count;
    home->texts = planned->texts;
    planned->mods = was.mods;
    planned->order = was.order;
    planned->count = was.count;
    planned->texts = was.texts;
    for (int of = 0; of < 2; of++) {
        home->features[of] = planned->features[of];
        home->feature_count[of] = planned->feature_count[of];
        planned->features[of] = was.features[of];
        planned->feature_count[of] = was.feature_count[of];
    }
}

static void swap_host(const plan *p)
{
    svi_group *home = p->home;
    svi_group_items_change(home, p->group);
    exchange(home, p->group);
    svi_hooks *old = svi_hooks_ref(svi_host_hooks(home->host));
    svi_host_set_hooks(home->host, p->group->hooks);
    svi_hooks_succeed(old, p->group->hooks);
    for (size_t i = 0; i < home->count; i++) {
        sv_mod *mod = home->mods[i];
        if (!is_successor(mod)) continue;
        sv_mod *before = svi_mod_ref(mod->before);
        before->is_replaced = true;
        mod->is_live = true;
        svi_mod_settle(mod);
        svi_mod_retire(before);
        svi_mod_unref(&before);
    }
    svi_group_stream_features(home);
    svi_hooks_unref(&p->group->hooks);
    p->group->hooks = old; /* until events have been moved */
}

static void put_files_in_place(change *c)
{
    for (size_t i = 0; i < c->how->count; i++)
        for (size_t f = 0; f < c->mods->file_count; f++) {
            if (strcmp(c->mods->files[f]->name, c->files[i]->name) != 0) continue;
            svi_mod_file *old = c->mods->files[f];
            c->mods->files[f] = svi_mod_file_ref(c->files[i]);
            svi_mod_file_unref(&old);
        }
}

static size_t count_successors(const change *c)
{
    size_t count = 0;
    for (const plan *p = c->plans; p != NULL; p = p->next)
        for (size_t i = 0; i < p->group->count; i++) count += is_successor(p->group->mods[i]);
    return count;
}

/* What was built for the answer of the old one is not sent. */
static void begin_again(sv_event *ev)
{
    svi_xevent_of(ev)->answer = NULL;
}

/* What replaces one in quarantine hears of the sessions that this has not heard of. */
static void introduce(const plan *p)
{
    for (size_t i = 0; i < p->home->count; i++) {
        sv_mod *mod = p->home->mods[i];
        if (!mod->conduct.has_missed) continue;
        mod->conduct.has_missed = false;
        svi_conduct_introduce(mod);
    }
}

static void swap(change *c, svi_mods_reloaded *done)
{
    const svi_plat *plat = svi_server_plat(c->mods->config.server);
    svi_bus *bus = svi_server_bus(c->mods->config.server);
    const int64_t from_us = plat->mono_us(plat->ctx);
    done->modules = count_successors(c);
    for (const plan *p = c->plans; p != NULL; p = p->next) swap_host(p);
    put_files_in_place(c);
    svi_bus_swap(bus, &done->events);
    for (const plan *p = c->plans; p != NULL; p = p->next) svi_hooks_succeed(p->group->hooks, NULL);
    done->swap_us = plat->mono_us(plat->ctx) - from_us;
    for (const plan *p = c->plans; p != NULL; p = p->next)
        svi_occasion(p->home->host, SVI_POINT_HOST_READY, NULL, NULL, NULL, SV_STR_NONE, NULL);
    for (const plan *p = c->plans; p != NULL; p = p->next) introduce(p);
    svi_bus_restart(bus, begin_again);
}

/* --- all -------------------------------------------------------------------------------------------- */

/* Of what was not taken over the new ones end here, of what was the old ones, as far as nothing needs them. */
static void let_plans_go(change *c)
{
    while (c->plans != NULL) {
        plan *p = c->plans;
        c->plans = p->next;
        svi_group_discard(p->group);
        svi_group_unref(&p->group);
        svi_free(p);
    }
}

static sv_status run(change *c, svi_mods_reloaded *done)
{
    const svi_plat *plat = svi_server_plat(c->mods->config.server);
    const int64_t from_us = plat->mono_us(plat->ctx);
    const sv_status status = make_ready(c);
    done->prepare_us = plat->mono_us(plat->ctx) - from_us;
    if (status == SV_OK) swap(c, done);
    let_plans_go(c);
    return status;
}

static void log_reloaded(const change *c, const svi_mods_reloaded *done)
{
    for (size_t i = 0; i < c->how->count; i++)
        SV_LOG(SV_INFO, "module-reloaded", LF_TXT("module", c->files[i]->name), LF_INT("file", c->files[i]->number),
               LF_INT("waiting", done->events.waiting), LF_INT("restarted", done->events.restarted),
               LF_INT("finishing", done->events.finishing), LF_INT("prepare_us", done->prepare_us),
               LF_INT("swap_us", done->swap_us));
}

sv_status svi_mods_reload(svi_mods *mods, const svi_mods_reloading *how,
                          svi_mods_reloaded *reloaded_out)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    SV_ASSERT(mods->is_running && how->count > 0 && how->report != NULL);
    *reloaded_out = (svi_mods_reloaded){.modules = 0};
    if (!svi_bus_is_idle(svi_server_bus(mods->config.server))) return SV_EBUSY;
    const svi_mods_config config = mods->config;
    mods->config.report = how->report;
    mods->config.report_ctx = how->report_ctx;
    change c = {.mods = mods,
                .how = how,
                .files = svi_alloc(mods->acct, how->count * sizeof(svi_mod_file *))};
    const sv_status status = run(&c, reloaded_out);
    mods->config = config;
    if (status == SV_OK) log_reloaded(&c, reloaded_out);
    for (size_t i = 0; i < how->count; i++) {
        mods->past->kept += c.files[i] != NULL && c.files[i]->script == NULL; /* either it is not used, or the one before */
        svi_mod_file_unref(&c.files[i]);
    }
    svi_free(c.files);
    return status;
}
