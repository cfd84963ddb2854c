/* Strangers: how many there may be in all and of one address, who makes room, who is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "xmpp/xmpp_stream_testing.h"

#define FAR "192.0.2.1:4000"
#define FAR_TOO "192.0.2.1:4001"
#define ELSEWHERE "192.0.2.2:4000"

static world *world_of(bool is_relayed, unsigned strangers, unsigned strangers_per_address,
                       unsigned streams_per_address)
{
    setting s = PLAIN;
    s.is_relayed = is_relayed;
    s.limits = svi_limits_default();
    s.limits.strangers = strangers;
    s.limits.strangers_per_address = strangers_per_address;
    s.limits.streams_per_address = streams_per_address;
    return world_new(s);
}

static world *world_with(unsigned strangers, unsigned strangers_per_address,
                         unsigned streams_per_address)
{
    return world_of(false, strangers, strangers_per_address, streams_per_address);
}

static world *world_of_connects(unsigned connects_per_address)
{
    setting s = PLAIN;
    s.limits = svi_limits_default();
    s.limits.connects_per_address = connects_per_address;
    return world_new(s);
}

static client *logged_in_from(world *w, const char *peer)
{
    client *c = opened_from(w, peer);
    log_in(w, c, "romeo", "rosaline");
    return c;
}

static client *bound_from(world *w, const char *peer, const char *resource)
{
    client *c = logged_in_from(w, peer);
    assert_has(bind_resource(w, c, resource), "type='result'");
    return c;
}

static bool lives(world *w, client *c)
{
    run(w);
    return !c->at_end;
}

/* The oldest stranger makes room; who has bound a resource is none (architecture 11, threats R1). */
static void strangers_are_bounded(void **state)
{
    (void)state;
    world *w = world_with(2, 100, 100);
    client *known = bound(w, "r"), *a = opened(w), *b = opened(w);
    assert_false(a->at_end);
    client *c = client_new(w);
    run(w);
    assert_failed(w, a, "resource-constraint");
    assert_true(lives(w, b) && lives(w, c) && lives(w, known));
    say(w, c, STREAM);
    assert_has(heard(w, c), "<mechanisms");
    world_free(w);
}

/* Else whoever has one password could open any number of streams that never bind. */
static void who_has_not_bound_is_a_stranger(void **state)
{
    (void)state;
    world *w = world_with(2, 100, 100);
    client *a = logged_in_from(w, "memory"), *b = opened(w), *c = opened(w);
    assert_failed(w, a, "resource-constraint");
    assert_true(lives(w, b) && lives(w, c));
    world_free(w);
}

/* The oldest of the address that has too many, not the oldest of all. */
static void strangers_of_an_address_are_bounded(void **state)
{
    (void)state;
    world *w = world_with(100, 2, 100);
    client *first = opened_from(w, ELSEWHERE), *known = bound_from(w, FAR, "r");
    client *a = opened_from(w, FAR), *b = opened_from(w, FAR_TOO);
    assert_true(lives(w, a));
    client *c = opened_from(w, FAR);
    assert_failed(w, a, "resource-constraint");
    assert_true(lives(w, first) && lives(w, known) && lives(w, b) && lives(w, c));
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               "stream-limit peer=" FAR " limit=strangers_per_address");
    world_free(w);
}

/* Whoever has one IPv6 address of a network has all of its 64 bits. */
static void an_address_of_ipv6_is_a_network(void **state)
{
    (void)state;
    world *w = world_with(100, 1, 100);
    client *other = opened_from(w, "[2001:db8:0:2::1]:1"), *a = opened_from(w, "[2001:db8::1]:1");
    client *b = opened_from(w, "[2001:db8::ffff:1]:1");
    assert_failed(w, a, "resource-constraint");
    assert_true(lives(w, b) && lives(w, other));
    world_free(w);
}

