/* Tests of net as the router sees it. Each body runs inline over memory links, inline over
 * socket pairs on a loop, and with two I/O threads. */
#include "net/net_test_util.h"

static void echoes_whatever_the_pieces(void **state)
{
    (void)state;
    static const size_t chops[] = {0, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        world *w = plain();
        svi_link_pairs_chop(w->pairs, chops[i]);
        client *c = client_new(w);
        client_send(c, STREAM "<message id='a'><body>one</body></message> <message id='b'/>");
        client_send(c, "<message id='c'><body>&lt;three&gt;</body></message></stream:stream>");
        assert_until(w, w->conns[0].ends >= 1);
        assert_string_equal(w->conns[0].ids, "abc");
        assert_string_equal(w->conns[0].info_of_conn.peer, "memory");
        assert_true(w->conns[0].info_of_conn.loopback);
        assert_until(w, count_text(c, "&lt;three") >= 1);
        assert_int_equal(count_text(c, "<body>one</body>"), 1);
        settle(w);
        assert_int_equal(w->conns[0].sent_count, 3);
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(w->conns[0].sent[k], k + 1);
            assert_true(w->conns[0].written[k]);
        }
        assert_int_equal(svi_conn_queued_bytes(w->conns[0].conn), 0);
        world_free(w);
    }
}

/* The connection has that channel binding with this data. */
static void assert_binding(const seen *s, size_t i, const char *type, const uint8_t *data, size_t n)
{
    assert_true(i < s->info.binding_count);
    assert_string_equal(s->info.bindings[i].type, type);
    assert_int_equal(s->info.bindings[i].n, n);
    assert_memory_equal(s->info.bindings[i].data, data, n);
}

/* RFC 5929 4.1: SHA-256 of the certificate that the client was shown, which is signed with that. */
static void expect_end_point(const seen *s, size_t i, SSL *ssl)
{
    uint8_t digest[32];
    unsigned n = 0;
    assert_int_equal(X509_digest(SSL_get0_peer_certificate(ssl), EVP_sha256(), digest, &n), 1);
    assert_binding(s, i, "tls-server-end-point", digest, n);
}

static void tls_tells_what_was_agreed(void **state)
{
    (void)state;
    world *w = tls_world();
    svi_link_pairs_chop(w->pairs, 11);
    client *c = streaming(w, true);
    seen *s = &w->conns[0];
    assert_int_equal(s->tls, 1);
    assert_string_equal(s->info.version, "TLSv1.3");
    assert_string_equal(s->info.sni, "stave.test");
    assert_string_equal(s->info.alpn, "");
    assert_false(s->info.resumed);
    uint8_t mine[32];
    assert_int_equal(SSL_export_keying_material(c->ssl, mine, sizeof mine,
                                                "EXPORTER-Channel-Binding", 24, NULL, 0, 1),
                     1);
    assert_binding(s, 0, "tls-exporter", mine, sizeof mine);
    expect_end_point(s, 2, c->ssl);
    assert_int_equal(s->info.binding_count, 3);
    for (size_t i = 0; i < 3; i++) /* RFC 8446 C.5: none is told of tls-unique in TLS 1.3 */
        assert_int_equal(s->info.bindings[i].is_silent,
                         strcmp(s->info.bindings[i].type, "tls-unique") == 0);
    client_send(c, "<message id='x'><body>hi</body></message>");
    assert_until(w, count_text(c, "<body>hi</body>") >= 1);
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    assert_int_equal(stats.handshakes, 1);
    world_free(w);
}

