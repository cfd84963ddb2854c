/* The supervisor: a small loop over signals, the worker's end and one timer. It loads no module and reads nothing from the
 * network, so there is little that could end it. */
#include "main/main_supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "base/base_plat.h"
#include "main/main_backoff.h"
#include "main/main_blame.h"
#include "main/main_channel.h"
#include "main/main_crash.h"
#include "main/main_listen.h"
#include "main/main_log.h"
#include "main/main_state.h"
#include "main/main_systemd.h"
#include "main/main_takeover.h"

#define END_MS 10000
#define REPORTS_KEPT 20u
#define ARGS_MAX (24u + 2 * SVI_SOCKETS_MAX + 2 * SVI_BLAME_MAX)

typedef struct supervisor {
    const svi_supervisor_config *config;
    svi_acct acct;
    svi_arena *arena;
    svi_settings settings;
    const char *data; /* state folder */
    svi_log *log;
    svi_sockets sockets;
    pid_t pid; /* our own */
    int lock, signals;
    sigset_t heard;
    pid_t worker; /* 0: none runs */
    int channel;  /* our end of the one to the worker, -1: none runs */
    int64_t started_ms;
    const char *crash_file;
    svi_backoff backoff;
    svi_blame blame;
    bool was_ready; /* some worker was */
    bool stopping;
    svi_takeover takeover; /* what the process before has left */
    svi_tryout trial;       /* of the binary that is to take over */
    bool is_handing_over;  /* the worker ends for it */
    const char *undo; /* why the binary before has to be executed again */
    char undo_text[SVI_TAKEOVER_TEXT];
    int64_t kill_ms;  /* when a worker that is ending is killed */
    int64_t start_ms; /* when the next worker is due */
    int status;       /* -1 while it goes on */
} supervisor;

static int64_t now_ms(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx) / 1000;
}

/* --- the worker's start ------------------------------------------------------------------------------- */

/* The arguments of the next worker; descriptors go by number. */
static const char *const *worker_args(supervisor *s, svi_arena *arena, int channel)
{
    const svi_cli *cli = s->config->cli;
    const char **args = svi_arena_get(arena, ARGS_MAX * sizeof *args);
    size_t n = 0;
    args[n++] = cli->program;
    args[n++] = "worker";
    args[n++] = "--config";
    args[n++] = s->config->config;
    args[n++] = "--crash";
    args[n++] = s->crash_file;
    args[n++] = "--control";
    args[n++] = svi_arena_printf(arena, "%d", s->sockets.control).p;
    char word[16];
    svi_log_word(s->log, word);
    args[n++] = "--channel";
    args[n++] = svi_arena_printf(arena, "%d", channel).p;
    args[n++] = "--log";
    args[n++] = svi_arena_printf(arena, "%s", word).p;
    if (s->takeover.is_there) {
        args[n++] = s->takeover.failed[0] ? "--upgrade-failed" : "--upgraded-from";
        args[n++] = s->takeover.failed[0] ? s->takeover.failed : s->takeover.from;
    }
    for (size_t i = 0; i < s->sockets.c2s_count; i++) {
        args[n++] = s->sockets.c2s[i].is_direct ? "--listen-tls" : "--listen";
        args[n++] = svi_arena_printf(arena, "%d", s->sockets.c2s[i].fd).p;
    }
    for (size_t i = 0; i < SVI_BLAME_MAX; i++) {
        const svi_blamed *b = &s->blame.modules[i];
        if (!b->is_held) continue;
        args[n++] = b->is_in_start ? "--hold-unstarted" : "--hold";
        args[n++] = b->module;
    }
    SV_ASSERT(n < ARGS_MAX);
    return args;
}

static void keep_open(int fd)
{
    (void)fcntl(fd, F_SETFD, 0);
}

