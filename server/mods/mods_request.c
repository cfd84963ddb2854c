/* One run of a command: its arguments, and the answer as it grows. */
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "mods/mods_command.h"
#include "xmpp/xmpp_account.h"

enum { REQUEST_MAGIC = 0x52455155, FROM_BYTES = 4096, FIELD_COST = 24, TEXT_BYTES = 600 };

struct svi_request {
    uint32_t magic;
    bool is_ended;
    svi_arena *arena; /* the request lies in it */
    svi_server *server;
    json_t *asked; /* a reference */
    svi_args args;
    sv_str from;
    json_t *rows, *row; /* the row is borrowed from rows */
    json_t *about;      /* NULL: nothing is said of the whole */
    size_t bytes;       /* about so large is what is in them */
    void (*run)(void *run_ctx, svi_request *request);
    void *run_ctx;
    svi_answer_fn done;
    void *ctx;
};

/* --- texts ------------------------------------------------------------------------------------------ */

/* What is no UTF-8, and NUL, which JSON readers refuse, becomes '?'. */
static json_t *json_of(sv_str text)
{
    if (svi_utf8_valid(text) && (text.n == 0 || !memchr(text.p, '\0', text.n)))
        return json_stringn(text.n ? text.p : "", text.n);
    svi_acct acct = {.name = "text"};
    svi_buf clean;
    svi_buf_init(&clean, &acct);
    while (text.n > 0) {
        uint32_t code;
        const size_t step = svi_utf8_step(text, &code);
        if (step == 0 || code == 0)
            svi_buf_putc(&clean, '?');
        else
            svi_buf_put(&clean, svi_str_sub(text, 0, step));
        text = svi_str_sub(text, step ? step : 1, text.n);
    }
    json_t *json = json_stringn(clean.data ? clean.data : "", clean.len);
    svi_buf_free(&clean);
    return json;
}

const char *svi_fault_name(sv_fault fault)
{
    switch (fault) {
    case SV_FAULT_USAGE: return "usage";
    case SV_FAULT_NOT_FOUND: return "not-found";
    case SV_FAULT_REFUSED: return "refused";
    case SV_FAULT_FAILED: break;
    }
    return "failed";
}

json_t *svi_answer_vfault(sv_fault fault, const char *format, va_list args)
{
    char text[TEXT_BYTES];
    (void)vsnprintf(text, sizeof text, format, args);
    return json_pack("{s:b, s:s, s:o}", "ok", 0, "class", svi_fault_name(fault), "error",
                     json_of(sv_str_of(text)));
}

json_t *svi_answer_fault(sv_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *answer = svi_answer_vfault(fault, format, args);
    va_end(args);
    return answer;
}

/* --- life ------------------------------------------------------------------------------------------- */

void svi_request_take(svi_request *r, json_t *take_answer)
{
    SV_CHECK(r, REQUEST_MAGIC);
    SV_ASSERT(!r->is_ended && take_answer != NULL);
    r->is_ended = true;
    svi_answer_fn done = r->done;
    void *ctx = r->ctx;
    json_decref(r->rows);
    json_decref(r->about);
    json_decref(r->asked);
    r->magic = 0;
    svi_arena *arena = r->arena;
    svi_arena_free(&arena);
    done(ctx, take_answer);
}

static void begin(svi_request *r)
{
    const bool stores = (r->args.command->flags & SV_COMMAND_STORES) != 0;
    if (stores && svi_store_admit(svi_server_store(r->server)) != SV_OK)
        svi_request_fail(r, SV_FAULT_REFUSED,
                         "the store is short of space: free disk space, then try again");
    else
        r->run(r->run_ctx, r);
}

static void on_account(void *ctx, sv_status status)
{
    svi_request *r = ctx;
    SV_CHECK(r, REQUEST_MAGIC);
    const sv_str bare = r->args.account.bare;
    const int n = (int)(bare.n < 200 ? bare.n : 200);
    if (status == SV_OK)
        begin(r);
    else if (status == SV_ENOTFOUND)
        svi_request_fail(r, SV_FAULT_NOT_FOUND,
                         "%.*s: there is no such account; `stave user list` shows them", n, bare.p);
    else if (status == SV_ECANCELED)
        svi_request_fail(r, SV_FAULT_FAILED, "the server is stopping; try again when it runs");
    else
        svi_request_fail(r, SV_FAULT_FAILED, "%.*s: the store can't be read", n, bare.p);
}

static void look_for_account(svi_request *r)
{
    bool exists;
    if (!r->args.must_exist || r->args.account.node.n == 0) {
        begin(r);
        return;
    }
    if (svi_account_check(r->args.host, r->args.account.node, &exists, on_account, r))
        on_account(r, exists ? SV_OK : SV_ENOTFOUND);
}

