/* The row of an account's state, and what ends with a state. */
#include "xmpp/xmpp_account_impl.h"

#include <inttypes.h>

#include "base/base_assert.h"
#include "xmpp/xmpp_session.h"
#include "xmpp/xmpp_impl.h"

static const char *const kinds[] = {
    [SVI_ACCOUNT_ACTIVE] = "active",
    [SVI_ACCOUNT_DISABLED] = "disabled",
    [SVI_ACCOUNT_DELETING] = "deleting",
    [SVI_ACCOUNT_UNKNOWN] = "unknown",
};

const char *svi_account_kind_name(svi_account_kind kind)
{
    SV_ASSERT(kind <= SVI_ACCOUNT_UNKNOWN);
    return kinds[kind];
}

/* Takes the next word off the front; the last has no blank behind it. */
static sv_str next_word(sv_str *rest)
{
    const size_t n = svi_str_find(*rest, ' ');
    const sv_str word = svi_str_sub(*rest, 0, n);
    *rest = n < rest->n ? svi_str_sub(*rest, n + 1, rest->n) : SV_STR_NONE;
    return word;
}

void svi_account_state_read(sv_str record, svi_account_info *info_out)
{
    const sv_str word = next_word(&record);
    info_out->kind = SVI_ACCOUNT_UNKNOWN;
    info_out->since_s = 0;
    info_out->reason = SV_STR_NONE;
    info_out->is_told = false;
    for (unsigned kind = 0; kind < SVI_ACCOUNT_UNKNOWN; kind++)
        if (sv_str_eq(word, sv_str_of(kinds[kind]))) info_out->kind = (svi_account_kind)kind;
    if (info_out->kind == SVI_ACCOUNT_ACTIVE || info_out->kind == SVI_ACCOUNT_UNKNOWN) return;
    if (svi_str_int(next_word(&record), 0, INT64_MAX, &info_out->since_s)) info_out->since_s = 0;
    if (info_out->kind != SVI_ACCOUNT_DISABLED) return;
    info_out->is_told = sv_str_eq(next_word(&record), SV_STR("told"));
    info_out->reason = record;
}

void svi_account_state_write(svi_buf *buf, const svi_account_info *info)
{
    svi_buf_printf(buf, "%s", svi_account_kind_name(info->kind));
    if (info->kind == SVI_ACCOUNT_ACTIVE) return;
    svi_buf_printf(buf, " %" PRId64, info->since_s);
    if (info->kind != SVI_ACCOUNT_DISABLED) return;
    svi_buf_printf(buf, " %s ", info->is_told ? "told" : "silent");
    svi_buf_put(buf, info->reason);
}

bool svi_account_reason_fits(sv_str reason)
{
    if (reason.n > SVI_REASON_MAX || !svi_utf8_valid(reason)) return false;
    for (size_t i = 0; i < reason.n; i++)
        if ((unsigned char)reason.p[i] < 0x20 || reason.p[i] == 0x7f) return false;
    return true;
}

void svi_account_end_streams(svi_host *host, const sv_jid *account, svi_forget how,
                             const char *text)
{
    svi_server *server = svi_host_server(host);
    if (server->streams_ops && server->streams_ops->forget)
        server->streams_ops->forget(server->streams, host, account->node, how, text);
    if (how != SVI_FORGET_ALL) return;
    for (sv_session *session = NULL; (session = svi_session_next(server, account->bare, session)) != NULL;)
        if (svi_session_conn(session) == NULL) svi_session_kick(session, "not-authorized");
    sv_session *session = NULL;
    while (how == SVI_FORGET_ALL &&
           (session = svi_session_next(server, account->bare, session)) != NULL)
        svi_session_kick(session, "not-authorized");
}

int64_t svi_account_now_s(svi_host *host)
{
    const svi_plat *plat = svi_server_plat(svi_host_server(host));
    return plat->wall_us(plat->ctx) / 1000000;
}
