/* What the files of shadows share. Nobody outside this folder includes it. */
#ifndef SVI_MODS_SHADOW_IMPL_H
#define SVI_MODS_SHADOW_IMPL_H

#include "mods/mods_aside.h"
#include "mods/mods_impl.h"
#include "mods/mods_script.h"
#include "mods/mods_shadow.h"

/* What a handler made of an event, as far as it is known. */
typedef struct svi_outcome {
    char verdict[SVI_VERDICT_BYTES]; /* "refuse forbidden"; "": none yet */
    uint64_t content;                /* differs if what was said beyond that differs */
    unsigned sends, changes, offers;
    bool replaces;
    bool is_unknown; /* it depends on what a shadow does not ask */
} svi_outcome;

typedef struct svi_trial svi_trial;

/* Where a sample is on its way. */
typedef enum svi_sample_stage {
    SVI_SAMPLE_LIVE,   /* the live version has not decided */
    SVI_SAMPLE_QUEUED,
    SVI_SAMPLE_RUNS    /* its rehearsal is under way */
} svi_sample_stage;

/* An event that the live version was called for; or a timer of the shadow. */
typedef struct svi_sample {
    struct svi_sample *next, *before; /* in the shadow's list, in order of coming */
    svi_trial *trial; /* NULL: the shadow has ended meanwhile */
    uint32_t refs;    /* of whoever waits for its next stage; in a rehearsal of the event and of the handler, which end in any order */
    svi_sample_stage stage;
    bool is_timer;
    size_t hook;      /* of the live version */
    sv_event *ev;     /* the live version's, then the rehearsal's while its handler runs or waits; borrowed */
    svi_arena *arena; /* of addresses and texts */
    const sv_stanza *stanza; /* a reference; NULL: an occasion */
    sv_jid from, to, session; /* `session`: its address; empty: none */
    uint64_t session_number;
    sv_str subject;
    bool account_exists;
    bool may_wait; /* the live version might have said LATER */
    int64_t at_us;
    svi_outcome live, mine;
    char live_text[SVI_VERDICT_BYTES], mine_text[SVI_VERDICT_BYTES];
    bool has_raised;
} svi_sample;

/* A shadow on one host. Lives as long as its module. */
struct svi_trial {
    svi_trial *next;
    svi_shadow *shadow; /* a reference */
    sv_mod *live;       /* NULL: it is over */
    sv_mod *mine;       /* a reference; NULL: it is over */
    svi_script_tap live_tap, my_tap;
    int *match;         /* for each hook of the live version the shadow's, -1 if it has none, -2 if nobody is to be told */
    size_t match_count;
    svi_hooks **tables; /* for each hook of the shadow one that has it alone; of those that `match` names */
    size_t table_count;
    char label[SVI_MOD_NAME_MAX + 16]; /* "words (shadow)": who it is in the log */
    svi_hooks *timers;  /* its hooks at host/timer; NULL: none */
};

struct svi_shadow {
    svi_shadow *next;
    uint32_t refs; /* of svi_past, of each trial, of what is deferred */
    svi_acct *acct;
    svi_past *past; /* NULL: it has ended */
    svi_server *server;
    svi_mod_file *file; /* a reference */
    char *path;
    int64_t since_s;
    sv_api live_api, my_api; /* what the live version, and the shadow, have for a table */
    svi_aside *aside;
    svi_trial *trials;
    svi_sample *first, *last;
    size_t sample_count, queued;
    bool is_deferred;
    svi_shadow_count counts[SVI_SHADOW_COUNTS_MAX];
    size_t count_count;
    svi_difference differences[SVI_DIFFERENCES_MAX]; /* a ring */
    uint64_t difference_count;
    uint64_t same, differing, unknown, skipped, errors;
    /* its time */
    int64_t cpu_us, began_us;
    int64_t window_us, window_used_us, look_us;
    uint64_t timers_fired;
    int64_t timers_late_us;
    bool is_late;
};

/* --- mods_shadow.c ------------------------------------------------------------------- */

/* Gives a reference back and clears the pointer; the last one, behind its end, frees it. */
void svi_shadow_unref(svi_shadow **shadow);

/* --- mods_shadow_run.c: samples and their rehearsals --------------------------------- */

/* Makes the tables and taps of a trial whose module has started, and begins to listen. */
void svi_trial_listen(svi_trial *trial);
/* Ends that; its samples are dropped. */
void svi_trial_deafen(svi_trial *trial);
/* Begins to look how late the router's timers are. */
void svi_shadow_look(svi_shadow *shadow, int64_t now_us);
/* Member `begin` of a shadow's table: its own timers run, nothing else does. */
void svi_trial_begin(sv_mod *mod, const char *on, sv_str subject);
/* True while the shadow has no time: what it would do now is left out. */
bool svi_shadow_is_short(svi_shadow *shadow);

/* --- mods_shadow_table.c: functions without effect ------------------------------------ */

/* Fills the tables of the live version, which notes what it does, and of the shadow, which does nothing besides. */
void svi_shadow_tables_fill(svi_shadow *shadow);
/* What it comes to as text; `end` says how the handler ended. */
void svi_outcome_text(const svi_outcome *outcome, const svi_script_end *end, char text[SVI_VERDICT_BYTES]);

/* --- for the rest of the folder ------------------------------------------------------- */

/* True if the module is a shadow. */
static inline bool svi_mod_is_shadow(const sv_mod *mod)
{
    return mod->tries != NULL;
}

#endif
