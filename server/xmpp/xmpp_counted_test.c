/* Elements that are no stanzas, and counted sessions: how they count, outlive their connections and are taken up. A
 * protocol of the test's own says when. */
#include "xmpp/xmpp_stream_testing.h"
#include "xmpp/xmpp_account_impl.h"
#include "xmpp/xmpp_hold.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_recorder.h"
#include "xmpp/xmpp_recover.h"
#include "xmpp/xmpp_stream.h"

#define SECOND INT64_C(1000000)
#define X "xmlns='test:x'"
#define COUNT "<count " X "/>"
#define TO_SELF(id) "<message type='chat' to='romeo@localhost/r' id='" id "'/>"

/* What the handlers note. */
typedef struct notes {
    world *w;
    svi_buf fired; /* occasions, each with a blank */
    sv_event *late; /* held by `later` */
    sv_status status; /* of the last take or ack */
    int64_t keep_us;
    size_t max_stanzas;
    svi_map *rows;
    unsigned unsent;
    bool asks_nobody;
    uint64_t ticket; /* of the last one unsent */
    unsigned unnoted; /* of those unsent */
} notes;

static notes n;

/* --- the protocol ---------------------------------------------------------------------------- */

static uint32_t number(sv_event *ev, const char *name)
{
    int64_t value = 0;
    const sv_str text = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), sv_str_of(name));
    assert_int_equal(svi_str_int(text, 0, UINT32_MAX, &value), SV_OK);
    return (uint32_t)value;
}

static void write_sum(sv_event *ev, const char *name, const sv_session *session)
{
    svi_session_tally t;
    sv_draft *element = svi_draft_new(svi_event_arena(ev), sv_str_of(name), SV_STR("test:x"));
    if (svi_session_tally_get(session, &t)) {
        svi_draft_attr_int(element, SV_STR("h"), t.handled);
        svi_draft_attr_int(element, SV_STR("received"), t.received);
        svi_draft_attr_int(element, SV_STR("waiting"), (int64_t)t.waiting);
    }
    svi_x_write(ev, element);
}

static sv_verdict on_count(sv_event *ev, void *self)
{
    (void)self;
    const svi_counting how = {.keep_us = n.keep_us,
                              .max_stanzas = n.max_stanzas,
                              .max_bytes = 1u << 20,
                              .ask_stanzas = 3,
                              .ask_bytes = 1u << 20,
                              .ask_idle_us = SECOND,
                              .answer_us = 60 * SECOND};
    svi_x_count(ev, svi_xevent_of(ev)->session, &how);
    write_sum(ev, "counted", svi_xevent_of(ev)->session);
    return SV_DONE;
}

static sv_verdict on_sum(sv_event *ev, void *self)
{
    (void)self;
    write_sum(ev, "sum", svi_xevent_of(ev)->session);
    return SV_DONE;
}

static sv_verdict on_ack(sv_event *ev, void *self)
{
    (void)self;
    n.status = svi_session_acked(svi_xevent_of(ev)->session, number(ev, "h"));
    return SV_DONE;
}

static const sv_stanza *stamp(void *ctx, const sv_stanza *stanza, int64_t since_us)
{
    assert_ptr_equal(ctx, &n);
    assert_true(since_us > 0);
    return stanza;
}

static sv_verdict on_take(sv_event *ev, void *self)
{
    (void)self;
    const sv_str full = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("session"));
    sv_session *session = svi_session_find(n.w->server, full);
    n.status = session ? svi_x_resume(ev, session, number(ev, "h"), stamp, &n) : SV_ENOTFOUND;
    if (n.status == SV_OK) write_sum(ev, "taken", session);
    return SV_DONE;
}

static sv_verdict on_want(sv_event *ev, void *self)
{
    (void)self;
    svi_session_want_handled(svi_xevent_of(ev)->session, 2 * SECOND);
    return SV_DONE;
}

static sv_verdict on_later(sv_event *ev, void *self)
{
    (void)self;
    n.late = svi_event_hold(ev);
    return SV_LATER;
}

static sv_verdict on_fail(sv_event *ev, void *self)
{
    (void)self;
    svi_x_write(ev, svi_draft_new(svi_event_arena(ev), SV_STR("before"), SV_STR("test:x")));
    svi_x_fail(ev, "undefined-condition",
               svi_draft_new(svi_event_arena(ev), SV_STR("why"), SV_STR("test:x")), "a & b");
    return SV_DONE;
}

static sv_verdict on_occasion(sv_event *ev, void *self)
{
    (void)self;
    svi_buf_put(&n.fired, sv_str_of(svi_point_name(svi_event_point_now(ev))));
    svi_buf_putc(&n.fired, ' ');
    if (svi_event_point_now(ev) == svi_point_find(SV_STR("session/unacked")) && !n.asks_nobody)
        svi_x_write(ev, svi_draft_new(svi_event_arena(ev), SV_STR("r"), SV_STR("test:x")));
    return SV_PASS;
}

/* Nobody keeps it: counted, and dropped. */
static sv_verdict on_unsent(sv_event *ev, void *self)
{
    (void)self;
    n.unsent++;
    n.ticket = svi_xevent_of(ev)->unsent_ticket;
    n.unnoted += n.ticket == 0;
    assert_true(svi_xevent_of(ev)->since_us > 0);
    return svi_x_drop(ev, "test");
}

