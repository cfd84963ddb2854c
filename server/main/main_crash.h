/* Crash reports: what a dying worker leaves behind, and how the supervisor reads it.
 *
 * A report is a text of "name: value" lines: time, process, signal, what was asserted, module,
 * hook, host, stanza and its head (addresses and element names, never a body), then addresses of
 * the calls. */
#ifndef SVI_MAIN_CRASH_H
#define SVI_MAIN_CRASH_H

#include <pthread.h>

#include "base/base_assert.h"
#include "base/base_str.h"

/* From now on a fatal signal or a failed assertion of any thread writes a report to `file` (a new
 * file, mode 0600) and to standard error, then ends the process by that signal. `file` is copied.
 * Once a process, before threads start. */
void svi_crash_install(const char *file);

/* What a dying process calls after its report, with `ctx`: may do only what a signal handler may.
 */
void svi_crash_last(void (*call)(void *ctx), void *ctx);

/* Ends the process by SIGABRT on that thread, which then reports what it was about. `why` is copied and stands where a failed
 * assertion would. Any thread. */
void svi_crash_thread(pthread_t thread, const char *why);

/* Writes the report's text to a descriptor. Uses only what a signal handler may use. `why` is the
 * failed assertion or NULL. */
void svi_crash_write(int fd, int signal, const svi_exec *exec, const char *why);

/* What a supervisor tells of a report. */
typedef struct svi_crash_info {
    char module[64], hook[128], host[256], assertion[200];
} svi_crash_info;

/* Reads the lines of a report; what is missing stays empty. False if there is no report, or
 * something else in its place: the folder is the worker's user's, and the reader is root's. */
bool svi_crash_read(const char *file, svi_crash_info *info_out);

/* "SEGV" for SIGSEGV; a number's text for others is "signal". Static. */
const char *svi_crash_signal_name(int signal);

#endif
