/* The pool of strangers: streams that have not bound a resource yet, oldest first, in all and by network;
 * and how many streams a network has and how fast they come (architecture 11, threats R1). Router thread. */
#ifndef SVI_XMPP_STRANGERS_H
#define SVI_XMPP_STRANGERS_H

#include "xmpp/xmpp_server.h"

typedef struct svi_stream svi_stream;
typedef struct svi_strangers svi_strangers;
typedef struct svi_neighbours svi_neighbours; /* streams of one network */

/* Neighbours in a list. */
typedef struct svi_stream_link {
    svi_stream *prev, *next;
} svi_stream_link;

/* What the pool keeps in each stream. */
typedef struct svi_stranger {
    svi_stream_link all, near;
    svi_neighbours *network; /* NULL: this machine itself, or unknown behind a proxy */
    bool is_in;              /* in the pool */
    bool is_leaving;         /* left it to be closed */
} svi_stranger;

/* An empty pool on the platform's clock. `limits` are borrowed. */
svi_strangers *svi_strangers_new(svi_acct *acct, const svi_plat *plat, const svi_limits *limits);
/* Frees it; all streams are gone. */
void svi_strangers_free(svi_strangers **strangers);

/* A new stream: it is counted to its network and is in the pool. One that a proxy relays is counted to no
 * network: its own is not known yet. */
void svi_strangers_enter(svi_strangers *strangers, svi_stream *stream);

/* A proxy's header has named the stream's peer: it is counted to that network from now on. */
void svi_strangers_place(svi_strangers *strangers, svi_stream *stream);

/* True if the stream's network has more streams than it may, or began more in this minute than it may (RFC
 * 6120 13.12 rules 1 and 2). `limit_out`: which limit was passed, for the log. */
bool svi_strangers_is_crowd(const svi_strangers *strangers, const svi_stream *stream,
                            const char **limit_out);

/* A stream of such a crowd is turned away: how many of its network were in this minute, with it. */
unsigned svi_strangers_refuse(svi_strangers *strangers, const svi_stream *stream);

/* Who makes room after `newest` entered: the oldest stranger of its network or of all; NULL while there is
 * room. `limit_out`: which limit was passed, for the log. */
svi_stream *svi_strangers_excess(const svi_strangers *strangers, const svi_stream *newest,
                                 const char **limit_out);

/* The stream is no stranger any more. Idempotent. */
void svi_strangers_known(svi_strangers *strangers, svi_stream *stream);

/* The stream is about to be closed: it leaves the pool. Returns how long a close that may take
 * `within_ms` is to take: less while very many strangers are being closed, since each still holds a
 * descriptor. */
unsigned svi_strangers_leave(svi_strangers *strangers, svi_stream *stream, unsigned within_ms);

/* The stream's connection is gone. */
void svi_strangers_forget(svi_strangers *strangers, svi_stream *stream);

#endif
