/* Uses every function of the module table, each on demand of a stanza to the host, so that a test sees that all of them work
 * in a real module. What to do is the name of the payload; the answer tells what came of it. */
#include <stave/module.h>

#define NS "urn:stave:probe"
#define NS_CLIENT "jabber:client"

typedef struct probe {
    sv_mod *mod;
    sv_store *notes; /* localpart -> key -> value */
    sv_store *ours;  /* the same map, opened by its full name */
    const sv_stanza *kept;
    int64_t rounds; /* of the timer */
    int64_t limit;  /* option */
    bool loud;
    sv_str greeting;
    sv_str_list words;
    sv_str last_point; /* static text */
    int64_t last_number;
    int64_t turns;    /* of store/sweep */
    sv_str last_turn; /* whose and of which map; in `turn` */
    char turn[128];
    int64_t read_behind; /* bytes found behind the event that wrote them */
    int64_t own_rounds; /* events that the timer began */
    int64_t ready; /* how often host/ready was fired */
} probe;

/* --- reading ---------------------------------------------------------------------------------------- */

static sv_verdict on_read(sv_event *ev, void *self)
{
    const probe *me = self;
    const sv_node *payload = sv->payload(ev);
    const sv_node *a = sv->find(payload, SV_STR("a"), SV_STR_NONE);
    size_t children = 0;
    for (const sv_node *child = sv->first(payload); child; child = sv->next(payload, child))
        children++;
    sv_draft *out = sv->reply(ev, SV_STR("read"), SV_STR(NS));
    sv->set(out, SV_STR("name"), sv->name(payload));
    sv->set(out, SV_STR("ns"), sv->ns(payload));
    sv->set(out, SV_STR("type"), sv->type(ev));
    sv->set(out, SV_STR("from"), sv->from(ev)->full);
    sv->set(out, SV_STR("to"), sv->to(ev)->domain);
    sv->set(out, SV_STR("host"), sv->host(me->mod));
    sv->set_int(out, SV_STR("children"), (int64_t)children);
    if (a) sv->set(out, SV_STR("a"), sv->text(ev, a));
    sv->set(out, SV_STR("absent"),
            sv->attr(payload, SV_STR("none")).p ? SV_STR("no") : SV_STR("yes"));
    const bool same = sv->root(ev) == sv->stanza_root(sv->stanza(ev)) &&
                      sv->is(sv->root(ev), SV_STR("iq"), SV_STR(NS_CLIENT));
    sv->set(out, SV_STR("same"), same ? SV_STR("yes") : SV_STR("no"));
    return sv->send(ev);
}

static sv_verdict on_look(sv_event *ev, void *self)
{
    const probe *me = self;
    const sv_str text = sv->attr(sv->payload(ev), SV_STR("jid"));
    sv_jid jid;
    if (!sv->jid_parse(ev, text, &jid)) return sv->refuse(ev, SV_JID_MALFORMED);
    sv_draft *out = sv->reply(ev, SV_STR("look"), SV_STR(NS));
    sv->set(out, SV_STR("bare"), jid.bare);
    sv->set(out, SV_STR("local"), sv->is_local(ev, &jid) ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("admin"), sv->is_admin(ev, &jid) ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("online"), sv->session_find(ev, &jid) ? SV_STR("yes") : SV_STR("no"));
    int64_t count = 0;
    for (sv_session *s = NULL; (s = sv->session_next(ev, &jid, s));) count++;
    sv->set_int(out, SV_STR("sessions"), count);
    sv_str feature;
    for (size_t i = 0; (feature = sv->feature_at(me->mod, false, i)).n; i++)
        sv->set(sv->child(out, SV_STR("feature"), SV_STR_NONE), SV_STR("var"), feature);
    for (size_t i = 0; (feature = sv->feature_at(me->mod, true, i)).n; i++)
        sv->set(sv->child(out, SV_STR("account"), SV_STR_NONE), SV_STR("var"), feature);
    return sv->send(ev);
}

