/* The stage: the real core with the real modules in this process, on a virtual clock, with inline I/O, links in memory and the
 * simulated store. */
#include "flow.h"

#include "base/base_log.h"
#include "base/base_plat.h"
#include "mods/mods_loader.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODULES "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\""

enum { LOG_BYTES_MAX = 1 << 20 };

typedef struct stage {
    flow_world world;
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_link_pairs *pairs;
    svi_server *server;
    svi_listener *listener;
    svi_config *config;
    svi_mods *mods;
    svi_buf config_text;
    const char *modules; /* as in the config, or NULL for the default */
    const char *paths[2];
    char examples[4200];
    svi_buf log;
    bool started;
    char problem[300];
    svi_buf further; /* modules, as they stand in a list */
} stage;

static stage *stage_of(flow_world *world)
{
    return (stage *)(void *)world;
}

/* --- pipes ------------------------------------------------------------------------------------------------- */

typedef struct stage_pipe {
    flow_pipe pipe;
    svi_link *link;
} stage_pipe;

static ssize_t pipe_read(flow_pipe *pipe, void *to, size_t n)
{
    svi_link *link = ((stage_pipe *)(void *)pipe)->link;
    return link->ops->read(link, to, n);
}

static ssize_t pipe_write(flow_pipe *pipe, const void *from, size_t n)
{
    svi_link *link = ((stage_pipe *)(void *)pipe)->link;
    return link->ops->write(link, from, n);
}

static void pipe_close(flow_pipe *pipe)
{
    stage_pipe *p = (stage_pipe *)(void *)pipe;
    p->link->ops->close(p->link);
    svi_free(p);
}

static void not_told(void *ctx, bool readable, bool writable)
{
    (void)ctx, (void)readable, (void)writable; /* the runner looks by itself */
}

/* --- start --------------------------------------------------------------------------------------------------- */

static void note_problem(void *ctx, const char *file, int line, const char *text)
{
    stage *st = ctx;
    (void)file;
    if (!st->problem[0])
        (void)snprintf(st->problem, sizeof st->problem, "config line %d: %s", line, text);
}

static void never_wake(void *ctx)
{
    (void)ctx;
}

static void store_failed(void *ctx, const sv_err *err)
{
    stage *st = ctx;
    (void)snprintf(st->problem, sizeof st->problem, "the store failed: %s", err->text);
}

/* A script that names its modules itself. */
static bool sets_modules(const stage *st)
{
    static const char word[] = "modules_enabled";
    const sv_str own = svi_buf_str(&st->config_text);
    return own.n > 0 && memmem(own.p, own.n, word, sizeof word - 1) != NULL;
}

static bool read_config(stage *st)
{
    char path[] = "/tmp/flow-config-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0) return false;
    svi_buf text;
    svi_buf_init(&text, st->world.acct);
    if (!sets_modules(st))
        svi_buf_printf(&text, "modules_enabled = { %s%.*s }\n", st->modules ? st->modules : DEFAULT_MODULES,
                       (int)st->further.len, st->further.len > 0 ? st->further.data : "");
    svi_buf_put(&text, svi_buf_str(&st->config_text));
    svi_buf_put(&text, SV_STR("VirtualHost \"localhost\"\nVirtualHost \"other.localhost\"\n"));
    const bool written = write(fd, text.data, text.len) == (ssize_t)text.len;
    (void)close(fd);
    svi_buf_free(&text);
    const bool ok =
        written && svi_config_load(st->world.acct, path, note_problem, st, &st->config) == SV_OK;
    (void)unlink(path);
    return ok;
}

/* The addresses in `admins`, before the hosts. */
static sv_str_list admins_of(stage *st)
{
    sv_str_list list = {.count = 0};
    static const sv_option option[] = {{.name = "admins", .kind = SV_OPTION_LIST, .min = "one", .manual = "as in a server's config"}, {0}};
    (void)svi_options_fill(st->config, svi_config_section(st->config, 0), option, sizeof *option, &list, note_problem, st);
    return list;
}

