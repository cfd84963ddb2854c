/* Blocking Command (XEP-0191): an account's list of addresses that it will not hear of, and reports
 * with a block (XEP-0377).
 *
 * The list is in memory while the account has a session, and stands on each session as an item. What
 * it does to stanzas is in blocking_guard.c. */
#include <stave/roster.h>
#include "blocking.h"

#define INTERESTED "blocking-interested" /* set on a session that asked for the list */

/* --- matching (XEP-0191 6) ----------------------------------------------------------------- */

static bool covers(const sv_jid *item, const sv_jid *jid)
{
    if (item->resource.n) return sv_str_eq(item->full, jid->full);
    if (item->node.n) return sv_str_eq(item->bare, jid->bare);
    return sv_str_eq(item->domain, jid->domain);
}

bool blocking_covers(const blocking_items *items, const sv_jid *jid)
{
    for (size_t i = 0; i < items->count; i++)
        if (covers(&items->items[i].jid, jid)) return true;
    return false;
}

static bool is_among(const blocking_items *items, size_t count, sv_str jid)
{
    for (size_t i = 0; i < count; i++)
        if (sv_str_eq(items->items[i].jid.full, jid)) return true;
    return false;
}

/* --- reading a request --------------------------------------------------------------------- */

/* XEP-0191 5: one's own sessions can't be blocked; what says so outright is refused, a domain that
 * holds them is taken. */
static sv_cond read_item(sv_event *ev, const sv_node *node, blocking_item *item)
{
    const sv_str jid = sv->attr(node, SV_STR("jid"));
    if (!jid.p) return SV_BAD_REQUEST;
    if (!sv->jid_parse(ev, jid, &item->jid)) return SV_JID_MALFORMED;
    const sv_jid *account = sv->from(ev);
    const bool is_domain = item->jid.node.n == 0 && item->jid.resource.n == 0;
    if (!is_domain && sv_blocking_is_exempt(account, &item->jid)) return SV_NOT_ALLOWED;
    item->report = sv->find(node, SV_STR("report"), SV_STR("urn:xmpp:reporting:1"));
    return 0;
}

static size_t count_children(const sv_node *node)
{
    size_t count = 0;
    for (const sv_node *child = sv->first(node); child; child = sv->next(node, child)) count++;
    return count;
}

/* The items of a request, each address once; 0 or what is wrong with it. A child that is no item is
 * an error: an <unblock/> whose items are not seen would unblock all. */
static sv_cond read_items(sv_event *ev, const sv_node *request, blocking_items *items_out)
{
    const size_t most = count_children(request);
    blocking_item *items = sv->scratch(ev, (most + 1) * sizeof *items);
    *items_out = (blocking_items){items, 0};
    for (const sv_node *node = sv->first(request); node; node = sv->next(request, node)) {
        if (!sv->is(node, SV_STR("item"), SV_STR(NS_BLOCKING))) return SV_BAD_REQUEST;
        const sv_cond wrong = read_item(ev, node, &items[items_out->count]);
        if (wrong) return wrong;
        if (!is_among(items_out, items_out->count, items[items_out->count].jid.full))
            items_out->count++;
    }
    return 0;
}

/* --- the list on sessions ------------------------------------------------------------------ */

/* Writes lines one behind the other. */
typedef struct lines {
    char *text;
    size_t n;
} lines;

static void add_line(lines *to, sv_str line)
{
    memcpy(to->text + to->n, line.p, line.n);
    to->n += line.n;
    to->text[to->n++] = '\n';
}

static size_t list_bytes(const sv_rows *rows)
{
    size_t bytes = 0;
    sv_str jid = SV_STR_NONE, value;
    while (sv->row_next(rows, &jid, &value)) bytes += jid.n + 1;
    return bytes;
}

/* The list as it is after the change: rows without those in `del`, and those in `add`. */
static sv_str compose(sv_event *ev, const sv_rows *rows, const blocking_items *add,
                      const blocking_items *del)
{
    size_t room = list_bytes(rows) + 1;
    for (size_t i = 0; i < add->count; i++) room += add->items[i].jid.full.n + 1;
    lines list = {sv->scratch(ev, room), 0};
    sv_str jid = SV_STR_NONE, value;
    while (sv->row_next(rows, &jid, &value))
        if (!is_among(del, del->count, jid)) add_line(&list, jid);
    for (size_t i = 0; i < add->count; i++) add_line(&list, add->items[i].jid.full);
    return (sv_str){list.text, list.n};
}

