/* What a shared object must be before it may be loaded: read from its bytes, before any of its code
 * runs. */
#ifndef SVI_MODS_CHECK_H
#define SVI_MODS_CHECK_H

#include <stave/types.h>

/* Checks the image of a module (house-style C.3): an object for this machine that exports
 * sv_module_entry and nothing else, runs no code while it is loaded (constructors, indirect
 * functions), has no thread-local storage and no text relocations, imports nothing that outlives a
 * call or changes the process (threads, exit handlers, signals, processes, loading), nothing of the
 * C++ runtime and nothing of the server. SV_EINVAL with the first breach as text. In builds with
 * SVI_DEBUG what a sanitizer adds to a module is allowed. Any bytes may be given; any thread. */
sv_status svi_mods_check_image(const void *image, size_t bytes, sv_err *err);

#endif
