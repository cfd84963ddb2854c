/* Tests of connections that a proxy relays: the PROXY header before TLS and XML, whom it is taken from,
 * and what becomes of a wrong one. */
#define CLIENTS 16

#include <netinet/in.h>

#include "base/base_log.h"
#include "net/net_test_util.h"

#define LINE "PROXY TCP4 192.0.2.1 198.51.100.1 56324 5222\r\n"
#define SEEN_AS "192.0.2.1:56324"
#define B(text) (text), sizeof(text) - 1
#define MARK "\r\n\r\n\0\r\nQUIT\n"

static const svi_subnet by_unix[] = {{.kind = SVI_SUBNET_UNIX}};

/* Lines of the event, and the last of them. */
static int log_count;
static char log_last[1024];

static void on_log(void *ctx, sv_level level, sv_str line)
{
    (void)ctx;
    (void)level;
    log_count++;
    (void)snprintf(log_last, sizeof log_last, "%.*s", (int)line.n, line.p);
}

static world *relay_world(svi_tls_mode mode, size_t ring_slots)
{
    log_count = 0;
    return world_new(&(setting){.way = run_way,
                                .mode = mode,
                                .ring_slots = ring_slots,
                                .proxies = by_unix,
                                .proxy_count = 1});
}

static void put(client *c, const void *bytes, size_t n)
{
    svi_buf_put(&c->out, (sv_str){bytes, n});
}

static void the_header_names_the_peer(void **state)
{
    (void)state;
    static const char v2[] = MARK "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                                  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x10\x01\x14\x66";
    static const char v2_unix[16 + 216] = MARK "\x21\x31\x00\xd8/run/somebody";
    static const struct {
        const char *bytes;
        size_t n;
        const char *peer; /* NULL: none is told */
    } cases[] = {
        {B(LINE), SEEN_AS},
        {B(v2), "[2001:db8::1]:4097"},
        {v2_unix, sizeof v2_unix, "unix"},
        {B("PROXY UNKNOWN\r\n"), NULL},
        {B(MARK "\x20\x00\x00\x00"), NULL},
        {B(MARK "\x21\x00\x00\x00"), NULL},
        /* what is loopback there is not so here */
        {B("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"), "127.0.0.1:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = relay_world(SVI_TLS_NONE, 0);
        client *c = client_new(w);
        put(c, cases[i].bytes, cases[i].n);
        client_send(c, STREAM "<message id='m'/>");
        assert_until(w, count_text(c, "id='m'") >= 1);
        const seen *s = &w->conns[0];
        assert_true(s->info_of_conn.is_relayed);
        assert_false(s->info_of_conn.loopback);
        assert_string_equal(s->info_of_conn.peer, "memory");
        assert_int_equal(s->peers, cases[i].peer != NULL);
        if (cases[i].peer != NULL) assert_string_equal(s->peer, cases[i].peer);
        assert_int_equal(log_count, 0);
        world_free(w);
    }
}

static void a_header_may_trickle(void **state)
{
    (void)state;
    static const char text[] = LINE STREAM "<message id='m'/>";
    world *w = relay_world(SVI_TLS_NONE, 0);
    client *c = client_new(w);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        put(c, text + i, 1);
        assert_until(w, c->out.len == 0);
        (void)step(w);
        if (i < sizeof LINE - 2) assert_int_equal(w->conns[0].peers + w->conns[0].headers, 0);
    }
    assert_until(w, count_text(c, "id='m'") >= 1);
    assert_string_equal(w->conns[0].peer, SEEN_AS);
    world_free(w);
}

/* In front of the handshake, in plain text (PP 2), even in one piece with it. */
static void tls_comes_behind_the_header(void **state)
{
    (void)state;
    world *w = relay_world(SVI_TLS_DIRECT, 0);
    client *c = client_new(w);
    put(c, LINE, sizeof LINE - 1);
    assert_int_equal(c->link->ops->write(c->link, c->out.data, c->out.len), (ssize_t)c->out.len);
    svi_buf_clear(&c->out);
    client_tls(w, c);
    client_send(c, STREAM "<message id='m'/>");
    assert_until(w, count_text(c, "id='m'") >= 1);
    assert_int_equal(w->conns[0].tls, 1);
    assert_string_equal(w->conns[0].peer, SEEN_AS);
    world_free(w);
}

/* Threats T5: a proxy's header is no word of the client behind it, who holds no place among the handshakes
 * until it says something. */
