/* Starts a thread. */
#include <stave/module.h>

/* Declared here: a module has no business with <pthread.h>. */
int pthread_create(unsigned long *thread, const void *attributes, void *(*run)(void *), void *ctx);

static void *run(void *ctx)
{
    return ctx;
}

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    unsigned long thread;
    return pthread_create(&thread, NULL, run, self) == 0 ? SV_OK : SV_EIO;
}

SV_MODULE(.name = "bad_thread", .summary = "Starts a thread", .start = start)
