/* Tests of SASL on streams: elements and their encoding, retries, look-ups that fail, who has
 * logged in. */
#include "xmpp/xmpp_stream_testing.h"

#define DIRECT ((setting){.mode = SVI_TLS_DIRECT, .is_public = true, .require_tls = true})

static void wrong_passwords_end_the_stream(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = opened(w);
    for (int i = 0; i < 4; i++)
        assert_string_equal(authenticate(w, c, "romeo", "juliet"),
                            "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    assert_has(authenticate(w, c, "romeo", "juliet"),
               "<not-authorized/></failure><stream:error><policy-violation "
               "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
               "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
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
    world *w = world_new(PLAIN);
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
    /* at another host another salt, as two accounts would have */
    client *e = client_new(w);
    say(w, e, STREAM_TO("other.test"));
    (void)heard(w, e);
    say_auth(w, e, "nobody");
    const sv_str three = sasl_data(w, heard(w, e), "challenge");
    assert_int_equal(one.n, three.n);
    assert_string_not_equal(strchr(one.p, ','), strchr(three.p, ','));
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
        /* RFC 6120 6.5.3: not without TLS, whatever the listener is bound to */
        {"<auth xmlns='" SASL_NS "' mechanism='PLAIN'>AHJvbWVvAHJvc2FsaW5l</auth>",
         "<encryption-required/>"},
        {"<auth xmlns='" SASL_NS "' mechanism='LOGIN'>AHJvbWVvAHJvc2FsaW5l</auth>",
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
        world *w = world_new(PLAIN);
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

/* RFC 6120 6.4.2: a second <auth/> throws the first exchange away. Client-first without an
 * initial response: 6.3.10. */
static void a_new_auth_begins_again(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
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

/* An exchange that is begun and left costs a look-up: each counts as a try. */
static void begun_exchanges_are_counted(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *c = opened(w);
    for (int i = 0; i < 5; i++) {
        (void)heard(w, c);
        say_auth(w, c, "romeo");
        assert_has(heard(w, c), "<challenge");
    }
    say_auth(w, c, "romeo");
    assert_failed(w, c, "policy-violation");
    world_free(w);
}

static void a_failing_store_is_temporary(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
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
    world *w = world_new(PLAIN);
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

/* A stream under TLS that may log in. */
static client *secured(world *w)
{
    client *c = client_new(w);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    (void)heard(w, c);
    return c;
}

static void say_plain(world *w, client *c, const char *user, const char *password)
{
    const size_t n = strlen(user), m = strlen(password);
    char text[256] = {0};
    memcpy(text + 1, user, n);
    memcpy(text + n + 2, password, m);
    say(w, c, sasl_text(w, "auth", " mechanism='PLAIN'", (sv_str){text, n + m + 2}));
}

/* RFC 4616 on a stream under TLS: the right password, a wrong one, no such account; the same answer
 * for the last two. */
static void logs_in_with_plain(void **state)
{
    (void)state;
    world *w = world_new(DIRECT);
    client *c = secured(w);
    say_plain(w, c, "romeo", "wrong");
    assert_string_equal(heard(w, c), "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    say_plain(w, c, "nobody", "rosaline");
    assert_string_equal(heard(w, c), "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    say_plain(w, c, "ROMEO", "rosaline");
    assert_string_equal(heard(w, c), "<success xmlns='" SASL_NS "'></success>");
    say(w, c, STREAM);
    assert_has(heard(w, c), "<bind ");
    assert_has(bind_resource(w, c, "balcony"), "<jid>romeo@localhost/balcony</jid>");
    assert_lacks(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, "rosaline");
    world_free(w);
}

/* The connection goes, or the server, while a password is compared: nobody hears of it, nothing is
 * left. And a password that changes meanwhile ends what compares with the old one. */
static void an_end_during_the_work(void **state)
{
    (void)state;
    world *w = world_new(DIRECT);
    client *gone = secured(w), *late = secured(w);
    svi_engine_sim_plan(w->engine)->hold = true;
    say_plain(w, gone, "nobody", "x");
    say_plain(w, late, "nobody2", "x");
    client_close(gone);
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    assert_has(svi_arena_str(w->arena, svi_buf_str(&late->in)).p, "<not-authorized/>");
    say_plain(w, late, "romeo", "rosaline");
    world_free(w); /* with what was just asked */
}

/* Threats A6 over many streams: wrong guesses at one account are answered later and later, then not
 * looked at; the account's name makes no difference. A stream that waits may go. */
static void guesses_are_slowed_and_locked(void **state)
{
    (void)state;
    static const char *const names[] = {"romeo", "nobody"};
    for (size_t k = 0; k < 2; k++) {
        world *w = world_new(PLAIN);
        client *c = NULL;
        for (int i = 0; i < 49; i++) { /* two on each stream: they have 60 s */
            if (i % 2 == 0) {
                if (c) client_close(c);
                c = opened(w);
            }
            const char *answer = authenticate(w, c, names[k], "juliet");
            if (i < 10) assert_has(answer, "<not-authorized/>");
            if (i < 10) continue;
            assert_string_equal(answer, "");
            if (i == 10) pass_time(w, 499000);
            if (i == 10) assert_string_equal(heard(w, c), "");
            pass_time(w, i == 10 ? 2000 : 16000000);
            assert_has(heard(w, c), "<not-authorized/>");
        }
        client_close(c);
        c = opened(w);
        (void)authenticate(w, c, names[k], "juliet");
        client_close(c); /* while it is held back */
        c = opened(w);
        (void)heard(w, c);
        say_auth(w, c, names[k]);
        assert_has(heard(w, c), "<temporary-auth-failure/>");
        assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login-locked ");
        assert_int_equal(svi_server_locked(w->server), 1);
        pass_time(w, (int64_t)15 * 60 * 1000000);
        c = opened(w);
        if (k == 0) log_in(w, c, "romeo", "rosaline");
        world_free(w);
    }
}

/* A guesser does not wait for the answer that is held back: he tries on other streams, in vain meanwhile, whether
 * their exchanges began before or after. */
static void nobody_tries_while_an_answer_is_held_back(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    sv_str first, final;
    for (int i = 0; i < 10; i++) {
        client *c = opened(w);
        assert_has(authenticate(w, c, "romeo", "juliet"), "<not-authorized/>");
        client_close(c);
    }
    client *begun = opened(w), *held = opened(w);
    (void)heard(w, begun);
    say_auth(w, begun, "romeo");
    first = sasl_data(w, heard(w, begun), "challenge");
    final = scram_final(w, "romeo", "rosaline", first, NULL);
    assert_string_equal(authenticate(w, held, "romeo", "juliet"), "");
    say(w, begun, sasl_text(w, "response", "", final));
    assert_has(heard(w, begun), "<temporary-auth-failure/>");
    client *late = opened(w);
    (void)heard(w, late);
    say_auth(w, late, "romeo");
    assert_has(heard(w, late), "<temporary-auth-failure/>");
    pass_time(w, 500000);
    assert_has(heard(w, held), "<not-authorized/>");
    log_in(w, late, "romeo", "rosaline");
    world_free(w);
}

/* As often, on streams of its own. */
static void guess_wrong(world *w, const char *name, int times)
{
    client *c = NULL;
    for (int i = 0; i < times; i++) {
        if (i % 2 == 0) {
            if (c) client_close(c);
            c = secured(w);
        }
        say_plain(w, c, name, "juliet");
        pass_time(w, 16000000);
        assert_has(heard(w, c), "<not-authorized/>");
    }
    client_close(c);
}

/* Threats A6: who begins many exchanges before the lock has none looked at behind it, be the password right. */
static void a_lock_counts_for_what_has_begun(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        world *w = world_new(DIRECT);
        /* an account's keys are in memory by then: its password would be compared without a wait */
        const char *name = k == 0 ? "romeo" : "nobody";
        guess_wrong(w, name, 49);
        client *last = secured(w), *late = secured(w);
        if (k == 0) {
            say_auth(w, late, name);
            const sv_str first = sasl_data(w, heard(w, late), "challenge");
            say_plain(w, last, name, "juliet");
            say(w, late, sasl_text(w, "response", "", scram_final(w, name, "rosaline", first, NULL)));
        } else {
            svi_engine_sim_plan(w->engine)->hold = true;
            say_plain(w, last, name, "juliet");
            say_plain(w, late, name, "rosaline");
            svi_engine_sim_plan(w->engine)->hold = false;
            run(w);
        }
        assert_string_equal(heard(w, late),
                            "<failure xmlns='" SASL_NS "'><temporary-auth-failure/></failure>");
        assert_int_equal(svi_server_locked(w->server), 1);
        pass_time(w, 16000000);
        world_free(w);
    }
}

/* What a proxy's header names is where a login and wrong guesses come from, be it loopback there; and it
 * has no privilege of a loopback listener. */
static void a_proxys_client_is_its_own(void **state)
{
    (void)state;
    world *w = world_new((setting){.is_relayed = true});
    client *c = NULL;
    for (int i = 0; i < 11; i++) {
        if (i % 2 == 0) {
            if (c) client_close(c);
            c = client_new(w);
            say(w, c, "PROXY TCP4 127.0.0.1 198.51.100.1 4711 5222\r\n" STREAM);
        }
        const char *answer = authenticate(w, c, svi_arena_printf(w->arena, "u%d", i).p, "juliet");
        if (i < 10) assert_has(answer, "<not-authorized/>");
    }
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               " login-held-back peer=127.0.0.1:4711 ");
    client_close(c);
    c = client_new(w);
    say(w, c, "PROXY TCP4 192.0.2.1 198.51.100.1 4713 5222\r\n" STREAM);
    (void)heard(w, c);
    assert_has(authenticate(w, c, "nobody", "juliet"), "<not-authorized/>"); /* at once */
    assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " login peer=192.0.2.1:4713 ");
    pass_time(w, 500000); /* the one that is held back sees its end */
    world_free(w);
    w = world_new((setting){.mode = SVI_TLS_STARTTLS, .require_tls = true, .is_relayed = true});
    c = client_new(w);
    say(w, c, "PROXY UNKNOWN\r\n" STREAM);
    assert_lacks(heard(w, c), "<mechanisms");
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

/* By any password mechanism; who does not know the password is told what everybody is told (threats A4). */
static void disabled_accounts_stay_out(void **state)
{
    (void)state;
    world *w = world_new(DIRECT);
    client *c = secured(w);
    set_state(w, "disabled");
    say_plain(w, c, "romeo", "juliet");
    assert_string_equal(heard(w, c), "<failure xmlns='" SASL_NS "'><not-authorized/></failure>");
    assert_has(authenticate(w, c, "romeo", "juliet"), "<not-authorized/>");
    say_plain(w, c, "romeo", "rosaline");
    assert_string_equal(heard(w, c), "<failure xmlns='" SASL_NS "'><account-disabled/></failure>");
    assert_string_equal(authenticate(w, c, "romeo", "rosaline"),
                        "<failure xmlns='" SASL_NS "'><account-disabled/></failure>");
    set_state(w, "active");
    log_in(w, c, "romeo", "rosaline");
    world_free(w);
}

/* RFC 6120 6.4.6: who says under TLS that it is somebody, and logs in as somebody else. */
static void from_must_fit_the_login(void **state)
{
    (void)state;
    world *w = world_new(STARTTLS_ONLY);
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
    world *w = world_new(PLAIN);
    client *c = opened(w);
    assert_has(authenticate(w, c, "romeo", "rosaline"), "<success");
    say(w, c, STREAM_TO("other.test"));
    assert_failed(w, c, "not-authorized");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_passwords_end_the_stream),
        cmocka_unit_test(unknown_names_are_told_the_same),
        cmocka_unit_test(judges_sasl_elements),
        cmocka_unit_test(a_new_auth_begins_again),
        cmocka_unit_test(begun_exchanges_are_counted),
        cmocka_unit_test(a_failing_store_is_temporary),
        cmocka_unit_test(an_end_during_the_look_up),
        cmocka_unit_test(logs_in_with_plain),
        cmocka_unit_test(an_end_during_the_work),
        cmocka_unit_test(guesses_are_slowed_and_locked),
        cmocka_unit_test(nobody_tries_while_an_answer_is_held_back),
        cmocka_unit_test(a_lock_counts_for_what_has_begun),
        cmocka_unit_test(a_proxys_client_is_its_own),
        cmocka_unit_test(disabled_accounts_stay_out),
        cmocka_unit_test(from_must_fit_the_login),
        cmocka_unit_test(a_login_stays_at_its_host),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
