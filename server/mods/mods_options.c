/* Options: tables of typed fields filled from configured values, with bounds and units; their manual. */
#include "mods/mods_config.h"

#include "base/base_assert.h"
#include "xmpp/xmpp_jid.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One filling. */
typedef struct fill {
    const svi_config *config;
    const sv_option *option;
    const svi_value *value; /* NULL for a preset */
    void *field;
    char wrong[200];
} fill;

static const sv_option *at(const sv_option *options, size_t stride, size_t i)
{
    return (const sv_option *)(const void *)((const char *)options + i * stride);
}

static bool fail(fill *f, const char *must)
{
    (void)snprintf(f->wrong, sizeof f->wrong, "'%s' must be %s", f->option->name, must);
    return false;
}

/* --- numbers with units ------------------------------------------------------------------------------- */

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

static const unit periods[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                               {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const unit sizes[] = {
    {"", 1}, {"k", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}, {NULL, 0}};

static bool with_unit(sv_str text, const unit *units, int64_t *value_out)
{
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') digits++;
    int64_t number;
    if (svi_str_int(svi_str_sub(text, 0, digits), 0, INT64_MAX, &number) != SV_OK) return false;
    const sv_str rest = svi_str_sub(text, digits, text.n);
    for (; units->name; units++) {
        if (!sv_str_eq(rest, sv_str_of(units->name))) continue;
        if (number > INT64_MAX / units->factor) return false;
        *value_out = number * units->factor;
        return true;
    }
    return false;
}

static bool parse_number(sv_option_kind kind, sv_str text, int64_t *value_out)
{
    if (kind == SV_OPTION_PERIOD) return with_unit(text, periods, value_out);
    if (kind == SV_OPTION_SIZE) return with_unit(text, sizes, value_out);
    return svi_str_int(text, INT64_MIN, INT64_MAX, value_out) == SV_OK;
}

bool svi_option_number(sv_option_kind kind, sv_str text, int64_t *value_out)
{
    return parse_number(kind, text, value_out);
}

static bool in_bounds(fill *f, int64_t number)
{
    const sv_option *o = f->option;
    int64_t bound;
    const bool low = o->min && parse_number(o->kind, sv_str_of(o->min), &bound) && number < bound;
    const bool high =
        !low && o->max && parse_number(o->kind, sv_str_of(o->max), &bound) && number > bound;
    if (!low && !high) return true;
    (void)snprintf(f->wrong, sizeof f->wrong, "'%s' must be from %s to %s", o->name,
                   o->min ? o->min : "any", o->max ? o->max : "any");
    return false;
}

static bool set_number(fill *f, int64_t number)
{
    if (!in_bounds(f, number)) return false;
    memcpy(f->field, &number, sizeof number);
    return true;
}

/* --- kinds -------------------------------------------------------------------------------------------- */

static bool fail_list(fill *f)
{
    return fail(f, f->option->min ? "a text in quotes, or several in braces: { \"a\", \"b\" }"
                                  : "a list of texts in braces, such as { \"a\", \"b\" }");
}

/* RFC 3986 3: a scheme, a colon and something more, all of the characters that a URI may have. */
static bool is_uri(sv_str text)
{
    static const char others[] = "-._~:/?#[]@!$&'()*+,;=%";
    size_t colon = text.n;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i], lower = (char)(c | 0x20);
        const bool is_letter = lower >= 'a' && lower <= 'z', is_digit = c >= '0' && c <= '9';
        if (i == 0 && !is_letter) return false;
        if (!is_letter && !is_digit && (c == 0 || strchr(others, c) == NULL)) return false;
        if (colon < text.n) continue;
        if (c == ':')
            colon = i;
        else if (!is_letter && !is_digit && c != '+' && c != '-' && c != '.')
            return false;
    }
    return colon + 1 < text.n;
}

static bool is_jid(sv_str text, svi_arena *arena)
{
    sv_jid jid;
    return svi_jid_parse(arena, text, &jid) == SV_OK;
}

/* An address, or one with a blank and a name behind it; no control characters. */
static bool is_jid_name(sv_str text, svi_arena *arena)
{
    sv_str rest = text, address;
    const bool has_name = svi_str_find(text, ' ') < text.n;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20) return false;
    return svi_str_split(&rest, ' ', &address) && (!has_name || rest.n > 0) &&
           is_jid(address, arena);
}

