/* Tests of how fast a connection is read: never faster than its rate in the long run, nothing lost, nothing
 * kept waiting that is not too fast. */
#include "net/net_test_util.h"

#define ONE "<message id='m'><body>0123456789</body></message>"
#define ONE_BYTES (sizeof ONE - 1)
#define SECOND ((int64_t)1000000)

static uint64_t bytes_in(const world *w)
{
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    return stats.bytes_in;
}

static void pass(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->clock, us);
    settle(w);
}

/* What was not used of four seconds comes at once, and the share of one turn with it. */
static void no_faster_than_the_rate(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 1000;
    client *c = streaming(w, false);
    send_many(c, 1000); /* 49,000 bytes */
    settle(w);
    const uint64_t first = bytes_in(w);
    assert_in_range(first, 4000, 4000 + SVI_READ_TURN_BYTES + sizeof STREAM);
    pass(w, SECOND / 2);
    assert_int_equal(bytes_in(w), first); /* what was too much is to be made up first */
    int seconds = 0;
    while (w->conns[0].stanzas < 1000) {
        pass(w, SECOND / 10);
        pass(w, SECOND * 9 / 10);
        seconds++;
        assert_true(bytes_in(w) <= 4000 + SVI_READ_TURN_BYTES + sizeof STREAM +
                                       1000 * (uint64_t)(seconds + 1));
        assert_true(seconds < 60);
    }
    assert_in_range(seconds, 25, 50);
    world_free(w);
}

/* However long it was silent, and whatever it had left then. */
static void silence_saves_no_more_than_four_seconds(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 10000;
    w->echo = false;
    client *c = streaming(w, false);
    for (int i = 0; i < 3; i++) {
        pass(w, 3600 * SECOND);
        const uint64_t before = bytes_in(w);
        send_many(c, 4000); /* 196,000 bytes */
        settle(w);
        assert_in_range(bytes_in(w) - before, 40000, 40000 + SVI_READ_TURN_BYTES);
        while (w->conns[0].stanzas < 4000 * (i + 1)) pass(w, SECOND);
    }
    world_free(w);
}

/* RFC 8446 5.4: a record of a single byte may be as long as any other on the wire, and to decrypt. */
static void padding_counts(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = tls_world();
    w->rate = 1000;
    /* before its first record: newer releases of OpenSSL look at it only then */
    assert_int_equal(SSL_CTX_set_block_padding(svi_tls_context(w->client_tls), SVI_RECORD_BYTES), 1);
    client *c = streaming(w, true);
    const uint64_t before = bytes_in(w);
    for (int i = 0; i < 60; i++) {
        client_send(c, " ");
        settle(w);
    }
    const uint64_t first = bytes_in(w);
    assert_true(first - before <= 4);
    for (int i = 0; i < 5; i++) pass(w, SECOND);
    assert_int_equal(bytes_in(w), first); /* what was too much is to be made up first */
    for (int i = 0; i < 2000 && bytes_in(w) - before < 60; i++) pass(w, SECOND);
    assert_int_equal(bytes_in(w) - before, 60);
    world_free(w);
}

static void within_the_rate_nobody_waits(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 1000;
    client *c = streaming(w, false);
    for (int i = 1; i <= 300; i++) {
        for (int k = 0; k < 2; k++) client_send(c, ONE);
        settle(w);
        assert_int_equal(w->conns[0].stanzas, 2 * i);
        pass(w, SECOND / 10);
    }
    world_free(w);
}

static void no_rate_is_no_bound(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    client *c = streaming(w, false);
    send_many(c, 2000);
    settle(w);
    assert_int_equal(w->conns[0].stanzas, 2000);
    world_free(w);
}

/* White space is nothing to the router, but it is read. */
static void white_space_counts(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 1000;
    client *c = streaming(w, false);
    char blanks[1001];
    memset(blanks, ' ', 1000);
    blanks[1000] = 0;
    for (int i = 0; i < 60; i++) client_send(c, blanks);
    settle(w);
    assert_true(bytes_in(w) <= 4000 + 2 * SVI_READ_TURN_BYTES);
    pass(w, SECOND);
    assert_true(bytes_in(w) <= 5000 + 2 * SVI_READ_TURN_BYTES);
    world_free(w);
}

