/* Sessions that outlived the process: built anew from their records at a start, before anybody is listened to (decision 019). */
#ifndef SVI_XMPP_RECOVER_H
#define SVI_XMPP_RECOVER_H

#include "xmpp/xmpp_server.h"

/* What became of the records. */
typedef struct svi_recovered {
    size_t away;    /* sessions that wait for their clients */
    size_t ended;   /* that could not be resumed, or not any more: session/gone was fired */
    size_t damaged; /* records that could not be read: deleted, but those of a later release, which stay */
    sv_status status; /* SV_EIO: some could not be read from the disk, and stay; SV_ECANCELED: the server ends */
} svi_recovered;

/* Builds the sessions of all hosts that are served; their modules have started. Each is away, and introduced to the modules as sessions are
 * to modules that were enabled just now: nothing is broadcast. Those that nobody may resume end when all are there, so that the others
 * hear of it. `done` is called exactly once, never before this returns, from a turn of the server. Router thread; once. */
void svi_sessions_recover(svi_server *server, void (*done)(void *ctx, const svi_recovered *recovered), void *ctx);

#endif
