/* Policies in shadow, in a world: the live version and the other one are texts. */
#ifndef SVI_MODS_SHADOW_WORLD_TEST_H
#define SVI_MODS_SHADOW_WORLD_TEST_H

#include <sys/stat.h>

#include "mods/mods_script_world_test.h"
#include "mods/mods_shadow.h"

#define HEAD "sv.script{summary = 'a policy', policy = true, changes = {'*'}, sends = {'*'}, stores = {'notes'}}\n"
#define ON(text) HEAD "sv.on('message/resource', function(ev)\nlocal body = ev:root():text_of('body') or ''\n" text "\nend)\n"
#define TO_B(body) "<message to='b@one.example/r' type='chat'><body>" body "</body></message>"

enum { PATH = TESTING_PATH + 80 };

/* The file of the other version, in a folder of its own. */
static inline void shadow_path(const world *w, char path[PATH])
{
    snprintf(path, PATH, "%s/tried", w->folder);
    (void)mkdir(path, 0700);
    snprintf(path, PATH, "%s/tried/policy.lua", w->folder);
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline const char *read_text(const char *path)
{
    static char text[16384];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

/* Tries to begin a shadow with that text; what went wrong. */
static inline sv_status begin_on(world *w, const char *text, const char *host, sv_err *err)
{
    char path[PATH];
    const svi_shadow *shadow;
    shadow_path(w, path);
    write_text(path, text);
    const svi_shadowing how = {.path = path,
                               .host = host != NULL ? svi_host_find(w->server, sv_str_of(host)) : NULL,
                               .report = w_report,
                               .report_ctx = w};
    return svi_mods_shadow(w->mods, &how, &shadow, err);
}

static inline void begin(world *w, const char *text)
{
    sv_err err = {.text = ""};
    if (begin_on(w, text, NULL, &err) != SV_OK) fail_msg("%s", err.text);
}

static inline void assert_refused(world *w, const char *text, sv_status status, const char *why)
{
    sv_err err = {.text = ""};
    assert_int_equal(begin_on(w, text, NULL, &err), status);
    if (strstr(err.text, why) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    assert_null(svi_mods_shadow_at(w->mods, 0));
}

/* One host with the live version and what is needed to deliver. */
static inline world *policy_world(const char *live)
{
    world *w = script_world();
    write_script(w, "policy", live);
    start_scripts(w, "\"policy\"", "");
    return w;
}

static inline void world_over(world *w)
{
    char path[PATH];
    assert_has_not(&w->log, "handler-fault");
    assert_has_not(&w->log, "ledger-leak");
    shadow_path(w, path);
    (void)remove(path);
    snprintf(path, sizeof path, "%s/tried", w->folder);
    (void)remove(path);
    remove_script(w, "policy");
    world_free(w);
}

static inline const svi_shadow *the_shadow(const world *w)
{
    const svi_shadow *shadow = svi_mods_shadow_of(w->mods, SV_STR("policy"));
    assert_non_null(shadow);
    return shadow;
}

static inline svi_shadow_info info(const world *w)
{
    svi_shadow_info i;
    svi_shadow_info_get(the_shadow(w), &i);
    return i;
}

/* Events by their result, and no other. */
static inline void assert_results(const world *w, unsigned same, unsigned differing, unsigned unknown, unsigned skipped)
{
    const svi_shadow_info i = info(w);
    if (i.same != same || i.differing != differing || i.unknown != unknown || i.skipped != skipped)
        fail_msg("%d same, %d differing, %d not comparable, %d skipped", (int)i.same, (int)i.differing, (int)i.unknown, (int)i.skipped);
}

static inline const svi_difference *difference(const world *w, size_t i)
{
    const svi_difference *d;
    if (!svi_shadow_difference_at(the_shadow(w), i, &d)) fail_msg("there is no difference %d", (int)i);
    return d;
}

/* The newest difference. */
static inline void assert_differs(const world *w, const char *live, const char *mine)
{
    assert_string_equal(difference(w, 0)->live, live);
    assert_string_equal(difference(w, 0)->mine, mine);
}

static inline uint64_t counted(const world *w, const char *live, const char *mine, const char *result)
{
    const svi_shadow_count *c;
    for (size_t i = 0; svi_shadow_count_at(the_shadow(w), i, &c); i++)
        if (strcmp(c->live, live) == 0 && strcmp(c->mine, mine) == 0 && strcmp(c->result, result) == 0) return c->count;
    return 0;
}

#endif