/* A stranger that is slowed may still begin TLS, and is given what it then is allowed. */
static void tls_and_login_end_the_wait(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = world_new(&(setting){.way = run_way, .mode = SVI_TLS_STARTTLS});
    w->listener->rate = 100;
    w->stay_in_step = true;
    client *c = client_new(w);
    client_send(c, STREAM);
    settle(w);
    client_send(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    for (int i = 0; i < 100; i++) client_send(c, "                    ");
    settle(w);
    assert_int_equal(count_text(c, "<proceed"), 1);
    assert_true((w->conns[0].conn->io.hold & SVI_HOLD_RATE) == 0);
    w->stay_in_step = false;
    client_tls(w, c);
    client_send(c, STREAM ONE);
    settle(w);
    assert_int_equal(w->conns[0].tls, 1);
    if (w->conns[0].stanzas < 2) pass(w, 60 * SECOND);
    assert_int_equal(w->conns[0].stanzas, 2);
    send_many(c, 100); /* the stranger's rate is over */
    settle(w);
    assert_int_equal(w->conns[0].stanzas, 102);
    world_free(w);
}

/* Waiting for its rate keeps nobody from being closed. */
static void who_waits_can_be_closed(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 10;
    client *c = streaming(w, false);
    send_many(c, 1000);
    settle(w);
    assert_true(w->conns[0].stanzas < 1000);
    svi_conn_close(w->conns[0].conn, SV_STR("</stream:stream>"), 1000);
    settle(w);
    assert_int_equal(count_text(c, "</stream:stream>"), 1);
    pass(w, 2 * SECOND);
    assert_int_equal(w->conns[0].closed, 1);
    world_free(w);
}

/* Behind the wait its parser is given back as usual. */
static void rest_follows_the_wait(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* needs the virtual clock */
    world *w = plain();
    w->rate = 1000;
    w->echo = false;
    client *c = streaming(w, false);
    send_many(c, 200);
    settle(w);
    const int64_t busy = atomic_load(&w->acct.live_bytes);
    for (int i = 0; i < 10; i++) pass(w, SECOND);
    assert_int_equal(w->conns[0].stanzas, 200);
    pass(w, 2 * SVI_REST_US);
    assert_true(busy - atomic_load(&w->acct.live_bytes) > 4000);
    world_free(w);
}

/* With real clocks, sockets and threads, and inside TLS: all comes, in order. */
static void all_comes_in_the_end(void **state)
{
    (void)state;
    for (int with_tls = 0; with_tls < 2; with_tls++) {
        world *w = with_tls ? world_new(&(setting){.way = run_way, .mode = SVI_TLS_DIRECT})
                            : world_new(&(setting){.way = run_way});
        w->rate = 10000;
        w->echo = false;
        client *c = streaming(w, with_tls);
        send_many(c, 1000); /* a second's more than may come at once */
        while (w->conns[0].stanzas < 1000) {
            if (w->memory) svi_plat_virtual_advance(&w->clock, SVI_SLOWED_US);
            settle(w);
        }
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_faster_than_the_rate),
        cmocka_unit_test(silence_saves_no_more_than_four_seconds),
        cmocka_unit_test(padding_counts),
        cmocka_unit_test(within_the_rate_nobody_waits),
        cmocka_unit_test(no_rate_is_no_bound),
        cmocka_unit_test(white_space_counts),
        cmocka_unit_test(tls_and_login_end_the_wait),
        cmocka_unit_test(who_waits_can_be_closed),
        cmocka_unit_test(rest_follows_the_wait),
        cmocka_unit_test(all_comes_in_the_end),
    };
    (void)alarm(60);
    make_certificate();
    int failed = 0;
    static const char *const names[] = {"rate inline in memory", "rate inline on a loop",
                                        "rate with 2 threads"};
    for (run_way = WAY_MEMORY; run_way <= WAY_THREADS; run_way++)
        failed += cmocka_run_group_tests_name(names[run_way], tests, NULL, NULL);
    remove_certificate();
    return failed;
}
