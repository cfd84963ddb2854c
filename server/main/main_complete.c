/* Completion: commands, options, and values by the kinds of arguments. */
#include "main/main_complete.h"

#include "base/base_assert.h"

/* One completion. */
typedef struct completion {
    const svi_decls *decls;
    svi_complete_ask ask;
    void *ctx;
    sv_str typed; /* the last word */
    svi_buf *out;
} completion;

/* --- candidates --------------------------------------------------------------------------------------- */

/* A line, if the candidate begins as what is typed and was not offered just before. Names come from peers: one with
 * characters that lines or shells would take amiss is left out. */
static void offer(completion *c, sv_str text, const char *meaning)
{
    if (!svi_str_starts(text, c->typed) || text.n == 0 || !svi_utf8_valid(text)) return;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= 0x20 || text.p[i] == 0x7f || strchr("'\"`$\\", text.p[i])) return;
    svi_buf_put(c->out, text);
    if (meaning) svi_buf_printf(c->out, "\t%s", meaning);
    svi_buf_putc(c->out, '\n');
}

static bool is_hidden(const sv_command *what)
{
    const svi_core_command *core = svi_core_find(sv_str_of(what->name));
    return core && (core->flags & SVI_CORE_HIDDEN);
}

/* --- commands ----------------------------------------------------------------------------------------- */

/* True if another declaration before number `i` begins with the same word. */
static bool is_repeated(const svi_decls *decls, size_t i, sv_str first)
{
    for (size_t k = 0; k < i; k++) {
        const sv_str name = sv_str_of(decls->items[k]->name);
        if (sv_str_eq(svi_str_sub(name, 0, svi_str_find(name, ' ')), first)) return true;
    }
    return false;
}

static void offer_first(completion *c)
{
    for (size_t i = 0; i < c->decls->count; i++) {
        const sv_command *what = c->decls->items[i];
        const sv_str name = sv_str_of(what->name), first = svi_str_sub(name, 0, svi_str_find(name, ' '));
        if (is_hidden(what) || is_repeated(c->decls, i, first)) continue;
        offer(c, first, first.n < name.n ? "..." : what->summary);
    }
}

static void offer_second(completion *c, sv_str first)
{
    for (size_t i = 0; i < c->decls->count; i++) {
        const sv_str name = sv_str_of(c->decls->items[i]->name);
        const size_t blank = svi_str_find(name, ' ');
        if (blank < name.n && sv_str_eq(svi_str_sub(name, 0, blank), first))
            offer(c, svi_str_sub(name, blank + 1, name.n), c->decls->items[i]->summary);
    }
}

/* The command that the first words name, and how many they are; NULL if none. Of "backup" and "backup check" the longer. */
static const sv_command *command_of(const completion *c, size_t count, char *const *words, size_t *used_out)
{
    const sv_command *found = NULL;
    *used_out = 0;
    for (size_t i = 0; i < c->decls->count; i++) {
        sv_str rest = sv_str_of(c->decls->items[i]->name), word;
        size_t used = 0;
        while (used < count && rest.n > 0 && svi_str_split(&rest, ' ', &word) &&
               sv_str_eq(word, sv_str_of(words[used])))
            used++;
        if (rest.n > 0 || used <= *used_out || !sv_str_eq(word, sv_str_of(words[used - 1]))) continue;
        *used_out = used;
        found = c->decls->items[i];
    }
    return found;
}

/* --- values ------------------------------------------------------------------------------------------- */

static json_t *ask(completion *c, json_t *take_request)
{
    json_t *answer = take_request ? c->ask(c->ctx, take_request) : NULL;
    json_decref(take_request);
    return answer;
}

static json_t *ask_hosts(completion *c)
{
    json_t *answer = ask(c, json_pack("{s:s}", "command", "status"));
    json_t *hosts = json_incref(json_object_get(answer, "hosts"));
    json_decref(answer);
    return hosts;
}

