/* Records of sessions, written as they live: see xmpp_recorder.h. */
#include "xmpp/xmpp_recorder.h"

#include "base/base_log.h"
#include "xml/xml_writer.h"

#define RECORDER_MAGIC 0x52454344u
#define KEY_BYTES SVI_RECORD_KEY_BYTES
#define LAZY_US 1000000
#define NOTES_AT_ONCE 16u             /* sessions whose notes go in one unit */
#define PENDING_MAX 65536u            /* bytes of notes that wait */
#define ROW_MAX (SVI_VALUE_MAX * 3 / 4) /* bytes of a record, before it is written anew */

/* A copy with a ticket and without a number. */
typedef struct open_copy {
    struct open_copy *next;
    uint64_t entry;
    svi_note_copy note; /* its texts but the stanza are owned */
    const sv_stanza *stanza;
    size_t bytes;
} open_copy;

/* A copy of a recovered session that lies in a row, and which the client may have. */
typedef struct known_place {
    struct known_place *next;
    uint64_t number;
    svi_note_copy note; /* texts are owned */
    svi_map *map;
} known_place;

typedef struct request {
    struct request *next;
    uint64_t serial;
    svi_note_request note; /* texts are owned */
    bool is_written;
    bool is_lost;    /* by a crash */
} request;

struct svi_recorder {
    uint32_t magic;
    svi_server *server;
    sv_session *session; /* NULL: it has ended */
    svi_map *map;
    sv_str owner;
    char key[KEY_BYTES];
    size_t holds; /* for which the row stays */
    bool stays;     /* the row does, over the end of the session */

    svi_buf pending; /* notes that no unit has */
    bool is_anew;    /* a snapshot is due */
    bool is_awaited; /* numbers are among them */
    size_t snapshot_bytes, note_bytes;
    bool is_due; /* in the server's list */
    svi_recorder *due_next;

    uint64_t serial_noted; /* units say that all up to here are done */
    uint64_t held_commit;  /* nothing goes to the client before it; UINT64_MAX: before what is pending */
    uint64_t last_ticket, last_request;
    size_t copy_bytes;
    open_copy *copies, **copies_end;
    known_place *places;
    request *requests, **requests_end;
    size_t request_count;
};

/* What waits for a commit. */
struct svi_noting {
    struct svi_noting *next;
    uint64_t commit;
    svi_recorder *recorder; /* held */
    uint64_t serial;        /* all up to here are done */
};

static svi_recorder *recorder_of(const sv_session *session)
{
    svi_recorder *r = session->recorder;
    if (r != NULL) SV_CHECK(r, RECORDER_MAGIC);
    return r;
}

sv_status svi_records_open(svi_host *host, sv_err *err)
{
    svi_server *server = host->server;
    if (!server->keeps_records) return SV_OK;
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_str name = svi_arena_printf(server->scratch, "%.*s/sessions", (int)host->domain.n, host->domain.p);
    const sv_status status = svi_store_map(server->store, name, SVI_RECORD_SCHEMA, &host->records, err);
    svi_arena_reset(server->scratch, mark);
    return status;
}

/* --- when it is written ------------------------------------------------------------------------ */

static void flush_soon(void *ctx)
{
    svi_server *server = ctx;
    server->is_recording_soon = false;
    svi_records_flush(server);
}

static void flush_late(void *ctx)
{
    svi_server *server = ctx;
    server->record_timer = NULL;
    svi_records_flush(server);
}

/* In this turn: it is waited for, or goes with a batch that is made anyway. */
static void write_soon(svi_server *server)
{
    if (server->is_recording_soon || server->recorders_due == NULL) return;
    server->is_recording_soon = true;
    svi_server_defer(server, flush_soon, NULL, server);
}

static void become_due(svi_recorder *r)
{
    svi_server *server = r->server;
    if (!r->is_due) {
        r->is_due = true;
        r->due_next = server->recorders_due;
        server->recorders_due = r;
    }
    if (r->pending.len > PENDING_MAX) write_soon(server);
    if (server->record_timer == NULL)
        server->record_timer = svi_timer_start(server->timers, LAZY_US, flush_late, server);
}

static void leave_due(svi_recorder *r)
{
    if (!r->is_due) return;
    svi_recorder **at = &r->server->recorders_due;
    while (*at != r) at = &(*at)->due_next;
    *at = r->due_next;
    r->is_due = false;
}

