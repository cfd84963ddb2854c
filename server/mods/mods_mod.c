/* Modules on a host: their life from an empty `self` to the last thing they own. */
#include "mods/mods_engine_impl.h"
#include "mods/mods_script.h"

#include "base/base_log.h"

svi_mod_visit svi_mod_blame(const sv_mod *mod, const char *hook)
{
    svi_plat_enter(mod->group->plat);
    svi_exec *now = svi_exec_now();
    svi_mod_visit visit = {.saved = *now};
    now->module = mod->file->name;
    now->hook = hook;
    now->host = mod->group->host != NULL ? mod->group->host_name.p : NULL;
    now->stanza = 0;
    now->head = NULL;
    return visit;
}

svi_mod_visit svi_mod_enter(const sv_mod *mod, const char *hook)
{
    svi_mod_visit visit = svi_mod_blame(mod, hook);
    if (mod->is_retired || mod->group->server == NULL) return visit;
    svi_hook_stats *const stats = svi_costs_line(mod->costs, hook);
    stats->callbacks++;
    visit.bus = svi_server_bus(mod->group->server);
    visit.outer = svi_bus_enter_timed(visit.bus, stats);
    return visit;
}

void svi_mod_leave(const svi_mod_visit *visit)
{
    if (visit->bus != NULL) svi_bus_leave(visit->bus, visit->outer);
    *svi_exec_now() = visit->saved;
}

/* --- what was replaced ------------------------------------------------------------------------------ */

svi_past *svi_past_new(svi_acct *acct)
{
    svi_past *past = svi_alloc(acct, sizeof *past);
    past->acct = acct;
    past->refs = 1;
    return past;
}

svi_past *svi_past_ref(svi_past *past)
{
    SV_ASSERT(past->refs > 0);
    past->refs++;
    return past;
}

void svi_past_unref(svi_past **past)
{
    svi_past *p = *past;
    *past = NULL;
    if (p == NULL) return;
    SV_ASSERT(p->refs > 0);
    if (--p->refs > 0) return;
    SV_ASSERT(p->draining == NULL && p->shadows == NULL);
    svi_free(p);
}

static void begin_to_drain(sv_mod *mod)
{
    svi_past *past = mod->group->past;
    mod->older = past->draining;
    mod->link = &past->draining;
    if (mod->older != NULL) mod->older->link = &mod->older;
    past->draining = mod;
}

static void has_drained(sv_mod *mod)
{
    if (mod->link == NULL) return;
    *mod->link = mod->older;
    if (mod->older != NULL) mod->older->link = mod->link;
    mod->group->past->retired++;
}

/* --- groups ----------------------------------------------------------------------------------------- */

svi_group *svi_group_bare(svi_acct *acct, const svi_plat *plat)
{
    svi_group *group = svi_alloc(acct, sizeof *group);
    group->acct = acct;
    group->refs = 1;
    group->plat = plat;
    return group;
}

svi_group *svi_group_new(svi_acct *acct, svi_past *past, svi_server *server, svi_host *host)
{
    svi_group *group = svi_group_bare(acct, svi_server_plat(server));
    group->past = svi_past_ref(past);
    group->probe = past->probe;
    group->server = server;
    group->host = host;
    group->host_name = svi_str_dup(acct, svi_host_domain(host));
    return group;
}

svi_group *svi_group_ref(svi_group *group)
{
    SV_ASSERT(group->refs > 0);
    group->refs++;
    return group;
}

void svi_group_put(svi_group *group, sv_mod *take)
{
    group->mods = svi_realloc(group->acct, group->mods, (group->count + 1) * sizeof(sv_mod *));
    group->mods[group->count++] = take;
}

static void let_mods_go(svi_group *group)
{
    sv_mod **const mods = group->order != NULL ? group->order : group->mods;
    for (size_t i = group->count; i > 0; i--) svi_mod_unref(&mods[i - 1]);
    svi_free(group->mods);
    svi_free(group->order);
    group->mods = group->order = NULL;
    group->count = 0;
}

void svi_group_let_go(svi_group *group)
{
    svi_group_discard(group);
    for (size_t i = group->count; i > 0; i--) svi_mod_retire(group->mods[i - 1]);
    let_mods_go(group);
}

void svi_group_unref(svi_group **group)
{
    svi_group *g = *group;
    *group = NULL;
    if (g == NULL) return;
    SV_ASSERT(g->refs > 0);
    if (--g->refs > 0) return;
    SV_ASSERT(g->overlays == NULL);
    svi_dict_free(&g->changed_items);
    let_mods_go(g); /* of a plan: they are another group's */
    svi_hooks_unref(&g->hooks);
    svi_hooks_unref(&g->newcomers);
    if (g->texts != NULL) svi_arena_free(&g->texts);
    svi_past_unref(&g->past);
    svi_str_free(&g->host_name);
    svi_free(g);
}

