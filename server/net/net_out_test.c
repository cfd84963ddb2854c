/* Tests of output and of ends: records, slow readers, closing in every state. */
#include "net/net_test_util.h"

static void ten_stanzas_of_one_turn_are_one_record(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        world *w = tls ? tls_world() : plain();
        client *c = streaming(w, tls == 1);
        sv_stanza *stanza = message(w, 100);
        settle(w);
        const uint64_t before = records_out(w);
        for (uint64_t i = 1; i <= 10; i++)
            svi_conn_send(w->conns[0].conn, stanza, &(svi_head){.to = SV_STR("a@stave.test/r")}, i);
        assert_until(w, count_text(c, "to='a@stave.test/r'") >= 10);
        assert_until(w, w->conns[0].sent_count >= 10);
        assert_int_equal(records_out(w) - before, 1);
        svi_stanza_unref(&stanza);
        world_free(w);
    }
}

/* Though nothing else happens: the client does not even read. */
static void what_was_written_is_told_soon(void **state)
{
    (void)state;
    world *w = plain();
    client *c = streaming(w, false);
    sv_stanza *stanza = message(w, 10);
    settle(w);
    c->deaf = true;
    for (int i = 1; i <= 20; i++) {
        svi_conn_send(w->conns[0].conn, stanza, NULL, (uint64_t)i);
        assert_until(w, w->conns[0].sent_count >= i);
    }
    svi_stanza_unref(&stanza);
    world_free(w);
}

static void much_output_fills_records(void **state)
{
    (void)state;
    world *w = tls_world();
    client *c = streaming(w, true);
    sv_stanza *stanza = message(w, 50000);
    settle(w);
    const uint64_t before = records_out(w);
    for (uint64_t i = 1; i <= 3; i++) svi_conn_send(w->conns[0].conn, stanza, NULL, i);
    assert_until(w, count_text(c, "</message>") >= 3);
    assert_until(w, w->conns[0].sent_count >= 3);
    /* 150 kB are 9.2 full records; blocked writes and window turns may add a few. */
    assert_in_range(records_out(w) - before, 10, 16);
    svi_stanza_unref(&stanza);
    world_free(w);
}

static void a_slow_reader_holds_only_itself(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        world *w = tls ? tls_world() : plain();
        client *slow = streaming(w, tls == 1);
        client *quick = streaming(w, tls == 1);
        seen *s = &w->conns[0];
        sv_stanza *stanza = message(w, 1000);
        const size_t cost = svi_stanza_cost_bytes(stanza);
        slow->deaf = true;
        for (uint64_t i = 1; i <= 1000; i++) svi_conn_send(s->conn, stanza, NULL, i);
        assert_until(w, s->sent_count > 0);
        settle(w);
        assert_in_range((size_t)s->sent_count, 1, 400);
        assert_int_equal(svi_conn_queued_bytes(s->conn), (1000 - (size_t)s->sent_count) * cost);
        assert_int_equal(s->drained, 0);
        svi_conn_send(w->conns[1].conn, stanza, NULL, 1);
        assert_until(w, count_text(quick, "</message>") >= 1);
        /* Cut the queue down to every second stanza; what is dropped is never reported. */
        uint64_t last = (uint64_t)s->sent_count;
        size_t dropped = 0;
        for (svi_out *out = svi_conn_waiting(s->conn, NULL); out != NULL;) {
            svi_out *next = svi_conn_waiting(s->conn, out);
            assert_ptr_equal(svi_out_stanza(out), stanza);
            if (++last % 2 == 0) {
                const uint64_t token = svi_conn_waiting_drop(s->conn, out);
                assert_true(token > (uint64_t)s->sent_count && token <= 1000);
                dropped++;
            }
            out = next;
        }
        assert_true(dropped > 200);
        slow->deaf = false;
        assert_until(w, s->drained >= 1);
        assert_until(w, count_text(slow, "</message>") >= 1000 - dropped);
        settle(w);
        assert_int_equal(s->sent_count, 1000 - dropped);
        for (int i = 0; i < s->sent_count; i++) {
            assert_true(s->written[i]);
            if (i > 0) assert_true(s->sent[i] > s->sent[i - 1]);
        }
        assert_int_equal(svi_conn_queued_bytes(s->conn), 0);
        svi_stanza_unref(&stanza);
        world_free(w);
    }
}

