/* One binary in the place of another: trial, words between the two, execve(2). */
#include "main/main_takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_cli.h"

#define FORM "1"        /* of the words: another number is another way to take over */
#define TRIAL_MS 60000
#define KNOWS "stave takes over " FORM " " /* what a trial's last line begins with; the version follows */
#define WORDS_MAX (256u + 40u * SVI_SOCKETS_MAX + SVI_TAKEOVER_TEXT)

/* --- words -------------------------------------------------------------------------------------------- */

static const char *const socket_words[] = {"listen", "listen-tls", "listen-unix"};

/* Which word names a socket of clients. */
static size_t kind_of(const svi_socket *s)
{
    return s->path ? 2 : s->is_direct ? 1 : 0;
}

static bool is_socket(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The path of a unix socket that the process before has made. */
static bool find_path(svi_takeover *t, svi_socket *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNSPEC};
    socklen_t n = sizeof at;
    struct stat there;
    char *to = t->paths[t->sockets.c2s_count];
    if (getsockname(s->fd, (struct sockaddr *)&at, &n) != 0 || at.sun_family != AF_UNIX) return false;
    (void)snprintf(to, sizeof t->paths[0], "%.*s", (int)sizeof at.sun_path, at.sun_path);
    if (to[0] == '\0' || lstat(to, &there) != 0) return true; /* somebody has removed it: there is none to be removed */
    s->path = to;
    s->device = there.st_dev;
    s->inode = there.st_ino;
    return true;
}

static bool take_socket(svi_takeover *t, size_t kind, int fd)
{
    svi_socket s = {.fd = fd, .is_direct = kind == 1};
    if (t->sockets.c2s_count == SVI_SOCKETS_MAX || !is_socket(fd)) return false;
    if (kind == 2 && !find_path(t, &s)) return false;
    t->sockets.c2s[t->sockets.c2s_count++] = s;
    return true;
}

static bool take_word(svi_takeover *t, sv_str name, sv_str value)
{
    int64_t number = -1;
    if (sv_str_eq(name, SV_STR("from"))) {
        (void)snprintf(t->from, sizeof t->from, "%.*s", (int)value.n, value.p);
        return true;
    }
    const bool is_fd = svi_str_int(value, 0, 1 << 20, &number) == SV_OK && fcntl((int)number, F_GETFD) >= 0;
    if (sv_str_eq(name, SV_STR("lock"))) {
        t->lock = (int)number;
        return is_fd;
    }
    if (sv_str_eq(name, SV_STR("control"))) {
        t->sockets.control = (int)number;
        return is_fd && is_socket((int)number);
    }
    if (sv_str_eq(name, SV_STR("binary"))) {
        t->binary = is_fd ? (int)number : -1;
        return true;
    }
    for (size_t k = 0; k < 3; k++)
        if (sv_str_eq(name, sv_str_of(socket_words[k]))) return is_fd && take_socket(t, k, (int)number);
    return true;
}

static bool take_words(svi_takeover *t, sv_str rest)
{
    sv_str word;
    if (!svi_str_split(&rest, ' ', &word) || !sv_str_eq(word, SV_STR(FORM))) return false;
    while (svi_str_split(&rest, ' ', &word)) {
        sv_str name, value = word;
        (void)svi_str_split(&value, '=', &name);
        if (sv_str_eq(name, SV_STR("failed"))) { /* the last one: to the end */
            const sv_str text = {value.p, (size_t)(rest.p ? rest.p + rest.n - value.p : (int64_t)value.n)};
            (void)snprintf(t->failed, sizeof t->failed, "%.*s", (int)text.n, text.p);
            break;
        }
        if (!take_word(t, name, value)) return false;
    }
    return t->lock >= 0 && t->sockets.control >= 0 && t->sockets.c2s_count > 0;
}

static void close_on_exec(int fd, bool is_closed)
{
    if (fd >= 0) (void)fcntl(fd, F_SETFD, is_closed ? FD_CLOEXEC : 0);
}

static void mark_all(int lock, const svi_sockets *sockets, bool is_closed)
{
    close_on_exec(lock, is_closed);
    close_on_exec(sockets->control, is_closed);
    for (size_t i = 0; i < sockets->c2s_count; i++) close_on_exec(sockets->c2s[i].fd, is_closed);
}

