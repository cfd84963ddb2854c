/* Log lines to standard output, unbuffered. */
#include "main/main_log.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/base_log.h"

static void sink(void *ctx, sv_level level, sv_str line)
{
    (void)ctx, (void)level;
    while (line.n > 0) {
        const ssize_t n = write(STDOUT_FILENO, line.p, line.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return; /* nobody reads any more: serving goes on */
        line = svi_str_sub(line, (size_t)n, line.n);
    }
}

void svi_log_to_stdout(const svi_settings *settings)
{
    svi_log_setup((sv_level)settings->log_level, (svi_log_format)settings->log_format, sink, NULL,
                  NULL, NULL);
}

void svi_log_problems(const svi_problems *problems)
{
    sv_str rest = svi_buf_str(&problems->text), line;
    while (svi_str_split(&rest, '\n', &line))
        SV_LOG(SV_ERROR, "config-error", LF_STR("problem", line));
}