static const blocking_items nothing = {NULL, 0};

void blocking_set_item(sv_event *ev, sv_session *session, const sv_rows *rows)
{
    sv->session_set_item(session, SV_BLOCKING_LIST, compose(ev, rows, &nothing, &nothing));
}

static void set_items(sv_event *ev, const sv_rows *rows, const blocking_items *add,
                      const blocking_items *del)
{
    const sv_str list = compose(ev, rows, add, del);
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session)))
        sv->session_set_item(session, SV_BLOCKING_LIST, list);
}

/* --- answers and pushes -------------------------------------------------------------------- */

static void add_items(sv_draft *to, const blocking_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        sv_draft *item = sv->child(to, SV_STR("item"), SV_STR_NONE);
        sv->set(item, SV_STR("jid"), items->items[i].jid.full);
    }
}

/* To the sessions that asked for the list; without the reports, which are for the server. */
static void push(sv_event *ev, sv_str what, const blocking_items *items)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        if (!sv->session_item(session, INTERESTED).p) continue;
        sv_draft *iq = sv->draft(ev, SV_STR("iq"), SV_STR("jabber:client"));
        sv->set(iq, SV_STR("type"), SV_STR("set"));
        sv->set(iq, SV_STR("id"), sv->random_hex(ev, 8));
        add_items(sv->child(iq, what, SV_STR(NS_BLOCKING)), items);
        sv->push(ev, session, sv->freeze(ev, iq));
    }
}

static sv_verdict answer(sv_event *ev, sv_str what, const blocking_items *items)
{
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    const sv_verdict verdict = sv->send(ev);
    push(ev, what, items);
    return verdict;
}

/* --- get (XEP-0191 3.2) -------------------------------------------------------------------- */

static sv_verdict answer_list(sv_event *ev, const sv_rows *rows)
{
    sv_draft *list = sv->reply(ev, SV_STR("blocklist"), SV_STR(NS_BLOCKING));
    sv_str jid = SV_STR_NONE, value;
    while (sv->row_next(rows, &jid, &value)) {
        sv_draft *item = sv->child(list, SV_STR("item"), SV_STR_NONE);
        sv->set(item, SV_STR("jid"), jid);
    }
    if (sv->session(ev)) sv->session_set_item(sv->session(ev), INTERESTED, SV_STR("1"));
    return sv->send(ev);
}

static void list_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status == SV_OK)
        (void)answer_list(ev, rows);
    else
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    const blocking *me = self;
    const sv_rows *rows = sv->rows(ev, me->list, sv->from(ev)->node);
    if (rows) return answer_list(ev, rows);
    sv->rows_load(ev, me->list, sv->from(ev)->node, list_rows);
    return SV_LATER;
}

/* --- what a change needs in memory --------------------------------------------------------- */

/* A store whose rows are not there yet; NULL if all are. */
static sv_store *missing(sv_event *ev, const blocking *me)
{
    blocking_items items;
    const bool has_reports =
        !read_items(ev, sv->payload(ev), &items) && blocking_has_reports(&items);
    sv_store *const needed[] = {me->list, me->roster, has_reports ? me->reports : NULL};
    for (size_t i = 0; i < 3; i++)
        if (needed[i] && !sv->rows(ev, needed[i], sv->from(ev)->node)) return needed[i];
    return NULL;
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const blocking *me = self;
    (void)rows; /* asked for where they are needed */
    sv_store *store = status == SV_OK ? missing(ev, me) : NULL;
    if (status != SV_OK)
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
    else if (store)
        sv->rows_load(ev, store, sv->from(ev)->node, loaded);
    else
        sv->pass(ev);
}

/* Ahead of the change, which then is made in one go. */
static sv_verdict load(sv_event *ev, void *self)
{
    const blocking *me = self;
    if (sv->is_guest(ev, sv->from(ev))) return sv->refuse(ev, SV_NOT_ALLOWED); /* XEP-0175 3 */
    sv_store *store = missing(ev, me);
    if (!store) return SV_PASS;
    sv->rows_load(ev, store, sv->from(ev)->node, loaded);
    return SV_LATER;
}