/* --- snapshots --------------------------------------------------------------------------------- */

static void put_stanza_text(svi_buf *to, const sv_stanza *stanza)
{
    svi_stanza_write(to, stanza, SVI_FLAVOUR_ALONE, &(svi_head){.to = SV_STR_NONE});
}

static void put_presence(svi_recorder *r, svi_buf *out)
{
    const sv_session *session = r->session;
    svi_buf text;
    svi_buf_init(&text, r->server->acct);
    if (session->presence != NULL) put_stanza_text(&text, session->presence);
    svi_note_put_presence(out, text.len > 0 ? svi_buf_str(&text) : SV_STR(""), session->priority);
    svi_buf_free(&text);
}

static void put_counted(svi_buf *out, const svi_counted *c)
{
    svi_note_put_counted(out, &(svi_note_counted){.is_counting_out = c->is_counting_out,
                                                  .keep_us = c->how.keep_us,
                                                  .max_stanzas = c->how.max_stanzas,
                                                  .max_bytes = c->how.max_bytes,
                                                  .ask_stanzas = c->how.ask_stanzas,
                                                  .ask_bytes = c->how.ask_bytes,
                                                  .ask_idle_us = c->how.ask_idle_us,
                                                  .answer_us = c->how.answer_us});
}

static void put_copy(svi_recorder *r, svi_buf *out, const svi_note_copy *note, const sv_stanza *stanza)
{
    svi_buf text;
    svi_buf_init(&text, r->server->acct);
    svi_note_copy whole = *note;
    if (note->map.n == 0) put_stanza_text(&text, stanza);
    if (note->map.n == 0) whole.stanza = svi_buf_str(&text);
    svi_note_put_copy(out, &whole);
    svi_buf_free(&text);
}

static sv_str map_name(const svi_map *map)
{
    svi_map_state state;
    if (map == NULL) return SV_STR_NONE;
    svi_map_state_get(map, &state);
    return state.name;
}

/* Those that lie in rows, which the tally does not have, come first: their numbers are of then. */
static void put_copies(svi_recorder *r, svi_buf *out)
{
    const svi_tally *tally = r->session->counted->tally;
    for (const known_place *p = r->places; p != NULL; p = p->next) svi_note_put_copy(out, &p->note);
    for (const svi_tally_out *o = svi_tally_first(tally); o != NULL; o = o->next) {
        if (o->ticket == 0) continue;
        const svi_note_copy note = {.ticket = o->ticket,
                                    .since_us = o->since_us,
                                    .to = o->to,
                                    .map = map_name(o->place.map),
                                    .owner = o->place.owner,
                                    .key = o->place.key};
        put_copy(r, out, &note, o->stanza);
    }
    for (const open_copy *o = r->copies; o != NULL; o = o->next) put_copy(r, out, &o->note, o->stanza);
}

static void put_numbers(svi_recorder *r, svi_buf *out)
{
    const svi_tally *tally = r->session->counted->tally;
    const svi_tally_out *o = svi_tally_first(tally);
    const known_place *p = r->places;
    while (o != NULL || p != NULL) { /* in order */
        const bool is_place = p != NULL && (o == NULL || p->number < o->number);
        if (is_place)
            svi_note_put_number(out, p->note.ticket, p->number);
        else if (o->ticket != 0)
            svi_note_put_number(out, o->ticket, o->number);
        if (is_place)
            p = p->next;
        else
            o = o->next;
    }
}

static void put_done(void *ctx, uint64_t serial, uint64_t mark)
{
    svi_note_put_done(ctx, serial, mark);
}

static void put_requests(svi_recorder *r, svi_buf *out, uint64_t up_to)
{
    for (request *q = r->requests; q != NULL; q = q->next) {
        if (q->is_written || q->serial > up_to) continue;
        q->is_written = true;
        svi_note_put_request(out, &q->note);
    }
}

static void put_in(svi_recorder *r, svi_buf *out, uint64_t serial)
{
    const svi_tally *tally = r->session->counted->tally;
    const uint32_t h = svi_tally_h(tally) + (uint32_t)(serial - svi_tally_handled(tally));
    const uint64_t since = svi_tally_since(tally);
    svi_note_put_in(out, h, serial, since <= svi_tally_handled(tally) ? since : serial + 1);
    put_requests(r, out, serial);
}

