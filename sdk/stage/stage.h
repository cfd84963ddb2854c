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

#define SVI_STAGE_HOSTS 8u

typedef struct svi_stage_host {
    const char *domain;
    const char *options; /* lines of its section; "": none */
} svi_stage_host;

typedef struct svi_stage_config svi_stage_config;
struct svi_stage_config {
    svi_acct *core;  /* what the server and its modules hold */
    svi_acct *peers; /* the disk, links and the rest of the stage; may be the same */
    const char *const *paths; /* folders of modules, in the order in which they are searched; kept by reference */
    size_t path_count;
    const char *modules; /* what stands in modules_enabled if no line says so; NULL: what a server usually has. Kept by reference */
    uint64_t seed;       /* of all that is random */
    const svi_limits *limits; /* NULL: the server's */
    size_t cache_bytes;       /* of rows that nobody uses; 0: the store's own choice */
    const svi_stage_host *hosts; /* at most SVI_STAGE_HOSTS; NULL: localhost and other.localhost. Kept by reference */
    size_t host_count;
    size_t window_bytes;      /* that a connection takes and the other end has not read; 0: 64 KiB */
    uint32_t scram_rounds;    /* of the accounts' keys; 0: 4096 */
    /* May be NULL: a module refuses an event or drops it (svi_mods_probe.refuses) / has a fault, but for what it does while its quota is
     * harmed / the server is about to end or to be killed, its modules still there / the same, or a module is about to be loaded anew by
     * svi_stage_reload: what it holds goes. */
    void (*refuses)(void *ctx, const char *module, sv_cond cond, const svi_mods_site *site);
    void (*faults)(void *ctx, const char *module, const char *rule);
    void (*ends)(void *ctx, svi_stage *stage);
    void (*forgets)(void *ctx, svi_stage *stage);
    void *ctx; /* of all four */
};

/* A stage whose server has not started. Never fails; free with svi_stage_free. One at a time: it takes what the process logs. */
svi_stage *svi_stage_new(const svi_stage_config *config);
/* Ends the server, if it runs, and frees all. */
void svi_stage_free(svi_stage **stage);

/* --- before the start --------------------------------------------------------------------------------- */

/* Adds a line of configuration / a module behind those of `modules`, unless it is there. False: the server runs, or modules_enabled
 * stands in a line. */
bool svi_stage_configure(svi_stage *stage, sv_str line);
bool svi_stage_enable(svi_stage *stage, sv_str module);

/* Starts the server with its hosts; true if it runs already. False with svi_stage_problem. */
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

/* Lets time pass up to what the network or the late disk owe next, and that happen; false: they owe nothing. What is due to the
 * server's timers on the way comes, too, but no time passes for a timer's sake. */
bool svi_stage_pass_owed(svi_stage *stage);

/* The client's end of a new connection; the caller closes it. */
svi_link *svi_stage_connect(svi_stage *stage);
/* Makes an account, or gives it another password; where a module keeps the host's accounts, it must be there. The disk must not be
 * held. False if that failed. */
bool svi_stage_add_account(svi_stage *stage, sv_str user, sv_str domain, sv_str password);
/* Loads a module anew from its file. False with a reason appended. */
bool svi_stage_reload(svi_stage *stage, sv_str module, svi_buf *why);

/* Takes other hosts and options of hosts over, as a reload of the configuration does, in one step between two events and with all that
 * is under way: hosts that are not among them go. False with a reason appended: then nothing has changed. */
bool svi_stage_reconfigure(svi_stage *stage, const svi_stage_host *hosts, size_t count, svi_buf *why);

/* A host of the stage goes, as by a reload of a configuration without it (its sessions are closed, its accounts stay stored) /
 * comes again. True if it is so already. False with a reason appended. */
bool svi_stage_host_go(svi_stage *stage, sv_str domain, svi_buf *why);
bool svi_stage_host_come(svi_stage *stage, sv_str domain, svi_buf *why);

/* True if the disk is simulated; false if a line names a module in store_engine: then the rest of this section that is about the
 * disk does nothing, there is no harm to it, and a server that runs can't be killed. */
bool svi_stage_is_simulated(const svi_stage *stage);

/* --- the network and the disk --------------------------------------------------------------------------- */

/* How the network carries what is sent from now on, of all connections (svi_link_nature); zero: at once and whole. */
void svi_stage_set_network(svi_stage *stage, const svi_link_nature *nature);
/* Each job of the disk that starts from now on is done that much later, by a seeded range; commits and folds keep their order. The
 * disk stays so when the server starts again. 0 and 0: when the server asks next. */
void svi_stage_set_disk_late(svi_stage *stage, int64_t min_us, int64_t max_us);
/* The disk does nothing from now on / goes on with what waits. Goes on by itself when the server ends. */
void svi_stage_hold_disk(svi_stage *stage, bool is_held);
/* The disk has no space for new work, or has it again; stays so when the server starts again. */
void svi_stage_fill_disk(svi_stage *stage, bool is_full);
/* The n-th read from now on (from 1) fails with SV_EIO, if the server has not ended before. */
void svi_stage_fail_read(svi_stage *stage, uint64_t n);

/* --- harm (stage_harm.c) -------------------------------------------------------------------------------- */

typedef enum svi_harm_kind {
    SVI_HARM_NONE,
    SVI_HARM_STORE_FAILS,  /* the module's n-th read is told SV_EIO */
    SVI_HARM_STORE_LATE,   /* the disk's n-th read of its rows, or commit with some, comes ten virtual seconds late */
    SVI_HARM_SHORTAGE,     /* at its n-th write, question for space or admission of what may store there is none; once */
    SVI_HARM_QUOTA,        /* its n-th allocation is refused as over its quota: a script is told, of C it is a fault, and quarantine */
    SVI_HARM_SESSION_GONE, /* while its n-th event (of those with a session) waits, the session's connection is lost */
    SVI_HARM_RELOAD,       /* while its n-th event waits, the module is loaded anew */
    SVI_HARM_HOST_GONE,    /* while its n-th event waits, that one's host goes, and comes again */
    SVI_HARM_KILL,         /* at the n-th commit with rows of it the server is killed, before that is durable */
    SVI_HARM_KILL_BEHIND,  /* right after that is durable, and before anybody was told */
    SVI_HARM_KINDS
} svi_harm_kind;

/* "store-fails", "kill-behind"; "none". */
const char *svi_harm_name(svi_harm_kind kind);
/* An event waits for the disk, a timer or a worker until the harm has come; what was answered from memory may have gone on by then.
 *
 * From now on the n-th (from 1) occasion for it among what `module` does (NULL: any module; copied) is one; counting begins anew
 * with each call, SVI_HARM_NONE ends it. After a kill the server is started again at once: clients see their connections reset. */
void svi_stage_harm(svi_stage *stage, svi_harm_kind kind, const char *module, uint64_t n);
/* It has happened. */
bool svi_stage_harmed(const svi_stage *stage);

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
