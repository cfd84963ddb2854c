/* A metric that does not begin with the module's name. */
#include <stave/module.h>

static const sv_metric metrics[] = {{"metric_asked", SV_METRIC_COUNTER, "Requests."}, {0}};

SV_MODULE(.name = "bad_metric", .summary = "a wrong metric", .metrics = metrics)
