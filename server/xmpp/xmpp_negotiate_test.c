/* Tests of negotiation: headers, each stream error, what may come when, resource binding. */
#include "xmpp/xmpp_stream_testing.h"

/* --- stream errors --------------------------------------------------------------------------- */

/* What ends a stream while its header is due. */
static const bad bad_headers[] = {
    {"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
     "xmlns:stream='http://wrong.test/'>",
     "invalid-namespace"},
    {"<stream xmlns='jabber:client' to='localhost' version='1.0'>", "invalid-namespace"},
    {"<stream:open to='localhost' version='1.0' xmlns='jabber:client' "
     "xmlns:stream='http://etherx.jabber.org/streams'>",
     "bad-format"},
    {"<stream:stream to='localhost' version='1.0' xmlns='jabber:server' "
     "xmlns:stream='http://etherx.jabber.org/streams'>",
     "invalid-namespace"},
    {HEADER("version='1.0'"), "improper-addressing"},
    {HEADER("to='' version='1.0'"), "improper-addressing"},
    {HEADER("to='local host' version='1.0'"), "improper-addressing"},
    {HEADER("to='localhost/' version='1.0'"), "improper-addressing"},
    {HEADER("to='localhost' from='a@@b' version='1.0'"), "improper-addressing"},
    {HEADER("to='elsewhere.test' version='1.0'"), "host-unknown"},
    {HEADER("to='romeo@localhost' version='1.0'"), "host-unknown"},
    {HEADER("to='localhost/x' version='1.0'"), "host-unknown"},
    {HEADER("to='localhost'"), "unsupported-version"},
    {HEADER("to='elsewhere.test'"), "host-unknown"},
    {HEADER("to='localhost' version='0.9'"), "unsupported-version"},
    {HEADER("to='localhost' version='one'"), "unsupported-version"},
    {HEADER("to='localhost' version='1'"), "unsupported-version"},
    {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"},
    {"<stream:stream to='localhost'", NULL},
    {"<a><b></a>", NULL},
    {"<!DOCTYPE a [<!ENTITY b 'c'>]><a>", "restricted-xml"},
    {"<!-- x -->" STREAM, "restricted-xml"},
    {"\xff\xfe<\0s\0", "unsupported-encoding"},
    {"<?xml version='1.0' encoding='ISO-8859-1'?>" HEADER("to='localhost' version='1.0'"),
     "unsupported-encoding"},
};

static void refuses_bad_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = client_new(w);
        say(w, c, bad_headers[i].said);
        if (bad_headers[i].error) {
            assert_failed(w, c, bad_headers[i].error);
            const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
            assert_int_equal(count_of(all, "<stream:stream "), 1);
            assert_has(all, " from='localhost'");
            /* RFC 6120 4.7.5: no version for one that has none */
            const bool is_old = strstr(bad_headers[i].said, "version='1.0'") == NULL &&
                                strstr(bad_headers[i].said, "xmlns") != NULL;
            assert_int_equal(count_of(all, " version='1.0' xml:lang"), is_old ? 0 : 1);
        }
        world_free(w);
    }
}

/* A version above ours is answered with ours; leading zeros count for nothing (RFC 6120 4.7.5).
 * Without a content namespace the elements bring their own (4.8.2). */
static void answers_other_headers(void **state)
{
    (void)state;
    static const char *const versions[] = {
        "<stream xmlns='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
        HEADER("to='localhost' version='1.1'"), HEADER("to='localhost' version='2.13'"),
        HEADER("to='LOCALHOST.' version='01.00'"),
        /* any prefix that means the namespace (4.8.5) */
        "<s:stream to='localhost' version='1.0' xmlns='jabber:client' "
        "xmlns:s='http://etherx.jabber.org/streams'>",
        /* 4.7.3: an id of the peer's is nothing; 4.7.4: of languages we know one */
        HEADER("to='localhost' version='1.0' id='mine' xml:lang='en-GB'"),
        HEADER("to='localhost' version='1.0' xml:lang='en'"),
        HEADER("to='localhost' version='1.0' xml:lang='cs'")};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = client_new(w);
        say(w, c, versions[i]);
        const char *answer = heard(w, c);
        assert_has(answer, " version='1.0' xml:lang='en'><stream:features><mechanisms");
        assert_lacks(answer, "mine");
        assert_lacks(answer, "<bind");
        world_free(w);
    }
}

