/* @NAME@: a note of each account, which it writes and which others may read.
 *
 * A client sets its own with <iq type='set'><note xmlns='urn:example:@NAME@'>text</note></iq> and asks for
 * another's with <iq type='get' to='romeo@example.org'><note xmlns='urn:example:@NAME@'/></iq>. */
#include "@NAME@.h"

#define NS "urn:example:@NAME@"

/* The state of the module on one host: zeroed, then the options are filled in, then start() runs. */
typedef struct notes {
    int64_t length;  /* option @OPTION@_length */
    sv_store *texts; /* localpart, "note" -> the text */
} notes;

size_t count_chars(sv_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n; i++) count += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return count;
}

/* A user writes the own note. The answer leaves when the note is on disk. */
static sv_verdict on_set(sv_event *ev, void *self)
{
    const notes *me = self;
    const sv_str text = sv->text(ev, sv->payload(ev));
    const bool is_long = count_chars(text) > (size_t)me->length;
    const sv_status kept = is_long ? SV_ELIMIT : sv->put(ev, me->texts, sv->from(ev)->node, SV_STR("note"), text);
    if (kept != SV_OK)
        return sv->refuse_text(ev, SV_NOT_ACCEPTABLE,
                               kept == SV_ELIMIT ? SV_STR("The note is too long.") : SV_STR("Guests keep no notes."));
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

/* The note has been read: ends the event for which on_get said SV_LATER. */
static void tell(sv_event *ev, sv_status status, sv_str text, void *self)
{
    (void)self;
    if (status == SV_OK) {
        sv->add_text(sv->reply(ev, SV_STR("note"), SV_STR(NS)), text);
        (void)sv->send(ev);
    } else {
        (void)sv->refuse(ev, status == SV_ENOTFOUND ? SV_ITEM_NOT_FOUND : SV_INTERNAL_SERVER_ERROR);
    }
}

/* Somebody asks for the note of an account. */
static sv_verdict on_get(sv_event *ev, void *self)
{
    const notes *me = self;
    sv->get(ev, me->texts, sv->to(ev)->node, SV_STR("note"), tell);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    notes *me = self;
    return sv->store_open(mod, NULL, "texts", 1, &me->texts);
}

static const sv_hook hooks[] = {
    {.on = "iq-set/self {" NS "}note", .call = on_set, .flags = SV_HOOK_STORES},
    {.on = "iq-get/self {" NS "}note", .call = on_get},
    {.on = "iq-get/account {" NS "}note", .call = on_get},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(notes, length, "@OPTION@_length", "200", "1", "2000", "The longest note, in characters."),
    {0},
};

SV_MODULE(.name = "@NAME@", .summary = "A note of each account", .account_features = NS, .self_size = sizeof(notes),
          .hooks = hooks, .options = options, .start = start)
