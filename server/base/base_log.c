/* Log lines: built whole in a bounded buffer on the stack, escaped, handed to the sink in one piece.
 *
 * What comes from peers can neither begin a new line nor steer a terminal (threats X15): controls, C1
 * controls and characters that turn the writing direction are escaped, broken UTF-8 is replaced. */
#include "base/base_log.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_plat.h"
#include "base/base_str.h"

enum {
    LINE_BYTES = 4096,
    CONTEXT_BYTES = 768, /* kept free for module, host, stanza and the end of the line */
    VALUE_BYTES = 768,   /* of one value after escaping */
    CONTEXT_VALUE_BYTES = 256,
    NAME_BYTES = 64,
    KEY_BYTES = 57,  /* behind STAVE_: journald takes 64 in all */
    FRONT_BYTES = 31 /* time and level of a text line */
};

static struct {
    _Atomic int level;
    svi_log_format format;
    svi_log_sink sink;
    void *sink_ctx;
    int64_t (*wall_us)(void *);
    void *wall_ctx;
    _Atomic int tap_level;
    _Atomic(svi_log_tap) tap;
    void *_Atomic tap_ctx;
    _Atomic unsigned in_tap; /* threads that may be calling it */
} setup = {.level = SV_INFO, .tap_level = -1};

void svi_log_setup(sv_level level, svi_log_format format, svi_log_sink sink, void *ctx,
                   int64_t (*wall_us)(void *), void *wall_ctx)
{
    svi_log_set_level(level);
    setup.format = format;
    setup.sink = sink;
    setup.sink_ctx = ctx;
    setup.wall_us = wall_us;
    setup.wall_ctx = wall_ctx;
}

sv_level svi_log_level(void)
{
    return (sv_level)atomic_load_explicit(&setup.level, memory_order_relaxed);
}

void svi_log_set_level(sv_level level)
{
    atomic_store_explicit(&setup.level, (int)level, memory_order_relaxed);
}

bool svi_log_wants(sv_level level)
{
    return level <= svi_log_level() ||
           (int)level <= atomic_load_explicit(&setup.tap_level, memory_order_relaxed);
}

void svi_log_tap_level(int level)
{
    atomic_store_explicit(&setup.tap_level, level, memory_order_relaxed);
}

void svi_log_set_tap(svi_log_tap tap, void *ctx)
{
    atomic_store(&setup.tap, NULL);
    while (atomic_load(&setup.in_tap) > 0) (void)sched_yield();
    atomic_store(&setup.tap_ctx, ctx);
    atomic_store(&setup.tap, tap);
}

/* Who sees the tap here is counted already, so that whoever takes it away waits. */
static void tell_tap(sv_level level, const char *event, const svi_field *fields, size_t count)
{
    if ((int)level > atomic_load_explicit(&setup.tap_level, memory_order_relaxed)) return;
    atomic_fetch_add(&setup.in_tap, 1);
    const svi_log_tap tap = atomic_load(&setup.tap);
    if (tap != NULL) tap(atomic_load(&setup.tap_ctx), level, event, fields, count);
    atomic_fetch_sub(&setup.in_tap, 1);
}

