/* The bus: passes a stanza's event through handlers, keeps lanes in order, gives each event one
 * unit of writes and releases what it sends at the commit of that unit (architecture 3.3 to
 * 3.5). Knows stanzas, not XMPP's rules: those come in through svi_event_ops. Router thread
 * only.
 *
 * Life of an event: new -> run: (pass: handlers in order) per point -> finished by a verdict, or
 * by `unclaimed` -> its unit is submitted -> at its commit the emissions run in order ->
 * `released` -> freed. A handler that says LATER leaves it waiting; svi_event_resume takes it up
 * again. The unit is one over all points of the event, so both sides of a stanza are stored
 * together.
 *
 * Release. An event that writes is released when its own unit is committed; the queue of such
 * events is one FIFO by commit number. An event that writes nothing is released at once, unless
 * an earlier event of its lane still waits for its commit: then right behind the newest such
 * one. So what the events of a lane emit comes in the order of their arrival (RFC 6120 10.1),
 * nothing of an event that writes is seen before its commit, and nothing waits but for its own
 * writes or for its lane. An event without a lane (empty key) that writes nothing never waits.
 * An event counts as waiting until its last emission has run.
 *
 * Lanes. Events of one lane pass one at a time, in order of arrival; while one of them waits
 * (LATER) or is on the stack, later ones queue. One that is finished and only waits for its
 * commit does not hold the lane up.
 *
 * Faults of handlers (two disposals, DONE without disposal, disposal without DONE, a MONITOR that
 * acts, an act on a finished event, an unknown verdict, LATER where it cannot be) are logged
 * (`handler-fault`, with module and hook) and made good; they end the worker when the ledger is
 * strict (svi_ledger_set_strict). A stanza that ops->undisposed does not dispose of either is a
 * leak
 * (`ledger-leak`), closed as dropped by the rule "leaked", or the end of the worker when strict.
 *
 * A fault is also told to whoever asked for that (svi_bus_on_fault), and so are a handler that was too slow and a LATER that outlived its
 * deadline while nobody held the event: then nothing was under way that could have brought it back. A
 * fault of what runs outside handlers has no handler and is not told.
 *
 * Quarantine. A handler whose ward is closed is not called (svi_policy). An event that waits there already is not
 * concerned: it may be resumed, or runs into its deadline.
 *
 * Arena. What is taken from svi_event_arena lives until the event ends (its last hold, if held).
 * What a handler takes from svi_event_temp lives until the handler returns: it is given back if
 * the handler says PASS and has taken nothing that lives longer, has not emitted and not held
 * the event; else at the event's end. */
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
    void *(*unit_new)(void *ctx);
    bool (*unit_is_empty)(void *ctx, void *unit);
    uint64_t (*submit)(void *ctx, void *take_unit); /* commit number */
    void (*discard)(void *ctx, void *take_unit);
    uint64_t (*committed)(void *ctx);
    void *ctx;
} svi_commit_ops;

typedef struct svi_bus_config {
    svi_acct *acct;
    const svi_plat *plat;
    svi_timers *timers;
    svi_ledger *ledger;
    svi_commit_ops commit;
    int64_t later_us; /* deadline of a LATER (60 s) */
    int64_t slow_us;  /* a handler that runs longer is reported (100 ms) */
    uint32_t sample_every; /* turns per timed one; 0: SVI_SAMPLE_EVERY, SVI_SAMPLE_NEVER: none is */
} svi_bus_config;

/* Told of each fault of a handler, behind its line in the log; `rule` (static) is what it broke. The handler is
 * borrowed for the call, which may not run events or change tables. */
typedef void (*svi_fault_fn)(void *ctx, const svi_handler *handler, const char *rule);

/* Rules of handlers that are broken without a word of theirs. Slow is at fault who ran for at least half of the 100 ms, or
 * took a second: a busy machine makes nobody guilty. */
#define SVI_RULE_SLOW "a handler returns within 100 ms"
#define SVI_RULE_NEVER "who says LATER comes back before the deadline"

/* Makes a bus; what `config` points to outlives it. Router thread, as everything here. */
svi_bus *svi_bus_new(const svi_bus_config *config);
/* Who is told of faults from now on; NULL: nobody. */
void svi_bus_on_fault(svi_bus *bus, svi_fault_fn fault, void *ctx);
/* Who is told of each handler that has said LATER, before anything else happens to the event; NULL: nobody. For tests. */
typedef void (*svi_later_fn)(void *ctx, const svi_handler *handler, sv_event *ev);
void svi_bus_on_later(svi_bus *bus, svi_later_fn later, void *ctx);
/* Where the bus notes what events with an entry come to (bus_trail.h); NULL: nowhere. Borrowed. */
void svi_bus_set_trail(svi_bus *bus, svi_trail *trail);
/* Cancels every event that is not yet released, oldest first: units are discarded, emissions
 * dropped, open entries closed as dropped by the rule "stopped", ops->canceled called. Then
 * frees. Events that are still held stay readable (closed). Not from inside a pass. */
