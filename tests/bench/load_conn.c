/* Non-blocking TLS connections on one edge-triggered epoll loop. */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_MAX = 16384, EVENTS = 256 };

void load_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fflush(stdout);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, args); /* NOLINT: the format is a literal of ours */
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int64_t load_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void load_init(load *l, unsigned port, const load_calls *calls, bool is_lean)
{
    *l = (load){.epoll = epoll_create1(EPOLL_CLOEXEC), .calls = calls};
    l->server = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    l->tls = SSL_CTX_new(TLS_client_method());
    if (l->epoll < 0 || !l->tls) load_die("no epoll or no OpenSSL context");
    if (SSL_CTX_set_min_proto_version(l->tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(l->tls, "TLS_AES_256_GCM_SHA384") != 1)
        load_die("OpenSSL has no TLS 1.3 with AES-256-GCM");
    SSL_CTX_set_mode(l->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (is_lean) SSL_CTX_set_mode(l->tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(l->tls, 1);
    SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
}

load_conn *load_connect(load *l, unsigned index, void *user)
{
    load_conn *conn = calloc(1, sizeof *conn);
    if (!conn) load_die("no memory");
    conn->load = l;
    conn->index = index;
    conn->user = user;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) load_die("socket: %s", strerror(errno));
    const int on = 1;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(conn->fd, (const struct sockaddr *)&l->server, sizeof l->server) != 0 &&
        errno != EINPROGRESS)
        load_die("connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        load_die("epoll_ctl: %s", strerror(errno));
    return conn;
}

/* --- out ---------------------------------------------------------------------------------------------- */

static void keep(char **buf, size_t *n, size_t *cap, const char *bytes, size_t more)
{
    if (*n + more > *cap) {
        *cap = (*n + more) * 2;
        *buf = realloc(*buf, *cap);
        if (!*buf) load_die("no memory");
    }
    memcpy(*buf + *n, bytes, more);
    *n += more;
}

/* How many bytes were taken; 0 if the socket is full. */
static size_t put(load_conn *conn, const char *bytes, size_t n)
{
    if (conn->is_closed) return n; /* nobody reads it */
    if (!conn->ssl) {
        const ssize_t put = send(conn->fd, bytes, n, MSG_NOSIGNAL);
        if (put >= 0) return (size_t)put;
        if (errno == EAGAIN) return 0;
    } else {
        ERR_clear_error();
        const int put = SSL_write(conn->ssl, bytes, (int)n);
        if (put > 0) return (size_t)put;
        const int why = SSL_get_error(conn->ssl, put);
        if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) return 0;
    }
    conn->is_closed = true;
    return n;
}

void load_write(load_conn *conn, const char *bytes, size_t n)
{
    while (n > 0 && conn->out_n == 0) {
        const size_t taken = put(conn, bytes, n);
        if (taken == 0) break;
        bytes += taken;
        n -= taken;
    }
    if (n > 0) keep(&conn->out, &conn->out_n, &conn->out_cap, bytes, n);
}

static void flush(load_conn *conn)
{
    size_t done = 0;
    while (done < conn->out_n) {
        const size_t taken = put(conn, conn->out + done, conn->out_n - done);
        if (taken == 0) break;
        done += taken;
    }
    if (done == 0) return;
    memmove(conn->out, conn->out + done, conn->out_n - done);
    conn->out_n -= done;
}

/* --- in ----------------------------------------------------------------------------------------------- */

void load_start_tls(load_conn *conn)
{
    conn->ssl = SSL_new(conn->load->tls);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1) load_die("no memory");
    SSL_set_connect_state(conn->ssl);
}

/* Bytes read into `to`, 0 if there are none now or no more ever. */
static size_t get(load_conn *conn, char *to, size_t n)
{
    if (!conn->ssl) {
        const ssize_t got = recv(conn->fd, to, n, 0);
        if (got > 0) return (size_t)got;
        if (got < 0 && errno == EAGAIN) return 0;
    } else {
        ERR_clear_error();
        const int got = SSL_read(conn->ssl, to, (int)n);
        if (got > 0) return (size_t)got;
        const int why = SSL_get_error(conn->ssl, got);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return 0;
    }
    conn->is_closed = true;
    return 0;
}

static void hand_over(load_conn *conn, const char *bytes, size_t n)
{
    const load_calls *calls = conn->load->calls;
    if (conn->in_n == 0) { /* the usual case: nothing is copied */
        const size_t used = calls->data(conn, bytes, n);
        if (used < n) keep(&conn->in, &conn->in_n, &conn->in_cap, bytes + used, n - used);
        return;
    }
    keep(&conn->in, &conn->in_n, &conn->in_cap, bytes, n);
    const size_t used = calls->data(conn, conn->in, conn->in_n);
    memmove(conn->in, conn->in + used, conn->in_n - used);
    conn->in_n -= used;
}

/* Goes on with the handshake; true when it is done. */
static bool shake(load_conn *conn)
{
    if (!conn->ssl || conn->is_secure) return true;
    ERR_clear_error();
    const int done = SSL_do_handshake(conn->ssl);
    if (done == 1) {
        conn->is_secure = true;
        conn->load->calls->secure(conn);
        return true;
    }
    const int why = SSL_get_error(conn->ssl, done);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        load_die("TLS handshake: %s", ERR_reason_error_string(ERR_peek_last_error()));
    return false;
}

static void receive(load_conn *conn)
{
    static char record[RECORD_MAX];
    while (!conn->is_closed) {
        if (!shake(conn)) return;
        const size_t n = get(conn, record, sizeof record);
        if (n == 0) return;
        conn->load->records++;
        hand_over(conn, record, n);
    }
}

static void opened(load_conn *conn)
{
    int error = 0;
    socklen_t size = sizeof error;
    (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) load_die("connect: %s", strerror(error));
    conn->is_open = true;
    conn->load->calls->open(conn);
    (void)shake(conn); /* with TLS from the first byte the client speaks first */
}

int load_poll(load *l, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    const int n = epoll_wait(l->epoll, events, EVENTS, timeout_ms);
    if (n < 0 && errno != EINTR) load_die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        load_conn *conn = events[i].data.ptr;
        const bool was_closed = conn->is_closed;
        if (!conn->is_open && (events[i].events & (EPOLLOUT | EPOLLERR))) opened(conn);
        if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) receive(conn);
        if ((events[i].events & EPOLLOUT) && conn->out_n > 0) flush(conn);
        if (conn->is_closed && !was_closed) l->calls->closed(conn);
    }
    return n;
}

void load_close(load_conn **conn)
{
    load_conn *c = *conn;
    *conn = NULL;
    if (c->ssl && c->is_secure && !c->is_closed) (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    (void)close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}