static void put_tally(svi_recorder *r, svi_buf *out)
{
    const svi_counted *c = r->session->counted;
    const uint64_t done = svi_tally_done(c->tally);
    const uint64_t serial = done > r->serial_noted ? done : r->serial_noted;
    put_counted(out, c);
    for (request *q = r->requests; q != NULL; q = q->next) {
        if (q->is_written && q->serial > serial) q->serial = serial; /* of one that was done out of order: again, too */
        q->is_written = false;
    }
    put_in(r, out, serial);
    svi_tally_each_done(c->tally, put_done, out);
    put_copies(r, out);
    svi_note_put_acked(out, svi_tally_acked_number(c->tally));
    put_numbers(r, out);
}

static void put_snapshot(svi_recorder *r, svi_buf *out)
{
    const sv_session *session = r->session;
    svi_note_put_head(out, &(svi_note_head){.full = session->jid.full,
                                            .lang = sv_str_of(session->lang),
                                            .bound_us = session->bound_us});
    put_presence(r, out);
    for (const svi_session_slot *slot = session->items; slot != NULL; slot = slot->next)
        if (slot->value.p != NULL) svi_note_put_item(out, slot->name, slot->value);
    if (session->counted == NULL) return;
    if (session->counted->away_us != 0) svi_note_put_away(out, session->counted->away_us);
    put_tally(r, out);
}

/* --- writing ------------------------------------------------------------------------------------ */

static void wait_for(svi_recorder *r, uint64_t commit, uint64_t serial)
{
    svi_server *server = r->server;
    struct svi_noting *noting = svi_alloc(server->acct, sizeof *noting);
    *noting = (struct svi_noting){.commit = commit, .recorder = r, .serial = serial};
    r->holds++;
    *server->noting_end = noting;
    server->noting_end = &noting->next;
}

static sv_str key_of(const svi_recorder *r)
{
    return (sv_str){r->key, sizeof r->key};
}

static bool is_anew(const svi_recorder *r)
{
    const size_t notes = r->note_bytes + r->pending.len;
    return r->is_anew || notes > 2 * r->snapshot_bytes + 512 || r->snapshot_bytes + notes > ROW_MAX;
}

static void write_anew(svi_recorder *r, svi_unit *unit)
{
    svi_buf out;
    svi_buf_init(&out, r->server->acct);
    put_snapshot(r, &out);
    const sv_str text = svi_buf_str(&out);
    const sv_status status = svi_unit_put(unit, r->map, r->owner, key_of(r), text);
    if (status != SV_OK) { /* items or presence without measure: it is not known after a crash */
        SV_LOG(SV_WARN, "session-not-recorded", LF_STR("jid", r->session->jid.full), LF_INT("bytes", text.n));
        svi_unit_del(unit, r->map, r->owner, key_of(r));
    }
    r->snapshot_bytes = text.n;
    r->note_bytes = 0;
    r->is_anew = false;
    svi_buf_free(&out);
}

/* Adds what waits to the unit, which is the next one that is handed in. */
static void write_out(svi_recorder *r, svi_unit *unit)
{
    const uint64_t commit = svi_store_submitted(r->server->store) + 1;
    const svi_counted *c = r->session->counted;
    const uint64_t done = c != NULL ? svi_tally_done(c->tally) : 0;
    const bool moves = done > r->serial_noted;
    if (moves) put_in(r, &r->pending, done);
    if (moves) r->serial_noted = done;
    if (is_anew(r)) {
        write_anew(r, unit);
    } else if (r->pending.len > 0) {
        const sv_status status = svi_unit_append(unit, r->map, r->owner, key_of(r), svi_buf_str(&r->pending));
        SV_ASSERT(status == SV_OK);
        r->note_bytes += r->pending.len;
    }
    r->pending.len = 0;
    if (r->held_commit == UINT64_MAX) r->held_commit = commit;
    if (moves || r->held_commit == commit) wait_for(r, commit, moves ? done : 0);
    leave_due(r);
}

static void write_now(svi_recorder *r)
{
    svi_unit *unit = svi_unit_new(r->server->store);
    write_out(r, unit);
    if (svi_unit_is_empty(unit))
        svi_unit_free(&unit);
    else
        svi_unit_submit(&unit);
}

