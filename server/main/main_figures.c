/* What modules cost, where the router's time goes, metrics: as operators ask for them. */
#include "main/main_figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_cli.h"
#include "main/main_command.h"
#include "main/main_resident.h"
#include "xmpp/xmpp_session.h"

/* --- modules ------------------------------------------------------------------------------------------ */

static void put(json_t *object, const char *name, uint64_t value)
{
    (void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

void svi_figures_costs(json_t *module, const svi_mod_info *info)
{
    put(module, "passed", info->passed);
    put(module, "done", info->done);
    put(module, "later", info->later);
    put(module, "callbacks", info->callbacks);
    put(module, "faults", info->faults);
    put(module, "allocations", (uint64_t)info->live_count);
    put(module, "peak-bytes", (uint64_t)info->peak_bytes);
    put(module, "peak-allocations", (uint64_t)info->peak_count);
    put(module, "store-reads", info->store.reads);
    put(module, "store-loads", info->store.loads);
    put(module, "store-puts", info->store.puts);
    put(module, "store-deletes", info->store.deletes);
    put(module, "store-written-bytes", info->store.written_bytes);
}

/* --- pages -------------------------------------------------------------------------------------------- */

/* Rows by their numbers: a page begins at the one that the last could not take. */
typedef struct page {
    svi_request *request;
    size_t from, at;
    bool is_full;
} page;

static page page_begin(svi_request *request)
{
    int64_t from = 0;
    if (svi_str_int(svi_request_from(request), 0, INT32_MAX, &from) != SV_OK) from = 0;
    return (page){.request = request, .from = (size_t)from};
}

/* True if the next row is on this page: then its fields are to be set. */
static bool page_row(page *p)
{
    if (p->is_full) return false;
    if (p->at < p->from) {
        p->at++;
        return false;
    }
    p->is_full = !svi_request_record(p->request);
    if (!p->is_full) p->at++;
    return !p->is_full;
}

static void page_end(const page *p)
{
    if (p->is_full)
        svi_request_more(p->request, svi_arena_printf(svi_request_arena(p->request), "%zu", p->at));
    else
        svi_request_answer(p->request);
}

/* --- modules show ------------------------------------------------------------------------------------- */

static void show_line(svi_request *request, const svi_mod_info *m, const svi_cost_line *line)
{
    const svi_hook_stats *s = &line->stats;
    const uint64_t times = s->calls + s->callbacks;
    svi_request_field(request, "host", sv_str_of(m->host));
    svi_request_field(request, "hook", sv_str_of(line->text));
    svi_request_field_int(request, "calls", (int64_t)s->calls);
    svi_request_field_int(request, "passed", (int64_t)s->passed);
    svi_request_field_int(request, "done", (int64_t)s->done);
    svi_request_field_int(request, "later", (int64_t)s->later);
    svi_request_field_int(request, "callbacks", (int64_t)s->callbacks);
    svi_request_field_int(request, "faults", (int64_t)s->faults);
    svi_request_field_int(request, "cpu-us", s->cpu_ns / 1000);
    svi_request_field_int(request, "cpu-ns-each", times > 0 ? s->cpu_ns / (int64_t)times : 0);
}

static bool is_meant(const svi_mod_info *m, sv_str name, const svi_host *host)
{
    return sv_str_eq(sv_str_of(m->name), name) &&
           (host == NULL || sv_str_eq(sv_str_of(m->host), svi_host_domain(host)));
}

/* What a script is; a module in C says nothing here. */
static json_t *about_script(const svi_mods *mods, size_t i, const svi_mod_info *m)
{
    json_t *rights = json_array();
    const char *right;
    for (size_t k = 0; svi_mods_right(mods, i, k, &right); k++) (void)json_array_append_new(rights, json_string(right));
    return json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:o}", "module", m->name, "kind", "lua", "policy", m->is_policy, "autoreload",
                     m->is_autoreload, "state-bytes", (json_int_t)m->script_bytes, "waiting", (json_int_t)m->script_waiting, "rights",
                     rights);
}