/* --- block (XEP-0191 3.3) ------------------------------------------------------------------ */

/* Those that are not listed yet. */
static blocking_items only_new(sv_event *ev, const sv_rows *rows, const blocking_items *items)
{
    blocking_item *fresh = sv->scratch(ev, (items->count + 1) * sizeof *fresh);
    size_t count = 0;
    sv_str value;
    for (size_t i = 0; i < items->count; i++)
        if (!sv->row(rows, items->items[i].jid.full, &value)) fresh[count++] = items->items[i];
    return (blocking_items){fresh, count};
}

static bool has_room(const blocking *me, const sv_rows *rows, const blocking_items *fresh)
{
    size_t bytes = list_bytes(rows);
    for (size_t i = 0; i < fresh->count; i++) bytes += fresh->items[i].jid.full.n + 1;
    return fresh->count == 0 ||
           ((int64_t)(sv->row_count(rows) + fresh->count) <= me->max_items &&
            (int64_t)bytes <= me->max_bytes);
}

static sv_verdict block(sv_event *ev, blocking *me, const blocking_items *items)
{
    const sv_rows *rows = sv->rows(ev, me->list, sv->from(ev)->node);
    const blocking_items fresh = only_new(ev, rows, items);
    if (!has_room(me, rows, &fresh))
        return sv->refuse_text(ev, SV_RESOURCE_CONSTRAINT, SV_STR("The block list is full"));
    for (size_t i = 0; i < fresh.count; i++) {
        const sv_str jid = fresh.items[i].jid.full;
        if (sv->put(ev, me->list, sv->from(ev)->node, jid, SV_STR("B1")) != SV_OK)
            return sv->refuse(ev, SV_RESOURCE_CONSTRAINT);
    }
    blocking_take_reports(ev, me, items);
    set_items(ev, rows, &fresh, &nothing);
    const sv_verdict verdict = answer(ev, SV_STR("block"), items);
    blocking_vanish(ev, me, rows, &fresh);
    return verdict;
}

static sv_verdict on_block(sv_event *ev, void *self)
{
    blocking_items items;
    const sv_cond wrong = read_items(ev, sv->payload(ev), &items);
    if (wrong) return sv->refuse(ev, wrong);
    if (items.count == 0) return sv->refuse(ev, SV_BAD_REQUEST); /* 3.3 */
    return block(ev, self, &items);
}

/* --- unblock (XEP-0191 3.4, 3.5) ----------------------------------------------------------- */

/* Those of the items that are listed; all that is listed if there are none. */
static blocking_items only_listed(sv_event *ev, const sv_rows *rows, const blocking_items *items)
{
    const size_t most = items->count ? items->count : sv->row_count(rows);
    blocking_item *listed = sv->scratch(ev, (most + 1) * sizeof *listed);
    size_t count = 0;
    sv_str jid = SV_STR_NONE, value;
    for (size_t i = 0; i < items->count; i++)
        if (sv->row(rows, items->items[i].jid.full, &value)) listed[count++] = items->items[i];
    while (items->count == 0 && sv->row_next(rows, &jid, &value)) {
        listed[count] = (blocking_item){.report = NULL};
        if (sv->jid_parse(ev, jid, &listed[count].jid)) count++;
    }
    return (blocking_items){listed, count};
}

static sv_verdict unblock(sv_event *ev, const blocking *me, const blocking_items *items)
{
    const sv_str owner = sv->from(ev)->node;
    const sv_rows *rows = sv->rows(ev, me->list, owner);
    const blocking_items listed = only_listed(ev, rows, items);
    if (items->count == 0) (void)sv->del_owner(ev, me->list, owner);
    for (size_t i = 0; items->count && i < listed.count; i++)
        (void)sv->del(ev, me->list, owner, listed.items[i].jid.full);
    set_items(ev, rows, &nothing, &listed);
    const sv_verdict verdict = answer(ev, SV_STR("unblock"), items);
    blocking_appear(ev, me, rows, &listed);
    return verdict;
}

static sv_verdict on_unblock(sv_event *ev, void *self)
{
    blocking_items items;
    const sv_cond wrong = read_items(ev, sv->payload(ev), &items);
    return wrong ? sv->refuse(ev, wrong) : unblock(ev, self, &items);
}

