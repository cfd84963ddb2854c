/* Offline messages (XEP-0160): what finds no session is kept and delivered when one becomes
 * available.
 *
 * A row per message; it goes when the message was handed over to a session, so a crash in between
 * repeats a message and never loses one. Stamped with XEP-0203. */
#include <stave/blocking.h>
#include <stave/stream.h>
#include "offline.h"

#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_DELAY "urn:xmpp:delay"
#define NS_HINTS "urn:xmpp:hints"
/* How much is handed over at a time: the queue of a session is bounded by what it takes in memory,
 * which for the smallest elements is some twenty times their text. */
#define PORTION 64u
#define PORTION_BYTES 16384u
/* How many of an account's messages expire at a time, and how often the next accounts have their turn. */
#define EXPIRED_AT_ONCE 256u
#define ROUND_MS 10000
/* How often it is looked for messages that came back long ago. */
#define FORGET_MS 30000
#define TIME_DIGITS 13
#define KEY_BYTES 29 /* 13 hex digits of time, 8 of a count, 8 at random; behind them the archive's id, if it has one */
#define ID_BYTES 32  /* of an id of the archive */
#define NS_SID "urn:xmpp:sid:0"

/* Places in `metrics`. */
enum { STORED, DELIVERED, EXPIRED, RETURNED, FETCHED };

typedef struct offline {
    sv_mod *mod;
    const sv_stream_api *stream;
    int64_t max_messages, max_bytes, max_age_ms;
    bool hide_unknown;
    sv_store *messages; /* localpart -> time and a random tail -> the stanza with its delay stamp */
    int64_t newest_ms;  /* of all keys given: a clock that is set back changes no order */
    uint32_t count;     /* keeps the order of messages of one millisecond */
    copies *came_back;  /* NULL: none */
} offline;

/* What a session was given and may not have had written yet: rows from `first` to `last`; both
 * empty at first. */
typedef struct given {
    char first[KEY_BYTES], last[KEY_BYTES];
    bool is_on_its_way; /* the newest portion is not written yet */
} given;

/* --- what is kept -------------------------------------------------------------------------- */

/* XEP-0160 3: of the other types none is kept (RFC 6121 8.5.2.2.1 says what becomes of them). */
static bool is_kept_type(sv_str type)
{
    return !sv_str_eq(type, SV_STR("error")) && !sv_str_eq(type, SV_STR("groupchat")) &&
           !sv_str_eq(type, SV_STR("headline"));
}

/* XEP-0160 3: not what holds only a chat state; XEP-0334 4.2: not what the sender marked. */
static bool is_worth_keeping(sv_event *ev)
{
    const sv_node *root = sv->root(ev);
    if (sv->find(root, SV_STR("no-store"), SV_STR(NS_HINTS))) return false;
    bool has_state = false;
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child)) {
        if (sv_str_eq(sv->ns(child), SV_STR(NS_CHATSTATES))) {
            has_state = true;
            continue;
        }
        if (!sv_str_eq(sv->name(child), SV_STR("thread"))) return true;
    }
    return !has_state;
}

static const sv_stanza *stamped(sv_event *ev, const offline *me)
{
    sv_draft *delay = sv->draft(ev, SV_STR("delay"), SV_STR(NS_DELAY));
    sv->set(delay, SV_STR("from"), sv->to(ev)->domain);
    sv->set(delay, SV_STR("stamp"), sv->stamp(ev, me->stream->since_ms(ev)));
    sv->add_text(delay, SV_STR("Offline Storage"));
    return sv->with_child(ev, sv->stanza(ev), delay);
}

/* --- how long it is kept ------------------------------------------------------------------- */

/* When a message was kept, by its key; 0 if that is of another form. */
static int64_t kept_at_ms(sv_str key)
{
    int64_t ms = 0;
    if (key.n < KEY_BYTES) return 0;
    for (size_t i = 0; i < TIME_DIGITS; i++) {
        const char c = key.p[i];
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) return 0;
        ms = ms * 16 + (is_digit ? c - '0' : c - 'a' + 10);
    }
    return ms;
}

static bool is_expired(const offline *me, sv_str key)
{
    const int64_t at_ms = kept_at_ms(key);
    return me->max_age_ms > 0 && at_ms > 0 && sv->now_ms() - at_ms > me->max_age_ms;
}

/* What there is of an account's messages, and what of it is deleted by this event. */
typedef struct expired {
    int64_t count, bytes;
} expired;