static bool start(stage *st)
{
    if (st->started) return st->problem[0] == 0;
    st->started = true;
    sv_err err = {.text = ""};
    if (!read_config(st)) return false;
    if (!st->disk) st->disk = svi_sim_disk_new(st->world.acct);
    st->engine = svi_engine_sim(st->world.acct, st->disk);
    const svi_server_config config = {.acct = st->world.acct,
                                      .plat = &st->plat.plat,
                                      .engine = st->engine,
                                      .limits = svi_limits_default(),
                                      .salt_secret = SV_STR("stage"),
                                      .wake = never_wake,
                                      .fatal = store_failed,
                                      .ctx = st};
    if (svi_server_new(&config, &st->server, &err) == SV_OK) {
        static const char *const hosts[] = {"localhost", "other.localhost"};
        const sv_str_list admins = admins_of(st);
        for (size_t i = 0; i < 2; i++) {
            svi_host *host;
            const svi_host_config hc = {.domain = sv_str_of(hosts[i]),
                                         .admins = admins.items,
                                         .admin_count = admins.count,
                                         .require_tls = true};
            if (svi_host_add(st->server, &hc, &host, &err) != SV_OK) break;
        }
        const svi_mods_config mc = {.server = st->server,
                                    .config = st->config,
                                    .paths = st->paths,
                                    .path_count = 2,
                                    .report = note_problem,
                                    .report_ctx = st,
                                    .release = "stage"};
        st->mods = svi_mods_new(st->world.acct, &mc);
        const svi_listen_config lc = {
            .fd = -1,
            .mode = SVI_TLS_NONE,
            .limits = svi_xml_limits_stranger(),
            .rate = svi_limits_default().stranger_rate};
        if (!err.text[0] && svi_mods_start(st->mods) == SV_OK)
            (void)svi_net_listen(svi_server_net(st->server), &lc, &st->listener, &err);
    }
    if (err.text[0] && !st->problem[0])
        (void)snprintf(st->problem, sizeof st->problem, "%.290s", err.text);
    return st->problem[0] == 0;
}

/* --- the world ------------------------------------------------------------------------------------------------- */

static bool configure(flow_world *world, sv_str line)
{
    stage *st = stage_of(world);
    if (st->started) return false;
    svi_buf_put(&st->config_text, line);
    svi_buf_putc(&st->config_text, '\n');
    return true;
}

static bool enable(flow_world *world, sv_str module)
{
    stage *st = stage_of(world);
    if (st->started || sets_modules(st)) return false;
    svi_buf_printf(&st->further, ", \"%.*s\"", (int)module.n, module.p);
    return true;
}

static bool settle(flow_world *world)
{
    stage *st = stage_of(world);
    if (!st->server) return false;
    bool any = false, again = true;
    for (int rounds = 0; again && rounds < 100000; rounds++) {
        again = svi_link_pairs_run(st->pairs) > 0;
        again |= svi_server_turn(st->server);
        again |= svi_engine_sim_step(st->engine, 64) > 0;
        any |= again;
    }
    SV_ASSERT(!again); /* the server never comes to rest */
    return any;
}