/* Three events that write, one after the other, for what comes with `causes`. */
static sv_verdict on_causing(sv_event *ev, void *self)
{
    (void)self;
    const sv_str id = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("id"));
    if (sv_str_eq(id, SV_STR("causes"))) {
        sv_draft *next = svi_draft_new(svi_event_arena(ev), SV_STR("message"), SV_STR(SVI_NS_CLIENT));
        svi_draft_attr(next, SV_STR("to"), SV_STR("romeo@localhost"));
        svi_draft_attr(next, SV_STR("id"), SV_STR("writes"));
        sv_stanza *made = svi_draft_freeze(&n.w->acct, NULL, next);
        svi_x_route(ev, made);
        svi_stanza_unref(&made);
    }
    if (sv_str_eq(id, SV_STR("writes")))
        svi_unit_put(svi_event_unit(ev), n.rows, SV_STR("romeo"), SV_STR("k"), SV_STR("v"));
    if (sv_str_eq(id, SV_STR("waits"))) { /* its copy is on its way before it waits, as a carbon is */
        svi_x_push_copy(ev, svi_session_find(n.w->server, SV_STR("romeo@localhost/r")), svi_event_stanza(ev));
        n.late = svi_event_hold(ev);
        return SV_LATER;
    }
    const bool is_ours = sv_str_eq(id, SV_STR("causes")) || sv_str_eq(id, SV_STR("writes"));
    return is_ours ? svi_x_consume(ev) : SV_PASS;
}

/* By its id. */
static sv_verdict on_sending(sv_event *ev, void *self)
{
    (void)self;
    const sv_str id = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("id"));
    if (sv_str_eq(id, SV_STR("held"))) return svi_x_hold(ev, SV_STR("key"));
    return sv_str_eq(id, SV_STR("dropped")) ? svi_x_drop(ev, "test") : SV_PASS;
}

/* A copy of what a row holds. */
static sv_verdict on_stored(sv_event *ev, void *self)
{
    (void)self;
    svi_unit_put(svi_event_unit(ev), n.rows, SV_STR("romeo"), SV_STR("row"), SV_STR("v"));
    svi_x_push_stored(ev, svi_xevent_of(ev)->session, svi_event_stanza(ev), n.rows, SV_STR("romeo"),
                      SV_STR("row"));
    return SV_DONE;
}

typedef struct entry {
    const char *point, *name;
    sv_verdict (*call)(sv_event *ev, void *self);
} entry;

static const entry entries[] = {
    {"stream/element", "count", on_count},    {"stream/element", "sum", on_sum},
    {"stream/element", "ack", on_ack},        {"stream/element", "take", on_take},
    {"stream/element", "want", on_want},      {"stream/element", "later", on_later},
    {"stream/element", "fail", on_fail},      {"stream/element", "stored", on_stored},
    {"session/bound", NULL, on_occasion},     {"session/gone", NULL, on_occasion},
    {"session/away", NULL, on_occasion},      {"session/back", NULL, on_occasion},
    {"session/handled", NULL, on_occasion},   {"session/unacked", NULL, on_occasion},
    {"session/written", NULL, on_occasion},   {"session/unsent", NULL, on_unsent},
    {"session/sending", NULL, on_sending},    {"message/self", NULL, on_causing},
          {"message/account", NULL, on_causing},
};
#define ENTRIES (sizeof entries / sizeof *entries)

static void hook_up(world *w)
{
    svi_handler handlers[ENTRIES];
    svi_hooks *hooks = NULL;
    sv_err err;
    for (size_t i = 0; i < ENTRIES; i++) {
        const sv_str names[] = {SV_STR("test:x"), sv_str_of(entries[i].name ? entries[i].name : "x")};
        svi_server_declare(w->server, names, 2);
        handlers[i] = (svi_handler){.point = svi_point_find(sv_str_of(entries[i].point)),
                                    .module = "test",
                                    .text = entries[i].point,
                                    .order = (uint32_t)i,
                                    .call = entries[i].call};
        if (!entries[i].name) continue;
        handlers[i].ns = svi_atoms_find(svi_server_atoms(w->server), names[0]);
        handlers[i].name = svi_atoms_find(svi_server_atoms(w->server), names[1]);
    }
    assert_int_equal(svi_hooks_build(&w->acct, handlers, ENTRIES, &hooks, &err), SV_OK);
    svi_host_set_hooks(w->host, hooks);
    svi_hooks_unref(&hooks);
}

static world *begin_as(setting s)
{
    world *w = world_new(s);
    sv_err err;
    n = (notes){.w = w, .keep_us = 600 * SECOND, .max_stanzas = 100};
    svi_buf_init(&n.fired, &w->acct);
    assert_int_equal(svi_store_map(svi_server_store(w->server), SV_STR("localhost/test/rows"), 1, &n.rows, &err),
                     SV_OK);
    hook_up(w);
    return w;
}

static world *begin_with(svi_limits limits)
{
    return begin_as((setting){.mode = SVI_TLS_NONE, .limits = limits});
}

static world *begin(void)
{
    return begin_with(svi_limits_default());
}

static void finish(world *w)
{
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    svi_server_drain(w->server);
    for (size_t i = 0; i < w->client_count; i++) client_close(&w->clients[i]);
    run(w);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    svi_buf_free(&n.fired);
    world_free(w);
}

/* What was fired since the last call. */
static const char *fired(world *w)
{
    const char *text = svi_arena_str(w->arena, svi_buf_str(&n.fired)).p;
    svi_buf_clear(&n.fired);
    return text ? text : "";
}

