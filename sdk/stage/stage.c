/* The stage's server: how it is made, turned, ended and killed. */
#include "stage.h"

#include "base/base_log.h"
#include "mods/mods_engine.h"
#include "xmpp/xmpp_account.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODULES "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\""

enum { LOG_BYTES_MAX = 1 << 20, WINDOW_BYTES = 65536 };

struct svi_stage {
    svi_stage_config how;
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_link_pairs *pairs;
    svi_server *server;
    svi_listener *listener;
    svi_config *config;
    svi_mods *mods;
    uv_loop_t loop; /* of engine modules; open while there are engines */
    svi_engines *engines;
    svi_buf config_text, log;
    svi_buf further; /* modules, as they stand in a list */
    bool started;
    char problem[300], fault[100];
};

static void note_problem(void *ctx, const char *file, int line, const char *text)
{
    svi_stage *st = ctx;
    (void)file;
    if (!st->problem[0]) (void)snprintf(st->problem, sizeof st->problem, "config line %d: %s", line, text);
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

svi_stage *svi_stage_new(const svi_stage_config *config)
{
    svi_stage *st = svi_alloc(config->peers, sizeof *st);
    st->how = *config;
    svi_plat_virtual_init(&st->plat, config->seed);
    st->pairs = svi_link_pairs_new(config->peers);
    svi_buf_init(&st->config_text, config->peers);
    svi_buf_init(&st->further, config->peers);
    svi_buf_init(&st->log, config->peers);
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

bool svi_stage_enable(svi_stage *st, sv_str module)
{
    if (st->started || sets_modules(st)) return false;
    svi_buf_printf(&st->further, ", \"%.*s\"", (int)module.n, module.p);
    return true;
}

static bool read_config(svi_stage *st)
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
    svi_buf_put(&text, SV_STR("VirtualHost \"localhost\"\nVirtualHost \"other.localhost\"\n"));
    const bool written = write(fd, text.data, text.len) == (ssize_t)text.len;
    (void)close(fd);
    svi_buf_free(&text);
    const bool ok = written && svi_config_load(st->how.core, path, note_problem, st, &st->config) == SV_OK;
    (void)unlink(path);
    return ok;
}

/* The addresses in `admins`, before the hosts. */
static sv_str_list admins_of(svi_stage *st)
{
    sv_str_list list = {.count = 0};
    static const sv_option option[] = {
        {.name = "admins", .kind = SV_OPTION_LIST, .min = "one", .manual = "as in a server's config"}, {0}};
    (void)svi_options_fill(st->config, svi_config_section(st->config, 0), option, sizeof *option, &list, note_problem, st);
    return list;
}

static bool add_hosts(svi_stage *st, sv_err *err)
{
    static const char *const hosts[] = {"localhost", "other.localhost"};
    const sv_str_list admins = admins_of(st);
    for (size_t i = 0; i < 2; i++) {
        svi_host *host;
        const svi_host_config hc = {.domain = sv_str_of(hosts[i]),
                                    .admins = admins.items,
                                    .admin_count = admins.count,
                                    .require_tls = true};
        if (svi_host_add(st->server, &hc, &host, err) != SV_OK) return false;
    }
    return true;
}

static bool make_engines(svi_stage *st, sv_err *err)
{
    if (uv_loop_init(&st->loop) != 0) return svi_err(err, SV_ELIMIT, "no loop for engine modules"), false;
    st->engines = svi_engines_new(&(svi_engines_config){
        .acct = st->how.core, .plat = &st->plat.plat, .loop = &st->loop, .is_staged = true});
    return true;
}

static bool make_server(svi_stage *st, sv_err *err)
{
    const svi_server_config config = {.acct = st->how.core,
                                      .plat = &st->plat.plat,
                                      .engine = st->engine,
                                      .limits = st->how.limits ? *st->how.limits : svi_limits_default(),
                                      .salt_secret = SV_STR("stage"),
                                      .wake = never_wake,
                                      .fatal = store_failed,
                                      .store_cache_bytes = st->how.cache_bytes,
                                      .ctx = st};
    return svi_server_new(&config, &st->server, err) == SV_OK && add_hosts(st, err);
}

static bool start_modules(svi_stage *st)
{
    const svi_mods_config config = {.server = st->server,
                                    .config = st->config,
                                    .engines = st->engines,
                                    .paths = st->how.paths,
                                    .path_count = st->how.path_count,
                                    .report = note_problem,
                                    .report_ctx = st,
                                    .release = "stage"};
    st->mods = svi_mods_new(st->how.core, &config);
    return svi_mods_start(st->mods) == SV_OK;
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
    if (!read_config(st)) return false;
    if (!st->disk) st->disk = svi_sim_disk_new(st->how.peers);
    st->engine = svi_engine_sim(st->how.peers, st->disk);
    if (make_engines(st, &err) && make_server(st, &err) && start_modules(st)) listen_to_links(st, &err);
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
    if (st->mods) svi_mods_free(&st->mods);
    if (st->engines) svi_engines_settle(st->engines);
    if (st->server) svi_server_free(&st->server, 0);
    if (st->engines) free_engines(st);
    if (st->config) svi_config_free(&st->config);
    st->engine = NULL;
    st->started = false;
}

void svi_stage_kill(svi_stage *st)
{
    if (st->server) svi_engine_sim_plan(st->engine)->dead = true;
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
    if (!st->server) return false;
    bool any = false, again = true;
    for (int rounds = 0; again && rounds < 100000; rounds++) {
        again = svi_link_pairs_run(st->pairs) > 0;
        again |= svi_server_turn(st->server);
        again |= svi_engine_sim_step(st->engine, 64) > 0;
        again |= turn_engines(st);
        any |= again;
    }
    SV_ASSERT(!again); /* the server never comes to rest */
    return any;
}

void svi_stage_pass(svi_stage *st, int64_t us)
{
    if (!st->server) return;
    const int64_t end = st->plat.now_us + us;
    (void)svi_stage_settle(st);
    while (st->plat.now_us < end) {
        const int64_t timer = svi_engines_due_us(st->engines), turn = svi_server_due_us(st->server);
        const int64_t due = timer < turn ? timer : turn;
        const int64_t next = due < end ? (due > st->plat.now_us ? due : st->plat.now_us + 1) : end;
        svi_plat_virtual_advance(&st->plat, next - st->plat.now_us);
        (void)svi_stage_settle(st);
    }
}

svi_link *svi_stage_connect(svi_stage *st)
{
    svi_link *ours, *theirs;
    svi_link_pair(st->pairs, WINDOW_BYTES, &ours, &theirs);
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

bool svi_stage_add_account(svi_stage *st, sv_str user, sv_str domain, sv_str password)
{
    svi_host *host = svi_host_find(st->server, domain);
    svi_scram_keys keys;
    if (!host || svi_scram_derive("SCRAM-SHA-256", password, SV_STR("salt-of-the-stage"), 4096, &keys) != SV_OK)
        return false;
    waiting w = {.done = false};
    svi_account_set(host, user, &keys, 1, false, account_done, &w);
    (void)svi_stage_settle(st);
    return w.done && w.status == SV_OK;
}

bool svi_stage_reload(svi_stage *st, sv_str module, svi_buf *why)
{
    svi_mods_reloaded reloaded;
    const svi_mods_reloading how = {.names = &module, .count = 1, .report = note_problem, .report_ctx = st};
    (void)svi_stage_settle(st);
    const bool ok = svi_mods_reload(st->mods, &how, &reloaded) == SV_OK;
    if (!ok) svi_buf_put(why, sv_str_of(st->problem));
    st->problem[0] = 0;
    (void)svi_stage_settle(st);
    return ok;
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
    if (svi_ledger_in_flight(ledger) > 0)
        (void)snprintf(st->fault, sizeof st->fault, "%llu stanzas are in flight at the end",
                       (unsigned long long)svi_ledger_in_flight(ledger));
    if (!svi_ledger_balances(ledger)) (void)snprintf(st->fault, sizeof st->fault, "the ledger does not balance");
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