/* Deletes the oldest messages that are too old, so many at a time; keys are in order of time. */
static expired expire(sv_event *ev, const offline *me, sv_str owner, const sv_rows *rows)
{
    expired gone = {0, 0};
    sv_str key = SV_STR_NONE, bytes;
    while (gone.count < EXPIRED_AT_ONCE && sv->row_next(rows, &key, &bytes) &&
           is_expired(me, key)) {
        if (sv->del(ev, me->messages, owner, key) != SV_OK) break;
        gone.count++;
        gone.bytes += (int64_t)bytes.n;
    }
    sv->metric_add(me->mod, EXPIRED, gone.count);
    if (gone.count > 0)
        sv->log(me->mod, SV_INFO, "offline-expired", "account",
                sv->format(ev, "%.*s%c", (int)owner.n, owner.p, 0).p, "messages",
                sv->format(ev, "%lld%c", (long long)gone.count, 0).p, NULL);
    return gone;
}

static bool has_room(const offline *me, const sv_rows *rows, expired gone, size_t bytes)
{
    return (int64_t)sv->row_count(rows) - gone.count < me->max_messages &&
           sv->row_bytes(rows) - gone.bytes + (int64_t)bytes <= me->max_bytes;
}

/* The id under which the recipient's archive has the message: only the server can have set it (XEP-0359 5); empty if it has
 * not. */
static sv_str archive_id(sv_event *ev)
{
    const sv_node *root = sv->root(ev);
    for (const sv_node *child = sv->first(root); child; child = sv->next(root, child)) {
        if (!sv->is(child, SV_STR("stanza-id"), SV_STR(NS_SID))) continue;
        if (!sv_str_eq(sv->attr(child, SV_STR("by")), sv->to(ev)->bare)) continue;
        const sv_str id = sv->attr(child, SV_STR("id"));
        return id.n == ID_BYTES ? id : SV_STR_NONE;
    }
    return SV_STR_NONE;
}

static sv_str next_key(sv_event *ev, offline *me)
{
    const sv_str id = archive_id(ev);
    if (sv->now_ms() > me->newest_ms) me->newest_ms = sv->now_ms();
    const sv_str tail = sv->random_hex(ev, 4);
    return sv->format(ev, "%013llx%08x%.*s%.*s", (unsigned long long)me->newest_ms,
                      (unsigned)me->count++, (int)tail.n, tail.p, (int)id.n, id.p);
}

/* True if it is kept; else it was refused. */
static bool keep_one(sv_event *ev, sv_status status, const sv_rows *rows, offline *me)
{
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return false;
    }
    const sv_str bytes = sv->stanza_bytes(ev, stamped(ev, me));
    const expired gone = expire(ev, me, sv->to(ev)->node, rows);
    if (!has_room(me, rows, gone, bytes.n) && archive_id(ev).n > 0) {
        sv->pass(ev); /* the archive has it, and says so */
    } else if (!has_room(me, rows, gone, bytes.n)) { /* XEP-0160 2, step 3 */
        sv->metric_add(me->mod, RETURNED, 1);
        (void)sv->refuse_text(ev, SV_SERVICE_UNAVAILABLE,
                              SV_STR("The recipient's offline queue is full"));
    } else if (sv->put(ev, me->messages, sv->to(ev)->node, next_key(ev, me), bytes) == SV_OK) {
        sv->metric_add(me->mod, STORED, 1);
        (void)sv->stored(ev);
        return true;
    } else {
        (void)sv->refuse(ev, SV_NOT_ACCEPTABLE);
    }
    return false;
}

static void keep(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)keep_one(ev, status, rows, self);
}

static sv_verdict on_message(sv_event *ev, void *self)
{
    const offline *me = self;
    if (!is_kept_type(sv->type(ev)) || sv->is_guest(ev, sv->to(ev))) return SV_PASS;
    if (!is_worth_keeping(ev)) return sv->drop(ev, "offline-not-kept");
    sv->rows_load(ev, me->messages, sv->to(ev)->node, keep);
    return SV_LATER;
}

/* To an account that does not exist: in silence what would be kept if it did, so that nobody learns
 * from it which accounts there are (RFC 6121 8.5.1, RFC 6120 13.11). The rest is returned or dropped by
 * the server, as the message module does. */