void svi_bus_free(svi_bus **bus);

/* The rules behind an event; given by xmpp. */
typedef struct svi_event_ops {
    /* The pass at the current point ended without DONE: set the next point (svi_event_point) and
     * return true, or false to end. */
    bool (*next)(sv_event *ev);
    /* Nobody said DONE at any point and nothing disposed of the stanza: must dispose of the
     * stanza (default delivery, error, drop). */
    void (*unclaimed)(sv_event *ev);
    /* A LATER outlived its deadline: must dispose (RFC 6120: remote-server-timeout or
     * internal-server-error). Called only if nothing has disposed yet. What handlers wrote
     * before is submitted all the same: their memory may not differ from the disk. The late
     * operation finds the event finished. */
    void (*timeout)(sv_event *ev);
    /* A handler said DONE but nothing disposed of the stanza, or the event was fired more than
     * 16 passes deep and no handler was asked: a fault of `module`; must dispose, without
     * default delivery. Required for events with an entry. */
    void (*undisposed)(sv_event *ev, const char *module);
    /* It reached a handler of a module in quarantine that may not be skipped: must dispose, by refusing or by
     * dropping under a rule of that name. NULL: as `undisposed`. */
    void (*quarantined)(sv_event *ev);
    /* What the event writes is handed in as soon as this returns: something may be added to the unit. Not called if it writes
     * nothing. */
    void (*committing)(sv_event *ev, void *unit);
    /* Everything is committed and emitted: give credit back, advance h; the event is freed on
     * return. */
    void (*released)(sv_event *ev);
    /* The server stops before the event was released: give `x` back; nothing can be sent any
     * more. Instead of `released`. */
    void (*canceled)(sv_event *ev);
    /* The stanza was dropped by that rule; changes nothing. */
    void (*dropped)(sv_event *ev, const char *rule);
} svi_event_ops; /* all but `undisposed` may be NULL */

typedef struct svi_event_config {
    const svi_event_ops *ops;
    svi_hooks *hooks;        /* table for the first point; referenced */
    svi_point point;         /* first point */
    const sv_stanza *stanza; /* referenced; NULL for events without one */
    uint64_t entry;          /* ledger number, open; 0 for events without a stanza */
    const char *host;        /* for the execution context; outlives the event */
    bool is_apart;           /* has nothing to do with the stanza that just runs: leaves no trail */
    void *x;                 /* the caller's part */
    bool is_request;         /* an IQ get or set: exactly one answer is enforced */
    bool is_brief;           /* handlers may not say LATER, as within another event */
    sv_event
        *parent; /* an occasion inside another event: shares its unit, arena and emissions, may not
                    say LATER (a LATER counts as PASS and is logged); NULL: an event of its own */
} svi_event_config;

/* Makes an event with an arena of its own (4 KiB, pooled). */
sv_event *svi_event_new(svi_bus *bus, const svi_event_config *config);

/* Passes it once, in the lane of that key (sender's full JID, NUL, recipient's bare JID): waits
 * behind a LATER of the same lane. An empty key never waits (IQ results and errors, RFC 6120
 * 10.1; events without a stanza). May finish and free it before it returns. The lane's bound is
 * its senders' credit: what waits holds it. */
void svi_event_run(sv_event *ev, sv_str lane_key);

/* For a waiting event: PASS goes on with the next handler, DONE ends. Ignored (false) if the
 * event is finished already (its deadline passed); the caller must hold it. Never called while a
 * handler of the event runs (asserted). May free the event but for the caller's hold. Inside svi_event_call
 * of the event it happens as soon as that returns, by the first of several verdicts. */
bool svi_event_resume(sv_event *ev, sv_verdict verdict);

/* Holds the memory of an event for an operation in flight; the operation asks svi_event_is_open
 * before it acts. */
sv_event *svi_event_hold(sv_event *ev);
/* Gives the hold back and clears the pointer; frees the event if it was over. NULL is no error. */
void svi_event_let_go(sv_event **ev);
/* True until the verdict stands: the operation may still act for it. */
bool svi_event_is_open(const sv_event *ev);
/* True while it waits behind a LATER: whoever disposes of it now must also resume it. False inside
 * its handlers. */
bool svi_event_is_waiting(const sv_event *ev);