static void whoever_is_silent_behind_a_header_shakes_no_hands(void **state)
{
    (void)state;
    world *w = relay_world(SVI_TLS_DIRECT, 0);
    client *c = client_new(w);
    put(c, LINE, sizeof LINE - 1);
    assert_until(w, w->conns[0].peers >= 1);
    settle(w);
    if (run_way != WAY_THREADS) assert_int_equal(w->net->ios[0].tls_now, 0); /* the thread's own */
    client_tls(w, c);
    client_send(c, STREAM "<message id='m'/>");
    assert_until(w, count_text(c, "id='m'") >= 1);
    world_free(w);
}

static void without_room_in_the_ring_the_handshake_waits(void **state)
{
    (void)state;
    world *w = relay_world(SVI_TLS_DIRECT, 1);
    client *clients[6];
    for (size_t i = 0; i < 6; i++) {
        clients[i] = client_new(w);
        put(clients[i], LINE, sizeof LINE - 1);
        assert_true(clients[i]->link->ops->write(clients[i]->link, LINE, sizeof LINE - 1) > 0);
        svi_buf_clear(&clients[i]->out);
        client_tls(w, clients[i]);
        client_send(clients[i], STREAM "<message id='m'/>");
    }
    for (size_t i = 0; i < 6; i++) assert_until(w, count_text(clients[i], "id='m'") >= 1);
    for (size_t i = 0; i < 6; i++) assert_int_equal(w->conns[i].peers, 1);
    svi_net_stats stats;
    svi_net_stats_get(w->net, &stats);
    if (run_way == WAY_MEMORY) assert_true(stats.ring_full > 0);
    world_free(w);
}

/* PP 2.1, 2.2: the connection is closed, nothing is answered. */
static void a_wrong_header_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *reason;
    } cases[] = {
        {B(STREAM), "no PROXY header"},
        {B("\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), "no PROXY header"},
        {B("PROXY TCP4 192.0.2.1\r\n"), "two addresses"},
        {B(MARK "\x21\x11\xff\xff"), "longer than 2048"},
        {B("PROXY TCP4 \x1b[2J\r\n" STREAM), "two addresses"},
    };
    static const svi_tls_mode modes[] = {SVI_TLS_NONE, SVI_TLS_DIRECT};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            world *w = relay_world(modes[k], 0);
            client *c = client_new(w);
            put(c, cases[i].bytes, cases[i].n);
            assert_until(w, w->conns[0].closed == 1 && (c->at_end || c->broken));
            assert_int_equal(w->conns[0].why, SVI_CLOSED_PROXY);
            assert_int_equal(w->conns[0].peers + w->conns[0].headers + w->conns[0].faults, 0);
            assert_int_equal(c->in.len, 0);
            assert_int_equal(log_count, 1);
            assert_non_null(strstr(log_last, "proxy-refused proxy=memory reason="));
            assert_non_null(strstr(log_last, cases[i].reason));
            assert_null(strchr(log_last, '\x1b'));
            world_free(w);
        }
}

/* Who only looks whether somebody is there leaves nothing in the log. */
static void health_checks_are_quiet(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int lines;
    } cases[] = {{B(""), 0}, {B(MARK "\x20\x00\x00\x00"), 0}, {B(LINE), 0}, {LINE, 20, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world *w = relay_world(SVI_TLS_NONE, 0);
        client *c = client_new(w);
        put(c, cases[i].bytes, cases[i].n);
        assert_until(w, c->out.len == 0 && w->conn_count == 1);
        client_close(c);
        assert_until(w, w->conns[0].closed == 1);
        assert_int_equal(w->conns[0].why, SVI_CLOSED_BY_PEER);
        assert_int_equal(log_count, cases[i].lines);
        if (cases[i].lines == 1) assert_non_null(strstr(log_last, "ends within it"));
        world_free(w);
    }
}

/* A deadline, say, while the header is missing: nothing may be written yet. */
static void closing_before_the_header_says_nothing(void **state)
{
    (void)state;
    world *w = relay_world(SVI_TLS_NONE, 0);
    client *c = client_new(w);
    put(c, LINE, 20);
    assert_until(w, w->conn_count == 1 && c->out.len == 0);
    svi_conn_write(w->conns[0].conn, SV_STR("<stream:stream>"));
    settle(w);
    svi_conn_close(w->conns[0].conn, SV_STR("</stream:stream>"), 1000);
    assert_until(w, w->conns[0].closed == 1 && (c->at_end || c->broken));
    assert_int_equal(w->conns[0].why, SVI_CLOSED_BY_US);
    assert_int_equal(c->in.len, 0);
    world_free(w);
}

