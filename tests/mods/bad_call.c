/* Calls a function that a module must not call: CALL, one object for each (BAD_CALLS in the Makefile). */
#include <stave/module.h>

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

void called(void) __asm__(TEXT(CALL)); /* with no type of its own: it is never called */

static sv_status start(sv_mod *mod, void *self)
{
    (void)mod;
    (void)self;
    called();
    return SV_OK;
}

SV_MODULE(.name = "bad_call_" TEXT(CALL), .summary = "Calls " TEXT(CALL), .start = start)
