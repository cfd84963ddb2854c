/* Tests of logins by certificate (XEP-0178 2, RFC 4422 appendix A): to whom EXTERNAL is offered, who one
 * is then, how tries count. */
#include "store/store.h"
#include "xmpp/xmpp_external_testing.h"
#include "xmpp/xmpp_penalty.h"

static void a_certificate_logs_in(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    const alt_name name = {.value = SV_STR_INIT("Romeo@LOCALHOST")};
    client *c = came_with(w, issue(&(wanted){.subject = "a\nb", .names = &name, .name_count = 1}, &root));
    /* first of all (RFC 6120 6.3.4) */
    assert_has(heard(w, c), "<mechanisms xmlns='" SASL_NS "'>" OFFER "<mechanism>SCRAM-SHA-512-PLUS");
    say(w, c, AUTH("="));
    assert_string_equal(heard(w, c), "<success xmlns='" SASL_NS "'></success>");
    say(w, c, STREAM);
    assert_lacks(heard(w, c), "<mechanism");
    assert_has(bind_resource(w, c, "r"), "<jid>romeo@localhost/r</jid>");
    const char *log = svi_arena_str(w->arena, svi_buf_str(&w->log)).p;
    assert_has(log, "user=romeo tls=yes mechanism=EXTERNAL binding=none certificate=");
    assert_has(log, "subject=\"CN=a\\\\0Ab\"");
    world_free(w);
}

static void without_an_initial_response_it_is_asked_for(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    client *c = came_as(w, "romeo@localhost");
    (void)heard(w, c);
    say(w, c, "<auth xmlns='" SASL_NS "' mechanism='EXTERNAL'/>");
    assert_string_equal(heard(w, c), "<challenge xmlns='" SASL_NS "'></challenge>");
    say(w, c, "<response xmlns='" SASL_NS "'/>");
    assert_has(heard(w, c), "<success");
    world_free(w);
}

/* XEP-0178 2 steps 10 and 11: whom the client names, and what comes of it. */
static void rules_of_names(void **state)
{
    (void)state;
    static const struct {
        const char *names[3], *authzid, *answer;
    } cases[] = {
        {{"romeo@localhost"}, "", "<success"},
        {{"romeo@localhost"}, "romeo@localhost", "<success"},
        {{"romeo@localhost"}, "ROMEO@Localhost.", "<success"},
        {{"romeo@localhost", "romeo@localhost"}, "", "<success"},
        {{"romeo@localhost", "Romeo@localhost"}, "", "<success"},
        {{"romeo@localhost", "juliet@other.test"}, "", "<success"},
        {{"nurse@localhost", "romeo@localhost"}, "romeo@localhost", "<success"},
        {{"nurse@localhost", "romeo@localhost"}, "", "<invalid-authzid/>"},
        {{"nurse@localhost", "romeo@localhost"}, "juliet@localhost", "<invalid-authzid/>"},
        {{"romeo@localhost"}, "juliet@localhost", "<invalid-authzid/>"}, /* threats A1 */
        {{"romeo@localhost"}, "romeo@other.test", "<invalid-authzid/>"},
        {{"romeo@localhost", "romeo@other.test"}, "romeo@other.test", "<invalid-authzid/>"},
        {{"romeo@localhost"}, "romeo@localhost/r", "<invalid-authzid/>"}, /* RFC 6120 6.3.8 */
        {{"romeo@localhost"}, "localhost", "<invalid-authzid/>"},
        {{"romeo@localhost"}, "romeo", "<invalid-authzid/>"},
        {{"romeo@localhost"}, "@", "<invalid-authzid/>"},
        {{"nurse@localhost"}, "", "<not-authorized/>"}, /* no such account */
        {{"nurse@localhost", "romeo@localhost"}, "nurse@localhost", "<not-authorized/>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = asking(DIRECT);
        alt_name names[3];
        wanted want = {.subject = "x", .names = names};
        while (want.name_count < 3 && cases[i].names[want.name_count]) {
            names[want.name_count] = (alt_name){.value = sv_str_of(cases[i].names[want.name_count])};
            want.name_count++;
        }
        client *c = came_with(w, issue(&want, &root));
        assert_has(heard(w, c), OFFER);
        say(w, c,
            *cases[i].authzid
                ? sasl_text(w, "auth", " mechanism='EXTERNAL'", sv_str_of(cases[i].authzid))
                : AUTH("="));
        const char *answer = heard(w, c);
        if (!strstr(answer, cases[i].answer)) fail_msg("case %zu: %s", i, answer);
        world_free(w);
    }
}

static void malformed_messages(void **state)
{
    (void)state;
    static const sv_str wrong[] = {SV_STR_INIT("romeo@localhost\0"), SV_STR_INIT("\0"),
                                 SV_STR_INIT("romeo\xff@localhost")};
    world *w = asking(DIRECT);
    client *c = came_as(w, "romeo@localhost");
    (void)heard(w, c);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        say(w, c, sasl_text(w, "auth", " mechanism='EXTERNAL'", wrong[i]));
        assert_string_equal(heard(w, c), FAILED("malformed-request"));
    }
    say(w, c, AUTH("="));
    assert_has(heard(w, c), "<success");
    world_free(w);
}

