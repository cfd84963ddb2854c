/* `stave sessions` and `stave kick`: who is logged in, and out with them. */
#include <inttypes.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_command.h"
#include "xmpp/xmpp_session.h"

/* Sessions that are looked at for one page, shown or not: the router has other work, too. */
#ifdef SVI_DEBUG
#define LOOKED_AT_MAX 4 /* so that tests turn pages */
#else
#define LOOKED_AT_MAX 5000
#endif

/* --- sessions ----------------------------------------------------------------------------------------- */

static sv_str show_of(svi_request *request, const sv_session *session)
{
    const sv_stanza *presence = svi_session_presence(session);
    if (!presence) return SV_STR("unavailable");
    const sv_node *show =
        svi_node_find(svi_stanza_root(presence), SV_STR("show"), SV_STR("jabber:client"));
    const sv_str text = show ? svi_node_text(show, svi_request_arena(request)) : SV_STR_NONE;
    return text.n > 0 ? text : SV_STR("available");
}

static void show_login(svi_request *request, const sv_session *session)
{
    const svi_stream_facts facts = svi_session_facts(session);
    if (!facts.peer) return;
    svi_request_field(request, "peer", sv_str_of(facts.peer));
    svi_request_field_int(request, "tls", facts.is_tls);
    if (facts.mechanism) svi_request_field(request, "mechanism", sv_str_of(facts.mechanism));
    if (facts.binding) svi_request_field(request, "binding", sv_str_of(facts.binding));
}

/* Of a counted session: how long it has had no connection, what its client has not acknowledged. */
static void show_counted(svi_request *request, const sv_session *session)
{
    const svi_plat *plat = svi_server_plat(svi_request_server(request));
    svi_session_tally tally;
    if (!svi_session_tally_get(session, &tally)) return;
    const int64_t lost_us = plat->wall_us(plat->ctx) - tally.away_us;
    if (tally.away_us > 0) svi_request_field_int(request, "lost", lost_us > 0 ? lost_us / 1000 : 0);
    svi_request_field_int(request, "unacked", (int64_t)tally.waiting);
}

static void show_session(svi_request *request, const sv_session *session)
{
    svi_server *server = svi_request_server(request);
    const svi_plat *plat = svi_server_plat(server);
    const svi_conn *conn = svi_session_conn(session);
    svi_request_field(request, "address", svi_session_jid(session)->full);
    svi_request_field_int(request, "since", svi_session_bound_us(session) / 1000);
    svi_request_field(request, "show", show_of(request, session));
    svi_request_field_int(request, "priority", svi_session_priority(session));
    show_login(request, session);
    show_counted(request, session);
    if (!conn) return;
    const int64_t silent_us = plat->mono_us(plat->ctx) - svi_conn_heard_us(conn);
    svi_request_field_int(request, "silent", silent_us > 0 ? silent_us / 1000 : 0);
    svi_request_field_int(request, "queue", (int64_t)svi_conn_queued_bytes(conn));
}

/* Where a page begins: behind the session with that number and address, or, if it has gone, behind the
 * last that was bound before it. Sessions keep the order of their numbers. */
static sv_session *last_shown(svi_request *request)
{
    svi_server *server = svi_request_server(request);
    sv_str address = svi_request_from(request), word = SV_STR_NONE;
    int64_t number = 0;
    if (!svi_str_split(&address, ' ', &word) || svi_str_int(word, 1, INT64_MAX, &number) != SV_OK)
        return NULL;
    sv_session *last = svi_session_find_number(server, address, (uint64_t)number), *s = NULL;
    if (last) return last;
    while ((s = svi_session_each(server, s)) && svi_session_number(s) <= (uint64_t)number) last = s;
    return last;
}

static void more(svi_request *request, const sv_session *last)
{
    const sv_str full = svi_session_jid(last)->full;
    svi_request_more(request, svi_arena_printf(svi_request_arena(request), "%" PRIu64 " %.*s",
                                               svi_session_number(last), (int)full.n, full.p));
}

static void list_all(svi_request *request, const svi_host *host)
{
    svi_server *server = svi_request_server(request);
    sv_session *last = last_shown(request), *s = last;
    for (size_t looked_at = 0; (s = svi_session_each(server, s)); looked_at++, last = s) {
        const bool is_meant = !host || svi_session_host(s) == host;
        if (last && (looked_at == LOOKED_AT_MAX || (is_meant && !svi_request_record(request)))) {
            more(request, last);
            return;
        }
        if (is_meant && (last || svi_request_record(request))) show_session(request, s);
    }
    svi_request_answer(request);
}

static void list_account(svi_request *request, const sv_jid *account)
{
    svi_server *server = svi_request_server(request);
    sv_session *s = NULL;
    while ((s = svi_session_next(server, account->bare, s)) && svi_request_record(request))
        show_session(request, s); /* their number is bounded: c2s_sessions_per_account */
    svi_request_answer(request);
}

void svi_command_sessions(svi_commands *commands, svi_request *request)
{
    (void)commands;
    const svi_arg_value *user = svi_request_arg(request, "user");
    if (user->text.p)
        list_account(request, &user->jid);
    else
        list_all(request, svi_request_args(request)->host);
}

/* --- kick --------------------------------------------------------------------------------------------- */

static void kick(svi_request *request, sv_session *session)
{
    const sv_str reason = svi_request_arg(request, "reason")->text;
    if (svi_request_record(request))
        svi_request_field(request, "address", svi_session_jid(session)->full);
    SV_LOG(SV_INFO, "session-kicked", LF_STR("jid", svi_session_jid(session)->full),
           LF_STR("reason", reason.p ? reason : SV_STR("")));
    svi_session_kick_with(session, "policy-violation", reason.p);
}

void svi_command_kick(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_server *server = svi_request_server(request);
    const sv_jid *jid = &svi_request_arg(request, "address")->jid;
    const bool is_one = jid->resource.n > 0;
    sv_session *s = is_one ? svi_session_find(server, jid->full) : svi_session_next(server, jid->bare, NULL);
    if (!s) {
        svi_request_fail(request, SV_FAULT_NOT_FOUND, "%.*s is not logged in; `stave sessions` shows who is",
                         (int)jid->full.n, jid->full.p);
        return;
    }
    for (; s; s = is_one ? NULL : svi_session_next(server, jid->bare, s)) kick(request, s);
    svi_request_answer(request);
}
