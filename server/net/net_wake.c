/* Wakes a loop from any thread, see net_wake.h. */
#include "net/net_wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base_assert.h"

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    svi_wake *wake = poll->data;
    uint64_t count;
    const ssize_t got = read(wake->fd, &count, sizeof count);
    SV_ASSERT(got == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
    /* Whoever finds it pending wrote before this. */
    (void)atomic_exchange(&wake->pending, false);
    wake->call(wake->ctx);
}

int svi_wake_init(svi_wake *wake, uv_loop_t *loop, void (*call)(void *ctx), void *ctx)
{
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->fd < 0) return uv_translate_sys_error(errno);
    wake->call = call;
    wake->ctx = ctx;
    atomic_init(&wake->pending, false);
    const int failed = uv_poll_init(loop, &wake->poll, wake->fd);
    if (failed) {
        (void)close(wake->fd);
        wake->fd = -1;
        return failed;
    }
    wake->poll.data = wake;
    const int started = uv_poll_start(&wake->poll, UV_READABLE, on_readable);
    SV_ASSERT(started == 0); /* fails for a closing handle only */
    return 0;
}

void svi_wake_send(svi_wake *wake)
{
    if (atomic_exchange(&wake->pending, true)) return;
    const uint64_t one = 1;
    ssize_t put;
    do put = write(wake->fd, &one, sizeof one);
    while (put < 0 && errno == EINTR);
    SV_ASSERT(put == (ssize_t)sizeof one); /* the counter is below its bound: one send at a time */
}

void svi_wake_close(svi_wake *wake, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&wake->poll, closed);
    (void)close(wake->fd);
    wake->fd = -1;
}
