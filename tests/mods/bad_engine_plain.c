/* No engine, but asks for a thread. */
#include <stave/engine.h>

static void on_wake(void *ctx, void *self)
{
    (void)ctx;
    (void)self;
}

static sv_status start(sv_mod *mod, void *self)
{
    const sv_engine_api *engine = (const sv_engine_api *)sv->query("engine", 1);
    return engine->waker(mod, on_wake, self) != NULL ? SV_OK : SV_EIO;
}

SV_MODULE(.name = "bad_engine_plain", .summary = "Is no engine", .start = start)
