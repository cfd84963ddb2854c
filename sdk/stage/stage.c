/* The stage's server: how it is made, turned, ended and killed. */
#include "stage_impl.h"

#include "base/base_log.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_provider.h"
#include "xmpp/xmpp_recover.h"
#include "xmpp/xmpp_removal.h"
#include "xmpp/xmpp_session.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODULES "\"roster\", \"presence\", \"message\", \"offline\", \"archive\", \"blocking\", \"disco\", \"caps\", \"sm\", \"ping\""

static const svi_stage_host usual_hosts[] = {{"localhost", ""}, {"other.localhost", ""}};

/* The network may bring a byte a round. */
enum { LOG_BYTES_MAX = 1 << 20, WINDOW_BYTES = 65536, ROUNDS_MAX = 2000000, EXPLAIN_BYTES = 1 << 16 };

void svi_stage_note(void *ctx, const char *file, int line, const char *text)
{
    svi_stage *st = ctx;
    (void)file;
    if (!st->problem[0]) (void)snprintf(st->problem, sizeof st->problem, "config line %d: %s", line, text);
}

svi_sim_plan *svi_stage_plan(svi_stage *st)
{
    return svi_stage_is_simulated(st) && st->engine ? svi_engine_sim_plan(st->engine) : &st->plan;
}

bool svi_stage_is_simulated(const svi_stage *st)
{
    return st->store_module.engine == NULL;
}

static void never_wake(void *ctx)
{
    (void)ctx;
}

static void store_failed(void *ctx, const sv_err *err)
{
    svi_stage *st = ctx;
    (void)snprintf(st->problem, sizeof st->problem, "the store failed: %s", err->text);
}

static void note_line(void *ctx, sv_level level, const char *event, const svi_field *fields, size_t count)
{
    svi_stage *st = ctx;
    char text[SVI_LOG_BYTES];
    const sv_str line = svi_log_message(svi_log_line(SVI_LOG_TEXT, level, event, fields, count, text));
    if (st->log.len + line.n <= LOG_BYTES_MAX) svi_buf_put(&st->log, line);
}

static void note_refusal(void *ctx, const char *module, sv_cond cond, const svi_mods_site *site)
{
    const svi_stage *st = ctx;
    if (st->how.refuses) st->how.refuses(st->how.ctx, module, cond, site);
}

/* Of C it is a fault to ask for memory that its quota does not have: wanted, if that is the harm. */
static void note_fault(void *ctx, const char *module, const char *rule)
{
    const svi_stage *st = ctx;
    if (st->how.faults && st->harm.kind != SVI_HARM_QUOTA) st->how.faults(st->how.ctx, module, rule);
}

svi_stage *svi_stage_new(const svi_stage_config *config)
{
    svi_stage *st = svi_alloc(config->peers, sizeof *st);
    st->how = *config;
    if (!config->hosts) {
        st->how.hosts = usual_hosts;
        st->how.host_count = sizeof usual_hosts / sizeof *usual_hosts;
    }
    SV_ASSERT(st->how.host_count <= SVI_STAGE_HOSTS);
    svi_plat_virtual_init(&st->plat, config->seed);
    st->pairs = svi_link_pairs_new(config->peers);
    svi_link_pairs_set_plat(st->pairs, &st->plat.plat);
    svi_buf_init(&st->config_text, config->peers);
    svi_buf_init(&st->further, config->peers);
    svi_buf_init(&st->log, config->peers);
    svi_harm_init(st);
    st->probe.refuses = note_refusal;
    st->probe.faults = note_fault;
    svi_log_set_tap(note_line, st);
    svi_log_tap_level(SV_INFO);
    return st;
}

void svi_stage_free(svi_stage **stage)
{
    svi_stage *st = *stage;
    *stage = NULL;
    svi_stage_stop(st);
    svi_log_set_tap(NULL, NULL);
    svi_buf_free(&st->log);
    svi_harm_free(st);
    if (st->disk) svi_sim_disk_free(&st->disk);
    svi_link_pairs_free(&st->pairs);
    svi_buf_free(&st->config_text);
    svi_buf_free(&st->further);
    svi_free(st);
}

/* --- start -------------------------------------------------------------------------------------------------- */


/* A configuration that names its modules itself. */
static bool sets_modules(const svi_stage *st)
{
    static const char word[] = "modules_enabled";
    const sv_str own = svi_buf_str(&st->config_text);
    return own.n > 0 && memmem(own.p, own.n, word, sizeof word - 1) != NULL;
}

