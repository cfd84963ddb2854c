/* Where a thread is: asked by a signal, said by its handler, read by whoever asked. */
#include "main/main_stall.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Whose turn it is with the rest of the state. */
enum { IDLE = 0, ASKED, SAYING, SAID };

typedef struct stall_state {
    _Atomic int whose;
    const svi_bus *bus;
    uint64_t calls;
    svi_stall stall;
} stall_state;

static stall_state state; /* lint: allow global (a signal handler has no other context) */

static int stall_signal(void)
{
    return SIGRTMIN + 4;
}

/* --- on the thread that is asked ---------------------------------------------------------------------- */

/* snprintf is not for signal handlers. */
static void copy(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; from != NULL && from[n] != '\0' && n + 1 < size; n++) to[n] = from[n];
    to[n] = '\0';
}

static void on_asked(int signal)
{
    (void)signal;
    int asked = ASKED;
    if (!atomic_compare_exchange_strong(&state.whose, &asked, SAYING)) return;
    const svi_exec *exec = svi_exec_now();
    svi_stall *stall = &state.stall;
    if (svi_bus_calls(state.bus) != state.calls || exec->module == NULL) {
        atomic_store(&state.whose, IDLE); /* it came too late */
        return;
    }
    copy(stall->module, sizeof stall->module, exec->module);
    copy(stall->hook, sizeof stall->hook, exec->hook);
    copy(stall->host, sizeof stall->host, exec->host);
    stall->stanza = exec->stanza;
    stall->count = backtrace(stall->frames, SVI_STALL_FRAMES);
    stall->first = 0; /* behind this function, and what the kernel returns to behind it */
    for (int i = 0; i < stall->count; i++)
        if (stall->frames[i] == __builtin_return_address(0)) stall->first = i + 1;
    atomic_store(&state.whose, SAID);
}

void svi_stall_install(void)
{
    void *frames[2];
    (void)backtrace(frames, 2); /* loads its library now, not in the handler */
    struct sigaction action = {.sa_flags = SA_RESTART};
    action.sa_handler = on_asked;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(stall_signal(), &action, NULL);
}

/* --- on the thread that asks -------------------------------------------------------------------------- */

void svi_stall_ask(pthread_t thread, const svi_bus *bus, uint64_t calls)
{
    const int whose = atomic_load(&state.whose);
    if (whose == SAYING) return; /* another time */
    int was = whose;
    if (!atomic_compare_exchange_strong(&state.whose, &was, IDLE)) return;
    state.bus = bus;
    state.calls = calls;
    atomic_store(&state.whose, ASKED);
    (void)pthread_kill(thread, stall_signal());
}

bool svi_stall_take(svi_stall *stall_out)
{
    if (atomic_load(&state.whose) != SAID) return false;
    *stall_out = state.stall;
    atomic_store(&state.whose, IDLE);
    return true;
}

/* --- text --------------------------------------------------------------------------------------------- */

/* "/proc/self/fd/./7" is a module's private copy, "/memfd:NAME (deleted)". */
static void object_name(const char *path, char *to, size_t size)
{
    char target[256];
    const ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    const char *name = strncmp(target, "/memfd:", 7) == 0 ? target + 7 : path;
    const char *slash = strrchr(name, '/');
    if (slash != NULL) name = slash + 1;
    (void)snprintf(to, size, "%.*s", (int)strcspn(name, " "), name);
}

static void frame_text(const void *frame, char *to, size_t size)
{
    Dl_info info;
    char object[64];
    if (dladdr(frame, &info) == 0 || info.dli_fname == NULL) {
        (void)snprintf(to, size, "%p", frame);
        return;
    }
    if (info.dli_sname != NULL) {
        (void)snprintf(to, size, "%s", info.dli_sname);
        return;
    }
    object_name(info.dli_fname, object, sizeof object);
    (void)snprintf(to, size, "%s+0x%" PRIxPTR, object, (uintptr_t)frame - (uintptr_t)info.dli_fbase);
}

void svi_stall_text(const svi_stall *stall, char *to, size_t size)
{
    size_t n = 0;
    *to = '\0';
    for (int i = stall->first; i < stall->count; i++) {
        char text[128];
        frame_text(stall->frames[i], text, sizeof text);
        const int put = snprintf(to + n, size - n, "%s%s", n > 0 ? " < " : "", text);
        if (put < 0 || (size_t)put >= size - n) return;
        n += (size_t)put;
    }
}
