/* Tests of client streams over a real net and a simulated store: negotiation, each stream error, SASL framing, binding,
 * deadlines, limits, ends. */
#include "xmpp/xmpp_stream_testing.h"

static const setting plain = {.mode = SVI_TLS_NONE};
static const setting starttls = {.mode = SVI_TLS_STARTTLS, .is_public = true, .require_tls = true};

static client *opened(world *w)
{
    client *c = client_new(w);
    say(w, c, STREAM);
    return c;
}

static client *bound(world *w, const char *resource)
{
    client *c = opened(w);
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, resource), "type='result'");
    return c;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) n++;
    return n;
}

/* Our header once, the error, our end, and then the connection closes (RFC 6120 4.9.1.1, 4.9.1.2). */
static void assert_failed(world *w, client *c, const char *condition)
{
    const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
    const char *error =
        svi_arena_printf(
            w->arena, "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition)
            .p;
    assert_has(all, error);
    assert_int_equal(count_of(all, "<stream:error>"), 1);
    if (!svi_str_ends(sv_str_of(all), SV_STR("</stream:error></stream:stream>")))
        fail_msg("after the error: %s", all);
    assert_ended(w, c);
}

/* --- the whole way ------------------------------------------------------------------------------------------ */

static void whole_login(const setting *s, size_t chop)
{
    world *w = world_new(s);
    svi_link_pairs_chop(w->pairs, chop);
    client *c = client_new(w);
    say(w, c, STREAM);
    const char *first = heard(w, c);
    assert_has(first, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                      "xmlns:stream='http://etherx.jabber.org/streams' id='");
    assert_has(first, " from='localhost' version='1.0' xml:lang='en'>");
    assert_lacks(first, " to='");
    assert_has(first, "<stream:features><starttls xmlns='" TLS_NS
                      "'><required/></starttls></stream:features>");
    say(w, c, STARTTLS);
    assert_string_equal(heard(w, c), "<proceed xmlns='" TLS_NS "'/>");
    start_tls_layer(w, c);
    say(w, c,
        "<stream:stream from='Romeo@localhost' to='localhost' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>");
    const char *second = heard(w, c);
    assert_has(second, " to='romeo@localhost'");
    assert_has(second,
               "<mechanisms xmlns='" SASL_NS "'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>");
    assert_lacks(second, "starttls");
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, "balcony"), "<iq type='result' id='b'><bind xmlns='" BIND_NS
                                               "'><jid>romeo@localhost/balcony</jid></bind></iq>");
    assert_int_equal(svi_session_count(w->server), 1);
    /* white space is no stanza (RFC 6120 4.6.1) */
    say(w, c, " \n ");
    assert_string_equal(heard(w, c), "");
    say(w, c, "<iq type='get' id='q' to='localhost'><query xmlns='nobody:knows'/></iq>");
    assert_has(heard(w, c), "service-unavailable");
    say(w, c, "</stream:stream>");
    assert_string_equal(heard(w, c), "</stream:stream>");
    assert_ended(w, c);
    assert_int_equal(svi_session_count(w->server), 0);
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login ");
    world_free(w);
}

static void logs_in_over_starttls(void **state)
{
    (void)state;
    whole_login(&starttls, 0);
}

static void logs_in_byte_by_byte(void **state)
{
    (void)state;
    whole_login(&starttls, 1);
}

static void logs_in_over_direct_tls(void **state)
{
    (void)state;
    const setting s = {.mode = SVI_TLS_DIRECT, .is_public = true, .require_tls = true};
    world *w = world_new(&s);
    client *c = client_new(w);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    assert_has(heard(w, c), "<mechanism>SCRAM-SHA-256</mechanism>");
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, NULL), "<jid>romeo@localhost/");
    world_free(w);
}

/* RFC 6120 4.7.3, 4.3.3: a new id with each header, and none is like another. */
static void ids_are_never_the_same(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w);
    const char *one = strstr(heard(w, c), " id='");
    log_in(w, c, "romeo", "rosaline");
    const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
    assert_int_equal(count_of(all, " id='"), 2);
    assert_int_equal(count_of(all, svi_arena_str(w->arena, (sv_str){one, 5 + 32}).p), 1);
    world_free(w);
}

/* --- stream errors ------------------------------------------------------------------------------------------- */

typedef struct bad {
    const char *said;
    const char *error;
} bad;