/* What ends a stream whose header was answered, before login. */
static const bad bad_before_login[] = {
    {"<message to='romeo@localhost'><body>x</body></message>", "not-authorized"},
    {"<presence/>", "not-authorized"},
    {"<iq type='set' id='1'><bind xmlns='" BIND_NS "'/></iq>", "not-authorized"},
    {"<iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:auth'/></iq>", "not-authorized"},
    {"<message xmlns='jabber:server' to='romeo@localhost'/>", "invalid-namespace"},
    {"<pubsub/>", "unsupported-stanza-type"},
    {"<a xmlns='b'/>", "unsupported-stanza-type"},
    {"<message xmlns='b'/>", "unsupported-stanza-type"},
    {"<success xmlns='" SASL_NS "'/>", "not-authorized"},
    {"<proceed xmlns='" TLS_NS "'/>", "not-authorized"},
    {"<stream:features/>", "unsupported-stanza-type"},
    {"<stream:stream></stream:stream>", "not-authorized"},
    {"<x:message xmlns:x='jabber:client'/>", "bad-namespace-prefix"},
    {"<message><body></message>", "not-well-formed"},
    {"<message>\xff</message>", "not-well-formed"},
    {"<a xmlns='b'><!-- c --></a>", "restricted-xml"},
    {"<?php x ?>", "restricted-xml"},
    {"<a xmlns='b'>&undeclared;</a>", NULL},
};

static void refuses_what_comes_before_login(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_before_login / sizeof bad_before_login[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = opened(w);
        say(w, c, bad_before_login[i].said);
        assert_true(svi_session_count(w->server) == 0);
        if (bad_before_login[i].error)
            assert_failed(w, c, bad_before_login[i].error);
        else
            assert_ended(w, c);
        world_free(w);
    }
}

/* Threats X6: 10 kB before login, then cut. */
static void cuts_what_is_too_big(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = opened(w), *d = client_new(w);
    char *big = svi_arena_get(w->arena, 200001);
    memset(big, 'a', 200000);
    say(w, c,
        svi_arena_printf(w->arena, "<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>%s", big)
            .p);
    assert_failed(w, c, "policy-violation");
    say(w, d, svi_arena_printf(w->arena, "<stream:stream to='%s", big).p);
    assert_failed(w, d, "policy-violation");
    world_free(w);
}