/* The form that `max` of a text or list names. */
static bool has_form(fill *f, sv_str text, svi_arena *arena)
{
    const sv_str form = sv_str_of(f->option->max);
    if (form.n == 0 || (text.n == 0 && f->option->kind == SV_OPTION_STRING)) return true;
    if (sv_str_eq(form, SV_STR("uri")))
        return is_uri(text) || fail(f, "of URIs, such as \"mailto:abuse@example.org\" or "
                                       "\"xmpp:admin@example.org\"");
    if (sv_str_eq(form, SV_STR("jid")))
        return is_jid(text, arena) ||
               fail(f, "of addresses, such as \"admin@example.org\"");
    SV_ASSERT(sv_str_eq(form, SV_STR("jid-name")));
    return is_jid_name(text, arena) ||
           fail(f, "of addresses, each of them alone or with a blank and a name behind it, such as "
                   "\"chat.example.org\" or \"chat.example.org Rooms\"");
}

static bool from_text(fill *f, sv_str text)
{
    const sv_option *o = f->option;
    int64_t number = 0;
    switch (o->kind) {
    case SV_OPTION_INT:
        return parse_number(o->kind, text, &number) ? set_number(f, number)
                                                    : fail(f, "a whole number");
    case SV_OPTION_PERIOD:
        return parse_number(o->kind, text, &number)
                   ? set_number(f, number)
                   : fail(f, "a time with its unit, such as \"50ms\", \"30s\", \"5m\", \"2h\", \"1d\"");
    case SV_OPTION_SIZE:
        return parse_number(o->kind, text, &number)
                   ? set_number(f, number)
                   : fail(f, "a size such as \"64k\", \"10M\" or a number of bytes");
    case SV_OPTION_BOOL: {
        const bool is = sv_str_eq(text, SV_STR("true"));
        if (!is && !sv_str_eq(text, SV_STR("false"))) return fail(f, "true or false");
        memcpy(f->field, &is, sizeof is);
        return true;
    }
    case SV_OPTION_STRING: memcpy(f->field, &text, sizeof text); return true;
    case SV_OPTION_ENUM: {
        sv_str words = sv_str_of(o->min), word;
        for (; svi_str_split(&words, ' ', &word); number++)
            if (sv_str_eq(word, text)) {
                memcpy(f->field, &number, sizeof number);
                return true;
            }
        (void)snprintf(f->wrong, sizeof f->wrong, "'%s' must be one of: %s", o->name, o->min);
        return false;
    }
    case SV_OPTION_LIST: break;
    }
    return fail_list(f);
}

/* A list of texts; numbers (ports) are taken as written. */
static bool from_list(fill *f, const svi_value *items, size_t count, svi_arena *arena)
{
    sv_str *texts = svi_arena_get(arena, (count ? count : 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind == SVI_VALUE_STRING)
            texts[i] = items[i].text;
        else if (items[i].kind == SVI_VALUE_INT)
            texts[i] = svi_arena_printf(arena, "%" PRId64, items[i].number);
        else
            return fail_list(f);
        if (!has_form(f, texts[i], arena)) return false;
    }
    const sv_str_list list = {.items = texts, .count = count};
    memcpy(f->field, &list, sizeof list);
    return true;
}

static bool from_preset(fill *f, svi_arena *arena)
{
    const sv_option *o = f->option;
    if (o->kind != SV_OPTION_LIST) return from_text(f, sv_str_of(o->preset ? o->preset : ""));
    sv_str words = sv_str_of(o->preset ? o->preset : ""), word, count_words = words;
    size_t count = 0;
    while (svi_str_split(&count_words, ' ', &word)) count++;
    svi_value *items = svi_arena_get(arena, (count ? count : 1) * sizeof *items);
    for (size_t i = 0; i < count && svi_str_split(&words, ' ', &word); i++)
        items[i] = (svi_value){.kind = SVI_VALUE_STRING, .text = word};
    return from_list(f, items, count, arena);
}

/* Text of a secret that stands elsewhere: "file:PATH" (its first line) or "env:NAME". */
static bool fetch_secret(fill *f, svi_arena *arena, sv_str *text)
{
    const sv_str name = sv_str_of(f->option->name);
    if (!svi_str_ends(name, SV_STR("_secret")) && !svi_str_ends(name, SV_STR("_password")))
        return true;
    const bool in_file = svi_str_starts(*text, SV_STR("file:")),
               in_env = svi_str_starts(*text, SV_STR("env:"));
    if (in_env) {
        const char *value = getenv(svi_arena_str(arena, svi_str_sub(*text, 4, text->n)).p);
        if (!value) return fail(f, "the name of an environment variable that is set");
        *text = svi_arena_str(arena, sv_str_of(value));
        return true;
    }
    if (!in_file)
        return fail(f, "\"file:PATH\" or \"env:NAME\": secrets do not stand in the configuration");
    FILE *file = fopen(svi_arena_str(arena, svi_str_sub(*text, 5, text->n)).p, "re");
    char line[1024] = "";
    const bool got = file && fgets(line, sizeof line, file);
    if (file) (void)fclose(file);
    if (!got) return fail(f, "a file that can be read");
    *text = svi_arena_str(arena, svi_str_trim(sv_str_of(line)));
    return true;
}

