/* Links on kernel sockets: non-blocking stream sockets polled by libuv. */
#include "net/net_link.h"

#include <errno.h>
#include <unistd.h>

#include "base/base_assert.h"

#define SOCK_MAGIC 0x534f434bu

typedef struct sock_link {
    svi_link link;
    uint32_t magic;
    int fd;
    int events; /* what the poll watches now */
    uv_poll_t poll;
} sock_link;

static sock_link *sock_of(svi_link *link)
{
    sock_link *s = (sock_link *)link;
    SV_CHECK(s, SOCK_MAGIC);
    return s;
}

static ssize_t sock_read(svi_link *link, void *to, size_t n)
{
    const int fd = sock_of(link)->fd;
    ssize_t got;
    do {
        got = recv(fd, to, n, 0);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t sock_write(svi_link *link, const void *from, size_t n)
{
    const int fd = sock_of(link)->fd;
    ssize_t put;
    do {
        put = send(fd, from, n, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    sock_link *s = poll->data;
    SV_CHECK(s, SOCK_MAGIC);
    /* An error is found by the next read or write. */
    const bool broken = status < 0;
    if (s->link.ready != NULL)
        s->link.ready(s->link.ctx, broken || (events & (UV_READABLE | UV_DISCONNECT)) != 0,
                      broken || (events & UV_WRITABLE) != 0);
    /* libuv has stopped a poll that it reports broken. If there were bytes before the error, they
     * may be read and the error not yet: it must be told again. */
    if (broken && s->fd >= 0 && s->events != 0) (void)uv_poll_start(&s->poll, s->events, on_poll);
}

static void sock_want(svi_link *link, bool read, bool write)
{
    sock_link *s = sock_of(link);
    const int events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);
    if (events == s->events) return;
    s->events = events;
    if (events == 0)
        (void)uv_poll_stop(&s->poll);
    else
        (void)uv_poll_start(&s->poll, events, on_poll);
}

static void sock_shut(svi_link *link)
{
    (void)shutdown(sock_of(link)->fd, SHUT_WR);
}

static void on_closed(uv_handle_t *handle)
{
    svi_free(handle->data);
}

static void sock_close(svi_link *link)
{
    sock_link *s = sock_of(link);
    s->link.ready = NULL;
    uv_close((uv_handle_t *)&s->poll, on_closed);
    /* Behind uv_close, which still uses its number: another thread may be given that at once. */
    (void)close(s->fd);
    s->fd = -1;
}

static const svi_link_ops sock_ops = {
    .read = sock_read,
    .write = sock_write,
    .want = sock_want,
    .shut = sock_shut,
    .close = sock_close,
};

svi_link *svi_link_socket(svi_acct *acct, uv_loop_t *loop, int fd)
{
    sock_link *s = svi_alloc(acct, sizeof *s);
    s->link.ops = &sock_ops;
    s->magic = SOCK_MAGIC;
    s->fd = fd;
    if (uv_poll_init(loop, &s->poll, fd) != 0) {
        svi_free(s);
        return NULL;
    }
    s->poll.data = s;
    return &s->link;
}