static void starttls_drops_what_was_pipelined(void **state)
{
    (void)state;
    static const size_t chops[] = {0, 13};
    for (size_t i = 0; i < 2; i++) {
        world *w = world_new(&(setting){.way = run_way, .mode = SVI_TLS_STARTTLS});
        w->stay_in_step = true;
        client *c = client_new(w);
        /* Threats T1: all in one write, so that the server has read it before it says proceed. */
        client_send(c, STREAM "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                              "<message id='evil'/>");
        assert_until(w, count_text(c, "<proceed") >= 1);
        svi_link_pairs_chop(w->pairs, chops[i]);
        w->stay_in_step = false;
        client_tls(w, c);
        client_send(c, STREAM "<message id='good'/>");
        assert_until(w, count_text(c, "good") >= 1);
        assert_string_equal(w->conns[0].ids, "good");
        assert_int_equal(w->conns[0].headers, 2);
        assert_int_equal(w->conns[0].tls, 1);
        assert_int_equal(w->conns[0].stanzas, 2);
        world_free(w);
    }
}

/* What the router sends behind svi_conn_starttls waits for the handshake and goes inside. */
static void output_behind_starttls_is_inside_tls(void **state)
{
    (void)state;
    world *w = world_new(&(setting){.way = run_way, .mode = SVI_TLS_STARTTLS});
    w->no_go = true;
    client *c = client_new(w);
    client_send(c, STREAM "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_until(w, w->conns[0].headers >= 1);
    svi_conn_go(w->conns[0].conn);
    assert_until(w, w->conns[0].stanzas >= 1);
    svi_conn_write(w->conns[0].conn, SV_STR("secret"));
    assert_until(w, count_text(c, "<proceed") >= 1);
    settle(w);
    assert_int_equal(count_text(c, "secret"), 0);
    client_tls(w, c);
    assert_until(w, count_text(c, "secret") >= 1);
    world_free(w);
}

/* No connection gets more than its share of a turn, however much it has sent. */
static void a_turn_reads_a_bounded_share(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* counts turns */
    world *w = plain();
    client *c = streaming(w, false);
    w->echo = false;
    send_many(c, 3000);
    svi_net_stats before, after;
    int turns = 0;
    while (w->conns[0].stanzas < 3000) {
        (void)client_step(c);
        (void)svi_link_pairs_run(w->pairs);
        svi_net_stats_get(w->net, &before);
        (void)svi_net_turn(w->net, 0);
        svi_net_stats_get(w->net, &after);
        assert_in_range(after.bytes_in - before.bytes_in, 0, SVI_READ_TURN_BYTES);
        assert_true(turns++ < 100);
    }
    world_free(w);
}

/* A router that takes a few events at a time is woken for the rest. */
static void a_turn_may_be_cut_short(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* counts events */
    world *w = plain();
    client *c = streaming(w, false);
    w->echo = false;
    send_many(c, 10);
    (void)client_step(c);
    (void)svi_link_pairs_run(w->pairs);
    for (int i = 1; i <= 10; i++) {
        uint64_t woken = 0;
        (void)!read(w->wake_fd, &woken, sizeof woken);
        assert_int_equal(svi_net_turn(w->net, 1) > 0, true);
        assert_int_equal(w->conns[0].stanzas, i);
        assert_int_equal(read(w->wake_fd, &woken, sizeof woken) > 0, i < 10);
    }
    world_free(w);
}

static int64_t hurrying_us(void *ctx)
{
    return ((svi_plat_virtual *)ctx)->now_us += 15000;
}

/* Events that take long are few in a turn: timers do not wait for a whole ring of them. */
static void a_turn_of_slow_events_is_short(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* counts events */
    world *w = plain();
    client *c = streaming(w, false);
    w->echo = false;
    send_many(c, 10);
    (void)client_step(c);
    (void)svi_link_pairs_run(w->pairs);
    w->clock.plat.coarse_us = hurrying_us;
    for (int i = 1; i <= 5; i++) {
        uint64_t woken = 0;
        (void)!read(w->wake_fd, &woken, sizeof woken);
        assert_int_equal(svi_net_turn(w->net, 0) > 0, true);
        assert_int_equal(w->conns[0].stanzas, 2 * i);
        assert_int_equal(read(w->wake_fd, &woken, sizeof woken) > 0, i < 5);
    }
    w->clock.plat.coarse_us = NULL;
    world_free(w);
}

static void lock_step_waits_for_the_router(void **state)
{
    (void)state;
    world *w = plain();
    w->no_go = true;
    client *c = client_new(w);
    client_send(c, STREAM "<message id='a'/><message id='b'/><message id='c'/>");
    seen *s = &w->conns[0];
    assert_until(w, s->headers >= 1);
    settle(w);
    assert_int_equal(s->stanzas, 0);
    static const char *const ids[] = {"a", "ab", "abc"};
    for (int i = 0; i < 3; i++) {
        svi_conn_go(s->conn);
        assert_until(w, s->stanzas >= i + 1);
        settle(w);
        assert_string_equal(s->ids, ids[i]);
    }
    client_send(c, "<message id='d'/></stream:stream>");
    settle(w);
    assert_int_equal(s->stanzas, 3);
    svi_conn_go(s->conn);
    assert_until(w, s->stanzas >= 4);
    assert_int_equal(s->ends, 0);
    svi_conn_go(s->conn);
    assert_until(w, s->ends >= 1);
    world_free(w);
}

/* More records lie inside OpenSSL when a turn's share is read: nothing outside tells of them. */
static void a_burst_of_records_is_read_to_its_end(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* a socket of the test's size does not hold so many */
    world *w = tls_world();
    client *c = streaming(w, true);
    w->echo = false;
    static const char text[] = "<message><body>A few words, no more than these, in a record "
                               "of their own</body></message>";
    for (int i = 0; i < 240; i++)
        assert_int_equal(SSL_write(c->ssl, text, sizeof text - 1), sizeof text - 1);
    assert_until(w, w->conns[0].stanzas >= 240);
    world_free(w);
}

static void restart_begins_a_new_stream(void **state)
{
    (void)state;
    world *w = plain();
    w->no_go = true;
    client *c = client_new(w);
    client_send(c, STREAM "<auth id='1'/>");
    seen *s = &w->conns[0];
    assert_until(w, s->headers >= 1);
    svi_conn_go(s->conn);
    assert_until(w, s->stanzas >= 1);
    client_send(c, STREAM "<message id='2'/>");
    settle(w);
    const svi_xml_limits limits = svi_xml_limits_stranger();
    svi_conn_restart(s->conn, &limits);
    assert_until(w, s->headers >= 2);
    assert_int_equal(s->faults, 0);
    svi_conn_go(s->conn);
    assert_until(w, s->stanzas >= 2);
    assert_string_equal(s->ids, "12");
    world_free(w);
}

static void credit_bounds_what_is_reported(void **state)
{
    (void)state;
    world *w = plain();
    w->keep_credit = true;
    w->echo = false;
    w->credit_bytes = 4000;
    client *c = streaming(w, false);
    seen *s = &w->conns[0];
    send_many(c, 2000);
    assert_until(w, s->owed_bytes >= 4000);
    settle(w);
    assert_in_range(s->owed_bytes, 4000, 5000); /* over by less than one stanza */
    assert_true(s->stanzas < 40);
    for (int round = 0; round < 10; round++) {
        const int before = s->stanzas;
        const size_t back = s->owed_bytes;
        s->owed_bytes = 0;
        svi_conn_credit(s->conn, back);
        assert_until(w, s->stanzas > before && s->owed_bytes >= 3000);
        settle(w);
        assert_in_range(s->owed_bytes, 3000, 5000);
    }
    w->keep_credit = false;
    svi_conn_credit(s->conn, s->owed_bytes);
    s->owed_bytes = 0;
    assert_until(w, s->stanzas >= 2000);
    world_free(w);
}

static void a_full_ring_parks_and_loses_nothing(void **state)
{
    (void)state;
    world *w = world_new(&(setting){.way = run_way, .mode = SVI_TLS_NONE, .ring_slots = 4});
    client *c[3];
    for (int i = 0; i < 3; i++) c[i] = streaming(w, false);
    for (int i = 0; i < 3; i++) send_many(c[i], 500);
    for (int i = 0; i < 3; i++) client_send(c[i], "</stream:stream>");
    for (int i = 0; i < 3; i++) {
        assert_until(w, w->conns[i].ends >= 1);
        assert_int_equal(w->conns[i].stanzas, 500);
        assert_until(w, count_text(c[i], "</message>") >= 500);
    }
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    assert_true(stats.ring_full > 0);
    world_free(w);
}

static void garbage_is_no_handshake(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", STREAM,
        "\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03zzzzzzzzzzzzz",
        "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"};
    for (size_t i = 0; i < 4; i++) {
        world *w = tls_world();
        client *c = client_new(w);
        seen *s = &w->conns[0];
        client_send(c, garbage[i]);
        settle(w);
        if (s->closed == 0) { /* a length that promises more: the peer gives up first */
            client_close(c);
            assert_until(w, s->closed >= 1);
        } else {
            assert_int_equal(count_text(c, "HTTP"), 0);
        }
        assert_int_equal(s->why, SVI_CLOSED_TLS);
        assert_int_equal(s->tls + s->headers + s->faults, 0);
        world_free(w);
    }
}

static void old_protocols_are_refused(void **state)
{
    (void)state;
    world *w = tls_world();
    SSL_CTX *ctx = svi_tls_context(w->client_tls);
    SSL_CTX_set_security_level(ctx, 0);
    /* Threats T3: static RSA and CBC under TLS 1.2. */
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:"
                                                  "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"),
                     1);
    client_tls(w, client_new(w));
    assert_until(w, w->conns[0].closed >= 1);
    assert_int_equal(w->conns[0].why, SVI_CLOSED_TLS);
    /* A good suite under TLS 1.2 is taken. */
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256"), 1);
    const client *second = streaming(w, true);
    assert_string_equal(w->conns[1].info.version, "TLSv1.2");
    /* the same three on both ends, tls-unique of the client's Finished (RFC 5929 3.1) */
    svi_tls_info mine;
    svi_tls_describe(second->ssl, &mine);
    assert_int_equal(w->conns[1].info.binding_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_binding(&w->conns[1], i, mine.bindings[i].type, mine.bindings[i].data,
                       mine.bindings[i].n);
    assert_string_equal(mine.bindings[1].type, "tls-unique");
    assert_false(mine.bindings[1].is_silent);
    uint8_t finished[64];
    const size_t finished_n = SSL_get_finished(second->ssl, finished, sizeof finished);
    assert_binding(&w->conns[1], 1, "tls-unique", finished, finished_n);
    expect_end_point(&w->conns[1], 2, second->ssl);
    world_free(w);
}

