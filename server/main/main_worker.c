/* The worker: config, shard, certificates, listeners, control socket; then its loop until somebody stops it. */
#include "main/main_worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_channel.h"
#include "main/main_control.h"
#include "main/main_crash.h"
#include "main/main_listen.h"
#include "main/main_log.h"
#include "main/main_reload.h"
#include "main/main_restore.h"
#include "main/main_renew.h"
#include "main/main_stall.h"
#include "main/main_state.h"
#include "main/main_tickets.h"
#include "main/main_watch.h"

#define DRAIN_MS 5000u
#define SCRIPTS_MS 1000u /* between looks at the files of scripts */

/* A reload whose answer waits for the log's file to be opened again. */
typedef struct waiting {
    struct waiting *next;
    svi_command_done done;
    void *ctx;
    json_t *answer;
} waiting;

typedef struct worker {
    const svi_cli *cli;
    svi_acct acct;
    svi_config *config;
    svi_settings settings;
    svi_problems problems;
    svi_shard *shard;
    svi_tickets *tickets;
    uv_timer_t tickets_timer, scripts_timer;
    svi_renew *renew; /* the certificates */
    svi_listener *listeners[SVI_CLI_SOCKETS_MAX];
    size_t listener_count;
    svi_commands *commands;
    svi_follows *follows;
    svi_control *control;
    svi_watch *watch;
    int signals; /* takes TERM and HUP, which stay blocked in all threads */
    uv_poll_t hearing;
    bool is_hearing;
    svi_log *log;
    uv_poll_t channel;
    waiting *waiting; /* the oldest first */
    svi_command_done upgrade_done; /* who waits for what becomes of an upgrade; NULL: nobody */
    void *upgrade_ctx;
    svi_held held[SVI_CLI_HELD_MAX]; /* what the supervisor blames, without what is essential */
    size_t held_count;
    bool is_told[SVI_CLI_HELD_MAX]; /* that it is in quarantine no more; of cli->held */
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
    svi_stall_install();
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

static void tell_released(void *ctx);

static json_t *read_again(worker *w)
{
    const svi_reload_config config = {.acct = &w->acct,
                                      .running = w->config,
                                      .path = w->cli->config,
                                      .program = w->cli->program,
                                      .shard = w->shard,
                                      .renew = w->renew,
                                      .tickets = w->tickets};
    json_t *answer = svi_reload(&config);
    tell_released(w);
    return answer;
}

/* The oldest reload gets its answer, whatever became of the configuration: who moves logs away
 * relies on it. */
static void answer_reload(worker *w, const char *problem)
{
    waiting *first = w->waiting;
    if (!first) return;
    w->waiting = first->next;
    (void)json_object_set_new(first->answer, problem ? "log-problem" : "log",
                              json_string(problem ? problem : "opened again"));
    first->done(first->ctx, first->answer);
    svi_free(first);
}

/* Before the supervisor ends this process for it: who asks the next one knows by the number that it is another. */
static void answer_upgrade(worker *w, const char *problem)
{
    const svi_command_done done = w->upgrade_done;
    w->upgrade_done = NULL;
    if (done)
        done(w->upgrade_ctx, problem ? svi_answer_fault(SV_FAULT_REFUSED, "%s", problem)
                                     : json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid()));
}

static void on_upgrade(void *ctx, svi_command_done done, void *done_ctx)
{
    worker *w = ctx;
    const bool is_free = w->upgrade_done == NULL;
    if (!is_free) {
        done(done_ctx, svi_answer_fault(SV_FAULT_REFUSED, "an upgrade is under way already"));
        return;
    }
    w->upgrade_done = done;
    w->upgrade_ctx = done_ctx;
    if (!svi_channel_send(w->cli->channel, SVI_CHANNEL_UPGRADE, -1, NULL))
        answer_upgrade(w, "the supervisor does not listen: restart the server");
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    (void)events;
    worker *w = poll->data;
    svi_channel_message message;
    sv_status got;
    while ((got = status < 0 ? SV_ECLOSED : svi_channel_receive(w->cli->channel, &message)) == SV_OK) {
        if (message.fd >= 0) svi_log_take(w->log, message.fd);
        if (message.what == SVI_CHANNEL_REOPEN) answer_reload(w, NULL);
        if (message.what == SVI_CHANNEL_FAILED) answer_reload(w, message.text);
        if (message.what == SVI_CHANNEL_UPGRADE) answer_upgrade(w, NULL);
        if (message.what == SVI_CHANNEL_STAY) answer_upgrade(w, message.text);
    }
    if (got == SV_ENOTFOUND) return;
    (void)uv_poll_stop(poll); /* the supervisor is gone, and TERM is on its way */
    while (w->waiting) answer_reload(w, "the supervisor has ended");
    answer_upgrade(w, "the supervisor has ended");
}

