/* Engine modules: their table, their handles on the loop, and how they end.
 *
 * A module ends in this order: its threads are told to end and joined, it gets what they left, stop(), then
 * its handles are closed. The loop gives a handle's memory back later, when the module may be gone. */
#include "mods/mods_engine_impl.h"

#include <poll.h>

#include "base/base_log.h"

enum {
    ENGINES_MAGIC = 0x454e4753,
    WATCH_MAGIC = 0x57415443,
    WAKER_MAGIC = 0x57414b45,
    DEADLINE_MAGIC = 0x44454144
};

#define DEADLINE_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)
#define JOIN_MS 3000 /* the supervisor gives the whole end ten seconds */

struct sv_watch {
    uint32_t magic;
    sv_watch *next, **link;
    svi_engine_part *part;
    uv_poll_t poll;
    svi_engines *engines;
    uint32_t what;
    sv_watch_fn call;
    void *ctx;
};

struct sv_waker {
    svi_wake wake; /* first: its handle is what the loop hands back */
    uint32_t magic;
    sv_waker *next;
    svi_engine_part *part;
    svi_engines *engines;
    sv_wake_fn call;
    void *ctx;
};

struct sv_deadline {
    uint32_t magic;
    sv_deadline *next, **link;
    svi_engine_part *part;
    uv_timer_t timer; /* not on the stage */
    int64_t due_us;   /* on the stage */
    sv_deadline *next_due;
    svi_engines *engines;
    sv_wake_fn call;
    void *ctx;
};

/* --- the whole ------------------------------------------------------------------------------------------ */

svi_engines *svi_engines_new(const svi_engines_config *config)
{
    SV_ASSERT(config->loop != NULL && config->plat != NULL);
    svi_engines *engines = svi_alloc(config->acct, sizeof *engines);
    engines->magic = ENGINES_MAGIC;
    engines->config = *config;
    if (engines->config.join_ms == 0) engines->config.join_ms = JOIN_MS;
    return engines;
}

bool svi_engines_free(svi_engines **engines)
{
    svi_engines *e = *engines;
    if (e == NULL) return true;
    SV_CHECK(e, ENGINES_MAGIC);
    if (e->stuck > 0) return false;
    SV_ASSERT(e->open == 0 && e->ending == NULL);
    *engines = NULL;
    e->magic = 0;
    svi_free(e);
    return true;
}

svi_engine_part *svi_engine_part_of(sv_mod *mod, sv_status *status_out)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    svi_group *group = mod->group;
    *status_out = !mod->file->is_engine ? SV_EDENIED : group->engines == NULL ? SV_EVERSION : SV_OK;
    if (*status_out == SV_EDENIED) {
        mod->why = "it asks for what engines have: declare it with SV_ENGINE in place of SV_MODULE";
        SV_LOG(SV_ERROR, "module-refused", LF_TXT("module", mod->file->name), LF_TXT("reason", mod->why));
        return NULL;
    }
    if (mod->engine == NULL && group->engines != NULL) {
        mod->engine = svi_alloc(group->acct, sizeof *mod->engine);
        mod->engine->mod = mod;
        mod->engine->engines = group->engines;
    }
    return mod->engine;
}

svi_engine_call svi_engine_enter(const svi_engine_part *part, const char *what)
{
    sv_mod *mod = part->mod;
    svi_group *group = mod->group;
    svi_engine_call call = {.mod = mod, .what = what, .engines = part->engines};
    call.is_timed = group->server != NULL && !mod->is_retired;
    if (call.is_timed) call.stretch = svi_mod_stretch(mod);
    part->engines->heard++;
    call.visit = svi_mod_enter(mod, what);
    if (mod->refs > 0) call.kept = svi_mod_ref(mod);
    return call;
}

void svi_engine_leave(svi_engine_call *call)
{
    const svi_engines_config *config = &call->engines->config;
    svi_mod_leave(&call->visit);
    if (call->is_timed) svi_mod_judge_time(call->mod, call->what, &call->stretch);
    svi_mod_unref(&call->kept);
    if (config->turn != NULL) config->turn(config->ctx);
}

void svi_engine_handle_gone(svi_engines *engines, void *memory)
{
    SV_CHECK(engines, ENGINES_MAGIC);
    SV_ASSERT(engines->open > 0);
    engines->open--;
    svi_free(memory);
}

