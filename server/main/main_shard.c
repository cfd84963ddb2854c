/* A shard on a libuv loop: its parts, and when its turns are taken. */
#include "main/main_shard.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_cli.h"
#include "main/main_core.h"
#include "main/main_state.h"
#include "mods/mods_command.h"
#include "mods/mods_engine.h"
#include "net/net_wake.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_recover.h"
#include "xmpp/xmpp_removal.h"

#define MAGIC 0x53485244u
#define DRAIN_STEP_MS 2
#define WINDOW_US ((int64_t)5000000)
#define TURNS_AT_ONCE 16 /* then sockets and timers of the loop have their say */
#define TURNS_US 20000    /* ... or behind this time */

/* Where modules are looked for. */
typedef struct module_paths {
    svi_arena *arena; /* it lies in there, too */
    svi_module_paths list;
} module_paths;

struct svi_shard {
    uint32_t magic;
    svi_acct *acct;
    pthread_t thread;
    uv_loop_t loop;
    svi_wake wake;    /* other threads ask for a turn */
    uv_idle_t idle;   /* active while a turn is wanted: the loop does not wait then */
    uv_timer_t timer; /* until the next turn that time makes due */
    bool is_running;  /* the server is made and may be turned */
    svi_shard_load load;
    int64_t window_us;  /* when the window of `longest_us` began */
    int64_t longest_us; /* of the window; load.longest_us is that of the one before */
    svi_server *server;
    svi_engines *engines;
    svi_store_module store_module; /* if one keeps the store ... */
    sv_str store_name;             /* ... its name */
    svi_mods *mods;
    module_paths *paths;
    svi_arena *arena;
    uint8_t salt[SVI_SALT_BYTES];
    uint64_t backup_rate;
    void (*fatal)(void *ctx, const sv_err *err);
    void *fatal_ctx;
};

/* --- turns -------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static int64_t now_us(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx);
}

/* Measures what a read of each clock takes. */
static void measure_clock(const svi_plat *plat, svi_shard_load *load)
{
    enum { READS = 4000 };
    int64_t seen = 0; /* looked at, so that no read is left out */
    const int64_t from_us = plat->mono_us(plat->ctx);
    for (int i = 0; i < READS; i++) seen |= plat->mono_us(plat->ctx);
    const int64_t mid_us = plat->mono_us(plat->ctx);
    int64_t (*const coarse)(void *) = plat->coarse_us != NULL ? plat->coarse_us : plat->mono_us;
    for (int i = 0; i < READS; i++) seen |= coarse(plat->ctx);
    const int64_t end_us = plat->mono_us(plat->ctx);
    SV_ASSERT(seen >= 0);
    load->fine_ns = (double)(mid_us - from_us) * 1000 / (double)READS;
    load->coarse_ns = (double)(end_us - mid_us) * 1000 / (double)READS;
}

static void note_load(svi_shard *shard, int64_t from_us)
{
    const int64_t to_us = now_us(), took_us = to_us - from_us;
    shard->load.busy_us += took_us;
    shard->load.turns++;
    shard->load.reads += 2;
    if (to_us - shard->window_us > WINDOW_US) {
        shard->load.longest_us = to_us - shard->window_us < 2 * WINDOW_US ? shard->longest_us : 0;
        shard->window_us = to_us;
        shard->longest_us = 0;
    }
    if (took_us > shard->longest_us) shard->longest_us = took_us;
}

void svi_shard_load_get(const svi_shard *shard, svi_shard_load *load_out)
{
    SV_CHECK(shard, MAGIC);
    const int64_t window_us = now_us() - shard->window_us; /* it may be over, and nothing has run since */
    *load_out = shard->load;
    if (window_us >= WINDOW_US) load_out->longest_us = 0;
    if (window_us < 2 * WINDOW_US && shard->longest_us > load_out->longest_us)
        load_out->longest_us = shard->longest_us;
}