/* Threats T4; RFC 6120 5.3.5: the connection ends without a word. */
static void renegotiation_is_refused(void **state)
{
    (void)state;
    world *w = tls_world();
    SSL_CTX *ctx = svi_tls_context(w->client_tls);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    (void)SSL_CTX_clear_options(ctx, SSL_OP_NO_RENEGOTIATION);
    client *c = streaming(w, true);
    assert_int_equal(SSL_renegotiate(c->ssl), 1);
    c->shaken = false;
    settle(w);
    assert_false(c->shaken);
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    assert_int_equal(stats.handshakes, 1);
    assert_int_equal(w->conns[0].tls, 1);
    assert_until(w, w->conns[0].closed >= 1);
    assert_int_equal(w->conns[0].why, SVI_CLOSED_BY_PEER);
    assert_int_equal(w->conns[0].stanzas + w->conns[0].faults, 0);
    assert_int_equal(count_text(c, "error"), 0);
    world_free(w);
}

/* RFC 8446 4.6.3, threats T4: a few are the peer's right, a flood is cut off before it is worked through. */
static void key_updates_are_bounded(void **state)
{
    (void)state;
    world *w = tls_world();
    client *c = streaming(w, true);
    for (unsigned i = 0; i < SVI_KEY_UPDATES_MAX; i++) {
        assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(c->ssl), 1);
    }
    client_send(c, "<message id='a'/>");
    assert_until(w, w->conns[0].stanzas >= 1);
    assert_int_equal(w->conns[0].closed, 0);
    unsigned more = 0; /* until the other end is gone */
    while (more < 100 && SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
           SSL_do_handshake(c->ssl) == 1)
        more++;
    assert_true(more > 0);
    ERR_clear_error();
    client_send(c, "<message id='b'/>");
    assert_until(w, w->conns[0].closed >= 1);
    assert_int_equal(w->conns[0].why, SVI_CLOSED_UPDATES);
    assert_int_equal(w->conns[0].stanzas, 1);
    world_free(w);
}

