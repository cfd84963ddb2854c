/* Must start after the module it names, and tells the log when it does. */
#include <stave/module.h>

static sv_status start(sv_mod *mod, void *self)
{
    (void)self;
    sv->log(mod, SV_INFO, "needs-start", NULL);
    return SV_OK;
}

SV_MODULE(.name = "needs", .summary = "Needs another module",
          .features = "urn:stave:second urn:stave:needs", .start = start, .after = "probe", .needs = "store 1,commands 1, hooks 1",
          .stream_features = "<needs xmlns='urn:stave:needs'/><more xmlns='urn:stave:needs'/>")
