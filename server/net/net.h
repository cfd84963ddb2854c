/* The network as the router sees it: connections that report stream events and take stanzas.
 *
 * Sockets, TLS, parsing and writing run on N I/O threads (or inline on the router with
 * io_threads = 0, the same code). A connection is pinned to one I/O thread. All functions here
 * and all callbacks belong to the router thread. The router never waits: what it sends goes to
 * lists without bound of their own, bounded per connection by the window below and by the
 * caller (architecture 3.2, 3.6, 3.7). */
#ifndef SVI_NET_H
#define SVI_NET_H

#include "base/base_plat.h"
#include "net/net_link.h"
#include "net/net_subnet.h"
#include "net/net_tls.h"
#include "xml/xml_parser.h"
#include "xml/xml_writer.h"

typedef struct svi_net svi_net;
typedef struct svi_conn svi_conn;
typedef struct svi_listener svi_listener;

typedef enum svi_tls_mode {
    SVI_TLS_NONE,     /* never */
    SVI_TLS_STARTTLS, /* when svi_conn_starttls is called */
    SVI_TLS_DIRECT    /* from the first byte (XEP-0368) */
} svi_tls_mode;

typedef struct svi_conn_info {
    const svi_listener *listener;
    void               *listener_ctx;
    char                peer[64];  /* address and port as text, "unix" or "memory" */
    bool                loopback;  /* the listener is bound to loopback: counts as secure for SCRAM */
    /* A trusted proxy brings the connection. `peer` is the proxy's; `peer` of svi_net_calls tells the
     * client's. It never counts as loopback, whatever address is told: behind a proxy may be everybody. */
    bool                is_relayed;
    svi_tls_mode tls_mode; /* the listener's: whether STARTTLS can be offered, or a handshake comes first */
} svi_conn_info;

typedef enum svi_closed_why {
    SVI_CLOSED_BY_US,     /* svi_conn_close finished */
    SVI_CLOSED_BY_PEER,   /* end of file */
    SVI_CLOSED_ERROR,     /* reset, not all written in time, TLS alert */
    SVI_CLOSED_TLS,       /* the handshake failed */
    SVI_CLOSED_PROXY,     /* the PROXY header was wrong; logged */
    SVI_CLOSED_UPDATES,   /* more TLS key updates than a peer may ask for */
    SVI_CLOSED_NET_STOP
} svi_closed_why;

/* What a connection reports. `take` is a reference handed over. While the connection is in
 * lock-step (see svi_conn_go) nothing behind a reported header or stanza is parsed until the
 * router answers. */
typedef struct svi_net_calls {
    void (*open)(void *ctx, svi_conn *conn, const svi_conn_info *info);
    /* The address in the PROXY header of a relayed connection, before anything else is reported of it; as
     * svi_conn_info.peer. Not called if the header names nobody. */
    void (*peer)(void *ctx, svi_conn *conn, const char *peer);
    void (*tls)(void *ctx, svi_conn *conn, const svi_tls_info *info); /* handshake finished */
    void (*header)(void *ctx, svi_conn *conn, sv_stanza *take);
    void (*stanza)(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes);
    void (*end)(void *ctx, svi_conn *conn);
    void (*fault)(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text);
    /* A stanza sent with this token was written to the kernel, or never will be. In order per
     * connection. */
    void (*sent)(void *ctx, svi_conn *conn, uint64_t token, bool written, const sv_stanza *stanza);
    /* All that waited has gone to the I/O thread (or was dropped) and the window has room. */
    void (*drained)(void *ctx, svi_conn *conn);
    /* The last call; `sent` has been called for everything. The connection is freed on return. */
    void (*closed)(void *ctx, svi_conn *conn, svi_closed_why why);
} svi_net_calls;