static client *counted(world *w, const char *resource)
{
    client *c = bound(w, resource);
    say(w, c, COUNT);
    assert_has(heard(w, c), "<counted " X " h='0'");
    return c;
}

static void cut(world *w, client *c)
{
    client_close(c);
    run(w);
}

static client *logged_in(world *w, const char *user, const char *password)
{
    client *c = opened(w);
    log_in(w, c, user, password);
    return c;
}

/* Takes the session "r" up on a new stream; what is heard then. */
static const char *take_up(world *w, client **c_out, uint32_t h)
{
    *c_out = logged_in(w, "romeo", "rosaline");
    (void)heard(w, *c_out);
    say(w, *c_out, svi_arena_printf(w->arena, "<take " X " session='romeo@localhost/r' h='%u'/>", h).p);
    return heard(w, *c_out);
}

static sv_session *session_r(world *w)
{
    return svi_session_find(w->server, SV_STR("romeo@localhost/r"));
}

/* --- elements -------------------------------------------------------------------------------- */

static void elements_that_nobody_knows(void **state)
{
    (void)state;
    static const bad bads[] = {
        {"<sum xmlns='test:y'/>", "unsupported-stanza-type"},
        {"<other " X "><sum " X "/></other>", "unsupported-stanza-type"}, /* the root is asked */
        {"<auth xmlns='" SASL_NS "'/>", "not-authorized"},
        {"<sum xmlns='jabber:client'/>", "unsupported-stanza-type"},
    };
    world *w = begin();
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        client *c = bound(w, "r");
        say(w, c, bads[i].said);
        assert_failed(w, c, bads[i].error);
        c = logged_in(w, "romeo", "rosaline");
        say(w, c, bads[i].said);
        assert_failed(w, c, bads[i].error);
    }
    client *stranger = opened(w);
    say(w, stranger, COUNT);
    assert_failed(w, stranger, "unsupported-stanza-type"); /* as before */
    finish(w);
}

static void elements_in_order_with_stanzas(void **state)
{
    (void)state;
    world *w = begin();
    client *c = bound(w, "r");
    say(w, c, "<sum " X "/>" TO_SELF("1") "<sum " X "/>");
    const char *all = heard(w, c), *stanza = strstr(all, "id='1'");
    assert_int_equal(count_of(all, "<sum " X "/>"), 2);
    assert_non_null(stanza);
    assert_true(strstr(all, "<sum") < stanza && strstr(stanza, "<sum") != NULL);
    say(w, c, "<fail " X "/>");
    assert_has(heard(w, c),
               "<before " X "/><stream:error><undefined-condition "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
               "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>a &amp; b</text>"
               "<why " X "/></stream:error></stream:stream>");
    assert_ended(w, c);
    finish(w);
}

/* Before a resource is bound nothing behind it is looked at until it is over. */
static void an_element_that_takes_time(void **state)
{
    (void)state;
    world *w = begin();
    client *c = logged_in(w, "romeo", "rosaline");
    say(w, c, "<later " X "/><iq type='set' id='b'><bind xmlns='" BIND_NS "'/></iq>");
    assert_string_equal(heard(w, c), "");
    assert_true(svi_event_resume(n.late, SV_DONE));
    svi_event_let_go(&n.late);
    run(w);
    assert_has(heard(w, c), "<iq type='result' id='b'>");
    client *slow = logged_in(w, "romeo", "rosaline");
    say(w, slow, "<later " X "/>");
    svi_event_let_go(&n.late);
    pass_time(w, 31 * SECOND);
    assert_failed(w, slow, "connection-timeout"); /* the step's deadline */
    client *gone = logged_in(w, "romeo", "rosaline");
    say(w, gone, "<later " X "/>");
    cut(w, gone);
    assert_true(svi_event_resume(n.late, SV_PASS)); /* its stream has gone */
    svi_event_let_go(&n.late);
    finish(w);
}

/* --- counting -------------------------------------------------------------------------------- */

static void all_that_comes_is_counted(void **state)
{
    (void)state;
    world *w = begin();
    client *c = bound(w, "r");
    say(w, c, TO_SELF("before") COUNT TO_SELF("1") "<presence/><message/>"
                                                   "<iq type='set' id='s'><session "
                                                   "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
                                                   "<iq type='get' id='bad'/><sum " X "/>");
    assert_has(heard(w, c), "<sum " X " h='5' received='5'");
    finish(w);
}

/* Durability, D1: also what it caused is committed before it counts. */
static void what_it_caused_is_waited_for(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, "<message to='romeo@localhost' id='causes'/>" TO_SELF("2") "<want " X "/><sum " X "/>");
    assert_has(heard(w, c), "<sum " X " h='0' received='2'");
    assert_lacks(fired(w), "session/handled");
    pass_time(w, 2 * SECOND); /* once before all is */
    assert_has(fired(w), "session/handled");
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    assert_has(fired(w), "session/handled");
    say(w, c, "<sum " X "/>");
    assert_has(heard(w, c), "<sum " X " h='2' received='2'");
    finish(w);
}

