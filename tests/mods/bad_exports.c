/* Shows more than its entry. */
#include <stave/module.h>

SV_EXPORT int helper_that_clashes(void);
SV_EXPORT int helper_that_clashes(void)
{
    return 1;
}

SV_MODULE(.name = "bad_exports", .summary = "Exports a helper")