#define HEADER(attrs)                                                                              \
    "<stream:stream " attrs                                                                        \
    " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

/* What ends a stream while its header is due. */
static const bad bad_headers[] = {
    {"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
     "xmlns:stream='http://wrong.test/'>",
     "invalid-namespace"},
    {"<stream xmlns='jabber:client' to='localhost' version='1.0'>", "invalid-namespace"},
    {"<stream:open to='localhost' version='1.0' xmlns='jabber:client' "
     "xmlns:stream='http://etherx.jabber.org/streams'>",
     "bad-format"},
    {HEADER("version='1.0'"), "improper-addressing"},
    {HEADER("to='' version='1.0'"), "improper-addressing"},
    {HEADER("to='local host' version='1.0'"), "improper-addressing"},
    {HEADER("to='localhost/' version='1.0'"), "improper-addressing"},
    {HEADER("to='localhost' from='a@@b' version='1.0'"), "improper-addressing"},
    {HEADER("to='elsewhere.test' version='1.0'"), "host-unknown"},
    {HEADER("to='romeo@localhost' version='1.0'"), "host-unknown"},
    {HEADER("to='localhost/x' version='1.0'"), "host-unknown"},
    {HEADER("to='localhost'"), "unsupported-version"},
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
        world *w = world_new(&plain);
        client *c = client_new(w);
        say(w, c, bad_headers[i].said);
        if (bad_headers[i].error) {
            assert_failed(w, c, bad_headers[i].error);
            const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
            assert_int_equal(count_of(all, "<stream:stream "), 1);
            assert_has(all, " from='localhost'");
        }
        world_free(w);
    }
}