void svi_request_run(svi_server *server, const sv_command *command, const json_t *request,
                     void (*run)(void *run_ctx, svi_request *request), void *run_ctx,
                     svi_answer_fn done, void *ctx)
{
    SV_ASSERT(server != NULL);
    svi_arena *arena = svi_arena_new(svi_server_acct(server), 4096);
    svi_request *r = svi_arena_get(arena, sizeof *r);
    *r = (svi_request){.magic = REQUEST_MAGIC,
                       .arena = arena,
                       .server = server,
                       .asked = json_incref((json_t *)(uintptr_t)request),
                       .rows = json_array(),
                       .run = run,
                       .run_ctx = run_ctx,
                       .done = done,
                       .ctx = ctx};
    sv_err err = {.text = ""};
    sv_fault fault = svi_args_read(arena, command, request, server, &r->args, &err);
    const json_t *from = json_object_get(request, "from");
    r->from = (sv_str){json_string_value(from), json_string_length(from)};
    if (!fault && from && (!r->from.p || r->from.n > FROM_BYTES)) {
        (void)svi_err(&err, SV_EINVAL, "%s: 'from' is where an answer said that it goes on",
                      command->name);
        fault = SV_FAULT_USAGE;
    }
    if (fault)
        svi_request_fail(r, fault, "%s", err.text);
    else
        look_for_account(r);
}

/* --- what was asked --------------------------------------------------------------------------------- */

const svi_arg_value *svi_request_arg(const svi_request *r, const char *name)
{
    SV_CHECK(r, REQUEST_MAGIC);
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(r->args.command, i)) != NULL; i++)
        if (strcmp(arg->name, name) == 0) return &r->args.values[i];
    svi_assert_failed("the argument is declared", __FILE__, __LINE__);
}

const svi_args *svi_request_args(const svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    return &r->args;
}

const json_t *svi_request_json(const svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    return r->asked;
}

svi_arena *svi_request_arena(svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    return r->arena;
}

sv_str svi_request_from(const svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    return r->from;
}

svi_server *svi_request_server(const svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    return r->server;
}

/* --- the answer ------------------------------------------------------------------------------------- */

bool svi_request_record(svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    if (json_array_size(r->rows) >= SVI_PAGE_ROWS || r->bytes >= SVI_PAGE_BYTES) return false;
    r->row = json_object();
    const sv_column *column;
    for (size_t i = 0; (column = svi_column_at(r->args.command, i)) != NULL; i++)
        (void)json_object_set_new(r->row, column->name,
                                  column->kind == SV_COLUMN_LIST ? json_array() : json_null());
    (void)json_array_append_new(r->rows, r->row);
    r->bytes += FIELD_COST;
    return true;
}

/* The column if it may be set so; else tells of the fault. */
static const sv_column *settable(const svi_request *r, const char *name, bool as_text)
{
    SV_CHECK(r, REQUEST_MAGIC);
    const sv_column *column;
    for (size_t i = 0; r->row && (column = svi_column_at(r->args.command, i)) != NULL; i++) {
        if (strcmp(column->name, name) != 0) continue;
        const bool is_text = column->kind == SV_COLUMN_TEXT || column->kind == SV_COLUMN_LIST;
        if (is_text == as_text) return column;
    }
    SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", "fields of a record are declared as columns"),
           LF_TXT("command", r->args.command->name), LF_TXT("column", name));
    return NULL;
}

void svi_request_field(svi_request *r, const char *name, sv_str text)
{
    const sv_column *column = settable(r, name, true);
    if (!column) return;
    r->bytes += text.n + FIELD_COST;
    if (column->kind == SV_COLUMN_LIST)
        (void)json_array_append_new(json_object_get(r->row, name), json_of(text));
    else
        (void)json_object_set_new(r->row, name, json_of(text));
}

void svi_request_field_int(svi_request *r, const char *name, int64_t value)
{
    const sv_column *column = settable(r, name, false);
    if (!column) return;
    r->bytes += FIELD_COST;
    json_t *json;
    if (column->kind == SV_COLUMN_BOOL) {
        json = json_boolean(value != 0);
    } else if (column->kind == SV_COLUMN_TIME) {
        char text[32];
        const sv_str stamp = svi_plat_stamp(value > INT64_MAX / 1000 ? INT64_MAX : value * 1000, text);
        json = json_stringn(stamp.p, stamp.n);
    } else {
        json = json_integer((json_int_t)value);
    }
    (void)json_object_set_new(r->row, name, json);
}

void svi_request_about(svi_request *r, json_t *take_about)
{
    SV_CHECK(r, REQUEST_MAGIC);
    SV_ASSERT(r->about == NULL);
    r->about = take_about;
}

static json_t *page_of(const svi_request *r)
{
    json_t *answer = json_pack("{s:b, s:O}", "ok", 1, "rows", r->rows);
    if (r->about != NULL) (void)json_object_set(answer, "about", r->about);
    return answer;
}

void svi_request_answer(svi_request *r)
{
    SV_CHECK(r, REQUEST_MAGIC);
    svi_request_take(r, page_of(r));
}

void svi_request_more(svi_request *r, sv_str from)
{
    SV_CHECK(r, REQUEST_MAGIC);
    SV_ASSERT(from.n > 0 && from.n <= FROM_BYTES);
    json_t *answer = page_of(r);
    (void)json_object_set_new(answer, "more", json_of(from));
    svi_request_take(r, answer);
}

void svi_request_fail(svi_request *r, sv_fault fault, const char *format, ...)
{
    SV_CHECK(r, REQUEST_MAGIC);
    va_list args;
    va_start(args, format);
    json_t *answer = svi_answer_vfault(fault, format, args);
    va_end(args);
    svi_request_take(r, answer);
}