/* --- descriptors ---------------------------------------------------------------------------------------- */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    sv_watch *watch = poll->data;
    SV_CHECK(watch, WATCH_MAGIC);
    const svi_engine_part *part = watch->part;
    uint32_t what = watch->what; /* of an error it is told as of all it looks for */
    if (status == 0)
        what = ((events & (UV_READABLE | UV_DISCONNECT)) != 0 ? SV_WATCH_READ : 0) |
               ((events & UV_WRITABLE) != 0 ? SV_WATCH_WRITE : 0);
    svi_engine_call now = svi_engine_enter(part, "watch");
    watch->call(watch, what, watch->ctx, part->mod->self);
    svi_engine_leave(&now);
}

static void watch_for(sv_watch *watch, uint32_t what)
{
    SV_CHECK(watch, WATCH_MAGIC);
    SV_ASSERT((what & ~(SV_WATCH_READ | SV_WATCH_WRITE)) == 0);
    watch->what = what;
    if (what == 0)
        (void)uv_poll_stop(&watch->poll);
    else
        (void)uv_poll_start(&watch->poll,
                            ((what & SV_WATCH_READ) != 0 ? UV_READABLE : 0) |
                                ((what & SV_WATCH_WRITE) != 0 ? UV_WRITABLE : 0),
                            on_ready);
}

static sv_status watch_new(sv_mod *mod, int fd, uint32_t what, sv_watch_fn call, void *ctx,
                           sv_watch **watch_out)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    *watch_out = NULL;
    if (part == NULL) return status;
    if (fd < 0 || call == NULL) return SV_EINVAL;
    if (part->watch_count == SVI_ENGINE_WATCHES) return SV_ELIMIT;
    sv_watch *watch = svi_alloc(mod->group->acct, sizeof *watch);
    if (uv_poll_init(part->engines->config.loop, &watch->poll, fd) != 0) {
        svi_free(watch);
        return SV_EINVAL;
    }
    watch->magic = WATCH_MAGIC;
    watch->part = part;
    watch->engines = part->engines;
    watch->poll.data = watch;
    watch->call = call;
    watch->ctx = ctx;
    watch->next = part->watches;
    watch->link = &part->watches;
    if (watch->next != NULL) watch->next->link = &watch->next;
    part->watches = watch;
    part->watch_count++;
    part->engines->open++;
    watch_for(watch, what);
    *watch_out = watch;
    return SV_OK;
}

static void watch_gone(uv_handle_t *handle)
{
    sv_watch *watch = handle->data;
    svi_engine_handle_gone(watch->engines, watch);
}

static void unwatch(sv_watch **watch)
{
    sv_watch *w = *watch;
    *watch = NULL;
    if (w == NULL) return;
    SV_CHECK(w, WATCH_MAGIC);
    *w->link = w->next;
    if (w->next != NULL) w->next->link = w->link;
    w->part->watch_count--;
    w->part = NULL;
    w->magic = 0;
    uv_close((uv_handle_t *)&w->poll, watch_gone);
}

/* --- wake-ups ------------------------------------------------------------------------------------------- */

static void on_wake(void *ctx)
{
    sv_waker *waker = ctx;
    SV_CHECK(waker, WAKER_MAGIC);
    const svi_engine_part *part = waker->part;
    svi_engine_call now = svi_engine_enter(part, "wake");
    waker->call(waker->ctx, part->mod->self);
    svi_engine_leave(&now);
}

static sv_waker *waker_new(sv_mod *mod, sv_wake_fn call, void *ctx)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    if (part == NULL || call == NULL || part->waker_count == SVI_ENGINE_WAKERS) return NULL;
    sv_waker *waker = svi_alloc(mod->group->acct, sizeof *waker);
    if (svi_wake_init(&waker->wake, part->engines->config.loop, on_wake, waker) != 0) {
        svi_free(waker);
        return NULL;
    }
    waker->magic = WAKER_MAGIC;
    waker->part = part;
    waker->engines = part->engines;
    waker->call = call;
    waker->ctx = ctx;
    waker->next = part->wakers;
    part->wakers = waker;
    part->waker_count++;
    part->engines->open++;
    return waker;
}

