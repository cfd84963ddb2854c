/* Hooks with a filter that nobody can read. */
#include <stave/module.h>

static sv_verdict on_it(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

static const sv_hook hooks[] = {{.on = "iq-get/host urn:x query", .call = on_it}, {0}};

SV_MODULE(.name = "bad_filter", .summary = "Misspells a filter", .hooks = hooks)
