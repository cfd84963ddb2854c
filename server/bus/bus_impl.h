/* What the files of the bus share: events, lanes, emissions, frames. Nobody outside this folder
 * includes it. */
#ifndef SVI_BUS_IMPL_H
#define SVI_BUS_IMPL_H

#include <stdatomic.h>

#include "bus/bus.h"

enum {
    SVI_BUS_MAGIC = 0x42555321,
    SVI_EVENT_MAGIC = 0x45564e54,
    SVI_LANE_MAGIC = 0x4c414e45,
    SVI_DEPTH_MAX = 16,    /* passes inside passes (house-style B.3) */
    SVI_CPU_NOTE_US = 10000, /* how old a look at the thread's processor time may be */
    SVI_LONG_US = 1000000,   /* so long a handler is at fault however it took the time */
    SVI_KIDS_NOTED = 8,    /* children whose atoms an event remembers for matching */
    SVI_EVENTS_KEPT = 256, /* freed events kept with their arenas */
    SVI_LANE_KEY_INLINE = 96,
    SVI_LANE_FILTER = 1024
};

typedef enum svi_event_state {
    SVI_EVENT_FRESH = 0, /* made, not yet run */
    SVI_EVENT_QUEUED,    /* waits for its turn in its lane */
    SVI_EVENT_RUNNING,   /* a pass is on the stack */
    SVI_EVENT_WAITING,   /* a handler said LATER */
    SVI_EVENT_FINISHED,  /* the verdict stands; waits for its release, or is being released */
    SVI_EVENT_RELEASED   /* only holds keep the memory */
} svi_event_state;

typedef enum svi_entry_state {
    SVI_ENTRY_NONE = 0, /* the event has no stanza to account for */
    SVI_ENTRY_OPEN,
    SVI_ENTRY_DISPOSED,
    SVI_ENTRY_TAKEN
} svi_entry_state;

/* Something to do at release; in the event's arena. Keeps who asked for it, for blame. */
typedef struct svi_emission {
    struct svi_emission *next;
    void (*run)(void *ctx);
    void (*drop)(void *ctx);
    void *ctx;
    const char *module, *hook, *host;
} svi_emission;

/* Something to give back when the event's memory goes; in the event's arena. */
typedef struct svi_ending {
    struct svi_ending *next;
    void (*run)(void *ctx);
    void *ctx;
} svi_ending;

/* Something to look at again if the event has waited since; in the event's arena. */
typedef struct svi_again {
    struct svi_again *next;
    uint32_t waits; /* of the event, when it was asked for */
    svi_hook_stats *whose;
    void (*run)(sv_event *ev, void *ctx);
    void *ctx;
    const char *module, *hook, *host;
} svi_again;

/* A table that the event came from, still needed for who is to blame; in the event's arena. */
typedef struct svi_kept_hooks {
    struct svi_kept_hooks *next;
    svi_hooks *hooks; /* a reference */
} svi_kept_hooks;

/* Events one behind the other, linked by sv_event.next. */
typedef struct svi_event_queue {
    sv_event *head, *tail;
} svi_event_queue;

typedef struct svi_kid {
    sv_atom ns, name;
} svi_kid;

struct sv_event {
    uint32_t magic;
    uint8_t state;       /* svi_event_state */
    uint8_t entry_state; /* svi_entry_state */
    bool is_request;
    bool is_brief; /* may not wait */
    bool keeps;    /* the running handler's arena memory must stay */
    bool has_mark; /* it has taken temporary memory, from `mark` on */
    bool has_bits; /* bits and kids are those of the stanza as it is now */
    bool in_monitor;
    bool in_next;      /* inside ops->next: svi_event_point is allowed */
    bool has_acted;    /* something was written, sent, fired, replaced or disposed of */
    bool is_to_restart;
    bool stays_due; /* runs once more within its old deadline: still among those that wait */
    bool is_to_resume;   /* by what a callback has said, as soon as it returns */
    uint8_t in_callback; /* so many of its operations are just calling back, one inside the other */
    uint8_t resume_as;   /* sv_verdict */
    uint8_t kid_count; /* over SVI_KIDS_NOTED: not noted */
    svi_point point;
    uint32_t holds;
    uint32_t turn; /* how often it was restarted */
    uint32_t waits; /* how often it waited */
    svi_bus *bus; /* NULL once the bus is gone and only holds remain */
    const svi_event_ops *ops;
    void *x;
    const sv_stanza *stanza; /* a reference of its own */
    uint64_t entry;
    uint64_t about; /* `entry`, else the stanza by which the event came about; 0: by none */
    uint64_t number; /* in order of making; of one within another, that one's */
    const char *host;
    sv_event *parent; /* whose unit, emissions and arena it uses; NULL */
    svi_arena *arena;
    svi_mark mark;
    void *unit;

