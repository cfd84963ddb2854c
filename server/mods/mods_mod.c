/* Modules on a host: their life from an empty `self` to the last thing they own. */
#include "mods/mods_engine_impl.h"

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
    if (mod->group->is_retired || mod->group->server == NULL) return visit;
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

svi_group *svi_group_bare(svi_acct *acct, const svi_plat *plat)
{
    svi_group *group = svi_alloc(acct, sizeof *group);
    group->acct = acct;
    group->refs = 1;
    group->plat = plat;
    group->texts = svi_arena_new(acct, 1024);
    return group;
}

svi_group *svi_group_new(svi_acct *acct, svi_server *server, svi_host *host)
{
    svi_group *group = svi_group_bare(acct, svi_server_plat(server));
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

void svi_group_hand_over(const svi_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        sv_mod *mod = group->mods[i];
        const sv_mod *before = svi_group_find(group->before, sv_str_of(mod->file->name));
        if (before == NULL) continue;
        if (before->file != mod->file) {
            svi_conduct_renewed(before);
            continue;
        }
        svi_conduct_hand_over(mod, before);
        SV_ASSERT(mod->memory->blocks.first == NULL); /* it has not seen a session yet */
        memory_unref(&mod->memory);
        mod->memory = before->memory;
        mod->memory->refs++;
    }
}

/* --- adding and comparing --------------------------------------------------------------------------- */

sv_mod *svi_group_find(const svi_group *group, sv_str name)
{
    for (size_t i = 0; i < group->count; i++)
        if (sv_str_eq(sv_str_of(group->mods[i]->file->name), name)) return group->mods[i];
    return NULL;
}

void svi_mod_filled(sv_mod *mod)
{
    const sv_module_desc *desc = &mod->file->desc;
    svi_options_keep(desc->options, desc->option_stride, mod->self, mod->group->texts);
    mod->filled = svi_arena_get(mod->group->texts, desc->self_size);
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

/* Those of the generation before it, or new ones. */
static svi_costs *costs_for(const svi_group *group, const svi_mod_file *file)
{
    const sv_mod *before =
        group->before != NULL ? svi_group_find(group->before, sv_str_of(file->name)) : NULL;
    return before != NULL ? svi_costs_ref(before->costs) : svi_costs_new(group->acct, file->name);
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

sv_mod *svi_group_add(svi_group *group, svi_mod_file *file, const svi_value *place)
{
    sv_mod *mod = svi_alloc(group->acct, sizeof *mod);
    mod->magic = SVI_MOD_MAGIC;
    mod->group = group;
    mod->file = svi_mod_file_ref(file);
    mod->place = place;
    mod->costs = costs_for(group, file);
    mod->acct.name = mod->file->name;
    mod->acct.whole = &mod->costs->acct;
    mod->memory = memory_new(group->acct, mod->costs);
    find_metrics(mod);
    mod->self = svi_alloc(&mod->acct, file->desc.self_size);
    mod->stanzas = svi_dict_new(&mod->acct);
    group->mods = svi_realloc(group->acct, group->mods, (group->count + 1) * sizeof(sv_mod *));
    group->mods[group->count++] = mod;
    return mod;
}

void svi_group_retire(svi_group *group)
{
    group->is_retired = true;
    for (size_t i = 0; i < group->count; i++) {
        sv_mod *mod = group->mods[i];
        if (mod->provider) svi_provider_retire(mod->provider, group->is_ending ? SV_ECANCELED : SV_EIO);
        svi_watches_drop(mod);
        while (mod->timers != NULL) {
            sv_timer *timer = mod->timers;
            mod->timers = timer->next;
            svi_timer_cancel(&timer->timer);
            svi_free(timer);
        }
    }
}

static void stop(sv_mod *mod)
{
    svi_engine_part_rest(mod->engine);
    if (!mod->is_started) return;
    mod->is_started = false;
    if (mod->file->desc.stop == NULL) return;
    const svi_mod_visit visit = svi_mod_enter(mod, "stop");
    mod->file->desc.stop(mod->self);
    svi_mod_leave(&visit);
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

static void mod_free(sv_mod *mod)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(mod->timers == NULL && mod->watches == NULL && !mod->is_started);
    svi_provider_free(&mod->provider);
    drop_stanzas(mod);
    memory_unref(&mod->memory);
    while (mod->stores != NULL) {
        sv_store *store = mod->stores;
        mod->stores = store->next;
        svi_map_leave(&store->use);
        svi_str_free(&store->swept);
        store->magic = 0;
        svi_free(store);
    }
    svi_str_free(&mod->stream_feature);
    svi_conduct_end(mod);
    svi_blocks_drop(mod);
    svi_items_drop(mod);
    svi_engine_part_close(&mod->engine);
    svi_free(mod->self);
    SV_ASSERT(atomic_load(&mod->acct.live_count) == 0); /* all that was counted to it is gone */
    svi_free(mod->metrics);
    svi_costs_unref(&mod->costs);
    svi_mod_file_unref(&mod->file);
    mod->magic = 0;
    svi_free(mod);
}

void svi_group_unref(svi_group **group)
{
    svi_group *g = *group;
    *group = NULL;
    if (g == NULL) return;
    SV_ASSERT(g->refs > 0);
    if (--g->refs > 0) return;
    svi_group_retire(g);
    if (svi_engines_end(g)) svi_group_finish(g);
}

void svi_group_finish(svi_group *g)
{
    SV_ASSERT(g->refs == 0);
    for (size_t i = g->count; i > 0; i--) stop(g->order != NULL ? g->order[i - 1] : g->mods[i - 1]);
    for (size_t i = g->count; i > 0; i--) mod_free(g->mods[i - 1]);
    svi_overlays_drop(g);
    svi_dict_free(&g->changed_items);
    svi_free(g->mods);
    svi_free(g->order);
    svi_free(g->features[false]);
    svi_free(g->features[true]);
    svi_arena_free(&g->texts);
    svi_str_free(&g->host_name);
    svi_free(g);
}
