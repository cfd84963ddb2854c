/* Commands of operators: which there are, and what the running server tells of itself. */
#include "main/main_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_cli.h"
#include "main/main_users.h"
#include "xmpp/xmpp_session.h"

#define MAGIC 0x434d4453u

struct svi_commands {
    uint32_t magic;
    svi_commands_config config;
    svi_users *users;
    int64_t began_us;
};

svi_commands *svi_commands_new(const svi_commands_config *config)
{
    svi_commands *commands = svi_alloc(svi_shard_acct(config->shard), sizeof *commands);
    const svi_plat *plat = svi_plat_kernel();
    *commands = (svi_commands){.magic = MAGIC,
                               .config = *config,
                               .users = svi_users_new(config->shard),
                               .began_us = plat->mono_us(plat->ctx)};
    return commands;
}

void svi_commands_free(svi_commands **commands)
{
    if (!*commands) return;
    SV_CHECK(*commands, MAGIC);
    svi_users_free(&(*commands)->users);
    (*commands)->magic = 0;
    svi_free(*commands);
    *commands = NULL;
}

json_t *svi_answer_error(const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *answer = json_pack("{s:b, s:s}", "ok", 0, "error", text);
    return answer ? answer
                  : json_pack("{s:b, s:s}", "ok", 0, "error", "the request holds broken UTF-8");
}

/* --- status ------------------------------------------------------------------------------------------- */

static json_int_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";
    if (file && fgets(line, sizeof line, file)) {
        sv_str rest = sv_str_of(line), word;
        int64_t number = 0;
        (void)svi_str_split(&rest, ' ', &word); /* size; then what is resident */
        if (svi_str_split(&rest, ' ', &word) && svi_str_int(word, 0, INT64_MAX, &number) == SV_OK)
            pages = number;
    }
    if (file) (void)fclose(file);
    return (json_int_t)pages * sysconf(_SC_PAGESIZE);
}

static json_t *ledger_status(const svi_ledger *ledger)
{
    const svi_ledger_counts *all = svi_ledger_total(ledger);
    json_t *json = json_object();
    for (int i = 0; i < SVI_ORIGINS; i++)
        (void)json_object_set_new(json, svi_origin_name((svi_origin)i),
                                  json_integer((json_int_t)all->origin[i]));
    for (int i = 0; i < SVI_DISPOSALS; i++)
        (void)json_object_set_new(json, svi_disposal_name((svi_disposal)i),
                                  json_integer((json_int_t)all->disposal[i]));
    (void)json_object_set_new(json, "in-flight",
                              json_integer((json_int_t)svi_ledger_in_flight(ledger)));
    (void)json_object_set_new(json, "balanced", json_boolean(svi_ledger_balances(ledger)));
    return json;
}

static json_t *store_status(const svi_store *store)
{
    svi_store_stats s;
    svi_store_stats_get(store, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "submitted",
                     (json_int_t)svi_store_submitted(store), "committed",
                     (json_int_t)svi_store_committed(store), "batches", (json_int_t)s.batches,
                     "folds", (json_int_t)s.folds, "tail-bytes", (json_int_t)s.tail_bytes,
                     "journal-bytes", (json_int_t)s.journal_bytes, "index-bytes",
                     (json_int_t)s.index_bytes, "free-bytes", (json_int_t)s.free_bytes,
                     "max-sync-us", (json_int_t)s.max_sync_us, "short-of-space", s.shortage);
}

static json_t *status(const svi_commands *commands)
{
    svi_shard *shard = commands->config.shard;
    svi_server *server = svi_shard_server(shard);
    const svi_plat *plat = svi_plat_kernel();
    const int64_t up_us = plat->mono_us(plat->ctx) - commands->began_us;
    svi_net_stats net;
    svi_net_stats_get(svi_server_net(server), &net);
    json_t *certificates =
        commands->config.certificates ? commands->config.certificates(commands->config.ctx) : json_array();
    json_t *hosts = json_array();
    for (svi_host *h = svi_host_next(server, NULL); h; h = svi_host_next(server, h))
        (void)json_array_append_new(hosts, json_string(svi_host_name(h)));
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:I}", "ok", 1, "version", SVI_VERSION,
        "pid", (json_int_t)getpid(), "uptime-s", (json_int_t)(up_us / 1000000), "hosts", hosts,
        "certificates", certificates, "connections", (json_int_t)net.open, "sessions", (json_int_t)svi_session_count(server),
        "locked-out", (json_int_t)svi_server_locked(server),
        "ledger", ledger_status(svi_server_ledger(server)), "store",
        store_status(svi_server_store(server)), "resident-bytes", resident_bytes(),
        "accounted-bytes", (json_int_t)atomic_load(&svi_shard_acct(shard)->live_bytes));
}

/* --- modules ------------------------------------------------------------------------------------------ */

static json_t *modules(const svi_commands *commands)
{
    json_t *list = json_array();
    svi_mod_info m;
    for (size_t i = 0; svi_mods_info(svi_shard_mods(commands->config.shard), i, &m); i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "name", m.name, "host", m.host,
                            "summary", m.summary, "state", m.state, "calls", (json_int_t)m.calls,
                            "cpu-us", (json_int_t)m.cpu_us, "bytes", (json_int_t)m.live_bytes));
    return json_pack("{s:b, s:o}", "ok", 1, "modules", list);
}

/* --- which there are ---------------------------------------------------------------------------------- */

json_t *svi_commands_run(svi_commands *commands, const json_t *request, svi_command_done done,
                         void *ctx)
{
    SV_CHECK(commands, MAGIC);
    const svi_commands_config *config = &commands->config;
    const char *name = json_string_value(json_object_get(request, "command"));
    const sv_str command = sv_str_of(name ? name : "");
    SV_LOG(SV_DEBUG, "control-command", LF_STR("command", command));
    if (svi_str_starts(command, SV_STR("user ")))
        return svi_users_run(commands->users, svi_str_sub(command, 5, command.n), request, done,
                             ctx);
    if (sv_str_eq(command, SV_STR("status"))) return status(commands);
    if (sv_str_eq(command, SV_STR("modules"))) return modules(commands);
    if (sv_str_eq(command, SV_STR("reload")) && config->reload)
        return config->reload(config->ctx, done, ctx);
    if (sv_str_eq(command, SV_STR("stop")) && config->stop) {
        config->stop(config->ctx);
        return json_pack("{s:b}", "ok", 1);
    }
    return svi_answer_error("the server knows no command '%.*s'; is it of an older version?",
                            (int)(command.n < 60 ? command.n : 60), command.p);
}