/* Its end is told without another byte. */
static void a_header_may_be_an_end(void **state)
{
    (void)state;
    world *w = plain();
    client_send(client_new(w), "<stream:stream xmlns='jabber:client' "
                               "xmlns:stream='http://etherx.jabber.org/streams'/>");
    assert_until(w, w->conns[0].ends >= 1);
    assert_int_equal(w->conns[0].headers, 1);
    world_free(w);
}

static void alpn_is_xmpp_or_nothing(void **state)
{
    (void)state;
    world *w = tls_world();
    client *good = client_new(w);
    client_tls(w, good);
    assert_int_equal(SSL_set_alpn_protos(good->ssl, (const uint8_t *)"\x02h2\x0bxmpp-client", 15),
                     0);
    assert_until(w, w->conns[0].tls >= 1);
    assert_string_equal(w->conns[0].info.alpn, "xmpp-client");
    client *bad = client_new(w);
    client_tls(w, bad);
    assert_int_equal(SSL_set_alpn_protos(bad->ssl, (const uint8_t *)"\x02h2\x08http/1.1", 12), 0);
    assert_until(w, w->conns[1].closed >= 1);
    assert_int_equal(w->conns[1].why, SVI_CLOSED_TLS);
    world_free(w);
}

static void tickets_resume(void **state)
{
    (void)state;
    world *w = tls_world();
    client *c = streaming(w, true);
    client_send(c, "<message id='t'/>");
    assert_until(w, count_text(c, "id='t'") >= 1); /* the ticket came before it */
    SSL_SESSION *session = SSL_get1_session(c->ssl);
    assert_int_equal(SSL_SESSION_is_resumable(session), 1);
    client *again = client_new(w);
    client_tls(w, again);
    assert_int_equal(SSL_set_session(again->ssl, session), 1);
    SSL_SESSION_free(session);
    assert_until(w, w->conns[1].tls >= 1);
    assert_true(w->conns[1].info.resumed);
    world_free(w);
}