typedef struct svi_net_config {
    svi_acct                       *acct;
    const svi_plat                 *plat;
    unsigned                        io_threads;   /* 0: inline */
    uv_loop_t                      *loop;         /* the router's; NULL on the stage (inline, links only) */
    const svi_atoms *const _Atomic *atoms;
    const svi_net_calls            *calls;
    void                           *ctx;
    void                          (*wake)(void *ctx); /* any thread: asks the router for svi_net_turn soon */
    size_t                          ring_slots;   /* inbound ring per I/O thread (1024); 4 in tests */
    size_t                          window_bytes; /* out bytes at the I/O thread per connection (64 KiB) */
} svi_net_config;

/* Makes the network and starts its I/O threads. `config` is copied; what it points to must outlive
 * the network. SV_EIO if a thread or its loop cannot be made. */
sv_status svi_net_new(const svi_net_config *config, svi_net **net_out, sv_err *err);

/* Closes all connections (with `sent` and `closed` called for each), joins the threads, frees.
 * Handles on the router's loop go when it runs next; the account must live until then. */
void svi_net_free(svi_net **net);

/* Delivers what the I/O threads reported, up to `max` events (0: a whole round), and no more behind 20 ms, however slow
 * those who hear of them are. With inline I/O it
 * also runs the connections' work. Returns how much was done; after a flush, 0 means that nothing
 * will happen before time passes or a link is ready. Not to be called from a callback. */
size_t svi_net_turn(svi_net *net, size_t max);

/* When something becomes due by time alone (us of the platform's monotonic clock), for a clock that
 * jumps; INT64_MAX if nothing will, or if a loop or threads see to it. */
int64_t svi_net_due_us(const svi_net *net);

/* End of a router turn: hands all that was sent and ordered since to the I/O threads and wakes
 * only sleepers; inline it does the work at once. May be called from a callback. */
void svi_net_flush(svi_net *net);

/* --- listeners -------------------------------------------------------------------------------------- */

typedef struct svi_listen_config {
    int          fd;      /* bound and listening; stays the caller's (the supervisor keeps it) */
    svi_tls_mode mode;
    svi_tls     *tls;     /* NULL if mode is NONE */
    svi_xml_limits limits; /* for strangers */
    size_t       rate;     /* the same: bytes a second, 0: any; see svi_conn_free_run */
    bool         is_public; /* with fd -1: as if bound to an address that is not loopback */
    void        *ctx;     /* returned in svi_conn_info */
    /* Connections from these must begin with a PROXY header (net_proxy.h), no others may. Borrowed until
     * svi_net_unlisten. */
    const svi_subnet *proxies;
    size_t       proxy_count;
} svi_listen_config;

/* Starts accepting on the router's loop; a new connection goes to the thread with the fewest. On
 * EMFILE accepting pauses 100 ms (threats R5). SV_EINVAL without a certificate or a loop that is
 * needed, SV_EIO if the descriptor cannot be polled. */
sv_status svi_net_listen(svi_net *net, const svi_listen_config *config, svi_listener **out,
                         sv_err *err);

/* Stops accepting; connections stay. Clears the pointer. svi_net_free does it for those left. */
void svi_net_unlisten(svi_net *net, svi_listener **listener);

/* Replaces the certificate for connections accepted from now on. Clients' certificates that were judged
 * by other CA files than those of `tls` count no more (svi_peers_retire). */
void svi_listener_set_tls(svi_listener *listener, svi_tls *tls);

/* Takes a ready link as if `listener` had accepted it on a unix socket (the stage; inline only). A
 * listener made with fd -1 only describes mode and limits. */
void svi_net_attach(svi_net *net, svi_listener *listener, svi_link *take, const char *peer);

/* --- connections ------------------------------------------------------------------------------------ */

/* The caller's own pointer, NULL at first. */
void  svi_conn_set_ctx(svi_conn *conn, void *ctx);
void *svi_conn_ctx(const svi_conn *conn);
/* What it reads and writes (inline only); NULL once it is closed. Borrowed. */
svi_link *svi_conn_link(const svi_conn *conn);
uint64_t svi_conn_number(const svi_conn *conn); /* unique in the process; for logs */

