/* What the files of the stage share. */
#ifndef STAGE_IMPL_H
#define STAGE_IMPL_H

#include "base/base_str.h"
#include "mods/mods_engine.h"
#include "stage.h"

/* What is to be done of it as soon as no event is under way. */
typedef enum svi_harm_step {
    SVI_HARM_RESTS = 0,
    SVI_HARM_BEGINS,
    SVI_HARM_ENDS /* a connection was lost, a host has gone: the server is to have its say first */
} svi_harm_step;

/* What svi_stage_harm has asked for (stage_harm.c). */
typedef struct svi_harm {
    svi_harm_kind kind;
    char module[64]; /* "": any */
    uint64_t n;      /* the occasion that it is */
    uint64_t seen;   /* occasions so far */
    bool is_done;    /* it has happened */
    svi_harm_step step;
    bool was_held;   /* the disk, before it was held for that */
    sv_str subject;  /* the module that is loaded anew, the host that goes; allocated */
} svi_harm;

struct svi_stage {
    svi_stage_config how;
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_sim_plan plan; /* of engines that will be made */
    svi_store_module store_module; /* in place of the simulated disk, if a line names it in store_engine */
    svi_link_pairs *pairs;
    svi_server *server;
    svi_listener *listener;
    svi_config *config;
    svi_mods *mods;
    uv_loop_t loop; /* of engine modules; open while there are engines */
    svi_engines *engines;
    svi_mods_probe probe;
    svi_harm harm;
    svi_buf config_text, log;
    svi_buf further; /* modules, as they stand in a list */
    bool is_host_gone[SVI_STAGE_HOSTS];
    bool started, is_ending, is_recovered;
    char problem[300], fault[100];
};

/* stage.c: an svi_config_report: the first problem is kept. */
void svi_stage_note(void *ctx, const char *file, int line, const char *text);
/* stage.c: the plan of the disk that runs; of the next one if none does, or if a module keeps the store. */
svi_sim_plan *svi_stage_plan(svi_stage *stage);
/* stage.c: as svi_stage_host_go and _come, without the settling. */
bool svi_stage_set_host(svi_stage *stage, sv_str domain, bool is_gone, svi_buf *why);

/* stage_harm.c: fills in the probe, and the plan of disks. */
void svi_harm_init(svi_stage *stage);
/* Between two turns: does what is due, of which the end comes when nothing else can happen (`is_quiet`). True if anything was done. */
bool svi_harm_act(svi_stage *stage, bool is_quiet);
/* As svi_server_config has it; `ctx` is the stage. */
bool svi_harm_lacks_space(void *ctx, const char *module);
/* The server ends: what was to happen to it can't any more. */
void svi_harm_drop(svi_stage *stage);
void svi_harm_free(svi_stage *stage);

#endif
