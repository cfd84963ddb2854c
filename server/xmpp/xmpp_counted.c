/* Counted sessions (decision 019): what they have sent and got, how they outlive their connections, how a connection
 * takes them up again. Which protocol says so is a module's matter. */
#include "base/base_log.h"
#include "xmpp/xmpp_hold.h"
#include "xmpp/xmpp_recorder.h"

#define LAST_HANDLED_US 1000000 /* how long a server that stops waits for what is under way, to tell the client */

static int64_t mono_us(const sv_session *session)
{
    const svi_plat *plat = session->server->plat;
    return plat->mono_us(plat->ctx);
}

static int64_t wall_us(const sv_session *session)
{
    const svi_plat *plat = session->server->plat;
    return plat->wall_us(plat->ctx);
}

/* --- what comes ------------------------------------------------------------------------------- */

void svi_session_count_in(sv_session *session, const svi_counting *how)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->counted == NULL) {
        session->counted = svi_alloc(session->server->acct, sizeof *session->counted);
        session->counted->tally = svi_tally_new(session->server->acct, session->recorder != NULL);
    }
    session->counted->how = *how;
    if (session->is_guest) session->counted->how.keep_us = 0; /* nobody logs in as the same guest again */
    svi_recorder_renew(session);
}

void svi_session_count_out(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(session->counted != NULL);
    session->counted->is_counting_out = true;
    svi_recorder_renew(session);
}

uint64_t svi_counted_in(sv_session *session, const sv_stanza *stanza, bool *is_repeat_out)
{
    *is_repeat_out = false;
    if (session->counted == NULL) return 0;
    svi_tally_answer(session->counted->tally, stanza);
    return svi_tally_in(session->counted->tally, svi_tally_mark(stanza), is_repeat_out);
}

void svi_session_answered(sv_session *session, const sv_stanza *stanza)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    bool is_repeat; /* answered again: the answer may have been lost */
    const uint64_t serial = svi_counted_in(session, stanza, &is_repeat);
    if (!is_repeat) svi_counted_hold(session, serial, false);
}

bool svi_counted_is_full(const sv_session *session)
{
    return session->counted != NULL && svi_tally_is_full(session->counted->tally);
}

/* h has moved. */
static void see_handled(sv_session *session)
{
    svi_counted *c = session->counted;
    if (session->unheard != NULL) svi_session_become_due(session);
    if (c->wanted == 0 || svi_tally_handled(c->tally) < c->wanted) return;
    c->wanted = 0;
    svi_timer_cancel(&c->handled_timer);
    c->is_handled_due = true;
    svi_session_become_due(session);
}

void svi_counted_hold(sv_session *session, uint64_t serial, bool more)
{
    if (serial == 0 || session->counted == NULL) return;
    if (more)
        svi_tally_hold(session->counted->tally, serial);
    else
        svi_counted_heard(session, serial, false);
}

void svi_counted_heard(sv_session *session, uint64_t serial, bool is_noted)
{
    const svi_counted *c = session->counted;
    if (serial == 0 || c == NULL) return;
    const bool moved = svi_tally_let_go(c->tally, serial, is_noted);
    svi_recorder_done(session, c->wanted > 0);
    if (moved) see_handled(session);
}

void svi_counted_noted(sv_session *session, uint64_t serial)
{
    if (svi_tally_note(session->counted->tally, serial)) see_handled(session);
}

static void on_handled_timer(void *ctx)
{
    sv_session *session = ctx;
    session->counted->handled_timer = NULL;
    session->counted->is_handled_due = true; /* `wanted` stays: once more when all is */
    svi_session_become_due(session);
}

void svi_session_want_handled(sv_session *session, int64_t within_us)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_counted *c = session->counted;
    SV_ASSERT(c != NULL);
    c->wanted = svi_tally_newest(c->tally);
    if (svi_tally_handled(c->tally) >= c->wanted) {
        see_handled(session);
        return;
    }
    if (c->handled_timer == NULL)
        c->handled_timer =
            svi_timer_start(session->server->timers, within_us, on_handled_timer, session);
    svi_recorder_done(session, true);
    svi_store_hurry(session->server->store);
}

/* --- what goes: bounds -------------------------------------------------------------------------- */

bool svi_counted_takes(const sv_session *session)
{
    return session->counted != NULL && session->counted->is_counting_out;
}

/* What has a row of its own can wait there; how many there may be is bounded where they are stored. */
static bool is_too_much(const svi_counted *c)
{
    const svi_tally_sum sum = svi_tally_waiting(c->tally);
    return sum.count - sum.stored_count > c->how.max_stanzas ||
           sum.bytes - sum.stored_bytes > c->how.max_bytes;
}