static void assert_not_offered(world *w, client *c)
{
    const char *features = heard(w, c);
    assert_has(features, "<mechanism>SCRAM-SHA-256</mechanism>");
    assert_lacks(features, "EXTERNAL");
    say(w, c, AUTH("="));
    assert_string_equal(heard(w, c), FAILED("invalid-mechanism"));
    /* and the stream is as good as any */
    assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
}

/* What is no good ends nothing: TLS goes on, and other mechanisms are there (RFC 6120 13.7.2.2.2,
 * 13.7.2.2.3). */
static void bad_certificates_end_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {
        "romeo@other.test", "romeo@example.org", "localhost",  "romeo@localhost/r", "@localhost",
        "ro meo@localhost", "romeo",             "\u265a@localhost"};
    world *w = asking(DIRECT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_not_offered(w, came_as(w, names[i]));
    assert_not_offered(w, came_as(w, NULL));
    assert_not_offered(w, came_with(w, (issued){NULL, NULL}));
    assert_not_offered(w, came_with(w, issue_for("romeo@localhost", NULL)));
    assert_not_offered(w, came_with(w, issue_for("romeo@localhost", &other_root)));
    world_free(w);
}

static void only_inside_tls(void **state)
{
    (void)state;
    world *w = asking((setting){.mode = SVI_TLS_STARTTLS});
    client *c = opened(w);
    assert_lacks(heard(w, c), "EXTERNAL");
    say(w, c, AUTH("="));
    assert_string_equal(heard(w, c), FAILED("invalid-mechanism"));
    say(w, c, STARTTLS);
    (void)heard(w, c);
    issued mine = issue_for("romeo@localhost", &root);
    c->ssl = svi_tls_attach(w->client_tls, c->link, NULL);
    assert_int_equal(SSL_use_certificate(c->ssl, mine.cert), 1);
    assert_int_equal(SSL_use_PrivateKey(c->ssl, mine.key), 1);
    issued_free(&mine);
    run(w);
    say(w, c, STREAM);
    assert_has(heard(w, c), OFFER);
    say(w, c, AUTH("="));
    assert_has(heard(w, c), "<success");
    world_free(w);
}

/* RFC 6120 6.4.6. */
static void a_from_must_be_the_same(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    issued mine = issue_for("romeo@localhost", &root);
    client *c = shown(w, &mine, NULL);
    issued_free(&mine);
    say(w, c, HEADER("to='localhost' from='juliet@localhost' version='1.0'"));
    say(w, c, AUTH("="));
    assert_failed(w, c, "invalid-from");
    world_free(w);
}

static void tries_are_counted(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    client *c = came_as(w, "nurse@localhost");
    (void)heard(w, c);
    for (int i = 0; i < 4; i++) {
        say(w, c, AUTH("="));
        assert_string_equal(heard(w, c), FAILED("not-authorized"));
    }
    say(w, c, AUTH("="));
    assert_failed(w, c, "policy-violation");
    /* ... and over streams, like wrong passwords */
    for (int i = 0; i < 2; i++) {
        c = came_as(w, "nurse@localhost");
        for (int k = 0; k < 4; k++) say(w, c, AUTH("="));
    }
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login-held-back ");
    for (int i = 0; i < 4; i++) pass_time(w, SVI_PENALTY_DELAY_MAX_US);
    world_free(w);
}