/* Behind one that waits for the disk only so many are heard; the rest waits, and nothing is lost. */
static void so_many_wait_to_be_counted(void **state)
{
    (void)state;
    enum { MANY = SVI_TALLY_IN_MAX + 100 };
    svi_limits limits = svi_limits_default();
    limits.rate = 0;
    world *w = begin_with(limits);
    client *c = counted(w, "r");
    svi_engine_sim_plan(w->engine)->hold = true;
    svi_buf many;
    svi_buf_init(&many, &w->acct);
    svi_buf_put(&many, SV_STR("<message to='romeo@localhost' id='writes'/>"));
    for (int i = 0; i < MANY; i++) svi_buf_put(&many, SV_STR("<presence to='localhost'/>"));
    const uint64_t before = svi_bus_newest(svi_server_bus(w->server));
    say(w, c, svi_arena_str(w->arena, svi_buf_str(&many)).p);
    svi_buf_free(&many);
    assert_in_range(svi_bus_newest(svi_server_bus(w->server)) - before, SVI_TALLY_IN_MAX - 10, SVI_TALLY_IN_MAX + 10);
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    say(w, c, "<sum " X "/>");
    assert_has(heard(w, c), svi_arena_printf(w->arena, "<sum " X " h='%d' received='%d'", MANY + 1, MANY + 1).p);
    finish(w);
}

/* Who asks for much and does not read is closed, as for stanzas. */
static void elements_wait_for_one_who_does_not_read(void **state)
{
    (void)state;
    svi_limits limits = svi_limits_default();
    limits.rate = 0;
    limits.queue_hard_bytes = 256 * 1024;
    world *w = begin_with(limits);
    client *c = counted(w, "r");
    svi_link *link = c->link;
    for (int i = 0; i < 400 && !session_r(w)->is_kicked; i++) {
        svi_buf many;
        svi_buf_init(&many, &w->acct);
        for (int k = 0; k < 100; k++) svi_buf_put(&many, SV_STR("<sum " X "/>"));
        c->link = NULL; /* nothing is read */
        const sv_str text = svi_buf_str(&many);
        for (size_t at = 0; at < text.n;) {
            const ssize_t put = link->ops->write(link, text.p + at, text.n - at);
            if (put > 0) at += (size_t)put;
            run(w);
            if (session_r(w) == NULL) break;
        }
        svi_buf_free(&many);
        if (session_r(w) == NULL) break;
    }
    assert_null(session_r(w));
    c->link = link;
    run(w);
    assert_failed(w, c, "resource-constraint");
    finish(w);
}

/* The client has it, whether its connection wrote it or not. */
static void acknowledgements(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    say(w, c, TO_SELF("1") TO_SELF("2") "<sum " X "/>");
    assert_has(heard(w, c), "waiting='2'");
    assert_int_equal(svi_server_unacked(w->server), 2);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 2);
    say(w, c, "<ack " X " h='1'/><sum " X "/>");
    assert_int_equal(n.status, SV_OK);
    assert_has(heard(w, c), "waiting='1'");
    say(w, c, "<ack " X " h='0'/>");
    assert_int_equal(n.status, SV_OK);
    say(w, c, "<ack " X " h='3'/>");
    assert_int_equal(n.status, SV_EINVAL);
    say(w, c, "<ack " X " h='2'/>");
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    finish(w);
}

static void it_is_asked(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    (void)fired(w);
    say(w, c, TO_SELF("1") TO_SELF("2"));
    assert_string_equal(fired(w), "");
    say(w, c, TO_SELF("3"));
    assert_string_equal(fired(w), "session/unacked ");
    say(w, c, TO_SELF("4") TO_SELF("5") TO_SELF("6"));
    assert_string_equal(fired(w), ""); /* once */
    say(w, c, "<ack " X " h='4'/>");
    assert_string_equal(fired(w), "session/unacked "); /* three came meanwhile */
    say(w, c, "<ack " X " h='6'/>" TO_SELF("7"));
    pass_time(w, SECOND / 2);
    say(w, c, TO_SELF("8"));
    pass_time(w, SECOND * 6 / 10);
    assert_string_equal(fired(w), ""); /* it was not quiet for so long */
    pass_time(w, SECOND / 2);
    assert_string_equal(fired(w), "session/unacked ");
    pass_time(w, 30 * SECOND);
    say(w, c, " ");
    pass_time(w, 31 * SECOND);
    assert_string_equal(fired(w), "session/unacked "); /* it is there: again */
    pass_time(w, 61 * SECOND);
    assert_failed(w, c, "connection-timeout");
    assert_string_equal(fired(w), "session/away ");
    finish(w);
}

/* Nobody is taken for dead who was not asked. */
static void nobody_asks(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    n.asks_nobody = true;
    say(w, c, TO_SELF("1"));
    pass_time(w, 2 * SECOND);
    assert_has(fired(w), "session/unacked ");
    pass_time(w, 300 * SECOND);
    assert_false(c->at_end);
    finish(w);
}

/* A row goes when its stanza is acknowledged, and stays if that never comes. */
static void rows_go_when_it_is_acknowledged(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    say(w, c, "<stored " X "/>");
    assert_has(heard(w, c), "<stored to='romeo@localhost/r' ");
    assert_lacks(fired(w), "session/written");
    say(w, c, "<ack " X " h='1'/>");
    assert_has(fired(w), "session/written");
    say(w, c, "<stored " X "/>");
    say(w, c, "</stream:stream>");
    assert_ended(w, c);
    assert_int_equal(n.unsent, 0);
    finish(w);
}

/* --- away and back ---------------------------------------------------------------------------- */

