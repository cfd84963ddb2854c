/* Sessions: binding, tables by address, what hangs on one, its end. What goes out to one is in
 * xmpp_queue.c. */
#include <stdio.h>

#include "base/base_log.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_recorder.h"
#include "xmpp/xmpp_logins.h"

#define RANDOM_BYTES 12 /* of a made-up resource: 96 bits */

/* --- tables ----------------------------------------------------------------------------------- */

static void list_session(sv_session *session)
{
    svi_server *server = session->server;
    svi_online *online = svi_dict_get(server->by_bare, session->jid.bare);
    if (online == NULL) {
        online = svi_alloc(server->acct, sizeof *online);
        svi_dict_put(server->by_bare, session->jid.bare, online);
    }
    session->online = online;
    session->account_prev = online->last;
    if (online->last != NULL)
        online->last->account_next = session;
    else
        online->first = session;
    online->last = session;
    online->count++;
    session->listed_prev = server->last_listed;
    if (server->last_listed != NULL)
        server->last_listed->listed_next = session;
    else
        server->first_listed = session;
    server->last_listed = session;
    void *before = svi_dict_put(server->by_full, session->jid.full, session);
    SV_ASSERT(before == NULL);
    session->is_listed = true;
    server->tables++;
}

static void unlist_from_all(sv_session *session)
{
    svi_server *server = session->server;
    if (session->listed_prev != NULL)
        session->listed_prev->listed_next = session->listed_next;
    else
        server->first_listed = session->listed_next;
    if (session->listed_next != NULL)
        session->listed_next->listed_prev = session->listed_prev;
    else
        server->last_listed = session->listed_prev;
    session->listed_next = session->listed_prev = NULL;
}

void svi_session_unlist(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (!session->is_listed) return;
    session->is_listed = false;
    svi_server *server = session->server;
    server->tables++;
    svi_online *online = session->online;
    if (session->account_prev != NULL)
        session->account_prev->account_next = session->account_next;
    else
        online->first = session->account_next;
    if (session->account_next != NULL)
        session->account_next->account_prev = session->account_prev;
    else
        online->last = session->account_prev;
    session->account_next = session->account_prev = NULL;
    unlist_from_all(session);
    session->online = NULL;
    if (--online->count == 0) {
        svi_dict_del(server->by_bare, session->jid.bare);
        if (server->recent_online == online) server->recent_online = NULL;
        svi_free(online);
    }
    void *was = svi_dict_del(server->by_full, session->jid.full);
    SV_ASSERT(was == session);
}

sv_session *svi_session_find(svi_server *server, sv_str full_jid)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return svi_dict_get(server->by_full, full_jid);
}

sv_session *svi_session_find_number(svi_server *server, sv_str full_jid, uint64_t number)
{
    sv_session *session = svi_session_find(server, full_jid);
    return session != NULL && session->number == number ? session : NULL;
}

sv_session *svi_session_next(svi_server *server, sv_str bare_jid, sv_session *after)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    if (after != NULL) return after->account_next;
    const svi_online *recent = server->recent_online;
    if (recent != NULL && sv_str_eq(recent->first->jid.bare, bare_jid)) return recent->first;
    const svi_online *online = svi_dict_get(server->by_bare, bare_jid);
    if (online == NULL) return NULL;
    server->recent_online = online;
    return online->first;
}

sv_session *svi_session_each(svi_server *server, sv_session *after)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return after != NULL ? after->listed_next : server->first_listed;
}

int64_t svi_session_bound_us(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->bound_us;
}

svi_stream_facts svi_session_facts(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    const svi_server *server = session->server;
    svi_stream_facts facts = {.peer = NULL};
    if (session->conn != NULL && server->streams_ops != NULL && server->streams_ops->facts != NULL)
        server->streams_ops->facts(server->streams, session->conn, &facts);
    return facts;
}

void svi_server_set_watcher(svi_server *server, const svi_watcher *watcher)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    server->watcher = watcher;
}

size_t svi_session_count(const svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->session_count;
}

/* --- what its stanzas caused ------------------------------------------------------------------ */

void svi_session_owes(svi_server *server, const svi_payer *payer, bool more)
{
    if (payer->number == 0) return;
    sv_session *session = svi_session_find_number(server, payer->full, payer->number);
    if (session == NULL) return; /* it has gone, and will not be listed again */
    svi_counted_hold(session, payer->serial, more);
    if (more) {
        session->owed++;
        return;
    }
    SV_ASSERT(session->owed > 0);
    session->owed--;
    if (session->unheard != NULL && session->owed <= server->limits.caused_events / 2)
        svi_session_become_due(session);
}

static bool owes_too_much(const sv_session *session)
{
    return session->is_listed && (session->owed >= session->server->limits.caused_events ||
                                  svi_counted_is_full(session));
}