static void pass_time(flow_world *world, int64_t us)
{
    stage *st = stage_of(world);
    if (!start(st)) return;
    const int64_t end = st->plat.now_us + us;
    (void)settle(world);
    while (st->plat.now_us < end) {
        const int64_t due = svi_server_due_us(st->server);
        const int64_t next = due < end ? (due > st->plat.now_us ? due : st->plat.now_us + 1) : end;
        svi_plat_virtual_advance(&st->plat, next - st->plat.now_us);
        (void)settle(world);
    }
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

static bool add_account(flow_world *world, sv_str user, sv_str domain, sv_str password)
{
    stage *st = stage_of(world);
    if (!start(st)) return fprintf(stderr, "flow: the stage does not start: %s\n", st->problem), false;
    svi_host *host = svi_host_find(st->server, domain);
    svi_scram_keys keys;
    if (!host || svi_scram_derive("SCRAM-SHA-256", password, SV_STR("salt-of-the-stage"), 4096,
                                  &keys) != SV_OK)
        return false;
    waiting w = {.done = false};
    svi_account_set(host, user, &keys, 1, false, account_done, &w);
    (void)settle(world);
    return w.done && w.status == SV_OK;
}

static flow_pipe *open_pipe(flow_world *world)
{
    stage *st = stage_of(world);
    if (!start(st)) return NULL;
    svi_link *ours, *theirs;
    svi_link_pair(st->pairs, 65536, &ours, &theirs);
    ours->ready = not_told;
    svi_net_attach(svi_server_net(st->server), st->listener, theirs, "memory");
    stage_pipe *p = svi_alloc(world->acct, sizeof *p);
    *p = (stage_pipe){
        .pipe = {.read = pipe_read, .write = pipe_write, .close = pipe_close, .fd = -1},
        .link = ours};
    return &p->pipe;
}

static bool operate(flow_world *world, sv_str line, svi_buf *out)
{
    stage *st = stage_of(world);
    if (start(st)) return flow_operate(world, st->server, st->mods, line, out);
    svi_buf_printf(out, "the stage does not start: %s", st->problem);
    return false;
}

static bool reload(flow_world *world, sv_str module, svi_buf *why)
{
    stage *st = stage_of(world);
    svi_mods_reloaded reloaded;
    const svi_mods_reloading how = {.names = &module, .count = 1, .report = note_problem, .report_ctx = st};
    const bool ok = start(st) && (settle(world), svi_mods_reload(st->mods, &how, &reloaded) == SV_OK);
    if (!ok) svi_buf_put(why, sv_str_of(st->problem));
    st->problem[0] = 0;
    (void)settle(world);
    return ok;
}

static void stop(stage *st)
{
    if (st->mods) svi_mods_free(&st->mods);
    if (st->server) svi_server_free(&st->server, 0);
    if (st->config) svi_config_free(&st->config);
    st->started = false;
}

static bool restart(flow_world *world, svi_buf *why)
{
    stage *st = stage_of(world);
    if (st->server) (void)settle(world);
    if (st->started) stop(st);
    st->problem[0] = 0;
    if (start(st)) return true;
    svi_buf_put(why, sv_str_of(st->problem));
    return false;
}

static void note_line(void *ctx, sv_level level, const char *event, const svi_field *fields, size_t count)
{
    stage *st = ctx;
    char text[SVI_LOG_BYTES];
    const sv_str line = svi_log_message(svi_log_line(SVI_LOG_TEXT, level, event, fields, count, text));
    if (st->log.len + line.n <= LOG_BYTES_MAX) svi_buf_put(&st->log, line);
}

static sv_str log_lines(const flow_world *world)
{
    return svi_buf_str(&((const stage *)(const void *)world)->log);
}

static bool close_stage(flow_world **world, char *why, size_t why_bytes)
{
    stage *st = stage_of(*world);
    why[0] = 0;
    if (st->server) {
        (void)settle(*world);
        const svi_ledger *ledger = svi_server_ledger(st->server);
        if (!st->problem[0] && !svi_ledger_balances(ledger))
            (void)snprintf(why, why_bytes, "the ledger does not balance");
        if (!st->problem[0] && svi_ledger_in_flight(ledger) > 0)
            (void)snprintf(why, why_bytes, "%llu stanzas are in flight at the end",
                           (unsigned long long)svi_ledger_in_flight(ledger));
    }
    stop(st);
    svi_log_set_tap(NULL, NULL);
    svi_buf_free(&st->log);
    if (st->disk) svi_sim_disk_free(&st->disk);
    svi_link_pairs_free(&st->pairs);
    svi_buf_free(&st->config_text);
    svi_buf_free(&st->further);
    svi_free(st);
    *world = NULL;
    return why[0] == 0;
}

flow_world *flow_stage_new(svi_acct *acct, const char *module_dir, const char *modules)
{
    stage *st = svi_alloc(acct, sizeof *st);
    st->world = (flow_world){.acct = acct,
                             .name = "stage",
                             .configure = configure,
                             .enable = enable,
                             .add_account = add_account,
                             .open = open_pipe,
                             .settle = settle,
                             .pass_time = pass_time,
                             .operate = operate,
                             .reload = reload,
                             .restart = restart,
                             .log_lines = log_lines,
                             .close = close_stage};
    svi_plat_virtual_init(&st->plat, 1);
    st->pairs = svi_link_pairs_new(acct);
    svi_buf_init(&st->config_text, acct);
    svi_buf_init(&st->further, acct);
    svi_buf_init(&st->log, acct);
    svi_log_set_tap(note_line, st);
    svi_log_tap_level(SV_INFO);
    (void)snprintf(st->examples, sizeof st->examples, "%s/../examples", module_dir);
    st->paths[0] = module_dir;
    st->paths[1] = st->examples;
    st->modules = modules;
    return &st->world;
}