static void on_idle(uv_idle_t *idle)
{
    svi_shard *shard = idle->data;
    const int64_t from_us = now_us();
    bool more = true;
    for (int i = 0; i < TURNS_AT_ONCE && more; i++) {
        more = svi_server_turn(shard->server);
        if (now_us() - from_us > TURNS_US) break;
    }
    note_load(shard, from_us);
    if (more) return;
    (void)uv_idle_stop(idle);
    const int64_t due_us = svi_server_due_us(shard->server);
    if (due_us == INT64_MAX) {
        (void)uv_timer_stop(&shard->timer);
        return;
    }
    const svi_plat *plat = svi_plat_kernel();
    const int64_t wait_us = due_us - plat->mono_us(plat->ctx);
    uv_update_time(&shard->loop);
    (void)uv_timer_start(&shard->timer, on_timer,
                         wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0, 0);
}

static void want_turn(svi_shard *shard)
{
    if (shard->is_running) (void)uv_idle_start(&shard->idle, on_idle);
}

static void on_timer(uv_timer_t *timer)
{
    want_turn(timer->data);
}

static void on_asked(void *ctx)
{
    want_turn(ctx);
}

/* Any thread. On the router's own no system call is needed: the idle handle keeps the loop awake. */
static void on_wake(void *ctx)
{
    svi_shard *shard = ctx;
    if (pthread_equal(pthread_self(), shard->thread))
        want_turn(shard);
    else
        svi_wake_send(&shard->wake);
}

void svi_shard_wake(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    on_wake(shard);
}

static void on_fatal(void *ctx, const sv_err *err)
{
    const svi_shard *shard = ctx;
    if (shard->fatal) shard->fatal(shard->fatal_ctx, err);
}

/* --- parts -------------------------------------------------------------------------------------------- */

static void open_loop(svi_shard *shard)
{
    const int failed = uv_loop_init(&shard->loop);
    SV_ASSERT(failed == 0);
    const int deaf = svi_wake_init(&shard->wake, &shard->loop, on_asked, shard);
    SV_ASSERT(deaf == 0);
    shard->engines = svi_engines_new(&(svi_engines_config){.acct = shard->acct,
                                                           .plat = svi_plat_kernel(),
                                                           .loop = &shard->loop,
                                                           .turn = on_wake,
                                                           .ctx = shard});
    (void)uv_idle_init(&shard->loop, &shard->idle);
    (void)uv_timer_init(&shard->loop, &shard->timer);
    shard->idle.data = shard->timer.data = shard;
}

void svi_module_paths_get(svi_arena *arena, const svi_settings *settings, const char *program, svi_module_paths *paths_out)
{
    static const char *const beside[] = {"modules", "../lib/stave/modules"};
    const sv_str_list *own = &settings->module_paths;
    svi_module_paths paths = {.own = own->count};
    paths.items = svi_arena_get(arena, (own->count + 2) * sizeof *paths.items);
    for (size_t i = 0; i < own->count; i++) paths.items[paths.count++] = svi_arena_str(arena, own->items[i]).p;
    const char *slash = strrchr(program, '/');
    const int n = slash ? (int)(slash - program) : 0;
    for (size_t i = 0; i < 2; i++) paths.items[paths.count++] = svi_arena_printf(arena, "%.*s/%s", n, program, beside[i]).p;
    *paths_out = paths;
}

static module_paths *paths_new(const svi_shard_config *config)
{
    svi_arena *arena = svi_arena_new(config->acct, 1024);
    module_paths *paths = svi_arena_get(arena, sizeof *paths);
    paths->arena = arena;
    svi_module_paths_get(arena, config->settings, config->program, &paths->list);
    return paths;
}

static void paths_free(module_paths **paths)
{
    svi_arena *arena = (*paths)->arena;
    *paths = NULL;
    svi_arena_free(&arena);
}

