/* Commands of every shape: each kind of argument and column, at once, later, in pages, wrong and never. */
#include <stave/module.h>

#define ADDRESS {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"}

typedef struct asks {
    sv_store *notes; /* localpart -> "note" -> text */
} asks;

/* --- arguments and fields ----------------------------------------------------------------------------- */

static sv_verdict on_echo(sv_event *ev, void *self)
{
    (void)self;
    const sv_jid *local = sv->arg_jid(ev, "local"), *any = sv->arg_jid(ev, "any");
    (void)sv->record(ev);
    sv->field(ev, "local", local->full);
    sv->field(ev, "from", sv->from(ev)->full);
    sv->field(ev, "to", sv->to(ev)->full);
    if (any) sv->field(ev, "any", any->full);
    sv->field(ev, "string", sv->arg_text(ev, "string"));
    sv->field_int(ev, "int", sv->arg_int(ev, "int"));
    sv->field_int(ev, "period", sv->arg_int(ev, "period"));
    sv->field_int(ev, "word", sv->arg_int(ev, "word"));
    sv->field_int(ev, "flag", sv->arg_int(ev, "flag"));
    sv->field_int(ev, "time", 1000);
    sv->field(ev, "list", SV_STR("one"));
    sv->field(ev, "list", SV_STR("two"));
    sv->field(ev, "raw", (sv_str){"a\xff\0b", 4});
    return sv->answer(ev);
}

static const sv_arg echo_args[] = {
    {.name = "local", .kind = SV_ARG_LOCAL, .flags = SV_ARG_REQUIRED, .manual = "an account"},
    {.name = "string", .kind = SV_ARG_STRING, .preset = "none", .manual = "a text"},
    {.name = "any", .kind = SV_ARG_ADDRESS, .flags = SV_ARG_OPTION, .manual = "an address"},
    {.name = "int", .kind = SV_ARG_INT, .flags = SV_ARG_OPTION, .min = "-5", .max = "5", .manual = "a number"},
    {.name = "period", .kind = SV_ARG_PERIOD, .flags = SV_ARG_OPTION, .preset = "2m", .min = "1s", .max = "1d",
     .manual = "a time"},
    {.name = "word", .kind = SV_ARG_WORD, .flags = SV_ARG_OPTION, .preset = "blue", .min = "red green blue",
     .manual = "a colour"},
    {.name = "flag", .kind = SV_ARG_FLAG, .manual = "or not"},
    {0},
};

static const sv_column echo_columns[] = {
    {.name = "local", .kind = SV_COLUMN_TEXT}, {.name = "from", .kind = SV_COLUMN_TEXT},
    {.name = "to", .kind = SV_COLUMN_TEXT},    {.name = "any", .kind = SV_COLUMN_TEXT},
    {.name = "string", .kind = SV_COLUMN_TEXT}, {.name = "int", .kind = SV_COLUMN_INT},
    {.name = "period", .kind = SV_COLUMN_PERIOD}, {.name = "word", .kind = SV_COLUMN_BYTES},
    {.name = "flag", .kind = SV_COLUMN_BOOL},  {.name = "time", .kind = SV_COLUMN_TIME},
    {.name = "list", .kind = SV_COLUMN_LIST},  {.name = "raw", .kind = SV_COLUMN_TEXT},
    {0},
};

/* --- stores ------------------------------------------------------------------------------------------- */

static void noted(sv_event *ev, sv_status status, sv_str value, void *self)
{
    const asks *me = self;
    (void)sv->record(ev);
    sv->field(ev, "note", status == SV_OK ? value : SV_STR("none"));
    if (sv->arg_text(ev, "note").p)
        (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("note"), sv->arg_text(ev, "note"));
    (void)sv->answer(ev);
}

/* What was noted before, and notes anew. */
static sv_verdict on_note(sv_event *ev, void *self)
{
    const asks *me = self;
    sv->get(ev, me->notes, sv->from(ev)->node, SV_STR("note"), noted);
    return SV_LATER;
}

static const sv_arg note_args[] = {
    {.name = "address",
     .kind = SV_ARG_ACCOUNT,
     .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS,
     .manual = "whose"},
    {.name = "note", .kind = SV_ARG_STRING, .manual = "what"},
    {0},
};

