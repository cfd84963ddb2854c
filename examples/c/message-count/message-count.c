/* Counts the messages of each account, for figures of the server and for whom an operator asks about.
 *
 * Shows: metrics (`stave metrics`), commands with arguments and a table as answer, rows in the store that go with their
 * account, and writing behind: a message costs an addition in memory, a timer stores the sums. So what was counted
 * since the timer's last turn is lost when the server ends; a reload loses nothing, since a table outlives it. */
#include <stave/module.h>

#define ACCOUNTS_AT_ONCE 256u
/* The subject of the timer's events, and the account's localpart behind it. */
#define TIMER "message-count "

enum { TIMER_BYTES = sizeof TIMER - 1, SUBJECT_BYTES = TIMER_BYTES + 1023 };

/* Places in `metrics`. */
enum { SENT, RECEIVED, UNCOUNTED, UNSAVED };

/* What an account has sent and received; the record of the table. */
typedef struct counts {
    int64_t sent, received;
} counts;

typedef struct message_count {
    sv_mod *mod;
    int64_t save_ms, max_unsaved; /* options */
    sv_store *stored;             /* localpart -> "sent", "received" -> a number in digits */
    sv_table *unsaved;            /* localpart -> counts that are not among those yet */
} message_count;

/* --- counting ------------------------------------------------------------------------------ */

static void tell_unsaved(const message_count *me)
{
    sv->metric_set(me->mod, UNSAVED, (int64_t)sv->table_count(me->unsaved));
}

/* The counts to add to; NULL if the table is full: many accounts at once must not fill the memory. */
static counts *unsaved_of(const message_count *me, sv_str user)
{
    counts *c = sv->table_put(me->unsaved, user);
    if (!c) sv->metric_add(me->mod, UNCOUNTED, 1);
    tell_unsaved(me);
    return c;
}

static void count_sent(const message_count *me, sv_str user)
{
    counts *c = unsaved_of(me, user);
    if (c) c->sent++;
    sv->metric_add(me->mod, SENT, 1);
}

static void count_received(const message_count *me, sv_str user)
{
    counts *c = unsaved_of(me, user);
    if (c) c->received++;
    sv->metric_add(me->mod, RECEIVED, 1);
}

/* Errors are answers of servers, not what somebody wrote. Nothing is kept of guests. */
static bool counts_for(sv_event *ev, const sv_jid *jid)
{
    return !sv_str_eq(sv->type(ev), SV_STR("error")) && !sv->is_guest(ev, jid);
}

static sv_verdict on_sent(sv_event *ev, void *self)
{
    if (sv->session(ev) && counts_for(ev, sv->from(ev))) count_sent(self, sv->from(ev)->node);
    return SV_PASS;
}

static sv_verdict on_received(sv_event *ev, void *self)
{
    if (counts_for(ev, sv->to(ev))) count_received(self, sv->to(ev)->node);
    return SV_PASS;
}

/* To oneself: it is sent, and it is received. */
static sv_verdict on_self(sv_event *ev, void *self)
{
    (void)on_sent(ev, self);
    return on_received(ev, self);
}

/* --- storing ------------------------------------------------------------------------------- */

static int64_t number_of(sv_str digits)
{
    int64_t number = 0;
    for (size_t i = 0; i < digits.n; i++) number = number * 10 + (digits.p[i] - '0');
    return number;
}

static int64_t stored(const sv_rows *rows, sv_str key)
{
    sv_str value;
    return sv->row(rows, key, &value) ? number_of(value) : 0;
}

/* Whose turn it is by the timer; empty if the event is another module's. */
static sv_str user_of(const sv_event *ev)
{
    const sv_str subject = sv->subject(ev);
    if (subject.n <= TIMER_BYTES || memcmp(subject.p, TIMER, TIMER_BYTES) != 0) return SV_STR_NONE;
    return (sv_str){subject.p + TIMER_BYTES, subject.n - TIMER_BYTES};
}

/* What is stored and what is not yet. */
static counts sum_of(const message_count *me, const sv_rows *rows, sv_str user)
{
    const counts *new = sv->table_get(me->unsaved, user);
    return (counts){.sent = stored(rows, SV_STR("sent")) + (new ? new->sent : 0),
                    .received = stored(rows, SV_STR("received")) + (new ? new->received : 0)};
}

static sv_status put(sv_event *ev, const message_count *me, sv_str user, sv_str key, int64_t number)
{
    return sv->put(ev, me->stored, user, key, sv->format(ev, "%lld", (long long)number));
}

/* One account's counts, in an event of its own. Both rows are durable together or not at all; should the disk fail, the
 * server ends, and the table with it. */
static void save_sums(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const message_count *me = self;
    const sv_str user = user_of(ev);
    if (status == SV_OK && sv->table_get(me->unsaved, user)) { /* it may have been reset meanwhile */
        const counts sum = sum_of(me, rows, user);
        (void)put(ev, me, user, SV_STR("sent"), sum.sent); /* refused for an account that is being deleted */
        (void)put(ev, me, user, SV_STR("received"), sum.received);
        (void)sv->table_del(me->unsaved, user);
        tell_unsaved(me);
    }
    sv->pass(ev); /* what could not be read has its turn again */
}

/* A timer has no event, so it begins some; each loads the rows and comes back with them. */
static sv_verdict on_timer(sv_event *ev, void *self)
{
    const message_count *me = self;
    if (user_of(ev).n == 0) return SV_PASS; /* of another module */
    sv->rows_load(ev, me->stored, user_of(ev), save_sums);
    return SV_LATER;
}