static sv_verdict on_misc(sv_event *ev, void *self)
{
    const probe *me = self;
    sv_draft *out = sv->reply(ev, SV_STR("misc"), SV_STR(NS));
    sv->set(out, SV_STR("now"), sv->format(ev, "%lld", (long long)sv->now_s()));
    sv->set(out, SV_STR("ms"),
            sv->now_ms() / 1000 == sv->now_s() ? SV_STR("agrees") : SV_STR("no"));
    sv->set(out, SV_STR("stamp"), sv->stamp(ev, 1767225600123));
    sv->set(out, SV_STR("whole"), sv->stamp(ev, 1767225600000));
    const sv_str hex = sv->random_hex(ev, 8);
    sv->set_int(out, SV_STR("hex"), (int64_t)hex.n);
    const char *memory = sv->scratch(ev, 64);
    bool zeroed = true;
    for (size_t i = 0; i < 64; i++) zeroed = zeroed && memory[i] == 0;
    sv->set(out, SV_STR("zeroed"), zeroed ? SV_STR("yes") : SV_STR("no"));
    sv->set_int(out, SV_STR("long"), (int64_t)sv->format(ev, "%01000d", 7).n);
    sv->set_int(out, SV_STR("rounds"), me->rounds);
    sv->set_int(out, SV_STR("limit"), me->limit);
    sv->set(out, SV_STR("loud"), me->loud ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("greeting"), me->greeting);
    sv->set_int(out, SV_STR("own"), me->own_rounds);
    sv->set_int(out, SV_STR("behind"), me->read_behind);
    sv->set(out, SV_STR("space"), sv->has_space(ev) ? SV_STR("yes") : SV_STR("no"));
    const bool has_groups = SV_HAS(query) && sv->query("store", 1) == sv && !sv->query("store", 99) && !sv->query("stores", 1);
    sv->set(out, SV_STR("groups"), has_groups ? SV_STR("yes") : SV_STR("no"));
    for (size_t i = 0; i < me->words.count; i++)
        sv->add_text(sv->child(out, SV_STR("word"), SV_STR_NONE), me->words.items[i]);
    sv->log(me->mod, SV_INFO, "probe-misc", "key", "value", "other", "two", NULL);
    return sv->send(ev);
}

/* The digest of the text by the function of that name; and its language. */
static sv_verdict on_digest(sv_event *ev, void *self)
{
    (void)self;
    const sv_node *payload = sv->payload(ev);
    const sv_str digest =
        sv->digest(ev, sv->attr(payload, SV_STR("by")), sv->text(ev, payload));
    sv_draft *out = sv->reply(ev, SV_STR("digest"), SV_STR(NS));
    sv->set(out, SV_STR("is"), digest.p ? digest : SV_STR("none"));
    const sv_str lang = sv->attr_ns(payload, SV_STR("lang"), SV_STR(SV_NS_XML));
    sv->set(out, SV_STR("lang"), lang.p ? lang : SV_STR("none"));
    return sv->send(ev);
}

/* --- building --------------------------------------------------------------------------------------- */

static sv_verdict on_build(sv_event *ev, void *self)
{
    probe *me = self;
    sv_draft *draft = sv->draft(ev, SV_STR("message"), SV_STR(NS_CLIENT));
    sv->set(draft, SV_STR("id"), SV_STR("made"));
    sv->set_int(draft, SV_STR("n"), 42);
    sv->add_text(sv->child(draft, SV_STR("body"), SV_STR_NONE), SV_STR("<&>"));
    sv->graft(draft, sv->stanza(ev), sv->payload(ev));
    const sv_stanza *made = sv->freeze(ev, draft);
    const sv_str pairs[] = {SV_STR("n"), SV_STR_NONE, SV_STR("x"), SV_STR("y")};
    made = sv->with_attrs(ev, made, pairs, 4);
    made = sv->with_child(ev, made, sv->draft(ev, SV_STR("last"), SV_STR(NS)));
    const sv_stanza *back;
    if (sv->stanza_parse(ev, sv->stanza_bytes(ev, made), &back) != SV_OK)
        return sv->refuse_text(ev, SV_INTERNAL_SERVER_ERROR, SV_STR("bytes and back"));
    const sv_stanza *none;
    if (sv->stanza_parse(ev, SV_STR("<a/><b/>"), &none) != SV_EINVAL || none)
        return sv->refuse_text(ev, SV_INTERNAL_SERVER_ERROR, SV_STR("two elements"));
    sv->stanza_unref(me->mod, &me->kept);
    me->kept = sv->stanza_ref(me->mod, back);
    const sv_stanza *twice = sv->stanza_ref(me->mod, back);
    sv->stanza_unref(me->mod, &twice);
    sv_draft *out = sv->reply(ev, SV_STR("build"), SV_STR(NS));
    sv->graft(out, me->kept, sv->stanza_root(me->kept));
    return sv->send(ev);
}

