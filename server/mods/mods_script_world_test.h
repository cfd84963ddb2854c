/* Scripts in a world: written into its folder, which is looked in first. */
#ifndef SVI_MODS_SCRIPT_WORLD_TEST_H
#define SVI_MODS_SCRIPT_WORLD_TEST_H

#include <unistd.h>

#include "mods/mods_world_test.h"

/* The file of a script in the world's folder. */
static inline void script_path(const world *w, const char *name, char path[TESTING_PATH + 80])
{
    snprintf(path, TESTING_PATH + 80, "%.1000s/%.80s.lua", w->folder, name);
}

static inline void write_script(world *w, const char *name, const char *text)
{
    char path[TESTING_PATH + 80];
    script_path(w, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline void remove_script(world *w, const char *name)
{
    char path[TESTING_PATH + 80];
    script_path(w, name, path);
    assert_int_equal(unlink(path), 0);
}

/* A file of a script with a folder of its own: NAME/FILE.lua. */
static inline void write_part(world *w, const char *name, const char *file, const char *text)
{
    char path[TESTING_PATH + 80], part[64];
    snprintf(path, sizeof path, "%.1000s/%.80s", w->folder, name);
    (void)mkdir(path, 0700);
    snprintf(part, sizeof part, "%.30s/%.30s", name, file);
    write_script(w, part, text);
}

static inline void remove_part(world *w, const char *name, const char *file)
{
    char path[TESTING_PATH + 80], part[64];
    snprintf(part, sizeof part, "%.30s/%.30s", name, file);
    remove_script(w, part);
    snprintf(path, sizeof path, "%.1000s/%.80s", w->folder, name);
    (void)rmdir(path); /* the last one's */
}

/* A world that looks for modules in its own folder, too. */
static inline world *script_world_as(const world_wish *wish)
{
    world *w = world_new_as(wish);
    w->paths[2] = w->folder;
    w->path_count = 3;
    return w;
}

static inline world *script_world(void)
{
    return script_world_as(&(world_wish){.loop = NULL});
}

/* Starts the modules `enabled` ("\"a\", \"b\"") on one.example; scripts have been written. */
static inline void start_scripts(world *w, const char *enabled, const char *options)
{
    char config[2048];
    snprintf(config, sizeof config, "VirtualHost \"one.example\"\nmodules_enabled = { %s }\n%s\n", enabled, options);
    start(w, config);
}

#endif
