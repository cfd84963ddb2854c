/* The worker: config, shard, certificates, listeners, control socket; then its loop until somebody stops it. */
#include "main/main_worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_control.h"
#include "main/main_crash.h"
#include "main/main_listen.h"
#include "main/main_log.h"
#include "main/main_reload.h"
#include "main/main_state.h"
#include "main/main_tickets.h"
#include "main/main_tls.h"
#include "main/main_watch.h"

#define DRAIN_MS 5000u

typedef struct worker {
    const svi_cli *cli;
    svi_acct acct;
    svi_config *config;
    svi_settings settings;
    svi_problems problems;
    svi_shard *shard;
    svi_tickets *tickets;
    uv_timer_t tickets_timer;
    svi_tls *tls;
    svi_listener *listeners[SVI_CLI_SOCKETS_MAX];
    size_t listener_count;
    svi_commands *commands;
    svi_control *control;
    svi_watch *watch;
    uv_signal_t on_term, on_hup;
} worker;

/* --- the process -------------------------------------------------------------------------------------- */

/* As many descriptors as the system allows: each connection takes one (threats R5). */
static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static sv_status drop_privileges(const worker *w, sv_err *err)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() != 0 || w->settings.user.n == 0) return SV_OK;
    const sv_status status = svi_state_become(w->settings.user.p, err);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a change of user cleared it */
    return status;
}

static void prepare_process(const svi_cli *cli)
{
    (void)prctl(PR_SET_NAME, "stave"); /* run from /proc/self/exe it would be called that */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write that is refused is the store's to tell */
    (void)signal(SIGINT, SIG_IGN);  /* the supervisor hears it and sends TERM */
    raise_limits();
    svi_crash_install(cli->crash_file);
    uint8_t key[16];
    const svi_plat *plat = svi_plat_kernel();
    plat->random(plat->ctx, key, sizeof key);
    svi_hash_seed(key);
}

/* --- ending and reloading ----------------------------------------------------------------------------- */

static void on_stop(void *ctx)
{
    const worker *w = ctx;
    uv_stop(svi_shard_loop(w->shard));
}

static void on_term(uv_signal_t *handle, int number)
{
    (void)number;
    on_stop(handle->data);
}

static json_t *on_reload(void *ctx)
{
    worker *w = ctx;
    const svi_reload_config config = {.acct = &w->acct,
                                      .running = w->config,
                                      .path = w->cli->config,
                                      .program = w->cli->program,
                                      .library = svi_shard_mods(w->shard),
                                      .listeners = w->listeners,
                                      .listener_count = w->tls ? w->listener_count : 0,
                                      .tickets = w->tickets};
    return svi_reload(&config);
}

static void on_hup(uv_signal_t *handle, int number)
{
    (void)number;
    json_decref(on_reload(handle->data));
}

/* Memory and disk may differ from here on: nothing more may be said to anybody. */
static void on_fatal(void *ctx, const sv_err *err)
{
    (void)ctx, (void)err;
    _exit(SVI_EXIT_STORE);
}

/* --- start -------------------------------------------------------------------------------------------- */

static sv_status read_config(worker *w)
{
    sv_status status =
        svi_config_load(&w->acct, w->cli->config, svi_problems_note, &w->problems, &w->config);
    if (status == SV_OK) status = svi_settings_check(w->config, svi_problems_note, &w->problems);
    if (status == SV_OK)
        status = svi_settings_read(w->config, svi_config_section(w->config, 0), &w->settings,
                                   svi_problems_note, &w->problems);
    if (status == SV_OK) svi_log_to_stdout(&w->settings);
    return status;
}

static sv_status open_shard(worker *w, sv_err *err)
{
    const svi_shard_config config = {.acct = &w->acct,
                                     .config = w->config,
                                     .settings = &w->settings,
                                     .program = w->cli->program,
                                     .report = svi_problems_note,
                                     .report_ctx = &w->problems,
                                     .io_threads = svi_settings_io_threads(&w->settings),
                                     .fatal = on_fatal};
    return svi_shard_open(&config, &w->shard, err);
}

/* Ticket keys: read, and rotated whenever it is time. */
static void on_tickets_due(uv_timer_t *timer)
{
    const worker *w = timer->data;
    sv_err err = {.text = ""};
    const int64_t due_s =
        svi_tickets_turn(w->settings.data_path.p, svi_plat_kernel(), w->tickets, &err);
    if (err.code != SV_OK) SV_LOG(SV_ERROR, "tickets-not-kept", LF_TXT("reason", err.text));
    (void)uv_timer_start(timer, on_tickets_due, (uint64_t)due_s * 1000, 0);
}

static void open_tickets(worker *w)
{
    w->tickets = svi_tickets_new(&w->acct);
    (void)uv_timer_init(svi_shard_loop(w->shard), &w->tickets_timer);
    w->tickets_timer.data = w;
    on_tickets_due(&w->tickets_timer);
}

