/* Tests of client streams over a real net and a simulated store: the whole way in, TLS,
 * deadlines, limits, ends. */
#include "xmpp/xmpp_stream_testing.h"

#define OUR_HEADER                                                                                 \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "                                    \
    "xmlns:stream='http://etherx.jabber.org/streams' id='"

static void whole_login(setting s, size_t chop)
{
    world *w = world_new(s);
    svi_host_set_features(svi_host_find(w->server, SV_STR("localhost")),
                          SV_STR("<ver xmlns='urn:xmpp:features:rosterver'/>"));
    svi_link_pairs_chop(w->pairs, chop);
    client *c = client_new(w);
    say(w, c, STREAM);
    const char *first = heard(w, c);
    assert_int_equal(strncmp(first, OUR_HEADER, strlen(OUR_HEADER)), 0); /* no BOM either (11.6) */
    assert_has(first, " from='localhost' version='1.0' xml:lang='en'>");
    assert_lacks(first, " to='");
    assert_has(first, "<stream:features><starttls xmlns='" TLS_NS
                      "'><required/></starttls><limits xmlns='urn:xmpp:stream-limits:0'>"
                      "<max-bytes>5120</max-bytes></limits></stream:features>");
    say(w, c, STARTTLS);
    assert_string_equal(heard(w, c), "<proceed xmlns='" TLS_NS "'/>");
    start_tls_layer(w, c);
    say(w, c,
        "<stream:stream from='Romeo@localhost' to='localhost' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>");
    const char *second = heard(w, c);
    assert_int_equal(strncmp(second, OUR_HEADER, strlen(OUR_HEADER)), 0);
    assert_int_not_equal(strncmp(first, second, strlen(OUR_HEADER) + 32), 0); /* another id (5.4.3.3) */
    assert_has(second, " to='romeo@localhost'");
    assert_has(second, "<mechanisms xmlns='" SASL_NS "'><mechanism>SCRAM-SHA-512-PLUS</mechanism>"
                       "<mechanism>SCRAM-SHA-256-PLUS</mechanism>"
                       "<mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-512</mechanism>"
                       "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>"
                       "<mechanism>PLAIN</mechanism></mechanisms>");
    /* XEP-0440 2 */
    assert_has(second, "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
                       "<channel-binding type='tls-exporter'/>"
                       "<channel-binding type='tls-server-end-point'/></sasl-channel-binding>");
    assert_lacks(second, "starttls");
    assert_lacks(second, "<ver");
    assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
    say(w, c, STREAM);
    const char *third = heard(w, c);
    assert_int_equal(strncmp(third, OUR_HEADER, strlen(OUR_HEADER)), 0);
    assert_int_not_equal(strncmp(second, third, strlen(OUR_HEADER) + 32), 0);
    assert_has(third, "<bind xmlns='" BIND_NS "'/>");
    assert_has(third, "</session><limits xmlns='urn:xmpp:stream-limits:0'>"
                      "<max-bytes>262144</max-bytes><idle-seconds>900</idle-seconds></limits>"
                      "<ver xmlns='urn:xmpp:features:rosterver'/></stream:features>");
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
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               "login peer=memory host=localhost user=romeo tls=yes mechanism=SCRAM-SHA-256 "
               "binding=none\n");
    world_free(w);
}

static void logs_in_over_starttls(void **state)
{
    (void)state;
    whole_login(STARTTLS_ONLY, 0);
}

static void logs_in_byte_by_byte(void **state)
{
    (void)state;
    whole_login(STARTTLS_ONLY, 1);
}

/* The deadlines run from the first moment; before the header is whole nothing is said. */
static void a_proxys_header_has_a_deadline(void **state)
{
    (void)state;
    world *w = world_new((setting){.is_relayed = true});
    client *c = client_new(w);
    say(w, c, "PROXY TCP4 192.0.2.1");
    for (int i = 0; i < 6 && !c->at_end; i++) pass_time(w, svi_limits_default().login_us / 5);
    assert_string_equal(heard(w, c), "");
    assert_ended(w, c);
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               "stream-limit peer=memory limit=deadline");
    world_free(w);
}

static void logs_in_over_direct_tls(void **state)
{
    (void)state;
    const setting s = {.mode = SVI_TLS_DIRECT, .is_public = true, .require_tls = true};
    world *w = world_new(s);
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
    world *w = world_new(PLAIN);
    client *c = opened(w);
    const char *one = strstr(heard(w, c), " id='");
    log_in(w, c, "romeo", "rosaline");
    const char *all = svi_arena_str(w->arena, svi_buf_str(&c->in)).p;
    assert_int_equal(count_of(all, " id='"), 2);
    assert_int_equal(count_of(all, svi_arena_str(w->arena, (sv_str){one, 5 + 32}).p), 1);
    world_free(w);
}

/* --- TLS ------------------------------------------------------------------------------------- */

/* Threats T1: what is pipelined behind <starttls/> in plain text never acts, not inside TLS
 * either. */