static void lost_and_taken_up(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r"), *d;
    say(w, c, TO_SELF("1") TO_SELF("2") TO_SELF("3"));
    (void)fired(w);
    cut(w, c);
    assert_string_equal(fired(w), "session/away ");
    assert_non_null(session_r(w));
    assert_null(svi_session_conn(session_r(w)));
    assert_null(svi_session_facts(session_r(w)).peer);
    client *other = bound(w, "other");
    say(w, other, TO_SELF("4"));
    (void)fired(w);
    const char *all = take_up(w, &d, 1);
    assert_int_equal(n.status, SV_OK);
    const char *at = strstr(all, "<taken " X " h='3' received='3' waiting='3'");
    assert_non_null(at);
    for (const char *const *id = (const char *const[]){"id='2'", "id='3'", "id='4'", NULL}; *id; id++) {
        at = strstr(at, *id);
        assert_non_null(at);
    }
    assert_null(strstr(all, "id='1'"));
    assert_string_equal(fired(w), "session/back session/unacked ");
    say(w, d, "<ack " X " h='4'/>" TO_SELF("5") "<sum " X "/>");
    assert_has(heard(w, d), "h='4' received='4' waiting='1'");
    assert_int_equal(n.unsent, 0);
    finish(w);
}

/* Twice in a row, with nothing acknowledged between: all again. */
static void lost_twice(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r"), *d, *e;
    say(w, c, TO_SELF("1") TO_SELF("2"));
    cut(w, c);
    assert_has(take_up(w, &d, 0), "id='1'");
    cut(w, d);
    const char *all = take_up(w, &e, 0);
    assert_has(all, "id='1'");
    assert_has(all, "id='2'");
    say(w, e, "<ack " X " h='2'/>");
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    finish(w);
}

static void the_older_stream_ends(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r"), *d;
    say(w, c, TO_SELF("1"));
    assert_has(take_up(w, &d, 0), "id='1'");
    assert_failed(w, c, "conflict");
    assert_lacks(fired(w), "session/gone");
    say(w, d, TO_SELF("2"));
    assert_has(heard(w, d), "id='2'");
    assert_int_equal(svi_session_count(w->server), 1);
    finish(w);
}

static void it_may_not_be_taken_up(void **state)
{
    (void)state;
    world *w = begin();
    assert_int_equal(set_account(w, "juliet", "capulet", false), SV_OK);
    client *c = counted(w, "r"), *d;
    say(w, c, TO_SELF("1") TO_SELF("2") "<ack " X " h='1'/>");
    cut(w, c);
    client *juliet = logged_in(w, "juliet", "capulet");
    say(w, juliet, "<take " X " session='romeo@localhost/r' h='1'/>");
    assert_int_equal(n.status, SV_EDENIED);
    assert_has(bind_resource(w, juliet, "j"), "juliet@localhost/j"); /* it goes on */
    (void)take_up(w, &d, 3);
    assert_int_equal(n.status, SV_EINVAL);
    (void)take_up(w, &d, 0);
    assert_int_equal(n.status, SV_ENOTFOUND); /* 1 is acknowledged, and gone */
    assert_has(bind_resource(w, d, "s"), "type='result'");
    say(w, d, "<take " X " session='romeo@localhost/r' h='1'/>");
    assert_int_equal(n.status, SV_ECLOSED); /* it has one */
    client *plain = bound(w, "plain"), *e = logged_in(w, "romeo", "rosaline");
    say(w, e, "<take " X " session='romeo@localhost/plain' h='0'/>");
    assert_int_equal(n.status, SV_ECLOSED); /* it is not counted */
    assert_false(plain->at_end);
    finish(w);
}

static void it_ends_when_its_time_is_over(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r");
    say(w, c, TO_SELF("1") TO_SELF("2") "<ack " X " h='1'/>");
    cut(w, c);
    (void)fired(w);
    pass_time(w, 599 * SECOND);
    assert_string_equal(fired(w), "");
    pass_time(w, 2 * SECOND);
    assert_string_equal(fired(w), "session/gone ");
    assert_int_equal(n.unsent, 1);
    assert_null(session_r(w));
    finish(w);
}

/* XEP-0198 7: only what is cut off stays. */
static void ends_that_are_ends(void **state)
{
    (void)state;
    static const char *const ends[] = {"</stream:stream>", "<fail " X "/>", "<unknown xmlns='test:y'/>",
                                       "<a></b>", "<stream:error/>"};
    world *w = begin();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        client *c = counted(w, "r");
        say(w, c, ends[i]);
        assert_ended(w, c);
        assert_null(session_r(w));
    }
    n.keep_us = 0;
    cut(w, counted(w, "r"));
    assert_null(session_r(w));
    finish(w);
}

/* XEP-0175: nobody logs in as the same guest again. */
static void guests_are_not_kept(void **state)
{
    (void)state;
    world *w = begin_as((setting){.mode = SVI_TLS_NONE, .logins = SVI_LOGINS_BOTH, .guests_max = 5});
    client *c = opened(w);
    say(w, c, "<auth xmlns='" SASL_NS "' mechanism='ANONYMOUS'>=</auth>");
    assert_has(heard(w, c), "<success");
    say(w, c, STREAM);
    assert_has(bind_resource(w, c, NULL), "type='result'");
    say(w, c, COUNT "<sum " X "/>");
    assert_has(heard(w, c), "<sum " X " h='0'");
    cut(w, c);
    assert_int_equal(svi_session_count(w->server), 0);
    finish(w);
}