/* Makes the hosts of the config known; nobody sees that yet. */
static sv_status prepare_hosts(const svi_shard *shard, const svi_shard_config *config, sv_err *err)
{
    const svi_section *section;
    sv_status status = SV_OK;
    for (size_t i = 0; (section = svi_config_section(config->config, i)) != NULL; i++) {
        svi_host *host;
        if (section->kind == SVI_SECTION_HOST && status == SV_OK)
            status = svi_host_prepare(shard->server, section->name, &host, err);
    }
    return status;
}

/* Serves a prepared host with its section's settings; SV_EINVAL if they are wrong. */
static sv_status serve_host(const svi_shard *shard, const svi_shard_config *config,
                            const svi_section *section, bool *is_changed_out)
{
    svi_settings s;
    svi_host *host = svi_host_known(shard->server, section->name);
    const sv_status status =
        svi_settings_read(config->config, section, &s, config->report, config->report_ctx);
    SV_ASSERT(host != NULL);
    if (status != SV_OK) return status;
    *is_changed_out =
        svi_host_serve(host, &(svi_host_config){.admins = s.admins.items,
                                                .admin_count = s.admins.count,
                                                .require_tls = s.c2s_require_encryption,
                                                .logins = (svi_logins)s.authentication,
                                                .guests_max = (size_t)s.c2s_guests_max,
                                                .keeps_addresses = s.login_addresses});
    return SV_OK;
}

static sv_status add_hosts(const svi_shard *shard, const svi_shard_config *config, sv_err *err)
{
    const svi_section *section;
    bool is_changed;
    sv_status status = prepare_hosts(shard, config, err);
    for (size_t i = 0; (section = svi_config_section(config->config, i)) != NULL; i++)
        if (section->kind == SVI_SECTION_HOST && status == SV_OK)
            status = serve_host(shard, config, section, &is_changed);
    return status;
}

static svi_mods *mods_new(const svi_shard *shard, const svi_shard_config *config,
                          const module_paths *paths)
{
    const svi_mods_config mods = {.server = shard->server,
                                  .config = config->config,
                                  .engines = shard->engines,
                                  .paths = paths->list.items,
                                  .path_count = paths->list.count,
                                  .release = SVI_VERSION,
                                  .script_bytes = config->settings->lua_memory_max,
                                  .script_cpu_us = config->settings->lua_handler_max_ms * 1000,
                                  .before = shard->mods,
                                  .held = config->held,
                                  .held_count = config->held_count,
                                  .report = config->report,
                                  .report_ctx = config->report_ctx};
    return svi_mods_new(shard->acct, &mods);
}

static svi_shard *shard_new(const svi_shard_config *config)
{
    svi_shard *shard = svi_alloc(config->acct, sizeof *shard);
    shard->magic = MAGIC;
    shard->acct = config->acct;
    shard->thread = pthread_self();
    shard->fatal = config->fatal;
    shard->fatal_ctx = config->fatal_ctx;
    shard->arena = svi_arena_new(config->acct, 1024);
    shard->paths = paths_new(config);
    shard->store_name = svi_arena_str(shard->arena, config->settings->store_engine);
    return shard;
}

static sv_status open_server(svi_shard *shard, const svi_shard_config *config, svi_engine *engine,
                             sv_str salt, sv_err *err)
{
    const svi_server_config server = {
        .acct = config->acct,
        .plat = svi_plat_kernel(),
        .loop = &shard->loop,
        .engine = engine,
        .durability = (svi_durability)config->settings->durability,
        .io_threads = config->io_threads,
        .limits = svi_settings_limits(config->settings),
        .explain_bytes = (size_t)config->settings->explain_bytes,
        .salt_secret = salt,
        .wake = on_wake,
        .fatal = on_fatal,
        .ctx = shard,
        .keeps_records = true,
    };
    const sv_status status = svi_server_new(&server, &shard->server, err);
#ifdef SVI_DEBUG
    /* Tests of what becomes of modules that break rules go on where a debug build ends. */
    if (status == SV_OK && getenv("STAVE_LENIENT") != NULL)
        svi_ledger_set_strict(svi_server_ledger(shard->server), false);
#endif
    return status;
}

