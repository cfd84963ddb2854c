/* Counts: a timer, and a command with arguments and columns. */
#include <stave/module.h>

typedef struct count {
    int64_t period_ms;
    int64_t ticks;
} count;

static void tick(void *self)
{
    ((count *)self)->ticks++;
}

static sv_verdict run(sv_event *ev, void *self)
{
    const count *me = self;
    if (sv->arg_int(ev, "times") == 13) return sv->fail(ev, SV_FAULT_REFUSED, "not %d times", 13);
    (void)sv->record(ev);
    sv->field(ev, "address", sv->arg_jid(ev, "address")->bare);
    sv->field(ev, "word", sv->arg_text(ev, "word"));
    sv->field_int(ev, "ticks", me->ticks * sv->arg_int(ev, "times"));
    return sv->answer(ev);
}

static sv_status start(sv_mod *mod, void *self)
{
    return sv->every(mod, ((count *)self)->period_ms, tick);
}

static const sv_arg args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"},
    {.name = "times", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION, .preset = "1", .min = "1", .max = "99", .manual = "how often"},
    {.name = "word", .kind = SV_ARG_WORD, .flags = SV_ARG_OPTION, .preset = "one", .min = "one two", .manual = "which"},
    {0},
};
static const sv_column columns[] = {
    {.name = "address", .kind = SV_COLUMN_TEXT},
    {.name = "word", .kind = SV_COLUMN_TEXT, .head = "WHICH"},
    {.name = "ticks", .kind = SV_COLUMN_INT},
    {0},
};
static const sv_command commands[] = {
    {.name = "kept count",
     .summary = "how often its timer has fired",
     .examples = "kept count romeo@example.org",
     .args = args,
     .columns = columns,
     .who = SV_WHO_OWNER,
     .flags = SV_COMMAND_ONE,
     .run = run},
    {0},
};

static const sv_option options[] = {
    SV_OPT_PERIOD(count, period_ms, "kept_count_period", "1s", "1s", "1m", "How often it counts."),
    {0},
};

SV_MODULE(.name = "kept_count", .summary = "Counts", .self_size = sizeof(count), .options = options, .commands = commands,
          .start = start)