static void ended_while_away(void **state)
{
    (void)state;
    world *w = begin();
    cut(w, counted(w, "r"));
    (void)fired(w);
    svi_session_kick(session_r(w), "policy-violation");
    run(w);
    assert_string_equal(fired(w), "session/gone ");
    assert_int_equal(svi_session_count(w->server), 0);

    cut(w, counted(w, "r")); /* somebody binds its resource */
    (void)fired(w);
    client *again = bound(w, "r");
    assert_string_equal(fired(w), "session/gone session/bound ");
    say(w, again, "</stream:stream>");
    assert_ended(w, again);

    cut(w, counted(w, "r")); /* nobody may log in to the account any more */
    sv_jid jid;
    assert_int_equal(svi_jid_parse(w->arena, SV_STR("romeo@localhost"), &jid), SV_OK);
    svi_account_end_streams(w->host, &jid, SVI_FORGET_ALL, NULL);
    run(w);
    assert_int_equal(svi_session_count(w->server), 0);

    cut(w, counted(w, "r")); /* its host goes */
    svi_host_retire(w->host);
    run(w);
    assert_int_equal(svi_session_count(w->server), 0);
    finish(w);
}

/* RFC 6120 7.6.2.1: the newest client comes before those that may never come back. */
static void they_make_room(void **state)
{
    (void)state;
    svi_limits limits = svi_limits_default();
    limits.sessions_per_account = 2;
    world *w = begin_with(limits);
    cut(w, counted(w, "r"));
    client *b = counted(w, "b"), *c = bound(w, "c");
    assert_null(session_r(w));
    client *d = logged_in(w, "romeo", "rosaline");
    assert_has(bind_resource(w, d, "d"), "resource-constraint");
    assert_false(b->at_end || c->at_end);
    finish(w);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    world *w = begin();
    n.max_stanzas = 5;
    cut(w, counted(w, "r"));
    client *other = bound(w, "other");
    for (int i = 0; i < 5; i++) say(w, other, TO_SELF("m"));
    assert_non_null(session_r(w));
    say(w, other, TO_SELF("m"));
    assert_null(session_r(w));
    assert_int_equal(n.unsent, 6);
    client *c = counted(w, "r"); /* the same if it has a connection */
    for (int i = 0; i < 5; i++) say(w, other, TO_SELF("m"));
    assert_false(c->at_end);
    say(w, other, TO_SELF("m"));
    assert_failed(w, c, "resource-constraint");
    assert_int_equal(n.unsent, 12);
    finish(w);
}

/* While one is under way behind a held disk, it is cut and comes again: heard once. */
static void what_comes_again(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r"), *d;
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, "<message to='romeo@localhost' id='writes'/><message to='romeo@localhost' id='causes'/>");
    cut(w, c);
    const uint64_t before = svi_bus_newest(svi_server_bus(w->server));
    assert_has(take_up(w, &d, 0), "<taken " X " h='0' received='0'");
    const uint64_t taken = svi_bus_newest(svi_server_bus(w->server));
    say(w, d, "<message to='romeo@localhost' id='writes'/>");
    assert_int_equal(svi_bus_newest(svi_server_bus(w->server)), taken);
    assert_true(taken > before);
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    say(w, d, "<sum " X "/>");
    assert_has(heard(w, d), "<sum " X " h='1' received='1'");
    finish(w);
}

/* Nothing is kept over the end of the server in memory alone: it is unsent in time to be stored. */
static void a_server_that_stops(void **state)
{
    (void)state;
    world *w = begin();
    client *c = counted(w, "r"), *d = counted(w, "d");
    say(w, c, TO_SELF("1"));
    cut(w, c);
    say(w, d, "<message type='chat' to='romeo@localhost/d'/>");
    svi_server_drain(w->server);
    run(w);
    assert_failed(w, d, "system-shutdown");
    assert_int_equal(n.unsent, 2);
    assert_int_equal(svi_session_count(w->server), 0);
    finish(w);
}

/* --- records ------------------------------------------------------------------------------------ */

typedef struct found {
    world *w;
    svi_record record; /* in the world's arena */
    unsigned count;
} found;

static void on_records(void *ctx, sv_status status, svi_rows *rows)
{
    found *f = ctx;
    sv_str key = SV_STR_NONE, value;
    assert_int_equal(status, SV_OK);
    while (svi_rows_next(rows, &key, &value)) {
        svi_record record;
        sv_err err = {.text = ""};
        if (svi_record_read(f->w->arena, svi_arena_str(f->w->arena, value), &record, &err) != SV_OK)
            fail_msg("%s", err.text);
        if (!sv_str_eq(record.head.full, SV_STR("romeo@localhost/r"))) continue;
        f->record = record;
        f->count++;
    }
    svi_rows_unref(&rows);
}

/* What a start would find of the session "r" now. */
static svi_record record_of_r(world *w)
{
    found f = {.w = w};
    svi_rows_load(w->host->records, SV_STR("romeo"), on_records, &f);
    run(w);
    assert_int_equal(f.count, 1);
    return f.record;
}

static size_t copies_in(const svi_record *record)
{
    size_t count = 0;
    for (const svi_record_copy *copy = record->copies; copy != NULL; copy = copy->next) count++;
    return count;
}

static world *begin_recorded(client **c_out, client **d_out)
{
    world *w = begin_as((setting){.mode = SVI_TLS_NONE, .keeps_records = true});
    *c_out = counted(w, "r");
    *d_out = bound(w, "d");
    pass_time(w, 2 * SECOND);
    (void)heard(w, *c_out);
    return w;
}