bool svi_stage_configure(svi_stage *st, sv_str line)
{
    if (st->started) return false;
    svi_buf_put(&st->config_text, line);
    svi_buf_putc(&st->config_text, '\n');
    return true;
}

static bool is_listed(sv_str list, sv_str module)
{
    char quoted[100];
    const int n = snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)(module.n < 80 ? module.n : 80), module.p);
    return list.n > 0 && memmem(list.p, list.n, quoted, (size_t)n) != NULL;
}

bool svi_stage_enable(svi_stage *st, sv_str module)
{
    if (st->started || sets_modules(st)) return false;
    const char *first = st->how.modules ? st->how.modules : DEFAULT_MODULES;
    if (is_listed(sv_str_of(first), module) || is_listed(svi_buf_str(&st->further), module)) return true;
    svi_buf_printf(&st->further, ", \"%.*s\"", (int)module.n, module.p);
    return true;
}

static bool read_config(svi_stage *st, svi_config **config_out)
{
    char path[] = "/tmp/stage-config-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0) return false;
    svi_buf text;
    svi_buf_init(&text, st->how.peers);
    if (!sets_modules(st))
        svi_buf_printf(&text, "modules_enabled = { %s%.*s }\n", st->how.modules ? st->how.modules : DEFAULT_MODULES,
                       (int)st->further.len, st->further.len > 0 ? st->further.data : "");
    svi_buf_put(&text, svi_buf_str(&st->config_text));
    for (size_t i = 0; i < st->how.host_count; i++)
        if (!st->is_host_gone[i])
            svi_buf_printf(&text, "VirtualHost \"%s\"\n%s", st->how.hosts[i].domain, st->how.hosts[i].options);
    const bool written = write(fd, text.data, text.len) == (ssize_t)text.len;
    (void)close(fd);
    svi_buf_free(&text);
    const bool ok = written && svi_config_load(st->how.core, path, svi_stage_note, st, config_out) == SV_OK;
    (void)unlink(path);
    return ok;
}

/* The addresses in `admins`, before the hosts. */
static sv_str_list admins_of(svi_stage *st)
{
    sv_str_list list = {.count = 0};
    static const sv_option option[] = {
        {.name = "admins", .kind = SV_OPTION_LIST, .min = "one", .manual = "as in a server's config"}, {0}};
    (void)svi_options_fill(st->config, svi_config_section(st->config, 0), option, sizeof *option, &list, svi_stage_note, st);
    return list;
}

/* Serves a host, or serves it anew; it must be prepared. */
static void serve(svi_stage *st, size_t i)
{
    const sv_str_list admins = admins_of(st);
    const svi_host_config config = {
        .domain = sv_str_of(st->how.hosts[i].domain), .admins = admins.items, .admin_count = admins.count, .require_tls = true};
    (void)svi_host_serve(svi_host_known(st->server, config.domain), &config);
}

/* All hosts that are to be there are known from now on. */
static bool prepare_hosts(svi_stage *st, sv_err *err)
{
    svi_host *host;
    bool ok = true;
    for (size_t i = 0; ok && i < st->how.host_count; i++)
        ok = st->is_host_gone[i] || svi_host_prepare(st->server, sv_str_of(st->how.hosts[i].domain), &host, err) == SV_OK;
    return ok;
}

static void serve_hosts(svi_stage *st)
{
    for (size_t i = 0; i < st->how.host_count; i++)
        if (!st->is_host_gone[i]) serve(st, i);
}

/* Deletions that the end of a server, or of a host, has broken off. */
static void resume_removals(const svi_stage *st)
{
    for (svi_host *host = NULL; (host = svi_host_next(st->server, host)) != NULL;) svi_removals_resume(host);
}

static bool make_engines(svi_stage *st, sv_err *err)
{
    if (uv_loop_init(&st->loop) != 0) return svi_err(err, SV_ELIMIT, "no loop for engine modules"), false;
    st->engines = svi_engines_new(&(svi_engines_config){
        .acct = st->how.core, .plat = &st->plat.plat, .loop = &st->loop, .is_staged = true});
    return true;
}

