/* The stage: a whole server in this process, the real core with the real modules, on a virtual clock, with seeded randomness,
 * links in memory and a simulated disk (architecture 5).
 *
 * Nothing happens by itself: the server works while svi_stage_settle runs, and time passes while svi_stage_pass does. The disk
 * outlives the server, so a server may be ended or killed and started again on what is stored. One thread. */
#ifndef STAGE_H
#define STAGE_H

#include "base/base_plat.h"
#include "mods/mods_loader.h"
#include "net/net_link.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_server.h"

typedef struct svi_stage svi_stage;

typedef struct svi_stage_config {
    svi_acct *core;  /* what the server and its modules hold */
    svi_acct *peers; /* the disk, links and the rest of the stage; may be the same */
    const char *const *paths; /* folders of modules, in the order in which they are searched; kept by reference */
    size_t path_count;
    const char *modules; /* what stands in modules_enabled if no line says so; NULL: what a server usually has. Kept by reference */
    uint64_t seed;       /* of all that is random */
    const svi_limits *limits; /* NULL: the server's */
    size_t cache_bytes;       /* of rows that nobody uses; 0: the store's own choice */
} svi_stage_config;

/* A stage whose server has not started. Never fails; free with svi_stage_free. One at a time: it takes what the process logs. */
svi_stage *svi_stage_new(const svi_stage_config *config);
/* Ends the server, if it runs, and frees all. */
void svi_stage_free(svi_stage **stage);

/* --- before the start --------------------------------------------------------------------------------- */

/* Adds a line of configuration / a module behind those of `modules`. False: the server runs, or modules_enabled stands in a line. */
bool svi_stage_configure(svi_stage *stage, sv_str line);
bool svi_stage_enable(svi_stage *stage, sv_str module);

/* Starts the server with the hosts localhost and other.localhost; true if it runs already. False with svi_stage_problem. */
bool svi_stage_start(svi_stage *stage);
/* Why it could not start, or what has gone wrong since; "" if nothing has. */
const char *svi_stage_problem(const svi_stage *stage);

/* --- while it runs ------------------------------------------------------------------------------------ */

/* Ends the server in order / as kill -9 does: what is not committed by now never will be. Does nothing if it does not run. */
void svi_stage_stop(svi_stage *stage);
void svi_stage_kill(svi_stage *stage);

/* Lets everything happen that can without the clock; true if anything did. */
bool svi_stage_settle(svi_stage *stage);
/* Lets time pass, with all that becomes due in it. */
void svi_stage_pass(svi_stage *stage, int64_t us);

/* The client's end of a new connection, which takes 64 KiB that the other end has not read; the caller closes it. */
svi_link *svi_stage_connect(svi_stage *stage);
/* Makes an account, or gives it another password. False if that failed. */
bool svi_stage_add_account(svi_stage *stage, sv_str user, sv_str domain, sv_str password);
/* Loads a module anew from its file. False with a reason appended. */
bool svi_stage_reload(svi_stage *stage, sv_str module, svi_buf *why);

/* What the server has logged so far from level info, a line for each fact, beginning with the event's name; of the first MiB. */
sv_str svi_stage_log(const svi_stage *stage);
/* What is wrong with a server at rest: a ledger that does not balance, stanzas in flight. "" if nothing is. Borrowed. */
const char *svi_stage_fault(svi_stage *stage);

/* Its parts: NULL while it does not run, but for the platform and the disk. */
svi_server *svi_stage_server(const svi_stage *stage);
svi_mods *svi_stage_mods(const svi_stage *stage);
svi_engine *svi_stage_engine(const svi_stage *stage);
/* What engine modules have: their threads are real, and the stage waits for what they were given. */
svi_engines *svi_stage_engines(const svi_stage *stage);
svi_plat_virtual *svi_stage_plat(svi_stage *stage);
svi_link_pairs *svi_stage_links(svi_stage *stage);

#endif