sv_status svi_takeover_read(svi_takeover *takeover_out, sv_err *err)
{
    *takeover_out = (svi_takeover){.lock = -1, .binary = -1, .sockets = {.control = -1}};
    char own[32];
    const char *words = getenv(SVI_TAKEOVER_VARIABLE);
    const int n = snprintf(own, sizeof own, "pid=%d ", (int)getpid());
    /* for another process: whoever inherits a variable by mistake takes nothing */
    if (!words || strncmp(words, own, (size_t)n) != 0) return SV_OK;
    const bool is_good = take_words(takeover_out, sv_str_of(words + n));
    (void)unsetenv(SVI_TAKEOVER_VARIABLE);
    if (!is_good) {
        *takeover_out = (svi_takeover){.lock = -1, .binary = -1, .sockets = {.control = -1}};
        return svi_err(err, SV_EINVAL, "%s can't be read: start the server anew", SVI_TAKEOVER_VARIABLE);
    }
    takeover_out->is_there = true;
    mark_all(takeover_out->lock, &takeover_out->sockets, true);
    close_on_exec(takeover_out->binary, true);
    return SV_OK;
}

/* --- the exchange ------------------------------------------------------------------------------------- */

static void put_words(const svi_takeover_hand *hand, int binary, char to[WORDS_MAX])
{
    int n = snprintf(to, WORDS_MAX, "pid=%d %s lock=%d control=%d from=%s", (int)getpid(), FORM, hand->lock,
                     hand->sockets->control, SVI_VERSION);
    if (binary >= 0) n += snprintf(to + n, WORDS_MAX - (size_t)n, " binary=%d", binary);
    for (size_t i = 0; i < hand->sockets->c2s_count; i++) {
        const svi_socket *s = &hand->sockets->c2s[i];
        n += snprintf(to + n, WORDS_MAX - (size_t)n, " %s=%d", socket_words[kind_of(s)], s->fd);
    }
    SV_ASSERT((size_t)n < WORDS_MAX - SVI_TAKEOVER_TEXT - 8);
    if (hand->failed)
        (void)snprintf(to + n, WORDS_MAX - (size_t)n, " failed=%.*s", (int)SVI_TAKEOVER_TEXT - 1, hand->failed);
}

/* `file` is what is executed, hand->path what it is called. */
static sv_status become(const char *file, const svi_takeover_hand *hand, int binary, sv_err *err)
{
    char words[WORDS_MAX];
    const char *const args[] = {hand->path, "serve", "--config", hand->config, NULL};
    put_words(hand, binary, words);
    mark_all(hand->lock, hand->sockets, false);
    (void)setenv(SVI_TAKEOVER_VARIABLE, words, 1);
    (void)execv(file, (char *const *)(uintptr_t)args);
    const int why = errno;
    (void)unsetenv(SVI_TAKEOVER_VARIABLE);
    mark_all(hand->lock, hand->sockets, true);
    return svi_err(err, SV_EIO, "%s can't be executed: %s", file, strerror(why));
}

sv_status svi_takeover_exec(const svi_takeover_hand *hand, sv_err *err)
{
    const int own = open("/proc/self/exe", O_RDONLY); /* over the exchange, for the way back */
    const sv_status status = become(hand->path, hand, own, err);
    if (own >= 0) (void)close(own);
    return status;
}

sv_status svi_takeover_back(const svi_takeover *takeover, const svi_takeover_hand *hand, sv_err *err)
{
    char file[32];
    if (takeover->binary < 0) return svi_err(err, SV_ENOTFOUND, "there was no binary before this one");
    (void)snprintf(file, sizeof file, "/proc/self/fd/%d", takeover->binary);
    return become(file, hand, -1, err);
}

/* --- the trial ---------------------------------------------------------------------------------------- */

bool svi_takeover_is_trial(void)
{
    const char *words = getenv(SVI_TAKEOVER_VARIABLE);
    return words && strcmp(words, "check") == 0;
}

void svi_takeover_say(void)
{
    (void)printf("%s%s\n", KNOWS, SVI_VERSION);
}

