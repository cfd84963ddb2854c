/* Counts how often each account was here since the server was started, and how long it stayed at most.
 *
 * Shows how a module's state goes over to its next generation, which `stave reload` puts in place of this one. There are
 * three ways, by what the state belongs to:
 *   - a few values of the module: `save` writes them down, the next `start` reads them (save_int, save_bytes);
 *   - records by a key, as many as there are accounts: a table, which the server keeps for both;
 *   - what is known of one session: session_data, which lives as long as the session.
 * `self` is new each time, with the options as they are in the configuration now. What must outlive the server, too,
 * belongs into a store, as `message-count` has it. */
#include <stave/module.h>

#define ADDRESS_BYTES 2048u

/* What is known of an account: the record of the table. A next generation may be of newer code, so what these bytes
 * mean changes with the table's version only, and there is no pointer among them. */
typedef struct account {
    int64_t count;
    int64_t longest_ms; /* version 1 did not have it */
} account;

/* On a session. Another size would be another memory, zeroed: that is its version. */
typedef struct stay {
    int64_t since_ms;
} stay;

typedef struct visits {
    sv_mod *mod;
    int64_t max_accounts; /* option */
    sv_table *accounts;   /* bare address -> account */
    int64_t count, since_ms;
    size_t last_bytes;
    char last[ADDRESS_BYTES]; /* the newest visitor */
    bool is_full_told;
} visits;

/* --- counting ------------------------------------------------------------------------------ */

static account *account_of(visits *me, sv_str address)
{
    account *a = sv->table_put(me->accounts, address);
    if (!a && !me->is_full_told) sv->log(me->mod, SV_WARN, "visits-full", "see", "visits_accounts", NULL);
    me->is_full_told = me->is_full_told || !a;
    return a;
}

static stay *stay_of(const visits *me, sv_session *session)
{
    return sv->session_data(me->mod, session, sizeof(stay));
}

static void note_last(visits *me, sv_str address)
{
    if (address.n > sizeof me->last) return; /* an address is at most 2047 bytes without its resource */
    memcpy(me->last, address.p, address.n);
    me->last_bytes = address.n;
}

/* A module that was not enabled before hears this of all sessions that are here already; a next generation does
 * not, since it has what this one left. */
static sv_verdict on_bound(sv_event *ev, void *self)
{
    visits *me = self;
    if (!sv->session(ev)) return SV_PASS; /* gone while others waited */
    stay_of(me, sv->session(ev))->since_ms = sv->now_ms();
    note_last(me, sv->from(ev)->bare);
    me->count++;
    account *a = account_of(me, sv->from(ev)->bare);
    if (a) a->count++;
    return SV_PASS;
}

static sv_verdict on_gone(sv_event *ev, void *self)
{
    visits *me = self;
    if (!sv->session(ev)) return SV_PASS;
    const int64_t since_ms = stay_of(me, sv->session(ev))->since_ms;
    if (since_ms == 0) return SV_PASS; /* it came when code ran that did not note this */
    if (!sv->table_get(me->accounts, sv->from(ev)->bare)) return SV_PASS; /* there was no room for it */
    account *a = account_of(me, sv->from(ev)->bare);
    if (a && sv->now_ms() - since_ms > a->longest_ms) a->longest_ms = sv->now_ms() - since_ms;
    return SV_PASS;
}

static sv_verdict on_removed(sv_event *ev, void *self)
{
    const visits *me = self;
    (void)sv->table_del(me->accounts, sv->from(ev)->bare);
    return SV_PASS;
}

/* --- commands ------------------------------------------------------------------------------ */

static sv_verdict on_show(sv_event *ev, void *self)
{
    const visits *me = self;
    const account *a = sv->table_get(me->accounts, sv->from(ev)->bare);
    if (!a) return sv->fail(ev, SV_FAULT_NOT_FOUND, "it was not here since the server was started");
    (void)sv->record(ev);
    sv->field_int(ev, "visits", a->count);
    sv->field_int(ev, "longest", a->longest_ms);
    return sv->answer(ev);
}