static void unsent_stanzas_come_back_in_order(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        world *w = tls ? tls_world() : plain();
        client *c = streaming(w, tls == 1);
        seen *s = &w->conns[0];
        sv_stanza *stanza = message(w, 1000);
        c->deaf = true;
        for (uint64_t i = 1; i <= 500; i++) svi_conn_send(s->conn, stanza, NULL, i);
        assert_until(w, s->sent_count > 0);
        settle(w);
        svi_conn_close(s->conn, SV_STR_NONE, 0);
        svi_conn_send(s->conn, stanza, NULL, 501); /* too late, but reported like the others */
        svi_conn_close(s->conn, SV_STR("again"), 1000);
        assert_until(w, s->closed >= 1);
        assert_int_equal(s->why, SVI_CLOSED_BY_US);
        assert_int_equal(s->sent_count, 501);
        int written = 0;
        while (s->written[written]) written++;
        assert_in_range((size_t)written, 1, 400);
        for (int i = 0; i < 501; i++) {
            assert_int_equal(s->sent[i], i + 1);
            assert_int_equal(s->written[i], i < written);
        }
        svi_stanza_unref(&stanza);
        world_free(w);
    }
}

static void close_writes_all_and_the_last_words(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        world *w = tls ? tls_world() : plain();
        client *c = streaming(w, tls == 1);
        seen *s = &w->conns[0];
        sv_stanza *stanza = message(w, 1000);
        for (uint64_t i = 1; i <= 200; i++) svi_conn_send(s->conn, stanza, NULL, i);
        svi_conn_close(s->conn, SV_STR("</stream:stream>"), 4000);
        assert_until(w, count_text(c, "</stream:stream>") >= 1);
        settle(w);
        assert_int_equal(count_text(c, "</message>"), 200);
        assert_true(c->at_end);
        assert_false(c->broken);
        assert_int_equal(s->closed,
                         0); /* until the peer has ended too, so that no reset eats our words */
        client_close(c);
        assert_until(w, s->closed >= 1);
        assert_int_equal(s->why, SVI_CLOSED_BY_US);
        assert_int_equal(s->sent_count, 200);
        assert_true(s->written[199]);
        svi_stanza_unref(&stanza);
        world_free(w);
    }
}

static void close_gives_up_in_time(void **state)
{
    (void)state;
    world *w = plain();
    client *c = streaming(w, false);
    client *silent = streaming(w, false);
    seen *s = &w->conns[0];
    sv_stanza *stanza = message(w, 1000);
    if (run_way == WAY_MEMORY) { /* so that the parsers are at rest */
        svi_plat_virtual_advance(&w->clock, 2 * SVI_REST_US);
        settle(w);
        assert_int_equal(svi_net_due_us(w->net), INT64_MAX);
    }
    c->deaf = true;
    for (uint64_t i = 1; i <= 500; i++) svi_conn_send(s->conn, stanza, NULL, i);
    svi_conn_close(s->conn, SV_STR("</stream:stream>"), 200);
    svi_conn_close(w->conns[1].conn, SV_STR("</stream:stream>"), 200);
    assert_until(w, count_text(silent, "</stream:stream>") >= 1);
    if (run_way == WAY_MEMORY) {
        settle(w);
        assert_int_equal(svi_net_due_us(w->net), w->clock.now_us + 200000);
        svi_plat_virtual_advance(&w->clock, 199000);
        settle(w);
        assert_int_equal(s->closed + w->conns[1].closed, 0);
        svi_plat_virtual_advance(&w->clock, 2000);
    }
    assert_until(w, s->closed >= 1);
    assert_until(w, w->conns[1].closed >= 1);
    assert_int_equal(s->why, SVI_CLOSED_ERROR); /* not all was written */
    assert_int_equal(w->conns[1].why, SVI_CLOSED_BY_US);
    assert_int_equal(svi_net_due_us(w->net), INT64_MAX);
    assert_int_equal(s->sent_count, 500);
    assert_false(s->written[499]);
    svi_stanza_unref(&stanza);
    world_free(w);
}

/* Closes at once in every state that a connection can be in. */
static void close_in_every_state(void **state)
{
    (void)state;
    static const svi_tls_mode modes[] = {SVI_TLS_NONE, SVI_TLS_DIRECT};
    for (size_t m = 0; m < 2; m++)
        for (int stage = 0; stage < 5; stage++)
            for (unsigned within = 0; within <= 300; within += 300) {
                world *w = world_new(&(setting){.way = run_way, .mode = modes[m]});
                client *c = client_new(w);
                seen *s = &w->conns[0];
                assert_until(w, s->opened >= 1);
                if (stage >= 1 && m == 1) client_tls(w, c);
                if (stage == 1) client_step(c); /* a handshake, or nothing, under way */
                if (stage >= 2) client_send(c, STREAM);
                if (stage == 3) w->no_go = true;
                if (stage >= 2) assert_until(w, s->headers >= 1);
                if (stage == 4) {
                    client_send(c, "<message><bo");
                    settle(w);
                }
                svi_conn_close(s->conn, SV_STR("bye"), within);
                (void)step(w);
                client_close(c);
                assert_until(w, s->closed >= 1);
                assert_int_equal(s->faults, 0);
                world_free(w);
            }
}

