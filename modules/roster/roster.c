/* Rosters (RFC 6121 2): an account's list of contacts, changed by its own sessions, pushed to those
 * that asked for it.
 *
 * The record of an item is described in <stave/roster.h>; the presence module changes its
 * subscription bits and fires roster/changed, this one writes names and groups, and pushes. */
#include "roster.h"

#define GROUPS_MAX 64

/* --- records ------------------------------------------------------------------------------- */

bool roster_next_line(sv_str *rest, sv_str *line_out)
{
    if (rest->n == 0) return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    const size_t n = end ? (size_t)(end - rest->p) : rest->n;
    *line_out = (sv_str){rest->p, n};
    const size_t used = end ? n + 1 : n;
    *rest = (sv_str){rest->p + used, rest->n - used};
    return true;
}

void roster_add_item(sv_draft *query, sv_str jid, sv_str record)
{
    const unsigned flags = sv_roster_flags(record);
    sv_draft *item = sv->child(query, SV_STR("item"), SV_STR_NONE);
    sv->set(item, SV_STR("jid"), jid);
    if (!(flags & SV_ROSTER_LISTED)) {
        sv->set(item, SV_STR("subscription"), SV_STR("remove"));
        return;
    }
    sv_str rest = sv_roster_rest(record), line;
    if (roster_next_line(&rest, &line) && line.n) sv->set(item, SV_STR("name"), line);
    sv->set(item, SV_STR("subscription"), sv_roster_subscription(flags));
    if (flags & SV_ROSTER_APPROVED) sv->set(item, SV_STR("approved"), SV_STR("true"));
    if (flags & SV_ROSTER_PENDING_OUT) sv->set(item, SV_STR("ask"), SV_STR("subscribe"));
    while (roster_next_line(&rest, &line))
        sv->add_text(sv->child(item, SV_STR("group"), SV_STR_NONE), line);
}

int64_t roster_item_cost(sv_str jid, sv_str record)
{
    int64_t cost = 256 + (int64_t)(jid.n + record.n);
    sv_str groups = sv_roster_rest(record), line;
    (void)roster_next_line(&groups, &line); /* the name */
    while (roster_next_line(&groups, &line)) cost += 128;
    return cost;
}

void roster_tell(sv_event *ev, sv_str contact, sv_str record)
{
    sv->fire(ev, SV_ROSTER_CHANGED, sv->from(ev),
             sv->format(ev, "%.*s\n%.*s", (int)contact.n, contact.p, (int)record.n,
                        record.n ? record.p : ""));
}

/* --- get (RFC 6121 2.1.3, 2.2) ------------------------------------------------------------- */

static sv_verdict answer_get(sv_event *ev, sv_rows *rows)
{
    sv_draft *query = sv->reply(ev, SV_STR("query"), SV_STR(NS_ROSTER));
    sv_str jid = SV_STR_NONE, record;
    sv->set(query, SV_STR("ver"), roster_version(ev, rows));
    while (sv->row_next(rows, &jid, &record))
        if (sv_roster_flags(record) & SV_ROSTER_LISTED) roster_add_item(query, jid, record);
    if (sv->session(ev)) sv->session_set_item(sv->session(ev), INTERESTED, SV_STR("1"));
    return sv->send(ev);
}

static void got_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status == SV_OK)
        (void)answer_get(ev, rows);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    const roster *me = self;
    if (sv->first(sv->payload(ev)))
        return sv->refuse(ev, SV_BAD_REQUEST); /* 2.1.3: no items in a get */
    sv_rows *rows = sv->rows(ev, me->items, sv->from(ev)->node);
    if (rows && roster_send_changes(ev, rows)) {
        sv->session_set_item(sv->session(ev), INTERESTED, SV_STR("1"));
        return SV_DONE;
    }
    if (rows) return answer_get(ev, rows);
    sv->rows_load(ev, me->items, sv->from(ev)->node, got_rows);
    return SV_LATER;
}

/* --- set (RFC 6121 2.1.5, 2.3 to 2.5) ------------------------------------------------------ */

static bool has_line_feed(sv_str s)
{
    return s.n && memchr(s.p, '\n', s.n);
}

