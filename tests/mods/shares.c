/* Supplies shared contacts as a directory would, in the place of the module "groups" or beside it; among
 * them lines that are none. */
#include <stave/roster.h>
#include <stave/module.h>

#define NS "urn:stave:shares"

typedef struct shares {
    sv_str_list lines; /* offered from the start */
    sv_str_list later; /* offered in their place once somebody says so */
    sv_store *roster;
    bool is_later;
} shares;

static sv_verdict on_asked(sv_event *ev, void *self)
{
    const shares *me = self;
    const sv_str_list *lines = me->is_later ? &me->later : &me->lines;
    for (size_t i = 0; i < lines->count; i++) sv->offer(ev, lines->items[i]);
    return SV_PASS;
}

static sv_verdict on_later(sv_event *ev, void *self)
{
    shares *me = self;
    me->is_later = true;
    sv->overlay_changed(me->roster);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_status start(sv_mod *mod, void *self)
{
    shares *me = self;
    return sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
}

static const sv_hook hooks[] = {
    {.on = SV_ROSTER_ASK_SHARED, .call = on_asked},
    {.on = "iq-set/host {" NS "}later", .call = on_later},
    {0},
};

static const sv_option options[] = {
    SV_OPT_LIST(shares, lines, "shares_lines", "What is offered."),
    SV_OPT_LIST(shares, later, "shares_later", "What is offered later."),
    {0},
};

SV_MODULE(.name = "shares", .summary = "Supplies shared contacts", .self_size = sizeof(shares),
          .hooks = hooks, .options = options, .start = start, .after = "roster")