/* The module that a line names in store_engine; empty if none does. */
static sv_str store_module_of(svi_stage *st)
{
    sv_str name = SV_STR_NONE;
    static const sv_option option[] = {
        {.name = "store_engine", .kind = SV_OPTION_STRING, .manual = "as in a server's config"}, {0}};
    (void)svi_options_fill(st->config, svi_config_section(st->config, 0), option, sizeof *option, &name, svi_stage_note, st);
    return name;
}

static bool open_store_module(svi_stage *st, sv_str name, sv_err *err)
{
    const svi_mods_config config = {.config = st->config,
                                    .engines = st->engines,
                                    .paths = st->how.paths,
                                    .path_count = st->how.path_count,
                                    .release = "stage",
                                    .report = svi_stage_note,
                                    .report_ctx = st};
    return svi_store_module_open(st->how.core, &config, name, false, &st->store_module, err) == SV_OK;
}

static bool make_engine(svi_stage *st, sv_err *err)
{
    const sv_str name = store_module_of(st);
    if (name.n > 0) {
        const bool ok = open_store_module(st, name, err);
        st->engine = st->store_module.engine;
        return ok;
    }
    if (!st->disk) st->disk = svi_sim_disk_new(st->how.peers);
    st->engine = svi_engine_sim(st->how.peers, st->disk);
    *svi_engine_sim_plan(st->engine) = st->plan;
    return true;
}

static bool make_server(svi_stage *st, sv_err *err)
{
    const svi_server_config config = {.acct = st->how.core,
                                      .explain_bytes = EXPLAIN_BYTES,
                                      .plat = &st->plat.plat,
                                      .engine = st->engine,
                                      .limits = st->how.limits ? *st->how.limits : svi_limits_default(),
                                      .salt_secret = SV_STR("stage"),
                                      .wake = never_wake,
                                      .fatal = store_failed,
                                      .store_cache_bytes = st->how.cache_bytes,
                                      .keeps_records = true,
                                      .lacks_space = svi_harm_lacks_space,
                                      .ctx = st};
    if (svi_server_new(&config, &st->server, err) != SV_OK || !prepare_hosts(st, err)) return false;
    serve_hosts(st);
    return true;
}

static svi_mods *mods_new(svi_stage *st, const svi_config *config, svi_mods *before)
{
    return svi_mods_new(st->how.core, &(svi_mods_config){.server = st->server,
                                                         .config = config,
                                                         .engines = st->engines,
                                                         .paths = st->how.paths,
                                                         .path_count = st->how.path_count,
                                                         .before = before,
                                                         .report = svi_stage_note,
                                                         .report_ctx = st,
                                                         .release = "stage",
                                                         .probe = &st->probe});
}

static bool start_modules(svi_stage *st)
{
    st->mods = mods_new(st, st->config, NULL);
    if (svi_mods_start(st->mods) != SV_OK) return false;
    resume_removals(st);
    return true;
}

static void on_recovered(void *ctx, const svi_recovered *recovered)
{
    svi_stage *st = ctx;
    st->is_recovered = true;
    if (recovered->damaged > 0 || recovered->status != SV_OK)
        (void)snprintf(st->problem, sizeof st->problem, "%zu records of sessions can't be read (%s)", recovered->damaged,
                       svi_status_name(recovered->status));
}

/* As the daemon does it: before anybody can connect. */
static void recover(svi_stage *st)
{
    st->is_recovered = false;
    svi_sessions_recover(st->server, on_recovered, st);
    do (void)svi_stage_settle(st);
    while (st->server != NULL && !st->is_recovered && svi_stage_pass_owed(st));
}

static void listen_to_links(svi_stage *st, sv_err *err)
{
    const svi_limits *limits = st->how.limits;
    const svi_listen_config config = {.fd = -1,
                                      .mode = SVI_TLS_NONE,
                                      .limits = svi_xml_limits_stranger(),
                                      .rate = limits ? limits->stranger_rate : svi_limits_default().stranger_rate};
    (void)svi_net_listen(svi_server_net(st->server), &config, &st->listener, err);
}

bool svi_stage_start(svi_stage *st)
{
    sv_err err = {.text = ""};
    if (st->started) return st->problem[0] == 0;
    st->started = true;
    st->problem[0] = 0;
    if (!read_config(st, &st->config)) return false;
    if (make_engines(st, &err) && make_engine(st, &err) && make_server(st, &err) && start_modules(st)) {
        recover(st);
        if (st->server != NULL) listen_to_links(st, &err);
    }
    if (err.text[0] && !st->problem[0]) (void)snprintf(st->problem, sizeof st->problem, "%.290s", err.text);
    return st->problem[0] == 0;
}