/* Checks the groups of an item and appends them to the record text; 0 or the condition of 2.3.3. */
static sv_cond read_groups(sv_event *ev, const roster *me, const sv_node *item, sv_str *record)
{
    sv_str seen[GROUPS_MAX];
    size_t count = 0;
    for (const sv_node *child = sv->first(item); child; child = sv->next(item, child)) {
        if (!sv->is(child, SV_STR("group"), SV_STR(NS_ROSTER))) continue;
        const sv_str group = sv->text(ev, child);
        if (group.n == 0 || (int64_t)group.n > me->name_bytes || has_line_feed(group) ||
            count == GROUPS_MAX)
            return SV_NOT_ACCEPTABLE;
        for (size_t i = 0; i < count; i++)
            if (sv_str_eq(seen[i], group)) return SV_BAD_REQUEST;
        seen[count++] = group;
        *record = sv->format(ev, "%.*s%.*s\n", (int)record->n, record->p, (int)group.n, group.p);
    }
    return 0;
}

static void contact_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self);

static sv_verdict remove_item(sv_event *ev, roster *me, const sv_rows *rows, const sv_jid *contact)
{
    sv_str record;
    if (sv->row_added(rows, contact->bare, &record))
        return sv->refuse_text(ev, SV_NOT_ALLOWED, SV_STR("The operator shares this contact"));
    if (!sv->row(rows, contact->bare, &record) || !(sv_roster_flags(record) & SV_ROSTER_LISTED))
        return sv->refuse(ev, SV_ITEM_NOT_FOUND); /* 2.5.3 */
    /* the contact's side of what ends with the item (2.5.2) is changed in this event, too, by the presence module */
    if (!sv->rows_warm(ev, me->items, contact, contact_rows)) return SV_LATER;
    if (sv->del(ev, me->items, sv->from(ev)->node, contact->bare) != SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    roster_tell(ev, contact->bare, SV_STR_NONE);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

/* What counts of a row towards the user's bounds: what he wrote, be it the name of a shared contact. */
static bool is_own(const sv_rows *rows, sv_str contact)
{
    sv_str record;
    return sv->row_stored(rows, contact, &record) &&
           ((sv_roster_flags(record) & SV_ROSTER_LISTED) || sv_roster_rest(record).n > 1);
}

/* Whether the contact may be listed with this record (empty: as a subscription makes it). What is
 * listed may always become smaller; requests that only wait (RFC 6121 3.1.3) take no room. */
static bool has_room(const roster *me, const sv_rows *rows, sv_str contact, sv_str record)
{
    const int64_t wanted = roster_item_cost(contact, record);
    int64_t others = 0, cost = wanted;
    bool is_new = true;
    sv_str key = SV_STR_NONE, other;
    while (sv->row_next(rows, &key, &other)) {
        if (!is_own(rows, key)) continue;
        if (!sv_str_eq(key, contact)) {
            others++;
            cost += roster_item_cost(key, other);
            continue;
        }
        if (wanted <= roster_item_cost(key, other)) return true;
        is_new = false;
    }
    return (!is_new || others < me->max_items) && cost <= me->max_bytes;
}

static sv_verdict is_full(sv_event *ev)
{
    return sv->refuse_text(ev, SV_RESOURCE_CONSTRAINT, SV_STR("The roster is full"));
}

static sv_verdict put_item(sv_event *ev, roster *me, const sv_rows *rows, const sv_jid *contact,
                           const sv_node *item)
{
    sv_str old, added;
    const bool known = sv->row_stored(rows, contact->bare, &old);
    const bool is_shared = sv->row_added(rows, contact->bare, &added);
    /* of a shared contact only what the user adds is his: it need not be listed, too */
    const unsigned flags = (known ? sv_roster_flags(old) : 0) | (is_shared ? 0 : SV_ROSTER_LISTED);
    const sv_str name = sv->attr(item, SV_STR("name"));
    if ((int64_t)name.n > me->name_bytes || has_line_feed(name))
        return sv->refuse(ev, SV_NOT_ACCEPTABLE);
    sv_str groups = SV_STR("");
    const sv_cond wrong = read_groups(ev, me, item, &groups);
    if (wrong) return sv->refuse(ev, wrong);
    if (is_shared) groups = roster_own_groups(ev, groups, added);
    const sv_str record = sv->format(ev, "R1%02x\n%.*s\n%.*s", flags, (int)name.n,
                                     name.n ? name.p : "", (int)groups.n, groups.p);
    if (!has_room(me, rows, contact->bare, record)) return is_full(ev);
    if (sv->put(ev, me->items, sv->from(ev)->node, contact->bare, record) != SV_OK)
        return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    roster_tell(ev, contact->bare, record);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict change(sv_event *ev, roster *me, const sv_rows *rows)
{
    const sv_node *query = sv->payload(ev), *item = sv->first(query);
    sv_jid contact;
    if (sv->is_guest(ev, sv->from(ev))) return sv->refuse(ev, SV_NOT_ALLOWED); /* XEP-0175 3 */
    if (!item || sv->next(query, item) || !sv->is(item, SV_STR("item"), SV_STR(NS_ROSTER)))
        return sv->refuse(ev, SV_BAD_REQUEST); /* 2.3.3: one and only one item */
    const sv_str jid = sv->attr(item, SV_STR("jid"));
    if (!jid.p) return sv->refuse(ev, SV_BAD_REQUEST);
    if (!sv->jid_parse(ev, jid, &contact)) return sv->refuse(ev, SV_JID_MALFORMED);
    if (sv_str_eq(contact.bare, sv->from(ev)->bare)) return sv->refuse(ev, SV_NOT_ALLOWED);
    if (sv_str_eq(sv->attr(item, SV_STR("subscription")), SV_STR("remove")))
        return remove_item(ev, me, rows, &contact);
    return put_item(ev, me, rows, &contact, item);
}

static void set_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    if (status == SV_OK)
        (void)change(ev, self, rows);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

static void contact_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const roster *me = self;
    (void)rows; /* there are none: the contact's are its host's */
    set_rows(ev, status, sv->rows(ev, me->items, sv->from(ev)->node), self);
}

static sv_verdict on_set(sv_event *ev, void *self)
{
    roster *me = self;
    sv_rows *rows = sv->rows(ev, me->items, sv->from(ev)->node);
    if (rows) return change(ev, me, rows);
    sv->rows_load(ev, me->items, sv->from(ev)->node, set_rows);
    return SV_LATER;
}

/* Somebody else's roster (2.1.5 security warning, 2.3.3). */
static sv_verdict on_foreign(sv_event *ev, void *self)
{
    (void)self;
    return sv->refuse(ev, SV_FORBIDDEN);
}

/* --- items that a subscription makes (RFC 6121 3.1.2, 3.1.5) ------------------------------- */

static void room_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    if (status != SV_OK)
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
    else if (has_room(self, rows, sv->to(ev)->bare, SV_STR_NONE))
        sv->pass(ev);
    else
        (void)is_full(ev);
}

/* They need room as those of a roster set do. */
static sv_verdict on_presence_out(sv_event *ev, void *self)
{
    const roster *me = self;
    const sv_str type = sv->type(ev);
    if (!sv_str_eq(type, SV_STR("subscribe")) && !sv_str_eq(type, SV_STR("subscribed")))
        return SV_PASS;
    sv_rows *rows = sv->rows(ev, me->items, sv->from(ev)->node);
    if (rows) return has_room(me, rows, sv->to(ev)->bare, SV_STR_NONE) ? SV_PASS : is_full(ev);
    sv->rows_load(ev, me->items, sv->from(ev)->node, room_rows);
    return SV_LATER;
}

/* --- what an operator sees ----------------------------------------------------------------- */

static void show_item(sv_event *ev, sv_str contact, sv_str record)
{
    const unsigned flags = sv_roster_flags(record);
    sv->field(ev, "contact", contact);
    sv_str rest = sv_roster_rest(record), line;
    if (roster_next_line(&rest, &line)) sv->field(ev, "name", line);
    sv->field(ev, "subscription", sv_roster_subscription(flags));
    sv->field_int(ev, "asked", (flags & SV_ROSTER_PENDING_OUT) != 0);
    sv->field_int(ev, "asks", (flags & SV_ROSTER_PENDING_IN) != 0);
    sv->field_int(ev, "listed", (flags & SV_ROSTER_LISTED) != 0);
    sv->field_int(ev, "approved", (flags & SV_ROSTER_APPROVED) != 0);
    sv->field_int(ev, "shared", (flags & SV_ROSTER_SHARED) != 0);
    while (roster_next_line(&rest, &line)) sv->field(ev, "groups", line);
}

static void show_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the roster can't be read");
        return;
    }
    sv_str contact = sv->asked_from(ev), record, last = SV_STR_NONE;
    if (contact.n == 0) contact = SV_STR_NONE;
    while (sv->row_next(rows, &contact, &record)) {
        if (sv_roster_flags(record) == 0) continue; /* of use to versions only */
        if (!sv->record(ev)) {
            (void)sv->answer_more(ev, last);
            return;
        }
        show_item(ev, contact, record);
        last = contact;
    }
    (void)sv->answer(ev);
}