static void keep_bounds(sv_session *session)
{
    const svi_counted *c = session->counted;
    if (session->is_kicked || !is_too_much(c)) return;
    const svi_tally_sum sum = svi_tally_waiting(c->tally);
    SV_LOG(SV_WARN, "session-slow", LF_STR("jid", session->jid.full),
           LF_INT("bytes", sum.bytes), LF_INT("stanzas", sum.count));
    svi_session_kick_with(session, "resource-constraint", "Too much was not acknowledged.");
}

/* In the place of the same sender's presence that no connection was given yet: only the newest matters. While there is a connection
 * it goes on soon, unless there is too much. */
static bool coalesce(sv_session *session, const svi_tally_copy *newer)
{
    const svi_counted *c = session->counted;
    const size_t soft_bytes = session->server->limits.queue_soft_bytes;
    if (session->conn != NULL && svi_tally_waiting(c->tally).bytes <= soft_bytes) return false;
    const sv_str sender = svi_sender_of_availability(newer->stanza);
    if (sender.n == 0) return false;
    for (svi_tally_out *out = svi_tally_next(c->tally); out != NULL; out = out->next) {
        if (out->was_handed || !sv_str_eq(svi_sender_of_availability(out->stanza), sender)) continue;
        svi_ledger_close(session->server->ledger, svi_tally_replace(c->tally, out, newer),
                         SVI_DROPPED, "presence-coalesced");
        return true;
    }
    return false;
}

/* --- what goes: sending, and asking --------------------------------------------------------------- */

static void on_ask_timer(void *ctx);

static void look_later(sv_session *session, int64_t in_us)
{
    svi_counted *c = session->counted;
    if (c->ask_timer == NULL)
        c->ask_timer = svi_timer_start(session->server->timers, in_us, on_ask_timer, session);
}

static void ask(sv_session *session)
{
    svi_counted *c = session->counted;
    svi_timer_cancel(&c->ask_timer);
    c->is_asked = false;
    c->unasked = c->unasked_bytes = 0;
    c->is_unacked_due = true;
    svi_session_become_due(session);
}

/* From now on an answer is due. A module in quarantine asks nothing, and so nobody is at fault. */
void svi_counted_asked(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c == NULL) return;
    svi_timer_cancel(&c->ask_timer);
    c->is_asked = true;
    c->asked_us = mono_us(session);
    look_later(session, c->how.answer_us);
}

/* It was asked and has acknowledged nothing: whoever has said something since is there, and is asked again. */
static void miss_answer(sv_session *session)
{
    svi_counted *c = session->counted;
    if (svi_conn_heard_us(session->conn) > c->asked_us) {
        ask(session);
        return;
    }
    SV_LOG(SV_INFO, "stream-limit", LF_TXT("limit", "acknowledgement"),
           LF_STR("jid", session->jid.full));
    const svi_server *server = session->server;
    if (server->streams_ops != NULL)
        server->streams_ops->end(server->streams, session->conn, "connection-timeout", NULL);
}

static void on_ask_timer(void *ctx)
{
    sv_session *session = ctx;
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_counted *c = session->counted;
    c->ask_timer = NULL;
    if (session->conn == NULL || session->is_kicked) return;
    if (c->is_asked) {
        miss_answer(session);
        return;
    }
    const int64_t left_us = c->handed_us + c->how.ask_idle_us - mono_us(session);
    if (left_us > 0)
        look_later(session, left_us);
    else if (svi_tally_waiting(c->tally).count > 0)
        ask(session);
}

/* How long, how many, how much before its client is asked to acknowledge. */
static void see_unacked(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c->unasked == 0 || c->is_asked) return;
    if (c->unasked >= c->how.ask_stanzas || c->unasked_bytes >= c->how.ask_bytes)
        ask(session);
    else
        look_later(session, c->how.ask_idle_us);
}

static void hand(sv_session *session, const svi_tally_out *out)
{
    svi_counted *c = session->counted;
    svi_conn_send(session->conn, out->stanza, &(svi_head){.to = out->to}, SVI_TOKEN_COUNTED);
    c->unasked++;
    c->unasked_bytes += svi_stanza_held_bytes(out->stanza);
    svi_tally_handed(c->tally);
}

