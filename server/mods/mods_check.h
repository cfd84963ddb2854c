/* What a shared object must be before it may be loaded: read from its bytes, before any of its code
 * runs. */
#ifndef SVI_MODS_CHECK_H
#define SVI_MODS_CHECK_H

#include <stave/types.h>

/* The symbol by which SV_ENGINE tells what a module is before any code of it runs. */
#define SVI_ENGINE_MARK "sv_module_engine"

/* Checks the image of a module (house-style C.3): an object for this machine that
 * - exports sv_module_entry and nothing else (an engine module, api/stave/engine.h, its mark as well);
 * - runs no code while it is loaded: no constructors, indirect functions, libraries that the server does not
 *   have anyway, no folders where others would be looked for (DT_RUNPATH);
 * - has no thread-local storage, no text relocations, no code that can be written to, no executable stack;
 * - imports nothing that svi_mods_ban names (an engine: svi_mods_engine_ban), nothing of the C++ runtime and nothing of the server.
 *
 * An engine may have thread-local storage and libraries of its own.
 *
 * SV_EINVAL with the first breach as text, which says what to do instead. In builds with SVI_DEBUG what a
 * sanitizer adds to a module is allowed. Any bytes may be given; any thread. */
sv_status svi_mods_check_image(const void *image, size_t bytes, sv_err *err);

/* Calls `each` for every name that the image, which was checked, takes from libraries; the name is borrowed. */
void svi_mods_image_calls(const void *image, size_t bytes, void (*each)(void *ctx, sv_str name), void *ctx);

/* Why a module must not call the function, or use the variable, of this name in libc, and what to do
 * instead; NULL: it may. Other forms (`__open64`, `__fprintf_chk`) count as the function. Static text. */
const char *svi_mods_ban(sv_str function);
/* The same for an engine module, which may have what a library needs: threads, sockets, files, memory, the clock. */
const char *svi_mods_engine_ban(sv_str function);

#endif
