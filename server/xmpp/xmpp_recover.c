/* Sessions built from their records: owner by owner, some at a time. */
#include "xmpp/xmpp_recover.h"

#include <stdlib.h>

#include "base/base_log.h"
#include "xmpp/xmpp_recorder.h"

#define OWNERS_AT_ONCE 256u

typedef struct svi_recovery {
    svi_server *server;
    svi_host *host; /* whose records are read now */
    svi_arena *arena;
    size_t loading; /* owners */
    bool has_more;
    sv_str last; /* the owner that was read last; owned */
    svi_recovered recovered;
    void (*done)(void *ctx, const svi_recovered *recovered);
    void *ctx;
} recovery;

typedef struct loading {
    recovery *r;
    sv_str owner; /* owned */
} loading;

/* --- a session -------------------------------------------------------------------------------------- */

static void set_items(sv_session *session, const svi_record *record)
{
    for (const svi_record_item *item = record->items; item != NULL; item = item->next) {
        char name[256];
        if (item->name.n >= sizeof name) continue;
        memcpy(name, item->name.p, item->name.n);
        name[item->name.n] = '\0';
        svi_session_set_item(session, name, item->value);
    }
}

static sv_stanza *parse(const svi_server *server, sv_str text)
{
    sv_stanza *made = NULL;
    if (text.n == 0) return NULL;
    if (svi_stanza_parse(server->acct, svi_server_atoms(server), text, SV_STR_NONE, &made, NULL) != SV_OK)
        return NULL;
    return made;
}

static void set_presence(sv_session *session, const svi_record *record)
{
    sv_stanza *presence = parse(session->server, record->presence);
    if (presence == NULL) return;
    svi_session_set_presence(session, presence, record->priority);
    svi_stanza_unref(&presence);
}

static int by_number(const void *a, const void *b)
{
    const svi_record_copy *const *x = a, *const *y = b;
    const uint64_t m = (*x)->number > 0 ? (*x)->number : UINT64_MAX;
    const uint64_t n = (*y)->number > 0 ? (*y)->number : UINT64_MAX;
    if (m != n) return m < n ? -1 : 1;
    return (*x)->note.ticket < (*y)->note.ticket ? -1 : (*x)->note.ticket > (*y)->note.ticket;
}

/* Those that have a number, in their order; then the others, in that of their tickets. */
static const svi_record_copy **sorted(svi_arena *arena, const svi_record *record, size_t *count_out)
{
    size_t count = 0;
    for (const svi_record_copy *copy = record->copies; copy != NULL; copy = copy->next) count++;
    const svi_record_copy **all = svi_arena_get(arena, (count + 1) * sizeof *all);
    size_t i = 0;
    for (const svi_record_copy *copy = record->copies; copy != NULL; copy = copy->next) all[i++] = copy;
    qsort(all, count, sizeof *all, by_number);
    *count_out = count;
    return all;
}

/* What lies in a row is sent again by whoever put it there; svi_recorder_resume keeps the row's number. */
static size_t restore_copies(sv_session *session, svi_arena *arena, const svi_record *record)
{
    size_t count, bytes = 0;
    svi_server *server = session->server;
    svi_tally *tally = session->counted->tally;
    const svi_record_copy **all = sorted(arena, record, &count);
    for (size_t i = 0; i < count; i++) {
        const svi_note_copy *note = &all[i]->note;
        sv_stanza *stanza = parse(server, note->stanza);
        if (stanza == NULL) continue;
        const svi_tally_copy copy = {.stanza = stanza,
                                     .to = note->to,
                                     .entry = svi_ledger_open(server->ledger, SVI_MADE_RECOVERED, &session->host->counts),
                                     .since_us = note->since_us,
                                     .ticket = note->ticket,
                                     .noted_bytes = note->stanza.n};
        bytes += copy.noted_bytes;
        if (all[i]->number > 0)
            svi_tally_restore(tally, &copy, all[i]->number);
        else
            (void)svi_tally_add(tally, &copy);
        svi_stanza_unref(&stanza);
    }
    return bytes;
}

