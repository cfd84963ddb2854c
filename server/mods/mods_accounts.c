/* Module table: names of the host's accounts. */
#include "mods/mods_api.h"

/* A read in flight. */
typedef struct listing {
    sv_mod *mod; /* a reference: the code that is called back stays */
    sv_accounts_fn done;
} listing;

static void listed(void *ctx, sv_status status, const sv_str *names, size_t count, bool more)
{
    listing *l = ctx;
    if (!l->mod->is_retired) {
        const svi_mod_visit visit = svi_mod_enter(l->mod, "accounts");
        l->done(status, names, count, more, l->mod->self);
        svi_mod_leave(&visit);
    }
    sv_mod *mod = l->mod;
    svi_free(l);
    svi_mod_end(&mod);
}

void svi_api_accounts(sv_mod *mod, sv_str after, size_t max, sv_accounts_fn done)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(done != NULL && max > 0 && mod->group->host != NULL);
    listing *l = svi_alloc(mod->group->acct, sizeof *l);
    *l = (listing){.mod = svi_mod_begin(mod), .done = done};
    svi_store_owners(svi_host_accounts(mod->group->host), after, max, listed, l);
}
