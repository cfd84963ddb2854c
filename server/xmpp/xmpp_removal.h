/* Deleting an account: its streams end, its contacts are unsubscribed, all that is stored for it goes.
 *
 * In units of their own: first the state "deleting" and a row in the map "HOST/removals"; then the
 * occasion account/removing, again and again until its handlers write nothing more; then what its archives
 * hold, in as many units as that takes; at last, in one unit, the occasion account/removed and whatever any map of the host has under the account's name,
 * also maps of modules that are not enabled now. What a crash breaks off goes on with
 * svi_removals_resume. Router thread. */
#ifndef SVI_XMPP_REMOVAL_H
#define SVI_XMPP_REMOVAL_H

#include "xmpp/xmpp_account.h"

/* Deletes the account. `name` is prepared and copied. SV_ENOTFOUND, SV_EBUSY while that is under
 * way already, SV_EDENIED if a back end has the account and can't
 * delete it, SV_EIO if back end or module could not do its part (it stays "deleting": a further call goes
 * on), SV_ECANCELED when the server ends first. */
void svi_account_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx);

/* Whether one of that name is under way. */
bool svi_removal_runs(const svi_host *host, sv_str name);

/* Goes on with the deletions that the server's last end has broken off; when the host's
 * modules run; those under way are left alone. */
void svi_removals_resume(svi_host *host);

#endif
