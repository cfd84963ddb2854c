/* Uses everything of the engine group, as the option engine_do says, and logs what came of it. */
#include <stave/engine.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WATCH, ORDER, FOREIGN, REST, GATE, STUCK, BOUNDS, QUITS, SLOW, ITEMS = 1000, GIVEN = 8, TIGHT = 4 };

static _Thread_local int own; /* an engine may have such; each thread its own */

typedef struct engine {
    sv_mod *mod;
    const sv_engine_api *api;
    int64_t what;
    sv_str gate;
    int pipe[2];
    sv_watch *watch;
    sv_deadline *deadline, *never;
    sv_waker *waker;
    sv_worker *worker;
    pthread_t thread;
    bool has_thread;
    int heard, written, next, undone;
    int64_t items[ITEMS];
    bool has_ended; /* by the thread, read when it was joined */
    bool masks;     /* the thread has TERM blocked */
} engine;

static void say(const engine *me, const char *what, int64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)number);
    sv->log(me->mod, SV_INFO, "engine-said", "what", what, "number", text, (char *)NULL);
}

/* --- a descriptor and a deadline ------------------------------------------------------------------------ */

static void on_never(void *ctx, void *self)
{
    (void)ctx;
    say(self, "a cancelled deadline ran", 0);
}

static void on_deadline(void *ctx, void *self)
{
    engine *me = self;
    me->deadline = NULL;
    say(me, "deadline", *(const char *)ctx);
    if (write(me->pipe[1], ctx, 1) != 1) say(me, "write", -1);
}

static void on_ready(sv_watch *watch, uint32_t what, void *ctx, void *self)
{
    engine *me = self;
    char byte = 0;
    if (what != SV_WATCH_READ || watch != me->watch || read(*(int *)ctx, &byte, 1) != 1) byte = '?';
    say(me, "read", byte);
    me->api->unwatch(&me->watch);
    if (me->watch == NULL && write(me->pipe[1], "z", 1) == 1) say(me, "unwatched", 0); /* nobody hears it */
}

/* Waits where nothing may wait. */
static void on_slow(void *ctx, void *self)
{
    (void)ctx;
    (void)self;
    (void)poll(NULL, 0, 200);
}

static sv_status start_watch(engine *me)
{
    if (pipe(me->pipe) != 0) return SV_EIO;
    sv_status status = me->api->watch(me->mod, -1, SV_WATCH_READ, on_ready, NULL, &me->watch);
    if (status != SV_EINVAL) return SV_EIO;
    status = me->api->watch(me->mod, me->pipe[0], 0, on_ready, &me->pipe[0], &me->watch);
    if (status != SV_OK) return status;
    me->api->watch_for(me->watch, SV_WATCH_READ);
    status = me->api->deadline(me->mod, 0, on_never, NULL, &me->never);
    if (status == SV_OK) me->api->deadline_cancel(&me->never);
    return status == SV_OK ? me->api->deadline(me->mod, 1, on_deadline, (void *)(uintptr_t) "x", &me->deadline) : status;
}

/* --- threads of the core -------------------------------------------------------------------------------- */

static bool is_shut(const engine *me)
{
    return me->gate.n > 0 && access(me->gate.p, F_OK) == 0;
}

/* Takes nothing. */
static void post_at_the_end(engine *me, sv_worker *worker)
{
    struct pollfd fd = {.fd = me->api->worker_fd(worker), .events = POLLIN};
    while (!me->api->worker_ends(worker)) (void)poll(&fd, 1, 10);
    for (int i = 0; i <= TIGHT; i++)
        if (!me->api->post(worker, &me->items[i])) me->written = i;
}

static void run(sv_worker *worker, void *ctx)
{
    engine *me = ctx;
    sigset_t mask;
    me->masks = pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM) == 1 &&
                sigismember(&mask, SIGSEGV) == 0;
    own = -1;
    if (me->what == REST) post_at_the_end(me, worker);
    while (me->what != REST && me->what != QUITS && !me->api->worker_ends(worker)) {
        void *item = me->api->take(worker, -1);
        while (me->what == GATE && is_shut(me) && item != NULL) (void)poll(NULL, 0, 5);
        if (item != NULL && !me->api->post(worker, item)) break;
        own--;
    }
    while (me->what == GATE && is_shut(me)) (void)poll(NULL, 0, 5);
    while (me->what == STUCK) (void)poll(NULL, 0, 1000);
    me->has_ended = true;
}

static void on_result(void *item, void *self)
{
    engine *me = self;
    const int64_t number = *(const int64_t *)item;
    if (number != me->next) say(me, "out of order", number);
    me->next++;
    if (number == ITEMS - 1) say(me, "in order", me->next);
}