static bool from_value(fill *f, svi_arena *arena)
{
    const svi_value *v = f->value;
    switch (v->kind) {
    case SVI_VALUE_LIST:
        return f->option->kind == SV_OPTION_LIST ? from_list(f, v->items, v->count, arena)
                                                 : fail(f, "a single value, not a list");
    case SVI_VALUE_BOOL:
        if (f->option->kind == SV_OPTION_STRING) return fail(f, "a text in quotes");
        return from_text(f, v->number ? SV_STR("true") : SV_STR("false"));
    case SVI_VALUE_INT:
        if (f->option->kind == SV_OPTION_SIZE && v->number < 0) /* whatever its bounds are */
            return fail(f, "a size such as \"64k\", \"10M\" or a number of bytes");
        if (f->option->kind == SV_OPTION_INT || f->option->kind == SV_OPTION_SIZE)
            return set_number(f, v->number);
        if (f->option->kind == SV_OPTION_BOOL) return fail(f, "true or false");
        if (f->option->kind == SV_OPTION_STRING) return fail(f, "a text in quotes");
        return from_text(f, svi_arena_printf(arena, "%" PRId64, v->number));
    case SVI_VALUE_STRING: {
        sv_str text = v->text;
        if (f->option->kind == SV_OPTION_LIST && f->option->min) return from_list(f, v, 1, arena);
        if (f->option->kind == SV_OPTION_INT || f->option->kind == SV_OPTION_BOOL)
            return fail(f, f->option->kind == SV_OPTION_INT ? "a whole number, without quotes"
                                                            : "true or false, without quotes");
        if (f->option->kind == SV_OPTION_STRING && !has_form(f, text, arena)) return false;
        return fetch_secret(f, arena, &text) && from_text(f, text);
    }
    }
    return false;
}

sv_status svi_options_fill(const svi_config *config, const svi_section *section,
                           const sv_option *options, size_t stride, void *into,
                           svi_config_report report, void *ctx)
{
    SV_ASSERT(stride >= sizeof(sv_option));
    bool failed = false;
    svi_arena *arena = svi_config_arena(config);
    for (size_t i = 0; options && at(options, stride, i)->name; i++) {
        const sv_option *o = at(options, stride, i);
        fill f = {.config = config, .option = o, .field = (char *)into + o->offset};
        f.value = svi_config_get(config, section, sv_str_of(o->name));
        if (f.value ? from_value(&f, arena) : from_preset(&f, arena)) continue;
        failed = true;
        report(ctx, f.value ? f.value->file : "(preset)", f.value ? f.value->line : 0, f.wrong);
    }
    return failed ? SV_EINVAL : SV_OK;
}

/* --- a module's table ---------------------------------------------------------------------------------- */

/* What a field of that kind takes; 0 for a kind that is not known. */
static size_t field_bytes(sv_option_kind kind)
{
    switch (kind) {
    case SV_OPTION_INT:
    case SV_OPTION_PERIOD:
    case SV_OPTION_SIZE:
    case SV_OPTION_ENUM: return sizeof(int64_t);
    case SV_OPTION_BOOL: return sizeof(bool);
    case SV_OPTION_STRING: return sizeof(sv_str);
    case SV_OPTION_LIST: return sizeof(sv_str_list);
    }
    return 0;
}

/* True if it is the module's name, hyphens as underscores, an underscore and something more, as a configuration can have it. */
static bool is_own_name(sv_str name, sv_str module)
{
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
        if (i < module.n && c != (module.p[i] == '-' ? '_' : module.p[i])) return false;
    }
    return name.n > module.n + 1 && name.p[module.n] == '_';
}

static bool is_form(const sv_option *o)
{
    static const char *const forms[] = {"uri", "jid", "jid-name"};
    if ((o->kind != SV_OPTION_STRING && o->kind != SV_OPTION_LIST) || o->max == NULL || *o->max == '\0') return true;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(o->max, forms[i]) == 0) return true;
    return false;
}