/* --- life ---------------------------------------------------------------------------------- */

/* The list comes with the session and stays while it lives. */
static void kept(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status == SV_OK && sv->session(ev)) blocking_set_item(ev, sv->session(ev), rows);
    sv->pass(ev);
}

static sv_verdict on_bound(sv_event *ev, void *self)
{
    const blocking *me = self;
    if (!sv->session(ev)) return SV_PASS; /* gone while others waited */
    sv->rows_keep(ev, me->list, sv->session(ev), kept);
    return SV_LATER;
}

static void known(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    if (sv->session(ev)) blocking_set_item(ev, sv->session(ev), rows);
    sv->pass(ev);
}

/* A session becomes available with its list: what is kept for it is handed over by that. */
static sv_verdict on_presence(sv_event *ev, void *self)
{
    const blocking *me = self;
    const sv_session *session = sv->session(ev);
    if (!session || sv->session_item(session, SV_BLOCKING_LIST).p) return SV_PASS;
    sv->rows_load(ev, me->list, sv->from(ev)->node, known);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    blocking *me = self;
    me->mod = mod;
    sv_status status =
        sv->store_open(mod, NULL, SV_BLOCKING_STORE, SV_BLOCKING_SCHEMA, &me->list);
    if (status == SV_OK) status = sv->store_open(mod, NULL, "reports", 1, &me->reports);
    if (status == SV_OK)
        status = sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA,
                                &me->roster);
    return status;
}

#define GUARD(on_, call_)                                                                          \
    {                                                                                              \
        .on = on_, .call = call_, .band = SV_FIRST, .flags = SV_HOOK_GUARD                         \
    }
#define GUARDS(kind)                                                                               \
    GUARD(kind "/account", blocking_in), GUARD(kind "/resource", blocking_in),                     \
        GUARD(kind "/out", blocking_out)

static const sv_hook hooks[] = {
    GUARDS("message"),
    GUARDS("presence"),
    GUARDS("iq-get"),
    GUARDS("iq-set"),
    GUARDS("iq-result"),
    GUARDS("iq-error"),
    {.on = "presence/out",
     .call = blocking_load_other,
     .band = SV_EARLY,
     .flags = SV_HOOK_GUARD},
    GUARD("stanza/made", blocking_made),
    GUARD("session/unsent", blocking_unsent),
    GUARD("presence/self", on_presence),
    {.on = "iq-get/self {" NS_BLOCKING "}blocklist", .call = on_get},
    {.on = "iq-set/self {" NS_BLOCKING "}block",
     .call = load,
     .band = SV_EARLY,
     .flags = SV_HOOK_GUARD},
    {.on = "iq-set/self {" NS_BLOCKING "}unblock",
     .call = load,
     .band = SV_EARLY,
     .flags = SV_HOOK_GUARD},
    {.on = "iq-set/self {" NS_BLOCKING "}block",
     .call = on_block,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "iq-set/self {" NS_BLOCKING "}unblock", .call = on_unblock, .flags = SV_HOOK_GUARD},
    GUARD("session/bound", on_bound), /* who can't be protected does not come in */
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(blocking, max_items, "blocking_max_items", "1000", "1", "100000",
               "How many addresses an account may block."),
    SV_OPT_SIZE(blocking, max_bytes, "blocking_max_bytes", "64k", "4k", "1M",
                "How long they may be together; each session of the account holds them."),
    SV_OPT_INT(blocking, max_reports, "blocking_max_reports", "20", "0", "1000",
               "How many reports of an account are taken on one day (UTC); further ones block all "
               "the same, and nobody is told."),
    SV_OPT_LIST_OF(blocking, reports_to, "blocking_reports_to", "jid",
                   "Addresses that get a message for each report. One of another server gets only "
                   "those whose author agrees that third parties have them (XEP-0377 5)."),
    {0},
};

SV_MODULE(.name = "blocking", .summary = "Blocking (XEP-0191) and reports with it (XEP-0377)",
          .features = NS_BLOCKING " urn:xmpp:reporting:1", .self_size = sizeof(blocking),
          .hooks = hooks, .options = options, .start = start, .after = "?roster")