/* In the child: a group of its own, so that a terminal's signals reach the supervisor only; ends when the supervisor does. */
static _Noreturn void become_worker(const supervisor *s, const char *const *args, int channel)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != s->pid) _exit(SVI_EXIT_FAILED); /* it ended before it could be watched */
    /* TERM and HUP stay blocked until the worker hears them: one that comes while it begins is neither lost nor a
     * death that would look like a crash */
    sigset_t at_once = s->heard;
    (void)sigdelset(&at_once, SIGTERM);
    (void)sigdelset(&at_once, SIGHUP);
    (void)sigprocmask(SIG_UNBLOCK, &at_once, NULL);
    for (size_t i = 0; i < s->sockets.c2s_count; i++) keep_open(s->sockets.c2s[i].fd);
    keep_open(s->sockets.control);
    keep_open(channel);
    if (svi_log_fd(s->log) >= 0) keep_open(svi_log_fd(s->log));
    /* the binary that runs, even if another lies at its path by now */
    execv("/proc/self/exe", (char *const *)(uintptr_t)args);
    _exit(SVI_EXIT_FAILED);
}

static const char *next_crash_file(supervisor *s)
{
    char stamp[32];
    const svi_plat *plat = svi_plat_kernel();
    const int64_t wall_us = plat->wall_us(plat->ctx);
    const sv_str text = svi_plat_stamp(wall_us, stamp);
    return svi_arena_printf(s->arena, "%s/crash/crash-%.*s-%06d.txt", s->data, (int)text.n, text.p,
                            (int)(wall_us % 1000000))
        .p;
}

static void start_worker(supervisor *s)
{
    int ends[2];
    sv_err err = {.text = ""};
    svi_arena_clear(s->arena);
    svi_state_trim_crashes(s->data, REPORTS_KEPT);
    s->crash_file = next_crash_file(s);
    s->start_ms = 0;
    s->started_ms = now_ms();
    if (svi_channel_open(ends, &err) != SV_OK) {
        SV_LOG(SV_ERROR, "worker-exit", LF_TXT("reason", err.text));
        s->start_ms = now_ms() + 1000;
        return;
    }
    const char *const *args = worker_args(s, s->arena, ends[1]);
    const pid_t child = fork();
    if (child == 0) become_worker(s, args, ends[1]);
    (void)close(ends[1]);
    if (child < 0) {
        SV_LOG(SV_ERROR, "worker-exit", LF_TXT("reason", strerror(errno)));
        (void)close(ends[0]);
        s->start_ms = now_ms() + 1000;
        return;
    }
    s->worker = child;
    s->channel = ends[0];
    SV_LOG(SV_INFO, "worker-start", LF_INT("pid", child));
}

/* --- the worker's end --------------------------------------------------------------------------------- */

static void close_channel(supervisor *s)
{
    if (s->channel >= 0) (void)close(s->channel);
    s->channel = -1;
}

static void on_ready(supervisor *s)
{
    if (s->was_ready) return;
    s->was_ready = true;
    svi_systemd_tell("READY=1");
    if (s->takeover.is_there && !s->takeover.failed[0])
        SV_LOG(SV_INFO, "release-serves", LF_TXT("version", SVI_VERSION), LF_TXT("from", s->takeover.from));
    if (s->config->ready) s->config->ready(s->config->ctx);
}

/* Here, where the right to do so is, and the worker gets the descriptor. Until then it writes to
 * the old file, so that no line is lost. */
static void reopen_log(supervisor *s, svi_channel_what answer)
{
    sv_err err = {.text = ""};
    if (svi_log_fd(s->log) < 0) return;
    if (svi_log_reopen(s->log, &err) == SV_OK) {
        SV_LOG(SV_INFO, "log-reopened", LF_STR("file", s->settings.log_to));
        if (s->channel >= 0 && !svi_channel_send(s->channel, answer, svi_log_fd(s->log), NULL))
            SV_LOG(SV_ERROR, "log-not-reopened",
                   LF_TXT("reason", "the worker hangs and has not taken what was sent before: its lines "
                                    "go on to an older file until this is asked for once more"));
    } else {
        SV_LOG(SV_ERROR, "log-not-reopened", LF_TXT("reason", err.text));
        if (s->channel >= 0 && answer == SVI_CHANNEL_REOPEN)
            (void)svi_channel_send(s->channel, SVI_CHANNEL_FAILED, -1, err.text);
    }
}

/* --- another binary ----------------------------------------------------------------------------------- */