static sv_verdict on_total(sv_event *ev, void *self)
{
    const visits *me = self;
    (void)sv->record(ev);
    sv->field_int(ev, "visits", me->count);
    sv->field_int(ev, "accounts", (int64_t)sv->table_count(me->accounts));
    sv->field(ev, "last", (sv_str){me->last, me->last_bytes});
    sv->field_int(ev, "since", me->since_ms);
    return sv->answer(ev);
}

static const sv_arg show_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose visits"},
    {0},
};

static const sv_arg total_args[] = {
    {.name = "host", .kind = SV_ARG_HOST, .flags = SV_ARG_OPTION, .manual = "whose accounts"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "visits", .kind = SV_COLUMN_INT},
    {.name = "longest", .kind = SV_COLUMN_PERIOD},
    {0},
};

static const sv_column total_columns[] = {
    {.name = "visits", .kind = SV_COLUMN_INT},
    {.name = "accounts", .kind = SV_COLUMN_INT},
    {.name = "last", .kind = SV_COLUMN_TEXT},
    {.name = "since", .kind = SV_COLUMN_TIME},
    {0},
};

static const sv_command commands[] = {
    {.name = "visits show",
     .summary = "how often an account was here",
     .examples = "visits show romeo@example.org",
     .args = show_args,
     .columns = show_columns,
     .flags = SV_COMMAND_ONE,
     .run = on_show},
    {.name = "visits total",
     .summary = "how often accounts of a host were here",
     .examples = "visits total --host example.org",
     .args = total_args,
     .columns = total_columns,
     .flags = SV_COMMAND_ONE,
     .run = on_total},
    {0},
};

/* --- from one generation to the next ------------------------------------------------------- */

/* Before the next one starts. Should it refuse to, this one goes on, so nothing is given away here. */
static void save(sv_blob *out, void *self)
{
    const visits *me = self;
    (void)sv->save_int(out, "count", 1, me->count);
    (void)sv->save_int(out, "since", 1, me->since_ms);
    (void)sv->save_bytes(out, "last", 1, (sv_str){me->last, me->last_bytes});
}

/* What the one before has saved; without one nothing is found, and all begins. The number that is told with each value
 * is what was given to save_: who changes what a value means, raises it there and knows both here. */
static void inherit(visits *me)
{
    uint32_t version;
    sv_str last;
    if (!sv->saved_int(me->mod, "count", &version, &me->count)) me->count = 0;
    if (!sv->saved_int(me->mod, "since", &version, &me->since_ms)) me->since_ms = sv->now_ms();
    if (sv->saved_bytes(me->mod, "last", &version, &last)) note_last(me, last);
}

/* Records of code before this one: asked for each, once. What is not filled in is zero; false would refuse the
 * reload, and the old code would go on with its table as it was. */
static bool convert(sv_str key, const void *old, uint32_t old_version, size_t old_bytes, void *record_out)
{
    (void)key;
    account *a = record_out;
    if (old_version != 1 || old_bytes != sizeof a->count) return false;
    memcpy(&a->count, old, sizeof a->count);
    return true;
}

static sv_status start(sv_mod *mod, void *self)
{
    visits *me = self;
    me->mod = mod;
    const sv_table_desc desc = {.size = sizeof desc,
                                .name = "accounts",
                                .version = 2,
                                .record_bytes = sizeof(account),
                                .max_records = (size_t)me->max_accounts,
                                .convert = convert};
    me->accounts = sv->table(mod, &desc);
    if (!me->accounts) return SV_EVERSION; /* the log says why */
    inherit(me);
    return SV_OK;
}

static const sv_hook hooks[] = {
    {.on = "session/bound", .call = on_bound},
    {.on = "session/gone", .call = on_gone},
    {.on = "account/removed", .call = on_removed},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(visits, max_accounts, "visits_accounts", "100000", "1", "10000000",
               "How many accounts are known at most; of further ones only the total is counted."),
    {0},
};

SV_MODULE(.name = "visits", .summary = "Counts how often accounts were here", .self_size = sizeof(visits), .hooks = hooks,
          .options = options, .commands = commands, .start = start, .save = save)