/* All streams of an address: here the newest is turned away, since the others may be people. */
static void streams_of_an_address_are_bounded(void **state)
{
    (void)state;
    world *w = world_with(100, 100, 2);
    client *a = bound_from(w, FAR, "a"), *b = bound_from(w, FAR, "b");
    client *c = client_from(w, FAR_TOO), *other = bound_from(w, ELSEWHERE, "c");
    assert_failed(w, c, "policy-violation");
    assert_true(lives(w, a) && lives(w, b) && lives(w, other));
    client_close(a);
    run(w);
    assert_true(lives(w, bound_from(w, FAR, "d")));
    world_free(w);
}

/* RFC 6120 13.12 rule 2: how fast they come, however soon each goes. */
static void attempts_of_an_address_are_bounded(void **state)
{
    (void)state;
    world *w = world_of_connects(3);
    for (int i = 0; i < 3; i++) {
        client *c = opened_from(w, FAR);
        assert_true(lives(w, c));
        client_close(c);
        run(w);
        pass_time(w, 10000000);
    }
    client *over = client_from(w, FAR_TOO), *other = opened_from(w, ELSEWHERE);
    assert_failed(w, over, "policy-violation");
    assert_true(lives(w, other));
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p, "limit=connects_per_address");
    pass_time(w, 31000000); /* the minute of the first is over */
    assert_true(lives(w, opened_from(w, FAR)));
    world_free(w);
}

/* Whoever is refused can come again at once, and must not fill the log: ten lines, then those of 16, 32, 64. */
static void refusals_do_not_fill_the_log(void **state)
{
    (void)state;
    world *w = world_of_connects(1);
    client *first = opened_from(w, FAR);
    for (int i = 0; i < 100; i++) {
        client *c = client_from(w, FAR_TOO);
        run(w);
        assert_failed(w, c, "policy-violation");
        client_close(c);
        run(w);
        w->client_count--;
        svi_buf_free(&c->in);
        svi_buf_free(&c->out);
        *c = (client){.link = NULL};
    }
    assert_true(lives(w, first));
    const char *at = svi_arena_str(w->arena, svi_buf_str(&w->log)).p;
    int lines = 0;
    assert_has(at, "limit=connects_per_address refused=64");
    assert_lacks(at, "stream-error peer=" FAR_TOO);
    while ((at = strstr(at, "stream-limit"))) {
        lines++;
        at++;
    }
    assert_int_equal(lines, 13);
    world_free(w);
}

/* What is kept of addresses that have gone is forgotten. */
static void addresses_are_forgotten(void **state)
{
    (void)state;
    world *w = world_with(100, 100, 100);
    int64_t most = 0;
    for (int i = 0; i < 600; i++) {
        char peer[40];
        (void)snprintf(peer, sizeof peer, "192.0.2.%d:%d", i % 250, i);
        client *c = client_from(w, peer);
        run(w);
        client_close(c);
        run(w);
        w->client_count--;
        svi_buf_free(&c->in);
        svi_buf_free(&c->out);
        *c = (client){.link = NULL};
        pass_time(w, 1000000);
        if (i == 300) most = atomic_load(&w->acct.live_bytes);
    }
    pass_time(w, 61000000);
    for (int i = 0; i < 250; i++) {
        client *c = client_from(w, ELSEWHERE);
        run(w);
        client_close(c);
        run(w);
        w->client_count--;
        svi_buf_free(&c->in);
        svi_buf_free(&c->out);
        *c = (client){.link = NULL};
    }
    assert_true(most - atomic_load(&w->acct.live_bytes) > 40 * 64);
    world_free(w);
}

/* Behind loopback may be everybody. */
static void this_machine_has_no_address(void **state)
{
    (void)state;
    world *w = world_with(100, 1, 1);
    client *a = opened_from(w, "127.0.0.1:1"), *b = opened_from(w, "127.0.0.1:2");
    client *c = opened_from(w, "[::1]:1"), *d = opened_from(w, "[::1]:2");
    assert_true(lives(w, a) && lives(w, b) && lives(w, c) && lives(w, d));
    world_free(w);
}

