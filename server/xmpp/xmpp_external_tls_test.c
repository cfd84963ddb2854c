/* Tests of certificates between TLS and a stream: which host judges, and that one counts no longer than
 * it is good: over reloads and in resumed sessions. */
#include "xmpp/xmpp_external_testing.h"

/* Threats D3: the stream's host asks its own authority, whatever name the hello had. */
static void each_host_trusts_its_own(void **state)
{
    (void)state;
    static const struct {
        const issued *by;
        const char *name, *to;
        bool offered;
    } cases[] = {
        {&root, "juliet@other.test", STREAM_TO("other.test"), false},
        {&other_root, "juliet@other.test", STREAM_TO("other.test"), true},
        {&other_root, "juliet@other.test", STREAM_TO("OTHER.test."), true},
        {&other_root, "juliet@other.test", STREAM, false},
        {&other_root, "romeo@localhost", STREAM, false},
        {&root, "romeo@localhost", STREAM_TO("other.test"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = asking(DIRECT);
        issued one = issue_for(cases[i].name, cases[i].by);
        client *c = shown(w, &one, NULL); /* its hello says localhost */
        issued_free(&one);
        say(w, c, cases[i].to);
        const bool offered = strstr(heard(w, c), OFFER) != NULL;
        if (offered != cases[i].offered) fail_msg("case %zu", i);
        world_free(w);
    }
}

/* A context like the server's that asks, or not, with the keys of tickets that all share. */
static void swap_tls(world *w, svi_tickets *tickets, const issued *of_host)
{
    svi_tls *tls = NULL;
    const svi_tls_config config = {.acct = &w->acct,
                                   .cert_file = sv_str_of(cert_file),
                                   .key_file = sv_str_of(key_file),
                                   .tickets = tickets};
    assert_int_equal(svi_tls_new(&config, &tls, NULL), SV_OK);
    if (of_host) use_peers(w, tls, of_host, NULL);
    svi_listener_set_tls(w->listener, tls);
    svi_tls_unref(&w->server_tls);
    w->server_tls = tls;
}

static svi_tickets *ticket_keys(world *w)
{
    svi_ticket_key key;
    memset(&key, 7, sizeof key);
    svi_tickets *tickets = svi_tickets_new(&w->acct);
    svi_tickets_set(tickets, &key, 1);
    return tickets;
}

static void end_with(world *w, svi_tickets **tickets)
{
    for (size_t i = 0; i < w->client_count; i++) client_close(&w->clients[i]);
    run(w);
    svi_tls *tls = w->server_tls;
    w->server_tls = NULL;
    svi_server_free(&w->server, 0);
    svi_tls_unref(&tls);
    svi_tickets_free(tickets);
    world_free(w);
}

/* Before a reload: the certificate counted, after it the authority is another. */
static void a_reload_changes_who_is_trusted(void **state)
{
    (void)state;
    const issued *const after[] = {&root, &other_root, NULL};
    for (size_t i = 0; i < 3; i++) {
        world *w = world_new(DIRECT);
        svi_tickets *tickets = ticket_keys(w);
        use_peers(w, w->server_tls, &root, NULL);
        client *c = came_as(w, "romeo@localhost"), *d = came_as(w, "romeo@localhost");
        assert_has(heard(w, c), OFFER);
        (void)heard(w, d);
        say(w, d, AUTH("="));
        swap_tls(w, tickets, after[i]);
        say(w, c, AUTH("="));
        if (after[i] == &root)
            assert_has(heard(w, c), "<success");
        else
            assert_string_equal(heard(w, c), FAILED("not-authorized"));
        assert_has(heard(w, d), "<success");
        end_with(w, &tickets);
    }
}

typedef struct resumption {
    const issued *before, *after; /* whose certificates are asked for; NULL: none are */
    bool shows;                   /* the client has one, at both times */
    bool resumes, offered;
    int64_t wait_us;
} resumption;

/* What a ticket holds is no certificate: it was judged once, by files and a clock of then. Whoever shows
 * one shakes hands in full each time, and so does who was never asked by these files. */
static void sessions_are_resumed_without_identity(void **state)
{
    (void)state;
    static const resumption cases[] = {
        {&root, &root, false, true, false, 0},
        {&root, &root, true, false, true, 0},
        {&root, &other_root, true, false, false, 0},
        {&root, &other_root, false, false, false, 0},
        {NULL, &root, true, false, true, 0}, /* not asked before */
        {NULL, NULL, true, true, false, 0},
        {&root, NULL, true, true, false, 0}, /* nobody asks any more */
        {&root, &root, true, false, false, (DAY_S + 1) * INT64_C(1000000)},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const resumption *r = &cases[i / 2];
        world *w = world_new(DIRECT);
        svi_tickets *tickets = ticket_keys(w);
        issued mine = issue_for("romeo@localhost", &root);
        if (i % 2)
            assert_int_equal(SSL_CTX_set_max_proto_version(svi_tls_context(w->client_tls),
                                                           TLS1_2_VERSION),
                             1);
        swap_tls(w, tickets, r->before);
        client *c = shown(w, r->shows ? &mine : NULL, NULL);
        say(w, c, STREAM);
        if ((strstr(heard(w, c), OFFER) != NULL) != (r->shows && r->before)) fail_msg("%zu", i);
        SSL_SESSION *session = SSL_get1_session(c->ssl);
        assert_int_equal(SSL_SESSION_is_resumable(session), 1);
        swap_tls(w, tickets, r->after);
        pass_time(w, r->wait_us);
        client *again = shown(w, r->shows ? &mine : NULL, session);
        SSL_SESSION_free(session);
        assert_true(again->shaken);
        if ((SSL_session_reused(again->ssl) == 1) != r->resumes) fail_msg("resumed: case %zu", i);
        say(w, again, STREAM);
        if ((strstr(heard(w, again), OFFER) != NULL) != r->offered) fail_msg("offer: case %zu", i);
        issued_free(&mine);
        end_with(w, &tickets);
    }
}

/* More than 16 KiB of certificates is no handshake; it harms nobody else. */
static void huge_certificates(void **state)
{
    (void)state;
    static alt_name many[10000];
    for (size_t i = 0; i < 10000; i++) many[i] = (alt_name){.value = SV_STR_INIT("romeo@localhost")};
    world *w = asking(DIRECT);
    client *by_stander = came_as(w, "romeo@localhost");
    const wanted few = {.subject = "x", .names = many, .name_count = 200};
    client *c = came_with(w, issue(&few, &root));
    assert_lacks(heard(w, c), "EXTERNAL");
    const wanted all = {.subject = "x", .names = many, .name_count = 10000};
    issued huge = issue(&all, &root);
    (void)shown(w, &huge, NULL);
    issued_free(&huge);
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, " tls-failed ");
    say(w, by_stander, AUTH("="));
    assert_has(heard(w, by_stander), "<success");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_trusts_its_own),
        cmocka_unit_test(a_reload_changes_who_is_trusted),
        cmocka_unit_test(sessions_are_resumed_without_identity),
        cmocka_unit_test(huge_certificates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
