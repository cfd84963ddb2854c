/* Modules on a host: their life from an empty `self` to the last thing they own. */
#include "mods/mods_impl.h"

svi_exec svi_mod_enter(const sv_mod *mod, const char *hook)
{
    svi_plat_enter(mod->group->plat);
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    now->module = mod->file->name;
    now->hook = hook;
    now->host = mod->group->host_name.p;
    now->stanza = 0;
    now->head = NULL;
    return saved;
}

void svi_mod_leave(const svi_exec *saved)
{
    *svi_exec_now() = *saved;
}

svi_group *svi_group_new(svi_acct *acct, svi_server *server, svi_host *host)
{
    svi_group *group = svi_alloc(acct, sizeof *group);
    group->acct = acct;
    group->refs = 1;
    group->server = server;
    group->host = host;
    group->plat = svi_server_plat(server);
    group->host_name = svi_str_dup(acct, svi_host_domain(host));
    return group;
}

svi_group *svi_group_ref(svi_group *group)
{
    SV_ASSERT(group->refs > 0);
    group->refs++;
    return group;
}

sv_mod *svi_group_add(svi_group *group, svi_mod_file *file, const svi_value *place)
{
    sv_mod *mod = svi_alloc(group->acct, sizeof *mod);
    mod->magic = SVI_MOD_MAGIC;
    mod->group = group;
    mod->file = svi_mod_file_ref(file);
    mod->place = place;
    mod->acct.name = mod->file->name;
    mod->blocks.acct = &mod->acct;
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
        svi_provider_free(&mod->provider);
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
    if (!mod->is_started) return;
    mod->is_started = false;
    if (mod->file->desc.stop == NULL) return;
    const svi_exec saved = svi_mod_enter(mod, "stop");
    mod->file->desc.stop(mod->self);
    svi_mod_leave(&saved);
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
    SV_ASSERT(mod->timers == NULL && !mod->is_started);
    drop_stanzas(mod);
    svi_session_data_drop(&mod->blocks);
    while (mod->stores != NULL) {
        sv_store *store = mod->stores;
        mod->stores = store->next;
        svi_str_free(&store->swept);
        store->magic = 0;
        svi_free(store);
    }
    svi_str_free(&mod->stream_feature);
    svi_free(mod->self);
    SV_ASSERT(atomic_load(&mod->acct.live_count) == 0); /* all that was counted to it is gone */
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
    for (size_t i = g->count; i > 0; i--) stop(g->order != NULL ? g->order[i - 1] : g->mods[i - 1]);
    for (size_t i = g->count; i > 0; i--) mod_free(g->mods[i - 1]);
    svi_overlays_drop(g);
    svi_free(g->mods);
    svi_free(g->order);
    svi_free(g->features[false]);
    svi_free(g->features[true]);
    svi_str_free(&g->host_name);
    svi_free(g);
}