/* Calls `call(ctx)` for an operation of a waiting event that comes back: in the execution context
 * of the handler that said LATER, counted and timed as `whose` (may be NULL), and reported if it is
 * slow. The caller holds the event, which may be over afterwards. */
void svi_event_call(sv_event *ev, svi_hook_stats *whose, void (*call)(void *ctx), void *ctx);

/* True if the handler that runs now may say LATER: it is no MONITOR, and the event is not inside another one. */
bool svi_event_may_wait(const sv_event *ev);

/* The handler that runs, said DONE or LATER, or ran last, at the event's present table; NULL: there is
 * none. Borrowed as long as the event has that table. */
const svi_handler *svi_event_handler(const sv_event *ev);

/* --- what handlers and rules use
 * ----------------------------------------------------------------------- */

/* The caller's part, as given to svi_event_new. */
void *svi_event_x(const sv_event *ev);
/* Its bus; NULL once the bus is gone and only a hold keeps the event. */
svi_bus *svi_event_bus(const sv_event *ev);
/* See "Arena" above. Ask for it each time: a kept pointer to the arena hides from the bus what
 * lives how long. */
svi_arena *svi_event_arena(sv_event *ev);
svi_arena *svi_event_temp(sv_event *ev);
/* The point it is asked at now. */
svi_point svi_event_point_now(const sv_event *ev);
/* What the pass at this point came to: for MONITOR handlers, which run behind the verdict. PASS:
 * nobody said DONE. */
sv_verdict svi_event_verdict(const sv_event *ev);
/* An IQ get or set, as declared at svi_event_new. */
bool svi_event_is_request(const sv_event *ev);
/* When it began, among all events of its bus: the later, the greater. An event within another has that
 * one's number. */
uint64_t svi_event_number(const sv_event *ev);
/* The number of the newest event; 0 if there was none. */
uint64_t svi_bus_newest(const svi_bus *bus);
/* Its ledger number, 0 for none; also after the disposal. */
uint64_t svi_event_entry(const sv_event *ev);
/* Sets the next point and table (from ops->next). */
void svi_event_point(sv_event *ev, svi_point point, svi_hooks *hooks, const char *host);

/* The stanza as it is now / replaced for every handler behind this one (takes a reference of its
 * own; the log can tell who). */
const sv_stanza *svi_event_stanza(const sv_event *ev);
void svi_event_replace(sv_event *ev, const sv_stanza *stanza);

/* The event's unit, made on first use. */
void *svi_event_unit(sv_event *ev);

/* Appends an emission: `run(ctx)` is called at release, in order of emission, with the emitter
 * in the execution context; `drop(ctx)` (may be NULL) instead if the event never gets there
 * (server stops, or it is finished already: a fault). */
void svi_event_emit(sv_event *ev, void (*run)(void *ctx), void (*drop)(void *ctx), void *ctx);

/* As svi_event_emit, but `run` is called now, before the commit: only for what architecture 3.5
 * excepts (a one-to-one message to a local session). To keep the lane's order it is an ordinary
 * emission after all while this event or an earlier one of its lane has something to emit. */
void svi_event_emit_early(sv_event *ev, void (*run)(void *ctx), void (*drop)(void *ctx), void *ctx);

/* Calls `run(ctx)` when the event's memory goes, behind release, cancel and the last hold: gives
 * back what the event borrowed. The newest comes first. Of an event within another: when the
 * outermost goes. Nothing of the event may be used from there. */
void svi_event_at_end(sv_event *ev, void (*run)(void *ctx), void *ctx);

/* If the event waits (LATER) from now on, calls `run(ev, ctx)` when its verdict stands, also by the end of its
 * deadline, just before its unit is handed in: nothing comes in between, so what is written there is written on what it read. For a handler that
 * wrote what it had read, and returns before the event is over: another event may have changed that meanwhile. What ran
 * may write, emit and fire, neither dispose nor wait; it is in the execution context of who asked, counted as `whose` (may be NULL). In order of
 * asking. Never called if the server stops before. Not for an event within another, which can't wait (asserted). */
void svi_event_after_wait(sv_event *ev, svi_hook_stats *whose, void (*run)(sv_event *ev, void *ctx), void *ctx);

/* Marks the stanza disposed of: closes its ledger entry. A second disposal is a bug of the
 * running module: asserted when the ledger is strict, else reported, ignored and answered with
 * false. For a request this is also its one answer: emit it only if this returned true. */
bool svi_event_dispose(sv_event *ev, svi_disposal disposal, const char *rule);
/* Hands the open entry to somebody else (a delivery in a session's queue closes it when
 * written). Returns its number; 0 if there is none or it was disposed of before (a fault).
 * Counts as the disposal: the handler says DONE. */