static void stay(supervisor *s, const char *reason)
{
    SV_LOG(SV_ERROR, "release-refused", LF_TXT("binary", s->config->binary ? s->config->binary : "none"),
           LF_TXT("reason", reason));
    if (s->channel >= 0) (void)svi_channel_send(s->channel, SVI_CHANNEL_STAY, -1, reason);
}

static void on_upgrade(supervisor *s)
{
    sv_err err = {.text = ""};
    if (!s->config->binary) {
        stay(s, "this server was begun by `stave run`: end it and run it again");
    } else if (s->stopping || s->is_handing_over || s->trial.pid > 0) {
        stay(s, "the server ends, or an upgrade is under way already");
    } else if (svi_tryout_begin(s->config->binary, s->config->config, now_ms(), &s->trial, &err) != SV_OK) {
        stay(s, err.text);
    } else {
        SV_LOG(SV_INFO, "release-tried", LF_TXT("binary", s->config->binary));
    }
}

/* systemd waits for READY from now on; whoever executes something else in this process has to say when (sd_notify(3)). */
static void tell_reloading(void)
{
    char text[80];
    const svi_plat *plat = svi_plat_kernel();
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)plat->mono_us(plat->ctx));
    svi_systemd_tell(text);
}

static void on_trial_end(supervisor *s, int status)
{
    char version[32];
    sv_err err = {.text = ""};
    const sv_status verdict = svi_tryout_end(&s->trial, status, version, &err);
    if (s->stopping) return;
    if (verdict != SV_OK) {
        stay(s, err.text);
        return;
    }
    SV_LOG(SV_INFO, "server-stop", LF_TXT("what", "the worker ends, for another release to take over"),
           LF_TXT("version", version));
    s->is_handing_over = true;
    tell_reloading();
    s->start_ms = now_ms();
    if (!s->worker) return;
    (void)svi_channel_send(s->channel, SVI_CHANNEL_UPGRADE, -1, version);
    s->kill_ms = now_ms() + END_MS;
    (void)kill(s->worker, SIGTERM);
}

static svi_takeover_hand hand_of(const supervisor *s, const char *failed)
{
    return (svi_takeover_hand){.path = s->config->binary,
                               .config = s->config->config,
                               .lock = s->lock,
                               .sockets = &s->sockets,
                               .failed = failed};
}

/* The log's thread does not outlive an execve: what it has is written before, and it begins again where that failed. */
static void hand_over(supervisor *s)
{
    sv_err err = {.text = ""}, again = {.text = ""};
    const svi_takeover_hand hand = hand_of(s, NULL);
    s->is_handing_over = false;
    svi_log_end(&s->log);
    (void)svi_takeover_exec(&hand, &err);
    if (svi_log_start(&s->acct, &s->settings, &s->log, &again) != SV_OK) {
        (void)fprintf(stderr, "stave: %s\n", again.text);
        s->status = SVI_EXIT_FAILED; /* whoever keeps services starts it again */
        return;
    }
    stay(s, err.text);
    svi_systemd_tell("READY=1");
    s->start_ms = now_ms();
}

/* The worker did not get so far as to serve: the release before is executed again, if this is a new one. */
static bool wants_back(supervisor *s, const char *reason)
{
    if (!s->takeover.is_there || s->takeover.binary < 0 || s->was_ready || s->stopping) return false;
    (void)snprintf(s->undo_text, sizeof s->undo_text, "%.*s", (int)sizeof s->undo_text - 1, reason);
    s->undo = s->undo_text;
    s->status = SVI_EXIT_FAILED;
    return true;
}

/* One message a turn, so that a worker that floods keeps no signal waiting. */
static void on_message(supervisor *s)
{
    svi_channel_message message;
    const sv_status status = svi_channel_receive(s->channel, &message);
    if (status == SV_ENOTFOUND) return;
    if (status != SV_OK) {
        close_channel(s);
        return;
    }
    if (message.fd >= 0) (void)close(message.fd);
    if (message.what == SVI_CHANNEL_READY) on_ready(s);
    if (message.what == SVI_CHANNEL_REOPEN) reopen_log(s, SVI_CHANNEL_REOPEN);
    if (message.what == SVI_CHANNEL_RELEASED) svi_blame_forget(&s->blame, message.text);
    if (message.what == SVI_CHANNEL_UPGRADE) on_upgrade(s);
}

