/* Leaves a function behind for the end of the process. */
#include <stave/module.h>
#include <stdlib.h>

static void at_exit(void)
{
}

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    (void)self;
    return atexit(at_exit) == 0 ? SV_OK : SV_EIO;
}

SV_MODULE(.name = "bad_exit", .summary = "Registers an exit handler", .start = start)
