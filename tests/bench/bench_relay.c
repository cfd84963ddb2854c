/* The floors: what TLS itself costs, without XMPP.
 *
 *   bench_relay relay CERT KEY        copies each record from a client to the one it is paired with
 *   bench_relay fan CERT KEY          copies a client's first record to all others, and to itself once for each of them
 *   bench_relay handshake CERT KEY    finishes handshakes and closes
 *
 * An epoll + OpenSSL server on a free port of 127.0.0.1, which it prints. The first record of a relayed client is its
 * number in 8 digits and comes back; number 2k talks to 2k+1. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16384, RECORD_MAX = 16384, EVENTS = 256, NUMBER = 8 };

typedef struct client {
    int fd;
    bool is_secure, is_numbered;
    unsigned number;
    SSL *ssl;
} client;

typedef struct relay {
    int epoll, listener;
    bool handshake_only, is_fan;
    unsigned count; /* numbers seen are below */
    SSL_CTX *tls;
    client *by_number[CLIENTS_MAX];
} relay;

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_relay: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* Set up as Stave's own, but buffers are kept: the floor is for speed, not for memory. */
static SSL_CTX *make_tls(const char *cert, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        die(cert);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_num_tickets(tls, 1) != 1) die("tickets");
    return tls;
}

static void listen_loopback(relay *r)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&addr, size) != 0 ||
        listen(r->listener, 4096) != 0 ||
        getsockname(r->listener, (struct sockaddr *)&addr, &size) != 0)
        die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &event) != 0) die("epoll_ctl");
    printf("%u\n", ntohs(addr.sin_port));
    (void)fflush(stdout);
}

static void accept_all(relay *r)
{
    int fd;
    while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client *c = calloc(1, sizeof *c);
        if (!c || !(c->ssl = SSL_new(r->tls)) || SSL_set_fd(c->ssl, fd) != 1) die("SSL");
        c->fd = fd;
        SSL_set_accept_state(c->ssl);
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept");
}

static void end(relay *r, client *c)
{
    if (c->is_numbered && r->by_number[c->number] == c) r->by_number[c->number] = NULL;
    if (c->is_secure) (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    (void)close(c->fd);
    free(c);
}

/* What is in flight fits into the socket's buffer many times over. */
static void write_record(client *to, const char *record, int n)
{
    if (SSL_write(to->ssl, record, n) != n) die("a client does not read");
}

/* What a login with contacts is without XMPP. The answers go out together, as far as a record holds them. */
static void fan(const relay *r, client *from, const char *record, int n)
{
    static char answers[RECORD_MAX];
    int filled = 0;
    for (unsigned i = 0; i < r->count; i++) {
        client *to = r->by_number[i];
        if (!to || to == from) continue;
        write_record(to, record, n);
        if (filled + n > RECORD_MAX) {
            write_record(from, answers, filled);
            filled = 0;
        }
        memcpy(answers + filled, record, (size_t)n);
        filled += n;
    }
    write_record(from, filled ? answers : record, filled ? filled : n);
}

static void copy(relay *r, client *from, const char *record, int n)
{
    if (!from->is_numbered) {
        char digits[NUMBER + 1] = "";
        memcpy(digits, record, n < NUMBER ? (size_t)n : NUMBER);
        from->number = (unsigned)strtoul(digits, NULL, 10) % CLIENTS_MAX;
        from->is_numbered = true;
        r->by_number[from->number] = from;
        if (r->count <= from->number) r->count = from->number + 1;
        if (r->is_fan)
            fan(r, from, record, n);
        else
            write_record(from, record, n);
        return;
    }
    client *to = r->by_number[from->number ^ 1];
    if (to) write_record(to, record, n);
}

/* False when the connection is over. */
static bool serve(relay *r, client *c)
{
    static char record[RECORD_MAX];
    ERR_clear_error();
    if (!c->is_secure) {
        const int done = SSL_do_handshake(c->ssl);
        if (done != 1) {
            const int why = SSL_get_error(c->ssl, done);
            return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
        }
        c->is_secure = true;
        if (r->handshake_only) return false;
    }
    int n;
    while ((n = SSL_read(c->ssl, record, sizeof record)) > 0) copy(r, c, record, n);
    return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
}

int main(int argc, char **argv)
{
    static relay r;
    if (argc != 4) {
        (void)fputs("usage: bench_relay relay|fan|handshake CERT KEY\n", stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    r.is_fan = strcmp(argv[1], "fan") == 0;
    r.handshake_only = strcmp(argv[1], "handshake") == 0;
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    r.tls = make_tls(argv[2], argv[3]);
    listen_loopback(&r);
    while (true) {
        struct epoll_event events[EVENTS];
        const int n = epoll_wait(r.epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            client *c = events[i].data.ptr;
            if (!c)
                accept_all(&r);
            else if (!serve(&r, c))
                end(&r, c);
        }
    }
}
