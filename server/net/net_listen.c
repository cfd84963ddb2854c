/* Listeners: accepting on the router's loop and handing sockets to the thread with the fewest
 * connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "net/net_int.h"

#define ACCEPTS_TURN 64
#define PAUSE_MS 100
#define TELL_MS 60000 /* of pauses at most so often */
#define RESERVE 64u   /* descriptors that no client gets, a quarter of all at most */
#define UNACKED_MS 120000  /* how long sent bytes may go unacknowledged */
#define PROBE_AFTER_S 900 /* of silence */
#define PROBE_EVERY_S 60
#define PROBES 4

typedef struct svi_accept {
    uv_poll_t poll;
    uv_timer_t pause;
    svi_listener *listener; /* NULL once closing */
    unsigned open;
    int64_t pauses;   /* since they were told of */
    uint64_t told_ms; /* when that was, 0: never */
} svi_accept;

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
} address;

static bool is_loopback(const address *a)
{
    switch (a->any.sa_family) {
    case AF_UNIX: return true;
    case AF_INET: return (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && a->v6.sin6_addr.s6_addr[12] == 127);
    default: return false;
    }
}

static void address_text(const address *a, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (a->any.sa_family == AF_INET &&
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host) != NULL)
        (void)snprintf(to, size, "%s:%u", host, (unsigned)ntohs(a->v4.sin_port));
    else if (a->any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host) != NULL)
        (void)snprintf(to, size, "[%s]:%u", host, (unsigned)ntohs(a->v6.sin6_port));
    else
        (void)snprintf(to, size, "unix");
}

static svi_conn *adopt(svi_net *net, svi_listener *listener, const char *peer,
                       const address *from)
{
    svi_conn *conn = svi_conn_new(net, listener, peer, &from->any);
    if (!net->in_turn && !atomic_exchange(&net->notified, true)) net->config.wake(net->config.ctx);
    return conn;
}

static const address unix_address = {.any = {.sa_family = AF_UNIX}};

void svi_net_adopt(svi_net *net, svi_listener *listener, int take_fd, const char *peer)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    SV_CHECK(listener, SVI_LISTENER_MAGIC);
    adopt(net, listener, peer, &unix_address)->io.fd = take_fd;
}

void svi_net_attach(svi_net *net, svi_listener *listener, svi_link *take, const char *peer)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    SV_CHECK(listener, SVI_LISTENER_MAGIC);
    SV_ASSERT(net->config.io_threads == 0);
    adopt(net, listener, peer, &unix_address)->io.link = take;
}

/* --- accepting ---------------------------------------------------------------------------------------------- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    svi_accept *accept = timer->data;
    if (accept->listener != NULL) (void)uv_poll_start(&accept->poll, UV_READABLE, on_acceptable);
}

/* Threats R5: without descriptors the poll would spin; whoever waits in the backlog is accepted
 * later. Ten lines a second would fill the disk as well. */
static void pause_accepting(svi_accept *accept, int why)
{
    const uint64_t now_ms = uv_now(accept->pause.loop) + 1;
    accept->pauses++;
    if (accept->told_ms == 0 || now_ms - accept->told_ms >= TELL_MS) {
        SV_LOG(SV_WARN, "listener-failed", LF_TXT("reason", strerror(why)), LF_INT("ms", PAUSE_MS),
               LF_INT("times", accept->pauses));
        accept->told_ms = now_ms;
        accept->pauses = 0;
    }
    (void)uv_poll_stop(&accept->poll);
    (void)uv_timer_start(&accept->pause, on_pause_over, PAUSE_MS, 0);
}

/* Threats R5: some descriptors are kept for the store, commands and certificates. The kernel gives
 * the lowest free one, so that a copy shows how many are left, whoever has the others. */
static int short_of_descriptors(int fd)
{
    struct rlimit limit;
    const int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (next < 0) return errno;
    (void)close(next);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    const rlim_t kept = limit.rlim_cur / 4 < RESERVE ? limit.rlim_cur / 4 : RESERVE;
    return (rlim_t)next >= limit.rlim_cur - kept ? EMFILE : 0;
}

/* All of it fails on a unix socket, which needs none of it. Records leave at once. A peer that is gone
 * without a word (RFC 6120 4.6.1) is noticed when it does not acknowledge what was sent, or, if nothing
 * is sent, does not answer the kernel's probes, which are rare for the sake of phones. */
static void tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S},
        {IPPROTO_TCP, TCP_KEEPCNT, PROBES},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

