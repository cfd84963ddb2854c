/* An engine that exports more than its entry and its mark. */
#include <stave/engine.h>

SV_EXPORT int helper(void);
SV_EXPORT int helper(void)
{
    return 1;
}

SV_ENGINE(.name = "bad_engine_exports", .summary = "Exports too much")
