/* Ends the server in its start, unless it is told not to. */
#include <stave/module.h>
#include <stdlib.h>

typedef struct crash_start {
    bool off;
} crash_start;

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    if (!((const crash_start *)self)->off) abort();
    return SV_OK;
}

static const sv_hook hooks[] = {{.on = "message/out", .call = on_message}, {.on = NULL}};
static const sv_option options[] = {
    SV_OPT_BOOL(crash_start, off, "crash_start_off", "false", "It does not crash."), {.name = NULL}};

SV_MODULE(.name = "crash_start", .summary = "Crashes in its start", .self_size = sizeof(crash_start),
          .hooks = hooks, .options = options, .start = start)