static sv_verdict on_nobody(sv_event *ev, void *self)
{
    const offline *me = self;
    const bool is_to_session = sv->to(ev)->resource.n > 0;
    if (!me->hide_unknown || !is_kept_type(sv->type(ev)) || sv->is_guest(ev, sv->to(ev)))
        return SV_PASS;
    if (is_to_session && !sv_str_eq(sv->type(ev), SV_STR("chat"))) return SV_PASS; /* 8.5.3.2.1 */
    return sv->drop(ev, "message-to-nobody");
}

/* --- what comes back from sessions --------------------------------------------------------- */

static void keep_back(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    offline *me = self;
    if (copies_has(me->came_back, ev))
        (void)sv->drop(ev, "unsent-but-kept");
    else if (keep_one(ev, status, rows, me))
        copies_note(&me->came_back, me->mod, ev, sv->stanza_bytes(ev, sv->stanza(ev)).n);
}

/* What was on its way to a session whose connection broke, with the time when it was sent there (XEP-0198 4). */
static sv_verdict on_unsent(sv_event *ev, void *self)
{
    const offline *me = self;
    if (!sv->is(sv->root(ev), SV_STR("message"), SV_STR("jabber:client")) || !is_worth_keeping(ev) ||
        !is_kept_type(sv->type(ev)) || sv->is_guest(ev, sv->to(ev)))
        return SV_PASS;
    sv->rows_load(ev, me->messages, sv->to(ev)->node, keep_back);
    return SV_LATER;
}

static void forget_old(void *self)
{
    offline *me = self;
    copies_forget(&me->came_back, me->mod, false);
}

/* --- handing over -------------------------------------------------------------------------- */

static given *given_to(const offline *me, sv_session *session)
{
    return sv->session_data(me->mod, session, sizeof(given));
}

static bool is_among(const given *g, sv_str key)
{
    return g->first[0] && key.n >= KEY_BYTES && memcmp(g->first, key.p, KEY_BYTES) <= 0 &&
           memcmp(key.p, g->last, KEY_BYTES) <= 0;
}

/* True if a session of the account was given the row and may still be sent it. */
static bool is_in_hand(sv_event *ev, const offline *me, sv_str key)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session)))
        if (is_among(given_to(me, session), key)) return true;
    return false;
}

static void note_given(given *g, sv_str key)
{
    if (key.n < KEY_BYTES) return;
    if (!g->first[0]) memcpy(g->first, key.p, KEY_BYTES);
    memcpy(g->last, key.p, KEY_BYTES);
}

/* Rows go when they were written: a session that has none left begins anew. */
static void forget_written(given *g, const sv_rows *rows)
{
    sv_str key = SV_STR_NONE, value;
    while (sv->row_next(rows, &key, &value))
        if (is_among(g, key)) return;
    *g = (given){.first = ""};
}

/* The session with the highest priority that takes messages. */
static sv_session *receiver(sv_event *ev)
{
    sv_session *best = NULL, *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session))) {
        if (!sv->session_presence(session) || sv->session_priority(session) < 0) continue;
        if (!best || sv->session_priority(session) > sv->session_priority(best)) best = session;
    }
    return best;
}

/* Who sent it is blocked by now: it came before the block, and goes unseen (XEP-0191 3.3). */
static bool is_blocked(sv_event *ev, const sv_session *session, const sv_stanza *stanza)
{
    sv_jid from;
    const sv_str sender = sv->attr(sv->stanza_root(stanza), SV_STR("from"));
    return sender.n > 0 && sv->jid_parse(ev, sender, &from) &&
           sv_blocking_session_has(session, &from);
}

static void hand_over(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    offline *me = self;
    sv_session *session = status == SV_OK ? receiver(ev) : NULL;
    if (session && sv->row_count(rows) > 0 && !given_to(me, session)->is_on_its_way) {
        given *g = given_to(me, session);
        forget_written(g, rows);
        size_t count = 0, sum = 0;
        sv_str key = SV_STR_NONE, bytes;
        (void)expire(ev, me, sv->from(ev)->node, rows);
        while (count < PORTION && sum < PORTION_BYTES && sv->row_next(rows, &key, &bytes)) {
            const sv_stanza *stanza;
            if (is_expired(me, key) || is_in_hand(ev, me, key) ||
                sv->stanza_parse(ev, bytes, &stanza) != SV_OK)
                continue;
            if (is_blocked(ev, session, stanza)) {
                (void)sv->del(ev, me->messages, sv->from(ev)->node, key);
                continue;
            }
            sv->push_stored(ev, session, stanza, me->messages, sv->from(ev)->node, key);
            note_given(g, key);
            count++;
            sum += bytes.n;
        }
        g->is_on_its_way = count > 0;
        sv->metric_add(me->mod, DELIVERED, (int64_t)count);
    }
    sv->pass(ev);
}

