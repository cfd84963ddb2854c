/* Message archives of accounts (XEP-0313): everything an account says and hears, for its devices to catch up with.
 *
 * A message is added to the sender's archive at the sender's side and to the recipient's before it is delivered, in one event and so in
 * one unit; what the recipient's sessions get bears the id of its entry (XEP-0359). */
#include "archive.h"

#define SWEEP_MS 10000

/* --- adding ------------------------------------------------------------------------------- */

/* Adds the event's message to an account's archive. False: it was refused. */
static bool add(sv_event *ev, archive *me, const sv_jid *owner, const sv_jid *with, uint32_t flags, sv_str *id_out)
{
    const sv_archive_entry entry = {
        .size = sizeof entry, .flags = flags, .owner = owner->node, .with = with, .stanza = sv->stanza(ev)};
    const sv_status status = me->api->add(ev, me->messages, &entry, id_out);
    *id_out = status == SV_OK ? *id_out : SV_STR_NONE;
    if (status == SV_OK) sv->metric_add(me->mod, ADDED, 1);
    if (status == SV_OK || status == SV_EDENIED) return true; /* nothing is kept for guests */
    (void)sv->refuse(ev, status == SV_ELIMIT ? SV_NOT_ACCEPTABLE : SV_RESOURCE_CONSTRAINT);
    return false;
}

static bool add_sent(sv_event *ev, archive *me)
{
    uint32_t flags;
    sv_str id;
    (void)archive_is_kept(ev, me, &flags);
    return add(ev, me, sv->from(ev), sv->to(ev), flags | ENTRY_OUTGOING, &id);
}

/* XEP-0313 3.5: whoever gets it learns under which id it is kept. */
static bool add_received(sv_event *ev, archive *me)
{
    uint32_t flags;
    sv_str id;
    const bool is_own = sv_str_eq(sv->from(ev)->bare, sv->to(ev)->bare);
    (void)archive_is_kept(ev, me, &flags);
    if (!add(ev, me, sv->to(ev), sv->from(ev), flags | (is_own ? ENTRY_OUTGOING : 0), &id)) return false;
    if (id.n == 0) return true;
    sv_draft *mark = sv->draft(ev, SV_STR("stanza-id"), SV_STR(NS_SID));
    sv->set(mark, SV_STR("by"), sv->to(ev)->bare);
    sv->set(mark, SV_STR("id"), id);
    sv->replace(ev, sv->with_child(ev, sv->stanza(ev), mark));
    return true;
}

/* --- whether ------------------------------------------------------------------------------ */

static void sent_came(sv_event *ev, sv_status status, sv_rows *rows, void *self);
static void received_came(sv_event *ev, sv_status status, sv_rows *rows, void *self);

static sv_verdict sent(sv_event *ev, archive *me)
{
    const wish wants = archive_wish(ev, me, sv->from(ev), sv->to(ev));
    if (wants == WISH_NO) return SV_PASS;
    if (wants == WISH_YES) return add_sent(ev, me) ? SV_PASS : SV_DONE;
    archive_wish_load(ev, me, wants, sv->from(ev), sent_came);
    return SV_LATER;
}

static sv_verdict received(sv_event *ev, archive *me)
{
    const wish wants = archive_wish(ev, me, sv->to(ev), sv->from(ev));
    if (wants == WISH_NO) return SV_PASS;
    if (wants == WISH_YES) return add_received(ev, me) ? SV_PASS : SV_DONE;
    archive_wish_load(ev, me, wants, sv->to(ev), received_came);
    return SV_LATER;
}

/* The archive is not passed over because a disk failed: who sent it is told. */
static void came(sv_event *ev, sv_status status, void *self, sv_verdict (*go_on)(sv_event *, archive *))
{
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    if (go_on(ev, self) == SV_PASS) sv->pass(ev);
}

static void sent_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows;
    came(ev, status, self, sent);
}

static void received_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)rows;
    came(ev, status, self, received);
}

static sv_verdict on_out(sv_event *ev, void *self)
{
    uint32_t flags;
    return archive_is_kept(ev, self, &flags) ? sent(ev, self) : SV_PASS;
}

/* To a session that has gone only chat goes on to the others (RFC 6121 8.5.3.2.1); the rest is refused, and what an
 * entity rejects is in no archive of its own (XEP-0313 6.1). */
static bool is_rejected(sv_event *ev)
{
    const bool is_chat = sv_str_eq(sv->type(ev), SV_STR("chat"));
    return !is_chat && sv->to(ev)->resource.n > 0 && !sv->session_find(ev, sv->to(ev));
}

/* It has the recipient's mark, which only the server sets (XEP-0359 5): it was for a session that has gone since, and is in the
 * archive by then. */
static bool is_marked(sv_event *ev)
{
    const sv_node *root = sv->root(ev);
    for (const sv_node *at = sv->first(root); at; at = sv->next(root, at))
        if (sv->is(at, SV_STR("stanza-id"), SV_STR(NS_SID)) && sv_str_eq(sv->attr(at, SV_STR("by")), sv->to(ev)->bare)) return true;
    return false;
}

