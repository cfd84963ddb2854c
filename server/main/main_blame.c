/* Blame for the ends of workers. */
#include "main/main_blame.h"

#include <stdio.h>

void svi_blame_init(svi_blame *blame, svi_acct *acct)
{
    *blame = (svi_blame){.acct = acct};
}

static void clear(svi_blamed *b)
{
    svi_faults_free(&b->ends);
    *b = (svi_blamed){.module = ""};
}

void svi_blame_free(svi_blame *blame)
{
    for (size_t i = 0; i < SVI_BLAME_MAX; i++) clear(&blame->modules[i]);
}

static svi_blamed *find(svi_blame *blame, const char *module)
{
    for (size_t i = 0; i < SVI_BLAME_MAX; i++)
        if (strcmp(blame->modules[i].module, module) == 0) return &blame->modules[i];
    return NULL;
}

static svi_blamed *place_for(svi_blame *blame, const char *module)
{
    svi_blamed *place = find(blame, module);
    if (place != NULL) return place;
    place = &blame->modules[0];
    for (size_t i = 1; i < SVI_BLAME_MAX; i++)
        if (blame->modules[i].last_us < place->last_us) place = &blame->modules[i]; /* free ones have 0 */
    clear(place);
    (void)snprintf(place->module, sizeof place->module, "%s", module);
    svi_faults_init(&place->ends, blame->acct, SVI_BLAME_CRASHES, SVI_BLAME_WITHIN_US);
    return place;
}

/* A report lies in the worker's folder: what it says becomes an argument. */
static bool is_name(const char *module)
{
    const size_t n = strspn(module, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return n > 0 && module[n] == '\0' && module[0] != '-' && n < SVI_BLAME_NAME_BYTES;
}

bool svi_blame_end(svi_blame *blame, const char *module, const char *hook, int64_t now_us)
{
    if (!is_name(module)) return false;
    svi_blamed *b = place_for(blame, module);
    b->last_us = now_us > 0 ? now_us : 1;
    if (strcmp(hook, "start") == 0) b->is_in_start = true;
    const bool was_held = b->is_held;
    if (svi_faults_add(&b->ends, now_us)) b->is_held = true;
    return b->is_held && !was_held;
}

void svi_blame_forget(svi_blame *blame, const char *module)
{
    svi_blamed *b = module[0] != '\0' ? find(blame, module) : NULL;
    if (b != NULL) clear(b);
}