/* The file is opened by the supervisor, who may; the answer tells what came of it. */
static json_t *on_reload(void *ctx, svi_command_done done, void *done_ctx)
{
    worker *w = ctx;
    json_t *answer = read_again(w);
    if (!svi_log_is_file(w->log)) return answer;
    if (!svi_channel_send(w->cli->channel, SVI_CHANNEL_REOPEN, -1, NULL)) {
        (void)json_object_set_new(answer, "log-problem",
                                  json_string("the supervisor does not listen"));
        return answer;
    }
    waiting *last = svi_alloc(&w->acct, sizeof *last);
    *last = (waiting){.done = done, .ctx = done_ctx, .answer = answer};
    waiting **end = &w->waiting;
    while (*end) end = &(*end)->next;
    *end = last;
    return NULL;
}

static json_t *on_certificates(void *ctx)
{
    const worker *w = ctx;
    const svi_plat *plat = svi_plat_kernel();
    const svi_certs *certs = svi_renew_certs(w->renew);
    return certs ? svi_certs_status(certs, plat->wall_us(plat->ctx) / 1000000) : json_array();
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    worker *w = poll->data;
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            json_decref(read_again(w));
        else
            on_stop(w);
    }
}

/* Memory and disk may differ from here on: nothing more may be said to anybody. */
static void on_fatal(void *ctx, const sv_err *err)
{
    (void)err;
    const worker *w = ctx;
    svi_log_drain(w->log);
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
    if (status == SV_OK) svi_log_form(w->log, &w->settings);
    return status;
}

static bool is_essential(const worker *w, const char *module)
{
    const sv_str_list *list = &w->settings.modules_essential;
    for (size_t i = 0; i < list->count; i++)
        if (sv_str_eq(list->items[i], sv_str_of(module))) return true;
    return false;
}

static void note_held(worker *w)
{
    for (size_t i = 0; i < w->cli->held_count; i++) {
        svi_held held = w->cli->held[i];
        held.why = held.is_in_start
                       ? "three workers ended in it within ten minutes, in its start too: it is not started"
                       : "three workers ended in it within ten minutes";
        if (!is_essential(w, held.module))
            w->held[w->held_count++] = held;
        else
            SV_LOG(SV_WARN, "module-fault", LF_TXT("module", held.module), LF_TXT("rule", held.why),
                   LF_TXT("what", "it begins as usual: modules_essential names it"));
    }
}

/* The supervisor forgets what is in quarantine no more: released, replaced, not enabled, or never put there. */
static void tell_released(void *ctx)
{
    worker *w = ctx;
    for (size_t i = 0; i < w->cli->held_count; i++) {
        const char *name = w->cli->held[i].module;
        if (w->is_told[i] || svi_mods_quarantines(svi_shard_mods(w->shard), name)) continue;
        w->is_told[i] = svi_channel_send(w->cli->channel, SVI_CHANNEL_RELEASED, -1, name);
    }
}

