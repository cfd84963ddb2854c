/* A link: a byte pipe to a peer, as the platform gives it (architecture 5). The daemon's links
 * are kernel sockets on libuv polls, the stage's are pairs in memory. TLS and framing sit above
 * and do not know the difference. */
#ifndef SVI_NET_LINK_H
#define SVI_NET_LINK_H

#include <sys/types.h>
#include <sys/socket.h>
#include <uv.h>
#include "base/base_mem.h"
#include "base/base_plat.h"

typedef struct svi_link svi_link;

typedef struct svi_link_ops {
    /* Bytes read, 0 at the peer's end, or a negative errno (-EAGAIN: wait for ready). */
    ssize_t (*read)(svi_link *link, void *to, size_t n);
    /* Bytes taken, or a negative errno (-EAGAIN). */
    ssize_t (*write)(svi_link *link, const void *from, size_t n);
    /* Which kinds of readiness are to be told from now on. */
    void (*want)(svi_link *link, bool read, bool write);
    /* Sends our end; reading goes on. */
    void (*shut)(svi_link *link);
    /* Closes and frees; `ready` is not called again. */
    void (*close)(svi_link *link);
} svi_link_ops;

struct svi_link {
    const svi_link_ops *ops;
    void (*ready)(void *ctx, bool readable, bool writable); /* set by the owner; on its I/O thread */
    void *ctx;
    uint64_t tls_read; /* bytes that TLS has taken from it, net_tls.c */
    bool tls_dry;      /* TLS has asked it for more than there was */
};

/* A link on a connected, non-blocking socket, polled by `loop` (the calling thread's). Owns the
 * descriptor. */
svi_link *svi_link_socket(svi_acct *acct, uv_loop_t *loop, int fd);

/* Two links in memory joined to each other; each direction holds up to `window_bytes` not yet
 * read. Readiness is told by svi_link_pair_run, never from inside read or write. Single thread. */
typedef struct svi_link_pairs svi_link_pairs; /* all pairs of one simulated network */
svi_link_pairs *svi_link_pairs_new(svi_acct *acct);
void svi_link_pairs_free(svi_link_pairs **pairs);
void svi_link_pair(svi_link_pairs *pairs, size_t window_bytes, svi_link **a_out, svi_link **b_out);
/* Tells due readiness once around; returns how many calls were made. */
size_t svi_link_pairs_run(svi_link_pairs *pairs);
/* At most this many bytes a read (0: no limit): tiny reads for tests. */
void svi_link_pairs_chop(svi_link_pairs *pairs, size_t max_read);

/* How the pairs of a network carry bytes; zero: at once, and as much as there is or fits. */
typedef struct svi_link_nature svi_link_nature;
struct svi_link_nature {
    int64_t late_min_us, late_max_us; /* each write, and each end of a stream, travels that long: a seeded range. It comes behind
                                         what was sent before it */
    size_t max_read, max_write;       /* each read and write takes 1 to that many bytes, seeded; 0: no limit */
};
/* The clock and the randomness of the network, which outlive it; without them nothing is late, and sizes are the largest. */
void svi_link_pairs_set_plat(svi_link_pairs *pairs, const svi_plat *plat);
/* From now on, of all pairs; what travels arrives when it would have. */
void svi_link_pairs_set_nature(svi_link_pairs *pairs, const svi_link_nature *nature);
/* When the next bytes or ends of stream arrive; INT64_MAX: none travel. */
int64_t svi_link_pairs_due_us(const svi_link_pairs *pairs);

/* The connection is lost: both ends get -ECONNRESET from now on, what was not read is gone. `link` is either end. */
void svi_link_cut(svi_link *link);
void svi_link_pairs_cut(svi_link_pairs *pairs); /* all of them */
/* This end falls silent and stays so: it reads nothing more, what it writes or ends arrives nowhere, and the other end is not
 * told. */
void svi_link_silence(svi_link *link);

#endif