/* Notes of several sessions go in one unit; what is written anew may be large, and has its own. */
static void write_some(svi_server *server)
{
    svi_unit *unit = svi_unit_new(server->store);
    for (unsigned i = 0; i < NOTES_AT_ONCE; i++) {
        svi_recorder *r = server->recorders_due;
        if (r == NULL || is_anew(r)) break;
        write_out(r, unit);
        if (r->note_bytes == 0) break; /* it was written anew after all */
    }
    if (svi_unit_is_empty(unit))
        svi_unit_free(&unit);
    else
        svi_unit_submit(&unit);
}

void svi_records_flush(svi_server *server)
{
    while (server->recorders_due != NULL) {
        if (is_anew(server->recorders_due))
            write_now(server->recorders_due);
        else
            write_some(server);
    }
    svi_records_committed(server, svi_store_committed(server->store)); /* by a store that does not sync */
}

/* --- life --------------------------------------------------------------------------------------- */

static void free_request(request *q)
{
    svi_str_free(&q->note.id);
    svi_str_free(&q->note.to);
    svi_free(q);
}

static void free_texts(svi_note_copy *note)
{
    svi_str_free(&note->to);
    svi_str_free(&note->map);
    svi_str_free(&note->owner);
    svi_str_free(&note->key);
}

static void free_open(svi_recorder *r, open_copy **at)
{
    open_copy *gone = *at;
    *at = gone->next;
    if (*at == NULL) r->copies_end = at;
    svi_stanza_unref((sv_stanza **)(uintptr_t)&gone->stanza);
    free_texts(&gone->note);
    svi_free(gone);
}

/* Where the list points to the copy of that ledger entry; to NULL if there is none. */
static open_copy **find_open(svi_recorder *r, uint64_t entry)
{
    open_copy **at = &r->copies;
    while (*at != NULL && (*at)->entry != entry) at = &(*at)->next;
    return at;
}

static void free_place(known_place **at)
{
    known_place *gone = *at;
    *at = gone->next;
    free_texts(&gone->note);
    svi_free(gone);
}

static void recorder_free(svi_recorder *r)
{
    while (r->requests != NULL) {
        request *q = r->requests;
        r->requests = q->next;
        free_request(q);
    }
    while (r->copies != NULL) free_open(r, &r->copies);
    while (r->places != NULL) free_place(&r->places);
    svi_buf_free(&r->pending);
    svi_str_free(&r->owner);
    r->magic = 0;
    svi_free(r);
}

/* The last one lets the row go. */
static void let_go(svi_recorder *r)
{
    SV_CHECK(r, RECORDER_MAGIC);
    SV_ASSERT(r->holds > 0);
    if (--r->holds > 0) return;
    if (!r->stays) {
        svi_unit *unit = svi_unit_new(r->server->store);
        svi_unit_del(unit, r->map, r->owner, key_of(r));
        svi_unit_submit(&unit);
    }
    recorder_free(r);
}

static svi_recorder *recorder_new(sv_session *session)
{
    svi_server *server = session->server;
    svi_recorder *r = svi_alloc(server->acct, sizeof *r);
    *r = (svi_recorder){.magic = RECORDER_MAGIC,
                        .server = server,
                        .session = session,
                        .map = session->host->records,
                        .owner = svi_str_dup(server->acct, session->jid.node),
                        .holds = 1,
                        .copies_end = &r->copies,
                        .requests_end = &r->requests};
    svi_buf_init(&r->pending, server->acct);
    session->recorder = r;
    return r;
}

void svi_recorder_begin(sv_session *session)
{
    static const char digits[] = "0123456789abcdef";
    svi_server *server = session->server;
    if (session->host->records == NULL || session->is_guest) return;
    svi_recorder *r = recorder_new(session);
    uint8_t raw[KEY_BYTES / 2];
    server->plat->random(server->plat->ctx, raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        r->key[2 * i] = digits[raw[i] >> 4];
        r->key[2 * i + 1] = digits[raw[i] & 15];
    }
    r->is_anew = true;
    become_due(r);
}

static request *add_request(svi_recorder *r, const svi_note_request *note)
{
    request *q = svi_alloc(r->server->acct, sizeof *q);
    *q = (request){.note = *note};
    q->note.id = svi_str_dup(r->server->acct, note->id);
    q->note.to = note->to.p != NULL ? svi_str_dup(r->server->acct, note->to) : SV_STR_NONE;
    *r->requests_end = q;
    r->requests_end = &q->next;
    r->request_count++;
    return q;
}