/* The module that store_engine names. */
static sv_status open_store_module(const svi_shard *shard, const svi_shard_config *config,
                                   bool is_check, svi_store_module *module_out, sv_err *err)
{
    const svi_mods_config mods = {.config = config->config,
                                  .engines = shard->engines,
                                  .paths = shard->paths->list.items,
                                  .path_count = shard->paths->list.count,
                                  .release = SVI_VERSION,
                                  .report = config->report,
                                  .report_ctx = config->report_ctx};
    return svi_store_module_open(shard->acct, &mods, config->settings->store_engine, is_check,
                                 module_out, err);
}

static sv_status open_engine(svi_shard *shard, const svi_shard_config *config, const char *data,
                             svi_engine **engine_out, sv_err *err)
{
    const svi_lmdb_config lmdb = {
        .path = config->store_path ? sv_str_of(config->store_path)
                                   : svi_arena_printf(shard->arena, "%s/store", data),
        .max_bytes = (uint64_t)config->settings->store_size_max,
        .reserve_bytes = (uint64_t)config->settings->store_disk_reserve};
    if (config->store_path || config->settings->store_engine.n == 0)
        return svi_engine_lmdb(config->acct, &lmdb, engine_out, err);
    const sv_status status = open_store_module(shard, config, false, &shard->store_module, err);
    *engine_out = shard->store_module.engine;
    return status;
}

static sv_status open_stored_server(svi_shard *shard, const svi_shard_config *config, sv_err *err)
{
    svi_engine *engine = NULL;
    shard->backup_rate = (uint64_t)config->settings->backup_rate;
    const char *data = svi_arena_str(shard->arena, config->settings->data_path).p;
    sv_status status = svi_state_salt(data, svi_plat_kernel(), shard->salt, err);
    if (status == SV_OK) status = open_engine(shard, config, data, &engine, err);
    if (status == SV_OK)
        status = open_server(shard, config, engine, (sv_str){(const char *)shard->salt, sizeof shard->salt},
                             err);
    return status;
}

enum { TABLES_MAX = 2048 };

/* Tables of options; a module's come once, however many hosts it runs on. */
typedef struct name_tables {
    const sv_option *items[TABLES_MAX];
    size_t strides[TABLES_MAX];
    size_t count;
} name_tables;

static void add_table(name_tables *t, const sv_option *options, size_t stride)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->items[i] == options) return;
    if (!options || t->count == TABLES_MAX) return;
    t->items[t->count] = options;
    t->strides[t->count++] = stride;
}

/* Every name in the config that neither the core nor an enabled module knows. */
static sv_status check_names(const svi_store_module *store, const svi_mods *mods,
                             const svi_shard_config *config)
{
    name_tables *t = svi_alloc(config->acct, sizeof *t);
    const sv_option *options;
    size_t stride;
    add_table(t, svi_settings_options(), sizeof(sv_option));
    add_table(t, svi_budget_options(), sizeof(sv_option));
    add_table(t, store->options, store->option_stride);
    for (size_t i = 0; svi_mods_options(mods, i, &options, &stride); i++) add_table(t, options, stride);
    for (size_t i = 0; svi_mods_budget_options(mods, i, &options); i++)
        add_table(t, options, sizeof(sv_option));
    const sv_status status = svi_options_unknown(config->config, t->items, t->strides, t->count,
                                                 config->report, config->report_ctx);
    svi_free(t);
    return status;
}

static bool is_enabled(const svi_mods *mods, sv_str name)
{
    svi_mod_info m;
    for (size_t i = 0; svi_mods_info(mods, i, &m); i++)
        if (sv_str_eq(sv_str_of(m.name), name)) return true;
    return false;
}