    svi_hooks *hooks; /* a reference of its own; may be NULL */
    svi_kept_hooks *kept;
    const svi_handler *waits_in; /* who said LATER; in `hooks` or one that is kept */
    const svi_handler *handlers;
    const uint64_t *filters;
    size_t count, monitors, at;
    sv_verdict verdict;
    const char *blame_module, *blame_hook; /* who said DONE, LATER, or ran last */
    const svi_handler *by; /* the same if it is of `hooks`, else NULL */
    uint64_t bits;
    svi_emission *emissions, **emissions_end;
    svi_ending *endings; /* the newest first */
    svi_again *again, **again_end; /* in order; again_end is NULL while there is none */
    svi_lane *lane;
    sv_str behind; /* key of the lane behind whose pending events it is released; empty: none */
    uint64_t commit;               /* 0: writes nothing */
    svi_event_queue followers;     /* of its lane; write nothing and are released right behind it */
    sv_event *next;                /* in the one queue it is in: lane, release, followers */
    sv_event *due_prev, *due_next; /* waiting events by deadline */
    int64_t due_us;
    sv_event *all_prev, *all_next;
    svi_kid kids[SVI_KIDS_NOTED]; /* last: not cleared */
};

struct svi_lane {
    uint32_t magic;
    uint32_t pending;   /* finished events that wait for their release */
    uint32_t unemitted; /* those of them that have something to emit */
    bool is_advancing;
    svi_bus *bus;
    svi_lane *next; /* in its bucket */
    uint64_t hash;
    uint32_t filter;
    sv_event *owner; /* runs or waits in the scope now */
    svi_event_queue waiting;
    sv_event *last; /* newest pending event that writes */
    sv_str key;
    char text[SVI_LANE_KEY_INLINE];
};

/* One running pass; on the C stack. */
typedef struct svi_frame {
    struct svi_frame *outer;
    sv_event *ev;
    sv_str key; /* lane key it was run with; empty when resumed or outside lanes */
    svi_exec saved;
} svi_frame;

/* See bus_meter.h. */
typedef struct svi_meter {
    uint32_t every; /* turns per timed one; SVI_SAMPLE_NEVER */
    uint32_t left, picked; /* turns left in the block; how many are when one is timed */
    uint32_t depth;        /* of what was begun and not ended */
    uint32_t weight;       /* how often the turn counts; 0: it is not timed */
    uint64_t block;
    svi_hook_stats *now; /* whose time it is; NULL: the core's */
    int64_t since_us;    /* the last stamp of a timed turn */
    svi_meter_stats stats;
} svi_meter;

struct svi_bus {
    uint32_t magic;
    uint32_t depth;
    svi_bus_config config;
    int64_t (*coarse_us)(void *ctx);
    svi_frame *top;
    svi_meter meter;
    bool is_releasing;
    uint64_t committed;
    svi_event_queue release; /* by commit number */
    sv_event *due_first, *due_last;
    svi_timer *due_timer;
    sv_event *all_first, *all_last;
    sv_event **kept; /* freed events */
    size_t kept_count;
    size_t lane_count;
    svi_lane **buckets;
    size_t bucket_count;
    svi_pool *lanes;
    uint16_t filter[SVI_LANE_FILTER]; /* how many lanes there are for a cheap hash of their key */
    svi_fault_fn fault; /* NULL: nobody is told */
    void *fault_ctx;
    svi_later_fn later; /* NULL: nobody is told */
    void *later_ctx;
    svi_trail *trail; /* NULL: nothing is noted */
    int64_t cpu_us, cpu_at_us; /* what the thread had run at that time (coarse), not long ago */
    int64_t blamed_us; /* how long handlers ran, ever, that were reported as slow */
    svi_bus_stats stats;
    atomic_uint_fast64_t beats; /* written by the bus's thread alone */
    atomic_uint_fast64_t calls; /* the same */
};

/* --- bus_hooks.c
 * ------------------------------------------------------------------------------------ */

/* Per handler of the point: 0 asks nothing of the stanza, else a child bit that must be there.
 * Also where the point's MONITOR handlers begin. */
