/* Commands of operators, as JSON requests and answers: the same over the control socket and, for
 * `stave user`, in a process without server.
 *
 * Request: {"command": "user add", "address": "romeo@example.org", "password": "..."}. Answer:
 * {"ok": true, ...} or
 * {"ok": false, "error": "cause, place, next step"}; "problems" holds lines of a configuration's
 * faults. Router thread. */
#ifndef SVI_MAIN_COMMAND_H
#define SVI_MAIN_COMMAND_H

#include <jansson.h>

#include "main/main_shard.h"

typedef struct svi_commands svi_commands;

/* The answer that comes later; the reference is handed over. Called exactly once, never before
 * svi_commands_run has returned. */
typedef void (*svi_command_done)(void *ctx, json_t *take_answer);

typedef struct svi_commands_config {
    svi_shard *shard;
    /* reads the configuration anew; answers as svi_commands_run does */
    json_t *(*reload)(void *ctx, svi_command_done done, void *done_ctx);
    json_t *(*certificates)(void *ctx); /* svi_certs_status */
    void (*stop)(void *ctx);      /* begins to end the process */
    void *ctx;
} svi_commands_config;

/* Makes the holder of commands; All but `shard` may be NULL where there is no server. */
svi_commands *svi_commands_new(const svi_commands_config *config);

/* Ends it; what is under way is answered with an error, at the latest when the loop has run out.
 * Before svi_shard_close. */
void svi_commands_free(svi_commands **commands);

/* Runs a request. Returns the answer (a new reference), or NULL if `done` is going to bring it. */
json_t *svi_commands_run(svi_commands *commands, const json_t *request, svi_command_done done,
                         void *ctx);

/* An answer that says no; printf. A new reference. */
json_t *svi_answer_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