static void offer_hosts(completion *c)
{
    json_t *hosts = ask_hosts(c);
    for (size_t i = 0; i < json_array_size(hosts); i++)
        offer(c, sv_str_of(json_string_value(json_array_get(hosts, i))), NULL);
    json_decref(hosts);
}

/* Addresses in the first page of an answer, which is enough to choose from. */
static void offer_rows(completion *c, json_t *take_answer)
{
    const json_t *rows = json_object_get(take_answer, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *address = json_string_value(json_object_get(json_array_get(rows, i), "address"));
        if (address) offer(c, sv_str_of(address), NULL);
    }
    json_decref(take_answer);
}

/* Accounts of one host whose names begin as is typed: they come in order. */
static void offer_names(completion *c, const char *host)
{
    svi_acct acct = {.name = "complete"};
    svi_buf from;
    svi_buf_init(&from, &acct);
    json_t *request = json_pack("{s:s, s:s}", "command", "user list", "host", host);
    if (c->typed.n > 1) { /* behind the last name that is before those */
        svi_buf_printf(&from, "%s/%.*s", host, (int)c->typed.n - 1, c->typed.p);
        (void)json_object_set_new(request, "from", json_stringn(from.data, from.len));
    }
    svi_buf_free(&from);
    offer_rows(c, ask(c, request));
}

static void offer_accounts(completion *c)
{
    json_t *hosts = ask_hosts(c);
    const size_t at = svi_str_find(c->typed, '@');
    for (size_t i = 0; i < json_array_size(hosts); i++) {
        const char *host = json_string_value(json_array_get(hosts, i));
        if (at == c->typed.n) {
            offer_names(c, host);
            continue;
        }
        svi_acct acct = {.name = "complete"};
        svi_buf whole;
        svi_buf_init(&whole, &acct);
        svi_buf_printf(&whole, "%.*s@%s", (int)at, c->typed.p, host);
        offer(c, svi_buf_str(&whole), NULL);
        svi_buf_free(&whole);
    }
    json_decref(hosts);
}

static void offer_words(completion *c, const char *words)
{
    sv_str rest = sv_str_of(words), word;
    while (svi_str_split(&rest, ' ', &word)) offer(c, word, NULL);
}

/* Modules that run; behind `module ...` those of the operator, whether or not a server runs. */
static void offer_modules(completion *c, const sv_command *what)
{
    const bool is_own = svi_str_starts(sv_str_of(what->name), SV_STR("module "));
    json_t *answer = ask(c, json_pack("{s:s}", "command", is_own ? "module list" : "modules"));
    const json_t *list = json_object_get(answer, is_own ? "rows" : "modules");
    const char *before = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (name == NULL || strcmp(name, before) == 0) continue;
        offer(c, sv_str_of(name), NULL);
        before = name;
    }
    json_decref(answer);
}

static void offer_value(completion *c, const sv_command *what, const sv_arg *arg)
{
    if (arg->kind == SV_ARG_STRING && strcmp(arg->name, "module") == 0) {
        offer_modules(c, what);
        return;
    }
    switch (arg->kind) {
    case SV_ARG_WORD: offer_words(c, arg->min); break;
    case SV_ARG_HOST: offer_hosts(c); break;
    case SV_ARG_ACCOUNT: offer_accounts(c); break;
    case SV_ARG_LOCAL:
        if (svi_str_find(c->typed, '/') == c->typed.n) offer_accounts(c);
        offer_rows(c, ask(c, json_pack("{s:s}", "command", "sessions")));
        break;
    default: break; /* anything, or a file's name */
    }
}

/* --- arguments ---------------------------------------------------------------------------------------- */

static bool is_option(const sv_arg *arg)
{
    return (arg->flags & SV_ARG_OPTION) || arg->kind == SV_ARG_FLAG;
}

static const sv_arg *option_of(const sv_command *what, sv_str word)
{
    const sv_arg *arg;
    if (!svi_str_starts(word, SV_STR("--"))) return NULL;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++)
        if (is_option(arg) && sv_str_eq(svi_str_sub(word, 2, word.n), sv_str_of(arg->name))) return arg;
    return NULL;
}