/* --- stores ----------------------------------------------------------------------------------------- */

/* Behind the event that wrote: what it wrote is there. */
static sv_verdict on_added(sv_event *ev, void *self)
{
    probe *me = self;
    sv_str value;
    const sv_rows *rows = sv->rows(ev, me->notes, sv->from(ev)->node);
    if (rows && sv->row(rows, sv->subject(ev), &value)) me->read_behind = (int64_t)value.n;
    return SV_PASS;
}

static sv_verdict on_put(sv_event *ev, void *self)
{
    probe *me = self;
    const sv_node *payload = sv->payload(ev);
    const sv_str key = sv->attr(payload, SV_STR("key"));
    sv->fire_after(ev, "account/aded", sv->from(ev), key); /* logged, no more */
    sv->fire_after(ev, "account/added", sv->from(ev), key);
    if (sv->put(ev, me->notes, sv->from(ev)->node, key, sv->text(ev, payload)) != SV_OK)
        return sv->refuse(ev, SV_NOT_ACCEPTABLE);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static void late_put(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const probe *me = self;
    (void)status, (void)rows;
    const sv_str owner = sv->attr(sv->payload(ev), SV_STR("owner"));
    if (sv->put(ev, me->notes, owner, SV_STR("late"), SV_STR("v")) != SV_OK)
        (void)sv->refuse(ev, SV_NOT_ACCEPTABLE);
    else
        (void)sv->send(ev);
}

static void late_once(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const probe *me = self;
    (void)status, (void)rows;
    sv->rows_load(ev, me->notes, SV_STR("/second"), late_put);
}

/* Writes when it has read twice. */
static sv_verdict on_late(sv_event *ev, void *self)
{
    const probe *me = self;
    sv->rows_load(ev, me->notes, SV_STR("/first"), late_once);
    return SV_LATER;
}

static sv_verdict on_del(sv_event *ev, void *self)
{
    probe *me = self;
    const sv_str key = sv->attr(sv->payload(ev), SV_STR("key"));
    if (key.n)
        (void)sv->del(ev, me->notes, sv->from(ev)->node, key);
    else
        (void)sv->del_owner(ev, me->notes, sv->from(ev)->node);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static void answer_value(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, status == SV_ENOTFOUND ? SV_ITEM_NOT_FOUND : SV_INTERNAL_SERVER_ERROR);
        return;
    }
    sv->add_text(sv->reply(ev, SV_STR("get"), SV_STR(NS)), value);
    (void)sv->send(ev);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    probe *me = self;
    const sv_str key = sv->attr(sv->payload(ev), SV_STR("key"));
    sv->get(ev, me->ours, sv->from(ev)->node, key, answer_value);
    return SV_LATER;
}

static void answer_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    probe *me = self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    sv_draft *out = sv->reply(ev, SV_STR("list"), SV_STR(NS));
    sv->set_int(out, SV_STR("bytes"), sv->row_bytes(rows));
    sv->set_int(out, SV_STR("count"), (int64_t)sv->row_count(rows));
    sv_str key = SV_STR_NONE, value;
    while (sv->row_next(rows, &key, &value)) {
        sv_draft *row = sv->child(out, SV_STR("row"), SV_STR_NONE);
        sv->set(row, SV_STR("key"), key);
        if (sv->row(rows, key, &value)) sv->add_text(row, value);
    }
    sv->set(out, SV_STR("missing"),
            sv->row(rows, SV_STR("?"), &value) ? SV_STR("no") : SV_STR("yes"));
    const bool in_memory = sv->rows(ev, me->notes, sv->from(ev)->node) != NULL;
    sv->set(out, SV_STR("again"), in_memory ? SV_STR("yes") : SV_STR("no"));
    (void)sv->send(ev);
}

