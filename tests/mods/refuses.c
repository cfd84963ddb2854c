/* Test module: refuses or drops messages that ask for it, at the recipient's side, behind those that come before it. */
#include <stave/module.h>

#define NS_REFUSES "urn:stave:refuses"

static sv_verdict on_refuse(sv_event *ev, void *self)
{
    (void)self;
    return sv->refuse(ev, SV_POLICY_VIOLATION);
}

static sv_verdict on_drop(sv_event *ev, void *self)
{
    (void)self;
    return sv->drop(ev, "refuses-dropped");
}

static const sv_hook hooks[] = {
    {.on = "message/account {" NS_REFUSES "}refuse", .call = on_refuse, .after = "archive"},
    {.on = "message/account {" NS_REFUSES "}drop", .call = on_drop, .after = "archive"},
    {0},
};

SV_MODULE(.name = "refuses", .summary = "Refuses messages on request", .hooks = hooks)