/* A listener's context made anew with these keys, as at a restart; `first` and `second` name them, 0:
 * none. */
static svi_tickets *context_with(world *w, uint8_t first, uint8_t second)
{
    svi_ticket_key keys[2];
    memset(&keys[0], first, sizeof keys[0]);
    memset(&keys[1], second, sizeof keys[1]);
    svi_tickets *tickets = svi_tickets_new(&w->acct);
    svi_tickets_set(tickets, keys, first == 0 ? 0 : second == 0 ? 1 : 2);
    svi_tls *tls = NULL;
    const svi_tls_config config = {.acct = &w->acct,
                                   .cert_file = sv_str_of(cert_file),
                                   .key_file = sv_str_of(key_file),
                                   .tickets = tickets};
    assert_int_equal(svi_tls_new(&config, &tls, NULL), SV_OK);
    svi_listener_set_tls(w->listener, tls);
    svi_tls_unref(&tls);
    return tickets;
}

/* Architecture 11: a session outlives the process that gave its ticket, while its key is kept; not
 * longer. On TLS 1.3 and 1.2. */
static void tickets_outlive_a_restart(void **state)
{
    (void)state;
    static const struct {
        uint8_t before[2], after[2];
        bool resumes;
    } cases[] = {
        {{1, 0}, {1, 0}, true},  {{1, 0}, {2, 1}, true},  {{2, 1}, {3, 2}, true},
        {{1, 0}, {2, 0}, false}, {{1, 0}, {0, 0}, false}, {{0, 0}, {1, 0}, false},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        world *w = tls_world();
        if (i % 2)
            assert_int_equal(SSL_CTX_set_max_proto_version(svi_tls_context(w->client_tls),
                                                           TLS1_2_VERSION),
                             1);
        svi_tickets *one = context_with(w, cases[i / 2].before[0], cases[i / 2].before[1]);
        client *c = streaming(w, true);
        client_send(c, "<message id='t'/>");
        assert_until(w, count_text(c, "id='t'") >= 1);
        SSL_SESSION *session = SSL_get1_session(c->ssl);
        svi_tickets *two = context_with(w, cases[i / 2].after[0], cases[i / 2].after[1]);
        client *again = client_new(w);
        client_tls(w, again);
        (void)SSL_set_session(again->ssl, session); /* one without a ticket is no session */
        SSL_SESSION_free(session);
        assert_until(w, w->conns[1].tls >= 1);
        if (w->conns[1].info.resumed != cases[i / 2].resumes) fail_msg("%zu", i);
        world_free_with(w, &one, &two);
    }
}