static sv_verdict on_in(sv_event *ev, void *self)
{
    archive *me = self;
    uint32_t flags;
    if (!archive_is_kept(ev, me, &flags) || is_rejected(ev) || is_marked(ev)) return SV_PASS;
    /* of a room only what it sends to its occupants, each a session of the account (XEP-0045 7.4) */
    if ((flags & ENTRY_ROOM) != 0 && sv->to(ev)->resource.n == 0) return SV_PASS;
    return received(ev, me);
}

/* Behind those that deliver or keep it: nobody has, but it is in the archive. */
static sv_verdict on_unclaimed(sv_event *ev, void *self)
{
    const archive *me = self;
    return is_marked(ev) || me->api->added(ev, sv->to(ev)->bare).n > 0 ? sv->stored(ev) : SV_PASS;
}

/* --- begin -------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    archive *me = self;
    me->mod = mod;
    me->api = sv->query("archive", 1);
    sv_status status = me->api->open(mod, "messages", &me->messages);
    if (status == SV_OK) status = sv->store_open(mod, NULL, "prefs", 1, &me->prefs);
    if (status == SV_OK)
        (void)sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
    const bool has_bounds = me->max_age_ms > 0 || me->max_messages > 0 || me->max_bytes > 0;
    if (status == SV_OK && has_bounds) status = me->api->sweep(mod, me->messages, SWEEP_MS);
    return status;
}

#define STORES (SV_HOOK_STORES | SV_HOOK_GUARD)
static const sv_hook hooks[] = {
    {.on = "message/out", .call = on_out, .flags = STORES},
    {.on = "message/account", .call = on_in, .flags = STORES},
    {.on = "message/self", .call = on_in, .flags = STORES},
    {.on = "message/resource", .call = on_in, .flags = STORES},
    {.on = "message/account", .call = on_unclaimed, .band = SV_LATE, .after = "offline", .flags = SV_HOOK_OPEN},
    {.on = "message/self", .call = on_unclaimed, .band = SV_LATE, .after = "offline", .flags = SV_HOOK_OPEN},
    {.on = "iq-set/self {" NS_MAM "}query", .call = archive_on_query},
    {.on = "iq-get/self {" NS_MAM "}query", .call = archive_on_form},
    {.on = "iq-get/self {" NS_MAM "}metadata", .call = archive_on_metadata},
    {.on = "iq-get/self {" NS_MAM "}prefs", .call = archive_on_prefs_get},
    {.on = "iq-set/self {" NS_MAM "}prefs", .call = archive_on_prefs_set, .flags = STORES},
    {.on = "session/bound", .call = archive_on_bound},
    {.on = "session/unsent {" NS_MAM "}result", .call = archive_on_unsent, .band = SV_FIRST, .flags = SV_HOOK_OPEN},
    {.on = "store/sweep", .call = archive_on_sweep},
    {0},
};

static const sv_option options[] = {
    SV_OPT_ENUM(archive, preset, "archive_default", "always", "always never roster",
                "Whose messages are archived for an account that has said nothing about it: everybody's, nobody's, or those of the "
                "contacts in its roster."),
    SV_OPT_BOOL(archive, has_prefs, "archive_preferences", "true",
                "Whether accounts may decide themselves what is archived for them (XEP-0441)."),
    SV_OPT_BOOL(archive, has_rooms, "archive_rooms", "false",
                "Whether what rooms send to an account goes into its archive, too."),
    SV_OPT_INT(archive, page_max, "archive_page_max", "100", "1", "1000",
               "How many messages a client gets for one query, at most."),
    SV_OPT_PERIOD(archive, max_age_ms, "archive_max_age", "0s", "0s", "36500d",
                  "How long a message is kept; older ones are deleted within minutes to hours. 0s keeps them for ever."),
    SV_OPT_INT(archive, max_messages, "archive_max_messages", "0", "0", "1000000000",
               "How many messages an account's archive keeps: the newest. 0 keeps all."),
    SV_OPT_SIZE(archive, max_bytes, "archive_max_bytes", "0", "0", "1024G",
                "How many bytes of messages an account's archive keeps: the newest. 0 keeps all."),
    {0},
};

static const sv_metric metrics[] = {
    [ADDED] = {"archive_added", SV_METRIC_COUNTER, "Entries that were added to archives."},
    [PAGES] = {"archive_pages", SV_METRIC_COUNTER, "Queries that were answered with a page."},
    [RESULTS] = {"archive_results", SV_METRIC_COUNTER, "Messages in those pages."},
    [PURGED] = {"archive_purged", SV_METRIC_COUNTER, "Entries that were deleted from archives."},
    {0},
};

SV_MODULE(.name = "archive", .summary = "Message archives (XEP-0313, XEP-0359, XEP-0441)", .features = NS_SID,
          .account_features = NS_MAM " " NS_MAM "#extended " NS_MAM "#groupchat-field " NS_SID " " NS_RSM, .self_size = sizeof(archive),
          .hooks = hooks, .options = options, .metrics = metrics, .commands = archive_commands, .start = start,
          .after = "?roster", .needs = "archive 1")
