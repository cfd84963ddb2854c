/* Log: stable event names with named fields; text or JSON lines; control characters escaped
 * (threats X15).
 *
 * One line per fact. Module, host and stanza number are added from the execution context. Event
 * names are declared in base_log_names.h (lint checks that each use is declared) and do not change
 * within a major version. */
#ifndef SVI_BASE_LOG_H
#define SVI_BASE_LOG_H

#include "base/base_assert.h"

/* A field's value; made by the macros below so that a call reads
 *   SV_LOG(SV_WARN, "store-slow", LF_INT("ms", took), LF_STR("store", name)); */
typedef struct svi_field {
    const char *name;
    bool is_int;
    int64_t number;
    sv_str text;
} svi_field;

#define LF_INT(n, v) ((svi_field){.name = (n), .is_int = true, .number = (int64_t)(v)})
#define LF_STR(n, v) ((svi_field){.name = (n), .text = (v)})
#define LF_TXT(n, z) ((svi_field){.name = (n), .text = sv_str_of(z)})

#define SV_LOG(level, event, ...)                                                                  \
    do {                                                                                           \
        if (svi_log_wants(level))                                                                  \
            svi_log_fields((level), (event), (const svi_field[]){{.name = ""}, __VA_ARGS__},       \
                           sizeof((const svi_field[]){{.name = ""}, __VA_ARGS__}) /                \
                               sizeof(svi_field));                                                 \
    } while (0)

/* JOURNAL is not one line but journald's datagram (systemd's JOURNAL_NATIVE_PROTOCOL): MESSAGE
 * holds what a text line says, PRIORITY the level, STAVE_EVENT and STAVE_NAME for each field their
 * values. */
typedef enum svi_log_format { SVI_LOG_TEXT, SVI_LOG_JSON, SVI_LOG_JOURNAL } svi_log_format;

#define SVI_LOG_BYTES 12288u /* no finished line or datagram is longer */

/* Where finished lines go (each ends with \n). Any thread; must not log. NULL: standard error. */
typedef void (*svi_log_sink)(void *ctx, sv_level level, sv_str line);

/* Sets level, format, sink and the wall clock (us since 1970) used for stamps. Before threads
 * start. */
void svi_log_setup(sv_level level, svi_log_format format, svi_log_sink sink, void *ctx,
                   int64_t (*wall_us)(void *), void *wall_ctx);

/* The level up to which lines are written, and how to change it. Any thread. */
sv_level svi_log_level(void);
void svi_log_set_level(sv_level level);

/* True if somebody takes lines of that level: the sink, or the tap below. Any thread. */
bool svi_log_wants(sv_level level);

/* Who gets lines besides the sink, before they are written: called on the thread that logs, which
 * must not wait and must not log in it. */
typedef void (*svi_log_tap)(void *ctx, sv_level level, const char *event, const svi_field *fields,
                            size_t count);

/* Sets the tap, which gets nothing before svi_log_tap_level was called; or takes it away (NULL): when
 * this returns, no thread is in it any more. Any thread, but not the tap itself. */
void svi_log_set_tap(svi_log_tap tap, void *ctx);

/* Up to which level the tap gets lines, whatever the sink gets; -1: none. Any thread. */
void svi_log_tap_level(int level);

/* Makes what svi_log_fields would write in that format (not SVI_LOG_JOURNAL) from the same arguments.
 * The text lies in `to`. Any thread. */
sv_str svi_log_line(svi_log_format format, sv_level level, const char *event,
                    const svi_field *fields, size_t count, char to[SVI_LOG_BYTES]);

/* A finished line without its time and level, for a log that keeps those itself; JSON stays whole.
 */
sv_str svi_log_message(sv_str text);

/* The priority of syslog(3) for a level: 3, 4, 6, 7. */
int svi_log_priority(sv_level level);

/* Writes one line to whom svi_log_wants it, which the caller has asked; fields[0] is ignored (the macro's filler). Values are cut at
 * 768 bytes (mark "[cut]"), fields that do not fit are counted in `fields_left_out`. Debug builds
 * assert that the event is declared in base_log_names.h, unless a module runs (modules name their
 * own). Any thread. */
void svi_log_fields(sv_level level, const char *event, const svi_field *fields, size_t count);

#endif