/* A bound that can't be read would bind nothing. */
static bool has_bounds(const sv_option *o)
{
    int64_t bound;
    if (o->kind == SV_OPTION_ENUM) return o->min != NULL && *o->min != '\0';
    if (o->kind != SV_OPTION_INT && o->kind != SV_OPTION_PERIOD && o->kind != SV_OPTION_SIZE) return true;
    return (o->min == NULL || parse_number(o->kind, sv_str_of(o->min), &bound)) &&
           (o->max == NULL || parse_number(o->kind, sv_str_of(o->max), &bound));
}

/* True if its default is a value that it may have; one that `self` has no room for is not tried. */
static bool has_preset(const sv_option *o, char wrong[200])
{
    sv_str_list room = {.count = 0}; /* the largest of the fields */
    svi_acct acct = {.name = "options"};
    svi_arena *arena = svi_arena_new(&acct, 256);
    fill f = {.option = o, .field = &room};
    const bool fine = from_preset(&f, arena);
    (void)snprintf(wrong, 200, "%s", f.wrong);
    svi_arena_free(&arena);
    return fine;
}

static sv_status check_option(const sv_option *o, const char *module, size_t self_size, sv_err *err)
{
    char wrong[200];
    const size_t bytes = field_bytes(o->kind);
    if (!is_own_name(sv_str_of(o->name), sv_str_of(module)))
        return svi_err(err, SV_EINVAL,
                       "its option \"%.60s\" has a wrong name: begin it with the module's name and an underscore; use "
                       "lower-case letters, digits and underscores",
                       o->name);
    if (bytes == 0)
        return svi_err(err, SV_EINVAL,
                       "its option \"%.60s\" is of the unknown kind %d: declare it with SV_OPT_..., or upgrade the server",
                       o->name, (int)o->kind);
    if (o->offset > self_size || bytes > self_size - o->offset)
        return svi_err(err, SV_EINVAL,
                       "its option \"%.60s\" lies outside of `self` (%zu bytes): is .self_size the size of the struct that "
                       "the option names?",
                       o->name, self_size);
    if (!has_bounds(o))
        return svi_err(err, SV_EINVAL, "its option \"%.60s\" has bounds that can't be read, or no words to choose from", o->name);
    if (!is_form(o))
        return svi_err(err, SV_EINVAL, "its option \"%.60s\" has the unknown form \"%.40s\": use uri, jid or jid-name", o->name,
                       o->max);
    if (o->manual == NULL || *o->manual == '\0')
        return svi_err(err, SV_EINVAL, "its option \"%.60s\" lacks its sentence of the manual", o->name);
    if (!has_preset(o, wrong)) return svi_err(err, SV_EINVAL, "the default of its option is wrong: %s", wrong);
    return SV_OK;
}

sv_status svi_options_check(const sv_option *options, size_t stride, const char *module, size_t self_size, sv_err *err)
{
    for (size_t i = 0; options && at(options, stride, i)->name; i++) {
        const sv_option *o = at(options, stride, i);
        const sv_status status = check_option(o, module, self_size, err);
        if (status != SV_OK) return status;
        for (size_t k = 0; k < i; k++)
            if (strcmp(at(options, stride, k)->name, o->name) == 0)
                return svi_err(err, SV_EINVAL, "it declares the option \"%.60s\" twice", o->name);
    }
    return SV_OK;
}

/* --- filled values ------------------------------------------------------------------------------------ */

static void keep_list(const void *field, sv_str_list *list, svi_arena *arena)
{
    memcpy(list, field, sizeof *list);
    sv_str *items = svi_arena_get(arena, (list->count + 1) * sizeof *items);
    for (size_t i = 0; i < list->count; i++) items[i] = svi_arena_str(arena, list->items[i]);
    list->items = items;
}

void svi_options_keep(const sv_option *options, size_t stride, void *into, svi_arena *arena)
{
    for (size_t i = 0; options && at(options, stride, i)->name; i++) {
        const sv_option *o = at(options, stride, i);
        void *field = (char *)into + o->offset;
        sv_str text;
        sv_str_list list;
        if (o->kind == SV_OPTION_STRING) {
            memcpy(&text, field, sizeof text);
            text = svi_arena_str(arena, text);
            memcpy(field, &text, sizeof text);
        } else if (o->kind == SV_OPTION_LIST) {
            keep_list(field, &list, arena);
            memcpy(field, &list, sizeof list);
        }
    }
}

static bool same_list(const void *a, const void *b)
{
    sv_str_list one, two;
    memcpy(&one, a, sizeof one);
    memcpy(&two, b, sizeof two);
    if (one.count != two.count) return false;
    for (size_t i = 0; i < one.count; i++)
        if (!sv_str_eq(one.items[i], two.items[i])) return false;
    return true;
}