static sv_verdict on_list(sv_event *ev, void *self)
{
    probe *me = self;
    sv->rows_load(ev, me->notes, sv->from(ev)->node, answer_rows);
    return SV_LATER;
}

static sv_verdict on_keep(sv_event *ev, void *self)
{
    probe *me = self;
    sv->rows_keep(ev, me->notes, sv->session(ev), answer_rows);
    return SV_LATER;
}

/* Only what is in memory. */
static sv_verdict on_held(sv_event *ev, void *self)
{
    const probe *me = self;
    sv_rows *rows = sv->rows(ev, me->notes, sv->from(ev)->node);
    sv_draft *out = sv->reply(ev, SV_STR("held"), SV_STR(NS));
    sv->set_int(out, SV_STR("count"), rows ? (int64_t)sv->row_count(rows) : -1);
    return sv->send(ev);
}

static void held_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const probe *me = self;
    const sv_str owner = sv->attr(sv->payload(ev), SV_STR("owner"));
    sv_draft *out = sv->reply(ev, SV_STR("hold"), SV_STR(NS));
    if (status == SV_OK) sv->rows_hold(ev, me->notes, owner, sv->session(ev));
    sv->set_int(out, SV_STR("count"), rows ? (int64_t)sv->row_count(rows) : -1);
    const sv_str other = sv->attr(sv->payload(ev), SV_STR("other"));
    sv->set(out, SV_STR("held"),
            sv->rows_held(ev, me->notes, other) ? SV_STR("yes") : SV_STR("no"));
    (void)sv->send(ev);
}

/* The rows of any owner, for as long as the session lives. */
static sv_verdict on_hold(sv_event *ev, void *self)
{
    const probe *me = self;
    sv->rows_load(ev, me->notes, sv->attr(sv->payload(ev), SV_STR("owner")), held_rows);
    return SV_LATER;
}

/* --- the host ---------------------------------------------------------------------------------------- */

/* The text is what it is to be. */
static sv_verdict on_feature(sv_event *ev, void *self)
{
    const probe *me = self;
    const sv_status status = sv->set_stream_feature(me->mod, sv->text(ev, sv->payload(ev)));
    sv_draft *out = sv->reply(ev, SV_STR("feature"), SV_STR(NS));
    sv->set_int(out, SV_STR("status"), status);
    sv->set_int(out, SV_STR("ready"), me->ready);
    return sv->send(ev);
}

static sv_verdict on_ready(sv_event *ev, void *self)
{
    probe *me = self;
    if (sv->stanza(ev) == NULL && sv->session(ev) == NULL) me->ready++;
    return SV_PASS;
}

/* --- sessions and occasions ------------------------------------------------------------------------- */

