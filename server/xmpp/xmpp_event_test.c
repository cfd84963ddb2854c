/* What handlers do with a stanza: verdicts, waiting, release at commit, credit, what they send. */
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define ASK "<iq type='get' id='q1'><q xmlns='x:y'/></iq>"

/* --- handlers ------------------------------------------------------------------------------------------ */

static sv_verdict send_result(sv_event *ev, void *self)
{
    (void)self;
    sv_draft *payload = svi_x_reply(ev, SV_STR("q"), SV_STR("x:y"));
    svi_draft_attr(payload, SV_STR("seen"), svi_xevent_of(ev)->from.full);
    return svi_x_send(ev);
}

static sv_verdict send_empty(sv_event *ev, void *self)
{
    (void)self;
    assert_null(svi_x_reply(ev, SV_STR_NONE, SV_STR_NONE));
    return svi_x_send(ev);
}

static sv_verdict refuse(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_refuse(ev, SV_FORBIDDEN, SV_STR("not <you>"));
}

static sv_verdict drop(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_drop(ev, "by-the-test");
}

static sv_verdict consume(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_consume(ev);
}

static sv_verdict stored(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_stored(ev);
}

static sv_verdict done_only(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_DONE;
}

/* Waits; the test takes it up again. */
typedef struct waiters {
    sv_event *ev[16];
    size_t count;
} waiters;

static sv_verdict wait_for_test(sv_event *ev, void *self)
{
    waiters *all = self;
    assert_true(all->count < 16);
    all->ev[all->count++] = svi_event_hold(ev);
    return SV_LATER;
}

static void let_all_go(waiters *all)
{
    for (size_t i = 0; i < all->count; i++) svi_event_let_go(&all->ev[i]);
    all->count = 0;
}

typedef struct table {
    svi_map *map;
} table;

static table open_table(world *w)
{
    table t;
    sv_err err;
    assert_int_equal(svi_store_map(svi_server_store(w->server), SV_STR("example.org/test"), 1, &t.map, &err),
                     SV_OK);
    return t;
}

/* Writes a row and passes. */
static sv_verdict write_row(sv_event *ev, void *self)
{
    const table *t = self;
    assert_int_equal(svi_unit_put(svi_event_unit(ev), t->map, SV_STR("romeo"), SV_STR("k"), SV_STR("v")),
                     SV_OK);
    return SV_PASS;
}

static void hold_disk(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    pass_time(w, 10000);
}

/* --- verdicts ------------------------------------------------------------------------------------------ */

