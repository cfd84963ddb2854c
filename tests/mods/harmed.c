/* For tests of harm: writes, reads, waits and takes memory when asked, and tells what came of it. */
#include <stave/module.h>

#define NS "urn:stave:harmed"

typedef struct harmed {
    sv_mod *mod;
    sv_store *notes;
    int64_t taken; /* blocks of memory */
    void *block;
} harmed;

static sv_verdict tell(sv_event *ev, harmed *me, const char *what)
{
    sv_draft *out = sv->reply(ev, SV_STR("harmed"), SV_STR(NS));
    sv->set(out, SV_STR("what"), sv_str_of(what));
    sv->set_int(out, SV_STR("taken"), me->taken);
    return sv->send(ev);
}

static sv_verdict on_write(sv_event *ev, void *self)
{
    harmed *me = self;
    const sv_str value = sv->attr(sv->payload(ev), SV_STR("value"));
    const sv_status status = sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("note"), value);
    return status == SV_OK ? tell(ev, me, "written") : sv->refuse_text(ev, SV_INTERNAL_SERVER_ERROR, SV_STR("not written"));
}

static void came(sv_event *ev, sv_status status, sv_str value, void *self)
{
    harmed *me = self;
    if (status == SV_EIO) {
        (void)sv->refuse_text(ev, SV_INTERNAL_SERVER_ERROR, SV_STR("not read"));
        return;
    }
    (void)tell(ev, me, sv->format(ev, "%.*s", (int)value.n, value.n ? value.p : "").p);
}

static sv_verdict on_read(sv_event *ev, void *self)
{
    const harmed *me = self;
    sv->get(ev, me->notes, sv->from(ev)->node, SV_STR("note"), came);
    return SV_LATER;
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    harmed *me = self;
    if (status != SV_OK)
        (void)sv->refuse_text(ev, SV_INTERNAL_SERVER_ERROR, SV_STR("not read"));
    else
        (void)tell(ev, me, sv->row_count(rows) > 0 ? "some" : "none");
}

static sv_verdict on_load(sv_event *ev, void *self)
{
    const harmed *me = self;
    sv->rows_load(ev, me->notes, sv->from(ev)->node, loaded);
    return SV_LATER;
}

static sv_verdict on_space(sv_event *ev, void *self)
{
    return tell(ev, self, sv->has_space(ev) ? "space" : "no space");
}

static sv_verdict on_take(sv_event *ev, void *self)
{
    harmed *me = self;
    me->taken++;
    me->block = sv->alloc_resize(me->mod, me->block, (size_t)me->taken * 10);
    return tell(ev, me, "taken");
}

static sv_status start(sv_mod *mod, void *self)
{
    harmed *me = self;
    me->mod = mod;
    return sv->store_open(mod, NULL, "notes", 1, &me->notes);
}

static const sv_hook hooks[] = {
    {.on = "iq-set/self {" NS "}write", .call = on_write, .flags = SV_HOOK_STORES},
    {.on = "iq-set/self {" NS "}dare", .call = on_write},
    {.on = "iq-get/self {" NS "}read", .call = on_read},
    {.on = "iq-get/self {" NS "}load", .call = on_load},
    {.on = "iq-get/self {" NS "}space", .call = on_space},
    {.on = "iq-get/self {" NS "}take", .call = on_take},
    {0},
};

SV_MODULE(.name = "harmed", .summary = "What tests do harm to", .self_size = sizeof(harmed), .hooks = hooks, .start = start)
