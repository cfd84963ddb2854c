/* `stave test`: a module's folder, runs of its scripts in processes of their own, what they showed.
 *
 * Whatever a module does, it does it in a child; a child leaves its outcome in memory that it shares with its parent. */
#ifndef AUTHOR_TRY_H
#define AUTHOR_TRY_H

#include "author.h"
#include "stage/flow.h"
#include "stage/stage_cover.h"

enum { SVI_TRY_FLOWS = 256, SVI_TRY_TESTS = 256, SVI_TRY_KEPT = 40 };

typedef struct svi_try_flow {
    const char *name; /* "notes-limits.flow" */
    const char *path;
    sv_str text;
    const char *why_untimed; /* it is not run with other timing, as it says itself; NULL */
    const char *why_once; /* why it is not run again behind harm, as it says itself; NULL */
    bool is_out;      /* it does not pass as it is: it is not run in other ways */
    bool is_twice;    /* it passes twice in one world */
    bool is_down;     /* no server runs at its end: it was about one that can't start */
    svi_cover_held once, twice; /* the most that the module holds then */
    int64_t grown;              /* what it holds more each time, in bytes */
} svi_try_flow;

typedef struct svi_try {
    svi_author *author;
    svi_acct *acct;
    svi_arena *arena;
    /* options */
    const char *only, *enable, *built;
    bool is_plain, is_timing, is_every, is_strict;
    svi_harm_kind harm; /* alone; SVI_HARM_NONE: all */
    int64_t at;         /* 0: each */
    int64_t seed, seeds, jobs;
    /* the module */
    const char *shown; /* the folder, as it was given */
    const char *dir;   /* the same, whole */
    const char *name;
    bool is_lua;
    const char *file;   /* NAME.so or NAME.lua, whole */
    const char *paths[3]; /* where the stage looks for modules */
    const char *link;   /* a folder that is taken away at the end; NULL */
    const char *test;   /* the program, or the file in Lua; NULL: there is none */
    const char *modules; /* as svi_stage_config has it; NULL */
    svi_try_flow flows[SVI_TRY_FLOWS];
    size_t flow_count;
    /* what came of it */
    svi_cover *cover;
    unsigned failed;  /* what is told of as such */
    uint64_t runs;
    int64_t virtual_us;
    svi_cover_held held; /* the most, at the end of plain runs */
    unsigned shrunk;
} svi_try;

typedef enum svi_try_fate {
    SVI_TRY_FINE = 0,
    SVI_TRY_SKIPPED,
    SVI_TRY_STEP,       /* a step was not as expected */
    SVI_TRY_CRASH,      /* the process ended otherwise than it should */
    SVI_TRY_ENDLESS,    /* it did not end */
    SVI_TRY_START,      /* the server does not start again */
    SVI_TRY_LEDGER,     /* the ledger, stanzas in flight, memory of the server */
    SVI_TRY_UNANSWERED, /* a request had no answer, or several */
    SVI_TRY_RULE,       /* the module broke a rule, or is in quarantine */
    SVI_TRY_AGAIN,      /* the script does not pass behind it */
    SVI_TRY_MEMORY      /* the module holds more than it should */
} svi_try_fate;

/* What a child is to do. */
typedef struct svi_try_run {
    const svi_try *t;
    sv_str text; /* of a script */
    const char *name;
    uint64_t seed;
    bool is_timed;
    bool is_double; /* twice, the second time with other accounts */
    bool is_traced;
    svi_harm_kind harm;
    uint64_t n;
    const svi_try_flow *clean; /* what is left behind without harm, and if it is run again behind that; NULL: nothing is known */
    const char *lua_test;      /* instead of a script: a test of the file */
} svi_try_run;

/* What it leaves. */
typedef struct svi_try_outcome {
    bool is_whole; /* it came to its end */
    svi_try_fate fate;
    char text[3000];
    bool is_harmed;
    bool is_down;   /* no server runs at the end */
    bool passed_once; /* what went wrong, if anything, did so when it was run again */
    svi_cover_held held, ended; /* at the end, and behind the first time */
    svi_cover_held once, twice; /* without harm: the most until then, if it is run once, twice */
    int64_t grown;              /* bytes that it holds more behind the second time, unless it forgot something on the way */
    int64_t virtual_us;
    svi_cover cover;
    char names[SVI_TRY_TESTS][96]; /* of tests in a file in Lua */
    size_t name_count;
} svi_try_outcome;

/* --- author_try_folder.c: the module ------------------------------------------------------------------- */

/* Finds out what is in the folder. Not SVI_EXIT_OK: what is wrong was said. */
int svi_try_find(svi_try *t, const char *folder);
/* Builds it, unless it was built, and checks the file; tells of it. False: that failed, and was told. */
bool svi_try_build(svi_try *t);
/* Reads a file, for good; false with errno. */
bool svi_try_slurp(const svi_try *t, const char *path, sv_str *text_out);
/* Takes away what was made for the time of the tests. */
void svi_try_clear(svi_try *t);

/* True if the script has the module keep the server's store: then it is none of a host's, and the disk is not the stage's. */
bool svi_try_keeps_store(const svi_try *t, sv_str script);
/* The script with a kill in place of each restart; false: it has none, or says `# lost at a kill: why`. */
bool svi_try_kill_for_restart(const svi_try *t, svi_try_flow *flow);

/* --- author_try_child.c: processes --------------------------------------------------------------------- */

typedef struct svi_try_pool svi_try_pool;

/* A pool for `jobs` children at once. */
svi_try_pool *svi_try_pool_new(svi_try *t, size_t jobs);
void svi_try_pool_free(svi_try_pool **pool);
/* True if one more can be begun. */
bool svi_try_pool_has_room(const svi_try_pool *pool);
/* Begins one; `ctx` comes back with its outcome. */
void svi_try_begin(svi_try_pool *pool, const svi_try_run *run, void *ctx);
/* Waits for one that was begun: its outcome, valid until the next call of these. NULL: none is under way. */
const svi_try_outcome *svi_try_wait(svi_try_pool *pool, void **ctx_out);
/* One alone, while none is under way. */
const svi_try_outcome *svi_try_one(svi_try_pool *pool, const svi_try_run *run);
/* Runs a program with its output in a buffer, as it comes; its exit status, or -1. */
int svi_try_spawn(const char *dir, char *const *argv, svi_buf *out);

/* --- author_try_play.c: in the child ------------------------------------------------------------------- */

/* Does what is to be done of a script, on a stage of its own. */
void svi_try_play(const svi_try_run *run, svi_try_outcome *out);
/* The configuration of a stage for the module, whose coverage is counted in `cover`; kept by reference. */
svi_stage_config svi_try_stage(const svi_try_run *run, svi_acct *acct, svi_cover *cover);

/* --- author_try_lua.c: tests in Lua, in the child -------------------------------------------------------- */

/* Lists the tests of the file (lua_test ""), or runs the one of that name. */
void svi_try_lua(const svi_try_run *run, svi_try_outcome *out);

/* --- author_try_series.c: the phases ---------------------------------------------------------------------- */

/* Plain, timing, harm: what was asked for. */
void svi_try_all(svi_try *t);

/* --- author_try_shrink.c ----------------------------------------------------------------------------------- */

/* Looks for a shorter script that fails the same way, and prints the shortest it finds. */
void svi_try_shrink(svi_try *t, svi_try_pool *pool, const svi_try_run *run, svi_try_fate fate);

/* --- author_try_cover.c ------------------------------------------------------------------------------------ */

/* Prints what was reached. With --strict what was not counts as failed. */
void svi_try_tell_cover(svi_try *t);

#endif