static void sink_stderr(sv_str line)
{
    while (line.n > 0) {
        const ssize_t n = write(STDERR_FILENO, line.p, line.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* nowhere left to say it */
        line = svi_str_sub(line, (size_t)n, line.n);
    }
}

/* A line being built. What passes `limit` is left out and `full` says so. */
typedef struct line {
    svi_log_format form;
    bool full;
    size_t len;
    size_t limit;
    char text[SVI_LOG_BYTES];
} line;

static bool is_json(const line *l)
{
    return l->form == SVI_LOG_JSON;
}

static void put(line *l, sv_str s)
{
    if (l->full || s.n > l->limit - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->len, s.p, s.n);
    l->len += s.n;
}

/* Names come from code, but a module may make them from anything: what is not plain becomes '_'. */
static void put_name(line *l, const char *name)
{
    char to[NAME_BYTES];
    size_t n = 0;
    for (; n < sizeof to && name[n] != '\0'; n++) {
        const char c = name[n];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        to[n] = plain ? c : '_';
    }
    put(l, n == 0 ? SV_STR("_") : (sv_str){to, n});
}

static bool is_dangerous(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0xfeff ||
           (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* One character as it stands in a line; `to` holds 8 bytes. Takes it off the front of *rest. */
static sv_str escaped(sv_str *rest, char to[8])
{
    uint32_t code;
    const size_t n = svi_utf8_step(*rest, &code);
    const sv_str as_is = svi_str_sub(*rest, 0, n);
    *rest = svi_str_sub(*rest, n == 0 ? 1 : n, rest->n);
    if (n == 0) return SV_STR("\xef\xbf\xbd"); /* U+FFFD */
    if (code == '"') return SV_STR("\\\"");
    if (code == '\\') return SV_STR("\\\\");
    if (code == '\n') return SV_STR("\\n");
    if (code == '\r') return SV_STR("\\r");
    if (code == '\t') return SV_STR("\\t");
    if (!is_dangerous(code)) return as_is;
    snprintf(to, 8, "\\u%04x", (unsigned)(code & 0xffff));
    return (sv_str){to, 6};
}

static void put_escaped(line *l, sv_str value, size_t most)
{
    size_t out = 0;
    while (value.n > 0) {
        char space[8];
        const sv_str piece = escaped(&value, space);
        out += piece.n;
        if (out > most) {
            put(l, SV_STR("[cut]"));
            break;
        }
        put(l, piece);
    }
}

static void put_quoted(line *l, sv_str value, size_t most)
{
    put(l, SV_STR("\""));
    put_escaped(l, value, most);
    put(l, SV_STR("\""));
}

/* True if the value can stand in a text line without quotes. */
static bool is_bare(sv_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        const char c = value.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') return false;
    }
    return value.n > 0;
}

static void put_value(line *l, sv_str value, size_t most)
{
    if (l->form == SVI_LOG_JOURNAL)
        put_escaped(l, value, most);
    else if (is_json(l) || !is_bare(value) || value.n > most)
        put_quoted(l, value, most);
    else
        put(l, value);
}

static void put_int(line *l, int64_t value)
{
    char to[24];
    const int n = snprintf(to, sizeof to, "%" PRId64, value);
    put(l, (sv_str){to, (size_t)n});
}

/* journald takes capitals, digits and underscores. */
static void put_journal_key(line *l, const char *name)
{
    char to[KEY_BYTES];
    size_t n = 0;
    for (; n < sizeof to && name[n] != '\0'; n++) {
        const char c = name[n];
        const bool small = c >= 'a' && c <= 'z';
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        to[n] = small ? (char)(c - 'a' + 'A') : (char)(plain ? c : '_');
    }
    put(l, SV_STR("STAVE_"));
    put(l, (sv_str){to, n});
    put(l, SV_STR("="));
}

/* A field's name with what stands before and after it. The line's own three keys get an underscore. */
static void put_key(line *l, const char *name)
{
    if (l->form == SVI_LOG_JOURNAL) {
        put_journal_key(l, name);
        return;
    }
    put(l, is_json(l) ? SV_STR(",\"") : SV_STR(" "));
    put_name(l, name);
    const bool taken =
        strcmp(name, "time") == 0 || strcmp(name, "level") == 0 || strcmp(name, "event") == 0;
    if (taken) put(l, SV_STR("_"));
    put(l, is_json(l) ? SV_STR("\":") : SV_STR("="));
}

/* A field goes in whole or not at all. */
static bool put_field(line *l, const svi_field *field, size_t most)
{
    const size_t before = l->len;
    put_key(l, field->name);
    if (field->is_int)
        put_int(l, field->number);
    else
        put_value(l, field->text, most);
    if (l->form == SVI_LOG_JOURNAL) put(l, SV_STR("\n"));
    if (!l->full) return true;
    l->len = before;
    l->full = false;
    return false;
}

int svi_log_priority(sv_level level)
{
    static const int priorities[] = {3, 4, 6, 7};
    SV_ASSERT((unsigned)level < 4);
    return priorities[level];
}

sv_str svi_log_message(sv_str text)
{
    return setup.format == SVI_LOG_TEXT ? svi_str_sub(text, FRONT_BYTES, text.n) : text;
}

static void put_front(line *l, sv_level level, const char *event)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const char *const padded[] = {" error ", " warn  ", " info  ", " debug "};
    SV_ASSERT((unsigned)level < 4);
    const int64_t now =
        setup.wall_us != NULL ? setup.wall_us(setup.wall_ctx) : svi_plat_kernel()->wall_us(NULL);
    char stamp[32], ms[8];
    const sv_str seconds = svi_plat_stamp(now, stamp);
    const unsigned part = (unsigned)((now % 1000000 + 1000000) % 1000000 / 1000);
    snprintf(ms, sizeof ms, ".%03uZ", part);
    if (is_json(l)) put(l, SV_STR("{\"time\":\""));
    put(l, svi_str_sub(seconds, 0, seconds.n - 1));
    put(l, sv_str_of(ms));
    SV_ASSERT(is_json(l) || l->len + 7 == FRONT_BYTES);
    put(l, is_json(l) ? SV_STR("\",\"level\":\"") : sv_str_of(padded[level]));
    if (is_json(l)) put(l, sv_str_of(names[level]));
    if (is_json(l)) put(l, SV_STR("\",\"event\":\""));
    put_name(l, event);
    if (is_json(l)) put(l, SV_STR("\""));
}

static bool is_given(const svi_field *fields, size_t count, const char *name)
{
    for (size_t i = 1; i < count; i++)
        if (strcmp(fields[i].name, name) == 0) return true;
    return false;
}

static void put_context(line *l, const svi_field *fields, size_t count)
{
    const svi_exec *now = svi_exec_now();
    const svi_field context[] = {LF_TXT("module", now->module), LF_TXT("host", now->host),
                                 LF_INT("stanza", now->stanza)};
    const bool known[] = {now->module != NULL, now->host != NULL, now->stanza != 0};
    for (size_t i = 0; i < 3; i++)
        if (known[i] && !is_given(fields, count, context[i].name))
            put_field(l, &context[i], CONTEXT_VALUE_BYTES);
}

/* What was given and what the context knows; `room` bytes for all. */
static void put_fields(line *l, size_t room, const svi_field *fields, size_t count)
{
    const size_t end = l->len + room;
    SV_ASSERT(end < sizeof l->text && room > CONTEXT_BYTES);
    l->limit = end - CONTEXT_BYTES;
    int64_t left_out = 0;
    for (size_t i = 1; i < count; i++) left_out += !put_field(l, &fields[i], VALUE_BYTES);
    l->limit = end;
    if (left_out > 0) put_field(l, &LF_INT("fields_left_out", left_out), 0);
    put_context(l, fields, count);
    l->limit = sizeof l->text;
}

static void put_line(line *l, sv_level level, const char *event, const svi_field *fields,
                     size_t count)
{
    put_front(l, level, event);
    put_fields(l, LINE_BYTES - 2 - l->len, fields, count);
    put(l, is_json(l) ? SV_STR("}\n") : SV_STR("\n"));
}

/* Escaped values hold no line feed, so that the protocol's simple form does for all of them. */
static void put_datagram(line *l, sv_level level, const char *event, const svi_field *fields,
                         size_t count)
{
    put(l, SV_STR("SYSLOG_IDENTIFIER=stave\nPRIORITY="));
    put_int(l, svi_log_priority(level));
    put(l, SV_STR("\nMESSAGE="));
    put_name(l, event);
    l->form = SVI_LOG_TEXT;
    put_fields(l, LINE_BYTES, fields, count);
    put(l, SV_STR("\nSTAVE_EVENT="));
    put_name(l, event);
    put(l, SV_STR("\n"));
    l->form = SVI_LOG_JOURNAL;
    put_fields(l, LINE_BYTES + 1024, fields, count);
}

#ifdef SVI_DEBUG
static bool is_declared(const char *event)
{
#define SVI_LOG_NAME(name, meaning) name,
    static const char *const declared[] = {
#include "base/base_log_names.h"
    };
    for (size_t i = 0; i < sizeof declared / sizeof *declared; i++)
        if (strcmp(declared[i], event) == 0) return true;
    return false;
}
#endif

static void make_line(line *l, svi_log_format form, sv_level level, const char *event,
                      const svi_field *fields, size_t count)
{
    l->form = form;
    l->full = false;
    l->len = 0;
    l->limit = sizeof l->text;
    if (form == SVI_LOG_JOURNAL)
        put_datagram(l, level, event, fields, count);
    else
        put_line(l, level, event, fields, count);
    SV_ASSERT(!l->full);
}

sv_str svi_log_line(svi_log_format format, sv_level level, const char *event,
                    const svi_field *fields, size_t count, char to[SVI_LOG_BYTES])
{
    line l;
    SV_ASSERT(format != SVI_LOG_JOURNAL);
    make_line(&l, format, level, event, fields, count);
    memcpy(to, l.text, l.len);
    return (sv_str){to, l.len};
}

void svi_log_fields(sv_level level, const char *event, const svi_field *fields, size_t count)
{
#ifdef SVI_DEBUG
    SV_ASSERT(svi_exec_now()->module != NULL || is_declared(event)); /* modules name their own */
#endif
    tell_tap(level, event, fields, count);
    if (level > svi_log_level()) return;
    line l;
    make_line(&l, setup.format, level, event, fields, count);
    const sv_str text = {l.text, l.len};
    if (setup.sink != NULL)
        setup.sink(setup.sink_ctx, level, text);
    else
        sink_stderr(text);
}
