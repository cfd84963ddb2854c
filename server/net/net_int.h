/* What the files of net share: the two halves of a connection, I/O threads, and the nodes that
 * travel between them.
 *
 * Who may touch what: `r` halves and everything of svi_net belong to the router thread; `io`
 * halves and everything of svi_io marked so belong to that I/O thread. A connection is handed
 * to its thread by the SVI_OUT_OPEN node and comes back with the SVI_EV_REAPED event; in
 * between nothing is shared but mail boxes, the ring, and what is immutable. */
#ifndef SVI_NET_INT_H
#define SVI_NET_INT_H

#include "base/base_str.h"
#include "net/net.h"
#include "net/net_proxy.h"
#include "net/net_ring.h"
#include "net/net_wake.h"

#define SVI_NET_MAGIC 0x4e455431u
#define SVI_CONN_MAGIC 0x434f4e31u
#define SVI_LISTENER_MAGIC 0x4c495331u

#define SVI_RECORD_BYTES ((size_t)16384)     /* largest TLS record (RFC 8446 5.1) */
#define SVI_READ_TURN_BYTES ((size_t)16384)  /* read from one connection in one turn */
#define SVI_WRITE_TURN_BYTES ((size_t)65536) /* written to one connection in one turn */
#define SVI_HANDSHAKES_MAX 256u              /* at once per thread (architecture 11) */
#define SVI_HANDSHAKE_US ((int64_t)15000000) /* for one handshake, then the peer is gone */
#define SVI_HURRY_US ((int64_t)2000000) /* for one handshake while others wait for its place */
#define SVI_HANDSHAKE_STEPS_TURN 8u          /* of 200 us and more each, in one turn */
#define SVI_NOTIFY_US ((int64_t)10000)       /* after which the router hears what was written */
#define SVI_BURST_S ((int64_t)4)             /* of its rate a connection may send at once */
#define SVI_SLOWED_US ((int64_t)100000)      /* between two looks at one that sent too much */
#define SVI_REST_US ((int64_t)100000)        /* silence after which a parser is given back */
#define SVI_PROXY_LOGS 10u                   /* wrong PROXY headers that are logged ... */
#define SVI_PROXY_LOGS_US ((int64_t)10000000) /* ... within such a time; the rest is counted */

/* --- circular lists ---------------------------------------------------------------- */

typedef struct svi_chain {
    struct svi_chain *prev, *next;
} svi_chain;

#define SVI_OF(type, member, link) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void svi_chain_init(svi_chain *chain)
{
    chain->prev = chain->next = chain;
}

static inline bool svi_chain_empty(const svi_chain *chain)
{
    return chain->next == chain;
}