static void on_period(void *self)
{
    const message_count *me = self;
    char subject[SUBJECT_BYTES] = TIMER;
    sv_str user;
    size_t pos = 0;
    for (unsigned i = 0; i < ACCOUNTS_AT_ONCE && sv->table_next(me->unsaved, &pos, &user); i++) {
        if (user.n > SUBJECT_BYTES - TIMER_BYTES) continue; /* no localpart is so long */
        memcpy(subject + TIMER_BYTES, user.p, user.n);
        sv->begin(me->mod, "host/timer", (sv_str){subject, TIMER_BYTES + user.n});
    }
}

/* What was stored goes with the account; this is what was not. */
static sv_verdict on_removed(sv_event *ev, void *self)
{
    const message_count *me = self;
    (void)sv->table_del(me->unsaved, sv->from(ev)->node);
    tell_unsaved(me);
    return SV_PASS;
}

/* --- commands ------------------------------------------------------------------------------ */

static void show_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const message_count *me = self;
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the counts can't be read; try again");
        return;
    }
    const counts sum = sum_of(me, rows, sv->from(ev)->node);
    (void)sv->record(ev);
    sv->field(ev, "address", sv->from(ev)->bare);
    sv->field_int(ev, "sent", sum.sent);
    sv->field_int(ev, "received", sum.received);
    (void)sv->answer(ev);
}

/* The event of a command is from the account that it names. */
static sv_verdict on_show(sv_event *ev, void *self)
{
    const message_count *me = self;
    sv->rows_load(ev, me->stored, sv->from(ev)->node, show_rows);
    return SV_LATER;
}

static sv_verdict on_reset(sv_event *ev, void *self)
{
    const message_count *me = self;
    if (sv->del_owner(ev, me->stored, sv->from(ev)->node) != SV_OK)
        return sv->fail(ev, SV_FAULT_FAILED, "the counts can't be deleted");
    (void)sv->table_del(me->unsaved, sv->from(ev)->node);
    tell_unsaved(me);
    return sv->answer(ev); /* when the deletion is durable */
}

static const sv_arg account_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS, .manual = "whose messages"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "sent", .kind = SV_COLUMN_INT},
    {.name = "received", .kind = SV_COLUMN_INT},
    {0},
};

static const sv_command commands[] = {
    {.name = "message-count show",
     .summary = "how many messages an account has sent and received",
     .examples = "message-count show romeo@example.org",
     .args = account_args,
     .columns = show_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_ONE,
     .run = on_show},
    {.name = "message-count reset",
     .summary = "count an account's messages from 0 again",
     .manual = "The metrics of the host go on.",
     .examples = "message-count reset romeo@example.org",
     .args = account_args,
     .who = SV_WHO_ADMIN,
     .flags = SV_COMMAND_CHANGES,
     .run = on_reset},
    {0},
};

/* --- life ---------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    message_count *me = self;
    me->mod = mod;
    const sv_table_desc desc = {.size = sizeof desc,
                                .name = "unsaved",
                                .version = 1,
                                .record_bytes = sizeof(counts),
                                .max_records = (size_t)me->max_unsaved};
    me->unsaved = sv->table(mod, &desc);
    if (!me->unsaved) return SV_EINVAL;
    const sv_status status = sv->store_open(mod, NULL, "counts", 1, &me->stored);
    return status == SV_OK ? sv->every(mod, me->save_ms, on_period) : status;
}

/* Only what has a body: chat states and receipts are no messages to whoever counts. MONITOR handlers look, and come last. */
static const sv_hook hooks[] = {
    {.on = "message/out {jabber:client}body", .call = on_sent, .band = SV_MONITOR},
    {.on = "message/self {jabber:client}body", .call = on_self, .band = SV_MONITOR},
    {.on = "message/account {jabber:client}body", .call = on_received, .band = SV_MONITOR},
    {.on = "message/resource {jabber:client}body", .call = on_received, .band = SV_MONITOR},
    {.on = "account/removed", .call = on_removed},
    {.on = "host/timer", .call = on_timer},
    {0},
};

static const sv_option options[] = {
    SV_OPT_PERIOD(message_count, save_ms, "message_count_save", "10s", "1s", "1h",
                  "How often the counts are stored; what was counted since is lost when the server ends."),
    SV_OPT_INT(message_count, max_unsaved, "message_count_accounts", "100000", "1", "1000000",
               "How many accounts may have counts that are not stored yet; messages of others are not counted for their "
               "accounts."),
    {0},
};

static const sv_metric metrics[] = {
    [SENT] = {"message_count_sent", SV_METRIC_COUNTER, "Messages with a body that the host's accounts have sent."},
    [RECEIVED] = {"message_count_received", SV_METRIC_COUNTER, "Messages with a body that were for the host's accounts."},
    [UNCOUNTED] = {"message_count_uncounted", SV_METRIC_COUNTER,
                   "Messages that were not counted for their account, since too many accounts had counts to store."},
    [UNSAVED] = {"message_count_unsaved", SV_METRIC_GAUGE, "Accounts that have counts to store."},
    {0},
};

SV_MODULE(.name = "message-count", .summary = "Counts the messages of each account", .self_size = sizeof(message_count),
          .hooks = hooks, .options = options, .commands = commands, .metrics = metrics, .start = start)