static void answers(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    on(w, "iq-get/self", send_result, NULL);
    on(w, "iq-set/self", send_empty, NULL);
    on(w, "iq-get/account", refuse, NULL);
    on(w, "iq-set/account", drop, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    tell(romeo, ASK);
    HAS(romeo, "type='result'");
    HAS(romeo, "id='q1'");
    HAS(romeo, "to='romeo@example.org/orchard'");
    HAS_NOT(romeo, " from='"); /* RFC 6120 8.1.2.1 rule 3 */
    HAS(romeo, "<q xmlns='x:y' seen='romeo@example.org/orchard'/>");
    forget(romeo);
    tell(romeo, "<iq type='set' id='q2' to='romeo@example.org'><q xmlns='x:y'/></iq>");
    HAS(romeo, "from='romeo@example.org'");
    HAS(romeo, "type='result'");
    assert_int_equal(disposed(w, SVI_ANSWERED), 2);
    forget(romeo);
    tell(romeo, "<iq type='get' id='q3' to='juliet@example.org'><q xmlns='x:y'/></iq>");
    HAS(romeo, "<error type='auth'>" ERROR_OF("forbidden"));
    HAS(romeo, "not &lt;you&gt;</text>");
    HAS(romeo, "xml:lang='en'");
    assert_int_equal(disposed(w, SVI_REFUSED), 1);
    forget(romeo);
    /* whatever a handler does, a request is answered once (RFC 6120 8.2.3 rule 3) */
    tell(romeo, "<iq type='set' id='q4' to='juliet@example.org'><q xmlns='x:y'/></iq>");
    HAS(romeo, ERROR_OF("service-unavailable"));
    assert_int_equal(dropped_by(w, "by-the-test"), 1);
    assert_int_equal(made(w, SVI_MADE_ANSWER), 4);
    QUIET(juliet);
    BALANCED(w);
    world_free(&w);
}

static void disposals(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    on(w, "message/account", stored, NULL);
    on(w, "presence/self", consume, NULL);
    on(w, "presence/account", drop, NULL);
    on(w, "message/self", refuse, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    join(w, "juliet", "balcony");
    tell(romeo, "<message to='juliet@example.org'/><presence/><presence to='juliet@example.org'/>");
    QUIET(romeo);
    assert_int_equal(disposed(w, SVI_STORED), 1);
    assert_int_equal(disposed(w, SVI_CONSUMED), 1);
    assert_int_equal(dropped_by(w, "by-the-test"), 1);
    tell(romeo, "<message type='error'><error/></message>"); /* 8.3.1 rule 8: an error has no answer */
    QUIET(romeo);
    assert_int_equal(dropped_by(w, "refused-not-answered"), 1);
    tell(romeo, "<message/>");
    HAS(romeo, ERROR_OF("forbidden"));
    BALANCED(w);
    world_free(&w);
}

/* A module's fault: DONE without a disposal. The peer is told, the stanza is not lost silently. */
static void undisposed(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    svi_ledger_set_strict(svi_server_ledger(w->server), false);
    on(w, "iq-get/self", done_only, NULL);
    on(w, "message/self", done_only, NULL);
    on(w, "presence/self", done_only, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    tell(romeo, ASK "<message/><message type='error'><error/></message><presence/>");
    HAS_N(romeo, ERROR_OF("internal-server-error"), 2);
    assert_int_equal(dropped_by(w, "undisposed"), 2);
    LOGGED("module=tester");
    BALANCED(w);
    world_free(&w);
}

static sv_verdict ask_for_the_impossible(sv_event *ev, void *self)
{
    ++*(int *)self;
    svi_x_pass(ev); /* it does not wait */
    const svi_point point = svi_event_point_now(ev);
    sv_draft *draft = svi_x_reply(ev, SV_STR("q"), SV_STR("x:y"));
    svi_draft_attr(draft, SV_STR("a"), SV_STR("b"));
    if (point == SVI_POINT_SESSION_BOUND) {
        (void)svi_x_send(ev);
        (void)svi_x_refuse(ev, SV_FORBIDDEN, SV_STR_NONE);
        (void)svi_x_drop(ev, "none");
        (void)svi_x_deliver(ev, svi_xevent_of(ev)->session);
        return SV_PASS;
    }
    return svi_x_send(ev); /* a message has no result */
}

/* A module's faults are told and made good; they never take the house down (promise 3). */
static void impossible(void **state)
{
    (void)state;
    int asked = 0;
    world *w = world_new(NULL);
    on(w, "session/bound", ask_for_the_impossible, &asked);
    on(w, "message/self", ask_for_the_impossible, &asked);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    tell(romeo, "<message/>");
    assert_int_equal(asked, 2);
    HAS(romeo, ERROR_OF("internal-server-error"));
    HAS_NOT(romeo, "type='result'");
    LOGGED("only a waiting event is passed on");
    LOGGED("a result answers a get or set");
    LOGGED("there is nothing to deliver");
    BALANCED(w);
    world_free(&w);
}

/* --- waiting ------------------------------------------------------------------------------------------- */

static void lanes(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "iq-get/account", wait_for_test, &all);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    client *nurse = join(w, "nurse", "room");
    tell(romeo, "<iq type='get' id='w' to='juliet@example.org'><q xmlns='x:y'/></iq>"
                "<message id='m1' to='juliet@example.org/balcony'/>"
                "<iq type='result' id='r1' to='juliet@example.org/balcony'/>"
                "<message id='m2' to='nurse@example.org/room'/>"
                "<message id='m3' to='juliet@example.org/balcony'/>");
    assert_int_equal(all.count, 1);
    HAS(nurse, "id='m2'");  /* another lane */
    HAS(juliet, "id='r1'"); /* an answer never waits (RFC 6120 10.1 is about what is to be processed in order) */
    HAS_NOT(juliet, "<message");
    tell(nurse, "<message id='m4' to='juliet@example.org/balcony'/>"); /* another sender */
    HAS(juliet, "id='m4'");
    forget(juliet);
    svi_x_reply(all.ev[0], SV_STR("q"), SV_STR("x:y"));
    svi_x_send(all.ev[0]);
    let_all_go(&all);
    settle(w);
    HAS(romeo, "type='result'");
    svi_buf_putc(&juliet->in, '\0');
    assert_true(strstr(juliet->in.data, "m1") < strstr(juliet->in.data, "m3"));
    BALANCED(w);
    world_free(&w);
}

static void late_verdicts(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "message/account", wait_for_test, &all);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    client *attic = join(w, "juliet", "attic");
    for (int i = 0; i < 6; i++) {
        char text[96];
        snprintf(text, sizeof text, "<message id='m%d' type='chat' to='juliet@example.org'/>", i);
        tell(romeo, text);
    }
    assert_int_equal(all.count, 1); /* one lane */
    svi_x_refuse(all.ev[0], SV_CONFLICT, SV_STR_NONE);
    assert_int_equal(all.count, 2);
    assert_false(svi_event_is_open(all.ev[0]));
    svi_x_drop(all.ev[1], "by-the-test");
    svi_x_stored(all.ev[2]);
    svi_x_consume(all.ev[3]);
    svi_x_pass(all.ev[4]); /* nobody behind it: the default */
    /* to several: the wait ends when this returns to the server */
    svi_x_deliver(all.ev[5], juliet->session);
    svi_x_deliver(all.ev[5], attic->session);
    assert_true(svi_event_is_open(all.ev[5]));
    settle(w);
    assert_false(svi_event_is_open(all.ev[5]));
    let_all_go(&all);
    HAS(romeo, ERROR_OF("conflict"));
    HAS(romeo, ERROR_OF("service-unavailable"));
    HAS(juliet, "id='m5'");
    HAS(attic, "id='m5'");
    HAS(attic, "to='juliet@example.org'"); /* RFC 6121 8.5.2.1.1: not rewritten */
    assert_int_equal(made(w, SVI_MADE_COPY), 1);
    BALANCED(w);
    world_free(&w);
}

static void deadlines(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "iq-get/self", wait_for_test, &all);
    on(w, "message/account", wait_for_test, &all);
    on(w, "presence/self", wait_for_test, &all);
    on(w, "iq-get/remote", wait_for_test, &all);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    join(w, "juliet", "balcony");
    tell(romeo, ASK "<message to='juliet@example.org'/>"
                    "<iq type='get' id='f' to='far.example'><q xmlns='x:y'/></iq>");
    QUIET(romeo);
    pass_time(w, 59000000);
    QUIET(romeo);
    pass_time(w, 2000000);
    HAS_N(romeo, ERROR_OF("internal-server-error"), 2);
    HAS(romeo, ERROR_OF("remote-server-timeout"));
    for (size_t i = 0; i < all.count; i++) assert_false(svi_event_is_open(all.ev[i]));
    let_all_go(&all);
    tell(romeo, "<presence/>");
    pass_time(w, 61000000);
    assert_int_equal(dropped_by(w, "timeout"), 1);
    let_all_go(&all);
    BALANCED(w);
    world_free(&w);
}

