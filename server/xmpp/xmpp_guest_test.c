/* Tests of guests on streams (XEP-0175, RFC 4505): where ANONYMOUS is offered, what name one gets, how
 * many there may be. What guests may do is in tests/modules/guests_test.c. */
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_stream_testing.h"

#define OFFER "<mechanism>ANONYMOUS</mechanism>"
#define AUTH "<auth xmlns='" SASL_NS "' mechanism='ANONYMOUS'>=</auth>"
#define FAILED(name) "<failure xmlns='" SASL_NS "'><" name "/></failure>"
#define TEN 10

static world *with_guests(svi_logins logins)
{
    return world_new((setting){.logins = logins, .guests_max = TEN});
}

/* A guest's whole address, after binding. */
static sv_jid guest(world *w, client *c, const char *resource)
{
    sv_jid jid;
    say(w, c, AUTH);
    assert_has(heard(w, c), "<success xmlns='" SASL_NS "'></success>");
    say(w, c, STREAM);
    (void)heard(w, c);
    const char *at = strstr(bind_resource(w, c, resource), "<jid>");
    assert_non_null(at);
    at += 5;
    assert_int_equal(svi_jid_parse(w->arena, (sv_str){at, strcspn(at, "<")}, &jid), SV_OK);
    return jid;
}

/* Threats A7. */
static void not_offered_and_refused_when_off(void **state)
{
    (void)state;
    world *w = with_guests(SVI_LOGINS_ACCOUNTS);
    client *c = opened(w);
    assert_lacks(heard(w, c), "ANONYMOUS");
    say(w, c, AUTH);
    assert_string_equal(heard(w, c), FAILED("invalid-mechanism"));
    log_in(w, c, "romeo", "rosaline");
    world_free(w);
}

/* Last of all, or alone. */
static void offered_where_guests_are(void **state)
{
    (void)state;
    world *w = with_guests(SVI_LOGINS_BOTH);
    client *c = opened(w);
    assert_has(heard(w, c), "<mechanism>SCRAM-SHA-1</mechanism>" OFFER "</mechanisms>");
    log_in(w, c, "romeo", "rosaline");
    world_free(w);
    w = with_guests(SVI_LOGINS_GUESTS);
    c = opened(w);
    assert_has(heard(w, c), "<mechanisms xmlns='" SASL_NS "'>" OFFER "</mechanisms>");
    say_auth(w, c, "romeo");
    assert_string_equal(heard(w, c), FAILED("invalid-mechanism"));
    say(w, c, sasl_text(w, "auth", " mechanism='PLAIN'", SV_STR("\0romeo\0rosaline")));
    assert_string_equal(heard(w, c), FAILED("invalid-mechanism"));
    (void)guest(w, c, NULL);
    world_free(w);
}

static void under_the_rules_of_all_mechanisms(void **state)
{
    (void)state;
    setting s = STARTTLS_ONLY;
    s.logins = SVI_LOGINS_GUESTS;
    s.guests_max = TEN;
    world *w = world_new(s);
    client *c = opened(w);
    assert_lacks(heard(w, c), "ANONYMOUS");
    say(w, c, AUTH);
    assert_string_equal(heard(w, c), FAILED("encryption-required"));
    say(w, c, STARTTLS);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    assert_has(heard(w, c), OFFER);
    (void)guest(w, c, NULL);
    world_free(w);
}

static void each_gets_a_name_of_its_own(void **state)
{
    (void)state;
    world *w = with_guests(SVI_LOGINS_BOTH);
    sv_jid seen[TEN];
    for (size_t i = 0; i < TEN; i++) {
        seen[i] = guest(w, opened(w), i % 2 ? "web" : NULL);
        /* RFC 4122 4.4 */
        assert_int_equal(seen[i].node.n, SVI_GUEST_NAME_BYTES);
        assert_int_equal(seen[i].node.p[14], '4');
        assert_non_null(strchr("89ab", seen[i].node.p[19]));
        assert_true(svi_guest_is(w->host, seen[i].node));
        assert_false(svi_guest_is(w->other, seen[i].node)); /* another host's */
        for (size_t k = 0; k < i; k++) assert_false(sv_str_eq(seen[i].node, seen[k].node));
    }
    const char *log = svi_arena_str(w->arena, svi_buf_str(&w->log)).p;
    assert_int_equal(count_of(log, "mechanism=ANONYMOUS"), TEN);
    world_free(w);
}

