/* A ring of the times of faults. */
#include "mods/mods_faults.h"

#include "base/base_assert.h"

void svi_faults_init(svi_faults *faults, svi_acct *acct, size_t max, int64_t within_us)
{
    *faults = (svi_faults){.max = max, .within_us = within_us};
    if (max > 0) faults->at_us = svi_alloc(acct, max * sizeof *faults->at_us);
}

void svi_faults_free(svi_faults *faults)
{
    svi_free(faults->at_us);
    *faults = (svi_faults){.total = faults->total};
}

bool svi_faults_add(svi_faults *faults, int64_t now_us)
{
    faults->total++;
    if (faults->max == 0) return false;
    faults->at_us[faults->next] = now_us;
    faults->next = (faults->next + 1) % faults->max;
    if (faults->count < faults->max) faults->count++;
    return svi_faults_count(faults, now_us) == faults->max;
}

size_t svi_faults_count(const svi_faults *faults, int64_t now_us)
{
    size_t count = 0;
    for (size_t i = 0; i < faults->count; i++)
        if (now_us - faults->at_us[i] < faults->within_us) count++;
    return count;
}

void svi_faults_clear(svi_faults *faults)
{
    faults->count = faults->next = 0;
}