/* --- commit -------------------------------------------------------------------------------------------- */

/* Promise 1: what confirms a write leaves after it is on disk. */
static void answer_waits_for_commit(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    on(w, "iq-get/self", write_row, &t);
    on(w, "iq-get/self", send_result, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    hold_disk(w, true);
    tell(romeo, ASK);
    QUIET(romeo);
    pass_time(w, 1000000);
    QUIET(romeo);
    hold_disk(w, false);
    HAS(romeo, "type='result'");
    BALANCED(w);
    world_free(&w);
}

/* Architecture 3.5: the exception, and what it excepts. */
static void message_goes_at_once(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    on(w, "message/out", write_row, &t);
    on(w, "presence/out", write_row, &t);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    hold_disk(w, true);
    tell(romeo, "<message id='m1' to='juliet@example.org/balcony'/>");
    HAS(juliet, "id='m1'");
    tell(romeo, "<message id='m2' type='groupchat' to='juliet@example.org/balcony'/>"
                "<presence id='p3' to='juliet@example.org/balcony'/>"
                "<message id='m4' to='juliet@example.org/balcony'/>");
    HAS_NOT(juliet, "m2");
    HAS_NOT(juliet, "p3");
    HAS_NOT(juliet, "m4"); /* the lane's order is kept (RFC 6120 10.1) */
    hold_disk(w, false);
    HAS(juliet, "id='m2'");
    HAS(juliet, "id='p3'");
    HAS(juliet, "id='m4'");
    BALANCED(w);
    world_free(&w);
}

/* What waited for a commit finds its session gone: as if it had been gone when it came. */
static void recipient_gone_before_commit(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    on(w, "iq-get/resource", write_row, &t);
    on(w, "presence/resource", write_row, &t);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    hold_disk(w, true);
    tell(romeo, "<iq type='get' id='q' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>"
                "<presence to='juliet@example.org/balcony'/>");
    cut(juliet);
    hold_disk(w, false);
    HAS(romeo, ERROR_OF("service-unavailable"));
    BALANCED(w);
    world_free(&w);
}

static void stopped_before_commit(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    table t = open_table(w);
    on(w, "message/resource", write_row, &t);
    on(w, "message/self", wait_for_test, &all);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    join(w, "juliet", "balcony");
    hold_disk(w, true);
    tell(romeo, "<message type='groupchat' to='juliet@example.org/balcony'/><message/><message/>");
    assert_int_equal(all.count, 1);
    svi_event_let_go(&all.ev[0]);
    world_free(&w); /* everything is accounted for, nothing leaks */
}

/* --- the sender goes ----------------------------------------------------------------------------------- */

static void sender_gone_while_waiting(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "iq-get/self", wait_for_test, &all);
    on(w, "iq-set/account", wait_for_test, &all);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    tell(romeo, ASK "<iq type='set' id='q2' to='juliet@example.org'><q xmlns='x:y'/></iq>"
                    "<message id='m1' to='juliet@example.org/balcony'/>");
    assert_int_equal(all.count, 2);
    assert_ptr_equal(svi_xevent_of(all.ev[0])->session, romeo->session);
    cut(romeo);
    assert_null(romeo->session);
    assert_null(svi_xevent_of(all.ev[0])->session);
    client *again = join(w, "romeo", "orchard"); /* not the one that asked */
    svi_x_reply(all.ev[0], SV_STR("q"), SV_STR("x:y"));
    svi_x_send(all.ev[0]);
    svi_x_refuse(all.ev[1], SV_FORBIDDEN, SV_STR_NONE);
    let_all_go(&all);
    settle(w);
    QUIET(again);
    HAS(juliet, "id='m1'"); /* what it sent before is still passed on */
    assert_int_equal(dropped_by(w, "session-gone"), 2);
    BALANCED(w);
    world_free(&w);
}