static sv_status open_shard(worker *w, sv_err *err)
{
    const svi_shard_config config = {.acct = &w->acct,
                                     .config = w->config,
                                     .settings = &w->settings,
                                     .program = w->cli->program,
                                     .report = svi_problems_note,
                                     .report_ctx = &w->problems,
                                     .held = w->held,
                                     .held_count = w->held_count,
                                     .io_threads = svi_settings_io_threads(&w->settings),
                                     .fatal = on_fatal,
                                     .fatal_ctx = w};
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

static void on_renewed(void *ctx, svi_tls *tls)
{
    const worker *w = ctx;
    for (size_t i = 0; i < w->listener_count; i++) svi_listener_set_tls(w->listeners[i], tls);
}

static sv_status open_certificates(worker *w)
{
    svi_certs *certs = NULL;
    const sv_status status =
        svi_certs_load(&w->acct, w->config, w->tickets, svi_problems_note, &w->problems, &certs);
    const svi_renew_config config = {.acct = &w->acct,
                                     .loop = svi_shard_loop(w->shard),
                                     .plat = svi_plat_kernel(),
                                     .check_ms = w->settings.certificate_check_ms,
                                     .warn_days = w->settings.certificate_warn_days,
                                     .renewed = on_renewed,
                                     .ctx = w};
    if (status == SV_OK) w->renew = svi_renew_start(&config, certs);
    return status;
}

static sv_status listen_all(worker *w, sv_err *err)
{
    sv_status status = SV_OK;
    svi_server *server = svi_shard_server(w->shard);
    const svi_certs *certs = svi_renew_certs(w->renew);
    svi_tls *tls = certs ? svi_certs_tls(certs) : NULL;
    static const char *const mode_names[] = {
        [SVI_TLS_NONE] = "none", [SVI_TLS_STARTTLS] = "starttls", [SVI_TLS_DIRECT] = "direct"};
    for (size_t i = 0; i < w->cli->socket_count && status == SV_OK; i++) {
        char name[SVI_SOCKET_NAME_BYTES];
        const svi_tls_mode with_tls = w->cli->is_direct[i] ? SVI_TLS_DIRECT : SVI_TLS_STARTTLS;
        svi_socket_name(w->cli->sockets[i], name);
        /* systemd's; c2s_direct_tls_ports were checked with the rest of the configuration */
        if (w->cli->is_direct[i] && !tls)
            return svi_err(err, SV_EINVAL,
                           "clients of %s begin with TLS, but no host has a certificate: set "
                           "certificate and key",
                           name);
        const svi_listen_config config = {.fd = w->cli->sockets[i],
                                          .mode = tls ? with_tls : SVI_TLS_NONE,
                                          .tls = tls,
                                          .limits = svi_server_limits(server)->stranger,
                                          .rate = svi_server_limits(server)->stranger_rate,
                                          .proxies = w->settings.proxies,
                                          .proxy_count = w->settings.proxy_count};
        status = svi_net_listen(svi_server_net(server), &config, &w->listeners[i], err);
        if (status != SV_OK) break;
        w->listener_count++;
        SV_LOG(SV_INFO, "listener-open", LF_TXT("address", name), LF_TXT("kind", "c2s"),
               LF_TXT("tls", mode_names[config.mode]));
    }
    return status;
}

/* Before any thread starts, which inherits it: what comes too early waits, and what comes while the worker ends, as
 * when systemd sends TERM to all processes of the service and the supervisor sends it again, is nobody's death. */
static void block_signals(worker *w)
{
    sigset_t heard;
    (void)sigemptyset(&heard);
    (void)sigaddset(&heard, SIGTERM);
    (void)sigaddset(&heard, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &heard, NULL);
    w->signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    SV_ASSERT(w->signals >= 0);
}

static void hear_signals(worker *w)
{
    uv_loop_t *loop = svi_shard_loop(w->shard);
    (void)uv_poll_init(loop, &w->hearing, w->signals);
    w->hearing.data = w;
    (void)uv_poll_start(&w->hearing, UV_READABLE, on_signal);
    w->is_hearing = true;
    (void)uv_poll_init(loop, &w->channel, w->cli->channel);
    w->channel.data = w;
    (void)uv_poll_start(&w->channel, UV_READABLE, on_channel);
}

static void on_scripts_due(uv_timer_t *timer)
{
    const worker *w = timer->data;
    svi_commands_autoreload(w->commands);
}

/* Its handle ends with the loop. */
static void watch_scripts(worker *w)
{
    (void)uv_timer_init(svi_shard_loop(w->shard), &w->scripts_timer);
    w->scripts_timer.data = w;
    (void)uv_timer_start(&w->scripts_timer, on_scripts_due, SCRIPTS_MS, SCRIPTS_MS);
}

static sv_status start(worker *w, sv_err *err)
{
    sv_status status = read_config(w);
    if (status == SV_OK) status = drop_privileges(w, err);
    if (status == SV_OK) svi_restore_look(w->settings.data_path.p);
    if (status == SV_OK) note_held(w);
    if (status == SV_OK) status = open_shard(w, err);
    if (status == SV_OK) svi_shard_recover(w->shard);
    if (status == SV_OK) open_tickets(w);
    if (status == SV_OK) status = open_certificates(w);
    if (status == SV_OK) status = listen_all(w, err);
    if (status != SV_OK) return status;
    hear_signals(w);
    status = svi_follows_open(svi_shard_loop(w->shard), svi_shard_server(w->shard), &w->follows, err);
    if (status != SV_OK) return status;
    const svi_commands_config commands = {.shard = w->shard,
                                          .reload = on_reload,
                                          .certificates = on_certificates,
                                          .stop = on_stop,
                                          .upgrade = on_upgrade,
                                          .upgraded_from = w->cli->upgraded_from,
                                          .upgrade_failed = w->cli->upgrade_failed,
                                          .released = tell_released,
                                          .follows = w->follows,
                                          .ctx = w};
    w->commands = svi_commands_new(&commands);
    watch_scripts(w);
    status = svi_control_open(w->shard, w->commands, w->follows, w->cli->control, &w->control, err);
    if (status != SV_OK) return status;
    return svi_watch_start(&w->acct, svi_shard_loop(w->shard),
                           svi_server_bus(svi_shard_server(w->shard)), &w->watch, err);
}

/* --- end ---------------------------------------------------------------------------------------------- */

static void finish(worker *w)
{
    if (w->is_hearing) (void)uv_poll_stop(&w->hearing); /* the loop still turns; it ends already */
    svi_watch_stop(&w->watch);
    while (w->waiting) answer_reload(w, "the server ends");
    answer_upgrade(w, "the server ends");
    svi_control_close(&w->control);
    if (w->commands) (void)uv_timer_stop(&w->scripts_timer);
    svi_commands_free(&w->commands);
    svi_follows_close(&w->follows);
    svi_renew_stop(&w->renew);
    for (size_t i = 0; i < w->listener_count; i++)
        svi_net_unlisten(svi_server_net(svi_shard_server(w->shard)), &w->listeners[i]);
    svi_shard_close(&w->shard, DRAIN_MS);
    svi_tickets_free(&w->tickets);
    svi_config_free(&w->config);
    svi_problems_free(&w->problems);
}

/* False if the supervisor is gone: then nobody would watch this worker. */
static bool say_ready(const worker *w)
{
    SV_LOG(SV_INFO, "server-ready", LF_INT("pid", getpid()), LF_TXT("version", SVI_VERSION));
    return svi_channel_send(w->cli->channel, SVI_CHANNEL_READY, -1, NULL);
}

int svi_worker_main(const svi_cli *cli)
{
    worker w = {.cli = cli, .acct = {.name = "server"}};
    sv_err err = {.text = ""};
    prepare_process(cli);
    block_signals(&w);
    if (svi_log_join(&w.acct, cli->log, &w.log, &err) != SV_OK) {
        (void)fprintf(stderr, "stave: %s\n", err.text);
        return SVI_EXIT_REFUSED;
    }
    svi_crash_last(svi_log_drain, w.log);
    svi_problems_init(&w.problems, &w.acct);
    const sv_status status = start(&w, &err);
    if (status == SV_OK) {
        tell_released(&w);
        if (say_ready(&w)) (void)uv_run(svi_shard_loop(w.shard), UV_RUN_DEFAULT);
    } else {
        svi_log_problems(&w.problems);
        if (err.text[0]) SV_LOG(SV_ERROR, "server-stop", LF_TXT("reason", err.text));
    }
    finish(&w);
    svi_crash_last(NULL, NULL);
    svi_log_end(&w.log);
    /* SV_ECANCELED: it was stopped while its store waited for what keeps it */
    return status == SV_OK || status == SV_ECANCELED ? SVI_EXIT_OK : SVI_EXIT_REFUSED;
}