static size_t count_on(sv_session *session, svi_arena *arena, const svi_record *record)
{
    const svi_note_counted *noted = &record->counted;
    svi_counted *c = svi_alloc(session->server->acct, sizeof *c);
    *c = (svi_counted){.tally = svi_tally_new(session->server->acct, true),
                       .how = {.keep_us = noted->keep_us,
                               .max_stanzas = noted->max_stanzas,
                               .max_bytes = noted->max_bytes,
                               .ask_stanzas = noted->ask_stanzas,
                               .ask_bytes = noted->ask_bytes,
                               .ask_idle_us = noted->ask_idle_us,
                               .answer_us = noted->answer_us},
                       .is_counting_out = noted->is_counting_out,
                       .is_recovered = true};
    session->counted = c;
    svi_tally_recover(c->tally, &(svi_tally_known){.h = record->h,
                                                   .serial = record->serial,
                                                   .acked = record->acked,
                                                   .noted = record->noted});
    for (const svi_record_done *done = record->done; done != NULL; done = done->next)
        svi_tally_former(c->tally, done->serial, done->mark);
    return restore_copies(session, arena, record);
}

static bool may_wait(const svi_record *record, int64_t now_us)
{
    if (!record->is_counted || !record->counted.is_counting_out || record->has_ended) return false;
    const int64_t since_us = record->away_us > 0 && record->away_us < now_us ? record->away_us : now_us;
    return record->counted.keep_us > now_us - since_us;
}

/* A newer session with that address has replaced it, or it has that one. */
static bool is_older(svi_host *host, const sv_jid *jid, const svi_record *record)
{
    sv_session *other = svi_session_find(host->server, jid->full);
    if (other == NULL) return false;
    if (svi_session_bound_us(other) >= record->head.bound_us) return true;
    svi_session_kick(other, "conflict");
    svi_session_unlist(other);
    return false;
}

static void introduce(sv_session *session)
{
    svi_introduce(session, session->host->hooks, SVI_POINT_SESSION_BOUND, NULL);
    if (session->presence != NULL)
        svi_introduce(session, session->host->hooks, SVI_POINT_SESSION_PRESENCE, session->presence);
}

static sv_status build(recovery *r, const sv_jid *jid, sv_str key, const svi_record *record, size_t bytes)
{
    const svi_plat *plat = r->server->plat;
    const int64_t now_us = plat->wall_us(plat->ctx);
    const bool is_replaced = is_older(r->host, jid, record);
    const bool waits = !is_replaced && may_wait(record, now_us);
    /* one that can't be taken up is not found: what goes to the account meanwhile is not for it */
    sv_session *session = svi_session_rebuild(r->host, jid, record->head.bound_us, waits);
    if (record->head.lang.n < SVI_LANG_BYTES) svi_session_set_lang(session, record->head.lang);
    set_items(session, record);
    set_presence(session, record);
    const size_t copy_bytes = record->is_counted ? count_on(session, r->arena, record) : 0;
    svi_recorder_resume(session, key, record, bytes, copy_bytes);
    if (!is_replaced) introduce(session);
    svi_session_wait(session, waits ? record->away_us : 0, waits ? record->counted.keep_us : 0);
    r->recovered.away += waits;
    r->recovered.ended += !waits;
    return SV_OK;
}

/* --- records ---------------------------------------------------------------------------------------- */

static void drop(recovery *r, sv_str owner, sv_str key, const sv_err *err)
{
    SV_LOG(SV_ERROR, "session-not-recovered", LF_STR("host", r->host->domain), LF_STR("user", owner),
           LF_STR("record", key), LF_TXT("reason", err->text));
    r->recovered.damaged++;
    if (err->code == SV_EVERSION) return; /* its copies are for the release that can read it */
    svi_unit *unit = svi_unit_new(r->server->store);
    svi_unit_del(unit, r->host->records, owner, key);
    svi_unit_submit(&unit);
}

