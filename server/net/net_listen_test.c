/* Tests of accepting: addresses, distribution, certificates replaced, no descriptors left. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>

#include "base/base_log.h"
#include "net/net_test_util.h"

static int listen_on(const char *host, uint16_t *port_out)
{
    const bool v6 = strchr(host, ':') != NULL;
    const bool is_any = strcmp(host, "*") == 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(is_any ? INADDR_ANY : INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *at = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&v4;
    socklen_t n = v6 ? sizeof six : sizeof v4;
    const int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, at, n) != 0) {
        (void)close(fd);
        return -1; /* no IPv6 on this machine */
    }
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, at, &n), 0);
    *port_out = v6 ? six.sin6_port : v4.sin_port;
    return fd;
}

static client *connect_to(world *w, const char *host, uint16_t port)
{
    const bool v6 = strchr(host, ':') != NULL;
    const struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const int rc = v6 ? connect(fd, (const struct sockaddr *)&six, sizeof six)
                      : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    assert_int_equal(rc, 0);
    return client_on(w, fd);
}

static void add_listener(world *w, int fd, svi_tls_mode mode)
{
    sv_err err;
    const svi_listen_config config = {.fd = fd,
                                      .mode = mode,
                                      .tls = mode == SVI_TLS_NONE ? NULL : w->server_tls,
                                      .limits = svi_xml_limits_stranger(),
                                      .ctx = w};
    assert_int_equal(svi_net_listen(w->net, &config, &w->listener, &err), SV_OK);
}

static world *world_on(const char *host, svi_tls_mode mode, int *fd_out, uint16_t *port_out)
{
    world *w = world_new(&(setting){.way = run_way});
    *fd_out = listen_on(host, port_out);
    if (*fd_out >= 0) add_listener(w, *fd_out, mode);
    return w;
}

static void accepts_and_says_from_where(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    static const char *const starts[] = {"127.0.0.1:", "[::1]:"};
    for (size_t i = 0; i < 2; i++) {
        int fd;
        uint16_t port;
        world *w = world_on(hosts[i], SVI_TLS_NONE, &fd, &port);
        for (size_t k = 0; fd >= 0 && k < 4; k++) {
            client *c = connect_to(w, hosts[i], port);
            client_send(c, STREAM "<message id='m'/>");
            assert_until(w, count_text(c, "id='m'") >= 1);
            const svi_conn_info *info = &w->conns[k].info_of_conn;
            assert_int_equal(strncmp(info->peer, starts[i], strlen(starts[i])), 0);
            assert_true(info->loopback);
        }
        if (fd >= 0 && run_way == WAY_THREADS) {
            assert_int_equal(w->net->ios[0].conn_count, 2);
            assert_int_equal(w->net->ios[1].conn_count, 2);
        }
        svi_net_stats stats;
        svi_net_stats_get(w->net, &stats);
        if (fd >= 0) assert_int_equal(stats.accepted, 4);
        if (fd >= 0) assert_int_equal(stats.open, 4);
        world_free(w);
        if (fd >= 0) (void)close(fd);
    }
}

/* The server's end of a client's connection, in this process. */
static int other_end(const client *c)
{
    struct sockaddr_in mine, peer;
    socklen_t n = sizeof mine;
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)&mine, &n), 0);
    for (int fd = 3; fd < 1024; fd++) {
        n = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == mine.sin_port)
            return fd;
    }
    return -1;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t n = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &n), 0);
    return value;
}