const char *svi_stage_problem(const svi_stage *st)
{
    return st->problem;
}

/* --- end ------------------------------------------------------------------------------------------------------ */

/* Behind the server. A thread that does not end is a fault that ends the test's process. */
static void free_engines(svi_stage *st)
{
    (void)uv_run(&st->loop, UV_RUN_DEFAULT);
    const bool is_over = svi_engines_free(&st->engines);
    SV_ASSERT(is_over);
    const int failed = uv_loop_close(&st->loop);
    SV_ASSERT(failed == 0);
}

void svi_stage_stop(svi_stage *st)
{
    if (st->server && st->mods && st->how.ends) st->how.ends(st->how.ctx, st);
    if (st->server && st->mods && st->how.forgets) st->how.forgets(st->how.ctx, st);
    st->is_ending = true; /* what modules do now is no occasion for harm */
    if (st->mods) svi_mods_free(&st->mods);
    if (st->engines) svi_engines_settle(st->engines);
    if (st->server) svi_server_free(&st->server, 0);
    svi_store_module_free(&st->store_module);
    st->store_module = (svi_store_module){.engine = NULL};
    if (st->engines) free_engines(st);
    if (st->config) svi_config_free(&st->config);
    st->is_ending = false;
    svi_harm_drop(st);
    st->engine = NULL;
    st->started = false;
    st->plan.hold = false;
    st->plan.fail_read = 0;
}

void svi_stage_kill(svi_stage *st)
{
    if (st->server) {
        SV_ASSERT(svi_stage_is_simulated(st)); /* what a module has under way can't be taken back */
        svi_stage_plan(st)->dead = true;
        svi_link_pairs_cut(st->pairs);
    }
    svi_stage_stop(st);
    st->problem[0] = 0; /* that the store fails now is what was wanted */
}

/* --- turns ---------------------------------------------------------------------------------------------------- */

static bool turn_engines(svi_stage *st)
{
    bool is_stuck = false;
    const bool any = svi_engines_turn(st->engines, &is_stuck);
    if (is_stuck && !st->problem[0])
        (void)snprintf(st->problem, sizeof st->problem, "a worker does not come to an end with what it was given");
    return any;
}

