/* Policies in shadow: another version of a policy gets what the live version got, without effect, and what both made of it is
 * compared (architecture 7).
 *
 * A shadow is a script with a state of its own on each host where the live version runs. It is in no table of hooks: what the live
 * version was called for is noted, with the stanza as it was then, and rehearsed (svi_rehearse) when the live verdict is known.
 * Its functions are those of the module table, but none has an effect: rows are put aside (mods_aside.h), timers run in
 * rehearsals of their own, metrics are its own, and an event in which it asks somebody else is not comparable.
 *
 * It costs at most SVI_SHADOW_US of processor time in a second, and nothing while the router's timers are late: what comes then is
 * skipped and counted. At most SVI_SAMPLES_MAX events are kept for it at once. It ends with the live version: with a reload of
 * that, with its host, with the server. Router thread only. */
#ifndef SVI_MODS_SHADOW_H
#define SVI_MODS_SHADOW_H

#include "mods/mods_loader.h"

enum {
    SVI_SAMPLES_MAX = 100,     /* events that wait to be rehearsed, or are */
    SVI_DIFFERENCES_MAX = 50,  /* of the newest that differed are kept */
    SVI_SHADOW_COUNTS_MAX = 100,       /* kinds of results that are counted apart */
    SVI_VERDICT_BYTES = 128,
    SVI_ADDRESS_BYTES = 256,
    SVI_ASIDE_BYTES = 1 << 20, /* rows of one shadow on all hosts */
    SVI_SHADOW_US = 50000,     /* processor time in a second */
    SVI_SHADOW_LATE_US = 20000 /* timers are this late, on an average: the router has no time */
};

typedef struct svi_shadow svi_shadow;

typedef struct svi_shadowing {
    const char *path;   /* of NAME.lua */
    svi_host *host;     /* NULL: on all where the live version runs */
    svi_config_report report; /* problems of options */
    void *report_ctx;
} svi_shadowing;

/* Loads the script and starts it beside the module of its name, with what that one saves for its next generation. On an error
 * nothing is left: SV_ENOTFOUND if no live version runs there, SV_EEXIST if it has a shadow already, SV_EINVAL ..., with text. */
sv_status svi_mods_shadow(svi_mods *mods, const svi_shadowing *how, const svi_shadow **shadow_out, sv_err *err);
/* Shadow number `i`, or that of a policy; NULL if there is none. Valid until the next event. */
const svi_shadow *svi_mods_shadow_at(const svi_mods *mods, size_t i);
const svi_shadow *svi_mods_shadow_of(const svi_mods *mods, sv_str name);
/* Ends it; false if there is none. */
bool svi_mods_shadow_drop(svi_mods *mods, sv_str name);

/* Its text becomes the live version, by svi_mods_reload, on all hosts; it ends with that. The file that the module is looked for
 * in gets the text first, so that a restart finds it; SV_EDENIED, with what to do, if that file can't be written and is not the
 * same already. Whatever the error, the live version goes on and its file is as it was. *path_out is that file, path_bytes long. */
sv_status svi_mods_shadow_promote(svi_mods *mods, sv_str name, const svi_mods_reloading *how, char *path_out, size_t path_bytes,
                                  svi_mods_reloaded *reloaded_out, sv_err *err);

typedef struct svi_shadow_info {
    const char *name, *path;
    int64_t since_s;    /* wall clock */
    size_t hosts;
    uint64_t same, differing, unknown, skipped; /* events, by result; unknown is "not comparable" */
    uint64_t errors;    /* events in which it raised */
    size_t waiting;     /* events that are kept for it now */
    int64_t cpu_us;     /* that it took, ever */
    int64_t state_bytes; /* of its memory as a script */
    size_t aside_bytes; /* of rows that it has written */
} svi_shadow_info;
/* Fills in the figures as they are now. */
void svi_shadow_info_get(const svi_shadow *shadow, svi_shadow_info *info_out);
/* Host number `i` that it runs on; NULL past the end. */
const char *svi_shadow_host(const svi_shadow *shadow, size_t i);
/* Hook number `i` that one of both versions has and the other has not, with which ("shadow", "live"); false past the end. The
 * live version is never asked there, so there is nothing to compare; or the shadow counts as one that passes. */
bool svi_shadow_odd_hook(const svi_shadow *shadow, size_t i, const char **hook_out, const char **whose_out);

/* What both made of events, counted. */
typedef struct svi_shadow_count {
    const char *hook;
    char live[SVI_VERDICT_BYTES], mine[SVI_VERDICT_BYTES]; /* "refuse forbidden"; "-" of events that were skipped */
    const char *result; /* "same", "differing", "not comparable", "skipped" */
    uint64_t count;
} svi_shadow_count;
/* Number `i`, in the order in which they first came. The last one that there can be has the hook "other" and stands for all further
 * ones. False past the end. */
bool svi_shadow_count_at(const svi_shadow *shadow, size_t i, const svi_shadow_count **count_out);

/* An event that both decided in different ways. */
typedef struct svi_difference {
    int64_t at_us; /* wall clock */
    const char *hook;
    char host[SVI_ADDRESS_BYTES], from[SVI_ADDRESS_BYTES], to[SVI_ADDRESS_BYTES]; /* cut where they are longer */
    char kind[48]; /* "message chat" */
    char live[SVI_VERDICT_BYTES], mine[SVI_VERDICT_BYTES];
} svi_difference;
/* Number `i`, the newest first; false past the end. */
bool svi_shadow_difference_at(const svi_shadow *shadow, size_t i, const svi_difference **difference_out);

#endif