/* Threats X12 after login: before a resource is bound nothing is processed. */
static void refuses_what_comes_before_bind(void **state)
{
    (void)state;
    static const bad cases[] = {
        {"<message to='romeo@localhost'><body>x</body></message>", "not-authorized"},
        {"<iq type='get' id='1'><bind xmlns='" BIND_NS "'/></iq>", "not-authorized"},
        {"<iq type='set' id='1' to='juliet@localhost'><bind xmlns='" BIND_NS "'/></iq>",
         "not-authorized"},
        {"<iq type='set' id='1' to='localhost/x'><bind xmlns='" BIND_NS "'/></iq>",
         "not-authorized"},
        {"<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
         "not-authorized"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>biws</auth>", "not-authorized"},
        {STARTTLS, "not-authorized"},
        {"<enable xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = opened(w);
        log_in(w, c, "romeo", "rosaline");
        say(w, c, cases[i].said);
        assert_failed(w, c, cases[i].error);
        assert_int_equal(svi_session_count(w->server), 0);
        world_free(w);
    }
}

/* Bound streams: what is no stanza ends them, and their session with them. */
static void refuses_what_is_no_stanza(void **state)
{
    (void)state;
    static const bad cases[] = {
        {"<a xmlns='b'/>", "unsupported-stanza-type"},
        {"<message xmlns='jabber:server' to='romeo@localhost'/>", "invalid-namespace"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'/>", "not-authorized"},
        {"<message><!-- x --></message>", "restricted-xml"},
        {"<message>", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = bound(w, "r");
        say(w, c, cases[i].said);
        if (cases[i].error) {
            assert_failed(w, c, cases[i].error);
            assert_int_equal(svi_session_count(w->server), 0);
        }
        world_free(w);
    }
}

/* RFC 6120 4.9.1.1: who is sent an error closes too. */
static void answers_an_error_with_its_end(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = bound(w, "r");
    say(w, c,
        "<stream:error><reset "
        "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>");
    assert_string_equal(heard(w, c), "</stream:stream>");
    assert_ended(w, c);
    c = bound(w, "s"); /* one that we don't know (4.9.2), without an end behind it */
    say(w, c,
        "<stream:error><not-invented-yet xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>reset</text></stream:error>");
    assert_string_equal(heard(w, c), "</stream:stream>");
    assert_ended(w, c);
    world_free(w);
}

/* --- binding --------------------------------------------------------------------------------- */

static void binds_resources(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = opened(w);
    log_in(w, c, "ROMEO", "rosaline"); /* the prepared name is what is bound (threats A9) */
    assert_has(bind_resource(w, c, "a &amp; b\u00a0c"), "<jid>romeo@localhost/a &amp; b c</jid>");
    client *d = opened(w);
    log_in(w, d, "romeo", "rosaline");
    const char *made = strstr(bind_resource(w, d, ""), "<jid>romeo@localhost/");
    assert_non_null(made);
    assert_true(strcspn(made + 21, "<") >= 16);
    /* RFC 6120 7.7.2.2, third way */
    client *e = opened(w);
    log_in(w, e, "romeo", "rosaline");
    assert_has(bind_resource(w, e, "a &amp; b c"), "type='result'");
    run(w);
    assert_failed(w, c, "conflict");
    assert_int_equal(svi_session_count(w->server), 2);
    world_free(w);
}

static sv_verdict guards(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

/* Nobody comes in while whoever guards sessions is in quarantine; the client may try again. */
static void refuses_while_a_guard_is_out(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_ward ward = {.is_closed = true};
    const svi_handler handler = {.point = SVI_POINT_SESSION_BOUND,
                                 .policy = SVI_POLICY_CLOSED,
                                 .call = guards,
                                 .module = "guard",
                                 .text = "session/bound",
                                 .ward = &ward};
    svi_hooks *hooks;
    assert_int_equal(svi_hooks_build(&w->acct, &handler, 1, &hooks, NULL), SV_OK);
    svi_host_set_hooks(w->host, hooks);
    svi_hooks_unref(&hooks);
    client *c = opened(w);
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, "x"), "<error type='cancel'><service-unavailable");
    assert_int_equal(svi_session_count(w->server), 0);
    ward.is_closed = false;
    assert_has(bind_resource(w, c, "x"), "<jid>romeo@localhost/x</jid>");
    world_free(w);
}

static void refuses_bad_resources(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = opened(w);
    log_in(w, c, "romeo", "rosaline");
    say(w, c, "<iq type='set'><bind xmlns='" BIND_NS "'/></iq>");
    assert_string_equal(heard(w, c), "<iq type='error'><error type='modify'><bad-request "
                                     "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    for (int i = 0; i < 8; i++)
        assert_has(bind_resource(w, c, i & 1 ? " x" : "a&#9;b"),
                   "id='b'><error type='modify'><bad-request");
    assert_has(bind_resource(w, c, "\u200b"), "<bad-request");
    assert_failed(w, c, "policy-violation"); /* RFC 6120 7.7.3 */
    world_free(w);
}

static void bounds_sessions_of_an_account(void **state)
{
    (void)state;
    setting s = PLAIN;
    s.limits = svi_limits_default();
    s.limits.sessions_per_account = 2;
    world *w = world_new(s);
    (void)bound(w, "a");
    client *b = bound(w, "b"), *c = opened(w);
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, "c"), "<error type='wait'><resource-constraint");
    client_close(b);
    run(w);
    assert_has(bind_resource(w, c, "c"), "type='result'");
    world_free(w);
}

static void answers_for_the_bound_stream(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = bound(w, "r");
    assert_has(bind_resource(w, c, "s"),
               "<iq type='error' id='b'><error type='cancel'><not-allowed");
    say(w, c, "<iq type='set' id='s1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert_string_equal(heard(w, c), "<iq type='result' id='s1'/>");
    say(w, c,
        "<iq type='set' id=\"'&lt;\" to='localhost'><session "
        "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    const char *answer = heard(w, c);
    assert_has(answer, "<iq type='result' id='");
    assert_lacks(answer, "'<");
    assert_has(answer, " from='localhost'/>"); /* RFC 6120 8.1.2.1: who was asked answers */
    say(w, c,
        "<iq type='set' id='s2' to='Romeo@localhost'><session "
        "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert_string_equal(heard(w, c), "<iq type='result' id='s2' from='Romeo@localhost'/>");
    say(w, c,
        "<iq type='set' id='s3' to='juliet@localhost'><session "
        "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert_has(heard(w, c), "<service-unavailable"); /* somebody else's, so no answer of ours */
    assert_int_equal(svi_session_count(w->server), 1);
    world_free(w);
}

/* RFC 6120 4.7.4, 8.1.5: a stanza that names no language has that of the header before it was bound;
 * what can't be a language is none. */
static void stanzas_have_the_streams_language(void **state)
{
    (void)state;
    static const struct {
        const char *header, *lang;
    } cases[] = {
        {"xml:lang='cs'", " xml:lang='cs'"},
        {"xml:lang='de-CH-1996'", " xml:lang='de-CH-1996'"},
        {"xml:lang='a-23456789-23456789-23456789-3456789'", NULL}, /* 36 bytes */
        {"xml:lang='en-'", NULL},
        {"xml:lang='-en'", NULL},
        {"xml:lang='1en'", NULL},
        {"xml:lang='en--x'", NULL},
        {"xml:lang='123456789'", NULL},
        {"xml:lang='en_US'", NULL},
        {"xml:lang=''", NULL},
        {"lang='cs'", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = world_new(PLAIN);
        client *c = opened(w);
        assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
        say(w, c,
            svi_arena_printf(w->arena, "<stream:stream to='localhost' version='1.0' %s "
                                       "xmlns='jabber:client' "
                                       "xmlns:stream='http://etherx.jabber.org/streams'>",
                             cases[i].header)
                .p);
        (void)heard(w, c);
        (void)bind_resource(w, c, "r");
        say(w, c, "<message to='romeo@localhost/r'><body>x</body></message>");
        const char *message = heard(w, c);
        assert_has(message, "<body>x</body>");
        if (cases[i].lang)
            assert_has(message, cases[i].lang);
        else
            assert_lacks(message, "lang=");
        say(w, c, "<message to='romeo@localhost/r' xml:lang='fr'><body>y</body></message>");
        message = heard(w, c);
        assert_int_equal(count_of(message, "lang="), 1);
        assert_has(message, " xml:lang='fr'");
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(answers_other_headers),
        cmocka_unit_test(refuses_what_comes_before_login),
        cmocka_unit_test(cuts_what_is_too_big),
        cmocka_unit_test(refuses_what_comes_before_bind),
        cmocka_unit_test(refuses_what_is_no_stanza),
        cmocka_unit_test(answers_an_error_with_its_end),
        cmocka_unit_test(binds_resources),
        cmocka_unit_test(refuses_bad_resources),
        cmocka_unit_test(refuses_while_a_guard_is_out),
        cmocka_unit_test(bounds_sessions_of_an_account),
        cmocka_unit_test(answers_for_the_bound_stream),
        cmocka_unit_test(stanzas_have_the_streams_language),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
