/* What runs on stages reached of one module: its hooks and the places where it refuses, and if it broke rules there. A plain value, that may lie in memory
 * which processes share. One thread. */
#ifndef STAGE_COVER_H
#define STAGE_COVER_H

#include "stage.h"

enum { SVI_COVER_SITES = 256, SVI_COVER_HOOKS = 128, SVI_COVER_TEXT = 160 };

typedef struct svi_cover_site {
    char file[64];   /* of a script; of a module in C its name */
    uint64_t place;  /* the line; in C the offset in the file that was loaded, behind the call */
    bool is_code;    /* in C */
    uint64_t times;
} svi_cover_site;

typedef struct svi_cover_hook {
    char text[SVI_COVER_TEXT]; /* as declared */
    uint64_t calls, passed, done, later;
} svi_cover_hook;

/* What a module holds on all hosts. */
typedef struct svi_cover_held {
    int64_t bytes, count; /* without a script's state */
    int64_t script_bytes; /* of that */
} svi_cover_held;

typedef struct svi_cover {
    char module[64];
    svi_cover_site sites[SVI_COVER_SITES];
    size_t site_count;
    svi_cover_hook hooks[SVI_COVER_HOOKS];
    size_t hook_count;
    uint64_t lost; /* that found no place any more */
    /* Not carried in files: */
    uint64_t faults;           /* of it */
    char rule[SVI_COVER_TEXT]; /* which the first of them broke */
    svi_cover_held forgot;     /* the most that it held when that went: at the end of a server, at a reload */
} svi_cover;

/* What the module holds on all hosts of the stage now; a script's state is counted once. */
svi_cover_held svi_cover_holds(svi_stage *stage, const char *module);
/* Raises each of its parts to that of `held`. */
void svi_cover_most(svi_cover_held *most, const svi_cover_held *held);
/* Begins empty, for the module of that name. */
void svi_cover_init(svi_cover *cover, const char *module);
/* Stages of this configuration are counted in it, each when its server ends. */
void svi_cover_attach(svi_cover *cover, svi_stage_config *config);
/* Adds what another one has. */
void svi_cover_add(svi_cover *cover, const svi_cover *more);
/* Appends it to a file, as lines; false with errno. */
bool svi_cover_write(const svi_cover *cover, const char *path);
/* Adds what several have written. False if the file can't be read; what is in it of other modules, or no such line, is passed over. */
bool svi_cover_read(svi_cover *cover, const char *path);

#endif
