/* Hosts: the domains that are served here, each with its hooks, accounts and counts. */
#include "xmpp/xmpp_recorder.h"

#define ACCOUNTS_SCHEMA 1u

static void drop_admins(svi_host *host)
{
    for (size_t i = 0; i < host->admin_count; i++) svi_str_free(&host->admins[i]);
    svi_free(host->admins);
    host->admins = NULL;
    host->admin_count = 0;
}

static void host_free(svi_host *host)
{
    svi_removals_free(host);
    svi_logins_free(host);
    svi_ledger_forget_host(host->server->ledger, &host->counts);
    if (host->detach != NULL) host->detach(host->attached);
    svi_hooks_unref(&host->hooks);
    svi_str_free(&host->features);
    svi_hooks_unref(&host->newcomers);
    drop_admins(host);
    svi_str_free(&host->domain);
    host->magic = 0;
    svi_free(host);
}

void svi_hosts_free(svi_server *server)
{
    while (server->known != NULL) {
        svi_host *host = server->known;
        server->known = host->known_next;
        host_free(host);
    }
}

static void copy_admins(svi_host *host, const svi_host_config *config)
{
    if (config->admin_count == 0) return;
    host->admins = svi_alloc(host->server->acct, config->admin_count * sizeof(sv_str));
    host->admin_count = config->admin_count;
    for (size_t i = 0; i < config->admin_count; i++)
        host->admins[i] = svi_str_dup(host->server->acct, config->admins[i]);
}

static sv_status host_new(svi_server *server, sv_str domain, svi_host **host_out, sv_err *err)
{
    svi_host *host = svi_alloc(server->acct, sizeof *host);
    *host = (svi_host){.magic = SVI_HOST_MAGIC,
                       .server = server,
                       .domain = svi_str_dup(server->acct, domain)};
    host->sessions_end = &host->sessions;
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_str name = svi_arena_printf(server->scratch, "%.*s/accounts", (int)domain.n, domain.p);
    sv_status status = svi_store_map(server->store, name, ACCOUNTS_SCHEMA, &host->accounts, err);
    svi_arena_reset(server->scratch, mark);
    if (status == SV_OK) status = svi_removals_open(host, err);
    if (status == SV_OK) status = svi_records_open(host, err);
    if (status == SV_OK) status = svi_logins_open(host, err);
    if (status == SV_OK) status = svi_hooks_build(server->acct, NULL, 0, &host->hooks, err);
    if (status != SV_OK) {
        host_free(host);
        return status;
    }
    *host_out = host;
    return SV_OK;
}

sv_status svi_host_prepare(svi_server *server, sv_str domain, svi_host **host_out, sv_err *err)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    *host_out = svi_host_known(server, domain);
    if (*host_out != NULL) return SV_OK;
    const sv_status status = host_new(server, domain, host_out, err);
    if (status != SV_OK) return status;
    (*host_out)->known_next = server->known;
    server->known = *host_out;
    return SV_OK;
}

/* Recipients that were looked up before are looked up again. */
static void hosts_changed(svi_server *server)
{
    server->recent_host = NULL;
    server->tables++;
}

static void list_host(svi_host *host)
{
    svi_host **end = &host->server->hosts;
    while (*end != NULL) end = &(*end)->next;
    *end = host;
    host->next = NULL;
    host->is_served = host->was_served = true;
    svi_dict_put(host->server->by_domain, host->domain, host);
    hosts_changed(host->server);
}

static bool same_admins(const svi_host *host, const svi_host_config *config)
{
    if (host->admin_count != config->admin_count) return false;
    for (size_t i = 0; i < config->admin_count; i++)
        if (!sv_str_eq(host->admins[i], config->admins[i])) return false;
    return true;
}

static bool is_served_like(const svi_host *host, const svi_host_config *config)
{
    return host->is_served && host->requires_tls == config->require_tls &&
           host->logins == config->logins && host->guests_max == config->guests_max &&
           host->keeps_addresses == config->keeps_addresses &&
           same_admins(host, config);
}

bool svi_host_serve(svi_host *host, const svi_host_config *config)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (is_served_like(host, config)) return false;
    const bool is_other = host->was_served && host->logins != config->logins;
    drop_admins(host);
    copy_admins(host, config);
    host->requires_tls = config->require_tls;
    host->logins = config->logins;
    host->guests_max = config->guests_max;
    host->keeps_addresses = config->keeps_addresses;
    if (config->logins != SVI_LOGINS_ACCOUNTS) host->has_had_guests = true;
    if (!host->is_served) list_host(host);
    if (is_other) svi_host_sweep(host);
    return true;
}