/* Nobody locks an account's owner out by wrong passwords. */
static void locks_are_for_guesses(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    for (unsigned i = 0; i < SVI_PENALTY_LOCK + 10; i++) {
        client *c = client_new(w);
        c->ssl = svi_tls_attach(w->client_tls, c->link, "localhost");
        say(w, c, STREAM);
        (void)heard(w, c);
        say(w, c, sasl_text(w, "auth", " mechanism='PLAIN'", SV_STR("\0romeo\0wrong")));
        pass_time(w, SVI_PENALTY_DELAY_MAX_US);
        client_close(c);
        run(w);
        svi_buf_free(&c->in);
        svi_buf_free(&c->out);
        w->client_count--;
        *c = (client){.link = NULL};
    }
    assert_true(svi_server_locked(w->server) > 0);
    client *c = came_as(w, "romeo@localhost");
    (void)heard(w, c);
    say_auth(w, c, "romeo");
    assert_string_equal(heard(w, c), FAILED("temporary-auth-failure"));
    say(w, c, AUTH("="));
    assert_has(heard(w, c), "<success");
    world_free(w);
}

static void set_state(world *w, const char *text)
{
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    assert_int_equal(svi_unit_put(unit, svi_host_accounts(w->host), SV_STR("romeo"),
                                  SV_STR("state"), sv_str_of(text)),
                     SV_OK);
    (void)svi_unit_submit(&unit);
    run(w);
}

static void disabled_accounts_stay_out(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    set_state(w, "disabled");
    client *c = came_as(w, "romeo@localhost");
    (void)heard(w, c);
    say(w, c, AUTH("="));
    assert_string_equal(heard(w, c), FAILED("account-disabled"));
    set_state(w, "active");
    say(w, c, AUTH("="));
    assert_has(heard(w, c), "<success");
    world_free(w);
}

/* RFC 6120 13.7.2.3. */
static void it_goes_when_its_certificate_expires(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    client *c = came_as(w, "romeo@localhost");
    (void)heard(w, c);
    say(w, c, AUTH("="));
    say(w, c, STREAM);
    (void)bind_resource(w, c, "r");
    pass_time(w, DAY_S * 1000000 - w->clock.now_us - 1000000);
    assert_false(c->at_end);
    pass_time(w, 2000000);
    assert_failed(w, c, "reset");
    world_free(w);
}

static void it_may_expire_before_the_login(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    const alt_name name = {.value = SV_STR_INIT("romeo@localhost")};
    client *c = came_with(w, issue(&(wanted){.subject = "x", .names = &name, .name_count = 1,
                                             .to_s = TODAY_S + 10}, &root));
    assert_has(heard(w, c), OFFER);
    pass_time(w, 11000000);
    say(w, c, AUTH("="));
    assert_string_equal(heard(w, c), FAILED("not-authorized"));
    world_free(w);
}

static void ended_while_the_account_is_looked_up(void **state)
{
    (void)state;
    world *w = asking(DIRECT);
    client *c = came_as(w, "nurse@localhost"), *d = came_as(w, "nurse@localhost");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, AUTH("="));
    say(w, d, AUTH("="));
    client_close(c);
    pass_time(w, 61 * 1000000); /* longer than any login may take */
    assert_failed(w, d, "connection-timeout");
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    assert_lacks(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login-failed ");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_logs_in),
        cmocka_unit_test(without_an_initial_response_it_is_asked_for),
        cmocka_unit_test(rules_of_names),
        cmocka_unit_test(malformed_messages),
        cmocka_unit_test(bad_certificates_end_nothing),
        cmocka_unit_test(only_inside_tls),
        cmocka_unit_test(a_from_must_be_the_same),
        cmocka_unit_test(tries_are_counted),
        cmocka_unit_test(locks_are_for_guesses),
        cmocka_unit_test(disabled_accounts_stay_out),
        cmocka_unit_test(it_goes_when_its_certificate_expires),
        cmocka_unit_test(it_may_expire_before_the_login),
        cmocka_unit_test(ended_while_the_account_is_looked_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
