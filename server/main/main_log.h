/* The process's log: where its lines go (option log_to), and how a file is opened again when it was
 * moved away. */
#ifndef SVI_MAIN_LOG_H
#define SVI_MAIN_LOG_H

#include "main/main_settings.h"

typedef struct svi_log svi_log;

/* As the supervisor begins, by its settings. A file is made with mode 0640 if it is missing; SV_EIO
 * says why it can't be opened, or why the daemon can't be reached, and what to do. From then on,
 * SV_LOG goes there. */
sv_status svi_log_start(svi_acct *acct, const svi_settings *settings, svi_log **log_out,
                        sv_err *err);

/* The word for the worker's command line, which says the same to svi_log_join: "stdout", "syslog",
 * "journald" or the number of the file's descriptor. `to` holds 16 bytes. */
void svi_log_word(const svi_log *log, char to[16]);

/* The file's descriptor, to be kept over the worker's start; -1: there is none. Borrowed. */
int svi_log_fd(const svi_log *log);

/* As a worker begins, with what the supervisor opened. Level and form are told later. SV_EINVAL,
 * SV_EIO. */
sv_status svi_log_join(svi_acct *acct, const char *word, svi_log **log_out, sv_err *err);
void svi_log_form(svi_log *log, const svi_settings *settings);

/* True if the log is a file. */
bool svi_log_is_file(const svi_log *log);

/* Opens the file's path again and goes on there; svi_log_fd is the new descriptor. SV_EIO with the
 * reason: then the old one stays. Supervisor. */
sv_status svi_log_reopen(svi_log *log, sv_err *err);

/* Goes on in that file, which is taken. Worker. */
void svi_log_take(svi_log *log, int take_fd);

/* Waits for what is not written yet, a fifth of a second at most. Uses only what a signal handler
 * may use; an svi_log. */
void svi_log_drain(void *log);

/* Writes what waits, a second at most; what is logged after that goes to standard error. Clears the
 * pointer. */
void svi_log_end(svi_log **log);

/* Logs each line of problems as "config-error". */
void svi_log_problems(const svi_problems *problems);

#endif