/* A name that is misspelt there would be noticed when it is too late. */
static sv_status check_essential(const svi_mods *mods, const svi_shard_config *config)
{
    static const char name[] = "modules_essential";
    const svi_section *global = svi_config_section(config->config, 0);
    const svi_value *at = svi_config_get(config->config, global, sv_str_of(name));
    const sv_str_list *list = &config->settings->modules_essential;
    sv_status status = SV_OK;
    for (size_t i = 0; at && i < list->count; i++) {
        if (is_enabled(mods, list->items[i])) continue;
        char text[200];
        (void)snprintf(text, sizeof text, "'%s' names \"%.*s\", which no host has in modules_enabled", name,
                       (int)(list->items[i].n < 60 ? list->items[i].n : 60), list->items[i].p);
        config->report(config->report_ctx, at->file, at->line, text);
        status = SV_EINVAL;
    }
    return status;
}

/* A module's command that begins as one of the server's own would never be reached. */
static sv_status check_commands(const svi_mods *mods, const svi_shard_config *config)
{
    sv_status status = SV_OK;
    const char *module;
    const sv_command *c;
    for (size_t i = 0; (c = svi_mods_command(mods, i, &module)) != NULL; i++) {
        const svi_core_command *core = svi_core_shadows(c->name);
        if (!core) continue;
        char text[400];
        (void)snprintf(text, sizeof text,
                       "module \"%s\" declares the command \"%s\", but \"%s\" is one of the server",
                       module, c->name, core->what.name);
        config->report(config->report_ctx, svi_config_section(config->config, 0)->file, 0, text);
        status = SV_EINVAL;
    }
    return status;
}

/* --- open and close ----------------------------------------------------------------------------------- */

/* Deletions that an end of the server, or of a host, has broken off; what runs already runs on. */
static void resume_removals(const svi_shard *shard)
{
    for (svi_host *host = NULL; (host = svi_host_next(shard->server, host)) != NULL;)
        svi_removals_resume(host);
}

sv_status svi_shard_open(const svi_shard_config *config, svi_shard **shard_out, sv_err *err)
{
    svi_shard *shard = shard_new(config);
    open_loop(shard);
    sv_status status = open_stored_server(shard, config, err);
    if (status == SV_OK) status = add_hosts(shard, config, err);
    if (status == SV_OK) {
        shard->mods = mods_new(shard, config, shard->paths);
        status = svi_mods_start(shard->mods);
        if (status == SV_OK) status = check_names(&shard->store_module, shard->mods, config);
        if (status == SV_OK) status = check_commands(shard->mods, config);
        if (status == SV_OK) status = check_essential(shard->mods, config);
    }
    if (status != SV_OK) {
        svi_shard_close(&shard, 0);
        return status;
    }
    shard->is_running = true;
    measure_clock(svi_plat_kernel(), &shard->load);
    resume_removals(shard);
    want_turn(shard);
    *shard_out = shard;
    return SV_OK;
}

static void on_recovered(void *ctx, const svi_recovered *recovered)
{
    bool *is_over = ctx;
    *is_over = true;
    if (recovered->away + recovered->ended + recovered->damaged == 0 && recovered->status == SV_OK) return;
    SV_LOG(recovered->status == SV_OK ? SV_INFO : SV_ERROR, "sessions-recovered", LF_INT("away", recovered->away),
           LF_INT("ended", recovered->ended), LF_INT("damaged", recovered->damaged),
           LF_TXT("status", svi_status_name(recovered->status)));
}

void svi_shard_recover(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    bool is_over = false;
    svi_sessions_recover(shard->server, on_recovered, &is_over);
    while (!is_over) {
        want_turn(shard);
        (void)uv_run(&shard->loop, UV_RUN_ONCE);
    }
}