static void offer_option(completion *c, const char *name, const char *meaning)
{
    char text[80];
    const int n = snprintf(text, sizeof text, "--%s", name);
    if (n > 0 && (size_t)n < sizeof text) offer(c, (sv_str){text, (size_t)n}, meaning);
}

static void offer_options(completion *c, const sv_command *what)
{
    const svi_core_command *core = svi_core_find(sv_str_of(what->name));
    const unsigned flags = core ? core->flags : 0;
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++)
        if (is_option(arg)) offer_option(c, arg->name, arg->manual);
    if (!(flags & SVI_CORE_NO_CONFIG)) offer_option(c, "config", "the configuration");
    if (!(flags & SVI_CORE_NO_JSON)) offer_option(c, "json", "answer as one JSON document");
    offer_option(c, "help", "tell about the command");
}

/* What stands by its place number `place`. */
static void offer_place(completion *c, const sv_command *what, size_t place)
{
    const svi_core_command *core = svi_core_find(sv_str_of(what->name));
    const sv_arg *arg;
    if (core && (core->flags & SVI_CORE_MANY)) place = 0; /* such a command has but one */
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++) {
        if (is_option(arg) || arg->kind == SV_ARG_SECRET) continue;
        if (place-- > 0) continue;
        offer_value(c, what, arg);
        return;
    }
}

static void offer_argument(completion *c, const sv_command *what, size_t count, char *const *words)
{
    size_t place = 0;
    for (size_t i = 0; i < count; i++) {
        const sv_str word = sv_str_of(words[i]);
        const sv_arg *arg = option_of(what, word);
        const bool is_config = sv_str_eq(word, SV_STR("--config"));
        const bool has_value = is_config || (arg && arg->kind != SV_ARG_FLAG);
        if (has_value && i + 1 == count) { /* what is typed is its value */
            if (arg) offer_value(c, what, arg);
            return;
        }
        i += has_value;
        if (!has_value && !svi_str_starts(word, SV_STR("-"))) place++;
    }
    if (svi_str_starts(c->typed, SV_STR("-")))
        offer_options(c, what);
    else
        offer_place(c, what, place);
}

/* Behind `help`: commands themselves. */
static void offer_topics(completion *c, size_t count, char *const *words)
{
    if (count == 0)
        offer_first(c);
    else if (count == 1)
        offer_second(c, sv_str_of(words[0]));
}

/* How many words before the command are options that every command has; `count` if the last word is the value of one. */
static size_t options_before(size_t count, char *const *words)
{
    size_t n = 0;
    while (n + 1 < count) {
        const sv_str word = sv_str_of(words[n]);
        if (sv_str_eq(word, SV_STR("--config")))
            n += 2;
        else if (sv_str_eq(word, SV_STR("--json")))
            n++;
        else
            break;
    }
    return n;
}

void svi_complete(const svi_decls *decls, size_t count, char *const *words, svi_complete_ask ask_server,
                  void *ctx, svi_buf *out)
{
    SV_ASSERT(count > 0);
    const size_t skipped = options_before(count, words);
    if (skipped == count) return;
    words += skipped;
    count -= skipped;
    completion c = {.decls = decls,
                    .ask = ask_server,
                    .ctx = ctx,
                    .typed = sv_str_of(words[count - 1]),
                    .out = out};
    size_t used = 0;
    const size_t before = count - 1;
    const sv_command *what = command_of(&c, before, words, &used);
    if (before == 0) {
        offer_first(&c);
        return;
    }
    if (what && strcmp(what->name, "help") == 0 && !svi_str_starts(c.typed, SV_STR("-"))) {
        offer_topics(&c, before - used, words + used);
        return;
    }
    if (before == 1) offer_second(&c, sv_str_of(words[0])); /* behind "backup", too */
    if (what) offer_argument(&c, what, before - used, words + used);
}
