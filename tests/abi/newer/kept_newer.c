/* Built with headers of a release to come, which have the function `brand_new`; runs on a server without it if it says so. */
#include <stave/module.h>

#define NS "urn:stave:kept-newer"

static sv_verdict on_ask(sv_event *ev, void *self)
{
    (void)self;
    sv_draft *answer = sv->reply(ev, SV_STR("has"), SV_STR(NS));
    sv->set_int(answer, SV_STR("new"), SV_HAS(brand_new) ? sv->brand_new(7) : 0);
    sv->set(answer, SV_STR("old"), SV_HAS(now_s) ? SV_STR("yes") : SV_STR("no"));
    return sv->send(ev);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS "}has", .call = on_ask},
    {0},
};

SV_MODULE(.name = "kept_newer", .summary = "Is newer than the server", .hooks = hooks)