static void plain_text_behind_starttls_is_dropped(void **state)
{
    (void)state;
    world *w = world_new(STARTTLS_ONLY);
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
    world *w = world_new(STARTTLS_ONLY);
    client *c = opened(w);
    assert_lacks(heard(w, c), "mechanism");
    say_auth(w, c, "romeo");
    assert_has(heard(w, c), "<failure xmlns='" SASL_NS "'><encryption-required/></failure>");
    world_free(w);
    /* a listener without TLS for a host that requires it offers nothing */
    const setting none = {.mode = SVI_TLS_NONE, .is_public = true, .require_tls = true};
    w = world_new(none);
    c = opened(w);
    assert_failed(w, c, "policy-violation");
    world_free(w);
}

/* A listener on loopback counts as secure for SCRAM; TLS is offered, not required (architecture
 * 11). */
static void loopback_may_log_in_without_tls(void **state)
{
    (void)state;
    const setting s = {.mode = SVI_TLS_STARTTLS, .require_tls = true};
    world *w = world_new(s);
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
    world *w = world_new(PLAIN);
    client *c = opened(w);
    (void)heard(w, c);
    say(w, c, STARTTLS);
    assert_string_equal(heard(w, c), "<failure xmlns='" TLS_NS "'/></stream:stream>");
    assert_ended(w, c);
    world_free(w);
    w = world_new(STARTTLS_ONLY); /* a second time */
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

/* RFC 6120 5.4.3.3 rule 2: nor who the client said it was. */
static void what_was_said_before_tls_is_forgotten(void **state)
{
    (void)state;
    world *w = world_new(STARTTLS_ONLY);
    client *c = client_new(w);
    say(w, c, HEADER("to='localhost' from='juliet@localhost' version='1.0' xml:lang='cs'"));
    assert_has(heard(w, c), " to='juliet@localhost'");
    say(w, c, STARTTLS);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    assert_lacks(heard(w, c), " to='");
    log_in(w, c, "romeo", "rosaline"); /* and so it is no other's `from` (6.4.6) */
    (void)bind_resource(w, c, "r");
    say(w, c, "<message to='romeo@localhost/r'/>");
    assert_lacks(heard(w, c), "lang=");
    world_free(w);
}

/* --- time and numbers ------------------------------------------------------------------------ */

#define SECOND 1000000

static void every_step_has_its_deadline(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
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
    world *w = world_new(PLAIN);
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

/* During the handshake nothing can be said: the connection just ends (RFC 6120 5.4.3.2, threats
 * T5). */
static void a_stalled_handshake_ends(void **state)
{
    (void)state;
    world *w = world_new(STARTTLS_ONLY);
    client *c = opened(w);
    say(w, c, STARTTLS);
    (void)heard(w, c);
    pass_time(w, 31 * SECOND);
    assert_string_equal(heard(w, c), "");
    assert_ended(w, c);
    world_free(w);
}

/* Nobody on the host knows how to ask: then a space from time to time, for the connection's sake (RFC 6120
 * 4.6.1), and no end. */
static void bound_streams_have_no_deadline(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = bound(w, "r");
    (void)heard(w, c);
    for (int i = 0; i < 20; i++) pass_time(w, 600 * SECOND);
    assert_false(c->at_end);
    assert_int_equal(svi_session_count(w->server), 1);
    const char *spaces = heard(w, c);
    assert_int_equal(strspn(spaces, " "), strlen(spaces));
    assert_in_range(strlen(spaces), 6, 12000 / 900);
    world_free(w);
}

static sv_verdict note_silence(sv_event *ev, void *self)
{
    (void)ev;
    ++*(int *)self;
    return SV_PASS;
}

static void on_silence(world *w, int *asked)
{
    svi_hooks *hooks = NULL;
    sv_err err;
    const svi_handler handler = {.point = svi_point_find(SV_STR("session/silent")),
                                 .module = "test",
                                 .text = "session/silent",
                                 .call = note_silence,
                                 .self = asked};
    assert_int_equal(svi_hooks_build(&w->acct, &handler, 1, &hooks, &err), SV_OK);
    svi_host_set_hooks(w->host, hooks);
    svi_hooks_unref(&hooks);
}

/* RFC 6120 4.6.2: it is asked, and ends if nothing comes, be it a space. */
static void silent_peers_are_asked_and_given_up(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    int asked = 0;
    on_silence(w, &asked);
    client *c = bound(w, "r"), *d = bound(w, "s");
    pass_time(w, 899 * SECOND);
    assert_int_equal(asked, 0);
    pass_time(w, 2 * SECOND);
    assert_int_equal(asked, 2);
    say(w, c, " ");
    pass_time(w, 58 * SECOND);
    assert_false(d->at_end);
    pass_time(w, 2 * SECOND);
    assert_failed(w, d, "connection-timeout");
    assert_false(c->at_end);
    pass_time(w, 838 * SECOND); /* 899 since the space */
    assert_int_equal(asked, 2);
    pass_time(w, 3 * SECOND);
    assert_int_equal(asked, 3);
    pass_time(w, 61 * SECOND);
    assert_failed(w, c, "connection-timeout");
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               "stream-limit peer=memory limit=silence jid=romeo@localhost/s");
    world_free(w);
}

/* Whoever says something now and then is never asked. */
static void talking_peers_are_not_asked(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    int asked = 0;
    on_silence(w, &asked);
    client *c = bound(w, "r");
    for (int i = 0; i < 20; i++) {
        pass_time(w, 600 * SECOND);
        say(w, c, " ");
    }
    assert_int_equal(asked, 0);
    assert_false(c->at_end);
    world_free(w);
}

static const char *message_of(world *w, const char *body)
{
    return svi_arena_printf(w->arena, "<message to='romeo@localhost/r'><body>%s</body></message>",
                            body)
        .p;
}

/* The limits of a user, not a stranger's, hold behind login; a stanza may be larger than the credit. */
static void bound_streams_have_the_users_limits(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = bound(w, "r");
    char *big = svi_arena_get(w->arena, 300001);
    memset(big, 'a', 180000);
    (void)heard(w, c);
    say(w, c, message_of(w, big));
    assert_has(heard(w, c), "aaaa</body></message>");
    memset(big, 'a', 300000);
    say(w, c, message_of(w, big));
    assert_failed(w, c, "policy-violation");
    world_free(w);
}

/* Architecture 3.7: also the stream's own answers are bounded for one who does not read them. */
static void own_answers_are_bounded(void **state)
{
    (void)state;
    setting s = PLAIN;
    s.limits = svi_limits_default();
    s.limits.rate = 0; /* no time passes here by itself */
    s.limits.queue_soft_bytes = 10000;
    s.limits.queue_hard_bytes = 20000;
    world *w = world_new(s);
    client *c = bound(w, "r");
    const char *said = svi_arena_printf(w->arena,
                                        "<iq type='set' id='%05000d'><session "
                                        "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
                                        1)
                           .p;
    const sv_session *session;
    size_t most = 0;
    c->broken = true; /* run() leaves its link alone: it does not read */
    for (int i = 0; i < 1000; i++) {
        (void)c->link->ops->write(c->link, said, strlen(said));
        run(w);
        session = svi_session_find(w->server, SV_STR("romeo@localhost/r"));
        if (session == NULL) break;
        const size_t now = svi_conn_queued_bytes(svi_session_conn(session));
        if (now > most) most = now;
    }
    assert_in_range(most, 10000, 26000);
    assert_null(session);
    pass_time(w, 6 * 1000000);
    assert_int_equal(svi_session_count(w->server), 0);
    world_free(w);
}

/* Threats R2: a stranger that asks again and again and reads none of the challenges. */
static void answers_to_strangers_are_bounded(void **state)
{
    (void)state;
    setting s = PLAIN;
    s.limits = svi_limits_default();
    s.limits.stranger_rate = 0; /* no time passes here by itself */
    s.limits.auth_tries = 1000; /* else these end it first */
    world *w = world_new(s);
    client *c = opened(w);
    const char *said =
        sasl_text(w, "auth", " mechanism='SCRAM-SHA-256'",
                  svi_arena_printf(w->arena, "n,,n=romeo,r=%03000d", 1));
    c->broken = true;
    for (int i = 0; i < 500; i++) {
        (void)c->link->ops->write(c->link, said, strlen(said));
        run(w);
    }
    c->broken = false;
    pass_time(w, 1000000);
    assert_failed(w, c, "resource-constraint");
    world_free(w);
}

static void shutdown_tells_everybody(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_in_over_starttls),
        cmocka_unit_test(logs_in_byte_by_byte),
        cmocka_unit_test(a_proxys_header_has_a_deadline),
        cmocka_unit_test(logs_in_over_direct_tls),
        cmocka_unit_test(ids_are_never_the_same),
        cmocka_unit_test(plain_text_behind_starttls_is_dropped),
        cmocka_unit_test(what_was_said_before_tls_is_forgotten),
        cmocka_unit_test(no_login_without_tls),
        cmocka_unit_test(loopback_may_log_in_without_tls),
        cmocka_unit_test(starttls_fails_where_it_is_not_offered),
        cmocka_unit_test(every_step_has_its_deadline),
        cmocka_unit_test(login_has_a_deadline_in_all),
        cmocka_unit_test(a_stalled_handshake_ends),
        cmocka_unit_test(bound_streams_have_no_deadline),
        cmocka_unit_test(silent_peers_are_asked_and_given_up),
        cmocka_unit_test(talking_peers_are_not_asked),
        cmocka_unit_test(bound_streams_have_the_users_limits),
        cmocka_unit_test(own_answers_are_bounded),
        cmocka_unit_test(answers_to_strangers_are_bounded),
        cmocka_unit_test(shutdown_tells_everybody),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
