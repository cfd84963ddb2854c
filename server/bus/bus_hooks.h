/* Hook points and the immutable tables of handlers that are asked at them.
 *
 * A point is a name such as "iq-get/account" or "session/bound" from a fixed list. A table holds
 * all handlers of one host in order (band, `after`, config order); it is replaced as a whole and
 * a pass keeps the one it began with. Matching is by atoms: a handler is not entered for others'
 * stanzas. */
#ifndef SVI_BUS_HOOKS_H
#define SVI_BUS_HOOKS_H

#include "base/base_assert.h"
#include "bus/bus_meter.h"
#include "xml/xml_stanza.h"

typedef struct sv_event sv_event;
typedef struct svi_hooks svi_hooks;

/* Number of a hook point; 0 is none. Points are declared in bus_points.h. */
typedef uint16_t svi_point;

/* The point of that name ("message/account"), 0 if there is none. */
svi_point svi_point_find(sv_str name);
const char *svi_point_name(svi_point point);
/* Nearest known name, for error texts. */
const char *svi_point_nearest(sv_str name);

/* A module's handlers while it is in quarantine on a host; belongs to the loader, which changes it between two
 * events. */
typedef struct svi_ward {
    bool is_closed;    /* its handlers are not called: see svi_policy */
    uint64_t refused;  /* events that ended at one of its handlers meanwhile */
    uint64_t skipped;  /* calls that were left out meanwhile */
} svi_ward;

/* What becomes of an event that reaches a handler whose module is in quarantine. */
typedef enum svi_policy {
    SVI_POLICY_BOUNCE = 0, /* its stanza is refused; an occasion without a stanza goes on */
    SVI_POLICY_CLOSED = 1, /* the same, and an occasion ends here as with DONE: what it asks for is not done */
    SVI_POLICY_OPEN = 2    /* goes on with the next handler, as behind every MONITOR */
} svi_policy;

typedef struct svi_handler {
    svi_point point;
    sv_atom ns,
        name; /* both 0: every stanza at this point; else some child (IQ: the payload) must match */
    sv_band band;
    uint32_t order;    /* place in the config; the tie-break */
    const char *after; /* modules that must stand before, inside the same band, separated by blanks; NULL */
    bool stores;       /* may write: refused at admission when space is short (architecture 8) */
    svi_policy policy; /* in quarantine; of a MONITOR it means nothing */
    bool finishes;     /* an event that waits in it is never restarted by a later generation */
    sv_verdict (*call)(sv_event *ev, void *self);
    void *self;
    const char *module;    /* for blame; outlives the table */
    const char *text;      /* the hook as declared */
    svi_hook_stats *stats; /* may be NULL; outlives the table */
    svi_ward *ward;        /* may be NULL: never in quarantine; lives as long as the table */
    void *generation;      /* whose; the loader's */
} svi_handler;

/* Builds a table; handlers are copied. SV_EINVAL with text when `after` names go in a circle.
 * Refcounted. */
sv_status svi_hooks_build(svi_acct *acct, const svi_handler *handlers, size_t count,
                          svi_hooks **hooks_out, sv_err *err);
svi_hooks *svi_hooks_ref(svi_hooks *hooks);
void svi_hooks_unref(svi_hooks **hooks);

/* Calls `gone(ctx)` when the last reference of the table has been dropped and nothing of it is used
 * any more: then what its handlers belong to may go. Once a table. */
void svi_hooks_on_free(svi_hooks *hooks, void (*gone)(void *ctx), void *ctx);

/* From now on svi_bus_swap puts `by` in the place of `old`; takes no reference. NULL ends that. */
void svi_hooks_succeed(svi_hooks *old, svi_hooks *by);
/* What was said there; NULL if nothing was. */
svi_hooks *svi_hooks_successor(const svi_hooks *hooks);

/* Handlers of a point, in order. */
const svi_handler *svi_hooks_at(const svi_hooks *hooks, svi_point point, size_t *count_out);

/* True if a filter at the point is about the stanza's root itself, not about its children. */
bool svi_point_asks_root(svi_point point);

/* True if the handler wants this stanza (NULL stanza: only unfiltered handlers). */
bool svi_handler_matches(const svi_handler *handler, const sv_stanza *stanza);

/* "bounce", "closed", "open". Static. */
const char *svi_policy_name(svi_policy policy);

/* True if a guard stands at the point whose module is in quarantine: what the occasion is about may not be
 * done. */
bool svi_hooks_are_closed(const svi_hooks *hooks, svi_point point);

/* True if a handler at the point that matches the stanza declares that it stores. */
bool svi_hooks_may_store(const svi_hooks *hooks, svi_point point, const sv_stanza *stanza);

#endif