/* --- taking another config over ----------------------------------------------------------------------- */

static bool has_host(const svi_config *config, sv_str domain)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++)
        if (section->kind == SVI_SECTION_HOST && sv_str_eq(section->name, domain)) return true;
    return false;
}

/* Names of another store engine, which the next start will have, are its own. */
static sv_status check_next_names(const svi_shard *shard, const svi_shard_config *config,
                                  const svi_mods *next, sv_err *err)
{
    const sv_str name = config->settings->store_engine;
    svi_store_module other = {.engine = NULL};
    if (sv_str_eq(name, shard->store_name)) {
        const svi_mods_config values = {
            .config = config->config, .report = config->report, .report_ctx = config->report_ctx};
        const sv_status known = check_names(&shard->store_module, next, config);
        return name.n == 0 || svi_store_module_check(shard->acct, &shard->store_module, &values) == SV_OK
                   ? known
                   : SV_EINVAL;
    }
    const sv_status status =
        name.n > 0 ? open_store_module(shard, config, true, &other, err) : SV_OK;
    if (status != SV_OK) return status;
    const sv_status known = check_names(&other, next, config);
    svi_store_module_free(&other);
    return known;
}

/* Everything that can fail. */
static sv_status make_ready(const svi_shard *shard, const svi_shard_config *config, svi_mods *next,
                            sv_err *err)
{
    sv_status status = prepare_hosts(shard, config, err);
    if (status == SV_OK) status = svi_mods_check(next);
    if (status == SV_OK) status = check_commands(next, config);
    if (status == SV_OK) status = check_next_names(shard, config, next, err);
    if (status == SV_OK) status = check_essential(next, config);
    return status == SV_OK ? svi_mods_ready(next) : status;
}

static void retire_hosts(const svi_shard *shard, const svi_shard_config *config,
                         svi_shard_changed changed, void *ctx)
{
    svi_host *host = svi_host_next(shard->server, NULL);
    while (host) {
        svi_host *next = svi_host_next(shard->server, host);
        if (!has_host(config->config, svi_host_domain(host))) {
            svi_host_retire(host);
            changed(ctx, "removed", svi_host_domain(host));
        }
        host = next;
    }
}

static void serve_hosts(const svi_shard *shard, const svi_shard_config *config, const svi_mods *next,
                        svi_shard_changed changed, void *ctx)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config->config, i)) != NULL; i++) {
        if (section->kind != SVI_SECTION_HOST) continue;
        const svi_host *host = svi_host_known(shard->server, section->name);
        const bool is_new = !svi_host_is_served(host);
        bool is_other = false;
        const sv_status status = serve_host(shard, config, section, &is_other);
        SV_ASSERT(status == SV_OK); /* they were checked before anything was changed */
        if (is_new || is_other || !svi_mods_is_same(next, host))
            changed(ctx, is_new ? "added" : "changed", section->name);
    }
}

sv_status svi_shard_take_over(svi_shard *shard, const svi_shard_config *config,
                              svi_shard_changed changed, void *ctx, sv_err *err)
{
    SV_CHECK(shard, MAGIC);
    module_paths *paths = paths_new(config);
    svi_mods *next = mods_new(shard, config, paths);
    const sv_status status = make_ready(shard, config, next, err);
    if (status != SV_OK) {
        svi_mods_free(&next);
        paths_free(&paths);
        return status;
    }
    serve_hosts(shard, config, next, changed, ctx);
    svi_mods_replace(&shard->mods, &next);
    retire_hosts(shard, config, changed, ctx);
    paths_free(&shard->paths);
    shard->paths = paths;
    resume_removals(shard);
    want_turn(shard);
    return SV_OK;
}

