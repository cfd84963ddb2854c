/* What handlers do with a stanza: verdicts, faults, waiting, deadlines, edits. */
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define ASK "<iq type='get' id='q1'><q xmlns='x:y'/></iq>"

/* --- handlers --------------------------------------------------------------------------------- */

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

/* --- verdicts --------------------------------------------------------------------------------- */

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
    tell(romeo,
         "<message type='error'><error/></message>"); /* 8.3.1 rule 8: an error has no answer */
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
    svi_ledger_set_strict(svi_server_ledger(w->server), false); /* as in production */
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

/* --- waiting ---------------------------------------------------------------------------------- */

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
    HAS(juliet, "id='r1'"); /* an answer never waits */
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

/* Where it goes is decided when the sender's side is done with it. */
static void recipient_comes_and_goes(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    add_account(w, w->host, "juliet");
    on(w, "message/out", wait_for_test, &all);
    on(w, "message/account", stored, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    tell(romeo, "<message id='m1' to='juliet@example.org/balcony'/>");
    pass_time(w, 10000);
    assert_int_equal(all.count, 1);
    client *juliet = join(w, "juliet", "balcony");
    svi_x_pass(all.ev[0]);
    settle(w);
    HAS(juliet, "id='m1'");
    tell(romeo, "<message id='m2' to='juliet@example.org/balcony'/>");
    cut(juliet);
    svi_x_pass(all.ev[1]);
    settle(w);
    assert_int_equal(disposed(w, SVI_STORED), 1);
    let_all_go(&all);
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

/* --- edits ------------------------------------------------------------------------------------ */

static sv_verdict shout(sv_event *ev, void *self)
{
    (void)self;
    svi_xevent *x = svi_xevent_of(ev);
    const svi_attr_set set = {.name = SV_STR("loud"), .value = SV_STR("yes")};
    const svi_edit edit = {.attrs = &set, .attr_count = 1};
    sv_stanza *changed = svi_stanza_edit(svi_server_acct(x->server), svi_server_atoms(x->server),
                                         svi_event_stanza(ev), &edit);
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

static sv_verdict redirect(sv_event *ev, void *self)
{
    svi_xevent *x = svi_xevent_of(ev);
    const svi_attr_set set = {.name = SV_STR("to"), .value = sv_str_of(self)};
    const svi_edit edit = {.attrs = &set, .attr_count = 1};
    sv_stanza *changed = svi_stanza_edit(svi_server_acct(x->server), svi_server_atoms(x->server),
                                         svi_event_stanza(ev), &edit);
    svi_x_replace(ev, changed);
    svi_stanza_unref(&changed);
    return SV_PASS;
}

/* A handler of the sender's side may send it elsewhere (decision 001). */
static void redirected(void **state)
{
    (void)state;
    char to[64];
    world *w = world_new(NULL);
    add_account(w, w->host, "tybalt");
    on(w, "message/out", redirect, to);
    on(w, "message/account", stored, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    client *nurse = join(w, "nurse", "room");
    const char *message = "<message to='nurse@example.org/room'><body>x</body></message>";
    snprintf(to, sizeof to, "juliet@example.org/balcony");
    tell(romeo, message);
    HAS(juliet, "to='juliet@example.org/balcony'");
    snprintf(to, sizeof to, "a@far.example");
    tell(romeo, message);
    HAS(romeo, ERROR_OF("remote-server-not-found"));
    snprintf(to, sizeof to, "juliet@example.org");
    tell(romeo, message);
    assert_int_equal(disposed(w, SVI_STORED), 1);
    snprintf(to, sizeof to, "tybalt@example.org"); /* must be looked up first */
    tell(romeo, message);
    assert_int_equal(disposed(w, SVI_STORED), 2);
    forget(romeo);
    snprintf(to, sizeof to, "nobody@example.org");
    tell(romeo, message);
    HAS(romeo, ERROR_OF("service-unavailable"));
    HAS(romeo, "from='nobody@example.org'");
    QUIET(nurse);
    snprintf(to, sizeof to, "@"); /* a fault: it goes where it was to go */
    tell(romeo, message);
    LOGGED("valid recipient");
    HAS(nurse, "<body>x</body>");
    BALANCED(w);
    world_free(&w);
}

static void conditions(void **state)
{
    (void)state;
    /* RFC 6120 8.3.3.1 to 8.3.3.22, in its order */
    static const struct {
        sv_cond cond;
        const char *name, *type;
    } all[] = {
        {SV_BAD_REQUEST, "bad-request", "modify"},
        {SV_CONFLICT, "conflict", "cancel"},
        {SV_FEATURE_NOT_IMPLEMENTED, "feature-not-implemented", "cancel"},
        {SV_FORBIDDEN, "forbidden", "auth"},
        {SV_GONE, "gone", "cancel"},
        {SV_INTERNAL_SERVER_ERROR, "internal-server-error", "cancel"},
        {SV_ITEM_NOT_FOUND, "item-not-found", "cancel"},
        {SV_JID_MALFORMED, "jid-malformed", "modify"},
        {SV_NOT_ACCEPTABLE, "not-acceptable", "modify"},
        {SV_NOT_ALLOWED, "not-allowed", "cancel"},
        {SV_NOT_AUTHORIZED, "not-authorized", "auth"},
        {SV_POLICY_VIOLATION, "policy-violation", "modify"},
        {SV_RECIPIENT_UNAVAILABLE, "recipient-unavailable", "wait"},
        {SV_REDIRECT, "redirect", "modify"},
        {SV_REGISTRATION_REQUIRED, "registration-required", "auth"},
        {SV_REMOTE_SERVER_NOT_FOUND, "remote-server-not-found", "cancel"},
        {SV_REMOTE_SERVER_TIMEOUT, "remote-server-timeout", "wait"},
        {SV_RESOURCE_CONSTRAINT, "resource-constraint", "wait"},
        {SV_SERVICE_UNAVAILABLE, "service-unavailable", "cancel"},
        {SV_SUBSCRIPTION_REQUIRED, "subscription-required", "auth"},
        {SV_UNDEFINED_CONDITION, "undefined-condition", "cancel"},
        {SV_UNEXPECTED_REQUEST, "unexpected-request", "wait"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_string_equal(svi_cond_name(all[i].cond), all[i].name);
        assert_string_equal(svi_cond_type(all[i].cond), all[i].type);
    }
    assert_string_equal(svi_cond_name((sv_cond)99), "undefined-condition"); /* of a later release */
    assert_string_equal(svi_cond_name((sv_cond)0), "undefined-condition");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),       cmocka_unit_test(disposals),
        cmocka_unit_test(undisposed),    cmocka_unit_test(impossible),
        cmocka_unit_test(lanes),         cmocka_unit_test(recipient_comes_and_goes),
        cmocka_unit_test(late_verdicts), cmocka_unit_test(deadlines),
        cmocka_unit_test(replaced),      cmocka_unit_test(redirected),
        cmocka_unit_test(conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
