/* Budgets: what a module may use on a host, and how many faults it may have, from the configuration.
 *
 * Each enabled module NAME has options that it does not declare itself: NAME_memory_max, NAME_cpu_max,
 * NAME_faults_max and NAME_faults_within. What is not set counts as the options module_... say, which are the
 * server's or a host's. */
#ifndef SVI_MODS_BUDGET_H
#define SVI_MODS_BUDGET_H

#include "mods/mods_config.h"

typedef struct svi_budget {
    int64_t memory_max;       /* bytes that it holds on the host; 0: any number */
    int64_t cpu_max;          /* percent of the router's time in ten seconds; 0: all of it */
    int64_t faults_max;       /* so many within ... end in quarantine; 0: none do */
    int64_t faults_within_ms; /* ... this time */
    int64_t warn_percent;     /* of either budget, from which on the log warns */
} svi_budget;

/* The table of the options module_...; ends with .name NULL, stride sizeof(sv_option). */
const sv_option *svi_budget_options(void);

/* Makes the table of a module's own ones, in the arena. */
const sv_option *svi_budget_options_of(svi_arena *arena, const char *module);

/* The name of an option in a module's table that is one of `own`, those the server has for it; NULL if there is none. */
const char *svi_budget_clash(const sv_option *own, const sv_option *options, size_t stride);

/* Fills the budget of a module from a section; `own` is its table. Problems are reported as by
 * svi_options_fill; SV_EINVAL if there were any. */
sv_status svi_budget_fill(const svi_config *config, const svi_section *section,
                          const sv_option *own, svi_budget *budget_out, svi_config_report report,
                          void *ctx);

#endif