static void on_undone(void *item, void *self)
{
    (void)item;
    ((engine *)self)->undone++;
}

static sv_status start_worker(engine *me)
{
    sv_worker_desc desc = {.size = sizeof desc,
                           .name = "numbers",
                           .run = run,
                           .ctx = me,
                           .result = on_result,
                           .undone = on_undone,
                           .give_max = me->what == REST ? GIVEN : ITEMS,
                           .post_max = TIGHT};
    for (int64_t i = 0; i < ITEMS; i++) me->items[i] = i;
    const sv_status status = me->api->worker(me->mod, &desc, &me->worker);
    for (int64_t i = 0; status == SV_OK && i < ITEMS; i++) {
        const sv_status given = me->api->give(me->worker, &me->items[i]);
        if (given == SV_OK) continue;
        say(me, given == SV_ELIMIT ? "refused" : "closed", i);
        break;
    }
    return status;
}

/* --- a thread of a library ------------------------------------------------------------------------------ */

static void on_wake(void *ctx, void *self)
{
    engine *me = self;
    me->heard++;
    if (ctx == me && me->heard == 1) say(me, "woken", own);
}

static void *foreign(void *ctx)
{
    engine *me = ctx;
    own = 77;
    for (int i = 0; i < ITEMS; i++) me->api->wake(me->waker);
    return NULL;
}

static sv_status start_foreign(engine *me)
{
    me->waker = me->api->waker(me->mod, on_wake, me);
    if (me->waker == NULL) return SV_EIO;
    me->has_thread = pthread_create(&me->thread, NULL, foreign, me) == 0;
    return me->has_thread ? SV_OK : SV_EIO;
}

/* --- bounds --------------------------------------------------------------------------------------------- */

static void run_idle(sv_worker *worker, void *ctx)
{
    const engine *me = ctx;
    while (!me->api->worker_ends(worker)) (void)me->api->take(worker, 1000);
}

static sv_status start_bounds(engine *me)
{
    int64_t wakers = 0, deadlines = 0, workers = 0;
    sv_deadline *deadline;
    while (me->api->waker(me->mod, on_wake, me) != NULL) wakers++;
    while (me->api->deadline(me->mod, 3600000, on_never, NULL, &deadline) == SV_OK) deadlines++;
    sv_worker_desc desc = {.size = sizeof desc, .name = "a name that is far too long", .run = run_idle, .ctx = me};
    if (me->api->worker(me->mod, &desc, &me->worker) != SV_EINVAL) return SV_EIO;
    desc.name = "one of many";
    while (me->api->worker(me->mod, &desc, &me->worker) == SV_OK) workers++;
    say(me, "wakers", wakers);
    say(me, "deadlines", deadlines);
    say(me, "workers", workers);
    if (me->api->deadline(me->mod, -1, on_never, NULL, &deadline) != SV_EINVAL) return SV_EIO;
    return me->api->store_register(me->mod, NULL) == SV_EDENIED ? SV_OK : SV_EIO;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    engine *me = self;
    me->mod = mod;
    me->pipe[0] = me->pipe[1] = -1;
    me->api = (const sv_engine_api *)sv->query("engine", SV_ENGINE_VERSION);
    if (me->api == NULL || sv->query("engine", SV_ENGINE_VERSION + 1) != NULL || sv->query("x", 1) != NULL)
        return SV_EVERSION;
    switch (me->what) {
    case WATCH: return start_watch(me);
    case FOREIGN: return start_foreign(me);
    case BOUNDS: return start_bounds(me);
    case SLOW: return me->api->deadline(mod, 1, on_slow, NULL, &me->deadline);
    default: return start_worker(me);
    }
}

static void stop(void *self)
{
    engine *me = self;
    if (me->has_thread) pthread_join(me->thread, NULL);
    if (me->waker != NULL) me->api->wake(me->waker); /* nobody is there any more to hear it */
    if (me->worker != NULL && me->what != BOUNDS) {
        say(me, me->has_ended ? "joined" : "runs", me->masks);
        say(me, "delivered", me->next);
        say(me, "undone", me->undone);
        say(me, "not taken", me->written);
    }
    for (int i = 0; i < 2; i++)
        if (me->pipe[i] >= 0) close(me->pipe[i]);
    say(me, "stopped", me->heard > 0);
}

static const sv_option options[] = {
    SV_OPT_ENUM(engine, what, "engine_do", "watch", "watch order foreign rest gate stuck bounds quits slow", "What it does."),
    SV_OPT_STRING(engine, gate, "engine_gate", NULL, "While this file is there the thread waits."),
    {0},
};

SV_ENGINE(.name = "engine", .summary = "Uses the engine group", .self_size = sizeof(engine), .options = options,
          .start = start, .stop = stop)