static void after_close_nothing_is_reported(void **state)
{
    (void)state;
    world *w = plain();
    client *c = streaming(w, false);
    w->close_at = 3;
    send_many(c, 20);
    client_send(c, "</stream:stream>");
    assert_until(w, count_text(c, "</stream:stream>") >= 1);
    client_close(c);
    assert_until(w, w->conns[0].closed >= 1);
    assert_int_equal(w->conns[0].stanzas, 3);
    assert_int_equal(w->conns[0].ends, 0);
    assert_int_equal(count_text(c, "</message>"), 3);
    world_free(w);
}

static void net_ends_with_all_open(void **state)
{
    (void)state;
    world *w = tls_world();
    (void)client_new(w); /* never says a word */
    client *c = streaming(w, true);
    seen *s = &w->conns[1];
    sv_stanza *stanza = message(w, 1000);
    c->deaf = true;
    for (uint64_t i = 1; i <= 300; i++) svi_conn_send(s->conn, stanza, NULL, i);
    (void)step(w);
    send_many(c, 10);
    (void)client_step(c);
    for (uint64_t i = 301; i <= 310; i++) svi_conn_send(s->conn, stanza, NULL, i);
    svi_net_free(&w->net);
    assert_int_equal(w->conns[0].closed, 1);
    assert_int_equal(s->closed, 1);
    assert_int_equal(s->why, SVI_CLOSED_NET_STOP);
    assert_int_equal(s->sent_count, 310);
    for (size_t i = 0; i < 310; i++) assert_int_equal(s->sent[i], i + 1);
    assert_false(s->written[309]);
    svi_stanza_unref(&stanza);
    world_free(w);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/* One random thing done to connection `i`. */
static void storm_once(world *w, size_t i, uint32_t *seed, const sv_stanza *stanza)
{
    seen *s = &w->conns[i];
    client *c = &w->clients[i];
    const uint32_t what = next_random(seed) % 100;
    if (what < 50 && s->conn != NULL && s->last_token < SENT_MAX - 200)
        svi_conn_send(s->conn, stanza, NULL, ++s->last_token);
    else if (what < 70 && c->out.len < 100000)
        send_many(c, 3);
    else if (what < 80)
        c->deaf = !c->deaf;
    else if (what < 90)
        (void)step(w);
    else if (what == 90 && c->link != NULL)
        client_close(c);
    else if (what == 91 && s->conn != NULL)
        svi_conn_close(s->conn, SV_STR("</stream:stream>"), next_random(seed) % 2 * 50);
}

/* Whatever happens in whatever order: each stanza sent is reported once, in order, and no byte
 * stays. */
static void a_storm_loses_nothing(void **state)
{
    (void)state;
    uint32_t seed = 20261122;
    for (int round = 0; round < 4; round++) {
        world *w = world_new(&(setting){.way = run_way,
                                        .mode = round % 2 ? SVI_TLS_DIRECT : SVI_TLS_NONE,
                                        .ring_slots = 4,
                                        .window_bytes = 3000});
        w->credit_bytes = 2000;
        for (int i = 0; i < CLIENTS; i++) (void)streaming(w, round % 2 == 1);
        sv_stanza *stanza = message(w, 300);
        for (int i = 0; i < 1200; i++) storm_once(w, next_random(&seed) % CLIENTS, &seed, stanza);
        svi_net_free(&w->net);
        for (int i = 0; i < CLIENTS; i++) {
            const seen *s = &w->conns[i];
            assert_int_equal(s->sent_count, s->last_token);
            for (int k = 0; k < s->sent_count; k++) {
                assert_int_equal(s->sent[k], k + 1);
                assert_true(k == 0 || !s->written[k] || s->written[k - 1]);
            }
        }
        svi_stanza_unref(&stanza);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_stanzas_of_one_turn_are_one_record),
        cmocka_unit_test(what_was_written_is_told_soon),
        cmocka_unit_test(much_output_fills_records),
        cmocka_unit_test(a_slow_reader_holds_only_itself),
        cmocka_unit_test(unsent_stanzas_come_back_in_order),
        cmocka_unit_test(close_writes_all_and_the_last_words),
        cmocka_unit_test(close_gives_up_in_time),
        cmocka_unit_test(close_in_every_state),
        cmocka_unit_test(after_close_nothing_is_reported),
        cmocka_unit_test(net_ends_with_all_open),
        cmocka_unit_test(a_storm_loses_nothing),
    };
    (void)alarm(60);
    make_certificate();
    int failed = 0;
    static const char *const names[] = {"net output inline in memory",
                                        "net output inline on a loop", "net output with 2 threads"};
    for (run_way = WAY_MEMORY; run_way <= WAY_THREADS; run_way++)
        failed += cmocka_run_group_tests_name(names[run_way], tests, NULL, NULL);
    remove_certificate();
    return failed;
}