static sv_verdict on_session(sv_event *ev, void *self)
{
    probe *me = self;
    sv_session *session = sv->session(ev);
    int64_t *times = sv->session_data(me->mod, session, sizeof *times);
    ++*times;
    const bool was_unset = sv->session_item(session, "probe").p == NULL;
    sv->session_set_item(session, "probe", SV_STR("set"));
    const sv_str presence = SV_STR("<presence xmlns='jabber:client'/>");
    const sv_stanza *stanza;
    if (sv->stanza_parse(ev, presence, &stanza) == SV_OK)
        sv->session_set_presence(ev, session, stanza, 7);
    sv->fire(ev, "roster/chnaged", sv->from(ev), SV_STR_NONE); /* logged, no more */
    sv->fire(ev, "roster/changed", sv->from(ev), SV_STR("juliet@example.org"));
    const sv_str gathered =
        sv->gather(ev, "roster/changed", sv->from(ev), SV_STR("juliet@example.org"));
    const sv_str none = sv->gather(ev, "account/added", sv->from(ev), SV_STR_NONE);
    sv_draft *out = sv->reply(ev, SV_STR("session"), SV_STR(NS));
    sv->set(out, SV_STR("gathered"), gathered);
    sv->set_int(out, SV_STR("none"), (int64_t)none.n);
    sv->set(out, SV_STR("jid"), sv->session_jid(session)->full);
    sv->set_int(out, SV_STR("times"), *times);
    sv->set(out, SV_STR("unset"), was_unset ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("item"), sv->session_item(session, "probe"));
    sv->set_int(out, SV_STR("priority"), sv->session_priority(session));
    sv->set(out, SV_STR("presence"), sv->session_presence(session) ? SV_STR("yes") : SV_STR("no"));
    sv->set(out, SV_STR("fired"), me->last_point);
    sv->set_int(out, SV_STR("heard"), me->last_number);
    return sv->send(ev);
}

static sv_verdict on_changed(sv_event *ev, void *self)
{
    probe *me = self;
    me->last_point =
        sv->stanza(ev) == NULL && sv_str_eq(sv->subject(ev), SV_STR("juliet@example.org"))
            ? SV_STR("roster/changed")
            : SV_STR("?");
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("fired"), sv->subject(ev));
    sv->offer(ev, SV_STR("first"));
    sv->offer(ev, SV_STR_NONE);
    sv->offer(ev, sv->subject(ev));
    return SV_PASS;
}

static sv_verdict on_presence(sv_event *ev, void *self)
{
    probe *me = self;
    me->last_number = sv->session_priority(sv->session(ev));
    return SV_PASS;
}

/* --- sending and disposing --------------------------------------------------------------------------- */

