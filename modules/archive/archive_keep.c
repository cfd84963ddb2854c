/* How long archives are kept, and what an operator does. */
#include "archive.h"

#define SWEPT_AT_ONCE 512u

/* --- what grows old ------------------------------------------------------------------------- */

static void swept(sv_event *ev, sv_status status, int64_t entries, int64_t bytes, bool more, void *self)
{
    const archive *me = self;
    (void)status, (void)bytes, (void)more; /* what is left has its turn in the next round */
    sv->metric_add(me->mod, PURGED, entries);
    if (entries > 0)
        sv->log(me->mod, SV_INFO, "archive-purged", "account", sv->format(ev, "%.*s%c", (int)sv->from(ev)->node.n, sv->from(ev)->node.p, 0).p,
                "messages", sv->format(ev, "%lld%c", (long long)entries, 0).p, NULL);
    sv->pass(ev);
}

sv_verdict archive_on_sweep(sv_event *ev, void *self)
{
    archive *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR("archive/messages"))) return SV_PASS;
    const sv_archive_bounds bounds = {.size = sizeof bounds,
                                      .before_ms = me->max_age_ms > 0 ? sv->now_ms() - me->max_age_ms : INT64_MIN,
                                      .max_count = me->max_messages > 0 ? me->max_messages : -1,
                                      .max_bytes = me->max_bytes > 0 ? me->max_bytes : -1,
                                      .portion = SWEPT_AT_ONCE};
    me->api->purge(ev, me->messages, sv->from(ev)->node, &bounds, swept);
    return SV_LATER;
}

/* --- commands ------------------------------------------------------------------------------- */

static void show(sv_event *ev, sv_status status, const sv_archive_figures *f, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the archive can't be read");
        return;
    }
    (void)sv->record(ev);
    sv->field(ev, "address", sv->from(ev)->bare);
    sv->field_int(ev, "messages", f->entries);
    sv->field_int(ev, "bytes", f->bytes);
    if (f->entries > 0) {
        sv->field_int(ev, "oldest", f->first_ms);
        sv->field_int(ev, "newest", f->last_ms);
    }
    (void)sv->answer(ev);
}

static sv_verdict on_show(sv_event *ev, void *self)
{
    archive *me = self;
    me->api->measure(ev, me->messages, sv->from(ev)->node, true, show);
    return SV_LATER;
}

static void purged(sv_event *ev, sv_status status, int64_t entries, int64_t bytes, bool more, void *self)
{
    const archive *me = self;
    (void)more;
    sv->metric_add(me->mod, PURGED, entries);
    if (status != SV_OK) {
        (void)sv->fail(ev, SV_FAULT_FAILED, "the messages can't be deleted, or not all: %lld are", (long long)entries);
        return;
    }
    (void)sv->record(ev);
    sv->field(ev, "address", sv->from(ev)->bare);
    sv->field_int(ev, "deleted", entries);
    sv->field_int(ev, "bytes", bytes);
    (void)sv->answer(ev);
}

static sv_verdict on_purge(sv_event *ev, void *self)
{
    archive *me = self;
    const sv_str age = sv->arg_text(ev, "older-than");
    const sv_archive_bounds bounds = {.size = sizeof bounds,
                                      .all = age.p == NULL,
                                      .before_ms = sv->now_ms() - sv->arg_int(ev, "older-than"),
                                      .max_count = -1,
                                      .max_bytes = -1};
    me->api->purge(ev, me->messages, sv->from(ev)->node, &bounds, purged);
    return SV_LATER;
}

static const sv_arg show_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS, .manual = "whose messages"},
    {0},
};

static const sv_arg purge_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS, .manual = "whose messages"},
    {.name = "older-than", .kind = SV_ARG_PERIOD, .flags = SV_ARG_OPTION, .min = "0s", .max = "36500d", .manual = "only what is older than that"},
    {0},
};

static const sv_column show_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT}, {.name = "messages", .kind = SV_COLUMN_INT},
    {.name = "bytes", .kind = SV_COLUMN_BYTES},  {.name = "oldest", .kind = SV_COLUMN_TIME},
    {.name = "newest", .kind = SV_COLUMN_TIME},  {0},
};

static const sv_column purge_columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "deleted", .kind = SV_COLUMN_INT},
    {.name = "bytes", .kind = SV_COLUMN_BYTES},
    {0},
};

const sv_command archive_commands[] = {
    {.name = "archive show",
     .summary = "how many messages an account's archive has",
     .examples = "archive show romeo@example.org",
     .args = show_args,
     .columns = show_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE,
     .run = on_show},
    {.name = "archive purge",
     .summary = "delete the messages of an account's archive",
     .manual = "What others have of the same messages in their archives stays.",
     .examples = "archive purge romeo@example.org\narchive purge romeo@example.org --older-than 365d",
     .args = purge_args,
     .columns = purge_columns,
     .who = SV_WHO_ADMIN | SV_WHO_OWNER,
     .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE | SV_COMMAND_CHANGES,
     .run = on_purge},
    {0},
};