/* Any thread. */
static void wake(sv_waker *waker)
{
    SV_CHECK(waker, WAKER_MAGIC);
    svi_wake_send(&waker->wake);
}

static void waker_gone(uv_handle_t *handle)
{
    svi_wake *of = handle->data;
    sv_waker *waker = of->ctx;
    svi_engine_handle_gone(waker->engines, waker);
}

/* One that was sent and not heard is not delivered any more. */
static void waker_close(sv_waker *waker)
{
    waker->magic = 0;
    waker->part = NULL;
    svi_wake_close(&waker->wake, waker_gone);
}

/* --- deadlines ------------------------------------------------------------------------------------------ */

/* Those that are due at the same time pass in the order in which they were made. */
static void put_due(sv_deadline *deadline)
{
    sv_deadline **at = &deadline->engines->due;
    while (*at != NULL && (*at)->due_us <= deadline->due_us) at = &(*at)->next_due;
    deadline->next_due = *at;
    *at = deadline;
}

/* Takes it out of the list and frees it. */
static void drop_due(sv_deadline *deadline)
{
    sv_deadline **at = &deadline->engines->due;
    while (*at != deadline) at = &(*at)->next_due;
    *at = deadline->next_due;
    svi_free(deadline);
}

static void deadline_gone(uv_handle_t *handle)
{
    sv_deadline *deadline = handle->data;
    svi_engine_handle_gone(deadline->engines, deadline);
}

static void deadline_cancel(sv_deadline **deadline)
{
    sv_deadline *d = *deadline;
    *deadline = NULL;
    if (d == NULL) return;
    SV_CHECK(d, DEADLINE_MAGIC);
    *d->link = d->next;
    if (d->next != NULL) d->next->link = d->link;
    d->part->deadline_count--;
    d->magic = 0;
    if (d->engines->config.is_staged)
        drop_due(d);
    else
        uv_close((uv_handle_t *)&d->timer, deadline_gone);
}

static void pass_deadline(sv_deadline *deadline)
{
    SV_CHECK(deadline, DEADLINE_MAGIC);
    const svi_engine_part *part = deadline->part;
    const sv_wake_fn call = deadline->call;
    void *ctx = deadline->ctx;
    deadline_cancel(&deadline); /* it is over: nobody may cancel it any more */
    svi_engine_call now = svi_engine_enter(part, "deadline");
    call(ctx, part->mod->self);
    svi_engine_leave(&now);
}

static void on_deadline(uv_timer_t *timer)
{
    pass_deadline(timer->data);
}

static void start_deadline(sv_deadline *deadline, int64_t ms)
{
    svi_engines *engines = deadline->engines;
    if (engines->config.is_staged) {
        deadline->due_us = engines->config.plat->mono_us(engines->config.plat->ctx) + ms * 1000;
        put_due(deadline);
        return;
    }
    uv_loop_t *loop = engines->config.loop;
    engines->open++;
    (void)uv_timer_init(loop, &deadline->timer);
    deadline->timer.data = deadline;
    uv_update_time(loop);
    (void)uv_timer_start(&deadline->timer, on_deadline, (uint64_t)ms, 0);
}

static sv_status deadline_new(sv_mod *mod, int64_t ms, sv_wake_fn call, void *ctx,
                              sv_deadline **deadline_out)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    *deadline_out = NULL;
    if (part == NULL) return status;
    if (ms < 0 || ms > DEADLINE_MAX_MS || call == NULL) return SV_EINVAL;
    if (part->deadline_count == SVI_ENGINE_DEADLINES) return SV_ELIMIT;
    sv_deadline *deadline = svi_alloc(mod->group->acct, sizeof *deadline);
    deadline->magic = DEADLINE_MAGIC;
    deadline->part = part;
    deadline->engines = part->engines;
    deadline->call = call;
    deadline->ctx = ctx;
    deadline->next = part->deadlines;
    deadline->link = &part->deadlines;
    if (deadline->next != NULL) deadline->next->link = &deadline->next;
    part->deadlines = deadline;
    part->deadline_count++;
    start_deadline(deadline, ms);
    *deadline_out = deadline;
    return SV_OK;
}

/* --- the stage ------------------------------------------------------------------------------------------ */

