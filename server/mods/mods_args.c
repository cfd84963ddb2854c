/* Arguments of commands: from a request's texts to checked values, before anything runs. */
#include <inttypes.h>

#include "base/base_assert.h"
#include "mods/mods_command.h"

/* One reading. */
typedef struct reading {
    svi_arena *arena;
    const sv_command *command;
    const sv_arg *arg;
    svi_server *server; /* NULL: only the form is looked at */
    svi_args *to;
    sv_err *err;
} reading;

static sv_fault __attribute__((format(printf, 2, 3))) wrong(reading *r, const char *format, ...)
{
    char text[sizeof r->err->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)svi_err(r->err, SV_EINVAL, "%s: %s", r->command->name, text);
    return SV_FAULT_USAGE;
}

/* How an argument is called in messages. */
static const char *called(const reading *r)
{
    const bool is_option = (r->arg->flags & SV_ARG_OPTION) || r->arg->kind == SV_ARG_FLAG;
    return svi_arena_printf(r->arena, "%s%s", is_option ? "--" : "", r->arg->name).p;
}

/* As much of an argument as a message shows. */
static const char *shown(const reading *r, sv_str text)
{
    return svi_arena_printf(r->arena, "%.*s%s", (int)(text.n < 100 ? text.n : 100), text.p,
                            text.n < 100 ? "" : "...")
        .p;
}

/* --- addresses -------------------------------------------------------------------------------------- */

/* Also tells how what seems to be meant is written; nothing is escaped unasked (XEP-0106). */
static sv_fault no_address(reading *r, sv_str text, const char *form)
{
    size_t at = text.n;
    sv_str name, prepared;
    while (at > 0 && text.p[at - 1] != '@') at--;
    const bool has_hint = at >= 2 &&
                          svi_jid_escape_node(r->arena, svi_str_sub(text, 0, at - 1), &name) == SV_OK &&
                          svi_jid_prep_node(r->arena, name, &prepared) == SV_OK &&
                          !sv_str_eq(name, svi_str_sub(text, 0, at - 1));
    if (has_hint)
        return wrong(r, "'%s' is no address of an account: write %s; that name is written %.*s (XEP-0106)",
                     shown(r, text), form, (int)(name.n < 60 ? name.n : 60), name.p);
    return wrong(r, "'%s' is no address of an account: write %s", shown(r, text), form);
}

static sv_fault no_host(reading *r, sv_str domain)
{
    const int n = (int)(domain.n < 60 ? domain.n : 60);
    (void)svi_err(r->err, SV_ENOTFOUND,
                  "%.*s is no host of this server: add VirtualHost \"%.*s\" to the configuration "
                  "first",
                  n, domain.p, n, domain.p);
    return SV_FAULT_NOT_FOUND;
}

/* The first that is named counts. */
static sv_fault take_host(reading *r, sv_str domain)
{
    if (!r->server) return 0;
    svi_host *host = svi_host_find(r->server, domain);
    if (!host && (r->arg->flags & SV_ARG_REMOVED)) {
        host = svi_host_known(r->server, domain);
        if (host && !svi_host_was_served(host)) host = NULL;
    }
    if (!host) return no_host(r, domain);
    if (!r->to->host) r->to->host = host;
    return 0;
}

static sv_fault take_local(reading *r, sv_str text, svi_arg_value *to)
{
    const bool has_resource = r->arg->kind == SV_ARG_LOCAL;
    const char *form = has_resource ? "name@host or name@host/resource" : "name@host";
    if (svi_jid_parse(r->arena, text, &to->jid) != SV_OK || to->jid.node.n == 0 ||
        (!has_resource && !svi_jid_is_bare(&to->jid)))
        return no_address(r, text, form);
    to->text = svi_arena_str(r->arena, to->jid.full);
    if (r->to->account.domain.n == 0) {
        r->to->account = svi_jid_make(r->arena, to->jid.node, to->jid.domain, SV_STR_NONE);
        r->to->must_exist = (r->arg->flags & SV_ARG_EXISTS) != 0;
    }
    return take_host(r, to->jid.domain);
}

static sv_fault take_address(reading *r, sv_str text, svi_arg_value *to)
{
    if (svi_jid_parse(r->arena, text, &to->jid) != SV_OK)
        return wrong(r, "%s: '%s' is no address, such as romeo@example.org", called(r), shown(r, text));
    to->text = svi_arena_str(r->arena, to->jid.full);
    return 0;
}

static sv_fault take_domain(reading *r, sv_str text, svi_arg_value *to)
{
    if (svi_jid_prep_domain(r->arena, text, &to->text) != SV_OK)
        return wrong(r, "%s: '%s' is no domain, such as example.org", called(r), shown(r, text));
    to->text = svi_arena_str(r->arena, to->text);
    return take_host(r, to->text);
}

/* --- numbers and words ------------------------------------------------------------------------------ */

