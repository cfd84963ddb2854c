/* A live server over TCP and TLS. Certificates are not verified: the servers under test make their own. */
#include "flow_live.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

typedef struct live {
    flow_world world;
    const char *host, *port, *register_command;
    SSL_CTX *tls;
} live;

typedef struct live_pipe {
    flow_pipe pipe;
    live *world;
    SSL *ssl;
} live_pipe;

static ssize_t pipe_read(flow_pipe *pipe, void *to, size_t n)
{
    live_pipe *p = (live_pipe *)(void *)pipe;
    if (!p->ssl) {
        const ssize_t got = recv(pipe->fd, to, n, MSG_DONTWAIT);
        if (got >= 0 || errno == EAGAIN || errno == EINTR) return got;
        pipe->fault = strerrorname_np(errno);
        return 0;
    }
    ERR_clear_error(); /* what another connection left there counts as this one's failure */
    const int got = SSL_read(p->ssl, to, (int)n);
    if (got > 0) return got;
    const int why = SSL_get_error(p->ssl, got);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return -1;
    if (why == SSL_ERROR_SYSCALL)
        pipe->fault = errno ? strerrorname_np(errno) : "end without TLS's";
    if (why == SSL_ERROR_SSL) pipe->fault = ERR_reason_error_string(ERR_peek_error());
    return 0;
}

static ssize_t pipe_write(flow_pipe *pipe, const void *from, size_t n)
{
    live_pipe *p = (live_pipe *)(void *)pipe;
    if (!p->ssl) return send(pipe->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    ERR_clear_error();
    const int put = SSL_write(p->ssl, from, (int)n);
    return put > 0 ? put : -1;
}

static bool wait_fd(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, ms) > 0;
}

static bool pipe_starttls(flow_pipe *pipe, const char *domain)
{
    live_pipe *p = (live_pipe *)(void *)pipe;
    p->ssl = SSL_new(p->world->tls);
    SV_ASSERT(p->ssl != NULL);
    (void)SSL_set_fd(p->ssl, pipe->fd);
    char name[256]; /* the macro takes no const text */
    snprintf(name, sizeof name, "%s", domain);
    (void)SSL_set_tlsext_host_name(p->ssl, name);
    for (;;) {
        ERR_clear_error();
        const int done = SSL_connect(p->ssl);
        if (done == 1) return true;
        const int why = SSL_get_error(p->ssl, done);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return false;
        if (!wait_fd(pipe->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, 10000)) return false;
    }
}

static void pipe_close(flow_pipe *pipe)
{
    live_pipe *p = (live_pipe *)(void *)pipe;
    if (p->ssl) SSL_free(p->ssl);
    (void)close(pipe->fd);
    svi_free(p);
}

static flow_pipe *open_pipe(flow_world *world)
{
    live *l = (live *)(void *)world;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(l->host, l->port, &hints, &list) != 0) return NULL;
    const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0;
    freeaddrinfo(list);
    if (!ok) {
        if (fd >= 0) (void)close(fd);
        return NULL;
    }
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    live_pipe *p = svi_alloc(world->acct, sizeof *p);
    *p = (live_pipe){.pipe = {.read = pipe_read,
                              .write = pipe_write,
                              .close = pipe_close,
                              .starttls = pipe_starttls,
                              .fd = fd},
                     .world = l};
    return &p->pipe;
}

static void draw(flow_world *world, void *to, size_t n)
{
    (void)world;
    (void)RAND_bytes(to, (int)n);
}

static bool wait_input(flow_world *world, flow_pipe *const *pipes, size_t count, int ms)
{
    (void)world;
    struct pollfd p[FLOW_CLIENTS];
    for (size_t i = 0; i < count; i++) p[i] = (struct pollfd){.fd = pipes[i]->fd, .events = POLLIN};
    return poll(p, (nfds_t)count, ms) > 0;
}

static bool wait_output(flow_world *world, flow_pipe *pipe, int ms)
{
    (void)world;
    return wait_fd(pipe->fd, POLLOUT | POLLIN, ms);
}

static bool settle(flow_world *world)
{
    (void)world;
    return false;
}

static void pass_time(flow_world *world, int64_t us)
{
    (void)world;
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000};
    (void)nanosleep(&t, NULL); /* a script that waits means real time here */
}

static bool add_account(flow_world *world, sv_str user, sv_str domain, sv_str password, svi_buf *why)
{
    live *l = (live *)(void *)world;
    if (!l->register_command) return true;
    char u[128], d[128], p[64], command[] = "sh", flag[] = "-c";
    (void)snprintf(u, sizeof u, "%.*s", (int)user.n, user.p);
    (void)snprintf(d, sizeof d, "%.*s", (int)domain.n, domain.p);
    (void)snprintf(p, sizeof p, "%.*s", (int)password.n, password.p);
    char line[600];
    (void)snprintf(line, sizeof line, "%s \"$@\"", l->register_command);
    char *const argv[] = {command, flag, line, command, u, d, p, NULL};
    pid_t pid;
    int status = 1;
    if (posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
        return false;
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ok) svi_buf_printf(why, "%s does not make it", l->register_command);
    return ok;
}

static bool close_live(flow_world **world, char *why, size_t why_bytes)
{
    (void)why_bytes;
    live *l = (live *)(void *)*world;
    SSL_CTX_free(l->tls);
    svi_free(l);
    *world = NULL;
    why[0] = 0;
    return true;
}

flow_world *flow_live_new(svi_acct *acct, const char *host, const char *port,
                          const char *register_command)
{
    live *l = svi_alloc(acct, sizeof *l);
    l->world = (flow_world){.acct = acct,
                            .name = "live",
                            .patience_ms = 10000,
                            .add_account = add_account,
                            .open = open_pipe,
                            .settle = settle,
                            .random = draw,
                            .wait_input = wait_input,
                            .wait_output = wait_output,
                            .pass_time = pass_time,
                            .close = close_live};
    l->host = host;
    l->port = port;
    l->register_command = register_command;
    l->tls = SSL_CTX_new(TLS_client_method());
    SV_ASSERT(l->tls != NULL);
    (void)SSL_CTX_set_mode(l->tls,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(l->tls, SSL_VERIFY_NONE, NULL);
    return &l->world;
}
