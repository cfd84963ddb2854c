/* A store engine that holds nothing, answers within the call, and says what makes no sense, as its option wants. */
#include <stave/engine.h>

#include <stdio.h>

enum { NOTHING, TWO_ROWS, TOO_MANY, ORDER, NO_PLACE, SAME_PLACE, FAILS, GAP, NO_TEXT };

typedef struct bad_store {
    const sv_engine_api *engine;
    int64_t what;
} bad_store;

static sv_status recover(sv_recovery *to, sv_durability durability, sv_err *err, void *self)
{
    const bad_store *me = self;
    (void)durability;
    err->text[0] = '\0';
    if (me->what == NO_TEXT) return SV_EIO;
    if (me->what != GAP) return SV_OK;
    (void)me->engine->recover_unit(to, 5, SV_STR("\2"));
    return me->engine->recover_unit(to, 7, SV_STR("\2")) == SV_OK ? SV_EIO : SV_OK;
}

static void on_job(sv_store_job *job, void *self)
{
    const bad_store *me = self;
    const sv_str a = SV_STR("a"), b = SV_STR("b");
    const bool owners = job->kind == SV_STORE_OWNERS;
    if (me->what == TWO_ROWS || me->what == TOO_MANY) {
        me->engine->job_row(job, owners ? a : job->owner, a, a);
        me->engine->job_row(job, owners ? b : job->owner, a, a);
    } else if (me->what == ORDER) {
        me->engine->job_row(job, b, SV_STR(""), SV_STR(""));
        me->engine->job_row(job, a, SV_STR(""), SV_STR(""));
    } else if (me->what == NO_PLACE) {
        me->engine->job_more(job, SV_STR_NONE);
    } else if (me->what == SAME_PLACE) {
        me->engine->job_more(job, job->from);
    }
    me->engine->job_done(job, me->what == FAILS ? SV_EIO : SV_OK, me->what == FAILS ? "it burns" : NULL);
}

static void space(sv_store_space *space_out, void *self)
{
    (void)self;
    space_out->free = 1; /* next to nothing */
}

static sv_status start_shared(void *shared)
{
    *(int *)shared = 7;
    return SV_OK;
}

static void stop_shared(void *shared)
{
    *(int *)shared = 0;
}

static sv_status start(sv_mod *mod, void *self)
{
    bad_store *me = self;
    const int *shared = sv->shared(mod);
    char *own = sv->alloc(mod, 100);
    sv->metric_add(mod, 0, 1);
    sv->free(mod, &own);
    if (shared == NULL || *shared != 7) return SV_ENOTFOUND;
    static const sv_store_engine store = {.size = sizeof store, .recover = recover, .start = on_job, .space = space};
    static const sv_store_engine less = {.size = sizeof less, .recover = recover, .start = on_job};
    me->engine = (const sv_engine_api *)sv->query("engine", 1);
    if (me->engine->store_register(mod, &less) != SV_EINVAL) return SV_EIO;
    const sv_status status = me->engine->store_register(mod, &store);
    return me->engine->store_register(mod, &store) == SV_EEXIST ? status : SV_EIO;
}

static const sv_option options[] = {
    SV_OPT_ENUM(bad_store, what, "bad_store_do", "nothing",
                "nothing two-rows too-many order no-place same-place fails gap no-text", "What it does wrong."),
    {0},
};

static const sv_metric metrics[] = {{"bad_store_starts", SV_METRIC_COUNTER, "Starts."}, {0}};

SV_ENGINE(.name = "bad_store", .summary = "Keeps nothing", .self_size = sizeof(bad_store), .options = options,
          .metrics = metrics, .shared_size = sizeof(int), .start_shared = start_shared, .stop_shared = stop_shared,
          .start = start)