void svi_host_retire(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (!host->is_served) return;
    svi_host **at = &host->server->hosts;
    while (*at != host) at = &(*at)->next;
    *at = host->next;
    host->next = NULL;
    host->is_served = false;
    void *was = svi_dict_del(host->server->by_domain, host->domain);
    SV_ASSERT(was == host);
    hosts_changed(host->server);
    svi_host_sweep(host);
    svi_host_rest(host);
}

sv_status svi_host_add(svi_server *server, const svi_host_config *config, svi_host **host_out,
                       sv_err *err)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    const sv_str domain = config->domain;
    if (svi_dict_get(server->by_domain, domain) != NULL)
        return svi_err(err, SV_EEXIST, "there is a host %.*s already", (int)domain.n, domain.p);
    const sv_status status = svi_host_prepare(server, domain, host_out, err);
    if (status == SV_OK) svi_host_serve(*host_out, config);
    return status;
}

svi_host *svi_host_find(svi_server *server, sv_str domain)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_host *recent = server->recent_host;
    if (recent != NULL && sv_str_eq(recent->domain, domain)) return recent;
    svi_host *host = svi_dict_get(server->by_domain, domain);
    if (host != NULL) server->recent_host = host;
    return host;
}

svi_host *svi_host_known(svi_server *server, sv_str domain)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_host *host = server->known;
    while (host != NULL && !sv_str_eq(host->domain, domain)) host = host->known_next;
    return host;
}

svi_host *svi_host_next_known(svi_server *server, svi_host *after)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return after != NULL ? after->known_next : server->known;
}

sv_str svi_host_admin_at(const svi_host *host, size_t i)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return i < host->admin_count ? host->admins[i] : SV_STR_NONE;
}

size_t svi_host_guest_count(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->guests;
}

bool svi_host_is_served(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->is_served;
}

bool svi_host_was_served(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->was_served;
}

size_t svi_host_session_count(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->session_count;
}

svi_host *svi_host_next(svi_server *server, svi_host *after)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return after != NULL ? after->next : server->hosts;
}

void svi_host_set_hooks(svi_host *host, svi_hooks *hooks)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(hooks != NULL);
    svi_hooks *old = host->hooks;
    host->hooks = svi_hooks_ref(hooks);
    svi_hooks_unref(&old);
    svi_hooks_unref(&host->newcomers); /* gone themselves */
}

void svi_host_set_features(svi_host *host, sv_str xml)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_str_free(&host->features);
    host->features = svi_str_dup(host->server->acct, xml);
}

sv_str svi_host_features(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->features;
}

void svi_host_change_hooks(svi_host *host, svi_hooks *hooks, svi_hooks *newcomers)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_host_sweep_out(host); /* the newcomers of the change before come to know all */
    svi_host_set_hooks(host, hooks);
    if (newcomers == NULL) return;
    host->newcomers = svi_hooks_ref(newcomers);
    host->newcomers_after = 0;
    svi_host_sweep(host);
}

void svi_host_introduce(svi_host *host, svi_hooks *newcomers, uint64_t after)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(newcomers != NULL);
    svi_host_sweep_out(host);
    host->newcomers = svi_hooks_ref(newcomers);
    host->newcomers_after = after;
    svi_host_sweep(host);
}

bool svi_host_is_closed(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return svi_hooks_are_closed(host->hooks, SVI_POINT_SESSION_BOUND);
}

svi_hooks *svi_host_hooks(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->hooks;
}

sv_str svi_host_domain(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->domain;
}

const char *svi_host_name(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->domain.p;
}

svi_server *svi_host_server(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->server;
}

svi_ledger_counts *svi_host_ledger(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return &host->counts;
}

bool svi_host_requires_tls(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->requires_tls;
}

svi_logins svi_host_logins(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->logins;
}

bool svi_host_has_had_guests(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->has_had_guests;
}

bool svi_host_guest_enters(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (host->guests >= host->guests_max) return false;
    host->guests++;
    return true;
}

void svi_host_guest_leaves(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(host->guests > 0);
    host->guests--;
}

bool svi_host_is_admin(const svi_host *host, sv_str bare_jid)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    for (size_t i = 0; i < host->admin_count; i++)
        if (sv_str_eq(host->admins[i], bare_jid)) return true;
    return false;
}

svi_map *svi_host_accounts(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->accounts;
}

void svi_host_attach(svi_host *host, void *part, void (*detach)(void *part))
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(host->attached == NULL && detach != NULL);
    host->attached = part;
    host->detach = detach;
}

void *svi_host_attached(const svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return host->attached;
}
