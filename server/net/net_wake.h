/* Wakes a loop from any thread.
 *
 * As uv_async_t, which before libuv 1.45 lets the woken thread spin until the waking one has
 * returned from its system call; where both share a processor that is a thousand pauses each time.
 */
#ifndef SVI_NET_WAKE_H
#define SVI_NET_WAKE_H

#include <stdatomic.h>
#include <uv.h>

typedef struct svi_wake {
    uv_poll_t poll; /* on an eventfd */
    int fd;
    atomic_bool pending; /* sent and not heard yet */
    void (*call)(void *ctx);
    void *ctx;
} svi_wake;

/* Prepares it on `loop`: `call` runs there soon after one or several sends. 0 or an error of libuv,
 * and then there is nothing to close. The loop's thread. */
int svi_wake_init(svi_wake *wake, uv_loop_t *loop, void (*call)(void *ctx), void *ctx);

/* Wakes. What was written before is seen by `call`. Any thread, until svi_wake_close is called. */
void svi_wake_send(svi_wake *wake);

/* Closes it; `closed` (may be NULL) is called with its poll handle when the memory may go. The
 * loop's thread. */
void svi_wake_close(svi_wake *wake, uv_close_cb closed);

#endif