void svi_command_modules_show(svi_commands *commands, svi_request *request)
{
    const svi_mods *mods = svi_shard_mods(svi_commands_shard(commands));
    const sv_str name = svi_request_arg(request, "name")->text;
    const svi_host *host = svi_request_args(request)->host;
    bool is_found = false;
    svi_mod_info m;
    page p = page_begin(request);
    for (size_t i = 0; svi_mods_info(mods, i, &m); i++) {
        if (!is_meant(&m, name, host)) continue;
        if (!is_found && m.is_script && p.from == 0) svi_request_about(request, about_script(mods, i, &m));
        is_found = true;
        const svi_cost_line *line;
        for (size_t k = 0; svi_mods_line(mods, i, k, &line); k++)
            if (page_row(&p)) show_line(request, &m, line);
    }
    if (is_found)
        page_end(&p);
    else
        svi_request_fail(request, SV_FAULT_NOT_FOUND,
                         "module \"%.*s\" does not run%s; `stave modules` shows which do",
                         (int)(name.n < 60 ? name.n : 60), name.p, host ? " on this host" : "");
}

/* --- the router --------------------------------------------------------------------------------------- */

json_t *svi_figures_router(svi_shard *shard)
{
    svi_shard_load load;
    svi_meter_stats meter;
    svi_timers_stats timers;
    svi_mod_info m;
    int64_t modules_us = 0;
    svi_server *server = svi_shard_server(shard);
    svi_shard_load_get(shard, &load);
    svi_bus_meter_stats(svi_server_bus(server), &meter);
    svi_timers_stats_get(svi_server_timers(server), &timers);
    for (size_t i = 0; svi_mods_info(svi_shard_mods(shard), i, &m); i++) modules_us += m.cpu_us;
    const int64_t accounting_us =
        (int64_t)((double)(meter.reads + load.reads) * load.fine_ns / 1000);
    const int64_t watching_us = (int64_t)((double)meter.looks * load.coarse_ns / 1000);
    const int64_t core_us = load.busy_us - modules_us - accounting_us - watching_us;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "busy-us",
                     (json_int_t)load.busy_us, "modules-us", (json_int_t)modules_us, "core-us",
                     (json_int_t)(core_us > 0 ? core_us : 0), "accounting-us", (json_int_t)accounting_us,
                     "watching-us", (json_int_t)watching_us, "turns", (json_int_t)load.turns, "longest-us", (json_int_t)load.longest_us,
                     "timers-fired", (json_int_t)timers.fired, "timers-late-us",
                     (json_int_t)timers.late_us, "timed", (json_int_t)meter.timed, "clock-reads",
                     (json_int_t)(meter.reads + load.reads), "coarse-reads", (json_int_t)meter.looks);
}

/* --- top ---------------------------------------------------------------------------------------------- */

static json_t *top_module(const svi_mod_info *m)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "name", m->name, "host", m->host, "state",
                             m->state, "calls", (json_int_t)m->calls, "cpu-us", (json_int_t)m->cpu_us,
                             "bytes", (json_int_t)m->live_bytes);
    svi_figures_costs(json, m);
    return json;
}

static json_t *top_queues(svi_server *server)
{
    svi_bus_stats bus;
    svi_bus_stats_get(svi_server_bus(server), &bus);
    const svi_store *store = svi_server_store(server);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "events-waiting", (json_int_t)bus.waiting,
                     "events-to-commit", (json_int_t)bus.releasing, "lanes", (json_int_t)bus.lanes,
                     "stanzas-in-flight", (json_int_t)svi_ledger_in_flight(svi_server_ledger(server)),
                     "units-to-commit",
                     (json_int_t)(svi_store_submitted(store) - svi_store_committed(store)));
}

