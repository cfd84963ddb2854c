/* Three releases of one module, by -DRELEASE: each writes its records in another way and knows the way of the release
 * before. Tells of each record in which version it is; one that does not look like its version is a failure. If an
 * option says so, it goes round and rewrites what is of an older version than the one that is written. */
#include <stave/module.h>

typedef struct notes {
    int64_t rewrites;
    sv_store *texts; /* localpart -> key -> text; version 2 begins with "2:", version 3 with "3:" */
} notes;

static sv_str form(sv_event *ev, uint32_t schema, sv_str text)
{
    if (schema == 1) return text;
    return sv->format(ev, "%u:%.*s", (unsigned)schema, (int)text.n, text.p);
}

/* The text of a record; false if it is not of that version. */
static bool read_text(uint32_t schema, sv_str record, sv_str *text_out)
{
    const bool has_mark = record.n >= 2 && record.p[1] == ':';
    *text_out = record;
    if (schema == 1) return !has_mark;
    if (!has_mark || record.p[0] != (char)('0' + schema)) return false;
    *text_out = (sv_str){record.p + 2, record.n - 2};
    return true;
}

static sv_verdict on_put(sv_event *ev, void *self)
{
    const notes *me = self;
    const sv_str record = form(ev, sv->store_schema(me->texts), sv->arg_text(ev, "text"));
    if (sv->put(ev, me->texts, sv->from(ev)->node, sv->arg_text(ev, "key"), record) != SV_OK)
        return sv->fail(ev, SV_FAULT_FAILED, "it is not written");
    return sv->answer(ev);
}

static bool tell(sv_event *ev, sv_str key, sv_str record, uint32_t schema)
{
    sv_str text;
    if (!read_text(schema, record, &text)) return false;
    (void)sv->record(ev);
    sv->field(ev, "key", key);
    sv->field(ev, "text", text);
    sv->field_int(ev, "schema", schema);
    return true;
}

static void listed(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)self;
    sv_str key = SV_STR_NONE, record;
    while (status == SV_OK && sv->row_next(rows, &key, &record))
        if (!tell(ev, key, record, sv->row_schema(rows, key))) status = SV_EINVAL;
    if (status == SV_OK)
        (void)sv->answer(ev);
    else
        (void)sv->fail(ev, SV_FAULT_FAILED, "a record makes no sense");
}

static sv_verdict on_list(sv_event *ev, void *self)
{
    const notes *me = self;
    sv->rows_load(ev, me->texts, sv->from(ev)->node, listed);
    return SV_LATER;
}

static void got(sv_event *ev, sv_status status, sv_str record, uint32_t schema, void *self)
{
    (void)self;
    if (status != SV_OK && schema == 0)
        (void)sv->fail(ev, SV_FAULT_NOT_FOUND, "there is none");
    else if (status == SV_OK && tell(ev, sv->arg_text(ev, "key"), record, schema))
        (void)sv->answer(ev);
    else
        (void)sv->fail(ev, SV_FAULT_FAILED, "a record makes no sense");
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    const notes *me = self;
    sv->get_schema(ev, me->texts, sv->from(ev)->node, sv->arg_text(ev, "key"), got);
    return SV_LATER;
}

/* Writes in two steps, with a read between them: what waits here is of the code that began it. */
static void read_before(sv_event *ev, sv_status status, sv_str record, void *self)
{
    (void)status;
    (void)record;
    (void)on_put(ev, self);
}

static sv_verdict on_slow_put(sv_event *ev, void *self)
{
    const notes *me = self;
    sv->get(ev, me->texts, sv->from(ev)->node, sv->arg_text(ev, "key"), read_before);
    return SV_LATER;
}

static void rewrite(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const notes *me = self;
    const uint32_t written = sv->store_schema(me->texts);
    sv_str key = SV_STR_NONE, record, text;
    while (status == SV_OK && sv->row_next(rows, &key, &record)) {
        const uint32_t schema = sv->row_schema(rows, key);
        if (schema < written && read_text(schema, record, &text))
            (void)sv->put(ev, me->texts, sv->from(ev)->node, key, form(ev, written, text));
    }
    sv->pass(ev);
}

static sv_verdict on_sweep(sv_event *ev, void *self)
{
    const notes *me = self;
    if (!me->rewrites || !sv_str_eq(sv->subject(ev), SV_STR("notes/texts"))) return SV_PASS;
    sv->rows_load(ev, me->texts, sv->from(ev)->node, rewrite);
    return SV_LATER;
}

static const sv_hook hooks[] = {
    {.on = "store/sweep", .call = on_sweep, .flags = SV_HOOK_STORES},
    {0},
};

static const sv_option options[] = {
    SV_OPT_BOOL(notes, rewrites, "notes_rewrites", "false", "Whether old records are rewritten."),
    {0},
};

static const sv_arg put_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"},
    {.name = "key", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "which"},
    {.name = "text", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "what"},
    {0},
};

static const sv_arg get_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"},
    {.name = "key", .kind = SV_ARG_STRING, .flags = SV_ARG_REQUIRED, .manual = "which"},
    {0},
};

static const sv_arg list_args[] = {
    {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "whose"},
    {0},
};

static const sv_column columns[] = {{.name = "key", .kind = SV_COLUMN_TEXT},
                                    {.name = "text", .kind = SV_COLUMN_TEXT},
                                    {.name = "schema", .kind = SV_COLUMN_INT},
                                    {0}};

static const sv_command commands[] = {
    {.name = "notes put",
     .summary = "write one",
     .args = put_args,
     .flags = SV_COMMAND_STORES | SV_COMMAND_CHANGES,
     .run = on_put},
    {.name = "notes slow-put",
     .summary = "write one, later",
     .args = put_args,
     .flags = SV_COMMAND_STORES | SV_COMMAND_CHANGES,
     .run = on_slow_put},
    {.name = "notes get", .summary = "read one", .args = get_args, .columns = columns, .run = on_get},
    {.name = "notes list", .summary = "read all", .args = list_args, .columns = columns, .run = on_list},
    {0},
};

static sv_status start(sv_mod *mod, void *self)
{
    notes *me = self;
    const uint32_t oldest = RELEASE > 1 ? RELEASE - 1 : 1;
    const sv_status status = sv->store_open_versions(mod, NULL, "texts", RELEASE, oldest, &me->texts);
    return status == SV_OK ? sv->sweep(mod, me->texts, 100) : status;
}

SV_MODULE(.name = "notes", .summary = "A release of a module that stores", .self_size = sizeof(notes),
          .hooks = hooks, .options = options, .start = start, .commands = commands)