static void drop_request(svi_recorder *r, request **at)
{
    request *gone = *at;
    *at = gone->next;
    if (*at == NULL) r->requests_end = at;
    r->request_count--;
    free_request(gone);
}

static svi_note_copy dup_note(svi_acct *acct, const svi_note_copy *note)
{
    svi_note_copy mine = *note;
    mine.stanza = SV_STR_NONE;
    mine.to = note->to.p != NULL ? svi_str_dup(acct, note->to) : SV_STR_NONE;
    mine.map = note->map.n > 0 ? svi_str_dup(acct, note->map) : SV_STR_NONE;
    mine.owner = note->owner.n > 0 ? svi_str_dup(acct, note->owner) : SV_STR_NONE;
    mine.key = note->key.n > 0 ? svi_str_dup(acct, note->key) : SV_STR_NONE;
    return mine;
}

static svi_map *find_map(svi_server *server, sv_str name)
{
    size_t pos = 0;
    svi_map *map;
    while ((map = svi_store_map_next(server->store, name, &pos)) != NULL)
        if (sv_str_eq(map_name(map), name)) return map;
    return NULL;
}

static void add_places(svi_recorder *r, const svi_record *record)
{
    known_place **end = &r->places;
    for (const svi_record_copy *copy = record->copies; copy != NULL; copy = copy->next) {
        if (copy->note.map.n == 0 || copy->number == 0) continue;
        svi_map *map = find_map(r->server, copy->note.map);
        if (map == NULL) continue;
        known_place *p = svi_alloc(r->server->acct, sizeof *p);
        *p = (known_place){.number = copy->number, .map = map, .note = dup_note(r->server->acct, &copy->note)};
        while (*end != NULL && (*end)->number < p->number) end = &(*end)->next;
        p->next = *end;
        *end = p;
        end = &r->places;
    }
}

void svi_recorder_resume(sv_session *session, sv_str key, const svi_record *record, size_t bytes,
                         size_t copy_bytes)
{
    SV_ASSERT(key.n == KEY_BYTES);
    svi_recorder *r = recorder_new(session);
    memcpy(r->key, key.p, KEY_BYTES);
    r->snapshot_bytes = bytes;
    r->copy_bytes = copy_bytes;
    r->serial_noted = record->serial;
    r->last_ticket = record->last_ticket;
    r->last_request = record->last_request;
    for (const svi_record_request *q = record->requests; q != NULL; q = q->next) {
        request *mine = add_request(r, &q->note);
        mine->is_written = mine->is_lost = true;
    }
    add_places(r, record);
}

void svi_recorder_end(sv_session *session, bool stays)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    const bool leaves = r->copies != NULL || (session->counted != NULL && svi_tally_first(session->counted->tally) != NULL);
    r->stays = stays;
    if (!stays && leaves) svi_note_put_ended(&r->pending);
    if (stays || leaves) write_now(r);
    leave_due(r);
}

void svi_recorder_ended(sv_session *session)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    leave_due(r);
    r->session = NULL;
    session->recorder = NULL;
    let_go(r);
}

/* --- commits ------------------------------------------------------------------------------------ */

static struct svi_noting *take_noting(svi_server *server)
{
    struct svi_noting *first = server->noting;
    server->noting = first->next;
    if (server->noting == NULL) server->noting_end = &server->noting;
    return first;
}

void svi_records_committed(svi_server *server, uint64_t commit)
{
    while (server->noting != NULL && server->noting->commit <= commit) {
        struct svi_noting *noting = take_noting(server);
        svi_recorder *r = noting->recorder;
        sv_session *session = r->session;
        if (session != NULL && noting->serial > 0) svi_counted_noted(session, noting->serial);
        if (session != NULL && !svi_recorder_holds(session)) svi_counted_feed(session);
        svi_free(noting);
        let_go(r);
    }
}

void svi_records_free(svi_server *server)
{
    svi_timer_cancel(&server->record_timer);
    while (server->noting != NULL) {
        struct svi_noting *noting = take_noting(server);
        let_go(noting->recorder);
        svi_free(noting);
    }
}