/* RFC 6120 4.6.1: who goes without a word is noticed; and records leave at once. */
static void sockets_notice_dead_peers(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    world *w = world_on("127.0.0.1", SVI_TLS_NONE, &fd, &port);
    client *c = connect_to(w, "127.0.0.1", port);
    client_send(c, STREAM "<message id='m'/>");
    assert_until(w, count_text(c, "id='m'") >= 1);
    const int end = other_end(c);
    assert_true(end >= 0);
    assert_int_equal(option_of(end, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(end, IPPROTO_TCP, TCP_USER_TIMEOUT), 120000);
    assert_int_equal(option_of(end, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(end, IPPROTO_TCP, TCP_KEEPIDLE), 900);
    world_free(w);
    (void)close(fd);
}

/* Architecture 11: a listener bound to loopback counts as secure, one that others reach does not,
 * even for who comes from this machine (it may be a proxy). */
static void who_listens_everywhere_is_not_loopback(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    world *w = world_on("*", SVI_TLS_NONE, &fd, &port);
    client *c = connect_to(w, "127.0.0.1", port);
    client_send(c, STREAM "<message id='m'/>");
    assert_until(w, count_text(c, "id='m'") >= 1);
    assert_false(w->conns[0].info_of_conn.loopback);
    world_free(w);
    (void)close(fd);
}

static void a_new_certificate_is_for_new_connections(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    world *w = world_on("127.0.0.1", SVI_TLS_DIRECT, &fd, &port);
    client *before = connect_to(w, "127.0.0.1", port);
    client_tls(w, before);
    client_send(before, STREAM);
    assert_until(w, count_text(before, "<stream:stream") >= 1);
    char cert[80], key[80];
    (void)snprintf(cert, sizeof cert, "%s.2", cert_file);
    (void)snprintf(key, sizeof key, "%s.2", key_file);
    assert_int_equal(svi_tls_make_self_signed(SV_STR("other.test"), cert, key, NULL), SV_OK);
    svi_tls *other = NULL;
    const svi_tls_config config = {
        .acct = &w->acct, .cert_file = sv_str_of(cert), .key_file = sv_str_of(key)};
    assert_int_equal(svi_tls_new(&config, &other, NULL), SV_OK);
    svi_listener_set_tls(w->listener, other);
    svi_tls_unref(&other);
    client *after = connect_to(w, "127.0.0.1", port);
    client_tls(w, after);
    assert_until(w, w->conns[1].tls >= 1);
    X509 *cert_before = SSL_get1_peer_certificate(before->ssl);
    X509 *cert_after = SSL_get1_peer_certificate(after->ssl);
    assert_int_equal(X509_check_host(cert_before, "stave.test", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert_after, "other.test", 0, 0, NULL), 1);
    X509_free(cert_before);
    X509_free(cert_after);
    client_send(before, "<message id='m'/>");
    assert_until(w, count_text(before, "id='m'") >= 1);
    world_free(w);
    (void)close(fd);
    (void)unlink(cert);
    (void)unlink(key);
}

static void connections_outlive_their_listener(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    world *w = world_on("127.0.0.1", SVI_TLS_NONE, &fd, &port);
    client *c = connect_to(w, "127.0.0.1", port);
    client_send(c, STREAM);
    assert_until(w, w->conns[0].headers >= 1);
    svi_net_unlisten(w->net, &w->listener);
    assert_null(w->listener);
    client_send(c, "<message id='m'/>");
    assert_until(w, count_text(c, "id='m'") >= 1);
    (void)connect_to(w, "127.0.0.1", port); /* into the backlog: the descriptor is the caller's */
    settle(w);
    assert_int_equal(w->conn_count, 1);
    world_free(w);
    (void)close(fd);
}

/* Threats R5. */
static void without_descriptors_accepting_pauses(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    world *w = world_on("127.0.0.1", SVI_TLS_NONE, &fd, &port);
    client *c = connect_to(w, "127.0.0.1", port);
    client_send(c, STREAM);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    const struct rlimit none = {.rlim_cur = (rlim_t)c->fd + 1, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    settle(w);
    settle(w);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(w->conn_count, 0);
    /* It does not spin: the paused poll is off. */
    assert_false(uv_is_active((uv_handle_t *)w->listener->accept));
    assert_until(w, w->conn_count == 1);
    assert_until(w, w->conns[0].headers >= 1);
    world_free(w);
    (void)close(fd);
}

static int told; /* lines about failed listeners */

static void count_told(void *ctx, sv_level level, sv_str line)
{
    (void)ctx, (void)level;
    told += memmem(line.p, line.n, "listener-failed", 15) != NULL;
}

static void quiet(void *ctx, sv_level level, sv_str line)
{
    (void)ctx, (void)level, (void)line;
}

/* Threats R5: what the store, commands and certificates need is not given to clients, and that goes
 * on without a line each time. */
static void last_descriptors_are_kept(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    struct rlimit old;
    world *w = world_on("127.0.0.1", SVI_TLS_NONE, &fd, &port);
    (void)connect_to(w, "127.0.0.1", port);
    assert_until(w, w->conn_count == 1);
    told = 0;
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, count_told, NULL, svi_plat_kernel()->wall_us, NULL);
    client *c = connect_to(w, "127.0.0.1", port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    /* the next free one is the first of the last quarter */
    const struct rlimit few = {.rlim_cur = ((rlim_t)c->fd + 1) * 4 / 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    const uint64_t began_ms = uv_now(w->loop);
    while (uv_now(w->loop) - began_ms < 350) settle(w); /* three pauses, of which nothing else tells */
    assert_int_equal(w->conn_count, 1);
    const int kept = dup(fd); /* that is there for whoever else asks */
    assert_true(kept >= 0);
    (void)close(kept);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, quiet, NULL, svi_plat_kernel()->wall_us, NULL);
    assert_int_equal(told, 1);
    assert_until(w, w->conn_count == 2);
    world_free(w);
    (void)close(fd);
}

static void listening_wants_what_it_needs(void **state)
{
    (void)state;
    world *w = world_new(&(setting){.way = WAY_MEMORY});
    svi_listener *listener = NULL;
    sv_err err;
    const svi_listen_config no_tls = {.fd = -1, .mode = SVI_TLS_STARTTLS};
    assert_int_equal(svi_net_listen(w->net, &no_tls, &listener, &err), SV_EINVAL);
    const svi_listen_config no_loop = {.fd = 0, .mode = SVI_TLS_NONE};
    assert_int_equal(svi_net_listen(w->net, &no_loop, &listener, &err), SV_EINVAL);
    assert_null(listener);
    world_free(w);
    w = world_new(&(setting){.way = WAY_LOOP});
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const svi_listen_config not_pollable = {.fd = file, .mode = SVI_TLS_NONE};
    assert_int_equal(svi_net_listen(w->net, &not_pollable, &listener, &err), SV_EIO);
    (void)close(file);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_and_says_from_where),
        cmocka_unit_test(sockets_notice_dead_peers),
        cmocka_unit_test(who_listens_everywhere_is_not_loopback),
        cmocka_unit_test(a_new_certificate_is_for_new_connections),
        cmocka_unit_test(connections_outlive_their_listener),
        cmocka_unit_test(without_descriptors_accepting_pauses),
        cmocka_unit_test(last_descriptors_are_kept),
        cmocka_unit_test(listening_wants_what_it_needs),
    };
    (void)alarm(60);
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, quiet, NULL, svi_plat_kernel()->wall_us, NULL);
    make_certificate();
    int failed = 0;
    for (run_way = WAY_LOOP; run_way <= WAY_THREADS; run_way++)
        failed += cmocka_run_group_tests_name("net_listen", tests, NULL, NULL);
    remove_certificate();
    return failed;
}