static sv_verdict on_send(sv_event *ev, void *self)
{
    probe *me = self;
    sv_draft *draft = sv->draft(ev, SV_STR("message"), SV_STR(NS_CLIENT));
    sv->set(draft, SV_STR("id"), SV_STR("pushed"));
    sv->set(draft, SV_STR("from"), sv->host(me->mod));
    const sv_stanza *made = sv->freeze(ev, draft);
    sv->push(ev, sv->session(ev), made);
    const sv_str again[] = {SV_STR("id"), SV_STR("routed"), SV_STR("to"), sv->from(ev)->full};
    sv->route(ev, sv->with_attrs(ev, made, again, 4));
    const sv_str from_row[] = {SV_STR("id"), SV_STR("from-row")};
    (void)sv->put(ev, me->notes, SV_STR("rows"), SV_STR("k"), SV_STR("v"));
    sv->push_stored(ev, sv->session(ev), sv->with_attrs(ev, made, from_row, 2), me->notes,
                    SV_STR("rows"), SV_STR("k"));
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

/* In the sender's name to somebody else, once for each way. */
static sv_verdict on_make(sv_event *ev, void *self)
{
    (void)self;
    sv_draft *draft = sv->draft(ev, SV_STR("message"), SV_STR(NS_CLIENT));
    sv->set(draft, SV_STR("from"), sv->from(ev)->full);
    sv->set(draft, SV_STR("to"), sv->attr(sv->payload(ev), SV_STR("to")));
    const sv_stanza *made = sv->freeze(ev, draft);
    const sv_str held[] = {SV_STR("id"), SV_STR("held")}, let[] = {SV_STR("id"), SV_STR("let")};
    sv->route(ev, sv->with_attrs(ev, made, held, 2));
    sv->route(ev, sv->with_attrs(ev, made, let, 2));
    const sv_str unasked[] = {SV_STR("id"), SV_STR("held"), SV_STR("type"), SV_STR("headline")};
    sv->route_unasked(ev, sv->with_attrs(ev, made, unasked, 4));
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict on_made(sv_event *ev, void *self)
{
    probe *me = self;
    me->last_number++;
    return sv_str_eq(sv->attr(sv->root(ev), SV_STR("id")), SV_STR("held"))
               ? sv->drop(ev, "probe-made")
               : SV_PASS;
}

static sv_verdict refuse_with(sv_event *ev, sv_str type)
{
    sv_draft *specific = sv->draft(ev, SV_STR("too-loud"), SV_STR(NS "#errors"));
    sv->set(specific, SV_STR("by"), SV_STR("12"));
    return sv->refuse_with(ev, SV_NOT_ACCEPTABLE, type, specific);
}

static sv_verdict on_message(sv_event *ev, void *self)
{
    (void)self;
    const sv_str what = sv->attr(sv->root(ev), SV_STR("id"));
    if (sv_str_eq(what, SV_STR("drop"))) return sv->drop(ev, "probe-rule");
    if (sv_str_eq(what, SV_STR("consume"))) return sv->consume(ev);
    if (sv_str_eq(what, SV_STR("stored"))) return sv->stored(ev);
    if (sv_str_eq(what, SV_STR("deliver"))) return sv->deliver(ev, sv->session(ev));
    if (sv_str_eq(what, SV_STR("refuse"))) return sv->refuse(ev, SV_FORBIDDEN);
    if (sv_str_eq(what, SV_STR("with"))) return refuse_with(ev, SV_STR_NONE);
    if (sv_str_eq(what, SV_STR("with-type"))) return refuse_with(ev, SV_STR("cancel"));
    if (sv_str_eq(what, SV_STR("hang"))) return SV_LATER; /* and nothing ever comes of it */
    if (sv_str_eq(what, SV_STR("replace"))) {
        const sv_str pairs[] = {SV_STR("id"), SV_STR("deliver")};
        sv->replace(ev, sv->with_attrs(ev, sv->stanza(ev), pairs, 2));
        return SV_PASS;
    }
    return SV_PASS;
}

static void go_on(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status;
    (void)rows;
    (void)self;
    sv->pass(ev);
}

static sv_verdict on_message_first(sv_event *ev, void *self)
{
    const probe *me = self;
    if (!sv_str_eq(sv->attr(sv->root(ev), SV_STR("type")), SV_STR("chat"))) return SV_PASS;
    sv->rows_load(ev, me->notes, sv->from(ev)->node, go_on);
    return SV_LATER;
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    (void)self;
    return sv->account_exists(ev) ? sv->drop(ev, "probe-exists") : sv->drop(ev, "probe-no-account");
}

/* --- life ------------------------------------------------------------------------------------------- */

static void round_over(void *self)
{
    probe *me = self;
    me->rounds++;
    sv->begin(me->mod, "host/tmier", SV_STR("probe")); /* logged, no more */
    sv->begin(me->mod, "host/timer", SV_STR("probe"));
}

static void round_read(sv_event *ev, sv_status status, sv_str value, void *self)
{
    probe *me = self;
    (void)value;
    if (status == SV_ENOTFOUND) me->own_rounds++;
    sv->pass(ev);
}

/* An event of its own may wait. */
static sv_verdict on_timer(sv_event *ev, void *self)
{
    probe *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR("probe"))) return SV_PASS;
    sv->get(ev, me->notes, SV_STR("/probe"), SV_STR("none"), round_read);
    return SV_LATER;
}

static sv_verdict on_sweep(sv_event *ev, void *self)
{
    probe *me = self;
    const sv_str text = sv->format(ev, "%.*s of %.*s", (int)sv->subject(ev).n, sv->subject(ev).p,
                                   (int)sv->from(ev)->bare.n, sv->from(ev)->bare.p);
    memcpy(me->turn, text.p, text.n < sizeof me->turn ? text.n : sizeof me->turn);
    me->last_turn = (sv_str){me->turn, text.n < sizeof me->turn ? text.n : sizeof me->turn};
    me->turns++;
    (void)sv->del(ev, me->notes, sv->from(ev)->node, SV_STR("old"));
    return SV_PASS;
}