static void sender_gone_before_commit(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    on(w, "iq-get/self", write_row, &t);
    on(w, "iq-get/self", send_result, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    hold_disk(w, true);
    tell(romeo, ASK ASK);
    cut(romeo);
    hold_disk(w, false);
    assert_int_equal(dropped_by(w, "session-gone"), 2);
    BALANCED(w);
    world_free(&w);
}

/* --- credit -------------------------------------------------------------------------------------------- */

/* Architecture 3.2: what is not done holds its sender's credit, and only its sender's. */
static void credit(void **state)
{
    (void)state;
    svi_limits limits = svi_limits_default();
    limits.credit_bytes = 4000;
    world *w = world_new(&limits);
    table t = open_table(w);
    on(w, "message/account", write_row, &t);
    on(w, "message/account", stored, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    hold_disk(w, true);
    for (int i = 0; i < 100; i++) say(romeo, "<message to='juliet@example.org'><body>0123456789</body></message>");
    settle(w);
    const uint64_t let_in = made(w, SVI_RECEIVED);
    assert_in_range(let_in, 1, 20);
    tell(juliet, "<message to='romeo@example.org/orchard'><body>I may</body></message>");
    HAS(romeo, "<body>I may</body>");
    assert_int_equal(made(w, SVI_RECEIVED), let_in + 1);
    for (int i = 0; i < 100 && made(w, SVI_RECEIVED) < 101; i++) {
        svi_engine_sim_step(w->engine, 1);
        pass_time(w, 10000);
    }
    hold_disk(w, false);
    assert_int_equal(made(w, SVI_RECEIVED), 101);
    assert_int_equal(disposed(w, SVI_STORED), 100);
    BALANCED(w);
    world_free(&w);
}

/* What is refused before any hook gives its credit back too. */
static void credit_of_the_refused(void **state)
{
    (void)state;
    svi_limits limits = svi_limits_default();
    limits.credit_bytes = 2000;
    world *w = world_new(&limits);
    client *romeo = join(w, "romeo", "orchard");
    for (int i = 0; i < 50; i++) say(romeo, "<message to='@'/><iq type='result'/><iq id='x'/><message to='far.example'/>");
    settle(w);
    assert_int_equal(made(w, SVI_RECEIVED), 200);
    HAS_N(romeo, ERROR_OF("jid-malformed"), 50);
    HAS_N(romeo, ERROR_OF("bad-request"), 50);
    BALANCED(w);
    world_free(&w);
}

/* --- sending more -------------------------------------------------------------------------------------- */

typedef struct sending {
    client *to;
    const char *text;
    bool by_route;
    svi_map *map; /* push_stored */
} sending;

static sv_verdict send_more(sv_event *ev, void *self)
{
    const sending *s = self;
    svi_xevent *x = svi_xevent_of(ev);
    sv_stanza *stanza;
    sv_err err;
    assert_int_equal(svi_stanza_parse(svi_server_acct(x->server), svi_server_atoms(x->server), sv_str_of(s->text),
                                      SV_STR(SVI_NS_CLIENT), &stanza, &err),
                     SV_OK);
    if (s->by_route) svi_x_route(ev, stanza);
    else if (s->map != NULL)
        svi_x_push_stored(ev, s->to->session, stanza, s->map, SV_STR("romeo"), SV_STR("k"));
    else svi_x_push(ev, s->to->session, stanza, SVI_MADE_PUSH);
    svi_stanza_unref(&stanza);
    return SV_PASS;
}

static sv_verdict note_point(sv_event *ev, void *self)
{
    snprintf(self, 64, "%s", svi_point_name(svi_event_point_now(ev)));
    return SV_PASS;
}

static void pushes_and_routes(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    sending push = {.to = juliet, .text = "<iq type='set' id='push'><q xmlns='x:y'/></iq>"};
    sending route = {.text = "<message id='routed' from='example.org' to='juliet@example.org/balcony'/>",
                     .by_route = true};
    char point[64] = "";
    on(w, "iq-get/self", write_row, &t);
    on(w, "iq-get/self", send_more, &push);
    on(w, "iq-get/self", send_more, &route);
    on(w, "iq-get/self", send_result, NULL);
    on(w, "message/resource", note_point, point);
    use_handlers(w, w->host);
    hold_disk(w, true);
    tell(romeo, ASK);
    QUIET(juliet);
    QUIET(romeo);
    assert_string_equal(point, "");
    hold_disk(w, false);
    HAS(juliet, "id='push'");
    HAS(juliet, "<iq to='juliet@example.org/balcony'"); /* RFC 6120 8.1.1.1 */
    HAS(juliet, "id='routed'");
    assert_string_equal(point, "message/resource");
    svi_buf_putc(&juliet->in, '\0');
    assert_true(strstr(juliet->in.data, "push") < strstr(juliet->in.data, "routed"));
    HAS(romeo, "type='result'");
    assert_int_equal(made(w, SVI_MADE_PUSH), 2);
    /* the session goes between push and commit */
    hold_disk(w, true);
    forget(romeo);
    tell(romeo, ASK);
    cut(juliet);
    hold_disk(w, false);
    HAS(romeo, "type='result'");
    assert_int_equal(dropped_by(w, "session-gone"), 1);
    BALANCED(w);
    world_free(&w);
}

static void got(void *ctx, sv_status status, sv_str value)
{
    (void)value;
    *(sv_status *)ctx = status;
}

static sv_status look_up(world *w, svi_map *map)
{
    sv_status status = SV_EBUSY;
    svi_store_get(map, SV_STR("romeo"), SV_STR("k"), got, &status);
    pass_time(w, 10000);
    return status;
}

static sv_verdict not_the_kept(sv_event *ev, void *self)
{
    const sv_str id = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("id"));
    assert_false(sv_str_eq(id, SV_STR("kept"))); /* it is stored: whoever kept it again had it twice */
    ++*(int *)self;
    return SV_PASS;
}

/* The row goes with the stanza, and stays if the stanza never went. */
static void stored_pushes(void **state)
{
    (void)state;
    int unsent = 0;
    world *w = world_new(NULL);
    table t = open_table(w);
    client *romeo = join(w, "romeo", "orchard");
    w->link_bytes = 2048;
    client *juliet = join(w, "juliet", "balcony");
    sending push = {.to = juliet, .text = "<message id='kept'/>", .map = t.map};
    on(w, "iq-get/self", send_more, &push);
    on(w, "iq-get/self", send_result, NULL);
    on(w, "iq-set/self", write_row, &t);
    on(w, "iq-set/self", send_empty, NULL);
    on(w, "session/unsent", not_the_kept, &unsent);
    use_handlers(w, w->host);
    tell(romeo, "<iq type='set' id='w'><q xmlns='x:y'/></iq>");
    assert_int_equal(look_up(w, t.map), SV_OK);
    tell(romeo, ASK);
    HAS(juliet, "id='kept'");
    assert_int_equal(look_up(w, t.map), SV_ENOTFOUND);

    tell(romeo, "<iq type='set' id='w2'><q xmlns='x:y'/></iq>");
    go_deaf(juliet);
    for (int i = 0; i < 100; i++) say(romeo, "<message to='juliet@example.org/balcony'><body>0123456789</body></message>");
    settle(w);
    tell(romeo, ASK);
    cut(juliet);
    assert_in_range(unsent, 1, 100);
    assert_int_equal(look_up(w, t.map), SV_OK);
    assert_int_equal(made(w, SVI_MADE_RECOVERED), 2);
    assert_int_equal(disposed(w, SVI_STORED), 1);
    BALANCED(w);
    world_free(&w);
}

/* --- occasions and edits ------------------------------------------------------------------------------- */

static sv_verdict fire_inside(sv_event *ev, void *self)
{
    (void)self;
    svi_xevent *x = svi_xevent_of(ev);
    const sv_jid about = x->from;
    svi_occasion(x->host, SVI_POINT_ROSTER_CHANGED, &about, NULL, NULL, SV_STR("juliet@example.org"), ev);
    return SV_PASS;
}

typedef struct occasion_seen {
    int count;
    char from[64], subject[64];
    sending push;
} occasion_seen;

static sv_verdict see_occasion(sv_event *ev, void *self)
{
    occasion_seen *seen = self;
    const svi_xevent *x = svi_xevent_of(ev);
    seen->count++;
    snprintf(seen->from, sizeof seen->from, "%.*s", (int)x->from.full.n, x->from.full.p);
    snprintf(seen->subject, sizeof seen->subject, "%.*s", (int)x->subject.n, x->subject.p);
    return seen->push.text != NULL ? send_more(ev, &seen->push) : SV_PASS;
}

/* An occasion inside an event shares its commit and the order of what it sends. */
static void occasion_inside(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    table t = open_table(w);
    client *romeo = join(w, "romeo", "orchard");
    occasion_seen seen = {.push = {.to = romeo, .text = "<message id='from-inside'/>"}};
    on(w, "iq-get/self", write_row, &t);
    on(w, "iq-get/self", fire_inside, NULL);
    on(w, "iq-get/self", send_result, NULL);
    on(w, "roster/changed", see_occasion, &seen);
    use_handlers(w, w->host);
    hold_disk(w, true);
    tell(romeo, ASK);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.from, "romeo@example.org/orchard");
    assert_string_equal(seen.subject, "juliet@example.org");
    QUIET(romeo);
    hold_disk(w, false);
    HAS(romeo, "from-inside");
    svi_buf_putc(&romeo->in, '\0');
    assert_true(strstr(romeo->in.data, "from-inside") < strstr(romeo->in.data, "type='result'"));
    BALANCED(w);
    world_free(&w);
}