/* False if there is nothing more to accept now. */
static bool accept_one(svi_accept *accept)
{
    svi_listener *listener = accept->listener;
    address from = {.room = {.ss_family = AF_UNSPEC}};
    socklen_t from_n = sizeof from;
    const int shortage = short_of_descriptors(listener->fd);
    if (shortage != 0) {
        pause_accepting(accept, shortage);
        return false;
    }
    const int fd = accept4(listener->fd, &from.any, &from_n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        const int why = errno;
        if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM)
            pause_accepting(accept, why);
        return why == ECONNABORTED || why == EINTR;
    }
    tune(fd);
    char peer[64];
    address_text(&from, peer, sizeof peer);
    adopt(listener->net, listener, peer, &from)->io.fd = fd;
    return true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    svi_accept *accept = poll->data;
    if (status < 0 || accept->listener == NULL) return;
    for (int i = 0; i < ACCEPTS_TURN && accept_one(accept); i++) continue;
}

static void on_accept_closed(uv_handle_t *handle)
{
    svi_accept *accept = handle->data;
    if (--accept->open == 0) svi_free(accept);
}

static sv_status start_accepting(svi_listener *listener, sv_err *err)
{
    svi_net *net = listener->net;
    svi_accept *accept = svi_alloc(net->config.acct, sizeof *accept);
    int rc = uv_timer_init(net->config.loop, &accept->pause);
    SV_ASSERT(rc == 0);
    accept->pause.data = accept;
    accept->open = 1;
    rc = uv_poll_init(net->config.loop, &accept->poll, listener->fd);
    if (rc != 0) {
        uv_close((uv_handle_t *)&accept->pause, on_accept_closed);
        return svi_err(err, SV_EIO, "listening on descriptor %d: %s", listener->fd,
                       uv_strerror(rc));
    }
    accept->poll.data = accept;
    accept->open = 2;
    accept->listener = listener;
    listener->accept = accept;
    (void)uv_poll_start(&accept->poll, UV_READABLE, on_acceptable);
    return SV_OK;
}

static void stop_accepting(svi_listener *listener)
{
    svi_accept *accept = listener->accept;
    if (accept == NULL) return;
    listener->accept = NULL;
    accept->listener = NULL;
    (void)uv_poll_stop(&accept->poll);
    uv_close((uv_handle_t *)&accept->poll, on_accept_closed);
    uv_close((uv_handle_t *)&accept->pause, on_accept_closed);
}

/* --- listeners -------------------------------------------------------------------------------------------------- */

sv_status svi_net_listen(svi_net *net, const svi_listen_config *config, svi_listener **out,
                         sv_err *err)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    if (config->mode != SVI_TLS_NONE && config->tls == NULL)
        return svi_err(err, SV_EINVAL, "a listener with TLS needs a certificate");
    if (config->fd >= 0 && net->config.loop == NULL)
        return svi_err(err, SV_EINVAL, "a listener on a descriptor needs a loop");
    svi_listener *listener = svi_alloc(net->config.acct, sizeof *listener);
    listener->magic = SVI_LISTENER_MAGIC;
    listener->refs = 1;
    listener->net = net;
    listener->mode = config->mode;
    listener->limits = config->limits;
    listener->rate = config->rate;
    listener->ctx = config->ctx;
    listener->fd = config->fd;
    listener->proxies = config->proxies;
    listener->proxy_count = config->proxy_count;
    if (config->tls != NULL && config->mode != SVI_TLS_NONE)
        listener->tls = svi_tls_ref(config->tls);
    svi_chain_add(&net->listeners, &listener->all);
    address at = {.room = {.ss_family = AF_UNSPEC}};
    socklen_t at_n = sizeof at;
    if (config->fd < 0)
        listener->loopback = !config->is_public;
    else if (getsockname(config->fd, &at.any, &at_n) == 0)
        listener->loopback = is_loopback(&at);
    const sv_status st = config->fd < 0 ? SV_OK : start_accepting(listener, err);
    if (st == SV_OK)
        *out = listener;
    else
        svi_net_unlisten(net, &listener);
    return st;
}

void svi_listener_unref(svi_listener *listener)
{
    SV_CHECK(listener, SVI_LISTENER_MAGIC);
    if (--listener->refs > 0) return;
    svi_tls_unref(&listener->tls);
    listener->magic = 0;
    svi_free(listener);
}

void svi_net_unlisten(svi_net *net, svi_listener **listener)
{
    SV_CHECK(net, SVI_NET_MAGIC);
    svi_listener *l = *listener;
    *listener = NULL;
    if (l == NULL) return;
    SV_CHECK(l, SVI_LISTENER_MAGIC);
    stop_accepting(l);
    svi_chain_del(&l->all);
    svi_listener_unref(l);
}

void svi_listener_set_tls(svi_listener *listener, svi_tls *tls)
{
    SV_CHECK(listener, SVI_LISTENER_MAGIC);
    SV_ASSERT(listener->mode != SVI_TLS_NONE && tls != NULL);
    svi_tls *old = listener->tls;
    listener->tls = svi_tls_ref(tls);
    if (svi_tls_peers(old) != NULL) svi_peers_retire(svi_tls_peers(old), svi_tls_peers(tls));
    svi_tls_unref(&old);
}