/* An event's copy goes to the client while the event waits, and another one's is written before it. */
static void record_of_an_event_that_waits(bool snapshot)
{
    client *c, *d;
    world *w = begin_recorded(&c, &d);
    svi_recorder_renew(session_r(w));
    say(w, d, "<message type='chat' to='romeo@localhost' id='waits'/>");
    if (snapshot) svi_recorder_renew(session_r(w));
    say(w, c, TO_SELF("other")); /* of another lane */
    assert_int_equal(count_of(heard(w, c), "<message"), 2);
    svi_record record = record_of_r(w);
    assert_int_equal(copies_in(&record), snapshot ? 2 : 1); /* a snapshot has what waits, too */
    assert_true(svi_x_drop(n.late, "test") == SV_DONE);
    svi_event_let_go(&n.late);
    run(w);
    record = record_of_r(w);
    assert_int_equal(copies_in(&record), 2);
    assert_int_equal(record.copies->number + record.copies->next->number, 3);
    assert_int_equal(record.noted, 2);
    say(w, c, "<ack " X " h='2'/>");
    pass_time(w, 2 * SECOND);
    record = record_of_r(w);
    assert_int_equal(copies_in(&record), 0);
    finish(w);
}

static void records_of_events_that_wait(void **state)
{
    (void)state;
    record_of_an_event_that_waits(false);
    record_of_an_event_that_waits(true);
}

static world *begin_holding(client **c_out, client **d_out)
{
    world *w = begin_recorded(c_out, d_out);
    svi_session_hold(session_r(w), &(svi_hold_limits){.stanzas = 100, .bytes = 1u << 20, .age_us = 60 * SECOND});
    return w;
}

/* Nothing is left in the record of what was replaced while it was held back, or dropped. */
static void records_of_what_is_held(void **state)
{
    (void)state;
    enum { MANY = 80, BODY = 8000 };
    client *c, *d;
    world *w = begin_holding(&c, &d);
    const char *big = svi_arena_printf(w->arena, "<message type='chat' to='romeo@localhost/r' id='held'><body>%0*d</body></message>", BODY, 0).p;
    _Static_assert(MANY * BODY > SVI_RECORD_COPIES_MAX, "more than a record may have");
    for (int i = 0; i < MANY; i++) say(w, d, big);
    for (int i = 0; i < MANY; i++) say(w, d, "<message type='chat' to='romeo@localhost/r' id='dropped'/>");
    assert_int_equal(svi_session_held(session_r(w)), 1);
    pass_time(w, 2 * SECOND);
    svi_record record = record_of_r(w);
    assert_int_equal(copies_in(&record), 1);
    assert_int_equal(record.copies->number, 0);
    svi_session_release(session_r(w));
    run(w);
    assert_int_equal(count_of(heard(w, c), "<message"), 1);
    say(w, c, "<ack " X " h='1'/>");
    pass_time(w, 2 * SECOND);
    record = record_of_r(w);
    assert_int_equal(copies_in(&record), 0);
    finish(w);
}

/* The session ends while a copy of its own is in a unit that is not handed in: nothing of the record is left. */
static void records_that_end_under_an_event(void **state)
{
    (void)state;
    client *c, *d;
    world *w = begin_recorded(&c, &d);
    say(w, d, "<message type='chat' to='romeo@localhost' id='waits'/>");
    say(w, c, "</stream:stream>");
    cut(w, c);
    assert_int_equal(n.unsent, 1);
    assert_true(svi_x_drop(n.late, "test") == SV_DONE);
    svi_event_let_go(&n.late);
    run(w);
    found f = {.w = w};
    svi_rows_load(w->host->records, SV_STR("romeo"), on_records, &f);
    run(w);
    assert_int_equal(f.count, 0);
    finish(w);
}

/* What was held goes ahead of another event's copy; its number is not left to that event, which waits. */
static void records_of_what_goes_ahead(void **state)
{
    (void)state;
    client *c, *d;
    world *w = begin_holding(&c, &d);
    say(w, d, TO_SELF("held"));
    say(w, d, "<message type='chat' to='romeo@localhost' id='waits'/>");
    assert_int_equal(count_of(heard(w, c), "<message"), 2);
    svi_record record = record_of_r(w);
    assert_int_equal(copies_in(&record), 1);
    assert_int_equal(record.copies->number, 1);
    assert_true(svi_x_drop(n.late, "test") == SV_DONE);
    svi_event_let_go(&n.late);
    run(w);
    record = record_of_r(w);
    assert_int_equal(copies_in(&record), 2);
    assert_int_equal(record.noted, 2);
    finish(w);
}

/* What was held goes another way in an event that takes it out of the record. */
static void records_of_what_was_held_to_the_end(void **state)
{
    (void)state;
    client *c, *d;
    world *w = begin_holding(&c, &d);
    say(w, d, TO_SELF("held"));
    say(w, c, "</stream:stream>");
    cut(w, c);
    assert_int_equal(n.unsent, 1);
    assert_true(n.ticket > 0);
    finish(w);
}

/* The server stops: what is held is the session's after the next start, and nobody else's. */
static void records_of_what_is_held_over_a_stop(void **state)
{
    (void)state;
    client *c, *d;
    world *w = begin_holding(&c, &d);
    say(w, d, TO_SELF("held"));
    svi_server_drain(w->server);
    run(w);
    client_close(c);
    client_close(d);
    run(w);
    assert_null(session_r(w));
    assert_int_equal(n.unsent, 0);
    svi_record record = record_of_r(w);
    assert_int_equal(copies_in(&record), 1);
    assert_false(record.has_ended);
    finish(w);
}