static sv_verdict on_turns(sv_event *ev, void *self)
{
    const probe *me = self;
    sv_draft *out = sv->reply(ev, SV_STR("turns"), SV_STR(NS));
    sv->set_int(out, SV_STR("turns"), me->turns);
    sv->set(out, SV_STR("last"), me->last_turn);
    return sv->send(ev);
}

static sv_status start(sv_mod *mod, void *self)
{
    probe *me = self;
    me->mod = mod;
    if (sv->every(mod, 0, round_over) != SV_EINVAL) return SV_EINVAL;
    sv_store *none;
    if (sv->store_open(mod, NULL, "No/Good", 1, &none) != SV_EINVAL) return SV_EINVAL;
    if (sv->every(mod, 1000, round_over) != SV_OK) return SV_EIO;
    const sv_status status = sv->store_open(mod, NULL, "notes", 1, &me->notes);
    if (status != SV_OK) return status;
    if (sv->sweep(mod, me->notes, 0) != SV_EINVAL || sv->sweep(mod, NULL, 1) != SV_EINVAL)
        return SV_EINVAL;
    if (sv->sweep(mod, me->notes, 10000) != SV_OK) return SV_EIO;
    return sv->store_open(mod, "probe", "notes", 1, &me->ours);
}

static void save(sv_blob *out, void *self)
{
    const probe *me = self;
    sv->log(me->mod, out ? SV_INFO : SV_ERROR, "probe-save", NULL);
}

static void stop(void *self)
{
    const probe *me = self;
    sv->log(me->mod, SV_INFO, "probe-stop", NULL);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS "}read", .call = on_read},
    {.on = "iq-get/host {" NS "}look", .call = on_look},
    {.on = "iq-get/host {" NS "}misc", .call = on_misc},
    {.on = "iq-get/host {" NS "}build", .call = on_build},
    {.on = "iq-set/host {" NS "}put", .call = on_put, .flags = SV_HOOK_STORES},
    {.on = "iq-set/host {" NS "}late", .call = on_late, .flags = SV_HOOK_STORES},
    {.on = "iq-set/host {" NS "}del", .call = on_del},
    {.on = "iq-get/host {" NS "}get", .call = on_get},
    {.on = "iq-get/host {" NS "}list", .call = on_list},
    {.on = "iq-get/host {" NS "}keep", .call = on_keep},
    {.on = "iq-get/host {" NS "}held", .call = on_held},
    {.on = "iq-get/host {" NS "}hold", .call = on_hold},
    {.on = "iq-get/host {" NS "}digest", .call = on_digest},
    {.on = "host/timer", .call = on_timer},
    {.on = "account/added", .call = on_added},
    {.on = "iq-set/host {" NS "}session", .call = on_session},
    {.on = "iq-set/host {" NS "}send", .call = on_send},
    {.on = "iq-set/host {" NS "}make", .call = on_make},
    {.on = "stanza/made", .call = on_made},
    {.on = "message/host", .call = on_message},
    {.on = "message/host", .call = on_message, .band = SV_LATE},
    {.on = "message/host", .call = on_message_first, .band = SV_FIRST},
    {.on = "message/account", .call = on_account},
    {.on = "iq-set/host {" NS "}feature", .call = on_feature},
    {.on = "host/ready", .call = on_ready},
    {.on = "store/sweep", .call = on_sweep},
    {.on = "iq-get/host {" NS "}turns", .call = on_turns},
    {.on = "roster/changed", .call = on_changed},
    {.on = "session/presence", .call = on_presence},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(probe, limit, "probe_limit", "5", "1", "10", "A number."),
    SV_OPT_BOOL(probe, loud, "probe_loud", "false", "A switch."),
    SV_OPT_STRING(probe, greeting, "probe_greeting", "hello", "A word."),
    SV_OPT_LIST(probe, words, "probe_words", "Some words."),
    {0},
};

SV_MODULE(.name = "probe", .summary = "Uses the whole table",
          .features = NS "  urn:stave:second " NS, .account_features = NS "#account",
          .self_size = sizeof(probe), .hooks = hooks, .options = options, .start = start,
          .save = save, .stop = stop)
