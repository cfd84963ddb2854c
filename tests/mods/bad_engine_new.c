/* An engine made for a later version of its group. */
#include <stave/engine.h>

SV_EXPORT extern const uint32_t sv_module_engine;
const uint32_t sv_module_engine = SV_ENGINE_VERSION + 1;

SV_MODULE(.name = "bad_engine_new", .summary = "Needs a later server")