bool svi_stage_settle(svi_stage *st)
{
    bool any = false, again = st->server != NULL;
    for (int rounds = 0; again && rounds < ROUNDS_MAX; rounds++) {
        again = svi_link_pairs_run(st->pairs) > 0;
        again |= svi_server_turn(st->server);
        again |= st->engine->ops->poll && st->engine->ops->poll(st->engine, false) > 0;
        again |= turn_engines(st);
        again |= svi_harm_act(st, !again);
        any |= again;
        again &= st->server != NULL;
    }
    SV_ASSERT(!again); /* the server never comes to rest */
    return any;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When the network or the disk have something that is late. */
static int64_t owed_us(const svi_stage *st)
{
    const int64_t disk_us = svi_stage_is_simulated(st) ? svi_engine_sim_due_us(st->engine) : INT64_MAX;
    return least(svi_link_pairs_due_us(st->pairs), disk_us);
}

void svi_stage_pass(svi_stage *st, int64_t us)
{
    const int64_t end = st->plat.now_us + us;
    (void)svi_stage_settle(st);
    while (st->server != NULL && st->plat.now_us < end) {
        const int64_t due = least(least(svi_server_due_us(st->server), svi_engines_due_us(st->engines)), owed_us(st));
        const int64_t next = due < end ? (due > st->plat.now_us ? due : st->plat.now_us + 1) : end;
        svi_plat_virtual_advance(&st->plat, next - st->plat.now_us);
        (void)svi_stage_settle(st);
    }
}

bool svi_stage_pass_owed(svi_stage *st)
{
    (void)svi_stage_settle(st);
    const int64_t due_us = st->server != NULL ? owed_us(st) : INT64_MAX;
    if (due_us == INT64_MAX) return false;
    SV_ASSERT(due_us > st->plat.now_us); /* what is due now has been done */
    svi_stage_pass(st, due_us - st->plat.now_us);
    return true;
}

svi_link *svi_stage_connect(svi_stage *st)
{
    svi_link *ours, *theirs;
    svi_link_pair(st->pairs, st->how.window_bytes ? st->how.window_bytes : WINDOW_BYTES, &ours, &theirs);
    svi_net_attach(svi_server_net(st->server), st->listener, theirs, "memory");
    return ours;
}

typedef struct waiting {
    bool done;
    sv_status status;
} waiting;

static void account_done(void *ctx, sv_status status)
{
    waiting *w = ctx;
    *w = (waiting){.done = true, .status = status};
}

static sv_status set_account(svi_stage *st, sv_str user, sv_str domain, const svi_scram_keys *keys, bool replace)
{
    waiting w = {.done = false};
    svi_host *host = svi_host_find(st->server, domain);
    if (!host) return SV_ENOTFOUND;
    if (svi_provider_name(host))
        svi_provider_find(host, user, account_done, &w);
    else
        svi_account_set(host, user, keys, 1, replace, account_done, &w);
    do (void)svi_stage_settle(st);
    while (!w.done && svi_stage_pass_owed(st));
    SV_ASSERT(w.done); /* the disk is not held */
    return w.status;
}

bool svi_stage_add_account(svi_stage *st, sv_str user, sv_str domain, sv_str password)
{
    svi_scram_keys keys;
    const uint32_t rounds = st->how.scram_rounds ? st->how.scram_rounds : 4096;
    if (svi_scram_derive("SCRAM-SHA-256", password, SV_STR("salt-of-the-stage"), rounds, &keys) != SV_OK) return false;
    sv_status status = set_account(st, user, domain, &keys, false);
    if (status == SV_EEXIST) status = set_account(st, user, domain, &keys, true);
    return status == SV_OK;
}

bool svi_stage_reload(svi_stage *st, sv_str module, svi_buf *why)
{
    svi_mods_reloaded reloaded;
    const svi_mods_reloading how = {.names = &module, .count = 1, .report = svi_stage_note, .report_ctx = st};
    (void)svi_stage_settle(st);
    if (st->how.forgets) st->how.forgets(st->how.ctx, st);
    const bool ok = svi_mods_reload(st->mods, &how, &reloaded) == SV_OK;
    if (!ok) svi_buf_put(why, sv_str_of(st->problem));
    st->problem[0] = 0;
    (void)svi_stage_settle(st);
    return ok;
}

/* --- hosts ---------------------------------------------------------------------------------------------------- */

static bool is_to_be_there(const svi_stage *st, sv_str domain)
{
    for (size_t i = 0; i < st->how.host_count; i++)
        if (!st->is_host_gone[i] && sv_str_eq(sv_str_of(st->how.hosts[i].domain), domain)) return true;
    return false;
}

/* Serves those hosts alone that are to be there, from now on, as a reload of the configuration does. */
static bool take_over(svi_stage *st, svi_config *fresh)
{
    sv_err err = {.text = ""};
    svi_mods *next = mods_new(st, fresh, st->mods);
    const bool ok = prepare_hosts(st, &err) && svi_mods_check(next) == SV_OK && svi_mods_ready(next) == SV_OK;
    if (!ok) {
        if (err.text[0]) svi_stage_note(st, "", 0, err.text);
        svi_mods_free(&next);
        return false;
    }
    serve_hosts(st);
    svi_mods_replace(&st->mods, &next);
    for (svi_host *host = svi_host_next(st->server, NULL), *after; host; host = after) {
        after = svi_host_next(st->server, host);
        if (!is_to_be_there(st, svi_host_domain(host))) svi_host_retire(host);
    }
    resume_removals(st);
    return true;
}

static bool reconfigure(svi_stage *st, svi_buf *why)
{
    svi_config *fresh = NULL;
    st->problem[0] = 0;
    const bool ok = read_config(st, &fresh) && take_over(st, fresh);
    svi_config **unused = ok ? &st->config : &fresh;
    if (*unused) svi_config_free(unused);
    if (ok) st->config = fresh;
    if (!ok) svi_buf_put(why, sv_str_of(st->problem));
    st->problem[0] = 0;
    return ok;
}

bool svi_stage_reconfigure(svi_stage *st, const svi_stage_host *hosts, size_t count, svi_buf *why)
{
    const svi_stage_config how = st->how;
    bool was_gone[SVI_STAGE_HOSTS];
    SV_ASSERT(st->server && count <= SVI_STAGE_HOSTS);
    memcpy(was_gone, st->is_host_gone, sizeof was_gone);
    st->how.hosts = hosts;
    st->how.host_count = count;
    memset(st->is_host_gone, 0, sizeof st->is_host_gone);
    if (reconfigure(st, why)) return true;
    st->how = how;
    memcpy(st->is_host_gone, was_gone, sizeof was_gone);
    return false;
}

bool svi_stage_set_host(svi_stage *st, sv_str domain, bool is_gone, svi_buf *why)
{
    size_t i = 0;
    while (i < st->how.host_count && !sv_str_eq(domain, sv_str_of(st->how.hosts[i].domain))) i++;
    if (i == st->how.host_count) {
        svi_buf_printf(why, "the stage has the hosts %s", st->how.hosts[0].domain);
        for (i = 1; i < st->how.host_count; i++) svi_buf_printf(why, " and %s", st->how.hosts[i].domain);
        svi_buf_printf(why, ", not '%.*s'", (int)domain.n, domain.p);
        return false;
    }
    if (st->is_host_gone[i] == is_gone) return true;
    st->is_host_gone[i] = is_gone;
    size_t left = 0;
    for (size_t k = 0; k < st->how.host_count; k++) left += !st->is_host_gone[k];
    if (left == 0) svi_buf_printf(why, "the other host has gone, and one must stay");
    const bool ok = left > 0 && (!st->server || reconfigure(st, why));
    if (!ok) st->is_host_gone[i] = !is_gone;
    return ok;
}

bool svi_stage_host_go(svi_stage *st, sv_str domain, svi_buf *why)
{
    (void)svi_stage_settle(st);
    const bool ok = svi_stage_set_host(st, domain, true, why);
    (void)svi_stage_settle(st);
    return ok;
}

bool svi_stage_host_come(svi_stage *st, sv_str domain, svi_buf *why)
{
    (void)svi_stage_settle(st);
    const bool ok = svi_stage_set_host(st, domain, false, why);
    (void)svi_stage_settle(st);
    return ok;
}

/* --- network and disk ------------------------------------------------------------------------------------------ */

void svi_stage_set_network(svi_stage *st, const svi_link_nature *nature)
{
    svi_link_pairs_set_nature(st->pairs, nature);
}

void svi_stage_set_disk_late(svi_stage *st, int64_t min_us, int64_t max_us)
{
    SV_ASSERT(min_us >= 0 && min_us <= max_us);
    st->plan.late_min_us = svi_stage_plan(st)->late_min_us = min_us;
    st->plan.late_max_us = svi_stage_plan(st)->late_max_us = max_us;
}

void svi_stage_hold_disk(svi_stage *st, bool is_held)
{
    svi_stage_plan(st)->hold = is_held;
}

void svi_stage_fill_disk(svi_stage *st, bool is_full)
{
    st->plan.full = svi_stage_plan(st)->full = is_full;
}

void svi_stage_fail_read(svi_stage *st, uint64_t n)
{
    svi_stage_plan(st)->fail_read = (int64_t)n;
}

/* --- what there is -------------------------------------------------------------------------------------------- */

sv_str svi_stage_log(const svi_stage *st)
{
    return svi_buf_str(&st->log);
}

const char *svi_stage_fault(svi_stage *st)
{
    st->fault[0] = 0;
    if (!st->server) return st->fault;
    const svi_ledger *ledger = svi_server_ledger(st->server);
    const uint64_t in_flight = svi_ledger_in_flight(ledger), unacked = svi_server_unacked(st->server);
    if (in_flight > unacked) /* what its client has not acknowledged is where it belongs */
        (void)snprintf(st->fault, sizeof st->fault, "%llu stanzas are in flight at the end",
                       (unsigned long long)(in_flight - unacked));
    if (!svi_server_balances(st->server)) (void)snprintf(st->fault, sizeof st->fault, "the ledger does not balance");
    return st->fault;
}

svi_server *svi_stage_server(const svi_stage *st)
{
    return st->server;
}

svi_mods *svi_stage_mods(const svi_stage *st)
{
    return st->mods;
}

svi_engine *svi_stage_engine(const svi_stage *st)
{
    return st->engine;
}

svi_engines *svi_stage_engines(const svi_stage *st)
{
    return st->engines;
}

svi_plat_virtual *svi_stage_plat(svi_stage *st)
{
    return &st->plat;
}

svi_link_pairs *svi_stage_links(svi_stage *st)
{
    return st->pairs;
}