/* Sends control bytes (headers, features, SASL). Ordered with stanzas. Copied. After
 * svi_conn_close it does nothing. */
void svi_conn_write(svi_conn *conn, sv_str bytes);

/* Sends a stanza with the head that differs by recipient (copied). Takes a reference of its
 * own. `token` is returned by `sent`. Never blocks and never fails; after svi_conn_close it is
 * reported unwritten. */
void svi_conn_send(svi_conn *conn, const sv_stanza *stanza, const svi_head *head, uint64_t token);

/* When bytes last came from the peer, white space too (us of the platform's monotonic clock); a little
 * late if an I/O thread is just at it. */
int64_t svi_conn_heard_us(const svi_conn *conn);

/* Inside `closed` with SVI_CLOSED_TLS: why the handshake failed, for a log. Static. */
const char *svi_conn_tls_reason(const svi_conn *conn);

/* Bytes (svi_stanza_held_bytes) sent and not yet reported written. */
size_t svi_conn_queued_bytes(const svi_conn *conn);

/* What waits on the router's side behind the window, oldest first (`after` NULL: the first; NULL at
 * the end); for coalescing (architecture 3.7). Dropping one calls nothing, frees it and returns its
 * token. */
typedef struct svi_out svi_out;
svi_out *svi_conn_waiting(svi_conn *conn, svi_out *after);
const sv_stanza *svi_out_stanza(const svi_out *out);
uint64_t svi_conn_waiting_drop(svi_conn *conn, svi_out *out);

/* A connection starts in lock-step: parsing pauses after each reported header or stanza. go:
 * parse on. */
void svi_conn_go(svi_conn *conn);

/* When all sent before (<proceed/>) is written: discards everything read and not parsed (threats
 * T1), starts the handshake, starts the parser anew in lock-step; svi_conn_go is implied. What is
 * sent after it goes out inside TLS. `tls` or `closed` follows. `host` (A-labels) is whom the peer spoke to:
 * it is shown that one's certificate if its hello names none (RFC 6120 5.4.3.1 rule 4). Copied. */
void svi_conn_starttls(svi_conn *conn, sv_str host);

/* A new stream header is expected on the same connection (after SASL success); goes on. Bytes that
 * were read already belong to the new stream. `limits` replace the stranger's. */
void svi_conn_restart(svi_conn *conn, const svi_xml_limits *limits);

/* Leaves lock-step: stanzas are reported as they come, while credit lasts (a stanza is reported as
 * long as any credit is left). `limits` and `rate` replace the stranger's. Who sends more than `rate`
 * bytes a second (0: any number; white space counts, TLS handshakes do not) is read no faster; what was
 * not used of four seconds may come at once. */
void svi_conn_free_run(svi_conn *conn, const svi_xml_limits *limits, size_t credit_bytes,
                       size_t rate);

/* Gives credit back: `cost_bytes` of a reported stanza (0 for those of the lock-step), when all it
 * caused is done and committed. Less than a quarter of all may be kept back until the next flush
 * that has more to say to this connection. */
void svi_conn_credit(svi_conn *conn, size_t cost_bytes);

/* Writes what is queued, then `last_bytes` (may be empty), ends TLS and the connection and waits
 * for the peer's end; gives up after `within_ms` (0, or inside a handshake: at once, nothing more
 * is written). Only `sent` and `closed` follow. Idempotent. */
void svi_conn_close(svi_conn *conn, sv_str last_bytes, unsigned within_ms);

typedef struct svi_net_stats {
    uint64_t accepted, open, handshakes, records_out, bytes_in, bytes_out, ring_full;
} svi_net_stats;

/* Sums over all threads since the start (`open`: now); records_out counts writes, which are TLS
 * records where there is TLS. Counters of running threads may lag a little. */
void svi_net_stats_get(const svi_net *net, svi_net_stats *stats_out);

#endif