/* --- changes ------------------------------------------------------------------------------------ */

void svi_recorder_renew(sv_session *session)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    r->is_anew = true;
    become_due(r);
}

void svi_recorder_presence(sv_session *session)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    put_presence(r, &r->pending);
    become_due(r);
}

void svi_recorder_item(sv_session *session, sv_str name, sv_str value)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    svi_note_put_item(&r->pending, name, value);
    become_due(r);
}

void svi_recorder_away(sv_session *session, int64_t since_us)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    svi_note_put_away(&r->pending, since_us);
    become_due(r);
}

/* --- what comes ---------------------------------------------------------------------------------- */

void svi_recorder_request(sv_session *session, uint64_t serial, const sv_stanza *stanza)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL || serial == 0) return;
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str id = svi_node_attr(root, SV_STR("id")), to = svi_node_attr(root, SV_STR("to"));
    if (id.n + to.n > SVI_RECORD_REQUEST_BYTES) return;
    if (r->request_count == SVI_RECORD_REQUESTS_MAX) drop_request(r, &r->requests);
    const svi_note_request note = {.number = ++r->last_request, .id = id, .to = to};
    add_request(r, &note)->serial = serial;
}

void svi_recorder_done(sv_session *session, bool is_waited_for)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL || session->counted == NULL) return;
    if (svi_tally_done(session->counted->tally) <= r->serial_noted) return;
    become_due(r);
    if (is_waited_for) write_soon(r->server);
}

static void append(svi_recorder *r, svi_unit *unit, svi_buf *take)
{
    const sv_status status = svi_unit_append(unit, r->map, r->owner, key_of(r), svi_buf_str(take));
    SV_ASSERT(status == SV_OK);
    r->note_bytes += take->len;
    svi_buf_free(take);
}

static void note_out_of_order(svi_recorder *r, uint64_t serial, uint64_t mark)
{
    svi_note_put_done(&r->pending, serial, mark);
    for (request *q = r->requests; q != NULL; q = q->next) {
        if (q->serial != serial || q->is_written) continue;
        q->is_written = true;
        svi_note_put_request(&r->pending, &q->note);
    }
}

/* A stanza is done when its event's unit is committed, unless it causes another event. */
static void note_own(svi_xevent *x, svi_unit *unit)
{
    svi_recorder *r = recorder_of(x->session);
    const uint64_t serial = x->arrival.serial;
    uint64_t mark;
    if (r == NULL || x->session->counted == NULL || x->causes) return;
    svi_tally *tally = x->session->counted->tally;
    if (!svi_tally_is_last(tally, serial, &mark)) return;
    const bool is_in_order = svi_tally_done(tally) + 1 == serial;
    if (!is_in_order && mark == 0) return; /* it would not be known again */
    if (!is_in_order && is_anew(r)) write_out(r, unit); /* what is noted now comes behind it */
    if (!is_in_order) note_out_of_order(r, serial, mark);
    svi_tally_written(tally, serial);
    x->arrival.is_noted = true;
    write_out(r, unit); /* in order: all up to this one */
}

static void put_gone(svi_xevent *x, svi_unit *unit)
{
    svi_buf note;
    svi_buf_init(&note, x->server->acct);
    svi_note_put_gone(&note, x->unsent_ticket);
    append(x->unsent_from, unit, &note);
}

void svi_recorder_committing(svi_xevent *x, svi_unit *unit)
{
    if (x->unsent_from != NULL && x->unsent_ticket > 0) put_gone(x, unit);
    if (x->is_own && x->session != NULL && x->arrival.serial > 0) note_own(x, unit);
    write_soon(x->server); /* there is a batch now: the others' notes go with it */
}

/* --- what goes ----------------------------------------------------------------------------------- */

/* Messages (RFC 6121 5) are what somebody counts on; errors and headlines are told in passing. */
static bool is_to_outlive(const sv_stanza *stanza)
{
    if (svi_kind_of(stanza) != SVI_KIND_MESSAGE) return false;
    const sv_str type = svi_node_attr(svi_stanza_root(stanza), SV_STR("type"));
    return !sv_str_eq(type, SV_STR("error")) && !sv_str_eq(type, SV_STR("headline"));
}