/* --- memory on sessions ----------------------------------------------------------------------------- */

static svi_mod_memory *memory_new(svi_acct *acct, svi_costs *costs)
{
    svi_mod_memory *memory = svi_alloc(acct, sizeof *memory);
    memory->refs = 1;
    memory->acct.name = costs->acct.name;
    memory->acct.whole = &costs->acct;
    memory->costs = svi_costs_ref(costs);
    memory->blocks.acct = &memory->acct;
    return memory;
}

static void memory_unref(svi_mod_memory **memory)
{
    svi_mod_memory *m = *memory;
    *memory = NULL;
    if (--m->refs > 0) return;
    svi_session_data_drop(&m->blocks);
    SV_ASSERT(atomic_load(&m->acct.live_count) == 0);
    svi_costs_unref(&m->costs);
    svi_free(m);
}

/* Shares its memory on sessions, and its tables. */
static void follow(sv_mod *mod, sv_mod *before)
{
    if (before == NULL) return;
    SV_ASSERT(mod->before == NULL && mod->memory->blocks.first == NULL);
    memory_unref(&mod->memory);
    mod->memory = before->memory;
    mod->memory->refs++;
    mod->before = svi_mod_ref(before);
    mod->generation = before->generation + 1;
}

/* --- adding and comparing --------------------------------------------------------------------------- */

sv_mod *svi_group_find(const svi_group *group, sv_str name)
{
    for (size_t i = 0; group != NULL && i < group->count; i++)
        if (sv_str_eq(sv_str_of(group->mods[i]->file->name), name)) return group->mods[i];
    return NULL;
}

void svi_mod_filled(sv_mod *mod)
{
    const sv_module_desc *desc = &mod->file->desc;
    svi_options_keep(desc->options, desc->option_stride, mod->self, mod->texts);
    mod->filled = svi_arena_get(mod->texts, desc->self_size);
    if (desc->self_size > 0) memcpy(mod->filled, mod->self, desc->self_size);
}

static bool is_same_mod(const sv_mod *a, const sv_mod *b)
{
    const sv_module_desc *desc = &a->file->desc;
    return a->file == b->file &&
           svi_options_same(desc->options, desc->option_stride, a->filled, b->filled);
}

void svi_group_compare(svi_group *group)
{
    const svi_group *before = group->before;
    for (size_t i = 0; i < group->count; i++)
        group->mods[i]->is_new =
            before == NULL || !svi_group_find(before, sv_str_of(group->mods[i]->file->name));
    group->is_same = before != NULL && before->count == group->count;
    for (size_t i = 0; i < group->count && group->is_same; i++)
        group->is_same = is_same_mod(group->mods[i], before->mods[i]);
}

static void find_metrics(sv_mod *mod)
{
    const sv_module_desc *desc = &mod->file->desc;
    size_t count = 0;
    while (svi_metric_at(desc, count) != NULL) count++;
    if (count == 0) return;
    mod->metrics = svi_alloc(mod->group->acct, count * sizeof *mod->metrics);
    mod->metric_count = count;
    for (size_t i = 0; i < count; i++)
        mod->metrics[i] = svi_costs_metric(mod->costs, svi_metric_at(desc, i)->name);
}

/* --- life of a module ------------------------------------------------------------------------------- */

sv_mod *svi_mod_new(svi_group *home, svi_mod_file *file, const svi_value *place, sv_mod *before)
{
    sv_mod *mod = svi_alloc(home->acct, sizeof *mod);
    mod->magic = SVI_MOD_MAGIC;
    mod->refs = 1;
    mod->generation = 1;
    mod->group = svi_group_ref(home);
    mod->file = svi_mod_file_ref(file);
    mod->place = place;
    mod->acct.name = mod->file->name;
    mod->texts = svi_arena_new(home->acct, 256);
    mod->costs = before != NULL ? svi_costs_ref(before->costs) : svi_costs_new(home->acct, file->name);
    mod->acct.whole = &mod->costs->acct;
    mod->memory = memory_new(home->acct, mod->costs);
    find_metrics(mod);
    mod->self = svi_alloc(&mod->acct, file->desc.self_size);
    if (file->script != NULL) svi_script_bind(file->script, mod, mod->self);
    mod->stanzas = svi_dict_new(&mod->acct);
    follow(mod, before);
    return mod;
}

sv_mod *svi_mod_ref(sv_mod *mod)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(mod->refs > 0);
    mod->refs++;
    return mod;
}

void svi_mod_retire(sv_mod *mod)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    if (mod->is_retired) return;
    if (mod->trial != NULL) svi_trial_live_ends(mod);
    if (mod->has_run) begin_to_drain(mod);
    mod->is_retired = true;
    mod->is_live = false;
    if (mod->provider)
        svi_provider_retire(mod->provider, mod->group->is_ending ? SV_ECANCELED : SV_EIO);
    svi_watches_drop(mod);
    if (mod->file->script != NULL) svi_script_rest(mod->self);
    while (mod->timers != NULL) {
        sv_timer *timer = mod->timers;
        mod->timers = timer->next;
        svi_timer_cancel(&timer->timer);
        svi_free(timer);
    }
}