static void log_crash(supervisor *s, int status)
{
    svi_crash_info info;
    const bool has_report = svi_crash_read(s->crash_file, &info);
    const bool by_signal = WIFSIGNALED(status);
    SV_LOG(SV_ERROR, "worker-crash", LF_INT("pid", s->worker),
           LF_TXT("how", by_signal ? svi_crash_signal_name(WTERMSIG(status)) : "exit"),
           LF_INT("number", by_signal ? WTERMSIG(status) : WEXITSTATUS(status)),
           LF_TXT("module", info.module[0] ? info.module : "core"),
           LF_TXT("hook", info.hook[0] ? info.hook : "none"),
           LF_TXT("host", info.host[0] ? info.host : "none"),
           LF_TXT("assertion", info.assertion[0] ? info.assertion : "none"),
           LF_TXT("report", has_report ? s->crash_file : "none"));
    if (svi_blame_end(&s->blame, info.module, info.hook, now_ms() * 1000))
        SV_LOG(SV_ERROR, "worker-blame", LF_TXT("module", info.module),
               LF_INT("crashes", SVI_BLAME_CRASHES),
               LF_TXT("what", "it begins in quarantine, until `stave modules release`"));
}

static void start_later(supervisor *s, bool of_store)
{
    const int64_t wait_ms = svi_backoff_died(&s->backoff, now_ms() - s->started_ms, of_store);
    if (wait_ms < 0) {
        SV_LOG(SV_ERROR, "server-stop",
               LF_TXT("reason", "the store failed twice: look at disk and file system first"));
        s->status = SVI_EXIT_FAILED;
        return;
    }
    if (wait_ms > 0)
        SV_LOG(SV_WARN, "worker-backoff", LF_INT("wait_ms", wait_ms),
               LF_INT("crashes", s->backoff.crashes));
    s->start_ms = now_ms() + wait_ms;
}

static void on_end(supervisor *s, int status)
{
    const bool exited = WIFEXITED(status);
    const int code = exited ? WEXITSTATUS(status) : -1;
    close_channel(s);
    if (s->is_handing_over && !s->stopping) {
        if (code != SVI_EXIT_OK) log_crash(s, status);
        s->start_ms = now_ms(); /* svi_takeover_exec, in its turn */
    } else if (exited && code == SVI_EXIT_OK) {
        SV_LOG(SV_INFO, "worker-exit", LF_INT("pid", s->worker));
        s->status = SVI_EXIT_OK;
    } else if (s->stopping) {
        log_crash(s, status);
        s->status = SVI_EXIT_FAILED;
    } else if (code == SVI_EXIT_REFUSED && wants_back(s, "its worker refused to start; the log tells why")) {
        SV_LOG(SV_WARN, "worker-exit", LF_INT("pid", s->worker), LF_TXT("reason", s->undo));
    } else if (code == SVI_EXIT_REFUSED && !s->was_ready && !s->takeover.is_there) {
        s->status = SVI_EXIT_FAILED; /* it has told why */
    } else {
        log_crash(s, status);
        if (!wants_back(s, "its worker died before it served; the log tells how")) start_later(s, code == SVI_EXIT_STORE);
    }
    s->worker = 0;
}

static void on_child(supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->worker)
            on_end(s, status);
        else if (pid == s->trial.pid)
            on_trial_end(s, status);
}

/* --- signals ------------------------------------------------------------------------------------------ */

static void stop(supervisor *s)
{
    if (!s->worker) {
        s->status = SVI_EXIT_OK;
        return;
    }
    if (s->stopping) {
        (void)kill(s->worker, SIGKILL);
        return;
    }
    s->stopping = true;
    svi_systemd_tell("STOPPING=1");
    s->kill_ms = now_ms() + END_MS;
    SV_LOG(SV_INFO, "server-stop", LF_TXT("what", "the worker ends"));
    (void)kill(s->worker, SIGTERM);
}