static sv_verdict on_show(sv_event *ev, void *self)
{
    const roster *me = self;
    sv->rows_load(ev, me->items, sv->from(ev)->node, show_rows);
    return SV_LATER;
}

static const sv_arg show_args[] = {
    {.name = "address",
     .kind = SV_ARG_ACCOUNT,
     .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS,
     .manual = "whose roster"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "contact", .kind = SV_COLUMN_TEXT},
    {.name = "subscription", .kind = SV_COLUMN_TEXT},
    {.name = "asked", .kind = SV_COLUMN_BOOL},
    {.name = "asks", .kind = SV_COLUMN_BOOL},
    {.name = "listed", .kind = SV_COLUMN_BOOL},
    {.name = "approved", .kind = SV_COLUMN_BOOL},
    {.name = "shared", .kind = SV_COLUMN_BOOL},
    {.name = "name", .kind = SV_COLUMN_TEXT},
    {.name = "groups", .kind = SV_COLUMN_LIST},
    {0},
};

static const sv_command commands[] = {
    {.name = "roster show",
     .summary = "the contacts of an account",
     .manual = "'asked': the account waits for the contact's approval; 'asks': the contact waits for the\n"
               "account's. One that is not 'listed' only asks, and clients don't see it in the roster.",
     .examples = "roster show romeo@example.org\nroster show romeo@example.org --json",
     .args = show_args,
     .columns = show_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_OFFLINE,
     .run = on_show},
    {0},
};

