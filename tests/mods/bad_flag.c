/* A hook with a flag of a server to come. */
#include <stave/module.h>

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

static const sv_hook hooks[] = {{.on = "message/account", .call = on_message, .flags = 1u << 31 | SV_HOOK_OPEN}, {0}};

SV_MODULE(.name = "bad_flag", .summary = "A flag that nobody knows", .hooks = hooks)