void svi_command_top(svi_commands *commands, svi_request *request)
{
    svi_shard *shard = svi_commands_shard(commands);
    svi_server *server = svi_shard_server(shard);
    const svi_plat *plat = svi_plat_kernel();
    svi_net_stats net;
    svi_net_stats_get(svi_server_net(server), &net);
    json_t *list = json_array();
    svi_mod_info m;
    for (size_t i = 0; svi_mods_info(svi_shard_mods(shard), i, &m); i++)
        (void)json_array_append_new(list, top_module(&m));
    svi_request_take(
        request,
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "ok", 1, "pid", (json_int_t)getpid(),
                  "time-us", (json_int_t)plat->mono_us(plat->ctx), "up-us",
                  (json_int_t)svi_commands_up_us(commands), "sessions",
                  (json_int_t)svi_session_count(server), "connections", (json_int_t)net.open, "router",
                  svi_figures_router(shard), "queues", top_queues(server), "modules", list));
}

/* --- metrics ------------------------------------------------------------------------------------------ */

static const char *const kinds[] = {
    [SV_METRIC_COUNTER] = "counter", [SV_METRIC_GAUGE] = "gauge"};

static void tell(page *p, const char *name, sv_metric_kind kind, const char *host, int64_t value,
                 const char *manual)
{
    if (!page_row(p)) return;
    svi_request_field(p->request, "name", sv_str_of(name));
    svi_request_field(p->request, "kind", sv_str_of(kinds[kind]));
    svi_request_field(p->request, "host", sv_str_of(host));
    svi_request_field_int(p->request, "value", value);
    svi_request_field(p->request, "manual", sv_str_of(manual));
}

static void gauge(page *p, const char *name, int64_t value, const char *manual)
{
    tell(p, name, SV_METRIC_GAUGE, "", value, manual);
}

static void counter(page *p, const char *name, uint64_t value, const char *manual)
{
    tell(p, name, SV_METRIC_COUNTER, "", (int64_t)value, manual);
}

/* "stave_stanzas_handed_over" of "handed-over". */
static void stanzas(page *p, const char *what, uint64_t value, const char *manual)
{
    char name[64];
    (void)snprintf(name, sizeof name, "stave_stanzas_%s", what);
    for (char *at = name; *at; at++)
        if (*at == '-') *at = '_';
    counter(p, name, value, manual);
}

static void tell_server(page *p, svi_commands *commands)
{
    svi_shard *shard = svi_commands_shard(commands);
    svi_server *server = svi_shard_server(shard);
    svi_net_stats net;
    svi_bus_stats bus;
    svi_net_stats_get(svi_server_net(server), &net);
    svi_bus_stats_get(svi_server_bus(server), &bus);
    gauge(p, "stave_uptime_seconds", svi_commands_up_us(commands) / 1000000, "Seconds since the start.");
    gauge(p, "stave_connections", (int64_t)net.open, "Connections that are open.");
    counter(p, "stave_connections_accepted", net.accepted, "Connections that were accepted.");
    counter(p, "stave_bytes_in", net.bytes_in, "Bytes that came from connections.");
    counter(p, "stave_bytes_out", net.bytes_out, "Bytes that were written to connections.");
    gauge(p, "stave_sessions", (int64_t)svi_session_count(server), "Sessions that are bound.");
    gauge(p, "stave_locked_out", (int64_t)svi_server_locked(server),
          "Addresses and accounts that are locked out after failed logins.");
    gauge(p, "stave_resident_bytes", svi_resident_bytes(), "Memory of the process that is resident.");
    gauge(p, "stave_accounted_bytes", atomic_load(&svi_shard_acct(shard)->live_bytes),
          "Memory that is accounted for.");
    counter(p, "stave_events", bus.events, "Events that were made.");
    counter(p, "stave_event_timeouts", bus.timeouts, "Events that a module let wait too long.");
    gauge(p, "stave_events_waiting", (int64_t)bus.waiting, "Events that wait for what a module asked for.");
    gauge(p, "stave_events_to_commit", (int64_t)bus.releasing, "Events that wait for the disk.");
}