bool svi_session_puts_off(sv_session *session, sv_stanza *take, const svi_arrival *arrival)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->is_kicked || session->is_gone) return false;
    if (session->unheard == NULL && !owes_too_much(session)) return false;
    svi_unheard *unheard = svi_alloc(session->server->acct, sizeof *unheard);
    *unheard = (svi_unheard){.stanza = take, .arrival = *arrival};
    *session->unheard_end = unheard;
    session->unheard_end = &unheard->next;
    return true;
}

static void hear_first(sv_session *session)
{
    svi_unheard *unheard = session->unheard;
    session->unheard = unheard->next;
    if (session->unheard == NULL) session->unheard_end = &session->unheard;
    svi_inbound_now(session, unheard->stanza, &unheard->arrival);
    svi_free(unheard);
}

/* What another connection of the session had lent is nobody's. */
void svi_session_heard(sv_session *session, const svi_arrival *arrival)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->conn != NULL && session->turn == arrival->turn)
        svi_conn_credit(session->conn, arrival->cost_bytes);
    svi_counted_heard(session, arrival->serial, arrival->is_noted);
}

uint64_t svi_server_newest_session(const svi_server *server)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    return server->last_session;
}

/* --- occasions -------------------------------------------------------------------------------- */

void svi_session_announce(sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_session_attend(session);
    if (session->is_announced) return;
    session->is_announced = true;
    svi_occasion(session->host, SVI_POINT_SESSION_BOUND, NULL, session, NULL, SV_STR_NONE, NULL);
}

static void fire_gone(sv_session *session)
{
    if (session->is_gone) return;
    svi_session_announce(session); /* gone never comes without bound */
    while (session->unheard != NULL) hear_first(session); /* it was sent before the end */
    session->is_gone = true;
    if (!session->is_guest) svi_logins_out(session->host, session->jid.node);
    svi_occasion(session->host, SVI_POINT_SESSION_GONE, NULL, session, NULL, SV_STR_NONE, NULL);
}

static void fire_due(void *ctx)
{
    svi_server *server = ctx;
    while (server->due != NULL) {
        sv_session *session = server->due;
        server->due = session->due_next;
        if (server->due == NULL) server->due_end = &server->due;
        session->due_next = NULL;
        session->is_due = false;
        if (session->is_suspended && session->conn == NULL) {
            svi_session_end(&session, "server stops");
            continue;
        }
        if (session->is_kicked) svi_session_unlist(session);
        if (!session->is_listed) {
            fire_gone(session);
            if (session->conn == NULL) svi_session_end(&session, "ended while away");
            continue;
        }
        svi_session_announce(session);
        svi_counted_fire(session);
        while (session->unheard != NULL && !session->is_suspended && !owes_too_much(session)) hear_first(session);
    }
}

void svi_session_become_due(sv_session *session)
{
    svi_server *server = session->server;
    if (session->is_due) return;
    session->is_due = true;
    *server->due_end = session;
    server->due_end = &session->due_next;
    svi_server_defer(server, fire_due, NULL, server);
}

static void leave_due(sv_session *session)
{
    if (!session->is_due) return;
    svi_server *server = session->server;
    sv_session **at = &server->due;
    while (*at != session) at = &(*at)->due_next;
    *at = session->due_next;
    if (*at == NULL) server->due_end = at;
    session->is_due = false;
}

/* --- binding ---------------------------------------------------------------------------------- */

/* RFC 6120 7.6: made by the server, unguessable (10.2: a guessed resource leaks presence). */
static sv_str make_resource(svi_server *server, svi_arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[RANDOM_BYTES];
    server->plat->random(server->plat->ctx, raw, sizeof raw);
    char *text = svi_arena_get(arena, 2 * sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        text[2 * i] = digits[raw[i] >> 4];
        text[2 * i + 1] = digits[raw[i] & 15];
    }
    return (sv_str){text, 2 * sizeof raw};
}

static sv_session *make_session(svi_host *host, const sv_jid *jid, svi_conn *conn)
{
    svi_server *server = host->server;
    sv_session *session = svi_alloc(server->acct, sizeof *session);
    *session = (sv_session){
        .magic = SVI_SESSION_MAGIC,
        .server = server,
        .host = host,
        .number = ++server->last_session,
        .conn = conn,
        .bound_us = server->plat->wall_us(server->plat->ctx),
        .is_guest = svi_guest_is(host, jid->node),
    };
    session->kept_end = &session->kept;
    session->unheard_end = &session->unheard;
    svi_jid_dup(server->acct, jid, &session->jid);
    server->session_count++;
    svi_host_enlist(session);
    return session;
}