const uint64_t *svi_hooks_bits(const svi_hooks *hooks, svi_point point, size_t *monitors_out);
/* Does a child of these atoms satisfy the handler's filter? */
bool svi_atoms_match(const svi_handler *h, sv_atom ns, sv_atom name);

/* --- bus_event.c
 * ------------------------------------------------------------------------------------ */

/* Puts an event, which is in no queue, at the end / takes the first, NULL if there is none. */
void svi_queue_put(svi_event_queue *queue, sv_event *ev);
/* See svi_queue_put. */
sv_event *svi_queue_take(svi_event_queue *queue);

/* Whose unit, emissions and arena the event uses: itself or the outermost parent. */
sv_event *svi_event_whole(sv_event *ev);
/* Something was done in the event that may not be done twice. */
void svi_event_act(sv_event *ev);
/* What the running handlers of the event and its parents took from the arena must stay. */
void svi_event_keep(sv_event *ev);
/* The running handler is over: gives its temporary memory back if it may go. */
void svi_event_temp_end(sv_event *ev);

/* Reports a breach of the bus's rules by what runs now; ends the worker when the ledger is
 * strict. */
void svi_event_fault(const sv_event *ev, const char *rule);
/* Tells the bus's owner of a fault of that handler; NULL: of nobody's. */
void svi_event_blame(const sv_event *ev, const svi_handler *handler, const char *rule);
/* Logs with that module and hook in the execution context. */
void svi_event_tell(const sv_event *ev, sv_level level, const char *name, const char *rule);
/* Closes an entry that nobody disposed of; ends the worker when the ledger is strict. */
void svi_event_leaked(sv_event *ev);
/* Runs the emissions in order (or drops them). */
void svi_event_emit_all(sv_event *ev, bool drop);
/* Ends the event's life; frees unless held. */
void svi_event_end(sv_event *ev);
/* The bus goes away; only holds remain. */
void svi_event_detach(sv_event *ev);
void svi_event_free_memory(sv_event *ev);

/* --- bus_meter.c
 * ------------------------------------------------------------------------------------ */

/* Begins a turn, unless one goes on / ends it. Between them `now` may change; it is as before at the end. */
void svi_meter_begin(svi_meter *meter, bool always);
static inline void svi_meter_end(svi_meter *meter)
{
    SV_ASSERT(meter->depth > 0);
    if (--meter->depth == 0) meter->weight = 0;
}
/* In a timed turn: charges what has passed since the last stamp to `now`. */
void svi_meter_stamp(svi_bus *bus);

/* --- bus_lane.c
 * ------------------------------------------------------------------------------------- */

/* The lane the event must go through if it is in use now: its event runs, waits or is to be
 * released; else NULL. */
svi_lane *svi_lane_find(svi_bus *bus, sv_str key);
svi_lane *svi_lane_new(svi_bus *bus, sv_str key, sv_event *owner);
/* Frees it if nothing needs it. */
void svi_lane_check(svi_lane *lane);

/* --- bus_pass.c
 * ------------------------------------------------------------------------------------- */

/* Takes the event through its points from where it stands; it may be over and freed afterwards. */
void svi_pass(sv_event *ev, sv_str key);
/* Ends a waiting event whose deadline passed. */
void svi_pass_timeout(sv_event *ev);
/* Fills the execution context for the core working on that event; the caller restores it. */
void svi_exec_enter(const sv_event *ev);
/* The same for the stanza alone. */
void svi_exec_stanza(const sv_event *ev);

/* --- bus.c
 * ------------------------------------------------------------------------------------------ */

void svi_bus_wait(sv_event *ev); /* puts it among those that have a deadline */
/* Takes it out again. */
void svi_bus_unwait(sv_event *ev);
/* The verdict stands: submits the unit, releases or queues for release, lets the lane go on. */
void svi_bus_finish(sv_event *ev, sv_str key);

static inline int64_t svi_bus_now(const svi_bus *bus)
{
    return bus->config.plat->mono_us(bus->config.plat->ctx);
}

/* What the bus's thread ran so far; without such a clock, the time. */
static inline int64_t svi_bus_cpu(const svi_bus *bus)
{
    const svi_plat *plat = bus->config.plat;
    return plat->cpu_us != NULL ? plat->cpu_us(plat->ctx) : svi_bus_now(bus);
}

static inline int64_t svi_bus_coarse(const svi_bus *bus)
{
    return bus->coarse_us(bus->config.plat->ctx);
}

#endif