static void tell_ledger(page *p, const svi_ledger *ledger)
{
    const svi_ledger_counts *all = svi_ledger_total(ledger);
    for (int i = 0; i < SVI_ORIGINS; i++)
        stanzas(p, svi_origin_name((svi_origin)i), all->origin[i], "Stanzas that came about so.");
    for (int i = 0; i < SVI_DISPOSALS; i++)
        stanzas(p, svi_disposal_name((svi_disposal)i), all->disposal[i], "Stanzas that ended so.");
    counter(p, "stave_stanzas_acked", all->acked, "Stanzas handed over of which the client has said that it got them.");
    gauge(p, "stave_stanzas_in_flight", (int64_t)svi_ledger_in_flight(ledger),
          "Stanzas that have not ended yet.");
}

static void tell_store(page *p, const svi_store *store)
{
    svi_store_stats s;
    svi_store_stats_get(store, &s);
    counter(p, "stave_store_submitted", svi_store_submitted(store), "Units that were handed to the store.");
    counter(p, "stave_store_committed", svi_store_committed(store), "Units that are committed.");
    counter(p, "stave_store_batches", s.batches, "Writes to the journal, of several units each.");
    counter(p, "stave_store_folds", s.folds, "Times that the journal was folded into the index.");
    gauge(p, "stave_store_tail_bytes", (int64_t)s.tail_bytes, "Changes that are not folded yet, in memory.");
    gauge(p, "stave_store_journal_bytes", (int64_t)s.journal_bytes, "Size of the journal.");
    gauge(p, "stave_store_index_bytes", (int64_t)s.index_bytes, "Size of the index.");
    gauge(p, "stave_store_free_bytes", (int64_t)s.free_bytes, "Room that is left on the disk.");
    gauge(p, "stave_store_max_sync_us", (int64_t)s.max_sync_us, "Longest sync, in us.");
    gauge(p, "stave_store_short_of_space", s.shortage, "1 while room is short, else 0.");
}

/* The members of svi_figures_router as metrics: all but one only grow. */
static void tell_router(page *p, svi_shard *shard)
{
    static const struct {
        const char *member, *name, *manual;
    } all[] = {
        {"busy-us", "stave_router_busy_us", "Time of the router's turns, in us."},
        {"modules-us", "stave_router_modules_us", "Of it in modules that run now, in us."},
        {"accounting-us", "stave_router_accounting_us", "Of it for reading the clock to account, in us."},
        {"watching-us", "stave_router_watching_us", "Of it for looking whether a handler is slow, in us."},
        {"turns", "stave_router_turns", "Turns that the router took."},
        {"timers-fired", "stave_router_timers_fired", "Timers that fired."},
        {"timers-late-us", "stave_router_timers_late_us", "How late all of them were, in us."},
    };
    json_t *router = svi_figures_router(shard);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        counter(p, all[i].name, (uint64_t)json_integer_value(json_object_get(router, all[i].member)),
                all[i].manual);
    gauge(p, "stave_router_longest_us", json_integer_value(json_object_get(router, "longest-us")),
          "Longest turn of the last ten seconds, in us.");
    json_decref(router);
}

static void tell_modules(page *p, const svi_mods *mods)
{
    svi_mod_info m;
    for (size_t i = 0; svi_mods_info(mods, i, &m); i++) {
        const sv_metric *metric;
        int64_t value;
        for (size_t k = 0; svi_mods_metric(mods, i, k, &metric, &value); k++)
            tell(p, metric->name, metric->kind, m.host, value, metric->manual);
    }
}

void svi_command_metrics(svi_commands *commands, svi_request *request)
{
    svi_shard *shard = svi_commands_shard(commands);
    svi_server *server = svi_shard_server(shard);
    page p = page_begin(request);
    tell_server(&p, commands);
    tell_ledger(&p, svi_server_ledger(server));
    tell_store(&p, svi_server_store(server));
    tell_router(&p, shard);
    tell_modules(&p, svi_shard_mods(shard));
    page_end(&p);
}