static const sv_column note_columns[] = {{.name = "note", .kind = SV_COLUMN_TEXT}, {0}};

/* --- pages -------------------------------------------------------------------------------------------- */

static sv_verdict on_count(sv_event *ev, void *self)
{
    (void)self;
    int64_t n = 0;
    const sv_str from = sv->asked_from(ev);
    for (size_t i = 0; i < from.n; i++) n = n * 10 + (from.p[i] - '0');
    for (; n < sv->arg_int(ev, "to"); n++) {
        if (!sv->record(ev)) return sv->answer_more(ev, sv->format(ev, "%lld", (long long)n));
        sv->field_int(ev, "n", n);
    }
    return sv->answer(ev);
}

static const sv_arg count_args[] = {
    {.name = "to", .kind = SV_ARG_INT, .flags = SV_ARG_REQUIRED, .min = "0", .manual = "how far"},
    {.name = "host", .kind = SV_ARG_HOST, .flags = SV_ARG_OPTION, .manual = "where"},
    {0},
};

static const sv_column count_columns[] = {{.name = "n", .kind = SV_COLUMN_INT}, {0}};

/* --- faults ------------------------------------------------------------------------------------------- */

static sv_verdict on_no(sv_event *ev, void *self)
{
    (void)self;
    return sv->fail(ev, (sv_fault)(sv->arg_int(ev, "how") + 1), "no: %s", "so");
}

static sv_verdict on_nothing(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_DONE;
}

static sv_verdict on_never(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_LATER;
}

static sv_verdict on_twice(sv_event *ev, void *self)
{
    (void)self;
    (void)sv->record(ev);
    sv->field(ev, "none", SV_STR("x")); /* not declared */
    sv->field(ev, "n", SV_STR("x"));    /* of another kind */
    sv->field_int(ev, "n", 1);
    (void)sv->answer(ev);
    return sv->fail(ev, SV_FAULT_FAILED, "too late");
}

static sv_verdict on_stanza(sv_event *ev, void *self)
{
    (void)self;
    const bool has = sv->record(ev);
    return sv->refuse(ev, has ? SV_BAD_REQUEST : SV_NOT_ALLOWED);
}

static const sv_arg no_args[] = {
    {.name = "how",
     .kind = SV_ARG_WORD,
     .flags = SV_ARG_REQUIRED,
     .min = "usage not-found refused failed",
     .manual = "how"},
    ADDRESS,
    {0},
};
static const sv_arg address_args[] = {ADDRESS, {0}};

static const sv_hook hooks[] = {{.on = "iq-get/host {urn:stave:asks}x", .call = on_stanza}, {0}};

static const sv_command commands[] = {
    {.name = "asks echo",
     .summary = "give the arguments back",
     .manual = "All of them.",
     .examples = "asks echo romeo@one.example",
     .args = echo_args,
     .columns = echo_columns,
     .who = SV_WHO_OWNER,
     .run = on_echo},
    {.name = "asks note",
     .summary = "note something",
     .args = note_args,
     .columns = note_columns,
     .flags = SV_COMMAND_STORES | SV_COMMAND_CHANGES | SV_COMMAND_OFFLINE | SV_COMMAND_ONE,
     .run = on_note},
    {.name = "asks count", .summary = "count", .args = count_args, .columns = count_columns, .run = on_count},
    {.name = "asks no", .summary = "say no", .args = no_args, .run = on_no},
    {.name = "asks nothing", .summary = "give no answer", .args = address_args, .run = on_nothing},
    {.name = "asks never", .summary = "wait for ever", .args = address_args, .run = on_never},
    {.name = "asks twice", .summary = "answer twice", .args = address_args, .columns = count_columns, .run = on_twice},
    {0},
};

static sv_status start(sv_mod *mod, void *self)
{
    asks *me = self;
    return sv->store_open(mod, NULL, "notes", 1, &me->notes);
}

SV_MODULE(.name = "asks", .summary = "Commands of every shape", .self_size = sizeof(asks), .hooks = hooks,
          .start = start, .commands = commands)