sv_session *svi_session_rebuild(svi_host *host, const sv_jid *jid, int64_t bound_us, bool is_listed)
{
    sv_session *session = make_session(host, jid, NULL);
    session->bound_us = bound_us;
    session->is_announced = true;
    if (is_listed) list_session(session);
    return session;
}

sv_status svi_session_bind(svi_host *host, sv_str name, sv_str resource, svi_conn *conn,
                           sv_session **session_out)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(name.n > 0 && conn != NULL);
    svi_server *server = host->server;
    const svi_mark mark = svi_arena_mark(server->scratch);
    if (resource.n == 0) resource = make_resource(server, server->scratch);
    const sv_jid jid = svi_jid_make(server->scratch, name, host->domain, resource);

    /* RFC 6120 7.7.2.2, third way: the newer one is the client that lives; the older is told by
     * <conflict/> (4.9.3.3). Its session/gone comes before the new session's first occasion. */
    sv_session *older = svi_session_find(server, jid.full);
    if (older != NULL) {
        svi_session_kick(older, "conflict");
        svi_session_unlist(older);
        fire_gone(older);
    }
    const svi_online *online = svi_dict_get(server->by_bare, jid.bare);
    if (online != NULL && online->count >= server->limits.sessions_per_account &&
        !svi_counted_make_room(online)) {
        svi_arena_reset(server->scratch, mark);
        return SV_ELIMIT;
    }
    sv_session *session = make_session(host, &jid, conn);
    svi_arena_reset(server->scratch, mark);
    list_session(session);
    svi_recorder_begin(session);
    svi_conn_free_run(conn, &server->limits.user, server->limits.credit_bytes,
                      server->limits.rate);
    svi_session_become_due(session);
    SV_LOG(SV_INFO, "session-open", LF_STR("jid", session->jid.full),
           LF_INT("conn", svi_conn_number(conn)));
    *session_out = session;
    return SV_OK;
}

void svi_session_set_lang(sv_session *session, sv_str lang)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    SV_ASSERT(lang.n < sizeof session->lang);
    if (lang.n > 0) memcpy(session->lang, lang.p, lang.n);
    session->lang[lang.n] = '\0';
    svi_recorder_renew(session);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void write_stream_error(svi_conn *conn, const char *stream_error)
{
    char bytes[192];
    const int n = snprintf(bytes, sizeof bytes,
                           "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                           "</stream:error></stream:stream>",
                           stream_error);
    SV_ASSERT(n > 0 && (size_t)n < sizeof bytes);
    svi_conn_close(conn, (sv_str){bytes, (size_t)n}, SVI_LAST_WORDS_MS);
}

void svi_session_kick(sv_session *session, const char *stream_error)
{
    svi_session_kick_with(session, stream_error, NULL);
}

void svi_session_kick_with(sv_session *session, const char *stream_error, const char *text)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    if (session->is_kicked) return;
    session->is_kicked = true;
    svi_server *server = session->server;
    svi_session_become_due(session); /* not unlisted here: somebody may be walking the account's sessions */
    if (session->conn == NULL) return; /* it is away */
    if (server->streams_ops != NULL)
        server->streams_ops->end(server->streams, session->conn, stream_error, text);
    else
        write_stream_error(session->conn, stream_error);
}

static void free_block(struct svi_session_block *block)
{
    *block->link = block->next;
    if (block->next != NULL) block->next->link = block->link;
    *block->owner_link = block->owner_next;
    if (block->owner_next != NULL) block->owner_next->owner_link = block->owner_link;
    svi_free(block);
}

static void free_slots(svi_session_slot **slots)
{
    while (*slots != NULL) {
        svi_session_slot *slot = *slots;
        *slots = slot->next;
        svi_str_free(&slot->name);
        svi_str_free(&slot->value);
        svi_free(slot);
    }
}

static void free_session(sv_session *session)
{
    SV_ASSERT(session->unheard == NULL);
    svi_xevent_forget_session(session);
    svi_hold_free(session);
    while (session->blocks != NULL) free_block(session->blocks);
    free_slots(&session->items);
    while (session->rows != NULL) {
        svi_session_rows *rows = session->rows;
        session->rows = rows->next;
        svi_rows_unref(&rows->rows);
        svi_free(rows);
    }
    svi_session_set_presence(session, NULL, 0);
    svi_counted_free(session);
    svi_jid_free(&session->jid);
    session->server->session_count--;
    svi_host_strike(session);
    session->magic = 0;
    svi_free(session);
}

/* It is not counted, and comes again. */
static void forget_unheard(sv_session *session)
{
    while (session->unheard != NULL) {
        svi_unheard *unheard = session->unheard;
        session->unheard = unheard->next;
        svi_stanza_unref(&unheard->stanza);
        svi_free(unheard);
    }
    session->unheard_end = &session->unheard;
}