static void on_signal(supervisor *s)
{
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof info) != sizeof info) return;
    switch ((int)info.ssi_signo) {
    case SIGCHLD: on_child(s); break;
    case SIGHUP:
        if (s->config->hangup_stops) {
            stop(s);
            break;
        }
        reopen_log(s, SVI_CHANNEL_REOPENED);
        if (s->worker) (void)kill(s->worker, SIGHUP);
        break;
    default: stop(s); break;
    }
}

static void hear_signals(supervisor *s)
{
    (void)sigemptyset(&s->heard);
    (void)sigaddset(&s->heard, SIGCHLD);
    (void)sigaddset(&s->heard, SIGTERM);
    (void)sigaddset(&s->heard, SIGINT);
    (void)sigaddset(&s->heard, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &s->heard, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &s->heard, SFD_CLOEXEC | SFD_NONBLOCK);
    SV_ASSERT(s->signals >= 0);
}

/* --- start -------------------------------------------------------------------------------------------- */

static sv_status read_settings(supervisor *s, svi_config **config_out)
{
    svi_problems problems;
    svi_problems_init(&problems, &s->acct);
    sv_status status =
        svi_config_load(&s->acct, s->config->config, svi_problems_note, &problems, config_out);
    if (status == SV_OK) status = svi_settings_check(*config_out, svi_problems_note, &problems);
    if (status == SV_OK)
        status = svi_settings_read(*config_out, svi_config_section(*config_out, 0), &s->settings,
                                   svi_problems_note, &problems);
    const sv_str text = svi_buf_str(&problems.text);
    if (status != SV_OK) (void)fprintf(stderr, "%.*s", (int)text.n, text.p);
    svi_problems_free(&problems);
    return status;
}

static sv_status open_sockets(supervisor *s, uid_t owner, gid_t group, sv_err *err)
{
    const sv_status status = svi_systemd_sockets(&s->sockets, err);
    return status == SV_ENOTFOUND
               ? svi_sockets_open(&s->settings, owner, group, &s->sockets, err)
               : status;
}

static sv_status open_all(supervisor *s, sv_err *err)
{
    uid_t owner;
    gid_t group;
    sv_status status = svi_state_owner(geteuid(), s->settings.user, &owner, &group, err);
    if (s->takeover.is_there) return status == SV_OK ? svi_state_make(s->data, owner, group, err) : status;
    if (status == SV_OK && owner == 0)
        SV_LOG(SV_WARN, "config-warning",
               LF_TXT("problem", "the worker stays root, as the option user says"));
    if (status == SV_OK) status = svi_state_make(s->data, owner, group, err);
    if (status == SV_OK) status = svi_state_lock(s->data, 0, &s->lock, err);
    if (status == SV_OK) status = open_sockets(s, owner, group, err);
    if (status == SV_OK)
        status = svi_sockets_open_control(s->settings.control_socket.p, owner, group, &s->sockets, err);
    return status;
}

/* --- its loop ----------------------------------------------------------------------------------------- */

static int wait_time(const supervisor *s)
{
    const bool is_ending = s->stopping || s->is_handing_over;
    int64_t until = s->worker ? (is_ending ? s->kill_ms : 0) : s->start_ms;
    if (s->trial.pid > 0 && s->trial.until_ms < INT64_MAX && (until == 0 || s->trial.until_ms < until))
        until = s->trial.until_ms;
    if (until == 0) return -1;
    const int64_t wait_ms = until - now_ms();
    return wait_ms > 0 ? (int)wait_ms : 0;
}

static void on_time(supervisor *s)
{
    if (s->trial.pid > 0 && now_ms() >= s->trial.until_ms) svi_tryout_kill(&s->trial);
    if (!s->worker && s->status < 0 && s->is_handing_over) hand_over(s);
    if (!s->worker && s->status < 0 && now_ms() >= s->start_ms) start_worker(s);
    if (s->worker && (s->stopping || s->is_handing_over) && now_ms() >= s->kill_ms) {
        SV_LOG(SV_WARN, "server-stop", LF_TXT("what", "the worker does not end and is killed"));
        s->kill_ms = now_ms() + END_MS;
        (void)kill(s->worker, SIGKILL);
    }
}

