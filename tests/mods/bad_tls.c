/* Has a variable per thread. */
#include <stave/module.h>

static _Thread_local int counter;

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    (void)self;
    return ++counter == 1 ? SV_OK : SV_EBUSY;
}

SV_MODULE(.name = "bad_tls", .summary = "Has thread-local storage", .start = start)
