/* `stave ledger`: a row for the whole, and one for each host, module, peer and rule. */
#include "main/main_ledger.h"

#include "main/main_command.h"

/* Rows by their numbers, as far as the page goes. */
typedef struct page {
    svi_request *request;
    sv_str of; /* "host", "module", "peer", "rule": these rows alone; empty: all */
    const svi_host *host;
    int64_t from, at;
    bool is_full;
} page;

static bool is_meant(const page *p, const char *of)
{
    if (p->host != NULL && strcmp(of, "host") != 0 && strcmp(of, "rule") != 0) return false;
    return p->of.n == 0 || sv_str_eq(p->of, sv_str_of(of));
}

/* True if the row is on this page: then its fields are to be set. */
static bool row(page *p, const char *of, const char *name)
{
    if (p->is_full || p->at++ < p->from) return false;
    if (!svi_request_record(p->request)) {
        p->is_full = true;
        p->at--;
        return false;
    }
    svi_request_field(p->request, "of", sv_str_of(of));
    svi_request_field(p->request, "name", sv_str_of(name));
    return true;
}

/* Of a module what ended is counted, else it is what was disposed of. */
static void put_counts(page *p, const svi_ledger_counts *counts, uint64_t in_flight, bool is_module, bool balances)
{
    uint64_t ended = is_module ? counts->ended : 0;
    for (int i = 0; i < SVI_DISPOSALS && !is_module; i++) ended += counts->disposal[i];
    for (int i = 0; i < SVI_ORIGINS; i++)
        svi_request_field_int(p->request, svi_origin_name((svi_origin)i), (int64_t)counts->origin[i]);
    for (int i = 0; i < SVI_DISPOSALS; i++)
        svi_request_field_int(p->request, svi_disposal_name((svi_disposal)i), (int64_t)counts->disposal[i]);
    svi_request_field_int(p->request, "acked", (int64_t)counts->acked);
    svi_request_field_int(p->request, "ended", (int64_t)ended);
    svi_request_field_int(p->request, "in-flight", (int64_t)in_flight);
    svi_request_field_int(p->request, "balanced", balances);
}

static void put_all(page *p, svi_server *server)
{
    if (p->of.n > 0 || p->host != NULL || !row(p, "all", "")) return;
    const svi_ledger *ledger = svi_server_ledger(server);
    put_counts(p, svi_ledger_total(ledger), svi_ledger_in_flight(ledger), false, svi_server_balances(server));
}

static void put_hosts(page *p, svi_server *server)
{
    for (svi_host *h = svi_host_next_known(server, NULL); h != NULL; h = svi_host_next_known(server, h)) {
        const svi_ledger_counts *counts = svi_host_ledger(h);
        if (!is_meant(p, "host") || (p->host != NULL && h != p->host)) continue;
        if (!svi_host_was_served(h)) continue;
        if (row(p, "host", svi_host_name(h))) put_counts(p, counts, counts->in_flight, false, svi_ledger_counts_balance(counts, false));
    }
}

static void put_modules(page *p, const svi_ledger *ledger)
{
    const char *name;
    const svi_ledger_counts *counts;
    for (size_t pos = 0; is_meant(p, "module") && svi_ledger_modules(ledger, &pos, &name, &counts);)
        if (row(p, "module", name)) put_counts(p, counts, counts->in_flight, true, svi_ledger_counts_balance(counts, true));
}

static void put_peers(page *p, const svi_ledger *ledger)
{
    const char *name;
    const svi_ledger_counts *counts;
    for (size_t pos = 0; is_meant(p, "peer") && svi_ledger_peers(ledger, &pos, &name, &counts);)
        if (row(p, "peer", name)) put_counts(p, counts, counts->in_flight, false, svi_ledger_counts_balance(counts, false));
}

static void put_rules(page *p, svi_server *server)
{
    const char *name;
    uint64_t times;
    if (!is_meant(p, "rule")) return;
    if (p->host != NULL) {
        const svi_ledger_counts *counts = svi_host_ledger((svi_host *)(uintptr_t)p->host);
        for (size_t pos = 0; svi_ledger_host_rules(counts, &pos, &name, &times);)
            if (row(p, "rule", name)) svi_request_field_int(p->request, "dropped", (int64_t)times);
        return;
    }
    for (size_t pos = 0; svi_ledger_rules(svi_server_ledger(server), &pos, &name, &times);)
        if (row(p, "rule", name)) svi_request_field_int(p->request, "dropped", (int64_t)times);
}

void svi_command_ledger(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_server *server = svi_request_server(request);
    page p = {.request = request, .of = svi_request_arg(request, "of")->text, .host = svi_request_args(request)->host};
    if (svi_str_int(svi_request_from(request), 0, INT32_MAX, &p.from) != SV_OK) p.from = 0;
    put_all(&p, server);
    put_hosts(&p, server);
    put_modules(&p, svi_server_ledger(server));
    put_peers(&p, svi_server_ledger(server));
    put_rules(&p, server);
    if (p.is_full)
        svi_request_more(request, svi_arena_printf(svi_request_arena(request), "%lld", (long long)p.at));
    else
        svi_request_answer(request);
}
