/* Ends the worker in its start. Its hook is one that others do not need; without any it might be what keeps the accounts,
 * and nobody would log in while it is not started. */
#include <stave/module.h>
#include <stdlib.h>

static sv_verdict on_asked(sv_event *ev, void *self)
{
    (void)self;
    return sv->refuse(ev, SV_FORBIDDEN);
}

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    (void)self;
    abort();
}

static const sv_hook hooks[] = {{.on = "iq-get/host {urn:stave:zoo-start}ask", .call = on_asked}, {0}};

SV_MODULE(.name = "zoo_start", .summary = "Crashes in its start", .hooks = hooks, .start = start)