void svi_counted_feed(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c == NULL || session->conn == NULL || c->is_held || svi_recorder_holds(session)) return;
    const size_t room_bytes = session->server->limits.queue_soft_bytes;
    const svi_tally_out *out;
    bool is_any = false;
    while ((out = svi_tally_next(c->tally)) != NULL && svi_conn_queued_bytes(session->conn) < room_bytes) {
        hand(session, out);
        is_any = true;
    }
    if (!is_any) return;
    c->handed_us = mono_us(session);
    see_unacked(session);
}

void svi_counted_send(sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry)
{
    svi_counted *c = session->counted;
    svi_kept *kept = svi_session_take_kept(session, entry);
    const svi_tally_place place = kept != NULL ? (svi_tally_place){.map = kept->map, .owner = kept->owner, .key = kept->key}
                                               : (svi_tally_place){.map = NULL};
    svi_tally_copy copy = {.stanza = stanza,
                           .to = to,
                           .entry = entry,
                           .since_us = wall_us(session),
                           .place = kept != NULL ? &place : NULL};
    if (!coalesce(session, &copy)) {
        const svi_recorder_noted noted =
            svi_recorder_number(session, stanza, entry, svi_tally_added_number(c->tally) + 1);
        copy.ticket = noted.ticket;
        copy.noted_bytes = noted.bytes;
        (void)svi_tally_add(c->tally, &copy);
    }
    if (kept != NULL) svi_kept_free(kept);
    keep_bounds(session);
    svi_counted_feed(session);
}

/* --- what was got ----------------------------------------------------------------------------------- */

/* Rows go in one unit. */
static void settle(sv_session *session, svi_tally_out *acked)
{
    svi_server *server = session->server;
    svi_unit *unit = NULL;
    svi_recorder_ack ack = {.number = svi_tally_acked_number(session->counted->tally)};
    while (acked != NULL) {
        ack.was_noted = ack.was_noted || acked->ticket != 0;
        ack.bytes += acked->noted_bytes;
        const svi_tally_place *place = &acked->place;
        if (place->map != NULL) {
            if (unit == NULL) unit = svi_unit_new(server->store);
            svi_unit_del(unit, place->map, place->owner, place->key);
        }
        svi_ledger_close_acked(server->ledger, acked->entry);
        svi_tally_out_free(&acked);
    }
    svi_recorder_acked(session, &ack, unit);
    if (unit == NULL) return;
    svi_unit_submit(&unit);
    if (svi_tally_waiting(session->counted->tally).stored_count == 0 && session->is_listed)
        svi_occasion(session->host, SVI_POINT_SESSION_WRITTEN, NULL, session, NULL, SV_STR_NONE, NULL);
}

/* Of a recovered session, by its client's first word. What lies in a row may have been given to it once more meanwhile. */
static sv_status ack_recovered(sv_session *session, uint32_t h, svi_tally_out **acked_out)
{
    svi_server *server = session->server;
    svi_tally *tally = session->counted->tally;
    svi_tally_place place;
    const uint32_t more = h - svi_tally_acked(tally);
    *acked_out = NULL;
    if (more > INT32_MAX) return SV_ENOTFOUND;
    const svi_mark mark = svi_arena_mark(server->scratch);
    while (svi_recorder_settle(session, svi_tally_acked_number(tally) + more, &place)) {
        svi_tally_out *twice = place.map != NULL ? svi_tally_drop(tally, &place) : NULL;
        while (twice != NULL) {
            svi_ledger_close(server->ledger, twice->entry, SVI_HANDED_OVER, NULL);
            svi_tally_out_free(&twice);
        }
    }
    svi_arena_reset(server->scratch, mark);
    const sv_status status = svi_tally_settle(tally, h, acked_out);
    SV_ASSERT(status == SV_OK);
    return SV_OK;
}

static sv_status ack(sv_session *session, uint32_t h)
{
    svi_counted *c = session->counted;
    svi_tally_out *acked;
    const sv_status status =
        c->is_recovered ? ack_recovered(session, h, &acked) : svi_tally_ack(c->tally, h, &acked);
    if (status != SV_OK) return status;
    settle(session, acked);
    if (c->is_recovered) svi_recorder_renumbered(session);
    c->is_asked = false;
    svi_timer_cancel(&c->ask_timer);
    return SV_OK;
}

sv_status svi_session_acked(sv_session *session, uint32_t h)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(session->counted != NULL);
    const sv_status status = ack(session, h);
    if (status == SV_OK) see_unacked(session);
    return status == SV_ENOTFOUND ? SV_OK : status;
}

/* --- away ------------------------------------------------------------------------------------------- */

bool svi_session_may_stay(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    const svi_counted *c = session->counted;
    return c != NULL && c->is_counting_out && c->how.keep_us > 0 && session->is_listed &&
           !session->is_kicked && !session->is_gone && !session->server->draining;
}