/* The one that is too much is noted, too: until it goes another way it is nowhere else. */
static void keep_bound(svi_recorder *r, size_t bytes)
{
    if (r->copy_bytes + bytes <= SVI_RECORD_COPIES_MAX) return;
    SV_LOG(SV_WARN, "session-slow", LF_STR("jid", r->session->jid.full), LF_INT("bytes", r->copy_bytes + bytes));
    svi_session_kick_with(r->session, "resource-constraint", "Too much was not acknowledged.");
}

static void noted_over(void *ctx)
{
    let_go(ctx);
}

bool svi_recorder_copy(sv_event *ev, sv_session *session, const sv_stanza *stanza, sv_str to, uint64_t entry,
                       svi_map *map, sv_str owner, sv_str key)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL || !svi_counted_takes(session) || session->is_kicked || !svi_event_is_open(ev)) return false;
    if (map == NULL && !is_to_outlive(stanza)) return false;
    const svi_plat *plat = r->server->plat;
    const svi_note_copy note = {.ticket = ++r->last_ticket,
                                .since_us = plat->wall_us(plat->ctx),
                                .to = to,
                                .map = map_name(map),
                                .owner = owner,
                                .key = key};
    svi_buf text;
    svi_buf_init(&text, r->server->acct);
    put_copy(r, &text, &note, stanza);
    const size_t bytes = map == NULL ? text.len : 0;
    keep_bound(r, bytes);
    if (is_anew(r)) write_now(r); /* the event's unit may wait, and what is noted meanwhile must stand behind the snapshot */
    append(r, svi_event_unit(ev), &text);
    r->holds++; /* the row goes behind that unit, or it would be made again without its beginning */
    svi_event_at_end(ev, noted_over, r);
    open_copy *open = svi_alloc(r->server->acct, sizeof *open);
    *open = (open_copy){.entry = entry, .bytes = bytes, .note = dup_note(r->server->acct, &note), .stanza = svi_stanza_ref(stanza)};
    *r->copies_end = open;
    r->copies_end = &open->next;
    r->copy_bytes += bytes;
    return true;
}

static bool is_answer(const sv_stanza *stanza)
{
    const svi_kind kind = svi_kind_of(stanza);
    return kind == SVI_KIND_RESULT || kind == SVI_KIND_ERROR;
}

/* Which request it answers: the oldest with its id and recipient. */
static void note_answer(svi_recorder *r, const sv_stanza *stanza, uint64_t number)
{
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str id = svi_node_attr(root, SV_STR("id")), from = svi_node_attr(root, SV_STR("from"));
    for (request *q = r->requests; q != NULL; q = q->next) {
        if (q->note.answer != 0 || !sv_str_eq(q->note.id, id)) continue;
        if (q->note.to.p != NULL && from.p != NULL && !sv_str_eq(q->note.to, from)) continue;
        q->note.answer = number;
        if (q->is_written) svi_note_put_answer(&r->pending, q->note.number, number);
        if (q->is_written) become_due(r);
        return;
    }
}

static void note_number(svi_recorder *r, uint64_t entry, uint64_t ticket, uint64_t number)
{
    sv_event *ev = r->server->sending_entry == entry ? r->server->sending_in : NULL;
    if (ev == NULL) {
        svi_note_put_number(&r->pending, ticket, number);
        r->held_commit = UINT64_MAX;
        become_due(r);
        write_soon(r->server);
        return;
    }
    svi_buf note;
    svi_buf_init(&note, r->server->acct);
    svi_note_put_number(&note, ticket, number);
    append(r, svi_event_unit(ev), &note);
}

svi_recorder_noted svi_recorder_number(sv_session *session, const sv_stanza *stanza, uint64_t entry,
                                       uint64_t number)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return (svi_recorder_noted){.ticket = 0};
    if (r->requests != NULL && is_answer(stanza)) note_answer(r, stanza, number);
    open_copy **at = find_open(r, entry);
    if (*at == NULL) return (svi_recorder_noted){.ticket = 0};
    const svi_recorder_noted noted = {(*at)->note.ticket, (*at)->bytes};
    free_open(r, at);
    note_number(r, entry, noted.ticket, number);
    return noted;
}

uint64_t svi_recorder_take_back(sv_session *session, uint64_t entry)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return 0;
    open_copy **at = find_open(r, entry);
    if (*at == NULL) return 0;
    const uint64_t ticket = (*at)->note.ticket;
    SV_ASSERT(r->copy_bytes >= (*at)->bytes);
    r->copy_bytes -= (*at)->bytes;
    free_open(r, at);
    return ticket;
}