static void loop(supervisor *s)
{
    s->start_ms = now_ms(); /* unless somebody wants the end already */
    while (s->status < 0) {
        struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN},
                               {.fd = s->channel, .events = POLLIN},
                               {.fd = s->trial.out, .events = POLLIN}};
        (void)poll(fds, 3, wait_time(s));
        if (fds[1].revents != 0) on_message(s);
        if (fds[2].revents != 0) svi_tryout_hear(&s->trial);
        if (fds[0].revents != 0) on_signal(s);
        on_time(s);
    }
}

/* What is told before anybody serves goes to standard error: an operator stands there. */
static int refuse(const supervisor *s, const sv_err *err)
{
    (void)fprintf(stderr, "stave: %s (configuration: %s)\n", err->text, s->config->config);
    return SVI_EXIT_FAILED;
}

static int serve(supervisor *s)
{
    sv_err err = {.text = ""};
    SV_LOG(SV_INFO, "server-start", LF_TXT("version", SVI_VERSION),
           LF_TXT("config", s->config->config), LF_TXT("data", s->data));
    hear_signals(s); /* from here on: a HUP of whoever moves logs away, say, ends nobody */
    if (s->takeover.failed[0]) SV_LOG(SV_ERROR, "release-taken-back", LF_TXT("reason", s->takeover.failed));
    if (open_all(s, &err) != SV_OK) return wants_back(s, err.text) ? s->status : refuse(s, &err);
    loop(s);
    if (s->undo) return s->status;
    (void)unlink(s->settings.control_socket.p);
    (void)close(s->signals);
    return s->status;
}

/* Back to the release before; if even that fails, whoever keeps services starts it again. */
static void go_back(supervisor *s)
{
    sv_err err = {.text = ""};
    const svi_takeover_hand hand = hand_of(s, s->undo);
    if (svi_takeover_back(&s->takeover, &hand, &err) != SV_OK) (void)fprintf(stderr, "stave: %s\n", err.text);
}

static sv_status take_over(supervisor *s, sv_err *err)
{
    const sv_status status = svi_takeover_read(&s->takeover, err);
    if (status != SV_OK || !s->takeover.is_there) return status;
    s->sockets = s->takeover.sockets;
    s->lock = s->takeover.lock;
    return SV_OK;
}

static int supervise(supervisor *s, sv_err *err)
{
    uid_t owner; /* before the log's file is made */
    gid_t group;
    sv_status status = svi_state_owner(geteuid(), s->settings.user, &owner, &group, err);
    if (status == SV_OK) status = svi_log_start(&s->acct, &s->settings, &s->log, err);
    if (status != SV_OK) return wants_back(s, err->text) ? SVI_EXIT_FAILED : refuse(s, err);
    s->data = s->settings.data_path.p;
    s->arena = svi_arena_new(&s->acct, 0);
    svi_blame_init(&s->blame, &s->acct);
    s->status = serve(s);
    svi_blame_free(&s->blame);
    if (s->trial.pid > 0) svi_tryout_kill(&s->trial);
    if (!s->undo) svi_sockets_close(&s->sockets);
    if (!s->undo && s->lock >= 0) (void)close(s->lock);
    svi_arena_free(&s->arena);
    svi_log_end(&s->log);
    return s->status;
}

int svi_supervise(const svi_supervisor_config *config)
{
    supervisor s = {.config = config,
                    .acct = {.name = "supervisor"},
                    .pid = getpid(),
                    .sockets = {.control = -1},
                    .lock = -1,
                    .signals = -1,
                    .channel = -1,
                    .trial = {.out = -1},
                    .status = -1};
    sv_err err = {.text = ""};
    svi_config *read = NULL;
    if (take_over(&s, &err) != SV_OK) return refuse(&s, &err);
    if (read_settings(&s, &read) == SV_OK)
        s.status = supervise(&s, &err);
    else if (!wants_back(&s, "it can't read the configuration"))
        s.status = SVI_EXIT_FAILED;
    if (s.undo) go_back(&s);
    svi_config_free(&read);
    return s.status;
}
