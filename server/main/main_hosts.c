/* What the running server tells of its hosts, those included that a reload has removed. */
#include "main/main_hosts.h"

#include "main/main_command.h"

static const char *state_of(const svi_host *host)
{
    return svi_host_is_served(host) ? "served" : "removed";
}

static const char *logins_of(const svi_host *host)
{
    static const char *const names[] = {[SVI_LOGINS_ACCOUNTS] = "accounts",
                                        [SVI_LOGINS_GUESTS] = "anonymous",
                                        [SVI_LOGINS_BOTH] = "both"};
    return names[svi_host_logins(host)];
}

/* --- list ------------------------------------------------------------------------------------------- */

static void list_one(svi_request *request, svi_host *host)
{
    svi_request_field(request, "host", svi_host_domain(host));
    svi_request_field(request, "state", sv_str_of(state_of(host)));
    svi_request_field_int(request, "sessions", (int64_t)svi_host_session_count(host));
    svi_request_field(request, "authentication", sv_str_of(logins_of(host)));
}

/* The next that has been served: those that are, in order, then those that are not any more. */
static svi_host *next_of(svi_server *server, svi_host *after)
{
    svi_host *host = NULL;
    if (after == NULL || svi_host_is_served(after)) {
        host = svi_host_next(server, after);
        if (host != NULL) return host;
        after = NULL;
    }
    host = svi_host_next_known(server, after);
    while (host != NULL && (svi_host_is_served(host) || !svi_host_was_served(host)))
        host = svi_host_next_known(server, host);
    return host;
}

/* A page begins behind the host that the last one ended with. */
void svi_command_host_list(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_server *server = svi_request_server(request);
    const sv_str from = svi_request_from(request);
    svi_host *last = from.n > 0 ? svi_host_known(server, from) : NULL;
    for (svi_host *host = next_of(server, last); host != NULL; host = next_of(server, host)) {
        if (!svi_request_record(request)) {
            svi_request_more(request, svi_host_domain(last));
            return;
        }
        list_one(request, host);
        last = host;
    }
    svi_request_answer(request);
}

/* --- show ------------------------------------------------------------------------------------------- */

static void show_modules(svi_commands *commands, svi_request *request, const svi_host *host)
{
    svi_mod_info m;
    const svi_mods *mods = svi_shard_mods(svi_commands_shard(commands));
    for (size_t i = 0; svi_mods_info(mods, i, &m); i++)
        if (sv_str_eq(sv_str_of(m.host), svi_host_domain(host)))
            svi_request_field(request, "modules", sv_str_of(m.name));
}

void svi_command_host_show(svi_commands *commands, svi_request *request)
{
    svi_host *host = svi_request_args(request)->host;
    const bool has_room = svi_request_record(request);
    SV_ASSERT(has_room); /* it is the first */
    list_one(request, host);
    svi_request_field_int(request, "guests", (int64_t)svi_host_guest_count(host));
    svi_request_field_int(request, "require-tls", svi_host_requires_tls(host));
    show_modules(commands, request, host);
    sv_str admin;
    for (size_t i = 0; (admin = svi_host_admin_at(host, i)).n > 0; i++)
        svi_request_field(request, "admins", admin);
    svi_request_answer(request);
}