static void end_of_file_closes(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++)
        for (int how = 0; how < 3; how++) {
            world *w = tls ? tls_world() : plain();
            client *c = streaming(w, tls == 1);
            seen *s = &w->conns[0];
            client_send(c, how == 0 ? "<message id='whole'/><message><body>half"
                                    : "<message id='whole'/>");
            assert_until(w, count_text(c, "whole") >= 1);
            if (how == 2 && tls == 1)
                (void)SSL_shutdown(c->ssl); /* close_notify and nothing else */
            else
                client_close(c);
            assert_until(w, s->closed >= 1);
            assert_int_equal(s->why, SVI_CLOSED_BY_PEER);
            assert_int_equal(s->stanzas, 1);
            assert_int_equal(s->faults, 0);
            world_free(w);
        }
}

static void after_the_end_answers_still_go_out(void **state)
{
    (void)state;
    world *w = plain();
    client *c = streaming(w, false);
    seen *s = &w->conns[0];
    client_send(c, "<message id='m'/></stream:stream><message id='late'/>");
    assert_true(client_step(c) || c->out.len == 0);
    c->link->ops->shut(c->link); /* half-close: we still read */
    assert_until(w, s->ends >= 1);
    settle(w);
    assert_string_equal(s->ids, "m");
    assert_int_equal(s->closed, 0);
    svi_conn_close(s->conn, SV_STR("</stream:stream>"), 1000);
    assert_until(w, s->closed >= 1);
    assert_int_equal(s->why, SVI_CLOSED_BY_US);
    assert_until(w, count_text(c, "</stream:stream>") >= 1);
    assert_int_equal(count_text(c, "id='m'"), 1);
    world_free(w);
}

static void faults_are_delivered_once(void **state)
{
    (void)state;
    world *w = plain();
    client *c = streaming(w, false);
    seen *s = &w->conns[0];
    client_send(c, "<message id='ok'/><!-- no --><message id='no'/><<<<");
    assert_until(w, s->faults >= 1);
    assert_int_equal(s->fault, SVI_XML_RESTRICTED);
    client_send(c, "<message id='no'/>");
    settle(w);
    assert_int_equal(s->faults, 1);
    assert_string_equal(s->ids, "ok");
    svi_conn_close(s->conn, SV_STR("<stream:error/>"), 300);
    assert_until(w, count_text(c, "<stream:error/>") >= 1);
    client_close(c);
    assert_until(w, s->closed >= 1);
    assert_int_equal(s->why, SVI_CLOSED_BY_US);
    world_free(w);
}

static void at_rest_little_is_kept(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    client *c = streaming(w, false);
    client_send(c, "<message id='m'><body>x</body></message>");
    assert_until(w, count_text(c, "</message>") >= 1);
    svi_buf_free(&c->in);
    const int64_t busy = atomic_load(&w->acct.live_bytes);
    svi_plat_virtual_advance(&w->clock, 2 * SVI_REST_US);
    settle(w);
    const int64_t rest = atomic_load(&w->acct.live_bytes);
    assert_true(busy - rest > 4000);
    assert_null(w->conns[0].conn->io.carry);
    assert_null(w->conns[0].conn->io.rest);
    client_send(c, "<message id='n'/>");
    assert_until(w, count_text(c, "id='n'") >= 1);
    world_free(w);
}

