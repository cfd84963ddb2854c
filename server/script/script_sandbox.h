/* A Lua state without the world: no io, os, debug, package, no loading of code or bytecode; bounded
 * in memory and steps.
 *
 * What the configuration is read in. Scripts have states of another kind (script_state.c, script_lib.h). One thread at a
 * time. */
#ifndef SVI_SCRIPT_SANDBOX_H
#define SVI_SCRIPT_SANDBOX_H

#include <lua.h>
#include "base/base_mem.h"
#include "base/base_str.h"

typedef struct svi_sandbox svi_sandbox;

/* A state whose memory is charged to `acct` and ends at `max_bytes`; a chunk may run `max_steps`
 * instructions in all. Never NULL. */
svi_sandbox *svi_sandbox_new(svi_acct *acct, size_t max_bytes, int64_t max_steps);

/* Closes the state and clears the pointer. */
void svi_sandbox_free(svi_sandbox **sandbox);

/* The state, with the safe libraries as globals. Borrowed. */
lua_State *svi_sandbox_lua(svi_sandbox *sandbox);

/* Loads text (never bytecode) named `name` with the table at the top of the stack as its
 * environment (popped), and runs it. On a failure SV_EINVAL and the message, which begins with
 * "NAME:LINE:", in `err`. */
sv_status svi_sandbox_run(svi_sandbox *sandbox, sv_str text, const char *name, sv_err *err);

#endif