static void stop_timers(svi_counted *c)
{
    svi_timer_cancel(&c->away_timer);
    svi_timer_cancel(&c->handled_timer);
    svi_timer_cancel(&c->ask_timer);
}

static void on_away_timer(void *ctx)
{
    sv_session *session = ctx;
    SV_CHECK(session, SVI_SESSION_MAGIC);
    session->counted->away_timer = NULL;
    svi_session_kick(session, "connection-timeout");
}

void svi_session_leave(sv_session *session)
{
    SV_ASSERT(svi_session_may_stay(session));
    svi_session_announce(session);
    svi_counted *c = session->counted;
    session->conn = NULL;
    if (session->is_kicked) return; /* by what was just fired; it ends soon */
    c->is_held = false;
    c->away_us = wall_us(session);
    c->is_asked = false;
    svi_recorder_away(session, c->away_us);
    svi_recorder_done(session, true); /* so that the client need not send it again when it comes back */
    stop_timers(c);
    c->wanted = 0;
    c->away_timer =
        svi_timer_start(session->server->timers, c->how.keep_us, on_away_timer, session);
    SV_LOG(SV_INFO, "session-away", LF_STR("jid", session->jid.full),
           LF_INT("waiting", svi_tally_waiting(c->tally).count));
    svi_occasion(session->host, SVI_POINT_SESSION_AWAY, NULL, session, NULL, SV_STR_NONE, NULL);
}

bool svi_counted_make_room(const svi_online *online)
{
    for (sv_session *session = online->first; session != NULL; session = session->account_next) {
        if (session->conn != NULL || session->is_kicked) continue;
        svi_session_kick(session, "resource-constraint");
        svi_session_unlist(session);
        return true;
    }
    return false;
}

/* --- back ------------------------------------------------------------------------------------------- */

sv_status svi_session_take_up(sv_session *session, svi_conn *conn, uint32_t h)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (!svi_session_may_stay(session)) return SV_ECLOSED;
    svi_counted *c = session->counted;
    const sv_status status = ack(session, h);
    if (status != SV_OK) return status;
    svi_server *server = session->server;
    svi_conn *older = session->conn;
    session->conn = conn;
    session->turn++;
    if (older != NULL && server->streams_ops != NULL)
        server->streams_ops->leave(server->streams, older, session, "conflict");
    stop_timers(c);
    c->away_us = 0;
    svi_recorder_away(session, 0);
    c->wanted = 0;
    c->unasked = c->unasked_bytes = 0;
    c->is_held = true;
    svi_tally_rewind(c->tally);
    svi_tally_repeat(c->tally);
    return SV_OK;
}

void svi_session_go_on(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_counted *c = session->counted;
    const svi_limits *limits = &session->server->limits;
    SV_ASSERT(c != NULL && c->is_held && session->conn != NULL);
    const bool was_recovered = c->is_recovered;
    c->is_held = c->is_recovered = false;
    svi_conn_free_run(session->conn, &limits->user, limits->credit_bytes, limits->rate);
    SV_LOG(SV_INFO, "session-back", LF_STR("jid", session->jid.full),
           LF_INT("conn", svi_conn_number(session->conn)),
           LF_INT("again", svi_tally_waiting(c->tally).count));
    svi_counted_feed(session);
    if (was_recovered) svi_recorder_answer(session);
    svi_occasion(session->host, SVI_POINT_SESSION_BACK, NULL, session, NULL,
                 was_recovered ? SV_STR("recovered") : SV_STR(""), NULL);
}

void svi_session_stamp(sv_session *session, svi_stamp_fn stamp, void *ctx)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(session->counted != NULL && session->counted->is_held);
    svi_tally *tally = session->counted->tally;
    for (svi_tally_out *out = svi_tally_next(tally); out != NULL; out = out->next) {
        const sv_stanza *stamped = stamp(ctx, out->stanza, out->since_us);
        if (stamped != out->stanza) svi_tally_restamp(tally, out, stamped);
    }
}

/* --- occasions, the end ----------------------------------------------------------------------------- */

static void fire(sv_session *session, bool *is_due, svi_point point)
{
    if (!*is_due) return;
    *is_due = false;
    if (session->conn != NULL && !session->is_kicked)
        svi_occasion(session->host, point, NULL, session, NULL, SV_STR_NONE, NULL);
}

/* Behind the last that is said of what was handled. */
static void close_suspended(sv_session *session)
{
    const svi_server *server = session->server;
    if (server->streams_ops != NULL)
        server->streams_ops->suspend(server->streams, session->conn);
    else
        svi_conn_close(session->conn, SV_STR_NONE, SVI_LAST_WORDS_MS);
}

