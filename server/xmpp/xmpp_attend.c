/* What a change of a host means for its sessions: each is looked at once, before its next stanza or, if it
 * is silent, in its turn. */
#include "xmpp/xmpp_impl.h"

#define SESSIONS_AT_ONCE 32 /* in a turn of the server, so that others are not kept waiting */

void svi_host_enlist(sv_session *session)
{
    svi_host *host = session->host;
    session->seen = host->changes;
    session->host_link = host->sessions_end;
    *host->sessions_end = session;
    host->sessions_end = &session->host_next;
    host->session_count++;
}

void svi_host_strike(sv_session *session)
{
    svi_host *host = session->host;
    if (host->sweep == session) host->sweep = session->host_next;
    *session->host_link = session->host_next;
    if (session->host_next != NULL)
        session->host_next->host_link = session->host_link;
    else
        host->sessions_end = session->host_link;
    host->session_count--;
    svi_host_rest(host);
}

void svi_host_rest(svi_host *host)
{
    if (host->is_served || host->session_count > 0) return;
    svi_hooks *none = NULL;
    const sv_status status = svi_hooks_build(host->server->acct, NULL, 0, &none, NULL);
    SV_ASSERT(status == SV_OK);
    svi_host_set_hooks(host, none);
    svi_hooks_unref(&none);
}

/* The stream error of a session that may not stay: RFC 6120 4.9.3.5; 4.9.3.16 for what would have to be
 * negotiated anew. */
static const char *why_not(const sv_session *session)
{
    const svi_host *host = session->host;
    if (!host->is_served) return "host-gone";
    const svi_logins others = session->is_guest ? SVI_LOGINS_ACCOUNTS : SVI_LOGINS_GUESTS;
    return host->logins == others ? "reset" : NULL;
}

static void introduce(sv_session *session)
{
    svi_hooks *newcomers = session->host->newcomers;
    if (newcomers == NULL || !session->is_announced || session->is_gone) return;
    if (session->number <= session->host->newcomers_after) return;
    (void)svi_hooks_ref(newcomers);
    svi_introduce(session, newcomers, SVI_POINT_SESSION_BOUND, NULL);
    if (session->presence != NULL)
        svi_introduce(session, newcomers, SVI_POINT_SESSION_PRESENCE, session->presence);
    svi_hooks_unref(&newcomers);
}

void svi_session_attend(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->seen == session->host->changes) return;
    session->seen = session->host->changes;
    introduce(session);
    const char *error = why_not(session);
    if (error != NULL) svi_session_kick(session, error);
}

/* True if there are more. */
static bool look_at_some(svi_host *host)
{
    for (int i = 0; i < SESSIONS_AT_ONCE && host->sweep != NULL; i++) {
        sv_session *session = host->sweep;
        host->sweep = session->host_next;
        if (!session->is_gone) svi_session_attend(session);
    }
    if (host->sweep == NULL) svi_hooks_unref(&host->newcomers);
    return host->sweep != NULL;
}

static void sweep(void *ctx)
{
    svi_host *host = ctx;
    if (look_at_some(host))
        svi_server_defer(host->server, sweep, NULL, host);
    else
        host->is_sweeping = false;
}

void svi_host_sweep(svi_host *host)
{
    host->changes++;
    host->sweep = host->sessions;
    if (host->is_sweeping) return;
    host->is_sweeping = true;
    svi_server_defer(host->server, sweep, NULL, host);
}

void svi_host_sweep_out(svi_host *host)
{
    while (look_at_some(host)) continue;
}