void svi_recorder_dropped(sv_session *session, uint64_t entry)
{
    const uint64_t ticket = svi_recorder_take_back(session, entry);
    if (ticket == 0) return;
    svi_recorder *r = recorder_of(session);
    svi_note_put_gone(&r->pending, ticket);
    become_due(r);
}

bool svi_recorder_holds(const sv_session *session)
{
    const svi_recorder *r = recorder_of(session);
    return r != NULL && r->held_commit > svi_store_committed(r->server->store);
}

void svi_recorder_acked(sv_session *session, const svi_recorder_ack *ack, svi_unit *unit)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    SV_ASSERT(r->copy_bytes >= ack->bytes);
    r->copy_bytes -= ack->bytes;
    bool is_told = ack->was_noted;
    for (request **at = &r->requests; *at != NULL;) {
        request *q = *at;
        if (q->note.answer == 0 || q->note.answer > ack->number) {
            at = &q->next;
            continue;
        }
        if (q->is_written) svi_note_put_answered(&r->pending, q->note.number);
        is_told = is_told || q->is_written;
        drop_request(r, at);
    }
    if (!is_told) return;
    svi_note_put_acked(&r->pending, ack->number);
    if (unit != NULL)
        write_out(r, unit);
    else
        become_due(r);
}

void svi_recorder_renumbered(sv_session *session)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    for (request *q = r->requests; q != NULL; q = q->next) q->note.answer = 0; /* those that are left are lost */
    r->is_anew = true;
    r->held_commit = UINT64_MAX;
    become_due(r);
    write_soon(r->server);
}

/* --- what is not sent ---------------------------------------------------------------------------- */

void svi_recorder_unsent(sv_session *session, svi_xevent *x, uint64_t ticket)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    r->holds++;
    x->unsent_from = r;
    x->unsent_ticket = ticket;
}

void svi_recorder_unsent_over(svi_xevent *x, bool is_canceled)
{
    svi_recorder *r = x->unsent_from;
    x->unsent_from = NULL;
    if (r == NULL) return;
    if (is_canceled) r->stays = true; /* what became of it is not known: the next start tries again */
    let_go(r);
}

/* --- after a start ------------------------------------------------------------------------------- */

static void answer_lost(sv_session *session, const svi_note_request *lost)
{
    svi_buf text;
    svi_buf_init(&text, session->server->acct);
    svi_buf_printf(&text, "<iq xmlns='" SVI_NS_CLIENT "' type='error' id='");
    svi_write_attr(&text, lost->id);
    if (lost->to.p != NULL) {
        svi_buf_put(&text, SV_STR("' from='"));
        svi_write_attr(&text, lost->to);
    }
    svi_buf_put(&text, SV_STR("' to='"));
    svi_write_attr(&text, session->jid.full);
    svi_buf_put(&text, SV_STR("'><error type='wait'><internal-server-error xmlns='" SVI_NS_STANZAS "'/>"
                              "<text xmlns='" SVI_NS_STANZAS "' xml:lang='en'>The server was restarted before it answered."
                              "</text></error></iq>"));
    svi_session_answer(session, svi_buf_str(&text));
    svi_buf_free(&text);
}

void svi_recorder_answer(sv_session *session)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL) return;
    for (request *q = r->requests; q != NULL; q = q->next) {
        if (!q->is_lost) continue;
        q->is_lost = false;
        answer_lost(session, &q->note);
    }
}

bool svi_recorder_settle(sv_session *session, uint64_t number, svi_tally_place *place_out)
{
    svi_recorder *r = recorder_of(session);
    if (r == NULL || r->places == NULL) return false;
    const known_place *p = r->places;
    *place_out = (svi_tally_place){.map = NULL};
    if (p->number <= number) {
        svi_unit *unit = svi_unit_new(r->server->store);
        svi_unit_del(unit, p->map, p->note.owner, p->note.key);
        svi_unit_submit(&unit);
        *place_out = (svi_tally_place){.map = p->map,
                                       .owner = svi_arena_str(r->server->scratch, p->note.owner),
                                       .key = svi_arena_str(r->server->scratch, p->note.key)};
    }
    free_place(&r->places);
    return true;
}
