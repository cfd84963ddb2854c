/* The bus: passes a stanza's event through handlers, keeps lanes in order, gives each event one unit of writes and releases
 * what it sends at the commit of that unit (architecture 3.3 to 3.5). Knows stanzas, not XMPP's rules: those come in
 * through svi_event_ops. Router thread only.
 *
 * Life of an event: new -> run: (pass: handlers in order) per point -> finished by a verdict, or by `unclaimed` -> its unit
 * is submitted -> at its commit the emissions run in order -> `released` -> freed. A handler that says LATER leaves it waiting;
 * svi_event_resume takes it up again. The unit is one over all points of the event, so both sides of a stanza are stored together. */
#ifndef SVI_BUS_H
#define SVI_BUS_H

#include "base/base_plat.h"
#include "bus/bus_hooks.h"
#include "bus/bus_ledger.h"
#include "bus/bus_points.h"
#include "bus/bus_timer.h"

typedef struct svi_bus svi_bus;
typedef struct svi_lane svi_lane;

/* How the bus reaches the store without knowing it: units are opaque here. */
typedef struct svi_commit_ops {
    void    *(*unit_new)(void *ctx);
    bool     (*unit_is_empty)(void *ctx, void *unit);
    uint64_t (*submit)(void *ctx, void *take_unit); /* commit number */
    void     (*discard)(void *ctx, void *take_unit);
    uint64_t (*committed)(void *ctx);
    void      *ctx;
} svi_commit_ops;

typedef struct svi_bus_config {
    svi_acct       *acct;
    const svi_plat *plat;
    svi_timers     *timers;
    svi_ledger     *ledger;
    svi_commit_ops  commit;
    int64_t         later_us;   /* deadline of a LATER (60 s) */
    int64_t         slow_us;    /* a handler that runs longer is reported (100 ms) */
} svi_bus_config;

svi_bus *svi_bus_new(const svi_bus_config *config);
/* Cancels every waiting event (ops->canceled), then frees. */
void svi_bus_free(svi_bus **bus);

/* The rules behind an event; given by xmpp. */
typedef struct svi_event_ops {
    /* The pass at the current point ended without DONE: set the next point (svi_event_point) and return true, or false to end. */
    bool (*next)(sv_event *ev);
    /* Nobody said DONE at any point: must dispose of the stanza (default delivery, error, drop). */
    void (*unclaimed)(sv_event *ev);
    /* A LATER outlived its deadline: must dispose (RFC 6120: remote-server-timeout or internal-server-error). The late operation
     * finds the event finished. */
    void (*timeout)(sv_event *ev);
    /* A handler said DONE but nothing disposed of the stanza: a fault of `module`; must dispose. */
    void (*undisposed)(sv_event *ev, const char *module);
    /* Everything is committed and emitted: give credit back, advance h; the event is freed on return. */
    void (*released)(sv_event *ev);
} svi_event_ops;

typedef struct svi_event_config {
    const svi_event_ops *ops;
    svi_hooks   *hooks;      /* table for the first point; referenced */
    svi_point    point;      /* first point */
    const sv_stanza *stanza; /* referenced; NULL for events without one */
    uint64_t     entry;      /* ledger number, open; 0 for events without a stanza */
    const char  *host;       /* for the execution context; outlives the event */
    void        *x;          /* the caller's part */
    bool         is_request; /* an IQ get or set: exactly one answer is enforced */
    sv_event    *parent;     /* an occasion inside another event: shares its unit, arena and emissions, may not say LATER
                                (a LATER counts as PASS and is logged); NULL: an event of its own */
} svi_event_config;

/* Makes an event with an arena of its own (4 KiB, pooled). */
sv_event *svi_event_new(svi_bus *bus, const svi_event_config *config);

/* Passes it, in the lane of that key (sender's full JID, NUL, recipient's bare JID): waits behind a LATER of the same lane. An
 * empty key never waits (IQ results and errors, RFC 6120 10.1; events without a stanza). May finish and free it before it
 * returns. The lane's bound is its senders' credit: what waits holds it. */
void svi_event_run(sv_event *ev, sv_str lane_key);

/* For a waiting event: PASS goes on with the next handler, DONE ends. Ignored (false) if the event is finished already (its
 * deadline passed). Never called while a handler of the event runs. */
bool svi_event_resume(sv_event *ev, sv_verdict verdict);

/* Holds the memory of an event for an operation in flight; the operation asks svi_event_is_open before it acts. */
sv_event *svi_event_hold(sv_event *ev);
void svi_event_let_go(sv_event **ev);
bool svi_event_is_open(const sv_event *ev);

/* --- what handlers and rules use ----------------------------------------------------------------------- */

void *svi_event_x(const sv_event *ev);
svi_bus *svi_event_bus(const sv_event *ev);
svi_arena *svi_event_arena(const sv_event *ev);
svi_point svi_event_point_now(const sv_event *ev);
uint64_t svi_event_entry(const sv_event *ev);
/* Sets the next point and table (from ops->next). */
void svi_event_point(sv_event *ev, svi_point point, svi_hooks *hooks, const char *host);

/* The stanza as it is now / replaced for every handler behind this one (takes a reference of its own; the log can tell who). */
const sv_stanza *svi_event_stanza(const sv_event *ev);
void svi_event_replace(sv_event *ev, const sv_stanza *stanza);

/* The event's unit, made on first use. */
void *svi_event_unit(sv_event *ev);

/* Appends an emission: `run(ctx)` is called at release, in order of emission; `drop(ctx)` instead if the event never gets there
 * (server stops). `early` emissions run at once and are only for what architecture 3.5 excepts. */
void svi_event_emit(sv_event *ev, void (*run)(void *ctx), void (*drop)(void *ctx), void *ctx);

/* Marks the stanza disposed of: closes its ledger entry. A second disposal is a bug of the running module: asserted in debug
 * builds, else reported and ignored. For a request this is also its one answer. */
void svi_event_dispose(sv_event *ev, svi_disposal disposal, const char *rule);
/* Hands the open entry to somebody else (a delivery in a session's queue closes it when written). Returns its number. */
uint64_t svi_event_take_entry(sv_event *ev);
bool svi_event_is_disposed(const sv_event *ev);

/* --- the router's turn ---------------------------------------------------------------------------------- */

/* Releases every event whose commit is reached; called by the store's `committed`. */
void svi_bus_release(svi_bus *bus, uint64_t committed);

/* Fires a pass at a point outside an event's own (depth at most 16): for "session/bound" and the like. Synchronous handlers only:
 * the event is finished when this returns unless a handler said LATER. */
void svi_bus_fire(sv_event *ev);

typedef struct svi_bus_stats {
    uint64_t events, waiting, releasing, lanes, timeouts;
} svi_bus_stats;
void svi_bus_stats_get(const svi_bus *bus, svi_bus_stats *stats_out);

#endif
