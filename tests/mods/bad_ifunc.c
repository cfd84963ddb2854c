/* Chooses a function while it is loaded, which runs code of its own then: must be refused before that. */
#include <stave/module.h>
#include <stdlib.h>

static sv_status one(sv_mod *mod, void *self)
{
    (void)mod;
    return self ? SV_OK : SV_EIO;
}

typedef sv_status (*starter)(sv_mod *mod, void *self);

__attribute__((used)) static starter choose(void)
{
    abort();
    return one;
}

static sv_status chosen(sv_mod *mod, void *self) __attribute__((ifunc("choose")));

static sv_status start(sv_mod *mod, void *self)
{
    return chosen(mod, self);
}

SV_MODULE(.name = "bad_ifunc", .summary = "Chooses a function while it is loaded", .start = start)