/* With too much a session ends, and all that it had goes another way from its record, the last one, too. */
static void records_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 80, BODY = 8000 };
    client *c, *d;
    world *w = begin_recorded(&c, &d);
    const char *big = svi_arena_printf(w->arena, "<message type='chat' to='romeo@localhost/r'><body>%0*d</body></message>", BODY, 0).p;
    int sent = 0;
    while (sent < MANY && session_r(w) != NULL && ++sent > 0) say(w, d, big);
    assert_in_range(sent, SVI_RECORD_COPIES_MAX / BODY - 4, SVI_RECORD_COPIES_MAX / BODY + 1);
    cut(w, c);
    assert_int_equal(n.unsent, sent);
    assert_int_equal(n.unnoted, 0);
    finish(w);
}

/* Nobody answers, so they stay: each is short. */
static void records_of_requests(void **state)
{
    (void)state;
    client *c, *d;
    world *w = begin_recorded(&c, &d);
    say(w, c, svi_arena_printf(w->arena, "<iq type='get' to='romeo@localhost/d' id='%0*d'><q xmlns='q'/></iq>", SVI_RECORD_REQUEST_BYTES, 0).p);
    say(w, c, "<iq type='get' to='romeo@localhost/d' id='short'><q xmlns='q'/></iq>");
    assert_int_equal(count_of(heard(w, d), "<iq"), 2);
    pass_time(w, 2 * SECOND);
    const svi_record record = record_of_r(w);
    assert_non_null(record.requests);
    assert_true(sv_str_eq(record.requests->note.id, SV_STR("short")));
    assert_null(record.requests->next);
    finish(w);
}

static void on_recovered(void *ctx, const svi_recovered *recovered)
{
    *(svi_recovered *)ctx = *recovered;
}

static void put_record(world *w, char key, sv_str note)
{
    svi_buf buf;
    svi_buf_init(&buf, &w->acct);
    svi_note_put_head(&buf, &(svi_note_head){.full = SV_STR("romeo@localhost/r"), .lang = SV_STR(""), .bound_us = 1});
    svi_buf_put(&buf, note);
    char name[SVI_RECORD_KEY_BYTES];
    memset(name, key, sizeof name);
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    assert_int_equal(svi_unit_put(unit, w->host->records, SV_STR("romeo"), (sv_str){name, sizeof name}, svi_buf_str(&buf)), SV_OK);
    svi_unit_submit(&unit);
    svi_buf_free(&buf);
}

static void on_one_row(void *ctx, sv_status status, svi_rows *rows)
{
    sv_str key = SV_STR_NONE, value;
    assert_int_equal(status, SV_OK);
    assert_int_equal(svi_rows_count(rows), 1);
    assert_true(svi_rows_next(rows, &key, &value));
    *(char *)ctx = key.p[0];
    svi_rows_unref(&rows);
}

/* What is damaged is deleted, and what a later release wrote stays for that one. */
static void records_that_are_not_read(void **state)
{
    (void)state;
    world *w = begin_as((setting){.mode = SVI_TLS_NONE, .keeps_records = true});
    static const char damaged[] = {0, 0}, later[] = {100, 0};
    put_record(w, 'd', (sv_str){damaged, 2});
    put_record(w, 'l', (sv_str){later, 2});
    svi_recovered recovered = {.damaged = 0};
    svi_sessions_recover(w->server, on_recovered, &recovered);
    run(w);
    assert_int_equal(recovered.damaged, 2);
    assert_int_equal(recovered.status, SV_OK);
    char left = 0;
    svi_rows_load(w->host->records, SV_STR("romeo"), on_one_row, &left);
    run(w);
    assert_int_equal(left, 'l');
    finish(w);
}

int main(void)
{
    make_certificate();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_that_nobody_knows),
        cmocka_unit_test(elements_in_order_with_stanzas),
        cmocka_unit_test(an_element_that_takes_time),
        cmocka_unit_test(all_that_comes_is_counted),
        cmocka_unit_test(what_it_caused_is_waited_for),
        cmocka_unit_test(so_many_wait_to_be_counted),
        cmocka_unit_test(elements_wait_for_one_who_does_not_read),
        cmocka_unit_test(acknowledgements),
        cmocka_unit_test(it_is_asked),
        cmocka_unit_test(nobody_asks),
        cmocka_unit_test(rows_go_when_it_is_acknowledged),
        cmocka_unit_test(lost_and_taken_up),
        cmocka_unit_test(lost_twice),
        cmocka_unit_test(the_older_stream_ends),
        cmocka_unit_test(it_may_not_be_taken_up),
        cmocka_unit_test(it_ends_when_its_time_is_over),
        cmocka_unit_test(ends_that_are_ends),
        cmocka_unit_test(guests_are_not_kept),
        cmocka_unit_test(ended_while_away),
        cmocka_unit_test(they_make_room),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(what_comes_again),
        cmocka_unit_test(a_server_that_stops),
        cmocka_unit_test(records_of_events_that_wait),
        cmocka_unit_test(records_that_are_not_read),
        cmocka_unit_test(records_are_bounded),
        cmocka_unit_test(records_of_requests),
        cmocka_unit_test(records_that_end_under_an_event),
        cmocka_unit_test(records_of_what_is_held),
        cmocka_unit_test(records_of_what_goes_ahead),
        cmocka_unit_test(records_of_what_was_held_to_the_end),
        cmocka_unit_test(records_of_what_is_held_over_a_stop),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
