/* When what a handler causes leaves: at the commit, in order, to whom it was for; and the credit
 * it holds until then. */
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define ASK "<iq type='get' id='q1'><q xmlns='x:y'/></iq>"

static sv_verdict stored(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_stored(ev);
}

/* --- commit ----------------------------------------------------------------------------------- */

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

/* --- the sender goes -------------------------------------------------------------------------- */

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

/* --- credit ----------------------------------------------------------------------------------- */

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
    for (int i = 0; i < 100; i++)
        say(romeo, "<message to='juliet@example.org'><body>0123456789</body></message>");
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
    for (int i = 0; i < 50; i++)
        say(romeo, "<message to='@'/><iq type='result'/><iq id='x'/><message to='far.example'/>");
    settle(w);
    assert_int_equal(made(w, SVI_RECEIVED), 200);
    HAS_N(romeo, ERROR_OF("jid-malformed"), 50);
    HAS_N(romeo, ERROR_OF("bad-request"), 50);
    BALANCED(w);
    world_free(&w);
}

/* --- sending more ----------------------------------------------------------------------------- */

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
    sending route = {
        .text = "<message id='routed' from='example.org' to='juliet@example.org/balcony'/>",
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

static void got(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    (void)schema;
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
    assert_false(
        sv_str_eq(id, SV_STR("kept"))); /* it is stored: whoever kept it again had it twice */
    ++*(int *)self;
    return SV_PASS;
}

static sv_verdict count_one(sv_event *ev, void *self)
{
    (void)ev;
    ++*(int *)self;
    return SV_PASS;
}

/* The row goes with the stanza, and stays if the stanza never went. */
static void stored_pushes(void **state)
{
    (void)state;
    int unsent = 0, written = 0;
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
    on(w, "session/written", count_one, &written);
    use_handlers(w, w->host);
    tell(romeo, "<iq type='set' id='w'><q xmlns='x:y'/></iq>");
    assert_int_equal(look_up(w, t.map), SV_OK);
    assert_int_equal(written, 0);
    tell(romeo, ASK);
    HAS(juliet, "id='kept'");
    assert_int_equal(look_up(w, t.map), SV_ENOTFOUND);
    assert_int_equal(written, 1);

    tell(romeo, "<iq type='set' id='w2'><q xmlns='x:y'/></iq>");
    pass_time(w, 10000);
    go_deaf(juliet);
    for (int i = 0; i < 100; i++)
        say(romeo, "<message to='juliet@example.org/balcony'><body>0123456789</body></message>");
    settle(w);
    tell(romeo, ASK);
    assert_int_equal(disposed(w, SVI_STORED), 0);
    assert_int_equal(made(w, SVI_MADE_RECOVERED), 2);
    cut(juliet);
    assert_in_range(unsent, 1, 100);
    assert_int_equal(look_up(w, t.map), SV_OK);
    assert_int_equal(disposed(w, SVI_STORED), 1);

    /* and so it is if the session goes before the push is released */
    client *again = join(w, "juliet", "balcony");
    push.to = again;
    hold_disk(w, true);
    tell(romeo, "<iq type='set' id='w3'><q xmlns='x:y'/></iq>" ASK);
    cut(again);
    hold_disk(w, false);
    assert_int_equal(look_up(w, t.map), SV_OK);
    assert_int_equal(disposed(w, SVI_STORED), 2);
    assert_int_equal(written, 1); /* what was never written is not */
    BALANCED(w);
    world_free(&w);
}

/* --- occasions -------------------------------------------------------------------------------- */

static sv_verdict fire_inside(sv_event *ev, void *self)
{
    (void)self;
    svi_xevent *x = svi_xevent_of(ev);
    const sv_jid about = x->from;
    svi_occasion(x->host, SVI_POINT_ROSTER_CHANGED, &about, NULL, NULL,
                 SV_STR("juliet@example.org"), ev);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
