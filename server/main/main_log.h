/* The process's log: lines on standard output. */
#ifndef SVI_MAIN_LOG_H
#define SVI_MAIN_LOG_H

#include "main/main_settings.h"

/* Level and form as the settings say; each line is one write, so that lines of supervisor and
 * worker do not mix. */
void svi_log_to_stdout(const svi_settings *settings);

/* Logs each line of problems as "config-error". */
void svi_log_problems(const svi_problems *problems);

#endif
