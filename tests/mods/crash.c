/* Ends the server by the message "crash", or hangs at "stall", to see that the report names it. */
#include <stave/module.h>
#include <stdlib.h>

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)self;
    const sv_node *body = sv->find(sv->root(ev), SV_STR("body"), SV_STR_NONE);
    if (body != NULL && sv_str_eq(sv->text(ev, body), SV_STR("crash"))) abort();
    volatile bool hangs = body != NULL && sv_str_eq(sv->text(ev, body), SV_STR("stall"));
    while (hangs) {
    }
    return SV_PASS;
}

static const sv_hook hooks[] = {{.on = "message/out", .call = on_message}, {.on = NULL}};

SV_MODULE(.name = "crash", .summary = "Crashes when told to", .hooks = hooks)