static sv_verdict shout(sv_event *ev, void *self)
{
    (void)self;
    svi_xevent *x = svi_xevent_of(ev);
    const svi_attr_set set = {.name = SV_STR("loud"), .value = SV_STR("yes")};
    const svi_edit edit = {.attrs = &set, .attr_count = 1};
    sv_stanza *changed =
        svi_stanza_edit(svi_server_acct(x->server), svi_server_atoms(x->server), svi_event_stanza(ev), &edit);
    svi_x_replace(ev, changed);
    svi_stanza_unref(&changed);
    return SV_PASS;
}

static void replaced(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    on(w, "stanza/inbound", shout, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    tell(romeo, "<message type='chat' to='juliet@example.org/balcony'/>");
    HAS(juliet, "loud='yes'");
    HAS(juliet, "from='romeo@example.org/orchard'");
    BALANCED(w);
    world_free(&w);
}

static void conditions(void **state)
{
    (void)state;
    /* RFC 6120 8.3.3: a few of each type */
    assert_string_equal(svi_cond_name(SV_BAD_REQUEST), "bad-request");
    assert_string_equal(svi_cond_type(SV_BAD_REQUEST), "modify");
    assert_string_equal(svi_cond_type(SV_FORBIDDEN), "auth");
    assert_string_equal(svi_cond_type(SV_GONE), "cancel");
    assert_string_equal(svi_cond_type(SV_RECIPIENT_UNAVAILABLE), "wait");
    assert_string_equal(svi_cond_type(SV_REDIRECT), "modify");
    assert_string_equal(svi_cond_type(SV_REGISTRATION_REQUIRED), "auth");
    assert_string_equal(svi_cond_type(SV_RESOURCE_CONSTRAINT), "wait");
    assert_string_equal(svi_cond_name(SV_UNEXPECTED_REQUEST), "unexpected-request");
    assert_string_equal(svi_cond_name((sv_cond)99), "undefined-condition"); /* of a later release */
    assert_string_equal(svi_cond_name((sv_cond)0), "undefined-condition");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(disposals),
        cmocka_unit_test(undisposed),
        cmocka_unit_test(impossible),
        cmocka_unit_test(lanes),
        cmocka_unit_test(late_verdicts),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(answer_waits_for_commit),
        cmocka_unit_test(message_goes_at_once),
        cmocka_unit_test(recipient_gone_before_commit),
        cmocka_unit_test(stopped_before_commit),
        cmocka_unit_test(sender_gone_while_waiting),
        cmocka_unit_test(sender_gone_before_commit),
        cmocka_unit_test(credit),
        cmocka_unit_test(credit_of_the_refused),
        cmocka_unit_test(pushes_and_routes),
        cmocka_unit_test(stored_pushes),
        cmocka_unit_test(occasion_inside),
        cmocka_unit_test(replaced),
        cmocka_unit_test(conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