/* --- life ---------------------------------------------------------------------------------- */

static void kept(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows, (void)self;
    sv->pass(ev);
}

/* A session's roster stays in memory while it lives: every presence of it asks there. */
static sv_verdict on_bound(sv_event *ev, void *self)
{
    const roster *me = self;
    if (!sv->session(ev)) return SV_PASS; /* gone while others waited */
    sv->rows_keep(ev, me->items, sv->session(ev), kept);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    roster *me = self;
    me->mod = mod;
    const sv_status status =
        sv->store_open(mod, NULL, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->items);
    return status == SV_OK ? sv->store_overlay(mod, me->items, &roster_overlay) : status;
}

static const sv_hook hooks[] = {
    {.on = "iq-get/self {" NS_ROSTER "}query", .call = on_get},
    {.on = "iq-set/self {" NS_ROSTER "}query",
     .call = on_set,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "iq-get/account {" NS_ROSTER "}query", .call = on_foreign},
    {.on = "iq-set/account {" NS_ROSTER "}query", .call = on_foreign},
    {.on = "presence/out", .call = on_presence_out, .flags = SV_HOOK_GUARD},
    {.on = SV_ROSTER_CHANGED, .call = roster_on_changed},
    {.on = "roster/reshared", .call = roster_on_reshared},
    {.on = "host/ready", .call = roster_on_ready},
    {.on = "session/bound", .call = on_bound},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(roster, max_items, "roster_max_items", "1000", "1", "100000",
               "How many contacts an account may have."),
    SV_OPT_SIZE(roster, max_bytes, "roster_max_bytes", "640k", "64k", "64M",
                "How large a roster may be, as the server holds it when it tells it to a session."),
    SV_OPT_INT(roster, name_bytes, "roster_name_bytes", "1023", "16", "8192",
               "How long the name of a contact or group may be, in bytes."),
    SV_OPT_INT(roster, max_removed, "roster_max_removed", "100", "0", "10000",
               "How many removals are remembered for clients that come with an older version of a "
               "roster; one that lacks more gets the whole roster."),
    SV_OPT_INT(roster, max_shared, "roster_max_shared", "700", "0", "100000",
               "How many contacts may be shared with an account (itself among them), of 480 bytes each in "
               "the server; further ones are left out."),
    {0},
};

SV_MODULE(.name = "roster", .summary = "Rosters (RFC 6121 2)", .self_size = sizeof(roster),
          .hooks = hooks, .options = options, .start = start, .commands = commands,
          .stream_features = "<ver xmlns='urn:xmpp:features:rosterver'/>")