int64_t svi_engines_due_us(const svi_engines *engines)
{
    SV_CHECK(engines, ENGINES_MAGIC);
    return engines->due != NULL ? engines->due->due_us : INT64_MAX;
}

static void pass_deadlines(svi_engines *engines)
{
    const svi_plat *plat = engines->config.plat;
    while (engines->due != NULL && engines->due->due_us <= plat->mono_us(plat->ctx)) pass_deadline(engines->due);
}

bool svi_engines_turn(svi_engines *engines, bool *is_stuck_out)
{
    SV_CHECK(engines, ENGINES_MAGIC);
    SV_ASSERT(engines->config.is_staged);
    const uint64_t before = engines->heard;
    uv_loop_t *loop = engines->config.loop;
    pass_deadlines(engines);
    (void)uv_run(loop, UV_RUN_NOWAIT);
    const bool is_busy = engines->under_way > 0;
    while (engines->under_way > 0 || engines->ending != NULL) {
        struct pollfd fd = {.fd = uv_backend_fd(loop), .events = POLLIN};
        if (poll(&fd, 1, SVI_ENGINES_PATIENCE_MS) == 0) {
            *is_stuck_out = true;
            break;
        }
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    return is_busy || engines->heard != before;
}

/* --- the end -------------------------------------------------------------------------------------------- */

bool svi_engine_end(sv_mod *mod)
{
    svi_engine_part *part = mod->engine;
    if (part == NULL) return true;
    svi_workers_tell(part);
    if (svi_workers_are_over(part)) return true;
    if (mod->group->is_ending || part->engines->is_settling) return svi_workers_join(part);
    mod->next_ending = part->engines->ending;
    part->engines->ending = mod;
    return false;
}

void svi_engine_worker_over(svi_engine_part *part)
{
    sv_mod *mod = part->mod;
    sv_mod **at = &part->engines->ending;
    while (*at != NULL && *at != mod) at = &(*at)->next_ending;
    if (*at == NULL || !svi_workers_are_over(part)) return;
    *at = mod->next_ending;
    svi_mod_finish(mod);
}

void svi_engines_settle(svi_engines *engines)
{
    if (engines == NULL) return;
    SV_CHECK(engines, ENGINES_MAGIC);
    engines->is_settling = true;
    while (engines->ending != NULL) {
        sv_mod *mod = engines->ending;
        engines->ending = mod->next_ending;
        if (svi_workers_join(mod->engine)) svi_mod_finish(mod);
    }
}

void svi_engine_part_rest(svi_engine_part *part)
{
    if (part != NULL) svi_workers_rest(part);
}

void svi_engine_part_close(svi_engine_part **part)
{
    svi_engine_part *p = *part;
    *part = NULL;
    if (p == NULL) return;
    svi_workers_close(p);
    while (p->watches != NULL) {
        sv_watch *watch = p->watches;
        unwatch(&watch);
    }
    while (p->deadlines != NULL) {
        sv_deadline *deadline = p->deadlines;
        deadline_cancel(&deadline);
    }
    while (p->wakers != NULL) {
        sv_waker *waker = p->wakers;
        p->wakers = waker->next;
        waker_close(waker);
    }
    svi_free(p);
}

/* --- the table ------------------------------------------------------------------------------------------ */

const void *svi_engine_table(void)
{
    static const sv_engine_api api = {
        .size = sizeof api,
        .version = SV_ENGINE_VERSION,
        .watch = watch_new,
        .watch_for = watch_for,
        .unwatch = unwatch,
        .waker = waker_new,
        .wake = wake,
        .deadline = deadline_new,
        .deadline_cancel = deadline_cancel,
        .worker = svi_engine_worker,
        .give = svi_engine_give,
        .take = svi_engine_take,
        .worker_fd = svi_engine_worker_fd,
        .worker_ends = svi_engine_worker_ends,
        .post = svi_engine_post,
        .store_register = svi_engine_store_register,
        .recover_unit = svi_engine_recover_unit,
        .recover_ends = svi_engine_recover_ends,
        .recover_folded = svi_engine_recover_folded,
        .job_change = svi_engine_job_change,
        .job_row = svi_engine_job_row,
        .job_more = svi_engine_job_more,
        .job_done = svi_engine_job_done,
    };
    return &api;
}