static sv_status read_one(recovery *r, sv_str owner, sv_str key, sv_str value, sv_err *err)
{
    svi_record record;
    sv_jid jid;
    const sv_status status = svi_record_read(r->arena, value, &record, err);
    if (status != SV_OK) return status;
    if (key.n != SVI_RECORD_KEY_BYTES || svi_jid_parse(r->arena, record.head.full, &jid) != SV_OK || jid.resource.n == 0 ||
        !sv_str_eq(jid.node, owner) || !sv_str_eq(jid.domain, r->host->domain))
        return svi_err(err, SV_EIO, "it is of another address");
    return build(r, &jid, key, &record, value.n);
}

/* Rows change while the records of an owner are gone through: they are copied first. */
static void read_owner(recovery *r, sv_str owner, const svi_rows *rows)
{
    const svi_mark mark = svi_arena_mark(r->arena);
    sv_str key = SV_STR_NONE, value;
    while (svi_rows_next(rows, &key, &value)) {
        sv_err err = {.text = ""};
        const sv_str mine = svi_arena_str(r->arena, key);
        if (read_one(r, owner, mine, svi_arena_str(r->arena, value), &err) != SV_OK) drop(r, owner, mine, &err);
        key = mine;
    }
    svi_arena_reset(r->arena, mark);
}

static void next_owners(recovery *r);

static void next_host(recovery *r)
{
    svi_server *server = r->server;
    svi_str_free(&r->last);
    do {
        r->host = svi_host_next(server, r->host);
    } while (r->host != NULL && r->host->records == NULL);
    if (r->host != NULL) {
        next_owners(r);
        return;
    }
    svi_sessions_end_unresumable(server);
    r->done(r->ctx, &r->recovered);
    svi_arena_free(&r->arena);
    svi_free(r);
}

static void go_on(recovery *r)
{
    if (r->loading > 0) return;
    if (r->has_more && r->recovered.status != SV_ECANCELED)
        next_owners(r);
    else
        next_host(r);
}

static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    loading *l = ctx;
    recovery *r = l->r;
    if (status == SV_OK) {
        read_owner(r, l->owner, rows);
        svi_rows_unref(&rows);
    } else {
        r->recovered.status = status;
    }
    svi_str_free(&l->owner);
    svi_free(l);
    r->loading--;
    go_on(r);
}

static void on_owners(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    recovery *r = ctx;
    svi_acct *acct = r->server->acct;
    if (status != SV_OK) r->recovered.status = status;
    r->has_more = status == SV_OK && more;
    r->loading = 1; /* until all are asked for */
    for (size_t i = 0; status == SV_OK && i < count; i++) {
        loading *l = svi_alloc(acct, sizeof *l);
        *l = (loading){.r = r, .owner = svi_str_dup(acct, owners[i])};
        r->loading++;
        svi_rows_load(r->host->records, l->owner, on_rows, l);
    }
    if (count > 0) {
        svi_str_free(&r->last);
        r->last = svi_str_dup(acct, owners[count - 1]);
    }
    r->loading--;
    go_on(r);
}

static void next_owners(recovery *r)
{
    svi_store_owners(r->host->records, r->last, OWNERS_AT_ONCE, on_owners, r);
}

static void begin(void *ctx)
{
    next_host(ctx);
}

void svi_sessions_recover(svi_server *server, void (*done)(void *ctx, const svi_recovered *recovered), void *ctx)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    recovery *r = svi_alloc(server->acct, sizeof *r);
    *r = (recovery){.server = server, .arena = svi_arena_new(server->acct, 0), .done = done, .ctx = ctx};
    svi_server_defer(server, begin, begin, r);
}