uint64_t svi_event_take_entry(sv_event *ev);
/* True once it was disposed of or its entry taken. */
bool svi_event_is_disposed(const sv_event *ev);

/* --- another generation of handlers
 * --------------------------------------------------------------------------------- */

/* What became of events at a swap. */
typedef struct svi_swap {
    size_t waiting;   /* that waited (LATER) in the tables that were replaced */
    size_t restarted; /* of them: the handler's successor is called anew */
    size_t finishing; /* of them: end with the handler that they wait in, which has a successor or none */
    size_t skipped;   /* of them: nothing was done yet and there is no such handler any more */
} svi_swap;

/* Puts tables in the place of those that they succeed (svi_hooks_succeed) under every event that is not
 * finished; not from inside a pass. An event that waits goes on, afterwards, behind the same handler (module and
 * text) of the new table; where handlers have changed places, those that it had not come to have their turn all the same, and
 * none has it twice. If that is of another generation now, or gone, then the event
 * - finishes with the one that it waits in if anything was written, sent, fired, replaced or disposed of in the
 *   event before, or if that handler says so (svi_handler.finishes);
 * - else is to be restarted: see svi_bus_restart. */
void svi_bus_swap(svi_bus *bus, svi_swap *swap_out);
/* Restarts, in the order in which they began to wait, the events that the swap marked: the new handler is called as if the event had
 * just come to it, or the next one if there is none. Their deadline stays. `before` is called for each first.
 * Operations that were begun for it are void: see svi_event_turn. */
void svi_bus_restart(svi_bus *bus, void (*before)(sv_event *ev));
/* Differs after a restart: what was asked for in another turn of the event is no longer waited for. */
uint32_t svi_event_turn(const sv_event *ev);

/* Events that still need a generation of handlers (svi_handler.generation). */
typedef struct svi_bus_use {
    size_t waiting;   /* in one of its handlers */
    size_t elsewhere; /* passed through it, and wait in another's handler or for their turn */
    size_t releasing; /* finished, and wait for their commit */
    const char *hook; /* one that an event waits in; NULL if none does. Valid until the event ends */
} svi_bus_use;
/* Counts them; looks at all events. `all`: else only those that wait in one of its handlers, which is quick. */
void svi_bus_users(const svi_bus *bus, const void *generation, bool all, svi_bus_use *use_out);
/* False inside a pass or a release: nothing may be swapped now. */
bool svi_bus_is_idle(const svi_bus *bus);

/* --- the router's turn
 * ---------------------------------------------------------------------------------- */

/* Releases every event whose commit is reached; called by the store's `committed`. */
void svi_bus_release(svi_bus *bus, uint64_t committed);

/* Fires a pass at a point outside an event's own, without a lane: for "session/bound" and the
 * like. The event is finished when this returns unless a handler said LATER. Passes inside
 * passes are at most 16 deep; the 17th is refused (`handler-nesting`, ops->undisposed). */
void svi_bus_fire(sv_event *ev);
/* The same, but what it emits comes behind what the lane's events have finished to emit before, which may wait for commits, and if it
 * writes, what they emit from then on comes behind its own commit: it is passed at once, and released in that order. The key, of a lane as in svi_event_run, must live as long as the event. */
void svi_bus_fire_behind(sv_event *ev, sv_str lane_key);

/* A pass as part of another event ("session/presence" while a presence is handled): its handlers
 * write into the parent's unit, what they emit is the parent's next emission, its arena is the
 * parent's. `config->ops->released` is called when the pass is over; it is freed before this
 * returns. Its handlers may not say LATER (a fault, taken as PASS). The parent must be open. */
void svi_event_fire(sv_event *parent, const svi_event_config *config);

typedef struct svi_bus_stats {
    uint64_t events;    /* ever made */
    uint64_t waiting;   /* behind a LATER of their own */
    uint64_t releasing; /* finished, waiting for a commit */
    uint64_t lanes;     /* in use */
    uint64_t timeouts;  /* LATERs that outlived their deadline, ever */
} svi_bus_stats;
/* Fills in the figures as they are now. */
void svi_bus_stats_get(const svi_bus *bus, svi_bus_stats *stats_out);

/* How often the bus began something that no handler was in the midst of. Any thread: whoever sees the same number twice sees a
 * handler that did not return meanwhile, or a bus at rest. */
uint64_t svi_bus_beats(const svi_bus *bus);

/* How often a handler, or something else of a module, began to run, at any depth. Any thread; a signal handler may call
 * it. */
uint64_t svi_bus_calls(const svi_bus *bus);
/* Counts one more of those, that is no handler: a timer, say. */
void svi_bus_count_call(svi_bus *bus);

#endif