/* A version above ours is answered with ours; leading zeros count for nothing (RFC 6120 4.7.5). */
static void answers_other_versions(void **state)
{
    (void)state;
    static const char *const versions[] = {HEADER("to='localhost' version='1.1'"),
                                           HEADER("to='localhost' version='2.13'"),
                                           HEADER("to='LOCALHOST.' version='01.00'")};
    for (size_t i = 0; i < 3; i++) {
        world *w = world_new(&plain);
        client *c = client_new(w);
        say(w, c, versions[i]);
        assert_has(heard(w, c), " version='1.0' xml:lang='en'><stream:features><mechanisms");
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
        world *w = world_new(&plain);
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
    world *w = world_new(&plain);
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
        {"<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
         "not-authorized"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>biws</auth>", "not-authorized"},
        {STARTTLS, "not-authorized"},
        {"<enable xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = world_new(&plain);
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
        world *w = world_new(&plain);
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
    world *w = world_new(&plain);
    client *c = bound(w, "r");
    say(w, c,
        "<stream:error><reset "
        "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>");
    assert_string_equal(heard(w, c), "</stream:stream>");
    assert_ended(w, c);
    world_free(w);
}

/* --- TLS ------------------------------------------------------------------------------------------------------- */

/* Threats T1: what is pipelined behind <starttls/> in plain text never acts, not inside TLS either. */
static void plain_text_behind_starttls_is_dropped(void **state)
{
    (void)state;
    world *w = world_new(&starttls);
    client *c = opened(w);
    (void)heard(w, c);
    say(w, c,
        STARTTLS STREAM "<auth xmlns='" SASL_NS
                        "' mechanism='SCRAM-SHA-256'>biwsbj1yb21lbyxyPXg=</auth>");
    assert_string_equal(heard(w, c), "<proceed xmlns='" TLS_NS "'/>");
    start_tls_layer(w, c);
    assert_string_equal(heard(w, c), "");
    say(w, c, STREAM);
    const char *answer = heard(w, c);
    assert_has(answer, "<mechanisms");
    assert_lacks(answer, "<challenge");
    world_free(w);
}

/* Threats T2. */
static void no_login_without_tls(void **state)
{
    (void)state;
    world *w = world_new(&starttls);
    client *c = opened(w);
    assert_lacks(heard(w, c), "mechanism");
    say_auth(w, c, "romeo");
    assert_has(heard(w, c), "<failure xmlns='" SASL_NS "'><encryption-required/></failure>");
    world_free(w);
    /* a listener without TLS for a host that requires it offers nothing */
    const setting none = {.mode = SVI_TLS_NONE, .is_public = true, .require_tls = true};
    w = world_new(&none);
    c = opened(w);
    assert_failed(w, c, "policy-violation");
    world_free(w);
}

/* A listener on loopback counts as secure for SCRAM; TLS is offered, not required (architecture 11). */
static void loopback_may_log_in_without_tls(void **state)
{
    (void)state;
    const setting s = {.mode = SVI_TLS_STARTTLS, .require_tls = true};
    world *w = world_new(&s);
    client *c = opened(w);
    const char *offer = heard(w, c);
    assert_has(offer, "<starttls xmlns='" TLS_NS "'></starttls><mechanisms");
    log_in(w, c, "romeo", "rosaline");
    world_free(w);
}

/* RFC 6120 5.4.2.2: where STARTTLS was not offered it fails and the stream ends. */
static void starttls_fails_where_it_is_not_offered(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w);
    (void)heard(w, c);
    say(w, c, STARTTLS);
    assert_string_equal(heard(w, c), "<failure xmlns='" TLS_NS "'/></stream:stream>");
    assert_ended(w, c);
    world_free(w);
    w = world_new(&starttls); /* a second time */
    c = opened(w);
    say(w, c, STARTTLS);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    (void)heard(w, c);
    say(w, c, STARTTLS);
    assert_string_equal(heard(w, c), "<failure xmlns='" TLS_NS "'/></stream:stream>");
    assert_ended(w, c);
    world_free(w);
}

/* --- SASL --------------------------------------------------------------------------------------------------------- */

static void wrong_passwords_end_the_stream(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w);
    for (int i = 0; i < 4; i++)
        assert_string_equal(authenticate(w, c, "romeo", "juliet"),
                            "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    assert_has(authenticate(w, c, "romeo", "juliet"),
               "<not-authorized/></failure><stream:error><policy-violation");
    assert_failed(w, c, "policy-violation");
    assert_int_equal(count_of(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login-failed "),
                     5);
    assert_lacks(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, "juliet");
    client *d = opened(w);
    for (int i = 0; i < 4; i++) (void)authenticate(w, d, "romeo", "juliet");
    log_in(w, d, "romeo", "rosaline");
    world_free(w);
}

/* Threats A4: a name without an account is told the same at every step. */
static void unknown_names_are_told_the_same(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w), *d = opened(w);
    (void)heard(w, c);
    (void)heard(w, d);
    say_auth(w, c, "nobody");
    say_auth(w, d, "nobody");
    sv_str one = sasl_data(w, heard(w, c), "challenge"),
           two = sasl_data(w, heard(w, d), "challenge");
    /* the nonces differ, salt and count are the same each time */
    assert_int_equal(one.n, two.n);
    assert_string_equal(strchr(one.p, ','), strchr(two.p, ','));
    assert_string_equal(authenticate(w, c, "nobody", "x"),
                        "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    world_free(w);
}

static void judges_sasl_elements(void **state)
{
    (void)state;
    static const struct {
        const char *said, *answer;
    } cases[] = {
        {"<auth xmlns='" SASL_NS "' mechanism='PLAIN'>AHJvbWVvAHJvc2FsaW5l</auth>",
         "<invalid-mechanism/>"},
        {"<auth xmlns='" SASL_NS "'>biws</auth>", "<invalid-mechanism/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>bi ws</auth>",
         "<incorrect-encoding/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>biw</auth>", "<incorrect-encoding/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>biwt\n</auth>",
         "<incorrect-encoding/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>=</auth>", "<malformed-request/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>====</auth>",
         "<incorrect-encoding/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>bi<x/>ws</auth>",
         "<malformed-request/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'>biwsbj1yb21lbw==</auth>",
         "<malformed-request/>"},
        {"<auth xmlns='" SASL_NS
         "' mechanism='SCRAM-SHA-256'>bixhPWV2ZUBsb2NhbGhvc3Qsbj1yb21lbyxyPXg=</auth>",
         "<invalid-authzid/>"},
        {"<response xmlns='" SASL_NS "'>biws</response>", "<malformed-request/>"},
        {"<abort xmlns='" SASL_NS "'/>", "<aborted/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'/><abort xmlns='" SASL_NS "'/>",
         "</challenge><failure xmlns='" SASL_NS "'><aborted/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'/><response xmlns='" SASL_NS "'/>",
         "<malformed-request/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'/>",
         "<challenge xmlns='" SASL_NS "'></challenge>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = world_new(&plain);
        client *c = opened(w);
        (void)heard(w, c);
        say(w, c, cases[i].said);
        const char *answer = heard(w, c);
        if (!strstr(answer, cases[i].answer)) fail_msg("%s: %s", cases[i].said, answer);
        /* whatever it was, the stream lives and the right password opens it */
        log_in(w, c, "romeo", "rosaline");
        world_free(w);
    }
}

/* RFC 6120 6.4.2: a second <auth/> throws the first exchange away. Client-first without an initial response: 6.3.10. */
static void a_new_auth_begins_again(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w);
    say_auth(w, c, "nobody");
    log_in(w, c, "romeo", "rosaline");
    client *d = opened(w);
    (void)heard(w, d);
    say(w, d, "<auth xmlns='" SASL_NS "' mechanism='SCRAM-SHA-256'/>");
    assert_has(heard(w, d), "<challenge");
    say(w, d, sasl_text(w, "response", "", SV_STR("n,,n=romeo,r=cnonce")));
    sv_str first = sasl_data(w, heard(w, d), "challenge");
    say(w, d, sasl_text(w, "response", "", scram_final(w, "romeo", "rosaline", first, NULL)));
    assert_has(heard(w, d), "<success");
    world_free(w);
}

static void a_failing_store_is_temporary(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    /* a fresh server on the same disk has nothing in memory */
    client *c = opened(w);
    (void)heard(w, c);
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    say_auth(w, c, "nobody");
    assert_has(heard(w, c), "<temporary-auth-failure/>");
    log_in(w, c, "romeo", "rosaline");
    world_free(w);
}

/* The connection goes while an account is looked up: the answer finds nobody. */
static void an_end_during_the_look_up(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w), *d = opened(w);
    svi_engine_sim_plan(w->engine)->hold = true;
    say_auth(w, c, "nobody");
    say_auth(w, d, "nobody2");
    assert_lacks(svi_arena_str(w->arena, svi_buf_str(&c->in)).p, "<challenge");
    client_close(c);
    pass_time(w, 61 * 1000000); /* and a look-up that outlives the deadline */
    assert_failed(w, d, "connection-timeout");
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    world_free(w);
}

/* RFC 6120 6.4.6: who says under TLS that it is somebody, and logs in as somebody else. */
static void from_must_fit_the_login(void **state)
{
    (void)state;
    world *w = world_new(&starttls);
    client *c = opened(w);
    say(w, c, STARTTLS);
    start_tls_layer(w, c);
    say(w, c, HEADER("to='localhost' from='juliet@localhost' version='1.0'"));
    assert_lacks(authenticate(w, c, "romeo", "rosaline"), "<success");
    assert_failed(w, c, "invalid-from");
    world_free(w);
}

/* Threats A8. */
static void a_login_stays_at_its_host(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = opened(w);
    assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
    say(w, c, STREAM_TO("other.test"));
    assert_failed(w, c, "not-authorized");
    world_free(w);
}

/* --- binding ------------------------------------------------------------------------------------------------------- */

static void binds_resources(void **state)
{
    (void)state;
    world *w = world_new(&plain);
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

static void refuses_bad_resources(void **state)
{
    (void)state;
    world *w = world_new(&plain);
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
    setting s = plain;
    s.limits = svi_limits_default();
    s.limits.sessions_per_account = 2;
    world *w = world_new(&s);
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
    world *w = world_new(&plain);
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
    assert_int_equal(svi_session_count(w->server), 1);
    world_free(w);
}

/* --- time and numbers ----------------------------------------------------------------------------------------------- */

#define SECOND 1000000

static void every_step_has_its_deadline(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *silent = client_new(w);
    run(w);
    pass_time(w, 29 * SECOND);
    assert_false(silent->at_end);
    client *features = opened(w);
    pass_time(w, 2 * SECOND);
    assert_failed(w, silent, "connection-timeout");
    assert_false(features->at_end);
    client *logged_in = opened(w);
    log_in(w, logged_in, "romeo", "rosaline");
    pass_time(w, 29 * SECOND);
    assert_failed(w, features, "connection-timeout");
    pass_time(w, 2 * SECOND);
    assert_failed(w, logged_in, "connection-timeout");
    world_free(w);
}

/* Steps that each keep their deadline do not keep a stranger alive: 60 s in all until login. */
static void login_has_a_deadline_in_all(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = client_new(w);
    run(w);
    pass_time(w, 25 * SECOND);
    say(w, c, STREAM);
    pass_time(w, 25 * SECOND);
    say_auth(w, c, "romeo");
    assert_false(c->at_end);
    pass_time(w, 11 * SECOND);
    assert_failed(w, c, "connection-timeout");
    world_free(w);
}

/* During the handshake nothing can be said: the connection just ends (RFC 6120 5.4.3.2, threats T5). */
static void a_stalled_handshake_ends(void **state)
{
    (void)state;
    world *w = world_new(&starttls);
    client *c = opened(w);
    say(w, c, STARTTLS);
    (void)heard(w, c);
    pass_time(w, 31 * SECOND);
    assert_string_equal(heard(w, c), "");
    assert_ended(w, c);
    world_free(w);
}

static void bound_streams_have_no_deadline(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = bound(w, "r");
    for (int i = 0; i < 20; i++) pass_time(w, 600 * SECOND);
    assert_false(c->at_end);
    assert_int_equal(svi_session_count(w->server), 1);
    world_free(w);
}

/* The oldest stranger makes room; who has logged in is none (architecture 11, threats R1). */
static void strangers_are_bounded(void **state)
{
    (void)state;
    setting s = plain;
    s.limits = svi_limits_default();
    s.limits.strangers = 2;
    world *w = world_new(&s);
    client *known = bound(w, "r"), *a = opened(w), *b = opened(w);
    assert_false(a->at_end);
    client *c = client_new(w);
    run(w);
    assert_failed(w, a, "resource-constraint");
    assert_false(b->at_end || c->at_end || known->at_end);
    say(w, c, STREAM);
    assert_has(heard(w, c), "<mechanisms");
    world_free(w);
}

static void shutdown_tells_everybody(void **state)
{
    (void)state;
    world *w = world_new(&plain);
    client *c = bound(w, "r"), *d = opened(w), *e = client_new(w);
    run(w);
    svi_server_drain(w->server);
    run(w);
    assert_failed(w, c, "system-shutdown");
    assert_failed(w, d, "system-shutdown");
    assert_failed(w, e, "system-shutdown");
    client *late = client_new(w);
    run(w);
    assert_failed(w, late, "system-shutdown");
    world_free(w);
}

static int group_set_up(void **state)
{
    (void)state;
    make_certificate();
    return 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    remove_certificate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_in_over_starttls),
        cmocka_unit_test(logs_in_byte_by_byte),
        cmocka_unit_test(logs_in_over_direct_tls),
        cmocka_unit_test(ids_are_never_the_same),
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(answers_other_versions),
        cmocka_unit_test(refuses_what_comes_before_login),
        cmocka_unit_test(cuts_what_is_too_big),
        cmocka_unit_test(refuses_what_comes_before_bind),
        cmocka_unit_test(refuses_what_is_no_stanza),
        cmocka_unit_test(answers_an_error_with_its_end),
        cmocka_unit_test(plain_text_behind_starttls_is_dropped),
        cmocka_unit_test(no_login_without_tls),
        cmocka_unit_test(loopback_may_log_in_without_tls),
        cmocka_unit_test(starttls_fails_where_it_is_not_offered),
        cmocka_unit_test(wrong_passwords_end_the_stream),
        cmocka_unit_test(unknown_names_are_told_the_same),
        cmocka_unit_test(judges_sasl_elements),
        cmocka_unit_test(a_new_auth_begins_again),
        cmocka_unit_test(a_failing_store_is_temporary),
        cmocka_unit_test(an_end_during_the_look_up),
        cmocka_unit_test(from_must_fit_the_login),
        cmocka_unit_test(a_login_stays_at_its_host),
        cmocka_unit_test(binds_resources),
        cmocka_unit_test(refuses_bad_resources),
        cmocka_unit_test(bounds_sessions_of_an_account),
        cmocka_unit_test(answers_for_the_bound_stream),
        cmocka_unit_test(every_step_has_its_deadline),
        cmocka_unit_test(login_has_a_deadline_in_all),
        cmocka_unit_test(a_stalled_handshake_ends),
        cmocka_unit_test(bound_streams_have_no_deadline),
        cmocka_unit_test(strangers_are_bounded),
        cmocka_unit_test(shutdown_tells_everybody),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