#define PROXY "10.0.0.1:1"
#define LINE(address, port) "PROXY TCP4 " address " 198.51.100.1 " port " 5222\r\n"

/* Behind a proxy the address in its header is counted, not the proxy's, under which no two get in each
 * other's way before they are told apart, or if they never are. */
static void clients_of_a_proxy_are_told_apart(void **state)
{
    (void)state;
    world *w = world_of(true, 100, 2, 3);
    client *waiting[4], *unknown[4];
    for (size_t i = 0; i < 4; i++) {
        waiting[i] = client_from(w, PROXY);
        unknown[i] = client_from(w, PROXY);
        say(w, unknown[i], "PROXY UNKNOWN\r\n" STREAM);
    }
    for (size_t i = 0; i < 4; i++) assert_true(lives(w, waiting[i]) && lives(w, unknown[i]));
    say(w, waiting[0], LINE("192.0.2.1", "1") STREAM);
    say(w, waiting[1], LINE("192.0.2.2", "2") STREAM);
    say(w, waiting[2], LINE("192.0.2.1", "3") STREAM);
    assert_true(lives(w, waiting[0]) && lives(w, waiting[1]) && lives(w, waiting[2]));
    say(w, waiting[3], LINE("192.0.2.1", "4") STREAM);
    assert_failed(w, waiting[0], "resource-constraint");
    assert_true(lives(w, waiting[1]) && lives(w, waiting[2]) && lives(w, waiting[3]));
    assert_has(svi_arena_str(w->arena, svi_buf_str(&w->log)).p,
               "stream-limit peer=192.0.2.1:1 limit=strangers_per_address");
    world_free(w);
}

static void a_crowd_behind_a_proxy_is_bounded(void **state)
{
    (void)state;
    world *w = world_of(true, 100, 100, 2);
    client *clients[3];
    for (size_t i = 0; i < 3; i++) {
        clients[i] = client_from(w, PROXY);
        say(w, clients[i], LINE("127.0.0.1", "1")); /* which is as any other */
        say(w, clients[i], STREAM);
    }
    assert_true(lives(w, clients[0]) && lives(w, clients[1]));
    assert_failed(w, clients[2], "policy-violation");
    client_close(clients[0]);
    run(w);
    client *next = client_from(w, PROXY);
    say(w, next, LINE("127.0.0.1", "1") STREAM);
    assert_true(lives(w, next));
    world_free(w);
}

static uint64_t open_connections(world *w)
{
    svi_net_stats stats;
    svi_net_stats_get(svi_server_net(w->server), &stats);
    return stats.open;
}

/* Those that are closed and do not close their side have left the pool, but not without bound. */
static void who_is_closed_holds_no_descriptor_for_long(void **state)
{
    (void)state;
    world *w = world_with(4, 100, 100);
    for (int i = 0; i < 12; i++) {
        client *c = client_new(w);
        c->broken = true;
        (void)c->link->ops->write(c->link, "<nonsense>", 10);
        run(w);
    }
    assert_int_equal(open_connections(w), 4);
    pass_time(w, 600000); /* two had time for their last words, two were hurried */
    assert_int_equal(open_connections(w), 2);
    pass_time(w, 5000000);
    assert_int_equal(open_connections(w), 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_are_bounded),
        cmocka_unit_test(who_has_not_bound_is_a_stranger),
        cmocka_unit_test(strangers_of_an_address_are_bounded),
        cmocka_unit_test(an_address_of_ipv6_is_a_network),
        cmocka_unit_test(streams_of_an_address_are_bounded),
        cmocka_unit_test(attempts_of_an_address_are_bounded),
        cmocka_unit_test(refusals_do_not_fill_the_log),
        cmocka_unit_test(addresses_are_forgotten),
        cmocka_unit_test(this_machine_has_no_address),
        cmocka_unit_test(clients_of_a_proxy_are_told_apart),
        cmocka_unit_test(a_crowd_behind_a_proxy_is_bounded),
        cmocka_unit_test(who_is_closed_holds_no_descriptor_for_long),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
