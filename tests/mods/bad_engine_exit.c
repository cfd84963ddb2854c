/* An engine that leaves something to run at exit: what is loaded once is bound by that, too. */
#include <stave/engine.h>

#include <stdlib.h>

static void last(void)
{
}

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    (void)self;
    return atexit(last) == 0 ? SV_OK : SV_EIO;
}

SV_ENGINE(.name = "bad_engine_exit", .summary = "Leaves an exit handler", .start = start)
