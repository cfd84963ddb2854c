/* Sets and reads items of the host as it is told, and logs what it hears of them. */
#include <stave/module.h>

#ifndef ITEMS_NAME
#define ITEMS_NAME "items"
#endif
#define NS "urn:stave:" ITEMS_NAME

typedef struct items {
    sv_str first; /* an item that is there from the start */
    sv_mod *mod;
} items;

/* With a NUL behind it. */
static sv_str whole(sv_event *ev, sv_str text)
{
    return sv->format(ev, "%.*s", (int)text.n, text.p ? text.p : "");
}

static sv_str item_name(sv_event *ev)
{
    return whole(ev, sv->attr(sv->payload(ev), SV_STR("name")));
}

static sv_verdict on_set(sv_event *ev, void *self)
{
    const items *me = self;
    const sv_status status =
        sv->host_set_item(me->mod, item_name(ev).p, sv->attr(sv->payload(ev), SV_STR("value")));
    sv_draft *out = sv->reply(ev, SV_STR("set"), SV_STR(NS));
    sv->set_int(out, SV_STR("status"), status);
    return sv->send(ev);
}

/* As many items as there is room for. */
static sv_verdict on_fill(sv_event *ev, void *self)
{
    const items *me = self;
    int64_t count = 0;
    sv_status status;
    do {
        status = sv->host_set_item(me->mod, sv->format(ev, "fill/%d", (int)count).p, SV_STR("x"));
        count++;
    } while (status == SV_OK && count < 10000);
    sv_draft *out = sv->reply(ev, SV_STR("fill"), SV_STR(NS));
    sv->set_int(out, SV_STR("count"), count - 1);
    sv->set_int(out, SV_STR("status"), status);
    return sv->send(ev);
}

static sv_verdict on_item(sv_event *ev, void *self)
{
    const items *me = self;
    sv_draft *out = sv->reply(ev, SV_STR("item"), SV_STR(NS));
    sv->set(out, SV_STR("value"), sv->host_item(me->mod, item_name(ev).p));
    return sv->send(ev);
}

static sv_verdict on_changed(sv_event *ev, void *self)
{
    const items *me = self;
    const sv_str name = whole(ev, sv->subject(ev)), value = sv->host_item(me->mod, name.p);
    sv->log(me->mod, SV_INFO, "item-changed", "name", name.p, "value", value.p ? whole(ev, value).p : "(none)",
            NULL);
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    items *me = self;
    me->mod = mod;
    return me->first.n ? sv->host_set_item(mod, ITEMS_NAME "/first", me->first) : SV_OK;
}

static const sv_hook hooks[] = {
    {.on = "iq-set/host {" NS "}set", .call = on_set},
    {.on = "iq-set/host {" NS "}fill", .call = on_fill},
    {.on = "iq-get/host {" NS "}item", .call = on_item},
    {.on = "host/item", .call = on_changed},
    {0},
};

static const sv_option options[] = {
    SV_OPT_STRING(items, first, ITEMS_NAME "_first", "", "An item that is there from the start."),
    {0},
};

SV_MODULE(.name = ITEMS_NAME, .summary = "Sets and reads items of the host", .self_size = sizeof(items),
          .hooks = hooks, .options = options, .start = start)