static sv_status listen_all(worker *w, sv_err *err)
{
    sv_status status =
        svi_tls_of_config(&w->acct, w->config, w->tickets, svi_problems_note, &w->problems,
                          &w->tls);
    svi_server *server = status == SV_OK ? svi_shard_server(w->shard) : NULL;
    static const char *const mode_names[] = {
        [SVI_TLS_NONE] = "none", [SVI_TLS_STARTTLS] = "starttls", [SVI_TLS_DIRECT] = "direct"};
    for (size_t i = 0; i < w->cli->socket_count && status == SV_OK; i++) {
        const svi_tls_mode with_tls = w->cli->is_direct[i] ? SVI_TLS_DIRECT : SVI_TLS_STARTTLS;
        const svi_listen_config config = {.fd = w->cli->sockets[i],
                                          .mode = w->tls ? with_tls : SVI_TLS_NONE,
                                          .tls = w->tls,
                                          .limits = svi_server_limits(server)->stranger,
                                          .rate = svi_server_limits(server)->stranger_rate,
                                          .proxies = w->settings.proxies,
                                          .proxy_count = w->settings.proxy_count};
        status = svi_net_listen(svi_server_net(server), &config, &w->listeners[i], err);
        if (status != SV_OK) break;
        w->listener_count++;
        char name[SVI_SOCKET_NAME_BYTES];
        svi_socket_name(w->cli->sockets[i], name);
        SV_LOG(SV_INFO, "listener-open", LF_TXT("address", name), LF_TXT("kind", "c2s"),
               LF_TXT("tls", mode_names[config.mode]));
    }
    return status;
}

static void hear_signals(worker *w)
{
    uv_loop_t *loop = svi_shard_loop(w->shard);
    (void)uv_signal_init(loop, &w->on_term);
    (void)uv_signal_init(loop, &w->on_hup);
    w->on_term.data = w->on_hup.data = w;
    (void)uv_signal_start(&w->on_term, on_term, SIGTERM);
    (void)uv_signal_start(&w->on_hup, on_hup, SIGHUP);
}

static sv_status start(worker *w, sv_err *err)
{
    sv_status status = read_config(w);
    if (status == SV_OK) status = drop_privileges(w, err);
    if (status == SV_OK) status = open_shard(w, err);
    if (status == SV_OK) open_tickets(w);
    if (status == SV_OK) status = listen_all(w, err);
    if (status != SV_OK) return status;
    hear_signals(w);
    const svi_commands_config commands = {
        .shard = w->shard, .reload = on_reload, .stop = on_stop, .ctx = w};
    w->commands = svi_commands_new(&commands);
    status = svi_control_open(w->shard, w->commands, w->cli->control, &w->control, err);
    if (status != SV_OK) return status;
    return svi_watch_start(&w->acct, svi_shard_loop(w->shard),
                           svi_server_bus(svi_shard_server(w->shard)), &w->watch, err);
}

/* --- end ---------------------------------------------------------------------------------------------- */

static void finish(worker *w)
{
    svi_watch_stop(&w->watch);
    svi_control_close(&w->control);
    svi_commands_free(&w->commands);
    for (size_t i = 0; i < w->listener_count; i++)
        svi_net_unlisten(svi_server_net(svi_shard_server(w->shard)), &w->listeners[i]);
    svi_shard_close(&w->shard, DRAIN_MS);
    if (w->tls) svi_tls_unref(&w->tls);
    svi_tickets_free(&w->tickets);
    svi_config_free(&w->config);
    svi_problems_free(&w->problems);
}

/* False if the supervisor is gone: then nobody would watch this worker. */
static bool say_ready(const worker *w)
{
    SV_LOG(SV_INFO, "server-ready", LF_INT("pid", getpid()), LF_TXT("version", SVI_VERSION));
    const bool is_heard = write(w->cli->ready, "R", 1) == 1;
    (void)close(w->cli->ready);
    return is_heard;
}

int svi_worker_main(const svi_cli *cli)
{
    worker w = {.cli = cli, .acct = {.name = "server"}};
    sv_err err = {.text = ""};
    prepare_process(cli);
    svi_problems_init(&w.problems, &w.acct);
    const sv_status status = start(&w, &err);
    if (status == SV_OK) {
        if (say_ready(&w)) (void)uv_run(svi_shard_loop(w.shard), UV_RUN_DEFAULT);
    } else {
        svi_log_problems(&w.problems);
        if (err.text[0]) SV_LOG(SV_ERROR, "server-stop", LF_TXT("reason", err.text));
    }
    finish(&w);
    return status == SV_OK ? SVI_EXIT_OK : SVI_EXIT_REFUSED;
}
