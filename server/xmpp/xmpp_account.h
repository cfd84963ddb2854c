/* Accounts of a host: a row per credential in the map "HOST/accounts" (owner: localpart; keys:
 * mechanism names with the records of xmpp_sasl.h, and "state", which is "active"). Router
 * thread. Keys are derived elsewhere: PBKDF2 takes milliseconds. */
#ifndef SVI_XMPP_ACCOUNT_H
#define SVI_XMPP_ACCOUNT_H

#include "xmpp/xmpp_sasl.h"
#include "xmpp/xmpp_server.h"

/* Result of an account operation; called exactly once, never before the starting call has
 * returned. For `set` and `remove`: after the commit. */
typedef void (*svi_account_done)(void *ctx, sv_status status);

/* Makes the account with these keys (`replace` false: SV_EEXIST if it is there; true:
 * SV_ENOTFOUND if not: a new password ends no session; keys of mechanisms that are not given are
 * deleted). `name` is prepared; all is copied. Fires account/added, if it is new, in the same
 * unit. SV_EDENIED if a guest has or had the name, SV_ENOSPC while the store is short of space, SV_EIO,
 * SV_ECANCELED when the server ends first. */
void svi_account_set(svi_host *host, sv_str name, const svi_scram_keys *keys, size_t key_count,
                     bool replace, svi_account_done done, void *ctx);

/* Deletes the account's rows, ends its sessions (<not-authorized/>), fires account/removed in
 * the same unit. SV_ENOTFOUND. */
void svi_account_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx);

/* Whether it exists: SV_OK or SV_ENOTFOUND. Known at once (returns true, *exists_out set) when
 * the account is on line or cached; otherwise returns false and calls `done`. */
bool svi_account_check(svi_host *host, sv_str name, bool *exists_out, svi_account_done done,
                       void *ctx);

/* Whether the account may log in: SV_OK, SV_ENOTFOUND, SV_EDENIED if its state is any but "active",
 * SV_EIO, SV_ECANCELED. Never calls `done` before it has returned. */
void svi_account_state(svi_host *host, sv_str name, svi_account_done done, void *ctx);

/* The keys for a mechanism: SV_OK with keys, SV_ENOTFOUND with made-up ones (threats A4), SV_EIO
 * or SV_ECANCELED with NULL. Called exactly once, never before svi_account_keys has returned. */
typedef void (*svi_account_keys_done)(void *ctx, sv_status status, const svi_scram_keys *keys);

/* Looks the keys of prepared `name` up; an account and none cost the same work. */
void svi_account_keys(svi_host *host, sv_str name, const char *mechanism,
                      svi_account_keys_done done, void *ctx);

#endif
