/* What the files of accounts share: the row of the state. Nobody else includes it. */
#ifndef SVI_XMPP_ACCOUNT_IMPL_H
#define SVI_XMPP_ACCOUNT_IMPL_H

#include "xmpp/xmpp_account.h"

#define SVI_ACCOUNT_STATE SV_STR("state")
#define SVI_ACCOUNT_CREATED SV_STR("created")

/* Reads a row of a state into `kind`, `since_s`, `reason` and `is_told`, borrowed from it. */
void svi_account_state_read(sv_str record, svi_account_info *info_out);

/* Appends such a row; of an active one no more than the word. */
void svi_account_state_write(svi_buf *buf, const svi_account_info *info);

/* True for what a reason may be. */
bool svi_account_reason_fits(sv_str reason);

/* Ends the account's streams and sessions, if `how` is about them, and the exchanges that log in to it.
 * `text` is told with the stream error; NULL: nothing. */
void svi_account_end_streams(svi_host *host, const sv_jid *account, svi_forget how,
                             const char *text);

/* Wall clock in seconds. */
int64_t svi_account_now_s(svi_host *host);

#endif