void svi_session_end(sv_session **session, const char *why)
{
    sv_session *s = *session;
    if (s == NULL) return;
    *session = NULL;
    SV_CHECK(s, SVI_SESSION_MAGIC);
    /* the connection reported them all before it closed; but one that another took over from may still do so */
    SV_ASSERT((s->in_flight == 0 && s->kept == NULL) || s->turn > 0);
    while (s->kept != NULL) svi_kept_free(svi_session_take_kept(s, s->kept->token));
    const bool goes_on = s->is_suspended && !s->is_kicked;
    svi_session_unlist(s);
    if (goes_on) forget_unheard(s);
    svi_recorder_end(s, goes_on);
    svi_counted_end(s);
    if (goes_on) s->is_gone = true; /* nobody is told: it is as if it were away */
    svi_hold_end(s);
    fire_gone(s);
    leave_due(s); /* what it had sent is heard last, and may make it due again */
    svi_recorder_ended(s);
    s->conn = NULL;
    SV_LOG(SV_INFO, "session-close", LF_STR("jid", s->jid.full), LF_TXT("why", why));
    free_session(s);
}

/* --- what hangs on one ------------------------------------------------------------------------ */

svi_host *svi_session_host(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->host;
}

const sv_jid *svi_session_jid(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return &session->jid;
}

svi_conn *svi_session_conn(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->conn;
}

uint64_t svi_session_number(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->number;
}

const sv_stanza *svi_session_presence(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->presence;
}

int svi_session_priority(const sv_session *session)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    return session->priority;
}

void svi_session_set_presence(sv_session *session, const sv_stanza *presence, int priority)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    sv_stanza *old = (sv_stanza *)(uintptr_t)session->presence;
    session->presence = presence != NULL ? svi_stanza_ref(presence) : NULL;
    session->priority = presence != NULL ? priority : 0;
    if (old != NULL) svi_stanza_unref(&old);
    svi_recorder_presence(session);
}

static svi_session_slot *find_slot(svi_session_slot *slots, sv_str name)
{
    for (; slots != NULL; slots = slots->next)
        if (sv_str_eq(slots->name, name)) return slots;
    return NULL;
}

static svi_session_slot *add_slot(sv_session *session, svi_session_slot **slots, sv_str name)
{
    svi_session_slot *slot = svi_alloc(session->server->acct, sizeof *slot);
    slot->name = svi_str_dup(session->server->acct, name);
    slot->next = *slots;
    *slots = slot;
    return slot;
}

static struct svi_session_block *add_block(sv_session *session, svi_session_blocks *owner, size_t bytes)
{
    struct svi_session_block *block = svi_alloc(owner->acct, sizeof *block + bytes);
    block->owner = owner;
    block->bytes = bytes;
    block->next = session->blocks;
    block->link = &session->blocks;
    if (block->next != NULL) block->next->link = &block->next;
    session->blocks = block;
    block->owner_next = owner->first;
    block->owner_link = &owner->first;
    if (block->owner_next != NULL) block->owner_next->owner_link = &block->owner_next;
    owner->first = block;
    return block;
}

void *svi_session_data(sv_session *session, svi_session_blocks *owner, size_t bytes)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    struct svi_session_block *block = session->blocks;
    while (block != NULL && (block->owner != owner || block->bytes != bytes)) block = block->next;
    if (block == NULL) block = add_block(session, owner, bytes);
    return block->data;
}

void svi_session_data_drop(svi_session_blocks *owner)
{
    while (owner->first != NULL) free_block(owner->first);
}

void svi_session_set_item(sv_session *session, const char *name, sv_str value)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_session_slot *slot = find_slot(session->items, sv_str_of(name));
    if (slot == NULL) slot = add_slot(session, &session->items, sv_str_of(name));
    svi_str_free(&slot->value);
    slot->value = value.p != NULL ? svi_str_dup(session->server->acct, value) : SV_STR_NONE;
    svi_recorder_item(session, slot->name, slot->value);
}

sv_str svi_session_item(const sv_session *session, const char *name)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    const svi_session_slot *slot = find_slot(session->items, sv_str_of(name));
    return slot != NULL ? slot->value : SV_STR_NONE;
}

void svi_session_keep_rows(sv_session *session, svi_map *map, svi_rows *take)
{
    SV_CHECK(session, SVI_SESSION_MAGIC);
    svi_session_rows *rows = session->rows;
    while (rows != NULL && rows->map != map) rows = rows->next;
    if (rows != NULL) {
        svi_rows_unref(&rows->rows);
        rows->rows = take;
        return;
    }
    rows = svi_alloc(session->server->acct, sizeof *rows);
    *rows = (svi_session_rows){.next = session->rows, .map = map, .rows = take};
    session->rows = rows;
}
