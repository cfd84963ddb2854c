/* Commands of operators, as JSON requests and answers (mods_command.h): the same over the control
 * socket and, for those that are SV_COMMAND_OFFLINE, in a process without server.
 *
 * A request names a command of the core or of a module: {"command": "user add", "address":
 * "romeo@example.org", "password": "..."}. Besides what is said there, an answer may have
 * "problems": lines of a configuration's faults. Router thread. */
#ifndef SVI_MAIN_COMMAND_H
#define SVI_MAIN_COMMAND_H

#include <jansson.h>

#include "main/main_core.h"
#include "main/main_follow.h"
#include "main/main_shard.h"

/* The answer that comes later; the reference is handed over. Called exactly once, never before
 * svi_commands_run has returned. */
typedef void (*svi_command_done)(void *ctx, json_t *take_answer);

typedef struct svi_commands_config {
    svi_shard *shard;
    /* reads the configuration anew; answers as svi_commands_run does */
    json_t *(*reload)(void *ctx, svi_command_done done, void *done_ctx);
    json_t *(*certificates)(void *ctx); /* svi_certs_status */
    void (*stop)(void *ctx);      /* begins to end the process */
    /* has the new binary tried; `done` brings "ok" and "pid" when it is going to take over */
    void (*upgrade)(void *ctx, svi_command_done done, void *done_ctx);
    const char *upgraded_from, *upgrade_failed; /* svi_cli */
    void (*released)(void *ctx);  /* a module is out of quarantine */
    svi_follows *follows;         /* borrowed */
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

/* What the core's commands with these names do (main_core.c). They end the request. */
void svi_command_status(svi_commands *commands, svi_request *request);
void svi_command_modules(svi_commands *commands, svi_request *request);
void svi_command_modules_release(svi_commands *commands, svi_request *request);
void svi_command_reload(svi_commands *commands, svi_request *request);
void svi_command_stop(svi_commands *commands, svi_request *request);
void svi_command_upgrade(svi_commands *commands, svi_request *request);
void svi_command_log_follow(svi_commands *commands, svi_request *request);
void svi_command_watch(svi_commands *commands, svi_request *request);
void svi_command_commands(svi_commands *commands, svi_request *request);
void svi_command_sessions(svi_commands *commands, svi_request *request);
void svi_command_kick(svi_commands *commands, svi_request *request);
void svi_command_user_add(svi_commands *commands, svi_request *request);
void svi_command_user_passwd(svi_commands *commands, svi_request *request);
void svi_command_user_delete(svi_commands *commands, svi_request *request);
void svi_command_user_disable(svi_commands *commands, svi_request *request);
void svi_command_user_enable(svi_commands *commands, svi_request *request);
void svi_command_user_show(svi_commands *commands, svi_request *request);
void svi_command_user_list(svi_commands *commands, svi_request *request);

/* Loads scripts anew whose files have changed, as `stave reload NAME` does, if they want that; what is refused is logged. For
 * a timer of a second. */
void svi_commands_autoreload(svi_commands *commands);

/* How long they have been there, in us. */
int64_t svi_commands_up_us(const svi_commands *commands);

/* A module may be out of quarantine: whoever keeps a list of them is told. */
void svi_commands_released(svi_commands *commands);

/* The shard they work on. */
svi_shard *svi_commands_shard(svi_commands *commands);

/* An answer that says no, of the class "failed"; printf. A new reference. */
json_t *svi_answer_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
