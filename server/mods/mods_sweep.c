/* Module table: going round through all owners of a map, a few at a time. */
#include "mods/mods_api.h"

#include "xmpp/xmpp_jid.h"

enum { OWNERS_A_STEP = 32 };

/* A list of owners on its way. */
typedef struct step {
    sv_mod *mod; /* a reference: the store stays */
    sv_store *store;
} step;

static void fire_for(svi_host *host, const sv_store *store, sv_str owner)
{
    const svi_group *group = store->mod->group;
    svi_buf text;
    svi_buf_init(&text, group->acct);
    svi_arena *arena = svi_arena_new(group->acct, 512);
    const sv_jid account = svi_jid_make(arena, owner, group->host_name, SV_STR_NONE);
    svi_buf_printf(&text, "%s/%s", store->mod->file->name, store->name);
    svi_occasion(host, SVI_POINT_STORE_SWEEP, &account, NULL, NULL, svi_buf_str(&text), NULL);
    svi_arena_free(&arena);
    svi_buf_free(&text);
}

static void remember(sv_store *store, sv_str last)
{
    svi_str_free(&store->swept);
    if (last.n > 0) store->swept = svi_str_dup(&store->mod->acct, last);
}

/* The host may have gone while the list was read, or the module with its generation. */
static void owners_came(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    step *s = ctx;
    sv_mod *mod = s->mod;
    sv_store *store = s->store;
    svi_free(s);
    store->is_sweeping = false;
    svi_host *host = status == SV_OK && !mod->is_retired
                         ? svi_host_find(mod->group->server, mod->group->host_name)
                         : NULL;
    if (host != NULL) {
        remember(store, more && count > 0 ? owners[count - 1] : SV_STR_NONE);
        for (size_t i = 0; i < count; i++) fire_for(host, store, owners[i]);
    }
    svi_mod_end(&mod);
}

void svi_sweep_step(sv_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (store->is_sweeping) return; /* a slow disk makes the round slower */
    store->is_sweeping = true;
    step *s = svi_alloc(store->mod->group->acct, sizeof *s);
    *s = (step){.mod = svi_mod_begin(store->mod), .store = store};
    svi_store_owners(store->map, store->swept, OWNERS_A_STEP, owners_came, s);
}
