/* The commands' side of the control socket. */
#ifndef SVI_MAIN_ASK_H
#define SVI_MAIN_ASK_H

#include <jansson.h>

#include "base/base_str.h"

/* Sends one request to the server behind the unix socket `path` and waits for its answer (a new
 * reference). SV_ENOTFOUND if no server is there, SV_EDENIED if it may not be asked, SV_ECLOSED or
 * SV_ETIMEOUT if it did not answer. Blocks. */
sv_status svi_ask(const char *path, const json_t *request, json_t **answer_out, sv_err *err);

/* The same for an answer that is a stream of bytes: `fd_out`, to be read from its first byte and
 * closed by the caller. If the server says no instead: SV_EINVAL with its text. */
sv_status svi_ask_stream(const char *path, const json_t *request, int *fd_out, sv_err *err);

/* The second half of that: waits for what comes first on `fd`. SV_EINVAL if it is a line that says
 * no. */
sv_status svi_ask_begins(int fd, sv_err *err);

/* The same for a command that follows: `take(ctx, line)` is called with the answer and each line behind it
 * (borrowed), until it says false or the server hangs up. SV_OK if it said so; SV_ECLOSED if the
 * server hung up behind a whole answer, other errors as svi_ask. Blocks for as long as that takes. */
sv_status svi_ask_lines(const char *path, const json_t *request,
                        bool (*take)(void *ctx, const json_t *line), void *ctx, sv_err *err);

#endif
