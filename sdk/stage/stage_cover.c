/* Coverage of a module: collected from stages, added up, carried from one process to another. */
#include "stage_cover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void svi_cover_init(svi_cover *c, const char *module)
{
    *c = (svi_cover){.lost = 0};
    (void)snprintf(c->module, sizeof c->module, "%s", module);
}

static void add_site(svi_cover *c, const svi_cover_site *site)
{
    for (size_t i = 0; i < c->site_count; i++) {
        svi_cover_site *s = &c->sites[i];
        if (s->place != site->place || s->is_code != site->is_code || strcmp(s->file, site->file) != 0) continue;
        s->times += site->times;
        return;
    }
    if (c->site_count < SVI_COVER_SITES)
        c->sites[c->site_count++] = *site;
    else
        c->lost++;
}

static void add_hook(svi_cover *c, const svi_cover_hook *hook)
{
    for (size_t i = 0; i < c->hook_count; i++) {
        svi_cover_hook *h = &c->hooks[i];
        if (strcmp(h->text, hook->text) != 0) continue;
        h->calls += hook->calls;
        h->passed += hook->passed;
        h->done += hook->done;
        h->later += hook->later;
        return;
    }
    if (c->hook_count < SVI_COVER_HOOKS)
        c->hooks[c->hook_count++] = *hook;
    else
        c->lost++;
}

static void refuses(void *ctx, const char *module, sv_cond cond, const svi_mods_site *site)
{
    svi_cover *c = ctx;
    (void)cond;
    if (strcmp(module, c->module) != 0) return;
    svi_cover_site s = {.place = site->place, .is_code = site->address != NULL, .times = 1};
    (void)snprintf(s.file, sizeof s.file, "%s", site->file);
    add_site(c, &s);
}

static void faults(void *ctx, const char *module, const char *rule)
{
    svi_cover *c = ctx;
    if (strcmp(module, c->module) != 0) return;
    if (c->faults++ == 0) (void)snprintf(c->rule, sizeof c->rule, "%s", rule);
}

static void ends(void *ctx, svi_stage *stage)
{
    svi_cover *c = ctx;
    const svi_mods *mods = svi_stage_mods(stage);
    svi_mod_info info;
    const svi_cost_line *line;
    for (size_t i = 0; svi_mods_info(mods, i, &info); i++) {
        if (strcmp(info.name, c->module) != 0) continue;
        for (size_t k = 0; svi_mods_line(mods, i, k, &line); k++) {
            svi_cover_hook h = {.calls = line->stats.calls, .passed = line->stats.passed, .done = line->stats.done, .later = line->stats.later};
            (void)snprintf(h.text, sizeof h.text, "%s", line->text);
            if (h.calls > 0) add_hook(c, &h);
        }
    }
}

svi_cover_held svi_cover_holds(svi_stage *stage, const char *module)
{
    svi_mod_info info;
    svi_cover_held held = {.bytes = 0};
    if (svi_stage_mods(stage)) svi_mods_collect(svi_stage_mods(stage));
    for (size_t i = 0; svi_stage_mods(stage) && svi_mods_info(svi_stage_mods(stage), i, &info); i++) {
        if (strcmp(info.name, module) != 0) continue;
        held.bytes += info.live_bytes - (info.is_script ? info.script_bytes : 0);
        held.count += info.live_count;
        if (info.is_script) held.script_bytes = info.script_bytes;
    }
    return held;
}

void svi_cover_most(svi_cover_held *most, const svi_cover_held *held)
{
    if (held->bytes > most->bytes) most->bytes = held->bytes;
    if (held->count > most->count) most->count = held->count;
    if (held->script_bytes > most->script_bytes) most->script_bytes = held->script_bytes;
}

static void forgets(void *ctx, svi_stage *stage)
{
    svi_cover *c = ctx;
    const svi_cover_held held = svi_cover_holds(stage, c->module);
    svi_cover_most(&c->forgot, &held);
}

void svi_cover_attach(svi_cover *c, svi_stage_config *config)
{
    config->refuses = refuses;
    config->faults = faults;
    config->ends = ends;
    config->forgets = forgets;
    config->ctx = c;
}

void svi_cover_add(svi_cover *c, const svi_cover *more)
{
    for (size_t i = 0; i < more->site_count; i++) add_site(c, &more->sites[i]);
    for (size_t i = 0; i < more->hook_count; i++) add_hook(c, &more->hooks[i]);
    c->lost += more->lost;
}

/* --- files -------------------------------------------------------------------------------------------------- */

bool svi_cover_write(const svi_cover *c, const char *path)
{
    svi_acct acct = {.name = "cover"};
    svi_buf out;
    svi_buf_init(&out, &acct);
    for (size_t i = 0; i < c->site_count; i++)
        svi_buf_printf(&out, "site %s %s %llu %d %llu\n", c->module, c->sites[i].file, (unsigned long long)c->sites[i].place,
                       c->sites[i].is_code, (unsigned long long)c->sites[i].times);
    for (size_t i = 0; i < c->hook_count; i++) {
        const svi_cover_hook *h = &c->hooks[i];
        svi_buf_printf(&out, "hook %s %llu %llu %llu %llu %s\n", c->module, (unsigned long long)h->calls, (unsigned long long)h->passed,
                       (unsigned long long)h->done, (unsigned long long)h->later, h->text);
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const bool ok = fd >= 0 && write(fd, out.data ? out.data : "", out.len) == (ssize_t)out.len; /* in one piece, beside others' */
    if (fd >= 0) (void)close(fd);
    svi_buf_free(&out);
    return ok;
}

static void read_line(svi_cover *c, const char *line)
{
    char module[64];
    unsigned long long a, b, d, e;
    int is_code;
    svi_cover_site site = {.times = 0};
    svi_cover_hook hook = {.calls = 0};
    if (sscanf(line, "site %63s %63s %llu %d %llu", module, site.file, &a, &is_code, &b) == 5 && strcmp(module, c->module) == 0) {
        site.place = a;
        site.is_code = is_code != 0;
        site.times = b;
        add_site(c, &site);
    } else if (sscanf(line, "hook %63s %llu %llu %llu %llu %159[^\n]", module, &a, &b, &d, &e, hook.text) == 6 &&
               strcmp(module, c->module) == 0) {
        hook.calls = a;
        hook.passed = b;
        hook.done = d;
        hook.later = e;
        add_hook(c, &hook);
    }
}

bool svi_cover_read(svi_cover *c, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) return errno == ENOENT; /* nobody had anything to say */
    char line[512];
    while (fgets(line, sizeof line, file)) read_line(c, line);
    (void)fclose(file);
    return true;
}
