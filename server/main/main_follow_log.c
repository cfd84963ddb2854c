/* What `stave log follow` tells: the log's lines, as they are made, on the threads that make them. */
#include "base/base_assert.h"
#include "main/main_follow.h"

typedef struct entry {
    sv_level level;
    const char *event;
    const svi_field *fields;
    size_t count;
} entry;

/* The field's text, or what the context knows; empty: neither. */
static sv_str host_of(const entry *e)
{
    for (size_t i = 1; i < e->count; i++)
        if (strcmp(e->fields[i].name, "host") == 0 && !e->fields[i].is_int) return e->fields[i].text;
    return sv_str_of(svi_exec_now()->host);
}

/* "jid", "account" and the like hold addresses; "user" is a localpart of the line's host. */
static bool is_about_user(const entry *e, const sv_jid *user)
{
    for (size_t i = 1; i < e->count; i++) {
        const svi_field *field = &e->fields[i];
        if (field->is_int) continue;
        if (svi_follow_is_of(user, field->text)) return true;
        const bool is_name = strcmp(field->name, "user") == 0 && user->resource.n == 0;
        if (is_name && sv_str_eq(field->text, user->node) && sv_str_eq(host_of(e), user->domain))
            return true;
    }
    return false;
}

/* The domain of what looks like an address; empty if it does not. */
static sv_str domain_of(sv_str text)
{
    const size_t at = svi_str_find(text, '@');
    if (at == text.n) return SV_STR_NONE;
    const sv_str behind = svi_str_sub(text, at + 1, text.n);
    return svi_str_sub(behind, 0, svi_str_find(behind, '/'));
}

static bool is_about_host(const entry *e, sv_str host)
{
    if (sv_str_eq(host_of(e), host)) return true;
    for (size_t i = 1; i < e->count; i++)
        if (!e->fields[i].is_int && sv_str_eq(domain_of(e->fields[i].text), host)) return true;
    return false;
}

static bool wants(const svi_follow_filter *filter, const void *ctx)
{
    const entry *e = ctx;
    if ((int)e->level > filter->level) return false;
    if (filter->event.n > 0 && !sv_str_eq(sv_str_of(e->event), filter->event)) return false;
    if (filter->user.domain.n > 0 && !is_about_user(e, &filter->user)) return false;
    return filter->host.n == 0 || is_about_host(e, filter->host);
}

static void make(const void *ctx, bool with_xml, svi_buf *line)
{
    (void)with_xml;
    const entry *e = ctx;
    char text[SVI_LOG_BYTES];
    sv_str made = svi_log_line(SVI_LOG_JSON, e->level, e->event, e->fields, e->count, text);
    svi_buf_put(line, SV_STR("{\"record\":"));
    svi_buf_put(line, svi_str_sub(made, 0, made.n - 1));
    made = svi_log_line(SVI_LOG_TEXT, e->level, e->event, e->fields, e->count, text);
    svi_buf_put(line, SV_STR(",\"text\":"));
    svi_follow_put_quoted(line, svi_str_sub(made, 0, made.n - 1));
    svi_buf_putc(line, '}');
}

void svi_follows_put_log(void *follows, sv_level level, const char *event, const svi_field *fields,
                         size_t count)
{
    const entry e = {.level = level, .event = event, .fields = fields, .count = count};
    const svi_follow_news news = {
        .kind = SVI_FOLLOW_LOG, .wants = wants, .make = make, .ctx = &e};
    svi_follows_tell(follows, &news);
}
