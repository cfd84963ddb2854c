/* Budgets: the options that each module has without declaring them. */
#include "mods/mods_budget.h"

#include "base/base_assert.h"

enum { KINDS = 4 };

static const sv_option defaults[] = {
    SV_OPT_SIZE(svi_budget, memory_max, "module_memory_max", "1G", "0", "1024G",
                "Memory that one module may hold on one host; over it, each second is a fault, and at half as "
                "much again it is put into quarantine. 0: no bound."),
    SV_OPT_INT(svi_budget, cpu_max, "module_cpu_max", "0", "0", "100",
               "Percent of the router's time in ten seconds that one module may take on one host; more "
               "is a fault. 0: no bound."),
    SV_OPT_INT(svi_budget, faults_max, "module_faults_max", "10", "0", "1000",
               "A module with so many faults on a host within module_faults_within is put into quarantine "
               "there. 0: none is."),
    SV_OPT_PERIOD(svi_budget, faults_within_ms, "module_faults_within", "1m", "1s", "1d",
                  "The time for module_faults_max."),
    SV_OPT_INT(svi_budget, warn_percent, "module_budget_warn", "80", "1", "100",
               "Percent of a module's budget of memory or processor time from which on the log warns."),
    {.name = NULL}};

/* What a module's own options are, in the order of the first of `defaults`. */
typedef struct own_kind {
    const char *suffix, *manual;
} own_kind;

static const own_kind own_kinds[KINDS] = {
    {"memory_max", "Memory that the module may hold on a host, in place of module_memory_max."},
    {"cpu_max", "Percent of the router's time that the module may take on a host, in place of module_cpu_max."},
    {"faults_max", "So many faults on a host put the module into quarantine, in place of module_faults_max."},
    {"faults_within", "The time for that, in place of module_faults_within."},
};

const sv_option *svi_budget_options(void)
{
    return defaults;
}

/* A module's name as names of its options begin with it: a configuration has no hyphens in its words. */
static const char *word_of(svi_arena *arena, const char *module)
{
    const size_t n = strlen(module);
    char *word = svi_arena_get(arena, n + 1);
    for (size_t i = 0; i <= n; i++) word[i] = i == n ? '\0' : module[i] == '-' ? '_' : module[i];
    return word;
}

const sv_option *svi_budget_options_of(svi_arena *arena, const char *module)
{
    const char *const word = word_of(arena, module);
    sv_option *own = svi_arena_get(arena, (KINDS + 1) * sizeof *own);
    for (size_t i = 0; i < KINDS; i++) {
        own[i] = defaults[i];
        own[i].name = svi_arena_printf(arena, "%s_%s", word, own_kinds[i].suffix).p;
        own[i].preset = defaults[i].name; /* what the manual shows; never read */
        own[i].manual = own_kinds[i].manual;
    }
    return own;
}

const char *svi_budget_clash(const sv_option *own, const sv_option *options, size_t stride)
{
    for (size_t i = 0; options != NULL; i++) {
        const sv_option *o = (const sv_option *)(const void *)((const char *)options + i * stride);
        if (o->name == NULL) return NULL;
        for (size_t k = 0; k < KINDS; k++)
            if (strcmp(o->name, own[k].name) == 0) return o->name;
    }
    return NULL;
}

sv_status svi_budget_fill(const svi_config *config, const svi_section *section,
                          const sv_option *own, svi_budget *budget_out, svi_config_report report,
                          void *ctx)
{
    *budget_out = (svi_budget){.warn_percent = 0};
    sv_status status =
        svi_options_fill(config, section, defaults, sizeof *defaults, budget_out, report, ctx);
    for (size_t i = 0; i < KINDS; i++) {
        if (svi_config_get(config, section, sv_str_of(own[i].name)) == NULL) continue;
        const sv_option one[] = {own[i], {.name = NULL}};
        if (svi_options_fill(config, section, one, sizeof *one, budget_out, report, ctx) != SV_OK)
            status = SV_EINVAL;
    }
    return status;
}