sv_mod *svi_mod_begin(sv_mod *mod)
{
    mod->in_flight++;
    return svi_mod_ref(mod);
}

void svi_mod_end(sv_mod **mod)
{
    SV_ASSERT((*mod)->in_flight > 0);
    (*mod)->in_flight--;
    svi_mod_unref(mod);
}

bool svi_mod_may_write(const sv_mod *mod, const sv_event *ev)
{
    if (!mod->is_replaced || (ev != NULL && mod->acting == ev)) return true;
    SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", "a replaced generation writes in its own waiting event only"),
           LF_TXT("module", mod->file->name), LF_INT("generation", mod->generation));
    return false;
}

static void stop(sv_mod *mod)
{
    svi_engine_part_rest(mod->engine);
    if (mod->is_started && mod->file->desc.stop != NULL) {
        const svi_mod_visit visit = svi_mod_enter(mod, "stop");
        mod->file->desc.stop(mod->self);
        svi_mod_leave(&visit);
    }
    mod->is_started = false;
    svi_mod_file_leave(mod);
}

/* It was refused, or another one with it: what it began ends now, and what it changed for others is as it was, though an answer
 * on its way may keep its memory. The threads of an engine end first (svi_engine_end). */
static void discard(sv_mod *mod)
{
    svi_mod_retire(mod);
    if (mod->engine != NULL) return;
    stop(mod);
    svi_tables_drop(mod);
    svi_overlays_drop(mod);
}

void svi_group_discard(svi_group *group)
{
    sv_mod **const mods = group->order != NULL ? group->order : group->mods;
    for (size_t i = group->count; i > 0; i--)
        if (!mods[i - 1]->has_run) discard(mods[i - 1]);
}

static void drop_stanzas(sv_mod *mod)
{
    size_t pos = 0;
    sv_str key;
    void *value;
    while (svi_dict_next(mod->stanzas, &pos, &key, &value)) {
        for (uintptr_t n = (uintptr_t)value; n > 0; n--) {
            sv_stanza *stanza;
            memcpy(&stanza, key.p, sizeof stanza);
            svi_stanza_unref(&stanza);
        }
    }
    svi_dict_free(&mod->stanzas);
}

static void drop_stores(sv_mod *mod)
{
    while (mod->stores != NULL) {
        sv_store *store = mod->stores;
        mod->stores = store->next;
        svi_map_leave(&store->use);
        svi_str_free(&store->swept);
        store->magic = 0;
        svi_free(store);
    }
}

void *svi_mod_hook_self(const sv_mod *mod, size_t i)
{
    return mod->file->script != NULL ? svi_script_hook_self(mod->self, i) : mod->self;
}

void *svi_mod_command_self(const sv_mod *mod, size_t i)
{
    return mod->file->script != NULL ? svi_script_command_self(mod->self, i) : mod->self;
}

static void mod_free(sv_mod *mod)
{
    if (mod->file->script != NULL) svi_script_unbind(mod->self);
    if (mod->tries != NULL) svi_trial_gone(mod);
    SV_ASSERT(mod->timers == NULL && mod->watches == NULL && !mod->is_started && mod->in_flight == 0);
    svi_mod_unref(&mod->before);
    svi_blob_free(&mod->saved);
    svi_provider_free(&mod->provider);
    svi_overlays_drop(mod);
    drop_stanzas(mod);
    svi_tables_drop(mod);
    memory_unref(&mod->memory);
    svi_archives_drop(mod);
    drop_stores(mod);
    svi_str_free(&mod->stream_feature);
    svi_conduct_end(mod);
    svi_blocks_drop(mod);
    svi_items_drop(mod);
    svi_engine_part_close(&mod->engine);
    svi_free(mod->self);
    svi_arena_free(&mod->texts);
    SV_ASSERT(atomic_load(&mod->acct.live_count) == 0); /* all that was counted to it is gone */
    svi_free(mod->metrics);
    svi_costs_unref(&mod->costs);
    has_drained(mod);
    svi_mod_file_unref(&mod->file);
    svi_group_unref(&mod->group);
    mod->magic = 0;
    svi_free(mod);
}

void svi_mod_unref(sv_mod **mod)
{
    sv_mod *m = *mod;
    *mod = NULL;
    if (m == NULL) return;
    SV_CHECK(m, SVI_MOD_MAGIC);
    SV_ASSERT(m->refs > 0);
    if (--m->refs > 0) return;
    svi_mod_retire(m);
    if (svi_engine_end(m)) svi_mod_finish(m);
}

void svi_mod_finish(sv_mod *mod)
{
    SV_ASSERT(mod->refs == 0);
    stop(mod);
    mod_free(mod);
}
