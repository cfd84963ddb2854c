/* Starts after another module if that is there, and tells the log when it does. */
#include <stave/module.h>

static sv_status start(sv_mod *mod, void *self)
{
    (void)self;
    sv->log(mod, SV_INFO, "wishes-start", NULL);
    return SV_OK;
}

SV_MODULE(.name = "wishes", .summary = "Would like another module", .start = start, .after = "?needs ?none")
