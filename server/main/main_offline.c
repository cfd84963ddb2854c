/* Commands without server: the shard without listeners, for as long as the requests take. */
#include "main/main_offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_cli.h"
#include "main/main_state.h"

#define LOCK_WAIT_MS 2000

static void keep(void *ctx, json_t *take_answer)
{
    *(json_t **)ctx = take_answer;
}

static void on_fatal(void *ctx, const sv_err *err)
{
    (void)ctx;
    (void)fprintf(stderr, "stave: the store failed: %s\n", err->text);
    _exit(SVI_EXIT_FAILED);
}

static json_t *run_one(svi_shard *shard, svi_commands *commands, const json_t *request)
{
    json_t *late = NULL;
    json_t *now = svi_commands_run(commands, request, keep, &late);
    if (now) return now;
    while (!late) (void)uv_run(svi_shard_loop(shard), UV_RUN_ONCE);
    return late;
}

static json_t *run_all(svi_shard *shard, const json_t *requests)
{
    const svi_commands_config config = {.shard = shard};
    svi_commands *commands = svi_commands_new(&config);
    json_t *answer = NULL;
    for (size_t i = 0; i < json_array_size(requests); i++) {
        json_decref(answer);
        answer = run_one(shard, commands, json_array_get(requests, i));
        if (!json_is_true(json_object_get(answer, "ok"))) break;
    }
    svi_commands_free(&commands);
    return answer;
}

static sv_status open_and_run(const svi_offline_config *config, const json_t *requests,
                              json_t **answer_out, sv_err *err)
{
    svi_problems problems;
    svi_problems_init(&problems, config->acct);
    svi_shard *shard = NULL;
    const svi_shard_config shard_config = {.acct = config->acct,
                                           .config = config->config,
                                           .settings = config->settings,
                                           .program = config->program,
                                           .report = svi_problems_note,
                                           .report_ctx = &problems,
                                           .fatal = on_fatal};
    sv_status status = svi_shard_open(&shard_config, &shard, err);
    if (status == SV_OK) *answer_out = run_all(shard, requests);
    svi_shard_close(&shard, 0);
    const sv_str text = svi_buf_str(&problems.text);
    if (status != SV_OK && text.n > 0)
        status = svi_err(err, SV_EINVAL, "%.*s", (int)text.n - 1, text.p);
    svi_problems_free(&problems);
    return status;
}

sv_status svi_offline_run(const svi_offline_config *config, const json_t *requests,
                          json_t **answer_out, sv_err *err)
{
    const svi_settings *s = config->settings;
    int lock = -1;
    uid_t owner;
    gid_t group;
    SV_ASSERT(json_array_size(requests) > 0);
    sv_status status = svi_state_owner(geteuid(), s->user, &owner, &group, err);
    if (status == SV_OK) status = svi_state_make(s->data_path.p, owner, group, err);
    if (status == SV_OK) status = svi_state_lock(s->data_path.p, LOCK_WAIT_MS, &lock, err);
    /* what is written now must be the worker's later */
    if (status == SV_OK && owner != (uid_t)-1) status = svi_state_become(s->user.p, err);
    if (status == SV_OK) status = open_and_run(config, requests, answer_out, err);
    if (lock >= 0) (void)close(lock);
    return status;
}
