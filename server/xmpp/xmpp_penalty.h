/* Failed logins by address and by account: growing delays, then a lock, so that passwords can't be tried
 * out at speed over many streams (threats A6). Router thread; all in memory, bounded, forgotten after a
 * while. */
#ifndef SVI_XMPP_PENALTY_H
#define SVI_XMPP_PENALTY_H

#include "base/base_mem.h"
#include "base/base_plat.h"
#include "base/base_str.h"
#include "xmpp/xmpp_network.h"

#define SVI_PENALTY_FREE 10u   /* failures that cost nothing: people mistype */
#define SVI_PENALTY_LOCK 50u   /* failures that lock */
#define SVI_PENALTY_KEYS 8192u /* addresses and accounts remembered at most; the oldest not locked goes first */
#define SVI_PENALTY_FORGET_US (INT64_C(15) * 60 * 1000000) /* without a failure all is forgotten */
#define SVI_PENALTY_DELAY_US INT64_C(500000)                /* of the first that costs; then twice as long */
#define SVI_PENALTY_DELAY_MAX_US INT64_C(16000000)

typedef struct svi_penalties svi_penalties;

/* An empty table on the platform's clock. */
svi_penalties *svi_penalties_new(svi_acct *acct, const svi_plat *plat);
/* Frees it with all it remembers. */
void svi_penalties_free(svi_penalties **penalties);

/* Whether nobody may try from `whence` or for `account` (a bare JID) now: it is locked, or an answer is
 * being held back. An account that is locked stays
 * open to the address that it was last used from: a stranger must not lock its owner out. Loopback
 * addresses are never locked: behind them may be everybody. One that a proxy's header names is like any
 * other address; who has none there (a client on a unix socket) is neither locked by it nor known by it. */
bool svi_penalty_is_locked(svi_penalties *penalties, svi_whence whence, sv_str account);

/* Notes a failure; returns how long its answer is to be held back. `account` may be empty. */
int64_t svi_penalty_note(svi_penalties *penalties, svi_whence whence, sv_str account);

/* A success: the account's failures are forgotten, the address is remembered as its own. */
void svi_penalty_forgive(svi_penalties *penalties, svi_whence whence, sv_str account);

/* How many addresses and accounts are locked now; for operators. */
size_t svi_penalty_locked(const svi_penalties *penalties);

#endif
