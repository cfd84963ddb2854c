/* Reading passwords. */
#include "main/main_prompt.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* What would end or stop the process while the terminal does not show what is typed. */
static const int breaks[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};

/* A terminal on standard input, silent while a password is typed; not used if that is none. */
typedef struct terminal {
    bool is_used;
    struct termios before, silent;
    sigset_t heard, old;
    int signals; /* takes those of `breaks` */
} terminal;

static void listen_silently(terminal *t)
{
    (void)sigprocmask(SIG_BLOCK, &t->heard, &t->old);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->silent);
}

static void speak_again(terminal *t)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
    (void)sigprocmask(SIG_SETMASK, &t->old, NULL);
}

/* Takes the signal as it would have been taken, with the terminal as it was: that ends the process,
 * or stops it for a while. */
static void on_break(terminal *t)
{
    struct signalfd_siginfo info;
    if (read(t->signals, &info, sizeof info) != sizeof info) return;
    speak_again(t);
    (void)raise((int)info.ssi_signo);
    listen_silently(t);
}

/* Waits for something to read. */
static void wait_for_input(terminal *t)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = t->signals, .events = POLLIN}};
    if (!t->is_used) return;
    do {
        fds[0].revents = fds[1].revents = 0;
        (void)poll(fds, 2, -1);
        if (fds[1].revents != 0) on_break(t);
    } while (fds[0].revents == 0);
}

/* One line of standard input, byte by byte: what follows it is not ours. */
static sv_status read_line(terminal *t, char to[SVI_PASSWORD_BYTES], sv_err *err)
{
    size_t n = 0;
    for (;;) {
        char c;
        wait_for_input(t);
        const ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || c == '\n') break;
        if (c == '\0') return svi_err(err, SV_EINVAL, "the password holds a zero byte");
        if (n == SVI_PASSWORD_BYTES - 1)
            return svi_err(err, SV_EINVAL, "the password is longer than %u bytes",
                           SVI_PASSWORD_BYTES - 1);
        to[n++] = c;
    }
    if (n > 0 && to[n - 1] == '\r') n--;
    to[n] = '\0';
    return n > 0 ? SV_OK : svi_err(err, SV_EINVAL, "no password was given");
}

static sv_status prepare(terminal *t, sv_err *err)
{
    if (tcgetattr(STDIN_FILENO, &t->before) != 0)
        return svi_err(err, SV_EIO, "the terminal can't be set: %s", strerror(errno));
    t->silent = t->before;
    t->silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)sigemptyset(&t->heard);
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct sigaction action;
        const bool is_ignored =
            sigaction(breaks[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN;
        if (!is_ignored) (void)sigaddset(&t->heard, breaks[i]); /* as under nohup(1) */
    }
    t->signals = signalfd(-1, &t->heard, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->signals < 0) return svi_err(err, SV_EIO, "signalfd: %s", strerror(errno));
    t->is_used = true;
    return SV_OK;
}

/* Asks on the terminal with echo off. */
static sv_status ask(const char *question, const char *address, char to[SVI_PASSWORD_BYTES],
                     sv_err *err)
{
    terminal t = {.signals = -1};
    sv_status status = prepare(&t, err);
    if (status != SV_OK) return status;
    listen_silently(&t);
    (void)fprintf(stderr, "%s %s: ", question, address);
    status = read_line(&t, to, err);
    speak_again(&t);
    (void)close(t.signals);
    (void)fputc('\n', stderr);
    return status;
}

sv_status svi_prompt_password(const char *address, char to[SVI_PASSWORD_BYTES], sv_err *err)
{
    terminal none = {.signals = -1};
    if (!isatty(STDIN_FILENO)) return read_line(&none, to, err);
    char again[SVI_PASSWORD_BYTES];
    sv_status status = ask("New password for", address, to, err);
    if (status == SV_OK) status = ask("The same again for", address, again, err);
    if (status == SV_OK && !sv_str_eq(sv_str_of(to), sv_str_of(again)))
        status = svi_err(err, SV_EINVAL, "the two passwords differ; nothing was changed");
    OPENSSL_cleanse(again, sizeof again);
    return status;
}

sv_status svi_prompt_word(const char *question, char to[SVI_WORD_BYTES], sv_err *err)
{
    size_t n = 0;
    char c = '\n';
    if (!isatty(STDIN_FILENO)) return svi_err(err, SV_EDENIED, "nobody can be asked here: standard input is no terminal");
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s ", question);
    for (;;) {
        const ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || c == '\n') break;
        if (n < SVI_WORD_BYTES - 1) to[n++] = c;
    }
    to[n] = '\0';
    return SV_OK;
}