static _Noreturn void become_trial(const char *path, const char *config, int out)
{
    const char *const args[] = {path, "serve", "--config", config, NULL};
    sigset_t none;
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(nothing, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setenv(SVI_TAKEOVER_VARIABLE, "check", 1);
    (void)unsetenv("NOTIFY_SOCKET"); /* it has nothing to tell systemd */
    (void)execv(path, (char *const *)(uintptr_t)args);
    (void)dprintf(STDERR_FILENO, "%s can't be executed: %s\n", path, strerror(errno));
    _exit(SVI_EXIT_FAILED);
}

sv_status svi_tryout_begin(const char *path, const char *config, int64_t now_ms, svi_tryout *trial_out, sv_err *err)
{
    int ends[2];
    *trial_out = (svi_tryout){.out = -1, .until_ms = now_ms + TRIAL_MS};
    if (access(path, X_OK) != 0)
        return svi_err(err, SV_ENOTFOUND, "%s: %s: put the new release's binary there", path, strerror(errno));
    if (pipe2(ends, O_CLOEXEC) != 0) return svi_err(err, SV_EIO, "pipe: %s", strerror(errno));
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    const pid_t child = fork();
    if (child == 0) become_trial(path, config, ends[1]);
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return svi_err(err, SV_EIO, "fork: %s", strerror(errno));
    }
    trial_out->pid = child;
    trial_out->out = ends[0];
    return SV_OK;
}

/* The beginning tells what is wrong, the end that all is well; what is between is passed over. */
static void keep(svi_tryout *t, const char *p, size_t n)
{
    const size_t room = sizeof t->said - 1 - t->n, first = n < room ? n : room;
    memcpy(t->said + t->n, p, first);
    t->n += first;
    for (size_t i = 0; i < n; i++) {
        if (t->tail_n + 1 == sizeof t->tail) memmove(t->tail, t->tail + 1, --t->tail_n);
        t->tail[t->tail_n++] = p[i];
    }
}

void svi_tryout_hear(svi_tryout *trial)
{
    char bytes[4096];
    if (trial->out < 0) return;
    const ssize_t n = read(trial->out, bytes, sizeof bytes);
    if (n > 0) keep(trial, bytes, (size_t)n);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
    (void)close(trial->out);
    trial->out = -1;
}

void svi_tryout_kill(svi_tryout *trial)
{
    if (trial->pid > 0) (void)kill(-trial->pid, SIGKILL);
    trial->until_ms = INT64_MAX;
}

/* The last line that it said, without its end. */
static sv_str last_line(const svi_tryout *t)
{
    size_t end = t->tail_n;
    while (end > 0 && t->tail[end - 1] == '\n') end--;
    size_t begin = end;
    while (begin > 0 && t->tail[begin - 1] != '\n') begin--;
    return (sv_str){t->tail + begin, end - begin};
}

/* What is told of a binary that is refused: what it said, with its lines in one. */
static sv_status refuse(svi_tryout *t, int status, sv_err *err)
{
    if (t->until_ms == INT64_MAX)
        return svi_err(err, SV_EINVAL, "it did not end within %d s when it was to check the configuration", TRIAL_MS / 1000);
    if (WIFSIGNALED(status))
        return svi_err(err, SV_EINVAL, "it was ended by signal %d when it was to check the configuration", WTERMSIG(status));
    while (t->n > 0 && t->said[t->n - 1] == '\n') t->n--;
    for (size_t i = 0; i < t->n; i++)
        if (t->said[i] == '\n') t->said[i] = ' ';
    if (WEXITSTATUS(status) == 0)
        return svi_err(err, SV_EINVAL, "it is no release of Stave that can take over: restart the server with it instead");
    return svi_err(err, SV_EINVAL, "it refuses to start, status %d (its command `check` tells all): %.*s", WEXITSTATUS(status),
                   (int)t->n, t->said);
}

sv_status svi_tryout_end(svi_tryout *trial, int status, char version_out[32], sv_err *err)
{
    const sv_str knows = SV_STR(KNOWS);
    /* a child of its own might keep the other end: what is there by now is all */
    if (trial->out >= 0) svi_tryout_hear(trial);
    if (trial->out >= 0) (void)close(trial->out);
    trial->out = -1;
    trial->pid = 0;
    const sv_str line = last_line(trial);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || trial->until_ms == INT64_MAX || line.n <= knows.n ||
        memcmp(line.p, knows.p, knows.n) != 0)
        return refuse(trial, status, err);
    (void)snprintf(version_out, 32, "%.*s", (int)(line.n - knows.n), line.p + knows.n);
    return SV_OK;
}