/* One log line each would let clients behind a proxy that is set up wrongly fill the log. */
static void the_log_has_a_bound(void **state)
{
    (void)state;
    if (run_way != WAY_MEMORY) return; /* time is needed */
    world *w = relay_world(SVI_TLS_NONE, 0);
    for (size_t i = 0; i < SVI_PROXY_LOGS + 3; i++) client_send(client_new(w), "wrong");
    settle(w);
    assert_int_equal(log_count, SVI_PROXY_LOGS);
    svi_plat_virtual_advance(&w->clock, SVI_PROXY_LOGS_US - 1);
    client_send(client_new(w), "wrong");
    settle(w);
    assert_int_equal(log_count, SVI_PROXY_LOGS);
    svi_plat_virtual_advance(&w->clock, 1);
    client_send(client_new(w), "wrong");
    settle(w);
    assert_int_equal(log_count, SVI_PROXY_LOGS + 1);
    assert_non_null(strstr(log_last, "left_out=4"));
    world_free(w);
}

/* --- who is trusted ------------------------------------------------------------------------------------ */

/* A listener on [::] that takes IPv4 as well, or on 127.0.0.1 if there is no IPv6. */
static int listen_on_both(uint16_t *port_out)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int no = 0, flags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(AF_INET6, flags, 0);
    socklen_t n = sizeof six;
    if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0 &&
        bind(fd, (struct sockaddr *)&six, sizeof six) == 0) {
        assert_int_equal(listen(fd, 16), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&six, &n), 0);
        *port_out = six.sin6_port;
        return fd;
    }
    if (fd >= 0) (void)close(fd);
    fd = socket(AF_INET, flags, 0);
    n = sizeof four;
    assert_int_equal(bind(fd, (struct sockaddr *)&four, n), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&four, &n), 0);
    *port_out = four.sin_port;
    return fd;
}

static client *connect_to(world *w, uint16_t port)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return client_on(w, fd);
}

/* Only those that are listed must, and may, begin with a header (PP 2, 5). An IPv4 client of a socket of
 * both families is found under its IPv4 address. */
static void only_who_is_listed_is_believed(void **state)
{
    (void)state;
    if (run_way == WAY_MEMORY) return;
    static const struct {
        const char *proxy;
        bool is_trusted;
    } cases[] = {{"127.0.0.1", true}, {"127.0.0.0/8", true}, {"127.0.0.2", false},
                 {"::/0", false},     {"unix", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t port;
        svi_subnet network;
        assert_int_equal(svi_subnet_read(sv_str_of(cases[i].proxy), &network, NULL), SV_OK);
        world *w = world_new(&(setting){.way = run_way});
        svi_net_unlisten(w->net, &w->listener);
        const int fd = listen_on_both(&port);
        const svi_listen_config config = {.fd = fd,
                                          .limits = svi_xml_limits_stranger(),
                                          .ctx = w,
                                          .proxies = &network,
                                          .proxy_count = 1};
        assert_int_equal(svi_net_listen(w->net, &config, &w->listener, NULL), SV_OK);
        client *c = connect_to(w, port);
        client_send(c, LINE STREAM "<message id='m'/>");
        const seen *s = &w->conns[0];
        if (cases[i].is_trusted) {
            assert_until(w, count_text(c, "id='m'") >= 1);
            assert_string_equal(s->peer, SEEN_AS);
        } else {
            assert_until(w, s->faults == 1);
            assert_int_equal(s->fault, SVI_XML_NOT_WELL_FORMED);
        }
        assert_int_equal(s->info_of_conn.is_relayed, cases[i].is_trusted);
        assert_int_equal(s->peers, cases[i].is_trusted);
        world_free(w);
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_names_the_peer),
        cmocka_unit_test(a_header_may_trickle),
        cmocka_unit_test(tls_comes_behind_the_header),
        cmocka_unit_test(whoever_is_silent_behind_a_header_shakes_no_hands),
        cmocka_unit_test(without_room_in_the_ring_the_handshake_waits),
        cmocka_unit_test(a_wrong_header_ends_the_connection),
        cmocka_unit_test(health_checks_are_quiet),
        cmocka_unit_test(closing_before_the_header_says_nothing),
        cmocka_unit_test(the_log_has_a_bound),
        cmocka_unit_test(only_who_is_listed_is_believed),
    };
    (void)alarm(60);
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, on_log, NULL, svi_plat_kernel()->wall_us, NULL);
    make_certificate();
    int failed = 0;
    for (run_way = WAY_MEMORY; run_way <= WAY_THREADS; run_way++)
        failed += cmocka_run_group_tests_name("net_relay", tests, NULL, NULL);
    remove_certificate();
    return failed;
}
