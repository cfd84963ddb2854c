/* What goes out to a session: queued under the bounds of architecture 3.7, and what becomes of
 * it. */
#include "base/base_log.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_told.h"

/* --- rows that go with their stanza ----------------------------------------------------------- */

void svi_session_keep(sv_session *session, uint64_t token, const sv_stanza *stanza, svi_map *map,
                      sv_str owner, sv_str key)
{
    svi_acct *acct = session->server->acct;
    svi_kept *kept = svi_alloc(acct, sizeof *kept);
    *kept = (svi_kept){.token = token,
                       .map = map,
                       .owner = svi_str_dup(acct, owner),
                       .key = svi_str_dup(acct, key),
                       .bytes = svi_stanza_held_bytes(stanza)};
    session->kept_bytes += kept->bytes;
    *session->kept_end = kept;
    session->kept_end = &kept->next;
}

/* Reports come in order, so it is near the front. */
svi_kept *svi_session_take_kept(sv_session *session, uint64_t token)
{
    for (svi_kept **at = &session->kept; *at != NULL; at = &(*at)->next) {
        svi_kept *kept = *at;
        if (kept->token != token) continue;
        *at = kept->next;
        if (*at == NULL) session->kept_end = at;
        SV_ASSERT(session->kept_bytes >= kept->bytes);
        session->kept_bytes -= kept->bytes;
        return kept;
    }
    return NULL;
}

void svi_kept_free(svi_kept *kept)
{
    svi_str_free(&kept->owner);
    svi_str_free(&kept->key);
    svi_free(kept);
}

/* It was noted right before. */
bool svi_session_keeps(const sv_session *session, uint64_t entry)
{
    if (session->kept == NULL) return false;
    const svi_kept *newest = (const svi_kept *)(const void *)((const char *)session->kept_end - offsetof(svi_kept, next));
    return newest->token == entry;
}

static void settle_kept(svi_server *server, svi_kept *kept, bool written)
{
    if (written) {
        svi_unit *unit = svi_unit_new(server->store);
        svi_unit_del(unit, kept->map, kept->owner, kept->key);
        svi_unit_submit(&unit);
    }
    svi_kept_free(kept);
}

/* --- bounds ----------------------------------------------------------------------------------- */

sv_str svi_sender_of_availability(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    if (!svi_node_is(root, SV_STR("presence"), SV_STR(SVI_NS_CLIENT))) return SV_STR_NONE;
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    if (type.n > 0 && !sv_str_eq(type, SV_STR("unavailable"))) return SV_STR_NONE;
    return svi_node_attr(root, SV_STR("from"));
}

/* Above the soft bound: drops the waiting presence of the same sender that this one makes stale. */
static void coalesce(sv_session *session, const sv_stanza *newer)
{
    const sv_str sender = svi_sender_of_availability(newer);
    if (sender.n == 0) return;
    for (svi_out *out = svi_conn_waiting(session->conn, NULL), *next; out != NULL; out = next) {
        next = svi_conn_waiting(session->conn, out);
        const sv_stanza *older = svi_out_stanza(out);
        if (older == NULL || !sv_str_eq(svi_sender_of_availability(older), sender)) continue;
        const uint64_t entry = svi_conn_waiting_drop(session->conn, out);
        session->in_flight--;
        svi_ledger_close(session->server->ledger, entry, SVI_DROPPED, "presence-coalesced");
    }
}

/* What waits for the session together with a stanza (its size), which is not queued yet. Copies of stored
 * stanzas don't count: how many there may be is bounded where they are stored, and who logs in to
 * more of them than the hard bound must get them all the same. */
static size_t waiting_bytes(const sv_session *session, size_t next_bytes)
{
    const size_t all = svi_conn_queued_bytes(session->conn) + next_bytes;
    return all > session->kept_bytes ? all - session->kept_bytes : 0;
}

void svi_session_bound(sv_session *session, size_t next_bytes)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->is_kicked) return;
    if (waiting_bytes(session, next_bytes) <= session->server->limits.queue_hard_bytes) return;
    SV_LOG(SV_WARN, "session-slow", LF_STR("jid", session->jid.full),
           LF_INT("bytes", svi_conn_queued_bytes(session->conn)));
    svi_session_kick(session, "resource-constraint"); /* RFC 6120 4.9.3.17 */
}

static void keep_bounds(sv_session *session, const sv_stanza *stanza)
{
    if (session->is_kicked) return;
    const size_t bytes = svi_stanza_held_bytes(stanza);
    if (waiting_bytes(session, bytes) > session->server->limits.queue_soft_bytes)
        coalesce(session, stanza);
    svi_session_bound(session, bytes);
}

/* --- sending ---------------------------------------------------------------------------------- */

void svi_session_send(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(entry != 0);
    if (!session->is_listed) {
        svi_kept *kept = svi_session_take_kept(session, entry);
        svi_ledger_close(session->server->ledger, entry, kept != NULL ? SVI_STORED : SVI_DROPPED,
                         kept != NULL ? NULL : "session-gone");
        if (kept != NULL) settle_kept(session->server, kept, false);
        return;
    }
    if (svi_hold_takes(session, stanza, to, entry)) return;
    svi_session_seen(session, stanza, to, SVI_SEEN_OUT);
    svi_told_sent(session, entry, stanza);
    if (svi_counted_takes(session)) {
        svi_counted_send(session, stanza, to, entry);
        return;
    }
    keep_bounds(session, stanza);
    /* A session kicked just now gets it all the same: it comes back as unsent, with what is
     * queued. */
    session->in_flight++;
    svi_conn_send(session->conn, stanza, &(svi_head){.to = to}, entry);
}

void svi_session_deliver(sv_session *session, const sv_stanza *stanza, uint64_t entry)
{
    svi_session_send(session, stanza, SV_STR_NONE, entry);
}

void svi_session_answer(sv_session *session, sv_str xml)
{
    svi_server *server = session->server;
    sv_stanza *stanza;
    sv_err err;
    const sv_status status = svi_stanza_parse(server->acct, svi_server_atoms(server), xml,
                                              SV_STR(SVI_NS_CLIENT), &stanza, &err);
    SV_ASSERT(status == SV_OK); /* it is ours */
    svi_session_deliver(session, stanza,
                        svi_ledger_open(server->ledger, SVI_MADE_ANSWER, &session->host->counts));
    svi_stanza_unref(&stanza);
}

void svi_session_sent(sv_session *session, uint64_t token, bool written, const sv_stanza *stanza)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (token == SVI_TOKEN_COUNTED) svi_counted_feed(session);
    if (token == 0 || token == SVI_TOKEN_COUNTED) return;
    SV_ASSERT(session->in_flight > 0);
    session->in_flight--;
    svi_ledger *ledger = session->server->ledger;
    svi_kept *kept = svi_session_take_kept(session, token);
    if (kept != NULL) {
        settle_kept(session->server, kept, written);
        svi_ledger_close(ledger, token, written ? SVI_HANDED_OVER : SVI_STORED, NULL);
        if (written && session->kept == NULL && session->is_listed)
            svi_occasion(session->host, SVI_POINT_SESSION_WRITTEN, NULL, session, NULL, SV_STR_NONE,
                         NULL);
        return;
    }
    if (written) {
        svi_ledger_close(ledger, token, SVI_HANDED_OVER, NULL);
        return;
    }
    /* Nothing more will be written: nobody may find it, or what came back would be sent to it
     * again. A stream that was taken over from says nothing of the session. */
    if (session->turn == 0) svi_session_unlist(session);
    svi_unsent(session, stanza, 0, 0, token);
}
