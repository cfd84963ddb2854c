/* Obtains things and then fails to start, with a reason: all of them must go. */
#include <stave/module.h>

typedef struct bad_start {
    sv_mod *mod;
    sv_store *store;
} bad_start;

static void tick(void *self)
{
    (void)self;
}

static sv_status start(sv_mod *mod, void *self)
{
    bad_start *me = self;
    me->mod = mod;
    if (sv->every(mod, 10, tick) != SV_OK) return SV_EINVAL;
    if (sv->store_open(mod, NULL, "things", 1, &me->store) != SV_OK) return SV_EINVAL;
    sv->log(mod, SV_ERROR, "bad-start", "problem", "it does not like this host", "host", "any", NULL);
    return SV_EDENIED;
}

static void stop(void *self)
{
    sv->log(((bad_start *)self)->mod, SV_ERROR, "bad-start-stop", NULL);
}

SV_MODULE(.name = "bad_start", .summary = "Does not start", .self_size = sizeof(bad_start),
          .start = start, .stop = stop)