void svi_counted_fire(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c == NULL) return;
    const bool is_last = session->is_suspended && c->is_handled_due && session->conn != NULL;
    fire(session, &c->is_handled_due, SVI_POINT_SESSION_HANDLED);
    if (is_last) close_suspended(session);
    if (session->is_suspended) return;
    fire(session, &c->is_unacked_due, SVI_POINT_SESSION_UNACKED);
}

bool svi_session_tally_get(const sv_session *session, svi_session_tally *tally_out)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    const svi_counted *c = session->counted;
    *tally_out = (svi_session_tally){.is_kept = false};
    if (c == NULL) return false;
    const svi_tally_sum sum = svi_tally_waiting(c->tally);
    *tally_out = (svi_session_tally){
        .is_kept = c->how.keep_us > 0,
        .is_recovered = c->is_recovered,
        .received = svi_tally_received(c->tally),
        .handled = svi_tally_h(c->tally),
        .sent = svi_tally_sent(c->tally),
        .acked = svi_tally_acked(c->tally),
        .waiting = sum.count,
        .waiting_bytes = sum.bytes,
        .away_us = c->away_us,
    };
    return true;
}

uint64_t svi_server_unacked(svi_server *server)
{
    uint64_t count = 0;
    for (sv_session *session = NULL; (session = svi_session_each(server, session)) != NULL;)
        if (session->counted != NULL) count += svi_tally_waiting(session->counted->tally).count;
    return count;
}

void svi_session_wait(sv_session *session, int64_t away_us, int64_t keep_us)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_counted *c = session->counted;
    const int64_t now_us = wall_us(session);
    if (keep_us == 0) return;
    const bool is_known = away_us > 0 && away_us < now_us;
    c->away_us = is_known ? away_us : now_us;
    if (!is_known) svi_recorder_away(session, now_us);
    c->away_timer = svi_timer_start(session->server->timers, keep_us - (now_us - c->away_us), on_away_timer, session);
}

void svi_sessions_end_unresumable(svi_server *server)
{
    for (svi_host *host = server->known; host != NULL; host = host->known_next)
        for (sv_session *session = host->sessions, *next; session != NULL; session = next) {
            next = session->host_next;
            const bool is_waiting = session->counted != NULL && session->counted->away_timer != NULL && session->is_listed;
            if (session->conn == NULL && !is_waiting) svi_session_end(&session, "not resumable after a start");
        }
}

bool svi_session_is_suspended(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->is_suspended;
}

void svi_sessions_suspend(svi_server *server)
{
    for (sv_session *session = NULL; (session = svi_session_each(server, session)) != NULL;) {
        if (session->recorder == NULL || !svi_session_may_stay(session)) continue;
        svi_session_release(session); /* what is held back is the session's, too: its record has it */
        session->is_suspended = true;
        if (session->conn != NULL)
            svi_session_want_handled(session, LAST_HANDLED_US);
        else
            svi_session_become_due(session);
    }
}

void svi_sessions_end_away(svi_server *server)
{
    for (svi_host *host = server->known; host != NULL; host = host->known_next)
        for (sv_session *session = host->sessions, *next; session != NULL; session = next) {
            next = session->host_next;
            if (session->conn == NULL) svi_session_end(&session, "server stops");
        }
}

/* XEP-0198 4, last list: as if it had not been there when they came. What is stored stays so. */
void svi_counted_end(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c == NULL) return;
    SV_ASSERT(!session->is_listed);
    stop_timers(c);
    c->is_counting_out = false;
    svi_tally_out *left = svi_tally_take(c->tally);
    while (left != NULL) {
        if (left->is_answered) /* so it was got; nor may it be answered twice (RFC 6120 8.2.3) */
            svi_ledger_close_acked(session->server->ledger, left->entry);
        else if (left->place.map != NULL || (session->is_suspended && left->ticket != 0))
            svi_ledger_close(session->server->ledger, left->entry, SVI_STORED, NULL);
        else if (session->is_suspended)
            svi_ledger_close(session->server->ledger, left->entry, SVI_DROPPED, "server-stops");
        else
            svi_unsent(session, left->stanza, left->since_us, left->ticket, left->entry);
        svi_tally_out_free(&left);
    }
}

void svi_counted_free(sv_session *session)
{
    svi_counted *c = session->counted;
    if (c == NULL) return;
    stop_timers(c);
    session->counted = NULL;
    svi_tally_free(&c->tally);
    svi_free(c);
}
