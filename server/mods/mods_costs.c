/* What a module costs on a host: lines of counts, an account of all its memory, metrics. */
#include "mods/mods_costs.h"

#include "base/base_assert.h"
#include "base/base_str.h"

svi_costs *svi_costs_new(svi_acct *acct, const char *name)
{
    svi_costs *costs = svi_alloc(acct, sizeof *costs);
    costs->refs = 1;
    costs->owner = acct;
    costs->acct.name = svi_str_dup(acct, sv_str_of(name)).p;
    return costs;
}

svi_costs *svi_costs_ref(svi_costs *costs)
{
    SV_ASSERT(costs->refs > 0);
    costs->refs++;
    return costs;
}

void svi_costs_unref(svi_costs **costs)
{
    svi_costs *c = *costs;
    *costs = NULL;
    if (c == NULL) return;
    SV_ASSERT(c->refs > 0);
    if (--c->refs > 0) return;
    SV_ASSERT(atomic_load(&c->acct.live_count) == 0);
    while (c->lines != NULL) {
        svi_cost_line *line = c->lines;
        c->lines = line->next;
        svi_free(line->text);
        svi_free(line);
    }
    while (c->metrics != NULL) {
        svi_metric_value *metric = c->metrics;
        c->metrics = metric->next;
        svi_free(metric->name);
        svi_free(metric);
    }
    svi_free((void *)(uintptr_t)c->acct.name);
    svi_free(c);
}

static char *copy(svi_acct *acct, const char *text)
{
    return (char *)(uintptr_t)svi_str_dup(acct, sv_str_of(text)).p;
}

svi_hook_stats *svi_costs_line(svi_costs *costs, const char *text)
{
    if (costs->line_count + 1 >= SVI_COST_LINES_MAX) text = "other";
    svi_cost_line **at = &costs->lines;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->text, text) == 0) return &(*at)->stats;
    svi_cost_line *line = svi_alloc(costs->owner, sizeof *line);
    line->text = copy(costs->owner, text);
    *at = line;
    costs->line_count++;
    return &line->stats;
}

svi_hook_stats svi_costs_sum(const svi_costs *costs)
{
    svi_hook_stats sum = {.calls = 0};
    for (const svi_cost_line *line = costs->lines; line != NULL; line = line->next)
        svi_hook_stats_add(&sum, &line->stats);
    return sum;
}

/* --- metrics ---------------------------------------------------------------------------------------- */

int64_t *svi_costs_metric(svi_costs *costs, const char *name)
{
    svi_metric_value **at = &costs->metrics;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) return &(*at)->value;
    if (costs->metric_count >= SVI_METRIC_VALUES_MAX) return NULL;
    svi_metric_value *metric = svi_alloc(costs->owner, sizeof *metric);
    metric->name = copy(costs->owner, name);
    *at = metric;
    costs->metric_count++;
    return &metric->value;
}

const sv_metric *svi_metric_at(const sv_module_desc *desc, size_t i)
{
    if (desc->metrics == NULL) return NULL;
    const char *const at = (const char *)desc->metrics + i * desc->metric_stride;
    const sv_metric *metric = (const void *)at;
    return metric->name != NULL ? metric : NULL;
}

/* "module_word_word": the module's name, its hyphens as underscores, then words of lower-case letters and digits. */
static bool is_metric_name(const char *name, const char *module)
{
    const size_t n = strlen(module);
    if (strlen(name) > 100) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] != (module[i] == '-' ? '_' : module[i])) return false;
    if (name[n] != '_' || name[n + 1] == '\0') return false;
    for (const char *c = name + n; *c != '\0'; c++) {
        const bool is_word = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
        if (!is_word && (*c != '_' || c[1] == '_' || c[1] == '\0')) return false;
    }
    return true;
}

static bool is_twice(const sv_module_desc *desc, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(svi_metric_at(desc, k)->name, svi_metric_at(desc, i)->name) == 0) return true;
    return false;
}

static sv_status wrong_name(const sv_module_desc *desc, const sv_metric *metric, sv_err *err)
{
    char begin[64];
    const sv_str module = svi_str_sub(sv_str_of(desc->name), 0, sizeof begin - 1);
    for (size_t i = 0; i < module.n; i++) begin[i] = module.p[i] == '-' ? '_' : module.p[i];
    begin[module.n] = '\0';
    return svi_err(err, SV_EINVAL,
                   "its metric \"%.60s\" has a wrong name: begin it with the module's name, hyphens "
                   "as underscores, as in \"%s_things\"; use lower-case letters, digits and single "
                   "underscores",
                   metric->name, begin);
}

sv_status svi_metrics_check(const sv_module_desc *desc, sv_err *err)
{
    const sv_metric *metric;
    for (size_t i = 0; (metric = svi_metric_at(desc, i)) != NULL; i++) {
        if (i >= SVI_METRICS_MAX)
            return svi_err(err, SV_EINVAL, "it declares more than %d metrics", SVI_METRICS_MAX);
        if (!is_metric_name(metric->name, desc->name)) return wrong_name(desc, metric, err);
        if (is_twice(desc, i))
            return svi_err(err, SV_EINVAL, "it declares the metric \"%s\" twice", metric->name);
        if (metric->kind != SV_METRIC_COUNTER && metric->kind != SV_METRIC_GAUGE)
            return svi_err(err, SV_EINVAL,
                           "its metric \"%s\" is of the unknown kind %d: use SV_METRIC_COUNTER or "
                           "SV_METRIC_GAUGE",
                           metric->name, (int)metric->kind);
        if (metric->manual == NULL || *metric->manual == '\0')
            return svi_err(err, SV_EINVAL, "its metric \"%s\" lacks its sentence of the manual",
                           metric->name);
    }
    return SV_OK;
}
