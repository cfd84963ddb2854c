/* No engine, but asks for all that engines have. */
#include <stave/engine.h>

static void on_wake(void *ctx, void *self)
{
    (void)ctx;
    (void)self;
}

static void on_ready(sv_watch *watch, uint32_t what, void *ctx, void *self)
{
    (void)watch;
    (void)what;
    (void)ctx;
    (void)self;
}

static void run(sv_worker *worker, void *ctx)
{
    (void)worker;
    (void)ctx;
}

static sv_status start(sv_mod *mod, void *self)
{
    const sv_engine_api *engine = (const sv_engine_api *)sv->query("engine", 1);
    const sv_worker_desc desc = {.size = sizeof desc, .name = "plain", .run = run};
    const sv_store_engine store = {.size = sizeof store};
    sv_watch *watch;
    sv_deadline *deadline;
    sv_worker *worker;
    if (engine->waker(mod, on_wake, self) != NULL) return SV_EIO;
    if (engine->watch(mod, 0, SV_WATCH_READ, on_ready, self, &watch) != SV_EDENIED || watch != NULL) return SV_EIO;
    if (engine->deadline(mod, 1, on_wake, self, &deadline) != SV_EDENIED || deadline != NULL) return SV_EIO;
    if (engine->store_register(mod, &store) != SV_EDENIED) return SV_EIO;
    return engine->worker(mod, &desc, &worker) == SV_EDENIED && worker == NULL ? SV_EDENIED : SV_EIO;
}

SV_MODULE(.name = "bad_engine_plain", .summary = "Is no engine", .start = start)