/* Nobody makes one up, and no account is taken for one. */
static void only_given_names_are_guests(void **state)
{
    (void)state;
    world *w = with_guests(SVI_LOGINS_BOTH);
    char name[SVI_GUEST_NAME_BYTES + 1], changed[SVI_GUEST_NAME_BYTES + 1];
    svi_guest_name(w->host, name);
    const sv_str good = sv_str_of(name);
    assert_true(svi_guest_is(w->host, good));
    for (size_t i = 0; i < SVI_GUEST_NAME_BYTES; i++) {
        memcpy(changed, name, sizeof name);
        changed[i] = name[i] == '-' ? 'a' : name[i] == '0' ? '1' : '0';
        assert_false(svi_guest_is(w->host, sv_str_of(changed)));
        assert_false(svi_guest_is(w->host, svi_str_sub(good, 0, i)));
    }
    assert_false(svi_guest_is(w->host, SV_STR("romeo")));
    assert_false(svi_guest_is(w->host, SV_STR("f81d4fae-7dec-41d0-a765-00a0c91e6bf6")));
    assert_int_equal(set_account(w, name, "rosaline", false), SV_EDENIED);
    assert_int_equal(set_account(w, "f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "rosaline", false),
                     SV_OK);
    world *off = with_guests(SVI_LOGINS_ACCOUNTS);
    assert_false(svi_guest_is(off->host, good));
    world_free(off);
    world_free(w);
}

/* RFC 4505 2: looked over and forgotten. */
static void traces_name_nobody(void **state)
{
    (void)state;
    char longest[1021];
    memset(longest, 'x', sizeof longest);
    const struct {
        sv_str trace;
        bool fits;
    } cases[] = {
        {SV_STR("sirhc"), true},          {SV_STR("romeo@localhost"), true},
        {{longest, 1020}, true},          {{longest, 1021}, false},
        {SV_STR("a\0b"), false},          {SV_STR("a\nb"), false},
        {SV_STR("\xff"), false},          {SV_STR("\x7f"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = with_guests(SVI_LOGINS_BOTH);
        client *c = opened(w);
        (void)heard(w, c);
        say(w, c, sasl_text(w, "auth", " mechanism='ANONYMOUS'", cases[i].trace));
        const char *answer = heard(w, c);
        if (!strstr(answer, cases[i].fits ? "<success" : "<malformed-request/>"))
            fail_msg("case %zu: %s", i, answer);
        const char *log = svi_arena_str(w->arena, svi_buf_str(&w->log)).p;
        assert_lacks(log, "sirhc");
        assert_lacks(log, "user=romeo");
        world_free(w);
    }
}

static void a_from_names_nobody(void **state)
{
    (void)state;
    setting s = {.mode = SVI_TLS_DIRECT, .logins = SVI_LOGINS_BOTH, .guests_max = TEN};
    world *w = world_new(s);
    client *c = client_new(w);
    start_tls_layer(w, c);
    say(w, c, HEADER("to='localhost' from='romeo@localhost' version='1.0'"));
    (void)heard(w, c);
    const sv_jid jid = guest(w, c, NULL);
    assert_true(svi_guest_is(w->host, jid.node));
    world_free(w);
}

static void their_number_is_bounded(void **state)
{
    (void)state;
    world *w = with_guests(SVI_LOGINS_BOTH);
    client *first = opened(w);
    (void)guest(w, first, NULL);
    for (size_t i = 1; i < TEN; i++) (void)guest(w, opened(w), NULL);
    client *c = opened(w);
    (void)heard(w, c);
    say(w, c, AUTH);
    assert_string_equal(heard(w, c), FAILED("temporary-auth-failure"));
    client_close(first);
    run(w);
    (void)guest(w, c, NULL);
    client *d = opened(w);
    (void)heard(w, d);
    log_in(w, d, "romeo", "rosaline"); /* accounts have nothing to do with it */
    world_free(w);
}

static int set_up(void **state)
{
    (void)state;
    make_certificate();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_certificate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_offered_and_refused_when_off),
        cmocka_unit_test(offered_where_guests_are),
        cmocka_unit_test(under_the_rules_of_all_mechanisms),
        cmocka_unit_test(each_gets_a_name_of_its_own),
        cmocka_unit_test(only_given_names_are_guests),
        cmocka_unit_test(traces_name_nobody),
        cmocka_unit_test(a_from_names_nobody),
        cmocka_unit_test(their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