static sv_fault take_number(reading *r, sv_str text, svi_arg_value *to)
{
    const sv_arg *arg = r->arg;
    const bool is_period = arg->kind == SV_ARG_PERIOD;
    const sv_option_kind kind = is_period ? SV_OPTION_PERIOD : SV_OPTION_INT;
    int64_t bound;
    if (!svi_option_number(kind, text, &to->number))
        return wrong(r, is_period ? "%s: '%s' is no time with its unit, such as 50ms, 30s, 5m, 2h, 1d"
                                  : "%s: '%s' is no whole number",
                     called(r), shown(r, text));
    const bool low = arg->min && svi_option_number(kind, sv_str_of(arg->min), &bound) &&
                     to->number < bound;
    const bool high = arg->max && svi_option_number(kind, sv_str_of(arg->max), &bound) &&
                      to->number > bound;
    if (low || high)
        return wrong(r, "%s must be from %s to %s", called(r), arg->min ? arg->min : "any",
                     arg->max ? arg->max : "any");
    return 0;
}

static sv_fault take_word(reading *r, sv_str text, svi_arg_value *to)
{
    sv_str words = sv_str_of(r->arg->min), word;
    for (; svi_str_split(&words, ' ', &word); to->number++)
        if (sv_str_eq(word, text)) return 0;
    return wrong(r, "%s must be one of: %s", called(r), r->arg->min);
}

static sv_fault take_text(reading *r, sv_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return wrong(r, "%s has control characters", called(r));
    return 0;
}

static sv_fault take_flag(reading *r, sv_str text, svi_arg_value *to)
{
    to->number = sv_str_eq(text, SV_STR("true"));
    return to->number || sv_str_eq(text, SV_STR("false")) ? 0 : wrong(r, "%s takes no value", called(r));
}

/* --- one argument ----------------------------------------------------------------------------------- */

static sv_fault take(reading *r, sv_str text, svi_arg_value *to)
{
    *to = (svi_arg_value){.text = svi_arena_str(r->arena, text)};
    if (text.n > SVI_ARG_BYTES)
        return wrong(r, "%s is longer than %d bytes", called(r), SVI_ARG_BYTES);
    if (!svi_utf8_valid(text)) return wrong(r, "%s is not UTF-8", called(r));
    switch (r->arg->kind) {
    case SV_ARG_INT:
    case SV_ARG_PERIOD: return take_number(r, text, to);
    case SV_ARG_WORD: return take_word(r, text, to);
    case SV_ARG_FLAG: return take_flag(r, text, to);
    case SV_ARG_HOST: return take_domain(r, text, to);
    case SV_ARG_ACCOUNT:
    case SV_ARG_LOCAL: return take_local(r, text, to);
    case SV_ARG_ADDRESS: return take_address(r, text, to);
    case SV_ARG_STRING:
    case SV_ARG_FILE: return take_text(r, text);
    case SV_ARG_SECRET: break; /* whoever uses it says what it may be */
    }
    return 0;
}

/* The text of a request's member; faces may also give numbers and truth. */
static bool text_of(const reading *r, const json_t *json, sv_str *text_out)
{
    if (json_is_string(json))
        *text_out = (sv_str){json_string_value(json), json_string_length(json)};
    else if (json_is_integer(json))
        *text_out = svi_arena_printf(r->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    else if (json_is_boolean(json))
        *text_out = json_is_true(json) ? SV_STR("true") : SV_STR("false");
    else
        return false;
    return true;
}

static sv_fault read_one(reading *r, const json_t *request, svi_arg_value *to)
{
    const json_t *json = json_object_get(request, r->arg->name);
    const bool is_secret = r->arg->kind == SV_ARG_SECRET;
    sv_str text = sv_str_of(r->arg->preset);
    *to = (svi_arg_value){.text = SV_STR_NONE};
    if (json && !text_of(r, json, &text)) return wrong(r, "%s must be a text", called(r));
    if (is_secret && !r->server) return 0; /* comes later */
    if (text.p) return take(r, text, to);
    if (!(r->arg->flags & SV_ARG_REQUIRED)) return 0;
    svi_buf usage;
    svi_acct acct = {.name = "usage"};
    svi_buf_init(&usage, &acct);
    svi_arg_usage(r->arg, &usage);
    const sv_fault fault = wrong(r, "%s is missing%s%.*s", called(r), usage.len ? ": " : "",
                                 (int)usage.len, usage.len ? usage.data : "");
    svi_buf_free(&usage);
    return fault;
}

/* --- all of them ------------------------------------------------------------------------------------ */

static sv_fault too_much(reading *r, const json_t *request)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)request, name, value)
    {
        bool is_known = strcmp(name, "command") == 0 || strcmp(name, "from") == 0;
        for (size_t i = 0; svi_arg_at(r->command, i) && !is_known; i++)
            is_known = strcmp(svi_arg_at(r->command, i)->name, name) == 0;
        if (!is_known) return wrong(r, "it has no argument '%.60s'", name);
    }
    return 0;
}

sv_fault svi_args_read(svi_arena *arena, const sv_command *command, const json_t *request,
                       svi_server *server, svi_args *args_out, sv_err *err)
{
    reading r = {.arena = arena, .command = command, .server = server, .to = args_out, .err = err};
    *args_out = (svi_args){.command = command};
    for (size_t i = 0; (r.arg = svi_arg_at(command, i)) != NULL; i++) {
        SV_ASSERT(i < SVI_ARGS_MAX);
        const sv_fault fault = read_one(&r, request, &args_out->values[i]);
        if (fault) return fault;
    }
    return too_much(&r, request);
}