/* An account has a session that may take what was kept: the newly available one, or another when
 * one has gone. */
static sv_verdict on_session(sv_event *ev, void *self)
{
    const offline *me = self;
    sv_session *session = receiver(ev);
    if (!session || given_to(me, session)->is_on_its_way) return SV_PASS;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, hand_over);
    return SV_LATER;
}

/* In an event of its own: what the end of the session tells others must not wait for rows, since a new session with
 * the same address may be told of meanwhile. */
static sv_verdict on_gone(sv_event *ev, void *self)
{
    (void)self;
    if (receiver(ev)) sv->fire_after(ev, "offline/turn", sv->from(ev), SV_STR_NONE);
    return SV_PASS;
}

/* The session has room for the next portion. */
static sv_verdict on_written(sv_event *ev, void *self)
{
    if (sv->session(ev)) given_to(self, sv->session(ev))->is_on_its_way = false;
    return on_session(ev, self);
}

/* --- what a session has from the archive ---------------------------------------------------- */

/* `ids` are of one length, each with a blank behind it. */
static bool has_id(sv_str ids, sv_str id)
{
    for (size_t at = 0; at + id.n <= ids.n; at += id.n + 1)
        if (memcmp(ids.p + at, id.p, id.n) == 0) return true;
    return false;
}

/* XEP-0313 6.1.1: what a session has been sent out of the archive, it does not get again. */
static void forget_read(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const offline *me = self;
    const sv_str ids = sv->subject(ev);
    sv_str key = SV_STR_NONE, value;
    int64_t count = 0;
    while (status == SV_OK && sv->row_next(rows, &key, &value)) {
        if (key.n != KEY_BYTES + ID_BYTES || !has_id(ids, (sv_str){key.p + KEY_BYTES, ID_BYTES})) continue;
        if (sv->del(ev, me->messages, sv->from(ev)->node, key) != SV_OK) break;
        count++;
    }
    sv->metric_add(me->mod, FETCHED, count);
    sv->pass(ev);
}

static sv_verdict on_read(sv_event *ev, void *self)
{
    const offline *me = self;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, forget_read);
    return SV_LATER;
}

/* --- what nobody comes for ------------------------------------------------------------------ */

static void expire_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    if (status == SV_OK) (void)expire(ev, self, sv->from(ev)->node, rows);
    sv->pass(ev);
}

static sv_verdict on_sweep(sv_event *ev, void *self)
{
    const offline *me = self;
    if (me->max_age_ms == 0 || !sv_str_eq(sv->subject(ev), SV_STR("offline/messages")))
        return SV_PASS;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, expire_rows);
    return SV_LATER;
}

/* --- what an operator sees ----------------------------------------------------------------- */

static void show_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the messages can't be read");
        return;
    }
    sv_str key = SV_STR_NONE, bytes, last = SV_STR_NONE;
    (void)sv->record(ev);
    sv->field(ev, "address", sv->from(ev)->bare);
    sv->field_int(ev, "messages", (int64_t)sv->row_count(rows));
    sv->field_int(ev, "bytes", sv->row_bytes(rows));
    for (bool is_first = true; sv->row_next(rows, &key, &bytes); is_first = false) {
        if (is_first) sv->field_int(ev, "oldest", kept_at_ms(key));
        last = key;
    }
    if (last.p) sv->field_int(ev, "newest", kept_at_ms(last));
    (void)sv->answer(ev);
}

static sv_verdict on_show(sv_event *ev, void *self)
{
    const offline *me = self;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, show_rows);
    return SV_LATER;
}

static void purge_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const offline *me = self;
    if (status == SV_OK && sv->row_count(rows) > 0)
        status = sv->del_owner(ev, me->messages, sv->from(ev)->node);
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the messages can't be deleted");
        return;
    }
    (void)sv->record(ev);
    sv->field(ev, "address", sv->from(ev)->bare);
    sv->field_int(ev, "deleted", (int64_t)sv->row_count(rows));
    (void)sv->answer(ev);
}

