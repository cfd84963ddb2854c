/* The log's writer: lines are queued by any thread and written by one of its own, so that neither a
 * terminal that nobody reads nor a disk or a log daemon that is stuck ever holds who logs. */
#ifndef SVI_MAIN_LOGGER_H
#define SVI_MAIN_LOGGER_H

#include "base/base_assert.h"
#include "base/base_str.h"

typedef struct svi_logger svi_logger;

typedef enum svi_logger_kind {
    SVI_LOGGER_STREAM,   /* a descriptor, line by line as they are */
    SVI_LOGGER_PREFIXED, /* the same with "<PRIORITY>" before each (sd-daemon(3)) and without time and level */
    SVI_LOGGER_SYSLOG,   /* a datagram each, as syslog(3) makes them (RFC 3164 4.1) */
    SVI_LOGGER_JOURNALD  /* a datagram each, as the format SVI_LOG_JOURNAL makes them */
} svi_logger_kind;

typedef struct svi_logger_config {
    svi_acct *acct;
    svi_logger_kind kind;
    int fd;           /* of streams: borrowed if it is standard output, else taken */
    const char *path; /* of the daemon's socket; copied */
    size_t room;      /* bytes that may wait */
} svi_logger_config;

/* Starts the thread; every signal but those of faults is blocked in it. SV_EIO. */
sv_status svi_logger_open(const svi_logger_config *config, svi_logger **logger_out, sv_err *err);

/* An svi_log_sink whose ctx is the logger. Waits for nothing: without room the line is dropped and
 * counted, and "log-dropped" tells of it as soon as lines can be written again. What can't be
 * written now (a full disk, a daemon that is being restarted) is tried again until it can. */
void svi_logger_sink(void *logger, sv_level level, sv_str line);

/* From the next line on another descriptor, which is taken. A write that is under way is waited for,
 * a twentieth of a second at most, so that the old one is closed when it returns. Any thread. */
void svi_logger_switch(svi_logger *logger, int take_fd);

/* Waits until all is written, at most so long; true if it is. Uses only what a signal handler may
 * use. */
bool svi_logger_drain(svi_logger *logger, unsigned within_ms);

/* Drains, then ends the thread and frees; a thread that hangs in a write is left to the end of the
 * process, and its logger with it. Nobody may log there any more. Clears the pointer. */
void svi_logger_close(svi_logger **logger, unsigned within_ms);

#endif
