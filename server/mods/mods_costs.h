/* What a module costs on a host, and the metrics it keeps: counts of all its generations together, which begin where
 * those before them are. Router thread; the account is of any. */
#ifndef SVI_MODS_COSTS_H
#define SVI_MODS_COSTS_H

#include "base/base_mem.h"
#include "bus/bus_meter.h"
#include <stave/module.h>

enum {
    SVI_COST_LINES_MAX = 256,  /* what has no line of its own then counts as "other" */
    SVI_METRIC_VALUES_MAX = 256, /* of all generations */
    SVI_METRICS_MAX = 64       /* of one module */
};

/* Counts of one hook, by its text as declared, of a command, by its name, or of "timer", "start" and the like. */
typedef struct svi_cost_line {
    struct svi_cost_line *next;
    svi_hook_stats stats;
    char *text;
} svi_cost_line;

/* What it did with stores through its handle. */
typedef struct svi_store_counts {
    uint64_t reads;         /* of rows in memory, and of single values */
    uint64_t loads;         /* of an owner's rows, waited for */
    uint64_t puts, deletes; /* that were taken into a unit */
    uint64_t written_bytes; /* of those: owner, key and value */
} svi_store_counts;

typedef struct svi_metric_value {
    struct svi_metric_value *next;
    int64_t value;
    char *name;
} svi_metric_value;

typedef struct svi_costs {
    uint32_t refs;
    svi_acct *owner; /* of this */
    svi_acct acct;   /* of everything the module has */
    svi_cost_line *lines;
    size_t line_count;
    svi_store_counts store;
    svi_metric_value *metrics;
    size_t metric_count;
} svi_costs;

/* New and empty, with one reference; `acct` pays for it, `name` is copied. */
svi_costs *svi_costs_new(svi_acct *acct, const char *name);
/* One more reference / the last one frees it and clears the pointer. */
svi_costs *svi_costs_ref(svi_costs *costs);
void svi_costs_unref(svi_costs **costs);

/* The counts under that text, made if they are not there; they live as long as the costs. */
svi_hook_stats *svi_costs_line(svi_costs *costs, const char *text);
/* The sum of all lines. */
svi_hook_stats svi_costs_sum(const svi_costs *costs);

/* The value of that name, 0 at first; it lives as long as the costs. NULL if there are too many. */
int64_t *svi_costs_metric(svi_costs *costs, const char *name);

/* Reads a module's metrics: SV_EINVAL with text and what to do if a name, a kind or a manual is wrong. */
sv_status svi_metrics_check(const sv_module_desc *desc, sv_err *err);
/* Number `i` of them; NULL past the end. */
const sv_metric *svi_metric_at(const sv_module_desc *desc, size_t i);

#endif