static sv_verdict on_purge(sv_event *ev, void *self)
{
    const offline *me = self;
    sv->rows_load(ev, me->messages, sv->from(ev)->node, purge_rows);
    return SV_LATER;
}

static const sv_arg account_args[] = {
    {.name = "address",
     .kind = SV_ARG_ACCOUNT,
     .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS,
     .manual = "whose messages"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},  {.name = "messages", .kind = SV_COLUMN_INT},
    {.name = "bytes", .kind = SV_COLUMN_BYTES},   {.name = "oldest", .kind = SV_COLUMN_TIME},
    {.name = "newest", .kind = SV_COLUMN_TIME},   {0},
};

static const sv_column purge_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "deleted", .kind = SV_COLUMN_INT},
    {0},
};

static const sv_command commands[] = {
    {.name = "offline show",
     .summary = "how many messages wait for an account",
     .examples = "offline show romeo@example.org",
     .args = account_args,
     .columns = show_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE,
     .run = on_show},
    {.name = "offline purge",
     .summary = "delete the messages that wait for an account",
     .manual = "Their senders are not told.",
     .examples = "offline purge romeo@example.org",
     .args = account_args,
     .columns = purge_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE | SV_COMMAND_CHANGES,
     .run = on_purge},
    {0},
};

/* --- life ---------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    offline *me = self;
    me->mod = mod;
    me->stream = sv->query("stream", SV_STREAM_VERSION);
    if (!me->stream) return SV_EVERSION;
    sv_status status = sv->store_open(mod, NULL, "messages", 1, &me->messages);
    if (status == SV_OK) status = sv->every(mod, FORGET_MS, forget_old);
    if (status != SV_OK || me->max_age_ms == 0) return status;
    return sv->sweep(mod, me->messages, ROUND_MS);
}

static void stop(void *self)
{
    offline *me = self;
    copies_forget(&me->came_back, me->mod, true);
}

static const sv_hook hooks[] = {
    {.on = "message/account",
     .call = on_message,
     .band = SV_LATE,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "message/self",
     .call = on_message,
     .band = SV_LATE,
     .flags = SV_HOOK_STORES | SV_HOOK_GUARD},
    {.on = "message/nobody", .call = on_nobody, .band = SV_LATE},
    {.on = "archive/read", .call = on_read},
    {.on = "session/unsent", .call = on_unsent, .band = SV_LATE, .flags = SV_HOOK_GUARD},
    {.on = "session/presence", .call = on_session},
    {.on = "session/gone", .call = on_gone},
    {.on = "offline/turn", .call = on_session},
    {.on = "session/written", .call = on_written},
    {.on = "store/sweep", .call = on_sweep},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(offline, max_messages, "offline_max_messages", "1000", "0", "1000000",
               "How many messages are kept for an account that is not on line; further ones are "
               "returned to their senders."),
    SV_OPT_SIZE(offline, max_bytes, "offline_max_bytes", "4M", "64k", "1G",
                "How many bytes they may be together."),
    SV_OPT_PERIOD(offline, max_age_ms, "offline_max_age", "0s", "0s", "3650d",
                  "How long a message is kept; what is older is deleted unread, within minutes to "
                  "hours. 0s keeps it for ever."),
    SV_OPT_BOOL(offline, hide_unknown, "offline_hide_unknown", "true",
                "Whether a message to an account that does not exist is taken in silence, as one to "
                "an account that is not on line is; else it is returned, and tells that there is no "
                "such account."),
    {0},
};

static const sv_metric metrics[] = {
    [STORED] = {"offline_stored", SV_METRIC_COUNTER, "Messages that were kept for accounts not on line."},
    [DELIVERED] = {"offline_delivered", SV_METRIC_COUNTER,
                   "Kept messages that were handed to a session; one that breaks off gets them again."},
    [EXPIRED] = {"offline_expired", SV_METRIC_COUNTER, "Kept messages that were deleted unread, by age."},
    [RETURNED] = {"offline_returned", SV_METRIC_COUNTER,
                  "Messages that went back to their senders since the account's queue was full."},
    [FETCHED] = {"offline_fetched", SV_METRIC_COUNTER,
                 "Kept messages that were deleted since a session was sent them out of the archive."},
    {0},
};

SV_MODULE(.name = "offline", .summary = "Offline messages (XEP-0160)", .features = "msgoffline",
          .self_size = sizeof(offline), .hooks = hooks, .options = options, .start = start, .stop = stop,
          .commands = commands, .metrics = metrics,
          .after = "message")
