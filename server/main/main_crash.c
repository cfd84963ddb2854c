/* Crash reports, written from a signal handler: only write(), open() and arithmetic. */
#include "main/main_crash.h"

#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 64
#define STACK_BYTES 65536
#define HEAD_LINES 100u /* of a report at most are read */

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define FATAL_COUNT (sizeof fatal_signals / sizeof *fatal_signals)

typedef struct crash_state {
    char file[PATH_MAX];
    char why[200];
    _Atomic int reporter; /* number of the thread that writes the report */
    void (*last)(void *ctx);
    void *last_ctx;
} crash_state;

static crash_state crash; /* lint: allow global (a signal handler has no other context) */

/* lint: allow global (the stack a handler runs on when the thread's own has overflowed) */
static char handler_stack[STACK_BYTES];

const char *svi_crash_signal_name(int signal)
{
    switch (signal) {
    case SIGSEGV: return "SEGV";
    case SIGBUS: return "BUS";
    case SIGILL: return "ILL";
    case SIGFPE: return "FPE";
    case SIGABRT: return "ABRT";
    case SIGKILL: return "KILL";
    case SIGTERM: return "TERM";
    case SIGXCPU: return "XCPU";
    default: return "signal";
    }
}

/* --- writing ------------------------------------------------------------------------------------------ */

static void put(int fd, const char *text, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(fd, text, n);
        if (done <= 0) return;
        text += done;
        n -= (size_t)done;
    }
}

static void put_text(int fd, const char *name, const char *text)
{
    char line[512];
    size_t n = 0;
    for (; *name; name++) line[n++] = *name;
    line[n++] = ':';
    line[n++] = ' ';
    if (!text || !*text) text = "-";
    for (; *text && n < sizeof line - 1; text++) /* nothing of a peer steers a terminal (X15) */
        line[n++] = (unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f ? '?' : *text;
    line[n++] = '\n';
    put(fd, line, n);
}

static void put_number(int fd, const char *name, uint64_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put_text(fd, name, digits + at);
}

void svi_crash_write(int fd, int signal, const svi_exec *exec, const char *why)
{
    struct timespec now = {.tv_sec = 0};
    /* lint: allow clock_gettime (in a signal handler, of a process that ends) */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    put_number(fd, "time", (uint64_t)now.tv_sec);
    put_number(fd, "process", (uint64_t)getpid());
    put_text(fd, "signal", svi_crash_signal_name(signal));
    put_text(fd, "assertion", why);
    put_text(fd, "module", exec->module);
    put_text(fd, "hook", exec->hook);
    put_text(fd, "host", exec->host);
    put_number(fd, "stanza", exec->stanza);
    void *frames[FRAMES_MAX];
    const int count = backtrace(frames, FRAMES_MAX);
    put(fd, "calls:\n", 7);
    backtrace_symbols_fd(frames, count, fd);
    char head[96]; /* last: it is read from memory that may be what broke */
    svi_exec_head(exec, head, sizeof head);
    put_text(fd, "head", head);
}

/* --- catching ----------------------------------------------------------------------------------------- */

/* Dies by the signal now. */
static void die(int signal)
{
    struct sigaction action = {.sa_flags = 0};
    action.sa_handler = SIG_DFL;
    (void)sigaction(signal, &action, NULL);
    (void)raise(signal);
}

/* The first thread that faults reports; others that fault meanwhile wait for the end. A fault in here ends the process. */
static void on_fatal(int signal)
{
    int reporter = 0;
    const int me = (int)gettid();
    if (!atomic_compare_exchange_strong(&crash.reporter, &reporter, me)) {
        if (reporter == me) die(signal);
        for (;;) (void)pause();
    }
    const char *why = crash.why[0] ? crash.why : NULL;
    const int fd = open(crash.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    svi_crash_write(fd >= 0 ? fd : STDERR_FILENO, signal, svi_exec_now(), why);
    if (fd >= 0) (void)close(fd);
    if (crash.last) crash.last(crash.last_ctx);
    die(signal);
}

/* Keeps the text for the report; the caller aborts when this returns. */
static void on_assertion(const char *expression, const char *file, int line)
{
    (void)snprintf(crash.why, sizeof crash.why, "%s (%s:%d)", expression, file, line);
}

void svi_crash_last(void (*call)(void *ctx), void *ctx)
{
    crash.last_ctx = ctx;
    crash.last = call;
}

void svi_crash_thread(pthread_t thread, const char *why)
{
    (void)snprintf(crash.why, sizeof crash.why, "%s", why);
    (void)pthread_kill(thread, SIGABRT);
}

void svi_crash_install(const char *file)
{
    (void)snprintf(crash.file, sizeof crash.file, "%s", file);
    void *frames[2];
    (void)backtrace(frames, 2); /* loads its library now, not in the handler */
    const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    (void)sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_flags = SA_NODEFER | SA_ONSTACK};
    action.sa_handler = on_fatal;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FATAL_COUNT; i++) (void)sigaction(fatal_signals[i], &action, NULL);
    svi_assert_set_hook(on_assertion);
}

/* --- reading ------------------------------------------------------------------------------------------ */

/* Copies the value if the line is that of `name`; "-" stands for none. */
static void take(sv_str line, const char *name, char *to, size_t room)
{
    const sv_str key = sv_str_of(name);
    if (!svi_str_starts(line, key)) return;
    const sv_str value = svi_str_trim(svi_str_sub(line, key.n, line.n));
    if (sv_str_eq(value, SV_STR("-"))) return;
    (void)snprintf(to, room, "%.*s", (int)(value.n < room ? value.n : room - 1), value.p);
}

/* Neither a link nor a FIFO that waits for a writer. */
static FILE *open_report(const char *file)
{
    struct stat st;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return NULL;
    FILE *report = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (!report) (void)close(fd);
    return report;
}

bool svi_crash_read(const char *file, svi_crash_info *info_out)
{
    *info_out = (svi_crash_info){.module = ""};
    FILE *report = open_report(file);
    if (!report) return false;
    char line[1024];
    for (unsigned n = 0; n < HEAD_LINES && fgets(line, sizeof line, report); n++) {
        const sv_str text = sv_str_of(line);
        if (svi_str_starts(text, SV_STR("calls:"))) break;
        take(text, "module:", info_out->module, sizeof info_out->module);
        take(text, "hook:", info_out->hook, sizeof info_out->hook);
        take(text, "host:", info_out->host, sizeof info_out->host);
        take(text, "assertion:", info_out->assertion, sizeof info_out->assertion);
    }
    (void)fclose(report);
    return true;
}