/* Architecture 11: so many handshakes at once, the others wait their turn. */
static void handshakes_queue_beyond_their_number(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* looks into the thread's state */
    world *w = tls_world();
    svi_io *io = &w->net->ios[0];
    io->tls_now = SVI_HANDSHAKES_MAX - 1;
    client *c[4];
    for (int i = 0; i < 4; i++) c[i] = client_new(w);
    settle(w); /* all are silent: nobody holds a place */
    assert_int_equal(io->tls_now, SVI_HANDSHAKES_MAX - 1);
    svi_buf_put(&c[0]->out, (sv_str){"\x16\x03\x01\x02", 4}); /* begins, but says no more */
    settle(w);
    assert_int_equal(io->tls_now, SVI_HANDSHAKES_MAX);
    for (int i = 1; i < 4; i++) {
        client_tls(w, c[i]);
        client_send(c[i], STREAM);
    }
    settle(w);
    for (int i = 0; i < 4; i++) assert_int_equal(w->conns[i].tls, 0);
    svi_conn_close(w->conns[1].conn, SV_STR("bye"), 1000); /* one of those who wait */
    settle(w);
    assert_int_equal(w->conns[1].closed, 1);
    /* Threats T5: the one that stalls makes room soon, since others wait. */
    svi_plat_virtual_advance(&w->clock, SVI_HURRY_US - 1000);
    settle(w);
    assert_int_equal(w->conns[0].closed, 0);
    svi_plat_virtual_advance(&w->clock, 2000);
    settle(w);
    assert_int_equal(w->conns[0].closed, 1);
    assert_int_equal(w->conns[0].why, SVI_CLOSED_TLS);
    assert_int_equal(w->conns[2].headers, 1);
    assert_int_equal(w->conns[3].headers, 1);
    assert_int_equal(io->tls_now, SVI_HANDSHAKES_MAX - 1);
    io->tls_now = 0;
    world_free(w);
}

/* Threats T5. While there is room for others, a slow link has its time. */
static void a_stalled_handshake_ends(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = tls_world();
    client *c = client_new(w);
    svi_buf_put(&c->out, (sv_str){"\x16\x03\x01\x02", 4});
    settle(w);
    svi_plat_virtual_advance(&w->clock, SVI_HANDSHAKE_US - 1000);
    settle(w);
    assert_int_equal(w->conns[0].closed, 0);
    svi_plat_virtual_advance(&w->clock, 2000);
    settle(w);
    assert_int_equal(w->conns[0].closed, 1);
    assert_int_equal(w->conns[0].why, SVI_CLOSED_TLS);
    assert_string_equal(w->conns[0].tls_reason, "it took too long");
    assert_int_equal(w->net->ios[0].tls_now, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_whatever_the_pieces),
        cmocka_unit_test(tls_tells_what_was_agreed),
        cmocka_unit_test(starttls_drops_what_was_pipelined),
        cmocka_unit_test(output_behind_starttls_is_inside_tls),
        cmocka_unit_test(a_turn_reads_a_bounded_share),
        cmocka_unit_test(a_turn_may_be_cut_short),
        cmocka_unit_test(a_turn_of_slow_events_is_short),
        cmocka_unit_test(lock_step_waits_for_the_router),
        cmocka_unit_test(a_burst_of_records_is_read_to_its_end),
        cmocka_unit_test(restart_begins_a_new_stream),
        cmocka_unit_test(credit_bounds_what_is_reported),
        cmocka_unit_test(a_full_ring_parks_and_loses_nothing),
        cmocka_unit_test(garbage_is_no_handshake),
        cmocka_unit_test(old_protocols_are_refused),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(key_updates_are_bounded),
        cmocka_unit_test(a_header_may_be_an_end),
        cmocka_unit_test(alpn_is_xmpp_or_nothing),
        cmocka_unit_test(tickets_resume),
        cmocka_unit_test(tickets_outlive_a_restart),
        cmocka_unit_test(end_of_file_closes),
        cmocka_unit_test(after_the_end_answers_still_go_out),
        cmocka_unit_test(faults_are_delivered_once),
        cmocka_unit_test(at_rest_little_is_kept),
        cmocka_unit_test(handshakes_queue_beyond_their_number),
        cmocka_unit_test(a_stalled_handshake_ends),
    };
    (void)alarm(60);
    make_certificate();
    int failed = 0;
    static const char *const names[] = {"net inline in memory", "net inline on a loop",
                                        "net with 2 threads"};
    for (run_way = WAY_MEMORY; run_way <= WAY_THREADS; run_way++)
        failed += cmocka_run_group_tests_name(names[run_way], tests, NULL, NULL);
    remove_certificate();
    return failed;
}