static inline void svi_chain_add(svi_chain *head, svi_chain *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Also right for a link that is in no list. */
static inline void svi_chain_del(svi_chain *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    svi_chain_init(link);
}

/* --- what the router sends to an I/O thread ---------------------------------------- */

typedef enum svi_out_kind {
    /* in the order of output */
    SVI_OUT_STANZA,
    SVI_OUT_BYTES,
    SVI_OUT_STARTTLS, /* when all before it is written; `bytes`: the host spoken to */
    SVI_OUT_LAST,     /* `bytes`, then the end */
    /* at once */
    SVI_OUT_OPEN, /* the connection is the thread's from now on */
    SVI_OUT_GO,
    SVI_OUT_RESTART,  /* `bytes`: svi_xml_limits */
    SVI_OUT_FREE_RUN, /* `bytes`: svi_free_run */
    SVI_OUT_CREDIT,   /* number: bytes */
    SVI_OUT_CLOSE_BY, /* number: ms */
    SVI_OUT_REAP      /* the last one; SVI_EV_REAPED answers */
} svi_out_kind;

/* What a connection that leaves lock-step is allowed. */
typedef struct svi_free_run {
    svi_xml_limits limits;
    size_t credit_bytes, rate;
} svi_free_run;

/* A node travels router -> I/O thread -> router and is freed there. */
struct svi_out {
    svi_mail_link mail; /* next, in whichever list it is */
    svi_out *prev;      /* the router's lists only */
    svi_conn *conn;
    sv_stanza *stanza;
    uint64_t token;
    uint64_t number;
    uint64_t end; /* the I/O thread's: offset behind its last byte in the connection's output */
    size_t cost_bytes;
    size_t n; /* of bytes[], or of the head's `to` */
    uint8_t kind;
    bool has_to;
    bool written;
    char bytes[];
};

typedef struct svi_outs {
    svi_out *first, *last;
} svi_outs;

static inline svi_out *svi_out_next(const svi_out *out)
{
    return (svi_out *)(void *)out->mail.next; /* mail is the first member */
}

/* Adds at the end. */
void svi_outs_add(svi_outs *outs, svi_out *out);
/* Takes the first out; NULL if there is none. */
svi_out *svi_outs_shift(svi_outs *outs);
/* Takes one out that is in this list. */
void svi_outs_remove(svi_outs *outs, svi_out *out);
/* Moves all of `take` to the end, which empties it. */
void svi_outs_append(svi_outs *outs, svi_outs *take);
/* Frees a node with what it holds. */
void svi_out_free(svi_out *out);

/* --- what an I/O thread reports ---------------------------------------------------- */

typedef enum svi_ev_kind {
    SVI_EV_NONE = 0,
    SVI_EV_PROXY,  /* what: svi_proxy_told */
    SVI_EV_TLS,    /* what: svi_tls_info */
    SVI_EV_HEADER, /* what: sv_stanza */
    SVI_EV_STANZA, /* what: sv_stanza, n: cost */
    SVI_EV_END,
    SVI_EV_FAULT,  /* arg: svi_xml_fault, what: text */
    SVI_EV_CLOSED, /* arg: svi_closed_why; nothing of the connection is in use below */
    SVI_EV_REAPED  /* the connection is the router's again */
} svi_ev_kind;

/* What a PROXY header has told. */
typedef struct svi_proxy_told {
    const char *why; /* it is wrong; NULL if it is right */
    char peer[SVI_PROXY_PEER_BYTES];
    size_t n; /* of bytes[]: its first ones, if it is wrong */
    char bytes[48];
} svi_proxy_told;

/* Gives back what an event that is not delivered carries. */
void svi_ev_drop(const svi_ring_item *event);

/* --- connections ------------------------------------------------------------------- */

typedef struct svi_io svi_io;

/* Why input is neither read nor parsed. */
enum {
    SVI_HOLD_STEP = 1,   /* lock-step: the router has not answered yet */
    SVI_HOLD_CREDIT = 2, /* no credit */
    SVI_HOLD_RING = 4,   /* an event is parked */
    SVI_HOLD_RATE = 16, /* it sent more than its rate */
    SVI_HOLD_OVER = 8 /* </stream:stream>, a fault, or closing: input is of no interest any more */
};

typedef enum svi_io_state {
    SVI_IO_NEW,      /* not handed to the thread yet */
    SVI_IO_PROXY,    /* its PROXY header comes first; nothing is written */
    SVI_IO_OPEN,     /* plain or TLS, ready for data */
    SVI_IO_TLS_WAIT, /* until its first bytes are there and a handshake may begin */
    SVI_IO_HANDSHAKE,
    SVI_IO_LINGER, /* all is written and our end sent; waits for the peer's end */
    SVI_IO_DEAD    /* link closed */
} svi_io_state;

typedef struct svi_conn_router {
    void *ctx;
    svi_chain all;         /* in svi_net.conns */
    svi_conn *next_listed; /* in svi_net.opening, then in .dirty while `dirty` */
    svi_outs ready;        /* goes out at the next flush */
    svi_outs waiting;      /* behind the window */
    size_t queued_bytes;
    size_t below_bytes; /* of them in `ready` or at the I/O thread */
    size_t credit_total;
    size_t credit_back;  /* given back, not told yet */
    svi_conn_info *info; /* until `open` was called */
    sv_str proxy;        /* who relays it, until its header came; empty if nobody does */
    bool dirty;          /* also while in .opening: nothing goes out before `open` */
    bool backed_up;      /* something waited since the last `drained` */
    bool closing;        /* svi_conn_close was called, or SVI_EV_CLOSED came */
    bool last_moved;     /* SVI_OUT_LAST is in `ready` or below: nothing follows it */
    bool closed;         /* SVI_EV_CLOSED came */
    svi_closed_why why;
} svi_conn_router;

/* How much may be read yet: it fills with time, to SVI_BURST_S seconds' worth. */
typedef struct svi_purse {
    int64_t rate; /* bytes a second; 0: any number */
    int64_t left; /* bytes; below 0: none may be read */
    int64_t at_us;
} svi_purse;

typedef struct svi_conn_io {
    svi_link *link;
    int fd; /* until the thread made a link of it, else -1 */
    SSL *ssl;
    sv_str tls_host;  /* owned: spoken to before TLS; .p NULL: none */
    svi_proxy *proxy; /* until its header is read */
    svi_parser *parser;
    svi_chain all;     /* in svi_io.conns */
    svi_chain active;  /* in svi_io.active: has work to do */
    svi_chain blocked; /* in svi_io.blocked: waits for room in the ring */
    svi_chain timed;   /* in svi_io.warm, .slowed, .closing, .tls_wait or .shaking */
    int64_t due_us;
    svi_outs outs;                     /* not written yet */
    svi_out *unput;                    /* the first of them that is not serialised */
    uint64_t put_bytes, written_bytes; /* since the start: serialised, written */
    int64_t credit;
    int64_t credit_max;
    svi_purse purse;
    char *carry; /* read but not parsed, only while held */
    char *rest;  /* serialised but not written, only while the link takes no more */
    uint32_t carry_at, carry_n;
    unsigned key_updates; /* that the peer has sent */
    size_t rest_at, rest_n;
    svi_ring_item parked;
    uint8_t state;
    uint8_t hold;
    uint8_t why;
    bool lock_step;
    bool parser_paused;
    bool readable;    /* the link said so and was not read dry since */
    bool more;        /* bytes lie inside the SSL object */
    bool fed;         /* the parser got bytes since it was put on the warm list */
    bool blocked_out; /* the link takes no more */
    bool watch_read;  /* told to the link */
    bool watch_write;
    bool closing;
    bool closed_due, reaped_due; /* events that wait for room */
} svi_conn_io;

struct svi_conn {
    uint32_t magic;
    bool direct_tls;
    bool is_relayed; /* begins with a PROXY header */
    svi_net *net;
    svi_io *thread;         /* for life */
    svi_listener *listener; /* the router counts; limits and mode are immutable */
    svi_tls *tls;           /* a reference, NULL if there is none */
    uint64_t number;
    _Atomic int64_t heard_us; /* written by the I/O thread */
    const char *tls_reason;   /* written by it before SVI_EV_CLOSED is told; static */
    svi_conn_router r;
    svi_conn_io io;
};

/* --- I/O threads ------------------------------------------------------------------- */

/* Written by one thread, read by any. */
typedef _Atomic uint64_t svi_count;

static inline void svi_count_add(svi_count *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Handles are freed by their last close callback, which may come after svi_net_free. */
typedef struct svi_io_handles {
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t timer;
    svi_wake wake;
    unsigned open;
} svi_io_handles;

struct svi_io {
    svi_net *net;
    /* shared, see net_ring.h */
    svi_mail inbox; /* svi_out: router to thread */
    char pad0[64];
    svi_mail done; /* svi_out: thread to router */
    char pad1[64];
    svi_sleeper sleeper;
    svi_ring *ring;
    _Atomic bool stop;
    uv_sem_t stop_sent; /* the router has said stop and touches no handle any more */
    svi_count handshakes, records_out, bytes_in, bytes_out, ring_full;
    char pad2[64];
    /* the router's */
    svi_outs outbound;
    size_t conn_count;
    bool threaded;
    uv_thread_t thread;
    /* the thread's */
    uv_loop_t *loop; /* NULL: no loop, svi_net_turn does it all */
    uv_loop_t own_loop;
    svi_io_handles *handles;
    svi_outs finished; /* goes to `done` at the end of the turn */
    svi_chain conns, active, blocked, warm, slowed, closing, tls_wait, shaking;
    svi_buf scratch;
    char *read_to; /* SVI_READ_TURN_BYTES */
    int64_t now_us;
    int64_t timer_us;     /* when something is due; 0: nothing is */
    size_t unheard_bytes; /* written or given up since the router was last notified */
    int64_t notify_us;    /* when it is to hear of them at the latest; 0: not set */
    int64_t armed_us;     /* what the loop's timer is set to */
    bool ended;
    unsigned tls_now; /* handshakes going on */
    unsigned tls_steps;
};

struct svi_listener {
    uint32_t magic;
    size_t refs; /* the router's: connections and the owner */
    svi_net *net;
    svi_tls_mode mode;
    svi_tls *tls;
    svi_xml_limits limits;
    size_t rate;
    void *ctx;
    int fd;
    bool loopback;
    const svi_subnet *proxies; /* borrowed */
    size_t proxy_count;
    svi_chain all;
    struct svi_accept *accept; /* poll and timer, NULL without a descriptor */
};

/* Linked by r.next_listed: a connection is in one of them at most. */
typedef struct svi_conn_list {
    svi_conn *first, *last;
} svi_conn_list;

struct svi_net {
    uint32_t magic;
    svi_net_config config;
    svi_io *ios;
    unsigned io_count;
    svi_chain conns;
    svi_chain listeners;
    svi_conn_list dirty;
    svi_conn_list opening; /* not reported yet */
    bool in_turn;          /* svi_net_turn runs and will see what is published */
    uint64_t next_number;
    uint64_t accepted, open;
    int64_t proxy_logs_us; /* since when .proxy_logs are counted */
    uint64_t proxy_logs;   /* wrong headers since then, logged or not */
    _Atomic bool notified; /* the router was woken and has not begun its turn yet */
};

/* --- net_io.c: a thread's turn over mail, ring, connections and timers ------------- */

/* Router: makes the thread's things and starts it; without threads it shares the router's loop,
 * if there is one. */
sv_status svi_io_start(svi_io *io, svi_net *net, unsigned index, sv_err *err);

/* Router: drops all connections, ends the thread. What it reported stays to be read; then
 * svi_io_free. */
void svi_io_stop(svi_io *io);
void svi_io_free(svi_io *io);

/* One turn, on the I/O thread; returns how many connections had work. */
size_t svi_io_turn(svi_io *io);

/* Router: hands `outbound` over; wakes the thread if it sleeps, or takes the turn itself if it
 * is inline. */
void svi_io_post(svi_io *io);

/* Router: `n` events were read; a thread that waits for room hears of it. */
void svi_io_release(svi_io *io, size_t n);

/* On the I/O thread: the connection gets its turn in the next round. */
void svi_io_activate(svi_conn *conn);

/* On the I/O thread: the node goes back to the router. */
void svi_io_finish(svi_io *io, svi_out *out, bool written);

/* On the I/O thread: an event for the router; parked in the connection (and its input held) if
 * the ring is full. */
void svi_io_report(svi_conn *conn, const svi_ring_item *event);

/* On the I/O thread: tells .closed_due and .reaped_due, now or when there is room. After the
 * latter is told the connection must not be touched. */
void svi_io_report_end(svi_conn *conn);

/* On the I/O thread: puts the connection into one of the timed lists, or into none (NULL). */
void svi_io_time(svi_conn *conn, svi_chain *list, int64_t due_us);

/* --- net_pipe.c: one connection's work, on its I/O thread -------------------------- */

/* A node from the router. */
void svi_pipe_take(svi_conn *conn, svi_out *take);

/* A turn's share of handshake, output and input. */
void svi_pipe_work(svi_conn *conn);

/* One reason to hold the input is gone. */
void svi_pipe_unhold(svi_conn *conn, unsigned hold);

/* It has been silent: gives back what can be made anew. */
void svi_pipe_rest(svi_conn *conn);

/* It was read no more for its rate: looks whether it may be again. */
void svi_pipe_slowed(svi_conn *conn);

/* The time for closing is over. */
void svi_pipe_overdue(svi_conn *conn);

/* Plain text ends here: the next bytes are a handshake. */
void svi_pipe_begin_tls(svi_conn *conn);

/* Sends our end: all is written. The connection may be dead afterwards. */
void svi_pipe_end(svi_conn *conn);

/* Closes the link and gives everything back; SVI_EV_CLOSED follows. */
void svi_pipe_drop(svi_conn *conn, svi_closed_why why);

/* The same for a handshake that failed; `reason` is static. */
void svi_pipe_shake_off(svi_conn *conn, const char *reason);

/* Writes through TLS if there is any: bytes taken, -EAGAIN, or another negative errno. */
ssize_t svi_pipe_put(svi_conn *conn, const char *from, size_t n);

/* --- net_output.c: serialising and writing, on the I/O thread ---------------------- */

/* Writes what can be written now. The connection may be dead afterwards. */
void svi_pipe_output(svi_conn *conn);

/* --- net_conn.c: the router's half ------------------------------------------------- */

/* A connection from `peer` that is to be reported at the next svi_net_turn; `from` is asked whether a
 * trusted proxy brings it. */
svi_conn *svi_conn_new(svi_net *net, svi_listener *listener, const char *peer,
                       const struct sockaddr *from);

/* Reports it and gives it to its thread. */
void svi_conn_open(svi_conn *conn);

/* A node came back. */
void svi_conn_done(svi_out *take);

/* Delivers an event; SVI_EV_REAPED frees the connection. */
void svi_conn_event(const svi_ring_item *event);

/* At a flush: moves what is ready to its thread's outbound list. */
void svi_conn_collect(svi_conn *conn);

/* The network stops and the I/O thread has ended: reports the rest, frees. */
void svi_conn_abandon(svi_conn *conn);

/* Adds at the end. */
void svi_conn_list_add(svi_conn_list *list, svi_conn *conn);
/* Takes the first out; NULL if there is none. */
svi_conn *svi_conn_list_shift(svi_conn_list *list);

/* --- net_listen.c ------------------------------------------------------------------ */

/* Drops one reference; the last one frees. */
void svi_listener_unref(svi_listener *listener);

/* Router: takes a connected, non-blocking unix socket as if `listener` had accepted it; also with
 * threads. */
void svi_net_adopt(svi_net *net, svi_listener *listener, int take_fd, const char *peer);

#endif
