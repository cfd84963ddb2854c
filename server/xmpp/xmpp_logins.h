/* When accounts were used last: rows of the map "HOST/logins" (owner: localpart; keys "in" and "out",
 * seconds since 1970; "from", if the host keeps it, the address of the last login).
 *
 * Nobody waits for these rows: they are gathered in memory, the last value wins, and are written
 * together some seconds later (architecture 8). A crash forgets the last seconds. Guests leave none.
 * Router thread. */
#ifndef SVI_XMPP_LOGINS_H
#define SVI_XMPP_LOGINS_H

#include "xmpp/xmpp_account.h"

/* The account has logged in, from that address (the host knows whether to keep it). */
void svi_logins_in(svi_host *host, sv_str name, const char *peer);

/* A session of it has ended. */
void svi_logins_out(svi_host *host, sv_str name);

/* Writes what was gathered; nothing while the store is short of space, then it is lost. */
void svi_logins_flush(svi_host *host);

/* Drops what was gathered of an account that is deleted. */
void svi_logins_forget(svi_host *host, sv_str name);

/* 0: never, or not known. `from` is empty if it was not kept; borrowed. */
typedef struct svi_logins_info {
    int64_t in_s, out_s;
    sv_str from;
} svi_logins_info;

/* Called once, never before the starting call has returned; `info` is NULL unless SV_OK (SV_EIO,
 * SV_ECANCELED). */
typedef void (*svi_logins_done)(void *ctx, sv_status status, const svi_logins_info *info);

/* What is known of the account, also what is not written yet. An account and none are alike. */
void svi_logins_get(svi_host *host, sv_str name, svi_logins_done done, void *ctx);

#endif