static bool same_field(const sv_option *o, const void *a, const void *b)
{
    sv_str one, two;
    switch (o->kind) {
    case SV_OPTION_BOOL: return memcmp(a, b, sizeof(bool)) == 0;
    case SV_OPTION_STRING:
        memcpy(&one, a, sizeof one);
        memcpy(&two, b, sizeof two);
        return sv_str_eq(one, two);
    case SV_OPTION_LIST: return same_list(a, b);
    default: return memcmp(a, b, sizeof(int64_t)) == 0;
    }
}

bool svi_options_same(const sv_option *options, size_t stride, const void *a, const void *b)
{
    for (size_t i = 0; options && at(options, stride, i)->name; i++) {
        const sv_option *o = at(options, stride, i);
        if (!same_field(o, (const char *)a + o->offset, (const char *)b + o->offset)) return false;
    }
    return true;
}

/* --- unknown names ------------------------------------------------------------------------------------ */

static const char *nearest(const sv_option *const *tables, const size_t *strides, size_t count,
                           sv_str name, bool *known_out)
{
    const char *best = NULL;
    size_t best_distance = name.n / 3 + 2;
    *known_out = false;
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; tables[t] && at(tables[t], strides[t], i)->name; i++) {
            const char *candidate = at(tables[t], strides[t], i)->name;
            const size_t distance = svi_str_distance(name, sv_str_of(candidate), best_distance);
            if (distance == 0) *known_out = true;
            if (svi_str_eq_fold(name, sv_str_of(candidate))) best = candidate, best_distance = 1;
            if (distance < best_distance) {
                best_distance = distance;
                best = candidate;
            }
        }
    return best;
}

sv_status svi_options_unknown(const svi_config *config, const sv_option *const *tables,
                              const size_t *strides, size_t count, svi_config_report report,
                              void *ctx)
{
    bool failed = false;
    const svi_section *section;
    for (size_t s = 0; (section = svi_config_section(config, s)); s++) {
        size_t pos = 0;
        sv_str name;
        const svi_value *value;
        while (svi_config_names(config, section, &pos, &name, &value)) {
            bool known;
            const char *near = nearest(tables, strides, count, name, &known);
            if (known) continue;
            char text[200];
            (void)snprintf(text, sizeof text,
                           "'%.*s' is no option of the server or of an enabled module%s%s%s",
                           (int)(name.n > 60 ? 60 : name.n), name.p, near ? "; did you mean '" : "",
                           near ? near : "", near ? "'?" : "");
            report(ctx, value->file, value->line, text);
            failed = true;
        }
    }
    return failed ? SV_EINVAL : SV_OK;
}

/* --- manual ------------------------------------------------------------------------------------------- */

static const char *kind_name(sv_option_kind kind)
{
    static const char *const names[] = {
        [SV_OPTION_INT] = "number",  [SV_OPTION_BOOL] = "true or false",
        [SV_OPTION_STRING] = "text", [SV_OPTION_PERIOD] = "time",
        [SV_OPTION_SIZE] = "size",   [SV_OPTION_ENUM] = "one of",
        [SV_OPTION_LIST] = "list"};
    SV_ASSERT(kind >= SV_OPTION_INT && kind <= SV_OPTION_LIST);
    return names[kind];
}

/* What a value of it is, with its bounds. */
static void manual_kind(svi_buf *out, const sv_option *o)
{
    const bool is_text = o->kind == SV_OPTION_LIST || o->kind == SV_OPTION_STRING;
    const bool is_one_or_more = o->kind == SV_OPTION_LIST && o->min;
    svi_buf_put(out, sv_str_of(is_one_or_more ? "text or list" : kind_name(o->kind)));
    if (o->kind == SV_OPTION_ENUM)
        svi_buf_printf(out, " %s", o->min);
    else if (is_text && o->max)
        svi_buf_printf(out, " of the form %s", o->max);
    else if (!is_text && o->min && o->max)
        svi_buf_printf(out, " from %s to %s", o->min, o->max);
}

void svi_options_manual(svi_buf *out, const sv_option *options, size_t stride)
{
    for (size_t i = 0; options && at(options, stride, i)->name; i++) {
        const sv_option *o = at(options, stride, i);
        svi_buf_printf(out, "%s (", o->name);
        manual_kind(out, o);
        svi_buf_printf(out, ", default %s)\n    %s\n",
                       o->preset && o->preset[0] ? o->preset : "none", o->manual);
    }
}
