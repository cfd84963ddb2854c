/* Accounts of a host: a row per credential in the map "HOST/accounts" (owner: localpart; keys:
 * mechanism names with the records of xmpp_sasl.h, "state" and "created"). Router thread. Keys are
 * derived elsewhere: PBKDF2 takes milliseconds.
 *
 * The row "state" is one of
 *
 *     active
 *     disabled SINCE told|silent REASON
 *     deleting SINCE
 *
 * with SINCE in seconds since 1970; a state that this release does not know is as good as disabled.
 * An account that is being deleted can't log in and does not exist for whoever writes to it. */
#ifndef SVI_XMPP_ACCOUNT_H
#define SVI_XMPP_ACCOUNT_H

#include "xmpp/xmpp_sasl.h"
#include "xmpp/xmpp_server.h"

#define SVI_REASON_MAX 500u /* bytes of why an account is disabled */

/* Result of an account operation; called exactly once, never before the starting call has
 * returned. For what changes something: after the commit. */
typedef void (*svi_account_done)(void *ctx, sv_status status);

/* Makes the account with these keys (`replace` false: SV_EEXIST if it is there; true:
 * SV_ENOTFOUND if not: a new password ends no session; keys of mechanisms that are not given are
 * deleted, its state stays). `name` is prepared; all is copied. Fires account/added, if it is new, in
 * the same unit. SV_EDENIED if a guest has or had the name, SV_EBUSY while one of that name is being
 * deleted, SV_ENOSPC while the store is short of space, SV_EIO, SV_ECANCELED when the server ends
 * first. */
void svi_account_set(svi_host *host, sv_str name, const svi_scram_keys *keys, size_t key_count,
                     bool replace, svi_account_done done, void *ctx);

/* The same on a host whose accounts a back end keeps (xmpp_provider.h), which makes the account or
 * changes its password; the status may also be one of there. */
void svi_account_set_elsewhere(svi_host *host, sv_str name, sv_str password, bool replace,
                               svi_account_done done, void *ctx);

/* Nobody logs in to it from now on (RFC 6120 6.5.1 <account-disabled/>), its streams end
 * (<not-authorized/>), what waits for it waits on, and more comes as for one that is not on line.
 * `reason` is for operators, with `is_told` for its user, too; copied; a second call replaces it.
 * Fires account/disabled in the same unit, which is written even when space is short. SV_ENOTFOUND,
 * SV_EBUSY while it is being deleted, SV_EINVAL: a reason of more than SVI_REASON_MAX bytes, with
 * control characters or not UTF-8. */
void svi_account_disable(svi_host *host, sv_str name, sv_str reason, bool is_told,
                         svi_account_done done, void *ctx);

/* Ends that; fires account/enabled in the same unit. SV_EEXIST if it was not disabled; others as
 * above, and SV_ENOSPC. */
void svi_account_enable(svi_host *host, sv_str name, svi_account_done done, void *ctx);

/* Whether it exists: SV_OK or SV_ENOTFOUND. Known at once (returns true, *exists_out set) when
 * the account is on line or cached; otherwise returns false and calls `done`. */
bool svi_account_check(svi_host *host, sv_str name, bool *exists_out, svi_account_done done,
                       void *ctx);

/* Whether the account may log in: SV_OK, SV_ENOTFOUND, SV_EDENIED if it is disabled, SV_EIO,
 * SV_ECANCELED. `told`: what its user is to hear of that; empty if nothing; borrowed for the call. */
typedef void (*svi_account_state_done)(void *ctx, sv_status status, sv_str told);

/* Never calls `done` before it has returned. */
void svi_account_state(svi_host *host, sv_str name, svi_account_state_done done, void *ctx);

/* The keys for a mechanism: SV_OK with keys, SV_ENOTFOUND with made-up ones (threats A4), SV_EIO
 * or SV_ECANCELED with NULL. Called exactly once, never before svi_account_keys has returned. */
typedef void (*svi_account_keys_done)(void *ctx, sv_status status, const svi_scram_keys *keys);

/* Looks the keys of prepared `name` up; an account and none cost the same work. */
void svi_account_keys(svi_host *host, sv_str name, const char *mechanism,
                      svi_account_keys_done done, void *ctx);

/* --- what an operator is shown ---------------------------------------------------------------- */

typedef enum svi_account_kind {
    SVI_ACCOUNT_ACTIVE,
    SVI_ACCOUNT_DISABLED,
    SVI_ACCOUNT_DELETING,
    SVI_ACCOUNT_UNKNOWN /* a state of a later release */
} svi_account_kind;

/* The word for it, as in the row. */
const char *svi_account_kind_name(svi_account_kind kind);

#define SVI_ACCOUNT_KEYS_MAX 8u

/* An account as stored; strings are borrowed. Times in seconds since 1970, 0: not known. */
typedef struct svi_account_info {
    svi_account_kind kind;
    int64_t since_s; /* of a state other than active */
    sv_str reason;   /* of disabled */
    bool is_told;
    int64_t created_s;
    sv_str mechanisms[SVI_ACCOUNT_KEYS_MAX]; /* those that it has keys of */
    size_t mechanism_count;
} svi_account_info;

/* `info` is NULL unless the status is SV_OK. Otherwise as svi_account_done. */
typedef void (*svi_account_info_done)(void *ctx, sv_status status, const svi_account_info *info);

/* Called as svi_account_done; `kind` counts with SV_OK only. */
typedef void (*svi_account_kind_done)(void *ctx, sv_status status, svi_account_kind kind);

/* The state of an account that is there, as far as this server keeps it: for lists. */
void svi_account_kind_get(svi_host *host, sv_str name, svi_account_kind_done done, void *ctx);

/* What is known of the account: SV_ENOTFOUND, SV_EIO, SV_ECANCELED. */
void svi_account_show(svi_host *host, sv_str name, svi_account_info_done done, void *ctx);

#endif
