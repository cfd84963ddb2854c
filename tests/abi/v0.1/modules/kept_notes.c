/* Keeps a note for each account: a store, an option, requests that are answered at once, later and with an error. */
#include <stave/module.h>

#define NS "urn:stave:kept"

typedef struct notes {
    sv_store *store;
    sv_str greeting;
    int64_t longest;
} notes;

static sv_verdict on_set(sv_event *ev, void *self)
{
    const notes *me = self;
    const sv_str text = sv->text(ev, sv->payload(ev));
    if ((int64_t)text.n > me->longest) return sv->refuse(ev, SV_NOT_ACCEPTABLE);
    if (sv->put(ev, me->store, sv->from(ev)->node, SV_STR("note"), text) != SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static void came(sv_event *ev, sv_status status, sv_str value, void *self)
{
    const notes *me = self;
    if (status != SV_OK) {
        sv->refuse(ev, status == SV_ENOTFOUND ? SV_ITEM_NOT_FOUND : SV_INTERNAL_SERVER_ERROR);
        return;
    }
    sv_draft *note = sv->reply(ev, SV_STR("note"), SV_STR(NS));
    sv->set(note, SV_STR("greeting"), me->greeting);
    sv->add_text(note, value);
    sv->send(ev);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    const notes *me = self;
    sv->get(ev, me->store, sv->from(ev)->node, SV_STR("note"), came);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    notes *me = self;
    return sv->store_open(mod, NULL, "notes", 1, &me->store);
}

static const sv_hook hooks[] = {
    {.on = "iq-set/host {" NS "}note", .call = on_set, .flags = SV_HOOK_STORES},
    {.on = "iq-get/host {" NS "}note", .call = on_get},
    {0},
};

static const sv_option options[] = {
    SV_OPT_STRING(notes, greeting, "kept_notes_greeting", "hello", "Stands at each note."),
    SV_OPT_SIZE(notes, longest, "kept_notes_longest", "16", "1", "1k", "How long a note may be."),
    {0},
};

SV_MODULE(.name = "kept_notes", .summary = "Keeps notes", .features = NS, .self_size = sizeof(notes), .hooks = hooks,
          .options = options, .start = start)
