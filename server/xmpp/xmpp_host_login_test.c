/* What streams hear whose host is removed or changed before and after they have logged in. */
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_stream_testing.h"

#define ANONYMOUS "<auth xmlns='" SASL_NS "' mechanism='ANONYMOUS'/>"

static void serve(world *w, svi_logins logins)
{
    svi_host_serve(w->host, &(svi_host_config){.logins = logins, .guests_max = 10});
}

/* RFC 6120 4.9.3.5: no longer serviced; 4.9.3.6: never was. */
static void a_host_that_is_gone(void **state)
{
    (void)state;
    world *w = world_new((setting){.mode = SVI_TLS_NONE});
    svi_host_retire(w->host);
    client *c = opened(w);
    assert_failed(w, c, "host-gone");
    c = client_new(w);
    say(w, c, STREAM_TO("never.test"));
    assert_failed(w, c, "host-unknown");
    svi_host *host;
    assert_int_equal(svi_host_prepare(w->server, SV_STR("never.test"), &host, NULL), SV_OK);
    c = client_new(w); /* prepared for a reload that was refused */
    say(w, c, STREAM_TO("never.test"));
    assert_failed(w, c, "host-unknown");
    serve(w, SVI_LOGINS_ACCOUNTS);
    (void)bound(w, "back");
    world_free(w);
}

/* At each step of the negotiation. */
static void it_goes_during_a_login(void **state)
{
    (void)state;
    for (int step = 0; step < 4; step++) {
        world *w = world_new((setting){.mode = SVI_TLS_NONE});
        client *c = opened(w);
        if (step == 1) say_auth(w, c, "romeo");
        if (step >= 2) assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
        if (step == 3) say(w, c, STREAM);
        svi_host_retire(w->host);
        run(w);
        if (step == 0) say_auth(w, c, "romeo");
        if (step == 1) say(w, c, "<response xmlns='" SASL_NS "'/>");
        if (step == 2) say(w, c, STREAM);
        if (step == 3)
            say(w, c, "<iq type='set' id='b'><bind xmlns='" BIND_NS "'/></iq>");
        assert_has(svi_arena_str(w->arena, svi_buf_str(&c->in)).p, "<host-gone xmlns=");
        assert_ended(w, c);
        assert_int_equal(svi_session_count(w->server), 0);
        world_free(w);
    }
}

static client *guest(world *w)
{
    client *c = opened(w);
    say(w, c, sasl_text(w, "auth", " mechanism='ANONYMOUS'", SV_STR("x")));
    assert_has(heard(w, c), "<success");
    say(w, c, STREAM);
    assert_has(bind_resource(w, c, "g"), "type='result'");
    return c;
}

/* Who could not log in now does not stay; the others do. */
static void logins_change(void **state)
{
    (void)state;
    world *w = world_new((setting){.logins = SVI_LOGINS_BOTH, .guests_max = 10});
    client *user = bound(w, "u"), *visitor = guest(w);
    serve(w, SVI_LOGINS_ACCOUNTS);
    run(w);
    assert_has(heard(w, visitor), "<reset xmlns=");
    assert_ended(w, visitor);
    assert_int_equal(svi_session_count(w->server), 1);
    say(w, user, "<iq type='get' id='i' to='localhost'><q xmlns='x:y'/></iq>");
    assert_has(heard(w, user), "service-unavailable");
    serve(w, SVI_LOGINS_GUESTS);
    run(w);
    assert_has(heard(w, user), "<reset xmlns=");
    assert_ended(w, user);
    (void)guest(w);
    world_free(w);
}

/* A guest's name stays a guest's, so that nothing is stored for it. */
static void guests_stay_known(void **state)
{
    (void)state;
    world *w = world_new((setting){.logins = SVI_LOGINS_BOTH, .guests_max = 10});
    char name[SVI_GUEST_NAME_BYTES + 1];
    svi_guest_name(w->host, name);
    serve(w, SVI_LOGINS_ACCOUNTS);
    assert_true(svi_guest_is(w->host, sv_str_of(name)));
    assert_false(svi_guest_is(w->host, SV_STR("romeo")));
    world_free(w);
}

/* The change comes between two steps of a login. */
static void logins_change_during_a_login(void **state)
{
    (void)state;
    world *w = world_new((setting){.logins = SVI_LOGINS_BOTH, .guests_max = 10});
    client *visitor = opened(w), *user = opened(w), *late = opened(w);
    say(w, visitor, ANONYMOUS);
    assert_has(heard(w, visitor), "<challenge"); /* whose response makes a guest */
    assert_has(authenticate(w, late, "romeo", "rosaline"), "<success");
    serve(w, SVI_LOGINS_ACCOUNTS);
    say(w, visitor, "<response xmlns='" SASL_NS "'/>");
    assert_has(heard(w, visitor), "<not-authorized/>");
    log_in(w, user, "romeo", "rosaline");
    serve(w, SVI_LOGINS_GUESTS);
    say(w, late, STREAM);
    assert_has(heard(w, late), "<reset xmlns=");
    assert_has(bind_resource(w, user, "u"), "<reset xmlns=");
    world_free(w);
}

int main(void)
{
    make_certificate();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_is_gone),   cmocka_unit_test(it_goes_during_a_login),
        cmocka_unit_test(logins_change),         cmocka_unit_test(guests_stay_known),
        cmocka_unit_test(logins_change_during_a_login),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