static void log_ledger(svi_shard *shard)
{
    const svi_ledger *ledger = svi_server_ledger(shard->server);
    const svi_ledger_counts *all = svi_ledger_total(ledger);
    uint64_t made = 0;
    for (int i = SVI_RECEIVED + 1; i < SVI_ORIGINS; i++) made += all->origin[i];
    SV_LOG(SV_INFO, "server-stop", LF_INT("received", all->origin[SVI_RECEIVED]),
           LF_INT("made", made), LF_INT("handed_over", all->disposal[SVI_HANDED_OVER]),
           LF_INT("stored", all->disposal[SVI_STORED]),
           LF_INT("dropped", all->disposal[SVI_DROPPED]),
           LF_INT("in_flight", svi_ledger_in_flight(ledger)),
           LF_TXT("balanced", svi_server_balances(shard->server) ? "yes" : "no"));
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void close_loop(svi_shard *shard)
{
    (void)uv_run(&shard->loop, UV_RUN_NOWAIT);
    svi_wake_close(&shard->wake, NULL);
    uv_walk(&shard->loop, close_handle, NULL);
    (void)uv_run(&shard->loop, UV_RUN_DEFAULT);
    const int busy = uv_loop_close(&shard->loop);
    SV_ASSERT(busy == 0);
}

/* Ends all streams while the modules still hear of it, for a bounded time. */
static void drain(svi_shard *shard, unsigned within_ms)
{
    const svi_plat *plat = svi_plat_kernel();
    const int64_t until_us = plat->mono_us(plat->ctx) + (int64_t)within_ms * 1000;
    svi_server_drain(shard->server);
    shard->is_running = true;
    want_turn(shard);
    while (!svi_server_is_idle(shard->server) && plat->mono_us(plat->ctx) < until_us) {
        (void)uv_run(&shard->loop, UV_RUN_NOWAIT);
        (void)poll(NULL, 0, DRAIN_STEP_MS);
    }
    shard->is_running = false;
    (void)uv_idle_stop(&shard->idle);
}

void svi_shard_close(svi_shard **shard, unsigned within_ms)
{
    svi_shard *s = *shard;
    *shard = NULL;
    if (!s) return;
    SV_CHECK(s, MAGIC);
    const bool has_run = s->is_running;
    s->is_running = false;
    if (has_run) drain(s, within_ms);
    if (s->mods) svi_mods_free(&s->mods);
    if (has_run) log_ledger(s);
    svi_engines_settle(s->engines);
    if (s->server) svi_server_free(&s->server, within_ms);
    svi_store_module_free(&s->store_module);
    close_loop(s);
    if (!svi_engines_free(&s->engines)) return; /* a thread still uses what it has: the process ends now */
    paths_free(&s->paths);
    svi_arena_free(&s->arena);
    s->magic = 0;
    svi_free(s);
}

sv_status svi_shard_backup(svi_shard *shard, sv_str host, int fd,
                           void (*done)(void *ctx, const svi_backup_result *result), void *ctx,
                           sv_err *err)
{
    SV_CHECK(shard, MAGIC);
    svi_backup *backup;
    const bool is_all = host.n == 0;
    const svi_backup_config config = {
        .host = host,
        .secret_name = is_all ? SV_STR(SVI_SALT_NAME) : SV_STR_NONE,
        .secret = is_all ? (sv_str){(const char *)shard->salt, sizeof shard->salt} : SV_STR_NONE,
        .version = SVI_VERSION,
        .fd = fd,
        .rate_bytes = shard->backup_rate,
        .done = done,
        .ctx = ctx};
    return svi_backup_start(svi_server_store(shard->server), &config, &backup, err);
}

/* --- check -------------------------------------------------------------------------------------------- */

/* A shard on a store in memory with everything but started modules; `look` sees it if all could be loaded. */
static sv_status with_checked(const svi_shard_config *config,
                              sv_status (*look)(const svi_shard *shard,
                                                const svi_shard_config *config, void *ctx),
                              void *ctx)
{
    svi_shard *shard = shard_new(config);
    open_loop(shard);
    sv_err err = {.text = ""};
    svi_sim_disk *disk = svi_sim_disk_new(config->acct);
    sv_status status = open_server(shard, config, svi_engine_sim(config->acct, disk),
                                   SV_STR("no accounts here"), &err);
    if (status == SV_OK && config->settings->store_engine.n > 0)
        status = open_store_module(shard, config, true, &shard->store_module, &err);
    if (status == SV_OK) status = add_hosts(shard, config, &err);
    if (status == SV_OK) {
        shard->mods = mods_new(shard, config, shard->paths);
        status = svi_mods_check(shard->mods);
        if (status == SV_OK) status = look(shard, config, ctx);
    } else if (err.text[0]) {
        config->report(config->report_ctx, svi_config_section(config->config, 0)->file, 0,
                       err.text);
    }
    svi_shard_close(&shard, 0);
    svi_sim_disk_free(&disk);
    return status;
}

static sv_status look_at_names(const svi_shard *shard, const svi_shard_config *config, void *ctx)
{
    (void)ctx;
    const sv_status commands = check_commands(shard->mods, config);
    const sv_status names = check_names(&shard->store_module, shard->mods, config);
    const sv_status essential = check_essential(shard->mods, config);
    return commands == SV_OK && names == SV_OK ? essential : SV_EINVAL;
}

sv_status svi_shard_check(const svi_shard_config *config)
{
    return with_checked(config, look_at_names, NULL);
}

/* A module's options come once, however many hosts it runs on. */
static sv_status write_manual(const svi_shard *shard, const svi_shard_config *config, void *ctx)
{
    (void)config;
    const sv_option *options;
    size_t stride;
    svi_mod_info m, before;
    if (shard->store_module.options)
        svi_options_manual(ctx, shard->store_module.options, shard->store_module.option_stride);
    for (size_t i = 0; svi_mods_options(shard->mods, i, &options, &stride); i++) {
        bool is_known = !svi_mods_info(shard->mods, i, &m);
        for (size_t k = 0; k < i && !is_known; k++)
            is_known = svi_mods_info(shard->mods, k, &before) && strcmp(before.name, m.name) == 0;
        if (is_known) continue;
        if (options) svi_options_manual(ctx, options, stride);
        if (svi_mods_budget_options(shard->mods, i, &options))
            svi_options_manual(ctx, options, sizeof(sv_option));
    }
    return SV_OK;
}

void svi_shard_manual(const svi_shard_config *config, svi_buf *out)
{
    (void)with_checked(config, write_manual, out);
}

void svi_shard_commands_of(const svi_mods *mods, json_t *array)
{
    const char *module;
    const sv_command *c;
    for (size_t i = 0; (c = svi_mods_command(mods, i, &module)) != NULL; i++) {
        json_t *json = svi_command_json(c);
        (void)json_object_set_new(json, "module", json_string(module));
        (void)json_array_append_new(array, json);
    }
}

static sv_status list_commands(const svi_shard *shard, const svi_shard_config *config, void *ctx)
{
    (void)config;
    svi_shard_commands_of(shard->mods, ctx);
    return SV_OK;
}

void svi_shard_commands(const svi_shard_config *config, json_t *array)
{
    (void)with_checked(config, list_commands, array);
}

const sv_option *svi_shard_store_options(const svi_shard *shard, size_t *stride_out)
{
    SV_CHECK(shard, MAGIC);
    *stride_out = shard->store_module.option_stride;
    return shard->store_module.options;
}

/* --- parts for others --------------------------------------------------------------------------------- */

svi_server *svi_shard_server(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    return shard->server;
}

svi_mods *svi_shard_mods(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    return shard->mods;
}

uv_loop_t *svi_shard_loop(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    return &shard->loop;
}

svi_acct *svi_shard_acct(svi_shard *shard)
{
    SV_CHECK(shard, MAGIC);
    return shard->acct;
}
